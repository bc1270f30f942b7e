"""The requests that tell every example's app from its mocks, with the answers, and how they are sent.

What belongs here: what is true of all apps of `examples` with the one rules file beside them, whatever their
language and whatever stands between. What never does: how an app or a server is started.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets import Subprotocol
from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 60  # for a server on a busy machine; nothing waits this long unless it has failed


@dataclass(frozen=True)
class Answer:
    """What a response must show; `rule` is None where no mock may have answered."""

    status: int
    body: bytes | None = None
    json: Any = None
    rule: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    at_least_s: float = 0.0


@dataclass(frozen=True)
class Row:
    """One request, what answers it while mockware is on, and what while it is off."""

    name: str
    request: str
    on: Answer
    off: Answer
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    pieces: int = 0  # send the content chunked, in so many bytes a piece

    def __str__(self) -> str:
        return self.name


def passes_through(
    name: str, request: str, answer: Answer, headers: Mapping[str, str] | None = None, **request_parts: Any
) -> Row:
    return Row(name, request, on=answer, off=answer, headers=headers or {}, **request_parts)


def uploaded(content: bytes) -> Answer:
    return Answer(200, json={"received": len(content), "sha256": hashlib.sha256(content).hexdigest()})


HELLO = Answer(200, json={"hello": "world"})
ABSENT = Answer(404)
CREATED = Answer(201, json={"created": 13})
PROBLEM = {"content-type": "application/problem+json"}
PAYMENTS_DOWN = Answer(
    503,
    json={"error": "down for the demo"},
    rule="payments-down",
    headers={"retry-after": "30", "content-type": "application/json", "content-length": "30"},
    at_least_s=0.2,
)

MIB = bytes(range(256)) * 4096
FREE = {"plan": "free", "owner": {"country": "DE", "name": "Ada"}, "files": [1, 2]}
FREE_PLAN = json.dumps(FREE).encode()
PAID_PLAN = (
    b' \r\n{"plan"\t:  "pa\\u0069d",\n "owner": {"country": "DE"}, "name": "\xc3\x9cber", "plan2": 1e400 } \n'
)
LONG_FREE_PLAN = FREE_PLAN + b" " * (1024 * 1024 - len(FREE_PLAN) + 1)
AS_JSON = {"content-type": "application/json"}

TABLE = [
    passes_through("an unmatched request gets the app's JSON", "GET /hello", HELLO),
    passes_through("an unknown path gets the app's 404", "GET /nowhere", ABSENT),
    Row(
        "a match alone gives the canonical 202",
        "POST /reports",
        content=b"third quarter",
        on=Answer(
            202,
            body=b'{"status": "accepted", "task_id": "abc-123"}',
            rule="POST /reports",
            headers={"content-type": "application/json", "content-length": "44", "cache-control": "no-store"},
        ),
        off=CREATED,
    ),
    passes_through(
        "the passthrough trigger skips every rule",
        "POST /reports",
        CREATED,
        headers={"x-mock-status": "passthrough"},
        content=b"third quarter",
    ),
    Row(
        "a trigger asks for its own status",
        "GET /hello",
        headers={"x-mock-status": "503"},
        on=Answer(503, rule="trigger", headers={**PROBLEM, "vary": "X-Mock-Status"}),
        off=HELLO,
    ),
    *(
        Row(
            f"the malformed trigger {value!r} gets a 400 that quotes it",
            "GET /hello",
            headers={"x-mock-status": value},
            on=Answer(400, rule="trigger", headers=PROBLEM, json=re.compile(re.escape(value))),
            off=HELLO,
        )
        for value in ["2_02", "+202", "20", "2022", "600", "banana", "200:x", "202, ,", "202 503"]
    ),
    Row(
        "a rule answers by its name where it does not match",
        "GET /hello",
        headers={"x-mock-name": "payments-down"},
        on=PAYMENTS_DOWN,
        off=HELLO,
    ),
    Row(
        "an unknown rule name gets a 400 with the nearest",
        "GET /hello",
        headers={"x-mock-name": "paymants-down"},
        on=Answer(400, rule="trigger", headers=PROBLEM, json=re.compile("payments-down")),
        off=HELLO,
    ),
    Row(
        "a delay alone slows the app down",
        "GET /hello",
        headers={"x-mock-delay": "150ms"},
        on=Answer(200, json={"hello": "world"}, at_least_s=0.15),
        off=HELLO,
    ),
    Row("a path template matches, with a delay", "GET /payments/7", on=PAYMENTS_DOWN, off=ABSENT),
    Row("a template with two methods matches both", "POST /payments/7", on=PAYMENTS_DOWN, off=ABSENT),
    Row(
        "a GET rule answers HEAD without a body",
        "HEAD /payments/7",
        on=Answer(503, body=b"", rule="payments-down", headers={"content-length": "30"}),
        off=Answer(404, body=b""),
    ),
    passes_through("a converter that does not fit leaves the path to the app", "GET /payments/seven", ABSENT),
    Row(
        "a condition on query and header matches",
        "GET /hello?x=1&exp%61nd=full",
        headers={"x-tenant": "acme-berlin"},
        on=Answer(200, json={"hello": "acme", "expanded": True}, rule="acme-in-full"),
        off=HELLO,
    ),
    passes_through(
        "a condition misses without its query", "GET /hello", HELLO, headers={"x-tenant": "acme-berlin"}
    ),
    passes_through("a condition misses without its header", "GET /hello?expand=full", HELLO),
    passes_through(
        "a condition misses another tenant",
        "GET /hello?expand=full",
        HELLO,
        headers={"x-tenant": "not-acme"},
    ),
    Row(
        "a condition on the JSON body matches a part of it",
        "POST /upload",
        headers=AS_JSON,
        content=FREE_PLAN,
        on=Answer(507, body=b"The free plan has no room left.\n", rule="free-plan-is-full"),
        off=uploaded(FREE_PLAN),
    ),
    Row(
        "a condition on the JSON body matches a chunked one",
        "POST /upload",
        headers=AS_JSON,
        content=FREE_PLAN,
        pieces=7,
        on=Answer(507, body=b"The free plan has no room left.\n", rule="free-plan-is-full"),
        off=uploaded(FREE_PLAN),
    ),
    passes_through(
        "a body that misses the condition reaches the app byte for byte",
        "POST /upload",
        uploaded(PAID_PLAN),
        headers=AS_JSON,
        content=PAID_PLAN,
    ),
    passes_through(
        "a chunked body that misses the condition reaches the app byte for byte",
        "POST /upload",
        uploaded(PAID_PLAN),
        headers=AS_JSON,
        content=PAID_PLAN,
        pieces=5,
    ),
    passes_through(
        "a body that is no JSON reaches the app byte for byte",
        "POST /upload",
        uploaded(b'{"plan": "free"'),
        headers=AS_JSON,
        content=b'{"plan": "free"',
    ),
    passes_through("an empty body reaches the app", "POST /upload", uploaded(b"")),
    passes_through("one MiB reaches the app", "POST /upload", uploaded(MIB), content=MIB),
    passes_through(
        "one MiB in chunks reaches the app", "POST /upload", uploaded(MIB), content=MIB, pieces=65_521
    ),
    passes_through(
        "a matching body longer than one MiB is not waited for and reaches the app",
        "POST /upload",
        uploaded(LONG_FREE_PLAN),
        headers=AS_JSON,
        content=LONG_FREE_PLAN,
    ),
    passes_through(
        "five MiB in chunks reach the app",
        "POST /upload",
        uploaded(MIB * 5),
        headers=AS_JSON,
        content=MIB * 5,
        pieces=300_000,
    ),
    passes_through(
        "a stream reaches the client",
        "GET /stream",
        Answer(200, body=b"".join(b"line %d\n" % number for number in range(5))),
    ),
    Row(
        "a mocked request's body of one MiB is read and dropped",
        "POST /reports",
        content=MIB,
        on=Answer(202, body=b'{"status": "accepted", "task_id": "abc-123"}', rule="POST /reports"),
        off=Answer(201, json={"created": len(MIB)}),
    ),
    Row(
        "a catch-all rule refuses what no earlier rule excepts",
        "DELETE /hello",
        on=Answer(403, json={"error": "the demo is read-only"}, rule="read-only"),
        off=Answer(405),
    ),
    passes_through(
        "no trigger touches a path listed as never",
        "GET /healthz",
        Answer(200, body=b"ok"),
        headers={"x-mock-status": "503", "x-mock-name": "payments-down"},
    ),
]


def response_to(row: Row, client: httpx.Client) -> httpx.Response:
    method, path = row.request.split(" ")
    content: bytes | Iterator[bytes] = row.content
    if row.pieces:
        content = (row.content[at : at + row.pieces] for at in range(0, len(row.content), row.pieces))
    return client.request(method, path, headers=dict(row.headers), content=content)


def check(response: httpx.Response, expected: Answer) -> None:
    assert response.status_code == expected.status, response.text
    assert response.headers.get("x-mock-rule") == expected.rule
    for name, value in expected.headers.items():
        assert response.headers[name] == value
    if expected.rule:
        assert response.headers["cache-control"] == "no-store"
    if expected.rule and response.request.method != "HEAD":
        assert response.headers["content-length"] == str(len(response.content))
    if expected.body is not None:
        assert response.content == expected.body
    if isinstance(expected.json, re.Pattern):
        assert any(expected.json.search(str(value)) for value in response.json().values()), response.text
    elif expected.json is not None:
        assert response.json() == expected.json
    assert response.elapsed.total_seconds() >= expected.at_least_s


def websocket_to(
    client: httpx.Client, *, subprotocols: Sequence[str] = (), **headers: str
) -> ClientConnection:
    return connect(
        str(client.base_url.join("/ws")).replace("http", "ws", 1),
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        proxy=None,
        open_timeout=PATIENCE_S,
        additional_headers=headers,
    )


def check_echo(websocket: ClientConnection) -> None:
    for message in ["hello", "", "ü" * 100_000]:
        websocket.send(message)
        assert websocket.recv(timeout=PATIENCE_S) == message
