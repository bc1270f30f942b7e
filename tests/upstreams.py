"""Upstreams for a proxy: each request is handed to a function of the test, with its raw connection.

What belongs here: accepting connections and reading requests by the letter of RFC 9112. What never does:
expectations. A function that raises ends its connection, and the test that asks for `errors` sees why.
"""

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

PATIENCE_S = 20.0


class Arrived:
    """A request, of which the head was read; the rest is up to the function."""

    def __init__(self, connection: "Received", head: bytes) -> None:
        self.connection = connection
        self.head = head
        first, *lines = head[:-4].split(b"\r\n")
        self.line = first.decode("latin-1")
        self.method, self.target, self.version = self.line.split(" ")
        pairs = (line.partition(b":") for line in lines)
        self.headers = [(name.decode().lower(), value.strip().decode("latin-1")) for name, _, value in pairs]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def pieces(self) -> Iterator[bytes]:
        """The body, as much at a time as is there."""
        if self.all("transfer-encoding"):
            while size := int(self.connection.through(b"\r\n"), 16):
                yield self.connection.take(size)
                assert self.connection.take(2) == b"\r\n"
            assert self.connection.take(2) == b"\r\n"
            return
        left = int((self.all("content-length") or ["0"])[0])
        while left:
            piece = self.connection.some(left)
            left -= len(piece)
            yield piece

    def body(self) -> bytes:
        return b"".join(self.pieces())

    def send(self, data: bytes) -> None:
        self.connection.socket.sendall(data)

    def answer(self, body: bytes = b"", *fields: str, status: str = "200 OK") -> None:
        """A whole response."""
        head = "\r\n".join([f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""])
        self.send(head.encode("latin-1") + body)

    def echo(self) -> None:
        """The request itself as JSON, its body in full."""
        told = {"line": self.line, "headers": self.headers, "body": self.body().decode("latin-1")}
        self.answer(json.dumps(told).encode(), "Content-Type: application/json")

    def ends(self) -> bool:
        """Wait until the other side closes its connection; whether it does."""
        with contextlib.suppress(ConnectionError):
            try:
                while self.connection.socket.recv(1 << 16):
                    pass
            except TimeoutError:
                return False
        return True


class Received:
    """One connection, read through a buffer."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    def through(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._fill()
        data, self._buffer = self._buffer[: at + len(end)], self._buffer[at + len(end) :]
        return data

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._fill()
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def some(self, most: int) -> bytes:
        if not self._buffer:
            self._fill()
        return self.take(min(most, len(self._buffer)))

    def _fill(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        self._buffer += data


Function = Callable[[Arrived], None]


class Upstream:
    """A server on a free port, or on a Unix socket; `routes` has a function for each path, else it echoes."""

    def __init__(self, *, port: int = 0, path: Path | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Function] = {}
        self.errors: list[BaseException] = []
        self.accepted = 0
        self._tls = tls
        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
            self.url = f"unix:{path}"
        else:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
            self.port: int = self._listener.getsockname()[1]
            self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def on(self, path: str) -> Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            self.routes[path] = function
            return function

        return decorate

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            received = Received(connection)
            with connection:
                while True:
                    try:
                        head = received.through(b"\r\n\r\n")
                    except (EOFError, TimeoutError):
                        return
                    arrived = Arrived(received, head)
                    path = re.split(r"[?#]", arrived.target)[0]
                    self.routes.get(path, Arrived.echo)(arrived)
                    if connection.fileno() < 0:
                        return
        except (ConnectionError, ssl.SSLError):
            connection.close()  # whoever asked has gone
        except Exception as error:  # noqa: BLE001 - for the test to see
            self.errors.append(error)
            connection.close()
