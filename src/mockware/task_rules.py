"""A rule with a task, compiled: what it says when it accepts a request, and of what became of that.

Law: a request comes in, a decision goes out, and what a store would know is asked for in one question at a
time. What an id says is asked of nobody. Whatever the store has lost, or a clock has overtaken, the answer
is one that the dialect knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import quote

from .callers import CounterKeys
from .captured import Captured
from .conditions import Difference
from .deliveries import Delivery
from .dialect import Dialect, Fields, Kind, Made, Told, View
from .dialects import DIALECTS
from .durations import MAX_DELAY_S
from .google_dialect import google_operation
from .messages import PASSTHROUGH, Decision, Request, Response, Run
from .origins import origin_of, prefix_of
from .paths import PATH_CHARS, PathTemplate
from .preferences import read_preferences
from .questions import MAX_RECORD_BYTES, Listing, Question, Reading, Record, Writing
from .replies import Content, build_problem, build_reply, check_header
from .rules import Rule
from .task_ids import TaskIds
from .task_records import (
    CANCELED,
    Ended,
    Hook,
    accepted_bytes,
    accepted_from,
    moment_bytes,
    moment_from,
)
from .task_table import ID, Failure, Result, TaskTable, Webhook
from .tasks import Phase, State, Task, state_of, state_of_run
from .template_values import Budget, TemplateError, variables_for
from .templates import compile_text
from .webhooks import Message

# Each of these names one request, whoever sends it again (draft-ietf-httpapi-idempotency-key-header,
# Azure's guidelines for long-running operations, OASIS Repeatable Requests 1.0).
_KEYS = ("idempotency-key", "operation-id", "repeatability-request-id")
MAX_KEY_CHARS = 255
# A page of google's list, and the most that may be asked for; AIP-158 leaves both to the service.
_PAGE, _MAX_PAGE = 50, 200
_WAIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")  # google.protobuf.Duration in JSON
# The event that is told too late comes so long after the end.
_AFTER_THE_END_S = 1.0
_MOMENT_S = 0.001  # the shortest duration that an id can say


class Means(NamedTuple):
    """What the engine lends: the store, the clock, the die, the courier, and what the rules that are `later`
    in the file have to say."""

    ask: Callable[[Question, Callable[[Any], Decision]], Decision]
    clock: Callable[[], float]
    chance: Callable[[], float]
    deliver: Callable[[Sequence[Delivery]], None]
    others: Callable[[], Decision]
    later: Sequence[object] = ()


class Asked(NamedTuple):
    """A request about a task, or the one that makes it: `texts` are the parameters of its path."""

    request: Request
    texts: Mapping[str, str]
    means: Means
    delay_s: float = 0.0


class Known(NamedTuple):
    """What the store has of a task besides its id; all of it may be lost."""

    canceled_at: float | None = None
    ended: Ended | None = None
    accepted: bytes | None = None
    hook: Hook | None = None
    is_forgotten: bool = False


class TaskRule:
    """The task of one rule: it accepts requests, and tells of what became of them."""

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
        self.name = name
        self.table = table
        self.dialect: Dialect = DIALECTS[table.dialect]
        self.template: PathTemplate = rule.matched.template
        self.monitor = PathTemplate(rule.monitor)
        self.ids = TaskIds(rule=name, service=service, key=key)
        self.runs = table.run is not None
        self.webhook = table.webhook if isinstance(table.webhook, Webhook) else None
        self.durations = table.durations
        self._asks_for_async = table.asks_for_async
        self._queue_time_s = table.queue_time_s
        self._retention_s = table.retention_s
        self._timeout_s = table.timeout_s
        self._waiting = _waiting(table.retry_after_s)
        self._trusts_forwarded = trusts_forwarded
        self._secret = secret
        result = table.result if isinstance(table.result, Result) else Result()
        failure = table.failure if isinstance(table.failure, Failure) else Failure()
        self._probability = failure.probability
        self._outcomes = {Phase.SUCCEEDED: result.compiled(name), Phase.FAILED: failure.compiled(name)}
        self._reads = frozenset().union(*(outcome.reads_accepted for outcome in self._outcomes.values()))
        self._hook_url = compile_text(self.webhook.url) if self.webhook else None
        self._lists = any(endpoint.kind == "list" for endpoint in self.dialect.endpoints)
        self._caller = CounterKeys(rule.caller, rule=name, service=service)
        self._salt = f"{service}\0{name}"
        self._shelf = self._key("s")
        # What polls say is heard only where a template speaks of it, and how long one would wait.
        self.reads_polls = any(outcome.reads_body for outcome in self._outcomes.values())

    @property
    def reads_accepted(self) -> bool:
        """Whether its outcome speaks of the request that was accepted."""
        return bool(self._reads)

    def difference(self, request: Request) -> Difference | None:
        """What keeps a request from being accepted, besides all that keeps any rule from matching."""
        if self._asks_for_async and not read_preferences(request.header("prefer")).respond_async:
            return Difference("headers.prefer", "respond-async", request.header("prefer") or "nothing")
        return None

    # The request that is accepted

    def accept(self, request: Request, means: Means, delay_s: float = 0.0) -> Decision:
        """Makes a task of the request, or finds the one that was made of it before; after `delay_s`."""
        texts = self.template.texts(request.path)
        if texts is None:  # X-Mock-Name asks for rules on any path
            texts = {}
            if set(self.monitor.names) - {"task_id"}:
                detail = f"the monitor of this task is made of the parameters of {self.template.text}"
                return self._problem(400, "BadRequest", detail, request)
        asked = Asked(request, texts, means, delay_s)
        if self.runs and request.body is None:
            detail = "more than 1 MiB, which is more than is kept for the app in the background"
            return self._problem(413, "ContentTooLarge", detail, request)
        field, key = next(((name, value) for name in _KEYS if (value := request.header(name))), ("", ""))
        if len(key) > MAX_KEY_CHARS:
            return self._problem(400, "InvalidKey", f"{field}: at most {MAX_KEY_CHARS} characters", request)
        task = self.ids.new(
            accepted_at=means.clock(),
            duration_s=self._timeout_s if self.runs else self.durations.draw(means.chance),
            fails=bool(self._probability) and means.chance() < self._probability,
            method=request.method,
            chance=means.chance,
        )
        try:
            hook = self._hook(task, asked)
        except TemplateError as error:
            return self._problem(
                500, "TemplateFailed", f"the template of the webhook's `url`: {error}", request
            )
        ttl_s = task.duration_s + self._retention_s
        records: dict[str, Record] = {}
        fingerprint = ""
        # Where the same URL is asked again, it is the key.
        if key and not self.dialect.same_url:
            fingerprint = self._key("", request.method, request.path, request.query_string, body=request.body)
            said = f"{task.id} {fingerprint}".encode()
            records["named"] = Record(self._key("k", field, key), said, ttl_s, only_new=True)
        if self.dialect.same_url:
            key_of_url = self._key("u", self._caller.key(request), request.path, request.query_string)
            records["asked"] = Record(key_of_url, task.id.encode(), ttl_s, only_new=True)
        if request.method in self.dialect.originals:
            records["original"] = Record(self._key("o", request.path), task.id.encode(), ttl_s)
        if self._reads or self._lists:
            shelf = self._shelf if self._lists else ""
            said = accepted_bytes(request, self._reads)
            if len(said) > MAX_RECORD_BYTES:
                detail = f"more than the {MAX_RECORD_BYTES} bytes that are kept of a request for templates"
                return self._problem(413, "ContentTooLarge", detail, request)
            records["accepted"] = Record("t." + task.id, said, ttl_s, shelf=shelf)
        deliveries: list[Delivery] = []
        if hook is not None:
            records["hook"] = Record("h." + task.id, hook.to_bytes(), ttl_s)
            deliveries = [] if self.runs else self._deliveries(hook, task.ends_at)
            records |= {delivery.key: delivery.record(ttl_s) for delivery in deliveries}

        def settle(before: Sequence[bytes | None]) -> Decision:
            found = dict(zip(records, before, strict=True))
            if (named := found.get("named")) is not None:
                text, _, of_request = named.decode("ascii", "replace").partition(" ")
                if of_request != fingerprint:
                    detail = f"another request came with this {field} before"
                    return self._problem(self.dialect.reused, "KeyReused", detail, request)
                if (earlier := self.ids.read(text)) is not None:
                    return self._accepted(earlier, asked)
            if (waiting := found.get("asked")) is not None:
                earlier = self.ids.read(waiting.decode("ascii", "replace"))
                if earlier is not None:
                    return self.tell("monitor", earlier, asked)
            means.deliver(deliveries)
            decision = self._accepted(task, asked)
            if not self.runs or not isinstance(decision, Response):
                return decision
            detail = "too many requests are worked on in the background already"
            too_many = build_problem(503, detail, rule=self.name, headers=[("Retry-After", "1")])
            return Run(decision, too_many, self._timeout_s, partial(self._finish, task, hook, means))

        return means.ask(Writing(tuple(records.values())), settle) if records else settle(())

    def _accepted(self, task: Task, asked: Asked) -> Response:
        """What is said at first; the same again to whoever names the request by the same key."""
        request = asked.request
        preferences = read_preferences(request.header("prefer"))
        # RFC 7240 section 2: "Vary" where the preference changes the answer.
        applied: Fields = (("Vary", "Prefer"),)
        left_s = max(0.0, task.ends_at - asked.means.clock())
        if (
            preferences.wait_s is not None
            and not self.runs
            and left_s <= min(preferences.wait_s, MAX_DELAY_S)
        ):
            # Section 4.3: whoever would wait that long need not be told to come back.
            known = Known(accepted=accepted_bytes(request, self._reads))
            applied = (*applied, ("Preference-Applied", f"wait={preferences.wait_s}"))
            state = state_of(task, task.ends_at, queue_time_s=self._queue_time_s)
            delay_s = min(left_s + asked.delay_s, MAX_DELAY_S)
            return self._told(self.dialect.finished, task, state, known, asked, applied).after(delay_s)
        if preferences.respond_async:
            applied = (*applied, ("Preference-Applied", "respond-async"))
        # Accepted, not completed: even what takes no time is told of as it was before.
        begun = task._replace(duration_s=max(task.duration_s, _MOMENT_S))
        state = self._state(begun, task.accepted_at, Known())
        return self._told(self.dialect.accepted, task, state, Known(), asked, applied)

    def _finish(self, task: Task, hook: Hook | None, means: Means, captured: Captured) -> Decision:
        """What is kept of the app's response; one that comes after a cancellation is not."""
        now = means.clock()
        ttl_s = max(0.0, task.ends_at - now) + self._retention_s
        record = Record("r." + task.id, Ended(now, captured).to_bytes(), ttl_s, only_new=True)
        deliveries = self._deliveries(hook, now) if hook else []

        def settle(before: Sequence[bytes | None]) -> Decision:
            if before[0] is None:
                means.deliver(deliveries)
            return PASSTHROUGH  # nobody waits for what comes of it

        return means.ask(Writing((record, *(delivery.record(ttl_s) for delivery in deliveries))), settle)

    # The requests that ask about it

    def tell(self, kind: Kind, task: Task, asked: Asked) -> Decision:
        """What there is to say of a task, once the store has said what it knows."""
        keys: dict[str, str] = {}
        if self.runs:
            keys["ended"] = "r." + task.id
        elif self.table.cancel:
            keys["canceled"] = "c." + task.id
        if self._reads and kind != "cancel":
            keys["accepted"] = "t." + task.id
        if self.webhook and kind == "cancel":
            keys["hook"] = "h." + task.id
        if self._lists:
            keys["forgotten"] = "d." + task.id

        def settle(values: Sequence[bytes | None]) -> Decision:
            found = dict(zip(keys, values, strict=True))
            known = Known(
                moment_from(found.get("canceled")),
                _ended_in_time(task, found.get("ended")),
                found.get("accepted"),
                Hook.from_bytes(found.get("hook")),
                found.get("forgotten") is not None,
            )
            return self._tell(kind, task, known, asked)

        return asked.means.ask(Reading(tuple(keys.values())), settle) if keys else settle(())

    def _tell(self, kind: Kind, task: Task, known: Known, asked: Asked) -> Decision:
        now = asked.means.clock()
        state = self._state(task, now, known)
        ended_at = task.ends_at if state.ended_at is None else state.ended_at
        if known.is_forgotten or now >= ended_at + self._retention_s:
            # At the path that accepted it, there is whatever else is there.
            return asked.means.others() if kind == "original" else self.unknown(asked.request)
        match kind:
            case "cancel":
                return self._cancel(task, state, known, asked)
            case "forget":
                return self._forget(task, state, asked)
            case "wait" if not state.has_ended:
                # Told already as it will be then: who cancels meanwhile is not heard by whoever waits. Of an
                # app nobody knows what will be.
                wait_s = min(task.ends_at - now, _wait_s(asked.request), MAX_DELAY_S)
                later = state if self.runs else self._state(task, now + wait_s, known)
                return self._told(self.dialect.monitor, task, later, known, asked).after(wait_s)
            case "result" if self.dialect.result:
                return self._told(self.dialect.result, task, state, known, asked)
            case "original" if self.dialect.original:
                return self._told(self.dialect.original, task, state, known, asked)
        return self._told(self.dialect.monitor, task, state, known, asked)

    def _cancel(self, task: Task, state: State, known: Known, asked: Asked) -> Decision:
        if state.has_ended:
            if state.phase is Phase.CANCELED or self.dialect.cancels_silently:
                return self._told(self.dialect.canceled, task, state, known, asked)
            detail = f"the task has ended already: {self.dialect.words[state.phase]}"
            return self._problem(409, "OperationNotCancelable", detail, asked.request)
        now = asked.means.clock()
        ttl_s = max(0.0, task.ends_at - now) + self._retention_s
        ended = Ended(now, CANCELED)
        if self.runs:
            known = known._replace(ended=ended)
            record = Record("r." + task.id, ended.to_bytes(), ttl_s, only_new=True)
        else:
            known = known._replace(canceled_at=now)
            record = Record("c." + task.id, moment_bytes(now), ttl_s, only_new=True)
        deliveries = self._deliveries(known.hook._replace(event="canceled"), now) if known.hook else []

        def settle(before: Sequence[bytes | None]) -> Decision:
            if before[0] is not None:  # somebody was faster: the app, or another who cancels
                return self.tell("monitor", task, asked)
            asked.means.deliver(deliveries)
            return self._told(self.dialect.canceled, task, self._state(task, now, known), known, asked)

        hooks = (delivery.record(ttl_s) for delivery in deliveries)
        return asked.means.ask(Writing((record, *hooks)), settle)

    def _forget(self, task: Task, state: State, asked: Asked) -> Decision:
        ttl_s = max(0.0, task.ends_at - asked.means.clock()) + self._retention_s
        forgotten = Record("d." + task.id, b"1", ttl_s)
        taken = Record("t." + task.id, None, 0.0, shelf=self._shelf)

        def settle(_: object) -> Decision:
            return self._told(self.dialect.canceled, task, state, Known(), asked)

        return asked.means.ask(Writing((forgotten, taken)), settle)

    def original(self, asked: Asked) -> Decision:
        """What there is at the path that accepted a task: what becomes of it, or whatever else is there."""

        def settle(values: Sequence[bytes | None]) -> Decision:
            task = self.ids.read(values[0].decode("ascii", "replace")) if values[0] else None
            return asked.means.others() if task is None else self.tell("original", task, asked)

        return asked.means.ask(Reading((self._key("o", asked.request.path),)), settle)

    def page(self, asked: Asked) -> Decision:
        """A page of the tasks, oldest first (AIP-132, AIP-158)."""
        query = asked.request.query
        size = (query.get("pageSize") or query.get("page_size") or [""])[-1]
        if size and not re.fullmatch("[0-9]{1,6}", size):
            # AIP-158: "If the user specifies a negative value ... the API must send an INVALID_ARGUMENT"
            detail = "the size of a page is a number, 0 or above"
            return self._problem(400, "InvalidPageSize", detail, asked.request)
        limit = min(int(size or 0) or _PAGE, _MAX_PAGE)
        token = (query.get("pageToken") or query.get("page_token") or [""])[-1]
        if token and self.ids.read(token) is None:
            return self._problem(400, "InvalidPageToken", "this is the token of no page", asked.request)

        def settle(found: Sequence[tuple[str, bytes]]) -> Decision:
            listed = [(self.ids.read(key[2:]), value) for key, value in found[:limit]]
            tasks = [(task, value) for task, value in listed if task is not None]
            after = tasks[-1][0].id if len(found) > limit and tasks else ""

            def settle_canceled(canceled: Sequence[bytes | None]) -> Decision:
                return self._operations(tasks, canceled, after, asked)

            prefix = "r." if self.runs else "c."
            keys = tuple(prefix + task.id for task, _ in tasks)
            return asked.means.ask(Reading(keys), settle_canceled) if keys else settle_canceled(())

        return asked.means.ask(Listing(self._shelf, f"t.{token}", limit + 1), settle)

    def _operations(
        self,
        tasks: Sequence[tuple[Task, bytes]],
        ends: Sequence[bytes | None],
        after: str,
        asked: Asked,
    ) -> Decision:
        operations = []
        for (task, accepted), end in zip(tasks, ends, strict=True):
            known = Known(accepted=accepted)
            if self.runs:
                known = known._replace(ended=_ended_in_time(task, end))
            else:
                known = known._replace(canceled_at=moment_from(end))
            try:
                view = self._view(task, self._state(task, asked.means.clock(), known), known, asked)
            except TemplateError as error:
                return self._problem(500, "TemplateFailed", str(error), asked.request)
            operations.append(google_operation(view))
        page = {"operations": operations, "nextPageToken": after}
        return self._response(Told(200, (), Content.from_json(page)), asked.request)

    def unknown(self, request: Request) -> Response:
        """For an id that was forged, is of another rule, or is of a task that nobody remembers."""
        code = "no-such-job" if self.table.dialect == "ogc" else "NotFound"
        return self._problem(404, code, "there is no task with this id, or not any more", request)

    def not_allowed(self, methods: Sequence[str], request: Request) -> Response:
        """For a method that means nothing where a task is asked about."""
        told = self.dialect.problem(405, "MethodNotAllowed", f"allowed: {', '.join(methods) or 'none'}")
        return self._response(told, request, (("Allow", ", ".join(methods)),))

    # Webhooks

    def _hook(self, task: Task, asked: Asked) -> Hook | None:
        """What is told of the task, and where. Raises TemplateError."""
        if self._hook_url is None:
            return None
        request, means = asked.request, asked.means
        parameters = self.template.parameters(request.path)
        variables = variables_for(request, parameters, now=means.clock(), chance=means.chance)
        url = str(self._hook_url.render(variables, Budget()))
        return Hook(self.name, task.id, "ended", url, self._monitor_url(task, asked), self._target(request))

    def _deliveries(self, hook: Hook, at: float) -> list[Delivery]:
        """The messages that an event at `at` comes to: one, again, or too late."""
        if self.webhook is None:
            return []
        due_at = at + self.webhook.late_s
        events = [(hook, due_at + copy, copy) for copy in range(1 + self.webhook.duplicates)]
        if self.webhook.out_of_order:
            events.append((hook._replace(event="running"), due_at + _AFTER_THE_END_S, 0))
        return [
            Delivery.at(due_at, self._key("w", hook.task_id, hook.event, str(copy)), hook.to_bytes())
            for hook, due_at, copy in events
        ]

    def message(self, hook: Hook, values: Sequence[bytes | None], means: Means) -> Message | None:
        """What is sent, now that the store has said what is under `message_keys`; None: nothing any more."""
        task = self.ids.read(hook.task_id)
        if task is None or self.webhook is None:
            return None
        ended = _ended_in_time(task, values[0]) if self.runs else None
        known = Known(None if self.runs else moment_from(values[0]), ended, values[1])
        state = self._state(task, means.clock(), known)
        if hook.event == "running":
            state = State(Phase.RUNNING, 0, task.accepted_at, task.accepted_at)
        elif not state.has_ended or (state.phase is Phase.CANCELED) != (hook.event == "canceled"):
            return None  # what was canceled is told of by whoever did it
        request = Request("GET", hook.target)
        view = self._view(task, state, known, Asked(request, {}, means))._replace(
            monitor=hook.monitor, target=hook.target
        )
        content = self.dialect.status(view).content
        at = state.ended_at if state.ended_at is not None else task.accepted_at
        kind = "running" if hook.event == "running" else "ended"
        return Message(
            id=f"msg_{self._key('m', task.id, kind)[2:]}",
            url=hook.url,
            type=f"task.{state.phase.value}",
            data=Made(200, (), content).json,
            at=at,
            source=hook.monitor or hook.target,
            subject=task.id,
            form=self.webhook.form,
            secret=self._secret,
        )

    def message_keys(self, hook: Hook) -> tuple[str, str]:
        return ("r." if self.runs else "c.") + hook.task_id, "t." + hook.task_id

    # What all of these have in common

    def _state(self, task: Task, now: float, known: Known) -> State:
        if not self.runs:
            return state_of(task, now, queue_time_s=self._queue_time_s, canceled_at=known.canceled_at)
        ended = known.ended
        if ended is None:
            return state_of_run(task, now, ended_at=None)
        succeeded = not ended.captured.reason and ended.captured.status < 400
        return state_of_run(task, now, ended_at=ended.at, succeeded=succeeded, canceled=ended.is_canceled)

    def _view(self, task: Task, state: State, known: Known, asked: Asked) -> View:
        """What the dialect may speak of. Raises TemplateError."""
        request = asked.request
        outcome: Made | None = None
        if self.runs:
            captured = known.ended.captured if known.ended else Captured(reason="no end of it is known")
            if state.phase in self._outcomes:
                outcome = _made_by_app(captured)
        elif (reply := self._outcomes.get(state.phase)) is not None:
            means = asked.means
            variables = variables_for(request, asked.texts, now=means.clock(), chance=means.chance)
            variables.task_id = task.id
            accepted = accepted_from(known.accepted)
            if accepted is not None:
                parameters = self.template.parameters(accepted.path)
                variables.accepted = variables_for(
                    accepted, parameters, now=task.accepted_at, chance=means.chance
                )
            headers, content = reply.made(variables)
            outcome = Made(reply.status, tuple(headers), content)
        return View(
            task,
            state,
            self._monitor_url(task, asked),
            self._target(request),
            self._waiting,
            outcome,
            raw=self.runs,
            name=self._called(task),
            wraps=_wraps(request),
            version=_version(request),
        )

    def _told(
        self,
        tell: Callable[[View], Told],
        task: Task,
        state: State,
        known: Known,
        asked: Asked,
        headers: Fields = (),
    ) -> Response:
        try:
            view = self._view(task, state, known, asked)
        except TemplateError as error:
            return self._problem(500, "TemplateFailed", str(error), asked.request)
        return self._response(tell(view), asked.request, headers).after(asked.delay_s)

    def _response(self, told: Told, request: Request, headers: Fields = ()) -> Response:
        fields = (*told.headers, *headers)
        return build_reply(
            told.status, rule=self.name, headers=fields, content=told.content, completes=told.completes
        ).to(request.method)

    def _problem(self, status: int, code: str, detail: str, request: Request) -> Response:
        return self._response(self.dialect.problem(status, code, detail), request)

    def _monitor_url(self, task: Task, asked: Asked) -> str:
        if self.dialect.same_url:
            return ""
        names = set(self.monitor.names) - {"task_id"}
        if not names <= asked.texts.keys():
            return ""
        return self._url(self.monitor.filled({**asked.texts, "task_id": task.id}), asked.request)

    def _url(self, path: str, request: Request) -> str:
        trusts = self._trusts_forwarded
        origin = origin_of(request, trusts_forwarded=trusts) if self.dialect.absolute else ""
        path = prefix_of(request, trusts_forwarded=trusts) + path
        # RFC 3986 section 4.2: what begins with two slashes begins with a host, and who names that in a path?
        return f"{origin}/.{path}" if path.startswith("//") and not origin else origin + path

    def _target(self, request: Request) -> str:
        """The path that a client has asked for, as it is written in a URL."""
        prefix = prefix_of(request, trusts_forwarded=self._trusts_forwarded)
        return prefix + quote(request.path, safe=PATH_CHARS, errors="replace")

    def _called(self, task: Task) -> str:
        if self.table.dialect == "google":
            return (self.table.operation_name or ID).replace(ID, task.id)
        # What OGC calls the process that a job is of, in `/processes/NAME/execution`.
        words = [word for word in self.template.text.split("/") if word not in ("", "execution")]
        return words[-1] if words and "{" not in words[-1] else ""

    def _key(self, kind: str, *words: str, body: bytes | None = None) -> str:
        """The key of a record that is not found by a task's id; nobody reads in it whom it is about."""
        text = "\0".join((self._salt, kind, *words)).encode("utf-8", "surrogatepass")
        digest = blake2b(text + b"\0" + (body or b""), digest_size=16).hexdigest()
        return f"{kind}.{digest}"


