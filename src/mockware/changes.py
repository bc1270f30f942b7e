"""A change of the rules at run time: who made it, why, and when it is over. What it comes to is computed.

Law: values only. A change is about one rule, by its name, and the next one about that rule takes its place;
every one of them ends. Only a switch of what was put in place at run time leaves that beneath it, which holds
again when the switch ends. What is in a store was written by another process, perhaps of another version:
what cannot be read is no change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from .configuration import Budget, Configuration, Entry
from .counters import COUNTER_TTL_S
from .durations import parse_duration
from .exceptions import ConfigError, Problem, quoted
from .rules import Rule
from .rules_files import read_rule

# A working day: what was switched in the morning and forgotten is gone in the evening.
DEFAULT_FOR_S = 8 * 3600.0
# A week. Whoever needs a mock for longer wants it in the rules file, where it is reviewed.
MAX_FOR_S = 7 * 24 * 3600.0
# Nobody watches a thousand answers go by; a time says it better.
MAX_USES = 1_000_000
# A name, or a ticket and a sentence: a line of the log and of the page.
MAX_WORDS_CHARS = 200
# A rule without a name has its match for one.
MAX_NAME_CHARS = 500
# More than anybody makes by hand in a week; all of them fit on a page, and in a second's look at the store.
MAX_CHANGES = 200
# Of one rule's document: four times the longest that a form is filled with. All together, 13 MB.
MAX_DOCUMENT_BYTES = 64 * 1024
# Tables and lists in each other: a body that people write has ten at most, and to write, compare or show what
# has hundreds takes more frames than the interpreter allows.
MAX_DOCUMENT_DEPTH = 50
RUN_TIME = "run time"


class Change(NamedTuple):
    """What somebody did to the rule `name`: switched it, or put `document` in its place.

    `at` and `until` are seconds since 1970. `id` is another for each change. `beneath` is what put `document`
    in place, where this one only switches it.
    """

    id: str
    name: str
    on: bool
    by: str
    why: str
    at: float
    until: float
    uses: int | None = None
    document: Mapping[str, Any] | None = None
    beneath: Change | None = None

    @property
    def counted(self) -> Change:
        """The change whose `uses` bound this one: to switch on what is bounded grants no more."""
        return self.beneath if self.beneath is not None and self.on else self

    @property
    def all_until(self) -> float:
        """When nothing is left of it."""
        return self.until if self.beneath is None else max(self.until, self.beneath.until)

    def to_bytes(self) -> bytes:
        written = self._asdict()
        if self.beneath is not None:  # whose document is the same, and may be long
            written["beneath"] = self.beneath._replace(document=None)._asdict()
        return json.dumps(written, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Change | None:
        try:
            found = json.loads(value)
            change = cls._read(found)
            # Before there was this key, a switch was all that was left.
            if change is None or found.get("beneath") is None:
                return change
            beneath = cls._read({**found["beneath"], "document": change.document})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None
        fits = beneath is not None and beneath.name == change.name and change.document is not None
        return change._replace(beneath=beneath) if fits else None

    @classmethod
    def _read(cls, found: Mapping[str, Any]) -> Change | None:
        change = cls(**{field: found[field] for field in cls._fields if field != "beneath"})
        number, none = (int, float), type(None)
        kinds: tuple[Any, ...] = (str, str, bool, str, str, number, number, (int, none), (dict, none), none)
        fits = all(isinstance(value, kind) for value, kind in zip(change, kinds, strict=True))
        # Whatever was written there, it ends: NaN is neither before nor after anything.
        return change if fits and change.at <= change.until <= change.at + MAX_FOR_S else None


class Terms(NamedTuple):
    """By whom and why something is changed, and for how long: seconds, or a number of answers as well."""

    by: str
    why: str
    for_s: float = DEFAULT_FOR_S
    uses: int | None = None


def read_words(given: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    """The words that have to be said. Raises ConfigError with every problem."""
    problems = []
    for key in keys:
        word = given.get(key)
        if not isinstance(word, str) or not word.strip() or len(word) > MAX_WORDS_CHARS:
            value = quoted(word) if key in given else ""
            absent = "required, but absent" if key not in given else ""
            message = absent or f"expected some words, at most {MAX_WORDS_CHARS} characters"
            problems.append(Problem("request", message, key=key, value=value))
    if problems:
        raise ConfigError(problems)
    return {key: given[key].strip() for key in keys}


def read_terms(given: Mapping[str, Any], allowed: Sequence[str]) -> Terms:
    """What a request says of a change beside what it changes. Raises ConfigError with every problem."""
    problems: list[Problem] = []

    def refuse(key: str, message: str) -> None:
        value = quoted(given[key]) if key in given else ""
        problems.append(Problem("request", message, key=key, value=value))

    words: dict[str, str] = {}
    try:
        words = read_words(given, ("by", "why"))
    except ConfigError as error:
        problems += error.problems
    for_s = DEFAULT_FOR_S
    if given.get("for") is not None:
        try:
            for_s = parse_duration(given["for"])
            if not 0 < for_s <= MAX_FOR_S:
                raise ValueError(f"more than nothing, and at most {MAX_FOR_S / 3600:g}h (7 days)")
        except ValueError as error:
            refuse("for", str(error))
    uses = given.get("uses")
    if uses is not None and (
        isinstance(uses, bool) or not isinstance(uses, int) or not 1 <= uses <= MAX_USES
    ):
        refuse("uses", f"expected a whole number from 1 to {MAX_USES}")
    elif uses is not None and for_s > COUNTER_TTL_S:
        # A store forgets a counter that long after it was asked for last, and would begin anew.
        refuse("for", f"with `uses` at most {COUNTER_TTL_S / 3600:g}h, for so long is a count kept")
    for key in given:
        if key not in allowed:
            refuse(key, f"no such key; allowed: {', '.join(allowed)}")
    if problems:
        raise ConfigError(problems)
    return Terms(words["by"], words["why"], for_s, uses)


def budget_problem(rule: Rule, *, on: bool, on_afterwards: bool) -> str:
    """Why a change of this rule cannot have a number of uses; nothing where it can."""
    if not on:
        return "a rule that is off is not used; say for how long with `for`"
    if rule.counts:
        return "this rule counts its answers already, with `times` or `replies`; say for how long with `for`"
    if on_afterwards:
        return "the rule is on without this switch, and would be afterwards"
    return ""


class Applied(NamedTuple):
    """A configuration with changes: itself, and for each of its entries the change, or None."""

    configuration: Configuration
    changes: Mapping[str, Change]
    declared: Mapping[str, Entry]


def apply(
    declared: Configuration,
    changes: Mapping[str, Change],
    rules: Mapping[str, Rule],
    used: Callable[[str, int], None],
) -> Applied:
    """The rules as `changes` make them. `rules` has what their documents come to, by the change's id.

    What is in no file stands before all that is, the newest first. A change of a rule that is gone waits for
    it to come back. `used` is told of a change, by its id, and how often its rule has answered.
    """
    own = {entry.name: entry for entry in declared.entries}

    def changed(change: Change, entry: Entry) -> Entry:
        budget = None
        counted = change.counted
        if change.on and counted.uses is not None and not entry.rule.counts:
            budget = Budget(f"change {counted.id}", counted.uses, lambda count: used(counted.id, count))
        why_off = "" if change.on else f"switched off by {change.by}: {change.why}"
        until = change.until if change.on and (change.document is not None or not entry.on) else None
        return entry._replace(on=change.on, why_off=why_off, until=until, budget=budget)

    added = [
        changed(change, Entry(change.name, rules[change.id], RUN_TIME, on=False))
        for change in sorted(changes.values(), key=lambda change: -change.at)
        if change.document is not None and change.name not in own and change.id in rules
    ]
    present = []
    for entry in declared.entries:
        change = changes.get(entry.name)
        if change is None:
            present.append(entry)
        elif change.document is None:
            present.append(changed(change, entry))
        elif change.id in rules:
            present.append(changed(change, entry._replace(rule=rules[change.id], source=RUN_TIME)))
        else:
            present.append(entry)
    entries = (*added, *present)
    standing = {entry.name for entry in entries}
    return Applied(
        declared._replace(entries=entries),
        {name: change for name, change in changes.items() if name in standing},
        own,
    )


def rule_of(change: Change) -> Rule | None:
    """What the document of a change comes to; None where it has none, or one that is not valid here."""
    if change.document is None:
        return None
    try:
        return read_rule(change.document)
    except ConfigError:
        return None
