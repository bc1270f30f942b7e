"""One middleware around another: what the outer one has looked at, the inner one is told of.

So is an app that answers with mocks of its own, which say what the mocks of the rules in front of it say.

Law: nothing is written on the request itself, which reaches the app as it came. The word is passed on
beside it, for as long as the app has the request, and only where the outer one had to look at more than
the path; so wrapping twice neither waits twice nor draws twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Snapshot

_looked_at: ContextVar[tuple[object, Any] | None] = ContextVar("mockware.looked_at", default=None)


class OwnMocks:
    """An app that answers with mocks of its own."""

    def adopt(self, snapshot: Snapshot) -> None:
        """What stands beside its mocks, and who takes them down, is said by this snapshot from now on."""
        raise TypeError(f"{type(self).__name__} does not say how")


@contextmanager
def let_through(mark: object, by: Any) -> Iterator[None]:
    """Around the app, for a request that was let through `by` a snapshot.

    `mark` is an object that belongs to the request alone, and that frameworks hand on as it is.
    """
    token = _looked_at.set((mark, by))
    try:
        yield
    finally:
        _looked_at.reset(token)


def let_through_by(mark: object) -> Any:
    """The snapshot by which the request with this `mark` was let through, or None."""
    found = _looked_at.get()
    return None if found is None or mark is None or found[0] is not mark else found[1]
