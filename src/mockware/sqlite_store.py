"""Counts and records in a SQLite file: for the several worker processes of one host.

Law: a count or a writing is one transaction, which holds SQLite's write lock from before the first look until
after the last write, so that it is exact among processes; to read or list is one statement, which sees one
state. A file that is not ours is not written to. After any error, and when the path has come to mean another
file, the connection is given up for a new one. Nothing need outlive a power cut: nothing waits for the disk.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from .counters import COUNTER_TTL_S, Count, Counter
from .exceptions import StoreError, quoted
from .questions import Record

# How long a question waits for its turn, among threads and among processes. A request waits at most a quarter
# of a second for its store, and the question itself needs a part of that.
MAX_LOCKED_S = 0.2
# Between two tries for the lock: a transaction holds it for some 50 microseconds. SQLite's own handler
# sleeps for up to 100 ms, which starves whoever has waited longest while others come and go.
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.0002, 0.002
# A row takes 170 bytes with its place in the index, measured: 43 MB at the most. Counting the rows and
# removing some takes 25 ms then, once in `PURGE_EVERY` counts: a small part of what another count may wait.
MAX_COUNTERS = 250_000
# As many as a process keeps in memory. Beyond the bound, those that were written first go first.
MAX_RECORDS = 100_000
# The whole file: half of the smallest /tmp that is given away (512 MB, on AWS Lambda). SQLite knows how much
# is in use without looking at any row.
MAX_FILE_BYTES = 256 * 1024 * 1024
# How often rows are removed: once in so many rows that were added, at most, by this process, and whenever it
# has written so much. Removing up to twice as many keeps up, and takes milliseconds.
PURGE_EVERY = 1000
_MAX_PURGED = 2 * PURGE_EVERY
_PURGE_EVERY_BYTES = 16 * 1024 * 1024
# A fork waits for the count that another thread is in the middle of, which is over long before this.
_MAX_FORK_WAIT_S = 1.0
# https://www.sqlite.org/pragma.html#pragma_application_id: "mock" in ASCII.
APPLICATION_ID = 0x6D6F636B
SCHEMA_VERSION = 2

_SCHEMA = (
    # Whole seconds, rounded up: so a busy counter moves within the index once a second, not at each count.
    """CREATE TABLE counters (
        key TEXT PRIMARY KEY, count INTEGER NOT NULL, expires_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX counters_by_end ON counters (expires_at)",
    # With a rowid, which grows with each writing: REPLACE gives another.
    """CREATE TABLE records (
        key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, expires_at REAL NOT NULL, shelf TEXT NOT NULL
    )""",
    "CREATE INDEX records_by_end ON records (expires_at)",
    "CREATE INDEX records_by_shelf ON records (shelf, key)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_LOOK = "SELECT count, expires_at FROM counters WHERE key = ?"
_INSERT = "INSERT INTO counters (key, count, expires_at) VALUES (?, ?, ?)"
_UPDATE = "UPDATE counters SET count = ?, expires_at = ? WHERE key = ?"
_INCREMENT = "UPDATE counters SET count = count + 1 WHERE key = ?"
_PURGE = """
DELETE FROM counters WHERE key IN (
    SELECT key FROM counters WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)"""
_LOOK_UP = "SELECT value, expires_at FROM records WHERE key = ?"
_READ = "SELECT key, value FROM records WHERE expires_at > ? AND key IN ({})"
_LIST = """
SELECT key, value FROM records
WHERE shelf = ? AND key > ? AND expires_at > ? ORDER BY key LIMIT ?"""
_WRITE = "REPLACE INTO records (key, value, expires_at, shelf) VALUES (?, ?, ?, ?)"
_TAKE_AWAY = "DELETE FROM records WHERE key = ?"
_PURGE_EXPIRED = """
DELETE FROM records WHERE rowid IN (
    SELECT rowid FROM records WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)"""
_OLDEST = "SELECT rowid, length(value) FROM records ORDER BY rowid LIMIT ?"
_PURGE_OLDEST = "DELETE FROM records WHERE rowid <= ?"

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_Answer = TypeVar("_Answer")

_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()


class SQLiteStore:
    """Counts and keeps in the SQLite database at `path`, made at the first question; its folder is not.

    The processes that share it must run on one host: SQLite's locks do not reach over a network.
    """

    threads = 1

    def __init__(self, path: str, *, clock: Callable[[], float] = time.time) -> None:
        if not path or path == ":memory:" or "\0" in path:
            raise ValueError(
                f"{quoted(path)} is no path of a file; allowed: a path, such as /tmp/mockware.db"
                " (`memory:` is the store without a file)"
            )
        self.name = f"sqlite:{path}"
        # Whoever changes the working directory later, as daemons do, still means the same file.
        self._path = str(Path(path).absolute())
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._until_purge = self._bytes_until_purge = 0
        _stores.add(self)

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is.

        Raises StoreError.
        """
        if not counters:
            return None
        return self._changed(lambda connection, now: _counted(connection, counters, now))

    def write(self, records: Sequence[Record]) -> tuple[bytes | None, ...]:
        """Writes in order, until one that is `only_new` is there already; gives what was there before.

        Raises StoreError, and has written nothing then.
        """
        if not records:
            return ()
        size = sum(len(record.value or b"") for record in records)
        return self._changed(lambda connection, now: _written(connection, records, now), len(records), size)

    def read(self, keys: Sequence[str]) -> tuple[bytes | None, ...]:
        """The values under these keys, None where there is none or its time is over. Raises StoreError."""
        if not keys:
            return ()
        query = _READ.format(", ".join("?" * len(keys)))
        values = dict(self._found(query, self._clock(), *keys))
        return tuple(values.get(key) for key in keys)

    def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
        """The keys and values on `shelf` whose keys are greater than `after`, in order, at most `limit`.

        Raises StoreError.
        """
        return tuple(self._found(_LIST, shelf, after, self._clock(), max(limit, 0)))

    def close(self) -> None:
        """Closes the file; a question after that opens it again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        # Nobody has to close a store before the process ends, and Python 3.13 warns of open connections.
        if getattr(self, "_connection", None) is not None:
            self._close()

    def _changed(
        self, change: Callable[[sqlite3.Connection, float], _Answer], rows: int = 1, size: int = 0
    ) -> _Answer:
        """What `change` answers, in a transaction in which it adds so many rows and bytes at most."""

        def transact(connection: sqlite3.Connection, deadline: float) -> _Answer:
            _execute(connection, "BEGIN IMMEDIATE", deadline)
            now = self._clock()
            if self._until_purge <= 0 or self._bytes_until_purge <= 0:
                _purge(connection, now)
                self._until_purge, self._bytes_until_purge = PURGE_EVERY, _PURGE_EVERY_BYTES
            self._until_purge -= rows
            self._bytes_until_purge -= size
            answer = change(connection, now)
            _execute(connection, "COMMIT", deadline)
            return answer

        return self._in_turn(transact)

    def _found(self, query: str, *values: Any) -> Sequence[tuple[str, bytes]]:
        def ask(connection: sqlite3.Connection, deadline: float) -> Sequence[tuple[str, bytes]]:
            return _execute(connection, query, deadline, values).fetchall()

        return self._in_turn(ask)

    def _in_turn(self, ask: Callable[[sqlite3.Connection, float], _Answer]) -> _Answer:
        deadline = time.monotonic() + MAX_LOCKED_S
        if not self._lock.acquire(timeout=MAX_LOCKED_S):
            raise StoreError(f"{self.name}: other threads have been asking for {MAX_LOCKED_S} s")
        try:
            connection = self._connection
            # A microsecond, for which two processes never ask two files: one deleted, one new.
            if connection is None or self._identity() != self._file:
                connection = self._open(deadline)
            return ask(connection, deadline)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreError(f"{self.name}: {_said(error)}") from error
        except BaseException:
            self._close()  # an interrupt may have come in the middle of the transaction
            raise
        finally:
            self._lock.release()

    def _open(self, deadline: float) -> sqlite3.Connection:
        """Opens the file, and knows that it is the one which the path means."""
        is_new = self._identity() is None  # and is not replaced by anybody, however long that takes
        while True:
            self._close()
            before = self._identity()
            self._connection = connection = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
            self._prepare(connection, deadline)
            self._file = self._identity()
            if self._file is not None and self._file == before:
                return connection
            if time.monotonic() > deadline and not is_new:
                raise StoreError(f"{self.name}: the file is being replaced again and again")
            is_new = False

    def _prepare(self, connection: sqlite3.Connection, deadline: float) -> None:
        """Makes what we need in a file that is empty, and refuses one that is somebody else's."""
        _execute(connection, "PRAGMA synchronous = OFF", deadline)
        _execute(connection, "BEGIN IMMEDIATE", deadline)
        mark = _number(connection, "PRAGMA application_id"), _number(connection, "PRAGMA user_version")
        if mark == (0, 0) and not _number(connection, "SELECT count(*) FROM sqlite_master"):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif mark[0] != APPLICATION_ID:
            raise StoreError(f"{self.name}: this is the database of another program; give a path of its own")
        elif mark[1] != SCHEMA_VERSION:
            raise StoreError(
                f"{self.name}: its tables are of version {mark[1]}, this mockware reads {SCHEMA_VERSION};"
                " delete the file, or give another path"
            )
        _execute(connection, "COMMIT", deadline)
        # Where the file system has no shared memory it stays as it was, which is slower and as exact.
        _execute(connection, "PRAGMA journal_mode = WAL", deadline)

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - Path takes twice as long
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _leave_to_parent(self) -> None:
        self._lock = threading.Lock()
        if self._connection is not None:
            _of_parent.append(self._connection)
            self._connection = None


def _execute(
    connection: sqlite3.Connection, statement: str, deadline: float, values: Sequence[Any] = ()
) -> sqlite3.Cursor:
    """Executes what may have to wait for other processes."""
    while True:
        try:
            return connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(_MIN_PAUSE_S, _MAX_PAUSE_S))  # noqa: S311 - only so that two do not keep step


