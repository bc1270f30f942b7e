"""Mocks for one test: switched on in front of the app that a test's client holds, watched, and taken away.

Law: what answers is the engine and the adapters that staging has; what differs in a test is listed here. The
environment has no say: a test means what it says, wherever it runs. The clock stands still until the test
moves it, chance has a seed, and nothing is slept: a delay moves the clock instead. Whatever is changed in
place is afterwards as it was. Nothing here needs pytest, and no framework is imported: the one that a test's
app is made of is there already.
"""

from __future__ import annotations

import json
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from copy import copy
from datetime import datetime
from functools import partial
from random import Random
from sys import modules
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

from .asgi import ASGIMockMiddleware
from .config import Configuration, RulesArgument, load
from .decisions import PASSTHROUGH, BodyNeeded, Decision, Passthrough, Run
from .engine import Candidate, CompiledRule, Snapshot
from .environment import Environment
from .exceptions import MockwareError, did_you_mean, quoted
from .interfaces import interface_of
from .memory_store import MemoryStore
from .messages import MISSING, Request, Response
from .triggers import RULE_NAME
from .wsgi import WSGIMockMiddleware

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

App = TypeVar("App")

# More than anybody asserts about one by one; a test that sends more has its counts all the same.
MAX_REQUESTS = 1000
# Of all bodies that are kept: as many as there are, if each is a form, and sixteen if each is as long as is
# ever read (1 MiB).
MAX_BODIES_BYTES = 16 * 1024 * 1024


class UnknownRuleError(MockwareError, LookupError):
    """A test asks about a rule that is not there."""


class UnusedRulesError(MockwareError, AssertionError):
    """A test was strict, and there are rules that no request came for."""


