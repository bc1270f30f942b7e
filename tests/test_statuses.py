"""The status catalogue against the registry, the RFCs, and recipients that were written by others."""

import http.client
import io
import json
import re
import sys
import wsgiref.util
import wsgiref.validate
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import pytest

from mockware.statuses import CATALOGUE, Status, required_headers, status_for

# Copied from https://www.iana.org/assignments/http-status-codes, 200 and up, in its own words. The registry
# gives a section for RFC 9110 only.
REGISTRY = """
200 OK                               RFC9110, Section 15.3.1
201 Created                          RFC9110, Section 15.3.2
202 Accepted                         RFC9110, Section 15.3.3
203 Non-Authoritative Information    RFC9110, Section 15.3.4
204 No Content                       RFC9110, Section 15.3.5
205 Reset Content                    RFC9110, Section 15.3.6
206 Partial Content                  RFC9110, Section 15.3.7
207 Multi-Status                     RFC4918
208 Already Reported                 RFC5842
226 IM Used                          RFC3229
300 Multiple Choices                 RFC9110, Section 15.4.1
301 Moved Permanently                RFC9110, Section 15.4.2
302 Found                            RFC9110, Section 15.4.3
303 See Other                        RFC9110, Section 15.4.4
304 Not Modified                     RFC9110, Section 15.4.5
305 Use Proxy                        RFC9110, Section 15.4.6
306 (Unused)                         RFC9110, Section 15.4.7
307 Temporary Redirect               RFC9110, Section 15.4.8
308 Permanent Redirect               RFC9110, Section 15.4.9
400 Bad Request                      RFC9110, Section 15.5.1
401 Unauthorized                     RFC9110, Section 15.5.2
402 Payment Required                 RFC9110, Section 15.5.3
403 Forbidden                        RFC9110, Section 15.5.4
404 Not Found                        RFC9110, Section 15.5.5
405 Method Not Allowed               RFC9110, Section 15.5.6
406 Not Acceptable                   RFC9110, Section 15.5.7
407 Proxy Authentication Required    RFC9110, Section 15.5.8
408 Request Timeout                  RFC9110, Section 15.5.9
409 Conflict                         RFC9110, Section 15.5.10
410 Gone                             RFC9110, Section 15.5.11
411 Length Required                  RFC9110, Section 15.5.12
412 Precondition Failed              RFC9110, Section 15.5.13
413 Content Too Large                RFC9110, Section 15.5.14
414 URI Too Long                     RFC9110, Section 15.5.15
415 Unsupported Media Type           RFC9110, Section 15.5.16
416 Range Not Satisfiable            RFC9110, Section 15.5.17
417 Expectation Failed               RFC9110, Section 15.5.18
418 (Unused)                         RFC9110, Section 15.5.19
421 Misdirected Request              RFC9110, Section 15.5.20
422 Unprocessable Content            RFC9110, Section 15.5.21
423 Locked                           RFC4918
424 Failed Dependency                RFC4918
425 Too Early                        RFC8470
426 Upgrade Required                 RFC9110, Section 15.5.22
428 Precondition Required            RFC6585
429 Too Many Requests                RFC6585
431 Request Header Fields Too Large  RFC6585
451 Unavailable For Legal Reasons    RFC7725
500 Internal Server Error            RFC9110, Section 15.6.1
501 Not Implemented                  RFC9110, Section 15.6.2
502 Bad Gateway                      RFC9110, Section 15.6.3
503 Service Unavailable              RFC9110, Section 15.6.4
504 Gateway Timeout                  RFC9110, Section 15.6.5
505 HTTP Version Not Supported       RFC9110, Section 15.6.6
506 Variant Also Negotiates          RFC2295
507 Insufficient Storage             RFC4918
508 Loop Detected                    RFC5842
510 Not Extended (OBSOLETED)         RFC2774
511 Network Authentication Required  RFC6585
"""

