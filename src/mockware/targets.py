"""From `module:app` to the app: what `run` is told, loaded in the way that the errors can explain.

Law: a target is imported only in a process that may throw it away, a server's worker or the one that
`running.py` starts to look at it first. Whatever goes wrong becomes a `TargetError` that says what to
write instead; what the app's own code raised stays behind it as its cause.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, NamedTuple

from .exceptions import MockwareError, did_you_mean, quoted
from .interfaces import interface_of

DEFAULT_NAME = "app"


class TargetError(MockwareError):
    """The target cannot be served. Where the app's own code failed, `__cause__` has what it raised."""


class Target(NamedTuple):
    """A parsed target: a module, the dotted name of what is in it, and whether that makes the app."""

    module: str
    name: str = DEFAULT_NAME
    factory: bool = False

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


def parse_target(text: str, *, factory: bool = False) -> Target:
    """`module:app`, `module` (its `app`) or `module:create_app()`. Raises ValueError for anything else."""
    module, colon, name = text.partition(":")
    if name.endswith("()"):
        name, factory = name[:-2], True
    if module.endswith(".py") or "/" in module or "\\" in module:
        dotted = ".".join(filter(None, module.removesuffix(".py").replace("\\", "/").lstrip("./").split("/")))
        hint = f"{dotted}:{name or DEFAULT_NAME}"
        raise ValueError(f"{quoted(text)} is a path; write the module's name, such as {quoted(hint)}")
    if not _is_dotted_name(module) or (colon and not _is_dotted_name(name)):
        raise ValueError(f"{quoted(text)} is not of the form `module:app` or `module:create_app()`")
    return Target(module, name or DEFAULT_NAME, factory)


def load_target(target: Target, folder: str) -> Any:
    """The app that `target` names, its module being looked for in `folder` first. Raises TargetError."""
    app: Any = import_module(target.module, folder)
    for name in target.name.split("."):
        owner = app
        try:
            app = getattr(owner, name)
        except AttributeError:
            owned = f"`{target.module}` has" if isinstance(owner, ModuleType) else f"{quoted(owner)} has"
            known = sorted(
                word for word in dir(owner) if not word.startswith("_") and _is_callable(owner, word)
            )
            raise TargetError(f"{owned} no {quoted(name)}{did_you_mean(name, known)}") from None
    if not target.factory:
        return app
    if not callable(app):
        raise TargetError(f"{target} is no factory: it cannot be called")
    return _guarded(f"calling the factory {target}", app)


def import_module(module: str, folder: str) -> ModuleType:
    """The module of this name, which is looked for in `folder` first. Raises TargetError."""
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Another name is one that the app's own code looks for.
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise TargetError(_no_such_module(error.name, folder)) from None
        raise TargetError(f"importing `{module}` failed: {_named(error)}") from error
    except (Exception, SystemExit) as error:
        raise TargetError(f"importing `{module}` failed: {_named(error)}") from error


def check_app(target: Target, app: object) -> str:
    """The interface that the app speaks. Raises TargetError where it speaks none, or which is not plain."""
    try:
        return interface_of(app)
    except TypeError as error:
        if target.factory:
            raise TargetError(f"what the factory {target} returned is no app: {error}") from None
        if not callable(app):
            raise TargetError(f"{target}: {error}") from None
        hint = "; if it makes the app, add --factory" if _takes_no_arguments(app) else ""
        raise TargetError(
            f"{target} takes neither (scope, receive, send) nor (environ, start_response), so that it cannot "
            f"be told whether it speaks ASGI or WSGI; name it with --interface{hint}"
        ) from None


def own_traceback(error: BaseException) -> str:
    """The traceback of what an app's own code raised, without the steps that led into that code."""
    step = error.__traceback__
    while step is not None and _is_machinery(step.tb_frame.f_code.co_filename):
        step = step.tb_next
    return "".join(traceback.format_exception(error.with_traceback(step))).rstrip("\n")


def _is_machinery(filename: str) -> bool:
    return filename in (__file__, importlib.__file__) or filename.startswith("<frozen importlib")


def _no_such_module(module: str, folder: str) -> str:
    parent, _, last = module.rpartition(".")
    places = getattr(sys.modules.get(parent), "__path__", None) if parent else [folder]
    if places is None:
        return (
            f"`{parent}` is a module and no package, so there is no `{module}` in it; write `{parent}:{last}`"
        )
    known = sorted(found.name for found in iter_modules(places))
    return f"no module `{module}` in {', '.join(places)}{did_you_mean(last, known)}"


def _guarded(doing: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (Exception, SystemExit) as error:
        raise TargetError(f"{doing} failed: {_named(error)}") from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _is_callable(owner: object, name: str) -> bool:
    return callable(inspect.getattr_static(owner, name, None))


def _takes_no_arguments(app: object) -> bool:
    try:
        inspect.signature(app).bind()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return True


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
