"""A token allows what it was signed for and nothing else, whatever is done to it."""

import fnmatch
import re
import threading
from math import inf
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mockware import tokens
from mockware.durations import MAX_DELAY_S
from mockware.tokens import (
    ANYTHING,
    MAX_LIFETIME_S,
    MAX_TOKEN_CHARS,
    OutOfScopeError,
    Scope,
    TokenKey,
    check_glob,
    glob_matches,
)

unhurried = settings(deadline=None)

KEY = "a key of this test, long enough"
NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z
OURS = TokenKey(KEY)

words = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable())
scopes = st.builds(
    Scope,
    paths=st.lists(words.map(lambda word: f"/{word}"), max_size=4).map(tuple),
    statuses=st.none() | st.lists(st.integers(200, 599), max_size=6).map(tuple),
    names=st.none() | st.lists(words, max_size=4).map(tuple),
    max_delay_s=st.floats(0, MAX_DELAY_S),
    expires_at=st.integers(int(NOON), int(NOON + MAX_LIFETIME_S)),
    service=st.just("") | st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True),
)


# Signing and reading


@unhurried
@given(scopes)
@example(Scope(paths=("/" + "long/" * 60,), expires_at=NOON))  # so alike that it is compressed
def test_what_is_signed_is_read_by_whoever_has_the_key(scope: Scope) -> None:
    signed = OURS.sign(scope)
    assert OURS.read(signed) == scope
    assert TokenKey(KEY).read(signed) == scope
    assert TokenKey(KEY + ".").read(signed) is None


@unhurried
@given(scopes)
def test_a_token_is_made_of_characters_that_headers_and_baggage_carry_as_they_are(scope: Scope) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+", OURS.sign(scope))


SIGNED = OURS.sign(Scope(("/payments/*",), (503, 202), (), 5.0, int(NOON), "billing"))


@unhurried
@given(st.integers(0, len(SIGNED) - 1), st.characters(max_codepoint=0xFF))
def test_with_any_character_flipped_it_is_no_token(at: int, other: str) -> None:
    if other != SIGNED[at]:
        assert OURS.read(SIGNED[:at] + other + SIGNED[at + 1 :]) is None


def test_with_any_character_replaced_by_any_of_the_alphabet_it_is_no_token() -> None:
    # Every spelling, the spare bits of base64 among them.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"
    for at, own in enumerate(SIGNED):
        for other in alphabet:
            if other != own:
                assert OURS.read(SIGNED[:at] + other + SIGNED[at + 1 :]) is None, (at, other)


@unhurried
@given(st.integers(0, len(SIGNED)), st.text(min_size=1, max_size=8))
def test_with_anything_put_in_or_left_out_it_is_no_token(at: int, more: str) -> None:
    assert OURS.read(SIGNED[:at] + more + SIGNED[at:]) is None
    if at < len(SIGNED):
        assert OURS.read(SIGNED[:at] + SIGNED[at + 1 :]) is None
        assert OURS.read(SIGNED[:at]) is None


@unhurried
@given(st.text() | st.from_regex(r"\.?[A-Za-z0-9_-]{1,99}\.[A-Za-z0-9_-]{64}", fullmatch=True))
@example("")
@example(KEY)
@example("." * 100)
@example("A" * 10_000_000 + "." + "A" * 64)
def test_what_is_no_token_is_nothing_and_no_error(shown: str) -> None:
    assert OURS.read(shown) is None


@pytest.mark.parametrize(
    "payload", [[], {}, None, "text", [1, 2], [[], None, None, 1, 2, "", "more"], [3] * 6]
)
def test_what_another_version_would_have_signed_is_no_token(payload: Any) -> None:
    signed = tokens._serializer(KEY).dumps(payload)
    assert OURS.read(signed) is None


def test_every_purpose_of_the_key_has_a_key_of_its_own() -> None:
    from itsdangerous import URLSafeSerializer

    for secret in (KEY, KEY.encode()):
        assert OURS.read(str(URLSafeSerializer(secret).dumps([[], None, None, 1.0, NOON, ""]))) is None
    assert KEY not in repr(vars(OURS))