# Where the registry names an RFC without a section, read from the RFC itself.
SECTIONS_BY_HAND = {
    207: "11.1",
    208: "7.1",
    226: "10.4.1",
    423: "11.3",
    424: "11.4",
    425: "5.2",
    428: "3",
    429: "4",
    431: "5",
    451: "3",
    506: "8.1",
    507: "11.5",
    508: "7.2",
    510: "7",
    511: "6",
}

REQUIRED = {
    201: {"Location": "/abc-123"},
    206: {"Content-Range": "bytes 0-28/29"},
    226: {"ETag": '"mock"'},
    301: {"Location": "/"},
    302: {"Location": "/"},
    303: {"Location": "/"},
    304: {"ETag": '"mock"'},
    307: {"Location": "/"},
    308: {"Location": "/"},
    401: {"WWW-Authenticate": 'Bearer realm="mock"'},
    405: {"Allow": "OPTIONS"},
    407: {"Proxy-Authenticate": 'Basic realm="mock"'},
    415: {"Accept": "application/json"},
    416: {"Content-Range": "bytes */0"},
    426: {"Upgrade": "HTTP/2.0", "Connection": "Upgrade"},
    451: {"Link": '<https://example.org/>; rel="blocked-by"'},
}

# http.HTTPStatus took the names of RFC 9110 in Python 3.13, and keeps the joke of RFC 2324.
PYTHON_PHRASES_BEFORE_3_13 = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}
PYTHON_PHRASE_OF_418 = "I'm a Teapot"

WITHOUT_BODY = {204, 205, 304}
UNREGISTERED = [209, 299, 309, 399, 419, 499, 509, 599]
STATUSES = [*CATALOGUE.values(), *map(status_for, UNREGISTERED)]

each_status = pytest.mark.parametrize("status", STATUSES, ids=lambda status: str(status.code))
each_status_with_a_body = pytest.mark.parametrize(
    "status",
    [status for status in STATUSES if status.code not in WITHOUT_BODY],
    ids=lambda status: str(status.code),
)


def registry_rows() -> Iterable[tuple[int, str, str, str | None]]:
    for line in REGISTRY.strip().splitlines():
        row = re.fullmatch(r"(\d{3}) (.+?) +RFC(\d+)(?:, Section ([\d.]+))?", line)
        assert row is not None, line
        yield int(row[1]), row[2], row[3], row[4]


# The catalogue against the registry


def test_the_catalogue_holds_exactly_the_registrys_final_codes_in_order() -> None:
    assert list(CATALOGUE) == [code for code, *_ in registry_rows()]


def test_every_entry_is_filed_under_its_own_code() -> None:
    assert [status.code for status in CATALOGUE.values()] == list(CATALOGUE)


def test_phrases_are_the_registrys_without_its_remarks_in_brackets() -> None:
    bare = {code: name.removesuffix(" (OBSOLETED)").strip("()") for code, name, *_ in registry_rows()}
    assert {status.code: status.phrase for status in CATALOGUE.values()} == bare


def test_sections_are_the_registrys_references() -> None:
    references = {
        code: f"RFC {rfc} §{section or SECTIONS_BY_HAND[code]}" for code, _, rfc, section in registry_rows()
    }
    assert {status.code: status.section for status in CATALOGUE.values()} == references


@pytest.mark.parametrize("known", [known for known in HTTPStatus if known >= 200], ids=str)
def test_pythons_own_phrases_agree_but_for_the_named_differences(known: HTTPStatus) -> None:
    ours = CATALOGUE[known].phrase
    if known == 418:
        assert (ours, known.phrase) == ("Unused", PYTHON_PHRASE_OF_418)
    elif sys.version_info < (3, 13) and known in PYTHON_PHRASES_BEFORE_3_13:
        assert known.phrase == PYTHON_PHRASES_BEFORE_3_13[known]
        assert ours != known.phrase
    else:
        assert ours == known.phrase


def test_the_catalogue_and_its_entries_are_read_only() -> None:
    catalogue: Any = CATALOGUE
    entry: Any = CATALOGUE[200]
    with pytest.raises(TypeError):
        catalogue[200] = CATALOGUE[404]
    with pytest.raises(AttributeError):
        entry.phrase = "Fine"


