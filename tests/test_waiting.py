"""Nobody can make a process hold more sleepers than the cap, and every place comes free again.

The cap is patched to two. Who sleeps does so until the test lets go of it, and none sleeps for long.
"""

import gc
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from tests.by_hand import (
    Answer,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    Sent,
    answer_of,
    environ_of,
    handshake_of,
    over_wsgi,
    scope_of,
)

from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware, waiting
from mockware.waiting import Listener

CAP = 2
PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed

RULES = [
    Rule("/later", name="later", delay="30s"),
    Rule("/soon", name="soon", delay="1ms"),
    Rule("/now", name="now"),
    Rule("/slow", name="slow", passthrough=True, delay="30s"),
    Rule("/soonapp", name="soonapp", passthrough=True, delay="1ms"),
    Rule("/drip", name="drip", drip="30s"),
    Rule("/stall", name="stall", fault="stall"),
    Rule("/cut", name="cut", fault="cut", delay="1ms"),
    Rule("/late", name="late", passthrough=True, delay_after="30s"),
]
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


@pytest.fixture(autouse=True)
def two_places(monkeypatch: pytest.MonkeyPatch) -> threading.BoundedSemaphore:
    places = threading.BoundedSemaphore(CAP)
    monkeypatch.setattr(waiting, "_places", places)
    return places


def free_places(places: threading.BoundedSemaphore) -> int:
    taken = 0
    while places.acquire(blocking=False):
        taken += 1
    for _ in range(taken):
        places.release()
    return taken


def test_the_cap_is_that_of_the_design(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert waiting.MAX_SLEEPERS == 1000
    assert free_places(waiting._places) == 1000


def judge_refusal(answer: Answer, rule: str) -> None:
    assert answer.status == 503
    assert answer.one("content-type") == "application/problem+json"
    assert answer.one("x-mock-rule") == rule
    assert answer.one("cache-control") == "no-store"
    assert answer.one("retry-after") == "1"
    told = json.loads(answer.body)
    assert told["status"] == 503
    assert str(waiting.MAX_SLEEPERS) in told["detail"]
    assert "waiting for delayed mocks" in told["detail"]


# ---- ASGI


class Client:
    """A client with a body of one event. `watched` is set when the app waits for it to leave."""

    def __init__(self, first: str = "http.request") -> None:
        self._first = first
        self.watched = anyio.Event()
        self.leaves = anyio.Event()
        self.sent: list[Message] = []
        self._asked = 0

    async def receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": self._first}
        self.watched.set()
        if not self.leaves.is_set():  # as on uvicorn, what is there already is not waited for
            await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> Answer:
        return answer_of(self.sent)


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"reached"})


def asgi(app: Any = reached) -> Any:
    return ASGIMockMiddleware(app, rules=RULES, enabled=True, environ={})


async def answered(app: Any, sent: Sent) -> Answer:
    client = Client()
    with anyio.fail_after(PATIENCE_S):
        await app(scope_of(sent), client.receive, client.send)
    return client.answer


@pytest.mark.anyio
async def test_one_more_than_the_cap_is_told_so_and_the_others_go_on(
    two_places: threading.BoundedSemaphore,
) -> None:
    app = asgi()
    sleepers = [Client() for _ in range(CAP)]
    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            for client in sleepers:
                tasks.start_soon(app, scope_of(Sent("POST", "/later")), client.receive, client.send)
                await client.watched.wait()
            assert free_places(two_places) == 0
            judge_refusal(await answered(app, Sent("POST", "/later")), "later")
            judge_refusal(await answered(app, Sent("GET", "/soon")), "soon")
            judge_refusal(await answered(app, Sent("GET", "/soonapp")), "soonapp")
            judge_refusal(
                await answered(app, Sent("GET", "/x", headers=[("X-Mock-Delay", "1ms")])), "passthrough"
            )
            triggered = [("X-Mock-Delay", "1ms"), ("X-Mock-Status", "200")]
            judge_refusal(await answered(app, Sent("GET", "/x", headers=triggered)), "trigger")
            # Who does not sleep needs no place.
            assert (await answered(app, Sent("GET", "/now"))).status == 202
            assert (await answered(app, Sent("GET", "/x"))).body == b"reached"
            none = [("X-Mock-Delay", "0s")]
            assert (await answered(app, Sent("GET", "/later", headers=none))).status == 202
            assert [client.sent for client in sleepers] == [[]] * CAP
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/later", "/slow"])
async def test_a_refusal_of_a_head_request_has_no_body(
    target: str, two_places: threading.BoundedSemaphore
) -> None:
    with taken(two_places):
        get = await answered(asgi(), Sent("GET", target))
        head = await answered(asgi(), Sent("HEAD", target))
    assert head == Answer(get.status, get.fields, b"")


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/later", "/slow"])
async def test_a_refusal_of_an_upload_that_waits_for_leave_does_not_ask_for_it(
    target: str, two_places: threading.BoundedSemaphore
) -> None:
    client = Client()
    scope = scope_of(Sent("PUT", target, headers=[("Expect", "100-continue")]))

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    with taken(two_places):
        await asgi()(scope, receive, client.send)
    assert client.answer.status == 503
    assert client.answer.all("connection") == ["close"]


