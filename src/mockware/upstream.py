"""Where a proxy sends requests on to: an upstream, as it is written on a command line.

Law: what cannot be meant is refused before anything listens, with what to write instead. Nothing here
resolves a name or connects.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from .exceptions import did_you_mean, quoted

SCHEMES = ("http", "https")
# How long one may be silent while it is waited for: nginx's proxy_read_timeout, too.
UPSTREAM_TIMEOUT_S = 60.0

_PORTS = {"http": 80, "https": 443}
_UNIX = "unix:"

# As in origins.py, but a name may also be one of a container, with underscores.
_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]")
# RFC 3986 section 3.3, of segments that are encoded already.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")


class Upstream(NamedTuple):
    """A service that speaks HTTP/1.1.

    `host` is a name or an address as it stands in a URL, `prefix` what is put before every path, `socket`
    the path of a Unix socket that is connected to instead of the host.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""
    socket: str = ""

    @property
    def authority(self) -> str:
        """The Host field that the upstream is known by."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{_UNIX}{self.socket}" if self.socket else f"{self.scheme}://{self.authority}{self.prefix}"


def parse_upstream(text: str) -> Upstream:
    """`http://HOST[:PORT][/PREFIX]`, the same with https, or `unix:/PATH` of a socket.

    Raises ValueError, with the nearest right form, for anything else.
    """
    if text.startswith(_UNIX):
        # With two slashes more it is the same path, as curl and nginx's users write it.
        path = text.removeprefix(_UNIX)
        path = path[2:] if path.startswith("///") else path
        if not path.startswith("/") or "\0" in path:
            raise ValueError(
                f"{quoted(text)}: expected the absolute path of a socket, such as unix:/run/app.sock"
            )
        return Upstream("http", "localhost", _PORTS["http"], socket=path)
    scheme, separator, _ = text.partition("://")
    if not separator:
        raise ValueError(f"{quoted(text)} is no URL; did you mean {quoted(_completed(text))}?")
    if scheme.lower() not in SCHEMES:
        raise ValueError(
            f"{quoted(text)}: {quoted(scheme)} is no scheme of an upstream{did_you_mean(scheme, SCHEMES)}"
        )
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is no URL: {error}") from None
    host = url.netloc.rpartition("@")[2].removesuffix(f":{port}").removesuffix(":")
    if url.username is not None:
        raise ValueError(
            f"{quoted(text)}: an upstream's URL has no user and password; send an Authorization field"
        )
    if url.query or url.fragment:
        raise ValueError(f"{quoted(text)}: an upstream's URL has neither a query nor a fragment")
    if not _HOST.fullmatch(host):
        raise ValueError(f"{quoted(text)}: {quoted(host)} is no host")
    prefix = url.path.rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{quoted(text)}: {quoted(url.path)} is no path as it stands in a URL")
    return Upstream(url.scheme, host.lower(), port or _PORTS[url.scheme], prefix)


def _completed(text: str) -> str:
    """What is probably meant by something without a scheme."""
    if text.isascii() and text.isdigit():
        return f"http://127.0.0.1:{text}"
    if text.startswith(":") and text[1:].isdigit():
        return f"http://127.0.0.1{text}"
    if text.startswith("/"):
        return f"unix:{text}"
    return f"http://{text.removeprefix('http:').removeprefix('https:').lstrip('/')}"
