"""Bottle, with mockware wrapped around the app.

Bottle's plugins run after routing; mockware is WSGI middleware and goes around the app, so a rule may
answer for an endpoint that does not exist yet. Run it from the repository's root:

    MOCKWARE=on waitress-serve --listen=127.0.0.1:8000 examples.bottle_app:app

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
# mypy: disable-error-code="import-untyped,untyped-decorator"

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bottle import Bottle, request, response

import mockware

api = Bottle()


@api.get("/healthz")
def healthz() -> str:
    response.content_type = "text/plain"
    return "ok"


@api.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}


@api.post("/reports")
def create_report() -> dict[str, int]:
    response.status = 201
    return {"created": len(request.body.read())}


@api.get("/stream")
def stream() -> Iterator[str]:
    response.content_type = "text/plain"
    for number in range(5):
        yield f"line {number}\n"


@api.post("/upload")
def upload() -> dict[str, int | str]:
    received, digest = 0, hashlib.sha256()
    body = request.body  # rewinds at each access
    while piece := body.read(65536):
        received += len(piece)
        digest.update(piece)
    return {"received": received, "sha256": digest.hexdigest()}


app = mockware.wrap(api, rules=Path(__file__).with_name("mocks.toml"))
