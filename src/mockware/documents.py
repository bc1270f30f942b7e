"""TOML, YAML and JSON files, read into plain tables, lists and values.

Law: nothing is lost on the way, so a key that stands twice is an error in each of them. What the tables mean
is not looked at here.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from errno import EISDIR
from functools import cache
from os import strerror
from pathlib import Path
from typing import Any

from .exceptions import ConfigError, Problem, quoted


def read_document(path: Path) -> Any:
    """What a TOML, YAML or JSON file holds, by its ending.

    Raises OSError, ConfigError for a file of another kind, and ValueError or RecursionError for bad syntax.
    """
    if path.is_dir():
        raise IsADirectoryError(EISDIR, strerror(EISDIR))
    if path.suffix.lower() not in (".toml", ".json", ".yaml", ".yml"):
        raise ConfigError([Problem(str(path), "a rules file ends in .toml, .yaml, .yml or .json")])
    text = path.read_text("utf-8-sig")
    match path.suffix.lower():
        case ".toml":
            return tomllib.loads(text)
        case ".json":
            return json.loads(text, object_pairs_hook=_table)
        case _:
            try:
                import yaml
            except ImportError:
                hint = "YAML needs PyYAML: pip install 'mockware[yaml]'"
                raise ConfigError([Problem(str(path), hint)]) from None
            try:
                return yaml.load(text, Loader=_yaml_loader(yaml))  # noqa: S506 - a safe one
            except yaml.YAMLError as error:
                raise ValueError(error) from None


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What JSON leaves open (RFC 8259 section 4) and YAML forbids: a key that stands twice is a mistake."""
    table = dict(pairs)
    if len(table) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(twice)} stands twice in one table")
    return table


@cache
def _yaml_loader(yaml: Any) -> Any:
    # The same result from C, where the package was built with it, in a tenth of the time.
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        _table([(str(key.value), None) for key, _ in node.value])
        return base.construct_mapping(self, node, deep)

    return type("Loader", (base,), {"construct_mapping": construct_mapping})
