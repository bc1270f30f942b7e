"""Every store counts the same, exactly, keeps records alike, and says in one way that it cannot.

One suite runs over all of them; what follows it is about one each: what is done to a file or a server, and
that the store tells of it and comes back.
"""

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.redis_server import Cluster, RedisServer, Sentinel

from mockware import memory_store, redis_store, sqlite_store
from mockware.counters import COUNTER_TTL_S, Count, Counter
from mockware.exceptions import StoreError
from mockware.memory_store import MemoryStore
from mockware.questions import MAX_RECORD_BYTES, Record, Store
from mockware.redis_store import RedisStore
from mockware.sqlite_store import SQLiteStore

PATIENCE_S = 60  # for a busy machine; nothing waits this long unless it has failed
# What a request waits for a store, and what a busy machine adds to it.
BOUND_S = 0.25 + 0.5
REDIS = ("tcp", "unix", "sentinel", "cluster")
SHARED = ("sqlite", *REDIS)
TTL_MS = COUNTER_TTL_S * 1000


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sentinel(server: RedisServer) -> Iterator[Sentinel]:
    with Sentinel(server) as sentinel:
        yield sentinel


class Place(NamedTuple):
    """Where stores of one kind count together. `open` makes one, `spec` tells another process how to."""

    kind: str
    open: Callable[[], Any]
    spec: tuple[str, ...]
    admin: Callable[[], Any] | None = None


