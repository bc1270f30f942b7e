"""The cookie that asks for mocks, made for whoever has the key: whether there may be one, and one.

Law: what is logged of it is who made it and what it allows, and never its token.
"""

from __future__ import annotations

from .changes import read_words
from .control_messages import json_answer, moment, table_of
from .control_views import Desk
from .logs import logger
from .messages import Request, Response
from .trigger_cookies import make_cookie, why_none


def told_cookie(desk: Desk, request: Request) -> Response:
    """What the cookie is called, or why there is none."""
    triggers = desk.applied.configuration.triggers
    unavailable = why_none(triggers, desk.environment.key)
    name = None if triggers is None or unavailable else triggers.cookie
    return json_answer({"name": name, "unavailable": unavailable})


def made_cookie(desk: Desk, request: Request) -> Response:
    """A cookie that asks for what the table says, for as long as it says."""
    given = table_of(request, ("status", "paths", "for", "by"))
    by = read_words(given, ("by",))["by"]
    now = desk.clock()
    made = make_cookie(given, desk.applied.configuration.triggers, desk.environment, now)
    logger.warning("a cookie made for %.200a that allows %.300a", by, str(made.allows))
    return json_answer(
        {
            "name": made.name,
            "value": made.value,
            "asks": made.asks,
            "allows": str(made.allows),
            "expires": moment(made.expires_at),
            # The browser has it no longer than it is good for.
            "max_age_s": max(0, int(made.expires_at - now)),
        }
    )
