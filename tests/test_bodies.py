"""A body that is read for a condition is replayed as it came: the same events, or the same bytes.

Every body, chunking and way of reading that hypothesis thinks of, around a limit that is small here. The
server's events and reads are counted, so that one too many is seen.
"""

import asyncio
import bisect
import contextlib
import io
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from unittest.mock import patch
from wsgiref.validate import validator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.by_hand import Environ, Message, Receive, Scope, Send, Sent, over_wsgi, run, scope_of

from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware, bodies

quickly = settings(max_examples=150, deadline=None)  # a loaded machine is no failure

UNLIKELY = [Rule("POST /", name="unlikely", when={"json": {"no body that is made here": "has this"}})]
WANTED = [Rule("POST /", name="wanted", when={"json": {"a": 1}}, status=204)]
FALLING_BACK = [*UNLIKELY, Rule("POST /", name="else", status=409)]

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@contextlib.contextmanager
def limit(max_bytes: int) -> Iterator[None]:
    with patch.object(bodies, "MAX_BUFFERED_BYTES", max_bytes):
        yield


def test_the_limit_is_that_of_the_design() -> None:
    assert bodies.MAX_BUFFERED_BYTES == 1024 * 1024


# ---- ASGI


LEFT: Message = {"type": "http.disconnect"}


class Server:
    """Gives each event at once; behind the last one is only a wait for the client to leave.

    `taken` counts the calls of `receive`, `waits` those that had to wait.
    """

    def __init__(self, events: Sequence[Message]) -> None:
        self._events = list(events)
        self.taken = 0
        self.waits = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.taken += 1
        if self.taken > len(self._events):
            self.waits += 1
            await asyncio.sleep(0)
            return LEFT
        return self._events[self.taken - 1]

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def asgi(app: Any, rules: Sequence[Rule]) -> Any:
    return ASGIMockMiddleware(app, rules=rules, enabled=True, environ={})


