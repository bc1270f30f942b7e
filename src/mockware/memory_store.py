"""Counts in this process's memory: what every installation starts with, and what others fall back on.

Law: a count takes about a microsecond and waits for nothing but another count. Whoever invents callers
cannot make it grow: there is a bound, and the counter that was not looked at for longest goes first.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence

from .counters import COUNTER_TTL_S, Count, Counter

# A counter weighs 270 bytes, measured: 27 MB at the most, which a worker of the smallest container (256 MB)
# can spare, and more callers than a day of manual and automated tests has. nginx's examples of limit_req
# give 10 MB to 160,000 addresses.
MAX_COUNTERS = 100_000

_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


class _Entry:
    __slots__ = ("count", "expires_at")

    def __init__(self, count: int, expires_at: float) -> None:
        self.count = count
        self.expires_at = expires_at


class MemoryStore:
    """Counts that only this process sees. `clock` gives seconds that never need to mean a date."""

    threads = 0
    name = "memory:"

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # The least recently looked at stand first, so that they are the first to expire too.
        self._counts: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        _stores.add(self)

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is."""
        counts = self._counts
        with self._lock:
            now = self._clock()
            for at, (key, limit) in enumerate(counters):
                entry = counts.get(key)
                if entry is None:
                    if limit is None or limit > 0:
                        self._add(key, 1, now)
                        return Count(at, 0)
                    continue
                if entry.expires_at <= now:
                    entry.count = 0
                entry.expires_at = now + COUNTER_TTL_S
                counts.move_to_end(key)
                before = entry.count
                if limit is None or before < limit:
                    entry.count = before + 1
                    return Count(at, before)
        return None

    def note(self, counter_key: str, count: int) -> None:
        """Takes over a count that another store has."""
        with self._lock:
            self._counts.pop(counter_key, None)
            self._add(counter_key, count, self._clock())

    def close(self) -> None:
        """Has nothing to let go of, and keeps its counts."""

    def _add(self, key: str, count: int, now: float) -> None:
        counts = self._counts
        counts[key] = _Entry(count, now + COUNTER_TTL_S)
        # One comes in, and up to two go out: so the expired ones are gone long before the bound is reached.
        for _ in range(2):
            oldest = next(iter(counts))
            if len(counts) <= MAX_COUNTERS and counts[oldest].expires_at > now:
                return
            del counts[oldest]

    def _forget_other_threads(self) -> None:
        self._lock = threading.Lock()


def _after_fork_in_child() -> None:
    # Another thread may have held the lock when the process was copied, and is not there to release it.
    # Every step of a count leaves the table in order, so that the copy is good wherever it was.
    for store in list(_stores):
        store._forget_other_threads()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)
