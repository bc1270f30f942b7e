"""The ASGI adapter: what is not ours leaves untouched, and what is ours is answered as servers need it.

Apps are driven by hand. What has to wait does so on asyncio and on trio, for events that the test sets.
"""

import inspect
import logging
import time
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from types import coroutine
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from tests.by_hand import (
    Answer,
    Message,
    Receive,
    Scope,
    Send,
    Sent,
    Wire,
    answer_of,
    at_once,
    events_of,
    handshake_of,
    over_asgi,
    run,
    scope_of,
)

import mockware
from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware, bodies

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'
PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}

RULES = [
    Rule("POST /reports", name="reports"),
    Rule("GET /gone", name="gone", status=410),
    Rule("GET /items/{id:int}", name="item", status=200, json={}),
    Rule("/late", name="late", status=503, delay="20ms"),
    Rule("/later", name="later", status=503, delay="30s"),
    Rule("/slow", name="slow", passthrough=True, delay="20ms"),
    Rule("/exempt", passthrough=True),
    Rule("/when", name="when", when={"headers": {"x-a": "1"}}),
    Rule("POST /json", name="json", when={"json": {"a": 1}}),
    Rule("/anyjson", name="anyjson", when={"json": {"a": 1}}),
    Rule("POST /apireports", name="apireports"),
    Rule("POST /json", name="nojson", when={"headers": {"x-b": "1"}}, status=422),
    Rule("/expired", expires="2001-01-01T00:00:00Z"),
    Rule("/upgrade", name="upgrade", status=426),
]


def mocked(app: Any, rules: Any = RULES, **environ: str) -> Any:
    return ASGIMockMiddleware(app, rules=rules, enabled=True, environ=environ)


class Client:
    """A client whose events come one by one, whenever the test gives them.

    `asked[n]` is set when the app waits for event number n; `thrown` is what ended such a wait.
    """

    def __init__(self, *events: Message) -> None:
        self.asked: dict[int, anyio.Event] = defaultdict(anyio.Event)
        self.sent: list[Message] = []
        self.thrown: list[BaseException] = []
        self._given: dict[int, anyio.Event] = defaultdict(anyio.Event)
        self._events: list[Message] = []
        self._next = 0
        self.give(*events)

    def give(self, *events: Message) -> None:
        for event in events:
            self._events.append(event)
            self._given[len(self._events) - 1].set()

    async def receive(self) -> Message:
        number, self._next = self._next, self._next + 1
        self.asked[number].set()
        try:
            await self._given[number].wait()
            await anyio.lowlevel.checkpoint()
        except BaseException as error:
            self.thrown.append(error)
            if type(error).__module__.startswith("trio"):
                self._next = number  # a trio channel keeps what a cancelled wait did not take
            raise
        return self._events[number]

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self.sent.append(message)

    @property
    def answer(self) -> Answer:
        return answer_of(self.sent)


LEFT: Message = {"type": "http.disconnect"}


def piece(body: bytes, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"the app was reached with {scope}")


# ---- what is not ours


class Seen:
    """An app that keeps what it was called with, and returns what no ASGI app returns."""

    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.arguments = (scope, receive, send)
        return self


FOREIGN: dict[str, Scope] = {
    "http": scope_of(Sent("GET", "/elsewhere")),
    "http with a body": scope_of(Sent("PUT", "/elsewhere", body=[b"x"])),
    "http on a rule's path": scope_of(Sent("GET", "/reports")),
    "http on a path that a rule exempts": scope_of(Sent("GET", "/exempt")),
    "http where a condition differs": scope_of(Sent("GET", "/when")),
    "http where a rule has expired": scope_of(Sent("GET", "/expired")),
    "http with a trigger": scope_of(Sent("GET", "/gone", headers=[("X-Mock-Status", "passthrough")])),
    "http with Expect": scope_of(Sent("PUT", "/elsewhere", headers=[("Expect", "100-continue")])),
    "http with Expect on a rule's path": scope_of(Sent("PUT", "/reports", headers=[("Expect", "x")])),
    "http whose path is not behind root_path": scope_of(Sent("POST", "/api/reports", mount="/ap")),
    "http without root_path": {"type": "http", "method": "GET", "path": "/", "headers": []},
    "http with root_path None": scope_of(Sent("GET", "/elsewhere"), root_path=None),
    "websocket": handshake_of(Sent("GET", "/elsewhere")),
    "websocket on a rule's path": handshake_of(Sent("GET", "/reports")),
    "websocket where a condition on the body differs": handshake_of(Sent("GET", "/anyjson")),
    "lifespan": {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}},
    "an unknown type": {"type": "telepathy", "path": "/gone", "headers": None},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_reaches_the_app_with_the_very_same_objects(name: str) -> None:
    app, wire, scope = Seen(), Wire(), FOREIGN[name]
    before = dict(scope)
    receive, send = wire.receive, wire.send
    answer = at_once(mocked(app)(scope, receive, send))
    assert answer is app, "the app's own return value is lost"
    assert app.arguments[0] is scope
    assert app.arguments[1] is receive
    assert app.arguments[2] is send
    assert scope == before
    assert wire.asked == 0
    assert wire.sent == []


