"""The templates of a reply: text and JSON with `{{ }}` and `{% %}`, in a closed part of Jinja2's language.

Law: data in, data out. Jinja2's sandbox renders, and every node of a template was looked at here when it was
compiled: what is on no list is refused. A template reaches values, never their attributes or methods, so
there is nothing to escape from; each value that it makes is JSON of at most 1 MiB, and no filter sees more.

Where the language differs from Jinja2's: a value in a text is written as JSON writes it (`true`, not `True`);
what is missing may be asked for members, and is an error only where it is used; arithmetic is for numbers,
and `+` also joins two strings or two lists.

Doubt: the clock is looked at between operations, and one of them on a value of 1 MiB can take 0.3 s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from functools import lru_cache, partial
from traceback import extract_tb
from typing import Any

from .exceptions import did_you_mean, quoted
from .template_sandbox import FILTERS, LOOP_MEMBERS, TESTS, environment, words
from .template_values import (
    MAX_OUTPUT_BYTES,
    Budget,
    TemplateError,
    Variables,
    copied,
    current_budget,
)

VARIABLES = ("request", "now", "uuid", "random")
# What the outcome of a task can say besides: `request` is the one that asks for it.
TASK_VARIABLES = ("accepted", "task_id")
REQUEST_MEMBERS = ("path_params", "query", "headers", "cookies", "json", "method", "path")
_MEMBERS = {"request": REQUEST_MEMBERS, "accepted": REQUEST_MEMBERS, "loop": LOOP_MEMBERS}
_STATEMENTS = ("if", "for", "set")
# Jinja2's nodes that are as safe as what is in them; what `_Compiler` does not know besides is refused.
_INNOCENT = frozenset(
    words(
        "Add And Compare CondExpr Div FloorDiv Getattr Getitem If Keyword Mod Mul Name Neg Not Operand Or "
        "Output Pair Pos Slice Sub TemplateData"
    )
)
# What authors call a node that is refused, where it is not the name of the node.
_REFUSED = {"AssignBlock": "set block", "CallBlock": "call", "FilterBlock": "filter block"}
_REFUSED |= {"For": "recursive", "FromImport": "from", "Pow": "**", "Scope": "autoescape"}


def is_template(text: str) -> bool:
    """Whether anything in `text` is for the template language to read."""
    return any(mark in text for mark in ("{{", "{%", "{#"))


# Compiling


def _name(node: Any) -> str:
    return type(node).__name__


def _member_of(node: Any) -> tuple[str, str]:
    """Of which variable the node is a member, and of which name."""
    is_member = _name(node) == "Getattr" and _name(node.node) == "Name"
    return (node.node.name, node.attr) if is_member else ("", "")


_Render = Callable[[Variables, Budget], Any]


class _Compiler:
    """Looks at every node of a reply's templates, and puts operations of ours where Jinja2 has no hook."""

    def __init__(self, path_names: Collection[str] | None, *, of_task: bool) -> None:
        self._path_names = path_names
        self._variables = (*VARIABLES, *TASK_VARIABLES) if of_task else VARIABLES
        self._names: dict[str, None] = {}  # in the order in which they are listed
        self.reads: set[str] = set()
        self.reads_accepted: set[str] = set()
        self.parameters: set[str] = set()
        self.accepted_parameters: set[str] = set()

    def _fail(self, node: Any, what: str, name: str = "", known: Collection[str] = ()) -> ValueError:
        return ValueError(f"line {node.lineno or 1}: {what}{did_you_mean(name, known) if known else ''}")

    def _operation(self, name: str, node: Any, value: Any, *args: Any) -> Any:
        return self._nodes.Filter(value, name, list(args), [], None, None, lineno=node.lineno)

    def _visit(self, node: Any) -> Any:
        """The node that takes the place of this one. Raises ValueError."""
        match name := _name(node):
            case "Name" if node.name not in self._names:
                raise self._fail(node, f"`{node.name}` is no variable", node.name, self._names)
            case "Name" if node.name in _MEMBERS:
                members = [f"{node.name}.{member}" for member in _MEMBERS[node.name]]
                raise self._fail(node, f"`{node.name}` by itself is no value", "", members)
            case "Getitem" if _name(node.arg) == "Const" and isinstance(node.arg.value, str):
                return self._visit(self._nodes.Getattr(node.node, node.arg.value, "load", lineno=node.lineno))
            case "Getattr":
                return self._member(node)
            case "Const":
                try:
                    copied(node.value)
                except TemplateError as error:
                    raise self._fail(node, str(error)) from None
                return node
            case "List" | "Tuple" | "Dict":
                return self._operation("%plain", node, self._inside(node))
            case "Concat":
                return self._operation("join", node, self._nodes.List(list(map(self._visit, node.nodes))))
            case "CondExpr" if node.expr2 is None:
                raise self._fail(node, "an `if` between values needs its `else`")
            case "Filter" | "Test":
                known = FILTERS if name == "Filter" else TESTS
                if node.name not in known:
                    raise self._fail(node, f"`{node.name}` is no {name.lower()}", node.name, sorted(known))
                if node.dyn_args or node.dyn_kwargs or (node.name == "map" and node.args):
                    takes = "`attribute=` and a `default=`" if node.name == "map" else "no `*`"
                    raise self._fail(node, f"`{node.name}` takes {takes}")
            case "Call":
                if _name(node.node) != "Name" or node.node.name != "range":
                    raise self._fail(node, "only `range` can be called; filters do what methods do elsewhere")
                if node.kwargs or node.dyn_args or node.dyn_kwargs or not 1 <= len(node.args) <= 3:
                    raise self._fail(node, "`range` takes one, two or three whole numbers")
                return self._operation("%range", node, *map(self._visit, node.args))
            case "Assign":
                node.node = self._visit(node.node)
                self._declare(node.target)
                return node
            case "For" if not node.recursive:
                return self._loop(node)
            case _ if name not in _INNOCENT:
                what = f"`{_REFUSED.get(name, name.lower())}` is not allowed in a template"
                raise self._fail(node, f"{what}; allowed: {', '.join(_STATEMENTS)} and expressions")
        return self._inside(node)

    def _inside(self, node: Any) -> Any:
        for field, value in node.iter_fields():
            if isinstance(value, self._nodes.Node):
                setattr(node, field, self._visit(value))
            elif isinstance(value, list):
                setattr(node, field, list(map(self._visit, value)))
        return node

    def _declare(self, target: Any) -> None:
        for item in target.items if _name(target) == "Tuple" else [target]:
            if _name(item) != "Name" or item.name in (*self._variables, "loop", "range"):
                what = "only a name, or names with commas between, can be given a value"
                raise self._fail(item, f"{what}, and none of: {', '.join(self._variables)}, loop, range")
            self._names[item.name] = None

    def _loop(self, node: Any) -> Any:
        node.iter = self._operation("%rounds", node, self._visit(node.iter))
        outside = self._names
        self._names = outside.copy()
        self._declare(node.target)
        node.test = node.test and self._visit(node.test)
        self._names["loop"] = None
        node.body = list(map(self._visit, node.body))
        self._names = outside.copy()
        node.else_ = list(map(self._visit, node.else_))
        self._names = outside
        return node

    def _member(self, node: Any) -> Any:
        owner, name = _member_of(node)
        if owner in _MEMBERS and owner in self._names:
            if name not in _MEMBERS[owner]:
                raise self._fail(node, f"`{owner}` has no {quoted(name)}", name, _MEMBERS[owner])
            if owner == "request":
                self.reads.add(name)
            elif owner == "accepted":
                self.reads_accepted.add(name)
            return node
        if _member_of(node.node) == ("request", "path_params"):
            self.parameters.add(name := node.attr)
            if self._path_names is not None and name not in self._path_names:
                raise self._fail(node, f"the path has no parameter {quoted(name)}", name, self._path_names)
        if _member_of(node.node) == ("accepted", "path_params"):
            self.accepted_parameters.add(node.attr)
        return self._inside(node)

    def string(self, source: str, autoescape: bool = False, *, as_json: bool = True) -> _Render | None:
        """What renders a string, and raises nothing but TemplateError; None where there is nothing to render.

        Raises ValueError.
        """
        if not is_template(source):
            return None
        try:
            import jinja2
            from jinja2 import nodes
        except ImportError:
            raise ValueError("templates need Jinja2: pip install 'mockware[templates]'") from None
        # Jinja2 makes all ends of lines alike; a text that has CRLF keeps it.
        newline = "\r\n" if source.count("\r\n") == source.count("\n") > 0 else "\n"
        sandbox = environment(autoescape, newline)
        self._nodes, self._names = nodes, dict.fromkeys(self._variables)
        try:
            tree = sandbox.parse(source)
            is_value = as_json and [len(getattr(node, "nodes", ())) for node in tree.body] == [1]
            is_value = is_value and _name(tree.body[0].nodes[0]) != "TemplateData"
            reads, self.reads = self.reads, set()
            reads_accepted, self.reads_accepted = self.reads_accepted, set()
            tree.body = list(map(self._visit, tree.body))
            names = {node.name for node in tree.find_all(nodes.Name)} & {"now", "uuid", "random", "task_id"}
            members, self.reads = self.reads, self.reads | reads
            of_accepted, self.reads_accepted = self.reads_accepted, self.reads_accepted | reads_accepted
            if is_value:
                tree.body = [nodes.Assign(nodes.Name("value", "store"), tree.body[0].nodes[0], lineno=1)]
            template = jinja2.Template.from_code(sandbox, sandbox.compile(tree), {})
        except jinja2.TemplateSyntaxError as error:
            reason = " ".join((error.message or "bad syntax").split()).rstrip(".")
            if found := re.search(r"unknown tag '(\w+)'", reason):
                reason = f"`{found[1]}` is no statement{did_you_mean(found[1], _STATEMENTS)}"
            raise ValueError(f"line {error.lineno}: {reason}") from None
        except (RecursionError, MemoryError, SyntaxError):  # the last two are of Python's own compiler
            raise ValueError("nested too deeply, or no value at all") from None

        def render(variables: Variables, budget: Budget) -> Any:
            token = current_budget.set(budget)
            try:
                given = {name: getattr(variables, name) for name in names} | {"%chance": variables.chance}
                request = {name: variables.of_request(name) for name in members}
                accepted = {name: variables.of_accepted(name) for name in of_accepted}
                context = template.new_context(
                    {**given, "request": request, "accepted": accepted}, shared=True
                )
                parts = []
                for part in template.root_render_func(context):
                    budget.output(len(part.encode(errors="surrogatepass" if as_json else "strict")))
                    parts.append(part)
                if not is_value:
                    return "".join(parts)
                value, size = copied(context.vars["value"])
                budget.output(size)
                return value
            except Exception as error:  # noqa: BLE001 - whatever it is, it has a reason
                reason = "a value cannot be used like this"
                if isinstance(error, UnicodeEncodeError):
                    reason = "half of a surrogate pair is no character, and cannot be sent"
                elif isinstance(error, (TemplateError, jinja2.TemplateError, ArithmeticError, TypeError)):
                    reason = " ".join(str(error).replace("environment.<locals>.", "").split())
                    # Python's words for these name types, no values
                lines = [at.lineno for at in extract_tb(error.__traceback__) if at.filename == "<template>"]
                if lines and "\n" in source:
                    reason = f"line {template.get_corresponding_lineno(lines[-1] or 1)}: {reason}"
            finally:
                current_budget.reset(token)
            raise TemplateError(reason)

        return render

    def structure(self, value: Any, place: str = "") -> _Render | None:
        """What makes a JSON value; None where no template is in it, so that it is there already."""
        if isinstance(value, str):
            try:
                return self.string(value)
            except ValueError as error:
                raise ValueError(f"at `{place.lstrip('.')}`: {error}" if place else str(error)) from None
        if isinstance(value, dict):
            fields = [(key, item, self.structure(item, f"{place}.{key}")) for key, item in value.items()]
        elif isinstance(value, list):
            fields = [(i, item, self.structure(item, f"{place}[{i}]")) for i, item in enumerate(value)]
        else:
            return None
        if not any(build for _, _, build in fields):
            return None

        def render(variables: Variables, budget: Budget) -> Any:
            made = {key: build(variables, budget) if build else item for key, item, build in fields}
            return made if isinstance(value, dict) else list(made.values())

        return render


