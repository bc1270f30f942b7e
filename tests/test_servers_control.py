"""A change that is made on one worker holds on all of them: real servers, with several processes each.

The promise of a shared store: within 2 s, on every worker and host, whatever interface it has.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from tests.counting import GUNICORN, PATIENCE_S, TRIES, UVICORN, Served, Way, serving
from tests.redis_server import RedisServer

PROMISED_S = 2.0
KEY = "correct horse"
CONTROL = {"MOCKWARE_CONTROL": "/__mockware__", "MOCKWARE_KEY": KEY, "GUNICORN_CMD_ARGS": ""}
API = "/__mockware__/api"
BY = {"by": "ada", "why": "demo"}

UVICORN_2 = Way((*UVICORN[:-1], "--workers=2", UVICORN[-1]), CONTROL)
GUNICORN_4 = Way((*GUNICORN[:-1], "--workers=4", GUNICORN[-1]), CONTROL)
PRELOADED_2 = Way((*GUNICORN[:-1], "--preload", "--workers=2", GUNICORN[-1]), CONTROL)


class Line:
    """A connection that stays with one worker."""

    def __init__(self, server: Served) -> None:
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        status, said = self.ask("GET", "/hello")
        assert status == 200
        self.pid = int(said.split()[0])

    def ask(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {KEY}"} if path.startswith(API) else {}
        if sent is not None:
            headers["Content-Type"] = "application/json"
        body = None if sent is None else json.dumps(sent)
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if "json" in (answer.getheader("content-type") or "") and path.startswith(API):
            return answer.status, json.loads(said)
        return answer.status, said.decode()

    def close(self) -> None:
        self._connection.close()


@contextmanager
def lines(server: Served, workers: int) -> Iterator[list[Line]]:
    """One connection to each of so many workers."""
    found: dict[int, Line] = {}
    deadline = time.monotonic() + PATIENCE_S
    with ExitStack() as stack:
        while len(found) < workers:
            assert time.monotonic() < deadline, f"only {len(found)} workers answer"
            # Several at once, so that one worker cannot take all of them.
            for line in [Line(server) for _ in range(2 * workers)]:
                stack.callback(line.close)
                found.setdefault(line.pid, line)
        yield list(found.values())


def hold(lines: Sequence[Line], path: str, status: int) -> float:
    """Until every worker answers so: for how long somebody did not."""
    began = time.monotonic()
    for line in lines:
        while line.ask("GET", path)[0] != status:
            assert time.monotonic() - began < PATIENCE_S
    return time.monotonic() - began


def switch_everywhere(server: Served, workers: int) -> None:
    with lines(server, workers) as there:
        first, *_ = there
        hold(there, "/stateless", 409)
        took = []
        for _ in range(TRIES):
            for on, status in ((False, 200), (True, 409)):
                code, told = first.ask("PATCH", f"{API}/rules/stateless", {"on": on, **BY})
                assert (code, told["on"], told["change"]["by"]) == (200, on, "ada")
                took.append(hold(there, "/stateless", status))
            if max(took[-2:]) < PROMISED_S:
                break
        assert max(took[-2:]) < PROMISED_S
        # Another worker adds a rule, and all of them count its two answers together.
        rule = {"match": "/once-more", "status": 418}
        other = there[-1]
        code, _ = other.ask("PUT", f"{API}/rules/brief", {"rule": rule, "uses": 2 * workers, **BY})
        assert code == 201
        hold(there, "/once-more", 418)
        answered = workers
        while answered < 2 * workers:
            statuses = [line.ask("GET", "/once-more")[0] for line in there]
            if 418 not in statuses:
                break
            answered += statuses.count(418)
        assert first.ask("GET", "/once-more")[0] == 200
        deadline = time.monotonic() + PATIENCE_S
        for line in there:
            while line.ask("GET", f"{API}/rules/brief")[0] != 404:
                assert time.monotonic() < deadline, "a worker keeps a change that is used up"
        _, told = first.ask("GET", f"{API}/rules")
        assert told["scope"] == "store"
        assert first.ask("POST", f"{API}/reset", BY)[0] == 200
        for line in there:
            while any(rule["change"] for rule in line.ask("GET", f"{API}/rules")[1]["rules"]):
                assert time.monotonic() < deadline, "a worker keeps a change that was taken back"


@pytest.mark.parametrize(
    ("way", "workers"),
    [(UVICORN_2, 2), (GUNICORN_4, 4), (PRELOADED_2, 2)],
    ids=["uvicorn", "gunicorn", "gunicorn, preloaded"],
)
def test_a_switch_on_one_worker_holds_on_all_that_share_a_sqlite_file(
    way: Way, workers: int, tmp_path: Path
) -> None:
    with serving(way, store=f"sqlite:{tmp_path}/mocks.db") as (server,):
        switch_everywhere(server, workers)


@pytest.mark.parametrize(("way", "workers"), [(UVICORN_2, 2), (GUNICORN_4, 4)], ids=["uvicorn", "gunicorn"])
def test_a_switch_on_one_worker_holds_on_all_that_share_a_redis(way: Way, workers: int) -> None:
    with RedisServer() as redis, serving(way, store=redis.url) as (server,):
        switch_everywhere(server, workers)


def test_a_switch_reaches_the_other_server_of_another_interface_and_stays_while_redis_is_down() -> None:
    asgi, wsgi = Way(UVICORN, CONTROL), Way(GUNICORN, CONTROL)
    with (
        RedisServer() as redis,
        serving(asgi, wsgi, store=redis.url) as (one, other),
        lines(one, 1) as (first,),
        lines(other, 1) as (second,),
    ):
        assert first.ask("PATCH", f"{API}/rules/stateless", {"on": False, **BY})[0] == 200
        hold([first, second], "/stateless", 200)
        redis.kill()
        deadline = time.monotonic() + PATIENCE_S
        while not second.ask("GET", f"{API}/rules")[1]["store_away"]:
            assert time.monotonic() < deadline, "nobody notices that the store is away"
        assert second.ask("GET", "/stateless")[0] == 200
        status, told = second.ask("PATCH", f"{API}/rules/stateless", {"on": True, **BY})
        assert (status, told["title"]) == (503, "Service Unavailable")
        assert first.ask("GET", "/stateless")[0] == 200


def test_with_memory_each_worker_says_that_it_speaks_for_itself() -> None:
    with serving(UVICORN_2, store="memory:") as (server,), lines(server, 2) as (first, second):
        assert first.ask("PATCH", f"{API}/rules/stateless", {"on": False, **BY})[0] == 200
        assert first.ask("GET", "/stateless")[0] == 200
        status, told = second.ask("GET", f"{API}/rules")
        assert (status, told["scope"], told["process"]) == (200, "process", second.pid)
        assert second.ask("GET", "/stateless")[0] == 409


def test_events_arrive_as_they_happen_and_the_server_can_stop_meanwhile() -> None:
    with serving(Way(UVICORN, CONTROL), store="memory:") as (server,), lines(server, 1) as (line,):
        listening = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        listening.request("GET", f"{API}/events", headers={"Authorization": f"Bearer {KEY}"})
        stream = listening.getresponse()
        assert (stream.status, stream.getheader("content-type")) == (200, "text/event-stream")
        assert stream.readline().startswith(f"id: {line.pid}-".encode())
        assert stream.readline() == b"event: rules\n"
        line.ask("GET", "/stateless")
        while (got := stream.readline()) != b"event: mock\n":
            assert got
        entry = json.loads(stream.readline().removeprefix(b"data: "))
        assert (entry["rule"], entry["path"], entry["status"]) == ("stateless", "/stateless", 409)
        listening.close()
