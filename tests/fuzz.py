"""Hostile requests through both adapters: `python -m tests.fuzz [--requests 1000000] [--seed N]`.

Each request must end in a valid mock, a refusal with 400 or the app, without an exception, and in the same
one on both interfaces where they can be compared. Each is made from the seed and its own number alone, so
that the line printed with a failure brings back that one request.
"""

import argparse
import asyncio
import json
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mockware import ASGIMockMiddleware, WSGIMockMiddleware, bodies
from mockware.messages import HOP_BY_HOP, NOT_ON_HTTP_2

KEY = "open sesame"
MAX_BUFFERED_BYTES = 256  # small, so that bodies lie on both sides of it
MAX_DRAINED_BYTES = 2048
PATIENCE_S = 30  # a request that takes longer hangs

RULES = r"""
never = ["/healthz", "/metrics/{rest:path}"]

[[rules]]
name = "reports"
match = "POST /reports"

[[rules]]
name = "item"
match = "GET,PUT /items/{id:int}"
status = 200
json = { id = 7, "é" = [1.5, true] }
headers = { Set-Cookie = ["a=1", "b=2"], X-N = 7 }

[[rules]]
name = "conditions"
tags = ["one"]
match = "/when"
status = 409
[rules.when]
host = { regex = "^(api|mock)\\.test" }
query = { a = ["1", "2"], b = { present = true } }
headers = { x-tenant = { regex = "^acme-[0-9]+$" }, x-mode = { not = ["live", "prod"] } }
cookies = { session = { contains = "a" } }

[[rules]]
name = "json"
match = "POST,PUT /json"
when = { json = { a = 1, b = [1, { c = "x" }], d = { e = true } } }

[[rules]]
name = "json2"
match = "/json"
when = { json = { a = 2 }, headers = { x-tenant = { present = true } } }
status = 422
text = "é"

[[rules]]
name = "perhaps"
match = "/perhaps"
probability = 0.5
status = 503

[[rules]]
name = "late"
match = "/late"
status = 504
delay = { min = "0.000001ms", max = "0.001ms" }

[[rules]]
name = "slow"
match = "/slow/{rest:path}"
passthrough = true
delay = "0.001ms"

[[rules]]
name = "past"
match = "/past"
expires = 2001-01-01T00:00:00Z

[[rules]]
name = "connection"
match = "/connection"
status = 426
headers = { Connection = "close", Keep-Alive = "a", TE = "a" }

[[rules]]
name = "health"
match = "/legacy/health"
passthrough = true

[[rules]]
match = "/legacy/{rest:path}"
status = 410

[[rules]]
name = "float"
match = "/{tenant}/r{x:float}"
status = 204

[[rules]]
name = "uuid"
match = "/f/{id:uuid}-i.json"
status = 304

[[rules]]
name = "inner"
match = "/x{a}-{b}y/{rest:path}/end"
status = 205

[[rules]]
name = "options"
match = "OPTIONS /{any}/options"
status = 200

[[rules]]
name = "utf8"
match = "/café/{x}"
status = 206

[[rules]]
name = "echo"
match = "/echo/{x}"
template = true
headers = { x-echo = "{{ request.path_params.x }}{{ request.query.a | default('') }}" }
json = [
    "{{ request.path_params.x }}", "{{ request.query | default(none) }}", "{{ request.cookies }}",
    "{{ request.headers['X-Mode'] | default(none) }}", "{{ request.json | default(none) }}",
    "{% if request.method == 'GET' %}{{ request.path }}{% endif %}",
]

[[rules]]
name = "page"
match = "/page/{rest:path}"
template = true
headers = { content-type = "text/html" }
text = "<p title='{{ request.path_params.rest }}'>{{ request.query.a | default('') | upper }}"

[[rules]]
name = "lucky"
match = "/lucky"
probability = { value = 0.5, per = "query:a" }

[[rules]]
name = "root"
match = "HEAD,DELETE /"
status = 401
"""

