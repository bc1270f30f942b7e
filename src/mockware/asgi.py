"""The ASGI side: scope and events to a request, a response to events, and nothing more.

Law: whatever is not ours leaves with the very objects it came with. The way there is short: the path is
looked up, one loop looks at the header names, and the app is called.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from .asgi_patching import patch_asgi
from .asgi_replies import ReplyAtOnce, adding, at_once, late, reply, waited
from .asgi_requests import ASGIApp, Receive, Scope, ScopeRequest, Send, route_path
from .bodies import buffer, drain
from .decisions import BodyNeeded, Decision, Passthrough, Run, StoreNeeded
from .fallback import MAX_WAIT_S, FallbackStore
from .interfaces import check_interface
from .logs import log_patch
from .messages import Request, Response
from .middleware import MockMiddleware
from .nesting import let_through, let_through_by
from .questions import Question
from .waiting import Listener, finished, sleep, too_many_sleepers

if TYPE_CHECKING:
    from .asgi_background import Background
    from .captured import Captured
    from .compiled_rules import Candidate
    from .control_api import ControlAPI
    from .engine import Snapshot


# Without either of these, a request on HTTP/1.1 has no body (RFC 9112 section 6.3).
_BODY_FIELDS = frozenset((b"content-length", b"transfer-encoding"))


class ASGIMockMiddleware(MockMiddleware):
    """Answers chosen requests to an ASGI app with mocks; everything else reaches the app untouched.

    `rules` is the path of a rules file, a list of paths, or a list of `Rule`; rules from the environment
    (`MOCKWARE_RULES`, `MOCKWARE_FILE`) come first. `enabled` None leaves it to `MOCKWARE`. Where rules count,
    they do so in `store` unless `MOCKWARE_STORE` names another: "memory:", "sqlite:PATH", a URL of Redis, or
    a `Store`. `environ` stands in for `os.environ`, `clock` for `time.time` (seconds). While off, the class
    returns `app` itself. A websocket handshake that is mocked is refused with the mock, by the Websocket
    Denial Response extension or else by close code 1008. Raises ConfigError, TypeError for a WSGI app.
    """

    __slots__ = ()

    app: ASGIApp
    _background: Background | None
    _generation: _Generation

    @staticmethod
    def _checked(app: Any) -> Any:
        if check_interface(app, "ASGI") == "ASGI 2":
            from asgiref.compatibility import double_to_single_callable

            return double_to_single_callable(app)  # type: ignore[no-untyped-call]
        return app

    def _adopt(self, snapshot: Snapshot, asleep: bool) -> None:
        if snapshot.runs_app and self._background is None:
            from .asgi_background import Background

            self._background = Background()
        generation = _Generation(self.app, snapshot, asleep=asleep)
        generation.reply_at_once = at_once(self._telemetry)
        if generation.heeds_query:
            generation.otherwise = partial(self._look_at_query, generation)
        self._generation = generation

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
        note = None if snapshot.journal is None else partial(snapshot.note, request)
        if isinstance(decision, Response):
            send = adding(snapshot.fields_beside(decision, request), send)
            return await reply(
                scope, receive, send, path, decision, expects=expects, measurement=measurement, note=note
            )
        if isinstance(decision, Passthrough) and decision.patch is not None and scope["type"] != "http":
            decision = decision._replace(patch=None)
        with let_through(mark, by=snapshot):
            if not (isinstance(decision, Passthrough) and (decision.delay_s or decision.delay_after_s)):
                app = self._after(decision, request, candidates, snapshot)
                return await app(scope, receive, send)
            with Listener(receive, listens=not expects) as listener:
                if not decision.delay_s or await waited(decision.delay_s, listener):
                    app = self._after(decision, request, candidates, snapshot)
                    send = late(send, decision.delay_after_s, listener) if decision.delay_after_s else send
                    return await app(scope, listener, send)
        refusal = too_many_sleepers(decision.rule, request.method)
        send = adding(snapshot.fields_beside(refusal, request), send)
        return await reply(
            scope, receive, send, path, refusal, expects=expects, measurement=measurement, note=note
        )

    def _after(
        self, decision: Decision, request: Request, candidates: Sequence[Candidate], snapshot: Snapshot
    ) -> ASGIApp:
        """The app as it is to be called when nothing more is waited for; who is told of a patch is told."""
        snapshot.note(request, decision, candidates)
        if not isinstance(decision, Passthrough) or decision.patch is None:
            return self.app
        log_patch(decision.rule, request.method, request.path)
        if self._telemetry is not None:
            self._telemetry.tell_patch(decision.rule, decision.delay_s)
        return partial(patch_asgi, decision.patch, self.app)

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
