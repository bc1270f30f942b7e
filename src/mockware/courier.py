"""Delivers webhooks: each when it is due, again where that fails, and in the place of a process that died.

Law: nothing is sent without the delivery's lease. An attempt has one line in the log, which names no secret.
Nobody waits for a receiver but the senders, and no bug of whoever composes stops them.

Doubt: a process that dies between sending and marking leaves a delivery that another sends again. Receivers
know it by its id.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from logging import INFO, WARNING
from threading import Condition, Thread
from typing import NamedTuple
from weakref import WeakSet, ref

from .addresses import Hosts
from .deliveries import Delivery as Delivery
from .deliveries import Desk
from .logs import logger
from .questions import Store
from .webhooks import Message, request_of

# In seconds: long enough for a receiver to be started anew, short enough for a tester to watch.
BACK_OFF_S = (1.0, 2.0, 4.0, 8.0, 16.0)
MAX_ATTEMPTS = len(BACK_OFF_S) + 1
# A receiver that asks for more will hardly be there while somebody still looks at the test.
MAX_RETRY_AFTER_S = 60.0
# A receiver that does not answer occupies one for ten seconds; the others go on meanwhile.
MAX_SENDERS = 4
# With keys and values of the usual length a delivery weighs about a kilobyte: 10 MB at the most.
MAX_WAITING = 10_000
# How often a process looks for what others have left: a question or two of the store, which takes hundreds.
SCAN_S = 2.0
_MAX_URL_CHARS = 200

_couriers: WeakSet[Courier] = WeakSet()


class _Job(NamedTuple):
    at: float
    serial: int
    delivery: Delivery
    attempts: int = 0
    held: bool = False  # whether the lease was ours already


class _Outcome(NamedTuple):
    """What an attempt came to, in words; a failure may be final, or ask for a pause."""

    said: str
    delivered: bool = False
    final: bool = False
    pause_s: float = 0.0
    error: Exception | None = None


class Courier:
    """Sends what `compose` makes of the deliveries, to `hosts` alone.

    `compose` is given a delivery and the time; None says that there is nothing to send any more. It runs in a
    thread of the courier's and may wait for the store. `clock` (s) is what deliveries are due by.
    """

    _open: bool
    _watching: bool
    _full: bool

    def __init__(
        self,
        store: Store,
        compose: Callable[[Delivery, float], Message | None],
        hosts: Hosts,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._orders = compose, hosts
        self._clock = clock
        self._shared = store.threads > 0
        self._begin_anew()
        _couriers.add(self)

    def obey(self, compose: Callable[[Delivery, float], Message | None], hosts: Hosts) -> None:
        """Does so from the next attempt on, also with what waits already."""
        self._orders = compose, hosts

    def schedule(self, deliveries: Iterable[Delivery]) -> None:
        """Sends these when they are due. Their records are the caller's to write, and are written before."""
        with self._changed:
            self._open = True
            full = not self._took(deliveries)
            says, self._full = full and not self._full, full
            self._man()
            self._changed.notify()
        if says:
            logger.warning(
                "%d webhooks wait already, the most that a process keeps: more are %s until there is room",
                MAX_WAITING,
                "left in the store" if self._shared else "dropped",
            )

    def wake(self) -> None:
        """Looks after what others have left, where the store is shared; costs nothing once it does."""
        if self._shared and not (self._open and self._watching):
            self.schedule(())

    def close(self) -> None:
        """Begins no further attempt. What waits is left in the store; `schedule` and `wake` open again."""
        with self._changed:
            self._open = False
            self._waiting.clear()
            self._known.clear()
            self._changed.notify()

    # While holding the lock

    def _took(self, deliveries: Iterable[Delivery]) -> bool:
        """Whether there was room for all of them."""
        for delivery in deliveries:
            if delivery.key not in self._known:
                if len(self._known) >= MAX_WAITING:
                    return False
                self._known.add(delivery.key)
                heappush(self._waiting, _Job(delivery.due_at, next(self._serials), delivery))
        return True

    def _man(self) -> None:
        if not self._watching:
            # Without a thread to be had (at the process's limit, or at exit), the next call tries again.
            with suppress(RuntimeError):
                Thread(
                    target=_watch, args=(ref(self), self._changed), name="mockware-courier", daemon=True
                ).start()
                self._watching = True

    def _hand_out(self) -> float | None:
        """Gives senders what is due; how long (s) there is nothing to do then, None for ever."""
        while self._waiting and self._senders < MAX_SENDERS and self._waiting[0].at <= self._clock():
            try:
                Thread(
                    target=self._send, args=(self._waiting[0],), name="mockware-webhook", daemon=True
                ).start()
            except RuntimeError:
                return SCAN_S
            heappop(self._waiting)
            self._senders += 1
        if not self._open or not (self._shared or self._known):
            self._watching = False
            return None
        if not self._waiting or self._senders >= MAX_SENDERS:
            return SCAN_S
        return min(SCAN_S, max(0.0, self._waiting[0].at - self._clock()))

    def _begin_anew(self) -> None:
        """As it is at the start and after a fork, when what waits is the parent's to send."""
        self._desk = Desk(self._store)
        self._changed = Condition()
        self._waiting: list[_Job] = []
        self._known: set[str] = set()  # what waits or is under way
        self._serials = count()
        self._senders = 0
        self._open = self._watching = self._full = self._scan_failed = False
        self._scan_at = 0.0

    # In the thread that watches

    def _scan(self) -> None:
        """Takes over, from the shelf, what is overdue and nobody is at."""
        if not self._shared or time.monotonic() < self._scan_at:
            return
        self._scan_at = time.monotonic() + SCAN_S
        try:
            abandoned = self._desk.abandoned(self._clock(), self._known)
            with self._changed:
                if self._open:
                    self._took(abandoned)
            self._scan_failed = False
        except Exception as error:  # noqa: BLE001 - a store may have bugs; there is another time
            if not self._scan_failed:
                logger.warning("looking for webhooks that others have left failed", exc_info=error)
            self._scan_failed = True

    # In the threads that send

    def _send(self, job: _Job | None) -> None:
        while job is not None:
            again = self._attempt(job)
            with self._changed:
                if again is not None and job.delivery.key in self._known:
                    heappush(self._waiting, again)
                else:
                    self._known.discard(job.delivery.key)
                due = self._waiting and self._waiting[0].at <= self._clock()
                job = heappop(self._waiting) if due else None
                if job is None:
                    self._senders -= 1
                self._changed.notify()

    def _attempt(self, job: _Job) -> _Job | None:
        """The next attempt, None if this was the last."""
        delivery, number = job.delivery, job.attempts + 1
        message = outcome = pause_s = None
        compose, hosts = self._orders  # of one time, even if there are others meanwhile
        try:
            if not self._desk.claims(delivery, held=job.held):
                return None  # if whoever has it dies, it is found on the shelf
            job = job._replace(held=True)
            now_s = self._clock()
            message = compose(delivery, now_s) if self._desk.is_open(delivery) else None
            outcome = self._post(message, now_s, hosts) if message is not None else None
        except Exception as error:  # noqa: BLE001 - no reason to stop, nor to leave the others to their fate
            outcome = _Outcome("an error of our own", error=error)
        ended_s = self._clock()
        if outcome is not None:
            if not outcome.delivered and not outcome.final and number < MAX_ATTEMPTS:
                pause_s = max(BACK_OFF_S[number - 1], outcome.pause_s)
            _log(message, delivery, outcome, number, pause_s)
        try:
            if pause_s is None:
                self._desk.finish(delivery)
            else:
                self._desk.keep(delivery, pause_s)
        except Exception as error:  # noqa: BLE001 - what was sent is not sent again for that, not at once
            logger.warning("webhook %.100a: the store was not told", delivery.key, exc_info=error)
        if pause_s is None:
            return None
        return job._replace(at=ended_s + pause_s, serial=next(self._serials), attempts=number)

    def _post(self, message: Message, now_s: float, hosts: Hosts) -> _Outcome:
        # http.client and ssl take as long to import as all of mockware, and most never send a webhook.
        from http.client import HTTPException

        from .posting import Refused, post

        try:
            target = hosts.check_url(message.url)
            fields, body = request_of(message, now_s)
            status, retry_after = post(target, fields, body, hosts)
        except (OSError, HTTPException) as error:  # a wrong certificate is a ValueError as well
            return _Outcome(str(error) or type(error).__name__)
        except (ValueError, Refused) as error:
            return _Outcome(str(error), final=True)
        if 200 <= status < 300:
            return _Outcome(str(status), delivered=True)
        if 300 <= status < 400:
            return _Outcome(f"{status}, and redirects are not followed")
        # RFC 9110 section 15.5.11: 410 "is likely to be permanent", and Standard Webhooks has receivers say
        # so that they want no more.
        return _Outcome(str(status), final=status == 410, pause_s=_seconds(retry_after, self._clock()))


