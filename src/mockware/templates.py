"""The templates of a reply: text and JSON with `{{ }}` and `{% %}`, as Jinja2 writes them.

Law: data in, data out. A template reaches no Python object, cannot run for ever and cannot make more than
1 MiB; what is wrong with it is said when it is compiled, wherever that can be known. So only Jinja2's parser
is used: its tree is turned into functions here, node by node, and a node that is not known is refused. No
code is generated, nothing looks up an attribute, and the only callables are those in the two tables below;
there is nothing to escape from. Every value is what JSON can say.

Where that makes the language differ from Jinja2: there are no methods, macros, includes or blocks; filters
give lists, never iterators; a value in a text is written as JSON writes it (`true`, not `True`); what is
missing may be asked for members, and is an error only where it is used; `true` is not 1 to arithmetic, and
`*` and `%` take no text. A property test holds the rest against Jinja2 itself.

Doubt: `MAX_RENDER_S` is looked at between the rounds of a loop, on the wall's clock: a machine that stands
still for half a second within a loop fails a template that did nothing wrong.
"""

from __future__ import annotations

import html
import json
import math
import operator
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

from .exceptions import MAX_QUOTED_CHARS, MockwareError, did_you_mean, quoted
from .messages import MISSING, Request

# Of all parts of one reply together, as they are sent. As long as the longest request body that is looked at.
MAX_OUTPUT_BYTES = 1 << 20
# Rounds of loops, and items that filters go through, of all parts of one reply. A table of a hundred rows and
# columns; some 50 ms. Jinja2's own sandbox allows ten times as many in each `range`.
MAX_STEPS = 10_000
# Characters that are read or made on the way to the output: sixteen times the longest output, some 50 ms.
MAX_WORK_CHARS = 16 * MAX_OUTPUT_BYTES
_PART_CHARS = 64  # visiting one of many values takes as long as writing so many characters of one
# What neither steps nor characters count is bounded by time, in seconds: the other requests wait meanwhile.
MAX_RENDER_S = 0.5
# As many as the largest float has: any result can be made a float, and is printed within a microsecond.
MAX_INT_BITS = 1024
MAX_INT_DIGITS = 400
# `round` beyond a float's 15 digits changes nothing.
MAX_PRECISION = 15
# Levels of a template's statements and expressions, and of the JSON that it gives: far from the 1000 calls
# that Python allows, wherever in an app the reply is made. Web browsers stop at 512 elements of HTML.
MAX_NESTING = 64
MAX_JSON_DEPTH = 100

MARKS = ("{{", "{%", "{#")

REQUEST_MEMBERS = ("path_params", "query", "headers", "cookies", "json", "method", "path")
_VARIABLES = ("request", "now", "uuid", "random")
_RESERVED = frozenset((*_VARIABLES, "loop", "range"))

_encode = json.JSONEncoder().encode


class TemplateError(MockwareError):
    """A template cannot be rendered for this request. The reason is one short line, without any value."""


def is_template(text: str) -> bool:
    """Whether anything in `text` is for the template language to read."""
    return any(mark in text for mark in MARKS)


class Budget:
    """What the templates of one reply may still use, all of them together."""

    __slots__ = ("_bytes", "_chars", "_clock", "_ends_s", "_steps")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_s: float | None = None
        self._bytes = MAX_OUTPUT_BYTES
        self._chars = MAX_WORK_CHARS
        self._steps = MAX_STEPS

    def output(self, size: int) -> None:
        """So many bytes more are to be sent."""
        self._bytes -= size
        if self._bytes < 0:
            raise TemplateError(f"it makes more than {MAX_OUTPUT_BYTES} bytes")

    def work(self, chars: int) -> None:
        """So many characters, or items that cost no more, are to be read or made. Called before they are."""
        self._chars -= chars
        if self._chars < 0:
            raise TemplateError(f"it reads or makes more than {MAX_WORK_CHARS} characters on its way")

    def value(self, chars: int) -> None:
        """A part of so many characters, of a value of many parts, is written out on the way."""
        self.work(chars + _PART_CHARS)

    def step(self, count: int = 1) -> None:
        """So many rounds of a loop begin, or a filter goes through so many items."""
        self._steps -= count
        if self._steps < 0:
            raise TemplateError(f"it takes more than {MAX_STEPS} rounds of loops and items of filters")
        now_s = self._clock()
        if self._ends_s is None:
            self._ends_s = now_s + MAX_RENDER_S
        elif now_s > self._ends_s:
            raise TemplateError(f"its loops take more than {MAX_RENDER_S} s")


class Variables:
    """What the templates of one reply can say: each made when first asked for, the same at every mention."""

    __slots__ = ("_now", "_now_s", "_path_params", "_query", "_random", "_uuid", "chance", "request")

    def __init__(
        self,
        request: Request,
        path_params: Mapping[str, Any],
        now_s: float,
        chance: Callable[[], float],
    ) -> None:
        self.request = request
        self.chance = chance
        self._path_params = path_params
        self._now_s = now_s
        self._now: str | None = None
        self._query: dict[str, str] | None = None
        self._random: float | None = None
        self._uuid: str | None = None

    @property
    def now(self) -> str:
        """The time in UTC, as RFC 3339 section 5.6 writes it."""
        if self._now is None:
            self._now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now_s))
        return self._now

    @property
    def uuid(self) -> str:
        """A random UUID (RFC 9562 section 5.4)."""
        if self._uuid is None:
            number = 0
            for _ in range(4):  # a float has 53 random bits at most
                number = number << 32 | int(self.chance() * (1 << 32))
            self._uuid = str(UUID(int=number, version=4))
        return self._uuid

    @property
    def random(self) -> float:
        """A number from 0 below 1."""
        if self._random is None:
            self._random = self.chance()
        return self._random

    @property
    def path_params(self) -> dict[str, Any]:
        """What the converters made, as far as JSON can say it; the rest as text, a UUID above all."""
        return {
            name: value if value is None or type(value) in (str, int, float, bool) else str(value)
            for name, value in self._path_params.items()
        }

    @property
    def query(self) -> dict[str, str]:
        """The last value of each name, as Starlette's `QueryParams` has it."""
        if self._query is None:
            self._query = {name: values[-1] for name, values in self.request.query.items()}
        return self._query

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.request.cookies)


def variables_for(
    request: Request, path_params: Mapping[str, Any], *, now: float, chance: Callable[[], float]
) -> Variables:
    """The variables of one reply. `path_params` are as the path's converters made them.

    `now` is in seconds since the epoch; `chance` gives a number from 0 below 1. Where a template
    `reads_body`, `request.body` has to be there before it is rendered.
    """
    return Variables(request, path_params, now, chance)


# Values: None, bool, int, float, str, list and dict with strings for keys; two more never leave a template


