"""W3C baggage asks for a mock deep in a chain of services, and only the one that it names answers.

Three real services in three processes, frontend -> middle -> deep, each behind uvicorn and wrapped with
mockware. What carries the header from one to the next is OpenTelemetry's own instrumentation with its
default propagators, so the member arrives at the deepest service as real tracing libraries write it.
"""

import contextlib
import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

TESTS = Path(__file__).parent
PATIENCE_S = 60  # for a server on a busy machine; nothing waits this long unless it has failed
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*")
KEY = "a secret of the deep service"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextlib.contextmanager
def service(name: str, **settings: str) -> Iterator[str]:
    """The address of one running service, from the line in which uvicorn names it."""
    inherited = {
        variable: value
        for variable, value in os.environ.items()
        if not variable.startswith(("MOCKWARE", "OTEL_"))
        and variable not in {"APP_ENV", "ENVIRONMENT", "ENV", "DJANGO_ENV", "FLASK_ENV", "PYTHON_ENV"}
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "--port=0", f"--app-dir={TESTS}", "baggage_service:app"],
        env={**inherited, "PYTHONUNBUFFERED": "1", "MOCKWARE": "on", "MOCKWARE_SERVICE": name, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    found: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read_output() -> None:
        for line in process.stdout or ():
            output.append(line)
            if address := ADDRESS.search(line):
                found.put(address[0])
        found.put(None)

    reader = threading.Thread(target=read_output, daemon=True)
    reader.start()
    try:
        try:
            address = found.get(timeout=PATIENCE_S)
        except queue.Empty:
            address = None
        if address is None:
            pytest.fail(f"{name} named no address; it said:\n{''.join(output)}")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(PATIENCE_S)
        if process.stdout:
            process.stdout.close()
    said = "".join(output)
    assert "Traceback" not in said, said


@contextlib.contextmanager
def chain(stands: str, **settings_of_deep: str) -> Iterator[httpx.Client]:
    """A client of the frontend; the services start from the deepest, each knowing the next."""
    with (
        service("deep", STANDS=stands, **settings_of_deep) as deep,
        service("middle", STANDS=stands, NEXT_SERVICE=deep) as middle,
        service("frontend", STANDS=stands, NEXT_SERVICE=middle) as frontend,
        httpx.Client(base_url=frontend, timeout=PATIENCE_S, trust_env=False) as client,
    ):
        client.headers["traceparent"] = f"00-{TRACE}-b7ad6b7169203331-01"
        yield client


@pytest.fixture(scope="module", params=["around the tracing", "inside the tracing"])
def frontend(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with chain(request.param) as client:
        yield client


@pytest.fixture(scope="module")
def frontend_of_a_deep_service_with_a_key() -> Iterator[httpx.Client]:
    with chain("around the tracing", MOCKWARE_KEY=KEY) as client:
        yield client


def answer_to(frontend: httpx.Client, baggage: str) -> Any:
    response = frontend.get("/work", headers={"baggage": baggage})
    assert response.status_code == 200, response.text
    assert "x-mock-rule" not in response.headers
    answer = response.json()
    assert answer["service"] == "frontend"
    assert answer["trace"] == TRACE
    return answer


def check_nobody_mocked(answer: Any) -> None:
    services = []
    while True:
        services.append(answer["service"])
        assert answer["trace"] == TRACE
        if "next" not in answer:
            break
        assert (answer["next"]["status"], answer["next"]["rule"]) == (200, None)
        answer = answer["next"]["answer"]
    assert services == ["frontend", "middle", "deep"]


def check_only_deep_mocked(answer: Any, status: int) -> None:
    middle = answer["next"]
    assert (middle["status"], middle["rule"]) == (200, None)
    assert middle["answer"]["service"] == "middle"
    assert middle["answer"]["trace"] == TRACE
    deep = middle["answer"]["next"]
    assert (deep["status"], deep["rule"]) == (status, "trigger")
    assert "service" not in deep["answer"]  # its handler did not run


def test_without_baggage_a_request_runs_through_all_three(frontend: httpx.Client) -> None:
    answer = frontend.get("/work").json()
    assert answer["baggage"] == []
    check_nobody_mocked(answer)


@pytest.mark.parametrize("status", [503, 202, 404])
def test_only_the_service_that_the_baggage_names_mocks(frontend: httpx.Client, status: int) -> None:
    answer = answer_to(frontend, f"mock.deep={status}")
    assert answer["baggage"] == [f"mock.deep={status}"]
    assert answer["next"]["answer"]["baggage"] == [f"mock.deep={status}"]
    check_only_deep_mocked(answer, status)


def test_the_member_is_found_among_foreign_ones_and_blanks(frontend: httpx.Client) -> None:
    baggage = "userId=al%20ice , isProduction=false;sampled ,mock.elsewhere=500,  mock.deep = 503"
    check_only_deep_mocked(answer_to(frontend, baggage), 503)


def test_the_member_keeps_its_meaning_when_a_tracing_library_encodes_its_property(
    frontend: httpx.Client,
) -> None:
    # OpenTelemetry for Python takes properties for a part of the value and percent-encodes the whole.
    answer = answer_to(frontend, "mock.deep=503;asked-by=ada")
    assert answer["next"]["answer"]["baggage"] == ["mock.deep=503%3Basked-by%3Dada"]
    check_only_deep_mocked(answer, 503)


@pytest.mark.parametrize(("value", "status"), [("50%33", 503), ("503:1%2C202:0", 503)])
def test_a_percent_encoded_value_is_decoded(frontend: httpx.Client, value: str, status: int) -> None:
    check_only_deep_mocked(answer_to(frontend, f"mock.deep={value}"), status)


def test_the_nearest_named_service_answers_and_the_rest_are_not_reached(frontend: httpx.Client) -> None:
    answer = answer_to(frontend, "mock.deep=503,mock.middle=429")
    assert (answer["next"]["status"], answer["next"]["rule"]) == (429, "trigger")
    assert "service" not in answer["next"]["answer"]


def test_the_first_service_mocks_itself_too(frontend: httpx.Client) -> None:
    response = frontend.get("/work", headers={"baggage": "mock.frontend=503,mock.deep=202"})
    assert (response.status_code, response.headers["x-mock-rule"]) == (503, "trigger")


FOREIGN = [
    "userId=alice,serverNode=DF%2028,isProduction=false",
    "mock.elsewhere=503",
    "mock.elsewhere=banana",
    "mock.deeper=503,mock.dee=503,xmock.deep=503,mock.deep.x=503",
    "mock=503,deep=503",
    "userId=mock.deep=503",
    "note=a;mock.deep=503",
]
MALFORMED = [
    "=",
    ",,,",
    "nonsense",
    ";;",
    "userId",
    "=503",
    "bad key=1",
    "a=%zz%",
    '"mock.deep=503"',
]


@pytest.mark.parametrize("baggage", [*FOREIGN, *MALFORMED])
def test_foreign_members_are_ignored_well_formed_or_not(frontend: httpx.Client, baggage: str) -> None:
    check_nobody_mocked(answer_to(frontend, baggage))


@pytest.mark.parametrize("malformed", [*MALFORMED, "userId=alice", "mock.elsewhere=banana"])
@pytest.mark.parametrize("baggage", ["{},mock.frontend=503", "mock.frontend=503,{}"])
def test_malformed_foreign_members_do_not_hide_ones_own(
    frontend: httpx.Client, malformed: str, baggage: str
) -> None:
    # Asked of the frontend, since a tracing library drops malformed members on the way.
    response = frontend.get("/work", headers={"baggage": baggage.format(malformed)})
    assert (response.status_code, response.headers["x-mock-rule"]) == (503, "trigger")


@pytest.mark.parametrize("value", ["banana", "5033", "50", "999", "2_02", "503%0A", "50%33%33"])
def test_ones_own_malformed_member_gets_a_400_at_that_service(frontend: httpx.Client, value: str) -> None:
    response = frontend.get("/work", headers={"baggage": f"mock.frontend={value}"})
    assert (response.status_code, response.headers["x-mock-rule"]) == (400, "trigger")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("value", ["banana", "5033", "50", "999", "2_02"])
def test_a_deep_services_own_malformed_member_gets_a_400_there(frontend: httpx.Client, value: str) -> None:
    answer = answer_to(frontend, f"mock.deep={value}")
    check_only_deep_mocked(answer, 400)
    problem = answer["next"]["answer"]["next"]["answer"]
    assert problem["status"] == 400
    assert any(value in str(part) for part in problem.values())


def test_a_header_trigger_comes_before_the_baggage(frontend: httpx.Client) -> None:
    headers = {"baggage": "mock.frontend=503", "x-mock-status": "202"}
    assert frontend.get("/work", headers=headers).status_code == 202


def test_repeated_baggage_fields_count_as_one(frontend: httpx.Client) -> None:
    headers = [("baggage", "userId=alice"), ("baggage", "mock.frontend=503")]
    assert frontend.get("/work", headers=headers).status_code == 503


@pytest.mark.parametrize("value", ["503", "banana", "503;key=a%20secret%20of%20the%20deep%20service"])
def test_with_a_key_set_baggage_without_a_token_is_ignored_at_that_service(
    frontend_of_a_deep_service_with_a_key: httpx.Client, value: str
) -> None:
    check_nobody_mocked(answer_to(frontend_of_a_deep_service_with_a_key, f"mock.deep={value}"))


def token(*options: str, key: str = KEY) -> str:
    """One from the command, as a tester gets it."""
    command = [sys.executable, "-m", "mockware", "token", *options]
    environ = {**os.environ, "MOCKWARE_KEY": key}
    return subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout.strip()


def test_a_token_mocks_deep_in_the_chain(frontend_of_a_deep_service_with_a_key: httpx.Client) -> None:
    shown = token("--paths", "/work*", "--status", "503,202", "--service", "deep", "--for", "5m")
    for member in (f"mock.deep=503;key={shown}", f"mock.deep=503%3Bkey%3D{shown}"):
        answer = answer_to(frontend_of_a_deep_service_with_a_key, f"userId=ada,{member}")
        # What arrives at the middle of the chain was encoded by OpenTelemetry on the way.
        assert f"mock.deep=503%3Bkey%3D{shown}" in answer["next"]["answer"]["baggage"][0]
        check_only_deep_mocked(answer, 503)


def test_a_forged_token_mocks_nobody(frontend_of_a_deep_service_with_a_key: httpx.Client) -> None:
    shown = token(key="a secret of somebody else")
    check_nobody_mocked(answer_to(frontend_of_a_deep_service_with_a_key, f"mock.deep=503;key={shown}"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--status", "202"], "503: the token allows these statuses only"),
        (["--paths", "/other/*"], "the token is for the paths"),
        (["--service", "middle"], "the token is for the service 'middle', and this is 'deep'"),
    ],
)
def test_a_token_for_something_else_is_refused_at_that_service(
    frontend_of_a_deep_service_with_a_key: httpx.Client, options: list[str], reason: str
) -> None:
    answer = answer_to(frontend_of_a_deep_service_with_a_key, f"mock.deep=503;key={token(*options)}")
    check_only_deep_mocked(answer, 403)
    assert reason in answer["next"]["answer"]["next"]["answer"]["detail"]


def test_a_key_of_one_service_leaves_the_baggage_of_the_others_alone(
    frontend_of_a_deep_service_with_a_key: httpx.Client,
) -> None:
    answer = answer_to(frontend_of_a_deep_service_with_a_key, "mock.middle=503")
    assert (answer["next"]["status"], answer["next"]["rule"]) == (503, "trigger")