# What an entry says


@each_status
def test_the_link_leads_to_the_section(status: Status) -> None:
    link = re.fullmatch(r"https://www\.rfc-editor\.org/rfc/rfc(\d+)#section-(\d+(?:\.\d+)*)", status.link)
    assert link is not None
    assert status.section == f"RFC {link[1]} §{link[2]}"


def test_links_are_written_out_as_a_browser_needs_them() -> None:
    assert CATALOGUE[202].link == "https://www.rfc-editor.org/rfc/rfc9110#section-15.3.3"
    assert CATALOGUE[429].link == "https://www.rfc-editor.org/rfc/rfc6585#section-4"
    assert status_for(299).link == "https://www.rfc-editor.org/rfc/rfc9110#section-15"


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        (200, "ok"),
        (202, "accepted"),
        (203, "non-authoritative-information"),
        (207, "multi-status"),
        (226, "im-used"),
        (306, "unused"),
        (299, "unregistered-success"),
    ],
)
def test_slugs_are_phrases_in_lower_case_with_hyphens(code: int, slug: str) -> None:
    assert status_for(code).slug == slug


@each_status
def test_a_slug_needs_no_quoting_anywhere(status: Status) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", status.slug)


@each_status
def test_a_meaning_is_one_sentence_on_one_line(status: Status) -> None:
    assert re.fullmatch(r"[A-Z][ -~]+[^ .]\.", status.meaning)
    assert ". " not in status.meaning
    assert len(status.meaning) <= 100, "too long for one line of a terminal beside the code"


def test_no_two_statuses_mean_the_same() -> None:
    assert len({status.meaning for status in STATUSES}) == len(STATUSES)


# Default bodies


def test_202_has_the_canonical_body_byte_for_byte() -> None:
    assert CATALOGUE[202].default_body == b'{"status": "accepted", "task_id": "abc-123"}'
    assert len(CATALOGUE[202].default_body) == 44
    assert CATALOGUE[202].default_media_type == "application/json"


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (200, b'{"status": "ok"}'),
        (201, b'{"status": "created"}'),
        (302, b'{"status": "found"}'),
        (404, b'{"type": "about:blank", "title": "Not Found", "status": 404}'),
        (418, b'{"type": "about:blank", "title": "Unused", "status": 418}'),
        (503, b'{"type": "about:blank", "title": "Service Unavailable", "status": 503}'),
        (204, b""),
        (205, b""),
        (304, b""),
    ],
)
def test_default_bodies_are_these_bytes(code: int, body: bytes) -> None:
    assert CATALOGUE[code].default_body == body


@each_status
def test_a_body_is_there_exactly_where_the_status_may_have_one(status: Status) -> None:
    assert status.has_body is (status.code not in WITHOUT_BODY)
    assert bool(status.default_body) is status.has_body


@each_status_with_a_body
def test_a_default_body_is_json_as_json_dumps_writes_it(status: Status) -> None:
    assert json.dumps(json.loads(status.default_body)).encode() == status.default_body


@each_status_with_a_body
def test_errors_are_problem_details_and_everything_else_tells_its_slug(status: Status) -> None:
    value = json.loads(status.default_body)
    if status.code >= 400:
        assert value == {"type": "about:blank", "title": status.phrase, "status": status.code}
        assert status.default_media_type == "application/problem+json"
    else:
        assert value["status"] == status.slug
        assert set(value) == ({"status", "task_id"} if status.code == 202 else {"status"})
        assert status.default_media_type == "application/json"


def test_204_and_304_have_no_media_type_but_205_has_one_for_wsgiref_validate() -> None:
    assert CATALOGUE[204].default_media_type is None
    assert CATALOGUE[304].default_media_type is None
    assert CATALOGUE[205].default_media_type == "application/json"


# Required fields


@each_status
def test_a_status_carries_these_fields_and_no_others(status: Status) -> None:
    assert dict(status.headers) == REQUIRED.get(status.code, {})


