"""The WSGI adapter: what is not ours leaves untouched, and what is ours is answered as servers need it.

Mocks are looked at under `wsgiref.validate`; passthrough is not, since the validator puts objects of its
own in the place of those that must stay the same.
"""

import gc
import io
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from tests.by_hand import Environ, Sent, environ_of, over_wsgi

import mockware
from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware, bodies

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'
MIB = 1024 * 1024

RULES = [
    Rule("POST /reports", name="reports"),
    Rule("GET /gone", name="gone", status=410),
    Rule("/late", name="late", status=503, delay="20s"),
    Rule("/slow", name="slow", passthrough=True, delay="20s"),
    Rule("/exempt", passthrough=True),
    Rule("/when", name="when", when={"headers": {"x-a": "1"}}),
    Rule("POST /json", name="json", when={"json": {"a": 1}}),
    Rule("POST /json", name="nojson", when={"headers": {"x-b": "1"}}, status=422),
    Rule("/expired", expires="2001-01-01T00:00:00Z"),
    Rule("/items/{id:int}", name="item", status=200, json={}),
]


def mocked(app: Any, rules: Any = RULES, **environ: str) -> Any:
    return WSGIMockMiddleware(app, rules=rules, enabled=True, environ=environ)


def unreachable(environ: Environ, start_response: Any) -> Iterable[bytes]:
    raise AssertionError(f"the app was reached with {environ}")


def never_started(status: str, headers: Any, exc_info: Any = None) -> Any:
    raise AssertionError(f"{status} was started")


class Seen:
    """An app that keeps what it was called with, and returns an iterable that nobody must touch."""

    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()

    def __call__(self, environ: Environ, start_response: Any) -> Any:
        self.arguments = (environ, start_response)
        return self

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError("the app's iterable was iterated over")

    def __len__(self) -> int:
        raise AssertionError("the app's iterable was asked for its length")

    def close(self) -> None:
        raise AssertionError("the app's iterable was closed")


class Body(io.RawIOBase):
    """The input of a server that reads from a socket: to read past the body would wait for ever.

    It keeps how far it was read, and the sizes that were asked for.
    """

    def __init__(self, body: bytes, *, ends: bool = False) -> None:
        self._body = io.BytesIO(body)
        self._ends = ends
        self.sizes: list[int] = []

    @property
    def read_bytes(self) -> int:
        return self._body.tell()

    @property
    def left(self) -> int:
        return len(self._body.getbuffer()) - self._body.tell()

    def read(self, size: int = -1) -> bytes:
        self.sizes.append(size)
        if not self._ends and (size < 0 or size > self.left):
            raise AssertionError(f"read({size}) with {self.left} bytes left waits for ever")
        return self._body.read(size)


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept, without sleeping."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


# ---- what is not ours


def without(environ: Environ, *names: str) -> Environ:
    return {name: value for name, value in environ.items() if name not in names}


