"""One table of requests through both adapters: each gives what is expected, and both give the same.

The WSGI side stands under `wsgiref.validate` twice, around the middleware and around the wrapped app.
What the two may differ in is `HOP_BY_HOP`, and that a websocket is ASGI's alone.
"""

import hashlib
import json
import logging
import time
import wsgiref.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from tests.by_hand import (
    Answer,
    Environ,
    Receive,
    Scope,
    Send,
    Sent,
    Wire,
    handshake_of,
    over_asgi,
    over_wsgi,
    run,
)

from mockware import ASGIMockMiddleware, ConfigError, Rule, WSGIMockMiddleware
from mockware.messages import HOP_BY_HOP, NOT_ON_HTTP_2
from mockware.statuses import CATALOGUE, status_for
from mockware.tokens import MAX_LIFETIME_S, TokenKey
from mockware.tokens import Scope as TokenScope

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'

RULES = r"""
never = ["/healthz", "/metrics/{rest:path}"]

[[rules]]
name  = "reports"
match = "POST /reports"

[[rules]]
name  = "first"
match = "GET /order/{which}"
status = 410
when  = { query = { first = "yes" } }

[[rules]]
name  = "exact"
match = "GET /order/exact"
status = 404

[[rules]]
name  = "second"
match = "GET /order/{which}"
status = 409

[[rules]]
name  = "item"
match = "GET,PUT /items/{id:int}"
status = 200
json  = { id = 7, "ключ" = ["é", true, 1.5] }

[[rules]]
name  = "any"
match = "/any"
status = 204

[[rules]]
name  = "options"
match = "OPTIONS /options"
status = 200

[[rules]]
name  = "fields"
match = "/fields"
status = 200
text  = "héllo\n"
headers = { Set-Cookie = ["a=1; Path=/", "b=2"], X-Number = 7, X-Latin = "café", Cache-Control = "max-age=1" }

[[rules]]
name  = "file"
match = "/file"
status = 200
file  = "page.html"

[[rules]]
name  = "connection"
match = "/connection"
status = 407
headers = { Connection = "close", Keep-Alive = "timeout=5", TE = "trailers", Upgrade = "h2c", X-Kept = "yes" }

[[rules]]
name  = "empty"
match = "/empty"
status = 200
text  = ""

[[rules]]
name  = "utf8"
match = "/café/{name}"
status = 418

[[rules]]
name  = "rest"
match = "/bytes/{rest:path}"
status = 451

[[rules]]
name  = "slash"
match = "/a/b"
status = 412

[[rules]]
match = "GET /sans nom/é"
status = 423

[[rules]]
name  = "root"
match = "/"
status = 421

[[rules]]
name  = "past"
match = "/past"
expires = 2001-01-01T00:00:00Z

[[rules]]
name  = "future"
match = "/future"
expires = 2999-01-01T00:00:00+02:00

[[rules]]
name  = "seldom"
match = "/seldom"
probability = 0.0

[[rules]]
name  = "surely"
match = "/surely"
probability = 1.0

[[rules]]
name  = "host"
match = "/when/host"
when  = { host = "api.test" }

[[rules]]
name  = "query"
match = "/when/query"
when  = { query = { expand = "full text", page = ["1", "2"] } }

[[rules]]
name  = "headers"
match = "/when/headers"
when  = { headers = { X-Tenant = { regex = "^acme-[0-9]+$" }, Accept = { contains = "json" } } }

[[rules]]
name  = "absent"
match = "/when/absent"
when  = { headers = { authorization = { present = false }, x-mode = { not = ["live", "prod"] } } }

[[rules]]
name  = "cookies"
match = "/when/cookies"
when  = { cookies = { session = "a b", theme = { present = true } } }

[[rules]]
name  = "type"
match = "/when/type"
when  = { headers = { content-type = { present = false } } }

[[rules]]
name  = "json"
match = "POST /when/json"
when  = { json = { kind = "pdf", pages = [1, { n = 2 }], deep = { ok = true } } }

[[rules]]
name  = "anyjson"
match = "POST /when/json"
when  = { json = { kind = "txt" }, headers = { x-second = "1" } }
status = 503

[[rules]]
name  = "own-cors"
match = "/own-cors"
status = 200
headers = { Access-Control-Allow-Origin = "https://b.test" }

[[rules]]
name  = "legacy-health"
match = "/legacy/health"
passthrough = true

[[rules]]
name  = "legacy"
match = "/legacy/{rest:path}"
status = 410
"""

SETUPS: dict[str, tuple[str, Mapping[str, str]]] = {
    "plain": ("", {"MOCKWARE_SERVICE": "shop"}),
    "keyed": ("", {"MOCKWARE_KEY": "sesame", "MOCKWARE_SERVICE": "shop"}),
    "limited": (
        '[trigger]\nstatuses = [200, 503]\npaths = ["/open/"]\nmax_delay = "10ms"\nstatus_header = "X-Ask"\n',
        {},
    ),
    "triggerless": ("[trigger]\nenabled = false\n", {}),
    "browsers": (
        """
        [trigger]
        query = "mock"
        cookie = "mock"
        [cors]
        origins = ["https://app.test", "https://*.preview.test:8443", "http://[::1]:3000"]
        credentials = true
        exposed_headers = ["Location"]
        max_age = "10m"
        """,
        {"MOCKWARE_SERVICE": "shop"},
    ),
    "public": ('[cors]\norigins = ["*"]\nprivate_network = true\n', {}),
    "mocks only": ('[trigger]\nenabled = false\n[cors]\norigins = ["https://app.test"]\n', {}),
    "keyed browsers": (
        """
        [trigger]
        query = "mock"
        cookie = "mock"
        paths = ["/free"]
        [cors]
        origins = ["https://app.test"]
        """,
        {"MOCKWARE_KEY": "sesame"},
    ),
}


@dataclass(frozen=True)
class Mock:
    """The mock that is expected: its status, the rule that gave it, its body, some of its fields.

    A body of None is the default one of the status; `quotes` must stand in a problem's detail.
    """

    status: int
    rule: str
    body: bytes | None = None
    fields: Mapping[str, list[str]] = field(default_factory=dict)
    quotes: str = ""


@dataclass(frozen=True)
class Reached:
    """The app is expected to see this path, mount and body."""

    path: str
    mount: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Row:
    says: str
    sent: Sent
    expected: Mock | Reached
    setup: str = "plain"


# Of the key of "keyed", for as long as a token may be.
TOKEN, EXPIRED = (
    TokenKey("sesame").sign(TokenScope(paths=("/free/*",), statuses=(503,), expires_at=int(expires_at)))
    for expires_at in (time.time() + MAX_LIFETIME_S, 1)
)


def showing(token: str, status: str, target: str) -> Sent:
    return Sent("GET", target, headers=[("X-Mock-Status", status), ("X-Mock-Key", token)])


def refused(reason: str) -> Mock:
    return Mock(403, "trigger", quotes=reason)


def get(target: str, **more: Any) -> Sent:
    return Sent("GET", target, **more)


