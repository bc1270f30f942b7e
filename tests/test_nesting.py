"""A middleware around a middleware: nothing is waited for twice, and nothing is drawn twice."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.by_hand import Environ, Receive, Scope, Send, Sent, over_asgi, over_wsgi

import mockware
from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware
from mockware.config import load
from mockware.engine import Snapshot
from mockware.environment import Environment
from mockware.messages import Request, Response
from mockware.nesting import let_through, let_through_by

KEY = "correct horse battery"
HALF = [Rule("/half", name="half", probability=0.5)]
SLOW = [Rule("/slow", name="slow", passthrough=True, delay="100ms")]


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def wsgi_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "0"), ("Content-Type", "text/plain")])
    return [b""]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays that were waited for, at once."""
    waited: list[float] = []

    async def sleep(delay_s: float) -> None:
        waited.append(delay_s)

    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(anyio, "sleep", sleep)
    return waited


@pytest.fixture(params=["ASGI", "WSGI"])
def answer(request: pytest.FixtureRequest) -> Any:
    """The status that an app inside two middlewares gives, each with its rules."""

    def twice(outer: Any, inner: Any, target: str, *headers: tuple[str, str]) -> int:
        middleware: Any = ASGIMockMiddleware if request.param == "ASGI" else WSGIMockMiddleware
        app = asgi_app if request.param == "ASGI" else wsgi_app
        on: dict[str, Any] = {"enabled": True, "environ": {}}
        wrapped = middleware(middleware(app, rules=inner, **on), rules=outer, **on)
        over: Any = over_asgi if request.param == "ASGI" else over_wsgi
        status: int = over(wrapped, Sent(target=target, headers=headers)).status
        return status

    return twice


@pytest.mark.parametrize("inner", [[], HALF], ids=["no rules", "rules"])
def test_a_delay_of_the_app_is_waited_for_once(answer: Any, waits: list[float], inner: list[Rule]) -> None:
    assert answer(HALF, inner, "/other", ("X-Mock-Delay", "200ms")) == 200
    assert waits == [0.2]


def test_a_rules_own_delay_of_the_app_is_waited_for_once(answer: Any, waits: list[float]) -> None:
    assert answer(SLOW, SLOW, "/slow") == 200
    assert waits == [0.1]


