"""A request and its response through a proxy: what the other side sees, byte for byte, on real servers."""

import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.proxies import Front, front, in_front_of
from tests.rawhttp import Malformed, Response, chunked, request
from tests.upstreams import Arrived, Upstream

__all__ = ["front"]

MIB = 1 << 20
CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'


def told(response: Response) -> Any:
    """What the upstream has echoed."""
    assert response.status == 200, response.raw
    return json.loads(response.body)


def problem(response: Response, status: int, error: str) -> str:
    """The detail of the proxy's own problem, which is no mock."""
    assert response.status == status, response.raw
    assert response.one("content-type") == "application/problem+json"
    assert response.one("proxy-status") == f"mockware; error={error}"
    assert response.one("cache-control") == "no-store"
    assert response.all("x-mock-rule") == []
    said = json.loads(response.body)
    assert said["status"] == status
    return str(said["detail"])


# What passes


@pytest.mark.parametrize(
    "target",
    ["/", "//a%2Fb/../c%7C/./d;x=1?q=%41&&b=+%2B", "/caf%C3%A9?%E9=%00", "/a?b?c=/d", "/a%20b%23c"],
)
def test_the_target_arrives_as_it_was_sent(front: Front, target: str) -> None:
    with front.connect() as connection:
        assert told(connection.ask("GET", target))["line"] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_every_method_arrives_with_its_body(front: Front, method: str) -> None:
    body = bytes(range(256)) * 20
    with front.connect() as connection:
        echo = told(connection.ask(method, "/x", [("Content-Type", "a/b")], body))
        assert echo["line"] == f"{method} /x HTTP/1.1"
        assert echo["body"].encode("latin-1") == body
        echo = told(connection.ask(method, "/x"))
        assert echo["body"] == ""


def test_fields_arrive_with_their_repetitions_and_nothing_is_added_but_who_sent_it(front: Front) -> None:
    fields = [
        ("X-One", "1"),
        ("Accept", "text/html"),
        ("x-one", "2, 3"),
        ("X-Utf8", "caf\u00c3\u00a9"),
        ("TE", "gzip"),
    ]
    with front.connect() as connection:
        echo = told(connection.ask("GET", "/x", fields))
        via = dict(echo["headers"])["via"]
        assert via.startswith("1.1 mockware")
        assert sorted(map(tuple, echo["headers"])) == sorted(
            [
                ("x-one", "1"),
                ("accept", "text/html"),
                ("x-one", "2, 3"),
                ("x-utf8", "caf\u00c3\u00a9"),
                ("host", "example.test"),
                ("via", via),
                ("x-forwarded-for", "127.0.0.1"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "example.test"),
                ("forwarded", "for=127.0.0.1;host=example.test;proto=http"),
            ]
        )


def test_a_body_without_a_type_arrives_without_one(front: Front) -> None:
    with front.connect() as connection:
        assert "content-type" not in dict(told(connection.ask("POST", "/x", body=b"?"))["headers"])


