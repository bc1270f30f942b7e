"""A real browser for the pages: Chromium as the system has it, driven by Playwright.

What belongs here: finding Chromium, or installing it where that can be done; starting it; axe's judgment.
What never does: expectations about a page of ours.
"""

import contextlib
import fcntl
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

# No sandbox, since containers run as root; and nothing that Chromium would say to anybody by itself.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_INSTALL_S = 600
_AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def installed() -> str:
    """The path of Chromium; where it is missing, Debian's is installed."""
    with (Path(tempfile.gettempdir()) / "mockware-tests-chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker may be installing it
        if _chromium() is None and shutil.which("apt-get"):
            for command in (("update",), ("install", "-y", "--no-install-recommends", "chromium")):
                subprocess.run(
                    ["apt-get", "-qq", *command],
                    check=True,
                    timeout=_INSTALL_S,
                    stdout=subprocess.DEVNULL,
                )
    path = _chromium()
    assert path, "Chromium is missing; install it, such as by: apt-get install chromium"
    return path


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed(), args=[*_FLAGS])
        try:
            yield started
        finally:
            started.close()


def judged_by_axe(page: Page) -> tuple[list[str], int]:
    """What axe finds wrong with a page, every rule of it asked, and how many rules it has passed."""
    # As the debugger's, not the page's: the page allows no script but its own.
    page.evaluate(f"() => {{ {_AXE} }}")
    found: dict[str, Any] = page.evaluate("() => axe.run()")
    wrong = [
        f"{rule['id']}: {json.dumps([node['html'] for node in rule['nodes']])[:500]}"
        for rule in found["violations"]
    ]
    return wrong, len(found["passes"])
