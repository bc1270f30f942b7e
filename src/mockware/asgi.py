"""The ASGI side: scope and events to a request, a response to events, and nothing more.

Law: whatever is not ours leaves with the very objects it came with. The way there is short: the path is
looked up, one loop looks at the header names, and the app is called.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from .asgi_patching import patch_asgi
from .bodies import buffer, drain
from .decisions import BodyNeeded, Decision, Passthrough, Run, StoreNeeded
from .fallback import MAX_WAIT_S, FallbackStore
from .faults import silence_s
from .installation import Installation, installed
from .interfaces import check_interface
from .logs import log_mock, log_patch, logger
from .messages import NOT_ON_HTTP_2, Request, Response
from .nesting import let_through, let_through_by
from .pacing import pieces
from .questions import Question, Store
from .telemetry import Measurement, Telemetry, telemetry
from .waiting import Listener, Place, finished, sleep, too_many_sleepers

if TYPE_CHECKING:
    from .asgi_background import Background
    from .captured import Captured
    from .config import RulesArgument
    from .control_api import ControlAPI
    from .engine import Candidate, Snapshot

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
ReplyAtOnce = Callable[[Scope, Receive, Send, str, Response, bool], Awaitable[None]]

# Without either of these, a request on HTTP/1.1 has no body (RFC 9112 section 6.3).
_BODY_FIELDS = frozenset((b"content-length", b"transfer-encoding"))


class ASGIMockMiddleware:
    """Answers chosen requests to an ASGI app with mocks; everything else reaches the app untouched.

    `rules` is the path of a rules file, a list of paths, or a list of `Rule`; rules from the environment
    (`MOCKWARE_RULES`, `MOCKWARE_FILE`) come first. `enabled` None leaves it to `MOCKWARE`. Where rules count,
    they do so in `store` unless `MOCKWARE_STORE` names another: "memory:", "sqlite:PATH", a URL of Redis, or
    a `Store`. `environ` stands in for `os.environ`, `clock` for `time.time` (seconds). While off, the class
    returns `app` itself. A websocket handshake that is mocked is refused with the mock, by the Websocket
    Denial Response extension or else by close code 1008. Raises ConfigError, TypeError for a WSGI app.
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

    app: ASGIApp
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
        if check_interface(app, "ASGI") == "ASGI 2":
            from asgiref.compatibility import double_to_single_callable

            app = double_to_single_callable(app)  # type: ignore[no-untyped-call]
        self = super().__new__(cls)
        self.app = app
        self._background = None
        self._installation = None
        self._api = None
        self._telemetry = telemetry()
        return self

    def _adopt(self, snapshot: Snapshot, asleep: bool) -> None:
        if snapshot.runs_app and self._background is None:
            from .asgi_background import Background

            self._background = Background()
        generation = _Generation(self.app, snapshot, asleep=asleep)
        generation.reply_at_once = at_once(self._telemetry)
        if generation.heeds_query:
            generation.otherwise = partial(self._look_at_query, generation)
        self._generation = generation

    def _wake(self) -> None:
        if self._installation is not None:
            self._installation.wake()

    @property
    def _snapshot(self) -> Snapshot:
        return self._generation.snapshot

    def _route(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What the server awaits: the app's own answer, or a mock."""
        generation = self._generation  # read once: the next request may have another
        kind = scope["type"]
        if kind == "http" or kind == "websocket":
            path = scope["path"]
            try:
                if scope["root_path"]:
                    path = route_path(path, scope["root_path"])
            except KeyError:  # it may be left out
                pass
            candidates = generation.find(path)
            if candidates is not None or generation.always_scans:
                telling = generation.telling
                asked = None
                has_body = False
                for name, value in scope["headers"]:
                    if name in telling:
                        if name in _BODY_FIELDS:
                            has_body = True
                        elif asked is None and name == generation.status_field:
                            asked = value
                        else:
                            return self._consider(scope, receive, send, generation, path, candidates or ())
                if asked is None and candidates is None:
                    return generation.otherwise(scope, receive, send)
                if kind == "http" and scope.get("http_version") == "1.1":
                    response = None
                    if candidates is None:
                        response = generation.asked_at_once.get(asked)  # type: ignore[arg-type]
                        if response is not None and scope["method"] == "HEAD":
                            response = response.head
                    elif asked is None:
                        response = candidates[0].at_once.get(scope["method"])
                    if response is not None:
                        return generation.reply_at_once(scope, receive, send, path, response, has_body)
                return self._consider(scope, receive, send, generation, path, candidates or ())
        elif kind == "lifespan":
            # Not before: whoever wraps the app may fork, and threads stay behind.
            if generation.asleep:
                self._wake()
            if (courier := self._snapshot.courier) is not None:
                courier.wake()
            if self._background is not None:
                return self._background.lifespan(self.app, scope, receive, send)
        return self.app(scope, receive, send)

    # A plain function hands the app's own coroutine to the server, at half the cost of another coroutine
    # around it. Servers tell ASGI 3 by `inspect.iscoroutinefunction`, which heeds this mark from 3.12 on.
    if sys.version_info >= (3, 12):
        __call__ = inspect.markcoroutinefunction(_route)
    else:

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            return await self._route(scope, receive, send)

    # Called by a WSGI server, with two arguments, no line of the function runs (a coroutine function's would
    # be awaited by nobody): the interpreter's own TypeError is all there is, and begins with this name.
    __call__.__qualname__ = (
        "ASGIMockMiddleware [called by a WSGI server: that is for WSGI apps, which use WSGIMockMiddleware]"
    )

    def _look_at_query(
        self, generation: _Generation, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        if not scope.get("query_string"):
            return self.app(scope, receive, send)
        path = route_path(scope["path"], scope.get("root_path", ""))
        return self._consider(scope, receive, send, generation, path, ())

    async def _consider(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        generation: _Generation,
        path: str,
        candidates: Sequence[Candidate],
    ) -> Any:
        """Decides with the whole request at hand."""
        if generation.asleep:
            self._wake()
            return await self._route(scope, receive, send)
        snapshot = generation.snapshot
        measurement = None if self._telemetry is None else self._telemetry.begin()
        request = ScopeRequest(scope, path)
        expects = request.expects_to_continue
        if self._api is not None and candidates and candidates[0] is snapshot.control:
            if scope["type"] != "http":
                return await self.app(scope, receive, send)
            return await _control(self._api, request, scope, receive, send)
        mark = scope["headers"]
        outer = let_through_by(mark)
        decision = snapshot.decide(request, candidates, outer=outer)
        if isinstance(decision, BodyNeeded):
            if scope["type"] == "http":
                receive = await buffer(request, receive)
                expects = False
            decision = snapshot.decide(request, candidates, resume=decision, outer=outer)
        decision = await self._settled(decision)
        if isinstance(decision, Run):
            decision = await self._run(decision, scope, request, snapshot)
        snapshot.note(request, decision, candidates)
        if isinstance(decision, Response):
            send = _adding(snapshot.fields_beside(decision, request), send)
            return await reply(scope, receive, send, path, decision, expects=expects, measurement=measurement)
        app = self.app
        if isinstance(decision, Passthrough) and decision.patch is not None and scope["type"] == "http":
            log_patch(decision.rule, request.method, path)
            if self._telemetry is not None:
                self._telemetry.tell_patch(decision.rule, decision.delay_s)
            app = partial(patch_asgi, decision.patch, app)
        with let_through(mark, by=snapshot):
            if not (isinstance(decision, Passthrough) and (decision.delay_s or decision.delay_after_s)):
                return await app(scope, receive, send)
            with Listener(receive, listens=not expects) as listener:
                if not decision.delay_s or await _waited(decision.delay_s, listener):
                    send = _late(send, decision.delay_after_s, listener) if decision.delay_after_s else send
                    return await app(scope, listener, send)
        refusal = too_many_sleepers(decision.rule, request.method)
        snapshot.note(request, refusal, candidates)
        send = _adding(snapshot.fields_beside(refusal, request), send)
        return await reply(scope, receive, send, path, refusal, expects=expects, measurement=measurement)

    async def _run(self, run: Run, scope: Scope, request: Request, snapshot: Snapshot) -> Decision:
        """Hands the request to the app behind its client's back, and says what the client gets."""

        async def done(captured: Captured) -> None:
            await self._settled(run.finish(captured))

        if self._background is not None:
            body = request.body or b""
            with let_through(scope["headers"], by=snapshot):
                if self._background.start(self.app, scope, body, done, timeout_s=run.timeout_s):
                    return run.response
        return await self._settled(run.refuse())

    async def _settled(self, decision: Decision) -> Decision:
        """What is decided when the store has answered all that there is to ask."""
        while isinstance(decision, StoreNeeded):
            decision = decision.settle(await self._ask(decision.question))
        return decision

    async def _ask(self, question: Question) -> Any:
        """Asks a store that has to be waited for, in a thread of its own."""
        store = self._snapshot.store  # the same in every generation
        if not isinstance(store, FallbackStore):
            return question.put_to(store)
        asking = store.begin(question)
        await finished(asking, MAX_WAIT_S)
        return store.end(asking)


class _Generation:
    """What one request is answered by: a snapshot, as a scope is compared with it.

    While `asleep`, whatever path is asked for needs to be considered, which wakes it up. `otherwise` is whom
    a request goes to in which nothing was seen so far: who has no use for its query pays nothing. In the same
    way `reply_at_once` is what gives a mock that is ready, and does no more than has to be done.
    """

    __slots__ = (
        "always_scans",
        "asked_at_once",
        "asleep",
        "find",
        "heeds_query",
        "otherwise",
        "reply_at_once",
        "snapshot",
        "status_field",
        "telling",
    )

    find: Callable[[str], Sequence[Candidate] | None]
    status_field: bytes | None
    asked_at_once: Mapping[bytes, Response]
    telling: frozenset[bytes]
    otherwise: ASGIApp
    reply_at_once: ReplyAtOnce

    def __init__(self, app: ASGIApp, snapshot: Snapshot, *, asleep: bool) -> None:
        self.otherwise = app
        self.snapshot = snapshot
        self.asleep = asleep
        self.heeds_query = snapshot.triggers is not None and snapshot.triggers.query is not None
        self.asked_at_once = {}
        self.status_field = None
        if asleep:
            self.find = lambda path: (snapshot.untouchable,)
            self.always_scans = False
            self.telling = frozenset()
            return
        self.find = snapshot.find
        self.always_scans = bool(snapshot.watched)
        self.asked_at_once = {value.encode("ascii"): reply for value, reply in snapshot.at_once.items()}
        if snapshot.triggers is not None:
            self.status_field = snapshot.triggers.fields.status.lower().encode("ascii")
        watched = {name.encode("ascii") for name in snapshot.watched}
        if snapshot.cors is not None:
            watched.add(b"access-control-request-headers")
        self.telling = _BODY_FIELDS.union(watched, (b"expect",))


def _adding(fields: Sequence[tuple[str, str]], send: Send) -> Send:
    """What sends a mock with these fields, too."""
    if not fields:
        return send
    raw = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in fields]

    async def send_with(event: MutableMapping[str, Any]) -> None:
        if "headers" in event:
            event["headers"] = [*event["headers"], *raw]
        await send(event)

    return send_with


async def _control(
    api: ControlAPI, request: ScopeRequest, scope: Scope, receive: Receive, send: Send
) -> None:
    """Answers from a thread, since the store may have to be waited for."""
    from anyio import to_thread

    receive = await buffer(request, receive)
    answer = await to_thread.run_sync(partial(api.respond, request, streams=True))
    if isinstance(answer, Response):
        await reply(scope, receive, send, request.path, answer)
        return
    from .control_journal import NEWS_S, STREAM_S

    async def tell() -> None:
        headers = list(answer.opening.raw_headers)
        await send({"type": "http.response.start", "status": answer.opening.status, "headers": headers})
        for _ in range(int(STREAM_S / NEWS_S)):
            if news := answer.news():
                await send({"type": "http.response.body", "body": news, "more_body": True})
            await sleep(NEWS_S)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    try:
        drained = drain(receive)
        if drained is True or (drained and await drained):
            with Listener(receive) as listener:
                await listener.during(tell)
    finally:
        answer.close()


async def reply(
    scope: Scope,
    receive: Receive,
    send: Send,
    path: str,
    response: Response,
    *,
    expects: bool = False,
    measurement: Measurement | None = None,
) -> None:
    """Sends a mock, when its delay is over. Nothing is sent to a client that has gone.

    A response of no rule is sent likewise, and not logged as a mock.

    `expects`: the client holds the body back until it is told to go on, and nothing was read yet.
    """
    give = _send if measurement is None else partial(_send_measured, measurement)
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


async def _send_measured(
    measurement: Measurement, scope: Scope, send: Send, path: str, response: Response, *, expects: bool
) -> None:
    measurement.given(response)
    try:
        await _send(scope, send, path, response, expects=expects)
    finally:
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


async def _waited(delay_s: float, listener: Listener) -> bool:
    """Sleeps, in a place of its own, at most until the client leaves; False: there is no room to."""
    with Place() as place:
        if place.granted:
            await listener.sleep(delay_s)
        return place.granted


def _late(send: Send, delay_s: float, listener: Listener) -> Send:
    """A response that starts `delay_s` seconds late; without room to wait, at once."""

    async def send_late(event: MutableMapping[str, Any]) -> None:
        if event["type"] in ("http.response.start", "websocket.accept"):
            await _waited(delay_s, listener)
        await send(event)

    return send_late


class ScopeRequest(Request):
    """A request as its scope tells it; `path` is the one that the app routes on."""

    __slots__ = ("_fields", "_raw_headers", "_scope")

    def __init__(self, scope: Scope, path: str) -> None:
        # A websocket handshake is a GET (RFC 6455 section 4.1), or stands for one (RFC 8441).
        super().__init__(scope.get("method", "GET"), path, scope.get("query_string", b"").decode("latin-1"))
        self._scope = scope
        self._raw_headers = scope["headers"]
        self._fields: dict[bytes, bytes] | None = None

    def fields(self) -> dict[str, str]:
        names = {name.decode("latin-1") for name, _ in self._raw_headers}
        return {name: self.header(name) or "" for name in sorted(names)}

    def header(self, name: str) -> str | None:
        fields = self._fields
        if fields is None:
            fields = self._fields = {}
            for field, value in self._raw_headers:
                if field in fields:
                    # HTTP/2 may split the Cookie field, which is put together with its own mark (RFC 9113
                    # section 8.2.3).
                    value = fields[field] + (b"; " if field == b"cookie" else b",") + value
                fields[field] = value
        found = fields.get(name.encode("latin-1"))
        return None if found is None else found.decode("latin-1")

    @property
    def expects_to_continue(self) -> bool:
        """Whether the client holds the body back until it is told to go on."""
        # On HTTP/2 the body may be on its way whatever is said, and leaving it unread breaks hypercorn; on
        # HTTP/1.0 the field means nothing (RFC 9110 section 10.1.1).
        version = self._scope.get("http_version")
        return version == "1.1" and (self.header("expect") or "").lower() == "100-continue"

    @property
    def scheme(self) -> str:  # type: ignore[override]
        return str(self._scope.get("scheme", "http"))

    @property
    def mount(self) -> str:  # type: ignore[override]
        return quote(self._scope.get("root_path", ""), safe="/")

    @property
    def client(self) -> str:  # type: ignore[override]
        return str((self._scope.get("client") or ("",))[0])


def route_path(path: str, root_path: str) -> str:
    """The path that the app routes on: what stands behind `root_path`, as Starlette takes it off."""
    if path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in ("/", ""):
        return path[len(root_path) :] or "/"
    return path
