"""The index finds what a walk through all templates finds, in their order, without the walk."""

import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor
from starlette.routing import compile_path
from tests.test_paths import is_taken

from mockware.index import PathIndex
from mockware.paths import PathTemplate

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure


class PairConvertor(Convertor[str]):
    regex = "[a-z]+/[a-z]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


@pytest.fixture(scope="module", autouse=True)
def _custom_converter() -> Iterator[None]:
    register_url_convertor("pair", PairConvertor())
    yield
    del CONVERTOR_TYPES["pair"]


def index_of(templates: Sequence[str]) -> PathIndex[int]:
    """An index whose values are the numbers of the templates."""
    return PathIndex([(PathTemplate(text), number) for number, text in enumerate(templates)])


def found(templates: Sequence[str], path: str) -> list[int] | None:
    values = index_of(templates).find(path)
    return None if values is None else list(values)


def walk(templates: Sequence[str], path: str) -> list[int] | None:
    """The law, in one line: every template in order, each asked by Starlette's own expression."""
    return [
        number for number, text in enumerate(templates) if compile_path(text)[0].fullmatch(path) is not None
    ] or None


# Against the walk. Few words, so that templates resemble each other and paths often match several.

words = st.sampled_from(["", "a", "b", "ab", "a.json", "a-b", "é", "1", "a\n"])
patterns = words | st.sampled_from(
    [
        "{}",
        "{:int}",
        "{:path}",
        "{:pair}",
        "a{}",
        "{}b",
        "{}.json",
        "a-{}",
        "{}-{}",
        "{}-1-{:int}",
        "a{:path}b",
    ]
)


def numbered(text: str) -> str:
    """The same template with a name for each parameter."""
    first, *rest = text.split("{")
    return first + "".join(f"{{p{number}{part}" for number, part in enumerate(rest))


templates = (
    st.lists(patterns, min_size=1, max_size=4)
    .map(lambda parts: numbered("/" + "/".join(parts)))
    .filter(is_taken)
)
paths = st.lists(words | st.sampled_from(["a-1-2", "aab", "ab/ab"]), min_size=1, max_size=5).map(
    lambda parts: "/" + "/".join(parts)
)


@unhurried
@given(st.lists(templates, max_size=12), st.lists(paths, min_size=1, max_size=8))
@example(["/{p:path}", "/a", "/{p}", "/a"], ["/a", "/b", "/b/b"])
@example(["/{p:path}.json", "/{p:path}-more.json"], ["/.json", "/a-more.json"])
@example(["/a{p}b", "/a{p:path}b", "/{p}"], ["/ab", "/aab", "/a/b"])
@example(["/{p}-1-{q:int}", "/{p}-{q}"], ["/a-1-2", "/a-b", "/-"])
@example(["/{p:path}/b", "/a/{p:path}", "/{p:pair}"], ["/a/b", "/b", "/a/", "/a/b/b"])
def test_the_index_finds_what_a_walk_finds_in_the_same_order(texts: list[str], asked: list[str]) -> None:
    index = index_of(texts)
    for path in asked:
        values = index.find(path)
        assert (None if values is None else list(values)) == walk(texts, path), path


@unhurried
@given(st.lists(templates, max_size=6), st.text())
@example(["/{p:path}"], "*")
@example(["/{p}"], "")
@example(["/{p:path}"], "a/b")
def test_any_path_at_all_is_looked_up_like_a_walk_would(texts: list[str], path: str) -> None:
    assert found(texts, path) == walk(texts, path)


# Said with examples


def test_an_index_of_nothing_finds_nothing() -> None:
    assert found([], "/") is None
    assert found(["/a"], "/b") is None
    assert found(["/{id:int}"], "/b") is None


def test_exact_paths_and_templates_keep_the_order_in_which_they_were_given() -> None:
    texts = ["/{id}", "/a", "/{rest:path}", "/a", "/{other}"]
    assert found(texts, "/a") == [0, 1, 2, 3, 4]
    assert found(texts, "/b") == [0, 2, 4]
    assert found(texts, "/b/c") == [2]