def test_a_key_beyond_ascii_signs_too() -> None:
    for key in ("schlüssel-€-" * 2, "k\udcff" * 8):
        scope = Scope(expires_at=NOON)
        assert TokenKey(key).read(TokenKey(key).sign(scope)) == scope


def test_a_scope_that_no_header_would_carry_is_not_signed() -> None:
    # Letters that do not repeat: what does is compressed.
    names = tuple(f"{number * 7919:x}" * 2 for number in range(10_000, 10_400))
    with pytest.raises(ValueError, match=f"more than {MAX_TOKEN_CHARS}"):
        OURS.sign(Scope(names=names, expires_at=NOON))
    assert len(OURS.sign(Scope(names=names[:90], expires_at=NOON))) <= MAX_TOKEN_CHARS
    # Nor is it read, were it signed: nobody makes us compute on texts of any length.
    assert OURS.read(OURS._tokens.dumps(Scope(names=names, expires_at=NOON))) is None
    assert OURS.read(OURS._tokens.dumps(Scope(names=names[:90], expires_at=NOON))) is not None


# What is remembered


def test_a_token_that_was_read_is_looked_up_and_no_longer_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = TokenKey(KEY)
    first = key.read(SIGNED)
    monkeypatch.setattr(key._tokens, "loads", None)  # whoever calls it fails
    assert key.read(SIGNED) is first


def test_what_is_remembered_has_a_bound_and_strangers_push_nothing_out() -> None:
    key = TokenKey(KEY)
    key.read(SIGNED)
    for number in range(2 * tokens._MAX_REMEMBERED):
        assert key.read(f"{number}{SIGNED}") is None
    assert key._read.cache_info().currsize == 1
    for number in range(2 * tokens._MAX_REMEMBERED):
        assert key.read(key.sign(Scope(expires_at=number))) is not None
        key.read(SIGNED)
    assert key._read.cache_info().currsize == tokens._MAX_REMEMBERED
    before = key._read.cache_info().misses
    assert key.read(SIGNED) is not None  # the least recently used ones have gone, and this is not among them
    assert key._read.cache_info().misses == before


def test_threads_read_the_same() -> None:
    key = TokenKey(KEY)
    signed = [key.sign(Scope(expires_at=number)) for number in range(600)]
    wrong: list[int] = []

    def read() -> None:
        for number, token in enumerate(signed):
            scope = key.read(token)
            if scope is None or scope.expires_at != number:
                wrong.append(number)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# Scopes


def why_not(scope: Scope, *, path: str = "/", service: str = "", now: float = NOON) -> str:
    """Why a scope allows nothing here and now; empty: it may allow something."""
    try:
        scope.check(path, service, lambda: now)
    except OutOfScopeError as error:
        return str(error)
    return ""


def test_it_allows_something_until_it_expires_and_not_at_that_second() -> None:
    scope = Scope(expires_at=NOON)
    assert why_not(scope, now=NOON - 0.001) == ""
    for later in (0, 0.001, 1e9):
        assert why_not(scope, now=NOON + later) == "the token has expired at 2026-11-23 12:00:00 UTC"


def test_one_that_lives_for_longer_than_any_may_was_made_by_a_wrong_clock() -> None:
    assert why_not(Scope(expires_at=NOON + MAX_LIFETIME_S)) == ""
    assert why_not(Scope(expires_at=NOON + MAX_LIFETIME_S + 60)) == ""  # clocks are a little apart
    assert "a clock is wrong" in why_not(Scope(expires_at=NOON + 2 * MAX_LIFETIME_S))


def test_it_is_for_one_service_if_it_says_so() -> None:
    scope = Scope(service="billing")
    assert why_not(scope, service="billing") == ""
    assert why_not(scope, service="shop") == "the token is for the service 'billing', and this is 'shop'"
    assert why_not(scope).endswith("'billing', and this one has no MOCKWARE_SERVICE")
    assert why_not(Scope(), service="shop") == ""