BARE = environ_of(Sent("GET", "/elsewhere"))
FOREIGN: dict[str, Environ] = {
    "another path": BARE,
    "a body": environ_of(Sent("PUT", "/elsewhere", body=[b"x"])),
    "another method": environ_of(Sent("GET", "/reports")),
    "a path that a rule exempts": environ_of(Sent("GET", "/exempt")),
    "a condition that differs": environ_of(Sent("GET", "/when")),
    "a rule that has expired": environ_of(Sent("GET", "/expired")),
    "a trigger": environ_of(Sent("GET", "/gone", headers=[("X-Mock-Status", "passthrough")])),
    "Expect": environ_of(Sent("PUT", "/elsewhere", headers=[("Expect", "100-continue")])),
    "a path of bytes": environ_of(Sent("GET", "/%FF%C3%A9")),
    "no PATH_INFO": without(BARE, "PATH_INFO"),
    "an empty PATH_INFO": {**BARE, "PATH_INFO": ""},
    "no REQUEST_METHOD": without(BARE, "REQUEST_METHOD"),
    "no wsgi.input": without(BARE, "wsgi.input"),
    "no REQUEST_METHOD on a rule's path": without(environ_of(Sent("GET", "/reports")), "REQUEST_METHOD"),
    "nothing but a path": {"PATH_INFO": "/reports"},
    "nothing": {},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_reaches_the_app_with_the_very_same_objects(name: str) -> None:
    app, environ = Seen(), FOREIGN[name]
    before = dict(environ)
    assert mocked(app)(environ, never_started) is app, "the app's own iterable is lost"
    assert app.arguments[0] is environ
    assert app.arguments[1] is never_started
    assert environ == before


@pytest.mark.parametrize("name", FOREIGN)
def test_the_apps_exception_comes_out_as_it_is(name: str) -> None:
    error = RuntimeError("the app's own")

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        raise error

    with pytest.raises(RuntimeError) as raised:
        mocked(app)(FOREIGN[name], never_started)
    assert raised.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    package = str(Path(mockware.__file__).parent)
    ours = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(package)
    ]
    assert len(ours) <= 2, "every frame of ours stands in every traceback of theirs"


def test_a_generator_is_not_begun() -> None:
    steps: list[str] = []

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        steps.append("began")
        start_response("200 OK", [])
        yield b"first"
        steps.append("went on")
        yield b"second"

    started: list[str] = []
    stream = iter(mocked(app)(environ_of(Sent()), lambda status, *_: started.append(status)))
    assert (steps, started) == ([], [])
    assert next(stream) == b"first"
    assert (steps, started) == (["began"], ["200 OK"])
    assert list(stream) == [b"second"]


def test_close_is_left_to_the_server() -> None:
    closed: list[str] = []

    class Stream:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"x"])

        def close(self) -> None:
            closed.append("closed")

    chunks = mocked(lambda environ, start_response: Stream())(environ_of(Sent()), never_started)
    assert list(chunks) == [b"x"]
    assert closed == []
    chunks.close()
    assert closed == ["closed"]


def test_write_and_exc_info_are_between_the_app_and_its_server() -> None:
    written: list[bytes] = []
    started: list[tuple[str, Any, Any]] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers, exc_info))
        return written.append

    headers = [("X-App", "1"), ("Connection", "kept, as the app would have it")]

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", headers)(b"early ")
        try:
            raise KeyError("late")
        except KeyError:
            start_response("500 Oh", headers, sys.exc_info())
        return [b"rest"]

    assert mocked(app)(environ_of(Sent()), start_response) == [b"rest"]
    assert written == [b"early "]
    assert [status for status, *_ in started] == ["200 OK", "500 Oh"]
    assert started[0][1] is started[1][1] is headers
    assert started[1][2][0] is KeyError


def test_file_wrapper_is_recognised_by_the_server() -> None:
    class FileWrapper:
        def __init__(self, file: Any, block_size: int = 1) -> None:
            self.file = file

    def app(environ: Environ, start_response: Any) -> Any:
        return environ["wsgi.file_wrapper"](file, 99)

    file = io.BytesIO(b"x")
    answer = mocked(app)(environ_of(Sent(), **{"wsgi.file_wrapper": FileWrapper}), never_started)
    assert type(answer) is FileWrapper
    assert answer.file is file


def test_the_apps_input_is_not_touched() -> None:
    stream = Body(b"four")
    app = Seen()
    mocked(app)(environ_of(Sent("POST", "/elsewhere", length="4"), stream), never_started)
    assert app.arguments[0]["wsgi.input"] is stream
    assert stream.sizes == []


def test_nothing_is_logged_on_passthrough(caplog: pytest.LogCaptureFixture) -> None:
    app = mocked(Seen())
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    for environ in FOREIGN.values():
        app(environ, never_started)
    assert caplog.records == []