_TRIGGER = '[trigger]\nmax_delay = "0.01ms"\n'
# By name: what stands behind the rules, and the environment.
_SETUPS = {
    "open": (_TRIGGER, {"MOCKWARE_SERVICE": "shop"}),
    "keyed": (_TRIGGER, {"MOCKWARE_SERVICE": "shop", "MOCKWARE_KEY": KEY}),
    "limited": (_TRIGGER + 'statuses = [202, 503]\npaths = ["/", "/items"]\nstatus_header = "X-Ask"\n', {}),
    "quiet": ("[trigger]\nenabled = false\n", {}),
}

# ---- making requests

# fmt: off
_METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "BREW", "", "G T", "\xff", "M" * 300]
_PATHS = [
    "/reports", "/items/1", "/items/x", "/when", "/json", "/perhaps", "/late", "/slow/a", "/past", "/", "",
    "/connection", "/legacy/health", "/legacy/x/y", "/t/r1.5", "/t/r", "/xa-by/c/end", "/x-y//end",
    "/a/options", "/café/1", "/healthz", "/metrics/a", "*", "//", "/../reports", "http://mock.test/reports",
    "/echo/a", "/echo/é", "/page/<b>", "/page/'", "/lucky", "/echo/a%0d%0aSet-Cookie:b",
    "/reports/", "/f/0d5e3ad8-6f4e-4a6e-9d0e-0123456789ab-i.json", "/free",
]
_STATUSES = [
    "202", "503", "599", "200", "204", "304", "407", "passthrough", "200:0.9,503:0.1", "passthrough:1,503:0",
    " 202\t", "202,", "+202", "2_02", "199", "600", "202:", "202:0", "0:1", ":", ",", "", "2\xb2", "202:nan",
    "202:1e9", "202:999999999.999999999", "202:-1", "passthrough:", "PASSTHROUGH", "202;q=1", "2 0 2", "0202",
    "202," * 300, "9" * 3000, "202:" + "0" * 1000,
]
_NAMES = [
    "reports", "item", "json", "past", "perhaps", "late", "slow", "health", "itme", "", " item ", "a" * 3000,
    "/legacy/{rest:path}",
]
_DELAYS = [
    "0s", "0ms", "0.001ms", "0.01ms", "5", "1s", "1m", "0.02ms", "-1ms", "1e-3ms", ".1ms", "ms", "",
    "9" * 400,
]
_BAGGAGE = [
    "mock.shop=503", "a=1,mock.shop=202;p=1", "mock.shop = %35%30%33 ;x", "mock.shop=", "mock.shop", "=,;=,",
    "mock.cart=503", "mock.shop=%FF", "mock.shop=503,mock.shop=x", "a=" + "b" * 9000 + ",mock.shop=503",
    "mock.shop=passthrough",
]
_COOKIES = [
    'session="a b"', "session=a; theme=1", "session", ";=;,", "a=b" * 500, 'session="\\141"', "=a",
    "session=\xff",
]
_QUERIES = [
    "", "a=1&b", "a=2&a=3&b=%FF", "%61=1;b=2&b=", "&&&=&", "a=%", "a[]=1&b", "+=+", "é=\xff", "a=1&" * 200,
]
_BODIES = [
    b"", b"{}", b'{"a": 1, "b": [1, {"c": "x", "n": null}], "d": {"e": true}}', b'{"a": 2}', b'{"a": true}',
    b"null", b'{"a":', b"\xff\xfe", b'"' + b"x" * 300 + b'"', b"[" * 200, b'{"a":' * 40 + b"1" + b"}" * 40,
    b"1e999", b"-", b"9" * 5000, b'{"a": 1, "a": 2}', '{"a": 2}'.encode("utf-16"), b"\xef\xbb\xbf{}",
    b"x" * 255, b"x" * 256, b"x" * 257,
]
_LENGTHS = ["0", "1", "5", "300", "100000", "-1", "+5", "5.0", "", " ", "five", "\xb2", "9" * 30, "00"]
_HEADERS = (
    ("x-mock-name", _NAMES, 0.15),
    ("x-mock-delay", _DELAYS, 0.1),
    ("x-mock-key", [KEY, KEY.upper(), "", "\xff", "k" * 5000], 0.3),
    ("baggage", _BAGGAGE, 0.15),
    ("cookie", _COOKIES, 0.15),
    ("host", ["mock.test", "API.test:80", "", ":", "[::1]:80", "mock.test:x", "\xff"], 0.5),
    ("x-tenant", ["acme-1", "acme-", "acme-" + "1" * 2000, "acme-1\n"], 0.2),
    ("x-mode", ["live", "x"], 0.1),
    ("expect", ["100-continue", "100-Continue ", "200-ok", ""], 0.1),
    ("access-control-request-method", ["PUT", ""], 0.1),
    ("content-type", ["application/json", "", "a"], 0.2),
    ("x_mock_status", ["503"], 0.02),
    ("transfer-encoding", ["chunked"], 0.05),
    ("", ["no name"], 0.02),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request. `length` is what it says of its body; None: the truth.

    `leaves_at` is the event at which the client is gone; `waits` makes every event one to wait for.
    """

    number: int
    setup: str
    kind: str
    version: str
    method: str
    mount: str
    path: bytes
    query: str
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[bytes, ...]
    length: str | None
    leaves_at: int | None
    waits: bool
    terminated: bool
    denial: bool

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def is_comparable(self) -> bool:
        """Whether both interfaces have to give the same answer."""
        names = [name for name, _ in self.headers]
        return (
            self.kind == "http"
            and self.length is None
            and self.leaves_at is None
            and (self.path.startswith(b"/") or not self.mount)  # else the mount is no prefix
            and bool(self.mount or self.path)  # an empty path is `/` on WSGI alone
            and names.count("cookie") < 2  # joined in different ways
            and not any("_" in name for name in names)  # one with `-` on WSGI; servers drop them
        )


class Maker:
    """Makes request number `number` of a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = random.Random()

    def make(self, number: int) -> Hostile:
        rng = self._random
        rng.seed(self._seed << 40 | number)
        chance = rng.random
        pick = rng.choice
        body = pick(_BODIES) if chance() < 0.5 else b""
        if body and chance() < 0.3:
            body = self._mutated(body.decode("latin-1")).encode("latin-1")
        cuts = sorted(rng.randint(0, len(body)) for _ in range(pick((0, 0, 0, 1, 2, 5))))
        chunks = tuple(body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True))
        return Hostile(
            number=number,
            setup=pick(("open", "open", "open", "keyed", "limited", "quiet")),
            kind="websocket" if chance() < 0.1 else "http",
            version=pick(("1.1", "1.1", "1.1", "1.0", "2", "3")),
            method=pick(_METHODS) if chance() < 0.6 else pick(("GET", "POST", "HEAD")),
            mount=pick(("", "", "", "", "/api", "/é", "/api/")),
            path=self._path(),
            query=self._maybe_mutated(pick(_QUERIES)) if chance() < 0.4 else "",
            headers=tuple(self._headers()),
            chunks=chunks,
            length=pick(_LENGTHS) if chance() < 0.1 else None,
            leaves_at=rng.randint(0, len(chunks)) if chance() < 0.05 else None,
            waits=chance() < 0.2,
            terminated=chance() < 0.2,
            denial=chance() < 0.5,
        )

    def _path(self) -> bytes:
        rng = self._random
        path = rng.choice(_PATHS).encode()
        if rng.random() < 0.3:
            path = self._mutated(path.decode("latin-1")).encode("latin-1")
        if rng.random() < 0.1:
            path += rng.choice((b"/" * 500, rng.randbytes(50), b"\0", b"\n", b"a" * 5000, b"/%2e%2e/"))
        return path

    def _headers(self) -> Iterator[tuple[str, str]]:
        rng = self._random
        chance = rng.random
        if chance() < 0.4:
            name = rng.choice(("x-mock-status", "x-mock-status", "x-ask"))
            for _ in range(rng.choice((1, 1, 1, 2, 5))):
                yield name, self._maybe_mutated(rng.choice(_STATUSES))
        for name, values, probability in _HEADERS:
            if chance() < probability:
                for _ in range(2 if chance() < 0.1 else 1):
                    yield name, self._maybe_mutated(rng.choice(values))
        if chance() < 0.1:
            yield rng.randbytes(5).decode("latin-1").lower(), rng.randbytes(20).decode("latin-1")
        if chance() < 0.02:
            yield from ((f"x-{i}", "v" * 100) for i in range(200))

    def _maybe_mutated(self, text: str) -> str:
        return self._mutated(text) if self._random.random() < 0.15 else text

    def _mutated(self, text: str) -> str:
        """The same with one to three characters inserted, replaced or lost."""
        rng = self._random
        for _ in range(rng.randint(1, 3)):
            at = rng.randint(0, len(text))
            text = text[:at] + rng.choice((chr(rng.randrange(256)), "")) + text[at + rng.randint(0, 1) :]
        return text


