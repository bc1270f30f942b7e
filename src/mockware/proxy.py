"""A reverse proxy to wrap: an ASGI app that hands every request on to an upstream.

    app = mockware.wrap(Proxy("http://127.0.0.1:3000"), rules="mocks.toml")

Law: what passes is not changed: bodies go through in pieces, as fast as the slower side takes them, in the
coding that they have. Nobody waits for ever: each wait for the upstream is bounded, and where a response
cannot be given any more, the connection ends as the upstream's did. An error of the upstream is a 502 or 504
in our own words, and no mock: it has no X-Mock-Rule.

The client library is aiohttp's: of those that were measured (httpx, httpcore, niquests) the only one that
keeps up with 64 connections. What it lacks is lacking here: trailers, and interim responses but 100.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

from .connections import Connections
from .exchange import Exchange
from .forwarding import Forwarding
from .relay import relay
from .upstream import UPSTREAM_TIMEOUT_S, Upstream, parse_upstream

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Proxy:
    """Hands every request on to `upstream`, and its answer back. Websockets, too.

    `upstream` is `http://HOST[:PORT][/PREFIX]`, https, or `unix:/PATH`. `host` is the Host field that it
    gets: None keeps the client's. `timeout_s` is how long it may be silent. `server_timing` says in a field
    of that name how long it took. `trusts_forwarded` keeps what `Forwarded` and `X-Forwarded-*` say already;
    `without` are further fields that it does not get. `tls` is how it is known (None: by the system's
    authorities). Raises ValueError for what is no upstream.
    """

    def __init__(
        self,
        upstream: str | Upstream,
        *,
        host: str | None = None,
        timeout_s: float = UPSTREAM_TIMEOUT_S,
        server_timing: bool = False,
        trusts_forwarded: bool = False,
        without: tuple[str, ...] = ("x-mock-key",),
        tls: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        forwarding = Forwarding(
            host=host,
            without=without,
            trusts_forwarded=trusts_forwarded,
            # RFC 9110 section 7.6.3 lets a pseudonym stand for the host; this one tells loops from chains.
            name=name or f"mockware-{uuid4().hex[:12]}",
        )
        self.connections = Connections(
            parse_upstream(upstream) if isinstance(upstream, str) else upstream,
            forwarding,
            timeout_s=timeout_s,
            server_timing=server_timing,
            tls=tls,
        )

    async def close(self) -> None:
        """Closes the connections to the upstream, as the end of its lifespan does."""
        await self.connections.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Exchange(self.connections, scope, receive, send).run()
        elif scope["type"] == "websocket":
            await relay(self.connections, scope, receive, send)
        else:
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan: connections are kept from one request to the next, and closed at the end."""
        while True:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                await send({"type": "lifespan.startup.failed", "message": "a proxy needs asyncio, not trio"})
                return
            await send({"type": "lifespan.startup.complete"})
