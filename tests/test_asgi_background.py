"""An app that works in the background is told of once, whatever becomes of it, and before it is shut down.

Who hangs does so until the test lets go of it; what runs out is made short, what does not is for ever.
"""

import asyncio
import http.client
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal, NoReturn

import anyio
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from tests.by_hand import Message, Receive, Scope, Send, Sent, scope_of

from mockware import asgi_background
from mockware.asgi_background import Background
from mockware.captured import MAX_CAPTURED_BYTES, Captured
from mockware.nesting import let_through, let_through_by

PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed
SHORT_S = 0.05  # for what a test wants to run out

SHUT_DOWN = "the server was shut down before the app had answered"
CANCELLED = "the run was cancelled before the app had answered"

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test in an event loop of its own, within bounds."""

    async def bounded(main: Callable[[], Awaitable[Any]]) -> Any:
        with anyio.fail_after(PATIENCE_S):
            return await main()

    return lambda main: anyio.run(bounded, main, backend=request.param)


START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
PART: dict[str, Any] = {"type": "http.response.body", "body": b"part", "more_body": True}
WHOLE: dict[str, Any] = PART | {"body": bytes(MAX_CAPTURED_BYTES)}
END: dict[str, Any] = {"type": "http.response.body"}


class Told:
    """A `done` that can be waited for."""

    def __init__(self) -> None:
        self.all: list[Captured] = []
        self._event = anyio.Event()

    async def __call__(self, captured: Captured) -> None:
        await anyio.lowlevel.checkpoint()  # as a store would
        self.all.append(captured)
        self._event.set()

    async def once(self) -> Captured:
        await self._event.wait()
        (captured,) = self.all
        return captured


async def nobody_answers(app: Any = None, scope: Any = None, receive: Any = None, send: Any = None) -> None:
    await anyio.sleep_forever()


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"done"})


async def outcome(app: Any, sent: Sent | None = None, timeout_s: float = PATIENCE_S) -> Captured:
    """What an app answers in the background, without a lifespan."""
    told = Told()
    scope = scope_of(sent or Sent())
    assert Background().start(app, scope, b"".join((sent or Sent()).body), told, timeout_s=timeout_s)
    return await told.once()


@asynccontextmanager
async def served(background: Background, app: Any, state: Any = None) -> AsyncIterator[Callable[[], None]]:
    """The lifespan of an app, by hand, after its startup; it is shut down at the end, or when told."""
    started, stopping = anyio.Event(), anyio.Event()
    sent: list[str] = []

    async def receive() -> Message:
        if not sent:
            return {"type": "lifespan.startup"}
        await stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        sent.append(message["type"])
        started.set()

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {} if state is None else state}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(background.lifespan, app, scope, receive, send)
        await started.wait()
        yield stopping.set
        stopping.set()
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class App:
    """An app that notes what happens, and answers when it is let go."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began, self.let_go = anyio.Event(), anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                self.notes.append((await receive())["type"])
                await send({"type": f"lifespan.{word}.complete"})
            return
        self.began.set()
        try:
            await self.let_go.wait()
            await answers(scope, receive, send)
        finally:
            self.notes.append("run is over")


# What is taken down


@given(
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5),
    pieces=st.lists(st.binary(max_size=50), max_size=5),
)
def test_what_the_app_sends_is_what_is_told(
    status: int, headers: list[tuple[bytes, bytes]], pieces: list[bytes]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    captured = asyncio.run(outcome(app))
    assert (captured.status, captured.body, captured.reason) == (status, b"".join(pieces), "")
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in captured.headers] == headers


async def stream(request: Request) -> StreamingResponse:
    body = await request.body()

    async def pieces() -> AsyncIterator[bytes]:
        for byte in body:
            await anyio.lowlevel.checkpoint()
            yield bytes([byte])

    return StreamingResponse(pieces(), 201, {"x-method": request.method}, "text/plain")


async def fail(request: Request) -> NoReturn:
    raise LookupError("the secret is 1234")


