"""Servers that serve `tests/counting_app.py`, and clients that judge every single answer.

What belongs here: how the servers are started, what a right answer is, and a load of mixed requests. What is
done to the stores meanwhile, and what must come of it, is the tests' and the soak's own.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple

from tests.counting_app import MOCKS, SESSION
from tests.server_table import ROOT
from tests.servers import Log, Running, _free_port

PATIENCE_S = 30.0  # for an answer, or for a line of a log; a failure bound
# A machine that stands still for longer than a store may take makes an outage of its own, with exactness gone
# for as long as that lasts. What such a one has disturbed is tried again, so often in all; an answer that is
# wrong in itself never is.
TRIES = 3
_RUN = (sys.executable, "-m")
_ASGI, _WSGI = "tests.counting_app:asgi", "tests.counting_app:wsgi"
# Idle connections stay open as long as a test may last: a server that closes one has failed.
GRANIAN_ASGI = (*_RUN, "granian", "--port={port}", "--interface=asgi", _ASGI)
GRANIAN_WSGI = (*_RUN, "granian", "--port={port}", "--interface=wsgi", "--blocking-threads=8", _WSGI)
UVICORN = (*_RUN, "uvicorn", "--port={port}", "--no-access-log", "--timeout-keep-alive=60", _ASGI)
GUNICORN = (
    *(*_RUN, "gunicorn", "--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=8"),
    *("--keep-alive=60", "--graceful-timeout=1", _WSGI),
)


class Served(Running):
    """A server of `tests/counting_app.py` that was started."""

    def __init__(self, command: Sequence[str], store: str, environ: Mapping[str, str] | None = None) -> None:
        self.name = command[2]
        self.port = _free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("MOCKWARE")}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env |= {"MOCKWARE": "on", "MOCKWARE_STORE": store, **(environ or {})}
        self._process = subprocess.Popen(
            [part.format(port=self.port) for part in command],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.log = Log(self._process.stdout)

    @property
    def pid(self) -> int:
        return self._process.pid


class Way(NamedTuple):
    """How to start a server: its command, and what is particular about its environment."""

    command: tuple[str, ...]
    environ: Mapping[str, str] = {}


@contextmanager
def serving(*ways: Way, store: str) -> Iterator[list[Served]]:
    """The servers, when all of them listen; a failure inside shows their output."""
    servers = [Served(way.command, store, way.environ) for way in ways]
    try:
        for place, way in enumerate(ways):
            for _ in range(3):  # another program may have taken the port meanwhile
                if servers[place].listens():
                    break
                servers[place].stop()
                servers[place] = Served(way.command, store, way.environ)
            else:
                raise AssertionError(f"{way.command} does not start")
        yield servers
    except BaseException as error:
        error.add_note(outputs(servers))
        raise
    finally:
        for server in servers:
            server.terminate()
        for server in servers:
            server.stop()


def outputs(servers: Sequence[Served]) -> str:
    return "\n".join(f"---- output of {server.name}\n{server.log.text[-8000:]}" for server in servers)


# ---- one client


class Answer(NamedTuple):
    """What was answered: by the app with 200, in the process `pid`; or by a mock, which tells no process."""

    status: int
    pid: int | None
    took_s: float


class Client:
    """One connection, on which one request follows the other; a server that closes it has failed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._began = 0.0
        self.pid = 0
        self.turn = asyncio.Lock()

    async def ask(self, path: str, session: str = "") -> Answer:
        await self.send(path, session)
        return await self.answer(path)

    async def send(self, path: str, session: str = "") -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        field = f"{SESSION}: {session}\r\n" if session else ""
        self._began = time.perf_counter()
        self._streams[1].write(f"GET {path} HTTP/1.1\r\nHost: test\r\n{field}\r\n".encode())

    async def answer(self, path: str) -> Answer:
        """The answer to what was sent, after it was judged. Raises WrongAnswer."""
        assert self._streams is not None
        reader = self._streams[0]
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?im)^content-length: (\d+)\r$", head)
            if length is None:
                raise WrongAnswer(head)
            body = await reader.readexactly(int(length[1]))
        took_s = time.perf_counter() - self._began
        status, pid = judged(path, head, body)
        if pid is not None:
            if self.pid not in (0, pid):
                raise WrongAnswer("a connection has come to another process")
            self.pid = pid
        return Answer(status, pid, took_s)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
        self.pid = 0


class WrongAnswer(AssertionError):
    """Nobody should have said that, whatever the store does."""


def judged(path: str, head: str, body: bytes) -> tuple[int, int | None]:
    """The status and, of the app's answers, the process. Raises WrongAnswer."""
    status = int(head[9:12])
    rule = re.search(r"(?im)^x-mock-rule: (.*)\r$", head)
    if rule is not None:
        if f"/{rule[1]}" == path and MOCKS.get(path, {}).get(status) == body:
            return status, None
    elif status == 200 and path != "/stateless":
        by_app = re.fullmatch(rf"(\d+) {re.escape(path)}\n", body.decode("latin-1"))
        if by_app is not None:
            return status, int(by_app[1])
    raise WrongAnswer(f"{path}: {head}{body!r}")


