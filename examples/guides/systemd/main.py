"""The shop as a WSGI app, wrapped: without MOCKWARE in the environment, `application` is Flask's own."""

import logging

from flask import Flask

import mockware

logging.basicConfig(level=logging.INFO)  # so that each mock is a line of the journal

app = Flask(__name__)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/payments/<int:payment>")
def payment(payment: int) -> dict[str, object]:
    return {"id": payment, "state": "paid"}


@app.post("/orders")
def order() -> tuple[dict[str, str], int]:
    return {"state": "ordered"}, 201


application = mockware.wrap(app.wsgi_app)
