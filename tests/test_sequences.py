"""Which reply it is, when so many have been given: held against one written out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.sequences import Sequence, Then


@pytest.mark.parametrize(
    ("then", "steps"),
    [
        ("last", [0, 0, 1, 2, 2, 2]),
        ("loop", [0, 0, 1, 2, 0, 0, 1, 2]),
        ("passthrough", [0, 0, 1, 2, None, None]),
    ],
)
def test_each_step_is_given_so_many_times_and_then(then: Then, steps: list[int | None]) -> None:
    sequence = Sequence.of([2, 1, 1], then)
    assert [sequence.step(before) for before in range(len(steps))] == steps


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from(["last", "loop", "passthrough"]),
    st.integers(0, 200),
)
def test_a_sequence_is_its_steps_written_out(times: list[int], then: Then, before: int) -> None:
    written: list[int | None] = [step for step, count in enumerate(times) for _ in range(count)]
    endings: dict[Then, list[int | None]] = {
        "last": [len(times) - 1] * 201,
        "loop": written * 201,
        "passthrough": [None] * 201,
    }
    assert Sequence.of(times, then).step(before) == (written + endings[then])[before]


def test_a_billion_replies_need_no_list_of_a_billion() -> None:
    sequence = Sequence.of([10**9, 10**9], "loop")
    assert sequence.step(10**9 - 1) == 0
    assert sequence.step(3 * 10**9) == 1


def test_one_reply_that_is_given_again_and_again_needs_no_count() -> None:
    assert not Sequence.of([1], "last").changes
    assert Sequence.of([1], "passthrough").changes
    assert Sequence.of([1, 1], "last").changes
