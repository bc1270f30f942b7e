"""Every server sends the mocks as they are meant: the bytes, the framing, and what follows them.

The harness is `tests/servers.py`. What passes through, request bodies, websockets, HTTP/2 and the ways
to put the middleware into a server have files of their own beside this one.
"""

import http
import json
from typing import Any

import pytest
from tests import rawhttp
from tests.rawhttp import Response
from tests.servers import Fleet, on, on_every_server

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'


def judge(response: Response, rule: str, status: int) -> Response:
    """What holds for every mock."""
    assert response.status == status, response
    assert response.one("x-mock-rule") == rule
    assert response.one("cache-control") == "no-store"
    if rule == "trigger":
        assert "X-Mock-Status" in response.one("vary")
    return response


def judge_canonical(response: Response, rule: str = "reports") -> None:
    judge(response, rule, 202)
    assert response.body == CANONICAL
    assert response.one("content-type") == "application/json"
    assert response.one("content-length") == "44"


def problem(response: Response) -> dict[str, Any]:
    assert response.one("content-type") == "application/problem+json"
    told: dict[str, Any] = json.loads(response.body)
    assert told["status"] == response.status
    return told


def complaints(output: str) -> list[str]:
    """The lines of a server's output by which it says that something is wrong."""
    words = ("traceback", "error", "exception", "never awaited", "assert")
    lines = [line for line in output.splitlines() if "[INFO]" not in line]
    return [line for line in lines if any(word in line.lower() for word in words)]


@on_every_server
def test_a_rule_alone_gives_the_canonical_202(fleet: Fleet) -> None:
    with fleet.wrapped.talk() as talk:
        judge_canonical(talk.ask("POST", "/reports"))
        assert talk.ask("GET", "/reports").status == 404
        judge_canonical(talk.ask("POST", "/reports?page=2", body=b"{}"))


@on_every_server
def test_a_trigger_gives_the_status_it_asks_for(fleet: Fleet) -> None:
    with fleet.wrapped.talk() as talk:
        problem(judge(talk.ask("GET", "/hello", [("X-Mock-Status", "503")]), "trigger", 503))
        assert talk.ask("GET", "/hello").body == b"hello\n"


@on_every_server
@pytest.mark.parametrize("value", ["abc", "99", "600", "+202", "2_02", "200:x", "<b>", "9" * 2000])
def test_a_malformed_trigger_is_a_bad_request(fleet: Fleet, value: str) -> None:
    with fleet.wrapped.talk() as talk:
        response = talk.ask("GET", "/hello", [("X-Mock-Status", value)])
        problem(judge(response, "trigger", 400))
        assert len(response.body) < 2000


@on_every_server
def test_head_has_the_headers_of_get_and_no_body(fleet: Fleet) -> None:
    with fleet.wrapped.talk() as talk:
        get = judge(talk.ask("GET", "/mocked"), "mocked", 200)
        assert get.body == b'{"mocked": true}'
        head = judge(talk.ask("HEAD", "/mocked"), "mocked", 200)
        assert rawhttp.dateless(head.raw) == rawhttp.dateless(get.raw).removesuffix(get.body)
        problem(judge(talk.ask("GET", "/hello", [("X-Mock-Status", "500")]), "trigger", 500))
        judge(talk.ask("HEAD", "/hello", [("X-Mock-Status", "500")]), "trigger", 500)


@on_every_server
@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_content_has_none(fleet: Fleet, status: int) -> None:
    with fleet.wrapped.talk() as talk:
        for method in ("GET", "HEAD", "POST"):
            response = judge(talk.ask(method, "/any", [("X-Mock-Status", str(status))]), "trigger", status)
            assert response.body == b""
            # RFC 9110 §8.6: no Content-Length in a 204; §15.3.6: a 205 says that it is empty.
            length = ",".join(response.all("content-length") or response.all("transfer-encoding"))
            if status == 204:
                assert length == ("0" if fleet.wrapped.deviates("a length on 204") else "")
            elif status == 205:
                assert length in ("0", "chunked")
            if status != 205:
                assert response.all("content-type") == []


@on_every_server
def test_every_status_is_framed_right(fleet: Fleet) -> None:
    with fleet.wrapped.talk() as talk:
        for status in http.HTTPStatus:
            if status >= 200:
                judge(talk.ask("GET", "/any", [("X-Mock-Status", str(int(status)))]), "trigger", status)


