"""The body of a mocked request, which nobody asked for, does no harm on any server."""

import contextlib
import hashlib
import json

import pytest
from tests import rawhttp
from tests.servers import Fleet, Running, on, on_every_server
from tests.test_servers import complaints, judge, judge_canonical

MIB = 1 << 20


@on_every_server
@pytest.mark.parametrize("size", [1, 30_000, MIB, 10 * MIB])
def test_an_unread_body_does_not_spoil_the_connection(fleet: Fleet, size: int) -> None:
    with fleet.wrapped.talk() as talk:
        judge_canonical(talk.ask("POST", "/reports", body=b"x" * size))
        judge(talk.ask("POST", "/any", [("X-Mock-Status", "503")], b"x" * size), "trigger", 503)
        judge(talk.ask("PUT", "/any", [("X-Mock-Status", "wrong")], b"x" * size), "trigger", 400)


@on_every_server
def test_a_body_that_comes_in_pieces_is_read_to_its_end(fleet: Fleet) -> None:
    request = rawhttp.request("POST", "/reports", body=b"x" * 100_000)
    with fleet.wrapped.talk() as talk:
        judge_canonical(
            talk.send("POST", request[:70], request[70:150], request[150:50_000], request[50_000:])
        )


@on(lambda server: "no chunked requests" not in server.deviations)
@pytest.mark.parametrize("size", [1, 1000, MIB])
def test_an_unread_chunked_body_does_not_spoil_the_connection(fleet: Fleet, size: int) -> None:
    pieces = [b"x" * size] if size < MIB else [b"x" * (MIB // 16)] * 16
    with fleet.wrapped.talk() as talk:
        judge_canonical(talk.send("POST", *rawhttp.chunked("POST", "/reports", pieces=pieces)))
        judge_canonical(talk.send("POST", b"".join(rawhttp.chunked("POST", "/reports", pieces=pieces))))


@on(lambda server: "no chunked requests" in server.deviations)
def test_a_chunked_body_is_mocked_even_where_the_server_cannot_read_it(fleet: Fleet) -> None:
    with fleet.wrapped.connect() as connection:
        connection.send(b"".join(rawhttp.chunked("POST", "/reports", pieces=[b"x" * 1000])))
        judge_canonical(connection.response("POST"))


@on_every_server
@pytest.mark.parametrize("target", ["/reports", "/when"])
def test_a_client_that_leaves_within_its_body_harms_nobody(fleet: Fleet, target: str) -> None:
    running = fleet.wrapped
    since = running.log.mark
    for reset in (False, True):
        leaving = running.connect()
        leaving.send(rawhttp.request("POST", target, [("Content-Length", str(MIB))]), b"x" * 300_000)
        if not running.deviates("one request at a time"):
            with running.connect() as other:  # by its answer, the server has seen the first request too
                assert other.ask("GET", "/hello").status == 200
        leaving.leave(reset=reset)
    with running.talk() as talk:
        judge_canonical(talk.ask("POST", "/reports", body=b"{}"))
    if running.deviates("reports lost clients"):
        assert running.log.wait("Error reading", since=since)
    else:
        assert complaints(running.log.text[since:]) == []


# ---- Expect: 100-continue (RFC 9110 §10.1.1)


def patient(target: str, body: bytes) -> bytes:
    """The head of a request whose client waits for a 100 before it sends the body."""
    return rawhttp.request("POST", target, [("Expect", "100-continue"), ("Content-Length", str(len(body)))])


def hundreds(running: Running, continues: bool) -> tuple[int, ...]:
    return (100,) * (continues + (continues and running.deviates("continues twice")))


@on_every_server
def test_an_expectation_of_a_passed_request_is_between_app_and_server(fleet: Fleet) -> None:
    running = fleet.wrapped
    continues = not running.deviates("never continues")
    with running.connect() as connection:
        connection.send(patient("/echo", b"y" * 1000))
        if continues:
            assert connection.continues()
        connection.send(b"y" * 1000)
        response = connection.response("POST")
    assert response.interim == hundreds(running, continues)
    assert json.loads(response.body)["length"] == 1000


@on_every_server
def test_a_mock_answers_an_expectation(fleet: Fleet) -> None:
    """On ASGI instead of the upload, which a mocked 401, 413 or 417 exists to refuse; on WSGI after it."""
    running, body = fleet.wrapped, b"x" * MIB
    uploads = fleet.server.kind == "wsgi" or running.deviates("reads the body first")
    continues = (uploads or running.deviates("continues at once")) and not running.deviates("never continues")
    with running.connect() as connection:
        connection.send(patient("/reports", body))
        if continues:
            assert connection.continues()
        if uploads:
            connection.send(body)
        response = connection.response("POST")
        judge_canonical(response)
        assert response.interim == hundreds(running, continues)
        if fleet.server.kind == "asgi":
            assert response.closes
        if not response.closes or running.deviates("keeps what the app closes"):
            assert connection.ask("GET", "/hello").body == b"hello\n"
        else:
            connection.at_end()


@on(lambda server: server.kind == "asgi")
def test_a_client_that_uploads_all_the_same_still_gets_the_mock(fleet: Fleet) -> None:
    body = b"x" * MIB
    with fleet.wrapped.connect() as connection:
        connection.send(patient("/reports", body))
        with contextlib.suppress(ConnectionError):  # the server has answered, and may have closed
            connection.send(body)
        judge_canonical(connection.response("POST"))
    with fleet.wrapped.talk() as talk:
        judge_canonical(talk.ask("POST", "/reports", body=body))


@on_every_server
def test_a_condition_on_the_body_asks_a_patient_client_for_it(fleet: Fleet) -> None:
    running, body = fleet.wrapped, b'{"kind": "mock"}'
    with running.connect() as connection:
        connection.send(patient("/when", body))
        if not running.deviates("never continues"):
            assert connection.continues()
        connection.send(body)
        response = connection.response("POST")
        judge_canonical(response, "when")
        if response.closes:
            assert running.deviates("one request per connection")
        else:
            assert connection.ask("GET", "/hello").body == b"hello\n"


# ---- conditions on the body


@on_every_server
def test_a_condition_on_the_body_is_met_in_every_framing(fleet: Fleet) -> None:
    body = json.dumps({"kind": "mock", "pad": "é" * 1000}).encode()
    plain = rawhttp.request("POST", "/when", body=body)
    with fleet.wrapped.talk() as talk:
        judge_canonical(talk.send("POST", plain), "when")
        at = len(plain) - len(body)
        judge_canonical(talk.send("POST", plain[: at + 5], plain[at + 5 : at + 9], plain[at + 9 :]), "when")
        if not fleet.wrapped.deviates("no chunked requests"):
            pieces = [body[:1], body[1:9], body[9:]]
            judge_canonical(talk.send("POST", *rawhttp.chunked("POST", "/when", pieces=pieces)), "when")


@on_every_server
@pytest.mark.parametrize("size", [0, 1, 1000, MIB - 100, MIB, MIB + 1, 3 * MIB])
def test_a_body_that_does_not_meet_it_reaches_the_app_exactly(fleet: Fleet, size: int) -> None:
    body = (b'{"kind": "real", "pad": "' + bytes(range(97, 123)) * (size // 26 + 1))[:size]
    wanted = {"method": "POST", "length": size, "sha256": hashlib.sha256(body).hexdigest()}
    with fleet.wrapped.talk() as talk:
        assert json.loads(talk.ask("POST", "/when", body=body).body) == wanted
        if not fleet.wrapped.deviates("no chunked requests"):
            pieces = [body[at : at + 60_000] for at in range(0, size, 60_000)]
            answer = talk.send("POST", *rawhttp.chunked("POST", "/when", pieces=pieces))
            assert json.loads(answer.body) == wanted
