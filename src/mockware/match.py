"""The first half of a rule: which methods, and which paths.

Law: a match that exists is valid. What a method and a path mean is here; conditions on the rest of a request
are elsewhere.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from .conditions import Difference
from .messages import TOKEN, Request
from .paths import PathTemplate

_METHODS = re.compile(f"{TOKEN}(?:,{TOKEN})*")


class Match(NamedTuple):
    """The requests that a rule is about: `methods` (None: any) on the paths of a template."""

    methods: frozenset[str] | None
    template: PathTemplate

    def method_difference(self, request: Request) -> Difference | None:
        if self.methods is None:
            # The browser's question before the request is the app's own to answer.
            if request.is_preflight:
                return Difference("method", "any but a CORS preflight", "a CORS preflight")
        elif request.method not in self.methods:
            return Difference("method", ", ".join(sorted(self.methods)), request.method)
        return None


@lru_cache(maxsize=2)  # the field's validator and the rule's own use follow each other
def parse_match(text: str) -> Match:
    """`[METHOD[,METHOD...]] /path`, or ValueError. GET stands for HEAD too (RFC 9110 section 9.3.2)."""
    before, slash, after = text.partition("/")
    methods = before.strip()
    if not slash or (methods and not _METHODS.fullmatch(methods)):
        raise ValueError("expected `[METHOD[,METHOD...]] /path`, such as `POST /reports`")
    template = PathTemplate(slash + after.rstrip())
    if not methods:
        return Match(None, template)
    names = frozenset(methods.upper().split(","))
    for name in names:
        if name.isdigit():
            raise ValueError(
                f"{name} is no method; a status stands by itself, and in MOCKWARE_RULES at the end"
            )
    return Match(names | {"HEAD"} if "GET" in names else names, template)
