"""The guides are followed to the letter: every block of every page, in the order of the page.

A test follows a section, then asks what the section promises in words. What cannot be had where tests run, an
engine of containers, a cluster, systemd as process 1, has a stand-in that says in its first lines how near it
comes.
"""

import re
import stat
from pathlib import Path

import httpx
import pytest
from tests.browser import installed
from tests.commands import free_port
from tests.docker_stand_in import is_kept
from tests.guide_reader import GUIDES, ROOT, Reader, blocks, is_shown, stand_in
from tests.toolchains import need

NAMES = ("container", "kubernetes", "systemd", "frontend", "runbook")


def test_every_guide_is_followed_here_and_named_in_the_readme() -> None:
    assert {f"{name}.md" for name in NAMES} == {page.name for page in GUIDES.glob("*.md")}
    here = Path(__file__).read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in NAMES:
        assert f'Reader("{name}.md"' in here
        assert f"(examples/guides/{name}.md)" in readme


def test_the_readme_says_what_has_a_stand_in_here() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (told,) = re.findall("followed to the letter by a test(.*?)[.] The rest is real[.]", readme, re.DOTALL)
    assert "stand-ins" in told
    for program in (ROOT / "tests").glob("*_stand_in.py"):
        assert program.name.removesuffix("_stand_in.py") in told


@pytest.mark.parametrize("name", NAMES)
def test_a_guide_is_short_and_its_links_lead_somewhere(name: str) -> None:
    page = (GUIDES / f"{name}.md").read_text("utf-8")
    assert len(page.splitlines()) <= 130
    for link in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (GUIDES / link).exists(), link


@pytest.mark.parametrize(
    "page",
    [
        "```sh\nls\n```\n",
        "```\nls\n```\n",
        "```sh serve\nls\n```\n",
        "```sh runs\nls\n```\n",
        "text\n\n    ls\n",
        "- text\n  ```sh run\n  ls\n  ```\n",
        "```sh run\nls\n",
    ],
)
def test_a_block_that_nobody_would_follow_is_a_failure(page: str) -> None:
    with pytest.raises(AssertionError, match=r"nobody follows|a fence"):
        blocks(page)


def test_a_block_that_nobody_has_followed_is_a_failure(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="nobody has followed"),
        Reader("runbook.md", tmp_path, instead={}),
    ):
        pass


def test_what_is_shown_is_what_is_printed() -> None:
    printed = "HTTP/1.1 200 OK\r\nDate: now\r\n\r\nat 2026-11-26T15:51:07.265Z"
    assert is_shown("HTTP/1.1 200 OK\n...\nat 2025-01-01T00:00:00.000Z\n", printed)
    assert not is_shown("HTTP/1.1 200 OK\nat 2025-01-01T00:00:00.000Z\n", printed)
    assert not is_shown("HTTP/1.1 200 OK\n...\nat noon\n", printed)
    assert not is_shown("", printed)


def test_a_container_is_off_by_itself_and_changes_its_rules_without_a_restart(tmp_path: Path) -> None:
    port = str(free_port())
    tools = {"docker": stand_in("docker")}
    with Reader("container.md", tmp_path, instead={"8000": port}, tools=tools) as reader:
        url = f"http://127.0.0.1:{port}"
        reader.follow("Build it")
        reader.follow("Run it in production")
        assert "mockware is off: MOCKWARE is off" in reader.log()
        reader.follow("Run it on staging")
        ignored = (reader.folder / ".dockerignore").read_text().splitlines()
        assert not is_kept("staging.key", ignored)
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
    need("kubectl", "kubernetes-client")
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
        # It ends with 0 for a line that it does not know, too.
        verify = reader.ours("systemd-analyze verify /etc/systemd/system/shop.service 2>&1")
        assert reader.run(verify) == ""
        journal = tmp_path / "shop.journal"
        assert "mockware is off: MOCKWARE is not set" in journal.read_text()
        reader.follow("Turn it on, on staging")
        url = f"http://127.0.0.1:{port}"
        statuses = [httpx.post(f"{url}/orders").status_code for _ in range(8)]
        assert statuses == [503, 503, *[201] * 6]
        assert (root / "var/lib/shop/mocks.db").exists()
        reader.follow("What takes what")
        # It says that a reload keeps the variables: new code, and mockware is off as before.
        edits = reader.ours(
            "sed -i 's/=off/=on/' /etc/shop/mockware.env; sed -i 's/settled/refunded/' /opt/shop/main.py;"
            "systemctl reload shop"
        )
        reader.run(f"{edits}; until curl -s {url}/payments/7?demo=down | grep refunded; do sleep 0.2; done")
        assert httpx.get(f"{url}/__mockware__/").status_code == 404


def test_a_front_ends_tests_see_its_outage_without_disturbing_anybody(tmp_path: Path) -> None:
    need("npm", "nodejs", "npm")
    installed()
    ports = {word: str(free_port()) for word in ("8000", "3000")}
    with Reader("frontend.md", tmp_path, instead=ports) as reader:
        reader.follow("The staging server")
        reader.follow("The tests")
        assert "by rule 'payments-down'" in reader.log()
        # The tests do see the difference: without the key, no mock comes, and three fail.
        failed = reader.run("! MOCK_TOKEN=forged CHROMIUM=$(command -v chromium) npx playwright test")
        assert "3 failed" in failed
        assert "1 passed" in failed


def test_the_runbook_tells_a_mock_from_a_fault_and_ends_it(tmp_path: Path) -> None:
    need("jq", "jq")
    ports = {word: str(free_port()) for word in ("8000", "8001")}
    places = {"/srv": str(tmp_path / "clone/examples/guides/container")}
    with Reader("runbook.md", tmp_path, instead={**ports, **places}) as reader:
        reader.follow("")
        page = httpx.get(f"http://127.0.0.1:{ports['8000']}/__mockware__/")
        assert (page.status_code, page.headers["content-type"].partition(";")[0]) == (200, "text/html")
        for section in ("Is it a mock?", "Which rule, and why?", "How does it stop?"):
            reader.follow(section)
        assert "mocked 'GET' '/payments/7': 503 by rule 'payments-down'" in reader.log()
        assert "rule 'payments-down' switched off by 'ada'" in reader.log()
        assert "mockware is off: MOCKWARE is off" in reader.log()