@pytest.mark.parametrize("rules", [[], [Rule("GET /{any:path}", when={"query": {"a": "1"}})]])
@pytest.mark.parametrize("kind", ["http", "websocket", "lifespan"])
def test_nothing_is_awaited_before_the_app_is_called(kind: str, rules: list[Rule]) -> None:
    pause = object()

    @coroutine
    def waits() -> Generator[object, Any, Any]:
        return (yield pause)

    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        return await waits()

    scope = scope_of(Sent(), type=kind)
    task = mocked(app, rules)(scope, Wire().receive, Wire().send)
    assert task.send(None) is pause
    with pytest.raises(StopIteration) as finished:
        task.send("resumed")
    assert finished.value.value == "resumed"


@pytest.mark.parametrize("name", FOREIGN)
def test_the_apps_exception_comes_out_as_it_is(name: str) -> None:
    error = RuntimeError("the app's own")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    with pytest.raises(RuntimeError) as raised:
        at_once(mocked(app)(FOREIGN[name], Wire().receive, Wire().send))
    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    package = str(Path(mockware.__file__).parent)
    ours = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(package)
    ]
    assert len(ours) <= 2, "every frame of ours stands in every traceback of theirs"


def test_messages_of_every_extension_reach_the_server_as_the_very_same_objects() -> None:
    messages: list[Message] = [
        {"type": "http.response.debug", "info": {}},
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        {"type": "http.response.start", "status": 200, "headers": iter([(b"X-Odd", b"1")]), "trailers": True},
        {"type": "http.response.body", "body": b"", "more_body": True},
        {"type": "http.response.pathsend", "path": "/etc/hostname"},
        {"type": "http.response.zerocopysend", "file": object()},
        {"type": "http.response.push", "path": "/a", "headers": []},
        {"type": "http.response.trailers", "headers": [], "more_trailers": False},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    wire = Wire()
    at_once(mocked(app)(scope_of(Sent()), wire.receive, wire.send))
    assert all(sent is message for sent, message in zip(wire.sent, messages, strict=True))


def test_a_websocket_that_is_not_ours_runs_to_its_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        assert (await receive())["type"] == "websocket.disconnect"

    events: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hé"}]
    wire = Wire(events, last="websocket.disconnect")
    at_once(mocked(app)(handshake_of(Sent(target="/ws")), wire.receive, wire.send))
    assert wire.sent == [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "hé"}]


def test_lifespan_state_is_the_apps_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"]["pool"] = "open"
        await send({"type": "lifespan.startup.complete"})

    scope: Scope = {"type": "lifespan", "state": {}}
    wire = Wire([{"type": "lifespan.startup"}])
    at_once(mocked(app)(scope, wire.receive, wire.send))
    assert scope["state"] == {"pool": "open"}


def test_nothing_is_logged_on_passthrough(caplog: pytest.LogCaptureFixture) -> None:
    app = mocked(Seen())
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    for scope in FOREIGN.values():
        at_once(app(scope, Wire().receive, Wire().send))
    assert caplog.records == []


def test_never_paths_are_the_apps_whatever_the_request_says(tmp_path: Any) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text('never = ["/live"]\n[[rules]]\nmatch = "/{rest:path}"\n')
    app = Seen()
    headers = [("X-Mock-Status", "x"), ("X-Mock-Delay", "x"), ("Expect", "100-continue")]
    for scope in (scope_of(Sent(target="/live", headers=headers)), handshake_of(Sent(target="/live"))):
        at_once(mocked(app, file)(scope, Wire().receive, Wire().send))
        assert app.arguments[0] is scope


# ---- a mock


def test_a_mock_is_two_messages() -> None:
    wire = Wire(events_of(Sent("POST", "/reports", body=[b"{}"])))
    run(mocked(unreachable)(scope_of(Sent("POST", "/reports", body=[b"{}"])), wire.receive, wire.send))
    start, body = wire.sent
    assert start == {
        "type": "http.response.start",
        "status": 202,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"44"),
            (b"cache-control", b"no-store"),
            (b"x-mock-rule", b"reports"),
        ],
    }
    assert body == {"type": "http.response.body", "body": CANONICAL, "more_body": False}
    assert wire.asked == 1


@pytest.mark.parametrize("more", [{}, {"extensions": None}, {"extensions": {"tls": {}}}])
def test_a_websocket_is_closed_with_1008_where_the_server_knows_no_denial(more: dict[str, Any]) -> None:
    wire = Wire([{"type": "websocket.connect"}])
    scope = handshake_of(Sent(target="/gone"), **more)
    if not more:
        del scope["extensions"]
    run(mocked(unreachable)(scope, wire.receive, wire.send))
    assert wire.sent == [{"type": "websocket.close", "code": 1008, "reason": "Gone"}]
    assert wire.asked == 1, "the server wants websocket.connect to be received first"


