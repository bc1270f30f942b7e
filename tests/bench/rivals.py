"""What mockware is compared with: bare apps, empty middlewares, and the floors written by hand.

Law: each is the shortest code that does its job and no more; nobody may make one slower to please.
A floor knows one path and three header names, and cannot be configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Scope = dict[str, Any]
ASGI = Callable[..., Any]

_FIELDS = frozenset((b"x-mock-status", b"x-mock-name", b"x-mock-delay"))


async def asgi_bare(scope: Scope, receive: ASGI, send: ASGI) -> None:
    # Each time anew: a middleware may change what is sent, and Starlette's CORS does.
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi_bare(environ: dict[str, Any], start_response: ASGI) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi_nothing(scope: Scope, receive: ASGI, send: ASGI) -> None:
    """The harness alone."""


def wsgi_nothing(environ: dict[str, Any], start_response: ASGI) -> Iterable[bytes]:
    """The harness alone."""
    return ()


class _Wrapper:
    """Around `app`; `answer` is the app for the path `/reports` and for whoever sends a trigger."""

    def __init__(self, app: ASGI, answer: ASGI = asgi_nothing) -> None:
        self.app = app
        self.answer = answer
        self.rules = {"/reports": answer}
        self.fields = _FIELDS


class EmptyFunction(_Wrapper):
    def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> Any:
        return self.app(scope, receive, send)


class EmptyCoroutine(_Wrapper):
    async def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> None:
        await self.app(scope, receive, send)


class FloorWithoutScan(_Wrapper):
    def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> Any:
        rule = self.rules.get(scope["path"])
        if rule is not None:
            return rule(scope, receive, send)
        return self.app(scope, receive, send)


class Floor(_Wrapper):
    def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> Any:
        rule = self.rules.get(scope["path"])
        fields = self.fields
        for name, _ in scope["headers"]:
            if name in fields:
                return self.answer(scope, receive, send)
        if rule is not None:
            return rule(scope, receive, send)
        return self.app(scope, receive, send)


class CoroutineFloorWithoutScan(_Wrapper):
    async def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> Any:
        rule = self.rules.get(scope["path"])
        if rule is not None:
            return await rule(scope, receive, send)
        return await self.app(scope, receive, send)


class CoroutineFloor(_Wrapper):
    """The same for a server that would not take a plain function for ASGI 3."""

    async def __call__(self, scope: Scope, receive: ASGI, send: ASGI) -> Any:
        rule = self.rules.get(scope["path"])
        fields = self.fields
        for name, _ in scope["headers"]:
            if name in fields:
                return await self.answer(scope, receive, send)
        if rule is not None:
            return await rule(scope, receive, send)
        return await self.app(scope, receive, send)


class EmptyWSGI(_Wrapper):
    def __call__(self, environ: dict[str, Any], start_response: ASGI) -> Any:
        return self.app(environ, start_response)


class WSGIFloorWithoutScan(_Wrapper):
    def __call__(self, environ: dict[str, Any], start_response: ASGI) -> Any:
        rule = self.rules.get(environ["PATH_INFO"])
        if rule is not None:
            return rule(environ, start_response)
        return self.app(environ, start_response)


class WSGIFloor(_Wrapper):
    def __call__(self, environ: dict[str, Any], start_response: ASGI) -> Any:
        rule = self.rules.get(environ["PATH_INFO"])
        if "HTTP_X_MOCK_STATUS" in environ or "HTTP_X_MOCK_NAME" in environ or "HTTP_X_MOCK_DELAY" in environ:
            return self.answer(environ, start_response)
        if rule is not None:
            return rule(environ, start_response)
        return self.app(environ, start_response)
