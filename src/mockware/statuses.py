"""The status catalogue: every final status code of the IANA registry, and how a mock of it looks by default.

What belongs here: facts about a status code that hold for every request: its phrase, what it means to a
developer, where it is defined, whether it has a body, the default body, and the header fields that its RFC
requires or expects, each with the sentence that says so.

What never does: anything that needs the request, a rule or a clock. Fields that an interface cannot carry
(426's `Connection` and `Upgrade`, 407's `Proxy-Authenticate` on WSGI) are listed, since the status requires
them; to leave them out is the adapters' business. `Date`, `Content-Length` and `Cache-Control` belong to all
mocks alike, so they are not here. Neither are 1xx codes: they are interim, and a mock is a final response.

Honest doubts:

- The default body is one shape for all, so it is not always the one that the RFC asks for: 207 and 423 want
  WebDAV's XML, 300 and 406 a list of choices, 511 a link to a login page. A rule gives those itself.
- 415's `Accept` is only offered by its RFC ("can be used"); without it a client has nothing to act upon.
- 405's `Allow: OPTIONS` contradicts itself where the refused request was an OPTIONS, and the redirects'
  `Location: /` leads a request for `/` round in a circle.
- 306 and 418 have the same phrase and slug; nothing may use a slug as a key.
- The file is long because most of it is two tables; apart from what reads them they would drift.

Source: https://www.iana.org/assignments/http-status-codes, and the RFCs named at each entry.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# What a mock may answer, as a regular expression, for Python and for JSON Schema. `int()` would take `+202`,
# `2_02` and the digits of other scripts, and servers send what they are given.
CODE = "[2-5][0-9]{2}"

# RFC 9110 §15.3.5 and §15.4.5, of 204 and 304: it "is terminated by the end of the header section; it cannot
# contain content or trailers". RFC 9110 §15.3.6: "a server MUST NOT generate content in a 205 response".
_WITHOUT_BODY = frozenset({204, 205, 304})

# `{length}` is the body's length, `{last}` the position of its last byte. The values are meant to do no harm
# to a client that follows, parses or shows them.
_REQUIRED_FIELDS: dict[int, tuple[tuple[str, str], ...]] = {
    # RFC 9110 §15.3.2: what was created "is identified by either a Location header field in the response or,
    # if no Location header field is received, by the target URI", and that is seldom what a POST has made.
    201: (("Location", "/abc-123"),),
    # RFC 9110 §15.3.7.1: for a single part "the server generating the 206 response MUST generate a
    # Content-Range header field". The mock's body is called the whole, which is right for any body.
    206: (("Content-Range", "bytes 0-{last}/{length}"),),
    # RFC 3229 §10.4.1: "The response MUST include an Etag header field giving the entity tag of the current
    # instance." No IM: it names what was applied to the body, nothing was, and §10.1 says of `identity` that
    # it is "used only in the A-IM header (not in the IM header)".
    226: (("ETag", '"mock"'),),
    # RFC 9110 §15.4.2, §15.4.3, §15.4.8, §15.4.9: "The server SHOULD generate a Location header field";
    # §15.4.4: 303 leads to another resource "as indicated by a URI in the Location header field".
    301: (("Location", "/"),),
    302: (("Location", "/"),),
    303: (("Location", "/"),),
    307: (("Location", "/"),),
    308: (("Location", "/"),),
    # RFC 9110 §15.4.5: a 304 "MUST generate any of the following header fields that would have been sent in a
    # 200 (OK) response to the same request", ETag among them. And a validator that no stored response has
    # keeps a cache from refreshing a real one with the mock's fields (RFC 9111 §4.3.4).
    304: (("ETag", '"mock"'),),
    # RFC 9110 §15.5.2: "MUST send a WWW-Authenticate header field (Section 11.6.1) containing at least one
    # challenge". Bearer, since Basic makes a browser open its password dialog.
    401: (("WWW-Authenticate", 'Bearer realm="mock"'),),
    # RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response". An empty
    # list would be valid (§10.2.1), but clients split it into one method without a name.
    405: (("Allow", "OPTIONS"),),
    # RFC 9110 §15.5.8: "The proxy MUST send a Proxy-Authenticate header field". Basic is what proxies ask
    # for, and what clients know how to answer.
    407: (("Proxy-Authenticate", 'Basic realm="mock"'),),
    # RFC 9110 §15.5.16: "the Accept response header field (Section 12.5.1) can be used to indicate which
    # media types would have been accepted in the request".
    415: (("Accept", "application/json"),),
    # RFC 9110 §15.5.17: "SHOULD generate a Content-Range header field specifying the current length of the
    # selected representation". 0 and not the length of the error body, which is another representation, and
    # might well contain the range that was asked for.
    416: (("Content-Range", "bytes */0"),),
    # RFC 9110 §15.5.22: "The server MUST send an Upgrade header field in a 426 response"; §7.8: "A sender of
    # Upgrade MUST also send an "Upgrade" connection option in the Connection header field".
    426: (("Upgrade", "HTTP/2.0"), ("Connection", "Upgrade")),
    # RFC 7725 §4: "it SHOULD include a "Link" HTTP header field whose value is a URI reference identifying
    # itself", which "MUST have a "rel" parameter whose value is "blocked-by"".
    451: (("Link", '<https://example.org/>; rel="blocked-by"'),),
    # Looked at and left out. Required on a condition that a mock cannot know: 300 Location ("if the server
    # has a preferred choice"), 413 Retry-After ("if the condition is temporary"). Only allowed: 429 and 503
    # Retry-After (MAY). Gone: 408 `Connection: close`, a SHOULD of RFC 7231 that RFC 9110 dropped. About the
    # body alone: 406, 409, 423, 428, 431, 505, 510, 511.
}

# The registry calls 306 and 418 "(Unused)": a remark about the code, in brackets because it is no phrase. A
# status line could carry the brackets, but they have no place in a problem's title or a slug, so the bare
# word it is.
# fmt: off
_REGISTRY: tuple[tuple[int, str, str, str], ...] = (
    (200, "OK", "RFC 9110 §15.3.1",
     "It worked, and the body is the result."),
    (201, "Created", "RFC 9110 §15.3.2",
     "Something new exists now; Location says where."),
    (202, "Accepted", "RFC 9110 §15.3.3",
     "The work is taken on but not done; ask the status monitor how it goes."),
    (203, "Non-Authoritative Information", "RFC 9110 §15.3.4",
     "It worked, but a proxy on the way has altered the body."),
    (204, "No Content", "RFC 9110 §15.3.5",
     "It worked, and there is nothing to send back."),
    (205, "Reset Content", "RFC 9110 §15.3.6",
     "It worked; clear the form or view that sent the request."),
    (206, "Partial Content", "RFC 9110 §15.3.7",
     "Here is a part of the resource; Content-Range says which."),
    (207, "Multi-Status", "RFC 4918 §11.1",
     "Several operations had several outcomes; the XML body has a status for each (WebDAV)."),
    (208, "Already Reported", "RFC 5842 §7.1",
     "Inside a 207: this resource was listed before, under another path (WebDAV)."),
    (226, "IM Used", "RFC 3229 §10.4.1",
     "The body is a change against a version that the client has, not the whole (delta encoding)."),
    (300, "Multiple Choices", "RFC 9110 §15.4.1",
     "There are several representations; pick one and request it by its own URI."),
    (301, "Moved Permanently", "RFC 9110 §15.4.2",
     "Moved for good, so update links; clients may repeat a POST as a GET."),
    (302, "Found", "RFC 9110 §15.4.3",
     "Elsewhere for now, so keep this URI; clients may repeat a POST as a GET."),
    (303, "See Other", "RFC 9110 §15.4.4",
     "Fetch the answer at Location with a GET, whatever the method was."),
    (304, "Not Modified", "RFC 9110 §15.4.5",
     "What the client has in its cache is still good."),
    (305, "Use Proxy", "RFC 9110 §15.4.6",
     "Deprecated as unsafe: it told the client to repeat the request through a given proxy."),
    (306, "Unused", "RFC 9110 §15.4.7",
     "Reserved: a draft of HTTP had it for changing proxies, and no server should send it."),
    (307, "Temporary Redirect", "RFC 9110 §15.4.8",
     "Elsewhere for now: repeat the request at Location, method and body unchanged."),
    (308, "Permanent Redirect", "RFC 9110 §15.4.9",
     "Moved for good: update links, and repeat the request at Location, method and body unchanged."),
    (400, "Bad Request", "RFC 9110 §15.5.1",
     "The server cannot make sense of the request; sending it again unchanged will not help."),
    (401, "Unauthorized", "RFC 9110 §15.5.2",
     "Credentials are missing or were refused; WWW-Authenticate says which kind to send."),
    (402, "Payment Required", "RFC 9110 §15.5.3",
     "Reserved by the RFC; in practice, APIs send it when a payment is due or a quota used up."),
    (403, "Forbidden", "RFC 9110 §15.5.4",
     "Understood and refused; logging in again as the same user will not help."),
    (404, "Not Found", "RFC 9110 §15.5.5",
     "Nothing is here, or the server will not say that there is."),
    (405, "Method Not Allowed", "RFC 9110 §15.5.6",
     "The URI is right but the method is not; Allow lists those that work."),
    (406, "Not Acceptable", "RFC 9110 §15.5.7",
     "No representation fits what Accept, Accept-Language or Accept-Encoding asked for."),
    (407, "Proxy Authentication Required", "RFC 9110 §15.5.8",
     "The proxy on the way wants credentials; Proxy-Authenticate says which kind to send."),
    (408, "Request Timeout", "RFC 9110 §15.5.9",
     "The request did not arrive whole before the server stopped waiting; send it again."),
    (409, "Conflict", "RFC 9110 §15.5.10",
     "It clashes with the state the resource is in now; resolve that and try again."),
    (410, "Gone", "RFC 9110 §15.5.11",
     "It was here and will not come back; remove the link."),
    (411, "Length Required", "RFC 9110 §15.5.12",
     "The server takes no body of unknown size; send Content-Length."),
    (412, "Precondition Failed", "RFC 9110 §15.5.13",
     "A condition such as If-Match is not met; fetch the resource anew before changing it."),
    (413, "Content Too Large", "RFC 9110 §15.5.14",
     "The request's body is larger than the server will take."),
    (414, "URI Too Long", "RFC 9110 §15.5.15",
     "The URI is longer than the server will read; often a query that should be a POST body."),
    (415, "Unsupported Media Type", "RFC 9110 §15.5.16",
     "The body's format is not one that this URI takes; check Content-Type and Content-Encoding."),
    (416, "Range Not Satisfiable", "RFC 9110 §15.5.17",
     "The range asked for is not within the resource; Content-Range tells its length."),
    (417, "Expectation Failed", "RFC 9110 §15.5.18",
     "A server on the way cannot do what Expect asks; try again without that field."),
    (418, "Unused", "RFC 9110 §15.5.19",
     "Reserved because of an April Fools' joke about a teapot; some sites send it to bots."),
    (421, "Misdirected Request", "RFC 9110 §15.5.20",
     "This server does not answer for that host; try again on a new connection."),
    (422, "Unprocessable Content", "RFC 9110 §15.5.21",
     "The body is well formed but its content is not valid here; typically a failed validation."),
    (423, "Locked", "RFC 4918 §11.3",
     "Someone holds a lock on the resource (WebDAV)."),
    (424, "Failed Dependency", "RFC 4918 §11.4",
     "It was not done because another operation that it depends on failed (WebDAV)."),
    (425, "Too Early", "RFC 8470 §5.2",
     "It came as TLS early data and might be a replay; send it again after the handshake."),
    (426, "Upgrade Required", "RFC 9110 §15.5.22",
     "The server insists on another protocol; Upgrade names it."),
    (428, "Precondition Required", "RFC 6585 §3",
     "Changes must be conditional here, lest an update is lost; send If-Match."),
    (429, "Too Many Requests", "RFC 6585 §4",
     "The client is over its rate limit; slow down, and heed Retry-After where it is given."),
    (431, "Request Header Fields Too Large", "RFC 6585 §5",
     "One header field, or all together, are too large; often an overgrown cookie."),
    (451, "Unavailable For Legal Reasons", "RFC 7725 §3",
     "Blocked by a legal demand; Link names who does the blocking."),
    (500, "Internal Server Error", "RFC 9110 §15.6.1",
     "The server met an error that it did not foresee; its log knows more."),
    (501, "Not Implemented", "RFC 9110 §15.6.2",
     "The server does not have this method or feature for any URI."),
    (502, "Bad Gateway", "RFC 9110 §15.6.3",
     "A gateway could not use the answer of the server behind it."),
    (503, "Service Unavailable", "RFC 9110 §15.6.4",
     "Overloaded or down for maintenance; it should pass, so try again later."),
    (504, "Gateway Timeout", "RFC 9110 §15.6.5",
     "A gateway got no answer in time from the server behind it."),
    (505, "HTTP Version Not Supported", "RFC 9110 §15.6.6",
     "The server does not speak the major version of HTTP that the request used."),
    (506, "Variant Also Negotiates", "RFC 2295 §8.1",
     "The server is misconfigured: the variant it chose would itself negotiate."),
    (507, "Insufficient Storage", "RFC 4918 §11.5",
     "The server has no room to store what the request needs (WebDAV)."),
    (508, "Loop Detected", "RFC 5842 §7.2",
     "The server stopped because a collection contains itself (WebDAV)."),
    (510, "Not Extended", "RFC 2774 §7",
     "Obsolete: the request lacks an extension that the server demands."),
    (511, "Network Authentication Required", "RFC 6585 §6",
     "The network wants a login first, as in a hotel; the site itself was never reached."),
)
# fmt: on

_UNREGISTERED_PHRASES = {
    2: "Unregistered Success",
    3: "Unregistered Redirection",
    4: "Unregistered Client Error",
    5: "Unregistered Server Error",
}


class Status(NamedTuple):
    """One status code: what it says, and what a mock response with it carries by default.

    - `code`: 200 to 599.
    - `phrase`: the text of the status line, such as `Not Found`.
    - `meaning`: one sentence for the developer who sees it.
    - `section`: where it is defined, such as `RFC 9110 §15.5.5`.
    - `headers`: the (name, value) fields that its RFC requires or expects, right for `default_body`; for
      another body ask `required_headers`.
    - `has_body`: whether a response with it may have a body; where False (204, 205, 304), `default_body` is
      empty.
    - `default_body`: bytes, JSON.
    - `default_media_type`: of `default_body`; None where the response ends with its header section (204, 304)
      and so has neither `Content-Type` nor `Content-Length`.
    """

    code: int
    phrase: str
    meaning: str
    section: str
    headers: tuple[tuple[str, str], ...]
    has_body: bool
    default_body: bytes
    default_media_type: str | None

    @property
    def slug(self) -> str:
        """The phrase as a word for JSON and file names, such as `not-found`; not unique (306 and 418)."""
        return _slug(self.phrase)

    @property
    def link(self) -> str:
        """Where to read `section`, such as `https://www.rfc-editor.org/rfc/rfc9110#section-15.5.5`."""
        rfc, section = self.section.removeprefix("RFC ").split(" §")
        return f"https://www.rfc-editor.org/rfc/rfc{rfc}#section-{section}"


def status_for(code: int) -> Status:
    """The catalogue's entry for `code`, or, for an unregistered code, one made by its class.

    RFC 9110 §15: "a client MUST understand the class of any status code, as indicated by the first digit, and
    treat an unrecognized status code as being equivalent to the x00 status code of that class".

    Raises ValueError unless `code` is an int from 200 to 599.
    """
    _refuse_unless_final(code)
    return CATALOGUE.get(code) or _status(
        code,
        _UNREGISTERED_PHRASES[code // 100],
        "RFC 9110 §15",
        f"No meaning is registered for {code}; clients treat it as {code // 100}00.",
    )


def required_headers(
    code: int, body_length: int, *, media_type: str | None = None
) -> tuple[tuple[str, str], ...]:
    """The (name, value) fields that the RFC of `code` requires or expects on a response with such a body.

    `body_length` is in bytes, and for HEAD that of the GET's body. `media_type` is the body's `Content-Type`
    where a rule gives its own. Never `Content-Type` or `Content-Length` themselves.

    Raises ValueError unless `code` is an int from 200 to 599 and `body_length` is 0 or more.
    """
    _refuse_unless_final(code)
    if body_length < 0:
        raise ValueError(f"body_length is a number of bytes, 0 or more, but {body_length} was given.")
    # RFC 9110 §15.3.7.2: "a server MUST NOT generate a Content-Range header field in the HTTP header section
    # of a multiple part response (this field will be sent in each part instead)".
    if code == 206 and media_type is not None and media_type.lower().startswith("multipart/byteranges"):
        return ()
    return _fields(code, body_length)


def _refuse_unless_final(code: int) -> None:
    # Looks at the type, too, because codes come out of users' files: 202.0 would be found in the catalogue,
    # and "202" would end in a TypeError that names neither the value nor what is allowed.
    if not isinstance(code, int) or not 200 <= code <= 599:
        raise ValueError(
            f"{code!r} cannot be the status of a mock. "
            "Please give an int from 200 to 599 (1xx are interim, and codes from 600 are not HTTP)."
        )


def _status(code: int, phrase: str, section: str, meaning: str) -> Status:
    body, media_type = _default_content(code, phrase)
    return Status(
        code,
        phrase,
        meaning,
        section,
        _fields(code, len(body)),
        has_body=code not in _WITHOUT_BODY,
        default_body=body,
        default_media_type=media_type,
    )


def _fields(code: int, body_length: int) -> tuple[tuple[str, str], ...]:
    # RFC 9110 §14.4 writes a range as first and last position, so a range of no bytes has no notation.
    if code == 206 and body_length == 0:
        return ()
    return tuple(
        (name, value.format(last=body_length - 1, length=body_length))
        for name, value in _REQUIRED_FIELDS.get(code, ())
    )


def _default_content(code: int, phrase: str) -> tuple[bytes, str | None]:
    if code == 205:
        # A media type of nothing, because wsgiref.validate demands one of all but 204 and 304.
        return b"", "application/json"
    if code in _WITHOUT_BODY:
        return b"", None
    if code >= 400:
        # RFC 9457 §4.2.1: with about:blank, "the title SHOULD be the same as the recommended HTTP status
        # phrase for that code".
        return _json({"type": "about:blank", "title": phrase, "status": code}), "application/problem+json"
    if code == 202:
        # Known from the first version of the reference page, byte for byte.
        return _json({"status": "accepted", "task_id": "abc-123"}), "application/json"
    return _json({"status": _slug(phrase)}), "application/json"


def _slug(phrase: str) -> str:
    return phrase.lower().replace(" ", "-")


def _json(value: dict[str, str | int]) -> bytes:
    return json.dumps(value).encode("ascii")


CATALOGUE: Mapping[int, Status] = MappingProxyType({row[0]: _status(*row) for row in _REGISTRY})
"""Every registered final status code, in order of the code; read-only."""
