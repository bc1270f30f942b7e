"""A request and its candidates go in, one decision comes out: the first rule that matches, or the trigger."""

import difflib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware.config import load
from mockware.decisions import PASSTHROUGH, BodyNeeded, Decision, Passthrough
from mockware.engine import Snapshot
from mockware.environment import read_environment
from mockware.exceptions import MAX_LISTED
from mockware.messages import Request, Response
from mockware.rules import Rule

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

STATUS, NAME, DELAY, KEY = "x-mock-status", "x-mock-name", "x-mock-delay", "x-mock-key"


def refuse() -> float:
    raise AssertionError("nothing is left to chance here")


def drawing(*chances: float) -> Callable[[], float]:
    """A chance that gives these, and fails when it is asked once more."""
    left: Iterator[float] = iter(chances)
    return lambda: next(left)


def snapshot(
    *rules: Rule,
    chance: Callable[[], float] = refuse,
    clock: Callable[[], float] = lambda: 0.0,
    file: Path | None = None,
    **environ: str,
) -> Snapshot:
    enabled = None if "MOCKWARE" in environ else True
    sources: list[Any] = [*([file] if file else []), *rules]
    return Snapshot(load(read_environment(environ, enabled=enabled), sources), clock=clock, chance=chance)


def request(
    method: str = "GET", path: str = "/a", body: bytes | None = None, query: str = "", **headers: str
) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, query, fields, body)


def decide(rules: Snapshot, asked: Request, resume: BodyNeeded | None = None) -> Decision:
    return rules.decide(asked, rules.find(asked.path) or (), resume=resume)


def answered(rules: Snapshot, asked: Request) -> str:
    """The name of the rule that answers, or `passthrough`."""
    decision = decide(rules, asked)
    if isinstance(decision, Response):
        return decision.rule
    assert isinstance(decision, Passthrough)
    return "passthrough"


def status_of(decision: Decision) -> int:
    assert isinstance(decision, Response)
    return decision.status


def detail_of(decision: Decision) -> str:
    assert isinstance(decision, Response)
    assert (decision.status, decision.rule) == (400, "trigger")
    assert decision.body.isascii()
    detail: str = json.loads(decision.body)["detail"]
    assert detail.isprintable()
    return detail


# The first match wins


def test_a_request_that_no_rule_matches_passes_through() -> None:
    rules = snapshot(Rule("POST /a"), Rule("/b"))
    assert decide(rules, request()) is PASSTHROUGH
    assert decide(rules, request(path="/c")) is PASSTHROUGH
    assert decide(snapshot(), request()) is PASSTHROUGH


def test_a_rule_with_only_a_match_answers_with_the_canonical_202() -> None:
    decision = decide(snapshot(Rule("POST /reports")), request("POST", "/reports"))
    assert isinstance(decision, Response)
    assert (decision.status_line, decision.body, decision.delay_s) == (
        "202 Accepted",
        b'{"status": "accepted", "task_id": "abc-123"}',
        0.0,
    )


@pytest.mark.parametrize(
    ("matches", "path", "winner"),
    [
        (["/a", "/{x}"], "/a", "/a"),
        (["/{x}", "/a"], "/a", "/{x}"),
        (["/{x}", "/a"], "/b", "/{x}"),
        (["/{rest:path}", "/a", "/{x}"], "/a", "/{rest:path}"),
        (["POST /a", "/{rest:path}", "/a"], "/a", "/{rest:path}"),
        (["/b", "/{x:int}", "/a", "/{y}"], "/a", "/a"),
        (["/b", "/{x:int}", "/{y}", "/a"], "/a", "/{y}"),
    ],
)
def test_the_first_match_in_file_order_wins_whether_exact_or_template(
    matches: list[str], path: str, winner: str
) -> None:
    assert answered(snapshot(*map(Rule, matches)), request(path=path)) == winner


def test_a_rule_whose_method_or_conditions_differ_lets_the_next_one_try() -> None:
    rules = snapshot(
        Rule("POST /a", name="post"),
        Rule("/a", name="full", when={"query": {"expand": "full"}}),
        Rule("/{x}", name="acme", when={"headers": {"X-Tenant": "acme"}}),
        Rule("/a", name="rest"),
    )
    assert answered(rules, request("POST")) == "post"
    assert answered(rules, request(query="expand=full", x_tenant="acme")) == "full"
    assert answered(rules, request(x_tenant="acme")) == "acme"
    assert answered(rules, request()) == "rest"


