"""What becomes of one request, and why: who answers it, how often, and what kept the others from it.

Law: every response is one that the engine decided upon. Only its dice are loaded, so that each answer that
chance could pick is seen once; no rule is applied here by other means than its own `difference`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from heapq import nlargest
from typing import NamedTuple
from urllib.parse import unquote

from .bodies import MAX_BUFFERED_BYTES
from .config import Configuration
from .durations import Delay
from .engine import Snapshot
from .environment import Environment
from .exceptions import quoted
from .messages import TOKEN, BodyNeeded, Decision, Request, Response
from .paths import PathTemplate
from .review import rule_labels
from .triggers import Trigger, TriggerFields

# A screenful. The rules beyond it are counted.
MAX_MISSES = 20
# How many are compared at length with the path, once the cheap comparison has ranked all of them.
_RANKED_CLOSELY = 5 * MAX_MISSES

_METHOD = re.compile(TOKEN)
_SURE = 1.0
THE_APP = "the app"


class Answer(NamedTuple):
    """One of the answers that the request may get: whose it is, to which `share` of such requests, when.

    `response` is None where the app is asked, with `delay` before it.
    """

    who: str
    share: float
    delay: Delay
    response: Response | None

    @property
    def sentence(self) -> str:
        """`rule 2 'payments-down' of mocks.toml answers 25% of such requests, after 1 to 2 s:`"""
        share = "" if self.share >= _SURE else f" {self.share * 100:.4g}% of such requests"
        low, high = self.delay
        after = f", after {f'{low:g} to ' if low < high else ''}{high:g} s" if high else ""
        if self.response is not None:
            return f"{self.who} answers{share}{after}:"
        if self.who == THE_APP:
            return f"{self.who} answers{share}{after}"
        return f"{self.who} passes{share or ' it'} through to {THE_APP}{after}"


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
    if body is not None and len(body) > MAX_BUFFERED_BYTES:
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
        self._snapshot = Snapshot(configuration, clock=clock, chance=chance)
        self._candidates = self._snapshot.find(request.path) or ()
        numbers = {id(rule): number for number, rule in enumerate(self._snapshot.rules)}
        # Those that are on and whose path is the request's, in file order.
        self._on_path = [numbers[id(rule)] for rule in self._candidates if id(rule) in numbers]
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
        notes = list(self._unheeded())
        trigger = self._snapshot.triggers.read(self._request) if self._snapshot.triggers else None
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
            self._dice[:] = reversed(dice)
            decision = self._snapshot.decide(self._request, self._candidates, resume=decision)
        return decision

    def _by_rules(self, delay: Delay | None) -> tuple[list[Answer], list[int]]:
        """The answers of the rules that match, up to the first that always does, and their numbers."""
        answers: list[Answer] = []
        numbers: list[int] = []
        left = _SURE
        passed_over: list[float] = []
        for number in self._on_path:
            rule = self._configuration.entries[number].rule
            probability = _SURE if rule.probability is None else rule.probability
            if self._why_not(number) is not None:
                continue
            if not probability:
                passed_over.append(probability)  # it never answers, but draws
                continue
            decision = self._decide(*passed_over, 0.0)
            delays = rule.delays if delay is None else delay
            answers.append(_answer(self._called(number), left * probability, delays, decision))
            numbers.append(number)
            left *= 1 - probability
            if probability >= _SURE:
                return answers, numbers
            passed_over.append(probability)  # the least that is not below it
        return [*answers, _app(left, delay or Delay())], numbers

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
        delays = self._configuration.entries[named[0]].rule.delays if trigger.delay_s is None else delay
        yield _answer(f"{self._called(named[0])}, named by the trigger,", _SURE, delays, decision)

    def _unheeded(self) -> Iterator[str]:
        """Why a trigger that the request carries is as if absent."""
        request, triggers, fields = self._request, self._snapshot.triggers, self._fields
        sent = [name for name in fields[:3] if request.header(name.lower()) is not None]
        default = TriggerFields()
        for field, name in zip(fields, default, strict=True):
            if field != name and request.header(name.lower()) is not None:
                yield f"{name} is not heeded: `[trigger]` calls it {field}"
        if triggers is None:
            if sent:
                yield f"{' and '.join(sent)}: not heeded, because `[trigger]` has `enabled = false`"
            return
        if sent and triggers.read(request) is None:
            start = f"{' and '.join(sent)}: not heeded, because"
            if self._environment.key and request.header(fields.key.lower()) != self._environment.key:
                yield f"{start} MOCKWARE_KEY is set and {fields.key} is not it"
            else:
                yield f"{start} `paths` of `[trigger]` leaves this path out"
        if "mock." in (request.header("baggage") or "") and "baggage" not in triggers.watched:
            reason = "MOCKWARE_KEY is set" if self._environment.key else "MOCKWARE_SERVICE is not set"
            yield f"baggage: not heeded, because {reason}"

    def _why_not(self, number: int) -> str | None:
        """What keeps a rule from matching, or None."""
        entry = self._configuration.entries[number]
        if not entry.on:
            return f"off, because MOCKWARE={','.join(self._environment.selected)} names other rules"
        if self._expired[number]:
            return f"expired on {entry.rule.expires}"
        difference = entry.rule.difference(self._request)
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
        if why_not is None and self._configuration.entries[number].rule.probability == 0:
            return "its probability is 0"
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


_TRIGGER_FIRST = "a trigger comes before every rule"


def _app(share: float, delay: Delay = Delay()) -> Answer:  # noqa: B008 - immutable
    return Answer(THE_APP, share, delay, None)


def _answer(who: str, share: float, delay: Delay, decision: Decision) -> Answer:
    return Answer(who, share, delay, decision if isinstance(decision, Response) else None)
