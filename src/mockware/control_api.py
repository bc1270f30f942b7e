"""The control API: a request goes in, a response comes out; or what tells of events for a while.

Law: here is which place answers what, and that nobody is answered without the key; the rooms behind do it
(`control_views`, `control_changes`, `control_journal`, `control_explain`). Nothing in any of them knows an
interface, sleeps, or writes to a socket; it may wait for a store, so that whoever has an event loop asks
from a thread. What the API takes and gives is described in `control_document.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from .control_changes import Switchboard
from .control_cookies import made_cookie, told_cookie
from .control_document import document
from .control_explain import explained
from .control_guard import Guard, RefusedError
from .control_journal import Events, Streams, read_journal
from .control_messages import (
    BadRequestError,
    json_answer,
    problem_answer,
    refusal_answer,
    text_answer,
    value_of,
)
from .control_page import control_page, page_fields
from .control_statuses import Statuses
from .control_views import Desk, Views
from .exceptions import ConfigError, Problem, StoreError, quoted
from .messages import Request, Response
from .rule_documents import as_toml, rules_file


class ControlAPI:
    """The API under `prefix`, for one middleware. `ticks` gives seconds, of any origin."""

    def __init__(self, desk: Desk, *, ticks: Callable[[], float] = time.monotonic) -> None:
        self._desk = desk
        self._prefix = desk.environment.control
        self._guard = Guard(desk.environment.key, clock=ticks)
        self._streams = Streams(desk)
        views = Views(desk)
        switchboard = Switchboard(desk, views)
        statuses = Statuses(desk)
        self._named: dict[str, dict[str, Callable[..., Response]]] = {
            "/api/rules/": {
                "GET": views.one,
                "PUT": switchboard.put,
                "PATCH": switchboard.switch,
                "DELETE": switchboard.delete,
            },
            "/api/tags/": {"PATCH": switchboard.switch_tag},
            "/api/statuses/": {"GET": statuses.one},
        }
        self._places: dict[str, dict[str, Callable[[Request], Response | Events]]] = {
            "/api/rules": {"GET": views.all, "POST": switchboard.post},
            "/api/reset": {"POST": switchboard.reset},
            "/api/validate": {"POST": switchboard.validate},
            "/api/explain": {"POST": partial(explained, desk)},
            "/api/cookie": {"GET": partial(told_cookie, desk), "POST": partial(made_cookie, desk)},
            "/api/journal": {"GET": partial(read_journal, desk.journal)},
            "/api/events": {"GET": self._streams.begin},
            "/api/export": {"GET": self._export},
            "/api/statuses": {"GET": statuses.all},
            "/api/openapi.json": {"GET": self._document},
        }

    def forked(self) -> None:
        """In a child: nobody listens."""
        self._streams.forked()

    def respond(self, request: Request, *, streams: bool = False) -> Response | Events:
        """The answer to a request under the prefix. `streams`: events can be sent.

        `request.body` is what was sent, or None where that is too long. May wait for the store.
        """
        answer = self._answer(request, streams=streams)
        return answer.to(request.method) if isinstance(answer, Response) else answer

    def _answer(self, request: Request, *, streams: bool) -> Response | Events:
        place = request.path[len(self._prefix) :]
        if not place.startswith("/api/"):
            return self._page(request, place)
        try:
            # What the rules file says by now.
            trusts_forwarded = self._desk.applied.configuration.trusts_forwarded
            self._guard.check(request, trusts_forwarded=trusts_forwarded)
            methods, handler = self._handler(request, place)
            if handler is None:
                allow = ", ".join(sorted({*methods, *(("HEAD",) if "GET" in methods else ())}))
                return problem_answer(405, f"allowed here: {allow}", headers=[("Allow", allow)])
            if place == "/api/events" and not streams:
                return problem_answer(501, "this server sends no events; ask for the journal now and then")
            if place == "/api/events" and request.method == "HEAD":
                return text_answer("", "text/event-stream")
            return handler(request)
        except RefusedError as refused:
            return refusal_answer(refused)
        except ConfigError as error:
            return problem_answer(422, "see `problems`", problems=error.problems)
        except StoreError as error:
            return problem_answer(503, f"nothing was changed: {error}")
        except BadRequestError as error:
            return problem_answer(error.status, str(error))

    def _page(self, request: Request, place: str) -> Response:
        """What is shown to whoever has no key yet: nothing of the rules."""
        if place not in ("", "/"):
            return problem_answer(404, f"there is nothing at {quoted(request.path)}")
        if request.method not in ("GET", "HEAD"):
            return problem_answer(405, "allowed here: GET, HEAD", headers=[("Allow", "GET, HEAD")])
        if not place:
            # The page asks for what is beside it. Relative, whatever a proxy has taken off before us.
            beside = self._prefix.rpartition("/")[2]
            return text_answer("", "text/plain", status=308, headers=[("Location", f"{beside}/")])
        body = control_page().encode()
        return Response(200, "OK", [*page_fields(), ("Content-Length", str(len(body)))], body, rule="")

    def _handler(
        self, request: Request, place: str
    ) -> tuple[Sequence[str], Callable[[Request], Response | Events] | None]:
        method = "GET" if request.method == "HEAD" else request.method
        for start, by_method in self._named.items():
            if place.startswith(start) and place != start:
                found = by_method.get(method)
                name = place[len(start) :]
                return tuple(by_method), found and partial(found, name=name)
        methods = self._places.get(place)
        if methods is None:
            raise BadRequestError(f"there is nothing at {quoted(request.path)}", 404)
        return tuple(methods), methods.get(method)

    def _document(self, request: Request) -> Response:
        return json_answer(document(request.mount + self._prefix, version("mockware")))

    def _export(self, request: Request) -> Response:
        configuration = self._desk.applied.configuration
        wanted = value_of(request, "format") or "toml"
        file = rules_file(configuration)
        if wanted == "json":
            text = json.dumps(file, indent=2) + "\n"
            return text_answer(text, "application/json", filename="mocks.json")
        if wanted != "toml":
            raise BadRequestError(f"`format` is json or toml, not {quoted(wanted)}")
        comments = [f"off: {entry.name}, {entry.why_off}" for entry in configuration.entries if not entry.on]
        try:
            text = as_toml(file, comments=comments)
        except ValueError as error:
            raise ConfigError([Problem("rules", str(error))]) from None
        return text_answer(text, "application/toml", filename="mocks.toml")
