"""`mockware proxy`: its options, what it refuses, and what it says."""

import contextlib
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands import environ, free_port, run
from tests.proxies import Front, in_front_of
from tests.rawhttp import request
from tests.upstreams import Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as made:
        yield made
        assert made.errors == []


def echo(front: Front, target: str = "/x", *fields: tuple[str, str]) -> Any:
    with front.connect() as connection:
        response = connection.ask("GET", target, fields)
    assert response.status == 200, response.raw
    return json.loads(response.body)


def headers(front: Front, *fields: tuple[str, str]) -> dict[str, str]:
    return dict(echo(front, "/x", *fields)["headers"])


def test_the_upstream_gets_the_clients_host_its_own_or_another(upstream: Upstream, tmp_path: Path) -> None:
    for asked, host in (
        ("keep", "example.test"),
        ("upstream", f"127.0.0.1:{upstream.port}"),
        ("shop.test:81", "shop.test:81"),
    ):
        with in_front_of(upstream, f"--host-header={asked}", folder=tmp_path) as front:
            said = headers(front)
            assert said["host"] == host
            assert said["x-forwarded-host"] == "example.test"


def test_a_prefix_stands_before_every_path_and_the_time_is_told(upstream: Upstream, tmp_path: Path) -> None:
    url = f"{upstream.url}/api/v1/"
    with (
        in_front_of(upstream, "--server-timing", folder=tmp_path, url=url) as front,
        front.connect() as connection,
    ):
        response = connection.ask("GET", "/x?y=1")
        assert json.loads(response.body)["line"] == "GET /api/v1/x?y=1 HTTP/1.1"
        assert re.fullmatch(r"upstream;dur=[0-9]+\.[0-9]", response.one("server-timing"))
        assert connection.ask("POST", "/reports").all("server-timing") == []


def test_an_upstream_on_a_unix_socket(tmp_path: Path) -> None:
    with Upstream(path=tmp_path / "app.sock") as upstream, in_front_of(upstream, folder=tmp_path) as front:
        assert echo(front)["line"] == "GET /x HTTP/1.1"
        assert "warning" not in front.program.text


