"""How often somebody may present a key that is none, to whatever asks for one.

Law: of a wrong key a digest is kept for a minute, which only this process can make, and the key is not. Who
has presented too many different ones is not answered by the next, right or wrong: else whoever guesses would
learn which it is, and could go on.

There is no lock: each step is one of the dictionary's own. Of those that open a minute at one moment, one is
counted.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from math import inf

from .messages import Request
from .origins import nearest_client

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


class Attempts:
    """The wrong keys of each address. `clock` gives seconds, of any origin.

    `trusts_forwarded`: a proxy says whence a request comes.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._salt = secrets.token_bytes(16)
        self._clock = clock
        # Of each address, when its window began and which wrong keys it has sent since.
        self._wrong: OrderedDict[str, tuple[float, set[bytes]]] = OrderedDict()

    def wait_s(self, request: Request, *, trusts_forwarded: bool = False) -> float:
        """How long no key of this client is looked at; 0: it is looked at now."""
        if not self._wrong:
            return 0.0
        now = self._clock()
        for address, most in _limits(request, trusts_forwarded=trusts_forwarded).items():
            began, wrong = self._wrong.get(address, (now, ()))
            if len(wrong) >= most and now < began + WINDOW_S:
                return began + WINDOW_S - now
        return 0.0

    def note_wrong(self, request: Request, presented: bytes, *, trusts_forwarded: bool = False) -> None:
        """Counts a key that was none."""
        digest = hashlib.blake2b(presented, key=self._salt, digest_size=16).digest()
        now = self._clock()
        for address in _limits(request, trusts_forwarded=trusts_forwarded):
            began, known = self._wrong.get(address, (-inf, set[bytes]()))
            if now >= began + WINDOW_S:
                began, known = self._wrong[address] = now, set()
            # Added to in its place: to take it out meanwhile would let another begin anew.
            known.add(digest)
            with suppress(KeyError):  # forgotten by another at this moment
                self._wrong.move_to_end(address)
        while len(self._wrong) > MAX_ADDRESSES:
            self._wrong.popitem(last=False)


def _limits(request: Request, *, trusts_forwarded: bool) -> Mapping[str, int]:
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
