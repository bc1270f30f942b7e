"""Mocks as a WSGI server takes them: whole and at once, or as late, as slowly and as far as their rule says.

Law: the request's body was drained before. A delay holds the thread of its request: there is nothing else
here to wait with. Who is told of a mock, the log, OpenTelemetry and the journal, is told when it is given,
and of what is given.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .decisions import Passthrough
from .faults import FaultyBody, break_off, flush_headers, sends_nothing
from .logs import log_mock, logger
from .messages import HOP_BY_HOP, Request, Response
from .telemetry import Measurement, Telemetry
from .waiting import Place, too_many_sleepers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

Note = Callable[[Response], None]


def reply(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
    place: Place | None = None,
) -> Iterable[bytes]:
    if response.rule and logger.isEnabledFor(logging.INFO):
        log_mock(response, environ.get("REQUEST_METHOD", "GET"), path)
    # A list of its own: whoever stands around may add to it.
    headers = [*response.headers]
    if response.has_hop_by_hop:
        headers = [pair for pair in headers if pair[0].lower() not in HOP_BY_HOP]
    write = start_response(response.status_line, headers)
    if place is not None:
        if response.drip_s or response.fault:
            flush_headers(write)
            return FaultyBody(environ, response, place)
        place.release()
    return [response.body]


def reply_measured(
    telemetry: Telemetry,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
) -> Iterable[bytes]:
    measurement = telemetry.begin()
    measurement.given(response)
    body = reply(environ, start_response, path, response)
    measurement.over()
    return body


def perform(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
    measurement: Measurement | None,
    note: Note | None,
) -> Iterable[bytes]:
    """A mock as slowly as it goes, and as far; the thread that serves the request waits.

    `note` is told what is given.
    """
    if response.is_plain:
        return _given(environ, start_response, path, response, None, measurement, note)
    place = Place(wanted=response.sleeps)
    if not place.granted:
        refusal = too_many_sleepers(response.rule, environ.get("REQUEST_METHOD", "GET"))
        return _given(environ, start_response, path, refusal, None, measurement, note)
    try:
        time.sleep(response.delay_s)
        return _given(environ, start_response, path, response, place, measurement, note)
    except BaseException:
        place.release()
        raise


def _given(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
    place: Place | None,
    measurement: Measurement | None,
    note: Note | None,
) -> Iterable[bytes]:
    """A mock whose delay is over, and who is told of it."""
    if note is not None:
        note(response)
    if measurement is not None:
        measurement.given(response)
    if place is not None and response.fault == "empty" and sends_nothing(environ):
        log_mock(response, environ.get("REQUEST_METHOD", "GET"), path)
        place.release()
        if measurement is not None:
            measurement.over()
        break_off(environ)
        return []
    body = reply(environ, start_response, path, response, place)
    if measurement is not None:
        if isinstance(body, FaultyBody):
            body.then(measurement.over)
        else:
            measurement.over()
    return body


def adding(fields: Sequence[tuple[str, str]], start_response: StartResponse) -> StartResponse:
    """What starts a mock with these fields, too."""
    if not fields:
        return start_response

    def start_with(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, *fields], *exc_info)

    return start_with


def late(start_response: StartResponse, delay_s: float) -> StartResponse:
    """A response that starts `delay_s` seconds late; without room to wait, at once."""

    started = False

    def start_late(*args: Any, **kwargs: Any) -> Any:
        nonlocal started
        if not started:  # an app that fails starts again (PEP 3333, `exc_info`), and is late already
            started = True
            with Place() as place:
                if place.granted:
                    time.sleep(delay_s)
        return start_response(*args, **kwargs)

    return start_late


def waited(decision: Passthrough, request: Request) -> Response | None:
    """Holds a request back before the app gets it, or says why there is no room to."""
    with Place() as place:
        if not place.granted:
            return too_many_sleepers(decision.rule, request.method)
        time.sleep(decision.delay_s)
    return None
