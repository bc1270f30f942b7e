"""`mockware serve`: mocks with nothing behind them, on granian."""

import json
import subprocess
from pathlib import Path

import httpx
import pytest
from tests.commands import environ, run, serving

CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'
RULES = """
[[rules]]
match = "POST /reports"

[[rules]]
match = "/status/204"
status = 503
name = "rules-first"
"""


def test_the_reference_pages_own_line_shows_the_canonical_response(tmp_path: Path) -> None:
    with serving(cwd=tmp_path, command="serve") as (program, url):
        shown = subprocess.run(
            ["curl", "-si", f"{url}/status/202"], capture_output=True, check=True, timeout=30
        ).stdout.decode()
        head, body = shown.split("\r\n\r\n")
        assert head.startswith("HTTP/1.1 202 Accepted\r\n")
        assert "content-type: application/json\r\n" in head.lower()
        assert "content-length: 44\r\n" in head.lower()
        assert body.encode() == CANONICAL
        page = httpx.get(f"{url}/status-reference/202", headers={"Accept": "text/html"})
        assert page.headers["content-type"].startswith("text/html")
        assert (
            f"curl -i -H &#x27;X-Mock-Status: 202&#x27; {url}" in page.text
            or f"{url}/status/202" in page.text
        )
        assert httpx.get(f"{url}/").json()
        assert program.interrupt() == 0


def test_rules_come_first_and_triggers_are_heeded(tmp_path: Path) -> None:
    (tmp_path / "mocks.toml").write_text(RULES)
    with serving("--rules=mocks.toml", cwd=tmp_path, command="serve") as (program, url):
        program.wait_for(r"mockware is ON \(MOCKWARE=on\): 2 rules")
        assert httpx.post(f"{url}/reports", content=b"x" * 1_000_000).content == CANONICAL
        assert httpx.get(f"{url}/status/204").headers["x-mock-rule"] == "rules-first"
        assert httpx.get(f"{url}/anything", headers={"X-Mock-Status": "418"}).status_code == 418
        missing = httpx.get(f"{url}/anything")
        assert missing.status_code == 404
        assert missing.headers["content-type"] == "application/problem+json"


def test_the_log_is_as_loud_as_granians(tmp_path: Path) -> None:
    for arguments, shown in (([], 1), (["--log-level=warning"], 0), (["--no-log"], 0)):
        with serving(*arguments, cwd=tmp_path, command="serve") as (program, url):
            assert httpx.get(f"{url}/x", headers={"X-Mock-Status": "418"}).status_code == 418
            assert program.interrupt() == 0
        assert program.text.count("mocked 'GET' '/x': 418") == shown
        assert ("mockware is ON" in program.text) == ("--no-log" not in arguments)


def test_a_handshake_is_a_request_like_any_other(tmp_path: Path) -> None:
    with serving(cwd=tmp_path, command="serve") as (_, url):
        fields = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        fields["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
        assert httpx.get(f"{url}/status/426", headers=fields).status_code == 426


def test_the_reference_is_there_while_mocks_are_off(tmp_path: Path) -> None:
    with serving(cwd=tmp_path, command="serve", env=environ(MOCKWARE="off")) as (program, url):
        assert httpx.get(f"{url}/status/202").content == CANONICAL
        assert "mockware is off: MOCKWARE is off; the reference is served without mocks" in program.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["main:app"], 2, "unexpected extra argument"),
        (["--rules=none.toml"], 1, "none.toml"),
        (["--factory"], 2, "--factory"),
        (["--host=203.0.113.1"], 1, "at 203.0.113.1:8000: this machine has no such address"),
        (["--uds=none/x.sock"], 1, "the server does not start at none/x.sock: No such file or directory"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    done = run("serve", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_that_is_wrong_is_told_before_anything_listens(tmp_path: Path) -> None:
    for name, value in (("MOCKWARE_STORE", "rdis://x"), ("MOCKWARE", "nonsense")):
        done = run("serve", cwd=tmp_path, env=environ(**{name: value}))
        assert (done.returncode, done.stdout) == (1, "")
        assert name in done.stderr
        assert "Listening" not in done.stderr


def test_a_broken_rules_file_is_told_with_every_problem(tmp_path: Path) -> None:
    (tmp_path / "mocks.toml").write_text('[[rules]]\nmatch = "GET /x"\nstatsu = 1\n[[rules]]\nstatus = 1\n')
    done = run("serve", "--rules=mocks.toml", cwd=tmp_path)
    assert done.returncode == 1
    assert "did you mean `status`?" in done.stderr
    assert done.stderr.count("mocks.toml") >= 2


def test_the_help_is_enough(tmp_path: Path) -> None:
    done = run("serve", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "curl -i http://127.0.0.1:8000/status/202" in done.stdout
    assert "  --rules " in done.stdout


def test_the_overview_is_json_for_programs(tmp_path: Path) -> None:
    with serving(cwd=tmp_path, command="serve") as (_, url):
        told = json.loads(httpx.get(f"{url}/status-reference/202").content)
        assert "202" in json.dumps(told)
        assert "express" in json.dumps(told)
