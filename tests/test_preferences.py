"""What a client would rather have, in RFC 7240's own words, in other people's, and in nobody's."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware.preferences import MAX_PREFER_CHARS, Preferences, read_preferences

ASYNC = Preferences(respond_async=True)
NONE = Preferences()


@pytest.mark.parametrize(
    ("field", "found"),
    {
        # Section 2 and 4 of RFC 7240
        "respond-async": ASYNC,
        "respond-async, wait=10": Preferences(True, 10),
        "respond-async, wait=100, handling=lenient": Preferences(True, 100),
        "Lenient": NONE,
        'return=minimal; foo="some parameter"': NONE,
        'foo; bar="", respond-async': ASYNC,
        'foo=""; bar, wait=5': Preferences(False, 5),
        # A list as servers join it, with what a list may have (RFC 9110 section 5.6.1)
        "wait=10,respond-async": Preferences(True, 10),
        ", ,\trespond-async ,,": ASYNC,
        "RESPOND-ASYNC, Wait=3": Preferences(True, 3),
        'wait="7"': Preferences(False, 7),
        'wait="\\7"': Preferences(False, 7),
        "wait = 7": Preferences(False, 7),
        'respond-async=""': ASYNC,
        "respond-async; a=1; b": ASYNC,
        "wait=1, wait=2": Preferences(False, 1),
        # What only looks like one of ours
        'foo="a, respond-async, wait=9"': NONE,
        'foo="a\\", respond-async"': NONE,
        'foo; bar=", respond-async"': NONE,
        'foo="a, respond-async"x, wait=9': Preferences(False, 9),
        "respond-async=false": NONE,
        "respond-asynchronously": NONE,
        "foo=respond-async": NONE,
        # What is nothing
        "": NONE,
        "wait": NONE,
        "wait=": NONE,
        "wait=-1": NONE,
        "wait=1.5": NONE,
        "wait=1 2": NONE,
        "wait=٣": NONE,
        "wait=9999999999": NONE,
        "=5, respond-async": ASYNC,
        '"respond-async"': NONE,
        'foo="never closed, wait=5': Preferences(False, 5),
        "é, respond-async": ASYNC,
    }.items(),
)
def test_a_field_is_read(field: str, found: Preferences) -> None:
    assert read_preferences(field) == found


def test_a_request_without_the_field_prefers_nothing() -> None:
    assert read_preferences(None) == NONE


def test_what_is_longer_than_anybody_needs_is_not_read_and_no_half_of_a_number_either() -> None:
    filler = "a" * (MAX_PREFER_CHARS - len("respond-async,,wait=1"))
    assert read_preferences(f"respond-async,{filler},wait=10") == ASYNC
    assert read_preferences(f"respond-async,{filler},wait=1") == Preferences(True, 1)


@given(st.text() | st.text(' \t,;="\\waitrespond-async0123', max_size=200))
def test_nothing_is_an_error(field: str) -> None:
    read_preferences(field)


@pytest.mark.parametrize(
    "field",
    [
        "a" + ";  " * 2000 + '"',
        "a" + " ;" * 2000 + "=",
        'a="' + "\\" * 6000,
        "a;" + '"' * 5999,
        'a="\\"' * 2000,
        "," * 6000,
        " " * 6000 + "=",
        "a=" * 3000,
    ],
)
def test_a_hostile_field_takes_no_time(field: str) -> None:
    start = time.process_time()
    for _ in range(10):
        read_preferences(field)
    assert time.process_time() - start < 1  # of what takes a hundredth of that
