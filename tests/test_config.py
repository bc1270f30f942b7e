"""Files, variables and arguments become one configuration, or one error that says everything at once."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.by_hand import response_of

from mockware.config import load
from mockware.configuration import Configuration
from mockware.engine import Snapshot
from mockware.environment import read_environment
from mockware.exceptions import ConfigError, Problem
from mockware.messages import Request
from mockware.rules import RULE_KEYS, Rule
from mockware.rules_files import RulesFile, read_rules_file, schema
from mockware.triggers import TriggerFields

unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # a loaded machine is no failure

FORMS = ("toml", "yaml", "json")


def to_toml(value: object) -> str:
    """A value as it stands behind `=` in TOML, which has JSON's strings, numbers and lists."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(k)} = {to_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(to_toml, value)) + "]"
        case date():
            return value.isoformat()
    return json.dumps(value)


def write(folder: Path, form: str, document: Mapping[str, object]) -> Path:
    path = folder / f"mocks.{form}"
    if form == "toml":
        text = "".join(f"{key} = {to_toml(value)}\n" for key, value in document.items())
    elif form == "yaml":
        text = yaml.safe_dump(dict(document), allow_unicode=True, sort_keys=False)
    else:
        text = json.dumps(document, default=str)
    path.write_text(text, "utf-8")
    return path


def problems_of(path: Path) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as refused:
        read_rules_file(path)
    return refused.value.problems


def loaded(rules: Any = None, **environ: str) -> Configuration:
    return load(read_environment(environ, enabled=True), rules)


