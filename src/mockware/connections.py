"""The connections of a proxy to its upstream, and what is known of it.

Law: everything that is asked of the client library is asked here, once for all requests: whom to trust, what
to wait for, what not to add. What it says of its own accord (cookies, a User-Agent) is kept from it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import MutableMapping
from http.cookies import BaseCookie, SimpleCookie
from typing import Any
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from .exceptions import quoted
from .forwarding import Forwarding, Outgoing
from .logs import logger
from .upstream import Upstream
from .upstream_failures import CONNECT_S, Failure, failure_of

Scope = MutableMapping[str, Any]

# Below the time after which the usual servers close an idle connection (gunicorn 2 s, node and uvicorn 5 s),
# so that a request seldom meets one that is being closed.
IDLE_CONNECTION_S = 1.5
# RFC 9110 section 10.1.1: who waits for 100 "SHOULD NOT wait for an indefinite period"; curl waits as long.
CONTINUE_S = 1.0
# Fields of large cookies and tokens; nginx's large_client_header_buffers are four of 8 KiB.
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 500


class Connections:
    """To `upstream`, which may be silent for `timeout_s`. `forwarding` is what it is told of each request."""

    def __init__(
        self,
        upstream: Upstream,
        forwarding: Forwarding,
        *,
        timeout_s: float,
        server_timing: bool,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.upstream = upstream
        self.timeout_s = timeout_s
        self._forwarding = forwarding
        self._server_timing = server_timing
        self._tls = tls
        self._opened: tuple[asyncio.AbstractEventLoop, aiohttp.ClientSession] | None = None
        self._away = ""  # why nothing can be had of it at the moment

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

    def failed(self, error: BaseException) -> Failure:
        """What an error means; of what is the upstream's, the log says each cause once, until it is back."""
        failure = failure_of(error, self.upstream, timeout_s=self.timeout_s)
        if failure.is_upstreams:
            if self._away != failure.detail:
                logger.warning("%s; it is asked again for each request", failure.detail)
            self._away = failure.detail
        return failure

    @property
    def is_away(self) -> bool:
        """Whether nothing could be had of it when it was last asked."""
        return bool(self._away)

    def answered(self) -> None:
        """Says in the log that it is back, if it was away."""
        if self._away:
            logger.warning("the upstream %s answers again", self.upstream)
            self._away = ""

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
