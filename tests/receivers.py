"""Receivers of webhooks on real sockets, and a resolver that says what a test wants.

What belongs here: what a receiver heard, and the bytes that it answers with, as rude as they may be.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def status(line: str, *fields: str) -> bytes:
    """A response without a body."""
    return "\r\n".join((f"HTTP/1.1 {line}", "content-length: 0", *fields, "", "")).encode()


class Heard(NamedTuple):
    line: str
    fields: dict[str, str]
    body: bytes


Answer = bytes | Callable[[socket.socket], None]


class Receiver:
    """Hears requests, one a connection; answers with what `answers` has next, the last of them for ever."""

    def __init__(self, *answers: Answer, family: int = socket.AF_INET, host: str = "127.0.0.1") -> None:
        self.heard: SimpleQueue[Heard] = SimpleQueue()
        self.connections = 0
        self._answers = list(answers or (OK,))
        self._socket = socket.socket(family)
        self._socket.bind((host, 0))
        self._socket.listen(100)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.over = threading.Event()
        self._lock = threading.Lock()

    def next(self) -> Heard:
        return self.heard.get(timeout=PATIENCE_S)

    def nothing_more(self) -> bool:
        return self.heard.empty()

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            heard = read_request(self._wrapped(connection))
            with self._lock:
                answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
                self.heard.put(heard)
            if isinstance(answer, bytes):
                self._sending(connection).sendall(answer)
                # Not to be reset while the other side reads.
                connection.shutdown(socket.SHUT_WR)
            else:
                answer(connection)

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        return connection

    _sending = _wrapped


def read_request(connection: socket.socket) -> Heard:
    with connection.makefile("rb") as stream:
        line = stream.readline().decode().rstrip()
        fields: dict[str, str] = {}
        while text := stream.readline().decode().rstrip():
            name, _, value = text.partition(": ")
            if name.lower() in fields:
                raise AssertionError(f"{name} twice")
            fields[name.lower()] = value
        return Heard(line, fields, stream.read(int(fields.get("content-length", 0))))


class Resolver:
    """In the place of `socket.getaddrinfo`; gives each of the answers for a name once, the last for ever."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo

    def says(self, name: str, *answers: list[str]) -> None:
        self.names[name] = list(answers)

    def __call__(self, host: str, port: int, **keywords: Any) -> list[Any]:
        self.asked.append(host)
        if host not in self.names:
            return self._real(host, port, **keywords, flags=socket.AI_NUMERICHOST)
        answers = self.names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in self._real(address, port, **keywords)]


def drained(queue: SimpleQueue[Heard]) -> list[Heard]:
    found = []
    with suppress(Empty):
        while True:
            found.append(queue.get_nowait())
    return found
