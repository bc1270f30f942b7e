"""Proxies that run: `mockware proxy` on granian, and the same app on uvicorn, in front of an upstream."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.commands import Program, environ, free_port, serving
from tests.rawhttp import Connection
from tests.upstreams import Upstream

ROOT = Path(__file__).resolve().parent.parent
RULES = '[[rules]]\nmatch = "POST /reports"\n[[rules]]\nmatch = "/ws/mocked"\nstatus = 403\n'
SERVERS = ["granian", "uvicorn"]


class Front:
    """A proxy that listens on `port`."""

    def __init__(self, upstream: Upstream, program: Program, port: int) -> None:
        self.upstream = upstream
        self.program = program
        self.port = port

    def connect(self, *, receive_buffer_bytes: int | None = None) -> Connection:
        return Connection(self.port, receive_buffer_bytes=receive_buffer_bytes)


@contextlib.contextmanager
def in_front_of(
    upstream: Upstream, *arguments: str, folder: Path, rules: str = RULES, url: str = "", **env: str
) -> Iterator[Front]:
    """`mockware proxy` with these arguments."""
    (folder / "mocks.toml").write_text(rules)
    started = serving(
        url or upstream.url, "--rules=mocks.toml", *arguments, cwd=folder, env=environ(**env), command="proxy"
    )
    with started as (program, address):
        yield Front(upstream, program, int(address.rpartition(":")[2]))


@contextlib.contextmanager
def on_uvicorn(upstream: Upstream) -> Iterator[Front]:
    port = free_port()
    arguments = ["tests.proxy_app:app", f"--port={port}", "--no-server-header", "--no-date-header"]
    arguments.append("--no-proxy-headers")  # it would believe whoever connects from this machine
    env = environ(PROXY_UPSTREAM=upstream.url)
    with Program(*arguments, cwd=ROOT, env=env, module="uvicorn") as program:
        program.listens_on(port)
        yield Front(upstream, program, port)


@pytest.fixture(scope="module", params=SERVERS)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Each server with a proxy on it, in front of an upstream of its own."""
    folder = tmp_path_factory.mktemp("proxy")
    with Upstream() as upstream:
        granian = request.param == "granian"
        with in_front_of(upstream, folder=folder) if granian else on_uvicorn(upstream) as made:
            yield made
        assert upstream.errors == []