class _Absent:
    """What stands where there is no value; `what` is how the template spelled it."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what


class _Escaped(str):
    """A string that is already as HTML needs it. Whatever is made of it is a plain string again."""

    __slots__ = ()


class _Run:
    """One template being rendered."""

    __slots__ = ("autoescape", "budget", "line", "out", "slots", "variables")

    def __init__(self, program: _Program, variables: Variables | None, budget: Budget) -> None:
        self.autoescape = program.autoescape
        self.budget = budget
        self.line = 1
        self.out: list[str] = []
        self.slots: list[Any] = list(program.slots)
        # Without any, this is a constant's run: it was compiled without a look at one.
        self.variables: Variables = variables  # type: ignore[assignment]


_Code = Callable[[_Run], Any]
_NUMBERS = (int, float)  # by exact type: true is not 1


def _present(value: Any) -> Any:
    if type(value) is _Absent:
        raise TemplateError(f"{value.what} is missing; `| default(...)` gives it a value")
    return value


def _kind(value: Any) -> str:
    kinds = {str: "a string", _Escaped: "a string", list: "a list", dict: "an object", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _text(run: _Run, value: Any) -> str:
    """The value as it stands in a text. Raises TemplateError for what JSON has no word for."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, (bool, int, float)):
        return _scalar(value)
    return json.dumps(_copied(_present(value), run.budget.value), ensure_ascii=False)


