"""The changes that hold now: of this process alone, or of all that share a store.

Law: no request comes here. Whoever makes a change, and a look once a second, ask the store; while that does
not answer, the last known changes hold, and none can be made. A change ends when its time is over, whatever
the store says, and when a worker has seen it used up.

Each change is a record of its own, on one shelf, so that two people who change two rules lose neither. One
more record has another value after every change: to look is to read that, and to list the shelf when it is
another.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence

from .changes import MAX_CHANGES, MAX_FOR_S, Applied, Change, apply, rule_of
from .configuration import Configuration
from .exceptions import StoreError
from .logs import logger
from .questions import Record, Store
from .rules import Rule

# Outlives every change.
_MARK_TTL_S = MAX_FOR_S + 24 * 3600.0
# So far may the clocks of two hosts be apart. What ends later than that was written by a clock that is wrong.
_SKEW_S = 3600.0
# How many records one question asks for: of the longest documents, no more than the longest record has.
_PAGE = 16
# As many as there can be changes, and some that were replaced.
_MAX_USED = 10 * MAX_CHANGES


class RuntimeRules:
    """What was changed, by the rule's name. `store` None: only this process knows. `clock` gives seconds."""

    def __init__(self, store: Store | None, *, service: str, clock: Callable[[], float]) -> None:
        self.store = store
        self.away = False
        self._clock = clock
        self._shelf = f"control.{hashlib.blake2b(service.encode(), digest_size=8).hexdigest()}"
        self._mark: bytes | None = None
        self._changes: dict[str, Change] = {}
        self._rules: dict[str, Rule] = {}
        # How often each change was used, whether or not it holds any more: it may be listed again.
        self._used: OrderedDict[str, int] = OrderedDict()

    def apply(self, declared: Configuration) -> Applied:
        """The rules with all changes that hold now."""
        return apply(declared, self._changes, self._rules, self._note_use)

    @property
    def changes(self) -> Mapping[str, Change]:
        return self._changes

    def uses_left(self, change: Change) -> int | None:
        """As far as this process knows: it hears once a second of what others have used."""
        counted = change.counted
        return None if counted.uses is None else max(0, counted.uses - self._used.get(counted.id, 0))

    def switched(self, name: str) -> Change | None:
        """What put a document in the place of the rule `name`, and holds again after a switch of it."""
        change = self._changes.get(name)
        if change is None or change.document is None:
            return None
        found = change.beneath or change
        return None if self._is_over(found, self._used) else found

    def room_for(self, names: Iterable[str]) -> bool:
        return len({*self._changes, *names}) <= MAX_CHANGES

    def set(self, changes: Sequence[Change], removed: Sequence[str] = ()) -> None:
        """Makes changes and takes others back, all or none. Raises StoreError: then none."""
        if self.store is not None:
            now = self._clock()
            records = [
                Record(self._key(change.name), change.to_bytes(), change.all_until - now, shelf=self._shelf)
                for change in changes
            ]
            records += [Record(self._key(name), None, 0.0, shelf=self._shelf) for name in removed]
            mark = secrets.token_bytes(16)
            try:
                self.store.write([*records, Record(self._shelf, mark, _MARK_TTL_S)])
            except StoreError:
                self.away = True
                raise
            except Exception as error:  # a store that somebody brought; its text may name secrets
                self.away = True
                raise StoreError(f"{self.store.name}: {type(error).__name__}") from error
            # What others have changed meanwhile is read at the next look, since this is not its mark.
        present = {name: change for name, change in self._changes.items() if name not in removed}
        self._take({**present, **{change.name: change for change in changes}})

    def look(self) -> bool:
        """Whether anything is another than at the last look: what others did, and what is over."""
        before = self._changes
        # What is counted from now on is told, and judged, the next time.
        used = dict(self._used)
        if self.store is not None:
            try:
                self._read(self.store, used)
            except Exception as error:  # noqa: BLE001 - a store that somebody brought
                if not self.away:
                    reason = str(error) if isinstance(error, StoreError) else type(error).__name__
                    logger.warning("changes of rules at run time stay as they are: %.512s", reason)
                self.away = True
            else:
                if self.away:
                    logger.warning("changes of rules at run time are read from the store again")
                self.away = False
        over = [change for change in self._changes.values() if self._is_over(change, used)]
        for change in over:
            uses_over = f"{change.counted.uses} uses are over"
            why = "its time is over" if self._clock() >= change.until else uses_over
            logger.warning("rule %.128a is as before: %s (changed by %.200a)", change.name, why, change.by)
        if over:
            standing = {name: self._standing(change, used) for name, change in self._changes.items()}
            self._take({name: change for name, change in standing.items() if change is not None})
        return self._changes != before

    def _read(self, store: Store, used: dict[str, int]) -> None:
        self._share_uses(store, used)
        (mark,) = store.read((self._shelf,))
        if mark == self._mark:
            return
        found: dict[str, Change] = {}
        latest = self._clock() + MAX_FOR_S + _SKEW_S
        after = ""
        while len(found) < 2 * MAX_CHANGES:
            page = store.list(self._shelf, after, _PAGE)
            for key, value in page:
                after = key
                change = Change.from_bytes(value)
                if change is None or change.all_until > latest:
                    continue
                if (standing := self._standing(change, used)) is not None:
                    found[change.name] = standing
            if len(page) < _PAGE:
                break
        self._take(found)
        self._mark = mark

    def _share_uses(self, store: Store, used: dict[str, int]) -> None:
        """Tells the others how often a change was used, and hears it of them."""
        both = (each for change in self._changes.values() for each in (change, change.beneath))
        counted = [change for change in both if change is not None and change.uses is not None]
        if not counted:
            return
        keys = [self._key(f"uses {change.id}") for change in counted]
        records = []
        now = self._clock()
        for change, key, value in zip(counted, keys, store.read(keys), strict=True):
            theirs = int(value) if value is not None and value.isdigit() else 0
            ours = used.get(change.id, 0)
            if ours > theirs:
                records.append(Record(key, str(ours).encode(), max(change.until - now, 1.0)))
            elif theirs > ours:
                used[change.id] = theirs
                self._note_use(change.id, theirs)
        if records:
            store.write(records)

    def _take(self, changes: dict[str, Change]) -> None:
        known = self._rules
        rules: dict[str, Rule] = {}
        for change in changes.values():
            rule = known.get(change.id) or rule_of(change)
            if rule is not None:
                rules[change.id] = rule
            elif change.document is not None:
                logger.error("rule %.128a, changed by %.200a, is not valid here", change.name, change.by)
        self._rules = rules
        while len(self._used) > _MAX_USED:
            self._used.popitem(last=False)
        self._changes = changes

    def _note_use(self, change_id: str, count: int) -> None:
        # Two threads may tell in any order; the higher count is told again by whoever comes next.
        if count > self._used.get(change_id, 0):
            self._used[change_id] = count

    def _is_over(self, change: Change, used: Mapping[str, int]) -> bool:
        if self._clock() >= change.until:
            return True
        counted = change.counted
        return counted.uses is not None and used.get(counted.id, 0) >= counted.uses

    def _standing(self, change: Change, used: Mapping[str, int]) -> Change | None:
        """What holds of a change: itself, or else what it has switched."""
        found: Change | None = change
        while found is not None and self._is_over(found, used):
            found = found.beneath
        return found

    def _key(self, name: str) -> str:
        return f"{self._shelf}.{hashlib.blake2b(name.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"
