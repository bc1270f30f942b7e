"""Rules files that change under real servers: after a fork, in threads, on both interfaces.

The app is a file that each test writes, so that the servers find it in their working directory as users' own.
What is waited for is a line of the log or an answer, never a time; `PATIENCE_S` is a failure bound.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.commands import PATIENCE_S, Program, environ, free_port
from tests.rawhttp import Connection, Response

APP = '''
import asyncio, os, pathlib
import mockware

PATH = pathlib.Path("mocks.toml")

def said():
    return b"app %d" % os.getpid()

def swap(app, number):
    """What the thread does each second, as often as it is asked for."""
    other = PATH.with_suffix(f".{number}")
    status = STATUSES[number % len(STATUSES)]
    other.write_text(
        f\'\'\'
[trigger]
status_header = "{"X-Even" if number % 2 == 0 else "X-Odd"}"
[[rules]]
match = "/a"
status = {status}
headers = {{ x-generation = "{number}" }}
json = {{ generation = {number}, status = {status} }}
\'\'\'
    )
    other.rename(PATH)
    app._installation.look(lambda _: None)

STATUSES = (200, 201, 202, 203, 400, 409, 410, 418, 500, 503)

async def plain_asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            phase = (await receive())["type"]
            await send({"type": f"{phase}.complete"})
            if phase == "lifespan.shutdown":
                return
    if scope["path"].startswith("/swap/"):
        await asyncio.to_thread(swap, asgi, int(scope["path"][6:]))
    body = said()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

def plain_wsgi(environ, start_response):
    if environ["PATH_INFO"].startswith("/swap/"):
        swap(wsgi, int(environ["PATH_INFO"][6:]))
    body = said()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

asgi = mockware.wrap(plain_asgi)
wsgi = mockware.wrap(plain_wsgi)
'''
STATUSES = (200, 201, 202, 203, 400, 409, 410, 418, 500, 503)


class Way(NamedTuple):
    """How a server is started, and how many workers answer."""

    module: str
    arguments: tuple[str, ...]
    workers: int = 1

    def __str__(self) -> str:
        return self.module + ("-preload" if "--preload" in self.arguments else "") + f"-{self.arguments[-1]}"


# Without its control socket: that has a thread of its own in the master, and one path for all gunicorns.
_GUNICORN = (
    *("--bind=127.0.0.1:{port}", "--worker-class=gthread", "--threads=4", "--graceful-timeout=1"),
    "--no-control-socket",
)
UVICORN = Way("uvicorn", ("--port={port}", "--no-access-log", "live_app:asgi"))
GRANIAN_ASGI = Way("granian", ("--port={port}", "--interface=asgi", "--workers=2", "live_app:asgi"), 2)
GRANIAN_WSGI = Way("granian", ("--port={port}", "--interface=wsgi", "--blocking-threads=4", "live_app:wsgi"))
PRELOAD = Way("gunicorn", (*_GUNICORN, "--preload", "--workers=2", "live_app:wsgi"), 2)
GUNICORN = Way("gunicorn", (*_GUNICORN, "live_app:wsgi"))
MOCKWARE = Way("mockware", ("run", "live_app:plain_asgi", "--port", "{port}"))

each_way = pytest.mark.parametrize(
    "way", [UVICORN, GRANIAN_ASGI, GRANIAN_WSGI, PRELOAD, GUNICORN, MOCKWARE], ids=str
)


class Site:
    """A server that runs, and the file that its rules are in."""

    def __init__(self, program: Program, port: int, path: Path, way: Way) -> None:
        self.program, self.port, self.path, self.way = program, port, path, way

    def ask(self, path: str = "/a") -> Response:
        with Connection(self.port) as connection:
            return connection.ask("GET", path)

    def wakes_every_worker(self) -> None:
        """Asks until each has answered once: by then it looks at its files."""
        pids: set[bytes] = set()

        def all_have_answered() -> bool:
            pids.add(self.ask("/other").body)
            return len(pids) == self.way.workers

        self._until(all_have_answered)

    def becomes(self, status: int) -> None:
        """Waits until a worker answers so, and then all of them do."""
        in_a_row = 0

        def settled() -> bool:
            nonlocal in_a_row
            in_a_row = in_a_row + 1 if self.ask().status == status else 0
            return in_a_row == 10 * self.way.workers

        self._until(settled)

    def logs(self, pattern: str, since: int) -> None:
        """Waits until every worker has said so."""
        self.program.wait_for(rf"(?s)(?:{pattern}.*){{{self.way.workers}}}", since=since)

    @staticmethod
    def _until(holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline


@contextmanager
def serving(way: Way, folder: Path, path: Path | None = None) -> Iterator[Site]:
    """`path` is the rules file, if there is one already."""
    (folder / "live_app.py").write_text(APP)
    path = path or write(folder / "mocks.toml", 503)
    port = free_port()
    arguments = [argument.format(port=port) for argument in way.arguments]
    env = environ(MOCKWARE="on", MOCKWARE_FILE=str(path.relative_to(folder)))
    with Program(*arguments, cwd=folder, env=env, module=way.module) as program:
        program.listens_on(port)
        yield Site(program, port, path, way)


def write(path: Path, status: int) -> Path:
    path.write_text(f'[[rules]]\nmatch = "/a"\nstatus = {status}\n')
    return path


@each_way
def test_a_file_that_is_edited_changes_what_every_worker_answers(way: Way, tmp_path: Path) -> None:
    with serving(way, tmp_path) as site:
        site.wakes_every_worker()
        assert site.ask().status == 503
        before = len(site.program.text)
        write(site.path, 410)
        site.logs("mocks.toml changed, and the rules with it: 1 rule from", before)
        site.becomes(410)
        text = site.program.text[before:]
        assert text.count("changed") == way.workers, "each says it once"


@each_way
def test_a_broken_file_keeps_the_rules_and_a_good_one_changes_them(way: Way, tmp_path: Path) -> None:
    with serving(way, tmp_path) as site:
        site.wakes_every_worker()
        before = len(site.program.text)
        site.path.write_text('[[rules]]\nmatch = "/a"\nstatsu = 410\n')
        site.logs("did you mean `status`", before)
        site.becomes(503)
        site.path.unlink()
        site.logs("cannot be read: No such file", before)
        site.becomes(503)
        write(site.path, 410)
        site.logs("mocks.toml changed, and is good again", before)
        site.becomes(410)
        assert site.program.text[before:].count("changed; the rules stay") == 2 * way.workers


@pytest.mark.parametrize("way", [PRELOAD, GRANIAN_WSGI, GUNICORN], ids=str)
def test_a_worker_that_nobody_has_asked_yet_answers_by_the_rules_of_now(way: Way, tmp_path: Path) -> None:
    with serving(way, tmp_path) as site:
        write(site.path, 410)
        for _ in range(20):
            assert site.ask().status == 410


def test_a_master_that_preloads_has_no_thread_when_it_forks(tmp_path: Path) -> None:
    with serving(PRELOAD, tmp_path) as site:
        site.wakes_every_worker()
        tasks = Path("/proc", str(site.program._process.pid), "task")
        assert len(list(tasks.iterdir())) == 1
        assert "multi-threaded" not in site.program.text


@pytest.mark.parametrize("way", [UVICORN, GRANIAN_WSGI, GUNICORN], ids=str)
def test_a_thousand_swaps_under_load_tear_no_answer(way: Way, tmp_path: Path) -> None:
    with serving(way, tmp_path) as site:
        over = threading.Event()
        failures: list[BaseException] = []
        seen: set[int] = set()

        def client() -> None:
            try:
                with Connection(site.port) as connection:
                    while not over.is_set():
                        seen.add(judge(connection.ask("GET", "/a")))
                        answer = connection.ask("GET", "/b", [("X-Even", "502"), ("X-Odd", "504")])
                        assert answer.one("vary") == {502: "X-Even", 504: "X-Odd"}[answer.status]
            except BaseException as error:  # noqa: BLE001 - a thread's own failure is nobody's
                failures.append(error)

        def swap(numbers: Sequence[int]) -> None:
            with Connection(site.port) as connection:
                for number in numbers:
                    if failures:
                        return
                    assert connection.ask("GET", f"/swap/{number}").status == 200

        swap([0])
        threads = [threading.Thread(target=client) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            swap(range(1, 1001))
        finally:
            over.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert failures == []
        assert len(seen) > 100, "there was load while it was swapped"
        assert judge(site.ask()) == 1000


def judge(answer: Response) -> int:
    """The generation of the answer, which is wholly of it."""
    number = int(answer.one("x-generation"))
    status = STATUSES[number % len(STATUSES)]
    assert answer.status == status
    assert json.loads(answer.body) == {"generation": number, "status": status}
    return number


def test_a_volume_of_kubernetes_that_is_swapped_changes_the_answers(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for version, status in (("..1", 503), ("..2", 410)):
        (volume / version).mkdir(parents=True)
        write(volume / version / "mocks.toml", status)
    (volume / "..data").symlink_to("..1")
    (volume / "mocks.toml").symlink_to(Path("..data", "mocks.toml"))
    with serving(UVICORN, tmp_path, volume / "mocks.toml") as site:
        assert site.ask().status == 503
        (volume / "..data_tmp").symlink_to("..2")
        (volume / "..data_tmp").rename(volume / "..data")
        site.becomes(410)
