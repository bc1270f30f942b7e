"""The house keeps its floors: a file imports from lower ones only, and opens with its law."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mockware

SOURCE = Path(mockware.__file__).parent

# The floor of every file. One that is new finds its place here: the lowest above all that it imports.
FLOORS = {
    # facts and values
    "captured": 0,
    "counters": 0,
    "django_client": 0,
    "durations": 0,
    "encodings": 0,
    "exceptions": 0,
    "interfaces": 0,
    "literals": 0,
    "messages": 0,
    "negotiation": 0,
    "nesting": 0,
    "sequences": 0,
    "statuses": 0,
    "tasks": 0,
    "terminal": 0,
    "webhooks": 0,
    # one thing each, of those values
    "addresses": 1,
    "bodies": 1,
    "callers": 1,
    "conditions": 1,
    "documents": 1,
    "logs": 1,
    "tokens": 1,
    "environment": 1,
    "pacing": 1,
    "origins": 1,
    "upstream": 1,
    "paths": 1,
    "questions": 1,
    "preferences": 1,
    "replies": 1,
    "task_ids": 1,
    "task_records": 1,
    "template_values": 1,
    "validation": 1,
    # what is declared and looked up
    "asgi_background": 2,
    "cors": 2,
    "crew": 2,
    "dialect": 2,
    "deliveries": 2,
    "handlers": 2,
    "index": 2,
    "upstream_failures": 2,
    "match": 2,
    "memory_store": 2,
    "owed": 2,
    "patches": 2,
    "redis_store": 2,
    "sqlite_store": 2,
    "posting": 2,
    "azure_dialect": 3,
    "google_dialect": 3,
    "jsonapi_dialect": 3,
    "odata_dialect": 3,
    "ogc_dialect": 3,
    "plain_dialect": 3,
    "asgi_patching": 3,
    "decisions": 3,
    "wsgi_patching": 3,
    "schemas": 3,
    "templates": 2,
    "telemetry": 2,
    "templated": 3,
    "triggers": 2,
    "waiting": 2,
    "lookout": 2,
    "wsgi_background": 2,
    # all of it together
    "answers": 4,
    "dialects": 4,
    "django_code": 4,
    "fastapi_code": 4,
    "flask_code": 4,
    "courier": 3,
    "forwarding": 3,
    "faults": 3,
    "aspnet_code": 3,
    "express_code": 3,
    "go_code": 3,
    "python_code": 3,
    "rails_code": 3,
    "spring_code": 3,
    "reference": 3,
    "fallback": 3,
    "reference_page": 4,
    "control_page": 5,
    "reference_document": 4,
    "stores": 4,
    "task_table": 5,
    "rules": 6,
    "settings": 5,
    "rules_files": 7,
    "configuration": 7,
    "config": 8,
    "task_answers": 7,
    "task_hooks": 8,
    "task_lists": 8,
    "task_rules": 9,
    "task_endpoints": 10,
    "engine": 11,
    "journal": 4,
    "control_guard": 1,
    "changes": 8,
    "rule_documents": 8,
    "control_document": 9,
    "control_messages": 9,
    "runtime_rules": 9,
    "review": 10,
    "explanation": 12,
    "control_views": 10,
    "control_changes": 11,
    "control_journal": 11,
    "control_explain": 13,
    "control_api": 14,
    "installation": 15,
    "connections": 12,
    "exchange": 13,
    "relay": 13,
    "snippets": 12,
    "watching": 12,
    # the adapters, and the face
    "asgi": 16,
    "wsgi": 16,
    "proxy": 16,
    "standalone": 17,
    "testing": 17,
    "__init__": 17,
    # the commands
    "arguments": 18,
    "cli": 18,
    "code_commands": 18,
    "demo": 18,
    "hosting": 18,
    "proxying": 18,
    "pytest_plugin": 18,
    "running": 18,
    "served": 18,
    "serving": 18,
    "targets": 18,
    "token_command": 18,
    "workers": 18,
    "__main__": 19,
}

UNKNOWN = 99  # a file that has no floor yet: every import of it goes upward
COMMANDS = 18  # the one floor whose files may import each other

FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "types", "constants"}

FILES = sorted(SOURCE.rglob("*.py"))


def parametrized(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.relative_to(SOURCE).as_posix())


each_file = parametrized(FILES)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def is_for_type_checkers(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:`, whose imports never run."""
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def nodes_that_run(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those behind `if TYPE_CHECKING:`; imports inside of functions count."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and is_for_type_checkers(child):
            for statement in child.orelse:
                yield from nodes_that_run(statement)
        else:
            yield from nodes_that_run(child)


def modules_of(node: ast.AST) -> Iterator[str]:
    """The files of this package that an import statement names; `__init__` for the package itself."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            package, _, module = alias.name.partition(".")
            if package == "mockware":
                yield module or "__init__"
    elif isinstance(node, ast.ImportFrom):
        if node.level == 0:
            package, _, module = (node.module or "").partition(".")
            if package != "mockware":
                return
        else:
            module = node.module or ""
        if module:
            yield module
            return
        for alias in node.names:
            yield alias.name if (SOURCE / f"{alias.name}.py").exists() else "__init__"


def imports_of(path: Path) -> set[str]:
    return {module for node in nodes_that_run(tree_of(path)) for module in modules_of(node)}


def test_there_are_files_to_look_at() -> None:
    assert {"asgi", "engine", "rules"} <= {path.stem for path in FILES}


def test_the_package_is_flat_and_every_file_has_its_floor() -> None:
    assert [path for path in FILES if path.parent != SOURCE] == []
    assert [path.stem for path in FILES if path.stem not in FLOORS] == []


def test_every_floor_has_its_files() -> None:
    assert sorted(FLOORS.keys() - {path.stem for path in FILES}) == []


@parametrized([path for path in FILES if path.stem in FLOORS])
def test_a_file_imports_from_lower_floors_only(path: Path) -> None:
    floor = FLOORS[path.stem]
    imported = {module: FLOORS.get(module, UNKNOWN) for module in imports_of(path)}
    highest = floor if floor == COMMANDS else floor - 1
    assert {module: at for module, at in imported.items() if at > highest} == {}, f"it is on floor {floor}"


def test_the_commands_do_not_import_each_other_in_a_circle() -> None:
    commands = {name for name, floor in FLOORS.items() if floor == COMMANDS}
    imported = {path.stem: imports_of(path) & commands for path in FILES}
    done: set[str] = set()
    while ready := {name for name, modules in imported.items() if name not in done and modules <= done}:
        done |= ready
    assert sorted(imported.keys() - done) == []


# Above the eleventh, files are grouped by what they are: the adapters, the face, the commands.
@parametrized([path for path in FILES if FLOORS.get(path.stem, UNKNOWN) < 12])
def test_a_file_stands_on_the_lowest_floor_that_it_can(path: Path) -> None:
    below = [FLOORS[module] for module in imports_of(path)]
    assert FLOORS[path.stem] == (max(below) + 1 if below else 0)


@each_file
def test_no_file_has_a_name_that_says_nothing(path: Path) -> None:
    assert not set(path.relative_to(SOURCE).with_suffix("").parts) & FORBIDDEN_NAMES


@each_file
def test_a_file_opens_with_a_docstring(path: Path) -> None:
    assert (ast.get_docstring(tree_of(path)) or "").strip()


@each_file
def test_nothing_is_checked_by_assert_which_vanishes_under_o(path: Path) -> None:
    assert [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)] == []


# What the core may not do: floors 0 to 11 take values and return values.

NOT_IN_THE_CORE = {"asyncio", "socket", "subprocess", "threading", "anyio", "asgiref", "wsgiref"}
# What the adapters share, and what a store is made of.
HOLDS_OR_WAITS = {
    "asgi_background",
    "asgi_patching",
    "interfaces",
    "journal",
    "waiting",
    "bodies",
    "courier",
    "crew",
    "control_guard",
    "fallback",
    "faults",
    "memory_store",
    "posting",
    "redis_store",
    "sqlite_store",
    "lookout",
    "wsgi_background",
}


def outer_imports_of(path: Path) -> set[str]:
    found = set()
    for node in nodes_that_run(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


@parametrized(
    [path for path in FILES if FLOORS.get(path.stem, UNKNOWN) <= 11 and path.stem not in HOLDS_OR_WAITS]
)
def test_the_core_neither_waits_nor_knows_an_interface(path: Path) -> None:
    assert not outer_imports_of(path) & NOT_IN_THE_CORE


# The commands hand on the process's own environment, too.
@parametrized(
    [path for path in FILES if FLOORS.get(path.stem, UNKNOWN) < COMMANDS and path.stem != "environment"]
)
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"))
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert reads == []
