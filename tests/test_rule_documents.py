"""Rules that are written as a file are read again to equal rules, in TOML and in JSON."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.test_readme import RULES

from mockware import Rule
from mockware.config import load
from mockware.configuration import Configuration
from mockware.environment import Environment, read_environment
from mockware.rule_documents import as_toml, document_of, rules_file
from mockware.rules_files import read_rule, read_rules_file

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").rglob("*.toml"))
# Whoever only looks at rules need not have their secrets.
ON: Environment = read_environment({"MOCKWARE": "on"})._replace(variables=None)

DOCUMENTS: list[dict[str, Any]] = [
    {"match": "/a"},
    {
        "match": "GET,POST /a/{id:int}",
        "name": "x",
        "tags": ["t"],
        "status": 503,
        "headers": {"a": ["b", "c"]},
    },
    {"match": "/a", "json": None},
    {"match": "/a", "json": {"a": [1, 2.5, True, None, {"ü": '\x7f\n"\\'}]}},
    {"match": "/a", "when": {"query": {"a": {"not": {"regex": "^x"}}}, "json": {"deep": [1]}, "host": "h"}},
    {"match": "/a", "expires": "2027-01-31T18:00:00+01:00", "probability": {"value": 0.5, "per": "header:x"}},
    {"match": "/a", "replies": [{"status": 503, "times": 2}, {"text": "x", "delay": "1s"}], "then": "loop"},
    {"match": "/a", "patch": {"status": 201, "headers": {"x": False}, "json": {"a": None}}},
    {"match": "/a", "passthrough": True, "delay": {"min": "1s", "max": "2s"}, "delay_after": "1s"},
    {"match": "POST /a", "task": {"duration": "2s", "dialect": "azure", "failure": {"probability": 0.5}}},
    {"match": "/a", "times": 3, "count_per": "cookie:s", "drip": "1s", "fault": "cut", "text": "long"},
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_a_rule_that_is_written_is_the_same_rule(document: dict[str, Any]) -> None:
    rule = read_rule(document)
    again = document_of(rule)
    assert read_rule(again) == rule
    assert set(again) == set(document), "nothing is added, and nothing is lost"
    assert json.loads(json.dumps(again)) == again


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_the_examples_survive_to_be_written(path: Path, tmp_path: Path) -> None:
    survives(path, tmp_path)


def test_the_readmes_rules_survive_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "readme.toml"
    path.write_text(RULES)
    survives(path, tmp_path)


def survives(path: Path, folder: Path) -> None:
    before = load(ON, path)
    file = rules_file(before)
    for name, text in (("a.toml", as_toml(file)), ("a.json", json.dumps(file))):
        copy = folder / name
        copy.write_text(text, "utf-8")
        after = load(ON, copy)
        assert [entry.rule for entry in after.entries] == [entry.rule for entry in before.entries]
        assert after._replace(entries=(), sources=(), triggers=None, cors=None) == before._replace(
            entries=(), sources=(), triggers=None, cors=None
        )


def test_what_a_file_says_beside_its_rules_is_written_too(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    path = tmp_path / "a.toml"
    path.write_text(
        'never = ["/h"]\ntrust_forwarded = true\nserver_timing = true\n'
        '[trigger]\nmax_delay = "2s"\nstatuses = [503]\n'
        'query = "mock"\n[cors]\norigins = ["https://a.test"]\nmax_age = "10m"\n'
        '[webhooks]\nhosts = ["a.test"]\n[journal]\nredact = ["X-Own"]\n'
        '[[rules]]\nmatch = "/a"\nfile = "body.json"\n'
    )
    file = rules_file(load(ON, path))
    assert file["trigger"] == {"statuses": [503], "max_delay": "2s", "query": "mock"}
    assert file["cors"] == {"origins": ["https://a.test"], "max_age": "10m"}
    assert (file["never"], file["trust_forwarded"], file["journal"]) == (["/h"], True, {"redact": ["x-own"]})
    assert file["server_timing"] is True
    assert file["rules"] == [{"match": "/a", "file": "body.json"}]
    copy = tmp_path / "b.toml"
    copy.write_text(as_toml(file))
    assert read_rules_file(copy).webhooks == read_rules_file(path).webhooks


def test_a_rule_that_is_off_is_left_out() -> None:
    off = load(ON, [Rule("/a"), Rule("/b")])
    entries = (off.entries[0]._replace(on=False), off.entries[1])
    assert rules_file(Configuration(entries))["rules"] == [{"match": "/b"}]


values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), values, max_size=4))
def test_any_values_come_back_from_toml(rule: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml({"rules": [rule]}, comments=["a\nb"]))["rules"] == [rule]
