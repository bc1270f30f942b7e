"""A reply that is made of the request: what is sent, and what is said where nothing can be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockware import ConfigError, Rule
from mockware.messages import Request, Response
from mockware.template_values import MAX_OUTPUT_BYTES
from mockware.templated import TemplatedReply


def rendered(
    match: str = "/users/{id:int}",
    *,
    path: str = "/users/7",
    query: str = "",
    sent: Mapping[str, str] | None = None,
    body: bytes | None = None,
    **declared: Any,
) -> Response:
    rule = Rule(match, template=True, **declared)
    reply = rule.compiled("the-rule")
    assert isinstance(reply, TemplatedReply)
    request = Request("POST", path, query, sent, body)
    parameters = rule.matched.template.parameters(path)
    return reply.rendered(request, parameters, now=1790000000.0, chance=lambda: 0.25)


def fields(response: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


def test_one_reply_says_the_same_thing_in_its_headers_and_its_body() -> None:
    response = rendered(
        status=201,
        headers={"Location": "/users/{{ request.path_params.id }}/{{ uuid }}"},
        json={
            "id": "{{ request.path_params.id }}",
            "key": "{{ uuid }}",
            "at": "{{ now }}",
            "n": "{{ random }}",
        },
    )
    body = json.loads(response.body)
    assert (response.status, body["id"], body["n"]) == (201, 7, 0.25)
    assert fields(response)["location"] == f"/users/7/{body['key']}"
    assert body["at"] == "2026-09-21T14:13:20Z"
    assert fields(response)["content-length"] == str(len(response.body))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_a_value_of_the_request_is_encoded_whatever_it_is(value: Any) -> None:
    response = rendered(
        json={"echo": "{{ request.json.v }}", "all": ["{{ request.json }}"]},
        body=json.dumps({"v": value}).encode(),
    )
    if response.status == 202:
        assert json.loads(response.body) == {"echo": value, "all": [{"v": value}]}
    else:
        assert response.status == 500  # a number that no float can hold, or nested too deeply


@given(st.text())
def test_text_of_the_request_within_json_stays_text(text: str) -> None:
    response = rendered(json="Hello {{ request.headers['X-Name'] }}!", sent={"x-name": text})
    assert json.loads(response.body) == f"Hello {text}!"


@pytest.mark.parametrize("attack", ["a\r\nSet-Cookie: x=1", "a\0", "\n", " ", "\u20ac"])
def test_a_value_that_no_field_can_carry_is_a_500_and_splits_no_response(attack: str) -> None:
    response = rendered(
        headers={"X-Echo": "{{ request.query.q }}"},
        query="q=" + "".join(f"%{b:02x}" for b in attack.encode()),
    )
    assert response.status == 500
    assert "x-echo" not in fields(response)
    detail = json.loads(response.body)["detail"]
    assert "headers.X-Echo" in detail
    assert fields(response)["x-mock-rule"] == "the-rule"


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"text": "{{ request.query.page }}"}, "'page' is missing"),
        ({"json": {"a": "{{ request.json.a.b }}"}}, "'json' is missing"),
        ({"text": "{{ 1 / (random - 0.25) }}"}, "body"),
        (
            {"text": "{% for i in range(9000) %}{% for j in range(9000) %}{% endfor %}{% endfor %}"},
            "it takes more than",
        ),
        ({"text": "{% for i in range(2000) %}" + "x" * 600 + "{% endfor %}"}, str(MAX_OUTPUT_BYTES)),
    ],
)
def test_what_cannot_be_made_is_a_500_that_names_the_rule_and_shows_no_traceback(
    declared: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = rendered(**declared)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "of rule 'the-rule' has failed" in record.getMessage()
    assert response.status == 500
    assert fields(response)["content-type"] == "application/problem+json"
    assert fields(response)["x-mock-rule"] == "the-rule"
    problem = json.loads(response.body)
    assert "of rule 'the-rule': " in problem["detail"]
    assert says in problem["detail"]
    assert "Traceback" not in problem["detail"]
    assert "0x" not in problem["detail"]
    assert len(problem["detail"]) < 400


@pytest.mark.parametrize(
    "body",
    [
        ["{{ request.query.q }}"] * 3,  # each letter is an escape of six bytes
        {"fixed": "y" * 1_000_000, "q": "{{ request.query.q }}"},
        {"y" * 1_000_000: "{{ request.query.q }}"},
        [*[1] * 340_000, "{{ request.query.q }}"],
    ],
    ids=["escapes", "a fixed text", "a key", "many members"],
)
def test_json_is_bounded_as_it_is_encoded_with_all_that_was_there_before(body: Any) -> None:
    few, many = (rendered(json=body, query="q=" + "%C3%A9" * letters) for letters in (1, 60_000))
    assert (few.status, many.status) == (202, 500)
    assert str(MAX_OUTPUT_BYTES) in json.loads(many.body)["detail"]


def test_markup_is_escaped_and_plain_text_is_not() -> None:
    asked: dict[str, Any] = {"query": "q=%3Cb%3E", "text": "<p>{{ request.query.q }}"}
    assert rendered(**asked).body == b"<p><b>"
    html = rendered(headers={"Content-Type": "text/html"}, **asked)
    assert html.body == b"<p>&lt;b&gt;"
    assert fields(html)["content-type"] == "text/html"


def test_a_file_is_a_template_by_its_type(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"id": "{{ request.path_params.id }}", "q": "{{ request.query.q }}"}')
    (tmp_path / "a.html").write_text("<p>{{ request.query.q }}</p>\n")
    query = "q=%22%3C%7B%7B1%7D%7D"
    assert json.loads(rendered(file=tmp_path / "a.json", query=query).body) == {"id": 7, "q": '"<{{1}}'}
    html = rendered(file=tmp_path / "a.html", query=query)
    assert html.body == b"<p>&#34;&lt;{{1}}</p>\n"
    assert fields(html)["content-type"] == "text/html"


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        ({"text": "{{ request.path_params.idd }}"}, "did you mean `id`"),
        ({"json": ["{{ request.path_params.name }}"]}, "allowed: id"),
        ({"text": "{{ now", "headers": {"a": "{{ uuidd }}"}}, "did you mean `uuid`"),
        ({"text": '{"a": {{ now }}}', "headers": {"content-type": "application/json"}}, "not JSON"),
    ],
)
def test_what_can_be_known_at_load_is_said_at_load(declared: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Rule("/users/{id:int}", template=True, **declared)
    assert says in str(refused.value)


def test_a_file_that_is_no_text_or_no_json_is_refused_at_load(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff{{ now }}")
    (tmp_path / "a.json").write_text("{{{ now }}}")
    for name, says in (("a.txt", "UTF-8"), ("a.json", "not JSON")):
        with pytest.raises(ConfigError, match=says):
            Rule("/a", template=True, file=tmp_path / name)


def test_without_the_key_nothing_is_a_template() -> None:
    reply = Rule("/a", text="{{ now }}", headers={"a": "{% if %}"}).compiled("r")
    assert isinstance(reply, Response)
    assert reply.body == b"{{ now }}"


def test_only_a_template_of_the_body_has_the_body_read() -> None:
    for text, reads in (("{{ request.json.a }}", True), ("{{ request.method }}", False)):
        reply = Rule("/a", template=True, text=text).compiled("r")
        assert isinstance(reply, TemplatedReply)
        assert reply.reads_body is reads


def test_a_template_drips_and_faults_like_any_other_reply() -> None:
    response = rendered(text="{{ request.method }}", drip="2s", fault="cut")
    assert (response.drip_s, response.fault, response.body) == (2.0, "cut", b"POST")
