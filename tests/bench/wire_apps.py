"""The apps that section 4 serves, by name: `tests.bench.wire_apps:NAME`.

Law: all of them answer 202 with the same JSON; the bare ones with the very bytes of the mock. Each is
made only when it is asked for, so that a bare app's process has no framework in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import mocked, rivals
from .rules_files import toml, wrapped
from .traffic import HEADERS, TRIGGER, Message

RULE = Message("/reports")
PASS = Message("/other")
ASKED = Message("/other", headers=[*HEADERS, TRIGGER])
_ANSWER = {"status": "accepted", "task_id": "abc-123"}
_RULES = toml([RULE.path])


def bare_asgi() -> Any:
    return mocked.asgi_twin_of(wrapped(rivals.asgi_bare, _RULES), RULE)


def bare_wsgi() -> Any:
    return mocked.wsgi_twin_of(wrapped(rivals.wsgi_bare, _RULES), RULE)


def trigger_twin_asgi() -> Any:
    return mocked.asgi_twin_of(wrapped(rivals.asgi_bare, _RULES), ASKED)


def trigger_twin_wsgi() -> Any:
    return mocked.wsgi_twin_of(wrapped(rivals.wsgi_bare, _RULES), ASKED)


def mock_asgi() -> Any:
    return wrapped(bare_asgi(), _RULES)


def mock_wsgi() -> Any:
    return wrapped(bare_wsgi(), _RULES)


def framework_asgi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get(RULE.path, status_code=202)
    async def reports() -> dict[str, str]:
        return _ANSWER

    return app


def framework_wsgi() -> Any:
    from flask import Flask

    app = Flask(__name__)

    @app.get(RULE.path)
    def reports() -> tuple[dict[str, str], int]:
        return _ANSWER, 202

    return app


_MAKERS: dict[str, Callable[[], Any]] = {
    f"{maker.__name__}_app": maker
    for maker in (
        bare_asgi, bare_wsgi, trigger_twin_asgi, trigger_twin_wsgi,
        mock_asgi, mock_wsgi, framework_asgi, framework_wsgi,
    )
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MAKERS:
        raise AttributeError(name)
    app = globals()[name] = _MAKERS[name]()
    return app
