"""The commands by `main()` and as programs: what they print, where, and with which exit code."""

import json
import os
import subprocess
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.commands import PATIENCE_S, environ, run

import mockware
from mockware.cli import COMMANDS, main
from mockware.rules_files import schema
from mockware.snippets import FRAMEWORKS, status_files, status_snippet
from mockware.statuses import CATALOGUE

Captured = pytest.CaptureFixture[str]
RULES = """\
never = ["/healthz"]

[[rules]]
match = "POST /reports"

[[rules]]
name = "payments-down"
tags = ["payments"]
match = "GET,POST /payments/{id:int}"
status = 503
json = { error = "down for the demo" }
delay = { min = "1s", max = "2s" }
probability = 0.25

[[rules]]
match = "/payments/{rest:path}"
passthrough = true
"""
BROKEN = """\
never = ["healthz"]
[[rules]]
match = "POST reports"
[[rules]]
name = "payments-down"
match = "/payments"
statsu = 503
status = 99
delay = 5
[[rules]]
name = "payments-down"
match = "/b"
json = 1
text = "both"
headers = { x-evil = "a\\r\\nb" }
when = { query = { x = { regex = "(" } } }
file = "missing.json"
expires = 2020-01-01T00:00:00
"""


@pytest.fixture(autouse=True)
def _without_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("MOCKWARE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mocks(tmp_path: Path) -> Path:
    file = tmp_path / "mocks.toml"
    file.write_text(RULES)
    return file


# The program as a whole


def test_without_a_command_it_prints_its_help_and_fails(capsys: Captured) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Usage: mockware COMMAND" in err


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_names_every_command(option: str, capsys: Captured) -> None:
    assert main([option]) == 0
    out, _ = capsys.readouterr()
    for name, command in COMMANDS.items():
        assert f"  {name:8} {command.summary}\n" in out
    assert "Exit codes: 0" in out


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_the_packages(option: str, capsys: Captured) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == f"mockware {mockware.__version__}\n"


# They have granian's options besides their own, and click's form of help; see their own tests.
HOSTED = ("run", "proxy", "serve")


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in HOSTED])
def test_the_help_of_each_command_is_enough_to_use_it(command: str, capsys: Captured) -> None:
    assert main([command, "--help"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith(f"usage: mockware {command} [-h]")
    assert f"Examples:\n  mockware {command}" in out
    assert "Exit codes: 0 done" in out


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (
            ["chek"],
            "'chek' is no command; did you mean `check`? Allowed: demo, run, proxy, serve, check,",
            "",
        ),
        (["--verison"], "'--verison' is no option; did you mean `--version`?", ""),
        (["\x1b[31m"], "'\\x1b[31m' is no command; allowed: demo,", ""),
        (["check"], "the following arguments are required: FILE", "check"),
        (["check", "a", "--strcit"], "'--strcit' is not expected here; did you mean `--strict`?", "check"),
        (["check", "a", "--stri"], "'--stri' is not expected here", "check"),
        (["check", "a", "--import", "no.such"], "--import 'no.such': no module `no` in", "check"),
        (["explain"], "the following arguments are required: [METHOD] /PATH[?QUERY]", "explain"),
        (["explain", "POST", "/x"], "'/x' is not expected here", "explain"),
        (["explain", "POST x"], "expected `[METHOD] /path?query`, such as `POST /reports`", "explain"),
        (["explain", "/x", "-H", "no colon"], "expected a header such as `X-Mock-Status: 503`", "explain"),
        (["explain", "/x", "-d", "@missing"], "-d '@missing': No such file or directory", "explain"),
        (["status", "nto", "found"], "'nto found' is no status; did you mean `not-found`?", "status"),
        (["status", "700"], "'700' cannot be the status of a mock: allowed are 200 to 599", "status"),
        (["schema", "x\x07"], "'x\\x07' is not expected here", "schema"),
        (["demo", "--port", "x"], "argument --port: 'x' is no port; allowed: 1 to 65535", "demo"),
    ],
)
def test_wrong_usage_is_one_line_and_where_to_look(
    arguments: list[str], message: str, command: str, capsys: Captured
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, hint = err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint == " ".join(filter(None, ("Try: mockware", command, "--help")))


def test_a_reader_that_leaves_is_no_error() -> None:
    for arguments in (["schema"], ["status"], ["--help"], ["status", "202"]):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as pipe:
            done = subprocess.run(
                [sys.executable, "-m", "mockware", *arguments],
                env=environ(),
                stdout=pipe,
                stderr=subprocess.PIPE,
                timeout=PATIENCE_S,
                check=False,
            )
        assert (done.returncode, done.stderr) == (141, b"")


def test_the_installed_command_is_this_one() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"mockware": f"{main.__module__}:{main.__name__}"}


