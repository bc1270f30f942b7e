"""The reference of a status: what it shows is what a trigger gets, and every spelling finds its code."""

import pytest

from mockware.configuration import Configuration
from mockware.engine import Snapshot
from mockware.messages import Request, Response
from mockware.reference import MAX_SHOWN_CHARS, find_status, raw_text, reference_for
from mockware.replies import Content, build_reply
from mockware.statuses import CATALOGUE
from mockware.triggers import Triggers


@pytest.mark.parametrize("code", [*CATALOGUE, 299, 599])
def test_the_response_shown_is_the_one_that_the_trigger_gets(code: int) -> None:
    snapshot = Snapshot(Configuration(triggers=Triggers()))
    response = snapshot.decide(Request("GET", "/", headers={"x-mock-status": str(code)}), ())
    assert isinstance(response, Response)
    shown = reference_for(code).response
    assert (shown.status_line, shown.headers, shown.body) == (
        response.status_line,
        response.headers,
        response.body,
    )


def test_the_canonical_response_is_shown_as_the_reference_page_had_it() -> None:
    reference = reference_for(202)
    assert raw_text(reference.response) == (
        "HTTP/1.1 202 Accepted\n"
        "Content-Type: application/json\n"
        "Content-Length: 44\n"
        "Cache-Control: no-store\n"
        "X-Mock-Rule: trigger\n"
        "Vary: X-Mock-Status\n"
        "\n"
        '{"status": "accepted", "task_id": "abc-123"}'
    )
    assert reference.curl == "curl -i -H 'X-Mock-Status: 202' http://127.0.0.1:8000/"


@pytest.mark.parametrize("code", [204, 304])
def test_a_response_without_a_body_ends_with_its_headers(code: int) -> None:
    assert not raw_text(reference_for(code).response).endswith("\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("202", 202),
        (" 404 ", 404),
        ("Not Found", 404),
        ("not-found", 404),
        ("NOT_FOUND", 404),
        ("ok", 200),
        ("im used", 226),
        ("299", 299),
    ],
)
def test_a_status_is_found_by_its_code_or_its_phrase(text: str, code: int) -> None:
    assert find_status(text) == code


@pytest.mark.parametrize("status", [s for s in CATALOGUE.values() if s.phrase != "Unused"])
def test_every_phrase_finds_its_own_code(status: object) -> None:
    assert isinstance(status, tuple)
    assert find_status(status[1]) == status[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nto found", "did you mean `not-found`?"),
        ("4o4", "did you mean `404`?"),
        ("acepted", "did you mean `accepted`?"),
        ("unused", "is the phrase of 306 and 418; give the code"),
        ("100", "allowed are 200 to 599 (1xx are interim"),
        ("600", "allowed are 200 to 599"),
        ("²⁰²", "is no status"),
        ("2" * 10_000, "allowed are 200 to 599"),
        ("\x1b[31m", r"'\x1b[31m' is no status"),
        ("", "'' is no status"),
    ],
)
def test_an_unknown_status_is_told_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as caught:
        find_status(text)
    assert message in str(caught.value)


def test_a_long_or_binary_body_is_not_shown_whole() -> None:
    long = raw_text(build_reply(200, rule="r", content=Content(b"x" * 100_000, "text/plain")))
    assert len(long) < MAX_SHOWN_CHARS + 300
    assert long.endswith("x\n(and so on, 100000 bytes in all)")
    binary = raw_text(build_reply(200, rule="r", content=Content(b"\x89PNG\xff", "image/png")))
    assert binary.endswith("\n\n(5 bytes that are not UTF-8)")


def test_a_teapot_is_found_by_the_name_that_everybody_uses() -> None:
    for name in ("teapot", "I'm a teapot", "418"):
        assert find_status(name) == 418


def test_several_statuses_are_asked_for_one_at_a_time() -> None:
    with pytest.raises(ValueError, match="one status at a time"):
        find_status("202 404")
