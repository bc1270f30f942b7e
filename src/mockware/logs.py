"""What mockware says through `logging`, under the name `mockware`.

Law: nothing is said of what passes through as it is, but that a key was wrong; what comes from a request is
escaped and shortened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import INFO, getLogger
from math import inf

from .messages import Response

logger = getLogger("mockware")


def log_mock(response: Response, method: str, path: str) -> None:
    """One line at INFO for a mocked request."""
    if logger.isEnabledFor(INFO):
        logger.info("mocked %.32a %.512a: %d by rule %a", method, path, response.status, response.rule)


def log_patch(rule: str, method: str, path: str) -> None:
    """One line at INFO for a request whose response is changed."""
    if logger.isEnabledFor(INFO):
        logger.info("patching %.32a %.512a by rule %a", method, path, rule)


# Whoever guesses is to be seen, and shall neither fill a disk nor drown what else is said: one line a minute.
_WRONG_KEYS_EVERY_S = 60.0


class WrongKeys:
    """Tells of wrong keys: of the first at once, of however many others in one line a minute.

    Counts for one process, and roughly where threads meet. `clock` gives seconds since whenever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._next_at = -inf

    def tell(self, field: str) -> None:
        """`field` is where the last one was; what it was is not said."""
        self._count += 1
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + _WRONG_KEYS_EVERY_S
            count, self._count = self._count, 0
            logger.warning(
                "wrong keys or tokens since the last such line: %d, at last in %s; none is told of for %g s",
                count,
                field,
                _WRONG_KEYS_EVERY_S,
            )
