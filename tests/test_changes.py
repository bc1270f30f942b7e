"""A change: read from what was sent or stored, and what it makes of the rules."""

import json
from typing import Any

import pytest

from mockware import ConfigError, Rule
from mockware.changes import DEFAULT_FOR_S, MAX_FOR_S, MAX_USES, Change, apply, read_terms, rule_of
from mockware.configuration import Configuration, Entry

ALLOWED = ("by", "why", "for", "uses")
DECLARED = Configuration(
    (
        Entry("a", Rule("/a", name="a"), "file"),
        Entry("b", Rule("/b", name="b"), "file", on=False, why_off="because MOCKWARE=a names other rules"),
    )
)


def change(name: str, *, on: bool = True, at: float = 0.0, **more: Any) -> Change:
    return Change(f"id of {name}", name, on, "ada", "demo", at, at + 60, **more)


def applied(*changes: Change) -> tuple[Entry, ...]:
    rules = {change.id: rule for change in changes if (rule := rule_of(change)) is not None}
    by_name = {change.name: change for change in changes}
    return apply(DECLARED, by_name, rules, lambda change_id, count: None).configuration.entries


def test_terms_have_a_default_and_an_end() -> None:
    terms = read_terms({"by": " ada ", "why": "demo"}, ALLOWED)
    assert (terms.by, terms.for_s, terms.uses) == ("ada", DEFAULT_FOR_S, None)
    assert read_terms({"by": "a", "why": "b", "for": "168h"}, ALLOWED).for_s == MAX_FOR_S
    assert read_terms({"by": "a", "why": "b", "for": "24h", "uses": 3}, ALLOWED).uses == 3


def test_a_number_of_uses_lasts_no_longer_than_a_store_keeps_its_count() -> None:
    with pytest.raises(ConfigError) as refused:
        read_terms({"by": "a", "why": "b", "for": "25h", "uses": 3}, ALLOWED)
    (problem,) = refused.value.problems
    assert (problem.key, problem.message) == ("for", "with `uses` at most 24h, for so long is a count kept")


def test_everything_that_is_wrong_with_terms_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        read_terms({"by": 3, "for": "1w", "uses": 1.5, "form": "x"}, ALLOWED)
    assert [problem.key for problem in refused.value.problems] == ["by", "why", "for", "uses", "form"]


@pytest.mark.parametrize("uses", [True, False, 0, -1, 1.0, "1", MAX_USES + 1])
def test_a_number_of_uses_is_a_whole_number_within_bounds(uses: object) -> None:
    with pytest.raises(ConfigError) as refused:
        read_terms({"by": "a", "why": "b", "uses": uses}, ALLOWED)
    assert [problem.key for problem in refused.value.problems] == ["uses"]


def test_a_change_comes_back_from_its_bytes() -> None:
    before = change("a", uses=3, document={"match": "/ü"})
    assert Change.from_bytes(before.to_bytes()) == before


def test_what_a_switch_lies_upon_comes_back_too_and_its_document_is_written_once() -> None:
    beneath = change("a", uses=3, document={"match": "/a"})
    switch = change("a", on=False, document=beneath.document, beneath=beneath)
    assert Change.from_bytes(switch.to_bytes()) == switch
    assert switch.to_bytes().count(b"/a") == 1


def test_a_switch_that_was_written_before_it_lay_upon_anything_is_read() -> None:
    switch = change("a", on=False, document={"match": "/a"})
    written = json.loads(switch.to_bytes())
    del written["beneath"]
    assert Change.from_bytes(json.dumps(written).encode()) == switch


@pytest.mark.parametrize("beneath", [3, {}, [], {"until": 1e12}, {"name": "b"}, {"beneath": 3, "uses": "x"}])
def test_a_switch_upon_what_cannot_be_read_is_none(beneath: Any) -> None:
    written = json.loads(change("a", document={"match": "/a"}, beneath=change("a")).to_bytes())
    written["beneath"] = (
        {**written["beneath"], **beneath} if beneath and isinstance(beneath, dict) else beneath
    )
    assert Change.from_bytes(json.dumps(written).encode()) is None


@pytest.mark.parametrize(
    ("at", "until"), [(0.0, float("nan")), (float("nan"), 1.0), (0.0, float("inf")), (5.0, 4.0), (0.0, 1e9)]
)
def test_a_change_that_would_not_end_in_time_is_none(at: float, until: float) -> None:
    assert Change.from_bytes(change("a")._replace(at=at, until=until).to_bytes()) is None


def test_a_switch_is_about_its_rule_alone() -> None:
    a, b = applied(change("a", on=False))
    assert (a.on, a.why_off, b) == (False, "switched off by ada: demo", DECLARED.entries[1])
    a, b = applied(change("b"))
    assert (a, b.on, b.until) == (DECLARED.entries[0], True, 60.0)


def test_a_document_stands_in_the_place_of_its_rule_and_a_new_one_before_all() -> None:
    entries = applied(
        change("b", document={"match": "/b", "status": 500}),
        change("old", at=1.0, document={"match": "/old"}),
        change("new", at=2.0, document={"match": "/new"}),
    )
    assert [entry.name for entry in entries] == ["new", "old", "a", "b"]
    assert (entries[3].rule.status, entries[3].source, entries[3].on) == (500, "run time", True)


def test_a_change_of_a_rule_that_is_gone_waits_for_it() -> None:
    assert applied(change("gone", on=False)) == DECLARED.entries


def test_a_document_that_is_not_valid_here_changes_nothing() -> None:
    assert applied(change("a", document={"match": "nonsense"})) == DECLARED.entries


def test_a_number_of_uses_is_counted_under_a_name_of_its_own() -> None:
    told: list[tuple[str, int]] = []
    one = change("n", uses=2, document={"match": "/n"})
    rules = {one.id: Rule("/n")}
    (entry, *_) = apply(DECLARED, {"n": one}, rules, lambda *use: told.append(use)).configuration.entries
    assert entry.budget is not None
    assert (entry.budget.key, entry.budget.uses) == ("change id of n", 2)
    entry.budget.used(1)
    assert told == [("id of n", 1)]
