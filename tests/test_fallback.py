"""A store may fail, hang and come back: no question raises or waits for long, and each goes on from the last.

A test breaks and mends its primary by hand. Retries are put off for ever, and patience is without end, until
a test asks for either. Nothing here sleeps; what has to wait for a thread waits for what that thread does.
"""

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pytest

from mockware import crew, fallback, owed
from mockware.counters import Count, Counter
from mockware.exceptions import StoreError
from mockware.fallback import FallbackStore
from mockware.logs import logger
from mockware.memory_store import MemoryStore
from mockware.questions import MAX_RECORD_BYTES, Counting, Reading, Record, Writing

PATIENCE_S = 20  # for a busy machine; nothing waits this long unless it has failed
SHORT_S = 0.05  # for what a test wants to run out
A_DAY_S = 24 * 60 * 60.0
PROMISED_S = fallback.MAX_WAIT_S

ONE = (Counter("one"),)
TWO = (Counter("two"),)
THREE_TIMES = (Counter("three-times", 3),)


Answer = TypeVar("Answer")


class Primary:
    """Counts and keeps exactly, and does what the test wants as well: fail, hang or be slow."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.name = "fake://store"
        self.counts = MemoryStore()
        self.error: Exception | None = None
        self.errors: dict[str, Exception] = {}
        self.held: dict[str, threading.Event] = {}
        # What happened, in order: a key for each count, verb and key for other questions, and "close".
        self.calls: list[str] = []
        self.entered: SimpleQueue[str] = SimpleQueue()
        self.closed: SimpleQueue[None] = SimpleQueue()
        self.inside = self.most_inside = 0
        self.asking: set[int] = set()
        self._lock = threading.Lock()

    def count(self, counters: Sequence[Counter]) -> Count | None:
        return self._asked(counters[0].key, lambda: self.counts.count(counters))

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        return self._asked(f"write {records[0].key}", lambda: self.counts.write(records))

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        return self._asked(f"read {keys[0]}", lambda: self.counts.read(keys))

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        return self._asked(f"list {shelf}", lambda: self.counts.list(shelf, after, limit))

    def _asked(self, key: str, answer: Callable[[], Answer]) -> Answer:
        with self._lock:
            self.calls.append(key)
            self.asking.add(threading.get_ident())
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        self.entered.put(key)
        try:
            if key in self.held:
                self.held[key].wait(PATIENCE_S)
            if error := self.errors.get(key, self.error):
                raise error
            return answer()
        finally:
            with self._lock:
                self.inside -= 1

    def close(self) -> None:
        self.calls.append("close")
        self.closed.put(None)

    def hold(self, *keys: str) -> None:
        """These questions hang until `let_go`."""
        self.held |= {key: threading.Event() for key in keys}

    def let_go(self, *keys: str) -> None:
        for key in keys or tuple(self.held):
            self.held.pop(key).set()

    def wait_until_inside(self, key: str) -> None:
        while self.entered.get(timeout=PATIENCE_S) != key:
            pass


class Lines(logging.Handler):
    """What was logged, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._records: SimpleQueue[logging.LogRecord] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put(record)

    def next(self) -> logging.LogRecord:
        return self._records.get(timeout=PATIENCE_S)

    def none_left(self) -> bool:
        return self._records.empty()


@pytest.fixture(autouse=True)
def _nothing_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "RETRY_S", A_DAY_S)
    monkeypatch.setattr(fallback, "MAX_WAIT_S", A_DAY_S)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "MAX_WAIT_S", SHORT_S)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "RETRY_S", 0.01)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


Make = Callable[..., FallbackStore]


