"""The request that rules look at is parsed when it is asked for; the response is ready to be sent."""

import contextlib
import json
import wsgiref.util
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware import messages
from mockware.decisions import Passthrough
from mockware.messages import HOP_BY_HOP, MISSING, NOT_ON_HTTP_2, Request, Response

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure


def refuse(*args: object, **kwargs: object) -> NoReturn:
    raise AssertionError("parsed")


def make_response(body: bytes = b"hello", delay_s: float = 0.0) -> Response:
    headers = [("Content-Length", str(len(body))), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe9")]
    return Response(202, "Accepted", headers, body, rule="down", delay_s=delay_s)


# Request


def test_nothing_of_a_request_is_parsed_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "parse_qs", refuse)
    monkeypatch.setattr("starlette.requests.cookie_parser", refuse)
    monkeypatch.setattr(json, "loads", refuse)
    request = Request("GET", "/", "a=1", {"cookie": "a=1"}, b"{}")
    assert (request.method, request.path, request.header("cookie")) == ("GET", "/", "a=1")
    for part in ("query", "cookies", "json"):
        with pytest.raises(AssertionError, match="parsed"):
            getattr(request, part)


def test_what_was_parsed_once_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("GET", "/", "a=1", {"cookie": "a=1"}, b'{"a": 1}')
    first = (request.query, request.cookies, request.json)
    monkeypatch.setattr(messages, "parse_qs", refuse)
    monkeypatch.setattr("starlette.requests.cookie_parser", refuse)
    monkeypatch.setattr(json, "loads", refuse)
    assert (request.query, request.cookies, request.json) == first == ({"a": ["1"]}, {"a": "1"}, {"a": 1})


@pytest.mark.parametrize(
    ("query_string", "query"),
    [
        ("", {}),
        ("a=1&a=2&b=3", {"a": ["1", "2"], "b": ["3"]}),
        ("a=&b", {"a": [""], "b": [""]}),
        ("a=x+y%20z&%61=%C3%A9", {"a": ["x y z", "é"]}),
        ("a=%ff", {"a": ["\ufffd"]}),
        ("a=1;b=2", {"a": ["1;b=2"]}),
        ("&&=&", {"": [""]}),
    ],
)
def test_the_query_has_every_value_decoded(query_string: str, query: object) -> None:
    assert Request("GET", "/", query_string).query == query


def test_a_field_that_is_not_there_is_none_and_an_empty_one_is_empty() -> None:
    request = Request("GET", "/", headers={"x-empty": ""})
    assert request.header("x-empty") == ""
    assert request.header("x-absent") is None
    assert Request("GET", "/").header("host") is None


def test_cookies_are_read_as_browsers_send_them() -> None:
    request = Request("GET", "/", headers={"cookie": 'a=1; b="two words"; c; a=3'})
    assert request.cookies == {"a": "3", "b": "two words", "": "c"}
    assert Request("GET", "/").cookies == {}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b"null", None),
        (b"0", 0),
        (b"\xef\xbb\xbf{}", {}),
        ('"é"'.encode("utf-16"), "é"),
    ],
)
def test_a_json_body_is_read_in_the_encodings_that_json_has(body: bytes, value: object) -> None:
    assert Request("POST", "/", body=body).json == value


HOSTILE_BODIES = [
    b"",
    b"{",
    b"a=1",
    b"\xff\xfe\xfd",
    b"\x00",
    b'{"a": 1}, 2',
    b"9" * 5000,
    b"[" * 500_000,
    b'{"a":' * 200_000,
]


@pytest.mark.parametrize("body", [None, *HOSTILE_BODIES], ids=lambda body: repr(body)[:20])
def test_a_body_that_is_no_json_is_missing_and_not_null(body: bytes | None) -> None:
    assert Request("POST", "/", body=body).json is MISSING


@unhurried
@given(st.binary() | st.text('[]{}",:0123456789.eE+-nulltruefalseNaN ').map(str.encode))
def test_a_body_is_what_pythons_json_says_it_is_and_missing_where_that_refuses(body: bytes) -> None:
    value: object = MISSING
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(body)
    assert repr(Request("POST", "/", body=body).json) == repr(value)


