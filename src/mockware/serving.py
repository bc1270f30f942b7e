"""What `run` leaves to other processes: the workers that serve the app, and the one that looks at it first.

Law: only here is the app imported. What there is to do travels in the environment (`VARIABLE`), so that a
worker that is started again, on whatever platform, finds everything that the first one did; and whatever
goes wrong is told in lines for a person, since nobody reads a worker's traceback.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .asgi import ASGIMockMiddleware
from .environment import read_environment
from .exceptions import ConfigError, MockwareError
from .interfaces import interface_of
from .targets import Target, TargetError, check_app, load_target, own_traceback
from .terminal import Terminal
from .wsgi import WSGIMockMiddleware

# A `Task`, as JSON; not for users.
VARIABLE = "_MOCKWARE_RUN"


class RunError(MockwareError):
    """The app cannot be served. Has a line for each reason, and what its own code raised, if it did."""

    def __init__(self, reasons: Sequence[str], raised: str = "") -> None:
        self.reasons = tuple(reasons)
        self.raised = raised
        super().__init__("\n".join(reasons))


class Task(NamedTuple):
    """What to serve. `interface` is granian's word for it, empty where it is to be found out."""

    module: str
    name: str
    factory: bool
    folder: str
    interface: str

    @property
    def target(self) -> Target:
        return Target(self.module, self.name, self.factory)


def served() -> Any:
    """The app with mocks in front of it: what granian calls in each worker, to have something to serve."""
    leave_ctrl_c_to_the_parent()
    package_folder = str(Path(__file__).resolve().parents[1])
    if sys.path[0] == package_folder:
        del sys.path[0]  # where granian found this file; the app's own modules come first
    try:
        task, app = _load()
        return _wrapped(task, app)
    except (MockwareError, TypeError) as error:
        tell(_refusal(error), Terminal(sys.stderr, os.environ))
        sys.exit(1)


def leave_ctrl_c_to_the_parent() -> None:
    """Spares this worker the SIGINT that Ctrl-C sends to the parent and all workers alike.

    The parent's SIGTERM follows at once, and of the two together about every other WSGI worker of granian
    2.8 hangs. Programs that the app starts inherit this, and have to be ended by the app.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def tell(refused: RunError, terminal: Terminal) -> None:
    """Writes down why an app cannot be served."""
    if refused.raised:
        terminal.block(refused.raised)
    for reason in refused.reasons:
        terminal.line(("red", "error:"), " ", reason)


def _load() -> tuple[Task, Any]:
    task = Task(*json.loads(os.environ[VARIABLE]))
    if not os.environ.get("MOCKWARE", "").strip():
        os.environ["MOCKWARE"] = "on"
    return task, load_target(task.target, task.folder)


def _wrapped(task: Task, app: Any) -> Any:
    _show_log()
    if isinstance(app, (ASGIMockMiddleware, WSGIMockMiddleware)):
        return app  # it has the rules of the environment already
    if task.interface == "wsgi":
        return WSGIMockMiddleware(app)
    wrapped = ASGIMockMiddleware(app)
    if wrapped is app and interface_of(app) == "ASGI 2":
        from asgiref.compatibility import double_to_single_callable

        return double_to_single_callable(app)  # type: ignore[no-untyped-call]
    return wrapped


def _show_log() -> None:
    """Shows each mocked request, unless the app has set up logging as it wants it."""
    logger = logging.getLogger("mockware")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))  # as granian writes its own
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)


def _look() -> dict[str, Any]:
    try:
        task, app = _load()
        interface = _interface(task, app)
        environment = read_environment()
        if environment.enabled:
            from .config import load

            load(environment)
    except MockwareError as error:
        refused = _refusal(error)
        return {"reasons": refused.reasons, "raised": refused.raised}
    notice = ""
    if not environment.enabled:
        notice = f"mockware is off: {environment.why}; {task.target} is served without mocks"
    return {"interface": interface, "notice": notice}


def _interface(task: Task, app: Any) -> str:
    """What granian calls the app's interface; one that the user has named may not contradict it."""
    if isinstance(app, WSGIMockMiddleware):
        found = "wsgi"
    else:
        try:
            found = "wsgi" if check_app(task.target, app) == "WSGI" else "asgi"
        except TargetError:
            if task.interface and callable(app):
                return task.interface  # who names it knows better
            raise
    if task.interface and not task.interface.startswith(found):
        raise TargetError(f"--interface {task.interface}: {task.target} speaks {found.upper()}")
    return task.interface or found


def _refusal(error: Exception) -> RunError:
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