@pytest.fixture
def place(kind: str, tmp_path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of the kind that the test is parametrized with, where nothing was counted yet."""
    with ExitStack() as closes:

        def opener(make: Callable[[], Any]) -> Callable[[], Any]:
            return lambda: closes.enter_context(closing(make()))

        if kind == "memory":
            yield Place(kind, opener(lambda: MemoryStore(clock=clock)), (kind,))
            return
        if kind == "sqlite":
            path = str(tmp_path / "counts.db")
            yield Place(kind, opener(lambda: SQLiteStore(path, clock=clock)), (kind, path))
            return
        of_kind = request.getfixturevalue("cluster" if kind == "cluster" else "server")
        url = {
            "tcp": lambda: of_kind.url,
            "unix": lambda: of_kind.unix_url,
            "sentinel": lambda: request.getfixturevalue("sentinel").sentinel_url,
            "cluster": lambda: of_kind.cluster_url,
        }[kind]() + "?socket_timeout=20"  # a busy machine is not what most tests are about
        prefix = uuid.uuid4().hex
        make = opener(lambda: RedisStore(url, prefix=prefix))
        yield Place(kind, make, (kind, url, prefix), lambda: closing(of_kind.admin()))


def on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds)


on_every_store = on("memory", *SHARED)
on_every_shared_store = on(*SHARED)


@pytest.fixture
def store(place: Place) -> Any:
    return place.open()


# ---- what holds for every store


@on_every_store
def test_a_counter_counts_from_nought(store: Store) -> None:
    assert [store.count([Counter("a")]) for _ in range(3)] == [Count(0, 0), Count(0, 1), Count(0, 2)]


@on_every_store
def test_a_counter_stands_at_its_limit(store: Store) -> None:
    answers = [store.count([Counter("a", 2)]) for _ in range(4)]
    assert answers == [Count(0, 0), Count(0, 1), None, None]
    assert store.count([Counter("a", 3)]) == Count(0, 2)


@on_every_store
def test_the_first_counter_below_its_limit_counts_and_no_other(store: Store) -> None:
    line = [Counter("a", 0), Counter("b", 1), Counter("c", 2), Counter("d")]
    answers = [store.count(line) for _ in range(5)]
    assert answers == [Count(1, 0), Count(2, 0), Count(2, 1), Count(3, 0), Count(3, 1)]
    assert [store.count([Counter(key)]) for key in "abcd"] == [Count(0, n) for n in (0, 1, 2, 2)]


@on_every_store
def test_nothing_to_count_is_counted_nowhere(store: Store) -> None:
    assert store.count([]) is None
    assert store.count([Counter("a", 0), Counter("b", -1)]) is None


@on_every_store
def test_a_counter_may_stand_in_line_twice(store: Store) -> None:
    line = [Counter("a", 1), Counter("a", 3)]
    assert [store.count(line) for _ in range(4)] == [Count(0, 0), Count(1, 1), Count(1, 2), None]


@on_every_store
def test_keys_at_the_bounds_are_keys_like_any_other(store: Store) -> None:
    keys = [
        "",
        " ",
        "{",
        "}",
        "{}",
        "{a}b",
        "%s",
        "'; DROP TABLE counters; --",
        "*",
        "\\",
        "\x7e" * 64,
        "1",
        "01",
    ]
    keys += [chr(code) for code in range(33, 127) if chr(code) not in keys]
    for before in range(2):
        assert [store.count([Counter(key)]) for key in keys] == [Count(0, before)] * len(keys)


@on_every_store
def test_a_long_line_is_walked_to_its_end(store: Store) -> None:
    line = [Counter(f"{n:064}", 0) for n in range(500)]
    assert store.count(line) is None
    assert store.count([*line, Counter("last")]) == Count(500, 0)


@on_every_store
def test_large_limits_and_counts_are_exact(store: Store) -> None:
    huge = 2**40
    assert store.count([Counter("a", huge)]) == Count(0, 0)
    assert store.count([Counter("a", huge)]) == Count(0, 1)


@on_every_store
def test_a_closed_store_opens_again(place: Place, store: Store) -> None:
    store.close()
    assert store.count([Counter("a")]) == Count(0, 0)
    store.close()
    store.close()
    assert store.count([Counter("a")]) == Count(0, 1)


@on_every_store
def test_what_a_store_says_of_itself(place: Place, store: Store) -> None:
    threads, start = {"memory": (0, "memory:"), "sqlite": (1, "sqlite:/")}.get(place.kind, (8, "redis"))
    assert store.threads == threads
    assert store.name.startswith("unix:///" if place.kind == "unix" else start)


@on_every_store
def test_sixteen_threads_count_exactly(place: Place, store: Store) -> None:
    limit = 1000
    begin = threading.Barrier(16)

    def count_to_the_limit(_: int) -> list[int]:
        begin.wait(PATIENCE_S)
        counted = []
        while (answer := store.count([Counter("full", 0), Counter("a", limit)])) is not None:
            assert answer.at == 1
            counted.append(answer.before)
        return counted

    with ThreadPoolExecutor(16) as threads:
        counted = list(threads.map(count_to_the_limit, range(16)))
    assert sorted(chain.from_iterable(counted)) == list(range(limit))


@on_every_shared_store
def test_two_stores_of_one_place_share_their_counts(place: Place) -> None:
    one, other = place.open(), place.open()
    assert [each.count([Counter("a")]) for each in (one, other, one)] == [Count(0, n) for n in range(3)]


class Model:
    """What every store is, in the fewest lines."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.ends: dict[str, float] = {}

    def count(self, counters: Sequence[Counter], now: float) -> Count | None:
        for at, (key, limit) in enumerate(counters):
            if self.ends.get(key, now) <= now:
                self.counts[key] = 0
            self.ends[key] = now + COUNTER_TTL_S
            if limit is None or self.counts[key] < limit:
                self.counts[key] += 1
                return Count(at, self.counts[key] - 1)
        return None


LINES = st.lists(
    st.builds(Counter, st.sampled_from("abcd"), st.none() | st.integers(-1, 4)),
    max_size=5,
)
# Whole seconds, which SQLite rounds ends to.
LEAPS = st.sampled_from([0, 1, COUNTER_TTL_S - 1, COUNTER_TTL_S, COUNTER_TTL_S + 1])


@on("memory", "sqlite")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(steps=st.lists(st.tuples(LEAPS, LINES), max_size=20))
def test_a_store_and_its_model_agree_at_any_time(
    store: Store, clock: Clock, steps: list[tuple[float, list[Counter]]]
) -> None:
    model, name = Model(), uuid.uuid4().hex
    for leap_s, line in steps:
        clock.now += leap_s
        named = [Counter(name + key, limit) for key, limit in line]
        assert store.count(named) == model.count(named, clock.now)


@on(*REDIS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(lines=st.lists(LINES, max_size=20))
def test_redis_and_its_model_agree(store: Store, lines: list[list[Counter]]) -> None:
    model, name = Model(), uuid.uuid4().hex
    for line in lines:
        named = [Counter(name + key, limit) for key, limit in line]
        assert store.count(named) == model.count(named, 0)


# ---- records


def record(
    key: str, value: bytes | None = b"", ttl_s: float = 3600, *, only_new: bool = False, shelf: str = ""
) -> Record:
    return Record(key, value, ttl_s, only_new, shelf)


@on_every_store
def test_a_record_is_kept_written_over_and_taken_away(store: Store) -> None:
    assert store.write([record("a", b"1"), record("b", b"\0\xff\r\n")]) == (None, None)
    assert store.read(["b", "no", "a", "a"]) == (b"\0\xff\r\n", None, b"1", b"1")
    assert store.write([record("a", b"")]) == (b"1",)
    assert store.read(["a"]) == (b"",)
    assert store.write([record("a", None), record("no", None)]) == (b"", None)
    assert store.read(["a", "b"]) == (None, b"\0\xff\r\n")


@on_every_store
def test_what_is_only_new_and_there_already_ends_the_writing(store: Store) -> None:
    first = [record("a", b"1", only_new=True), record("b", b"1"), record("c", b"1", only_new=True)]
    assert store.write(first) == (None, None, None)
    second = [record("d", b"2"), record("b", b"2", only_new=True), record("c", b"2"), record("e", b"2")]
    assert store.write(second) == (None, b"1", None, None)
    assert store.read(["a", "b", "c", "d", "e"]) == (b"1", b"1", b"1", b"2", None)
    assert store.write([record("a", None, only_new=True), record("a", b"3")]) == (b"1", None)
    assert store.write([record("e", None, only_new=True), record("a", b"3")]) == (None, b"1")


@on_every_store
def test_a_writing_goes_in_order(store: Store) -> None:
    writing = [record("a", b"1"), record("a", b"2"), record("a", None), record("a", b"3", only_new=True)]
    assert store.write(writing) == (None, b"1", b"2", None)
    assert store.read(["a"]) == (b"3",)


@on_every_store
def test_who_asks_for_no_record_gets_none(store: Store) -> None:
    store.write([record("a", shelf="s")])
    assert (store.write([]), store.read([]), store.list("s", "", 0)) == ((), (), ())
    assert store.list("no", "", 5) == store.list("s", "", -1) == ()


@on_every_store
def test_a_shelf_is_in_the_order_of_its_keys_and_goes_on_after_any(store: Store) -> None:
    keys = ["10", "9", "B", "a", "aa", "~"]
    for key in reversed(keys):
        store.write([record(key, key.encode(), shelf="s"), record(f"{key}:other", shelf="t"), record("1")])
    whole = tuple((key, key.encode()) for key in keys)
    assert store.list("s", "", 100) == whole
    assert store.list("s", "", 2) == whole[:2]
    assert store.list("s", "9", 2) == whole[2:4]
    assert store.list("s", "A", 100) == whole[2:]
    assert store.list("s", "~", 100) == ()
    store.write([record("B", b"again", shelf="s"), record("a", None, shelf="s")])
    assert store.list("s", "9", 2) == (("B", b"again"), ("aa", b"aa"))
    store.write([record(key, None, shelf="s") for key in keys])
    assert store.list("s", "", 100) == ()


@on_every_store
def test_a_counter_a_record_and_a_shelf_of_one_name_are_three(store: Store) -> None:
    for name in ("a", "record:a", ":a", "shelf:a"):
        assert store.count([Counter(name)]) == Count(0, 0)
        assert store.write([record(name, b"1", shelf=name)]) == (None,)
        assert store.list(name, "", 9) == ((name, b"1"),)
        assert store.count([Counter(name)]) == Count(0, 1)


@on_every_store
def test_keys_of_records_are_what_they_are(store: Store) -> None:
    keys = sorted([*map(chr, range(33, 127)), "{}", "{a}b", "%s", "'--", "(a", "[a", "~" * 120])
    store.write([record(key, key.encode(), shelf="'{}%s") for key in keys])
    assert store.read(keys) == tuple(key.encode() for key in keys)
    assert store.list("'{}%s", "", 1000) == tuple((key, key.encode()) for key in keys)


@on_every_store
def test_the_longest_record_is_kept_whole(store: Store) -> None:
    longest = os.urandom(MAX_RECORD_BYTES)
    store.write([record("a", longest, shelf="s")])
    assert store.read(["a"]) == (longest,)
    assert store.list("s", "", 1) == (("a", longest),)
    assert store.write([record("a", b"")]) == (longest,)


@on_every_store
def test_of_eight_threads_that_write_what_is_only_new_one_has_written_it(store: Store) -> None:
    begin = threading.Barrier(8)

    def write(number: int) -> list[int]:
        begin.wait(PATIENCE_S)
        mine = b"%d" % number
        writings = ([record(f"{n}", mine, only_new=True), record(f"{n}b", mine)] for n in range(50))
        return [n for n, writing in enumerate(writings) if store.write(writing) == (None, None)]

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write, range(8)))
    assert sorted(chain.from_iterable(won)) == list(range(50))
    for number, mine in enumerate(won):
        for n in mine:
            assert store.read([f"{n}", f"{n}b"]) == (b"%d" % number,) * 2


@on_every_shared_store
def test_two_stores_of_one_place_share_their_records(place: Place) -> None:
    one, other = place.open(), place.open()
    one.write([record("a", b"1", shelf="s")])
    assert other.write([record("a", b"2", only_new=True)]) == (b"1",)
    assert other.read(["a"]) == (b"1",)
    other.write([record("a", None, shelf="s")])
    assert one.read(["a"]) == (None,)
    assert one.list("s", "", 9) == ()


# What a key's shelf is does not change.
SHELVED = {"a": "s", "b": "s", "c": "s", "d": "t", "e": ""}


def writings(ttls_s: Sequence[float]) -> st.SearchStrategy[Any]:
    each = st.tuples(
        st.sampled_from("abcde"),
        st.none() | st.sampled_from([b"", b"1", b"2"]),
        st.sampled_from(ttls_s),
        st.booleans(),
    )
    return st.tuples(st.just("write"), st.lists(each, max_size=4))


LOOKS = st.tuples(st.just("read"), st.lists(st.sampled_from("abcde"), max_size=4)) | st.tuples(
    st.just("list"), st.tuples(st.sampled_from("st"), st.sampled_from(["", "a", "b", "c"]), st.integers(0, 4))
)


