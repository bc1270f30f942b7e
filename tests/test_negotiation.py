"""The Accept field: what is offered is chosen by quality, the most specific range counting."""

import time

import pytest

from mockware.negotiation import MAX_ACCEPT_CHARS, preferred

JSON, HTML = "application/json", "text/html"
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        ("text/*", HTML),
        (CHROMIUM, HTML),
        ("text/html, application/json", JSON),  # rated alike: the first that is offered
        ("text/html;q=0.5, application/json;q=0.4", HTML),
        ("text/html;q=0.4, application/json;q=0.5", JSON),
        ("text/html;q=0.4,*/*;q=0.5", JSON),
        ("text/html;q=0,*/*", JSON),
        ("application/json;q=0,*/*;q=0.1", HTML),
        ("application/json;q=0.000 , text/*;q=0.001", HTML),
        ("text/*;q=0.9,text/html;q=0.1,application/json;q=0.5", JSON),  # the more specific range counts
        ("text/html;charset=utf-8;Q=1.0\t,\tapplication/json;q=0.9", HTML),
        ("application/*;q=0.2, text/html;q=0.3", HTML),
        ("image/png", JSON),  # nothing fits: as if nothing had been said
        ("text/html;q=2, application/json;q=0.1", JSON),  # no quality, so nothing is said of HTML
        ("text/html;q=.9, application/json;q=0.1", JSON),
        ("text/html;q=0.9999, application/json;q=0.1", JSON),
        (",,;;q,text/html", HTML),
        ("text", JSON),
    ],
)
def test_the_type_that_is_rated_highest_is_chosen(accept: str | None, chosen: str) -> None:
    assert preferred(accept, (JSON, HTML)) == chosen


def test_what_is_beyond_the_bound_is_not_looked_at_and_half_a_range_is_none() -> None:
    padding = "a/b," * (MAX_ACCEPT_CHARS // 4 - 2)
    assert preferred(f"{padding}x/y,text/html", (JSON, HTML)) == JSON
    assert preferred(f"text/html,{padding}", (JSON, HTML)) == HTML


def test_a_hostile_field_takes_no_time() -> None:
    begin = time.process_time()
    for hostile in (";" * 1_000_000, "q=0" * 500_000, "," * 1_000_000, "text/html;q=" * 100_000):
        preferred(hostile, (JSON, HTML))
    assert time.process_time() - begin < 1
