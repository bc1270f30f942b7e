"""Which fields go through a proxy, and what it says of whoever it speaks for."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.forwarding import Forwarding, handshake_to_client, to_client
from mockware.upstream_failures import LoopError

NAMES = st.sampled_from(
    ["host", "accept", "cookie", "connection", "te", "x-a", "via", "forwarded", "x-forwarded-for", "expect"]
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)).map(str.strip)


def scope(*fields: tuple[str, str], **more: Any) -> dict[str, Any]:
    raw = [(name.encode(), value.encode()) for name, value in fields]
    return {
        "type": "http",
        "scheme": "http",
        "http_version": "1.1",
        "client": ("192.0.2.1", 5),
        "headers": raw,
        **more,
    }


def said(forwarding: Forwarding, request: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in forwarding.to_upstream(request).fields if key == name]


TRUSTING = Forwarding(trusts_forwarded=True)


def test_what_was_said_before_is_kept_in_front_where_it_is_trusted() -> None:
    request = scope(
        ("host", "inner.test"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.test"),
        ("forwarded", "for=203.0.113.9;proto=https"),
    )
    assert said(TRUSTING, request, "x-forwarded-for") == ["203.0.113.9, 198.51.100.1, 192.0.2.1"]
    assert said(TRUSTING, request, "x-forwarded-proto") == ["https"]
    assert said(TRUSTING, request, "x-forwarded-host") == ["shop.test"]
    element = "for=192.0.2.1;host=inner.test;proto=http"
    assert said(TRUSTING, request, "forwarded") == [f"for=203.0.113.9;proto=https, {element}"]
    plain = Forwarding()
    assert said(plain, request, "x-forwarded-for") == ["192.0.2.1"]
    assert said(plain, request, "forwarded") == [element]
    assert said(plain, request, "x-forwarded-host") == ["inner.test"]


@pytest.mark.parametrize(
    ("more", "element"),
    [
        ({"client": ("2001:db8::1", 5)}, 'for="[2001:db8::1]";host=a;proto=http'),
        ({"client": None}, "for=unknown;host=a;proto=http"),
        ({"client": ("192.0.2.1", 5), "scheme": "https"}, "for=192.0.2.1;host=a;proto=https"),
        ({"type": "websocket", "scheme": "wss"}, "for=192.0.2.1;host=a;proto=https"),
    ],
)
def test_a_sender_is_named_as_rfc_7239_writes_it(more: dict[str, Any], element: str) -> None:
    assert said(Forwarding(), scope(("host", "a"), **more), "forwarded") == [element]


def test_a_host_with_a_port_is_quoted_and_one_that_is_none_is_not_repeated() -> None:
    assert said(Forwarding(), scope(("host", "a:80")), "forwarded") == [
        'for=192.0.2.1;host="a:80";proto=http'
    ]
    evil = scope(("host", 'a";for=6.6.6.6'))
    assert said(Forwarding(), evil, "forwarded") == ["for=192.0.2.1;proto=http"]
    assert said(Forwarding(), evil, "x-forwarded-host") == []


def test_the_host_field_is_kept_or_another() -> None:
    assert said(Forwarding(), scope(("host", "a")), "host") == ["a"]
    assert said(Forwarding(host="up:3000"), scope(("host", "a")), "host") == ["up:3000"]


def test_the_key_goes_by_the_name_that_it_was_given() -> None:
    request = scope(("x-mock-key", "1"), ("x-staging", "2"))
    assert said(Forwarding(without=["x-staging"]), request, "x-mock-key") == ["1"]
    assert said(Forwarding(without=["x-staging"]), request, "x-staging") == []


def test_connection_cannot_ask_for_the_removal_of_the_length_or_the_host() -> None:
    request = scope(
        ("host", "a"), ("content-length", "3"), ("connection", "Content-Length , HOST,x-a"), ("x-a", "1")
    )
    outgoing = Forwarding().to_upstream(request)
    names = [name for name, _ in outgoing.fields]
    assert "content-length" in names
    assert "host" in names
    assert "x-a" not in names
    assert outgoing.has_length


def test_a_body_in_chunks_and_an_expectation_are_seen() -> None:
    outgoing = Forwarding().to_upstream(scope(("transfer-encoding", "chunked"), ("expect", "100-Continue")))
    assert outgoing.has_length
    assert outgoing.expects
    assert [name for name, _ in outgoing.fields if name in ("transfer-encoding", "expect")] == ["expect"]
    assert not Forwarding().to_upstream(scope()).has_length


def test_a_length_beside_chunks_is_not_handed_on() -> None:
    fields = [("content-length", "40"), ("transfer-encoding", "chunked")]
    for headers in (fields, fields[::-1]):
        outgoing = Forwarding().to_upstream(scope(*headers))
        assert outgoing.has_length
        assert not {"content-length", "transfer-encoding"} & {name for name, _ in outgoing.fields}


def test_cookies_that_came_one_by_one_over_http_2_are_one_field_over_http_1() -> None:
    request = scope(("cookie", "a=1"), ("accept", "*/*"), ("cookie", "b=2"), http_version="2")
    assert said(Forwarding(), request, "cookie") == ["a=1; b=2"]


def test_two_hosts_are_not_handed_on() -> None:
    with pytest.raises(ValueError, match="two Host fields"):
        Forwarding().to_upstream(scope(("host", "a"), ("host", "b")))


def test_what_looks_like_what_we_say_of_a_sender_is_not_believed() -> None:
    names = ["x_forwarded_for", "X_Forwarded-Host".lower(), "x-real-ip", "x_real_ip", "x-forwarded-port"]
    fields = [(name, "6.6.6.6") for name in names]
    assert {name for name, _ in Forwarding().to_upstream(scope(*fields)).fields} == {
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
    }
    assert said(TRUSTING, scope(*fields), "x-real-ip") == ["6.6.6.6"]


def test_who_comes_by_again_is_told_from_others_of_our_kind() -> None:
    ours = Forwarding(name="mockware-1")
    with pytest.raises(LoopError):
        ours.to_upstream(scope(("via", "1.1 mockware-1")))
    other = scope(("via", "1.0 fred"), ("via", "2 mockware-2"), http_version="2")
    assert said(ours, other, "via") == ["1.0 fred, 2 mockware-2, 2 mockware-1"]


def test_a_handshake_of_the_clients_is_not_the_upstreams() -> None:
    fields = [
        ("sec-websocket-key", "x"),
        ("sec-websocket-version", "13"),
        ("upgrade", "websocket"),
        ("cookie", "a=1"),
    ]
    outgoing = Forwarding().to_upstream(scope(("connection", "Upgrade"), *fields, type="websocket"))
    names = {name for name, _ in outgoing.fields}
    assert "cookie" in names
    assert not names & {"sec-websocket-key", "sec-websocket-version", "upgrade", "connection"}
    answer = [(b"Sec-WebSocket-Accept", b"x"), (b"Upgrade", b"websocket"), (b"Set-Cookie", b"a=1")]
    assert handshake_to_client(answer) == [(b"set-cookie", b"a=1")]


def test_a_response_keeps_its_order_and_repetitions() -> None:
    fields = [
        (b"Set-Cookie", b"a=1"),
        (b"X-A", b"1"),
        (b"SET-COOKIE", b"b=2"),
        (b"Connection", b"x-b"),
        (b"X-B", b"2"),
    ]
    assert to_client(fields) == [(b"set-cookie", b"a=1"), (b"x-a", b"1"), (b"set-cookie", b"b=2")]


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8), st.booleans())
def test_any_request_says_one_host_one_via_and_one_sender(
    fields: Sequence[tuple[str, str]], trusts: bool
) -> None:
    forwarding = Forwarding(trusts_forwarded=trusts, name="mockware-1")
    hosts = [value for name, value in fields if name == "host" and value]
    if len(hosts) > 1:
        with pytest.raises(ValueError, match="two Host fields"):
            forwarding.to_upstream(scope(*fields))
        return
    outgoing = forwarding.to_upstream(scope(*fields))
    names = [name for name, _ in outgoing.fields]
    assert names.count("host") == len(hosts)
    for name in ("via", "forwarded", "x-forwarded-for", "x-forwarded-proto"):
        assert names.count(name) == 1
    assert "connection" not in names
    assert "te" not in names
