"""What each dialect says in each phase, held against its convention's text: status, fields and body.

One table. What is the same in all of them, and what only a whole service shows, is in test_task_rules.
"""

import json
from typing import Any

import pytest

from mockware.dialect import Made, Told, View
from mockware.dialects import DIALECTS
from mockware.replies import Content
from mockware.tasks import Phase, Task, state_of

M = "http://h/m/0t"
WAIT = {"Retry-After": "2"}
BORN, STARTED, ENDED = "2030-01-01T00:00:00.000Z", "2030-01-01T00:00:02.000Z", "2030-01-01T00:00:10.000Z"
AT = 1893456000.0
RESULT = Made(200, (), Content.from_json({"url": "/f"}))
FAILURE = Made(507, (), Content.from_json({"code": "Full", "message": "disk full"}))
SECONDS = {Phase.QUEUED: 1.0, Phase.RUNNING: 6.0, Phase.CANCELED: 6.0}


def view(phase: Phase, method: str = "POST", **more: Any) -> View:
    fails = phase is Phase.FAILED
    task = Task("0t", AT, 10.0, fails, method)
    canceled_at = AT + 6 if phase is Phase.CANCELED else None
    state = state_of(task, AT + SECONDS.get(phase, 10.0), queue_time_s=2.0, canceled_at=canceled_at)
    assert state.phase is phase
    outcome = {Phase.SUCCEEDED: RESULT, Phase.FAILED: FAILURE}.get(phase)
    known = {"target": "/things/a%20b", "waiting": (("Retry-After", "2"),), "outcome": outcome, "name": "n"}
    return View(task, state, M, **known | more)


def shown(told: Told) -> tuple[int, dict[str, str], Any]:
    """The status, the fields with the content's type where it is not plain JSON, and what the body says."""
    fields = dict(told.headers)
    if told.content is None:
        return told.status, fields, None
    if told.content.media_type != "application/json":
        fields["Content-Type"] = told.content.media_type
    return told.status, fields, json.loads(told.content.body) if told.content.body else None


def ogc(status: str, **more: Any) -> dict[str, Any]:
    links = [{"href": M, "rel": "self", "type": "application/json", "title": "this document"}]
    if status == "successful":
        rel = "http://www.opengis.net/def/rel/ogc/1.0/results"
        links.append({"href": f"{M}/results", "rel": rel, "type": "application/json", "title": "Job results"})
    known = {"processID": "n", "type": "process", "jobID": "0t", "status": status, "created": BORN}
    return {**known, **more, "links": links}


def job(status: str, percent: int) -> dict[str, Any]:
    data = {"attributes": {"status": status, "percent_complete": percent}, "links": {"self": M}}
    return {"data": {"type": "queue-jobs", "id": "0t", **data}}


def operation(
    state: str, percent: int, *, started: bool = True, ended: str = "", **more: Any
) -> dict[str, Any]:
    value: dict[str, Any] = {"state": state, "progressPercent": percent, "createTime": BORN}
    value |= {"startTime": STARTED} if started else {}
    value |= {"endTime": ended} if ended else {}
    metadata = {"@type": "type.googleapis.com/google.protobuf.Struct", "value": value}
    return {"name": "n", "metadata": metadata, "done": bool(ended), **more}


def azure(status: str, percent: int, **more: Any) -> dict[str, Any]:
    return {"id": "0t", "status": status, "percentComplete": percent, "startTime": BORN, **more}


def plain(status: str, percent: int, **more: Any) -> dict[str, Any]:
    return {"task_id": "0t", "status": status, "percent_complete": percent, "accepted_at": BORN, **more}


HALF = "2030-01-01T00:00:06.000Z"
ERROR = {"code": "Full", "message": "disk full"}
CANCELED = {"code": "OperationCanceled", "message": "The task was canceled."}
STRUCT = "type.googleapis.com/google.protobuf.Struct"
JSONAPI = {"Content-Type": "application/vnd.api+json"}
PROBLEM = {"Content-Type": "application/problem+json"}
POINTERS = {"Operation-Location": M, "Azure-AsyncOperation": M, "Location": M}
V401 = {"OData-Version": "4.01"}
JSONAPI_ERROR = {"status": "507", "code": "Full", "title": "Insufficient Storage", "detail": "disk full"}
DISMISSED = ogc("dismissed", started=STARTED, finished=HALF, progress=50)