def test_a_websocket_is_denied_with_the_mock_where_the_server_can() -> None:
    wire = Wire([{"type": "websocket.connect"}])
    run(mocked(unreachable)(handshake_of(Sent(target="/gone"), **DENIAL), wire.receive, wire.send))
    assert [message["type"] for message in wire.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert wire.answer.status == 410
    assert wire.answer.one("x-mock-rule") == "gone"
    assert len(wire.answer.body) == int(wire.answer.one("content-length"))
    assert wire.asked == 1


def test_a_websocket_heeds_triggers() -> None:
    wire = Wire([{"type": "websocket.connect"}])
    sent = Sent(target="/ws", headers=[("X-Mock-Status", "503")])
    run(mocked(unreachable)(handshake_of(sent, **DENIAL), wire.receive, wire.send))
    assert wire.answer.status == 503


def test_an_http_2_websocket_is_denied_without_fields_of_a_connection() -> None:
    wire = Wire([{"type": "websocket.connect"}])
    scope = handshake_of(Sent(target="/upgrade", http_version="2"), **DENIAL)
    run(mocked(unreachable)(scope, wire.receive, wire.send))
    assert wire.answer.status == 426
    assert wire.answer.all("upgrade") == wire.answer.all("connection") == []


@pytest.mark.anyio
async def test_a_late_denial_comes_after_its_delay() -> None:
    client, began = Client({"type": "websocket.connect"}), time.monotonic()
    with anyio.fail_after(PATIENCE_S):
        scope = handshake_of(Sent(target="/late"), **DENIAL)
        await mocked(unreachable)(scope, client.receive, client.send)
    assert time.monotonic() - began >= 0.02
    assert client.answer.status == 503


@pytest.mark.anyio
async def test_a_websocket_client_that_leaves_during_a_delay_gets_nothing() -> None:
    client = Client({"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006})
    with anyio.fail_after(PATIENCE_S):
        scope = handshake_of(Sent(target="/later"), **DENIAL)
        await mocked(unreachable)(scope, client.receive, client.send)
    assert client.sent == []


def test_the_line_in_the_log_comes_once_for_each_mock(caplog: pytest.LogCaptureFixture) -> None:
    app = mocked(unreachable)
    caplog.clear()
    caplog.set_level(logging.INFO)
    over_asgi(app, Sent("POST", "/reports"))
    run(app(handshake_of(Sent(target="/gone")), Wire([{"type": "websocket.connect"}]).receive, Wire().send))
    assert [(record.levelname, record.name, record.getMessage()) for record in caplog.records] == [
        ("INFO", "mockware", "mocked 'POST' '/reports': 202 by rule 'reports'"),
        ("INFO", "mockware", "mocked 'GET' '/gone': 410 by rule 'gone'"),
    ]


def test_a_path_that_is_not_behind_root_path_is_matched_whole() -> None:
    # As Starlette has it: `/api` is no mount of `/apireports`.
    assert over_asgi(mocked(unreachable), Sent("POST", "/apireports", mount="/api")).status == 202


def test_cookies_that_http_2_has_split_are_put_together_with_their_own_mark() -> None:
    rules = [Rule("/a", when={"cookies": {"x": "1", "y": "2"}})]
    split = [("Cookie", "x=1"), ("Cookie", "y=2")]
    sent = Sent(target="/a", headers=split, http_version="2")
    assert over_asgi(mocked(unreachable, rules), sent).status == 202


# ---- the request's body

UPLOAD = Sent("POST", "/reports", headers=[("Transfer-Encoding", "chunked")])


@pytest.mark.parametrize("target", ["/reports", "/x"])
def test_a_request_that_has_no_body_is_answered_without_asking_for_it(target: str) -> None:
    # RFC 9112 section 6.3: neither field, so no body. Some servers always wait before they say so.
    wire = Wire([piece(b"")])
    headers = [] if target == "/reports" else [("X-Mock-Status", "202")]
    run(mocked(unreachable)(scope_of(Sent("POST", target, headers=headers)), wire.receive, wire.send))
    assert (wire.asked, wire.answer.status) == (0, 202)


@pytest.mark.parametrize(
    "sent",
    [
        UPLOAD,
        Sent("POST", "/reports", headers=[("Content-Length", "1")]),
        Sent("POST", "/reports", http_version="2"),  # RFC 9113 section 8.1.1: no field has to announce one
        Sent("POST", "/reports", http_version="3"),
        Sent("POST", "/reports", http_version="1.0"),
        Sent("POST", "/x", headers=[("Transfer-Encoding", "chunked"), ("X-Mock-Status", "202")]),
        Sent("POST", "/x", headers=[("X-Mock-Status", "202"), ("Content-Length", "1")]),
    ],
)
def test_a_request_that_may_have_a_body_is_asked_for_it(sent: Sent) -> None:
    wire = Wire([piece(b"x")])
    run(mocked(unreachable)(scope_of(sent), wire.receive, wire.send))
    assert (wire.asked, wire.answer.status) == (1, 202)


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [1, 2, 5])
async def test_a_body_is_drained_before_the_mock_is_sent(pieces: int) -> None:
    client = Client(*(piece(b"x" * 9, more=i < pieces) for i in range(1, pieces + 1)))
    sent_before: list[int] = []

    async def receive() -> Message:
        sent_before.append(len(client.sent))
        return await client.receive()

    with anyio.fail_after(PATIENCE_S):
        await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert sent_before == [0] * pieces, "the events are drained, before anything is sent, and no further"
    assert client.answer.body == CANONICAL


@pytest.mark.anyio
async def test_a_body_that_is_there_without_waiting_is_drained() -> None:
    wire = Wire(
        [piece(b"a", more=True), {"type": "http.request", "more_body": True}, {"type": "http.request"}]
    )
    await mocked(unreachable)(scope_of(UPLOAD), wire.receive, wire.send)
    assert wire.asked == 3
    assert wire.answer.status == 202


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [0, 1, 3])
@pytest.mark.parametrize("waits", [True, False])
async def test_nothing_is_sent_to_a_client_that_leaves_while_its_body_is_drained(
    pieces: int, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    events = [*(piece(b"x", more=True) for _ in range(pieces)), LEFT]
    client: Any = Client(*events) if waits else Wire(events)
    app = mocked(unreachable)
    caplog.clear()
    caplog.set_level(logging.INFO, "mockware")
    with anyio.fail_after(PATIENCE_S):
        await app(scope_of(UPLOAD), client.receive, client.send)
    assert client.sent == []
    assert caplog.records == [], "a mock that nobody got is no mock"


def test_the_bounds_of_draining_are_those_of_the_design() -> None:
    assert (bodies.MAX_DRAINED_BYTES, bodies.MAX_DRAINING_S) == (64 * 1024 * 1024, 30.0)


@pytest.mark.anyio
async def test_after_so_many_bytes_the_mock_goes_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_DRAINED_BYTES", 100)
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return piece(b"x" * 10, more=True)

    client = Client()
    with anyio.fail_after(PATIENCE_S):
        await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert client.answer.status == 202
    assert 10 <= asked <= 11


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [0, 1, 2])
async def test_after_so_much_time_the_mock_goes_anyway(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_DRAINING_S", 0.01)
    client = Client(*(piece(b"x", more=True) for _ in range(pieces)))
    with anyio.fail_after(PATIENCE_S):
        await mocked(unreachable)(scope_of(UPLOAD), client.receive, client.send)
    assert client.answer.status == 202
    assert len(client.thrown) == 1, "the wait for the next event is ended, not left behind"


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [0, 1])
async def test_cancelling_a_request_that_is_drained_cancels_its_receive(pieces: int) -> None:
    client = Client(*(piece(b"x", more=True) for _ in range(pieces)))
    outcome: list[str] = []

    async def request() -> None:
        try:
            await mocked(unreachable)(scope_of(UPLOAD), client.receive, client.send)
        except anyio.get_cancelled_exc_class():
            outcome.append("cancelled")
            raise
        outcome.append("returned")

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request)
            await client.asked[pieces].wait()
            tasks.cancel_scope.cancel()
    assert outcome == ["cancelled"]
    assert [type(error) for error in client.thrown] == [anyio.get_cancelled_exc_class()]
    assert client.sent == []


