"""Section 3: a mocked reply against a bare app that drains the body and sends the same.

Law: the bare app's status, headers and body are taken from mockware's own reply, so that both send the
same bytes to the same request. The goal is about the whole call, harness included, as an app in a
server would see it; beside it, the same without what the harness costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import truediv
from typing import Any, NamedTuple

from . import rivals
from .report import Report
from .rules_files import toml, wrapped
from .timing import Costs, Loop, measure
from .traffic import HEADERS, TRIGGER, Message, asgi_loop, wsgi_loop

GOAL = 1.2

App = Callable[..., Any]

_BODY = b'{"from": "2026-01-01", "to": "2026-12-31"}'
MESSAGES = {
    "rule, no body": Message("/reports"),
    "rule, POST of 42 bytes": Message("/reports", "POST", body=_BODY),
    "trigger, no body": Message("/api/items/42", headers=[*HEADERS, TRIGGER]),
    "trigger, POST of 42 bytes": Message("/api/items/42", "POST", [*HEADERS, TRIGGER], _BODY),
}


def asgi_twin(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> App:
    """A bare app that drains the request's body and sends this."""

    async def app(scope: Any, receive: App, send: App) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def wsgi_twin(status: str, headers: list[tuple[str, str]], body: bytes) -> App:
    """A bare app that drains the request's body and sends this."""

    def app(environ: dict[str, Any], start_response: App) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length:
            environ["wsgi.input"].read(length)
        start_response(status, headers)
        return [body]

    return app


def asgi_twin_of(app: App, message: Message) -> App:
    """The twin of what `app` answers to this message."""
    sent: list[dict[str, Any]] = []

    async def note(scope: Any, receive: App, send: App) -> None:
        async def keep(event: dict[str, Any]) -> None:
            sent.append(event)

        await app(scope, receive, keep)

    asgi_loop(note, message)(1)
    start, end = sent
    return asgi_twin(start["status"], start["headers"], end["body"])


def wsgi_twin_of(app: App, message: Message) -> App:
    """The twin of what `app` answers to this message."""
    started: list[Any] = []
    body: list[bytes] = []

    def note(environ: dict[str, Any], start_response: App) -> Iterable[bytes]:
        body.extend(app(environ, lambda *arguments: started.extend(arguments)))
        return ()

    wsgi_loop(note, message)(1)
    return wsgi_twin(started[0], started[1], b"".join(body))


class Side(NamedTuple):
    name: str
    loop: Callable[[App, Message], Loop]
    twin_of: Callable[[App, Message], App]
    floor: Callable[[App, App], App]
    bare: App
    nothing: App


SIDES = (
    Side("ASGI", asgi_loop, asgi_twin_of, rivals.Floor, rivals.asgi_bare, rivals.asgi_nothing),
    Side("WSGI", wsgi_loop, wsgi_twin_of, rivals.WSGIFloor, rivals.wsgi_bare, rivals.wsgi_nothing),
)


def run(report: Report, *, quick: bool) -> None:
    for side in SIDES:
        mock = wrapped(side.bare, toml(["/reports"]))
        costs = measure(partial(_loops, side, mock), rounds=8 if quick else 100, builds=1 if quick else 5)
        title = f"3. A mocked reply, {side.name} (ns a call; `alone`: the ratio without the harness)"
        columns = "request | harness | bare twin | mock | more | alone | floor | range | ratio | goal | holds"
        report.table(title, columns, [_row(report, side, label, costs) for label in MESSAGES])
    report.note("`floor`: the ratio of the hand-written floor with the twin behind it, harness included.")


def _loops(side: Side, mock: App) -> dict[str, Loop]:
    found: dict[str, Loop] = {}
    for label, message in MESSAGES.items():
        twin = side.twin_of(mock, message)
        found[f"{label}, harness"] = side.loop(side.nothing, message)
        found[f"{label}, twin"] = side.loop(twin, message)
        found[f"{label}, floor"] = side.loop(side.floor(side.bare, twin), message)
        found[f"{label}, mock"] = side.loop(mock, message)
    return found


def _row(report: Report, side: Side, label: str, costs: Costs) -> list[str]:
    harness, twin, floor, mock = (f"{label}, {name}" for name in ("harness", "twin", "floor", "mock"))
    whole = costs.of(truediv, mock, twin)
    alone = costs.of(lambda own, other, rest: (own - rest) / (other - rest), mock, twin, harness)
    cells = [label, *(f"{costs.quiet(name):.0f}" for name in (harness, twin, mock))]
    cells += [f"{costs.above(mock, twin):+.0f}", f"{alone.value:.3f}"]
    cells += [f"{costs.of(truediv, floor, twin).value:.3f}", str(whole)]
    return [*cells, *report.judge(f"mocked reply {side.name}: {label}", whole.value, at_most=GOAL)]
