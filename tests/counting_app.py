"""Two apps that count, one in ASGI and one in WSGI, for servers with several workers: `tests/counting.py`.

Both have the same rules, and where they count is the environment's to say (`MOCKWARE_STORE`). Whatever no
rule answers, the app does, with the number of its process and the path, so that a client can tell who it was.
With `COUNTING_FIRST` set, the WSGI app has answered one request to /limited by the time it is imported: a
server that forks then forks a process which has its store open.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from wsgiref.util import setup_testing_defaults

from mockware import ASGIMockMiddleware, Rule, WSGIMockMiddleware

LIMIT = 700  # of /limited, for everybody together
EACH = 20  # of /each, for each session
IN_TURN = (503, 503, 202)  # what /in-turn says to each session; the last for ever
SESSION = "X-Session"

# Per path: each status that a mock may have there, with its body.
MOCKS: dict[str, dict[int, bytes]] = {
    "/limited": {503: b"limited\n"},
    "/in-turn": {503: b"not yet\n", 202: b"accepted\n"},
    "/each": {503: b"each\n"},
    "/stateless": {409: b"stateless\n"},
}

RULES = [
    Rule("/limited", name="limited", status=503, text="limited\n", times=LIMIT),
    Rule(
        "/in-turn",
        name="in-turn",
        count_per=f"header:{SESSION}",
        replies=[
            {"status": 503, "text": "not yet\n", "times": 2},
            {"status": 202, "text": "accepted\n"},
        ],
    ),
    Rule("/each", name="each", status=503, text="each\n", times=EACH, count_per=f"header:{SESSION}"),
    Rule("/stateless", name="stateless", status=409, text="stateless\n"),
]


def body(path: str) -> bytes:
    return f"{os.getpid()} {path}\n".encode()


async def _asgi(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    if scope["type"] == "lifespan":
        while True:
            phase = (await receive())["type"]
            await send({"type": f"{phase}.complete"})
            if phase == "lifespan.shutdown":
                return
    said = body(scope["path"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def _wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    said = body(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(said)))])
    return [said]


asgi = ASGIMockMiddleware(_asgi, rules=RULES)
wsgi = WSGIMockMiddleware(_wsgi, rules=RULES)

if os.environ.get("COUNTING_FIRST"):
    _environ: dict[str, Any] = {"PATH_INFO": "/limited"}
    setup_testing_defaults(_environ)
    list(wsgi(_environ, lambda *_: None))