@each_status
def test_the_fields_of_an_entry_are_those_required_with_its_default_body(status: Status) -> None:
    assert required_headers(status.code, len(status.default_body)) == status.headers


@pytest.mark.parametrize(
    ("length", "value"),
    [(1, "bytes 0-0/1"), (29, "bytes 0-28/29"), (1 << 40, f"bytes 0-{(1 << 40) - 1}/{1 << 40}")],
)
def test_content_range_of_a_206_is_the_whole_body(length: int, value: str) -> None:
    assert required_headers(206, length) == (("Content-Range", value),)


def test_an_empty_206_has_no_content_range_because_no_range_is_empty() -> None:
    assert required_headers(206, 0) == ()


@pytest.mark.parametrize(
    "media_type", ["multipart/byteranges; boundary=THIS", "Multipart/ByteRanges;boundary=THIS"]
)
def test_a_206_of_several_parts_has_no_content_range_of_its_own(media_type: str) -> None:
    assert required_headers(206, 29, media_type=media_type) == ()


def test_other_media_types_do_not_change_the_required_fields() -> None:
    assert required_headers(206, 29, media_type="text/plain") == (("Content-Range", "bytes 0-28/29"),)
    assert required_headers(416, 29, media_type="multipart/byteranges") == (("Content-Range", "bytes */0"),)


@pytest.mark.parametrize("length", [0, 1, 500])
def test_a_416_never_claims_a_length_that_could_hold_the_range(length: int) -> None:
    assert required_headers(416, length) == (("Content-Range", "bytes */0"),)


# Unregistered codes and refusals


