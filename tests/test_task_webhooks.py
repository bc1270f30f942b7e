"""A task tells of its end: from the rules file to a real receiver, by whichever interface it was accepted."""

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook
from tests.by_hand import Sent, Wire, over_wsgi, scope_of

import mockware
from mockware.deliveries import OVERDUE_S

PATIENCE_S = 30  # on a busy machine; nothing waits this long unless it has failed
SECRET = "whsec_bW9ja3dhcmUgc2lnbnMgaXRzIGhvb2tz"
ENVIRON = {"HOOK_SECRET": SECRET}

RULES = """
[webhooks]
hosts = ["127.0.0.1"]

[[rules]]
match = "POST /exports"
[rules.task]
duration = "50ms"
result = {{ json = {{ rows = "{{{{ accepted.json.rows }}}}" }} }}
{more}
[rules.task.webhook]
url = "{{{{ request.json.callback_url }}}}"
secret_env = "HOOK_SECRET"
{hook}
"""


class Received(dict[str, str]):
    """The fields of a webhook, and its body."""

    body: bytes

    @property
    def said(self) -> Any:
        """What it says, once its signature is found right."""
        return Webhook(SECRET).verify(self.body, self)


class Receiver:
    """Takes what is posted to it."""

    def __init__(self) -> None:
        received: Queue[Received] = Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                found = Received({name.lower(): value for name, value in self.headers.items()})
                found.body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(204)
                self.end_headers()
                received.put(found)

            def log_message(self, *_: object) -> None:
                pass

        self._received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def next(self) -> Received:
        return self._received.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as receiver:
        yield receiver


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("201 Created", [("Content-Type", "application/json")])
    return [b'{"done": true}']


def client_of(folder: Path, *, more: str = "", hook: str = "", **how: Any) -> httpx.Client:
    rules = folder / "mocks.toml"
    rules.write_text(RULES.format(more=more, hook=hook), "utf-8")
    wrapped: Any = mockware.wrap(app, rules=rules, enabled=True, environ=ENVIRON, **how)
    return httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://api.test")


def accept(client: httpx.Client, receiver: Receiver) -> httpx.Response:
    response = client.post("/exports", json={"callback_url": receiver.url, "rows": 3})
    assert response.status_code == 202
    return response


def test_the_end_of_a_task_is_told_signed(tmp_path: Path, receiver: Receiver) -> None:
    with client_of(tmp_path) as client:
        task_id = accept(client, receiver).json()["task_id"]
        said = receiver.next().said
    assert said["type"] == "task.succeeded"
    assert said["data"]["task_id"] == task_id
    assert said["data"]["result"] == {"rows": 3}


def test_a_failure_is_told_as_one(tmp_path: Path, receiver: Receiver) -> None:
    more = 'failure = { probability = 1.0, json = { code = "Full", message = "disk full" } }'
    with client_of(tmp_path, more=more) as client:
        accept(client, receiver)
        said = receiver.next().said
    assert said["type"] == "task.failed"
    assert said["data"]["error"] == {"code": "Full", "message": "disk full"}


def test_a_cancellation_is_told_at_once_and_the_end_that_never_came_is_not(
    tmp_path: Path, receiver: Receiver
) -> None:
    with client_of(tmp_path, more="cancel = true", hook='late = "0s"') as client:
        rules = tmp_path / "mocks.toml"
        rules.write_text(rules.read_text("utf-8").replace('"50ms"', '"1s"'), "utf-8")
    wrapped: Any = mockware.wrap(app, rules=rules, enabled=True, environ=ENVIRON)
    with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://api.test") as client:
        monitor = accept(client, receiver).headers["location"]
        assert client.delete(monitor).json()["status"] == "canceled"
        assert receiver.next().said["type"] == "task.canceled"
        # Another task, accepted later, is told of later than the canceled one would have been.
        other = accept(client, receiver).json()["task_id"]
        assert receiver.next().said["data"]["task_id"] == other


def test_it_comes_late_twice_and_out_of_order_if_the_rule_says_so(tmp_path: Path, receiver: Receiver) -> None:
    hook = 'late = "100ms"\nduplicates = 1\nout_of_order = true'
    with client_of(tmp_path, hook=hook) as client:
        accept(client, receiver)
        first, *others = (receiver.next() for _ in range(3))
    assert first.said["type"] == "task.succeeded"
    assert sorted(other.said["type"] for other in others) == ["task.running", "task.succeeded"]
    ids = {found["webhook-id"] for found in (first, *others) if found.said["type"] == "task.succeeded"}
    assert len(ids) == 1


def test_an_app_that_ran_in_the_background_is_told_of(tmp_path: Path, receiver: Receiver) -> None:
    rules = tmp_path / "mocks.toml"
    rules.write_text(
        RULES.format(more='run = "app"', hook="")
        .replace('duration = "50ms"\n', "")
        .replace('result = { json = { rows = "{{ accepted.json.rows }}" } }\n', ""),
        "utf-8",
    )
    wrapped: Any = mockware.wrap(
        app, rules=rules, enabled=True, environ=ENVIRON, store=f"sqlite:{tmp_path}/s"
    )
    with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://api.test") as client:
        accept(client, receiver)
        said = receiver.next().said
    assert said["type"] == "task.succeeded"
    assert said["data"]["result"] == {"done": True}


def test_cloudevents_have_their_attributes_in_fields(tmp_path: Path, receiver: Receiver) -> None:
    with client_of(tmp_path, hook='form = "cloudevents"') as client:
        task_id = accept(client, receiver).json()["task_id"]
        received = receiver.next()
    assert received["ce-type"] == "task.succeeded"
    assert received["ce-subject"] == task_id
    assert json.loads(received.body)["task_id"] == task_id