def _is_busy(error: Exception) -> bool:
    # The extended codes have the plain one in their lowest byte: https://www.sqlite.org/rescode.html
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _said(error: Exception) -> str:
    return f"another process has held its lock for {MAX_LOCKED_S} s" if _is_busy(error) else str(error)


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)


def _counted(connection: sqlite3.Connection, counters: Sequence[Counter], now: float) -> Count | None:
    ends = math.ceil(now + COUNTER_TTL_S)
    for at, (key, limit) in enumerate(counters):
        row = connection.execute(_LOOK, (key,)).fetchone()
        if row is None:
            if limit is None or limit > 0:
                connection.execute(_INSERT, (key, 1, ends))
                return Count(at, 0)
            continue
        before, ended = row
        if ended <= now:
            before = 0
        counts = limit is None or before < limit
        if ended != ends:
            connection.execute(_UPDATE, (before + counts, ends, key))
        elif counts:
            connection.execute(_INCREMENT, (key,))
        if counts:
            return Count(at, before)
    return None


def _written(
    connection: sqlite3.Connection, records: Sequence[Record], now: float
) -> tuple[bytes | None, ...]:
    befores: list[bytes | None] = [None] * len(records)
    for at, (key, value, ttl_s, only_new, shelf) in enumerate(records):
        before, expires_at = connection.execute(_LOOK_UP, (key,)).fetchone() or (None, now)
        if expires_at > now:
            befores[at] = before
            if only_new:
                break
        if value is not None:
            connection.execute(_WRITE, (key, value, now + ttl_s, shelf))
        elif before is not None:
            connection.execute(_TAKE_AWAY, (key,))
    return tuple(befores)