def test_a_passthrough_rule_is_an_exception_to_a_later_one() -> None:
    rules = snapshot(Rule("/legacy/health", passthrough=True), Rule("/legacy/{rest:path}", status=410))
    assert decide(rules, request(path="/legacy/health")) == Passthrough(rule="/legacy/health")
    assert status_of(decide(rules, request(path="/legacy/x"))) == 410


def test_a_rule_that_is_off_does_not_match_and_is_no_candidate() -> None:
    rules = snapshot(Rule("/a", name="one"), Rule("/a", name="two"), MOCKWARE="two")
    assert answered(rules, request()) == "two"
    assert [rule.name for rule in rules.find("/a") or ()] == ["two"]
    assert snapshot(Rule("/a", name="one"), Rule("/b", name="two"), MOCKWARE="two").find("/a") is None


shapes = st.sampled_from(["/a", "/{x}", "/{x:int}", "/{rest:path}", "/a/{x}", "GET /a", "POST /{x}"])
conditions = st.sampled_from(
    [None, {"query": {"q": "1"}}, {"headers": {"x-h": ["1", "2"]}}, {"query": {"q": {"not": "1"}}}]
)


@unhurried
@given(
    st.lists(st.tuples(shapes, conditions), max_size=6),
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]),
    st.sampled_from(["/a", "/1", "/a/b", "/", "/b/c/d"]),
    st.sampled_from(["", "q=1", "q=2&q=1"]),
    st.sampled_from([{}, {"x-h": "1"}, {"access-control-request-method": "PUT"}]),
)
def test_the_decision_is_the_first_rule_without_a_difference(
    made: list[Any], method: str, path: str, query: str, headers: dict[str, str]
) -> None:
    rules = [Rule(match, name=f"r{i}", when=when) for i, (match, when) in enumerate(made)]
    asked = Request(method, path, query, headers)
    first = next((rule.name for rule in rules if rule.difference(asked) is None), "passthrough")
    assert answered(snapshot(*rules), asked) == first


# Methods


def test_the_answer_to_head_is_that_to_get_without_its_content() -> None:
    rules = snapshot(Rule("GET /a", status=200), Rule("/{x}", delay="1s"))
    for path in ("/a", "/b"):
        get, head = decide(rules, request(path=path)), decide(rules, request("HEAD", path))
        assert isinstance(get, Response)
        assert isinstance(head, Response)
        assert (head.headers, head.body, head.delay_s) == (get.headers, b"", get.delay_s)
        assert get.body


def test_a_preflight_passes_through_unless_the_rule_lists_options() -> None:
    preflight = request("OPTIONS", access_control_request_method="POST", origin="https://a.example")
    assert decide(snapshot(Rule("/a")), preflight) is PASSTHROUGH
    assert answered(snapshot(Rule("/a"), Rule("OPTIONS /a")), preflight) == "OPTIONS /a"
    assert answered(snapshot(Rule("/a")), request("OPTIONS")) == "/a"


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get"]
)
@pytest.mark.parametrize(
    "rule", [Rule("/a"), Rule("GET,DELETE /a"), Rule("OPTIONS,HEAD /a"), Rule("POST /a")]
)
def test_what_is_answered_at_once_is_what_would_be_decided(rule: Rule, method: str) -> None:
    rules = snapshot(rule)
    (candidate,) = rules.find("/a") or ()
    at_once = candidate.at_once.get(method)
    assert at_once is None or decide(rules, request(method)) is at_once


@pytest.mark.parametrize(
    "arguments",
    [
        {"when": {"query": {"a": "1"}}},
        {"when": {"json": {}}},
        {"delay": "1s"},
        {"delay": {"min": "0s", "max": "1s"}},
        {"probability": 1},
        {"probability": 0},
        {"expires": "2027-01-31T18:00:00Z"},
        {"passthrough": True},
        {"passthrough": True, "delay": "1s"},
    ],
)
def test_a_rule_that_has_something_to_ask_is_not_answered_at_once(arguments: dict[str, Any]) -> None:
    (candidate,) = snapshot(Rule("/a", **arguments)).find("/a") or ()
    assert candidate.at_once == {}