def asked(store: Any, name: str, step: tuple[str, Any]) -> Any:
    verb, what = step
    if verb == "write":
        return store.write(
            [
                Record(name + key, value, ttl_s, only_new, SHELVED[key] and name + SHELVED[key])
                for key, value, ttl_s, only_new in what
            ]
        )
    if verb == "read":
        return store.read([name + key for key in what])
    shelf, after, limit = what
    return store.list(name + shelf, name + after, limit)


@on("sqlite")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(steps=st.lists(st.tuples(st.sampled_from([0, 0.5, 1, 59]), writings([1, 60]) | LOOKS), max_size=25))
def test_a_file_and_memory_agree_on_records_at_any_time(
    store: Store, clock: Clock, steps: list[tuple[float, tuple[str, Any]]]
) -> None:
    memory, name = MemoryStore(clock=clock), uuid.uuid4().hex
    for leap_s, step in steps:
        clock.now += leap_s
        assert asked(store, name, step) == asked(memory, name, step)


@on("tcp", "cluster")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(steps=st.lists(writings([3600, 0.5 + 3600]) | LOOKS, max_size=25))
def test_redis_and_memory_agree_on_records(store: Store, steps: list[tuple[str, Any]]) -> None:
    memory, name = MemoryStore(), uuid.uuid4().hex
    for step in steps:
        assert asked(store, name, step) == asked(memory, name, step)


@on("memory", "sqlite")
def test_a_record_is_not_given_when_its_time_is_over(store: Store, clock: Clock) -> None:
    store.write([record("a", b"1", 0.25, shelf="s"), record("b", b"1", 60, shelf="s")])
    clock.now += 0.125
    assert store.read(["a"]) == (b"1",)
    clock.now += 0.125
    assert store.read(["a", "b"]) == (None, b"1")
    assert store.list("s", "", 9) == (("b", b"1"),)
    assert store.write([record("a", b"2", only_new=True, shelf="s")]) == (None,)
    assert store.list("s", "", 1) == (("a", b"2"),)


# ---- how long a counter lives


@on("memory", "sqlite")
def test_a_counter_ends_a_day_after_it_was_looked_at(store: Store, clock: Clock) -> None:
    assert store.count([Counter("a", 1)]) == Count(0, 0)
    for _ in range(3):
        clock.now += COUNTER_TTL_S - 1
        assert store.count([Counter("a", 1)]) is None  # it stands, and is looked at all the same
    clock.now += COUNTER_TTL_S - 1
    assert store.count([Counter("a", 1), Counter("b")]) == Count(1, 0)
    clock.now += COUNTER_TTL_S
    assert store.count([Counter("a", 1)]) == Count(0, 0)


@on("sqlite")
def test_the_fraction_of_a_second_is_in_favour_of_the_counter(store: Store, clock: Clock) -> None:
    clock.now += 0.75
    assert store.count([Counter("a")]) == Count(0, 0)
    clock.now += COUNTER_TTL_S - 0.001
    assert store.count([Counter("a")]) == Count(0, 1)


@on(*REDIS)
def test_redis_ends_a_counter_a_day_after_it_was_looked_at(place: Place, store: Store) -> None:
    assert place.admin is not None
    line = [Counter("full", 1), Counter("a", 1), Counter("b")]
    for _ in range(3):
        store.count(line)
    keys = [f"{{{place.spec[2]}}}:{key}" for key in ("full", "a", "b")]
    with place.admin() as admin:
        for _ in range(2):
            lives = [admin.pttl(key) for key in keys]
            assert all(TTL_MS - 60_000 < left <= TTL_MS for left in lives), lives
            for key in keys:
                admin.pexpire(key, 1_000_000)
            assert store.count(line) is not None
        assert admin.pexpire(keys[0], 0)
    assert store.count(line) == Count(0, 0)


# ---- several processes

OPENED = """
import json, os, sys, threading, traceback, warnings
from mockware.counters import Counter
from mockware.questions import Record
def opened(kind, *where):
    if kind == "memory":
        from mockware.memory_store import MemoryStore
        return MemoryStore()
    if kind == "sqlite":
        from mockware.sqlite_store import SQLiteStore
        return SQLiteStore(*where, clock=lambda: 1_800_000_000.0)
    from mockware.redis_store import RedisStore
    return RedisStore(where[0], prefix=where[1])
store = opened(*sys.argv[1:])
"""
# A busy machine may stop a process while it holds the lock of the file, and the others wait only so long.
# What was refused was not counted, so that to ask once more leaves no gap.
COUNT_TO_THE_LIMIT = """
import time
from mockware.exceptions import StoreError
from mockware.sqlite_store import MAX_LOCKED_S
print("ready", flush=True)
limit = int(sys.stdin.readline())
counted = []
while True:
    began_s = time.monotonic()
    try:
        answer = store.count([Counter("full", 0), Counter("a", limit)])
    except StoreError:
        if time.monotonic() - began_s < MAX_LOCKED_S:
            raise
        continue
    if answer is None:
        break
    counted.append(answer.before)
store.close()
print(json.dumps(counted))
"""
WRITE_WHAT_IS_NEW = """
print("ready", flush=True)
keys = int(sys.stdin.readline())
answers = [store.write([Record(str(n), b"", 60, True)]) for n in range(keys)]
store.close()
print(json.dumps([n for n, answer in enumerate(answers) if answer == (None,)]))
"""
FORK_WHILE_ANOTHER_THREAD_COUNTS = """
import signal
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which is what this is about
children = int(sys.stdin.readline())
over = threading.Event()
def count_all_the_time():
    while not over.is_set():
        store.count([Counter("other")])
store.count([Counter("a")])
thread = threading.Thread(target=count_all_the_time)
thread.start()
befores = []
for child in range(children):
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)  # ends a child that waits for a lock of its parent
        os.write(writes, b"%d " % store.count([Counter("a")]).before)
        store.count([Counter("other")])
        if child % 2:
            os._exit(0)
        raise SystemExit  # so that everything is torn down that a process has
    os.close(writes)
    with open(reads) as pipe:
        befores.append(int(pipe.read() or -1))
    befores.append(-os.waitpid(pid, 0)[1])
over.set()
thread.join()
befores.append(store.count([Counter("a")]).before)
store.close()
print(json.dumps(befores))
"""


def started(script: str, place: Place) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OPENED + script, *place.spec],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def said_together(script: str, place: Place, processes: int, line: str) -> list[Any]:
    """What each process prints, as JSON; they get the line when all of them are ready."""
    with ExitStack() as ends:
        running = [ends.enter_context(started(script, place)) for _ in range(processes)]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
        said = [process.communicate(timeout=PATIENCE_S) for process in running]
    assert [errors for _, errors in said] == [""] * processes
    return [json.loads(out) for out, _ in said]


@on("sqlite", "tcp")
def test_eight_processes_count_exactly(place: Place) -> None:
    limit = 2000
    counted = said_together(COUNT_TO_THE_LIMIT, place, 8, f"{limit}")
    assert sorted(chain.from_iterable(counted)) == list(range(limit))


@on("sqlite", "tcp")
def test_of_four_processes_that_write_what_is_only_new_one_has_written_it(place: Place) -> None:
    won = said_together(WRITE_WHAT_IS_NEW, place, 4, "500")
    assert sorted(chain.from_iterable(won)) == list(range(500))