def _scalar(value: Any) -> str:
    """As `json.dumps` writes it, in a tenth of the time."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise TemplateError("JSON has no word for a number that is not finite")
    return repr(value)


def _copied(value: Any, spend: Callable[[int], None], depth: int = 0) -> Any:
    """`value`, checked to be JSON, with nothing shared. `spend` is told each length before it is made."""
    if isinstance(value, str):
        spend(len(_encode(value)))
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        spend(len(_scalar(value)))
        return value
    if depth >= MAX_JSON_DEPTH:
        raise TemplateError(f"JSON nested more than {MAX_JSON_DEPTH} levels deep")
    # As `json.dumps` writes it by default: brackets, and ", " between items.
    spend(max(2 * len(value), 2))
    if isinstance(value, list):
        return [_copied(item, spend, depth + 1) for item in value]
    copied = {}
    for key, item in value.items():
        spend(len(_encode(key)) + 2)
        copied[key] = _copied(item, spend, depth + 1)
    return copied


def _number(value: Any) -> Any:
    """A number that was computed, if it is not too large."""
    if value.bit_length() > MAX_INT_BITS if type(value) is int else not math.isfinite(value):
        raise TemplateError("a number is too large")
    return value


def _items(run: _Run, value: Any) -> list[Any]:
    """What a loop or a filter goes through, paid for: items of a list, keys of an object, letters."""
    if not isinstance(value, (list, dict, str)):
        raise TemplateError(f"{_kind(value)} has no items; expected a list")
    run.budget.step(len(value))
    return list(value)


def _found(value: Any, key: Any, absent: _Absent) -> Any:
    """The member of an object or the item of a list or string, and nothing else that Python would find."""
    if type(value) is dict:
        return value.get(key, absent) if isinstance(key, str) else absent
    if isinstance(value, (list, str)) and type(key) is int:
        return value[key] if -len(value) <= key < len(value) else absent
    return value if type(value) is _Absent else absent


def _reached(value: Any, way: Any) -> Any:
    """What the attribute of a filter leads to: `user.name`, `0.id`, or a number."""
    if way is None:
        return value
    if not isinstance(way, (str, int)):
        raise TemplateError("an `attribute` is a string such as 'user.name', or a number")
    absent = _Absent(f"the attribute {quoted(way)} of an item")
    for part in way.split(".") if isinstance(way, str) else (way,):
        isindex = isinstance(part, str) and part.isdecimal() and len(part) <= MAX_PRECISION
        value = _found(value, int(part) if isindex and type(value) is not dict else part, absent)
    return value


def _equal(run: _Run, left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            return False
        run.budget.step(len(left))
        return all(_equal(run, a, b) for a, b in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        if len(left) != len(right):
            return False
        run.budget.step(len(left))
        return all(key in right and _equal(run, value, right[key]) for key, value in left.items())
    if isinstance(left, str) and isinstance(right, str):
        run.budget.work(min(len(left), len(right)))
    return bool(left == right)


def _contains(run: _Run, whole: Any, part: Any) -> bool:
    if isinstance(whole, str) and isinstance(part, str):
        run.budget.work(len(whole))
        return part in whole
    if isinstance(whole, list):
        run.budget.work(len(whole))
        if isinstance(part, (list, dict)):
            return any(_equal(run, item, part) for item in _items(run, whole))
        return part in whole
    if isinstance(whole, dict):
        return isinstance(part, str) and part in whole
    raise TemplateError(f"{_kind(part)} cannot be `in` {_kind(whole)}")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[_Run, Any, Any], bool]:
    def test(run: _Run, left: Any, right: Any) -> bool:
        _check_order((left, right))
        if isinstance(left, str):
            run.budget.work(min(len(left), len(right)))
        return compare(left, right)

    return test


def _check_order(values: Iterable[Any]) -> None:
    kinds = {str if isinstance(value, str) else type(value) for value in values}
    if not (kinds <= {str} or kinds <= {int, float, bool}):
        raise TemplateError("only numbers can be put in order with numbers, and strings with strings")


def _keys(run: _Run, items: Sequence[Any], case_sensitive: Any, attribute: Any) -> list[Any]:
    """What each item is compared by."""
    keys = []
    for item in items:
        key = _present(_reached(item, attribute))
        if isinstance(key, str):
            run.budget.work(len(key))
            key = key if case_sensitive else key.lower()
        keys.append(key)
    return keys


def _sorted(run: _Run, items: Sequence[Any], keys: Sequence[Any], reverse: Any) -> list[Any]:
    _check_order(keys)
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))
    return [items[i] for i in order]


def _json_of(run: _Run, value: Any) -> str:
    return json.dumps(_copied(value, run.budget.value))


def _html(run: _Run, text: str) -> str:
    run.budget.work(6 * len(text))  # `&quot;` is the longest
    return html.escape(text)


# Filters: each is told the run and the value, and pays before it makes anything longer


def _by_letters(change: Callable[[str], str]) -> Callable[[_Run, Any], str]:
    def changed(run: _Run, value: Any) -> str:
        text = _text(run, value)
        run.budget.work(3 * len(text))  # one letter can become three: SpecialCasing.txt of Unicode
        return change(text)

    return changed


_WORD_BEGINS = re.compile(r"([-\s({\[<]+)")


def _titled(text: str) -> str:
    return "".join(word[0].upper() + word[1:].lower() for word in _WORD_BEGINS.split(text) if word)


def _default(run: _Run, value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    return default_value if type(value) is _Absent or (boolean and not value) else value


def _trim(run: _Run, value: Any, chars: Any = None) -> str:
    text = _text(run, value)
    run.budget.work(len(text))
    return text.strip(None if chars is None else _text(run, chars))


def _replace(run: _Run, value: Any, old: Any, new: Any, count: Any = None) -> str:
    text, taken, given = _text(run, value), _text(run, old), _text(run, new)
    times = text.count(taken)
    if count is not None and _whole(count, "count") >= 0:
        times = min(times, count)
    run.budget.work(2 * len(text) + times * max(len(given) - len(taken), 0))
    return text.replace(taken, given, times)


def _whole(value: Any, what: str) -> int:
    if type(value) is not int:
        raise TemplateError(f"`{what}` is a whole number")
    return value


def _join(run: _Run, value: Any, d: Any = "", attribute: Any = None) -> str:
    texts = [_text(run, _present(_reached(item, attribute))) for item in _items(run, value)]
    between = _text(run, d)
    run.budget.work(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _truncate(
    run: _Run, value: Any, length: Any = 255, killwords: Any = False, end: Any = "...", leeway: Any = 5
) -> str:
    text, ending = _text(run, value), _text(run, end)
    kept = _whole(length, "length") - len(ending)
    if kept < 0 or _whole(leeway, "leeway") < 0:
        raise TemplateError("`length` is no less than the length of `end`, and `leeway` no less than 0")
    if len(text) <= length + leeway:
        return text
    run.budget.work(length)
    return (text[:kept] if killwords else text[:kept].rsplit(" ", 1)[0]) + ending


def _urlencode(run: _Run, value: Any) -> str:
    if isinstance(value, (dict, list)):
        items = _items(run, value)
        pairs = [[key, value[key]] for key in items] if isinstance(value, dict) else items
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise TemplateError("`urlencode` takes a string, an object or a list of pairs")
        return "&".join(f"{_quoted_url(run, name, '')}={_quoted_url(run, item, '')}" for name, item in pairs)
    return _quoted_url(run, value, "/")


def _quoted_url(run: _Run, value: Any, safe: str) -> str:
    text = _text(run, value)
    run.budget.work(12 * len(text))  # four bytes of three letters
    escaped = quote(text, safe=safe)
    return escaped if safe else escaped.replace("%20", "+")


def _tojson(run: _Run, value: Any) -> str:
    text = _json_of(run, value)
    if not run.autoescape:
        return text
    run.budget.work(6 * len(text))
    # As Jinja2 does, so that it may stand in a script or between single quotes.
    for letter in "<>&'":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return _Escaped(text)


def _escape(run: _Run, value: Any) -> str:
    if isinstance(value, _Escaped):
        return value
    text = _html(run, _text(run, value))
    return _Escaped(text) if run.autoescape else text


def _int(run: _Run, value: Any, default: Any = 0, base: Any = 10) -> Any:
    if not 2 <= _whole(base, "base") <= 36:
        raise TemplateError("`base` is from 2 to 36")
    if isinstance(value, str):
        if len(value) > MAX_INT_DIGITS:
            return default
        try:
            return _number(int(value, base))
        except ValueError:
            value = _float(run, value, None)  # 42.23 has no other way to 42
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else default
    return int(value) if isinstance(value, int) else default


def _float(run: _Run, value: Any, default: Any = 0.0) -> Any:
    if isinstance(value, (list, dict)) or value is None:
        return default
    try:
        number = float(value) if not isinstance(value, str) or len(value) <= MAX_INT_DIGITS else math.nan
    except ValueError:
        return default
    return number if math.isfinite(number) else default


def _as_number(value: Any) -> Any:
    if type(value) not in _NUMBERS:
        raise TemplateError(f"expected a number, found {_kind(value)}; `| int` and `| float` make one")
    return value


def _round(run: _Run, value: Any, precision: Any = 0, method: Any = "common") -> Any:
    value = _as_number(value)
    if abs(_whole(precision, "precision")) > MAX_PRECISION:
        raise TemplateError(f"`precision` is from -{MAX_PRECISION} to {MAX_PRECISION}")
    if method == "common":
        return round(value, precision)
    if method not in ("ceil", "floor"):
        raise TemplateError("`method` is 'common', 'ceil' or 'floor'")
    scale = 10**precision
    return _number((math.ceil if method == "ceil" else math.floor)(value * scale) / scale)


def _sequence(value: Any) -> Any:
    if not isinstance(value, (list, str)):
        raise TemplateError(f"expected a list or a string, found {_kind(value)}")
    return value


def _first(run: _Run, value: Any) -> Any:
    return _found(_sequence(value), 0, _Absent("the first item of nothing"))


def _last(run: _Run, value: Any) -> Any:
    return _found(_sequence(value), -1, _Absent("the last item of nothing"))


def _random(run: _Run, value: Any) -> Any:
    at = int(run.variables.chance() * len(_sequence(value)))
    return _found(value, at, _Absent("an item of nothing"))


def _length(run: _Run, value: Any) -> int:
    if not isinstance(value, (list, dict, str)):
        raise TemplateError(f"{_kind(value)} has no length")
    return len(value)


def _sort(
    run: _Run, value: Any, reverse: Any = False, case_sensitive: Any = False, attribute: Any = None
) -> list[Any]:
    items = _items(run, value)
    return _sorted(run, items, _keys(run, items, case_sensitive, attribute), reverse)


def _unique(run: _Run, value: Any, case_sensitive: Any = False, attribute: Any = None) -> list[Any]:
    items = _items(run, value)
    keys = _keys(run, items, case_sensitive, attribute)
    if any(isinstance(key, (list, dict)) for key in keys):
        raise TemplateError("`unique` compares strings and numbers; name one of them by `attribute`")
    first = dict(zip(reversed(keys), reversed(range(len(items))), strict=True))
    return [items[i] for i in sorted(first.values())]


def _extreme(
    best: Callable[..., int],
) -> Callable[[_Run, Any, Any, Any], Any]:
    def found(run: _Run, value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
        items = _items(run, value)
        keys = _keys(run, items, case_sensitive, attribute)
        _check_order(keys)
        return (
            items[best(range(len(items)), key=keys.__getitem__)] if items else _Absent("an item of nothing")
        )

    return found


def _sum(run: _Run, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    total = _as_number(start)
    for item in _items(run, value):
        total = _number(total + _as_number(_present(_reached(item, attribute))))
    return total


def _reverse(run: _Run, value: Any) -> Any:
    if isinstance(value, str):
        run.budget.work(len(value))
        return value[::-1]
    return _items(run, value)[::-1]


def _pairs(run: _Run, value: Any) -> list[list[Any]]:
    if not isinstance(value, dict):
        raise TemplateError(f"expected an object, found {_kind(value)}")
    return [[key, value[key]] for key in _items(run, value)]


def _dictsort(
    run: _Run, value: Any, case_sensitive: Any = False, by: Any = "key", reverse: Any = False
) -> list[Any]:
    if by not in ("key", "value"):
        raise TemplateError("`by` is 'key' or 'value'")
    pairs = _pairs(run, value)
    return _sorted(run, pairs, _keys(run, pairs, case_sensitive, 0 if by == "key" else 1), reverse)


def _map(run: _Run, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
    items = _items(run, value)
    if args:
        name, *rest = args
        return [_present(FILTERS[name](run, item, *rest, **kwargs)) for item in items]
    found = (_reached(item, kwargs["attribute"]) for item in items)
    if "default" in kwargs:
        return [kwargs["default"] if type(item) is _Absent else item for item in found]
    return [_present(item) for item in found]


def _chooser(wanted: bool, by_attribute: bool) -> Callable[..., list[Any]]:
    def chosen(run: _Run, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        way, *rest = args if by_attribute else (None, *args)
        name, *operands = rest or ("truth",)
        test = TESTS[name] if rest else _truth
        kept = []
        for item in _items(run, value):
            reached = _reached(item, way)
            if name not in _OF_THE_ABSENT:
                _present(reached)
            if bool(test(run, reached, *operands, **kwargs)) is wanted:
                kept.append(item)
        return kept

    return chosen


def _truth(run: _Run, value: Any) -> bool:
    return bool(value)


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": lambda run, value: abs(_as_number(value)),
    "capitalize": _by_letters(str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": _float,
    "int": _int,
    "items": _pairs,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": lambda run, value: _items(run, value),
    "lower": _by_letters(str.lower),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "random": _random,
    "reject": _chooser(wanted=False, by_attribute=False),
    "rejectattr": _chooser(wanted=False, by_attribute=True),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "select": _chooser(wanted=True, by_attribute=False),
    "selectattr": _chooser(wanted=True, by_attribute=True),
    "sort": _sort,
    "string": lambda run, value: _text(run, value),
    "sum": _sum,
    "title": _by_letters(_titled),
    "tojson": _tojson,
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": _by_letters(str.upper),
    "urlencode": _urlencode,
}
# Which argument of a filter names another filter, or a test.
_NAMES_A_FILTER = {"map": 0}
_NAMES_A_TEST = {"select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}


def _not_equal(run: _Run, left: Any, right: Any) -> bool:
    return not _equal(run, left, right)


def _divides(run: _Run, value: Any, num: Any) -> bool:
    return bool(_as_number(value) % _as_number(num) == 0)


_less, _at_most = _ordered(operator.lt), _ordered(operator.le)
_greater, _at_least = _ordered(operator.gt), _ordered(operator.ge)

TESTS: dict[str, Callable[..., bool]] = {
    "!=": _not_equal,
    "<": _less,
    "<=": _at_most,
    "==": _equal,
    ">": _greater,
    ">=": _at_least,
    "boolean": lambda run, value: isinstance(value, bool),
    "defined": lambda run, value: type(value) is not _Absent,
    "divisibleby": _divides,
    "eq": _equal,
    "equalto": _equal,
    "even": lambda run, value: _as_number(value) % 2 == 0,
    "false": lambda run, value: value is False,
    "float": lambda run, value: type(value) is float,
    "ge": _at_least,
    "greaterthan": _greater,
    "gt": _greater,
    "in": lambda run, value, seq: _contains(run, seq, value),
    "integer": lambda run, value: type(value) is int,
    "iterable": lambda run, value: isinstance(value, (str, list, dict)),
    "le": _at_most,
    "lessthan": _less,
    "lower": lambda run, value: _text(run, value).islower(),
    "lt": _less,
    "mapping": lambda run, value: isinstance(value, dict),
    "ne": _not_equal,
    "none": lambda run, value: value is None,
    "number": lambda run, value: isinstance(value, (int, float)),
    "odd": lambda run, value: _as_number(value) % 2 == 1,
    "sequence": lambda run, value: isinstance(value, (str, list, dict)),
    "string": lambda run, value: isinstance(value, str),
    "true": lambda run, value: value is True,
    "undefined": lambda run, value: type(value) is _Absent,
    "upper": lambda run, value: _text(run, value).isupper(),
}
_OF_THE_ABSENT = frozenset(("default", "d", "defined", "undefined"))


# Operators


def _add(run: _Run, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        run.budget.work(len(left) + len(right))
        return str(left) + str(right)
    if isinstance(left, list) and isinstance(right, list):
        run.budget.work(len(left) + len(right))
        return left + right
    if type(left) in _NUMBERS and type(right) in _NUMBERS:
        return _number(left + right)
    raise TemplateError(f"`+` cannot add {_kind(left)} and {_kind(right)}; `~` joins any two to a string")


def _arithmetic(sign: str, compute: Callable[[Any, Any], Any]) -> Callable[[_Run, Any, Any], Any]:
    def computed(run: _Run, left: Any, right: Any) -> Any:
        if type(left) not in _NUMBERS or type(right) not in _NUMBERS:
            raise TemplateError(f"`{sign}` takes two numbers, not {_kind(left)} and {_kind(right)}")
        return _number(compute(left, right))

    return computed


_BINARY: dict[str, Callable[[_Run, Any, Any], Any]] = {
    "Add": _add,
    "Sub": _arithmetic("-", operator.sub),
    "Mul": _arithmetic("*", operator.mul),
    "Div": _arithmetic("/", operator.truediv),
    "FloorDiv": _arithmetic("//", operator.floordiv),
    "Mod": _arithmetic("%", operator.mod),
}
_COMPARE: dict[str, Callable[[_Run, Any, Any], bool]] = {
    "eq": _equal,
    "ne": _not_equal,
    "gt": _greater,
    "gteq": _at_least,
    "lt": _less,
    "lteq": _at_most,
    "in": lambda run, value, seq: _contains(run, seq, value),
    "notin": lambda run, value, seq: not _contains(run, seq, value),
}

# Jinja2's nodes for what has no place here, by the word that people write.
_REFUSED = {
    "AssignBlock": "a `set` block",
    "Block": "`block`",
    "CallBlock": "`call`",
    "Extends": "`extends`",
    "FilterBlock": "a `filter` block",
    "FromImport": "`from`",
    "Import": "`import`",
    "Include": "`include`",
    "Macro": "`macro`",
    "NSRef": "an assignment to a member",
    "Pow": "`**`",
    "Scope": "`autoescape`",
    "With": "`with`",
}
_STATEMENTS = ("if", "for", "set")


class _Loop(NamedTuple):
    """What the body of a `for` can say of its rounds."""

    items: list[Any]
    index0: int


_LOOP_MEMBERS: dict[str, Callable[[_Loop], Any]] = {
    "index": lambda loop: loop.index0 + 1,
    "index0": lambda loop: loop.index0,
    "first": lambda loop: loop.index0 == 0,
    "last": lambda loop: loop.index0 + 1 == len(loop.items),
    "length": lambda loop: len(loop.items),
    "revindex": lambda loop: len(loop.items) - loop.index0,
    "revindex0": lambda loop: len(loop.items) - loop.index0 - 1,
    "previtem": lambda loop: (
        loop.items[loop.index0 - 1] if loop.index0 else _Absent("`loop.previtem` of the first round")
    ),
    "nextitem": lambda loop: _found(
        loop.items, loop.index0 + 1, _Absent("`loop.nextitem` of the last round")
    ),
}


# Compiling


class _SpeaksOf:
    """What was met in the strings of one reply."""

    __slots__ = ("members", "parameters", "templates")

    def __init__(self) -> None:
        self.members: set[str] = set()
        self.parameters: set[str] = set()
        self.templates = 0


class _Program:
    """One string, compiled."""

    __slots__ = ("autoescape", "body", "lines", "measure", "slots", "value")

    def __init__(
        self,
        source: str,
        parameters: Collection[str] | None,
        speaks_of: _SpeaksOf,
        *,
        autoescape: bool,
        as_json: bool,
    ) -> None:
        self.autoescape = autoescape
        self.lines = source.count("\n") + 1
        # JSON escapes what it cannot write, and its last bytes are counted when all of the string is there.
        self.measure = len if as_json else _utf8_length
        self.slots: list[_Absent] = []
        self.value: _Code | None = None
        self.body: list[_Code] = []
        speaks_of.templates += 1
        compiler = _Compiler(self, parameters, speaks_of)
        try:
            nodes = _parse(source).body
            expression = _sole_expression(nodes) if as_json else None
            if expression is not None:
                self.value = compiler.needed(compiler.whole(expression))
            else:
                self.body = compiler.body(nodes)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def render(self, variables: Variables | None, budget: Budget) -> Any:
        """The value of a sole expression, or the text. Raises TemplateError, and nothing else."""
        run = _Run(self, variables, budget)
        try:
            if self.value is not None:
                return _copied(self.value(run), budget.output)
            for statement in self.body:
                statement(run)
            text = "".join(run.out)
            if self.measure is len:
                budget.output(len(_encode(text)) - len(text))
            return text
        except TemplateError as error:
            reason = str(error)
        except ZeroDivisionError:
            reason = "division by zero"
        except OverflowError:
            reason = "a number is too large"
        except RecursionError:
            reason = "values nested too deeply"
        except UnicodeEncodeError:
            reason = "half of a surrogate pair is no character, and cannot be sent"
        except (ArithmeticError, LookupError, TypeError, ValueError):
            reason = "a value cannot be used like this"
        raise TemplateError(f"line {run.line}: {reason}" if self.lines > 1 else reason)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _parse(source: str) -> Any:
    """Jinja2's tree. Raises ValueError for what is no template."""
    try:
        import jinja2
    except ImportError:
        raise ValueError("templates need Jinja2: pip install 'mockware[templates]'") from None
    # Jinja2 makes all ends of lines alike; a text that has CRLF keeps it.
    ends = "\r\n" if source.count("\r\n") == source.count("\n") > 0 else "\n"
    try:
        return _parser(ends).parse(source)
    except jinja2.TemplateSyntaxError as error:
        reason = " ".join((error.message or "bad syntax").split()).rstrip(".")
        if found := re.search(r"unknown tag '(\w+)'", reason):
            reason = f"`{found[1]}` is no statement{did_you_mean(found[1], _STATEMENTS)}"
        raise ValueError(f"line {error.lineno}: {reason}") from None
    except ValueError:  # an integer with more digits than Python reads
        raise ValueError("a number is too large") from None


