"""A websocket handshake is refused with the mock where a rule or trigger matches it, else untouched."""

import base64
import hashlib
import json
import os
import re

from tests import rawhttp
from tests.servers import Fleet, Running, on
from tests.test_servers import complaints, judge

KEY = base64.b64encode(bytes(range(16))).decode()
# RFC 6455 §4.2.2: SHA-1 of the key and this, in base64.
ACCEPT = base64.b64encode(
    hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
).decode()
HANDSHAKE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
]
on_websockets = on(lambda server: server.websockets)


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole message of a client, masked (RFC 6455 §5.2), of less than 64 KiB."""
    mask = os.urandom(4)
    short = len(payload) < 126
    length = bytes([0x80 | len(payload)]) if short else b"\xfe" + len(payload).to_bytes(2, "big")
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


def read_frame(connection: rawhttp.Connection) -> tuple[int, bytes]:
    first, length = connection.take(2)
    assert first & 0x80, "a fragment"
    if length == 126:
        length = int.from_bytes(connection.take(2), "big")
    return first & 0x0F, connection.take(length)


@on_websockets
def test_a_websocket_of_no_rule_is_the_apps(fleet: Fleet) -> None:
    with fleet.wrapped.connect() as connection:
        response = connection.ask("GET", "/ws/chat", HANDSHAKE)
        assert response.status == 101
        assert response.one("sec-websocket-accept") == ACCEPT
        for opcode, payload in ((1, "été".encode()), (2, bytes(range(256)) * 100), (1, b".")):
            connection.send(frame(opcode, payload))
            assert read_frame(connection) == (opcode, payload)
        normal = (1000).to_bytes(2, "big")
        connection.send(frame(8, normal))
        assert read_frame(connection) == (8, normal)


def refused(running: Running, target: str, headers: list[tuple[str, str]], rule: str, status: int) -> None:
    """A handshake that is refused, with the mock where the server can."""
    with running.connect() as connection:
        connection.send(rawhttp.request("GET", target, [*HANDSHAKE, *headers]))
        if running.deviates("no denial responses"):  # which is 403, by the close before the accept
            assert connection.rest().startswith(b"HTTP/1.1 403 ")
        else:
            response = judge(connection.response(), rule, status)
            told = json.loads(response.body)
            assert told["status"] == ("accepted" if status == 202 else status)


def judge_output(running: Running, since: int) -> None:
    """No complaint but those that the server has about any denial, by any app."""
    denial = "ERROR:    ASGI callable returned without completing handshake."
    if running.deviates("complains of denials"):
        assert running.log.wait(re.escape(denial), since=since)
        assert set(complaints(running.log.text[since:])) == {denial}
    else:
        assert complaints(running.log.text[since:]) == []


@on_websockets
def test_a_mocked_handshake_is_refused(fleet: Fleet) -> None:
    running = fleet.wrapped
    since = running.log.mark
    refused(running, "/ws/refused", [], "refused", 401)
    refused(running, "/ws/chat", [("X-Mock-Status", "503")], "trigger", 503)
    refused(running, "/ws/chat", [("X-Mock-Status", "no")], "trigger", 400)
    with running.talk() as talk:
        talk.ask("GET", "/hello")
    judge_output(running, since)


@on_websockets
def test_a_client_that_leaves_during_a_delayed_handshake_harms_nobody(fleet: Fleet) -> None:
    running = fleet.wrapped
    since = running.log.mark
    leaving = running.connect()
    leaving.send(rawhttp.request("GET", "/slow", HANDSHAKE))
    with running.connect() as other:  # by its answer, the server has seen the handshake too
        assert other.ask("GET", "/hello").status == 200
    leaving.leave()
    refused(running, "/slow", [], "slow", 202)
    if running.deviates("complains of lost handshakes"):
        assert running.log.wait("RuntimeError: ASGI flow error: Connection already upgraded", since=since)
    else:
        judge_output(running, since)
