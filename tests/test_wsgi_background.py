"""A WSGI app that works in the background is told of once, whatever becomes of it, and keeps nothing alive.

Who hangs does so until the test lets go of it; what runs out is made short, what does not is for ever.
"""

import io
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from queue import SimpleQueue
from typing import Any, NoReturn
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import django  # type: ignore[import-untyped]
import flask
import pytest
from django.conf import settings  # type: ignore[import-untyped]
from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-untyped]
from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]
from django.urls import path  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from tests.by_hand import Environ, Sent, environ_of

from mockware import wsgi_background
from mockware.captured import MAX_CAPTURED_BYTES, Captured
from mockware.logs import logger
from mockware.nesting import let_through, let_through_by
from mockware.wsgi_background import Background

PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed
SHORT_S = 0.05  # for what a test wants to run out

Start = Callable[..., Callable[[bytes], object]]
BACKGROUND = Background()


class Told:
    """A `done` that can be waited for."""

    def __init__(self) -> None:
        self._all: SimpleQueue[Captured] = SimpleQueue()

    def __call__(self, captured: Captured) -> None:
        self._all.put(captured)

    def next(self) -> Captured:
        return self._all.get(timeout=PATIENCE_S)

    def none_left(self) -> bool:
        return self._all.empty()


def outcome(app: Any, sent: Sent | None = None, *, timeout_s: float = PATIENCE_S, **more: Any) -> Captured:
    """What an app answers in the background."""
    told, sent = Told(), sent or Sent()
    assert BACKGROUND.start(app, environ_of(sent, **more), b"".join(sent.body), told, timeout_s=timeout_s)
    captured = told.next()
    assert told.none_left()
    return captured


def answers(environ: Environ, start_response: Start) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


class Holds:
    """An app that answers when it is let go."""

    def __init__(self) -> None:
        self.began: SimpleQueue[str] = SimpleQueue()
        self.let_go = threading.Event()

    def __call__(self, environ: Environ, start_response: Start) -> list[bytes]:
        self.began.put(threading.current_thread().name)
        assert self.let_go.wait(PATIENCE_S)
        return answers(environ, start_response)


class Chunks:
    """A body that says whether it was closed, and how much of it was asked for."""

    def __init__(self, chunks: Iterable[Any]) -> None:
        self._chunks = iter(chunks)
        self.asked = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.asked += 1
        return next(self._chunks)

    def close(self) -> None:
        self.closed.set()


# What is taken down


@given(
    status=st.integers(200, 599),
    headers=st.lists(st.tuples(*[st.text(st.characters(max_codepoint=255), max_size=20)] * 2), max_size=5),
    written=st.lists(st.binary(max_size=50), max_size=3),
    chunks=st.lists(st.binary(max_size=50), max_size=5),
)
def test_what_the_app_gives_is_what_is_told(
    status: int, headers: list[tuple[str, str]], written: list[bytes], chunks: list[bytes]
) -> None:
    body = Chunks(chunks)

    def app(environ: Environ, start_response: Start) -> Chunks:
        write = start_response(f"{status} Whatever", headers)
        for piece in written:
            write(piece)
        return body

    assert outcome(app) == Captured(status, tuple(headers), b"".join(written + chunks))
    assert body.closed.wait(PATIENCE_S)


def test_an_app_of_flask_that_streams_has_its_whole_response_taken_down() -> None:
    app = flask.Flask(__name__)
    closed = threading.Event()

    @app.post("/stream")
    def stream() -> flask.Response:
        def pieces() -> Iterator[bytes]:
            yield from (bytes([byte]) for byte in flask.request.get_data())

        response = flask.Response(flask.stream_with_context(pieces()), 201, mimetype="text/x")
        response.call_on_close(closed.set)
        return response

    @app.get("/fail")
    def fail() -> NoReturn:
        raise LookupError

    @app.get("/file")
    def file() -> flask.Response:
        return flask.send_file(io.BytesIO(b"of a file"), "text/x")

    captured = outcome(app, Sent("POST", "/stream", body=[b"as it ", b"came"]))
    assert captured == Captured(201, (("Content-Type", "text/x; charset=utf-8"),), b"as it came")
    assert closed.wait(PATIENCE_S)
    assert outcome(validator(app), Sent(target="/fail")).status == 500
    wrapper: dict[str, Any] = {"wsgi.file_wrapper": lambda *_: "the server's to send"}
    captured = outcome(app, Sent(target="/file"), **wrapper)
    assert (captured.status, captured.body) == (200, b"of a file")


