"""Every example is a real app behind a real server, and does what its docstring says.

One table of requests serves all of them, each row with the answer while mockware is on and the answer
while it is off, which is the real handler's. Servers take a free port of their own choosing and say which;
that line is what a test waits for.
"""

import ast
import contextlib
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.example_table import PATIENCE_S, TABLE, Row, check, check_echo, response_to, websocket_to
from websockets.exceptions import InvalidStatus

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
ADDRESS = re.compile(r"http://127\.0\.0\.1:[1-9]\d*")

UVICORN = "uvicorn --host 127.0.0.1 --port 0"
WAITRESS = "waitress --listen=127.0.0.1:0"


@dataclass(frozen=True)
class Service:
    """One example behind one server; `untouched` is true of the app as its framework made it."""

    name: str
    server: str
    target: str
    untouched: str
    websocket: bool = False

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", *shlex.split(self.server), self.target]

    def __str__(self) -> str:
        return self.name


SERVICES = [
    Service(
        "fastapi",
        f"{UVICORN} --lifespan on",
        "examples.fastapi_app:app",
        "mockware.ASGIMockMiddleware not in layers(module.app)",
        websocket=True,
    ),
    Service(
        "starlette",
        f"{UVICORN} --lifespan on",
        "examples.starlette_app:app",
        "mockware.ASGIMockMiddleware not in layers(module.app)",
        websocket=True,
    ),
    Service(
        "litestar",
        f"{UVICORN} --lifespan on",
        "examples.litestar_app:app",
        "module.app is module.api",
        websocket=True,
    ),
    Service(
        "quart",
        f"{UVICORN} --lifespan on",
        "examples.quart_app:app",
        "module.app.asgi_app == type(module.app).asgi_app.__get__(module.app)",
        websocket=True,
    ),
    Service(
        "django-asgi",
        UVICORN,
        "examples.django_app:asgi_application",
        "type(module.asgi_application).__name__ == 'ASGIHandler'",
    ),
    Service(
        "django-wsgi",
        WAITRESS,
        "examples.django_app:application",
        "type(module.application).__name__ == 'WSGIHandler'",
    ),
    Service(
        "flask",
        WAITRESS,
        "examples.flask_app:app",
        "module.app.wsgi_app == type(module.app).wsgi_app.__get__(module.app)",
    ),
    Service("falcon", WAITRESS, "examples.falcon_app:app", "module.app is module.api"),
    Service("bottle", WAITRESS, "examples.bottle_app:app", "module.app is module.api"),
]


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without what would switch mockware, and with `examples` importable."""
    switches = {"APP_ENV", "ENVIRONMENT", "ENV", "DJANGO_ENV", "FLASK_ENV", "PYTHON_ENV"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MOCKWARE") and name not in switches
    }
    inherited = [
        str(Path(entry).absolute()) for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry
    ]
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *inherited]),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "*",
        **settings,
    }


@contextlib.contextmanager
def serving(command: str | Sequence[str], *, cwd: Path, **settings: str) -> Iterator[str]:
    """The address of a server, from the line in which it names it until the end of the block."""
    process = subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=cwd,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that the end reaches a shell's and a master's children too
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
            pytest.fail(f"{command} named no address; it said:\n{''.join(output)}")
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(PATIENCE_S)
        if process.stdout:
            process.stdout.close()
    said = "".join(output)
    assert "Traceback" not in said, said


@contextlib.contextmanager
def client_of(service: Service, folder: Path, **settings: str) -> Iterator[httpx.Client]:
    # Not the repository's root: the rules file must be found from anywhere.
    with (
        serving(service.command, cwd=folder, **settings) as address,
        httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module", params=SERVICES, ids=str)
def mocked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    with client_of(request.param, tmp_path_factory.mktemp("on"), MOCKWARE="on") as client:
        yield client


@pytest.fixture(scope="module", params=SERVICES, ids=str)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with client_of(request.param, tmp_path_factory.mktemp("off")) as client:
        yield client


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_on_the_rules_answer_and_all_else_reaches_the_app(mocked: httpx.Client, row: Row) -> None:
    check(response_to(row, mocked), row.on)


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_off_the_app_answers_everything(real: httpx.Client, row: Row) -> None:
    check(response_to(row, real), row.off)


WITH_WEBSOCKET = [service for service in SERVICES if service.websocket]


@pytest.mark.parametrize("mocked", WITH_WEBSOCKET, ids=str, indirect=True)
def test_on_a_websocket_echoes_and_a_mocked_handshake_is_refused(mocked: httpx.Client) -> None:
    with websocket_to(mocked) as websocket:
        check_echo(websocket)
    with pytest.raises(InvalidStatus) as refusal:
        websocket_to(mocked, **{"X-Mock-Status": "503"})
    assert refusal.value.response.status_code == 503
    assert refusal.value.response.headers["X-Mock-Rule"] == "trigger"


@pytest.mark.parametrize("real", WITH_WEBSOCKET, ids=str, indirect=True)
def test_off_a_websocket_echoes_whatever_its_handshake_asks_for(real: httpx.Client) -> None:
    with websocket_to(real, **{"X-Mock-Status": "503"}) as websocket:
        check_echo(websocket)


# Imports the example as a server does, lets its framework finish building it, and says what was found.
LOOK_INSIDE = """
import gc, importlib, sys
import mockware

