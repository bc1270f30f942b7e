"""What the environment says: whether mockware is on, why, and where its rules are.

Law: this is all that runs while mockware is off, so it imports nothing that costs, opens no file, and
knows no rule. The environment is an argument; nobody below the commands reads `os.environ` elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import NoneType
from typing import NamedTuple

from .exceptions import ConfigError, Problem, quoted

# By these names, deployments say where they are; frameworks and platforms gave them.
_STAGE_VARIABLES = ("APP_ENV", "ENVIRONMENT", "ENV", "DJANGO_ENV", "FLASK_ENV", "PYTHON_ENV")
_PRODUCTION = frozenset(("prod", "production"))
_ALLOW_PRODUCTION = "MOCKWARE_ALLOW_PRODUCTION"

# All that is read here, beside MOCKWARE itself.
VARIABLES = (
    *("MOCKWARE_FILE", "MOCKWARE_RULES", "MOCKWARE_KEY", "MOCKWARE_CONTROL", "MOCKWARE_SERVICE"),
    *("MOCKWARE_WATCH", "MOCKWARE_STORE", _ALLOW_PRODUCTION),
)
# Kubernetes and Docker's links set these by themselves, for a service whose name begins with mockware.
_OF_A_SERVICE = re.compile(r"MOCKWARE_(?:\w+_)?(?:SERVICE_(?:HOST|PORT(?:_\w+)?)|PORT(?:_[0-9]+_\w+)?)")

# W3C Baggage allows more, but tracing libraries percent-encode the rest, each in its own way.
_SERVICE = re.compile(r"[A-Za-z0-9._-]+")
# What no framework, server or proxy writes in another way (RFC 3986 section 2.3).
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")


class Environment(NamedTuple):
    """The environment's word. `selected` names the rules and tags that are on; empty: all are.

    `why` is the end of the sentence "mockware is on (or off): ...". `refused` says that it would be on,
    had this not been production: an error worth a line in the log.
    """

    enabled: bool
    why: str
    refused: bool = False
    selected: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    short_rules: str = ""
    key: str = ""
    service: str = ""
    store: str = ""
    watches: bool = True
    control: str = ""
    variables: Mapping[str, str] | None = None  # for what rules name themselves: secrets; None: not known

    def __repr__(self) -> str:
        return f"<Environment: {self.why}>"  # whatever is logged, the keys are not


def read_environment(environ: Mapping[str, str] | None = None, *, enabled: bool | None = None) -> Environment:
    """`enabled` overrides `MOCKWARE`, but not the guard against production.

    While off, nothing but that is looked at. Raises ConfigError where mockware is on and a variable has a
    value that it cannot have.
    """
    if not isinstance(enabled, (bool, NoneType)):
        # `enabled="off"` would otherwise turn it on.
        raise TypeError(f"enabled= takes True, False, or None for the environment to decide, not {enabled!r}")
    environ = os.environ if environ is None else environ
    toggle = environ.get("MOCKWARE", "").strip()
    words = tuple(word.strip() for word in toggle.split(",") if word.strip())
    if enabled is False or (enabled is None and (not words or toggle.lower() == "off")):
        why = "enabled=False" if enabled is False else f"MOCKWARE is {toggle.lower() or 'not set'}"
        return Environment(enabled=False, why=why)
    for name in _STAGE_VARIABLES:
        if environ.get(name, "").strip().lower() in _PRODUCTION and environ.get(_ALLOW_PRODUCTION) != "yes":
            why = f"{name} says {environ[name].strip()!r}; {_ALLOW_PRODUCTION}=yes would allow it"
            return Environment(enabled=False, why=why, refused=True)

    selected = () if toggle.lower() in ("on", "off") else words
    problems = [
        Problem("MOCKWARE", f"`{word}` stands alone; a list names rules and tags", value=quoted(toggle))
        for word in selected
        if word.lower() in ("on", "off")
    ]
    key = environ.get("MOCKWARE_KEY", "")
    control = environ.get("MOCKWARE_CONTROL", "").strip().rstrip("/")
    if environ.get("MOCKWARE_CONTROL", "").strip():
        if not _PREFIX.fullmatch(control):
            allowed = "expected a path such as `/__mockware__`: letters, digits, `.`, `_`, `~` and `-`"
            problems.append(Problem("MOCKWARE_CONTROL", allowed, value=quoted(environ["MOCKWARE_CONTROL"])))
        if not key:
            alone = "whoever finds the page could switch rules; set MOCKWARE_KEY to what they must present"
            problems.append(Problem("MOCKWARE_CONTROL", alone))
    if not key.isprintable() or key.strip() != key:
        allowed = "a key that no header can carry; allowed: printable characters, without blanks at the ends"
        problems.append(Problem("MOCKWARE_KEY", allowed))
    service = environ.get("MOCKWARE_SERVICE", "").strip()
    try:
        if service:
            check_service(service)
    except ValueError as error:
        problems.append(Problem("MOCKWARE_SERVICE", str(error), value=quoted(service)))
    watch = environ.get("MOCKWARE_WATCH", "").strip()
    if watch.lower() not in ("", "on", "off"):
        allowed = "allowed: `on` (the default) and `off`; what is watched are the rules files"
        problems.append(Problem("MOCKWARE_WATCH", allowed, value=quoted(watch)))
    if problems:
        raise ConfigError(problems)
    return Environment(
        enabled=True,
        why="enabled=True" if enabled else f"MOCKWARE={toggle}",
        selected=selected,
        files=tuple(filter(None, environ.get("MOCKWARE_FILE", "").split(os.pathsep))),
        short_rules=environ.get("MOCKWARE_RULES", ""),
        key=key,
        service=service,
        store=environ.get("MOCKWARE_STORE", "").strip(),
        watches=watch.lower() != "off",
        control=control,
        variables=environ,
    )


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Those that are called like ours, and that nobody reads: most probably mistyped."""
    return sorted(
        name
        for name in environ
        if name.startswith("MOCKWARE_") and name not in VARIABLES and not _OF_A_SERVICE.fullmatch(name)
    )


def check_service(name: str) -> None:
    """Raises ValueError for what cannot be the name of a service."""
    if not _SERVICE.fullmatch(name):
        raise ValueError("a name in `baggage` is made of letters, digits, `.`, `_` and `-`")