@pytest.mark.anyio
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("pieces", [0, 1])
async def test_an_error_of_receive_comes_out_as_it_is(waits: bool, pieces: int) -> None:
    error = OSError("the connection is broken")
    client = Client(*(piece(b"x", more=True) for _ in range(pieces)))

    async def receive() -> Message:
        if client.asked[pieces - 1].is_set() or not pieces:
            if waits:
                await anyio.lowlevel.checkpoint()
            raise error
        return await client.receive()

    with pytest.raises(OSError, match="broken") as raised:
        await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert raised.value is error
    assert client.sent == []


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [1, 2])
async def test_a_receive_with_a_cancel_scope_of_its_own_can_be_drained(pieces: int) -> None:
    # Cancel scopes have to be left in the reverse order of their entering, so none of ours may be entered
    # while `receive` is inside one of its own. Starlette's BaseHTTPMiddleware hands on such a `receive`.
    client = Client(*(piece(b"x", more=i < pieces) for i in range(1, pieces + 1)))

    async def receive() -> Message:
        with anyio.fail_after(PATIENCE_S):
            return await client.receive()

    await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert client.answer.status == 202


@pytest.mark.anyio
async def test_a_bound_that_ends_a_receive_with_a_cancel_scope_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "MAX_DRAINING_S", 0.01)
    client = Client()

    async def receive() -> Message:
        with anyio.fail_after(PATIENCE_S):
            return await client.receive()

    await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert client.answer.status == 202
    assert len(client.thrown) == 1