# ---- driving


class Broken(Exception):
    """A promise that one request broke."""


def require(holds: object, promise: str) -> None:
    if not holds:
        raise Broken(promise)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: `app`, `mock`, `refusal`, `closed` (a websocket) or `gone` (the client)."""

    kind: str
    status: int = 0
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    read: bytes = b""

    def comparable(self) -> "Outcome":
        kept = tuple(sorted((name, value) for name, value in self.fields if name not in HOP_BY_HOP))
        return Outcome(self.kind, self.status, kept, self.body, self.read)


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")
_STATUS_LINE = re.compile(r"[2-5][0-9]{2} [\x20-\x7e]+")


def judge(status: int, fields: list[tuple[str, str]], body: bytes, *, head: bool) -> Outcome:
    """The outcome that a mock is, if it is a valid response."""
    require(200 <= status <= 599, f"a status from 200 to 599, not {status}")
    for name, value in fields:
        require(_TOKEN.fullmatch(name), f"a field's name, not {name!r}")
        require(_VALUE.fullmatch(value), f"a field's value, not {value!r}")
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    require(len(values.get("x-mock-rule", ())) == 1, "one X-Mock-Rule")
    require(values.get("cache-control") == ["no-store"], "Cache-Control: no-store")
    if status in (204, 304):
        require("content-length" not in values and not body, f"neither length nor body on a {status}")
    else:
        require(len(values.get("content-length", ())) == 1, "one Content-Length")
        length = int(values["content-length"][0])
        require(len(body) == (0 if head else length), f"{length} bytes, not {len(body)}")
    refused = status == 400 and b"problem+json" in ",".join(values["content-type"]).encode()
    if refused and not head:
        require(json.loads(body)["status"] == 400, "problem details")
        require(len(body) < 2000, "a refusal that is short")
    return Outcome("refusal" if refused else "mock", status, tuple(fields), body)


class Pair:
    """The two adapters with one configuration, in front of apps that say what reached them."""

    def __init__(self, rules: Path, environ: dict[str, str]) -> None:
        how: dict[str, Any] = {"rules": rules, "enabled": True, "environ": environ}
        self.asgi: Any = ASGIMockMiddleware(self._asgi_app, **how)
        self.wsgi: Any = WSGIMockMiddleware(self._wsgi_app, **how)
        self._reached: list[Any] = []

    async def over_asgi(self, sent: Hostile) -> Outcome:
        server = _Server(sent)
        scope = _scope(sent)
        self._reached = []
        await self.asgi(scope, server.receive, server.send)
        if self._reached:
            reached, read = self._reached
            require(reached is scope, "the very same scope for the app")
            require(not server.sent, "nothing sent to a request that the app has")
            if sent.kind == "http" and sent.leaves_at is None:
                require(read == sent.body, "the whole body for the app")
            return Outcome("app", read=read)
        if not server.sent:
            require(sent.leaves_at is not None, "an answer for a client that is there")
            return Outcome("gone")
        prefix = "websocket." if sent.kind == "websocket" else ""
        if server.sent[0]["type"] == "websocket.close":
            require(prefix and not sent.denial and len(server.sent) == 1, "denial where the server can")
            require(server.sent[0]["code"] == 1008 and len(server.sent[0]["reason"]) <= 123, "1008")
            return Outcome("closed")
        require(
            [message["type"] for message in server.sent]
            == [prefix + "http.response.start", prefix + "http.response.body"],
            f"a start and a body, not {server.sent}",
        )
        start, body = server.sent
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in start["headers"]]
        if sent.version >= "2":
            require(NOT_ON_HTTP_2.isdisjoint(name for name, _ in fields), "no field of a connection")
        return judge(start["status"], fields, body["body"], head=sent.method == "HEAD" and not prefix)

    def over_wsgi(self, sent: Hostile) -> Outcome:
        environ = _environ(sent)
        stream = environ["wsgi.input"]
        started: list[tuple[str, list[tuple[str, str]]]] = []
        self._reached = []
        chunks = self.wsgi(environ, lambda status, fields: started.append((status, fields)))
        if self._reached:
            reached, read = self._reached
            require(reached is environ, "the very same environ for the app")
            require(not started, "nothing started for a request that the app has")
            if sent.length is None:
                require(read == sent.body, "the whole body for the app")
            return Outcome("app", read=read)
        require(len(started) == 1, "one start")
        status, fields = started[0]
        require(_STATUS_LINE.fullmatch(status), f"a status line, not {status!r}")
        for name, _ in fields:
            require(name.lower() not in HOP_BY_HOP, f"no {name} on WSGI")
        if sent.length is None:
            require(stream.left == 0 or len(sent.body) > MAX_DRAINED_BYTES, "a body that is drained")
        lowered = [(name.lower(), value) for name, value in fields]
        return judge(int(status[:3]), lowered, b"".join(chunks), head=sent.method == "HEAD")

    async def _asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        if scope["type"] == "http":
            more = True
            while more:
                event = await receive()
                body += event.get("body", b"")
                more = event.get("more_body", False)
        self._reached = [scope, body]

    def _wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH", "")
        if environ["wsgi.input_terminated"]:
            body = b"".join(iter(lambda: stream.read(100), b""))
        else:
            body = stream.read(int(length)) if re.fullmatch("[0-9]{1,9}", length) else b""
        self._reached = [environ, body]
        return []


class _Server:
    """The ASGI server's side of a request. Behind the last event the client stays, and says nothing."""

    def __init__(self, sent: Hostile) -> None:
        self._sent = sent
        self._next = 0
        self.sent: list[Any] = []

    async def receive(self) -> Any:
        sent, at = self._sent, self._next
        self._next += 1
        if sent.waits:
            await asyncio.sleep(0)
        if at == sent.leaves_at:
            return {"type": f"{sent.kind}.disconnect"}
        if sent.kind == "websocket":
            if at == 0:
                return {"type": "websocket.connect"}
        elif at < len(sent.chunks):
            return {"type": "http.request", "body": sent.chunks[at], "more_body": at + 1 < len(sent.chunks)}
        return await asyncio.get_running_loop().create_future()

    async def send(self, message: Any) -> None:
        self.sent.append(message)


