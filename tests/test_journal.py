"""The journal: bounded in number and in bytes, without secrets, and silent about passthrough."""

import json
from time import process_time
from typing import Any
from urllib.parse import quote

import pytest

from mockware import Rule
from mockware.compiled_rules import CompiledRule
from mockware.configuration import Configuration, Entry
from mockware.decisions import PASSTHROUGH, Passthrough
from mockware.journal import (
    MAX_BODY_BYTES,
    MAX_BYTES,
    MAX_COMPARED,
    MAX_COUNTED,
    MAX_ENTRIES,
    MAX_HEADERS,
    MAX_MISSES,
    MAX_PATH_CHARS,
    MAX_VALUE_CHARS,
    REDACTED,
    Journal,
)
from mockware.messages import Request, Response

MOCK = Response(503, "Service Unavailable", (), b"", rule="down", delay_s=1.5)


def journal(*redacted: str, bodies: bool = False, key: str = "") -> Journal:
    found = Journal(clock=lambda: 5.0)
    found.obey(redacted=redacted, bodies=bodies, key=key)
    return found


def compiled(*rules: Rule) -> list[CompiledRule]:
    return [CompiledRule(Entry(f"rule{i}", rule, "test"), Configuration()) for i, rule in enumerate(rules)]


def test_a_mock_is_noted_with_when_what_and_how() -> None:
    kept = journal()
    kept.note(Request("POST", "/pay", "a=b", {"x-a": "b"}), MOCK, ())
    assert kept.entries()[0]._asdict() == {
        "id": 1,
        "at": 5.0,
        "rule": "down",
        "method": "POST",
        "path": "/pay",
        "status": 503,
        "delay_s": 1.5,
        "headers": {"x-a": "b"},
        "body": None,
    }
    assert kept.hits("down") == (1, 5.0)
    assert kept.hits("other") == (0, None)


def test_passthrough_leaves_no_trace() -> None:
    kept = journal()
    kept.note(Request("GET", "/a"), PASSTHROUGH, ())
    kept.note(Request("GET", "/a"), Passthrough(delay_s=1.0), ())
    kept.note(Request("GET", "/a"), Response(200, "OK", (), b"", rule=""), ())
    assert (kept.entries(), kept.misses(), kept.last_id) == ([], [], 0)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-mock-key",
            "x-api-key",
            "apikey",
            "x-auth-token",
        ),
        *(
            "x-csrf-token",
            "baggage",
            "x-amz-security-token",
            "x-session-id",
            "x-hub-signature-256",
            "x-listed",
        ),
    ],
)
def test_what_may_be_a_secret_is_struck_out(name: str) -> None:
    kept = journal("x-listed")
    kept.note(Request("GET", "/a", headers={name: "s3cret", "accept": "*/*"}), MOCK, ())
    (entry,) = kept.entries()
    assert entry.headers == {name: REDACTED, "accept": "*/*"}


@pytest.mark.parametrize(
    ("name", "value", "kept_of_it"),
    [
        ("referer", "https://a.test/b?code=s3cret&x=1", f"https://a.test/b?{REDACTED}"),
        ("x-original-url", "/b?code=s3cret", f"/b?{REDACTED}"),
        ("referer", "https://a.test/b", "https://a.test/b"),
        ("referer", "https://ada:s3cret@a.test/b", f"https://{REDACTED}@a.test/b"),
        ("referer", "https://ada:s3@cret@a.test?s3cret", f"https://{REDACTED}@a.test?{REDACTED}"),
        ("x-forwarded-uri", "//s3cret@a.test/b?s3cret", f"//{REDACTED}@a.test/b?{REDACTED}"),
        ("from", "https://a.test/@ada", "https://a.test/@ada"),
        ("accept", "text/html, */*;q=0.8", "text/html, */*;q=0.8"),
        ("x-question", "why? because", "why? because"),
    ],
)
def test_of_a_url_what_may_be_secret_is_struck_out(name: str, value: str, kept_of_it: str) -> None:
    kept = journal()
    kept.note(Request("GET", "/a", "code=s3cret", {name: value}), MOCK, ())
    assert kept.entries()[0].headers == {name: kept_of_it}
    assert "s3cret" not in repr(kept.entries())
    # Of near misses, too, whichever side has it.
    for sent, wanted in ((value, "right"), ("wrong", value), (value, "right?s3cret")):
        rules = compiled(
            Rule("/a", when={"headers": {name: wanted}}), Rule("/a", when={"query": {"to": wanted}})
        )
        kept.note(Request("GET", "/a", f"to={quote(sent, safe='')}", {name: sent}), PASSTHROUGH, rules)
    if kept_of_it != value:
        assert {(miss.expected, miss.found) for miss in kept.misses()} == {
            (REDACTED, f"'{kept_of_it}'"),
            (REDACTED, "'wrong'"),
        }
    else:
        assert REDACTED not in repr(kept.misses())


