"""What is counted.

Law: a count is one question and one answer, however many rules stand in line for it, so that a request
costs one round trip at most. Keys say nothing about whoever is counted: they are hashed before they get here.
"""

from __future__ import annotations

from typing import NamedTuple

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
