"""The life of an accepted task: what there is to say of it at any moment.

Law: a pure function of when it was accepted, what was drawn for it, and now. There is no timer and no thread,
so nothing to race with, and whoever moves the clock moves the task. A task that has ended stays as it ended.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

# Failures have to happen somewhere; half-way is where nobody expects them.
_FAILS_AT_PERCENT = 50


class Phase(StrEnum):
    """Where a task is in its life; each dialect has its own words for these."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Task(NamedTuple):
    """What a task is from its first moment on: `id` has all of the rest in it.

    `method` is that of the request that was accepted. Times are in seconds since the epoch.
    """

    id: str
    accepted_at: float
    duration_s: float
    fails: bool = False
    method: str = "POST"

    @property
    def ends_at(self) -> float:
        return self.accepted_at + self.duration_s


class State(NamedTuple):
    """What a task has come to. `percent` is None where nobody can know; `started_at` and `ended_at` are
    None where it has not."""

    phase: Phase
    percent: int | None
    accepted_at: float
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.ended_at is not None


def state_of(task: Task, now: float, *, queue_time_s: float = 0.0, canceled_at: float | None = None) -> State:
    """The state of `task` at `now`: queued for `queue_time_s`, then running until it ends.

    A cancellation counts if it came before the end.
    """
    starts_at = task.accepted_at + min(queue_time_s, task.duration_s)
    if canceled_at is not None and canceled_at < task.ends_at and canceled_at <= now:
        started_at = starts_at if starts_at <= canceled_at else None
        percent = _percent(task, starts_at, canceled_at)
        # By the clock of another host it may have been before it began.
        ended_at = max(canceled_at, task.accepted_at)
        return State(Phase.CANCELED, percent, task.accepted_at, started_at, ended_at)
    if now >= task.ends_at:
        phase = Phase.FAILED if task.fails else Phase.SUCCEEDED
        percent = _FAILS_AT_PERCENT if task.fails else 100
        return State(phase, percent, task.accepted_at, starts_at, task.ends_at)
    if now < starts_at:
        return State(Phase.QUEUED, 0, task.accepted_at)
    return State(Phase.RUNNING, _percent(task, starts_at, now), task.accepted_at, starts_at)


def state_of_run(
    task: Task, now: float, *, ended_at: float | None, succeeded: bool = False, canceled: bool = False
) -> State:
    """The state of a task that an app works on: nobody knows how far it is, and somebody says how it ended.

    `duration_s` is how long it may take: after that nobody is believed to work on it any more, whatever is
    heard of it later.
    """
    if ended_at is None or ended_at > task.ends_at:
        if now < task.ends_at:
            return State(Phase.RUNNING, None, task.accepted_at, task.accepted_at)
        return State(Phase.FAILED, None, task.accepted_at, task.accepted_at, task.ends_at)
    phase = Phase.CANCELED if canceled else Phase.SUCCEEDED if succeeded else Phase.FAILED
    percent = 100 if phase is Phase.SUCCEEDED else None
    return State(phase, percent, task.accepted_at, task.accepted_at, ended_at)


def _percent(task: Task, starts_at: float, now: float) -> int:
    """How much of the work is done, rounded down: it is 100 only when it has succeeded."""
    whole = task.ends_at - starts_at
    percent = _FAILS_AT_PERCENT if task.fails else 100
    return max(0, min(percent - 1, int(percent * (now - starts_at) / whole))) if whole > 0 else 0
