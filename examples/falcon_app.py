"""Falcon (WSGI), with mockware wrapped around the app.

Falcon's own `middleware=[...]` are hooks inside the app; mockware is ordinary WSGI middleware and goes
around it. Run it from the repository's root:

    MOCKWARE=on gunicorn --bind 127.0.0.1:8000 examples.falcon_app:app

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

import hashlib
from collections.abc import Iterator
from pathlib import Path

import falcon

import mockware


class Health:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type, resp.text = falcon.MEDIA_TEXT, "ok"


class Hello:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"hello": "world"}


class Reports:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_CREATED
        resp.media = {"created": len(req.bounded_stream.read())}


class Stream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        def lines() -> Iterator[bytes]:
            for number in range(5):
                yield f"line {number}\n".encode()

        resp.content_type, resp.stream = falcon.MEDIA_TEXT, lines()


class Upload:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        received, digest = 0, hashlib.sha256()
        while piece := req.bounded_stream.read(65536):
            received += len(piece)
            digest.update(piece)
        resp.media = {"received": received, "sha256": digest.hexdigest()}


api = falcon.App()
api.add_route("/healthz", Health())
api.add_route("/hello", Hello())
api.add_route("/reports", Reports())
api.add_route("/stream", Stream())
api.add_route("/upload", Upload())

app = mockware.wrap(api, rules=Path(__file__).with_name("mocks.toml"))
