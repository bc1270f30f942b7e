"""`python -m tests.bench.servers`: measures, prints the tables and the goals, draws the picture."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ..report import Report
from . import chart, judging, versions
from .measuring import Case, Plan, measure
from .table import PROXY_UNIT, SERVERS, UNIT

STUBS = (1, 100, 10_000)


def main() -> int:
    options = _options()
    for name in [name for name in os.environ if name.startswith("MOCKWARE")]:
        del os.environ[name]
    counts = options.stubs or ((1,) if options.quick else STUBS)
    cases = _cases(options.only or list(SERVERS), counts)
    plan = Plan(
        rounds=options.rounds or (1 if options.quick else 7),
        burst_s=1 if options.quick else options.seconds,
        full=not options.quick,
        cores=_cores(),
    )
    report = Report()
    cache = versions.Cache(options.cache)
    report.note(versions.found())
    report.note(
        f"{len(cases)} servers on core {plan.cores[0]}, load on core {plan.cores[1]}:"
        f" {plan.rounds} rounds of {plan.burst_s} s each."
    )
    with TemporaryDirectory(prefix="mockware-bench-") as folder:
        # nginx' worker is another user, and has to get at its own files.
        Path(folder).chmod(0o755)
        results, failures = measure(cases, plan, cache, Path(folder))
    judging.tables(report, results)
    judging.judge(report, results)
    if options.svg:
        options.svg.write_text(chart.draw(results), "utf-8")
        report.note(f"{options.svg} is the picture.")
    for case, why in failures.items():
        report.note(f"NOT MEASURED: {case.title}: {why}")
    good = report.summary()
    return int(bool(failures) or (options.strict and not good))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.servers",
        description="mockware beside other mock servers, frameworks and proxies, in one run on two cores. "
        "The others are installed into the cache folder, at fixed versions, when they are first run; those "
        "that are asked for need wrk, nginx, Node.js, Java and Maven from Debian.",
        epilog=f"NAME is one of: {', '.join(SERVERS)}.",
    )
    parser.add_argument("--quick", action="store_true", help="one round of a second, one stub: does it run?")
    parser.add_argument(
        "--only", type=_names, metavar="NAME,...", help="these servers, and those that they are held against"
    )
    parser.add_argument("--stubs", type=_counts, metavar="N,...", help="so many stubs (default 1,100,10000)")
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="how often each has its turn (default 7)"
    )
    parser.add_argument("--seconds", type=_positive, default=2, metavar="N", help="of a turn (default 2)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="where to draw the picture")
    parser.add_argument(
        "--cache", type=Path, default=versions.default_cache(), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    return parser.parse_args()


def _cases(names: list[str], counts: tuple[int, ...]) -> list[Case]:
    wanted = {*names, UNIT}
    if any(SERVERS[name].proxy for name in names):
        wanted.add(PROXY_UNIT)
    return [
        Case(name, count)
        for name, server in SERVERS.items()
        if name in wanted
        for count in (counts if server.many else (1,))
    ]


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("the server and the load need a core each, and there is one")
    return cores[0], cores[1]


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SERVERS]:
        raise argparse.ArgumentTypeError(
            f"no such server: {', '.join(unknown)}; there are: {', '.join(SERVERS)}"
        )
    return names


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def _counts(text: str) -> tuple[int, ...]:
    return tuple(map(_positive, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