@asynccontextmanager
async def clients(ports: Sequence[int], each: int, *, workers: int) -> AsyncIterator[list[Client]]:
    """So many open connections to each port, which reach so many processes in all: `pid` says which."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        opened = [Client(port) for port in ports for _ in range(each)]
        try:
            # A worker that is not up yet takes no connections; then all are made once more.
            await asyncio.gather(*(client.ask("/hello") for client in opened))
            if len({client.pid for client in opened}) == workers:
                yield opened
                return
        finally:
            for client in opened:
                client.close()
        assert time.monotonic() < deadline, f"only {len({client.pid for client in opened})} workers answer"


# ---- a load of mixed requests

PASSTHROUGH, STATELESS, COUNTED = KINDS = ("passthrough", "stateless", "counted")


class Load:
    """Requests of each kind on connections of their own, to one server, until `stop`.

    `asked` and `worst_s` are by kind; a time is from the first byte that the client sends to the last that it
    gets, in the client's process, which has its own part in it. `wrong` has the first of the wrong answers.
    """

    def __init__(
        self, port: int, connections: Mapping[str, int], *, pause_s: float = 0, name: str = "load"
    ) -> None:
        self.asked: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.mocked = 0  # of the counted ones
        self.worst_s = dict.fromkeys(KINDS, 0.0)
        self.wrong: list[str] = []
        self._port, self._pause_s, self._name = port, pause_s, name
        self._connections = connections
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    def start(self) -> None:
        for kind, count in self._connections.items():
            self._tasks += [asyncio.create_task(self._ask(kind)) for _ in range(count)]

    async def stop(self) -> None:
        """Each connection ends with an answer."""
        self._over = True
        await asyncio.gather(*self._tasks)

    async def _ask(self, kind: str) -> None:
        client = Client(self._port)
        path = {PASSTHROUGH: "/hello", STATELESS: "/stateless", COUNTED: "/each"}[kind]
        while not self._over:
            # Sessions of which each is used up, and comes again later: a memory that grows is no session's.
            session = f"{self._name}-{self.asked[kind] // 50 % 1000}" if kind == COUNTED else ""
            self.asked[kind] += 1
            try:
                answer = await client.ask(path, session)
            except (AssertionError, OSError, EOFError, TimeoutError) as error:
                self.errors[kind] += 1
                if len(self.wrong) < 10:
                    self.wrong.append(f"{kind}: {error!r}")
                client.close()
            else:
                self.worst_s[kind] = max(self.worst_s[kind], answer.took_s)
                self.mocked += kind == COUNTED and answer.status == 503
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
        client.close()


@asynccontextmanager
async def loads(
    servers: Sequence[Served], connections: Mapping[str, int], *, pause_s: float = 0, name: str = "load"
) -> AsyncIterator[list[Load]]:
    """A load on each of the servers for as long as it lasts."""
    running = [Load(server.port, connections, pause_s=pause_s, name=name) for server in servers]
    for load in running:
        load.start()
    try:
        yield running
    finally:
        await asyncio.gather(*(load.stop() for load in running))


AWAY, BACK = r"the store \S+ is away", r"the store \S+ is back"


async def said(server: Served, pattern: str, *, since: int, within_s: float = PATIENCE_S) -> bool:
    """Whether the server's log says so after the mark; others run meanwhile."""
    found = await asyncio.to_thread(server.log.wait, pattern, since=since, within_s=within_s)
    return found is not None


async def at_peace(servers: Sequence[Served]) -> None:
    """Until no server has a store that is away, as far as the logs tell."""
    deadline = time.monotonic() + PATIENCE_S
    for server in servers:
        mark = server.log.mark
        while (lines := store_lines(server, 0)).count("away") > lines.count("back"):
            assert time.monotonic() < deadline, f"{server.name} does not come back"
            await said(server, BACK, since=mark, within_s=1)
            mark = server.log.mark


def stood_still(servers: Sequence[Served], since: Sequence[int]) -> bool:
    """Whether a store was given up after the marks because it took too long, not because it failed."""
    why = r"is away \([^\n]*(Timeout|no answer within|has held its lock|have been asking for)"
    return any(re.search(why, each.log.text[mark:]) for each, mark in zip(servers, since, strict=True))


def store_lines(server: Served, since: int) -> list[str]:
    """What the log says of the store after the mark: `away` or `back` for each line."""
    return re.findall(r"the store \S+ is (away|back)", server.log.text[since:])


def complaints(server: Served, since: int) -> list[str]:
    """Lines of the log that speak of an error of ours."""
    with suppress(ValueError):
        since = server.log.text.index("\n", since)
    return re.findall(
        r"(?m)^.*(?:Traceback|Internal Server Error|\[?ERROR\]?[ :]).*$", server.log.text[since:]
    )