class Awaitables:
    """`receive` in the shapes that servers give it: what it returns is awaitable, and no more than that."""

    @staticmethod
    async def a_coroutine() -> Message:
        await anyio.lowlevel.checkpoint()
        return piece(b"x")

    @classmethod
    def an_object(cls) -> Awaitable[Message]:
        class Waits:
            def __await__(self) -> Generator[Any, Any, Message]:
                return (yield from cls.a_coroutine().__await__())

        return Waits()

    @classmethod
    def an_object_without_waiting(cls) -> Awaitable[Message]:
        class Done:
            def __await__(self) -> Any:
                return self

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                raise StopIteration(piece(b"x"))

        return Done()

    @classmethod
    def an_iterator_without_throw(cls) -> Awaitable[Message]:
        class Waits:
            """As extensions in Rust and C have them: `send` or `__next__`, and nothing else."""

            def __await__(self) -> Any:
                self.steps = cls.a_coroutine().__await__()
                return self

            def __iter__(self) -> Any:
                return self

            def __next__(self) -> Any:
                return next(self.steps)

            def send(self, value: Any) -> Any:
                return self.steps.send(value)

        return Waits()

    @classmethod
    @coroutine
    def a_generator(cls) -> Generator[Any, Any, Message]:
        return (yield from cls.a_coroutine().__await__())


@pytest.mark.anyio
@pytest.mark.parametrize(
    "receive",
    [
        Awaitables.a_coroutine,
        Awaitables.an_object,
        Awaitables.an_object_without_waiting,
        Awaitables.an_iterator_without_throw,
        Awaitables.a_generator,
    ],
)
async def test_whatever_can_be_awaited_can_be_drained(receive: Any) -> None:
    client = Client()
    await mocked(unreachable)(scope_of(UPLOAD), receive, client.send)
    assert client.answer.status == 202


# ---- Expect: 100-continue


def expecting(target: str, **more: Any) -> Sent:
    return Sent("POST", target, headers=[("Expect", more.pop("expect", "100-continue"))], **more)


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue"])
@pytest.mark.parametrize("target", ["/reports", "/upgrade"])
def test_an_upload_that_waits_for_leave_is_answered_unread(expect: str, target: str) -> None:
    wire = Wire([piece(b"x")])
    scope = scope_of(expecting(target, expect=expect))
    run(mocked(unreachable)(scope, wire.receive, wire.send))
    assert wire.asked == 0, "asking for the body makes the server ask for it"
    assert "close" in ",".join(wire.answer.all("connection")).lower()


def test_a_trigger_refuses_an_upload_unread() -> None:
    wire = Wire([piece(b"x")])
    headers = [("Expect", "100-continue"), ("X-Mock-Status", "413")]
    run(mocked(unreachable)(scope_of(Sent("PUT", "/x", headers=headers)), wire.receive, wire.send))
    assert wire.asked == 0
    assert wire.answer.status == 413
    assert wire.answer.all("connection") == ["close"]


def test_connection_close_takes_the_place_of_the_rules_own() -> None:
    wire = Wire()
    rules = [Rule("/a", headers={"Connection": "keep-alive"})]
    run(mocked(unreachable, rules)(scope_of(expecting("/a")), wire.receive, wire.send))
    assert wire.answer.all("connection") == ["close"]


def test_an_upgrade_stays_an_option_of_the_connection_that_is_closed() -> None:
    # RFC 9110 section 7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
    answer = over_asgi(mocked(unreachable), expecting("/upgrade"))
    options = {option.strip().lower() for field in answer.all("connection") for option in field.split(",")}
    assert options == {"close", "upgrade"}


@pytest.mark.parametrize("version", ["1.0", "2", "3"])
def test_a_body_that_comes_whatever_is_said_is_drained(version: str) -> None:
    # RFC 9110 section 10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST
    # ignore that expectation." On HTTP/2 and 3 the client need not wait, and there is no connection to close.
    wire = Wire([piece(b"x")])
    run(mocked(unreachable)(scope_of(expecting("/reports", http_version=version)), wire.receive, wire.send))
    assert wire.asked == 1
    assert wire.answer.all("connection") == []


def test_another_expectation_is_no_reason_to_leave_a_body() -> None:
    wire = Wire([piece(b"x")])
    run(mocked(unreachable)(scope_of(expecting("/reports", expect="200-ok")), wire.receive, wire.send))
    assert wire.asked == 1
    assert wire.answer.all("connection") == []


