"""Starlette, with mockware in the list of middleware that the app is made with.

The first of the list stands outermost: put mockware before what should not run for a mocked request
(sessions, authentication) and after what should (CORS headers, access logs). Run it from the
repository's root:

    MOCKWARE=on uvicorn examples.starlette_app:app --port 8000

and try it from another terminal:

    curl -i http://127.0.0.1:8000/hello
        -> 200 from the app
    curl -i -d 'third quarter' http://127.0.0.1:8000/reports
        -> 202 from the first rule of mocks.toml
    curl -i http://127.0.0.1:8000/payments/7
        -> 503 from a rule, for an endpoint that does not exist
    curl -i -H 'X-Mock-Status: 418' http://127.0.0.1:8000/hello
        -> 418 because the request asks for it
    curl -i -H 'X-Mock-Status: passthrough' -d 'third quarter' http://127.0.0.1:8000/reports
        -> 201 from the app, past the rule

Without `MOCKWARE=on` the app answers all of them, and nothing of mockware stands in its path.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import mockware


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.greeting = "world"
    yield


async def healthz(request: Request) -> Response:
    return PlainTextResponse("ok")


async def hello(request: Request) -> Response:
    return JSONResponse({"hello": request.app.state.greeting})


async def create_report(request: Request) -> Response:
    return JSONResponse({"created": len(await request.body())}, status_code=201)


async def stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def upload(request: Request) -> Response:
    received, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        received += len(piece)
        digest.update(piece)
    return JSONResponse({"received": received, "sha256": digest.hexdigest()})


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(message)


app = Starlette(
    lifespan=lifespan,
    middleware=[Middleware(mockware.ASGIMockMiddleware, rules=Path(__file__).with_name("mocks.toml"))],
    routes=[
        Route("/healthz", healthz),
        Route("/hello", hello),
        Route("/reports", create_report, methods=["POST"]),
        Route("/stream", stream),
        Route("/upload", upload, methods=["POST"]),
        WebSocketRoute("/ws", echo),
    ],
)
