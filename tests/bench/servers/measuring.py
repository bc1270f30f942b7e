"""Servers on one core, the load on another, in rounds in which all take turns.

Law: a server's turn is one burst of wrk: 64 connections that are kept, the next request when the answer
is there. wrk, because it is the one client here that asks more than nginx can answer (at about 5 microseconds
a request, against nginx' 7), and is Debian's. What was looked at: it speaks HTTP/1.1 without a `Connection`
field, keeps its connections until the server closes one and then opens it again; of the answers it counts
only those of 400 and more as wrong, so that each server has to give the right answer, status and body,
before every burst and after the last. Between bursts, whatever a server is still busy with is waited for.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from .. import serving
from ..load import Burst, Sample, run_wrk
from ..load_client import Connections, request_bytes
from . import stubs
from .table import SERVERS, UPSTREAM, Place, Server, path_for
from .versions import Cache, NotInstalledError, program

CONNECTIONS = 64
# Ten thousand routes take Flask half a minute on a busy machine.
_START_S = 180.0
_SETTLE_S, _IDLE = 15.0, 0.05
# What just-in-time compilers have had enough of. In requests and in the server's own time, not the clock's,
# which on a busy machine says little; a server with many stubs may not come to so many requests.
_WARM_REQUESTS, _WARM_CPU_S = 40_000, 20.0
# Of a burst without wrk.
_FEW = 500


class Case(NamedTuple):
    """A server with so many stubs."""

    name: str
    stubs: int

    @property
    def server(self) -> Server:
        return SERVERS[self.name]

    @property
    def title(self) -> str:
        return f"{self.server.title}, {self.stubs:,}" if self.server.many else self.server.title


class Plan(NamedTuple):
    """Unless it is `full`, nothing is warmed up, and wrk need not be there."""

    rounds: int
    burst_s: int
    full: bool
    cores: tuple[int, int]


class Result(NamedTuple):
    """Of one case: its bursts in the order of the rounds."""

    bursts: Sequence[Burst]
    keeps_connections: bool
    memory_mib: float

    @property
    def cpu_us(self) -> float:
        return median(burst.sample.cpu_us for burst in self.bursts)

    @property
    def least_cpu_us(self) -> float:
        return min(burst.sample.cpu_us for burst in self.bursts)

    @property
    def per_s(self) -> float:
        return median(burst.sample.per_s for burst in self.bursts)

    @property
    def client_us(self) -> float:
        return median(burst.client_us for burst in self.bursts)

    @property
    def failed(self) -> int:
        return sum(burst.failed for burst in self.bursts)

    def times(self, other: Result) -> float:
        """How many times as much CPU time as the other a request takes, in the median of the rounds."""
        pairs = zip(self.bursts, other.bursts, strict=True)
        return median(own.sample.cpu_us / its.sample.cpu_us for own, its in pairs)


class Running(NamedTuple):
    server: serving.Server
    keeps_connections: bool


def measure(
    cases: Sequence[Case], plan: Plan, cache: Cache, folder: Path
) -> tuple[dict[Case, Result], dict[Case, str]]:
    """The results, and why others have none."""
    failures: dict[Case, str] = {}
    with contextlib.ExitStack() as stack:
        running = _all_running(cases, plan, cache, folder, stack, failures)
        load = _load(plan)

        def burst(case: Case) -> Burst:
            _check(case, running[case].server.port)
            server, path = running[case].server, path_for(*case)
            found = load(server, path)
            if not found.answered:
                raise RuntimeError("no answer came in a whole burst")
            _settle(server)
            return found

        def in_turn(what: str, turn: Callable[[Case], None]) -> None:
            _say(what)
            for case in random.sample(list(running), len(running)):
                try:
                    turn(case)
                except (RuntimeError, OSError, http.client.HTTPException) as error:
                    failures[case] = f"{what}: {error}"
                    del running[case]

        def warm_up(case: Case) -> None:
            _say(f"warming up {case.title}")
            requests, cpu_s = 0, 0.0
            while requests < _WARM_REQUESTS and cpu_s < _WARM_CPU_S:
                found = burst(case)
                requests += found.answered
                cpu_s += found.answered * found.sample.cpu_us / 1e6
                if not plan.full:
                    break

        def last_look(case: Case) -> None:
            _check(case, running[case].server.port)

        bursts: dict[Case, list[Burst]] = {case: [] for case in running}
        in_turn("warm-up", warm_up)
        for number in range(plan.rounds):
            in_turn(f"round {number + 1} of {plan.rounds}", lambda case: bursts[case].append(burst(case)))
        in_turn("last look", last_look)
        return {
            case: Result(bursts[case], keeps, _memory_mib(server.process))
            for case, (server, keeps) in running.items()
        }, failures


def _load(plan: Plan) -> Callable[[serving.Server, str], Burst]:
    if not plan.full and shutil.which("wrk") is None:
        _say("there is no wrk: the rates are those of a client that is slower than the servers")
        return _some_requests
    wrk = ["taskset", "-c", str(plan.cores[1]), program("wrk")]
    return lambda server, path: run_wrk(wrk, server, path, connections=CONNECTIONS, seconds=plan.burst_s)


def _some_requests(server: serving.Server, path: str) -> Burst:
    """A burst of the client at hand, which shows that a server answers, and not how fast."""
    connections = Connections(server.port, request_bytes(path, [(b"host", b"127.0.0.1")]))
    with contextlib.closing(connections):
        cpu, client = serving.cpu_ns(server.process), time.thread_time()
        took_s = connections.run(_FEW)
        cpu, client = serving.cpu_ns(server.process) - cpu, time.thread_time() - client
    return Burst(_FEW, 0, Sample(cpu / _FEW / 1000, _FEW / took_s), client / _FEW * 1e6, "")


def _all_running(
    cases: Sequence[Case],
    plan: Plan,
    cache: Cache,
    folder: Path,
    stack: contextlib.ExitStack,
    failures: dict[Case, str],
) -> dict[Case, Running]:
    upstream = 0
    if any(case.server.proxy and case.name != UPSTREAM for case in cases):
        # It stands beside the load, so that the proxy has its core to itself.
        case = Case(UPSTREAM, 1)
        upstream = stack.enter_context(
            _run(case, plan.cores[1], 0, cache, _made(folder, "behind"))
        ).server.port
    running = {}
    for number, case in enumerate(cases):
        _say(f"starting {case.title}")
        try:
            place = _made(folder, f"{number}")
            running[case] = stack.enter_context(_run(case, plan.cores[0], upstream, cache, place))
        except (NotInstalledError, RuntimeError, OSError) as error:
            failures[case] = str(error)
    return running


def _made(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@contextlib.contextmanager
def _run(case: Case, core: int, upstream: int, cache: Cache, folder: Path) -> Iterator[Running]:
    place = Place(folder, serving.free_port(), case.stubs, upstream, cache)
    start = case.server.start(place)
    last: list[str] = []
    keeps: list[bool] = []

    def ready() -> bool:
        try:
            keeps[:] = [_check(case, place.port)]
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            last[:] = [str(error)]
            return False
        return True

    command = ["taskset", "-c", str(core), *start.command]
    try:
        # In a folder of its own: some leave files where they are started.
        with serving.started(
            case.title, command, place.port, ready=ready, environ=start.environ, folder=folder,
            start_s=_START_S,
        ) as server:  # fmt: skip
            yield Running(server, *keeps)
    except RuntimeError as error:
        raise RuntimeError(f"{error}\n{''.join(last)}") from None


def _check(case: Case, port: int) -> bool:
    """Whether the server keeps the connection. Raises RuntimeError if the answer is not the right one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path_for(*case))
        response = connection.getresponse()
        body = response.read()
        if response.status != stubs.STATUS or not _right(case, body):
            raise RuntimeError(f"{case.title} answers {response.status} {body[:200]!r}")
        return not response.will_close


def _right(case: Case, body: bytes) -> bool:
    if case.server.empty:
        return body == b""
    try:
        found: object = json.loads(body)
    except ValueError:
        return False
    return found == stubs.ANSWER


def _settle(server: serving.Server) -> None:
    """Waits until the server has done what the client did not wait for."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        begin, cpu = time.monotonic_ns(), serving.cpu_ns(server.process)
        time.sleep(0.05)
        if serving.cpu_ns(server.process) - cpu < _IDLE * (time.monotonic_ns() - begin):
            return


def _memory_mib(process: int) -> float:
    """Resident memory of a process with its children."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    own = int(lines["VmRSS"].split()[0]) / 1024
    return own + sum(map(_memory_mib, serving.children(process)))


def _say(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)
