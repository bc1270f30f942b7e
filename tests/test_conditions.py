"""A condition holds where there is no difference, says which where there is one, and bears hostile values."""

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mockware.conditions import (
    MAX_REGEX_CHARS,
    Condition,
    Conditions,
    Difference,
    compile_regex,
)
from mockware.messages import MISSING, Request

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure


def request(**parts: Any) -> Request:
    return Request(parts.pop("method", "GET"), parts.pop("path", "/"), **parts)


# One condition, on the values that a request has under one name


@pytest.mark.parametrize(
    ("declared", "holding", "differing"),
    [
        ("full", [["full"], ["x", "full"]], [[], ["Full"], ["full "], ["fullest"], [""]]),
        ("", [[""]], [[], ["x"]]),
        (["a", "b"], [["a"], ["b"], ["x", "b"]], [[], ["x"], ["ab"]]),
        ({"regex": "^acme"}, [["acme"], ["acme-2"], ["x", "acme"]], [[], ["my acme"], ["ACME"]]),
        ({"regex": "cm"}, [["acme"]], [["amce"]]),
        ({"regex": "(?i)^acme$"}, [["ACME"]], [["acme2"]]),
        ({"contains": "cm"}, [["acme"], ["x", "cm"]], [[], ["amce"], ["CM"]]),
        ({"contains": ""}, [["x"], [""]], [[]]),
        ({"present": True}, [["x"], [""]], [[]]),
        ({"present": False}, [[]], [["x"], [""]]),
        ({"not": "full"}, [[], ["x"]], [["full"], ["x", "full"]]),
        ({"not": ["a", "b"]}, [[], ["x"]], [["a"], ["b"]]),
        ({"not": {"regex": "^a"}}, [[], ["ba"]], [["ab"]]),
        ({"not": {"not": "full"}}, [["full"]], [[], ["x"]]),
        ({"not": {"present": True}}, [[]], [["x"]]),
        ({"regex": "^a", "contains": "z", "not": "az"}, [["abz"]], [["az"], ["ab"], ["z"], []]),
        ({"not": {"regex": "^a", "contains": "z"}}, [["ab"], ["z"]], [["abz"]]),
        ({"present": True, "not": ["a"]}, [["b"]], [[], ["a"]]),
    ],
)
def test_a_condition_holds_for_some_values_and_not_for_others(
    declared: object, holding: list[list[str]], differing: list[list[str]]
) -> None:
    condition = Condition(declared)
    assert [values for values in holding if not condition.holds(values)] == []
    assert [values for values in differing if condition.holds(values)] == []


declared_conditions = st.recursive(
    st.sampled_from(["a", "b", ""])
    | st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=2)
    | st.sampled_from(["^a", "b$", "a.", ""]).map(lambda pattern: {"regex": pattern})
    | st.sampled_from(["a", "b", ""]).map(lambda text: {"contains": text})
    | st.booleans().map(lambda yes: {"present": yes}),
    lambda inner: inner.map(lambda declared: {"not": declared}),
    max_leaves=4,
)


