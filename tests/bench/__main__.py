"""`python -m tests.bench [--quick] [--only SECTION] [--strict]`: runs the sections and judges the goals."""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
from pathlib import Path

from .report import Report

SECTIONS = ("passthrough", "many_rules", "mocked", "wire", "loading", "counted", "instructions")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: minutes become seconds")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="this section (repeatable)")
    parser.add_argument("--strict", action="store_true", help="exit code 1 if a goal is missed")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    report = Report()
    # Counting instructions takes minutes, however few are counted.
    for section in options.only or (SECTIONS[:-1] if options.quick else SECTIONS):
        importlib.import_module(f".{section}", __package__).run(report, quick=options.quick)
    return int(not report.summary() and options.strict)


if __name__ == "__main__":
    sys.exit(main())
