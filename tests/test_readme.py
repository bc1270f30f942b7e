"""The README's commands are run and its code is executed, so that what it promises is what users get."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ASGITracing
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WSGITracing
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from tests.by_hand import Sent, over_asgi, over_wsgi
from tests.commands import PATIENCE_S, environ, run, serving
from tests.pytest_runs import run_tests
from tests.upstreams import Upstream

import mockware
from mockware.journal import MAX_BODY_BYTES, MAX_BYTES, MAX_ENTRIES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


CONSOLE = blocks("console")[0]
RULES, FROM_A_BROWSER = blocks("toml")
FIRST_APP, WRAPPINGS, USERS_TESTS, TRACED = blocks("python")
DEMO_COMMAND, TEST_COMMAND, HOSTING, TOKEN, SWITCHING = blocks("sh")


def test_these_are_all_the_blocks_that_there_are() -> None:
    languages = re.findall(r"^```(\S+)$", README, re.MULTILINE)
    assert languages == [
        *("console", "python", "sh", "sh", "python", "sh", "toml", "sh", "toml", "python", "sh", "python")
    ]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with the README's rules file, where mockware is on."""
    (tmp_path / "mocks.toml").write_text(RULES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOCKWARE", "on")
    return tmp_path


def test_the_first_screen_shows_what_the_code_below_it_answers(on: Path) -> None:
    shown, _, body = CONSOLE.partition("\n\n")
    prompt, status, *fields = shown.splitlines()
    assert prompt == "$ curl -i -X POST http://127.0.0.1:8000/reports"
    assert status == "HTTP/1.1 202 Accepted"
    scope: dict[str, Any] = {}
    exec(FIRST_APP, scope)
    answer = over_asgi(scope["app"], Sent("POST", "/reports"))
    assert answer.status == 202
    assert sorted(answer.fields) == sorted((f.split(": ")[0].lower(), f.split(": ")[1]) for f in fields)
    assert answer.body.decode() + "\n" == body


def test_what_it_says_for_browsers_goes_with_the_rules(on: Path) -> None:
    (on / "mocks.toml").write_text(RULES + FROM_A_BROWSER)
    app = mockware.wrap(FastAPI(), rules="mocks.toml")
    origin = ("Origin", "https://7.preview.example.com")
    answer = over_asgi(app, Sent("GET", "/payments/7", query="mock=503", headers=[origin]))
    assert answer.status == 503
    assert answer.one("access-control-allow-origin") == origin[1]
    assert answer.one("access-control-expose-headers") == "X-Mock-Rule, Location, Retry-After"
    assert over_asgi(app, Sent("GET", "/users/7", headers=[("Cookie", "mock=503")])).status == 503


def test_the_first_screen_has_the_code_in_five_lines() -> None:
    assert len(FIRST_APP.strip().splitlines()) == 5
    assert max(README.index(block) for block in (CONSOLE, FIRST_APP)) < 1000


def test_every_section_is_in_the_contents_after_the_first_screen() -> None:
    contents = README[: README.index("\n## ")]
    titles = re.findall("^## (.*)$", README, re.MULTILINE)
    anchors = [re.sub("[^a-z -]", "", title.lower()).replace(" ", "-") for title in titles]
    assert re.findall(r"\]\(#([a-z-]+)\)", contents) == anchors


WRAPPING = dict(enumerate(WRAPPINGS.strip().splitlines()))


def wrapped(line: int, **names: Any) -> Any:
    names["mockware"] = mockware
    exec(WRAPPING[line], names)
    return names["application" if "application" in names else "app"]


@pytest.mark.parametrize("app", [Starlette(), Flask("any")])
def test_any_app_is_wrapped_as_it_says(app: Any, on: Path) -> None:
    over: Any = over_asgi if isinstance(app, Starlette) else over_wsgi
    assert over(wrapped(0, app=app), Sent("POST", "/reports")).status == 202
    assert over(wrapped(0, app=app), Sent("GET", "/nowhere")).status == 404


@pytest.mark.parametrize("app", [FastAPI(), Starlette()])
def test_an_asgi_framework_is_wrapped_as_it_says(app: Any, on: Path) -> None:
    app = wrapped(1, app=app)
    assert over_asgi(app, Sent("POST", "/reports")).status == 202
    assert over_asgi(app, Sent("GET", "/nowhere")).status == 404


def test_flask_is_wrapped_as_it_says(on: Path) -> None:
    client = wrapped(2, app=Flask("any")).test_client()
    assert client.post("/reports").status_code == 202
    assert client.get("/nowhere").status_code == 404


DJANGO = """
import wsgiref.util
import mockware
from django.conf import settings
from django.core.wsgi import get_wsgi_application

settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF=__name__)
urlpatterns = []
{line}
for method, path in (("POST", "/reports"), ("GET", "/nowhere")):
    environ = {{"REQUEST_METHOD": method, "PATH_INFO": path}}
    wsgiref.util.setup_testing_defaults(environ)
    application(environ, lambda status, headers: print(status))
"""


def test_django_is_wrapped_as_it_says(on: Path) -> None:
    # In a process of its own, since Django's settings are those of a process.
    done = subprocess.run(
        [sys.executable, "-c", DJANGO.format(line=WRAPPING[3])],
        cwd=on, env=environ(MOCKWARE="on", MOCKWARE_FILE="mocks.toml"), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.stdout == "202 Accepted\n404 Not Found\n", done.stderr


def commands() -> list[str]:
    """The commands in the text, a line each."""
    return [" ".join(found.split()) for found in re.findall(r"`((?:mockware|MOCKWARE_FILE=)[^`]*)`", README)]


def test_the_commands_of_the_text_are_those_that_are_run_here() -> None:
    used = {word for command in commands() for word in re.findall(r"mockware (\w+) ", command)}
    assert used == {"run", "schema", "check", "explain", "snippet", "status"}


@pytest.mark.parametrize(
    "command", [c for c in commands() if re.match(r"mockware (schema|check|explain|snippet|status) ", c)]
)
def test_a_command_of_the_text_does_what_it_says(command: str, on: Path) -> None:
    ours = f"{sys.executable} -m mockware"
    # Without one that workers share, `check` warns of the rule that counts.
    env = environ(MOCKWARE_STORE="sqlite:mocks.db")
    done = subprocess.run(
        ["bash", "-c", command.replace("mockware", ours, 1)],
        cwd=on, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    if "explain" in command:
        assert "payments-down" in done.stdout
    if "snippet" in command:
        assert "w.WriteHeader(503)" in done.stdout
    if "status" in command:
        assert "response.status(202)" in done.stdout
    if "schema" in command:
        assert (on / "mockware.schema.json").stat().st_size > 1000


def test_the_rules_file_is_valid_and_names_the_schema_that_the_text_writes() -> None:
    assert len(tomllib.loads(RULES)["rules"]) == 7
    assert RULES.startswith("#:schema ./mockware.schema.json\n")


def test_what_it_says_of_the_journal_is_what_the_journal_keeps() -> None:
    text = " ".join(README.split())
    assert f"at most {MAX_ENTRIES} and as many as {MAX_BYTES // 1024**2} MiB hold" in text
    assert f"keeps the first {MAX_BODY_BYTES // 1024} KiB of a body that a rule has looked at" in text


def test_every_variable_of_the_environment_is_in_the_table() -> None:
    from mockware import environment

    read = set(re.findall(r'"(MOCKWARE(?:_[A-Z]+)?)"', Path(environment.__file__).read_text("utf-8")))
    assert read <= set(re.findall(r"MOCKWARE(?:_[A-Z]+)?", README))


def test_the_first_command_sets_up_and_runs_the_demo(tmp_path: Path) -> None:
    clone = tmp_path / "mockware"
    unwanted = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, clone, ignore=unwanted)
    # `python3` is the Python of this run, and nothing of its own environment is there.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").symlink_to(Path(sys.base_prefix, "bin", f"python3.{sys.version_info[1]}"))
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    demo = subprocess.Popen(
        ["bash", "-c", DEMO_COMMAND],
        cwd=clone, env=environ(PATH=path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert demo.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:
            line = demo.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        (url,) = set(re.findall(r"http://127\.0\.0\.1:\d+", said))
        assert httpx.post(f"{url}/reports").json() == {"status": "accepted", "task_id": "abc-123"}
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.communicate(timeout=PATIENCE_S)


def test_the_second_command_is_the_one_that_ci_runs() -> None:
    assert TEST_COMMAND.strip() == "python3 tests"
    assert "grep -qF 'python3 tests' README.md" in (ROOT / ".ci/run").read_text()


def test_replies_come_in_turn_and_a_patch_changes_what_the_app_says(on: Path) -> None:
    users = FastAPI()

    @users.get("/users/{name}")
    def user(name: str) -> dict[str, str]:
        return {"name": name}

    app = mockware.wrap(users, rules="mocks.toml")
    orders = [Sent("POST", "/orders", headers=[("X-Session", session)]) for session in "aabab"]
    assert [over_asgi(app, sent).status for sent in orders] == [503, 503, 503, 202, 503]
    changed = over_asgi(app, Sent("GET", "/users/7"))
    assert (changed.status, changed.one("x-plan")) == (203, "trial")
    assert json.loads(changed.body) == {"name": "7", "plan": "trial"}


@pytest.mark.parametrize("tracing", [ASGITracing, WSGITracing])
def test_a_mock_is_in_the_traces_and_timings_as_it_says(tracing: Any, on: Path) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    (on / "mocks.toml").write_text("server_timing = true\n" + RULES)
    scope = {
        "mockware": mockware,
        "app": FastAPI() if tracing is ASGITracing else Flask("any"),
        "OpenTelemetryMiddleware": partial(tracing, tracer_provider=provider),
    }
    exec(TRACED, scope)
    sent = Sent("GET", "/legacy/any", headers=[("X-Mock-Name", "payments-down"), ("X-Mock-Delay", "0s")])
    app = scope["app"]
    answer = over_asgi(app, sent) if tracing is ASGITracing else over_wsgi(app, sent, validated=False)
    assert answer.one("server-timing") == re.findall(r'`Server-Timing: (mock;desc="[^`]*")`', README)[0]
    (span,) = (span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER)
    (event,) = span.events
    said = {**(span.attributes or {}), **(event.attributes or {}), event.name: True}
    assert {name for name in re.findall(r"`(mockware\.[a-z_.]+)`", README) if name in said} == {
        name for name in said if name.startswith("mockware.")
    }


def test_the_tests_that_it_shows_pass(on: Path) -> None:
    assert run_tests(on, USERS_TESTS).startswith("..  ")


def test_a_token_of_the_line_that_it_shows_is_heeded_for_what_it_says(on: Path) -> None:
    _, *arguments = shlex.split(TOKEN)
    keyed = environ(MOCKWARE="on", MOCKWARE_KEY="a secret of the README's test")
    done = run(*arguments, env=keyed)
    assert done.returncode == 0, done.stderr
    app = mockware.wrap(Starlette(), environ=keyed)

    def answer(path: str, status: str, token: str = done.stdout.strip()) -> int:
        fields = [("X-Mock-Status", status), ("X-Mock-Key", token)]
        return over_asgi(app, Sent("GET", path, headers=fields)).status

    assert answer("/payments/7", "503") == 503
    assert answer("/payments/7", "418") == answer("/refunds", "503") == 403
    assert answer("/payments/7", "503", "forged") == 404  # the app's own
    assert (answer("/payments/7", "passthrough"), answer("/refunds", "passthrough")) == (404, 403)
    assert answer("/refunds", "418", run("token", env=keyed).stdout.strip()) == 418


def test_rules_are_switched_and_taken_back_by_the_lines_that_it_shows(on: Path) -> None:
    key = "a secret of the README's test"
    env = environ(MOCKWARE_KEY=key, MOCKWARE_CONTROL="/__mockware__")
    with serving("--rules", "mocks.toml", cwd=on, env=env, command="serve") as (_, address):
        lines = SWITCHING.replace("localhost:8000", address).replace("curl ", "curl -sS -f -w '\\n' ")
        done = subprocess.run(
            ["bash", "-ec", lines],
            env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    listed, switched, put, deleted, reset = map(json.loads, done.stdout.splitlines())
    assert len(listed["rules"]) == 7
    assert (switched["name"], switched["on"]) == ("payments-down", False)
    assert (put["name"], put["on"]) == ("no-refunds", True)
    assert deleted["rules"] == []
    assert [(rule["name"], rule["on"]) for rule in reset["rules"]] == [("payments-down", True)]


PROXY_LINE, SERVE_LINE = HOSTING.strip().splitlines()


def test_mocks_stand_in_front_of_a_service_or_of_none_by_the_lines_that_it_shows(on: Path) -> None:
    _, command, url, *arguments = PROXY_LINE.split()
    with Upstream() as upstream:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url)
        with serving(upstream.url, *arguments, cwd=on, command=command) as (_, address):
            assert httpx.post(f"{address}/reports").status_code == 202
            assert httpx.get(f"{address}/else").json()["line"] == "GET /else HTTP/1.1"
    _, command, *arguments = SERVE_LINE.split()
    with serving(*arguments, cwd=on, command=command) as (_, address):
        assert httpx.post(f"{address}/reports").status_code == 202
        assert httpx.get(f"{address}/status/202").content == b'{"status": "accepted", "task_id": "abc-123"}'
        assert (
            "Accepted" in httpx.get(f"{address}/status-reference/202", headers={"Accept": "text/html"}).text
        )
