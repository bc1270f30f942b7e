"""The WSGI side: environ to a request, a response to what PEP 3333 wants, and nothing more.

Law: whatever is not ours leaves with the very objects it came with, and the app's own iterable is handed
back as it is, so that streaming, `close()` and `file_wrapper` are between the app and its server. A delay
holds the thread of its request: there is nothing else here to wait with.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import quote

from .bodies import buffer_input, drain_input
from .decisions import BodyNeeded, Decision, Passthrough, Run, StoreNeeded
from .faults import FaultyBody, break_off, flush_headers, sends_nothing
from .installation import Installation, installed
from .interfaces import check_interface
from .logs import log_mock, log_patch, logger
from .messages import HOP_BY_HOP, Request, Response
from .nesting import let_through, let_through_by
from .telemetry import Measurement, Telemetry, telemetry
from .waiting import Place, too_many_sleepers
from .wsgi_patching import patch_wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .captured import Captured
    from .config import RulesArgument
    from .control_api import ControlAPI
    from .engine import Candidate, Snapshot
    from .questions import Store
    from .wsgi_background import Background


class WSGIMockMiddleware:
    """Answers chosen requests to a WSGI app with mocks; everything else reaches the app untouched.

    The arguments are those of `ASGIMockMiddleware`. While off, the class returns `app` itself. A delay
    holds the thread that serves the request. Raises ConfigError, TypeError for an ASGI app.
    """

    __slots__ = (
        "__weakref__",
        "_api",
        "_background",
        "_generation",
        "_installation",
        "_telemetry",
        "app",
    )

    app: WSGIApplication
    _api: ControlAPI | None
    _background: Background | None
    _generation: _Generation
    _installation: Installation | None
    _telemetry: Telemetry | None

    def __new__(
        cls,
        app: Any,
        *,
        rules: RulesArgument = None,
        enabled: bool | None = None,
        store: Store | str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> Any:
        installation = installed(rules, enabled=enabled, store=store, environ=environ, clock=clock)
        if installation is None:
            return app
        self = cls._around(app)
        self._installation = installation
        self._api = installation.control_api()
        installation.adopted_by(self._adopt)
        return self

    @classmethod
    def from_snapshot(cls, app: Any, snapshot: Snapshot) -> Self:
        """`app` with rules in front of it that are compiled already, whatever the environment says."""
        self = cls._around(app)
        self._adopt(snapshot, asleep=False)
        return self

    @classmethod
    def _around(cls, app: Any) -> Self:
        check_interface(app, "WSGI")
        self = super().__new__(cls)
        self.app = app
        self._background = None
        self._installation = None
        self._api = None
        self._telemetry = telemetry()
        return self

    def _adopt(self, snapshot: Snapshot, asleep: bool) -> None:
        if snapshot.runs_app and self._background is None:
            from .wsgi_background import Background

            self._background = Background()
        generation = _Generation(self.app, snapshot, asleep=asleep)
        if self._telemetry is not None:
            generation.reply = partial(_reply_measured, self._telemetry)
        if generation.looks_closer:
            generation.otherwise = partial(self._look_closer, generation)
        self._generation = generation

    def _wake(self) -> None:
        if self._installation is not None:
            self._installation.wake()

    @property
    def _snapshot(self) -> Snapshot:
        return self._generation.snapshot

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        generation = self._generation  # read once: the next request may have another
        try:
            path = environ["PATH_INFO"] or "/"
        except KeyError:
            path = "/"
        if generation.decodes and not path.isascii():
            path = _decoded(path)
        candidates = generation.find(path)
        if generation.trigger_keys is not None:
            # Written out: a loop would take twice as long.
            status, name, delay = generation.trigger_keys
            if (
                name in environ
                or delay in environ
                or (generation.heeds_baggage and "HTTP_BAGGAGE" in environ)
            ):
                return self._consider(environ, start_response, generation, path, candidates)
            if status in environ:
                # The usual trigger names a status and nothing else, and its reply is ready.
                response = generation.asked_at_once.get(environ[status]) if candidates is None else None
                if response is None:
                    return self._consider(environ, start_response, generation, path, candidates)
                if environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated"):
                    drain_input(environ)
                if environ.get("REQUEST_METHOD") == "HEAD":
                    response = response.head
                return generation.reply(
                    environ, start_response, path if generation.decodes else _decoded(path), response
                )
        if candidates is None:
            return generation.otherwise(environ, start_response)
        response = candidates[0].at_once.get(environ.get("REQUEST_METHOD", "GET"))
        if response is None:
            return self._consider(environ, start_response, generation, path, candidates)
        if environ.get("CONTENT_LENGTH") or environ.get("wsgi.input_terminated"):
            drain_input(environ)
        return generation.reply(environ, start_response, path, response)

    # An ASGI server calls with one argument or with three: the interpreter's own TypeError begins with this.
    __call__.__qualname__ = (
        "WSGIMockMiddleware [called by an ASGI server: that is for ASGI apps, which use ASGIMockMiddleware]"
    )

    def _look_closer(
        self, generation: _Generation, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if (
            (generation.heeds_cookies and "HTTP_COOKIE" in environ)
            or (generation.heeds_query and environ.get("QUERY_STRING"))
            or (generation.answers_preflights and "HTTP_ACCESS_CONTROL_REQUEST_HEADERS" in environ)
        ):
            path = environ.get("PATH_INFO") or "/"
            if generation.decodes:
                path = _decoded(path)
            return self._consider(environ, start_response, generation, path, None)
        return self.app(environ, start_response)

    def _consider(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        generation: _Generation,
        path: str,
        candidates: Sequence[Candidate] | None,
    ) -> Iterable[bytes]:
        """Decides with the whole request at hand."""
        if generation.asleep:
            self._wake()
            return self(environ, start_response)
        snapshot = generation.snapshot
        measurement = None if self._telemetry is None else self._telemetry.begin()
        if not generation.decodes:
            path = _decoded(path)
        request = _EnvironRequest(environ, path)
        if self._api is not None and candidates and candidates[0] is snapshot.control:
            buffer_input(request, environ)
            answer = self._api.respond(request)
            drain_input(environ)
            # Without `streams`, there are none.
            return _reply(environ, start_response, path, cast("Response", answer))
        outer = let_through_by(environ.get("wsgi.input"))
        decision = snapshot.decide(request, candidates or (), outer=outer)
        if isinstance(decision, BodyNeeded):
            buffer_input(request, environ)
            decision = snapshot.decide(request, candidates or (), resume=decision, outer=outer)
        decision = self._settled(decision)
        if isinstance(decision, Run):
            decision = self._run(decision, environ, request, snapshot)
        snapshot.note(request, decision, candidates or ())
        if isinstance(decision, Response):
            # Once only: a second read waits for ever on a server whose input is the bare socket.
            drain_input(environ)
            start_response = _adding(snapshot.fields_beside(decision, request), start_response)
            if measurement is None and decision.is_plain:
                return _reply(environ, start_response, path, decision)
            return _perform(environ, start_response, path, decision, measurement)
        app = self.app
        if isinstance(decision, Passthrough):
            if decision.delay_s and (refusal := _waited(decision, request)):
                snapshot.note(request, refusal, candidates or ())
                drain_input(environ)
                start_response = _adding(snapshot.fields_beside(refusal, request), start_response)
                return _perform(environ, start_response, path, refusal, measurement)
            if decision.delay_after_s:
                start_response = _late(start_response, decision.delay_after_s)
            if decision.patch is not None:
                log_patch(decision.rule, request.method, path)
                if self._telemetry is not None:
                    self._telemetry.tell_patch(decision.rule, decision.delay_s)
                app = partial(patch_wsgi, decision.patch, app)
        with let_through(environ.get("wsgi.input"), by=snapshot):
            return app(environ, start_response)

    def _run(self, run: Run, environ: WSGIEnvironment, request: Request, snapshot: Snapshot) -> Decision:
        """Hands the request to the app behind its client's back, and says what the client gets."""

        def done(captured: Captured) -> None:
            self._settled(run.finish(captured))

        if self._background is not None:
            body = request.body or b""
            with let_through(environ.get("wsgi.input"), by=snapshot):
                if self._background.start(self.app, environ, body, done, timeout_s=run.timeout_s):
                    return run.response
        return self._settled(run.refuse())

    def _settled(self, decision: Decision) -> Decision:
        """What is decided when the store has answered all that there is to ask."""
        while isinstance(decision, StoreNeeded):
            # The store is the same in every generation.
            decision = decision.settle(decision.question.put_to(self._snapshot.store))
        return decision


