"""Counts that processes share are exact: every worker of a server, and servers of different kinds.

Real servers, and clients that are all at it at once; every answer is judged, and each connection knows which
process it reaches. What happens when a store fails is in `test_store_failures.py`.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import pytest
from tests.counting import (
    GRANIAN_ASGI,
    GRANIAN_WSGI,
    GUNICORN,
    TRIES,
    UVICORN,
    Client,
    Served,
    Way,
    WrongAnswer,
    clients,
    outputs,
    serving,
    stood_still,
    store_lines,
)
from tests.counting_app import EACH, IN_TURN, LIMIT
from tests.redis_server import RedisServer

CONNECTIONS = 200
REQUESTS = 6  # on each connection: 1200 for a LIMIT of 700
SESSIONS = 50
TURNS = 8  # for each session


Proof = Callable[[list[Client]], Awaitable[None]]


class Group:
    """Servers with one store. `counted` is how often /limited has answered before anybody asked."""

    workers = 4

    def __init__(self, ways: Sequence[Way], counted: int, folder: Path) -> None:
        self.counted = counted
        self._ways = ways
        self._folder = folder
        self._stops = ExitStack()
        self._servers: list[Served] = []

    def __enter__(self) -> Self:
        if len(self._ways) == 1:
            store = f"sqlite:{self._folder}/{uuid4()}.db"
        else:
            store = self._stops.enter_context(RedisServer()).url
        self._servers = self._stops.enter_context(serving(*self._ways, store=store))
        return self

    def __exit__(self, *_: object) -> None:
        self._stops.close()

    def prove(self, proof: Proof) -> None:
        """Runs the proof with its clients; where the machine stood still, on new servers with a new store."""
        for attempt in range(TRIES):
            try:
                asyncio.run(self._prove(proof))
            except AssertionError as error:
                error.add_note(outputs(self._servers))
                disturbed = stood_still(self._servers, [0] * len(self._servers))
                if isinstance(error, WrongAnswer) or attempt + 1 == TRIES or not disturbed:
                    raise
                print(f"disturbed: {error}")
                self._stops.close()
                self.__enter__()
            else:
                return

    async def _prove(self, proof: Proof) -> None:
        ports = [server.port for server in self._servers]
        async with clients(ports, CONNECTIONS // len(ports), workers=self.workers) as opened:
            await proof(opened)
        # With a store that was away for a moment it would be no proof at all.
        assert [store_lines(server, 0) for server in self._servers] == [[]] * len(ports)


def _four(command: tuple[str, ...]) -> tuple[str, ...]:
    return (*command, "--workers=4")


PRELOADED = (*_four(GUNICORN), "--preload")
# The servers, and what they have counted before; the workers of one share a SQLite file, two share a Redis.
GROUPS = {
    "granian-asgi": ([Way(_four(GRANIAN_ASGI))], 0),
    "granian-wsgi": ([Way(_four(GRANIAN_WSGI))], 0),
    "gunicorn": ([Way(_four(GUNICORN))], 0),
    "gunicorn-preloaded": ([Way(PRELOADED)], 0),
    "gunicorn-preloaded-and-counted": ([Way(PRELOADED, {"COUNTING_FIRST": "yes"})], 1),
    "uvicorn-and-gunicorn": ([Way((*UVICORN, "--workers=2")), Way((*GUNICORN, "--workers=2"))], 0),
}


@pytest.fixture(scope="module", params=GROUPS)
def group(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    with Group(*GROUPS[request.param], tmp_path_factory.mktemp("counts")) as group:
        yield group


def test_two_hundred_clients_get_exactly_as_many_mocks_as_the_rule_has(group: Group) -> None:
    async def proof(opened: list[Client]) -> None:
        everybody = asyncio.Barrier(CONNECTIONS)

        async def ask(client: Client) -> list[int]:
            await client.send("/limited")
            await everybody.wait()  # 200 requests are on their way, and no answer was read
            first = await client.answer("/limited")
            await everybody.wait()  # so that each process has given some, be it ever so slow
            return [first.status] + [(await client.ask("/limited")).status for _ in range(REQUESTS - 1)]

        answers = await asyncio.gather(*map(ask, opened))
        mocks = Counter[int]()
        for client, statuses in zip(opened, answers, strict=True):
            mocks[client.pid] += statuses.count(503)
            assert len(list(groupby(statuses))) <= 2, "a mock after the app has answered"
        assert mocks.total() == LIMIT - group.counted, mocks
        assert sum(count > 0 for count in mocks.values()) == group.workers, mocks
        print(f"{mocks.total()} mocks of {CONNECTIONS * REQUESTS} answers, by process: {dict(mocks)}")
        for _ in range(2):
            after = await asyncio.gather(*(client.ask("/limited") for client in opened))
            assert {answer.status for answer in after} == {200}

    group.prove(proof)


def test_each_session_has_its_own_replies_in_turn_whichever_process_it_reaches(group: Group) -> None:
    async def proof(opened: list[Client]) -> None:
        of_process: dict[int, list[Client]] = {}
        for client in opened:
            of_process.setdefault(client.pid, []).append(client)
        processes = list(of_process.values())

        async def live(session: int) -> list[int]:
            statuses = []
            for turn in range(TURNS):
                reached = processes[(session + turn) % len(processes)]
                client = reached[session % len(reached)]
                async with client.turn:
                    statuses.append((await client.ask("/in-turn", f"session-{session}")).status)
            return statuses

        lives = await asyncio.gather(*map(live, range(SESSIONS)))
        assert lives == [[*IN_TURN, *IN_TURN[-1:] * (TURNS - len(IN_TURN))]] * SESSIONS
        assert len(processes) == group.workers

    group.prove(proof)


def test_each_session_gets_exactly_its_mocks_when_it_asks_everybody_at_once(group: Group) -> None:
    async def proof(opened: list[Client]) -> None:
        async def ask(number: int, client: Client) -> list[tuple[int, int]]:
            sessions = [(number + turn) % 5 for turn in range(5)]
            return [(each, (await client.ask("/each", f"at-once-{each}")).status) for each in sessions]

        answers: list[Any] = await asyncio.gather(*(ask(*each) for each in enumerate(opened)))
        seen = Counter(answer for of_one in answers for answer in of_one)
        assert seen == {
            (session, status): EACH if status == 503 else CONNECTIONS - EACH
            for session in range(5)
            for status in (503, 200)
        }

    group.prove(proof)
