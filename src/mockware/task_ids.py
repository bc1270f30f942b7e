"""The ids of tasks, which say everything about them: whoever can read one needs no store.

Law: an id that can be read was made here, for this rule, by somebody with the same key. Its letters sort as
its time does (RFC 4648 section 7, base32hex), and are safe in a URL.

Doubt: without MOCKWARE_KEY the signature is made with the rule's name, which anybody may know. That finds
accidents, such as an id of another rule or service, and no forgery.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from .tasks import Task

# Each letter has 5 bits. Milliseconds until the year 37,000; 12 days of duration; a flag and 4 bits of
# method; chance enough that a million tasks of one millisecond differ with 98 %; a signature of 80 bits, at a
# million guesses a second good for 19,000,000,000 years.
_TIME, _DURATION, _FLAGS, _CHANCE, _MAC = 10, 6, 1, 9, 16
ID_CHARS = _TIME + _DURATION + _FLAGS + _CHANCE + _MAC
MAX_DURATION_S = ((1 << 5 * _DURATION) - 1) // 3_600_000 * 3600  # whole hours, to be said in a message
_LAST_S = ((1 << 5 * _TIME) - 1) // 1000

_ALPHABET = "0123456789abcdefghijklmnopqrstuv"
_ID = re.compile(f"[{_ALPHABET[:10]}a-v]{{{ID_CHARS}}}")
_METHODS = ("", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY")


def is_id(text: str) -> bool:
    """Whether `text` has the shape of an id, whoever made it: what has not is somebody else's path."""
    return _ID.fullmatch(text) is not None


class TaskIds:
    """Makes and reads the ids of one rule's tasks; in every process with the same key and rules alike."""

    def __init__(self, *, rule: str, service: str = "", key: str = "") -> None:
        # A lone surrogate may come from a rule's path or a variable.
        self._rule = f"{service}\0{rule}\0".encode("utf-8", "surrogatepass")
        secret = key.encode("utf-8", "surrogatepass") or self._rule
        self._secret = hmac.digest(secret, b"mockware task id", "sha256")

    def new(
        self, *, accepted_at: float, duration_s: float, fails: bool, method: str, chance: Callable[[], float]
    ) -> Task:
        """A task that begins at `accepted_at`, to the millisecond, and its id.

        A time that an id cannot say is the nearest that it can, and is that from its first moment on.
        """
        # Rounded down: by the clock that has accepted it, no task begins in the future.
        accepted_ms = int(min(max(0.0, accepted_at), _LAST_S) * 1000)
        duration_ms = round(min(max(0.0, duration_s), MAX_DURATION_S) * 1000)
        flags = fails << 4 | (_METHODS.index(method) if method in _METHODS else 0)
        text = (
            _letters(accepted_ms, _TIME)
            + _letters(duration_ms, _DURATION)
            + _letters(flags, _FLAGS)
            + _letters(int(chance() * (1 << 5 * _CHANCE)), _CHANCE)
        )
        return Task(
            text + self._signature(text), accepted_ms / 1000, duration_ms / 1000, fails, _METHODS[flags & 15]
        )

    def read(self, text: str) -> Task | None:
        """The task that `text` is the id of; None for one that was not made here."""
        if not is_id(text) or not hmac.compare_digest(self._signature(text[:-_MAC]), text[-_MAC:]):
            return None
        numbers = []
        start = 0
        for length in (_TIME, _DURATION, _FLAGS):
            numbers.append(int(text[start : start + length], 32))
            start += length
        accepted_ms, duration_ms, flags = numbers
        method = _METHODS[flags & 15] if flags & 15 < len(_METHODS) else ""
        return Task(text, accepted_ms / 1000, duration_ms / 1000, bool(flags >> 4), method)

    def _signature(self, text: str) -> str:
        mac = hmac.digest(self._secret, self._rule + text.encode("ascii"), "sha256")
        return _letters(int.from_bytes(mac[: 5 * _MAC // 8]), _MAC)


def _letters(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))