@on("memory", "sqlite", "tcp", "cluster")
def test_a_forked_process_counts_at_once(place: Place) -> None:
    children = 6
    with started(FORK_WHILE_ANOTHER_THREAD_COUNTS, place) as process:
        out, errors = process.communicate(f"{children}\n", timeout=PATIENCE_S)
    assert errors == ""
    *of_children, of_parent = json.loads(out)
    befores = [1] * children if place.kind == "memory" else list(range(1, children + 1))
    assert of_children == [value for before in befores for value in (before, 0)]
    assert of_parent == (1 if place.kind == "memory" else children + 1)


# ---- memory


def test_what_another_store_said_is_taken_over(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    store.note("a", 5)
    assert store.count([Counter("a", 6)]) == Count(0, 5)
    store.note("a", 2)
    assert store.count([Counter("a", 6)]) == Count(0, 2)
    clock.now += COUNTER_TTL_S
    assert store.count([Counter("a")]) == Count(0, 0)


def test_the_counter_not_looked_at_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MAX_COUNTERS", 3)
    store = MemoryStore()
    for key in "abc":
        store.count([Counter(key)])
    assert store.count([Counter("a", 1)]) is None  # looking is enough
    store.note("d", 1)
    assert [store.count([Counter(key, 1)]) for key in "acd"] == [None] * 3
    assert store.count([Counter("b", 1)]) == Count(0, 0)


def test_a_hundred_thousand_invented_callers_are_the_most(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    for n in range(memory_store.MAX_COUNTERS + 10):
        store.count([Counter(f"{n}")])
    assert len(store._counts) == memory_store.MAX_COUNTERS == 100_000
    assert store.count([Counter("10", 1)]) is None
    assert store.count([Counter("9", 1)]) == Count(0, 0)


def test_expired_counters_leave_memory_as_others_come(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    for n in range(20):
        store.count([Counter(f"old{n}")])
    clock.now += COUNTER_TTL_S
    for n in range(20):
        store.count([Counter(f"new{n}")])
    assert len(store._counts) == 20


def test_a_record_that_is_too_long_is_refused_and_nothing_is_written() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match=r"a record of 1179649 bytes; allowed: 1179648"):
        store.write([record("a"), record("b", bytes(MAX_RECORD_BYTES + 1))])
    assert store.read(["a", "b"]) == (None, None)


def held(store: MemoryStore) -> str:
    """The keys in memory, expired or not; what is kept beside them must agree."""
    records = store._records
    assert store._bytes == sum(len(kept.value) for kept in records.values())
    assert store._ends == sorted((kept.expires_at, key) for key, kept in records.items())
    shelves: dict[str, list[str]] = {}
    for key, kept in sorted(records.items()):
        if kept.shelf:
            shelves.setdefault(kept.shelf, []).append(key)
    assert store._shelves == shelves
    return "".join(records)


def test_the_record_that_was_written_first_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MAX_RECORDS", 3)
    store = MemoryStore()
    for key in "abcad":
        store.write([record(key, shelf="s")])
        store.read("abc")  # reading does not help
    assert held(store) == "cad"


def test_what_records_weigh_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_store, "MAX_RECORDS_BYTES", 10)
    store = MemoryStore()
    for key in "abcd":
        store.write([record(key, b"123", shelf="s")])
    assert held(store) == "bcd"
    store.write([record("b", b"1234", shelf="s")])
    assert held(store) == "cdb"
    store.write([record("e", b"1234567890", shelf="s")])
    assert held(store) == "e"
    store.write([record("f", bytes(11), shelf="s")])
    assert held(store) == ""


def test_expired_records_leave_memory_as_others_come_and_before_any_that_live(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_store, "MAX_RECORDS", 4)
    store = MemoryStore(clock=clock)
    for key, ttl_s in zip("abcd", (60, 10, 60, 5), strict=True):
        store.write([record(key, ttl_s=ttl_s, shelf="s")])
    clock.now += 10
    store.write([record("e", shelf="s")])
    assert held(store) == "ace"


def test_what_another_store_has_is_taken_over_and_keeps_its_time_and_shelf(clock: Clock) -> None:
    store = MemoryStore(clock=clock)
    store.write([record("a", b"1", 60, shelf="s"), record("b", b"1", 60)])
    for key, value in (("a", b"1"), ("b", b"2"), ("c", b"3"), ("d", None)):
        store.note_record(key, value)
    clock.now += 60
    assert store.read("abcd") == (None, b"2", b"3", None)
    store.write([record("a", b"1", 60, shelf="s")])
    store.note_record("a", b"2")
    assert store.list("s", "", 9) == (("a", b"2"),)
    store.note_record("b", None)
    clock.now += COUNTER_TTL_S
    assert store.read("abcd") == (None,) * 4
    store.write([record("e")])
    held(store)


def test_a_copy_that_was_made_in_the_middle_of_a_writing_is_whole() -> None:
    store = MemoryStore()
    store.write([record("a", b"1", shelf="s"), record("b", b"1", shelf="s")])
    lock = store._lock
    with lock:  # another thread has it, which the child does not have
        del store._records["a"]
        store._forget_other_threads()
    assert held(store) == "b"
    assert store._lock is not lock
    store.write([record("a", b"2", shelf="s")])
    assert held(store) == "ba"


# ---- SQLite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counts.db"


@pytest.fixture
def file_store(path: Path) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(str(path))) as store:
        yield store


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def rows(path: Path) -> list[str]:
    with connected(path) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM counters ORDER BY key")]


def sqlite_refuses(store: SQLiteStore, why: str) -> float:
    """Returns how long that took."""
    began = time.monotonic()
    with pytest.raises(StoreError) as raised:
        store.count([Counter("a")])
    took_s = time.monotonic() - began
    said = str(raised.value)
    assert said.startswith(f"{store.name}: ")
    assert why in said
    assert store._connection is None
    return took_s


def test_nothing_is_opened_before_the_first_count(file_store: SQLiteStore, path: Path) -> None:
    assert not path.exists()
    file_store.count([Counter("a", 0)])
    assert path.exists()


def test_the_file_is_ours_in_writing(file_store: SQLiteStore, path: Path) -> None:
    file_store.count([Counter("a")])
    with connected(path) as connection:
        pragmas = ["application_id", "user_version", "journal_mode"]
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert values == [int.from_bytes(b"mock"), 2, "wal"]


def test_a_store_that_nobody_closed_goes_quietly(path: Path) -> None:
    store = SQLiteStore(str(path))
    store.count([Counter("a")])
    del store  # the warning that its connection is open would be an error here
    assert rows(path) == ["a"]


def test_a_change_of_the_working_directory_changes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    with closing(SQLiteStore("counts.db")) as store:
        assert store.name == "sqlite:counts.db"
        monkeypatch.chdir(elsewhere)
        store.count([Counter("a")])
    assert (tmp_path / "counts.db").exists()
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_a_path_that_is_no_file_is_refused_at_once(path: str) -> None:
    with pytest.raises(ValueError, match="is no path of a file; allowed: a path"):
        SQLiteStore(path)


def test_a_locked_file_is_waited_for_and_then_told(file_store: SQLiteStore, path: Path) -> None:
    file_store.count([Counter("a")])
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):  # with a connection, and when it has to be opened again
            took_s = sqlite_refuses(file_store, "another process has held its lock for 0.2 s")
            assert sqlite_store.MAX_LOCKED_S <= took_s < BOUND_S
        other.execute("ROLLBACK")
        assert file_store.count([Counter("a")]) == Count(0, 1)


