"""Arguments of the commands, read by argparse, with errors in the words of this house.

Law: a wrong argument becomes a `UsageError` that names the nearest right one; nothing here prints or ends
the process. Options are never guessed from their beginnings: a new option would change what they mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .exceptions import MockwareError, did_you_mean, quoted

# The exit codes of all commands.
DONE, PROBLEMS, USAGE = 0, 1, 2


class UsageError(MockwareError):
    """Wrong arguments. `command` is the one whose --help says more; empty: that of all of them."""

    def __init__(self, message: str, command: str = "") -> None:
        self.command = command
        super().__init__(message)


class Parser(argparse.ArgumentParser):
    """The arguments of one command. Its --help prints and raises SystemExit, as in argparse."""

    def __init__(self, command: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"mockware {command}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._command = command

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self._command)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Arguments and options in any order. Raises UsageError."""
        found, unknown = self.parse_known_intermixed_args(arguments)
        for argument in unknown:
            known = [option for action in self._actions for option in action.option_strings]
            hint = did_you_mean(argument.partition("=")[0], known) if argument.startswith("-") else ""
            if argument.startswith("/"):
                hint = "; a method and its path are one argument, such as 'GET /orders'"
            self.error(f"{quoted(argument)} is not expected here{hint}")
        return found


def add_import(parser: Parser) -> None:
    """The option `--import`, whose values are in `imports`."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this first, where it registers path converters of your own; may be repeated",
    )


def import_modules(names: Sequence[str], parser: Parser) -> None:
    """What `--import` names. Raises UsageError."""
    from .targets import TargetError, import_module

    for name in names:
        try:
            import_module(name, str(Path.cwd()))
        except TargetError as error:
            parser.error(f"--import {quoted(name)}: {error}")
