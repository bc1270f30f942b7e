"""Whatever becomes of the store, requests that do not need it notice nothing, and the others are answered.

One ASGI and one WSGI server under a steady load of passthrough, stateless and counted requests, while their
store is killed, stopped, filled, locked, spoilt, deleted or replaced. Every answer is judged.

How long answers take is measured in this process, from sending a request to the end of its answer, so that a
busy machine and this process itself have their part in it. The promise is 0.25 s for whoever finds the store
dead and nothing for whoever comes later; the bound here is wide, and the worst of each scene is printed.
"""

import asyncio
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.counting import (
    AWAY,
    BACK,
    COUNTED,
    GUNICORN,
    KINDS,
    PASSTHROUGH,
    PATIENCE_S,
    STATELESS,
    TRIES,
    UVICORN,
    Client,
    Load,
    Served,
    Way,
    WrongAnswer,
    at_peace,
    complaints,
    loads,
    outputs,
    said,
    serving,
    stood_still,
    store_lines,
)
from tests.counting_app import EACH
from tests.redis_server import RedisServer

from mockware.crew import RETRY_S
from mockware.fallback import MAX_WAIT_S, FallbackStore
from mockware.logs import logger
from mockware.questions import Record
from mockware.redis_store import RedisStore

BOUND_S = MAX_WAIT_S + 2.75  # for a busy machine; a request that waits for a dead store does so for ever
CONNECTIONS = {PASSTHROUGH: 2, STATELESS: 2, COUNTED: 4}  # on each server
PAUSE_S = 0.02  # between two requests of a connection: steady, and not all that a machine has
BEFORE = (3, 3)  # what each server counts of a session before the store goes away
SHARE_S = 0.5  # how much of the load has to fall on each part of a scene
PROBED_S = RETRY_S + 0.2  # so that the store has been asked in vain whether it is back

WAYS = (Way(UVICORN), Way((*GUNICORN, "--workers=1")))


class Scene:
    """Two servers that share a store, both under load. What is hurt is said by the test."""

    def __init__(self, servers: Sequence[Served], name: str, running: Sequence[Load]) -> None:
        self.servers = servers
        self.name = name
        self._marks = [server.log.mark for server in servers]
        self._clients = [Client(server.port) for server in servers]
        self._loads = running

    def lines(self) -> list[list[str]]:
        return [store_lines(server, mark) for server, mark in zip(self.servers, self._marks, strict=True)]

    async def until(self, pattern: str) -> None:
        """Until every server has said so."""
        told = [said(server, pattern, since=mark) for server, mark in self._each()]
        assert all(await asyncio.gather(*told)), f"nobody said: {pattern}"

    async def calm(self) -> None:
        """Until what has been done to the store is over for every server, whether it has noticed or not."""
        await self.more_load()
        await at_peace(self.servers)

    async def more_load(self) -> None:
        """Until each kind of request was asked some more, on each server."""
        began = [dict(load.asked) for load in self._loads]
        deadline = time.monotonic() + PATIENCE_S
        wanted = SHARE_S / PAUSE_S / 2
        while any(
            load.asked[kind] - before.get(kind, 0) < wanted
            for load, before in zip(self._loads, began, strict=True)
            for kind in KINDS
        ):
            assert time.monotonic() < deadline, "the load stands still"
            await asyncio.sleep(PAUSE_S)

    async def mocks(self, server: int, session: str, times: int | None = None) -> int:
        """How many mocks so many requests get from the server; without a number, until the app answers."""
        count = 0
        for _ in range(10 * EACH if times is None else times):
            status = (await self._clients[server].ask("/each", f"{self.name}-{session}")).status
            if status == 200 and times is None:
                return count
            count += status == 503
        return count

    async def turn_about(self, session: str) -> int:
        """How many mocks a session gets that goes from server to server, until nobody has any more."""
        count = 0
        while found := sum([await self.mocks(server, session, 1) for server in range(len(self.servers))]):
            count += found
        return count

    async def say_the_overshoot(self) -> None:
        """The log line says how far a limit may be exceeded."""
        for server, mark in self._each():
            line = server.log.wait(AWAY + ".*", since=mark)
            assert line is not None
            assert "may be exceeded by what each process counts by itself meanwhile" in line[0]

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def _each(self) -> list[tuple[Served, int]]:
        return list(zip(self.servers, self._marks, strict=True))

    def judge_answers(self) -> None:
        for load in self._loads:
            if load.wrong:
                raise WrongAnswer(load.wrong)

    def judge(self) -> None:
        self.judge_answers()
        for load in self._loads:
            assert all(load.asked[kind] for kind in KINDS)
            assert load.mocked
        worst = {kind: max(load.worst_s[kind] for load in self._loads) for kind in KINDS}
        asked = sum(load.asked.total() for load in self._loads)
        print(f"{self.name}: {asked} requests, the slowest in ms:", end=" ")
        print({kind: round(seconds * 1000) for kind, seconds in worst.items()}, self.lines())
        assert max(worst.values()) < BOUND_S, worst
        for server, mark in self._each():
            assert complaints(server, mark) == []


