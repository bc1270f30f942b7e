"""The control API on both interfaces: what it shows, what it changes, what it refuses, and when that ends.

One table of requests runs through both sides, whose answers must be equal; the clock is the test's own.
"""

import io
import json
import logging
import os
import re
import shlex
import threading
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.by_hand import (
    Answer,
    Environ,
    Receive,
    Scope,
    Send,
    Sent,
    Wire,
    events_of,
    handshake_of,
    over_asgi,
    over_wsgi,
    run,
    scope_of,
)

import mockware
from mockware import ConfigError, Rule, waiting
from mockware.attempts import MAX_WRONG, WINDOW_S
from mockware.changes import MAX_CHANGES, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH, Change
from mockware.control_api import ControlAPI
from mockware.control_journal import MAX_STREAMS, NEWS_S, QUIET_S, Events
from mockware.control_messages import MAX_BODY_BYTES
from mockware.journal import REDACTED
from mockware.messages import Request, Response

KEY = "correct horse"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
BY = {"by": "ada", "why": "demo"}
START = 1_800_000_000.0
HOUR = 3600.0
PATIENCE_S = 30.0  # a failure bound

RULES = [
    Rule("GET /a", name="a", tags=["first"], status=503),
    Rule("POST /b", status=409),
    Rule("GET /c", name="c", tags=["first", "second"], when={"headers": {"x-tenant": "acme"}}, status=410),
    Rule("GET /counted", name="counted", times=3),
]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"app", "more_body": False})


