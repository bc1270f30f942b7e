"""What one worker has accepted, every worker tells of: four of granian's, and four of gunicorn's.

Each request comes on a connection of its own, and goes on coming until every worker has answered it. What an
id says needs no store; what somebody has said since needs one, here a SQLite file.
"""

import asyncio
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from uuid import uuid4

import pytest
from tests.counting import PATIENCE_S, TRIES, Served, Way, at_peace, serving, stood_still
from tests.task_apps import MADE

SERVERS = {
    "granian": (
        *("granian", "--port={port}", "--interface=asgi", "--workers=4", "--factory"),
        "tests.task_apps:asgi",
    ),
    "gunicorn": (
        *("gunicorn", "--bind=127.0.0.1:{port}", "--workers=4", "--worker-class=gthread", "--threads=4"),
        *("--graceful-timeout=1", "tests.task_apps:wsgi()"),
    ),
}
WORKERS = 4
AT_ONCE = 50
RULES = [
    {"match": "POST /short/{name}", "task": {"duration": "300ms", "result": {"json": {"url": "/made"}}}},
    {"match": "POST /long/{name}", "task": {"duration": "1h", "cancel": True}},
    {"match": "POST /work/{name}", "task": {"run": "app", "cancel": True}},
]


class Answer(NamedTuple):
    worker: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> str:
        """The task's status, or else that of the response."""
        is_status = self.status == 200 and self.headers["content-type"] == "application/json"
        return str(json.loads(self.body)["status"]) if is_status else str(self.status)


class Workers:
    """The workers of one server, which is `Served`."""

    def __init__(self, server: Served) -> None:
        self.server = server

    def ask(self, method: str, path: str, body: bytes = b"", key: str = "") -> Answer:
        """The answer of whichever worker gets it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=PATIENCE_S)
        fields = {"Idempotency-Key": key} if key else {}
        try:
            connection.request(method, path, body, {**fields, "Connection": "close"})
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(headers["x-worker"], answer.status, headers, answer.read())
        finally:
            connection.close()

    def at_once(self, count: int, method: str, path: str, body: bytes = b"", key: str = "") -> list[Answer]:
        """So many answers to the same, asked for together."""
        together = threading.Barrier(count)

        def ask(_: int) -> Answer:
            together.wait(PATIENCE_S)
            return self.ask(method, path, body, key)

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(ask, range(count)))

    def all_say(self, method: str, path: str, body: bytes = b"") -> list[Answer]:
        """The answers to the same until every worker has given one."""
        deadline = time.monotonic() + PATIENCE_S
        answers: list[Answer] = []
        while len({answer.worker for answer in answers}) < WORKERS:
            assert time.monotonic() < deadline, (
                f"only {len({each.worker for each in answers})} workers answer"
            )
            answers += self.at_once(2 * WORKERS, method, path, body)
        return answers

    def one_says(self, path: str, ended: Callable[[Answer], bool]) -> None:
        """Until somebody has told that the task has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while not ended(self.ask("GET", path)):
            assert time.monotonic() < deadline, "does not end"

    def prove(self, proof: Callable[[str], None]) -> None:
        """Runs the proof with a name for what it accepts; once more where the machine stood still."""
        for attempt in range(TRIES):
            mark = self.server.log.mark
            try:
                proof(uuid4().hex)
            except AssertionError as error:
                if attempt + 1 == TRIES or not stood_still([self.server], [mark]):
                    raise
                print(f"disturbed: {error}")
                asyncio.run(at_peace([self.server]))
            else:
                return


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tasks") / "mocks.json"
    path.write_text(json.dumps({"rules": RULES}))
    return str(path)


def workers(server: str, file: str, store: str, **environ: str) -> Iterator[Workers]:
    way = Way((sys.executable, "-m", *SERVERS[server]), {"MOCKWARE_FILE": file, **environ})
    with serving(way, store=store) as servers:
        yield Workers(servers[0])


# Ids are signed with the key where there is one, and else with what all workers know anyway.
@pytest.fixture(scope="module", params=[("granian", {}), ("gunicorn", {"MOCKWARE_KEY": "a long secret"})])
def without_store(request: pytest.FixtureRequest, file: str) -> Iterator[Workers]:
    server, environ = request.param
    yield from workers(server, file, "memory:", **environ)


