"""A store that may fail, and this process's memory in its place for as long as it does.

Law: asking here raises nothing, and nobody waits longer than `MAX_WAIT_S` for it. The primary store is
touched by the crew alone, by as many threads at once as it has use for and the probe among them, so that
whatever hangs cannot pile up. Whoever is asked, a question has one answer, and the memory is told what
the primary answered: when the primary goes away, this process goes on from there. What is written meanwhile
is written to the primary before it counts as back.

Doubts: a primary with more to do than it can in `MAX_WAIT_S` counts as away, and a crew whose threads all
hang for ever never comes back. A primary has to bound its own waiting, then, and to mend itself after a fork.
Two processes that are alone may both write what is `only_new`: the first to come back has the last word. What
is still owed to the primary when the process ends is lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from logging import ERROR, WARNING
from threading import RLock
from typing import Any, cast
from weakref import WeakSet

from .counters import Count, Counter
from .crew import Asked, Crew, Order, close_quietly
from .exceptions import StoreError
from .logs import logger
from .memory_store import MemoryStore
from .owed import Owed, written
from .questions import Counting, Listing, Question, Reading, Record, Store, Writing, refuse_long

# A pause that a person takes for a slow page rather than for a broken one; a store in the same network
# answers in a hundredth of it.
MAX_WAIT_S = 0.25

# A count and not a ping: a Redis without room answers pings, and a full disk can be read. Keys of rules are
# hashes, so this is none of them.
_PROBE = (Counter("probe"),)

# Of how many keys the order is known while questions overlap. Under a load that never pauses they would grow
# without end; to forget them early is to let one late answer of thousands have the last word.
_MAX_OVERLAPPED = 10_000

# One for all stores of the process, so that a fork has one to wait for: whatever it guards (the memories,
# too) is whole in the child. Nothing waits while holding it. It is reentrant for the sake of signal
# handlers that count or fork.
_lock = RLock()
_stores: WeakSet[FallbackStore] = WeakSet()


class FallbackStore:
    """Asks `primary`, and memory while that is away; comes back by itself.

    Whoever can wait for a future calls `begin`, waits for it for at most `MAX_WAIT_S` and calls `end`, with
    whatever has become of the future; `ask` does all three. `clock` (s) is for how long things take. A record
    that is too long is the caller's bug, and the one thing that is raised: ValueError.
    """

    def __init__(self, primary: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = primary.name
        self.threads = primary.threads
        self._primary = primary
        self._clock = clock
        self._memory = MemoryStore()
        self._crew: Crew | None = None
        self._away_since: float | None = None
        # A spell of good health ends when the store goes away, by `close` and by a fork. Whatever a question
        # of an earlier spell comes to is no news of the store.
        self._spell = 0
        # Answers to questions that were inside the primary together come in any order. `_seen` keeps the
        # highest count of each key until nobody is inside, lest an earlier answer have the last word.
        # Neither does what was read have it over what was written meanwhile: `_written` has those keys.
        self._inside = 0
        self._seen: dict[str, int] = {}
        self._written: set[str] = set()
        self._owed = Owed()
        self._bugs: set[type[Exception]] = set()
        with _lock:
            _stores.add(self)

    @property
    def primary(self) -> Store:
        """For whoever must know whether it was the store that answered, and can wait for it to fail."""
        return self._primary

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, within `MAX_WAIT_S`."""
        counted: Count | None = self.ask(Counting(tuple(counters)))
        return counted

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        """Writes, within `MAX_WAIT_S`; what is written to memory alone is owed to the primary."""
        befores: tuple[bytes | None, ...] = self.ask(Writing(tuple(records)))
        return befores

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        """The values under these keys, within `MAX_WAIT_S`."""
        values: tuple[bytes | None, ...] = self.ask(Reading(tuple(keys)))
        return values

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """What is on a shelf, within `MAX_WAIT_S`; of memory's, while the primary is away."""
        found: tuple[tuple[str, bytes], ...] = self.ask(Listing(shelf, after, limit))
        return found

    def ask(self, question: Question) -> Any:
        """The answer to the question, within `MAX_WAIT_S`."""
        future = self.begin(question)
        with suppress(TimeoutError):
            return future.result(MAX_WAIT_S)
        return self.end(future)

    def begin(self, question: Question) -> Future[Any]:
        """Starts to ask; finished already while the store is away. Never fails, but can be cancelled."""
        if isinstance(question, Writing):
            refuse_long(question.records)
        asked = Asked(question)
        with _lock:
            if self._away_since is None:
                asked.spell = self._spell
                if self._crew is None:
                    self._crew = Crew(self, self._primary)
                self._crew.take(asked)
                return asked
            if self._crew is not None:
                self._crew.man()  # the probe may not have got a thread yet
            self._answer_here(asked)
        asked.set_result(asked.answer)
        return asked

    def end(self, future: Future[Any]) -> Any:
        """The answer to what `begin` gave this `future` for; never waits, raises nothing.

        One that is not finished (or was cancelled, as `asyncio.wait_for` does) says that the store is away.
        """
        asked = cast("Asked", future)
        if not asked.settled:
            self._fail(asked, f"no answer within {MAX_WAIT_S * 1000:g} ms")
        return asked.answer

    def close(self) -> None:
        """Lets go of the threads and closes the primary, or leaves that to a thread that hangs there yet."""
        with _lock:
            crew, self._crew = self._crew, None
            waiting = self._drain(crew)
            self._begin_anew()
        for asked in waiting:
            asked.set_result(asked.answer)
        if crew is None:
            close_quietly(self._primary)
        else:
            crew.stop()
            crew.closed.wait(MAX_WAIT_S)

    # In the crew's threads

    def work_on(self, asked: Asked, crew: Crew) -> None:
        if not asked.set_running_or_notify_cancel():
            with _lock:
                crew.free()
            return
        with _lock:
            current = asked.spell == self._spell
            if current:
                self._inside += 1
            else:
                crew.free()
                self._answer_here(asked)
        if not current:
            asked.set_result(asked.answer)
            return
        try:
            if self._owed:  # since it was closed, or by a question of an earlier spell
                self._pay(crew)
            answer = asked.question.put_to(self._primary)
            with _lock:
                if asked.spell == self._spell:
                    self._inside -= 1
                    self._note(asked.question, answer)
                    asked.settle(answer)
                else:
                    self._answer_here(asked)
                crew.free()
        except Exception as error:  # noqa: BLE001 - a bug in a store is no reason to answer 500
            with _lock:
                crew.free()
            self._fail(asked, error)
        asked.set_result(asked.answer)

    def probe(self, crew: Crew) -> bool:
        """Whether this was the last probe that is needed."""
        # Its connections may be dead without knowing it yet.
        close_quietly(self._primary)
        try:
            # The first one connects, which no later request will have to wait for.
            self._primary.count(_PROBE)
            began_s = self._clock()
            self._primary.count(_PROBE)
            if self._clock() - began_s > MAX_WAIT_S:
                return False
            # Until nothing was written while paying.
            while not self._is_back(crew):
                self._pay(crew)
        except Exception:  # noqa: BLE001 - said already when the store went away
            return False
        return True

    def _is_back(self, crew: Crew) -> bool:
        """Says so, unless something is owed yet; whoever has no crew any more, or another, needs no probe."""
        with _lock:
            if self._crew is not crew or self._away_since is None:
                return True
            if self._owed:
                return False
            away_s = self._clock() - self._away_since
            self._away_since = None
            lost, self._owed.lost = self._owed.lost, 0
            crew.free()
        but = f", but for {lost} records that could not be kept for it" if lost else ""
        told = "the store %s is back after %.1f s: counts are kept there again%s"
        logger.warning(told, self.name, away_s, but)
        return True

    def _pay(self, crew: Crew) -> None:
        """Writes to the primary what it is owed, oldest first; raises what the primary raises."""
        while True:
            with _lock:
                if self._crew is not crew or not self._owed:
                    return
                writing = self._owed.pop()
                then_s, records = writing
                spent_s = self._clock() - then_s
            due = [
                record if record.value is None else record._replace(ttl_s=record.ttl_s - spent_s)
                for record in records
                if record.value is None or record.ttl_s > spent_s
            ]
            try:
                befores = self._primary.write(due) if due else ()
            except StoreError:
                with _lock:
                    self._owed.put_back(writing)
                raise
            except Exception:
                # A bug that this very record may bring about, and will again.
                with _lock:
                    self._owed.lost += len(records)
                raise
            with _lock:
                self._note_refusal(due, befores)

    # In anybody's thread

    def _fail(self, asked: Asked, error: Exception | str) -> None:
        """Answers from memory and, if nobody has yet, declares the store away."""
        with _lock:
            self._answer_here(asked)
            if asked.spell != self._spell:
                return
            crew = self._crew
            waiting = self._drain(crew)
            self._begin_anew()
            self._away_since = self._clock()
            spell = self._spell
        # Before anybody's answer and before any probe, so that the lines are in the order of what happened.
        self._log_away(error)
        for other in waiting:
            other.set_result(other.answer)
        with _lock:
            if crew is not None and spell == self._spell:
                crew.take(Order.PROBE)

    def _log_away(self, error: Exception | str) -> None:
        bug = None
        if isinstance(error, Exception) and not isinstance(error, StoreError):
            # Once for each kind: a bug that spares the probe would fill the log with its tracebacks.
            if type(error) not in self._bugs:
                self._bugs.add(type(error))
                bug = error
            # Its text was not written for logs and may name secrets.
            error = type(error).__name__
        # Errors are shown elsewhere too, and begin with the name there.
        reason = str(error).removeprefix(f"{self.name}: ") or type(error).__name__
        logger.log(
            ERROR if bug else WARNING,
            "the store %s is away (%.512a): until it is back, counts are kept in the memory of this process "
            "alone, and a rule's `times` may be exceeded by what each process counts by itself meanwhile; "
            "tasks accepted meanwhile are known to this process alone until then",
            self.name,
            reason,
            exc_info=bug,
        )

    # While holding the lock

    def _answer_here(self, asked: Asked) -> None:
        if not asked.settled:
            question = asked.question
            answer: Any = question.put_to(self._memory)
            if isinstance(question, Writing):
                self._owed.add(written(question.records, answer), self._clock())
            asked.settle(answer)

    def _drain(self, crew: Crew | None) -> Sequence[Asked]:
        """Who waited for a thread, answered from memory; their futures are yet to be told."""
        waiting = [
            asked
            for asked in (crew.drain() if crew is not None else ())
            if asked.set_running_or_notify_cancel()
        ]
        for asked in waiting:
            self._answer_here(asked)
        return waiting

    def _begin_anew(self) -> None:
        self._spell += 1
        self._away_since = None
        self._inside = 0
        self._forget_order()

    def _forget_order(self) -> None:
        self._seen.clear()
        self._written.clear()

    def _forked(self) -> None:
        """Threads do not survive a fork, nor need an outage: the child's first question finds out."""
        self._crew = None
        self._owed = Owed()  # it is the parent's to pay
        self._begin_anew()

    def _note(self, question: Question, answer: Any) -> None:
        if isinstance(question, Counting):
            self._note_count(question.counters, answer)
        elif isinstance(question, Writing):
            self._note_writing(question.records, answer)
        elif isinstance(question, Reading):
            for key, value in zip(question.keys, answer, strict=True):
                if key not in self._written:
                    self._memory.note_record(key, value)
        if not self._inside or len(self._seen) + len(self._written) > _MAX_OVERLAPPED:
            self._forget_order()

    def _note_count(self, counters: Sequence[Counter], counted: Count | None) -> None:
        # Those that were passed by stand at their limits, and all of them where nothing was counted.
        for key, limit in counters if counted is None else counters[: counted.at]:
            if limit is not None:
                self._note_one(key, limit)
        if counted is not None:
            self._note_one(counters[counted.at].key, counted.before + 1)

    def _note_one(self, key: str, count: int) -> None:
        if count >= self._seen.get(key, 0):
            self._memory.note(key, count)
            if self._inside:
                self._seen[key] = count

    def _note_writing(self, records: Sequence[Record], befores: Sequence[bytes | None]) -> None:
        done = written(records, befores)
        self._memory.write([record._replace(only_new=False) for record in done])
        self._note_refusal(records, befores)
        if self._inside:
            self._written.update(record.key for record in records[: len(done) + 1])

    def _note_refusal(self, records: Sequence[Record], befores: Sequence[bytes | None]) -> None:
        """What was there already, where a writing has ended at it."""
        at = len(written(records, befores))
        if at < len(records):
            self._memory.note_record(records[at].key, befores[at])


def _in_child() -> None:
    for store in _stores:
        store._forked()
    _lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_in_child)
