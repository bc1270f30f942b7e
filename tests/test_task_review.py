"""What a hostile reviewer found in tasks, on both interfaces: each a promise that did not hold."""

from typing import Any

import pytest
from tests.by_hand import Sent, Wire, run, scope_of
from tests.task_worlds import World, outcome, problem, told

import mockware
from mockware import Rule
from mockware.asgi_background import Background as OfASGI
from mockware.wsgi_background import Background as OfWSGI


@pytest.fixture(params=["asgi", "wsgi"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def test_no_code_of_a_failure_gets_a_line_into_azures_field(world: World) -> None:
    world.serve(
        dialect="azure",
        duration="0s",
        failure={"probability": 1.0, "json": {"code": "{{ accepted.json.code }}"}},
    )
    answer = world.post("/jobs", ("Prefer", "wait=1"), json={"code": "a\r\nX-Evil: €"})
    assert answer.one("x-ms-error-code") == "a%0D%0AX-Evil: %E2%82%AC"
    assert told(answer)["error"]["code"] == "a\r\nX-Evil: €"


def test_a_callback_of_a_megabyte_is_kept_no_longer_than_what_is_refused_for_it(world: World) -> None:
    task = {"webhook": {"url": "{{ request.json.url }}", "duplicates": 10}}
    world.serve(Rule("POST /jobs", name="jobs", task=task))
    assert world.post(json={"url": "http://x/" + "a" * 900_000}).status == 202
    store = world.app._snapshot.store
    assert max(len(kept.value) for kept in store._records.values()) < 10_000


def test_who_asks_again_for_what_was_canceled_does_not_get_its_result(world: World) -> None:
    at = world.serve(cancel=True, duration="10s").accept(("Idempotency-Key", "k"))
    world.now = 2
    world.send("DELETE", at)
    for world.now in (3, 11):
        again = world.post("/jobs", ("Idempotency-Key", "k"), ("Prefer", "wait=20"))
        assert (again.status, again.all("location")) == (202, [at])
        assert told(world.get(at))["status"] == "canceled"


@pytest.mark.parametrize("task", [{}, {"dialect": "github"}])
def test_what_was_refused_for_want_of_room_may_be_sent_again(
    world: World, task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(Rule("POST /jobs", name="jobs", task={"run": "app", **task}))
    refused: list[Any] = []

    def start(*args: Any, **_: Any) -> bool:
        refused.append(args)
        return False

    with monkeypatch.context() as full:
        for background in (OfASGI, OfWSGI):
            full.setattr(background, "start", start)
        for _ in range(2):
            problem(world.post("/jobs", ("Idempotency-Key", "k")), 503, "too many")
    assert len(refused) == 2
    assert world.post("/jobs", ("Idempotency-Key", "k")).status == 202


def test_testers_who_are_kept_apart_share_no_key_and_no_resource(world: World) -> None:
    per = "header:x-session"
    world.serve(Rule("POST,PUT /jobs", name="jobs", count_per=per, task={"dialect": "azure"}))
    for tester in "ab":
        answer = world.post("/jobs", ("X-Session", tester), ("Operation-Id", "test-1"), body=tester.encode())
        assert answer.status == 202
    assert world.send("PUT", "/jobs", ("X-Session", "a")).status == 202
    assert outcome(world.get("/jobs", ("X-Session", "a"))) == "200 jobs"
    assert outcome(world.get("/jobs", ("X-Session", "b"))) == "200 app"


def test_github_tells_one_method_nothing_of_another(world: World) -> None:
    world.serve(
        Rule(
            "GET,DELETE /jobs",
            name="jobs",
            task={"dialect": "github", "duration": "0s", "result": {"json": "{{ accepted.method }}"}},
        )
    )
    assert [world.send(method, "/jobs").status for method in ("GET", "HEAD", "DELETE")] == [202, 200, 202]
    assert [told(world.send(method, "/jobs")) for method in ("GET", "DELETE")] == ["GET", "DELETE"]


def test_rules_whose_operations_are_at_one_place_are_listed_together_there(world: World) -> None:
    world.serve(*(Rule(f"POST /{name}", name=name, task={"dialect": "google"}) for name in "ab"))
    made = []
    for name in "abab":
        world.now += 1
        made.append(told(world.post(f"/{name}"))["name"])
    assert [one["name"] for one in told(world.get("/operations"))["operations"]] == made
    seen, token = [], ""
    for _ in made:
        page = told(world.get(f"/operations?pageSize=1&pageToken={token}"))
        seen += [one["name"] for one in page["operations"]]
        token = page["nextPageToken"]
    assert (seen, token) == (made, "")
    assert world.send("DELETE", f"/operations/{made[1]}").status == 200
    assert [one["name"] for one in told(world.get("/operations"))["operations"]] == [made[0], *made[2:]]


def test_a_list_has_the_operations_of_its_own_place_alone(world: World) -> None:
    task = {"dialect": "google", "monitor": "/t/{tenant}/operations/{task_id}"}
    world.serve(Rule("POST /t/{tenant}/jobs", name="jobs", task=task))
    made = {tenant: told(world.post(f"/t/{tenant}/jobs"))["name"] for tenant in ("a", "b%20%C3%A9")}
    for tenant, name in made.items():
        listed = told(world.get(f"/t/{tenant}/operations"))["operations"]
        assert [one["name"] for one in listed] == [name]


def test_what_is_at_a_resources_path_and_no_tasks_reaches_the_app_as_it_came() -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    rules = [Rule("PUT /things/{id}", task={"dialect": "azure"})]
    wrapped: Any = mockware.wrap(app, rules=rules, enabled=True, environ={})
    wire = Wire()
    given = (scope_of(Sent("GET", "/things/1")), wire.receive, wire.send)
    run(wrapped(*given))
    assert all(one is other for one, other in zip(seen, given, strict=True))
    assert wire.asked == 0


def test_a_rule_behind_a_resource_looks_at_the_body(world: World) -> None:
    world.serve(
        Rule("PUT /jobs", name="jobs", task={"dialect": "azure"}),
        Rule("/jobs", name="below", when={"json": {"a": 1}}),
    )
    assert [outcome(world.get("/jobs", json={"a": n})) for n in (1, 2)] == ["202 below", "200 app"]


def test_two_bodies_that_are_too_long_to_be_looked_at_are_told_apart_by_their_lengths(world: World) -> None:
    world.serve()
    key = ("Idempotency-Key", "k")
    assert world.post("/jobs", key, body=b"x" * (1 << 21)).status == 202
    assert world.post("/jobs", key, body=b"x" * (1 << 21)).status == 202
    assert world.post("/jobs", key, body=b"x" * (1 << 22)).status == 422
    assert world.post("/jobs", key).status == 422


def test_no_handshake_of_a_websocket_is_accepted_as_a_task(world: World) -> None:
    world.serve(Rule("/jobs", name="jobs", task={}))
    assert world.get("/jobs").status == 202
    handshake = ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")
    assert world.get("/jobs", *handshake).all("x-mock-rule") == []
