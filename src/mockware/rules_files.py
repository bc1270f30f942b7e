"""One rules file, as it is declared: what may stand in it, how it is read, and its schema.

Law: everything that is wrong with a file is said at once, with its rule, key, value and what is allowed. Its
shape is declared once, here, in `settings.py` and in `rules.py`: validation and the JSON schema both come
from it. How files go together is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictStr, TypeAdapter, ValidationError, WithJsonSchema
from pydantic.dataclasses import dataclass

from . import schemas
from .answers import STRICT, checked
from .documents import read_document
from .exceptions import ConfigError, Problem, quoted
from .paths import PathTemplate
from .rules import Rule, advice, known_keys
from .settings import CorsTable, JournalTable, TriggerTable, WebhooksTable
from .validation import findings


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RulesFile:
    """A rules file as a whole. The first matching rule in file order wins."""

    never: list[Annotated[StrictStr, checked(PathTemplate), WithJsonSchema(schemas.PATH)]] = Field(
        default_factory=list, strict=True, description="Paths that no rule and no trigger touches."
    )
    trigger: TriggerTable | None = Field(default=None, description="Limits and names of the triggers.")
    cors: CorsTable | None = Field(default=None, description="Who may read mocks in a browser.")
    webhooks: WebhooksTable | None = Field(default=None, description="Where the webhooks of tasks may go.")
    journal: JournalTable | None = Field(default=None, description="What the control page's journal keeps.")
    trust_forwarded: StrictBool = Field(
        default=False,
        description="Whether Forwarded and X-Forwarded-* of a request say by what URL its client knows us.",
    )
    server_timing: StrictBool = Field(
        default=False, description="Whether every mock says its rule in Server-Timing, too."
    )
    rules: list[Rule] = Field(default_factory=list, strict=True, description="The rules, first match first.")


_RULES_FILE = TypeAdapter(RulesFile)
_FILE_KEYS = tuple(field.name for field in fields(RulesFile))
# The others are tables, whose own headings keep them out of any other.
_HEAD_KEYS = ("never", "trust_forwarded", "server_timing")
_TRIGGER_KEYS, _CORS_KEYS, _WEBHOOKS_KEYS, _JOURNAL_KEYS = (
    tuple(field.name for field in fields(table))
    for table in (TriggerTable, CorsTable, WebhooksTable, JournalTable)
)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a rules file."""
    declared = schemas.with_definitions(_RULES_FILE.json_schema())
    # Editors that are told of the schema by this key would otherwise call it an error.
    declared["properties"]["$schema"] = {"description": "Where this schema is."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **declared}


def read_short_rules(text: str) -> RulesFile:
    """`POST /reports 202; /legacy/{rest:path} 410`: a match, then a status or `passthrough`, or nothing."""
    source, rules, problems = "MOCKWARE_RULES", [], []
    for i, item in enumerate(filter(None, map(str.strip, text.split(";"))), 1):
        *words, action = item.split()
        arguments: dict[str, Any] = {"match": " ".join(words)}
        if action == "passthrough" and words:
            arguments["passthrough"] = True
        elif words and action.isascii() and action.isdigit():
            arguments["status"] = int(action[:9])
        else:
            words.append(action)
            arguments["match"] = " ".join(words)
        if len(words) > 2 or (len(words) == 2 and "/" in words[0]):
            hint = "expected `[METHOD] /path`, then a status or `passthrough`; rules are separated by `;`"
            problems.append(Problem(source, hint, rule=f"rule {i}", value=quoted(item)))
            continue
        try:
            rules.append(Rule(**arguments))
        except ConfigError as error:
            problems += [problem._replace(source=source, rule=f"rule {i}") for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return RulesFile(rules=rules)


def read_rules_file(path: Path, source: str = "", opening: Callable[[Path], None] | None = None) -> RulesFile:
    """One TOML, YAML or JSON file, by its ending. Raises ConfigError with every problem in it."""
    source = source or str(path)
    if opening is not None:
        opening(path)
    try:
        document = read_document(path)
    except OSError as error:
        raise ConfigError([Problem(source, f"cannot be read: {error.strerror or error}")]) from None
    except ConfigError as error:
        raise ConfigError(problem._replace(source=source) for problem in error.problems) from None
    except (ValueError, RecursionError) as error:  # every parser's own error, and bytes that are no UTF-8
        message = " ".join(str(error).split())
        raise ConfigError([Problem(source, f"not {path.suffix[1:].upper()}: {message}")]) from None
    if not isinstance(document, dict):
        raise ConfigError([Problem(source, f"expected a table with {', '.join(_FILE_KEYS)}")])
    document.pop("$schema", None)
    try:
        return _RULES_FILE.validate_python(document, context={"folder": path.parent, "opening": opening})
    except ValidationError as error:
        raise ConfigError([*_placed(source, document, error), *_namesakes(source, document)]) from None


def read_rule(document: Mapping[str, Any]) -> Rule:
    """A rule as it stands in a rules file, from somebody who may not read files. Raises ConfigError."""
    try:
        file = _RULES_FILE.validate_python({"rules": [document]}, context={"no_files": True})
    except ValidationError as error:
        raise ConfigError(
            problem._replace(source="rule", key=".".join(map(str, place[2:])))
            for place, problem in findings(error, _known_keys, _advice)
        ) from None
    return file.rules[0]


def _placed(source: str, document: Mapping[str, Any], error: ValidationError) -> Iterator[Problem]:
    """A file's problems, with the rule's number and name in the place of its index."""
    for place, problem in findings(error, _known_keys, _advice):
        if place[0] != "rules" or len(place) < 2:
            yield problem._replace(source=source)
            continue
        declared = list(document["rules"])[int(place[1])]
        label = f"rule {int(place[1]) + 1}"
        name = declared.get("name", declared.get("match")) if isinstance(declared, dict) else None
        label += f" {quoted(name)}" if isinstance(name, str) else ""
        yield problem._replace(source=source, rule=label, key=".".join(map(str, place[2:])))


def _namesakes(source: str, document: Mapping[str, Any]) -> Iterator[Problem]:
    """Rules of one name in a file that is wrong in other ways too, where nobody comes to compare them."""
    first: dict[str, int] = {}
    declared = document.get("rules")
    for number, rule in enumerate(declared if isinstance(declared, list) else (), 1):
        name = rule.get("name") if isinstance(rule, dict) else None
        if isinstance(name, str) and first.setdefault(name, number) != number:
            yield namesake(source, number, name, f"rule {first[name]}")


def namesake(source: str, number: int, name: str, other: str) -> Problem:
    return Problem(
        source,
        f"two rules have this name; the other is {other}",
        rule=f"rule {number}",
        key="name",
        value=quoted(name),
    )


def _known_keys(place: tuple[int | str, ...]) -> Sequence[str]:
    match place:
        case ():
            return _FILE_KEYS
        case ("trigger",):
            return _TRIGGER_KEYS
        case ("cors",):
            return _CORS_KEYS
        case ("webhooks",):
            return _WEBHOOKS_KEYS
        case ("journal",):
            return _JOURNAL_KEYS
        case ("rules", int(), *within):
            return known_keys(tuple(within))
    return ()


def _advice(place: tuple[int | str, ...], key: str) -> str:
    if place and key in _HEAD_KEYS:
        return (
            "it belongs to the head of the file; in TOML, before the first `[[rules]]` and any other heading"
        )
    match place:
        case ("rules", int(), *within):
            return advice(tuple(within), key)
    return ""