def post(target: str, *body: bytes, **more: Any) -> Sent:
    return Sent("POST", target, body=body, **more)


def asked(value: str, target: str = "/", **more: Any) -> Sent:
    return Sent("GET", target, headers=[("X-Mock-Status", value)], **more)


def carrying(*headers: tuple[str, str], target: str = "/free") -> Sent:
    return Sent("GET", target, headers=headers)


def refusing(says: str, sent: Sent, quotes: str, setup: str = "plain") -> Row:
    return Row(says, sent, Mock(400, "trigger", quotes=quotes), setup)


JSON = {"content-type": ["application/json"]}
VARY = {"vary": ["X-Mock-Status"]}
WANTED = b'{"kind": "pdf", "pages": [1, {"n": 2, "m": 3}], "deep": {"ok": true, "more": null}, "extra": []}'

APP = ("Origin", "https://app.test")
NO_CORS: dict[str, list[str]] = {
    "access-control-allow-origin": [],
    "access-control-allow-credentials": [],
    "access-control-expose-headers": [],
}
READABLE = {
    "access-control-allow-origin": ["https://app.test"],
    "access-control-allow-credentials": ["true"],
    "access-control-expose-headers": ["X-Mock-Rule, Location"],
    "vary": ["Origin"],
}
TRIGGERED = {**READABLE, "vary": ["Origin", "X-Mock-Status, Cookie"]}


def from_app(method: str, target: str, *headers: tuple[str, str], **more: Any) -> Sent:
    return Sent(method, target, headers=[APP, *headers], **more)


def leave(target: str, method: str, names: str = "", *headers: tuple[str, str], **more: Any) -> Sent:
    """A preflight of a page of https://app.test, or of the origin among `headers`."""
    fields = [("Access-Control-Request-Method", method), *headers]
    fields += [("Access-Control-Request-Headers", names)] if names else []
    fields += [] if any(name == "Origin" for name, _ in headers) else [APP]
    return Sent("OPTIONS", target, headers=fields, **more)


def left(method: str, names: str = "", *, max_age: str = "600") -> Mock:
    fields = {
        "access-control-allow-origin": ["https://app.test"],
        "access-control-allow-credentials": ["true"],
        "access-control-allow-methods": [method],
        "access-control-allow-headers": [names] if names else [],
        "access-control-max-age": [max_age],
        "access-control-allow-private-network": [],
        "vary": ["Origin"],
    }
    return Mock(204, "cors", b"", fields)


