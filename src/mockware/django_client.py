"""The handlers of Django's test clients, as apps that something can stand in front of.

Law: what nothing was done to is handed back as the very response that Django gave, with its context, its
templates and its stream; only what somebody else answered, or changed, is made a response anew. Django is not
imported: whoever has one of its clients has done that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from sys import modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_Event = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Event]]
_Send = Callable[[_Event], Awaitable[None]]
_ASGIApp = Callable[[Any, _Receive, _Send], Awaitable[None]]


class _Instead:
    """Stands in the place of a handler. Whatever else is asked of it or set on it is the handler's.

    REST framework's `force_authenticate` sets something there.
    """

    _own = frozenset(("_handler", "_app"))

    def __init__(self, handler: Any, app: Any) -> None:
        self._handler = handler
        self._app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handler, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._own:
            object.__setattr__(self, name, value)
        else:
            setattr(self._handler, name, value)


class Handler(_Instead):
    """In the place of the handler of a `django.test.Client`; `around` makes a WSGI app of one."""

    def __init__(self, handler: Any, around: Callable[[WSGIApplication], WSGIApplication]) -> None:
        super().__init__(handler, around(self._as_app))

    def __call__(self, environ: WSGIEnvironment) -> Any:
        started: list[Any] = []
        written: list[bytes] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            started[:] = status, headers
            return written.append

        result: Any = self._app(environ, start_response)
        if hasattr(result, "wsgi_request") and started == [_status_line(result), _fields(result)]:
            return result
        try:
            body = b"".join([*written, *result])
        finally:
            getattr(result, "close", bool)()
        status, headers = started
        response = _response(int(status[:3]), headers, body)
        response.wsgi_request = _module("django.core.handlers.wsgi").WSGIRequest(environ)
        return response

    def _as_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        response: Any = self._handler(environ)
        start_response(_status_line(response), _fields(response))
        return response  # type: ignore[no-any-return]


class _Sent:
    """The `send` of one request. `response` is Django's own, if nobody stood between."""

    def __init__(self) -> None:
        self.response: Any = None
        self.status = 0
        self.fields: list[tuple[str, str]] = []
        self.body = b""

    async def __call__(self, event: _Event) -> None:
        if event["type"] == "http.response.start":
            self.status = event["status"]
            self.fields = [
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in event["headers"]
            ]
        else:
            self.body += event.get("body", b"")


class AsyncHandler(_Instead):
    """In the place of the handler of a `django.test.AsyncClient`; `around` makes an ASGI app of one."""

    def __init__(self, handler: Any, around: Callable[[_ASGIApp], _ASGIApp]) -> None:
        super().__init__(handler, around(self._as_app))

    async def __call__(self, scope: _Event) -> Any:
        # The client has the body beside the request.
        file = scope.pop("_body_file", None)
        body = file.read() if file is not None else b""
        events = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> _Event:
            return events.pop() if events else {"type": "http.disconnect"}

        query = scope.get("query_string", b"")
        if isinstance(query, str):  # ASGI has bytes there, and Django takes either
            scope = {**scope, "query_string": query.encode()}
        sent = _Sent()
        await self._app(scope, receive, sent)
        if sent.response is not None:
            return sent.response
        response = _response(sent.status, sent.fields, sent.body)
        response.asgi_request = _module("django.core.handlers.asgi").ASGIRequest(scope, _payload(body))
        return response

    async def _as_app(self, scope: _Event, receive: _Receive, send: _Send) -> None:
        event = await receive()
        response = await self._handler({**scope, "_body_file": _payload(event.get("body", b""))})
        if isinstance(send, _Sent):
            send.response = response
            return
        fields = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in _fields(response)
        ]
        await send({"type": "http.response.start", "status": response.status_code, "headers": fields})
        pieces = [piece async for piece in response] if response.streaming else [response.content]
        await send({"type": "http.response.body", "body": b"".join(pieces), "more_body": False})


def _module(name: str) -> Any:
    return modules[name]


def _payload(body: bytes) -> Any:
    return _module("django.test.client").FakePayload(body)


def _status_line(response: Any) -> str:
    return f"{response.status_code} {response.reason_phrase}"


def _fields(response: Any) -> list[tuple[str, str]]:
    """The fields as Django's own handlers give them to a server."""
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return [*response.items(), *cookies]


def _response(status: int, fields: Iterable[tuple[str, str]], body: bytes) -> Any:
    response = _module("django.http").HttpResponse(body, status=status)
    for name in list(response.headers):  # Django's defaults
        del response.headers[name]
    for name, value in fields:
        if name.lower() == "set-cookie":
            response.cookies.load(value)
        else:
            # It has each field once, and RFC 9110 section 5.3 says how several become one.
            before = response.headers.get(name)
            response.headers[name] = value if before is None else f"{before}, {value}"
    return response
