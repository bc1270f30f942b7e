"""A response of the real app, changed on its way out: its status, its fields, and JSON in its body.

Law: what is not to be changed is not touched. Only a body that is to be changed is held back, which its
start alone decides, and never more than `MAX_HELD_BYTES` of it; one that then turns out to be something else
goes on byte for byte, and a field of the response says why. `Patch` takes values and returns values, and both
interfaces say with it what becomes of a start and of a body; below are the two ways to hold one back.

Honest doubt: an app that sends JSON slowly, in pieces that mean something each, looks like any other until
its end. Media types that say so (`application/json-seq`, NDJSON, event streams) are never held.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, MutableMapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .encodings import Change, NotReadable, coding_of, decoded, longer_than, merged
from .messages import HOP_BY_HOP, MISSING, NOT_ON_HTTP_2, TOKEN
from .replies import _in_a_field, check_header
from .statuses import status_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[Any]]
Fields = Sequence[tuple[str, str]]

# What is held of a body, encoded and decoded: as much as is buffered of a request's (`bodies.py`).
MAX_HELD_BYTES = 1024 * 1024

# RFC 8259 section 11 and RFC 6839 section 3.1. Spring's old name for many documents in a row ends alike.
_JSON = re.compile(
    rf"(?!application/stream\+json)(?:application/json|{TOKEN}/{TOKEN}\+json)[ \t]*(?:;|$)", re.I
)
_LENGTH = re.compile(r"[0-9]{1,19}")  # what fits into 64 bits, as in nginx

# RFC 9110 section 6.4.1: 204 and 304 have no content; section 15.3.6: 205 generates none.
_WITHOUT_BODY = frozenset((204, 205, 304))
# wsgiref.validate refuses the type of what is not there, but on a 205 asks for it.
_WITHOUT_TYPE = frozenset((204, 304))

# A patched response is a mock in part. RFC 9213 section 2.2: these win over Cache-Control, so that without
# them gone a cache would serve it to someone else; X-Accel-Expires is nginx's own.
_FOR_CACHES = frozenset(("cache-control", "surrogate-control", "x-accel-expires", "cdn-cache-control")) | {
    f"{vendor}-cdn-cache-control" for vendor in ("cloudflare", "netlify", "vercel")
}

# What was said of a body that is another one now, its framing and its digests (RFC 9530, and what that
# obsoletes). The body is in one piece, and beside its length there must be no Transfer-Encoding (RFC 9112
# section 6.2).
_OF_A_BODY = frozenset(
    ("content-length", "transfer-encoding", "content-digest", "repr-digest", "digest", "content-md5")
)
# Both validators, too (RFC 9110 section 8.8): the client must not join a part of the app's representation to
# the changed one (If-Range), and Accept-Ranges would invite it to.
_OF_A_CHANGED_BODY = _OF_A_BODY | {"etag", "last-modified", "accept-ranges"}
# Validators are what a 304 is for, and clients try to decode even nothing.
_OF_A_DROPPED_BODY = _OF_A_BODY | {"content-encoding"}

# By these a server sends a file itself, and nobody would see its bytes on the way.
_PAST_BODY_EVENTS = ("http.response.pathsend", "http.response.zerocopysend")


class Start(NamedTuple):
    """A response's start with a patch made to it: `status`, and the fields of these names out, and those in.

    `holds`: the body is to be changed, which is in `coding` and, if the app said so, of `length` bytes.
    `drops`: the body is to be left out, whatever the app sends, since the status that it has or had has none.
    """

    status: int
    out: frozenset[str]
    added: Fields
    holds: bool = False
    drops: bool = False
    coding: str = ""
    length: int | None = None

    def with_length(self, length: int) -> Start:
        """With a body changed, which is of `length` bytes now."""
        return self._replace(
            out=self.out | _OF_A_CHANGED_BODY, added=[*self.added, ("Content-Length", str(length))]
        )

    def unchanged(self, reason: str) -> Start:
        """With a body that stays as it is, though it was to be changed."""
        return self._replace(added=[*self.added, ("X-Mock-Patch", f"body unchanged ({reason})")])


class Patch:
    """What is changed of the app's response. Nothing of it is computed again for a request.

    `status` takes the place of the app's. The fields in `headers` take the place of all of their names, and a
    repeated name repeats its field; None removes it. `json` is a merge patch (RFC 7396) for a JSON body,
    `MISSING` for none. `rule` is the name in `X-Mock-Rule`. Raises ValueError for what no response can have.
    """

    __slots__ = ("_change", "_headers", "_out", "_status")

    def __init__(
        self,
        *,
        rule: str,
        status: int | None = None,
        headers: Sequence[tuple[str, str | None]] = (),
        json: Any = MISSING,
    ) -> None:
        if status is not None:
            status_for(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            check_header(name, value or "")
        if removed := {name.lower() for name, value in headers if value is None} & {
            name.lower() for name, value in headers if value is not None
        }:
            raise ValueError(f"`{min(removed)}` cannot be both set and removed")
        self._status = status
        self._change = None if json is MISSING else Change.of(json)
        self._headers = [(name, value) for name, value in headers if value is not None]
        self._headers.append(("X-Mock-Rule", _in_a_field(rule)))
        self._out = frozenset((*names, "x-mock-rule"))
        if self._change is not None:
            self._out |= {"x-mock-patch"}
        if "cache-control" not in names:
            # So that no cache serves it to someone else (RFC 9111 section 5.2.2.5).
            self._headers.append(("Cache-Control", "no-store"))
            self._out |= _FOR_CACHES

    @property
    def changes_json(self) -> bool:
        """Whether bodies may have to be held back."""
        return self._change is not None

    def start(self, method: str, status: int, fields: Fields) -> Start:
        """What becomes of the start of the app's response; the names of its `fields` are in lower case."""
        start = Start(status if self._status is None else self._status, self._out, self._headers)
        if start.status != status and not _WITHOUT_BODY.isdisjoint((status, start.status)):
            start = self._without_body(start, fields)
        if self._change is None:
            return start
        try:
            coding, length = _changeable(status, fields)
        except NotReadable as reason:
            return start.unchanged(str(reason))
        if start.drops:
            return start.unchanged(f"status {start.status}")
        if method == "HEAD":
            # RFC 9110 section 8.6: a length in answer to HEAD is that of the GET's content, which is changed.
            return start._replace(out=start.out | _OF_A_CHANGED_BODY).unchanged("HEAD")
        return start._replace(holds=True, coding=coding, length=length)

    def _without_body(self, start: Start, fields: Fields) -> Start:
        """One of the two statuses, the app's and the patch's, is without a body, so nothing is sent."""
        out = start.out | _OF_A_DROPPED_BODY
        added = [*start.added]
        if start.status in _WITHOUT_TYPE:
            if "content-type" not in self._out:
                out |= {"content-type"}
        else:
            added.append(("Content-Length", "0"))
            if not any(name.lower() == "content-type" for name, _ in (*fields, *self._headers)):
                # RFC 9110 section 8.3: what a recipient may assume anyway; wsgiref.validate asks for one.
                added.append(("Content-Type", "application/octet-stream"))
        return start._replace(out=out, added=added, drops=True)

    def ending(self, start: Start, body: bytes) -> tuple[Start, bytes]:
        """What becomes of a start that was held, and of its whole body."""
        if self._change is None:
            return start, body
        try:
            if start.length not in (None, len(body)):
                raise NotReadable("not of its Content-Length")
            content, encode = decoded(body, start.coding, MAX_HELD_BYTES)
            changed = encode(merged(content, self._change))
        except NotReadable as reason:
            return start.unchanged(str(reason)), body
        return start.with_length(len(changed)), changed