def layers(app):
    app.middleware_stack = layer = app.build_middleware_stack()
    while layer is not None:
        yield type(layer)
        layer = getattr(layer, "app", None)

module = importlib.import_module(sys.argv[1])
untouched = eval(sys.argv[2])
classes = (mockware.ASGIMockMiddleware, mockware.WSGIMockMiddleware)
print(untouched, any(isinstance(thing, classes) for thing in gc.get_objects()))
"""


@pytest.mark.parametrize("service", SERVICES, ids=str)
@pytest.mark.parametrize(
    ("settings", "found"), [({}, "True False"), ({"MOCKWARE": "on"}, "False True")], ids=["off", "on"]
)
def test_off_the_app_is_the_very_object_that_its_framework_made(
    service: Service, settings: dict[str, str], found: str, tmp_path: Path
) -> None:
    module = service.target.partition(":")[0]
    looked = subprocess.run(
        [sys.executable, "-c", LOOK_INSIDE, module, service.untouched],
        cwd=tmp_path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert looked.stdout.strip() == found, looked.stderr


def docstring_of(example: Path) -> str:
    return ast.get_docstring(ast.parse(example.read_text(encoding="utf-8"))) or ""


def server_lines(example: Path) -> list[str]:
    return re.findall(r"^    (MOCKWARE=.*)$", docstring_of(example), re.MULTILINE)


def curl_lines(example: Path) -> list[tuple[str, int, bool]]:
    """Each curl command, the status that the line below it promises, and whether the app gives it."""
    promised = re.findall(r"^    (curl .*)\n +-> (\d{3}) (.*)$", docstring_of(example), re.MULTILINE)
    return [(command, int(status), said.startswith("from the app")) for command, status, said in promised]


APPS = sorted(EXAMPLES.glob("*.py"))


def test_every_example_is_in_the_table_and_names_its_commands() -> None:
    assert {f"examples.{app.stem}" for app in APPS} == {
        service.target.partition(":")[0] for service in SERVICES
    }
    for app in APPS:
        assert server_lines(app), app
        assert len(curl_lines(app)) == docstring_of(app).count("    curl ") >= 5, app


@pytest.mark.parametrize(
    ("app", "server"),
    [(app, server) for app in APPS for server in server_lines(app)],
    ids=[server.removeprefix("MOCKWARE=on ") for app in APPS for server in server_lines(app)],
)
def test_the_commands_of_the_docstring_do_what_it_says(app: Path, server: str) -> None:
    if not (curl := shutil.which("curl")):
        pytest.fail("curl is not on this machine. Please install it: apt-get install curl")
    assert "8000" in server
    with serving(server.replace("8000", "0"), cwd=ROOT) as address:
        for command, status, from_app in curl_lines(app):
            words = shlex.split(command.replace("http://127.0.0.1:8000", address))
            called = subprocess.run(
                [curl, *words[1:], "--silent", "--show-error", "--max-time", str(PATIENCE_S)],
                env=environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE_S * 2,
                check=True,
            )
            status_line, _, rest = called.stdout.partition("\n")
            assert status_line.split()[1] == str(status), f"{command}\n{called.stdout}"
            assert ("x-mock-rule:" not in rest.lower()) == from_app, f"{command}\n{called.stdout}"


# How the users of each framework test, and whether that way leads through mockware.
TEST_CLIENTS = {
    "fastapi": (
        "from fastapi.testclient import TestClient; response = TestClient(module.app).post(path)",
        202,
    ),
    "starlette": (
        "from starlette.testclient import TestClient; response = TestClient(module.app).post(path)",
        202,
    ),
    "litestar": (
        "from litestar.testing import TestClient; response = TestClient(module.api).post(path)",
        201,
    ),
    "quart": ("import asyncio; response = asyncio.run(module.app.test_client().post(path))", 202),
    "django": ("from django.test import Client; response = Client(SERVER_NAME='localhost').post(path)", 201),
    "flask": ("response = module.app.test_client().post(path)", 202),
    "falcon": (
        "from falcon.testing import TestClient; response = TestClient(module.app).simulate_post(path)",
        202,
    ),
}


@pytest.mark.parametrize("name", TEST_CLIENTS)
def test_a_frameworks_own_test_client_sees_mocks_where_the_example_says_so(name: str, tmp_path: Path) -> None:
    call, status = TEST_CLIENTS[name]
    program = f"import examples.{name}_app as module; path = '/reports'; {call}; print(response.status_code)"
    called = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(MOCKWARE="on"),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert called.stdout.splitlines()[-1:] == [str(status)], called.stderr