class _Stream:
    """The WSGI server's input; to read past what it declares waits for ever, which here is an error."""

    def __init__(self, body: bytes, readable: int, *, ends: bool) -> None:
        self._body = body
        self._readable = readable
        self._ends = ends
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def read(self, size: int) -> bytes:
        require(size > 0 or self._readable == 0, "reads of a size")
        require(self._ends or self._at + size <= self._readable, "no read past the declared length")
        piece = self._body[self._at : self._at + size]
        self._at += len(piece)
        return piece


def _scope(sent: Hostile) -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": sent.kind,
        "asgi": {"version": "3.0"},
        "http_version": sent.version,
        "path": sent.mount + sent.path.decode("utf-8", "replace"),
        "query_string": sent.query.encode("latin-1"),
        "root_path": sent.mount,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.headers],
        "extensions": {"websocket.http.response": {}} if sent.denial else None,
    }
    if sent.kind == "http":
        scope["method"] = sent.method
    return scope


def _environ(sent: Hostile) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": sent.method,
        "SCRIPT_NAME": sent.mount.encode().decode("latin-1"),
        "PATH_INFO": sent.path.decode("latin-1"),
        "QUERY_STRING": sent.query,
        "wsgi.input_terminated": sent.terminated,
    }
    for name, value in sent.headers:
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    length = str(len(sent.body)) if sent.length is None else sent.length
    if length or sent.number % 2:
        environ["CONTENT_LENGTH"] = length
    readable = int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
    environ["wsgi.input"] = _Stream(sent.body, readable, ends=sent.terminated or len(sent.body) < readable)
    return environ


