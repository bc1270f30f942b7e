"""Whom a rule counts by, and whose luck it decides: one word of the request, hashed.

Law: two callers never share a count or a fate because one of them is hostile, and what tells them apart
(a session, a user) goes nowhere in the clear. A request without the word belongs to one caller with all
others that lack it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from .exceptions import did_you_mean
from .messages import TOKEN, Request

_KINDS = ("rule", "path", "header", "cookie", "query")
_FIELD_NAME = re.compile(TOKEN)
_DIE = 2.0**64


class Caller(NamedTuple):
    """What tells callers apart: the header, cookie or query parameter `name`, the path, or nothing."""

    kind: str = "rule"
    name: str = ""

    def word(self, request: Request) -> str | None:
        """The word of `request` by which its caller is told, or None; of repeated parameters, the last."""
        match self.kind:
            case "path":
                return request.path
            case "header":
                return request.header(self.name)
            case "cookie":
                return request.cookies.get(self.name)
            case "query":
                values = request.query.get(self.name)
                return values[-1] if values else None
        return None

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


THE_RULE = Caller()


def parse_caller(declared: object) -> Caller:
    """`rule`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`. Raises ValueError for anything else."""
    if not isinstance(declared, str):
        raise ValueError("expected a string: `rule`, `path`, `header:NAME`, `cookie:NAME` or `query:NAME`")
    kind, colon, name = declared.partition(":")
    if kind not in _KINDS:
        raise ValueError(f"`{kind}` tells no callers apart{did_you_mean(kind, _KINDS)}")
    if kind in ("rule", "path"):
        if colon:
            raise ValueError(f"`{kind}` stands alone")
        return Caller(kind)
    if not name or (kind == "header" and not _FIELD_NAME.fullmatch(name)):
        raise ValueError(f"expected the name of a {kind} after `{kind}:`")
    return Caller(kind, name.lower() if kind == "header" else name)


class CounterKeys:
    """The names of one rule's counters: the same in every process that has a rule of this name."""

    __slots__ = ("_caller", "_rule")

    def __init__(self, caller: Caller, *, rule: str, service: str) -> None:
        self._caller = caller
        # Of another kind of caller, the same word is another one.
        self._rule = _hash(f"{service}\0{rule}\0{caller}", 8).hex()

    def key(self, request: Request) -> str:
        word = self._caller.word(request)
        return self._rule if word is None else f"{self._rule}.{_hash(word, 16).hex()}"


class Probability(NamedTuple):
    """The `share` of requests that a rule answers: drawn for each, or decided once for each caller.

    The same `seed` and the same word always give the same outcome, in every process and on every host.
    """

    share: float
    caller: Caller | None = None
    seed: str = ""

    def holds(self, request: Request, chance: Callable[[], float], *, rule: str) -> bool:
        """Whether the rule answers. A caller that cannot be told is drawn for, as if there were no `per`."""
        word = self.caller.word(request) if self.caller else None
        if word is None:
            return chance() < self.share
        # Without a seed each rule draws for itself: it would be odd if all failed the same tenth of users.
        drawn = _hash(f"{self.seed or rule}\0{word}", 8)
        return int.from_bytes(drawn) / _DIE < self.share


def parse_probability(declared: object) -> Probability | None:
    """A number from 0 to 1, or `{ value = 0.25, per = "header:x-user", seed = "any" }`, or ValueError."""
    if declared is None:
        return None
    if not isinstance(declared, Mapping):
        return Probability(_share(declared))
    for key in declared:
        if key not in ("value", "per", "seed"):
            raise ValueError(f"`{key}`: no such key{did_you_mean(str(key), ('value', 'per', 'seed'))}")
    if "value" not in declared or "per" not in declared:
        raise ValueError("expected a number from 0 to 1, or a table with `value` and `per`, and maybe `seed`")
    seed = declared.get("seed", "")
    if isinstance(seed, bool) or not isinstance(seed, (str, int)):
        raise ValueError("`seed` is a string or an integer")
    caller = parse_caller(declared["per"])
    if caller == THE_RULE:
        raise ValueError("`per` is `path`, `header:NAME`, `cookie:NAME` or `query:NAME`")
    return Probability(_share(declared["value"]), caller, str(seed))


def _share(declared: object) -> float:
    if isinstance(declared, bool) or not isinstance(declared, (int, float)) or not 0 <= declared <= 1:
        raise ValueError("expected a number from 0 to 1")
    return float(declared)


def _hash(text: str, length: int) -> bytes:
    # A lone surrogate may come from a hostile path or query.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=length).digest()
