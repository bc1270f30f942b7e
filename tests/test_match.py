"""A match is methods and a path template, and nothing else is."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mockware.match import parse_match

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure


@pytest.mark.parametrize(
    ("text", "methods", "path"),
    [
        ("/reports", None, "/reports"),
        ("POST /reports", {"POST"}, "/reports"),
        ("GET /reports", {"GET", "HEAD"}, "/reports"),
        ("HEAD /reports", {"HEAD"}, "/reports"),
        ("PUT,PATCH /a/{id:int}", {"PUT", "PATCH"}, "/a/{id:int}"),
        ("get,Post /reports", {"GET", "HEAD", "POST"}, "/reports"),
        ("OPTIONS /reports", {"OPTIONS"}, "/reports"),
        ("PROPFIND,M-SEARCH /", {"PROPFIND", "M-SEARCH"}, "/"),
        ("  POST   /reports  ", {"POST"}, "/reports"),
        ("POST/reports", {"POST"}, "/reports"),
        ("/a b", None, "/a b"),
        ("//", None, "//"),
    ],
)
def test_a_match_is_a_list_of_methods_and_a_path(text: str, methods: set[str] | None, path: str) -> None:
    match = parse_match(text)
    assert match.methods == methods
    assert match.template.text == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "POST",
        "reports",
        "POST reports",
        "GET POST /x",
        "GET, POST /x",
        ",GET /x",
        "GET, /x",
        "GÉT /x",
        "(x) /x",
    ],
)
def test_a_text_that_is_no_match_is_refused_with_the_form_of_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected `\[METHOD\[,METHOD\.\.\.\]\] /path`"):
        parse_match(text)


@unhurried
@given(st.text())
def test_no_text_leads_to_anything_but_a_match_or_a_value_error(text: str) -> None:
    try:
        match = parse_match(text)
    except ValueError:
        return
    assert match.template.text.startswith("/")
    assert match.methods is None or match.methods == {method.upper() for method in match.methods}
