"""Section 1: what mockware adds to a request that is none of its business, against a floor's addition.

Law: one rule, a foreign path, twelve headers, and the ratio of what is added to the bare app. The floor is
one that servers would recognise as ASGI 3: before Python 3.12, where no mark tells them that a function is
as good as a coroutine function, that is a coroutine function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from . import rivals
from .report import Report
from .rules_files import NO_TRIGGERS, toml, wrapped
from .timing import Costs, Loop, measure
from .traffic import Message, asgi_loop, asyncio_loop, wsgi_loop

FOREIGN = Message("/api/items/42")
GOAL = 1.3

_RULE = toml(["/reports"])
_TEMPLATE = toml(["/reports/{id}"])


HARNESS, BARE, SCAN, NO_SCAN = "harness alone", "bare app", "floor with the scan", "floor without the scan"
ON, OFF, TEMPLATE = "mockware, triggers on", "mockware, triggers off", "mockware, triggers on, a template"
COROUTINE_NO_SCAN, COROUTINE_SCAN = f"{NO_SCAN}, coroutine", f"{SCAN}, coroutine"
# Which floor does the same job.
FLOORS = {
    "WSGI": {OFF: NO_SCAN, ON: SCAN},
    "ASGI": {OFF: NO_SCAN, ON: SCAN}
    if sys.version_info >= (3, 12)
    else {OFF: COROUTINE_NO_SCAN, ON: COROUTINE_SCAN},
}


def asgi_loops() -> dict[str, Loop]:
    bare = rivals.asgi_bare
    apps: dict[str, Callable[..., Any]] = {
        HARNESS: rivals.asgi_nothing,
        BARE: bare,
        "empty middleware, function": rivals.EmptyFunction(bare),
        "empty middleware, coroutine": rivals.EmptyCoroutine(bare),
        NO_SCAN: rivals.FloorWithoutScan(bare),
        SCAN: rivals.Floor(bare),
        COROUTINE_NO_SCAN: rivals.CoroutineFloorWithoutScan(bare),
        COROUTINE_SCAN: rivals.CoroutineFloor(bare),
        OFF: wrapped(bare, toml(["/reports"], NO_TRIGGERS)),
        ON: wrapped(bare, _RULE),
        TEMPLATE: wrapped(bare, _TEMPLATE),
    }
    return {name: asgi_loop(app, FOREIGN) for name, app in apps.items()}


def wsgi_loops() -> dict[str, Loop]:
    bare = rivals.wsgi_bare
    apps: dict[str, Callable[..., Any]] = {
        HARNESS: rivals.wsgi_nothing,
        BARE: bare,
        "empty middleware": rivals.EmptyWSGI(bare),
        NO_SCAN: rivals.WSGIFloorWithoutScan(bare),
        SCAN: rivals.WSGIFloor(bare),
        OFF: wrapped(bare, toml(["/reports"], NO_TRIGGERS)),
        ON: wrapped(bare, _RULE),
        TEMPLATE: wrapped(bare, _TEMPLATE),
    }
    return {name: wsgi_loop(app, FOREIGN) for name, app in apps.items()}


def peers(side: str) -> dict[str, Loop]:
    """Well-known middlewares, where they are installed; none of them has a goal."""
    found: dict[str, Loop] = {}
    if side == "ASGI":
        from starlette.middleware.base import BaseHTTPMiddleware
        from starlette.middleware.cors import CORSMiddleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        async def dispatch(request: Any, call_next: Any) -> Any:
            return await call_next(request)

        bare: Any = rivals.asgi_bare
        found["Starlette TrustedHostMiddleware"] = asgi_loop(
            TrustedHostMiddleware(bare, allowed_hosts=["api.staging.example.com"]), FOREIGN
        )
        found["Starlette CORSMiddleware, no Origin"] = asgi_loop(
            CORSMiddleware(bare, allow_origins=["https://app.example.com"]), FOREIGN
        )
        found["bare app on asyncio"] = asyncio_loop(bare, FOREIGN)
        found["Starlette BaseHTTPMiddleware on asyncio"] = asyncio_loop(
            BaseHTTPMiddleware(bare, dispatch=dispatch), FOREIGN
        )
    else:
        # By its name, since it is no dependency of any kind.
        if find_spec("whitenoise") is not None:
            whitenoise = import_module("whitenoise").WhiteNoise(rivals.wsgi_bare)
            found["WhiteNoise, no files"] = wsgi_loop(whitenoise, FOREIGN)
    return found


def run(report: Report, *, quick: bool) -> None:
    for side, loops in (("ASGI", asgi_loops), ("WSGI", wsgi_loops)):
        costs = measure(
            lambda side=side, loops=loops: {**loops(), **peers(side)},  # type: ignore[misc]
            rounds=8 if quick else 100,
            builds=1 if quick else 5,
        )
        report.table(
            f"1. Passthrough, {side}, one rule, 12 headers (ns a call)",
            "case | quiet | median | added | range | x floor | goal | holds",
            [_row(report, side, name, costs) for name in costs],
        )


def _row(report: Report, side: str, name: str, costs: Costs) -> list[str]:
    cells = [name, f"{costs.quiet(name):.0f}", f"{costs.median(name):.0f}", f"{costs.above(name, BARE):+.0f}"]
    if name not in FLOORS[side]:
        return cells
    floor = FLOORS[side][name]
    ratio = costs.of(lambda case, rival, bare: (case - bare) / (rival - bare), name, floor, BARE)
    return [*cells, str(ratio), *report.judge(f"passthrough {side}: {name}", ratio.value, at_most=GOAL)]
