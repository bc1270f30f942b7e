"""What stands in the place of a middleware that cannot be made where nobody would hear of it.

Law: whoever makes a middleware is told by the exception. Starlette makes those of `add_middleware` when the
first event comes, which is the lifespan's start: there an exception means to a server that the app has no
lifespan (ASGI lifespan specification), and it would go on to answer 500 to everything. The same
specification has a word for a start that fails.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

Event = MutableMapping[str, Any]

# Starlette's, and so FastAPI's; whoever renames it gets the exception, as everybody else.
_LATE_BUILDER = "build_middleware_stack"


def is_made_late() -> bool:
    """Whether the caller's caller makes a middleware only when the lifespan or a request is there."""
    # Two frames up: that of the middleware's `__new__`, which asks, and that of who calls the class.
    return sys._getframe(2).f_code.co_name == _LATE_BUILDER


class RefusedStart:
    """An ASGI app whose start fails with this error, and each request where a server has no lifespan."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(
        self,
        scope: Event,
        receive: Callable[[], Awaitable[Event]],
        send: Callable[[Event], Awaitable[None]],
    ) -> NoReturn:
        if scope["type"] == "lifespan":
            await receive()
            message = f"mockware cannot start:\n{self._error}"
            await send({"type": "lifespan.startup.failed", "message": message})
        # Anew, since each raising would add to the stack of the last one.
        raise self._error.with_traceback(None)
