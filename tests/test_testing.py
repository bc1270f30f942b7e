"""What a test gets in front of the app that its client holds, and what is left of it afterwards."""

import asyncio
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from quart import Quart
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.websockets import WebSocketDisconnect
from tests.by_hand import Sent, over_asgi, over_wsgi
from tests.pytest_runs import run_tests

from mockware import ConfigError, Rule
from mockware.interfaces import interface_of
from mockware.testing import Clock, Mocks, UnknownRuleError, UnusedRulesError, mocks
from mockware.watching import MAX_REQUESTS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # newer versions of Starlette would have it on top of another client
    from starlette.testclient import TestClient

DOWN = Rule("POST /payments", name="payments-down", status=503)


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("the app", 200)(scope, receive, send)


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    return [b"the app"]


def flask_app() -> Flask:
    app = Flask("any")
    app.add_url_rule("/payments", "pay", lambda: "the app", methods=["POST"])
    return app


def starlette_app(kind: Any = Starlette) -> Any:
    async def pay(request: Any) -> PlainTextResponse:
        return PlainTextResponse("the app")

    return kind(routes=[Route("/payments", pay, methods=["POST"])])


def asked(app: Any, method: str = "POST", path: str = "/payments", **more: Any) -> httpx.Response:
    """What httpx gets of an app, whichever its interface is."""
    if interface_of(app) == "ASGI":

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://mock.test") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://mock.test") as client:
        return client.request(method, path, **more)


# Any app: its client is given `m.app`


@pytest.mark.parametrize("app", [asgi_app, wsgi_app])
def test_rules_answer_within_the_block_and_nowhere_else(app: Any) -> None:
    with mocks(app, [DOWN]) as m:
        assert asked(m.app).status_code == 503
        assert asked(m.app, "GET").text == "the app"
        assert m.hits("payments-down") == m.hits() == 1
    assert asked(m.app).text == "the app"
    assert asked(m.app, headers={"X-Mock-Status": "500"}).text == "the app"
    assert m.hits("payments-down") == 1


def test_before_the_block_everything_passes() -> None:
    assert asked(mocks(asgi_app, [DOWN]).app).text == "the app"


def test_rules_come_from_a_file_as_well(tmp_path: Path) -> None:
    (tmp_path / "mocks.toml").write_text('[[rules]]\nmatch = "POST /payments"\nstatus = 410\n')
    with mocks(wsgi_app, tmp_path / "mocks.toml") as m:
        assert asked(m.app).status_code == 410
        assert m.hits("POST /payments") == 1


def test_the_problems_of_rules_are_told_before_the_block() -> None:
    with pytest.raises(ConfigError, match="two rules have this name"):
        mocks(asgi_app, [DOWN, DOWN])


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(TypeError, match="is no ASGI or WSGI app"):
        mocks(TestClient(starlette_app()), [DOWN])


@pytest.mark.parametrize("name", ["MOCKWARE", "APP_ENV", "MOCKWARE_RULES", "MOCKWARE_KEY", "MOCKWARE_STORE"])
def test_the_environment_has_no_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"MOCKWARE": "off", "APP_ENV": "production", "MOCKWARE_RULES": "POST /payments 200"}
    monkeypatch.setenv(name, values.get(name, "redis://nowhere.invalid/0"))
    with mocks(asgi_app, [DOWN]) as m:
        assert asked(m.app).status_code == 503
        assert asked(m.app, "GET", headers={"X-Mock-Status": "418"}).status_code == 418


# Frameworks: whoever holds the app gets mocks


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize("started", [True, False])
def test_a_client_of_starlettes_that_is_there_already_gets_mocks(kind: Any, started: bool) -> None:
    app = starlette_app(kind)
    with TestClient(app) as client:
        if started:
            assert client.post("/payments").text == "the app"
        with mocks(app, [DOWN]) as m:
            assert m.app is app
            assert client.post("/payments").status_code == 503
        assert client.post("/payments").text == "the app"
    assert m.hits("payments-down") == 1


