"""Machine instructions per call, by valgrind: what no other work on the machine can change.

Law: a child runs every case N and then 2N times, and the difference is N calls. Between the runs it
calls `getppid`, which nothing else does: valgrind writes its count and starts at zero there. So the
interpreter starts and the rules are compiled only once. Hashes are the same in every run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from . import mocked, passthrough
from .report import Report
from .rule_sets import mixed
from .rules_files import toml, wrapped
from .timing import Loop
from .traffic import Message

_CALLS = 200
_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def cases(side: mocked.Side) -> Mapping[str, Loop]:
    """The cases of one side: passthrough, then mocked replies, then 10,000 rules."""
    of_asgi = side.name == "ASGI"
    found = dict(passthrough.asgi_loops() if of_asgi else passthrough.wsgi_loops())
    mock, many = wrapped(side.bare, toml(["/reports"])), wrapped(side.bare, toml(mixed()))
    for label, message in mocked.MESSAGES.items():
        twin = side.twin_of(mock, message)
        found[f"{label}: harness"] = side.loop(side.nothing, message)
        found[f"{label}: bare twin"] = side.loop(twin, message)
        found[f"{label}: floor"] = side.loop(side.floor(side.bare, twin), message)
        found[f"{label}: mockware"] = side.loop(mock, message)
    for path in ("/shop/v2/cart/7", "/api/v1/other/7", "/api/v1/res2500", "/api/v1/res2500/42"):
        found[f"10,000 rules: {path}"] = side.loop(many, Message(path))
    return found


def run(report: Report, *, quick: bool) -> None:
    if shutil.which("valgrind") is None:
        report.note("No valgrind on PATH: instructions were not counted.")
        return
    for side in mocked.SIDES:
        counts = _count(side.name)
        rows = [_row(report, side.name, name, counts) for name in counts]
        columns = "case | instructions | above | of | ratio | goal | holds"
        report.table(f"Instructions a call, {side.name}", columns, rows)


def _row(report: Report, side: str, name: str, counts: Mapping[str, int]) -> list[str]:
    case, _, part = name.partition(": ")
    what = f"instructions {side}: {name}"
    if part == "mockware":
        twin, harness = counts[f"{case}: bare twin"], counts[f"{case}: harness"]
        cells = [name, f"{counts[name]}", f"{counts[name] - harness:+}", "harness"]
        return [*cells, *report.judge(what, counts[name] / twin, at_most=mocked.GOAL)]
    bare = counts[passthrough.BARE]
    cells = [name, f"{counts[name]}", f"{counts[name] - bare:+}", "bare app"]
    if name not in passthrough.FLOORS[side]:
        return cells
    floor = counts[passthrough.FLOORS[side][name]] - bare
    return [*cells, *report.judge(what, (counts[name] - bare) / floor, at_most=passthrough.GOAL)]


def _count(side: str) -> dict[str, int]:
    with TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        command = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}"]
        command += [sys.executable, "-m", "tests.bench.instructions", side]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"valgrind failed:\n{done.stderr[-2000:]}")
        dumps = sorted(Path(folder).glob("callgrind.out.*"), key=lambda path: int(path.suffix[1:]))
        # The first dump is the start of it all; then come the two runs of each case.
        totals = [int(_TOTALS.findall(path.read_text())[-1]) for path in dumps][1:]
        names = done.stdout.split("\n")[:-1]
        return {name: round((totals[2 * i + 1] - totals[2 * i]) / _CALLS) for i, name in enumerate(names)}


def _child(name: str) -> None:
    found = cases(next(side for side in mocked.SIDES if side.name == name))
    for loop in found.values():
        loop(_CALLS)
    os.getppid()
    for case, loop in found.items():
        loop(_CALLS)
        os.getppid()
        loop(2 * _CALLS)
        os.getppid()
        print(case, flush=True)


if __name__ == "__main__":
    _child(sys.argv[1])
