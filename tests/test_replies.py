"""A reply is correct HTTP for every status, whatever a rule left out, and carries what all mocks carry."""

import http.client
import io
import json
import re
from typing import Any
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware.messages import HOP_BY_HOP, Response
from mockware.replies import (
    JSON,
    PROBLEM_JSON,
    RESERVED_HEADERS,
    Content,
    build_problem,
    build_reply,
    check_header,
    server_timing,
)
from mockware.statuses import required_headers, status_for

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

WITHOUT_BODY = {204, 205, 304}


def fields(response: Response) -> dict[str, str]:
    """The header fields by lower-case name; none may be there twice."""
    names = [name.lower() for name, _ in response.headers]
    assert sorted(names) == sorted(set(names))
    return {name.lower(): value for name, value in response.headers}


# The canonical reply


def test_a_reply_to_which_nothing_was_said_is_the_canonical_202_byte_for_byte() -> None:
    response = build_reply(202, rule="POST /reports")
    assert response.status_line == "202 Accepted"
    assert response.body == b'{"status": "accepted", "task_id": "abc-123"}'
    assert response.headers == (
        ("Content-Type", "application/json"),
        ("Content-Length", "44"),
        ("Cache-Control", "no-store"),
        ("X-Mock-Rule", "POST /reports"),
    )


# Every status, with nothing else said

REPLIES = {status: build_reply(status, rule="down") for status in range(200, 600)}
SENT = [(status, sent) for status, reply in REPLIES.items() for sent in (reply, reply.head)]

NEXT = b"HTTP/1.1 200 OK\r\n"


class Received(io.BytesIO):
    """What a client has received, in place of a connection; it can be looked at after it was closed."""

    def makefile(self, mode: str) -> "Received":
        return self

    def close(self) -> None:
        pass


def test_a_client_reads_every_response_to_its_end_and_not_beyond() -> None:
    for status, sent in SENT:
        head = b"".join(name + b": " + value + b"\r\n" for name, value in sent.raw_headers)
        wire: Any = Received(f"HTTP/1.1 {sent.status_line}\r\n".encode() + head + b"\r\n" + sent.body + NEXT)
        client = http.client.HTTPResponse(wire, method="HEAD" if sent is not REPLIES[status] else "GET")
        client.begin()
        assert (client.status, client.reason) == (status, status_for(status).phrase)
        assert client.read() == sent.body, status
        assert wire.read() == NEXT, status


def test_framing_and_media_type_are_those_that_the_status_allows() -> None:
    for status, reply in REPLIES.items():
        found = fields(reply)
        if status in (204, 304):
            # RFC 9110 section 8.6 forbids the length on 204, and 304 would have to tell that of a 200.
            assert not {"content-length", "content-type", "transfer-encoding"} & found.keys(), status
        else:
            assert found["content-length"] == str(len(reply.body)), status
            assert found["content-type"] == (PROBLEM_JSON if status >= 400 else JSON), status
        assert (reply.body == b"") is (status in WITHOUT_BODY), status


def test_every_mock_is_marked_and_kept_out_of_caches() -> None:
    for reply in REPLIES.values():
        assert fields(reply)["x-mock-rule"] == "down"
        assert fields(reply)["cache-control"] == "no-store"


def test_every_field_that_a_status_requires_is_there() -> None:
    for status, reply in REPLIES.items():
        required = {name.lower(): value for name, value in required_headers(status, len(reply.body))}
        assert required.items() <= fields(reply).items(), status


def test_an_error_has_problem_details_and_another_body_a_status() -> None:
    for status, reply in REPLIES.items():
        if status >= 400:
            title = status_for(status).phrase
            assert json.loads(reply.body) == {"type": "about:blank", "title": title, "status": status}
        elif status not in WITHOUT_BODY:
            assert "status" in json.loads(reply.body), status


def test_head_has_the_fields_of_get_and_no_content() -> None:
    for status, reply in REPLIES.items():
        assert (reply.head.body, reply.head.headers) == (b"", reply.headers), status


def test_every_status_stands_up_to_the_wsgi_validator() -> None:
    for status, sent in SENT:

        def app(environ: Any, start_response: Any, sent: Response = sent) -> list[bytes]:
            carried = [pair for pair in sent.headers if pair[0].lower() not in HOP_BY_HOP]
            start_response(sent.status_line, carried)
            return [sent.body]

        environ: dict[str, Any] = {"QUERY_STRING": ""}
        environ["REQUEST_METHOD"] = "HEAD" if sent is not REPLIES[status] else "GET"
        setup_testing_defaults(environ)
        started: list[str] = []

        def start_response(status_line: str, *args: Any, started: list[str] = started) -> Any:
            started.append(status_line)

        body: Any = validator(app)(environ, start_response)
        assert b"".join(body) == sent.body
        body.close()
        assert started == [sent.status_line]


