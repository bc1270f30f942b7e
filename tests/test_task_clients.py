"""The clients that people have follow a task from 202 to its end, over real sockets, in each dialect.

One rules file, served by uvicorn around a Starlette app and by waitress around one of Flask. Times are short,
and where a client must have heeded a hint, it is counted how often it asked, or when by the server's clock.
"""

import http.client
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any
from uuid import uuid4

import github
import httpx
import pytest
import requests
from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import RedirectPolicy, RequestIdPolicy, RetryPolicy, SansIOHTTPPolicy
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LocationPolling, LROBasePolling
from azure.core.rest import HttpRequest
from azure.mgmt.core.polling.arm_polling import ARMPolling
from google.api_core import exceptions, operation
from google.api_core.future import polling as google_polling
from google.protobuf import json_format, struct_pb2
from requests.adapters import HTTPAdapter
from tests.counting import Way, outputs, serving
from tests.task_apps import MADE, PATIENCE_S
from urllib3.util import Retry

SERVERS = {
    "uvicorn": ("uvicorn", "--port={port}", "--no-access-log", "--factory", "tests.task_apps:asgi"),
    "waitress": ("waitress", "--listen=127.0.0.1:{port}", "--threads=8", "--call", "tests.task_apps:wsgi"),
}
KEYS = ("Idempotency-Key", "Operation-Id", "Repeatability-Request-ID")
FAILURE = {"code": "ExportFailed", "message": "disk full"}
REPORT = {"url": "/files/report.csv"}
STATISTICS = [{"total": 3, "author": {"login": "octocat"}, "weeks": []}]


def rule(match: str, dialect: str, **task: Any) -> dict[str, Any]:
    named = {"dialect": dialect, "duration": "300ms", "retry_after": "50ms", **task}
    return {"match": match, "task": named}


LONG: dict[str, Any] = {"duration": "1h", "cancel": True}
FAILS: dict[str, Any] = {"failure": {"probability": 1, "json": FAILURE}}
MAKES: dict[str, Any] = {"result": {"json": REPORT}}
RULES = [
    rule("POST /plain/{name}", "plain", **MAKES),
    rule("POST /plain-long/{name}", "plain", **LONG),
    # Long enough for two polls on a machine that is busy.
    rule("POST,PUT,PATCH,DELETE /azure/{name}", "azure", **MAKES, duration="1500ms", queue_time="100ms"),
    rule("POST,PUT,PATCH,DELETE /azure-fails/{name}", "azure", **FAILS),
    rule("POST,PUT,PATCH,DELETE /azure-long/{name}", "azure", **LONG),
    rule("POST /google/{name}", "google", monitor="/operations/{task_id}", **MAKES),
    rule("POST /google-long/{name}", "google", monitor="/operations/{task_id}", **LONG),
    *(
        rule(
            f"POST /google-{code}/{{name}}",
            "google",
            monitor="/operations/{task_id}",
            failure={"probability": 1, "json": {"code": code, "message": "no disk"}},
        )
        for code in ("PERMISSION_DENIED", "resource_exhausted", 3, "ExportFailed")
    ),
    rule("POST /jsonapi/{name}", "jsonapi", **MAKES),
    rule("POST /jsonapi-at/{name}", "jsonapi", result={"headers": {"location": "/seen"}}),
    rule("POST /jsonapi-fails/{name}", "jsonapi", **FAILS),
    rule("POST /odata/{name}", "odata", result={"status": 201, "json": REPORT}),
    rule("POST /odata-slow/{name}", "odata", duration="1900ms", retry_after="1s", **MAKES),
    rule("POST /odata-long/{name}", "odata", **LONG),
    rule("GET /repos/{owner}/{repo}/stats/contributors", "github", result={"json": STATISTICS}),
    rule(
        "POST /processes/{name}/execution",
        "ogc",
        monitor="/jobs/{task_id}",
        queue_time="150ms",
        **MAKES,
    ),
    rule("POST /processes-long/{name}/execution", "ogc", **LONG),
    {"name": "work", "match": "POST /work/{name}", "task": {"run": "app", "retry_after": "50ms"}},
]

Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module", params=SERVERS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("tasks") / "mocks.json"
    file.write_text(json.dumps({"rules": RULES}))
    way = Way((sys.executable, "-m", *SERVERS[request.param]), {"MOCKWARE_FILE": str(file)})
    with serving(way, store="memory:") as servers:
        yield f"http://127.0.0.1:{servers[0].port}"
        assert "Traceback" not in servers[0].log.text, outputs(servers)


@pytest.fixture
def name() -> str:
    return uuid4().hex


