"""Who may use the control API: whoever has the key, from a program or from our own page.

Law: nothing is looked at, and nothing said, before the key is. A page of another origin is turned away even
with it. What was presented as a key is not logged.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import urlsplit

from .attempts import Attempts
from .messages import Request
from .origins import origin_of
from .tokens import TokenKey


class RefusedError(Exception):
    """Why a request is turned away: the status, the reason, and in how many seconds to try again, if ever."""

    def __init__(self, status: int, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class Guard:
    """Compares keys in constant time, and counts the wrong ones. `clock` gives seconds, of any origin."""

    def __init__(self, key: str, *, clock: Callable[[], float]) -> None:
        # Of one length, so that not even that can be told from the time.
        self._key = _digest(key.encode())
        self._tokens = TokenKey(key)
        self._attempts = Attempts(clock=clock)

    def check(self, request: Request, *, trusts_forwarded: bool = False) -> None:
        """Raises RefusedError. `trusts_forwarded`: a proxy says whence a request comes, and to which host."""
        wait_s = self._attempts.wait_s(request, trusts_forwarded=trusts_forwarded)
        if wait_s:
            raise RefusedError(429, "too many wrong keys from this address", wait_s)
        scheme, _, presented = (request.header("authorization") or "").partition(" ")
        # RFC 9110 section 11.1: the scheme is a "case-insensitive token".
        if scheme.lower() != "bearer":
            raise RefusedError(401, "send the value of MOCKWARE_KEY as `Authorization: Bearer KEY`")
        found = _bytes_of(presented.strip(" "))
        if not hmac.compare_digest(_digest(found), self._key):
            self._attempts.note_wrong(request, found, trusts_forwarded=trusts_forwarded)
            if self._tokens.read(presented.strip(" ")) is not None:
                raise RefusedError(401, "a token opens nothing here; send the value of MOCKWARE_KEY itself")
            raise RefusedError(401, "this is not the value of MOCKWARE_KEY")
        self._check_origin(request, trusts_forwarded=trusts_forwarded)

    def _check_origin(self, request: Request, *, trusts_forwarded: bool) -> None:
        """A browser says where a request comes from; other programs say nothing."""
        site = request.header("sec-fetch-site")
        if site is not None:
            # https://w3c.github.io/webappsec-fetch-metadata/: `none` is the person's own doing.
            if site in ("same-origin", "none"):
                return
            raise RefusedError(403, "this request comes from a page of another origin")
        origin = request.header("origin")
        if origin is None:
            return
        # Whoever sees us through a proxy that ends TLS has another scheme than we do.
        hosts = {(request.header("host") or "").lower()}
        if trusts_forwarded:
            hosts.add(origin_of(request, trusts_forwarded=True).partition("://")[2].lower())
        try:
            host = urlsplit(origin).netloc.lower()
        except ValueError:
            host = ""
        if not host or host not in hosts:
            raise RefusedError(403, "this request comes from a page of another origin")


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, person=b"mockware bearer"[:16]).digest()


def _bytes_of(presented: str) -> bytes:
    # Fields come as Latin-1, whatever their bytes mean; the key in the environment was UTF-8.
    return presented.encode("latin-1", "replace")
