"""A snapshot that writes down what it decides, and decides nothing else than it otherwise would.

Law: for tests. What is kept is bounded in number and in bytes, and counted beyond that. A delay moves the
clock that rules go by, and nobody waits for it unless that is asked for.
"""

from __future__ import annotations

import json
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from threading import Lock
from typing import Any, NamedTuple

from .compiled_rules import Candidate
from .configuration import Configuration
from .decisions import PASSTHROUGH, BodyNeeded, Decision, Passthrough, Run
from .engine import Snapshot
from .memory_store import MemoryStore
from .messages import Request, Response

# More than anybody asserts about one by one; a test that sends more has its counts all the same.
MAX_REQUESTS = 1000
# Of all bodies that are kept: as many as there are, if each is a form, and sixteen if each is as long as is
# ever read (1 MiB).
MAX_BODIES_BYTES = 16 * 1024 * 1024


class MockedRequest(NamedTuple):
    """A request that a rule answered, and how.

    `headers` are by their names in lower case. `body` is None where it was longer than 1 MiB. `status` is
    that of the mock, None where the rule let the request through or changes the app's response. `delay_s` is
    how long the client would have waited.
    """

    rule: str
    method: str
    path: str
    query_string: str
    headers: dict[str, str]
    body: bytes | None
    status: int | None
    delay_s: float

    @property
    def json(self) -> Any:
        """The body as JSON. Raises ValueError where it is none."""
        return json.loads(self.body or b"")


class Clock:
    """The time (s) that rules, tasks and templates go by. It stands still until it is moved."""

    def __init__(self, now_s: float) -> None:
        self._now_s = now_s
        self._lock = Lock()

    def __call__(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Moves it on. Raises ValueError for a time that is gone."""
        if not seconds >= 0:
            raise ValueError(f"time goes forward only, and not by {seconds!r} seconds")
        with self._lock:
            self._now_s += seconds


class Journal:
    """What was mocked, within bounds. Clients may send from several threads."""

    def __init__(self) -> None:
        self._hits: Counts[str] = Counts()
        self._requests: deque[MockedRequest] = deque()
        self._bytes = 0
        self._lock = Lock()

    @property
    def hits(self) -> Counts[str]:
        """How many requests each rule has answered."""
        with self._lock:
            return self._hits.copy()

    @property
    def requests(self) -> list[MockedRequest]:
        """What is kept of them, in order."""
        with self._lock:
            return [*self._requests]

    def add(self, mocked: MockedRequest) -> None:
        with self._lock:
            self._hits[mocked.rule] += 1
            self._requests.append(mocked)
            self._bytes += len(mocked.body or b"")
            while len(self._requests) > MAX_REQUESTS or self._bytes > MAX_BODIES_BYTES:
                self._bytes -= len(self._requests.popleft().body or b"")


class WatchedSnapshot(Snapshot):
    """Writes down what it decides, and does not wait. While it is not `is_on`, everything passes."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        journal: Journal,
        clock: Clock,
        chance: Callable[[], float],
        sleeps: bool,
    ) -> None:
        super().__init__(configuration, store=MemoryStore(clock=clock), clock=clock, chance=chance)
        self.is_on = False
        self._journal = journal
        self._sleeps = sleeps
        self._advance = clock.advance
        # What is ready beforehand would be sent without anybody being asked.
        self.at_once = {}
        for rule in self.rules:
            rule.at_once = {}
        find = self.find
        self.find = lambda path: find(path) if self.is_on else None

    def decide(
        self,
        request: Request,
        candidates: Sequence[Candidate],
        *,
        resume: BodyNeeded | None = None,
        outer: Snapshot | None = None,
    ) -> Decision:
        if not self.is_on or (candidates and candidates[0] is self.untouchable):
            return PASSTHROUGH
        # The body is for the journal; of a request that no rule is about, it is not touched.
        if resume is None and self._is_about(request, candidates):
            return BodyNeeded(0)
        decision = super().decide(request, candidates, outer=outer)
        if isinstance(decision, BodyNeeded):
            decision = super().decide(request, candidates, resume=decision, outer=outer)
        return self._watched(decision, request)

    def _is_about(self, request: Request, candidates: Sequence[Candidate]) -> bool:
        if self.triggers is not None and self.triggers.read(request) is not None:
            return True
        return any(rule.difference(request) is None for rule in candidates)

    def _watched(self, decision: Decision, request: Request) -> Decision:
        """The same decision, written down, without the time that it would take."""
        if isinstance(decision, Run):
            response = self._watched(decision.response, request)
            return decision._replace(response=response) if isinstance(response, Response) else decision
        if isinstance(decision, Response):
            waits_s = decision.delay_s + decision.drip_s
            self._note(decision.rule, request, decision.status, waits_s)
            return decision if self._sleeps or decision.is_plain else _without_waits(decision)
        if isinstance(decision, Passthrough):
            waits_s = decision.delay_s + decision.delay_after_s
            if decision.rule:
                self._note(decision.rule, request, None, waits_s)
            else:  # X-Mock-Delay alone
                self._advance(waits_s)
            return decision if self._sleeps else decision._replace(delay_s=0.0, delay_after_s=0.0)
        return decision

    def _note(self, rule: str, request: Request, status: int | None, delay_s: float) -> None:
        # A poll that waited for a task has its end; whoever comes after it must not be told that it is on.
        self._advance(delay_s)
        self._journal.add(
            MockedRequest(
                rule,
                request.method,
                request.path,
                request.query_string,
                request.fields(),
                request.body,
                status,
                delay_s,
            )
        )


def _without_waits(response: Response) -> Response:
    quick = copy(response)
    quick.delay_s = quick.drip_s = 0.0
    if quick.fault == "stall":
        quick.fault = "empty"  # no byte of the body, but without the silence before the end
    return quick
