"""Requests as a server makes them, and loops that put them to an app.

Law: every call gets a scope or environ of its own, whose path, header names and values are objects
that no call before has seen: their hashes are not known yet, and nothing is equal by identity. They
are cut from one buffer, the same way for every case; what that costs is measured as a case of its own.
The loops here stand for the server, and do as little as one can.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, islice
from typing import Any, NamedTuple

from .timing import Loop, own_code

App = Callable[..., Any]
Pairs = list[tuple[bytes, bytes]]

# What a browser behind a proxy sends: twelve fields.
HEADERS: Pairs = [
    (b"host", b"api.staging.example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"en-GB,en;q=0.7,de;q=0.3"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"https://app.staging.example.com/reports?page=2"),
    (b"authorization", b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"),
    (b"cookie", b"session=5f1c3a3c0d9e4b6f8a7d; theme=dark"),
    (b"x-request-id", b"0b5c8f0e-6a0c-4f0e-9b56-0d6c4b1d8f3a"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"connection", b"keep-alive"),
]
TRIGGER = (b"x-mock-status", b"202")


class Message(NamedTuple):
    """What a client sends. `body` None: none was announced. `more_paths`: ask for them in turn."""

    path: str
    method: str = "GET"
    headers: Pairs = HEADERS
    body: bytes | None = None
    more_paths: tuple[str, ...] = ()

    def all_headers(self) -> Pairs:
        if self.body is None:
            return self.headers
        length = str(len(self.body)).encode()
        return [*self.headers, (b"content-type", b"application/json"), (b"content-length", length)]


def asgi_loop(app: App, message: Message) -> Loop:
    """Calls an ASGI app that never waits: its coroutine is driven by one `send`."""
    heads = _heads(message, message.all_headers())
    run, receive = own_code(_run_asgi), _receiver(message.body or b"")
    return lambda count: int(run(app, islice(heads, count), message.method, receive))


def asyncio_loop(app: App, message: Message) -> Loop:
    """Calls an ASGI app that wants an event loop."""
    import asyncio

    heads = _heads(message, message.all_headers())
    run, receive = own_code(_run_on_asyncio), _receiver(message.body or b"")
    loop = asyncio.new_event_loop()
    return lambda count: int(loop.run_until_complete(run(app, islice(heads, count), message.method, receive)))


def wsgi_loop(app: App, message: Message) -> Loop:
    """Calls a WSGI app, and goes through what it returns."""
    keys = []
    for name, value in message.all_headers():
        key = name.upper().replace(b"-", b"_")
        keys.append((key if key in (b"CONTENT_TYPE", b"CONTENT_LENGTH") else b"HTTP_" + key, value))
    heads, run = _heads(message, keys), own_code(_run_wsgi)
    return lambda count: int(run(app, islice(heads, count), message.method, message.body or b""))


def _heads(message: Message, headers: Pairs) -> Iterator[bytes]:
    """Without an end, the buffers that requests are cut from: a path, then names and values."""
    fields = [part for pair in headers for part in pair]
    return cycle([b"\0".join([path.encode(), *fields]) for path in (message.path, *message.more_paths)])


def _scope(head: bytes, method: str) -> dict[str, Any]:
    parts = iter(head.split(b"\0"))
    path = next(parts)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40000),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": path.decode("ascii"),
        "raw_path": path,
        "query_string": b"",
        "headers": list(zip(parts, parts, strict=True)),
        "state": {},
    }


def _environ(head: bytes, method: str, body: bytes) -> dict[str, Any]:
    parts = iter(head.decode("latin-1").split("\0"))
    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": next(parts),
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    environ.update(zip(parts, parts, strict=True))
    return environ


def _receiver(body: bytes) -> App:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _send(message: dict[str, Any]) -> None:
    pass


def _start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> App:
    return _write


def _write(data: bytes) -> None:
    pass


def _run_asgi(app: App, heads: Iterable[bytes], method: str, receive: App) -> int:
    send, make = _send, _scope
    begin = time.thread_time_ns()
    for head in heads:
        try:
            app(make(head, method), receive, send).send(None)
        except StopIteration:
            continue
        raise RuntimeError("an app that waits needs the event loop")
    return time.thread_time_ns() - begin


async def _run_on_asyncio(app: App, heads: Iterable[bytes], method: str, receive: App) -> int:
    send, make = _send, _scope
    begin = time.thread_time_ns()
    for head in heads:
        await app(make(head, method), receive, send)
    return time.thread_time_ns() - begin


def _run_wsgi(app: App, heads: Iterable[bytes], method: str, body: bytes) -> int:
    start_response, make = _start_response, _environ
    begin = time.thread_time_ns()
    for head in heads:
        for _chunk in app(make(head, method, body), start_response):
            pass
    return time.thread_time_ns() - begin
