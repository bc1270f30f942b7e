"""Both interfaces driven by hand: what a server makes of a request, and what an app made of it.

A `Sent` request becomes a scope with its events (`over_asgi`) or an environ (`over_wsgi`), and both give
an `Answer` in one form, so that two of them can be compared. The WSGI side stands under
`wsgiref.validate.validator` unless told otherwise.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable, Coroutine, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

from mockware.messages import Response
from mockware.rules import Rule

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Environ = dict[str, Any]
Fields = Sequence[tuple[str, str]]

T = TypeVar("T")


@dataclass(frozen=True)
class Sent:
    """A request as it stands on the wire: `target` is percent-encoded, `mount` included.

    `body` is in the pieces in which it comes. A length is declared for what is not empty, unless `length`
    gives the field's own text (or "" for none).
    """

    method: str = "GET"
    target: str = "/"
    query: str = ""
    headers: Fields = ()
    body: Sequence[bytes] = ()
    mount: str = ""
    http_version: str = "1.1"
    length: str | None = None

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The header fields with `Content-Length` among them."""
        size = sum(map(len, self.body))
        length = self.length if self.length is not None else str(size) if size else ""
        return [("Host", "mock.test"), *self.headers, *([("Content-Length", length)] if length else [])]


@dataclass(frozen=True)
class Answer:
    """A response; the fields' names are in lower case, sorted with their values: order means nothing."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def without(self, names: Iterable[str]) -> "Answer":
        left_out = frozenset(names)
        kept = tuple(pair for pair in self.fields if pair[0] not in left_out)
        return Answer(self.status, kept, self.body)


def scope_of(sent: Sent, **more: Any) -> Scope:
    """The HTTP scope that uvicorn makes of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": sent.http_version,
        "method": sent.method,
        "scheme": "http",
        "path": unquote_to_bytes(sent.target).decode("utf-8", "replace"),
        "raw_path": sent.target.encode("latin-1"),
        "query_string": sent.query.encode("latin-1"),
        "root_path": sent.mount,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.fields],
        "client": ("127.0.0.1", 50000),
        "server": ("mock.test", 80),
        "state": {},
        "extensions": {},
        **more,
    }


def handshake_of(sent: Sent, **more: Any) -> Scope:
    """The websocket scope of the same request."""
    scope = scope_of(sent, type="websocket", scheme="ws", subprotocols=[], **more)
    del scope["method"]
    return scope


def environ_of(sent: Sent, stream: Any = None, **more: Any) -> Environ:
    """The environ that wsgiref makes of a request; repeated fields are joined, as servers do."""
    path = unquote_to_bytes(sent.target).decode("latin-1")
    mount = sent.mount.encode().decode("latin-1")
    environ: Environ = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": mount,
        "PATH_INFO": path[len(mount) :] if path.startswith(mount) else path,
        "QUERY_STRING": sent.query,
        "SERVER_NAME": "mock.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": f"HTTP/{sent.http_version}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"".join(sent.body)) if stream is None else stream,
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in sent.fields:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ | more


def events_of(sent: Sent) -> list[Message]:
    """A request's body as events."""
    pieces = list(sent.body) or [b""]
    return [
        {"type": "http.request", "body": piece, "more_body": i < len(pieces)}
        for i, piece in enumerate(pieces, 1)
    ]


class Wire:
    """What a server holds of one exchange: the events to come and the messages that were sent.

    `asked` counts the calls of `receive`. After the last event comes the disconnect.
    """

    def __init__(self, events: Iterable[Message] = (), *, last: str = "http.disconnect") -> None:
        self.events = list(events)
        self.sent: list[Message] = []
        self.asked = 0
        self._last = last

    async def receive(self) -> Message:
        self.asked += 1
        return self.events.pop(0) if self.events else {"type": self._last}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def answer(self) -> Answer:
        return answer_of(self.sent)


def answer_of(messages: Sequence[Message]) -> Answer:
    """The response that messages make, which must be one start and its bodies, in order."""
    start, *bodies = messages
    prefix = "websocket." if start["type"].startswith("websocket.") else ""
    assert start["type"] == prefix + "http.response.start"
    assert [message["type"] for message in bodies] == [prefix + "http.response.body"] * len(bodies)
    assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
    for name, value in start["headers"]:
        assert type(name) is bytes
        assert type(value) is bytes
        assert name == name.lower()
    fields = sorted((name.decode("ascii"), value.decode("latin-1")) for name, value in start["headers"])
    return Answer(start["status"], tuple(fields), b"".join(message["body"] for message in bodies))


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for, not even an event loop."""
    try:
        waited = coroutine.send(None)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError(f"it waits for {waited!r}, with everything there")


def run(awaitable: Awaitable[T]) -> T:
    """The result of an awaitable, in an event loop of its own."""

    async def main() -> T:
        return await awaitable

    return asyncio.run(main())


def over_asgi(app: Any, sent: Sent, **more: Any) -> Answer:
    """One request to an ASGI app, with its whole body there from the start."""
    wire = Wire(events_of(sent))
    run(app(scope_of(sent, **more), wire.receive, wire.send))
    return wire.answer


def over_wsgi(app: Any, sent: Sent, stream: Any = None, *, validated: bool = True, **more: Any) -> Answer:
    """One request to a WSGI app."""
    started: list[tuple[str, Fields]] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Fields, exc_info: Any = None) -> Callable[[bytes], object]:
        started.append((status, headers))
        return written.append

    environ = environ_of(sent, stream, **more)
    chunks = (validator(app) if validated else app)(environ, start_response)
    try:
        written += chunks
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    ((status, headers),) = started
    fields = tuple(sorted((name.lower(), value) for name, value in headers))
    return Answer(int(status[:3]), fields, b"".join(written))


def response_of(rule: Rule, name: str) -> Response:
    """What a rule without a template and without a sequence replies, under the name that it goes by."""
    response = rule.compiled(name)
    assert isinstance(response, Response)
    return response
