"""A request as an ASGI server tells it.

Law: a scope is only read, and only as far as somebody asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

from .messages import Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Without either of these, a request on HTTP/1.1 has no body (RFC 9112 section 6.3).
BODY_FIELDS = frozenset((b"content-length", b"transfer-encoding"))


class ScopeRequest(Request):
    """A request as its scope tells it; `path` is the one that the app routes on."""

    __slots__ = ("_fields", "_raw_headers", "_scope")

    def __init__(self, scope: Scope, path: str) -> None:
        # A websocket handshake is a GET (RFC 6455 section 4.1), or stands for one (RFC 8441).
        super().__init__(scope.get("method", "GET"), path, scope.get("query_string", b"").decode("latin-1"))
        self._scope = scope
        self._raw_headers = scope["headers"]
        self._fields: dict[bytes, bytes] | None = None

    def fields(self) -> dict[str, str]:
        names = {name.decode("latin-1") for name, _ in self._raw_headers}
        return {name: self.header(name) or "" for name in sorted(names)}

    def header(self, name: str) -> str | None:
        fields = self._fields
        if fields is None:
            fields = self._fields = {}
            for field, value in self._raw_headers:
                if field in fields:
                    # HTTP/2 may split the Cookie field, which is put together with its own mark (RFC 9113
                    # section 8.2.3).
                    value = fields[field] + (b"; " if field == b"cookie" else b",") + value
                fields[field] = value
        found = fields.get(name.encode("latin-1"))
        return None if found is None else found.decode("latin-1")

    @property
    def expects_to_continue(self) -> bool:
        """Whether the client holds the body back until it is told to go on."""
        # On HTTP/2 the body may be on its way whatever is said, and leaving it unread breaks hypercorn; on
        # HTTP/1.0 the field means nothing (RFC 9110 section 10.1.1).
        version = self._scope.get("http_version")
        return version == "1.1" and (self.header("expect") or "").lower() == "100-continue"

    @property
    def scheme(self) -> str:  # type: ignore[override]
        return str(self._scope.get("scheme", "http"))

    @property
    def mount(self) -> str:  # type: ignore[override]
        return quote(self._scope.get("root_path", ""), safe="/")

    @property
    def client(self) -> str:  # type: ignore[override]
        return str((self._scope.get("client") or ("",))[0])


def route_path(path: str, root_path: str) -> str:
    """The path that the app routes on: what stands behind `root_path`, as Starlette takes it off."""
    if path.startswith(root_path) and path[len(root_path) : len(root_path) + 1] in ("/", ""):
        return path[len(root_path) :] or "/"
    return path
