"""`[cors]`: what it takes, whom it allows, and what commands say of it; the rest is in the parity table."""

import importlib
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.by_hand import Sent, over_asgi, over_wsgi
from tests.commands import environ as environ_of
from tests.commands import run

from mockware import ASGIMockMiddleware, ConfigError, WSGIMockMiddleware, waiting
from mockware.config import load
from mockware.configuration import Configuration
from mockware.cors import MAX_ORIGIN_CHARS, Cors, Origins
from mockware.engine import Snapshot
from mockware.environment import Environment
from mockware.explanation import explain, read_request
from mockware.installation import describe
from mockware.messages import Request
from mockware.replies import build_reply
from mockware.review import review
from mockware.rules_files import schema
from mockware.tokens import Scope, TokenKey

APP = "https://app.test"


def written(folder: Path, text: str) -> Path:
    path = folder / "mocks.toml"
    path.write_text(text, "utf-8")
    return path


def loaded(folder: Path, text: str, **environment: Any) -> Configuration:
    return load(Environment(enabled=True, why="", **environment), written(folder, text))


def accepted_by_schema(document: object) -> bool:
    return bool(importlib.import_module("jsonschema").Draft202012Validator(schema()).is_valid(document))


GOOD: list[dict[str, Any]] = [
    {"origins": ["https://app.example.com"]},
    {"origins": ["http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:8080"], "credentials": True},
    {"origins": ["https://*.example.com", "http://*.localhost:3000", "https://*.a.b.test:8443"]},
    {
        "origins": [
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnop",
            "https://xn--bcher-kva.test",
        ]
    },
    {"origins": ["https://under_score.test", "http://a:443", "https://a:80"]},
    {"origins": ["*"]},
    {"origins": ["*"], "credentials": False, "exposed_headers": ["*"]},
    {"origins": [APP], "credentials": True, "exposed_headers": ["Location", "Retry-After", "Date"]},
    {"origins": [APP], "max_age": "0s", "private_network": True},
    {"origins": [APP], "max_age": "24h"},
]


