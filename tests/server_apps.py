"""The apps that the servers of `tests/servers.py` serve: one in ASGI and one in WSGI, with the same answers.

`app` is what a server is told to load (`tests.server_apps:app`); the environment variable
`MATRIX_APP` says which it is: `asgi:bare`, `wsgi:wrap` and so on, as `FLAVOURS` lists them. They use no
framework, so that a byte which differs is the server's or mockware's.

`tell` writes a line to the server's output, which is how a test learns what happens inside.
Run as a program (`python -m tests.server_apps wsgiref 8000`), it is the two servers that have no command.
"""

import errno
import hashlib
import json
import os
import socketserver
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
Fields = list[tuple[str, str]]

TEXT: Fields = [("Content-Type", "text/plain; charset=utf-8")]
MOUNT = "/mount"
PIECE = b"0123456789abcdef" * 4096  # 64 KiB
FLOOD_MIB = 96  # more than the kernel's socket buffers and any server's own limit hold together
FILE = Path(__file__)
DOCUMENT = b'{"a": 1, "b": 2}'
LONG = "".join(f"{number:07}\n" for number in range(12_500)) + "!"  # of an odd length, no two parts alike
CAP_S = 1.0  # how long a stall is silent under `faults`
DRIP_S = 0.5
LATER_S = CAP_S + 1.2  # when what a stall leaves behind is tidied up too: daphne looks once a second
ROOM = 4  # the places to sleep in under `faults`; no server of the table has fewer threads, or else one


def tell(line: str) -> None:
    """One line, in one write, so that lines of several threads and processes stay whole."""
    os.write(2, f"[app] {line}\n".encode())