def test_an_app_of_starlettes_that_no_request_has_come_to_may_still_be_added_to() -> None:
    app = starlette_app()
    with mocks(app, [DOWN]):
        assert TestClient(app).post("/payments").status_code == 503
    app.add_middleware(lambda inner: inner)
    assert TestClient(app).post("/payments").text == "the app"


def test_a_lifespan_within_the_block_is_the_apps() -> None:
    app, seen = starlette_app(FastAPI), []
    app.router.on_startup.append(lambda: seen.append("up"))
    app.router.on_shutdown.append(lambda: seen.append("down"))
    with mocks(app, [DOWN]), TestClient(app) as client:
        assert client.post("/payments").status_code == 503
        assert seen == ["up"]
    assert seen == ["up", "down"]


def test_a_mocked_websocket_is_refused_and_counted() -> None:
    with mocks(starlette_app(), [Rule("/chat", status=403)]) as m:
        with pytest.raises(WebSocketDisconnect), TestClient(m.app).websocket_connect("/chat"):
            pass
        assert m.hits("/chat") == 1


def test_a_client_of_flasks_that_is_there_already_gets_mocks() -> None:
    app = flask_app()
    client = app.test_client()
    with mocks(app, [DOWN]) as m:
        assert m.app is app
        assert client.post("/payments").status_code == 503
    assert client.post("/payments").text == "the app"
    assert "wsgi_app" not in vars(app)
    assert m.hits("payments-down") == 1


def test_a_flask_app_that_is_wrapped_already_is_wrapped_as_before_afterwards() -> None:
    app = flask_app()
    before = app.wsgi_app = lambda *arguments: Flask.wsgi_app(app, *arguments)  # type: ignore[method-assign]
    with mocks(app, [DOWN]), mocks(app, [Rule("GET /payments", status=418)]):
        assert app.test_client().post("/payments").status_code == 503
        assert app.test_client().get("/payments").status_code == 418
    assert app.wsgi_app is before


def test_a_client_of_quarts_gets_mocks() -> None:
    app = Quart("any")

    async def ask() -> int:
        return (await app.test_client().post("/payments")).status_code

    with mocks(app, [DOWN]) as m:
        assert asyncio.run(ask()) == 503
    assert asyncio.run(ask()) == 404
    assert m.hits("payments-down") == 1


DJANGO = """
    import asyncio

    import django
    import pytest
    from django.conf import settings
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.test import AsyncClient, Client
    from django.urls import path

    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=__name__)
    django.setup()

    from mockware import Rule


    def pay(request):
        response = JsonResponse({"sent": request.body.decode(), "plan": "free"})
        response.set_cookie("seen", "yes")
        return response


    urlpatterns = [
        path("payments", pay),
        path("stream", lambda request: StreamingHttpResponse(iter([b"a", b"b"]))),
    ]
    HEADERS = {"Set-Cookie": ["a=1", "b=2"], "Vary": ["x", "y"]}
    DOWN = Rule("POST /payments", name="payments-down", status=503, headers=HEADERS)
"""


