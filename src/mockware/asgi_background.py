"""An ASGI app that works while nobody waits for it: its response is taken down, and told of when it is there.

Law: whoever was started is told of, once, whatever becomes of it: a response, or the reason why there is
none. A run belongs to the app's lifespan and not to the request that started it: the app is told to shut down
when the runs are over, since until then they need what it has opened. Where a server has no lifespan, a run
belongs to the event loop. It brings anyio along, and so is imported by those alone who need it.

Doubt: what neither lets others run nor heeds a cancellation (a thread that the app waits for, above all)
holds up the end of the process, as it does without us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import copy_context
from sys import modules
from threading import BoundedSemaphore
from typing import Any

from anyio import (
    CancelScope,
    Event,
    create_task_group,
    get_cancelled_exc_class,
    move_on_after,
)
from anyio.lowlevel import checkpoint, current_token

from .captured import MAX_CAPTURED_BYTES, Captured
from .encodings import longer_than
from .logs import logger
from .nesting import let_through, let_through_by
from .questions import MAX_RECORD_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[Any]]
Done = Callable[[Captured], Awaitable[None]]

# Each holds the body of its request and as much of its response, a mebibyte each: 200 MiB at the most. More
# at once would wait for each other anyway: SQLAlchemy's pool has fifteen connections, anyio's forty threads.
MAX_RUNNING = 100
# Between SIGTERM and SIGKILL, docker waits for 10 s and Kubernetes for 30: this is half of the shorter time.
# The other half is for the server's own connections and for the app's shutdown.
GRACE_S = 5.0
# A store answers within a quarter of a second or is given up (`fallback.MAX_WAIT_S`); a hundred runs that end
# together share a thread or a few.
MAX_TELLING_S = 2.0
# How long the app's shutdown is held back for runs that were cancelled already: time to roll back, no more.
MAX_CANCELLING_S = 2.0

_CANCELLED = "the run was cancelled before the app had answered"
_SHUT_DOWN = "the server was shut down before the app had answered"


class Background:
    """The runs that one middleware has started and that are not over, in whatever event loops."""

    def __init__(self) -> None:
        self._places = BoundedSemaphore(MAX_RUNNING)
        self._lifespans: list[_Lifespan] = []
        # An event loop does not keep its tasks alive: https://docs.python.org/3/library/asyncio-task.html
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, app: ASGIApp, scope: Scope, body: bytes, done: Done, *, timeout_s: float) -> bool:
        """Has `app` answer a request with this body, and calls `done` with what came of it.

        False: `MAX_RUNNING` are running already, or the server is shutting down. Never waits. The app may go
        on after its response, as long as it likes; `timeout_s` is for the response.
        """
        lifespan = self._lifespan_here()
        run = _Run(app, scope, body, done, timeout_s)
        if (lifespan is not None and lifespan.closing) or not self._places.acquire(blocking=False):
            return False

        async def perform() -> None:
            try:
                await run.perform()
            finally:
                self._places.release()
                if lifespan is not None:
                    lifespan.runs.discard(run)

        # Each of the three gives the run a copy of this context, and none of our cancel scopes.
        if lifespan is not None:
            lifespan.runs.add(run)
            lifespan.tasks.start_soon(perform)
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # Whoever runs us has imported it: it is none of our dependencies.
            modules["trio"].lowlevel.spawn_system_task(perform, context=copy_context())
        else:
            task = loop.create_task(perform())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def lifespan(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
        """The app's own lifespan, to which the runs belong that are started meanwhile in this event loop.

        Between the server's `lifespan.shutdown` and the app's, they have `GRACE_S` to come to an end.
        """
        failure: BaseException | None = None
        answer: Any = None
        over = False
        event: Message | None = None

        async def receive_in_time() -> Message:
            nonlocal event
            if event is None:
                event = await receive()
            if event["type"] == "lifespan.shutdown":
                await lifespan.close()
            received, event = event, None
            return received

        lifespan = _Lifespan()
        self._lifespans.append(lifespan)
        try:
            async with lifespan.tasks:
                try:
                    answer = await app(scope, receive_in_time, send)
                    over = True
                    await lifespan.close()
                # Raised again, out of the group that would wrap it: servers know by it that an app has no
                # lifespan, or did not start.
                except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001
                    failure = error
                    over = True
                    await lifespan.close()
                finally:
                    lifespan.closing = True
        except get_cancelled_exc_class():
            # Hypercorn cancels a lifespan as soon as that has said it is complete. The app by itself is over
            # by then, but its group lets others run before it ends.
            if not over:
                raise
        finally:
            self._lifespans.remove(lifespan)
        if failure is not None:
            raise failure
        return answer

    def _lifespan_here(self) -> _Lifespan | None:
        """The lifespan of the event loop that this is called in; where it has several, the latest."""
        here = current_token()
        return next((each for each in reversed(tuple(self._lifespans)) if each.token == here), None)


class _Lifespan:
    """From startup to shutdown, in one event loop."""

    def __init__(self) -> None:
        self.tasks = create_task_group()
        self.token = current_token()
        self.runs: set[_Run] = set()
        self.closing = False

    async def close(self) -> None:
        """Lets the runs come to an end, within bounds."""
        self.closing = True
        await self._all_ended(GRACE_S)
        for run in tuple(self.runs):
            run.cancel()
        await self._all_ended(MAX_CANCELLING_S)

    async def _all_ended(self, patience_s: float) -> None:
        with move_on_after(patience_s):
            for run in tuple(self.runs):
                await run.ended.wait()


class _Run:
    """One request to the app. What comes first is told: its response, an error, the end of patience."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes, done: Done, timeout_s: float) -> None:
        self._app = app
        self._scope = _scope_of_its_own(scope)
        # A middleware inside of this one looks for the word of the outer one beside the request.
        self._outer = let_through_by(scope["headers"])
        self._event: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._done = done
        self._timeout_s = timeout_s
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._body = bytearray()
        self._captured: Captured | None = None
        self._known = Event()  # that there is something to tell
        self._cancelling = CancelScope()
        self.ended = Event()

    def cancel(self) -> None:
        """Ends it for the sake of a shutdown."""
        self._give_up(_SHUT_DOWN)
        self._cancelling.cancel()

    async def perform(self) -> None:
        work = self._work()
        try:
            with self._cancelling:
                async with create_task_group() as tasks:
                    tasks.start_soon(lambda: work)
                    try:
                        with move_on_after(self._timeout_s):
                            await self._known.wait()
                        self._give_up(f"the app gave no response within {self._timeout_s:g} s")
                    finally:
                        await self._tell()
                    if self._captured is None or self._captured.reason:
                        tasks.cancel_scope.cancel()
        finally:
            work.close()  # asyncio may end before its first step, and complains of what never began
            self.ended.set()

    async def _tell(self) -> None:
        """Calls `done`, whoever cancels, and at once: an app that is cancelled may take its time."""
        captured = self._conclude(Captured(reason=_CANCELLED))
        with move_on_after(MAX_TELLING_S, shield=True) as patience:
            try:
                await self._done(captured)
            except Exception:  # noqa: BLE001 - nobody is left to be told
                logger.exception("could not keep what %s answered in the background", self)
        if patience.cancelled_caught:
            logger.error("could not keep what %s answered in the background: it takes too long", self)

    async def _work(self) -> None:
        reason = _CANCELLED
        try:
            # Even where tasks are eager, what started this one goes first.
            await checkpoint()
            with let_through(self._scope["headers"], by=self._outer):
                await self._app(self._scope, self._receive, self._send)
            self._give_up("the app broke off its response" if self._status else "the app gave no response")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - nobody else would tell of it
            logger.error("%s failed in the background", self, exc_info=error)
            reason = f"the app raised {type(error).__name__}"
        finally:
            self._conclude(Captured(reason=reason))

    async def _receive(self) -> Message:
        if self._event is not None:
            event, self._event = self._event, None
            return event
        await self._known.wait()
        # "if receive is called after a response has been sent" (ASGI, Disconnect - receive event).
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._captured is None:
            self._take_down(message)
        # A server's own lets others run as well, be it only when its buffers are full.
        await checkpoint()

    def _take_down(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and not self._status:
            self._headers = tuple((_text(name), _text(value)) for name, value in message.get("headers", ()))
            self._status = int(message["status"])
        elif kind == "http.response.body" and self._status:
            piece = message.get("body", b"")
            if len(self._body) + len(piece) > MAX_CAPTURED_BYTES:
                self._give_up(f"the response is {longer_than(MAX_CAPTURED_BYTES)}")
                return
            self._body += piece
            if not message.get("more_body", False):
                captured = Captured(self._status, self._headers, bytes(self._body))
                if len(captured.to_bytes()) > MAX_RECORD_BYTES:
                    self._give_up("the header fields of the response are too long to be kept")
                self._conclude(captured)
        else:
            raise RuntimeError(f"the app sent {kind!r} where it has no place")

    def _give_up(self, reason: str) -> None:
        if self._captured is None:
            logger.warning("gave up on %s in the background: %s", self, reason)
            self._conclude(Captured(reason=reason))

    def _conclude(self, captured: Captured) -> Captured:
        """The first one counts."""
        if self._captured is None:
            self._captured = captured
            self._body = bytearray()
            self._known.set()
        return self._captured

    def __str__(self) -> str:
        return f"{self._scope.get('method', 'GET')[:32]!a} {self._scope.get('path', '')[:512]!a}"


def _scope_of_its_own(scope: Scope) -> Scope:
    """A copy, without the server's offers to take a part of a response another way than by its events."""
    own = {**scope, "headers": [*scope["headers"]]}
    if extensions := scope.get("extensions"):
        own["extensions"] = {
            name: value for name, value in extensions.items() if not name.startswith("http.response.")
        }
    return own


def _text(value: Any) -> str:
    """A name or a value as text; the specification has bytes, some apps have not."""
    return value if isinstance(value, str) else bytes(value).decode("latin-1")