def wsgi_app(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app"]


class Control:
    """An app behind rules, its control API, and a clock that stands still until it is set."""

    def __init__(self, interface: str, rules: Any = RULES, **environ: str) -> None:
        self.interface = interface
        self.now = START
        app: Any = asgi_app if interface == "ASGI" else wsgi_app
        environ = {"MOCKWARE": "on", "MOCKWARE_CONTROL": "/_m", "MOCKWARE_KEY": KEY, **environ}
        self.app = mockware.wrap(app, rules=rules, environ=environ, clock=lambda: self.now)

    def send(self, sent: Sent) -> Answer:
        ask: Callable[..., Answer] = over_asgi if self.interface == "ASGI" else over_wsgi
        more = {"REMOTE_ADDR": "127.0.0.1"} if self.interface == "WSGI" else {}
        return ask(self.app, sent, **more)

    def ask(
        self,
        method: str,
        place: str,
        sent: Any = None,
        *,
        headers: Mapping[str, str] = AUTHORIZED,
        query: str = "",
    ) -> Answer:
        fields = dict(headers)
        body = b"" if sent is None else sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        if body:
            fields.setdefault("Content-Type", "application/json")
        pieces = (body,) if body else ()
        return self.send(Sent(method, f"/_m/api{place}", query, tuple(fields.items()), pieces))

    def told(self, method: str, place: str, sent: Any = None, status: int = 200, query: str = "") -> Any:
        answer = self.ask(method, place, sent, query=query)
        assert answer.status == status, answer
        return json.loads(answer.body)

    def status(self, path: str = "/a", method: str = "GET", **headers: str) -> int:
        fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return self.send(Sent(method, path, headers=fields)).status

    def look(self) -> None:
        self.app._installation.look(lambda _: None)

    def listed(self, name: str) -> Any:
        (found,) = [rule for rule in self.told("GET", "/rules")["rules"] if rule["name"] == name]
        return found


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mockware.lookout.watch", lambda watcher: None)


@pytest.fixture(params=["ASGI", "WSGI"])
def control(request: pytest.FixtureRequest) -> Control:
    return Control(request.param)


# ---- what there is


def test_every_rule_is_listed_with_what_it_does_and_how_often_it_did(control: Control) -> None:
    assert (control.status("/a"), control.status("/a")) == (503, 503)
    told = control.told("GET", "/rules")
    assert (told["scope"], told["store"], told["problems"], told["store_away"]) == (
        "process",
        "memory:",
        [],
        False,
    )
    assert [rule["name"] for rule in told["rules"]] == ["a", "POST /b", "c", "counted"]
    first = told["rules"][0]
    assert first["action"] == {"kind": "reply", "status": 503, "summary": "503 Service Unavailable"}
    assert (first["hits"], first["last_hit"]) == (2, "2027-01-15T08:00:00.000Z")
    assert (first["on"], first["declared_on"], first["change"], first["tags"]) == (
        True,
        True,
        None,
        ["first"],
    )
    assert told["rules"][1]["hits"] == 0


def test_one_rule_is_told_with_all_that_it_declares(control: Control) -> None:
    assert control.told("GET", "/rules/c")["rule"] == {
        "name": "c",
        "match": "GET /c",
        "tags": ["first", "second"],
        "when": {"headers": {"x-tenant": "acme"}},
        "status": 410,
    }
    assert control.told("GET", "/rules/POST%20%2Fb")["match"] == "POST /b"
    assert "did you mean `c`" in control.told("GET", "/rules/C", status=404)["detail"]


# ---- switches


def test_a_rule_is_switched_off_and_on_and_goes_back_by_itself(control: Control) -> None:
    told = control.told("PATCH", "/rules/a", {"on": False, "for": "30m", **BY})
    assert told["change"] == {
        "on": False,
        "by": "ada",
        "why": "demo",
        "at": "2027-01-15T08:00:00.000Z",
        "until": "2027-01-15T08:30:00.000Z",
        "uses": None,
        "uses_left": None,
        "beneath": None,
    }
    assert control.status("/a") == 200
    control.now += 1799
    control.look()
    assert control.status("/a") == 200
    control.now += 1
    control.look()
    assert control.status("/a") == 503
    assert control.listed("a")["change"] is None


def test_a_switch_compiles_no_rule_but_its_own(control: Control) -> None:
    installation = control.app._installation
    before = installation.snapshot.rules
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    after = installation.snapshot.rules
    assert [old is new for old, new in zip(before, after, strict=True)] == [False, True, True, True]
    control.told("PUT", "/rules/new", {"rule": {"match": "/new"}, **BY}, 201)
    assert [rule in after for rule in installation.snapshot.rules] == [False, False, True, True, True]
    assert [control.status(path) for path in ("/a", "/counted", "/new")] == [200, 202, 202]


def test_a_change_without_a_time_lasts_a_working_day(control: Control) -> None:
    assert control.told("PATCH", "/rules/a", {"on": False, **BY})["change"]["until"].startswith(
        "2027-01-15T16:00"
    )


@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_what_the_environment_has_turned_off_is_turned_on_for_a_while(interface: str) -> None:
    control = Control(interface, MOCKWARE="c")
    assert (control.status("/a"), control.listed("a")["declared_on"]) == (200, False)
    assert control.told("PATCH", "/rules/a", {"on": True, "for": "1m", **BY})["on"] is True
    assert control.status("/a") == 503
    control.now += 60  # nobody has looked yet, and its time is over nevertheless
    assert control.status("/a") == 200


def test_a_tag_switches_all_rules_that_have_it(control: Control) -> None:
    told = control.told("PATCH", "/tags/first", {"on": False, **BY})
    assert [(rule["name"], rule["on"]) for rule in told["rules"]] == [("a", False), ("c", False)]
    assert control.status("/a") == 200
    assert "did you mean `second`" in control.told("PATCH", "/tags/secnd", {"on": False, **BY}, 404)["detail"]


def test_a_change_is_taken_back_and_so_are_all_of_them(control: Control) -> None:
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    assert control.told("DELETE", "/rules/a", query="by=ada&why=done")["rules"][0]["on"] is True
    assert control.status("/a") == 503
    control.told("DELETE", "/rules/a", status=422, query="by=ada&why=done")
    control.told("PATCH", "/tags/first", {"on": False, **BY})
    control.told("PUT", "/rules/new", {"rule": {"match": "/new"}, **BY}, 201)
    control.told("POST", "/reset", BY)
    assert [rule["change"] for rule in control.told("GET", "/rules")["rules"]] == [None] * len(RULES)
    assert (control.status("/a"), control.status("/new")) == (503, 200)


@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_a_change_whose_rule_has_left_the_file_is_taken_back(interface: str, tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text('[[rules]]\nname = "a"\nmatch = "/a"\nstatus = 503\n')
    control = Control(interface, rules=path)
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    path.write_text("rules = []\n")
    control.look()
    control.told("GET", "/rules/a", status=404)
    assert control.told("DELETE", "/rules/a", query="by=ada&why=done") == {"rules": []}
    control.told("DELETE", "/rules/a", status=404, query="by=ada&why=done")
    path.write_text('[[rules]]\nname = "a"\nmatch = "/a"\nstatus = 410\n')
    control.look()
    assert control.status("/a") == 410


def test_who_says_it_in_the_wrong_place_is_told_the_right_one(control: Control) -> None:
    for sent in (None, BY):
        found = control.told("DELETE", "/rules/a", sent, 422)["problems"]
        assert [problem["key"] for problem in found] == ["by", "why"]
        assert all(problem["message"].startswith("required in the query, as in") for problem in found)
    assert control.ask("POST", "/reset", query="by=ada&why=done").status == 415
    told = control.told("POST", "/reset", status=415, query="by=ada&why=done")
    assert told["detail"] == "send a table of JSON with by, why, and `Content-Type: application/json`"
    for method, place in (("PUT", "/rules/new"), ("POST", "/rules"), ("POST", "/validate")):
        (problem,) = control.told(method, place, {"match": "/new"}, 422)["problems"]
        assert (problem["key"], problem["message"]) == ("match", "no such key here; put it into `rule`")


def test_a_rule_that_is_off_is_not_had_by_its_name_either(control: Control) -> None:
    headers = {"x_mock_name": "a", "x_mock_key": KEY}
    assert control.status("/elsewhere", **headers) == 503
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    assert control.status("/elsewhere", **headers) == 400


# ---- rules at run time


def test_a_rule_is_added_replaced_and_taken_away(control: Control) -> None:
    assert control.status("/new") == 200
    answer = control.ask("PUT", "/rules/new", {"rule": {"match": "/new", "status": 418}, **BY})
    assert (answer.status, answer.one("location")) == (201, "/_m/api/rules/new")
    assert control.status("/new") == 418
    told = control.told("PUT", "/rules/new", {"rule": {"match": "/new", "status": 451}, **BY})
    assert (told["runtime"], told["declared_on"], told["source"]) == (True, None, "run time")
    assert control.status("/new") == 451
    assert control.told("PATCH", "/rules/new", {"on": False, **BY})["runtime"] is True
    assert control.status("/new") == 200
    control.told("DELETE", "/rules/new", query="by=ada&why=done")
    control.told("GET", "/rules/new", status=404)


def test_a_declared_rule_is_replaced_for_a_while(control: Control) -> None:
    told = control.told("PUT", "/rules/a", {"rule": {"match": "GET /a", "status": 500}, "for": "1m", **BY})
    assert (told["declared_on"], told["runtime"]) == (True, True)
    assert control.status("/a") == 500
    control.told("PUT", "/rules/POST%20%2Fb", {"rule": {"match": "POST /b", "status": 501}, **BY})
    assert control.status("/b", "POST") == 501
    control.now += 60
    control.look()
    assert control.status("/a") == 503


def test_what_is_added_comes_before_the_files_and_the_newest_first(control: Control) -> None:
    control.told("POST", "/rules", {"rule": {"name": "one", "match": "/a", "status": 501}, **BY}, 201)
    control.now += 1
    control.told("POST", "/rules", {"rule": {"match": "/{all:path}", "status": 502}, **BY}, 201)
    assert [rule["name"] for rule in control.told("GET", "/rules")["rules"]][:3] == [
        "/{all:path}",
        "one",
        "a",
    ]
    assert control.status("/a") == 502


def test_the_control_page_and_what_is_never_touched_stay_out_of_any_rules_reach(tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text('never = ["/{all:path}"]\n[[rules]]\nmatch = "/a"\n')
    control = Control("ASGI", path)
    control.told("POST", "/rules", {"rule": {"match": "/{all:path}", "status": 502}, **BY}, 201)
    assert control.status("/a") == 200
    assert control.told("GET", "/rules")["rules"][0]["name"] == "/{all:path}"


def test_a_number_of_uses_ends_a_rule_exactly(control: Control) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "status": 418}, "uses": 2, **BY}, 201)
    assert control.listed("new")["change"]["uses_left"] == 2
    control.told("POST", "/explain", {"path": "/new"})
    assert control.listed("new")["change"]["uses_left"] == 2  # to ask is no use
    assert [control.status("/new") for _ in range(3)] == [418, 418, 200]
    assert control.listed("new")["change"]["uses_left"] == 0
    control.look()
    control.told("GET", "/rules/new", status=404)


def test_a_rule_of_run_time_is_as_it_was_added_after_a_switch(control: Control) -> None:
    rule = {"match": "/new", "status": 418}
    added = {"rule": rule, "for": "168h", "by": "bob", "why": "a week's demo"}
    before = control.told("PUT", "/rules/new", added, 201)["change"]
    told = control.told("PATCH", "/rules/new", {"on": False, "for": "5m", **BY})
    assert (told["change"]["by"], told["change"]["beneath"]) == ("ada", before)
    told = control.told("PATCH", "/rules/new", {"on": False, "for": "10m", **BY})  # a switch of a switch
    assert told["change"]["beneath"] == before
    assert control.status("/new") == 200
    control.now += 600
    control.look()
    assert (control.status("/new"), control.listed("new")["change"]) == (418, before)
    control.now = START + 168 * HOUR
    control.look()
    control.told("GET", "/rules/new", status=404)


