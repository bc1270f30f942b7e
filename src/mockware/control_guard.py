"""Who may use the control API: whoever has the key, from a program or from our own page.

Law: nothing is looked at, and nothing said, before the key is. A page of another origin is turned away even
with it. What was presented as a key is not logged; of a wrong one a digest is kept for a minute, which only
this process can make.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from .messages import Request
from .origins import nearest_client, origin_of
from .tokens import TokenKey

# A person mistypes a key twice. At ten a minute, guessing the shortest sensible key of 8 letters and digits
# takes longer than there have been computers. Only other keys are counted: one that was refused before tells
# nobody anything, and a forgotten script with an old key must not keep its whole office out.
MAX_WRONG = 10
WINDOW_S = 60.0
# Of all that comes through one proxy, whatever it says of whence: what a client may have put there itself
# lets it guess no faster than this.
MAX_WRONG_OF_PROXY = 100
# Addresses that sent wrong keys within the window; of more than these, the one that was quiet longest is
# forgotten. 1 KB each, 10 KB for a proxy.
MAX_ADDRESSES = 1000


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
        self._salt = secrets.token_bytes(16)
        self._clock = clock
        self._lock = threading.Lock()
        # Of each address, when its window began and which wrong keys it has sent since.
        self._wrong: OrderedDict[str, tuple[float, set[bytes]]] = OrderedDict()

    def check(self, request: Request, *, trusts_forwarded: bool = False) -> None:
        """Raises RefusedError. `trusts_forwarded`: a proxy says whence a request comes, and to which host."""
        now = self._clock()
        limits = _addresses(request, trusts_forwarded=trusts_forwarded)
        with self._lock:
            for address, most in limits.items():
                began, wrong = self._wrong.get(address, (now, ()))
                if len(wrong) >= most and now < began + WINDOW_S:
                    # The right key, too: else whoever guesses would learn that it is, and could go on.
                    raise RefusedError(429, "too many wrong keys from this address", began + WINDOW_S - now)
        scheme, _, presented = (request.header("authorization") or "").partition(" ")
        # RFC 9110 section 11.1: the scheme is a "case-insensitive token".
        if scheme.lower() != "bearer":
            raise RefusedError(401, "send the value of MOCKWARE_KEY as `Authorization: Bearer KEY`")
        found = _bytes_of(presented.strip(" "))
        if not hmac.compare_digest(_digest(found), self._key):
            self._note_wrong(limits, hashlib.blake2b(found, key=self._salt, digest_size=16).digest(), now)
            if self._tokens.read(presented.strip(" ")) is not None:
                raise RefusedError(401, "a token opens nothing here; send the value of MOCKWARE_KEY itself")
            raise RefusedError(401, "this is not the value of MOCKWARE_KEY")
        self._check_origin(request, trusts_forwarded=trusts_forwarded)

    def forked(self) -> None:
        """In a child: the lock may have been held when the process was copied."""
        self._lock = threading.Lock()

    def _note_wrong(self, limits: dict[str, int], wrong: bytes, now: float) -> None:
        with self._lock:
            for address in limits:
                began, known = self._wrong.pop(address, (now, set[bytes]()))
                if now >= began + WINDOW_S:
                    began, known = now, set()
                known.add(wrong)
                self._wrong[address] = began, known
            while len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)

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


def _addresses(request: Request, *, trusts_forwarded: bool) -> dict[str, int]:
    """Whose wrong keys are counted, and how many each may send."""
    peer = _whose(request.client)
    if not trusts_forwarded:
        return {peer: MAX_WRONG}
    return {peer: MAX_WRONG_OF_PROXY, f"{_whose(nearest_client(request))} by {peer}": MAX_WRONG}


def _whose(address: str) -> str:
    """An address without what its holder changes at will."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    # RFC 6177 section 2: even a home has 64 bits of its own.
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(found)


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, person=b"mockware bearer"[:16]).digest()


def _bytes_of(presented: str) -> bytes:
    # Fields come as Latin-1, whatever their bytes mean; the key in the environment was UTF-8.
    return presented.encode("latin-1", "replace")
