"""Waiting, within bounds: how long, and how many at once.

Law: nobody can make a process hold more than `MAX_SLEEPERS` requests asleep, and a sleep ends when its
client leaves, where the interface can tell. Each waits in its own way: a thread sleeps, a task lets others
run.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .messages import Response
from .replies import build_problem

# A worker of the usual servers has at most as many connections open (gunicorn's worker_connections and
# nginx's default are 1000 and 1024): beyond that, delays would take the whole worker down.
MAX_SLEEPERS = 1000

_places = threading.BoundedSemaphore(MAX_SLEEPERS)


@contextmanager
def place_to_sleep() -> Iterator[bool]:
    """Whether there is still room for one more sleeper in this process; it is kept while inside."""
    granted = _places.acquire(blocking=False)
    try:
        yield granted
    finally:
        if granted:
            _places.release()


def too_many_sleepers(rule: str, method: str) -> Response:
    """What is said instead of a reply for which there is no more room to wait."""
    reason = f"{MAX_SLEEPERS} requests are waiting for delayed mocks already, the most that are held at once"
    return build_problem(503, reason, rule=rule).to(method)


async def sleep(delay_s: float) -> None:
    """Sleeps on asyncio and trio alike."""
    from anyio import sleep

    await sleep(delay_s)


async def sleep_while_connected(delay_s: float, receive: Callable[[], Awaitable[Any]]) -> bool:
    """Whether the client is still there after `delay_s` seconds; one that leaves ends the sleep.

    The request's body must have been read: the next that `receive` has to say is the disconnect.
    """
    from anyio import create_task_group, sleep

    connected = True
    failure: Exception | None = None
    async with create_task_group() as tasks:

        async def watch() -> None:
            nonlocal connected, failure
            try:
                message = await receive()
            except Exception as error:  # noqa: BLE001 - raised again below, out of the group that would wrap it
                failure = error
            else:
                if message["type"] not in ("http.disconnect", "websocket.disconnect"):
                    return
            connected = False
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await sleep(delay_s)
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return connected
