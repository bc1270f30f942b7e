"""What `run`, `proxy` and `serve` leave to other processes: workers that serve, and one that looks first.

Law: only here is an app imported, or made. What there is to do travels in the environment (`VARIABLE`), so
that a worker that is started again, on whatever platform, finds everything that the first one did; and
whatever goes wrong is told in lines for a person, since nobody reads a worker's traceback.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .asgi import ASGIMockMiddleware
from .environment import Environment, read_environment
from .exceptions import ConfigError, MockwareError
from .interfaces import interface_of
from .middleware import MockMiddleware
from .served import RunError, Served
from .targets import TargetError, own_traceback
from .terminal import Terminal
from .wsgi import WSGIMockMiddleware

if TYPE_CHECKING:
    from .configuration import Configuration

# What is served, as text; not for users.
VARIABLE = "_MOCKWARE_RUN"


def served() -> Any:
    """The app with mocks in front of it: what granian calls in each worker, to have something to serve."""
    leave_ctrl_c_to_the_parent()
    package_folder = str(Path(__file__).resolve().parents[1])
    if sys.path[0] == package_folder:
        del sys.path[0]  # where granian found this file; the app's own modules come first
    try:
        what, app = _load()
        _show_log(what.log_level)
        return _wrapped(what.interface, app)
    except (MockwareError, TypeError) as error:
        _refusal(error).tell(Terminal(sys.stderr, os.environ))
        sys.exit(1)


def leave_ctrl_c_to_the_parent() -> None:
    """Spares this worker the SIGINT that Ctrl-C sends to the parent and all workers alike.

    The parent's SIGTERM follows at once, and of the two together about every other WSGI worker of granian
    2.8 hangs. Programs that the app starts inherit this, and have to be ended by the app.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _load() -> tuple[Served, Any]:
    what = Served.from_text(os.environ[VARIABLE])
    if not os.environ.get("MOCKWARE", "").strip():
        os.environ["MOCKWARE"] = "on"
    return what, what.load()


def _wrapped(interface: str, app: Any) -> Any:
    if isinstance(app, MockMiddleware):
        return app  # it has the rules of the environment already
    if interface == "wsgi":
        return WSGIMockMiddleware(app)
    wrapped = ASGIMockMiddleware(app)
    if wrapped is app and interface_of(app) == "ASGI 2":
        from asgiref.compatibility import double_to_single_callable

        return double_to_single_callable(app)  # type: ignore[no-untyped-call]
    return wrapped


def _show_log(level: int) -> None:
    """Shows what is at least of this level, unless the app has set up logging as it wants it."""
    logger = logging.getLogger("mockware")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))  # as granian writes its own
        logger.addHandler(handler)
        logger.setLevel(level)


def _look() -> dict[str, Any]:
    try:
        what, app = _load()
        what = what.looked_at(app)
        environment = read_environment()
        apart: list[str] = []
        if environment.enabled:
            from .config import load
            from .installation import check_store

            configuration = load(environment)
            what = what.heeding(configuration)
            check_store(environment.store)
            if not isinstance(app, MockMiddleware):  # it may have a store of its own
                apart += _apart(what, environment, configuration)
    except MockwareError as error:
        refused = _refusal(error)
        return {"reasons": refused.reasons, "raised": refused.raised}
    notices = [*what.notices(), *apart]
    if not environment.enabled:
        notices.append(f"mockware is off: {environment.why}; {what} is served without mocks")
    return {"served": what.to_text(), "interface": what.interface, "notices": notices}


def _apart(what: Served, environment: Environment, configuration: Configuration) -> Iterator[str]:
    """What each of several workers would have to itself, though it is meant to be one for all of them."""
    if what.workers == 1 or environment.store not in ("", "memory:"):
        return
    from .review import remembered
    from .task_table import TaskTable

    rules = [entry.rule for entry in configuration.entries if entry.on]
    tasks = [(rule, rule.task) for rule in rules if isinstance(rule.task, TaskTable)]
    parts = {
        "counts": any(rule.counts for rule in rules),
        "tasks": any(remembered(rule, task) for rule, task in tasks),
        "changes of the control page": bool(environment.control),
    }
    if own := [part for part, holds in parts.items() if holds]:
        yield (
            f"warning: each of the {what.workers} workers has its own {' and '.join(own)}; name a store that "
            "they share in MOCKWARE_STORE, such as sqlite:/tmp/mocks.db"
        )


def _refusal(error: Exception) -> RunError:
    if isinstance(error, RunError):
        return error
    if isinstance(error, ConfigError):
        return RunError([str(problem) for problem in error.problems])
    cause = error.__cause__ if isinstance(error, TargetError) else None
    return RunError([str(error)], own_traceback(cause) if cause else "")


def _main() -> None:
    # What the app prints is not the answer.
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        answer.write(json.dumps(_look()))
    # At once: the app may have started threads that would not let the process end.
    os._exit(0)


if __name__ == "__main__":
    _main()
