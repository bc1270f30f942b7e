"""What the control API changes: rules are added, replaced, switched and taken back, and it is logged by whom.

Law: all of a request is done, or nothing. What a rule may be is decided by the rules file's own validation,
what a change needs by `changes.py`; that it ends is their business, too.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from .changes import (
    MAX_CHANGES,
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_DEPTH,
    MAX_NAME_CHARS,
    Change,
    Terms,
    budget_problem,
    read_terms,
)
from .configuration import Entry
from .control_messages import BadRequestError, finding, json_answer, moment, table_of, value_of
from .control_views import Desk, Views
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .logs import logger
from .messages import Request, Response
from .rules import RULE_KEYS, Rule
from .rules_files import read_rule
from .task_table import TaskTable, Webhook

_CHANGE_KEYS = ("by", "why", "for", "uses")


class Switchboard:
    """Changes the rules of a desk, and answers with what came of it."""

    def __init__(self, desk: Desk, views: Views) -> None:
        self._desk = desk
        self._views = views

    def validate(self, request: Request) -> Response:
        """What would be said of a rule if it were added."""
        given = table_of(request, ("rule",), RULE_KEYS)
        if not isinstance(given.get("rule"), dict):
            self._valid(given.get("rule"))
        problems: Sequence[Problem] = ()
        try:
            self._valid(given.get("rule"))
        except ConfigError as error:
            problems = error.problems
        return json_answer({"valid": not problems, "problems": [finding(problem) for problem in problems]})

    def post(self, request: Request) -> Response:
        """Adds a rule, or replaces the one that has its name."""
        given, terms = self._terms(request, "rule")
        rule = self._valid(given.get("rule"))
        return self._place(request, rule.name or rule.match, given["rule"], rule, terms)

    def put(self, request: Request, name: str) -> Response:
        """Puts a rule in the place of `name`."""
        given, terms = self._terms(request, "rule")
        declared = given.get("rule")
        known = self._desk.applied.declared.get(name)
        if isinstance(declared, dict) and name != declared.get("match"):
            if known is not None and known.rule.name is None:
                if "name" in declared:
                    hint = "this rule has none, and goes by its match"
                    raise ConfigError([Problem("rule", hint, key="name", value=quoted(declared["name"]))])
            elif declared.setdefault("name", name) != name:
                hint = f"this is another name than that of the path, {quoted(name)}"
                raise ConfigError([Problem("rule", hint, key="name", value=quoted(declared["name"]))])
        return self._place(request, name, declared, self._valid(declared), terms)

    def _place(self, request: Request, name: str, declared: Any, rule: Rule, terms: Terms) -> Response:
        if len(name) > MAX_NAME_CHARS:
            raise ConfigError(
                [Problem("rule", f"a name has at most {MAX_NAME_CHARS} characters", key="name")]
            )
        if terms.uses is not None and (why_not := budget_problem(rule, on=True, on_afterwards=False)):
            raise ConfigError([Problem("request", why_not, key="uses")])
        is_new = all(entry.name != name for entry in self._desk.applied.configuration.entries)
        change = self._changed(name, terms, on=True, declared=declared)
        self._make([change])
        logger.warning(
            "rule %.128a %s at run time by %.200a until %s: %.200a",
            *(name, "added" if is_new else "replaced", change.by, moment(change.until), change.why),
        )
        place = f"{request.mount}{self._desk.environment.control}/api/rules/{quote(name, safe='')}"
        return self._views.alone(
            self._views.entry(name), status=201 if is_new else 200, headers=[("Location", place)]
        )

    def switch(self, request: Request, name: str) -> Response:
        """Has a rule be on or off for a while."""
        on, terms = self._wanted(request)
        self._switch_all([self._views.entry(name)], terms, on=on)
        return self._views.alone(self._views.entry(name))

    def switch_tag(self, request: Request, name: str) -> Response:
        """Switches all rules that have the tag `name`."""
        on, terms = self._wanted(request)
        entries = self._desk.applied.configuration.entries
        tagged = [entry for entry in entries if name in entry.rule.tags]
        if not tagged:
            known = sorted({word for entry in entries for word in entry.rule.tags})
            raise BadRequestError(f"no rule has this tag{did_you_mean(name, known)}", 404)
        self._switch_all(tagged, terms, on=on)
        return self._views.some({entry.name for entry in tagged})

    def _switch_all(self, entries: Sequence[Entry], terms: Terms, *, on: bool) -> None:
        applied = self._desk.applied
        problems: list[Problem] = []
        changes = []
        for entry in entries:
            before = applied.changes.get(entry.name)
            own = applied.declared.get(entry.name)
            # What was put in place at run time holds again after the switch, as what is declared does.
            beneath = self._desk.runtime.switched(entry.name)
            runtime = before is not None and before.document is not None
            on_afterwards = beneath is not None or (not runtime and own is not None and own.on)
            if terms.uses is not None and (
                why_not := budget_problem(entry.rule, on=on, on_afterwards=on_afterwards)
            ):
                problems.append(Problem("request", why_not, f"rule {quoted(entry.name)}", "uses"))
            declared = before.document if before is not None else None
            change = self._changed(entry.name, terms, on=on, declared=declared)._replace(beneath=beneath)
            if change.counted is not change and change.counted.uses is not None:
                # For no longer is that count kept.
                change = change._replace(until=min(change.until, change.counted.until))
            changes.append(change)
        if problems:
            raise ConfigError(problems)
        self._make(changes)
        for change in changes:
            logger.warning(
                "rule %.128a switched %s by %.200a until %s: %.200a",
                *(change.name, "on" if on else "off", change.by, moment(change.until), change.why),
            )

    def delete(self, request: Request, name: str) -> Response:
        """Takes back what was changed of a rule, be it there or not: a change outlives the file's rule."""
        changed = name in self._desk.runtime.changes
        if not changed:
            self._views.entry(name)
        words = {key: found for key in ("by", "why") if (found := value_of(request, key)) is not None}
        # RFC 9110 section 9.3.5: "content received in a DELETE request has no generally defined semantics".
        if absent := [key for key in ("by", "why") if key not in words]:
            hint = "required in the query, as in `?by=ada&why=done`, but absent; a DELETE's body is not read"
            raise ConfigError(Problem("request", hint, key=key) for key in absent)
        terms = read_terms(words, ("by", "why"))
        if not changed:
            hint = "this rule is as its file declares it, and there is nothing to take back"
            raise ConfigError([Problem("request", hint, f"rule {quoted(name)}")])
        self._desk.change([], [name])
        logger.warning("rule %.128a taken back by %.200a: %.200a", name, terms.by, terms.why)
        return self._views.some({name})

    def reset(self, request: Request) -> Response:
        """Takes back all that was changed."""
        terms = read_terms(table_of(request, ("by", "why")), ("by", "why"))
        names = list(self._desk.runtime.changes)
        if names:
            self._desk.change([], names)
        logger.warning("%d changes of rules taken back by %.200a: %.200a", len(names), terms.by, terms.why)
        return self._views.some(set(names))

    def _make(self, changes: Sequence[Change]) -> None:
        if not self._desk.runtime.room_for(change.name for change in changes):
            hint = f"at most {MAX_CHANGES} rules can be changed at run time; take some back, or edit the file"
            raise ConfigError([Problem("request", hint)])
        self._desk.change(changes)

    def _changed(self, name: str, terms: Terms, *, on: bool, declared: Mapping[str, Any] | None) -> Change:
        now = self._desk.clock()
        return Change(
            secrets.token_hex(8), name, on, terms.by, terms.why, now, now + terms.for_s, terms.uses, declared
        )

    def _wanted(self, request: Request) -> tuple[bool, Terms]:
        given, terms = self._terms(request, "on")
        on = given.get("on")
        if not isinstance(on, bool):
            value = quoted(on) if "on" in given else ""
            message = "expected a boolean: true or false" if value else "required, but absent"
            raise ConfigError([Problem("request", message, key="on", value=value)])
        return on, terms

    def _terms(self, request: Request, what: str) -> tuple[dict[str, Any], Terms]:
        """What is wanted, and on which terms; what is wrong with either is said together."""
        allowed = (what, *_CHANGE_KEYS)
        given = table_of(request, allowed, RULE_KEYS if what == "rule" else ())
        try:
            return given, read_terms(given, allowed)
        except ConfigError as error:
            problems = list(error.problems)
        if what == "rule":
            try:
                self._valid(given.get("rule"))
            except ConfigError as error:
                problems += error.problems
        raise ConfigError(problems)

    def _valid(self, declared: object) -> Rule:
        if not isinstance(declared, dict):
            raise ConfigError([Problem("request", "expected a table, as in a rules file", key="rule")])
        if _is_deeper(declared, MAX_DOCUMENT_DEPTH):
            hint = f"a rule at run time has at most {MAX_DOCUMENT_DEPTH} tables and lists in each other"
            raise ConfigError([Problem("rule", hint)])
        if len(json.dumps(declared)) > MAX_DOCUMENT_BYTES:
            hint = f"a rule at run time is at most {MAX_DOCUMENT_BYTES} bytes long; put it into the file"
            raise ConfigError([Problem("rule", hint)])
        rule = read_rule(declared)
        webhook = rule.task.webhook if isinstance(rule.task, TaskTable) else None
        known = self._desk.applied.configuration.secrets
        if isinstance(webhook, Webhook) and webhook.secret_env not in (None, *known):
            hint = "a rule that comes in a request names only those secrets that a rules file names already"
            place = "task.webhook.secret_env"
            raise ConfigError([Problem("rule", hint, key=place, value=quoted(webhook.secret_env))])
        return rule


def _is_deeper(declared: object, most: int) -> bool:
    """Whether there are more than so many tables and lists in each other."""
    level = [declared]
    for _ in range(most + 1):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)