def test_it_is_for_its_paths_if_it_names_any() -> None:
    scope = Scope(("/payments/*", "/café"))
    for path in ("/payments/", "/payments/7/refunds", "/café"):
        assert why_not(scope, path=path) == ""
    for path in ("/payments", "/Payments/7", "/v2/payments/7", "/cafe", "/"):
        assert why_not(scope, path=path) != ""
    assert why_not(scope, path="/x\r\n" + "y" * 9999).startswith(
        r"the token is for the paths '/payments/*, /caf\xe9', and this is '/x\r\nyyy"
    )


@unhurried
@given(st.lists(st.integers(200, 599), max_size=4), st.lists(st.integers(200, 599), max_size=4))
def test_it_allows_its_statuses_and_no_other(allowed: list[int], asked: list[int]) -> None:
    scope = Scope(statuses=tuple(allowed))
    ANYTHING.check_statuses(asked)
    if set(asked) <= set(allowed):
        scope.check_statuses(asked)
    else:
        with pytest.raises(OutOfScopeError):
            scope.check_statuses(asked)


def test_it_allows_its_rules_and_no_other() -> None:
    scope = Scope(names=("down", "GET /café", "a b"))
    assert [scope.named(name) for name in ("down", " down\t", "GET /caf%C3%A9", "a%20b", "a b")] == [
        "down",
        "down",
        "GET /café",
        "a b",  # and not the rule that is called `a%20b`
        "a b",
    ]
    for name in ("", "Down", "down2", "a%2520b", "x" * 10_000):
        with pytest.raises(OutOfScopeError, match="the token allows these rules only: 'down, GET "):
            scope.named(name)
    with pytest.raises(OutOfScopeError, match="the token allows no rules"):
        Scope(names=()).named("down")
    assert Scope().named("whatever") == "whatever"


def test_it_allows_delays_up_to_its_own() -> None:
    Scope(max_delay_s=5.0).check_delay(5.0)
    with pytest.raises(OutOfScopeError, match=r"6s: the token allows delays of at most 5s"):
        Scope(max_delay_s=5.0).check_delay(6.0)


def test_what_it_allows_can_be_read_by_people() -> None:
    assert str(Scope(("/a/*", "/b"), (503,), (), 5.0, NOON, "billing")) == (
        "the statuses 503, no rule by name and delays of at most 5s, on /a/*, /b, of the service billing, "
        "until 2026-11-23 12:00:00 UTC"
    )
    assert str(Scope((), (), ("down",), 30.0, inf)) == (
        "no status, the rules down by name and delays of at most 30s, on any path"
    )
    assert str(ANYTHING) == "any status, any rule by name and delays of at most 30s, on any path"


# Globs


letters = st.text("a/*", max_size=12)


@unhurried
@given(letters, st.text("a/", max_size=12))
@example("/a*a", "/a")
@example("**", "")
def test_a_star_stands_for_any_characters_as_in_fnmatch(glob: str, path: str) -> None:
    assert glob_matches(glob, path) == fnmatch.fnmatchcase(path, glob)


def test_everything_but_the_star_stands_for_itself() -> None:
    assert glob_matches("/[a].b", "/[a].b")
    assert not glob_matches("/[a].b", "/a.b")
    assert not glob_matches("/a.b", "/axb")
    assert glob_matches("/*", "/x\ny/z")


def test_no_glob_takes_long() -> None:
    # A regular expression would not come back from this.
    assert not glob_matches("*a" * 500 + "b", "a" * 60_000)


@pytest.mark.parametrize(
    ("glob", "message"),
    [
        ("", "a path starts with `/`"),
        ("payments/*", "a path starts with `/`"),
        ("*", "`/*` is all of them"),
        ("/a,/b", "several paths stand apart, as arguments of their own: /a /b"),
        ("/a?x=1", "a path ends before `?` and `#`"),
        ("/a#b", "a path ends before `?` and `#`"),
        ("/caf%C3%A9", "a path is written decoded: /café"),
        ("/a\n", "printable"),
        ("/\udcff", "printable"),
    ],
)
def test_a_glob_that_cannot_mean_what_it_says_is_refused(glob: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_glob(glob)


@pytest.mark.parametrize("glob", ["/", "/*", "/payments/*", "/a, b", "/100%", "/*/refunds"])
def test_other_globs_are_not(glob: str) -> None:
    check_glob(glob)