# check


def test_files_without_a_problem_pass(mocks: Path, capsys: Captured) -> None:
    assert main(["check", "mocks.toml"]) == 0
    assert capsys.readouterr() == ("mocks.toml: 3 rules, no problem\n", "")


def test_every_problem_of_every_file_is_a_line(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "broken.toml").write_text(BROKEN)
    (tmp_path / "no.json").write_text("{")
    (tmp_path / "mocks.ini").write_text("")
    assert main(["check", "broken.toml", "no.json", "missing.yaml", "mocks.ini"]) == 1
    out, err = capsys.readouterr()
    assert out == f"broken.toml, no.json, missing.yaml, mocks.ini: {len(err.splitlines())} problems\n"
    for part in (
        "broken.toml: `never.0` = 'healthz': a path starts with `/`",
        "broken.toml, rule 1 'POST reports': `match` = 'POST reports': expected `[METHOD[,METHOD...]] /path`",
        "broken.toml, rule 2 'payments-down': `statsu` = 503: no such key; did you mean `status`?",
        "broken.toml, rule 2 'payments-down': `status` = 99: ",
        "broken.toml, rule 2 'payments-down': `delay` = 5: a bare number has no unit; write `5s` or `5ms`",
        "broken.toml, rule 3 'payments-down': `text` = 'both': a rule has one body, and there is `json` ",
        r"broken.toml, rule 3 'payments-down': `headers.x-evil` = 'a\r\nb': a header's value is one line",
        "broken.toml, rule 3 'payments-down': `when.query.x` = {'regex': '('}: bad regular expression",
        "broken.toml, rule 3 'payments-down': `file` = 'missing.json': ",
        "broken.toml, rule 3 'payments-down': `expires` = ",
        "no.json: not JSON: ",
        "missing.yaml: cannot be read: No such file or directory",
    ):
        assert any(line.startswith(part) for line in err.splitlines()), part
    assert "mocks.ini: a rules file ends in .toml, .yaml, .yml or .json" in err