def test_a_plain_rule_is_answered_at_once_for_the_methods_that_it_lists() -> None:
    (candidate,) = snapshot(Rule("GET,OPTIONS /a")).find("/a") or ()
    assert candidate.at_once.keys() == {"GET", "HEAD", "OPTIONS"}


# `never`


def test_a_path_that_nothing_touches_passes_through_whatever_asks(tmp_path: Path) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text('never = ["/healthz", "/metrics/{rest:path}"]\n[[rules]]\nmatch = "/{rest:path}"\n')
    rules = snapshot(Rule("/healthz", name="health"), file=file, MOCKWARE_RULES="/healthz 500")
    for headers in ({}, {STATUS: "503"}, {STATUS: "bad"}, {NAME: "health"}, {DELAY: "5s"}):
        for path in ("/healthz", "/metrics/a/b"):
            assert decide(rules, Request("GET", path, headers=headers)) is PASSTHROUGH
    assert answered(rules, request(path="/metrics")) == "/{rest:path}"


# The clock


def test_a_rule_matches_up_to_the_moment_that_it_expires() -> None:
    end = datetime(2027, 1, 31, 18, tzinfo=UTC).timestamp()
    now = [end - 0.001]
    rules = snapshot(
        Rule("/a", name="first", expires="2027-01-31T19:00:00+01:00"),
        Rule("/a", name="second"),
        clock=lambda: now[0],
    )
    assert answered(rules, request()) == "first"
    for now[0] in (end, end + 1e9):
        assert answered(rules, request()) == "second"


def test_the_clock_is_not_asked_where_no_rule_expires() -> None:
    assert answered(snapshot(Rule("/a"), clock=refuse), request()) == "/a"


# Chance


@pytest.mark.parametrize(
    ("probability", "chance", "winner"),
    [
        (0.25, 0.0, "maybe"),
        (0.25, 0.2499, "maybe"),
        (0.25, 0.25, "always"),
        (0.25, 0.999, "always"),
        (0, 0.0, "always"),
        (1, 0.9999999999999999, "maybe"),
    ],
)
def test_a_rule_with_a_probability_answers_its_share_and_leaves_the_rest_to_the_next(
    probability: float, chance: float, winner: str
) -> None:
    rules = [Rule("/a", name="maybe", probability=probability), Rule("/{x}", name="always")]
    assert answered(snapshot(*rules, chance=drawing(chance)), request()) == winner


def test_every_rule_with_a_probability_draws_for_itself() -> None:
    rules = [Rule("/a", name="one", probability=0.5), Rule("/a", name="two", probability=0.5)]
    assert answered(snapshot(*rules, chance=drawing(0.7, 0.2)), request()) == "two"
    assert answered(snapshot(*rules, chance=drawing(0.7, 0.8)), request()) == "passthrough"


def test_chance_is_drawn_only_after_everything_else_matched() -> None:
    rules = [
        Rule("POST /a", probability=0.5),
        Rule("/a", probability=0.5, when={"query": {"a": "1"}}),
        Rule("/a", probability=0.5, expires="1970-01-01T00:00:00Z"),
        Rule("/a", name="rest"),
    ]
    assert answered(snapshot(*rules), request()) == "rest"


# Delays


def delay_of(decision: Decision) -> float:
    assert isinstance(decision, (Response, Passthrough))
    return decision.delay_s


def test_a_fixed_delay_is_that_of_the_rule_and_takes_no_chance() -> None:
    assert delay_of(decide(snapshot(Rule("/a", delay="1.5s")), request())) == 1.5
    assert delay_of(decide(snapshot(Rule("/a", passthrough=True, delay="2s")), request())) == 2.0


@pytest.mark.parametrize(("chance", "delay_s"), [(0.0, 1.0), (0.5, 2.0), (0.75, 2.5)])
def test_a_delay_between_two_is_drawn_in_proportion(chance: float, delay_s: float) -> None:
    for passthrough in (False, True):
        rule = Rule("/a", delay={"min": "1s", "max": "3s"}, passthrough=passthrough)
        assert delay_of(decide(snapshot(rule, chance=drawing(chance)), request())) == delay_s


