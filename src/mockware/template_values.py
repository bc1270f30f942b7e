"""What a template works with: its variables, the values that it makes, and what all of that may cost.

Law: every value is what JSON can say, of at most 1 MiB; there is nothing in it to reach further from. What is
spent is spent by all templates of one reply together.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any
from uuid import UUID

from .exceptions import MockwareError
from .messages import MISSING, Request

# Of all parts of one reply together, and of any value on the way. As the longest body that is looked at.
MAX_OUTPUT_BYTES = 1 << 20
# Of all parts of one reply: operations, rounds of loops, and every 64 characters or items that go through an
# operation. A table of a thousand rows with ten columns; as many as Jinja2's sandbox allows in a `range`.
MAX_STEPS = 100_000
PER_STEP = 64
# What steps do not count is bounded by time, in seconds: the other requests wait meanwhile.
MAX_RENDER_S = 0.5
MAX_PRECISION = 15  # `round` beyond a float's digits changes nothing
MAX_JSON_DEPTH = 100  # far from the 1000 calls that Python allows, wherever in an app the reply is made


encode = json.JSONEncoder(ensure_ascii=False).encode


class TemplateError(MockwareError):
    """A template cannot be rendered for this request. The reason is one short line, without any value."""


class Budget:
    """What the templates of one reply may still use, all of them together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_s: float | None = None
        self._bytes = MAX_OUTPUT_BYTES
        self._steps = MAX_STEPS

    def output(self, size: int) -> None:
        """So many bytes more are to be sent."""
        self._bytes -= size
        if self._bytes < 0:
            raise TemplateError(f"it makes more than {MAX_OUTPUT_BYTES} bytes")

    def step(self, count: int = 1) -> None:
        """So much more is to be done."""
        self._steps -= count
        if self._steps < 0:
            raise TemplateError(f"it takes more than {MAX_STEPS} steps; loop less, or over less")
        now_s = self._clock()
        if self._ends_s is None:
            self._ends_s = now_s + MAX_RENDER_S
        if now_s > self._ends_s:
            raise TemplateError(f"it takes more than {MAX_RENDER_S} s")


# That of the template which is being rendered: not all of Jinja2's hooks are told of a context.
current_budget: ContextVar[Budget] = ContextVar("mockware.budget")


class Variables:
    """What the templates of one reply can say: each made when first asked for, the same at every mention."""

    # Of the outcome of a task: its id, and the variables of the request that was accepted.
    task_id = ""
    accepted: Variables | None = None

    def __init__(
        self, request: Request, path_params: Mapping[str, Any], now_s: float, chance: Callable[[], float]
    ) -> None:
        self._request = request
        self._path_params = path_params
        self._now_s = now_s
        self.chance = chance

    @cached_property
    def now(self) -> str:
        """The time in UTC, as RFC 3339 section 5.6 writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._now_s))

    @cached_property
    def uuid(self) -> str:
        """A random UUID (RFC 9562 section 5.4), of four numbers: a float has 53 random bits at most."""
        return str(UUID(int=sum(int(self.chance() * (1 << 32)) << 32 * i for i in range(4)), version=4))

    @cached_property
    def random(self) -> float:
        """A number from 0 below 1."""
        return self.chance()

    def of_request(self, name: str) -> Any:
        """What `request` has under one of `REQUEST_MEMBERS`, or `MISSING`."""
        match name:
            case "path_params":  # as far as JSON can say what the converters made; a UUID above all is text
                return {
                    name: value if value is None or type(value) in (str, int, float, bool) else str(value)
                    for name, value in self._path_params.items()
                }
            case "query":  # the last value of each name, as Starlette's `QueryParams` has it
                return {name: values[-1] for name, values in self._request.query.items()}
            case "headers":
                return self._request  # which is only ever asked for one of them
        value = getattr(self._request, name)
        return dict(value) if name == "cookies" else value

    def of_accepted(self, name: str) -> Any:
        """What the accepted request has under one of `REQUEST_MEMBERS`, or `MISSING` where it is lost."""
        return MISSING if self.accepted is None else self.accepted.of_request(name)


def variables_for(
    request: Request, path_params: Mapping[str, Any], *, now: float, chance: Callable[[], float]
) -> Variables:
    """The variables of one reply. `path_params` are as the path's converters made them.

    `now` is in seconds since the epoch; `chance` gives a number from 0 below 1. Where a template
    `reads_body`, `request.body` has to be there before it is rendered.
    """
    return Variables(request, path_params, now, chance)


# Values: None, bool, int, float, str, list and dict with strings for keys


def check_size(size: int) -> None:
    if size > MAX_OUTPUT_BYTES:
        raise TemplateError(f"a value is longer than {MAX_OUTPUT_BYTES} characters")


def copied(value: Any, *, markup: bool = False) -> tuple[Any, int]:
    """`value` as JSON with nothing shared, and how many characters that has at least.

    `markup` is whether a string may know that it is escaped. Raises TemplateError where it is no JSON or too
    much, and Jinja2's error where it is missing.
    """
    size = 0

    def copy(value: Any, depth: int) -> Any:
        nonlocal size
        size += len(value) + 2 if isinstance(value, str) else 1
        check_size(size)
        if depth > MAX_JSON_DEPTH:
            raise TemplateError(f"JSON nested more than {MAX_JSON_DEPTH} levels deep")
        match value:
            case str():
                return value if markup else str(value)
            case None | bool():
                return value
            case int() | float():
                if abs(value) <= sys.float_info.max:
                    return value
                raise TemplateError("a number is too large, or not finite")
            case list() | tuple() | Iterator():
                return [copy(item, depth + 1) for item in value]
            case dict():
                if not all(isinstance(key, str) for key in value):
                    raise TemplateError("the key of an object is a string")
                return {copy(key, depth): copy(item, depth + 1) for key, item in value.items()}
        str(value)  # what is missing says so
        raise TemplateError("JSON has no word for a value")

    return copy(value, 0), size


def plain(value: Any, *, markup: bool = False) -> Any:
    """What an operation made, as a value of the language. It is paid for."""
    value, size = copied(value, markup=markup)
    current_budget.get().step(1 + size // PER_STEP)
    return value


def text_of(value: Any) -> str:
    """The value as it stands in a text."""
    return value if isinstance(value, str) else encode(plain(value))
