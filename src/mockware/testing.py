"""Mocks for one test: switched on in front of the app that a test's client holds, watched, and taken away.

Law: what answers is the engine and the adapters that staging has; what differs in a test is listed here. The
environment has no say: a test means what it says, wherever it runs. The clock stands still until the test
moves it, chance has a seed, and nothing is slept: a delay moves the clock instead. Whatever is changed in
place is afterwards as it was. Nothing here needs pytest, and no framework is imported: the one that a test's
app is made of is there already.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from random import Random
from sys import modules
from typing import Any, Generic, Self, TypeVar

from .asgi import ASGIMockMiddleware
from .config import RulesArgument, load
from .django_client import AsyncHandler, Handler
from .environment import Environment
from .exceptions import MockwareError, did_you_mean, quoted
from .interfaces import interface_of
from .messages import MISSING
from .schemas import RESERVED_NAMES
from .watching import Clock as Clock
from .watching import Journal, WatchedSnapshot
from .watching import MockedRequest as MockedRequest
from .wsgi import WSGIMockMiddleware

App = TypeVar("App")


class UnknownRuleError(MockwareError, LookupError):
    """A test asks about a rule that is not there."""


class UnusedRulesError(MockwareError, AssertionError):
    """A test was strict, and there are rules that no request came for."""


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
        self._journal = Journal()
        self._snapshot = WatchedSnapshot(
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
        trigger headers, "cors" for preflights that are answered. What asks about a task is answered by the
        task's rule. Raises UnknownRuleError.
        """
        hits = self._journal.hits
        return sum(hits.values()) if name is None else hits[self._known(name)]

    def requests(self, name: str | None = None) -> list[MockedRequest]:
        """What the rule has answered, in order; without a name, what all rules have.

        Of more than 1000 requests, or 16 MiB of bodies, the last. Raises UnknownRuleError.
        """
        kept = self._journal.requests
        if name is None:
            return kept
        self._known(name)
        return [request for request in kept if request.rule == name]

    @property
    def unused(self) -> list[str]:
        """The names of the rules that no request came for, in order."""
        hits = self._journal.hits
        return [name for name in self._names if not hits[name]]

    def _known(self, name: str) -> str:
        if name not in self._names and name not in RESERVED_NAMES:
            raise UnknownRuleError(f"{quoted(name)}: no rule has this name{did_you_mean(name, self._names)}")
        return name


# Where an app is wrapped

_Put = Callable[[ExitStack], object]


def _placed(app: Any, snapshot: WatchedSnapshot) -> tuple[Any, _Put]:
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
    # Django's clients call no app: their handlers make a request of the environ, or scope, and ask the views.
    if _is_one(app, "django.test.client", "Client"):
        return app, lambda stack: _set(stack, app, "handler", Handler(app.handler, over_wsgi))
    if _is_one(app, "django.test.client", "AsyncClient"):
        return app, lambda stack: _set(stack, app, "handler", AsyncHandler(app.handler, over_asgi))
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
