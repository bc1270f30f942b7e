"""One attempt, over real sockets: it connects to what was checked, follows nothing, and ends in time."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.receivers import OK, PATIENCE_S, Receiver, Resolver, read_request, status

from mockware import posting
from mockware.addresses import Hosts
from mockware.posting import Answer, Refused, post

FIELDS = [("content-type", "application/json"), ("webhook-id", "msg_1")]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "ATTEMPT_S", 1.0)


def send(url: str, *listed: str, body: bytes = b"{}") -> Answer:
    hosts = Hosts(listed or ["127.0.0.1"])
    return post(hosts.check_url(url), FIELDS, body, hosts)


def test_a_receiver_hears_a_plain_request_without_anything_twice() -> None:
    with Receiver() as receiver:
        assert send(f"{receiver.url}/in?a=b", body=b'{"a": 1}') == (204, "")
        heard = receiver.next()
    assert heard.line == "POST /in?a=b HTTP/1.1"
    assert heard.body == b'{"a": 1}'
    assert heard.fields == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "content-length": "8",
        "user-agent": "mockware",
        "connection": "close",
    }


def test_the_host_field_has_the_name_and_no_port_that_is_the_schemes(resolver: Resolver) -> None:
    hosts = Hosts(["hooks.test", "::1"])
    for url, field in (
        ("http://hooks.test/", "hooks.test"),
        ("https://hooks.test/", "hooks.test"),
        ("https://hooks.test:80/", "hooks.test:80"),
        ("http://[::1]:81/", "[::1]:81"),
    ):
        connection = posting._Connection(hosts.check_url(url), (), 0)
        connection.putrequest("POST", "/")
        assert f"Host: {field}".encode() in connection._buffer  # type: ignore[attr-defined]


def test_a_receiver_of_version_6_is_reached() -> None:
    with Receiver(family=socket.AF_INET6, host="::1") as receiver:
        assert send(receiver.url, "::1").status == 204


def test_what_a_receiver_says_is_handed_on_and_a_redirect_is_not_followed() -> None:
    with (
        Receiver() as elsewhere,
        Receiver(
            status("302 Found", f"location: {elsewhere.url}/"), status("503 Busy", "retry-after: 7")
        ) as receiver,
    ):
        assert send(receiver.url).status == 302
        assert send(receiver.url) == (503, "7")
        assert elsewhere.connections == 0


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert send(receiver.url).status == 204
        assert proxy.connections == 0


# The address that is checked is the one connected to


def test_a_resolver_that_changes_its_mind_changes_nothing(resolver: Resolver) -> None:
    resolver.says("hooks.test", ["127.0.0.1"], ["127.0.0.2"])
    with Receiver() as checked, Receiver(host="127.0.0.2") as rebound:
        url = f"http://hooks.test:{checked.port}/"
        assert send(url, "hooks.test", "127.0.0.1").status == 204
        assert resolver.asked == ["hooks.test"]
        assert checked.next().fields["host"] == f"hooks.test:{checked.port}"
        # The next attempt asks anew, and is refused.
        with pytest.raises(Refused, match=r"127\.0\.0\.2 is loopback"):
            send(url, "hooks.test", "127.0.0.1")
        assert rebound.connections == 0


@pytest.mark.parametrize("inside", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"])
def test_a_listed_name_with_an_address_inside_is_refused_before_anything_is_connected(
    inside: str, resolver: Resolver
) -> None:
    resolver.says("hooks.test", [inside])
    with Receiver() as receiver:
        with pytest.raises(Refused, match="have to be listed by number"):
            send(f"http://hooks.test:{receiver.port}/", "hooks.test")
        assert receiver.connections == 0


def test_of_several_addresses_none_that_is_refused_is_tried(resolver: Resolver) -> None:
    resolver.says("hooks.test", ["127.0.0.2", "127.0.0.1"])
    with Receiver() as receiver:
        permitted = f"127.0.0.1:{receiver.port}"
        assert send(f"http://hooks.test:{receiver.port}/", "hooks.test", permitted).status == 204


def test_where_one_address_does_not_answer_the_next_one_is_tried(resolver: Resolver) -> None:
    resolver.says("hooks.test", ["127.0.0.2", "127.0.0.1"])
    with Receiver() as receiver:
        assert send(f"http://hooks.test:{receiver.port}/", "hooks.test", "127.0.0.0/8").status == 204


def test_a_name_without_an_address_and_a_port_without_a_listener_are_errors() -> None:
    with pytest.raises(OSError, match="name is not found"):
        send("http://nowhere.invalid/", "nowhere.invalid")
    with Receiver() as receiver:
        pass
    with pytest.raises(ConnectionRefusedError):
        send(receiver.url)


# However long the other side takes


def drip(connection: socket.socket, head: bytes, piece: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(piece)
        time.sleep(0.001)


def never(connection: socket.socket) -> None:
    connection.recv(1)


@pytest.mark.parametrize(
    "answer",
    [
        never,
        partial(drip, head=b"", piece=b"H"),
        partial(drip, head=b"HTTP/1.1 200 OK\r\n", piece=b"x"),
        partial(drip, head=b"", piece=b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "a status line without end", "fields without end", "interim responses without end"],
)
@pytest.mark.usefixtures("hurried")
def test_a_response_that_does_not_come_is_not_waited_for(answer: Any) -> None:
    began = time.monotonic()
    with Receiver(answer) as receiver, pytest.raises((TimeoutError, HTTPException)):
        send(receiver.url)
    assert time.monotonic() - began < posting.ATTEMPT_S * 10


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n"]
)
@pytest.mark.usefixtures("hurried")
def test_a_body_without_end_is_cut_off_and_its_status_counts(head: bytes) -> None:
    began = time.monotonic()
    for piece in (b"1", b"1" * 100_000):
        with Receiver(partial(drip, head=head, piece=piece)) as receiver:
            assert send(receiver.url).status == 200
    assert time.monotonic() - began < posting.ATTEMPT_S * 10


@pytest.mark.usefixtures("hurried")
def test_a_receiver_that_does_not_read_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(TimeoutError):
        send(f"http://127.0.0.1:{deaf.getsockname()[1]}/", body=b"x" * 20_000_000)


@pytest.mark.usefixtures("hurried")
def test_a_name_server_that_does_not_answer_is_not_waited_for_and_not_asked_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = threading.Event()
    asked = threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> list[Any]:
        asked.release()
        answers.wait(PATIENCE_S)
        raise OSError("at last")

    monkeypatch.setattr(posting, "_resolving", threading.BoundedSemaphore(2))
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="does not answer"):
            send("http://hooks.test/", "hooks.test")
    with pytest.raises(TimeoutError, match="answers nobody"):
        send("http://hooks.test/", "hooks.test")
    answers.set()
    for _ in range(2):
        assert posting._resolving.acquire(timeout=PATIENCE_S)
    assert asked.acquire(blocking=False)
    assert asked.acquire(blocking=False)
    assert not asked.acquire(blocking=False)


@pytest.mark.parametrize("answer", [b"", b"\0" * 100, b"HTTP/1.1 2", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0\r\n"])
def test_what_is_no_response_is_an_error(answer: bytes) -> None:
    with Receiver(answer) as receiver, pytest.raises((HTTPException, OSError)):
        send(receiver.url)


# TLS


class SecureReceiver(Receiver):
    """One with a certificate; `names` are those that were asked for."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        super().__init__(self._thank)
        self.names: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        key, cert = certificate
        self._context.load_cert_chain(cert, key)
        self._context.sni_callback = lambda _, name, __: self.names.append(name)
        self._secure: ssl.SSLSocket | None = None

    def _wrapped(self, connection: socket.socket) -> socket.socket:
        self._secure = self._context.wrap_socket(connection, server_side=True)
        return self._secure

    def _thank(self, _: socket.socket) -> None:
        if self._secure is not None:
            self._secure.sendall(OK)
            self._secure.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=hooks.test"),
            *("-addext", "subjectAltName=DNS:hooks.test"),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


