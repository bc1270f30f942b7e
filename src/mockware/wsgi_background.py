"""A WSGI app that works while nobody waits for it: its response is taken down, and told of when it is there.

Law: whoever was started is told of, once, whatever becomes of it: a response, or the reason why there is
none. The app gets an environ of its own, in which nothing leads to the connection of the request, which is
answered and gone by then. A thread cannot be cancelled: one that hangs keeps its place, is told of when its
time is over, and its late response is dropped.

The threads are daemons: those of a ThreadPoolExecutor are waited for when the interpreter exits, however long
they hang. At exit, what was accepted has `GRACE_S` to come to an end.
"""

from __future__ import annotations

import atexit
import io
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import copy_context
from threading import Condition, RLock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from .captured import MAX_CAPTURED_BYTES, Captured
from .encodings import longer_than
from .logs import logger
from .nesting import let_through, let_through_by
from .questions import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Done = Callable[[Captured], None]

# What a worker of the usual servers has for all of its requests: waitress 4, cheroot 10 threads.
MAX_THREADS = 8
# Accepted and not told of. Each holds the body of its request and as much of its response, a mebibyte each:
# 200 MiB at the most.
MAX_ACCEPTED = 100
# Between SIGTERM and SIGKILL, docker waits for 10 s and Kubernetes for 30: this is half of the shorter time.
GRACE_S = 5.0
# A thread without work stays for the next one that comes within half a minute, and costs next to nothing.
_IDLE_S = 30.0

# What servers put into an environ of themselves, and in the last part of its key whatever else leads to a
# connection. A string or a number tells of the request, and stays; an object is the request's, and goes.
_SERVERS = (
    "apache",
    "eventlet",
    "gevent",
    "gunicorn",
    "mod_wsgi",
    "waitress",
    "werkzeug",
    "wsgi",
    "x-wsgiorg",
)
_CONNECTIONS = ("socket", "sock", "connection")
_PLAIN = (str, bytes, int, float, tuple, type(None))


class Background:
    """The runs that one middleware has started and that are not over."""

    def __init__(self) -> None:
        self._pool = _Pool()
        _backgrounds.add(self)

    def start(
        self, app: WSGIApplication, environ: WSGIEnvironment, body: bytes, done: Done, *, timeout_s: float
    ) -> bool:
        """Has `app` answer a request with this body in a thread, and calls `done` there with what came of it.

        False: `MAX_ACCEPTED` are waiting or running already, or the process is about to end. Never waits.
        `timeout_s` is for the response, and begins now.
        """
        return self._pool.accept(_Run(app, environ, body, done, timeout_s))

    def _forked(self) -> None:
        """What was accepted is the parent's to do, whose threads and locks are of no use here."""
        self._pool = _Pool()


