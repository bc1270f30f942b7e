"""Takes the time of many cases so that their ratios can be trusted on a busy machine.

Law: thread CPU time only. The cases take turns in slices shorter than the scheduler's, in another order
each round. Rounds go on until each case has enough slices from quiet moments; its cost is what a tenth
of those stay below, which repeats to 2 % where the very least of them repeats to 10 %. All of that is done
several times over with loops built anew, because where objects happen to lie in memory moves a ratio by
a tenth: a ratio is the median of its builds, and has a range.
Nothing here knows what a case does.
"""

from __future__ import annotations

import gc
import random
import statistics
from collections.abc import Callable, Iterator, Mapping
from operator import sub
from typing import Any, NamedTuple

from .quiet import Moment, fixed_work, quiet_ones

# A loop makes `count` calls and returns the nanoseconds of thread CPU time that they took.
Loop = Callable[[int], int]
Build = Callable[[], Mapping[str, Loop]]

# Some hundred calls: short enough to find a quiet moment, and a thousand times what the clock costs.
_SLICE_NS = 300_000
# The interpreter specialises a call anew after some 50 misses (PEP 659); another case may have used the
# same code since this one's last slice.
_WARM_UP_CALLS = 130
# Where quiet does not come, a build takes so many times its rounds, and no more.
_PATIENCE = 15
# With fewer quiet slices than that, a build counts only if all are like it.
_ENOUGH = 10


class Cost(NamedTuple):
    """Nanoseconds per call: of the quiet slices, and the median of all. `sure`: there were enough."""

    quiet: float
    median: float
    sure: bool = True


class Figure(NamedTuple):
    """The median of the builds, and how far they are apart. A `?` says that the machine was never quiet."""

    value: float
    low: float
    high: float
    sure: bool

    def __str__(self) -> str:
        digits = 2 if max(abs(self.low), abs(self.high)) < 50 else 0
        return f"{self.low:.{digits}f} to {self.high:.{digits}f}" + " ?" * (not self.sure)


class Costs:
    """What each case cost in each build."""

    def __init__(self, builds: list[dict[str, Cost]]) -> None:
        self._builds = builds

    def __iter__(self) -> Iterator[str]:
        return iter(self._builds[0])

    def of(self, figure: Callable[..., float], *names: str) -> Figure:
        """`figure` of what these cases cost, from every build in which all of them had quiet enough."""
        quiet = [build for build in self._builds if all(build[name].sure for name in names)]
        values = [figure(*(build[name].quiet for name in names)) for build in quiet or self._builds]
        return Figure(statistics.median(values), min(values), max(values), bool(quiet))

    def quiet(self, name: str) -> float:
        return self.of(float, name).value

    def above(self, name: str, base: str) -> float:
        """How much dearer a case is than another."""
        return self.of(sub, name, base).value

    def median(self, name: str) -> float:
        """Of all slices, quiet or not."""
        return statistics.median(build[name].median for build in self._builds)


def measure(build: Build, *, rounds: int, builds: int = 5) -> Costs:
    """Every case's cost, from `rounds` quiet slices. The garbage collector waits: no case leaves cycles."""
    was_enabled = gc.isenabled()
    try:
        return Costs([_measure(build(), rounds) for _ in range(builds)])
    finally:
        if was_enabled:
            gc.enable()


def _measure(loops: Mapping[str, Loop], rounds: int) -> dict[str, Cost]:
    counts = {name: _calls_per_slice(loop) for name, loop in loops.items()}
    slices: dict[str, list[tuple[Moment, float]]] = {name: [] for name in loops}
    wanting = list(loops)
    gc.collect()
    gc.disable()
    for number in range(rounds * _PATIENCE):
        random.shuffle(wanting)
        before = fixed_work()
        for name in wanting:
            loop, count = loops[name], counts[name]
            loop(min(_WARM_UP_CALLS, count))
            cost = loop(count) / count
            after = fixed_work()
            slices[name].append(((before, after), cost))
            before = after
        if number % 10 == 9:
            wanting = [name for name in loops if len(quiet_ones(slices[name])) < rounds]
            if not wanting:
                break
    gc.enable()
    return {name: _cost(of_case) for name, of_case in slices.items()}


def _cost(slices: list[tuple[Moment, float]]) -> Cost:
    costs = [cost for _, cost in slices]
    quiet = sorted(quiet_ones(slices))
    sure = len(quiet) >= _ENOUGH
    if not sure:
        quiet = sorted(costs)
    return Cost(quiet[len(quiet) // 10], statistics.median(costs), sure)


def _calls_per_slice(loop: Loop) -> int:
    loop(20)
    per_call = min(loop(20) for _ in range(5)) / 20
    return max(5, round(_SLICE_NS / per_call))


def own_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy that shares no inline caches with the original: a server calls one app, not thirty."""
    copy: Any = function
    return type(copy)(  # type: ignore[no-any-return]
        copy.__code__.replace(), copy.__globals__, copy.__name__, copy.__defaults__, copy.__closure__
    )
