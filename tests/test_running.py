"""`run`: real apps that know nothing of mockware, served by granian, asked over real connections."""

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.commands import PATIENCE_S, Program, environ, free_port, run, serving

import mockware

ASGI = """\
import os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    text = f"{os.getpid()} TEXT".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
"""
WSGI = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from the WSGI app"]

def create_app():
    return application
"""
RULES = '[[rules]]\nmatch = "POST /reports"\n[[rules]]\nname = "gone"\nmatch = "/gone"\nstatus = 410\n'
CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text(ASGI)
    (tmp_path / "old.py").write_text(WSGI)
    (tmp_path / "mocks.toml").write_text(RULES)
    return tmp_path


def mocked(url: str) -> bool:
    response = httpx.post(f"{url}/reports")
    return (response.status_code, response.content) == (202, CANONICAL)


def test_an_asgi_app_gets_its_mocks_without_a_change(folder: Path) -> None:
    with serving("main:app", "--rules", "mocks.toml", cwd=folder) as (program, url):
        assert mocked(url)
        assert httpx.get(f"{url}/gone").headers["X-Mock-Rule"] == "gone"
        assert httpx.get(f"{url}/else").text.endswith("TEXT")
        assert httpx.get(f"{url}/else", headers={"X-Mock-Status": "503"}).status_code == 503
        program.wait_for(r"mockware is ON \(MOCKWARE=on\): 2 rules from .*/mocks.toml")
        program.wait_for("mocked 'GET' '/gone': 410 by rule 'gone'")
        assert program.interrupt() == 0


@pytest.mark.parametrize(
    "target", [["old:application"], ["old:create_app()"], ["old:create_app", "--factory"]], ids=" ".join
)
def test_a_wsgi_app_and_a_factory_get_theirs(target: list[str], folder: Path) -> None:
    with serving(*target, "--rules", "mocks.toml", cwd=folder) as (program, url):
        assert mocked(url)
        assert httpx.get(f"{url}/else").text == "from the WSGI app"
        assert program.interrupt() == 0


def test_a_legacy_asgi_2_app_is_served_with_mocks_and_without(folder: Path) -> None:
    (folder / "legacy.py").write_text(
        ASGI.replace("app(scope, receive, send)", "_app(scope, receive, send)")
        + "\nclass App:\n    def __init__(self, scope):\n        self.scope = scope\n"
        "    async def __call__(self, receive, send):\n        await _app(self.scope, receive, send)\n"
    )
    for toggle in ("on", "off"):
        with serving("legacy:App", "--rules=mocks.toml", cwd=folder, env=environ(MOCKWARE=toggle)) as (
            _,
            url,
        ):
            assert httpx.get(f"{url}/else").text.endswith("TEXT")
            assert mocked(url) is (toggle == "on")


@pytest.mark.parametrize("line", ["from main import app", "from old import application as app"])
def test_an_app_that_wraps_itself_is_not_wrapped_again(line: str, folder: Path) -> None:
    """With probability 0.5 twice, three in four requests would be mocked."""
    (folder / "wrapped.py").write_text(f"import mockware\n{line}\napp = mockware.wrap(app)\n")
    with serving("wrapped:app", "--rules", "mocks.toml", cwd=folder) as (program, url):
        assert mocked(url)
        assert program.text.count("mockware is ON") == 1


def test_every_worker_mocks(folder: Path) -> None:
    with serving("main:app", "--rules=mocks.toml", "--workers", "2", cwd=folder) as (program, url):
        program.wait_for("Started worker-1")
        program.wait_for("Started worker-2")
        seen: set[str] = set()
        for _ in range(400):  # the kernel deals out connections by their port
            assert mocked(url)
            seen.add(httpx.get(f"{url}/else").text)
            if len(seen) == 2:
                break
        assert len(seen) == 2
        assert program.interrupt() == 0


@pytest.mark.parametrize(
    ("workers", "env", "said"),
    [
        ("2", {}, "counts"),
        ("2", {"MOCKWARE_CONTROL": "/c", "MOCKWARE_KEY": "k"}, "counts and changes of the control page"),
        ("1", {}, ""),
        ("2", {"MOCKWARE_STORE": "sqlite:counts.db"}, ""),
    ],
)
def test_what_each_worker_would_have_to_itself_is_told_before_the_start(
    workers: str, env: dict[str, str], said: str, folder: Path
) -> None:
    rules = ("--rules", "counted.toml")
    (folder / "counted.toml").write_text('[[rules]]\nmatch = "/a"\ntimes = 1\n')
    with serving("main:app", *rules, "--workers", workers, cwd=folder, env=environ(**env)) as (program, _):
        program.wait_for("Started worker-1")
        line = f"warning: each of the 2 workers has its own {said}; name a store that they share"
        assert program.text.count(line) == bool(said)
        assert program.text.count("warning:") == bool(said)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


@pytest.mark.parametrize("target", ["main:app", "old:application"])
def test_granians_own_flags_serve_tls(target: str, folder: Path, certificate: tuple[Path, Path]) -> None:
    key, cert = certificate
    tls = ["--ssl-keyfile", str(key), "--ssl-certificate", str(cert)]
    with serving(target, "--rules", "mocks.toml", *tls, cwd=folder) as (_, url):
        trust = ssl.create_default_context(cafile=str(cert))
        with httpx.Client(verify=trust, http2=True) as client:
            response = client.post(f"{url}/reports")
            assert (response.status_code, response.content) == (202, CANONICAL)
            assert response.http_version == "HTTP/2"
            assert client.get(f"{url}/else").status_code == 200


def test_a_changed_app_and_changed_rules_are_reloaded_and_broken_ones_waited_out(folder: Path) -> None:
    app, rules = folder / "main.py", folder / "mocks.toml"
    with serving("main:app", "--rules", "mocks.toml", "--reload", cwd=folder) as (program, url):
        port = httpx.URL(url).port
        assert port is not None

        def change(file: Path, text: str, answer: str) -> None:
            """Replace the file until the watcher, which starts at a time of its own, has seen it."""
            mark = len(program.text)
            fresh = folder.with_name("fresh")  # so that one change is one event in the folder
            for _ in range(5):
                fresh.write_text(text)
                fresh.replace(file)
                try:
                    program.wait_for("Changes detected", since=mark, within_s=PATIENCE_S / 5)
                    break
                except AssertionError:
                    continue
            program.wait_for(answer, since=mark)

        assert httpx.get(f"{url}/else").text.endswith("TEXT")
        change(app, ASGI.replace("TEXT", "another text"), "Started worker")
        program.listens_on(port)
        assert httpx.get(f"{url}/else").text.endswith("another text")
        assert mocked(url)

        change(rules, '[[rules]]\nmatch = "POST /reports"\nstatsu = 1\n', "did you mean `status`")
        change(rules, '[[rules]]\nmatch = "POST /reports"\nstatus = 418\n', "Started worker")
        program.listens_on(port)
        assert httpx.post(f"{url}/reports").status_code == 418

        change(app, "async def app(:\n", "error: importing `main` failed: SyntaxError")
        assert "Traceback" not in program.text
        change(app, ASGI, "Started worker")
        program.listens_on(port)
        assert httpx.get(f"{url}/else").text.endswith("TEXT")
        assert program.interrupt() == 0


def test_files_of_the_environment_come_before_those_of_the_command_line(folder: Path) -> None:
    (folder / "first.toml").write_text('[[rules]]\nmatch = "/gone"\nstatus = 418\n')
    (folder / "third.toml").write_text('[[rules]]\nmatch = "/gone"\nstatus = 500\n')
    env = environ(MOCKWARE_FILE="first.toml")
    with serving("main:app", "--rules=mocks.toml", "--rules=third.toml", cwd=folder, env=env) as (
        program,
        url,
    ):
        assert httpx.get(f"{url}/gone").status_code == 418
        assert mocked(url)
        program.wait_for(r"4 rules from first.toml, \S+/mocks.toml, \S+/third.toml")


def test_mockware_selects_rules_here_as_elsewhere(folder: Path) -> None:
    env = environ(MOCKWARE="gone")
    with serving("main:app", "--rules=mocks.toml", cwd=folder, env=env) as (_, url):
        assert httpx.get(f"{url}/gone").status_code == 410
        assert not mocked(url)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"MOCKWARE": "off"}, "MOCKWARE is off"),
        (
            {"APP_ENV": "production"},
            "APP_ENV says 'production'; MOCKWARE_ALLOW_PRODUCTION=yes would allow it",
        ),
    ],
)
@pytest.mark.parametrize("target", ["main:app", "old:application"])
def test_where_mockware_is_off_the_app_is_served_and_that_is_said(
    variables: dict[str, str], why: str, target: str, folder: Path
) -> None:
    # A broken file is no matter while mockware is off.
    (folder / "mocks.toml").write_text("[[")
    with serving(target, "--rules=mocks.toml", cwd=folder, env=environ(**variables)) as (program, url):
        assert not mocked(url)
        assert f"mockware is off: {why}; {target} is served without mocks\n" in program.text


def test_a_variable_that_is_set_to_nothing_is_not_set(folder: Path) -> None:
    with serving("main:app", "--rules=mocks.toml", cwd=folder, env=environ(MOCKWARE="")) as (_, url):
        assert mocked(url)


def test_an_env_file_is_heeded(folder: Path) -> None:
    (folder / "staging.env").write_text("MOCKWARE=gone\nMOCKWARE_FILE=mocks.toml\n")
    (folder / "more.toml").write_text('[[rules]]\nname = "more"\nmatch = "/more"\n')
    arguments = ("--env-files", "staging.env", "--rules", "more.toml")
    with serving("main:app", *arguments, cwd=folder) as (program, url):
        assert httpx.get(f"{url}/gone").status_code == 410
        assert not mocked(url)
        program.wait_for(r"3 rules from mocks.toml, \S+/more.toml, 2 of them off")


def test_a_folder_that_is_a_package_itself_does_not_confuse_the_server(folder: Path) -> None:
    (folder / "__init__.py").write_text("")
    (folder / "mockware.py").write_text("raise RuntimeError('the wrong one')")
    port = free_port()
    code = "import sys; from mockware.cli import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, "run", "main:app", "--rules=mocks.toml", f"--port={port}"],
        cwd=folder,
        env=environ(),
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            for line in program.stdout:
                if "Started worker" in line:
                    break
            transport = httpx.HTTPTransport(retries=3)
            with httpx.Client(transport=transport) as client:
                assert client.post(f"http://127.0.0.1:{port}/reports").content == CANONICAL
        finally:
            program.terminate()


def test_the_apps_folder_may_be_elsewhere(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "main.py").rename(folder / "elsewhere" / "main.py")
    arguments = ("--working-dir", "elsewhere", "--rules", "mocks.toml")
    with serving("main:app", *arguments, cwd=folder) as (_, url):
        assert mocked(url)
        assert httpx.get(f"{url}/else").text.endswith("TEXT")


@pytest.mark.parametrize(
    ("interface", "line"),
    [
        pytest.param(
            "asgi",
            "from main import app as inner",
        ),
        ("wsgi", "from old import application as inner"),
    ],
)
def test_an_app_that_cannot_be_told_is_served_once_its_interface_is_named(
    interface: str, line: str, folder: Path
) -> None:
    (folder / "vague.py").write_text(f"{line}\ndef app(*args): return inner(*args)\n")
    with serving("vague:app", "--interface", interface, "--rules=mocks.toml", cwd=folder) as (_, url):
        assert mocked(url)
        assert httpx.get(f"{url}/else").status_code == 200


def test_an_app_that_has_its_own_logging_keeps_it(folder: Path) -> None:
    (folder / "logged.py").write_text(
        "import logging\nlogging.basicConfig(format='OWN %(message)s', level='INFO')\nfrom main import app\n"
    )
    with serving("logged:app", "--rules=mocks.toml", cwd=folder) as (program, url):
        assert mocked(url)
        program.wait_for("^OWN mocked 'POST' '/reports': 202")
        assert program.text.count("mocked 'POST'") == 1


HANGS = """\
import asyncio, threading
from main import app

