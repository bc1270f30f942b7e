"""One request and its response, on their way through a proxy.

Law: bodies go through in pieces, as fast as the slower side takes them, and nothing is kept. Nobody waits for
the upstream for longer than `timeout_s` between two things that it does; for a client, the server's patience
counts. Where a response has begun and cannot go on, the connection ends as the upstream's did.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import aiohttp

from .asgi_patching import unpatched
from .bodies import drain
from .forwarding import to_client
from .upstream_failures import Failure, LoopError

if TYPE_CHECKING:
    from .connections import Connections

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

# Most exchanges are over by then; only in the others is it worth while to look whether the client has left.
_LOOK_AFTER_S = 0.1
_LOOK_EVERY_S = 1.0
# What among OSErrors comes from the client library, or from the clock.
_UPSTREAMS = (aiohttp.ClientError, TimeoutError)


class Exchange:
    """A request of a client, handed on by `connections`, and its response, handed back.

    A clock watches it from outside, so that a usual exchange costs one timer.
    """

    __slots__ = (
        "_clock",
        "_connections",
        "_ended",
        "_expects",
        "_gone",
        "_has_whole",
        "_listener",
        "_loop",
        "_reads",
        "_receive",
        "_scope",
        "_send",
        "_started",
        "_task",
        "_upload",
        "_waits_since",
    )

    def __init__(self, connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
        self._connections = connections
        self._scope = scope
        self._receive = receive
        self._send = send
        self._upload: Upload | None = None  # of a body that comes in pieces
        self._expects = False  # the client holds its body back, and nobody has asked for it yet
        self._has_whole = False  # there is nothing more of the request to come
        self._started = False
        self._reads = False  # a response whose next piece is due
        self._gone = False
        self._waits_since: float | None = None  # for the upstream
        self._listener: asyncio.Task[None] | None = None
        self._ended = False  # by the clock, by the client who has gone, or by itself
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.call_later(_LOOK_AFTER_S, self._look)

    async def run(self) -> None:
        try:
            await self._within_bounds()
        except (aiohttp.ClientError, OSError, ValueError, LoopError) as error:
            # What is said now is between us and the client.
            self._stop_watching()
            if not (self._gone or self._is_of_send(error)):
                await self._fail(self._connections.failed(error))
        finally:
            self._stop_watching()
            if self._upload is not None:
                self._upload.give_up()

    def _is_of_send(self, error: Exception) -> bool:
        """Whether the client has gone, where ASGI's `send()` raises an OSError: all others are aiohttp's."""
        return self._started and isinstance(error, OSError) and not isinstance(error, _UPSTREAMS)

    def _stop_watching(self) -> None:
        self._ended = True
        self._clock.cancel()
        if self._listener is not None:
            self._listener.cancel()

    async def _within_bounds(self) -> None:
        """Raises TimeoutError where the clock ends it: `asyncio.timeout`, for a third of what that costs."""
        try:
            await self._hand_on()
        except asyncio.CancelledError:
            if self._ended and self._task is not None and not self._task.uncancel():
                raise TimeoutError from None
            raise

    async def _hand_on(self) -> None:
        connections = self._connections
        fields, has_length, self._expects = connections.outgoing(self._scope)
        url = connections.url(self._scope)
        body = await self._body(has_length)
        if self._gone:
            return
        started = self._waits_since = self._loop.time()
        response = await connections.session.request(
            self._scope["method"], url, data=body, headers=fields, allow_redirects=False
        )
        if response.status < 200:
            # RFC 9110 section 15.2.2: 101 answers an Upgrade field, and none is handed on.
            response.close()
            raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)
        connections.answered()
        try:
            await self._answer(response, connections.took(self._loop.time() - started))
        except BaseException:
            # Where it was read to its end, its connection is back in the pool already.
            response.close()
            raise

    async def _body(self, has_length: bool) -> bytes | Upload | None:
        """What is sent: nothing, a body that is there as a whole, or one in pieces."""
        on_http_1 = self._scope.get("http_version", "1.1") < "2"
        # RFC 9112 section 6.3: without either field, a request has no body. On HTTP/2 the frames say it.
        if on_http_1 and not has_length:
            self._expects = False
            self._has_whole = True
            return None
        if self._expects and on_http_1:
            # To read is to tell the client to go on, which is the upstream's to say.
            self._upload = Upload(self, None)
            return self._upload
        self._expects = False
        first = await self._receive()
        if first["type"] == "http.disconnect":
            self._gone = True
            return None
        if first.get("more_body"):
            self._upload = Upload(self, first)
            return self._upload
        self._has_whole = True
        whole: bytes = first.get("body", b"")
        return whole if whole or on_http_1 else None

    async def _answer(self, response: aiohttp.ClientResponse, more: list[tuple[bytes, bytes]]) -> None:
        headers = to_client(response.raw_headers)
        headers += more
        if self._expects:
            # The body that was announced never comes, so nothing else can on this connection.
            headers.append((b"connection", b"close"))
        content = response.content
        send = self._send
        self._waits_since = None
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        if self._upload is None and content.is_eof():
            self._started = True
            await send(start)
            await send({"type": "http.response.body", "body": content.read_nowait(), "more_body": False})
            return
        # To hyper, which granian is built on, a response is complete with the last byte of its length; the
        # connection of a request that is not read to its end by then is closed.
        left = response.content_length
        is_over = content.at_eof()
        if is_over and not await self._has_read_on(response):
            return
        self._started = True
        await send(start)
        # Events may be rare, and their stream has no end; it is the client who leaves.
        bounded = response.content_type != "text/event-stream"
        while not content.at_eof():
            if bounded:
                self._reads = True
                self._waits_since = self._loop.time()
            piece = await content.readany()
            self._reads = False
            self._waits_since = None
            if left is not None:
                left -= len(piece)
                is_over = left <= 0
                if is_over and not await self._has_read_on(response):
                    return
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        if is_over or await self._has_read_on(response):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _has_read_on(self, response: aiohttp.ClientResponse) -> bool:
        """Reads what is left of a body that was answered before its end. False: the client has gone."""
        if self._upload is None or self._upload.ended or self._expects:
            return True
        response.close()
        return await self._upload.drained()

    async def _fail(self, failure: Failure) -> None:
        """Says what went wrong; a response that has begun is broken off."""
        if self._started:
            # An app that returns before its body is complete has its connection closed.
            return
        headers = failure.fields
        if self._expects:
            headers.append((b"connection", b"close"))
        elif not await self._drained():
            return
        send = unpatched(self._send)
        await send({"type": "http.response.start", "status": failure.status, "headers": headers})
        body = b"" if self._scope["method"] == "HEAD" else failure.body
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _drained(self) -> bool:
        """Reads what is left of the request's body. False: the client has gone."""
        if self._upload is not None:
            return await self._upload.drained()
        return self._has_whole or await _drained(self._receive)

    # the clock

    def waits(self, *, for_upstream: bool) -> None:
        """Who has to do something next, as far as the request's body goes."""
        if self._started and not self._reads:
            # Of the response, nothing is due: it is the client who reads slowly, or events may be rare.
            for_upstream = False
        self._waits_since = self._loop.time() if for_upstream else None

    async def asks(self) -> Event:
        """Asks the server for the next event; who held its body back is told to go on."""
        self._expects = False
        return await self._receive()

    def leave(self) -> None:
        """Ends it at once: the client has gone."""
        self._gone = True
        self._end()

    def _look(self) -> None:
        """Looks after an exchange that takes its time."""
        if self._listener is None and (self._has_whole or (self._upload and self._upload.ended)):
            self._listener = self._loop.create_task(self._listen())
        now = self._loop.time()
        since = self._waits_since
        due = now + _LOOK_EVERY_S if since is None else since + self._connections.timeout_s
        if due <= now:
            self._end()
        else:
            self._clock = self._loop.call_at(min(due, now + _LOOK_EVERY_S), self._look)

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def _end(self) -> None:
        if not self._ended and self._task is not None:
            self._ended = True
            self._task.cancel()