def test_a_slash_at_the_end_makes_another_path() -> None:
    assert found(["/reports", "/{name}", "/{name}/"], "/reports/") == [2]
    assert found(["/reports", "/{name}", "/{name}/"], "/reports") == [0, 1]


def test_templates_that_differ_in_the_names_of_parameters_only_are_found_together_in_order() -> None:
    assert found(["/{a}/x", "/{b:int}/x", "/{c}/x", "/{d:str}/x"], "/1/x") == [0, 1, 2, 3]


def test_what_does_not_start_with_a_slash_is_no_path() -> None:
    assert found(["/{rest:path}", "/{id}"], "*") is None


def test_values_may_be_anything_and_need_neither_order_nor_hash() -> None:
    first, second = {"a": 1}, {"b": 2}
    index = PathIndex([(PathTemplate("/a"), first), (PathTemplate("/{x}"), second)])
    assert list(index.find("/a") or ()) == [first, second]


# A mount: a prefix that is nobody else's.


def mounted(templates: Sequence[str], prefix: str) -> PathIndex[int]:
    return PathIndex(
        [(PathTemplate(text), number) for number, text in enumerate(templates)], mount=(prefix, -1)
    )


@unhurried
@given(
    st.lists(templates, max_size=6),
    st.lists(st.sampled_from(["a", "b", "ab", "_"]), min_size=1, max_size=3).map(
        lambda parts: "/" + "/".join(parts)
    ),
    paths | st.text(),
)
@example(["/a", "/{p:path}"], "/a", "/a")
@example(["/a/b"], "/a", "/a/b")
@example(["/a/{p}"], "/a", "/a/b")
@example([], "/a", "/ab")
@example([], "/a/b", "/b/b/c")
@example(["/{p}/b/{q}"], "/a/b", "/b/b/c")
@example([], "/a", "/")
@example([], "/a", "*")
@example([], "/a", "")
@example(["/{p:path}"], "/a", "")
@example([], "/a", "/b")
def test_a_mount_has_what_is_at_and_below_it_and_all_else_is_as_without(
    texts: list[str], prefix: str, path: str
) -> None:
    own = path == prefix or path.startswith(f"{prefix}/")
    values = mounted(texts, prefix).find(path)
    assert (None if values is None else list(values)) == ([-1] if own else walk(texts, path))


@pytest.mark.parametrize("texts", [[], ["/reports"], ["/reports/{id}"], ["/reports", "/{a}-{b}/x"]])
def test_a_mount_costs_foreign_paths_one_call_of_our_own_and_nothing_below_it(texts: list[str]) -> None:
    with_one, without = mounted(texts, "/__mockware__"), index_of(texts)
    for path in ("/api/items/42", "/", "/reports", "/reports/7", "*"):
        if without.find(path) is None:
            # Where there are exact paths only, that is instead of a look-up that Python is not asked for.
            assert calls_of(with_one.find, path) <= calls_of(without.find, path), path


# The work of a look-up, counted and not timed: every call that the interpreter makes, into Python or C.


def calls_of(find: Callable[[str], object], path: str) -> int:
    calls = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        find(path)
    finally:
        sys.setprofile(before)
    return calls


