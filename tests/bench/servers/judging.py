"""The tables of a run, and the goals: what mockware's own servers have to be beside the others.

Law: rates are of CPU time, in the unit of a raw ASGI app on uvicorn; every ratio is the median of those of
the rounds. A goal whose servers were not both measured is not judged, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..report import Report
from .measuring import CONNECTIONS, Case, Result
from .table import PROXY_UNIT, SERVERS, UNIT

Results = Mapping[Case, Result]

IN_UNITS, OF_WIREMOCK, OF_MOCKSERVER = 1.3, 4.0, 3.0
MANY_OF_ONE, OF_HTTP_PROXY = 1.1, 1.6
FEW, MANY = 1, 10_000
_FAST = ("mockware-serve", "mockware-status", "mockware-granian")
# From here on wrk is as busy as its core allows, and the rate is as much its own as the server's.
_CLIENT_BUSY = 0.9


class Goal(NamedTuple):
    """`own` costs a request so many times what `other` does; or, for a rate, the other way round."""

    what: str
    own: Case
    other: Case
    at_most: float | None = None
    at_least: float | None = None


def goals() -> list[Goal]:
    unit = Case(UNIT, 1)
    found = []
    for name in _FAST:
        case, title = Case(name, FEW), SERVERS[name].title
        found += [
            Goal(f"{title}: rate, of {SERVERS[other.name].title}", case, other, at_least=least)
            for other, least in (
                (unit, IN_UNITS),
                (Case("wiremock", FEW), OF_WIREMOCK),
                (Case("mockserver", FEW), OF_MOCKSERVER),
            )
        ]
    for name, server in SERVERS.items():
        if server.ours and server.many:
            what = f"{server.title}: cost with {MANY:,} rules, of one"
            found.append(Goal(what, Case(name, MANY), Case(name, FEW), at_most=MANY_OF_ONE))
    what = f"mockware proxy: cost, of {SERVERS[PROXY_UNIT].title}"
    found.append(Goal(what, Case("mockware-proxy", FEW), Case(PROXY_UNIT, 1), at_most=OF_HTTP_PROXY))
    return found


def tables(report: Report, results: Results) -> None:
    servers = {case: result for case, result in results.items() if not case.server.proxy}
    proxies = {case: result for case, result in results.items() if case.server.proxy}
    how = f"one worker on one core, {CONNECTIONS} connections"
    if servers:
        columns = "server | stubs | CPU us | least | requests/s | failed | memory, MiB | kept | x uvicorn"
        report.table(f"Servers ({how})", columns, _rows(servers, results.get(Case(UNIT, 1))))
    if proxies:
        columns = "proxy | rules | CPU us | least | requests/s | failed | memory, MiB | kept | x http-proxy"
        rows = _rows(proxies, results.get(Case(PROXY_UNIT, 1)), cost=True)
        report.table(f"Reverse proxies before nginx ({how})", columns, rows)
    report.note(
        "CPU us: user and system time of all processes of the server for a request, and requests/s: the"
        " medians of the rounds. least: the CPU us of the best round.\n"
        "x uvicorn: requests per CPU second, where the raw ASGI app on uvicorn is 1.\n"
        "x http-proxy: CPU time for a request, where npm's http-proxy is 1.\n"
        "failed: answers of 400 and more, and broken connections. kept: the server keeps connections.\n"
        "~: the load was as busy as its core allows, and the server could have done more."
    )


def _rows(shown: Results, unit: Result | None, *, cost: bool = False) -> list[list[str]]:
    rows = []
    for (name, number), result in shown.items():
        server = SERVERS[name]
        busy = "~" * (result.client_us * result.per_s / 1e6 > _CLIENT_BUSY)
        ratio = "-"
        if unit is not None:
            ratio = figures(result.times(unit) if cost else 1 / result.times(unit))
        rows.append(
            [
                *(server.title, f"{number:,}" if server.many else "-"),
                *(
                    f"{result.cpu_us:.1f}",
                    f"{result.least_cpu_us:.1f}",
                    f"{busy}{result.per_s:.0f}",
                    str(result.failed),
                ),
                *(f"{result.memory_mib:.0f}", "yes" if result.keeps_connections else "NO", ratio),
            ]
        )
    return rows


def figures(ratio: float, digits: int = 3) -> str:
    """With more digits where it takes them to be no zero."""
    while 0 < ratio < 10**-digits * 5 and digits < 6:
        digits += 1
    return f"{ratio:.{digits}f}"


def judge(report: Report, results: Results) -> None:
    rows: list[Sequence[str]] = []
    for goal in goals():
        own, other = results.get(goal.own), results.get(goal.other)
        if own is None or other is None:
            rows.append([goal.what, "not measured"])
            continue
        ratio = own.times(other) if goal.at_most is not None else 1 / own.times(other)
        cells = report.judge(goal.what, ratio, at_most=goal.at_most, at_least=goal.at_least)
        rows.append([goal.what, *cells])
    report.table("Goals", "what | ratio | goal | holds", rows)
