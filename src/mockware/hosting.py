"""What `run`, `proxy` and `serve` have in common: granian, which serves what they name.

Law: this process only looks on. What is served is made by each worker, anew after each reload, and once
before that by a process of its own, which says how it speaks and what is wrong while there is still somebody
to tell (`workers.py` is what runs there). Granian's options are granian's: its own command reads them, and
what it does not know is an error.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from errno import EADDRINUSE, EADDRNOTAVAIL
from pathlib import Path
from typing import Any

from . import workers
from .exceptions import quoted
from .served import RunError, Served
from .terminal import Terminal

_MISSING_RELOADER = (
    "--reload needs watchfiles, which is not installed; install it with: pip install 'granian[reload]'"
)

# The options whose default is not granian's.
_DEFAULTS: Mapping[str, Any] = {
    # Half-written files are what a reloader sees all day.
    "reload_ignore_worker_failure": True,
    # In seconds. A granian worker that misses its signal (granian issue 651) would be waited for for ever,
    # by a reload, too. Runs in the background have 5 s to end and 2 s to be told of; docker kills after 10 s.
    "workers_kill_timeout": 9,
}
# What `serve` has in the place of granian's APP, and what each command decides by itself.
_NOT_TAKEN_OVER = frozenset(("app", "interface", "version"))


def command(
    name: str,
    serve: Callable[..., None],
    *,
    params: Sequence[Any],
    help: str,  # noqa: A002 - as click calls it
    epilog: str,
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """A click command: `params` of its own, `--rules`, and granian's options but those `without`.

    It calls `serve` with granian's command and all of their values. Raises ImportError where granian is not
    installed.
    """
    import click
    from granian.cli import cli as granian

    def called(**options: Any) -> None:
        serve(granian, **options)

    kept = [copy(param) for param in granian.params if param.name not in _NOT_TAKEN_OVER.union(without)]
    for param in kept:
        default = {**_DEFAULTS, **(defaults or {})}.get(param.name)
        if default is not None and isinstance(param, click.Option):
            param.default = default
            param.show_default = True
    rules = click.Option(
        ["--rules"],
        multiple=True,
        metavar="FILE",
        allow_from_autoenv=False,
        help="Rules file; may be repeated. Comes after the files of MOCKWARE_FILE.",
    )
    return click.Command(
        name,
        params=[*params, rules, *kept],
        callback=called,
        help=help,
        epilog=epilog,
        context_settings={"show_default": True, "auto_envvar_prefix": "GRANIAN"},
    )


def host(granian: Any, what: Served, *, rules: Sequence[str], **options: Any) -> None:
    """Serves it with granian's `options` until Ctrl-C. Raises RunError where it cannot be served."""
    from granian.constants import Interfaces

    if options.get("reload"):
        _require_reloader()
    environ = _environ_of_workers(options["env_files"])
    if rules:
        # There an app that wraps itself sees them, too.
        os.environ["MOCKWARE_FILE"] = environ["MOCKWARE_FILE"] = _joined(environ.get("MOCKWARE_FILE"), rules)
    found = look_at(replace(what, log_level=_log_level(options), workers=options["workers"]), environ)
    out = Terminal(sys.stderr, os.environ)
    for notice in found["notices"]:
        out.line(notice)
    os.environ[workers.VARIABLE] = found["served"]
    on_socket = options.get("uds")
    place = str(on_socket or f"{options['host']}:{options['port']}")
    if not on_socket and (taken := _reason_against(options["host"], options["port"])):
        raise RunError([f"the server does not start at {place}: {taken}"])
    # As a path, since granian takes a dotted name for a file in the working directory.
    served_at = f"{Path(workers.__file__).resolve()}:{workers.served.__name__}"
    try:
        granian.callback(
            **{**_left_out(granian), **options},
            app=served_at,
            factory=True,
            interface=Interfaces(found["interface"]),
        )
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        # An address that is taken or none, a port that is none, a certificate that is none.
        raise RunError([f"the server does not start at {place}: {first_line(error)}"]) from None


def _log_level(options: Mapping[str, Any]) -> int:
    """What granian's options say of the log, for ours."""
    if not options["log_enabled"]:
        return logging.CRITICAL + 1
    name = options["log_level"].name.upper()
    return logging.getLevelNamesMapping().get(name, logging.INFO)


def _left_out(granian: Any) -> dict[str, Any]:
    """The defaults of granian's options, for those that a command does not have."""
    import click

    context = click.Context(granian)
    return {
        param.name: param.get_default(context)
        for param in granian.params
        if param.name not in _NOT_TAKEN_OVER.union(("factory",))
    }


def free_port(host: str, port: int = 0) -> int:
    """`port`, or any port for 0, if nobody listens there at this moment. Raises OSError if somebody does.

    Asked first, since granian would share a port with another granian, each getting half of the requests.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name == "posix":  # elsewhere this would take the port from its owner
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        free: int = probe.getsockname()[1]
        return free


def _reason_against(host: str, port: int) -> str:
    """Why nothing can listen there, as far as it can be told before granian tries."""
    try:
        free_port(host, port)
    except OSError as error:
        if error.errno == EADDRINUSE:
            return "something listens there already"
        if error.errno == EADDRNOTAVAIL:
            return "this machine has no such address"
    except OverflowError:
        return "a port is a number from 0 to 65535"
    return ""


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


def look_at(what: Served, environ: Mapping[str, str]) -> dict[str, Any]:
    """What is served and how it speaks, and notices, found by a process of its own. Raises RunError.

    In this process, an app would start its threads and connections for nothing, and workers that are
    forked from it would never see a changed module.
    """
    looking = subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-m", workers.__name__],
        env={**environ, workers.VARIABLE: what.to_text()},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(looking.stdout)
    except ValueError:
        said = looking.stderr.decode(errors="replace").rstrip("\n")
        raise RunError([f"importing {what} ended the process: code {looking.returncode}"], said) from None
    if "reasons" in found:
        raise RunError(found["reasons"], found["raised"])
    return found
