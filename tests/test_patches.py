"""The app's response, changed: one table of responses and patches through both interfaces, and more of each.

The WSGI side stands between two `wsgiref.validate`s, in front of an app that may answer in every way that
PEP 3333 allows; on ASGI the very objects are looked at that the server is given.
"""

import asyncio
import contextlib
import gzip
import io
import json
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch as patched_attribute
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import brotli
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from tests.by_hand import (
    Answer,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    Sent,
    Wire,
    answer_of,
    environ_of,
    events_of,
    over_asgi,
    over_wsgi,
    run,
    scope_of,
)

from mockware import asgi_patching, patches, wsgi_patching
from mockware.asgi_patching import patch_asgi
from mockware.messages import MISSING
from mockware.patches import Patch
from mockware.statuses import status_for
from mockware.wsgi_patching import patch_wsgi

quickly = settings(max_examples=150, deadline=None)  # a loaded machine is no failure

MIB = 1024 * 1024
JSON = ("Content-Type", "application/json")
HTML = ("Content-Type", "text/html")
ADDING = {"b": 2}
BODY = b'{"a": 1}'
CHANGED = b'{"a": 1, "b": 2}'


def a_patch(**more: Any) -> Patch:
    return Patch(rule="r", **more)


# ---- apps that give one response, and what stands before them


