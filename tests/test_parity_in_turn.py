"""Requests in turn through both adapters and every store: what is counted, and for whom.

One table: rules, requests in order, and what is to come back, as `status rule` or `app`. The WSGI side
stands under `wsgiref.validate`, as in test_parity.
"""

import asyncio
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import anyio
import pytest
from tests.by_hand import Answer, Sent, Wire, events_of, over_wsgi, scope_of
from tests.redis_server import RedisServer
from tests.test_parity import asgi_app, wsgi_app

from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware, asgi, fallback
from mockware.counters import Count
from mockware.memory_store import MemoryStore
from mockware.redis_store import RedisStore
from mockware.sqlite_store import SQLiteStore

Rules = Sequence[Rule]


def get(target: str = "/a", *headers: tuple[str, str], query: str = "") -> Sent:
    return Sent("GET", target, headers=headers, query=query)


def by(session: str, target: str = "/a") -> Sent:
    return get(target, ("X-Session", session))


def named(name: str, *headers: tuple[str, str]) -> Sent:
    return get("/elsewhere", ("X-Mock-Name", name), *headers)


@dataclass(frozen=True)
class Turns:
    says: str
    rules: Rules
    sent: Sequence[Sent]
    expected: Sequence[str]
    environ: dict[str, str] = field(default_factory=dict)


TWICE_DOWN: Any = [{"status": 503, "times": 2}, {"status": 202}]
FAILING = Rule("/a", name="failing", status=503, times=2)

