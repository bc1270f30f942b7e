"""The one place where rules, triggers, chance, the store and the clock meet.

Law: a request and the candidates for its path go in, a decision comes out. Nothing here sleeps, reads a
body or knows an interface: where a decision hangs on the body it says so (`BodyNeeded`) and is asked again;
where it hangs on a store that has to be waited for, that is said too (`StoreNeeded`). A snapshot is compiled
whole and never edited; all that can be done beforehand is done then.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from .compiled_rules import Candidate, CompiledRule, places_of
from .configuration import Configuration, Entry
from .cors import RULE_NAME as CORS_RULE_NAME
from .cors import Cors, Preflight
from .counters import Count, Counter
from .courier import Courier
from .decisions import PASSTHROUGH, BodyNeeded, Decision, Passthrough, StoreNeeded
from .deliveries import Delivery
from .exceptions import did_you_mean
from .index import PathIndex
from .journal import Journal
from .memory_store import MemoryStore
from .messages import Request, Response
from .paths import PathTemplate
from .questions import Counting, Question, Store
from .replies import build_reply, server_timing
from .rules import Rule
from .statuses import CATALOGUE
from .task_answers import Means
from .task_endpoints import TaskEndpoint
from .task_records import Hook
from .triggers import RULE_NAME, Trigger, Triggers, draw
from .webhooks import Message


def _lists_preflights(rule: Candidate, preflight: Request) -> bool:
    """Whether a rule names OPTIONS, and matches."""
    if isinstance(rule, TaskEndpoint) or rule.rule.matched.methods is None:
        return False
    return rule.difference(preflight) is None


class Snapshot:
    """All rules in their compiled form. `find` gives the candidates for a path, in file order.

    `only_ascii`: there are none for a path that is not ASCII.
    `watched` are the request fields, in lower case, that a trigger needs; empty where triggers are off.
    `at_once` has the reply for each value of the status trigger where nothing else has to be asked; there
    must be no other trigger on the request, and no candidates. Where the first candidate is `untouchable`,
    the path is one that nothing touches; where it is `control`, it is at or below that prefix. With a
    `journal` nothing is answered at once, so that all of it can be noted there.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        store: Store | None = None,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        control: str = "",
        journal: Journal | None = None,
    ) -> None:
        self.rules = tuple(CompiledRule(entry, configuration) for entry in configuration.entries)
        self.journal = journal
        if journal is not None:
            for rule in self.rules:
                rule.at_once = {}
        self.store: Store = MemoryStore(clock=clock) if store is None else store
        self.untouchable = CompiledRule(Entry("never", Rule("/", passthrough=True), "never"))
        self.control = CompiledRule(Entry("control", Rule("/", passthrough=True), "control"))
        places: list[tuple[PathTemplate, Candidate]] = [
            *((PathTemplate(path), self.untouchable) for path in configuration.never),
            *(place for rule in self.rules if rule.on for place in places_of(rule)),
        ]
        index: PathIndex[Candidate] = PathIndex(places, mount=(control, self.control) if control else None)
        self.find: Callable[[str], Sequence[Candidate] | None] = index.find
        self.courier: Courier | None = None
        self.runs_app = any(
            rule.task is not None and rule.task.answers.runs for rule in self.rules if rule.on
        )
        self.only_ascii = index.only_ascii
        self.triggers: Triggers | None = configuration.triggers
        self.cors: Cors | None = configuration.cors
        self.watched = self.triggers.watched if self.triggers else frozenset()
        self._by_name = MappingProxyType({rule.name: rule for rule in self.rules})
        self._clock = clock
        self._chance = chance
        self._declared = configuration.entries
        self._compared: tuple[Snapshot | None, frozenset[CompiledRule]] = (None, frozenset())
        self._replies_to_triggers: dict[int, Response] = {}
        self._timings: Mapping[str, tuple[tuple[str, str], ...]] | None = None
        if configuration.server_timing:
            names = (*self._by_name, RULE_NAME, CORS_RULE_NAME, PASSTHROUGH.rule)
            self._timings = {name: (server_timing(name),) for name in names}
        self.at_once: Mapping[str, Response] = {}
        if self.triggers is not None and self.triggers.ask_nothing:
            self.at_once = {
                str(code): whole
                for code in CATALOGUE
                if self.triggers.statuses is None or code in self.triggers.statuses
                if (whole := self.whole(self._reply_to_trigger(code, self.triggers))) is not None
            }

    def employ(self, courier: Courier) -> None:
        """Has `courier` send what becomes due, and look for what others have left, at whatever request.

        A process that outlives the others may be asked about no task again.
        """
        self.courier = courier
        find = self.find

        def find_awake(path: str) -> Sequence[Candidate] | None:
            courier.wake()
            return find(path)

        if self.store.threads:
            self.find = find_awake

    def decide(
        self,
        request: Request,
        candidates: Sequence[Candidate],
        *,
        resume: BodyNeeded | None = None,
        outer: Snapshot | None = None,
    ) -> Decision:
        """What becomes of a request whose path has these candidates.

        After `BodyNeeded`, ask once more with it as `resume`, `request.body` being the body, or None where
        that is too long. `outer`: by whose rules it was let through already.
        """
        if candidates and candidates[0] is self.untouchable:
            return PASSTHROUGH
        if self.cors is not None and (leave := self.leave(request, candidates)):
            return leave
        trigger = self.triggers.read(request, self._clock) if self.triggers else None
        if isinstance(trigger, Response):
            return trigger.to(request.method)
        delay_s = None
        if trigger is not None and self.triggers is not None:
            if outer is not None and outer._heeds(request):
                # Heeded there: `passthrough` was drawn or named, or the delay is over.
                if trigger.choices or trigger.name is not None:
                    return PASSTHROUGH
            elif trigger.choices or trigger.name is not None:
                return self._triggered(trigger, request, self.triggers, resume)
            else:
                delay_s = trigger.delay_s
        if outer is not None and candidates and (repeated := self._repeated(outer)):
            candidates = [rule for rule in candidates if rule not in repeated]
        return self._first(request, delay_s, candidates, resume)

    def _heeds(self, request: Request) -> bool:
        return self.triggers is not None and self.triggers.read(request, self._clock) is not None

    def leave(self, request: Request, candidates: Sequence[Candidate]) -> Response | None:
        """The answer to a CORS preflight that is ours to answer."""
        asked = self.cors.asked(request) if self.cors else None
        if asked is None or self.cors is None:
            return None
        if any(_lists_preflights(rule, request) and not self.is_expired(rule) for rule in candidates):
            return None  # the rule's own business
        # With no more than a preflight tells of the request to come.
        host = {"host": request.header("host") or ""}
        coming = Request(asked.method, request.path, request.query_string, host)
        if self._mocks(coming, candidates):
            return self.cors.leave(request, asked, lasting=True)
        # The path is the app's, and so is any other preflight on it: this answer is not to be remembered.
        if self.triggers is not None and self._is_triggered(request, asked, self.triggers):
            return self.cors.leave(request, asked, lasting=False)
        return None

    def leave_for_mock(self, request: Request) -> Response | None:
        """The answer to a CORS preflight on a path of which every request gets a mock."""
        asked = self.cors.asked(request) if self.cors else None
        return None if asked is None or self.cors is None else self.cors.leave(request, asked, lasting=True)

    def _mocks(self, coming: Request, candidates: Sequence[Candidate]) -> bool:
        """Whether a rule takes the request to come, as far as can be known; if in doubt, it does."""
        for rule in candidates:
            if self.is_expired(rule):
                continue
            if isinstance(rule, TaskEndpoint):
                mocks = True if rule.difference(coming) is None else None
            else:
                mocks = rule.mocks(coming)
            if mocks is not None:
                return mocks
        return False

    @staticmethod
    def _is_triggered(request: Request, asked: Preflight, triggers: Triggers) -> bool:
        if not triggers.covers(request.path):
            return False
        in_query = not triggers.needs_key and triggers.asked_in_query(request) is not None
        return in_query or triggers.are_among(asked.names)

    def note(self, request: Request, decision: Decision, candidates: Sequence[Candidate] = ()) -> None:
        """Has the journal take down what has become of a request, where there is one.

        A mock is noted when it is given, and what the app gets when the app is called.
        """
        if self.journal is not None:
            self.journal.note(request, decision, candidates)

    def whole(self, response: Response) -> Response | None:
        """A mock with all that it says besides, where that hangs on no request and nobody takes it down."""
        if self.cors is not None or self.journal is not None:
            return None
        return response.beside(self._timing(response.rule))

    def fields_beside(self, response: Response, request: Request) -> Sequence[tuple[str, str]]:
        """What a mock has to say besides, so that the page that asked for it may read it."""
        fields = () if self.cors is None else self.cors.fields(request, response)
        return (*fields, *self._timing(response.rule)) if self._timings else fields

    def _timing(self, rule: str) -> Sequence[tuple[str, str]]:
        """The Server-Timing of a mock of this rule, where there is one."""
        return self._timings.get(rule, ()) if self._timings else ()

    def _first(
        self,
        request: Request,
        delay_s: float | None,
        candidates: Sequence[Candidate],
        resume: BodyNeeded | None,
    ) -> Decision:
        """What the first of `candidates` says that has something to say."""
        counted: list[CompiledRule] = list(resume.counted) if resume else []
        last: Candidate | None = None
        later: Sequence[Candidate] = ()
        for i in range(resume.at if resume else 0, len(candidates)):
            rule = candidates[i]
            if rule.difference(request) is not None or self.is_expired(rule):
                continue
            # What comes after one that gives way may look at the body, and is not asked a second time.
            if rule.needs_body or (rule.gives_way and any(other.needs_body for other in candidates[i + 1 :])):
                if resume is None:
                    return BodyNeeded(i, tuple(counted))
                if rule.body_difference(request) is not None:
                    continue
            if rule.probability is not None and not rule.probability.holds(
                request, self._chance, rule=rule.name
            ):
                continue
            if rule.counters is None:
                last, later = rule, candidates[i + 1 :]
                break
            counted.append(rule)
            if rule.limit is None:
                break
        if counted:
            limits = [rule.limit for rule in counted]
            return self._counted(request, delay_s, counted, limits, last, later)
        return self._last(last, later, request, delay_s)

    def _last(
        self, rule: Candidate | None, later: Sequence[Candidate], request: Request, delay_s: float | None
    ) -> Decision:
        """What a rule says that has not been counted, or else the app."""
        if rule is not None:
            return self._answer(rule, request, delay_s, later=later)
        return Passthrough(delay_s) if delay_s else PASSTHROUGH

    def _answer(
        self,
        rule: Candidate,
        request: Request,
        delay_s: float | None,
        before: int = 0,
        later: Sequence[Candidate] = (),
    ) -> Decision:
        if isinstance(rule, CompiledRule) and rule.task is None:
            return rule.answer(request, delay_s, before, chance=self._chance, clock=self._clock)
        means = Means(
            self._ask,
            self._clock,
            self._chance,
            self._deliver,
            # The body has been read by now, if anything that comes after it looks at it.
            lambda: self._first(request, delay_s, later, BodyNeeded(0)),
            later,
        )
        if isinstance(rule, TaskEndpoint):
            return rule.answer(request, means, delay_s or 0.0)
        if rule.task is None:
            return PASSTHROUGH
        return rule.task.accept(request, means, rule.delay.draw(self._chance) if delay_s is None else delay_s)

    def _deliver(self, deliveries: Sequence[Delivery]) -> None:
        if self.courier is not None and deliveries:
            self.courier.schedule(deliveries)

    def compose(self, delivery: Delivery, now: float) -> Message | None:
        """What a courier sends at `now`; None: nothing any more. May wait for the store."""
        hook = Hook.from_bytes(delivery.value)
        rule = self._by_name.get(hook.rule) if hook else None
        hooks = rule.task.hooks if rule is not None and rule.task is not None and rule.on else None
        if hook is None or hooks is None:
            return None
        values = self.store.read(hooks.keys(hook))
        means = Means(self._ask, lambda: now, self._chance, self._deliver, lambda: PASSTHROUGH)
        return hooks.message(hook, values, means)

    def _counted(
        self,
        request: Request,
        delay_s: float | None,
        rules: Sequence[CompiledRule],
        limits: Sequence[int | None],
        last: Candidate | None,
        later: Sequence[Candidate] = (),
    ) -> Decision:
        """The answer of the first of `rules` whose counter is below its limit, or else that of `last`."""

        def settle(count: Count | None) -> Decision:
            if count is not None:
                rule = rules[count.at]
                if rule.used is not None:
                    rule.used(count.before + 1)
                return self._answer(rule, request, delay_s, count.before)
            return self._last(last, later, request, delay_s)

        counters = tuple(
            Counter(rule.counters.key(request), limit)
            for rule, limit in zip(rules, limits, strict=True)
            if rule.counters is not None
        )
        return self._ask(Counting(counters), settle)

    def _ask(self, question: Question, settle: Callable[[Any], Decision]) -> Decision:
        """What becomes of the answer: at once where the store is memory, or else when there is one."""
        if self.store.threads:
            return StoreNeeded(question, settle)
        return settle(question.put_to(self.store))

    def is_expired(self, rule: Candidate) -> bool:
        return rule.expires_at is not None and self._clock() >= rule.expires_at

    def _repeated(self, outer: Snapshot) -> frozenset[CompiledRule]:
        """The rules that the outer snapshot has, too, by the same name; compared once."""
        compared = self._compared  # read once: another thread may compare with another
        if compared[0] is not outer:
            theirs = {entry.name: entry.rule for entry in outer._declared}
            same = [
                rule
                for rule, entry in zip(self.rules, self._declared, strict=True)
                if entry.name in theirs and theirs[entry.name] == entry.rule
            ]
            compared = self._compared = outer, frozenset(same)
        return compared[1]

    def named(self, name: str) -> CompiledRule | None:
        """The rule of this name, as it was declared or as X-Mock-Rule shows it."""
        return self._by_name.get(name) or self._by_name.get(unquote(name))

    def _triggered(
        self, trigger: Trigger, request: Request, triggers: Triggers, resume: BodyNeeded | None
    ) -> Decision:
        if trigger.choices:
            status = draw(trigger.choices, self._chance())
            if status is None:
                return Passthrough(trigger.delay_s or 0.0)
            return self._reply_to_trigger(status, triggers).to(request.method).after(trigger.delay_s or 0.0)
        name = (trigger.name or "").strip(" \t")
        rule = self.named(name)
        if rule is not None and rule.on and not self.is_expired(rule):
            if (rule.reads_body or rule.task is not None) and resume is None:
                return BodyNeeded(0)
            if rule.counters is not None and rule.sequence.changes:
                # Its replies go on in turn; `times` alone is put aside.
                return self._counted(request, trigger.delay_s, (rule,), (None,), None)
            return self._answer(rule, request, trigger.delay_s)
        if rule is None:
            reason = f"no rule has this name{did_you_mean(name, self._by_name)}"
        else:
            reason = "this rule has expired" if rule.on else "this rule is off"
        return triggers.refusal(triggers.fields.name, name, reason).to(request.method)

    def _reply_to_trigger(self, status: int, triggers: Triggers) -> Response:
        """At most 400 statuses can be asked for, so that each is built once and kept."""
        reply = self._replies_to_triggers.get(status)
        if reply is None:
            reply = build_reply(status, rule=RULE_NAME, vary=triggers.vary)
            self._replies_to_triggers[status] = reply
        return reply