class _Generation:
    """What one request is answered by: a snapshot, as an environ is compared with it.

    While `asleep`, whatever path is asked for needs to be considered, which wakes it up. `otherwise` is whom
    a request goes to in which nothing was seen so far: who has no use for more pays nothing. In the same way
    `reply` is what gives a mock that is ready, and does no more than has to be done.
    """

    __slots__ = (
        "answers_preflights",
        "asked_at_once",
        "asleep",
        "decodes",
        "find",
        "heeds_baggage",
        "heeds_cookies",
        "heeds_query",
        "otherwise",
        "reply",
        "snapshot",
        "trigger_keys",
    )

    find: Callable[[str], Sequence[Candidate] | None]
    trigger_keys: tuple[str, str, str] | None
    asked_at_once: Mapping[str, Response]
    otherwise: WSGIApplication
    reply: Callable[[WSGIEnvironment, StartResponse, str, Response], Iterable[bytes]]

    def __init__(self, app: WSGIApplication, snapshot: Snapshot, *, asleep: bool) -> None:
        self.otherwise = app
        self.reply = _reply
        self.snapshot = snapshot
        self.asleep = asleep
        self.asked_at_once = snapshot.at_once
        self.heeds_baggage = "baggage" in snapshot.watched
        self.heeds_cookies = "cookie" in snapshot.watched
        self.heeds_query = snapshot.triggers is not None and snapshot.triggers.query is not None
        self.answers_preflights = snapshot.cors is not None and snapshot.triggers is not None
        self.trigger_keys = None
        if asleep:
            self.find = lambda path: (snapshot.untouchable,)
            self.decodes = False
            return
        self.find = snapshot.find
        self.decodes = not snapshot.only_ascii
        if snapshot.triggers is not None:
            fields = snapshot.triggers.fields
            self.trigger_keys = (
                _environ_key(fields.status),
                _environ_key(fields.name),
                _environ_key(fields.delay),
            )

    @property
    def looks_closer(self) -> bool:
        """Whether there is more to look at than the path and the fields of triggers."""
        return self.heeds_cookies or self.heeds_query or self.answers_preflights