@pytest.mark.anyio
async def test_a_late_refusal_of_an_upload_does_not_ask_for_it() -> None:
    client, began = Client(), time.monotonic()
    with anyio.fail_after(PATIENCE_S):
        await mocked(unreachable)(scope_of(expecting("/late")), client.receive, client.send)
    assert time.monotonic() - began >= 0.02
    assert not client.asked
    assert client.answer.status == 503
    assert client.answer.all("connection") == ["close"]


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b'{"a": 2}', b"no json", b'{"a": 2, "b": "' + b"x" * 200])
async def test_a_body_that_was_asked_for_already_is_drained(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The condition on the body has made the server send 100 Continue: the client is sending now.
    monkeypatch.setattr(bodies, "MAX_BUFFERED_BYTES", 100)
    events = [piece(body[:5], more=True), piece(body[5:], more=True), piece(b"z" * 90, more=True), piece(b"")]
    wire = Wire(events)
    headers = [("Expect", "100-continue"), ("X-B", "1")]
    scope = scope_of(Sent("POST", "/json", headers=headers))
    await mocked(unreachable)(scope, wire.receive, wire.send)
    assert wire.answer.status == 422
    assert wire.asked == 4, "the rest of the body is left on the connection"
    assert wire.answer.all("connection") == []


# ---- delays


@pytest.mark.anyio
async def test_a_late_mock_comes_after_its_delay() -> None:
    client, began = Client(piece(b"a", more=True), piece(b"b")), time.monotonic()
    with anyio.fail_after(PATIENCE_S):
        await mocked(unreachable)(scope_of(Sent("POST", "/late")), client.receive, client.send)
    assert 0.02 <= time.monotonic() - began < PATIENCE_S
    assert client.answer.status == 503
    assert client.asked[2].is_set(), "the client is watched meanwhile"


@pytest.mark.anyio
async def test_a_trigger_delays_the_app_which_then_gets_every_event() -> None:
    app, client, began = Seen(), Client(piece(b"x", more=True), piece(b"y")), time.monotonic()
    scope, send = scope_of(Sent("POST", headers=[("X-Mock-Delay", "20ms")])), client.send

    async def reading(scope: Scope, receive: Receive, send: Send) -> Any:
        app.arguments = scope, receive, send
        assert [await receive(), await receive()] == [piece(b"x", more=True), piece(b"y")]
        return app

    assert await mocked(reading)(scope, client.receive, send) is app
    assert time.monotonic() - began >= 0.02
    assert app.arguments[0] is scope
    assert app.arguments[2] is send


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/slow", "/late"])
async def test_a_client_that_leaves_wakes_the_app_s_own_delay_and_the_app_is_told(target: str) -> None:
    client, told = Client(piece(b"x")), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.extend([await receive(), await receive()])

    early, late = ("30s", None) if target == "/slow" else (None, "30s")
    patient = [Rule(target, passthrough=True, delay=early, delay_after=late)]
    wrapped = ASGIMockMiddleware(app, rules=patient, enabled=True, environ={})
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wrapped, scope_of(Sent("POST", target)), client.receive, client.send)
            await client.asked[1].wait()
            client.give(LEFT)
    assert told == [piece(b"x"), LEFT]


@pytest.mark.anyio
@pytest.mark.parametrize("scope", [scope_of(Sent(target="/slow")), handshake_of(Sent(target="/slow"))])
async def test_a_rule_delays_the_app(scope: Scope) -> None:
    app, began = Seen(), time.monotonic()
    await mocked(app)(scope, Client().receive, Client().send)
    assert time.monotonic() - began >= 0.02
    assert app.arguments[0] is scope


@pytest.mark.anyio
@pytest.mark.parametrize("action", [{"passthrough": True}, {"patch": {"status": 503}}], ids=["app", "patch"])
async def test_a_response_starts_late_and_then_goes_on_as_the_app_sends_it(action: dict[str, Any]) -> None:
    client, order = Client(), list[str]()
    began = started = 0.0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal began
        began = time.monotonic()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for body in (b"a", b"b"):
            order.append("app")
            await send({"type": "http.response.body", "body": body, "more_body": body == b"a"})

    async def send(event: Message) -> None:
        nonlocal started
        started = started or time.monotonic()
        order.append(event["type"].rpartition(".")[2])

    rules = [Rule("/after", delay_after="20ms", **action)]
    wrapped = ASGIMockMiddleware(app, rules=rules, enabled=True, environ={})
    with anyio.fail_after(PATIENCE_S):
        await wrapped(scope_of(Sent(target="/after")), client.receive, send)
    assert started - began >= 0.02
    assert order == ["start", "app", "body", "app", "body"]


@pytest.mark.anyio
async def test_a_client_that_leaves_during_a_delay_ends_it_and_gets_nothing() -> None:
    client = Client(piece(b"x"))
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            scope = scope_of(Sent("POST", "/later"))
            tasks.start_soon(mocked(unreachable), scope, client.receive, client.send)
            await client.asked[1].wait()
            client.give(LEFT)
    assert client.sent == []


@pytest.mark.anyio
async def test_cancelling_a_late_mock_cancels_its_receive() -> None:
    client = Client(piece(b"x"))
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            scope = scope_of(Sent("POST", "/later"))
            tasks.start_soon(mocked(unreachable), scope, client.receive, client.send)
            await client.asked[1].wait()
            tasks.cancel_scope.cancel()
    assert client.sent == []
    assert len(client.thrown) == 1


@pytest.mark.anyio
async def test_an_error_of_receive_during_a_delay_comes_out_as_it_is() -> None:
    error = OSError("the connection is broken")
    client = Client(piece(b"x"))

    async def receive() -> Message:
        if client.asked[0].is_set():
            raise error
        return await client.receive()

    with anyio.fail_after(PATIENCE_S), pytest.raises(OSError, match="broken") as raised:
        await mocked(unreachable)(scope_of(Sent("POST", "/later")), receive, client.send)
    assert raised.value is error
    assert client.sent == []