def test_never_paths_are_the_apps_whatever_the_request_says(tmp_path: Any) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text('never = ["/live"]\n[[rules]]\nmatch = "/{rest:path}"\n')
    app = Seen()
    headers = [("X-Mock-Status", "x"), ("X-Mock-Delay", "x")]
    environ = environ_of(Sent(target="/live", headers=headers, length="4"), Body(b""))
    assert mocked(app, file)(environ, never_started) is app
    assert app.arguments[0] is environ


# ---- a mock


def test_a_mock_is_one_start_and_one_piece() -> None:
    started: list[Any] = []
    chunks = mocked(unreachable)(environ_of(Sent("POST", "/reports")), lambda *given: started.append(given))
    assert chunks == [CANONICAL]
    assert started == [
        (
            "202 Accepted",
            [
                ("Content-Type", "application/json"),
                ("Content-Length", "44"),
                ("Cache-Control", "no-store"),
                ("X-Mock-Rule", "reports"),
            ],
        )
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {"PATH_INFO": "/gone"},
        {"PATH_INFO": "/gone", "REQUEST_METHOD": "GET", "CONTENT_LENGTH": "9"},
        {"PATH_INFO": "/gone", "wsgi.input_terminated": True},
        {"HTTP_X_MOCK_STATUS": "410"},
        {"HTTP_X_MOCK_STATUS": "410", "CONTENT_LENGTH": "9", "wsgi.input": None},
        {"PATH_INFO": "/gone", "CONTENT_LENGTH": None},
    ],
)
def test_a_bare_environ_is_enough_for_a_mock(environ: Environ) -> None:
    started: list[Any] = []
    chunks = mocked(unreachable)(environ, lambda *given: started.append(given))
    assert started[0][0] == "410 Gone"
    assert b"Gone" in b"".join(chunks)


@pytest.mark.parametrize("missing", ["wsgi.input", "QUERY_STRING", "REQUEST_METHOD"])
def test_a_condition_can_do_without_what_is_missing(missing: str) -> None:
    app = Seen()
    rules = [Rule("/a", when={"query": {"q": "1"}, "json": {"a": 1}}), Rule("/a", when={"json": 1})]
    environ = without(environ_of(Sent("POST", "/a", length="7"), Body(b'{"a":1}')), missing)
    assert mocked(app, rules)(environ, never_started) is app


def test_the_path_of_a_bare_environ_is_the_root() -> None:
    app = mocked(unreachable, [Rule("/", status=204)])
    for environ in ({"SCRIPT_NAME": "/api", "PATH_INFO": ""}, {"SCRIPT_NAME": "/api"}):
        started: list[Any] = []
        app(environ, lambda status, headers, started=started: started.append(status))
        assert started == ["204 No Content"]


def test_what_others_do_to_a_mock_harms_no_later_one() -> None:
    app = mocked(unreachable)
    sent = Sent("POST", "/reports")
    clean = over_wsgi(app, sent)

    def greedy(environ: Environ, start_response: Any) -> Iterable[bytes]:
        def spoiling(status: str, headers: Any, exc_info: Any = None) -> Any:
            write = start_response(status, list(headers))
            headers.append(("X-Greedy", "1"))
            headers[0] = ("X-First", "1")
            return write

        chunks = app(environ, spoiling)
        copy = list(chunks)
        chunks.clear()
        return copy

    for _ in range(2):
        assert over_wsgi(greedy, sent) == clean
    assert over_wsgi(app, sent) == clean


def test_the_line_in_the_log_comes_once_for_each_mock(caplog: pytest.LogCaptureFixture) -> None:
    app = mocked(unreachable)
    caplog.clear()
    caplog.set_level(logging.INFO)
    over_wsgi(app, Sent("POST", "/reports"))
    app({"PATH_INFO": "/gone"}, lambda *_: None)
    assert [(record.levelname, record.name, record.getMessage()) for record in caplog.records] == [
        ("INFO", "mockware", "mocked 'POST' '/reports': 202 by rule 'reports'"),
        ("INFO", "mockware", "mocked 'GET' '/gone': 410 by rule 'gone'"),
    ]


