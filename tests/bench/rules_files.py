"""Writes rules files and wraps an app with them, as a user would.

Law: through the public `mockware.wrap` and a file on disk only; nothing here touches the inside.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mockware

NO_TRIGGERS = "[trigger]\nenabled = false\n"


def toml(matches: Iterable[str], extra: str = "") -> str:
    # A basic string of TOML is written as JSON writes one, for any text without DEL.
    return extra + "".join(f"[[rules]]\nmatch = {json.dumps(match)}\n" for match in matches)


def wrapped(app: Callable[..., Any], text: str) -> Callable[..., Any]:
    """`app` behind mockware with this rules file, all else at its defaults.

    The file is gone when it is served, and so is not watched: a thread that looks at it each second would
    count among the instructions of whatever request goes on meanwhile.
    """
    with (
        TemporaryDirectory() as folder,
        contextlib.redirect_stderr(io.StringIO()),  # the line at the start
        _without_opentelemetry(),
    ):
        path = Path(folder, "mocks.toml")
        path.write_text(text, "utf-8")
        return mockware.wrap(app, rules=path, environ={"MOCKWARE": "on", "MOCKWARE_WATCH": "off"})


@contextlib.contextmanager
def _without_opentelemetry() -> Iterator[None]:
    """As where its API is not installed: what it takes is its own, and FastAPI brings it along."""
    present: Any = sys.modules.get("opentelemetry")
    absent: Any = None
    sys.modules["opentelemetry"] = absent
    try:
        yield
    finally:
        del sys.modules["opentelemetry"]
        if present is not None:
            sys.modules["opentelemetry"] = present
