"""Section 4: mocks over the wire, one worker of a real server, against a bare app and a framework.

Law: what counts is the CPU time of the server's processes for each request, which says how many
requests a core can serve; requests per second stand beside it, for what they are worth on a busy
machine. All apps of a server are up at the same time and take turns in short bursts. A ratio is one of
two bursts of the same round, the median of all rounds; the servers are started several times, and the
median of these is judged, and has a range.
"""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from .load import Load, Sample, load_generator
from .load_client import CONNECTIONS, Connections, request_bytes
from .quiet import Moment, fixed_work, quiet_ones
from .report import Report
from .serving import SERVERS, Server, serve
from .traffic import HEADERS, TRIGGER, Pairs

GOAL_BARE, GOAL_FASTAPI, GOAL_FLASK = 0.95, 3.0, 2.0
# Flask is compared on the server that mockware runs on; elsewhere the figures are only stated.
_JUDGED = ("uvicorn, httptools", "granian, ASGI", "granian, WSGI")
# Some hundred requests, in a quiet moment if there is one.
_BURST_S = 0.06


class Case(NamedTuple):
    """An app, and what is asked of it; `rival` is the case that it is held against, or several."""

    app: str
    request: bytes
    rivals: tuple[str, ...] = ()
    stated: bool = False


def _cases(side: str) -> dict[str, Case]:
    asked: Pairs = [*HEADERS, TRIGGER]
    framework = {"asgi": "FastAPI route", "wsgi": "Flask view"}[side]
    return {
        # Against the framework too: no mock can beat the framework by more than that.
        "bare app": Case("bare", request_bytes("/reports", HEADERS), (framework,), True),
        framework: Case("framework", request_bytes("/reports", HEADERS)),
        "mock by a rule": Case("mock", request_bytes("/reports", HEADERS), ("bare app", framework)),
        "passthrough to the bare app": Case("mock", request_bytes("/other", HEADERS), ("bare app",), True),
        "bare app, trigger's answer": Case("trigger_twin", request_bytes("/other", asked)),
        "mock by a trigger": Case(
            "mock", request_bytes("/other", asked), ("bare app, trigger's answer",), True
        ),
    }


def run(report: Report, *, quick: bool) -> None:
    rounds, starts = (1, 1) if quick else (30, 4)
    with load_generator() as load:
        for server, (side, _) in SERVERS.items():
            cases = _cases(side)
            measured = [_measure(server, cases, load, rounds) for _ in range(starts)]
            title = f"4. One worker of {server}, {CONNECTIONS} connections, 12 headers"
            columns = "case | CPU us | requests/s | against | times its rate | range | by CPU | goal | holds"
            rows = [row for name in cases for row in _rows(report, server, name, cases[name], measured)]
            report.table(title, columns, rows)


# One burst of each case, within a second.
Round = Mapping[str, Sample]


def _rows(
    report: Report, server: str, name: str, case: Case, starts: Sequence[Sequence[Round]]
) -> Iterator[list[str]]:
    own = [round_[name] for rounds in starts for round_ in rounds]
    cells = [name, f"{median(one.cpu_us for one in own):.1f}", f"{median(one.per_s for one in own):.0f}"]
    if not case.rivals:
        yield cells
    for rival in case.rivals:
        by_rate = [median(r[name].per_s / r[rival].per_s for r in rounds) for rounds in starts]
        by_cpu = [median(r[rival].cpu_us / r[name].cpu_us for r in rounds) for rounds in starts]
        row = [*cells, rival, f"{median(by_rate):.3f}", f"{min(by_cpu):.2f} to {max(by_cpu):.2f}"]
        if case.stated or server not in _JUDGED:
            yield [*row, f"{median(by_cpu):.3f}", "stated"]
        else:
            goal = {"FastAPI route": GOAL_FASTAPI, "Flask view": GOAL_FLASK}.get(rival, GOAL_BARE)
            what = f"{server}: {name}, times {rival}"
            yield [*row, *report.judge(what, median(by_cpu), at_least=goal)]
        cells = ["", "", ""]


def _measure(server: str, cases: Mapping[str, Case], load: Load, rounds: int) -> Sequence[Round]:
    """The rounds from quiet moments, or all of them where too few were quiet."""
    measured: list[tuple[Moment, Round]] = []
    with contextlib.ExitStack() as stack:
        apps = {case.app for case in cases.values()}
        running = {app: stack.enter_context(serve(server, app)) for app in apps}
        _check_same_bytes(running, cases)
        counts = {}
        for name, case in cases.items():  # which warms up, too
            counts[name] = max(100, round(load.run(running[case.app], case.request, 1000).per_s * _BURST_S))
        order = list(cases)
        for _ in range(load.rounds(rounds)):
            random.shuffle(order)
            before = fixed_work()
            samples = {
                name: load.run(running[cases[name].app], cases[name].request, counts[name]) for name in order
            }
            moment = (before, fixed_work())
            measured.append((moment, samples))
    quiet = quiet_ones(measured)
    return quiet if len(quiet) >= max(1, rounds // 3) else [round_ for _, round_ in measured]


def _check_same_bytes(running: Mapping[str, Server], cases: Mapping[str, Case]) -> None:
    """The bare apps answer what mockware does, the date aside."""
    for name, case in cases.items():
        if case.app == "mock":
            own, other = (_answer(running[app], case.request) for app in ("mock", cases[case.rivals[0]].app))
            if own != other or not own.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(f"{name} and {case.rivals[0]} answer differently: {own!r}, {other!r}")


def _answer(server: Server, request: bytes) -> bytes:
    connections = Connections(server.port, request)
    connections.close()
    return re.sub(rb"(?i)\r\ndate: [^\r]*", b"", connections.first)