def answer(method: str, root: str, path: str, body: bytes) -> tuple[int, Fields, bytes]:
    """What both apps say wherever the shape of the answer is not the point."""
    match path:
        case "/hello":
            fields = [*TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), ("X-App", "bare")]
            return 200, fields, b"hello\n"
        case "/echo" | "/when":
            told = {"method": method, "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            return 200, [("Content-Type", "application/json")], json.dumps(told).encode()
        case "/document":
            return 200, [("Content-Type", "application/json"), ("ETag", '"1"')], DOCUMENT
        case "/where":
            return 200, TEXT, json.dumps([root, path]).encode()
        case "/empty":
            return 204, [], b""
        case _:
            return 404, TEXT, b"nothing here\n"


# ---- ASGI


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await _websocket(receive, send)
    else:
        await _http(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        phase = (await receive())["type"]
        tell(phase)
        await send({"type": f"{phase}.complete"})
        if phase == "lifespan.shutdown":
            return


async def _websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        echo = {key: event[key] for key in ("text", "bytes") if event.get(key) is not None}
        await send({"type": "websocket.send", **echo})


async def _http(scope: Scope, receive: Receive, send: Send) -> None:
    root = scope.get("root_path", "")
    path = scope["path"].removeprefix(root) if scope["path"].startswith(root + "/") else scope["path"]

    async def start(status: int, fields: Fields) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in fields]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def say(body: bytes, *, more: bool = False) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    match path:
        case "/nothing":
            return
        case "/stream" | "/stream-changed":
            await start(200, TEXT)
            for piece in (b"one\n", b"two\n", b"three\n"):
                await say(piece, more=True)
            await say(b"")
        case "/document-in-pieces":
            await start(200, [("Content-Type", "application/json"), ("ETag", '"1"')])
            for piece in (DOCUMENT[:5], DOCUMENT[5:]):
                await say(piece, more=True)
            await say(b"")
        case "/file":
            await start(200, [*TEXT, ("Content-Length", str(FILE.stat().st_size))])
            if "http.response.pathsend" in scope.get("extensions", {}):
                await send({"type": "http.response.pathsend", "path": str(FILE)})
            else:
                await say(FILE.read_bytes())
        case "/flood":
            await start(200, [*TEXT, ("Content-Length", str(FLOOD_MIB << 20))])
            for mib in range(FLOOD_MIB):
                for _ in range(16):
                    await say(PIECE, more=True)
                tell(f"flood {mib + 1}")
            await say(b"")
        case _:
            body = bytearray()
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    return
                if not body and path == "/echo":
                    tell(f"echo began with {len(event.get('body', b''))}")
                body += event.get("body", b"")
                if not event.get("more_body"):
                    break
            status, fields, content = answer(scope["method"], root, path, bytes(body))
            if status != 204:
                fields = [*fields, ("Content-Length", str(len(content)))]
            await start(status, fields)
            await say(b"" if scope["method"] == "HEAD" else content)


# ---- WSGI


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    # PEP 3333: native strings hold the bytes as latin-1.
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
    match path:
        case "/nothing":
            raise ConnectionResetError(errno.ECONNRESET, "nothing")
        case "/stream" | "/stream-changed":
            start_response("200 OK", TEXT)
            return iter([b"one\n", b"two\n", b"three\n"])
        case "/document-in-pieces":
            start_response("200 OK", [("Content-Type", "application/json"), ("ETag", '"1"')])
            return iter([DOCUMENT[:5], DOCUMENT[5:]])
        case "/write":
            write = start_response("200 OK", [*TEXT, ("Content-Length", "8")])
            write(b"one\n")
            return [b"two\n"]
        case "/file":
            start_response("200 OK", [*TEXT, ("Content-Length", str(FILE.stat().st_size))])
            wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
            result: Iterable[bytes] = wrapper(FILE.open("rb"), 8192)
            return result
        case "/flood":
            start_response("200 OK", [*TEXT, ("Content-Length", str(FLOOD_MIB << 20))])
            return _flood()
        case _:
            body = b"".join(_pieces(environ, tells=path == "/echo"))
            status, fields, content = answer(
                environ["REQUEST_METHOD"], environ.get("SCRIPT_NAME", ""), path, body
            )
            if status != 204:
                fields = [*fields, ("Content-Length", str(len(content)))]
            start_response(f"{status} {'OK' if status == 200 else 'Other'}", fields)
            return [] if environ["REQUEST_METHOD"] == "HEAD" or not content else [content]


def _flood() -> Iterator[bytes]:
    try:
        for mib in range(FLOOD_MIB):
            for _ in range(16):
                yield PIECE
            tell(f"flood {mib + 1}")
    finally:
        tell("flood closed")


def _pieces(environ: Environ, *, tells: bool) -> Iterator[bytes]:
    stream, terminated = environ["wsgi.input"], environ.get("wsgi.input_terminated")
    left = (1 << 40) if terminated else int(environ.get("CONTENT_LENGTH") or 0)
    size = 1024  # small at first, so that a server which waits for all it is asked for has it at once
    while left and (piece := stream.read(min(left, size))):
        if tells:
            tell(f"echo began with {len(piece)}")
        tells, size = False, 1 << 16
        left -= len(piece)
        yield piece


# ---- under mockware

PATCH = {"status": 418, "headers": {"X-App": "patched"}, "json": {"b": None, "c": "three"}}


def rules() -> list[Any]:
    from mockware import Rule

    return [
        Rule("POST /reports", name="reports"),
        Rule("GET /mocked", name="mocked", status=200, json={"mocked": True}),
        Rule("GET,POST /slow", name="slow", delay="700ms"),
        Rule("/café", name="coffee", status=200, text="été"),
        Rule("POST /when", name="when", when={"json": {"kind": "mock"}}),
        Rule("/down", name="down", status=503),
        Rule("/ws/refused", name="refused", status=401),
        Rule("/document", name="document", patch=PATCH),
        Rule("/document-in-pieces", name="pieces", patch=PATCH),
        Rule("/stream-changed", name="stream", patch={"status": 418, "headers": {"X-App": "patched"}}),
    ]


def _wrap(app: Any) -> Any:
    import mockware

    return mockware.wrap(app, rules=rules(), enabled=True)


def fault_rules() -> list[Any]:
    from mockware import Rule

    manners: dict[str, dict[str, Any]] = {
        "/cut": {"fault": "cut"},
        "/stall": {"fault": "stall"},
        "/empty": {"fault": "empty"},
        "/cut-soon": {"fault": "cut", "delay": "1ms"},
        "/empty-soon": {"fault": "empty", "delay": "1ms"},
        "/drip": {"drip": f"{DRIP_S}s"},
        "/soon": {"delay": "1ms"},
        "/later": {"delay": f"{LATER_S}s"},
    }
    return [Rule(path, name=path[1:], status=200, text=LONG, **how) for path, how in manners.items()]


def _faults(app: Any) -> Any:
    """Nobody tests 30 s of silence on 15 servers, or a thousand sleepers: under this flavour both are few.

    What is left of either shows the same: that a silence ends, and that whoever has slept makes room.
    """
    import mockware
    from mockware import faults, waiting

    faults.MAX_DELAY_S = CAP_S  # type: ignore[attr-defined]
    waiting._places = threading.BoundedSemaphore(ROOM)
    return mockware.wrap(app, rules=fault_rules(), enabled=True)


def _asgi_class(app: Any) -> Any:
    import mockware

    return mockware.ASGIMockMiddleware(app, rules=rules(), enabled=True)


def _wsgi_class(app: Any) -> Any:
    import mockware

    return mockware.WSGIMockMiddleware(app, rules=rules(), enabled=True)


class AsgiInstance:
    """The same app as an instance, which is what most frameworks hand to a server."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asgi(scope, receive, send)


class WsgiInstance:
    """The same app as an instance, which is what most frameworks hand to a server."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return wsgi(environ, start_response)


FLAVOURS: dict[str, Callable[[], Any]] = {
    "asgi:bare": lambda: asgi,
    "asgi:wrap": lambda: _wrap(AsgiInstance()),
    "asgi:faults": lambda: _faults(AsgiInstance()),
    "asgi:class": lambda: _asgi_class(asgi),
    "asgi:wrong": lambda: _wsgi_class(wsgi),
    "wsgi:bare": lambda: wsgi,
    "wsgi:wrap": lambda: _wrap(WsgiInstance()),
    "wsgi:faults": lambda: _faults(WsgiInstance()),
    "wsgi:class": lambda: _wsgi_class(wsgi),
    "wsgi:wrong": lambda: _asgi_class(asgi),
}


def mounted(inner: Any) -> Any:
    """The app below `MOUNT`, for the servers that have a dispatcher instead of an option."""
    if os.environ["MATRIX_MOUNT"] == "cheroot":
        from cheroot.wsgi import PathInfoDispatcher

        return PathInfoDispatcher({MOUNT: inner})  # type: ignore[no-untyped-call]
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(NotFound(), {MOUNT: inner})


def serve(server: str, port: int) -> None:
    """Serve `app` by one of the two servers without a command of their own, over HTTP/1.1 if it can."""
    if server == "werkzeug":
        from werkzeug.serving import WSGIRequestHandler, run_simple

        WSGIRequestHandler.protocol_version = "HTTP/1.1"
        run_simple("127.0.0.1", port, app, threaded=True)
    else:
        from wsgiref.simple_server import WSGIServer, make_server

        class Quick(WSGIServer):
            # HTTPServer.server_bind looks the host's name up, which may take seconds.
            def server_bind(self) -> None:
                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = "127.0.0.1", port
                self.setup_environ()

        make_server("127.0.0.1", port, app, server_class=Quick).serve_forever()


app: Any = None
if flavour := os.environ.get("MATRIX_APP"):
    app = FLAVOURS[flavour]()
    if os.environ.get("MATRIX_MOUNT"):
        app = mounted(app)

if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
