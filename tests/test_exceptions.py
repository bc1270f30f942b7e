"""Problems are said in one short line each, with the place, the value and the nearest right word."""

import difflib
import pickle
import string
from datetime import UTC, date, datetime, time
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware.exceptions import (
    MAX_LISTED,
    MAX_QUOTED_CHARS,
    ConfigError,
    MockwareError,
    Problem,
    did_you_mean,
    quoted,
)

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))

FULL = Problem("mocks.toml", "expected a number", rule="rule 3 'down'", key="probability", value="'often'")


# Problem


def test_a_problem_names_the_file_the_rule_the_key_and_the_value_in_this_order() -> None:
    assert str(FULL) == "mocks.toml, rule 3 'down': `probability` = 'often': expected a number"


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (FULL._replace(rule=""), "mocks.toml: `probability` = 'often': expected a number"),
        (FULL._replace(value=""), "mocks.toml, rule 3 'down': `probability`: expected a number"),
        (FULL._replace(key=""), "mocks.toml, rule 3 'down': 'often': expected a number"),
        (FULL._replace(source=""), "rule 3 'down': `probability` = 'often': expected a number"),
        (Problem("mocks.toml", "not TOML"), "mocks.toml: not TOML"),
        (Problem("", "not TOML"), "not TOML"),
    ],
)
def test_a_part_that_is_not_known_leaves_no_gap_in_the_line(problem: Problem, line: str) -> None:
    assert str(problem) == line


# ConfigError


def test_a_config_error_has_every_problem_and_says_each_on_a_line_of_its_own() -> None:
    problems = [FULL, FULL._replace(source="other.toml"), Problem("MOCKWARE", "no such rule")]
    error = ConfigError(problem for problem in problems)
    assert error.problems == tuple(problems)
    assert str(error).splitlines() == [str(problem) for problem in problems]


def test_a_config_error_is_caught_as_mockwares_own_error_and_as_a_value_error() -> None:
    for kind in (MockwareError, ValueError):
        with pytest.raises(kind):
            raise ConfigError([FULL])


def test_a_config_error_survives_the_way_from_one_process_to_another() -> None:
    error = ConfigError([FULL, Problem("MOCKWARE", "no such rule")])
    arrived = pickle.loads(pickle.dumps(error))
    assert (arrived.problems, str(arrived)) == (error.problems, str(error))


# quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("often", "'often'"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\r\nb\x00\x1b[31m", r"'a\r\nb\x00\x1b[31m'"),
        ("é€", r"'\xe9\u20ac'"),
        ("\ud800", r"'\ud800'"),
        (True, "true"),
        ([False, date(2030, 1, 1)], "[false, 2030-01-01]"),
        (datetime(2030, 1, 1, 8, tzinfo=UTC), "2030-01-01T08:00:00+00:00"),
        (time(8), "08:00:00"),
        (1.5, "1.5"),
        (None, "null"),
        ({"a": ["é"]}, r"{'a': ['\xe9']}"),
        (b"\xff", r"b'\xff'"),
    ],
)
def test_a_value_is_shown_in_ascii_and_without_words_of_python(value: object, shown: str) -> None:
    assert quoted(value) == shown


scalars = st.text() | st.binary() | st.integers() | st.floats() | st.booleans()


@unhurried
@given(
    scalars
    | st.lists(scalars)
    | st.dictionaries(st.text(), scalars)
    | st.text(min_size=MAX_QUOTED_CHARS - 3, max_size=MAX_QUOTED_CHARS + 3)
    | st.integers(1, 99).map("\U0001f600".__mul__)
)
def test_whatever_is_quoted_is_one_short_line_of_printable_ascii(value: object) -> None:
    shown = quoted(value)
    assert set(shown) <= PRINTABLE
    assert len(shown) <= MAX_QUOTED_CHARS + len("...")


def test_a_text_that_just_fits_is_shown_whole_and_a_longer_one_is_cut_and_marked() -> None:
    assert quoted("x" * MAX_QUOTED_CHARS) == f"'{'x' * MAX_QUOTED_CHARS}'"
    cut = quoted("x" * (MAX_QUOTED_CHARS + 1))
    assert cut.endswith("...")
    assert cut.removesuffix("...").startswith("'xxx")


def test_a_number_with_more_digits_than_python_prints_is_still_quoted() -> None:
    # TOML's and YAML's hexadecimal numbers have no limit, and `ascii()` of one of 4,301 digits raises.
    assert len(quoted(16**5000)) <= MAX_QUOTED_CHARS + len("...")


# did_you_mean


def test_the_nearest_known_word_is_offered_before_those_that_are_allowed() -> None:
    assert did_you_mean("statsu", ["match", "status"]) == "; did you mean `status`? Allowed: match, status"


def test_a_word_that_resembles_none_gets_only_those_that_are_allowed() -> None:
    assert did_you_mean("zebra", ["match", "status"]) == "; allowed: match, status"


def test_the_case_of_a_wrong_word_does_not_hide_the_nearest() -> None:
    assert did_you_mean("STATUS", ["match", "status"]).startswith("; did you mean `status`?")


def test_the_case_of_neither_side_matters() -> None:
    assert did_you_mean("POST /job", ["POST /jobs"]) == "; did you mean `POST /jobs`? Allowed: POST /jobs"
    assert did_you_mean("qa-team", ["QA-TEAMS"]) == "; did you mean `QA-TEAMS`? Allowed: QA-TEAMS"


def test_where_nothing_is_allowed_the_message_says_none() -> None:
    assert did_you_mean("status", []) == "; allowed: none"


def test_of_very_many_known_words_a_screenful_is_listed_and_the_rest_counted() -> None:
    known = [f"rule-{letter}{number}" for letter in string.ascii_lowercase for number in range(10)]
    end = did_you_mean("zebra", known)
    assert end.endswith(f"rule-c9 and {len(known) - MAX_LISTED} more")
    assert end.count("rule-") == MAX_LISTED


def test_exactly_a_screenful_is_listed_without_a_rest() -> None:
    known = [f"rule-{number:02}" for number in range(MAX_LISTED)]
    assert did_you_mean("zebra", known) == f"; allowed: {', '.join(known)}"


def test_a_word_longer_than_any_name_is_not_compared_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def compare(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("compared")

    monkeypatch.setattr(difflib, "get_close_matches", compare)
    with pytest.raises(AssertionError):
        did_you_mean("statsu", ["status"])
    assert did_you_mean("s" * 100_000, ["status"]) == "; allowed: status"
