"""What goes wrong on purpose goes wrong as it was meant, on every server: bytes, silence and the end.

The rules are `server_apps.fault_rules`, in a process of their own in which silences are short and places to
sleep in are few. What a server cannot do is in the table, and `mockware check` says the same.
"""

import contextlib
import re
import select
import time
import typing
from collections.abc import Iterator

import h2.errors
import h2.events
import pytest
from tests import rawhttp, test_servers_http2
from tests.rawhttp import PATIENCE_S, Connection
from tests.server_apps import CAP_S, DRIP_S, LONG, ROOM
from tests.server_table import IDLE_S, TABLE, Deviation
from tests.servers import Fleet, Running, on, on_every_server
from tests.test_servers import complaints
from tests.test_servers_http2 import on_http2

from mockware.faults import CANNOT
from mockware.messages import Fault

MIB = 1 << 20
BODY = LONG.encode()
HALF = BODY[: len(BODY) // 2]
# An end within it is the fault's, and not that of a connection which was idle for too long.
SOON_S = IDLE_S - 2
PIECES = 5  # of a drip of DRIP_S, at ten a second
EARLY = "ASGI callable returned without completing response."
BAD = {"GET": None, "POST": b"x" * MIB}


@contextlib.contextmanager
def begun(running: Running, method: str, target: str, body: bytes | None = None) -> Iterator[Connection]:
    """A connection on which the head of a mock has come, and nothing else was read; it has served before.

    Where there is no place to sleep in, it waits for one: those who have left make room a moment later.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < deadline, "no place is given back"
        with running.connect() as connection:
            if not running.deviates("one request per connection"):
                assert connection.ask("GET", "/hello").body == b"hello\n"
            connection.send(rawhttp.request(method, target, body=body))
            head = connection.response("HEAD")  # whatever the method, the body is left to be read
            if head.status == 503:
                continue
            assert head.status == 200
            assert head.one("x-mock-rule") == target[1:]
            assert head.one("content-length") == str(len(BODY))
            yield connection
            return


def judge_end(
    running: Running, connection: Connection, *, within_s: float = SOON_S, keeps_past: str = "/hello"
) -> None:
    """Nothing more comes, and the connection ends, not by a reset.

    One that a server keeps open is still so when that server has answered `keeps_past` to another client.
    """
    if running.deviates("keeps what breaks off"):
        with running.connect() as other:
            assert other.ask("GET", keeps_past).status == 200
        assert connection.silent(), "it closes now"
        return
    since = time.monotonic()
    connection.at_end()
    assert time.monotonic() - since < within_s


def judge_end_of_head(running: Running, connection: Connection, *, within_s: float = SOON_S) -> None:
    if running.deviates("keeps a HEAD that breaks off"):
        assert connection.ask("GET", "/hello").body == b"hello\n"
    else:
        judge_end(running, connection, within_s=within_s)


def settled(running: Running) -> int:
    """The server goes on; the place in its output behind all that was said until now."""
    since = running.log.mark
    with running.talk() as talk:
        assert talk.ask("POST", "/echo", body=b"x").status == 200
    assert running.log.wait("echo began", since=since)
    return running.log.mark


def judge_log(running: Running, since: int, *, early: int) -> None:
    """The server goes on, and has complained of nothing but `early` returns, if it does of those."""
    settled(running)
    wanted = early if running.deviates("complains of early returns") else 0
    found = complaints(running.log.text[since:])
    assert (len(found), all(EARLY in line for line in found)) == (wanted, True), found


# ---- cut


@on_every_server
def test_a_cut_gives_half_of_the_body_and_the_end(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    for method, body in BAD.items():
        with begun(running, method, "/cut", body) as connection:
            assert connection.take(len(HALF)) == HALF
            judge_end(running, connection)
    judge_log(running, since, early=len(BAD))


@on_every_server
def test_a_cut_head_has_no_body(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    with begun(running, "HEAD", "/cut") as connection:
        judge_end_of_head(running, connection)
    judge_log(running, since, early=1)


# ---- stall


@on_every_server
def test_a_stall_gives_headers_at_once_then_silence_and_the_end(fleet: Fleet) -> None:
    """Two clients leave meanwhile, which harms nobody: by the end of the others, theirs is over too."""
    running = fleet.faulty
    since = settled(running)
    for reset in (False, True):
        with begun(running, "POST", "/stall", b"x") as leaving:
            assert leaving.silent()
            leaving.leave(reset=reset)
    sent, within_s = time.monotonic(), CAP_S + SOON_S
    with begun(running, "POST", "/stall", b"x" * MIB) as post:
        assert post.silent(), "more than headers, or no stall"
        with begun(running, "HEAD", "/stall") as head:
            assert head.silent()
            judge_end(running, post, within_s=within_s, keeps_past="/later")
            assert time.monotonic() - sent >= CAP_S
            judge_end_of_head(running, head, within_s=within_s)
    judge_log(running, since, early=2)


@on(lambda server: server.kind == "asgi")
@pytest.mark.parametrize("reset", [False, True], ids=["by FIN", "by RST"])
def test_a_client_that_leaves_a_stall_ends_it_at_once(fleet: Fleet, reset: bool) -> None:
    """Its place is free while those who came before it still sleep."""
    running = fleet.faulty
    since = settled(running)
    with contextlib.ExitStack() as stack:
        *staying, leaving = (stack.enter_context(begun(running, "GET", "/stall")) for _ in range(ROOM))
        with running.connect() as other:
            assert other.ask("GET", "/soon").status == 503, "there is room for more"
            leaving.leave(reset=reset)
            while other.ask("GET", "/soon").status == 503:
                assert all(each.silent() for each in staying), "it slept as long as they"
        assert all(each.silent() for each in staying)
    judge_log(running, since, early=0)


# ---- empty


@on(lambda server: "no empty answers" not in server.deviations)
def test_an_empty_answer_is_the_end_alone(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    for method, body in {**BAD, "HEAD": None}.items():
        with running.connect() as connection:
            if not running.deviates("one request per connection"):
                assert connection.ask("GET", "/hello").body == b"hello\n"
            connection.send(rawhttp.request(method, "/empty", body=body))
            judge_end(running, connection)
    judge_log(running, since, early=0)


@on(lambda server: "no empty answers" in server.deviations)
def test_an_answer_that_cannot_be_empty_is_its_headers_and_the_end(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    for method, body in BAD.items():
        with begun(running, method, "/empty", body) as connection:
            judge_end(running, connection)
    with begun(running, "HEAD", "/empty") as connection:
        judge_end_of_head(running, connection)
    judge_log(running, since, early=len(BAD) + 1)


@on(lambda server: "no empty answers" in server.deviations)
def test_an_app_that_answers_nothing_does_not_end_its_connection(fleet: Fleet) -> None:
    """Why those servers have no empty answers; the app does what a mock would do."""
    with fleet.faulty.connect() as connection:
        connection.send(rawhttp.request("GET", "/nothing"))
        if fleet.server.name == "daphne":
            judge_end(fleet.faulty, connection)
        else:
            assert connection.response().status == 500


# ---- all of them


@on_every_server
def test_what_breaks_off_gives_its_place_back(fleet: Fleet) -> None:
    """More faults than there are places; each has slept for a moment first."""
    running = fleet.faulty
    since = settled(running)
    for _ in range(ROOM + 1):
        with begun(running, "GET", "/cut-soon") as connection:
            assert connection.take(len(HALF)) == HALF
            judge_end(running, connection)
        if running.deviates("no empty answers"):
            with begun(running, "GET", "/empty-soon") as connection:
                judge_end(running, connection)
        else:
            with running.connect() as connection:
                connection.send(rawhttp.request("GET", "/empty-soon"))
                judge_end(running, connection)
    judge_log(running, since, early=2 * (ROOM + 1))


# ---- drip


def judge_pieces(sent: float, came: list[float], pauses: int) -> None:
    """A busy machine may miss a pause, or see a piece late, so that half of each is enough."""
    assert came[-1] - sent >= DRIP_S
    assert came[-1] - came[0] >= DRIP_S / 2, "the pieces came together"
    assert pauses >= PIECES // 2, "it did not come in pieces"


@on_every_server
def test_a_drip_is_whole_and_comes_in_pieces(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    sent = time.monotonic()
    with begun(running, "POST", "/drip", b"x" * MIB) as connection:
        pauses, came = 0, []
        for number in range(PIECES):
            start, stop = (len(BODY) * each // PIECES for each in (number, number + 1))
            assert connection.take(stop - start) == BODY[start:stop]
            came.append(time.monotonic())
            pauses += number + 1 < PIECES and connection.silent()
        judge_pieces(sent, came, pauses)
        if running.deviates("one request per connection"):
            connection.at_end()
        else:
            head = connection.ask("HEAD", "/drip")
            assert head.one("content-length") == str(len(BODY))
            assert connection.ask("GET", "/hello").body == b"hello\n"
    judge_log(running, since, early=0)


# ---- HTTP/2


class Http2(test_servers_http2.Connection):
    """A connection that can look at an answer before it ends, and that takes a reset for an answer."""

    def __init__(self, running: Running) -> None:
        self._resets: dict[int, int] = {}
        super().__init__(running)

    def begin(self, method: str, path: str, body: bytes = b"") -> int:
        """A stream of which the head has come; it waits for a place, as `begun` does."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            stream = self.start(method, path, [], end=not body)
            if body:
                self.send(stream, body)
            while stream not in self._heads:
                self._read()
            headers = dict(self._heads[stream])
            if headers[":status"] != "503":
                assert (headers[":status"], headers["content-length"]) == ("200", str(len(BODY)))
                return stream
        raise AssertionError("no place is given back")

    def body(self, stream: int, count: int = 0) -> bytes:
        """What has come of a body, when so many bytes have."""
        while len(self._bodies[stream]) < count:
            assert self.is_open(stream)
            self._read()
        return self._bodies[stream]

    def is_open(self, stream: int) -> bool:
        return stream not in self._ended and stream not in self._resets

    def is_silent(self) -> bool:
        return not select.select([self._socket], [], [], 0)[0]

    def reset(self, stream: int) -> int | None:
        """The code of the reset that ends a stream, which may also end well."""
        while self.is_open(stream):
            self._read()
        return self._resets.get(stream)

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        assert data, "the server closed the connection"
        for event in self._h2.receive_data(data):
            match event:
                case h2.events.ResponseReceived():
                    self._heads[event.stream_id] = event.headers
                case h2.events.DataReceived():
                    self._bodies[event.stream_id] += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self._ended.add(event.stream_id)
                case h2.events.StreamReset():
                    self._resets[event.stream_id] = event.error_code
                    self._dismissed.add(event.stream_id)
                case h2.events.ConnectionTerminated():
                    raise AssertionError(f"the server gave up: {event}")
        self._flush()


@on_http2
def test_a_fault_on_http_2_ends_its_stream_and_no_other(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    with Http2(running) as connection:
        begun_streams = []
        for method, sent in (("POST", b"x" * MIB), ("HEAD", b"")):
            for target, wanted in (("/cut", HALF), ("/stall", b""), ("/empty", b"")):
                stream = connection.begin(method, target, sent)
                assert target != "/stall" or connection.is_open(stream)
                begun_streams.append((stream, wanted if method == "POST" else b""))
        if running.deviates("keeps streams that break off"):
            assert connection.ask("GET", "/later")[0] == 200
            assert all(connection.is_open(stream) for stream, _ in begun_streams), "it ends them now"
        else:
            for stream, _ in begun_streams:
                assert connection.reset(stream) == h2.errors.ErrorCodes.INTERNAL_ERROR
        for stream, wanted in begun_streams:
            assert connection.body(stream) == wanted
        assert connection.ask("GET", "/hello")[2] == b"hello\n"
    judge_log(running, since, early=0)


@on_http2
def test_a_stream_that_is_cancelled_in_a_stall_ends_it_at_once(fleet: Fleet) -> None:
    running = fleet.faulty
    since = settled(running)
    with contextlib.ExitStack() as stack:
        staying = [stack.enter_context(begun(running, "GET", "/stall")) for _ in range(ROOM - 1)]
        connection = stack.enter_context(Http2(running))
        leaving = connection.begin("GET", "/stall")
        assert connection.ask("GET", "/soon")[0] == 503, "there is room for more"
        connection.cancel(leaving)
        while connection.ask("GET", "/soon")[0] == 503:
            assert all(each.silent() for each in staying), "it slept as long as they"
        assert all(each.silent() for each in staying)
    judge_log(running, since, early=0)


@on_http2
def test_a_drip_on_http_2_is_whole_and_comes_in_pieces(fleet: Fleet) -> None:
    with Http2(fleet.faulty) as connection:
        sent, came, pauses = time.monotonic(), [], 0
        stream = connection.begin("POST", "/drip", b"x" * MIB)
        for number in range(1, PIECES):
            stop = len(BODY) * number // PIECES
            found = connection.body(stream, stop)
            came.append(time.monotonic())
            pauses += found == BODY[:stop] and connection.is_silent()
        assert connection.answer(stream)[2] == BODY
        judge_pieces(sent, [*came, time.monotonic()], pauses)
        assert connection.ask("GET", "/hello")[2] == b"hello\n"


# ---- what users are told

FAILS: dict[Fault, set[Deviation]] = {
    "cut": {"keeps what breaks off", "keeps a HEAD that breaks off", "keeps streams that break off"},
    "stall": {"keeps what breaks off", "keeps a HEAD that breaks off", "keeps streams that break off"},
    "empty": {"no empty answers"},
}


@pytest.mark.parametrize("fault", typing.get_args(Fault))
def test_check_names_the_servers_that_cannot(fault: Fault) -> None:
    told = CANNOT[fault]
    for server in TABLE:
        program = server.name.partition("-")[0]
        named = bool(re.search(rf"\b{program}\b", told))
        named |= server.kind == "asgi" and "all ASGI servers" in told
        assert named == bool(FAILS[fault] & set(server.deviations)), f"{server}: {told}"