async def main(scope, receive, send):
    if scope["type"] == "lifespan":
        await app(scope, receive, send)
    else:
        await asyncio.Event().wait()

def old(environ, start_response):
    threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("name", "reason"), [("main", "the server was shut down"), ("old", "the process ended")]
)
def test_what_an_app_was_at_when_it_was_stopped_is_told_of_as_failed(
    name: str, reason: str, folder: Path
) -> None:
    (folder / "hangs.py").write_text(HANGS)
    rules, store = folder / "mocks.toml", f"sqlite:{folder}/store"
    rules.write_text('[[rules]]\nmatch = "POST /reports"\n[rules.task]\nrun = "app"\n')
    with serving(f"hangs:{name}", "--rules", "mocks.toml", cwd=folder, env=environ(MOCKWARE_STORE=store)) as (
        program,
        url,
    ):
        accepted = httpx.post(f"{url}/reports")
        assert accepted.status_code == 202
        assert program.interrupt() == 0

    def nothing(environ: object, start_response: object) -> list[bytes]:
        raise AssertionError("the monitor is ours")

    wrapped: Any = mockware.wrap(nothing, rules=rules, store=store, enabled=True, environ={})
    with httpx.Client(transport=httpx.WSGITransport(wrapped), base_url=url) as client:
        told = client.get(accepted.headers["location"])
    assert told.status_code == 500
    assert reason in told.json()["message"]