def _watch(reference: ref[Courier], changed: Condition) -> None:
    """Hands out what is due. A courier with which something waits is kept alive, any other is not."""
    courier = reference()
    while courier is not None:
        courier._scan()
        with changed:
            wait_s = courier._hand_out()
            if wait_s is None:
                return
            if not courier._known:
                courier = None
            changed.wait(wait_s)
        courier = courier or reference()


def _seconds(retry_after: str, now_s: float) -> float:
    """What a `Retry-After` asks for, as far as it is heeded.

    RFC 9110 section 10.2.3: `Retry-After = HTTP-date / delay-seconds`.
    """
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(MAX_RETRY_AFTER_S, float(text))
    from email.utils import parsedate_to_datetime

    with suppress(ValueError, OverflowError):
        return min(MAX_RETRY_AFTER_S, max(0.0, parsedate_to_datetime(text).timestamp() - now_s))
    return 0.0


def _log(
    message: Message | None, delivery: Delivery, outcome: _Outcome, number: int, pause_s: float | None
) -> None:
    then = "" if outcome.delivered else "; given up" if pause_s is None else f"; again in {pause_s:g} s"
    logger.log(
        INFO if outcome.delivered else WARNING,
        "webhook %.100a to %a %s: %.200a (attempt %d of %d)%s",
        message.id if message else delivery.key,
        _shown(message.url) if message else "",
        "delivered" if outcome.delivered else "failed",
        outcome.said,
        number,
        MAX_ATTEMPTS,
        then,
        exc_info=outcome.error,
    )


def _shown(url: str) -> str:
    """A URL without what may be secret in it; in one that is no URL, that may be anywhere before an `@`."""
    scheme, slashes, rest = url.partition("?")[0].partition("#")[0].partition("//")
    return (scheme + slashes + rest.rpartition("@")[2])[:_MAX_URL_CHARS]


def _in_child() -> None:
    for courier in list(_couriers):
        courier._begin_anew()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_in_child)
