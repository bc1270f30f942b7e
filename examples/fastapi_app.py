"""FastAPI, with mockware added the way FastAPI's documentation adds any middleware.

Middleware is added in front of the routes, so a rule may also answer for an endpoint that the app does
not have yet; the one added last stands outermost. Run it from the repository's root:

    MOCKWARE=on uvicorn examples.fastapi_app:app --port 8000

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

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

import mockware


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.greeting = "world"
    yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(mockware.ASGIMockMiddleware, rules=Path(__file__).with_name("mocks.toml"))


@app.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    return "ok"


@app.get("/hello")
async def hello(request: Request) -> dict[str, str]:
    return {"hello": request.app.state.greeting}


@app.post("/reports", status_code=201)
async def create_report(request: Request) -> dict[str, int]:
    return {"created": len(await request.body())}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        for number in range(5):
            if number:
                await asyncio.sleep(0.2)
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/upload")
async def upload(request: Request) -> dict[str, int | str]:
    received, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        received += len(piece)
        digest.update(piece)
    return {"received": received, "sha256": digest.hexdigest()}


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="echo" if "echo" in offered else None)
    while (event := await websocket.receive())["type"] == "websocket.receive":
        if event.get("text") is None:
            await websocket.close(1003, "text only")
            break
        await websocket.send_text(event["text"])