TABLE = [
    Turns("a rule matches so often and no more", [FAILING], [get()] * 4, ["503 failing"] * 2 + ["app"] * 2),
    Turns(
        "then the next rule's turn has come",
        [FAILING, Rule("/a", name="next", status=404, times=1), Rule("/a", name="last")],
        [get()] * 5,
        ["503 failing"] * 2 + ["404 next"] + ["202 last"] * 2,
    ),
    Turns(
        "what does not match is not counted",
        [Rule("POST /a", name="failing", times=1, when={"headers": {"x": "1"}})],
        [
            get(),
            Sent("POST", "/a"),
            Sent("POST", "/a", headers=[("X", "1")]),
            Sent("POST", "/a", headers=[("X", "1")]),
        ],
        ["app", "app", "202 failing", "app"],
    ),
    Turns(
        "what chance passes over is not counted",
        [Rule("/a", name="never", times=1, probability=0), Rule("/a", name="always", times=1, probability=1)],
        [get()] * 2,
        ["202 always", "app"],
    ),
    Turns(
        "the last reply stays",
        [Rule("/a", name="r", replies=TWICE_DOWN)],
        [get()] * 4,
        ["503 r"] * 2 + ["202 r"] * 2,
    ),
    Turns(
        "replies go round",
        [Rule("/a", name="r", replies=TWICE_DOWN, then="loop")],
        [get()] * 7,
        ["503 r", "503 r", "202 r"] * 2 + ["503 r"],
    ),
    Turns(
        "or end with the app, and not with the next rule",
        [Rule("/a", name="r", replies=TWICE_DOWN, then="passthrough"), Rule("/a", name="next")],
        [get()] * 5,
        ["503 r"] * 2 + ["202 r"] + ["app"] * 2,
    ),
    Turns(
        "a rule with replies ends, too",
        [Rule("/a", name="r", replies=TWICE_DOWN, then="loop", times=4), Rule("/a", name="next")],
        [get()] * 5,
        ["503 r", "503 r", "202 r", "503 r", "202 next"],
    ),
    Turns(
        "passing through ends",
        [Rule("/a", name="once", passthrough=True, times=1), Rule("/a", name="next")],
        [get()] * 2,
        ["app", "202 next"],
    ),
    Turns(
        "a patch ends",
        [Rule("/a", name="once", patch={"status": 418}, times=1)],
        [get()] * 2,
        ["418 once", "app"],
    ),
    Turns(
        "two sessions do not disturb each other",
        [Rule("/a", name="r", replies=TWICE_DOWN, count_per="header:X-Session")],
        [by("s1"), by("s2"), by("s1"), by("s1"), by("s2"), by("s2"), get(), by("")],
        ["503 r", "503 r", "503 r", "202 r", "503 r", "202 r", "503 r", "503 r"],
    ),
    Turns(
        "nor do two paths",
        [Rule("/{any}", name="r", status=503, times=1, count_per="path")],
        [get("/a"), get("/b"), get("/a"), get("/b")],
        ["503 r", "503 r", "app", "app"],
    ),
    Turns(
        "which together are one rule's",
        [Rule("/{any}", name="r", status=503, times=2)],
        [get("/a"), get("/b"), get("/c")],
        ["503 r", "503 r", "app"],
    ),
    Turns(
        "a cookie tells callers apart",
        [Rule("/a", name="r", times=1, count_per="cookie:sid")],
        [get("/a", ("Cookie", "sid=1")), get("/a", ("Cookie", "x=9; sid=1")), get("/a", ("Cookie", "sid=2"))],
        ["202 r", "app", "202 r"],
    ),
    Turns(
        "and so does the query",
        [Rule("/a", name="r", times=1, count_per="query:who")],
        [get(query="who=1"), get(query="x=2&who=%31"), get(query="who=2"), get(), get()],
        ["202 r", "app", "202 r", "202 r", "app"],
    ),
    Turns(
        "a rule that is named answers whatever its times are, and is not counted",
        [FAILING],
        [named("failing")] * 3 + [get()] * 3,
        ["503 failing"] * 5 + ["app"],
    ),
    Turns(
        "its replies go on in turn",
        [Rule("/a", name="r", replies=TWICE_DOWN, count_per="header:x-session")],
        [named("r", ("X-Session", "1")), by("1"), named("r", ("X-Session", "1")), by("2")],
        ["503 r", "503 r", "202 r", "503 r"],
    ),
    Turns(
        "a body that is read for the second rule costs the first no turn",
        [FAILING, Rule("/a", name="json", when={"json": {"n": 1}}), Rule("/a", name="rest", status=404)],
        [Sent("POST", "/a", body=[b'{"n": 1}'])] * 4 + [get()],
        ["503 failing"] * 2 + ["202 json"] * 2 + ["404 rest"],
    ),
    Turns(
        "a template of the body comes in turn, too",
        [
            Rule(
                "/a",
                name="r",
                template=True,
                replies=[{"status": 409, "text": "{{ request.json.n }}"}, {"text": "done"}],
            )
        ],
        [Sent("POST", "/a", body=[b'{"n": 1}'])] * 2,
        ["409 r", "202 r"],
    ),
    Turns(
        "a service has counters of its own",
        [FAILING],
        [get()] * 3,
        ["503 failing"] * 2 + ["app"],
        {"MOCKWARE_SERVICE": "shop"},
    ),
]

STORES = ["memory", "sqlite", "redis"]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def store_of(kind: str, folder: Path, redis: RedisServer) -> Any:
    if kind == "memory":
        return "memory:"
    if kind == "sqlite":
        return SQLiteStore(str(folder / f"{uuid.uuid4().hex}.db"))
    return RedisStore(redis.url, prefix=uuid.uuid4().hex)


def told(answer: Answer) -> str:
    rule = answer.all("x-mock-rule")
    return f"{answer.status} {rule[0]}" if rule else "app"


async def over_a_loop(app: Any, sent: Sequence[Sent]) -> list[Answer]:
    """On an event loop, since a store is waited for."""
    answers = []
    for each in sent:
        wire = Wire(events_of(each))
        with anyio.fail_after(20):
            await app(scope_of(each), wire.receive, wire.send)
        answers.append(wire.answer)
    return answers


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("turns", TABLE, ids=lambda turns: turns.says)
def test_both_adapters_count_alike_in_every_store(
    turns: Turns, backend: str, kind: str, tmp_path: Path, redis: RedisServer
) -> None:
    how: dict[str, Any] = {"rules": turns.rules, "enabled": True, "environ": turns.environ}
    asgi = ASGIMockMiddleware(asgi_app, store=store_of(kind, tmp_path, redis), **how)
    answers = anyio.run(over_a_loop, asgi, turns.sent, backend=backend)
    assert [told(answer) for answer in answers] == list(turns.expected)
    if backend == "asyncio":
        wsgi = WSGIMockMiddleware(validator(wsgi_app), store=store_of(kind, tmp_path, redis), **how)
        assert [over_wsgi(wsgi, each) for each in turns.sent] == answers
        wsgi._snapshot.store.close()
    asgi._snapshot.store.close()


