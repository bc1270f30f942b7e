"""What a template can do while it is rendered: Jinja2's sandbox, with the filters and tests of a list alone.

Law: no operation reaches an object's attributes or methods, sees a value of more than 1 MiB or makes one, and
each is paid for before it begins. What a template may say is `templates.py`'s to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any

from .exceptions import quoted
from .messages import MISSING, Request
from .template_values import (
    MAX_PRECISION,
    MAX_STEPS,
    PER_STEP,
    TemplateError,
    check_size,
    current_budget,
    plain,
    text_of,
)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LOOP_MEMBERS = words("index index0 first last length revindex revindex0 previtem nextitem")
_OF_TEXT = frozenset(words("capitalize e escape lower replace string title trim truncate upper"))
_OF_NUMBERS = frozenset(("abs", "divisibleby", "even", "odd", "round"))
_OF_THE_ABSENT = frozenset(("d", "default", "defined", "undefined"))
FILTERS = _OF_TEXT | frozenset(
    words(
        "abs count d default dictsort first float int items join last length list map max min random reverse "
        "round sort sum tojson unique urlencode"
    )
)
TESTS = frozenset(
    words(
        "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le "
        "lessthan lower lt mapping ne none number odd sequence string true undefined upper"
    )
)


def _found(value: Any, key: Any) -> Any:
    """The member of an object or the item of a list or string, and nothing else that Python would find."""
    current_budget.get().step()
    found: Any = MISSING
    if isinstance(value, Request) and isinstance(key, str):
        header = value.header(key.lower())
        found = MISSING if header is None else header
    elif isinstance(value, dict) and isinstance(key, str):
        found = value.get(key, MISSING)
    elif isinstance(value, (list, str)) and type(key) is int and -len(value) <= key < len(value):
        found = value[key]
    return found


class _Rounds(list[Any]):
    """What a loop goes through; each round is paid for when it begins."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            current_budget.get().step()
            yield item


@cache
def environment(autoescape: bool, newline: Any) -> Any:
    """Jinja2's sandbox with the filters and tests of the lists, and without any object's attributes.

    The filters whose names begin with % are those that the compiler puts in the place of Jinja2's nodes.
    """
    from jinja2 import StrictUndefined, Undefined, pass_context, pass_eval_context
    from jinja2.filters import make_attrgetter, sync_do_join
    from jinja2.runtime import LoopContext
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import htmlsafe_json_dumps

    def need(*values: Any) -> None:
        for value in values:
            if isinstance(value, Undefined):
                str(value)  # it says itself what is missing

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

        def getattr(self, obj: Any, attribute: str) -> Any:  # the attribute is written out
            if isinstance(obj, LoopContext):
                return getattr(obj, attribute) if attribute in LOOP_MEMBERS else StrictUndefined("no member")
            hint = f"{quoted(attribute)} is missing; `| default(...)` gives it a value"
            found = obj if isinstance(obj, Undefined) else _found(obj, attribute)
            return StrictUndefined(hint) if found is MISSING else found

        def getitem(self, obj: Any, argument: Any) -> Any:  # the argument may be a value of the request
            need(argument)
            found = obj if isinstance(obj, Undefined) else _found(obj, argument)
            return StrictUndefined("an item or an attribute is missing") if found is MISSING else found

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            need(left, right)
            kinds = {str if isinstance(side, str) else type(side) for side in (left, right)}
            if kinds <= {int, float} or (operator == "+" and kinds in ({str}, {list})):
                return plain(self.binop_table[operator](left, right), markup=autoescape)
            hint = ", two strings or two lists; `~` joins any two to a string" if operator == "+" else ""
            raise TemplateError(f"`{operator}` takes two numbers{hint}")

    def operation(name: str, call: Callable[..., Any], of_text: Collection[str] = ()) -> Any:
        """A filter or a test of Jinja2's, without what it could do too much of; paid for before and after."""

        @pass_context
        def perform(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            others = (*args, *kwargs.values())
            long = (len(each) for each in (value, *others) if isinstance(each, (str, list, dict)))
            current_budget.get().step(1 + sum(long) // PER_STEP)
            if name not in _OF_THE_ABSENT:
                need(value, *others)
            if name in _OF_NUMBERS and type(value) not in (int, float):
                raise TemplateError(f"`{name}` takes a number; `| int` and `| float` make one")
            if name == "round" and any(type(n) is int and abs(n) > MAX_PRECISION for n in others):
                raise TemplateError(f"`precision` is from -{MAX_PRECISION} to {MAX_PRECISION}")
            if name == "sum" and any(isinstance(start, (list, dict)) for start in others):
                raise TemplateError("`sum` adds numbers")
            if name == "unique":  # whoever chooses numbers with one hash has each compared with all
                current_budget.get().step(len(value) ** 2 // 1000)
            made = call(name, text_of(value) if name in of_text else value, args, kwargs, context)
            return made if isinstance(made, Undefined) else plain(made, markup=autoescape)

        return perform

    def replace(value: str, old: Any, new: Any, count: int | None = None) -> str:
        value, old, new = str(value), str(text_of(old)), str(text_of(new))
        check_size(len(value) + value.count(old) * len(new))
        return value.replace(old, new, -1 if count is None else count)

    @pass_eval_context
    def join(eval_ctx: Any, value: Any, d: Any = "", attribute: Any = None) -> str:
        texts = [text_of(item) for item in map(make_attrgetter(eval_ctx.environment, attribute), value)]
        check_size(sum(map(len, texts)) + len(text_of(d)) * len(texts))
        return sync_do_join(eval_ctx, texts, text_of(d))

    @pass_context
    def random(context: Any, value: Any) -> Any:
        found = _found(value, int(context["%chance"]() * len(value)))
        return StrictUndefined("No random item, sequence was empty.") if found is MISSING else found

    def rounds(value: Any) -> _Rounds:
        need(value)
        if not isinstance(value, (list, dict, str)):
            raise TemplateError("a loop needs a list, an object or a string")
        return _Rounds(value)

    def numbers(*edges: Any) -> Any:
        if len(range(*edges)) > MAX_STEPS:
            raise TemplateError(f"a `range` has {MAX_STEPS} numbers at most")
        return plain(list(range(*edges)))

    @pass_context  # which keeps Jinja2 from computing anything while it compiles
    def finalize(context: Any, value: Any) -> str:
        return text_of(value)

    options: dict[str, Any] = {"autoescape": autoescape, "finalize": finalize, "newline_sequence": newline}
    options |= {"keep_trailing_newline": True, "optimized": False, "undefined": StrictUndefined}
    original, closed = Sandbox(**options), Sandbox(**options)
    original.filters |= {"join": join, "random": random, "replace": replace, "string": str, "trim": str.strip}
    original.filters["tojson"] = lambda value: htmlsafe_json_dumps(plain(value))
    closed.globals.clear()
    closed.filters = {name: operation(name, original.call_filter, _OF_TEXT) for name in FILTERS}
    closed.tests = {name: operation(name, original.call_test) for name in TESTS}
    closed.filters |= {"%plain": lambda value: plain(value, markup=autoescape)}
    closed.filters |= {"%range": numbers, "%rounds": rounds}
    return closed
