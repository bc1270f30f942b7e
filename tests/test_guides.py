"""The guides are followed to the letter: every block of every page, in the order of the page.

A test follows a section, then asks what the section promises in words. What cannot be had where tests run, an
engine of containers, a cluster, systemd as process 1, has a stand-in that says in its first lines how near it
comes.
"""

import stat
from pathlib import Path

import httpx
import pytest
from tests.commands import free_port
from tests.guide_reader import GUIDES, Reader, blocks, is_shown, stand_in


def test_a_container_is_off_by_itself_and_changes_its_rules_without_a_restart(tmp_path: Path) -> None:
    port = str(free_port())
    tools = {"docker": stand_in("docker")}
    with Reader("container.md", tmp_path, instead={"8000": port}, tools=tools) as reader:
        url = f"http://127.0.0.1:{port}"
        reader.follow("Build it")
        reader.follow("Run it in production")
        assert "mockware is off: MOCKWARE is off" in reader.log()
        reader.follow("Run it on staging")
        assert stat.S_IMODE((reader.folder / "staging.key").stat().st_mode) == 0o600
        # Two workers, and a connection each: without a store it would be up to four.
        statuses = [httpx.post(f"{url}/orders").status_code for _ in range(8)]
        assert statuses == [503, 503, *[201] * 6]
        assert httpx.get(f"{url}/__mockware__/api/rules").status_code == 401
        reader.follow("Change a rule")