@cache
def _parser(ends: Any) -> Any:
    from jinja2 import Environment

    # Nothing is rendered with it: what this escapes or does not is never asked.
    return Environment(keep_trailing_newline=True, newline_sequence=ends)  # noqa: S701


def _name(node: Any) -> str:
    return type(node).__name__


def _sole_expression(nodes: list[Any]) -> Any:
    """The expression that the whole of a template is, or None."""
    if len(nodes) == 1 and _name(nodes[0]) == "Output" and len(nodes[0].nodes) == 1:
        node = nodes[0].nodes[0]
        return None if _name(node) == "TemplateData" else node
    return None


class _Compiler:
    """Turns the nodes of one template into functions; a method for each kind of node that is allowed."""

    def __init__(self, program: _Program, parameters: Collection[str] | None, speaks_of: _SpeaksOf) -> None:
        self._speaks_of = speaks_of
        self._program = program
        self._parameters = parameters
        self._scopes: list[dict[str, int]] = [{}]
        self._depth = 0
        # Whether anything that was compiled depends on the request, on chance or on a name.
        self._varies = False

    def _fail(self, node: Any, reason: str) -> ValueError:
        return ValueError(f"line {node.lineno}: {reason}")

    def _visit(self, node: Any) -> _Code:
        visit = getattr(self, f"_on_{_name(node)}", None)
        if visit is None:
            what = _REFUSED.get(_name(node), f"`{_name(node)}`")
            raise self._fail(
                node,
                f"{what} is not allowed in a template; allowed: {', '.join(_STATEMENTS)} and expressions",
            )
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._fail(node, f"nested more than {MAX_NESTING} levels deep")
        code: _Code = visit(node)
        self._depth -= 1
        return code

    @staticmethod
    def needed(code: _Code) -> _Code:
        """The same, with an error in place of what is missing."""

        def value(run: _Run) -> Any:
            found = code(run)
            return _present(found) if type(found) is _Absent else found

        return value

    def _need(self, node: Any) -> _Code:
        code = self._visit(node)
        # These give a value or an error by themselves.
        return code if _name(node) in ("Const", "Compare", "Concat", *_BINARY) else self.needed(code)

    def whole(self, node: Any, *, soft: bool = False) -> _Code:
        """An expression as a statement has it. What is always the same is computed here, and fails here."""
        varied, self._varies = self._varies, False
        code = self._visit(node) if soft else self._need(node)
        varies, self._varies = self._varies, self._varies or varied
        if varies:
            return code
        run = _Run(self._program, None, Budget())
        try:
            value = code(run)
            if not soft:
                _present(value)
        except TemplateError as error:
            raise self._fail(node, str(error)) from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise self._fail(node, "a value cannot be used like this: " + quoted(str(error))) from None
        return lambda run: value

    # Statements

    def body(self, nodes: Iterable[Any]) -> list[_Code]:
        return [self._visit(node) for node in nodes]

    def _on_Output(self, node: Any) -> _Code:  # noqa: N802 - named by the node
        parts = [
            self._data(part) if _name(part) == "TemplateData" else self._printed(part) for part in node.nodes
        ]
        if len(parts) == 1:
            return parts[0]

        def output(run: _Run) -> None:
            for part in parts:
                part(run)

        return output

    def _data(self, node: Any) -> _Code:
        text = node.data
        try:
            size = self._program.measure(text)
        except UnicodeEncodeError:
            raise self._fail(node, "half of a surrogate pair is no character, and cannot be sent") from None
        if size > MAX_OUTPUT_BYTES:
            raise self._fail(node, f"more than {MAX_OUTPUT_BYTES} bytes")

        def data(run: _Run) -> None:
            run.budget.output(size)
            run.out.append(text)

        return data

    def _printed(self, node: Any) -> _Code:
        code, line = self.whole(node), node.lineno
        measure, autoescape = self._program.measure, self._program.autoescape

        def printed(run: _Run) -> None:
            run.line = line
            value = code(run)
            text = value if type(value) is str else _text(run, value)
            if autoescape and type(text) is not _Escaped:
                text = _html(run, text)
            run.budget.output(measure(text))
            run.out.append(text)

        return printed

    def _on_If(self, node: Any) -> _Code:  # noqa: N802
        branches = [
            (self.whole(branch.test), branch.lineno, self.body(branch.body)) for branch in (node, *node.elif_)
        ]
        otherwise = self.body(node.else_)

        def choose(run: _Run) -> None:
            chosen = otherwise
            for test, line, statements in branches:
                run.line = line
                if test(run):
                    chosen = statements
                    break
            for statement in chosen:
                statement(run)

        return choose

    def _on_Assign(self, node: Any) -> _Code:  # noqa: N802
        # What is missing may be given a name, so that `default` can still be said of it.
        soft = _name(node.target) == "Name"
        code, line = self.whole(node.node, soft=soft), node.lineno
        store = self._target(node.target)

        def assign(run: _Run) -> None:
            run.line = line
            store(run, code(run))

        return assign

    def _target(self, node: Any) -> Callable[[_Run, Any], None]:
        """What puts a value where the name of `node` is looked for, or each item of a list to its name."""
        if _name(node) == "Name":
            slot = self._declare(node, node.name)

            def store(run: _Run, value: Any) -> None:
                run.slots[slot] = value

            return store
        if _name(node) != "Tuple" or any(_name(item) != "Name" for item in node.items):
            raise self._fail(node, "only a name, or names with commas between, can be given a value")
        slots = [self._declare(item, item.name) for item in node.items]

        def unpack(run: _Run, value: Any) -> None:
            if not isinstance(value, list) or len(value) != len(slots):
                raise TemplateError(
                    f"{_kind(value)} cannot be given to {len(slots)} names; expected so many items"
                )
            for slot, item in zip(slots, value, strict=True):
                run.slots[slot] = item

        return unpack

    def _declare(self, node: Any, name: str) -> int:
        if name in _RESERVED:
            raise self._fail(node, f"`{name}` cannot be given another meaning; choose another name")
        return self._slot(name)

    def _slot(self, name: str) -> int:
        scope = self._scopes[-1]
        if name not in scope:
            scope[name] = len(self._program.slots)
            self._program.slots.append(_Absent(f"`{name}`"))
        return scope[name]

    def _on_For(self, node: Any) -> _Code:  # noqa: N802
        if node.recursive:
            raise self._fail(node, "`recursive` is not allowed in a template")
        items_of, line = self.whole(node.iter), node.lineno
        self._scopes.append({})
        store = self._target(node.target)
        test = node.test and self._need(node.test)
        loop = self._slot("loop")
        body = self.body(node.body)
        own = list(self._scopes.pop().values())
        self._scopes.append({})
        otherwise = self.body(node.else_)
        others = list(self._scopes.pop().values())
        unset = self._program.slots

        def rounds(run: _Run) -> None:
            run.line = line
            items = items_of(run)
            if not isinstance(items, (list, dict, str)):
                raise TemplateError(f"{_kind(items)} has no items; expected a list")
            if test:
                items = _kept(run, items)
            elif type(items) is not list:
                items = _items(run, items)
            slots, step = run.slots, run.budget.step
            for index, item in enumerate(items):
                step()
                for slot in own:
                    slots[slot] = unset[slot]
                store(run, item)
                slots[loop] = _Loop(items, index)
                for statement in body:
                    statement(run)
            if not items:
                for slot in others:
                    slots[slot] = unset[slot]
                for statement in otherwise:
                    statement(run)

        def _kept(run: _Run, items: Any) -> list[Any]:
            kept = []
            for item in items:
                run.budget.step()
                store(run, item)
                if test(run):
                    kept.append(item)
            return kept

        return rounds

    # Names and members

    def _on_Name(self, node: Any) -> _Code:  # noqa: N802
        self._varies = True
        name = node.name
        slots = [scope[name] for scope in reversed(self._scopes) if name in scope]
        if name == "request":
            raise self._fail(node, f"`request` by itself is no value{_members_of_the_request()}")
        if name == "loop":
            known = f"; allowed: {', '.join(_LOOP_MEMBERS)}"
            raise self._fail(
                node, f"`loop` by itself is no value{known}" if slots else "`loop` outside of a `for`"
            )
        if len(slots) == 1:
            (slot,) = slots
            return lambda run: run.slots[slot]
        if slots:
            return self._innermost(slots)
        if name == "now":
            return lambda run: run.variables.now
        if name == "uuid":
            return lambda run: run.variables.uuid
        if name == "random":
            return lambda run: run.variables.random
        known_names = [*_VARIABLES, *sorted({name for scope in self._scopes for name in scope} - {"loop"})]
        raise self._fail(node, f"`{name}` is no variable{did_you_mean(name, known_names)}")

    def _innermost(self, slots: list[int]) -> _Code:
        """A name that an inner loop may set, and else has the value that it has outside."""
        unset = self._program.slots

        def innermost(run: _Run) -> Any:
            for slot in slots:
                value = run.slots[slot]
                if value is not unset[slot]:
                    break
            return value

        return innermost

    def _on_Getattr(self, node: Any) -> _Code:  # noqa: N802
        return self._member(node, node.attr)

    def _on_Getitem(self, node: Any) -> _Code:  # noqa: N802
        if _name(node.arg) == "Slice":
            return self._slice(node)
        if _name(node.arg) == "Const" and isinstance(node.arg.value, str):
            return self._member(node, node.arg.value)
        if _request_member(node.node) == "headers":
            self._note("headers")
            field, absent = self._need(node.arg), _Absent(_spelled(node))
            return lambda run: _header(run, field(run), absent)
        base, key, absent = self._visit(node.node), self._need(node.arg), _Absent(_spelled(node))
        return lambda run: _found(base(run), key(run), absent)

    def _member(self, node: Any, name: str) -> _Code:
        absent = _Absent(_spelled(node))
        owner = node.node
        if _name(owner) == "Name" and owner.name == "request":
            return self._request(node, name, absent)
        if _name(owner) == "Name" and owner.name == "loop" and any("loop" in scope for scope in self._scopes):
            return self._loop(node, name)
        member = _request_member(owner)
        if member == "headers":
            self._note("headers")
            field = name.lower()
            return lambda run: _header(run, field, absent)
        if member == "path_params":
            self._speaks_of.parameters.add(name)
            if self._parameters is not None and name not in self._parameters:
                known = did_you_mean(name, self._parameters)
                raise self._fail(node, f"the path has no parameter {quoted(name)}{known}")
        base = self._visit(owner)

        def get(run: _Run) -> Any:
            value = base(run)
            if type(value) is dict:
                return value.get(name, absent)
            return value if type(value) is _Absent else absent

        return get

    def _note(self, member: str) -> None:
        self._varies = True
        self._speaks_of.members.add(member)

    def _request(self, node: Any, name: str, absent: _Absent) -> _Code:
        self._note(name)
        match name:
            case "headers":
                raise self._fail(
                    node, "`request.headers` takes the name of a field, as in request.headers.accept"
                )
            case "json":

                def body(run: _Run) -> Any:
                    value = run.variables.request.json
                    return absent if value is MISSING else value

                return body
            case "query":
                return lambda run: run.variables.query
            case "path_params":
                return lambda run: run.variables.path_params
            case "cookies":
                return lambda run: run.variables.cookies
            case "method":
                return lambda run: run.variables.request.method
            case "path":
                return lambda run: run.variables.request.path
        raise self._fail(node, f"`request` has no {quoted(name)}{_members_of_the_request(name)}")

    def _loop(self, node: Any, name: str) -> _Code:
        member = _LOOP_MEMBERS.get(name)
        if member is None:
            raise self._fail(node, f"`loop` has no {quoted(name)}{did_you_mean(name, _LOOP_MEMBERS)}")
        self._varies = True
        slot = next(scope["loop"] for scope in reversed(self._scopes) if "loop" in scope)
        return lambda run: member(run.slots[slot])

    def _slice(self, node: Any) -> _Code:
        base = self._need(node.node)
        edges = [
            None if edge is None else self._need(edge)
            for edge in (node.arg.start, node.arg.stop, node.arg.step)
        ]

        def cut(run: _Run) -> Any:
            value = _sequence(base(run))
            whole = slice(*(None if edge is None else edge(run) for edge in edges))
            run.budget.work(len(value))
            return value[whole]

        return cut

    # Values

    def _on_Const(self, node: Any) -> _Code:  # noqa: N802
        value = node.value
        if type(value) in _NUMBERS:
            try:
                _number(value)
            except TemplateError as error:
                raise self._fail(node, str(error)) from None
        return lambda run: value

    def _on_List(self, node: Any) -> _Code:  # noqa: N802
        items = [self._need(item) for item in node.items]
        return lambda run: [item(run) for item in items]

    _on_Tuple = _on_List  # noqa: N815 - JSON has no other lists

    def _on_Dict(self, node: Any) -> _Code:  # noqa: N802
        pairs = [(self._need(pair.key), self._need(pair.value)) for pair in node.items]

        def table(run: _Run) -> dict[str, Any]:
            found = {}
            for key_of, value_of in pairs:
                key = key_of(run)
                if not isinstance(key, str):
                    raise TemplateError(f"the key of an object is a string, not {_kind(key)}")
                found[str(key)] = value_of(run)
            return found

        return table

    def _on_Call(self, node: Any) -> _Code:  # noqa: N802
        called = node.node
        if _name(called) != "Name":
            name = called.attr if _name(called) == "Getattr" else ""
            hint = f"; write `| {name}`" if name in FILTERS else "; filters do what methods do elsewhere"
            raise self._fail(node, f"only `range` can be called, a value has no methods{hint}")
        if called.name != "range":
            raise self._fail(node, f"`{called.name}` is no function; allowed: range")
        if node.kwargs or node.dyn_args or node.dyn_kwargs or not 1 <= len(node.args) <= 3:
            raise self._fail(node, "`range` takes one, two or three whole numbers")
        edges = [self._need(edge) for edge in node.args]

        def numbers(run: _Run) -> list[int]:
            wanted = range(*(_whole(edge(run), "range") for edge in edges))
            if len(wanted) > MAX_STEPS:
                raise TemplateError(f"a `range` has {MAX_STEPS} numbers at most")
            run.budget.work(len(wanted))
            return list(wanted)

        return numbers

    # Operators

    def _binary(self, node: Any) -> _Code:
        compute, left, right = _BINARY[_name(node)], self._need(node.left), self._need(node.right)
        return lambda run: compute(run, left(run), right(run))

    _on_Add = _on_Sub = _on_Mul = _on_Div = _on_FloorDiv = _on_Mod = _binary  # noqa: N815

    def _on_Neg(self, node: Any) -> _Code:  # noqa: N802
        code = self._need(node.node)
        return lambda run: -_as_number(code(run))

    def _on_Pos(self, node: Any) -> _Code:  # noqa: N802
        code = self._need(node.node)
        return lambda run: _as_number(code(run))

    def _on_Not(self, node: Any) -> _Code:  # noqa: N802
        code = self._need(node.node)
        return lambda run: not code(run)

    def _on_And(self, node: Any) -> _Code:  # noqa: N802
        left, right = self._need(node.left), self._visit(node.right)
        return lambda run: left(run) and right(run)

    def _on_Or(self, node: Any) -> _Code:  # noqa: N802
        left, right = self._need(node.left), self._visit(node.right)
        return lambda run: left(run) or right(run)

    def _on_CondExpr(self, node: Any) -> _Code:  # noqa: N802
        test, yes = self._need(node.test), self._visit(node.expr1)
        if node.expr2 is None:
            absent = _Absent("the `else` of an `if` that is false")
            return lambda run: yes(run) if test(run) else absent
        no = self._visit(node.expr2)
        return lambda run: yes(run) if test(run) else no(run)

    def _on_Compare(self, node: Any) -> _Code:  # noqa: N802
        first = self._need(node.expr)
        others = [(_COMPARE[operand.op], self._need(operand.expr)) for operand in node.ops]

        def compare(run: _Run) -> bool:
            left = first(run)
            for test, code in others:
                right = code(run)
                if not test(run, left, right):
                    return False
                left = right
            return True

        return compare

    def _on_Concat(self, node: Any) -> _Code:  # noqa: N802
        parts = [self._need(part) for part in node.nodes]

        def concatenate(run: _Run) -> str:
            texts = [_text(run, part(run)) for part in parts]
            run.budget.work(sum(map(len, texts)))
            return "".join(texts)

        return concatenate

    def _on_Filter(self, node: Any) -> _Code:  # noqa: N802
        if node.name == "random":
            self._varies = True
        return self._applied(node, FILTERS, "filter")

    def _on_Test(self, node: Any) -> _Code:  # noqa: N802
        return self._applied(node, TESTS, "test")

    def _applied(self, node: Any, table: Mapping[str, Callable[..., Any]], what: str) -> _Code:
        if node.dyn_args or node.dyn_kwargs:
            raise self._fail(node, f"a {what}'s arguments are written out, without `*`")
        names = {argument.key for argument in node.kwargs}
        self._check_arguments(node, table, what, node.name, node.args, names)
        soft = node.name in _OF_THE_ABSENT
        function, compiled = table[node.name], self._visit if soft else self._need
        value = compiled(node.node)
        args = [compiled(argument) for argument in node.args]
        kwargs = {argument.key: compiled(argument.value) for argument in node.kwargs}
        if not args and not kwargs:
            return lambda run: function(run, value(run))
        return lambda run: function(
            run,
            value(run),
            *[argument(run) for argument in args],
            **{name: argument(run) for name, argument in kwargs.items()},
        )

    def _check_arguments(
        self,
        node: Any,
        table: Mapping[str, Callable[..., Any]],
        what: str,
        name: str,
        args: list[Any],
        names: set[str],
    ) -> None:
        """Raises ValueError where there is no such filter or test, or it takes no such arguments."""
        if name not in table:
            raise self._fail(node, f"`{name}` is no {what}{did_you_mean(name, table)}")
        inner, at = (FILTERS, _NAMES_A_FILTER.get(name)) if what == "filter" else (TESTS, None)
        if what == "filter" and at is None and name in _NAMES_A_TEST:
            inner, at = TESTS, _NAMES_A_TEST[name]
        if at is None:
            try:
                signature(table[name]).bind(None, None, *args, **dict.fromkeys(names))
            except TypeError:
                takes = ", ".join(list(signature(table[name]).parameters)[2:]) or "none"
                raise self._fail(node, f"wrong arguments for `{name}`; it takes: {takes}") from None
            return
        if len(args) > at:
            if _name(args[at]) != "Const" or not isinstance(args[at].value, str):
                raise self._fail(
                    node, f"`{name}` takes the name of a {_kind_of(inner)} as a string, written out"
                )
            if args[at].value == "random":
                self._varies = True
            self._check_arguments(node, inner, _kind_of(inner), args[at].value, args[at + 1 :], names)
        elif name == "map" and (names | {"default"}) != {"attribute", "default"}:
            raise self._fail(node, "`map` takes the name of a filter, or `attribute=` and a `default=`")
        elif name != "map" and (len(args) < at or names):
            raise self._fail(node, f"`{name}` takes {'an attribute, ' if at else ''}a test and its arguments")


