"""What a store is owed that was away while something was written.

Law: the newest of it, within bounds, in the order in which it was written; and whole writings, so that what
must not follow something that was there already does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from .questions import Record

# What is kept for a primary that is away, the newest of it: what testers wrote in some minutes, by hand or in
# a run, and what takes half a second to write (0.5 ms each, and 0.13 s of a network of 1 Gbit/s).
MAX_OWED_RECORDS = 1000
MAX_OWED_BYTES = 16 * 1024 * 1024


def written(records: Sequence[Record], befores: Sequence[bytes | None]) -> Sequence[Record]:
    """What a writing of these records wrote, which had `befores` for an answer."""
    for at, (record, before) in enumerate(zip(records, befores, strict=True)):
        if record.only_new and before is not None:
            return records[:at]
    return records


class Owed:
    """Writings, and when each was; `lost` is how many records were given up."""

    def __init__(self) -> None:
        self.lost = 0
        self._writings: deque[tuple[float, Sequence[Record]]] = deque()
        self._records = self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._writings)

    def add(self, records: Sequence[Record], now_s: float) -> None:
        """Adds a writing, and gives up the oldest ones beyond the bounds."""
        if records:
            self._writings.append((now_s, records))
            self._weigh(records, 1)
            while self._records > MAX_OWED_RECORDS or self._bytes > MAX_OWED_BYTES:
                self.lost += len(self.pop()[1])

    def pop(self) -> tuple[float, Sequence[Record]]:
        """Takes out the oldest writing, and when it was."""
        writing = self._writings.popleft()
        self._weigh(writing[1], -1)
        return writing

    def put_back(self, writing: tuple[float, Sequence[Record]]) -> None:
        """Puts in again what was the oldest."""
        self._writings.appendleft(writing)
        self._weigh(writing[1], 1)

    def _weigh(self, records: Sequence[Record], sign: int) -> None:
        self._records += sign * len(records)
        self._bytes += sign * sum(len(record.value or b"") for record in records)
