"""Mocks as an ASGI server takes them: whole and at once, or as late, as slowly and as far as their rule says.

Law: nothing is sent before the request's body is drained, and nothing to a client that has gone. Who is told
of a mock, the log, OpenTelemetry and the journal, is told when it is given, and of what is given.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any

from .asgi_requests import Receive, Scope, Send
from .bodies import drain
from .faults import silence_s
from .logs import log_mock, logger
from .messages import NOT_ON_HTTP_2, Response
from .pacing import pieces
from .telemetry import Measurement, Telemetry
from .waiting import Listener, Place, sleep, too_many_sleepers

ReplyAtOnce = Callable[[Scope, Receive, Send, str, Response, bool], Awaitable[None]]
Note = Callable[[Response], None]


async def reply(
    scope: Scope,
    receive: Receive,
    send: Send,
    path: str,
    response: Response,
    *,
    expects: bool = False,
    measurement: Measurement | None = None,
    note: Note | None = None,
) -> None:
    """Sends a mock, when its delay is over. Nothing is sent to a client that has gone.

    A response of no rule is sent likewise, and not logged as a mock.

    `expects`: the client holds the body back until it is told to go on, and nothing was read yet. `note` is
    told what is given.
    """
    give = _send if measurement is None and note is None else partial(_send_told, measurement, note)
    if scope["type"] == "websocket":
        if (await receive())["type"] != "websocket.connect":
            return
    elif not expects:
        drained = drain(receive)
        if drained is not True and not (drained and await drained):
            return
    if response.is_plain:
        await give(scope, send, path, response, expects=expects)
        return
    # To listen to a client that holds its body back would be to ask for the body.
    with Place(wanted=response.sleeps) as place, Listener(receive, listens=not expects) as listener:
        if not place.granted:
            response = too_many_sleepers(response.rule, scope.get("method", "GET"))
        elif response.delay_s and not await listener.sleep(response.delay_s):
            return
        if response.drip_s or response.fault == "stall":
            await listener.during(lambda: give(scope, send, path, response, expects=expects))
            return
    # Out of its place: a client that reads slowly does not sleep.
    await give(scope, send, path, response, expects=expects)


async def _send(scope: Scope, send: Send, path: str, response: Response, *, expects: bool) -> None:
    """A mock as a server takes it: whole, or as slowly and as far as it goes."""
    if response.rule:
        log_mock(response, scope.get("method", "GET"), path)
    prefix = ""
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": 1008, "reason": response.reason})
            return
        prefix = "websocket."
    headers = list(response.raw_headers)
    if expects:
        # The body that was announced never comes, so nothing else can on this connection.
        headers = [
            pair for pair in headers if pair[0] != b"connection" or b"keep-alive" not in pair[1].lower()
        ]
        headers.append((b"connection", b"close"))
    elif response.has_hop_by_hop and scope.get("http_version", "1.1") >= "2":
        headers = [pair for pair in headers if pair[0].decode("ascii") not in NOT_ON_HTTP_2]
    await send({"type": prefix + "http.response.start", "status": response.status, "headers": headers})
    # The denial of a websocket is no place for tricks: servers take it whole, or complain.
    if prefix or not (response.drip_s or response.fault):
        # `more_body` may be left out, but there are receivers (Quart's test client) that look for it.
        await send({"type": prefix + "http.response.body", "body": response.body, "more_body": False})
        return
    for wait_s, piece in pieces(response):
        await sleep(wait_s)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if response.fault is None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    # Some servers keep the headers for the first piece of the body, be it empty.
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    if response.fault == "stall":
        await sleep(silence_s(response))
    # An app that returns before its body is complete has its connection closed, without a traceback.


async def _send_told(
    measurement: Measurement | None,
    note: Note | None,
    scope: Scope,
    send: Send,
    path: str,
    response: Response,
    *,
    expects: bool,
) -> None:
    if note is not None:
        note(response)
    if measurement is not None:
        measurement.given(response)
    try:
        await _send(scope, send, path, response, expects=expects)
    finally:
        if measurement is not None:
            measurement.over()


async def reply_at_once(
    scope: Scope, receive: Receive, send: Send, path: str, response: Response, has_body: bool
) -> None:
    """`reply` as it usually is on HTTP/1.1: there is nothing to ask or to wait for."""
    if has_body:
        drained = drain(receive)
        if drained is not True and not (drained and await drained):
            return
    if logger.isEnabledFor(logging.INFO) and response.rule:
        log_mock(response, scope["method"], path)
    # A list of its own: whoever stands around may add to it, as Starlette's CORS does.
    headers = [*response.raw_headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


def at_once(telemetry: Telemetry | None) -> ReplyAtOnce:
    """`reply_at_once`, or where OpenTelemetry is to be told of it, the same with that."""
    return reply_at_once if telemetry is None else partial(_reply_measured, telemetry)


async def _reply_measured(
    telemetry: Telemetry,
    scope: Scope,
    receive: Receive,
    send: Send,
    path: str,
    response: Response,
    has_body: bool,
) -> None:
    measurement = telemetry.begin()
    if has_body:
        drained = drain(receive)
        if drained is not True and not (drained and await drained):
            return
    measurement.given(response)
    try:
        await reply_at_once(scope, receive, send, path, response, False)
    finally:
        measurement.over()


def adding(fields: Sequence[tuple[str, str]], send: Send) -> Send:
    """What sends a mock with these fields, too."""
    if not fields:
        return send
    raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields]

    async def send_with(event: MutableMapping[str, Any]) -> None:
        if "headers" in event:
            event["headers"] = [*event["headers"], *raw]
        await send(event)

    return send_with


def late(send: Send, delay_s: float, listener: Listener) -> Send:
    """A response that starts `delay_s` seconds late; without room to wait, at once."""

    async def send_late(event: MutableMapping[str, Any]) -> None:
        if event["type"] in ("http.response.start", "websocket.accept"):
            await waited(delay_s, listener)
        await send(event)

    return send_late


async def waited(delay_s: float, listener: Listener) -> bool:
    """Sleeps, in a place of its own, at most until the client leaves; False: there is no room to."""
    with Place() as place:
        if place.granted:
            await listener.sleep(delay_s)
        return place.granted
