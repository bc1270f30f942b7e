"""The demo, as a newcomer meets it: started, read, and every printed line tried."""

import json
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import PATIENCE_S, Program, environ, free_port


def curl(line: str) -> tuple[int, str]:
    """Run a printed line, by the real curl, and return the status and the body."""
    done = subprocess.run(
        [*shlex.split(line), "-sS"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    head, _, body = done.stdout.partition("\n\n")
    return int(head.split()[1]), body


def test_each_line_that_is_printed_does_what_is_said_above_it(tmp_path: Path) -> None:
    # Whatever the environment says, the demo is the same.
    hostile = environ(MOCKWARE="off", MOCKWARE_FILE="missing.toml", APP_ENV="production", MOCKWARE_KEY="k")
    with Program("demo", cwd=tmp_path, env=hostile) as program:
        program.wait_for("^Ctrl-C ends it")
        shown = [block.splitlines() for block in program.text.split("\n\n") if block.startswith("# ")]
        found = {comment: curl(line) for comment, line in shown}
        assert [status for status, _ in found.values()][:4] == [200, 202, 503, 503]
        statuses, bodies = zip(*found.values(), strict=True)
        assert bodies[1] == '{"status": "accepted", "task_id": "abc-123"}'
        assert statuses[4] in (200, 503)
        assert statuses[5:] == (404, 400)
        assert "2o2" in json.loads(bodies[6])["detail"]

        weighted = {curl(shown[4][1])[0] for _ in range(40)}  # all alike once in 100,000 runs
        assert weighted == {200, 503}

        # What was mocked is logged beneath.
        program.wait_for(r"mocked 'POST' '/reports': 202 by rule 'POST /reports'")
        program.wait_for(r"mocked 'GET' '/orders': 503 by rule 'trigger'")
        assert program.interrupt() == 0


def test_the_port_can_be_chosen_and_one_in_use_is_refused(tmp_path: Path) -> None:
    port = free_port()
    with Program("demo", "--port", str(port), cwd=tmp_path) as program:
        program.wait_for(f"http://127.0.0.1:{port}$")
        # Granian itself would share it, and each would get half of the requests.
        with Program("demo", "--port", str(port), cwd=tmp_path) as second:
            assert second.wait() == 1
            second.wait_for(f"^error: port {port} of 127.0.0.1: Address already in use$")
        assert program.interrupt() == 0


def test_the_app_behind_the_mocks_is_a_real_one(tmp_path: Path) -> None:
    with Program("demo", cwd=tmp_path) as program:
        url = program.wait_for(r"http://\S+")[0]
        program.wait_for("^Ctrl-C ends it")
        assert curl(f"curl -i -d cake {url}/orders") == (201, '{"id":2,"item":"cake"}')
        assert curl(f"curl -i {url}/orders/2") == (200, '{"id":2,"item":"cake"}')
        assert curl(f"curl -i {url}/orders/3")[0] == 404


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x", "8000 ", "٨٠"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    with Program("demo", f"--port={port}", cwd=tmp_path) as program:
        assert program.wait() == 2
        program.wait_for("no port; allowed: 1 to 65535")


def test_the_demo_says_what_to_install_where_granian_is_missing() -> None:
    code = (
        "import sys; sys.modules['granian'] = None; from mockware.cli import main; sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: granian, the server, is not installed; install it with: pip install 'mockware[server]'\n"
    )


def test_a_port_of_another_program_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with Program("demo", f"--port={port}", cwd=tmp_path) as program:
            assert program.wait() == 1
            program.wait_for(f"^error: port {port} of 127.0.0.1: Address already in use$")
