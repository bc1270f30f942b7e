"""From `module:app` to the app, and what is said where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import PATIENCE_S, SOURCE, environ, run

from mockware.cli import main
from mockware.targets import Target, parse_target

Captured = pytest.CaptureFixture[str]
APPS = """\
class Shop:
    async def app(self, scope, receive, send): ...
    def old_app(self, environ, start_response): ...

shop = Shop()
number = 5

def application(environ, start_response): ...
def create_app(): return application
def create_none(): return None
def create_late(): raise ValueError("no database\\n\\x1b[31m")
def anything(*args): ...
def legacy(scope): ...
"""


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("main:app", Target("main", "app")),
        ("main", Target("main", "app")),
        ("shop.wsgi:apps.main", Target("shop.wsgi", "apps.main")),
        ("main:create_app()", Target("main", "create_app", True)),
    ],
)
def test_a_target_is_parsed(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("main.py:app", "is a path; write the module's name, such as 'main:app'"),
        ("./src/shop/main.py", "such as 'src.shop.main:app'"),
        ("shop\\main.py:a", "such as 'shop.main:a'"),
        ("main:", "is not of the form `module:app`"),
        (":app", "is not of the form"),
        ("main:app()()", "is not of the form"),
        ("main:create_app(1)", "is not of the form"),
        ("main:app:app", "is not of the form"),
        ("", "is not of the form"),
        ("a b:c", "is not of the form"),
        ("main:\x1b[2J", r"'main:\x1b[2J' is not of the form"),
    ],
)
def test_what_is_no_target_is_told_the_form(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="is ") as caught:
        parse_target(text)
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    (folder / "apps.py").write_text(APPS)
    (folder / "lacking.py").write_text("print('starting')\nimport no_such_library\n")
    (folder / "broken.py").write_text("def app(:\n")
    (folder / "leaving.py").write_text("import sys\nsys.exit(3)\n")
    (folder / "dying.py").write_text("import os\nprint('last words', flush=True)\nos._exit(7)\n")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "web.py").write_text("from .missing import x\n")
    return folder


@pytest.fixture
def folder(apps: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(apps)
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    for name in [name for name in os.environ if name.startswith(("MOCKWARE", "GRANIAN"))]:
        monkeypatch.delenv(name)
    return apps


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("aps:application", "no module `aps` in {folder}; did you mean `apps`? Allowed: apps, broken,"),
        ("package.wep:app", "no module `package.wep` in {folder}/package; did you mean `web`? Allowed: web"),
        ("none.at.all:app", "no module `none` in {folder}; allowed: apps,"),
        ("apps.application", "`apps` is a module and no package, so there is no `apps.application` in it;"),
        ("apps.application", "; write `apps:application`"),
        (
            "apps:aplication",
            "`apps` has no 'aplication'; did you mean `application`? Allowed: Shop, anything,",
        ),
        ("apps", "`apps` has no 'app'"),
        ("apps:shop.old", "has no 'old'; did you mean `old_app`? Allowed: app, old_app"),
        ("apps:number", "apps:number: an instance of int is no ASGI or WSGI app: it cannot be called"),
        ("apps:shop", "apps:shop: an instance of Shop is no ASGI or WSGI app"),
        ("apps:create_app", "name it with --interface; if it makes the app, add --factory"),
        ("apps:anything", "it cannot be told whether it speaks ASGI or WSGI; name it with --interface"),
        ("apps:number()", "apps:number is no factory: it cannot be called"),
        (
            "apps:create_none()",
            "what the factory apps:create_none returned is no app: an instance of NoneType",
        ),
        (
            "apps:create_late()",
            "calling the factory apps:create_late failed: ValueError: no database\\n\\x1b[31m",
        ),
        (
            "apps:application()",
            "calling the factory apps:application failed: TypeError: application() missing",
        ),
        ("lacking:app", "importing `lacking` failed: ModuleNotFoundError: No module named 'no_such_library'"),
        (
            "package.web:app",
            "importing `package.web` failed: ModuleNotFoundError: No module named 'package.missing'",
        ),
        ("broken:app", "importing `broken` failed: SyntaxError: "),
        ("leaving:app", "importing `leaving` failed: SystemExit: 3"),
        ("dying:app", "importing dying:app ended the process: code 7"),
    ],
)
def test_a_target_that_cannot_be_served_is_explained_in_one_line(
    target: str, message: str, folder: Path, capsys: Captured
) -> None:
    assert main(["run", target]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message.format(folder=folder) in last


def test_the_apps_own_exception_is_shown_from_the_apps_own_code_on(folder: Path, capsys: Captured) -> None:
    main(["run", "lacking:app"])
    assert capsys.readouterr().err.splitlines()[:3] == [
        "Traceback (most recent call last):",
        f'  File "{folder}/lacking.py", line 2, in <module>',
        "    import no_such_library",
    ]
    main(["run", "broken:app"])
    assert capsys.readouterr().err.splitlines()[0] == f'  File "{folder}/broken.py", line 1'
    main(["run", "apps:create_late()"])
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "mockware/" not in err
    main(["run", "dying:app"])
    assert capsys.readouterr().err.startswith("last words\n")


@pytest.mark.parametrize(
    "target", ["aps:application", "apps:aplication", "apps:number", "apps.application", "apps:create_app"]
)
def test_a_mistake_in_the_target_needs_no_traceback(target: str, folder: Path, capsys: Captured) -> None:
    main(["run", target])
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("interface", "target", "code", "message"),
    [
        ("asgi", "apps:application", 1, "error: --interface asgi: apps:application speaks WSGI\n"),
        ("asginl", "apps:application", 1, "error: --interface asginl: apps:application speaks WSGI\n"),
        ("wsgi", "apps:shop.app", 1, "error: --interface wsgi: apps:shop.app speaks ASGI\n"),
        ("rsgi", "apps:application", 2, "'rsgi' is not one of 'asgi', 'asginl', 'wsgi'"),
    ],
)
def test_an_interface_that_is_named_may_not_contradict_the_app(
    interface: str, target: str, code: int, message: str, folder: Path, capsys: Captured
) -> None:
    assert main(["run", target, "--interface", interface]) == code
    assert message in capsys.readouterr().err


def test_a_module_of_the_working_directory_comes_before_any_other(tmp_path: Path) -> None:
    (tmp_path / "flask.py").write_text("def ap(environ, start_response): ...\n")
    done = run("run", "flask:app", cwd=tmp_path)
    assert "`flask` has no 'app'; did you mean `ap`?" in done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text("")
    done = run("run", "mine:app", "--working-dir", "elsewhere", cwd=tmp_path)
    assert "`mine` has no 'app'" in done.stderr


def test_the_app_is_not_imported_by_the_process_that_looks_on(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("raise SystemExit\n")
    code = (
        "import sys; from mockware.cli import main; code = main(['run', 'app:app']); "
        "assert 'app' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "importing `app` failed: SystemExit" in done.stderr
