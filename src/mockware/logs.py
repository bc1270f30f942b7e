"""What mockware says through `logging`, under the name `mockware`.

Law: nothing is said of what passes through as it is, and what comes from a request is escaped and shortened.
"""

from __future__ import annotations

from logging import INFO, getLogger

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
