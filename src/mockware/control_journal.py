"""The journal for whoever has the key: read in one go, or told as it happens.

Law: nothing here sleeps or writes to a socket: whoever sends events asks for what is new now and then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from os import getpid
from typing import Any
from weakref import WeakSet

from .control_messages import (
    NOT_FOR_CACHES,
    BadRequestError,
    json_answer,
    moment,
    number_of,
    problem_answer,
    value_of,
)
from .control_views import Desk
from .exceptions import quoted
from .journal import MAX_ENTRIES, Entry, Journal, as_json
from .messages import Request, Response

# Whoever watches sees a mock while still looking; more often would be felt by nobody.
NEWS_S = 0.5
# A comment now and then keeps proxies from cutting the stream (nginx does after 60 s).
QUIET_S = 10.0
# Then the client comes again, with what it saw last: a server that stops waits for its open requests, and
# most give up after 30 s (gunicorn's graceful timeout).
STREAM_S = 20.0
# Each is polled; a team has fewer people.
MAX_STREAMS = 20


class Events:
    """What happens from now on, as server-sent events (https://html.spec.whatwg.org/#server-sent-events).

    The id of each is `PROCESS-N`, N being the id of the last entry or miss that was told: each process counts
    its own.

    Whoever sends them begins with `opening`, then asks `news` every `NEWS_S` seconds, and closes it after
    `STREAM_S` seconds, or when the client has gone.
    """

    def __init__(self, desk: Desk, after: int | None, done: Callable[[Events], None]) -> None:
        self._desk = desk
        self._journal = desk.journal
        self._last = self._journal.last_id if after is None or after > self._journal.last_id else after
        self._generation = -1
        self._quiet_s = 0.0
        self._done = done
        headers = [("Content-Type", "text/event-stream"), *NOT_FOR_CACHES, ("X-Accel-Buffering", "no")]
        self.opening = Response(200, "OK", headers, b"", rule="")

    def news(self) -> bytes:
        """What happened since; nothing, mostly."""
        lines: list[str] = []
        if self._desk.generation != self._generation:
            self._generation = self._desk.generation
            lines.append(self._event("rules", {"generation": self._generation}))
        for found in self._journal.since(self._last):
            self._last = found.id
            lines.append(self._event("mock" if isinstance(found, Entry) else "miss", as_json(found, moment)))
        self._quiet_s = 0.0 if lines else self._quiet_s + NEWS_S
        if self._quiet_s >= QUIET_S:
            self._quiet_s = 0.0
            lines.append(": still here\n\n")
        return "".join(lines).encode()

    def _event(self, kind: str, data: dict[str, Any]) -> str:
        process = getpid()
        said = json.dumps({**data, "process": process})
        return f"id: {process}-{self._last}\nevent: {kind}\ndata: {said}\n\n"

    def close(self) -> None:
        self._done(self)


class Streams:
    """The events that are told at present; each is polled, so that their number has an end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        # A server may drop a request before anybody could close what it was answered with.
        self._open: WeakSet[Events] = WeakSet()

    def forked(self) -> None:
        """In a child: nobody listens."""
        self._open = WeakSet()

    def begin(self, request: Request) -> Response | Events:
        """What tells of all that comes after the event that the client saw last.

        One of another process says nothing of what came before or after here: then it is all from now on.
        """
        if len(self._open) >= MAX_STREAMS:
            return problem_answer(503, f"{MAX_STREAMS} streams are open already; ask for the journal")
        process, _, last = (request.header("last-event-id") or "").partition("-")
        is_ours = process == str(getpid()) and last.isascii() and last.isdigit() and len(last) < 16
        after = int(last) if is_ours else None
        events = Events(self._desk, after, self._ended)
        self._open.add(events)
        return events

    def _ended(self, events: Events) -> None:
        self._open.discard(events)


def read_journal(journal: Journal, request: Request) -> Response:
    """The mocks, or the misses, that a query asks for."""
    rule = value_of(request, "rule")
    limit = number_of(request, "limit", 1, MAX_ENTRIES, 100)
    after = number_of(request, "after", 0, None, 0)
    misses = value_of(request, "misses") or "0"
    if misses not in ("0", "1"):
        raise BadRequestError(f"`misses` is 0 or 1, not {quoted(misses)}")
    found: dict[str, Any] = {"last_id": journal.last_id, "process": getpid()}
    if misses == "1":
        missed = journal.misses(rule=rule, after=after, limit=limit)
        found["misses"] = [as_json(miss, moment) for miss in missed]
    else:
        entries = journal.entries(rule=rule, after=after, limit=limit)
        found["entries"] = [as_json(entry, moment) for entry in entries]
    return json_answer(found)
