"""The commands: `demo`, `run`, `proxy`, `serve`, `check`, `explain`, `status`, `snippet`,
`token`, `schema`.

Law: a command reads arguments, calls what is below, and prints; what it prints is decided elsewhere. A
user's mistake ends in one line for each thing that is wrong, on stderr, and in an exit code, never in a
traceback. Answers go to stdout, so that they can be piped; what they are about is imported when a
command needs it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .arguments import DONE, PROBLEMS, USAGE, Parser, UsageError, add_import, import_modules
from .exceptions import ConfigError, Problem, did_you_mean, quoted
from .terminal import Terminal

if TYPE_CHECKING:
    from .explanation import Explanation

# What shells give for a program that SIGINT or SIGPIPE has ended.
_INTERRUPTED, _BROKEN_PIPE = 130, 141

_EXIT_CODES = "Exit codes: 0 done, 1 {problems}, 2 wrong usage."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that `argv` (without the program's name) asks for, and returns its exit code."""
    out, err = Terminal(sys.stdout, os.environ), Terminal(sys.stderr, os.environ)
    try:
        code = _run_command(list(sys.argv[1:] if argv is None else argv), out, err)
        sys.stdout.flush()
    except UsageError as error:
        err.line(("red", "error:"), " ", str(error))
        err.line("Try: ", " ".join(filter(None, ("mockware", error.command, "--help"))))
        return USAGE
    except ConfigError as error:
        _print_problems(err, error.problems)
        return PROBLEMS
    except SystemExit as ended:  # argparse after --help, granian after a worker has failed
        return ended.code if isinstance(ended.code, int) else PROBLEMS if ended.code else DONE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return code


def _run_command(argv: list[str], out: Terminal, err: Terminal) -> int:
    name = argv[0] if argv else ""
    if name in ("-h", "--help"):
        _print_help(out)
        return DONE
    if name in ("-V", "--version"):
        from . import __version__

        out.line(f"mockware {__version__}")
        return DONE
    if not name:
        _print_help(err)
        return USAGE
    command = COMMANDS.get(name)
    if command is None:
        kind = "option" if name.startswith("-") else "command"
        known = ("--help", "--version") if kind == "option" else COMMANDS
        raise UsageError(f"{quoted(name)} is no {kind}{did_you_mean(name, known)}")
    return command.run(argv[1:], out, err)


def _print_help(terminal: Terminal) -> None:
    terminal.line(("bold", "mockware"), " answers chosen requests to an ASGI or WSGI app with mocks.")
    terminal.line()
    terminal.line("Usage: mockware COMMAND ...")
    terminal.line()
    for name, command in COMMANDS.items():
        terminal.line("  ", ("bold", f"{name:8}"), " ", command.summary)
    terminal.line()
    terminal.line("`mockware COMMAND --help` says more; `mockware --version` prints the version.")
    terminal.line("Exit codes: 0 done, 1 problems, 2 wrong usage; each command's --help says which are its.")


# demo


def _demo(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "demo",
        "Serve a small real app with mocks in front of it, and print what to try on it.",
        "Examples:\n  mockware demo\n  mockware demo --port 8000\n\n"
        + _EXIT_CODES.format(problems="it cannot be served"),
    )
    parser.add_argument(
        "--port", type=_port, default=0, help="port of 127.0.0.1 to listen on; a free one if not given"
    )
    port: int = parser.parse(arguments).port
    from . import demo
    from .hosting import first_line, free_port

    try:
        port = free_port(demo.HOST, port)
        demo.serve(port, partial(_invite, port))
    except ImportError as error:
        return _missing_server(error, err)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else first_line(error)
        err.line(("red", "error:"), f" port {port} of {demo.HOST}: {reason}")
        return PROBLEMS
    return DONE


def _invite(port: int) -> None:
    """Prints what there is to try; called in the server's worker process once it listens."""
    from .demo import HOST, invitation

    out = Terminal(sys.stdout, os.environ)
    out.line("A small app with mocks in front of it: ", ("bold", f"http://{HOST}:{port}"))
    for shows, line in invitation(port):
        out.line()
        out.line(("dim", f"# {shows}"))
        out.line(line)
    out.line()
    out.line("Ctrl-C ends it.")
    sys.stdout.flush()


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{quoted(text)} is no port; allowed: 1 to 65535")
    return int(text)


