"""Webhooks arrive when they are due, are tried again, and survive the process that was to send them.

The clock is the test's, and the receivers are real. Where a test says that nothing was sent, something else
was sent after it and has arrived.
"""

import gc
import logging
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from standardwebhooks import Webhook
from tests.receivers import OK, PATIENCE_S, Heard, Receiver, drained, status

from mockware import courier as courier_module
from mockware import fallback, posting, sqlite_store
from mockware.addresses import Hosts
from mockware.courier import BACK_OFF_S, MAX_ATTEMPTS, Courier
from mockware.deliveries import LEASE_S, OVERDUE_S, Delivery, Desk
from mockware.fallback import FallbackStore
from mockware.logs import logger
from mockware.memory_store import MemoryStore
from mockware.questions import Record, Store
from mockware.sqlite_store import SQLiteStore
from mockware.webhooks import Message

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Shared(MemoryStore):
    """A store that several couriers share, as processes share a file."""

    threads = 1


class Lines(logging.Handler):
    """What was logged, to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.records: SimpleQueue[logging.LogRecord] = SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def next(self) -> logging.LogRecord:
        return self.records.get(timeout=PATIENCE_S)

    def next_text(self) -> str:
        return self.next().getMessage()


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


def until(true: Callable[[], bool]) -> bool:
    """Whether it comes true; what happens in another thread after the last line of the log."""
    ends = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < ends:
        threading.Event().wait(0.001)
    return true()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_module, "SCAN_S", 0.01)


Make = Callable[..., Courier]


@pytest.fixture
def make(clock: Clock) -> Iterator[Make]:
    made: list[Courier] = []

    def make(compose: Any, store: Store | None = None, *listed: str) -> Courier:
        hosts = Hosts(listed or ["127.0.0.1"])
        made.append(Courier(store or MemoryStore(clock=clock), compose, hosts, clock=clock))
        return made[-1]

    yield make
    for courier in made:
        courier.close()
    # Lest the next test finds its lines.
    assert until(lambda: not any(courier._senders for courier in made))


def message(url: str, name: str = "msg_1", **changes: Any) -> Message:
    made = Message(name, url, "task.succeeded", {"name": name}, 1e9, "/reports", "", "standard", SECRET)
    return made._replace(**changes)


def to(url: str) -> Callable[[Delivery, float], Message | None]:
    """Composes a message to `url` that has the delivery's value as its id."""
    return lambda delivery, _: message(url, delivery.value.decode())


def due(at: float, name: str = "msg_1") -> Delivery:
    return Delivery.at(at, name, name.encode())


def ids(heard: list[Heard]) -> list[str]:
    return [one.fields["webhook-id"] for one in heard]


# When and what


