"""Quart, with mockware in front of `app.asgi_app`, the place that Quart's documentation names.

`app` stays the Quart object, with its command line, its test client and its `before_serving` functions.
Run it from the repository's root:

    MOCKWARE=on hypercorn --bind 127.0.0.1:8000 examples.quart_app:app

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

Without `MOCKWARE=on` the app answers all of them, and `app.asgi_app` is Quart's own method.
"""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from quart import Quart, request, websocket

import mockware

app = Quart(__name__)
app.asgi_app = mockware.ASGIMockMiddleware(  # type: ignore[method-assign]
    app.asgi_app, rules=Path(__file__).with_name("mocks.toml")
)


@app.before_serving
async def prepare() -> None:
    app.config["GREETING"] = "world"


@app.get("/healthz")
async def healthz() -> str:
    return "ok"


@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": app.config["GREETING"]}


@app.post("/reports")
async def create_report() -> tuple[dict[str, int], int]:
    return {"created": len(await request.get_data())}, 201


@app.get("/stream")
async def stream() -> tuple[AsyncIterator[str], dict[str, str]]:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            yield f"line {number}\n"

    return lines(), {"Content-Type": "text/plain; charset=utf-8"}


@app.post("/upload")
async def upload() -> dict[str, int | str]:
    received, digest = 0, hashlib.sha256()
    async for piece in request.body:
        received += len(piece)
        digest.update(piece)
    return {"received": received, "sha256": digest.hexdigest()}


@app.websocket("/ws")
async def echo() -> None:
    while True:
        await websocket.send(await websocket.receive())