@pytest.mark.parametrize("status", [199, 600, 0, -1, 202.0, "202", None])
def test_a_status_that_is_not_final_is_refused(status: Any) -> None:
    with pytest.raises(ValueError, match="from 200 to 599"):
        build_reply(status, rule="r")


# What a rule says itself


@pytest.mark.parametrize("name", ["Cache-Control", "cache-control", "CACHE-CONTROL"])
def test_a_field_that_is_given_replaces_the_default_of_that_name_whatever_its_case(name: str) -> None:
    response = build_reply(200, rule="r", headers=[(name, "max-age=60")])
    assert [value for field, value in response.headers if field.lower() == "cache-control"] == ["max-age=60"]


@pytest.mark.parametrize(
    ("status", "name"), [(201, "location"), (401, "WWW-AUTHENTICATE"), (405, "Allow"), (200, "content-type")]
)
def test_a_required_field_that_is_given_is_not_there_twice(status: int, name: str) -> None:
    assert fields(build_reply(status, rule="r", headers=[(name, "mine")]))[name.lower()] == "mine"


def test_a_repeated_field_keeps_its_values_and_their_order() -> None:
    pairs = [("Set-Cookie", "a=1"), ("X-Other", "x"), ("Set-Cookie", "b=2")]
    response = build_reply(200, rule="r", headers=pairs)
    assert list(response.headers[-3:]) == pairs


def test_a_given_content_replaces_the_default_body_its_length_and_its_type() -> None:
    response = build_reply(503, rule="r", content=Content.from_text("grün"))
    assert response.body == "grün".encode()
    assert fields(response)["content-length"] == "5"
    assert fields(response)["content-type"] == "text/plain; charset=utf-8"


def test_an_empty_content_is_no_default() -> None:
    response = build_reply(200, rule="r", content=Content(b"", "text/plain"))
    assert (response.body, fields(response)["content-length"]) == (b"", "0")


def test_a_media_type_that_is_given_stands_beside_a_content_too() -> None:
    response = build_reply(200, rule="r", headers=[("content-type", "a/b")], content=Content.from_json([]))
    assert fields(response)["content-type"] == "a/b"


@pytest.mark.parametrize("status", sorted(WITHOUT_BODY))
def test_a_content_for_a_status_that_has_none_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=f"a {status} has no body"):
        build_reply(status, rule="r", content=Content.from_json({}))


def test_a_range_is_told_of_the_body_that_is_sent() -> None:
    response = build_reply(206, rule="r", content=Content.from_text("12345"))
    assert fields(response)["content-range"] == "bytes 0-4/5"
    multipart = [("Content-Type", "multipart/byteranges; boundary=x")]
    assert "content-range" not in fields(build_reply(206, rule="r", headers=multipart))


def test_what_a_reply_was_chosen_by_is_told_to_caches() -> None:
    assert fields(build_reply(202, rule="trigger", vary="X-Mock-Status"))["vary"] == "X-Mock-Status"
    assert "vary" not in fields(build_reply(202, rule="r"))


# X-Mock-Rule


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("payments-down", "payments-down"),
        ("GET,POST /a/{id:int} #2", "GET,POST /a/{id:int} #2"),
        ("/é", "/%C3%A9"),
        ("/100%", "/100%25"),
        ("/a\r\nSet-Cookie: x", "/a%0D%0ASet-Cookie: x"),
        ("/\x00\x7f", "/%00%7F"),
    ],
)
def test_a_rule_is_named_legibly_and_what_is_not_ascii_is_percent_encoded(rule: str, shown: str) -> None:
    assert fields(build_reply(200, rule=rule))["x-mock-rule"] == shown


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("payments-down", 'mock;desc="payments-down"'),
        ("GET,POST /a/{id:int} #2", 'mock;desc="GET,POST /a/{id:int} #2"'),
        ('/a"b\\c', r'mock;desc="/a\"b\\c"'),
        ("/é%\r\n", 'mock;desc="/%C3%A9%25%0D%0A"'),
    ],
)
def test_a_rule_is_named_among_timings_as_a_quoted_string(rule: str, value: str) -> None:
    assert server_timing(rule) == ("Server-Timing", value)


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_name_of_any_rule_can_be_read_back_from_its_timing(rule: str) -> None:
    _, value = server_timing(rule)
    check_header("server-timing", value)
    # RFC 9110 section 5.6.4.
    (quoted,) = re.fullmatch(r'mock;desc="((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*)"', value).groups()  # type: ignore[union-attr]
    assert unquote(re.sub(r"\\(.)", r"\1", quoted)) == rule


