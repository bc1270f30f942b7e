"""What is said of one rule's tasks: their states, the outcomes that templates make, and the dialect's words.

Law: whatever is said of a task is said here, from its id, from what the store has of it, and from who asks.
Nothing here asks a store, or changes what becomes of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import ceil
from typing import Any, NamedTuple
from urllib.parse import quote

from .captured import Captured
from .decisions import Decision
from .deliveries import Delivery
from .dialect import Dialect, Fields, Made, Told, View
from .dialects import DIALECTS
from .messages import Request, Response
from .origins import origin_of, prefix_of
from .paths import PATH_CHARS, PathTemplate
from .questions import Question
from .replies import Content, build_reply, check_header
from .rules import Rule
from .task_ids import TaskIds
from .task_records import Ended, Hook, accepted_from
from .task_table import ID, Failure, Result, TaskTable
from .tasks import Phase, State, Task, state_of, state_of_run
from .template_values import TemplateError, variables_for


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


class TaskAnswers:
    """What one rule says of its tasks."""

    def __init__(
        self, name: str, rule: Rule, table: TaskTable, *, service: str, key: str, trusts_forwarded: bool
    ) -> None:
        self.name = name
        self.table = table
        self.dialect: Dialect = DIALECTS[table.dialect]
        self.template: PathTemplate = rule.matched.template
        self.monitor = PathTemplate(rule.monitor)
        self.list_path = self.monitor.text.partition(ID)[0].removesuffix("/")
        self.ids = TaskIds(rule=name, service=service, key=key)
        self.runs = table.run is not None
        self.queue_time_s = table.queue_time_s
        self._waiting = _waiting(table.retry_after_s)
        self._trusts_forwarded = trusts_forwarded
        self._salt = f"{service}\0{name}"
        result = table.result if isinstance(table.result, Result) else Result()
        failure = table.failure if isinstance(table.failure, Failure) else Failure()
        self._outcomes = {Phase.SUCCEEDED: result.compiled(name), Phase.FAILED: failure.compiled(name)}
        # What they speak of: members of the accepted request, and the body of the one that asks.
        self.reads = frozenset().union(*(outcome.reads_accepted for outcome in self._outcomes.values()))
        self.reads_polls = any(outcome.reads_body for outcome in self._outcomes.values())

    def state(self, task: Task, now: float, known: Known) -> State:
        if not self.runs:
            return state_of(task, now, queue_time_s=self.queue_time_s, canceled_at=known.canceled_at)
        ended = known.ended
        if ended is None:
            return state_of_run(task, now, ended_at=None)
        succeeded = not ended.captured.reason and ended.captured.status < 400
        return state_of_run(task, now, ended_at=ended.at, succeeded=succeeded, canceled=ended.is_canceled)

    def view(self, task: Task, state: State, known: Known, asked: Asked) -> View:
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
            elif reply.reads_accepted:
                raise TemplateError(
                    "the request that was accepted is not remembered here; where several workers serve the "
                    "app, MOCKWARE_STORE names the store that they share"
                )
            headers, content = reply.made(variables)
            outcome = Made(reply.status, tuple(headers), content)
        return View(
            task,
            state,
            self.monitor_url(task, asked),
            self.target(request),
            self._waiting,
            outcome,
            raw=self.runs,
            name=self._called(task),
            wraps=_wraps(request),
            version=_version(request),
        )

    def told(
        self,
        tell: Callable[[View], Told],
        task: Task,
        state: State,
        known: Known,
        asked: Asked,
        headers: Fields = (),
    ) -> Response:
        try:
            view = self.view(task, state, known, asked)
        except TemplateError as error:
            return self.problem(500, "TemplateFailed", str(error), asked.request)
        return self.response(tell(view), asked.request, headers).after(asked.delay_s)

    def response(self, told: Told, request: Request, headers: Fields = ()) -> Response:
        fields = (*told.headers, *headers)
        return build_reply(
            told.status, rule=self.name, headers=fields, content=told.content, completes=told.completes
        ).to(request.method)

    def problem(self, status: int, code: str, detail: str, request: Request) -> Response:
        return self.response(self.dialect.problem(status, code, detail), request)

    def monitor_url(self, task: Task, asked: Asked) -> str:
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

    def target(self, request: Request) -> str:
        """The path that a client has asked for, as it is written in a URL."""
        prefix = prefix_of(request, trusts_forwarded=self._trusts_forwarded)
        return prefix + quote(request.path, safe=PATH_CHARS, errors="replace")

    def _called(self, task: Task) -> str:
        if self.table.dialect == "google":
            return (self.table.operation_name or ID).replace(ID, task.id)
        # What OGC calls the process that a job is of, in `/processes/NAME/execution`.
        words = [word for word in self.template.text.split("/") if word not in ("", "execution")]
        return words[-1] if words and "{" not in words[-1] else ""

    def key(self, kind: str, *words: str, body: bytes | None = None) -> str:
        """The key of a record that is not found by a task's id; nobody reads in it whom it is about."""
        text = "\0".join((self._salt, kind, *words)).encode("utf-8", "surrogatepass")
        digest = blake2b(text + b"\0" + (body or b""), digest_size=16).hexdigest()
        return f"{kind}.{digest}"

    def unknown(self, request: Request) -> Response:
        """For an id that was forged, is of another rule, or is of a task that nobody remembers."""
        code = "no-such-job" if self.table.dialect == "ogc" else "NotFound"
        return self.problem(404, code, "there is no task with this id, or not any more", request)

    def not_allowed(self, methods: Sequence[str], request: Request) -> Response:
        """For a method that means nothing where a task is asked about."""
        told = self.dialect.problem(405, "MethodNotAllowed", f"allowed: {', '.join(methods) or 'none'}")
        return self.response(told, request, (("Allow", ", ".join(methods)),))


def _waiting(retry_after_s: float | None) -> Fields:
    """When to ask again. RFC 9110 section 10.2.3 knows whole seconds only, and 0 would invite a flood."""
    if retry_after_s is None:
        return ()
    if retry_after_s < 1:
        return (("retry-after-ms", str(max(1, round(retry_after_s * 1000)))),)
    return (("Retry-After", str(ceil(retry_after_s))),)


def _version(request: Request) -> str:
    """OData 4.01 part 1 section 8.2.7: no response has a version above the highest that the client knows."""
    return "4.0" if (request.header("odata-maxversion") or "").strip() == "4.0" else ""


def _wraps(request: Request) -> bool:
    """The same, section 11.6: "an OData-MaxVersion header with a value of 4.0 and no Accept header, or an
    Accept header that includes application/http" asks for the response in one piece."""
    accepts = request.header("accept")
    return bool(_version(request)) if accepts is None else "application/http" in accepts.lower()


def ended_in_time(task: Task, data: bytes | None) -> Ended | None:
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