@unhurried
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 30_000), st.integers(0, 30_000))
def test_a_drawn_delay_lies_between_its_ends(chance: float, one_ms: int, other_ms: int) -> None:
    low, high = sorted((one_ms, other_ms))
    rule = Rule("/a", delay={"min": f"{low}ms", "max": f"{high}ms"})
    drawn = delay_of(decide(snapshot(rule, chance=lambda: chance), request()))
    assert rule.delays.min_s <= drawn <= rule.delays.max_s


# The body


BODY_RULES = [
    Rule("POST /a", name="maybe", probability=0.5),
    Rule("POST /a", name="one", when={"json": {"id": 1}}),
    Rule("POST /a", name="two", when={"json": {"id": 2}}, probability=0.5),
    Rule("/{x}", name="rest", status=404),
]


def test_the_body_is_asked_for_at_the_first_rule_that_agrees_in_all_else() -> None:
    rules = snapshot(*BODY_RULES, chance=drawing(0.9))
    assert decide(rules, request("POST")) == BodyNeeded(1)


@pytest.mark.parametrize(
    ("body", "chances", "winner"),
    [
        (b'{"id": 1}', [], "one"),
        (b'{"id": 2}', [0.1], "two"),
        (b'{"id": 2}', [0.9], "rest"),
        (b'{"id": 3}', [], "rest"),
        (b"no json", [], "rest"),
        (b"", [], "rest"),
        (None, [], "rest"),
    ],
)
def test_with_the_body_the_question_goes_on_from_there_and_no_chance_is_drawn_again(
    body: bytes | None, chances: list[float], winner: str
) -> None:
    # The first chance is that of the rule before the body; it must not be asked for twice.
    rules = snapshot(*BODY_RULES, chance=drawing(0.9, *chances))
    asked = request("POST")
    needed = decide(rules, asked)
    assert isinstance(needed, BodyNeeded)
    asked.body = body
    decision = decide(rules, asked, resume=needed)
    assert isinstance(decision, Response)
    assert decision.rule == winner


@pytest.mark.parametrize(
    "arguments",
    [
        {"match": "PUT /a"},
        {"match": "POST /b"},
        {"match": "POST /a", "when": {"json": {}, "query": {"a": "1"}}},
        {"match": "POST /a", "when": {"json": {}, "headers": {"x-a": "1"}}},
        {"match": "POST /a", "when": {"json": {}, "host": "a.example"}},
        {"match": "POST /a", "when": {"json": {}, "cookies": {"a": "1"}}},
        {"match": "POST /a", "expires": "1970-01-01T00:00:00Z"},
    ],
)
def test_no_body_is_asked_for_where_something_else_differs(arguments: dict[str, Any]) -> None:
    rule = Rule(**{"when": {"json": {}}, **arguments})
    assert decide(snapshot(rule), request("POST")) is PASSTHROUGH


def test_no_body_is_asked_for_where_an_earlier_rule_answers_or_a_trigger_does() -> None:
    rules = snapshot(Rule("/{x}", name="first"), Rule("/a", when={"json": {}}))
    assert answered(rules, request()) == "first"
    asking = snapshot(Rule("/a", when={"json": {}}), chance=drawing(0.0))
    assert status_of(decide(asking, request(x_mock_status="503"))) == 503


def test_a_delay_that_was_asked_for_outlives_the_wait_for_the_body() -> None:
    rules = snapshot(Rule("/a", when={"json": {"id": 1}}, delay="9s"))
    asked = request(x_mock_delay="1s")
    needed = decide(rules, asked)
    assert isinstance(needed, BodyNeeded)
    asked.body = b'{"id": 1}'
    assert delay_of(decide(rules, asked, needed)) == 1.0
    asked = request(x_mock_delay="1s", body=b"{}")
    assert decide(rules, asked, needed) == Passthrough(1.0)


def test_a_name_answers_whatever_the_body() -> None:
    rules = snapshot(Rule("/a", name="one", when={"json": {"id": 1}}))
    assert answered(rules, request(x_mock_name="one")) == "one"


# X-Mock-Status


def test_a_status_that_is_asked_for_goes_before_every_rule_on_every_path_and_method() -> None:
    rules = snapshot(Rule("/a", status=404), chance=lambda: 0.0)
    for method in ("GET", "POST", "OPTIONS", "PROPFIND"):
        for path in ("/a", "/elsewhere", "*", ""):
            decision = decide(rules, request(method, path, x_mock_status="503"))
            assert isinstance(decision, Response)
            assert (decision.status, decision.rule) == (503, "trigger")