class Upload:
    """A request's body in pieces, for the client library to iterate over.

    The library stops in the middle where the upstream has answered already. An event that is waited for then
    is kept for whoever reads on, since a pending `receive()` cannot be given up without losing it.
    """

    def __init__(self, exchange: Exchange, first: Event | None) -> None:
        self._exchange = exchange
        self._first = first
        self._pending: asyncio.Task[Event] | None = None
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        while not self.ended:
            exchange.waits(for_upstream=False)
            event = await self._next()
            if event["type"] == "http.disconnect":
                exchange.leave()
                raise ConnectionResetError("the client has gone")
            exchange.waits(for_upstream=True)
            if piece := event.get("body", b""):
                yield piece

    def give_up(self) -> None:
        """Waits for nothing more: nobody reads on."""
        if self._pending is not None:
            self._pending.cancel()

    async def drained(self) -> bool:
        """Reads what is left and drops it. False: the client has gone."""
        return True if self.ended else await _drained(self._next)

    async def _next(self) -> Event:
        if self._first is not None:
            event, self._first = self._first, None
        else:
            if self._pending is None:
                # A task of ours: what granian's `receive()` returns cannot be waited for twice.
                self._pending = asyncio.create_task(self._exchange.asks())
            event = await asyncio.shield(self._pending)
            self._pending = None
        self.ended = event["type"] != "http.request" or not event.get("more_body", False)
        return event


async def _drained(receive: Receive) -> bool:
    drained = drain(receive)
    return drained is True or bool(drained and await drained)
