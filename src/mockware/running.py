"""`run`: an app that knows nothing of mockware, served by granian with mocks in front of it.

Law: the arguments are read here, and nothing is imported that they name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import hosting
from .served import ServedApp
from .targets import parse_target


def command() -> Any:
    """Granian's command with its own options, but TARGET in the place of its APP.

    Raises ImportError where granian is not installed.
    """
    import click
    from granian.constants import Interfaces

    target = click.Argument(["target"])
    interface = click.Option(
        ["--interface"],
        type=click.Choice([Interfaces.ASGI.value, Interfaces.ASGINL.value, Interfaces.WSGI.value]),
        show_default="found out",
        help="What TARGET speaks; asginl is ASGI without its lifespan.",
    )
    return hosting.command("run", _serve, params=[target, interface], help=HELP, epilog=EPILOG)


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


def _serve(granian: Any, *, target: str, factory: bool, interface: str | None, **options: Any) -> None:
    import click

    try:
        parsed = parse_target(target, factory=factory)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    folder = str((options["working_dir"] or Path()).resolve())
    served = ServedApp(**parsed._asdict(), folder=folder, interface=interface or "")
    hosting.host(granian, served, **options)
