"""The WSGI side of a patch: the app's start and its chunks on their way out, held back if they change.

Law: the app's own iterable is handed back where nothing of its body has to be looked at, and closed once
wherever it is not (PEP 3333). What an app starts in its call, the server has got when ours returns. What
becomes of a start and of a body is decided in `patches.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .encodings import longer_than
from .messages import HOP_BY_HOP
from .patches import MAX_HELD_BYTES, Patch, Start
from .statuses import status_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


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
    ours = _PatchedChunks(patched, chunks)
    if patched.holds:
        ours.begin()
    return ours


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
    def holds(self) -> bool:
        """Whether a start is held."""
        return self._held is not None

    @property
    def has_body(self) -> bool:
        """Whether some of a body is held."""
        return self._held is not None and bool(self._body)


class _PatchedChunks:
    """The iterable for the server, where the body is held back or left out, or nothing is started yet.

    Each piece is asked of the app when the server asks, save those that a held start waits for: an app may be
    a generator, which starts its response only then.
    """

    __slots__ = ("_chunks", "_first", "_pieces")

    def __init__(self, patched: _PatchedStart, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self._first: bytes | None = None
        self._pieces = _pieces(patched, chunks)

    def begin(self) -> None:
        """Asks the app for as much as it takes to let go of the start that is held.

        PEP 3333 lets a start wait for the first piece, but granian reads status and fields when the call
        returns, and would send a 200 without any. The server waits for that piece in either case.
        """
        try:
            # None: the app has started again meanwhile, and has sent nothing behind that.
            self._first = next(self._pieces, None)
        except BaseException:
            self.close()  # the server never gets to see what it would have to close
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        first, self._first = self._first, None
        return next(self._pieces) if first is None else first

    def close(self) -> None:
        """Closes the app's iterable, once."""
        chunks, self._chunks = self._chunks, ()
        self._first = None
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