ROWS = [
    # matching: method and path
    Row("the canonical 202", post("/reports"), Mock(202, "reports", CANONICAL, JSON)),
    Row("a body makes no difference", post("/reports", b"x" * 9), Mock(202, "reports", CANONICAL)),
    Row("a body in pieces is no different", post("/reports", b"ab", b"", b"c"), Mock(202, "reports")),
    Row("a query makes no difference", post("/reports", query="a=1&a=2"), Mock(202, "reports")),
    Row("another method reaches the app", get("/reports"), Reached("/reports")),
    Row("a slash at the end is another path", post("/reports/"), Reached("/reports/")),
    Row("two slashes are another path", post("//reports"), Reached("//reports")),
    Row("a method in lower case is another one", Sent("post", "/reports"), Reached("/reports")),
    Row("an unknown method reaches the app", Sent("BREW", "/reports"), Reached("/reports")),
    Row("a longer path reaches the app", get("/items/1/2"), Reached("/items/1/2")),
    Row("a converter holds", get("/items/12"), Mock(200, "item", None)),
    Row("a converter refuses", get("/items/x2"), Reached("/items/x2")),
    Row("the second of two methods matches", Sent("PUT", "/items/1"), Mock(200, "item")),
    Row("GET answers HEAD", Sent("HEAD", "/items/12"), Mock(200, "item", b"")),
    Row("POST does not answer HEAD", Sent("HEAD", "/reports"), Reached("/reports")),
    Row("no method means GET", get("/any"), Mock(204, "any", b"", {"content-length": []})),
    Row("no method means DELETE", Sent("DELETE", "/any"), Mock(204, "any")),
    Row("no method means any at all", Sent("BREW", "/any"), Mock(204, "any")),
    Row("no method means HEAD", Sent("HEAD", "/any"), Mock(204, "any")),
    Row("no method means OPTIONS", Sent("OPTIONS", "/any"), Mock(204, "any")),
    Row("file order decides", get("/order/x", query="first=yes"), Mock(410, "first")),
    Row(
        "an exact path yields to a template above", get("/order/exact", query="first=yes"), Mock(410, "first")
    ),
    Row("an exact path wins over a template below", get("/order/exact"), Mock(404, "exact")),
    Row("what the first refuses the second takes", get("/order/x"), Mock(409, "second")),
    Row("a passthrough rule is an exception", get("/legacy/health"), Reached("/legacy/health")),
    Row("beside the exception the rule holds", get("/legacy/health/x"), Mock(410, "legacy")),
    Row("an expired rule does not match", get("/past"), Reached("/past")),
    Row("a rule that ends later matches", get("/future"), Mock(202, "future")),
    Row("a probability of 0 never answers", get("/seldom"), Reached("/seldom")),
    Row("a probability of 1 always answers", get("/surely"), Mock(202, "surely")),
    # paths as bytes
    Row("UTF-8 in a path", get("/caf%C3%A9/x"), Mock(418, "utf8")),
    Row("Latin-1 in a path is malformed", get("/caf%E9/x"), Reached("/caf\ufffd/x")),
    Row("malformed bytes fit a parameter", get("/caf%C3%A9/%FF"), Mock(418, "utf8")),
    Row("malformed bytes fit the rest of a path", get("/bytes/%FF/%C3"), Mock(451, "rest")),
    Row("an overlong code reaches the app", get("/%C0%AFreports"), Reached("/\ufffd\ufffdreports")),
    Row("a NUL fits a parameter", get("/caf%C3%A9/%00"), Mock(418, "utf8")),
    Row("a newline fits a parameter", get("/caf%C3%A9/%0A"), Mock(418, "utf8")),
    Row("a newline at the end is no match", post("/reports%0A"), Reached("/reports\n")),
    Row("a newline does not fit `path`", get("/bytes/%0A"), Reached("/bytes/\n")),
    Row("an encoded slash is a slash", get("/a%2Fb"), Mock(412, "slash")),
    Row("an encoded letter is the letter", post("/%72eports"), Mock(202, "reports")),
    Row("an encoded percent sign stays one", get("/a%252Fb"), Reached("/a%2Fb")),
    Row("a rule without a name", get("/sans%20nom/%C3%A9"), Mock(423, "GET /sans nom/%C3%A9")),
    # mounts
    Row("a mount is taken off", post("/api/reports", mount="/api"), Mock(202, "reports")),
    Row("a mount of two segments", post("/api/v1/reports", mount="/api/v1"), Mock(202, "reports")),
    Row("the mount itself is the root", get("/api", mount="/api"), Mock(421, "root")),
    Row("the mount with a slash is the root", get("/api/", mount="/api"), Mock(421, "root")),
    Row("a mount beyond ASCII", post("/%C3%A9/reports", mount="/é"), Mock(202, "reports")),
    Row("behind a mount the app is reached", get("/api/x", mount="/api"), Reached("/x", "/api")),
    Row("a mount does not match", get("/legacy/x", mount="/legacy"), Reached("/x", "/legacy")),
    Row(
        "never holds behind a mount", asked("503", "/api/healthz", mount="/api"), Reached("/healthz", "/api")
    ),
    # what a reply carries
    Row(
        "JSON beyond ASCII",
        get("/items/1"),
        Mock(
            200,
            "item",
            rb'{"id": 7, "\u043a\u043b\u044e\u0447": ["\u00e9", true, 1.5]}',
            {"content-type": ["application/json"], "content-length": ["60"]},
        ),
    ),
    Row(
        "text and repeated fields",
        get("/fields"),
        Mock(
            200,
            "fields",
            "héllo\n".encode(),
            {
                "set-cookie": ["a=1; Path=/", "b=2"],
                "x-number": ["7"],
                "x-latin": ["café"],
                "cache-control": ["max-age=1"],
                "content-type": ["text/plain; charset=utf-8"],
                "content-length": ["7"],
            },
        ),
    ),
    Row(
        "HEAD of text",
        Sent("HEAD", "/fields"),
        Mock(200, "fields", b"", {"content-length": ["7"], "cache-control": ["max-age=1"]}),
    ),
    Row("a file", get("/file"), Mock(200, "file", b"<p>\xc3\xa9", {"content-type": ["text/html"]})),
    Row("empty text", get("/empty"), Mock(200, "empty", b"", {"content-length": ["0"]})),
    Row("fields of the connection", get("/connection"), Mock(407, "connection", None, {"x-kept": ["yes"]})),
    # conditions
    Row("another host", get("/when/host"), Reached("/when/host")),
    Row("both of a query", get("/when/query", query="page=2&expand=full+text"), Mock(202, "query")),
    Row("an encoded query", get("/when/query", query="%70age=%31&expand=full%20text"), Mock(202, "query")),
    Row(
        "any value of a query", get("/when/query", query="page=9&page=1&expand=full+text"), Mock(202, "query")
    ),
    Row("half of a query", get("/when/query", query="page=1"), Reached("/when/query")),
    Row(
        "a query of raw bytes", get("/when/query", query="é=\xff&page=1&expand=full text"), Mock(202, "query")
    ),
    Row(
        "conditions on headers",
        carrying(("X-Tenant", "acme-42"), ("Accept", "text/html, application/json"), target="/when/headers"),
        Mock(202, "headers"),
    ),
    Row(
        "a repeated header counts as joined",
        carrying(
            ("X-Tenant", "acme-42"), ("Accept", "text/html"), ("Accept", "a/json"), target="/when/headers"
        ),
        Mock(202, "headers"),
    ),
    Row(
        "a repeated header is no longer the one",
        carrying(("X-Tenant", "acme-4"), ("X-Tenant", "acme-2"), ("Accept", "json"), target="/when/headers"),
        Reached("/when/headers"),
    ),
    Row(
        "a value too long for an expression",
        carrying(("X-Tenant", "acme-" + "1" * 1100), ("Accept", "json"), target="/when/headers"),
        Reached("/when/headers"),
    ),
    Row("absent headers", get("/when/absent"), Mock(202, "absent")),
    Row(
        "a header that is none of two", carrying(("X-Mode", "x"), target="/when/absent"), Mock(202, "absent")
    ),
    Row("one of two", carrying(("X-Mode", "prod"), target="/when/absent"), Reached("/when/absent")),
    Row("present", carrying(("Authorization", ""), target="/when/absent"), Reached("/when/absent")),
    Row("no Content-Type", get("/when/type"), Mock(202, "type")),
    Row("a Content-Type", carrying(("Content-Type", "a/b"), target="/when/type"), Reached("/when/type")),
    Row(
        "cookies",
        carrying(("Cookie", 'x=1; session="a b"; theme='), target="/when/cookies"),
        Mock(202, "cookies"),
    ),
    Row(
        "half of the cookies",
        carrying(("Cookie", "theme=1"), target="/when/cookies"),
        Reached("/when/cookies"),
    ),
    Row(
        "malformed cookies",
        carrying(("Cookie", ";=;,\xff"), target="/when/cookies"),
        Reached("/when/cookies"),
    ),
    Row("a deep subset of JSON", post("/when/json", WANTED), Mock(202, "json", CANONICAL)),
    Row("the same in pieces", post("/when/json", WANTED[:9], b"", WANTED[9:]), Mock(202, "json")),
    Row("other JSON", post("/when/json", b'{"kind": 1}'), Reached("/when/json", body=b'{"kind": 1}')),
    Row(
        "true is not 1",
        post("/when/json", WANTED.replace(b"true", b"1")),
        Reached("/when/json", body=WANTED.replace(b"true", b"1")),
    ),
    Row("no JSON", post("/when/json", b"kind=", b"pdf"), Reached("/when/json", body=b"kind=pdf")),
    Row("a JSON scalar", post("/when/json", b"null"), Reached("/when/json", body=b"null")),
    Row("no UTF-8", post("/when/json", b'{"kind": "\xff"}'), Reached("/when/json", body=b'{"kind": "\xff"}')),
    Row("no body", post("/when/json"), Reached("/when/json")),
    Row(
        "the second rule with a body",
        Sent("POST", "/when/json", headers=[("X-Second", "1")], body=[b'{"kind":', b' "txt"}']),
        Mock(503, "anyjson"),
    ),
    # triggers
    Row("a trigger", asked("503", "/free"), Mock(503, "trigger", fields=VARY)),
    Row("a trigger with blanks", asked(" \t503 ", "/free"), Mock(503, "trigger")),
    Row("a trigger for 202", asked("202", "/free"), Mock(202, "trigger", CANONICAL, {**JSON, **VARY})),
    Row(
        "a trigger on HEAD",
        Sent("HEAD", "/free", headers=[("X-Mock-Status", "404")]),
        Mock(404, "trigger", b""),
    ),
    Row(
        "a trigger with a body",
        Sent("PUT", "/x", headers=[("x-mock-status", "409")], body=[b"ab", b"c"]),
        Mock(409, "trigger"),
    ),
    Row("a trigger wins over a rule", asked("404", "/any"), Mock(404, "trigger")),
    Row("passthrough skips every rule", asked("passthrough", "/any"), Reached("/any")),
    Row("weights of nothing", asked("503:0, passthrough:1.0", "/any"), Reached("/any")),
    Row("weights of all", asked("503:2,passthrough:0", "/free"), Mock(503, "trigger")),
    Row("a list of one status", asked("503, 503,503:3", "/free"), Mock(503, "trigger")),
    Row(
        "a repeated trigger is a list",
        carrying(("X-Mock-Status", "503:0"), ("X-Mock-Status", "404:1")),
        Mock(404, "trigger"),
    ),
    Row("a status that nobody has registered", asked("299", "/free"), Mock(299, "trigger", fields=VARY)),
    Row("a rule by its name", carrying(("X-Mock-Name", "item")), Mock(200, "item", fields={"vary": []})),
    Row("a rule by its name with blanks", carrying(("X-Mock-Name", " item ")), Mock(200, "item")),
    Row(
        "a rule's name on HEAD", Sent("HEAD", "/x", headers=[("X-Mock-Name", "item")]), Mock(200, "item", b"")
    ),
    Row("a rule with a condition by its name", carrying(("X-Mock-Name", "json")), Mock(202, "json")),
    Row("a seldom rule by its name", carrying(("X-Mock-Name", "seldom")), Mock(202, "seldom")),
    Row(
        "an exception by its name", carrying(("X-Mock-Name", "legacy-health"), target="/any"), Reached("/any")
    ),
    Row(
        "a status wins over a name",
        carrying(("X-Mock-Name", "item"), ("X-Mock-Status", "404")),
        Mock(404, "trigger"),
    ),
    Row(
        "a name wins over baggage",
        carrying(("X-Mock-Name", "item"), ("baggage", "mock.shop=500")),
        Mock(200, "item"),
    ),
    Row(
        "baggage wins over a rule",
        carrying(("baggage", "a=1, mock.shop=500;p=1"), target="/any"),
        Mock(500, "trigger"),
    ),
    Row("encoded baggage", carrying(("baggage", "mock.shop = %35%30%33 ;x")), Mock(503, "trigger")),
    Row("repeated baggage", carrying(("baggage", "a=1"), ("baggage", "mock.shop=503")), Mock(503, "trigger")),
    Row("foreign baggage", carrying(("baggage", "mock.cart=503,;=,=,mock.shopp=1")), Reached("/free")),
    Row("a delay of nothing", carrying(("X-Mock-Delay", "0s"), target="/any"), Mock(204, "any")),
    Row("a delay of nothing for the app", carrying(("X-Mock-Delay", "0ms")), Reached("/free")),
    Row(
        "never beats a rule by its name",
        carrying(("X-Mock-Name", "item"), target="/healthz"),
        Reached("/healthz"),
    ),
    Row("never beats a status", asked("503", "/metrics/a/b"), Reached("/metrics/a/b")),
    Row("never beats a malformed trigger", asked("x", "/healthz"), Reached("/healthz")),
    Row("behind never", asked("503", "/healthz/"), Mock(503, "trigger")),
    # malformed triggers
    refusing("a sign", asked("+202", "/free"), "'+202'"),
    refusing("two digits", asked("20"), "'20'"),
    refusing("four digits", asked("2020"), "'2020'"),
    refusing("a digit that is none", asked("2\xb32"), r"'2\xb32'"),
    refusing("nothing", asked("", "/free"), "''"),
    refusing("a status below 200", asked("199", "/any"), "'199'"),
    refusing("a status above 599", asked("600"), "'600'"),
    refusing("an empty item", asked("202,"), "'202,'"),
    refusing("no weight", asked("202:"), "'202:'"),
    refusing("a negative weight", asked("202:-1"), "'202:-1'"),
    refusing("weights of nothing at all", asked("202:0,503:0"), "'202:0,503:0'"),
    refusing("not a number", asked("202:nan"), "'202:nan'"),
    refusing("case matters", asked("Passthrough"), "'Passthrough'"),
    refusing("a megabyte", asked("2" * 1_000_000), "'" + "2" * 60),
    refusing("markup", asked("<script>\x80"), r"'<script>\x80'"),
    refusing("a wrong trigger on HEAD", Sent("HEAD", "/", headers=[("X-Mock-Status", "x")]), "'x'"),
    refusing("a rule that is not there", carrying(("X-Mock-Name", "itme")), "did you mean `item`"),
    refusing("two names", carrying(("X-Mock-Name", "item"), ("X-Mock-Name", "any")), "'item,any'"),
    refusing("no name", carrying(("X-Mock-Name", "")), "''"),
    refusing("a rule that has expired", carrying(("X-Mock-Name", "past")), "expired"),
    refusing("a bare number", carrying(("X-Mock-Delay", "5")), "'5'"),
    refusing("a delay that is too long", carrying(("X-Mock-Delay", "31s")), "30s"),
    refusing(
        "a bad delay beside a good status", carrying(("X-Mock-Delay", "x"), ("X-Mock-Status", "202")), "'x'"
    ),
    refusing("malformed baggage of ours", carrying(("baggage", "mock.shop=%FF")), r"'\ufffd'"),
    refusing("empty baggage of ours", carrying(("baggage", "mock.shop=")), "''"),
    # preflights
    Row(
        "a preflight is the app's own",
        Sent("OPTIONS", "/any", headers=[("Access-Control-Request-Method", "PUT")]),
        Reached("/any"),
    ),
    Row(
        "unless a rule lists OPTIONS",
        Sent("OPTIONS", "/options", headers=[("Access-Control-Request-Method", "PUT")]),
        Mock(200, "options"),
    ),
    Row("GET does not answer OPTIONS", Sent("OPTIONS", "/items/1"), Reached("/items/1")),
    # pages of other origins
    Row(
        "a listed origin may read",
        from_app("POST", "/reports"),
        Mock(202, "reports", None, READABLE),
        "browsers",
    ),
    Row("so may HEAD", from_app("HEAD", "/items/1"), Mock(200, "item", b"", READABLE), "browsers"),
    Row(
        "a listed name below another",
        carrying(("Origin", "https://a.b.preview.test:8443"), target="/any"),
        Mock(
            204, "any", None, {**READABLE, "access-control-allow-origin": ["https://a.b.preview.test:8443"]}
        ),
        "browsers",
    ),
    *(
        Row(
            f"not listed: {origin[:40]!r}",
            carrying(("Origin", origin), target="/any"),
            Mock(204, "any", None, {**NO_CORS, "vary": ["Origin"]}),
            "browsers",
        )
        for origin in (
            *(
                "null",
                "",
                "*",
                "http://app.test",
                "https://app.test:8443",
                "https://APP.test",
                "https://app.test/",
            ),
            *("https://preview.test:8443", "https://.preview.test:8443", "https://x.preview.test"),
            *(
                "https://x@y.preview.test:8443",
                "https://evil.test#.preview.test:8443",
                "https://app.test.evil.test",
            ),
            *("https://evil.test/.preview.test:8443", "https://app.test,https://app.test"),
            *(f"https://{'a' * 7000}.preview.test:8443", "https://\xe9.preview.test:8443"),
        )
    ),
    Row("no origin", get("/any"), Mock(204, "any", None, {**NO_CORS, "vary": ["Origin"]}), "browsers"),
    Row(
        "a trigger of a listed origin",
        from_app("GET", "/free", ("X-Mock-Status", "503")),
        Mock(503, "trigger", None, TRIGGERED),
        "browsers",
    ),
    Row(
        "a refusal of a trigger may be read",
        from_app("GET", "/free", ("X-Mock-Status", "x")),
        Mock(400, "trigger", None, TRIGGERED, quotes="'x'"),
        "browsers",
    ),
    Row("the app's own CORS is in charge", from_app("GET", "/free"), Reached("/free"), "browsers"),
    Row(
        "a rule that speaks for itself",
        from_app("GET", "/own-cors"),
        Mock(
            200, "own-cors", None, {**NO_CORS, "access-control-allow-origin": ["https://b.test"], "vary": []}
        ),
        "browsers",
    ),
    Row(
        "anybody may read",
        carrying(("Origin", "null"), target="/any"),
        Mock(
            204,
            "any",
            None,
            {
                "access-control-allow-origin": ["*"],
                "access-control-allow-credentials": [],
                "access-control-expose-headers": ["X-Mock-Rule"],
                "vary": [],
            },
        ),
        "public",
    ),
    Row(
        "it is said to everybody",
        get("/any"),
        Mock(204, "any", None, {"access-control-allow-origin": ["*"], "vary": []}),
        "public",
    ),
    # the preflights of their requests
    Row("a preflight of a mocked path", leave("/any", "PUT"), left("PUT"), "browsers"),
    Row(
        "with headers", leave("/any", "PUT", "content-type,x-a"), left("PUT", "content-type, x-a"), "browsers"
    ),
    Row("blanks", leave("/any", "PUT", " X-A ,\tx-b,,"), left("PUT", "x-a, x-b"), "browsers"),
    Row("a method that is not mocked", leave("/reports", "DELETE"), Reached("/reports"), "browsers"),
    Row("an expired rule", leave("/past", "PUT"), Reached("/past"), "browsers"),
    Row("a rule that never answers", leave("/seldom", "PUT"), Reached("/seldom"), "browsers"),
    Row("a passthrough rule", leave("/legacy/health", "PUT"), Reached("/legacy/health"), "browsers"),
    Row("beside it", leave("/legacy/x", "PUT"), left("PUT"), "browsers"),
    Row("`never`", leave("/healthz", "GET", "x-mock-status"), Reached("/healthz"), "browsers"),
    Row(
        "a query that differs",
        leave("/when/query", "PUT", query="page=1"),
        Reached("/when/query"),
        "browsers",
    ),
    Row(
        "a query that does not",
        leave("/when/query", "PUT", query="page=1&expand=full+text"),
        left("PUT"),
        "browsers",
    ),
    Row("a host that differs", leave("/when/host", "PUT"), Reached("/when/host"), "browsers"),
    Row(
        "headers that are to come",
        leave("/when/headers", "PUT", "x-tenant"),
        left("PUT", "x-tenant"),
        "browsers",
    ),
    Row(
        "a body that is to come",
        leave("/when/json", "POST", "content-type"),
        left("POST", "content-type"),
        "browsers",
    ),
    Row(
        "a rule that lists OPTIONS",
        leave("/options", "PUT"),
        Mock(200, "options", None, READABLE),
        "browsers",
    ),
    Row(
        "a trigger is asked for",
        leave("/free", "PUT", "x-a,x-mock-status"),
        left("PUT", "x-a, x-mock-status", max_age="0"),
        "browsers",
    ),
    Row(
        "a name is asked for",
        leave("/free", "GET", "X-Mock-Name"),
        left("GET", "x-mock-name", max_age="0"),
        "browsers",
    ),
    Row("none is asked for", leave("/free", "PUT", "x-a"), Reached("/free"), "browsers"),
    Row("baggage is no trigger of ours only", leave("/free", "PUT", "baggage"), Reached("/free"), "browsers"),
    Row(
        "another origin asks for a trigger",
        leave("/free", "PUT", "x-mock-status", ("Origin", "https://evil.test")),
        Reached("/free"),
        "browsers",
    ),
    Row(
        "another origin asks on a mocked path",
        leave("/any", "PUT", "", ("Origin", "https://evil.test")),
        Reached("/any"),
        "browsers",
    ),
    Row("triggers are off", leave("/free", "PUT", "x-mock-status"), Reached("/free"), "mocks only"),
    Row("names that are none", leave("/any", "PUT", "x-a,b c"), Reached("/any"), "browsers"),
    Row("names beyond ASCII", leave("/any", "PUT", "x-\xe9"), Reached("/any"), "browsers"),
    Row("a method that is none", leave("/any", "P UT"), Reached("/any"), "browsers"),
    Row("a long method", leave("/any", "P" * 65), Reached("/any"), "browsers"),
    Row(
        "too many names",
        leave("/any", "PUT", ",".join(f"x-{n}" for n in range(101))),
        Reached("/any"),
        "browsers",
    ),
    Row("too long names", leave("/any", "PUT", "x" * 4097), Reached("/any"), "browsers"),
    Row(
        "a private network",
        leave("/any", "PUT", "", ("Access-Control-Request-Private-Network", "true")),
        left("PUT"),
        "browsers",
    ),
    Row(
        "a private network that may be asked",
        leave("/any", "PUT", "authorization", ("Access-Control-Request-Private-Network", "true")),
        Mock(
            204,
            "cors",
            b"",
            {
                "access-control-allow-origin": ["*"],
                "access-control-allow-headers": ["authorization"],
                "access-control-allow-private-network": ["true"],
                "access-control-max-age": [],
            },
        ),
        "public",
    ),
    Row(
        "no browser",
        Sent("OPTIONS", "/any", headers=[("Access-Control-Request-Method", "PUT")]),
        Reached("/any"),
        "public",
    ),
    # a query and a cookie
    Row("a query asks", get("/free", query="a=1&mock=503"), Mock(503, "trigger"), "browsers"),
    Row("on a rule's path", get("/any", query="mock=503"), Mock(503, "trigger"), "browsers"),
    Row("an encoded query asks", get("/free", query="%6Dock=50%33"), Mock(503, "trigger"), "browsers"),
    Row(
        "a repeated parameter is a list",
        get("/free", query="mock=503:0&mock=404"),
        Mock(404, "trigger"),
        "browsers",
    ),
    Row("another parameter does not", get("/free", query="mocks=503"), Reached("/free"), "browsers"),
    Row("nor where it is off", get("/free", query="mock=503"), Reached("/free")),
    Row("behind a mount", get("/api/free", query="mock=503", mount="/api"), Mock(503, "trigger"), "browsers"),
    Row("beyond ASCII", get("/%C3%A9", query="mock=503"), Mock(503, "trigger"), "browsers"),
    Row("never", get("/healthz", query="mock=503"), Reached("/healthz"), "browsers"),
    refusing(
        "a bad query", get("/free", query="mock=%0D%0AX:y"), r"query parameter mock: '\r\nX:y'", "browsers"
    ),
    Row("a query passes", get("/any", query="mock=passthrough"), Reached("/any"), "browsers"),
    Row(
        "a link on another site",
        Sent("GET", "/free", query="mock=503", headers=[("Sec-Fetch-Site", "cross-site")]),
        Reached("/free"),
        "browsers",
    ),
    Row(
        "a form on another site",
        Sent(
            "POST", "/free", "mock=503", [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.test")]
        ),
        Reached("/free"),
        "browsers",
    ),
    Row(
        "a script on a listed site",
        Sent("POST", "/free", "mock=503", [("Sec-Fetch-Site", "cross-site"), APP]),
        Mock(503, "trigger", None, TRIGGERED),
        "browsers",
    ),
    Row(
        "what is typed",
        Sent("GET", "/free", "mock=503", [("Sec-Fetch-Site", "none")]),
        Mock(503, "trigger"),
        "browsers",
    ),
    Row("its preflight", leave("/free", "PUT", query="mock=503"), left("PUT", max_age="0"), "browsers"),
    Row(
        "its preflight from elsewhere",
        leave("/free", "PUT", "", ("Origin", "https://evil.test"), query="mock=503"),
        Reached("/free"),
        "browsers",
    ),
    Row("a cookie asks", carrying(("Cookie", "a=1; mock=503")), Mock(503, "trigger"), "browsers"),
    Row(
        "an encoded cookie asks",
        carrying(("Cookie", "mock=503%3A1%2C404%3A0")),
        Mock(503, "trigger"),
        "browsers",
    ),
    Row(
        "a cookie on a rule's path",
        carrying(("Cookie", "mock=503"), target="/any"),
        Mock(503, "trigger"),
        "browsers",
    ),
    Row("another cookie does not", carrying(("Cookie", "mocks=503")), Reached("/free"), "browsers"),
    Row("nor where cookies are off", carrying(("Cookie", "mock=503")), Reached("/free")),
    refusing("a bad cookie", carrying(("Cookie", "mock=%00")), r"cookie mock: '\x00'", "browsers"),
    Row(
        "a cookie delays nothing",
        carrying(("Cookie", "mock=passthrough"), target="/any"),
        Reached("/any"),
        "browsers",
    ),
    Row(
        "a field before the query",
        Sent("GET", "/free", "mock=404", [("X-Mock-Status", "503"), ("Cookie", "mock=410")]),
        Mock(503, "trigger"),
        "browsers",
    ),
    Row(
        "a name before the query",
        Sent("GET", "/free", "mock=404", [("X-Mock-Name", "slash")]),
        Mock(412, "slash"),
        "browsers",
    ),
    Row(
        "a query before baggage",
        Sent("GET", "/free", "mock=404", [("baggage", "mock.shop=503")]),
        Mock(404, "trigger"),
        "browsers",
    ),
    Row(
        "baggage before a cookie",
        carrying(("baggage", "mock.shop=503"), ("Cookie", "mock=410")),
        Mock(503, "trigger"),
        "browsers",
    ),
    Row("a query without the key", get("/free", query="mock=503"), Reached("/free"), "keyed browsers"),
    Row("a cookie without the key", carrying(("Cookie", "mock=503")), Reached("/free"), "keyed browsers"),
    Row(
        "a key in the query is none",
        get("/free", query="mock=503&X-Mock-Key=sesame&key=sesame"),
        Reached("/free"),
        "keyed browsers",
    ),
    Row(
        "a query with the key",
        Sent("GET", "/free", "mock=503", [("X-Mock-Key", "sesame")]),
        Mock(503, "trigger"),
        "keyed browsers",
    ),
    Row(
        "a cookie with the key",
        carrying(("Cookie", "mock=503"), ("X-Mock-Key", "sesame")),
        Mock(503, "trigger"),
        "keyed browsers",
    ),
    Row(
        "a preflight of a query alone",
        leave("/free", "PUT", query="mock=503"),
        Reached("/free"),
        "keyed browsers",
    ),
    Row(
        "a preflight that asks for the key",
        leave("/free", "PUT", "x-mock-key", query="mock=503"),
        Mock(
            204,
            "cors",
            None,
            {"access-control-allow-headers": ["x-mock-key"], "access-control-max-age": ["0"]},
        ),
        "keyed browsers",
    ),
    Row(
        "a preflight outside of the paths",
        leave("/other", "PUT", "x-mock-status"),
        Reached("/other"),
        "keyed browsers",
    ),
    # a key
    Row("no key", asked("503", "/free"), Reached("/free"), "keyed"),
    Row("no key on a rule's path", asked("503", "/any"), Mock(204, "any"), "keyed"),
    Row("a wrong key", carrying(("X-Mock-Status", "x"), ("X-Mock-Key", "Sesame")), Reached("/free"), "keyed"),
    Row(
        "a key beyond Latin-1's ASCII",
        carrying(("X-Mock-Status", "503"), ("X-Mock-Key", "\xff")),
        Reached("/free"),
        "keyed",
    ),
    Row(
        "the key", carrying(("X-Mock-Status", "503"), ("X-Mock-Key", "sesame")), Mock(503, "trigger"), "keyed"
    ),
    refusing(
        "the key opens refusals too",
        carrying(("X-Mock-Status", "x"), ("X-Mock-Key", "sesame")),
        "'x'",
        "keyed",
    ),
    Row("a token", showing(TOKEN, "503", "/free/1"), Mock(503, "trigger"), "keyed"),
    Row(
        "a token on a rule's path",
        showing(TOKEN, "503", "/any"),
        refused("X-Mock-Key: the token is for"),
        "keyed",
    ),
    Row("a token on a decoded path", showing(TOKEN, "503", "/free/%2e%C3%A9"), Mock(503, "trigger"), "keyed"),
    Row(
        "a token for another status",
        showing(TOKEN, "404", "/free/1"),
        refused("404: the token allows"),
        "keyed",
    ),
    Row("an expired token", showing(EXPIRED, "503", "/free/1"), refused("the token has expired"), "keyed"),
    Row("a forged token", showing(TOKEN[:-1] + "~", "503", "/free/1"), Reached("/free/1"), "keyed"),
    Row(
        "a token in baggage",
        Sent("GET", "/free/1", headers=[("baggage", f"mock.shop=503;key={TOKEN}")]),
        Mock(503, "trigger"),
        "keyed",
    ),
    Row(
        "a token in baggage as OpenTelemetry carries it",
        Sent("GET", "/free/1", headers=[("baggage", f"mock.shop=503%3Bkey%3D{TOKEN}")]),
        Mock(503, "trigger"),
        "keyed",
    ),
    Row(
        "an expired token in baggage",
        Sent("GET", "/free/1", headers=[("baggage", f"mock.shop=503;key={EXPIRED}")]),
        refused("baggage mock.shop: the token has expired"),
        "keyed",
    ),
    Row(
        "baggage has no key",
        carrying(("baggage", "mock.shop=503"), ("X-Mock-Key", "sesame")),
        Reached("/free"),
        "keyed",
    ),
    # [trigger]
    Row("the usual name is not heeded", asked("503", "/open/x"), Reached("/open/x"), "limited"),
    Row(
        "another name is",
        carrying(("X-Ask", "503"), target="/open/x"),
        Mock(503, "trigger", fields={"vary": ["X-Ask"]}),
        "limited",
    ),
    Row("not on another path", carrying(("X-Ask", "503"), target="/open"), Reached("/open"), "limited"),
    refusing("not another status", carrying(("X-Ask", "503,404"), target="/open/"), "200, 503", "limited"),
    refusing("not a longer delay", carrying(("X-Mock-Delay", "11ms"), target="/open/"), "0.01s", "limited"),
    Row("triggers are off", asked("503", "/free"), Reached("/free"), "triggerless"),
    Row("rules are not", carrying(("X-Mock-Name", "item"), target="/any"), Mock(204, "any"), "triggerless"),
]


def told(method: str, path: str, mount: str, query: str, body: bytes) -> bytes:
    """What the app says that it saw."""
    seen = {"method": method, "path": path, "mount": mount, "query": query}
    return json.dumps({**seen, "body": hashlib.sha256(body).hexdigest()}).encode()


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        body += event["body"]
        more = event["more_body"]
    path = scope["path"].removeprefix(scope["root_path"])
    content = told(scope["method"], path, scope["root_path"], scope["query_string"].decode("latin-1"), body)
    headers = [(b"content-type", b"application/json"), (b"x-app", b"reached")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def wsgi_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    mount = environ["SCRIPT_NAME"].encode("latin-1").decode()
    content = told(environ["REQUEST_METHOD"], path, mount, environ["QUERY_STRING"], body)
    start_response("200 OK", [("Content-Type", "application/json"), ("X-App", "reached")])
    return [content]


@dataclass(frozen=True)
class Both:
    """The two adapters in front of apps that say what they saw, with the same configuration."""

    asgi: Any
    wsgi: Any

    @classmethod
    def wrapping(cls, rules: Any, environ: Mapping[str, str] | None = None) -> "Both":
        how: dict[str, Any] = {"rules": rules, "enabled": True, "environ": environ or {}}
        return cls(ASGIMockMiddleware(asgi_app, **how), WSGIMockMiddleware(validator(wsgi_app), **how))

    def answers(self, sent: Sent) -> tuple[Answer, Answer]:
        """From ASGI and from WSGI; equal but for what WSGI must leave out."""
        asgi, wsgi = over_asgi(self.asgi, sent), over_wsgi(self.wsgi, sent)
        assert wsgi == asgi.without(HOP_BY_HOP)
        return asgi, wsgi


@pytest.fixture(scope="module")
def setups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Both]:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "page.html").write_bytes("<p>é".encode())

    def written(name: str, text: str) -> Path:
        path = folder / f"{name}.toml"
        path.write_text(RULES + text, "utf-8")
        return path

    return {name: Both.wrapping(written(name, text), environ) for name, (text, environ) in SETUPS.items()}


