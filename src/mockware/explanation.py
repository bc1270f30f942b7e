"""What becomes of one request, and why: who answers it, how often, and what kept the others from it.

Law: every response is one that the engine decided upon. Only its dice are loaded, and its counts, so that
each answer that either could pick is seen once; no rule is applied here by other means than its own
`difference`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from difflib import SequenceMatcher
from heapq import nlargest
from typing import NamedTuple
from urllib.parse import unquote

from .bodies import MAX_BUFFERED_BYTES
from .callers import THE_RULE
from .compiled_rules import CompiledRule
from .configuration import Configuration
from .counters import Count, Counter
from .decisions import BodyNeeded, Decision, Passthrough, Run
from .durations import Delay
from .engine import Snapshot
from .environment import Environment
from .exceptions import quoted
from .memory_store import MemoryStore
from .messages import TOKEN, Request, Response
from .paths import PathTemplate
from .review import rule_labels
from .task_endpoints import TaskEndpoint
from .tokens import ANYTHING, OutOfScopeError
from .triggers import Member, Trigger, TriggerFields, Triggers

# A screenful. The rules beyond it are counted.
MAX_MISSES = 20
# How many are compared at length with the path, once the cheap comparison has ranked all of them.
_RANKED_CLOSELY = 5 * MAX_MISSES

_METHOD = re.compile(TOKEN)
_SURE = 1.0
THE_APP = "the app"


class Answer(NamedTuple):
    """One of the answers that the request may get: whose it is, to which `share` of such requests, when.

    `response` is None where the app is asked, with `delay` before it. `turn` says of a rule that counts when
    its turn is, `manner` what else becomes of the response.
    """

    who: str
    share: float
    delay: Delay
    response: Response | None
    turn: str = ""
    manner: str = ""

    @property
    def sentence(self) -> str:
        """`rule 2 'payments-down' of mocks.toml answers 25% of such requests, after 1 to 2 s:`"""
        share = "" if self.share >= _SURE else f" {self.share * 100:.4g}% of such requests"
        rest = "".join(
            f", {part}" for part in (self.turn, self.delay and f"after {self.delay}", self.manner) if part
        )
        if self.response is not None:
            return f"{self.who} answers{share}{rest}:"
        if self.who == THE_APP:
            return f"{self.who} answers{share}{rest}"
        return f"{self.who} passes{share or ' it'} through to {THE_APP}{rest}"


class Miss(NamedTuple):
    """A rule that does not answer, and why."""

    label: str
    reason: str


class Explanation(NamedTuple):
    """All that there is to say about a request. `left_out` counts the rules that `misses` does not list."""

    answers: Sequence[Answer]
    notes: Sequence[str]
    misses: Sequence[Miss]
    left_out: int


def read_request(line: str, headers: Iterable[str] = (), body: bytes | None = None) -> Request:
    """A request as people write one down: `POST /reports?x=1`, and fields such as `Name: value`.

    The path is percent-encoded, as in a URL, and the one that the app routes on. Without a method it is a
    GET, or with a body a POST, as for curl. Raises ValueError for what is no request.
    """
    first, _, rest = line.strip().partition(" ")
    method, target = (first, rest.strip()) if rest else ("GET" if body is None else "POST", first)
    if not target.startswith("/") or not _METHOD.fullmatch(method):
        raise ValueError(
            f"expected `[METHOD] /path?query`, such as `POST /reports`, and found {quoted(line)}"
        )
    path, _, query = target.partition("#")[0].partition("?")
    fields: dict[str, str] = {}
    for header in headers:
        name, colon, value = header.partition(":")
        name = name.strip().lower()
        if not colon or not _METHOD.fullmatch(name):
            raise ValueError(f"expected a header such as `X-Mock-Status: 503`, and found {quoted(header)}")
        mark = "; " if name == "cookie" else ","
        fields[name] = mark.join(filter(None, (fields.get(name), value.strip())))
    if body is None:
        body = b""
    elif len(body) > MAX_BUFFERED_BYTES:
        body = None  # no condition looks at a longer one
    return Request(method.upper(), unquote(path), query, fields, body)


def explain(
    request: Request,
    configuration: Configuration,
    environment: Environment,
    *,
    clock: Callable[[], float] = time.time,
) -> Explanation:
    """What mockware would do with `request`, and why. `clock` gives the time in seconds."""
    return _Explainer(request, configuration, environment, clock).explanation()


class _Explainer:
    def __init__(
        self,
        request: Request,
        configuration: Configuration,
        environment: Environment,
        clock: Callable[[], float],
    ) -> None:
        self._request = request
        self._configuration = configuration
        self._environment = environment
        self._dice: list[float] = []
        chance = lambda: self._dice.pop() if self._dice else 0.0  # noqa: E731
        self._store = _LoadedStore()
        if configuration.triggers is not None:
            # Nobody is guessing here, and what is wrong with a key is a part of the answer. Those that answer
            # requests meanwhile go on telling.
            silent = copy(configuration.triggers)
            silent.tell_wrong_key = lambda field: None
            configuration = configuration._replace(triggers=silent)
        self._snapshot = Snapshot(configuration, store=self._store, clock=clock, chance=chance)
        self._clock = clock
        self._candidates = self._snapshot.find(request.path) or ()
        self._numbers = {id(rule): number for number, rule in enumerate(self._snapshot.rules)}
        # Those that are on and whose path is the request's, in file order.
        self._on_path = [self._numbers[id(rule)] for rule in self._candidates if id(rule) in self._numbers]
        self._labels = rule_labels(configuration)
        self._expired = [self._snapshot.is_expired(rule) for rule in self._snapshot.rules]

    def explanation(self) -> Explanation:
        never = next(
            (path for path in self._configuration.never if PathTemplate(path).matches(self._request.path)),
            None,
        )
        if never is not None:
            note = f"`never` has {quoted(never)}: no rule and no trigger touches this path"
            return self._explanation([_app(_SURE)], [note], "`never` comes before every rule")
        notes = [*self._unheeded(), *self._unreadable()]
        leave = self._snapshot.leave(self._request, self._candidates)
        if leave is not None:
            return self._explanation([_answer("`[cors]`", _SURE, Delay(), leave)], notes, _CORS_FIRST)
        triggers = self._snapshot.triggers
        trigger = triggers.read(self._request, self._clock) if triggers else None
        delay = None
        if isinstance(trigger, Response):
            who = "the trigger is refused, and its refusal"
            return self._explanation([_answer(who, _SURE, Delay(), self._decide())], notes, _TRIGGER_FIRST)
        if trigger is not None:
            if trigger.choices or trigger.name is not None:
                named = [] if trigger.choices else self._named(trigger)
                answers = list(self._triggered(trigger, named))
                return self._explanation(answers, notes, _TRIGGER_FIRST, answering=named)
            delay = Delay(trigger.delay_s or 0.0, trigger.delay_s or 0.0)
            notes.append(f"{self._fields.delay} replaces the delay")
        answers, numbers = self._by_rules(delay)
        return self._explanation(answers, notes, f"{answers[-1].who} comes first", answering=numbers)

    @property
    def _fields(self) -> TriggerFields:
        return self._snapshot.triggers.fields if self._snapshot.triggers else TriggerFields()

    def _decide(self, *dice: float) -> Decision:
        self._dice[:] = reversed(dice)
        decision = self._snapshot.decide(self._request, self._candidates)
        if isinstance(decision, BodyNeeded):
            decision = self._snapshot.decide(self._request, self._candidates, resume=decision)
        if isinstance(decision, Response):
            return decision.beside(self._snapshot.fields_beside(decision, self._request))
        if isinstance(decision, Run):
            fields = self._snapshot.fields_beside(decision.response, self._request)
            return decision._replace(response=decision.response.beside(fields))
        return decision

    def _by_rules(self, delay: Delay | None) -> tuple[list[Answer], list[int]]:
        """The answers of the rules that match, up to the first that always does, and their numbers."""
        answers: list[Answer] = []
        numbers: list[int] = []
        left = _SURE
        passed_over: list[float] = []
        counted = 0
        for candidate in self._candidates:
            if isinstance(candidate, TaskEndpoint):
                decision = self._decide(*passed_over)
                if candidate.difference(self._request) is None and isinstance(decision, Response):
                    number = self._numbers[id(self._snapshot.named(candidate.name))]
                    who = f"a task of {self._called(number)}"
                    return [*answers, _answer(who, left, Delay(), decision)], [*numbers, number]
                continue
            number = self._numbers[id(candidate)]
            rule = self._snapshot.rules[number]
            if self._why_not(number) is not None:
                continue
            probability = self._probability(rule)
            draws = self._draws(rule)
            if not probability:
                passed_over += [1.0] if draws else []  # it never answers, but draws
                continue
            dice = (*passed_over, *([0.0] if draws else []))
            share = left * probability
            numbers.append(number)
            for before, turn in turns(rule):
                self._store.next = None if rule.counters is None else Count(counted, before)
                decision = self._decide(*dice)
                answer = _answer(self._called(number), share, _delay(rule, before, delay), decision, turn)
                if rule.task is not None and answer.response is not None and not answer.manner:
                    answer = answer._replace(manner=f"with a task of {rule.task.durations}")
                answers.append(answer)
            counted += rule.counters is not None and not draws  # the dice pass over one that draws
            if rule.limit is None:
                left *= 1 - probability
                if probability >= _SURE:
                    return answers, numbers
            if draws:
                passed_over.append(probability)  # the least that is not below it
        return [*answers, _app(left, delay or Delay())], numbers

    def _draws(self, rule: CompiledRule) -> bool:
        """Whether chance decides about this request, and not who sent it."""
        if rule.probability is None:
            return False
        return rule.probability.caller is None or rule.probability.caller.word(self._request) is None

    def _probability(self, rule: CompiledRule) -> float:
        if rule.probability is None:
            return _SURE
        if self._draws(rule):
            return rule.probability.share
        return float(rule.probability.holds(self._request, lambda: 0.0, rule=rule.name))

    def _named(self, trigger: Trigger) -> list[int]:
        """The number of the rule that a trigger names, if it may answer."""
        rule = self._snapshot.named((trigger.name or "").strip(" \t"))
        return [
            number
            for number, known in enumerate(self._snapshot.rules)
            if known is rule and known.on and not self._expired[number]
        ]

    def _triggered(self, trigger: Trigger, named: Sequence[int]) -> Iterator[Answer]:
        delay = Delay(trigger.delay_s or 0.0, trigger.delay_s or 0.0)
        if trigger.choices:
            total = sum(choice.weight for choice in trigger.choices)
            before = 0.0
            for choice in trigger.choices:
                if choice.weight:
                    decision = self._decide((before + choice.weight / 2) / total)
                    yield _answer("the trigger", choice.weight / total, delay, decision)
                before += choice.weight
            return
        decision = self._decide()
        if not named:
            yield _answer("the trigger is refused, and its refusal", _SURE, Delay(), decision)
            return
        rule = self._snapshot.rules[named[0]]
        who = f"{self._called(named[0])}, named by the trigger,"
        for before, turn in turns(rule, named=True):
            self._store.next = Count(0, before)
            delays = _delay(rule, before, None if trigger.delay_s is None else delay)
            yield _answer(who, _SURE, delays, self._decide(), turn)

    def _unheeded(self) -> Iterator[str]:
        """Why a trigger that the request carries is as if absent."""
        request, triggers, fields = self._request, self._snapshot.triggers, self._fields
        sent = [name for name in fields[:3] if request.header(name.lower()) is not None]
        if triggers is not None and triggers.query in request.query:
            sent.append(f"query parameter {triggers.query}")
        cookie = None if triggers is None else triggers.member_of_cookie(request)
        if triggers is not None and cookie is not None:
            if cookie.token is not None and triggers.needs_key:
                yield self._of_cookie(triggers, cookie)
            else:
                sent.append(f"cookie {triggers.cookie}")
        default = TriggerFields()
        for field, name in zip(fields, default, strict=True):
            if field != name and request.header(name.lower()) is not None:
                yield f"{name} is not heeded: `[trigger]` calls it {field}"
        if triggers is None:
            if sent:
                yield f"{' and '.join(sent)}: not heeded, because `[trigger]` has `enabled = false`"
            return
        scope = triggers.scope_of_fields(request)
        if sent and (scope is None or triggers.read(request, self._clock) is None):
            start = f"{' and '.join(sent)}: not heeded, because"
            if scope is None:
                absent = request.header(fields.key.lower()) is None
                wrong = "not it" if absent else "neither it nor a token signed with it"
                yield f"{start} MOCKWARE_KEY is set and {fields.key} is {wrong}"
            elif not triggers.covers(request.path):
                yield f"{start} `paths` of `[trigger]` leaves this path out"
            elif request.is_preflight:
                yield f"{start} a preflight is not the request that it asks leave for"
            else:
                yield f"{start} the request comes from another site, whose origin `[cors]` does not list"
        elif sent and scope is not None and scope is not ANYTHING:
            yield f"{fields.key} is a token that allows {scope}"
        if "mock." not in (request.header("baggage") or ""):
            return
        member = triggers.member_of(request)
        if member is not None:
            scope = triggers.scope_of_member(member)
            if scope is None:
                whose = "this service's member"
                lacks = f"{whose} carries no token"
                if member.token is not None:
                    lacks = f"the token of {whose} is not signed with it"
                yield f"baggage: not heeded, because MOCKWARE_KEY is set and {lacks}"
            elif scope is not ANYTHING:
                yield f"baggage has a token that allows {scope}"
        elif "baggage" not in triggers.watched:
            yield "baggage: not heeded, because MOCKWARE_SERVICE is not set"

    def _of_cookie(self, triggers: Triggers, cookie: Member) -> str:
        """What a cookie that has a token of its own may ask for, or why it may not."""
        request, place = self._request, f"cookie {triggers.cookie}"
        scope = triggers.scope_of_cookie(cookie)
        if scope is None:
            return f"{place}: not heeded, because its token is not signed with MOCKWARE_KEY"
        if not triggers.covers(request.path):
            return f"{place}: not heeded, because `paths` of `[trigger]` leaves this path out"
        try:
            scope.check(request.path, triggers.service, self._clock)
        except OutOfScopeError as error:
            return f"{place}: not heeded, because {error}"
        return f"{place} has a token that allows {scope}"

    def _unreadable(self) -> Iterator[str]:
        """Why a page of another origin may not be answered as it wishes."""
        request, cors = self._request, self._snapshot.cors
        origin = request.header("origin")
        if cors is None:
            if origin is not None:
                yield "Origin: there is no `[cors]`, so that a mock has no CORS field but its own"
        elif origin is not None and not cors.allows(request):
            yield f"Origin: {quoted(origin)} is not listed in `[cors]`, whose fields a mock does not get"
        elif request.is_preflight and self._snapshot.leave(request, self._candidates) is None:
            yield "`[cors]` leaves this preflight alone: it asks for no mock and no trigger"

    def _why_not(self, number: int) -> str | None:
        """What keeps a rule from matching, or None."""
        entry = self._configuration.entries[number]
        if not entry.on:
            return f"off, {entry.why_off}"
        if self._expired[number]:
            return f"expired on {entry.rule.expires}"
        difference = entry.rule.difference(self._request)
        task = self._snapshot.rules[number].task
        if difference is None and task is not None:
            difference = task.difference(self._request)
        return None if difference is None else str(difference)

    def _explanation(
        self,
        answers: Sequence[Answer],
        notes: Sequence[str],
        comes_first: str,
        *,
        answering: Sequence[int] = (),
    ) -> Explanation:
        others = [i for i in range(len(self._labels)) if i not in answering]
        shown = others
        if len(others) > MAX_MISSES:
            shown = self._nearest(others)
        misses = [Miss(self._called(i), self._why_silent(i, comes_first)) for i in shown]
        return Explanation(answers, notes, misses, len(others) - len(shown))

    def _why_silent(self, number: int, comes_first: str) -> str:
        why_not = self._why_not(number)
        rule = self._snapshot.rules[number]
        if why_not is None and not self._probability(rule):
            if self._draws(rule) or rule.probability is None:
                return "its probability is 0"
            return f"its probability leaves this {rule.probability.caller} out"
        return why_not or f"never looked at: {comes_first}"

    def _nearest(self, numbers: list[int]) -> list[int]:
        """The rules on the request's own path, then those on the most similar ones; as many as are shown."""
        entries = self._configuration.entries
        comparison = SequenceMatcher(autojunk=False)
        comparison.set_seq2(self._request.path)

        on_path = set(self._on_path)

        def similarity(compare: Callable[[], float]) -> Callable[[int], tuple[bool, float]]:
            def of(number: int) -> tuple[bool, float]:
                entry = entries[number]
                template = entry.rule.matched.template
                comparison.set_seq1(template.text)
                # The index knows only the rules that are on.
                fits = number in on_path if entry.on else template.matches(self._request.path)
                return fits, compare()

            return of

        likely = nlargest(_RANKED_CLOSELY, numbers, key=similarity(comparison.quick_ratio))
        return nlargest(MAX_MISSES, likely, key=similarity(comparison.ratio))

    def _called(self, number: int) -> str:
        source = self._configuration.entries[number].source
        return f"{self._labels[number]} of {source}"


