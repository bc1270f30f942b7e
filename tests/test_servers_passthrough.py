"""What passes through reaches the app and the client untouched, on every server."""

import hashlib
import json

import pytest
from tests import rawhttp, server_apps
from tests.servers import Fleet, on, on_every_server

REQUESTS = {
    "a body with a length": rawhttp.request("GET", "/hello"),
    "a HEAD": rawhttp.request("HEAD", "/hello"),
    "a 404": rawhttp.request("GET", "/nowhere?q=%20"),
    "a 204": rawhttp.request("GET", "/empty"),
    "a request body": rawhttp.request("POST", "/echo", body=b"x" * 100_000),
    "a stream": rawhttp.request("GET", "/stream"),
    "a file": rawhttp.request("GET", "/file"),
    "the write callable": rawhttp.request("GET", "/write"),
    "a trigger that passes": rawhttp.request("GET", "/hello", [("X-Mock-Status", "passthrough")]),
    "a method of a mocked path": rawhttp.request("DELETE", "/reports"),
    "a path in UTF-8": rawhttp.request("GET", "/%C3%A9t%C3%A9"),
    "a path that is not UTF-8": rawhttp.request("GET", "/%FF/%C3"),
    "a path in raw bytes": rawhttp.request("GET", "/\xff"),
    "slashes": rawhttp.request("GET", "//where/../%2Fwhere"),
    "an absolute target": rawhttp.request("GET", "http://example.test/hello"),
    "a request for all": rawhttp.request("OPTIONS", "*"),
}


@on_every_server
@pytest.mark.parametrize("what", REQUESTS)
def test_a_passed_answer_is_the_bare_answer_byte_for_byte(fleet: Fleet, what: str) -> None:
    method = REQUESTS[what].split()[0].decode()
    answers = []
    for running in (fleet.bare, fleet.wrapped):
        with running.connect() as connection:
            connection.send(REQUESTS[what])
            if running.deviates("no framing without a length") and what == "a stream":
                head = connection.head()
                assert b"ransfer-" not in head, "it frames streams now"
                answers.append(head + connection.take(len("one\ntwo\nthree\n")))
            elif what == "a path in raw bytes":  # which half of them refuse, some without framing
                connection.end_sending()
                answers.append(rawhttp.dateless(connection.rest()))
            else:
                answers.append(rawhttp.dateless(connection.response(method).raw))
    assert answers[0] == answers[1]
    fails = fleet.bare.deviates("no write callable") and what == "the write callable"
    assert answers[0].startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")) == fails


@on_every_server
def test_a_client_that_does_not_read_stops_the_app(fleet: Fleet) -> None:
    running = fleet.wrapped
    total = server_apps.FLOOD_MIB << 20
    with running.connect(receive_buffer_bytes=1 << 16) as connection:
        since = running.log.mark
        connection.send(rawhttp.request("GET", "/flood"))
        assert f"{total}".encode() in connection.head()
        produced_mib = 0
        # It has stopped when it says nothing more for a while, which is the one thing that has no event.
        while produced_mib < server_apps.FLOOD_MIB and running.log.wait(
            rf"flood {produced_mib + 1}\n", since=since, within_s=0.5
        ):
            produced_mib += 1
        if running.deviates("no back-pressure"):
            assert produced_mib == server_apps.FLOOD_MIB
        else:
            assert produced_mib <= server_apps.FLOOD_MIB // 2
        flood = connection.take(total)
    assert flood == server_apps.PIECE * (total // len(server_apps.PIECE))
    with running.talk() as talk:
        talk.ask("GET", "/hello")


@on_every_server
def test_a_client_that_leaves_a_stream_frees_the_app(fleet: Fleet) -> None:
    running = fleet.wrapped
    since = running.log.mark
    with running.connect(receive_buffer_bytes=1 << 16) as connection:
        connection.send(rawhttp.request("GET", "/flood"))
        connection.head()
    if running.server.kind == "wsgi":  # PEP 3333: close() is called however the request ends
        assert running.log.wait("flood closed", since=since)
    with running.talk() as talk:
        talk.ask("GET", "/hello")


@on_every_server
def test_an_upload_reaches_the_app_while_it_is_sent(fleet: Fleet) -> None:
    running = fleet.wrapped
    body = b"0123456789abcdef" * (1 << 19)  # 8 MiB
    with running.connect() as connection:
        since = running.log.mark
        head = rawhttp.request("POST", "/echo", [("Content-Length", str(len(body)))])
        connection.send(head, body[: 1 << 16])
        if not running.deviates("reads the body first"):
            assert running.log.wait("echo began", since=since), "the app waits for the rest of the body"
        else:
            assert "echo began" not in running.log.text[since:]
        connection.send(body[1 << 16 :])
        told = json.loads(connection.response("POST").body)
    assert told == {"method": "POST", "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@on(lambda server: "no chunked requests" not in server.deviations)
def test_a_chunked_upload_reaches_the_app_whole(fleet: Fleet) -> None:
    pieces = [b"a" * size for size in (1, 10, 1000, 70_000, 3)]
    with fleet.wrapped.talk() as talk:
        told = json.loads(talk.send("POST", *rawhttp.chunked("POST", "/echo", pieces=pieces)).body)
    body = b"".join(pieces)
    assert told == {"method": "POST", "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@on(lambda server: "no chunked requests" in server.deviations)
def test_a_chunked_upload_is_as_lost_as_without_mockware(fleet: Fleet) -> None:
    for running in (fleet.bare, fleet.wrapped):
        with running.connect() as connection:
            connection.send(b"".join(rawhttp.chunked("POST", "/echo", pieces=[b"a" * 1000])))
            assert json.loads(connection.response("POST").body)["length"] == 0