# ---- others around and inside


class Greedy:
    """A middleware of the worst manners: it keeps, empties and refills whatever is sent through it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def spoiling(message: Message) -> None:
            await send({**message, "headers": list(message.get("headers", ()))})
            if "headers" in message:
                message["headers"].append((b"x-greedy", b"1"))
                message["headers"][0] = (b"x-first", b"1")
                message["headers"].reverse()
                message["status"] = 500
            message["body"] = b"spoiled"
            message.clear()

        await self.app(scope, receive, spoiling)


@pytest.mark.parametrize(
    "sent",
    [
        Sent("POST", "/reports"),
        Sent("GET", "/items/1"),
        Sent("GET", "/when", headers=[("X-A", "1")]),
        Sent("GET", "/x", headers=[("X-Mock-Status", "426")]),
        Sent("GET", "/x", headers=[("X-Mock-Status", "426")], http_version="2"),
        expecting("/reports"),
    ],
)
def test_what_others_do_to_a_mock_harms_no_later_one(sent: Sent) -> None:
    app = mocked(unreachable)
    clean = over_asgi(app, sent)
    for _ in range(2):
        assert over_asgi(Greedy(app), sent).without([]) == clean
    assert over_asgi(app, sent) == clean
    wire = Wire([{"type": "websocket.connect"}])
    run(Greedy(app)(handshake_of(Sent(target="/gone"), **DENIAL), wire.receive, wire.send))
    assert over_asgi(app, Sent(target="/gone")).status == 410


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{request.method} {request.url.path} {len(await request.body())}")


ROUTES = [Route("/{rest:path}", home, methods=["GET", "POST", "PUT"])]


@pytest.mark.anyio
@pytest.mark.parametrize("make", [Starlette, FastAPI])
async def test_add_middleware_takes_the_class(make: Callable[..., Any]) -> None:
    app = make(routes=ROUTES)
    app.add_middleware(ASGIMockMiddleware, rules=RULES, enabled=True, environ={})
    client = Client(piece(b"a", more=True), piece(b"b"))
    await app(scope_of(Sent("POST", "/reports"), app=app), client.receive, client.send)
    assert client.answer.body == CANONICAL
    client = Client(piece(b"a", more=True), piece(b"b"))
    await app(scope_of(Sent("POST", "/elsewhere"), app=app), client.receive, client.send)
    assert client.answer.body == b"POST /elsewhere 2"


@pytest.mark.anyio
async def test_add_middleware_leaves_nothing_behind_while_off() -> None:
    app = Starlette(routes=ROUTES)
    app.add_middleware(ASGIMockMiddleware, rules=RULES, environ={})
    client = Client(piece(b"a"))
    await app(scope_of(Sent("POST", "/reports")), client.receive, client.send)
    assert client.answer.body == b"POST /reports 1"


@pytest.mark.anyio
async def test_a_mounted_app_is_matched_by_the_path_that_it_routes_on() -> None:
    app = Starlette(routes=[Mount("/api", app=mocked(Starlette(routes=ROUTES))), *ROUTES])
    for mount, target, status in [
        ("", "/api/reports", 202),
        ("", "/reports", 200),
        ("/root", "/root/api/reports", 202),
        ("/root", "/root/reports", 200),
        ("", "/api/api/reports", 200),
    ]:
        client = Client(piece(b"a"))
        scope = scope_of(Sent("POST", target, mount=mount))
        await app(scope, client.receive, client.send)
        assert client.answer.status == status, target


CORS: dict[str, Any] = {"allow_origins": ["https://a.test"], "allow_methods": ["PUT"]}
ORIGIN = ("Origin", "https://a.test")


@pytest.mark.anyio
async def test_cors_outside_adds_its_fields_to_mocks() -> None:
    app = CORSMiddleware(mocked(Starlette(routes=ROUTES)), **CORS)
    client = Client(piece(b"a"))
    await app(scope_of(Sent("POST", "/reports", headers=[ORIGIN])), client.receive, client.send)
    assert client.answer.one("access-control-allow-origin") == "https://a.test"
    assert client.answer.body == CANONICAL


@pytest.mark.anyio
async def test_cors_inside_answers_preflights_of_mocked_paths() -> None:
    app = mocked(CORSMiddleware(Starlette(routes=ROUTES), **CORS), [Rule("/reports")])
    headers = [ORIGIN, ("Access-Control-Request-Method", "PUT")]
    client = Client(piece(b""))
    await app(scope_of(Sent("OPTIONS", "/reports", headers=headers)), client.receive, client.send)
    assert client.answer.status == 200
    assert client.answer.one("access-control-allow-methods") == "PUT"


@pytest.mark.anyio
@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("target", ["/reports", "/elsewhere", "/json", "/late"])
async def test_starlettes_base_middleware_may_stand_outside(pieces: int, target: str) -> None:
    async def dispatch(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-outside"] = "1"
        return response

    app = BaseHTTPMiddleware(mocked(Starlette(routes=ROUTES)), dispatch)
    client = Client(*(piece(b"x", more=i < pieces) for i in range(1, pieces + 1)))
    with anyio.fail_after(PATIENCE_S):
        await app(scope_of(Sent("POST", target)), client.receive, client.send)
    assert client.answer.one("x-outside") == "1"
    assert client.answer.status == {"/reports": 202, "/late": 503}.get(target, 200)


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/reports", "/elsewhere", "/json"])
async def test_starlettes_base_middleware_may_stand_inside(target: str) -> None:
    async def dispatch(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    app = mocked(BaseHTTPMiddleware(Starlette(routes=ROUTES), dispatch))
    client = Client(piece(b"a", more=True), piece(b"b"))
    with anyio.fail_after(PATIENCE_S):
        await app(scope_of(Sent("POST", target)), client.receive, client.send)
    assert client.answer.status == (202 if target == "/reports" else 200)


@pytest.mark.anyio
@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware])
@pytest.mark.parametrize("on", [(True, True), (True, False), (False, True), (False, False)])
async def test_wrapping_twice_is_harmless(wrap: Any, on: tuple[bool, bool]) -> None:
    inner, outer = on
    app = Starlette(routes=ROUTES)
    once = wrap(app, rules=[Rule("/inner", status=203), Rule("/both", status=203)], enabled=inner, environ={})
    twice = wrap(
        once, rules=[Rule("/outer", status=207), Rule("/both", status=207)], enabled=outer, environ={}
    )
    expected = {
        "/inner": 203 if inner else 200,
        "/outer": 207 if outer else 200,
        "/both": 207 if outer else 203 if inner else 200,
        "/neither": 200,
    }
    for target, status in expected.items():
        client = Client(piece(b"a", more=True), piece(b"b"))
        await twice(scope_of(Sent("POST", target)), client.receive, client.send)
        assert client.answer.status == status
    seen = Seen()
    stack = wrap(wrap(seen, enabled=inner, environ={}), enabled=outer, environ={})
    scope = scope_of(Sent())
    assert await stack(scope, Client().receive, Client().send) is seen
    assert seen.arguments[0] is scope


class Legacy:
    """An ASGI 2 app: called with the scope, it makes an instance that is called with the rest."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        body = self.scope["path"].encode() + (await receive()).get("body", b"")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware])