class MockedRequest(NamedTuple):
    """A request that a rule answered, and how.

    `headers` are by their names in lower case. `body` is None where it was longer than 1 MiB. `status` is
    that of the mock, None where the rule let the request through or changes the app's response. `delay_s` is
    how long the client would have waited.
    """

    rule: str
    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes | None
    status: int | None
    delay_s: float

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is none."""
        return json.loads(self.body or b"")


class Clock:
    """The time (s) that rules, tasks and templates go by. It stands still until it is moved."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s
        self._lock = Lock()

    def __call__(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Moves it on. Raises ValueError for a time that is gone."""
        if not seconds >= 0:
            raise ValueError(f"time goes forward only, and not by {seconds!r} seconds")
        with self._lock:
            self._now_s += seconds


def mocks(
    app: App,
    rules: RulesArgument = None,
    *,
    strict: bool = False,
    seed: int = 0,
    now: datetime | None = None,
    sleeps: bool = False,
) -> Mocks[App]:
    """Mocks in front of `app`, for as long as a `with` block lasts.

        with mocks(app, [Rule("POST /payments", name="payments-down", status=503)]) as m:
            client = TestClient(m.app)

    `app` is any ASGI or WSGI app, or a `django.test.Client`, which calls no app. A Starlette, FastAPI, Flask
    or Quart app and a Django client are changed in place, so that whoever holds them already gets mocks; any
    other app is wrapped, and its client is given `m.app`.

    `rules` is the path of a rules file, a list of paths, or a list of `Rule`; no variable of the environment
    is looked at, neither `MOCKWARE` nor what says that this is production, and webhooks are not sent.
    `strict` fails the test at the end of the block for rules that no request came for. `seed` is that of all
    that is drawn. `now`, with its offset from UTC, is when the clock starts (the present time if absent).
    Delays move the clock and are not waited for, unless `sleeps`. Raises ConfigError, with every problem, and
    TypeError for what is no app.
    """
    return Mocks(app, rules, strict=strict, seed=seed, now=now, sleeps=sleeps)


class Mocks(Generic[App]):
    """What `mocks` returns. `app` is what a client is given, `clock` the time that the rules go by."""

    app: App

    def __init__(
        self,
        app: App,
        rules: RulesArgument = None,
        *,
        strict: bool = False,
        seed: int = 0,
        now: datetime | None = None,
        sleeps: bool = False,
    ) -> None:
        if now is not None and now.tzinfo is None:
            raise ValueError("now= is a time without an offset; give it tzinfo=datetime.UTC, or another")
        self.clock = Clock(time.time() if now is None else now.timestamp())
        # Without variables: a rule's secrets are for webhooks, which nobody sends.
        configuration = load(Environment(enabled=True, why="a test", variables=None), rules)
        self._journal = _Journal()
        self._snapshot = _WatchedSnapshot(
            configuration, journal=self._journal, clock=self.clock, chance=Random(seed).random, sleeps=sleeps  # noqa: S311 - chance, not secrecy
        )  # fmt: skip
        self._names = [entry.name for entry in configuration.entries]
        self._strict = strict
        self._entered: ExitStack | None = None
        self.app, self._put_in_place = _placed(app, self._snapshot)

    def __enter__(self) -> Self:
        if self._entered is not None:
            raise RuntimeError("these mocks are in place already")
        with ExitStack() as stack:
            self._put_in_place(stack)
            self._snapshot.is_on = True
            self._entered = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        # A test that fails has something more important to say.
        if self._strict and kind is None and (unused := self.unused):
            names = ", ".join(map(quoted, unused))
            raise UnusedRulesError(f"no request came for {names}, and these mocks are strict")

    def close(self) -> None:
        """Leaves everything as it was before; once is enough."""
        self._snapshot.is_on = False
        entered, self._entered = self._entered, None
        if entered is not None:
            entered.close()

    def hits(self, name: str | None = None) -> int:
        """How many requests the rule has answered, let through or had patched; without a name, all rules.

        A rule goes by its `name` or else by its `match`, as X-Mock-Rule shows it; "trigger" stands for the
        trigger headers. What asks about a task is answered by the task's rule. Raises UnknownRuleError.
        """
        hits = self._journal.hits
        return sum(hits.values()) if name is None else hits[self._known(name)]

    def requests(self, name: str | None = None) -> list[MockedRequest]:
        """What the rule has answered, in order; without a name, what all rules have.

        Of more than 1000 requests, or 16 MiB of bodies, the last. Raises UnknownRuleError.
        """
        kept = list(self._journal.requests)
        if name is None:
            return kept
        self._known(name)
        return [request for request in kept if request.rule == name]

    @property
    def unused(self) -> list[str]:
        """The names of the rules that no request came for, in order."""
        return [name for name in self._names if not self._journal.hits[name]]

    def _known(self, name: str) -> str:
        if name not in self._names and name != RULE_NAME:
            raise UnknownRuleError(f"{quoted(name)}: no rule has this name{did_you_mean(name, self._names)}")
        return name


class _Journal:
    """What was mocked, within bounds. Clients may send from several threads."""

    def __init__(self) -> None:
        self.hits: Counts[str] = Counts()
        self.requests: deque[MockedRequest] = deque()
        self._bytes = 0
        self._lock = Lock()

    def add(self, mocked: MockedRequest) -> None:
        with self._lock:
            self.hits[mocked.rule] += 1
            self.requests.append(mocked)
            self._bytes += len(mocked.body or b"")
            while len(self.requests) > MAX_REQUESTS or self._bytes > MAX_BODIES_BYTES:
                self._bytes -= len(self.requests.popleft().body or b"")


class _ByRule(Passthrough):
    """A request that a rule lets through, or has patched: not one that no rule is about."""

    __slots__ = ()


class _WatchedSnapshot(Snapshot):
    """Writes down what it decides, and does not wait. While it is not `is_on`, everything passes."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        journal: _Journal,
        clock: Clock,
        chance: Callable[[], float],
        sleeps: bool,
    ) -> None:
        super().__init__(configuration, store=MemoryStore(clock=clock), clock=clock, chance=chance)
        self.is_on = False
        self._journal = journal
        self._sleeps = sleeps
        self._advance = clock.advance
        # What is ready beforehand would be sent without anybody being asked.
        self.at_once = {}
        for rule in self.rules:
            rule.at_once = {}
        self._letting = {rule for rule in self.rules if rule.rule.passthrough or rule.patch}
        find = self.find
        self.find = lambda path: find(path) if self.is_on else None

    def decide(
        self,
        request: Request,
        candidates: Sequence[Candidate],
        *,
        resume: BodyNeeded | None = None,
        outer: Snapshot | None = None,
    ) -> Decision:
        if not self.is_on or (candidates and candidates[0] is self.untouchable):
            return PASSTHROUGH
        # The body is for the journal; of a request that no rule is about, it is not touched.
        if resume is None and self._is_about(request, candidates):
            return BodyNeeded(0)
        decision = super().decide(request, candidates, outer=outer)
        if isinstance(decision, BodyNeeded):
            decision = super().decide(request, candidates, resume=decision, outer=outer)
        return self._watched(decision, request)

    def _is_about(self, request: Request, candidates: Sequence[Candidate]) -> bool:
        if self.triggers is not None and self.triggers.read(request) is not None:
            return True
        return any(rule.difference(request) is None for rule in candidates)

    def _answer(
        self,
        rule: Candidate,
        request: Request,
        delay_s: float | None,
        before: int = 0,
        later: Sequence[Candidate] = (),
    ) -> Decision:
        decision = super()._answer(rule, request, delay_s, before, later)
        # Replies in turn that are over let requests through, too, but that is no answer of theirs.
        if isinstance(decision, Passthrough) and isinstance(rule, CompiledRule) and rule in self._letting:
            return _ByRule(*decision._replace(rule=rule.name))
        return decision

    def _watched(self, decision: Decision, request: Request) -> Decision:
        """The same decision, written down, without the time that it would take."""
        if isinstance(decision, Run):
            response = self._watched(decision.response, request)
            return decision._replace(response=response) if isinstance(response, Response) else decision
        if isinstance(decision, Response):
            waits_s = decision.delay_s + decision.drip_s
            self._note(decision.rule, request, decision.status, waits_s)
            return decision if self._sleeps or decision.is_plain else _without_waits(decision)
        if isinstance(decision, Passthrough):
            waits_s = decision.delay_s + decision.delay_after_s
            if isinstance(decision, _ByRule):
                self._note(decision.rule, request, None, waits_s)
            else:  # X-Mock-Delay alone
                self._advance(waits_s)
            return decision if self._sleeps else decision._replace(delay_s=0.0, delay_after_s=0.0)
        return decision

    def _note(self, rule: str, request: Request, status: int | None, delay_s: float) -> None:
        # A poll that waited for a task has its end; whoever comes after it must not be told that it is on.
        self._advance(delay_s)
        self._journal.add(
            MockedRequest(
                rule,
                request.method,
                request.path,
                request.query_string,
                request.fields(),
                request.body,
                status,
                delay_s,
            )
        )


