"""The conventions by which services tell of an accepted task, each as its own clients demand it.

Law: a dialect is a row of `DIALECTS`: its words for the phases, and what it says at each occasion. It takes
a `View` and returns what is `Told`; where that is sent, and whether the task is one, is not its business. One
that is new is a row and the functions that it does not share. Sources stand beside each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from .messages import MISSING
from .replies import JSON, PROBLEM_JSON, Content
from .statuses import status_for
from .tasks import Phase, State, Task

Fields = tuple[tuple[str, str], ...]
# What can be asked of a task besides its status, by a method and behind its monitor's path; `list` is asked
# of what stands before the id, and `original` of the path that accepted it.
Kind = Literal["monitor", "result", "cancel", "wait", "forget", "list", "original"]


class Made(NamedTuple):
    """What a task has come to: the response that a synchronous request would have had."""

    status: int
    headers: Fields = ()
    content: Content | None = None

    @property
    def json(self) -> Any:
        """The content as JSON, or `MISSING` where it is none."""
        if self.content is None:
            return MISSING
        media_type = self.content.media_type.partition(";")[0].strip().lower()
        for name, value in self.headers:
            if name.lower() == "content-type":
                media_type = value.partition(";")[0].strip().lower()
        if media_type != JSON and not media_type.endswith("+json"):
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
    where it is a real app's response, to be told as it is. `name` is what google calls the operation.
    """

    task: Task
    state: State
    monitor: str
    target: str = ""
    waiting: Fields = ()
    outcome: Made | None = None
    raw: bool = False
    name: str = ""
    wraps: bool = False  # odata: the client wants application/http


class Endpoint(NamedTuple):
    """Something that can be asked of a task, by `method`, at its monitor's path and `suffix`."""

    kind: Kind
    method: str
    suffix: str = ""