@pytest.mark.parametrize("value", ["/" * 60_000, "//" * 30_000, "//a:" * 15_000, "//" + "a" * 60_000])
def test_no_value_takes_long_to_be_looked_through(value: str) -> None:
    kept = journal()
    rules = compiled(Rule("/a", when={"headers": {"x-a": "b"}}))
    started = process_time()
    kept.note(Request("GET", "/a", headers={"x-a": value}), MOCK, ())
    kept.note(Request("GET", "/a", headers={"x-a": value}), PASSTHROUGH, rules)
    assert process_time() - started < 1.0  # a square of the length takes ten times as long


@pytest.mark.parametrize(
    "when",
    [
        {"headers": {"authorization": "Bearer s3cret"}},
        {"headers": {"x-listed": {"regex": "^s3cret"}}},
        {"cookies": {"id": "s3cret"}},
        {"query": {"code": "s3cret"}},
        {"query": {"user_pwd": "s3cret"}},
        {"query": {"pin": ["s3cret"]}},
        {"query": {"otp": "s3cret"}},
        {"query": {"token": {"not": "s3cret"}}},
        {"json": {"user": {"password": "s3cret"}}},
        {"json": {"users": [{"password": "s3cret"}]}},
        {"json": {"user": {"password": {"new": "s3cret"}}}},
    ],
    ids=str,
)
def test_a_near_miss_keeps_no_secret_of_the_rule_either(when: dict[str, Any]) -> None:
    kept = journal("x-listed")
    sent = {"authorization": "Bearer s3cret2", "x-listed": "no s3cret", "cookie": "id=s3cret2"}
    query = "code=s3cret2&user_pwd=s3cret2&pin=s3cret2&otp=s3cret2&token=s3cret"
    for headers, body in ((sent, b'{"user": {"password": "s3cret2"}}'), ({}, b"{}"), ({}, b'{"user": 1}')):
        request = Request("GET", "/a", query if headers else "", headers, body)
        kept.note(request, PASSTHROUGH, compiled(Rule("/a", when=when)))
    assert kept.misses()
    assert "s3cret" not in repr(kept.misses())


def test_what_only_sounds_like_a_secret_is_kept() -> None:
    kept = journal()
    names = ("x-shipping", "x-footprint", "x-country-code")
    kept.note(Request("GET", "/a", headers=dict.fromkeys(names, "yes")), MOCK, ())
    assert kept.entries()[0].headers == dict.fromkeys(names, "yes")


KEYS = ["correct horse", "s\u00e9same/'\"", "k" * (MAX_VALUE_CHARS + 50)]


@pytest.mark.parametrize("key", KEYS, ids=["plain", "escaped", "long"])
def test_the_key_is_struck_out_wherever_an_entry_would_have_it(key: str) -> None:
    sent = key.encode().decode("latin-1")  # as servers give it
    kept = journal(bodies=True, key=key)
    headers = {"x-mok-key": sent, "x-mock-status": f"503;{sent}", "referer": f"/a/{quote(key, safe='')}"}
    body = b"b" * (MAX_BODY_BYTES - 3) + key.encode()
    kept.note(Request("GET", f"/a/{key}", headers={**headers, "x-open": "yes"}, body=body), MOCK, ())
    kept.note(Request("GET", "/a", headers={"x-open": "yes"}, body=b"b"), MOCK, ())
    other, entry = kept.entries()
    assert entry.headers == {**dict.fromkeys(headers, REDACTED), "x-open": "yes"}
    assert (entry.path, entry.body) == (REDACTED, REDACTED)
    assert (other.headers, other.path, other.body) == ({"x-open": "yes"}, "/a", "b")


@pytest.mark.parametrize("key", KEYS, ids=["plain", "escaped", "long"])
def test_the_key_is_struck_out_of_near_misses(key: str) -> None:
    kept = journal(key=key)
    asked: list[dict[str, Any]] = [
        {"headers": {"x-mok": "right"}},
        {"query": {"x": "right"}},
        {"json": {"x": "right"}},
        {"host": "right"},
    ]
    rules = compiled(*(Rule("/{rest:path}", when=when) for when in asked))
    sent = key.encode().decode("latin-1")
    body = json.dumps({"x": key}).encode()
    headers = {"x-mok": sent, "host": sent}
    kept.note(Request("GET", f"/{key}", f"x={quote(key)}", headers, body), PASSTHROUGH, rules)
    assert [(miss.path, miss.found) for miss in kept.misses()] == [(REDACTED, REDACTED)] * len(asked)


def test_a_rule_that_asks_for_the_key_has_it_struck_out_of_its_near_misses() -> None:
    kept = journal(key="correct horse")
    rules = compiled(Rule("/a", when={"query": {"x": "correct horse"}}))
    kept.note(Request("GET", "/a", "x=1"), PASSTHROUGH, rules)
    assert [(miss.expected, miss.found) for miss in kept.misses()] == [(REDACTED, "'1'")]


