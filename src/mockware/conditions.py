"""`when`: what a request must carry, besides its method and path, for a rule to match.

Law: a condition says why it does not hold, and *it holds* is "there is no difference". Every value
that is looked at comes from a request and is hostile: no expression of a rule may be made to run for
ever by one, so a choice inside a repeat, or too many in a row, is refused when the rules load, and a
value that exceeds `MAX_REGEX_CHARS`, or what those before it left of them, matches no expression.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import prod
from re import _constants as opcodes  # type: ignore[attr-defined]
from re import _parser as regex_parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from .exceptions import did_you_mean, quoted
from .messages import MISSING, Request

# All values that a request has under one name count together. With what `MAX_WAYS` allows, the slowest
# expression that was found takes 0.2 s for so many characters.
MAX_REGEX_CHARS = 512
# In how many ways an expression may read one value before it gives up. A repeat without an end counts as 32:
# two of them (tried from every place: the cube of the length), or one and five choices of two.
MAX_WAYS = 1024
_WAYS_OF_A_REPEAT = 32


class Difference(NamedTuple):
    """Why a request does not match: the `field` that differs, what was `expected`, what was `found`."""

    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


class Condition:
    """A test of the values that a request has under one name; a request may have none or several.

    A string in a rules file is compared whole, a list means any of; a table has `regex` (searched
    for), `contains`, `present` (true or false) and `not` (another condition), all of which must hold.
    With `ignore_case` the values are in lower case, and how the rule is written does not matter.
    """

    __slots__ = ("_ignore_case", "_tests", "declared", "text")

    def __init__(self, declared: object, *, ignore_case: bool = False) -> None:
        self.declared = declared
        self.text = quoted(declared)
        self._ignore_case = ignore_case
        try:
            self._tests = tuple(_tests(_lower(declared) if ignore_case else declared, ignore_case))
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def holds(self, values: Sequence[str]) -> bool:
        return all(test(values) for test in self._tests)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Condition):
            return NotImplemented
        return self.declared == other.declared and self._ignore_case is other._ignore_case

    __hash__ = None  # type: ignore[assignment]  # what is declared may be a table

    def __reduce__(self) -> tuple[Callable[[object], Condition], tuple[object]]:
        return partial(Condition, ignore_case=self._ignore_case), (self.declared,)

    def __repr__(self) -> str:
        return f"Condition({self.text})"


_Test = Callable[[Sequence[str]], bool]


def _tests(declared: object, ignore_case: bool) -> Iterator[_Test]:
    """The tests that a declared condition stands for. Raises ValueError with the reason."""
    if isinstance(declared, str):
        yield lambda values: declared in values
    elif isinstance(declared, list):
        if not declared or not all(isinstance(item, str) for item in declared):
            raise ValueError("a list of one or more strings means any of them")
        anything = frozenset(declared)
        yield lambda values: not anything.isdisjoint(values)
    elif isinstance(declared, dict):
        if not declared:
            raise ValueError(f"an empty table says nothing{did_you_mean('', _KINDS)}")
        for kind, operand in declared.items():
            if kind not in _KINDS:
                raise ValueError(f"`{kind}` is no kind of condition{did_you_mean(str(kind), _KINDS)}")
            yield _KINDS[kind](operand, ignore_case)
    else:
        hint = f'; write "{str(declared).lower()}"' if isinstance(declared, (bool, int, float)) else ""
        raise ValueError(f"expected a string, a list of strings or a table{hint}")


def _regex(operand: object, ignore_case: bool) -> _Test:
    search = compile_regex(operand, re.IGNORECASE if ignore_case else re.NOFLAG).search

    def test(values: Sequence[str]) -> bool:
        left = MAX_REGEX_CHARS
        for value in values:
            if len(value) <= left:
                left -= len(value)
                if search(value) is not None:
                    return True
        return False

    return test


def _contains(operand: object, ignore_case: bool) -> _Test:
    if not isinstance(operand, str):
        raise ValueError("`contains` takes a string")
    return lambda values: any(operand in value for value in values)


def _present(operand: object, ignore_case: bool) -> _Test:
    if not isinstance(operand, bool):
        raise ValueError("`present` is true or false")
    return lambda values: bool(values) is operand


def _not(operand: object, ignore_case: bool) -> _Test:
    condition = Condition(operand, ignore_case=ignore_case)
    return lambda values: not condition.holds(values)


_KINDS: dict[str, Callable[[object, bool], _Test]] = {
    "regex": _regex,
    "contains": _contains,
    "present": _present,
    "not": _not,
}


def compile_regex(pattern: object, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """A regular expression that a hostile value cannot make exponential, or ValueError."""
    if not isinstance(pattern, str):
        raise ValueError("`regex` takes a string")
    try:
        tree = regex_parser.parse(pattern, flags)
        compiled = re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"bad regular expression: {error}") from None
    if _repeats_a_choice(tree, repeated=False):
        raise ValueError(
            "a choice inside a repeat, as in (a+)+ or (ab|a)*, can take exponential time on a hostile value; "
            "make it one that is not taken back: (a++)+ or (?>ab|a)*"
        )
    if _ways(tree) > MAX_WAYS:
        raise ValueError(
            "too many choices in a row take too much time on a hostile value; allowed: two repeats without "
            "an end such as .*, or one and five choices such as a? or (a|b), besides those that are not "
            "taken back: .*+ or (?>a|b)"
        )
    return compiled


def _ways(tree: Any) -> int:
    """In how many ways the matcher could read a value, at worst, before it gives up."""
    ways = worst = 1
    for opcode, argument in tree:
        inner = prod(map(_ways, _subtrees(argument)))
        if opcode is opcodes.ATOMIC_GROUP:
            worst = max(worst, ways * inner)  # tried on each way up to here, and then left as it is
        elif opcode is opcodes.POSSESSIVE_REPEAT:
            worst = max(worst, ways * inner * _times(argument[1], inner))
        elif opcode is opcodes.BRANCH:
            ways *= sum(map(_ways, _subtrees(argument)))
        elif opcode in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT):
            choices = min(argument[1] - argument[0], _WAYS_OF_A_REPEAT - 1)
            ways *= (
                choices + inner if argument[1] == 1 else inner * max(choices + 1, _times(argument[1], inner))
            )
        elif opcode is opcodes.GROUPREF:
            ways *= _WAYS_OF_A_REPEAT  # compared letter by letter, however long the group was
        else:
            ways *= inner
    return max(ways, worst)


def _times(most: int, inner: int) -> int:
    """How often what is inside a repeat is tried, if it has several ways."""
    return min(most, _WAYS_OF_A_REPEAT) if inner > 1 else 1


def _repeats_a_choice(tree: Any, *, repeated: bool) -> bool:
    """Whether the matcher could go back on a choice that it makes more than once.

    Stricter than needed ((\\d+,)+ is harmless), because exact would be a research project. The parser's
    tree is CPython's own business, but the only faithful reading of an expression there is.
    """
    for opcode, argument in tree:
        repeats = opcode in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT)
        if repeated and (opcode is opcodes.BRANCH or (repeats and argument[0] != argument[1])):
            return True
        if opcode in (opcodes.ATOMIC_GROUP, opcodes.POSSESSIVE_REPEAT):
            within = False  # never goes back, so that a repeat around it stays linear
        else:
            within = repeated or (repeats and argument[1] > 1)
        if any(_repeats_a_choice(subtree, repeated=within) for subtree in _subtrees(argument)):
            return True
    return False


def _subtrees(argument: Any) -> Iterator[Any]:
    if isinstance(argument, regex_parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for part in argument:
            yield from _subtrees(part)


class Conditions:
    """All of a rule's `when` but its method and path.

    `names` maps `query`, `headers` and `cookies` to conditions by name; header names are lower-case.
    `json` is a deep subset that the request's body must contain, or `MISSING`.
    """

    __slots__ = ("host", "json", "names")

    def __init__(
        self,
        *,
        host: Condition | None = None,
        query: Mapping[str, Condition] | None = None,
        headers: Mapping[str, Condition] | None = None,
        cookies: Mapping[str, Condition] | None = None,
        json: Any = MISSING,
    ) -> None:
        self.host = Condition(host.declared, ignore_case=True) if host else None
        self.names = {"query": query or {}, "headers": headers or {}, "cookies": cookies or {}}
        self.json = json

    @property
    def needs_body(self) -> bool:
        return self.json is not MISSING

    def difference(self, request: Request) -> Difference | None:
        """The first thing that differs, the body aside; None where nothing does."""
        if self.host is not None:
            host = request.header("host") or ""
            if not self.host.holds(_host_forms(host)):
                return Difference("when.host", self.host.text, quoted(host))
        for place, conditions in self.names.items():
            for name, condition in conditions.items():
                values = _values(request, place, name)
                if not condition.holds(values):
                    found = ", ".join(map(quoted, values)) or "nothing"
                    return Difference(f"when.{place}.{name}", condition.text, found)
        return None

    @property
    def of_the_url(self) -> Conditions:
        """Those that a CORS preflight tells of, which has the URL of the request to come."""
        return Conditions(host=self.host, query=self.names["query"])

    @property
    def tell_by_the_url(self) -> bool:
        """Whether there are no others."""
        return not (self.names["headers"] or self.names["cookies"] or self.needs_body)

    def body_difference(self, request: Request) -> Difference | None:
        """Where the JSON body differs; None where it contains all that is asked for."""
        if self.json is MISSING:
            return None
        if request.json is MISSING:
            return Difference("when.json", quoted(self.json), "no JSON body of at most 1 MiB")
        return _json_difference(self.json, request.json, "when.json")


def _values(request: Request, place: str, name: str) -> Sequence[str]:
    if place == "query":
        return request.query.get(name, ())
    value = request.header(name) if place == "headers" else request.cookies.get(name)
    return () if value is None else (value,)


def _lower(declared: object) -> object:
    """The condition in lower case, but for expressions, whose letters have other meanings too."""
    if isinstance(declared, str):
        return declared.lower()
    if isinstance(declared, list):
        return [_lower(item) for item in declared]
    if isinstance(declared, dict):
        return {kind: operand if kind == "regex" else _lower(operand) for kind, operand in declared.items()}
    return declared


def _host_forms(host: str) -> tuple[str, ...]:
    """The Host field with its port and without; a host's letters have no case (RFC 9110 section 4.2.3)."""
    host = host.lower()
    name, colon, port = host.rpartition(":")
    return (host, name) if colon and port.isdigit() else (host,)


def _json_difference(expected: Any, found: Any, field: str) -> Difference | None:
    """Objects may have more members than expected; lists have as many; true is not 1."""
    # The way to a difference is put together on the way back: there may be none, and it may be long.
    way: list[str] = []
    unequal = _unequal(expected, found, way)
    if unequal is None:
        return None
    return Difference(field + "".join(reversed(way)), quoted(unequal[0]), quoted(unequal[1]))


def _unequal(expected: Any, found: Any, way: list[str]) -> tuple[Any, Any] | None:
    """The first two values that differ; the steps that lead to them, the last first, are in `way`."""
    unequal: tuple[Any, Any] | None
    if isinstance(expected, dict) and isinstance(found, dict):
        for name, value in expected.items():
            unequal = _unequal(value, found[name], way) if name in found else (value, MISSING)
            if unequal is not None:
                way.append(f".{name}")
                return unequal
        return None
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for i, (left, right) in enumerate(zip(expected, found, strict=True)):
            unequal = _unequal(left, right, way)
            if unequal is not None:
                way.append(f"[{i}]")
                return unequal
        return None
    if isinstance(expected, (dict, list)) or isinstance(found, (dict, list)):
        return expected, found
    same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
    return None if same else (expected, found)