@pytest.mark.parametrize(
    ("code", "phrase"),
    [
        (209, "Unregistered Success"),
        (299, "Unregistered Success"),
        (399, "Unregistered Redirection"),
        (499, "Unregistered Client Error"),
        (599, "Unregistered Server Error"),
    ],
)
def test_an_unregistered_code_is_made_by_its_class(code: int, phrase: str) -> None:
    status = status_for(code)
    assert (status.code, status.phrase) == (code, phrase)
    assert f"treat it as {code // 100}00" in status.meaning
    assert status.headers == required_headers(code, 10) == CATALOGUE[code // 100 * 100].headers
    assert status.default_media_type == CATALOGUE[code // 100 * 100].default_media_type


def test_every_code_from_200_to_599_has_a_status() -> None:
    assert [status_for(code).code for code in range(200, 600)] == list(range(200, 600))


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_registered_code_gives_the_catalogues_own_entry(code: int) -> None:
    assert status_for(code) is CATALOGUE[code]


def test_pythons_enum_members_are_codes_too() -> None:
    assert status_for(HTTPStatus.ACCEPTED) is CATALOGUE[202]


@pytest.mark.parametrize("refused", [199, 600, 100, 0, -202, True, "202", 202.0, None, [202]], ids=repr)
@pytest.mark.parametrize(
    "ask", [status_for, lambda code: required_headers(code, 0)], ids=["status", "headers"]
)
def test_what_is_no_final_status_is_refused_with_what_is_allowed(
    ask: Callable[[Any], object], refused: Any
) -> None:
    with pytest.raises(ValueError, match="an int from 200 to 599") as caught:
        ask(refused)
    assert str(caught.value).startswith(repr(refused))


def test_a_negative_body_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 or more, but -1 was given"):
        required_headers(206, -1)


# The response as a whole, composed as an adapter composes it


def composed(status: Status) -> list[tuple[str, str]]:
    headers = list(required_headers(status.code, len(status.default_body)))
    if status.default_media_type is not None:
        headers += [
            ("Content-Type", status.default_media_type),
            ("Content-Length", str(len(status.default_body))),
        ]
    return headers


@each_status
def test_the_default_response_obeys_rfc_9110(status: Status) -> None:
    headers = composed(status)
    fields = {name.lower(): value for name, value in headers}
    assert len(fields) == len(headers), "a field is there twice"
    for name, value in headers:
        # §5.6.2 token; §5.5 field-value: visible ASCII and inner blanks.
        assert re.fullmatch(r"[A-Za-z][A-Za-z-]*", name)
        assert re.fullmatch(r"[!-~]([ -~]*[!-~])?", value)

    # §15.3.5, §15.4.5: 204 and 304 end with the header section. §8.6: "MUST NOT send a Content-Length header
    # field in any response with a status code of 1xx (Informational) or 204 (No Content)". §15.4.5: a 304
    # "SHOULD NOT generate representation metadata other than the above listed fields".
    if status.code in {204, 304}:
        assert status.default_body == b""
        assert fields.keys() <= {"etag"}
    else:
        assert fields["content-length"] == str(len(status.default_body))
        assert "content-type" in fields
    # §15.3.6: "MUST NOT generate content in a 205 response".
    if status.code == 205:
        assert fields["content-length"] == "0"
    # §14.4: Content-Range has a meaning on 206 and 416 alone; on 206 it describes the content.
    assert ("content-range" in fields) is (status.code in {206, 416})
    if status.code == 206:
        first, last, complete = map(int, re.findall(r"\d+", fields["content-range"]))
        assert first == 0
        assert last - first + 1 == len(status.default_body)
        assert last < complete
    # §7.8: whoever sends Upgrade also sends the connection option; §7.6.1: and no option without its field.
    assert fields.get("connection", "").lower() == ("upgrade" if "upgrade" in fields else "")
    # §15.4: these lead elsewhere by Location; no other 3xx, 4xx or 5xx does.
    if status.code >= 300:
        assert ("location" in fields) is (status.code in {301, 302, 303, 307, 308})


class Received(io.BytesIO):
    """A connection on which a response has come in; http.client asks for its file only, and closes that."""

    def makefile(self, _mode: str) -> "Received":
        return self

    def close(self) -> None:
        """Stays open, so that what a response leaves unread can be seen."""


@each_status
def test_pythons_http_client_reads_exactly_the_default_response(status: Status) -> None:
    head = [f"HTTP/1.1 {status.code} {status.phrase}"]
    head += [f"{name}: {value}" for name, value in composed(status)]
    next_response = b"HTTP/1.1 200 OK\r\n"
    connection: Any = Received(
        "\r\n".join([*head, "", ""]).encode("ascii") + status.default_body + next_response
    )

    response = http.client.HTTPResponse(connection, method="GET")
    response.begin()

    assert (response.status, response.reason) == (status.code, status.phrase)
    assert response.getheaders() == composed(status)
    assert response.read() == status.default_body
    assert connection.read() == next_response, "the connection is out of step"


def through_wsgiref_validate(line: str, headers: list[tuple[str, str]], body: bytes) -> tuple[str, bytes]:
    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
        start_response(line, headers)
        return [body]

    lines: list[str] = []

    def start_response(line: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
        lines.append(line)
        return lambda data: None

    environ: dict[str, Any] = {"QUERY_STRING": ""}
    wsgiref.util.setup_testing_defaults(environ)
    validated: Any = wsgiref.validate.validator(app)
    result = validated(environ, start_response)
    content = b"".join(result)
    result.close()
    return lines[-1], content


@each_status
def test_wsgiref_validate_accepts_the_default_response(status: Status) -> None:
    # PEP 3333: hop-by-hop fields are not an application's to send; the WSGI adapter leaves them out.
    headers = [field for field in composed(status) if not wsgiref.util.is_hop_by_hop(field[0])]
    line = f"{status.code} {status.phrase}"
    assert through_wsgiref_validate(line, headers, status.default_body) == (line, status.default_body)


def test_wsgiref_validate_would_refuse_a_205_without_a_media_type() -> None:
    # The reason why 205 has one: when this fails, the media type of nothing can go.
    with pytest.raises(AssertionError, match="No Content-Type header"):
        through_wsgiref_validate("205 Reset Content", [("Content-Length", "0")], b"")
