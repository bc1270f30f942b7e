"""What a log line says of a mock, whatever the request was."""

import logging

import pytest

from mockware.logs import WrongKeys, log_mock
from mockware.replies import build_reply


def test_a_mocked_request_is_one_line_at_info_with_all_that_came_from_it_escaped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reply = build_reply(503, rule="down")
    with caplog.at_level(logging.INFO, logger="mockware"):
        log_mock(reply, "GET\n", "/a\r\n\x1b[31mé" + "x" * 10_000)
    (record,) = caplog.records
    line = record.getMessage()
    assert (record.name, record.levelname) == ("mockware", "INFO")
    assert line.startswith(r"mocked 'GET\n' '/a\r\n\x1b[31m\xe9xxx")
    assert line.endswith(": 503 by rule 'down'")
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 700


def test_nothing_is_logged_for_a_mock_where_nobody_listens_at_info(caplog: pytest.LogCaptureFixture) -> None:
    reply = build_reply(202, rule="/a")
    with caplog.at_level(logging.WARNING, logger="mockware"):
        log_mock(reply, "GET", "/a")
    assert caplog.records == []


def test_of_wrong_keys_the_first_is_told_at_once_and_the_others_once_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    wrong = WrongKeys(lambda: now)
    for _ in range(1000):
        wrong.tell("X-Mock-Key")
    assert [record.getMessage() for record in caplog.records] == [
        "wrong keys or tokens since the last such line: 1, at last in X-Mock-Key; none is told of for 60 s"
    ]
    now = 59.9
    wrong.tell("X-Mock-Key")
    assert len(caplog.records) == 1
    now = 60.0
    wrong.tell("baggage mock.shop")
    assert caplog.records[-1].levelname == "WARNING"
    assert "since the last such line: 1001, at last in baggage mock.shop;" in caplog.messages[-1]
    assert len(caplog.records) == 2
