"""`serve`: mocks with no app behind them, and a page about each status.

Law: the arguments are read here; what is served is `standalone.py`'s.
"""

from __future__ import annotations

from typing import Any

from . import hosting
from .served import ServedReference


def command() -> Any:
    """Granian's command with its own options, and no APP. Raises ImportError without granian."""
    return hosting.command(
        "serve", _serve, params=[], help=HELP, epilog=EPILOG, without=("factory", "websockets")
    )


HELP = """Serve mocks alone, with no app behind them, and a reference of all statuses.

/status/202 answers with that status whatever the method, /status/200:0.9,503:0.1 with one of several; / and
/status-reference/202 say what each means, and how it is returned in eight frameworks. Rules come first.
MOCKWARE defaults to `on` here. The options behind --rules are granian's."""

EPILOG = """\b
Examples:
  mockware serve
  mockware serve --rules mocks.toml --port 9000
  curl -i http://127.0.0.1:8000/status/202

\b
Exit codes: 0 stopped by Ctrl-C, 1 it cannot be served, 2 wrong usage."""


def _serve(granian: Any, **options: Any) -> None:
    # Nobody is there to talk to: a handshake is a GET like any other, and costs the others nothing.
    hosting.host(granian, ServedReference(), websockets=False, **options)
