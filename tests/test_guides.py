"""The guides are followed to the letter: every block of every page, in the order of the page.

A test follows a section, then asks what the section promises in words. What cannot be had where tests run, an
engine of containers, a cluster, systemd as process 1, has a stand-in that says in its first lines how near it
comes.
"""

import stat
from pathlib import Path

import httpx
import pytest
from tests.browser import installed
from tests.commands import free_port
from tests.guide_reader import GUIDES, Reader, blocks, is_shown, stand_in
from tests.toolchains import need


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


CATCH_ALL = """
[[rules]]
match = "/{rest:path}"
status = 500
"""


def test_a_sidecar_gets_its_rules_from_a_config_map_that_changes(tmp_path: Path) -> None:
    ports = {word: str(free_port()) for word in ("8000", "8080", "9000", "9001")}
    tools = {"kubectl": stand_in("kubectl")}
    with Reader("kubernetes.md", tmp_path, instead=ports, tools=tools) as reader:
        reader.at_the_end("kubectl delete deployment/shop")
        reader.follow("The pod")
        reader.follow("Start it")
        proxy = f"http://127.0.0.1:{ports['8080']}"
        before = reader.run("cat $STAND_IN_HOME/cluster/pids")
        reader.follow("Change a rule")
        assert reader.run("cat $STAND_IN_HOME/cluster/pids") == before, "an edit has restarted the pod"
        with (reader.folder / "mocks.toml").open("a") as rules:
            rules.write(CATCH_ALL)
        reader.run(f"kubectl apply -k . && until curl -s {proxy}/else | grep 500; do sleep 0.2; done")
        assert httpx.get(f"{proxy}/healthz").json() == {"status": "ok"}, "`never` does not keep the probe"
        (reader.folder / "mocks.toml").write_text("[[rule]]")
        log = tmp_path / "cluster/mocks.log"
        reader.run(f"kubectl apply -k . && until grep -q 'no such key' {log}; do sleep 0.2; done")
        assert httpx.get(f"{proxy}/else").status_code == 500
        reader.follow("Turn it off")
        assert httpx.get(f"{proxy}/__mockware__/").status_code == 404
        assert "mockware is off: MOCKWARE is off" in log.read_text()


def test_gunicorn_under_systemd_heeds_each_change_as_the_guide_says(tmp_path: Path) -> None:
    need("systemd-analyze", "systemd")
    port, root = str(free_port()), tmp_path / "root"
    folders = {folder: f"{root}{folder}" for folder in ("/etc/shop", "/etc/systemd", "/opt/shop", "/var/lib")}
    tools = {name: f"{stand_in('systemd')} {name}" for name in ("systemctl", "journalctl")} | {"sudo": ""}
    (root / "etc/systemd/system").mkdir(parents=True)
    with Reader("systemd.md", tmp_path, instead={"8000": port, **folders}, tools=tools) as reader:
        reader.at_the_end("systemctl stop shop")
        reader.follow("The unit")
        reader.follow("Install it")
        journal = tmp_path / "shop.journal"
        assert "mockware is off: MOCKWARE is not set" in journal.read_text()
        reader.follow("Turn it on, on staging")
        url = f"http://127.0.0.1:{port}"
        statuses = [httpx.post(f"{url}/orders").status_code for _ in range(8)]
        assert statuses == [503, 503, *[201] * 6]
        assert (root / "var/lib/shop/mocks.db").exists()
        reader.follow("What takes what")
        assert httpx.get(f"{url}/__mockware__/").status_code == 404


def test_a_front_ends_tests_see_its_outage_without_disturbing_anybody(tmp_path: Path) -> None:
    need("npm", "nodejs", "npm")
    installed()
    ports = {word: str(free_port()) for word in ("8000", "3000")}
    with Reader("front-end.md", tmp_path, instead=ports) as reader:
        reader.follow("The staging server")
        reader.follow("The tests")
        assert "by rule 'payments-down'" in reader.log()
        # The tests do see the difference: without the key, no mock comes, and both fail.
        failed = reader.run("! MOCK_TOKEN=forged CHROMIUM=$(command -v chromium) npx playwright test")
        assert "2 failed" in failed
        assert "1 passed" in failed