@pytest.fixture
def make(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes stores; whatever still hangs in their primaries is let go in the end, and they are closed."""
    made: list[tuple[FallbackStore, Primary]] = []

    def make(primary: Primary, **keywords: Any) -> FallbackStore:
        store = FallbackStore(primary, **keywords)
        made.append((store, primary))
        return store

    yield make
    monkeypatch.setattr(fallback, "MAX_WAIT_S", PATIENCE_S)
    for store, primary in made:
        primary.let_go()
        store.close()


def befores(store: FallbackStore, counters: Sequence[Counter], times: int) -> list[int | None]:
    return [counted and counted.before for counted in (store.count(counters) for _ in range(times))]


# While the store is well


def test_counts_are_those_of_the_primary_and_nothing_is_said(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.counts.note("three-times", 1)
    assert [store.count(THREE_TIMES) for _ in range(3)] == [Count(0, 1), Count(0, 2), None]
    assert primary.calls == ["three-times"] * 3
    assert (store.name, store.threads) == ("fake://store", 1)
    assert lines.none_left()


def test_the_primary_is_asked_in_a_daemon_thread_and_one_is_enough_for_one_after_the_other(
    make: Make,
) -> None:
    primary = Primary(threads=8)
    store = make(primary)
    befores(store, ONE, 50)
    assert len(primary.asking) == 1
    (worker,) = (thread for thread in threading.enumerate() if thread.ident in primary.asking)
    assert worker.daemon
    assert worker is not threading.current_thread()


def test_the_primary_is_asked_by_as_many_threads_at_once_as_are_of_use_and_no_more(make: Make) -> None:
    primary = Primary(threads=3)
    store = make(primary)
    primary.hold("one")
    futures = [store.begin(Counting(ONE)) for _ in range(20)]
    for _ in range(3):
        primary.wait_until_inside("one")
    assert not any(future.done() for future in futures)
    primary.let_go()
    counted = [future.result(PATIENCE_S) for future in futures]
    assert sorted(count.before for count in counted if count) == list(range(20))
    assert [store.end(future) for future in futures] == counted
    assert primary.most_inside == 3


def test_an_event_loop_can_wait_for_a_count(make: Make) -> None:
    store = make(Primary(threads=8))

    async def ask() -> Count | None:
        future = store.begin(Counting(ONE))
        await asyncio.wait([asyncio.wrap_future(future)], timeout=PATIENCE_S)
        counted: Count | None = store.end(future)
        return counted

    async def ask_often() -> list[Count | None]:
        return await asyncio.gather(*(ask() for _ in range(100)))

    counted = asyncio.run(ask_often())
    assert sorted(count.before for count in counted if count) == list(range(100))


# When it goes away


def test_a_store_that_fails_is_told_of_once_and_left_alone_and_the_memory_counts(
    make: Make, lines: Lines
) -> None:
    primary = Primary()
    store = make(primary)
    primary.error = StoreError("fake://store: connection refused\r\n\x1b[31m")
    assert befores(store, ONE, 4) == [0, 1, 2, 3]
    assert primary.calls == ["one"]
    line = lines.next()
    assert (line.levelname, line.exc_info) == ("WARNING", None)
    assert line.getMessage() == (
        r"the store fake://store is away ('connection refused\r\n\x1b[31m'): until it is back, counts are "
        "kept in the memory of this process alone, and a rule's `times` may be exceeded by what each process "
        "counts by itself meanwhile; tasks accepted meanwhile are known to this process alone until then"
    )
    assert lines.none_left()


@pytest.mark.usefixtures("impatient")
def test_a_store_that_hangs_is_waited_for_once(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    store.begin(Counting(ONE))
    primary.wait_until_inside("one")
    assert befores(store, ONE, 1) == [0]
    assert "('no answer within 50 ms')" in lines.next().getMessage()
    while_away = store.begin(Counting(TWO))
    assert while_away.done()
    assert store.end(while_away) == while_away.result() == Count(0, 0)
    assert befores(store, TWO, 3) == [1, 2, 3]
    assert primary.calls == ["one"]
    assert lines.none_left()


@pytest.mark.parametrize("threads", [1, 8])
def test_of_many_at_once_nobody_waits_for_long_and_it_is_said_once(
    threads: int, make: Make, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PROMISED_S == 0.25
    monkeypatch.setattr(fallback, "MAX_WAIT_S", PROMISED_S)
    primary = Primary(threads)
    store = make(primary)
    primary.hold("one", "two")
    store.begin(Counting(TWO))
    primary.wait_until_inside("two")
    start = threading.Barrier(200)
    counted: SimpleQueue[Count | None] = SimpleQueue()
    waited: list[float] = []

    def ask() -> None:
        start.wait()
        began = time.monotonic()
        counted.put(store.count(ONE))
        waited.append(time.monotonic() - began)

    askers = [threading.Thread(target=ask) for _ in range(200)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(PATIENCE_S)
    # Two hundred threads take their time on one core: the rest of this bound is theirs.
    assert max(waited) < PROMISED_S + 10
    assert sorted(count.before for count in (counted.get() for _ in askers) if count) == list(range(200))
    assert primary.calls[0] == "two"
    assert len(primary.calls) <= threads
    lines.next()
    assert lines.none_left()


def test_many_failures_at_once_are_one_outage(make: Make, lines: Lines) -> None:
    primary = Primary(threads=8)
    store = make(primary)
    primary.hold("one")
    futures = [store.begin(Counting(ONE)) for _ in range(40)]
    for _ in range(8):
        primary.wait_until_inside("one")
    primary.error = StoreError("down")
    primary.let_go()
    counted = [future.result(PATIENCE_S) for future in futures]
    assert sorted(count.before for count in counted if count) == list(range(40))
    assert primary.calls == ["one"] * 8
    lines.next()
    assert lines.none_left()


def test_who_waits_in_line_is_answered_when_the_first_gives_up_and_never_asked_for(make: Make) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    first, second = store.begin(Counting(ONE)), store.begin(Counting(TWO))
    primary.wait_until_inside("one")
    assert store.end(first) == Count(0, 0)
    assert second.done()
    assert store.end(second) == Count(0, 0)
    assert befores(store, ONE, 2) == [1, 2]
    primary.let_go()
    # The late answer is nobody's: who asked has the memory's, which has gone on since.
    assert first.result(PATIENCE_S) == Count(0, 0)
    assert primary.calls == ["one"]
    assert befores(store, ONE, 1) == [3]
    assert befores(store, TWO, 1) == [1]


def test_what_a_thread_has_taken_on_but_not_asked_yet_is_never_asked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_on = threading.Event()

    class Asked(crew.Asked):
        def set_running_or_notify_cancel(self) -> bool:
            running = super().set_running_or_notify_cancel()
            taken_on.set()
            return running

    monkeypatch.setattr(fallback, "Asked", Asked)
    primary = Primary()
    store = make(primary)
    with fallback._lock:
        future = store.begin(Counting(ONE))
        assert taken_on.wait(PATIENCE_S)
        assert store.end(future) == Count(0, 0)
    assert future.result(PATIENCE_S) == Count(0, 0)
    assert befores(store, ONE, 1) == [1]
    assert primary.calls == []


def test_what_was_cancelled_before_it_began_is_not_counted(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    first, second, third = store.begin(Counting(ONE)), store.begin(Counting(TWO)), store.begin(Counting(TWO))
    primary.wait_until_inside("one")
    assert second.cancel()
    primary.let_go()
    assert third.result(PATIENCE_S) == Count(0, 0)
    assert first.result() == Count(0, 0)
    assert primary.calls == ["one", "two"]
    assert lines.none_left()


def test_who_cancels_when_patience_is_over_is_answered_from_memory(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    store.begin(Counting(ONE))
    primary.wait_until_inside("one")

    async def ask() -> Count | None:
        future = store.begin(Counting(TWO))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(future), SHORT_S)
        assert future.cancelled()
        counted: Count | None = store.end(future)
        return counted

    assert asyncio.run(ask()) == Count(0, 0)
    assert "no answer" in lines.next().getMessage()
    primary.let_go()
    assert befores(store, TWO, 1) == [1]
    assert primary.calls == ["one"]


def test_a_bug_in_the_primary_is_shown_once_with_its_traceback_and_answers_nobody_with_an_error(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary()
    store = make(primary)
    for level in ("ERROR", "WARNING"):
        primary.hold("probe")
        primary.error = ZeroDivisionError("redis://:secret@store")
        assert store.count(ONE) is not None
        line = lines.next()
        assert (line.levelname, bool(line.exc_info)) == (level, level == "ERROR")
        assert "is away ('ZeroDivisionError')" in line.getMessage()
        primary.error = None
        primary.let_go()
        assert "is back after" in lines.next().getMessage()
    assert lines.none_left()


def test_without_a_thread_to_be_had_the_memory_counts_until_there_is_one(
    make: Make, lines: Lines, monkeypatch: pytest.MonkeyPatch, impatient: None, soon: None
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    primary = Primary()
    store = make(primary)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert befores(store, ONE, 2) == [0, 1]
        assert "is away" in lines.next().getMessage()
    monkeypatch.setattr(fallback, "MAX_WAIT_S", A_DAY_S)
    assert befores(store, ONE, 1) == [2]
    assert "is back after" in lines.next().getMessage()
    assert befores(store, ONE, 1) == [0]


# From where it goes on


def test_this_process_goes_on_from_what_it_last_saw(make: Make) -> None:
    primary = Primary()
    store = make(primary)
    assert befores(store, THREE_TIMES, 2) == [0, 1]
    primary.error = StoreError("down")
    assert befores(store, THREE_TIMES, 3) == [2, None, None]


def test_what_others_counted_is_seen_with_each_answer(make: Make) -> None:
    primary = Primary()
    store, other = make(primary), make(primary)
    line = (Counter("first", 1), Counter("second", 2), Counter("rest"))
    assert other.count(line) == Count(0, 0)
    assert store.count(line) == Count(1, 0)
    primary.error = StoreError("down")
    # That the first is used up was never said, but it was passed by.
    assert [store.count(line) for _ in range(3)] == [Count(1, 1), Count(2, 0), Count(2, 1)]


def test_that_all_were_used_up_is_seen_too(make: Make) -> None:
    primary = Primary()
    store, other = make(primary), make(primary)
    befores(other, THREE_TIMES, 3)
    assert befores(store, THREE_TIMES, 1) == [None]
    primary.error = StoreError("down")
    assert befores(store, THREE_TIMES, 1) == [None]


def test_a_count_that_the_primary_began_anew_is_begun_anew_here(make: Make) -> None:
    primary = Primary()
    store = make(primary)
    assert befores(store, THREE_TIMES, 3) == [0, 1, 2]
    primary.counts = MemoryStore()
    assert befores(store, THREE_TIMES, 1) == [0]
    primary.error = StoreError("down")
    assert befores(store, THREE_TIMES, 3) == [1, 2, None]


class Overtaken(Primary):
    """Its first answer is known first and arrives last."""

    def __init__(self) -> None:
        super().__init__(threads=2)
        self.first_is_counted = threading.Event()
        self.second_arrived = threading.Event()

    def count(self, counters: Sequence[Counter]) -> Count | None:
        counted = super().count(counters)
        if counted == Count(0, 0) and not self.first_is_counted.is_set():
            self.first_is_counted.set()
            self.second_arrived.wait(PATIENCE_S)
        return counted


def test_an_answer_that_was_overtaken_has_not_the_last_word(make: Make) -> None:
    primary = Overtaken()
    store = make(primary)
    first = store.begin(Counting(THREE_TIMES))
    assert primary.first_is_counted.wait(PATIENCE_S)
    assert befores(store, THREE_TIMES, 1) == [1]
    primary.second_arrived.set()
    assert first.result(PATIENCE_S) == Count(0, 0)
    assert store._memory.count(THREE_TIMES) == Count(0, 2)
    # Only an answer from the same time: one that is lower later on is a count begun anew.
    primary.counts = MemoryStore()
    assert befores(store, ONE, 1) == befores(store, THREE_TIMES, 1) == [0]
    primary.error = StoreError("down")
    assert befores(store, THREE_TIMES, 3) == [1, 2, None]


@pytest.mark.parametrize("processes", [2, 5])
def test_processes_exceed_a_limit_by_no_more_than_what_each_had_left_to_count(
    processes: int, make: Make
) -> None:
    limit = 10
    question = (Counter("ten-times", limit),)
    primary = Primary()
    stores = [make(primary) for _ in range(processes)]
    served, last_seen = 0, []
    for store in stores:
        seen = [counted.before + 1 for counted in (store.count(question), store.count(question)) if counted]
        served += len(seen)
        last_seen.append(max(seen, default=limit))
    primary.error = StoreError("down")
    meanwhile = [sum(store.count(question) is not None for _ in range(2 * limit)) for store in stores]
    assert meanwhile == [limit - seen for seen in last_seen]
    assert served + sum(meanwhile) <= limit + sum(meanwhile[:-1])
    # And when it is back, nobody is served any more than what it knows of.
    assert primary.counts.count(question) == (None if served == limit else Count(0, served))


# Records

TASK = (Record("task", b"accepted", 60, True, "tasks"), Record("plan", b"of task", 60))
CANCELLED = (Record("task", b"cancelled", 60, shelf="tasks"),)


def outage(primary: Primary, lines: Lines, store: FallbackStore) -> None:
    """Lasts until `mend`; a probe hangs meanwhile."""
    primary.hold("probe")
    primary.error = StoreError("down")
    store.count(ONE)
    assert "is away" in lines.next().getMessage()
    primary.wait_until_inside("probe")
    primary.calls.clear()


def mend(primary: Primary, lines: Lines) -> str:
    primary.error = None
    primary.let_go("probe")
    return lines.next().getMessage()


def test_records_are_those_of_the_primary(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    assert store.write(TASK) == (None, None)
    assert store.write(TASK) == (b"accepted", None)
    assert store.read(["plan", "no"]) == (b"of task", None)
    assert store.list("tasks", "", 9) == (("task", b"accepted"),)
    assert primary.calls == ["write task", "write task", "read plan", "list tasks"]
    assert primary.counts.read(["task", "plan"]) == (b"accepted", b"of task")
    assert lines.none_left()


def test_a_future_has_the_answer_to_any_question(make: Make) -> None:
    store = make(Primary())
    writing, reading = store.begin(Writing(TASK)), store.begin(Reading(("task",)))
    assert writing.result(PATIENCE_S) == store.end(writing) == (None, None)
    assert reading.result(PATIENCE_S) == store.end(reading) == (b"accepted",)


def test_a_record_that_is_too_long_is_refused_before_anybody_is_asked(make: Make) -> None:
    primary = Primary()
    store = make(primary)
    long = Record("a", bytes(MAX_RECORD_BYTES + 1), 60)
    for ask in (lambda: store.write([long]), lambda: store.begin(Writing((long,)))):
        with pytest.raises(ValueError, match="allowed: 1179648"):
            ask()
    assert primary.calls == []


def test_what_was_written_and_read_here_is_known_in_an_outage(make: Make, lines: Lines) -> None:
    primary = Primary()
    store, other = make(primary), make(primary)
    store.write(TASK)
    store.write(CANCELLED)
    assert other.write(TASK) == (b"cancelled", None)  # that it is there is all that it is told
    other.write([Record("b", b"1", 60), Record("c", b"1", 60)])
    assert store.read(["b", "c"]) == (b"1", b"1")
    other.write([Record("b", None, 60)])
    assert store.read(["b"]) == (None,)
    primary.error = StoreError("down")
    assert store.read(["task", "plan", "b", "c"]) == (b"cancelled", b"of task", None, b"1")
    assert store.list("tasks", "", 9) == (("task", b"cancelled"),)
    assert store.write(TASK) == (b"cancelled", None)
    assert other.read(["task", "plan"]) == (b"cancelled", None)


def test_what_is_written_in_an_outage_is_written_before_the_store_is_back(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary()
    store = make(primary)
    outage(primary, lines, store)
    assert store.write(TASK) == (None, None)
    assert store.write(TASK) == (b"accepted", None)
    assert store.write(CANCELLED) == (b"accepted",)
    assert store.write([Record("gone", None, 60)]) == (None,)
    assert store.read(["task", "plan"]) == (b"cancelled", b"of task")
    assert primary.calls == []
    primary.counts.write([Record("gone", b"1", 60)])
    told = mend(primary, lines)
    assert told.endswith("s: counts are kept there again")
    assert primary.calls == ["probe", "write task", "write task", "write gone"]
    assert primary.counts.read(["task", "plan", "gone"]) == (b"cancelled", b"of task", None)
    assert store.list("tasks", "", 9) == (("task", b"cancelled"),)


def test_what_others_wrote_first_is_not_written_over_by_what_is_only_new(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary()
    store = make(primary)
    outage(primary, lines, store)
    assert store.write(TASK) == (None, None)
    primary.counts.write([Record("task", b"another's", 60)])
    mend(primary, lines)
    assert primary.counts.read(["task", "plan"]) == (b"another's", None)
    primary.error = StoreError("down")
    assert store.read(["task"]) == (b"another's",)


def test_a_record_lives_on_from_when_it_was_written(make: Make, lines: Lines, soon: None) -> None:
    primary = Primary()
    now_s, then_s = [0.0], 1_800_000_000.0
    primary.counts = MemoryStore(clock=lambda: then_s)
    store = make(primary, clock=lambda: now_s[0])
    outage(primary, lines, store)
    store.write([Record("short", b"", 5), Record("long", b"", 60), Record("gone", None, 5)])
    store.write([Record("short", b"", 5)])
    now_s[0] += 10
    primary.counts.write([Record("gone", b"", 60)])
    mend(primary, lines)
    assert primary.counts.read(["short", "long", "gone"]) == (None, b"", None)
    then_s += 50
    assert primary.counts.read(["long"]) == (None,)


@pytest.mark.parametrize("bound", ["MAX_OWED_RECORDS", "MAX_OWED_BYTES"])
def test_the_newest_is_kept_for_the_store_and_how_much_is_not_is_said(
    bound: str, make: Make, lines: Lines, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owed.MAX_OWED_RECORDS == 1000
    monkeypatch.setattr(owed, bound, 4)
    primary = Primary()
    store = make(primary)
    for lost in (4, 0):
        outage(primary, lines, store)
        for n in range(4 if lost else 2):
            store.write([Record(f"{n}{key}", b"1", 60) for key in "ab"])
        but = ", but for 4 records that could not be kept for it" if lost else ""
        assert mend(primary, lines).endswith("s: counts are kept there again" + but)
        written = [call for call in primary.calls if call.startswith("write")]
        assert written == (["write 2a", "write 3a"] if lost else ["write 0a", "write 1a"])


def test_a_store_that_cannot_be_written_to_is_not_back(make: Make, lines: Lines, soon: None) -> None:
    primary = Primary()
    store = make(primary)
    outage(primary, lines, store)
    store.write(TASK)
    store.write([Record("b", b"1", 60)])
    primary.errors["write b"] = StoreError("full")
    primary.error = None
    primary.let_go()
    for _ in range(3):
        primary.wait_until_inside("write b")
    assert lines.none_left()
    del primary.errors["write b"]
    assert "is back after" in lines.next().getMessage()
    assert primary.calls.count("write task") == 1
    assert primary.counts.read(["task", "b"]) == (b"accepted", b"1")


def test_a_record_that_brings_about_a_bug_keeps_no_store_away(make: Make, lines: Lines, soon: None) -> None:
    primary = Primary()
    store = make(primary)
    outage(primary, lines, store)
    store.write(TASK)
    store.write([Record("b", b"1", 60)])
    primary.errors["write task"] = ZeroDivisionError()
    assert "but for 2 records" in mend(primary, lines)
    assert primary.counts.read(["task", "b"]) == (None, b"1")


def test_a_writing_whose_answer_was_not_waited_for_is_written_all_the_same(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("write task")
    first, second = store.begin(Writing(TASK)), store.begin(Writing((Record("b", b"1", 60),)))
    primary.wait_until_inside("write task")
    assert store.end(first) == (None, None)
    assert second.done()
    lines.next()
    primary.let_go()
    assert "is back after" in lines.next().getMessage()
    assert primary.counts.read(["task", "plan", "b"]) == (b"accepted", b"of task", b"1")


def test_what_waited_when_the_store_was_closed_is_written_with_the_next_question(make: Make) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    first, second = store.begin(Counting(ONE)), store.begin(Writing(TASK))
    primary.wait_until_inside("one")
    closing = threading.Thread(target=store.close)
    closing.start()
    assert second.result(PATIENCE_S) == (None, None)
    primary.let_go()
    closing.join(PATIENCE_S)
    assert store.end(first) == Count(0, 0)
    assert store.read(["task"]) == (b"accepted",)
    assert primary.calls == ["one", "close", "write task", "read task"]


class ReadBefore(Primary):
    """What it reads first is known before a writing, and arrives after it."""

    def __init__(self) -> None:
        super().__init__(threads=2)
        self.first_is_read = threading.Event()
        self.written = threading.Event()

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        values = super().read(keys)
        if not self.first_is_read.is_set():
            self.first_is_read.set()
            self.written.wait(PATIENCE_S)
        return values


def test_what_was_read_before_a_writing_is_no_news_after_it(make: Make) -> None:
    primary = ReadBefore()
    store = make(primary)
    reading = store.begin(Reading(("task",)))
    assert primary.first_is_read.wait(PATIENCE_S)
    store.write(TASK)
    primary.written.set()
    assert reading.result(PATIENCE_S) == (None,)
    assert store._memory.read(["task"]) == (b"accepted",)
    # Later on, it is.
    primary.counts.write([Record("task", None, 0)])
    assert store.read(["task"]) == (None,)
    assert store._memory.read(["task"]) == (None,)


def test_under_a_load_that_never_pauses_no_more_than_so_many_keys_are_kept_in_order(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "_MAX_OVERLAPPED", 10)
    primary = Primary(threads=2)
    store = make(primary)
    primary.hold("one")
    one = store.begin(Counting(ONE))
    primary.wait_until_inside("one")
    for n in range(50):
        store.count((Counter(f"{n}"),))
        store.write([Record(f"{n}", b"", 60)])
        assert len(store._seen) + len(store._written) <= 10
    primary.let_go()
    one.result(PATIENCE_S)
    assert not store._seen
    assert not store._written


def test_an_answer_that_is_none_is_a_bug_and_not_the_end_of_a_thread(
    make: Make, lines: Lines, soon: None
) -> None:
    class Forgetful(Primary):
        def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
            return super().read(keys)[1:]

    primary = Forgetful()
    store = make(primary)
    for level in ("ERROR", "WARNING"):
        assert store.read(["a"]) == (None,)
        assert lines.next().levelname == level
        assert "is back after" in lines.next().getMessage()
    assert befores(store, ONE, 1) == [0]
    assert len(primary.asking) == 1


# How it comes back


def test_a_store_that_is_mended_is_back_without_any_request(make: Make, lines: Lines, soon: None) -> None:
    primary = Primary()
    now = [100.0]
    store = make(primary, clock=lambda: now[0])
    primary.error = StoreError("down")
    assert befores(store, ONE, 2) == [0, 1]
    lines.next()
    now[0] += 12.34
    primary.error = None
    back = lines.next()
    assert back.levelname == "WARNING"
    assert back.getMessage() == "the store fake://store is back after 12.3 s: counts are kept there again"
    assert befores(store, ONE, 2) == [0, 1]
    assert lines.none_left()


def test_a_store_that_is_back_is_asked_what_requests_ask_and_nothing_else(
    make: Make, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "RETRY_S", 0.0)  # whoever still probed would do so between any two questions
    primary = Primary()
    store = make(primary)
    primary.error = StoreError("down")
    store.count(ONE)
    primary.error = None
    for _ in ("away", "back"):
        lines.next()
    mark = len(primary.calls)
    assert befores(store, ONE, 200) == list(range(200))
    assert primary.calls[mark:] == ["one"] * 200


def test_a_probe_connects_anew_and_counts_for_a_full_store_answers_pings(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary()
    store = make(primary)
    primary.error = StoreError("OOM command not allowed")
    store.count(ONE)
    for _ in range(3):
        primary.wait_until_inside("probe")
    lines.next()
    assert lines.none_left()
    primary.error = None
    lines.next()
    tried = primary.calls[1:]
    # The last try counts twice: once to connect, and once to see that a count does not take long.
    assert tried == ["close", "probe"] * (tried.count("close")) + ["probe"]
    assert primary.most_inside == 1


def test_a_store_that_is_too_slow_is_not_back(
    make: Make, lines: Lines, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback, "MAX_WAIT_S", 0.25)
    now, slowness = [0.0], [0.0]

    class Slow(Primary):
        def count(self, counters: Sequence[Counter]) -> Count | None:
            now[0] += slowness[0]
            return super().count(counters)

    primary = Slow()
    store = make(primary, clock=lambda: now[0])
    primary.error = StoreError("down")
    store.count(ONE)
    lines.next()
    slowness[0] = 0.3
    primary.error = None
    for _ in range(5):
        primary.wait_until_inside("probe")
    assert lines.none_left()
    slowness[0] = 0.2
    assert "is back after" in lines.next().getMessage()


def test_a_probe_that_hangs_is_the_only_one_and_the_store_is_back_when_it_returns(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary(threads=8)
    store = make(primary)
    primary.hold("probe")
    primary.error = StoreError("down")
    store.count(ONE)
    lines.next()
    primary.wait_until_inside("probe")
    with pytest.raises(Empty):
        primary.entered.get(timeout=0.1)  # ten times as long as between two probes
    assert befores(store, ONE, 3) == [1, 2, 3]
    assert primary.calls == ["one", "close", "probe"]
    primary.error = None
    primary.let_go()
    assert "is back after" in lines.next().getMessage()


def test_a_probe_waits_for_a_thread_while_all_of_them_hang(make: Make, lines: Lines, soon: None) -> None:
    primary = Primary(threads=2)
    store = make(primary)
    primary.hold("one", "two")
    first, second = store.begin(Counting(ONE)), store.begin(Counting(TWO))
    for _ in range(2):
        primary.entered.get(timeout=PATIENCE_S)
    assert store.end(first) == store.end(second) == Count(0, 0)
    lines.next()
    assert sorted(primary.calls) == ["one", "two"]
    primary.let_go("two")
    assert "is back after" in lines.next().getMessage()
    # One thread still hangs; the other is enough to go on with.
    assert befores(store, TWO, 2) == [1, 2]
    assert primary.most_inside == 2


def test_who_comes_late_with_an_earlier_outage_says_nothing_of_this_one(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary(threads=4)
    store = make(primary)
    primary.hold("one", "two", "three-times")
    futures: list[Future[Count | None]] = [
        store.begin(Counting(ONE)),
        store.begin(Counting(TWO)),
        store.begin(Counting(THREE_TIMES)),
    ]
    for _ in futures:
        primary.entered.get(timeout=PATIENCE_S)
    assert store.end(futures[0]) == Count(0, 0)
    lines.next()
    assert "is back after" in lines.next().getMessage()
    # One is answered after all, one fails, and one was waited for in vain.
    primary.let_go("one")
    assert futures[0].result(PATIENCE_S) == Count(0, 0)
    assert store.end(futures[1]) == Count(0, 0)
    primary.error = StoreError("down")
    primary.let_go("three-times")
    assert futures[2].result(PATIENCE_S) == Count(0, 0)
    primary.error = None
    assert lines.none_left()
    assert befores(store, (Counter("four"),), 1) == [0]
    assert "four" in primary.calls


def test_a_thread_that_hangs_since_an_earlier_outage_does_not_make_counts_stand_in_this_spell(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary(threads=2)
    store = make(primary)
    primary.hold("one")
    future = store.begin(Counting(ONE))
    primary.wait_until_inside("one")
    assert store.end(future) == Count(0, 0)
    lines.next()
    assert "is back after" in lines.next().getMessage()
    assert befores(store, THREE_TIMES, 3) == [0, 1, 2]
    primary.counts = MemoryStore()
    assert befores(store, THREE_TIMES, 1) == [0]
    primary.error = StoreError("down")
    assert befores(store, THREE_TIMES, 3) == [1, 2, None]


def test_two_outages_are_two_pairs_of_lines_and_need_no_more_threads_than_none(
    make: Make, lines: Lines, soon: None
) -> None:
    primary = Primary(threads=8)
    store = make(primary)
    for said in ("down", "down again"):
        primary.hold("probe")
        primary.error = StoreError(said)
        befores(store, ONE, 3)
        assert f"is away ('{said}')" in lines.next().getMessage()
        primary.error = None
        primary.let_go()
        assert "is back after" in lines.next().getMessage()
        befores(store, ONE, 3)
    assert lines.none_left()
    assert len(primary.asking) == 1


# How it ends


def test_a_closed_store_has_closed_its_primary_and_counts_again_when_asked(make: Make) -> None:
    primary = Primary(threads=3)
    store = make(primary)
    befores(store, ONE, 2)
    store.close()
    assert primary.calls == ["one", "one", "close"]
    assert befores(store, ONE, 1) == [2]


def test_a_store_that_never_counted_closes_its_primary_as_well(make: Make) -> None:
    primary = Primary()
    make(primary).close()
    assert primary.calls == ["close"]


def test_an_outage_ends_with_the_store(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.error = StoreError("down")
    store.count(ONE)
    lines.next()
    store.close()
    primary.error = None
    assert befores(store, TWO, 1) == [0]
    assert primary.calls == ["one", "close", "two"]


@pytest.mark.usefixtures("impatient")
def test_a_probe_from_before_the_closing_does_not_end_an_outage_after_it(
    make: Make, lines: Lines, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("probe")
    primary.error = StoreError("down")
    store.count(ONE)
    primary.wait_until_inside("probe")
    primary.closed.get(timeout=PATIENCE_S)
    store.close()
    monkeypatch.setattr(crew, "RETRY_S", A_DAY_S)
    store.count(ONE)
    for _ in range(2):
        assert "is away" in lines.next().getMessage()
    primary.error = None
    primary.let_go()
    primary.closed.get(timeout=PATIENCE_S)
    assert lines.none_left()
    assert befores(store, ONE, 1) == [2]


@pytest.mark.usefixtures("impatient")
def test_closing_does_not_wait_for_what_hangs_and_answers_who_waits(make: Make, lines: Lines) -> None:
    primary = Primary()
    store = make(primary)
    primary.hold("one")
    first, second, third = store.begin(Counting(ONE)), store.begin(Counting(TWO)), store.begin(Counting(TWO))
    primary.wait_until_inside("one")
    third.cancel()
    store.close()
    assert second.result(0) == Count(0, 0)
    assert store.end(first) == Count(0, 0)
    with pytest.raises(CancelledError):
        third.result(0)
    assert primary.closed.empty()
    primary.let_go()
    primary.closed.get(timeout=PATIENCE_S)
    assert lines.none_left()


def test_a_store_that_nobody_has_any_more_lets_go_of_its_threads_and_connections() -> None:
    primary = Primary(threads=3)
    store = FallbackStore(primary)
    primary.hold("one")
    futures = [store.begin(Counting(ONE)) for _ in range(3)]
    for _ in futures:
        primary.wait_until_inside("one")
    workers = [thread for thread in threading.enumerate() if thread.ident in primary.asking]
    primary.let_go()
    for future in futures:
        future.result(PATIENCE_S)
    del store, future, futures
    gc.collect()
    for worker in workers:
        worker.join(PATIENCE_S)
        assert not worker.is_alive()
    assert primary.calls == ["one", "one", "one", "close"]


def test_what_fails_to_close_is_of_no_consequence(make: Make) -> None:
    class Stuck(Primary):
        def close(self) -> None:
            raise OSError("still busy")

    primary = Stuck()
    store = make(primary)
    store.close()
    assert befores(store, ONE, 1) == [0]
    store.close()
    assert befores(store, ONE, 1) == [1]


# What only shows in a process of its own

PRELUDE = """\
import json, logging, os, sys, threading, time
from mockware import crew, fallback
from mockware.counters import Count, Counter
from mockware.exceptions import StoreError
from mockware.fallback import FallbackStore

class Primary:
    threads = 2
    name = "fake://store"
    broken = False
    n = 0
    def count(self, counters):
        if self.broken:
            raise StoreError("down")
        if counters[0].key != "probe":
            self.n += 1
        return Count(0, self.n - 1)
    def close(self):
        pass

lines = []
back = threading.Event()
class Handler(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage().split(" (")[0].split(" after")[0])
        if "is back after" in record.getMessage():
            back.set()
fallback.logger.addHandler(Handler())
fallback.logger.propagate = False

def before(store):
    return store.count((Counter("one"),)).before

def in_child(do):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, json.dumps(do()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return json.loads(said)

primary = Primary()
store = FallbackStore(primary)
fallback.MAX_WAIT_S = 20
"""


def in_a_process(program: str) -> Any:
    """What the program prints, as JSON. It may fork while it has threads: gunicorn does so, too."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return json.loads(ended.stdout)


def test_a_child_of_a_process_that_has_counted_counts_with_threads_of_its_own() -> None:
    told = in_a_process("""
counted = [before(store), before(store)]
child = in_child(lambda: [before(store), before(store), lines])
print(json.dumps([counted, child, before(store), lines]))
""")
    assert told == [[0, 1], [2, 3, []], 2, []]


def test_a_child_that_is_made_in_an_outage_goes_on_from_memory_and_comes_back_by_itself() -> None:
    told = in_a_process("""
before(store)
primary.broken = True
crew.RETRY_S = 3600
counted = before(store)

def child():
    crew.RETRY_S = 0.01
    first = before(store)
    primary.broken = False
    return [first, back.wait(20), before(store), lines[1:]]

print(json.dumps([counted, in_child(child), in_child(child), lines]))
""")
    child = [2, True, 1, ["the store fake://store is away", "the store fake://store is back"]]
    assert told == [1, child, child, ["the store fake://store is away"]]


def test_a_child_that_is_made_in_an_outage_asks_a_store_that_is_back_at_once() -> None:
    told = in_a_process("""
primary.broken = True
crew.RETRY_S = 3600
before(store)
primary.broken = False
print(json.dumps([in_child(lambda: [before(store), before(store)]), before(store)]))
""")
    assert told == [[0, 1], 1]


def test_what_is_owed_in_an_outage_is_the_parents_to_write() -> None:
    told = in_a_process("""
from mockware.questions import Record
written = []
def write(records):
    if primary.broken:
        raise StoreError("down")
    written.append(records[0].key)
    return (None,)

primary.write = write
primary.broken = True
crew.RETRY_S = 0.01
before(store)
store.write([Record("of parent", b"", 60)])

def child():
    store.write([Record("of child", b"", 60)])
    primary.broken = False
    return [back.wait(20), written]

told = [in_child(child), written[:]]
primary.broken = False
print(json.dumps([*told, back.wait(20), written]))
""")
    assert told == [[True, ["of child"]], [], True, ["of parent"]]


def test_a_fork_in_the_middle_of_many_counts_leaves_the_child_nothing_locked() -> None:
    told = in_a_process("""
going = True
def ask(key):
    while going:
        store.count((Counter(key),))

askers = [threading.Thread(target=ask, args=(str(n),)) for n in range(3)]
for asker in askers:
    asker.start()

def child():
    primary.broken = True
    return before(store)

told = [in_child(child) for _ in range(30)]
going = False
for asker in askers:
    asker.join()
print(json.dumps([told, lines]))
""")
    assert told == [[0] * 30, []]


@pytest.mark.parametrize("hanging", ["count", "probe", "between probes"])
def test_a_process_ends_whatever_hangs(hanging: str) -> None:
    began = time.monotonic()
    told = in_a_process(f"""
hanging = {hanging!r}
inside = threading.Event()
def count(counters):
    if (counters[0].key == "probe") != (hanging == "probe"):
        raise StoreError("down")
    inside.set()
    time.sleep(60)

def count_once(counters):
    raise StoreError("down")

primary.count = count_once if hanging == "between probes" else count
fallback.MAX_WAIT_S = 0.05
crew.RETRY_S = 60 if hanging == "between probes" else 0.01
told = before(store)
if hanging != "between probes":
    inside.wait(20)
print(json.dumps(told))
""")
    assert told == 0
    assert time.monotonic() - began < PATIENCE_S
