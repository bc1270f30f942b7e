"""Durations as people write them: `250ms`, `2s`, `1m`.

Law: a number without a unit is refused. It would be read as seconds by one and as milliseconds by the
other, and a delay that is a thousand times too long looks like a broken server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

# Longer than any client's patience, shorter than most proxies' (nginx and AWS load balancers give up
# after 60 s): a mock must not hold a connection until something else cuts it.
MAX_DELAY_S = 30.0

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}

DURATION_HINT = "a duration is a number and a unit: `250ms`, `2s` or `1m`"


def parse_duration(text: object) -> float:
    """The seconds that `text` stands for. Raises ValueError, with the reason, for anything else."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise ValueError(f"a bare number has no unit; write `{text}s` or `{text}ms`")
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(DURATION_HINT)
    return float(found[1]) * _SECONDS[found[2]]


def parse_delay(text: object, *, longest_s: float = MAX_DELAY_S) -> float:
    """A duration that somebody will wait for: at most `longest_s` seconds."""
    seconds = parse_duration(text)
    if seconds > longest_s:
        raise ValueError(f"a delay is at most {longest_s:g}s")
    return seconds


class Delay(NamedTuple):
    """How long a reply is held back: between `min_s` and `max_s` seconds, each as likely."""

    min_s: float = 0.0
    max_s: float = 0.0


def parse_rule_delay(declared: object) -> Delay:
    """`"2s"`, or `{ min = "1s", max = "2s" }`. Raises ValueError for anything else."""
    if declared is None:
        return Delay()
    if not isinstance(declared, Mapping):
        seconds = parse_delay(declared)
        return Delay(seconds, seconds)
    if set(declared) != {"min", "max"}:
        raise ValueError("expected a duration, or a table with `min` and `max`")
    low, high = parse_delay(declared["min"]), parse_delay(declared["max"])
    if low > high:
        raise ValueError("`min` is longer than `max`")
    return Delay(low, high)