# run, proxy, serve

# The extra that a command needs: the proxy's has the server in it, too.
_SERVER = "server"
_EXTRAS = {"proxy": "proxy"}


def _hosted(name: str, module: str) -> Callable[[Sequence[str], Terminal, Terminal], int]:
    """A command that serves something on granian, and has granian's options besides its own."""

    def run(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
        from .served import RunError

        try:
            command = import_module(f"{__package__}.{module}").command()
            import click
        except ImportError as error:
            return _missing_server(error, err, extra=_EXTRAS.get(name, _SERVER))
        try:
            code = command.main(list(arguments), prog_name=f"mockware {name}", standalone_mode=False)
        except click.UsageError as error:
            raise UsageError(error.format_message(), name) from None
        except click.ClickException as error:
            err.line(("red", "error:"), " ", error.format_message())
            return PROBLEMS
        except click.Abort:
            return _INTERRUPTED
        except ImportError as error:
            return _missing_server(error, err, extra=_EXTRAS.get(name, _SERVER))
        except RunError as refused:
            refused.tell(err)
            return PROBLEMS
        return code if isinstance(code, int) else DONE

    return run


def _missing_server(error: ImportError, err: Terminal, *, extra: str = _SERVER) -> int:
    package = (error.name or "").partition(".")[0]
    missing = {
        "granian": "granian, the server",
        "click": "granian, the server",
        "aiohttp": "aiohttp, the client",
    }
    if package not in missing:
        raise error
    message = f"{missing[package]}, is not installed; install it with: pip install 'mockware[{extra}]'"
    err.line(("red", "error:"), " ", message)
    return PROBLEMS


# check


def _check(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "check",
        "Report every problem of rules files, then what is valid and surely not meant: rules that can\n"
        "never match, expired ones, and mocks that a cache may serve to someone else. Several files are\n"
        "one configuration, in this order, as in MOCKWARE_FILE.",
        "Examples:\n  mockware check mocks.toml\n  mockware check first.toml second.yaml --strict\n\n"
        + _EXIT_CODES.format(problems="problems, or with --strict warnings"),
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="rules file (TOML, YAML or JSON)")
    parser.add_argument("--strict", action="store_true", help="let warnings fail as well")
    add_import(parser)
    options = parser.parse(arguments)
    import_modules(options.imports, parser)
    from .config import load
    from .environment import Environment
    from .review import review

    files = ", ".join(options.files)
    try:
        environment = Environment(enabled=True, why="", key=os.environ.get("MOCKWARE_KEY", ""))
        configuration = load(environment, options.files)
    except ConfigError as error:
        _print_problems(err, error.problems)
        out.line(f"{files}: ", ("red", _count(len(error.problems), "problem")))
        return PROBLEMS
    warnings = list(review(configuration, datetime.now(UTC), store=os.environ.get("MOCKWARE_STORE", "")))
    for warning in warnings:
        err.line(("yellow", "warning:"), " ", str(warning))
    result = _count(len(warnings), "warning") if warnings else "no problem"
    rules = _count(len(configuration.entries), "rule")
    out.line(f"{files}: {rules}, ", ("yellow" if warnings else "green", result))
    return PROBLEMS if warnings and options.strict else DONE


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_problems(err: Terminal, problems: Sequence[Problem]) -> None:
    for problem in problems:
        err.line(str(problem))


# explain


def _explain(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "explain",
        "Say which rule answers a request, with what, and what keeps every other rule from it. The\n"
        "environment (MOCKWARE_FILE, MOCKWARE_RULES, MOCKWARE's list of names, ...) is heeded as if it\n"
        "was on. Rules that are written in Python are not seen.",
        "Examples:\n  mockware explain 'POST /reports?draft=1' --rules mocks.toml\n"
        "  mockware explain '/orders' -H 'X-Mock-Status: 200:0.9,503:0.1'\n"
        "  mockware explain 'POST /orders' -H 'Host: shop.test' -d @order.json --rules mocks.toml\n\n"
        + _EXIT_CODES.format(problems="problems in the rules"),
    )
    parser.add_argument(
        "request", metavar="[METHOD] /PATH[?QUERY]", help="encoded as in a URL, in one argument"
    )
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        dest="headers",
        help="a field of the request, such as a trigger; may be repeated",
    )
    parser.add_argument("-d", "--data", metavar="BODY", help="the body; @FILE reads it, @- from stdin")
    parser.add_argument(
        "--rules",
        action="append",
        default=[],
        metavar="FILE",
        help="rules file; comes after those of MOCKWARE_FILE; may be repeated",
    )
    add_import(parser)
    options = parser.parse(arguments)
    import_modules(options.imports, parser)
    from .config import load
    from .environment import read_environment
    from .explanation import explain, read_request

    try:
        request = read_request(options.request, options.headers, _body(options.data))
    except ValueError as error:
        parser.error(str(error))
    environment = read_environment({**os.environ, "MOCKWARE_ALLOW_PRODUCTION": "yes"}, enabled=True)
    configuration = load(environment, options.rules)
    found = explain(request, configuration, environment)
    query = f"?{request.query_string}" if request.query_string else ""
    out.line(("bold", f"{request.method} {request.path}{query}"))
    actual = read_environment()
    if not actual.enabled:
        out.line(("dim", f"As if mockware were on; here it is off: {actual.why}."))
    if not configuration.entries:
        out.line(("dim", "There are no rules; --rules and MOCKWARE_FILE name files of them."))
    _print_explanation(found, out)
    return DONE