@pytest.mark.anyio
async def test_a_refusal_drains_the_body(two_places: threading.BoundedSemaphore) -> None:
    asked = []

    async def receive() -> Message:
        asked.append(1)
        return {"type": "http.request", "body": b"x", "more_body": len(asked) < 3}

    client = Client()
    with taken(two_places):
        await asgi()(scope_of(Sent("POST", "/later")), receive, client.send)
    assert len(asked) == 3
    assert client.answer.status == 503


@pytest.mark.anyio
async def test_a_refused_websocket_is_told_so(two_places: threading.BoundedSemaphore) -> None:
    client = Client("websocket.connect")
    with taken(two_places):
        await asgi()(handshake_of(Sent(target="/later"), **DENIAL), client.receive, client.send)
    judge_refusal(client.answer, "later")


@contextmanager
def taken(places: threading.BoundedSemaphore) -> Iterator[None]:
    """All places are."""
    for _ in range(CAP):
        assert places.acquire(blocking=False)
    try:
        yield
    finally:
        for _ in range(CAP):
            places.release()


async def it_is_answered(app: Any) -> None:
    assert (await answered(app, Sent("GET", "/soon"))).status == 202


async def the_app_answers(app: Any) -> None:
    assert (await answered(app, Sent("GET", "/soonapp"))).status == 200


async def the_client_leaves(app: Any) -> None:
    client = Client()
    client.leaves.set()
    await app(scope_of(Sent("GET", "/later")), client.receive, client.send)
    assert client.sent == []


async def the_client_leaves_a_body_that_drips(app: Any) -> None:
    client = Client()
    client.leaves.set()
    await app(scope_of(Sent("GET", "/drip")), client.receive, client.send)
    assert len(client.sent) <= 2


async def the_client_leaves_a_stall(app: Any) -> None:
    client = Client()
    client.leaves.set()
    await app(scope_of(Sent("GET", "/stall")), client.receive, client.send)
    assert not any(message.get("body") for message in client.sent)


async def half_of_it_is_sent(app: Any) -> None:
    client = Client()
    await app(scope_of(Sent("GET", "/cut")), client.receive, client.send)
    *_, half, last = client.sent
    assert 2 * len(half["body"]) == 44
    assert last == {"type": "http.response.body", "body": b"", "more_body": True}


async def the_client_leaves_a_late_app(app: Any) -> None:
    client = Client()
    client.leaves.set()
    await app(scope_of(Sent("GET", "/late")), client.receive, client.send)
    assert client.answer.body == b"reached"


async def the_client_leaves_a_websocket(app: Any) -> None:
    client = Client()

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        return {"type": "websocket.disconnect"}

    await app(handshake_of(Sent(target="/later"), **DENIAL), receive, client.send)
    assert client.sent == []


async def it_is_cancelled(app: Any) -> None:
    client = Client()
    async with anyio.create_task_group() as inner:
        inner.start_soon(app, scope_of(Sent("GET", "/later")), client.receive, client.send)
        await client.watched.wait()
        inner.cancel_scope.cancel()


async def it_is_cancelled_before_the_app(app: Any) -> None:
    client = Client()
    with anyio.move_on_after(0.001):
        await app(scope_of(Sent("GET", "/slow")), client.receive, client.send)
    assert client.sent == []


async def its_input_breaks(app: Any) -> None:
    async def receive() -> Message:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await app(scope_of(Sent("GET", "/soon")), receive, Client().send)


async def its_output_breaks(app: Any) -> None:
    async def send(message: Message) -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await app(scope_of(Sent("GET", "/soon")), Client().receive, send)


async def the_app_breaks(app: Any) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await asgi(broken)(scope_of(Sent("GET", "/soonapp")), Client().receive, Client().send)


Ending = Callable[[Any], Awaitable[None]]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "ending",
    [
        it_is_answered,
        the_app_answers,
        the_client_leaves,
        the_client_leaves_a_body_that_drips,
        the_client_leaves_a_stall,
        half_of_it_is_sent,
        the_client_leaves_a_late_app,
        the_client_leaves_a_websocket,
        it_is_cancelled,
        it_is_cancelled_before_the_app,
        its_input_breaks,
        its_output_breaks,
        the_app_breaks,
    ],
)
async def test_a_place_is_free_again_when(ending: Ending, two_places: threading.BoundedSemaphore) -> None:
    with anyio.fail_after(PATIENCE_S):
        for _ in range(CAP + 1):
            await ending(asgi())
            assert free_places(two_places) == CAP