class Template:
    """A text or a JSON structure, compiled once and rendered for each request.

    `reads` are the members of `request` that it looks at, `reads_accepted` those of `accepted`, and
    `parameters` those of the path that it names, `accepted_parameters` those of the accepted one's.
    """

    def __init__(
        self,
        source: Any,
        parameters: Collection[str] | None,
        *,
        as_json: bool,
        autoescape: bool,
        of_task: bool = False,
    ) -> None:
        self._again = partial(
            Template, source, parameters, as_json=as_json, autoescape=autoescape, of_task=of_task
        )
        compiler = _Compiler(parameters, of_task=of_task)
        try:
            size = len(json.dumps(source, allow_nan=False) if as_json else source.encode())
            copied(source if size <= MAX_OUTPUT_BYTES else None)  # for its depth
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair is no character, and cannot be sent") from None
        except (TypeError, ValueError, RecursionError, TemplateError) as error:
            raise ValueError(f"no JSON can be made of this: {error}") from None
        if size > MAX_OUTPUT_BYTES:
            raise ValueError(f"more than {MAX_OUTPUT_BYTES} bytes")
        if as_json:
            self._render = compiler.structure(source)
        else:
            self._render = compiler.string(source, autoescape, as_json=False)
        self._source = source
        self._size = 0 if as_json else size  # of JSON, what is no template was never made
        self.reads = frozenset(compiler.reads)
        self.reads_accepted = frozenset(compiler.reads_accepted)
        self.parameters = frozenset(compiler.parameters)
        self.accepted_parameters = frozenset(compiler.accepted_parameters)

    @property
    def reads_body(self) -> bool:
        """Whether the request must have its body before this is rendered."""
        return "json" in self.reads

    def render(self, variables: Variables, budget: Budget) -> Any:
        """What it makes: a string of a text, and of JSON what `json.dumps` takes, which is not to be changed.

        The parts of one reply share their `variables` and their `budget`. Raises TemplateError.
        """
        if self._render is not None:
            return self._render(variables, budget)
        budget.output(self._size)
        return self._source

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()


