"""`run`: an app that knows nothing of mockware, served by granian with mocks in front of it.

Law: this process only looks on. The app is imported by each worker, anew after each reload, and once
before that by a process of its own, which says how it speaks and what is wrong while there is still
somebody to tell (`serving.py` is what runs there). Granian's options are granian's: its own command reads
them, and what it does not know is an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from . import serving
from .exceptions import quoted
from .serving import RunError, Task
from .targets import parse_target
from .terminal import Terminal

_MISSING_RELOADER = (
    "--reload needs watchfiles, which is not installed; install it with: pip install 'granian[reload]'"
)

# The options whose default is not granian's.
_DEFAULTS = {
    # Half-written files are what a reloader sees all day.
    "reload_ignore_worker_failure": True,
    # In seconds. A granian worker that misses its signal (granian issue 651) would be waited for for ever,
    # by a reload, too.
    "workers_kill_timeout": 5,
}


def command() -> Any:
    """Granian's command with its own options, but TARGET in the place of its APP.

    Raises ImportError where granian is not installed.
    """
    import click
    from granian.cli import cli as granian
    from granian.constants import Interfaces

    def serve(**options: Any) -> None:
        _serve(granian, **options)

    kept = [copy(param) for param in granian.params if param.name not in ("app", "interface", "version")]
    for param in kept:
        if isinstance(param, click.Option) and param.name in _DEFAULTS:
            param.default = _DEFAULTS[param.name]
            param.show_default = True
    return click.Command(
        "run",
        params=[
            click.Argument(["target"]),
            click.Option(
                ["--rules"],
                multiple=True,
                metavar="FILE",
                allow_from_autoenv=False,
                help="Rules file; may be repeated. Comes after the files of MOCKWARE_FILE.",
            ),
            click.Option(
                ["--interface"],
                type=click.Choice([Interfaces.ASGI.value, Interfaces.ASGINL.value, Interfaces.WSGI.value]),
                show_default="found out",
                help="What TARGET speaks; asginl is ASGI without its lifespan.",
            ),
            *kept,
        ],
        callback=serve,
        help=HELP,
        epilog=EPILOG,
        context_settings={"show_default": True, "auto_envvar_prefix": "GRANIAN"},
    )


HELP = """Serve TARGET with mocks in front of it, on granian.

TARGET is `module:app`, ASGI or WSGI, or a factory: `module:create_app()`, or `module:create_app` with
--factory. Its code needs no change. MOCKWARE defaults to `on` here. The options but --rules are granian's.
With --reload, a change of a rules file in the working directory reloads as well, and a broken file is
waited out."""

EPILOG = """\b
Examples:
  mockware run main:app --rules mocks.toml
  mockware run main:app --rules mocks.toml --reload
  mockware run 'shop.wsgi:create_app()' --port 9000 --workers 2
  MOCKWARE=payments mockware run main:app --rules mocks.toml

\b
Exit codes: 0 stopped by Ctrl-C, 1 it cannot be served, 2 wrong usage."""


def _serve(granian: Any, *, target: str, rules: Sequence[str], interface: str | None, **options: Any) -> None:
    import click
    from granian.constants import Interfaces

    try:
        parsed = parse_target(target, factory=options.pop("factory"))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if options["reload"]:
        _require_reloader()
    environ = _environ_of_workers(options["env_files"])
    if rules:
        # There an app that wraps itself sees them, too.
        os.environ["MOCKWARE_FILE"] = environ["MOCKWARE_FILE"] = _joined(environ.get("MOCKWARE_FILE"), rules)
    folder = str((options["working_dir"] or Path()).resolve())
    task = Task(*parsed, folder, interface or "")
    found = look_at(task, environ)
    if found["notice"]:
        Terminal(sys.stderr, os.environ).line(found["notice"])
    os.environ[serving.VARIABLE] = json.dumps(task._replace(interface=found["interface"]))
    # As a path, since granian takes a dotted name for a file in the working directory.
    served_at = f"{Path(serving.__file__).resolve()}:{serving.served.__name__}"
    try:
        granian.callback(app=served_at, factory=True, interface=Interfaces(found["interface"]), **options)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        # An address that is taken or none, a port that is none, a certificate that is none.
        place = f"{options['host']}:{options['port']}"
        raise RunError([f"the server does not start at {place}: {first_line(error)}"]) from None


def first_line(error: Exception) -> str:
    """What granian has to say; behind it follows the stack of its Rust code."""
    return str(error).partition("\n")[0]


def _require_reloader() -> None:
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        raise RunError([_MISSING_RELOADER]) from None


def _joined(files: str | None, rules: Sequence[str]) -> str:
    """The value of MOCKWARE_FILE with more files behind it, absolute since an app may change its folder."""
    import click

    for file in rules:
        if os.pathsep in file:
            raise click.UsageError(f"--rules: {quoted(file)}: a path cannot have {os.pathsep!r} in it here")
    return os.pathsep.join(filter(None, [files, *(str(Path(file).absolute()) for file in rules)]))


def _environ_of_workers(env_files: Sequence[Path]) -> dict[str, str]:
    """The environment as granian will give it to its workers; it reads the files only when it starts."""
    environ: dict[str, str] = {}
    if env_files:
        try:
            from dotenv import dotenv_values
        except ImportError:  # which granian reports
            return dict(os.environ)
        for file in env_files:
            environ |= {name: value for name, value in dotenv_values(file).items() if value is not None}
    return {**environ, **os.environ}


def look_at(task: Task, environ: Mapping[str, str]) -> dict[str, str]:
    """The interface of the app and a notice, found by a process of its own. Raises RunError.

    In this process, the app would start its threads and connections for nothing, and workers that are
    forked from it would never see a changed module.
    """
    looking = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-m", serving.__name__],
        env={**environ, serving.VARIABLE: json.dumps(task)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(looking.stdout)
    except ValueError:
        said = looking.stderr.decode(errors="replace").rstrip("\n")
        raise RunError(
            [f"importing {task.target} ended the process: code {looking.returncode}"], said
        ) from None
    if "reasons" in found:
        raise RunError(found["reasons"], found["raised"])
    return found
