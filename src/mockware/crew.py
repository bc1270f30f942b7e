"""The threads that touch a store which may hang, so that nobody else has to.

Law: there are never more of them than the store has use for, so that whatever hangs cannot pile up; who asked
first is answered first. What an answer means is their employer's business.
"""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any, Protocol
from weakref import finalize, ref

from .questions import Question, Store

# Redis Sentinel asks each instance once a second whether it is there: unnoticeable to the store, and back
# before a person has looked whether it is.
RETRY_S = 1.0


class Employer(Protocol):
    """Whose questions the crew puts to the primary."""

    def work_on(self, asked: Asked, crew: Crew) -> None:
        """Asks the primary, and says what came of it."""

    def probe(self, crew: Crew) -> bool:
        """Whether no further probe is needed."""


class Asked(Future[Any]):
    """A question that is asked; `answer` is the answer from when it is `settled`."""

    spell = -1

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question
        self.settled = False
        self.answer: Any = None

    def settle(self, answer: Any) -> None:
        self.answer = answer
        self.settled = True  # last, for `end` looks at it without the lock


class Order(Enum):
    PROBE = "ask every RETRY_S whether the store is back"
    CLOSE = "close the primary and leave"
    LEAVE = "leave"


class Crew:
    """The threads that touch the primary, each made when it is first needed.

    They are daemons: those of a ThreadPoolExecutor are waited for when the interpreter exits, however long
    they hang. None of them keeps a store alive that nobody uses any more: it is closed then.
    """

    def __init__(self, store: Employer, primary: Store) -> None:
        self.closed = Event()
        self._primary = primary
        self._jobs: SimpleQueue[Asked | Order] = SimpleQueue()
        self._places = primary.threads  # for threads that may still be made
        self._spare = 0  # threads without a job, less jobs without a thread
        self._store = ref(store)
        self.stop = finalize(store, self._jobs.put, Order.CLOSE)
        self.stop.atexit = False

    # While holding the lock

    def take(self, job: Asked | Order) -> None:
        self._jobs.put(job)
        self._spare -= 1
        self.man()

    def man(self) -> None:
        """Makes another thread if a job waits for one and there is a place for it."""
        if self._spare < 0 and self._places:
            # Without one to be had (at the process's limit, or at exit), the patience of whoever asks ends.
            with suppress(RuntimeError):
                Thread(target=self._work, name="mockware-store", daemon=True).start()
                self._places -= 1
                self._spare += 1

    def free(self) -> None:
        """Says that a thread is done with its job."""
        self._spare += 1

    def drain(self) -> list[Asked]:
        """Takes back every question that no thread has begun with."""
        waiting = []
        with suppress(Empty):
            while True:
                job = self._jobs.get_nowait()
                self._spare += 1
                if isinstance(job, Asked):
                    waiting.append(job)
        return waiting

    # In a thread of its own

    def _work(self) -> None:
        wait_s: float | None = None
        while True:
            job: Asked | Order | None
            try:
                job = self._jobs.get(timeout=wait_s)
            except Empty:
                job = None
            if job is Order.PROBE:
                wait_s = RETRY_S
                continue
            if job is Order.CLOSE:
                close_quietly(self._primary)
                self.closed.set()
            if isinstance(job, Order):
                self._jobs.put(Order.LEAVE)  # for the next of the crew
                return
            store = self._store()
            if store is not None:
                if job is not None:
                    store.work_on(job, self)
                elif store.probe(self):
                    wait_s = None
            del store, job  # nothing is kept alive while waiting for more


def close_quietly(primary: Store) -> None:
    # What cannot even be closed is opened anew all the same, or not used any more.
    with suppress(Exception):
        primary.close()