def _body(declared: str | None) -> bytes | None:
    if declared is None:
        return None
    if declared == "@-":
        return sys.stdin.buffer.read()
    if declared.startswith("@"):
        try:
            return Path(declared[1:]).read_bytes()
        except OSError as error:
            raise ValueError(f"-d {quoted(declared)}: {error.strerror}") from None
    return declared.encode("utf-8", "surrogateescape")


def _print_explanation(found: Explanation, out: Terminal) -> None:
    from .reference import raw_text

    for note in found.notes:
        out.line(note)
    for answer in found.answers:
        out.line()
        out.line(answer.sentence)
        if answer.response is not None:
            out.line()
            out.block(raw_text(answer.response), indent="    ")
    if found.misses:
        out.line()
        out.line(f"Rules that do not answer{', the nearest first' if found.left_out else ''}:")
        for miss in found.misses:
            out.line("  ", ("bold", miss.label), ": ", miss.reason)
    if found.left_out:
        out.line(("dim", f"  and {found.left_out} more"))


# schema


def _schema(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    parser = Parser(
        "schema",
        "Print the JSON Schema of a rules file, with which editors complete and check it.",
        "Examples:\n  mockware schema > mockware.schema.json\n"
        "and in the first line of a TOML file:\n  #:schema ./mockware.schema.json\n\n"
        "Exit codes: 0 done, 2 wrong usage.",
    )
    parser.parse(arguments)
    from .rules_files import schema

    out.block(json.dumps(schema(), indent=2))
    return DONE


# status and snippet


def _status(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    from .code_commands import status

    return status(arguments, out, err)


def _snippet(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    from .code_commands import snippet

    return snippet(arguments, out, err)


# token


def _token(arguments: Sequence[str], out: Terminal, err: Terminal) -> int:
    from .token_command import token

    return token(arguments, out, err)


class _Command(NamedTuple):
    summary: str
    run: Callable[[Sequence[str], Terminal, Terminal], int]


COMMANDS = {
    "demo": _Command("serve a small wrapped app and print what to try", _demo),
    "run": _Command("serve module:app with mocks in front of it", _hosted("run", "running")),
    "proxy": _Command("put mocks in front of any HTTP service", _hosted("proxy", "proxying")),
    "serve": _Command("serve mocks alone, and a reference of statuses", _hosted("serve", "serving")),
    "check": _Command("report every problem of rules files", _check),
    "explain": _Command("say which rule answers a request, and why", _explain),
    "status": _Command("show a status: response, curl line, meaning, code", _status),
    "snippet": _Command("print the code that answers as a rule does", _snippet),
    "token": _Command("sign a token that allows some mocks for a while", _token),
    "schema": _Command("print the JSON Schema of a rules file", _schema),
}
