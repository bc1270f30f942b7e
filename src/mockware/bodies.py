"""A request's body: drained before a mock is sent, or read for a condition and then replayed.

Law: whoever reads a body here leaves none of it behind on the connection, and whoever is handed it on
gets the same bytes in the same pieces. Reading has an end: so many bytes, and for what is thrown away so
much time. A condition waits for its body as long as the app would have, since a pending `receive()` cannot
be given up without losing an event.
Why drain: eight of the ten usual servers reset or corrupt the connection otherwise (design, section 5).
"""

from __future__ import annotations

import io
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator, MutableMapping
from sys import modules
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any

from .messages import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# What is buffered for a condition on the body. Django holds 2.5 MiB of a form in memory, Express's JSON
# parser 100 KiB.
MAX_BUFFERED_BYTES = 1024 * 1024
# A body in pieces of nothing would never reach the limit; a hundred bytes a piece is still a full one.
MAX_BUFFERED_EVENTS = 10_000
# What is read only to be thrown away: nginx's and Apache's default limits are 1 MiB and 1 GiB.
MAX_DRAINED_BYTES = 64 * 1024 * 1024
MAX_DRAINING_S = 30.0
_PIECE_BYTES = 64 * 1024
# What servers raise for a connection that is lost, and for chunks that are none (cheroot).
_READ_ERRORS = (OSError, ValueError)


# ASGI


def drain(receive: Receive) -> bool | Awaitable[bool]:
    """Reads the rest of a request's body and drops it. False: the client has gone.

    A plain answer where the body was there already; where it has to be waited for, the wait.
    """
    if "trio" in modules:
        # Trio's scopes nest strictly, so that the clock has to start before the first step.
        return _drain(receive)
    first = receive()
    if not isinstance(first, CoroutineType):
        return _drain_on_asyncio(receive, first)
    # A timer for each request would cost more than everything else that is done for it, while most bodies
    # are there before the app is called: the clock is started only if there is something to wait for.
    try:
        waits_for = first.send(None)
    except StopIteration as finished:
        message = finished.value
    else:
        return _drain_on_asyncio(receive, _rest(first, waits_for))
    if message["type"] == "http.disconnect":
        return False
    return _drain(receive) if message.get("more_body") else True


