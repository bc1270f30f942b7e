"""What both adapters are: one that lacks a part is none."""

from typing import Any

import pytest

from mockware.configuration import Configuration
from mockware.engine import Snapshot
from mockware.middleware import MockMiddleware


class Halved(MockMiddleware):
    """Takes any app, and no rules."""

    __slots__ = ()

    @staticmethod
    def _checked(app: Any) -> Any:
        return app


def test_an_adapter_that_takes_over_no_rules_cannot_be_made() -> None:
    with pytest.raises(TypeError, match=r"abstract method '?_adopt"):
        Halved.from_snapshot(object(), Snapshot(Configuration()))