def test_a_switch_grants_no_uses_beyond_those_that_were_given(control: Control) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "status": 418}, "uses": 2, **BY}, 201)
    assert control.status("/new") == 418
    control.told("PATCH", "/rules/new", {"on": False, **BY})
    assert control.status("/new") == 200
    told = control.told("PATCH", "/rules/new", {"on": True, "for": "168h", **BY})
    assert (told["change"]["uses_left"], told["change"]["until"]) == (1, "2027-01-15T16:00:00.000Z")
    assert [control.status("/new") for _ in range(3)] == [418, 200, 200]
    control.look()
    control.told("GET", "/rules/new", status=404)


def test_a_switch_that_outlasts_what_it_switches_takes_it_along(control: Control) -> None:
    added = {"rule": {"match": "GET /a", "status": 418}, "for": "1m", **BY}
    control.told("PUT", "/rules/a", added)
    control.told("PATCH", "/rules/a", {"on": False, "for": "2m", **BY})
    control.now += 60
    control.look()
    assert control.status("/a") == 200
    control.now += 60
    control.look()
    assert (control.status("/a"), control.listed("a")["change"]) == (503, None)


@pytest.mark.parametrize(
    ("place", "sent", "said"),
    [
        ("/rules/a", {"on": False, "uses": 1}, "a rule that is off is not used"),
        ("/rules/a", {"on": True, "uses": 1}, "the rule is on without this switch"),
        ("/rules/new", {"on": True, "uses": 1}, "the rule is on without this switch"),
        ("/rules/counted", {"on": True, "uses": 1}, "counts its answers already"),
    ],
)
def test_uses_that_mean_nothing_are_refused(control: Control, place: str, sent: Any, said: str) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new"}, **BY}, 201)
    (problem,) = control.told("PATCH", place, {**sent, **BY}, 422)["problems"]
    assert problem["key"] == "uses"
    assert said in problem["message"]


# ---- what is refused


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ({}, ["by", "why"]),
        ({"by": " ", "why": 3}, ["by", "why"]),
        ({**BY, "for": "8"}, ["for"]),
        ({**BY, "for": "169h"}, ["for"]),
        ({**BY, "for": "0s"}, ["for"]),
        ({**BY, "for": 5, "uses": 0}, ["for", "uses"]),
        ({**BY, "uses": True}, ["uses"]),
        ({**BY, "wyh": "x"}, ["wyh"]),
        ({"by": "x" * 201, "why": "y"}, ["by"]),
    ],
)
def test_a_change_that_does_not_say_who_why_and_until_is_refused(
    control: Control, sent: dict[str, Any], keys: list[str]
) -> None:
    told = control.told("PATCH", "/rules/a", {"on": False, **sent}, 422)
    assert [problem["key"] for problem in told["problems"]] == keys
    assert control.status("/a") == 503


def test_every_problem_of_a_rule_and_of_its_change_comes_at_once(control: Control) -> None:
    rule = {"match": "new", "statsu": 3, "status": 99}
    told = control.told("PUT", "/rules/new", {"rule": rule, "by": "ada"}, 422)
    assert {problem["key"] for problem in told["problems"]} == {"why", "match", "statsu", "status"}
    assert control.told("POST", "/validate", {"rule": rule})["valid"] is False
    assert control.told("POST", "/validate", {"rule": {"match": "/new"}}) == {"valid": True, "problems": []}


@pytest.mark.parametrize(
    "rule",
    [
        {"file": "/etc/passwd"},
        {"replies": [{"file": "/etc/passwd"}]},
        {"task": {"result": {"file": "/etc/passwd"}}},
        {"task": {"webhook": {"url": "http://a.test", "secret_env": "MOCKWARE_KEY"}}},
    ],
)
def test_a_rule_from_a_request_reads_neither_files_nor_the_environment(control: Control, rule: Any) -> None:
    told = control.told("PUT", "/rules/new", {"rule": {"match": "POST /new", **rule}, **BY}, 422)
    (problem,) = told["problems"]
    assert problem["key"].endswith(("file", "secret_env"))


def test_a_name_in_the_rule_and_in_the_path_are_the_same(control: Control) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "name": "other"}, **BY}, 422)
    control.told("PUT", "/rules/no%20name", {"rule": {"match": "/new"}, **BY}, 422)


def test_there_is_room_for_so_many_changes_and_so_long_rules(control: Control) -> None:
    runtime = control.app._installation.runtime
    control.told("PUT", "/rules/new", {"rule": {"match": "/n", "text": "x" * MAX_DOCUMENT_BYTES}, **BY}, 422)
    now, until = control.now, control.now + HOUR
    runtime.set([Change(f"{i}", f"rule{i}", False, "a", "b", now, until) for i in range(MAX_CHANGES)])
    control.told("PATCH", "/rules/a", {"on": False, **BY}, 422)


@pytest.mark.parametrize("key", ["json", "when"])
def test_a_rule_that_is_nested_deeper_than_can_be_handled_is_refused(control: Control, key: str) -> None:
    def rule(depth: int) -> bytes:
        nested = '{"a":' * depth + "1" + "}" * depth
        shown = nested if key == "json" else f'{{"json": {nested}}}'
        return f'{{"rule": {{"match": "/z", "{key}": {shown}}}, "by": "a", "why": "b"}}'.encode()

    around = 1 if key == "json" else 2
    control.told("POST", "/rules", rule(MAX_DOCUMENT_DEPTH - around), 201)
    for place in ("/rules/%2Fz", "/export", "/rules"):
        assert control.ask("GET", place).status == 200
    control.told("POST", "/explain", {"path": "/z"})
    for depth in (MAX_DOCUMENT_DEPTH - around + 1, 300, 900, 5000):
        assert control.ask("POST", "/rules", rule(depth)).status in (400, 422), depth


# ---- who may


def test_without_the_key_nothing_is_said_but_that_it_is_needed(control: Control) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
    ):
        for method, place in (
            ("GET", "/rules"),
            ("GET", "/nowhere"),
            ("OPTIONS", "/rules"),
            ("PUT", "/events"),
        ):
            if headers.get("Authorization") == "Bearer wrong" and method != "GET":
                continue
            answer = control.ask(method, place, headers=headers)
            assert (answer.status, answer.one("www-authenticate")) == (401, "Bearer")
            assert not [name for name, _ in answer.fields if name.startswith("access-control")]
            assert KEY.encode() not in answer.body


def test_wrong_keys_are_counted_and_then_even_the_right_one_waits(control: Control) -> None:
    ticks = [0.0]
    control.app._api = ControlAPI(control.app._installation, ticks=lambda: ticks[0])
    for i in range(MAX_WRONG):
        wrong = {"Authorization": f"Bearer wrong {i}"}
        assert control.ask("GET", "/rules", headers=wrong).status == 401
    answer = control.ask("GET", "/rules")
    assert (answer.status, answer.one("retry-after")) == (429, "61")
    ticks[0] = WINDOW_S
    assert control.ask("GET", "/rules").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://mock.test"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[mock.test"}, 403),
        ({"Origin": "https://MOCK.test"}, 200),
    ],
)
def test_a_page_of_another_origin_is_turned_away_with_the_right_key(
    control: Control, headers: dict[str, str], status: int
) -> None:
    assert control.ask("POST", "/reset", BY, headers={**AUTHORIZED, **headers}).status == status


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json-x", ""]
)
def test_only_json_is_taken(control: Control, media_type: str) -> None:
    headers = {**AUTHORIZED, "Content-Type": media_type}
    assert control.ask("POST", "/reset", BY, headers=headers).status == 415


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"by": NaN}', 400),
        (b'{"by": ' + b"9" * 10_000 + b"}", 400),
        (b"[]", 422),
        (b'{"by": "\\ud800", "why": "\\u0000"}', 200),
        (b" " * (MAX_BODY_BYTES + 1), 413),
        (b" " * (2 * 1024 * 1024), 413),
    ],
)
def test_what_is_no_table_is_refused_in_words(control: Control, sent: bytes, status: int) -> None:
    answer = control.ask("POST", "/reset", sent)
    assert answer.status == status
    if status >= 400:
        assert answer.one("content-type") == "application/problem+json"