FOR_PAGES = """
[trigger]
query = "mock"

[cors]
origins = ["https://app.test"]
"""
TIMED = (
    f"server_timing = true\n{FOR_PAGES}"
    r"""
[[rules]]
name = "down"
match = "GET,POST /down"
status = 503

[[rules]]
match = '/a"b\é'
status = 410

[[rules]]
name = "own"
match = "/own"
headers = { server-timing = "db;dur=53, cache", timing-allow-origin = "https://other.test" }

[[rules]]
name = "looked-at"
match = "/looked-at"
status = 409
when = { query = { a = "b" } }

[[rules]]
name = "made"
match = "/made"
text = "{{ request.path }}"
template = true

[[rules]]
name = "in-turn"
match = "/in-turn"
replies = [{ status = 204 }, { status = 304 }]

[[rules]]
name = "same"
match = "/same"
status = 304

[[rules]]
name = "job"
match = "POST /job"
[rules.task]

[[rules]]
name = "changed"
match = "/changed"
patch = { status = 203 }

[[rules]]
name = "replaced"
match = "/replaced"
patch = { headers = { Server-Timing = "app;dur=9" } }

[[rules]]
name = "slow"
match = "/slow"
passthrough = true
delay = "1ms"
"""
)


@pytest.mark.parametrize("cors", [True, False])
@pytest.mark.parametrize(
    ("sent", "status", "timings"),
    [
        (get("/down"), 503, ['mock;desc="down"']),
        (post("/down", b"abc"), 503, ['mock;desc="down"']),
        (Sent("HEAD", "/down"), 503, ['mock;desc="down"']),
        (get("/a%22b%5C%C3%A9"), 410, [r'mock;desc="/a\"b\\%C3%A9"']),
        (get("/own"), 202, ["db;dur=53, cache", 'mock;desc="own"']),
        (get("/looked-at", query="a=b"), 409, ['mock;desc="looked-at"']),
        (get("/made"), 202, ['mock;desc="made"']),
        (get("/in-turn"), 204, ['mock;desc="in-turn"']),
        (get("/same"), 304, ['mock;desc="same"']),
        (carrying(("X-Mock-Status", "418")), 418, ['mock;desc="trigger"']),
        (carrying(("X-Mock-Status", "4")), 400, ['mock;desc="trigger"']),
        (carrying(("X-Mock-Name", "down")), 503, ['mock;desc="down"']),
        (get("/changed"), 203, ["app;dur=1", 'mock;desc="changed"']),
        (get("/replaced"), 200, ["app;dur=9", 'mock;desc="replaced"']),
        (get("/slow"), 200, ["app;dur=1"]),
        (get("/free"), 200, ["app;dur=1"]),
    ],
)
def test_a_mock_is_among_the_timings_of_a_browser_beside_those_of_others(
    cors: bool, sent: Sent, status: int, timings: list[str], tmp_path: Path
) -> None:
    # Most have neither of the two, by which every request is considered.
    text = TIMED if cors else TIMED.replace(FOR_PAGES, "")
    asgi, _ = around_timing_apps(tmp_path, text).answers(sent)
    assert asgi.status == status
    assert asgi.all("server-timing") == sorted(timings)
    assert bool(asgi.all("x-mock-rule")) is any(timing.startswith("mock;") for timing in timings)


