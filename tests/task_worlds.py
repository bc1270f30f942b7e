"""A service whose rules accept tasks, behind either adapter, with a clock that a test moves.

What belongs here: sending, and reading what comes back. WSGI stands under `wsgiref.validate`.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.by_hand import Answer, Message, Sent, Wire, events_of, over_wsgi, run, scope_of
from tests.test_parity import asgi_app, wsgi_app

import mockware
from mockware.task_ids import TaskIds
from mockware.tasks import Task

BORN = 1893456000.0  # 2030-01-01T00:00:00Z


class _Patient(Wire):
    """A client that stays until it is answered."""

    async def receive(self) -> Message:
        if not self.events:
            await asyncio.Event().wait()
        return await super().receive()


@dataclass
class World:
    """One service. `now` is its clock, in seconds since `BORN`."""

    interface: str
    now: float = 0.0
    app: Any = None

    def serve(self, *rules: Any, environ: dict[str, str] | None = None, **task: Any) -> "World":
        """With these rules, or one for `POST /jobs` with this task; a path is a rules file's."""
        declared: Any = rules or [mockware.Rule("POST /jobs", name="jobs", task=task)]
        if len(rules) == 1 and not isinstance(rules[0], mockware.Rule):
            declared = rules[0]
        app: Any = asgi_app if self.interface == "asgi" else wsgi_app
        self.app = mockware.wrap(
            app, rules=declared, enabled=True, environ=environ or {}, clock=lambda: BORN + self.now
        )
        return self

    def send(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        body: bytes = b"",
        json: Any = None,
        mount: str = "",
        **more: Any,
    ) -> Answer:
        path, _, query = target.partition("?")
        body = _dumped(json) if json is not None else body
        sent = Sent(method, quote(mount) + path, query, headers, [body] if body else [], mount)
        if self.interface == "wsgi":
            return over_wsgi(self.app, sent, **more)
        wire = _Patient(events_of(sent))
        run(self.app(scope_of(sent, **more), wire.receive, wire.send))
        return wire.answer

    def get(self, target: str, *headers: tuple[str, str], **more: Any) -> Answer:
        return self.send("GET", target, *headers, **more)

    def post(self, target: str = "/jobs", *headers: tuple[str, str], **more: Any) -> Answer:
        return self.send("POST", target, *headers, **more)

    def accept(self, *headers: tuple[str, str], **more: Any) -> str:
        """The path of the monitor of a new task."""
        answer = self.post("/jobs", *headers, **more)
        assert answer.status in (201, 202), answer
        (at,) = answer.all("location") or answer.all("content-location")
        return at.removeprefix("http://mock.test")


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def told(answer: Answer) -> Any:
    return json.loads(answer.body)


def by(answer: Answer) -> str:
    """Which rule has answered, or `app`."""
    if answer.all("x-app"):
        assert not answer.all("x-mock-rule")
        return "app"
    return answer.one("x-mock-rule")


def outcome(answer: Answer) -> str:
    return f"{answer.status} {by(answer)}"


def task_of(text: str, rule: str = "jobs", **known: str) -> Task:
    task = TaskIds(rule=rule, **known).read(text.rpartition("/")[2])
    assert task is not None
    return task


def problem(answer: Answer, status: int, said: str, rule: str = "jobs") -> None:
    """It is a clear problem, and tells its reason."""
    assert (answer.status, answer.one("content-type")) == (status, "application/problem+json")
    assert said in told(answer)["detail"]
    assert by(answer) == rule


def outcomes(answers: Sequence[Answer]) -> list[str]:
    return [outcome(answer) for answer in answers]
