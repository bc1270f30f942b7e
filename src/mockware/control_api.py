"""The control API: a request goes in, a response comes out; or what tells of events for a while.

Law: nothing here knows an interface, sleeps, or writes to a socket; it may wait for a store, so that whoever
has an event loop asks from a thread. Every change says who made it and why, and ends. What the API takes and
gives is in `control_document.py`; what a rule may be is decided by the rules file's own validation.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from os import getpid
from typing import Any, Protocol
from urllib.parse import quote

from .changes import (
    MAX_CHANGES,
    MAX_DOCUMENT_BYTES,
    MAX_NAME_CHARS,
    MAX_WORDS_CHARS,
    Applied,
    Change,
    Terms,
    budget_problem,
    read_terms,
    read_words,
)
from .config import Configuration, Entry, read_rule
from .control_document import document
from .control_guard import Guard, RefusedError
from .control_page import control_page, page_fields
from .environment import Environment
from .exceptions import ConfigError, Problem, StoreError, did_you_mean, quoted
from .explanation import explain, read_request
from .journal import MAX_ENTRIES, Journal, Miss, as_json
from .journal import Entry as MockEntry
from .logs import logger
from .messages import Request, Response
from .origins import origin_of
from .reference import raw_text, reference_for
from .reference_document import status_document, statuses_document
from .replies import PROBLEM_JSON
from .rule_documents import as_toml, document_of, rules_file
from .rules import Rule
from .runtime_rules import RuntimeRules
from .snippets import status_values
from .statuses import status_for
from .task_table import TaskTable, Webhook
from .trigger_cookies import TRIGGERS_OFF, make_cookie, why_none

# The longest document of a rule, and the words around it; an explained request's body may be as long.
MAX_BODY_BYTES = 256 * 1024
# What a person sees of a body; the raw response has all of it that is shown.
MAX_SHOWN_BYTES = 64 * 1024
# Whoever watches sees a mock while still looking; more often would be felt by nobody.
NEWS_S = 0.5
# A comment now and then keeps proxies from cutting the stream (nginx does after 60 s).
QUIET_S = 10.0
# Then the client comes again, with what it saw last: a server that stops waits for its open requests, and
# most give up after 30 s (gunicorn's graceful timeout).
STREAM_S = 20.0
# Each is polled; a team has fewer people.
MAX_STREAMS = 20

_UNKNOWN_ORIGIN = "http://127.0.0.1:8000"
# What a mock may answer.
_CODE = re.compile("[2-5][0-9]{2}")

_CHANGE_KEYS = ("by", "why", "for", "uses")


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


class Events:
    """What happens from now on, as server-sent events (https://html.spec.whatwg.org/#server-sent-events).

    Whoever sends them begins with `opening`, then asks `news` every `NEWS_S` seconds, and closes it after
    `STREAM_S` seconds, or when the client has gone.
    """

    def __init__(self, desk: Desk, after: int | None, done: Callable[[], None]) -> None:
        self._desk = desk
        self._journal = desk.journal
        self._last = self._journal.last_id if after is None or after > self._journal.last_id else after
        self._generation = -1
        self._quiet_s = 0.0
        self._done = done
        headers = [("Content-Type", "text/event-stream"), *_NOT_FOR_CACHES, ("X-Accel-Buffering", "no")]
        self.opening = Response(200, "OK", headers, b"", rule="")

    def news(self) -> bytes:
        """What happened since; nothing, mostly."""
        lines: list[str] = []
        if self._desk.generation != self._generation:
            self._generation = self._desk.generation
            change = {"generation": self._generation, "process": getpid()}
            lines.append(f"event: rules\ndata: {json.dumps(change)}\n\n")
        last = self._journal.last_id
        if last != self._last:
            for entry in reversed(self._journal.entries(after=self._last)):
                lines.append(f"id: {entry.id}\nevent: mock\ndata: {self._data(entry)}\n\n")
            for miss in reversed(self._journal.misses(after=self._last)):
                lines.append(f"event: miss\ndata: {self._data(miss)}\n\n")
            self._last = last
        self._quiet_s = 0.0 if lines else self._quiet_s + NEWS_S
        if self._quiet_s >= QUIET_S:
            self._quiet_s = 0.0
            lines.append(": still here\n\n")
        return "".join(lines).encode()

    def _data(self, found: MockEntry | Miss) -> str:
        # Each process counts its own.
        return json.dumps({**as_json(found, moment), "process": getpid()})

    def close(self) -> None:
        self._done()


class ControlAPI:
    """The API under `prefix`, for one middleware. `ticks` gives seconds, of any origin."""

    def __init__(self, desk: Desk, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._prefix = desk.environment.control
        self._guard = Guard(desk.environment.key, clock=ticks)
        self._streams = 0
        rules: dict[str, Callable[..., Response]] = {
            "GET": self._rule,
            "PUT": self._put,
            "PATCH": self._switch,
            "DELETE": self._delete,
        }
        self._named: dict[str, dict[str, Callable[..., Response]]] = {
            "/api/rules/": rules,
            "/api/tags/": {"PATCH": self._switch_tag},
            "/api/statuses/": {"GET": self._status},
        }
        self._places: dict[str, dict[str, Callable[[Request], Response | Events]]] = {
            "/api/rules": {"GET": self._rules, "POST": self._post},
            "/api/reset": {"POST": self._reset},
            "/api/validate": {"POST": self._validate},
            "/api/explain": {"POST": self._explain},
            "/api/cookie": {"GET": self._cookie, "POST": self._make_cookie},
            "/api/journal": {"GET": self._read_journal},
            "/api/events": {"GET": self._events},
            "/api/export": {"GET": self._export},
            "/api/statuses": {"GET": self._statuses},
            "/api/openapi.json": {"GET": self._document},
        }

    def forked(self) -> None:
        """In a child: nobody listens, and no lock is held."""
        self._guard.forked()
        self._streams = 0

    def respond(self, request: Request, *, streams: bool = False) -> Response | Events:
        """The answer to a request under the prefix. `streams`: events can be sent.

        `request.body` is what was sent, or None where that is too long. May wait for the store.
        """
        answer = self._answer(request, streams=streams)
        return answer.to(request.method) if isinstance(answer, Response) else answer

    @property
    def _trusts_forwarded(self) -> bool:
        return self._desk.applied.configuration.trusts_forwarded

    def _answer(self, request: Request, *, streams: bool) -> Response | Events:
        place = request.path[len(self._prefix) :]
        if not place.startswith("/api/"):
            return self._page(request, place)
        try:
            self._guard.check(request, trusts_forwarded=self._trusts_forwarded)
            methods, handler = self._handler(request, place)
            if handler is None:
                allow = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
                return _problem(405, f"allowed here: {allow}", headers=[("Allow", allow)])
            if place == "/api/events" and request.method == "HEAD":
                return _text("", "text/event-stream")
            if place == "/api/events" and not streams:
                return _problem(501, "this server sends no events; ask for the journal now and then")
            return handler(request)
        except RefusedError as refused:
            return _refusal(refused)
        except ConfigError as error:
            return _problem(422, "see `problems`", problems=error.problems)
        except StoreError as error:
            return _problem(503, f"nothing was changed: {error}")
        except _BadRequestError as error:
            return _problem(error.status, str(error))

    def _page(self, request: Request, place: str) -> Response:
        """What is shown to whoever has no key yet: nothing of the rules."""
        if place not in ("", "/"):
            return _problem(404, f"there is nothing at {quoted(request.path)}")
        if request.method not in ("GET", "HEAD"):
            return _problem(405, "allowed here: GET, HEAD", headers=[("Allow", "GET, HEAD")])
        if not place:
            # The page asks for what is beside it. Relative, whatever a proxy has taken off before us.
            beside = self._prefix.rpartition("/")[2]
            return _text("", "text/plain", status=308, headers=[("Location", f"{beside}/")])
        body = control_page().encode()
        return Response(200, "OK", [*page_fields(), ("Content-Length", str(len(body)))], body, rule="")

    def _handler(
        self, request: Request, place: str
    ) -> tuple[Sequence[str], Callable[[Request], Response | Events] | None]:
        method = "GET" if request.method == "HEAD" else request.method
        for start, by_method in self._named.items():
            if place.startswith(start) and place != start:
                found = by_method.get(method)
                name = place[len(start) :]
                return tuple(by_method), found and partial(found, name=name)
        methods = self._places.get(place)
        if methods is None:
            raise _BadRequestError(f"there is nothing at {quoted(request.path)}", 404)
        return tuple(methods), methods.get(method)

    # What there is

    def _rules(self, request: Request) -> Response:
        desk = self._desk
        applied = desk.applied
        return _json(
            {
                "rules": [self._listed(entry, applied) for entry in applied.configuration.entries],
                "scope": "process" if desk.runtime.store is None else "store",
                "store": desk.store_name,
                "store_away": desk.runtime.away,
                "generation": desk.generation,
                "problems": [_finding(problem) for problem in desk.problems],
                "process": getpid(),
            }
        )

    def _rule(self, request: Request, name: str) -> Response:
        return self._alone(self._entry(name))

    def _read_journal(self, request: Request) -> Response:
        journal = self._desk.journal
        rule = _one(request, "rule")
        limit = _number(request, "limit", 1, MAX_ENTRIES, 100)
        after = _number(request, "after", 0, None, 0)
        misses = _one(request, "misses") or "0"
        if misses not in ("0", "1"):
            raise _BadRequestError(f"`misses` is 0 or 1, not {quoted(misses)}")
        found: dict[str, Any] = {"last_id": journal.last_id, "process": getpid()}
        if misses == "1":
            missed = journal.misses(rule=rule, after=after, limit=limit)
            found["misses"] = [as_json(miss, moment) for miss in missed]
        else:
            entries = journal.entries(rule=rule, after=after, limit=limit)
            found["entries"] = [as_json(entry, moment) for entry in entries]
        return _json(found)

    def _events(self, request: Request) -> Response | Events:
        if self._streams >= MAX_STREAMS:
            return _problem(503, f"{MAX_STREAMS} streams are open already; ask for the journal")
        self._streams += 1
        last = request.header("last-event-id") or ""
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else None
        return Events(self._desk, after, self._stream_ended)

    def _stream_ended(self) -> None:
        self._streams = max(0, self._streams - 1)

    def _document(self, request: Request) -> Response:
        return _json(document(request.mount + self._prefix, version("mockware")))

    def _statuses(self, request: Request) -> Response:
        return _json(statuses_document(f"{request.mount}{self._prefix}/api/statuses"))

    def _status(self, request: Request, name: str) -> Response:
        if not _CODE.fullmatch(name):
            raise _BadRequestError(f"{quoted(name)} is no status of a mock: 200 to 599 are", 404)
        origin = origin_of(request, trusts_forwarded=self._trusts_forwarded) or _UNKNOWN_ORIGIN
        root = f"{request.mount}{self._prefix}/api/statuses"
        triggers = self._desk.applied.configuration.triggers
        unavailable = TRIGGERS_OFF if triggers is None else triggers.why_not(int(name))
        if triggers is None or unavailable:
            plain = reference_for(int(name))
            values = status_values(int(name))
            return _json(status_document(plain, values, root, curl="", unavailable=unavailable))
        url = shlex.quote(origin + request.mount + quote(triggers.a_path))
        reference = reference_for(int(name), url=url, field=triggers.fields.status, vary=triggers.vary)
        # With a key, a trigger has to show it; a shell that knows it puts it in. Of what may stand in a
        # field's name, a shell takes these for its own between such quotes.
        field = re.sub(r"[$`]", r"\\\g<0>", triggers.fields.key)
        curl = reference.curl.replace("curl -i ", f'curl -i -H "{field}: $MOCKWARE_KEY" ', 1)
        return _json(status_document(reference, status_values(int(name)), root, curl=curl))

    def _cookie(self, request: Request) -> Response:
        triggers = self._desk.applied.configuration.triggers
        unavailable = why_none(triggers, self._desk.environment.key)
        name = None if triggers is None or unavailable else triggers.cookie
        return _json({"name": name, "unavailable": unavailable})

    def _make_cookie(self, request: Request) -> Response:
        allowed = ("status", "paths", "for", "by")
        given = _table_of(request, allowed)
        by = read_words(given, ("by",))["by"]
        desk = self._desk
        now = desk.clock()
        made = make_cookie(given, desk.applied.configuration.triggers, desk.environment, now)
        # Nothing of the token, which is good for whoever has it.
        logger.warning("a cookie made for %.200a that allows %.300a", by, str(made.allows))
        return _json(
            {
                "name": made.name,
                "value": made.value,
                "asks": made.asks,
                "allows": str(made.allows),
                "expires": moment(made.expires_at),
                # The browser has it no longer than it is good for.
                "max_age_s": max(0, int(made.expires_at - now)),
            }
        )

    def _export(self, request: Request) -> Response:
        configuration = self._desk.applied.configuration
        wanted = _one(request, "format") or "toml"
        file = rules_file(configuration)
        if wanted == "json":
            text = json.dumps(file, indent=2) + "\n"
            return _text(text, "application/json", filename="mocks.json")
        if wanted != "toml":
            raise _BadRequestError(f"`format` is json or toml, not {quoted(wanted)}")
        comments = [f"off: {entry.name}, {entry.why_off}" for entry in configuration.entries if not entry.on]
        try:
            text = as_toml(file, comments=comments)
        except ValueError as error:
            raise ConfigError([Problem("rules", str(error))]) from None
        return _text(text, "application/toml", filename="mocks.toml")

    def _explain(self, request: Request) -> Response:
        given = _table_of(request, ("method", "path", "headers", "body"))
        problems: list[Problem] = []
        for key, kinds, expected in (
            ("method", (str, type(None)), "a string"),
            ("path", (str,), "a string"),
            ("headers", (dict, type(None)), "a table of strings"),
            ("body", (str, type(None)), "a string"),
        ):
            if not isinstance(given.get(key), kinds):
                problems.append(
                    Problem("request", f"expected {expected}", key=key, value=quoted(given.get(key)))
                )
        headers = given.get("headers") or {}
        if not problems and not all(isinstance(value, str) for value in headers.values()):
            problems.append(Problem("request", "expected strings", key="headers"))
        if problems:
            raise ConfigError(problems)
        body = given.get("body")
        try:
            asked = read_request(
                f"{given['method']} {given['path']}" if given.get("method") else given["path"],
                [f"{name}: {value}" for name, value in headers.items()],
                None if body is None else body.encode("utf-8", "replace"),
            )
        except ValueError as error:
            raise ConfigError([Problem("request", str(error))]) from None
        desk = self._desk
        found = explain(asked, _unheard(desk.applied.configuration), desk.environment, clock=desk.clock)
        return _json(
            {
                "answers": [
                    {
                        "who": answer.who,
                        "share": answer.share,
                        "delay": str(answer.delay) if answer.delay else "",
                        "turn": answer.turn,
                        "manner": answer.manner,
                        "sentence": answer.sentence,
                        "response": None if answer.response is None else _shown(answer.response),
                    }
                    for answer in found.answers
                ],
                "notes": list(found.notes),
                "misses": [{"label": miss.label, "reason": miss.reason} for miss in found.misses],
                "left_out": found.left_out,
            }
        )

    def _validate(self, request: Request) -> Response:
        given = _table_of(request, ("rule",))
        if not isinstance(given.get("rule"), dict):
            self._valid(given.get("rule"))
        problems: Sequence[Problem] = ()
        try:
            self._valid(given.get("rule"))
        except ConfigError as error:
            problems = error.problems
        return _json({"valid": not problems, "problems": [_finding(problem) for problem in problems]})

    # What changes something

    def _post(self, request: Request) -> Response:
        given, terms = self._terms(request, "rule")
        rule = self._valid(given.get("rule"))
        return self._place(request, rule.name or rule.match, given["rule"], rule, terms)

    def _put(self, request: Request, name: str) -> Response:
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
        if terms.uses is not None and (why_not := budget_problem(rule, on=True, declared_on=False)):
            raise ConfigError([Problem("request", why_not, key="uses")])
        is_new = all(entry.name != name for entry in self._desk.applied.configuration.entries)
        change = self._changed(name, terms, on=True, declared=declared)
        self._make([change])
        logger.warning(
            "rule %.128a %s at run time by %.200a until %s: %.200a",
            *(name, "added" if is_new else "replaced", change.by, moment(change.until), change.why),
        )
        place = f"{request.mount}{self._prefix}/api/rules/{quote(name, safe='')}"
        return self._alone(self._entry(name), status=201 if is_new else 200, headers=[("Location", place)])

    def _switch(self, request: Request, name: str) -> Response:
        on, terms = self._wanted(request)
        self._switch_all([self._entry(name)], terms, on=on)
        return self._alone(self._entry(name))

    def _switch_tag(self, request: Request, name: str) -> Response:
        on, terms = self._wanted(request)
        entries = self._desk.applied.configuration.entries
        tagged = [entry for entry in entries if name in entry.rule.tags]
        if not tagged:
            known = sorted({word for entry in entries for word in entry.rule.tags})
            raise _BadRequestError(f"no rule has this tag{did_you_mean(name, known)}", 404)
        self._switch_all(tagged, terms, on=on)
        return self._changed_rules({entry.name for entry in tagged})

    def _switch_all(self, entries: Sequence[Entry], terms: Terms, *, on: bool) -> None:
        applied = self._desk.applied
        problems: list[Problem] = []
        changes = []
        for entry in entries:
            before = applied.changes.get(entry.name)
            own = applied.declared.get(entry.name)
            runtime = before is not None and before.document is not None
            declared_on = not runtime and own is not None and own.on
            if terms.uses is not None and (
                why_not := budget_problem(entry.rule, on=on, declared_on=declared_on)
            ):
                problems.append(Problem("request", why_not, f"rule {quoted(entry.name)}", "uses"))
            declared = before.document if before is not None else None
            changes.append(self._changed(entry.name, terms, on=on, declared=declared))
        if problems:
            raise ConfigError(problems)
        self._make(changes)
        for change in changes:
            logger.warning(
                "rule %.128a switched %s by %.200a until %s: %.200a",
                *(change.name, "on" if on else "off", change.by, moment(change.until), change.why),
            )

    def _delete(self, request: Request, name: str) -> Response:
        self._entry(name)
        words = {key: found for key in ("by", "why") if (found := _one(request, key)) is not None}
        terms = read_terms(words, ("by", "why"))
        if name not in self._desk.runtime.changes:
            hint = "this rule is as its file declares it, and there is nothing to take back"
            raise ConfigError([Problem("request", hint, f"rule {quoted(name)}")])
        self._desk.change([], [name])
        logger.warning("rule %.128a taken back by %.200a: %.200a", name, terms.by, terms.why)
        return self._changed_rules({name})

    def _reset(self, request: Request) -> Response:
        terms = read_terms(_table_of(request, ("by", "why")), ("by", "why"))
        names = list(self._desk.runtime.changes)
        if names:
            self._desk.change([], names)
        logger.warning("%d changes of rules taken back by %.200a: %.200a", len(names), terms.by, terms.why)
        return self._changed_rules(set(names))

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
        given = _table_of(request, allowed)
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

    # How it is shown

    def _entry(self, name: str) -> Entry:
        entries = self._desk.applied.configuration.entries
        for entry in entries:
            if entry.name == name:
                return entry
        raise _BadRequestError(f"no rule has this name{did_you_mean(name, [e.name for e in entries])}", 404)

    def _alone(self, entry: Entry, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
        shown = {**self._listed(entry, self._desk.applied), "rule": document_of(entry.rule)}
        return _json(shown, status=status, headers=headers)

    def _changed_rules(self, names: set[str]) -> Response:
        applied = self._desk.applied
        entries = [entry for entry in applied.configuration.entries if entry.name in names]
        return _json({"rules": [self._listed(entry, applied) for entry in entries]})

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
        }


class _BadRequestError(Exception):
    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def _unheard(configuration: Configuration) -> Configuration:
    """The same rules, of whose use nobody is told."""
    return configuration._replace(
        entries=tuple(
            entry
            if entry.budget is None
            else entry._replace(budget=entry.budget._replace(used=lambda count: None))
            for entry in configuration.entries
        )
    )


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


def moment(seconds: float) -> str:
    """`2027-01-31T18:00:00.000Z`."""
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):  # a test's clock, or a store's nonsense
        at = datetime.fromtimestamp(0, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(response: Response) -> dict[str, Any]:
    raw = raw_text(response)
    return {
        "status": response.status,
        "reason": response.reason,
        "headers": [list(pair) for pair in response.headers],
        "body": response.body[:MAX_SHOWN_BYTES].decode("utf-8", "replace"),
        "raw": raw[:MAX_SHOWN_BYTES],
    }


def _finding(problem: Problem) -> dict[str, str]:
    return {
        "source": problem.source,
        "rule": problem.rule,
        "key": problem.key,
        "value": problem.value,
        "message": problem.message,
    }


def _table_of(request: Request, allowed: Sequence[str]) -> dict[str, Any]:
    """The JSON table that was sent."""
    media_type = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _BadRequestError("send `Content-Type: application/json`", 415)
    if request.body is None or len(request.body) > MAX_BODY_BYTES:
        raise _BadRequestError(f"at most {MAX_BODY_BYTES} bytes", 413)
    try:
        given = json.loads(request.body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _BadRequestError(f"not JSON: {str(error)[:MAX_WORDS_CHARS]}") from None
    if not isinstance(given, dict):
        raise ConfigError([Problem("request", f"expected a table with {', '.join(allowed)}")])
    if unknown := [key for key in given if key not in allowed]:
        raise ConfigError(
            Problem("request", f"no such key{did_you_mean(key, allowed)}", key=key[:64])
            for key in unknown[:20]
        )
    return given


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON (RFC 8259 section 6)")


def _one(request: Request, name: str) -> str | None:
    values = request.query.get(name)
    return values[-1] if values else None


def _number(request: Request, name: str, least: int, most: int | None, otherwise: int) -> int:
    text = _one(request, name)
    if text is None:
        return otherwise
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
    if number < least or (most is not None and number > most):
        raise _BadRequestError(
            f"`{name}` is a whole number from {least} to {most or 'any'}, not {quoted(text)}"
        )
    return number


# RFC 9111 section 5.2.2.5, and https://fetch.spec.whatwg.org/#x-content-type-options-header.
_NOT_FOR_CACHES = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))


def _text(
    text: str,
    media_type: str,
    *,
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
    filename: str = "",
) -> Response:
    body = text.encode("utf-8", "replace")
    named = [("Content-Disposition", f'attachment; filename="{filename}"')] if filename else []
    fields = [
        ("Content-Type", media_type),
        ("Content-Length", str(len(body))),
        *_NOT_FOR_CACHES,
        *named,
        *headers,
    ]
    return Response(status, status_for(status).phrase, fields, body, rule="")


def _json(found: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    return _text(json.dumps(found), "application/json", status=status, headers=headers)


def _problem(
    status: int,
    detail: str,
    *,
    problems: Sequence[Problem] = (),
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """Problem details (RFC 9457)."""
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": status_for(status).phrase,
        "status": status,
        "detail": detail,
    }
    if problems:
        found["problems"] = [_finding(problem) for problem in problems]
    return _text(json.dumps(found), PROBLEM_JSON, status=status, headers=headers)


def _refusal(refused: RefusedError) -> Response:
    headers = []
    if refused.status == 401:
        headers.append(("WWW-Authenticate", "Bearer"))  # RFC 9110 section 15.5.2: "MUST"
    if refused.retry_after_s:
        headers.append(("Retry-After", str(int(refused.retry_after_s) + 1)))
    return _problem(refused.status, refused.detail, headers=headers)