def test_a_task_is_among_the_timings_of_a_browser(tmp_path: Path) -> None:
    timed = around_timing_apps(tmp_path, TIMED)
    for answer in (over_asgi(timed.asgi, post("/job")), over_wsgi(timed.wsgi, post("/job"))):
        assert (answer.status, answer.all("server-timing")) == (202, ['mock;desc="job"'])


def test_a_listed_page_may_read_the_timings_of_a_mock(tmp_path: Path) -> None:
    timed_for_pages = around_timing_apps(tmp_path, TIMED)
    for target, allowed in (("/down", [APP[1]]), ("/own", ["https://app.test", "https://other.test"])):
        asgi, _ = timed_for_pages.answers(from_app("GET", target))
        assert asgi.all("timing-allow-origin") == allowed
    asgi, _ = timed_for_pages.answers(get("/down", headers=[("Origin", "https://b.test")]))
    assert asgi.all("timing-allow-origin") == []
    asgi, _ = timed_for_pages.answers(from_app("GET", "/free", query="mock=418"))
    assert asgi.all("server-timing") == ['mock;desc="trigger"']
    asked = [("Access-Control-Request-Method", "GET")]
    asgi, _ = timed_for_pages.answers(from_app("OPTIONS", "/down", *asked))
    assert (asgi.status, asgi.all("server-timing")) == (204, ['mock;desc="cors"'])