def test_every_answer_is_kept_from_caches_and_sniffers(control: Control) -> None:
    for place in ("/rules", "/nowhere", "/openapi.json", "/export", "/journal"):
        answer = control.ask("GET", place)
        assert answer.one("cache-control") == "no-store"
        assert answer.one("x-content-type-options") == "nosniff"
        head = control.ask("HEAD", place)
        assert (head.status, head.fields, head.body) == (answer.status, answer.fields, b"")


def test_another_method_is_told_which_are_allowed(control: Control) -> None:
    answer = control.ask("DELETE", "/rules")
    assert (answer.status, answer.one("allow")) == (405, "GET, HEAD, POST")
    assert control.ask("GET", "/tags/first").one("allow") == "PATCH"


def test_the_start_is_refused_without_a_key_and_with_a_prefix_that_is_none() -> None:
    with pytest.raises(ConfigError, match="MOCKWARE_KEY"):
        Control("ASGI", MOCKWARE_KEY="")
    for prefix in ("/", "x", "/a b", "/{a}", "/a//b", "/..", "/a?b", "/ä"):
        with pytest.raises(ConfigError, match="MOCKWARE_CONTROL"):
            Control("ASGI", MOCKWARE_CONTROL=prefix)


def test_without_the_variable_the_paths_are_the_apps_own() -> None:
    for interface in ("ASGI", "WSGI"):
        assert Control(interface, MOCKWARE_CONTROL="").ask("GET", "/rules").body == b"app"


# ---- explain, export, journal, events


def test_a_request_is_explained_as_the_command_does(control: Control) -> None:
    told = control.told("POST", "/explain", {"method": "GET", "path": "/a?x=1", "headers": {"x-a": "b"}})
    (answer,) = told["answers"]
    assert (answer["share"], answer["response"]["status"]) == (1.0, 503)
    assert {miss["label"] for miss in told["misses"]} > {"rule 3 'c' of rules="}
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    told = control.told("POST", "/explain", {"path": "/a"})
    assert told["answers"][0]["who"] == "the app"
    (why,) = [miss["reason"] for miss in told["misses"] if "'a'" in miss["label"]]
    assert why == "off, switched off by ada: demo"


def test_the_uses_that_a_change_has_left_are_explained(control: Control) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "status": 418}, "uses": 2, **BY}, 201)
    for turns in (["times 1 to 2", ""], ["time 1", ""], [""]):
        told = control.told("POST", "/explain", {"path": "/new"})
        assert ([answer["turn"] for answer in told["answers"]], told["notes"]) == (turns, [])
        control.status("/new")
    assert {"label": "rule 'new' of run time", "reason": "off, used up: 2 uses"} in [
        {**miss, "label": miss["label"].replace(" 1 ", " ")} for miss in told["misses"]
    ]


def test_wrong_keys_are_told_of_after_an_explanation_as_before(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"X-Mock-Status": "503", "X-Mock-Key": "wrong"}
    control.told("POST", "/explain", {"path": "/a", "headers": wrong})
    assert not [line for line in caplog.messages if line.startswith("wrong keys")]
    control.send(Sent("GET", "/elsewhere", headers=tuple(wrong.items())))
    assert len([line for line in caplog.messages if line.startswith("wrong keys")]) == 1


@pytest.mark.parametrize(
    "sent",
    [{}, {"path": 3}, {"path": "a"}, {"path": "/a", "headers": {"a b": "c"}}, {"path": "/a", "headers": []}],
)
def test_what_is_no_request_cannot_be_explained(control: Control, sent: Any) -> None:
    control.told("POST", "/explain", sent, 422)


@pytest.mark.parametrize("form", ["toml", "json"])
def test_the_present_rules_are_exported_as_a_file_that_loads_again(
    control: Control, form: str, tmp_path: Path
) -> None:
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "json": {"a": "ü\x7f\n"}}, **BY}, 201)
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    answer = control.ask("GET", "/export", query=f"format={form}")
    assert f'filename="mocks.{form}"' in answer.one("content-disposition")
    path = tmp_path / f"mocks.{form}"
    path.write_bytes(answer.body)
    again = Control(control.interface, path)
    names = [rule["name"] for rule in again.told("GET", "/rules")["rules"]]
    assert names == ["new", "POST /b", "c", "counted"]
    assert again.told("GET", "/rules/new")["rule"]["json"] == {"a": "ü\x7f\n"}


def test_toml_says_what_is_off_and_refuses_what_it_has_no_word_for(control: Control) -> None:
    control.told("PATCH", "/rules/a", {"on": False, "by": "eve\n[[rules]]", "why": "x"})
    text = control.ask("GET", "/export").body.decode()
    assert text.startswith("# off: a, switched off by eve [[rules]]: x\n")
    assert len(tomllib.loads(text)["rules"]) == 3
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "json": None}, **BY}, 201)
    control.told("GET", "/export", status=422)
    control.told("GET", "/export", status=400, query="format=xml")
    assert control.told("GET", "/export", query="format=json")["rules"][0]["json"] is None


def test_the_journal_has_what_was_mocked_and_nearly_was_and_no_secret(control: Control) -> None:
    control.status("/a", authorization="Bearer s3cret", cookie="s=s3cret", x_api_key="s3cret", x_shown="yes")
    control.status("/elsewhere")
    control.status("/c", x_tenant="other")
    answer = control.ask("GET", "/journal")
    (entry,) = json.loads(answer.body)["entries"]
    assert (entry["rule"], entry["method"], entry["path"], entry["status"]) == ("a", "GET", "/a", 503)
    assert entry["headers"]["x-shown"] == "yes"
    assert "body" not in entry
    assert b"s3cret" not in answer.body
    (miss,) = control.told("GET", "/journal", query="misses=1")["misses"]
    assert (miss["rule"], miss["field"], miss["found"]) == ("c", "when.headers.x-tenant", "'other'")
    assert control.told("GET", "/journal", query="rule=c")["entries"] == []
    assert control.told("GET", "/journal", query=f"after={entry['id']}")["entries"] == []


