"""The same over HTTP/2, in clear text and with prior knowledge (RFC 9113 §3.3).

The `h2` package judges the frames: it raises on a field that HTTP/2 forbids, such as Connection, on a body
that differs from its Content-Length, and on whatever a state machine can object to.
"""

import hashlib
import json
import socket
from collections import defaultdict
from typing import Any, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import pytest
from tests.rawhttp import PATIENCE_S
from tests.servers import Fleet, Running, on
from tests.test_servers import CANONICAL, complaints

MIB = 1 << 20
on_http2 = on(lambda server: server.http2)
Answer = tuple[int, dict[str, str], bytes]


class Connection:
    """One HTTP/2 connection; answers are collected by stream."""

    def __init__(self, running: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", running.port), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._heads: dict[int, list[Any]] = {}
        self._bodies: defaultdict[int, bytes] = defaultdict(bytes)
        self._ended: set[int] = set()
        self._dismissed: set[int] = set()
        self._h2.initiate_connection()
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def start(self, method: str, path: str, headers: list[tuple[str, str]], *, end: bool = True) -> int:
        stream: int = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":authority", "example.test"), (":path", path)]
        self._h2.send_headers(stream, [*pseudo, *headers], end_stream=end)
        self._flush()
        return stream

    def send(self, stream: int, body: bytes, *, end: bool = True) -> None:
        """Send a body as fast as the server's windows allow, unless it has said that it needs no more."""
        sent = 0
        while sent < len(body) and stream not in self._dismissed:
            while not (room := self._h2.local_flow_control_window(stream)):
                self._read()
            piece = body[sent : sent + min(room, self._h2.max_outbound_frame_size)]
            self._h2.send_data(stream, piece)
            self._flush()
            sent += len(piece)
        if end and stream not in self._dismissed:
            self._h2.end_stream(stream)
            self._flush()

    def cancel(self, stream: int) -> None:
        self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def answer(self, stream: int) -> Answer:
        while stream not in self._ended:
            self._read()
        names = [name for name, _ in self._heads[stream] if name != "set-cookie"]
        assert len(names) == len(set(names)), f"a field stands twice: {names}"
        headers: dict[str, str] = dict(self._heads[stream])
        return int(headers[":status"]), headers, self._bodies[stream]

    def ask(
        self, method: str, path: str, headers: list[tuple[str, str]] | None = None, body: bytes | None = None
    ) -> Answer:
        headers = list(headers or [])
        if body is not None:
            headers.append(("content-length", str(len(body))))
        stream = self.start(method, path, headers, end=body is None)
        if body is not None:
            self.send(stream, body)
        return self.answer(stream)

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        assert data, "the server closed the connection"
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self._heads[event.stream_id] = event.headers
                case h2.events.DataReceived():
                    self._bodies[event.stream_id] += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self._ended.add(event.stream_id)
                case h2.events.StreamReset(error_code=h2.errors.ErrorCodes.NO_ERROR) if (
                    event.stream_id in self._ended
                ):
                    # RFC 9113 §8.1: the answer is whole, and the server needs no more of the request.
                    self._dismissed.add(event.stream_id)
                case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                    raise AssertionError(f"the server gave up: {event}")
        self._flush()


def judge(answer: Answer, rule: str, status: int) -> Answer:
    assert answer[0] == status, answer
    assert answer[1]["x-mock-rule"] == rule
    assert answer[1]["cache-control"] == "no-store"
    return answer


def judge_canonical(answer: Answer) -> None:
    judge(answer, "reports", 202)
    assert answer[1]["content-type"] == "application/json"
    assert answer[1]["content-length"] == "44"
    assert answer[2] == CANONICAL


@on_http2
@pytest.mark.parametrize("size", [0, 1, 100_000, MIB, 10 * MIB])
def test_an_unread_body_does_not_spoil_the_connection(fleet: Fleet, size: int) -> None:
    with Connection(fleet.wrapped) as connection:
        for _ in range(2):
            judge_canonical(connection.ask("POST", "/reports", body=b"x" * size))
            assert connection.ask("GET", "/hello")[2] == b"hello\n"


