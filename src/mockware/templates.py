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
from collections.abc import Callable, Collection, Iterator
from functools import cache, lru_cache, partial
from traceback import extract_tb
from typing import Any

from .exceptions import did_you_mean, quoted
from .messages import MISSING, Request
from .template_values import (
    MAX_OUTPUT_BYTES,
    MAX_PRECISION,
    MAX_STEPS,
    PER_STEP,
    Budget,
    TemplateError,
    Variables,
    check_size,
    copied,
    current_budget,
    plain,
    text_of,
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


VARIABLES = ("request", "now", "uuid", "random")
# What the outcome of a task can say besides: `request` is the one that asks for it.
TASK_VARIABLES = ("accepted", "task_id")
REQUEST_MEMBERS = ("path_params", "query", "headers", "cookies", "json", "method", "path")
LOOP_MEMBERS = _words("index index0 first last length revindex revindex0 previtem nextitem")
_MEMBERS = {"request": REQUEST_MEMBERS, "accepted": REQUEST_MEMBERS, "loop": LOOP_MEMBERS}
_OF_TEXT = frozenset(_words("capitalize e escape lower replace string title trim truncate upper"))
_OF_NUMBERS = frozenset(("abs", "divisibleby", "even", "odd", "round"))
_OF_THE_ABSENT = frozenset(("d", "default", "defined", "undefined"))
FILTERS = _OF_TEXT | frozenset(
    _words(
        "abs count d default dictsort first float int items join last length list map max min random reverse "
        "round sort sum tojson unique urlencode"
    )
)
TESTS = frozenset(
    _words(
        "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le "
        "lessthan lower lt mapping ne none number odd sequence string true undefined upper"
    )
)
_STATEMENTS = ("if", "for", "set")
# Jinja2's nodes that are as safe as what is in them; what `_Compiler` does not know besides is refused.
_INNOCENT = frozenset(
    _words(
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


def _found(value: Any, key: Any) -> Any:
    """The member of an object or the item of a list or string, and nothing else that Python would find."""
    current_budget.get().step()
    found: Any = MISSING
    if isinstance(value, Request) and isinstance(key, str):
        header = value.header(key.lower())
        found = MISSING if header is None else header
    elif isinstance(value, dict) and isinstance(key, str):
        found = value.get(key, MISSING)
    elif isinstance(value, (list, str)) and type(key) is int and -len(value) <= key < len(value):
        found = value[key]
    return found


class _Rounds(list[Any]):
    """What a loop goes through; each round is paid for when it begins."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            current_budget.get().step()
            yield item


@cache
def _environment(autoescape: bool, newline: Any) -> Any:
    """Jinja2's sandbox with the filters and tests of the lists, and without any object's attributes.

    The filters whose names begin with % are those that `_Compiler` puts in the place of Jinja2's nodes.
    """
    from jinja2 import StrictUndefined, Undefined, pass_context, pass_eval_context
    from jinja2.filters import make_attrgetter, sync_do_join
    from jinja2.runtime import LoopContext
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import htmlsafe_json_dumps

    def need(*values: Any) -> None:
        for value in values:
            if isinstance(value, Undefined):
                str(value)  # it says itself what is missing

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%"))

        def getattr(self, obj: Any, attribute: str) -> Any:  # the attribute is written out
            if isinstance(obj, LoopContext):
                return getattr(obj, attribute) if attribute in LOOP_MEMBERS else StrictUndefined("no member")
            hint = f"{quoted(attribute)} is missing; `| default(...)` gives it a value"
            found = obj if isinstance(obj, Undefined) else _found(obj, attribute)
            return StrictUndefined(hint) if found is MISSING else found

        def getitem(self, obj: Any, argument: Any) -> Any:  # the argument may be a value of the request
            need(argument)
            found = obj if isinstance(obj, Undefined) else _found(obj, argument)
            return StrictUndefined("an item or an attribute is missing") if found is MISSING else found

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            need(left, right)
            kinds = {str if isinstance(side, str) else type(side) for side in (left, right)}
            if kinds <= {int, float} or (operator == "+" and kinds in ({str}, {list})):
                return plain(self.binop_table[operator](left, right), markup=autoescape)
            hint = ", two strings or two lists; `~` joins any two to a string" if operator == "+" else ""
            raise TemplateError(f"`{operator}` takes two numbers{hint}")

    def operation(name: str, call: Callable[..., Any], of_text: Collection[str] = ()) -> Any:
        """A filter or a test of Jinja2's, without what it could do too much of; paid for before and after."""

        @pass_context
        def perform(context: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
            others = (*args, *kwargs.values())
            long = (len(each) for each in (value, *others) if isinstance(each, (str, list, dict)))
            current_budget.get().step(1 + sum(long) // PER_STEP)
            if name not in _OF_THE_ABSENT:
                need(value, *others)
            if name in _OF_NUMBERS and type(value) not in (int, float):
                raise TemplateError(f"`{name}` takes a number; `| int` and `| float` make one")
            if name == "round" and any(type(n) is int and abs(n) > MAX_PRECISION for n in others):
                raise TemplateError(f"`precision` is from -{MAX_PRECISION} to {MAX_PRECISION}")
            if name == "sum" and any(isinstance(start, (list, dict)) for start in others):
                raise TemplateError("`sum` adds numbers")
            if name == "unique":  # whoever chooses numbers with one hash has each compared with all
                current_budget.get().step(len(value) ** 2 // 1000)
            made = call(name, text_of(value) if name in of_text else value, args, kwargs, context)
            return made if isinstance(made, Undefined) else plain(made, markup=autoescape)

        return perform

    def replace(value: str, old: Any, new: Any, count: int | None = None) -> str:
        value, old, new = str(value), str(text_of(old)), str(text_of(new))
        check_size(len(value) + value.count(old) * len(new))
        return value.replace(old, new, -1 if count is None else count)

    @pass_eval_context
    def join(eval_ctx: Any, value: Any, d: Any = "", attribute: Any = None) -> str:
        texts = [text_of(item) for item in map(make_attrgetter(eval_ctx.environment, attribute), value)]
        check_size(sum(map(len, texts)) + len(text_of(d)) * len(texts))
        return sync_do_join(eval_ctx, texts, text_of(d))

    @pass_context
    def random(context: Any, value: Any) -> Any:
        found = _found(value, int(context["%chance"]() * len(value)))
        return StrictUndefined("No random item, sequence was empty.") if found is MISSING else found

    def rounds(value: Any) -> _Rounds:
        need(value)
        if not isinstance(value, (list, dict, str)):
            raise TemplateError("a loop needs a list, an object or a string")
        return _Rounds(value)

    def numbers(*edges: Any) -> Any:
        if len(range(*edges)) > MAX_STEPS:
            raise TemplateError(f"a `range` has {MAX_STEPS} numbers at most")
        return plain(list(range(*edges)))

    @pass_context  # which keeps Jinja2 from computing anything while it compiles
    def finalize(context: Any, value: Any) -> str:
        return text_of(value)

    options: dict[str, Any] = {"autoescape": autoescape, "finalize": finalize, "newline_sequence": newline}
    options |= {"keep_trailing_newline": True, "optimized": False, "undefined": StrictUndefined}
    original, closed = Sandbox(**options), Sandbox(**options)
    original.filters |= {"join": join, "random": random, "replace": replace, "string": str, "trim": str.strip}
    original.filters["tojson"] = lambda value: htmlsafe_json_dumps(plain(value))
    closed.globals.clear()
    closed.filters = {name: operation(name, original.call_filter, _OF_TEXT) for name in FILTERS}
    closed.tests = {name: operation(name, original.call_test) for name in TESTS}
    closed.filters |= {"%plain": lambda value: plain(value, markup=autoescape)}
    closed.filters |= {"%range": numbers, "%rounds": rounds}
    return closed


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
        environment = _environment(autoescape, newline)
        self._nodes, self._names = nodes, dict.fromkeys(self._variables)
        try:
            tree = environment.parse(source)
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
            template = jinja2.Template.from_code(environment, environment.compile(tree), {})
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
                    reason = " ".join(str(error).replace("_environment.<locals>.", "").split())
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
