"""A template matches what Starlette says it matches, to the end of the path."""

import re
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from starlette.routing import compile_path

from mockware.paths import PathTemplate

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure


class EvenConvertor(Convertor[int]):
    regex = "[0-9]*[02468]"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


class PairConvertor(Convertor[str]):
    """Of those whose text holds a slash."""

    regex = "[a-z]+/[a-z]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


@pytest.fixture(scope="module", autouse=True)
def _custom_converters() -> Iterator[None]:
    register_url_convertor("even", EvenConvertor())
    register_url_convertor("pair", PairConvertor())
    yield
    del CONVERTOR_TYPES["even"], CONVERTOR_TYPES["pair"]


def looked_up(template: PathTemplate, path: str) -> bool:
    """Whether the template matches by way of its parts, as an index uses them."""
    if template.exact:
        return path == template.text
    segments = path.split("/")
    count = len(segments)
    if count < template.length or (count > template.length and not template.spans):
        return False
    return (
        all(segments[position] == text for position, text in template.literals.items())
        and all(
            segments[position].startswith(prefix) and segments[position].endswith(suffix)
            for position, prefix, suffix in template.affixes
        )
        and all(text in path for text in template.inner)
        and bool(template.accepts(path, segments))
    )


def starlette_matches(text: str, path: str) -> bool:
    return compile_path(text)[0].fullmatch(path) is not None


# What it takes

literals = st.sampled_from(["a", "b", "ab", "a-", "-", ".", ".json", "é", "+", " ", "(", "0", "1", "\n"])
converters = st.sampled_from(["", ":str", ":int", ":float", ":uuid", ":path", ":even", ":pair"])


def is_taken(text: str) -> bool:
    """Whether a template has few enough parameters side by side."""
    try:
        PathTemplate(text)
    except ValueError as error:
        if "share a segment" in str(error):
            return False
        raise
    return True


@st.composite
def templates(draw: st.DrawFn) -> str:
    """Any number of segments, empty ones too, of any mixture of literals and parameters."""
    segments = draw(st.lists(st.lists(literals | converters, max_size=3), min_size=1, max_size=4))
    number = 0
    text = ""
    for segment in segments:
        text += "/"
        for token in segment:
            if token == "" or token.startswith(":"):
                number += 1
                token = f"{{p{number}{token}}}"
            text += token
    assume(is_taken(text))
    return text


VALUES = {
    "": ["a", "b-a", "é", "1", "a\n", ""],
    ":str": ["a", ".json", "0"],
    ":int": ["0", "12", "1.5", "-1", "\u0661", "1\n"],
    ":float": ["1", "1.5", "1.", ".5", "1e3"],
    ":uuid": [str(UUID(int=7)), str(UUID(int=15)).upper(), "not-a-uuid"],
    ":path": ["", "a", "a/b", "/", "a\nb", "a/", "/a"],
    ":even": ["2", "10", "3", ""],
    ":pair": ["a/b", "a", "a/b/c", "A/b"],
}
PARAMETER = re.compile(r"{p[0-9]+(:[a-z]+)?}")


@st.composite
def templates_and_paths(draw: st.DrawFn) -> tuple[str, str]:
    """A template, and a path that was made to fit it or nearly so, or one that was not."""
    text = draw(templates())
    path = PARAMETER.sub(lambda found: draw(st.sampled_from(VALUES[found[1] or ""])), text)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(path)))
        path = path[:at] + draw(st.sampled_from(["", "/", "a", "1", "\n"])) + path[at + 1 :]
    return text, path


@unhurried
@given(templates_and_paths())
@example(("/ab{x}bc", "/abc"))  # edges that overlap
@example(("/ab{x:path}bc", "/abc"))
@example(("/a/{x:path}/b", "/a/b"))
@example(("/{x:path}", "/"))
@example(("/{x}", "/"))
@example(("/{x}", "/a\n"))
@example(("/{x:path}", "/a\n"))
@example(("/{x:pair}/{y}", "/a/b/c"))
def test_looking_a_template_up_by_its_parts_agrees_with_starlettes_expression(case: tuple[str, str]) -> None:
    text, path = case
    template = PathTemplate(text)
    assert looked_up(template, path) == starlette_matches(text, path)


@unhurried
@given(templates_and_paths())
def test_matching_a_template_as_a_whole_agrees_with_starlettes_expression(case: tuple[str, str]) -> None:
    text, path = case
    assert PathTemplate(text).matches(path) == starlette_matches(text, path)


@unhurried
@given(st.text("/{}ab:_intp?#%4é\n 1") | st.text("/{}ab:_intp?#%4é\n 1").map("/".__add__))
def test_every_text_is_refused_with_a_reason_or_is_a_template_of_starlettes(text: str) -> None:
    try:
        template = PathTemplate(text)
    except ValueError:
        return
    assert template.exact == (compile_path(text)[1:] == (text, {}))


