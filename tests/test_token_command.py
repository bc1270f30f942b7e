"""`mockware token` prints a token of what was asked for, or says what is wrong, and never shows the key."""

import os
import re
import time

import pytest

from mockware.cli import main
from mockware.tokens import DEFAULT_LIFETIME_S, MAX_LIFETIME_S, Scope, TokenKey

Captured = pytest.CaptureFixture[str]
KEY = "a secret of this test"


@pytest.fixture(autouse=True)
def _with_a_key_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("MOCKWARE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MOCKWARE_KEY", KEY)


def scope_of(capsys: Captured, *arguments: str) -> tuple[Scope, str]:
    """What the printed token allows, and what is said of it beside."""
    assert main(["token", *arguments]) == 0
    out, err = capsys.readouterr()
    scope = TokenKey(KEY).read(out.removesuffix("\n"))
    assert scope is not None
    return scope, err


def test_the_example_of_the_issue_is_a_token_of_what_it_says(capsys: Captured) -> None:
    before = time.time()
    scope, said = scope_of(
        capsys, "--paths", "/payments/*", "--status", "503,202", "--max-delay", "5s", "--for", "8h"
    )
    assert scope._replace(expires_at=0) == Scope(("/payments/*",), (503, 202), (), 5.0, 0)
    assert before + 8 * 3600 - 1 <= scope.expires_at <= time.time() + 8 * 3600
    assert re.fullmatch(
        r"allows the statuses 503, 202, no rule by name and delays of at most 5s, on /payments/\*, until "
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n",
        said,
    )


def test_what_is_left_out_is_not_limited_but_for_the_time(capsys: Captured) -> None:
    scope, _ = scope_of(capsys)
    assert scope._replace(expires_at=0) == Scope(expires_at=0)
    assert abs(scope.expires_at - time.time() - DEFAULT_LIFETIME_S) < 60


def test_whoever_may_ask_for_statuses_alone_may_name_no_rule_and_the_other_way_round(
    capsys: Captured,
) -> None:
    scope, _ = scope_of(capsys, "--status", "503")
    assert (scope.statuses, scope.names) == ((503,), ())
    scope, _ = scope_of(capsys, "--names", "down", "POST /reports")
    assert (scope.statuses, scope.names) == ((), ("down", "POST /reports"))
    scope, _ = scope_of(capsys, "--names", "down", "--status", "503", "--names", "up", "--status=202, 200")
    assert (scope.statuses, scope.names) == ((503, 202, 200), ("down", "up"))


def test_several_paths_stand_apart_and_may_be_repeated(capsys: Captured) -> None:
    scope, _ = scope_of(
        capsys, "--paths", "/a/*", "/b", "--service", "billing", "--paths", "/café", "--for=168h"
    )
    assert (scope.paths, scope.service) == (("/a/*", "/b", "/café"), "billing")
    assert abs(scope.expires_at - time.time() - MAX_LIFETIME_S) < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--statuses", "503"], "'--statuses' is not expected here; did you mean `--status`?"),
        (["--path", "/a"], "'--path' is not expected here; did you mean `--paths`?"),
        (["--fro", "1h"], "'--fro' is not expected here; did you mean `--for`?"),
        (["x"], "'x' is not expected here"),
        (
            ["--status", "5o3"],
            "--status '5o3': a status is a number from 200 to 599; several are separated by",
        ),
        (["--status", "503,"], "--status '': a status is a number"),
        (["--status", "503:1"], "--status '503:1': a status is a number"),
        (["--status", "100"], "--status '100': a status is a number"),
        (["--status", "passthrough"], "--status 'passthrough': a status is a number"),
        (["--max-delay", "5"], "--max-delay '5': a bare number has no unit; write `5s` or `5ms`"),
        (["--max-delay", "31s"], "--max-delay '31s': a delay is at most 30s"),
        (["--for", "8"], "--for '8': a bare number has no unit; write `8s` or `8ms`"),
        (["--for", "30d"], "--for '30d': `d` is no unit here; write `720h`"),
        (["--for", "0s"], "--for '0s': a token is for 1s at least and 168h at most"),
        (["--for", "169h"], "--for '169h': a token is for 1s at least and 168h at most"),
        (["--paths"], "argument --paths: expected at least one argument"),
        (["--paths", "payments"], "--paths 'payments': a path starts with `/`"),
        (["--paths", "/a,/b"], "--paths '/a,/b': several paths stand apart"),
        (["--service", "a/b"], "--service 'a/b': a name in `baggage` is made of letters"),
        (["--names", *(f"{number * 7919:x}" for number in range(9999, 10999))], "more than 2048; allow less"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_nearest_right_word(
    arguments: list[str], message: str, capsys: Captured
) -> None:
    assert main(["token", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line, hint, rest = err.split("\n")
    assert line.startswith("error: ")
    assert message in line
    assert (hint, rest) == ("Try: mockware token --help", "")


@pytest.mark.parametrize(
    "arguments", [["--key", "s3cret"], ["--key=s3cret"], ["--for", "1h", "--key=s3cret"]]
)
def test_the_key_is_no_argument_and_is_not_shown(arguments: list[str], capsys: Captured) -> None:
    assert main(["token", *arguments]) == 2
    out, err = capsys.readouterr()
    assert "set MOCKWARE_KEY" in err
    assert "s3cret" not in out + err


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (None, "MOCKWARE_KEY: not set; a token is signed with the key that the service has\n"),
        ("", "MOCKWARE_KEY: not set"),
        ("fifteen letters", "MOCKWARE_KEY: shorter than 16 characters: "),
        (" blanks at its ends ", "MOCKWARE_KEY: a key that no header can carry"),
    ],
)
def test_without_a_key_that_can_sign_there_is_no_token(
    key: str | None, message: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is None:
        monkeypatch.delenv("MOCKWARE_KEY")
    else:
        monkeypatch.setenv("MOCKWARE_KEY", key)
    assert main(["token"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(message)
    assert not key or key.strip() not in err


def test_it_signs_where_mockware_is_off_or_in_production(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCKWARE", "off")
    monkeypatch.setenv("ENV", "production")
    scope_of(capsys)