def test_a_client_of_djangos_gets_mocks(tmp_path: Path) -> None:
    # In a process of its own, since Django's settings are those of a process.
    said = run_tests(
        tmp_path,
        DJANGO
        + """

    def test_mocks_answer_it(mocks):
        client = Client()
        with mocks(client, [DOWN]) as m:
            assert m.app is client
            response = client.post("/payments", {"amount": 7}, content_type="application/json")
            assert (response.status_code, response.reason_phrase) == (503, "Service Unavailable")
            assert response.json()["status"] == 503
            assert response["Content-Type"] == "application/problem+json"
            assert response["Vary"] == "x, y"
            assert response["X-Mock-Rule"] == "payments-down"
            assert {name: cookie.value for name, cookie in client.cookies.items()} == {"a": "1", "b": "2"}
            assert response.wsgi_request.path == "/payments"
            assert response.resolver_match.func is pay
            assert client.head("/payments").status_code == 200
        assert [request.json for request in m.requests("payments-down")] == [{"amount": 7}]
        assert client.post("/payments").json()["plan"] == "free"


    def test_what_passes_is_djangos_own_response(mocks):
        client = Client()
        with mocks(client, [Rule("GET /payments", status=418)]):
            response = client.post("/payments", "abc", content_type="text/plain")
            assert type(response) is JsonResponse
            assert response.json()["sent"] == "abc"
            assert client.cookies["seen"].value == "yes"
            streamed = client.get("/stream")
            assert type(streamed) is StreamingHttpResponse
            assert b"".join(streamed.streaming_content) == b"ab"
            assert client.get("/nowhere").status_code == 404


    def test_a_patch_changes_djangos_response(mocks):
        client = Client()
        trial = {"status": 203, "json": {"plan": "trial"}}
        with mocks(client, [Rule("/payments", name="trial", patch=trial)]) as m:
            response = client.post("/payments", "abc", content_type="text/plain")
            assert (response.status_code, response.json()) == (203, {"sent": "abc", "plan": "trial"})
            assert client.cookies["seen"].value == "yes"
        assert m.hits("trial") == 1
        with mocks(client, [Rule("/payments", patch={"headers": {"x-plan": "trial"}})]):
            assert client.post("/payments")["X-Plan"] == "trial"


    def test_what_others_set_on_the_handler_is_set_on_djangos(mocks):
        client = Client()
        handler = client.handler
        with mocks(client, [DOWN]):
            client.handler.enforce_csrf_checks = True
        assert client.handler is handler
        assert handler.enforce_csrf_checks is True


    def test_mocks_answer_the_asynchronous_client(mocks):
        client = AsyncClient()
        trial = Rule("PUT /payments", name="trial", patch={"status": 203, "json": {"plan": "trial"}})

        async def ask():
            with mocks(client, [DOWN, trial], strict=True) as m:
                response = await client.post("/payments", {"amount": 7}, content_type="application/json")
                assert (response.status_code, response["X-Mock-Rule"]) == (503, "payments-down")
                assert response["Vary"] == "x, y"
                assert {name: cookie.value for name, cookie in client.cookies.items()} == {"a": "1", "b": "2"}
                assert response.asgi_request.path == "/payments"
                response = await client.put("/payments", "abc", content_type="text/plain")
                assert (response.status_code, response.json()) == (203, {"sent": "abc", "plan": "trial"})
                response = await client.patch("/payments", "abc", content_type="text/plain")
                assert type(response) is JsonResponse
                assert response.json()["sent"] == "abc"
                assert type(await client.get("/stream")) is StreamingHttpResponse
            assert m.requests("payments-down")[0].json == {"amount": 7}
            assert (await client.post("/payments")).status_code == 200

        asyncio.run(ask())


    def test_the_whole_app_gets_mocks_over_wsgi(mocks):
        import httpx
        from django.core.wsgi import get_wsgi_application

        with mocks(get_wsgi_application(), [DOWN]) as m:
            with httpx.Client(transport=httpx.WSGITransport(m.app), base_url="http://mock.test") as client:
                assert client.post("/payments").status_code == 503
                assert client.get("/payments").json()["plan"] == "free"
        """,
    )
    assert "6 passed" in said, said


# What was mocked


def test_a_request_is_kept_with_all_that_was_sent() -> None:
    with mocks(asgi_app, [DOWN, Rule("PUT /other")]) as m:
        asked(m.app, path="/payments?currency=eur", json={"amount": 7}, headers={"X-Tenant": "acme"})
        asked(m.app, "PUT", "/other")
        asked(m.app, "GET")
    (request,) = m.requests("payments-down")
    assert request[:4] == ("payments-down", "POST", "/payments", "currency=eur")
    assert (request.json, request.headers["x-tenant"], request.status) == ({"amount": 7}, "acme", 503)
    assert [request.rule for request in m.requests()] == ["payments-down", "PUT /other"]


