"""What a store is asked, and the face of whatever answers: it counts, and it keeps records.

Law: a question is one round trip and has one answer, however many counters or records it is about, so that
a request costs as few round trips as it has questions. Keys say nothing about whoever is meant: what comes
from a request is hashed before it gets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias

from .counters import Count, Counter

# A response of 1 MiB with its fields, which is the longest thing that is kept.
MAX_RECORD_BYTES = 1024 * 1024 + 128 * 1024


class Record(NamedTuple):
    """Something to keep under `key` for `ttl_s` seconds; `value` None takes away what is there.

    A key is printable ASCII without blanks, at most 120 characters; one that is counted is another, whatever
    it is called. One that is `only_new` is not written where there is a value already, and neither is
    anything that follows it in the same writing. On a `shelf`, records are found again without their keys, in
    the order of these; whoever writes a key again, or takes it away, names the same shelf.
    """

    key: str
    value: bytes | None
    ttl_s: float
    only_new: bool = False
    shelf: str = ""


def refuse_long(records: Sequence[Record]) -> None:
    """Raises ValueError for a record longer than `MAX_RECORD_BYTES`: whoever writes one has a bug."""
    for record in records:
        if record.value is not None and len(record.value) > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {len(record.value)} bytes; allowed: {MAX_RECORD_BYTES}")


class Counting(NamedTuple):
    """Count once, in the first of these that is below its limit."""

    counters: tuple[Counter, ...]

    def put_to(self, store: Store) -> Count | None:
        return store.count(self.counters)


class Writing(NamedTuple):
    """Write these records, all or none; the answer is what was there before, None for nothing."""

    records: tuple[Record, ...]

    def put_to(self, store: Store) -> tuple[bytes | None, ...]:
        return store.write(self.records)


class Reading(NamedTuple):
    """Read the records with these keys; None for what is not there."""

    keys: tuple[str, ...]

    def put_to(self, store: Store) -> tuple[bytes | None, ...]:
        return store.read(self.keys)


class Listing(NamedTuple):
    """Up to `limit` records of a shelf, with their keys, from the first key that is greater than `after`."""

    shelf: str
    after: str
    limit: int

    def put_to(self, store: Store) -> tuple[tuple[str, bytes], ...]:
        return store.list(self.shelf, self.after, self.limit)


Question: TypeAlias = Counting | Writing | Reading | Listing


class Store(Protocol):
    """Where counts and records are kept, exactly, whoever asks at the same time: threads, processes or hosts.

    `threads` says how many threads at once are of use; 0 means that no answer ever has to be waited for.
    `name` is for the log, and has no secret in it. Every question may raise StoreError.
    """

    threads: int
    name: str

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is.

        Every counter that was looked at lives on for `COUNTER_TTL_S`.
        """

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        """Writes the records in order, at once, and gives what was there under the key of each before.

        At one that is `only_new` and is there already, the writing ends: of those that follow it nothing is
        written, nor looked at (None).
        """

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        """The values under these keys, None where there is none or its time is over."""

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """The keys and values on `shelf` whose keys are greater than `after`, in order, at most `limit`."""

    def close(self) -> None:
        """Lets go of files and connections; a question after that opens them again."""
