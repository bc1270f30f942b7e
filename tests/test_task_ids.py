"""An id says all of its task to whoever made it, and nothing to anybody else."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.task_ids import ID_CHARS, MAX_DURATION_S, TaskIds, is_id
from mockware.tasks import Task

ALPHABET = "0123456789abcdefghijklmnopqrstuv"
NOW = 1_900_000_000.123
IDS = TaskIds(rule="exports")
CHANCES = st.floats(0, 1, exclude_max=True)


def new(ids: TaskIds = IDS, at: float = NOW, **given: Any) -> Task:
    known = {"duration_s": 8.0, "fails": False, "method": "POST", "chance": lambda: 0.5, **given}
    return ids.new(accepted_at=at, **known)


@given(st.floats(0, 1e9), st.floats(0, MAX_DURATION_S), st.booleans(), CHANCES)
def test_what_is_written_is_read(at: float, duration_s: float, fails: bool, chance: float) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY"):
        task = new(at=at, duration_s=duration_s, fails=fails, method=method, chance=lambda: chance)
        assert IDS.read(task.id) == task
        assert (task.fails, task.method) == (fails, method)
        assert 0 <= at - task.accepted_at < 0.0011
        assert abs(duration_s - task.duration_s) < 0.0006


@given(st.text(), st.text(), st.text(), st.text())
def test_any_process_with_the_same_key_service_and_rule_reads_it(
    rule: str, service: str, key: str, text: str
) -> None:
    task = new(TaskIds(rule=rule, service=service, key=key))
    assert TaskIds(rule=rule, service=service, key=key).read(task.id) == task
    for known in (
        {"rule": rule + "x", "service": service, "key": key},
        {"rule": rule, "service": service + "x", "key": key},
        {"rule": rule, "service": service, "key": key + "x"},
    ):
        assert TaskIds(**known).read(task.id) is None
    assert TaskIds(rule=rule, service=service, key=key).read(text) is None


def test_a_letter_that_is_changed_left_out_or_added_makes_it_nobodys() -> None:
    text = new().id
    assert IDS.read(text) is not None
    for at, letter in enumerate(text):
        for other in (*ALPHABET, "w", "-", "A", " ", "٣", "é", ""):
            if other != letter:
                assert IDS.read(text[:at] + other + text[at + 1 :]) is None
        assert IDS.read(f"{text[:at]}0{text[at:]}") is None


@given(st.text() | st.text(ALPHABET, min_size=ID_CHARS, max_size=ID_CHARS))
def test_no_text_is_an_error(text: str) -> None:
    assert IDS.read(text) is None


@pytest.mark.parametrize(
    "changed",
    [
        str.upper,
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + "=",
        lambda text: text.translate({ord(str(n)): chr(0xFF10 + n) for n in range(10)}),
        lambda text: text.translate({ord(str(n)): chr(0x660 + n) for n in range(10)}),
        lambda text: "",
    ],
)
def test_another_spelling_is_not_even_the_shape_of_one(changed: Any) -> None:
    assert is_id(new().id)
    assert not is_id(changed(new().id))
    assert IDS.read(changed(new().id)) is None


def test_it_goes_into_a_url_and_is_short() -> None:
    assert re.fullmatch("[0-9a-v]{1,64}", new().id)
    assert len(new().id) == ID_CHARS


@given(st.lists(st.floats(0, 1e12), min_size=2), CHANCES)
def test_ids_sort_as_their_times_do(times: list[float], chance: float) -> None:
    chances = iter([chance, 0.0, 0.999] * len(times))
    tasks = [new(at=at, chance=lambda: next(chances)) for at in times]
    by_id = sorted(tasks, key=lambda task: task.id)
    assert [task.accepted_at for task in by_id] == sorted(task.accepted_at for task in tasks)


@pytest.mark.parametrize("at", [0.0, -0.0, -1.0, -1e300, 1e11, 1e300, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("duration_s", [0.0, -1.0, MAX_DURATION_S, 1e300, math.inf])
def test_a_clock_that_is_wrong_makes_a_task_that_everybody_sees_alike(at: float, duration_s: float) -> None:
    task = new(at=at, duration_s=duration_s, chance=lambda: 0.9999999999999999)
    assert IDS.read(task.id) == task
    assert task.accepted_at >= 0
    assert 0 <= task.duration_s <= MAX_DURATION_S


def test_a_method_that_an_id_cannot_say_is_none() -> None:
    assert new(method="PURGE").method == ""


def test_tasks_of_one_moment_differ() -> None:
    import random

    chance = random.Random(1).random
    assert len({new(chance=chance).id for _ in range(20_000)}) == 20_000


def test_a_name_that_is_no_unicode_has_ids_too() -> None:
    ids = TaskIds(rule="/\ud800", service="\udcff", key="")
    assert ids.read(new(ids).id) == new(ids)