def test_an_app_of_django_is_answered_and_told_that_its_request_is_over() -> None:
    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
        django.setup()
    captured = outcome(validator(WSGIHandler()), Sent("POST", "/django", body=[b"a=1"]), urlconf=__name__)
    assert (captured.status, captured.body) == (200, b"a=1")


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


urlpatterns = [path("django", echo)]


def fails(environ: Environ, start_response: Start) -> NoReturn:
    raise LookupError("the secret is 1234")


def exits(environ: Environ, start_response: Start) -> NoReturn:
    sys.exit(3)


def starts_twice(environ: Environ, start_response: Start) -> list[bytes]:
    start_response("200 OK", [])
    return answers(environ, start_response)


def starts_never(environ: Environ, start_response: Start) -> list[bytes]:
    return []


def starts_too_late(environ: Environ, start_response: Start) -> list[bytes]:
    return [b"body"]


def starts_late(environ: Environ, start_response: Start) -> Iterator[bytes]:
    yield b""
    yield from answers(environ, start_response)


def gives_text(environ: Environ, start_response: Start) -> list[str]:
    start_response("200 OK", [])
    return ["text"]


def gives_whole(environ: Environ, start_response: Start) -> list[bytes]:
    start_response("200 OK", [])
    return [bytes(MAX_CAPTURED_BYTES)]


def gives_too_much(environ: Environ, start_response: Start) -> list[bytes]:
    return [*gives_whole(environ, start_response), b"x"]


def writes_too_much(environ: Environ, start_response: Start) -> list[bytes]:
    write = start_response("200 OK", [])
    for _ in range(3):
        with suppress(OSError):  # an app that heeds nothing
            write(bytes(MAX_CAPTURED_BYTES))
    return [b"x"]


def gives_long_fields(environ: Environ, start_response: Start) -> list[bytes]:
    start_response("200 OK", [("x", "\xff" * 30_000)])
    return [bytes(MAX_CAPTURED_BYTES)]


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (fails, "the app raised LookupError"),
        (exits, "the app raised SystemExit"),
        (starts_twice, "the app raised RuntimeError"),
        (starts_never, "the app gave no response"),
        (starts_too_late, "the app raised RuntimeError"),
        (starts_late, ""),
        (gives_text, "the app raised TypeError"),
        (gives_whole, ""),
        (gives_too_much, "the response is longer than 1 MiB"),
        (writes_too_much, "the response is longer than 1 MiB"),
        (gives_long_fields, "the header fields of the response are too long to be kept"),
    ],
)
def test_a_response_is_taken_down_whole_or_there_is_a_reason(app: Any, reason: str) -> None:
    assert outcome(app).reason == reason


def test_an_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    outcome(fails)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mockware", "ERROR")
    assert record.getMessage() == "'GET' '/' failed in the background"
    assert record.exc_info
    assert isinstance(record.exc_info[1], LookupError)


@pytest.mark.parametrize("sent", [b"", b"part"])
def test_a_start_is_replaced_with_exc_info_unless_a_part_of_the_body_went_before(sent: bytes) -> None:
    def app(environ: Environ, start_response: Start) -> list[bytes]:
        start_response("200 OK", [("a", "b")])(sent)
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start_response("500 Oh", [("c", "d")], sys.exc_info())
        return [b"error"]

    expected = (
        Captured(reason="the app raised ZeroDivisionError")
        if sent
        else Captured(500, (("c", "d"),), b"error")
    )
    assert outcome(app) == expected


def test_a_body_is_closed_and_read_no_further_when_it_fails_or_gets_too_long() -> None:
    for chunks in ([b"a", "b", b"c"], [b"a", bytes(MAX_CAPTURED_BYTES), b"c"]):
        body = Chunks(chunks)

        def app(environ: Environ, start_response: Start, body: Chunks = body) -> Chunks:
            start_response("200 OK", [])
            return body

        assert outcome(app).reason
        assert body.closed.wait(PATIENCE_S)
        assert body.asked == 2


def test_a_response_is_told_when_it_is_there_and_not_when_it_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go, logged = threading.Event(), threading.Event()

    class Body(Chunks):
        def close(self) -> None:
            let_go.wait(PATIENCE_S)
            super().close()
            raise OSError("in close()")

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.set()

    body, handler = Body([b"there"]), Handler()

    def app(environ: Environ, start_response: Start) -> Chunks:
        start_response("200 OK", [])
        return body

    logger.addHandler(handler)
    assert outcome(app).body == b"there"
    let_go.set()
    assert logged.wait(PATIENCE_S)
    logger.removeHandler(handler)
    assert body.closed.is_set()