class _Pool:
    """A few threads that run the app, and one that looks at the clock."""

    def __init__(self) -> None:
        # It guards all that is here, and is not held while anything of the app's or of `done` goes on.
        lock = RLock()
        self._work_comes = Condition(lock)
        self._deadline_comes = Condition(lock)
        self._quiet_comes = Condition(lock)
        self._lock = lock
        self._waiting: deque[_Run] = deque()
        self._accepted: set[_Run] = set()
        self._threads = 0
        self._free = 0
        self._watched = False
        self._closing = False
        self._ends_in_order = False

    def accept(self, run: _Run) -> bool:
        with self._lock:
            if self._closing or len(self._accepted) >= MAX_ACCEPTED or not self._man():
                return False
            if not self._ends_in_order:
                self._ends_in_order = True
                _end_a_child_in_order()
            self._accepted.add(run)
            self._waiting.append(run)
            self._work_comes.notify()
            self._deadline_comes.notify()
        return True

    def close(self, deadline: float) -> None:
        """Waits for what was accepted until `deadline`, and tells of the rest."""
        with self._lock:
            self._closing = True
            self._quiet_comes.wait_for(self._is_quiet, max(0.0, deadline - monotonic()))
            rest = tuple(self._accepted)
        for run in rest:
            self.give_up(run, "the process ended before the app had answered")

    def tell(self, run: _Run, captured: Captured) -> None:
        """Calls `done`, unless the run was told of already."""
        if self._claim(run):
            self._finish(run, captured)

    def give_up(self, run: _Run, reason: str) -> None:
        if self._claim(run):
            logger.warning("gave up on %s in the background: %s", run, reason)
            self._finish(run, Captured(reason=reason))

    def _claim(self, run: _Run) -> bool:
        with self._lock:
            if run.told:
                return False
            run.told = True
            if run in self._waiting:
                self._waiting.remove(run)
            return True

    def _finish(self, run: _Run, captured: Captured) -> None:
        try:
            run.done(captured)
        except Exception:  # noqa: BLE001 - nobody is left to be told
            logger.exception("could not keep what %s answered in the background", run)
        finally:
            with self._lock:
                self._accepted.discard(run)
                self._quiet_comes.notify_all()
                if not self._accepted:
                    self._deadline_comes.notify()  # there is nothing to wait for

    # While holding the lock

    def _is_quiet(self) -> bool:
        return not self._accepted and self._free == self._threads

    def _deadlines(self) -> list[float]:
        return [run.deadline for run in self._accepted if not run.told]

    def _man(self) -> bool:
        """Whether there are threads to do it; one more is made if all are busy."""
        # Without one to be had (at the process's limit, or at exit), those that are there have to do.
        with suppress(RuntimeError):
            if not self._watched:
                Thread(target=self._watch, name="mockware-background-clock", daemon=True).start()
                self._watched = True
            if self._free <= len(self._waiting) and self._threads < MAX_THREADS:
                Thread(target=self._work, name="mockware-background", daemon=True).start()
                self._threads += 1
        return self._watched and self._threads > 0

    # In threads of their own

    def _work(self) -> None:
        while True:
            with self._lock:
                self._free += 1
                self._quiet_comes.notify_all()
                self._work_comes.wait_for(lambda: self._waiting, _IDLE_S)
                self._free -= 1
                if not self._waiting:
                    self._threads -= 1
                    return
                run = self._waiting.popleft()
            run.context.run(run.perform, self)
            del run  # nothing is kept alive while waiting for more

    def _watch(self) -> None:
        while True:
            with self._lock:
                if not self._deadline_comes.wait_for(lambda: self._deadlines(), _IDLE_S):
                    self._watched = False
                    return
                if (wait_s := min(self._deadlines()) - monotonic()) > 0:
                    # Or until another one is accepted, whose deadline may come earlier.
                    self._deadline_comes.wait(wait_s)
                late = [run for run in self._accepted if run.deadline <= monotonic()]
            for run in late:
                self.give_up(run, f"the app gave no response within {run.timeout_s:g} s")
            late.clear()


