"""A server's app with nothing behind it: any status on demand, and the reference of each.

Law: `/status/{codes}` understands what httpbin's does, and answers what a trigger gets; it is looked up and
sent, with no router in between. Whatever else a client asks for, it is told what there is. Nothing here is
mocked by a rule: rules are put in front, by the middleware, and come first. What they have every mock say is
said here, too, and their journal is told.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from .asgi_patching import unpatched
from .asgi_replies import at_once, reply
from .asgi_requests import BODY_FIELDS, Receive, Scope, ScopeRequest, Send, route_path
from .exceptions import quoted
from .messages import Response
from .negotiation import preferred
from .nesting import OwnMocks
from .origins import UNKNOWN_ORIGIN, origin_of, prefix_of
from .reference import find_status, reference_for
from .reference_document import status_document, statuses_document
from .reference_page import content_security_policy, error_page, overview_page, status_page
from .replies import JSON, Content, build_problem, problem_content
from .snippets import status_panels, status_values
from .statuses import CATALOGUE, status_for
from .telemetry import telemetry
from .triggers import RULE_NAME, draw, parse_choices

if TYPE_CHECKING:
    from .engine import Snapshot

_STATUS = "/status/"
_REFERENCE = "/status-reference"
# Where it stands alone, and where it is found by who shortens the URL, or has a rule for `/`.
_OVERVIEW = frozenset(("/", _REFERENCE, f"{_REFERENCE}/"))

_HTML = "text/html"
# To `*/*`, which curl and most libraries send, JSON: who wants a page says so, as every browser does.
_OFFERED = (JSON, _HTML)

_READABLE = frozenset(("GET", "HEAD"))
_ALLOW = ("Allow", "GET, HEAD, OPTIONS")
_NO_APP = "There is no app behind this server to pass a request to."
_NOT_FOUND = (
    f"Nothing is here. There are `{_STATUS}CODES` (a status, or a list of them such as `200:0.9,503:0.1`), "
    f"`/` (all statuses), and `{_REFERENCE}/CODE` (one of them, as HTML or JSON)."
)

_VARY = ("Vary", "Accept")
_PAGE_FIELDS = (
    ("Content-Security-Policy", content_security_policy()),
    ("Referrer-Policy", "no-referrer"),
)

# Lists of statuses that are asked for again and again are parsed once; the bound is for hostile ones.
_parse = lru_cache(maxsize=256)(partial(parse_choices, behind=False))


def standalone_app(*, chance: Callable[[], float] = random.random) -> StandaloneApp:
    """The ASGI app of `mockware serve`. `chance` (from 0, below 1) draws one of several statuses."""
    return StandaloneApp(chance)


class StandaloneApp(OwnMocks):
    """`/status/{codes}`, `/` and `/status-reference/{code}`, as ASGI 3."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._telemetry = telemetry()
        self._reply_at_once = at_once(self._telemetry)
        self._snapshot: Snapshot | None = None
        self._mocks: dict[int, Response] = {}
        # By the whole path. Codes without a name join when they are first asked for: up to 400 in all.
        self._at_once: dict[str, Response] = {}
        for code in CATALOGUE:
            self._mock(code)

    def adopt(self, snapshot: Snapshot) -> None:
        # In this order, since a request may be answered by another thread meanwhile: see `_ready`.
        self._snapshot = snapshot
        self._at_once = {}
        for code in tuple(self._mocks):
            self._ready(code)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await _live(receive, send)
        path = scope["path"]
        root_path = scope.get("root_path")
        if root_path:
            path = route_path(path, root_path)
        response = self._at_once.get(path)
        if scope["type"] == "http" and scope.get("http_version") == "1.1":
            has_body = False
            for name, _ in scope["headers"]:
                if name in BODY_FIELDS:
                    has_body = True
                elif name == b"expect":
                    break
            else:
                if response is None:
                    response = self._answered(ScopeRequest(scope, path), scope)
                    send = _past_patches(response, send)
                if scope["method"] == "HEAD":
                    response = response.head
                return await self._reply_at_once(scope, receive, send, path, response, has_body)
        request = ScopeRequest(scope, path)
        measurement = None if self._telemetry is None else self._telemetry.begin()
        if response is None:
            response = self._answered(request, scope)
            send = _past_patches(response, send)
        expects = scope["type"] == "http" and request.expects_to_continue
        response = response.to(request.method)
        return await reply(scope, receive, send, path, response, expects=expects, measurement=measurement)

    def _answered(self, request: ScopeRequest, scope: Scope) -> Response:
        """The answer with what stands beside it if it is a mock, which is noted."""
        response = self._answer(request, scope)
        snapshot = self._snapshot  # read once: another may be adopted
        if snapshot is None or not response.rule:
            return response
        snapshot.note(request, response, ())
        return response.beside(snapshot.fields_beside(response, request))

    def _answer(self, request: ScopeRequest, scope: Scope) -> Response:
        path = request.path
        if path.startswith(_STATUS):
            codes = path[len(_STATUS) :]
            if not codes or "/" in codes:
                return _problem(404, _NOT_FOUND)
            leave = None if self._snapshot is None else self._snapshot.leave_for_mock(request)
            return leave or self._mocked(codes)
        if path in _OVERVIEW:
            word = ""
        elif path.startswith(f"{_REFERENCE}/"):
            word = path[len(_REFERENCE) + 1 :]
        else:
            return _problem(404, _NOT_FOUND)
        if request.method == "OPTIONS":
            return Response(204, "No Content", [_ALLOW], b"", rule="")
        if request.method not in _READABLE:
            # RFC 9110 section 15.5.6: "The origin server MUST generate an Allow header field".
            return _problem(405, f"{quoted(request.method)} is not for this page.", _ALLOW)
        base, prefix = _base(request, scope), prefix_of(request, trusts_forwarded=False)
        wants_html = preferred(request.header("accept"), _OFFERED) == _HTML
        if not word:
            if wants_html:
                return _page(200, overview_page(base=base, prefix=prefix))
            return _content(200, Content.from_json(statuses_document(base + _REFERENCE)), _VARY)
        try:
            code = find_status(word)
        except ValueError as error:
            if wants_html:
                return _page(404, error_page("No such status", str(error), prefix=prefix))
            return _problem(404, str(error), _VARY)
        reference = reference_for(code)
        curl = shlex.join(("curl", "-i", f"{base}{_STATUS}{code}"))
        if wants_html:
            return _page(200, status_page(reference, status_panels(code), curl=curl, prefix=prefix))
        return _content(
            200,
            Content.from_json(status_document(reference, status_values(code), base + _REFERENCE, curl=curl)),
            _VARY,
        )

    def _mocked(self, codes: str) -> Response:
        try:
            status = draw(_parse(codes), self._chance())
        except ValueError as error:
            return build_problem(400, f"{_STATUS}: {quoted(codes)}: {error}", rule=RULE_NAME)
        return _problem(404, _NO_APP) if status is None else self._mock(status)

    def _mock(self, code: int) -> Response:
        response = self._mocks.get(code)
        if response is None:
            response = self._mocks[code] = reference_for(code).response
            self._ready(code)
        return response

    def _ready(self, code: int) -> None:
        """Has the mock given at once from now on, unless something has to be asked or told with each."""
        at_once = self._at_once  # before the snapshot, so that none of an older one goes to a newer one's
        response = self._mocks[code]
        whole = response if self._snapshot is None else self._snapshot.whole(response)
        if whole is not None:
            at_once[f"{_STATUS}{code}"] = whole