def _purge(connection: sqlite3.Connection, now: float) -> None:
    """Removes what has expired and, beyond the bounds, what would expire or was written first."""
    connection.execute(_PURGE, (now, _MAX_PURGED))
    if (excess := _number(connection, "SELECT count(*) FROM counters") - MAX_COUNTERS) > 0:
        connection.execute(_PURGE, (math.inf, min(excess, _MAX_PURGED)))
    connection.execute(_PURGE_EXPIRED, (now, _MAX_PURGED))
    rows = _number(connection, "SELECT count(*) FROM records") - MAX_RECORDS
    pages = _number(connection, "PRAGMA page_count") - _number(connection, "PRAGMA freelist_count")
    size = pages * _number(connection, "PRAGMA page_size") - MAX_FILE_BYTES
    if rows > 0 or size > 0:
        last = 0
        for rowid, length in connection.execute(_OLDEST, (_MAX_PURGED,)).fetchall():
            if rows <= 0 and size <= 0:
                break
            last, rows, size = rowid, rows - 1, size - length
        connection.execute(_PURGE_OLDEST, (last,))


# Connections that a process has from its parent. Closing them is the parent's to do.
# https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
_of_parent: list[sqlite3.Connection] = []
_held_for_fork: list[threading.Lock] = []


def _before_fork() -> None:
    # No thread shall be inside SQLite, or in the middle of a transaction, in the moment of the copy.
    for store in list(_stores):
        if store._lock.acquire(timeout=_MAX_FORK_WAIT_S):
            _held_for_fork.append(store._lock)


def _after_fork_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().release()


def _after_fork_in_child() -> None:
    _held_for_fork.clear()
    for store in list(_stores):
        store._leave_to_parent()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork either
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