class Dialect(NamedTuple):
    """One convention: what is said when a request is `accepted`, to whoever asks the `monitor`, who has
    `canceled`, who waited until it was `finished`; `status` alone, for messages; and of a `problem`.

    `originals` are the methods after whose acceptance the same path tells of what becomes of it, by
    `original`. `absolute`: clients need whole URLs. `prefer_async`: only who prefers it is answered so.
    `same_url`: there is no monitor, the same is asked again. `cancels_silently`: even what has ended.
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
    endpoints: tuple[Endpoint, ...] = (Endpoint("monitor", "GET"), Endpoint("cancel", "DELETE"))
    monitor_path: str = ""
    absolute: bool = False
    prefer_async: bool = False
    same_url: bool = False
    cancels_silently: bool = False
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
    if not isinstance(said, dict):
        said = {}
    message = said.get("message") or said.get("detail") or said.get("title") or "The task failed."
    code = said.get("code") or "TaskFailed"
    return {
        "code": code,
        "message": message,
        **{k: v for k, v in said.items() if k not in ("code", "message")},
    }


def _without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(value: Any, media_type: str = JSON) -> Content:
    return Content.from_json(value, media_type)


def _as_it_is(view: View) -> Told:
    """The outcome itself, as a synchronous request would have had it."""
    made = view.outcome or Made(500)
    return Told(made.status, made.headers, made.content, completes=not view.raw)


def _problem(status: int, code: str, detail: str) -> Told:
    """RFC 9457."""
    title = status_for(status).phrase
    return Told(
        status,
        (),
        _json({"type": "about:blank", "title": title, "status": status, "detail": detail}, PROBLEM_JSON),
    )


# plain: what most home-made services do (RFC 9110 section 15.3.3, Azure architecture center, REST cookbooks)

_PLAIN = {phase: phase.value for phase in Phase}


def _plain_accepted(view: View) -> Told:
    body = {"status": "accepted", "task_id": view.task.id}
    return Told(202, (("Location", view.monitor), *view.waiting), _json(body))


def _plain_status(view: View) -> dict[str, Any]:
    state = view.state
    return _without_nothing(
        {
            "task_id": view.task.id,
            "status": _PLAIN[state.phase],
            "percent_complete": state.percent,
            "accepted_at": moment(state.accepted_at),
            "started_at": moment(state.started_at),
            "ended_at": moment(state.ended_at),
        }
    )


def _plain_monitor(view: View) -> Told:
    if not view.state.has_ended:
        return Told(200, view.waiting, _plain_told(view).content)
    if view.outcome is not None and (view.raw or view.state.phase is Phase.SUCCEEDED):
        of_another_kind = view.outcome.content is not None and view.outcome.json is MISSING
        if view.raw or view.outcome.status != 200 or of_another_kind:
            return _as_it_is(view)  # a real response, a 303 to the result, or a result that is no JSON
    fields = view.outcome.headers if view.outcome and view.state.phase is Phase.SUCCEEDED else ()
    return Told(200, fields, _plain_told(view).content)


def _plain_told(view: View) -> Told:
    status = _plain_status(view)
    if view.state.phase is Phase.SUCCEEDED and view.outcome and view.outcome.json is not MISSING:
        status["result"] = view.outcome.json
    if view.state.phase is Phase.FAILED:
        status["error"] = error_of(view)
    return Told(200, (), _json(status))


# azure: https://github.com/microsoft/api-guidelines/blob/vNext/azure/ConsiderationsForServiceDesign.md
# (long-running operations), and what azure-core and azure-mgmt-core demand of it. A monitor that says 202
# while it runs satisfies those that only follow `Location`, too.

_AZURE = {
    Phase.QUEUED: "NotStarted",
    Phase.RUNNING: "Running",
    Phase.SUCCEEDED: "Succeeded",
    Phase.FAILED: "Failed",
    Phase.CANCELED: "Canceled",  # with one l: the SDK knows no other
}
_OF_RESOURCES = frozenset(("PUT", "PATCH"))


def _azure_accepted(view: View) -> Told:
    pointers = tuple(
        (name, view.monitor) for name in ("Operation-Location", "Azure-AsyncOperation", "Location")
    )
    if view.task.method in _OF_RESOURCES:
        body = _azure_resource(view)
    else:
        body = {"id": view.task.id, "status": _AZURE[view.state.phase]}
    return Told(202, (*pointers, *view.waiting), _json(body))


def _azure_monitor(view: View) -> Told:
    state = view.state
    body: dict[str, Any] = {
        "id": view.task.id,
        "status": _AZURE[state.phase],
        "percentComplete": state.percent,
        "startTime": moment(state.accepted_at),
        "endTime": moment(state.ended_at),
    }
    if not state.has_ended:
        return Told(202, view.waiting, _json(_without_nothing(body)))
    if state.phase is Phase.SUCCEEDED:
        # Of a PUT, PATCH or DELETE there is no result but the resource itself.
        if (
            view.outcome is not None
            and view.outcome.json is not MISSING
            and view.task.method
            not in (
                *_OF_RESOURCES,
                "DELETE",
            )
        ):
            body["result"] = view.outcome.json
    else:
        body["error"] = error_of(view)
    return Told(200, (), _json(_without_nothing(body)))


def _azure_resource(view: View) -> dict[str, Any]:
    words = {Phase.QUEUED: "Accepted", Phase.RUNNING: "Creating" if view.task.method == "PUT" else "Updating"}
    result = view.outcome.json if view.outcome and view.state.phase is Phase.SUCCEEDED else MISSING
    known = result if isinstance(result, dict) else {}
    properties = known.get("properties")
    state = words.get(view.state.phase, _AZURE[view.state.phase])
    return {
        "id": view.target,
        "name": unquote(view.target.rstrip("/").rpartition("/")[2]),
        **known,
        "properties": {**(properties if isinstance(properties, dict) else {}), "provisioningState": state},
    }


def _azure_original(view: View) -> Told:
    return Told(200, () if view.state.has_ended else view.waiting, _json(_azure_resource(view)))


def _azure_problem(status: int, code: str, detail: str) -> Told:
    return Told(status, (("x-ms-error-code", code),), _json({"error": {"code": code, "message": detail}}))


# google: https://google.aip.dev/151, and google-api-core, which takes any unknown member for an error

_STRUCT = "type.googleapis.com/google.protobuf.Struct"
_VALUE = "type.googleapis.com/google.protobuf.Value"
# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_RPC_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# The same file says which HTTP status each is mapped to.
_RPC_OF_STATUS = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 410: 5, 422: 3, 429: 8, 500: 13, 503: 14, 504: 4}


def _any(value: Any) -> dict[str, Any]:
    """A value as google.protobuf.Any: well-known types stand under `value`."""
    if isinstance(value, dict):
        return value if "@type" in value else {"@type": _STRUCT, "value": value}
    return {"@type": _VALUE, "value": value}


def google_operation(view: View) -> dict[str, Any]:
    state = view.state
    metadata = _without_nothing(
        {
            "state": {Phase.QUEUED: "PENDING", Phase.CANCELED: "CANCELLED"}.get(
                state.phase, state.phase.value.upper()
            ),
            "progressPercent": state.percent,
            "createTime": moment(state.accepted_at),
            "startTime": moment(state.started_at),
            "endTime": moment(state.ended_at),
        }
    )
    operation: dict[str, Any] = {"name": view.name, "metadata": _any(metadata), "done": state.has_ended}
    if state.phase is Phase.SUCCEEDED:
        result = view.outcome.json if view.outcome else MISSING
        operation["response"] = _any({} if result is MISSING else result)
    elif state.phase is Phase.CANCELED:
        operation["error"] = {"code": 1, "message": "The operation was cancelled.", "details": []}
    elif state.phase is Phase.FAILED:
        error = error_of(view)
        details = error.get("details")
        operation["error"] = {
            "code": _rpc_code(error["code"]),
            "message": str(error["message"]),
            "details": details if isinstance(details, list) else [],
        }
    return operation


def _rpc_code(code: Any) -> int:
    if isinstance(code, int) and not isinstance(code, bool) and 0 < code < len(_RPC_CODES):
        return code
    name = str(code).upper()
    return _RPC_CODES.index(name) if name in _RPC_CODES[1:] else _RPC_CODES.index("UNKNOWN")


def _google_told(view: View) -> Told:
    return Told(200, (), _json(google_operation(view)))


def _google_nothing(view: View) -> Told:
    return Told(200, (), _json({}))  # google.protobuf.Empty


def _google_problem(status: int, code: str, detail: str) -> Told:
    """https://cloud.google.com/apis/design/errors#http_mapping"""
    name = _RPC_CODES[_RPC_OF_STATUS.get(status, 2)]
    return Told(status, (), _json({"error": {"code": status, "message": detail, "status": name}}))


