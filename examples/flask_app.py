"""Flask, with mockware in front of `app.wsgi_app`, the place that Flask's documentation names.

`app` stays the Flask object, with its command line and its test client (which passes through mockware
too, while it is on). Run it from the repository's root:

    MOCKWARE=on flask --app examples.flask_app run --port 8000

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

Without `MOCKWARE=on` the app answers all of them, and `app.wsgi_app` is Flask's own method.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, request

import mockware

app = Flask(__name__)
app.wsgi_app = mockware.WSGIMockMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, rules=Path(__file__).with_name("mocks.toml")
)


@app.get("/healthz")
def healthz() -> str:
    return "ok"


@app.get("/hello")
def hello() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/reports")
def create_report() -> tuple[dict[str, int], int]:
    return {"created": len(request.get_data())}, 201


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for number in range(5):
            if number:
                time.sleep(0.2)
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.post("/upload")
def upload() -> dict[str, int | str]:
    received, digest = 0, hashlib.sha256()
    while piece := request.stream.read(65536):
        received += len(piece)
        digest.update(piece)
    return {"received": received, "sha256": digest.hexdigest()}