# ---- running


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. `failure` says what is wrong with which request, or is empty."""

    counts: Counter[str]
    requests: int
    seconds: float
    failure: str = ""


@contextmanager
def _setups() -> Iterator[dict[str, Pair]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(bodies, "MAX_BUFFERED_BYTES", MAX_BUFFERED_BYTES),
        patch.object(bodies, "MAX_DRAINED_BYTES", MAX_DRAINED_BYTES),
        patch("time.sleep"),  # a nanosecond takes a thread much longer
    ):
        pairs = {}
        for name, (more, environ) in _SETUPS.items():
            path = Path(folder, f"{name}.toml")
            path.write_text(RULES + more, "utf-8")
            pairs[name] = Pair(path, environ)
        yield pairs


def run(requests: int, seed: int, first: int = 0, *, told: Callable[[str], object] | None = None) -> Report:
    """Runs requests number `first` and on, up to the first failure. `told` is called now and then."""
    with _setups() as pairs:
        return asyncio.run(_run(pairs, requests, seed, first, told))


async def _run(
    pairs: dict[str, Pair], requests: int, seed: int, first: int, told: Callable[[str], object] | None
) -> Report:
    maker, counts, began = Maker(seed), Counter[str](), time.perf_counter()
    number = first
    watchdog = asyncio.create_task(_watch(lambda: number, asyncio.current_task()))
    try:
        for number in range(first, first + requests):
            sent = maker.make(number)
            try:
                await _try(pairs[sent.setup], sent, counts)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any of them is a finding
                what = "it hangs" if isinstance(error, asyncio.CancelledError) else repr(error)
                again = f"python -m tests.fuzz --seed {seed} --first {number} --requests 1"
                failure = f"{what}\nrequest: {_shortened(sent)}\nagain: {again}"
                return Report(counts, number - first, time.perf_counter() - began, failure)
            if told is not None and (number - first + 1) % 100_000 == 0:
                told(f"{number - first + 1:,}")
    finally:
        watchdog.cancel()
    return Report(counts, requests, time.perf_counter() - began)


def _shortened(sent: Hostile) -> str:
    return re.sub(r"(.{60}).{200,}?(?=['\"])", r"\1...", repr(sent))


async def _watch(number: Callable[[], int], runner: Any) -> None:
    """Cancels the runner once it has been at the same request for long."""
    before = -1
    while number() != before:
        before = number()
        await asyncio.sleep(PATIENCE_S)
    runner.cancel()


async def _try(pair: Pair, sent: Hostile, counts: Counter[str]) -> None:
    random.seed(sent.number)  # `probability` and weights fall alike on both sides
    over_asgi = await pair.over_asgi(sent)
    counts[f"{sent.kind} {over_asgi.kind}"] += 1
    if sent.kind == "websocket":
        return
    random.seed(sent.number)
    over_wsgi = pair.over_wsgi(sent)
    counts[f"wsgi {over_wsgi.kind}"] += 1
    if sent.is_comparable:
        counts["compared"] += 1
        left, right = over_asgi.comparable(), over_wsgi.comparable()
        require(left == right, f"the same on both sides:\n ASGI {left}\n WSGI {right}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="how many; 1000000 if absent")
    parser.add_argument("--seed", type=int, help="repeats a run; another each time if absent")
    parser.add_argument("--first", type=int, default=0, help="the number of the first request")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1 << 32) if given.seed is None else given.seed
    logging.getLogger("mockware").setLevel(logging.ERROR)
    print(f"seed {seed}", flush=True)
    report = run(given.requests, seed, given.first, told=lambda line: print(line, flush=True))
    rate = report.requests / report.seconds if report.seconds else 0
    print(f"{report.requests:,} requests in {report.seconds:.1f} s: {rate:,.0f} a second, both adapters")
    for kind, count in sorted(report.counts.items()):
        print(f"{count:>12,} {kind}")
    if report.failure:
        print(f"FAILED: {report.failure}", file=sys.stderr)
    return 1 if report.failure else 0


if __name__ == "__main__":
    sys.exit(main())