async def floods(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    while True:
        await send(PART | {"body": b""})  # which never suspends by itself


STARLETTE = Starlette(
    routes=[
        Route("/stream", stream, methods=["POST"]),
        Route("/fail", fail),
    ]
)


def test_an_app_that_streams_has_its_whole_response_taken_down(run: Run) -> None:
    sent = Sent("POST", "/stream", body=[b"as it ", b"came"])
    assert run(lambda: outcome(STARLETTE, sent)) == Captured(
        201, (("x-method", "POST"), ("content-type", "text/plain; charset=utf-8")), b"as it came"
    )


def test_a_sync_endpoint_of_fastapi_is_made_asynchronous_within_its_lifespan(run: Run) -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"database": "there"}

    app = FastAPI(lifespan=lifespan)

    @app.get("/report")
    def report(request: Request) -> dict[str, str]:
        return {"database": request.state.database}

    async def main() -> Captured:
        background, told, state = Background(), Told(), dict[str, Any]()
        async with served(background, app, state):
            assert background.start(
                app, scope_of(Sent(target="/report"), state=state), b"", told, timeout_s=PATIENCE_S
            )
            return await told.once()

    captured = run(main)
    assert (captured.status, captured.body) == (200, b'{"database":"there"}')


def test_an_error_is_told_by_its_name_and_logged_with_its_traceback(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    # Starlette sends a plain 500 first, and raises then: a server has sent it as well.
    assert run(lambda: outcome(STARLETTE, Sent(target="/fail"))).status == 500

    async def app(scope: Scope, receive: Receive, send: Send) -> NoReturn:
        raise LookupError("the secret is 1234")

    caplog.clear()
    assert run(lambda: outcome(app)) == Captured(reason="the app raised LookupError")
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mockware", "ERROR")
    assert record.getMessage() == "'GET' '/' failed in the background"
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)


def test_an_app_that_exits_ends_nothing_but_its_run(run: Run) -> None:
    async def app(*_: object) -> NoReturn:
        sys.exit(3)

    assert run(lambda: outcome(app)).reason == "the app raised SystemExit"