@pytest.mark.parametrize("bodies", [False, True])
def test_a_near_miss_tells_no_more_of_a_body_than_was_asked_about(bodies: bool) -> None:
    kept = journal(bodies=bodies)
    rules = compiled(
        Rule("/a", when={"json": {"user": {"kind": "big"}}}),
        Rule("/a", when={"json": {"user": "ada"}}),
        Rule("/a", when={"json": [1]}),
    )
    kept.note(Request("POST", "/a", body=b'{"user": {"kind": "s", "pin": 1234}}'), PASSTHROUGH, rules)
    found = [miss.found for miss in reversed(kept.misses())]
    assert found[0] == "'s'"
    assert ["1234" in text for text in found] == [False, bodies, bodies]


def test_a_near_miss_in_a_listed_field_keeps_its_value_to_itself() -> None:
    kept = journal("x.listed", "x-other")
    rules = compiled(
        *(Rule("/a", when={"headers": {name: "right"}}) for name in ("x.listed", "x-other", "x-open"))
    )
    sent = {"x.listed": "s3cret", "x-other": "s3cret", "x-open": "wrong"}
    kept.note(Request("GET", "/a", headers=sent), PASSTHROUGH, rules)
    assert [miss.found for miss in reversed(kept.misses())] == [REDACTED, REDACTED, "'wrong'"]


def test_what_comes_after_the_rule_that_lets_a_request_through_was_not_missed() -> None:
    kept = journal()
    rules = compiled(Rule("POST /a"), Rule("/a", passthrough=True), Rule("PUT /a"))
    for decision in (Passthrough(rule="rule1"), Passthrough(1.0, rule="rule1")):
        kept.note(Request("GET", "/a"), decision, rules)
    assert [miss.rule for miss in kept.misses()] == ["rule0", "rule0"]
    assert kept.entries() == []


def test_the_number_of_entries_is_bounded_and_the_newest_stay() -> None:
    kept = journal()
    for i in range(MAX_ENTRIES + 10):
        kept.note(Request("GET", f"/{i}"), MOCK, ())
    assert len(kept.entries()) == MAX_ENTRIES
    assert kept.entries()[0].path == f"/{MAX_ENTRIES + 9}"
    assert [entry.id for entry in kept.entries(after=MAX_ENTRIES + 8)] == [MAX_ENTRIES + 10, MAX_ENTRIES + 9]
    assert kept.hits("down")[0] == MAX_ENTRIES + 10


def test_the_bytes_of_all_entries_are_bounded_and_so_is_each_part() -> None:
    kept = journal(bodies=True)
    headers = {f"x-{i}": "v" * 10_000 for i in range(100)}
    request = Request("GET", "/" + "p" * 10_000, headers=headers, body=b"b" * 100_000)
    for _ in range(MAX_ENTRIES):
        kept.note(request, MOCK, ())
    entry = kept.entries()[0]
    assert (len(entry.path), len(entry.headers)) == (MAX_PATH_CHARS, MAX_HEADERS)
    assert {len(value) for value in entry.headers.values()} == {MAX_VALUE_CHARS}
    assert len(entry.body or "") == MAX_BODY_BYTES
    sizes = [
        len(entry.path)
        + len(entry.body or "")
        + sum(len(name) + len(value) for name, value in entry.headers.items())
        for entry in kept.entries()
    ]
    assert len(sizes) < MAX_ENTRIES
    assert sum(sizes) <= MAX_BYTES


def test_a_near_miss_names_the_field_that_differed() -> None:
    kept = journal()
    rules = compiled(
        Rule("POST /a"),
        Rule("GET /a", when={"query": {"x": "1"}}),
        Rule("GET /a", when={"json": {"kind": "big"}}),
        Rule("GET /a", when={"headers": {"authorization": "Bearer right"}}),
    )
    kept.note(
        Request("GET", "/a", "x=2", {"authorization": "Bearer s3cret"}, b'{"kind": "s"}'), PASSTHROUGH, rules
    )
    assert [(miss.rule, miss.field, miss.found) for miss in reversed(kept.misses())] == [
        ("rule0", "method", "GET"),
        ("rule1", "when.query.x", "'2'"),
        ("rule2", "when.json.kind", "'s'"),
        ("rule3", "when.headers.authorization", REDACTED),
    ]
    assert len(kept.misses(rule="rule1")) == 1


def test_near_misses_are_bounded_in_number_and_so_is_what_is_compared() -> None:
    kept = journal()
    rules = compiled(*[Rule("POST /a") for _ in range(MAX_COMPARED + 3)])
    kept.note(Request("GET", "/a"), PASSTHROUGH, rules)
    assert len(kept.misses()) == MAX_COMPARED
    for _ in range(MAX_MISSES):
        kept.note(Request("GET", "/a"), PASSTHROUGH, rules)
    assert len(kept.misses()) == MAX_MISSES


def test_as_many_rules_are_counted_as_there_is_room_for() -> None:
    kept = journal()
    for i in range(MAX_COUNTED + 1):
        kept.note(Request("GET", "/a"), Response(200, "OK", (), b"", rule=f"r{i}"), ())
    assert kept.hits("r0") == (0, None)
    assert (kept.hits("r1"), kept.hits(f"r{MAX_COUNTED}")) == ((1, 5.0), (1, 5.0))