Q, R, S, F, C = Phase
TABLE: dict[str, dict[tuple[str, Phase], tuple[int, dict[str, str], Any]]] = {
    "plain": {
        ("accepted", Q): (202, {"Location": M, **WAIT}, {"status": "accepted", "task_id": "0t"}),
        ("monitor", Q): (200, WAIT, plain("queued", 0)),
        ("monitor", R): (200, WAIT, plain("running", 50, started_at=STARTED)),
        ("monitor", S): (
            200,
            {},
            plain("succeeded", 100, started_at=STARTED, ended_at=ENDED, result={"url": "/f"}),
        ),
        ("monitor", F): (200, {}, plain("failed", 50, started_at=STARTED, ended_at=ENDED, error=ERROR)),
        ("monitor", C): (200, {}, plain("canceled", 50, started_at=STARTED, ended_at=HALF)),
        ("canceled", C): (200, {}, plain("canceled", 50, started_at=STARTED, ended_at=HALF)),
        ("finished", S): (200, {}, {"url": "/f"}),
        ("finished", F): (507, {}, ERROR),
    },
    "azure": {
        ("accepted", Q): (202, {**POINTERS, **WAIT}, {"id": "0t", "status": "NotStarted"}),
        # 202, so that those who only follow Location wait, too
        ("monitor", Q): (202, WAIT, azure("NotStarted", 0)),
        ("monitor", R): (202, WAIT, azure("Running", 50)),
        ("monitor", S): (200, {}, azure("Succeeded", 100, endTime=ENDED, result={"url": "/f"})),
        ("monitor", F): (200, {}, azure("Failed", 50, endTime=ENDED, error=ERROR)),
        # without an error the SDK speaks of an invalid status 'OK'
        ("monitor", C): (200, {}, azure("Canceled", 50, endTime=HALF, error=CANCELED)),
        ("canceled", C): (200, {}, azure("Canceled", 50, endTime=HALF, error=CANCELED)),
        ("finished", S): (200, {}, {"url": "/f"}),
        ("finished", F): (507, {"x-ms-error-code": "Full"}, {"error": ERROR}),
    },
    "google": {
        ("accepted", Q): (200, {}, operation("PENDING", 0, started=False)),
        ("monitor", R): (200, {}, operation("RUNNING", 50)),
        ("monitor", S): (
            200,
            {},
            operation("SUCCEEDED", 100, ended=ENDED, response={"@type": STRUCT, "value": {"url": "/f"}}),
        ),
        ("monitor", F): (
            200,
            {},
            operation("FAILED", 50, ended=ENDED, error={"code": 2, "message": "disk full", "details": []}),
        ),
        ("monitor", C): (
            200,
            {},
            operation(
                "CANCELLED",
                50,
                ended=HALF,
                error={"code": 1, "message": "The operation was cancelled.", "details": []},
            ),
        ),
        ("canceled", C): (200, {}, {}),
        ("finished", S): (
            200,
            {},
            operation("SUCCEEDED", 100, ended=ENDED, response={"@type": STRUCT, "value": {"url": "/f"}}),
        ),
    },
    "jsonapi": {
        ("accepted", Q): (
            202,
            {"Content-Location": M, **WAIT, **JSONAPI},
            job("Pending request, waiting other process", 0),
        ),
        ("monitor", R): (200, {**WAIT, **JSONAPI}, job("Pending request, in process", 50)),
        ("monitor", S): (303, {"Location": f"{M}/result", **JSONAPI}, job("Completed", 100)),
        ("monitor", F): (507, JSONAPI, {"errors": [JSONAPI_ERROR]}),
        ("monitor", C): (200, JSONAPI, job("Canceled", 50)),
        ("canceled", C): (200, JSONAPI, job("Canceled", 50)),
        ("result", S): (200, {}, {"url": "/f"}),
        ("result", F): (507, JSONAPI, {"errors": [JSONAPI_ERROR]}),
        ("finished", S): (200, {}, {"url": "/f"}),
    },
    "odata": {
        ("accepted", Q): (202, {"Location": M, **WAIT, **V401}, None),
        ("monitor", R): (202, {"Location": M, **WAIT, **V401}, None),
        ("monitor", S): (200, {**V401, "AsyncResult": "200"}, {"url": "/f"}),
        ("monitor", F): (200, {**V401, "AsyncResult": "507"}, {"error": ERROR}),
        ("monitor", C): (
            404,
            V401,
            {"error": {"code": "NotFound", "message": "The request was canceled."}},
        ),
        ("canceled", C): (204, V401, None),
        ("finished", S): (200, V401, {"url": "/f"}),
        ("finished", F): (507, V401, {"error": ERROR}),
    },
    "github": {
        ("accepted", Q): (202, {}, {}),
        ("monitor", R): (202, {}, {}),
        ("monitor", S): (200, {}, {"url": "/f"}),
        ("monitor", F): (507, {}, ERROR),
    },
    "ogc": {
        ("accepted", Q): (201, {"Location": M, **WAIT}, ogc("accepted", progress=0)),
        ("monitor", R): (200, WAIT, ogc("running", started=STARTED, progress=50)),
        ("monitor", S): (200, {}, ogc("successful", started=STARTED, finished=ENDED, progress=100)),
        ("monitor", F): (
            200,
            {},
            ogc("failed", message="disk full", started=STARTED, finished=ENDED, progress=50),
        ),
        ("monitor", C): (200, {}, DISMISSED),
        ("canceled", C): (200, {}, DISMISSED),
        ("result", S): (200, {}, {"url": "/f"}),
        ("result", R): (
            404,
            PROBLEM,
            {
                "type": "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/result-not-ready",
                "title": "Not Found",
                "status": 404,
                "detail": "The job has not ended yet.",
            },
        ),
        ("result", F): (
            507,
            PROBLEM,
            {"type": "about:blank", "title": "Insufficient Storage", "status": 507, "detail": "disk full"},
        ),
        ("finished", S): (200, {}, {"url": "/f"}),
    },
}