@pytest.mark.parametrize(("when", "kept"), [("", None), ("when = { json = { a = 1 } }", '{"a": 1}')])
def test_a_body_is_kept_if_a_rule_has_looked_at_it(
    when: str, kept: str | None, control: Control, tmp_path: Path
) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text(f'[journal]\nbodies = true\n[[rules]]\nmatch = "/b"\n{when}\n')
    control = Control(control.interface, path)
    sent = Sent("POST", "/b", headers=(("Content-Type", "application/json"),), body=(b'{"a": 1}',))
    assert control.send(sent).status == 202
    (entry,) = control.told("GET", "/journal")["entries"]
    assert entry.get("body") == kept


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "`limit` is a whole number from 1 to 500, not '0'"),
        ("after=-1", "`after` is a whole number from 0 on, not '-1'"),
    ],
)
def test_a_number_that_is_out_of_bounds_is_told_them(control: Control, query: str, detail: str) -> None:
    assert control.told("GET", "/journal", status=400, query=query)["detail"] == detail


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff" * 5000,
        b'"' + b"\x01" * 5000,
        b"[" * 100_000,
        b"x" * 5000,
        b"1" * 5000,
        b'{"a": 1e}' + b"y" * 5000,
        b"-Infinity",
    ],
)
def test_what_is_no_json_is_told_why_and_not_repeated(control: Control, sent: bytes) -> None:
    detail = control.told("POST", "/reset", sent, status=400)["detail"]
    assert re.fullmatch("not JSON: .{10,250}", detail)


def test_what_is_not_on_the_path_of_a_task_has_not_missed_it(control: Control) -> None:
    rule = Rule("POST /exports", name="exports", task={"duration": "1s"})
    control = Control(control.interface, [rule])
    assert control.status("/exports/xyz") == 200
    assert control.told("GET", "/journal", query="misses=1")["misses"] == []
    assert control.status("/exports") == 200
    (miss,) = control.told("GET", "/journal", query="misses=1")["misses"]
    assert (miss["rule"], miss["field"]) == ("exports", "method")


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "after=-1", "misses=2", "limit=%D9%A3"])
def test_a_wrong_parameter_of_the_journal_is_refused(control: Control, query: str) -> None:
    control.told("GET", "/journal", status=400, query=query)


@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_whoever_may_read_mocks_may_not_read_the_control_api(interface: str, tmp_path: Path) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text(
        'cors = { origins = ["https://app.test"], credentials = true }\n[[rules]]\nmatch = "/a"\n'
    )
    control = Control(interface, str(file))
    origin = {"Origin": "https://app.test"}
    asked = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, x-mock-status",
    }
    assert control.send(Sent("OPTIONS", "/a", headers=tuple(asked.items()))).status == 204
    for answer, status in [
        (control.ask("OPTIONS", "/reset", headers=asked), 401),
        (control.ask("OPTIONS", "/reset", headers={**asked, **AUTHORIZED}), 403),
        (control.ask("GET", "/rules", headers={**origin, **AUTHORIZED}), 403),
        (control.send(Sent("OPTIONS", "/_m/", headers=tuple(asked.items()))), 405),
        (control.send(Sent("GET", "/_m/", headers=tuple(origin.items()))), 200),
    ]:
        assert answer.status == status
        assert not [name for name, _ in answer.fields if name.startswith("access-control")]


def test_a_name_that_was_made_to_lead_here_gets_nowhere_without_the_key(control: Control) -> None:
    # DNS rebinding: the attacker's name has our address, and for the browser its page is of our origin.
    fields = {"Host": "evil.test:8000", "Origin": "http://evil.test:8000", "Sec-Fetch-Site": "same-origin"}
    for method, place, sent in [("GET", "/rules", None), ("POST", "/reset", BY), ("POST", "/cookie", WISH)]:
        assert control.ask(method, place, sent, headers=fields).status == 401


