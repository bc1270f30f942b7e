"""Rules as the control API shows them: what they are, whether they are on, who changed them, and their hits.

Law: nothing is changed here, and no store is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import getpid
from typing import Any, Protocol

from .changes import Applied, Change
from .configuration import Entry
from .control_messages import BadRequestError, finding, json_answer, moment
from .environment import Environment
from .exceptions import Problem, did_you_mean
from .journal import Journal
from .messages import Request, Response
from .rule_documents import document_of
from .rules import Rule
from .runtime_rules import RuntimeRules
from .statuses import status_for
from .task_table import TaskTable


class Desk(Protocol):
    """What the API speaks for: the rules of one middleware, as `Installation` has them."""

    environment: Environment
    journal: Journal
    runtime: RuntimeRules
    applied: Applied
    generation: int
    problems: Sequence[Problem]
    clock: Callable[[], float]

    @property
    def store_name(self) -> str:
        """Where counts are kept."""

    def change(self, changes: Sequence[Change], removed: Sequence[str] = ()) -> None:
        """Makes changes, all or none, and swaps the rules. Raises StoreError."""


class Views:
    """The rules of a desk, all of them or one by one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def all(self, request: Request) -> Response:
        """Each rule, and in what state the whole is."""
        desk = self._desk
        applied = desk.applied
        return json_answer(
            {
                "rules": [self._listed(entry, applied) for entry in applied.configuration.entries],
                "scope": "process" if desk.runtime.store is None else "store",
                "store": desk.store_name,
                "store_away": desk.runtime.away,
                "generation": desk.generation,
                "problems": [finding(problem) for problem in desk.problems],
                "process": getpid(),
            }
        )

    def one(self, request: Request, name: str) -> Response:
        """A rule with all that it declares."""
        return self.alone(self.entry(name))

    def entry(self, name: str) -> Entry:
        """The rule of this name. Raises BadRequestError."""
        entries = self._desk.applied.configuration.entries
        for entry in entries:
            if entry.name == name:
                return entry
        raise BadRequestError(f"no rule has this name{did_you_mean(name, [e.name for e in entries])}", 404)

    def alone(self, entry: Entry, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
        """An entry, and its rule as a rules file would have it."""
        shown = {**self._listed(entry, self._desk.applied), "rule": document_of(entry.rule)}
        return json_answer(shown, status=status, headers=headers)

    def some(self, names: set[str]) -> Response:
        """Those of these names, as far as they are still there."""
        applied = self._desk.applied
        entries = [entry for entry in applied.configuration.entries if entry.name in names]
        return json_answer({"rules": [self._listed(entry, applied) for entry in entries]})

    def _listed(self, entry: Entry, applied: Applied) -> dict[str, Any]:
        rule = entry.rule
        change = applied.changes.get(entry.name)
        own = applied.declared.get(entry.name)
        hits, last = self._desk.journal.hits(entry.name)
        expires = rule.expires
        return {
            "name": entry.name,
            "match": rule.match,
            "tags": list(rule.tags),
            "source": entry.source,
            "on": entry.on,
            "declared_on": None if own is None else own.on,
            "runtime": change is not None and change.document is not None,
            "expires": None if expires is None else moment(expires.timestamp()),
            "expired": expires is not None and self._desk.clock() >= expires.timestamp(),
            "hits": hits,
            "last_hit": None if last is None else moment(last),
            "action": action_of(rule),
            "change": None if change is None else self._told(change),
        }

    def _told(self, change: Change) -> dict[str, Any]:
        return {
            "on": change.on,
            "by": change.by,
            "why": change.why,
            "at": moment(change.at),
            "until": moment(change.until),
            "uses": change.uses,
            "uses_left": self._desk.runtime.uses_left(change),
            "beneath": None if change.beneath is None else self._told(change.beneath),
        }


def action_of(rule: Rule) -> dict[str, Any]:
    """What a rule does, in a few words."""
    delay = f", after {rule.delays}" if rule.delays else ""
    if rule.passthrough:
        return {"kind": "passthrough", "status": None, "summary": f"to the app{delay}"}
    if rule.patch:
        status = getattr(rule.patch, "status", None)
        return {"kind": "patch", "status": status, "summary": f"the app's response, changed{delay}"}
    if isinstance(rule.task, TaskTable):
        return {"kind": "task", "status": 202, "summary": f"202 and a task ({rule.task.dialect}){delay}"}
    if rule.replies:
        shown = ", ".join(str(step.status or 202) for step in rule.steps[:5])
        more = ", ..." if len(rule.steps) > 5 else ""
        status = rule.steps[0].status or 202
        return {"kind": "replies", "status": status, "summary": f"in turn: {shown}{more}{delay}"}
    status = rule.status or 202
    manner = f", {rule.fault} on the wire" if rule.fault else ""
    return {
        "kind": "reply",
        "status": status,
        "summary": f"{status} {status_for(status).phrase}{delay}{manner}",
    }