@pytest.mark.parametrize("over", [over_asgi, over_wsgi])
def test_a_body_that_is_too_long_is_not_kept(over: Any) -> None:
    app = asgi_app if over is over_asgi else wsgi_app
    with mocks(app, [DOWN]) as m:
        over(m.app, Sent("POST", "/payments", body=[b"x" * 1024 * 1024, b"x"]))
        over(m.app, Sent("POST", "/payments", body=[b"x" * 1024 * 1024]))
    assert [request.body and len(request.body) for request in m.requests()] == [None, 1024 * 1024]


def test_of_many_requests_the_last_are_kept_and_all_are_counted() -> None:
    with mocks(wsgi_app, [DOWN]) as m:
        for n in range(MAX_REQUESTS + 5):
            over_wsgi(m.app, Sent("POST", "/payments", query=str(n)))
        assert m.hits("payments-down") == MAX_REQUESTS + 5
        assert [m.requests()[0].query_string, len(m.requests())] == ["5", MAX_REQUESTS]


def test_of_large_bodies_sixteen_mebibytes_are_kept() -> None:
    with mocks(wsgi_app, [DOWN]) as m:
        for _ in range(18):
            over_wsgi(m.app, Sent("POST", "/payments", body=[b"x" * 1024 * 1024]))
        assert (m.hits(), len(m.requests())) == (18, 16)