def test_fields_that_pep_3333_forbids_are_left_out_in_any_spelling() -> None:
    headers = {"CONNECTION": "close", "Keep-alive": "a", "x-kept": "1", "tE": "a", "Trailers": "a"}
    answer = over_wsgi(mocked(unreachable, [Rule("/a", status=426, headers=headers)]), Sent(target="/a"))
    assert answer.status == 426
    assert {name for name, _ in answer.fields} == {
        "content-type",
        "content-length",
        "cache-control",
        "x-mock-rule",
        "x-kept",
    }


# ---- the request's body


@pytest.mark.parametrize("length", [1, 44, 64 * 1024, 64 * 1024 + 1, 3 * MIB])
def test_exactly_the_declared_length_is_drained_before_the_mock_starts(length: int) -> None:
    stream = Body(b"x" * length + b"GET /next HTTP/1.1")
    drained: list[int] = []

    def start_response(*_: Any) -> None:
        drained.append(stream.read_bytes)

    environ = environ_of(Sent("POST", "/reports", length=str(length)), stream)
    assert mocked(unreachable)(environ, start_response) == [CANONICAL]
    assert drained == [length]
    assert stream.read_bytes == length
    assert max(stream.sizes) <= MIB, "a body that is dropped need not be in memory at once"


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_late_mock_drains_exactly_the_declared_length(length: int, sleeps: list[float]) -> None:
    stream = Body(b"x" * length)
    assert over_wsgi(mocked(unreachable), Sent("POST", "/late", length=str(length)), stream).status == 503
    assert sleeps == [20.0]
    assert stream.read_bytes == length


def test_a_late_mock_is_drained_before_it_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    # The client may wait for the end of its upload to begin its own clock; and so it is on ASGI.
    stream = Body(b"x" * 100, ends=True)
    drained: list[int] = []
    monkeypatch.setattr(time, "sleep", lambda _: drained.append(stream.read_bytes))
    over_wsgi(mocked(unreachable), Sent("POST", "/late", length="100"), stream)
    assert drained == [100]


def test_a_refusal_drains_as_well() -> None:
    stream = Body(b"x" * 9)
    sent = Sent("POST", "/elsewhere", headers=[("X-Mock-Status", "no")], length="9")
    assert over_wsgi(mocked(unreachable), sent, stream).status == 400
    assert stream.read_bytes == 9


def test_a_mock_after_a_condition_on_the_body_reads_nothing_twice() -> None:
    for body, rule in ((b'{"a":1}', 202), (b'{"a":2}', 422), (b"{nojson", 422)):
        stream = Body(body)
        sent = Sent("POST", "/json", headers=[("X-B", "1")], length="7")
        assert over_wsgi(mocked(unreachable), sent, stream).status == rule
        assert stream.read_bytes == 7


