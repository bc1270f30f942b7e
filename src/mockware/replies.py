"""The mock response that a rule or a trigger gives: everything that HTTP asks of it, filled in.

Law: what is built here is correct HTTP whatever the rule left out, and is built once, when the rules are
compiled. The facts about each status are in `statuses.py`; the promises that all mocks share
(`X-Mock-Rule`, `Cache-Control: no-store`, `Content-Length`) are kept here and nowhere else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from .messages import TOKEN, Fault, Response
from .statuses import required_headers, status_for

# The server's business (Date, Server), computed here (Content-Length), or ruled out by the way that the
# body is sent (Transfer-Encoding): a rule that sets one breaks the framing or sends it twice.
RESERVED_HEADERS = frozenset(
    ("content-length", "transfer-encoding", "date", "server", "x-mock-rule", "status")
)

# Codes whose responses have no Content-Length either: RFC 9110 section 8.6 forbids it on a 204, and on a
# 304 it would have to be the length of the 200 that nobody knows here.
_WITHOUT_LENGTH = frozenset((204, 304))

_TOKEN = re.compile(TOKEN)
# Visible characters and obs-text, with blanks between: RFC 9110 section 5.5. It allows tabs too, which
# PEP 3333 forbids.
_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff]++(?: ++(?=[\x21-\x7e\x80-\xff]))?)*")
_BLANK_ENDS = re.compile(r"^ +| +$")
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"  # RFC 9457 section 3


class Content(NamedTuple):
    """The body of a reply and what it is."""

    body: bytes
    media_type: str

    @classmethod
    def from_json(cls, value: Any, media_type: str = JSON) -> Content:
        """`value` as `json.dumps` writes it by default. Raises ValueError where JSON has no word for it."""
        try:
            return cls(json.dumps(value, allow_nan=False).encode("ascii"), media_type)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no JSON can be made of this: {error}") from None

    @classmethod
    def from_text(cls, text: str) -> Content:
        return cls(text.encode(), "text/plain; charset=utf-8")


def check_header_name(name: str) -> None:
    """Raises ValueError for what is no name of a field, in a request or a response."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("a header's name is made of letters, digits and !#$%&'*+-.^_`|~")


def check_header(name: str, value: str) -> None:
    """Raises ValueError for a header that a reply cannot carry: CR, LF and NUL above all."""
    check_header_name(name)
    if name.lower() in RESERVED_HEADERS:
        raise ValueError("this field is set by the server or by mockware")
    if not _FIELD_VALUE.fullmatch(value):
        raise ValueError(
            "a header's value is one line of printable Latin-1 without blanks at its ends (no CR, LF or NUL) "
            "and without tabs, which WSGI forbids"
        )


def build_reply(
    status: int,
    *,
    rule: str,
    headers: Sequence[tuple[str, str]] = (),
    content: Content | None = None,
    vary: str = "",
    drip_s: float = 0.0,
    fault: Fault | None = None,
    completes: bool = True,
) -> Response:
    """The response for `status`, complete: what `headers` and `content` do not say has its default.

    A field in `headers` replaces every default of that name. `vary` is a request field that the reply
    was chosen by. It `completes` what is given with what the RFC of the status requires. Raises ValueError
    for a status outside 200 to 599, and for content where there is none.
    """
    known = status_for(status)
    if content is not None and content.body and not known.has_body:
        raise ValueError(f"a {status} has no body")
    body = known.default_body if content is None else content.body
    media_type = known.default_media_type if content is None else content.media_type
    defaults: list[tuple[str, str]] = []
    if media_type is not None and status not in _WITHOUT_LENGTH:
        defaults.append(("Content-Type", media_type))
    if status not in _WITHOUT_LENGTH:
        defaults.append(("Content-Length", str(len(body))))
    # So that no cache serves a mock to someone else (RFC 9111 section 5.2.2.5).
    defaults += [("Cache-Control", "no-store"), ("X-Mock-Rule", in_a_field(rule))]
    if vary:
        defaults.append(("Vary", vary))
    given = {name.lower(): value for name, value in headers}
    if completes:
        defaults += required_headers(status, len(body), media_type=given.get("content-type", media_type))
    kept = [(name, value) for name, value in defaults if name.lower() not in given]
    return Response(status, known.phrase, [*kept, *headers], body, rule=rule, drip_s=drip_s, fault=fault)


def in_a_field(name: str) -> str:
    """A rule's name, percent-encoded where it is not printable ASCII, and at its ends where it is blank."""
    return _BLANK_ENDS.sub(lambda blanks: "%20" * len(blanks[0]), quote(name, safe=_PRINTABLE))


def server_timing(name: str) -> tuple[str, str]:
    """The field that shows a rule's name among a browser's timings (https://www.w3.org/TR/server-timing/)."""
    # A quoted-string (RFC 9110 section 5.6.4), in which these two have a backslash before them.
    quoted = in_a_field(name).replace("\\", "\\\\").replace('"', '\\"')
    return "Server-Timing", f'mock;desc="{quoted}"'


def build_problem(
    status: int, detail: str, *, rule: str, headers: Sequence[tuple[str, str]] = (), vary: str = ""
) -> Response:
    """Problem details (RFC 9457) that say what is wrong with the request, or with mockware just now."""
    return build_reply(status, rule=rule, headers=headers, content=problem_content(status, detail), vary=vary)


def problem_content(status: int, detail: str) -> Content:
    """Problem details (RFC 9457) as the content of a response."""
    problem = {"type": "about:blank", "title": status_for(status).phrase, "status": status, "detail": detail}
    return Content.from_json(problem, PROBLEM_JSON)