_CORS_FIRST = "`[cors]` answers preflights before any rule"
_TRIGGER_FIRST = "a trigger comes before every rule"


def _app(share: float, delay: Delay = Delay()) -> Answer:  # noqa: B008 - immutable
    return Answer(THE_APP, share, delay, None)


def _answer(who: str, share: float, delay: Delay, decision: Decision, turn: str = "") -> Answer:
    if isinstance(decision, Response):
        return Answer(who, share, delay, decision, turn, _manner(decision))
    if isinstance(decision, Run):
        manner = f"and hands the request to {THE_APP} in the background"
        return Answer(who, share, delay, decision.response, turn, manner)
    manners = []
    if isinstance(decision, Passthrough):
        if decision.delay_after_s and decision.patch:
            manners.append("whose response starts late, and is changed")
        elif decision.delay_after_s or decision.patch:
            manners.append(f"whose response {'is changed' if decision.patch else 'starts late'}")
    return Answer(who, share, delay, None, turn, ", ".join(manners))


def _manner(response: Response) -> str:
    if response.fault == "empty":
        return "by ending the connection where the server allows it, and not with"
    if response.fault is not None:
        return (
            "half the body, then the end of the connection"
            if response.fault == "cut"
            else "no body, then silence"
        )
    return f"the body over {response.drip_s:g} s" if response.drip_s else ""


