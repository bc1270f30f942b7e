"""`demo`: a small real app behind mockware, and what to try on it.

Law: everything that is printed as an invitation works: the tests run each of these lines. The demo is
the same on every machine, so the environment has no say in its rules.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import connect_tcp, create_task_group, sleep

from . import wrap
from .rules import Rule
from .workers import leave_ctrl_c_to_the_parent

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
# How often a server that is about to listen is asked whether it does.
_ASKING_S = 0.01


class Trial(NamedTuple):
    """Something to try: what it shows, curl's arguments (`{url}` stands for the base URL), the statuses."""

    shows: str
    curl: str
    statuses: tuple[int, ...]


RULES = (
    Rule("POST /reports"),
    Rule(
        "GET /payments/{id:int}",
        name="payments-down",
        status=503,
        headers={"retry-after": "30"},
        json={"error": "down for the demo"},
        delay="300ms",
    ),
)

TRIALS = (
    Trial("The app answers what no rule matches.", "{url}/orders", (200,)),
    Trial(
        "A rule gives the canonical 202 for an endpoint that the app does not have.",
        "-X POST {url}/reports",
        (202,),
    ),
    Trial("Another rule gives a 503 of its own, after 300 ms.", "{url}/payments/7", (503,)),
    Trial(
        "A trigger: this one request fails, the next does not.",
        "-H 'X-Mock-Status: 503' {url}/orders",
        (503,),
    ),
    Trial(
        "A weighted trigger: one request in four fails, the others reach the app.",
        "-H 'X-Mock-Status: passthrough:0.75,503:0.25' {url}/orders",
        (200, 503),
    ),
    Trial(
        "Passthrough: past the rule to the app, which has no such endpoint.",
        "-X POST -H 'X-Mock-Status: passthrough' {url}/reports",
        (404,),
    ),
    Trial("A malformed trigger is refused, with the reason.", "-H 'X-Mock-Status: 2o2' {url}/orders", (400,)),
)


def invitation(port: int) -> list[tuple[str, str]]:
    """For each trial what it shows, and the line to type."""
    return [(trial.shows, f"curl -i {trial.curl.format(url=f'http://{HOST}:{port}')}") for trial in TRIALS]


def make_app(*, when_listening: Callable[[], None] | None = None, port: int = 0) -> Callable[..., Any]:
    """The demo, wrapped. Calls `when_listening` once something listens on `port`."""
    app = _orders(when_listening, port)
    return wrap(app, rules=list(RULES), enabled=True, environ={})


def serve(port: int, when_listening: Callable[[], None]) -> None:
    """Serves the demo on granian until Ctrl-C. `when_listening` is called in the worker's process.

    Raises ImportError without granian, and RuntimeError where `port` is taken.
    """
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    server = Granian(
        "mockware demo",
        address=HOST,
        port=port,
        interface=Interfaces.ASGI,
        log_level=LogLevels.warning,
        workers_kill_timeout=1,  # in seconds; for the reason, see `hosting.py`
    )
    load = partial(_load, when_listening, port)
    server.serve(target_loader=load, wrap_loader=False)


def _load(when_listening: Callable[[], None], port: int) -> Callable[..., Any]:
    leave_ctrl_c_to_the_parent()
    # So that each mocked request shows up beneath the invitation.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mockware").setLevel(logging.INFO)
    return make_app(when_listening=when_listening, port=port)


def _orders(when_listening: Callable[[], None] | None, port: int) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    orders = [{"id": 1, "item": "tea"}]

    async def listed(request: Request) -> Response:
        return JSONResponse(orders)

    async def added(request: Request) -> Response:
        order = {"id": len(orders) + 1, "item": (await request.body()).decode(errors="replace")}
        orders.append(order)
        return JSONResponse(order, status_code=201, headers={"Location": f"/orders/{order['id']}"})

    async def one(request: Request) -> Response:
        found = [order for order in orders if order["id"] == request.path_params["id"]]
        return JSONResponse(found[0] if found else {"detail": "no such order"}, 200 if found else 404)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with create_task_group() as tasks:
            if when_listening is not None:
                tasks.start_soon(_announce, when_listening, port)
            yield
            tasks.cancel_scope.cancel()

    routes = [
        Route("/orders", listed, methods=["GET"]),
        Route("/orders", added, methods=["POST"]),
        Route("/orders/{id:int}", one),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


async def _announce(when_listening: Callable[[], None], port: int) -> None:
    """A server starts to listen after the app has started, and tells nobody."""
    while True:
        try:
            stream = await connect_tcp(HOST, port)
        except OSError:
            await sleep(_ASKING_S)
        else:
            await stream.aclose()
            return when_listening()
