"""What is counted, and the face of whatever keeps the count.

Law: a count is one question and one answer, however many rules stand in line for it, so that a request
costs one round trip at most. Keys say nothing about whoever is counted: they are hashed before they get here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .messages import Decision

# A day: longer than a tester's break, shorter than what anybody remembers of a sequence. It starts anew with
# each request that asks for the counter, whether or not it still counts.
COUNTER_TTL_S = 24 * 60 * 60.0


class Counter(NamedTuple):
    """One counter. `key` is printable ASCII, at most 64 characters; at its `limit` it stands; None: never."""

    key: str
    limit: int | None = None


class Count(NamedTuple):
    """What was counted: the place `at` of the counter in the question, and its count `before` this one."""

    at: int
    before: int


class CountNeeded(NamedTuple):
    """What becomes of a request hangs on a count: ask a store with `counters`, then settle it."""

    counters: tuple[Counter, ...]
    settle: Callable[[Count | None], Decision]


class Store(Protocol):
    """Where counts are kept, exactly, whoever asks at the same time: threads, processes or hosts.

    `threads` says how many threads at once are of use in `count`; 0 means that it never waits for anything.
    `name` is for the log, and has no secret in it.
    """

    threads: int
    name: str

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is.

        Every counter that was looked at lives on for `COUNTER_TTL_S`. Raises StoreError.
        """

    def close(self) -> None:
        """Lets go of files and connections; a count after that opens them again."""