def test_a_webhook_is_sent_when_it_is_due_and_not_before(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver() as receiver:
        courier = make(to(f"{receiver.url}/in?key=hunter2"))
        courier.schedule([due(clock.now + 10, "later"), due(clock.now + 5, "soon"), due(clock.now, "now")])
        for name in ("now", "soon", "later"):
            heard = receiver.next()
            assert Webhook(SECRET).verify(heard.body, heard.fields)["data"] == {"name": name}
            line = lines.next()
            assert line.levelname == "INFO"
            assert line.getMessage() == (
                f"webhook {name!r} to '{receiver.url}/in' delivered: '204' (attempt 1 of 6)"
            )
            assert receiver.nothing_more()
            clock.now += 5
            courier.schedule(())


def test_what_waits_is_sent_by_the_orders_of_the_time_when_it_is_due(
    make: Make, clock: Clock, lines: Lines
) -> None:
    with Receiver() as old, Receiver() as new:
        courier = make(to(old.url))
        courier.schedule([due(clock.now + 5, "first"), due(clock.now + 10, "second")])
        courier.obey(to(new.url), Hosts(["127.0.0.1"]))
        clock.now += 5
        courier.schedule(())
        assert new.next().fields["webhook-id"] == "first"
        assert "delivered" in lines.next_text()
        courier.obey(to(new.url), Hosts(()))
        clock.now += 5
        courier.schedule(())
        assert "failed" in lines.next_text()
        assert new.nothing_more()
        assert old.connections == 0


def test_a_failure_is_tried_again_with_pauses_that_double_and_then_given_up(
    make: Make, clock: Clock, lines: Lines
) -> None:
    with Receiver(status("500 Oops")) as receiver, Receiver() as other:
        urls = {b"msg_1": receiver.url, b"mark": other.url}
        courier = make(lambda delivery, _: message(urls[delivery.value], delivery.value.decode()))
        courier.schedule([due(clock.now)])
        for number, pause_s in enumerate(BACK_OFF_S, 1):
            heard = receiver.next()
            assert heard.fields["webhook-id"] == "msg_1"
            assert heard.fields["webhook-timestamp"] == str(int(clock.now))
            line = lines.next()
            assert line.levelname == "WARNING"
            assert line.getMessage().endswith(f"'500' (attempt {number} of 6); again in {pause_s:g} s")
            clock.now += pause_s - 0.01
            courier.schedule([due(clock.now, "mark")])
            other.next()
            assert "delivered" in lines.next_text()
            assert receiver.nothing_more()
            clock.now += 0.01
            courier.schedule(())
        receiver.next()
        assert lines.next_text().endswith("failed: '500' (attempt 6 of 6); given up")
        clock.now += 3600
        courier.schedule([due(clock.now, "mark")])
        other.next()
        assert receiver.nothing_more()


def test_what_failed_and_then_succeeds_is_delivered_once(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver(b"", status("302 Found", "location: http://169.254.169.254/"), OK) as receiver:
        courier = make(to(receiver.url))
        courier.schedule([due(clock.now)])
        assert "again in 1 s" in lines.next_text()
        clock.now += 1
        courier.schedule(())
        assert "'302, and redirects are not followed' (attempt 2 of 6); again in 2 s" in lines.next_text()
        clock.now += 2
        courier.schedule(())
        assert "delivered: '204' (attempt 3 of 6)" in lines.next_text()
        assert receiver.connections == 3


def test_a_receiver_that_is_gone_is_not_asked_again(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver(status("410 Gone"), OK) as receiver:
        courier = make(to(receiver.url))
        courier.schedule([due(clock.now)])
        assert lines.next_text().endswith("failed: '410' (attempt 1 of 6); given up")
        clock.now += 3600
        courier.schedule([due(clock.now, "other")])
        assert "delivered" in lines.next_text()
        assert ids(drained(receiver.heard)) == ["msg_1", "other"]


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [("7", 7), ("0", 1), ("3600", 60), ("9" * 5000, 60), ("soon", 1), ("-5", 1), ("1.5", 1), ("", 1)],
)
def test_a_pause_that_a_receiver_asks_for_is_heeded_within_a_minute(
    retry_after: str, pause_s: int, make: Make, clock: Clock, lines: Lines
) -> None:
    with Receiver(status("503 Busy", f"retry-after: {retry_after}")) as receiver:
        make(to(receiver.url)).schedule([due(clock.now)])
        assert lines.next_text().endswith(f"; again in {pause_s} s")


def test_a_pause_may_be_a_date(make: Make, clock: Clock, lines: Lines) -> None:
    clock.now = int(clock.now)
    date = formatdate(clock.now + 30, usegmt=True)
    with Receiver(status("429 Too Many", f"retry-after: {date}")) as receiver:
        make(to(receiver.url)).schedule([due(clock.now)])
        assert lines.next_text().endswith("; again in 30 s")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "http://elsewhere.test/?key=hunter2"}, "not one that webhooks may go to"),
        ({"url": "http://me:hunter2@127.0.0.1/"}, "a user or a password"),
        ({"url": "http://me:hun/hunter2@127.0.0.1/"}, ""),
        ({"url": "http://localhost:1/#hunter2"}, "have to be listed by number"),
        ({"id": "a b"}, "printable ASCII"),
        ({"secret": "whsec_hunter2!"}, "no base64"),
    ],
)
def test_what_cannot_be_sent_is_given_up_at_once_and_no_secret_is_logged(
    changes: dict[str, str], reason: str, make: Make, clock: Clock, lines: Lines
) -> None:
    made = message("http://127.0.0.1:1/")._replace(**changes)  # type: ignore[arg-type]
    listed = ("127.0.0.1",) if "localhost" not in made.url else ("localhost",)
    make(lambda *_: made, None, *listed).schedule([due(clock.now)])
    text = lines.next_text()
    assert reason in text
    assert text.endswith("(attempt 1 of 6); given up")
    assert "hunter2" not in text


