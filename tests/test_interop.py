"""One rules file, eight frameworks: each app of `examples` answers, or its mock does, whatever its language.

The five that are not Python stand behind `mockware proxy`; the Python three do too, and are wrapped as well.
Every app is the real one, made by its own toolchain and running as a program of its own.
"""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests import toolchains
from tests.commands import Program, free_port
from tests.example_table import PATIENCE_S, TABLE, Row, check, check_echo, response_to, websocket_to
from tests.rawhttp import Connection
from websockets.exceptions import ConnectionClosed, InvalidStatus

RULES = toolchains.EXAMPLES / "mocks.toml"
CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'

THE_SERVERS_OWN = {"date", "server", "connection"}


@dataclass(frozen=True)
class Subject:
    """One app and what puts mocks in front of it."""

    framework: str
    by: str  # "proxy" or "wrap"

    def __str__(self) -> str:
        return f"{self.framework}-{self.by}"

    @property
    def has_websocket(self) -> bool:
        # Rails' own, Action Cable, speaks a protocol of its own; Flask and Django's WSGI side have none, and
        # Django's ASGI side leaves websockets to Channels.
        return self.framework not in {"rails", "flask", "django"}


PROXIED = [Subject(name, "proxy") for name in toolchains.FRAMEWORKS]
SUBJECTS = PROXIED + [Subject(name, "wrap") for name in ("django", "fastapi", "flask")]


@contextlib.contextmanager
def mocked(subject: Subject, folder: Path) -> Iterator[str]:
    """The address at which the app is reached through its mocks."""
    if subject.by == "wrap":
        with toolchains.example(subject.framework, MOCKWARE="on") as app:
            yield app.url
        return
    with toolchains.example(subject.framework) as app:
        port = free_port()
        # Not the repository's root: the rules file must be found from anywhere.
        with Program("proxy", app.url, "--rules", str(RULES), "--port", str(port), cwd=folder) as proxy:
            proxy.listens_on(port)
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=SUBJECTS, ids=str)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    with (
        mocked(request.param, tmp_path_factory.mktemp("mocked")) as address,
        httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client,
    ):
        yield client


@pytest.mark.parametrize("client", PROXIED, ids=str, indirect=True)  # of the wrapped, test_examples shows it
@pytest.mark.parametrize("row", TABLE, ids=str)
def test_the_rules_answer_and_all_else_reaches_the_app(client: httpx.Client, row: Row) -> None:
    check(response_to(row, client), row.on)


def test_one_connection_carries_mocks_and_the_apps_answers_in_turn(client: httpx.Client) -> None:
    port = client.base_url.port
    assert port is not None
    with Connection(port) as connection:
        for _ in range(3):
            mock = connection.ask("POST", "/reports", body=b"third quarter")
            assert (mock.status, mock.reason, mock.body) == (202, "Accepted", CANONICAL)
            told = [(name, value) for name, value in mock.headers if name not in THE_SERVERS_OWN]
            assert told == [
                ("content-type", "application/json"),
                ("content-length", "44"),
                ("cache-control", "no-store"),
                ("x-mock-rule", "POST /reports"),
            ]
            assert not mock.closes
            real = connection.ask("GET", "/healthz")
            assert (real.status, real.body, real.closes) == (200, b"ok", False)
            asked_for = connection.ask("GET", "/hello", [("X-Mock-Status", "503")])
            assert (asked_for.status, asked_for.one("x-mock-rule")) == (503, "trigger")
            uploaded = connection.ask("POST", "/upload", body=b"abc")
            assert b'"received":3' in uploaded.body.replace(b" ", b"")


def test_a_stream_arrives_as_the_app_sends_it(client: httpx.Client) -> None:
    # The app waits 200 ms before each line but the first; what collects them hands them on within a moment.
    arrived: dict[bytes, float] = {}
    with client.stream("GET", "/stream") as response:
        for piece in response.iter_raw():
            arrived.setdefault(piece, time.monotonic())
    assert b"".join(arrived) == b"line 0\nline 1\nline 2\nline 3\nline 4\n"
    first, last = min(arrived.values()), max(arrived.values())
    assert last - first > 0.1, arrived


def test_a_task_is_accepted_runs_and_has_its_result(client: httpx.Client) -> None:
    accepted = client.post("/exports", json={"rows": 3})
    assert accepted.status_code == 202
    assert accepted.headers["x-mock-rule"] == "exports"
    monitor = accepted.headers["location"]
    seen: list[dict[str, object]] = []
    # The monitor's own delay paces the polls.
    while not seen or "url" not in str(seen[-1]):
        poll = client.get(monitor, headers={"x-mock-delay": "100ms"})
        assert poll.status_code == 200, poll.text
        seen.append(poll.json())
    assert seen[0]["status"] == "running"
    assert seen[-1]["status"] == "succeeded"
    assert seen[-1]["result"] == {"url": "/files/report.csv"}
    assert client.get("/exports/tasks/unknown").status_code == 404


WITH_WEBSOCKET = [subject for subject in SUBJECTS if subject.has_websocket]


@pytest.mark.parametrize("client", WITH_WEBSOCKET, ids=str, indirect=True)
def test_a_websocket_keeps_its_subprotocol_and_its_close_codes(client: httpx.Client) -> None:
    with websocket_to(client, subprotocols=["other", "echo"]) as websocket:
        assert websocket.subprotocol == "echo"
        check_echo(websocket)
        websocket.send(b"\x00")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=PATIENCE_S)
        # RFC 6455 section 7.4.1: 1003, "a type of data it cannot accept"
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
    with websocket_to(client) as websocket:
        assert websocket.subprotocol is None
        check_echo(websocket)
        websocket.close(4001, "enough")
        assert websocket.close_code == 4001


@pytest.mark.parametrize("client", WITH_WEBSOCKET, ids=str, indirect=True)
def test_a_mocked_handshake_is_refused(client: httpx.Client) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        websocket_to(client, **{"X-Mock-Status": "503"})
    assert refusal.value.response.status_code == 503
    assert refusal.value.response.headers["X-Mock-Rule"] == "trigger"


# ---- the page of the examples, whose commands are those that started them above

PAGE = (toolchains.EXAMPLES / "README.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)+)", PAGE, re.MULTILINE))
TITLES = {
    "Express": "express",
    "Spring Boot": "spring-boot",
    "Go": "go",
    "Rails": "rails",
    "ASP.NET Core": "aspnet-core",
}


def test_the_page_has_a_section_for_every_framework() -> None:
    assert SECTIONS.keys() == {*TITLES, "Python"}
    assert {*TITLES.values(), *toolchains.PYTHON_EXAMPLES} == toolchains.FRAMEWORKS.keys()


@pytest.mark.parametrize(("title", "framework"), TITLES.items(), ids=TITLES.values())
def test_the_page_tells_how_each_app_is_started_and_which_port_it_takes(title: str, framework: str) -> None:
    start, front = re.findall(r"^```sh\n((?:.+\n)+)```", SECTIONS[title], re.MULTILINE)
    commands = toolchains.FRAMEWORKS[framework].commands
    assert start.splitlines() == [f"cd examples/{framework}", *commands]
    (port,) = re.findall(
        r"^mockware proxy http://127\.0\.0\.1:(\d+) --rules examples/mocks\.toml --port 8000$", front
    )
    sources = [path.read_text("utf-8") for path in toolchains.sources(framework)]
    assert any(re.search(rf"\bPORT\b.*\b{port}\b", text) for text in sources), port
