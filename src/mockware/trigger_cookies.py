"""The cookie that asks for a mock, as it is made for the browser of whoever has the key.

Law: values in, values out. The cookie carries a token, never the key, and the token allows what the cookie
asks for and nothing more: that status, there, until then; no rule by its name, and no delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import quote

from .durations import parse_duration
from .environment import Environment
from .exceptions import ConfigError, Problem, quoted
from .tokens import MAX_LIFETIME_S, Scope, TokenKey, check_glob, key_problem
from .triggers import Triggers, parse_choices

# A cookie mocks all that its browser asks for, and is easily forgotten: an hour is for one thing to look at.
DEFAULT_FOR_S = 3600.0
# More than these are better said by one `*`; the token has room for some dozens.
MAX_PATHS = 20

TRIGGERS_OFF = "triggers are off: `[trigger]` of the rules file has `enabled = false`"


class TriggerCookie(NamedTuple):
    """The cookie's `value` is encoded as a cookie wants it; `expires_at` is in seconds of the epoch."""

    name: str
    value: str
    asks: str
    expires_at: float
    allows: Scope


def why_none(triggers: Triggers | None, key: str) -> str:
    """Why there can be no such cookie; nothing where there can."""
    if triggers is None:
        return TRIGGERS_OFF
    if triggers.cookie is None:
        return "no cookie is a trigger here: name one in `[trigger]` of the rules file, as `cookie`"
    return f"MOCKWARE_KEY is {problem}" if (problem := key_problem(key)) else ""


def make_cookie(
    given: Mapping[str, Any], triggers: Triggers | None, environment: Environment, now: float
) -> TriggerCookie:
    """What `given` asks for: `status`, maybe `paths` and `for`. Raises ConfigError with every problem."""
    why_not = why_none(triggers, environment.key)
    if why_not or triggers is None or triggers.cookie is None:
        raise ConfigError([Problem("request", why_not)])
    problems: list[Problem] = []

    def refuse(key: str, message: str) -> None:
        value = quoted(given[key]) if key in given else ""
        problems.append(Problem("request", message, key=key, value=value))

    statuses: set[int] = set()
    asks = ""
    if not isinstance(given.get("status"), str):
        refuse("status", "expected a string" if "status" in given else "required, but absent")
    else:
        asks = "".join(given["status"].split())
        try:
            statuses = {status for status, _ in parse_choices(asks) if status is not None}
        except ValueError as error:
            refuse("status", str(error))
        for status in sorted(statuses):
            if why_not := triggers.why_not(status):
                refuse("status", why_not)
                break
    paths = given.get("paths") or []
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        refuse("paths", "expected a list of strings")
    elif len(paths) > MAX_PATHS:
        refuse("paths", f"at most {MAX_PATHS}; `*` stands for any characters")
    else:
        for path in paths:
            try:
                check_glob(path)
            except ValueError as error:
                refuse("paths", f"{quoted(path)}: {error}")
    for_s = DEFAULT_FOR_S
    if given.get("for") is not None:
        try:
            for_s = parse_duration(given["for"])
            if not 1 <= for_s <= MAX_LIFETIME_S:
                raise ValueError(f"1s at least, and {MAX_LIFETIME_S / 3600:g}h (7 days) at most")
        except ValueError as error:
            refuse("for", str(error))
    if problems:
        raise ConfigError(problems)
    scope = Scope(tuple(paths), tuple(sorted(statuses)), (), 0.0, ceil(now + for_s), environment.service)
    try:
        token = TokenKey(environment.key).sign(scope)
    except ValueError as error:
        raise ConfigError([Problem("request", str(error))]) from None
    # RFC 6265 section 4.1.1: a cookie's value has no `;`, no comma and no blank in it.
    return TriggerCookie(
        triggers.cookie, quote(f"{asks};key={token}", safe=""), asks, scope.expires_at, scope
    )
