"""The commands that show a response: `mockware status`, and `mockware snippet` for that of a rule.

Law: as in `cli.py`. Code is printed as it is to be pasted, and its refusal is an answer, too.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .arguments import DONE, PROBLEMS, Parser, add_import, import_modules
from .exceptions import did_you_mean, quoted
from .snippets import FRAMEWORKS, as_values, framework_named, rule_files, status_files
from .terminal import Terminal

ALL = "all"

_Files = Mapping[str, str]


def status(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "status",
        "Show a status: the raw response that a mock of it is, the line that asks for it, what it means; or\n"
        "the code that gives this response without mockware.",
        "Examples:\n  mockware status\n  mockware status 202\n  mockware status 'not found'\n"
        "  mockware status 202 --framework express\n"
        "  mockware status 202 --framework all --format json\n\n" + _frameworks() + "\n\n"
        "Exit codes: 0 done, 2 wrong usage or no such status.",
    )
    parser.add_argument(
        "status", nargs="*", metavar="CODE", help="a code or a phrase; all are listed without"
    )
    _add_framework(parser)
    options = parser.parse(arguments)
    _check_framework(options, parser)
    asked = " ".join(options.status)
    from .reference import find_status, raw_text, reference_for
    from .statuses import CATALOGUE

    if options.format is not None and options.framework is None:
        parser.error("--format is about code; say in which --framework")
    if not asked:
        if options.framework is not None:
            parser.error("--framework prints the code of one status; give its CODE")
        for known in CATALOGUE.values():
            out.line(("bold", str(known.code)), f" {known.phrase}: {known.meaning}")
        return DONE
    try:
        code = find_status(asked)
    except ValueError as error:
        parser.error(str(error))
    if options.framework is not None:
        return _print_code(options, {"status": code}, lambda slug: status_files(code, slug), out, err)
    reference = reference_for(code)
    out.block(raw_text(reference.response))
    out.line()
    out.line(reference.status.meaning)
    out.line(f"{reference.status.section}, {reference.status.link}")
    out.line()
    out.line(("dim", "# The server adds Date and the like. To see it from an app that is wrapped:"))
    out.line(reference.curl)
    return DONE


def snippet(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "snippet",
        "Print the code that gives the response of a rule without mockware. What a rule says beyond one\n"
        "response, such as its conditions or its delay, is named in a comment. A rule is given by its name,\n"
        "or by its match if it has none. MOCKWARE_FILE and MOCKWARE_RULES are heeded.",
        "Examples:\n  mockware snippet payments-down --rules mocks.toml --framework go\n"
        "  mockware snippet 'POST /reports' --rules mocks.toml --framework all --format json\n\n"
        + _frameworks()
        + "\n\nExit codes: 0 done, 1 problems in the rules, or code that cannot be written, 2 wrong usage\n"
        "or no such rule.",
    )
    parser.add_argument("rule", metavar="RULE", help="the rule's name, or its match")
    parser.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="FILE",
        help="rules file; comes after those of MOCKWARE_FILE; may be repeated",
    )
    _add_framework(parser)
    add_import(parser)
    options = parser.parse(arguments)
    if options.framework is None:
        parser.error(f"say in which framework by --framework{did_you_mean('', (*FRAMEWORKS, ALL))}")
    _check_framework(options, parser)
    import_modules(options.imports, parser)
    from .config import load
    from .environment import read_environment

    environment = read_environment({**os.environ, "MOCKWARE_ALLOW_PRODUCTION": "yes"}, enabled=True)
    rules = {entry.name: entry.rule for entry in load(environment, options.rules).entries}
    rule = rules.get(options.rule)
    if rule is None:
        hint = (
            did_you_mean(options.rule, rules) if rules else "; --rules and MOCKWARE_FILE name files of rules"
        )
        parser.error(f"{quoted(options.rule)} is no rule{hint}")
    return _print_code(options, {"rule": options.rule}, lambda slug: rule_files(rule, slug), out, err)


def _frameworks() -> str:
    return "Frameworks:\n" + "\n".join(
        f"  {framework.slug:12} {framework.title}, {framework.file}" for framework in FRAMEWORKS.values()
    )


def _add_framework(parser: Parser) -> None:
    parser.add_argument("--framework", metavar="NAME", help="print the code in this framework, or in all")
    parser.add_argument(
        "--format", metavar="text|json", help="the code as text (the default), or its files as JSON"
    )


def _check_framework(options: Namespace, parser: Parser) -> None:
    if options.framework not in (None, ALL):
        try:
            framework_named(options.framework)
        except ValueError:
            known = (*FRAMEWORKS, ALL)
            parser.error(
                f"{quoted(options.framework)} is no framework{did_you_mean(options.framework, known)}"
            )
    if options.format not in (None, "text", "json"):
        hint = did_you_mean(options.format, ("text", "json"))
        parser.error(f"{quoted(options.format)} is no format{hint}")


def _print_code(
    options: Namespace, of: Mapping[str, Any], write: Callable[[str], _Files], out: Terminal, err: Terminal
) -> int:
    """The code in the frameworks that are asked for; one of several that refuses does not keep the others."""
    slugs = list(FRAMEWORKS) if options.framework == ALL else [options.framework]
    written: dict[str, _Files] = {}
    refused: dict[str, str] = {}
    for slug in slugs:
        try:
            written[slug] = write(slug)
        except ValueError as error:
            refused[slug] = str(error)
    if options.format == "json":
        snippets = [_described(slug, written.get(slug), refused.get(slug)) for slug in slugs]
        out.block(json.dumps({**of, "snippets": snippets}, indent=2))
    else:
        for number, (slug, files) in enumerate(written.items()):
            if len(slugs) > 1:
                if number:
                    out.line()
                out.line(("bold", f"==== {FRAMEWORKS[slug].title}"))
                out.line()
            out.block("\n".join(files.values()).removesuffix("\n"), keep_tabs=True)
    # All of them say the same of a rule that has no response at all.
    for reason in dict.fromkeys(refused.values()):
        names = ", ".join(slug for slug, said in refused.items() if said == reason)
        err.line(("red", "error:"), f" {names}: {reason}" if len(slugs) > 1 else f" {reason}")
    return PROBLEMS if refused else DONE


def _described(slug: str, files: _Files | None, refused: str | None) -> dict[str, Any]:
    return as_values(slug, files) if files is not None else {**as_values(slug), "error": refused}
