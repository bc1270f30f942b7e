"""Runs of pytest as users of the package start them, with the plugin that comes with it."""

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.commands import environ

# A failure bound: a run imports pytest, a framework and all of mockware, on a machine that may be busy.
PATIENCE_S = 120.0
# Newer versions of Starlette would have their test client on top of another library than httpx.
WARNINGS = "filterwarnings=error\nignore:.*httpx2"


def run_tests(folder: Path, program: str, *arguments: str) -> str:
    """Runs a program of tests as its author would, and gives what pytest says."""
    (folder / "test_it.py").write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", WARNINGS, "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environ(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr
