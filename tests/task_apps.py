"""Two real apps that work for a while, one of Starlette and one of Flask, under mockware.

The rules are the environment's (`MOCKWARE_FILE`), and `tests/counting.py` starts the servers, which call
`asgi` or `wsgi` for the app: whoever starts four workers does not want both frameworks in each. Around both
stands what tells when each request came (`/seen`) and which process has answered it (`X-Worker`), be it by a
mock. Nothing here is expected of anybody: that is the tests' own.
"""

import asyncio
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from mockware import ASGIMockMiddleware, WSGIMockMiddleware

PATIENCE_S = 30.0  # for whoever lets the work go on; a failure bound
MADE = b"\x00made of "  # no text, so that it comes through as it is or not at all
REFUSED = {"code": "Refused", "message": "not this one"}

_seen: list[tuple[float, str, str]] = []
_runs: Counter[str] = Counter()


def _fields(name: str) -> dict[str, str]:
    return {"X-Made": name, "Content-Type": "application/x-made"}


def asgi() -> Any:
    """/work takes until /release names it, which says how often it was begun."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    may_end: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def work(request: Request) -> Response:
        name = request.path_params["name"]
        _runs[name] += 1
        if name.startswith("refused"):
            return JSONResponse(REFUSED, 409)
        if name.startswith("slow"):
            await asyncio.wait_for(may_end[name].wait(), PATIENCE_S)
        return Response(MADE + await request.body(), 201, _fields(name))

    async def release(request: Request) -> Response:
        name = request.path_params["name"]
        may_end[name].set()
        return JSONResponse(_runs[name])

    async def seen(_: Request) -> Response:
        return JSONResponse(_seen)

    routes = [
        Route("/work/{name}", work, methods=["POST"]),
        Route("/release/{name}", release, methods=["POST"]),
        Route("/seen", seen),
    ]
    app = ASGIMockMiddleware(Starlette(routes=routes))

    async def watched(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        async def tell(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                worker = (b"x-worker", str(os.getpid()).encode())
                event = {**event, "headers": [*event["headers"], worker]}
            await send(event)

        if scope["type"] == "http":
            _seen.append((time.monotonic(), scope["method"], scope["path"]))
        await app(scope, receive, tell)

    return watched


def wsgi() -> Any:
    """The same."""
    from flask import Flask, Response, jsonify, request

    may_end: defaultdict[str, threading.Event] = defaultdict(threading.Event)
    flask = Flask(__name__)

    @flask.post("/work/<name>")
    def work(name: str) -> Any:
        _runs[name] += 1
        if name.startswith("refused"):
            return REFUSED, 409
        if name.startswith("slow"):
            may_end[name].wait(PATIENCE_S)
        return Response(MADE + request.get_data(), 201, _fields(name))

    @flask.post("/release/<name>")
    def release(name: str) -> Any:
        may_end[name].set()
        return jsonify(_runs[name])

    @flask.get("/seen")
    def seen() -> Any:
        return jsonify(_seen)

    app = WSGIMockMiddleware(flask.wsgi_app)

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *exc_info)

        _seen.append((time.monotonic(), environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        answer: Iterable[bytes] = app(environ, start)
        return answer

    return watched
