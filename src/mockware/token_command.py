"""The command `mockware token`: what is allowed, written down and signed.

Law: as in `cli.py`. The key comes from MOCKWARE_KEY and from nowhere else: everybody on the machine sees a
command line, and the shell keeps it. Only the token goes to stdout, so that it can be put into a variable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from .arguments import DONE, Parser
from .durations import MAX_DELAY_S, parse_delay, parse_duration
from .environment import check_service, read_environment
from .exceptions import ConfigError, Problem, quoted
from .terminal import Terminal
from .tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, Scope, TokenKey, check_glob, key_problem
from .triggers import Choice, parse_choices

_HOURS = f"{DEFAULT_LIFETIME_S / 3600:g}h"
_MOST = f"{MAX_LIFETIME_S / 3600:g}h"


def token(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "token",
        "Print a token that lets somebody else ask for mocks, but only for these, and only for a while. It\n"
        "is signed with MOCKWARE_KEY, which the service has too, and is sent instead of it. There is no\n"
        "secret in it, it cannot be changed, and before it expires only another MOCKWARE_KEY ends it.",
        "What is left out is not limited; but with --status alone no rule may be named, and with --names\n"
        "alone no status. `X-Mock-Status: passthrough` is always allowed.\n\n"
        "Examples:\n"
        '  mockware token --paths "/payments/*" --status 503,202 --max-delay 5s --for 8h\n'
        "  mockware token --names payments-down 'POST /reports' --for 2h\n"
        "  mockware token --status 503 --service billing --for 15m\n\n"
        "A request shows it as `X-Mock-Key: TOKEN`, beside X-Mock-Status, X-Mock-Name or X-Mock-Delay; or,\n"
        "for a service with MOCKWARE_SERVICE=billing in a call chain, as\n"
        "`baggage: mock.billing=503;key=TOKEN`. Baggage goes to every service on the way, and maybe beyond:\n"
        "give such a token minutes and a --service.\n\n"
        "Exit codes: 0 done, 1 no MOCKWARE_KEY that can sign, 2 wrong usage.",
    )
    parser.add_argument(
        "--paths",
        nargs="+",
        action="extend",
        default=[],
        metavar="GLOB",
        help='paths, such as "/payments/*": `*` stands for any characters, `/` among them',
    )
    parser.add_argument(
        "--status", action="append", default=[], metavar="CODES", help="statuses, such as 503,202"
    )
    parser.add_argument(
        "--names",
        nargs="+",
        action="extend",
        default=[],
        metavar="RULE",
        help="rules that X-Mock-Name may ask for",
    )
    parser.add_argument(
        "--max-delay",
        default=f"{MAX_DELAY_S:g}s",
        metavar="TIME",
        help=f"the longest X-Mock-Delay, such as 5s; at most {MAX_DELAY_S:g}s",
    )
    parser.add_argument(
        "--for",
        dest="lifetime",
        default=_HOURS,
        metavar="TIME",
        help=f"until it expires, such as 30m; {_HOURS} if not given, at most {_MOST}",
    )
    parser.add_argument(
        "--service", default="", metavar="NAME", help="only the one with this MOCKWARE_SERVICE"
    )
    if any(argument.partition("=")[0] == "--key" for argument in arguments):
        parser.error("the key is no argument, which everybody on the machine can see: set MOCKWARE_KEY")
    options = parser.parse(arguments)
    (lifetime_s,) = _each(parser, "--for", [options.lifetime], _lifetime)
    (max_delay_s,) = _each(parser, "--max-delay", [options.max_delay], parse_delay)
    statuses = tuple(_each(parser, "--status", _listed(options.status), _status))
    names = tuple(options.names)
    # Whoever may ask for one thing only shall not get at others by another field.
    is_limited = bool(statuses or names)
    scope = Scope(
        paths=tuple(_each(parser, "--paths", options.paths, _glob)),
        statuses=statuses if is_limited else None,
        names=names if is_limited else None,
        max_delay_s=max_delay_s,
        expires_at=int(time.time() + lifetime_s),  # a few letters less
        service=options.service,
    )
    if scope.service:
        _each(parser, "--service", [scope.service], check_service)
    key = TokenKey(_key())
    try:
        signed = key.sign(scope)
    except ValueError as error:
        parser.error(str(error))
    out.line(signed)
    err.line(("dim", f"allows {scope}"))
    return DONE


def _key() -> str:
    """The key of the environment, as a service reads it. Raises ConfigError."""
    key = read_environment({**os.environ, "MOCKWARE_ALLOW_PRODUCTION": "yes"}, enabled=True).key
    if not key:
        reason = "not set; a token is signed with the key that the service has"
    elif not (reason := key_problem(key)):
        return key
    raise ConfigError([Problem("MOCKWARE_KEY", reason)])


_Read = TypeVar("_Read")


def _each(parser: Parser, option: str, values: Iterable[str], read: Callable[[str], _Read]) -> list[_Read]:
    """What an option's values stand for. Raises UsageError, with the one that is wrong."""
    found = []
    for value in values:
        try:
            found.append(read(value))
        except ValueError as error:
            parser.error(f"{option} {quoted(value)}: {error}")
    return found


def _listed(values: Sequence[str]) -> list[str]:
    return [item.strip() for value in values for item in value.split(",")]


def _lifetime(text: str) -> float:
    seconds = parse_duration(text)
    if not 1 <= seconds <= MAX_LIFETIME_S:
        raise ValueError(f"a token is for 1s at least and {_MOST} at most")
    return seconds


def _status(text: str) -> int:
    try:
        (choice,) = parse_choices(text)
    except ValueError:
        choice = Choice(None, 1.0)
    if choice.status is None or ":" in text:
        raise ValueError("a status is a number from 200 to 599; several are separated by commas")
    return choice.status


def _glob(text: str) -> str:
    check_glob(text)
    return text
