"""What is valid in a configuration and still surely not meant.

Law: a rule is called unreachable only if no request can ever reach it; where that is not certain, nothing
is said. So a rule counts as taking every request of its methods and path only if it has no condition, no
end and no chance, one template covers another only for a reason that is listed at `_covering`, and rules
with tags of their own may be meant for different values of MOCKWARE. The time that all this takes grows
with the number of rules, not with its square.

Doubt: a line break in a path (`%0A`), which `{rest:path}` alone does not match, is left out of account.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from starlette.convertors import (
    CONVERTOR_TYPES,
    FloatConvertor,
    IntegerConvertor,
    PathConvertor,
    StringConvertor,
    UUIDConvertor,
)

from .addresses import Hosts
from .answers import Changes, header_pairs
from .configuration import Configuration, Entry
from .exceptions import Problem, quoted
from .faults import CANNOT
from .index import PathIndex
from .paths import PathTemplate
from .rules import Rule
from .task_rules import TaskRule
from .task_table import TaskTable, Webhook
from .templates import is_template

# Two choices for each parameter make 64 templates to look for; nobody writes more parameters than that.
_MAX_WIDENED = 6

_PARAMETER = re.compile(r"\{:(\w+)\}")
_WHOLE_REST = "{:path}"


def review(configuration: Configuration, now: datetime, *, store: str = "memory:") -> Iterator[Problem]:
    """A warning for each rule that cannot match or answer, has expired at `now`, or may be cached.

    `store` is the URL of the one that all workers share, if they do.
    """
    in_memory = store in ("", "memory:")
    yield from _keyed(configuration)
    labels = rule_labels(configuration)
    takers = _takers(configuration)
    for number, (entry, label) in enumerate(zip(configuration.entries, labels, strict=True)):
        rule = entry.rule
        taker = takers[number]
        if isinstance(taker, str):
            message = f"can never match: `never` has {quoted(taker)}"
            yield Problem(entry.source, message, label, "match", quoted(rule.match))
        elif taker is not None:
            other = configuration.entries[taker]
            place = "" if other.source == entry.source else f" of {other.source}"
            fate = "passes all its requests through" if other.rule.passthrough else "takes all its requests"
            message = f"can never match while {labels[taker]}{place} is on, which comes first and {fate}"
            yield Problem(entry.source, message, label, "match", quoted(rule.match))
        if rule.expires is not None and rule.expires <= now:
            yield Problem(
                entry.source, "has passed: the rule matches no more", label, "expires", str(rule.expires)
            )
        if rule.chances is not None and rule.chances.share == 0:
            yield Problem(entry.source, "never answers: 1 is always, absent too", label, "probability", "0")
        yield from _methods(entry, label)
        yield from _answers(entry, label)
        if configuration.cors is not None:
            yield from _own_cors(entry, label)
        if isinstance(rule.task, TaskTable):
            yield from _tasks(entry, rule.task, label, configuration, in_memory=in_memory)
        if in_memory and rule.counts:
            place = "replies" if rule.times is None else "times"
            yield Problem(entry.source, f"counted in each worker's memory alone; {_SHARED}", label, place)


# The end of a warning.
_SHARED = "where several workers or hosts serve the app, name a store that they share in MOCKWARE_STORE"


# Of the methods that are registered, those that services have; QUERY is a draft's.
_METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE"),
)


def _methods(entry: Entry, label: str) -> Iterator[Problem]:
    """Methods that nobody sends: RFC 9110 section 9.1 has them case-sensitive."""
    for method in sorted(entry.rule.matched.methods or ()):
        if method not in _METHODS and (near := _usual_method(method)):
            message = f"`{method}` is no usual method; did you mean `{near}`?"
            yield Problem(entry.source, message, label, "match", quoted(entry.rule.match))


@lru_cache(maxsize=64)
def _usual_method(method: str) -> str:
    near = get_close_matches(method.upper(), _METHODS, n=1, cutoff=0.7)
    return near[0] if near else ""


def _keyed(configuration: Configuration) -> Iterator[Problem]:
    """Triggers that are heeded with a key only, which nothing gives them."""
    triggers = configuration.triggers
    if triggers is None or not triggers.needs_key:
        return
    beside = f"MOCKWARE_KEY is set, and {triggers.fields.key} has to be sent as well"
    token = f"{beside}, unless the cookie has a token, as the control page makes it"
    for place, name, message in (
        ("trigger.query", triggers.query, beside),
        ("trigger.cookie", triggers.cookie, token),
    ):
        if name is not None:
            yield Problem(" and ".join(configuration.sources), message, key=place, value=quoted(name))


def _own_cors(entry: Entry, label: str) -> Iterator[Problem]:
    """Rules that say for themselves who may read their mocks."""
    rule = entry.rule
    tables = [("headers", rule.headers)]
    tables += [(f"replies.{i}.headers", step.headers) for i, step in enumerate(rule.steps) if rule.replies]
    for table, headers in tables:
        for name in headers:
            if name.lower() == "access-control-allow-origin":
                message = "in the place of all that `[cors]` would add"
                yield Problem(entry.source, message, label, f"{table}.{name}", quoted(headers[name]))


def _tasks(
    entry: Entry, task: TaskTable, label: str, configuration: Configuration, *, in_memory: bool
) -> Iterator[Problem]:
    """What becomes of a task where several workers know only their own, and of what is never sent."""
    if in_memory and (reasons := remembered(entry.rule, task)):
        message = f"in each worker's memory alone: {' and '.join(reasons)}; {_SHARED}"
        yield Problem(entry.source, message, label, "task")
    if not isinstance(task.webhook, Webhook):
        return
    if not configuration.webhook_hosts:
        message = "never sent: no hosts are listed; allowed: those of `[webhooks] hosts = [...]`"
        yield Problem(entry.source, message, label, "task.webhook")
    elif not is_template(task.webhook.url):
        try:
            Hosts(configuration.webhook_hosts).check_url(task.webhook.url)
        except ValueError as error:
            place = "task.webhook.url"
            yield Problem(entry.source, f"never sent: {error}", label, place, quoted(task.webhook.url))


def remembered(rule: Rule, task: TaskTable) -> list[str]:
    """What of a task no id can say, so that whoever is asked has to have been told."""
    compiled = TaskRule(rule.name or rule.match, rule, task)
    answers = compiled.answers
    dialect = answers.dialect
    of_resources = dialect.originals & (rule.matched.methods or dialect.originals)
    said = {
        "the app's response": answers.runs,
        "who has canceled": task.cancel,
        "webhooks": compiled.hooks is not None,
        "what the accepted request said": bool(answers.reads),
        "which request is asked again": dialect.same_url,
        "the list of operations": compiled.list is not None,
        "what becomes of the URL of a PUT or PATCH": bool(of_resources),
    }
    return [reason for reason, holds in said.items() if holds]


def _answers(entry: Entry, label: str) -> Iterator[Problem]:
    """What a cache would do to the rule's answers, and servers to its faults."""
    rule = entry.rule
    tables: list[tuple[str, Mapping[str, Any]]] = [("headers", rule.headers)]
    for number, step in enumerate(rule.steps):
        place = f"replies.{number}." if rule.replies else ""
        tables += [(f"{place}headers", step.headers)] if rule.replies else []
        if step.fault is not None:
            yield Problem(
                entry.source,
                f"not on every server: {CANNOT[step.fault]}",
                label,
                f"{place}fault",
                quoted(step.fault),
            )
    if isinstance(rule.patch, Changes):
        tables.append(("patch.headers", rule.patch.headers))
    for table, headers in tables:
        for name, value in header_pairs(headers):
            if name.lower() == "cache-control" and not _keeps_from_sharing(value):
                message = "in the place of `no-store`: a cache may serve this mock to someone else"
                yield Problem(entry.source, message, label, f"{table}.{name}", quoted(value))