# jsonapi: https://jsonapi.org/recommendations/#asynchronous-processing

_JSONAPI_TYPE = "application/vnd.api+json"
_JSONAPI = {
    Phase.QUEUED: "Pending request, waiting other process",
    Phase.RUNNING: "Pending request, in process",
    Phase.SUCCEEDED: "Completed",
    Phase.FAILED: "Failed",
    Phase.CANCELED: "Canceled",
}


def _jsonapi_job(view: View) -> Content:
    attributes = _without_nothing(
        {"status": _JSONAPI[view.state.phase], "percent_complete": view.state.percent}
    )
    data = {
        "type": "queue-jobs",
        "id": view.task.id,
        "attributes": attributes,
        "links": {"self": view.monitor},
    }
    return _json({"data": data}, _JSONAPI_TYPE)


def _jsonapi_accepted(view: View) -> Told:
    return Told(202, (("Content-Location", view.monitor), *view.waiting), _jsonapi_job(view))


def _jsonapi_status(view: View) -> Told:
    return Told(200, (), _jsonapi_job(view))


def _jsonapi_monitor(view: View) -> Told:
    if not view.state.has_ended:
        return Told(200, view.waiting, _jsonapi_job(view))
    if view.state.phase is Phase.SUCCEEDED:
        made = view.outcome or Made(200)
        # The resource that was created, where the rule names one, or else what the task made.
        named = [value for name, value in made.headers if name.lower() == "location"]
        return Told(303, (("Location", named[0] if named else f"{view.monitor}/result"),), _jsonapi_job(view))
    if view.state.phase is Phase.CANCELED:
        return Told(200, (), _jsonapi_job(view))
    return _jsonapi_failure(view)


def _jsonapi_failure(view: View) -> Told:
    error = error_of(view)
    status = view.outcome.status if view.outcome else 500
    return _jsonapi_problem(status, str(error["code"]), str(error["message"]))


