"""The fuzz command on a number of requests for every day, and that it finds what is broken."""

import logging
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from tests import fuzz

from mockware import asgi, asgi_replies, bodies, engine, replies, wsgi, wsgi_replies, wsgi_requests
from mockware.messages import Response


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "mockware")


def test_twenty_thousand_hostile_requests_end_well() -> None:
    report = fuzz.run(20_000, seed=20261123)
    assert report.failure == ""
    assert report.requests == 20_000
    ends = "http app, http mock, http refusal, http gone, wsgi app, wsgi mock, wsgi refusal"
    sockets = "websocket app, websocket mock, websocket refusal, websocket closed"
    for end in f"{ends}, {sockets}".split(", "):
        assert report.counts[end] >= 100, f"hardly any request ends as {end}"
    assert report.counts["compared"] >= 10_000


def test_a_seed_gives_the_same_requests_from_any_number_on() -> None:
    straight = [fuzz.Maker(7).make(number) for number in range(50)]
    maker = fuzz.Maker(7)
    assert [maker.make(number) for number in reversed(range(50))] == straight[::-1]
    assert fuzz.Maker(8).make(3) != straight[3]


def broken_decision(self: Any, *arguments: Any, **more: Any) -> Any:
    raise KeyError("planted")


def broken_reply(of: Callable[[Response], tuple[tuple[str, str], ...]]) -> Callable[..., Any]:
    """`build_reply` whose responses have other headers."""
    build = replies.build_reply

    def built(*arguments: Any, **more: Any) -> Response:
        reply = build(*arguments, **more)
        return Response(reply.status, reply.reason, of(reply), reply.body, rule=reply.rule)

    return built


def reading_on(environ: dict[str, Any]) -> None:
    stream = environ.get("wsgi.input")
    if stream is not None:
        stream.read(1_000_000)


async def endless(*arguments: Any) -> Any:
    import asyncio

    await asyncio.Event().wait()


PLANTED: dict[str, tuple[Any, str, Any, str]] = {
    "an exception": (engine.Snapshot, "decide", broken_decision, "planted"),
    "a response that is too short": (
        engine,
        "build_reply",
        broken_reply(lambda reply: (*reply.headers[:1], ("Content-Length", "1"), *reply.headers[2:])),
        "bytes, not",
    ),
    "a line break": (
        engine,
        "build_reply",
        broken_reply(lambda reply: (*reply.headers, ("X", "a\r\nb"))),
        "value",
    ),
    "a field of the connection on WSGI": (wsgi_replies, "HOP_BY_HOP", frozenset(), "on WSGI"),
    "a field of the connection on HTTP/2": (
        asgi_replies,
        "NOT_ON_HTTP_2",
        frozenset(),
        "no field of a connection",
    ),
    "reading past the end": (wsgi, "drain_input", reading_on, "no read past the declared length"),
    "not draining": (wsgi, "drain_input", lambda environ: None, "drained"),
    "a difference between the two": (
        wsgi_requests.EnvironRequest,
        "header",
        lambda self, name: None,
        "the same on both sides",
    ),
    "no limit to a body": (bodies, "_content_length", lambda environ: None, "declared length"),
    "waiting for ever": (asgi, "buffer", endless, "it hangs"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, broken, told = PLANTED[name]
    monkeypatch.setattr(fuzz, "PATIENCE_S", 0.3)
    with patch.object(place, attribute, broken):
        report = fuzz.run(3000, seed=1)
    assert told in report.failure
    assert report.requests < 3000
    assert f"--seed 1 --first {report.requests} --requests 1" in report.failure
    assert "Hostile(" in report.failure


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--requests", "50", "--seed", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("seed 5\n")
    assert "50 requests in" in out
    assert err == ""


def test_the_command_fails_with_the_request_that_did(capsys: pytest.CaptureFixture[str]) -> None:
    with patch.object(engine.Snapshot, "decide", broken_decision):
        assert fuzz.main(["--requests", "500"]) == 1
    out, err = capsys.readouterr()
    seed = out.splitlines()[0].removeprefix("seed ")
    assert "KeyError('planted')" in err
    assert f"--seed {seed} --first" in err
