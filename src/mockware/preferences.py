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

# preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ); a word is a token or quoted. Nothing
# that was taken is given back, so that the time is in proportion to the length, whatever it is that is sent.
_QUOTED = r"\"(?:[^\"\\]|\\.)*+\""
_PREFERENCE = re.compile(
    rf"[ \t]*+({TOKEN}+)(?:[ \t]*+=[ \t]*+({TOKEN}+|{_QUOTED}))?+"
    rf"(?:[ \t]*+;(?:[^,;\"]|{_QUOTED})*+)*+[ \t]*+(?:,|$)"
)
_ELEMENT = re.compile(rf"(?:[^,\"]|{_QUOTED}|\")*+(?:,|$)")
_ESCAPED = re.compile(r"\\(.)")
_SECONDS = re.compile("[0-9]{1,9}")


class Preferences(NamedTuple):
    """`respond_async`: rather a 202 than waiting. `wait_s`: how long the client would wait, if it says so."""

    respond_async: bool = False
    wait_s: int | None = None


def read_preferences(field: str | None) -> Preferences:
    """The preferences of a request; of one that is said twice, the first counts (section 2)."""
    found: dict[str, str] = {}
    text = field or ""
    if len(text) > MAX_PREFER_CHARS:
        text = text[:MAX_PREFER_CHARS].rpartition(",")[0]  # half a number is another number
    at = 0
    while at < len(text):
        match = _PREFERENCE.match(text, at)
        if match is not None:
            name, value = match.groups(default="")
            if value.startswith('"'):
                value = _ESCAPED.sub(r"\1", value[1:-1])
            found.setdefault(name.lower(), value)
        elif (match := _ELEMENT.match(text, at)) is None:
            break
        at = match.end()
    wait = found.get("wait", "")
    return Preferences(
        "respond-async" in found and found["respond-async"] == "",
        int(wait) if _SECONDS.fullmatch(wait) else None,
    )