Play = Callable[[Scene], Awaitable[None]]


def play(servers: Sequence[Served], name: str, what: Play) -> None:
    """Plays a scene, from and to a store that is there; again, where the machine stood still meanwhile."""

    async def run(name: str) -> None:
        await at_peace(servers)
        # The load's sessions are the scene's own: those of an earlier one may be used up.
        async with loads(servers, CONNECTIONS, pause_s=PAUSE_S, name=f"{name}-load") as running:
            scene = Scene(servers, name, running)
            try:
                await scene.more_load()
                await what(scene)
                await scene.more_load()
            finally:
                scene.close()
                scene.judge_answers()
        scene.judge()

    for attempt in range(TRIES):
        since = [server.log.mark for server in servers]
        try:
            asyncio.run(run(f"{name}-{attempt}"))
        except AssertionError as error:
            error.add_note(outputs(servers))
            if isinstance(error, WrongAnswer) or attempt + 1 == TRIES or not stood_still(servers, since):
                raise
            print(f"{name}: disturbed, {error}")
        else:
            return


async def an_outage(
    scene: Scene,
    begin: Callable[[], object],
    end: Callable[[], object],
    *,
    kept: bool,
    lasts_s: float = 0.0,
) -> None:
    """One that everybody notices. `kept` says whether the store still knows what was counted before."""
    of_one, of_other = BEFORE
    assert await scene.mocks(0, "early", of_one) == of_one
    assert await scene.mocks(1, "early", of_other) == of_other
    began = time.monotonic()
    await asyncio.to_thread(begin)  # what waits in this thread, the load seems to wait for
    try:
        await scene.until(AWAY)
        assert scene.lines() == [["away"], ["away"]]
        await scene.say_the_overshoot()
        # Each process goes on from the last count that it saw: the first one's was before the second came.
        alone = [await scene.mocks(server, "early") for server in (0, 1)]
        assert alone == [EACH - of_one, EACH - of_one - of_other]
        assert max(alone) <= EACH  # the bound
        assert [await scene.mocks(server, "meanwhile") for server in (0, 1)] == [EACH, EACH]
        while time.monotonic() < began + lasts_s:
            await scene.more_load()
    finally:
        await asyncio.to_thread(end)
    await scene.until(BACK)
    # The store's counts hold again, for both together: those from before where it has kept them.
    assert await scene.turn_about("early") == (EACH - of_one - of_other if kept else EACH)
    assert await scene.turn_about("meanwhile") == EACH
    assert await scene.turn_about("late") == EACH
    total = of_one + of_other + sum(alone) + (EACH - of_one - of_other)
    if kept:
        print(f"{scene.name}: {total} mocks for a limit of {EACH}, by 2 processes")
        assert total <= EACH + 2 * EACH
    assert scene.lines() == [["away", "back"], ["away", "back"]]


# ---- Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer("--maxmemory-policy", "noeviction") as redis:
        yield redis


@pytest.fixture(scope="module")
def by_redis(redis: RedisServer) -> Iterator[list[Served]]:
    with serving(*WAYS, store=redis.url) as servers:
        yield servers


def test_redis_is_killed_and_started_again(redis: RedisServer, by_redis: list[Served]) -> None:
    play(by_redis, "killed", lambda scene: an_outage(scene, redis.kill, redis.restart, kept=False))
    with closing(redis.admin()) as admin:
        assert admin.dbsize() > 0


def test_redis_is_stopped_and_goes_on(redis: RedisServer, by_redis: list[Served]) -> None:
    play(
        by_redis,
        "stopped",
        lambda scene: an_outage(scene, redis.pause, redis.resume, kept=True, lasts_s=PROBED_S),
    )


def test_redis_is_full_and_emptied(redis: RedisServer, by_redis: list[Served]) -> None:
    with closing(redis.admin()) as admin:

        def fill() -> None:
            admin.config_set("maxmemory", 1)

        def free() -> None:
            admin.config_set("maxmemory", 0)

        play(by_redis, "full", lambda scene: an_outage(scene, fill, free, kept=True, lasts_s=PROBED_S))


def test_redis_is_restarted_at_once(redis: RedisServer, by_redis: list[Served]) -> None:
    """Whoever asks in that moment finds it away; it may be that nobody does."""

    async def restart(scene: Scene) -> None:
        await asyncio.to_thread(redis.stop)
        await asyncio.to_thread(redis.restart)
        await scene.calm()
        assert await scene.turn_about("late") == EACH
        assert all(lines in ([], ["away", "back"]) for lines in scene.lines())

    play(by_redis, "restarted", restart)


