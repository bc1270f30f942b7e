"""All that a snapshot is compiled from, as plain values.

Law: a configuration can be compiled without a further question, and does not print the secrets in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .cors import Cors
from .rules import Rule
from .settings import CorsTable, TriggerTable
from .task_table import TaskTable
from .triggers import Triggers


class Budget(NamedTuple):
    """How often a rule may answer before a change of it ends: `uses` in all, counted under `key`.

    `used` is told how often that was, each time.
    """

    key: str
    uses: int
    used: Callable[[int], None]


class Entry(NamedTuple):
    """A rule in its place: the `name` that it goes by, where it is from, and whether it is on.

    `why_off` says who or what turned it off. What was changed at run time ends at `until` (s), or with its
    `budget`.
    """

    name: str
    rule: Rule
    source: str
    on: bool = True
    why_off: str = ""
    until: float | None = None
    budget: Budget | None = None


class Configuration(NamedTuple):
    """All that a snapshot is compiled from.

    `sources` says where the rules are from, in order; `service` is the name that tells the counters and tasks
    of this service from those of others in one store, and `key` signs the ids of tasks. `secrets` are those
    that sign webhooks, by the name of their variable. `redacted` are the fields, in lower case, that the
    journal strikes out.
    """

    entries: tuple[Entry, ...] = ()
    never: tuple[str, ...] = ()
    triggers: Triggers | None = None
    sources: tuple[str, ...] = ()
    service: str = ""
    key: str = ""
    secrets: Mapping[str, str] = MappingProxyType({})
    webhook_hosts: tuple[str, ...] = ()
    trusts_forwarded: bool = False
    redacted: tuple[str, ...] = ()
    keeps_bodies: bool = False
    trigger_table: TriggerTable = TriggerTable()
    cors_table: CorsTable | None = None
    cors: Cors | None = None
    server_timing: bool = False

    @property
    def heeds_more(self) -> bool:
        """Whether more of a request is looked at than its method, path and trigger fields."""
        return self.cors is not None or (self.triggers is not None and self.triggers.heeds_more)

    @property
    def sends_webhooks(self) -> bool:
        """Whether any rule would tell of its tasks."""
        tasks = (entry.rule.task for entry in self.entries if entry.on)
        return any(isinstance(task, TaskTable) and task.webhook is not None for task in tasks)

    def __repr__(self) -> str:
        return f"<Configuration of {len(self.entries)} rules>"  # whatever is logged, the secrets are not