class _Run:
    """One request to the app. What comes first is told: its response, an error, the end of patience."""

    def __init__(
        self, app: WSGIApplication, environ: WSGIEnvironment, body: bytes, done: Done, timeout_s: float
    ) -> None:
        self._app = app
        self._environ = _environ_of_its_own(environ, body)
        # A middleware inside of this one looks for the word of the outer one beside the request.
        self._outer = let_through_by(environ.get("wsgi.input"))
        self.context = copy_context()
        self.done = done
        self.timeout_s = timeout_s
        self.deadline = monotonic() + timeout_s
        self.told = False
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body = bytearray()
        self._reason = ""

    def perform(self, pool: _Pool) -> None:
        chunks: Iterable[bytes] = ()
        try:
            with let_through(self._environ["wsgi.input"], by=self._outer):
                chunks = self._app(self._environ, self._start_response)
                for chunk in chunks:
                    self._write(chunk)
            self._conclude(pool)
        except _NobodyWaitsError:
            self._conclude(pool)
        except BaseException as error:  # noqa: BLE001 - nobody stands above, and SystemExit ends no server either
            if self._reason:
                self._conclude(pool)  # it is what came of ending the app
            else:
                self._fail(pool, error)
        finally:
            # PEP 3333: close() is called "upon completion of the current request, whether the request was
            # completed normally, or terminated early". A server has sent the response by then.
            try:
                if (close := getattr(chunks, "close", None)) is not None:
                    close()
            except BaseException as error:  # noqa: BLE001 - as above
                self._fail(pool, error)

    def _conclude(self, pool: _Pool) -> None:
        captured = Captured(self._status, self._headers, bytes(self._body))
        if not self._status:
            self._reason = "the app gave no response"
        elif len(captured.to_bytes()) > MAX_RECORD_BYTES:
            self._reason = "the header fields of the response are too long to be kept"
        if self._reason:
            pool.give_up(self, self._reason)
        else:
            pool.tell(self, captured)

    def _fail(self, pool: _Pool, error: BaseException) -> None:
        logger.error("%s failed in the background", self, exc_info=error)
        pool.tell(self, Captured(reason=f"the app raised {type(error).__name__}"))

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        try:
            # PEP 3333: with exc_info, what was given replaces what is there, unless that is sent already, as
            # by a server it is with the first piece of the body.
            if exc_info is not None and self._body:
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self._status:
                raise RuntimeError("the app called start_response twice")
            self._headers = tuple((name, value) for name, value in headers)
            self._status = int(status[:3])
            return self._write
        finally:
            exc_info = None  # or its traceback would hold this frame, and this frame the traceback

    def _write(self, piece: bytes) -> None:
        if self.told or self._reason:
            raise _NobodyWaitsError
        if piece and not self._status:
            raise RuntimeError("the app gave a body before it called start_response")
        if len(self._body) + len(piece) > MAX_CAPTURED_BYTES:
            self._reason = f"the response is {longer_than(MAX_CAPTURED_BYTES)}"
            self._body = bytearray()
            raise _NobodyWaitsError
        self._body += piece

    def __str__(self) -> str:
        method, path = self._environ.get("REQUEST_METHOD", "GET"), self._environ.get("PATH_INFO", "")
        return f"{method[:32]!a} {path[:512]!a}"


class _NobodyWaitsError(ConnectionAbortedError):
    """Ends an app in the middle of its response, as the error of a client that has gone does."""


def _environ_of_its_own(environ: WSGIEnvironment, body: bytes) -> WSGIEnvironment:
    """A copy for this body, without what belongs to a connection."""
    own = {key: value for key, value in environ.items() if _is_of_the_request(key, value)}
    own["wsgi.input"] = io.BytesIO(body)
    own["wsgi.input_terminated"] = True
    own["wsgi.multithread"] = True
    # mod_wsgi's log ends with the request.
    stays = "wsgi.errors" in environ and "mod_wsgi.version" not in environ
    own["wsgi.errors"] = environ["wsgi.errors"] if stays else sys.stderr
    # "A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding
    # header field" (RFC 9112 section 6.2); Bottle takes the chunks apart that the field speaks of.
    own.pop("HTTP_TRANSFER_ENCODING", None)
    if body or own.get("CONTENT_LENGTH"):
        own["CONTENT_LENGTH"] = str(len(body))
    return own


def _is_of_the_request(key: str, value: Any) -> bool:
    namespace, _, name = key.lower().partition(".")
    if namespace == "uwsgi":
        return False  # apps tell by these that they may call its API, which is about the current connection
    if not name or isinstance(value, _PLAIN):
        return True
    return namespace not in _SERVERS and not name.endswith(_CONNECTIONS)


_backgrounds: WeakSet[Background] = WeakSet()


def _at_exit() -> None:
    deadline = monotonic() + GRACE_S
    for background in list(_backgrounds):
        background._pool.close(deadline)


def _end_a_child_in_order() -> None:
    """Has a child of multiprocessing's, such as a worker of granian, end as other processes do.

    It ends without atexit's functions, before Python 3.13 without any and since then without those that were
    registered before it was forked (https://github.com/python/cpython/issues/83856).
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _in_child() -> None:
    for background in list(_backgrounds):
        background._forked()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
