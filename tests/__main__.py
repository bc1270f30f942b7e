"""The test command: `python3 tests`. It needs a Python and nothing else.

Law: what is tested is what users install. The wheel is built, installed into a fresh virtual environment
for each Python, and the tests run against it: `src` is on nobody's path, so that a file or a dependency
that the wheel lacks shows. Nothing but the standard library is imported here.

    python3 tests                                   this Python: ruff, mypy, all tests, benchmark in short
    python3 tests --on python3.12 python3.13        these in turn, and less on those between
    python3 tests -- -k parity -x                   the rest goes to pytest
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Run on the first Python only, side by side with all others: they start programs in other languages and a
# browser, install what of those is missing, and see what does not depend on the Python that runs them.
ONCE = [
    *("tests/test_browsers.py", "tests/test_control_page.py", "tests/test_guides.py"),
    *("tests/test_interop.py", "tests/test_readme.py", "tests/test_reference_page.py"),
    *("tests/test_snippets_running.py", "tests/test_soak.py", "tests/test_suite.py"),
]
# Run on the first and the last Python, and not on those between: each starts servers for all that it asks,
# which takes minutes. `test_servers.py`, which sees whether each server recognises us, is run on all.
AT_BOTH_ENDS = [
    *("tests/test_baggage_chain.py", "tests/test_examples.py", "tests/test_exchange.py"),
    *("tests/test_proxying.py", "tests/test_relay.py", "tests/test_running.py", "tests/test_serving.py"),
    *("tests/test_servers_bodies.py", "tests/test_servers_control.py", "tests/test_servers_faults.py"),
    *("tests/test_servers_http2.py", "tests/test_servers_live.py", "tests/test_servers_passthrough.py"),
    *("tests/test_servers_patches.py", "tests/test_servers_setup.py", "tests/test_servers_websockets.py"),
    *("tests/test_shared_counts.py", "tests/test_shared_tasks.py", "tests/test_store_failures.py"),
    *("tests/test_task_clients.py", "tests/test_task_webhooks.py"),
]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 tests", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--on", nargs="+", default=[sys.executable], metavar="PYTHON", help="the Pythons")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENTS", help="arguments for pytest")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mockware-tests-") as folder:
        work = Path(folder)
        if not run("build", build_steps(arguments.on[0], work), work / "build.log"):
            return 1
        (wheel,) = (work / "wheel").glob("*.whl")

        def test(number: int, python: str) -> bool:
            first, last = number == 0, number == len(arguments.on) - 1
            left_out = [*([] if first else ONCE), *([] if first or last else AT_BOTH_ENDS)]
            where = work / f"python-{number}"
            steps = test_steps(python, where, wheel, arguments.pytest, first=first, left_out=left_out)
            return run(python, steps, work / f"{number}.log")

        # Each uses all cores by itself; side by side they would only make each other's time-outs more likely.
        passed = [test(number, python) for number, python in enumerate(arguments.on)]
    return 0 if all(passed) else 1


def build_steps(python: str, work: Path) -> list[list[str]]:
    here = str(work / "build/bin/python")
    return [
        [python, "-m", "venv", str(work / "build")],
        [here, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(work / "wheel"), str(ROOT)],
    ]


def test_steps(
    python: str, environment: Path, wheel: Path, pytest: list[str], *, first: bool, left_out: list[str]
) -> list[list[str]]:
    here = str(environment / "bin/python")
    steps = [
        [python, "-m", "venv", str(environment)],
        [here, "-m", "pip", "install", "-q", f"mockware[dev] @ {wheel.as_uri()}"],
    ]
    if first:  # once: the answer is the same on every Python
        steps += [
            [here, "-m", "ruff", "check", "."],
            [here, "-m", "ruff", "format", "--check", "."],
            [here, "-m", "mypy"],
        ]
    ignored = [f"--ignore={ROOT / name}" for name in left_out]
    steps.append([here, "-m", "tests.suite", *ignored, *pytest])
    if first and not pytest:
        steps.append([here, "-m", "tests.bench", "--quick"])  # it runs; how fast is nothing to fail for
        ours = "mockware-serve,mockware-status,mockware-granian,mockware-uvicorn"
        steps.append([here, "-m", "tests.bench.servers", "--quick", "--only", ours])
    return steps


def run(name: str, steps: list[list[str]], log: Path) -> bool:
    """Whether every step succeeded. What they print is shown together, when the last has ended."""
    started = time.monotonic()
    # Neither a path to the sources nor a toggle of the caller's shell may reach the tests.
    ours = ("MOCKWARE", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    passed = True
    with log.open("w+") as output:
        for step in steps:
            output.write(f"$ {' '.join(step)}\n")
            output.flush()
            done = subprocess.run(step, cwd=ROOT, env=environment, stdout=output, stderr=output, check=False)
            passed = done.returncode == 0
            if not passed:
                break
        output.seek(0)
        verdict = "passed" if passed else "FAILED"
        sys.stdout.write(f"{output.read()}== {name}: {verdict} after {time.monotonic() - started:.0f} s\n")
        sys.stdout.flush()
    return passed


if __name__ == "__main__":
    sys.exit(main())
