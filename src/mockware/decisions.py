"""What becomes of a request: a mock, the app, both, or a question that has to be answered first.

Law: values only. The engine decides, and an adapter does as it is told; neither knows how the other works.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from .captured import Captured
from .messages import Response
from .patches import Patch
from .questions import Question


class Passthrough(NamedTuple):
    """The request goes to the wrapped app, after `delay_s` seconds; its response starts `delay_after_s` late.

    `patch` is what becomes of that response; `rule` is the name of the rule that says so, empty where none
    does.
    """

    delay_s: float = 0.0
    delay_after_s: float = 0.0
    patch: Patch | None = None
    rule: str = ""


class Run(NamedTuple):
    """The client gets `response` at once, and the app the request behind its back, for `timeout_s` at most.

    When the app is done, `finish` is asked for what a store has to be told. `refuse` is asked where there is
    no more room.
    """

    response: Response
    refuse: Callable[[], Decision]
    timeout_s: float
    finish: Callable[[Captured], Decision]


class BodyNeeded(NamedTuple):
    """All but the body of candidate number `at` agreed: read the body, then ask again from there.

    `counted` are the candidates before it that answer first, as far as their counters let them.
    """

    at: int
    counted: tuple[Any, ...] = ()


PASSTHROUGH = Passthrough()


class StoreNeeded(NamedTuple):
    """What becomes of a request hangs on an answer: ask a store, then settle it, until it is decided."""

    question: Question
    settle: Callable[[Any], Decision]


Decision: TypeAlias = Response | Passthrough | Run | BodyNeeded | StoreNeeded