@pytest.fixture
def _trusting(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))
    posting._tls.cache_clear()
    yield
    posting._tls.cache_clear()


@pytest.mark.usefixtures("_trusting")
def test_a_certificate_has_to_be_the_names_which_is_what_is_asked_for(
    certificate: tuple[Path, Path], resolver: Resolver
) -> None:
    resolver.says("hooks.test", ["127.0.0.1"])
    resolver.says("other.test", ["127.0.0.1"])
    with SecureReceiver(certificate) as receiver:
        listed = ("hooks.test", "other.test", "127.0.0.1")
        assert send(f"https://hooks.test:{receiver.port}/", *listed).status == 204
        assert receiver.next().fields["host"] == f"hooks.test:{receiver.port}"
        assert receiver.names == ["hooks.test"]
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(ssl.SSLCertVerificationError):
                send(f"https://{host}:{receiver.port}/", *listed)
        assert receiver.nothing_more()


def test_a_certificate_of_nobody_that_is_trusted_is_refused(
    certificate: tuple[Path, Path], resolver: Resolver
) -> None:
    resolver.says("hooks.test", ["127.0.0.1"])
    with SecureReceiver(certificate) as receiver, pytest.raises(ssl.SSLCertVerificationError):
        send(f"https://hooks.test:{receiver.port}/", "hooks.test", "127.0.0.1")


@pytest.mark.usefixtures("hurried")
def test_a_handshake_without_end_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TimeoutError):
        send(f"https://127.0.0.1:{silent.getsockname()[1]}/")


def test_the_receiver_of_these_tests_would_see_a_field_that_is_there_twice() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(b"POST / HTTP/1.1\r\na: 1\r\nA: 2\r\n\r\n")
        with pytest.raises(AssertionError, match="twice"):
            read_request(there)
