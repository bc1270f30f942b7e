"""One attempt to deliver a webhook: a POST over a connection of its own.

Law: an address is connected to only after `Hosts` has seen it, and nothing is looked up twice: whoever
answers for a name cannot give one address to be checked and another to be connected to. No redirect is
followed, no proxy is used, and an attempt ends after `ATTEMPT_S`, whatever the other side does or leaves
undone.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from io import BufferedReader, RawIOBase
from threading import BoundedSemaphore, Thread
from time import monotonic
from typing import Any, NamedTuple

from .addresses import Hosts, Target

# Receivers are to answer at once and work later; GitHub gives them 10 s as well.
ATTEMPT_S = 10.0
# Nobody looks at what a receiver says, but one that is cut off in the middle of it may log an error.
MAX_DROPPED_BYTES = 64 * 1024
# A resolver cannot be interrupted, and most give up after 5 to 30 s by themselves. Beyond as many that hang,
# there is no use in more: a name server is down.
MAX_RESOLVING = 8

_resolving = BoundedSemaphore(MAX_RESOLVING)


class Answer(NamedTuple):
    """The receiver's status, and its `Retry-After`, "" for none."""

    status: int
    retry_after: str


class Refused(Exception):  # noqa: N818 - it is no error of the network's, and trying again is of no use
    """What a listed name leads to is not to be connected to."""


def post(target: Target, fields: Sequence[tuple[str, str]], body: bytes, hosts: Hosts) -> Answer:
    """Sends `body` to `target`, which `hosts` has checked.

    Raises Refused, and OSError (TimeoutError among them) or HTTPException for whatever else goes wrong.
    """
    deadline = monotonic() + ATTEMPT_S
    connection = _Connection(target, _permitted(target, hosts, deadline), deadline)
    try:
        connection.putrequest("POST", target.path, skip_accept_encoding=True)
        for name, value in (
            *fields,
            ("content-length", str(len(body))),
            ("user-agent", "mockware"),
            ("connection", "close"),
        ):
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        # Its status is all that counts, and is known by now.
        with suppress(OSError, HTTPException):
            response.read(MAX_DROPPED_BYTES)
        return Answer(response.status, response.getheader("retry-after") or "")
    finally:
        connection.close()
        connection.hang_up()


def _permitted(target: Target, hosts: Hosts, deadline: float) -> list[Any]:
    """What `getaddrinfo` says of the host, less what is refused."""
    found = _resolved(target.host, target.port, deadline)
    refusals = [hosts.refusal_of(str(address[0]), target.port) for *_, address in found]
    permitted = [entry for entry, refusal in zip(found, refusals, strict=True) if refusal is None]
    if not permitted:
        raise Refused(next(filter(None, refusals), "it has no address"))
    return permitted


def _resolved(host: str, port: int, deadline: float) -> list[Any]:
    """Asks the resolver once, in a thread that is left alone where it takes too long."""
    if not _resolving.acquire(blocking=False):
        raise TimeoutError("the name server answers nobody")
    found: Future[list[Any]] = Future()

    def resolve() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(OSError(f"its name is not found: {error}"))
        finally:
            _resolving.release()

    try:
        Thread(target=resolve, name="mockware-resolver", daemon=True).start()
    except RuntimeError as error:
        _resolving.release()
        raise OSError(str(error)) from error
    try:
        return found.result(_left(deadline))
    except TimeoutError:
        raise TimeoutError("the name server does not answer") from None


class _Connection(HTTPConnection):
    """Connects to addresses that were found before, and to nothing else."""

    def __init__(self, target: Target, addresses: Sequence[Any], deadline: float) -> None:
        super().__init__(target.host, target.port)
        # http.client leaves a port out of `Host` that is the default of its class.
        self.default_port = 443 if target.scheme == "https" else 80
        self._target = target
        self._addresses = addresses
        self._deadline = deadline
        self._connected: socket.socket | None = None

    def connect(self) -> None:
        failure: OSError = OSError("no address")
        # The first that answers; each has its part of the time that is left.
        for at, (family, kind, protocol, _, address) in enumerate(self._addresses):
            self.hang_up()
            try:
                self._connected = socket.socket(family, kind, protocol)
                self._connected.settimeout(_left(self._deadline) / (len(self._addresses) - at))
                self._connected.connect(address)
            except OSError as error:
                failure = error
            else:
                break
        else:
            raise failure
        if self._target.scheme == "https":
            self._connected.settimeout(_left(self._deadline))
            # The certificate has to be the name's, and the name is what is asked for (SNI).
            self._connected = _tls().wrap_socket(self._connected, server_hostname=self._target.host)
        self.sock: Any = _Bounded(self._connected, self._deadline)

    def hang_up(self) -> None:
        if self._connected is not None:
            self._connected.close()


class _Bounded:
    """A socket whose every wait ends at one deadline; one's own timeout would begin anew with each byte."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(_left(self._deadline))
            rest = rest[self._sock.send(rest) :]

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing yet: http.client closes the socket before the body has been read from it."""


class _Reader(RawIOBase):
    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _in_child() -> None:
    # Threads do not survive a fork, and would never give their places back.
    global _resolving
    _resolving = BoundedSemaphore(MAX_RESOLVING)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
