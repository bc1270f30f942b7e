"""A service that knows nothing of mockware, for the rules in this folder to stand in front of.

    MOCKWARE_FILE=examples/tasks/plain.toml mockware run examples.tasks.service:app --port 8000

Its one endpoint takes its time, as those do that are to become asynchronous.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def create_report(request: Request) -> JSONResponse:
    created = len(await request.body())
    await asyncio.sleep(2)
    return JSONResponse({"created": created}, status_code=201, headers={"Location": "/reports/7"})


async def hello(request: Request) -> JSONResponse:
    return JSONResponse({"hello": "world"})


app = Starlette(routes=[Route("/reports", create_report, methods=["POST"]), Route("/hello", hello)])
