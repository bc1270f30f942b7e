"""A request as a WSGI server tells it (PEP 3333).

Law: an environ is only read, and only as far as somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from .messages import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class EnvironRequest(Request):
    __slots__ = ("_environ",)

    def __init__(self, environ: WSGIEnvironment, path: str) -> None:
        super().__init__(environ.get("REQUEST_METHOD", "GET"), path, environ.get("QUERY_STRING", ""))
        self._environ = environ

    def header(self, name: str) -> str | None:
        value = self._environ.get(environ_key(name))
        # Servers give these two as empty strings where the request has none (PEP 3333).
        return None if value == "" and name in ("content-type", "content-length") else value

    def fields(self) -> dict[str, str]:
        names = [key[5:] for key in self._environ if key.startswith("HTTP_")]
        names = [name.lower().replace("_", "-") for name in (*names, "CONTENT_TYPE", "CONTENT_LENGTH")]
        return {name: value for name in names if (value := self.header(name)) is not None}

    @property
    def scheme(self) -> str:  # type: ignore[override]
        return str(self._environ.get("wsgi.url_scheme", "http"))

    @property
    def mount(self) -> str:  # type: ignore[override]
        return quote(self._environ.get("SCRIPT_NAME", "").encode("latin-1"), safe="/")

    @property
    def client(self) -> str:  # type: ignore[override]
        return str(self._environ.get("REMOTE_ADDR", ""))


def decoded(path: str) -> str:
    """A path as people write it: PEP 3333 has its bytes as Latin-1."""
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


def environ_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
