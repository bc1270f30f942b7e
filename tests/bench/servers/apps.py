"""The Python apps of the comparison, by name: `tests.bench.servers.apps:NAME`.

Law: all answer 202 with the same JSON, as the shortest idiomatic code of each does; how many routes there
are, and where mockware's rules are, is in the environment. Each is made only when it is asked for, so that a
bare app's process has no framework in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .stubs import ANSWER, STATUS, paths

# How many routes the framework's app has.
STUBS = "BENCH_STUBS"
_BODY = b'{"status": "accepted", "task_id": "abc-123"}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"44")]


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """The unit: what no ASGI app can undercut."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": STATUS, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _BODY})


async def _behind(scope: Any, receive: Any, send: Any) -> None:
    """An app that none of the requests is to reach."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"the app was reached"})


def _wrapped() -> Any:
    import mockware

    return mockware.wrap(_behind)


def _fastapi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    async def accepted() -> dict[str, str]:
        return ANSWER

    for path in paths(int(os.environ[STUBS])):
        app.get(path, status_code=STATUS)(accepted)
    return app


def _flask() -> Any:
    from flask import Flask

    app = Flask(__name__)

    def accepted() -> tuple[dict[str, str], int]:
        return ANSWER, STATUS

    for path in paths(int(os.environ[STUBS])):
        app.get(path, endpoint=path)(accepted)
    return app


_MAKERS: dict[str, Callable[[], Any]] = {"wrapped": _wrapped, "fastapi_app": _fastapi, "flask_app": _flask}


def __getattr__(name: str) -> Any:
    if name not in _MAKERS:
        raise AttributeError(name)
    app = globals()[name] = _MAKERS[name]()
    return app
