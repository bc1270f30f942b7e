"""A server at full speed while its Redis dies and comes back: `python -m tests.soak [--minutes 10]`.

Passthrough must lose nothing, stateless mocks must be exact and counted ones never end in an error; what the
server's processes hold in memory must stay as it was after the first minutes. The client judges every answer
and runs in this process; on loopback, one client and one server are two busy cores.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.counting import (
    COUNTED,
    GRANIAN_ASGI,
    GUNICORN,
    KINDS,
    PASSTHROUGH,
    STATELESS,
    UVICORN,
    Client,
    Load,
    Served,
    Way,
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

SERVERS = {"uvicorn": UVICORN, "granian": GRANIAN_ASGI, "gunicorn": GUNICORN}
CONNECTIONS = {PASSTHROUGH: 6, STATELESS: 4, COUNTED: 6}
# For the slowest answer, on a machine that does other things too; the promise is 0.25 s, and the worst is
# printed.
BOUND_S = 3.0
# What each worker may gain after the warm-up: allocators round up, and one thread more has a stack.
GROWTH_BYTES = 4 << 20
# When memory is first looked at: caches are full and threads are made once the store has been away and back.
WARM_UP = 0.25  # of the whole time
AWAY_SHARE = 0.3  # of each round, in which the Redis is down


@dataclass
class Report:
    """What a soak came to; `failures` is empty where nothing is wrong.

    `disturbed` has the outages with one more beside them, of a store that took too long without being killed.
    """

    requests: int = 0
    kills: int = 0
    worst_ms: dict[str, int] = field(default_factory=dict)
    rss_bytes: list[int] = field(default_factory=list)
    disturbed: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def processes_of(leader: int) -> list[int]:
    """The server's processes: those of its session, which it began for itself."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # Behind the name, which may hold anything: state, parent, group, session.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def rss_bytes(pids: Sequence[int]) -> int:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_files(pids: Sequence[int]) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)  # noqa: PTH208 - only their number


def run(
    *,
    seconds: float,
    round_s: float,
    tell_s: float,
    server: str = "uvicorn",
    workers: int = 1,
    tell: Callable[[str], object] = print,
) -> Report:
    """Soaks a server of the kind for so long; the Redis is killed once in each round."""
    way = Way((*SERVERS[server], f"--workers={workers}"))
    with RedisServer() as redis, serving(way, store=redis.url) as (served,):
        soak = _Soak(redis, served, workers, tell)
        asyncio.run(soak.run(seconds, round_s, tell_s))
        if soak.report.failures:
            tell(outputs([served]))
        return soak.report


