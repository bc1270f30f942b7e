"""Tasks through both adapters, from the request that is accepted to the end of what is known of it.

Every test runs on both interfaces, in one manner; what each dialect says in each phase is in test_dialects.
"""

import random
from math import sqrt
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.task_worlds import BORN, World, by, outcome, outcomes, problem, task_of, told

from mockware import Rule
from mockware.task_ids import TaskIds


@pytest.fixture(params=["asgi", "wsgi"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def ids_of(rule: str = "jobs", **known: str) -> str:
    """An id that a rule of this name has made, or would have."""
    return (
        TaskIds(rule=rule, **known)
        .new(accepted_at=BORN, duration_s=5, fails=False, method="POST", chance=random.random)
        .id
    )


# The request that is accepted


def test_the_canonical_202_has_a_real_id_and_leads_to_its_monitor(world: World) -> None:
    answer = world.serve().post()
    at = answer.one("location")
    assert at.startswith("/jobs/")
    task = task_of(at)
    assert answer.status == 202
    assert answer.body == b'{"status": "accepted", "task_id": "%s"}' % task.id.encode()
    assert (task.accepted_at, task.duration_s, task.method) == (BORN, 5.0, "POST")
    assert answer.one("retry-after") == "1"
    assert answer.one("cache-control") == "no-store"
    assert by(answer) == "jobs"


def test_the_monitor_goes_through_the_phases_as_the_clock_does(world: World) -> None:
    at = world.serve(duration="10s", queue_time="2s", retry_after="3s", result={"json": [1]}).accept()
    seen = []
    for now in (0, 1.999, 2, 9.999, 10, 8e4):
        world.now = now
        answer = world.get(at)
        seen.append((answer.status, told(answer)["status"], answer.all("retry-after")))
    assert seen == [
        *[(200, "queued", ["3"])] * 2,
        *[(200, "running", ["3"])] * 2,
        *[(200, "succeeded", [])] * 2,
    ]
    assert told(answer)["result"] == [1]


def test_a_task_is_forgotten_after_its_retention_and_its_monitor_says_so(world: World) -> None:
    at = world.serve(duration="10s", retention="1m").accept()
    world.now = 69.9
    assert world.get(at).status == 200
    world.now = 70
    problem(world.get(at), 404, "not any more")


def test_any_process_with_the_same_rules_answers_and_no_other(world: World) -> None:
    keyed = {"MOCKWARE_KEY": "k"}
    at = world.serve(environ=keyed).accept()
    other = World(world.interface).serve(environ=keyed)
    assert other.get(at).body == world.get(at).body
    problem(World(world.interface).serve().get(at), 404, "no task with this id")
    problem(World(world.interface).serve(environ={**keyed, "MOCKWARE_SERVICE": "s"}).get(at), 404, "no task")


@pytest.mark.parametrize("at", ["/jobs/abc-123", "/jobs/", "/jobs", "/jobs/x/y"])
def test_what_has_not_the_shape_of_an_id_is_the_apps(world: World, at: str) -> None:
    assert outcome(world.serve().get(at)) == "200 app"


def test_letters_in_capitals_and_what_stands_around_an_id_are_the_apps_too(world: World) -> None:
    text = world.serve().accept().rpartition("/")[2]
    for other in (text.upper(), text[:-1], text + "0", text + "%0A", f"{text}/", f"%20{text}"):
        assert outcome(world.get(f"/jobs/{other}")) == "200 app"


def test_a_forged_or_foreign_id_is_no_task(world: World) -> None:
    at = world.serve().accept()
    for text in (at[:-1] + ("0" if at[-1] != "0" else "1"), "/jobs/" + ids_of("other")):
        problem(world.get(text), 404, "there is no task with this id")


def test_every_dialect_tells_of_a_forged_id_in_its_own_form(world: World) -> None:
    forms = {"azure": "error", "google": "error", "jsonapi": "errors", "odata": "error", "ogc": "type"}
    for dialect, member in forms.items():
        world.serve(dialect=dialect)
        answer = world.get(("/operations/" if dialect == "google" else "/jobs/") + ids_of("other"))
        assert answer.status == 404
        assert member in told(answer)
        assert by(answer) == "jobs"


# Where it is asked about


MONITORS: dict[str, tuple[str, str | None, str, str]] = {
    "beside what made it": ("POST /jobs", None, "/jobs", "/jobs/"),
    "at the root": ("POST /", None, "/", "/"),
    "behind a slash": ("POST /jobs/", None, "/jobs/", "/jobs/"),
    "with a parameter": ("POST /t/{tenant}/jobs", "/t/{tenant}/m/{task_id}", "/t/a/jobs", "/t/a/m/"),
    "with an encoded parameter": (
        "POST /t/{tenant}/jobs",
        None,
        "/t/%C3%A9%20%3F%25%23/jobs",
        "/t/%C3%A9%20%3F%25%23/jobs/",
    ),
    "with slashes in a parameter": ("POST /{rest:path}", None, "/a/b%20c", "/a/b%20c/"),
    "with a number": ("POST /n/{id:int}", "/m/{id}/{task_id}/s", "/n/007", "/m/007/"),
}


@pytest.mark.parametrize(("match", "monitor", "target", "start"), MONITORS.values(), ids=MONITORS)
@pytest.mark.parametrize("mount", ["", "/app", "/é"])
def test_the_monitor_is_where_the_answer_says(
    world: World, match: str, monitor: str | None, target: str, start: str, mount: str
) -> None:
    answer = world.serve(Rule(match, name="jobs", task={"monitor": monitor})).post(target, mount=mount)
    at = answer.one("location")
    assert at.startswith(quote(mount) + start)
    known = told(world.get(at.removeprefix(quote(mount)), mount=mount))
    assert known["task_id"] == told(answer)["task_id"]


def test_two_rules_may_have_one_monitor(world: World) -> None:
    monitor = {"monitor": "/tasks/{task_id}"}
    world.serve(
        Rule("POST /a", name="a", task={**monitor, "result": {"json": "a"}, "duration": "0s"}),
        Rule("POST /b", name="b", task={**monitor, "result": {"json": "b"}, "duration": "0s"}),
        Rule("POST /c", name="c", task={**monitor, "result": {"json": "c"}, "duration": "0s"}),
    )
    for name in "abc":
        answer = world.get(world.post(f"/{name}").one("location"))
        assert (by(answer), told(answer)["result"]) == (name, name)
    assert outcome(world.get("/tasks/" + ids_of("d"))) == "404 a"


def test_head_asks_without_content_and_other_methods_are_told_which_mean_something(world: World) -> None:
    at = world.serve(cancel=True).accept()
    asked, head = world.get(at), world.send("HEAD", at)
    assert (head.status, head.fields, head.body) == (asked.status, asked.fields, b"")
    refused = world.send("PUT", at)
    assert refused.one("allow") == "DELETE, GET, HEAD"
    problem(refused, 405, "DELETE, GET, HEAD")
    assert world.serve().send("DELETE", world.accept()).one("allow") == "GET, HEAD"


def test_a_preflight_is_the_apps(world: World) -> None:
    at = world.serve().accept()
    asks = ("Access-Control-Request-Method", "GET")
    assert outcome(world.send("OPTIONS", at, ("Origin", "http://o"), asks)) == "200 app"
    assert outcome(world.send("OPTIONS", at)) == "405 jobs"


def test_a_rule_above_has_its_say_first_and_one_below_does_not(world: World) -> None:
    down = Rule("GET /jobs/{id}", name="down", status=503)
    task = Rule("POST /jobs", name="jobs", task={})
    at = world.serve(task, down).accept()
    assert outcomes([world.get(at), world.get("/jobs/7")]) == ["200 jobs", "503 down"]
    world.serve(down, task)
    assert outcome(world.get(at)) == "503 down"


# Cancellation


def test_a_task_that_may_not_be_canceled_is_not(world: World) -> None:
    at = world.serve().accept()
    assert world.send("DELETE", at).status == 405
    assert told(world.get(at))["status"] == "running"


@pytest.mark.parametrize("dialect", ["plain", "azure", "jsonapi", "ogc"])
def test_a_task_is_canceled_once_and_stays_so(world: World, dialect: str) -> None:
    at = world.serve(cancel=True, duration="10s", dialect=dialect).accept()
    world.now = 4
    first = world.send("DELETE", at)
    world.now = 7
    second = world.send("DELETE", at)
    world.now = 100
    assert first.body == second.body == world.get(at).body
    assert b"anceled" in first.body or b"dismissed" in first.body
    assert "100" not in first.body.decode()


def test_it_is_too_late_to_cancel_what_has_ended(world: World) -> None:
    at = world.serve(cancel=True, duration="10s").accept()
    world.now = 10
    problem(world.send("DELETE", at), 409, "has ended already: succeeded")


def test_odata_knows_no_monitor_of_what_was_canceled(world: World) -> None:
    world.serve(cancel=True, dialect="odata")
    at = world.accept(("Prefer", "respond-async"))
    assert [world.send("DELETE", at).status, world.get(at).status] == [204, 404]


@pytest.mark.parametrize(("dialect", "at"), [("azure", "/jobs"), ("google", "/operations")])
def test_a_method_of_the_monitor_cancels(world: World, dialect: str, at: str) -> None:
    world.serve(dialect=dialect, cancel=True)
    text = told(world.post())["id" if dialect == "azure" else "name"]
    assert outcome(world.post(f"{at}/{text}:cancel")) == "200 jobs"
    assert b"ancel" in world.get(f"{at}/{text}").body
    refused = world.serve(dialect=dialect).post(f"{at}/{text}:cancel")
    assert (refused.status, refused.all("allow")) == (405, [""])


def test_it_is_forgotten_so_long_after_its_cancellation(world: World) -> None:
    at = world.serve(cancel=True, duration="10s", retention="1m").accept()
    world.now = 4
    world.send("DELETE", at)
    world.now = 63.9
    assert world.get(at).status == 200
    world.now = 64
    assert world.get(at).status == 404


@pytest.mark.parametrize("task", [{"duration": "10s"}, {"duration": "10s", "failure": {"probability": 1}}])
def test_a_job_that_has_ended_is_dismissed_as_well_and_is_gone_with_its_results(
    world: World, task: dict[str, Any]
) -> None:
    at = world.serve(dialect="ogc", cancel=True, **task).accept()
    world.now = 10
    dismissed = world.send("DELETE", at)
    assert (dismissed.status, told(dismissed)["status"]) == (200, "dismissed")
    assert [link["rel"] for link in told(dismissed)["links"]] == ["self"]
    for method, path in (("GET", at), ("GET", f"{at}/results"), ("DELETE", at)):
        answer = world.send(method, path)
        assert answer.status == 404
        assert told(answer)["type"].endswith("/no-such-job")


# The same request again


KEYS = ["Idempotency-Key", "Operation-Id", "Repeatability-Request-ID"]


@pytest.mark.parametrize("field", KEYS)
def test_the_same_key_is_the_same_task(world: World, field: str) -> None:
    world.serve()
    first = world.post("/jobs?a=1", (field, "k1"), json={"n": 1})
    world.now = 3
    assert world.post("/jobs?a=1", (field, "k1"), json={"n": 1}) == first
    assert world.post("/jobs?a=1", (field, "k2"), json={"n": 1}).one("location") != first.one("location")
    for other in ("/jobs", "/jobs?a=2"):
        problem(world.post(other, (field, "k1"), json={"n": 1}), 422, "another request came with this")
    problem(world.post("/jobs?a=1", (field, "k1"), json={"n": 2}), 422, field.lower())


@pytest.mark.parametrize(
    ("dialect", "status"), [("azure", 400), ("google", 409), ("jsonapi", 422), ("ogc", 422)]
)
def test_a_key_that_is_used_for_another_request_is_refused_as_the_dialect_does(
    world: World, dialect: str, status: int
) -> None:
    world.serve(dialect=dialect).post("/jobs", (KEYS[0], "k"), body=b"1")
    assert world.post("/jobs", (KEYS[0], "k"), body=b"2").status == status


def test_a_key_is_forgotten_with_its_task(world: World) -> None:
    world.serve(duration="10s", retention="1m").post("/jobs", (KEYS[0], "k"), body=b"1")
    world.now = 70
    assert world.post("/jobs", (KEYS[0], "k"), body=b"2").status == 202


def test_a_key_has_a_bound(world: World) -> None:
    assert world.serve().post("/jobs", (KEYS[0], "k" * 255)).status == 202
    problem(world.post("/jobs", (KEYS[0], "k" * 256)), 400, "idempotency-key: at most 255 characters")


def test_a_rule_has_keys_of_its_own(world: World) -> None:
    world.serve(Rule("POST /a", name="a", task={}), Rule("POST /b", name="b", task={}))
    first, second = world.post("/a", (KEYS[0], "k")), world.post("/b", (KEYS[0], "k"))
    assert [first.status, second.status] == [202, 202]
    assert first.one("location") != second.one("location")


# What a client prefers


def test_who_would_wait_so_long_is_answered_as_if_there_were_no_task(world: World) -> None:
    world.serve(duration="10ms", result={"status": 201, "json": {"id": 7}})
    answer = world.post("/jobs", ("Prefer", "respond-async, wait=1"))
    assert (answer.status, told(answer)) == (201, {"id": 7})
    assert answer.all("preference-applied") == ["wait=1"]
    assert answer.all("vary") == ["Prefer"]
    assert not answer.all("retry-after")


def test_who_waits_for_a_task_that_fails_gets_the_failure(world: World) -> None:
    world.serve(duration="0s", failure={"probability": 1, "status": 507, "json": {"message": "full"}})
    answer = world.post("/jobs", ("Prefer", "wait=0"))
    assert (answer.status, told(answer)) == (507, {"message": "full"})


def test_a_task_that_takes_longer_is_accepted(world: World) -> None:
    answer = world.serve(duration="10s").post("/jobs", ("Prefer", "respond-async, wait=9"))
    assert answer.status == 202
    assert answer.all("preference-applied") == ["respond-async"]
    assert answer.all("vary") == ["Prefer"]
    answer = world.post("/jobs", ("Prefer", "wait=9, foo"))
    assert (answer.status, answer.all("preference-applied"), answer.all("vary")) == (202, [], ["Prefer"])


def test_where_only_those_are_accepted_who_prefer_it_the_others_reach_the_app(world: World) -> None:
    world.serve(prefer_async=True)
    assert outcome(world.post()) == "200 app"
    assert outcome(world.post("/jobs", ("Prefer", "wait=9"))) == "200 app"
    assert outcome(world.post("/jobs", ("Prefer", "respond-async"))) == "202 jobs"
    assert outcome(world.serve(dialect="odata").post()) == "200 app"
    assert outcome(world.serve(dialect="odata", prefer_async=False).post()) == "202 jobs"


# What it makes


def test_so_many_tasks_fail_as_the_rule_says() -> None:
    world = World("wsgi").serve(failure={"probability": 0.1}, duration="0s")
    fails = sum(task_of(world.post("/jobs", validated=False).one("location")).fails for _ in range(10_000))
    # Five standard deviations: one run in two million is beyond.
    assert abs(fails - 1000) <= 5 * sqrt(10_000 * 0.1 * 0.9)


def test_a_failure_is_told_with_its_reason(world: World) -> None:
    reason = {"code": "ExportFailed", "message": "disk full"}
    at = world.serve(duration="0s", failure={"probability": 1, "json": reason}).accept()
    assert told(world.get(at))["status"] == "failed"
    assert told(world.get(at))["error"] == reason


RESULTS: dict[str, tuple[dict[str, Any], int, dict[str, str], bytes]] = {
    "a text": ({"text": "done"}, 200, {"content-type": "text/plain; charset=utf-8"}, b"done"),
    "another status": ({"status": 201, "json": 1}, 201, {"content-type": "application/json"}, b"1"),
    "elsewhere": ({"status": 303, "headers": {"Location": "/files/7"}}, 303, {"location": "/files/7"}, b""),
    "nothing": ({"status": 204}, 204, {}, b""),
}


@pytest.mark.parametrize(("result", "status", "fields", "body"), RESULTS.values(), ids=RESULTS)
def test_the_monitor_gives_the_result(
    world: World, result: dict[str, Any], status: int, fields: dict[str, str], body: bytes
) -> None:
    at = world.serve(duration="1s", result=result).accept()
    assert told(world.get(at))["status"] == "running"
    world.now = 1
    answer = world.get(at)
    assert answer.status == status
    assert {name: answer.one(name) for name in fields} == fields
    assert answer.body == body or status == 303


def test_a_file_is_a_result_even_where_it_is_no_text(world: World, tmp_path: Path) -> None:
    (tmp_path / "r.png").write_bytes(b"\x89PNG {{ no }} \xff")
    (tmp_path / "mocks.toml").write_text(
        '[[rules]]\nname = "jobs"\nmatch = "POST /jobs"\n'
        '[rules.task]\nduration = "0s"\nresult = { file = "r.png" }\n'
    )
    with pytest.raises(Exception, match=r"UTF-8|template"):
        world.serve(str(tmp_path / "mocks.toml"))
    (tmp_path / "r.png").write_bytes(b"\x89PNG \xff")
    answer = world.serve(str(tmp_path / "mocks.toml")).get(world.accept())
    assert (answer.body, answer.one("content-type")) == (b"\x89PNG \xff", "image/png")


def test_templates_speak_of_the_poll_of_what_was_accepted_and_of_the_task(world: World) -> None:
    said = {
        "id": "{{ task_id }}",
        "n": "{{ accepted.json.n }}",
        "who": "{{ accepted.headers['X-Who'] }}",
        "asked": "{{ request.query.q }}",
        "where": "{{ accepted.path_params.tenant }}",
        "cookie": "{{ accepted.cookies.c }}",
    }
    result = {"json": said, "headers": {"X-By": "{{ request.method }} {{ accepted.query.q }}"}}
    world.serve(Rule("POST /t/{tenant}/jobs", name="jobs", task={"duration": "0s", "result": result}))
    fields = [("X-Who", "é"), ("Cookie", "c=5")]
    at = world.post("/t/a%20b/jobs?q=first", *fields, json={"n": 3}).one("location")
    answer = world.get(f"{at}?q=then")
    assert told(answer)["result"] == {
        "id": task_of(at).id,
        "n": 3,
        "who": "é",
        "asked": "then",
        "where": "a b",
        "cookie": "5",
    }
    assert answer.one("x-by") == "GET first"


def test_a_template_without_what_it_speaks_of_is_a_500_that_names_the_rule(world: World) -> None:
    at = world.serve(duration="0s", result={"json": {"n": "{{ accepted.json.n }}"}}).accept(body=b"no json")
    problem(world.get(at), 500, "the template in `body` of this rule")
    lost = World(world.interface).serve(duration="0s", result={"json": "{{ accepted.headers.x }}"})
    problem(lost.get(at), 500, "MOCKWARE_STORE names the store")


def test_no_request_gets_a_line_into_a_field(world: World) -> None:
    result = {"status": 303, "headers": {"Location": "/{{ accepted.json.where }}"}}
    at = world.serve(duration="0s", result=result).accept(json={"where": "x\r\nSet-Cookie: a=1"})
    answer = world.get(at)
    problem(answer, 500, "headers.Location")
    assert not answer.all("set-cookie")


# When to ask again


@pytest.mark.parametrize(
    ("retry_after", "field", "value"),
    [
        ("1s", "retry-after", "1"),
        ("1500ms", "retry-after", "2"),
        ("1m", "retry-after", "60"),
        ("999ms", "retry-after-ms", "999"),
        ("0.1ms", "retry-after-ms", "1"),
    ],
)
def test_it_is_never_told_to_ask_again_at_once(
    world: World, retry_after: str, field: str, value: str
) -> None:
    answer = world.serve(retry_after=retry_after).post()
    hints = {name: value for name, value in answer.fields if name.startswith("retry-after")}
    assert hints == {field: value}
    assert dict(world.get(answer.one("location")).fields).items() >= hints.items()


def test_without_a_hint_there_is_none(world: World) -> None:
    answer = world.serve(retry_after=None).post()
    assert not [name for name, _ in answer.fields if name.startswith("retry-after")]


# Dialects with paths of their own


def test_github_answers_at_the_same_url_until_it_is_ready_for_each_tester_apart(world: World) -> None:
    task = {"dialect": "github", "duration": "10s", "result": {"json": [1]}}
    world.serve(Rule("GET /stats", name="stats", count_per="header:x-user", task=task))
    ann, bob = ("X-User", "ann"), ("X-User", "bob")
    assert (world.get("/stats", ann).status, told(world.get("/stats", ann))) == (202, {})
    assert not world.get("/stats", ann).all("location")
    world.now = 9
    assert world.get("/stats", bob).status == 202
    world.now = 10
    assert [world.get("/stats", who).status for who in (ann, bob)] == [200, 202]
    assert told(world.get("/stats", ann)) == [1]
    assert world.get("/stats?q=1", ann).status == 202
    world.now = 19
    assert world.get("/stats", bob).status == 200


def test_where_the_same_url_is_asked_again_a_key_makes_no_second_task(world: World) -> None:
    world.serve(Rule("GET /stats", name="stats", task={"dialect": "github", "duration": "10s"}))
    world.get("/stats")
    world.now = 5
    assert world.get("/stats", ("Idempotency-Key", "k")).status == 202
    world.now = 10
    assert world.get("/stats", ("Idempotency-Key", "k")).status == 200


def operations(world: World, query: str = "") -> tuple[list[str], str]:
    page = told(world.get(f"/operations{query}"))
    return [operation["name"] for operation in page["operations"]], page["nextPageToken"]


def test_googles_operations_are_listed_in_pages_oldest_first(world: World) -> None:
    world.serve(dialect="google", cancel=True, duration="1m")
    names = []
    for now in range(5):
        world.now = now
        names.append(told(world.post())["name"])
    assert operations(world) == (names, "")
    first, token = operations(world, "?pageSize=2")
    second, next_token = operations(world, f"?pageSize=2&pageToken={token}")
    assert first + second == names[:4]
    assert operations(world, f"?pageToken={next_token}") == (names[4:], "")
    world.post(f"/operations/{names[0]}:cancel")
    assert world.send("DELETE", f"/operations/{names[1]}").status == 200
    assert world.get(f"/operations/{names[1]}").status == 404
    page = told(world.get("/operations"))["operations"]
    assert [operation["name"] for operation in page] == [names[0], *names[2:]]
    assert page[0]["error"]["code"] == 1
    for wrong in ("pageSize=-1", "pageSize=x", "pageToken=x", f"pageToken={ids_of('other')}"):
        assert told(world.get(f"/operations?{wrong}"))["error"]["status"] == "INVALID_ARGUMENT"
    assert operations(world, "?pageSize=0")[0] == [names[0], *names[2:]]
    assert outcome(world.post("/operations")) == "200 app"


def test_no_page_of_the_app_becomes_a_list_of_operations(world: World) -> None:
    for match, monitor in (("POST /jobs", "/jobs/{task_id}"), ("POST /jobs", "/{task_id}")):
        world.serve(Rule(match, name="jobs", task={"dialect": "google", "monitor": monitor}))
        assert outcomes([world.get("/jobs"), world.get("/")]) == ["200 app"] * 2


def test_googles_wait_answers_when_it_is_done_or_the_time_is_over(world: World) -> None:
    world.serve(dialect="google", duration="20ms")
    at = f"/operations/{told(world.post())['name']}:wait"
    assert told(world.post(at, json={"timeout": "0.001s"}))["done"] is False
    assert told(world.post(at))["done"] is True
    world.now = 1
    assert told(world.post(at))["done"] is True


def test_azures_resource_tells_of_itself_and_what_is_no_tasks_is_still_there(world: World) -> None:
    world.serve(
        Rule("PUT /things/{id}", name="put", task={"dialect": "azure", "duration": "10s", "retention": "1m"}),
        Rule("GET /things/json", name="json", when={"json": {"n": 1}}, status=418),
        Rule("GET /things/known", name="known", status=200),
    )
    assert outcomes([world.get("/things/known"), world.get("/things/x")]) == ["200 known", "200 app"]
    assert outcome(world.send("GET", "/things/json", json={"n": 1})) == "418 json"
    answer = world.send("PUT", "/things/a%20b%2541")
    assert answer.status == 202
    pointers = {answer.one(name) for name in ("location", "operation-location", "azure-asyncoperation")}
    assert len(pointers) == 1
    assert pointers.pop().startswith("http://mock.test/things/a%20b%2541/")
    resource = told(world.get("/things/a%20b%2541"))
    assert resource["id"] == "/things/a%20b%2541"
    assert resource["name"] == "a b%41"
    assert resource["properties"]["provisioningState"] == "Creating"
    world.now = 10
    assert told(world.get("/things/a%20b%2541"))["properties"]["provisioningState"] == "Succeeded"
    world.now = 70
    assert outcome(world.get("/things/a%20b%2541")) == "200 app"


def test_a_resource_whose_cancellation_is_forgotten_is_the_apps_again(world: World) -> None:
    task = {"dialect": "azure", "duration": "1h", "retention": "1m", "cancel": True}
    world.serve(Rule("PUT /things/{id}", name="put", task=task))
    at = world.send("PUT", "/things/1").one("location").removeprefix("http://mock.test")
    world.send("DELETE", at)
    assert told(world.get("/things/1"))["properties"]["provisioningState"] == "Canceled"
    world.now = 60
    assert outcome(world.get("/things/1")) == "200 app"


def test_a_jobs_results_are_behind_it(world: World) -> None:
    at = world.serve(dialect="ogc", duration="10s", result={"json": {"out": 1}}).accept()
    assert told(world.get(f"{at}/results"))["type"].endswith("/result-not-ready")
    world.now = 10
    link = told(world.get(at))["links"][-1]["href"]
    assert told(world.get(link.removeprefix("http://mock.test"))) == {"out": 1}


def test_odata_answers_each_client_in_its_own_version(world: World) -> None:
    world.serve(dialect="odata", duration="0s", result={"json": {"v": 1}})
    at = world.accept(("Prefer", "respond-async"))
    new = world.get(at)
    assert (new.one("asyncresult"), new.one("odata-version"), told(new)) == ("200", "4.01", {"v": 1})
    old = world.get(at, ("OData-MaxVersion", "4.0"))
    assert (old.one("content-type"), old.one("odata-version")) == ("application/http", "4.0")
    assert old.body.startswith(b"HTTP/1.1 200 OK\r\n")
    assert old.body.endswith(b'\r\n\r\n{"v": 1}')
    json = world.get(at, ("OData-MaxVersion", "4.0"), ("Accept", "application/json"))
    assert (json.one("asyncresult"), json.one("odata-version")) == ("200", "4.0")
    assert world.get(at, ("Accept", "application/http")).one("content-type") == "application/http"


# URLs


HOSTS = ["evil.example/x", "a b", "a@evil.example", "a.example\\", "<x>", "a.example, b.example", ""]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("dialect", ["azure", "ogc"])
def test_a_hostile_host_gets_into_no_url(world: World, host: str, dialect: str) -> None:
    world.serve(dialect=dialect)
    more: Any = {"HTTP_HOST": host}
    if world.interface == "asgi":
        more = {"headers": [(b"host", host.encode())]}
    answer = world.send("POST", "/jobs", **more)
    assert answer.one("location").startswith("/jobs/")
    assert world.get(answer.one("location")).status in (200, 202)


def test_a_path_names_no_host(world: World) -> None:
    world.serve(Rule("POST /{rest:path}", name="jobs", task={}))
    at = world.post("//evil.example/jobs").one("location")
    assert at.startswith("/.//evil.example/jobs/")


def test_a_proxy_is_believed_where_the_file_says_so(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mocks.toml"
    said = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a.example"), ("X-Forwarded-Prefix", "/p")]
    for first, start in (("trust_forwarded = true\n", "https://a.example/p"), ("", "http://mock.test")):
        file.write_text(first + '[[rules]]\nmatch = "POST /jobs"\n[rules.task]\ndialect = "azure"\n')
        assert world.serve(str(file)).post("/jobs", *said).one("location").startswith(f"{start}/jobs/")


# The rest of a rule


def test_a_rule_that_is_named_accepts_whatever_the_request_is(world: World) -> None:
    world.serve(
        Rule("POST /jobs", name="jobs", task={"prefer_async": True}, when={"query": {"a": "1"}}),
        Rule("POST /t/{tenant}/jobs", name="of-tenants", task={"monitor": "/t/{tenant}/{task_id}"}),
    )
    named = world.get("/elsewhere", ("X-Mock-Name", "jobs"))
    assert outcome(named) == "202 jobs"
    assert world.get(named.one("location")).status == 200
    problem(
        world.get("/elsewhere", ("X-Mock-Name", "of-tenants")),
        400,
        "the monitor of this task is made of the parameters of /t/{tenant}/jobs",
        "of-tenants",
    )
    assert outcome(world.get("/t/7/jobs", ("X-Mock-Name", "of-tenants"))) == "202 of-tenants"


def test_times_are_of_what_is_accepted_and_monitors_stay(world: World) -> None:
    at = world.serve(Rule("POST /jobs", name="jobs", times=1, task={})).accept()
    assert outcome(world.post()) == "200 app"
    assert [world.get(at).status for _ in range(3)] == [200] * 3


def test_after_the_rule_has_expired_nothing_is_accepted_and_monitors_stay(world: World) -> None:
    at = world.serve(Rule("POST /jobs", name="jobs", expires="2030-01-01T00:01:00Z", task={})).accept()
    world.now = 60
    assert outcomes([world.post(), world.get(at)]) == ["200 app", "200 jobs"]


def test_chance_decides_who_is_accepted_and_not_what_is_told(world: World) -> None:
    world.serve(Rule("POST /jobs", name="jobs", probability=0, task={}))
    assert outcome(world.post()) == "200 app"
    assert outcome(world.get(f"/jobs/{ids_of()}")) == "200 jobs"


def slept(world: World, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays that were asked for since, none of which is waited for."""
    delays: list[float] = []

    async def sleep(delay_s: float) -> None:
        delays.append(delay_s)

    monkeypatch.setattr("anyio.sleep", sleep)
    monkeypatch.setattr("time.sleep", delays.append)
    return delays


def test_a_delay_holds_back_what_is_accepted_and_a_trigger_any_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(Rule("GET,POST /jobs", name="jobs", delay="2s", task={"dialect": "github"}))
    delays = slept(world, monkeypatch)
    world.get("/jobs")
    world.get("/jobs")
    assert delays == [2.0, 2.0]
    world.serve().get(world.accept(), ("X-Mock-Delay", "3s"))
    assert delays == [2.0, 2.0, 3.0]


def test_who_waits_is_held_back_until_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.serve(Rule("POST /jobs", name="jobs", delay="2s", task={"duration": "20s"}))
    delays = slept(world, monkeypatch)
    assert world.post("/jobs", ("Prefer", "wait=20")).status == 200
    assert world.post("/jobs", ("Prefer", "wait=19")).status == 202
    assert delays == [22.0, 2.0]


# Bounds


def test_a_body_that_is_too_long_to_be_looked_at_is_accepted_all_the_same(world: World) -> None:
    at = world.serve(duration="0s", result={"json": "{{ accepted.json.n }}"}).accept(body=b"1" * (1 << 21))
    problem(world.get(at), 500, "the template in `body`")


def test_what_does_not_fit_into_a_record_is_refused(world: World) -> None:
    result = {"json": "{{ accepted.headers.x }}{{ accepted.json }}"}
    world.serve(result=result, duration="0s")
    fields = [(f"X-{n}", "é" * 8000) for n in range(8)]
    refused = world.post("/jobs", *fields, json="x" * ((1 << 20) - 100))
    problem(refused, 413, "bytes that are kept of a request for templates")
    assert world.post("/jobs", *fields, json="x").status == 202