@unhurried
@given(declared_conditions, st.lists(st.text("ab", max_size=3), max_size=3))
def test_not_holds_exactly_where_what_it_stands_before_does_not(declared: object, values: list[str]) -> None:
    assert Condition({"not": declared}).holds(values) is not Condition(declared).holds(values)


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["regex", "contains", "not"]), st.sampled_from(["a", "b", ""]), min_size=1
    ),
    st.lists(st.text("ab", max_size=3), max_size=3),
)
def test_a_table_holds_exactly_where_each_of_its_kinds_holds(
    table: dict[str, str], values: list[str]
) -> None:
    alone = [Condition({kind: operand}).holds(values) for kind, operand in table.items()]
    assert Condition(table).holds(values) is all(alone)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (1, 'expected a string, a list of strings or a table; write "1"'),
        (1.5, 'expected a string, a list of strings or a table; write "1.5"'),
        (True, 'expected a string, a list of strings or a table; write "true"'),
        (None, "expected a string, a list of strings or a table"),
        ([], "a list of one or more strings means any of them"),
        (["a", 1], "a list of one or more strings means any of them"),
        ([["a"]], "a list of one or more strings means any of them"),
        ({}, "an empty table says nothing; allowed: regex, contains, present, not"),
        (
            {"regexp": "a"},
            "`regexp` is no kind of condition; did you mean `regex`? Allowed: regex, contains, present, not",
        ),
        ({1: "a"}, "`1` is no kind of condition; allowed: regex, contains, present, not"),
        ({"regex": 1}, "`regex` takes a string"),
        ({"regex": ["a"]}, "`regex` takes a string"),
        ({"contains": 1}, "`contains` takes a string"),
        ({"contains": ["a"]}, "`contains` takes a string"),
        ({"present": "yes"}, "`present` is true or false"),
        ({"present": 1}, "`present` is true or false"),
        ({"not": 1}, 'expected a string, a list of strings or a table; write "1"'),
        ({"not": {}}, "an empty table says nothing; allowed: regex, contains, present, not"),
    ],
)
def test_what_is_no_condition_is_refused_with_what_is_allowed(declared: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        Condition(declared)
    assert str(refused.value) == reason


def test_a_condition_shows_itself_in_one_short_line() -> None:
    assert Condition({"regex": "é\n"}).text == r"{'regex': '\xe9\n'}"
    assert repr(Condition("full")) == "Condition('full')"


# Expressions

GOOD = [
    "^acme-[0-9]+$",
    "^[a-z]*$",
    "(a++)+$",
    "(?>ab|a)*$",
    "^(?:GET|POST)$",
    "([a-z])+x",
    "(?:ab)*x",
    "(?:ab){2,5}",
    "(a+)?b",
    "(?:GET|POST)?x",
    r"^\d{3}-\d{4}$",
    "^(?:dev|staging|prod)-.*$",
    ".*foo.*bar",
    "^" + "(?>a|ab)" * 40,
    "(?i)^(a|b)+$",  # one character each: no choice is left after reading it
    "",
]


@pytest.mark.parametrize("pattern", GOOD)
def test_an_expression_without_a_choice_inside_a_repeat_is_taken(pattern: str) -> None:
    assert compile_regex(pattern).pattern == pattern


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a*)*$",
        "(a+)*b",
        "(a?)*b",
        "(a+?)+?b",
        "(a|ab)*c",
        "(?:ab|a)+$",
        "(?:a|a|aa)*b",
        "(x(a|ab))*c",
        "((a{1,2}))*b",
        "(a+){2}b",
        "(a+){20}b",
        "((a+)b?)*",
        "(?=(a+)+)b",
        "(?!(a+)+)b",
        "(?<!b)(a+)+c",
        "(?:(a)?(?(1)(b+)+|c))d",
        r"(\w+\s?)*$",
        "(.*)*x",
        "(?:(?:a+)+)+",
        "((?>b)a+)+c",
        "(?>(a+)+)b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
    ],
)
def test_an_expression_that_can_take_exponential_time_is_refused_with_a_way_out(pattern: str) -> None:
    with pytest.raises(ValueError, match="exponential time") as refused:
        compile_regex(pattern)
    assert "(a++)+ or (?>ab|a)*" in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "a*a*a*b",  # 99 s for 1,024 letters, on Python 3.12
        ".*foo.*bar.*baz",  # 10 s for 170 times `foobar`
        "^.*.*.*.*=",
        r"\d+\d+\d+\d+x",
        "a?" * 30 + "a" * 30,  # two to the power of 30
        "(?:ab|ab)" * 30 + "x",
        "a{0,8}" * 8 + "b",  # nine to the power of eight, from every place
        "a*a*" + "a?" * 8 + "b",  # the ways of the repeats times those of the choices
        "a*a*" + "(?:a|aa)" * 4 + "b",
        "(?>a*a*a*b)",  # what is inside is not taken back once it is read, but it may never be
        r"(a*)(a*)\1x",
        "(?:(?!.*?.*?x).)*+z",  # what is inside is tried anew each time
        "(?:a(?!(.*)(.*)x))*+z",
        "(?:(?>a*a*|b)c)*",
    ],
    ids=lambda pattern: pattern[:16],
)
def test_an_expression_that_goes_back_over_many_choices_in_a_row_is_refused(pattern: str) -> None:
    # None of these has a choice inside a repeat; the number of ways to fail is still more than the square
    # of the length, which is what `MAX_REGEX_CHARS` was chosen for.
    with pytest.raises(ValueError, match="time"):
        compile_regex(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "unterminated subpattern"),
        ("[a", "unterminated character set"),
        ("*a", "nothing to repeat"),
        ("(?P<n>a)(?P<n>b)", "redefinition of group name"),
        ("a{2,1}", "min repeat greater than max repeat"),
        ("a{99999999999999999999}", "overflow|too large"),
        ("(?<=a+)b", "look-behind"),
        (r"\p{L}", "bad escape"),
        ("(" * 5000 + ")" * 5000, "."),
    ],
)
def test_an_expression_that_is_none_is_refused_with_pythons_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^bad regular expression: ") as refused:
        compile_regex(pattern)
    assert re.search(reason, str(refused.value))


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # `[[`, which may come to mean something else
@unhurried
@given(st.text("()[]{}?*+|\\.^$ab,1<=!:P>#-", max_size=12))
@example("(?<=a+)b")
def test_no_text_leads_to_anything_but_an_expression_or_a_value_error(pattern: str) -> None:
    try:
        compiled = compile_regex(pattern)
    except ValueError:
        return
    assert compiled.pattern == pattern


