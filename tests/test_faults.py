"""How a WSGI app ends a connection: what each server is told (test_servers_faults has the servers)."""

import errno
import socket
import sys
import types
from typing import Any

import pytest
from tests.by_hand import Sent, environ_of

from mockware import faults
from mockware.exceptions import MockwareError
from mockware.messages import Response


def test_most_servers_take_the_error_of_a_lost_connection() -> None:
    with pytest.raises(ConnectionResetError) as ended:
        faults.break_off(environ_of(Sent()))
    # gunicorn and cheroot look at the number.
    assert ended.value.errno == errno.ECONNRESET
    assert isinstance(ended.value, MockwareError)


def test_granian_needs_nothing_but_too_few_bytes() -> None:
    environ = environ_of(Sent(), SERVER_SOFTWARE="Granian")
    faults.break_off(environ)
    assert not faults.sends_nothing(environ)
    assert faults.sends_nothing(environ_of(Sent(), SERVER_SOFTWARE="waitress"))


def test_waitress_has_a_word_of_its_own_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class ClientDisconnected(Exception):
        pass

    channel = types.SimpleNamespace(ClientDisconnected=ClientDisconnected)
    monkeypatch.setitem(sys.modules, "waitress.channel", channel)
    with pytest.raises(ClientDisconnected):
        faults.break_off(environ_of(Sent(), **{"waitress.client_disconnected": lambda: False}))


def test_werkzeug_s_connection_is_shut_down_first() -> None:
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(ConnectionResetError):
            faults.break_off(environ_of(Sent(), **{"werkzeug.socket": near}))
        assert far.recv(1) == b""


def test_uwsgi_keeps_its_own_descriptor_of_a_connection_that_is_shut_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near, far = socket.socketpair()
    with near, far:
        uwsgi: Any = types.SimpleNamespace(connection_fd=near.fileno)
        monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
        faults.break_off(environ_of(Sent(), **{"uwsgi.version": b"2"}))
        assert far.recv(1) == b""
        assert near.fileno() >= 0
        near.getsockname()


def test_the_delay_before_a_stall_counts_into_its_cap() -> None:
    stall = Response(200, "OK", [], b"body", rule="r", fault="stall")
    assert faults.silence_s(stall) == 30
    assert faults.silence_s(stall.after(12.0)) == 18
    assert faults.silence_s(stall.after(30.0)) == 0


def test_a_server_without_a_write_callable_has_its_headers_flushed_by_the_first_piece() -> None:
    written: list[bytes] = []
    faults.flush_headers(written.append)
    faults.flush_headers(None)
    assert written == [b""]