class Returns(logging.Handler):
    """Counts the stores that have come back, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if "is back after" in record.getMessage():
            self._seen.release()

    def wait(self) -> None:
        assert self._seen.acquire(timeout=PATIENCE_S), "the store is not back"


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_records_outlast_an_outage_and_what_is_written_meanwhile_is_shared_afterwards(how: str) -> None:
    task = Record("task", b"accepted", 600, only_new=True, shelf="tasks")
    cancelled = Record("task", b"cancelled", 600, shelf="tasks")
    later = Record("later", b"accepted", 600, only_new=True, shelf="tasks")
    returns = Returns()
    logger.addHandler(returns)
    with RedisServer() as redis:
        one, other = (FallbackStore(RedisStore(redis.url)) for _ in range(2))
        try:
            assert one.write([task]) == (None,)
            assert other.write([cancelled]) == (b"accepted",)
            assert one.read(["task"]) == (b"cancelled",)
            redis.kill() if how == "killed" else redis.pause()
            began = time.monotonic()
            assert one.write([task]) == (b"cancelled",)  # it stays cancelled
            assert one.write([later]) == other.write([later]) == (None,)  # each by itself
            assert one.list("tasks", "", 9) == (("later", b"accepted"), ("task", b"cancelled"))
            assert time.monotonic() - began < 2 * BOUND_S
            redis.restart() if how == "killed" else redis.resume()
            for _ in range(2):
                returns.wait()
            assert other.read(["later"]) == one.read(["later"]) == (b"accepted",)
            # A server that was killed has forgotten what was written before.
            assert one.read(["task"]) == (None if how == "killed" else b"cancelled",)
        finally:
            logger.removeHandler(returns)
            one.close()
            other.close()


# ---- SQLite


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("counts") / "counts.db"


@pytest.fixture(scope="module")
def by_file(file: Path) -> Iterator[list[Served]]:
    with serving(*WAYS, store=f"sqlite:{file}") as servers:
        yield servers


def companions(file: Path) -> list[Path]:
    return [file, Path(f"{file}-wal"), Path(f"{file}-shm")]


def delete(file: Path) -> None:
    for each in companions(file):
        each.unlink(missing_ok=True)


@contextmanager
def connected(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(_connect(file)) as connection:
        yield connection


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(file, isolation_level=None, timeout=PATIENCE_S, check_same_thread=False)


def test_another_process_holds_the_lock_for_two_seconds(file: Path, by_file: list[Served]) -> None:
    with connected(file) as other:

        def lock() -> None:
            other.execute("BEGIN IMMEDIATE")

        def unlock() -> None:
            other.execute("ROLLBACK")

        play(by_file, "locked", lambda scene: an_outage(scene, lock, unlock, kept=True, lasts_s=2.0))


def test_the_file_is_replaced_by_another_programs(file: Path, by_file: list[Served]) -> None:
    notes = file.with_name("notes.db")

    def replace() -> None:
        with connected(notes) as other:
            other.execute("CREATE TABLE notes (text TEXT)")
        delete(file)
        notes.replace(file)

    async def replaced(scene: Scene) -> None:
        await an_outage(scene, replace, lambda: delete(file), kept=False, lasts_s=PROBED_S)

    play(by_file, "another's", replaced)


def test_garbage_is_written_over_the_file(file: Path, by_file: list[Served]) -> None:
    """Who has read the file before may go on with what it remembers of it: that is for SQLite to notice."""

    async def spoilt(scene: Scene) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while ["away"] not in scene.lines():
            assert time.monotonic() < deadline, "nobody notices"
            with file.open("r+b") as opened:
                opened.write(os.urandom(file.stat().st_size))
            await scene.more_load()
        counted = [await scene.mocks(server, "meanwhile") for server in (0, 1)]
        assert counted in ([EACH, EACH], [EACH, 0])
        await scene.more_load()
        delete(file)
        await scene.calm()
        assert await scene.turn_about("late") == EACH
        assert all(lines in ([], ["away", "back"]) for lines in scene.lines())

    play(by_file, "spoilt", spoilt)


@pytest.mark.parametrize("deleted", ["with its companions", "alone"])
def test_the_file_is_deleted(deleted: str, file: Path, by_file: list[Served]) -> None:
    """The next count makes another; who finds the old one half gone may say so, and comes back."""

    async def gone(scene: Scene) -> None:
        assert await scene.turn_about("early") == EACH
        delete(file) if deleted != "alone" else file.unlink()
        await scene.calm()
        assert await scene.turn_about("early") == EACH
        assert all(lines in ([], ["away", "back"]) for lines in scene.lines())

    play(by_file, f"deleted {deleted}", gone)


def test_the_file_is_restored_from_a_backup(file: Path, by_file: list[Served]) -> None:
    backup = file.with_name("backup.db")

    async def restored(scene: Scene) -> None:
        assert await scene.mocks(0, "early", 3) == 3
        with connected(file) as now, connected(backup) as then:
            now.backup(then)
        assert await scene.turn_about("early") == EACH - 3
        delete(file)
        backup.replace(file)
        await scene.calm()
        assert await scene.turn_about("early") == EACH - 3
        assert all(lines in ([], ["away", "back"]) for lines in scene.lines())

    play(by_file, "restored", restored)
