"""What a client would rather have: the Prefer field (RFC 7240).

Law: a preference that is not known, or not understood, is as if absent (RFC 7240 section 2): a client that
says more than we know never gets an error for it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .messages import TOKEN

# Nobody prefers more than a line; a parser need not see more than that.
MAX_PREFER_CHARS = 1024

# preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ); a word is a token or quoted.
_PREFERENCE = re.compile(
    rf"[ \t]*({TOKEN})(?:[ \t]*=[ \t]*({TOKEN}|\"(?:[^\"\\]|\\.)*\"))?"
    rf"((?:[ \t]*;[^,;\"]*(?:\"(?:[^\"\\]|\\.)*\")?)*)[ \t]*(?:,|$)"
)
_SECONDS = re.compile("[0-9]{1,9}")


class Preferences(NamedTuple):
    """`respond_async`: rather a 202 than waiting. `wait_s`: how long the client would wait, if it says so."""

    respond_async: bool = False
    wait_s: int | None = None


def read_preferences(field: str | None) -> Preferences:
    """The preferences of a request; of one that is said twice, the first counts (section 2)."""
    found: dict[str, str] = {}
    text = (field or "")[:MAX_PREFER_CHARS]
    at = 0
    while at < len(text):
        match = _PREFERENCE.match(text, at)
        if match is None:
            # Nothing that can be understood: on behind the next comma.
            at = text.find(",", at) + 1
            if not at:
                break
            continue
        name, value, _ = match.groups()
        found.setdefault(name.lower(), (value or "").strip('"'))
        at = match.end()
    wait = found.get("wait", "")
    return Preferences(
        "respond-async" in found and found["respond-async"] == "",
        int(wait) if _SECONDS.fullmatch(wait) else None,
    )