def _without_waits(response: Response) -> Response:
    quick = copy(response)
    quick.delay_s = quick.drip_s = 0.0
    if quick.fault == "stall":
        quick.fault = "empty"  # no byte of the body, but without the silence before the end
    return quick


# Where an app is wrapped

_Put = Callable[[ExitStack], object]


def _placed(app: Any, snapshot: Snapshot) -> tuple[Any, _Put]:
    """What a client is given, and what puts the mocks in their place and back."""
    over_asgi = partial(ASGIMockMiddleware.from_snapshot, snapshot=snapshot)
    over_wsgi = partial(WSGIMockMiddleware.from_snapshot, snapshot=snapshot)
    if _is_one(app, "starlette.applications", "Starlette"):
        # Its `add_middleware` is for apps that no request has come to yet, and cannot be undone. What it adds
        # to is this stack, which is built for the first request.
        def put(stack: ExitStack) -> None:
            inner = app.middleware_stack or app.build_middleware_stack()
            _set(stack, app, "middleware_stack", over_asgi(inner))

        return app, put
    if callable(app) and callable(getattr(app, "wsgi_app", None)):  # where Flask's documentation wraps it
        return app, lambda stack: _set(stack, app, "wsgi_app", over_wsgi(app.wsgi_app))
    if callable(app) and callable(getattr(app, "asgi_app", None)):  # and Quart's
        return app, lambda stack: _set(stack, app, "asgi_app", over_asgi(app.asgi_app))
    if _is_one(app, "django.test.client", "Client"):
        # django.test.Client calls no app: its handler makes a request of the environ and asks the views.
        return app, lambda stack: _set(stack, app, "handler", _DjangoHandler(app.handler, snapshot))
    if _is_one(app, "django.test.client", "AsyncClient"):
        raise TypeError(
            "of Django's clients only the synchronous one can be given mocks; "
            "give mocks() the app, get_asgi_application(), and m.app to httpx.ASGITransport"
        )
    wrapped = over_wsgi(app) if interface_of(app) == "WSGI" else over_asgi(app)
    return wrapped, lambda stack: None