@unhurried
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_name_of_any_rule_can_be_read_back_from_the_header(rule: str) -> None:
    shown = fields(build_reply(200, rule=rule))["x-mock-rule"]
    assert unquote(shown) == rule


@unhurried
@given(st.text())
def test_the_name_of_any_rule_is_safe_in_a_header(rule: str) -> None:
    shown = fields(build_reply(200, rule=rule))["x-mock-rule"]
    assert re.fullmatch(r"[\x20-\x7e]*", shown)
    # RFC 9110 section 5.5: "A field value does not include leading or trailing whitespace."
    assert shown == shown.strip()


# Problems


def test_a_problem_says_what_is_wrong_and_is_a_mock_like_any_other() -> None:
    response = build_problem(400, 'é "\n', rule="trigger", vary="X-Mock-Status")
    found = fields(response)
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": 'é "\n',
    }
    assert response.body.isascii()
    assert found["content-type"] == "application/problem+json"
    assert found["content-length"] == str(len(response.body))
    assert (found["x-mock-rule"], found["vary"], found["cache-control"]) == (
        "trigger",
        "X-Mock-Status",
        "no-store",
    )


# Content


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ({"status": "accepted", "task_id": "abc-123"}, b'{"status": "accepted", "task_id": "abc-123"}'),
        ({"b": 1, "a": [1.5, None, True]}, b'{"b": 1, "a": [1.5, null, true]}'),
        ("é", b'"\\u00e9"'),
        (None, b"null"),
        ("\ud800", b'"\\ud800"'),
    ],
)
def test_json_is_written_as_python_writes_it_by_default(value: object, body: bytes) -> None:
    assert Content.from_json(value) == Content(body, "application/json")


def recursive() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def deep() -> list[object]:
    value: list[object] = []
    for _ in range(200_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make",
    [
        lambda: float("nan"),
        lambda: [float("inf")],
        lambda: {"a": {1, 2}},
        lambda: b"bytes",
        lambda: {(1, 2): 3},
        recursive,
        deep,
    ],
    ids=["nan", "infinity", "a set", "bytes", "a key that is a tuple", "a list in itself", "a deep list"],
)
def test_what_json_has_no_word_for_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="no JSON can be made of this: "):
        Content.from_json(make())


# Header fields


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Retry-After", "30"),
        ("x-a", ""),
        ("x-a", "a b c"),
        ("x-a", "é\xff"),
        ("!#$%&'*+-.^_`|~09aZ", "x"),
        ("Set-Cookie", "a=1; Path=/"),
    ],
)
def test_a_field_of_one_printable_line_is_taken(name: str, value: str) -> None:
    check_header(name, value)


@pytest.mark.parametrize(
    "value",
    [
        "a\r\nSet-Cookie: x=1",
        "a\rb",
        "a\nb",
        "a\x00b",
        "a\r\n b",  # obs-fold
        "a\x0bb",
        "a\x1b[31m",
        "a\x7f",
        " a",
        "a ",
        "\ta",
        " ",
        "€",
        "\u2028",
        "\ud800",
        "\U0001f600",
    ],
)
def test_a_value_that_would_break_the_header_section_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"no CR, LF or NUL"):
        check_header("x-a", value)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", ":a", "é", "a\r\nb", "a\x00", "a/b", "(a)", "a\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a header's name is made of"):
        check_header(name, "x")


@pytest.mark.parametrize("name", sorted(RESERVED_HEADERS))
def test_a_field_that_is_not_a_rules_to_set_is_refused_whatever_its_case(name: str) -> None:
    for spelled in (name, name.title(), name.upper()):
        with pytest.raises(ValueError, match="set by the server or by mockware"):
            check_header(spelled, "x")


def test_what_frames_a_message_and_what_marks_a_mock_is_never_a_rules_to_set() -> None:
    assert {"content-length", "transfer-encoding", "date", "server", "x-mock-rule"} <= RESERVED_HEADERS


@unhurried
@given(st.text(st.characters(max_codepoint=0x100)))
def test_every_value_that_is_taken_fits_on_one_line_of_the_wire(value: str) -> None:
    try:
        check_header("x-a", value)
    except ValueError:
        return
    wire = value.encode("latin-1")
    assert wire == wire.strip(b" \t")
    assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", wire)


def test_a_long_value_is_checked_in_one_pass() -> None:
    # Each of these would take for ever if the expression went back over its choices.
    for value in ("a" * 100_000 + "\n", "a " * 50_000, " \t" * 50_000, "a\t" * 50_000 + "\x00"):
        with pytest.raises(ValueError, match="one line of printable"):
            check_header("x-a", value)