@dataclass(frozen=True)
class Given:
    """What the app answers; with `sized`, a right Content-Length is added."""

    status: int = 200
    fields: Sequence[tuple[str, str]] = (JSON,)
    pieces: Sequence[bytes] = (BODY,)
    sized: bool = True

    @property
    def headers(self) -> list[tuple[str, str]]:
        length = str(sum(map(len, self.pieces)))
        return [*self.fields, *([("Content-Length", length)] if self.sized else [])]

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for at, piece in enumerate(self.pieces, 1):
            await send({"type": "http.response.body", "body": piece, "more_body": at < len(self.pieces)})

    def returning(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(f"{self.status} Given", self.headers)
        return list(self.pieces)

    def yielding(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response(f"{self.status} Given", self.headers)
        yield from self.pieces

    def writing(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        write = start_response(f"{self.status} Given", self.headers)
        for piece in self.pieces[:-1]:
            write(piece)
        return [*self.pieces[-1:]]

    def iterating(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        given = self

        class Application:
            def __iter__(self) -> Iterator[bytes]:
                return iter(given.returning(environ, start_response))

        return Application()


WSGI_WAYS = ("returning", "yielding", "writing", "iterating")


def asgi(app: Any, patch: Patch) -> Any:
    async def patched(scope: Scope, receive: Receive, send: Send) -> Any:
        return await patch_asgi(patch, app, scope, receive, send)

    return patched


def wsgi(app: Any, patch: Patch) -> Any:
    def patched(environ: Environ, start_response: Any) -> Iterable[bytes]:
        return patch_wsgi(patch, app, environ, start_response)

    return patched


def answers(given: Given, patch: Patch, method: str = "GET") -> list[Answer]:
    """From both interfaces, and on WSGI from every kind of app."""
    got = [over_asgi(asgi(given.asgi, patch), Sent(method))]
    for way in WSGI_WAYS:
        # An iterable whose `__iter__` starts the response is not known to the validator.
        app = getattr(given, way)
        got.append(over_wsgi(wsgi(app if way == "iterating" else validator(app), patch), Sent(method)))
    return got


# ---- the table


def row(
    given: Given, patch: Patch, status: int, fields: dict[str, str], body: bytes, *, method: str = "GET"
) -> tuple[Given, Patch, str, Answer]:
    all_fields = {"cache-control": "no-store", "x-mock-rule": "r", **fields}
    return given, patch, method, Answer(status, tuple(sorted(all_fields.items())), body)


def unchanged(reason: str) -> dict[str, str]:
    return {"x-mock-patch": f"body unchanged ({reason})"}


PLAIN = {"content-type": "application/json", "content-length": "8"}
LONGER = {"content-type": "application/json", "content-length": "16"}
ADDED = a_patch(json=ADDING)

TABLE = {
    "a status": row(Given(), a_patch(status=503), 503, PLAIN, BODY),
    "an unregistered status": row(Given(), a_patch(status=299), 299, PLAIN, BODY),
    "a field replaced": row(
        Given(fields=[JSON, ("X-A", "1"), ("x-a", "2")]),
        a_patch(headers=[("X-a", "3")]),
        200,
        PLAIN | {"x-a": "3"},
        BODY,
    ),
    "a field removed": row(
        Given(fields=[JSON, ("X-A", "1"), ("x-a", "2")]), a_patch(headers=[("x-A", None)]), 200, PLAIN, BODY
    ),
    "the app's caching": row(
        Given(
            fields=[
                JSON,
                ("Cache-Control", "max-age=9"),
                ("CDN-Cache-Control", "max-age=9"),
                ("X-Mock-Rule", "x"),
            ]
        ),
        a_patch(status=201),
        201,
        PLAIN,
        BODY,
    ),
    "caching asked for": row(
        Given(fields=[JSON, ("Cache-Control", "max-age=9")]),
        a_patch(headers=[("cache-control", "private")]),
        200,
        PLAIN | {"cache-control": "private"},
        BODY,
    ),
    "a validator stays with its body": row(
        Given(fields=[JSON, ("ETag", '"1"')]), a_patch(status=500), 500, PLAIN | {"etag": '"1"'}, BODY
    ),
    "a body": row(Given(), ADDED, 200, LONGER, CHANGED),
    "a body in pieces": row(Given(pieces=[b'{"a"', b"", b": 1}"]), ADDED, 200, LONGER, CHANGED),
    "a body without a length": row(Given(sized=False), ADDED, 200, LONGER, CHANGED),
    "a body and its status": row(Given(), a_patch(status=502, json=ADDING), 502, LONGER, CHANGED),
    "an error's body": row(
        Given(500, [("Content-Type", "application/problem+json; charset=utf-8")]),
        ADDED,
        500,
        LONGER | {"content-type": "application/problem+json; charset=utf-8"},
        CHANGED,
    ),
    "null for a body": row(Given(), a_patch(json=None), 200, PLAIN | {"content-length": "4"}, b"null"),
    "what was said of the old body": row(
        Given(
            fields=[
                JSON,
                ("ETag", '"1"'),
                ("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT"),
                ("Accept-Ranges", "bytes"),
                ("Content-Digest", "sha-256=:x:"),
                ("Repr-Digest", "sha-256=:x:"),
                ("Digest", "sha-256=x"),
                ("Content-MD5", "x"),
            ]
        ),
        ADDED,
        200,
        LONGER,
        CHANGED,
    ),
    "a validator asked for": row(
        Given(fields=[JSON, ("ETag", '"1"')]),
        a_patch(headers=[("ETag", '"2"')], json=ADDING),
        200,
        LONGER | {"etag": '"2"'},
        CHANGED,
    ),
    "not of a type": row(
        Given(fields=[HTML, ("ETag", '"1"')]),
        a_patch(status=503, json=ADDING),
        503,
        PLAIN | {"content-type": "text/html", "etag": '"1"'} | unchanged("not JSON"),
        BODY,
    ),
    "not JSON": row(
        Given(fields=[JSON, ("ETag", '"1"')], pieces=[b"<p>", b"oh</p>"]),
        a_patch(status=503, json=ADDING),
        503,
        PLAIN | {"etag": '"1"', "content-length": "9"} | unchanged("not JSON"),
        b"<p>oh</p>",
    ),
    "nothing": row(
        Given(pieces=[b""]), ADDED, 200, PLAIN | {"content-length": "0"} | unchanged("not JSON"), b""
    ),
    "a part": row(
        Given(206, [JSON, ("Content-Range", "bytes 0-7/9")]),
        ADDED,
        206,
        PLAIN | {"content-range": "bytes 0-7/9"} | unchanged("status 206"),
        BODY,
    ),
    "not modified": row(
        Given(304, [("ETag", '"1"')], [b""], sized=False),
        ADDED,
        304,
        {"etag": '"1"'} | unchanged("status 304"),
        b"",
    ),
    "no content": row(Given(204, [], [b""], sized=False), ADDED, 204, unchanged("status 204"), b""),
    "an unknown coding": row(
        Given(fields=[JSON, ("Content-Encoding", "zstd")]),
        ADDED,
        200,
        PLAIN | {"content-encoding": "zstd"} | unchanged("encoding zstd"),
        BODY,
    ),
    "a coding that is not there": row(
        Given(fields=[JSON, ("Content-Encoding", "gzip")]),
        ADDED,
        200,
        PLAIN | {"content-encoding": "gzip"} | unchanged("not in its encoding"),
        BODY,
    ),
    "a body cut off": row(
        Given(fields=[JSON, ("Content-Encoding", "gzip")], pieces=[gzip.compress(BODY, mtime=0)[:-1]]),
        ADDED,
        200,
        PLAIN | {"content-encoding": "gzip", "content-length": "27"} | unchanged("cut off"),
        gzip.compress(BODY, mtime=0)[:-1],
    ),
    "an inner mockware's word": row(
        Given(fields=[JSON, ("X-Mock-Patch", "x"), ("X-Mock-Rule", "x")]), ADDED, 200, LONGER, CHANGED
    ),
    # A HEAD has the fields of a GET, or leaves them out; those of the changed body are not known.
    "HEAD": row(
        Given(fields=[JSON, ("ETag", '"1"'), ("Content-Length", "8")], pieces=[b""], sized=False),
        a_patch(status=201, json=ADDING),
        201,
        {"content-type": "application/json"} | unchanged("HEAD"),
        b"",
        method="HEAD",
    ),
    "HEAD of something else": row(
        Given(fields=[HTML, ("Content-Length", "8")], pieces=[b""], sized=False),
        ADDED,
        200,
        {"content-type": "text/html", "content-length": "8"} | unchanged("not JSON"),
        b"",
        method="HEAD",
    ),
    # A status that has no body takes it away, and one that has brings none back.
    "to no content": row(
        Given(fields=[JSON, ("ETag", '"1"'), ("Content-Encoding", "gzip")], pieces=[BODY, BODY]),
        a_patch(status=204),
        204,
        {"etag": '"1"'},
        b"",
    ),
    "to not modified": row(
        Given(fields=[JSON, ("ETag", '"1"')]), a_patch(status=304), 304, {"etag": '"1"'}, b""
    ),
    "to reset content": row(Given(), a_patch(status=205), 205, PLAIN | {"content-length": "0"}, b""),
    "to no content, with a body to change": row(
        Given(), a_patch(status=204, json=ADDING), 204, unchanged("status 204"), b""
    ),
    "from no content": row(
        Given(204, [], [b""], sized=False),
        a_patch(status=200),
        200,
        {"content-length": "0", "content-type": "application/octet-stream"},
        b"",
    ),
    "from not modified": row(
        Given(304, [("ETag", '"1"'), ("Content-Length", "99")], [b""], sized=False),
        a_patch(status=200, headers=[("content-type", "a/b")], json=ADDING),
        200,
        {"content-length": "0", "content-type": "a/b", "etag": '"1"'} | unchanged("status 304"),
        b"",
    ),
}


@pytest.mark.parametrize(("given_", "patch", "method", "expected"), TABLE.values(), ids=TABLE)
def test_both_interfaces_change_a_response_in_the_same_way(
    given_: Given, patch: Patch, method: str, expected: Answer
) -> None:
    for answer in answers(given_, patch, method):
        assert answer == expected


@pytest.mark.parametrize(
    ("media_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=UTF-8", True),
        ("application/json\t;x", True),
        ("application/problem+json", True),
        ("application/vnd.api+JSON;profile=x", True),
        ("image/svg+json", True),
        ("application/jsonl", False),
        ("application/json-seq", False),
        ("application/geo+json-seq", False),
        ("application/x-ndjson", False),
        ("application/stream+json", False),
        ("application/json-patch", False),
        ("text/event-stream", False),
        ("text/plain; x=application/json", False),
        ("application/json, text/html", False),
        ("json", False),
        ("+json", False),
        ("", False),
    ],
)
def test_json_is_what_its_media_type_says(media_type: str, is_json: bool) -> None:
    assert ADDED.start("GET", 200, [("content-type", media_type)]).holds is is_json


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ([], True),
        ([("content-length", "0")], True),
        ([("content-length", str(MIB))], True),
        ([("content-length", "8"), ("content-length", "8")], True),
        ([("content-length", str(MIB + 1))], False),
        ([("content-length", "9" * 5000)], False),
        ([("content-length", "8"), ("content-length", "9")], False),
        ([("content-length", "-1")], False),
        ([("content-length", "\u0661")], False),
        ([("content-type", "text/html")], False),
        ([("content-encoding", "gzip"), ("content-encoding", "br")], False),
    ],
)
def test_the_start_decides_what_is_held(fields: list[tuple[str, str]], holds: bool) -> None:
    assert ADDED.start("GET", 200, [("content-type", "application/json"), *fields]).holds is holds


@pytest.mark.parametrize("status", [100, 103, 204, 205, 206, 304])
def test_no_status_without_a_whole_body_is_held(status: int) -> None:
    assert not ADDED.start("GET", status, [("content-type", "application/json")]).holds


@pytest.mark.parametrize(
    "arguments",
    [
        {"status": 99},
        {"status": 600},
        {"headers": [("content-length", "1")]},
        {"headers": [("Content-Length", None)]},
        {"headers": [("a b", None)]},
        {"headers": [("a", "b\r\nc: d")]},
        {"headers": [("a", "b"), ("A", None)]},
        {"json": float("nan")},
    ],
)
def test_a_patch_that_no_response_can_have_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        a_patch(**arguments)


def test_a_rule_with_any_name_is_named() -> None:
    patch = Patch(rule="naïve 100%", status=418)
    for answer in answers(Given(), patch):
        assert answer.one("x-mock-rule") == "na%C3%AFve 100%25"


def test_a_repeated_field_is_repeated() -> None:
    patch = a_patch(headers=[("Set-Cookie", "a=1"), ("set-cookie", "b=2")])
    for answer in answers(Given(fields=[JSON, ("Set-Cookie", "c=3")]), patch):
        assert answer.all("set-cookie") == ["a=1", "b=2"]


def test_fields_of_the_connection_stay_where_they_are_allowed() -> None:
    patch = a_patch(headers=[("Connection", "close"), ("Proxy-Authenticate", "Basic")], status=407)
    by_asgi, *by_wsgi = answers(Given(), patch)
    assert by_asgi.all("connection") == ["close"]
    assert by_asgi.all("proxy-authenticate") == ["Basic"]
    for answer in [*by_wsgi, over_asgi(asgi(Given().asgi, patch), Sent(http_version="2"))]:
        assert answer.all("connection") == []


def test_the_status_line_is_the_apps_own_or_the_catalogues() -> None:
    started: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        started.append(status)

    for patch in (a_patch(), a_patch(status=200), a_patch(status=418), a_patch(status=418, json=ADDING)):
        b"".join(patch_wsgi(patch, Given().returning, environ_of(Sent()), start_response))
    unused = f"418 {status_for(418).phrase}"
    assert started == ["200 Given", "200 Given", unused, unused]


# ---- codings, splits and edges


def raw_deflate(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "identity": ("identity", bytes, bytes),
    "gzip": ("gzip", gzip.compress, gzip.decompress),
    "X-GZIP": ("X-GZIP", gzip.compress, gzip.decompress),
    "deflate": ("deflate", zlib.compress, zlib.decompress),
    "raw deflate": ("deflate", raw_deflate, lambda body: zlib.decompress(body, wbits=-15)),
    "br": ("br", brotli.compress, brotli.decompress),
}
each_coding = pytest.mark.parametrize(("coding", "encode", "decode"), CODINGS.values(), ids=CODINGS)


def cut(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    at = sorted(min(c, len(body)) for c in cuts)
    return [body[start:stop] for start, stop in zip([0, *at], [*at, len(body)], strict=True)]


@each_coding
@quickly
@given(cuts=st.lists(st.integers(0, 60), max_size=6), sized=st.booleans())
def test_a_body_in_any_coding_and_any_pieces_is_changed_and_encoded_again(
    coding: str, encode: Any, decode: Any, cuts: list[int], sized: bool
) -> None:
    given_ = Given(fields=[JSON, ("Content-Encoding", coding)], pieces=cut(encode(BODY), cuts), sized=sized)
    first, *others = answers(given_, ADDED)
    assert decode(first.body) == CHANGED
    assert first.one("content-length") == str(len(first.body))
    assert first.one("content-encoding") == coding
    assert first.all("x-mock-patch") == []
    assert all(answer == first for answer in others)


@quickly
@given(
    body=st.binary(max_size=30) | st.just(BODY),
    cuts=st.lists(st.integers(0, 30), max_size=4),
    limit=st.integers(0, 30),
    sized=st.booleans(),
)
@example(body=BODY, cuts=[], limit=8, sized=False)
@example(body=BODY, cuts=[], limit=7, sized=False)
@example(body=BODY, cuts=[8], limit=7, sized=False)
def test_every_body_that_is_not_changed_is_the_same_byte_for_byte(
    body: bytes, cuts: list[int], limit: int, sized: bool
) -> None:
    given_ = Given(pieces=cut(body, cuts), sized=sized)
    with contextlib.ExitStack() as stack:
        for module in (patches, asgi_patching, wsgi_patching):
            stack.enter_context(patched_attribute.object(module, "MAX_HELD_BYTES", limit))
        got = answers(given_, a_patch(json={"zzz": 1}))
    for answer in got:
        if answer.all("x-mock-patch"):
            assert answer.body == body
        else:
            assert len(body) <= limit
            assert json.loads(answer.body)["zzz"] == 1
        assert answer == got[0]


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("piece_bytes", [2 * MIB, 65536, 65535])
def test_a_mebibyte_is_changed_and_a_byte_more_is_not(sized: bool, piece_bytes: int) -> None:
    body = b'{"a": "' + b"x" * (MIB - 9) + b'"}'
    given_ = Given(pieces=cut(body, range(piece_bytes, MIB, piece_bytes)), sized=sized)
    for answer in answers(given_, ADDED):
        assert answer.body == body[:-1] + b', "b": 2}'
        assert answer.one("content-length") == str(MIB + 8)
    longer = Given(pieces=[*given_.pieces, b" "], sized=sized)
    for answer in answers(longer, ADDED):
        assert answer.body == body + b" "
        assert answer.one("x-mock-patch") == "body unchanged (longer than 1 MiB)"
        assert answer.all("content-length") == ([str(MIB + 1)] if sized else [])


@each_coding
def test_what_is_longer_when_decoded_is_unchanged(coding: str, encode: Any, decode: Any) -> None:
    body = encode(b'{"a": "' + b"x" * MIB + b'"}')
    for answer in answers(Given(fields=[JSON, ("Content-Encoding", coding)], pieces=[body]), ADDED):
        assert answer.body == body
        assert answer.one("x-mock-patch") == "body unchanged (longer than 1 MiB)"


@pytest.mark.parametrize("declared", ["7", "9"])
def test_a_body_of_another_length_than_its_own_word_is_left_to_the_server(declared: str) -> None:
    given_ = Given(fields=[JSON, ("Content-Length", declared)], sized=False)
    for answer in answers(given_, ADDED):
        assert answer.body == BODY
        assert answer.one("content-length") == declared
        assert answer.one("x-mock-patch") == "body unchanged (not of its Content-Length)"


# ---- ASGI: the very objects


def start_event(*fields: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": 200, "headers": list(fields), **more}


def body_event(body: bytes, more_body: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


JSON_START = start_event((b"content-type", b"application/json"))
HTML_START = start_event((b"content-type", b"text/html"))


def passed(patch: Patch, *events: Message, error: BaseException | None = None, **scope: Any) -> list[Message]:
    """What reaches the server of an app's events."""
    wire = Wire()

    async def app(scope: Scope, receive: Receive, send: Send) -> str:
        for event in events:
            await send(event)
        if error is not None:
            raise error
        return "the app's answer"

    before = [repr(event) for event in events]
    coroutine = patch_asgi(patch, app, scope_of(Sent(), **scope), wire.receive, wire.send)
    if error is None:
        assert run(coroutine) == "the app's answer"
    else:
        with pytest.raises(type(error)) as raised:
            run(coroutine)
        assert raised.value is error
    assert [repr(event) for event in events] == before, "the app's own objects were changed"
    return wire.sent


OTHERS: list[Message] = [
    {"type": "http.response.early_hint", "links": [b"</a>"]},
    {"type": "http.response.push", "path": "/a", "headers": []},
    {"type": "http.response.debug", "info": {}},
]


@pytest.mark.parametrize("patch", [ADDED, a_patch(status=503)], ids=["json", "status"])
def test_what_is_not_held_reaches_the_server_as_the_same_events(patch: Patch) -> None:
    start = {**HTML_START, "trailers": True}
    events = [
        *OTHERS,
        start,
        *OTHERS,
        body_event(b"a", True),
        body_event(b"b"),
        {"type": "http.response.trailers"},
    ]
    sent = passed(patch, *events)
    assert [event is own for event, own in zip(sent, events, strict=True)] == [
        own is not start for own in events
    ]
    assert sent[3]["trailers"] is True


def test_what_is_held_goes_in_one_piece_and_other_events_pass() -> None:
    trailers: Message = {"type": "http.response.trailers", "headers": []}
    start = {**JSON_START, "trailers": True}
    sent = passed(
        ADDED,
        OTHERS[0],
        start,
        OTHERS[1],
        body_event(b'{"a": ', True),
        OTHERS[2],
        body_event(b"1}"),
        trailers,
    )
    assert [event["type"] for event in sent] == [
        *(event["type"] for event in OTHERS),
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert sent[3]["trailers"] is True
    assert sent[4] == body_event(CHANGED)
    assert sent[5] is trailers


def test_keys_that_may_be_left_out_are() -> None:
    (start, body) = passed(ADDED, JSON_START, {"type": "http.response.body"})
    assert (b"x-mock-patch", b"body unchanged (not JSON)") in start["headers"]
    assert body == body_event(b"")
    (start,) = passed(a_patch(status=503), {"type": "http.response.start", "status": 200})
    assert start["headers"] == [(b"x-mock-rule", b"r"), (b"cache-control", b"no-store")]


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", "application/json"), ("ETag", "x")],
        [[b"Content-Type", b"application/json"], [b"eTAG", b"x"]],
        ((bytearray(b"content-type"), memoryview(b"application/json")), (b"etag", b"x")),
    ],
)
def test_names_of_any_kind_and_case_are_understood(headers: Any) -> None:
    start, body = passed(
        ADDED, {"type": "http.response.start", "status": 200, "headers": headers}, body_event(BODY)
    )
    assert body["body"] == CHANGED
    assert start["headers"][0] is next(iter(headers))
    assert [name for name, _ in start["headers"][1:]] == [b"x-mock-rule", b"cache-control", b"content-length"]


def test_headers_that_can_be_looked_at_once_only_are_looked_at_once() -> None:
    headers = iter([(b"content-type", b"text/html")])
    wire = Wire()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    run(patch_asgi(a_patch(), app, scope_of(Sent()), wire.receive, wire.send))
    assert wire.sent[0]["headers"][0] == (b"content-type", b"text/html")


EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.trailers": {},
}


def scope_seen(patch: Patch, scope: Scope) -> Scope:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    run(patch_asgi(patch, app, scope, Wire().receive, Wire().send))
    return seen[0]


def test_shortcuts_are_taken_out_of_the_scope_only_where_a_body_may_be_changed() -> None:
    scope = scope_of(Sent(), extensions=EXTENSIONS)
    assert scope_seen(a_patch(status=503), scope) is scope
    seen = scope_seen(ADDED, scope)
    assert seen == {**scope, "extensions": {"http.response.trailers": {}}}
    assert seen["headers"] is scope["headers"]
    assert len(scope["extensions"]) == 3
    offers: list[Any] = [{}, None, {"http.response.trailers": {}}]
    for extensions in offers:
        scope = scope_of(Sent(), extensions=extensions)
        assert scope_seen(ADDED, scope) is scope
    del scope["extensions"]
    assert scope_seen(ADDED, scope) is scope


def test_a_file_that_starlette_would_hand_to_the_server_is_changed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_bytes(BODY)
        app = FileResponse(path)
        direct = Wire()
        run(app(scope_of(Sent(), extensions=EXTENSIONS), direct.receive, direct.send))
        assert direct.sent[1]["type"] == "http.response.pathsend"
        answer = over_asgi(asgi(app, ADDED), Sent(), extensions=EXTENSIONS)
        assert answer.body == CHANGED
        assert answer.one("content-length") == str(len(CHANGED))
        assert {"etag", "last-modified", "accept-ranges"}.isdisjoint(name for name, _ in answer.fields)
        wire = Wire()
        run(
            patch_asgi(
                a_patch(status=203), app, scope_of(Sent(), extensions=EXTENSIONS), wire.receive, wire.send
            )
        )
        assert wire.sent[1] == direct.sent[1]
        assert wire.sent[0]["status"] == 203
        ranged = over_asgi(asgi(app, ADDED), Sent(headers=[("Range", "bytes=0-2")]), extensions=EXTENSIONS)
        assert (ranged.status, ranged.body) == (206, BODY[:3])
        assert ranged.one("x-mock-patch") == "body unchanged (status 206)"


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.zerocopysend"])
def test_a_file_sent_past_us_nevertheless_goes_as_it_is(kind: str) -> None:
    event: Message = {"type": kind, "path": "/a", "file": 3, "more_body": False}
    start, sent = passed(ADDED, JSON_START, event)
    assert sent is event
    assert (b"x-mock-patch", b"body unchanged (sent as a file)") in start["headers"]
    start, sent = passed(a_patch(status=204), JSON_START, event)
    assert sent == body_event(b"")


def test_a_dropped_body_ends_at_once_and_takes_its_trailers_along() -> None:
    start = {**JSON_START, "trailers": True}
    events = [start, OTHERS[1], body_event(b"a", True), body_event(b"b"), {"type": "http.response.trailers"}]
    sent = passed(a_patch(status=204), *events)
    assert "trailers" not in sent[0]
    assert sent[1:] == [OTHERS[1], body_event(b"")]


@pytest.mark.parametrize("error", [None, ValueError("the app's own")], ids=["returns", "raises"])
def test_a_body_without_an_end_leaves_as_far_as_it_came(error: Exception | None) -> None:
    start, body = passed(ADDED, JSON_START, body_event(b'{"a"', True), body_event(b": ", True), error=error)
    assert (b"x-mock-patch", b"body unchanged (cut off)") in start["headers"]
    assert body == body_event(b'{"a": ', True)
    assert [event["type"] for event in passed(ADDED, JSON_START, error=error)] == ["http.response.start"]
    assert passed(ADDED, error=error) == []


def test_the_apps_error_is_told_though_the_client_has_gone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(JSON_START)
        raise ValueError("the app's own")

    async def gone(event: Message) -> None:
        raise OSError("the client has gone")

    with pytest.raises(ValueError, match="the app's own"):
        run(patch_asgi(ADDED, app, scope_of(Sent()), Wire().receive, gone))


def test_nothing_is_sent_for_a_request_that_was_cancelled() -> None:
    wire = Wire()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(JSON_START)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(patch_asgi(ADDED, app, scope_of(Sent()), wire.receive, wire.send))
    assert wire.sent == []


def test_a_second_start_is_left_for_the_server_to_find() -> None:
    sent = passed(ADDED, JSON_START, body_event(b"a", True), JSON_START, body_event(BODY))
    assert [event["type"].rpartition(".")[2] for event in sent] == ["start", "body", "start", "body"]
    assert sent[3]["body"] == CHANGED


def test_a_response_that_is_not_held_streams() -> None:
    for start in (HTML_START, start_event((b"content-type", b"text/event-stream"))):
        wire = Wire()
        arrived: list[int] = []

        async def app(
            scope: Scope,
            receive: Receive,
            send: Send,
            start: Message = start,
            wire: Wire = wire,
            arrived: list[int] = arrived,
        ) -> None:
            await send(start)
            for piece in (b"a", b"b", b"c"):
                await send(body_event(piece, True))
                arrived.append(len(wire.sent))

        run(patch_asgi(a_patch(status=503, json=ADDING), app, scope_of(Sent()), wire.receive, wire.send))
        assert arrived == [2, 3, 4]


def test_a_longer_body_streams_on_behind_the_bound() -> None:
    pieces = [body_event(b"x" * (MIB // 4), True) for _ in range(8)]
    wire = Wire()
    arrived: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(JSON_START)
        for piece in pieces:
            await send(piece)
            arrived.append(len(wire.sent))

    run(patch_asgi(ADDED, app, scope_of(Sent()), wire.receive, wire.send))
    assert arrived == [0, 0, 0, 0, 3, 4, 5, 6]
    assert all(sent is own for sent, own in zip(wire.sent[2:], pieces[4:], strict=True))


@pytest.mark.parametrize(
    ("app", "body"),
    [
        (JSONResponse({"a": 1}), b'{"a":1, "b": 2}'),
        (StreamingResponse(iter([b'{"a":', b" 1}"]), media_type="application/json"), CHANGED),
        (Response(BODY, media_type="application/hal+json", headers={"etag": "x"}), CHANGED),
    ],
)
def test_starlettes_responses_are_changed(app: Any, body: bytes) -> None:
    answer = over_asgi(asgi(app, ADDED), Sent())
    assert answer.body == body
    assert answer.one("content-length") == str(len(body))


# ---- WSGI: PEP 3333


class Server:
    """A server's `start_response`, as PEP 3333 describes it: headers go with the first byte of the body."""

    def __init__(self) -> None:
        self.started: tuple[str, list[tuple[str, str]]] | None = None
        self.sent: list[bytes] = []

    def start_response(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        try:
            assert type(headers) is list
            if exc_info is not None and any(self.sent):
                raise exc_info[1].with_traceback(exc_info[2])
            if exc_info is None and self.started is not None:
                raise AssertionError("started already")
            self.started = (status, headers)
            return self.sent.append
        finally:
            exc_info = None

    def serve(self, app: Any, patch: Patch, method: str = "GET") -> None:
        chunks = wsgi(app, patch)(environ_of(Sent(method)), self.start_response)
        try:
            for chunk in chunks:
                self.sent.append(chunk)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    @property
    def body(self) -> bytes:
        return b"".join(self.sent)

    def field(self, name: str) -> str | None:
        _, headers = self.started or ("", [])
        return {field.lower(): value for field, value in headers}.get(name)


@dataclass
class Chunks:
    """An iterable that counts how far it was asked, and how often closed."""

    pieces: Sequence[bytes | Exception]
    asked: int = 0
    closed: int = 0
    log: list[Any] = field(default_factory=list)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.asked += 1
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self) -> None:
        self.closed += 1


def giving(chunks: Any, *fields: tuple[str, str], status: str = "200 OK") -> Any:
    def app(environ: Environ, start_response: Any) -> Any:
        start_response(status, list(fields) or [JSON])
        return chunks

    return app


@pytest.mark.parametrize("patch", [a_patch(status=503), a_patch(headers=[("a", "b")]), ADDED])
def test_an_iterable_that_is_not_held_is_the_apps_own(patch: Patch) -> None:
    chunks = FileWrapper(io.BytesIO(BODY))
    server = Server()
    assert wsgi(giving(chunks, HTML), patch)(environ_of(Sent()), server.start_response) is chunks
    assert server.started is not None


def test_a_file_wrapper_with_json_is_read() -> None:
    server = Server()
    server.serve(giving(FileWrapper(io.BytesIO(BODY), 3)), ADDED)
    assert server.body == CHANGED


def test_the_apps_own_list_of_headers_stays_as_it_is() -> None:
    headers = [JSON, ("ETag", "x")]

    def app(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", headers)
        return [BODY]

    for patch in (ADDED, a_patch(status=503)):
        Server().serve(app, patch)
    assert headers == [JSON, ("ETag", "x")]


@pytest.mark.parametrize(
    "pieces",
    [[BODY], [b"x" * MIB, b"x", b"x"], [b"not JSON"], [], [BODY, ValueError("the app's own")]],
    ids=["changed", "longer", "not JSON", "nothing", "broken"],
)
def test_an_iterable_is_closed_once(pieces: list[Any]) -> None:
    for patch in (ADDED, a_patch(status=503), a_patch(status=204)):
        chunks = Chunks(pieces)
        with contextlib.suppress(ValueError):
            Server().serve(giving(chunks), patch)
        assert chunks.closed == 1
        chunks = Chunks(pieces)
        ours = wsgi(giving(chunks), a_patch(status=204))(environ_of(Sent()), Server().start_response)
        ours.close()
        ours.close()
        assert (chunks.asked, chunks.closed) == (0, 1)
        assert list(ours) == []


@pytest.mark.parametrize(
    "pieces",
    [[BODY], [b"x" * MIB, b"x", b"x"], [b"not JSON"], [], [b"a", ValueError("the app's own")]],
    ids=["changed", "longer", "not JSON", "nothing", "broken"],
)
def test_a_held_iterable_is_closed_once_though_nobody_asks_for_its_pieces(pieces: list[Any]) -> None:
    chunks = Chunks(pieces)
    ours = wsgi(giving(chunks), ADDED)(environ_of(Sent()), Server().start_response)
    assert chunks.closed == 0
    ours.close()
    ours.close()
    assert chunks.closed == 1
    assert list(ours) == []


def test_an_error_page_without_a_body_ends_as_it_is() -> None:
    def pieces(start_response: Any) -> Iterator[bytes]:
        try:
            raise AppError
        except AppError:
            start_response("500 Oh", [HTML], sys.exc_info())
        yield from ()

    def app(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [JSON])
        return pieces(start_response)

    server = Server()
    server.serve(app, ADDED)
    assert server.started is not None
    assert (server.started[0], server.body) == ("500 Oh", b"")


def test_an_app_that_fails_while_it_is_held_is_closed_before_its_error_is_told() -> None:
    chunks = Chunks([ValueError("the app's own")])
    server = Server()
    with pytest.raises(ValueError, match="the app's own"):
        wsgi(giving(chunks), ADDED)(environ_of(Sent()), server.start_response)
    assert (chunks.asked, chunks.closed, server.started) == (1, 1, None)


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ([BODY], CHANGED),
        ([BODY[:3], BODY[3:]], CHANGED),
        ([b"x" * MIB, b"x"], b"x" * MIB + b"x"),
        ([b"not JSON"], b"not JSON"),
        ([], b""),
    ],
    ids=["changed", "in pieces", "longer", "not JSON", "nothing"],
)
def test_a_start_that_an_app_made_in_its_call_is_made_when_the_call_returns(
    pieces: list[bytes], body: bytes
) -> None:
    """granian reads status and fields then, though PEP 3333 lets them wait for the first piece."""
    server = Server()
    patch = a_patch(status=503, json=ADDING)
    ours = wsgi(giving(iter(pieces)), patch)(environ_of(Sent()), server.start_response)
    assert server.started is not None
    assert server.started[0] == "503 Service Unavailable"
    assert server.sent == []
    assert b"".join(ours) == body


def test_a_server_that_stops_in_the_middle_closes_the_app() -> None:
    chunks = Chunks([b"x" * MIB, b"x", b"y", b"z"])
    ours = wsgi(giving(chunks), ADDED)(environ_of(Sent()), Server().start_response)
    assert next(ours) == b"x" * MIB
    assert chunks.asked == 2
    ours.close()
    assert (chunks.asked, chunks.closed) == (2, 1)


def test_nothing_is_asked_of_the_app_before_the_server_asks() -> None:
    log: list[str] = []

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        log.append("started")
        start_response("200 OK", [HTML])
        for piece in (b"a", b"b"):
            log.append(piece.decode())
            yield piece

    server = Server()
    ours = wsgi(app, a_patch(status=503, json=ADDING))(environ_of(Sent()), server.start_response)
    assert log == []
    assert next(iter(ours)) == b"a"
    assert server.started is not None
    assert server.started[0] == "503 Service Unavailable"
    assert log == ["started", "a"]


def test_a_longer_body_streams_on_behind_the_bound_on_wsgi_too() -> None:
    piece = b"x" * (MIB // 4)
    chunks = Chunks([piece] * 8)
    ours = iter(wsgi(giving(chunks), ADDED)(environ_of(Sent()), Server().start_response))
    assert next(ours) == piece * 4
    assert chunks.asked == 5
    assert next(ours) is piece
    assert chunks.asked == 5
    assert next(ours) is piece
    assert chunks.asked == 6


def test_a_longer_body_that_is_written_goes_as_it_is_written() -> None:
    server = Server()
    seen: list[int] = []
    rest = [b"rest"]

    def app(environ: Environ, start_response: Any) -> Any:
        write = start_response("200 OK", [JSON])
        for piece in (b"x" * MIB, b"y", b"z"):
            write(piece)
            seen.append(len(server.body))
        return rest

    assert wsgi(app, ADDED)(environ_of(Sent()), server.start_response) is rest
    assert seen == [0, MIB + 1, MIB + 2]


def test_a_body_that_is_dropped_goes_on_for_as_long_as_the_server_asks() -> None:
    chunks = Chunks([b"a", b"b", b"c"])
    server = Server()
    ours = iter(wsgi(giving(chunks), a_patch(status=204))(environ_of(Sent()), server.start_response))
    assert next(ours) == b""
    assert chunks.asked == 1
    assert list(ours) == [b"", b""]

    def writing(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [JSON])(b"a")
        return []

    server = Server()
    server.serve(writing, a_patch(status=204))
    assert server.body == b""


class AppError(Exception):
    pass


def test_an_error_page_takes_the_place_of_what_is_held() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [JSON])
        yield b'{"a": '
        try:
            raise AppError
        except AppError:
            start_response("500 Oh", [JSON if as_json else HTML], sys.exc_info())
            yield BODY

    for as_json in (True, False):
        server = Server()
        server.serve(app, ADDED)
        assert server.started is not None
        assert server.started[0] == "500 Oh"
        assert server.body == (CHANGED if as_json else BODY)


def test_an_error_behind_what_was_sent_is_raised_again_by_the_server() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [HTML])
        yield b"a"
        try:
            raise AppError
        except AppError:
            start_response("500 Oh", [JSON], sys.exc_info())
            yield BODY

    server = Server()
    with pytest.raises(AppError):
        server.serve(app, ADDED)
    assert server.body == b"a"


def test_an_error_page_before_anything_was_sent_replaces_the_start() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [HTML])
        try:
            raise AppError
        except AppError:
            start_response("500 Oh", [JSON], sys.exc_info())
        return [BODY]

    server = Server()
    server.serve(app, ADDED)
    assert server.started is not None
    assert server.started[0] == "500 Oh"
    assert server.body == BODY
    assert server.field("x-mock-patch") == "body unchanged (started twice)"


def test_a_second_start_without_an_error_is_the_servers_to_refuse() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [JSON])
        start_response("200 OK", [JSON])
        return [BODY]

    with pytest.raises(AssertionError, match="started already"):
        Server().serve(app, ADDED)


@pytest.mark.parametrize("written", [b"", b'{"a"'])
@pytest.mark.parametrize("way", ["in the call", "in the iteration"])
def test_an_error_lets_go_what_a_server_would_have_sent_and_nothing_else(written: bytes, way: str) -> None:
    def calling(environ: Environ, start_response: Any) -> Any:
        write = start_response("200 OK", [JSON])
        if written:
            write(written)
        raise AppError

    app = calling if way == "in the call" else giving(Chunks([written, AppError()]))
    server = Server()
    with pytest.raises(AppError):
        server.serve(app, ADDED)
    assert server.body == written
    assert (server.started is None) == (not written)
    if written:
        assert server.field("x-mock-patch") == "body unchanged (cut off)"


def test_an_app_that_starts_nothing_is_the_servers_to_refuse() -> None:
    server = Server()
    server.serve(lambda environ, start_response: [BODY], ADDED)
    assert server.started is None
    assert server.body == BODY


def test_a_status_line_that_is_none_is_the_servers_to_refuse() -> None:
    server = Server()
    server.serve(giving([BODY], status="OK"), a_patch(status=503, json=ADDING))
    assert server.started == ("OK", [JSON])


def test_a_bare_environ_will_do() -> None:
    server = Server()
    assert b"".join(patch_wsgi(ADDED, giving([BODY]), {}, server.start_response)) == CHANGED


# ---- whatever the app does


@quickly
@given(data=st.data())
def test_no_patch_makes_the_framing_wrong(data: st.DataObject) -> None:
    """The length is that of the body, and there is none where there must not be one."""
    given_ = Given(
        status=data.draw(st.sampled_from([200, 201, 203, 404, 500])),
        fields=data.draw(st.sampled_from([[JSON], [HTML], [JSON, ("Content-Encoding", "gzip")]])),
        pieces=data.draw(
            st.lists(st.binary(max_size=9), min_size=1, max_size=3)
            | st.just([BODY])
            | st.just([gzip.compress(BODY)])
        ),
        sized=data.draw(st.booleans()),
    )
    patch = a_patch(
        status=data.draw(st.none() | st.sampled_from([200, 204, 205, 206, 304, 404, 500])),
        json=data.draw(st.sampled_from([MISSING, ADDING, None])),
    )
    first, *others = answers(given_, patch)
    assert all(answer == first for answer in others)
    if first.status in (204, 304):
        assert first.body == b""
        assert first.all("content-length") == []
    elif given_.sized or first.all("content-length"):
        assert first.one("content-length") == str(len(first.body))


@pytest.mark.parametrize("held", [True, False])
def test_a_slow_client_slows_the_app_down_as_before(held: bool) -> None:
    """The app goes on when the server has taken a piece, not before."""
    order: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"a"', b": 1}"):
            order.append("asked")
            yield piece

    async def send(event: Message) -> None:
        await asyncio.sleep(0)
        order.append(event["type"].rpartition(".")[2])

    media_type = "application/json" if held else "text/html"
    app = StreamingResponse(pieces(), media_type=media_type)
    run(patch_asgi(ADDED, app, scope_of(Sent()), Waiting(events_of(Sent())).receive, send))
    if held:
        assert order == ["asked", "asked", "start", "body"]
    else:
        assert order == ["start", "asked", "body", "asked", "body", "body"]


class Waiting(Wire):
    """A client that stays: behind the request's body, `receive` waits."""

    async def receive(self) -> Message:
        if not self.events:
            await asyncio.Event().wait()
        return await super().receive()


def test_answers_by_hand_are_whole() -> None:
    assert answer_of(passed(ADDED, JSON_START, body_event(BODY))).body == CHANGED
