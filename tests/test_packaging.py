"""What the package says of itself in several places is one thing, and its public names are what they say."""

import ast
import importlib
import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mockware

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
METADATA: dict[str, Any] = PROJECT["project"]

COSTLY = [
    "anyio",
    "asgiref",
    "granian",
    "httpx",
    "itsdangerous",
    "jinja2",
    "opentelemetry",
    "pydantic",
    "pydantic_core",
    "pytest",
    "redis",
    "starlette",
    "uvicorn",
    "yaml",
]


# The public names


@pytest.mark.parametrize("name", mockware.__all__)
def test_a_public_name_is_there_with_a_docstring_of_its_own(name: str) -> None:
    public = getattr(mockware, name)
    assert inspect.getdoc(public)
    if inspect.isclass(public):
        assert "__doc__" in vars(public)


@pytest.mark.parametrize(
    "name", [name for name in mockware.__all__ if inspect.isclass(getattr(mockware, name))]
)
def test_every_public_method_of_a_public_class_has_a_docstring(name: str) -> None:
    methods = [
        (attribute, value)
        for attribute, value in vars(getattr(mockware, name)).items()
        if not attribute.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    assert [attribute for attribute, value in methods if not inspect.getdoc(value)] == []


def test_the_public_names_are_those_of_the_design_in_order() -> None:
    assert list(mockware.__all__) == sorted(mockware.__all__)
    assert {"ASGIMockMiddleware", "ConfigError", "Rule", "WSGIMockMiddleware", "wrap"} <= set(
        mockware.__all__
    )


def test_a_star_import_brings_all_public_names_and_no_other() -> None:
    names: dict[str, object] = {}
    exec("from mockware import *", names)
    assert names.keys() - {"__builtins__"} == set(mockware.__all__)


def test_public_names_are_listed_and_unknown_ones_are_an_attribute_error() -> None:
    assert set(mockware.__all__) <= set(dir(mockware))
    with pytest.raises(AttributeError, match="'mockware' has no attribute 'Rules'"):
        _ = mockware.Rules


# What an import costs


def modules_after(code: str) -> set[str]:
    """The modules, by their first name, that a fresh interpreter has after running this."""
    code += "\nimport json, sys\nprint(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_mockware_brings_nothing_that_costs_and_nothing_optional() -> None:
    assert not modules_after("import mockware") & set(COSTLY)


def test_importing_a_rule_does_bring_what_validates_it() -> None:
    # So that the test above is known to look at the right thing.
    assert "pydantic" in modules_after("from mockware import Rule")


def test_what_reads_tokens_is_brought_by_a_key_alone() -> None:
    code = """if True:
        import mockware
        def app(environ, start_response): ...
        mockware.wrap(app, environ={"MOCKWARE": "on", "MOCKWARE_KEY": "key"})
    """
    assert "itsdangerous" in modules_after(code)
    assert "itsdangerous" not in modules_after(code.replace("MOCKWARE_KEY", "MOCKWARE_SERVICE"))


def test_using_mockware_brings_nothing_optional() -> None:
    code = """if True:
        import mockware
        async def app(scope, receive, send): ...
        def wsgi_app(environ, start_response): ...
        environ = {"MOCKWARE": "on", "MOCKWARE_RULES": "/a 202"}
        assert mockware.wrap(app, environ=environ) is not app
        assert mockware.wrap(wsgi_app, environ=environ) is not wsgi_app
    """
    optional = {"brotli", "granian", "httpx", "itsdangerous", "jinja2", "redis", "sqlite3", "uvicorn", "yaml"}
    assert not modules_after(code) & optional


def test_testing_brings_neither_pytest_nor_a_framework() -> None:
    assert not modules_after("import mockware.testing") & {"_pytest", "pytest", "django", "flask", "httpx"}


# One fact in several places


def test_the_version_is_the_same_everywhere() -> None:
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    released = [heading for heading in headings if heading != "Unreleased"]
    assert mockware.__version__ == METADATA["version"] == released[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+", mockware.__version__)


def test_the_version_that_is_installed_is_this_one() -> None:
    try:
        installed = importlib.metadata.version("mockware")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed here: the tests run on the source")
    assert installed == mockware.__version__


def test_the_classifiers_agree_with_the_pythons_that_are_required() -> None:
    prefix = "Programming Language :: Python :: 3."
    minors = [int(line.removeprefix(prefix)) for line in METADATA["classifiers"] if line.startswith(prefix)]
    lowest = re.fullmatch(r">=3\.(\d+)", METADATA["requires-python"])
    assert lowest is not None
    assert minors == list(range(int(lowest[1]), max(minors) + 1))


def test_the_tools_look_at_the_lowest_python_that_is_required() -> None:
    lowest = METADATA["requires-python"].removeprefix(">=")
    assert PROJECT["tool"]["mypy"]["python_version"] == lowest
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + lowest.replace(".", "")


def test_ci_runs_on_every_python_that_is_promised() -> None:
    run = (ROOT / ".ci/run").read_text("utf-8")
    prefix = "Programming Language :: Python :: 3."
    promised = {
        "3." + line.removeprefix(prefix) for line in METADATA["classifiers"] if line.startswith(prefix)
    }
    assert set(re.findall(r"\b3\.1[0-9]\b", run)) == promised


# Which distribution, or extra of one, brings a module that does not have its name.
BROUGHT_BY = {
    "click": "granian",
    "dotenv": "granian",
    "opentelemetry": "opentelemetry-api",
    "pydantic_core": "pydantic",
    "watchfiles": "granian",
    "yaml": "pyyaml",
}


def imported_by(path: Path) -> set[str]:
    """The other distributions that a file imports, at its top or inside of functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    outer = found - set(sys.stdlib_module_names) - {"mockware", "_typeshed"}
    return {BROUGHT_BY.get(name, name) for name in outer}


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[><=~!; ]", line)[0] for line in requirements}


# What a file that is there for a host imports of it: only the host imports that file.
HOSTS = {"pytest_plugin": {"pytest"}}


def test_what_the_source_imports_is_what_is_required_or_comes_with_an_extra() -> None:
    files = Path(mockware.__file__).parent.glob("*.py")
    imported = set().union(*(imported_by(path) - HOSTS.get(path.stem, set()) for path in files))
    required = names_of(METADATA["dependencies"])
    extras = METADATA["optional-dependencies"]
    assert required <= imported
    optional = set().union(*(names_of(extras[name]) for name in extras if name != "dev"))
    assert imported - required <= optional


def test_the_package_is_marked_as_typed() -> None:
    assert (Path(mockware.__file__).parent / "py.typed").exists()


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert METADATA["license"] == "MIT"
    assert "MIT" in (ROOT / "LICENSE").read_text("utf-8").splitlines()[0]


def test_the_plugin_is_there_for_pytest() -> None:
    (module,) = METADATA["entry-points"]["pytest11"].values()
    assert set(HOSTS) == {module.removeprefix("mockware.")}
    assert hasattr(importlib.import_module(module), "mocks")


def test_the_command_is_there() -> None:
    module, _, function = METADATA["scripts"]["mockware"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))