def _delay(rule: CompiledRule, before: int, delay: Delay | None) -> Delay:
    """The delay of the rule's answer when it has answered so often, unless a trigger has another."""
    if delay is not None:
        return delay
    if not rule.steps:
        return rule.delay
    place = rule.sequence.step(before)
    return Delay() if place is None else rule.steps[place][1]


def turns(rule: CompiledRule, *, named: bool = False) -> Iterator[tuple[int, str]]:
    """How often a rule has answered when it comes to each of its replies, and in words when that is.

    `named`: by a trigger, which puts `times` aside.
    """
    limit = None if named else rule.limit
    per = "" if rule.rule.caller == THE_RULE else f" per {rule.rule.caller}"
    *_, total = ends = rule.sequence.ends
    if not rule.sequence.changes:
        yield 0, "" if limit is None else f"{_times(1, limit)}{per}"
        return
    then = rule.sequence.then
    for start, end in zip((0, *ends), (*ends, None), strict=True):
        if (limit is not None and start >= limit) or (end is None and then != "passthrough"):
            return
        last = limit if end is None or (end == total and then == "last") else min(end, limit or end)
        turn = _times(start + 1, last) + (f" of each {total}" if then == "loop" else "")
        yield start, turn + per + (f", {limit} in all" if limit is not None else "")


def _times(first: int, last: int | None) -> str:
    if last is None:
        return f"from time {first} on"
    return f"time {first}" if first == last else f"times {first} to {last}"


class _LoadedStore(MemoryStore):
    """Counts what it is told to; what is asked besides is forgotten when the explanation is."""

    next: Count | None = None

    def count(self, counters: Sequence[Counter]) -> Count | None:
        return self.next