def _is_one(app: object, module: str, name: str) -> bool:
    """Whether it is an instance of a class whose module is imported, as it must be if it is."""
    found = getattr(modules.get(module), name, None)
    return isinstance(found, type) and isinstance(app, found)


def _set(stack: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Sets an attribute until the stack is closed."""
    before = vars(owner).get(name, MISSING)
    setattr(owner, name, value)
    if before is MISSING:  # a method of its class
        stack.callback(delattr, owner, name)
    else:
        stack.callback(setattr, owner, name, before)


class _DjangoHandler:
    """In the place of a test client's handler: a WSGI app on one side, Django's response on the other."""

    _own = frozenset(("_handler", "_middleware"))

    def __init__(self, handler: Any, snapshot: Snapshot) -> None:
        self._handler = handler
        self._middleware = WSGIMockMiddleware.from_snapshot(self._as_app, snapshot)

    # Others set things on a client's handler, as REST framework's `force_authenticate` does.
    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._handler, name, value)

    def __call__(self, environ: WSGIEnvironment) -> Any:
        started: list[Any] = []
        written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            started[:] = status, headers
            return written.append

        result: Any = self._middleware(environ, start_response)
        if hasattr(result, "wsgi_request") and started == [*_start_of(result)]:
            return result  # with its templates, its context and its stream: nothing was done to it
        try:
            body = b"".join([*written, *result])
        finally:
            getattr(result, "close", bool)()
        status, headers = started
        return _django_response(environ, status, headers, body)

    def _as_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response: Any = self._handler(environ)
        start_response(*_start_of(response))
        return response  # type: ignore[no-any-return]


def _start_of(response: Any) -> tuple[str, list[tuple[str, str]]]:
    """Status and headers, as Django's own WSGI handler gives them to a server."""
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return f"{response.status_code} {response.reason_phrase}", [*response.items(), *cookies]


def _django_response(
    environ: WSGIEnvironment, status: str, headers: list[tuple[str, str]], body: bytes
) -> Any:
    http: Any = modules["django.http"]
    handlers: Any = modules["django.core.handlers.wsgi"]
    code, _, reason = status.partition(" ")
    response = http.HttpResponse(body, status=int(code), reason=reason)
    for name in list(response.headers):  # Django's defaults
        del response.headers[name]
    for name, value in headers:
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        else:
            # It has each field once, and RFC 9110 section 5.3 says how several become one.
            before = response.headers.get(name)
            response.headers[name] = value if before is None else f"{before}, {value}"
    response.wsgi_request = handlers.WSGIRequest(environ)
    return response
