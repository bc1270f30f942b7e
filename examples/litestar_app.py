"""Litestar, with mockware wrapped around the whole app.

Litestar routes first and runs `middleware=[...]` afterwards, so a middleware there never sees a request
for an endpoint that does not exist yet; around the app, mockware does. `api` remains the Litestar object
for what needs one (its own command line, its test client). Run it from the repository's root:

    MOCKWARE=on uvicorn examples.litestar_app:app --port 8000

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

Without `MOCKWARE=on` the app answers all of them, and `app` is `api`.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from litestar import Litestar, MediaType, Request, get, post, websocket_listener
from litestar.datastructures import State
from litestar.response import Stream

import mockware


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
    app.state.greeting = "world"
    yield


@get("/healthz", media_type=MediaType.TEXT)
async def healthz() -> str:
    return "ok"


@get("/hello")
async def hello(state: State) -> dict[str, str]:
    return {"hello": state.greeting}


@post("/reports")
async def create_report(request: Request[object, object, State]) -> dict[str, int]:
    return {"created": len(await request.body())}


@get("/stream")
async def stream() -> Stream:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"line {number}\n"

    return Stream(lines(), media_type=MediaType.TEXT)


@post("/upload", status_code=200)
async def upload(request: Request[object, object, State]) -> dict[str, int | str]:
    received, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        received += len(piece)
        digest.update(piece)
    return {"received": received, "sha256": digest.hexdigest()}


@websocket_listener("/ws")
async def echo(data: str) -> str:
    return data


api = Litestar([healthz, hello, create_report, stream, upload, echo], lifespan=[lifespan])
app = mockware.wrap(api, rules=Path(__file__).with_name("mocks.toml"))