def test_a_reply_to_a_trigger_is_marked_varies_by_it_and_has_the_default_body() -> None:
    decision = decide(snapshot(chance=drawing(0.0)), request(x_mock_status="202"))
    assert isinstance(decision, Response)
    fields = dict(decision.headers)
    assert decision.body == b'{"status": "accepted", "task_id": "abc-123"}'
    assert fields["X-Mock-Rule"] == "trigger"
    assert fields["Vary"] == "X-Mock-Status"
    assert fields["Cache-Control"] == "no-store"


def test_every_status_can_be_asked_for_again_and_again() -> None:
    rules = snapshot(chance=lambda: 0.0)
    for status in [*range(200, 600), *range(200, 600)]:
        assert status_of(decide(rules, request(x_mock_status=str(status)))) == status


def test_a_trigger_for_head_has_no_content() -> None:
    rules = snapshot(chance=lambda: 0.0)
    for value in ("202", "bad"):
        get, head = (
            decide(rules, request(x_mock_status=value)),
            decide(rules, request("HEAD", x_mock_status=value)),
        )
        assert isinstance(get, Response)
        assert isinstance(head, Response)
        assert (head.body, head.headers) == (b"", get.headers)


@pytest.mark.parametrize(("chance", "status"), [(0.0, 200), (0.89, 200), (0.91, 503), (0.99, 503)])
def test_one_of_a_weighted_list_is_drawn(chance: float, status: int) -> None:
    rules = snapshot(chance=drawing(chance))
    assert status_of(decide(rules, request(x_mock_status="200:0.9,503:0.1"))) == status


def test_passthrough_skips_every_rule_and_may_be_weighted() -> None:
    rule = Rule("/a", status=404, delay="9s")
    assert decide(snapshot(rule, chance=drawing(0.5)), request(x_mock_status="passthrough")) == PASSTHROUGH
    weighted = "passthrough:0.75,503:0.25"
    assert decide(snapshot(rule, chance=drawing(0.7)), request(x_mock_status=weighted)) == PASSTHROUGH
    assert status_of(decide(snapshot(rule, chance=drawing(0.8)), request(x_mock_status=weighted))) == 503


def test_a_malformed_status_is_refused_even_where_a_rule_matches() -> None:
    assert detail_of(decide(snapshot(Rule("/a")), request(x_mock_status="abc"))).startswith(
        "X-Mock-Status: 'abc'"
    )


def test_where_triggers_are_off_their_fields_are_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text("[trigger]\nenabled = false\n")
    rules = snapshot(Rule("/a"), file=file)
    assert rules.watched == frozenset()
    for headers in ({STATUS: "bad"}, {NAME: "x"}, {DELAY: "5s"}):
        decision = decide(rules, Request("GET", "/a", headers=headers))
        assert isinstance(decision, Response)
        assert (decision.rule, decision.delay_s) == ("/a", 0.0)


def test_the_limits_of_the_trigger_table_hold(tmp_path: Path) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text(
        '[trigger]\nstatuses = [503]\npaths = ["/api/"]\nmax_delay = "1s"\nstatus_header = "X-Demo-Status"\n'
    )
    rules = snapshot(file=file, chance=lambda: 0.0)

    def asked(path: str, **headers: Any) -> Decision:
        return decide(rules, request(path=path, **headers))

    assert status_of(asked("/api/x", x_demo_status="503")) == 503
    assert asked("/x", x_demo_status="503") is PASSTHROUGH
    assert asked("/api/x", x_mock_status="503") is PASSTHROUGH
    assert "these statuses only: 503" in detail_of(asked("/api/x", x_demo_status="500"))
    assert "at most 1s" in detail_of(asked("/api/x", x_mock_delay="2s"))
    assert rules.watched == {"x-demo-status", NAME, DELAY}


# X-Mock-Delay