def _changeable(status: int, fields: Fields) -> tuple[str, int | None]:
    """The coding and the length of a body that may be JSON; NotReadable for any other."""
    # 1xx: no response yet. 206: a part, of which nothing can be said without the rest.
    if status < 200 or status == 206 or status in _WITHOUT_BODY:
        raise NotReadable(f"status {status}")
    types = [value.strip(" \t") for name, value in fields if name == "content-type"]
    if len(types) != 1 or not _JSON.match(types[0]):
        raise NotReadable("not JSON")
    coding = coding_of(value for name, value in fields if name == "content-encoding")
    lengths = {value.strip(" \t") for name, value in fields if name == "content-length"}
    if not lengths:
        return coding, None
    if len(lengths) > 1 or not _LENGTH.fullmatch(min(lengths)):
        raise NotReadable("not of its Content-Length")
    length = int(min(lengths))
    if length > MAX_HELD_BYTES:
        raise NotReadable(longer_than(MAX_HELD_BYTES))
    return coding, length


# ---- ASGI


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
        start, body = self._patch.ending(start, self._taken())
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


# ---- WSGI


def patch_wsgi(
    patch: Patch, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Has the app answer a request, and gives its response changed.

    The app's own iterable is handed back where nothing of its body has to be looked at.
    """
    patched = _PatchedStart(patch, environ.get("REQUEST_METHOD", "GET"), start_response)
    try:
        chunks = app(environ, patched)
    except Exception:
        # What was written would be sent already, without a patch. Before that a server has sent nothing, and
        # answers the error by itself.
        with suppress(Exception):
            if patched.has_body:
                patched.write(patched.release("cut off"))
        raise
    if patched.began and not patched.drops:
        return chunks
    return _PatchedChunks(patched, chunks)


class _PatchedStart:
    """The `start_response` for the app. A start that is held back stands in `_held`.

    `began`: the server's own was called. `drops`: what the app gives is left out.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_held",
        "_method",
        "_patch",
        "_start_response",
        "_status",
        "_write",
        "began",
        "drops",
    )

    def __init__(self, patch: Patch, method: str, start_response: StartResponse) -> None:
        self._patch = patch
        self._method = method
        self._start_response = start_response
        self._held: Start | None = None
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._write: Callable[[bytes], object] | None = None
        self.began = False
        self.drops = False

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        try:
            if exc_info is None:
                self.release("started twice")  # an error of the app's, which the server is to find
            # PEP 3333: with exc_info the stored headers are replaced, while none are sent; and so is what was
            # to be sent behind them.
            self._held = None
            self._body.clear()
            self._status, self._headers = status, headers
            if not _is_status_line(status):
                return self._begin(None, exc_info)  # another one
            fields = [(name.lower(), value) for name, value in headers]
            start = self._patch.start(self._method, int(status[:3]), fields)
            if not start.holds:
                return self._begin(start, exc_info)
            if self.began:
                return self._begin(start.unchanged("started twice"), exc_info)
            self._headers = [*headers]
            self._held = start
            return self.write
        finally:
            exc_info = None  # or its traceback would hold this frame, and this frame the traceback

    def _begin(self, start: Start | None, exc_info: Any = None) -> Callable[[bytes], object]:
        try:
            status, headers = self._status, self._headers
            if start is not None:
                if start.status != int(status[:3]):
                    status = f"{start.status} {status_for(start.status).phrase}"
                headers = [pair for pair in headers if pair[0].lower() not in start.out]
                headers += [pair for pair in start.added if pair[0].lower() not in HOP_BY_HOP]
                self.drops = start.drops
            self.began = True
            if exc_info is None:
                write = self._start_response(status, headers)
            else:
                write = self._start_response(status, headers, exc_info)
            self._write = write
            return _written_to_nobody if self.drops else write
        finally:
            exc_info = None

    def write(self, piece: bytes) -> None:
        """What PEP 3333 calls the `write()` callable, for a start that is, or was, held back."""
        if self._held is not None:
            for ready in self.take(piece):
                self.write(ready)
        elif self._write is not None and not self.drops:
            self._write(piece)

    def take(self, piece: bytes) -> Iterable[bytes]:
        """Takes the next piece of the body, and gives what has to be sent now."""
        if self.drops:
            return (b"",)  # the server goes on asking, and sees if its client leaves
        if self._held is None:
            return (piece,)
        if len(self._body) + len(piece) <= MAX_HELD_BYTES:
            self._body += piece
            return ()
        body = self.release(longer_than(MAX_HELD_BYTES))
        return (body, piece) if body else (piece,)

    def release(self, reason: str) -> bytes:
        """Begins what is held, if anything is, and gives what came of its body; more may follow."""
        start, self._held = self._held, None
        if start is None:
            return b""
        self._begin(start.unchanged(reason))
        return self._taken()

    def finish(self) -> Iterable[bytes]:
        """What is left to send behind the app's last piece."""
        start, self._held = self._held, None
        if start is None:
            return ()
        start, body = self._patch.ending(start, self._taken())
        self._begin(start)
        return (body,)

    def _taken(self) -> bytes:
        body = bytes(self._body)
        self._body.clear()
        return body

    @property
    def has_body(self) -> bool:
        """Whether some of a body is held."""
        return self._held is not None and bool(self._body)


class _PatchedChunks:
    """The iterable for the server, where the body is held back or left out, or nothing is started yet.

    Each piece is asked of the app when the server asks: an app may be a generator, which starts its response
    only then.
    """

    __slots__ = ("_chunks", "_pieces")

    def __init__(self, patched: _PatchedStart, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._pieces = _pieces(patched, chunks)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Closes the app's iterable, once."""
        chunks, self._chunks = self._chunks, ()
        self._pieces.close()
        if hasattr(chunks, "close"):
            chunks.close()


def _pieces(patched: _PatchedStart, chunks: Iterable[bytes]) -> Generator[bytes, None, None]:
    try:
        for chunk in chunks:
            yield from patched.take(chunk)
    except Exception:
        # As above: what came before the error would be sent already.
        if patched.has_body:
            yield patched.release("cut off")
        raise
    yield from patched.finish()


def _is_status_line(status: object) -> bool:
    return isinstance(status, str) and status[:3].isascii() and status[:3].isdigit() and len(status) >= 3


def _written_to_nobody(piece: bytes) -> None:
    """The `write()` of a response whose body is left out."""