def test_what_the_app_prints_on_import_confuses_nobody(folder: Path) -> None:
    (folder / "chatty.py").write_text(
        "import threading\nprint('{}')\nthreading.Thread(target=threading.Event().wait).start()\n"
        "from old import application\n"
    )
    with serving("chatty:application", "--rules=mocks.toml", cwd=folder) as (_, url):
        assert mocked(url)


def test_converters_that_the_app_registers_may_be_used_in_its_rules(folder: Path) -> None:
    (folder / "slugs.py").write_text(
        "from starlette.convertors import StringConvertor, register_url_convertor\n"
        "class Slug(StringConvertor):\n    regex = '[a-z-]+'\n"
        "register_url_convertor('slug', Slug())\nfrom main import app\n"
    )
    (folder / "mocks.toml").write_text('[[rules]]\nmatch = "/news/{title:slug}"\nstatus = 410\n')
    with serving("slugs:app", "--rules=mocks.toml", cwd=folder) as (_, url):
        assert httpx.get(f"{url}/news/a-b").status_code == 410
        assert httpx.get(f"{url}/news/7").status_code == 200
    for command in (["check"], ["explain", "/news/a-b", "--rules"]):
        refused = run(*command, "mocks.toml", cwd=folder)
        assert refused.returncode == 1
        assert "`slug` is no path converter" in refused.stderr
        assert run(*command, "mocks.toml", "--import", "slugs", cwd=folder).returncode == 0