@on_every_server
def test_twenty_pipelined_requests_are_answered_in_order(fleet: Fleet) -> None:
    mixed = [
        ("POST", rawhttp.request("POST", "/reports", body=b"x" * 5000), 202, CANONICAL),
        ("GET", rawhttp.request("GET", "/hello"), 200, b"hello\n"),
        ("HEAD", rawhttp.request("HEAD", "/mocked"), 200, b""),
        ("POST", rawhttp.request("POST", "/echo", body=b"y" * 5000), 200, None),
        ("GET", rawhttp.request("GET", "/any", [("X-Mock-Status", "204")]), 204, b""),
    ]
    if fleet.wrapped.deviates("closes without a length"):
        mixed[4] = ("GET", rawhttp.request("GET", "/any", [("X-Mock-Status", "503")]), 503, None)
    mixed *= 4
    if fleet.wrapped.deviates("no pipelining"):
        with fleet.bare.connect() as connection:
            connection.send(rawhttp.request("GET", "/hello") * 20)
            with pytest.raises(rawhttp.Malformed):
                print([connection.response() for _ in range(20)])
    if fleet.wrapped.deviates("no pipelining") or fleet.wrapped.deviates("one request per connection"):
        with fleet.wrapped.talk() as talk:
            answers = [talk.send(method, request) for method, request, _, _ in mixed]
    else:
        with fleet.wrapped.connect() as connection:
            connection.send(b"".join(request for _, request, _, _ in mixed))
            answers = [connection.response(method) for method, _, _, _ in mixed]
            assert connection.silent()
    for answer, (_, _, status, body) in zip(answers, mixed, strict=True):
        assert answer.status == status
        assert body is None or answer.body == body


@on_every_server
def test_a_client_that_closes_is_answered_and_the_connection_ends(fleet: Fleet) -> None:
    keeps = fleet.wrapped.deviates("ignores Connection: close")
    with fleet.wrapped.talk() as talk:
        request = rawhttp.request("POST", "/reports", [("Connection", "close")], body=b"{}")
        judge_canonical(talk.send("POST", request, last=not keeps))


@on_every_server
def test_a_client_of_http_1_0_is_answered_and_the_connection_ends(fleet: Fleet) -> None:
    with fleet.wrapped.connect() as connection:
        connection.send(b"POST /reports HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
        judge_canonical(connection.response("POST"))
        if not fleet.wrapped.deviates("ignores Connection: close"):
            connection.at_end()


@on(lambda server: "one request at a time" in server.deviations)
def test_a_delay_holds_up_a_server_that_has_nobody_else(fleet: Fleet) -> None:
    with fleet.wrapped.connect() as slow, fleet.wrapped.connect() as other:
        slow.send(rawhttp.request("POST", "/slow", body=b"{}"))
        assert other.ask("GET", "/hello").status == 200
        assert not slow.silent(), "it serves two at a time now"
        judge_canonical(slow.response("POST"), "slow")


@on_every_server
@pytest.mark.parametrize("reset", [False, True], ids=["by FIN", "by RST"])
def test_a_client_that_leaves_during_a_delay_harms_nobody(fleet: Fleet, reset: bool) -> None:
    running = fleet.wrapped
    since = running.log.mark
    lost = reset and running.deviates("reports lost clients")
    # A server with several threads may see the second request first, and of the other nothing but its end.
    for left in range(1, 6):  # noqa: B007 - it counts them
        leaving = running.connect()
        leaving.send(rawhttp.request("POST", "/slow", body=b"{}"))
        if not running.deviates("one request at a time"):
            with running.connect() as other:
                assert other.ask("GET", "/hello").status == 200
        leaving.leave(reset=reset)
        with running.talk() as talk:  # the same delay, begun later: by its end, the first one is over
            judge_canonical(talk.ask("POST", "/slow", body=b"{}"), "slow")
        said = complaints(running.log.text[since:])
        if said or not lost:
            break
    # One for each that left, which may be told of later than the next one leaves.
    assert set(said) == ({"OSError: write error"} if lost else set())
    assert len(said) <= left


@on_every_server
def test_a_path_is_compared_decoded(fleet: Fleet) -> None:
    with fleet.wrapped.talk() as talk:
        assert judge(talk.ask("GET", "/caf%C3%A9"), "coffee", 200).body == "été".encode()
        assert talk.ask("GET", "/caf%C3%A8").status == 404
        assert talk.ask("GET", "/caf%E9").status == 404  # latin-1, which is another path
        assert talk.ask("GET", "/%FF%FE/%C3").status == 404
        judge(talk.ask("GET", "/%FF%FE/%C3", [("X-Mock-Status", "202")]), "trigger", 202)