def test_a_body_too_long_for_a_condition_is_drained_for_a_mock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_BUFFERED_BYTES", 100)
    for ends, length in ((False, "300"), (True, "")):
        stream = Body(b"x" * 300, ends=ends)
        sent = Sent("POST", "/json", headers=[("X-B", "1")], length=length)
        more: dict[str, Any] = (
            {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"} if ends else {}
        )
        assert over_wsgi(mocked(unreachable), sent, stream, **more).status == 422
        assert stream.read_bytes == 300


@pytest.mark.parametrize(
    ("length", "announced"),
    [
        ("", {"HTTP_TRANSFER_ENCODING": "chunked"}),
        ("", {"SERVER_PROTOCOL": "HTTP/2"}),
        ("", {"SERVER_PROTOCOL": "HTTP/1.0"}),
        ("0", {}),
        ("5", {}),
    ],
)
def test_a_stream_whose_end_is_marked_is_drained_to_its_end(length: str, announced: dict[str, Any]) -> None:
    stream = Body(b"x" * 200_000, ends=True)
    sent = Sent("POST", "/reports", length=length)
    more = {"wsgi.input_terminated": True, **announced}
    assert over_wsgi(mocked(unreachable), sent, stream, **more).status == 202
    assert stream.left == 0
    assert min(stream.sizes) > 0, "read() without a size takes the whole body into memory"


def test_a_stream_that_no_field_announces_is_not_read() -> None:
    # RFC 9112 section 6.3: no body. Some servers mark the end of every stream, and wait when it is read.
    stream = Body(b"x")
    answer = over_wsgi(
        mocked(unreachable), Sent("POST", "/reports", length=""), stream, **{"wsgi.input_terminated": True}
    )
    assert (answer.status, stream.sizes) == (202, [])


@pytest.mark.parametrize("length", ["", "0"])
@pytest.mark.parametrize("more", [{}, {"wsgi.input_terminated": False}])
def test_a_stream_without_a_length_or_a_marked_end_is_not_read(length: str, more: dict[str, Any]) -> None:
    stream = Body(b"x")
    assert (
        over_wsgi(mocked(unreachable), Sent("POST", "/reports", length=length), stream, **more).status == 202
    )
    assert stream.sizes == []


@pytest.mark.parametrize(
    "length", ["-1", "+5", "5.0", "0x5", "5 5", "five", "\u0665", "5_0", " ", "9" * 5000, "1e3", "5\n", "²"]
)
def test_a_malformed_length_reads_nothing(length: str) -> None:
    stream = Body(b"x" * 1000)
    environ = environ_of(Sent("POST", "/reports"), stream, CONTENT_LENGTH=length)
    assert mocked(unreachable)(environ, lambda *_: None) == [CANONICAL]
    assert stream.sizes == []


@pytest.mark.parametrize("length", ["7", "007"])
def test_a_length_in_other_digits_is_still_one(length: str) -> None:
    stream = Body(b"x" * 7)
    over_wsgi(mocked(unreachable), Sent("POST", "/reports", length=length), stream)
    assert stream.read_bytes == 7


def test_a_client_that_sends_less_than_it_declared_is_not_waited_for() -> None:
    stream = Body(b"x" * 10, ends=True)
    assert over_wsgi(mocked(unreachable), Sent("POST", "/reports", length="20"), stream).status == 202
    assert stream.read_bytes == 10
    assert len(stream.sizes) == 2


@pytest.mark.parametrize("terminated", [True, False])
def test_after_so_many_bytes_the_mock_goes_anyway(terminated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_DRAINED_BYTES", 100)
    stream = Body(b"x" * 1000, ends=terminated)
    sent = Sent("POST", "/reports", length="1000")
    more = {"wsgi.input_terminated": terminated}
    assert over_wsgi(mocked(unreachable), sent, stream, **more).status == 202
    assert stream.read_bytes == 100


def test_after_so_much_time_the_mock_goes_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0

    class Slow(Body):
        def read(self, size: int = -1) -> bytes:
            nonlocal now
            now += 10
            return super().read(min(size, 7))

    monkeypatch.setattr(time, "monotonic", lambda: now)
    stream = Slow(b"x" * 1000, ends=True)
    assert over_wsgi(mocked(unreachable), Sent("POST", "/reports", length="1000"), stream).status == 202
    assert len(stream.sizes) == 4, "30 s after the first read, three more of 10 s are over"


class Broken(Body):
    def __init__(self, error: Exception) -> None:
        super().__init__(b"x" * 100_000)
        self._error = error

    def read(self, size: int = -1) -> bytes:
        if self.read_bytes:
            raise self._error
        return super().read(size)


def test_a_client_that_leaves_while_its_body_is_drained_is_the_servers_to_find_out() -> None:
    stream = Broken(ConnectionResetError("the client has gone"))
    assert over_wsgi(mocked(unreachable), Sent("POST", "/reports", length="100000"), stream).status == 202


def test_chunks_that_are_none_end_the_draining() -> None:
    stream = Broken(ValueError("Bad chunked transfer size"))  # as cheroot has it
    assert over_wsgi(mocked(unreachable), Sent("POST", "/reports", length="100000"), stream).status == 202


@pytest.mark.parametrize("error", [ValueError("Bad chunked transfer size"), OSError("Invalid chunk header")])
def test_a_body_that_breaks_off_breaks_off_for_the_app_where_it_did(error: Exception) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        assert stream.read(65_536) == b"x" * 65_536
        with pytest.raises(type(error)) as raised:
            stream.read(1)
        assert raised.value is error
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    sent = Sent("POST", "/json", length="100000")
    assert over_wsgi(mocked(app), sent, Broken(error), validated=False).status == 200


def test_a_body_that_breaks_off_leaves_no_circle_behind() -> None:
    # The server's stream would outlive its socket, until the garbage collector comes to close it once more.
    environ = environ_of(Sent("POST", "/json", length="100000"), Broken(OSError("gone")))
    stream = weakref.ref(environ["wsgi.input"])
    mocked(lambda environ, start_response: [])(environ, never_started)
    gc.disable()
    try:
        del environ
        assert stream() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(("length", "status"), [("100", 404), ("8", 202), ("", 202)])
def test_a_body_shorter_than_announced_is_not_given_whoever_marks_its_end(length: str, status: int) -> None:
    rules = [Rule("POST /json", when={"json": {"a": 1}})]
    more: dict[str, Any] = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        assert environ["wsgi.input"].read(100) == b'{"a": 1}'
        start_response("404 Not Found", [("Content-Length", "0"), ("Content-Type", "text/plain")])
        return [b""]

    sent = Sent("POST", "/json", length=length)
    assert over_wsgi(mocked(app, rules), sent, io.BytesIO(b'{"a": 1}'), **more).status == status


def test_another_error_of_the_input_comes_out_as_it_is() -> None:
    error = RuntimeError("a bug in the server")
    environ = environ_of(Sent("POST", "/reports", length="100000"), Broken(error))
    with pytest.raises(RuntimeError, match="bug") as raised:
        mocked(unreachable)(environ, never_started)
    assert raised.value is error


# ---- delays


def test_a_late_mock_sleeps_for_its_delay(sleeps: list[float]) -> None:
    assert over_wsgi(mocked(unreachable), Sent(target="/late")).status == 503
    assert sleeps == [20.0]


def test_a_trigger_delays_the_app_which_then_gets_the_very_same_objects(sleeps: list[float]) -> None:
    app = Seen()
    stream = Body(b"four")
    headers = [("X-Mock-Delay", "250ms")]
    environ = environ_of(Sent("POST", "/elsewhere", headers=headers, length="4"), stream)
    assert mocked(app)(environ, never_started) is app
    assert sleeps == [0.25]
    assert app.arguments[0] is environ
    assert app.arguments[1] is never_started
    assert environ["wsgi.input"] is stream
    assert stream.sizes == [], "the body is the app's"


def test_a_rule_delays_the_app(sleeps: list[float]) -> None:
    app = Seen()
    environ = environ_of(Sent(target="/slow"))
    assert mocked(app)(environ, never_started) is app
    assert sleeps == [20.0]
    assert app.arguments[0] is environ


@pytest.mark.parametrize("action", [{"passthrough": True}, {"patch": {"status": 503}}], ids=["app", "patch"])
def test_a_response_starts_late_once_and_its_iterable_is_the_apps_own(
    action: dict[str, Any], sleeps: list[float]
) -> None:
    chunks = iter([b"a", b"b"])
    seen: list[Any] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.append(list(sleeps))
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oh", [], sys.exc_info())
        return chunks

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.append(list(sleeps))

    rules = [Rule("/after", delay_after="20s", **action)]
    wrapped = WSGIMockMiddleware(app, rules=rules, enabled=True, environ={})
    assert wrapped(environ_of(Sent(target="/after")), start_response) is chunks
    assert seen == [[], [20.0], [20.0]]


def test_a_trigger_replaces_the_delay_of_a_rule(sleeps: list[float]) -> None:
    app = mocked(unreachable)
    assert over_wsgi(app, Sent(target="/late", headers=[("X-Mock-Delay", "1s")])).status == 503
    assert over_wsgi(app, Sent(target="/late", headers=[("X-Mock-Delay", "0s")])).status == 503
    assert [seconds for seconds in sleeps if seconds] == [1.0]


# ---- others around and inside


def app_of_ours(environ: Environ, start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body]


@pytest.mark.parametrize("wrap", [mockware.wrap, WSGIMockMiddleware])
@pytest.mark.parametrize("on", [(True, True), (True, False), (False, True), (False, False)])
def test_wrapping_twice_is_harmless(wrap: Any, on: tuple[bool, bool]) -> None:
    inner, outer = on
    once = wrap(
        app_of_ours, rules=[Rule("/inner", status=203), Rule("/both", status=203)], enabled=inner, environ={}
    )
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
        stream = Body(b"body")
        answer = over_wsgi(twice, Sent("POST", target, length="4"), stream)
        assert answer.status == status
        assert stream.read_bytes == 4
        assert status != 200 or answer.body == b"body"
    seen = Seen()
    stack = wrap(wrap(seen, enabled=inner, environ={}), enabled=outer, environ={})
    environ = environ_of(Sent())
    assert stack(environ, never_started) is seen
    assert seen.arguments[0] is environ


def test_requests_at_the_same_time_do_not_mix() -> None:
    shared = mocked(app_of_ours)
    together = threading.Barrier(8)
    answers: dict[int, list[tuple[int, bytes]]] = {}

    def client(number: int) -> None:
        text, wanted = b"%d" % number * 7, b'{"a": 1, "n": %d}' % number
        together.wait()
        answers[number] = [
            (answer.status, answer.body)
            for _ in range(20)
            for answer in (
                over_wsgi(shared, Sent("POST", "/reports", body=[text])),
                over_wsgi(shared, Sent("POST", "/json", body=[text])),
                over_wsgi(shared, Sent("POST", "/json", body=[wanted])),
                over_wsgi(shared, Sent("POST", "/elsewhere", body=[text])),
            )
        ]

    threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        text = b"%d" % number * 7
        once = [(202, CANONICAL), (200, text), (202, CANONICAL), (200, text)]
        assert answers[number] == once * 20


# ---- how servers see it


@pytest.mark.parametrize("arguments", [1, 3])
def test_an_asgi_server_is_told_of_the_right_class(arguments: int) -> None:
    given: list[Any] = [{"type": "http", "path": "/", "headers": []}, print, print]
    with pytest.raises(TypeError, match="ASGIMockMiddleware"):
        mocked(Seen())(*given[:arguments])


def test_an_asgi_app_is_refused_by_name() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    with pytest.raises(TypeError, match="use ASGIMockMiddleware"):
        mocked(app)
    with pytest.raises(TypeError, match="use ASGIMockMiddleware"):
        mocked(ASGIMockMiddleware(app, enabled=True, environ={}))


def test_the_validator_may_stand_on_both_sides() -> None:
    app = mocked(validator(app_of_ours))
    assert over_wsgi(app, Sent("POST", "/reports", body=[b"abc"])).status == 202
    assert over_wsgi(app, Sent("POST", "/json", body=[b"abc"])).body == b"abc"
    assert over_wsgi(app, Sent("POST", "/elsewhere", body=[b"abc"])).body == b"abc"


def test_options_are_keyword_only() -> None:
    with pytest.raises(TypeError):
        WSGIMockMiddleware(app_of_ours, RULES)  # type: ignore[call-arg]