def _adding(fields: Sequence[tuple[str, str]], start_response: StartResponse) -> StartResponse:
    """What starts a mock with these fields, too."""
    if not fields:
        return start_response

    def start_with(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        return start_response(status, [*headers, *fields], *exc_info)

    return start_with


def _waited(decision: Passthrough, request: Request) -> Response | None:
    """Holds a request back before the app gets it, or says why there is no room to."""
    with Place() as place:
        if not place.granted:
            return too_many_sleepers(decision.rule, request.method)
        time.sleep(decision.delay_s)
    return None


def _reply(
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


def _reply_measured(
    telemetry: Telemetry,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
) -> Iterable[bytes]:
    measurement = telemetry.begin()
    measurement.given(response)
    body = _reply(environ, start_response, path, response)
    measurement.over()
    return body


def _perform(
    environ: WSGIEnvironment,
    start_response: StartResponse,
    path: str,
    response: Response,
    measurement: Measurement | None,
) -> Iterable[bytes]:
    """A mock as slowly as it goes, and as far; the thread that serves the request waits."""
    if response.is_plain:
        return _given(environ, start_response, path, response, None, measurement)
    place = Place(wanted=response.sleeps)
    if not place.granted:
        refusal = too_many_sleepers(response.rule, environ.get("REQUEST_METHOD", "GET"))
        return _given(environ, start_response, path, refusal, None, measurement)
    try:
        time.sleep(response.delay_s)
        return _given(environ, start_response, path, response, place, measurement)
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
) -> Iterable[bytes]:
    """A mock whose delay is over, and who is told of it."""
    if measurement is not None:
        measurement.given(response)
    if place is not None and response.fault == "empty" and sends_nothing(environ):
        log_mock(response, environ.get("REQUEST_METHOD", "GET"), path)
        place.release()
        if measurement is not None:
            measurement.over()
        break_off(environ)
        return []
    body = _reply(environ, start_response, path, response, place)
    if measurement is not None:
        if isinstance(body, FaultyBody):
            body.then(measurement.over)
        else:
            measurement.over()
    return body


def _late(start_response: StartResponse, delay_s: float) -> StartResponse:
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


class _EnvironRequest(Request):
    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment, path: str) -> None:
        super().__init__(environ.get("REQUEST_METHOD", "GET"), path, environ.get("QUERY_STRING", ""))
        self._environ = environ

    def header(self, name: str) -> str | None:
        value = self._environ.get(_environ_key(name))
        # Servers give these two as empty strings where the request has none (PEP 3333).
        return None if value == "" and name in ("content-type", "content-length") else value

    def fields(self) -> dict[str, str]:
        names = [key[5:] for key in self._environ if key.startswith("HTTP_")]
        names = [name.lower().replace("_", "-") for name in (*names, "CONTENT_TYPE", "CONTENT_LENGTH")]
        return {name: value for name in names if (value := self.header(name)) is not None}

    @property
    def scheme(self) -> str:  # type: ignore[override]
        return str(self._environ.get("wsgi.url_scheme", "http"))

    @property
    def mount(self) -> str:  # type: ignore[override]
        return quote(self._environ.get("SCRIPT_NAME", "").encode("latin-1"), safe="/")

    @property
    def client(self) -> str:  # type: ignore[override]
        return str(self._environ.get("REMOTE_ADDR", ""))


def _decoded(path: str) -> str:
    """A path as people write it: PEP 3333 has its bytes as Latin-1."""
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


def _environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
