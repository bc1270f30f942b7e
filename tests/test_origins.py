"""By which URL a client knows us: what it says itself, and what a proxy says where one is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_hand import Sent, environ_of

from mockware.messages import Request
from mockware.origins import origin_of, prefix_of
from mockware.wsgi_requests import EnvironRequest


def request(mount: str = "", **fields: str) -> Request:
    return EnvironRequest(
        environ_of(
            Sent(mount=mount, target=mount + "/", headers=[("Host", "h")]),
            **{f"HTTP_{name.upper()}": value for name, value in fields.items()},
        ),
        "/",
    )


def origin(trusts: bool = True, /, **fields: str) -> str:
    return origin_of(request(**fields), trusts_forwarded=trusts)


@pytest.mark.parametrize(
    "host", ["a.example", "A.example", "a.example:8443", "127.0.0.1:80", "[::1]:8000", "a_b", "x" * 255]
)
def test_a_host_is_taken_as_it_is_called(host: str) -> None:
    assert origin(host=host) == f"http://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a.example/",
        "user@evil.example",
        "a.example:port",
        "a.example:123456",
        "a.example?x",
        "a.example#x",
        "a\\b",
        "a.example\r\nSet-Cookie: x=1",
        "a.example\n",
        "<script>",
        "a%2eexample",
        "a.example,b.example",
        "é.example",
        "[::1",
        "[evil]",
        "::1",
        "x" * 256,
        ":80",
    ],
)
def test_what_is_no_host_gets_into_no_url(host: str) -> None:
    assert origin(host=host) == ""
    # A proxy's list has another host behind the first, and blanks around it.
    assert origin(host="a.example", x_forwarded_host=host) in ("", "http://a.example")
    quoted = host.replace("\\", "\\\\")
    assert origin(host="a.example", forwarded=f'host="{quoted}"') in ("", "http://a.example")


FORWARDED = {
    "the standard's own": ({"forwarded": "for=192.0.2.43;proto=https;host=a.example"}, "https://a.example"),
    "quoted": ({"forwarded": 'proto="https";host="a.example:8443"'}, "https://a.example:8443"),
    "in any case and order": ({"forwarded": "Host=A.example; Proto=HTTPS ;by=_x"}, "https://a.example"),
    "the first proxy's": ({"forwarded": "host=a.example, host=b.example;proto=https"}, "http://a.example"),
    "without a host": ({"forwarded": "for=_x;proto=https"}, "https://h.example"),
    "what was usual before": (
        {"x_forwarded_proto": "https", "x_forwarded_host": "a.example"},
        "https://a.example",
    ),
    "the first of several": (
        {"x_forwarded_proto": "https,http", "x_forwarded_host": "a.example , b.example"},
        "https://a.example",
    ),
    "the standard before the usual": (
        {"forwarded": "proto=http;host=a.example", "x_forwarded_proto": "https"},
        "http://a.example",
    ),
    "another scheme": ({"x_forwarded_proto": "javascript"}, ""),
    "junk": ({"forwarded": ";;=,"}, "http://h.example"),
}


@pytest.mark.parametrize(("fields", "expected"), FORWARDED.values(), ids=FORWARDED)
def test_a_proxy_is_believed_only_where_it_is_trusted(fields: dict[str, str], expected: str) -> None:
    assert origin(host="h.example", **fields) == expected
    assert origin(False, host="h.example", **fields) == "http://h.example"


@given(st.text(), st.text(), st.text(), st.text())
def test_no_field_is_an_error_and_what_is_said_is_a_url(
    host: str, forwarded: str, proto: str, prefix: str
) -> None:
    for fields in (
        {"host": host, "forwarded": forwarded},
        {"host": host, "forwarded": f'host="{forwarded}";proto={proto}'},
        {"x_forwarded_host": host, "x_forwarded_proto": proto, "x_forwarded_prefix": prefix},
    ):
        found = origin_of(request(**fields), trusts_forwarded=True)
        found += prefix_of(request(**fields), trusts_forwarded=True)
        assert found.isascii()
        assert found.isprintable()
        assert not set(found) & set(' "<>\\?#@') or "@" in prefix


@pytest.mark.parametrize(
    ("mount", "given", "prefix"),
    [
        ("", "", ""),
        ("/app", "", "/app"),
        ("/app/", "", "/app"),
        ("/é b", "", "/%C3%A9%20b"),
        ("", "/api", "/api"),
        ("", "/api/", "/api"),
        ("", " /api , /other", "/api"),
        ("/app", "/api", "/api/app"),
        ("/api/app", "/api", "/api/app"),
        ("/api", "/api", "/api"),
        ("/apix", "/api", "/api/apix"),
        ("/app", "/", "/app"),
        ("", "//evil.example", ""),
        ("", "api", ""),
        ("", "/a?b", ""),
        ("", "/a b", ""),
        ("", "/a\r\nb", ""),
        ("", "/é", ""),
    ],
)
def test_what_stands_before_the_app_comes_from_the_server_and_a_trusted_proxy(
    mount: str, given: str, prefix: str
) -> None:
    of = request(mount=mount, x_forwarded_prefix=given)
    assert prefix_of(of, trusts_forwarded=True) == prefix
    assert prefix_of(of, trusts_forwarded=False) == prefix_of(request(mount=mount), trusts_forwarded=False)
