"""Websockets through a proxy, on real servers, between a real client and a real upstream."""

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.proxies import SERVERS, Front, in_front_of, on_uvicorn
from tests.upstreams import Arrived, Upstream
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

PATIENCE_S = 20


class Peer:
    """A websocket server; `seen` has the handshakes that came."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self._ends: dict[str, queue.SimpleQueue[tuple[int | None, str | None]]] = {}
        self._server = serve(
            self._talk,
            "127.0.0.1",
            0,
            select_subprotocol=lambda connection, offered: offered[0] if offered else None,
            process_request=self._ask,
            process_response=self._greet,
            max_size=None,
        )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()

    def _ask(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request)
        if request.path == "/refused":
            refusal = connection.respond(401, "who are you?")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        return None

    def _greet(self, connection: ServerConnection, request: Request, response: Response) -> None:
        response.headers["Set-Cookie"] = "sid=1"

    def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        match connection.request.path:
            case "/closes":
                connection.close(4321, "enough")
            case "/dies":
                connection.socket.close()
            case "/silent":
                connection.send("hello")
                connection.close()
            case path:
                try:
                    for message in connection:
                        connection.send(message)
                finally:
                    self._end(path).put((connection.protocol.close_code, connection.protocol.close_reason))

    def _end(self, path: str) -> queue.SimpleQueue[tuple[int | None, str | None]]:
        return self._ends.setdefault(path, queue.SimpleQueue())

    def end_of(self, path: str) -> tuple[int | None, str | None]:
        """With what code and reason a client that has asked for `path` has closed."""
        return self._end(path).get(timeout=PATIENCE_S)


@pytest.fixture(scope="module", params=SERVERS)
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Front, Peer]]:
    peer = Peer()
    with contextlib.ExitStack() as stack:
        stack.callback(peer.stop)
        upstream: Any = peer
        if request.param == "granian":
            folder = tmp_path_factory.mktemp("relay")
            yield stack.enter_context(in_front_of(upstream, folder=folder)), peer
        else:
            yield stack.enter_context(on_uvicorn(upstream)), peer


def opened(
    front: tuple[Front, Peer], path: str, **options: Any
) -> contextlib.AbstractContextManager[ClientConnection]:
    url = f"ws://127.0.0.1:{front[0].port}{path}"
    made: contextlib.AbstractContextManager[ClientConnection] = connect(
        url, max_size=None, open_timeout=PATIENCE_S, **options
    )
    return made


def test_messages_go_both_ways_as_they_are(front: tuple[Front, Peer]) -> None:
    with opened(front, "/chat?a=%20b") as client:
        for message in ("", "été \U0001f600", b"", bytes(range(256)) * 1000, "x" * 2_000_000):
            client.send(message)
            assert client.recv(PATIENCE_S) == message
    request = front[1].seen[-1]
    assert request.path == "/chat?a=%20b"


def test_the_upstream_chooses_the_subprotocol_and_sees_the_clients_fields(front: tuple[Front, Peer]) -> None:
    fields = {"Cookie": "a=1", "X-Mock-Key": "secret", "Authorization": "Bearer x"}
    with opened(front, "/chat", subprotocols=["chat.v1", "other"], additional_headers=fields) as client:
        assert client.subprotocol == "chat.v1"
        assert client.response is not None
        # granian sends none of the fields that an app gives with its acceptance.
        accepted = client.response.headers.get("Set-Cookie")
        assert accepted == (None if "granian" in front[0].program.text else "sid=1")
    request = front[1].seen[-1]
    assert request.headers["Cookie"] == "a=1"
    assert request.headers["Authorization"] == "Bearer x"
    assert request.headers["X-Forwarded-Proto"] == "http"
    assert "X-Mock-Key" not in request.headers


def test_a_client_that_closes_is_heard_by_the_upstream(front: tuple[Front, Peer]) -> None:
    with opened(front, "/closed") as client:
        client.send("x")
        client.recv(PATIENCE_S)
        client.close(4999, "tired")
    # granian hands on no reason.
    reason = "" if "granian" in front[0].program.text else "tired"
    assert front[1].end_of("/closed") == (4999, reason)


def test_a_client_that_is_lost_is_missed_by_the_upstream(front: tuple[Front, Peer]) -> None:
    with opened(front, "/lost") as client:
        client.send("x")
        client.recv(PATIENCE_S)
        client.socket.shutdown(socket.SHUT_RDWR)
    code, _ = front[1].end_of("/lost")
    assert code in (1000, 1001)  # some servers call it a usual end


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/closes", 4321, "enough"),
        ("/silent", 1000, ""),
        ("/dies", 1011, "the upstream has gone without a word"),
    ],
)
def test_an_upstream_that_closes_is_heard_by_the_client(
    front: tuple[Front, Peer], path: str, code: int, reason: str
) -> None:
    with opened(front, path) as client:
        if path == "/silent":
            assert client.recv(PATIENCE_S) == "hello"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(PATIENCE_S)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, reason)


def test_a_handshake_that_the_upstream_refuses_is_refused_with_its_words(front: tuple[Front, Peer]) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(front, "/refused"):
        pass
    response = refused.value.response
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert b"who are you?" in (response.body or b"")


def test_a_refusal_that_comes_in_pieces_comes_whole(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream())

        @upstream.on("/refused")
        def refuse(arrived: Arrived) -> None:
            arrived.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 11\r\n\r\nwho ")
            threading.Event().wait(0.5)  # long enough to be read by itself
            arrived.send(b"are you")

        front = stack.enter_context(in_front_of(upstream, folder=tmp_path))
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{front.port}/refused"):
            pass
        assert refused.value.response.body == b"who are you"


def test_a_handshake_can_be_mocked(front: tuple[Front, Peer]) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(front, "/ws/mocked"):
        pass
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers["X-Mock-Rule"] == "/ws/mocked"


def test_a_handshake_for_an_upstream_that_is_away_is_a_502(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.stop()
    with in_front_of(upstream, folder=tmp_path) as front:
        with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{front.port}/chat"):
            pass
        response = refused.value.response
        assert response.status_code == 502
        assert response.headers["Proxy-Status"] == "mockware; error=connection_refused"
        assert b"cannot be reached" in (response.body or b"")


def test_many_talk_at_once(front: tuple[Front, Peer]) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(front, "/chat")) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(str(number))
        assert [client.recv(PATIENCE_S) for client in clients] == [str(number) for number in range(20)]
