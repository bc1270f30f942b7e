"""Several replies in turn: which one it is, when so many have been given.

Law: a pure function of a count. Whose count it is, and where it is kept, is not looked at here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence as Steps
from itertools import accumulate
from typing import Literal, NamedTuple

Then = Literal["last", "loop", "passthrough"]


class Sequence(NamedTuple):
    """A sequence of steps; step `i` lasts until `ends[i]` replies have been given in all."""

    ends: Steps[int]
    then: Then

    @classmethod
    def of(cls, times: Steps[int], then: Then) -> Sequence:
        """The sequence whose steps are given so many `times` each."""
        return cls(tuple(accumulate(times)), then)

    @property
    def changes(self) -> bool:
        """Whether it matters how many replies have been given."""
        return len(self.ends) > 1 or self.then == "passthrough"

    def step(self, before: int) -> int | None:
        """The place of the step that comes after `before` replies; None: the app is asked."""
        if before >= self.ends[-1]:
            if self.then == "last":
                return len(self.ends) - 1
            if self.then == "passthrough":
                return None
            before %= self.ends[-1]
        return bisect_right(self.ends, before)