def _kind_of(table: Mapping[str, Callable[..., Any]]) -> str:
    return "filter" if table is FILTERS else "test"


def _members_of_the_request(name: str = "") -> str:
    return did_you_mean(
        name, [f"request.{member}" for member in REQUEST_MEMBERS] if not name else REQUEST_MEMBERS
    )


def _request_member(node: Any) -> str | None:
    """Which member of `request` the node is."""
    if _name(node) == "Getattr":
        member = node.attr
    elif _name(node) == "Getitem" and _name(node.arg) == "Const":
        member = node.arg.value
    else:
        return None
    return member if _name(node.node) == "Name" and node.node.name == "request" else None


def _header(run: _Run, field: Any, absent: _Absent) -> Any:
    value = run.variables.request.header(field.lower()) if isinstance(field, str) else None
    return absent if value is None else value


def _spelled(node: Any) -> str:
    """How a template writes what may be missing, cut where it is long."""

    def spell(node: Any) -> str:
        match _name(node):
            case "Name":
                return str(node.name)
            case "Getattr":
                return f"{spell(node.node)}.{node.attr}"
            case "Getitem" if _name(node.arg) == "Const" and len(quoted(node.arg.value)) < MAX_QUOTED_CHARS:
                return f"{spell(node.node)}[{quoted(node.arg.value)}]"
            case "Getitem":
                return f"{spell(node.node)}[...]"
            case "Filter" if node.node is not None:
                return f"{spell(node.node)} | {node.name}"
        return "(...)"

    text = spell(node)
    return f"`{text}`" if len(text) <= 2 * MAX_QUOTED_CHARS else f"`...{text[-MAX_QUOTED_CHARS:]}`"


