"""Waiting, within bounds: how long, how many at once, and until when.

Law: nobody can make a process hold more than `MAX_SLEEPERS` requests asleep, and a sleep ends when its
client leaves, where the interface can tell. Each waits in its own way: a thread sleeps, a task lets others
run; what a client says to a sleeping task is kept for whoever asks next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for_thread
from sys import modules
from typing import TYPE_CHECKING, Any, Self

from .bodies import MAX_BUFFERED_BYTES, MAX_BUFFERED_EVENTS
from .messages import Response
from .replies import build_problem

if TYPE_CHECKING:
    import asyncio

# A worker of the usual servers has at most as many connections open (gunicorn's worker_connections and
# nginx's default are 1000 and 1024): beyond that, delays would take the whole worker down.
MAX_SLEEPERS = 1000
# Most delays are over by then, and none can take longer than thirty times as much.
_RETRY_AFTER_S = 1

_places = threading.BoundedSemaphore(MAX_SLEEPERS)


class Place:
    """Room for one more sleeper in this process, if it is `granted`; it is kept until it is released.

    One that is not `wanted` is always granted, and takes none.
    """

    __slots__ = ("_taken", "granted")

    def __init__(self, *, wanted: bool = True) -> None:
        self._taken = wanted and _places.acquire(blocking=False)
        self.granted = self._taken or not wanted

    def release(self) -> None:
        """Gives it back; once is enough."""
        if self._taken:
            self._taken = False
            _places.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def too_many_sleepers(rule: str, method: str) -> Response:
    """What is said instead of a reply for which there is no more room to wait."""
    reason = f"{MAX_SLEEPERS} requests are waiting for delayed mocks already, the most that are held at once"
    rule = rule or "passthrough"  # that of a trigger, which waits for the app
    return build_problem(503, reason, rule=rule, headers=[("Retry-After", str(_RETRY_AFTER_S))]).to(method)


async def sleep(delay_s: float) -> None:
    """Sleeps on asyncio and trio alike."""
    from anyio import sleep

    await sleep(delay_s)


async def finished(future: Future[Any], patience_s: float) -> None:
    """Waits until a thread has finished with `future`, at most so long; others run meanwhile."""
    if future.done():
        return
    if "trio" in modules:
        from anyio import CapacityLimiter, to_thread

        # A limit of its own: the app's threads are not to wait for ours.
        await to_thread.run_sync(
            wait_for_thread, (future,), patience_s, abandon_on_cancel=True, limiter=CapacityLimiter(1)
        )
        return
    import asyncio

    await asyncio.wait((asyncio.wrap_future(future),), timeout=patience_s)


_Event = MutableMapping[str, Any]


class Listener:
    """A `receive` that is listened to while something else goes on, and that loses nothing of what it hears.

    What is on its way when nobody listens any more is not given up, since a server may have taken it for
    delivered, but kept for whoever asks next, as long as the `with` lasts. One that does not `listens` is for
    a client that waits for `100 Continue`: to listen would be to ask it for its body.
    """

    __slots__ = ("_failure", "_gone", "_kept", "_listens", "_lock", "_pending", "_receive", "_room")

    def __init__(self, receive: Callable[[], Awaitable[_Event]], *, listens: bool = True) -> None:
        from anyio import Lock

        self._receive = receive
        self._listens = listens
        self._kept: deque[_Event] = deque()
        self._room = MAX_BUFFERED_BYTES
        self._lock = Lock()
        self._gone = False
        self._failure: Exception | None = None
        self._pending: asyncio.Future[_Event] | None = None

    async def __call__(self) -> _Event:
        """The next event, as it was received."""
        from anyio import WouldBlock

        # Where there is one, or none is looked for, this does not suspend: an app may look whether the client
        # has left without waiting for it, as Starlette's `is_disconnected` does.
        try:
            self._lock.acquire_nowait()
        except WouldBlock:
            await self._lock.acquire()
        try:
            if self._kept:
                return self._kept.popleft()
            if self._failure is not None:
                raise self._failure
            event = await (self._receive() if self._pending is None else self._next())
            self._gone = event["type"] in _DISCONNECTS
            return event
        finally:
            self._lock.release()

    async def during(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Whether the client is still there when `work` is done; one that leaves ends it."""
        from anyio import create_task_group

        if not self._listens:
            await work()
            return True
        failure: Exception | None = None
        async with create_task_group() as tasks:

            async def listen() -> None:
                await self._listen()
                if self._gone:
                    tasks.cancel_scope.cancel()

            tasks.start_soon(listen)
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - raised again, out of the group that would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure := failure or self._failure:
            raise failure
        return not self._gone

    async def sleep(self, delay_s: float) -> bool:
        """Whether the client is still there after `delay_s` seconds; one that leaves ends the sleep."""
        return await self.during(lambda: sleep(delay_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Gives up what is still waited for."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending.add_done_callback(lambda pending: pending.cancelled() or pending.exception())
            self._pending = None

    async def _next(self) -> _Event:
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return await self._receive()  # trio's channels keep what a cancelled wait did not take
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._receive())
        if not self._pending.done():
            await asyncio.wait((self._pending,))
        event, self._pending = self._pending, None
        return event.result()

    async def _listen(self) -> None:
        """Until the client leaves, or has said more than is kept."""
        async with self._lock:
            while not self._gone and self._room > 0 and len(self._kept) < MAX_BUFFERED_EVENTS:
                try:
                    event = await self._next()
                except Exception as error:  # noqa: BLE001 - raised again, out of the group that would wrap it
                    self._failure = error
                    self._gone = True
                    return
                self._kept.append(event)
                self._room -= len(event.get("body") or b"")
                self._gone = event["type"] in _DISCONNECTS


_DISCONNECTS = frozenset(("http.disconnect", "websocket.disconnect"))