def test_a_chance_is_drawn_once(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = [0.7, 0.1]  # the second would have it mocked
    declared = {"clock": time.time, "chance": lambda: dice.pop(0)}
    monkeypatch.setattr(Snapshot.__init__, "__kwdefaults__", declared)
    assert answer(HALF, HALF, "/half") == 200
    assert dice == [0.1]


@pytest.mark.parametrize("inner", [[], [Rule("/half", status=418)]])
def test_a_passthrough_that_was_asked_for_goes_all_the_way(answer: Any, inner: list[Rule]) -> None:
    assert answer(HALF, inner, "/half", ("X-Mock-Status", "passthrough")) == 200


@pytest.mark.parametrize("trigger", ["enabled = false", 'paths = ["/api"]', "status_header = 'X-Other'"])
def test_a_trigger_that_the_outer_one_does_not_heed_works_inside(
    answer: Any, trigger: str, tmp_path: Path
) -> None:
    rules = '[[rules]]\nmatch = "/half"\nprobability = 0.0\n'
    outer, inner = tmp_path / "mocks.toml", tmp_path / "inner.toml"
    outer.write_text(f"[trigger]\n{trigger}\n{rules}")
    inner.write_text(rules)
    assert answer(str(outer), str(inner), "/half", ("X-Mock-Status", "503")) == 503


@pytest.mark.parametrize("trigger", ["enabled = false", 'paths = ["/api"]'])
def test_a_trigger_works_inside_of_the_same_rules_too(trigger: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("outer", "inner")]
    for folder, table in zip(folders, [f"[trigger]\n{trigger}\n", ""], strict=True):
        folder.mkdir()
        (folder / "mocks.toml").write_text(f'{table}[[rules]]\nmatch = "/half"\nprobability = 0.0\n')
    outer, inner = (load(Environment(True, ""), str(folder / "mocks.toml")) for folder in folders)
    same = [entry._replace(source="") for entry in outer.entries]
    assert same == [entry._replace(source="") for entry in inner.entries]
    asked = Request("GET", "/half", headers={"x-mock-status": "503"})
    shared = Snapshot(inner._replace(entries=outer.entries))
    decision = shared.decide(asked, shared.find("/half") or (), outer=Snapshot(outer))
    assert isinstance(decision, Response)
    assert decision.status == 503


def test_a_passthrough_that_was_named_goes_all_the_way(answer: Any) -> None:
    outer = [Rule("/nowhere", name="exempt", passthrough=True)]
    inner = [*outer, Rule("/half", status=418)]
    assert answer(outer, inner, "/half", ("X-Mock-Name", "exempt")) == 200


def test_rules_of_its_own_answer_inside(answer: Any, waits: list[float]) -> None:
    assert answer([], [Rule("/teapot", status=418)], "/teapot", ("X-Mock-Delay", "200ms")) == 418
    assert answer(SLOW, [Rule("/slow", status=418)], "/slow") == 418
    assert waits == [0.2, 0.1]


def test_another_request_is_another_matter() -> None:
    mark = object()
    with let_through(mark, by="outer"):
        assert let_through_by(mark) == "outer"
        assert let_through_by(object()) is None
        assert let_through_by(None) is None
    assert let_through_by(mark) is None


def test_rules_that_both_have_are_heeded_once_though_the_inner_one_has_more(
    answer: Any, waits: list[float]
) -> None:
    own = Rule("/own", status=418)
    assert answer(SLOW, [*SLOW, own], "/slow") == 200
    assert waits == [0.1]
    assert answer(SLOW, [*SLOW, own], "/own") == 418


@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_a_request_is_counted_once_though_the_inner_one_has_more_rules(interface: str) -> None:
    middleware: Any = ASGIMockMiddleware if interface == "ASGI" else WSGIMockMiddleware
    over: Any = over_asgi if interface == "ASGI" else over_wsgi
    app = asgi_app if interface == "ASGI" else wsgi_app
    shared = [Rule("/a", status=503, times=2), Rule("/b", replies=[{"status": 503}], then="passthrough")]
    on: dict[str, Any] = {"enabled": True, "environ": {}}
    wrapped = middleware(middleware(app, rules=[*shared, Rule("/own")], **on), rules=shared, **on)
    assert [over(wrapped, Sent(target="/a")).status for _ in range(4)] == [503, 503, 200, 200]
    assert [over(wrapped, Sent(target="/b")).status for _ in range(2)] == [503, 200]


# ---- switched at run time


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the process, by which a server and the app in it both go."""
    monkeypatch.setenv("MOCKWARE", "on")
    monkeypatch.setenv("MOCKWARE_CONTROL", "/_m")
    monkeypatch.setenv("MOCKWARE_KEY", KEY)
    monkeypatch.setenv("MOCKWARE_RULES", "/both 503")


def asked_api(app: Any, ask: Any, method: str, place: str, given: Any) -> Any:
    headers = [("Authorization", f"Bearer {KEY}"), ("Content-Type", "application/json")]
    more = {"REMOTE_ADDR": "127.0.0.1"} if ask is over_wsgi else {}
    sent = Sent(method, f"/_m/api{place}", headers=headers, body=[json.dumps(given).encode()])
    return json.loads(ask(app, sent, **more).body)


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("interface", ["ASGI", "WSGI"])
def test_a_switch_holds_inside_and_the_rules_there_are_told_of(interface: str) -> None:
    app: Any = asgi_app if interface == "ASGI" else wsgi_app
    ask: Any = over_asgi if interface == "ASGI" else over_wsgi
    inner = mockware.wrap(app, rules=[Rule("/inside", status=410)])
    outer = mockware.wrap(inner)
    assert [ask(outer, Sent("GET", path)).status for path in ("/both", "/inside")] == [503, 410]
    by = {"by": "ada", "why": "demo"}
    asked_api(outer, ask, "PATCH", "/rules/%2Fboth", {"on": False, **by})
    assert ask(outer, Sent("GET", "/both")).status == 200
    asked_api(outer, ask, "POST", "/reset", by)
    assert ask(outer, Sent("GET", "/both")).status == 503
    told = asked_api(outer, ask, "GET", "/rules", {})
    assert [rule["name"] for rule in told["rules"]] == ["/both"]
    assert "2 rules from MOCKWARE_RULES, rules=" in told["elsewhere"]
    notes = asked_api(outer, ask, "POST", "/explain", {"path": "/inside"})["notes"]
    told_of = "this process has 2 rules from MOCKWARE_RULES, rules= elsewhere, and they may answer in the app"
    assert told_of in notes