@pytest.fixture(scope="module", params=SERVERS)
def with_sqlite(request: pytest.FixtureRequest, file: str) -> Iterator[Workers]:
    yield from workers(request.param, file, f"sqlite:{file}.{request.param}.db")


def test_without_a_store_workers_answer_each_others_polls(without_store: Workers) -> None:
    accepted = without_store.all_say("POST", "/long/a")
    of_each = {answer.worker: answer.headers["location"] for answer in accepted}
    assert len(of_each) == WORKERS
    for monitor in of_each.values():
        for answer in without_store.all_say("GET", monitor):
            assert (answer.status, answer.said) == (200, "running")
            assert json.loads(answer.body)["task_id"] == monitor.rpartition("/")[2]
    assert {each.status for each in without_store.all_say("GET", monitor.replace("/long/", "/short/"))} == {
        404
    }


def test_without_a_store_all_workers_know_when_it_ends_and_what_it_has_made(without_store: Workers) -> None:
    monitor = without_store.ask("POST", "/short/a").headers["location"]
    without_store.one_says(monitor, lambda answer: answer.said == "succeeded")
    for answer in without_store.all_say("GET", monitor):
        told = json.loads(answer.body)
        assert (told["status"], told["result"]) == ("succeeded", {"url": "/made"})


def test_a_cancellation_at_one_worker_is_seen_by_all(with_sqlite: Workers) -> None:
    def proof(name: str) -> None:
        monitor = with_sqlite.ask("POST", f"/long/{name}").headers["location"]
        assert {answer.said for answer in with_sqlite.all_say("GET", monitor)} == {"running"}
        assert with_sqlite.ask("DELETE", monitor).said == "canceled"
        seen = with_sqlite.all_say("GET", monitor)
        assert {answer.said for answer in seen} == {"canceled"}
        assert len({answer.body for answer in seen}) == 1

    with_sqlite.prove(proof)


def test_fifty_requests_at_once_with_one_key_make_one_task_of_all_workers(with_sqlite: Workers) -> None:
    def proof(name: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        reached: set[str] = set()
        tries = 0
        while len(reached) < WORKERS:  # all of them in the same moment, and not after each other
            assert time.monotonic() < deadline, f"only {len(reached)} workers answer"
            tries += 1
            path, key = f"/long/{name}", f"{name}-{tries}"
            answers = with_sqlite.at_once(AT_ONCE, "POST", path, b"of one", key)
            assert {answer.status for answer in answers} == {202}
            assert len({answer.headers["location"] for answer in answers}) == 1
            reached = {answer.worker for answer in answers}
        others = with_sqlite.at_once(2 * WORKERS, "POST", path, b"of another", key)
        assert {answer.status for answer in others} == {422}

    with_sqlite.prove(proof)


def test_what_the_app_of_one_worker_has_made_is_served_by_all(with_sqlite: Workers) -> None:
    def proof(name: str) -> None:
        accepted = with_sqlite.at_once(WORKERS, "POST", f"/work/slow-{name}", b"\xfftask", name)
        (monitor,) = {answer.headers["location"] for answer in accepted}
        assert {answer.said for answer in with_sqlite.all_say("GET", monitor)} == {"running"}
        released = with_sqlite.all_say("POST", f"/release/slow-{name}")
        runs = {answer.worker: json.loads(answer.body) for answer in released}
        assert sorted(runs.values()) == [0, 0, 0, 1], runs
        with_sqlite.one_says(monitor, lambda answer: answer.status == 201)
        for answer in with_sqlite.all_say("GET", monitor):
            assert (answer.status, answer.body) == (201, MADE + b"\xfftask")
            assert answer.headers["x-made"] == f"slow-{name}"

    with_sqlite.prove(proof)


def test_what_the_app_makes_of_a_task_that_another_worker_has_canceled_is_not_kept(
    with_sqlite: Workers,
) -> None:
    def proof(name: str) -> None:
        monitor = with_sqlite.ask("POST", f"/work/slow-{name}").headers["location"]
        assert with_sqlite.ask("DELETE", monitor).said == "canceled"
        with_sqlite.all_say("POST", f"/release/slow-{name}")
        assert {answer.said for answer in with_sqlite.all_say("GET", monitor)} == {"canceled"}

    with_sqlite.prove(proof)
