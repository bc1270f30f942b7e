"""OGC API - Processes: the job of a process, with its status and, beside it, its results.

Law: a job's status is the statusInfo of Part 1: Core, whose clients read `status` and follow `links`. A
request is not answered with 202 but with 201: what it has created is the job.

Source: https://docs.ogc.org/is/18-062r2/18-062r2.html, sections 7.11 to 7.13 and 13 (Dismiss).
"""

from __future__ import annotations

from typing import Any

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
from .replies import JSON, PROBLEM_JSON
from .statuses import status_for
from .tasks import Phase

_WORDS = {
    Phase.QUEUED: "accepted",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "successful",
    Phase.FAILED: "failed",
    Phase.CANCELED: "dismissed",
}
_EXCEPTIONS = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0"
_RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"


def _status(view: View) -> dict[str, Any]:
    state = view.state
    links = [{"href": view.monitor, "rel": "self", "type": JSON, "title": "this document"}]
    if state.phase is Phase.SUCCEEDED:
        links.append(
            {"href": f"{view.monitor}/results", "rel": _RESULTS, "type": JSON, "title": "Job results"}
        )
    status = {
        "processID": view.name or None,
        "type": "process",
        "jobID": view.task.id,
        "status": _WORDS[state.phase],
        "message": str(error_of(view)["message"]) if state.phase is Phase.FAILED else None,
        "created": moment(state.accepted_at),
        "started": moment(state.started_at),
        "finished": moment(state.ended_at),
        "progress": state.percent,
    }
    return {**without_nothing(status), "links": links}


def _accepted(view: View) -> Told:
    # Requirement 34: 201, the Location of the job, and its status.
    return Told(201, (("Location", view.monitor), *view.waiting), json_content(_status(view)))


def _monitor(view: View) -> Told:
    return Told(200, () if view.state.has_ended else view.waiting, json_content(_status(view)))


def _results(view: View) -> Told:
    match view.state.phase:
        case Phase.SUCCEEDED:
            return as_it_is(view)
        case Phase.FAILED:
            # "that corresponds to the reason of the failure"
            return failed(view, _problem)
        case Phase.CANCELED:
            return _problem(404, "no-such-job", "The job was dismissed and has no results.")
    # Requirement 45.
    return _problem(404, "result-not-ready", "The job has not ended yet.")


def _problem(status: int, code: str, detail: str) -> Told:
    kind = f"{_EXCEPTIONS}/{code}" if code in ("no-such-job", "result-not-ready") else "about:blank"
    body = {"type": kind, "title": status_for(status).phrase, "status": status, "detail": detail}
    return Told(status, (), json_content(body, PROBLEM_JSON))


OGC = Dialect(
    words=_WORDS,
    accepted=_accepted,
    monitor=_monitor,
    canceled=_monitor,
    finished=_results,
    status=_monitor,
    problem=_problem,
    result=_results,
    endpoints=(MONITOR, CANCEL, Endpoint("result", "GET", "/results")),
    absolute=True,
    # Section 13: "cancelling a running job or removing artifacts of a finished job"
    forgets_ended=True,
)
