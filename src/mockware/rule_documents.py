"""Rules as they are written: tables, lists and values that a rules file may have, and such a file's text.

Law: what is written here is read again to an equal rule. A key that says what it would say if absent is left
out. TOML has no null, and a rule that needs one is refused in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from .conditions import Condition
from .configuration import Configuration
from .rules import RULE_KEYS, Rule

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def document_of(rule: Rule) -> dict[str, Any]:
    """A rule as a table, its keys in the order in which people write them."""
    found = _written(rule)
    # The key that is a rule's identity stands first, as in every example.
    return {key: found[key] for key in ("name", *RULE_KEYS) if key in found}


def _written(declared: Any) -> Any:
    if isinstance(declared, Condition):
        return declared.declared
    if is_dataclass(declared) and not isinstance(declared, type):
        return {
            field.name: _written(value)
            for field in fields(declared)
            if field.init and (value := getattr(declared, field.name)) != _default(field)
        }
    if isinstance(declared, Path):
        return str(declared)
    if isinstance(declared, Mapping):
        return {str(key): _written(value) for key, value in declared.items()}
    if isinstance(declared, (list, tuple)):
        return [_written(value) for value in declared]
    if isinstance(declared, datetime):
        return declared.isoformat()
    return declared


def _default(field: Field[Any]) -> Any:
    default, factory = field.default, field.default_factory
    if isinstance(default, FieldInfo):
        default, factory = default.default, default.default_factory or NO_DEFAULT
    return factory() if factory is not NO_DEFAULT else default


def rules_file(configuration: Configuration) -> dict[str, Any]:
    """The rules that are on, and what else their files say, as one file."""
    file: dict[str, Any] = {}
    if configuration.never:
        file["never"] = list(configuration.never)
    if configuration.trusts_forwarded:
        file["trust_forwarded"] = True
    if configuration.server_timing:
        file["server_timing"] = True
    if trigger := _written(configuration.trigger_table):
        file["trigger"] = trigger
    if configuration.cors_table is not None:
        file["cors"] = _written(configuration.cors_table)
    if configuration.webhook_hosts:
        file["webhooks"] = {"hosts": list(configuration.webhook_hosts)}
    journal = {"redact": list(configuration.redacted), "bodies": configuration.keeps_bodies}
    if said := {key: value for key, value in journal.items() if value}:
        file["journal"] = said
    file["rules"] = []
    for entry in configuration.entries:
        if entry.on:
            document = document_of(entry.rule)
            _beside(document, Path(entry.source).absolute().parent)
            file["rules"].append(document)
    return file


def _beside(document: dict[str, Any], folder: Path) -> None:
    """A `file` is called by its way from the folder of the rules file, as there."""
    task = document.get("task", {})
    for table in (document, *document.get("replies", ()), task.get("result", {}), task.get("failure", {})):
        path = table.get("file") if isinstance(table, dict) else None
        if isinstance(path, str) and Path(path).is_relative_to(folder.resolve()):
            table["file"] = str(Path(path).relative_to(folder.resolve()))


def as_toml(file: Mapping[str, Any], *, comments: Sequence[str] = ()) -> str:
    """The text of a rules file. Raises ValueError where TOML has no word for a value."""
    return "\n".join(_lines(file, comments)) + "\n"


def _lines(file: Mapping[str, Any], comments: Sequence[str]) -> Iterator[str]:
    for comment in comments:
        yield f"# {_on_one_line(comment)}"
    tables = {key: value for key, value in file.items() if isinstance(value, Mapping)}
    for key, value in file.items():
        if key not in tables and key != "rules":
            yield f"{_key(key)} = {_value(value)}"
    for key, table in tables.items():
        yield ""
        yield f"[{_key(key)}]"
        for inner, value in table.items():
            yield f"{_key(inner)} = {_value(value)}"
    for rule in file.get("rules", ()):
        yield ""
        yield "[[rules]]"
        for key, value in rule.items():
            yield f"{_key(key)} = {_value(value)}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(str(key))} = {_value(inner)}" for key, inner in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    raise ValueError("TOML has no null; ask for the rules as JSON")


def _string(text: str) -> str:
    """A basic string (https://toml.io/en/v1.0.0#string): JSON's escapes, and one character more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
