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
from http.cookies import BaseCookie, SimpleCookie
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from .exceptions import quoted
from .exchange import Exchange
from .forwarding import Forwarding, Outgoing
from .logs import logger
from .relay import relay
from .upstream import Upstream, parse_upstream
from .upstream_failures import CONNECT_S, Failure

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

# How long an upstream may be silent while it is waited for: nginx's proxy_read_timeout, too.
TIMEOUT_S = 60.0
# Below the time after which the usual servers close an idle connection (gunicorn 2 s, node and uvicorn 5 s),
# so that a request seldom meets one that is being closed.
IDLE_CONNECTION_S = 1.5
# RFC 9110 section 10.1.1: who waits for 100 "SHOULD NOT wait for an indefinite period"; curl waits as long.
CONTINUE_S = 1.0
# Fields of large cookies and tokens; nginx's large_client_header_buffers are four of 8 KiB.
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 500


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
        timeout_s: float = TIMEOUT_S,
        server_timing: bool = False,
        trusts_forwarded: bool = False,
        without: tuple[str, ...] = ("x-mock-key",),
        tls: ssl.SSLContext | None = None,
        name: str = "",
    ) -> None:
        self.upstream = parse_upstream(upstream) if isinstance(upstream, str) else upstream
        self.timeout_s = timeout_s
        # RFC 9110 section 7.6.3 lets a pseudonym stand for the host; this one tells loops from chains.
        self._forwarding = Forwarding(
            host=host,
            without=without,
            trusts_forwarded=trusts_forwarded,
            name=name or f"mockware-{uuid4().hex[:12]}",
        )
        self._server_timing = server_timing
        self._tls = tls
        self._opened: tuple[asyncio.AbstractEventLoop, aiohttp.ClientSession] | None = None
        self.is_away = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Exchange(self, scope, receive, send).run()
        elif scope["type"] == "websocket":
            await relay(self, scope, receive, send)
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

    async def close(self) -> None:
        """Closes the connections to the upstream. A request after this opens new ones."""
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened[1].close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The connections to the upstream, which are opened for the loop that runs."""
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            # Those of another loop, such as a test client has for each request, are of no use in this one.
            self._opened = loop, self.new_session()
        return self._opened[1]

    def new_session(self, **more: Any) -> aiohttp.ClientSession:
        """Connections of their own; whoever asks for them closes them."""
        # As many as there are requests, whose number the server in front bounds.
        pool: dict[str, Any] = {"limit": 0, "keepalive_timeout": IDLE_CONNECTION_S}
        connector: aiohttp.BaseConnector
        if self.upstream.socket:
            connector = aiohttp.UnixConnector(self.upstream.socket, **pool)
        else:
            connector = aiohttp.TCPConnector(ssl=self._tls or True, **pool)
        return aiohttp.ClientSession(
            connector=connector,
            request_class=_Request,
            cookie_jar=_NoCookies(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            **more,
        )

    def url(self, scope: Scope, *, scheme: str = "") -> URL:
        """What a request asks the upstream for, byte for byte. Raises ValueError for `*` and the like."""
        method = scope.get("method", "GET")  # a handshake has none
        if method == "CONNECT":
            # RFC 9110 section 9.3.6: it "is intended for use in requests to a proxy", and not to a gateway.
            raise ValueError("there are no tunnels here, which CONNECT asks for")
        if method != method.upper():
            # RFC 9110 section 9.1: "The method token is case-sensitive", but not to the client library.
            raise ValueError(f"{quoted(method)} is no method that can be handed on")
        raw = scope.get("raw_path")
        # The client library writes what is no ASCII as UTF-8.
        path = raw.decode() if raw else quote(scope["path"], safe="/")
        if not path.startswith("/"):
            raise ValueError(f"{quoted(path)} is no path that can be handed on")
        upstream = self.upstream
        return URL.build(
            scheme=scheme or upstream.scheme,
            host=upstream.host,
            port=upstream.port,
            path=upstream.prefix + path,
            query_string=scope.get("query_string", b"").decode(),
            encoded=True,
        )

    def outgoing(self, scope: Scope) -> Outgoing:
        """What a request says to the upstream. Raises LoopError and ValueError."""
        return self._forwarding.to_upstream(scope)

    def is_gone(self, failure: Failure) -> None:
        """Says in the log that the upstream does not answer: once, until it is back."""
        if not self.is_away:
            logger.warning("%s; it is asked again for each request", failure.detail)
        self.is_away = True

    def is_back(self) -> None:
        logger.warning("the upstream %s answers again", self.upstream)
        self.is_away = False

    def took(self, seconds: float) -> list[tuple[bytes, bytes]]:
        """How long the upstream took to answer, as a field if that is wished for."""
        if not self._server_timing:
            return []
        # W3C Server Timing: `dur` is in milliseconds.
        return [(b"server-timing", b"upstream;dur=%.1f" % (seconds * 1000))]


class _NoCookies(aiohttp.DummyCookieJar):
    """Cookies are between the client and the upstream. (Its base makes a new empty box for each request.)"""

    _none: SimpleCookie = SimpleCookie()

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        return self._none


# A body whose type the client does not tell has none for the upstream either.
_NOT_ADDED: CIMultiDict[None] = CIMultiDict({"Content-Type": None})


class _Request(aiohttp.ClientRequest):
    """A request that says nothing of its own, and does not wait for a 100 for ever."""

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        self._skip_auto_headers = _NOT_ADDED

    def update_expect_continue(self, expect: bool = False) -> None:
        super().update_expect_continue(expect)
        waiting = self._continue
        if waiting is not None:
            self.loop.call_later(CONTINUE_S, _go_on, waiting)


def _go_on(waiting: asyncio.Future[bool]) -> None:
    if not waiting.done():
        waiting.set_result(True)