def _waiting(retry_after_s: float | None) -> Fields:
    """When to ask again. RFC 9110 section 10.2.3 knows whole seconds only, and 0 would invite a flood."""
    if retry_after_s is None:
        return ()
    if retry_after_s < 1:
        return (("retry-after-ms", str(max(1, round(retry_after_s * 1000)))),)
    return (("Retry-After", str(ceil(retry_after_s))),)


def _wait_s(request: Request) -> float:
    """How long `:wait` may take (google.longrunning.WaitOperationRequest); as long as anything if unsaid."""
    said = request.json if isinstance(request.json, dict) else {}
    timeout = said.get("timeout") or (request.query.get("timeout") or [""])[-1]
    found = _WAIT.fullmatch(timeout) if isinstance(timeout, str) else None
    return float(found[1]) if found else MAX_DELAY_S


def _version(request: Request) -> str:
    """OData 4.01 part 1 section 8.2.7: no response has a version above the highest that the client knows."""
    return "4.0" if (request.header("odata-maxversion") or "").strip() == "4.0" else ""


def _wraps(request: Request) -> bool:
    """The same, section 11.6: "an OData-MaxVersion header with a value of 4.0 and no Accept header, or an
    Accept header that includes application/http" asks for the response in one piece."""
    accepts = request.header("accept")
    return bool(_version(request)) if accepts is None else "application/http" in accepts.lower()


def _ended_in_time(task: Task, data: bytes | None) -> Ended | None:
    """How an app's work has ended; a response that came when it was given up already is as none."""
    ended = Ended.from_bytes(data)
    if ended is None or ended.at <= task.ends_at:
        return ended
    return Ended(task.ends_at, Captured(reason=ended.captured.reason or "it took longer than it may"))


def _made_by_app(captured: Captured) -> Made:
    """A response as it was taken down, without what belonged to its own connection."""
    if captured.reason:
        error = {"code": "TaskFailed", "message": f"The app gave no response: {captured.reason}."}
        return Made(500, (), Content.from_json(error))
    headers = []
    media_type = "application/octet-stream"
    for name, value in captured.headers:
        if name.lower() == "content-type":
            media_type = value
            continue
        try:
            check_header(name, value)
        except ValueError:
            continue
        if name.lower() not in ("connection", "keep-alive", "upgrade", "trailer", "te"):
            headers.append((name, value))
    has_body = captured.status not in (204, 205, 304)
    content = Content(captured.body if has_body else b"", media_type)
    return Made(captured.status, tuple(headers), content)