class _Soak:
    def __init__(
        self, redis: RedisServer, served: Served, workers: int, tell: Callable[[str], object]
    ) -> None:
        self.report = Report()
        self._redis, self._served, self._workers, self._tell = redis, served, workers, tell
        self._pids: list[int] = []

    async def run(self, seconds: float, round_s: float, tell_s: float) -> None:
        async with loads([self._served], CONNECTIONS, name=f"soak-{random.random()}") as (load,):
            began = time.monotonic()
            reports = asyncio.create_task(self._report_every(tell_s, load, began, seconds))
            try:
                while time.monotonic() + round_s <= began + seconds + 0.5:
                    await self._round(round_s)
            finally:
                reports.cancel()
                await asyncio.gather(reports, return_exceptions=True)
        self._tell(self._line(load, began))
        await self._judge(load)

    async def _round(self, round_s: float) -> None:
        """Most of it with a Redis, the rest without; each process must say once that it is away and back.

        A machine that stands still for long makes outages of its own, which are nobody's fault.
        """
        ends = time.monotonic() + round_s
        began = self._served.log.mark
        # A long test may sleep: it is the load that is waited for.
        await asyncio.sleep(round_s * (1 - AWAY_SHARE) / 2)
        await at_peace([self._served])
        mark = self._served.log.mark
        await asyncio.to_thread(self._redis.kill)  # while the load goes on
        self.report.kills += 1
        await self._all_say("away", mark)
        await asyncio.sleep(round_s * AWAY_SHARE)
        await asyncio.to_thread(self._redis.restart)
        await self._all_say("back", mark)
        await asyncio.sleep(max(0.0, ends - time.monotonic()))
        lines = store_lines(self._served, mark)
        wanted = {"away": self._workers, "back": self._workers}
        if Counter(lines) != wanted:
            told = f"outage {self.report.kills} was told of as {lines}"
            if stood_still([self._served], [began]):
                self.report.disturbed.append(told)
            else:
                self.report.failures.append(told)

    async def _all_say(self, word: str, mark: int) -> None:
        pattern = rf"(?s)(the store \S+ is {word}.*){{{self._workers}}}"
        if not await said(self._served, pattern, since=mark):
            self.report.failures.append(f"outage {self.report.kills}: not all processes said `{word}`")

    async def _report_every(self, tell_s: float, load: Load, began: float, seconds: float) -> None:
        self._pids = processes_of(self._served.pid)
        while True:
            await asyncio.sleep(tell_s)
            if time.monotonic() - began >= WARM_UP * seconds:
                self.report.rss_bytes.append(rss_bytes(self._pids))
            self._tell(self._line(load, began))

    def _line(self, load: Load, began: float) -> str:
        pids = processes_of(self._served.pid)
        return (
            f"{time.monotonic() - began:6.0f} s {load.asked.total():>10,} requests"
            f" {load.errors.total():>3} errors {self.report.kills:>3} kills"
            f" RSS {rss_bytes(pids) / (1 << 20):6.1f} MiB of {len(pids)} processes, {open_files(pids)} files"
        )

    async def _judge(self, load: Load) -> None:
        report = self.report
        report.requests = load.asked.total()
        report.worst_ms = {kind: round(seconds * 1000) for kind, seconds in load.worst_s.items()}
        report.failures += load.wrong
        report.failures += complaints(self._served, 0)
        if not all(load.asked[kind] for kind in KINDS) or not load.mocked:
            report.failures.append(f"some kind of request was not made: {load.asked}")
        if max(load.worst_s.values()) > BOUND_S:
            report.failures.append(f"answers took up to {report.worst_ms} ms")
        if 1 < report.kills == len(report.disturbed):
            report.failures.append(f"no outage was the only one: {report.disturbed}")
        if processes_of(self._served.pid) != self._pids:
            report.failures.append("the server has other processes than at first")
        if not report.kills or len(report.rss_bytes) < 2:
            report.failures.append("too short to say anything")
        elif max(report.rss_bytes[-2:]) - report.rss_bytes[0] > GROWTH_BYTES * self._workers:
            report.failures.append(f"memory has grown: {[rss >> 10 for rss in report.rss_bytes]} KiB")
        await at_peace([self._served])
        mark = self._served.log.mark
        client = Client(self._served.port)
        statuses = [(await client.ask("/each", "after the soak")).status for _ in range(2 * EACH)]
        client.close()
        if statuses != [503] * EACH + [200] * EACH and not stood_still([self._served], [mark]):
            report.failures.append(f"counts are not exact after the soak: {statuses}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long; 10 if absent")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two kills; 60 if absent")
    parser.add_argument("--tell", type=float, default=30.0, help="seconds between two lines; 30 if absent")
    parser.add_argument("--server", choices=SERVERS, default="uvicorn")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args(arguments)
    report = run(
        seconds=given.minutes * 60,
        round_s=given.every,
        tell_s=given.tell,
        server=given.server,
        workers=given.workers,
        tell=lambda line: print(line, flush=True),
    )
    print(f"{report.requests:,} requests, {report.kills} kills, the slowest answers in ms: {report.worst_ms}")
    for told in report.disturbed:
        print(f"disturbed: {told}")
    print("FAILED" if report.failures else "passed")
    for failure in report.failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
