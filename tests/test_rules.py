"""A rule that exists is valid; it matches where there is no difference, and gives its own reply."""

import copy
import dataclasses
import mimetypes
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.by_hand import response_of

import mockware
from mockware import answers
from mockware.durations import Delay, parse_rule_delay
from mockware.exceptions import ConfigError
from mockware.messages import Request
from mockware.rules import RULE_KEYS, WHEN_KEYS, Rule

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'


def fields(rule: Rule) -> dict[str, str]:
    return {name.lower(): value for name, value in response_of(rule, "r").headers}


# Copies


@pytest.mark.parametrize(
    "rule",
    [
        Rule("/a", template=True, replies=[{"text": "{{ raw }}", "template": False}, {"text": "{{ now }}"}]),
        Rule(
            "/a", drip="1s", delay="1s", replies=[{"fault": "stall", "drip": None}, {"times": 2}], then="loop"
        ),
        Rule("/a", patch={"status": 418, "headers": {"a": False}, "json": {"b": None}}, delay_after="1s"),
        Rule("/a", times=3, count_per="path", probability={"value": 0.5, "per": "path", "seed": 1}),
        Rule("/a", delay="1s", drip="1s"),
    ],
)
def test_a_copy_of_a_rule_is_the_same_rule(rule: Rule) -> None:
    for again in (pickle.loads(pickle.dumps(rule)), copy.deepcopy(rule), dataclasses.replace(rule)):
        assert again == rule


def test_a_patch_sets_a_field_to_nought_and_takes_one_away_for_false_alone() -> None:
    rule = Rule("/a", patch={"headers": {"x-count": 0, "x-gone": False}})
    assert isinstance(rule.patch, answers.Changes)
    start = rule.patch.compiled("r").start("GET", 200, [("x-count", "7"), ("x-gone", "7")])
    assert ("x-count", "0") in start.added
    assert start.out >= {"x-count", "x-gone"}
    assert "x-gone" not in dict(start.added)


# Methods


PREFLIGHT = {"access-control-request-method": "POST", "origin": "https://a.example"}


@pytest.mark.parametrize(
    ("text", "method", "headers", "matches"),
    [
        ("/x", "GET", {}, True),
        ("/x", "PROPFIND", {}, True),
        ("/x", "OPTIONS", {}, True),
        ("/x", "OPTIONS", PREFLIGHT, False),
        ("/x", "POST", PREFLIGHT, True),
        ("OPTIONS /x", "OPTIONS", PREFLIGHT, True),
        ("POST,OPTIONS /x", "OPTIONS", PREFLIGHT, True),
        ("POST /x", "OPTIONS", PREFLIGHT, False),
        ("GET /x", "HEAD", {}, True),
        ("HEAD /x", "GET", {}, False),
        ("POST /x", "post", {}, False),
    ],
)
def test_a_rule_without_methods_leaves_preflights_alone_and_get_answers_head(
    text: str, method: str, headers: dict[str, str], matches: bool
) -> None:
    difference = Rule(text).difference(Request(method, "/x", headers=headers))
    assert (difference is None) is matches
    if difference is not None:
        assert difference.field == "method"


# The difference


def test_a_rule_matches_where_path_method_conditions_and_body_agree_and_names_the_first_that_differs() -> (
    None
):
    rule = Rule("POST /reports/{id:int}", when={"query": {"expand": "full"}, "json": {"a": 1}})
    agreeing: dict[str, Any] = {
        "method": "POST",
        "path": "/reports/7",
        "query_string": "expand=full",
        "body": b'{"a": 1}',
    }
    assert rule.difference(Request(**agreeing)) is None
    other = {"path": "/reports/x", "method": "PUT", "query_string": "", "body": b"{}"}
    expected = {
        "path": "path",
        "method": "method",
        "query_string": "when.query.expand",
        "body": "when.json.a",
    }
    differing = dict(agreeing)
    for part in reversed(other):
        differing[part] = other[part]
        difference = rule.difference(Request(**differing))
        assert difference is not None
        assert difference.field == expected[part]


