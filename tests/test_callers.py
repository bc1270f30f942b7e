"""Who a request comes from: what tells callers apart, the names of their counters, and their luck."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.callers import THE_RULE, Caller, CounterKeys, parse_caller, parse_probability
from mockware.messages import Request

REQUEST = Request(
    "GET", "/a", "tag=1&tag=2&empty=", {"x-user": "ann", "cookie": "session=s1; other=2", "x-empty": ""}
)


@pytest.mark.parametrize(
    ("declared", "word"),
    [
        ("rule", None),
        ("path", "/a"),
        ("header:X-User", "ann"),
        ("header:x-empty", ""),
        ("header:x-none", None),
        ("cookie:session", "s1"),
        ("cookie:none", None),
        ("query:tag", "2"),
        ("query:empty", ""),
        ("query:none", None),
    ],
)
def test_a_caller_is_told_by_one_word_of_the_request(declared: str, word: str | None) -> None:
    assert parse_caller(declared).word(REQUEST) == word


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ("heder:x", "did you mean `header`"),
        ("header", "after `header:`"),
        ("header:", "after `header:`"),
        ("header:a b", "name of a header"),
        ("query:", "after `query:`"),
        ("rule:x", "`rule` stands alone"),
        ("path:", "`path` stands alone"),
        ("", "allowed: rule, path"),
        (7, "expected a string"),
    ],
)
def test_what_tells_no_callers_apart_is_refused(declared: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_caller(declared)


def key(caller: str = "header:x-user", *, rule: str = "r", service: str = "", **fields: str) -> str:
    keys = CounterKeys(parse_caller(caller), rule=rule, service=service)
    return keys.key(Request("GET", "/a", "", fields))


def test_every_caller_of_every_rule_of_every_service_has_a_counter_of_its_own() -> None:
    ann = {"x-user": "ann"}
    keys = [
        key(**ann),
        key(**{"x-user": "bob"}),
        key(**{"x-user": ""}),
        key(),
        key("header:x-other", **{"x-other": "ann"}),
        key("cookie:x-user", cookie="x-user=ann"),
        key("rule"),
        key("path"),
        key(rule="q", **ann),
        key(service="shop", **ann),
        key(rule="shop\0r", **ann),
    ]
    assert len(set(keys)) == len(keys)
    assert key(**ann) == keys[0], "in every process"


@given(st.text(), st.text(), st.text())
def test_a_key_is_short_and_says_nothing_of_the_caller(word: str, rule: str, service: str) -> None:
    made = CounterKeys(Caller("path"), rule=rule, service=service).key(Request("GET", word))
    assert len(made) <= 64
    assert made.isascii()
    assert made.replace(".", "").isalnum()


def test_a_lone_surrogate_of_a_hostile_query_has_a_counter_like_any_other() -> None:
    assert CounterKeys(Caller("path"), rule="r", service="").key(Request("GET", "/\udc80"))


# Chance

NEVER = iter(())


def holds(declared: Any, user: str | None, rule: str = "r", chance: float | None = None) -> bool:
    probability = parse_probability(declared)
    assert probability is not None
    request = Request("GET", "/a", "", {} if user is None else {"x-user": user})
    return probability.holds(request, lambda: next(NEVER) if chance is None else chance, rule=rule)


def within_the_binomial(found: int, tries: int, share: float) -> bool:
    """Six standard deviations: once in 500 million runs."""
    return abs(found - tries * share) <= 6 * math.sqrt(tries * share * (1 - share))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_of_a_hundred_thousand_requests_the_share_is_what_the_binomial_allows(share: float) -> None:
    probability = parse_probability(share)
    assert probability is not None
    chance = random.Random(7).random
    found = sum(probability.holds(REQUEST, chance, rule="r") for _ in range(100_000))
    assert within_the_binomial(found, 100_000, share)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
@pytest.mark.parametrize("seed", ["", "a", 7])
def test_of_a_hundred_thousand_callers_the_share_is_what_the_binomial_allows(
    share: float, seed: str | int
) -> None:
    declared = {"value": share, "per": "header:x-user", "seed": seed}
    found = sum(holds(declared, f"user-{i}") for i in range(100_000))
    assert within_the_binomial(found, 100_000, share)


def outcomes(declared: Any, rule: str = "r") -> list[bool]:
    return [holds(declared, f"user-{i}", rule) for i in range(200)]


def test_a_caller_always_has_the_same_luck() -> None:
    half = {"value": 0.5, "per": "header:x-user"}
    assert outcomes(half) == outcomes(half)
    # Known ones, so that another version, machine or Python would be noticed.
    assert [holds({**half, "seed": "demo"}, name) for name in ("ann", "bob", "cid", "dan", "eve")] == KNOWN


KNOWN = [True, True, False, True, False]


def test_rules_draw_for_themselves_unless_they_have_a_seed_in_common() -> None:
    half = {"value": 0.5, "per": "header:x-user"}
    assert outcomes(half, "r") != outcomes(half, "q")
    assert outcomes({**half, "seed": 1}, "r") == outcomes({**half, "seed": 1}, "q")
    assert outcomes({**half, "seed": 1}) != outcomes({**half, "seed": 2})
    assert outcomes({**half, "seed": 1}) == outcomes({**half, "seed": "1"})


def test_who_fails_at_a_tenth_fails_at_a_half_too() -> None:
    tenth, half = (outcomes({"value": share, "per": "header:x-user"}) for share in (0.1, 0.5))
    assert all(more for less, more in zip(tenth, half, strict=True) if less)


def test_a_caller_that_cannot_be_told_is_drawn_for() -> None:
    declared = {"value": 0.5, "per": "header:x-user"}
    assert holds(declared, None, chance=0.49)
    assert not holds(declared, None, chance=0.5)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (1.5, "from 0 to 1"),
        (-0.1, "from 0 to 1"),
        (float("nan"), "from 0 to 1"),
        (True, "from 0 to 1"),
        ("0.5", "from 0 to 1"),
        ({"value": 2, "per": "path"}, "from 0 to 1"),
        ({"value": 0.5}, "`value` and `per`"),
        ({"per": "path"}, "`value` and `per`"),
        ({"value": 0.5, "per": "rule"}, "`per` is"),
        ({"value": 0.5, "per": "path", "seed": True}, "`seed` is"),
        ({"value": 0.5, "per": "path", "sed": 1}, "did you mean `seed`"),
    ],
)
def test_what_is_no_probability_is_refused(declared: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_probability(declared)


def test_everybody_is_one_caller_by_default() -> None:
    assert THE_RULE.word(REQUEST) is None
    assert str(THE_RULE) == "rule"
    assert str(parse_caller("header:X-User")) == "header:x-user"
