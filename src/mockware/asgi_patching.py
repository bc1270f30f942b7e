"""The ASGI side of a patch: the app's events on their way out, held back where their body is to be changed.

Law: an event that is not changed is sent as it came, at once; the app's own objects are never written to.
What becomes of a start and of a body is decided in `patches.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from .encodings import longer_than
from .messages import NOT_ON_HTTP_2
from .patches import MAX_HELD_BYTES, Patch, Start

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[Any]]

# A longer body is changed in a thread, so that the others go on: a mebibyte of tiny members takes a second.
MAX_ON_THE_LOOP_BYTES = 16 * 1024

# By these a server sends a file itself, and nobody would see its bytes on the way.
_PAST_BODY_EVENTS = ("http.response.pathsend", "http.response.zerocopysend")


async def patch_asgi(patch: Patch, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
    """Has the app answer an HTTP request, and sends its response changed. Returns what the app returns."""
    patched = _PatchedSend(patch, scope, send)
    try:
        answer = await app(_without_shortcuts(patch, scope), receive, patched)
    except Exception:
        # Without a patch, this would be sent already; it is the app's error that has to be told, not a second
        # one. (When cancelled, on the other hand, there is nobody to send it to.)
        with suppress(Exception):
            await patched.finish()
        raise
    await patched.finish()
    return answer


def unpatched(send: Send) -> Send:
    """The `send` for an error of what stands in for an app, such as a proxy, and of no app.

    A patch changes what an app answers; that there was nobody to answer is to be seen. Where somebody else
    stands between and gives a `send` of its own, the error is patched as any other response.
    """
    while isinstance(send, _PatchedSend):
        send = send.unpatched
    return send


def _without_shortcuts(patch: Patch, scope: Scope) -> Scope:
    """The scope for the app: the very same one, unless the server offers to send bodies past the patch."""
    extensions = scope.get("extensions")
    if not patch.changes_json or not extensions or not any(name in extensions for name in _PAST_BODY_EVENTS):
        return scope
    kept = {name: value for name, value in extensions.items() if name not in _PAST_BODY_EVENTS}
    return {**scope, "extensions": kept}


class _PatchedSend:
    """The `send` for the app. A start that is held back stands in `_held`, with what came of its body."""

    __slots__ = (
        "_body",
        "_drops",
        "_ended",
        "_event",
        "_held",
        "_http_version",
        "_method",
        "_patch",
        "_send",
    )

    def __init__(self, patch: Patch, scope: Scope, send: Send) -> None:
        self._patch = patch
        self._method = scope.get("method", "GET")
        self._http_version = scope.get("http_version", "1.1")
        self._send = send
        self._event: Event = {}
        self._held: Start | None = None
        self._body = bytearray()
        self._drops = False
        self._ended = False

    async def __call__(self, event: Event) -> None:
        kind = event["type"]
        if kind == "http.response.start":
            await self.finish()
            await self._begin(event)
        elif self._drops:
            await self._drop(event)
        elif self._held is None:
            await self._send(event)
        elif kind == "http.response.body":
            await self._collect(event, self._held)
        elif kind in _PAST_BODY_EVENTS:
            await self._release("sent as a file")
            await self._send(event)
        else:
            # Not of the body: early hints, pushes. They may go first, as they might have come first.
            await self._send(event)

    @property
    def unpatched(self) -> Send:
        """The server's own `send`."""
        return self._send

    async def finish(self) -> None:
        """To be called when the app will send no more: what is still held goes."""
        await self._release("cut off")

    async def _begin(self, event: Event) -> None:
        pairs = [*event.get("headers", ())]
        fields = [(_text(name).lower(), _text(value)) for name, value in pairs]
        start = self._patch.start(self._method, event["status"], fields)
        # A list of its own: what the app sends may be a constant of its.
        self._event = {**event, "headers": pairs}
        if start.holds:
            self._held = start
        else:
            self._drops = start.drops
            await self._send_start(start)

    async def _send_start(self, start: Start) -> None:
        event = self._event
        not_here = NOT_ON_HTTP_2 if self._http_version >= "2" else ()
        headers = [pair for pair in event["headers"] if _text(pair[0]).lower() not in start.out]
        for name, value in start.added:
            if name.lower() not in not_here:
                headers.append((name.lower().encode("ascii"), value.encode("latin-1")))
        event = {**event, "status": start.status, "headers": headers}
        if start.drops:
            event.pop("trailers", None)
        self._event = {}
        await self._send(event)

    async def _drop(self, event: Event) -> None:
        """Ends the response with the first event of its body, and leaves out all further ones."""
        is_body = event["type"] == "http.response.body" or event["type"] in _PAST_BODY_EVENTS
        if is_body and not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not is_body and event["type"] != "http.response.trailers":
            await self._send(event)

    async def _collect(self, event: Event, start: Start) -> None:
        piece = event.get("body", b"")
        if len(self._body) + len(piece) > MAX_HELD_BYTES:
            await self._release(longer_than(MAX_HELD_BYTES))
            await self._send(event)
            return
        self._body += piece
        if event.get("more_body"):
            return
        self._held = None
        held = self._taken()
        if len(held) <= MAX_ON_THE_LOOP_BYTES:
            start, body = self._patch.ending(start, held)
        else:
            from anyio import to_thread

            start, body = await to_thread.run_sync(self._patch.ending, start, held)
        await self._send_start(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _release(self, reason: str) -> None:
        """Sends what is held, if anything is, as it came; more may follow."""
        start, self._held = self._held, None
        if start is None:
            return
        await self._send_start(start.unchanged(reason))
        if body := self._taken():
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def _taken(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        return body


def _text(value: Any) -> str:
    """A name or a value as text; the specification has bytes, some apps have not."""
    return value if isinstance(value, str) else bytes(value).decode("latin-1")