@pytest.mark.parametrize("kind", STORES)
def test_requests_at_the_same_time_are_counted_exactly(kind: str, tmp_path: Path, redis: RedisServer) -> None:
    rules = [Rule("/a", name="failing", status=503, times=50)]
    how: dict[str, Any] = {"rules": rules, "enabled": True, "environ": {}}

    async def at_once() -> list[str]:
        app = ASGIMockMiddleware(asgi_app, store=store_of(kind, tmp_path, redis), **how)
        with closing(app._snapshot.store):
            found = await asyncio.gather(*(over_a_loop(app, [get()]) for _ in range(200)))
            return [told(answer) for answers in found for answer in answers]

    found = asyncio.run(at_once())
    assert (found.count("503 failing"), found.count("app")) == (50, 150)

    app = WSGIMockMiddleware(wsgi_app, store=store_of(kind, tmp_path, redis), **how)
    together = threading.Barrier(8)

    def thread(_: int) -> list[str]:
        together.wait()
        return [told(over_wsgi(app, get(), validated=False)) for _ in range(25)]

    with closing(app._snapshot.store), ThreadPoolExecutor(8) as pool:
        found = [each for answers in pool.map(thread, range(8)) for each in answers]
    assert (found.count("503 failing"), found.count("app")) == (50, 150)


def test_what_is_not_counted_asks_no_store() -> None:
    class Untouched(MemoryStore):
        threads = 1
        name = "untouched:"

        def count(self, counters: Sequence[Any]) -> None:
            raise AssertionError("a request that is not counted asked the store")

    rules = [Rule("/b", times=1), Rule("/a"), Rule("/p", passthrough=True), Rule("/c", probability=0.5)]
    how: dict[str, Any] = {"rules": rules, "enabled": True, "environ": {}, "store": Untouched()}
    sent = [get("/a"), get("/x"), get("/p"), get("/c"), get("/x", ("X-Mock-Status", "503"))]
    asgi = asyncio.run(over_a_loop(ASGIMockMiddleware(asgi_app, **how), sent))
    assert [told(answer) for answer in asgi[:3]] == ["202 /a", "app", "app"]
    assert told(asgi[4]) == "503 trigger"
    wsgi = WSGIMockMiddleware(wsgi_app, **how)
    assert told(over_wsgi(wsgi, sent[0])) == "202 /a"
    assert told(over_wsgi(wsgi, sent[1])) == "app"


def test_the_event_loop_goes_on_while_a_store_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # With so much patience, a loop that stood still would do so until the store has given up.
    for module in (asgi, fallback):
        monkeypatch.setattr(module, "MAX_WAIT_S", 20.0)
    others_ran = threading.Event()

    class Waiting(MemoryStore):
        threads = 1
        name = "waiting:"

        def count(self, counters: Sequence[Any]) -> Count:
            assert others_ran.wait(10), "nothing else ran meanwhile"
            return Count(0, 1)  # what the memory of this process, in its place, would not say

    async def main() -> list[Answer]:
        rules = [Rule("/a", name="r", replies=[{"status": 503}, {"status": 202}])]
        app = ASGIMockMiddleware(asgi_app, rules=rules, enabled=True, environ={}, store=Waiting())
        with closing(app._snapshot.store):
            counted = asyncio.ensure_future(over_a_loop(app, [get()]))
            await asyncio.sleep(0)
            passed = await over_a_loop(app, [get("/x")])
            others_ran.set()
            return [*await counted, *passed]

    assert [told(answer) for answer in asyncio.run(main())] == ["202 r", "app"]