FAMILIES: dict[str, tuple[Callable[[int], str], list[str]]] = {
    "exact paths": (lambda i: f"/reports/{i:05}", ["/reports/00007", "/reports/x", "/reports"]),
    "a parameter in front": (lambda i: f"/{{tenant}}/r{i:05}", ["/t/r00007", "/t/x", "/t/r00007/x"]),
    "a parameter behind": (lambda i: f"/r{i:05}/{{id:int}}", ["/r00007/1", "/r00007/x", "/x/1", "/x"]),
    "a parameter between": (lambda i: f"/a/{{id}}/r{i:05}/x", ["/a/1/r00007/x", "/a/1/x/x", "/b/1/x/x"]),
    "any segments in front": (lambda i: f"/{{rest:path}}/x{i:05}", ["/a/b/c/x00007", "/a/b/c/x", "/x"]),
    "any segments behind": (lambda i: f"/x{i:05}/{{rest:path}}", ["/x00007/a/b", "/x/a/b", "/x00007"]),
    "shared prefixes": (
        lambda i: f"/api/v1/t/{{id}}/r{i:05}",
        ["/api/v1/t/1/r00007", "/api/v1/t/1/x", "/api"],
    ),
    "suffixes": (lambda i: f"/f/{{name}}-{i:05}.json", ["/f/a-00007.json", "/f/a-x.json", "/f/a"]),
    "prefixes": (lambda i: f"/f/p{i:05}-{{name}}", ["/f/p00007-a", "/f/px-a", "/f/a"]),
    "both edges": (lambda i: f"/f/p-{{name}}-{i:05}", ["/f/p-a-00007", "/f/p-a-x", "/f/a"]),
    "an inner literal": (lambda i: f"/f/{{a}}-{i:05}-{{b}}", ["/f/x-00007-y", "/f/x-y-z", "/f/a"]),
    "an inner segment": (lambda i: f"/{{a:path}}/r{i:05}/{{b:path}}", ["/x/r00007/y", "/x/y/z", "/f"]),
    "an ending and a literal between": (
        lambda i: f"/f/{{name}}-{i:05}-{{a}}.json",
        ["/f/a-00007-x.json", "/f/a-x-x.json", "/f/a.json"],
    ),
    "a beginning and a literal between": (
        lambda i: f"/v{{a}}.{i:05}.{{b}}/x",
        ["/v1.00007.2/x", "/v1.x.2/x", "/v/x"],
    ),
    "a literal in common and one between": (
        lambda i: f"/{{a}}-common-{{b}}-x{i:05}-{{name}}",
        ["/q-common-w-x00007-e", "/q-common-w-x-e", "/q-common-w"],
    ),
    "a literal between any segments": (
        lambda i: f"/{{a:path}}/x{i:05}/{{rest:path}}.json",
        ["/a/b/x00007/c.json", "/a/b/x/c.json", "/a/c.json"],
    ),
    "exact and template in turns": (
        lambda i: f"/r{i:05}" if i % 2 else f"/{{any}}/r{i:05}",
        ["/r00007", "/x/r00008", "/x", "/x/y"],
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_work_of_a_look_up_does_not_grow_with_the_number_of_templates(family: str) -> None:
    template, asked = FAMILIES[family]
    few = index_of([template(i) for i in range(20)])
    many = index_of([template(i) for i in range(2000)])
    for path in asked:
        assert few.find(path) == many.find(path)
        assert calls_of(many.find, path) <= calls_of(few.find, path) < 40, path


@pytest.mark.parametrize("family", FAMILIES)
def test_every_template_of_a_large_family_is_found(family: str) -> None:
    template, _ = FAMILIES[family]
    texts = [template(i) for i in range(300)]
    index = index_of(texts)
    for number, text in enumerate(texts):
        values = {"tenant": "t", "id:int": "1", "id": "1", "rest:path": "a/b", "name": "a", "any": "x"}
        path = text.replace("{a}", "x").replace("{b}", "y").replace("{a:path}", "x").replace("{b:path}", "y")
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        assert list(index.find(path) or ()) == [number], path


def test_a_path_of_rules_that_all_share_it_costs_no_more_than_one() -> None:
    few, many = index_of(["/{id}"] * 2), index_of([f"/{{id{i}}}" for i in range(500)])
    assert calls_of(many.find, "/a") == calls_of(few.find, "/a")


def test_a_long_hostile_path_is_looked_up_once_and_not_once_for_each_segment() -> None:
    index = index_of(["/{a}/x", "/{rest:path}/y", "/b/{rest:path}", "/{a}-{b}"])
    short, long = "/a" * 10 + "/z", "/a" * 20_000 + "/z"
    assert index.find(long) is None
    assert calls_of(index.find, long) == calls_of(index.find, short)
