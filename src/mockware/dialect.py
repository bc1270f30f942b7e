"""What a convention for telling of an accepted task is made of: what it is shown, and what it says.

Law: a dialect takes a `View` and returns what is `Told`; where that is sent, and whether the task is one, is
not its business. Each convention has a file of its own, with its sources; what several of them say is here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from .messages import MISSING
from .replies import JSON, PROBLEM_JSON, Content
from .statuses import status_for
from .tasks import Phase, State, Task

Fields = tuple[tuple[str, str], ...]
# What can be asked of a task besides its status, by a method and behind its monitor's path; `list` is asked
# of what stands before the id, and `original` of the path that accepted it.
Kind = Literal["monitor", "result", "cancel", "wait", "forget", "list", "original"]

# Our own words for the phases, where a convention has none.
WORDS = {phase: phase.value for phase in Phase}


class Made(NamedTuple):
    """What a task has come to: the response that a synchronous request would have had."""

    status: int
    headers: Fields = ()
    content: Content | None = None

    @property
    def media_type(self) -> str:
        """What the content is, without parameters; "" where there is none."""
        if self.content is None:
            return ""
        said = [value for name, value in self.headers if name.lower() == "content-type"]
        return (said[-1] if said else self.content.media_type).partition(";")[0].strip().lower()

    @property
    def json(self) -> Any:
        """The content as JSON, or `MISSING` where it is none."""
        if self.content is None or not (self.media_type == JSON or self.media_type.endswith("+json")):
            return MISSING
        try:
            return json.loads(self.content.body)
        except (ValueError, RecursionError):
            return MISSING


class Told(NamedTuple):
    """A response before it has a rule's name; without `content`, its status has its default body."""

    status: int
    headers: Fields = ()
    content: Content | None = None
    completes: bool = True  # with what the status requires; a real response is told as it was


class View(NamedTuple):
    """All that a dialect may speak of.

    `monitor` is the URL of the status monitor, `target` the path of the accepting request; `waiting` are the
    fields that say when to ask again; `outcome` is there when the task has succeeded or failed, and is `raw`
    where it is a real app's response, to be told as it is. `name` is what google calls the operation, and OGC
    the process. Of odata, `wraps`: the client wants application/http, and understands `version` at most.
    """

    task: Task
    state: State
    monitor: str
    target: str = ""
    waiting: Fields = ()
    outcome: Made | None = None
    raw: bool = False
    name: str = ""
    wraps: bool = False
    version: str = ""


class Endpoint(NamedTuple):
    """Something that can be asked of a task, by `method`, at its monitor's path and `suffix`."""

    kind: Kind
    method: str
    suffix: str = ""


MONITOR = Endpoint("monitor", "GET")
CANCEL = Endpoint("cancel", "DELETE")


class Dialect(NamedTuple):
    """One convention: what is said when a request is `accepted`, to whoever asks the `monitor`, who has
    `canceled`, who waited until it was `finished`; `status` alone, for messages; and of a `problem`.

    `originals` are the methods after whose acceptance the same path tells of what becomes of it, by
    `original`. `absolute`: clients need whole URLs. `prefer_async`: only who prefers it is answered so.
    `same_url`: there is no monitor, the same is asked again. `cancels_silently`: even what has ended.
    `forgets_ended`: whoever cancels what has ended takes it away.
    `reused` is the status for an idempotency key that comes with another request.
    """

    words: Mapping[Phase, str]
    accepted: Callable[[View], Told]
    monitor: Callable[[View], Told]
    canceled: Callable[[View], Told]
    finished: Callable[[View], Told]
    status: Callable[[View], Told]
    problem: Callable[[int, str, str], Told]
    result: Callable[[View], Told] | None = None
    original: Callable[[View], Told] | None = None
    originals: frozenset[str] = frozenset()
    endpoints: tuple[Endpoint, ...] = (MONITOR, CANCEL)
    monitor_path: str = ""
    absolute: bool = False
    prefer_async: bool = False
    same_url: bool = False
    cancels_silently: bool = False
    forgets_ended: bool = False
    reused: int = 422


def moment(at: float | None) -> str | None:
    """A time as RFC 3339 section 5.6 writes it, to the millisecond."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None


def error_of(view: View) -> dict[str, Any]:
    """What went wrong, as `{"code", "message"}` and whatever else the rule says."""
    if view.state.phase is Phase.CANCELED:
        return {"code": "OperationCanceled", "message": "The task was canceled."}
    said = view.outcome.json if view.outcome else MISSING
    if isinstance(said, dict) and isinstance(said.get("error"), dict):
        said = said["error"]
    if view.outcome and view.outcome.content and view.outcome.media_type.startswith("text/"):
        said = {"message": view.outcome.content.body.decode("utf-8", "replace").strip()}
    if not isinstance(said, dict):
        said = {}
    message = said.get("message") or said.get("detail") or said.get("title") or "The task failed."
    code = said.get("code") or "TaskFailed"
    others = {name: value for name, value in said.items() if name not in ("code", "message")}
    return {"code": code, "message": message, **others}


def failed(view: View, problem: Callable[[int, str, str], Told]) -> Told:
    """A failure as the response that a synchronous request would have had, in the dialect's own form."""
    error = error_of(view)
    status = view.outcome.status if view.outcome else 500
    return problem(status, str(error["code"]), str(error["message"]))


def without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def json_content(value: Any, media_type: str = JSON) -> Content:
    return Content.from_json(value, media_type)


def as_it_is(view: View) -> Told:
    """The outcome itself, as a synchronous request would have had it."""
    made = view.outcome or Made(500)
    return Told(made.status, made.headers, made.content, completes=not view.raw)


def problem_details(status: int, code: str, detail: str) -> Told:
    """RFC 9457."""
    title = status_for(status).phrase
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Told(status, (), json_content(body, PROBLEM_JSON))


def status_of(view: View) -> Told:
    """What there is to say of a task where a convention has no document for it."""
    state = view.state
    status = without_nothing(
        {
            "task_id": view.task.id,
            "status": WORDS[state.phase],
            "percent_complete": state.percent,
            "accepted_at": moment(state.accepted_at),
            "started_at": moment(state.started_at),
            "ended_at": moment(state.ended_at),
        }
    )
    if state.phase is Phase.SUCCEEDED and view.outcome and view.outcome.json is not MISSING:
        status["result"] = view.outcome.json
    if state.phase is Phase.FAILED:
        status["error"] = error_of(view)
    return Told(200, (), json_content(status))
