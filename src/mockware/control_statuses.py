"""Each status as the control API shows it: its response, its code, and the curl line that asks for it here.

Law: a curl line that is shown works, for whoever knows the key; where none would, the reason is shown.
"""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote

from .control_messages import BadRequestError, json_answer
from .control_views import Desk
from .exceptions import quoted
from .messages import Request, Response
from .origins import UNKNOWN_ORIGIN, origin_of
from .reference import reference_for
from .reference_document import status_document, statuses_document
from .snippets import status_values
from .statuses import CODE
from .trigger_cookies import TRIGGERS_OFF

_CODE = re.compile(CODE)


class Statuses:
    """The statuses, under the prefix of a desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def _root(self, request: Request) -> str:
        return f"{request.mount}{self._desk.environment.control}/api/statuses"

    def all(self, request: Request) -> Response:
        """Each in a line."""
        return json_answer(statuses_document(self._root(request)))

    def one(self, request: Request, name: str) -> Response:
        """One in full."""
        if not _CODE.fullmatch(name):
            raise BadRequestError(f"{quoted(name)} is no status of a mock: 200 to 599 are", 404)
        code, root = int(name), self._root(request)
        configuration = self._desk.applied.configuration
        triggers = configuration.triggers
        unavailable = TRIGGERS_OFF if triggers is None else triggers.why_not(code)
        if triggers is None or unavailable:
            plain, values = reference_for(code), status_values(code)
            return json_answer(status_document(plain, values, root, curl="", unavailable=unavailable))
        origin = origin_of(request, trusts_forwarded=configuration.trusts_forwarded) or UNKNOWN_ORIGIN
        url = shlex.quote(origin + request.mount + quote(triggers.a_path))
        reference = reference_for(code, url=url, field=triggers.fields.status, vary=triggers.vary)
        # With a key, a trigger has to show it; a shell that knows it puts it in. Of what may stand in a
        # field's name, a shell takes these for its own between such quotes.
        field = re.sub(r"[$`]", r"\\\g<0>", triggers.fields.key)
        curl = reference.curl.replace("curl -i ", f'curl -i -H "{field}: $MOCKWARE_KEY" ', 1)
        return json_answer(status_document(reference, status_values(code), root, curl=curl))
