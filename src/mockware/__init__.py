"""Wrap any ASGI or WSGI app and answer chosen requests with a mock response.

    app = mockware.wrap(app, rules="mocks.toml")

`MOCKWARE=on` turns it on. While off, `wrap(app)` is `app`: nothing of mockware stands in the path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .exceptions import ConfigError, MockwareError, Problem

if TYPE_CHECKING:
    from .asgi import ASGIMockMiddleware
    from .config import RulesArgument
    from .questions import Store
    from .rules import Rule
    from .wsgi import WSGIMockMiddleware

__all__ = [
    "ASGIMockMiddleware",
    "ConfigError",
    "MockwareError",
    "Problem",
    "Rule",
    "WSGIMockMiddleware",
    "wrap",
]
__version__ = "0.1.0"

App = TypeVar("App")


def wrap(
    app: App,
    *,
    rules: RulesArgument = None,
    enabled: bool | None = None,
    store: Store | str | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] | None = None,
) -> App:
    """`app` with mocks in front of it, or `app` itself while mockware is off.

    Takes any ASGI (2 or 3) or WSGI app and tells which it is; the other arguments are those of
    `ASGIMockMiddleware`. Raises ConfigError, with every problem, for a bad configuration, and TypeError
    where the app is neither or cannot be told.
    """
    from .asgi import ASGIMockMiddleware
    from .environment import read_environment
    from .interfaces import interface_of
    from .wsgi import WSGIMockMiddleware

    middleware: Any = WSGIMockMiddleware
    if read_environment(environ, enabled=enabled).enabled and interface_of(app) != "WSGI":
        middleware = ASGIMockMiddleware
    wrapped: App = middleware(app, rules=rules, enabled=enabled, store=store, environ=environ, clock=clock)
    return wrapped


def __getattr__(name: str) -> Any:
    # `Rule` brings pydantic along, which a process where mockware is off shall not have to import; the
    # adapters bring half of the rest, and a run of pytest imports the package for its fixture alone.
    if name == "Rule":
        from .rules import Rule

        return Rule
    if name == "ASGIMockMiddleware":
        from .asgi import ASGIMockMiddleware

        return ASGIMockMiddleware
    if name == "WSGIMockMiddleware":
        from .wsgi import WSGIMockMiddleware

        return WSGIMockMiddleware
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