def load_problems(rules: Any = None, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as refused:
        loaded(rules, **environ)
    return refused.value.problems


# The same rules in every form

RULES: dict[str, dict[str, Any]] = {
    "only a match": {"match": "POST /reports"},
    "no method": {"match": "/legacy/{rest:path}", "status": 410},
    "json": {"match": "GET /a", "status": 200, "json": {"b": [1, 2.5, True, "é\n", {}], "a": []}},
    "text": {"match": "GET /a", "text": "zwölf\r\n"},
    "file": {"match": "GET /a", "file": "answers/a.json"},
    "headers": {"match": "/a", "headers": {"Set-Cookie": ["a=1", "b=2"], "retry-after": 30, "x-a": "é"}},
    "when": {
        "match": "/a",
        "when": {
            "host": ["a.example", "b.example:80"],
            "query": {"expand": "full", "page": {"not": {"regex": "^[0-9]+$"}}},
            "headers": {"X-Tenant": {"regex": "^acme", "contains": "2"}, "x-b": {"present": False}},
            "cookies": {"session": ["a", "b"]},
            "json": {"items": [{"id": 1}], "on": True},
        },
    },
    "a name and tags": {"match": "/a", "name": "payments-down", "tags": ["payments", "demo"]},
    "passthrough": {"match": "/a", "passthrough": True, "delay": "100ms"},
    "a fixed delay": {"match": "/a", "delay": "1.5s"},
    "a drawn delay": {"match": "/a", "delay": {"min": "1s", "max": "2s"}},
    "a chance": {"match": "/a", "probability": 0.25},
    "a certainty": {"match": "/a", "probability": 1},
    "an end as text": {"match": "/a", "expires": "2027-01-31T18:00:00+01:00"},
    "an end as a time": {
        "match": "/a",
        "expires": datetime(2027, 1, 31, 18, tzinfo=timezone(timedelta(hours=1))),
    },
}


def comparable(rule: Rule, folder: Path) -> tuple[object, ...]:
    """All that a rule says, but conditions by their text."""
    when = rule.when
    assert not isinstance(when, Mapping)
    conditions = when and (
        repr(when.host),
        repr(when.query),
        repr(when.headers),
        repr(when.cookies),
        when.json,
    )
    file = rule.file and (folder / rule.file).resolve()
    return (
        (rule.matched.methods, rule.matched.template.text, rule.name, list(rule.tags), conditions),
        (rule.status, rule.headers, rule.json, rule.text, file),
        (rule.passthrough, rule.delays, rule.probability, rule.expires),
        None if rule.passthrough else (response_of(rule, "r").headers, response_of(rule, "r").body),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("declared", RULES.values(), ids=RULES)
def test_a_file_in_any_form_gives_the_rule_that_python_gives(
    declared: dict[str, Any], form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/a.json").write_text("{}")
    (rule,) = read_rules_file(write(tmp_path, form, {"rules": [declared]})).rules
    made = Rule(**declared)
    assert comparable(rule, tmp_path) == comparable(made, tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_in_any_form_gives_the_same_paths_and_triggers(form: str, tmp_path: Path) -> None:
    trigger = {
        "enabled": True,
        "statuses": [202, 503],
        "paths": ["/api/"],
        "max_delay": "2s",
        "status_header": "X-Demo-Status",
        "name_header": "X-Demo-Name",
        "delay_header": "X-Demo-Delay",
        "key_header": "X-Demo-Key",
    }
    document = {"never": ["/healthz", "/metrics/{rest:path}"], "trigger": trigger, "rules": []}
    path = write(tmp_path, form, document)
    file = read_rules_file(path)
    assert file.never == ["/healthz", "/metrics/{rest:path}"]
    assert {name: getattr(file.trigger, name) for name in trigger} == trigger
    configuration = loaded(str(path))
    assert configuration.never == ("/healthz", "/metrics/{rest:path}")
    assert configuration.triggers is not None
    assert configuration.triggers.fields == TriggerFields(
        "X-Demo-Status", "X-Demo-Name", "X-Demo-Delay", "X-Demo-Key"
    )


def test_the_example_of_the_design_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text(
        """#:schema ./mockware.schema.json
        never = ["/healthz", "/metrics/{rest:path}"]

        [[rules]]
        match = "POST /reports"

        [[rules]]
        name  = "payments-down"
        tags  = ["payments"]
        match = "GET,POST /payments/{id:int}"
        when  = { query = { expand = "full" }, headers = { x-tenant = { regex = "^acme" } } }
        status = 503
        headers = { retry-after = "30" }
        json  = { error = "down for the demo" }
        delay = { min = "200ms", max = "5s" }
        probability = 0.25
        expires = 2027-01-31T18:00:00Z

        [[rules]]
        match = "/legacy/health"
        passthrough = true

        [[rules]]
        match = "/legacy/{rest:path}"
        status = 410
        """
    )
    file = read_rules_file(path)
    assert [rule.match for rule in file.rules] == [
        "POST /reports",
        "GET,POST /payments/{id:int}",
        "/legacy/health",
        "/legacy/{rest:path}",
    ]
    assert file.rules[1].expires == datetime(2027, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_with_a_byte_order_mark_is_read(form: str, tmp_path: Path) -> None:
    path = write(tmp_path, form, {"rules": [{"match": "/é"}]})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_rules_file(path).rules == [Rule("/é")]


@pytest.mark.parametrize("ending", [".TOML", ".Json", ".YAML", ".yml"])
def test_the_ending_of_a_file_may_be_in_capitals_and_yaml_has_two(ending: str, tmp_path: Path) -> None:
    form = ending[1:].lower().replace("yml", "yaml")
    path = write(tmp_path, form, {"rules": [{"match": "/a"}]})
    assert read_rules_file(path.rename(tmp_path / f"mocks{ending}")).rules == [Rule("/a")]


def test_the_key_that_tells_editors_of_the_schema_is_no_unknown_key(tmp_path: Path) -> None:
    path = write(tmp_path, "json", {"$schema": "./mockware.schema.json", "rules": [{"match": "/a"}]})
    assert read_rules_file(path).rules == [Rule("/a")]


def test_an_empty_toml_file_has_no_rules(tmp_path: Path) -> None:
    assert read_rules_file(write(tmp_path, "toml", {})) == RulesFile()


def test_a_file_is_read_relative_to_the_rules_file_and_not_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mocks/answers").mkdir(parents=True)
    (tmp_path / "mocks/answers/a.txt").write_text("right")
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers/a.txt").write_text("wrong")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mocks", "toml", {"rules": [{"match": "/a", "file": "answers/a.txt"}]})
    (rule,) = read_rules_file(Path("mocks/mocks.toml")).rules
    assert response_of(rule, "r").body == b"right"


# One test for each problem that a rule can have: (what was declared, the key, the value, what is said)

LONG = "x" * 300
PROBLEMS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "no match": ({"status": 200}, "match", "", "required, but absent"),
    "a match that is no text": ({"match": 5}, "match", "5", "expected a string"),
    "a match without a path": (
        {"match": "POST reports"},
        "match",
        "'POST reports'",
        "expected `[METHOD[,METHOD...]] /path`, such as `POST /reports`",
    ),
    "a blank between methods": ({"match": "GET, POST /a"}, "match", "'GET, POST /a'", "expected `[METHOD["),
    "a query in the match": (
        {"match": "GET /a?b=1"},
        "match",
        "'GET /a?b=1'",
        "a path has no `?`; put the query into `when = { query = ... }`",
    ),
    "a percent-encoded path": (
        {"match": "/a%20b"},
        "match",
        "'/a%20b'",
        "paths are compared decoded; write `/a b`",
    ),
    "an unknown path converter": (
        {"match": "/a/{id:itn}"},
        "match",
        "'/a/{id:itn}'",
        "`itn` is no path converter; did you mean `int`? Allowed: str, path, int, float, uuid",
    ),
    "a parameter that stands twice": (
        {"match": "/{id}/{id}"},
        "match",
        "'/{id}/{id}'",
        "the parameter `id` stands twice in one path",
    ),
    "a brace without its partner": ({"match": "/{id"}, "match", "'/{id'", "a brace without its partner"),
    "a name with a blank": ({"name": "two words"}, "name", "'two words'", "at most 64 letters, digits"),
    "a name with a comma": ({"name": "a,b"}, "name", "'a,b'", "at most 64 letters, digits"),
    "a name that is a switch": ({"name": "Off"}, "name", "'Off'", "neither `on` nor `off`"),
    "a name that stands for triggers": ({"name": "trigger"}, "name", "'trigger'", "no rule's; take another"),
    "a name that stands for preflights": ({"name": "Cors"}, "name", "'Cors'", "no rule's; take another"),
    "a name that is too long": ({"name": "x" * 65}, "name", f"'{'x' * 63}...", "at most 64 letters, digits"),
    "a name that is no text": ({"name": 5}, "name", "5", "expected a string"),
    "tags that are no list": ({"tags": "payments"}, "tags", "'payments'", "expected a list"),
    "a tag with a blank": ({"tags": ["a", "b c"]}, "tags.1", "'b c'", "at most 64 letters, digits"),
    "a status below 200": ({"status": 199}, "status", "199", "expected a status from 200 to 599"),
    "a status above 599": ({"status": 600}, "status", "600", "expected a status from 200 to 599"),
    "a status that is true": ({"status": True}, "status", "true", "expected an integer"),
    "a status with a point": ({"status": 202.0}, "status", "202.0", "expected an integer"),
    "a status in quotes": ({"status": "202"}, "status", "'202'", "expected an integer"),
    "a header with a line feed": (
        {"headers": {"x-a": "b\nSet-Cookie: c"}},
        "headers.x-a",
        r"'b\nSet-Cookie: c'",
        "one line of printable Latin-1 without blanks at its ends (no CR, LF or NUL)",
    ),
    "a header with a carriage return": ({"headers": {"x-a": "b\rc"}}, "headers.x-a", r"'b\rc'", "no CR"),
    "a header with a NUL": ({"headers": {"x-a": "b\0c"}}, "headers.x-a", r"'b\x00c'", "no CR, LF or NUL"),
    "a header beyond Latin-1": ({"headers": {"x-a": "€"}}, "headers.x-a", r"'\u20ac'", "printable Latin-1"),
    "a header with a blank at its end": ({"headers": {"x-a": "b "}}, "headers.x-a", "'b '", "without blanks"),
    "a repeated header with one bad value": (
        {"headers": {"x-a": ["b", "c\n"]}},
        "headers.x-a",
        r"['b', 'c\n']",
        "no CR, LF or NUL",
    ),
    "a header that is true": (
        {"headers": {"x-a": True}},
        "headers.x-a",
        "true",
        "expected a string, or a list",
    ),
    "a header with a point": (
        {"headers": {"x-a": 1.5}},
        "headers.x-a",
        "1.5",
        "expected a string, or a list",
    ),
    "a header that is a table": (
        {"headers": {"x-a": {"b": "c"}}},
        "headers.x-a",
        "{'b': 'c'}",
        "expected a str",
    ),
    "headers that are a list": ({"headers": ["x-a: b"]}, "headers", "['x-a: b']", "expected a table"),
    "a length of the body": (
        {"headers": {"Content-Length": "5"}},
        "headers.Content-Length",
        "'Content-Length'",
        "set by the server or by mockware",
    ),
    "a transfer coding": (
        {"headers": {"transfer-encoding": "chunked"}},
        "headers.transfer-encoding",
        "'transfer-encoding'",
        "set by the server or by mockware",
    ),
    "a mark of a mock": (
        {"headers": {"X-Mock-Rule": "a"}},
        "headers.X-Mock-Rule",
        "'X-Mock-Rule'",
        "set by the server or by mockware",
    ),
    "a header's name with a blank": (
        {"headers": {"x a": "b"}},
        "headers.x a",
        "'x a'",
        "a header's name is made of letters, digits and",
    ),
    "json and text together": (
        {"json": {}, "text": "a"},
        "text",
        "'a'",
        "a rule has one body, and there is `json` already; allowed: json, text or file",
    ),
    "json and a file together": ({"json": {}, "file": "a.txt"}, "file", "'a.txt'", "there is `json` already"),
    "text and a file together": ({"text": "", "file": "a.txt"}, "file", "'a.txt'", "there is `text` already"),
    "json with a 204": ({"status": 204, "json": {}}, "json", "{}", "a 204 has no body"),
    "text with a 205": ({"status": 205, "text": "a"}, "text", "'a'", "a 205 has no body"),
    "a file with a 304": ({"status": 304, "file": "a.txt"}, "file", "'a.txt'", "a 304 has no body"),
    "text that is no text": ({"text": 5}, "text", "5", "expected a string"),
    "a missing file": ({"file": "b.txt"}, "file", "'b.txt'", "no such file"),
    "a file that is a folder": ({"file": "folder"}, "file", "'folder'", "no such file"),
    "a file with an impossible name": ({"file": LONG}, "file", f"'{'x' * 63}...", "file"),
    "a file that is a link to itself": ({"file": "loop"}, "file", "'loop'", "file"),
    "a file that is no name": ({"file": 5}, "file", "5", "expected a string"),
    "passthrough with a status": (
        {"passthrough": True, "status": 200},
        "passthrough",
        "true",
        "a rule has one action, and `status` is a reply",
    ),
    "passthrough with headers": (
        {"passthrough": True, "headers": {"x-a": "b"}},
        "passthrough",
        "true",
        "a rule has one action, and `headers` is a reply",
    ),
    "passthrough with json": ({"passthrough": True, "json": {}}, "passthrough", "true", "`json` is a reply"),
    "passthrough with text": ({"passthrough": True, "text": ""}, "passthrough", "true", "`text` is a reply"),
    "passthrough with a file": (
        {"passthrough": True, "file": "a.txt"},
        "passthrough",
        "true",
        "`file` is a reply",
    ),
    "passthrough in quotes": ({"passthrough": "yes"}, "passthrough", "'yes'", "expected a boolean"),
    "a delay without a unit": (
        {"delay": 200},
        "delay",
        "200",
        "a bare number has no unit; write `200s` or `200ms`",
    ),
    "a delay with an unknown unit": ({"delay": "1d"}, "delay", "'1d'", "`d` is no unit here; write `24h`"),
    "too long a delay": ({"delay": "31s"}, "delay", "'31s'", "a delay is at most 30s"),
    "a delay with its ends exchanged": (
        {"delay": {"min": "2s", "max": "1s"}},
        "delay",
        "{'min': '2s', 'max': '1s'}",
        "`min` is longer than `max`",
    ),
    "a delay with one end": (
        {"delay": {"min": "2s"}},
        "delay",
        "{'min': '2s'}",
        "a table with `min` and `max`",
    ),
    "a delay with a third end": (
        {"delay": {"min": "1s", "max": "2s", "median": "1s"}},
        "delay",
        "{'min': '1s', 'max': '2s', 'median': '1s'}",
        "a table with `min` and `max`",
    ),
    "a delay with a bare number for its median": (
        {"delay": {"median": 1, "sigma": 1}},
        "delay",
        "{'median': 1, 'sigma': 1}",
        "write `1s` or `1ms`",
    ),
    "a delay whose sigma is text": (
        {"delay": {"median": "1s", "sigma": "1"}},
        "delay",
        "{'median': '1s', 'sigma': '1'}",
        "`sigma` is a number above 0",
    ),
    "a delay whose median is its maximum": (
        {"delay": {"median": "30s", "sigma": 1}},
        "delay",
        "{'median': '30s', 'sigma': 1}",
        "`median` is above 0 and below `max`",
    ),
    "a drip without end": ({"drip": "1m"}, "drip", "'1m'", "a delay is at most 30s"),
    "a drip of no time": ({"drip": "0ms"}, "drip", "'0ms'", "leave the key out"),
    "a drip of nothing": (
        {"drip": "1s", "fault": "empty"},
        "fault",
        "'empty'",
        "`empty` sends no body, and so there is nothing to `drip`",
    ),
    "an unknown fault": ({"fault": "rst"}, "fault", "'rst'", "allowed: cut, stall, empty"),
    "replies of no number": ({"replies": []}, "replies", "[]", "one or more replies"),
    "a reply with an unknown key": (
        {"replies": [{"tims": 2}]},
        "replies.0.tims",
        "2",
        "no such key; did you mean `times`?",
    ),
    "a reply that is never given": (
        {"replies": [{}, {"times": 0}]},
        "replies.1.times",
        "0",
        "greater than or equal to 1",
    ),
    "two actions": ({"replies": [{}], "text": "x"}, "replies", "[{}]", "`text` is a reply"),
    "two other actions": (
        {"replies": [{}], "patch": {}},
        "patch",
        "{}",
        "a rule has one action, and `replies` is another",
    ),
    "a fault of the app": (
        {"passthrough": True, "fault": "cut"},
        "passthrough",
        "true",
        "`fault` is about a reply",
    ),
    "an end of nothing": ({"then": "loop"}, "then", "'loop'", "only beside `replies`"),
    "an unknown end": (
        {"replies": [{}], "then": "lst"},
        "then",
        "'lst'",
        "did you mean `last`? Allowed: last, loop,",
    ),
    "a count of nothing": ({"count_per": "path"}, "count_per", "'path'", "only beside `times` or `replies`"),
    "a count by nobody": (
        {"times": 1, "count_per": "hedaer:x"},
        "count_per",
        "'hedaer:x'",
        "did you mean `header`?",
    ),
    "a delay after no app": ({"delay_after": "1s"}, "delay_after", "'1s'", "beside `passthrough` or `patch`"),
    "a patch of another kind": (
        {"patch": {"body": 1}},
        "patch.body",
        "1",
        "no such key; did you mean `json`? Allowed: status, headers, json",
    ),
    "a patch of the length": (
        {"patch": {"headers": {"Content-Length": "1"}}},
        "patch.headers.Content-Length",
        "'Content-Length'",
        "set by the server or by mockware",
    ),
    "a patch of one field in two spellings": (
        {"patch": {"headers": {"X-A": "1", "x-a": False}}},
        "patch",
        "{'headers': {'X-A': '1', 'x-a': false}}",
        "both set and removed",
    ),
    "a chance per nobody": (
        {"probability": {"value": 0.5, "per": "rule"}},
        "probability",
        "{'value': 0.5, 'per': 'rule'}",
        "`per` is `path`, `header:NAME`",
    ),
    "a template that is none": (
        {"template": True, "text": "{{ now"},
        "text",
        "'{{ now'",
        "line 1",
    ),
    "a template of what there is not": (
        {"template": True, "json": {"a": "{{ request.qurey.a }}"}},
        "json",
        "{'a': '{{ request.qurey.a }}'}",
        "did you mean `query`?",
    ),
    "a template in a header": (
        {"template": True, "headers": {"a": "{{ nwo }}"}},
        "headers",
        "{'a': '{{ nwo }}'}",
        "did you mean `now`?",
    ),
    "a drawn delay without a unit": (
        {"delay": {"min": 1, "max": 2}},
        "delay",
        "{'min': 1, 'max': 2}",
        "a bare number has no unit; write `1s` or `1ms`",
    ),
    "a delay that is a list": ({"delay": ["1s"]}, "delay", "['1s']", "a duration is a number and a unit"),
    "a probability above 1": ({"probability": 25}, "probability", "25", "expected a number from 0 to 1"),
    "a probability below 0": (
        {"probability": -0.5},
        "probability",
        "-0.5",
        "expected a number from 0 to 1",
    ),
    "a probability that is true": ({"probability": True}, "probability", "true", "expected a number"),
    "a probability in quotes": ({"probability": "0.5"}, "probability", "'0.5'", "expected a number"),
    "an end without an offset": (
        {"expires": "2027-01-31T18:00:00"},
        "expires",
        "'2027-01-31T18:00:00'",
        "a time without an offset; end it with `Z` for UTC, or `+01:00`",
    ),
    "an end that is a day": (
        {"expires": "2027-01-31"},
        "expires",
        "'2027-01-31'",
        "a time without an offset",
    ),
    "an end that is no time": ({"expires": "soon"}, "expires", "'soon'", "such as 2027-01-31T18:00:00Z"),
    "an end that is a number": ({"expires": 5}, "expires", "5", "such as 2027-01-31T18:00:00Z"),
    "an unknown key": (
        {"statsu": 200},
        "statsu",
        "200",
        "no such key; did you mean `status`? Allowed: match, name, tags, when, template, status",
    ),
    "an unknown key that resembles none": ({"zzz": 1}, "zzz", "1", "no such key; allowed: match, name, tags"),
    **{
        f"the {word} of a rule, by another name": (
            {word: "x"},
            word,
            "'x'",
            f"no such key; did you mean `{meant}`? Allowed: match, name, tags",
        )
        for word, meant in {
            "path": "match",
            "method": "match",
            "url": "match",
            "route": "match",
            "body": "json` or `text` or `file",
        }.items()
    },
    **{
        f"the switch {word}": ({word: False}, word, "false", "`MOCKWARE` names the rules that are on")
        for word in ("on", "enabled", "disabled")
    },
    "an unknown key in when": (
        {"when": {"header": {}}},
        "when.header",
        "{}",
        "no such key; did you mean `headers`? Allowed: host, query, headers, cookies, json",
    ),
    "when that is no table": ({"when": "x-a"}, "when", "'x-a'", "expected a table"),
    "a condition that is a number": (
        {"when": {"query": {"page": 1}}},
        "when.query.page",
        "1",
        'expected a string, a list of strings or a table; write "1"',
    ),
    "an empty list of values": ({"when": {"query": {"a": []}}}, "when.query.a", "[]", "one or more strings"),
    "an unknown kind of condition": (
        {"when": {"headers": {"x-a": {"regexp": "a"}}}},
        "when.headers.x-a",
        "{'regexp': 'a'}",
        "`regexp` is no kind of condition; did you mean `regex`? Allowed: regex, contains, present, not",
    ),
    "a bad regular expression": (
        {"when": {"headers": {"x-a": {"regex": "("}}}},
        "when.headers.x-a",
        "{'regex': '('}",
        "bad regular expression: missing ), unterminated subpattern at position 0",
    ),
    "a look-behind without a width": (
        {"when": {"headers": {"x-a": {"regex": "(?<=a+)b"}}}},
        "when.headers.x-a",
        "{'regex': '(?<=a+)b'}",
        "bad regular expression: look-behind requires fixed-width pattern",
    ),
    "an exponential regular expression": (
        {"when": {"cookies": {"a": {"regex": "(a+)+$"}}}},
        "when.cookies.a",
        "{'regex': '(a+)+$'}",
        "can take exponential time on a hostile value",
    ),
    "an exponential one behind a not": (
        {"when": {"host": {"not": {"regex": "(a|ab)*$"}}}},
        "when.host",
        "{'not': {'regex': '(a|ab)*$'}}",
        "can take exponential time on a hostile value",
    ),
    "a condition on a header that cannot be": (
        {"when": {"headers": {"x a": "b"}}},
        "when.headers.x a",
        "'x a'",
        "a header's name is made of letters, digits and",
    ),
}


def check_problem(problem: Problem, key: str, value: str, said: str) -> None:
    # That a header's name has the header's own key is a test of its own.
    assert (problem.key.removesuffix(".[key]"), problem.value) == (key, value)
    assert said in problem.message
    assert len(str(problem).splitlines()) == 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the rules file is, with a file beside it, a folder, and a link that leads to itself."""
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("declared", "key", "value", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_python_is_told_of_a_problem(
    declared: dict[str, Any], key: str, value: str, said: str, folder: Path
) -> None:
    arguments = declared if "match" in declared or key == "match" else {"match": "/a", **declared}
    with pytest.raises(ConfigError) as refused:
        Rule(**arguments)
    (problem,) = refused.value.problems
    assert (problem.source, problem.rule) == ("Rule", "")
    check_problem(problem, key, value, said)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("declared", "key", "value", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_file_is_told_of_a_problem(
    declared: dict[str, Any], key: str, value: str, said: str, form: str, folder: Path
) -> None:
    arguments = declared if "match" in declared or key == "match" else {"match": "/a", **declared}
    path = write(folder, form, {"rules": [{"match": "/before"}, arguments, {"match": "/behind"}]})
    (problem,) = problems_of(path)
    assert problem.source == str(path)
    assert problem.rule.startswith("rule 2")
    check_problem(problem, key, value, said)


def test_all_keys_of_a_rule_are_told() -> None:
    with pytest.raises(ConfigError) as refused:
        Rule("/a", zzz=1)  # type: ignore[call-arg]
    assert refused.value.problems[0].message == f"no such key; allowed: {', '.join(RULE_KEYS)}"


def test_a_problem_with_a_headers_name_has_the_headers_own_key(tmp_path: Path) -> None:
    declared = {"match": "/a", "headers": {"date": "x"}, "when": {"headers": {"a b": "x"}}}
    keys = [problem.key for problem in problems_of(write(tmp_path, "toml", {"rules": [declared]}))]
    assert sorted(keys) == ["headers.date", "when.headers.a b"]


WRONG: list[object] = [5, -1.5, True, "?", [], ["a", 5], [["a"]], {}, {"a": 5}, {"a": {"b": []}}]
KEYS = ["match", "name", "tags", "when", "status", "headers", "text", "file", "passthrough", "delay"]
KEYS += ["probability", "expires", "unknown"]


@pytest.mark.parametrize("key", KEYS)
def test_no_word_of_the_machinery_reaches_a_user(key: str, tmp_path: Path) -> None:
    for value in WRONG:
        path = write(tmp_path, "json", {"rules": [{"match": "/a", key: value}]})
        try:
            read_rules_file(path)
        except ConfigError as error:
            for problem in error.problems:
                shown = f"{problem.key} {problem.message}".lower()
                for word in (
                    "input",
                    "instance",
                    "sequence",
                    "class",
                    "lax",
                    "[key]",
                    "pydantic",
                    "a integer",
                ):
                    assert word not in shown, str(problem)


# The problems of a file as a whole


def test_a_missing_rules_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mocks.toml"
    assert problems_of(path) == (Problem(str(path), "cannot be read: No such file or directory"),)


@pytest.mark.parametrize("name", ["folder", "folder.toml"])
def test_a_folder_in_place_of_a_rules_file_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert problems_of(tmp_path / name) == (Problem(str(tmp_path / name), "cannot be read: Is a directory"),)


@pytest.mark.parametrize("name", ["mocks", "mocks.txt", "mocks.toml.bak", ".toml"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe"], ids=["empty", "binary"])
def test_a_file_without_a_known_ending_is_told_which_are_known(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    (problem,) = problems_of(tmp_path / name)
    assert problem == Problem(str(tmp_path / name), "a rules file ends in .toml, .yaml, .yml or .json")


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("toml", "[[rules]\n", "line 1"),
        ("toml", "a = 1\nb =\n", "line 2"),
        ("toml", "a = 1\na = 2\n", "overwrite"),
        ("json", '{"rules": [}', "line 1 column 12"),
        ("json", "", "line 1 column 1"),
        ("json", "9" * 5000, "4300 digits"),
        ("yaml", "rules:\n  - match: [\n", "line 3"),
        ("yaml", "a: b: c", "line 1"),
        ("yaml", "? [a]\n: b", "line 1"),
        ("yaml", "a: !!python/object:os.system {}", "python/object"),
        ("yaml", "a: *unknown", "undefined alias"),
        ("yaml", "a: 1\n---\nb: 2", "document"),
        ("json", "[" * 100_000, "recursion"),
    ],
    ids=lambda text: str(text)[:16],
)
def test_a_file_that_is_broken_is_told_where_on_one_line(
    form: str, text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / f"mocks.{form}"
    path.write_text(text)
    (problem,) = problems_of(path)
    assert problem.message.startswith(f"not {form.upper()}: ")
    assert said in problem.message
    assert len(str(problem).splitlines()) == 1


@pytest.mark.parametrize("form", FORMS)
def test_bytes_that_are_no_utf_8_are_named(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"mocks.{form}"
    path.write_bytes(b"a: \xff")
    (problem,) = problems_of(path)
    assert problem.message.startswith(f"not {form.upper()}: ")
    assert "0xff" in problem.message


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("json", "[]"),
        ("json", "null"),
        ("json", '"/a"'),
        ("yaml", "- match: /a"),
        ("yaml", ""),
        ("yaml", "5"),
    ],
)
def test_a_file_that_is_no_table_is_told_the_keys_of_one(form: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"mocks.{form}"
    path.write_text(text)
    assert problems_of(path) == (
        Problem(
            str(path),
            "expected a table with never, trigger, cors, webhooks, journal, trust_forwarded, server_timing, "
            "rules",
        ),
    )


@pytest.mark.parametrize(
    ("document", "key", "value", "said"),
    [
        (
            {"rule": []},
            "rule",
            "[]",
            (
                "no such key; did you mean `rules`? Allowed: never, trigger, cors, webhooks, journal, "
                "trust_forwarded, server_timing, rules"
            ),
        ),
        ({"rules": {"match": "/a"}}, "rules", "{'match': '/a'}", "expected a list"),
        ({"rules": "/a"}, "rules", "'/a'", "expected a list"),
        ({"never": "/a"}, "never", "'/a'", "expected a list"),
        ({"never": ["a"]}, "never.0", "'a'", "a path starts with `/`"),
        ({"never": ["/a", "GET /b"]}, "never.1", "'GET /b'", "a path starts with `/`"),
        ({"never": ["/{a:itn}"]}, "never.0", "'/{a:itn}'", "did you mean `int`?"),
        ({"trigger": []}, "trigger", "[]", "expected a table"),
        (
            {"trigger": {"status": [200]}},
            "trigger.status",
            "[200]",
            "no such key; did you mean `statuses`? Allowed: enabled, statuses, paths, max_delay",
        ),
        ({"trigger": {"enabled": "yes"}}, "trigger.enabled", "'yes'", "expected a boolean"),
        (
            {"trigger": {"statuses": [200, 99]}},
            "trigger.statuses.1",
            "99",
            "expected a status from 200 to 599",
        ),
        ({"trigger": {"statuses": ["200"]}}, "trigger.statuses.0", "'200'", "expected an integer"),
        ({"trigger": {"statuses": 200}}, "trigger.statuses", "200", "expected a list"),
        ({"trigger": {"paths": ["api"]}}, "trigger.paths.0", "'api'", "a path starts with `/`"),
        ({"trigger": {"max_delay": 5}}, "trigger.max_delay", "5", "write `5s` or `5ms`"),
        ({"trigger": {"max_delay": "31s"}}, "trigger.max_delay", "'31s'", "a delay is at most 30s"),
        ({"trigger": {"status_header": "a b"}}, "trigger.status_header", "'a b'", "a header's name is made"),
        ({"trigger": {"key_header": "Date"}}, "trigger.key_header", "'Date'", "set by the server"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_problem_outside_the_rules_is_told_with_its_key(
    document: dict[str, object], key: str, value: str, said: str, form: str, tmp_path: Path
) -> None:
    path = write(tmp_path, form, document)
    (problem,) = problems_of(path)
    assert (problem.source, problem.rule, problem.key, problem.value) == (str(path), "", key, value)
    assert said in problem.message


HEAD = "no such key here; it belongs to the head of the file; in TOML, before the first `[[rules]]`"


@pytest.mark.parametrize(
    ("lines", "key", "said"),
    [
        ("server_timing = true", "server_timing", HEAD),
        ('never = ["/healthz"]', "never", HEAD),
        ("[rules.when]\ntrust_forwarded = true", "when.trust_forwarded", HEAD),
        (
            "[rules.task]\nname = 'a'",
            "task.name",
            "it belongs to the rule; in TOML, write it above `[rules.task]`",
        ),
        ("[rules.when]\nstatus = 503", "when.status", "to the rule; in TOML, write it above `[rules.when]`"),
        ("[[rules.replies]]\ntags = ['a']", "replies.0.tags", "to the rule; in TOML, write it above"),
        (
            "[rules.task]\n[rules.task.result]\ndialect = 'azure'",
            "task.result.dialect",
            "it belongs to `task`; in TOML, write it above `[rules.task.result]`",
        ),
        (
            "[rules.task.result]\nname = 'a'",
            "task.result.name",
            "to the rule; in TOML, write it above `[rules.task]`",
        ),
        ("[rules.task]\nstatus = 202", "task.status", "no such key here; what a task gives is its `result`"),
        ("[rules.task]\nnaem = 'a'", "task.naem", "no such key; allowed: "),
        ("[trigger]\nnever = ['/a']", "trigger.never", HEAD),
    ],
)
def test_a_key_below_the_wrong_heading_is_told_where_it_belongs(
    lines: str, key: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "mocks.toml"
    path.write_text(f'[[rules]]\nmatch = "/a"\n{lines}\n')
    (problem,) = problems_of(path)
    assert problem.key == key
    assert said in problem.message


def test_two_spellings_of_one_header_in_when_do_not_lose_a_condition(tmp_path: Path) -> None:
    when = {"headers": {"X-Tenant": "acme", "x-tenant": {"present": True}}}
    path = write(tmp_path, "toml", {"rules": [{"match": "/a", "when": when}]})
    try:
        (rule,) = read_rules_file(path).rules
    except ConfigError:
        return  # is as good: the file says two things
    assert rule.difference(Request("GET", "/a", headers={"x-tenant": "other"})) is not None


def test_two_triggers_cannot_have_one_header(tmp_path: Path) -> None:
    path = write(tmp_path, "toml", {"trigger": {"name_header": "x-mock-STATUS"}})
    (problem,) = problems_of(path)
    assert problem.key.startswith("trigger.")


@pytest.mark.parametrize("item", ["/a", 5, None, ["/a"]])
def test_a_rule_that_is_no_table_is_told_by_its_number(item: object, tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, "json", {"rules": [{"match": "/a"}, item]}))
    assert (problem.rule, problem.key, problem.message) == ("rule 2", "", "expected a table")


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        ({"match": "POST /a", "name": "down", "status": 1}, "rule 1 'down'"),
        ({"match": "POST /a", "status": 1}, "rule 1 'POST /a'"),
        ({"match": "/é\n", "status": 1}, r"rule 1 '/\xe9\n'"),
        ({"status": 200}, "rule 1"),
    ],
)
def test_a_rule_with_a_problem_goes_by_its_number_and_name_or_match(
    rule: dict[str, object], label: str, tmp_path: Path
) -> None:
    (problem,) = problems_of(write(tmp_path, "toml", {"rules": [rule]}))
    assert problem.rule == label


def test_all_problems_of_a_file_come_in_one_error_in_the_order_of_the_file(folder: Path) -> None:
    document = {
        "nevr": [],
        "never": ["healthz"],
        "trigger": {"statuses": [1], "max_dely": "1s"},
        "rules": [
            {"match": "reports", "status": 99, "delay": 5},
            {"match": "/fine"},
            {"match": "/b", "name": "down", "json": {}, "text": "", "statsu": 1, "file": "none.txt"},
            {"match": "/c", "headers": {"x-a": "b\n", "date": "c"}, "expires": "soon"},
            {"match": "/d", "when": {"query": {"a": 1, "b": {"regex": "("}}, "hots": "x"}},
            {"status": 204, "text": "", "passthrough": True},
        ],
    }
    for form in FORMS:
        problems = problems_of(write(folder, form, document))
        found = {(problem.rule, problem.key.removesuffix(".[key]")) for problem in problems}
        assert found >= {
            ("", "nevr"),
            ("", "never.0"),
            ("", "trigger.statuses.0"),
            ("", "trigger.max_dely"),
            ("rule 1 'reports'", "match"),
            ("rule 1 'reports'", "status"),
            ("rule 1 'reports'", "delay"),
            ("rule 3 'down'", "text"),
            ("rule 3 'down'", "statsu"),
            ("rule 3 'down'", "file"),
            ("rule 4 '/c'", "headers.x-a"),
            ("rule 4 '/c'", "headers.date"),
            ("rule 4 '/c'", "expires"),
            ("rule 5 '/d'", "when.query.a"),
            ("rule 5 '/d'", "when.query.b"),
            ("rule 5 '/d'", "when.hots"),
            ("rule 6", "match"),
            ("rule 6", "text"),
            ("rule 6", "passthrough"),
        }
        numbers = [problem.rule.split()[1] for problem in problems if problem.rule]
        assert numbers == sorted(numbers)


# A file of a rule stays inside the folder of the rules file


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the folder of the rules, which is `tmp_path / "rules"`."""
    (tmp_path / "rules/inner").mkdir(parents=True)
    (tmp_path / "rules/inner/fine.txt").write_text("fine")
    (tmp_path / "rules-too").mkdir()
    (tmp_path / "rules-too/secret.txt").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path / "secret.txt"


def file_problems(secret: Path, file: str) -> tuple[Problem, ...]:
    return problems_of(write(secret.parent / "rules", "toml", {"rules": [{"match": "/a", "file": file}]}))


@pytest.mark.parametrize(
    "file",
    [
        "../secret.txt",
        "inner/../../secret.txt",
        "./../rules/../secret.txt",
        "../rules-too/secret.txt",
        "{absolute}",
        "/etc/passwd",
        "../none.txt",
    ],
)
def test_a_file_outside_the_folder_is_refused_whether_it_exists_or_not(file: str, secret: Path) -> None:
    (problem,) = file_problems(secret, file.replace("{absolute}", str(secret)))
    assert problem.key == "file"
    assert problem.message == "a `file` stays inside the folder of its rules file"


@pytest.mark.parametrize("through", ["a link to the file", "a link to its folder"])
def test_a_link_does_not_lead_out_of_the_folder(through: str, secret: Path) -> None:
    link = secret.parent / "rules/link"
    link.symlink_to(secret if "the file" in through else secret.parent)
    (problem,) = file_problems(secret, "link" if "the file" in through else "link/secret.txt")
    assert problem.message == "a `file` stays inside the folder of its rules file"


@pytest.mark.parametrize(
    "file", ["inner/fine.txt", "./inner/fine.txt", "inner/../inner/fine.txt", "link.txt"]
)
def test_a_file_inside_the_folder_is_read_however_it_is_called(file: str, secret: Path) -> None:
    rules = secret.parent / "rules"
    (rules / "link.txt").symlink_to("inner/fine.txt")
    (rule,) = read_rules_file(write(rules, "toml", {"rules": [{"match": "/a", "file": file}]})).rules
    assert response_of(rule, "r").body == b"fine"


def test_a_rules_file_behind_a_link_has_the_folder_that_it_is_named_in(secret: Path) -> None:
    # As Kubernetes mounts a ConfigMap: every file is a link into a folder that is exchanged.
    rules = secret.parent / "rules"
    write(rules, "toml", {"rules": [{"match": "/a", "file": "inner/fine.txt"}]})
    (secret.parent / "mounted").symlink_to(rules)
    (rule,) = read_rules_file(secret.parent / "mounted/mocks.toml").rules
    assert response_of(rule, "r").body == b"fine"


# Whatever a file contains

names = st.sampled_from([*KEYS, "json", "regex", "not", "host", "query", "min", "max", "rules", "trigger"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
documents = st.recursive(
    leaves | st.sampled_from(["/a", "POST /a/{id}", "202", "1s", "on"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@unhurried
@given(
    document=st.dictionaries(names, documents, max_size=3),
    rules=st.lists(st.dictionaries(names, documents, max_size=4), max_size=3),
)
@example(document={}, rules=[{"when": {"\x1e": None}}])
def test_every_document_is_a_configuration_or_an_error_with_a_line_for_each_problem(
    document: dict[str, object], rules: list[dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps({**document, "rules": [{"match": "/a", **rule} for rule in rules]}))
    lines, problems = [], []
    try:
        Snapshot(loaded(path))
    except ConfigError as error:
        lines, problems = str(error).splitlines(), list(error.problems)
    assert len(lines) == len(problems)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("toml", f"[[rules]]\nmatch = '/a'\nstatus = 0x{'f' * 4000}"),
        ("yaml", f"rules: [{{match: /a, status: 0x{'f' * 4000}}}]"),
        ("yaml", "rules: !!set {a, b}"),
        ("yaml", "rules: [{match: /a, tags: !!set {a b}}]"),
        ("yaml", "rules: [{match: /a, when: {headers: {a: &a {not: *a}}}}]"),
        ("yaml", "1: 2"),
        ("yaml", "rules: [{match: /a, 1: 2, headers: {3: 4}, when: {query: {5: 6}}}]"),
        ("yaml", "rules: [{match: /a, json: {a: 2027-01-31}}]"),
        ("yaml", "rules: [{match: /a, json: &a [*a]}]"),
        ("json", '{"rules": [{"match": "/\\ud800"}]}'),
        ("json", '{"rules": [{"match": "/a", "\\ud800": 1}]}'),
        ("json", '{"rules": [{"match": "/a", "headers": {"\\ud800": "a"}}]}'),
        ("json", '{"rules": [{"match": "/a", "text": "\\ud800"}]}'),
        ("json", '{"rules": [{"match": "/a", "file": "\\ud800"}]}'),
        ("json", '{"rules": [{"match": "/a", "a\\nb": 1}]}'),
        ("json", '{"rules": [{"match": "/a", "file": "a\\u0000b"}]}'),
        ("json", '{"rules": [{"match": "/a", "file": "a\\n\\u001bb"}]}'),
        ("json", '{"rules": [{"match": "/a%0A%1B[31m"}]}'),
        ("json", '{"rules": [{"match": "/a", "when": {"host": {"a\\n\\u001bb": "c"}}}]}'),
        ("json", '{"rules": [{"match": "/a", "when": {"host": {"regex": "(?\\n"}}}]}'),
        ("json", '{"rules": [{"match": "/a", "when": {"host": {"regex": "(?P<a\\u001b>a)"}}}]}'),
        ("toml", "a = \x1b"),
    ],
    ids=lambda text: text[:60],
)
def test_an_odd_document_is_refused_by_an_error_that_can_be_read(
    form: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / f"mocks.{form}"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        Snapshot(loaded(path))
    assert len(str(refused.value).splitlines()) == len(refused.value.problems)
    assert str(refused.value).isprintable() or len(refused.value.problems) > 1


# Without PyYAML

WITHOUT_YAML = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("yaml", "_yaml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

from pathlib import Path
from mockware.rules_files import read_rules_file
from mockware.exceptions import ConfigError


assert read_rules_file(Path(sys.argv[1])).rules
try:
    read_rules_file(Path(sys.argv[2]))
except ConfigError as error:
    print(error)
"""


def test_without_pyyaml_a_yaml_file_is_told_what_to_install_and_others_are_read(tmp_path: Path) -> None:
    assert importlib.util.find_spec("yaml") is not None
    paths = [str(write(tmp_path, form, {"rules": [{"match": "/a"}]})) for form in ("toml", "yaml")]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_YAML, *paths], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{paths[1]}: YAML needs PyYAML: pip install 'mockware[yaml]'\n", done.stderr


# The sources and their order


def test_rules_come_from_the_variable_then_the_files_then_the_argument(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "toml", {"rules": [{"match": f"/{name}"}], "never": [f"/never-{name}"]})
    paths = [str(tmp_path / name / "mocks.toml") for name in ("one", "two", "three")]
    configuration = loaded(
        [paths[2], Rule("/made")],
        MOCKWARE_RULES="/short 202; GET /shorter",
        MOCKWARE_FILE=os.pathsep.join(paths[:2]),
    )
    assert [(entry.name, entry.source) for entry in configuration.entries] == [
        ("/short", "MOCKWARE_RULES"),
        ("GET /shorter", "MOCKWARE_RULES"),
        ("/one", paths[0]),
        ("/two", paths[1]),
        ("/three", paths[2]),
        ("/made", "rules="),
    ]
    assert configuration.never == ("/never-one", "/never-two", "/never-three")
    assert configuration.sources == ("MOCKWARE_RULES", *paths, "rules=")


def test_a_list_keeps_its_order_where_files_and_rules_are_mixed(tmp_path: Path) -> None:
    path = write(tmp_path, "toml", {"rules": [{"match": "/file"}]})
    configuration = loaded([Rule("/before"), path, Rule("/behind")])
    assert [entry.name for entry in configuration.entries] == ["/before", "/file", "/behind"]


def test_the_argument_is_a_path_or_a_list_of_paths_or_of_rules(tmp_path: Path) -> None:
    path = write(tmp_path, "json", {"rules": [{"match": "/a"}]})
    for rules in (path, str(path), [path], [str(path)], (path,), [Rule("/a")], (Rule("/a"),)):
        assert [entry.name for entry in loaded(rules).entries] == ["/a"]
    assert loaded(None).entries == loaded([]).entries == loaded(()).entries == ()


@pytest.mark.parametrize("rules", [[5], [None], [["a.toml"]], [b"a.toml"]])
def test_an_argument_of_another_kind_is_a_type_error_that_says_what_it_takes(rules: Any) -> None:
    with pytest.raises(TypeError, match="rules= takes paths of rules files and Rule objects, not "):
        loaded(rules)


@pytest.mark.parametrize("rules", [Rule("/a"), 5])
def test_an_argument_that_is_no_list_is_a_type_error_that_says_what_it_takes(rules: Any) -> None:
    with pytest.raises(TypeError, match="rules= takes "):
        loaded(rules)


def test_empty_places_in_a_list_of_files_are_nothing(tmp_path: Path) -> None:
    path = str(write(tmp_path, "toml", {"rules": [{"match": "/a"}]}))
    assert loaded(MOCKWARE_FILE=f"{os.pathsep}{path}{os.pathsep}").sources == (path,)


def test_the_problems_of_all_sources_come_in_one_error(tmp_path: Path) -> None:
    bad = write(tmp_path, "toml", {"rules": [{"match": "a"}]})
    missing = str(tmp_path / "missing.toml")
    problems = load_problems([missing], MOCKWARE_RULES="/a 99", MOCKWARE_FILE=str(bad))
    assert [problem.source for problem in problems] == ["MOCKWARE_RULES", str(bad), missing]


def test_a_trigger_table_in_two_files_is_one_too_many(tmp_path: Path) -> None:
    one = write(tmp_path, "toml", {"trigger": {"paths": ["/a"]}})
    two = write(tmp_path, "json", {"trigger": {}})
    (problem,) = load_problems([one, two])
    assert (problem.source, problem.key) == (f"{one} and {two}", "trigger")
    assert "keep one" in problem.message


def test_triggers_are_on_by_default_and_off_where_the_table_says_so(tmp_path: Path) -> None:
    assert loaded().triggers is not None
    assert loaded(write(tmp_path, "toml", {"trigger": {"enabled": False}})).triggers is None


# Short rules


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("POST /reports 202", [Rule("POST /reports", status=202)]),
        ("POST /reports", [Rule("POST /reports")]),
        ("/a", [Rule("/a")]),
        ("/a 204;", [Rule("/a", status=204)]),
        (
            "POST /reports 202; /legacy/{rest:path} 410",
            [Rule("POST /reports", status=202), Rule("/legacy/{rest:path}", status=410)],
        ),
        (" ; /a   passthrough ;; ", [Rule("/a", passthrough=True)]),
        ("/passthrough", [Rule("/passthrough")]),
        ("/202", [Rule("/202")]),
        ("", []),
        (";;", []),
    ],
)
def test_a_short_rule_is_a_match_and_a_status_or_passthrough_or_nothing(text: str, rules: list[Rule]) -> None:
    def plain(rule: Rule) -> tuple[object, ...]:
        return (rule.matched.methods, rule.matched.template.text, rule.status, rule.passthrough)

    found = [entry.rule for entry in loaded(MOCKWARE_RULES=text).entries]
    assert list(map(plain, found)) == list(map(plain, rules))


@pytest.mark.parametrize(
    ("text", "rule", "key", "said"),
    [
        ("/a 99", "rule 1", "status", "expected a status from 200 to 599"),
        ("/a 202; POST b 202", "rule 2", "match", "expected `[METHOD["),
        ("202", "rule 1", "match", "expected `[METHOD["),
        ("passthrough", "rule 1", "match", "expected `[METHOD["),
        ("/{a:itn} 202", "rule 1", "match", "did you mean `int`?"),
        ("/a " + "9" * 5000, "rule 1", "status", "599"),
    ],
    ids=lambda text: text[:20],
)
def test_a_bad_short_rule_is_told_by_its_number(text: str, rule: str, key: str, said: str) -> None:
    (problem,) = load_problems(MOCKWARE_RULES=text)
    assert (problem.source, problem.rule, problem.key) == ("MOCKWARE_RULES", rule, key)
    assert said in problem.message


@pytest.mark.parametrize("blank", ["\t", "\n", "  "])
def test_any_blank_stands_between_a_short_match_and_its_status(blank: str) -> None:
    (entry,) = loaded(MOCKWARE_RULES=f"/reports{blank}503").entries
    assert (entry.rule.matched.template.text, entry.rule.status) == ("/reports", 503)


@pytest.mark.parametrize("text", ["/a 202 503", "/a 202\n/b 503"])
def test_a_short_rule_that_says_two_things_is_refused_and_not_taken_for_a_path_with_blanks(text: str) -> None:
    assert load_problems(MOCKWARE_RULES=text)


@unhurried
@given(st.text("POST /reports{}:int;0123456789\t\n passthrough"))
def test_every_text_of_short_rules_is_a_configuration_or_a_config_error(text: str) -> None:
    try:
        entries = loaded(MOCKWARE_RULES=text).entries
    except ConfigError:
        return
    assert len(entries) <= text.count(";") + 1


# Names


def names_of(*rules: Rule) -> list[str]:
    return [entry.name for entry in loaded(list(rules)).entries]


def test_a_rule_without_a_name_goes_by_its_match_numbered_where_that_is_repeated() -> None:
    rules = [Rule("/a"), Rule("/a", name="mine"), Rule("/a", status=500), Rule("POST /a"), Rule("/a")]
    assert names_of(*rules) == ["/a", "mine", "/a #2", "POST /a", "/a #3"]


def test_no_two_rules_ever_go_by_one_name() -> None:
    found = names_of(*[Rule(match) for match in ("/a", "/b", "/a", "/a", "/b", "POST /a", "POST /a")])
    assert sorted(set(found)) == sorted(found)


def test_two_rules_of_one_name_in_one_file_are_refused(tmp_path: Path) -> None:
    rules = [{"match": "/a", "name": "down"}, {"match": "/b", "name": "down"}]
    path = write(tmp_path, "toml", {"rules": rules})
    (problem,) = load_problems(path)
    assert (problem.source, problem.rule, problem.key, problem.value) == (
        str(path),
        "rule 2",
        "name",
        "'down'",
    )
    assert problem.message == "two rules have this name; the other is rule 1"


def test_two_rules_of_one_name_are_told_beside_everything_else_that_is_wrong(tmp_path: Path) -> None:
    rules = [{"match": "/a", "name": "down"}, {"match": "b"}, {"match": "/c", "name": "down"}]
    path = write(tmp_path, "toml", {"rules": rules})
    assert [(problem.rule, problem.key) for problem in load_problems(path)] == [
        ("rule 2 'b'", "match"),
        ("rule 3", "name"),
    ]


def test_a_file_that_code_and_environment_name_counts_once_in_its_first_place(tmp_path: Path) -> None:
    path = write(tmp_path, "toml", {"trigger": {}, "rules": [{"match": "/a", "name": "down"}]})
    other = write(tmp_path, "json", {"rules": [{"match": "/b", "name": "up"}]})
    configuration = loaded([other, path], MOCKWARE_FILE=str(path))
    assert [entry.name for entry in configuration.entries] == ["down", "up"]
    assert configuration.sources == (str(path), str(other))


def test_a_file_that_is_spelled_in_two_ways_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "toml", {"rules": [{"match": "/a", "name": "down"}, {"match": "/b"}]})
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.toml").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for spelling in (str(path), f"./{path.name}", f"folder/../{path.name}", "link.toml"):
        configuration = loaded(path.name, MOCKWARE_FILE=spelling)
        assert [entry.name for entry in configuration.entries] == ["down", "/b"]
        assert configuration.sources == (spelling,)


def test_two_rules_of_one_name_in_two_sources_are_refused_with_both_sources(tmp_path: Path) -> None:
    one = write(tmp_path, "toml", {"rules": [{"match": "/a", "name": "down"}]})
    two = write(tmp_path, "json", {"rules": [{"match": "/b", "name": "down"}]})
    problems = load_problems([two, Rule("/c", name="down")], MOCKWARE_FILE=str(one))
    assert [(problem.source, problem.message) for problem in problems] == [
        (str(two), f"two rules have this name; the other is rule 1 of {one}"),
        ("rules=", f"two rules have this name; the other is rule 1 of {one}"),
    ]


def test_two_names_that_differ_in_case_are_two_names() -> None:
    assert names_of(Rule("/a", name="down"), Rule("/b", name="Down")) == ["down", "Down"]


def lines_run_to_load(count: int) -> int:
    """How many lines of `config.py` run to load so many rules on one match: work, counted and not timed."""
    rules = [Rule("/a")] * count
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if Path(frame.f_code.co_filename).name != "config.py":
            return None
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        loaded(rules)
    finally:
        sys.settrace(before)
    return lines


def test_naming_many_rules_on_one_match_takes_work_in_proportion_to_their_number() -> None:
    assert lines_run_to_load(200) < 15 * lines_run_to_load(20)


# Which rules are on


def states(words: str, *rules: Rule) -> list[bool]:
    environment = read_environment({"MOCKWARE": words})
    return [entry.on for entry in load(environment, list(rules)).entries]


SELECTABLE = [
    Rule("/a", name="down", tags=["payments", "demo"]),
    Rule("/b", name="slow", tags=["demo"]),
    Rule("POST /c"),
]


@pytest.mark.parametrize(
    ("words", "on"),
    [
        ("on", [True, True, True]),
        ("down", [True, False, False]),
        ("demo", [True, True, False]),
        ("payments,slow", [True, True, False]),
        (" slow , slow ,", [False, True, False]),
        ("POST /c", [False, False, True]),
    ],
)
def test_names_and_tags_choose_the_rules_that_are_on(words: str, on: list[bool]) -> None:
    assert states(words, *SELECTABLE) == on


def test_words_that_no_rule_has_are_refused_with_the_nearest_and_the_known_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        states("paymnets,down,true", *SELECTABLE)
    first, second = refused.value.problems
    known = "POST /c, demo, down, payments, slow"
    assert (first.source, first.value) == ("MOCKWARE", "'paymnets'")
    assert first.message.startswith("no rule has this name or tag; did you mean `payments`? Allowed: ")
    assert (second.source, second.value) == ("MOCKWARE", "'true'")
    assert second.message.startswith("no rule has this name or tag; allowed: ")
    for problem in (first, second):
        assert known in problem.message


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("true", "on"),
        ("1", "on"),
        ("Yes", "on"),
        ("enabled", "on"),
        ("false", "off"),
        ("0", "off"),
        ("of", "off"),
    ],
)
def test_who_writes_another_word_for_on_or_off_is_told_of_it_first(word: str, meant: str) -> None:
    # The most likely mistake of all, with and without rules.
    for rules in ([], SELECTABLE):
        with pytest.raises(ConfigError) as refused:
            states(word, *rules)
        (problem,) = refused.value.problems
        said = f"no rule has this name or tag; did you mean `{meant}`? Allowed: "
        assert problem.message.startswith(said), problem.message


def test_a_list_of_known_rules_is_one_printable_line_whatever_they_match() -> None:
    with pytest.raises(ConfigError) as refused:
        states("down", Rule("/a\n\x1b[31m"), Rule("/b"))
    assert str(refused.value).isprintable()


def test_a_word_is_not_called_unknown_where_the_rule_that_has_it_could_not_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, "toml", {"rules": [{"match": "/a", "name": "down", "status": 1}]})
    with pytest.raises(ConfigError) as refused:
        load(read_environment({"MOCKWARE": "down"}), path)
    assert [problem.key for problem in refused.value.problems] == ["status"]


def test_a_rule_that_is_off_keeps_its_place_and_name() -> None:
    configuration = load(read_environment({"MOCKWARE": "slow"}), SELECTABLE)
    assert [(entry.name, entry.on) for entry in configuration.entries] == [
        ("down", False),
        ("slow", True),
        ("POST /c", False),
    ]


# Triggers and the key


def test_the_key_and_the_service_come_from_the_environment() -> None:
    triggers = loaded(MOCKWARE_KEY="s3cret").triggers
    assert triggers is not None
    asked = {"x-mock-status": "503"}
    assert triggers.read(Request("GET", "/", headers=asked)) is None
    assert triggers.read(Request("GET", "/", headers={**asked, "x-mock-key": "s3cret"})) is not None
    served = loaded(MOCKWARE_SERVICE=" orders ").triggers
    assert served is not None
    assert served.read(Request("GET", "/", headers={"baggage": "mock.orders=503"})) is not None


# The schema


def test_the_schema_lists_the_keys_that_are_allowed_and_no_others() -> None:
    declared = schema()
    definitions = declared["$defs"]
    assert set(declared["properties"]) == {
        *("$schema", "never", "trigger", "cors", "webhooks", "journal", "trust_forwarded"),
        *("server_timing", "rules"),
    }
    tables = ("Rule", "When", "TriggerTable", "CorsTable", "WebhooksTable", "TaskTable", "Result", "Failure")
    for table in (declared, *(definitions[name] for name in (*tables, "Webhook"))):
        assert table["additionalProperties"] is False
    assert definitions["Rule"]["required"] == ["match"]


def jsonschema_accepts(document: object) -> bool:
    validator = importlib.import_module("jsonschema").Draft202012Validator
    validator.check_schema(schema())
    return bool(validator(schema()).is_valid(document))


@pytest.mark.parametrize("declared", [rule for rule in RULES.values() if "file" not in rule])
def test_the_schema_accepts_every_rule_that_is_accepted(declared: dict[str, Any]) -> None:
    assert jsonschema_accepts({"rules": [json.loads(json.dumps(declared, default=str))]})


@pytest.mark.parametrize(
    "name",
    [
        "no match",
        "a match that is no text",
        "a status above 599",
        "a status in quotes",
        "a header that is true",
        "an unknown key",
        "an unknown key in when",
        "a delay without a unit",
        "a delay with one end",
        "a probability above 1",
        "a condition that is a number",
        "an unknown kind of condition",
        "tags that are no list",
        "passthrough in quotes",
    ],
)
def test_the_schema_refuses_what_an_editor_can_see_to_be_wrong(name: str) -> None:
    declared, key, *_ = PROBLEMS[name]
    rule = declared if key == "match" else {"match": "/a", **declared}
    assert not jsonschema_accepts({"rules": [rule]})