def test_what_cannot_be_kept_is_logged_and_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Event()

    def done(captured: Captured) -> NoReturn:
        tried.set()
        raise OSError("no room")

    BACKGROUND.start(answers, environ_of(Sent()), b"", done, timeout_s=PATIENCE_S)
    assert tried.wait(PATIENCE_S)
    BACKGROUND._pool.close(time.monotonic() + PATIENCE_S)
    BACKGROUND._pool._closing = False
    assert "could not keep what 'GET' '/' answered" in caplog.text
    assert outcome(answers).body == b"done"


# What the app is given


def environ_in_background(body: bytes, environ: Environ) -> Environ:
    seen: list[Environ] = []
    told = Told()

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        seen.append({**environ, "body": environ["wsgi.input"].read()})
        environ.clear()
        return answers(environ, start_response)

    before = {**environ}
    assert BACKGROUND.start(app, environ, body, told, timeout_s=PATIENCE_S)
    environ["PATH_INFO"] = "/of the next request"
    told.next()
    environ["PATH_INFO"] = before["PATH_INFO"]
    assert environ == before
    return seen[0]


def test_the_app_has_an_environ_of_its_own_that_leads_to_no_connection() -> None:
    with socket.socket() as connection:
        of_the_server = {
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.early_hints": print,
            "gunicorn.socket": connection,
            "werkzeug.socket": connection,
            "waitress.client_disconnected": print,
            "eventlet.posthooks": [],
            "uwsgi.version": b"2.0",
            "uwsgi.node": b"host",
            "x-wsgiorg.fdevent.readable": print,
            "some.other.socket": connection,
        }
        of_the_request = {
            "REMOTE_PORT": "50000",
            "mod_wsgi.script_name": "",
            "waitress.number": 1,
            "session": {"user": 1},
            "framework.session": {"user": 1},
        }
        original = environ_of(Sent("POST", "/a", "b=c"), **of_the_server, **of_the_request)
        seen = environ_in_background(b"body", original)
    assert seen.pop("body") == b"body"
    assert seen.pop("CONTENT_LENGTH") == "4"
    assert seen.pop("wsgi.input_terminated") is True
    assert seen.pop("wsgi.input") is not original.pop("wsgi.input")
    for key in of_the_server:
        del original[key]
    assert seen == original
    assert seen["framework.session"] is original["framework.session"]
    assert seen["wsgi.errors"] is original["wsgi.errors"]


def test_a_body_that_came_in_chunks_has_a_length_and_none_has_none() -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    seen = environ_in_background(b"body", environ_of(Sent("POST"), **chunked))
    assert seen["CONTENT_LENGTH"] == "4"
    assert "HTTP_TRANSFER_ENCODING" not in seen
    assert "CONTENT_LENGTH" not in environ_in_background(b"", environ_of(Sent()))
    assert environ_in_background(b"", environ_of(Sent(), CONTENT_LENGTH=""))["CONTENT_LENGTH"] == ""


def test_a_log_that_ends_with_its_request_is_not_handed_on() -> None:
    seen = environ_in_background(b"", environ_of(Sent(), **{"mod_wsgi.version": (5, 0)}))
    assert seen["wsgi.errors"] is sys.stderr


def test_a_run_has_a_copy_of_its_requests_context_and_the_word_of_a_middleware_outside() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[object] = []

    def app(environ: Environ, start_response: Start) -> list[bytes]:
        seen.extend((variable.get(), let_through_by(environ["wsgi.input"])))
        variable.set("of the run")
        return answers(environ, start_response)

    variable.set("of the request")
    environ, told = environ_of(Sent()), Told()
    with let_through(environ["wsgi.input"], by="outer"):
        BACKGROUND.start(app, environ, b"", told, timeout_s=PATIENCE_S)
    told.next()
    assert seen == ["of the request", "outer"]
    assert variable.get() == "of the request"


# How many, and for how long


