"""Tokens: what whoever holds the key allows somebody else to ask for, where, and until when.

Law: a token says all of it by itself and is signed, so that any process with the same key can read it and
no store is asked. Whoever holds one can read it, too: there is no secret in it, and neither it nor the key is
ever shown in a message. One that is not ours is as if absent; one that is ours and does not suffice is worth
the reason, because whoever holds it is known.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from .durations import MAX_DELAY_S
from .exceptions import quoted

if TYPE_CHECKING:
    from itsdangerous import URLSafeSerializer

# A working day, and at most one week: a token that is forgotten in a script or a log ends by itself.
DEFAULT_LIFETIME_S = 8 * 3600.0
MAX_LIFETIME_S = 7 * 24 * 3600.0
# How far the clocks of whoever makes tokens and whoever reads them may be apart.
_SKEW_S = 300.0

# A quarter of the baggage that every carrier has to allow for (W3C Baggage section 3.3.2), and half of the
# member that OpenTelemetry's SDKs do.
MAX_TOKEN_CHARS = 2048

# A token lets its holder try keys offline, as fast as machines compute HMAC-SHA256. 16 characters of a
# random key in base64 are 96 bits.
MIN_KEY_CHARS = 16

# The testers of one deployment are dozens. At most 256 tokens are kept read, together below 1 MiB.
_MAX_REMEMBERED = 256

# Each purpose of the key has its own; another form of tokens will have another.
_PURPOSE = b"mockware token 1"

# The 48 bytes of SHA-384 are 64 letters of base64 without a spare bit: a signature has one spelling only,
# which the decoder alone would not see to. The dot at the start marks what has been compressed.
_TOKEN = re.compile(r"\.?[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{64}")


class OutOfScopeError(ValueError):
    """Why an authentic token does not suffice."""


class _NotOursError(Exception):
    pass


class Scope(NamedTuple):
    """What may be asked for. None of `statuses` or `names` (of rules), empty `paths`, empty `service`: any.

    `paths` are compared with the path that rules see, decoded; `*` in them stands for any characters, a slash
    among them. `expires_at` is in seconds of the epoch. `service` is the MOCKWARE_SERVICE that it is for.
    """

    paths: tuple[str, ...] = ()
    statuses: tuple[int, ...] | None = None
    names: tuple[str, ...] | None = None
    max_delay_s: float = MAX_DELAY_S
    expires_at: float = inf
    service: str = ""

    def check(self, path: str, service: str, clock: Callable[[], float]) -> None:
        """Raises OutOfScopeError where nothing may be asked for: it is too late, or another place."""
        if self.expires_at < inf:
            now = clock()
            if now >= self.expires_at:
                raise OutOfScopeError(f"the token has expired at {_written(self.expires_at)}")
            if self.expires_at - now > MAX_LIFETIME_S + _SKEW_S:
                raise OutOfScopeError(
                    f"the token has more than {MAX_LIFETIME_S / 3600:g}h to go, as none may: a clock is wrong"
                )
        if self.service and self.service != service:
            here = f"this is {quoted(service)}" if service else "this one has no MOCKWARE_SERVICE"
            raise OutOfScopeError(f"the token is for the service {quoted(self.service)}, and {here}")
        if self.paths and not any(glob_matches(glob, path) for glob in self.paths):
            globs = quoted(", ".join(self.paths))
            raise OutOfScopeError(f"the token is for the paths {globs}, and this is {quoted(path)}")

    def holds(self, path: str, service: str, clock: Callable[[], float]) -> bool:
        """Whether something may be asked for here and now."""
        try:
            self.check(path, service, clock)
        except OutOfScopeError:
            return False
        return True

    def check_statuses(self, statuses: Iterable[int]) -> None:
        """Raises OutOfScopeError where one of them may not be asked for."""
        if self.statuses is None:
            return
        for status in statuses:
            if status not in self.statuses:
                raise OutOfScopeError(
                    f"{status}: the token allows {_only('statuses', map(str, self.statuses))}"
                )

    def named(self, name: str) -> str:
        """The rule that may be asked for by `name`, maybe percent-encoded. Raises OutOfScopeError."""
        if self.names is None or (name := name.strip(" \t")) in self.names:
            return name
        # Handed on as it is in the token: another rule may be called what the field says to the letter.
        if (decoded := unquote(name)) in self.names:
            return decoded
        raise OutOfScopeError(f"{quoted(name)}: the token allows {_only('rules', self.names)}")

    def check_delay(self, delay_s: float) -> None:
        """Raises OutOfScopeError where it is too long."""
        if delay_s > self.max_delay_s:
            raise OutOfScopeError(f"{delay_s:g}s: the token allows delays of at most {self.max_delay_s:g}s")

    def __str__(self) -> str:
        statuses = _allowed("status", "statuses", None if self.statuses is None else map(str, self.statuses))
        names = _allowed("rule", "rules", self.names)
        where = ", ".join(self.paths) or "any path"
        whose = f", of the service {self.service}" if self.service else ""
        until = f", until {_written(self.expires_at)}" if self.expires_at < inf else ""
        delays = f"delays of at most {self.max_delay_s:g}s"
        return f"{statuses}, {names} by name and {delays}, on {where}{whose}{until}"


ANYTHING = Scope()
"""What the key itself allows, or anybody may where there is no key."""


class TokenKey:
    """Makes and reads tokens; in every process with the same `key` alike."""

    def __init__(self, key: str) -> None:
        self._tokens = _serializer(key)
        # What raises is not kept: whoever has no token cannot push out those of others.
        self._read = lru_cache(_MAX_REMEMBERED)(self._verified)

    def sign(self, scope: Scope) -> str:
        """A token of this scope, fit for a header and for baggage. Raises ValueError where it is too long."""
        token = self._tokens.dumps(scope)
        if len(token) > MAX_TOKEN_CHARS:
            raise ValueError(
                f"the token would have {len(token)} characters, more than {MAX_TOKEN_CHARS}; allow less"
            )
        return token

    def read(self, shown: str) -> Scope | None:
        """What a token allows; None for what is none, or not one of this key."""
        try:
            return self._read(shown)
        except _NotOursError:
            return None

    def _verified(self, shown: str) -> Scope:
        from itsdangerous import BadData

        # Looked at before anything is computed, and so that one scope has one signed text only.
        if len(shown) > MAX_TOKEN_CHARS or not _TOKEN.fullmatch(shown):
            raise _NotOursError
        try:
            return _scope(*self._tokens.loads(shown))
        except (BadData, TypeError, ValueError):
            raise _NotOursError from None


def glob_matches(glob: str, path: str) -> bool:
    """Whether `*` in `glob` can stand for what `path` has there; in time that no glob makes long."""
    first, *pieces = glob.split("*")
    if not pieces:
        return glob == path
    if not path.startswith(first):
        return False
    at = len(first)
    *middle, last = pieces
    for piece in middle:
        found = path.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return len(path) - at >= len(last) and path.endswith(last)


def check_glob(glob: str) -> None:
    """Raises ValueError for what would match no path, or not the ones that are meant."""
    if not glob.isprintable():
        raise ValueError("a path is made of printable characters")
    if not glob.startswith("/"):
        raise ValueError("a path starts with `/`; `/*` is all of them")
    if ",/" in glob:
        raise ValueError("several paths stand apart, as arguments of their own: " + " ".join(glob.split(",")))
    if "?" in glob or "#" in glob:
        raise ValueError("a path ends before `?` and `#`; only `*` stands for other characters")
    if unquote(glob) != glob:
        raise ValueError(f"a path is written decoded: {unquote(glob)}")


def key_problem(key: str) -> str:
    """Why nothing should be signed with `key`; nothing where it can be."""
    if len(key) >= MIN_KEY_CHARS:
        return ""
    return (
        f"shorter than {MIN_KEY_CHARS} characters: whoever has a token could try keys until one has "
        "signed it; take a random one, such as of `openssl rand -base64 24`"
    )


def _scope(
    paths: Sequence[str],
    statuses: Sequence[int] | None,
    names: Sequence[str] | None,
    max_delay_s: float,
    expires_at: float,
    service: str,
) -> Scope:
    return Scope(
        tuple(paths),
        None if statuses is None else tuple(statuses),
        None if names is None else tuple(names),
        max_delay_s,
        expires_at,
        service,
    )


def _serializer(key: str) -> URLSafeSerializer:
    # Only where there is a key: nobody else has to pay for the import.
    from hashlib import sha384

    from itsdangerous import URLSafeSerializer

    secret = hmac.digest(key.encode("utf-8", "surrogateescape"), _PURPOSE, "sha256")
    signer: dict[str, Any] = {"key_derivation": "none", "digest_method": sha384}
    return URLSafeSerializer(secret, signer_kwargs=signer)


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _only(what: str, allowed: Iterable[str]) -> str:
    listed = ", ".join(allowed)
    return f"these {what} only: {quoted(listed)}" if listed else f"no {what}"


def _allowed(one: str, several: str, allowed: Iterable[str] | None) -> str:
    if allowed is None:
        return f"any {one}"
    listed = ", ".join(allowed)
    return f"the {several} {listed}" if listed else f"no {one}"
