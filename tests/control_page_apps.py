"""The apps behind the control page: FastAPI and Flask with the same answers, wrapped by mockware.

What belongs here: an app of each interface, and a page of another origin that means ill. The rules file is
the one that the environment variable `CONTROL_PAGE_RULES` names.
"""

import os
from typing import Any

import mockware

# granian leaves out fields with values beyond ASCII on WSGI.
KEYS = {"asgi": "open-sesame-to-me-\u00e4", "wsgi": "open-sesame-to-me"}
PREFIX = "/__mockware__"

# What somebody's page may try against the control page, which is at another origin: the target is filled in.
EVIL = """<!doctype html><title>evil</title>
<form id="form" method="post" action="{target}/api/reset" enctype="text/plain" target="sink">
<input name='{{"by": "evil", "why": "' value='evil"}}'></form>
<iframe name="sink"></iframe><iframe id="frame" src="{target}/"></iframe>"""


def environ(kind: str) -> dict[str, str]:
    return {
        "MOCKWARE": "on",
        "MOCKWARE_KEY": KEYS[kind],
        "MOCKWARE_CONTROL": PREFIX,
        "MOCKWARE_FILE": os.environ["CONTROL_PAGE_RULES"],
    }


def evil(host: str) -> str:
    """The page for a browser that calls us `localhost`, about the control page at 127.0.0.1."""
    return EVIL.format(target=f"http://{host.replace('localhost', '127.0.0.1')}{PREFIX}")


def asgi() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import HTMLResponse

    app = FastAPI()

    @app.get("/evil")
    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(evil(request.headers["host"]))

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    def answer(path: str) -> dict[str, str]:
        return {"app": path}

    return mockware.wrap(app, environ=environ("asgi"))


def wsgi() -> Any:
    from flask import Flask, request

    app = Flask(__name__)

    @app.get("/evil")
    def page() -> str:
        return evil(request.host)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def answer(path: str) -> dict[str, str]:
        return {"app": path}

    return mockware.wrap(app, environ=environ("wsgi"))
