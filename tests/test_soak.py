"""The soak command in short, and that it fails for what it is there to find."""

import pytest
from tests import soak
from tests.counting import KINDS, WrongAnswer, judged

SECONDS, ROUND_S = 16.0, 4.0


def test_a_redis_that_dies_every_four_seconds_costs_nobody_an_answer() -> None:
    told: list[str] = []
    report = soak.run(seconds=SECONDS, round_s=ROUND_S, tell_s=1.0, tell=told.append)
    assert report.failures == []
    assert report.kills >= 3
    assert report.requests > 1000
    assert set(report.worst_ms) == set(KINDS)
    assert len(told) >= 10
    assert " 0 errors" in told[-1]
    assert "MiB of 1 processes" in told[-1]
    print(*told, report.worst_ms, sep="\n")


def test_the_command_fails_for_slow_answers_and_for_memory_that_grows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "BOUND_S", 0.0)
    monkeypatch.setattr(soak, "GROWTH_BYTES", -(1 << 40))
    assert soak.main(["--minutes", "0.06", "--every", "2.5", "--tell", "0.5"]) == 1
    out, err = capsys.readouterr()
    assert "\nFAILED\n" in out
    assert "FAILED: answers took up to {'passthrough': " in err
    assert "FAILED: memory has grown: [" in err
    assert err.count("FAILED") == 2


MOCK = "HTTP/1.1 {status} X\r\nX-Mock-Rule: {rule}\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "head", "body"),
    [
        ("/hello", "HTTP/1.1 500 X\r\n\r\n", b"1 /hello\n"),
        ("/hello", "HTTP/1.1 200 X\r\n\r\n", b"1 /each\n"),
        ("/hello", "HTTP/1.1 200 X\r\n\r\n", b"Internal Server Error"),
        ("/hello", MOCK.format(status=503, rule="each"), b"each\n"),
        ("/stateless", "HTTP/1.1 200 X\r\n\r\n", b"1 /stateless\n"),
        ("/stateless", MOCK.format(status=503, rule="stateless"), b"stateless\n"),
        ("/stateless", MOCK.format(status=409, rule="stateless"), b"stateless"),
        ("/each", MOCK.format(status=500, rule="each"), b"each\n"),
        ("/each", MOCK.format(status=503, rule="limited"), b"limited\n"),
        ("/in-turn", MOCK.format(status=503, rule="in-turn"), b"accepted\n"),
    ],
)
def test_a_wrong_answer_is_judged_wrong(path: str, head: str, body: bytes) -> None:
    with pytest.raises(WrongAnswer):
        judged(path, head, body)


def test_a_right_answer_is_judged_right() -> None:
    assert judged("/each", MOCK.format(status=503, rule="each"), b"each\n") == (503, None)
    assert judged("/each", "HTTP/1.1 200 OK\r\n\r\n", b"17 /each\n") == (200, 17)