def test_asking_a_body_for_json_leaves_the_body_as_it_was_read() -> None:
    # An adapter tells by `body` whether anything was read of the request.
    request = Request("POST", "/", body=b"no json")
    assert request.json is MISSING
    assert request.body == b"no json"


@pytest.mark.parametrize(
    ("method", "headers", "is_preflight"),
    [
        ("OPTIONS", {"access-control-request-method": "PUT", "origin": "https://a.example"}, True),
        ("OPTIONS", {"access-control-request-method": ""}, True),
        ("OPTIONS", {"origin": "https://a.example"}, False),
        ("GET", {"access-control-request-method": "PUT"}, False),
    ],
)
def test_a_preflight_is_an_options_request_that_names_another_method(
    method: str, headers: dict[str, str], is_preflight: bool
) -> None:
    assert Request(method, "/", headers=headers).is_preflight is is_preflight


def test_what_stands_for_no_value_reads_as_nothing() -> None:
    assert repr(MISSING) == "nothing"


# Response


def test_a_response_has_its_fields_in_the_form_of_both_interfaces() -> None:
    response = make_response()
    assert response.status_line == "202 Accepted"
    assert response.headers == (("Content-Length", "5"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=\xe9"))
    assert response.raw_headers == (
        (b"content-length", b"5"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=\xe9"),
    )


def test_the_answer_to_head_has_the_same_fields_and_no_content() -> None:
    response = make_response(delay_s=1.5)
    head = response.head
    assert head.body == b""
    assert (head.status, head.headers, head.raw_headers) == (202, response.headers, response.raw_headers)
    assert (head.rule, head.delay_s) == ("down", 1.5)
    assert head.head is head


def test_a_response_without_content_is_its_own_answer_to_head() -> None:
    response = make_response(b"")
    assert response.head is response


def test_a_response_after_the_delay_that_it_has_is_the_same_object() -> None:
    response = make_response(delay_s=2.0)
    assert response.after(2.0) is response


def test_a_response_after_another_delay_differs_in_nothing_else() -> None:
    response = make_response()
    late = response.after(2.5)
    assert (response.delay_s, late.delay_s, late.head.delay_s) == (0.0, 2.5, 2.5)
    assert (late.status_line, late.headers, late.body, late.rule) == (
        response.status_line,
        response.headers,
        response.body,
        response.rule,
    )
    assert late.after(0.0).delay_s == 0.0


def test_the_head_of_a_response_keeps_its_content_length_after_a_delay() -> None:
    head = make_response().head.after(1.0)
    assert (head.body, head.headers[0]) == (b"", ("Content-Length", "5"))


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_a_response_knows_that_it_has_a_field_that_not_every_connection_carries(name: str) -> None:
    assert Response(200, "OK", [(name.title(), "x")], b"", rule="r").has_hop_by_hop
    assert not Response(200, "OK", [("X-" + name, name)], b"", rule="r").has_hop_by_hop


def test_every_field_that_wsgi_servers_refuse_is_known_but_the_one_that_no_rule_may_set() -> None:
    candidates = {*HOP_BY_HOP, "transfer-encoding", "keep-alive", "te", "trailers", "upgrade", "connection"}
    refused = {name for name in candidates if wsgiref.util.is_hop_by_hop(name)}
    assert refused - {"transfer-encoding"} == HOP_BY_HOP


def test_no_connection_specific_field_goes_out_on_http_2() -> None:
    # RFC 9113 section 8.2.2 lists these and Transfer-Encoding, which no rule may set.
    assert {"connection", "proxy-connection", "keep-alive", "upgrade"} <= NOT_ON_HTTP_2


def test_a_challenge_of_a_proxy_does_go_out_on_http_2() -> None:
    assert "proxy-authenticate" not in NOT_ON_HTTP_2


def test_a_passthrough_waits_for_nothing_unless_told_to() -> None:
    assert Passthrough().delay_s == 0.0
