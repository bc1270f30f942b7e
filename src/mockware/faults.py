"""How a WSGI app ends a connection in the middle of a response.

Law: PEP 3333 has no word for it, so each server is told in the one way that it takes quietly: most take the
error of a lost connection for what it says. What a server cannot do is listed once (`CANNOT`), for `check`,
and tests/test_servers_faults.py holds every server to it. ASGI servers need none of this: an app that returns
too early has its connection closed.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from errno import ECONNRESET
from typing import TYPE_CHECKING, Any

from .durations import MAX_DELAY_S
from .exceptions import MockwareError
from .messages import Fault, Response
from .pacing import pieces
from .waiting import Place

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# What a server does in the place of a fault that it has no way to perform.
CANNOT: Mapping[Fault, str] = {
    "cut": "daphne keeps the connection open, granian does after HEAD, and hypercorn the stream on HTTP/2",
    "stall": "daphne never closes the connection, granian not after HEAD, and hypercorn no stream on HTTP/2",
    "empty": "granian and all ASGI servers send the headers first, and then what `cut` does without a body",
}

# granian drops what it has not sent when the body ends; in all of 298 tries 5 ms were enough.
_GRANIAN_SENDS_S = 0.05


class FaultError(MockwareError, ConnectionResetError):
    """Ends a connection as the fault of a rule says; most servers take it for a client that has gone."""

    def __init__(self) -> None:
        # With a number: gunicorn and cheroot tell by it that there is nothing to complain of.
        super().__init__(ECONNRESET, "the connection ends here by the fault of a mock")


class FaultyBody:
    """A body in pieces over time, or as much of it as a fault lets through, while a thread waits."""

    def __init__(self, environ: WSGIEnvironment, response: Response, place: Place) -> None:
        self._place = place
        self._pieces = self._performed(environ, response)
        self._then: Callable[[], None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def then(self, call: Callable[[], None]) -> None:
        """Has this called when the body is over, or is given up."""
        self._then = call

    def close(self) -> None:
        self._place.release()
        if self._then is not None:
            self._then()

    # For servers and middlewares that forget to close what they do not iterate over to its end.
    __del__ = close

    def _performed(self, environ: WSGIEnvironment, response: Response) -> Iterator[bytes]:
        try:
            yield from self._sent(environ, response)
        finally:
            self.close()

    def _sent(self, environ: WSGIEnvironment, response: Response) -> Iterator[bytes]:
        sent = False
        for wait_s, piece in pieces(response):
            time.sleep(wait_s)  # a WSGI app has nothing but its thread to wait with
            yield piece
            sent = True
        if response.fault is None:
            return
        if not sent:
            yield b""  # granian sends the headers with the first piece, be it empty
        if response.fault == "stall":
            time.sleep(silence_s(response))  # as above
        elif _is_granian(environ):
            time.sleep(_GRANIAN_SENDS_S)
        break_off(environ)


def silence_s(response: Response) -> float:
    """How long a stall lasts: until the cap, into which the delay before it counts.

    Nobody waits longer for anything here; gunicorn's sync worker is killed when it is silent for 31 s.
    """
    return max(0.0, MAX_DELAY_S - response.delay_s)


def sends_nothing(environ: WSGIEnvironment) -> bool:
    """Whether the server can close a connection without a response."""
    return not _is_granian(environ)


def flush_headers(write: Any) -> None:
    """Has a server send the headers that it would keep for the first piece of the body."""
    if write is not None:  # granian's start_response returns nothing, against PEP 3333
        write(b"")


def break_off(environ: WSGIEnvironment) -> None:
    """Has the server close the connection; it returns where the response is over with that."""
    if "uwsgi.version" in environ:
        # Its API is a module that it makes. A descriptor of ours for the same socket leaves it its own.
        uwsgi: Any = sys.modules["uwsgi"]
        with suppress(OSError), socket.socket(fileno=os.dup(uwsgi.connection_fd())) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        return
    if _is_granian(environ):
        return  # too few bytes are enough
    if "waitress.client_disconnected" in environ:
        channel: Any = sys.modules["waitress.channel"]
        raise channel.ClientDisconnected
    if "werkzeug.socket" in environ:
        # The error alone leaves a connection open on which nothing was sent.
        with suppress(OSError):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise FaultError


def _is_granian(environ: WSGIEnvironment) -> bool:
    return str(environ.get("SERVER_SOFTWARE", "")).startswith("Granian")