@pytest.mark.anyio
async def test_the_app_does_not_hold_the_place_of_its_delay(two_places: threading.BoundedSemaphore) -> None:
    places: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        places.append(free_places(two_places))

    client = Client()
    await asgi(app)(scope_of(Sent("GET", "/soonapp")), client.receive, client.send)
    assert places == [CAP]


@pytest.mark.anyio
async def test_a_client_that_reads_slowly_does_not_hold_the_place_of_its_delay(
    two_places: threading.BoundedSemaphore,
) -> None:
    # Back-pressure has no end; a place is for the sleep, which has one.
    places: list[int] = []

    async def send(message: Message) -> None:
        places.append(free_places(two_places))

    await asgi()(scope_of(Sent("GET", "/soon")), Client().receive, send)
    assert places == [CAP, CAP]


# ---- WSGI


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> Iterator["Sleeping"]:
    sleeping = Sleeping()
    monkeypatch.setattr(time, "sleep", sleeping)
    yield sleeping
    sleeping.over.set()


class Sleeping:
    """`time.sleep` that ends when the test says so."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.over = threading.Event()

    def __call__(self, seconds: float) -> None:
        if seconds:
            self.began.release()
            assert self.over.wait(PATIENCE_S)


def wsgi_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"reached"]


def wsgi(app: Any = wsgi_app) -> Any:
    return WSGIMockMiddleware(app, rules=RULES, enabled=True, environ={})


def test_one_more_thread_than_the_cap_is_told_so_and_the_others_go_on(
    two_places: threading.BoundedSemaphore, sleeping: Sleeping
) -> None:
    app = wsgi()
    with ThreadPoolExecutor(CAP) as threads:
        asleep: list[Future[Answer]] = []
        for target in ("/later", "/slow"):
            asleep.append(threads.submit(over_wsgi, app, Sent("GET", target)))
            assert sleeping.began.acquire(timeout=PATIENCE_S)
        assert free_places(two_places) == 0
        judge_refusal(over_wsgi(app, Sent("POST", "/later", body=[b"x"])), "later")
        judge_refusal(over_wsgi(app, Sent("GET", "/slow")), "slow")
        judge_refusal(over_wsgi(app, Sent("GET", "/x", headers=[("X-Mock-Delay", "1ms")])), "passthrough")
        assert over_wsgi(app, Sent("GET", "/now")).status == 202
        assert over_wsgi(app, Sent("GET", "/x")).body == b"reached"
        assert not any(future.done() for future in asleep)
        sleeping.over.set()
        assert [future.result(PATIENCE_S).status for future in asleep] == [202, 200]
    assert free_places(two_places) == CAP


@pytest.mark.parametrize("target", ["/later", "/slow"])
def test_a_refusal_of_a_head_request_has_no_body_on_wsgi(
    target: str, two_places: threading.BoundedSemaphore
) -> None:
    with taken(two_places):
        get = over_wsgi(wsgi(), Sent("GET", target))
        head = over_wsgi(wsgi(), Sent("HEAD", target))
    assert head == Answer(get.status, get.fields, b"")


def broken_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise OSError("broken")


class BrokenInput:
    def read(self, size: int) -> bytes:
        raise ValueError("broken")


@pytest.mark.parametrize(
    ("app", "environ"),
    [
        (wsgi_app, environ_of(Sent("GET", "/soon"))),
        (wsgi_app, environ_of(Sent("GET", "/soonapp"))),
        (broken_app, environ_of(Sent("GET", "/soonapp"))),
        (wsgi_app, environ_of(Sent("GET", "/soon", length="5"), BrokenInput())),
    ],
    ids=["answered", "passed", "the app breaks", "the input breaks"],
)
def test_a_thread_gives_its_place_back(
    app: Any, environ: Environ, two_places: threading.BoundedSemaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    for _ in range(CAP + 1):
        with suppress(OSError, ValueError):
            wsgi(app)(environ, lambda *_: None)
        assert free_places(two_places) == CAP


def test_an_interrupted_sleep_gives_its_place_back(
    two_places: threading.BoundedSemaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupted)
    for target in ("/later", "/slow"):
        with pytest.raises(KeyboardInterrupt):
            wsgi()(environ_of(Sent("GET", target)), print)
    assert free_places(two_places) == CAP


def test_the_wsgi_app_does_not_hold_the_place_of_its_delay(two_places: threading.BoundedSemaphore) -> None:
    places: list[int] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        places.append(free_places(two_places))
        return []

    wsgi(app)(environ_of(Sent("GET", "/soonapp")), print)
    assert places == [CAP]


def test_both_interfaces_share_the_places_of_a_process(
    two_places: threading.BoundedSemaphore, sleeping: Sleeping
) -> None:
    with ThreadPoolExecutor(CAP) as threads:
        for _ in range(CAP):
            threads.submit(over_wsgi, wsgi(), Sent("GET", "/later"))
            assert sleeping.began.acquire(timeout=PATIENCE_S)
        judge_refusal(anyio.run(answered, asgi(), Sent("GET", "/later")), "later")
        sleeping.over.set()


def test_a_body_that_drips_holds_its_place_until_it_is_closed(
    two_places: threading.BoundedSemaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    body: Any = wsgi()(environ_of(Sent("GET", "/drip")), lambda *_: lambda piece: None)
    assert free_places(two_places) == CAP - 1
    assert b"".join(body) == b'{"status": "accepted", "task_id": "abc-123"}'
    assert sum(slept) == pytest.approx(30)
    assert free_places(two_places) == CAP
    body.close()
    assert free_places(two_places) == CAP


def test_whoever_forgets_to_close_a_body_keeps_no_place(two_places: threading.BoundedSemaphore) -> None:
    body: Any = wsgi()(environ_of(Sent("GET", "/drip")), lambda *_: lambda piece: None)
    assert free_places(two_places) == CAP - 1
    del body
    gc.collect()
    assert free_places(two_places) == CAP


def test_a_stall_lasts_as_long_as_the_cap_lets_it_with_its_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    app = WSGIMockMiddleware(
        wsgi_app, rules=[Rule("/", delay="10s", fault="stall")], enabled=True, environ={}
    )
    body = iter(app(environ_of(Sent("GET", "/")), lambda *_: lambda piece: None))
    assert next(body) == b""
    with pytest.raises(ConnectionResetError):
        next(body)
    assert slept == [10, 20]


# ---- listening to a client while something else goes on


@pytest.mark.anyio
async def test_what_a_client_says_meanwhile_is_kept_for_whoever_asks_next() -> None:
    said: list[Message] = [{"type": "http.request", "body": b"%d" % i, "more_body": True} for i in range(3)]
    client = Client()

    async def receive() -> Message:
        return said.pop(0) if said else await client.receive()

    with Listener(receive) as listener:
        with anyio.fail_after(PATIENCE_S):
            assert await listener.during(client.watched.wait)
            heard = [(await listener())["body"] for _ in range(3)]
            client.leaves.set()
            assert not await listener.sleep(30)
            assert (await listener())["type"] == "http.request", "the client's own first event"
            assert (await listener())["type"] == "http.disconnect"
    assert heard == [b"0", b"1", b"2"]


@pytest.mark.anyio
async def test_an_app_that_looks_whether_its_client_has_left_is_told_though_it_was_delayed() -> None:
    client, told = Client(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await request.body()
        told.append(await request.is_disconnected())
        client.leaves.set()
        for _ in range(5):  # what is on its way has come by then
            await anyio.lowlevel.checkpoint()
        told.append(await request.is_disconnected())

    with anyio.fail_after(PATIENCE_S):
        await asgi(app)(scope_of(Sent("GET", "/soonapp")), client.receive, client.send)
    assert told == [False, True]


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/soon", "/drip"])
async def test_an_error_of_send_comes_out_as_it_is(target: str) -> None:
    async def send(message: Message) -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        await asgi()(scope_of(Sent("GET", target)), Client().receive, send)


@pytest.mark.anyio
@pytest.mark.parametrize("target", ["/drip", "/stall", "/cut"])
async def test_a_websocket_is_refused_whole(target: str) -> None:
    client = Client("websocket.connect")
    with anyio.fail_after(PATIENCE_S):
        await asgi()(handshake_of(Sent("GET", target), **DENIAL), client.receive, client.send)
    assert len(client.answer.body) == 44


@pytest.mark.anyio
async def test_no_more_is_kept_than_the_bound() -> None:
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": bytes(1 << 19), "more_body": True}

    with Listener(receive) as listener:
        assert await listener.sleep(0.001)
    assert asked == 2


@pytest.mark.anyio
async def test_one_that_does_not_listen_asks_for_nothing() -> None:
    async def receive() -> Message:
        raise AssertionError("the client was asked for its body")

    with Listener(receive, listens=False) as listener:
        assert await listener.sleep(0.001)


@pytest.mark.anyio
async def test_a_thread_is_waited_for_only_so_long() -> None:
    never: Future[None] = Future()
    with anyio.fail_after(PATIENCE_S):
        await waiting.finished(never, 0.001)
        never.set_result(None)
        await waiting.finished(never, 30)
        with ThreadPoolExecutor(1) as threads:
            counting = threads.submit(lambda: 7)
            await waiting.finished(counting, PATIENCE_S)
            assert counting.result(0) == 7
