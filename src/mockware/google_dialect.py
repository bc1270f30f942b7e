"""Google's operations: a resource with a name, which is asked for until it is done.

Law: nothing stands in an operation but the five members of google.longrunning.Operation: google-api-core
takes any other for an error, and whatever is free in form is a google.protobuf.Any.

Sources: https://google.aip.dev/151; google/longrunning/operations.proto; google/rpc/code.proto, which also
says to which HTTP status each code is mapped; https://protobuf.dev/programming-guides/json (Any).
"""

from __future__ import annotations

from typing import Any

from .dialect import MONITOR, Dialect, Endpoint, Told, View, error_of, json_content, moment, without_nothing
from .messages import MISSING
from .tasks import Phase

_STRUCT = "type.googleapis.com/google.protobuf.Struct"
_VALUE = "type.googleapis.com/google.protobuf.Value"
_CODES = (
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
_CODE_OF_CLIENT = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 410: 5, 413: 3, 422: 3, 429: 8}
_CODE_OF_STATUS = _CODE_OF_CLIENT | {500: 13, 501: 12, 503: 14, 504: 4}
_WORDS = {phase: phase.value.upper() for phase in Phase} | {
    Phase.QUEUED: "PENDING",
    Phase.CANCELED: "CANCELLED",
}


def _any(value: Any) -> dict[str, Any]:
    """A value as google.protobuf.Any: well-known types stand under `value`."""
    if isinstance(value, dict):
        return value if "@type" in value else {"@type": _STRUCT, "value": value}
    return {"@type": _VALUE, "value": value}


def google_operation(view: View) -> dict[str, Any]:
    """google.longrunning.Operation."""
    state = view.state
    metadata = without_nothing(
        {
            "state": _WORDS[state.phase],
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
        # "the operation ... with a google.rpc.Status.code of 1, corresponding to Code.CANCELLED"
        operation["error"] = {"code": 1, "message": "The operation was cancelled.", "details": []}
    elif state.phase is Phase.FAILED:
        error = error_of(view)
        details = error.get("details")
        operation["error"] = {
            "code": _code(error["code"]),
            "message": str(error["message"]),
            "details": [_any(detail) for detail in details] if isinstance(details, list) else [],
        }
    return operation


def _code(said: Any) -> int:
    if isinstance(said, int) and not isinstance(said, bool) and 0 < said < len(_CODES):
        return said
    name = str(said).upper()
    return _CODES.index(name) if name in _CODES[1:] else _CODES.index("UNKNOWN")


def _told(view: View) -> Told:
    return Told(200, (), json_content(google_operation(view)))


def _nothing(view: View) -> Told:
    return Told(200, (), json_content({}))  # google.protobuf.Empty


def _problem(status: int, code: str, detail: str) -> Told:
    """https://google.aip.dev/193"""
    name = _CODES[_CODE_OF_STATUS.get(status, 2)]
    return Told(status, (), json_content({"error": {"code": status, "message": detail, "status": name}}))


GOOGLE = Dialect(
    words=_WORDS,
    accepted=_told,
    monitor=_told,
    canceled=_nothing,
    finished=_told,
    status=_told,
    problem=_problem,
    endpoints=(
        MONITOR,
        Endpoint("cancel", "POST", ":cancel"),
        Endpoint("wait", "POST", ":wait"),
        Endpoint("forget", "DELETE"),
        Endpoint("list", "GET"),
    ),
    monitor_path="/operations/{task_id}",
    cancels_silently=True,
    reused=409,
)
