"""Waiting, within bounds: how long, and how many at once.

Law: nobody can make a process hold more than `MAX_SLEEPERS` requests asleep, and no request waits for a
client without an end. Each interface waits in its own way: a thread sleeps, a task lets others run.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from types import coroutine
from typing import Any, TypeVar, cast

from .messages import Response
from .replies import build_problem

# A worker of the usual servers has at most as many connections open (gunicorn's worker_connections and
# nginx's default are 1000 and 1024): beyond that, delays would take the whole worker down.
MAX_SLEEPERS = 1000

T = TypeVar("T")

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


class Unfinished(Exception):  # noqa: N818 - control flow: it says that there is more to await
    """An awaitable that could not be run to its end without waiting. `rest` is what is left of it."""

    def __init__(self, rest: Awaitable[Any]) -> None:
        self.rest = rest


def run_until_it_waits(awaitable: Awaitable[T]) -> T:
    """The result of an awaitable that need not wait; raises `Unfinished` for one that has to.

    A timer for each request would cost more than everything else that is done for it, while most bodies
    are there before the app is called. So the clock is started only if there is something to wait for.
    """
    try:
        steps = awaitable.__await__()
    except AttributeError:
        steps = cast(Generator[Any, Any, T], awaitable)  # made awaitable by `types.coroutine`
    try:
        waits_for = next(steps)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]
    raise Unfinished(_rest(steps, waits_for))


@coroutine
def _rest(steps: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """`yield from steps`, the first of which was taken already (PEP 380)."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # cancellation above all
                # An iterator written in Rust or C may be no generator and have no `throw`.
                if not hasattr(steps, "throw"):
                    raise
                waits_for = steps.throw(error)
            else:
                waits_for = next(steps) if sent is None else steps.send(sent)
    except StopIteration as finished:
        return finished.value  # type: ignore[no-any-return]


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