def test_what_is_about_the_connection_ends_here_and_the_key_too(front: Front) -> None:
    fields = [
        ("Connection", "x-mine, keep-alive"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=9"),
        ("Proxy-Authorization", "Basic eA=="),
        ("X-Mock-Key", "secret"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Kept", "1"),
    ]
    with front.connect() as connection:
        echo = dict(told(connection.ask("GET", "/x", fields))["headers"])
        assert echo["x-kept"] == "1"
        assert not echo.keys() & {"x-mine", "keep-alive", "proxy-authorization", "x-mock-key", "connection"}
        assert "6.6.6.6" not in str(echo)
        assert echo["x-forwarded-proto"] == "http"


def test_a_response_comes_back_as_it_was_sent(front: Front) -> None:
    packed = gzip.compress(b"packed " * 1000)

    @front.upstream.on("/answer")
    def answer(arrived: Arrived) -> None:
        arrived.body()
        arrived.send(
            b"HTTP/1.1 299 Whatever\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Encoding: gzip\r\n"
            b'Content-Type: text/plain\r\nETag: "x"\r\nX-Odd: caf\xe9\r\nKeep-Alive: timeout=5\r\n'
            b"Connection: X-Hop\r\nX-Hop: 1\r\nServer: up\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(packed), packed)
        )

    with front.connect() as connection:
        response = connection.ask("GET", "/answer")
        assert (response.status, response.body) == (299, packed)
        assert sorted(response.headers) == [
            ("content-encoding", "gzip"),
            ("content-length", str(len(packed))),
            ("content-type", "text/plain"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("etag", '"x"'),
            ("server", "up"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x-odd", "caf\u00e9"),
        ]


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"200 OK\r\nContent-Length: 44"),
        ("GET", b"204 No Content"),
        ("GET", b'304 Not Modified\r\nETag: "x"'),
        ("GET", b"200 OK\r\nContent-Length: 0"),
    ],
)
def test_a_response_without_a_body_has_none_and_the_connection_goes_on(
    front: Front, method: str, head: bytes
) -> None:
    front.upstream.routes["/bare"] = lambda arrived: arrived.send(b"HTTP/1.1 " + head + b"\r\n\r\n")
    with front.connect() as connection:
        for _ in range(2):
            response = connection.ask(method, "/bare")
            assert (response.status, response.body) == (int(head[:3]), b"")
            if method == "HEAD":
                assert response.one("content-length") == "44"
        told(connection.ask("GET", "/x"))


def test_a_redirect_is_the_clients_to_follow(front: Front) -> None:
    front.upstream.routes["/moved"] = lambda arrived: arrived.answer(b"", "Location: /x", status="302 Found")
    with front.connect() as connection:
        response = connection.ask("GET", "/moved")
        assert (response.status, response.one("location")) == (302, "/x")


def test_cookies_of_one_client_are_not_sent_for_another(front: Front) -> None:
    front.upstream.routes["/cookie"] = lambda arrived: arrived.answer(b"", "Set-Cookie: sid=1; Path=/")
    with front.connect() as connection:
        connection.ask("GET", "/cookie")
        assert "cookie" not in dict(told(connection.ask("GET", "/x"))["headers"])


def test_a_body_that_ends_with_its_connection_comes_whole(front: Front) -> None:
    @front.upstream.on("/until-the-end")
    def answer(arrived: Arrived) -> None:
        arrived.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        arrived.send(b"x" * 100_000)
        arrived.connection.socket.close()

    with front.connect() as connection:
        assert connection.ask("GET", "/until-the-end").body == b"x" * 100_000
        told(connection.ask("GET", "/x"))


def test_a_large_field_passes(front: Front) -> None:
    front.upstream.routes["/large"] = lambda arrived: arrived.answer(b"", f"X-Large: {'x' * 30_000}")
    with front.connect() as connection:
        assert len(connection.ask("GET", "/large").one("x-large")) == 30_000


def test_mocks_and_triggers_answer_before_the_upstream(front: Front) -> None:
    accepted = front.upstream.accepted
    with front.connect() as connection:
        response = connection.ask("POST", "/reports", body=b"x" * MIB)
        assert (response.status, response.body) == (202, CANONICAL)
        assert response.one("x-mock-rule") == "POST /reports"
        assert connection.ask("GET", "/x", [("X-Mock-Status", "503")]).status == 503
        assert front.upstream.accepted == accepted
        told(connection.ask("GET", "/x", [("X-Mock-Status", "passthrough")]))


# Streams


def test_the_first_piece_arrives_before_the_upstream_has_the_next(front: Front) -> None:
    seen = threading.Event()

    @front.upstream.on("/stream")
    def stream(arrived: Arrived) -> None:
        arrived.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert seen.wait(20)
        arrived.send(b"6\r\nsecond\r\n0\r\n\r\n")

    with front.connect() as connection:
        connection.send(request("GET", "/stream"))
        assert b"200" in connection.head()
        assert connection.take(10) == b"5\r\nfirst\r\n"
        seen.set()
        assert connection.take(11) == b"6\r\nsecond\r\n"
        assert connection.take(5) == b"0\r\n\r\n"
        told(connection.ask("GET", "/x"))


def test_the_first_piece_of_an_upload_arrives_before_the_client_has_the_next(front: Front) -> None:
    seen = threading.Event()

    @front.upstream.on("/upload")
    def upload(arrived: Arrived) -> None:
        pieces = arrived.pieces()
        assert next(pieces) == b"first"
        seen.set()
        arrived.answer(b"".join(pieces))

    with front.connect() as connection:
        head, first, second, end = chunked("POST", "/upload", pieces=[b"first", b"second"])
        connection.send(head, first)
        assert seen.wait(20)
        connection.send(second, end)
        assert connection.response("POST").body == b"second"


@pytest.mark.parametrize("size", [1, 65_536, 5 * MIB])
def test_long_bodies_go_both_ways(front: Front, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    front.upstream.routes["/both"] = lambda arrived: arrived.answer(arrived.body())
    with front.connect() as connection:
        for _ in range(2):
            sending = threading.Thread(target=connection.send, args=(request("PUT", "/both", body=body),))
            sending.start()
            assert connection.response("PUT").body == body
            sending.join()


def test_who_reads_slowly_slows_the_upstream_down(front: Front) -> None:
    sent = 0
    full = threading.Event()

    @front.upstream.on("/flood")
    def flood(arrived: Arrived) -> None:
        nonlocal sent
        arrived.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (256 * MIB))
        arrived.connection.socket.settimeout(1.0)
        try:
            for _ in range(256):
                arrived.send(b"x" * MIB)
                sent += 1
        except TimeoutError:
            full.set()
        arrived.connection.socket.close()

    with front.connect(receive_buffer_bytes=65_536) as connection:
        connection.send(request("GET", "/flood"))
        connection.head()
        assert full.wait(60), "everything was taken from the upstream"
        assert sent < 64


def test_an_upstream_that_reads_slowly_slows_the_client_down(front: Front) -> None:
    go_on = threading.Event()

    @front.upstream.on("/slow-reader")
    def read(arrived: Arrived) -> None:
        assert go_on.wait(60)
        arrived.answer(str(len(arrived.body())).encode())

    with front.connect() as connection:
        total = 128 * MIB
        connection.send(request("PUT", "/slow-reader", [("Content-Length", str(total))]))
        sent = connection.send_until_full(b"x" * total)
        assert sent < 64 * MIB
        go_on.set()
        connection.send(b"x" * (total - sent))
        assert connection.response("PUT").body == str(total).encode()


# Expectations


def test_the_upstream_says_when_to_go_on(front: Front) -> None:
    seen, go_on = threading.Event(), threading.Event()

    @front.upstream.on("/expects")
    def expects(arrived: Arrived) -> None:
        assert arrived.all("expect") == ["100-continue"]
        seen.set()
        assert go_on.wait(20)
        arrived.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        arrived.answer(arrived.body())

    with front.connect() as connection:
        connection.send(request("POST", "/expects", [("Expect", "100-continue"), ("Content-Length", "4")]))
        assert seen.wait(20)
        assert connection.silent()
        go_on.set()
        assert connection.continues()
        connection.send(b"body")
        response = connection.response("POST")
        assert (response.interim, response.body) == ((100,), b"body")


def test_an_upstream_that_never_says_it_gets_the_body_nevertheless(front: Front) -> None:
    front.upstream.routes["/old"] = lambda arrived: arrived.answer(arrived.body())
    with front.connect() as connection:
        connection.send(request("POST", "/old", [("Expect", "100-continue"), ("Content-Length", "4")]))
        assert connection.continues()
        connection.send(b"body")
        assert connection.response("POST").body == b"body"


def test_an_upload_that_the_upstream_refuses_is_never_asked_for(front: Front) -> None:
    @front.upstream.on("/refuses")
    def refuses(arrived: Arrived) -> None:
        arrived.answer(b"too much", status="413 Content Too Large")

    with front.connect() as connection:
        length = ("Content-Length", str(64 * MIB))
        connection.send(request("POST", "/refuses", [("Expect", "100-continue"), length]))
        response = connection.response("POST")
        assert (response.status, response.body, response.interim) == (413, b"too much", ())
        assert response.closes


def test_a_long_body_that_the_upstream_does_not_read_is_answered_and_the_connection_goes_on(
    front: Front,
) -> None:
    @front.upstream.on("/early")
    def early(arrived: Arrived) -> None:
        arrived.answer(b"enough", "Connection: close", status="413 Content Too Large")
        arrived.connection.socket.close()

    with front.connect() as connection:
        for _ in range(3):
            connection.send(request("POST", "/early", body=b"x" * MIB))
            response = connection.response("POST")
            # A connection that is reset takes its response along, at times; then the upstream is to blame.
            assert response.status in (413, 502)
        told(connection.ask("GET", "/x"))


def test_an_early_answer_is_complete_when_its_request_is(front: Front) -> None:
    """A server that has the last byte of an answer may close the connection of a request it has not read."""

    answered = threading.Event()

    @front.upstream.on("/at-once")
    def at_once(arrived: Arrived) -> None:
        arrived.answer(b"enough", status="413 Content Too Large")
        answered.set()
        arrived.ends()

    half = b"x" * (MIB // 2)
    with front.connect() as connection, front.connect() as other:
        for _ in range(3):
            answered.clear()
            connection.send(request("POST", "/at-once", [("Content-Length", str(2 * len(half)))]), half)
            assert answered.wait(20)
            told(other.ask("GET", "/x"))  # by now, the proxy has the answer too
            connection.send(half)
            response = connection.response("POST")
            assert (response.status, response.body, response.closes) == (413, b"enough", False)
        told(connection.ask("GET", "/x"))


# Ends


def test_a_client_that_leaves_ends_what_the_upstream_does_for_it(front: Front) -> None:
    asked, ended = threading.Event(), threading.Event()

    @front.upstream.on("/long-poll")
    def poll(arrived: Arrived) -> None:
        asked.set()
        if arrived.ends():
            ended.set()

    with front.connect() as connection:
        connection.send(request("GET", "/long-poll"))
        assert asked.wait(20)
    assert ended.wait(20)


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_the_upstream_without_the_rest(
    front: Front,
) -> None:
    asked, ended = threading.Event(), threading.Event()

    @front.upstream.on("/half")
    def half(arrived: Arrived) -> None:
        arrived.connection.take(10)
        asked.set()
        if arrived.ends():
            ended.set()

    with front.connect() as connection:
        connection.send(request("POST", "/half", [("Content-Length", "1000")]), b"0123456789")
        assert asked.wait(20)
    assert ended.wait(20)


def break_off(arrived: Arrived) -> None:
    arrived.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
    arrived.connection.socket.close()


def break_off_a_chunk(arrived: Arrived) -> None:
    arrived.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nxxxx")
    arrived.connection.socket.close()


@pytest.mark.parametrize("function", [break_off, break_off_a_chunk])
def test_a_response_that_breaks_off_breaks_off_for_the_client(front: Front, function: Any) -> None:
    front.upstream.routes["/broken"] = function
    with front.connect() as connection:
        connection.send(request("GET", "/broken"))
        with pytest.raises(Malformed, match="the server closed"):
            connection.response()
    front.program.wait_for("has broken off in the middle of its answer")


def say_nothing(arrived: Arrived) -> None:
    arrived.body()
    arrived.connection.socket.close()


def talk_nonsense(arrived: Arrived) -> None:
    arrived.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


def overlong(arrived: Arrived) -> None:
    arrived.answer(b"", f"X-Large: {'x' * 100_000}")


def two_lengths(arrived: Arrived) -> None:
    arrived.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (say_nothing, "connection_terminated"),
        (talk_nonsense, "http_protocol_error"),
        (overlong, "http_protocol_error"),
        (two_lengths, "http_protocol_error"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_upstream_that_is_broken_is_a_502(front: Front, function: Any, error: str, method: str) -> None:
    front.upstream.routes["/faulty"] = function
    with front.connect() as connection:
        body = b"x" * 300_000 if method == "POST" else None
        assert front.upstream.url in problem(connection.ask(method, "/faulty", body=body), 502, error)
        told(connection.ask("GET", "/x"))


def test_a_101_that_nobody_has_asked_for_is_a_502(front: Front) -> None:
    @front.upstream.on("/switches")
    def switch(arrived: Arrived) -> None:
        arrived.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw")
        arrived.ends()

    with front.connect() as connection:
        problem(connection.ask("GET", "/switches"), 502, "http_protocol_error")
        told(connection.ask("GET", "/x"))


def test_a_tunnel_is_not_opened(front: Front) -> None:
    with front.connect() as connection:
        problem(connection.ask("CONNECT", "/x"), 400, "http_request_error")


def test_a_method_in_small_letters_is_not_made_another(tmp_path: Path) -> None:
    # uvicorn's parser knows none.
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream())
        front = stack.enter_context(in_front_of(upstream, folder=tmp_path))
        connection = stack.enter_context(front.connect())
        problem(connection.ask("get", "/x"), 400, "http_request_error")


def test_a_value_that_cannot_be_handed_on_is_a_400(front: Front) -> None:
    with front.connect() as connection:
        connection.send(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert "two Host fields" in problem(connection.response(), 400, "http_request_error")
        response = connection.ask("GET", "/x", [("X-Latin", "caf\u00e9")])
        assert "x-latin" in problem(response, 400, "http_request_error")


# The clock


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A proxy that waits for a second."""
    with Upstream() as upstream:
        with in_front_of(upstream, "--timeout=1s", folder=tmp_path_factory.mktemp("hasty")) as made:
            yield made
        assert upstream.errors == []


def test_an_upstream_that_does_not_answer_is_a_504(hasty: Front) -> None:
    @hasty.upstream.on("/never")
    def never(arrived: Arrived) -> None:
        arrived.ends()

    with hasty.connect() as connection:
        detail = problem(connection.ask("POST", "/never", body=b"x"), 504, "http_response_timeout")
        assert detail == f"the upstream {hasty.upstream.url} has been silent for 1 s"
        hasty.program.wait_for(r"WARNING.* has been silent for 1 s")
        told(connection.ask("GET", "/x"))


def test_an_upstream_that_does_not_read_is_a_504(hasty: Front) -> None:
    gone = threading.Event()

    @hasty.upstream.on("/deaf")
    def deaf(arrived: Arrived) -> None:
        gone.wait(20)

    with hasty.connect() as connection:
        sending = threading.Thread(
            target=connection.send, args=(request("PUT", "/deaf", body=b"x" * 32 * MIB),)
        )
        sending.start()
        problem(connection.response("PUT"), 504, "http_response_timeout")
        sending.join()
    gone.set()


def test_an_upstream_that_stops_in_the_middle_ends_the_response(hasty: Front) -> None:
    gone = threading.Event()

    @hasty.upstream.on("/stalls")
    def stall(arrived: Arrived) -> None:
        arrived.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nxxxx")
        gone.wait(20)

    with hasty.connect() as connection:
        connection.send(request("GET", "/stalls"))
        connection.head()
        assert connection.take(4) == b"xxxx"
        connection.at_end()
    gone.set()


def test_events_may_be_rare(hasty: Front) -> None:
    @hasty.upstream.on("/events")
    def events(arrived: Arrived) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
        arrived.send(head + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        threading.Event().wait(2.5)  # longer than the proxy waits for anything else
        arrived.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    with hasty.connect() as connection:
        assert connection.ask("GET", "/events").body == b"data: 1\n\ndata: 2\n\n"


def test_events_may_be_rare_behind_an_upload_that_ends_later(hasty: Front) -> None:
    @hasty.upstream.on("/talk")
    def talk(arrived: Arrived) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        arrived.send(head + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
        arrived.body()
        threading.Event().wait(2.5)  # as above
        arrived.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    head, first, *others = chunked("POST", "/talk", pieces=[b"a", b"b"])
    with hasty.connect() as connection:
        connection.send(head, first)
        start = connection.head()
        assert start.startswith(b"HTTP/1.1 200"), start
        connection.send(*others)
        assert connection.take(28) == b"9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n"


def test_a_client_that_pauses_in_its_upload_is_waited_for(hasty: Front) -> None:
    with hasty.connect() as connection:
        connection.send(request("POST", "/x", [("Content-Length", "2")]), b"a")
        threading.Event().wait(2.5)  # as above
        connection.send(b"b")
        assert told(connection.response("POST"))["body"] == "ab"


# An upstream that comes and goes


def test_an_upstream_that_is_away_is_a_502_said_once_and_mocks_answer_meanwhile(tmp_path: Path) -> None:
    upstream = Upstream()
    upstream.stop()
    with in_front_of(upstream, folder=tmp_path) as front, front.connect() as connection:
        text = front.program.text
        assert f"warning: the upstream {upstream.url} cannot be reached now: Connection refused" in text
        for _ in range(3):
            response = connection.ask("POST", "/x", body=b"x" * MIB)
            detail = problem(response, 502, "connection_refused")
            assert detail == f"the upstream {upstream.url} cannot be reached: Connection refused"
            assert connection.ask("POST", "/reports").status == 202
        assert connection.ask("HEAD", "/x").status == 502
        assert front.program.text.count("it is asked again for each request") == 1


def fail(arrived: Arrived) -> None:
    arrived.answer(b"mine", "Connection: close", status="502 Bad Gateway")
    arrived.connection.socket.close()


def test_a_patch_makes_no_success_of_an_upstream_that_is_away(tmp_path: Path) -> None:
    rules = '[[rules]]\nmatch = "/{rest:path}"\npatch = { status = 203, json = { plan = "trial" } }\n'
    with (
        Upstream() as upstream,
        in_front_of(upstream, folder=tmp_path, rules=rules) as front,
        front.connect() as connection,
    ):
        upstream.routes["/x"] = fail
        patched = connection.ask("GET", "/x")
        assert (patched.status, patched.body) == (203, b"mine")
        assert patched.one("x-mock-rule") == "/{rest:path}"
        upstream.stop()
        for method in ("GET", "POST"):
            problem(connection.ask(method, "/x"), 502, "connection_refused")


def test_a_request_that_comes_back_to_the_proxy_is_a_508(tmp_path: Path) -> None:
    with (
        Upstream() as upstream,
        in_front_of(upstream, folder=tmp_path) as front,
        front.connect() as connection,
    ):
        via = dict(told(connection.ask("GET", "/x"))["headers"])["via"]
        assert (
            dict(told(connection.ask("GET", "/x", [("Via", "1.1 other")]))["headers"])["via"]
            == f"1.1 other, {via}"
        )
        problem(connection.ask("POST", "/x", [("Via", via)], b"x" * MIB), 508, "proxy_loop_detected")
        told(connection.ask("GET", "/x"))


def test_what_is_under_way_at_the_end_is_finished(tmp_path: Path) -> None:
    asked, go_on = threading.Event(), threading.Event()
    with Upstream() as upstream, in_front_of(upstream, folder=tmp_path) as front:

        @upstream.on("/slow")
        def slow(arrived: Arrived) -> None:
            arrived.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            asked.set()
            assert go_on.wait(20)
            arrived.send(b"4\r\ndone\r\n0\r\n\r\n")

        with front.connect() as connection:
            connection.send(request("GET", "/slow"))
            assert asked.wait(20)
            front.program.terminate()
            front.program.wait_for("Shutting down|Stopping")
            go_on.set()
            assert connection.response().body == b"xdone"
        assert front.program.wait() == 0
