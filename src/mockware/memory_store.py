"""Counts and records in this process's memory: what every installation starts with, and others fall back on.

Law: a count takes about a microsecond and waits for nothing but another question. Whoever invents callers or
tasks cannot make it grow: there are bounds. The counter that was not looked at for longest goes first, and
the record whose time is over, or else the one that was written first.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Sequence

from .counters import COUNTER_TTL_S, Count, Counter
from .questions import Record, refuse_long

# A counter weighs 270 bytes, measured: 27 MB at the most, which a worker of the smallest container (256 MB)
# can spare, and more callers than a day of manual and automated tests has. nginx's examples of limit_req
# give 10 MB to 160,000 addresses.
MAX_COUNTERS = 100_000
# A record on a shelf weighs 360 bytes, measured, beside the bytes of its value: 36 MB at the most. To write
# another when so many are there takes a tenth of a millisecond.
MAX_RECORDS = 100_000
# The values of all records: together with the rest, half of the same container.
MAX_RECORDS_BYTES = 64 * 1024 * 1024

_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()


class _Entry:
    __slots__ = ("count", "expires_at")

    def __init__(self, count: int, expires_at: float) -> None:
        self.count = count
        self.expires_at = expires_at


class _Kept:
    __slots__ = ("expires_at", "shelf", "value")

    def __init__(self, value: bytes, expires_at: float, shelf: str) -> None:
        self.value = value
        self.expires_at = expires_at
        self.shelf = shelf


class MemoryStore:
    """What only this process sees. `clock` gives seconds that never need to mean a date."""

    threads = 0
    name = "memory:"

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # The least recently looked at stand first, so that they are the first to expire too.
        self._counts: OrderedDict[str, _Entry] = OrderedDict()
        # In the order in which they were written; what follows is sorted.
        self._records: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._ends: list[tuple[float, str]] = []
        self._shelves: dict[str, list[str]] = {}
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

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        """Writes in order, until one that is `only_new` is there already; gives what was there before.

        Raises ValueError for a record that is too long.
        """
        refuse_long(records)
        befores: list[bytes | None] = [None] * len(records)
        with self._lock:
            now = self._clock()
            for at, record in enumerate(records):
                kept = self._living(record.key, now)
                if kept is not None:
                    befores[at] = kept.value
                    if record.only_new:
                        break
                self._take_away(record.key)
                if record.value is not None:
                    self._keep(record.key, _Kept(record.value, now + record.ttl_s, record.shelf), now)
        return tuple(befores)

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        """The values under these keys, None where there is none or its time is over."""
        with self._lock:
            now = self._clock()
            found = [self._living(key, now) for key in keys]
        return tuple(None if kept is None else kept.value for kept in found)

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """The keys and values on `shelf` whose keys are greater than `after`, in order, at most `limit`."""
        with self._lock:
            now = self._clock()
            keys = self._shelves.get(shelf, [])
            found: list[tuple[str, bytes]] = []
            for at in range(bisect_right(keys, after), len(keys)):
                if len(found) >= limit:
                    break
                if (kept := self._living(keys[at], now)) is not None:
                    found.append((keys[at], kept.value))
            return tuple(found)

    def note_record(self, key: str, value: bytes | None) -> None:
        """Takes over what another store has under `key`, on whatever shelf and for how long is not known."""
        with self._lock:
            now = self._clock()
            kept = self._living(key, now)
            if kept is not None and kept.value == value:
                return
            self._take_away(key)
            if value is not None:
                self._keep(
                    key, _Kept(value, now + COUNTER_TTL_S, kept.shelf if kept is not None else ""), now
                )

    def close(self) -> None:
        """Has nothing to let go of, and keeps what it has."""

    def _add(self, key: str, count: int, now: float) -> None:
        counts = self._counts
        counts[key] = _Entry(count, now + COUNTER_TTL_S)
        # One comes in, and up to two go out: so the expired ones are gone long before the bound is reached.
        for _ in range(2):
            oldest = next(iter(counts))
            if len(counts) <= MAX_COUNTERS and counts[oldest].expires_at > now:
                return
            del counts[oldest]

    def _living(self, key: str, now: float) -> _Kept | None:
        kept = self._records.get(key)
        return kept if kept is not None and kept.expires_at > now else None

    def _keep(self, key: str, kept: _Kept, now: float) -> None:
        self._records[key] = kept
        self._bytes += len(kept.value)
        insort(self._ends, (kept.expires_at, key))
        if kept.shelf:
            insort(self._shelves.setdefault(kept.shelf, []), key)
        for _ in range(2):  # as with counters
            expires_at, first = self._ends[0]
            if expires_at > now:
                break
            self._take_away(first)
        while len(self._records) > MAX_RECORDS or self._bytes > MAX_RECORDS_BYTES:
            self._take_away(next(iter(self._records)))

    def _take_away(self, key: str) -> None:
        kept = self._records.pop(key, None)
        if kept is None:
            return
        self._bytes -= len(kept.value)
        del self._ends[bisect_left(self._ends, (kept.expires_at, key))]
        if kept.shelf:
            keys = self._shelves[kept.shelf]
            del keys[bisect_left(keys, key)]
            if not keys:
                del self._shelves[kept.shelf]

    def _forget_other_threads(self) -> None:
        if not self._lock.locked():
            return
        self._lock = threading.Lock()
        self._bytes = sum(len(kept.value) for kept in self._records.values())
        self._ends = sorted((kept.expires_at, key) for key, kept in self._records.items())
        self._shelves = {}
        for key in sorted(self._records):
            if shelf := self._records[key].shelf:
                self._shelves.setdefault(shelf, []).append(key)


def _after_fork_in_child() -> None:
    # Another thread may have held the lock when the process was copied, and is not there to release it.
    # Every step of a count leaves the table in order, and so does every step of a writing that of the
    # records, so that the copy of each is good wherever it was; what is derived from the records may not be.
    for store in list(_stores):
        store._forget_other_threads()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork either
    os.register_at_fork(after_in_child=_after_fork_in_child)
