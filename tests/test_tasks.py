"""The life of a task, whatever its times are: it goes forward, and what has ended stays as it ended."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mockware.tasks import Phase, State, Task, state_of, state_of_run

ORDER = [Phase.QUEUED, Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELED]
SECONDS = st.floats(0, 1e6) | st.sampled_from([0.0, 0.001, 1.0])
# Before the task, during it and after it, by clocks that may be wrong.
MOMENTS = st.floats(-1e6, 3e6) | st.sampled_from([0.0, 1.0])
TASKS = st.builds(Task, st.just("id"), st.just(0.0) | MOMENTS, SECONDS, st.booleans())


def check_goes_forward(states: list[State]) -> None:
    for before, after in pairwise(states):
        assert ORDER.index(before.phase) <= ORDER.index(after.phase)
        if before.has_ended:
            assert after == before
        assert (before.percent or 0) <= (after.percent or 0)
        assert before.started_at in (None, after.started_at)


def check_makes_sense(state: State, task: Task) -> None:
    assert (state.percent == 100) == (state.phase is Phase.SUCCEEDED)
    assert state.accepted_at == task.accepted_at
    assert state.has_ended == (state.phase in ORDER[2:])
    times = [at for at in (state.accepted_at, state.started_at, state.ended_at) if at is not None]
    assert times == sorted(times)


@given(TASKS, st.lists(MOMENTS, min_size=2), SECONDS, st.none() | MOMENTS)
def test_a_task_never_goes_back(
    task: Task, moments: list[float], queue_time_s: float, canceled_at: float | None
) -> None:
    moments = sorted([*moments, task.accepted_at, task.ends_at])
    states = [state_of(task, now, queue_time_s=queue_time_s, canceled_at=canceled_at) for now in moments]
    check_goes_forward(states)
    for state in states:
        check_makes_sense(state, task)
    canceled = canceled_at is not None and canceled_at < task.ends_at
    end = Phase.CANCELED if canceled else Phase.FAILED if task.fails else Phase.SUCCEEDED
    assert states[-1].phase is end


@given(TASKS, SECONDS, st.data())
def test_a_cancellation_changes_nothing_of_what_was_before(
    task: Task, queue_time_s: float, data: st.DataObject
) -> None:
    canceled_at = data.draw(st.floats(task.accepted_at, max(task.accepted_at, task.ends_at)))
    moments = sorted([*data.draw(st.lists(MOMENTS)), canceled_at, task.ends_at])
    check_goes_forward(
        [
            state_of(
                task,
                now,
                queue_time_s=queue_time_s,
                canceled_at=canceled_at if now >= canceled_at else None,
            )
            for now in moments
        ]
    )


@given(TASKS, st.lists(MOMENTS), st.none() | MOMENTS, st.booleans(), st.booleans())
def test_a_run_never_goes_back_not_even_when_an_answer_comes_after_its_time(
    task: Task, moments: list[float], ended_at: float | None, succeeded: bool, canceled: bool
) -> None:
    if ended_at is not None:
        ended_at = max(ended_at, task.accepted_at)
    moments = sorted([*moments, task.accepted_at, task.ends_at, 3e6])
    states = [
        state_of_run(
            task,
            now,
            ended_at=ended_at if ended_at is not None and ended_at <= now else None,
            succeeded=succeeded,
            canceled=canceled and not succeeded,
        )
        for now in moments
    ]
    check_goes_forward(states)
    for state in states:
        check_makes_sense(state, task)
    assert states[-1].has_ended


def test_the_life_of_a_task_minute_by_minute() -> None:
    task = Task("id", 100.0, 10.0)
    told = [state_of(task, now, queue_time_s=2.0) for now in (100, 101.999, 102, 106, 109.999, 110, 1e9)]
    assert [state.phase.value for state in told] == [
        *["queued", "queued", "running", "running", "running"],
        *["succeeded", "succeeded"],
    ]
    assert [state.percent for state in told] == [0, 0, 0, 50, 99, 100, 100]
    assert told[-1] == State(Phase.SUCCEEDED, 100, 100.0, 102.0, 110.0)


def test_a_task_that_fails_comes_half_way() -> None:
    task = Task("id", 0.0, 10.0, fails=True)
    assert [state_of(task, now).percent for now in (0, 5, 9.999, 10)] == [0, 25, 49, 50]


def test_without_a_duration_it_has_ended_when_it_begins_and_cannot_be_canceled() -> None:
    task = Task("id", 5.0, 0.0)
    assert state_of(task, 5.0, queue_time_s=9.0, canceled_at=5.0).phase is Phase.SUCCEEDED
