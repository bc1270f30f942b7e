"""Rules files that change while the app runs: the next request knows, and none knows a half of it.

The promise on both interfaces, in one process: each look is called for here, so that nothing is waited for.
`tests/test_servers_live.py` has the same on real servers, where the thread looks.
"""

import asyncio
import gc
import json
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.by_hand import (
    Answer,
    Environ,
    Receive,
    Scope,
    Send,
    Sent,
    Wire,
    events_of,
    over_asgi,
    over_wsgi,
    scope_of,
)

import mockware
from mockware import ConfigError, Rule
from mockware.lookout import watch
from mockware.memory_store import MemoryStore

SWAPS = 1000
PATIENCE_S = 60.0  # a failure bound


async def asgi_app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"app", "more_body": False})


def wsgi_app(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app"]


class Live:
    """An app behind rules from files, and the looks that its thread would take."""

    def __init__(self, interface: str, rules: Any, **environ: str) -> None:
        self.interface = interface
        app: Any = asgi_app if interface == "ASGI" else wsgi_app
        self.app = mockware.wrap(app, rules=rules, environ={"MOCKWARE": "on", **environ})

    def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        ask: Callable[..., Answer] = over_asgi if self.interface == "ASGI" else over_wsgi
        return ask(self.app, Sent(method, path, headers=tuple((headers or {}).items())))

    def status(self, path: str = "/a") -> int:
        return self.ask("GET", path).status

    def look(self) -> None:
        self.app._installation.look(lambda _: None)


on_both = pytest.mark.parametrize("interface", ["ASGI", "WSGI"])


@pytest.fixture(autouse=True)
def no_thread(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those who would be looked for by the thread."""
    watching: list[Any] = []
    monkeypatch.setattr("mockware.lookout.watch", watching.append)
    return watching


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """The level and text of each line since the last call."""
    caplog.set_level(logging.WARNING)

    def since() -> list[tuple[str, str]]:
        found = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return found

    return since


Lines = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "mocks.toml", 503)


def write(path: Path, status: int, more: str = "") -> Path:
    path.write_text(f'{more}\n[[rules]]\nmatch = "/a"\nstatus = {status}\n')
    return path


# ---- what changes, and what stays


@on_both
def test_a_changed_file_is_what_the_next_request_is_answered_by(interface: str, path: Path) -> None:
    live = Live(interface, path)
    assert live.status() == 503
    write(path, 410)
    assert live.status() == 503, "nobody has looked yet"
    live.look()
    assert live.status() == 410
    path.write_text("")
    live.look()
    assert live.status() == 200


@on_both
def test_one_line_tells_of_the_change_with_the_words_of_the_start(
    interface: str, path: Path, lines: Lines
) -> None:
    live = Live(interface, path)
    live.status()
    ((_, start),) = lines()
    write(path, 410)
    live.look()
    live.look()
    ((level, line),) = lines()
    assert level == "WARNING"
    assert line == f"{path} changed, and the rules with it: {start.partition(': ')[2]}"


@on_both
def test_a_broken_file_keeps_the_rules_and_says_every_problem_once(
    interface: str, path: Path, lines: Lines
) -> None:
    live = Live(interface, path)
    assert live.status() == 503
    lines()
    path.write_text('[[rules]]\nmatch = "/a"\nstatsu = 410\n[[rules]]\nmatch = "nowhere"\n')
    for _ in range(10):
        live.look()
        assert live.status() == 503
    ((level, line),) = lines()
    assert level == "ERROR"
    head, *problems = line.split("\n")
    assert head == f"{path} changed; the rules stay as they were, since there are problems:"
    assert len(problems) == 2
    assert "did you mean `status`?" in problems[0]
    path.write_text("[[rules")
    live.look()
    ((level, line),) = lines()
    assert "not TOML" in line, "another change is another line"


@on_both
def test_one_line_says_when_a_file_is_good_again(interface: str, path: Path, lines: Lines) -> None:
    live = Live(interface, path)
    live.status()
    good = path.read_text()
    for mended, status in ((good, 503), (good.replace("503", "410"), 410)):
        path.write_text("[[rules")
        live.look()
        lines()
        path.write_text(mended)
        live.look()
        live.look()
        ((level, line),) = lines()
        assert (level, line.partition(": ")[0]) == ("WARNING", f"{path} changed, and is good again")
        assert live.status() == status
    write(path, 409)
    live.look()
    assert "changed, and the rules with it" in lines()[0][1]


@on_both
def test_a_file_that_is_deleted_keeps_the_rules_until_it_is_back(
    interface: str, path: Path, lines: Lines
) -> None:
    live = Live(interface, path)
    live.status()
    lines()
    path.unlink()
    live.look()
    live.look()
    ((level, line),) = lines()
    assert (level, "cannot be read: No such file" in line) == ("ERROR", True)
    assert live.status() == 503
    write(path, 410)
    live.look()
    assert live.status() == 410


@on_both
def test_a_volume_of_kubernetes_that_is_swapped_is_a_change(interface: str, tmp_path: Path) -> None:
    for version, status in (("..1", 503), ("..2", 410)):
        (tmp_path / version).mkdir()
        write(tmp_path / version / "mocks.toml", status)
        (tmp_path / version / "said.txt").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    for name in ("mocks.toml", "said.txt"):
        (tmp_path / name).symlink_to(Path("..data", name))
    live = Live(interface, tmp_path / "mocks.toml")
    assert live.status() == 503
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    live.look()
    assert live.status() == 410


@on_both
def test_the_files_that_rules_refer_to_are_looked_at_too(interface: str, tmp_path: Path) -> None:
    said, result = tmp_path / "said.txt", tmp_path / "result.json"
    said.write_text("old")
    result.write_text('"old"')
    (tmp_path / "mocks.yaml").write_text(
        "rules:\n"
        "- {match: /a, file: said.txt}\n"
        "- {match: POST /t, task: {result: {file: result.json}}}\n"
        "- {match: /b, replies: [{file: said.txt}]}\n"
    )
    live = Live(interface, tmp_path / "mocks.yaml")
    assert [live.ask("GET", at).body for at in ("/a", "/b")] == [b"old", b"old"]
    said.write_text("new")
    live.look()
    assert [live.ask("GET", at).body for at in ("/a", "/b")] == [b"new", b"new"]
    before = live.app._snapshot
    result.write_text('"new"')
    live.look()
    assert live.app._snapshot is not before
    said.unlink()
    live.look()
    assert live.ask("GET", "/a").body == b"new"
    said.write_text("back")
    live.look()
    assert live.ask("GET", "/a").body == b"back", "a file that was missing was waited for"


@on_both
def test_all_files_of_environment_and_code_are_looked_at(interface: str, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.toml", tmp_path / "ours.toml"
    theirs.write_text("")
    write(ours, 503)
    live = Live(interface, [Rule("/c", status=409), ours], MOCKWARE_FILE=str(theirs), MOCKWARE_RULES="/b 418")
    assert live.status() == 503
    write(theirs, 410)
    live.look()
    assert [live.status(at) for at in ("/a", "/b", "/c")] == [410, 418, 409]


@on_both
def test_a_relative_path_means_the_same_file_whatever_the_folder_is_later(
    interface: str, path: Path, monkeypatch: pytest.MonkeyPatch, lines: Lines
) -> None:
    monkeypatch.chdir(path.parent)
    live = Live(interface, "mocks.toml")
    assert "1 rule from mocks.toml;" in lines()[0][1]
    monkeypatch.chdir("/")
    write(path, 410)
    assert live.status() == 410
    path.write_text("[[rules")
    live.look()
    assert "\nmocks.toml: not TOML" in lines()[-1][1], "and problems call it as it was called"


@on_both
def test_what_selects_rules_by_name_is_asked_again(interface: str, path: Path, lines: Lines) -> None:
    write(path, 503)
    path.write_text(path.read_text() + 'name = "down"\n')
    live = Live(interface, path, MOCKWARE="down")
    assert live.status() == 503
    write(path, 410)
    live.look()
    assert "no rule has this name or tag" in lines()[-1][1]
    assert live.status() == 503


@on_both
@pytest.mark.parametrize("word", ["off", "OFF"])
def test_it_can_be_turned_off(interface: str, path: Path, word: str, no_thread: list[Any]) -> None:
    live = Live(interface, path, MOCKWARE_WATCH=word)
    write(path, 410)
    live.look()
    assert live.status() == 503
    assert no_thread == []


@on_both
def test_a_word_that_it_does_not_know_is_refused(interface: str, path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MOCKWARE_WATCH: 'maybe': allowed: `on`"):
        Live(interface, path, MOCKWARE_WATCH="maybe")
    assert Live(interface, path, MOCKWARE_WATCH="on").status() == 503


@on_both
def test_rules_of_code_and_variables_need_no_looking(interface: str, no_thread: list[Any]) -> None:
    live = Live(interface, [Rule("/a", status=503)], MOCKWARE_RULES="/b 418")
    assert (live.status(), live.status("/b")) == (503, 418)
    assert no_thread == []


@on_both
def test_whatever_goes_wrong_while_reading_leaves_the_rules(
    interface: str, path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live(interface, path)
    live.status()
    lines()
    write(path, 410)

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr("mockware.config.load", fails)
        live.look()
    ((level, line),) = lines()
    assert (level, line) == (
        "ERROR",
        f"{path} changed; the rules stay as they were, since reading them failed",
    )
    assert live.status() == 503


# ---- what goes on


@on_both
def test_counts_go_on_with_the_next_rules(interface: str, path: Path) -> None:
    write(path, 503)
    path.write_text(path.read_text() + "times = 2\n")
    live = Live(interface, path)
    assert live.status() == 503
    path.write_text(path.read_text().replace("503", "410"))
    live.look()
    assert [live.status() for _ in range(2)] == [410, 200]


TASK = """
[[rules]]
match = "POST /exports"
[rules.task]
duration = "{duration}"
cancel = true
result = {{ status = 200, json = {{ text = "{text}" }} }}
"""


@on_both
def test_a_task_is_asked_about_under_the_next_rules(interface: str, path: Path) -> None:
    path.write_text(TASK.format(duration="10m", text="old"))
    live = Live(interface, path)
    accepted = live.ask("POST", "/exports")
    place = "/exports/" + accepted.one("location").rpartition("/")[2]
    assert live.ask("DELETE", place).status < 300
    before = json.loads(live.ask("GET", place).body)
    path.write_text(TASK.format(duration="10m", text="new") + '[[rules]]\nmatch = "/b"\n')
    live.look()
    assert json.loads(live.ask("GET", place).body) == before, "what was cancelled stays so"


@on_both
def test_the_store_stays_with_the_middleware(interface: str, path: Path) -> None:
    class Mine(MemoryStore):
        pass

    app: Any = asgi_app if interface == "ASGI" else wsgi_app
    mine = Mine()
    wrapped = mockware.wrap(app, rules=path, store=mine, environ={"MOCKWARE": "on"})
    wrapped._installation.wake()
    store = wrapped._snapshot.store
    write(path, 410)
    wrapped._installation.look(lambda _: None)
    assert wrapped._snapshot.store is store


HOOK = """
[webhooks]
hosts = ["{host}"]
[[rules]]
match = "POST /exports"
[rules.task]
webhook = {{ url = "http://{host}/hook" }}
"""


@on_both
def test_the_courier_stays_and_obeys_the_next_rules(interface: str, path: Path) -> None:
    path.write_text(HOOK.format(host="one.example"))
    live = Live(interface, path)
    live.app._installation.wake()
    courier = live.app._snapshot.courier
    path.write_text(HOOK.format(host="two.example"))
    live.look()
    snapshot = live.app._snapshot
    assert snapshot.courier is courier
    compose, hosts = courier._orders
    assert compose == snapshot.compose
    hosts.check_url("http://two.example/hook")
    with pytest.raises(ValueError, match=r"one\.example"):
        hosts.check_url("http://one.example/hook")
    write(path, 503)
    live.look()
    assert live.app._snapshot.courier is None
    with pytest.raises(ValueError, match=r"two\.example"):
        courier._orders[1].check_url("http://two.example/hook")
    path.write_text(HOOK.format(host="two.example"))
    live.look()
    assert live.app._snapshot.courier is courier


@on_both
def test_a_rule_that_runs_the_app_may_come_later(interface: str, path: Path) -> None:
    live = Live(interface, path)
    live.status()
    background = live.app._background
    assert background is None
    path.write_text('[[rules]]\nmatch = "POST /exports"\ntask = { run = "app" }\n')
    live.look()
    background = live.app._background
    assert background is not None
    assert live.ask("POST", "/exports").status == 202
    write(path, 410)
    live.look()
    assert live.app._background is background, "what was started is not over"


# ---- who looks, and when


@on_both
def test_nobody_looks_before_the_first_request_which_does_so_itself(
    interface: str, path: Path, no_thread: list[Any]
) -> None:
    live = Live(interface, path)
    assert no_thread == []
    write(path, 410)
    assert live.status() == 410
    assert no_thread == [live.app._installation]
    assert live.status() == 410
    assert len(no_thread) == 1


@on_both
def test_the_first_request_waits_for_no_store_whose_thread_looks_at_once(
    interface: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mockware.lookout.watch", watch)
    going, asked = threading.Event(), threading.Event()
    by: list[str] = []

    class Hanging(MemoryStore):
        threads = 1
        name = "hanging"

        def read(self, keys: Any) -> Any:
            by.append(threading.current_thread().name)
            asked.set()
            going.wait(PATIENCE_S / 10)
            return super().read(keys)

    app: Any = asgi_app if interface == "ASGI" else wsgi_app
    environ = {"MOCKWARE": "on", "MOCKWARE_CONTROL": "/_m", "MOCKWARE_KEY": "correct horse"}
    app = mockware.wrap(app, store=Hanging(), environ=environ)
    ask: Callable[..., Answer] = over_asgi if interface == "ASGI" else over_wsgi
    assert ask(app, Sent("GET", "/other")).body == b"app"
    assert asked.wait(PATIENCE_S)
    going.set()
    assert by[0] == "mockware-watch"


def test_a_lifespan_begins_with_a_look(path: Path, no_thread: list[Any]) -> None:
    live = Live("ASGI", path)
    write(path, 410)
    wire = Wire([])
    asyncio.run(live.app({"type": "lifespan"}, wire.receive, wire.send))
    assert no_thread == [live.app._installation]
    assert live.status() == 410


@on_both
@pytest.mark.parametrize(
    ("sent", "status", "body"),
    [
        (Sent("GET", "/other", headers=[("X-Mock-Status", "418")]), 418, None),
        (Sent("HEAD", "/a"), 503, b""),
        (Sent("POST", "/a", body=[b"some", b"thing"]), 503, None),
        (Sent("GET", "/f%C3%BCr"), 409, None),
        (Sent("GET", "/other"), 200, b"app"),
        (Sent("POST", "/other", body=[b"some"]), 200, b"app"),
    ],
    ids=lambda value: f"{value.method} {value.target}" if isinstance(value, Sent) else "",
)
def test_the_first_request_is_answered_like_any_other(
    interface: str, path: Path, sent: Sent, status: int, body: bytes | None
) -> None:
    path.write_text(path.read_text() + '[[rules]]\nmatch = "/für"\nstatus = 409\n', "utf-8")
    live = Live(interface, path)
    ask: Callable[..., Answer] = over_asgi if interface == "ASGI" else over_wsgi
    first, second = ask(live.app, sent), ask(live.app, sent)
    assert first == second
    assert first.status == status
    assert body is None or first.body == body


def test_many_first_requests_at_once_look_once(path: Path, no_thread: list[Any], lines: Lines) -> None:
    live = Live("WSGI", path)
    write(path, 410)
    lines()
    start = threading.Barrier(8)
    found: list[int] = []

    def first() -> None:
        start.wait(PATIENCE_S)
        found.append(live.status())

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == [410] * 8
    assert len(no_thread) == 1
    assert len(lines()) == 1


@on_both
def test_a_child_of_a_fork_begins_anew_with_its_first_request(
    interface: str, path: Path, no_thread: list[Any]
) -> None:
    live = Live(interface, path)
    live.status()
    live.app._installation.fall_asleep()  # as `lookout` has it do in a child
    write(path, 410)
    assert live.status() == 410
    assert no_thread == [live.app._installation] * 2


@on_both
def test_who_is_gone_is_not_looked_after(interface: str, path: Path, no_thread: list[Any]) -> None:
    live = Live(interface, path)
    live.status()
    snapshots = [weakref.ref(live.app._installation)]
    no_thread.clear()
    del live
    gc.collect()
    assert [each() for each in snapshots] == [None]


# ---- 1,000 swaps under load

STATUSES = (200, 201, 202, 203, 400, 409, 410, 418, 500, 503)


def generation(path: Path, number: int, more: str = "") -> None:
    """Rules whose every answer tells of which generation they are; field names and paths change as well."""
    status = STATUSES[number % len(STATUSES)]
    says = (
        f'headers = {{ x-generation = "{number}" }}\njson = {{ generation = {number}, status = {status} }}\n'
    )
    even = number % 2 == 0
    text = f"""
never = ["/healthz"]
[trigger]
status_header = "{"X-Even" if even else "X-Odd"}"
statuses = [{502 if even else 504}]
{more}"""
    for match, condition in (
        ("/a", ""),
        ("/json" if even else "/{name:str}", f"when = {{ json = {{ even = {json.dumps(even)} }} }}\n"),
        ("/json", ""),
        ("/für" if even else "/fuer", ""),
        ("/late", 'delay = "1ms"\n'),
        ("/named", f'name = "{"even" if even else "odd"}"\n'),
    ):
        text += f'[[rules]]\nmatch = "{match}"\n{condition}status = {status}\n{says}'
    other = path.with_suffix(".new")
    other.write_text(text, "utf-8")
    other.rename(path)


LOAD = [
    Sent("GET", "/a"),
    Sent("POST", "/json", headers=[("Content-Type", "application/json")], body=[b'{"even": ', b"true}"]),
    Sent("POST", "/json", headers=[("Content-Type", "application/json")], body=[b'{"even": false}']),
    Sent("GET", "/late"),
    Sent("GET", "/elsewhere/at/all", headers=[("X-Even", "502"), ("X-Odd", "504")]),
    Sent("GET", "/a", headers=[("X-Even", "502"), ("X-Odd", "504")]),
]


def judge(sent: Sent, answer: Answer) -> int | None:
    """The generation that gave this answer, after it was found to be wholly of it; None for a trigger's."""
    if len(sent.headers) == 2:
        assert answer.status in (502, 504), answer
        assert answer.one("x-mock-rule") == "trigger"
        assert answer.one("vary") == ("X-Even" if answer.status == 502 else "X-Odd")
        return None
    number = int(answer.one("x-generation"))
    status = STATUSES[number % len(STATUSES)]
    assert answer.status == status
    assert json.loads(answer.body) == {"generation": number, "status": status}
    return number


def swaps(live: Live, path: Path) -> Iterator[int]:
    for number in range(1, SWAPS + 1):
        generation(path, number)
        live.look()
        assert live.app._snapshot.rules[0].rule.headers == {"x-generation": str(number)}
        yield number


def test_a_thousand_swaps_under_load_tear_no_answer_on_wsgi(path: Path) -> None:
    generation(path, 0)
    live = Live("WSGI", path)
    over = threading.Event()
    seen: list[set[int | None]] = []
    failures: list[BaseException] = []

    def client(place: int) -> None:
        found: set[int | None] = set()
        seen.append(found)
        try:
            while not over.is_set():
                for sent in LOAD[place:] + LOAD[:place]:
                    found.add(judge(sent, over_wsgi(live.app, sent)))
        except BaseException as error:  # noqa: BLE001 - a thread's own failure is nobody's
            failures.append(error)

    threads = [threading.Thread(target=client, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in swaps(live, path):
            if failures:
                break
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_S)
    assert failures == []
    assert len(set[int | None]().union(*seen)) > SWAPS / 10, "there was load while it was swapped"


def test_a_thousand_swaps_under_load_tear_no_answer_on_asgi(path: Path) -> None:
    generation(path, 0)
    live = Live("ASGI", path)
    seen: set[int | None] = set()

    async def receive(wire: Wire) -> Any:
        await asyncio.sleep(0)  # as from a server: others have their turn
        return await wire.receive() if wire.events else await asyncio.Event().wait()

    async def client(place: int, over: asyncio.Event) -> None:
        while not over.is_set():
            for sent in LOAD[place:] + LOAD[:place]:
                wire = Wire(events_of(sent))
                await live.app(scope_of(sent), partial(receive, wire), wire.send)
                seen.add(judge(sent, wire.answer))
                await asyncio.sleep(0)

    async def main() -> None:
        over = asyncio.Event()
        clients = [asyncio.create_task(client(place, over)) for place in range(4)]
        at = swaps(live, path)
        while await asyncio.to_thread(next, at, None) is not None:
            for task in clients:
                if task.done():
                    task.result()
        over.set()
        await asyncio.gather(*clients)

    asyncio.run(main())
    assert len(seen) > SWAPS / 10, "there was load while it was swapped"


ANY_TRIGGER = [("X-Even", "502"), ("X-Odd", "504")]
OF_THE_ADAPTERS = ("mockware/asgi.py", "mockware/wsgi.py")  # which alone read what is swapped


@on_both
@pytest.mark.parametrize(
    "sent",
    [
        *(sent for sent in LOAD if sent.target != "/late"),
        Sent("GET", "/healthz", headers=ANY_TRIGGER),
        Sent("GET", "/f%C3%BCr"),
        Sent("GET", "/elsewhere", headers=[("X-Mock-Name", "even")]),
    ],
    ids=lambda sent: f"{sent.target}-{len(sent.headers)}",
)
def test_a_swap_between_any_two_lines_of_a_request_tears_nothing(
    interface: str, path: Path, sent: Sent
) -> None:
    generation(path, 0)
    live = Live(interface, path)
    live.status()
    even = live.app._snapshot
    generation(path, 1)
    live.look()
    swap_at_each_line(live, sent, even, live.app._snapshot)


# What a middleware looks at for these alone: they come and go with a swap.
FROM_A_BROWSER = """query = "mock"
cookie = "mock"
[cors]
origins = ["https://app.test"]
"""
OF_A_PAGE = ("Origin", "https://app.test")
PREFLIGHT = [OF_A_PAGE, ("Access-Control-Request-Method", "GET")]


@on_both
@pytest.mark.parametrize(
    "sent",
    [
        Sent("GET", "/a", headers=[OF_A_PAGE]),
        Sent("OPTIONS", "/a", headers=PREFLIGHT),
        Sent("OPTIONS", "/at/all", headers=[*PREFLIGHT, ("Access-Control-Request-Headers", "x-even")]),
        Sent("GET", "/at/all?mock=502"),
        Sent("GET", "/at/all", headers=[("Cookie", "mock=502")]),
        Sent("GET", "/at/all", headers=[OF_A_PAGE, *ANY_TRIGGER]),
    ],
    ids=lambda sent: f"{sent.method}-{sent.target}-{len(sent.headers)}",
)
@pytest.mark.parametrize("comes", [True, False], ids=["comes", "goes"])
def test_what_browsers_need_comes_and_goes_whole(
    interface: str, path: Path, sent: Sent, *, comes: bool
) -> None:
    generation(path, 0, FROM_A_BROWSER)
    live = Live(interface, path)
    live.status()
    with_it = live.app._snapshot
    generation(path, 1)
    live.look()
    without = live.app._snapshot
    swap_at_each_line(live, sent, *((without, with_it) if comes else (with_it, without)))


def swap_at_each_line(live: Live, sent: Sent, first: Any, then: Any) -> None:
    """Holds a request to an answer that is wholly of one of two snapshots, whenever they are swapped."""
    ask: Callable[..., Answer] = over_asgi if live.interface == "ASGI" else over_wsgi
    live.app._adopt(first, False)
    of_first = ask(live.app, sent)
    live.app._adopt(then, False)
    of_then = ask(live.app, sent)
    before, at, lines, seen = sys.gettrace(), 0, 1, set()
    while at < lines:
        lines = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:
            nonlocal lines
            if event == "line" and frame.f_code.co_filename.endswith(OF_THE_ADAPTERS):
                if lines == at:  # noqa: B023 - it is called within this round alone
                    live.app._adopt(then, False)
                lines += 1
            return trace

        live.app._adopt(first, False)
        sys.settrace(trace)
        try:
            answer = ask(live.app, sent)
        finally:
            sys.settrace(before)
        assert answer in (of_first, of_then), f"swapped at line {at}"
        seen.add(answer)
        at += 1
    assert at > 5
    assert seen == {of_first, of_then}


@on_both
def test_swaps_leave_nothing_behind(interface: str, path: Path) -> None:
    generation(path, 0)
    live = Live(interface, path)
    live.ask("GET", "/a")
    old = []
    for number in range(1, 20):
        old.append(weakref.ref(live.app._snapshot))
        generation(path, number)
        live.look()
        live.ask("GET", "/a", {"X-Even": "502"})
    gc.collect()
    assert [each() for each in old] == [None] * len(old)


@on_both
def test_no_file_stays_open(interface: str, path: Path) -> None:
    live = Live(interface, path)
    live.status()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for status in (410, 409, 418):
        write(path, status)
        live.look()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