@on_http2
def test_a_body_without_a_length_is_drained_as_well(fleet: Fleet) -> None:
    with Connection(fleet.wrapped) as connection:
        stream = connection.start("POST", "/reports", [], end=False)
        connection.send(stream, b"x" * MIB)
        judge_canonical(connection.answer(stream))
        assert connection.ask("GET", "/hello")[2] == b"hello\n"


@on_http2
def test_mocks_and_the_app_share_a_connection(fleet: Fleet) -> None:
    with Connection(fleet.wrapped) as connection:
        mocked = connection.start("POST", "/reports", [], end=False)
        passed = connection.start("POST", "/echo", [], end=False)
        connection.send(mocked, b"x" * 20_000, end=False)
        connection.send(passed, b"y" * 20_000, end=False)
        assert connection.ask("GET", "/hello")[2] == b"hello\n"
        connection.send(passed, b"y" * 20_000)
        told = json.loads(connection.answer(passed)[2])
        assert (told["length"], told["sha256"]) == (40_000, hashlib.sha256(b"y" * 40_000).hexdigest())
        connection.send(mocked, b"x")
        judge_canonical(connection.answer(mocked))


@on_http2
def test_statuses_without_content_end_with_their_headers(fleet: Fleet) -> None:
    with Connection(fleet.wrapped) as connection:
        for status in (204, 205, 304):
            answer = connection.ask("GET", "/any", [("x-mock-status", str(status))])
            assert judge(answer, "trigger", status)[2] == b""
        assert judge(connection.ask("HEAD", "/mocked"), "mocked", 200)[1]["content-length"] == "16"
        assert connection.ask("HEAD", "/mocked")[2] == b""
        assert connection.ask("GET", "/hello")[2] == b"hello\n"


@on_http2
@pytest.mark.parametrize("status", [401, 405, 407, 426, 429, 503])
def test_fields_that_http_2_forbids_are_left_out(fleet: Fleet, status: int) -> None:
    with Connection(fleet.wrapped) as connection:
        judge(connection.ask("GET", "/any", [("x-mock-status", str(status))]), "trigger", status)
        judge(connection.ask("GET", "/any", [("x-mock-status", "bad")]), "trigger", 400)


@on_http2
def test_a_client_that_does_not_wait_for_its_100_harms_nobody(fleet: Fleet) -> None:
    """hypercorn raises KeyError for data of a stream that was answered; on trio the server ends with it."""
    running = fleet.wrapped
    since = running.log.mark
    for pause in (False, True):
        with Connection(running) as connection:
            headers = [("expect", "100-continue"), ("content-length", "20000")]
            stream = connection.start("POST", "/reports", headers, end=False)
            if pause:  # long enough for a mock that were sent at once to be on its way
                assert connection.ask("GET", "/hello")[0] == 200
            connection.send(stream, b"x" * 10_000, end=False)
            assert connection.ask("GET", "/hello")[0] == 200
            connection.send(stream, b"x" * 10_000)
            judge_canonical(connection.answer(stream))
            assert connection.ask("GET", "/hello")[2] == b"hello\n"
    assert complaints(running.log.text[since:]) == []


@on_http2
def test_a_condition_on_the_body_is_met(fleet: Fleet) -> None:
    with Connection(fleet.wrapped) as connection:
        stream = connection.start("POST", "/when", [], end=False)
        connection.send(stream, b'{"kind": "m', end=False)
        connection.send(stream, b'ock"}')
        judge(connection.answer(stream), "when", 202)
        told = json.loads(connection.ask("POST", "/when", body=b"z" * 3 * MIB)[2])
        assert told["sha256"] == hashlib.sha256(b"z" * 3 * MIB).hexdigest()


@on_http2
@pytest.mark.parametrize("begun", [False, True], ids=["after its body", "within its body"])
def test_a_stream_that_is_cancelled_harms_nobody(fleet: Fleet, begun: bool) -> None:
    running = fleet.wrapped
    since = running.log.mark
    with Connection(running) as connection:
        stream = connection.start("POST", "/slow", [], end=False)
        connection.send(stream, b"x" * 1000, end=not begun)
        assert connection.ask("GET", "/hello")[2] == b"hello\n"
        connection.cancel(stream)
        judge(connection.ask("POST", "/slow", body=b"x"), "slow", 202)
    with Connection(running) as connection:
        judge_canonical(connection.ask("POST", "/reports"))
    assert complaints(running.log.text[since:]) == []