def test_requests_from_many_threads_are_all_counted() -> None:
    with mocks(wsgi_app, [DOWN]) as m:
        threads = [
            threading.Thread(target=lambda: [over_wsgi(m.app, Sent("POST", "/payments")) for _ in range(50)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert m.hits("payments-down") == len(m.requests()) == 200


def test_what_a_rule_lets_through_or_patches_is_a_hit_of_it() -> None:
    rules = [
        Rule("GET /health", name="healthy", passthrough=True),
        Rule("GET /patched", name="patched", patch={"status": 203}),
        Rule("/{rest:path}", name="rest", status=410),
    ]
    with mocks(asgi_app, rules, strict=True) as m:
        assert asked(m.app, "GET", "/health").text == "the app"
        assert asked(m.app, "GET", "/patched").status_code == 203
        assert asked(m.app).status_code == 410
    assert [m.hits(name) for name in ("healthy", "patched", "rest")] == [1, 1, 1]
    assert m.requests("healthy")[0].status is None


def test_replies_that_are_over_are_no_hits() -> None:
    rule = Rule("/payments", replies=[{"status": 503, "times": 2}], then="passthrough")
    with mocks(asgi_app, [rule]) as m:
        assert [asked(m.app).status_code for _ in range(3)] == [503, 503, 200]
        assert m.hits("/payments") == 2


def test_trigger_headers_are_heeded_and_counted_as_such() -> None:
    with mocks(asgi_app, [DOWN]) as m:
        assert asked(m.app, "GET", headers={"X-Mock-Status": "418"}).status_code == 418
        assert asked(m.app, "GET", headers={"X-Mock-Name": "payments-down"}).status_code == 503
        assert (m.hits("trigger"), m.hits("payments-down")) == (1, 1)


def test_a_preflight_that_is_answered_is_counted_as_such(tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text(
        '[cors]\norigins = ["https://shop.example"]\n'
        '[[rules]]\nname = "down"\nmatch = "POST /payments"\nstatus = 503\n'
    )
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    with mocks(asgi_app, path) as m:
        assert asked(m.app, "OPTIONS", headers=headers).status_code == 204
        assert asked(m.app, "POST").status_code == 503
    assert (m.hits("cors"), m.hits("down"), m.hits()) == (1, 1, 2)
    assert [request.method for request in m.requests("cors")] == ["OPTIONS"]


def test_a_body_that_a_rule_looks_at_is_looked_at_once_and_passes_as_it_came() -> None:
    rules = [Rule("POST /payments", when={"json": {"amount": 7}}, status=503, name="seven", times=1)]

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        await PlainTextResponse(body)(scope, receive, send)

    with mocks(echo, rules) as m:
        assert asked(m.app, json={"amount": 8}).json() == {"amount": 8}
        assert asked(m.app, json={"amount": 7}).status_code == 503
        assert asked(m.app, json={"amount": 7}).json() == {"amount": 7}
        assert m.hits("seven") == 1


@pytest.mark.parametrize("ask", ["hits", "requests"])
def test_a_name_that_no_rule_has_is_an_error_with_the_nearest(ask: str) -> None:
    with mocks(asgi_app, [DOWN]) as m, pytest.raises(UnknownRuleError, match="did you mean `payments-down`"):
        getattr(m, ask)("payment-down")


def test_what_never_is_about_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "mocks.toml").write_text('never = ["/payments"]\n[[rules]]\nmatch = "/{rest:path}"\n')
    with mocks(asgi_app, tmp_path / "mocks.toml") as m:
        assert asked(m.app, headers={"X-Mock-Status": "500"}).text == "the app"
        assert m.hits() == 0


# Strict


def test_a_rule_that_no_request_came_for_fails_a_strict_test() -> None:
    with (
        pytest.raises(UnusedRulesError, match="no request came for 'PUT /other', '/more'"),
        mocks(asgi_app, [DOWN, Rule("PUT /other"), Rule("/more")], strict=True) as m,
    ):
        asked(m.app)
    assert m.unused == ["PUT /other", "/more"]


def test_a_strict_test_that_fails_says_its_own_reason() -> None:
    app = flask_app()
    with pytest.raises(ZeroDivisionError), mocks(app, [DOWN], strict=True):
        1 / 0  # noqa: B018
    assert "wsgi_app" not in vars(app)


# Time and chance


@pytest.mark.parametrize("app", [asgi_app, wsgi_app])
@pytest.mark.parametrize(
    ("rule", "delay_s"),
    [
        (Rule("/payments", delay="20s"), 20),
        (Rule("/payments", delay="10s", drip="5s"), 15),
        (Rule("/payments", passthrough=True, delay="20s", delay_after="10s"), 30),
    ],
)
def test_a_delay_moves_the_clock_and_nobody_waits(app: Any, rule: Rule, delay_s: float) -> None:
    with mocks(app, [rule], now=datetime(2027, 1, 31, tzinfo=UTC)) as m:
        before = m.clock()
        assert asked(m.app).elapsed.total_seconds() < 10
        assert m.clock() - before == m.requests()[0].delay_s == delay_s
        assert asked(m.app, headers={"X-Mock-Delay": "30s"}).elapsed.total_seconds() < 10


@pytest.mark.parametrize("app", [asgi_app, wsgi_app])
def test_a_delay_is_waited_for_where_that_is_asked_for(app: Any) -> None:
    with mocks(app, [Rule("/payments", delay="200ms")], sleeps=True) as m:
        assert asked(m.app).elapsed.total_seconds() >= 0.2


def test_a_stall_falls_silent_without_the_silence() -> None:
    with mocks(asgi_app, [Rule("/payments", fault="stall")]) as m:
        events = asked_by_hand(m.app)
        assert [event.get("status") for event in events] == [202, None]
        assert events[-1] == {"type": "http.response.body", "body": b"", "more_body": True}


def test_clients_show_a_fault_as_the_readme_says() -> None:
    rule = Rule("/payments", fault="cut", text="half")
    with mocks(wsgi_app, [rule]) as m, pytest.raises(ConnectionResetError):
        asked(m.app)
    with mocks(asgi_app, [rule]) as m:
        with pytest.raises(AssertionError):
            asked(m.app)
        assert TestClient(m.app).post("/payments").text == "ha"


def asked_by_hand(app: Any) -> list[Any]:
    events: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: Any) -> None:
        events.append(event)

    scope = {"type": "http", "method": "POST", "path": "/payments", "headers": [], "http_version": "1.1"}
    asyncio.run(app(scope, receive, send))
    return events


def test_a_task_lives_as_the_clock_of_the_test_goes() -> None:
    rule = Rule("POST /exports", task={"duration": "5s", "result": {"json": {"url": "/report.csv"}}})
    with mocks(asgi_app, [rule]) as m:
        monitor = asked(m.app, path="/exports").headers["location"]
        assert asked(m.app, "GET", monitor).json()["status"] == "running"
        m.clock.advance(5)
        assert asked(m.app, "GET", monitor).json()["result"] == {"url": "/report.csv"}
        assert [request.method for request in m.requests("POST /exports")] == ["POST", "GET", "GET"]
        m.clock.advance(24 * 60 * 60)
        assert asked(m.app, "GET", monitor).status_code == 404


def test_whoever_was_told_of_the_end_of_a_task_is_not_told_afterwards_that_it_goes_on() -> None:
    task = {"duration": "5s", "dialect": "google", "monitor": "/operations/{task_id}"}
    with mocks(asgi_app, [Rule("POST /exports", task=task)]) as m:
        name = asked(m.app, path="/exports").json()["name"]
        assert asked(m.app, "GET", f"/operations/{name}").json()["done"] is False
        assert asked(m.app, path=f"/operations/{name}:wait").json()["done"] is True
        assert asked(m.app, "GET", f"/operations/{name}").json()["done"] is True


def test_a_task_that_runs_the_app_is_counted() -> None:
    rule = Rule("POST /payments", name="in-background", task={"run": "app"})
    with mocks(starlette_app(), [rule]) as m, TestClient(m.app) as client:
        assert client.post("/payments").status_code == 202
        assert m.hits("in-background") == 1


def test_secrets_of_webhooks_are_not_asked_for_and_none_is_sent(tmp_path: Path) -> None:
    (tmp_path / "mocks.toml").write_text(
        '[webhooks]\nhosts = ["hooks.example.com"]\n[[rules]]\nmatch = "POST /exports"\n[rules.task]\n'
        'webhook = { url = "https://hooks.example.com/", secret_env = "NO_SUCH_VARIABLE" }\n'
    )
    with mocks(asgi_app, tmp_path / "mocks.toml") as m:
        assert asked(m.app, path="/exports").status_code == 202
        m.clock.advance(60)


def test_a_rule_expires_by_the_clock_of_the_test() -> None:
    rule = Rule("/payments", status=503, expires="2027-01-31T18:00:00Z")
    with mocks(asgi_app, [rule], now=datetime(2027, 1, 31, 17, 59, 59, tzinfo=UTC)) as m:
        assert asked(m.app).status_code == 503
        m.clock.advance(1)
        assert asked(m.app).status_code == 200


def test_time_needs_its_offset_and_goes_forward_only() -> None:
    with pytest.raises(ValueError, match="without an offset"):
        mocks(asgi_app, [DOWN], now=datetime(2027, 1, 31))  # noqa: DTZ001
    with pytest.raises(ValueError, match="forward only"):
        Clock(0.0).advance(-1)


def drawn(m: Mocks[Any]) -> Iterator[int]:
    with m:
        yield from (over_wsgi(m.app, Sent("POST", "/payments")).status for _ in range(40))


def test_chance_is_the_same_in_every_run_and_another_with_another_seed() -> None:
    rules = [Rule("/payments", status=503, probability=0.5)]
    first, again = (list(drawn(mocks(wsgi_app, rules))) for _ in range(2))
    assert first == again != list(drawn(mocks(wsgi_app, rules, seed=1)))
    assert set(first) == {200, 503}


# The block


def test_mocks_that_are_in_place_are_not_put_there_again() -> None:
    with mocks(flask_app(), [DOWN]) as m, pytest.raises(RuntimeError, match="in place already"):
        m.__enter__()


def test_mocks_may_be_put_in_place_a_second_time() -> None:
    app = flask_app()
    m = mocks(app, [DOWN])
    for _ in range(2):
        with m:
            assert app.test_client().post("/payments").status_code == 503
        assert app.test_client().post("/payments").status_code == 200
    assert m.hits() == 2
