"""Which of several representations a client would rather have: the Accept field (RFC 9110 section 12.5.1).

Law: a preference that cannot be met, or not be understood, is no error: section 12.4.1 lets a server
"disregard the Accept header field by treating the response as if it is not subject to content negotiation".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Browsers send up to 200 characters; a parser need not see more than that.
MAX_ACCEPT_CHARS = 1024

# qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ), section 12.4.2.
_QVALUE = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type among `offered` (at least one, in lower case) that the field `accept` rates highest.

    Of those rated alike, and where none is accepted, the first. The most specific range counts, as section
    12.5.1 has it; parameters other than `q` are passed over, since nothing here is offered with any.
    """
    text = accept or ""
    if len(text) > MAX_ACCEPT_CHARS:
        text = text[:MAX_ACCEPT_CHARS].rpartition(",")[0]  # half a range is another range
    qualities: dict[str, float] = {}
    for element in text.split(","):
        media_range, *parameters = (part.strip(" \t").lower() for part in element.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        if _QVALUE.fullmatch(weight):
            qualities[media_range] = max(float(weight), qualities.get(media_range, 0.0))

    def quality(media_type: str) -> float:
        ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
        return next((qualities[name] for name in ranges if name in qualities), 0.0)

    return max(offered, key=quality)