async def timing_asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"server-timing", b"app;dur=1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def timing_wsgi_app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Server-Timing", "app;dur=1")])
    return [b""]


def around_timing_apps(folder: Path, text: str) -> Both:
    path = folder / "mocks.toml"
    path.write_text(text, "utf-8")
    how: dict[str, Any] = {"rules": path, "enabled": True, "environ": {}}
    return Both(
        ASGIMockMiddleware(timing_asgi_app, **how), WSGIMockMiddleware(validator(timing_wsgi_app), **how)
    )


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # wsgiref.validate's, of BREW and post
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.says)
def test_both_adapters_give_what_the_table_expects(
    row: Row, setups: dict[str, Both], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mockware")
    method, head = row.sent.method, row.sent.method == "HEAD"
    asgi, _ = setups[row.setup].answers(row.sent)
    # That keys are wrong is told once a minute, of whichever row that is.
    lines = [line for line in caplog.messages if not line.startswith("wrong keys or tokens")]
    expected = row.expected
    if isinstance(expected, Reached):
        assert lines == []
        assert asgi.status == 200
        assert asgi.all("x-app") == ["reached"]
        assert asgi.all("x-mock-rule") == []
        assert asgi.body == told(method, expected.path, expected.mount, row.sent.query, expected.body)
        return
    body = expected.body
    assert asgi.status == expected.status
    assert asgi.one("x-mock-rule") == expected.rule
    assert asgi.all("x-app") == []
    if "cache-control" not in expected.fields:
        assert asgi.one("cache-control") == "no-store"
    for name, values in expected.fields.items():
        assert asgi.all(name) == sorted(values)
    if head:
        assert asgi.body == b""
    elif expected.quotes:
        assert asgi.one("content-type") == "application/problem+json"
        detail = json.loads(asgi.body)["detail"]
        assert expected.quotes in detail
        assert detail.isprintable()
        assert len(asgi.body) < 1000
    elif body is not None:
        assert asgi.body == body
    elif expected.rule in ("trigger", "second", "reports"):
        assert asgi.body == status_for(expected.status).default_body
    assert len(lines) == 2
    assert lines[0] == lines[1], "the two adapters tell of the same mock in different words"
    assert f"{expected.status} by rule" in lines[0]


@pytest.mark.parametrize("status", CATALOGUE)
@pytest.mark.parametrize("by", ["rule", "trigger"])
def test_every_registered_status_is_a_valid_response_on_both_sides(status: int, by: str) -> None:
    both = Both.wrapping([Rule("/mock", name="the-rule", status=status)])
    headers = [("X-Mock-Status", str(status))] if by == "trigger" else []
    sent = Sent("GET", "/free" if by == "trigger" else "/mock", headers=headers, body=[b"abc"])
    known = status_for(status)
    asgi, _ = both.answers(sent)
    assert asgi.status == status
    assert asgi.body == known.default_body
    if status in (204, 304):
        assert asgi.all("content-length") == asgi.all("content-type") == []
    else:
        assert asgi.one("content-length") == str(len(asgi.body))
        assert asgi.one("content-type") == known.default_media_type
    assert asgi.one("x-mock-rule") == ("trigger" if by == "trigger" else "the-rule")
    assert asgi.one("cache-control") == "no-store"
    assert asgi.all("vary") == (["X-Mock-Status"] if by == "trigger" else [])
    for name, value in known.headers:
        assert asgi.all(name.lower()) == [value]

    head, _ = both.answers(Sent("HEAD", sent.target, headers=headers))
    assert head == Answer(asgi.status, asgi.fields, b"")


def test_every_status_that_can_be_asked_for_is_given_by_both_sides() -> None:
    both = Both.wrapping(None)
    for status in range(200, 600):
        asgi, _ = both.answers(asked(str(status)))
        assert asgi.status == status
        assert asgi.one("x-mock-rule") == "trigger"


def test_the_fields_that_wsgi_leaves_out_are_those_that_wsgiref_refuses() -> None:
    assert all(map(wsgiref.util.is_hop_by_hop, HOP_BY_HOP))
    candidates = ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers"]
    assert {*candidates, "upgrade"} == HOP_BY_HOP


def test_each_field_of_the_connection_stands_on_asgi_and_not_on_wsgi() -> None:
    headers = {name.title(): "a" for name in sorted(HOP_BY_HOP)}
    both = Both.wrapping([Rule("/mock", headers=headers)])
    asgi, wsgi = both.answers(get("/mock"))
    for name in HOP_BY_HOP:
        assert asgi.all(name) == ["a"]
        assert wsgi.all(name) == []


@pytest.mark.parametrize("version", ["2", "2.0", "3"])
def test_fields_of_the_connection_are_absent_from_http_2_and_3(version: str) -> None:
    headers = dict.fromkeys(sorted(HOP_BY_HOP), "a")
    both = Both.wrapping([Rule("/mock", headers=headers), Rule("/upgrade", status=426)])
    answer = over_asgi(both.asgi, get("/mock", http_version=version))
    for name in HOP_BY_HOP:
        assert answer.all(name) == ([] if name in NOT_ON_HTTP_2 else ["a"])
    # A 407 is as good on HTTP/2 as before: its field is no connection's.
    assert over_asgi(both.asgi, asked("407", http_version=version)).one("proxy-authenticate")
    upgrade = over_asgi(both.asgi, get("/upgrade", http_version=version))
    assert upgrade.status == 426
    assert upgrade.all("upgrade") == upgrade.all("connection") == []


@pytest.mark.parametrize("name", ["connection", "proxy-connection", "keep-alive", "te", "upgrade"])
def test_no_field_that_makes_an_http_2_message_malformed_is_sent(name: str) -> None:
    # RFC 9113 section 8.2.2 lists these, and Transfer-Encoding, which no rule may set.
    both = Both.wrapping([Rule("/mock", headers={name: "a"})])
    assert over_asgi(both.asgi, get("/mock", http_version="2")).all(name) == []


def test_a_value_that_pep_3333_forbids_does_not_come_out_of_a_rule() -> None:
    # PEP 3333: "must not include any control characters"; the validator looks for them.
    try:
        both = Both.wrapping([Rule("/mock", headers={"X-Columns": "a\tb"})])
    except ConfigError:
        return
    assert over_wsgi(both.wsgi, get("/mock")).status == 202


def test_a_websocket_handshake_is_refused_with_the_mock_that_a_get_would_get(
    setups: dict[str, Both],
) -> None:
    both = setups["plain"]
    requests = [get("/items/1"), get("/fields"), get("/any"), asked("503"), asked("x"), asked("426")]
    for sent in requests:
        wire = Wire([{"type": "websocket.connect"}])
        scope = handshake_of(sent, extensions={"websocket.http.response": {}})
        run(both.asgi(scope, wire.receive, wire.send))
        assert wire.answer == both.answers(sent)[0]


def test_a_host_with_its_port_and_without_matches_on_both_sides() -> None:
    both = Both.wrapping([Rule("/a", when={"host": "mock.test"}), Rule("/b", when={"host": "mock.test:80"})])
    assert both.answers(get("/a"))[0].status == 202
    assert both.answers(get("/b"))[0].status == 200