def test_so_many_run_at_once_and_so_many_are_accepted_and_the_rest_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wsgi_background, "MAX_THREADS", 2)
    monkeypatch.setattr(wsgi_background, "MAX_ACCEPTED", 5)
    background = Background()
    for _ in range(3):
        app, told = Holds(), Told()
        assert [
            background.start(app, environ_of(Sent()), b"", told, timeout_s=PATIENCE_S) for _ in range(6)
        ] == [True] * 5 + [False]
        names = [app.began.get(timeout=PATIENCE_S) for _ in range(2)]
        assert names == ["mockware-background"] * 2
        assert app.began.empty()
        app.let_go.set()
        assert [told.next().status for _ in range(5)] == [200] * 5
        background._pool.close(time.monotonic() + PATIENCE_S)
        background._pool._closing = False
    assert background._pool._threads == 2


def test_who_hangs_and_who_waits_behind_are_told_in_time_and_late_responses_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wsgi_background, "MAX_THREADS", 1)
    background, app, told = Background(), Holds(), Told()
    late = Captured(reason="the app gave no response within 0.05 s")
    assert background.start(app, environ_of(Sent()), b"", told, timeout_s=SHORT_S)
    app.began.get(timeout=PATIENCE_S)
    for _ in range(3):
        assert background.start(app, environ_of(Sent()), b"", told, timeout_s=SHORT_S)
    assert [told.next() for _ in range(4)] == [late] * 4
    assert not background._pool._waiting
    patient = Told()
    assert background.start(answers, environ_of(Sent()), b"", patient, timeout_s=PATIENCE_S)
    app.let_go.set()
    assert patient.next().body == b"done"
    assert told.none_left()
    assert app.began.empty()


def test_an_earlier_deadline_is_not_held_up_by_a_later_one() -> None:
    background, app, told, patient = Background(), Holds(), Told(), Told()
    assert background.start(app, environ_of(Sent()), b"", patient, timeout_s=PATIENCE_S)
    assert background.start(app, environ_of(Sent()), b"", told, timeout_s=SHORT_S)
    assert told.next().reason
    assert patient.none_left()
    app.let_go.set()
    assert patient.next().body == b"done"


def test_a_body_that_never_ends_is_ended_when_its_time_is_over() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b""

    body = Chunks(endless())

    def app(environ: Environ, start_response: Start) -> Chunks:
        start_response("200 OK", [])
        return body

    assert outcome(app, timeout_s=SHORT_S) == Captured(reason="the app gave no response within 0.05 s")
    assert body.closed.wait(PATIENCE_S)


def test_threads_without_work_leave_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi_background, "_IDLE_S", 0.0)
    before = set(threading.enumerate())
    background, told = Background(), Told()
    for _ in range(3):
        assert background.start(answers, environ_of(Sent()), b"", told, timeout_s=PATIENCE_S)
        assert told.next().body == b"done"
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE_S)
        assert (background._pool._threads, background._pool._watched) == (0, False)


# The process

PRELUDE = """
import json, os, sys, threading, time
from mockware import wsgi_background
from mockware.wsgi_background import Background

background = Background()
let_go = threading.Event()

def app(environ, start_response):
    let_go.wait()
    start_response("200 OK", [])
    return [b"done"]

def done(captured):
    line = f"{os.getpid() == main} {captured.body.decode() or captured.reason}"
    os.write(1, line.encode() + bytes([10]))

def start():
    return background.start(app, {"wsgi.errors": None}, b"", done, timeout_s=60)

main = os.getpid()
"""


def in_a_process(program: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_what_was_accepted_is_done_when_the_process_ends() -> None:
    assert (
        in_a_process("""
import atexit
atexit.register(let_go.set)  # after which the threads are waited for
for _ in range(20):
    start()
""")
        == ["True done"] * 20
    )


def test_what_hangs_keeps_no_process_alive_for_ever_and_is_told_of() -> None:
    began = time.monotonic()
    assert (
        in_a_process("""
wsgi_background.GRACE_S = 0.05
wsgi_background.logger.disabled = True
for _ in range(20):
    start()
""")
        == ["True the process ended before the app had answered"] * 20
    )
    assert time.monotonic() - began < PATIENCE_S


def test_a_worker_of_multiprocessings_ends_as_other_processes_do() -> None:
    assert in_a_process("""
import multiprocessing
wsgi_background.GRACE_S = 0.05
wsgi_background.logger.disabled = True
worker = multiprocessing.get_context("fork").Process(target=start)
worker.start()
worker.join()
""") == ["False the process ended before the app had answered"]


def test_a_child_has_threads_of_its_own_and_leaves_its_parents_runs_to_the_parent() -> None:
    lines = in_a_process("""
start()
child = os.fork()
if not child:
    let_go.set()
    start()
    sys.exit()
os.waitpid(child, 0)
let_go.set()
""")
    assert lines == ["False done", "True done"]