def test_an_expression_never_sees_a_value_longer_than_the_bound() -> None:
    at_most = Condition({"regex": "^a*$"})
    assert at_most.holds(["a" * MAX_REGEX_CHARS])
    assert not at_most.holds(["a" * (MAX_REGEX_CHARS + 1)])
    assert at_most.holds(["a" * (MAX_REGEX_CHARS + 1), "a"])
    half = "b" * (MAX_REGEX_CHARS // 2)
    assert at_most.holds([half, "a" * (MAX_REGEX_CHARS // 2)])
    assert not at_most.holds([half, half, "a"]), "all values of a name count together"


def test_the_bound_on_expressions_does_not_limit_plain_comparisons() -> None:
    long = "a" * (MAX_REGEX_CHARS + 1)
    assert Condition(long).holds([long])
    assert Condition({"contains": "aa"}).holds([long])
    assert Condition({"not": {"regex": "a"}}).holds([long])


# All of a rule's `when`


def headers_differ(declared: object, **headers: str) -> Difference | None:
    return Conditions(headers={"x-tenant": Condition(declared)}).difference(request(headers=headers))


def test_no_condition_at_all_makes_no_difference() -> None:
    everything = Conditions()
    assert everything.difference(request()) is None
    assert everything.body_difference(request(body=b"no json")) is None
    assert not everything.needs_body


@pytest.mark.parametrize(
    ("declared", "host", "agrees"),
    [
        ("staging.example", "staging.example", True),
        ("staging.example", "staging.example:8000", True),
        ("staging.example:8000", "staging.example:8000", True),
        ("staging.example:8000", "staging.example", False),
        ("staging.example:8000", "staging.example:9000", False),
        ("staging.example", "STAGING.Example:8000", True),
        ("staging.example", "other.example", False),
        ("staging.example", "my.staging.example", False),
        ("[::1]", "[::1]:8000", True),
        ("[::1]:8000", "[::1]:8000", True),
        ("[::1]", "[::1]", True),
        ({"regex": r"\.example$"}, "staging.example:8000", True),
        (["a.example", "b.example"], "b.example:80", True),
        ({"not": "staging.example"}, "staging.example:8000", False),
        ({"not": "staging.example"}, "other.example", True),
    ],
)
def test_the_host_agrees_with_its_port_and_without_whatever_its_case(
    declared: object, host: str, agrees: bool
) -> None:
    difference = Conditions(host=Condition(declared)).difference(request(headers={"host": host}))
    assert (difference is None) is agrees
    if difference is not None:
        assert (difference.field, difference.found) == ("when.host", repr(host))


@pytest.mark.parametrize("declared", ["Staging.Example", ["Staging.Example"], {"contains": "Staging"}])
def test_the_case_of_a_host_in_the_rules_does_not_matter_either(declared: object) -> None:
    # RFC 9110 section 4.2.3: the host is case-insensitive. Whoever writes it down may use capitals.
    when = Conditions(host=Condition(declared))
    assert when.difference(request(headers={"host": "staging.example"})) is None
    assert when.difference(request(headers={"host": "Staging.Example:8000"})) is None


@pytest.mark.parametrize("pattern", ["^Staging", r"^staging\.EXAMPLE", r"(?i)^STAGING", r"^S\w+\.Example$"])
def test_the_case_of_an_expression_for_the_host_does_not_matter_either(pattern: str) -> None:
    when = Conditions(host=Condition({"regex": pattern}))
    assert when.difference(request(headers={"host": "Staging.Example"})) is None
    assert when.difference(request(headers={"host": "staging.example"})) is None


def test_a_request_without_a_host_differs_from_every_host() -> None:
    difference = Conditions(host=Condition("a.example")).difference(request())
    assert difference == Difference("when.host", "'a.example'", "''")


@pytest.mark.parametrize(
    ("query_string", "agrees"),
    [
        ("expand=full", True),
        ("expand=no&expand=full", True),
        ("x=1&%65xpand=f%75ll&y=2", True),
        ("expand=FULL", False),
        ("Expand=full", False),
        ("expand=", False),
        ("", False),
    ],
)
def test_any_value_of_a_query_parameter_counts_whatever_its_place_and_encoding(
    query_string: str, agrees: bool
) -> None:
    when = Conditions(query={"expand": Condition("full")})
    assert (when.difference(request(query_string=query_string)) is None) is agrees


def test_a_header_is_compared_whole_with_all_of_its_repeats() -> None:
    assert headers_differ("acme", **{"x-tenant": "acme"}) is None
    assert headers_differ("acme", **{"x-tenant": "acme,other"}) is not None
    assert headers_differ({"contains": "acme"}, **{"x-tenant": "other,acme"}) is None


def test_an_empty_header_is_present_and_an_absent_one_is_not() -> None:
    assert headers_differ({"present": True}, **{"x-tenant": ""}) is None
    assert headers_differ({"present": True}) is not None
    assert headers_differ({"present": False}) is None


def test_a_cookie_is_compared_by_its_name_and_value() -> None:
    when = Conditions(cookies={"session": Condition("abc")})
    assert when.difference(request(headers={"cookie": "a=1; session=abc"})) is None
    assert when.difference(request(headers={"cookie": "a=1; session=abcd"})) == Difference(
        "when.cookies.session", "'abc'", "'abcd'"
    )
    assert when.difference(request()) == Difference("when.cookies.session", "'abc'", "nothing")


def test_all_conditions_must_hold_and_the_first_that_does_not_is_named() -> None:
    when = Conditions(
        host=Condition("a.example"),
        query={"a": Condition("1"), "b": Condition("2")},
        headers={"x-tenant": Condition("acme")},
    )
    agreeing: dict[str, Any] = {
        "query_string": "a=1&b=2",
        "headers": {"host": "a.example", "x-tenant": "acme"},
    }
    assert when.difference(request(**agreeing)) is None
    found = when.difference(request(**{**agreeing, "query_string": "a=1&b=3&b=4"}))
    assert found == Difference("when.query.b", "'2'", "'3', '4'")
    assert str(found) == "when.query.b: expected '2', found '3', '4'"


def test_a_difference_shows_a_hostile_value_escaped_and_shortened() -> None:
    difference = headers_differ("acme", **{"x-tenant": "\x1b[31m\r\n" + "é" * 100_000})
    assert difference is not None
    assert difference.found.isascii()
    assert difference.found.isprintable()
    assert len(difference.found) < 100


# The JSON body


def json_agrees(expected: object, found: object) -> bool:
    body = json.dumps(found).encode()
    return Conditions(json=expected).body_difference(request(body=body)) is None


@pytest.mark.parametrize(
    ("expected", "agreeing", "differing"),
    [
        ({}, [{}, {"a": 1}], [[], None, "", 0]),
        ({"a": 1}, [{"a": 1}, {"a": 1, "b": 2}, {"a": 1.0}], [{}, {"a": 2}, {"a": "1"}, {"a": True}, [1]]),
        (
            {"a": {"b": [1, {"c": None}]}},
            [{"a": {"b": [1, {"c": None, "d": 1}], "e": 1}}],
            [{"a": {"b": [1]}}],
        ),
        ({"a": None}, [{"a": None}], [{}, {"a": 0}, {"a": False}, {"a": ""}, {"a": []}]),
        ({"a": True}, [{"a": True}], [{"a": 1}, {"a": 1.0}, {"a": "true"}, {"a": False}]),
        ({"a": 0}, [{"a": 0}, {"a": 0.0}, {"a": -0.0}], [{"a": False}, {"a": None}, {"a": ""}]),
        ([1, 2], [[1, 2], [1.0, 2]], [[2, 1], [1], [1, 2, 3], [], {}, [True, 2]]),
        ([], [[]], [[1], {}, None]),
        ([{"a": 1}], [[{"a": 1, "b": 2}]], [[{"a": 1}, {"a": 1}], [{}]]),
        ("text", ["text"], ["Text", ["text"], None]),
        (None, [None], [0, False, "", {}]),
        (1.5, [1.5], [1, 2]),
        (10**30, [10**30], [10**30 + 1, 1e30]),
    ],
)
def test_the_body_agrees_where_it_contains_all_that_is_asked_for(
    expected: object, agreeing: list[object], differing: list[object]
) -> None:
    assert [found for found in agreeing if not json_agrees(expected, found)] == []
    assert [found for found in differing if json_agrees(expected, found)] == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@unhurried
@given(json_values)
def test_every_body_contains_itself(value: object) -> None:
    assert json_agrees(value, value)


@unhurried
@given(json_values, st.dictionaries(st.text(max_size=3), json_values, max_size=2))
def test_members_that_were_not_asked_for_make_no_difference(value: object, others: dict[str, object]) -> None:
    assert json_agrees({"asked": value}, {**others, "asked": value})


@unhurried
@given(json_values, json_values)
def test_scalars_and_types_are_told_apart_as_json_tells_them_apart(left: object, right: object) -> None:
    if isinstance(left, (dict, list)) or isinstance(right, (dict, list)):
        if type(left) is not type(right):
            assert not json_agrees(left, right)
    elif isinstance(left, bool) or isinstance(right, bool):
        assert json_agrees(left, right) is (left is right)
    else:
        assert json_agrees(left, right) is (left == right)


@pytest.mark.parametrize(
    ("expected", "found", "field", "shown"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "when.json.a.b", "2"),
        ({"a": {"b": 1}}, {"a": {}}, "when.json.a.b", "nothing"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "when.json.a[1].b", "3"),
        ([1, 2], [1], "when.json", "[1]"),
        ({"a": 1}, None, "when.json", "null"),
    ],
)
def test_the_first_place_where_a_body_differs_is_named(
    expected: object, found: object, field: str, shown: str
) -> None:
    difference = Conditions(json=expected).body_difference(request(body=json.dumps(found).encode()))
    assert difference is not None
    assert (difference.field, difference.found) == (field, shown)


@pytest.mark.parametrize(
    "body",
    [None, b"", b"a=1", b"{", b"\xff", b"[" * 500_000, b'{"a":' * 100_000, b"9" * 5000],
    ids=lambda body: repr(body)[:20],
)
def test_a_body_that_is_no_json_or_too_deep_agrees_with_nothing(body: bytes | None) -> None:
    expected: object
    for expected in ({}, [], None, ""):
        difference = Conditions(json=expected).body_difference(request(body=body))
        assert difference is not None
        assert (difference.field, difference.found) == ("when.json", "no JSON body of at most 1 MiB")


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 980, 990, 1000, 3000, 9000, 20_000])
def test_a_deep_body_makes_a_difference_and_no_exception(depth: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"a": ' + opening * depth + b"1" + closing * depth + b"}"
        assert Conditions(json={"a": "x"}).body_difference(request(body=body)) is not None


def test_a_condition_on_json_null_needs_the_body_and_no_condition_does_not() -> None:
    assert Conditions(json=None).needs_body
    assert not Conditions(json=MISSING).needs_body


class Large(list[object]):
    def __repr__(self) -> str:
        raise AssertionError("written out")


class LargeRequest(Request):
    @property
    def json(self) -> Any:
        return {"items": Large([{"id": 1}])}


def test_a_large_body_is_not_written_out_to_say_that_it_differs() -> None:
    # Writing out a body of 1 MiB takes 30 ms, for each rule that is tried, to show 64 characters of it.
    difference = Conditions(json={"items": [{"id": 2}]}).body_difference(LargeRequest("POST", "/", body=b"x"))
    assert difference is not None
    assert difference.field == "when.json.items[0].id"
    assert (
        Conditions(json={"items": "none"}).body_difference(LargeRequest("POST", "/", body=b"x")) is not None
    )
