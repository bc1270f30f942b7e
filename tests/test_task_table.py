"""Every wrong word about a task has a problem with its place and a hint, and no right one has.

One entry for each problem, told to Python and to a file, and whether an editor sees it by the JSON schema.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.test_config import load_problems, loaded, problems_of, write

from mockware.exceptions import ConfigError, Problem
from mockware.rules import Rule
from mockware.rules_files import read_rules_file, schema
from mockware.task_table import TASK_KEYS

URL = "https://hooks.example/"
KINDS = "expected a duration, or a table with `min` and `max`, or with `median`, `sigma` and `max`"
PLAIN = "a duration is a number and a unit: `250ms`, `2s`, `1m` or `24h`"
BARE = "a bare number has no unit; write `5s` or `5ms`"
NAMES = "did you mean `azure`? Allowed: plain, azure, google, jsonapi, odata, github, ogc"
YES_OR_NO = "expected a boolean: true or false"
NO_VARIABLE = "`nope` is no variable; allowed: request, now, uuid, random"

# Of a task: what is declared, its key, what is said. What is about several keys has the task's own place.
SEEN: list[tuple[Any, str, str]] = [
    (5, "", "expected a table"),
    ([], "", "expected a table"),
    (
        {"durration": "1s"},
        "durration",
        "no such key; did you mean `duration`? Allowed: duration, ",
    ),
    ({"duration": 5}, "duration", BARE),
    ({"duration": "5"}, "duration", "write `5s` or `5ms`"),
    ({"duration": None}, "duration", PLAIN),
    ({"duration": {"min": "5s"}}, "duration", KINDS),
    ({"duration": {"min": "1s", "max": "2s", "x": 1}}, "duration", KINDS),
    ({"duration": {"median": "2s", "sigma": 0}}, "duration", "`sigma` is a number above 0, at most 5"),
    ({"queue_time": 5}, "queue_time", BARE),
    ({"monitor": 5}, "monitor", "expected a string"),
    ({"monitor": "m/{task_id}"}, "monitor", "a path starts with `/`"),
    ({"monitor": "/m"}, "monitor", "the path of a monitor has `{task_id}` in it"),
    ({"monitor": "/{task_id:int}"}, "monitor", "the path of a monitor has `{task_id}` in it"),
    ({"monitor": "/{task_id}?a=1"}, "monitor", "a path has no `?`"),
    ({"monitor": "/{task_id"}, "monitor", "a brace without its partner"),
    ({"retry_after": "0s"}, "retry_after", "never told to ask again at once; leave the key out"),
    ({"retry_after": "0.0ms"}, "retry_after", "never told to ask again at once"),
    ({"retry_after": 5}, "retry_after", BARE),
    ({"dialect": "Azure"}, "dialect", NAMES),
    ({"dialect": None}, "dialect", "expected 'plain', 'azure'"),
    ({"cancel": "yes"}, "cancel", YES_OR_NO),
    ({"retention": "0s"}, "retention", "no time at all; nobody could ask for the task's end"),
    ({"retention": 5}, "retention", BARE),
    ({"prefer_async": "x"}, "prefer_async", YES_OR_NO),
    ({"run": "App"}, "run", "did you mean `app`? Allowed: app"),
    ({"run": "app", "result": {}}, "", "the app's response is the outcome, and there is no `result`"),
    ({"run": "app", "failure": {}}, "", "the app's response is the outcome, and there is no `failure`"),
    ({"run": "app", "duration": "9s"}, "", "takes as long as it takes, and there is no `duration`"),
    ({"run": "app", "queue_time": "9s"}, "", "takes as long as it takes, and there is no `queue_time`"),
    ({"run": "app", "timeout": "0s"}, "timeout", "no time at all; the app could do nothing"),
    ({"timeout": "1s"}, "", "`timeout` says something only beside `run`"),
    ({"operation_name": "o/{task_id}"}, "", "`operation_name` says something only in the dialect google"),
    ({"dialect": "google", "operation_name": 5}, "operation_name", "expected a string"),
    ({"dialect": "github", "monitor": "/{task_id}"}, "", "the same URL is asked again: no `monitor`"),
    ({"dialect": "github", "cancel": True}, "", "the same URL is asked again: no `cancel`"),
    ({"result": 5}, "result", "expected a table"),
    ({"result": {"statsu": 200}}, "result.statsu", "no such key; did you mean `status`? Allowed: status,"),
    ({"result": {"status": 700}}, "result.status", "expected a status from 200 to 599"),
    ({"result": {"json": 1, "text": "x"}}, "result.text", "one body, and there is `json` already"),
    ({"result": {"status": 204, "json": 1}}, "result.json", "a 204 has no body"),
    ({"result": {"headers": {"date": "x"}}}, "result.headers.date", "this field is set by the server"),
    ({"result": {"headers": {"x": "a\nb"}}}, "result.headers.x", "one line of printable Latin-1"),
    ({"result": {"probability": 0.5}}, "result.probability", "it belongs to the rule; in TOML"),
    ({"failure": {"probability": 2}}, "failure.probability", "expected less than or equal to 1"),
    ({"failure": {"probability": True}}, "failure.probability", "expected a number"),
    ({"failure": {"code": "x"}}, "failure.code", "no such key; allowed: status, headers, json,"),
    ({"webhook": URL}, "webhook", "expected a table"),
    ({"webhook": {}}, "webhook.url", "required, but absent"),
    ({"webhook": {"url": ""}}, "webhook.url", "expected a string that is not empty"),
    ({"webhook": {"url": URL, "secret": "s"}}, "webhook.secret", "did you mean `secret_env`?"),
    ({"webhook": {"url": URL, "secret_env": ""}}, "webhook.secret_env", "that is not empty"),
    (
        {"webhook": {"url": URL, "form": "github"}},
        "webhook.form",
        "allowed: standard, cloudevents",
    ),
    ({"webhook": {"url": URL, "late": 5}}, "webhook.late", BARE),
    ({"webhook": {"url": URL, "duplicates": 11}}, "webhook.duplicates", "less than or equal to 10"),
    ({"webhook": {"url": URL, "duplicates": True}}, "webhook.duplicates", "expected an integer"),
    ({"webhook": {"url": URL, "out_of_order": "x"}}, "webhook.out_of_order", YES_OR_NO),
    ({"dialect": "github", "monitor": "/m/{task_id}", "cancel": True}, "", "no `monitor`; in the dialect"),
]
# What is more than a schema can say: bounds of durations, templates, files, and keys that depend on the path.
UNSEEN: list[tuple[Any, str, str]] = [
    ({"duration": "299h"}, "duration", "at most 298h"),
    ({"duration": {"min": "5s", "max": "1s"}}, "duration", "`min` is longer than `max`"),
    ({"queue_time": "299h"}, "queue_time", "at most 298h"),
    ({"duration": "2s", "queue_time": "5s"}, "", "`queue_time` is a part of the `duration`, which is 2 s"),
    ({"retry_after": "299h"}, "retry_after", "at most 298h"),
    ({"retention": "721h"}, "retention", "at most 720h"),
    ({"run": "app", "timeout": "25h"}, "timeout", "at most 24h"),
    ({"monitor": "/{task_id}/{task_id}"}, "monitor", "`task_id` stands twice in one path"),
    ({"dialect": "google", "operation_name": "o/"}, "", "`operation_name` has `{task_id}` in it"),
    ({"result": {"json": "{{ nope }}"}}, "result", f"{NO_VARIABLE}, accepted, task_id"),
    ({"result": {"text": "{{ accepted.jsn }}"}}, "result", "did you mean `json`?"),
    ({"failure": {"headers": {"x": "{% for"}}}, "failure", "unexpected 'end of template'"),
    ({"result": {"file": "../a"}}, "result.file", "stays inside the folder of its rules file"),
    ({"result": {"file": "nothing"}}, "result.file", "no such file"),
    ({"webhook": {"url": "ftp://h/"}}, "webhook", "begins with http:// or https://, or a template of one"),
    ({"webhook": {"url": "{{ nope }}"}}, "webhook", NO_VARIABLE),
    ({"webhook": {"url": "{{ accepted.json.u }}"}}, "webhook", "`accepted` is no variable"),
    ({"webhook": {"url": URL, "late": "299h"}}, "webhook.late", "at most 298h"),
]
# What only the rule as a whole can tell, and so has the rule's own place.
OF_THE_RULE: list[tuple[str, Any, str]] = [
    ("/a/{id}", {"monitor": "/{idd}/{task_id}"}, "`{idd}`, which is no parameter of the path; did you mean"),
    ("/a/{task_id}", {}, "`{task_id}` is the name of the task's id, and of no parameter of the path"),
    ("/a/{id}", {"result": {"json": "{{ accepted.path_params.x }}"}}, "`task.result`: `accepted.path_"),
    ("/a/{id}", {"failure": {"json": "{{ request.path_params.x }}"}}, "such parameter; allowed: id, task_id"),
    ("/a/{id}", {"webhook": {"url": "{{ request.path_params.x }}"}}, "`task.webhook.url`: `request.path_"),
]

GOOD: list[Any] = [
    {},
    {"duration": {"min": "0s", "max": "298h"}, "queue_time": "1h"},
    {"duration": {"median": "2s", "sigma": 0.5}},
    {"duration": "0s", "retention": "0.001ms", "retry_after": "0.5ms"},
    {"monitor": "/m/x{task_id}y/{id}"},
    {"retry_after": None, "result": None, "failure": None, "prefer_async": None, "run": None},
    {"timeout": None, "operation_name": None, "webhook": None, "monitor": None},
    {"dialect": "google", "operation_name": "operations/{task_id}"},
    {"dialect": "github", "cancel": False, "retry_after": "5s"},
    {"run": "app", "timeout": "24h", "duration": "5s", "queue_time": "0s", "cancel": True},
    {"result": {"json": "{{ accepted.path_params.id }} {{ request.path_params.task_id }} {{ task_id }}"}},
    {"result": {"status": 303, "headers": {"Location": "/files/{{ task_id }}"}}},
    {"result": {"text": "x"}, "failure": {"probability": 1, "status": 507, "json": {"code": "x"}}},
    {"webhook": {"url": "HTTPS://h/{{ request.path_params.id }}", "secret_env": "S", "form": "cloudevents"}},
    {"webhook": {"url": "{{ request.json.u }}", "late": "1h", "duplicates": 10, "out_of_order": True}},
]


@cache
def validator() -> Any:
    return Draft202012Validator(schema())


def accepts(document: object) -> bool:
    return bool(validator().is_valid(document))


def document(task: Any, match: str = "POST /a/{id}", **rule: Any) -> dict[str, Any]:
    return {"rules": [{"match": match, **rule, "task": task}]}


def told_of(document: dict[str, Any], folder: Path, form: str = "toml") -> Problem:
    """The one problem that there is; Python is told of the same."""
    (problem,) = problems_of(write(folder, form, document))
    with pytest.raises(ConfigError) as refused:
        Rule(**document["rules"][0])
    (other,) = refused.value.problems
    assert other.key == problem.key
    assert other.message == problem.message or "file" in problem.key
    assert len(str(problem).splitlines()) == 1
    return problem


EACH = [*((*entry, True) for entry in SEEN), *((*entry, False) for entry in UNSEEN)]


@pytest.mark.parametrize(("task", "key", "said", "seen"), EACH, ids=[str(entry[0]) for entry in EACH])
def test_a_wrong_word_about_a_task_is_told_with_its_place(
    task: Any, key: str, said: str, seen: bool, tmp_path: Path
) -> None:
    problem = told_of(document(task), tmp_path, "json")
    assert problem.key == ".".join(filter(None, ("task", key)))
    assert problem.value or said == "required, but absent"
    assert said in problem.message
    assert accepts(document(task)) is not seen


@pytest.mark.parametrize(("path", "task", "said"), OF_THE_RULE)
def test_what_the_path_does_not_have_is_told_of_the_rule(
    path: str, task: Any, said: str, tmp_path: Path
) -> None:
    problem = told_of(document(task, f"POST {path}"), tmp_path, "json")
    assert (problem.key, problem.rule) == ("", f"rule 1 'POST {path}'")
    assert said in problem.message


@pytest.mark.parametrize("task", GOOD, ids=str)
def test_a_right_word_is_taken_by_the_loader_and_by_the_schema(task: Any, tmp_path: Path) -> None:
    assert accepts(document(task))
    (rule,) = read_rules_file(write(tmp_path, "json", document(task))).rules
    assert rule == Rule("POST /a/{id}", task=task)


# One action a rule: beside a task, what says something of it


@pytest.mark.parametrize(
    ("rule", "key", "said"),
    [
        ({"status": 200}, "task", "a rule has one action, and `status` is a reply"),
        ({"json": 1}, "task", "`json` is a reply"),
        ({"headers": {"x": "y"}}, "task", "`headers` is a reply"),
        ({"template": True}, "task", "`template` is about a reply"),
        ({"drip": "1s"}, "task", "`drip` is about a reply"),
        ({"fault": "cut"}, "task", "`fault` is about a reply"),
        ({"replies": [{}]}, "task", "`replies` is another"),
        ({"patch": {"status": 200}}, "task", "`patch` is another"),
        ({"passthrough": True}, "passthrough", "`task` is another"),
        ({"then": "loop"}, "then", "says something only beside `replies`"),
        ({"delay_after": "1s"}, "delay_after", "says something only beside `passthrough` or `patch`"),
    ],
)
def test_a_rule_with_a_task_does_nothing_else(rule: Any, key: str, said: str, tmp_path: Path) -> None:
    problem = told_of(document({}, **rule), tmp_path, "json")
    assert problem.key == key
    assert said in problem.message
    assert not accepts(document({}, **rule))


@pytest.mark.parametrize(
    "rule",
    [
        {"delay": "1s"},
        {"times": 2},
        {"probability": 0.5},
        {"count_per": "header:x"},
        {"expires": "2030-01-01T00:00:00Z", "name": "n", "tags": ["t"], "when": {"json": {"a": 1}}},
    ],
)
def test_what_modifies_any_rule_modifies_one_with_a_task(rule: Any, tmp_path: Path) -> None:
    assert accepts(document({}, **rule))
    assert read_rules_file(write(tmp_path, "json", document({}, **rule))).rules


# The file as a whole


FILES: list[tuple[Any, str, str, bool]] = [
    ({"webhooks": 5}, "webhooks", "expected a table", True),
    ({"webhooks": {}}, "webhooks.hosts", "required, but absent", True),
    ({"webhooks": {"hosts": "x"}}, "webhooks.hosts", "expected a list", True),
    ({"webhooks": {"hosts": [5]}}, "webhooks.hosts.0", "expected a string", True),
    ({"webhooks": {"hosts": ["x"], "host": 1}}, "webhooks.host", "did you mean `hosts`?", True),
    ({"webhooks": {"hosts": ["http://x"]}}, "webhooks.hosts", "allowed: a name, `*.` and a name,", False),
    ({"webhooks": {"hosts": ["*"]}}, "webhooks.hosts", "'*' is no name of a host", False),
    ({"webhooks": {"hosts": ["x:99999"]}}, "webhooks.hosts", "'99999' is no port", False),
    ({"trust_forwarded": 1}, "trust_forwarded", YES_OR_NO, True),
    ({"trust_forwarded": None}, "trust_forwarded", YES_OR_NO, True),
    ({"server_timing": "on"}, "server_timing", YES_OR_NO, True),
    ({"server_timings": True}, "server_timings", "did you mean `server_timing`?", True),
    ({"trustforwarded": True}, "trustforwarded", "did you mean `trust_forwarded`?", True),
]


@pytest.mark.parametrize(("file", "key", "said", "seen"), FILES)
def test_a_wrong_word_about_hosts_and_proxies_is_told(
    file: Any, key: str, said: str, seen: bool, tmp_path: Path
) -> None:
    (problem,) = problems_of(write(tmp_path, "json", file))
    assert problem.key == key
    assert said in problem.message
    assert accepts(file) is not seen


def test_hosts_add_up_over_the_files_and_one_that_trusts_proxies_is_enough(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first = write(tmp_path, "json", {"webhooks": {"hosts": ["a.example"]}, "trust_forwarded": True})
    second = write(tmp_path / "b", "json", {"webhooks": {"hosts": ["*.b.example:8443"]}})
    configuration = loaded([first, second])
    assert configuration.webhook_hosts == ("a.example", "*.b.example:8443")
    assert configuration.trusts_forwarded
    assert not loaded([second]).trusts_forwarded


def test_a_secret_that_is_missing_or_none_is_told_by_the_name_of_its_variable() -> None:
    rules = [Rule("POST /a", name="a", task={"webhook": {"url": URL, "secret_env": "HOOK"}})]
    for secret, said in (("", "this variable is not set"), ("whsec_?", "no base64")):
        (problem,) = load_problems(rules, HOOK=secret)
        assert (problem.rule, problem.key, problem.value) == ("rule 'a'", "task.webhook.secret_env", "'HOOK'")
        assert said in problem.message
    assert loaded(rules, HOOK="s").secrets == {"HOOK": "s"}


@pytest.mark.parametrize("key", [*TASK_KEYS, "unknown"])
def test_no_word_of_the_machinery_reaches_a_user(key: str, tmp_path: Path) -> None:
    words = ("input", "instance", "sequence", "class", "lax", "pydantic", "should", "a integer")
    values: list[Any] = [5, -1.5, True, "?", "", [], ["a", 5], {}, {"a": 5}, {"url": []}, {"status": {}}]
    refused = 0
    for value in values:
        try:
            read_rules_file(write(tmp_path, "json", document({key: value})))
        except ConfigError as error:
            refused += 1
            shown = " ".join(f"{problem.key} {problem.message}".lower() for problem in error.problems)
            found = [word for word in words if word in shown]
            if found:
                pytest.fail(f"{found}: {error}")
    assert refused >= 8
