"""What is an upstream, and what is said to somebody who writes what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.upstream import Upstream, parse_upstream


@pytest.mark.parametrize(
    ("text", "upstream", "shown"),
    [
        ("http://127.0.0.1:3000", Upstream("http", "127.0.0.1", 3000), "http://127.0.0.1:3000"),
        ("http://localhost", Upstream("http", "localhost", 80), "http://localhost"),
        ("https://Staging.Example/", Upstream("https", "staging.example", 443), "https://staging.example"),
        ("http://a:8080/api/v1/", Upstream("http", "a", 8080, "/api/v1"), "http://a:8080/api/v1"),
        ("http://[::1]:9", Upstream("http", "[::1]", 9), "http://[::1]:9"),
        ("HTTP://a_b", Upstream("http", "a_b", 80), "http://a_b"),
        ("unix:/run/app.sock", Upstream("http", "localhost", 80, "", "/run/app.sock"), "unix:/run/app.sock"),
        ("unix:///run/a", Upstream("http", "localhost", 80, "", "/run/a"), "unix:/run/a"),
    ],
)
def test_an_upstream_is_read_and_shown(text: str, upstream: Upstream, shown: str) -> None:
    assert parse_upstream(text) == upstream
    assert str(upstream) == shown
    assert parse_upstream(shown) == upstream


def test_an_upstream_is_known_by_its_port_where_that_is_not_the_usual() -> None:
    assert parse_upstream("http://a").authority == "a"
    assert parse_upstream("http://a:443").authority == "a:443"
    assert parse_upstream("https://a:443").authority == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:3000", "is no URL; did you mean 'http://127.0.0.1:3000'?"),
        ("localhost", "did you mean 'http://localhost'?"),
        ("3000", "did you mean 'http://127.0.0.1:3000'?"),
        (":3000", "did you mean 'http://127.0.0.1:3000'?"),
        ("/run/app.sock", "did you mean 'unix:/run/app.sock'?"),
        ("http:/a", "did you mean 'http://a'?"),
        ("htp://a", "'htp' is no scheme of an upstream; did you mean `http`?"),
        ("ws://a", "no scheme of an upstream"),
        ("http://", "'' is no host"),
        ("http://a b", "is no host"),
        ("http://a..b", "is no host"),
        (f"http://{'a' * 64}.test", "is no host"),
        ("http://a:0", "nobody can be reached at port 0"),
        ("http://a:99999", "Port out of range"),
        ("http://a:x", "Port could not be cast"),
        ("http://u:p@a", "has no user and password"),
        ("http://a?x=1", "neither a query nor a fragment"),
        ("http://a#x", "neither a query nor a fragment"),
        ("http://a/b c", "no path as it stands in a URL"),
        ("unix:app.sock", "the absolute path of a socket"),
        ("", "is no URL"),
    ],
)
def test_what_is_no_upstream_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        parse_upstream(text)
    assert message in str(refused.value)


@given(st.text() | st.from_regex(r"(https?|unix):/{0,3}[a-z0-9:/@\[\]?#%. -]*", fullmatch=True))
def test_any_text_is_an_upstream_that_can_be_read_again_or_a_value_error(text: str) -> None:
    message = ""
    try:
        upstream = parse_upstream(text)
    except ValueError as error:
        message = str(error)
    else:
        assert parse_upstream(str(upstream)) == upstream
    assert message.isprintable()
