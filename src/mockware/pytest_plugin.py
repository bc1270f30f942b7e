"""The fixture `mocks`, for whoever has both pytest and mockware installed.

Law: pytest imports this file in every run, so that nothing but pytest is imported before a test asks for the
fixture. All that it does is `mockware.testing`; here it is only taken away in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Mocks


@pytest.fixture
def mocks() -> Iterator[Callable[..., Mocks[Any]]]:
    """`with mocks(app, rules) as m:` has mocks in front of `app`; see `mockware.testing.mocks`."""
    from . import testing

    # A `with` that never ends, as in a generator that nobody closes, is not to reach the next test.
    with ExitStack() as stack:

        @wraps(testing.mocks)
        def made(*arguments: Any, **options: Any) -> Mocks[Any]:
            found: Mocks[Any] = testing.mocks(*arguments, **options)
            stack.callback(found.close)
            return found

        yield made
