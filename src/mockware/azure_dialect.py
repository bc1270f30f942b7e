"""Azure's long-running operations, for data plane and Resource Manager alike.

Law: what azure-core and azure-mgmt-core demand comes before what a guideline would rather have. A monitor
that says 202 while it runs satisfies those that only follow `Location`, too.

Sources: https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md (long-running operations);
https://github.com/Azure/azure-resource-manager-rpc/blob/master/v1.0/async-api-reference.md.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from .dialect import (
    CANCEL,
    MONITOR,
    Dialect,
    Endpoint,
    Told,
    View,
    as_it_is,
    error_of,
    failed,
    json_content,
    moment,
    without_nothing,
)
from .messages import MISSING
from .replies import in_a_field
from .tasks import Phase

_WORDS = {
    Phase.QUEUED: "NotStarted",
    Phase.RUNNING: "Running",
    Phase.SUCCEEDED: "Succeeded",
    Phase.FAILED: "Failed",
    Phase.CANCELED: "Canceled",  # with one l: the SDK knows no other
}
_OF_RESOURCES = frozenset(("PUT", "PATCH"))
# Their result is the resource itself, or that it is gone.
_WITHOUT_RESULT = _OF_RESOURCES | {"DELETE"}


def _accepted(view: View) -> Told:
    names = ("Operation-Location", "Azure-AsyncOperation", "Location")
    pointers = tuple((name, view.monitor) for name in names)
    if view.task.method in _OF_RESOURCES:
        body = _resource(view)
    else:
        body = {"id": view.task.id, "status": _WORDS[view.state.phase]}
    return Told(202, (*pointers, *view.waiting), json_content(body))


def _monitor(view: View) -> Told:
    state = view.state
    body: dict[str, Any] = {
        "id": view.task.id,
        "status": _WORDS[state.phase],
        "percentComplete": state.percent,
        "startTime": moment(state.accepted_at),
        "endTime": moment(state.ended_at),
    }
    if state.phase in (Phase.FAILED, Phase.CANCELED):
        error = error_of(view)
        body["error"] = {**error, "code": str(error["code"]), "message": str(error["message"])}
    body = without_nothing(body)
    if state.phase is Phase.SUCCEEDED and view.task.method not in _WITHOUT_RESULT:
        result = view.outcome.json if view.outcome else MISSING
        if result is not MISSING:
            body["result"] = result
    return Told(200 if state.has_ended else 202, () if state.has_ended else view.waiting, json_content(body))


def _resource(view: View) -> dict[str, Any]:
    words = {Phase.QUEUED: "Accepted", Phase.RUNNING: "Creating" if view.task.method == "PUT" else "Updating"}
    result = view.outcome.json if view.outcome and view.state.phase is Phase.SUCCEEDED else MISSING
    known = result if isinstance(result, dict) else {}
    properties = known.get("properties")
    state = words.get(view.state.phase, _WORDS[view.state.phase])
    return {
        "id": view.target,
        "name": unquote(view.target.rstrip("/").rpartition("/")[2]),
        **known,
        "properties": {**(properties if isinstance(properties, dict) else {}), "provisioningState": state},
    }


def _original(view: View) -> Told:
    return Told(200, () if view.state.has_ended else view.waiting, json_content(_resource(view)))


def _finished(view: View) -> Told:
    # Without a pointer the SDK takes the body for the result, as that of any synchronous request.
    if view.state.phase is not Phase.SUCCEEDED:
        return failed(view, _problem)
    return _original(view) if view.task.method in _OF_RESOURCES else as_it_is(view)


def _problem(status: int, code: str, detail: str) -> Told:
    # A failure's code may be a template's, and so whatever a client has sent.
    fields = (("x-ms-error-code", in_a_field(code)),)
    return Told(status, fields, json_content({"error": {"code": code, "message": detail}}))


AZURE = Dialect(
    words=_WORDS,
    accepted=_accepted,
    monitor=_monitor,
    canceled=_monitor,
    finished=_finished,
    status=_monitor,
    problem=_problem,
    original=_original,
    originals=_OF_RESOURCES,
    endpoints=(MONITOR, CANCEL, Endpoint("cancel", "POST", ":cancel")),
    absolute=True,
    # "DO fail a request with a 400-BadRequest if the Operation-Id header matches an existing operation unless
    # the request is identical to the prior request"
    reused=400,
)