def rule_labels(configuration: Configuration) -> list[str]:
    """What messages call each rule: its number in its source, and its name or else its match."""
    counts: Counter[str] = Counter()
    labels = []
    for entry in configuration.entries:
        counts[entry.source] += 1
        labels.append(f"rule {counts[entry.source]} {quoted(entry.rule.name or entry.rule.match)}")
    return labels


def _keeps_from_sharing(cache_control: str) -> bool:
    """RFC 9111 sections 5.2.2.5 and 5.2.2.7: with either, a shared cache must not store the response."""
    directives = {item.partition("=")[0].strip().lower() for item in cache_control.split(",")}
    return not directives.isdisjoint(("no-store", "private"))


class _Words(NamedTuple):
    """By what, beside its path, a rule is chosen: its methods (none: any) and its tags."""

    methods: frozenset[str]
    tags: frozenset[str]


class _Takers:
    """The rules on templates of one signature that take every request of their methods, so far."""

    __slots__ = ("_by_words", "_seen", "never")

    def __init__(self) -> None:
        self.never: str | None = None
        # By one of the methods (None: any) and one of the tags, so that the shortest list can be looked at.
        self._by_words: dict[tuple[str | None, str | None], list[tuple[int, _Words]]] = {}
        self._seen: set[_Words] = set()

    def add(self, number: int, words: _Words) -> None:
        if words not in self._seen:
            self._seen.add(words)
            for key in product(words.methods or (None,), (None, *words.tags)):
                self._by_words.setdefault(key, []).append((number, words))

    def first(self, words: _Words) -> int | None:
        """The first rule that takes every request with these methods wherever one with these tags is on."""
        found = []
        # A rule without a method leaves CORS preflights alone, which one that lists OPTIONS answers.
        if "OPTIONS" not in words.methods:
            found.append(self._first((None,), words.tags, frozenset()))
        if words.methods:
            found.append(self._first(words.methods, words.tags, words.methods))
        return min((number for number in found if number is not None), default=None)

    def _first(
        self, methods: Iterable[str | None], tags: frozenset[str], wanted: frozenset[str]
    ) -> int | None:
        keys = product(methods, tags or (None,))
        shortest = min((self._by_words.get(key, []) for key in keys), key=len)
        return next(
            (number for number, words in shortest if wanted <= words.methods and tags <= words.tags), None
        )


