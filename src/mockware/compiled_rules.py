"""A rule with everything computed that does not depend on the request, and what is found for a path.

Law: chance and the clock are asked of whoever calls, and no store is: a count comes in as a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from .answers import Changes
from .callers import THE_RULE, CounterKeys, Probability
from .conditions import Difference
from .configuration import Configuration, Entry
from .decisions import PASSTHROUGH, Passthrough
from .durations import MAX_DELAY_S, NO_DELAY, Delay, parse_rule_delay
from .messages import Request, Response
from .patches import Patch
from .paths import PathTemplate
from .replies import server_timing
from .sequences import Sequence
from .task_endpoints import TaskEndpoint, endpoints_of
from .task_rules import TaskRule
from .task_table import TaskTable, Webhook
from .templated import TemplatedReply

# The methods for which a rule without a method has its answer ready; OPTIONS may be a preflight, and any
# other is looked at when it comes.
_COMMON_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class CompiledRule:
    """A rule with everything computed that does not depend on the request.

    `at_once` has the response for each method where nothing else has to be asked; for a rule with a
    condition, a delay, a chance, a count, a template, a fault or an end it is empty, and `difference` and
    `answer` decide. `counters` names the counters of a rule to which it matters how often it has answered,
    and `limit` is how often it may.
    """

    gives_way = False  # to whatever else is there, once it has been asked

    __slots__ = (
        "at_once",
        "counters",
        "delay",
        "delay_after",
        "expires_at",
        "limit",
        "name",
        "needs_body",
        "on",
        "patch",
        "probability",
        "reads_body",
        "rule",
        "sequence",
        "steps",
        "task",
        "used",
    )

    def __init__(self, entry: Entry, configuration: Configuration = Configuration()) -> None:  # noqa: B008
        rule = entry.rule
        self.name = entry.name
        self.rule = rule
        self.on = entry.on
        self.steps = tuple((step.compiled(entry.name), step.delays) for step in rule.steps)
        self.sequence: Sequence = rule.sequence
        timing = (server_timing(entry.name),) if configuration.server_timing else ()
        self.patch: Patch | None = (
            rule.patch.compiled(entry.name, timing) if isinstance(rule.patch, Changes) else None
        )
        self.delay: Delay = rule.delays
        self.delay_after: Delay = parse_rule_delay(rule.delay_after)
        self.probability: Probability | None = rule.chances
        ends = (rule.expires.timestamp() if rule.expires else None, entry.until)
        self.expires_at: float | None = min((end for end in ends if end is not None), default=None)
        self.limit: int | None = rule.times
        self.counters: CounterKeys | None = None
        if rule.counts:
            self.counters = CounterKeys(rule.caller, rule=entry.name, service=configuration.service)
        self.used: Callable[[int], None] | None = None
        if entry.budget is not None:
            self.counters = CounterKeys(THE_RULE, rule=entry.budget.key, service=configuration.service)
            self.limit = entry.budget.uses
            self.used = entry.budget.used
        self.task: TaskRule | None = None
        if isinstance(rule.task, TaskTable):
            self.task = _task_rule(entry, rule.task, configuration)
        self.reads_body = any(
            isinstance(reply, TemplatedReply) and reply.reads_body for reply, _ in self.steps
        )
        # Of a task, the body is what tells two requests apart that have one idempotency key.
        self.needs_body = (
            self.reads_body
            or self.task is not None
            or (rule.conditions is not None and rule.conditions.needs_body)
        )
        self.at_once: Mapping[str, Response] = {}
        asks_nothing = (
            rule.conditions is None
            and self.expires_at is None
            and self.probability is None
            and self.counters is None
        )
        if asks_nothing and len(self.steps) == 1 and not configuration.heeds_more:
            response, delay = self.steps[0]
            if isinstance(response, Response) and response.is_plain and delay == NO_DELAY:
                response = response.beside(timing)
                self.at_once = {
                    method: response.head if method == "HEAD" else response
                    for method in rule.matched.methods or _COMMON_METHODS
                }

    def difference(self, request: Request) -> Difference | None:
        """What keeps the rule from matching, its path and the request's body aside."""
        if difference := self.rule.matched.method_difference(request):
            return difference
        if self.task is not None and (difference := self.task.difference(request)):
            return difference
        return None if self.rule.conditions is None else self.rule.conditions.difference(request)

    def mocks(self, coming: Request) -> bool | None:
        """Whether a request would be mocked of which a preflight tells; None: others decide."""
        rule = self.rule
        conditions = rule.conditions
        if rule.matched.method_difference(coming) or (
            conditions and conditions.of_the_url.difference(coming)
        ):
            return None
        if self.probability is not None and not self.probability.share:
            return None
        if self.steps or self.task is not None:
            return True
        chance = self.probability is not None or self.counters is not None
        return None if chance or (conditions and not conditions.tell_by_the_url) else False

    def body_difference(self, request: Request) -> Difference | None:
        """What in the body keeps the rule from matching."""
        conditions = self.rule.conditions
        return None if conditions is None else conditions.body_difference(request)

    def answer(
        self,
        request: Request,
        delay_s: float | None,
        before: int,
        *,
        chance: Callable[[], float],
        clock: Callable[[], float],
    ) -> Response | Passthrough:
        """The rule's reply or passthrough, after `delay_s` or else the delay that it declares.

        `before` is how often it has answered already.
        """
        if not self.steps:
            if delay_s is None:
                delay_s = self.delay.draw(chance)
            # Both together stay below what anybody waits here.
            delay_after_s = min(self.delay_after.draw(chance), MAX_DELAY_S - delay_s)
            return Passthrough(delay_s, delay_after_s, self.patch, self.name)
        place = self.sequence.step(before)
        if place is None:
            return Passthrough(delay_s) if delay_s else PASSTHROUGH
        response, delay = self.steps[place]
        if isinstance(response, TemplatedReply):
            parameters = self.rule.matched.template.parameters(request.path)
            response = response.rendered(request, parameters, now=clock(), chance=chance)
        return response.to(request.method).after(delay.draw(chance) if delay_s is None else delay_s)


# What is found for a path: rules, and the places where their tasks are asked about.
Candidate: TypeAlias = CompiledRule | TaskEndpoint


def _task_rule(entry: Entry, table: TaskTable, configuration: Configuration) -> TaskRule:
    secret_env = table.webhook.secret_env if isinstance(table.webhook, Webhook) else None
    return TaskRule(
        entry.name,
        entry.rule,
        table,
        service=configuration.service,
        key=configuration.key,
        secret=configuration.secrets.get(secret_env or "", ""),
        trusts_forwarded=configuration.trusts_forwarded,
    )


def places_of(rule: CompiledRule) -> Iterator[tuple[PathTemplate, Candidate]]:
    """The rule in its place, and right behind it where its tasks are asked about."""
    yield rule.rule.matched.template, rule
    if rule.task is not None:
        methods = rule.rule.matched.methods
        for endpoint in endpoints_of(rule.task, on=rule.on, expires_at=None, methods=methods):
            yield endpoint.template, endpoint