def test_two_files_are_one_configuration(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.toml").write_text('[[rules]]\nname = "x"\nmatch = "/a"\n')
    (tmp_path / "b.toml").write_text('[[rules]]\nname = "x"\nmatch = "/a"\n')
    assert main(["check", "a.toml"]) == main(["check", "b.toml"]) == 0
    capsys.readouterr()
    assert main(["check", "a.toml", "b.toml"]) == 1
    said = "b.toml, rule 1: `name` = 'x': two rules have this name; the other is rule 1 of a.toml\n"
    assert said in capsys.readouterr().err


def test_warnings_are_told_and_fail_only_if_strict(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "m.toml").write_text(
        'never = ["/c"]\n[[rules]]\nmatch = "/a/{x}"\n[[rules]]\nmatch = "GET /a/7"\n'
        '[[rules]]\nmatch = "/b"\nexpires = 2020-01-01T00:00:00Z\n'
        'headers = { Cache-Control = "max-age=60" }\n[[rules]]\nmatch = "/c"\n'
    )
    assert main(["check", "m.toml"]) == 0
    out, err = capsys.readouterr()
    assert out == "m.toml: 4 rules, 4 warnings\n"
    assert [line.split(": ", 2)[1] for line in err.splitlines()] == [
        "m.toml, rule 2 'GET /a/7'",
        "m.toml, rule 3 '/b'",
        "m.toml, rule 3 '/b'",
        "m.toml, rule 4 '/c'",
    ]
    assert all(line.startswith("warning: ") for line in err.splitlines())
    assert main(["check", "--strict", "m.toml"]) == main(["check", "m.toml", "--strict"]) == 1


def test_ten_thousand_rules_are_checked_within_seconds(tmp_path: Path) -> None:
    file = tmp_path / "many.json"
    rules = [{"match": f"GET /a{i}" if i % 2 else f"GET /b/{{x:int}}/{i}"} for i in range(10_000)]
    file.write_text(json.dumps({"rules": rules}))
    done = run("check", "many.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "many.json: 10000 rules, no problem\n")


def test_the_environment_has_no_say_in_a_check(mocks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKWARE", "unknown-word")
    monkeypatch.setenv("MOCKWARE_FILE", "missing.toml")
    assert main(["check", "mocks.toml"]) == 0


def test_hostile_text_from_a_file_reaches_no_terminal(tmp_path: Path, capsys: Captured) -> None:
    name = "\x1b[2Jevil\n.toml"
    (tmp_path / name).write_text(
        '"\\u001b[31m" = 1\n[[rules]]\nname = "\\u0007"\nmatch = "/\\u202e"\n"a\\nb" = 1\n'
    )
    assert main(["check", name]) == 1
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert all(line.startswith("\\x1b[2Jevil\\n.toml") for line in (out + err).splitlines())


def test_check_runs_as_a_program(mocks: Path) -> None:
    done = run("check", "mocks.toml", "missing.toml", cwd=mocks.parent)
    assert done.returncode == 1
    assert done.stderr == "missing.toml: cannot be read: No such file or directory\n"
    assert done.stdout == "mocks.toml, missing.toml: 1 problem\n"


# explain


def test_an_explanation_is_whole(mocks: Path, capsys: Captured) -> None:
    assert main(["explain", "GET /payments/7?a=1", "--rules", "mocks.toml"]) == 0
    assert capsys.readouterr() == (
        """\
GET /payments/7?a=1
As if mockware were on; here it is off: MOCKWARE is not set.

rule 2 'payments-down' of mocks.toml answers 25% of such requests, after 1 to 2 s:

    HTTP/1.1 503 Service Unavailable
    Content-Type: application/json
    Content-Length: 30
    Cache-Control: no-store
    X-Mock-Rule: payments-down

    {"error": "down for the demo"}

rule 3 '/payments/{rest:path}' of mocks.toml passes 75% of such requests through to the app

Rules that do not answer:
  rule 1 'POST /reports' of mocks.toml: path: expected /reports, found /payments/7
""",
        "",
    )


def test_the_environment_is_heeded_as_if_it_were_on(
    mocks: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCKWARE_FILE", "mocks.toml")
    monkeypatch.setenv("MOCKWARE_RULES", "/reports 418")
    for toggle, stage in (("on", ""), ("off", ""), ("on", "production"), ("", "")):
        monkeypatch.setenv("MOCKWARE", toggle)
        monkeypatch.setenv("APP_ENV", stage)
        assert main(["explain", "POST /reports"]) == 0
        out, _ = capsys.readouterr()
        assert "rule 1 '/reports' of MOCKWARE_RULES answers:" in out
        assert ("here it is off" in out) is (toggle != "on" or stage != "")
        assert "never looked at: rule 1 '/reports' of MOCKWARE_RULES comes first" in out
    monkeypatch.setenv("MOCKWARE", "payments")
    assert main(["explain", "POST /reports"]) == 0
    out, _ = capsys.readouterr()
    assert "\nthe app answers\n" in out
    assert "rule 1 '/reports' of MOCKWARE_RULES: off, because MOCKWARE=payments names other rules" in out


def test_rules_of_the_command_line_come_last(
    mocks: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCKWARE_FILE", "mocks.toml")
    (tmp_path / "more.toml").write_text('[[rules]]\nmatch = "/reports"\nstatus = 500\n')
    assert main(["explain", "/reports", "--rules", "more.toml"]) == 0
    assert "rule 1 '/reports' of more.toml answers:" in capsys.readouterr().out
    assert main(["explain", "POST /reports", "--rules", "more.toml"]) == 0
    assert "rule 1 'POST /reports' of mocks.toml answers:" in capsys.readouterr().out


def test_a_trigger_in_a_header_is_heeded(mocks: Path, capsys: Captured) -> None:
    assert main(["explain", "/x", "-H", "X-Mock-Status: 200:3,503", "-H", "X-Mock-Delay: 1s"]) == 0
    out, _ = capsys.readouterr()
    assert "the trigger answers 75% of such requests, after 1 s:\n\n    HTTP/1.1 200 OK\n" in out
    assert "the trigger answers 25% of such requests, after 1 s:\n\n    HTTP/1.1 503 Service" in out
    assert "There are no rules" in out


def test_a_body_may_come_from_a_file_or_from_stdin(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "m.toml").write_text('[[rules]]\nmatch = "POST /a"\nwhen = { json = { n = 1 } }\n')
    (tmp_path / "body.json").write_bytes(b'{"n": 1}')
    for data in ('{"n": 1}', "@body.json"):
        assert main(["explain", "/a", "-d", data, "--rules", "m.toml"]) == 0
        assert "rule 1 'POST /a' of m.toml answers:" in capsys.readouterr().out
    done = run("explain", "/a", "-d", "@-", "--rules", "m.toml", cwd=tmp_path, text='{"n": 2}')
    assert "when.json.n: expected 1, found 2" in done.stdout


def test_problems_in_the_rules_are_told_instead(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "broken.toml").write_text(BROKEN)
    assert main(["explain", "/x", "--rules", "broken.toml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean `status`?" in err


def test_hostile_text_from_a_request_reaches_no_terminal(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "m.toml").write_text('[[rules]]\nmatch = "/a"\ntext = "\\u001b[2J\\u0007 body"\nname = "a"\n')
    assert main(["explain", "/%1b[2J%0a\x07", "--rules", "m.toml"]) == 0
    assert main(["explain", "/a", "--rules", "m.toml", "-H", "X-Mock-Status: \x1b[2J"]) == 0
    assert main(["explain", "/a", "--rules", "m.toml"]) == 0
    out, err = capsys.readouterr()
    assert all(line.isprintable() for line in (out + err).splitlines())
    assert "\\x1b[2J\\x07 body" in out


def test_explain_runs_as_a_program(mocks: Path) -> None:
    done = run("explain", "POST /reports", "--rules=mocks.toml", cwd=mocks.parent)
    assert (done.returncode, done.stderr) == (0, "")
    assert '    {"status": "accepted", "task_id": "abc-123"}\n' in done.stdout


# status


def test_a_status_is_shown_whole(capsys: Captured) -> None:
    assert main(["status", "202"]) == 0
    assert capsys.readouterr().out == (
        """\
HTTP/1.1 202 Accepted
Content-Type: application/json
Content-Length: 44
Cache-Control: no-store
X-Mock-Rule: trigger
Vary: X-Mock-Status

{"status": "accepted", "task_id": "abc-123"}

The work is taken on but not done; ask the status monitor how it goes.
RFC 9110 §15.3.3, https://www.rfc-editor.org/rfc/rfc9110#section-15.3.3

# The server adds Date and the like. To see it from an app that is wrapped:
curl -i -H 'X-Mock-Status: 202' http://127.0.0.1:8000/
"""
    )


@pytest.mark.parametrize("asked", [["not found"], ["not", "found"], ["Not-Found"], ["404"]])
def test_a_phrase_will_do(asked: list[str], capsys: Captured) -> None:
    assert main(["status", *asked]) == 0
    assert capsys.readouterr().out.startswith("HTTP/1.1 404 Not Found\n")


def test_without_a_code_all_are_listed(capsys: Captured) -> None:
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"{s.code} {s.phrase}" for s in CATALOGUE.values()]


def test_status_runs_as_a_program_on_a_stream_that_knows_ascii_only() -> None:
    done = run("status", "404", env=environ(PYTHONIOENCODING="ascii"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "RFC 9110 \\xa715.5.5" in done.stdout


# schema


def test_the_schema_is_printed_as_json(capsys: Captured) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == schema()
    jsonschema.Draft202012Validator.check_schema(printed)
    assert run("schema").stdout == json.dumps(printed, indent=2) + "\n"


A = '[[rules]]\nmatch = "/a"\n'
GOOD = [
    "",
    RULES,
    'never = []\n[trigger]\nenabled = false\nstatuses = [503]\npaths = ["/api"]\nmax_delay = "2s"\n',
    '[trigger]\nstatus_header = "X-A"\n[[rules]]\nmatch = "/"\n',
    A + 'text = "x"\nheaders = { set-cookie = ["a=1", "b=2"], x-n = 5 }\n',
    A + "status = 204\n",
    A + "json = { deep = [1, { x = true }] }\n",
    A + "probability = 0\nexpires = 2027-01-31T18:00:00Z\n",
    A + 'probability = 1.0\ndelay = "1.5s"\n',
    A + 'when = { host = "x", query = { a = ["1", "2"] }, cookies = { s = { present = true } } }\n',
    A + 'when = { headers = { x-a = { not = { regex = "^a", contains = "b" } } }, json = 1 }\n',
    "rules: [{match: /a, tags: [one, two], json: null}]\n",
    A + 'replies = [{ status = 503, times = 2 }, { json = 1, delay = "1s", drip = "1s", fault = "cut" }]\n',
    A + 'replies = [{}]\nthen = "loop"\ncount_per = "header:x-a"\ntimes = 5\ndelay = "1s"\ndrip = "1s"\n',
    A + 'times = 1\ncount_per = "query:a b"\nfault = "stall"\n',
    A + 'delay = { median = "200ms", sigma = 0.5, max = "5s" }\n',
    A + 'delay = { median = "200ms", sigma = 2 }\n',
    A + 'passthrough = true\ndelay = "1s"\ndelay_after = { min = "1s", max = "2s" }\ntimes = 2\n',
    A + 'patch = { status = 204, headers = { a = "b", c = false, d = ["1", "2"] }, json = { a = 1 } }\n',
    A + 'patch = {}\ndelay_after = "1s"\n',
    A + 'probability = { value = 0.5, per = "cookie:a", seed = 7 }\n',
    A + 'template = true\nheaders = { a = "{{ now }}" }\njson = { b = "{{ request.query.c }}" }\n',
    '{"rules": [{"match": "/a", "patch": {"headers": {"a": null}, "json": {"b": null}}}]}',
    '{"$schema": "./mockware.schema.json", "rules": [{"match": "/a", "file": "mocks.txt"}]}',
    '{"rules": [{"match": "/a", "expires": "2027-01-31T18:00:00+01:00"}]}',
    '{"rules": [{"match": "/a", "expires": "20270131T18Z", "text": null, "file": null, "delay": null}]}',
    '{"rules": [{"match": "/a", "expires": null, "name": null, "when": null, "json": {}, "text": null}]}',
    '{"rules": [{"match": "/a", "passthrough": true, "status": null, "headers": {}, "delay": "1s"}]}',
    '[[rules]]\nmatch = "get,PURGE /a"\n[[rules]]\nmatch = " GET  /b"\n[[rules]]\nmatch = "GET/c"\n',
    A + 'name = "one"\ntags = ["a.b_c-d", "0", "once", "offer"]\n',
    A + 'headers = { X-A = "a  b", x-b = "", x-c = "é" }\n',
    A + 'passthrough = false\ntext = "x"\n',
    A + "status = 204\nheaders = { x-a = 1 }\n",
    A + 'when = { headers = { Content-Length = "5", date = { present = false } } }\n',
    *(A + f'delay = "{delay}"\n' for delay in ("30s", "030.0s", "30000ms", "0.5m", "29.999999999s", "0m")),
]
BAD = [
    A + "replies = []\n",
    A + "replies = [{ times = 0 }]\n",
    A + "replies = [{ times = 1.5 }]\n",
    A + 'replies = [{ name = "a" }]\n',
    A + "replies = [{ status = 204, json = 1 }]\n",
    A + "replies = [{}]\nstatus = 200\n",
    A + "replies = [{}]\npassthrough = true\n",
    A + "replies = [{}]\npatch = {}\n",
    A + 'replies = [{}]\nthen = "stop"\n',
    A + 'then = "loop"\n',
    A + "times = 0\n",
    A + "times = true\n",
    A + 'count_per = "path"\n',
    A + 'times = 1\ncount_per = "session"\n',
    A + 'times = 1\ncount_per = "header:"\n',
    A + 'times = 1\ncount_per = "rule:x"\n',
    A + 'drip = "31s"\n',
    A + "drip = 5\n",
    A + 'fault = "reset"\n',
    A + 'fault = "stall"\ndrip = "1s"\n',
    A + 'passthrough = true\nfault = "cut"\n',
    A + "passthrough = true\ntemplate = true\n",
    A + "passthrough = true\npatch = {}\n",
    A + 'patch = {}\ntext = "x"\n',
    A + 'patch = {}\ndrip = "1s"\n',
    A + 'patch = { text = "x" }\n',
    A + "patch = { status = 600 }\n",
    A + 'patch = { headers = { content-length = "1" } }\n',
    A + "patch = { headers = { a = true } }\n",
    A + 'delay_after = "1s"\n',
    A + 'delay = { median = "1s" }\n',
    A + 'delay = { median = "1s", sigma = 0 }\n',
    A + 'delay = { median = "1s", sigma = 6 }\n',
    A + 'delay = { median = "1s", sigma = 1, min = "1s" }\n',
    A + "probability = { value = 0.5 }\n",
    A + 'probability = { value = 2, per = "path" }\n',
    A + 'probability = { value = 0.5, per = "rule" }\n',
    A + 'probability = { value = 0.5, per = "path", sed = 1 }\n',
    *(
        A.replace("/a", match)
        for match in ("a", "", "GET", "/a?b=1", "/a#b", "GET POST /a", "G(T /a", "GET,/a")
    ),
    *(A + f'name = "{name}"\n' for name in ("", "on", "OFF", "-a", "a b", "a,b", "é", "a" * 65)),
    *(A + f'name = "{name}"\n' for name in ("trigger", "CORS")),
    A + 'tags = ["on"]\n',
    'never = ["a"]\n',
    'never = ["/a?b"]\n',
    *(A + f'headers = {{ "{name}" = "x" }}\n' for name in ("", "a b", "é", "Content-Length", "X-Mock-Rule")),
    *(A + f'headers = {{ a = "{value}" }}\n' for value in (" a", "a ", "\\r\\n", "\\t", "\\u0000", "€")),
    A + 'headers = { a = ["b", "c\\n"] }\n',
    A + 'text = "x"\njson = {}\n',
    A + 'text = "x"\nfile = "mocks.txt"\n',
    A + 'json = 1\nfile = "mocks.txt"\n',
    '{"rules": [{"match": "/a", "json": null, "text": "x"}]}',
    *(A + f'status = {status}\ntext = "x"\n' for status in (204, 205, 304)),
    A + "status = 304\njson = {}\n",
    A + "passthrough = true\nstatus = 200\n",
    A + 'passthrough = true\nheaders = { a = "b" }\n',
    A + "passthrough = true\njson = {}\n",
    '{"rules": [{"match": "/a", "passthrough": true, "json": null}]}',
    *(
        A + f'delay = "{delay}"\n'
        for delay in ("31s", "30.1s", "30001ms", "0.51m", "1m", "-1s", "1 s", "1e1s", "")
    ),
    A + 'delay = { min = "1s", max = "31s" }\n',
    A + 'expires = "2027-01-31T18:00:00"\n',
    A + 'expires = "2027-01-31"\n',
    A + "expires = 5\n",
    A + "when = { query = { a = { not = {} } } }\n",
    A + "when = { query = { a = { not = 5 } } }\n",
    A + 'when = { query = { a = { not = { not = { regexp = "x" } } } } }\n',
    A + 'when = { headers = { "a b" = "x" } }\n',
    '[trigger]\nmax_delay = "31s"\n',
    '[trigger]\nstatus_header = "a b"\n',
    '[trigger]\nstatus_header = "Content-Length"\n',
    "rule = []\n",
    "rules = {}\n",
    "never = '/a'\n",
    "never = [1]\n",
    "[[rules]]\nstatus = 202\n",
    "[[rules]]\nmatch = 5\n",
    A + "statsu = 5\n",
    A + "status = 99\n",
    A + "status = 600\n",
    A + 'status = "503"\n',
    A + "status = true\n",
    A + "delay = 5\n",
    A + 'delay = "5"\n',
    A + 'delay = { min = "1s" }\n',
    A + "probability = 1.5\n",
    A + 'probability = "1"\n',
    A + 'passthrough = "yes"\n',
    A + 'tags = "one"\n',
    A + "headers = { a = true }\n",
    A + 'headers = { a = { b = "c" } }\n',
    A + "when = { qurey = {} }\n",
    A + "when = { host = 5 }\n",
    A + "when = { query = { a = [] } }\n",
    A + 'when = { query = { a = { regexp = "x" } } }\n',
    A + 'when = { query = { a = { present = "yes" } } }\n',
    A + "when = { query = { a = {} } }\n",
    A + "text = 5\n",
    "[trigger]\nenabled = 1\n",
    '[trigger]\npaths = ["api"]\n',
    "[trigger]\nstatuses = [100]\n",
    "[trigger]\nmax_delay = 5\n",
    "[trigger]\nenable = true\n",
    "rules: [/a]\n",
    "[]",
]


# What no schema can know.
ONLY_CHECK = [
    A + 'drip = "0s"\n',
    A + 'delay = { median = "2s", sigma = 1, max = "1s" }\n',
    A + 'template = true\ntext = "{{ nwo }}"\n',
    A + 'template = true\ntext = "{{ request.path_params.id }}"\n',
    A + 'file = "missing.txt"\n',
    A + 'file = "../mocks.txt"\n',
    A + 'delay = { min = "2s", max = "1s" }\n',
    A + 'when = { query = { a = { regex = "(a+)+" } } }\n',
    '[[rules]]\nmatch = "/{a}/{a}"\n',
    '[[rules]]\nmatch = "/{a:slug}"\n',
    '[[rules]]\nname = "a"\nmatch = "/a"\n[[rules]]\nname = "a"\nmatch = "/b"\n',
]


def document_of(path: Path) -> Any:
    """The file as an editor sees it, which knows no dates."""
    text = path.read_text()
    if path.suffix == ".toml":
        return json.loads(json.dumps(tomllib.loads(text), default=datetime.isoformat))
    return yaml.safe_load(text)


def written(text: str, folder: Path) -> Path:
    kind = "json" if text.startswith(("{", "[]")) else "yaml" if text.startswith("rules: ") else "toml"
    (folder / "mocks.txt").write_text("a body")
    file = folder / f"rules.{kind}"
    file.write_text(text)
    return file


@pytest.mark.parametrize("text", GOOD)
def test_the_schema_accepts_what_check_accepts(text: str, tmp_path: Path, capsys: Captured) -> None:
    file = written(text, tmp_path)
    assert main(["check", str(file)]) == 0, capsys.readouterr().err
    jsonschema.validate(document_of(file), schema())


@pytest.mark.parametrize("text", BAD)
def test_the_schema_refuses_what_check_refuses(text: str, tmp_path: Path) -> None:
    file = written(text, tmp_path)
    assert main(["check", str(file)]) == 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document_of(file), schema())


@pytest.mark.parametrize("text", ONLY_CHECK)
def test_check_knows_more_than_a_schema_can(text: str, tmp_path: Path) -> None:
    file = written(text, tmp_path)
    assert main(["check", str(file)]) == 1
    jsonschema.validate(document_of(file), schema())


# Code


def test_status_prints_the_code_of_a_framework(capsys: Captured) -> None:
    assert main(["status", "accepted", "--framework", "go"]) == 0
    out, err = capsys.readouterr()
    assert out == status_snippet(202, "go")  # with its tabs
    assert "\tmux.HandleFunc(" in out
    assert err == ""


def test_status_prints_the_code_of_all_frameworks(capsys: Captured) -> None:
    assert main(["status", "--framework", "all", "503"]) == 0
    out, _ = capsys.readouterr()
    places = [out.index(f"==== {framework.title}\n") for framework in FRAMEWORKS.values()]
    assert places == sorted(places)
    for framework in FRAMEWORKS:
        assert status_snippet(503, framework) in out


def test_status_prints_the_files_of_code_as_json(capsys: Captured) -> None:
    assert main(["status", "202", "--framework", "all", "--format", "json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["status"] == 202
    assert [snippet["framework"] for snippet in printed["snippets"]] == list(FRAMEWORKS)
    for snippet in printed["snippets"]:
        framework = FRAMEWORKS[snippet["framework"]]
        assert (snippet["title"], snippet["language"]) == (framework.title, framework.language)
        files = {file["path"]: file["text"] for file in snippet["files"]}
        assert files == status_files(202, framework.slug)


def test_snippet_prints_the_code_of_a_rule_by_its_name_or_its_match(capsys: Captured, mocks: Path) -> None:
    assert main(["snippet", "payments-down", "--rules", str(mocks), "--framework", "express"]) == 0
    out, err = capsys.readouterr()
    assert "Not in this code: its delay; its probability." in out
    assert "response.status(503);" in out
    assert err == ""
    assert main(["snippet", "POST /reports", "--rules", str(mocks), "--framework", "flask"]) == 0
    assert '@app.post("/reports")' in capsys.readouterr().out


def test_snippet_heeds_the_environment(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKWARE_RULES", "GET /legacy 410")
    assert main(["snippet", "GET /legacy", "--framework", "django"]) == 0
    assert "status=410" in capsys.readouterr().out


def test_snippet_says_why_there_is_no_code(capsys: Captured, mocks: Path) -> None:
    for framework in ("rails", "all"):
        arguments = ["snippet", "/payments/{rest:path}", "--rules", str(mocks), "--framework", framework]
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "a passthrough has no response of its own" in err
        assert len(err.splitlines()) == 1


def test_a_framework_that_refuses_does_not_keep_the_others(capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "purge.toml"
    file.write_text('[[rules]]\nmatch = "PURGE /cache"\n')
    arguments = ["snippet", "PURGE /cache", "--rules", str(file), "--framework", "all"]
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert "==== Express" in out
    assert "==== Rails" not in out
    assert "error: rails: Rails is not sure to know the method PURGE\n" in err
    assert main([*arguments, "--format", "json"]) == 1
    snippets = {s["framework"]: s for s in json.loads(capsys.readouterr().out)["snippets"]}
    assert snippets["rails"]["error"] == "Rails is not sure to know the method PURGE"
    assert "files" in snippets["express"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "202", "--framework", "expres"], "'expres' is no framework; did you mean `express`?"),
        (["status", "202", "--framework", "al"], "did you mean `all`?"),
        (
            ["status", "202", "--framework", "\x1b[31m"],
            r"'\x1b[31m' is no framework; allowed: django, flask,",
        ),
        (["status", "2o2", "--framework", "go"], "'2o2' is no status; did you mean `202`?"),
        (["status", "--framework", "go"], "give its CODE"),
        (["status", "202", "--format", "json"], "say in which --framework"),
        (
            ["status", "202", "--framework", "go", "--format", "jsn"],
            "'jsn' is no format; did you mean `json`?",
        ),
        (
            ["snippet", "a"],
            "say in which framework by --framework; allowed: django, flask, fastapi, express,",
        ),
        (["snippet", "a", "--framework", "go"], "'a' is no rule; --rules and MOCKWARE_FILE name files"),
        (["snippet", "payments-dwn", "--framework", "go", "--rules", "mocks.toml"], "mean `payments-down`?"),
    ],
)
@pytest.mark.usefixtures("mocks")
def test_wrong_words_about_code_are_told_the_nearest(
    arguments: list[str], message: str, capsys: Captured
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.endswith(f"Try: mockware {arguments[0]} --help\n")


def test_code_survives_a_terminal_that_knows_ascii_alone(tmp_path: Path) -> None:
    file = tmp_path / "letters.toml"
    file.write_text(
        '[[rules]]\nname = "letters"\nmatch = "/\u00e9"\ntext = "\u65e5\u2028\U0001f600"\n', "utf-8"
    )
    arguments = ("snippet", "letters", "--rules", str(file), "--framework", "flask")
    done = run(*arguments, env=environ(PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert done.returncode == 0
    namespace: dict[str, Any] = {"__name__": "app"}
    exec(done.stdout, namespace)
    assert namespace["app"].test_client().get("/\u00e9").text == "\u65e5\u2028\U0001f600"