def compile_text(
    source: str,
    parameters: Collection[str] | None = None,
    *,
    autoescape: bool = False,
    of_task: bool = False,
) -> Template:
    """The template of a text. `autoescape` is for HTML and XML: it escapes every value once.

    `of_task`: it can say `task_id` and `accepted`, too. `parameters` are the names in the path's template;
    with None, any is taken. Raises ValueError with the line, what is wrong with it, and what is allowed.
    """
    known = None if parameters is None else tuple(parameters)
    return _compiled(source, known, as_json=False, autoescape=autoescape, of_task=of_task)


def compile_json(value: Any, parameters: Collection[str] | None = None, *, of_task: bool = False) -> Template:
    """The template of a JSON structure: each of its strings may be one, its keys are left alone.

    A string that is one expression and nothing else gives the value of that expression, a list or a number
    for example; any other gives a string. The rest, and what is raised, are as in `compile_text`.
    """
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"no JSON can be made of this: {error}") from None
    return _compiled(text, None if parameters is None else tuple(parameters), as_json=True, of_task=of_task)


# A rule's templates are compiled by the validators of its keys, for its path and for the engine, one rule
# after the other; Jinja2 takes a millisecond for each.
@lru_cache(maxsize=64)
def _compiled(
    source: str,
    parameters: tuple[str, ...] | None,
    *,
    as_json: bool,
    autoescape: bool = False,
    of_task: bool = False,
) -> Template:
    value = json.loads(source) if as_json else source
    return Template(value, parameters, as_json=as_json, autoescape=autoescape, of_task=of_task)
