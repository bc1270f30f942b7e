"""One websocket, on its way through a proxy.

Law: messages go both ways as they come, text as text and bytes as bytes; the upstream chooses the
subprotocol, and whoever closes is heard on the other side, with code and reason. A handshake is refused with
what the upstream says. Pings are between neighbours: each answers its own, and compression is theirs, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import WSMsgType

from .forwarding import handshake_to_client
from .upstream_failures import LoopError

if TYPE_CHECKING:
    from .connections import Connections

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Websocket = aiohttp.ClientWebSocketResponse

# What uvicorn takes of a client, too; after a longer message the upstream is told 1009.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# How long the upstream has to agree that it is over.
_CLOSE_S = 5.0
# A refusal is a page or a problem; of more than that, nothing is said.
_MAX_REFUSAL_BYTES = 64 * 1024

# RFC 6455 section 7.4.1.
_NORMAL, _GOING_AWAY, _INTERNAL_ERROR = 1000, 1001, 1011
# These "MUST NOT be set as a status code in a Close control frame": what they mean is that there was none.
_NO_STATUS, _ABNORMAL = 1005, 1006


async def relay(connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
    """Opens a websocket to the upstream of `connections`, accepts the client's, and lets them talk."""
    if (await receive())["type"] != "websocket.connect":
        return
    answer = _Answer()
    accepted = False
    try:
        fields, _, _ = connections.outgoing(scope)
        async with connections.new_session(trace_configs=[answer.trace()]) as session:
            async with asyncio.timeout(connections.timeout_s):
                upstream = await session.ws_connect(
                    connections.url(scope),
                    protocols=scope.get("subprotocols", ()),
                    headers=fields,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                    max_msg_size=MAX_MESSAGE_BYTES,
                )
            connections.answered()
            async with upstream:
                headers = handshake_to_client(answer.headers)
                accepted = True
                await send({"type": "websocket.accept", "subprotocol": upstream.protocol, "headers": headers})
                await _talk(upstream, receive, send)
    except aiohttp.WSServerHandshakeError as error:
        await _refuse(scope, send, error.status, handshake_to_client(answer.headers), answer.body)
    except (aiohttp.ClientError, OSError, ValueError, LoopError) as error:
        if accepted and not isinstance(error, aiohttp.ClientError):
            return  # the client has gone, where that makes `send()` an error
        failure = connections.failed(error)
        if accepted:
            return
        await _refuse(scope, send, failure.status, failure.fields, failure.body)


class _Answer:
    """What the upstream says to the handshake, which the client library keeps to itself."""

    def __init__(self) -> None:
        self.headers: tuple[tuple[bytes, bytes], ...] = ()
        self.body = b""

    def trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._ended)
        return trace

    async def _ended(self, session: Any, context: Any, ended: aiohttp.TraceRequestEndParams) -> None:
        response = ended.response
        self.headers = response.raw_headers
        if response.status != 101:
            try:
                self.body = await response.content.readexactly(_MAX_REFUSAL_BYTES + 1)
            except asyncio.IncompleteReadError as whole:
                self.body = whole.partial
            else:
                self.body = b""


async def _refuse(
    scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    if "websocket.http.response" not in (scope.get("extensions") or ()):
        await send({"type": "websocket.close"})  # before it was accepted: servers answer 403
        return
    kept = [pair for pair in headers if pair[0] != b"content-length"]
    kept.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "websocket.http.response.start", "status": status, "headers": kept})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})


async def _talk(upstream: Websocket, receive: Receive, send: Send) -> None:
    """Both directions until one side closes."""
    client = _Client(upstream, receive)
    speaking = asyncio.ensure_future(client.speak())
    try:
        closing = await _listen(upstream, send)
        if not client.has_left:
            await send(closing)
            speaking.cancel()
    except BaseException:
        speaking.cancel()
        raise
    finally:
        await asyncio.wait({speaking})
    if not speaking.cancelled():
        speaking.result()


class _Client:
    """What the client says, for the upstream."""

    def __init__(self, upstream: Websocket, receive: Receive) -> None:
        self._upstream = upstream
        self._receive = receive
        self.has_left = False

    async def speak(self) -> None:
        with suppress(aiohttp.ClientError, ConnectionError):  # the other direction sees its end
            while (event := await self._receive())["type"] == "websocket.receive":
                text = event.get("text")
                if text is not None:
                    await self._upstream.send_str(text)
                else:
                    await self._upstream.send_bytes(event.get("bytes") or b"")
            self.has_left = True
            code = event.get("code") or _NO_STATUS
            code = {_NO_STATUS: _NORMAL, _ABNORMAL: _GOING_AWAY}.get(code, code)
            await self._upstream.close(code=code, message=(event.get("reason") or "").encode())


async def _listen(upstream: Websocket, send: Send) -> Event:
    """Hands on what the upstream says; returns what there is to say when it has closed."""
    reason = ""
    while True:
        message = await upstream.receive()
        if message.type is WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
        else:
            if message.type is WSMsgType.CLOSE:
                reason = message.extra or ""
            break
    code = upstream.close_code
    if code == _ABNORMAL:
        code, reason = _INTERNAL_ERROR, "the upstream has gone without a word"
    if code in (None, _NO_STATUS, 0):
        return {"type": "websocket.close"}
    return {"type": "websocket.close", "code": code, "reason": reason}
