"""Changes in a store: what one process writes, the next look of another finds; and each ends."""

from pathlib import Path
from typing import Any

import pytest

from mockware import Rule
from mockware.changes import MAX_FOR_S, Change
from mockware.configuration import Configuration, Entry
from mockware.exceptions import StoreError
from mockware.memory_store import MemoryStore
from mockware.questions import Record
from mockware.runtime_rules import RuntimeRules
from mockware.sqlite_store import SQLiteStore

START = 1_800_000_000.0
DECLARED = Configuration((Entry("a", Rule("/a", name="a"), "file"), Entry("b", Rule("/b"), "file", on=False)))


class World:
    """Two processes that share a store, as far as they know, and their clock."""

    def __init__(self, store: Any) -> None:
        self.now = START
        self.one, self.other = (
            RuntimeRules(store, service="shop", clock=lambda: self.now),
            RuntimeRules(store, service="shop", clock=lambda: self.now),
        )
        self.foreign = RuntimeRules(store, service="other", clock=lambda: self.now)

    def change(self, name: str, *, on: bool = False, **more: Any) -> Change:
        fields = {
            "by": "ada",
            "why": "demo",
            "at": self.now,
            "until": self.now + 60,
            "id": f"{name}{self.now}",
        }
        return Change(**{"name": name, "on": on, **fields, **more})


