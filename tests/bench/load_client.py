"""A client that keeps some connections busy: one request on each, the next when the answer is there.

Law: loopback only, so many requests and no more, and no longer than a minute. It runs in a process of
its own, uses nothing but sockets, and checks that every answer is as long as the first.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

from .traffic import Pairs

CONNECTIONS = 16
_PATIENCE_S = 60.0


def request_bytes(path: str, headers: Pairs) -> bytes:
    lines = [b"GET " + path.encode() + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", b""])


class Connections:
    """So many open connections to a port, warmed by one request each; `first` is an answer."""

    def __init__(self, port: int, request: bytes) -> None:
        self._request = request
        self._open = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(CONNECTIONS)]
        self._poll = select.epoll()
        for connection in self._open:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.first = _one(connection, request)
            self._poll.register(connection, select.EPOLLIN)

    def run(self, count: int) -> float:
        """Seconds that `count` requests take."""
        request, length, poll = self._request, len(self.first), self._poll
        by_number = {connection.fileno(): connection for connection in self._open}
        missing = dict.fromkeys(by_number, length)
        begin = time.perf_counter()
        for connection in self._open:
            connection.sendall(request)
        to_send, to_come = count - len(self._open), count
        while to_come:
            if time.perf_counter() - begin > _PATIENCE_S:
                raise TimeoutError(f"{to_come} answers are missing after {_PATIENCE_S} s")
            for number, _ in poll.poll(1.0):
                connection = by_number[number]
                missing[number] -= len(connection.recv(65536)) or length + 1
                if missing[number] > 0:
                    continue
                if missing[number] < 0:
                    raise ConnectionError("the server closed a connection, or its answers differ in length")
                missing[number] = length
                to_come -= 1
                if to_send > 0:
                    to_send -= 1
                    connection.sendall(request)
        return time.perf_counter() - begin

    def close(self) -> None:
        self._poll.close()
        for connection in self._open:
            connection.close()


def _one(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _some(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += _some(connection)
    return head + b"\r\n\r\n" + body


def _some(connection: socket.socket) -> bytes:
    piece = connection.recv(65536)
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


def main() -> None:
    """For each line `[port, request, count]` of JSON: `ready`, then a line to go, then the seconds."""
    for line in sys.stdin:
        port, request, count = json.loads(line)
        connections = Connections(port, request.encode("latin-1"))
        print("ready", flush=True)
        sys.stdin.readline()
        print(connections.run(count), flush=True)
        connections.close()


if __name__ == "__main__":
    main()