@pytest.mark.parametrize("table", GOOD, ids=str)
def test_a_good_table_is_taken_by_the_loader_and_by_the_schema(table: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "mocks.json"
    path.write_text(json.dumps({"cors": table}))
    assert load(Environment(enabled=True, why=""), path).cors is not None
    assert accepted_by_schema({"cors": table})


# With what is wrong about them, and whether a schema can tell.
BAD: list[tuple[dict[str, Any], str, str, bool]] = [
    ({}, "cors.origins", "required, but absent", True),
    ({"origins": []}, "cors.origins", "nobody is listed", True),
    ({"origins": "*"}, "cors.origins", "expected a list", True),
    ({"origins": [7]}, "cors.origins.0", "expected a string", True),
    ({"origins": ["null"]}, "cors.origins", "`null` is said by every sandboxed frame", True),
    ({"origins": ["*", APP]}, "cors.origins", "`*` stands alone", True),
    ({"origins": [f"{APP}/"]}, "cors.origins", "without the slash at its end", True),
    ({"origins": ["https://APP.test"]}, "cors.origins", "in lower case", True),
    ({"origins": [f"{APP}/path"]}, "cors.origins", "never an origin", True),
    ({"origins": ["app.test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://*"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://*.test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://a.*.test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["*.app.test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://b\u00fccher.test"]}, "cors.origins", "never an origin", True),
    ({"origins": [f"{APP}\r\nX: y"]}, "cors.origins", "never an origin", True),
    ({"origins": [f"{APP}\n"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://u@app.test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["https://app.test:443"]}, "cors.origins", "the port of the scheme", True),
    ({"origins": ["http://app.test:80"]}, "cors.origins", "the port of the scheme", True),
    ({"origins": [f"https://{'a.' * 200}test"]}, "cors.origins", "never an origin", True),
    ({"origins": ["*"], "credentials": True}, "cors.credentials", "browsers refuse `*`", True),
    ({"origins": [APP], "credentials": "yes"}, "cors.credentials", "expected a boolean", True),
    ({"origins": [APP], "exposed_headers": ["a b"]}, "cors.exposed_headers.0", "a header's name", True),
    ({"origins": [APP], "exposed_headers": ["a\r\nb"]}, "cors.exposed_headers.0", "a header's name", True),
    (
        {"origins": [APP], "credentials": True, "exposed_headers": ["*"]},
        "cors.exposed_headers",
        "`*` is a field of that name",
        True,
    ),
    ({"origins": [APP], "max_age": 600}, "cors.max_age", "write `600s`", True),
    ({"origins": [APP], "max_age": "25h"}, "cors.max_age", "at most 24h", False),
    ({"origins": [APP], "private_network": 1}, "cors.private_network", "expected a boolean", True),
    ({"origins": [APP], "orgins": []}, "cors.orgins", "did you mean `origins`", True),
]


@pytest.mark.parametrize(("table", "key", "says", "seen"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_table_is_refused_with_the_reason(
    table: dict[str, Any], key: str, says: str, seen: bool, tmp_path: Path
) -> None:
    path = tmp_path / "mocks.json"
    path.write_text(json.dumps({"cors": table}))
    with pytest.raises(ConfigError) as caught:
        load(Environment(enabled=True, why=""), path)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert says in problem.message
    assert str(problem).isprintable()
    assert accepted_by_schema({"cors": table}) is not seen


@pytest.mark.parametrize("source", ["query", "cookie"])
@pytest.mark.parametrize(
    ("name", "fits"),
    [("mock", True), ("a.B_c-1", True), ("", False), ("a b", False), ("a\n", False), ("a" * 65, False)],
)
def test_a_source_of_triggers_has_a_name_that_nothing_encodes(
    source: str, name: str, fits: bool, tmp_path: Path
) -> None:
    path = tmp_path / "mocks.json"
    document = {"trigger": {source: name}}
    path.write_text(json.dumps(document))
    assert accepted_by_schema(document) is fits
    if fits:
        assert load(Environment(enabled=True, why=""), path).triggers is not None
        return
    with pytest.raises(ConfigError, match=f"trigger.{source}.*a name here is made of"):
        load(Environment(enabled=True, why=""), path)


def test_two_files_cannot_both_say_who_may_read(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    for path in (one, two):
        path.write_text('[cors]\norigins = ["https://app.test"]\n')
    with pytest.raises(ConfigError, match="each has a table of this name; keep one"):
        load(Environment(enabled=True, why=""), [one, two])


# Origins


def test_a_name_below_another_is_compared_as_a_whole_name() -> None:
    origins = Origins(["https://*.app.test", "http://*.localhost:3000"])
    for origin in ("https://a.app.test", "https://a.b-c.app.test", "http://x.localhost:3000"):
        assert origin in origins
    for origin in (
        *("https://app.test", "https://xapp.test", "https://.app.test", "https://a..app.test"),
        *("https://a.app.test:443", "http://a.app.test", "https://a.app.test.evil.test"),
        *("https://evil.test/.app.test", "https://evil.test?.app.test", "https://evil.test\n.app.test"),
        *("https://u:p@.app.test", "https://a:1.app.test", "https://A.app.test", "http://x.localhost"),
    ):
        assert origin not in origins


@given(st.text(max_size=40))
def test_no_text_but_a_listed_origin_is_one(text: str) -> None:
    origins = Origins([APP, "https://*.app.test"])
    held = f"https://{text}.app.test"
    assert (text in origins) is (text == APP)
    if held in origins:
        assert all(character in "abcdefghijklmnopqrstuvwxyz0123456789-_." for character in text)


def test_a_huge_origin_is_not_looked_at() -> None:
    assert f"https://{'a.' * MAX_ORIGIN_CHARS}app.test" not in Origins(["https://*.app.test"])


@pytest.mark.parametrize("origin", [None, "https://evil.test", "null"])
def test_a_mock_that_one_page_may_read_varies_by_who_asks(origin: str | None) -> None:
    request = Request("GET", "/a", headers={} if origin is None else {"origin": origin})
    assert Cors([APP]).fields(request, build_reply(200, rule="r")) == (("Vary", "Origin"),)


def test_a_preflight_that_asks_for_more_than_browsers_do_is_left_alone() -> None:
    def asked(names: str) -> Any:
        fields = {"origin": APP, "access-control-request-method": "PUT"}
        headers = {**fields, "access-control-request-headers": names}
        return Cors([APP]).asked(Request("OPTIONS", "/a", headers=headers))

    assert asked(",".join(["x"] * 100)) is not None
    assert asked(",".join(["x"] * 101)) is None
    assert asked("x" * 4096) is not None
    assert asked("x" * 4097) is None


def test_credentials_are_never_said_to_anybody() -> None:
    with pytest.raises(ValueError, match="cannot be said to credentials"):
        Cors(["*"], credentials=True)


def test_what_is_exposed_is_said_once() -> None:
    cors = Cors([APP], exposed=["x-mock-rule", "Location", "location"])
    fields = dict(cors.fields(Request("GET", "/", headers={"origin": APP}), build_reply(200, rule="r")))
    assert fields["Access-Control-Expose-Headers"] == "x-mock-rule, location"


@pytest.mark.parametrize(
    ("origins", "origin", "said"),
    [([APP], APP, [APP]), ([APP], "https://b.test", []), ([APP], None, []), (["*"], APP, ["*"])],
)
def test_who_may_read_a_mock_may_read_its_timing_where_there_is_one(
    origins: list[str], origin: str | None, said: list[str]
) -> None:
    request = Request("GET", "/", headers={} if origin is None else {"origin": origin})
    for timing in (True, False):
        fields = Cors(origins, timing=timing).fields(request, build_reply(200, rule="r"))
        found = [value for name, value in fields if name == "Timing-Allow-Origin"]
        assert found == (said if timing else [])


tokens = st.text(st.characters(codec="latin-1"), max_size=40)


@given(tokens, tokens, tokens)
def test_no_answer_to_a_preflight_has_what_is_no_token(origin: str, method: str, names: str) -> None:
    fields = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": names,
    }
    for cors in (Cors(["*"]), Cors([APP])):
        for headers in (fields, {**fields, "origin": APP}):
            request = Request("OPTIONS", "/", headers=headers)
            if (asked := cors.asked(request)) is not None:
                for _, value in cors.leave(request, asked, lasting=True).headers:
                    assert value.isascii()
                    assert value.isprintable()


# Without the table


def test_without_a_table_mocks_are_ready_and_no_more_is_looked_at(tmp_path: Path) -> None:
    text = '[[rules]]\nmatch = "/a"\n'
    plain = Snapshot(loaded(tmp_path, text))
    assert plain.at_once
    assert plain.rules[0].at_once
    for more in ('[cors]\norigins = ["*"]\n', '[trigger]\nquery = "m"\n', '[trigger]\ncookie = "m"\n'):
        assert not Snapshot(loaded(tmp_path, text + more)).rules[0].at_once


# Every mock, on both sides

TASKS = """
cors = { origins = ["https://app.test"], credentials = true, exposed_headers = ["Location"] }
[[rules]]
match = "POST /jobs"
[rules.task]
cancel = true
[[rules]]
match = "/late"
status = 200
delay = "1s"
[[rules]]
match = "/slow"
passthrough = true
delay = "1s"
[[rules]]
match = "/patched"
patch = { status = 203 }
[[rules]]
match = "/busy"
template = true
text = "{{ request.path }}"
"""
FROM_APP = [("Origin", APP)]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def wsgi_app(environ: Mapping[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("X-App", "yes"), ("Content-Type", "text/plain")])
    return [b""]


@pytest.fixture(params=["ASGI", "WSGI"])
def ask(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    how: dict[str, Any] = {"rules": written(tmp_path, TASKS), "enabled": True, "environ": {}}
    if request.param == "ASGI":
        asgi = ASGIMockMiddleware(asgi_app, **how)
        return lambda sent: over_asgi(asgi, sent)
    wsgi = WSGIMockMiddleware(wsgi_app, **how)
    return lambda sent: over_wsgi(wsgi, sent)


def readable(answer: Any) -> bool:
    return bool(
        answer.all("access-control-allow-origin") == [APP]
        and answer.all("access-control-allow-credentials") == ["true"]
    )


def test_whatever_a_task_says_may_be_read(ask: Any) -> None:
    accepted = ask(Sent("POST", "/jobs", headers=FROM_APP))
    assert (accepted.status, readable(accepted)) == (202, True)
    monitor = accepted.one("location")
    asked = [("Access-Control-Request-Method", "DELETE"), *FROM_APP]
    assert ask(Sent("OPTIONS", monitor, headers=asked)).one("access-control-allow-methods") == "DELETE"
    for method, target in (("GET", monitor), ("DELETE", monitor), ("GET", monitor), ("PUT", monitor)):
        answer = ask(Sent(method, target, headers=FROM_APP))
        assert answer.one("x-mock-rule") == "POST /jobs"
        assert readable(answer)


def test_a_template_may_be_read_and_a_patched_answer_is_the_apps(ask: Any) -> None:
    answer = ask(Sent("GET", "/busy", headers=FROM_APP))
    assert (answer.body, readable(answer)) == (b"/busy", True)
    patched = ask(Sent("GET", "/patched", headers=FROM_APP))
    assert (patched.status, patched.all("access-control-allow-origin")) == (203, [])
    preflight = [("Access-Control-Request-Method", "DELETE"), *FROM_APP]
    assert ask(Sent("OPTIONS", "/patched", headers=preflight)).all("x-app") == ["yes"]


@pytest.mark.parametrize("target", ["/late", "/slow"])
def test_the_refusal_of_too_many_sleepers_may_be_read(
    target: str, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_places", threading.BoundedSemaphore(0))
    answer = ask(Sent("GET", target, headers=FROM_APP))
    assert (answer.status, readable(answer)) == (503, True)


# explain, check and the line at the start

ANOTHER_SITE = (
    "query parameter mock: not heeded, because the request comes from another site, whose origin `[cors]` "
    "does not list"
)
RULES = """
cors = { origins = ["https://app.test"], credentials = true }
trigger = { query = "mock", cookie = "fake" }
[[rules]]
match = "PUT /a"
headers = { x-a = "1" }
"""


def explained(folder: Path, line: str, *headers: str, text: str = RULES, **environment: Any) -> Any:
    environ = Environment(enabled=True, why="", **environment)
    configuration = load(environ, written(folder, text))
    return explain(read_request(line, headers), configuration, environ, clock=time.time)


def test_explain_shows_the_fields_that_a_page_gets(tmp_path: Path) -> None:
    (answer,) = explained(tmp_path, "PUT /a", f"Origin: {APP}").answers
    assert answer.response is not None
    assert dict(answer.response.headers)["Access-Control-Allow-Origin"] == APP
    found = explained(tmp_path, "PUT /a", "Origin: https://evil.test")
    assert "Access-Control-Allow-Origin" not in dict(found.answers[0].response.headers)
    assert found.notes == [
        "Origin: 'https://evil.test' is not listed in `[cors]`, whose fields a mock does not get"
    ]
    found = explained(tmp_path, "PUT /a", f"Origin: {APP}", text='[[rules]]\nmatch = "PUT /a"\n')
    assert found.notes == ["Origin: there is no `[cors]`, so that a mock has no CORS field but its own"]


def test_explain_tells_who_answers_a_preflight(tmp_path: Path) -> None:
    preflight = (f"Origin: {APP}", "Access-Control-Request-Method: PUT")
    found = explained(tmp_path, "OPTIONS /a", *preflight)
    assert found.answers[0].sentence == "`[cors]` answers:"
    assert found.answers[0].response.status == 204
    assert found.misses[0].reason == "method: expected PUT, found OPTIONS"
    found = explained(tmp_path, "OPTIONS /b", *preflight)
    assert found.answers[0].who == "the app"
    assert found.notes == ["`[cors]` leaves this preflight alone: it asks for no mock and no trigger"]
    found = explained(tmp_path, "OPTIONS /b", *preflight, "Access-Control-Request-Headers: x-mock-delay")
    assert dict(found.answers[0].response.headers)["Access-Control-Max-Age"] == "0"


@pytest.mark.parametrize(
    ("line", "headers", "environment", "reason"),
    [
        ("/b?mock=503", (), {}, None),
        ("/b", ("Cookie: fake=503",), {}, None),
        (
            *("/b?mock=503", (), {"key": "sesame"}),
            "query parameter mock: not heeded, because MOCKWARE_KEY is set and X-Mock-Key is not it",
        ),
        (
            *("/b", ("Cookie: fake=503",), {"key": "sesame"}),
            "cookie fake: not heeded, because MOCKWARE_KEY is set and X-Mock-Key is not it",
        ),
        (
            *("/b?mock=503", ("Sec-Fetch-Site: cross-site",), {}),
            ANOTHER_SITE,
        ),
        (
            *("OPTIONS /b?mock=503", ("Access-Control-Request-Method: PUT",), {}),
            "query parameter mock: not heeded, because a preflight is not the request that it asks leave for",
        ),
    ],
)
def test_explain_tells_why_a_query_or_a_cookie_is_not_heeded(
    line: str, headers: tuple[str, ...], environment: dict[str, str], reason: str | None, tmp_path: Path
) -> None:
    found = explained(tmp_path, line, *headers, **environment)
    if reason is None:
        assert [(answer.who, answer.response.status) for answer in found.answers] == [("the trigger", 503)]
    else:
        assert found.answers[0].who == "the app"
        assert reason in found.notes


def test_explain_tells_what_the_token_of_a_cookie_allows(tmp_path: Path) -> None:
    key = "a key of this test"

    def notes(path: str, signer: str, text: str = RULES, **allowed: Any) -> tuple[str, Any]:
        token = TokenKey(signer).sign(Scope(**{"expires_at": time.time() + 60, **allowed}))
        cookie = f"Cookie: fake=503%3Bkey%3D{token}"
        found = explained(tmp_path, path, cookie, text=text, key=key)
        return found.answers[0].who, found.notes

    who, (note,) = notes("/b", key, statuses=(503,))
    assert who == "the trigger"
    assert note.startswith("cookie fake has a token that allows the statuses 503")
    limited = RULES.replace("trigger = {", "trigger = { paths = ['/x'],")
    for sent, reason in [
        (("/b", "another key of this"), "its token is not signed with MOCKWARE_KEY"),
        (("/b", key, limited), "`paths` of `[trigger]` leaves this path out"),
    ]:
        who, (note,) = notes(*sent)
        assert (who, note) == ("the app", f"cookie fake: not heeded, because {reason}")
    scopes: list[tuple[dict[str, Any], str]] = [
        ({"paths": ("/c",)}, "the token is for the paths '/c', and this is '/b'"),
        ({"service": "billing"}, "the token is for the service 'billing'"),
        ({"expires_at": 1.0}, "the token has expired at 1970"),
    ]
    for allowed, reason in scopes:
        who, (note,) = notes("/b", key, **allowed)
        assert who == "the app"
        assert note.startswith(f"cookie fake: not heeded, because {reason}")


def test_check_warns_of_a_rule_that_speaks_for_itself_and_of_triggers_that_need_a_key(tmp_path: Path) -> None:
    own = '[[rules]]\nmatch = "/a"\nheaders = { Access-Control-Allow-Origin = "*" }\n'
    now = datetime.now(UTC)
    assert list(review(loaded(tmp_path, own), now)) == []
    (warning,) = review(loaded(tmp_path, RULES + own), now)
    assert (warning.key, warning.message) == (
        "headers.Access-Control-Allow-Origin",
        "in the place of all that `[cors]` would add",
    )
    found = list(review(loaded(tmp_path, RULES, key="sesame"), now))
    assert [(problem.key, problem.message) for problem in found] == [
        ("trigger.query", "MOCKWARE_KEY is set, and X-Mock-Key has to be sent as well"),
        (
            "trigger.cookie",
            f"{found[0].message}, unless the cookie has a token, as the control page makes it",
        ),
    ]


def test_the_commands_know_of_it(tmp_path: Path) -> None:
    path = str(written(tmp_path, RULES))
    checked = run("check", path, env=environ_of(MOCKWARE_KEY="sesame"))
    assert "trigger.query" in checked.stderr
    explained = run("explain", "PUT /a", "-H", f"Origin: {APP}", "--rules", path)
    assert f"Access-Control-Allow-Origin: {APP}" in explained.stdout


def test_the_line_at_the_start_names_the_sources_of_triggers(tmp_path: Path) -> None:
    line = describe(loaded(tmp_path, RULES), keyed=False)
    assert line.endswith(
        "X-Mock-Status and the query parameter mock and the cookie fake are heeded from anybody"
    )