def _jsonapi_problem(status: int, code: str, detail: str) -> Told:
    error = {"status": str(status), "code": code, "title": status_for(status).phrase, "detail": detail}
    return Told(status, (), _json({"errors": [error]}, _JSONAPI_TYPE))


def _jsonapi_result(view: View) -> Told:
    return _as_it_is(view) if view.state.phase is not Phase.FAILED else _jsonapi_failure(view)


# odata: OData 4.01 part 1, section 11.6 (asynchronous requests) and 8.3.1 (AsyncResult)

_ODATA_VERSION = ("OData-Version", "4.01")
_NOTHING = Content(b"", JSON)


def _odata_waits(view: View) -> Told:
    return Told(202, (("Location", view.monitor), *view.waiting, _ODATA_VERSION), _NOTHING)


def _odata_monitor(view: View) -> Told:
    if not view.state.has_ended:
        return _odata_waits(view)
    if view.state.phase is Phase.CANCELED:
        # Section 11.6: after a DELETE there is no monitor any more.
        return _odata_problem(404, "NotFound", "The request was canceled.")
    made = _odata_outcome(view)
    if view.wraps:
        # Section 11.6: the response as a whole, as application/http.
        body = b"" if made.content is None else made.content.body
        lines = [f"HTTP/1.1 {made.status} {status_for(made.status).phrase}"]
        if made.content is not None:
            lines.append(f"Content-Type: {made.content.media_type}")
        lines += [f"{name}: {value}" for name, value in made.headers if name.lower() != "content-type"]
        lines.append(f"Content-Length: {len(body)}")
        wrapped = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        return Told(
            200,
            (_ODATA_VERSION, ("Content-Transfer-Encoding", "binary")),
            Content(wrapped, "application/http"),
        )
    return Told(
        200, (*made.headers, ("AsyncResult", str(made.status)), _ODATA_VERSION), made.content or _NOTHING
    )


def _odata_outcome(view: View) -> Told:
    if view.raw and view.outcome is not None:
        return _as_it_is(view)
    if view.state.phase is Phase.SUCCEEDED and view.outcome is not None:
        made = view.outcome
        content = made.content
        if content is None and status_for(made.status).has_body:
            known = status_for(made.status)
            content = Content(known.default_body, known.default_media_type or JSON)
        return Told(made.status, made.headers, content)
    error = error_of(view)
    status = view.outcome.status if view.outcome else 500
    return _odata_problem(status, str(error["code"]), str(error["message"]))


def _odata_problem(status: int, code: str, detail: str) -> Told:
    return Told(status, (_ODATA_VERSION,), _json({"error": {"code": code, "message": detail}}))


def _odata_canceled(view: View) -> Told:
    return Told(204, (_ODATA_VERSION,))


def _odata_finished(view: View) -> Told:
    made = _odata_outcome(view)
    versioned = made.headers if _ODATA_VERSION in made.headers else (*made.headers, _ODATA_VERSION)
    return Told(made.status, versioned, made.content)


# github: https://docs.github.com/rest/metrics/statistics; no pointer, no Retry-After, the same URL again


def _github_told(view: View) -> Told:
    return _as_it_is(view) if view.state.has_ended else Told(202, (), _json({}))


# ogc: OGC API - Processes - Part 1 (18-062r2), sections 7.11 to 7.15

_OGC = {
    Phase.QUEUED: "accepted",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "successful",
    Phase.FAILED: "failed",
    Phase.CANCELED: "dismissed",
}
_OGC_EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"


def _ogc_status(view: View) -> dict[str, Any]:
    state = view.state
    links = [{"href": view.monitor, "rel": "self", "type": JSON, "title": "this document"}]
    if state.phase is Phase.SUCCEEDED:
        links.append(
            {
                "href": f"{view.monitor}/results",
                "rel": "http://www.opengis.net/def/rel/ogc/1.0/results",
                "type": JSON,
                "title": "Job results",
            }
        )
    status = {
        "processID": view.name or None,
        "type": "process",
        "jobID": view.task.id,
        "status": _OGC[state.phase],
        "message": str(error_of(view)["message"]) if state.phase is Phase.FAILED else None,
        "created": moment(state.accepted_at),
        "started": moment(state.started_at),
        "finished": moment(state.ended_at),
        "progress": state.percent,
    }
    return {**_without_nothing(status), "links": links}