def test_a_legacy_asgi_2_app_is_called_in_its_own_way(wrap: Any) -> None:
    app = wrap(Legacy, rules=RULES, enabled=True, environ={})
    assert isinstance(app, ASGIMockMiddleware)
    assert over_asgi(app, Sent("PUT", "/x", body=[b"yz"])).body == b"/xyz"
    assert over_asgi(app, Sent("POST", "/reports", body=[b"yz"])).body == CANONICAL


@pytest.mark.anyio
async def test_requests_at_the_same_time_do_not_mix() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (event := await receive())["more_body"]:
            body += event["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body + event["body"]})

    shared = mocked(app)
    clients: list[tuple[Client, Sent, bytes]] = []
    for i in range(40):
        text = b"%d" % i
        wanted = b'{"a": 1, "n": %d}' % i
        for sent, expected in [
            (Sent("POST", "/json", body=[wanted[:7], wanted[7:]]), CANONICAL),
            (Sent("POST", "/json", body=[text, b"", text]), text * 2),
            (Sent("POST", "/reports", body=[text, text]), CANONICAL),
            (Sent("POST", "/x", body=[text, text]), text * 2),
            (Sent("GET", "/slow", body=[text]), text),
            (Sent("GET", "/items/1", headers=[("X-Mock-Delay", f"{i % 7}ms")]), b"{}"),
        ]:
            clients.append((Client(), sent, expected))
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            for client, sent, _ in clients:
                tasks.start_soon(shared, scope_of(sent), client.receive, client.send)
            for turn in range(3):
                for client, sent, _ in reversed(clients):
                    client.give(*events_of(sent)[turn : turn + 1])
                await anyio.lowlevel.checkpoint()
    for client, sent, expected in clients:
        assert client.answer.body == expected, sent


# ---- how servers see it


def test_a_wsgi_server_is_told_of_the_right_class() -> None:
    app = mocked(Seen())
    with pytest.raises(TypeError, match="WSGIMockMiddleware"):
        app({"PATH_INFO": "/"}, lambda *_: None)


def test_a_wsgi_app_is_refused_by_name() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    with pytest.raises(TypeError, match="use WSGIMockMiddleware"):
        mocked(app)
    with pytest.raises(TypeError, match="use WSGIMockMiddleware"):
        mocked(WSGIMockMiddleware(app, enabled=True, environ={}))


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        ASGIMockMiddleware(Seen(), RULES)  # type: ignore[call-arg]
    parameters = inspect.signature(ASGIMockMiddleware).parameters
    assert [name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY] == [
        "rules",
        "enabled",
        "store",
        "environ",
        "clock",
    ]
