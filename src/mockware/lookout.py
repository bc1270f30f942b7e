"""Looks whether files are what they were when they were opened: once a second, in one thread of a process.

Law: a request never looks at a file, and there is no thread before somebody needs it (`watch`): whoever wraps
an app may fork, and threads stay behind. What is in the files is not known here.

Files are asked for their state instead of subscribed to: inotify and its like see nothing of what another
host writes to a network mount, follow no link, and lose a file that an editor or Kubernetes puts another in
the place of. A state costs a few microseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from threading import Event, Lock, Thread
from typing import Protocol, TypeAlias
from weakref import WeakSet

from .logs import logger

# Who saves a file and turns to the terminal finds it changed; more often would be felt by nobody. A network
# mount may hold the state back for longer: NFS keeps it for up to 60 s (acregmax in nfs(5)).
LOOK_S = 1.0
# An editor empties a file before it writes it, and a half of it may be valid; it takes milliseconds. A file
# that is written to all the time is read after a second nevertheless.
SETTLE_S = 0.1
MAX_SETTLING = 10
# Two writes may have one time: that of FAT counts by 2 s, the coarsest. So long after a change, the content
# is compared as well, whatever the clocks of this host and of the one that has the file say. The first two
# looks come at once: that of the first request, and that of the thread.
DOUBTFUL_LOOKS = 5

# None: there is no file that could be read again, or it is no regular one, which might never end.
State: TypeAlias = tuple[int, ...] | None


class Files:
    """Files as they were when they were opened. They are called by their absolute paths, links and all."""

    def __init__(self) -> None:
        self._opened: dict[Path, tuple[State, bytes | None]] = {}
        self._doubtful = DOUBTFUL_LOOKS

    def __bool__(self) -> bool:
        return bool(self._opened)

    def opening(self, path: Path) -> None:
        """To be called before a file is opened, or not found: what is written after that is a change."""
        if path not in self._opened:
            self._opened[path] = _state_of(path), _digest_of(path)

    def changed(self) -> list[Path]:
        """Those whose content is another now, or that came or went."""
        doubts, self._doubtful = self._doubtful > 0, max(0, self._doubtful - 1)
        return [path for path in self._opened if self._is_changed(path, doubts=doubts)]

    def settle(self, pause: Callable[[float], object]) -> None:
        """Waits, within bounds, until nobody is writing any more."""
        before = self._states()
        for _ in range(MAX_SETTLING):
            pause(SETTLE_S)
            if (now := self._states()) == before:
                return
            before = now

    def _is_changed(self, path: Path, *, doubts: bool) -> bool:
        state, digest = self._opened[path]
        now = _state_of(path)
        if now == state and not (doubts and now):
            return False
        if _digest_of(path) != digest:
            return True
        if now != state:  # touched, or the same once more
            self._opened[path] = now, digest
            self._doubtful = DOUBTFUL_LOOKS
        return False

    def _states(self) -> list[State]:
        return [_state_of(path) for path in self._opened]


class Watcher(Protocol):
    """Somebody who has files to look at."""

    def look(self, pause: Callable[[float], object]) -> None:
        """Looks once, and does what there is to do. `pause` waits so many seconds."""

    def fall_asleep(self) -> None:
        """Is called in a child of a fork, where nobody looks until `watch` is called again."""


def watch(watcher: Watcher) -> None:
    """Has `watcher` look at once, and every `LOOK_S`, for as long as it is used."""
    _thread.add(watcher)


class _Looking:
    """The thread, and those for whom it looks."""

    def __init__(self) -> None:
        self.watchers: WeakSet[Watcher] = WeakSet()
        self._lock = Lock()
        self._runs = False
        self._never = Event()  # what waits for it sleeps
        self._added = Event()

    def add(self, watcher: Watcher) -> None:
        with self._lock:
            self.watchers.add(watcher)
            self._added.set()
            if not self._runs:
                try:
                    Thread(target=self._look, name="mockware-watch", daemon=True).start()
                    self._runs = True
                except RuntimeError as error:  # at the process's limit, or at its end
                    logger.warning("rules files are not watched by process %d: %s", os.getpid(), error)

    def _look(self) -> None:
        while True:
            self._added.wait(LOOK_S)
            self._added.clear()
            self._round()
            with self._lock:
                if not self.watchers:
                    self._runs = False
                    return

    def _round(self) -> None:
        with self._lock:
            watchers = list(self.watchers)
        for watcher in watchers:
            try:
                watcher.look(self._never.wait)
            except Exception:  # noqa: BLE001 - there are others, and another time
                logger.exception("looking at rules files failed")


_thread = _Looking()


def _state_of(path: Path) -> State:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not S_ISREG(found.st_mode):
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev


def _digest_of(path: Path) -> bytes | None:
    if _state_of(path) is None:
        return None
    digest = blake2b()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 16):
                digest.update(piece)
    except OSError:
        return None
    return digest.digest()


def _in_child() -> None:
    global _thread  # its lock may have been held when the process was copied
    sleepers = list(_thread.watchers)
    _thread = _Looking()
    for watcher in sleepers:
        watcher.fall_asleep()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