def _takers(configuration: Configuration) -> list[int | str | None]:
    """For each rule, the number of the one that takes all its requests, or such a path of `never`."""
    never = [PathTemplate(path) for path in configuration.never]
    templates = {template.signature: template for template in never}
    for entry in configuration.entries:
        templates[entry.rule.matched.template.signature] = entry.rule.matched.template
    by_signature = {signature: _Takers() for signature in templates}
    index = PathIndex((template, by_signature[signature]) for signature, template in templates.items())
    prefixes = {
        signature.removesuffix(_WHOLE_REST): takers
        for signature, takers in by_signature.items()
        if _is_prefix(signature)
    }
    for template in never:
        by_signature[template.signature].never = template.text

    taken: list[int | str | None] = []
    for number, entry in enumerate(configuration.entries):
        template = entry.rule.matched.template
        words = _Words(entry.rule.matched.methods or frozenset(), frozenset(entry.rule.tags))
        covering = list(_covering(template, index, by_signature, prefixes))
        found = [first for takers in covering if (first := takers.first(words)) is not None]
        shadow: int | str | None = min(found, default=None)
        shadow = next((takers.never for takers in covering if takers.never is not None), shadow)
        taken.append(shadow)
        if _takes_everything(entry.rule):
            by_signature[template.signature].add(number, words)
    return taken


def _takes_everything(rule: Rule) -> bool:
    return (
        rule.conditions is None and rule.expires is None and rule.probability is None and rule.times is None
    )


def _covering(
    template: PathTemplate,
    index: PathIndex[_Takers],
    by_signature: dict[str, _Takers],
    prefixes: dict[str, _Takers],
) -> Iterator[_Takers]:
    """The takers on templates that certainly match whatever `template` matches."""
    if template.exact:
        # Whatever matches the one path that there is.
        yield from index.find(template.text) or ()
        return
    # The same template, or one with a wider converter in some places.
    for signature in _widened(template.signature):
        if signature in by_signature:
            yield by_signature[signature]
    # `/legacy/{rest:path}`, for whatever starts with `/legacy/`.
    literal = template.text.partition("{")[0]
    for end in range(1, len(literal) + 1):
        if literal[:end] in prefixes and literal[:end] + _WHOLE_REST != template.signature:
            yield prefixes[literal[:end]]


def _is_prefix(signature: str) -> bool:
    return (
        signature.endswith(_WHOLE_REST)
        and "{" not in signature.removesuffix(_WHOLE_REST)
        and type(CONVERTOR_TYPES["path"]) is PathConvertor
    )


def _widened(signature: str) -> Iterator[str]:
    """The signature, and those that have `{name}` in the place of an int, a float or a uuid.

    What these match is never empty and has no slash, so that a plain parameter matches it, too.
    """
    pieces = _PARAMETER.split(signature)  # literal, kind, literal, kind, ..., literal
    kinds = pieces[1::2]
    if len(kinds) > _MAX_WIDENED or type(CONVERTOR_TYPES["str"]) is not StringConvertor:
        yield signature
        return
    choices = [
        (kind, "str")
        if type(CONVERTOR_TYPES[kind]) in (IntegerConvertor, FloatConvertor, UUIDConvertor)
        else (kind,)
        for kind in kinds
    ]
    for chosen in product(*choices):
        pieces[1::2] = [f"{{:{kind}}}" for kind in chosen]
        yield "".join(pieces)
