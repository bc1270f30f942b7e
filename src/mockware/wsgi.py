"""The WSGI side: environ to a request, a response to what PEP 3333 wants, and nothing more.

Law: whatever is not ours leaves with the very objects it came with, and the app's own iterable is handed
back as it is, so that streaming, `close()` and `file_wrapper` are between the app and its server. A delay
holds the thread of its request: there is nothing else here to wait with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from .bodies import buffer_input, drain_input
from .decisions import BodyNeeded, Decision, Passthrough, Run, StoreNeeded
from .interfaces import check_interface
from .logs import log_patch
from .messages import Request, Response
from .middleware import MockMiddleware
from .nesting import let_through, let_through_by
from .wsgi_patching import patch_wsgi
from .wsgi_replies import adding, late, perform, reply, reply_measured, waited
from .wsgi_requests import EnvironRequest, decoded, environ_key

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from .captured import Captured
    from .compiled_rules import Candidate
    from .engine import Snapshot
    from .wsgi_background import Background


class WSGIMockMiddleware(MockMiddleware):
    """Answers chosen requests to a WSGI app with mocks; everything else reaches the app untouched.

    The arguments are those of `ASGIMockMiddleware`. While off, the class returns `app` itself. A delay
    holds the thread that serves the request. Raises ConfigError, TypeError for an ASGI app.
    """

    __slots__ = ()

    app: WSGIApplication
    _background: Background | None
    _generation: _Generation

    @staticmethod
    def _checked(app: Any) -> Any:
        check_interface(app, "WSGI")
        return app

    def _adopt(self, snapshot: Snapshot, asleep: bool) -> None:
        if snapshot.runs_app and self._background is None:
            from .wsgi_background import Background

            self._background = Background()
        generation = _Generation(self.app, snapshot, asleep=asleep)
        if self._telemetry is not None:
            generation.reply = partial(reply_measured, self._telemetry)
        if generation.looks_closer:
            generation.otherwise = partial(self._look_closer, generation)
        self._generation = generation

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        generation = self._generation  # read once: the next request may have another
        try:
            path = environ["PATH_INFO"] or "/"
        except KeyError:
            path = "/"
        if generation.decodes and not path.isascii():
            path = decoded(path)
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
                    environ, start_response, path if generation.decodes else decoded(path), response
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
                path = decoded(path)
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
            path = decoded(path)
        request = EnvironRequest(environ, path)
        if self._api is not None and candidates and candidates[0] is snapshot.control:
            buffer_input(request, environ)
            answer = self._api.respond(request)
            drain_input(environ)
            # Without `streams`, there are none.
            return reply(environ, start_response, path, cast("Response", answer))
        outer = let_through_by(environ.get("wsgi.input"))
        decision = snapshot.decide(request, candidates or (), outer=outer)
        if isinstance(decision, BodyNeeded):
            buffer_input(request, environ)
            decision = snapshot.decide(request, candidates or (), resume=decision, outer=outer)
        decision = self._settled(decision)
        if isinstance(decision, Run):
            decision = self._run(decision, environ, request, snapshot)
        note = None if snapshot.journal is None else partial(snapshot.note, request)
        if isinstance(decision, Response):
            # Once only: a second read waits for ever on a server whose input is the bare socket.
            drain_input(environ)
            start_response = adding(snapshot.fields_beside(decision, request), start_response)
            if measurement is None and note is None and decision.is_plain:
                return reply(environ, start_response, path, decision)
            return perform(environ, start_response, path, decision, measurement, note)
        app = self.app
        if isinstance(decision, Passthrough):
            if decision.delay_s and (refusal := waited(decision, request)):
                drain_input(environ)
                start_response = adding(snapshot.fields_beside(refusal, request), start_response)
                return perform(environ, start_response, path, refusal, measurement, note)
            if decision.delay_after_s:
                start_response = late(start_response, decision.delay_after_s)
            if decision.patch is not None:
                log_patch(decision.rule, request.method, path)
                if self._telemetry is not None:
                    self._telemetry.tell_patch(decision.rule, decision.delay_s)
                app = partial(patch_wsgi, decision.patch, app)
        snapshot.note(request, decision, candidates or ())
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
        self.reply = reply
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
                environ_key(fields.status),
                environ_key(fields.name),
                environ_key(fields.delay),
            )

    @property
    def looks_closer(self) -> bool:
        """Whether there is more to look at than the path and the fields of triggers."""
        return self.heeds_cookies or self.heeds_query or self.answers_preflights