# What goes wrong


def test_ctrl_c_while_the_app_is_imported_is_quiet(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "slow.py").write_text(
        "import threading\nopen('fifo', 'w').write('importing')\nthreading.Event().wait()\n"
    )
    with Program("run", "slow:app", cwd=folder) as program:
        assert (folder / "fifo").read_text() == "importing"
        assert program.interrupt() == 130
        assert program.text.strip() == ""


def test_every_problem_of_the_rules_is_said_before_anything_is_served(folder: Path) -> None:
    (folder / "mocks.toml").write_text('[[rules]]\nmatch = "POST /reports"\nstatsu = 503\nstatus = 99\n')
    done = run("run", "main:app", "--rules", "mocks.toml", "--rules", "missing.toml", cwd=folder)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert any("`statsu` = 503: no such key; did you mean `status`?" in line for line in lines)
    assert any("missing.toml: cannot be read: No such file or directory" in line for line in lines)


def test_an_unknown_word_in_mockware_stops_the_start(folder: Path) -> None:
    done = run("run", "main:app", "--rules=mocks.toml", cwd=folder, env=environ(MOCKWARE="gnoe"))
    assert done.returncode == 1
    assert "MOCKWARE: 'gnoe': no rule has this name or tag; did you mean `gone`?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'TARGET'"),
        (["main:app", "--prot", "1"], "No such option '--prot'"),
        (["main:app", "--port", "x"], "Invalid value for '--port'"),
        (["main:app", "--workers", "0"], "Invalid value for '--workers'"),
        (["main:app", "again:app"], "unexpected extra argument"),
        (["main:app", "--\x1b[2J"], "\\x1b[2J"),
        (["main.py:app"], "is a path; write the module's name, such as 'main:app'"),
        (["main:app", "--rules", f"a{os.pathsep}b"], "a path cannot have"),
    ],
)
def test_wrong_usage_is_told_in_granians_own_words(arguments: list[str], message: str, folder: Path) -> None:
    done = run("run", *arguments, cwd=folder)
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert hint == "Try: mockware run --help"


