"""The two messages of HTTP, as the core sees them: a request to look at, a response to give.

Law: values only. Nothing here knows ASGI or WSGI, sleeps, or reads from a socket; an adapter makes a
`Request` that answers from its own scope or environ, and sends what a `Response` says. What one
interface must leave out of a response and the other must not is listed here once (`HOP_BY_HOP`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Literal
from urllib.parse import parse_qs

Fault = Literal["cut", "stall", "empty"]

# Every difference between the two interfaces and the protocol versions, in one list. PEP 3333
# forbids a WSGI app these fields (RFC 2616 section 13.5.1 has the list) and servers answer 500 to
# them; on HTTP/2 and later the connection-specific ones among them make a message malformed (RFC 9113
# section 8.2.2). A 407's Proxy-Authenticate is about the connection for WSGI only.
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "upgrade")
)
NOT_ON_HTTP_2 = frozenset(("connection", "keep-alive", "proxy-connection", "te", "upgrade"))

# The characters of methods and field names, as a part of an expression (RFC 9110 section 5.6.2).
TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - no password


class _Missing:
    def __repr__(self) -> str:
        return "nothing"

    def __reduce__(self) -> str:
        return "MISSING"  # a copy is the same one: it is told by identity


_UNPARSED = object()
MISSING = _Missing()
"""What stands where there is no value: JSON's null is a value, so `None` cannot say it."""


class Request:
    """A request as rules and triggers see it. Everything is parsed when first asked for.

    `path` is the path that the wrapped app routes on, percent-decoded. Header names are lower-case;
    a repeated field counts as one, joined with commas (RFC 9110 section 5.3). `body` is what was read
    of the request so far: `None` until somebody needed it, and after that if it is too long.
    """

    __slots__ = ("_cookies", "_headers", "_json", "_query", "body", "method", "path", "query_string")

    def __init__(
        self,
        method: str,
        path: str,
        query_string: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query_string
        self.body = body
        self._headers = headers or {}
        self._query: dict[str, list[str]] | None = None
        self._cookies: dict[str, str] | None = None
        self._json: Any = _UNPARSED

    # Where the app is, for whoever has to write a URL: its scheme, and what stands before its own paths.
    scheme = "http"
    mount = ""
    # The address that the server says it comes from: of a proxy, where there is one.
    client = ""

    def header(self, name: str) -> str | None:
        """The value of the field `name` (lower-case), or None."""
        return self._headers.get(name)

    def fields(self) -> dict[str, str]:
        """All fields by their names, in lower case."""
        return dict(self._headers)

    @property
    def query(self) -> Mapping[str, Sequence[str]]:
        """Every query parameter with all of its values, decoded; order and encoding are gone."""
        if self._query is None:
            self._query = parse_qs(self.query_string, keep_blank_values=True, errors="replace")
        return self._query

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies as browsers and Starlette read them, which is laxer than RFC 6265."""
        if self._cookies is None:
            from starlette.requests import cookie_parser

            self._cookies = cookie_parser(self.header("cookie") or "")
        return self._cookies

    @property
    def json(self) -> Any:
        """The body as JSON, or `MISSING` where it is absent, too long, or not JSON."""
        if self._json is _UNPARSED:
            try:
                self._json = json.loads(self.body or b"")
            except (ValueError, RecursionError):
                self._json = MISSING
        return self._json

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks for leave first (Fetch standard, CORS-preflight request)."""
        return self.method == "OPTIONS" and self.header("access-control-request-method") is not None


class Response:
    """A mock response, ready to be sent: nothing is left to compute but the time to wait.

    `headers` are in order, repeated where a field is repeated, `Content-Length` included. `rule` is
    the name that goes into the log. `head` is the same response to a HEAD request: the fields of the GET
    without its content (RFC 9110 section 9.3.2). It starts after `delay_s` seconds; its body takes `drip_s`
    seconds on the wire; `fault` is what goes wrong there: "cut", "stall" or "empty".
    """

    __slots__ = (
        "body",
        "delay_s",
        "drip_s",
        "fault",
        "has_hop_by_hop",
        "head",
        "headers",
        "raw_headers",
        "reason",
        "rule",
        "status",
        "status_line",
    )

    def __init__(
        self,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        rule: str,
        delay_s: float = 0.0,
        drip_s: float = 0.0,
        fault: Fault | None = None,
    ) -> None:
        self.status = status
        self.reason = reason
        self.headers = tuple(headers)
        self.body = body
        self.rule = rule
        self.delay_s = delay_s
        self.drip_s = drip_s
        self.fault = fault
        self.status_line = f"{status} {reason}"
        self.raw_headers = tuple(
            (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in self.headers
        )
        self.has_hop_by_hop = any(
            name.lower() in HOP_BY_HOP or name.lower() in NOT_ON_HTTP_2 for name, _ in self.headers
        )
        self.head = self
        if body:
            # Of a body that is not sent there is nothing to drip.
            self.head = Response(status, reason, headers, b"", rule=rule, delay_s=delay_s, fault=fault)

    def to(self, method: str) -> Response:
        """The same response in answer to a request with `method`."""
        return self.head if method == "HEAD" else self

    def after(self, delay_s: float) -> Response:
        """The same response, given after `delay_s` seconds."""
        if delay_s == self.delay_s:
            return self
        later = copy(self)
        later.delay_s = delay_s
        later.head = later if self.head is self else self.head.after(delay_s)
        return later

    def beside(self, fields: Sequence[tuple[str, str]]) -> Response:
        """The same response with more fields."""
        if not fields:
            return self
        return Response(
            self.status,
            self.reason,
            (*self.headers, *fields),
            self.body,
            rule=self.rule,
            delay_s=self.delay_s,
            drip_s=self.drip_s,
            fault=self.fault,
        )

    @property
    def is_plain(self) -> bool:
        """Whether it is sent at once, whole, and then over."""
        return not (self.delay_s or self.drip_s or self.fault)

    @property
    def sleeps(self) -> bool:
        """Whether somebody waits while it is given."""
        return bool(self.delay_s or self.drip_s or self.fault == "stall")
