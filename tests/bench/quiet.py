"""Tells the moments in which a shared machine was quiet from those in which other work slowed it down.

Law: before and after whatever is measured, a fixed piece of work is timed; the moment was quiet if both
took about as little as they ever do. Nothing is corrected by it: what was not quiet is left out.
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")

# Nanoseconds of the fixed work before and after.
Moment = tuple[int, int]

# How much slower than at its best the fixed work may be. Other work on the core makes it 1.7 times as slow.
_LIMIT = 1.2
_TEXT = b" ".join(b"%d" % number for number in range(60))

# The least that were ever seen, in order. The last of them stands for the machine at its best, because
# the clock of a virtual machine sometimes says far too little.
_least: list[int] = []
_LEAST = 30


def fixed_work() -> int:
    """How long the same work takes now: objects made, hashed and dropped, as in a request."""
    took = min(_once(), _once())  # twice, since who has just slept finds cold caches
    if len(_least) < _LEAST or took < _least[-1]:
        insort(_least, took)
        del _least[_LEAST:]
    return took


def _once() -> int:
    begin = time.thread_time_ns()
    for _ in range(4):
        words = iter(_TEXT.split())
        dict(zip(words, words, strict=True))
    return time.thread_time_ns() - begin


def quiet_ones(measured: Iterable[tuple[Moment, T]]) -> list[T]:
    """What was measured in quiet moments."""
    limit = _least[-1] * _LIMIT
    return [value for moment, value in measured if max(moment) <= limit]