@pytest.mark.parametrize(
    ("rule", "headers", "delay_s"),
    [
        (Rule("/a", delay="9s"), {DELAY: "1s"}, 1.0),
        (Rule("/a", delay="9s"), {DELAY: "0s"}, 0.0),
        (Rule("/a"), {DELAY: "1s"}, 1.0),
        (Rule("/a", delay={"min": "8s", "max": "9s"}), {DELAY: "1s"}, 1.0),
        (Rule("/a", passthrough=True, delay="9s"), {DELAY: "1s"}, 1.0),
        (Rule("/b", delay="9s"), {DELAY: "1s"}, 1.0),
        (Rule("/a", delay="9s"), {STATUS: "503", DELAY: "1s"}, 1.0),
        (Rule("/a", delay="9s"), {STATUS: "503"}, 0.0),
        (Rule("/a", delay="9s"), {STATUS: "passthrough", DELAY: "1s"}, 1.0),
        (Rule("/a", name="down", delay="9s"), {NAME: "down", DELAY: "1s"}, 1.0),
        (Rule("/a", name="down", delay="9s"), {NAME: "down"}, 9.0),
    ],
)
def test_a_delay_that_is_asked_for_replaces_that_of_whatever_is_chosen(
    rule: Rule, headers: dict[str, str], delay_s: float
) -> None:
    chance = drawing(*([0.0] if STATUS in headers else []))
    assert delay_of(decide(snapshot(rule, chance=chance), Request("GET", "/a", headers=headers))) == delay_s


def test_a_delay_alone_delays_the_app() -> None:
    assert decide(snapshot(), request(x_mock_delay="250ms")) == Passthrough(0.25)
    assert decide(snapshot(), request(x_mock_delay="0s")) is PASSTHROUGH


def test_a_delay_for_one_request_does_not_stick_to_the_rule() -> None:
    rules = snapshot(Rule("/a"))
    assert delay_of(decide(rules, request(x_mock_delay="1s"))) == 1.0
    assert delay_of(decide(rules, request())) == 0.0


# X-Mock-Name


def test_a_rule_that_is_named_answers_whether_or_not_it_matches() -> None:
    rule = Rule("POST /b", name="down", status=503, when={"query": {"a": "1"}}, probability=0)
    rules = snapshot(Rule("/a", name="first"), rule)
    for asked in (request(x_mock_name="down"), request("PUT", "/x", x_mock_name=" down\t")):
        decision = decide(rules, asked)
        assert isinstance(decision, Response)
        assert (decision.status, decision.rule) == (503, "down")


def test_a_rule_without_a_name_is_named_by_its_match() -> None:
    rules = snapshot(Rule("POST /a", status=201), Rule("POST /a", status=204))
    assert status_of(decide(rules, request(x_mock_name="POST /a"))) == 201
    assert status_of(decide(rules, request(x_mock_name="POST /a #2"))) == 204


def test_the_name_that_a_mock_shows_is_the_name_that_can_be_asked_for() -> None:
    # X-Mock-Rule is percent-encoded where the rule's name is not ASCII.
    rules = snapshot(Rule("/größe", status=404))
    decision = decide(rules, request(path="/größe"))
    assert isinstance(decision, Response)
    shown = dict(decision.headers)["X-Mock-Rule"]
    assert status_of(decide(rules, request(path="/x", x_mock_name=shown))) == 404


def test_a_passthrough_rule_that_is_named_passes_through() -> None:
    rules = snapshot(Rule("/a", status=404), Rule("/b", name="real", passthrough=True, delay="1s"))
    assert decide(rules, request(x_mock_name="real")) == Passthrough(1.0, rule="real")


def test_a_rule_that_is_off_or_expired_is_refused_with_the_reason() -> None:
    rules = snapshot(
        Rule("/a", name="one"),
        Rule("/a", name="two", tags=["demo"], expires="1970-01-01T00:00:00Z"),
        MOCKWARE="demo",
    )
    assert detail_of(decide(rules, request(x_mock_name="one"))) == "X-Mock-Name: 'one': this rule is off"
    assert detail_of(decide(rules, request(x_mock_name="two"))) == "X-Mock-Name: 'two': this rule has expired"


def test_an_unknown_rule_is_refused_with_the_nearest() -> None:
    rules = snapshot(Rule("/a", name="payments-down"), Rule("/b", name="slow"))
    assert detail_of(decide(rules, request(x_mock_name="paymnets-down"))) == (
        "X-Mock-Name: 'paymnets-down': no rule has this name; "
        "did you mean `payments-down`? Allowed: payments-down, slow"
    )
    assert detail_of(decide(snapshot(), request(x_mock_name="x"))).endswith(
        "no rule has this name; allowed: none"
    )


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 1_000_000, "\x00\r\n\x1b[31m", "never", "trigger", "\xff" * 100]
)
def test_a_hostile_name_is_refused_shortly_and_escaped(name: str) -> None:
    rules = snapshot(Rule("/a", name="down"))
    decision = decide(rules, request(x_mock_name=name))
    assert len(detail_of(decision)) < 300
    assert isinstance(decision, Response)
    assert len(decision.body) < 500