@pytest.mark.parametrize(("match", "path"), [("/reports", "/reports/"), ("/r/{id}/", "/r/7")])
def test_a_path_that_differs_in_the_last_slash_alone_is_told_so(match: str, path: str) -> None:
    difference = Rule(match).difference(Request("GET", path))
    assert difference is not None
    assert difference.expected == f"{match} (a slash at the end matters)"
    elsewhere = Rule(match).difference(Request("GET", "/other"))
    assert elsewhere is not None
    assert elsewhere.expected == match


def test_what_a_rule_would_answer_is_nothing_of_its_difference() -> None:
    request = Request("GET", "/x")
    past = datetime(2000, 1, 1, tzinfo=UTC)
    for rule in (Rule("/x", probability=0), Rule("/x", expires=past), Rule("/x", passthrough=True)):
        assert rule.difference(request) is None


# The reply


def test_a_rule_with_only_a_match_gives_the_canonical_202() -> None:
    response = response_of(Rule("POST /reports"), "POST /reports")
    assert (response.status, response.body) == (202, CANONICAL)
    assert response.headers == (
        ("Content-Type", "application/json"),
        ("Content-Length", "44"),
        ("Cache-Control", "no-store"),
        ("X-Mock-Rule", "POST /reports"),
    )


@pytest.mark.parametrize(
    ("arguments", "status", "body", "media_type"),
    [
        ({"status": 200}, 200, b'{"status": "ok"}', "application/json"),
        ({"json": {"a": [1, None]}}, 202, b'{"a": [1, null]}', "application/json"),
        ({"json": None}, 202, b"null", "application/json"),
        ({"json": ""}, 202, b'""', "application/json"),
        ({"text": "é"}, 202, "é".encode(), "text/plain; charset=utf-8"),
        ({"text": ""}, 202, b"", "text/plain; charset=utf-8"),
        (
            {"status": 404, "json": {}, "headers": {"Content-Type": "application/vnd.a+json"}},
            404,
            b"{}",
            "application/vnd.a+json",
        ),
    ],
)
def test_the_reply_has_the_status_body_and_type_that_the_rule_says(
    arguments: dict[str, Any], status: int, body: bytes, media_type: str
) -> None:
    rule = Rule("/x", **arguments)
    response = response_of(rule, "r")
    assert (response.status, response.body) == (status, body)
    assert fields(rule)["content-type"] == media_type
    assert fields(rule)["content-length"] == str(len(body))