@pytest.mark.parametrize(
    ("name", "occasion", "phase", "expected"),
    [(name, *at, expected) for name, rows in TABLE.items() for at, expected in rows.items()],
)
def test_a_dialect_says_what_its_convention_has(
    name: str, occasion: str, phase: Phase, expected: tuple[int, dict[str, str], Any]
) -> None:
    status, fields, body = shown(getattr(DIALECTS[name], occasion)(view(phase)))
    assert (status, body) == (expected[0], expected[2])
    assert fields == expected[1]


def test_every_dialect_is_in_the_table() -> None:
    assert list(DIALECTS) == list(TABLE)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("content", [None, Content(b"\xff", "image/png"), Content(b"", "text/plain")])
@pytest.mark.parametrize("raw", [False, True])
def test_whatever_a_task_makes_there_is_something_to_say(name: str, content: Any, raw: bool) -> None:
    dialect = DIALECTS[name]
    occasions = [dialect.monitor, dialect.finished, dialect.status, dialect.result, dialect.original]
    for phase in (Phase.SUCCEEDED, Phase.FAILED):
        for tell in filter(None, occasions):
            for status in (200, 204, 404):
                told = tell(view(phase, outcome=Made(status, (("X", "y"),), content), raw=raw))
                assert 200 <= told.status < 600


# What a convention says of what the table does not show


@pytest.mark.parametrize(
    ("name", "body"),
    {
        "plain": {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "d"},
        "azure": {"error": {"code": "C", "message": "d"}},
        "google": {"error": {"code": 409, "message": "d", "status": "ABORTED"}},
        "jsonapi": {"errors": [{"status": "409", "code": "C", "title": "Conflict", "detail": "d"}]},
        "odata": {"error": {"code": "C", "message": "d"}},
        "github": {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "d"},
        "ogc": {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "d"},
    }.items(),
)
def test_a_problem_has_the_dialects_own_form(name: str, body: Any) -> None:
    assert shown(DIALECTS[name].problem(409, "C", "d"))[::2] == (409, body)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_azures_resources_tell_of_themselves(method: str) -> None:
    azure = DIALECTS["azure"]
    resource = {"id": "/things/a%20b", "name": "a b"}
    states = {
        Phase.QUEUED: "Accepted",
        Phase.RUNNING: "Creating" if method == "PUT" else "Updating",
        Phase.SUCCEEDED: "Succeeded",
        Phase.FAILED: "Failed",
        Phase.CANCELED: "Canceled",
    }
    assert azure.original is not None
    for phase, state in states.items():
        made = Made(200, (), Content.from_json({"sku": "s", "properties": {"size": 1}}))
        known = {"outcome": made} if phase is Phase.SUCCEEDED else {}
        status, fields, body = shown(azure.original(view(phase, method, **known)))
        more: Any = {"sku": "s", "properties": {"size": 1, "provisioningState": state}}
        expected = more if phase is Phase.SUCCEEDED else {"properties": {"provisioningState": state}}
        assert (status, body) == (200, {**resource, **expected})
        assert fields == (WAIT if phase in (Phase.QUEUED, Phase.RUNNING) else {})
        assert "result" not in shown(azure.monitor(view(phase, method)))[2]
    assert shown(azure.accepted(view(Phase.QUEUED, method)))[2]["properties"] == {
        "provisioningState": "Accepted"
    }


