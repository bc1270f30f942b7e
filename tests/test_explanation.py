"""`explain`: its answers are the engine's, and every other rule has a reason that is true."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mockware import Rule
from mockware.bodies import MAX_BUFFERED_BYTES
from mockware.config import load
from mockware.decisions import BodyNeeded, Decision, Passthrough
from mockware.durations import Delay
from mockware.engine import Snapshot
from mockware.environment import read_environment
from mockware.explanation import MAX_MISSES, Explanation, explain, read_request
from mockware.messages import Request, Response
from mockware.tokens import Scope, TokenKey
from mockware.triggers import Triggers

NOON = 1_795_435_200.0  # 2026-11-23T12:00:00Z


def explained(
    line: str,
    *rules: Rule,
    headers: Sequence[str] = (),
    body: bytes | None = None,
    never: Sequence[str] = (),
    triggers: Mapping[str, Any] | None = None,
    **environ: str,
) -> Explanation:
    environment = read_environment(environ, enabled=True)
    configuration = load(environment, list(rules))._replace(never=tuple(never))
    if triggers is not None:
        changed = Triggers(**triggers, key=environment.key) if triggers else None
        configuration = configuration._replace(triggers=changed)
    return explain(read_request(line, headers, body), configuration, environment, clock=lambda: NOON)


def answers(found: Explanation) -> list[tuple[str, float, int | None]]:
    return [
        (
            answer.who.removesuffix(" of rules="),
            round(answer.share, 6),
            None if answer.response is None else answer.response.status,
        )
        for answer in found.answers
    ]


def reasons(found: Explanation) -> list[str]:
    return [miss.reason for miss in found.misses]


# The request


def test_a_request_is_read_as_people_write_it() -> None:
    request = read_request(
        "post /a%20b/%C3%A9?x=1&y=%202#fragment",
        ["X-A: 1", "x-a:2", "Cookie: a=1", "cookie: b=2", "Empty:"],
        b'{"n": 1}',
    )
    assert (request.method, request.path, request.query_string) == ("POST", "/a b/é", "x=1&y=%202")
    assert request.header("x-a") == "1,2"
    assert request.cookies == {"a": "1", "b": "2"}
    assert request.header("empty") == ""
    assert request.json == {"n": 1}


def test_without_a_method_it_is_a_get_and_with_a_body_a_post() -> None:
    assert read_request("/a").method == "GET"
    assert read_request("/a", (), b"").method == "POST"


def test_a_body_that_no_condition_looks_at_is_left_out() -> None:
    assert read_request("/a", (), b" " * (MAX_BUFFERED_BYTES + 1)).body is None
    assert read_request("/a", (), b" " * MAX_BUFFERED_BYTES).body is not None


@pytest.mark.parametrize(
    ("line", "headers", "message"),
    [
        ("", (), "expected `[METHOD] /path?query`"),
        ("POST", (), "expected `[METHOD] /path?query`"),
        ("POST reports", (), "found 'POST reports'"),
        ("PO ST /reports", (), "expected `[METHOD] /path?query`"),
        ("P\x00ST /reports", (), r"found 'P\x00ST /reports'"),
        ("/", ["no colon"], "expected a header such as `X-Mock-Status: 503`, and found 'no colon'"),
        ("/", ["two words: x"], "expected a header"),
        ("/", [": x"], "expected a header"),
    ],
)
def test_what_is_no_request_is_refused_with_an_example(line: str, headers: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        read_request(line, headers)
    assert message in str(caught.value)


# The rules


def test_the_first_match_answers_and_each_other_rule_says_why_it_does_not() -> None:
    found = explained(
        "GET /a?x=1",
        Rule("/b"),
        Rule("/a/"),
        Rule("POST /a"),
        Rule("/a", when={"query": {"x": "2"}}),
        Rule("/a", expires="2026-11-23T12:00:00Z"),
        Rule("/a", probability=0.0),
        Rule("/a", name="it", status=418),
        Rule("/a", status=500),
        Rule("/{rest:path}", when={"headers": {"x-a": {"present": True}}}),
    )
    assert answers(found) == [("rule 7 'it'", 1, 418)]
    assert reasons(found) == [
        "path: expected /b, found /a",
        "path: expected /a/ (a slash at the end matters), found /a",
        "method: expected POST, found GET",
        "when.query.x: expected '2', found '1'",
        "expired on 2026-11-23 12:00:00+00:00",
        "its probability is 0",
        "never looked at: rule 7 'it' of rules= comes first",
        "when.headers.x-a: expected {'present': true}, found nothing",
    ]
    assert found.left_out == 0


def test_a_request_that_nothing_matches_reaches_the_app() -> None:
    found = explained("GET /a", Rule("POST /a"))
    assert answers(found) == [("the app", 1, None)]
    assert reasons(found) == ["method: expected POST, found GET"]


def test_the_response_is_whole_and_named_after_the_rule() -> None:
    (answer,) = explained("POST /reports", Rule("POST /reports")).answers
    assert answer.response is not None
    assert answer.response.body == b'{"status": "accepted", "task_id": "abc-123"}'
    assert ("X-Mock-Rule", "POST /reports") in answer.response.headers


def test_a_head_request_gets_the_headers_alone() -> None:
    (answer,) = explained("HEAD /a", Rule("GET /a")).answers
    assert answer.response is not None
    assert answer.response.body == b""
    assert ("Content-Length", "44") in answer.response.headers


def test_every_answer_that_chance_may_pick_is_shown_with_its_share() -> None:
    found = explained(
        "/a",
        Rule("/a", probability=0.25, status=500),
        Rule("/a", probability=0.5, passthrough=True),
        Rule("/a", probability=1.0, status=200),
        Rule("/a", status=503),
    )
    assert answers(found) == [
        ("rule 1 '/a'", 0.25, 500),
        ("rule 2 '/a'", 0.375, None),
        ("rule 3 '/a'", 0.375, 200),
    ]
    assert reasons(found) == ["never looked at: rule 3 '/a' of rules= comes first"]
    found = explained("/a", Rule("/a", probability=0.25, status=500))
    assert answers(found) == [("rule 1 '/a'", 0.25, 500), ("the app", 0.75, None)]


def test_a_condition_on_the_body_is_looked_at() -> None:
    rule = Rule("POST /a", when={"json": {"plan": {"name": "free"}}}, status=402)
    assert answers(explained("POST /a", rule, body=b'{"plan": {"name": "free", "n": 1}}')) == [
        ("rule 1 'POST /a'", 1, 402)
    ]
    found = explained("POST /a", rule, body=b'{"plan": {"name": "paid"}}')
    assert reasons(found) == ["when.json.plan.name: expected 'free', found 'paid'"]
    found = explained("POST /a", rule)
    assert reasons(found)[0].endswith("found no JSON body of at most 1 MiB")


def test_the_delay_is_the_rules_or_the_triggers() -> None:
    rules = Rule("/a", delay={"min": "1s", "max": "2s"}), Rule("/b", passthrough=True, delay="3s")
    assert explained("/a", *rules).answers[0].delay == Delay(1, 2)
    assert explained("/b", *rules).answers[0].delay == Delay(3, 3)
    assert explained("/c", *rules).answers[0].delay == Delay()
    for path in ("/a", "/b", "/c"):
        found = explained(path, *rules, headers=["X-Mock-Delay: 5s"])
        assert found.answers[0].delay == Delay(5, 5)
        assert found.notes == ["X-Mock-Delay replaces the delay"]


def test_a_rule_that_mockware_does_not_select_is_off() -> None:
    found = explained("/a", Rule("/a", name="one"), Rule("/a", tags=["two"], status=418), MOCKWARE="two")
    assert answers(found) == [("rule 2 '/a'", 1, 418)]
    assert reasons(found) == ["off, because MOCKWARE=two names other rules"]


def test_a_path_of_never_is_not_touched() -> None:
    found = explained(
        "/healthz", Rule("/{rest:path}"), never=["/a", "/healthz"], headers=["X-Mock-Status: 503"]
    )
    assert answers(found) == [("the app", 1, None)]
    assert found.notes == ["`never` has '/healthz': no rule and no trigger touches this path"]
    assert reasons(found) == ["never looked at: `never` comes before every rule"]


# Triggers


def test_a_trigger_comes_before_the_rules() -> None:
    found = explained("/a", Rule("/a"), headers=["X-Mock-Status: 503", "X-Mock-Delay: 1s"])
    assert answers(found) == [("the trigger", 1, 503)]
    assert found.answers[0].delay == Delay(1, 1)
    assert reasons(found) == ["never looked at: a trigger comes before every rule"]


def test_each_choice_of_a_weighted_trigger_is_shown_with_its_share() -> None:
    found = explained("/a", headers=["X-Mock-Status: 200:3,503:0,404:2,passthrough:5"])
    assert answers(found) == [
        ("the trigger", 0.3, 200),
        ("the trigger", 0.2, 404),
        ("the trigger", 0.5, None),
    ]


def test_a_malformed_trigger_shows_its_refusal() -> None:
    (answer,) = explained("/a", headers=["X-Mock-Status: 2o2"]).answers
    assert answer.who == "the trigger is refused, and its refusal"
    assert answer.response is not None
    assert answer.response.status == 400
    assert b"2o2" in answer.response.body


def test_a_rule_named_by_a_trigger_answers_whether_or_not_it_matches() -> None:
    rules = Rule("/a", name="it", status=418, probability=0.0, delay="1s"), Rule("/b", name="old")
    found = explained("/b", *rules, headers=["X-Mock-Name: it"])
    assert answers(found) == [("rule 1 'it' of rules=, named by the trigger,", 1, 418)]
    assert found.answers[0].delay == Delay(1, 1)
    found = explained("/b", *rules, headers=["X-Mock-Name: ti"])
    assert answers(found) == [("the trigger is refused, and its refusal", 1, 400)]
    found = explained("/b", *rules, headers=["X-Mock-Name: it"], MOCKWARE="old")
    assert answers(found) == [("the trigger is refused, and its refusal", 1, 400)]


def test_a_baggage_member_for_this_service_is_a_trigger() -> None:
    headers = ["baggage: mock.shop=503"]
    assert answers(explained("/a", headers=headers, MOCKWARE_SERVICE="shop")) == [("the trigger", 1, 503)]
    assert explained("/a", headers=headers, MOCKWARE_SERVICE="else").notes == []
    assert explained("/a", headers=headers).notes == [
        "baggage: not heeded, because MOCKWARE_SERVICE is not set"
    ]
    assert explained("/a", headers=headers, MOCKWARE_SERVICE="shop", MOCKWARE_KEY="k").notes == [
        "baggage: not heeded, because MOCKWARE_KEY is set and this service's member carries no token"
    ]
    assert explained("/a", headers=headers, MOCKWARE_SERVICE="else", MOCKWARE_KEY="k").notes == []


def test_a_trigger_without_its_key_says_what_it_lacks() -> None:
    headers = ["X-Mock-Status: 503", "X-Mock-Delay: 1s"]
    found = explained("/a", headers=headers, MOCKWARE_KEY="secret")
    assert answers(found) == [("the app", 1, None)]
    assert found.notes == [
        "X-Mock-Status and X-Mock-Delay: not heeded, because MOCKWARE_KEY is set and X-Mock-Key is not it"
    ]
    found = explained("/a", headers=[*headers, "X-Mock-Key: secret"], MOCKWARE_KEY="secret")
    assert answers(found) == [("the trigger", 1, 503)]
    assert not found.notes


def test_a_token_says_what_it_allows(caplog: pytest.LogCaptureFixture) -> None:
    def with_token(key: str, *headers: str) -> Explanation:
        token = TokenKey(key).sign(Scope(("/a",), (503,), (), 5.0, NOON + 60))
        sent = [header.format(token=token) for header in headers]
        return explained("/a", headers=sent, MOCKWARE_KEY="secret", MOCKWARE_SERVICE="shop")

    allows = (
        "the statuses 503, no rule by name and delays of at most 5s, on /a, until 2026-11-23 12:01:00 UTC"
    )
    found = with_token("secret", "X-Mock-Status: 503", "X-Mock-Key: {token}")
    assert (answers(found), found.notes) == (
        [("the trigger", 1, 503)],
        [f"X-Mock-Key is a token that allows {allows}"],
    )
    found = with_token("secret", "X-Mock-Status: 404", "X-Mock-Key: {token}")
    assert answers(found) == [("the trigger is refused, and its refusal", 1, 403)]
    assert found.notes == [f"X-Mock-Key is a token that allows {allows}"]
    found = with_token("other", "X-Mock-Status: 503", "X-Mock-Key: {token}")
    assert answers(found) == [("the app", 1, None)]
    (note,) = found.notes
    assert note.startswith(
        "X-Mock-Status: not heeded, because MOCKWARE_KEY is set and X-Mock-Key is neither it nor"
    )
    for member in ("mock.shop=503;key={token}", "mock.shop=503%3Bkey%3D{token}"):
        found = with_token("secret", f"baggage: {member}")
        assert (answers(found), found.notes) == (
            [("the trigger", 1, 503)],
            [f"baggage has a token that allows {allows}"],
        )
        found = with_token("other", f"baggage: {member}")
        assert answers(found) == [("the app", 1, None)]
        (note,) = found.notes
        assert note.endswith("the token of this service's member is not signed with it")
    assert not caplog.records  # whoever explains is no guesser


def test_a_trigger_that_the_rules_file_forbids_says_so() -> None:
    headers = ["X-Mock-Status: 503"]
    assert explained("/a", headers=headers, triggers={}).notes == [
        "X-Mock-Status: not heeded, because `[trigger]` has `enabled = false`"
    ]
    assert explained("/a", headers=headers, triggers={"paths": ("/b",)}).notes == [
        "X-Mock-Status: not heeded, because `paths` of `[trigger]` leaves this path out"
    ]
    fields = Triggers().fields._replace(status="X-Other")
    assert explained("/a", headers=headers, triggers={"fields": fields}).notes == [
        "X-Mock-Status is not heeded: `[trigger]` calls it X-Other"
    ]


# Many rules


def test_of_many_rules_the_nearest_are_shown_and_the_rest_counted() -> None:
    rules = [Rule(f"GET /things/{i}/{{part}}") for i in range(10_000)]
    rules += [Rule("POST /reports"), Rule("/reports", when={"host": "x"}), Rule("/off", tags=["t"])]
    start = time.perf_counter()
    found = explained("GET /reports", *rules, Rule("/reprots"))
    assert time.perf_counter() - start < 20  # about two here
    assert len(found.misses) == MAX_MISSES
    assert found.left_out == 10_004 - MAX_MISSES
    assert [miss.label for miss in found.misses[:3]] == [
        "rule 10001 'POST /reports' of rules=",
        "rule 10002 '/reports' of rules=",
        "rule 10004 '/reprots' of rules=",
    ]


def test_a_rule_that_is_off_but_on_the_path_is_among_the_nearest() -> None:
    rules = [Rule(f"/thing{i}", tags=["t"]) for i in range(100)]
    found = explained("/a", *rules, Rule("/{x}", name="x"), MOCKWARE="t")
    assert found.misses[0].reason.startswith("off,")
    assert found.misses[0].label == "rule 101 'x' of rules="


def test_a_rule_that_is_named_percent_encoded_is_the_one_that_answers() -> None:
    found = explained("/x", Rule("GET /caf\u00e9", status=503), headers=["X-Mock-Name: GET /caf%C3%A9"])
    assert answers(found) == [("rule 1 'GET /caf\\xe9' of rules=, named by the trigger,", 1, 503)]
    assert found.misses == []


# All of it, held against the engine


_MATCHES = st.sampled_from(["/a", "GET /a", "POST /a", "/{x}", "/b", "/{rest:path}"])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    arguments: dict[str, Any] = {
        "status": draw(st.sampled_from([200, 404, 503])),
        "when": draw(
            st.sampled_from([None, {"query": {"x": "1"}}, {"json": {"n": 1}}, {"headers": {"y": "2"}}])
        ),
        "probability": draw(st.sampled_from([None, None, 0.0, 0.5, 1.0])),
        "expires": draw(st.sampled_from([None, None, "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])),
    }
    return Rule(draw(_MATCHES), **{name: value for name, value in arguments.items() if value is not None})


def decided(snapshot: Snapshot, request: Request) -> Decision:
    candidates = snapshot.find(request.path) or ()
    decision = snapshot.decide(request, candidates)
    if isinstance(decision, BodyNeeded):
        decision = snapshot.decide(request, candidates, resume=decision)
    return decision


@example(
    [Rule("/a", probability=0.0), Rule("/a", probability=0.5), Rule("/a")], "GET /a", None, []
)  # one that never answers draws like the others
@settings(max_examples=100, deadline=None)
@given(
    st.lists(rules(), max_size=5),
    st.sampled_from(["GET /a", "POST /a?x=1", "/b", "HEAD /a?x=1"]),
    st.sampled_from([None, b'{"n": 1}', b"{"]),
    st.sampled_from([[], ["Y: 2"], ["X-Mock-Status: 201,passthrough:3"], ["X-Mock-Status: no"]]),
)
def test_the_engine_gives_the_answers_that_were_explained_and_no_others(
    declared: list[Rule], line: str, body: bytes | None, headers: list[str]
) -> None:
    found = explained(line, *declared, headers=headers, body=body)
    environment = read_environment({}, enabled=True)
    configuration = load(environment, list(declared))
    chances = [i / 16 for i in range(16)]
    seen: set[tuple[int, str, bytes] | None] = set()

    def constant(chance: float) -> Callable[[], float]:
        return lambda: chance

    for chance in chances:
        snapshot = Snapshot(configuration, clock=lambda: NOON, chance=constant(chance))
        decision = decided(snapshot, read_request(line, headers, body))
        assert isinstance(decision, (Response, Passthrough))
        seen.add(_essence(decision if isinstance(decision, Response) else None))
    explained_essences = {_essence(answer.response) for answer in found.answers}
    # One die for all draws cannot fall on every combination of answers.
    assert seen <= explained_essences
    assert sum(answer.share for answer in found.answers) == pytest.approx(1)
    assert len(found.misses) + len(found.answers) >= len(declared)


def _essence(response: Response | None) -> tuple[int, str, bytes] | None:
    return None if response is None else (response.status, response.rule, response.body)


# What counts, and whose luck it is


def sentences(line: str, *rules: Rule, **more: Any) -> list[str]:
    found = explained(line, *rules, **more)
    return [
        f"{answer.response.status if answer.response else '-'} {answer.sentence}" for answer in found.answers
    ]


THE_RULE_PASSES = "rule 1 'r' of rules= passes it through to the app"
TWICE_DOWN: Any = [{"status": 503, "times": 2}, {"status": 202, "delay": "1s"}]
FAILING = Rule("/a", name="r", status=503, times=3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FAILING, ["503 rule 1 'r' of rules= answers, times 1 to 3:", "- the app answers"]),
        (
            Rule("/a", name="r", times=1, count_per="cookie:sid"),
            ["202 rule 1 'r' of rules= answers, time 1 per cookie:sid:", "- the app answers"],
        ),
        (
            Rule("/a", name="r", replies=TWICE_DOWN),
            [
                "503 rule 1 'r' of rules= answers, times 1 to 2:",
                "202 rule 1 'r' of rules= answers, from time 3 on, after 1 s:",
            ],
        ),
        (
            Rule("/a", name="r", replies=TWICE_DOWN, then="loop", times=7),
            [
                "503 rule 1 'r' of rules= answers, times 1 to 2 of each 3, 7 in all:",
                "202 rule 1 'r' of rules= answers, time 3 of each 3, 7 in all, after 1 s:",
                "- the app answers",
            ],
        ),
        (
            Rule("/a", name="r", replies=TWICE_DOWN, then="passthrough"),
            [
                "503 rule 1 'r' of rules= answers, times 1 to 2:",
                "202 rule 1 'r' of rules= answers, time 3, after 1 s:",
                "- rule 1 'r' of rules= passes it through to the app, from time 4 on",
            ],
        ),
        (
            Rule("/a", name="r", replies=TWICE_DOWN, times=2),
            ["503 rule 1 'r' of rules= answers, times 1 to 2, 2 in all:", "- the app answers"],
        ),
        (
            Rule("/a", name="r", fault="cut", drip="2s"),
            ["202 rule 1 'r' of rules= answers, half the body, then the end of the connection:"],
        ),
        (Rule("/a", name="r", drip="2s"), ["202 rule 1 'r' of rules= answers, the body over 2 s:"]),
        (
            Rule("/a", name="r", patch={"status": 418}, delay_after="1s"),
            ["- " + THE_RULE_PASSES + ", whose response starts late, and is changed"],
        ),
    ],
)
def test_each_reply_in_turn_is_told_with_its_turn(rule: Rule, expected: list[str]) -> None:
    assert sentences("/a", rule) == expected


def test_after_its_times_the_next_rule_is_told() -> None:
    assert sentences("/a", FAILING, Rule("/a", name="s", times=1), Rule("/a", name="t")) == [
        "503 rule 1 'r' of rules= answers, times 1 to 3:",
        "202 rule 2 's' of rules= answers, time 1:",
        "202 rule 3 't' of rules= answers:",
    ]


def test_a_rule_that_may_be_passed_over_does_not_count_for_the_next_one() -> None:
    rules = [Rule("/a", name="r", times=3, probability=0.5), Rule("/a", name="s", times=1)]
    assert sentences("/a", *rules) == [
        "202 rule 1 'r' of rules= answers 50% of such requests, times 1 to 3:",
        "202 rule 2 's' of rules= answers, time 1:",
        "- the app answers",
    ]


def test_a_rule_that_is_named_is_told_without_its_times() -> None:
    named = ["X-Mock-Name: r"]
    assert sentences("/x", FAILING, headers=named) == [
        "503 rule 1 'r' of rules=, named by the trigger, answers:"
    ]
    assert len(sentences("/x", Rule("/a", name="r", replies=TWICE_DOWN, times=1), headers=named)) == 2


def test_a_caller_s_luck_is_known_beforehand() -> None:
    rule = Rule("/a", name="r", probability={"value": 0.5, "per": "header:x-user", "seed": "demo"})
    assert sentences("/a", rule, headers=["X-User: ann"]) == ["202 rule 1 'r' of rules= answers:"]
    unlucky = explained("/a", rule, headers=["X-User: cid"])
    assert [miss.reason for miss in unlucky.misses] == ["its probability leaves this header:x-user out"]
    assert len(sentences("/a", rule)) == 2, "who cannot be told is drawn for"