@unhurried
@given(templates())
def test_templates_with_one_signature_differ_in_the_names_of_parameters_only(text: str) -> None:
    renamed = re.sub(r"{p([0-9]+)", r"{other_\1", text)
    template = PathTemplate(renamed)
    assert template.signature == PathTemplate(text).signature
    assert template.signature.replace("{:str}", "{:}") == re.sub(
        r"{:str}", "{:}", re.sub(r"{p[0-9]+", "{", text).replace("{}", "{:}")
    )


def test_a_parameter_without_a_converter_is_one_with_the_converter_str() -> None:
    assert PathTemplate("/{a}/{b:str}").signature == PathTemplate("/{c:str}/{d}").signature
    assert PathTemplate("/{a}").signature != PathTemplate("/{a:int}").signature


@pytest.mark.parametrize("text", ["/", "/reports", "/reports/", "//", "/a b", "/é", "/a:b", "/100%", "/a\nb"])
def test_a_path_without_parameters_is_exact(text: str) -> None:
    template = PathTemplate(text)
    assert template.exact
    assert template.matches(text)
    assert not template.matches(text + "/")


@pytest.mark.parametrize("text", ["/{id}", "/a/{id:int}", "/{rest:path}", "/a-{id}.json", "/{x:even}"])
def test_a_path_with_a_parameter_is_not_exact_and_does_not_match_its_own_text_as_such(text: str) -> None:
    template = PathTemplate(text)
    assert not template.exact
    assert template.matches(text) == starlette_matches(text, text)


def test_a_converter_that_is_registered_before_the_rules_are_read_is_used() -> None:
    template = PathTemplate("/rooms/{number:even}")
    assert template.matches("/rooms/14")
    assert not template.matches("/rooms/13")


# Hostile paths

HOSTILE = """
from mockware.index import PathIndex
from mockware.paths import PathTemplate
try:
    template = PathTemplate({text!r})
except ValueError:
    pass
else:
    template.matches({path})
    PathIndex([(template, 1)]).find({path})
"""


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/{a}-{b}-{c}-{d}-{e:int}", "'/' + '-' * 4000 + 'x'"),
        ("/{a:path}/x/{b:path}/y/{c:path}/z", "'/x/y' * 8000 + '/z/q'"),
    ],
)
def test_a_template_of_many_parameters_is_refused_or_bears_a_hostile_path(text: str, path: str) -> None:
    # Its expression goes back over every way to cut the path; these take minutes. Where such a template is
    # taken, a path has to be too long for it before that. In a process of its own, which can be stopped.
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE.format(text=text, path=path)], timeout=15, check=False
    )
    assert done.returncode == 0


# What it refuses


def refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"\S") as refused:
        PathTemplate(text)
    return str(refused.value)


@pytest.mark.parametrize("text", ["", "reports", " /reports", "{rest:path}", "*", "http://a.example/"])
def test_a_path_that_does_not_start_with_a_slash_is_refused(text: str) -> None:
    assert refusal(text) == "a path starts with `/`"


@pytest.mark.parametrize("text", ["/reports?a=1", "/reports?", "/{id}?a={b}", "/reports#top"])
def test_a_query_or_fragment_is_refused_with_the_place_where_a_query_goes(text: str) -> None:
    assert "put the query into `when = { query = ... }`" in refusal(text)


@pytest.mark.parametrize(
    ("text", "decoded"), [("/a%20b", "/a b"), ("/%C3%A9/{id}", "/é/{id}"), ("/a%2Fb", "/a/b")]
)
def test_a_percent_encoded_path_is_refused_with_its_decoded_form(text: str, decoded: str) -> None:
    assert refusal(text) == f"paths are compared decoded; write `{decoded}`"


def test_an_unknown_converter_is_refused_with_the_nearest_and_those_that_are_registered() -> None:
    message = refusal("/users/{id:itn}")
    assert message.startswith("`itn` is no path converter; did you mean `int`? Allowed: ")
    assert {"str", "path", "int", "float", "uuid", "even"} <= set(re.findall(r"\w+", message))


def test_a_parameter_that_stands_twice_in_a_path_is_refused_by_name() -> None:
    assert refusal("/users/{id}/posts/{id:int}") == "the parameter `id` stands twice in one path"


@pytest.mark.parametrize(
    "text",
    ["/{", "/}", "/{}", "/{id", "/id}", "/{{id}}", "/{1a}", "/{a-b}", "/{a:}", "/{:int}", "/{a:int:b}"],
)
def test_a_brace_that_encloses_no_parameter_is_refused(text: str) -> None:
    assert refusal(text).startswith("a brace without its partner")