@pytest.mark.parametrize(("key", "weak"), [("k" * 15, True), ("k" * 16, False)])
def test_a_key_that_can_be_guessed_is_told_of_at_the_start(
    key: str, weak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Control("ASGI", MOCKWARE_KEY=key)
    assert ("MOCKWARE_KEY has fewer than 16 characters, and can be guessed" in caplog.text) == weak
    assert key not in caplog.text


# ---- the cookie of a browser

LONG_KEY = "correct horse battery"
WISH = {"status": "503", "by": "ada"}


class Cookies(Control):
    """The control API of an app whose rules file has a cookie for a trigger."""

    def __init__(self, interface: str, folder: Path, table: str = 'cookie = "mock"', **environ: str) -> None:
        file = folder / "mocks.toml"
        file.write_text(f"[trigger]\n{table}\n")
        super().__init__(interface, str(file), **{"MOCKWARE_KEY": LONG_KEY, **environ})

    def ask(self, method: str, place: str, sent: Any = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.app._installation.environment.key}"}
        return super().ask(method, place, sent, **{"headers": headers, **more})


@pytest.fixture(params=["ASGI", "WSGI"])
def cookies(request: pytest.FixtureRequest, tmp_path: Path) -> Cookies:
    return Cookies(request.param, tmp_path)


def test_a_cookie_is_made_that_mocks_until_it_ends_and_then_no_more(cookies: Cookies) -> None:
    assert cookies.told("GET", "/cookie") == {"name": "mock", "unavailable": ""}
    made = cookies.told("POST", "/cookie", {**WISH, "paths": ["/a", "/api/*"], "for": "15m"})
    assert (made["name"], made["asks"], made["max_age_s"]) == ("mock", "503", 900)
    assert made["expires"] == "2027-01-15T08:15:00.000Z"
    assert made["allows"].startswith(
        "the statuses 503, no rule by name and delays of at most 0s, on /a, /api/*"
    )
    assert re.fullmatch(r"503%3Bkey%3D[A-Za-z0-9._-]+", made["value"])
    cookie = f"other=1; mock={made['value']}"
    assert [cookies.status(path, cookie=cookie) for path in ("/a", "/api/7", "/b")] == [503, 503, 200]
    assert cookies.status("/a") == 200
    # The page is none of its matter.
    assert cookies.ask("GET", "/rules").status == 200
    cookies.now = START + 899
    assert cookies.status("/a", cookie=cookie) == 503
    cookies.now = START + 900
    assert cookies.status("/a", cookie=cookie) == 200


def test_a_cookie_is_for_an_hour_unless_it_says_otherwise(cookies: Cookies) -> None:
    for wish in (WISH, {**WISH, "for": None, "paths": None}):
        assert cookies.told("POST", "/cookie", wish)["max_age_s"] == HOUR


def test_a_cookie_may_draw_and_its_token_goes_no_further(cookies: Cookies) -> None:
    made = cookies.told("POST", "/cookie", {**WISH, "status": " 503:1 , passthrough:0,404:0 "})
    assert made["asks"] == "503:1,passthrough:0,404:0"
    assert cookies.status("/a", cookie=f"mock={made['value']}") == 503
    token = unquote(made["value"]).partition(";key=")[2]
    for fields, status in [
        ({"x_mock_status": "404"}, 404),
        ({"x_mock_status": "410"}, 403),
        ({"x_mock_name": "a"}, 403),
        ({"x_mock_delay": "1ms"}, 403),
    ]:
        assert cookies.status("/a", x_mock_key=token, **fields) == status
    # It opens nothing here.
    refused = cookies.ask("GET", "/rules", headers={"Authorization": f"Bearer {token}"})
    assert refused.status == 401


def test_a_cookie_is_for_the_service_that_made_it(tmp_path: Path) -> None:
    orders = Cookies("ASGI", tmp_path, MOCKWARE_SERVICE="orders")
    made = orders.told("POST", "/cookie", WISH)
    cookie = f"mock={made['value']}"
    assert orders.status("/a", cookie=cookie) == 503
    assert Cookies("ASGI", tmp_path, MOCKWARE_SERVICE="billing").status("/a", cookie=cookie) == 200
    assert Cookies("ASGI", tmp_path, MOCKWARE_KEY="another horse battery").status("/a", cookie=cookie) == 200


@pytest.mark.parametrize(
    ("wish", "key", "said"),
    [
        ({"by": "ada"}, "status", "required, but absent"),
        ({**WISH, "status": 503}, "status", "expected a string"),
        ({**WISH, "status": "99"}, "status", "expected a status from 200 to 599"),
        ({**WISH, "status": "410"}, "status", "these statuses only: 404, 503"),
        ({**WISH, "paths": "/a"}, "paths", "expected a list of strings"),
        ({**WISH, "paths": ["a"]}, "paths", "a path starts with `/`"),
        ({**WISH, "paths": ["/a"] * 21}, "paths", "at most 20"),
        ({**WISH, "paths": ["/" + "".join(map(str, range(1000)))]}, "", "allow less"),
        ({**WISH, "for": "169h"}, "for", "168h (7 days) at most"),
        ({**WISH, "for": "10ms"}, "for", "1s at least"),
        ({**WISH, "for": 5}, "for", "unit"),
        ({"status": "503"}, "by", "required, but absent"),
        ({**WISH, "by": " "}, "by", "expected some words"),
        ({**WISH, "who": "x"}, "who", "no such key"),
    ],
)
def test_a_cookie_that_cannot_be_made_is_refused_in_words(
    wish: Any, key: str, said: str, tmp_path: Path
) -> None:
    cookies = Cookies("ASGI", tmp_path, 'cookie = "mock"\nstatuses = [404, 503]')
    (problem,) = cookies.told("POST", "/cookie", wish, 422)["problems"]
    assert problem["key"] == key
    assert said in problem["message"]


@pytest.mark.parametrize(
    ("table", "secret", "said"),
    [
        ("enabled = false", LONG_KEY, "triggers are off"),
        ('query = "mock"', LONG_KEY, "no cookie is a trigger here"),
        ('cookie = "mock"', "k" * 15, "MOCKWARE_KEY is shorter than 16 characters"),
    ],
)
def test_where_there_is_no_cookie_the_reason_is_told(
    table: str, secret: str, said: str, tmp_path: Path
) -> None:
    cookies = Cookies("ASGI", tmp_path, table, MOCKWARE_KEY=secret)
    told = cookies.told("GET", "/cookie")
    assert told["name"] is None
    assert said in told["unavailable"]
    (problem,) = cookies.told("POST", "/cookie", WISH, 422)["problems"]
    assert said in problem["message"]


def test_a_cookie_is_logged_with_whom_it_is_for_and_without_its_token(
    cookies: Cookies, caplog: pytest.LogCaptureFixture
) -> None:
    made = cookies.told("POST", "/cookie", {**WISH, "by": "ada\nnobody"})
    (line,) = [record.getMessage() for record in caplog.records if "cookie" in record.getMessage()]
    assert line.startswith("a cookie made for 'ada\\nnobody' that allows 'the statuses 503, no rule by name")
    assert cookies.status("/a", cookie=f"mock={made['value']}") == 503
    token = unquote(made["value"]).partition(";key=")[2]
    shown = caplog.text + str(cookies.told("GET", "/journal")) + str(cookies.ask("GET", "/export").body)
    for secret in (token, token[-64:], LONG_KEY):
        assert secret not in shown


# ---- the line that asks for a status


@pytest.mark.parametrize(
    ("table", "line", "unavailable"),
    [
        ("", "-H \"X-Mock-Key: $MOCKWARE_KEY\" -H 'X-Mock-Status: 503' http://mock.test/", ""),
        (
            "status_header = \"X-Ask\"\nkey_header = 'X-$K'\npaths = ['/v 1/', '/v2/']",
            "-H \"X-\\$K: $MOCKWARE_KEY\" -H 'X-Ask: 503' http://mock.test/v%201/",
            "",
        ),
        ('status_header = "X-It\'s"', None, ""),
        ("statuses = [404]", "", "the rules file allows triggers these statuses only: 404"),
        ("enabled = false", "", "triggers are off: `[trigger]` of the rules file has `enabled = false`"),
    ],
)
def test_the_line_that_asks_for_a_status_is_one_that_does(
    table: str, line: str | None, unavailable: str, tmp_path: Path
) -> None:
    cookies = Cookies("WSGI", tmp_path, table)
    told = cookies.told("GET", "/statuses/503")
    assert told["unavailable"] == unavailable
    if line is not None:
        assert told["curl"] == (line and f"curl -i {line}")
    if told["curl"]:
        # As a shell understands it, and then as it is answered.
        words = shlex.split(told["curl"].replace("\\$", "$").replace("$MOCKWARE_KEY", LONG_KEY))
        fields = [words[i + 1].partition(": ") for i, word in enumerate(words) if word == "-H"]
        asked = [(name, value) for name, _, value in fields]
        path = unquote(words[-1].removeprefix("http://mock.test"))
        answer = cookies.send(Sent("GET", path, headers=tuple(asked)))
        assert answer.status == 503
        vary = [value for name, value in answer.fields if name.lower() == "vary"]
        assert vary == [value for name, value in told["response"]["headers"] if name == "Vary"]


def test_wsgi_has_no_events_and_says_what_to_do_instead() -> None:
    assert "journal" in Control("WSGI").told("GET", "/events", status=501)["detail"]
    # RFC 9110 section 9.3.2: HEAD has the fields that GET would have.
    assert Control("WSGI").ask("HEAD", "/events").status == 501
    assert Control("ASGI").ask("HEAD", "/events").status == 200


def test_events_tell_of_mocks_and_swaps_and_are_not_for_everybody_at_once() -> None:
    control = Control("ASGI")
    api: ControlAPI = control.app._api
    asked = Request("GET", "/_m/api/events", headers={"authorization": f"Bearer {KEY}"})
    streams = [api.respond(asked, streams=True) for _ in range(MAX_STREAMS)]
    refused = api.respond(asked, streams=True)
    assert isinstance(refused, Response)
    assert refused.status == 503
    stream = streams[0]
    assert isinstance(stream, Events)
    assert b"event: rules\n" in stream.news()
    assert stream.news() == b""
    control.status("/a")
    control.status("/c")
    news = stream.news().decode()
    assert news.index("event: mock\n") < news.index("event: miss\n")
    stream.close()
    assert isinstance(api.respond(asked, streams=True), Events)


def events_after(control: Control, seen: str) -> Events:
    headers = {"authorization": f"Bearer {KEY}", "last-event-id": seen}
    asked = Request("GET", "/_m/api/events", headers=headers)
    stream = control.app._api.respond(asked, streams=True)
    assert isinstance(stream, Events)
    return stream


def told_by(stream: Events) -> list[tuple[str, str]]:
    """The kind and the id of each event that there is now."""
    events = [event.split("\n") for event in stream.news().decode().split("\n\n") if event]
    return [(event.removeprefix("event: "), said.removeprefix("id: ")) for said, event, _ in events]


def test_events_go_on_after_the_last_that_was_seen_unless_another_process_counted_it() -> None:
    control = Control("ASGI")
    here, elsewhere = os.getpid(), os.getpid() + 1
    for path in ("/a", "/c", "/a", "/c"):
        control.status(path)
    later = [("miss", f"{here}-2"), ("mock", f"{here}-3"), ("miss", f"{here}-4")]
    for seen, found in (
        (f"{here}-1", later),
        (f"{here}-2", later[1:]),
        (f"{here}-4", []),
        *((seen, []) for seen in (f"{here}-99", f"{here}-x", f"{here}-\u0661", f"{here}-", f"{elsewhere}-1")),
        *((seen, []) for seen in ("1", "", "-1", "x", "-")),
    ):
        stream = events_after(control, seen)
        assert [event for event in told_by(stream) if event[0] != "rules"] == found, seen
        assert told_by(stream) == []
        stream.close()
    stream = events_after(control, f"{here}-4")
    control.status("/a")
    assert told_by(stream) == [("rules", f"{here}-4"), ("mock", f"{here}-5")]


def test_the_document_tells_of_every_kind_of_event() -> None:
    control = Control("ASGI")
    told = control.told("GET", "/openapi.json")["paths"]["/events"]["get"]
    stream = events_after(control, "")
    control.status("/a")
    control.status("/c")
    kinds = {kind for kind, _ in told_by(stream)}
    assert kinds == {"mock", "miss", "rules"}
    assert kinds <= {*re.findall("`([a-z]+)`", told["summary"])}
    assert [parameter["name"] for parameter in told["parameters"]] == ["Last-Event-ID"]


def test_whoever_reconnects_is_told_of_nothing_twice_and_of_all_that_happened_meanwhile() -> None:
    control = Control("ASGI")
    stream = events_after(control, "")
    ((_, seen),) = told_by(stream)
    told: list[str] = []
    for path in ("/c", "/a", "/c", "/c", "/a"):
        stream.close()
        control.status(path)  # while nobody listens
        stream = events_after(control, seen)
        control.status(path)
        events = told_by(stream)
        told += [event[1] for event in events if event[0] != "rules"]
        seen = events[-1][1]
    assert told == [f"{os.getpid()}-{i}" for i in range(1, 11)]


def test_what_is_noted_while_events_are_told_is_told_once() -> None:
    control = Control("ASGI")
    stream = events_after(control, "")
    told_by(stream)
    journal = control.app._installation.journal
    told: list[str] = []

    class Noting:
        """A lock behind which another request has been just before: that is where two threads meet."""

        def __enter__(self) -> None:
            journal._lock = lock
            control.status("/a")
            control.status("/c")
            lock.acquire()

        def __exit__(self, *_: object) -> None:
            lock.release()

    lock = journal._lock
    for _ in range(3):
        control.status("/c")
        journal._lock = Noting()
        told += [event[1] for event in told_by(stream) if event[0] != "rules"]
    told += [event[1] for event in told_by(stream)]
    assert told == [f"{os.getpid()}-{i}" for i in range(1, 10)]


def test_a_stream_without_news_says_now_and_then_that_it_is_there() -> None:
    api: ControlAPI = Control("ASGI").app._api
    asked = Request("GET", "/_m/api/events", headers={"authorization": f"Bearer {KEY}"})
    stream = api.respond(asked, streams=True)
    assert isinstance(stream, Events)
    stream.news()
    said = [stream.news() for _ in range(round(2 * QUIET_S / NEWS_S))]
    assert [text for text in said if text] == [b": still here\n\n"] * 2


def test_a_stream_that_its_server_dropped_takes_nobodys_place() -> None:
    api: ControlAPI = Control("ASGI").app._api
    asked = Request("GET", "/_m/api/events", headers={"authorization": f"Bearer {KEY}"})
    for _ in range(MAX_STREAMS + 1):  # none is ever closed
        assert isinstance(api.respond(asked, streams=True), Events)


@pytest.mark.parametrize(
    "action",
    [
        {"passthrough": True},
        {"patch": {"status": 203}},
        {"status": 202},
        {"text": "abc", "drip": "1s", "delay": None},
    ],
    ids=["passthrough", "patch", "delay", "drip"],
)
@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_the_refusal_of_too_many_sleepers_is_all_that_the_journal_has_of_a_request(
    interface: str, action: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    control = Control(interface, [Rule("/slow", name="slow", **{"delay": "5s", **action})])
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(0))
    assert control.status("/slow") == 503
    (entry,) = control.told("GET", "/journal")["entries"]
    assert (entry["rule"], entry["status"], entry["delay_s"]) == ("slow", 503, 0.0)
    assert control.listed("slow")["hits"] == 1


def test_a_mock_whose_client_left_before_it_was_given_is_not_in_the_journal() -> None:
    control = Control("ASGI", [Rule("/slow", name="slow", delay="30s")])
    wire = Wire(events_of(Sent("GET", "/slow")))
    run(control.app(scope_of(Sent("GET", "/slow")), wire.receive, wire.send))
    assert wire.sent == []
    assert control.told("GET", "/journal")["entries"] == []
    assert control.listed("slow")["hits"] == 0


def test_changes_are_logged_with_who_and_why_and_the_key_never_is(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "mockware"):
        control.told("PATCH", "/rules/a", {"on": False, "by": "eve\n", "why": "a\nb"})
        control.ask("GET", "/rules", headers={"Authorization": "Bearer wr0ng"})
        control.told("PUT", "/rules/new", {"rule": {"match": "/n"}, "for": "1m", **BY}, 201)
        control.now += 60
        control.look()
    assert "rule 'a' switched off by 'eve' until 2027-01-15T16:00:00.000Z: 'a\\nb'" in caplog.messages
    assert "rule 'new' is as before: its time is over (changed by 'ada')" in caplog.messages
    assert not [line for line in caplog.messages if KEY in line or "wr0ng" in line]


def test_a_broken_file_is_told_of_and_changes_outlive_a_good_one(control: Control, tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text('[[rules]]\nname = "a"\nmatch = "/a"\nstatus = 500\n')
    control = Control(control.interface, path)
    assert control.status("/a") == 500
    control.told("PUT", "/rules/new", {"rule": {"match": "/new", "status": 418}, **BY}, 201)
    control.told("PATCH", "/rules/a", {"on": False, **BY})
    path.write_text('[[rules]]\nmatch = "a"\n')
    control.look()
    told = control.told("GET", "/rules")
    assert [(problem["key"], problem["rule"]) for problem in told["problems"]] == [("match", "rule 1 'a'")]
    assert (control.status("/a"), control.status("/new")) == (200, 418)
    path.write_text('[[rules]]\nname = "a"\nmatch = "/a"\nstatus = 501\n[[rules]]\nmatch="/b"\n')
    control.look()
    assert control.told("GET", "/rules")["problems"] == []
    assert (control.status("/a"), control.status("/b"), control.status("/new")) == (200, 202, 418)


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_the_key_is_struck_out_of_the_journal_whatever_its_field_is_called(
    enabled: str, control: Control, tmp_path: Path
) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text(
        f'[trigger]\nenabled = {enabled}\nkey_header = "X-Staging"\n[[rules]]\nmatch = "/a"\nstatus = 503\n'
    )
    control = Control(control.interface, path)
    # A token is in that field, too, and is known by no value.
    for field, value in (("X-Staging", "a.token"), ("X-Stagging", KEY), ("X-Mock-Status", KEY)):
        control.send(Sent("GET", "/a", headers=((field, value),)))
        entry = control.told("GET", "/journal", query="limit=1")["entries"][0]
        assert entry["headers"][field.lower()] == REDACTED


def test_whether_a_proxy_is_trusted_is_what_the_file_says_by_now(control: Control, tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text("trust_forwarded = false\n")
    control = Control(control.interface, path)
    headers = {**AUTHORIZED, "Origin": "https://staging.test", "X-Forwarded-Host": "staging.test"}
    assert control.ask("GET", "/rules", headers=headers).status == 403
    path.write_text("trust_forwarded = true\n")
    control.look()
    assert control.ask("GET", "/rules", headers=headers).status == 200


def test_a_child_of_a_fork_waits_for_no_lock_that_was_held(control: Control) -> None:
    control.status("/a")
    installation = control.app._installation
    # As by other threads, which are not in the child.
    for owner in (installation, installation.journal):
        owner._lock.acquire()
    installation.fall_asleep()  # as `lookout` has it do there
    found: list[int] = []

    def ask() -> None:
        found.append(control.status("/a"))
        found.append(control.ask("GET", "/rules", headers={"Authorization": "Bearer wrong"}).status)
        found.append(control.listed("a")["hits"])

    child = threading.Thread(target=ask, daemon=True)
    child.start()
    child.join(PATIENCE_S)
    assert found == [503, 401, 2]


def test_of_a_websocket_the_journal_tells_no_patch_since_it_is_not_changed() -> None:
    control = Control("ASGI", [Rule("/a", name="a", patch={"status": 203})])
    wire = Wire([{"type": "websocket.connect"}])
    run(control.app(handshake_of(Sent("GET", "/a")), wire.receive, wire.send))
    assert control.told("GET", "/journal")["entries"] == []
    assert control.status("/a") == 203
    assert [entry["status"] for entry in control.told("GET", "/journal")["entries"]] == [None]


def test_a_websocket_at_the_prefix_is_the_apps_own_business() -> None:
    reached: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(scope)

    environ = {"MOCKWARE": "on", "MOCKWARE_CONTROL": "/_m", "MOCKWARE_KEY": KEY}
    scope = handshake_of(Sent("GET", "/_m/api/rules", headers=tuple(AUTHORIZED.items())))
    wire = Wire([{"type": "websocket.connect"}])
    run(mockware.wrap(app, rules=RULES, environ=environ)(scope, wire.receive, wire.send))
    assert reached == [scope]
    assert wire.sent == []


def test_what_is_sent_is_read_to_its_end_however_long_it_is() -> None:
    control = Control("WSGI")
    body = b"x" * (2 * 1024 * 1024)
    stream = io.BytesIO(body)
    headers = {**AUTHORIZED, "Content-Type": "application/json", "Content-Length": str(len(body))}
    answer = over_wsgi(control.app, Sent("POST", "/_m/api/rules", headers=tuple(headers.items())), stream)
    assert (answer.status, stream.tell()) == (413, len(body))


# ---- both sides

TABLE: list[tuple[str, str, Any, str]] = [
    ("GET", "/rules", None, ""),
    ("PATCH", "/rules/a", {"on": False, **BY}, ""),
    ("PATCH", "/rules/a", {"on": 1, **BY}, ""),
    ("PUT", "/rules/new", {"rule": {"match": "/ü", "text": "ü"}, **BY}, ""),
    ("GET", "/rules/new", None, ""),
    ("POST", "/rules", {"rule": {"match": "GET /x/{id}"}, **BY}, ""),
    ("GET", "/rules/GET%20%2Fx%2F%7Bid%7D", None, ""),
    ("GET", "/rules/%C3%BC", None, ""),
    ("PATCH", "/tags/first", {"on": True, **BY}, ""),
    ("GET", "/journal", None, "limit=3"),
    ("GET", "/journal", None, "misses=1&limit=3"),
    ("POST", "/explain", {"path": "/%C3%BC?a=b"}, ""),
    ("POST", "/validate", {"rule": {"match": "x"}}, ""),
    ("GET", "/export", None, "format=json"),
    ("GET", "/export", None, ""),
    ("GET", "/openapi.json", None, ""),
    ("GET", "/cookie", None, ""),
    ("POST", "/cookie", {"status": "503", "by": "ada"}, ""),
    ("DELETE", "/rules/new", None, "by=a&why=b"),
    ("POST", "/reset", BY, ""),
    ("POST", "/reset", b"{", ""),
    ("GET", "/", None, ""),
    ("GET", "/rules/", None, ""),
    ("TRACE", "/rules", None, ""),
]


def test_both_interfaces_give_the_same_answers() -> None:
    asgi, wsgi = Control("ASGI"), Control("WSGI")
    for method, place, sent, query in TABLE:
        one, other = (side.ask(method, place, sent, query=query) for side in (asgi, wsgi))
        # The journal's headers are those of each side's own server.
        assert (one.status, one.fields, one.body) == (other.status, other.fields, other.body), place


@pytest.mark.parametrize("matches", [["/a"], ["/a", "/b/{id}"]], ids=["exact", "templates"])
def test_no_rule_stands_in_the_place_of_the_control_api(matches: list[str]) -> None:
    for interface in ("ASGI", "WSGI"):
        control = Control(
            interface, [Rule(match, status=500) for match in (*matches, "/_m/api/rules", "/_m")]
        )
        assert control.told("GET", "/rules")["scope"] == "process"
        assert control.send(Sent("GET", "/_m")).status == 308, "to the page"
        assert control.status("/_mx") == 200
        assert control.ask("GET", "/rules/%C3%BC").status == 404
        # A trigger is no way around it either.
        assert control.status("/_m/api/rules", x_mock_status="202", x_mock_key=KEY) == 401
