"""Which interface an app speaks: ASGI 3, legacy ASGI 2, or WSGI.

Law: an app is told by what it is (a coroutine function, a class) and by how many arguments it takes, and
is never called to find out. Where that does not decide, the error names both classes to choose from.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

Interface = Literal["ASGI", "ASGI 2", "WSGI"]


def interface_of(app: object) -> Interface:
    """The interface of an app: a function, class, instance, bound method or partial of one.

    Raises TypeError where it cannot be told.
    """
    if not callable(app):
        raise TypeError(f"{_called(app)} is no ASGI or WSGI app: it cannot be called")
    from asgiref.sync import iscoroutinefunction

    # An instance is as asynchronous as its `__call__`; a class is called to make one.
    if not inspect.isclass(app) and (iscoroutinefunction(app) or iscoroutinefunction(_call_of(app))):
        return "ASGI"
    count = _positional_arguments(app)
    if count == 3:
        return "ASGI"
    if count == 2:
        return "WSGI"
    if count == 1:
        return "ASGI 2"
    raise TypeError(
        f"cannot tell whether {_called(app)} speaks ASGI or WSGI: it takes neither (scope, receive, send) "
        "nor (environ, start_response). Name it: ASGIMockMiddleware(app) or WSGIMockMiddleware(app)"
    )


def check_interface(app: object, wanted: Literal["ASGI", "WSGI"]) -> Interface:
    """The interface of an app that is wrapped by name, and is believed where that cannot be told.

    Raises TypeError, naming the right class, for an app that certainly speaks the other interface.
    """
    try:
        found = interface_of(app)
    except TypeError:
        if callable(app):
            return wanted  # who names the class knows better
        raise
    if not found.startswith(wanted):
        other = found.split()[0]
        raise TypeError(
            f"{wanted}MockMiddleware wraps {wanted} apps, and {_called(app)} speaks {found}: "
            f"use {other}MockMiddleware"
        )
    return found


def _call_of(app: Callable[..., Any]) -> object:
    return getattr(type(app), "__call__", None)  # noqa: B004 - the function itself is looked at


def _called(app: object) -> str:
    return getattr(app, "__qualname__", None) or f"an instance of {type(app).__qualname__}"


def _positional_arguments(app: Callable[..., Any]) -> int | None:
    """How many arguments a server has to give; None where that is not fixed or not known."""
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return len(required)