@pytest.fixture(params=["memory", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    # The records' own end is that of the store's clock, which stands before all of them.
    clock = lambda: START  # noqa: E731
    if request.param == "memory":
        return World(MemoryStore(clock=clock))
    return World(SQLiteStore(str(tmp_path / "a.db"), clock=clock))


def test_a_change_of_one_is_found_by_the_next_look_of_the_other_and_by_no_other_service(world: World) -> None:
    assert not world.other.look()
    world.one.set([world.change("a")])
    assert world.other.look()
    assert not world.other.look()
    assert not world.foreign.look()
    assert world.other.changes == world.one.changes
    entry = world.other.apply(DECLARED).configuration.entries[0]
    assert (entry.on, entry.why_off) == (False, "switched off by ada: demo")


def test_two_who_change_two_rules_lose_neither(world: World) -> None:
    world.one.set([world.change("a")])
    world.other.set([world.change("b", on=True)])
    world.one.look()
    world.other.look()
    assert set(world.one.changes) == set(world.other.changes) == {"a", "b"}
    world.other.set([], ["a"])
    assert world.one.look()
    assert set(world.one.changes) == {"b"}


def test_each_ends_when_its_time_is_over_wherever_it_is_known(world: World) -> None:
    world.one.set([world.change("a"), world.change("b", on=True, until=START + 120)])
    world.other.look()
    world.now += 60
    assert world.one.look()
    assert world.other.look()
    assert set(world.one.changes) == set(world.other.changes) == {"b"}
    # The record is there as yet, and is read once more when anything else changes.
    world.one.set([world.change("c", on=True, document={"match": "/c"})])
    world.other.look()
    assert set(world.other.changes) == {"b", "c"}


def test_uses_of_one_are_heard_of_by_the_other_and_end_it_for_both(world: World) -> None:
    change = world.change("c", on=True, uses=3, document={"match": "/c"})
    world.one.set([change])
    world.other.look()
    (entry, *_) = world.one.apply(DECLARED).configuration.entries
    assert entry.budget is not None
    entry.budget.used(2)
    world.one.look()
    world.other.look()
    assert world.other.uses_left(change) == 1
    entry.budget.used(1)  # told late, by a slower thread
    entry.budget.used(3)
    assert world.one.look()
    assert world.other.look()
    assert not world.one.changes
    assert not world.other.changes
    world.other.set([world.change("a")])
    world.one.look()
    assert set(world.one.changes) == {"a"}, "what is used up does not come back with the next change"


def test_what_a_switch_lies_upon_holds_again_wherever_it_is_known_and_is_used_up_once(world: World) -> None:
    beneath = world.change("c", on=True, uses=3, document={"match": "/c"}, until=START + 3600)
    world.one.set([beneath])
    (entry, *_) = world.one.apply(DECLARED).configuration.entries
    assert entry.budget is not None
    entry.budget.used(2)
    world.one.look()
    switch = world.change("c", id="switch", document=beneath.document, beneath=beneath)
    world.one.set([switch])
    world.other.look()
    assert world.other.changes == {"c": switch}
    world.now += 60
    assert world.one.look()
    assert world.other.look()
    assert world.one.changes == world.other.changes == {"c": beneath}
    assert world.other.uses_left(beneath) == 1
    (entry, *_) = world.other.apply(DECLARED).configuration.entries
    assert entry.budget is not None
    entry.budget.used(3)
    for one in (world.other, world.one):
        one.look()
        assert not one.changes


def test_whoever_starts_after_a_switch_finds_what_it_lay_upon() -> None:
    now = [START]
    there = World(MemoryStore(clock=lambda: now[0]))
    beneath = there.change("c", on=True, document={"match": "/c"}, until=START + 3600)
    there.one.set([there.change("c", id="switch", document=beneath.document, beneath=beneath)])
    now[0] = there.now = START + 61
    there.other.look()
    assert there.other.changes == {"c": beneath}


def test_while_the_store_is_away_what_is_known_holds_and_nothing_can_be_changed(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.one.set([world.change("a")])
    store = world.one.store
    with monkeypatch.context() as broken:

        def fail(*_: Any) -> Any:
            raise StoreError("away")

        for verb in ("read", "write", "list"):
            broken.setattr(store, verb, fail)
        assert not world.one.look()
        assert not world.one.look()
        assert (set(world.one.changes), world.one.away) == ({"a"}, True)
        with pytest.raises(StoreError):
            world.one.set([world.change("b")])
        assert set(world.one.changes) == {"a"}
        world.now += 60
        assert world.one.look(), "its time is over whatever the store says"
    world.one.look()
    assert not world.one.away
    said = [line for line in caplog.messages if line.startswith("changes of rules at run time")]
    assert [line.split(": ")[0].rpartition(" time ")[2] for line in said] == [
        "stay as they are",
        "are read from the store again",
    ], "once each"


@pytest.mark.parametrize("ahead", [2 * 3600.0, 1e300, float("inf")])
def test_a_change_by_a_clock_that_is_far_ahead_is_none_since_it_would_not_end(
    world: World, ahead: float
) -> None:
    at, until = START + ahead, START + ahead + MAX_FOR_S
    world.one.set([world.change("b", on=True, at=START + 60, until=START + 60 + MAX_FOR_S)])
    key, value = world.one._key("a"), world.change("a", at=at, until=until).to_bytes()
    assert world.one.store is not None
    world.one.store.write([Record(key, value, MAX_FOR_S, shelf=world.one._shelf)])
    assert world.other.look()
    assert set(world.other.changes) == {"b"}


@pytest.mark.parametrize(
    "value",
    [b"", b"{", b"[]", b"null", b"{}", b'{"name": 3}', b"\xff", b"[" * 10_000, b'{"on": 1, "id": "x"}'],
)
def test_what_cannot_be_read_is_no_change(world: World, value: bytes) -> None:
    world.one.set([world.change("a")])
    store, shelf = world.one.store, world.one._shelf
    assert store is not None
    store.write([Record(f"{shelf}.zz", value, 60.0, shelf=shelf)])
    assert world.other.look()
    assert set(world.other.changes) == {"a"}


def test_a_rule_that_another_version_wrote_is_passed_over(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.one.set([world.change("c", on=True, document={"match": "/c", "hologram": True})])
    world.other.look()
    assert [entry.name for entry in world.other.apply(DECLARED).configuration.entries] == ["a", "b"]
    assert "rule 'c', changed by 'ada', is not valid here" in caplog.messages


def test_all_changes_are_read_however_many_pages_they_take(world: World) -> None:
    names = {f"rule{i}" for i in range(100)}
    world.one.set([world.change(name) for name in names])
    world.other.look()
    assert set(world.other.changes) == names