def test_a_host_that_is_not_listed_is_never_asked(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    refused: Queue[str] = Queue()

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("webhook "):  # the start line names them as well
                refused.put(record.getMessage())

    handler = Told()
    logging.getLogger("mockware").addHandler(handler)
    try:
        with client_of(tmp_path) as client:
            url = receiver.url.replace("127.0.0.1", "localhost")
            client.post("/exports", json={"callback_url": url, "rows": 3})
            assert "may go to" in refused.get(timeout=PATIENCE_S)
    finally:
        logging.getLogger("mockware").removeHandler(handler)
    with pytest.raises(Empty):
        receiver._received.get_nowait()


# The process that accepted it has died


LEFT = """
import sys
import httpx
import mockware

def app(environ, start_response):
    sys.stdin.read()  # it never ends, and neither does this process by itself

rules, store, url = sys.argv[1:]
wrapped = mockware.wrap(app, rules=rules, store=store, enabled=True, environ={"HOOK_SECRET": "x"})
with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://api.test") as client:
    print(client.post("/exports", json={"callback_url": url, "rows": 3}).json()["task_id"], flush=True)
sys.stdin.read()
"""
AHEAD_S = 60 + OVERDUE_S + 1


def left_by_a_process_that_was_killed(rules: Path, store: str, url: str) -> str:
    """The id of its task, which is over in a minute."""
    program = subprocess.Popen(
        [sys.executable, "-c", LEFT, str(rules), store, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        task_id = program.stdout.readline().strip()
        program.kill()
    return task_id


async def of_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def starts(wrapped: Any) -> None:
    """It begins, and nobody asks for anything."""

    async def nothing(*_: Any) -> Any:
        raise AssertionError("the app has no lifespan")

    with pytest.raises(RuntimeError, match="no lifespan"):
        asyncio.run(wrapped({"type": "lifespan", "state": {}}, nothing, nothing))


def is_asked_over_asgi(wrapped: Any) -> None:
    wire = Wire()
    asyncio.run(wrapped(scope_of(Sent("GET", "/health")), wire.receive, wire.send))
    assert wire.answer.status == 200


def is_asked_over_wsgi(wrapped: Any) -> None:
    assert over_wsgi(wrapped, Sent("GET", "/health"), validated=False).status == 201


@pytest.mark.parametrize(
    ("survivor", "lives"), [(of_asgi, starts), (of_asgi, is_asked_over_asgi), (app, is_asked_over_wsgi)]
)
@pytest.mark.parametrize("work", ["a task", "a run"])
def test_another_process_tells_of_what_one_that_died_has_accepted_though_nobody_asks_about_tasks(
    work: str, survivor: Any, lives: Callable[[Any], None], tmp_path: Path, receiver: Receiver
) -> None:
    rules, store = tmp_path / "mocks.toml", f"sqlite:{tmp_path}/s"
    text = RULES.format(more="", hook="")
    if work == "a run":
        start, end = text.index("duration"), text.index("[rules.task.webhook]")
        text = f'{text[:start]}run = "app"\ntimeout = "1m"\n{text[end:]}'
    rules.write_text(text.replace('"50ms"', '"1m"'), "utf-8")
    task_id = left_by_a_process_that_was_killed(rules, store, receiver.url)
    ahead: Any = {"store": store, "clock": lambda: time.time() + AHEAD_S}
    wrapped: Any = mockware.wrap(survivor, rules=rules, enabled=True, environ=ENVIRON, **ahead)
    lives(wrapped)
    said = json.loads(receiver.next().body)
    assert said["type"] == {"a task": "task.succeeded", "a run": "task.failed"}[work]
    assert said["data"]["task_id"] == task_id


@pytest.mark.parametrize("canceled", [False, True])
def test_of_a_run_that_has_ended_or_was_canceled_nothing_is_left_for_others_to_tell(
    canceled: bool, tmp_path: Path, receiver: Receiver
) -> None:
    goes_on = Event()

    def slow(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert goes_on.wait(PATIENCE_S)
        return app(environ, start_response)

    rules = tmp_path / "mocks.toml"
    text = RULES.format(more="", hook="out_of_order = true")
    start, end = text.index("duration"), text.index("[rules.task.webhook]")
    rules.write_text(f'{text[:start]}run = "app"\ncancel = true\n{text[end:]}', "utf-8")
    wrapped: Any = mockware.wrap(slow, rules=rules, enabled=True, environ=ENVIRON)
    store = wrapped._snapshot.store
    with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url="http://api.test") as client:
        monitor = accept(client, receiver).headers["location"]
        left = {key for key, _ in store.list("webhooks", "", 9)}
        assert len(left) == 2
        if canceled:
            client.delete(monitor)
        goes_on.set()
        assert receiver.next().said["type"] == ("task.canceled" if canceled else "task.succeeded")
        assert receiver.next().said["type"] == "task.running"
    assert left.isdisjoint(key for key, _ in store.list("webhooks", "", 9))


# What is refused


def test_a_template_that_gives_no_url_is_a_500_that_names_the_rule(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        response = client.post("/exports", json={"rows": 3})
    assert response.status_code == 500
    assert response.headers["x-mock-rule"] == "POST /exports"
    assert "callback_url" in response.json()["detail"]


def test_a_secret_that_is_not_set_stops_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "mocks.toml"
    rules.write_text(RULES.format(more="", hook=""), "utf-8")
    with pytest.raises(mockware.ConfigError, match="HOOK_SECRET"):
        mockware.wrap(app, rules=rules, enabled=True, environ={})