def test_rules_files_say_whom_to_trust_and_how_the_key_is_called(upstream: Upstream, tmp_path: Path) -> None:
    rules = 'trust_forwarded = true\n[trigger]\nkey_header = "X-Staging-Key"\n'
    with in_front_of(upstream, folder=tmp_path, rules=rules, MOCKWARE_KEY="secret") as front:
        said = headers(
            front, ("X-Staging-Key", "secret"), ("X-Mock-Key", "1"), ("X-Forwarded-For", "203.0.113.9")
        )
        assert said["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
        assert "x-staging-key" not in said
        assert said["x-mock-key"] == "1"
        with front.connect() as connection:
            fields = [("X-Staging-Key", "secret"), ("X-Mock-Status", "418")]
            assert connection.ask("GET", "/x", fields).status == 418


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-keyout", str(key), "-out", str(cert), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return key, cert


def test_an_upstream_over_tls_is_trusted_by_its_certificate_or_not_at_all(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with Upstream(tls=context) as upstream:
        with in_front_of(upstream, f"--upstream-ca={cert}", folder=tmp_path) as front:
            assert headers(front)["host"] == "example.test"
        with in_front_of(upstream, "--upstream-insecure", folder=tmp_path) as front:
            assert headers(front)["x-forwarded-proto"] == "http"
        with in_front_of(upstream, folder=tmp_path) as front, front.connect() as connection:
            response = connection.ask("GET", "/x")
            assert response.status == 502
            assert response.one("proxy-status") == "mockware; error=tls_certificate_error"
            assert "self-signed certificate" in json.loads(response.body)["detail"]


def test_tls_to_an_upstream_that_speaks_none_is_a_502(upstream: Upstream, tmp_path: Path) -> None:
    def refuse(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        threading.Thread(target=refuse, args=(listener,), daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        front = stack.enter_context(in_front_of(upstream, folder=tmp_path, url=url))
        response = stack.enter_context(front.connect()).ask("GET", "/x")
        assert response.status == 502
        assert response.one("proxy-status") == "mockware; error=tls_protocol_error"


def test_every_worker_hands_on_and_connections_are_kept(tmp_path: Path) -> None:
    with Upstream() as upstream, in_front_of(upstream, "--workers=2", folder=tmp_path) as front:
        for number in (1, 2):
            front.program.wait_for(f"Started worker-{number}")
        accepted = upstream.accepted  # by the look before the start
        with front.connect() as connection:
            for _ in range(20):
                assert connection.ask("GET", "/x").status == 200
        assert upstream.accepted == accepted + 1


def test_off_is_a_plain_proxy_that_says_so(upstream: Upstream, tmp_path: Path) -> None:
    with in_front_of(upstream, folder=tmp_path, MOCKWARE="off") as front, front.connect() as connection:
        assert json.loads(connection.ask("POST", "/reports").body)["line"] == "POST /reports HTTP/1.1"
        assert f"mockware is off: MOCKWARE is off; the upstream {upstream.url}" in front.program.text


def test_the_upstream_may_come_later_and_that_is_told(tmp_path: Path) -> None:
    port = free_port()
    upstream = Upstream()
    upstream.stop()
    with in_front_of(upstream, folder=tmp_path, url=f"http://127.0.0.1:{port}") as front:
        with front.connect() as connection:
            assert connection.ask("GET", "/x").status == 502
        with Upstream(port=port):
            assert echo(front)["line"] == "GET /x HTTP/1.1"
            front.program.wait_for(f"the upstream http://127.0.0.1:{port} answers again")


def test_a_task_is_run_by_the_upstream_in_the_background(upstream: Upstream, tmp_path: Path) -> None:
    go_on = threading.Event()

    @upstream.on("/exports")
    def export(arrived: Any) -> None:
        body = arrived.body()
        assert go_on.wait(20)
        arrived.answer(b"exported " + body, "Content-Type: text/csv")

    rules = '[[rules]]\nmatch = "POST /exports"\n[rules.task]\nrun = "app"\nretry_after = "1s"\n'
    with in_front_of(upstream, folder=tmp_path, rules=rules) as front, front.connect() as connection:
        accepted = connection.ask("POST", "/exports", body=b"all")
        assert accepted.status == 202
        monitor = accepted.one("location")
        assert json.loads(connection.ask("GET", monitor).body)["status"] in ("accepted", "running")
        go_on.set()
        for _ in range(500):
            response = connection.ask("GET", monitor)
            if response.body == b"exported all":
                return
        raise AssertionError(response.raw)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["127.0.0.1:3000"], 2, "did you mean 'http://127.0.0.1:3000'?"),
        ([], 2, "Missing argument 'UPSTREAM'"),
        (["http://127.0.0.1:8000"], 2, "which is the same; choose another --port"),
        (["http://a", "--timeout=5"], 2, "--timeout '5': a bare number has no unit; write `5s`"),
        (["http://a", "--timeout=0s"], 2, "nothing answers in no time"),
        (["http://a", "--host-header=a b"], 2, "expected keep, upstream, or a host and port"),
        (["http://a", "--host-header=upstrem"], 2, "did you mean upstream?"),
        (["http://a", "--host-header=bad{host"], 2, "expected keep, upstream, or a host and port"),
        (["http://a", "--upstream-ca=none.pem"], 1, "--upstream-ca 'none.pem': No such file or directory"),
        (["http://a", "--rules=none.toml"], 1, "none.toml"),
        (["http://a", "--factory"], 2, "--factory"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = run("proxy", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_refused_and_another_granian_is_not_joined(
    upstream: Upstream, tmp_path: Path
) -> None:
    with in_front_of(upstream, folder=tmp_path) as front:
        done = run("proxy", upstream.url, f"--port={front.port}", cwd=tmp_path)
        assert done.returncode == 1
        assert f"127.0.0.1:{front.port}: something listens there already" in done.stderr


@pytest.mark.parametrize("missing", ["aiohttp", "granian"])
def test_without_its_libraries_the_one_line_that_installs_them_is_named(tmp_path: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; from mockware.cli import main; "
        "sys.exit(main(['proxy', 'http://a']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith("install it with: pip install 'mockware[proxy]'\n")


def test_the_help_needs_no_client_library(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['aiohttp'] = None; from mockware.cli import main; "
        "sys.exit(main(['proxy', '--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "UPSTREAM is a URL" in done.stdout


def test_the_help_is_enough(tmp_path: Path) -> None:
    done = run("proxy", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for option in ("--rules", "--host-header", "--timeout", "--server-timing", "--upstream-ca", "--port"):
        assert f"  {option} " in done.stdout
    assert "mockware proxy http://127.0.0.1:3000 --rules mocks.toml" in done.stdout
    assert "--factory" not in done.stdout


def test_requests_that_wait_are_none_of_the_others_business(upstream: Upstream, tmp_path: Path) -> None:
    go_on, waiting = threading.Event(), threading.Semaphore(0)

    @upstream.on("/waits")
    def wait(arrived: Any) -> None:
        waiting.release()
        assert go_on.wait(20)
        arrived.answer(b"done")

    with in_front_of(upstream, folder=tmp_path) as front:
        slow = [front.connect() for _ in range(150)]  # more than the client library's usual hundred
        for connection in slow:
            connection.send(request("GET", "/waits"))
        for _ in slow:
            assert waiting.acquire(timeout=20)
        assert echo(front)["line"] == "GET /x HTTP/1.1"
        go_on.set()
        for connection in slow:
            assert connection.response().body == b"done"
            connection.leave()