def test_a_line_of_the_log_is_one_line_of_a_bounded_length(make: Make, clock: Clock, lines: Lines) -> None:
    url = "http://127.0.0.1:1/" + "\r\n\x1b[31m\u00e9" * 5000
    make(lambda *_: message(url, "x" * 5000)).schedule([due(clock.now)])
    text = lines.next_text()
    assert text.isascii()
    assert text.isprintable()
    assert len(text) < 2000


def test_with_nothing_to_send_any_more_nothing_is_sent(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver() as receiver:
        store = MemoryStore(clock=clock)
        courier = make(lambda d, _: message(receiver.url, "b") if d.value == b"b" else None, store)
        store.write([due(clock.now, "a").record(60)])
        courier.schedule([due(clock.now, "a"), due(clock.now + 1, "b")])
        clock.now += 1
        courier.schedule(())
        assert "delivered" in lines.next_text()
        assert ids(drained(receiver.heard)) == ["b"]


def test_a_bug_in_whoever_composes_is_shown_and_stops_nobody(make: Make, clock: Clock, lines: Lines) -> None:
    failures = 1

    def compose(delivery: Delivery, _: float) -> Message:
        nonlocal failures
        if delivery.value == b"a" and failures:
            failures -= 1
            raise ZeroDivisionError
        return message(receiver.url, delivery.value.decode())

    with Receiver() as receiver:
        courier = make(compose)
        courier.schedule([due(clock.now, "a")])
        line = lines.next()
        assert line.exc_info
        assert "an error of our own" in line.getMessage()
        courier.schedule([due(clock.now, "b")])
        assert ids([receiver.next()]) == ["b"]
        clock.now += 1
        courier.schedule(())
        assert ids([receiver.next()]) == ["a"]


def test_receivers_that_hang_do_not_hold_up_the_others(make: Make, clock: Clock) -> None:
    let_go = threading.Event()

    def hang(_: socket.socket) -> None:
        let_go.wait(PATIENCE_S)

    with Receiver(hang) as slow, Receiver() as quick:
        urls = {True: slow.url, False: quick.url}
        courier = make(lambda d, _: message(urls[d.value.startswith(b"slow")], d.value.decode()))
        names = ["slow1", "slow2", "slow3", *(f"quick{n}" for n in range(20))]
        courier.schedule([due(clock.now, name) for name in names])
        assert sorted(ids([quick.next() for _ in range(20)])) == sorted(names[3:])
        for _ in range(3):
            slow.next()
        senders = [thread for thread in threading.enumerate() if thread.name == "mockware-webhook"]
        assert len(senders) <= courier_module.MAX_SENDERS
        assert all(thread.daemon for thread in senders)
        let_go.set()


def test_more_than_can_wait_are_left_out_and_it_is_said_once(
    make: Make, clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier_module, "MAX_WAITING", 3)
    with Receiver() as receiver:
        courier = make(to(receiver.url))
        for n in range(6):
            courier.schedule([due(clock.now + 1, str(n))])
        assert lines.next_text() == (
            "3 webhooks wait already, the most that a process keeps: more are dropped until there is room"
        )
        clock.now += 1
        courier.schedule(())
        assert sorted(ids([receiver.next() for _ in range(3)])) == ["0", "1", "2"]
        assert all("delivered" in lines.next_text() for _ in range(3))
        assert receiver.nothing_more()


def test_one_that_is_scheduled_twice_is_sent_once(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver() as receiver:
        courier = make(to(receiver.url))
        courier.schedule([due(clock.now + 1, "a"), due(clock.now + 1, "a")])
        clock.now += 1
        courier.schedule([due(clock.now, "a")])
        assert "delivered" in lines.next_text()
        courier.schedule([due(clock.now, "b")])
        assert "delivered" in lines.next_text()
        assert ids(drained(receiver.heard)) == ["a", "b"]


# Several processes


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("guard", [lambda store: store, FallbackStore], ids=["bare", "with a fallback"])
def test_two_couriers_on_one_file_deliver_each_of_fifty_exactly_once(
    guard: Callable[[Store], Store],
    tmp_path: Path,
    make: Make,
    clock: Clock,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine is no outage here.
    monkeypatch.setattr(sqlite_store, "MAX_LOCKED_S", PATIENCE_S)
    monkeypatch.setattr(fallback, "MAX_WAIT_S", PATIENCE_S)
    with Receiver() as receiver:
        stores = [guard(SQLiteStore(str(tmp_path / "db"), clock=clock)) for _ in range(2)]
        fifty = [due(clock.now + n % 3, f"msg_{n}") for n in range(50)]
        stores[0].write([one.record(3600) for one in fifty])
        couriers = [make(to(receiver.url), store) for store in stores]
        for courier in couriers:
            courier.schedule(fifty)
        clock.now += 3 + OVERDUE_S  # all of them are overdue as well, for whoever looks at the shelf
        for courier in couriers:
            courier.schedule(())
        assert all("delivered" in lines.next_text() for _ in range(50))
        done = due(clock.now, "done")
        stores[0].write([done.record(3600)])
        couriers[0].schedule([done])
        assert "delivered" in lines.next_text()
        heard = ids(drained(receiver.heard))
        assert sorted(heard) == sorted(["done", *(one.value.decode() for one in fifty)])
        assert until(lambda: stores[0].list("webhooks", "", 100) == ())
        for courier, store in zip(couriers, stores, strict=True):
            courier.close()
            assert until(lambda: not any(courier._senders for courier in couriers))
            store.close()


KILLED = """
import os, sys, time
from mockware.addresses import Hosts
from mockware.courier import Courier
from mockware.deliveries import Delivery
from mockware.sqlite_store import SQLiteStore

store = SQLiteStore(sys.argv[1])
delivery = Delivery.at(time.time() + float(sys.argv[2]), "msg_1", b"msg_1")
store.write([delivery.record(3600)])
courier = Courier(store, lambda *_: os.write(1, b"composing\\n") and time.sleep(60), Hosts([]))
courier.schedule([delivery])
os.write(1, b"scheduled\\n")  # two threads that print would mix their lines
time.sleep(60)
"""


@pytest.mark.parametrize(("due_in_s", "last_words"), [("3", "scheduled"), ("0", "composing")])
@pytest.mark.usefixtures("often")
def test_another_process_delivers_what_one_that_was_killed_has_left(
    due_in_s: str, last_words: str, tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "db")
    program = subprocess.Popen(
        [sys.executable, "-c", KILLED, path, due_in_s], stdout=subprocess.PIPE, text=True
    )
    with Receiver() as receiver, program:
        said = ""
        while said != last_words:
            assert program.stdout is not None
            said = program.stdout.readline().strip()
            assert said, "it ended by itself"
        program.kill()
        # By this clock it is overdue, and the lease of one that was killed while it sent has ended.
        ahead_s = 3 + OVERDUE_S + LEASE_S
        store = SQLiteStore(path, clock=lambda: time.time() + ahead_s)
        other = Courier(store, to(receiver.url), Hosts(["127.0.0.1"]), clock=lambda: time.time() + ahead_s)
        other.wake()
        assert "delivered" in lines.next_text()
        assert ids([receiver.next()]) == ["msg_1"]
        assert until(lambda: store.list("webhooks", "", 9) == ())
        other.close()
        store.close()


@pytest.mark.usefixtures("often")
def test_what_another_holds_or_has_done_or_is_not_overdue_is_left_alone(
    make: Make, clock: Clock, lines: Lines
) -> None:
    store = Shared(clock=clock)
    long_ago = clock.now - 60
    held, done, dead = (due(long_ago, name) for name in ("held", "done", "dead"))
    soon = due(clock.now - OVERDUE_S + 1, "soon")
    assert Desk(store).claims(held, held=False)
    Desk(store).finish(done)
    store.write([one.record(3600) for one in (held, done, dead, soon)])
    with Receiver() as receiver:
        make(to(receiver.url), store).wake()
        assert "'dead'" in lines.next_text()
        # One that is done and still on the shelf, as after an outage of the store, is taken off it.
        assert until(lambda: len(store.list("webhooks", "", 9)) == 2)
        clock.now += 1.1
        assert "'soon'" in lines.next_text()
        clock.now += LEASE_S
        assert "'held'" in lines.next_text()
        assert ids(drained(receiver.heard)) == ["dead", "soon", "held"]


def test_a_lease_is_kept_for_the_pause_and_longer(make: Make, clock: Clock, lines: Lines) -> None:
    store = Shared(clock=clock)
    one = due(clock.now - 60)
    store.write([one.record(3600)])
    with Receiver(status("500 Oops"), status("500 Oops"), OK) as receiver:
        first = make(to(receiver.url), store)
        first.schedule([one])
        assert "again in 1 s" in lines.next_text()
        assert until(lambda: [job.attempts for job in first._waiting] == [1])
        clock.now += LEASE_S
        assert Desk(store).abandoned(clock.now, ()) == []
        first.schedule(())
        assert "again in 2 s" in lines.next_text()
        assert until(lambda: [job.attempts for job in first._waiting] == [2])
        # A process that sleeps for longer has lost it: another sends, and the first does not send again.
        second = Desk(store)
        with first._changed:  # it looks at the clock from time to time, and not just now
            clock.now += LEASE_S + 3
            left = [Delivery.from_record(*store.list("webhooks", "", 1)[0])]
            assert second.abandoned(clock.now, ()) == left
            assert second.claims(one, held=False)
        first.schedule(())
        assert until(lambda: not first._known)
        assert receiver.connections == 2


@pytest.mark.parametrize("others", [0, 250, 1500])
def test_however_many_others_are_at_the_one_that_is_left_is_found(others: int, clock: Clock) -> None:
    store = Shared(clock=clock)
    for n in range(others):
        Desk(store).claims(one := due(clock.now - 60, f"{n:05d}"), held=False)
        store.write([one.record(3600)])
    left = due(clock.now - 50, "left")
    store.write([left.record(3600)])
    desk = Desk(store)
    looks = [desk.abandoned(clock.now, ()) for _ in range(2)]
    assert [one.value for look in looks for one in look] in ([b"left"], [b"left", b"left"])


def test_a_delivery_comes_back_from_its_record_as_it_was(clock: Clock) -> None:
    one = Delivery.at(1_700_000_000.123, "w.1", b"\0value")
    record = one.record(60)
    assert record == Record("webhook:1700000000123.w.1", b"\0value", 60, shelf="webhooks")
    assert record.value is not None
    assert Delivery.from_record(record.key, record.value) == one


@pytest.mark.usefixtures("often")
def test_a_store_that_fails_is_said_once_and_asked_again(
    make: Make, clock: Clock, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Shared):
        broken = True
        asked = 0

        def list(self, shelf: str, after: str, limit: int) -> tuple[tuple[str, bytes], ...]:
            self.asked += 1
            if self.broken:
                raise OSError("gone")
            return super().list(shelf, after, limit)

    store = Broken(clock=clock)
    store.write([due(clock.now - 60).record(3600)])
    with Receiver() as receiver:
        make(to(receiver.url), store).wake()
        assert "have left failed" in lines.next_text()
        assert until(lambda: store.asked > 3)
        store.broken = False
        assert "delivered" in lines.next_text()


# The life of a courier


def couriers_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mockware-courier"]


def test_without_work_there_is_no_thread_and_waking_one_of_a_memory_does_nothing(make: Make) -> None:
    before = len(couriers_threads())
    make(lambda *_: None).wake()
    assert len(couriers_threads()) <= before


def test_a_thread_ends_when_there_is_nothing_left_to_do(make: Make, clock: Clock, lines: Lines) -> None:
    with Receiver() as receiver:
        courier = make(to(receiver.url))
        for name in ("a", "b"):
            courier.schedule([due(clock.now, name)])
            assert "delivered" in lines.next_text()
            assert until(lambda: not courier._watching)


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("store", [MemoryStore, Shared])
def test_a_courier_that_nobody_has_any_more_sends_what_waits_and_goes(
    store: type[MemoryStore], clock: Clock, lines: Lines
) -> None:
    with Receiver() as receiver:
        courier = Courier(store(clock=clock), to(receiver.url), Hosts(["127.0.0.1"]), clock=clock)
        courier.schedule([due(clock.now + 1)])
        gone = weakref.ref(courier)
        del courier
        gc.collect()
        assert gone() is not None
        clock.now += 1
        assert "delivered" in lines.next_text()
        assert until(lambda: gone() is None)


def test_a_courier_that_is_closed_sends_nothing_until_it_is_needed_again(
    make: Make, clock: Clock, lines: Lines
) -> None:
    with Receiver() as receiver:
        courier = make(to(receiver.url))
        courier.schedule([due(clock.now + 1, "a")])
        courier.close()
        clock.now += 1
        courier.schedule([due(clock.now, "b")])
        assert "delivered" in lines.next_text()
        assert ids(drained(receiver.heard)) == ["b"]


FORKS = """
import json, os, sys, threading, time
from mockware.addresses import Hosts
from mockware.courier import Courier
from mockware.deliveries import Delivery
from mockware.memory_store import MemoryStore
from mockware.webhooks import Message

def compose(delivery, now):
    name = delivery.value.decode()
    return Message(name, sys.argv[1], "t", None, 0.0, "/", "", "standard", "")

courier = Courier(MemoryStore(), compose, Hosts(["127.0.0.1"]))

def send(name, in_s=0.0):
    courier.schedule([Delivery.at(time.time() + in_s, name, name.encode())])

send("parent", 0.3)
child = os.fork()
send("child" if child == 0 else "parent-again")
ends = time.monotonic() + 20
while courier._known and time.monotonic() < ends:
    time.sleep(0.01)
if child:
    os.waitpid(child, 0)
"""


def test_a_child_sends_its_own_and_nothing_of_its_parents() -> None:
    with Receiver() as receiver:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, receiver.url],
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_S,
            check=False,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        assert sorted(ids(drained(receiver.heard))) == ["child", "parent", "parent-again"]


def test_a_process_ends_whatever_hangs(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", KILLED.removesuffix("time.sleep(60)\n"), str(tmp_path / "db"), "0"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_takes_long_to_import_is_imported_with_the_first_attempt() -> None:
    program = "import sys, mockware.courier; print([m for m in ('http.client', 'ssl') if m in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_what_is_promised_about_time() -> None:
    assert (MAX_ATTEMPTS, *BACK_OFF_S) == (6, 1, 2, 4, 8, 16)
    assert (OVERDUE_S, courier_module.SCAN_S, courier_module.MAX_SENDERS) == (5, 2, 4)
    assert LEASE_S > 2 * posting.ATTEMPT_S
