"""The house keeps its floors: a file imports from lower ones only, and opens with its law."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mockware

SOURCE = Path(mockware.__file__).parent

# The house from the ground up. A file imports from lower floors only, and stands on the lowest that it can.
HOUSE = """
 0  captured counters django_client durations encodings exceptions interfaces literals messages
    negotiation nesting redis_clients refused_start sequences statuses tasks terminal webhooks
 1  addresses asgi_requests bodies callers conditions documents environment logs origins pacing paths
    preferences questions replies task_ids task_records template_values tokens upstream validation
    wsgi_requests
 2  asgi_background attempts cors crew deliveries dialect handlers index lookout match memory_store owed
    patches posting redis_store sqlite_store telemetry template_sandbox upstream_failures waiting
    wsgi_background
 3  asgi_patching aspnet_code azure_dialect control_guard courier decisions express_code fallback faults
    forwarding go_code google_dialect jsonapi_dialect odata_dialect ogc_dialect plain_dialect
    python_code rails_code spring_code templates triggers wsgi_patching
 4  asgi_replies connections control_messages dialects django_code exchange fastapi_code flask_code
    journal reference relay schemas stores templated trigger_cookies wsgi_replies
 5  answers proxy reference_document reference_page
 6  control_page settings task_table
 7  rules
 8  configuration rules_files task_answers
 9  changes config rule_documents task_hooks task_lists
10  control_document runtime_rules task_rules
11  control_views review task_endpoints
12  compiled_rules control_changes control_cookies control_journal
13  engine
14  explanation snippets watching
15  control_explain control_statuses standalone
16  control_api
17  installation
18  middleware
19  asgi wsgi
20  __init__ testing
"""
# The commands stand above all of these, and may import each other.
COMMANDS = """
    arguments cli code_commands demo hosting proxying pytest_plugin running served serving targets
    token_command workers
"""

STOREYS = [line.split()[1:] for line in re.sub(r"\n   +", " ", HOUSE).strip().splitlines()]
FLOORS = {name: floor for floor, names in enumerate(STOREYS) for name in names}
TOP = len(STOREYS)
FLOORS |= dict.fromkeys(COMMANDS.split(), TOP) | {"__main__": TOP + 1}
UNKNOWN = 99  # a file that has no floor yet: every import of it goes upward

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
    highest = floor if floor == TOP else floor - 1
    assert {module: at for module, at in imported.items() if at > highest} == {}, f"it is on floor {floor}"


def test_the_commands_do_not_import_each_other_in_a_circle() -> None:
    commands = set(COMMANDS.split())
    imported = {path.stem: imports_of(path) & commands for path in FILES}
    done: set[str] = set()
    while ready := {name for name, modules in imported.items() if name not in done and modules <= done}:
        done |= ready
    assert sorted(imported.keys() - done) == []


@parametrized([path for path in FILES if FLOORS.get(path.stem, UNKNOWN) < TOP])
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


# What the core may not do: whatever is not above the engine takes values and returns values.

NOT_IN_THE_CORE = {"asyncio", "socket", "subprocess", "threading", "anyio", "asgiref", "wsgiref"}
# What the adapters share, what a store is made of, and the proxy.
HOLDS_OR_WAITS = """
    asgi_background asgi_patching bodies connections control_guard courier crew exchange fallback faults
    interfaces journal lookout memory_store posting proxy redis_store relay runtime_rules sqlite_store
    waiting wsgi_background
"""
CORE = [path for path in FILES if FLOORS.get(path.stem, UNKNOWN) <= FLOORS["engine"]]


def outer_imports_of(path: Path) -> set[str]:
    found = set()
    for node in nodes_that_run(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").partition(".")[0])
    return found


@parametrized([path for path in CORE if path.stem not in HOLDS_OR_WAITS.split()])
def test_the_core_neither_waits_nor_knows_an_interface(path: Path) -> None:
    assert not outer_imports_of(path) & NOT_IN_THE_CORE


# The commands hand on the process's own environment, too.
@parametrized([path for path in FILES if FLOORS.get(path.stem, UNKNOWN) < TOP and path.stem != "environment"])
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    reads = [
        node.lineno
        for node in ast.walk(tree_of(path))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"))
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert reads == []