@pytest.mark.parametrize("app", [nobody_answers, floods])
def test_an_app_that_never_ends_is_cancelled_when_its_time_is_over(app: Any, run: Run) -> None:
    captured = run(lambda: outcome(app, timeout_s=SHORT_S))
    assert captured == Captured(reason="the app gave no response within 0.05 s")


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], "the app gave no response"),
        ([START], "the app broke off its response"),
        ([START, PART], "the app broke off its response"),
        ([START, WHOLE, END], ""),
        ([START, WHOLE, PART, END], "the response is longer than 1 MiB"),
        (
            [START | {"headers": [(b"a", b"\xff" * 30_000)]}, WHOLE, END],
            "the header fields of the response are too long to be kept",
        ),
        ([END], "the app raised RuntimeError"),
        ([START, START], "the app raised RuntimeError"),
        ([START, {"type": "http.response.pathsend", "path": "/"}], "the app raised RuntimeError"),
        ([START, END, START, PART, PART], ""),
    ],
)
def test_a_response_is_taken_down_whole_or_there_is_a_reason(
    events: list[dict[str, Any]], reason: str, run: Run
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for event in events:
            await send(event)

    assert run(lambda: outcome(app)).reason == reason


# What the app is given


def test_the_app_has_a_scope_of_its_own_without_ways_past_its_events(run: Run) -> None:
    past = ("pathsend", "zerocopysend", "push", "trailers", "early_hint", "debug")
    extensions: dict[str, Any] = {f"http.response.{name}": {} for name in past} | {"tls": {"a": 1}}
    original = scope_of(Sent("PUT", "/a", "b=c"), extensions=extensions)
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({**scope})
        scope["headers"].clear()
        scope.clear()

    async def main() -> None:
        told = Told()
        Background().start(app, original, b"", told, timeout_s=PATIENCE_S)
        await told.once()

    before = {**original, "headers": [*original["headers"]]}
    run(main)
    assert original == before
    (scope,) = seen
    assert scope.pop("extensions") == {"tls": {"a": 1}}
    del before["extensions"]
    assert scope == before | {"headers": []}
    assert all(scope[name] is before[name] for name in before if name != "headers")


def test_the_body_is_one_event_and_no_disconnect_is_invented_before_the_response(run: Run) -> None:
    heard: list[Message] = []
    still_connected: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        still_connected.append(not await Request(scope, receive).is_disconnected())
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                heard.append(await receive())

            tasks.start_soon(listen)
            await anyio.wait_all_tasks_blocked()
            still_connected.append(len(heard) == 1)
            await answers(scope, receive, send)

    async def main() -> None:
        background, told = Background(), Told()
        async with served(background, lifespan_app):
            background.start(app, scope_of(Sent()), b"body", told, timeout_s=PATIENCE_S)
            await told.once()

    lifespan_app = Starlette()
    run(main)
    assert heard == [
        {"type": "http.request", "body": b"body", "more_body": False},
        {"type": "http.disconnect"},
    ]
    assert still_connected == [True, True]


def test_a_run_has_a_copy_of_its_requests_context_and_the_word_of_a_middleware_outside(run: Run) -> None:
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((variable.get(), let_through_by(scope["headers"])))
        variable.set("of the run")

    async def main() -> None:
        told = Told()
        variable.set("of the request")
        scope = scope_of(Sent())
        with let_through(scope["headers"], by="outer"):
            Background().start(app, scope, b"", told, timeout_s=PATIENCE_S)
        variable.set("later")
        await told.once()
        assert variable.get() == "later"

    run(main)
    assert seen == ["of the request", "outer"]


@pytest.mark.parametrize("serve", [served, lambda *_: nullcontext()], ids=["lifespan", "no lifespan"])
def test_the_end_of_its_request_is_not_the_end_of_a_run(serve: Any, run: Run) -> None:
    async def main() -> None:
        background, told, app = Background(), Told(), App()
        async with serve(background, app):
            with anyio.CancelScope() as request:
                background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
                await app.began.wait()
                request.cancel()
                await anyio.sleep_forever()
            app.let_go.set()
            assert (await told.once()).body == b"done"

    run(main)


def test_a_response_is_told_when_it_is_there_and_not_when_the_app_has_cleaned_up(run: Run) -> None:
    let_go = anyio.Event()
    after: list[str] = []

    async def clean_up() -> None:
        await let_go.wait()
        after.append("cleaned up")

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse("there", background=BackgroundTask(clean_up))

    async def main() -> None:
        background, told = Background(), Told()
        app = Starlette(routes=[Route("/", endpoint)])
        async with served(background, app):
            background.start(app, scope_of(Sent()), b"", told, timeout_s=SHORT_S)
            assert (await told.once()).body == b"there"
            let_go.set()
        assert after == ["cleaned up"]

    run(main)


def test_what_cannot_be_kept_is_logged_and_ends_nothing(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        background = Background()

        async def done(captured: Captured) -> NoReturn:
            raise OSError("no room")

        async with served(background, Starlette()):
            background.start(answers, scope_of(Sent()), b"", done, timeout_s=PATIENCE_S)

    run(main)
    assert "could not keep what 'GET' '/' answered" in caplog.text


# How many


def test_no_more_than_so_many_run_at_once_and_every_place_comes_free(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi_background, "MAX_RUNNING", 2)

    async def main() -> None:
        background = Background()
        for _ in range(3):
            app, all_told = App(), [Told() for _ in range(3)]
            async with served(background, app):
                start = partial(background.start, app, scope_of(Sent()), b"", timeout_s=PATIENCE_S)
                assert [start(told) for told in all_told] == [True, True, False]
                app.let_go.set()
            assert [len(told.all) for told in all_told] == [1, 1, 0]

    run(main)


def test_event_loops_do_not_mix() -> None:
    background, app = Background(), Starlette()
    serving, ready = threading.Event(), threading.Event()

    async def serve() -> None:
        async with served(background, app):
            ready.set()
            await anyio.to_thread.run_sync(serving.wait)

    async def elsewhere() -> Captured:
        told = Told()
        assert background.start(where, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
        return await told.once()

    async def where(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START | {"headers": [(b"thread", str(threading.get_ident()).encode())]})
        await send(END)

    server = threading.Thread(target=asyncio.run, args=(serve(),))
    server.start()
    assert ready.wait(PATIENCE_S)
    for backend in ("asyncio", "trio"):
        captured = anyio.run(elsewhere, backend=backend)
        assert captured.headers == (("thread", str(threading.get_ident())),)
    serving.set()
    server.join(PATIENCE_S)
    assert not server.is_alive()


# The end


def test_the_app_is_shut_down_when_its_runs_are_over(run: Run) -> None:
    async def main() -> None:
        background, told, app = Background(), Told(), App()
        async with served(background, app) as stop:
            assert background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
            await app.began.wait()
            stop()
            await anyio.wait_all_tasks_blocked()
            assert not background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
            app.let_go.set()
        assert (await told.once()).status == 200
        assert app.notes == ["lifespan.startup", "run is over", "lifespan.shutdown"]

    run(main)


def test_a_run_that_does_not_end_is_cancelled_before_the_app_is_shut_down(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi_background, "GRACE_S", SHORT_S)

    async def main() -> None:
        background, told, app = Background(), Told(), App()
        async with served(background, app):
            background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
        assert await told.once() == Captured(reason=SHUT_DOWN)
        assert app.notes == ["lifespan.startup", "run is over", "lifespan.shutdown"]

    run(main)


def test_a_lifespan_that_is_cancelled_cancels_its_runs_and_they_are_told_of(run: Run) -> None:
    async def main() -> None:
        background, told, app = Background(), Told(), App()
        with anyio.CancelScope() as scope:
            async with served(background, app):
                background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
                await app.began.wait()
                scope.cancel()
                await anyio.sleep_forever()
        assert told.all == [Captured(reason=CANCELLED)]
        assert app.notes == ["lifespan.startup", "run is over"]

    run(main)


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_without_a_lifespan_a_run_ends_with_its_event_loop_and_is_told_of(
    cancelled_first: bool, run: Run
) -> None:
    made: list[Told] = []

    async def main() -> None:
        app = App()
        made.append(Told())
        Background().start(app, scope_of(Sent()), b"", made[0], timeout_s=PATIENCE_S)
        if not cancelled_first:
            await app.began.wait()

    run(main)
    assert made[0].all == [Captured(reason=CANCELLED)]


def test_an_app_without_a_lifespan_raises_its_own_error_and_its_runs_go_on_without(run: Run) -> None:
    error = KeyError("lifespan")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise error
        await answers(scope, receive, send)

    async def main() -> None:
        background, told = Background(), Told()
        with pytest.raises(KeyError) as raised:
            await background.lifespan(app, {"type": "lifespan"}, nobody_answers, nobody_answers)  # type: ignore[arg-type]
        assert raised.value is error
        assert background.start(app, scope_of(Sent()), b"", told, timeout_s=PATIENCE_S)
        assert (await told.once()).status == 200

    run(main)


def test_a_lifespan_sees_the_very_same_scope_and_send_and_its_own_events(run: Run) -> None:
    seen: list[object] = []
    scope: Scope = {"type": "lifespan", "state": {}}
    events: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return events[len(seen) // 3]

    async def send(message: Message) -> None:
        raise AssertionError

    async def app(*arguments: Any) -> str:
        for _ in events:
            seen.extend((arguments[0], await arguments[1](), arguments[2]))
        return "answer"

    assert run(lambda: Background().lifespan(app, scope, receive, send)) == "answer"
    assert all(
        one is other
        for one, other in zip(seen, (scope, events[0], send, scope, events[1], send), strict=True)
    )


def test_a_lifespan_that_is_cancelled_when_it_has_said_all_ends_as_the_app_does() -> None:
    """As hypercorn does it."""
    events: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return events.pop(0)

    async def main() -> None:
        async def send(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                task.cancel()

        task = asyncio.create_task(Background().lifespan(App(), {"type": "lifespan"}, receive, send))
        await task

    asyncio.run(main())
    assert not events


def test_a_thread_that_hangs_is_told_of_in_time(run: Run) -> None:
    let_go = threading.Event()

    def endpoint(request: Request) -> PlainTextResponse:
        let_go.wait(PATIENCE_S)
        return PlainTextResponse("late")

    async def main() -> None:
        background, told, app = Background(), Told(), Starlette(routes=[Route("/", endpoint)])
        async with served(background, app):
            assert background.start(app, scope_of(Sent()), b"", told, timeout_s=SHORT_S)
            assert await told.once() == Captured(reason="the app gave no response within 0.05 s")
            let_go.set()
        assert len(told.all) == 1

    run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.filterwarnings("ignore:.*httpx2")
def test_a_test_client_needs_no_lifespan(backend: Literal["asyncio", "trio"]) -> None:
    from starlette.testclient import TestClient

    background = Background()
    told: list[Captured] = []

    async def done(captured: Captured) -> None:
        told.append(captured)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await background.lifespan(Starlette(), scope, receive, send)
            return
        assert background.start(answers, scope, b"", done, timeout_s=PATIENCE_S)
        await PlainTextResponse("accepted", 202)(scope, receive, send)

    assert TestClient(app, backend=backend).get("/").status_code == 202
    assert len(told) == 1
    with TestClient(app, backend=backend) as client:
        assert client.get("/").status_code == 202
    assert told[1].body == b"done"


# A real server. The signal is ignored in the end, where uvicorn sends it to itself, so that the interpreter
# gets to see what was left behind.
PROGRAM = """
import asyncio, logging, signal, sys
import uvicorn
from mockware import asgi_background
from mockware.asgi_background import Background
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from contextlib import asynccontextmanager

background = Background()

@asynccontextmanager
async def lifespan(app):
    yield
    print("app is shut down", flush=True)

async def finishes(request):
    print("run begins", flush=True)
    while not background._lifespans[0].closing:
        await asyncio.sleep(0.01)
    return PlainTextResponse("finished")

async def hangs(request):
    print("run begins", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print("run is cancelled", flush=True)

inner = Starlette(routes=[Route("/finishes", finishes), Route("/hangs", hangs)], lifespan=lifespan)

async def done(captured):
    await asyncio.sleep(0.01)
    print("told", captured.status, captured.body.decode() or captured.reason, flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await background.lifespan(inner, scope, receive, send)
    assert background.start(inner, scope, b"", done, timeout_s=60)
    await PlainTextResponse("accepted", 202)(scope, receive, send)

if __name__ == "__main__":
    asgi_background.GRACE_S = float(sys.argv[1])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    uvicorn.run(app, port=0, lifespan=sys.argv[2], access_log=False)
    print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("path", "grace_s", "lifespan", "told", "ends"),
    [
        ("/finishes", PATIENCE_S, "on", {"told 200 finished"}, ["app is shut down", "end"]),
        ("/hangs", SHORT_S, "on", {"run is cancelled", f"told 0 {SHUT_DOWN}"}, ["app is shut down", "end"]),
        ("/hangs", 0, "off", {"run is cancelled", f"told 0 {CANCELLED}"}, ["end"]),
    ],
)
def test_a_server_that_is_terminated_ends_in_order(
    path: str, grace_s: float, lifespan: str, told: set[str], ends: list[str]
) -> None:
    command = [sys.executable, "-X", "dev", "-c", PROGRAM, str(grace_s), lifespan]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        log = ""
        while (port := re.search(r"running on http://127.0.0.1:(\d+)", log)) is None:
            line = server.stderr.readline()
            assert line, log
            log += line
        client = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=PATIENCE_S)
        client.request("GET", path)
        assert client.getresponse().status == 202
        client.close()
        lines = [server.stdout.readline().strip()]
        server.send_signal(signal.SIGTERM)
        output, errors = server.communicate(timeout=PATIENCE_S)
        lines += output.splitlines()
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert lines[0] == "run begins"
    assert lines[1 + len(told) :] == ends
    assert set(lines[1 : 1 + len(told)]) == told
    for complaint in ("never awaited", "was destroyed", "Traceback", "Warning"):
        assert complaint not in log + errors