# What is compiled of a reply

_Build = Callable[[Variables, Budget], Any]


class Template:
    """A text or a JSON structure, compiled once and rendered for each request.

    `reads` are the members of `request` that it looks at, and `parameters` those of the path that it names.
    """

    __slots__ = ("_again", "_render", "parameters", "reads")

    def __init__(self, render: _Build, speaks_of: _SpeaksOf, again: tuple[Any, ...]) -> None:
        self._render = render
        self._again = again
        self.reads = frozenset(speaks_of.members)
        self.parameters = frozenset(speaks_of.parameters)

    @property
    def reads_body(self) -> bool:
        """Whether the request must have its body before this is rendered."""
        return "json" in self.reads

    def render(self, variables: Variables, budget: Budget) -> Any:
        """What it makes: a string of a text, and of JSON what `json.dumps` takes, which is not to be changed.

        The parts of one reply share their `variables` and their `budget`. Raises TemplateError.
        """
        return self._render(variables, budget)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again


def compile_text(
    source: str, parameters: Collection[str] | None = None, *, autoescape: bool = False
) -> Template:
    """The template of a text. `autoescape` is for HTML and XML: it escapes every value once.

    `parameters` are the names in the path's template; with None, any is taken. Raises ValueError with the
    line, what is wrong with it, and what is allowed.
    """
    speaks_of = _SpeaksOf()
    program = _Program(source, parameters, speaks_of, autoescape=autoescape, as_json=False)
    return Template(program.render, speaks_of, (_text_again, (source, parameters, autoescape)))