def test_of_very_many_rules_a_refusal_lists_a_few() -> None:
    rules = snapshot(*[Rule(f"/a/{i}") for i in range(200)])
    detail = detail_of(decide(rules, request(x_mock_name="zebra")))
    assert detail.endswith(f"and {200 - MAX_LISTED} more")


def test_an_unknown_name_is_not_compared_with_thousands_of_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    # Anybody may send one, and comparing it with 10,000 similar names takes half a second of the worker.
    compared = 0
    real_ratio = difflib.SequenceMatcher.real_quick_ratio

    def count(matcher: difflib.SequenceMatcher[str]) -> float:
        nonlocal compared
        compared += 1
        return real_ratio(matcher)

    rules = snapshot(*[Rule("/a", name=f"payments-report-{i}") for i in range(2000)])
    monkeypatch.setattr(difflib.SequenceMatcher, "real_quick_ratio", count)
    assert "payments-report-" in detail_of(decide(rules, request(x_mock_name="payments-report-x")))
    assert compared <= 1000


# Precedence, with everything at once


def test_never_goes_before_the_status_that_before_the_name_that_before_baggage_and_all_before_the_rules(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text('never = ["/never"]\n')
    rules = snapshot(
        Rule("/{x}", status=201),
        Rule("/b", name="named", status=202),
        file=file,
        MOCKWARE_SERVICE="orders",
        chance=lambda: 0.0,
    )
    headers = {STATUS: "203", NAME: "named", "baggage": "mock.orders=207"}

    def asked(path: str, *left_out: str) -> Decision:
        left = {name: value for name, value in headers.items() if name not in left_out}
        return decide(rules, Request("GET", path, headers=left))

    assert asked("/never") is PASSTHROUGH
    assert status_of(asked("/a")) == 203
    assert status_of(asked("/a", STATUS)) == 202
    assert status_of(asked("/a", STATUS, NAME)) == 207
    assert status_of(asked("/a", STATUS, NAME, "baggage")) == 201


def test_with_a_wrong_key_the_rules_decide_as_if_no_trigger_were_there() -> None:
    rules = snapshot(
        Rule("/a", status=201), MOCKWARE_KEY="s3cret", MOCKWARE_SERVICE="orders", chance=lambda: 0.0
    )
    headers = {STATUS: "503", DELAY: "5s", "baggage": "mock.orders=500"}
    decision = decide(rules, Request("GET", "/a", headers={**headers, KEY: "wrong"}))
    assert (status_of(decision), delay_of(decision)) == (201, 0.0)
    decision = decide(rules, Request("GET", "/a", headers={**headers, KEY: "s3cret"}))
    assert (status_of(decision), delay_of(decision)) == (503, 5.0)


hostile = st.text(st.characters(max_codepoint=0xFF))


@unhurried
@given(
    method=hostile,
    path=st.text(),
    query=hostile,
    headers=st.dictionaries(
        st.sampled_from([STATUS, NAME, DELAY, KEY, "baggage", "cookie", "host", "x-h"]), hostile
    ),
    body=st.none() | st.binary(),
)
def test_no_request_leads_to_anything_but_a_decision(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes | None
) -> None:
    when = {
        "query": {"q": {"regex": "^a*$"}},
        "cookies": {"c": {"not": "x"}},
        "host": {"contains": "x"},
        "json": {"a": 1},
    }
    rules = snapshot(
        Rule("/{rest:path}", when=when),
        Rule("/{a}/{b:int}", when={"headers": {"x-h": {"present": True}}}),
        MOCKWARE_SERVICE="orders",
        chance=lambda: 0.5,
    )
    asked = Request(method, path, query, headers, body)
    decision = decide(rules, asked)
    if isinstance(decision, BodyNeeded):
        decision = decide(rules, asked, decision)
    assert isinstance(decision, (Response, Passthrough))
    if isinstance(decision, Response):
        assert 200 <= decision.status <= 599
