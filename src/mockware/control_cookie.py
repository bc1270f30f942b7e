"""The cookie of one browser that asks for mocks: whether there is one, and one that is made.

Law: it changes nothing here. Whoever has the key might ask for the same by a header; so it says for whom it
is, in the log, and no more.
"""

from __future__ import annotations

from .changes import read_words
from .control_messages import json_answer, moment, table_of
from .control_views import Desk
from .logs import logger
from .messages import Request, Response
from .trigger_cookies import make_cookie, why_none


def cookie_told(desk: Desk, request: Request) -> Response:
    """What the cookie is called, or why there is none."""
    triggers = desk.applied.configuration.triggers
    unavailable = why_none(triggers, desk.environment.key)
    name = None if triggers is None or unavailable else triggers.cookie
    return json_answer({"name": name, "unavailable": unavailable})


def cookie_made(desk: Desk, request: Request) -> Response:
    """A cookie with a token, which this process does not keep."""
    given = table_of(request, ("status", "paths", "for", "by"))
    by = read_words(given, ("by",))["by"]
    now = desk.clock()
    made = make_cookie(given, desk.applied.configuration.triggers, desk.environment, now)
    # Nothing of the token, which is good for whoever has it.
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