@coroutine
def _rest(steps: CoroutineType[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """`await steps`, the first of which was taken already (PEP 380 has what `await` does)."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - cancellation above all, and thrown on
                waits_for = steps.throw(error)
            else:
                waits_for = steps.send(sent)
    except StopIteration as finished:
        return finished.value


async def _drain(receive: Receive) -> bool:
    from anyio import move_on_after

    with move_on_after(MAX_DRAINING_S):
        return await _read_to_the_end(receive, receive())
    return True


async def _drain_on_asyncio(receive: Receive, first: Awaitable[MutableMapping[str, Any]]) -> bool:
    from asyncio import timeout

    # Not anyio's: `first` may have entered a scope of its own already, which must not be left out of order.
    try:
        async with timeout(MAX_DRAINING_S) as bound:
            return await _read_to_the_end(receive, first)
    except TimeoutError:
        if not bound.expired():
            raise
    return True


async def _read_to_the_end(receive: Receive, first: Awaitable[MutableMapping[str, Any]]) -> bool:
    message = await first
    left = MAX_DRAINED_BYTES
    while message["type"] != "http.disconnect":
        left -= len(message.get("body", b""))
        if left <= 0 or not message.get("more_body"):
            return True
        message = await receive()
    return False


async def buffer(request: Request, receive: Receive) -> Receive:
    """Gives the request its body, and returns the `receive` that replays it.

    The replay has the same events, then goes on with the real `receive`. A body above
    `MAX_BUFFERED_BYTES` is not given, and streams on behind what was read of it.
    """
    events: deque[MutableMapping[str, Any]] = deque()
    pieces: list[bytes] = []
    left = MAX_BUFFERED_BYTES
    more = True
    while more and left >= 0 and len(events) < MAX_BUFFERED_EVENTS:
        event = await receive()
        events.append(event)
        if event["type"] != "http.request":
            break
        pieces.append(event.get("body", b""))
        left -= len(pieces[-1])
        more = event.get("more_body", False)
    if not more and left >= 0:
        request.body = b"".join(pieces)

    async def replay() -> MutableMapping[str, Any]:
        return events.popleft() if events else await receive()

    return replay


# WSGI


def drain_input(environ: dict[str, Any]) -> None:
    """Reads the rest of a request's body and drops it, as far as its end is known.

    Without a length, the end of the stream is an end only if the server says so (`wsgi.input_terminated`):
    a bare `read()` waits for ever on others. The time is looked at between reads.
    """
    length = _content_length(environ)
    stream = environ.get("wsgi.input")
    if length == 0 or stream is None:
        return
    left = MAX_DRAINED_BYTES if length is None else min(length, MAX_DRAINED_BYTES)
    deadline = 0.0
    while True:
        try:
            piece = stream.read(left if left < _PIECE_BYTES else _PIECE_BYTES)
        except _READ_ERRORS:
            return  # the client has gone, or sends no body; the server finds out by itself
        left -= len(piece)
        if not left or not piece:
            return
        # Most bodies are one piece, and never come to look at the clock.
        now = time.monotonic()
        deadline = deadline or now + MAX_DRAINING_S
        if now >= deadline:
            return


def buffer_input(request: Request, environ: dict[str, Any]) -> None:
    """Gives the request its body, and the app an input that replays it."""
    length = _content_length(environ)
    stream = environ.get("wsgi.input")
    if stream is None or length == 0:
        request.body = b""
        return
    if length is not None and length > MAX_BUFFERED_BYTES:
        return
    wanted = MAX_BUFFERED_BYTES + 1 if length is None else length
    pieces: list[bytes] = []
    broken: Exception | None = None
    try:
        while wanted > 0 and (piece := stream.read(min(wanted, _PIECE_BYTES))):
            pieces.append(piece)
            wanted -= len(piece)
    except ConnectionError:
        raise  # the client has gone, and nobody is left to be answered
    except _READ_ERRORS as error:
        # Without its traceback, whose frames hold this environ: the circle would keep the server's stream
        # alive after its socket is closed.
        broken = error.with_traceback(None)
    body = b"".join(pieces)
    if broken is not None:
        environ["wsgi.input"] = _Replay(body, _BrokenStream(broken))
        return
    if len(body) > MAX_BUFFERED_BYTES:
        environ["wsgi.input"] = _Replay(body, stream)
        return
    environ["wsgi.input"] = io.BytesIO(body)
    # One that broke off is not the body that was announced.
    announced = environ.get("CONTENT_LENGTH") or ""
    if len(body) == length or (length is None and announced in ("", str(len(body)))):
        request.body = body


def _content_length(environ: dict[str, Any]) -> int | None:
    """The body's length; 0 where there is none that could be read safely; None: up to the stream's end."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if environ.get("wsgi.input_terminated"):
        # RFC 9112 section 6.3: neither field, so no body. Asking granian's stream costs more than the mock.
        chunked = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL") != "HTTP/1.1"
        return None if declared or chunked else 0
    return int(declared) if len(declared) < 20 and declared.isascii() and declared.isdigit() else 0


class _BrokenStream:
    """What is behind the bytes that came of a stream that broke: the error, for whoever reads on."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> bytes:
        raise self._error

    readline = read


class _Replay:
    """What was read of a stream, then the rest of it: the input that PEP 3333 asks for, and no more.

    Not an `io.BufferedReader`, which would read on ahead of the app, and so wait for what nobody wants yet.
    """

    def __init__(self, start: bytes, stream: InputStream | _BrokenStream) -> None:
        self._start = io.BytesIO(start)
        self._stream = stream

    def read(self, size: int | None = -1) -> bytes:
        wanted = -1 if size is None else size
        pieces = [self._start.read(wanted)]
        left = wanted - len(pieces[0])
        # With an argument: wsgiref.validate asks for one.
        while left and (piece := self._stream.read(-1 if wanted < 0 else left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readline(self, size: int | None = -1) -> bytes:
        wanted = -1 if size is None else size
        line = self._start.readline(wanted)
        while not line.endswith(b"\n") and len(line) != wanted:
            more = self._stream.readline() if wanted < 0 else self._stream.readline(wanted - len(line))
            if not more:
                break
            line += more
        return line

    def readlines(self, hint: int | None = -1) -> list[bytes]:
        lines: list[bytes] = []
        wanted = -1 if hint is None else hint
        for line in self:
            lines.append(line)
            wanted -= len(line)
            if (hint or 0) > 0 and wanted <= 0:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")