def _ogc_accepted(view: View) -> Told:
    # Requirement 34: 201, the Location of the job, and its status.
    return Told(201, (("Location", view.monitor), *view.waiting), _json(_ogc_status(view)))


def _ogc_monitor(view: View) -> Told:
    return Told(200, () if view.state.has_ended else view.waiting, _json(_ogc_status(view)))


def _ogc_results(view: View) -> Told:
    phase = view.state.phase
    if phase is Phase.SUCCEEDED:
        return _as_it_is(view)
    if phase is Phase.FAILED:
        error = error_of(view)
        status = view.outcome.status if view.outcome else 500
        return _ogc_problem(status, str(error["code"]), str(error["message"]))
    if phase is Phase.CANCELED:
        return _ogc_problem(404, "no-such-job", "The job was dismissed and has no results.")
    # Requirement 45.
    return _ogc_problem(404, "result-not-ready", "The job has not ended yet.")


def _ogc_problem(status: int, code: str, detail: str) -> Told:
    kind = f"{_OGC_EXCEPTIONS}/{code}" if code in ("no-such-job", "result-not-ready") else "about:blank"
    body = {"type": kind, "title": status_for(status).phrase, "status": status, "detail": detail}
    return Told(status, (), _json(body, PROBLEM_JSON))


_MONITOR = Endpoint("monitor", "GET")
_CANCEL = Endpoint("cancel", "DELETE")

DIALECTS: Mapping[str, Dialect] = {
    "plain": Dialect(
        words=_PLAIN,
        accepted=_plain_accepted,
        monitor=_plain_monitor,
        canceled=_plain_monitor,
        finished=_as_it_is,
        status=_plain_told,
        problem=_problem,
    ),
    "azure": Dialect(
        words=_AZURE,
        accepted=_azure_accepted,
        monitor=_azure_monitor,
        canceled=_azure_monitor,
        finished=_azure_monitor,
        status=_azure_monitor,
        problem=_azure_problem,
        original=_azure_original,
        originals=_OF_RESOURCES,
        endpoints=(_MONITOR, _CANCEL, Endpoint("cancel", "POST", ":cancel")),
        absolute=True,
        reused=400,
    ),
    "google": Dialect(
        words={phase: phase.value.upper() for phase in Phase},
        accepted=_google_told,
        monitor=_google_told,
        canceled=_google_nothing,
        finished=_google_told,
        status=_google_told,
        problem=_google_problem,
        endpoints=(
            _MONITOR,
            Endpoint("cancel", "POST", ":cancel"),
            Endpoint("wait", "POST", ":wait"),
            Endpoint("forget", "DELETE"),
            Endpoint("list", "GET"),
        ),
        monitor_path="/operations/{task_id}",
        cancels_silently=True,
        reused=409,
    ),
    "jsonapi": Dialect(
        words=_JSONAPI,
        accepted=_jsonapi_accepted,
        monitor=_jsonapi_monitor,
        canceled=_jsonapi_status,
        finished=_jsonapi_result,
        status=_jsonapi_status,
        problem=_jsonapi_problem,
        result=_jsonapi_result,
        endpoints=(_MONITOR, _CANCEL, Endpoint("result", "GET", "/result")),
    ),
    "odata": Dialect(
        words=_PLAIN,
        accepted=_odata_waits,
        monitor=_odata_monitor,
        canceled=_odata_canceled,
        finished=_odata_finished,
        status=_plain_told,
        problem=_odata_problem,
        absolute=True,
        prefer_async=True,
    ),
    "github": Dialect(
        words=_PLAIN,
        accepted=_github_told,
        monitor=_github_told,
        canceled=_github_told,
        finished=_as_it_is,
        status=_plain_told,
        problem=_problem,
        endpoints=(),
        same_url=True,
    ),
    "ogc": Dialect(
        words=_OGC,
        accepted=_ogc_accepted,
        monitor=_ogc_monitor,
        canceled=_ogc_monitor,
        finished=_as_it_is,
        status=_ogc_monitor,
        problem=_ogc_problem,
        result=_ogc_results,
        endpoints=(_MONITOR, _CANCEL, Endpoint("result", "GET", "/results")),
        absolute=True,
    ),
}
