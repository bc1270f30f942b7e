"""A duration is a number and a unit; nothing else is."""

import math
import random
import statistics
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware.durations import MAX_DELAY_S, parse_delay, parse_duration, parse_rule_delay

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("2s", 2.0),
        ("1m", 60.0),
        ("0s", 0.0),
        ("0.5s", 0.5),
        ("1.5m", 90.0),
        ("007s", 7.0),
        ("30000ms", 30.0),
    ],
)
def test_a_number_with_a_unit_is_so_many_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@unhurried
@given(
    st.from_regex(r"[0-9]{1,9}", fullmatch=True),
    st.just("") | st.from_regex(r"\.[0-9]{1,9}", fullmatch=True),
    st.sampled_from(sorted(UNITS)),
)
def test_any_number_that_a_person_would_write_is_read_to_the_last_digit(
    whole: str, fraction: str, unit: str
) -> None:
    exact = float(Decimal(whole + fraction) * UNITS[unit])
    assert parse_duration(whole + fraction + unit) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("number", [0, 2, 2.5, -1, float("inf"), "5", "0.5"])
def test_a_bare_number_is_refused_with_the_two_ways_to_write_it(number: float | str) -> None:
    with pytest.raises(ValueError, match="has no unit") as refused:
        parse_duration(number)
    assert f"`{number}s` or `{number}ms`" in str(refused.value)


@pytest.mark.parametrize(("text", "hours"), [("1d", "24h"), ("7d", "168h"), ("012d", "288h")])
def test_days_are_refused_with_their_hours(text: str, hours: str) -> None:
    with pytest.raises(ValueError, match=f"write `{hours}`"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "1 s",
        " 1s",
        "1s ",
        "1s\n",
        "+1s",
        "-1s",
        "1e3s",
        "1_0s",
        "0x1s",
        "1.s",
        ".5s",
        "1,5s",
        "1S",
        "1sec",
        "1s1s",
        "infs",
        "nans",
        "\u0661s",  # ARABIC-INDIC DIGIT ONE
        "\uff11s",  # FULLWIDTH DIGIT ONE
        "1\u017f",  # LATIN SMALL LETTER LONG S, which is an s to some comparisons
        "1" * 10 + "s",
        "1." + "1" * 10 + "s",
        "1" * 100_000 + "s",
        True,
        False,
        None,
        b"1s",
        ["1s"],
        {"min": "1s"},
    ],
)
def test_anything_else_is_refused_with_examples_of_what_is_allowed(text: object) -> None:
    with pytest.raises(ValueError, match="`250ms`, `2s`, `1m` or `24h`"):
        parse_duration(text)


@unhurried
@given(st.text())
def test_no_text_leads_to_anything_but_seconds_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert seconds >= 0.0


def test_a_delay_may_be_as_long_as_the_longest_but_no_longer() -> None:
    assert parse_delay("30s") == MAX_DELAY_S == 30.0
    for text in ("30.001s", "30001ms", "1m", "999999999m"):
        with pytest.raises(ValueError, match="at most 30s"):
            parse_delay(text)


def test_the_longest_delay_can_be_made_shorter() -> None:
    assert parse_delay("1.5s", longest_s=1.5) == 1.5
    with pytest.raises(ValueError, match=r"at most 1\.5s"):
        parse_delay("2s", longest_s=1.5)


def test_a_delay_is_refused_for_its_form_before_its_length() -> None:
    with pytest.raises(ValueError, match="has no unit"):
        parse_delay(100)


# Delays that are drawn

LOG_NORMAL = {"median": "200ms", "sigma": 0.5, "max": "5s"}


def drawn(declared: object, count: int = 20_000) -> list[float]:
    chance = random.Random(11).random
    delay = parse_rule_delay(declared)
    return [delay.draw(chance) for _ in range(count)]


def test_half_of_the_log_normal_delays_are_below_the_median_and_their_logarithms_normal() -> None:
    found = drawn(LOG_NORMAL)
    # Six standard deviations of the binomial.
    assert abs(sum(delay_s < 0.2 for delay_s in found) - 10_000) < 6 * math.sqrt(5000)
    logarithms = [math.log(delay_s) for delay_s in found]
    assert statistics.fmean(logarithms) == pytest.approx(math.log(0.2), abs=0.03)
    assert statistics.pstdev(logarithms) == pytest.approx(0.5, abs=0.03)


def test_what_would_exceed_the_maximum_is_not_drawn_rather_than_cut() -> None:
    found = drawn({"median": "1s", "sigma": 1.0, "max": "2s"})
    assert max(found) <= 2
    # A distribution that is cut off there would have a quarter of its values at the very end.
    assert sum(delay_s > 1.99 for delay_s in found) < 200


@pytest.mark.parametrize("die", [0.0, 2.0**-53, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize("sigma", [0.01, 0.5, 5.0])
def test_no_throw_of_the_die_is_out_of_bounds(die: float, sigma: float) -> None:
    delay = parse_rule_delay({"median": "29s", "sigma": sigma})
    assert 0 <= delay.draw(lambda: die) <= MAX_DELAY_S


@given(st.floats(0, 1, exclude_max=True))
def test_a_uniform_delay_lies_between_its_ends(die: float) -> None:
    assert 1 <= parse_rule_delay({"min": "1s", "max": "2s"}).draw(lambda: die) <= 2


def test_a_fixed_delay_throws_no_die() -> None:
    assert parse_rule_delay("2s").draw(lambda: 1 / 0) == 2.0


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("2s", "2 s"),
        ({"min": "1s", "max": "2s"}, "1 to 2 s"),
        (LOG_NORMAL, "about 0.2 s, at most 5 s"),
    ],
)
def test_a_delay_is_told_in_words(declared: object, words: str) -> None:
    assert str(parse_rule_delay(declared)) == words
    assert parse_rule_delay(declared)
    assert not parse_rule_delay(None)
