"""Section 7: what a counted reply costs in each store, beside the stateless reply.

Law: the same request, app and reply; only the rule's `times` and the store differ. A store works in a thread
or a process of its own, so that wall-clock time and the CPU time of the whole process stand here, and not
that of one thread; the cases take turns, and each figure is the least of its rounds. Redis is one of this
machine, on TCP; what its own process takes is in the wall-clock time alone.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tests.by_hand import Sent, environ_of, scope_of
from tests.redis_server import RedisServer

import mockware

from .report import Report

CONCURRENT = 32
_SENT = Sent("GET", "/counted")


class Cost(NamedTuple):
    wall_us: float
    cpu_us: float


Case = Callable[[int], Cost]


def run(report: Report, *, quick: bool) -> None:
    calls, rounds = (100, 2) if quick else (1000, 15)
    logging.getLogger("mockware").setLevel(logging.ERROR)  # each wrapping says that it is on
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(RedisServer())

        def rules(*, counted: bool) -> list[Any]:
            return [mockware.Rule("/counted", name=uuid.uuid4().hex, times=10**9 if counted else None)]

        def wrapped(app: Any, store: str, *, counted: bool = True) -> Any:
            how: dict[str, Any] = {"enabled": True, "environ": {}, "store": store}
            wrapping = mockware.wrap(app, rules=rules(counted=counted), **how)
            stack.callback(wrapping._snapshot.store.close)
            return wrapping

        stores = {"memory": "memory:", "SQLite": f"sqlite:{folder / 'counts.db'}", "Redis": server.url}
        for title, app, case in (
            ("WSGI, one request at a time", _wsgi_app, _wsgi),
            ("ASGI, one request at a time", _asgi_app, partial(_asgi, concurrent=1)),
            (f"ASGI, {CONCURRENT} at a time", _asgi_app, partial(_asgi, concurrent=CONCURRENT)),
        ):
            cases = {"stateless": case(wrapped(app, "memory:", counted=False))}
            cases |= {name: case(wrapped(app, url)) for name, url in stores.items()}
            costs = _in_turn(cases, calls, rounds)
            base = costs["stateless"]
            report.table(
                f"7. A counted reply, {title} (us a request)",
                "store | wall clock | more | CPU of the process | more",
                [
                    [
                        name,
                        *(f"{cost.wall_us:.1f}", f"{cost.wall_us - base.wall_us:+.1f}"),
                        *(f"{cost.cpu_us:.1f}", f"{cost.cpu_us - base.cpu_us:+.1f}"),
                    ]
                    for name, cost in costs.items()
                ],
            )


def _in_turn(cases: dict[str, Case], calls: int, rounds: int) -> dict[str, Cost]:
    found: dict[str, list[Cost]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, case in cases.items():
            cost = case(calls)
            if turn:  # the first opens files and connections
                found[name].append(cost)
    return {
        name: Cost(min(c.wall_us for c in costs), min(c.cpu_us for c in costs))
        for name, costs in found.items()
    }


def _timed(calls: int, work: Callable[[], Any]) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(
        (time.perf_counter() - wall) * 1e6 / calls,
        (time.process_time() - cpu) * 1e6 / calls,
    )


def _wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise AssertionError("the app was reached")


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the app was reached")


def _wsgi(app: Any) -> Case:
    def call() -> None:
        app(environ_of(_SENT), lambda *_: None)

    def case(calls: int) -> Cost:
        def work() -> None:
            for _ in range(calls):
                call()

        return _timed(calls, work)

    return case


def _asgi(app: Any, *, concurrent: int) -> Case:
    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(event: Any) -> None:
        pass

    async def client(calls: int) -> None:
        for _ in range(calls):
            await app(scope_of(_SENT), receive, send)

    async def clients(calls: int) -> None:
        await asyncio.gather(*(client(calls // concurrent) for _ in range(concurrent)))

    def case(calls: int) -> Cost:
        made = calls // concurrent * concurrent
        work: Coroutine[Any, Any, None] = clients(made)
        return _timed(made, lambda: asyncio.run(work))

    return case