async def unreachable(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the app was reached")


@st.composite
def chunkings(draw: st.DrawFn, body: bytes | None = None) -> list[Message]:
    """The events of a body, cut anywhere, with keys left out where they may be."""
    if body is None:
        body = draw(st.binary(max_size=40) | JSONS.map(lambda value: json.dumps(value).encode()))
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    events: list[Message] = []
    for i, chunk in enumerate(chunks):
        event: Message = {"type": "http.request"}
        if chunk or draw(st.booleans()):
            event["body"] = chunk
        if i < len(chunks) - 1:
            event["more_body"] = True
        elif draw(st.booleans()):
            event["more_body"] = False
        events.append(event)
    return events


def size_of(events: Sequence[Message]) -> int:
    return sum(len(event.get("body", b"")) for event in events)


@quickly
@given(events=chunkings(), max_bytes=st.integers(0, 50), cut=st.none() | st.integers(0, 6))
@example(events=[{"type": "http.request"}], max_bytes=0, cut=None)
@example(events=[{"type": "http.request", "body": b"1234"}], max_bytes=3, cut=None)
def test_the_app_receives_the_very_same_events_and_then_waits_for_the_real_ones(
    events: list[Message], max_bytes: int, cut: int | None
) -> None:
    if cut is not None and cut < len(events):
        events = [*events[:cut], {"type": "http.disconnect"}]
        if cut:
            events[cut - 1]["more_body"] = True
    copies = [dict(event) for event in events]
    server = Server(events)
    taken_before: list[int] = []
    waits: list[int] = []
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> str:
        taken_before.append(server.taken)
        for _ in events:
            received.append(await receive())
            waits.append(server.waits)
        received.append(await receive())
        waits.append(server.waits)
        return "the app's answer"

    with limit(max_bytes):
        answer = run(asgi(app, UNLIKELY)(scope_of(Sent("POST")), server.receive, server.send))
    assert answer == "the app's answer"
    assert waits == [0] * len(events) + [1], "only behind the last event there is something to wait for"
    assert all(got is event for got, event in zip(received, [*events, LEFT], strict=True))
    assert events == copies
    # Nothing is read beyond the event that exceeds the limit.
    needed = next((i for i in range(1, len(events)) if size_of(events[:i]) > max_bytes), len(events))
    assert taken_before == [needed]


@quickly
@given(
    data=st.data(), value=st.dictionaries(st.text(max_size=3), JSONS, max_size=3), margin=st.integers(-2, 2)
)
def test_a_body_of_at_most_the_limit_is_parsed_whatever_its_chunks(
    data: st.DataObject, value: dict[str, Any], margin: int
) -> None:
    body = json.dumps({**value, "a": 1}, ensure_ascii=data.draw(st.booleans())).encode()
    events = data.draw(chunkings(body))
    server = Server(events)
    reached: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reached.append(b"".join([(await receive()).get("body", b"") for _ in events]))

    with limit(len(body) + margin):
        run(asgi(app, WANTED)(scope_of(Sent("POST")), server.receive, server.send))
    assert server.taken == len(events), "the mock must not wait for the client to leave"
    if margin >= 0:
        assert server.sent[0]["status"] == 204
        assert reached == []
    else:
        assert server.sent == []
        assert reached == [body]


@quickly
@given(events=chunkings(), max_bytes=st.integers(0, 50), cut=st.integers(0, 6))
def test_nothing_is_sent_to_a_client_that_left_while_its_body_was_read(
    events: list[Message], max_bytes: int, cut: int
) -> None:
    for event in events:
        event["more_body"] = True
    server = Server([*events[:cut], {"type": "http.disconnect"}])

    with limit(max_bytes):
        run(asgi(unreachable, FALLING_BACK)(scope_of(Sent("POST")), server.receive, server.send))
    assert server.sent == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_body_is_not_read_where_something_else_differs(method: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        return receive

    server = Server([])
    receive = server.receive
    rules = [*UNLIKELY, Rule("/", when={"json": {"a": 1}, "headers": {"x-a": "1"}})]
    assert run(asgi(app, rules)(scope_of(Sent(method)), receive, server.send)) is receive
    assert server.taken == 0


def test_the_events_of_a_body_are_bounded_as_its_bytes_are() -> None:
    # A frame of one byte, or of none, becomes an event of several hundred: were they kept without an end, a
    # client could make a megabyte of body cost hundreds, and one that sends empty frames more than that.
    class Endless(Server):
        async def receive(self) -> Message:
            self.taken += 1
            if self.taken > 100_000:
                raise MemoryError(f"{self.taken} events are kept, for a body of 0 bytes")
            return {"type": "http.request", "body": b"", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> str:
        return "reached"

    server = Endless([])
    assert run(asgi(app, UNLIKELY)(scope_of(Sent("POST")), server.receive, server.send)) == "reached"


# ---- WSGI


class Input:
    """A server's input that gives at most some bytes a call, as sockets do, and keeps count.

    Where it has no end of its own, reading past `body` is an error: it would wait for ever.
    """

    def __init__(self, body: bytes, *, ends: bool, most: int = sys.maxsize) -> None:
        self._body = io.BytesIO(body)
        self._left = len(body)
        self._ends = ends
        self._most = most
        self.read_bytes = 0
        self.lines_read = 0

    def read(self, size: int = -1) -> bytes:
        if not self._ends and (size < 0 or size > self._left):
            raise AssertionError(f"read({size}) with {self._left} bytes left waits for ever")
        piece = self._body.read(self._most if size < 0 else min(size, self._most))
        self._left -= len(piece)
        self.read_bytes += len(piece)
        return piece

    def readline(self, size: int = -1) -> bytes:
        self.lines_read += 1
        return self._body.readline(size)

    def readlines(self, hint: int = -1) -> list[bytes]:
        self.lines_read += 1
        return self._body.readlines(hint)

    def __iter__(self) -> Iterator[bytes]:
        self.lines_read += 1
        return iter(self._body)


SIZES = st.integers(0, 60)
# What wsgiref.validate allows: read has one argument, the others have one at most.
READS = st.lists(
    st.tuples(st.just("read"), SIZES)
    | st.tuples(st.just("read"), st.just(-1))
    | st.tuples(st.just("readline"), st.none() | SIZES)
    | st.tuples(st.just("readlines"), st.none())  # its hint may be passed over (PEP 3333)
    | st.tuples(st.just("next"), st.none()),
    max_size=12,
)
LINES = st.lists(st.binary(max_size=12), max_size=8).map(b"\n".join)


def carry_out(stream: Any, reads: Iterable[tuple[str, int | None]]) -> list[object]:
    """What each way of reading gives, and at the end all the rest."""
    got: list[object] = []
    for name, size in [*reads, ("readlines", None)]:
        if name == "next":
            got.append(next(iter(stream), None))
        else:
            got.append(getattr(stream, name)(*([] if size is None else [size])))
    return got


def wsgi(app: Any, rules: Sequence[Rule]) -> Any:
    return WSGIMockMiddleware(app, rules=rules, enabled=True, environ={})


def answering(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]


@quickly
@given(
    body=LINES,
    reads=READS,
    max_bytes=st.integers(0, 50),
    most=st.integers(1, 9) | st.just(sys.maxsize),
    terminated=st.booleans(),
    validated=st.booleans(),
)
def test_every_way_of_reading_the_replay_gives_what_the_original_would(
    body: bytes,
    reads: list[tuple[str, int | None]],
    max_bytes: int,
    most: int,
    terminated: bool,
    validated: bool,
) -> None:
    got: list[object] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        got.extend(carry_out(environ["wsgi.input"], reads))
        return answering(environ, start_response)

    if len(body) > max_bytes or not body:
        most = sys.maxsize  # the app reads from the server's own input, whose short reads are its own, too
        if not terminated:
            reads = [("read", len(body))]  # and it must not read past its end
    stream = Input(body, ends=terminated, most=most)
    more = {"wsgi.input_terminated": True} if terminated else {}
    inner = validator(app) if validated else app
    with limit(max_bytes):
        answer = over_wsgi(wsgi(inner, UNLIKELY), Sent("POST", length=str(len(body))), stream, **more)
    assert answer.status == 200
    assert got == carry_out(io.BytesIO(body), reads)


@quickly
@given(body=LINES, max_bytes=st.integers(0, 50), sizes=st.lists(st.integers(1, 20), max_size=9))
def test_a_stream_longer_than_the_limit_is_read_no_further_than_the_app_asks(
    body: bytes, max_bytes: int, sizes: list[int]
) -> None:
    stream = Input(body, ends=True)
    got: list[bytes] = []
    furthest: list[int] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        furthest.append(stream.read_bytes)
        for size in sizes:
            got.append(environ["wsgi.input"].read(size))
            furthest.append(stream.read_bytes)
        return answering(environ, start_response)

    with limit(max_bytes):
        more: dict[str, Any] = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        over_wsgi(wsgi(app, UNLIKELY), Sent("POST", length=""), stream, **more)
    at_first = min(len(body), max_bytes + 1)
    assert furthest[0] == at_first
    for i in range(len(sizes)):
        asked = sum(map(len, got[: i + 1]))
        assert furthest[i + 1] <= max(at_first, asked), (
            "the app waits for bytes that it has not asked for, and that the client may never send"
        )


@quickly
@given(body=LINES, max_bytes=st.integers(0, 50))
def test_a_declared_length_above_the_limit_leaves_the_servers_own_input(body: bytes, max_bytes: int) -> None:
    stream = Input(body, ends=False)
    seen: list[object] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.extend((environ["wsgi.input"], stream.read_bytes))
        return answering(environ, start_response)

    with limit(max_bytes):
        over_wsgi(wsgi(app, UNLIKELY), Sent("POST", length=str(len(body))), stream, validated=False)
    if len(body) > max_bytes:
        assert seen == [stream, 0]
    else:
        assert seen[1] == len(body)


@quickly
@given(
    value=st.dictionaries(st.text(max_size=3), JSONS, max_size=3),
    margin=st.integers(-2, 2),
    most=st.integers(1, 9),
    terminated=st.booleans(),
)
def test_an_input_of_at_most_the_limit_is_parsed_however_it_comes(
    value: dict[str, Any], margin: int, most: int, terminated: bool
) -> None:
    body = json.dumps({**value, "a": 1}).encode()
    stream = Input(body, ends=terminated, most=most)
    more = {"wsgi.input_terminated": True} if terminated else {}
    reached: list[bytes] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        reached.append(b"".join(iter(lambda: environ["wsgi.input"].read(1), b"")) if terminated else b"")
        return answering(environ, start_response)

    with limit(len(body) + margin):
        answer = over_wsgi(wsgi(app, WANTED), Sent("POST", length=str(len(body))), stream, **more)
    assert answer.status == (204 if margin >= 0 else 200)
    assert reached == ([] if margin >= 0 else [body if terminated else b""])


def test_the_replay_stands_in_the_same_environ() -> None:
    seen: list[Environ] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.append(environ)
        return []

    stream = Input(b"ab\nc", ends=False)
    environ: Environ = {
        "PATH_INFO": "/",
        "REQUEST_METHOD": "POST",
        "CONTENT_LENGTH": "4",
        "wsgi.input": stream,
    }
    wsgi(app, UNLIKELY)(environ, print)
    assert seen[0] is environ
    assert set(environ) == {"PATH_INFO", "REQUEST_METHOD", "CONTENT_LENGTH", "wsgi.input"}
    assert environ["wsgi.input"].read() == b"ab\nc"
    assert environ["wsgi.input"].read() == b""


def test_a_body_that_broke_off_satisfies_no_condition() -> None:
    # On ASGI the disconnect tells; on WSGI the input ends before the length that was declared.
    cut = b'{"a": 1}'
    stream = Input(cut, ends=True)
    seen: list[bytes] = []

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read(100))
        return answering(environ, start_response)

    assert over_wsgi(wsgi(app, WANTED), Sent("POST", length="100"), stream).status == 200
    assert seen == [cut]

    server = Server([{"type": "http.request", "body": cut, "more_body": True}, {"type": "http.disconnect"}])

    async def asgi_app(scope: Scope, receive: Receive, send: Send) -> str:
        return "reached"

    assert run(asgi(asgi_app, WANTED)(scope_of(Sent("POST")), server.receive, server.send)) == "reached"


# ---- what is in the body


HOSTILE = {
    "a long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "a float beyond all": b'{"a": 1e999}',
    "not a number": b'{"a": NaN}',
    "a lone surrogate": b'{"a": "\\ud800"}',
    "UTF-16": '{"a": 2}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a": 2}',
    "NULs": b"\0" * 100,
    "two documents": b'{"a": 1}{"a": 1}',
    "a repeated key": b'{"a": 1, "a": 2}',
    "nothing but blanks": b" \n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_no_match_and_no_error(name: str) -> None:
    assert_passes_on_both_sides(HOSTILE[name], WANTED)


@pytest.mark.parametrize("shape", [(b"[", b"]"), (b'{"b":', b"}")])
@pytest.mark.parametrize("wanted", [1, {"b": {"b": [1]}}])
def test_json_of_any_depth_is_no_match_and_no_error(shape: tuple[bytes, bytes], wanted: Any) -> None:
    # The parser gives up at some depth; just above it, whoever compares or writes the value goes as deep.
    app = wsgi(answering, [Rule("POST /", when={"json": {"a": wanted}})])

    def nested(depth: int) -> bytes:
        return b'{"a": ' + shape[0] * depth + b"0" + shape[1] * depth + b"}"

    def is_too_deep(depth: int) -> bool:
        try:
            json.loads(nested(depth))
        except RecursionError:
            return True
        return False

    too_deep = bisect.bisect_left(range(200_000), True, lo=1, key=is_too_deep)
    assert 100 < too_deep < 200_000
    for depth in (10, too_deep // 2, *range(too_deep - 30, too_deep + 5), 190_000):
        body = nested(depth)
        environ: Environ = {
            "PATH_INFO": "/",
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        assert app(environ, lambda *_: None) == [b""], depth


@pytest.mark.parametrize("depth", [800, 5000])
def test_comparing_a_body_costs_no_more_than_some_times_parsing_it(depth: int) -> None:
    # A deep value with much text in its middle, were it written out to be shown, would be copied once for
    # each level: ten seconds for one request of 1 MiB, in which an event loop does nothing else.
    body = b'{"a": ' + b"[" * depth + b'"' + b"x" * 1_000_000 + b'"' + b"]" * depth + b"}"
    environ: Environ = {"PATH_INFO": "/", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body))}
    app = wsgi(answering, WANTED)
    quick = 0.05  # ten times what parsing takes
    took = []
    for _ in range(3):  # the best of three: this machine has other things to do
        began = time.thread_time()
        app({**environ, "wsgi.input": io.BytesIO(body)}, lambda *_: None)
        took.append(time.thread_time() - began)
        if took[-1] <= quick:
            break
    assert min(took) <= quick


def assert_passes_on_both_sides(body: bytes, rules: Sequence[Rule]) -> None:
    assert over_wsgi(wsgi(answering, rules), Sent("POST", body=[body])).status == 200

    async def app(scope: Scope, receive: Receive, send: Send) -> bytes:
        return bytes((await receive())["body"])

    server = Server([{"type": "http.request", "body": body}])
    assert run(asgi(app, rules)(scope_of(Sent("POST")), server.receive, server.send)) == body