def _base(request: ScopeRequest, scope: Scope) -> str:
    """The URL under which the client knows us, as far as it is believed, or under which we know ourselves."""
    origin = origin_of(request, trusts_forwarded=False)
    if not origin:
        host, port = scope.get("server") or ("", None)
        # Of a Unix socket, the host is a path, and there is no port.
        origin = f"http://{f'[{host}]' if ':' in host else host}:{port}" if port else UNKNOWN_ORIGIN
    return origin + prefix_of(request, trusts_forwarded=False)


# ---- what is no mock


def _content(status: int, content: Content, *headers: tuple[str, str]) -> Response:
    fields = [
        ("Content-Type", content.media_type),
        ("Content-Length", str(len(content.body))),
        # It says what this version of mockware does, at the address that was asked.
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *headers,
    ]
    return Response(status, status_for(status).phrase, fields, content.body, rule="")


def _page(status: int, text: str) -> Response:
    content = Content(text.encode(), f"{_HTML}; charset=utf-8")
    return _content(status, content, _VARY, *_PAGE_FIELDS)


def _past_patches(response: Response, send: Send) -> Send:
    """Past a rule's patch for an error that nobody asked for: no app was there to be patched."""
    return unpatched(send) if response.status >= 400 and not response.rule else send


def _problem(status: int, detail: str, *headers: tuple[str, str]) -> Response:
    return _content(status, problem_content(status, detail), *headers)


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan of an app that has nothing to start or stop."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
