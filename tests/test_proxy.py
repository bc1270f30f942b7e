"""A proxy as an app that is called: what servers seldom do, or tests do all the time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import pytest
import trio
from tests.upstreams import Arrived, Upstream

from mockware.proxy import Proxy

Event = dict[str, Any]
IN_CHUNKS = [(b"transfer-encoding", b"chunked")]


def scope(method: str = "GET", path: str = "/x", headers: Iterable[tuple[bytes, bytes]] = ()) -> Event:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": list(headers),
        "client": ("192.0.2.1", 5),
    }


def piece(body: bytes, *, more: bool = True) -> Event:
    return {"type": "http.request", "body": body, "more_body": more}


async def never() -> Event:
    await asyncio.Event().wait()
    raise AssertionError


def in_turn(*events: Event | float) -> Callable[[], Awaitable[Event]]:
    """A `receive` that gives these; a number is how long the client takes."""
    left = iter(events)

    async def receive() -> Event:
        for event in left:
            if not isinstance(event, float):
                return event
            await asyncio.sleep(event)
        return await never()

    return receive


async def answer(
    proxy: Proxy, request: Event, receive: Callable[[], Awaitable[Event]] = never
) -> list[Event]:
    sent: list[Event] = []

    async def send(event: Event) -> None:
        sent.append(event)

    async with asyncio.timeout(20):
        await proxy(request, receive, send)  # type: ignore[arg-type]
    return sent


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as made:
        yield made
        assert made.errors == []


def test_each_event_loop_has_connections_of_its_own(upstream: Upstream) -> None:
    proxy = Proxy(upstream.url)

    async def once() -> int:
        start, *_ = await answer(proxy, scope())
        return int(start["status"])

    async def session() -> Any:
        return proxy.connections.session

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(once()) == 200
        kept = first.run(session())
        assert second.run(once()) == 200
        second.run(proxy.close())
        first.run(kept.close())


def test_a_length_beside_chunks_takes_nothing_of_the_next_request(upstream: Upstream) -> None:
    # As the servers that stand on h11 hand it on.
    @upstream.on("/early")
    def early(arrived: Arrived) -> None:
        arrived.answer(b"done")
        assert arrived.body() == b"abc"

    async def both() -> list[Event]:
        proxy = Proxy(upstream.url)
        await answer(
            proxy,
            scope("POST", "/early", [(b"content-length", b"40"), *IN_CHUNKS]),
            in_turn(piece(b"abc", more=False)),
        )
        sent = await answer(proxy, scope())
        await proxy.close()
        return sent

    assert b"GET /x" in asyncio.run(both())[1]["body"]


def test_a_target_that_is_no_ascii_arrives_byte_for_byte_or_not_at_all(upstream: Upstream) -> None:
    async def both() -> tuple[list[Event], list[Event]]:
        proxy = Proxy(upstream.url)
        raw = {"raw_path": b"/caf\xc3\xa9", "query_string": b"q=\xc3\xa9"}
        passed = await answer(proxy, scope() | raw)
        nothing = in_turn(piece(b"", more=False))
        refused = await answer(proxy, scope() | {"raw_path": b"/\xe9"}, nothing)
        await proxy.close()
        return passed, refused

    passed, refused = asyncio.run(both())
    assert rb"GET /caf\u00c3\u00a9?q=\u00c3\u00a9 HTTP/1.1" in passed[1]["body"]
    assert refused[0]["status"] == 400


def test_a_slow_client_of_an_upstream_that_is_away_is_told_so_in_the_end() -> None:
    upstream = Upstream()
    upstream.stop()
    slow = in_turn(piece(b"a"), 0.6, piece(b"b"), 0.6, piece(b"c", more=False))

    async def told() -> list[Event]:
        proxy = Proxy(upstream.url, timeout_s=0.5)
        sent = await answer(proxy, scope("POST", headers=IN_CHUNKS), slow)
        await proxy.close()
        return sent

    assert [event.get("status") for event in asyncio.run(told())] == [502, None]


def test_nothing_waits_for_a_body_whose_exchange_is_over(upstream: Upstream) -> None:
    @upstream.on("/breaks")
    def breaks(arrived: Arrived) -> None:
        assert next(arrived.pieces()) == b"a"
        arrived.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        arrived.connection.socket.close()

    async def left() -> set[asyncio.Task[Any]]:
        proxy = Proxy(upstream.url)
        await answer(proxy, scope("POST", "/breaks", IN_CHUNKS), in_turn(piece(b"a")))
        await proxy.close()
        await asyncio.sleep(0)  # for those that were cancelled
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(left()) == set()


def test_the_upstream_is_not_blamed_for_a_client_that_is_lost(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    # ASGI: a server's `send()` may raise an OSError where the client has gone.
    async def send(event: Event) -> None:
        raise OSError("gone")

    async def lost() -> bool:
        proxy = Proxy(upstream.url)
        await proxy(scope(), never, send)  # type: ignore[arg-type]
        await proxy.close()
        return proxy.connections.is_away

    with caplog.at_level(logging.WARNING):
        assert not asyncio.run(lost())
    assert caplog.messages == []


def test_on_trio_it_says_what_it_needs() -> None:
    left: list[Event] = [{"type": "lifespan.startup"}]
    sent: list[Event] = []

    async def receive() -> Event:
        return left.pop()

    async def send(event: Event) -> None:
        sent.append(event)

    proxy = Proxy("http://127.0.0.1:1")
    trio.run(proxy, {"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert sent == [{"type": "lifespan.startup.failed", "message": "a proxy needs asyncio, not trio"}]