def _text_again(source: str, parameters: Collection[str] | None, autoescape: bool) -> Template:
    return compile_text(source, parameters, autoescape=autoescape)


def compile_json(value: Any, parameters: Collection[str] | None = None) -> Template:
    """The template of a JSON structure: each of its strings may be one, its keys are left alone.

    A string that is one expression and nothing else gives the value of that expression, a list or a number
    for example; any other gives a string. `parameters` and what is raised are those of `compile_text`.
    """
    speaks_of = _SpeaksOf()
    try:
        build = _structure(value, parameters, speaks_of, "", 0)
        size = len(_STATIC.encode(_without_templates(value))) - _HOLE_BYTES * speaks_of.templates
    except (TypeError, RecursionError) as error:
        raise ValueError(f"no JSON can be made of this: {error}") from None
    if size > MAX_OUTPUT_BYTES:
        raise ValueError(f"more than {MAX_OUTPUT_BYTES} bytes")

    def render(variables: Variables, budget: Budget) -> Any:
        budget.output(size)
        return value if build is None else build(variables, budget)

    return Template(render, speaks_of, (compile_json, (value, parameters)))


_STATIC = json.JSONEncoder(allow_nan=False)
_HOLE_BYTES = len(_STATIC.encode(None))


def _structure(
    value: Any, parameters: Collection[str] | None, speaks_of: _SpeaksOf, place: str, depth: int
) -> _Build | None:
    """What makes the structure; None where no template is in it, so that it is there already."""
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"JSON nested more than {MAX_JSON_DEPTH} levels deep")
    if isinstance(value, str) and is_template(value):
        try:
            return _Program(value, parameters, speaks_of, autoescape=False, as_json=True).render
        except ValueError as error:
            raise ValueError(f"at `{place.lstrip('.')}`: {error}" if place else str(error)) from None
    if isinstance(value, dict):
        made = {
            key: _structure(item, parameters, speaks_of, f"{place}.{key}", depth + 1)
            for key, item in value.items()
        }
        if any(made.values()):
            return lambda variables, budget: {
                key: value[key] if build is None else build(variables, budget) for key, build in made.items()
            }
    elif isinstance(value, list):
        parts = [
            (item, _structure(item, parameters, speaks_of, f"{place}[{i}]", depth + 1))
            for i, item in enumerate(value)
        ]
        if any(build for _, build in parts):
            return lambda variables, budget: [
                item if build is None else build(variables, budget) for item, build in parts
            ]
    return None


def _without_templates(value: Any) -> Any:
    """The structure with null in the place of each template."""
    if isinstance(value, dict):
        return {key: _without_templates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_templates(item) for item in value]
    return None if isinstance(value, str) and is_template(value) else value
