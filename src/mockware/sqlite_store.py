"""Counts in a SQLite file: for the several worker processes of one host.

Law: one count is one transaction, which holds SQLite's write lock from before the first look until after
the last write, so that counts are exact among processes. A file that is not ours is not written to. After any
error, and when the path has come to mean another file, the connection is given up for a new one. Counts
need not outlive a power cut: nothing waits for the disk.
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

from .counters import COUNTER_TTL_S, Count, Counter
from .exceptions import StoreError, quoted

# How long a count waits for its turn, among threads and among processes. A request waits at most a quarter
# of a second for its store, and the count itself needs a part of that.
MAX_LOCKED_S = 0.2
# Between two tries for the lock: a transaction holds it for some 50 microseconds. SQLite's own handler
# sleeps for up to 100 ms, which starves whoever has waited longest while others come and go.
_MIN_PAUSE_S, _MAX_PAUSE_S = 0.0002, 0.002
# A row takes 170 bytes with its place in the index, measured: 43 MB at the most. Counting the rows and
# removing some takes 25 ms then, once in `PURGE_EVERY` counts: a small part of what another count may wait.
MAX_COUNTERS = 250_000
# How often rows are removed. Each count adds one row at most, so that removing up to twice as many keeps up,
# and takes milliseconds.
PURGE_EVERY = 1000
_MAX_PURGED = 2 * PURGE_EVERY
# A fork waits for the count that another thread is in the middle of, which is over long before this.
_MAX_FORK_WAIT_S = 1.0
# https://www.sqlite.org/pragma.html#pragma_application_id: "mock" in ASCII.
APPLICATION_ID = 0x6D6F636B
SCHEMA_VERSION = 1

_SCHEMA = (
    # Whole seconds, rounded up: so a busy counter moves within the index once a second, not at each count.
    """CREATE TABLE counters (
        key TEXT PRIMARY KEY, count INTEGER NOT NULL, expires_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX counters_by_end ON counters (expires_at)",
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

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

_stores: weakref.WeakSet[SQLiteStore] = weakref.WeakSet()


class SQLiteStore:
    """Counts in the SQLite database at `path`, which is made at the first count; its folder is not.

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
        # Whoever changes the working directory later, as daemons do, still counts in the same file.
        self._path = str(Path(path).absolute())
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._until_purge = 0
        _stores.add(self)

    def count(self, counters: Sequence[Counter]) -> Count | None:
        """Counts once, in the first of `counters` that is below its limit; None where none is.

        Raises StoreError.
        """
        if not counters:
            return None
        deadline = time.monotonic() + MAX_LOCKED_S
        if not self._lock.acquire(timeout=MAX_LOCKED_S):
            raise StoreError(f"{self.name}: other threads have been counting for {MAX_LOCKED_S} s")
        try:
            return self._count(counters, deadline)
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise StoreError(f"{self.name}: {_said(error)}") from error
        except BaseException:
            self._close()  # an interrupt may have come in the middle of the transaction
            raise
        finally:
            self._lock.release()

    def close(self) -> None:
        """Closes the file; a count after that opens it again."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        # Nobody has to close a store before the process ends, and Python 3.13 warns of open connections.
        if getattr(self, "_connection", None) is not None:
            self._close()

    def _count(self, counters: Sequence[Counter], deadline: float) -> Count | None:
        connection = self._connection
        # A microsecond, for which two processes never count in two files: one deleted, one new.
        if connection is None or self._identity() != self._file:
            connection = self._open(deadline)
        _execute(connection, "BEGIN IMMEDIATE", deadline)
        now = self._clock()
        if self._until_purge <= 0:
            _purge(connection, now)
            self._until_purge = PURGE_EVERY
        self._until_purge -= 1
        counted = _counted(connection, counters, now)
        _execute(connection, "COMMIT", deadline)
        return counted

    def _open(self, deadline: float) -> sqlite3.Connection:
        """Opens the file, and knows that it is the one which the path means."""
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
            if time.monotonic() > deadline:
                raise StoreError(f"{self.name}: the file is being replaced again and again")

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
                f"{self.name}: its counters are of version {mark[1]}, this mockware reads {SCHEMA_VERSION};"
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


def _execute(connection: sqlite3.Connection, statement: str, deadline: float) -> None:
    """Executes what may have to wait for other processes."""
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
        else:
            return
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


def _purge(connection: sqlite3.Connection, now: float) -> None:
    """Removes what has expired and, beyond the bound, what would expire first."""
    connection.execute(_PURGE, (now, _MAX_PURGED))
    if (excess := _number(connection, "SELECT count(*) FROM counters") - MAX_COUNTERS) > 0:
        connection.execute(_PURGE, (math.inf, min(excess, _MAX_PURGED)))


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