def test_a_lock_that_is_released_in_time_is_not_told(
    file_store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_store.count([Counter("a")])
    pauses: list[float] = []
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")

        def release_at_the_third(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                other.execute("ROLLBACK")

        monkeypatch.setattr(time, "sleep", release_at_the_third)
        assert file_store.count([Counter("a")]) == Count(0, 1)
    assert len(pauses) == 3
    assert all(0 < pause <= 0.005 for pause in pauses)


def test_a_thread_that_counts_for_long_is_told_of(file_store: SQLiteStore) -> None:
    with file_store._lock, pytest.raises(StoreError, match=r"other threads have been asking for 0\.2 s"):
        file_store.count([Counter("a")])
    assert file_store.count([Counter("a")]) == Count(0, 0)


def test_an_interrupted_count_is_taken_back(
    file_store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_store.count([Counter("a")])
    counted = sqlite_store._counted

    def interrupted(*arguments: Any) -> None:
        counted(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sqlite_store, "_counted", interrupted)
        with pytest.raises(KeyboardInterrupt):
            file_store.count([Counter("a")])
    with closing(SQLiteStore(str(path))) as other:
        assert other.count([Counter("a")]) == Count(0, 1)
    assert file_store.count([Counter("a")]) == Count(0, 2)


def not_a_database(path: Path) -> str:
    path.write_bytes(b"These are my notes. " * 500)
    return "file is not a database"


def torn(path: Path) -> str:
    with closing(SQLiteStore(str(path))) as store:
        for n in range(500):
            store.count([Counter(f"{n:064}")])
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    return "malformed"


def of_another_program(path: Path) -> str:
    with connected(path) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    return "this is the database of another program"


def of_another_program_by_its_version(path: Path) -> str:
    with connected(path) as other:
        other.execute("PRAGMA user_version = 1")
    return "this is the database of another program"


def of_another_program_by_its_mark(path: Path) -> str:
    with connected(path) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("PRAGMA application_id = 1")
    return "this is the database of another program"


def of_a_later_mockware(path: Path) -> str:
    return of_a_mockware(path, 3)


def of_an_earlier_mockware(path: Path) -> str:
    return of_a_mockware(path, 1)


def of_a_mockware(path: Path, version: int) -> str:
    with closing(SQLiteStore(str(path))) as store:
        store.count([Counter("a")])
    with connected(path) as other:
        other.execute(f"PRAGMA user_version = {version}")
    return f"its tables are of version {version}, this mockware reads 2; delete the file"


@pytest.mark.parametrize(
    "made",
    [
        not_a_database,
        torn,
        of_another_program,
        of_another_program_by_its_version,
        of_another_program_by_its_mark,
        of_a_later_mockware,
        of_an_earlier_mockware,
    ],
)
def test_a_file_that_cannot_be_used_is_left_as_it_is(
    made: Callable[[Path], str], file_store: SQLiteStore, path: Path
) -> None:
    why = made(path)
    before = path.read_bytes()
    for _ in range(2):
        sqlite_refuses(file_store, why)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    path.unlink()
    assert file_store.count([Counter("a")]) == Count(0, 0)


def test_an_empty_file_is_ours_to_fill(file_store: SQLiteStore, path: Path) -> None:
    path.touch()
    assert file_store.count([Counter("a")]) == Count(0, 0)


def test_a_missing_folder_is_told_and_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "missing"
    with closing(SQLiteStore(str(folder / "counts.db"))) as store:
        sqlite_refuses(store, "unable to open database file")
        assert not folder.exists()
        folder.mkdir()
        assert store.count([Counter("a")]) == Count(0, 0)


def test_a_folder_in_place_of_the_file_is_told(file_store: SQLiteStore, path: Path) -> None:
    path.mkdir()
    sqlite_refuses(file_store, "unable to open database file")


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(SQLiteStore(str(tmp_path / "file" / "counts.db"))) as store:
        sqlite_refuses(store, "Not a directory")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may do anything, so that it has to be somebody else to be refused."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_file_without_permission_is_told(mode: int, tmp_path: Path) -> None:
    folder = Path(f"/tmp/mockware-{uuid.uuid4().hex}")  # pytest's own folders let nobody in
    folder.mkdir()
    path = folder / "counts.db"
    try:
        with closing(SQLiteStore(str(path))) as store:
            store.count([Counter("a")])
            store.close()
            path.chmod(mode)
            folder.chmod(0o555)
            with as_nobody():
                sqlite_refuses(store, "unable to open" if mode == 0 else "readonly database")
    finally:
        folder.chmod(0o755)
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def test_a_read_only_folder_is_told() -> None:
    folder = Path(f"/tmp/mockware-{uuid.uuid4().hex}")
    folder.mkdir()
    folder.chmod(0o555)
    try:
        with closing(SQLiteStore(str(folder / "counts.db"))) as store, as_nobody():
            sqlite_refuses(store, "unable to open database file")
    finally:
        folder.rmdir()


def all_of(path: Path) -> list[Path]:
    return [path, Path(f"{path}-wal"), Path(f"{path}-shm")]


@pytest.mark.parametrize("deleted", [all_of, lambda path: [path]], ids=["with its companions", "alone"])
def test_stores_of_a_deleted_file_find_each_other_again(
    deleted: Callable[[Path], list[Path]], file_store: SQLiteStore, path: Path
) -> None:
    with closing(SQLiteStore(str(path))) as other:
        for store in (file_store, other):
            store.count([Counter("a")])
        for each in deleted(path):
            each.unlink()
        told = []
        for store in (file_store, other) * 20:
            # While one of them still has the deleted file, the other may be told so.
            with suppress(StoreError):
                told.append(store.count([Counter("a")]))
        assert told[-30:] == [Count(0, n) for n in range(len(told) - 30, len(told))]
    assert rows(path) == ["a"]


def test_a_replaced_file_is_found(file_store: SQLiteStore, path: Path, tmp_path: Path) -> None:
    file_store.count([Counter("a")])
    with closing(SQLiteStore(str(tmp_path / "new.db"))) as new:
        for _ in range(5):
            new.count([Counter("a")])
    for each in all_of(path)[1:]:
        each.unlink()
    (tmp_path / "new.db").replace(path)
    assert file_store.count([Counter("a")]) == Count(0, 5)


def test_a_file_that_takes_long_to_make_is_not_taken_for_one_that_is_replaced(
    file_store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockware.sqlite_store.MAX_LOCKED_S", 0)  # so that anything is too long
    assert file_store.count([Counter("a")]) == Count(0, 0)


def test_a_file_that_is_never_the_same_is_given_up(
    file_store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    inodes = iter(range(10_000))
    monkeypatch.setattr(file_store, "_identity", lambda: (0, next(inodes)))
    sqlite_refuses(file_store, "the file is being replaced again and again")


def test_expired_rows_are_removed_now_and_then(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "PURGE_EVERY", 5)
    with closing(SQLiteStore(str(path), clock=clock)) as store:
        for n in range(4):
            store.count([Counter(f"old{n}")])
        clock.now += COUNTER_TTL_S
        assert len(rows(path)) == 4
        for n in range(4):
            store.count([Counter(f"new{n}")])
        assert rows(path) == [f"new{n}" for n in range(4)]


def test_rows_are_bounded_and_the_soonest_to_end_go_first(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "PURGE_EVERY", 1)
    monkeypatch.setattr(sqlite_store, "MAX_COUNTERS", 3)
    with closing(SQLiteStore(str(path), clock=clock)) as store:
        for key in "abc":
            store.count([Counter(key)])
            clock.now += 1
        assert store.count([Counter("a", 1)]) is None  # looking is enough
        for key in "de":
            store.count([Counter(key)])
        assert rows(path) == ["a", "c", "d", "e"]  # the bound, and the one that came after it was looked at


def test_a_purge_has_its_bound_too(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "_MAX_PURGED", 10)
    with closing(SQLiteStore(str(path), clock=clock)) as store:
        for n in range(100):
            store.count([Counter(f"{n}")])
        clock.now += COUNTER_TTL_S
        store._until_purge = 0
        store.count([Counter("new")])
    assert len(rows(path)) == 91


def test_records_are_read_while_another_process_writes(file_store: SQLiteStore, path: Path) -> None:
    file_store.write([record("a", b"1", shelf="s")])
    with connected(path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM records")
        assert file_store.read(["a"]) == (b"1",)
        assert file_store.list("s", "", 9) == (("a", b"1"),)
        with pytest.raises(StoreError, match="another process has held its lock"):
            file_store.write([record("a", b"2")])
        other.execute("COMMIT")
    assert file_store.read(["a"]) == (None,)


def test_a_writing_that_fails_has_written_nothing(
    file_store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_store.write([record("a", b"1")])
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_store, "_TAKE_AWAY", "DELETE FROM nowhere WHERE key = ?")
        with pytest.raises(StoreError, match="nowhere"):
            file_store.write([record("b", b"2"), record("a", None)])
    assert file_store.read(["a", "b"]) == (b"1", None)


def records_in(path: Path) -> str:
    with connected(path) as connection:
        return "".join(key for (key,) in connection.execute("SELECT key FROM records ORDER BY rowid"))


def test_expired_records_are_removed_now_and_then(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "PURGE_EVERY", 4)
    with closing(SQLiteStore(str(path), clock=clock)) as store:
        store.write([record("a", ttl_s=10), record("b", ttl_s=20), record("c", ttl_s=10)])
        clock.now += 10
        store.write([record("d")])
        assert records_in(path) == "abcd"
        store.write([record("e")])
        assert records_in(path) == "bde"


def test_records_are_bounded_and_those_written_first_go_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "PURGE_EVERY", 1)
    monkeypatch.setattr(sqlite_store, "MAX_RECORDS", 3)
    with closing(SQLiteStore(str(path))) as store:
        for key in "abcade":
            store.write([record(key, shelf="s")])
        assert records_in(path) == "cade"  # the bound, and the one that came after it was looked at


def test_the_file_is_bounded_whoever_writes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mib = 1024 * 1024
    monkeypatch.setattr(sqlite_store, "MAX_FILE_BYTES", 4 * mib)
    monkeypatch.setattr(sqlite_store, "_PURGE_EVERY_BYTES", mib)
    stores = [SQLiteStore(str(path)) for _ in range(2)]
    for n in range(20):
        stores[n % 2].write([record(chr(97 + n), bytes(mib), shelf="s")])
        stores[n % 2].count([Counter(f"{n}")])
        assert path.stat().st_size < 7 * mib
    assert "qrst".endswith(records_in(path)[-4:])
    assert stores[0].count([Counter("0")]) == Count(0, 1)
    for store in stores:
        store.close()


# ---- Redis


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """One to be hurt."""
    with RedisServer() as server:
        yield server


def redis_refuses(store: RedisStore, why: str = "") -> float:
    """Returns how long that took."""
    began = time.monotonic()
    with pytest.raises(StoreError) as raised:
        store.count([Counter("a")])
    took_s = time.monotonic() - began
    said = str(raised.value)
    assert said.startswith(f"{store.name}: ")
    assert why.lower() in said.lower()
    return took_s


@contextmanager
def overheard(place: Place) -> Iterator[list[str]]:
    """The commands that a store sends meanwhile, each of which is a round trip; at the end they are there.

    A store is known by the scripts that it runs, of which the server says what they call in other words. A
    Sentinel that an earlier test has started goes on asking.
    """
    assert place.admin is not None
    sent: list[str] = []
    with place.admin() as admin, admin.monitor() as monitor:
        yield sent
        admin.echo("over")
        told = []
        while (each := monitor.next_command())["command"] != "ECHO over":
            told.append(each)
    commands = [
        (each["client_address"], each["client_port"], each["command"].split()[0].lower())
        for each in told
        if each["client_type"] != "lua"
    ]
    ours = {(address, port) for address, port, name in commands if name in ("evalsha", "eval")}
    sent += [name for address, port, name in commands if (address, port) in ours]


@on(*REDIS)
def test_a_count_is_one_round_trip(place: Place, store: Store) -> None:
    line = [Counter("a", 0), Counter("b", 1), Counter("c")]
    store.count(line)  # connects
    with overheard(place) as sent:
        for _ in range(10):
            store.count(line)
    assert sent == ["evalsha"] * 10


@on(*REDIS)
def test_to_write_to_read_or_to_list_is_one_round_trip(place: Place, store: Store) -> None:
    for turn in "xy":  # the first time, the server does not know the scripts
        with overheard(place) as sent:
            for n in range(5):
                store.write([record(f"{n}{key}", shelf=turn) for key in "abc"])
                assert store.read(["0a", "no", f"{n}b"]) == (b"", None, b"")
                assert len(store.list(turn, "", 4)) == (4 if n else 3)
                store.write([record(f"{n}a", None, shelf=turn), record("0a", shelf=turn)])
    assert sent == ["evalsha", "mget", "evalsha", "evalsha"] * 5


@on(*REDIS)
def test_a_shelf_lives_as_long_as_its_last_record(place: Place, store: Store) -> None:
    assert place.admin is not None
    tag = f"{{{place.spec[2]}}}"
    with place.admin() as admin:

        def lives(*keys: str) -> list[float]:
            return [round(admin.pttl(tag + key) / 10_000) * 10 for key in keys]

        store.write([record("a", b"1", 500, shelf="s")])
        store.write([record("b", b"1", 1000, shelf="s"), record("c", b"1", 100, shelf="s")])
        assert lives("record:a", "record:b", "record:c", "shelf:s") == [500, 1000, 100, 1000]
        store.write([record("a", b"1", 0.0001)])
        while admin.exists(f"{tag}record:a"):
            pass
    assert store.read(["a"]) == (None,)


@on("tcp", "cluster")
def test_keys_of_the_dead_leave_their_shelf_when_somebody_looks(place: Place, store: Store) -> None:
    assert place.admin is not None
    tag = f"{{{place.spec[2]}}}"
    keys = [f"{n:03}" for n in range(300)]
    with place.admin() as admin:
        for key in keys:
            store.write([record(key, b"1", shelf="s")])

        def expire(*dead: str) -> None:
            for key in dead:
                assert admin.delete(f"{tag}record:{key}") == 1

        def shelved() -> list[str]:
            return list(admin.zrange(f"{tag}shelf:s", 0, -1))

        # Whoever writes looks at the two lowest and at two neighbours.
        expire("000", "001", "002", "101", "102", "103")
        store.write([record("100", b"2", shelf="s")])
        assert shelved() == [key for key in keys if key not in ("000", "001", "101", "102")]
        # Whoever lists goes on until there are enough, and others are as they were.
        expire(*keys[3:99])
        assert store.list("s", "", 2) == (("099", b"1"), ("100", b"2"))
        assert shelved() == ["099", "100", *keys[103:]]


@on("tcp")
def test_a_list_looks_at_so_many_keys_and_no_more(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_MAX_LOOKED_AT", 10)
    assert place.admin is not None
    tag = f"{{{place.spec[2]}}}"
    with place.admin() as admin:
        admin.zadd(f"{tag}shelf:s", {f"{n:03}": 0 for n in range(25)})
        store.write([record("zzz", b"1", shelf="s")])
        found = [store.list("s", "", 5) for _ in range(4)]
        assert found == [(), (), (("zzz", b"1"),), (("zzz", b"1"),)]


def test_a_server_without_memory_writes_all_or_nothing(own_server: RedisServer) -> None:
    with closing(RedisStore(own_server.url)) as store, closing(own_server.admin()) as admin:
        store.write([record("a", b"1")])
        admin.config_set("maxmemory", 1)
        with pytest.raises(StoreError, match="maxmemory"):
            store.write([record("b", b"2"), record("a", None)])
        assert store.read(["a", "b"]) == (b"1", None)
        # To take away is allowed, and what follows it in the same script is, too.
        assert store.write([record("a", None), record("b", b"2")]) == (b"1", None)
        assert store.read(["a", "b"]) == (None, b"2")
        admin.config_set("maxmemory", 0)


def test_records_are_bytes_whatever_the_url_says(server: RedisServer) -> None:
    url = f"{server.url}?decode_responses=true"
    with closing(RedisStore(url, prefix=uuid.uuid4().hex)) as store:
        store.write([record("a", b"\xff", shelf="s")])
        assert store.read(["a"]) == (b"\xff",)
        assert store.list("s", "", 1) == (("a", b"\xff"),)


@on(*REDIS)
def test_a_server_that_forgot_the_script_counts_all_the_same(place: Place, store: Store) -> None:
    assert place.admin is not None
    with place.admin() as admin:
        for before in range(3):
            admin.script_flush()
            assert store.count([Counter("a")]) == Count(0, before)


@on(*REDIS)
def test_a_connection_that_the_server_has_closed_is_not_told_of(place: Place, store: Store) -> None:
    assert place.admin is not None
    with place.admin() as admin:
        store.count([Counter("a")])
        admin.client_kill_filter(_type="normal", skipme=True)
        assert store.count([Counter("a")]) == Count(0, 1)


def test_a_killed_server_is_told_and_found_again(own_server: RedisServer) -> None:
    with closing(RedisStore(own_server.url)) as store:
        store.count([Counter("a")])
        own_server.kill()
        for _ in range(2):
            assert redis_refuses(store, "refused") < BOUND_S
        own_server.restart()
        assert store.count([Counter("a")]) == Count(0, 0)


def test_a_server_that_does_not_answer_is_told_and_its_answers_are_not_mixed_up(
    own_server: RedisServer,
) -> None:
    with closing(RedisStore(own_server.url)) as store:
        store.count([Counter("a")])
        own_server.pause()
        for _ in range(2):
            assert redis_refuses(store, "timeout") < BOUND_S
        own_server.resume()
        assert store.count([Counter("b")]) == Count(0, 0)
        counted = store.count([Counter("a")])
        assert counted is not None
        assert counted.before >= 1


def test_a_server_without_memory_is_told_of(own_server: RedisServer) -> None:
    with closing(RedisStore(own_server.url)) as store, closing(own_server.admin()) as admin:
        store.count([Counter("a")])
        admin.config_set("maxmemory", 1)
        redis_refuses(store, "maxmemory")
        admin.config_set("maxmemory", 0)
        assert store.count([Counter("a")]) == Count(0, 1)


@pytest.mark.parametrize("value", ["many", ""])
def test_a_key_that_is_somebody_elses_is_told_of(value: str, server: RedisServer) -> None:
    prefix = uuid.uuid4().hex
    with closing(server.admin()) as admin, closing(RedisStore(server.url, prefix=prefix)) as store:
        key = f"{{{prefix}}}:a"
        admin.set(key, value) if value else admin.lpush(key, "x")
        redis_refuses(store)
        assert store.count([Counter("b")]) == Count(0, 0)


def test_a_database_of_its_own_is_chosen_by_the_url(server: RedisServer) -> None:
    prefix = uuid.uuid4().hex
    for url in (f"{server.url}/5", f"{server.url}?db=6", f"{server.unix_url}?db=7"):
        with closing(RedisStore(url, prefix=prefix)) as store:
            assert store.count([Counter("a")]) == Count(0, 0)


PASSWORD = "s3cr/t @:%+é"
QUOTED = "s3cr%2Ft%20%40%3A%25%2B%C3%A9"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    with RedisServer("--requirepass", PASSWORD) as server:
        # Those that the docstring names, and no other.
        told = (RedisStore.__doc__ or "").split("the commands that")[1].split("Nothing")[0]
        commands = re.findall(r"\b[A-Z]{3,}\b", told)
        assert {"EVALSHA", "INCR", "ZRANGEBYLEX"} < set(commands)
        with closing(server.admin(password=PASSWORD)) as admin:
            admin.acl_setuser(
                "mock",
                enabled=True,
                passwords=["+" + PASSWORD],
                keys=["{mockware}*"],
                commands=["+" + command.lower() for command in commands],
            )
        yield server


@pytest.mark.parametrize("user", ["", "default", "mock"])
def test_user_and_password_come_with_the_url(user: str, guarded: RedisServer) -> None:
    url = guarded.url.replace("//", f"//{user}:{QUOTED}@")
    with closing(RedisStore(url)) as store:
        assert store.count([Counter(user)]) == Count(0, 0)
        assert store.write([record("gone", None, shelf="s"), record("a", shelf="s")])[0] is None
        assert store.read(["a"]) == (b"",)
        assert store.list("s", "", 1) == (("a", b""),)
        assert store.name == guarded.url
    with closing(RedisStore(guarded.unix_url.replace("//", f"//{user}:{QUOTED}@"))) as store:
        assert store.count([Counter(user)]) == Count(0, 1)
        assert store.name == guarded.unix_url


def hidden(said: str) -> None:
    for secret in ("s3cr", QUOTED, PASSWORD):
        assert secret not in said


@pytest.mark.parametrize("right", [True, False])
def test_sentinels_and_servers_have_passwords_of_their_own(right: bool, guarded: RedisServer) -> None:
    lines = (f'sentinel auth-pass mymaster "{PASSWORD}"', "requirepass watcher")
    with Sentinel(guarded, *lines) as sentinel:
        url = sentinel.sentinel_url.replace("//", f"//:{QUOTED}@")
        own = "watcher" if right else "s3cret"
        with closing(RedisStore(f"{url}?sentinel_password={own}", prefix=uuid.uuid4().hex)) as store:
            if right:
                assert store.count([Counter("a")]) == Count(0, 0)
            else:
                redis_refuses(store, "password")
            assert store.name == sentinel.sentinel_url


def shown(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def test_a_wrong_password_is_told_and_not_shown(guarded: RedisServer) -> None:
    with closing(RedisStore(guarded.url.replace("//", "//:s3cret-but-wrong@"))) as store:
        with pytest.raises(StoreError, match="password") as raised:
            store.count([Counter("a")])
        hidden(shown(raised.value))


@pytest.mark.parametrize("kind", ["one", "cluster"])
def test_a_server_that_quotes_the_password_is_not_quoted(kind: str) -> None:
    # Redis tells the arguments of a command that it does not know.
    renamed = ("--rename-command", "AUTH", "")
    with Cluster(*renamed) if kind == "cluster" else RedisServer(*renamed) as server:
        url = server.cluster_url if isinstance(server, Cluster) else server.url
        with closing(RedisStore(url.replace("//", f"//:{QUOTED}@"))) as store:
            with pytest.raises(StoreError) as raised:
                store.count([Counter("a")])
            if kind == "one":
                assert "unknown command" in str(raised.value)
                assert "***" in str(raised.value)
            hidden(shown(raised.value))


def test_a_failover_is_followed(own_server: RedisServer) -> None:
    with (
        RedisServer() as second,
        Sentinel(own_server) as sentinel,
        closing(RedisStore(sentinel.sentinel_url)) as store,
    ):
        assert [store.count([Counter("a")]) for _ in range(2)] == [Count(0, 0), Count(0, 1)]
        sentinel.watch(second)
        own_server.kill()
        assert store.count([Counter("a")]) == Count(0, 0)
        sentinel.kill()
        assert store.count([Counter("a")]) == Count(0, 1)  # the connection is there already
        second.kill()
        assert redis_refuses(store) < BOUND_S


def test_the_next_sentinel_and_the_next_node_are_asked(sentinel: Sentinel, cluster: Cluster) -> None:
    for url in (sentinel.sentinel_url, cluster.cluster_url):
        with closing(RedisStore(url.replace("//", "//127.0.0.1:1,"), prefix=uuid.uuid4().hex)) as store:
            assert store.count([Counter("a")]) == Count(0, 0)


def test_a_cluster_that_was_away_is_found_again() -> None:
    with Cluster() as cluster, closing(RedisStore(cluster.cluster_url)) as store:
        assert store.count([Counter("a")]) == Count(0, 0)
        cluster.kill()
        for _ in range(2):
            assert redis_refuses(store) < BOUND_S
        cluster.restart()
        assert store.count([Counter("a")]) == Count(0, 0)
        store.close()
        cluster.pause()
        for _ in range(2):
            assert redis_refuses(store) < BOUND_S
        cluster.resume()
        assert store.count([Counter("b")]) == Count(0, 0)


def test_tls_to_a_server_without_it_is_told(server: RedisServer) -> None:
    with closing(RedisStore(server.url.replace("redis:", "rediss:"))) as store:
        assert redis_refuses(store) < BOUND_S


@pytest.mark.parametrize(
    "url",
    [
        "redis://no.such.host.invalid",
        "redis://a..b",
        f"redis://{'a' * 64}.example",
        "unix:///no/such/socket",
        "redis://127.0.0.1:1",
        "redis+sentinel://127.0.0.1:1/mymaster",
        "redis+cluster://127.0.0.1:1",
        "rediss+cluster://127.0.0.1:1",
        "rediss+sentinel://127.0.0.1:1/mymaster",
        "redis://[::1]:1",
        "redis://localhost:1/3?client_name=me",
        "rediss://127.0.0.1:1?ssl_ca_certs=/no/such/file",
    ],
)
def test_nobody_there_is_a_store_error(url: str) -> None:
    with closing(RedisStore(url)) as store:
        assert store.name == url.partition("?")[0]
        redis_refuses(store)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no URL of a Redis store"),
        ("redis", "no URL of a Redis store"),
        ("http://s3cret@localhost", "no URL of a Redis store"),
        ("redis:/localhost", "no URL of a Redis store"),
        ("redis://:s3c@ret@localhost", "%40"),
        ("redis://:s3c#ret@localhost", "%23"),
        ("redis://:s3c/ret@localhost", "%2F"),
        ("redis://:s3c?ret@localhost", "HOST:PORT"),
        ("redis://localhost\n", "no URL of a Redis store"),
        ("redis://localhost:s3cret", "HOST:PORT"),
        ("redis://localhost:0", "HOST:PORT"),
        ("redis://localhost:65536", "HOST:PORT"),
        ("redis://::1", "HOST:PORT"),
        ("redis://one,two", "names one host"),
        ("redis://localhost/mine", "is a number"),
        ("redis://localhost?db=s3cret", "Invalid value for 'db'"),
        ("redis://localhost?sokcet_timeout=1", "sokcet_timeout"),
        ("redis://localhost?socket_timeout=soon", "socket_timeout"),
        ("redis://localhost?ssl_keyfile=/x", "ssl_keyfile"),
        ("redis://localhost?sentinel_password=s3cret", "sentinel_password"),
        ("rediss://localhost?ssl_cert_reqs=perhaps", "perhaps"),
        ("unix://localhost/socket", "names the socket's path"),
        ("unix://", "names the socket's path"),
        ("unix://s3cret:x/y@/socket", "no URL of a Redis store"),
        ("redis+sentinel://localhost", "names the service"),
        ("redis+sentinel://localhost/", "names the service"),
        ("redis+sentinel://localhost/mymaster/x", "is a number"),
        ("redis+sentinel://one,,two/mymaster", "HOST:PORT"),
        ("redis+cluster://localhost/1", "database 0 only"),
        ("redis+cluster://localhost?db=1", "database 0 only"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_a_hint(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"allowed: redis://|the options of") as raised:
        RedisStore(url)
    assert why in str(raised.value)
    assert not isinstance(raised.value, UnicodeError)
    said = shown(raised.value)
    assert not any(part in said for part in ("s3c", "ret@"))


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "a\nb"])
def test_a_prefix_that_would_spoil_the_keys_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="is no prefix; allowed: printable characters"):
        RedisStore("redis://localhost", prefix=prefix)


def test_options_of_the_url_win() -> None:
    plain, other = RedisStore("redis://h"), RedisStore("redis://h?socket_timeout=0.5&protocol=3")
    options = [store._make().connection_pool.connection_kwargs for store in (plain, other)]
    assert [each["socket_timeout"] for each in options] == [0.2, 0.5]
    assert [int(each["protocol"]) for each in options] == [2, 3]
    assert [each["retry"]._retries for each in options] == [0, 0]


def test_a_child_makes_connections_of_its_own(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # redis-py leaves its parent's sockets alone, but waits for the locks that a thread of the parent held.
    with closing(RedisStore(server.url, prefix=uuid.uuid4().hex)) as store:
        store.count([Counter("a")])
        of_parent: Any = store._client
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: 1)
            assert store.count([Counter("a")]) == Count(0, 1)
            assert store._client is not of_parent
            store.close()
        of_parent.close()


def test_without_the_package_the_hint_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ValueError, match=r"pip install 'mockware\[redis\]'"):
        RedisStore("redis://localhost")


def test_redis_is_imported_by_nobody_who_does_not_count_there() -> None:
    script = "import sys, mockware.redis_store; raise SystemExit('redis' in sys.modules)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    assert subprocess.run([sys.executable, "-c", script], env=environ, check=False).returncode == 0