def test_a_null_that_a_task_has_made_is_a_result() -> None:
    null = view(Phase.SUCCEEDED, outcome=Made(200, (), Content.from_json(None)))
    assert shown(DIALECTS["azure"].monitor(null))[2]["result"] is None
    assert shown(DIALECTS["plain"].monitor(null))[2]["result"] is None
    assert shown(DIALECTS["google"].monitor(null))[2]["response"]["value"] is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [(3, 3), ("NOT_FOUND", 5), ("unavailable", 14), (0, 2), (17, 2), (True, 2), ("OK", 2), ("X", 2), ([], 2)],
)
def test_googles_errors_have_a_code_of_rpc(code: Any, expected: int) -> None:
    details = [{"@type": "t", "a": 1}, {"b": 2}, "c"]
    content = Content.from_json({"code": code, "message": 5, "details": details, "status": "X"})
    failed = shown(DIALECTS["google"].monitor(view(Phase.FAILED, outcome=Made(500, (), content))))[2]
    assert failed["error"] == {
        "code": expected,
        "message": "5",
        "details": [
            {"@type": "t", "a": 1},
            {"@type": STRUCT, "value": {"b": 2}},
            {"@type": "type.googleapis.com/google.protobuf.Value", "value": "c"},
        ],
    }
    assert failed.keys() <= {"name", "metadata", "done", "response", "error"}


def test_a_jsonapi_document_has_its_media_type_and_a_resource_is_where_the_rule_says() -> None:
    jsonapi = DIALECTS["jsonapi"]
    made = Made(201, (("Location", "/photos/1"),), Content.from_json({"data": None}))
    done = view(Phase.SUCCEEDED, outcome=made)
    assert shown(jsonapi.monitor(done))[:2] == (303, {"Location": "/photos/1", **JSONAPI})
    assert jsonapi.result is not None
    assert shown(jsonapi.result(done)) == (201, {"Location": "/photos/1", **JSONAPI}, {"data": None})
    assert shown(jsonapi.result(view(Phase.RUNNING)))[0] == 404


def test_odata_gives_the_response_in_one_piece_to_whoever_wants_it_and_no_version_that_he_does_not_know() -> (
    None
):
    made = Made(201, (("ETag", '"1"'), ("Content-Type", "text/csv")), Content(b"a\r\n", "text/plain"))
    told = DIALECTS["odata"].monitor(view(Phase.SUCCEEDED, outcome=made, wraps=True, version="4.0"))
    assert dict(told.headers) == {"Content-Transfer-Encoding": "binary", "OData-Version": "4.0"}
    assert told.content == Content(
        b'HTTP/1.1 201 Created\r\nETag: "1"\r\nContent-Type: text/csv\r\nOData-Version: 4.0\r\n'
        b"Content-Length: 3\r\n\r\na\r\n",
        "application/http",
    )
    gone = DIALECTS["odata"].monitor(view(Phase.SUCCEEDED, outcome=Made(204), wraps=True))
    assert gone.content is not None
    assert gone.content.body == b"HTTP/1.1 204 No Content\r\nOData-Version: 4.01\r\n\r\n"


@pytest.mark.parametrize("name", ["plain", "github", "odata", "jsonapi", "ogc"])
def test_a_real_apps_response_is_told_as_it_is(name: str) -> None:
    """What azure and google say of it is in their own documents."""
    made = Made(201, (("X-App", "1"),), Content(b"<p>", "text/html"))
    done = view(Phase.SUCCEEDED, outcome=made, raw=True)
    dialect = DIALECTS[name]
    told = (dialect.result or dialect.monitor)(done)
    assert ("X-App", "1") in told.headers
    assert told.content == made.content
    assert told.status == (200 if name == "odata" else 201)