def test_an_address_that_cannot_be_listened_on_is_told_in_one_line(folder: Path) -> None:
    done = run("run", "main:app", "--host", "localhost", "--no-log", cwd=folder)
    assert (done.returncode, done.stderr) == (
        1,
        "error: the server does not start at localhost:8000: invalid IP address syntax\n",
    )
    done = run("run", "main:app", "--host", "192.0.2.1", "--no-log", cwd=folder)
    assert done.returncode == 1
    said = "error: the server does not start at 192.0.2.1:8000: this machine has no such address"
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    done = run("run", "main:app", "--port", "70000", "--no-log", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the server does not start at 127.0.0.1:70000: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_certificate_that_is_none_is_told_in_one_line(folder: Path) -> None:
    tls = ["--ssl-keyfile", "mocks.toml", "--ssl-certificate", "mocks.toml"]
    done = run("run", "main:app", "--no-log", *tls, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the server does not start at 127.0.0.1:8000: [SSL]")


@pytest.mark.parametrize(
    ("module", "arguments", "line"),
    [
        ("granian", ["main:app"], "pip install 'mockware[server]'"),
        ("granian", ["--help"], "pip install 'mockware[server]'"),
        ("watchfiles", ["main:app", "--reload"], "pip install 'granian[reload]'"),
    ],
)
def test_what_is_missing_is_named_with_the_line_that_installs_it(
    module: str, arguments: list[str], line: str, folder: Path
) -> None:
    code = (
        f"import sys; sys.modules['{module}'] = None; from mockware.cli import main; "
        f"sys.exit(main(['run', *{arguments!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(f"install it with: {line}\n")
    assert len(done.stderr.splitlines()) == 1


def test_the_help_has_our_options_and_granians(folder: Path) -> None:
    done = run("run", "--help", cwd=folder)
    assert done.returncode == 0
    for option in ("--rules", "--host", "--port", "--workers", "--reload", "--ssl-certificate", "--factory"):
        assert f"  {option} " in done.stdout
    assert "mockware run main:app --rules mocks.toml" in done.stdout
    assert "Exit codes: 0" in done.stdout


def test_granians_variables_work_as_well(folder: Path) -> None:
    port = free_port()
    env = environ(GRANIAN_PORT=str(port), GRANIAN_INTERFACE="rsgi")
    done = run("run", "main:app", cwd=folder, env=env)
    assert done.returncode == 2
    assert "'rsgi' is not one of" in done.stderr


def test_importing_mockware_imports_none_of_the_commands() -> None:
    code = (
        "import json, sys, mockware, mockware.config, mockware.engine, mockware.asgi, mockware.wsgi; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ(), capture_output=True, text=True, check=True
    )
    commands = (
        *("arguments", "cli", "demo", "explanation", "reference"),
        *("review", "running", "serving", "targets", "terminal"),
    )
    assert {f"mockware.{name}" for name in commands}.isdisjoint(json.loads(done.stdout))
    assert {"granian", "click", "argparse"}.isdisjoint(json.loads(done.stdout))
