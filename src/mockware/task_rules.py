"""A rule with a task, compiled: what it says when it accepts a request, and of what became of that.

Law: a request comes in, a decision goes out, and what a store would know is asked for in one question at a
time. What an id says is asked of nobody. Whatever the store has lost, or a clock has overtaken, the answer
is one that the dialect knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from .callers import CounterKeys
from .captured import Captured
from .conditions import Difference
from .decisions import PASSTHROUGH, Decision, Run
from .deliveries import Delivery
from .dialect import Fields, Kind
from .durations import MAX_DELAY_S
from .messages import Request, Response
from .preferences import read_preferences
from .questions import MAX_RECORD_BYTES, Reading, Record, Writing
from .replies import build_problem
from .rules import Rule
from .task_answers import Asked, Known, Means, TaskAnswers, ended_in_time
from .task_hooks import TaskHooks
from .task_lists import TaskList
from .task_records import CANCELED, Ended, Hook, accepted_bytes, moment_bytes, moment_from
from .task_table import Failure, TaskTable, Webhook
from .tasks import Phase, State, Task, state_of
from .template_values import TemplateError

# Each of these names one request, whoever sends it again (draft-ietf-httpapi-idempotency-key-header,
# Azure's guidelines for long-running operations, OASIS Repeatable Requests 1.0).
_KEYS = ("idempotency-key", "operation-id", "repeatability-request-id")
MAX_KEY_CHARS = 255
_WAIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")  # google.protobuf.Duration in JSON
_MOMENT_S = 0.001  # the shortest duration that an id can say


class TaskRule:
    """The task of one rule: it accepts requests, and tells of what became of them.

    `answers` is what it says; `hooks` tells of the ends, and `list` has all tasks, where there are such.
    """

    def __init__(
        self,
        name: str,
        rule: Rule,
        table: TaskTable,
        *,
        service: str = "",
        key: str = "",
        secret: str = "",
        trusts_forwarded: bool = False,
    ) -> None:
        self.table = table
        self.durations = table.durations
        self.answers = TaskAnswers(
            name, rule, table, service=service, key=key, trusts_forwarded=trusts_forwarded
        )
        webhook = table.webhook if isinstance(table.webhook, Webhook) else None
        self.hooks = TaskHooks(self.answers, webhook, secret=secret) if webhook else None
        kinds = {endpoint.kind for endpoint in self.answers.dialect.endpoints}
        self.list = TaskList(self.answers, service=service) if "list" in kinds else None
        self._forgets = "forget" in kinds or (table.cancel and self.answers.dialect.forgets_ended)
        self._probability = table.failure.probability if isinstance(table.failure, Failure) else 0.0
        self._asks_for_async = table.asks_for_async
        self._retention_s = table.retention_s
        self._timeout_s = table.timeout_s
        self._caller = CounterKeys(rule.caller, rule=name, service=service)

    def difference(self, request: Request) -> Difference | None:
        """What keeps a request from being accepted, besides all that keeps any rule from matching."""
        if (version := request.header("sec-websocket-version")) is not None:
            # RFC 6455 section 4.1, and RFC 8441 section 5: no answer to a handshake tells of a task.
            return Difference("headers.sec-websocket-version", "no handshake of a websocket", version)
        if self._asks_for_async and not read_preferences(request.header("prefer")).respond_async:
            return Difference("headers.prefer", "respond-async", request.header("prefer") or "nothing")
        return None

    # The request that is accepted

    def accept(self, request: Request, means: Means, delay_s: float = 0.0) -> Decision:
        """Makes a task of the request, or finds the one that was made of it before; after `delay_s`."""
        texts = self.answers.template.texts(request.path)
        if texts is None:  # X-Mock-Name asks for rules on any path
            texts = {}
            if set(self.answers.monitor.names) - {"task_id"}:
                detail = f"the monitor of this task is made of the parameters of {self.answers.template.text}"
                return self.answers.problem(400, "BadRequest", detail, request)
        asked = Asked(request, texts, means, delay_s)
        if self.answers.runs and request.body is None:
            detail = "more than 1 MiB, which is more than is kept for the app in the background"
            return self.answers.problem(413, "ContentTooLarge", detail, request)
        field, key = next(((name, value) for name in _KEYS if (value := request.header(name))), ("", ""))
        if len(key) > MAX_KEY_CHARS:
            return self.answers.problem(
                400, "InvalidKey", f"{field}: at most {MAX_KEY_CHARS} characters", request
            )
        task = self.answers.ids.new(
            accepted_at=means.clock(),
            duration_s=self._timeout_s if self.answers.runs else self.durations.draw(means.chance),
            fails=bool(self._probability) and means.chance() < self._probability,
            method=request.method,
            chance=means.chance,
        )
        try:
            hook = self.hooks.hook(task, asked) if self.hooks else None
        except TemplateError as error:
            return self.answers.problem(
                500, "TemplateFailed", f"the template of the webhook's `url`: {error}", request
            )
        ttl_s = task.duration_s + self._retention_s
        records: dict[str, Record] = {}
        fingerprint = ""
        caller = self._caller.key(request)
        # Where the same URL is asked again, it is the key.
        if key and not self.answers.dialect.same_url:
            # Of a body that is too long to be looked at, its length has to do.
            length = "" if request.body is not None else request.header("content-length") or "unknown"
            words = ("", request.method, request.path, request.query_string, length)
            fingerprint = self.answers.key(*words, body=request.body)
            said = f"{task.id} {fingerprint}".encode()
            records["named"] = Record(self.answers.key("k", caller, field, key), said, ttl_s, only_new=True)
        if self.answers.dialect.same_url:
            method = "GET" if request.method == "HEAD" else request.method
            key_of_url = self.answers.key("u", caller, method, request.path, request.query_string)
            records["asked"] = Record(key_of_url, task.id.encode(), ttl_s, only_new=True)
        if request.method in self.answers.dialect.originals:
            records["original"] = Record(self._key_of_original(request), task.id.encode(), ttl_s)
        if self.answers.reads or self.list:
            shelf = self.list.shelf if self.list else ""
            said = accepted_bytes(request, self.answers.reads)
            if len(said) > MAX_RECORD_BYTES:
                detail = f"more than the {MAX_RECORD_BYTES} bytes that are kept of a request for templates"
                return self.answers.problem(413, "ContentTooLarge", detail, request)
            records["accepted"] = Record("t." + task.id, said, ttl_s, shelf=shelf)
        deliveries: list[Delivery] = []
        if hook is not None:
            records["hook"] = Record("h." + task.id, hook.to_bytes(), ttl_s)
            deliveries = self._told_later(hook, task.ends_at)
            records |= {delivery.key: delivery.record(ttl_s) for delivery in deliveries}
            if self.answers.runs:
                # Not for this process to send: others find them when it has died and nobody tells of an end.
                deliveries = []

        def settle(before: Sequence[bytes | None]) -> Decision:
            found = dict(zip(records, before, strict=True))
            if (named := found.get("named")) is not None:
                text, _, of_request = named.decode("ascii", "replace").partition(" ")
                if of_request != fingerprint:
                    detail = f"another request came with this {field} before"
                    return self.answers.problem(self.answers.dialect.reused, "KeyReused", detail, request)
                if (earlier := self.answers.ids.read(text)) is not None:
                    return self._accepted_before(earlier, asked)
            if (waiting := found.get("asked")) is not None:
                earlier = self.answers.ids.read(waiting.decode("ascii", "replace"))
                if earlier is not None:
                    return self.tell("monitor", earlier, asked)
            means.deliver(deliveries)
            decision = self._accepted(task, asked)
            if not self.answers.runs or not isinstance(decision, Response):
                return decision
            detail = "too many requests are worked on in the background already"
            retry = [("Retry-After", "1")]
            too_many = build_problem(503, detail, rule=self.answers.name, headers=retry).to(request.method)
            # Whoever heeds that and comes again, with the same key or to the same URL, is to find nothing.
            taken = tuple(record._replace(value=None, only_new=False) for record in records.values())

            def refuse() -> Decision:
                return means.ask(Writing(taken), lambda _: too_many) if taken else too_many

            return Run(decision, refuse, self._timeout_s, partial(self._finish, task, hook, means))

        return means.ask(Writing(tuple(records.values())), settle) if records else settle(())

    def _accepted_before(self, task: Task, asked: Asked) -> Decision:
        """The same again to whoever names the request by the same key; what was canceled has no outcome."""
        if not self.table.cancel:
            return self._accepted(task, asked)
        return asked.means.ask(
            Reading(("c." + task.id,)),
            lambda values: self._accepted(task, asked, is_canceled=values[0] is not None),
        )

    def _accepted(self, task: Task, asked: Asked, *, is_canceled: bool = False) -> Response:
        """What is said at first."""
        request = asked.request
        preferences = read_preferences(request.header("prefer"))
        # RFC 7240 section 2: "Vary" where the preference changes the answer.
        applied: Fields = (("Vary", "Prefer"),)
        left_s = max(0.0, task.ends_at - asked.means.clock())
        if (
            preferences.wait_s is not None
            and not self.answers.runs
            and not is_canceled
            and left_s <= min(preferences.wait_s, MAX_DELAY_S)
        ):
            # Section 4.3: whoever would wait that long need not be told to come back.
            known = Known(accepted=accepted_bytes(request, self.answers.reads))
            applied = (*applied, ("Preference-Applied", f"wait={preferences.wait_s}"))
            state = state_of(task, task.ends_at, queue_time_s=self.answers.queue_time_s)
            delay_s = min(left_s + asked.delay_s, MAX_DELAY_S)
            return self.answers.told(self.answers.dialect.finished, task, state, known, asked, applied).after(
                delay_s
            )
        if preferences.respond_async:
            applied = (*applied, ("Preference-Applied", "respond-async"))
        # Accepted, not completed: even what takes no time is told of as it was before.
        begun = task._replace(duration_s=max(task.duration_s, _MOMENT_S))
        state = self.answers.state(begun, task.accepted_at, Known())
        return self.answers.told(self.answers.dialect.accepted, task, state, Known(), asked, applied)

    def _finish(self, task: Task, hook: Hook | None, means: Means, captured: Captured) -> Decision:
        """What is kept of the app's response; one that comes after a cancellation is not."""
        now = means.clock()
        ttl_s = max(0.0, task.ends_at - now) + self._retention_s
        record = Record("r." + task.id, Ended(now, captured).to_bytes(), ttl_s, only_new=True)
        deliveries = self._told_later(hook, now) if hook else []

        def settle(before: Sequence[bytes | None]) -> Decision:
            if before[0] is None:
                means.deliver(deliveries)
            return PASSTHROUGH  # nobody waits for what comes of it

        hooks = (delivery.record(ttl_s) for delivery in deliveries)
        return means.ask(Writing((record, *self._withdrawn(hook, task), *hooks)), settle)

    # The requests that ask about it

    def tell(self, kind: Kind, task: Task, asked: Asked) -> Decision:
        """What there is to say of a task, once the store has said what it knows."""
        keys: dict[str, str] = {}
        if self.answers.runs:
            keys["ended"] = "r." + task.id
        elif self.table.cancel:
            keys["canceled"] = "c." + task.id
        if self.answers.reads and kind != "cancel":
            keys["accepted"] = "t." + task.id
        if self.hooks and kind == "cancel":
            keys["hook"] = "h." + task.id
        if self._forgets:
            keys["forgotten"] = "d." + task.id

        def settle(values: Sequence[bytes | None]) -> Decision:
            found = dict(zip(keys, values, strict=True))
            known = Known(
                moment_from(found.get("canceled")),
                ended_in_time(task, found.get("ended")),
                found.get("accepted"),
                Hook.from_bytes(found.get("hook")),
                found.get("forgotten") is not None,
            )
            return self._tell(kind, task, known, asked)

        return asked.means.ask(Reading(tuple(keys.values())), settle) if keys else settle(())

    def _tell(self, kind: Kind, task: Task, known: Known, asked: Asked) -> Decision:
        now = asked.means.clock()
        state = self.answers.state(task, now, known)
        ended_at = task.ends_at if state.ended_at is None else state.ended_at
        if known.is_forgotten or now >= ended_at + self._retention_s:
            # At the path that accepted it, there is whatever else is there.
            return asked.means.others() if kind == "original" else self.answers.unknown(asked.request)
        match kind:
            case "cancel":
                return self._cancel(task, state, known, asked)
            case "forget":
                return self._forget(task, state, asked)
            case "wait" if not state.has_ended:
                # Told already as it will be then: who cancels meanwhile is not heard by whoever waits. Of an
                # app nobody knows what will be.
                wait_s = min(task.ends_at - now, _wait_s(asked.request), MAX_DELAY_S)
                later = state if self.answers.runs else self.answers.state(task, now + wait_s, known)
                return self.answers.told(self.answers.dialect.monitor, task, later, known, asked).after(
                    wait_s
                )
            case "result" if self.answers.dialect.result:
                return self.answers.told(self.answers.dialect.result, task, state, known, asked)
            case "original" if self.answers.dialect.original:
                return self.answers.told(self.answers.dialect.original, task, state, known, asked)
        return self.answers.told(self.answers.dialect.monitor, task, state, known, asked)

    def _cancel(self, task: Task, state: State, known: Known, asked: Asked) -> Decision:
        if state.has_ended:
            if state.phase is Phase.CANCELED or self.answers.dialect.cancels_silently:
                return self.answers.told(self.answers.dialect.canceled, task, state, known, asked)
            if self.answers.dialect.forgets_ended:
                return self._forget(task, state._replace(phase=Phase.CANCELED), asked)
            detail = f"the task has ended already: {self.answers.dialect.words[state.phase]}"
            return self.answers.problem(409, "OperationNotCancelable", detail, asked.request)
        now = asked.means.clock()
        ttl_s = max(0.0, task.ends_at - now) + self._retention_s
        ended = Ended(now, CANCELED)
        if self.answers.runs:
            known = known._replace(ended=ended)
            record = Record("r." + task.id, ended.to_bytes(), ttl_s, only_new=True)
        else:
            known = known._replace(canceled_at=now)
            record = Record("c." + task.id, moment_bytes(now), ttl_s, only_new=True)
        deliveries = self._told_later(known.hook._replace(event="canceled"), now) if known.hook else []

        def settle(before: Sequence[bytes | None]) -> Decision:
            if before[0] is not None:  # somebody was faster: the app, or another who cancels
                return self.tell("monitor", task, asked)
            asked.means.deliver(deliveries)
            return self.answers.told(
                self.answers.dialect.canceled, task, self.answers.state(task, now, known), known, asked
            )

        hooks = (delivery.record(ttl_s) for delivery in deliveries)
        return asked.means.ask(Writing((record, *self._withdrawn(known.hook, task), *hooks)), settle)

    def _forget(self, task: Task, state: State, asked: Asked) -> Decision:
        ttl_s = max(0.0, task.ends_at - asked.means.clock()) + self._retention_s
        forgotten = Record("d." + task.id, b"1", ttl_s)
        taken = Record("t." + task.id, None, 0.0, shelf=self.list.shelf if self.list else "")

        def settle(_: object) -> Decision:
            return self.answers.told(self.answers.dialect.canceled, task, state, Known(), asked)

        return asked.means.ask(Writing((forgotten, taken)), settle)

    def original(self, asked: Asked) -> Decision:
        """What there is at the path that accepted a task: what becomes of it, or whatever else is there."""

        def settle(values: Sequence[bytes | None]) -> Decision:
            task = self.answers.ids.read(values[0].decode("ascii", "replace")) if values[0] else None
            return asked.means.others() if task is None else self.tell("original", task, asked)

        return asked.means.ask(Reading((self._key_of_original(asked.request),)), settle)

    def _key_of_original(self, request: Request) -> str:
        return self.answers.key("o", self._caller.key(request), request.path)

    def _withdrawn(self, hook: Hook | None, task: Task) -> list[Record]:
        """Takes back what others would have told of a run in the place of this process."""
        if hook is None or not self.answers.runs:
            return []
        return [delivery.withdrawn for delivery in self._told_later(hook, task.ends_at)]

    def _told_later(self, hook: Hook, at: float) -> list[Delivery]:
        return self.hooks.deliveries(hook, at) if self.hooks else []


def _wait_s(request: Request) -> float:
    """How long `:wait` may take (google.longrunning.WaitOperationRequest); as long as anything if unsaid."""
    said = request.json if isinstance(request.json, dict) else {}
    timeout = said.get("timeout") or (request.query.get("timeout") or [""])[-1]
    found = _WAIT.fullmatch(timeout) if isinstance(timeout, str) else None
    return float(found[1]) if found else MAX_DELAY_S
