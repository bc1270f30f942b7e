"""What users of pytest get with the package: the fixture, in runs of pytest as they start them."""

import subprocess
import sys
from pathlib import Path

from tests.pytest_runs import run_tests

PROGRAM = """
    from flask import Flask

    from mockware import Rule

    app = Flask("any")
    client = app.test_client()
    DOWN = Rule("POST /payments", name="payments-down", status=503)
"""


def test_the_fixture_is_there_for_whoever_installs_mockware(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        PROGRAM
        + """
    def test_payments(mocks):
        with mocks(app, [DOWN]) as m:
            assert client.post("/payments").status_code == 503
        assert m.hits("payments-down") == 1

    def test_rules_are_on_for_one_test_only():
        assert client.post("/payments").status_code == 404
        """,
    )
    assert "2 passed" in said, said


def test_mocks_that_a_test_left_in_place_are_taken_away_at_its_end(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        PROGRAM
        + """
    def test_one(mocks):
        mocks(app, [DOWN]).__enter__()
        mocks(app, [Rule("GET /other")]).__enter__()
        assert client.post("/payments").status_code == 503

    def test_the_next_one():
        assert client.post("/payments").status_code == 404
        assert "wsgi_app" not in vars(app)
        """,
    )
    assert "2 passed" in said, said


def test_a_strict_test_fails_for_a_rule_that_no_request_came_for(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        PROGRAM
        + """
    def test_payments(mocks):
        with mocks(app, [DOWN], strict=True):
            client.post("/payment")
        """,
    )
    assert "1 failed" in said, said
    assert "UnusedRulesError: no request came for 'payments-down', and these mocks are strict" in said


def test_the_fixture_is_listed_with_what_it_does(tmp_path: Path) -> None:
    said = run_tests(tmp_path, "", "--fixtures")
    assert "has mocks in front of `app`; see `mockware.testing.mocks`" in said


def test_a_run_that_does_not_ask_for_the_fixture_pays_next_to_nothing(tmp_path: Path) -> None:
    said = run_tests(
        tmp_path,
        """
    import sys

    def test_nothing():
        ours = sorted(name for name in sys.modules if name.partition(".")[0] == "mockware")
        assert ours == ["mockware", "mockware.exceptions", "mockware.pytest_plugin"]
        assert not {"pydantic", "starlette", "asgiref", "anyio"} & sys.modules.keys()
        """,
        # Plugins of others that import these themselves.
        "-p",
        "no:anyio",
        "-p",
        "no:schemathesis",
    )
    assert "1 passed" in said, said


def test_mockware_without_pytest_does_not_miss_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; from mockware.testing import mocks; print(mocks.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "mocks\n", done.stderr
