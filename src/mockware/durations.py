"""Durations as people write them: `250ms`, `2s`, `1m`, `24h`.

Law: a number without a unit is refused. It would be read as seconds by one and as milliseconds by the
other, and a delay that is a thousand times too long looks like a broken server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import exp, log
from typing import NamedTuple

# Longer than any client's patience, shorter than most proxies' (nginx and AWS load balancers give up
# after 60 s): a mock must not hold a connection until something else cuts it.
MAX_DELAY_S = 30.0

# Two of three values within a factor of 150: wider is no distribution of times that anybody has measured.
MAX_SIGMA = 5.0
_LEAST = 2.0**-53  # half a step of the die

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DAYS = re.compile(r"([0-9]{1,6})d")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

DURATION_HINT = "a duration is a number and a unit: `250ms`, `2s`, `1m` or `24h`"


def parse_duration(text: object) -> float:
    """The seconds that `text` stands for. Raises ValueError, with the reason, for anything else."""
    is_number = isinstance(text, (int, float)) and not isinstance(text, bool)
    if is_number or (isinstance(text, str) and _NUMBER.fullmatch(text)):
        raise ValueError(f"a bare number has no unit; write `{text}s` or `{text}ms`")
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None and isinstance(text, str) and (days := _DAYS.fullmatch(text)):
        raise ValueError(f"`d` is no unit here; write `{24 * int(days[1])}h`")
    if found is None:
        raise ValueError(DURATION_HINT)
    return float(found[1]) * _SECONDS[found[2]]


def parse_delay(text: object, *, longest_s: float = MAX_DELAY_S) -> float:
    """A duration of at most `longest_s` seconds; by default, one that somebody will wait for."""
    seconds = parse_duration(text)
    if seconds > longest_s:
        raise ValueError(
            f"a delay is at most {longest_s:g}s"
            if longest_s <= MAX_DELAY_S
            else f"at most {longest_s / 3600:g}h"
        )
    return seconds


class Delay(NamedTuple):
    """How long something is held back: between `min_s` and `max_s` seconds, each as likely.

    With a `median_s` it is log-normal, as the times of real services are: `sigma` is the standard deviation
    of its logarithm (0.5: two of three within a factor of 1.6), and what would exceed `max_s` is not drawn.
    """

    min_s: float = 0.0
    max_s: float = 0.0
    median_s: float = 0.0
    sigma: float = 0.0

    def draw(self, chance: Callable[[], float]) -> float:
        """The seconds that `chance` (from 0, below 1) falls upon; it is asked only if there is a choice."""
        low, high, median, sigma = self
        if low == high:
            return low
        if not median:
            return low + (high - low) * chance()
        from statistics import NormalDist

        normal = NormalDist()
        # Only the part of the die below `max` is thrown, which is what drawing again until it fits comes to.
        below = chance() * normal.cdf(log(high / median) / sigma)
        # The distribution has no value at 0, the die's lowest.
        return min(high, median * exp(sigma * normal.inv_cdf(below or _LEAST)))

    def __bool__(self) -> bool:
        return self.max_s > 0

    def __str__(self) -> str:
        low, high, median, _ = self
        if median:
            return f"about {median:g} s, at most {high:g} s"
        return f"{low:g} to {high:g} s" if low < high else f"{high:g} s"


NO_DELAY = Delay()


def parse_rule_delay(declared: object, *, longest_s: float = MAX_DELAY_S) -> Delay:
    """`"2s"`, `{ min = "1s", max = "2s" }` or `{ median = "200ms", sigma = 0.5, max = "5s" }`.

    Each is at most `longest_s` seconds. Raises ValueError for anything else.
    """
    if declared is None:
        return NO_DELAY
    if not isinstance(declared, Mapping):
        seconds = parse_delay(declared, longest_s=longest_s)
        return Delay(seconds, seconds)
    keys = set(declared)
    if keys == {"min", "max"}:
        low, high = (
            parse_delay(declared["min"], longest_s=longest_s),
            parse_delay(declared["max"], longest_s=longest_s),
        )
        if low > high:
            raise ValueError("`min` is longer than `max`")
        return Delay(low, high)
    if not {"median", "sigma"} <= keys <= {"median", "sigma", "max"}:
        raise ValueError(
            "expected a duration, or a table with `min` and `max`, or with `median`, `sigma` and `max`"
        )
    median = parse_delay(declared["median"], longest_s=longest_s)
    longest = parse_delay(declared["max"], longest_s=longest_s) if "max" in declared else longest_s
    sigma = declared["sigma"]
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float)) or not 0 < sigma <= MAX_SIGMA:
        raise ValueError(f"`sigma` is a number above 0, at most {MAX_SIGMA:g}; 0.5 is common")
    if not 0 < median < longest:
        raise ValueError("`median` is above 0 and below `max`")
    return Delay(0.0, longest, median, float(sigma))