@pytest.fixture(scope="module")
def ask(base: str) -> Iterator[Ask]:
    with httpx.Client(base_url=base, timeout=PATIENCE_S, verify=False) as client:
        yield client.request


def until(ask: Callable[[], httpx.Response], ended: Callable[[httpx.Response], bool]) -> list[httpx.Response]:
    """All the answers, the last of which is the first that has `ended`; each poll waits as it was told to."""
    answers = [ask()]
    waits = threading.Event()
    while not ended(answers[-1]):
        assert len(answers) < 1000, answers[-1].text
        waits.wait(int(answers[-1].headers["retry-after-ms"]) / 1000)
        answers.append(ask())
    return answers


def seen(ask: Ask, path: str) -> list[float]:
    """When the server got each request to the path, by its own clock."""
    return [at for at, _, asked in ask("GET", "/seen").json() if asked == path]


# ---- azure


class Watch(SansIOHTTPPolicy[Any, Any]):
    """All that a client of Azure's has asked, and an event when it has begun to ask again and again."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.polls_again = threading.Event()

    def on_response(self, request: PipelineRequest[Any], response: PipelineResponse[Any, Any]) -> None:
        self.asked.append(
            (request.http_request.method, request.http_request.url, response.http_response.status_code)
        )
        if len(self.polls) > 1:
            self.polls_again.set()

    @property
    def polls(self) -> list[int]:
        return [status for method, _, status in self.asked if method == "GET"]


Polling = Callable[[], LROBasePolling[Any, Any, Any]]
CORE: Polling = LROBasePolling
ARM: Polling = ARMPolling


def location_only() -> LROBasePolling[Any, Any, Any]:
    return LROBasePolling(lro_algorithms=[LocationPolling()])


both = pytest.mark.parametrize("polling", [CORE, ARM], ids=["core", "arm"])
every_method = pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])


def lro(base: str, method: str, path: str, polling: Polling) -> tuple[LROPoller[Any], Watch]:
    """A poller as generated clients make it, with nothing but the defaults."""
    watch = Watch()
    client: PipelineClient[Any, Any] = PipelineClient(
        base, policies=[RequestIdPolicy(), RedirectPolicy(), RetryPolicy(), watch]
    )
    first: Any = client.send_request(
        HttpRequest(method, base + path, json={}), _return_pipeline_response=True
    )
    return LROPoller(client, first, lambda r: r.http_response.json(), polling()), watch


@both
def test_azure_gets_the_result_of_a_post_and_heeds_the_hint_in_milliseconds(
    base: str, name: str, polling: Polling
) -> None:
    poller, watch = lro(base, "POST", f"/azure/{name}", polling)
    made = poller.result()
    assert poller.status() == "Succeeded"
    assert made["result"] == REPORT
    # Without the hint it would poll once, and then again after 30 s.
    assert watch.polls.count(202) > 1, watch.asked
    assert set(watch.polls) == {200, 202}


def test_azure_follows_the_location_alone(base: str, name: str) -> None:
    poller, watch = lro(base, "POST", f"/azure/{name}", location_only)
    assert poller.result()["result"] == REPORT
    assert watch.polls.count(202) > 1, watch.asked


@both
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_azure_gets_the_resource_of_a_put_or_patch_from_its_own_url(
    base: str, name: str, polling: Polling, method: str
) -> None:
    poller, watch = lro(base, method, f"/azure/{name}", polling)
    assert poller.result() == {
        "id": f"/azure/{name}",
        "name": name,
        **REPORT,
        "properties": {"provisioningState": "Succeeded"},
    }
    assert watch.asked[-1] == ("GET", f"{base}/azure/{name}", 200)


@pytest.mark.parametrize(("method", "state"), [("PUT", "Creating"), ("PATCH", "Updating")])
def test_azure_shows_a_resource_that_is_not_there_yet(ask: Ask, name: str, method: str, state: str) -> None:
    ask(method, f"/azure-long/{name}")
    assert ask("GET", f"/azure-long/{name}").json()["properties"] == {"provisioningState": state}


@both
def test_azure_deletes(base: str, name: str, polling: Polling) -> None:
    poller, watch = lro(base, "DELETE", f"/azure/{name}", polling)
    poller.wait()
    assert poller.status() == "Succeeded"
    assert watch.polls.count(202) > 1, watch.asked


@both
@every_method
def test_azure_raises_what_the_failure_says(base: str, name: str, polling: Polling, method: str) -> None:
    poller, _ = lro(base, method, f"/azure-fails/{name}", polling)
    with pytest.raises(HttpResponseError, match="disk full") as raised:
        poller.result()
    assert poller.status() == "Failed"
    assert raised.value.error is not None
    assert (raised.value.error.code, raised.value.error.message) == ("ExportFailed", "disk full")


@both
@pytest.mark.parametrize(("method", "suffix"), [("DELETE", ""), ("POST", ":cancel")])
def test_azure_sees_that_somebody_else_has_canceled_it(
    base: str, name: str, ask: Ask, polling: Polling, method: str, suffix: str
) -> None:
    poller, watch = lro(base, "POST", f"/azure-long/{name}", polling)
    assert watch.polls_again.wait(PATIENCE_S)
    canceled = ask(method, watch.asked[-1][1] + suffix)
    assert (canceled.status_code, canceled.json()["status"]) == (200, "Canceled")
    with pytest.raises(HttpResponseError) as raised:
        poller.result()
    assert poller.status() == "Canceled"
    assert raised.value.error is not None
    assert raised.value.error.code == "OperationCanceled"


def test_azure_is_told_in_its_own_words_that_a_task_is_not_known(ask: Ask, name: str) -> None:
    monitor = ask("POST", f"/azure/{name}").headers["operation-location"]
    # The id is one of another rule's.
    unknown = ask("GET", monitor.replace("/azure/", "/azure-long/"))
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == unknown.headers["x-ms-error-code"] == "NotFound"


# ---- google


def google(ask: Ask, path: str) -> Any:
    def request(method: str, path: str, **_: Any) -> Any:
        answer = ask(method, f"/{path}")
        answer.raise_for_status()
        return answer.json()

    # A second at first, if nobody says otherwise, and growing: it heeds no hint.
    quick = google_polling.DEFAULT_POLLING.with_delay(initial=0.05, maximum=0.05).with_timeout(PATIENCE_S)
    from_http_json: Any = operation.from_http_json  # it has no type hints
    accepted = ask("POST", path).json()
    return from_http_json(
        accepted, request, struct_pb2.Struct, metadata_type=struct_pb2.Struct, polling=quick
    )


def test_google_gets_the_result(ask: Ask, name: str) -> None:
    future = google(ask, f"/google/{name}")
    assert json_format.MessageToDict(future.result()) == REPORT
    assert future.done()
    assert future.metadata["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("code", "number"), [("PERMISSION_DENIED", 7), ("resource_exhausted", 8), (3, 3), ("ExportFailed", 2)]
)
def test_google_raises_the_code_of_the_failure(ask: Ask, name: str, code: object, number: int) -> None:
    future = google(ask, f"/google-{code}/{name}")
    with pytest.raises(exceptions.GoogleAPICallError, match="no disk") as raised:
        future.result()
    # Which class it is depends on grpc being there; it is made of this number alone.
    assert [error.code for error in raised.value.errors] == [number]


def test_google_cancels(ask: Ask, name: str) -> None:
    future = google(ask, f"/google-long/{name}")
    assert not future.done()
    assert future.metadata["state"] == "RUNNING"
    assert future.cancel()
    assert future.cancelled()
    with pytest.raises(exceptions.GoogleAPICallError, match="cancelled") as raised:
        future.result()
    assert [error.code for error in raised.value.errors] == [1]
    assert future.metadata["state"] == "CANCELLED"


# ---- github, and whoever asks the same again while it is told 202


def test_pygithub_asks_again_until_the_statistics_are_there(
    base: str, ask: Ask, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("github.Consts.PROCESSING_202_WAIT_TIME", 0.1)
    path = f"/repos/{name}/repo/stats/contributors"
    with github.Github(base_url=base, seconds_between_requests=0, lazy=True) as client:
        found = client.get_repo(f"{name}/repo").get_stats_contributors()
    assert [(each.total, each.author.login) for each in found or []] == [(3, "octocat")]
    assert len(seen(ask, path)) > 1


def test_urllib3_asks_again_until_it_is_no_202(base: str, ask: Ask, name: str) -> None:
    path = f"/repos/{name}/repo/stats/contributors"
    with session(Retry(total=20, status_forcelist=[202], backoff_factor=0.05)) as client:
        answer = client.get(base + path)
    assert (answer.status_code, answer.json()) == (200, STATISTICS)
    assert len(seen(ask, path)) > 1


def test_urllib3_heeds_retry_after(base: str, ask: Ask, name: str) -> None:
    accepted = ask("POST", f"/odata-slow/{name}", headers={"Prefer": "respond-async"})
    assert accepted.headers["retry-after"] == "1"
    monitor = accepted.headers["location"]
    with session(Retry(total=20, status_forcelist=[202], backoff_factor=0)) as client:
        answer = client.get(monitor)
    assert (answer.status_code, answer.json()) == (200, REPORT)
    polls = seen(ask, httpx.URL(monitor).path)
    assert len(polls) > 1
    assert all(later - earlier >= 1 for earlier, later in pairwise(polls)), polls


def session(retries: Retry) -> requests.Session:
    made = requests.Session()
    made.mount("http://", HTTPAdapter(max_retries=retries))
    return made


# ---- jsonapi


def test_jsonapi_is_followed_by_its_content_location_and_then_to_what_was_made(ask: Ask, name: str) -> None:
    accepted = ask("POST", f"/jsonapi/{name}")
    assert accepted.status_code == 202
    assert accepted.headers["content-type"] == "application/vnd.api+json"
    monitor = accepted.url.join(accepted.headers["content-location"])
    assert accepted.json()["data"]["type"] == "queue-jobs"
    answers = until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 200)
    assert {each.json()["data"]["id"] for each in answers} == {accepted.json()["data"]["id"]}
    assert answers[-1].status_code == 303
    followed = ask("GET", monitor, follow_redirects=True)
    assert [each.status_code for each in followed.history] == [303]
    assert (followed.status_code, followed.json()) == (200, REPORT)


def test_jsonapi_leads_to_the_resource_that_the_rule_names(ask: Ask, name: str) -> None:
    monitor = ask("POST", f"/jsonapi-at/{name}").headers["content-location"]
    until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 200)
    followed = ask("GET", monitor, follow_redirects=True)
    assert (followed.url.path, followed.status_code) == ("/seen", 200)


def test_jsonapi_tells_of_a_failure_in_an_errors_document(ask: Ask, name: str) -> None:
    monitor = ask("POST", f"/jsonapi-fails/{name}").headers["content-location"]
    failed = until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 200)[-1]
    assert failed.status_code == 500
    (error,) = failed.json()["errors"]
    assert (error["status"], error["code"], error["detail"]) == ("500", "ExportFailed", "disk full")


# ---- odata


def odata(ask: Ask, path: str) -> httpx.URL:
    accepted = ask("POST", path, headers={"Prefer": "respond-async", "OData-MaxVersion": "4.01"})
    assert (accepted.status_code, accepted.content) == (202, b"")
    assert accepted.headers["preference-applied"] == "respond-async"
    return httpx.URL(accepted.headers["location"])


def test_odata_gets_the_result_with_its_own_status_beside_it(ask: Ask, name: str) -> None:
    monitor = odata(ask, f"/odata/{name}")
    answers = until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 202)
    assert (answers[-1].status_code, answers[-1].headers["asyncresult"]) == (200, "201")
    assert answers[-1].json() == REPORT


def test_odata_gets_the_response_in_one_piece_if_it_accepts_application_http(ask: Ask, name: str) -> None:
    monitor = odata(ask, f"/odata/{name}")
    wants = {"Accept": "application/http"}
    wrapped = until(lambda: ask("GET", monitor, headers=wants), lambda answer: answer.status_code != 202)[-1]
    assert (wrapped.status_code, wrapped.headers["content-type"]) == (200, "application/http")

    class Read:
        def makefile(self, _: str) -> io.BytesIO:
            return io.BytesIO(wrapped.content)

    response = http.client.HTTPResponse(Read())  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.getheader("Content-Type")) == (201, "application/json")
    assert json.loads(response.read()) == REPORT


def test_odata_has_no_monitor_any_more_after_a_delete(ask: Ask, name: str) -> None:
    monitor = odata(ask, f"/odata-long/{name}")
    assert ask("GET", monitor).status_code == 202
    assert ask("DELETE", monitor).status_code == 204
    assert ask("GET", monitor).status_code == 404


def test_odata_leaves_who_does_not_prefer_it_to_the_app(ask: Ask, name: str) -> None:
    assert "x-mock-rule" not in ask("POST", f"/odata/{name}").headers


# ---- ogc


def test_ogc_goes_from_accepted_to_the_results(ask: Ask, name: str) -> None:
    accepted = ask("POST", f"/processes/{name}/execution", headers={"Prefer": "respond-async"})
    assert (accepted.status_code, accepted.json()["status"]) == (201, "accepted")
    job = accepted.headers["location"]
    answers = until(lambda: ask("GET", job), lambda answer: answer.json()["status"] == "successful")
    words = [answer.json()["status"] for answer in answers]
    assert words == sorted(words, key=("accepted", "running", "successful").index)
    assert words[-1] == "successful"
    results = [link["href"] for link in answers[-1].json()["links"] if link["rel"].endswith("/results")]
    assert results == [f"{job}/results"]
    assert ask("GET", results[0]).json() == REPORT


def test_ogc_has_no_results_of_a_job_that_runs_or_was_dismissed(ask: Ask, name: str) -> None:
    job = ask("POST", f"/processes-long/{name}/execution").headers["location"]
    assert ask("GET", job).json()["status"] == "running"
    early = ask("GET", f"{job}/results")
    assert early.status_code == 404
    assert early.json()["type"].endswith("/result-not-ready")
    dismissed = ask("DELETE", job)
    assert (dismissed.status_code, dismissed.json()["status"]) == (200, "dismissed")
    assert ask("GET", job).json()["status"] == "dismissed"
    assert ask("GET", f"{job}/results").status_code == 404


# ---- Prefer


def test_who_would_wait_long_enough_gets_the_result_at_once(ask: Ask, name: str) -> None:
    answer = ask("POST", f"/plain/{name}", headers={"Prefer": "respond-async, wait=10, unheard-of; a=1"})
    assert (answer.status_code, answer.json()) == (200, REPORT)
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.headers["vary"] == "Prefer"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [("respond-async, wait=10", "respond-async"), ("wait=10", None), ("return=minimal", None)],
)
def test_who_would_not_is_told_where_to_ask(ask: Ask, name: str, prefer: str, applied: str | None) -> None:
    answer = ask("POST", f"/plain-long/{name}", headers={"Prefer": prefer})
    assert (answer.status_code, answer.headers.get("preference-applied")) == (202, applied)
    assert answer.headers["vary"] == "Prefer"
    assert ask("GET", answer.headers["location"]).json()["status"] == "running"


# ---- the same request again


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(("dialect", "reused"), [("plain", 422), ("azure", 400)])
def test_twenty_requests_at_once_with_one_key_make_one_task(
    ask: Ask, name: str, key: str, dialect: str, reused: int
) -> None:
    path = f"/{dialect}-long/{name}"
    together = threading.Barrier(20)

    def post(_: int) -> httpx.Response:
        together.wait(PATIENCE_S)
        return ask("POST", path, headers={key: name}, json={"of": name})

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(post, range(20)))
    assert [answer.status_code for answer in answers] == [202] * 20
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len({answer.content for answer in answers}) == 1
    assert ask("POST", path, headers={key: name}, json={"of": "another"}).status_code == reused
    assert ask("POST", path, headers={key: f"{name}-2"}, json={"of": name}).status_code == 202


# ---- the app behind a 202


def test_the_app_works_in_the_background_and_its_own_response_is_served(ask: Ask, name: str) -> None:
    path = f"/work/slow-{name}"
    again = {"Idempotency-Key": name}
    accepted = ask("POST", path, content=b"\xfftask", headers=again)
    assert accepted.status_code == 202
    monitor = accepted.headers["location"]
    assert ask("GET", monitor).json()["status"] == "running"
    assert ask("POST", path, content=b"\xfftask", headers=again).headers["location"] == monitor
    assert ask("POST", f"/release/slow-{name}").json() == 1, "it worked twice for one key"
    for made in (
        until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 200)[-1],
        ask("GET", monitor),
    ):
        assert (made.status_code, made.content) == (201, MADE + b"\xfftask")
        assert made.headers["x-made"] == f"slow-{name}"
        assert made.headers["content-type"] == "application/x-made"
        assert made.headers["x-mock-rule"] == "work"


def test_what_the_app_refuses_in_the_background_is_served_as_it_is(ask: Ask, name: str) -> None:
    monitor = ask("POST", f"/work/refused-{name}").headers["location"]
    refused = until(lambda: ask("GET", monitor), lambda answer: answer.status_code != 200)[-1]
    assert (refused.status_code, refused.json()["code"]) == (409, "Refused")


def test_a_body_too_long_to_be_kept_is_refused_and_the_connection_goes_on(base: str, name: str) -> None:
    connection = http.client.HTTPConnection(httpx.URL(base).netloc.decode(), timeout=PATIENCE_S)
    with_one_more = bytes((1 << 20) + 1)
    for body, status in ((with_one_more, 413), (with_one_more[1:], 202), (with_one_more, 413)):
        connection.request("POST", f"/work/{name}", body)
        used = connection.sock
        answer = connection.getresponse()
        told = answer.read()
        assert answer.status == status
        assert status != 413 or "1 MiB" in json.loads(told)["detail"]
        assert connection.sock is used, "closed"
    connection.request("GET", "/seen")
    assert connection.getresponse().status == 200
    connection.close()
