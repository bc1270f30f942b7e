"""Who may use the control API: whoever has the key, from a program or from our own page.

Law: nothing is looked at, and nothing said, before the key is. A page of another origin is turned away even
with it. What was presented as a key is neither logged nor kept.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from .messages import Request

# A person mistypes a key twice. At ten a minute, guessing the shortest sensible key of 8 letters and digits
# takes longer than there have been computers.
MAX_WRONG = 10
WINDOW_S = 60.0
# Addresses that sent wrong keys within the window; of more than these, the one that was quiet longest is
# forgotten. 100 bytes each.
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

    def __init__(self, key: str, *, clock: Callable[[], float], trusts_forwarded: bool = False) -> None:
        # Of one length, so that not even that can be told from the time.
        self._key = _digest(key.encode())
        self._clock = clock
        self.trusts_forwarded = trusts_forwarded
        self._lock = threading.Lock()
        # Of each address, when its window began and how many wrong keys it has sent since.
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, request: Request) -> None:
        """Raises RefusedError."""
        now = self._clock()
        with self._lock:
            began, count = self._wrong.get(request.client, (now, 0))
        if count >= MAX_WRONG and now < began + WINDOW_S:
            # The right key, too: else whoever guesses would learn that it is.
            raise RefusedError(429, "too many wrong keys from this address", began + WINDOW_S - now)
        scheme, _, presented = (request.header("authorization") or "").partition(" ")
        # RFC 9110 section 11.1: the scheme is a "case-insensitive token".
        if scheme.lower() != "bearer":
            raise RefusedError(401, "send the value of MOCKWARE_KEY as `Authorization: Bearer KEY`")
        if not hmac.compare_digest(_digest(_bytes_of(presented.strip(" "))), self._key):
            self._note_wrong(request.client, now)
            raise RefusedError(401, "this is not the value of MOCKWARE_KEY")
        self._check_origin(request)

    def forked(self) -> None:
        """In a child: the lock may have been held when the process was copied."""
        self._lock = threading.Lock()

    def _note_wrong(self, client: str, now: float) -> None:
        with self._lock:
            began, count = self._wrong.pop(client, (now, 0))
            self._wrong[client] = (now, 1) if now >= began + WINDOW_S else (began, count + 1)
            while len(self._wrong) > MAX_ADDRESSES:
                self._wrong.popitem(last=False)

    def _check_origin(self, request: Request) -> None:
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
        hosts = {(request.header("host") or "").lower()}
        if self.trusts_forwarded:
            hosts.add((request.header("x-forwarded-host") or "").partition(",")[0].strip().lower())
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
