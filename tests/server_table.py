"""The table of the server matrix: how each server is told to serve the app, and what it cannot do.

A deviation is a sentence about a server, never about mockware: the bare app shows it too. Every test that
consults one asserts that the server does deviate, so when a server mends its ways, a test fails and the
line goes. Nothing is skipped for any server.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
APP = "tests.server_apps:app"

Deviation = Literal[
    "one request per connection",  # says "close" in every answer, and does
    "one request at a time",
    "closes without a length",
    "closes after 413",
    "no framing without a length",
    "no chunked requests",
    "no pipelining",
    "ignores Connection: close",
    "reads the body first",  # all of it, before the app is called
    "continues at once",  # sends 100 before the app has asked for the body
    "never continues",  # no 100 at all
    "no back-pressure",
    "serves WSGI too",
    "no write callable",
    "a length on 204",
    "reports lost clients",
    "keeps what the app closes",
    "no denial responses",
    "complains of denials",
    "complains of lost handshakes",
    "no lifespan",
    "dies of WSGI apps",
    "continues twice",
    "keeps what breaks off",  # an app that returns before its body is complete
    "keeps streams that break off",  # the same on HTTP/2 only
    "keeps a HEAD that breaks off",
    "complains of early returns",
    "no empty answers",
]


@dataclasses.dataclass(frozen=True)
class Server:
    """A row of the table: a server program, how it is told what to do, and what it cannot do."""

    name: str
    kind: Literal["asgi", "wsgi"]
    command: tuple[str, ...]  # {port} and {scripts} are filled in
    mount: tuple[str, ...] = ()  # options that serve the app below /mount
    dispatcher: str = ""  # or the dispatcher in `server_apps.mounted` that does
    mount_prefix: str = "/mount"  # what a client then writes before the path
    websockets: bool = False
    http2: bool = False
    deviations: Mapping[Deviation, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


_RUN = (sys.executable, "-m")
# No server of the table closes an idle connection sooner than that: an end within it is the app's doing. The
# three that would are told to wait (uvicorn and hypercorn have 5 s, gunicorn 2); cheroot's own is 10 s.
IDLE_S = 10
_HYPERCORN = (*_RUN, "hypercorn", "--bind=127.0.0.1:{port}", "--keep-alive=75")
_GRANIAN = (*_RUN, "granian", "--port={port}")
_UVICORN = (*_RUN, "uvicorn", "--port={port}", "--timeout-keep-alive=75")
_GUNICORN = (*_RUN, "gunicorn", "--bind=127.0.0.1:{port}", "--keep-alive=75")
_UWSGI = ("{scripts}/uwsgi", f"--home={sys.prefix}", f"--pythonpath={ROOT}", "--need-app", "--die-on-term")
_UWSGI_APP = ("--threads=4", f"--module={APP}")
# A single interpreter, because --mount makes a second one, and pydantic-core (PyO3) loads only once.
_UWSGI_MOUNT = (f"--mount=/mount={APP}", "--manage-script-name", "--single-interpreter")
_NOTHING_IS_AN_ERROR = "an app that ends without a response is answered by a 500"
_HYPERCORN_DEVIATIONS: dict[Deviation, str] = {
    "continues at once": "H11Protocol answers the expectation before it creates the stream",
    "serves WSGI too": "wrap_app looks whether the app is a coroutine function and takes WSGI if not",
    "keeps streams that break off": "H2Protocol forgets the stream and sends neither its end nor a reset",
    "no empty answers": _NOTHING_IS_AN_ERROR,
}
_GRANIAN_DEVIATIONS: dict[Deviation, str] = {
    "keeps a HEAD that breaks off": "to hyper the answer to a HEAD is complete with its headers",
    "no empty answers": _NOTHING_IS_AN_ERROR,
}
_UVICORN_DEVIATIONS: dict[Deviation, str] = {
    "complains of early returns": "RequestResponseCycle.run_asgi logs an error, then closes",
    "no empty answers": _NOTHING_IS_AN_ERROR,
}
_NO_CHUNKS = "a chunked body can only be read by uwsgi.chunked_read(); wsgi.input is empty"

# The ones that speak HTTP/2 first, then the other ASGI servers: pytest groups tests by the place of
# their parameter, so that a test which takes a part of the table does not start servers again.
TABLE = (
    Server(
        "hypercorn-asyncio",
        "asgi",
        (*_HYPERCORN, "--worker-class=asyncio", APP),
        mount=("--root-path=/mount",),
        websockets=True,
        http2=True,
        deviations=_HYPERCORN_DEVIATIONS,
    ),
    Server(
        "hypercorn-trio",
        "asgi",
        (*_HYPERCORN, "--worker-class=trio", APP),
        mount=("--root-path=/mount",),
        websockets=True,
        http2=True,
        deviations={
            **_HYPERCORN_DEVIATIONS,
            "dies of WSGI apps": "trio/lifespan.py sends into the channel that their lifespan has closed",
        },
    ),
    Server(
        "granian-asgi",
        "asgi",
        (*_GRANIAN, "--interface=asgi", APP),
        mount=("--url-path-prefix=/mount",),
        websockets=True,
        http2=True,
        deviations={
            **_GRANIAN_DEVIATIONS,
            "complains of lost handshakes": "receive() tells nothing of a client that leaves before the "
            "handshake, and send() raises RuntimeError",
        },
    ),
    Server(
        "uvicorn-h11",
        "asgi",
        (*_UVICORN, "--http=h11", "--loop=asyncio", "--ws=wsproto", APP),
        mount=("--root-path=/mount",),
        mount_prefix="",  # it puts the root path before the path, as behind a proxy that took it off
        websockets=True,
        deviations=_UVICORN_DEVIATIONS,
    ),
    Server(
        "uvicorn-httptools",
        "asgi",
        (*_UVICORN, "--http=httptools", APP),
        mount=("--root-path=/mount",),
        mount_prefix="",
        websockets=True,
        deviations={
            **_UVICORN_DEVIATIONS,
            "complains of denials": "websockets_sansio_impl logs an error after each Denial Response",
        },
    ),
    Server(
        "daphne",
        "asgi",
        (*_RUN, "daphne", "--bind=127.0.0.1", "--port={port}", APP),
        mount=("--root-path=/mount",),
        websockets=True,
        deviations={
            "reads the body first": "Twisted's http.Request is processed when its content is complete",
            "continues at once": "Twisted answers the expectation as soon as the headers are there",
            "keeps what the app closes": "Twisted looks for Connection: close in the request only",
            "no lifespan": "its documentation: not supported",
            "no denial responses": "its scope offers no websocket.http.response",
            "no back-pressure": "it writes to the transport without being its producer",
            "keeps what breaks off": "Server.application_checker only forgets an app that has returned",
            "no empty answers": "an app that ends without a response leaves its client waiting",
        },
    ),
    Server(
        "granian-wsgi",
        "wsgi",
        (*_GRANIAN, "--interface=wsgi", APP),
        mount=("--url-path-prefix=/mount",),
        deviations={
            **_GRANIAN_DEVIATIONS,
            "no write callable": "its start_response returns None, against PEP 3333",
        },
    ),
    Server(
        "gunicorn-sync",
        "wsgi",
        (*_GUNICORN, APP),
        mount=("--env=SCRIPT_NAME=/mount",),
        deviations={
            "one request per connection": "its documentation: the sync worker knows no keep-alive",
            "one request at a time": "one worker, no threads",
        },
    ),
    Server(
        "gunicorn-gthread",
        "wsgi",
        (*_GUNICORN, "--worker-class=gthread", "--threads=4", APP),
        mount=("--env=SCRIPT_NAME=/mount",),
    ),
    Server(
        "waitress",
        "wsgi",
        (*_RUN, "waitress", "--listen=127.0.0.1:{port}", APP),
        mount=("--url-prefix=/mount",),
        deviations={
            "reads the body first": "its documentation: it buffers requests before the app is called",
            "closes without a length": "task.py closes after any response without Content-Length",
        },
    ),
    Server(
        "cheroot",
        "wsgi",
        (*_RUN, "cheroot", "--bind=127.0.0.1:{port}", APP),
        dispatcher="cheroot",
        deviations={"closes after 413": "HTTPRequest.send_headers lets go of a client that sends too much"},
    ),
    Server(
        "uwsgi-http11",
        "wsgi",
        (*_UWSGI, "--http11-socket=127.0.0.1:{port}", *_UWSGI_APP),
        mount=_UWSGI_MOUNT,
        deviations={
            "no chunked requests": _NO_CHUNKS,
            "no pipelining": "what it has read beyond a request is lost",
            "ignores Connection: close": "the socket stays open for the next request",
            "no framing without a length": "it adds no Transfer-Encoding and stays open",
            "never continues": "only the HTTP router (--http) has --http-manage-expect",
            "reports lost clients": "an OSError from its input; from writing too, unless told otherwise",
        },
    ),
    Server(
        "uwsgi-http",
        "wsgi",
        # Without the header it would close after an answer that promises to stay open.
        (*_UWSGI, "--http-socket=127.0.0.1:{port}", "--add-header=Connection: close", *_UWSGI_APP),
        mount=_UWSGI_MOUNT,
        deviations={
            "one request per connection": "--http-socket is HTTP/1.0 in all but the status line",
            "no chunked requests": _NO_CHUNKS,
            "never continues": "only the HTTP router (--http) has --http-manage-expect",
            "reports lost clients": "an OSError from its input; from writing too, unless told otherwise",
        },
    ),
    Server(
        "werkzeug",
        "wsgi",
        (*_RUN, "tests.server_apps", "werkzeug", "{port}"),
        dispatcher="werkzeug",
        deviations={
            "one request per connection": "run_wsgi sends Connection: close with every answer",
            "continues twice": "once from http.server and once from run_wsgi",
        },
    ),
    Server(
        "wsgiref",
        "wsgi",
        (*_RUN, "tests.server_apps", "wsgiref", "{port}"),
        dispatcher="werkzeug",
        deviations={
            "one request per connection": "WSGIRequestHandler.handle serves one request, over HTTP/1.0",
            "one request at a time": "WSGIServer has no threads",
            "no chunked requests": "it knows no Transfer-Encoding; wsgi.input is the bare socket",
            "a length on 204": "BaseHandler adds Content-Length: 0 where an app returns no bytes",
            "never continues": "an HTTP/1.0 server has no 100",
        },
    ),
)
