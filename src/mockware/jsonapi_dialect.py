"""JSON:API's recommendation for asynchronous processing: a job is a resource, and leads to another.

Law: whatever is said is a JSON:API document with its media type. What the rule makes of a task is sent as it
stands, and is called one only if it is one.

Source: https://jsonapi.org/recommendations/#asynchronous-processing; https://jsonapi.org/format/1.1.
"""

from __future__ import annotations

from .dialect import (
    CANCEL,
    MONITOR,
    Dialect,
    Endpoint,
    Made,
    Told,
    View,
    as_it_is,
    failed,
    json_content,
    without_nothing,
)
from .replies import JSON, Content
from .statuses import status_for
from .tasks import Phase

_TYPE = "application/vnd.api+json"
_WORDS = {
    Phase.QUEUED: "Pending request, waiting other process",
    Phase.RUNNING: "Pending request, in process",
    Phase.SUCCEEDED: "Completed",
    Phase.FAILED: "Failed",
    Phase.CANCELED: "Canceled",
}


def _job(view: View) -> Content:
    attributes = {"status": _WORDS[view.state.phase], "percent_complete": view.state.percent}
    data = {
        "type": "queue-jobs",
        "id": view.task.id,
        "attributes": without_nothing(attributes),
        "links": {"self": view.monitor},
    }
    return json_content({"data": data}, _TYPE)


def _accepted(view: View) -> Told:
    return Told(202, (("Content-Location", view.monitor), *view.waiting), _job(view))


def _status(view: View) -> Told:
    return Told(200, (), _job(view))


def _monitor(view: View) -> Told:
    if not view.state.has_ended:
        return Told(200, view.waiting, _job(view))
    if view.state.phase is Phase.SUCCEEDED:
        made = view.outcome or Made(200)
        # The resource that was created, where the rule names one, or else what the task made.
        named = [value for name, value in made.headers if name.lower() == "location"]
        return Told(303, (("Location", named[0] if named else f"{view.monitor}/result"),), _job(view))
    return _status(view) if view.state.phase is Phase.CANCELED else _failed(view)


def _failed(view: View) -> Told:
    if view.raw and view.outcome is not None and view.outcome.media_type == _TYPE:
        return as_it_is(view)
    return failed(view, _problem)


def _problem(status: int, code: str, detail: str) -> Told:
    error = {"status": str(status), "code": code, "title": status_for(status).phrase, "detail": detail}
    return Told(status, (), json_content({"errors": [error]}, _TYPE))


def _result(view: View) -> Told:
    if view.state.phase is Phase.FAILED:
        return _failed(view)
    if view.outcome is None:
        return _problem(404, "NotFound", f"there is no result of this job: {_WORDS[view.state.phase]}")
    made = as_it_is(view)
    if view.raw or made.content is None or view.outcome.media_type != JSON:
        return made
    # "A document MUST contain at least one of the following top-level members: data, errors, meta"
    document = view.outcome.json
    if not isinstance(document, dict) or document.keys().isdisjoint(("data", "errors", "meta")):
        return made
    headers = tuple(field for field in made.headers if field[0].lower() != "content-type")
    return made._replace(headers=headers, content=Content(made.content.body, _TYPE))


JSONAPI = Dialect(
    words=_WORDS,
    accepted=_accepted,
    monitor=_monitor,
    canceled=_status,
    finished=_result,
    status=_status,
    problem=_problem,
    result=_result,
    endpoints=(MONITOR, CANCEL, Endpoint("result", "GET", "/result")),
)