def test_a_list_repeats_its_header_and_a_number_is_written_in_digits() -> None:
    headers = {"Set-Cookie": ["a=1", "b=2"], "Retry-After": 30, "X-None": []}
    response = response_of(Rule("/x", headers=headers), "r")
    assert response.headers[-3:] == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Retry-After", "30"))


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.json", "application/json"),
        ("a.HTML", "text/html"),
        ("a.csv", "text/csv"),
        ("a.png", "image/png"),
        ("a.unheard-of", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.json.gz", "application/octet-stream"),
        ("a.svg.br", "application/octet-stream"),
    ],
)
def test_a_file_is_sent_as_it_is_with_the_type_of_its_ending(
    tmp_path: Path, name: str, media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever this machine calls them.
    monkeypatch.setattr(mimetypes, "guess_type", lambda *args, **kwargs: ("x/y", None))
    (tmp_path / name).write_bytes(b"\x00\xff\r\n")
    rule = Rule("/x", file=tmp_path / name)
    assert response_of(rule, "r").body == b"\x00\xff\r\n"
    assert fields(rule)["content-type"] == media_type


def test_a_file_in_python_may_be_anywhere_and_is_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "a.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "work")
    for file in ("../a.json", Path("../a.json"), str(tmp_path / "a.json")):
        assert response_of(Rule("/x", file=file), "r").body == b"{}"


def test_a_file_may_be_as_large_as_the_bound_and_no_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MAX_FILE_BYTES", 10)
    (tmp_path / "a.txt").write_bytes(b"x" * 10)
    assert response_of(Rule("/x", file=tmp_path / "a.txt"), "r").body == b"x" * 10
    (tmp_path / "a.txt").write_bytes(b"x" * 11)
    with pytest.raises(ConfigError, match="larger than 10 bytes"):
        Rule("/x", file=tmp_path / "a.txt")


# The rest of a rule


@pytest.mark.parametrize(
    ("declared", "delay"),
    [
        ("250ms", Delay(0.25, 0.25)),
        ("0s", Delay(0.0, 0.0)),
        ({"min": "1s", "max": "2s"}, Delay(1.0, 2.0)),
        ({"min": "1s", "max": "1s"}, Delay(1.0, 1.0)),
        ({"min": "0ms", "max": "30s"}, Delay(0.0, 30.0)),
    ],
)
def test_a_delay_is_a_duration_or_lies_between_two(declared: Any, delay: Delay) -> None:
    assert parse_rule_delay(declared) == delay
    assert Rule("/x", delay=declared).delays == delay


def test_a_rule_without_a_delay_waits_for_nothing() -> None:
    assert Rule("/x").delays == Delay(0.0, 0.0)


@pytest.mark.parametrize(
    "declared",
    [
        datetime(2027, 1, 31, 18, tzinfo=UTC),
        datetime(2027, 1, 31, 19, tzinfo=timezone(timedelta(hours=1))),
        "2027-01-31T18:00:00Z",
        "2027-01-31T19:00:00+01:00",
        "2027-01-31 18:00:00Z",
    ],
)
def test_the_end_of_a_rule_is_a_moment_however_it_is_written(declared: object) -> None:
    assert Rule("/x", expires=declared).expires == datetime(2027, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize("probability", [0, 0.25, 1, 1.0])
def test_a_probability_runs_from_0_to_1(probability: float) -> None:
    assert Rule("/x", probability=probability).probability == probability


def test_what_modifies_a_reply_modifies_a_passthrough_as_well() -> None:
    rule = Rule(
        "/x",
        name="slow",
        tags=["a", "b.c_d-9"],
        when={"query": {"a": "1"}},
        passthrough=True,
        delay="1s",
        probability=0.5,
        expires="2027-01-31T18:00:00Z",
    )
    assert (rule.passthrough, rule.delays, list(rule.tags)) == (True, Delay(1.0, 1.0), ["a", "b.c_d-9"])


@pytest.mark.parametrize("word", ["a", "0", "payments-down", "v1.2_x", "x" * 64, "onset", "offline"])
def test_a_name_or_tag_is_a_word_that_fits_into_a_list_and_a_header(word: str) -> None:
    assert Rule("/x", name=word, tags=[word]).name == word


def test_a_rule_cannot_be_changed() -> None:
    rule: Any = Rule("/x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.status = 500


def test_rules_with_the_same_content_are_equal_and_others_are_not() -> None:
    assert Rule("/x", status=500) == Rule("/x", status=500)
    assert Rule("/x", status=500) != Rule("/x", status=501)


def test_the_public_rule_is_this_one() -> None:
    assert mockware.Rule is Rule


def test_the_keys_of_a_rule_are_those_of_the_design() -> None:
    assert set(RULE_KEYS) == {
        *("match", "name", "tags", "when", "expires", "probability", "times", "count_per", "delay"),
        *("status", "headers", "json", "text", "file", "template", "drip", "fault"),
        *("replies", "then", "patch", "passthrough", "delay_after", "task"),
    }
    assert set(WHEN_KEYS) == {"host", "query", "headers", "cookies", "json"}


def test_none_means_in_python_what_leaving_a_key_out_means() -> None:
    # As in `Rule("/x", delay=options.delay)`. (`json=None` is JSON's null.)
    absent: dict[str, Any] = dict.fromkeys(
        (
            *("name", "when", "status", "text", "file", "delay", "probability", "expires", "times", "drip"),
            *("count_per", "fault", "then", "patch", "delay_after", "task"),
        )
    )
    assert Rule("/x", **absent) == Rule("/x")


def test_a_rule_can_be_derived_from_another() -> None:
    rule = Rule("/x", tags=["a"])
    assert dataclasses.replace(rule, status=500) == Rule("/x", tags=["a"], status=500)


def test_only_the_match_is_given_by_position() -> None:
    make: Any = Rule
    with pytest.raises((ConfigError, TypeError)):
        make("/x", "a-name")


# What is wrong with a rule is in tests/test_config.py, for Python and files alike. Here: how Python is told.


def test_every_problem_of_a_rule_made_in_python_is_in_one_error_that_names_the_keys() -> None:
    declared: dict[str, Any] = {"status": 99, "statsu": 1, "delay": 5, "when": {"query": {"a": 1}}}
    with pytest.raises(ConfigError) as refused:
        Rule("reports", **declared)
    problems = refused.value.problems
    assert {problem.key for problem in problems} == {"match", "status", "statsu", "delay", "when.query.a"}
    assert {(problem.source, problem.rule) for problem in problems} == {("Rule", "")}


def test_a_match_given_by_position_or_by_name_is_called_match_in_the_message() -> None:
    make: Any = Rule
    for args, kwargs in ((("reports",), {}), ((), {"match": "reports"})):
        with pytest.raises(ConfigError) as refused:
            make(*args, **kwargs)
        (problem,) = refused.value.problems
        assert (problem.key, problem.value) == ("match", "'reports'")


def test_a_rule_without_a_match_is_told_what_is_missing() -> None:
    make: Any = Rule
    with pytest.raises(ConfigError, match="Rule: `match`: required, but absent"):
        make(status=200)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda rule: pickle.loads(pickle.dumps(rule))])
def test_a_copy_of_a_rule_is_as_good_as_the_rule(copied: Callable[[Rule], Rule]) -> None:
    # Spawned workers are handed pickles.
    rule = copied(Rule("POST /x", when={"query": {"a": "1"}}))
    assert rule == Rule("POST /x", when={"query": {"a": "1"}})
    assert response_of(rule, "x").body == b'{"status": "accepted", "task_id": "abc-123"}'


def test_a_condition_on_the_body_is_what_it_would_be_in_a_request() -> None:
    rule = Rule("/x", when={"json": {"a": (1, 2)}})
    assert rule.difference(Request("POST", "/x", body=b'{"a": [1, 2]}')) is None


def test_a_condition_on_the_body_that_no_body_could_meet_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`when\.json`.*no JSON can be made of this"):
        Rule("/x", when={"json": {"day": date(2024, 1, 1)}})


@pytest.mark.parametrize("status", [204, 304])
def test_what_has_no_content_has_no_type_of_it(status: int) -> None:
    with pytest.raises(ConfigError, match=f"a {status} has no content, and so no Content-Type"):
        Rule("/x", status=status, headers={"content-type": "text/plain"})


@pytest.mark.parametrize("match", ["503 /x", "GET,503 /x"])
def test_a_status_in_the_place_of_a_method_is_told_where_it_belongs(match: str) -> None:
    with pytest.raises(ConfigError, match="503 is no method; a status stands by itself"):
        Rule(match)


def test_a_file_that_may_not_be_read_is_a_problem_of_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as a user who may read everything.
    file = tmp_path / "body.txt"
    file.write_text("x")
    opens = Path.open

    def refusing(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path == file:
            raise PermissionError(13, "Permission denied")
        return opens(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    with pytest.raises(ConfigError, match=r"`file`.*cannot be read: Permission denied"):
        Rule("/x", file=file)


def test_a_time_may_be_written_in_small_letters() -> None:
    assert (
        Rule("/x", expires="2027-01-31t18:00:00z").expires
        == Rule("/x", expires="2027-01-31T18:00:00Z").expires
    )
