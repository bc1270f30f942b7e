"""What `check` warns about: above all that no rule is ever called unreachable that can be reached."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockware import Rule
from mockware.config import load
from mockware.configuration import Configuration
from mockware.engine import Snapshot
from mockware.environment import Environment
from mockware.faults import CANNOT
from mockware.messages import Request, Response
from mockware.review import review, rule_labels

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SHARED = "sqlite:mocks.db"


def configured(*rules: Rule, never: Sequence[str] = ()) -> Configuration:
    return load(Environment(enabled=True, why=""), list(rules))._replace(never=tuple(never))


def warned(*rules: Rule, never: Sequence[str] = ()) -> list[str]:
    return [problem.message for problem in review(configured(*rules, never=never), NOW)]


def unreachable(*rules: Rule, never: Sequence[str] = ()) -> list[int]:
    """The numbers of the rules that are called unreachable."""
    configuration = configured(*rules, never=never)
    labels = rule_labels(configuration)
    return [
        labels.index(problem.rule) + 1
        for problem in review(configuration, NOW)
        if problem.message.startswith("can never match")
    ]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("/a", "/a"),
        ("/a", "POST /a"),
        ("GET,POST /a", "POST /a"),
        ("GET /a", "HEAD /a"),
        ("/a/{id}", "/a/7"),
        ("/a/{id:int}", "/a/7"),
        ("/a/{id}", "/a/{name}"),
        ("/a/{id}", "/a/{id:int}"),
        ("/a/{x}-{y}/{z}", "/a/{x:int}-{y:float}/{z:uuid}"),
        ("/a/{rest:path}", "/a/"),
        ("/a/{rest:path}", "/a/b/c"),
        ("/a/{rest:path}", "/a/{id}/c/{other:int}"),
        ("/a/{rest:path}", "/a/b{rest:path}"),
        ("/{rest:path}", "/a/{rest:path}"),
        ("/a{rest:path}", "/ab/{id}"),
        ("/a/{rest:path}/z", "/a/b/z"),
        ("OPTIONS,POST /a", "OPTIONS /a"),
    ],
)
def test_a_rule_whose_requests_an_earlier_one_takes_is_unreachable(earlier: str, later: str) -> None:
    assert unreachable(Rule(earlier), Rule(later)) == [2]
    assert unreachable(Rule(earlier, passthrough=True), Rule(later)) == [2]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("POST /a", "/a"),
        ("POST /a", "GET,POST /a"),
        ("HEAD /a", "GET /a"),
        ("/a", "/a/"),
        ("/a", "OPTIONS /a"),  # a CORS preflight passes the earlier one by
        ("/a", "GET,OPTIONS /a"),
        ("/a/{id:int}", "/a/{id}"),
        ("/a/{id:int}", "/a/x"),
        ("/a/{id}", "/a/{rest:path}"),
        ("/a/{rest:path}", "/a"),
        ("/a/{rest:path}", "/{rest:path}"),
        ("/a/{rest:path}", "/{x}/b"),
        ("/ab{rest:path}", "/a{rest:path}"),
        ("/a/{rest:path}/z", "/a/{x}/z"),  # taken, but for no reason that is listed
    ],
)
def test_a_rule_that_some_request_may_reach_is_not(earlier: str, later: str) -> None:
    assert unreachable(Rule(earlier), Rule(later)) == []


def test_a_rule_that_lets_some_requests_by_hides_nothing() -> None:
    for first in (
        Rule("/a", when={"query": {"x": "1"}}),
        Rule("/a", when={"json": {"x": 1}}),
        Rule("/a", probability=0.99),
        Rule("/a", expires="2999-01-01T00:00:00Z"),
    ):
        assert unreachable(first, Rule("/a", status=503)) == []


def test_a_rule_with_a_tag_of_its_own_may_be_meant_for_another_selection() -> None:
    assert unreachable(Rule("/a", tags=["down"]), Rule("/a", tags=["slow"])) == []
    assert unreachable(Rule("/a"), Rule("/a", tags=["slow"])) == []
    assert unreachable(Rule("/a", tags=["slow", "down"]), Rule("/a", tags=["slow"])) == [2]
    assert unreachable(Rule("/a", tags=["down"]), Rule("/a")) == [2]


def test_the_first_rule_that_takes_the_requests_is_named_with_its_file(tmp_path: Path) -> None:
    first, second = tmp_path / "1.toml", tmp_path / "2.toml"
    first.write_text('[[rules]]\nmatch = "/x"\n[[rules]]\nname = "all"\nmatch = "/a/{rest:path}"\n')
    second.write_text('[[rules]]\nmatch = "/a/{x}"\n[[rules]]\nmatch = "/a/{y:int}"\npassthrough = true\n')
    configuration = load(Environment(enabled=True, why=""), [first, second])
    rival = f"rule 2 'all' of {first}"
    taken = f"can never match while {rival} is on, which comes first and takes all its requests"
    assert list(map(str, review(configuration, NOW))) == [
        f"{second}, rule 1 '/a/{{x}}': `match` = '/a/{{x}}': {taken}",
        f"{second}, rule 2 '/a/{{y:int}}': `match` = '/a/{{y:int}}': {taken}",
    ]


@pytest.mark.parametrize(
    ("path", "later"), [("/a", "OPTIONS /a"), ("/a/{id}", "/a/7"), ("/a/{rest:path}", "/a/{id}/b")]
)
def test_a_rule_on_a_path_of_never_is_unreachable(path: str, later: str) -> None:
    (message,) = warned(Rule(later), never=["/else", path])
    assert message == f"can never match: `never` has {path!r}"


def test_never_may_make_an_exception_to_a_rule() -> None:
    assert warned(Rule("/{rest:path}"), never=["/healthz"]) == []


def test_a_rule_without_a_chance_is_warned_about() -> None:
    assert warned(Rule("/a", probability=0)) == ["never answers: 1 is always, absent too"]
    assert warned(Rule("/a", probability=0.001)) == []


def test_an_expired_rule_is_warned_about_and_one_that_will_expire_is_not() -> None:
    assert warned(Rule("/a", expires="2026-11-23T00:00:00Z")) == ["has passed: the rule matches no more"]
    assert warned(Rule("/a", expires="2026-11-23T00:00:01Z")) == []
    assert warned(Rule("/a", expires="2026-11-23T00:00:00+01:00"))


@pytest.mark.parametrize(
    ("value", "warns"),
    [
        ("max-age=60", True),
        ("public", True),
        ("no-cache", True),
        ("no-store", False),
        ("No-Store, max-age=0", False),
        ("private, max-age=60", False),
        ('private="set-cookie"', False),
    ],
)
def test_a_mock_that_a_shared_cache_may_keep_is_warned_about(value: str, warns: bool) -> None:
    found = list(review(configured(Rule("/a", headers={"Cache-Control": value})), NOW))
    assert [problem.key for problem in found] == (["headers.Cache-Control"] if warns else [])


def test_a_configuration_without_doubt_gets_no_warning() -> None:
    assert warned(Rule("POST /reports"), Rule("GET /reports"), Rule("/a/{id:int}"), Rule("/a/{id}")) == []


_LITERALS = st.sampled_from(["a", "b", "7", ""])
_PARAMETERS = st.sampled_from(
    ["{%s}", "{%s:int}", "{%s:float}", "a{%s}", "{%s:path}", "a{%s:path}", "{%s:int}b"]
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    segments = draw(st.lists(_LITERALS | _PARAMETERS, min_size=1, max_size=3))
    path = "".join(
        f"/{segment % f'p{i}' if '%s' in segment else segment}" for i, segment in enumerate(segments)
    )
    methods = draw(st.lists(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"]), max_size=2, unique=True))
    return Rule(
        f"{','.join(methods)} {path}",
        passthrough=draw(st.booleans()),
        tags=draw(st.lists(st.sampled_from(["t", "u"]), max_size=2, unique=True)),
        probability=draw(st.sampled_from([None, None, 0.5])),
    )


_PATHS = st.lists(st.sampled_from(["a", "b", "7", "7b", "ab", "1.5", ""]), min_size=1, max_size=4).map(
    lambda segments: "/" + "/".join(segments)
)
_REQUESTS = st.builds(
    Request,
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT"]),
    _PATHS,
    st.just(""),
    st.sampled_from([{}, {"access-control-request-method": "PUT"}]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(rules(), min_size=2, max_size=5), st.lists(_REQUESTS, min_size=10, max_size=30))
def test_no_request_reaches_a_rule_that_is_called_unreachable(
    declared: list[Rule], requests: list[Request]
) -> None:
    configuration = configured(*declared)
    labels = rule_labels(configuration)
    lost = {problem.rule for problem in review(configuration, NOW)}
    lost_names = {
        entry.name for entry, label in zip(configuration.entries, labels, strict=True) if label in lost
    }
    for chance in (0.0, 0.9):
        snapshot = Snapshot(configuration, chance=lambda chance=chance: chance)  # type: ignore[misc]
        for request in requests:
            decision = snapshot.decide(request, snapshot.find(request.path) or ())
            if isinstance(decision, Response):
                assert decision.rule not in lost_names


@settings(max_examples=100, deadline=None)
@given(st.lists(rules(), min_size=2, max_size=5))
def test_a_rule_that_is_called_unreachable_is_so_wherever_its_rival_is_on(declared: list[Rule]) -> None:
    """With the tags as MOCKWARE selects them: where the rule is on, the one that hides it is on as well."""
    configuration = configured(*declared)
    labels = rule_labels(configuration)
    for problem in review(configuration, NOW):
        hidden = configuration.entries[labels.index(problem.rule)]
        rival = next(i for i, label in enumerate(labels) if f"while {label} is on" in problem.message)
        assert set(hidden.rule.tags) <= set(configuration.entries[rival].rule.tags)


@pytest.mark.parametrize(
    "match",
    ["GET /r{i}", "GET /r/{{x:int}}/{i}", "M{i} /r", "/r", "GET /{{x}}/r{i}", "/r{i}/x{{rest:path}}"],
)
def test_ten_thousand_rules_are_reviewed_within_seconds(match: str) -> None:
    configuration = configured(
        *(Rule(match.format(i=i), name=f"n{i}", tags=[f"t{i}"]) for i in range(10_000))
    )
    start = time.perf_counter()
    assert list(review(configuration, NOW)) == []
    assert time.perf_counter() - start < 10  # about one here


@pytest.mark.parametrize("fault", ["cut", "stall", "empty"])
def test_a_fault_that_not_every_server_can_perform_is_warned_about(fault: Any) -> None:
    (problem,) = review(configured(Rule("/a", fault=fault)), NOW)
    assert problem.key == "fault"
    assert problem.message == f"not on every server: {CANNOT[fault]}"
    (problem,) = review(configured(Rule("/a", replies=[{}, {"fault": fault}])), NOW, store=SHARED)
    assert problem.key == "replies.1.fault"


def test_a_reply_in_turn_and_a_patch_that_a_cache_may_keep_are_warned_about() -> None:
    cached = {"cache-control": "max-age=9"}
    for declared in ({"replies": [{"headers": cached}, {}]}, {"patch": {"headers": cached}}):
        (problem,) = review(configured(Rule("/a", **declared)), NOW, store=SHARED)
        assert problem.key in ("replies.0.headers.cache-control", "patch.headers.cache-control")


def test_a_rule_that_ends_hides_nothing_and_one_whose_replies_do_still_hides() -> None:
    assert unreachable(Rule("/a", times=1), Rule("/a")) == []
    assert unreachable(Rule("/a", replies=[{}, {}], then="passthrough"), Rule("/a")) == [2]


# Counts and tasks that not every worker knows


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ({"times": 1}, "times"),
        ({"replies": [{"status": 503, "times": 2}, {}]}, "replies"),
        ({"replies": [{}, {}], "then": "passthrough", "times": 3}, "times"),
        ({"replies": [{}]}, None),
        ({"probability": 0.5}, None),
    ],
)
def test_what_each_worker_would_count_by_itself_is_warned_about_where_they_share_no_store(
    declared: dict[str, Any], key: str | None
) -> None:
    configuration = configured(Rule("POST /orders", **declared))
    for store in ("", "memory:"):
        problems = list(review(configuration, NOW, store=store))
        assert [problem.key for problem in problems] == ([] if key is None else [key])
        for problem in problems:
            assert problem.message.startswith("counted in each worker's memory alone; where several workers")
            assert "MOCKWARE_STORE" in problem.message
    assert list(review(configuration, NOW, store=SHARED)) == []


@pytest.mark.parametrize(
    ("match", "task", "reason"),
    [
        ("POST /jobs", {"run": "app"}, "the app's response"),
        ("POST /jobs", {"cancel": True}, "who has canceled"),
        ("POST /jobs", {"result": {"json": "{{ accepted.json.n }}"}}, "what the accepted request said"),
        ("GET /jobs", {"dialect": "github"}, "which request is asked again"),
        ("POST /jobs", {"dialect": "google"}, "the list of operations"),
        ("PUT /jobs", {"dialect": "azure"}, "what becomes of the URL of a PUT or PATCH"),
        ("PATCH /jobs", {"dialect": "azure"}, "what becomes of the URL of a PUT or PATCH"),
        ("/jobs", {"dialect": "azure"}, "what becomes of the URL of a PUT or PATCH"),
        ("POST /jobs", {}, None),
        ("POST /jobs", {"dialect": "azure"}, None),
        ("POST /jobs", {"failure": {"probability": 1, "text": "{{ request.method }}"}}, None),
    ],
)
def test_what_no_id_can_say_is_warned_about_where_workers_share_no_store(
    match: str, task: dict[str, Any], reason: str | None
) -> None:
    configuration = configured(Rule(match, task=task))
    for store in ("", "memory:", "sqlite:mocks.db"):
        problems = list(review(configuration, NOW, store=store))
        if reason is None or store.startswith("sqlite"):
            assert problems == []
        else:
            (problem,) = problems
            assert problem.message.startswith(f"in each worker's memory alone: {reason};")
            assert "MOCKWARE_STORE" in problem.message
            assert problem.key == "task"


def test_a_webhook_is_warned_about_where_nobody_could_take_it_over_or_its_host_is_not_listed() -> None:
    webhook = {"url": "http://elsewhere.test/"}
    configuration = configured(Rule("POST /jobs", task={"webhook": webhook}))
    messages = [problem.message for problem in review(configuration, NOW)]
    assert messages[0].startswith("in each worker's memory alone: webhooks;")
    assert messages[1].startswith("never sent: no hosts are listed")
    listed = configuration._replace(webhook_hosts=("hooks.test",))
    (message,) = [problem.message for problem in review(listed, NOW, store="sqlite:mocks.db")]
    assert message.startswith("never sent: the host 'elsewhere.test'")


def test_a_method_that_is_probably_misspelt_is_warned_about() -> None:
    assert warned(Rule("PSOT /a")) == ["`PSOT` is no usual method; did you mean `POST`?"]


def test_methods_of_ones_own_are_not_warned_about() -> None:
    assert warned(Rule("FROBNICATE,QUERY,PROPFIND /a")) == []
