"""What wrapping comes to: nothing while off, an instance while on, and one line in the log about it."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.by_hand import Environ, Receive, Scope, Send, Sent, over_asgi, over_wsgi

import mockware
from mockware import ASGIMockMiddleware, ConfigError, Rule, WSGIMockMiddleware
from mockware.exceptions import StoreError
from mockware.memory_store import MemoryStore


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"app"})


def wsgi(environ: Environ, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"app"]


BOTH: list[Any] = [asgi, wsgi]
OFF: list[Mapping[str, str]] = [
    {},
    {"MOCKWARE": ""},
    {"MOCKWARE": "off"},
    {"MOCKWARE": " OFF "},
    {"MOCKWARE": " , "},
    {"MOCKWARE_FILE": "no-such-file.toml", "MOCKWARE_RULES": "nonsense", "MOCKWARE_KEY": "k"},
    {"MOCKWARE": "off", "MOCKWARE_STORE": "nonsense", "MOCKWARE_CONTROL": "/x"},
    {"MOCKWARE": "off", "APP_ENV": "production"},
]


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """The level and text of each line that was logged since the last call."""
    caplog.set_level(logging.DEBUG)

    def since() -> list[tuple[str, str]]:
        records = [record for record in caplog.records if record.name != "asyncio"]
        logged = [(record.levelname, record.getMessage()) for record in records]
        assert {record.name for record in records} <= {"mockware"}
        caplog.clear()
        return logged

    return since


Lines = Callable[[], list[tuple[str, str]]]


# ---- off and on


@pytest.mark.parametrize("environ", OFF)
@pytest.mark.parametrize("app", [*BOTH, object()])
def test_while_off_the_app_itself_comes_back(app: Any, environ: Mapping[str, str]) -> None:
    assert mockware.wrap(app, rules="no-such-file.toml", environ=environ) is app
    assert ASGIMockMiddleware(app, rules="no-such-file.toml", environ=environ) is app
    assert WSGIMockMiddleware(app, rules="no-such-file.toml", environ=environ) is app


def test_off_in_the_code_beats_on_in_the_environment() -> None:
    for wrap in (mockware.wrap, ASGIMockMiddleware, WSGIMockMiddleware):
        wrapped: Any = wrap(asgi, enabled=False, environ={"MOCKWARE": "on"})
        assert wrapped is asgi


def test_while_on_an_instance_comes_back() -> None:
    for environ, enabled in [({"MOCKWARE": "on"}, None), ({}, True), ({"MOCKWARE": "off"}, True)]:
        assert type(mockware.wrap(asgi, environ=environ, enabled=enabled)) is ASGIMockMiddleware
        assert type(mockware.wrap(wsgi, environ=environ, enabled=enabled)) is WSGIMockMiddleware
        assert type(ASGIMockMiddleware(asgi, environ=environ, enabled=enabled)) is ASGIMockMiddleware
        assert type(WSGIMockMiddleware(wsgi, environ=environ, enabled=enabled)) is WSGIMockMiddleware


def test_the_environment_of_the_process_decides_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"MOCKWARE": "on", "MOCKWARE_RULES": "/a 410"})
    wrapped: Any = mockware.wrap(asgi)
    assert over_asgi(wrapped, Sent(target="/a")).status == 410
    given: Any = mockware.wrap(asgi, environ={})
    assert given is asgi


def test_the_environment_is_read_when_an_app_is_wrapped_and_not_later() -> None:
    environ = {"MOCKWARE": "on", "MOCKWARE_RULES": "/a 410", "MOCKWARE_KEY": "k"}
    wrapped: Any = mockware.wrap(asgi, environ=environ)
    environ.clear()
    assert over_asgi(wrapped, Sent(target="/a")).status == 410
    assert over_asgi(wrapped, Sent(target="/b", headers=[("X-Mock-Status", "503")])).status == 200


def test_the_clock_is_the_one_that_was_given() -> None:
    rules = [Rule("/a", status=410, expires="2001-01-01T00:00:00Z")]
    for app, over in ((asgi, over_asgi), (wsgi, over_wsgi)):
        ticks = iter([978307199.0, 978307200.0])
        wrapped: Any = mockware.wrap(app, rules=rules, enabled=True, environ={}, clock=ticks.__next__)
        assert over(wrapped, Sent(target="/a")).status == 410
        assert over(wrapped, Sent(target="/a")).status == 200


@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware])
def test_rules_of_the_environment_come_first(tmp_path: Path, wrap: Any) -> None:
    file, argument = tmp_path / "a.toml", tmp_path / "b.toml"
    file.write_text('rules = [{ match = "/b", status = 502 }, { match = "/a", status = 502 }]')
    argument.write_text('rules = [{ match = "/c", status = 503 }, { match = "/b", status = 503 }]')
    environ = {"MOCKWARE": "on", "MOCKWARE_FILE": str(file), "MOCKWARE_RULES": "/a 501"}
    wrapped = wrap(asgi, rules=argument, environ=environ)
    statuses = [over_asgi(wrapped, Sent(target=target)).status for target in ("/a", "/b", "/c", "/d")]
    assert statuses == [501, 502, 503, 200]


@pytest.mark.parametrize("wrap", [mockware.wrap, ASGIMockMiddleware])
def test_a_bad_configuration_stops_the_start_with_every_problem(wrap: Any, lines: Lines) -> None:
    environ = {"MOCKWARE": "on", "MOCKWARE_RULES": "/a 999; /b {; nonsense"}
    with pytest.raises(ConfigError) as raised:
        wrap(asgi, rules="no-such-file.toml", environ=environ)
    assert len(raised.value.problems) >= 4
    assert lines() == []


# ---- the line at the start


def start_line(lines: Lines, environ: Mapping[str, str], **arguments: Any) -> tuple[str, str]:
    """The one line that each way of wrapping logs."""
    told = []
    for wrap, app in (
        (mockware.wrap, asgi),
        (mockware.wrap, wsgi),
        (ASGIMockMiddleware, asgi),
        (WSGIMockMiddleware, wsgi),
    ):
        lines()
        wrap(app, environ=environ, **arguments)
        told += lines()
    assert len(told) == 4, "one line for each app that is wrapped"
    assert len(set(told)) == 1
    return told[0]


@pytest.mark.parametrize(
    ("environ", "arguments", "line"),
    [
        ({}, {}, "mockware is off: MOCKWARE is not set"),
        ({"MOCKWARE": " "}, {}, "mockware is off: MOCKWARE is not set"),
        ({"MOCKWARE": "OFF"}, {}, "mockware is off: MOCKWARE is off"),
        ({"MOCKWARE": "on"}, {"enabled": False}, "mockware is off: enabled=False"),
    ],
)
def test_the_line_says_why_it_is_off(
    environ: Mapping[str, str], arguments: dict[str, Any], line: str, lines: Lines
) -> None:
    assert start_line(lines, environ, **arguments) == ("INFO", line)


FROM_ANYBODY = "X-Mock-Status is heeded from anybody"
TWO = [Rule("/a", name="a", tags=["x"]), Rule("/b", name="b")]


@pytest.mark.parametrize(
    ("environ", "arguments", "line"),
    [
        (
            {"MOCKWARE": "on"},
            {"rules": TWO},
            "mockware is ON (MOCKWARE=on): 2 rules from rules=; X-Mock-Status is heeded from anybody",
        ),
        (
            {},
            {"rules": TWO[:1], "enabled": True},
            "mockware is ON (enabled=True): 1 rule from rules=; X-Mock-Status is heeded from anybody",
        ),
        (
            {"MOCKWARE": "on"},
            {},
            "mockware is ON (MOCKWARE=on): no rules, triggers only; X-Mock-Status is heeded from anybody",
        ),
        (
            {"MOCKWARE": "on", "MOCKWARE_KEY": "hush"},
            {},
            "mockware is ON (MOCKWARE=on): no rules, triggers only; X-Mock-Status is heeded with X-Mock-Key",
        ),
        (
            {"MOCKWARE": "x"},
            {"rules": TWO},
            "mockware is ON (MOCKWARE=x): 2 rules from rules=, 1 of them off; " + FROM_ANYBODY,
        ),
        (
            {"MOCKWARE": "on", "MOCKWARE_RULES": "/x; /y"},
            {"rules": TWO},
            "mockware is ON (MOCKWARE=on): 4 rules from MOCKWARE_RULES, rules=; " + FROM_ANYBODY,
        ),
    ],
)
def test_the_line_says_what_is_on_at_a_level_that_nobody_has_to_set_up(
    environ: Mapping[str, str], arguments: dict[str, Any], line: str, lines: Lines
) -> None:
    assert start_line(lines, environ, **arguments) == ("WARNING", line)


def test_the_line_names_the_files_and_the_triggers_of_the_rules_file(tmp_path: Path, lines: Lines) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text('rules = [{ match = "/a" }]\n[trigger]\nstatus_header = "X-Ask"\nkey_header = "X-Word"\n')
    level, line = start_line(lines, {"MOCKWARE": "on", "MOCKWARE_KEY": "hush"}, rules=str(file))
    assert (level, line) == (
        "WARNING",
        f"mockware is ON (MOCKWARE=on): 1 rule from {file}; X-Ask is heeded with X-Word",
    )
    file.write_text('rules = [{ match = "/a" }]\n[trigger]\nenabled = false\n')
    level, line = start_line(lines, {"MOCKWARE": "on", "MOCKWARE_KEY": "hush"}, rules=file)
    assert (level, line) == ("WARNING", f"mockware is ON (MOCKWARE=on): 1 rule from {file}; triggers are off")


def test_a_file_without_rules_and_triggers_is_said_to_do_nothing(tmp_path: Path, lines: Lines) -> None:
    file = tmp_path / "mocks.toml"
    file.write_text("[trigger]\nenabled = false\n")
    level, line = start_line(lines, {"MOCKWARE": "on"}, rules=file)
    assert (level, line) == ("WARNING", "mockware is ON (MOCKWARE=on): no rules; triggers are off")


@pytest.mark.parametrize("environ", [{"MOCKWARE": "on", "MOCKWARE_KEY": "open sesame"}])
def test_the_key_is_in_no_line_and_no_answer(environ: Mapping[str, str], lines: Lines) -> None:
    wrapped: Any = mockware.wrap(asgi, environ=environ)
    for value in ("open sesame", "open sesam"):
        for asked in ("503", "open sesame", "x" * 3000):
            headers = [("X-Mock-Key", value), ("X-Mock-Status", asked)]
            answer = over_asgi(wrapped, Sent(headers=headers))
            assert asked == "open sesame" or b"sesam" not in answer.body
    told = "\n".join(line for _, line in lines())
    assert "sesam" not in told
    assert "sesam" not in repr(wrapped)


# ---- production


GUARDS = ["APP_ENV", "ENVIRONMENT", "ENV", "DJANGO_ENV", "FLASK_ENV", "PYTHON_ENV"]


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.parametrize("value", ["production", "prod", " Production ", "PROD"])
@pytest.mark.parametrize("enabled", [None, True])
def test_production_keeps_it_off_with_an_error(
    name: str, value: str, enabled: bool | None, lines: Lines
) -> None:
    environ = {"MOCKWARE": "on", name: value}
    for app in BOTH:
        assert mockware.wrap(app, rules=TWO, enabled=enabled, environ=environ) is app
    assert start_line(lines, environ, enabled=enabled) == (
        "ERROR",
        f"mockware is off: {name} says {value.strip()!r}; MOCKWARE_ALLOW_PRODUCTION=yes would allow it",
    )


@pytest.mark.parametrize("value", ["", "no", "1", "true", "Yes", "yes "])
def test_nothing_but_yes_allows_production(value: str) -> None:
    environ = {"MOCKWARE": "on", "APP_ENV": "production", "MOCKWARE_ALLOW_PRODUCTION": value}
    wrapped: Any = mockware.wrap(asgi, environ=environ)
    assert wrapped is asgi


def test_yes_allows_production(lines: Lines) -> None:
    environ = {"MOCKWARE": "on", "APP_ENV": "production", "MOCKWARE_ALLOW_PRODUCTION": "yes"}
    assert type(mockware.wrap(asgi, environ=environ)) is ASGIMockMiddleware
    assert [level for level, _ in lines()] == ["WARNING"]


@pytest.mark.parametrize("value", ["staging", "productive", "reproduction", "", "development"])
def test_other_stages_are_not_production(value: str) -> None:
    environ = {"MOCKWARE": "on", **dict.fromkeys(GUARDS, value)}
    assert type(mockware.wrap(asgi, environ=environ)) is ASGIMockMiddleware


def test_a_broken_configuration_does_not_stop_production(lines: Lines) -> None:
    environ = {"MOCKWARE": "on", "APP_ENV": "prod", "MOCKWARE_RULES": "{{", "MOCKWARE_STORE": "x"}
    for app in BOTH:
        assert mockware.wrap(app, rules="no-such-file.toml", environ=environ) is app


# ---- the line for each mock


HOSTILE = {
    "CR and LF": ("/free/%0D%0A2027-01-01 ERROR forged", r"'/free/\r\n2027-01-01 ERROR forged'"),
    "ESC": ("/free/%1B[31mred%07", r"'/free/\x1b[31mred\x07'"),
    "beyond ASCII": ("/free/%D0%B9%E2%80%AE%F0%9F%92%A5", r"'/free/\u0439\u202e\U0001f4a5'"),
    "malformed": ("/free/%FF", r"'/free/\ufffd'"),
    "a line separator": ("/free/%E2%80%A8%C2%85", r"'/free/\u2028\x85'"),
    "quotes": ("/free/'%22", r"""'/free/\'"'"""),
    "percent signs": ("/free/%25s%25d", "'/free/%s%d'"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_path_is_one_line_of_printable_ascii(name: str, lines: Lines) -> None:
    target, shown = HOSTILE[name]
    for app, over in ((asgi, over_asgi), (wsgi, over_wsgi)):
        wrapped: Any = mockware.wrap(app, enabled=True, environ={})
        lines()
        over(wrapped, Sent(target=target, headers=[("X-Mock-Status", "503")]))
        assert lines() == [("INFO", f"mocked 'GET' {shown}: 503 by rule 'trigger'")]


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_a_line_is_bounded(lines: Lines) -> None:
    sent = Sent("M\x1b" * 5000, "/" + "%0D" * 100_000, headers=[("X-Mock-Status", "503")])
    for app, over in ((asgi, over_asgi), (wsgi, over_wsgi)):
        wrapped: Any = mockware.wrap(app, enabled=True, environ={})
        lines()
        over(wrapped, sent)
        ((level, line),) = lines()
        assert level == "INFO"
        assert len(line) < 1000
        assert line.isascii()
        assert line.isprintable()
        assert line.endswith(": 503 by rule 'trigger'")


def test_a_rule_without_a_name_is_told_in_printable_ascii(lines: Lines) -> None:
    rules = [Rule("/é\x1b\n\u2028x")]
    for app, over in ((asgi, over_asgi), (wsgi, over_wsgi)):
        wrapped: Any = mockware.wrap(app, rules=rules, enabled=True, environ={})
        lines()
        answer = over(wrapped, Sent(target="/%C3%A9%1B%0A%E2%80%A8x"))
        shown = r"'/\xe9\x1b\n\u2028x'"
        assert lines() == [("INFO", f"mocked 'GET' {shown}: 202 by rule {shown}")]
        assert answer.one("x-mock-rule") == "/%C3%A9%1B%0A%E2%80%A8x"


def test_nothing_is_written_for_a_mock_where_nobody_listens(
    caplog: pytest.LogCaptureFixture, lines: Lines
) -> None:
    caplog.set_level(logging.WARNING, "mockware")
    wrapped: Any = mockware.wrap(asgi, enabled=True, environ={})
    lines()
    over_asgi(wrapped, Sent(headers=[("X-Mock-Status", "503")]))
    assert lines() == []


# ---- what is imported


def imported(statement: str) -> Iterator[str]:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    yield from done.stdout.split()


def test_while_off_nothing_that_costs_is_imported() -> None:
    statement = "import mockware; mockware.wrap(print, environ={}, rules='none.toml')"
    modules = set(imported(statement))
    assert "mockware.wsgi" in modules
    heavy = {"pydantic", "pydantic_core", "starlette", "asgiref", "anyio", "yaml", "trio", "tomllib"}
    assert heavy & modules == set()
    assert {"redis", "httpx", "jinja2", "uvicorn", "granian"} & modules == set()
    assert {"mockware.config", "mockware.rules", "mockware.engine", "mockware.index"} & modules == set()


# ---- stores


@pytest.mark.parametrize("app", BOTH)
@pytest.mark.parametrize(
    ("url", "shown", "says"),
    [
        ("sqlit:a.db", "'sqlit:...'", "did you mean `sqlite:`?"),
        ("redis://localhost/0?password=secret&bogus=1", "'redis:...'", "bogus"),
        ("redis://:secret", "'redis:...'", ""),
        ("redis+cluster://h/3?password=secret", "'redis+cluster:...'", ""),
        ("memory", "'memory'", "expected `memory:`"),
        ("MEMORY:", "'MEMORY:'", "did you mean `memory:`?"),
        ("sqlite:", "'sqlite:'", "the path of a file"),
        ("redis://:secret@host:port/0", "'redis://...@host:port/0'", ""),
        ("redsi://user:secret@host", "'redsi://...@host'", "did you mean `redis:`?"),
    ],
)
def test_a_store_that_there_is_not_is_refused_without_its_secrets(
    app: Any, url: str, shown: str, says: str
) -> None:
    for how in (
        {"environ": {"MOCKWARE": "on", "MOCKWARE_STORE": url}},
        {"enabled": True, "environ": {}, "store": url},
    ):
        with pytest.raises(ConfigError) as refused:
            mockware.wrap(app, **how)
        (problem,) = refused.value.problems
        assert problem.source == ("store=" if "store" in how else "MOCKWARE_STORE")
        assert problem.value == shown
        assert says in problem.message
        assert "secret" not in str(refused.value)


class NoThreads:
    threads = 0
    name = "no threads"

    def count(self, counters: Any) -> Any: ...


class OnlyCounts(NoThreads):
    threads = 1

    def close(self) -> None: ...


@pytest.mark.parametrize("store", [object(), Path("counts.db"), 7, NoThreads(), OnlyCounts()])
def test_what_is_no_store_is_refused(store: Any) -> None:
    with pytest.raises(TypeError, match="a URL of Redis, or an object with `count`, `write`, `read`, `list`"):
        mockware.wrap(asgi, enabled=True, environ={}, store=store)


def test_a_wrong_store_and_a_wrong_rule_are_said_together() -> None:
    environ = {"MOCKWARE": "on", "MOCKWARE_STORE": "nonsense", "MOCKWARE_RULES": "nowhere"}
    with pytest.raises(ConfigError) as refused:
        mockware.wrap(asgi, environ=environ)
    assert [problem.source for problem in refused.value.problems] == ["MOCKWARE_RULES", "MOCKWARE_STORE"]


COUNTED = [Rule("/a", times=1), Rule("/b")]


def test_the_line_at_the_start_says_where_is_counted(lines: Lines, tmp_path: Path) -> None:
    path = tmp_path / "counts.db"
    for rules, store, said in (
        (COUNTED, None, "2 rules from rules=, counted in the memory of each process alone;"),
        (COUNTED, f"sqlite:{path}", f"2 rules from rules=, counted in sqlite:{path};"),
        (COUNTED, "redis://user:secret@host:1/0", "2 rules from rules=, counted in redis://host:1/0;"),
        ([Rule("/b")], f"sqlite:{path}", "1 rule from rules=;"),
        ([Rule("/t", task={})], None, ", tasks remembered in the memory of each process alone;"),
        (
            [*COUNTED, Rule("/t", task={})],
            f"sqlite:{path}",
            f", counted and tasks remembered in sqlite:{path};",
        ),
        ([Rule("/t", task={"webhook": {"url": "http://a"}})], None, ", webhooks are off, since"),
    ):
        mockware.wrap(asgi, rules=rules, store=store, enabled=True, environ={})
        ((level, line),) = lines()
        assert level == "WARNING"
        assert said in line
    assert not path.exists(), "nothing is opened before something is counted"


def test_a_store_whose_folder_is_not_there_is_told_of_at_the_start(lines: Lines, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    environ = {"MOCKWARE": "on", "MOCKWARE_STORE": f"sqlite:{missing / 'counts.db'}"}
    mockware.wrap(asgi, rules=COUNTED, environ=environ)
    (_, (level, line)) = lines()
    assert level == "WARNING"
    assert line.startswith(f"{environ['MOCKWARE_STORE']}: there is no folder '{missing}';")
    missing.mkdir()
    mockware.wrap(asgi, rules=COUNTED, environ=environ)
    assert len(lines()) == 1


def test_a_variable_that_nobody_reads_is_told_of_without_its_value(lines: Lines) -> None:
    webhook = {"url": "http://a", "secret_env": "MOCKWARE_HOOK"}
    environ = {
        "MOCKWARE_KEYS": "zz-top-secret",
        "MOCKWARE_FIL": "m.toml",
        "MOCKWARE_HOOK": "whsec_" + "A" * 32,
    }
    rules = [Rule("/t", task={"webhook": webhook})]
    mockware.wrap(asgi, rules=rules, environ={**environ, "MOCKWARE": "on"})
    (_, *told) = lines()
    assert [level for level, _ in told] == ["WARNING"] * 2
    assert "'MOCKWARE_FIL' is set, which mockware does not know; did you mean `MOCKWARE_FILE`?" in told[0][1]
    assert "'MOCKWARE_KEYS' is set, which mockware does not know; did you mean `MOCKWARE_KEY`?" in told[1][1]
    assert "zz-top-secret" not in str(told)
    mockware.wrap(asgi, rules=rules, environ=environ)
    assert len(lines()) == 1, "while off, nobody looks"


def test_the_environment_s_store_wins_over_the_code_s(lines: Lines) -> None:
    environ = {"MOCKWARE_STORE": "redis://operations/0"}
    mockware.wrap(asgi, rules=COUNTED, store="redis://code/0", enabled=True, environ=environ)
    ((_, line),) = lines()
    assert "redis://operations/0" in line


def test_a_store_of_one_s_own_is_counted_in_and_one_that_fails_is_replaced(lines: Lines) -> None:
    class Broken(MemoryStore):
        threads = 1
        name = "my own"

        def count(self, counters: Any) -> Any:
            raise StoreError("it is broken")

    app = mockware.wrap(wsgi, rules=COUNTED, store=Broken(), enabled=True, environ={})
    assert [over_wsgi(app, Sent("GET", "/a")).status for _ in range(2)] == [202, 200]
    _, away, *_ = lines()
    assert "my own" in away[1]
    assert "it is broken" in away[1]
