"""Tables, and what is kept of every goal until the end.

Law: a goal stands beside the ratio that it is about, with a mark; nothing is rounded in its favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    what: str
    ratio: float
    goal: str
    holds: bool


class Report:
    """Prints tables as they come; `verdicts` has every goal that was looked at."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def judge(
        self, what: str, value: float, *, at_most: float | None = None, at_least: float | None = None
    ) -> list[str]:
        """The last three cells of a row: the value, its goal, and the mark."""
        holds = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
        goal = f"<= {at_most:g}" if at_most is not None else f">= {at_least:g}"
        self.verdicts.append(Verdict(what, value, goal, holds))
        return [f"{value:.3f}", goal, "yes" if holds else "NO"]

    def table(self, title: str, columns: str, rows: Sequence[Sequence[str]]) -> None:
        """`columns` are their names with ` | ` between them; a row may end early."""
        header = columns.split(" | ")
        cells = [header, *([*row, *[""] * (len(header) - len(row))] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
        print(f"\n### {title}\n")
        for number, row in enumerate(cells):
            padded = [row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]
            print("| " + " | ".join(padded) + " |")
            if number == 0:
                rules = ["-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
                print("|-" + "-|-".join(rules) + "-|", flush=True)

    def note(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def summary(self) -> bool:
        """Prints the goals that were missed; whether there is none."""
        missed = [verdict for verdict in self.verdicts if not verdict.holds]
        print(f"\n{len(self.verdicts) - len(missed)} of {len(self.verdicts)} goals hold.")
        for verdict in missed:
            print(f"  missed: {verdict.what}: {verdict.ratio:.3f}, goal {verdict.goal}")
        return not missed
