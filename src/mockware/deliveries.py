"""Webhooks that are still to be delivered, as the store keeps them: whose they are, and which are over.

Law: whoever sends holds the lease, and what has come to its end is marked as done in the writing that takes
it off the shelf. So of those who share a store no two are at the same delivery, and none begins with one that
is over. Nothing is sent here, and nobody waited for but the store.
"""

from __future__ import annotations

from collections.abc import Collection
from secrets import token_bytes
from typing import NamedTuple

from .questions import Record, Store

# An attempt takes up to 10 s, and waits for the store before and after: whoever has not come back after
# this long is gone.
LEASE_S = 30.0
# Nobody else looks at a delivery before, unless its own process is far behind.
OVERDUE_S = 5.0
# For those who have listed a delivery and not begun with it yet, a process that was stopped among them.
DONE_TTL_S = 3600.0
# Of ten thousand that others are trying again, a look has gone past all within ten, and takes a few
# milliseconds.
_PAGE, _MAX_PAGES = 100, 10

_SHELF = "webhooks"
_RECORD, _LEASE, _DONE = "webhook:", "webhook-lease:", "webhook-done:"


class Delivery(NamedTuple):
    """One message that is due at `due_at` (s); `value` is for whoever composes it.

    A key is printable ASCII without blanks, of at most 100 characters, and begins as `at` has it.
    """

    key: str
    due_at: float
    value: bytes

    @classmethod
    def at(cls, due_at: float, name: str, value: bytes) -> Delivery:
        """One with a key that sorts by time; `name` tells it from others of the same millisecond."""
        return cls(f"{max(0, int(due_at * 1000)):013d}.{name}", due_at, value)

    def record(self, ttl_s: float) -> Record:
        """What keeps it in the store, where other processes find it."""
        return Record(_RECORD + self.key, self.value, ttl_s, shelf=_SHELF)

    @property
    def withdrawn(self) -> Record:
        """What takes it out of the store again."""
        return self.record(0.0)._replace(value=None)

    @classmethod
    def from_record(cls, key: str, value: bytes) -> Delivery:
        """What `record` made, to the millisecond. Raises ValueError for a key of another kind."""
        key = key.removeprefix(_RECORD)
        return cls(key, int(key.partition(".")[0]) / 1000, value)


class Desk:
    """One process's view of them. Whatever it asks of the store may raise what the store raises."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._token = token_bytes(8)
        self._after = ""

    def claims(self, delivery: Delivery, *, held: bool) -> bool:
        """Whether the lease is ours. One that was `held` is written anew without asking.

        That is no risk: it outlasts a pause by `LEASE_S`. If it was taken over all the same, nobody goes on.
        """
        lease = Record(_LEASE + delivery.key, self._token, LEASE_S, only_new=not held)
        (before,) = self._store.write((lease,))
        return before is None or (held and before == self._token)

    def is_open(self, delivery: Delivery) -> bool:
        """Whether it is not over yet, to be asked by whoever has its lease: the last one may have sent it."""
        return self._store.read((_DONE + delivery.key,)) == (None,)

    def keep(self, delivery: Delivery, pause_s: float) -> None:
        """Keeps its lease until it is tried again."""
        self._store.write((Record(_LEASE + delivery.key, self._token, pause_s + LEASE_S),))

    def finish(self, delivery: Delivery) -> None:
        """It was delivered, or given up, and nobody begins with it any more."""
        self._store.write(
            (
                Record(_DONE + delivery.key, b"1", DONE_TTL_S),
                delivery.withdrawn,
                Record(_LEASE + delivery.key, None, 0),
            )
        )

    def abandoned(self, now_s: float, known: Collection[str]) -> list[Delivery]:
        """Some of those that are overdue, in nobody's lease, and not `known` by their keys."""
        until = Delivery.at(now_s - OVERDUE_S, "", b"").key
        found: list[Delivery] = []
        for _ in range(_MAX_PAGES):
            listed = self._store.list(_SHELF, self._after, _PAGE)
            late = [one for key, value in listed if (one := Delivery.from_record(key, value)).key < until]
            if unknown := [one for one in late if one.key not in known]:
                leases = self._store.read([_LEASE + one.key for one in unknown])
                found += (one for one, lease in zip(unknown, leases, strict=True) if lease is None)
            if len(late) < _PAGE:
                self._after = ""
                break
            # However many are being tried again by others, those behind them have their turn.
            self._after = listed[-1][0]
        return found
