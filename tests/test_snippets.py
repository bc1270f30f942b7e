"""The printed code as a text: what it says, what it leaves out and says so, and what it refuses.

That it runs and answers as the mock does is shown in `test_snippets_running.py`.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.convertors import CONVERTOR_TYPES, Convertor, register_url_convertor

from mockware.exceptions import ConfigError
from mockware.handlers import MAX_BODY_BYTES
from mockware.rules import Rule
from mockware.snippets import FRAMEWORKS, rule_files, rule_snippet, status_files, status_snippet
from mockware.statuses import CATALOGUE

each_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
PYTHON = [slug for slug, framework in FRAMEWORKS.items() if framework.language == "python"]


def printable(text: str) -> bool:
    return text.isascii() and text.replace("\n", "").replace("\t", "").isprintable()


def test_the_frameworks_are_those_of_the_reference_page_in_its_order() -> None:
    assert [(slug, framework.slug, framework.title) for slug, framework in FRAMEWORKS.items()] == [
        ("django", "django", "Django"),
        ("flask", "flask", "Flask"),
        ("fastapi", "fastapi", "FastAPI"),
        ("express", "express", "Express"),
        ("spring-boot", "spring-boot", "Spring Boot"),
        ("go", "go", "Go net/http"),
        ("rails", "rails", "Rails"),
        ("aspnet-core", "aspnet-core", "ASP.NET Core"),
    ]


@each_framework
@pytest.mark.parametrize("code", [*CATALOGUE, 299, 599])
def test_every_status_has_its_code(framework: str, code: int) -> None:
    files = status_files(code, framework)
    assert FRAMEWORKS[framework].file in files
    for path, text in files.items():
        assert path in text.split("\n")[0]  # a text of several files says what goes where
        assert printable(text)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
    text = status_snippet(code, framework)
    assert text == "\n".join(files.values())
    assert f"/status/{code}" in text.replace('path("', 'path("/')  # Django's paths lack the first slash
    assert str(code) in text


@each_framework
def test_nothing_marks_the_response_as_a_mock(framework: str) -> None:
    for text in (status_snippet(202, framework), rule_snippet(Rule("/a"), framework)):
        assert "x-mock" not in text.lower()
        assert "no-store" not in text
        assert '"Vary"' not in text.replace('delete("Vary")', "")


@each_framework
def test_what_a_rule_says_itself_is_no_mark(framework: str) -> None:
    rule = Rule("/a", headers={"cache-control": "no-store", "vary": "X-Mock-Status"})
    text = rule_snippet(rule, framework)
    assert "no-store" in text
    assert "X-Mock-Status" in text


@each_framework
def test_the_body_stands_in_the_code_as_it_is(framework: str) -> None:
    assert '{"status": "accepted", "task_id": "abc-123"}' in status_snippet(202, framework)


@pytest.mark.parametrize(
    ("framework", "nearest"),
    [("expres", "express"), ("spring", "spring-boot"), ("rial", "rails"), ("aspnet", "aspnet-core")],
)
def test_an_unknown_framework_is_told_the_nearest(framework: str, nearest: str) -> None:
    message = f"is no framework; did you mean `{nearest}`\\?"
    with pytest.raises(ValueError, match=message):
        status_snippet(202, framework)
    with pytest.raises(ValueError, match=message):
        rule_snippet(Rule("/a"), framework)


@pytest.mark.parametrize("code", [99, 100, 600, 0, -1])
def test_a_status_that_is_none_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="cannot be the status of a mock"):
        status_snippet(code, "flask")


@each_framework
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"when": {"query": {"a": "b"}}}, "its conditions (when)"),
        ({"delay": "1s"}, "its delay"),
        ({"drip": "1s"}, "its drip"),
        ({"fault": "cut"}, "its fault"),
        ({"times": 3, "count_per": "path"}, "how often it answers (times); by what it counts (count_per)"),
        ({"probability": 0.5}, "its probability"),
        ({"expires": "2001-01-31T18:00:00Z"}, "its end (expires)"),
        (
            {"replies": [{"status": 503}, {"status": 202, "delay": "1s"}]},
            "its delay; the replies after its first",
        ),
        (
            {"template": True, "text": "{{ request.path_params.id }}"},
            "its templates, of which this is what one request got",
        ),
        ({"task": {"duration": "1s"}}, "what becomes of its task"),
    ],
)
def test_what_the_code_does_not_express_is_named_in_a_comment(
    framework: str, keys: dict[str, object], words: str
) -> None:
    text = rule_snippet(Rule("POST /a/{id:int}", **keys), framework)  # type: ignore[arg-type]
    head = text[: text.index("\n\n")]
    assert f"Not in this code: {words}." in head
    assert "POST /a/{id:int}" in head


def test_a_rule_that_one_response_expresses_has_no_such_comment() -> None:
    assert "Not in this code" not in rule_snippet(Rule("GET /a", status=503, text="x"), "go")


def test_the_first_of_several_replies_is_given() -> None:
    rule = Rule("/a", replies=[{"status": 503, "times": 2}, {"status": 201}])
    assert "status=503" in rule_snippet(rule, "flask")


def test_a_template_is_rendered_for_a_request_that_stands_for_all() -> None:
    rule = Rule("GET /a/{id:int}", template=True, json={"id": "{{ request.path_params.id }}"})
    assert '{"id": 1}' in rule_snippet(rule, "flask")


def test_a_task_is_accepted() -> None:
    text = rule_snippet(Rule("POST /exports", task={"duration": "2s"}), "flask")
    assert "status=202" in text
    assert '"Location", "/exports/' in text


def test_a_rule_that_has_expired_still_has_its_code() -> None:
    assert "status=410" in rule_snippet(Rule("/a", status=410, expires="2001-01-31T18:00:00Z"), "flask")


@each_framework
@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Rule("/a", passthrough=True), "a passthrough has no response of its own"),
        (Rule("/a", patch={"status": 500}), "a patch has no response of its own"),
        (Rule("/a", text="x" * (MAX_BODY_BYTES + 1)), "is too long for code"),
        (Rule("/a", headers={"content-type": ["text/a", "text/b"]}), "several Content-Type fields"),
    ],
)
def test_what_has_no_code_is_refused(framework: str, rule: Rule, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rule_snippet(rule, framework)


def test_what_a_framework_cannot_do_is_refused_by_name() -> None:
    for framework, rule, reason in (
        ("spring-boot", Rule("PURGE /a"), "Spring has no annotation for the method PURGE"),
        ("rails", Rule("PURGE /a"), "Rails is not sure to know the method PURGE"),
        ("express", Rule("BREW /a"), "Express has no method BREW"),
        ("flask", Rule("/a<b"), "Flask has no route for a path with `<`"),
        ("spring-boot", Rule("/a", headers={"content-type": "x"}), "no Content-Type that is no media type"),
        ("spring-boot", Rule("/a;b"), "behind a `;` in a path"),
        ("aspnet-core", Rule("/{a:path}/b"), "not at the end"),
        ("aspnet-core", Rule("/a//b"), "with `//`"),
    ):
        with pytest.raises(ValueError, match=reason):
            rule_snippet(rule, framework)


class _Slug(Convertor[str]):
    regex = "[a-z]+"


@pytest.fixture
def _own_converter() -> Iterator[None]:
    register_url_convertor("slug", _Slug())
    yield
    del CONVERTOR_TYPES["slug"]


@each_framework
@pytest.mark.usefixtures("_own_converter")
def test_a_converter_of_ones_own_is_refused(framework: str) -> None:
    with pytest.raises(ValueError, match="`slug` is a path converter of your own"):
        rule_snippet(Rule("/a/{name:slug}"), framework)


@pytest.mark.parametrize(
    ("framework", "match", "route"),
    [
        ("django", "GET /", 'path("", views.mock)'),
        ("django", "GET /a/{id:int}/{b}", 'path("a/<int:id>/<b>", views.mock)'),
        ("django", "GET /a/{rest:path}", r're_path(r"^a/(?P<rest>.*)\Z", views.mock)'),
        ("flask", "GET /", '@app.get("/")'),
        ("flask", "GET,POST /a/{id:int}", '@app.route("/a/<int:id>", methods=["GET", "POST"])'),
        ("flask", "GET /a/{class}", '@app.get("/a/<class_>")'),
        ("fastapi", "PUT /a/{id:int}", '@app.put("/a/{id:int}")'),
        ("express", "DELETE /", "app.delete('/', mock)"),
        ("express", "GET /a/{b}/{rest:path}", "app.get('/a/:b/{*rest}', mock)"),
        ("express", "GET /a/{id:int}", r"app.get(/^\/a\/(?<id>[0-9]+)$/, mock)"),
        ("express", "/a", "app.all('/a', mock)"),
        ("express", "M-SEARCH /a", "app['m-search']('/a', mock)"),
        ("spring-boot", "GET /", '@GetMapping("/")'),
        ("spring-boot", "PATCH /a/{id:int}", '@PatchMapping("/a/{id:[0-9]+}")'),
        ("spring-boot", "GET /a/${b}", '@GetMapping("/a/**")'),
        ("spring-boot", "GET /a/{rest:path}", '@GetMapping("/a/{*rest}")'),
        ("go", "GET /", '"GET /{$}"'),
        ("go", "GET /a/", '"GET /a/{$}"'),
        ("go", "/a/{b}/{rest:path}", '"/a/{b}/{rest...}"'),
        ("go", "GET /a//b", "http.HandlerFunc(mock)"),
        ("rails", "GET /", 'get "/", to: "mocks#show", format: false'),
        (
            "rails",
            "GET /a/{id:int}",
            'get "/a/:id", to: "mocks#show", format: false, constraints: { id: /[0-9]+/ }',
        ),
        ("rails", "GET /a/{rest:path}", 'get "/a(/*rest)"'),
        ("rails", "GET /a/{action}", 'get "/a/:mock_action"'),
        ("aspnet-core", "POST /a/{b}", 'app.MapPost("/a/{b}",'),
        ("aspnet-core", "GET /a/{id:int}", 'app.MapMethods("/a/{id:regex(^[0-9]+$)}", ["GET", "HEAD"],'),
        ("aspnet-core", "GET /a/{rest:path}", '"/a/{*rest}"'),
    ],
)
def test_a_match_is_a_route_of_the_framework(framework: str, match: str, route: str) -> None:
    assert route in rule_snippet(Rule(match), framework)


def test_a_binary_body_is_written_by_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"\x89PNG\r\n\xff")
    for framework in FRAMEWORKS:
        text = rule_snippet(Rule("GET /a", file=file), framework)
        assert r"\x89PNG\r\n\xff" in text or "iVBORw0K/w==" in text
        assert "image/png" in text


def test_code_in_python_is_formatted(tmp_path: Path) -> None:
    rules = [
        Rule("GET,POST /a/{id:int}/{x:uuid}", headers={"link": ["<a>", "<b>"]}, json={"it's": '"'}),
        Rule("/a/{rest:path}", status=304, headers={"allow": "GET"}),
    ]
    for framework in PYTHON:
        for number, files in enumerate(
            [
                *(status_files(code, framework) for code in CATALOGUE),
                *(rule_files(r, framework) for r in rules),
            ]
        ):
            for path, text in files.items():
                place = tmp_path / framework / str(number) / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["format", "--check"], ["check", "--select", "E,F,I,W"]):
        done = subprocess.run(
            [*ruff, *command, "--isolated", "--line-length", "300", "--no-cache", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


WORDS = st.text("ab \"'\\\n\r`$#{}*/%<>?!u0:=\u00e9\u2028\U0001f600", max_size=8)


@given(WORDS, WORDS, st.sampled_from(("json", "text")))
def test_no_text_gets_out_of_its_place(path: str, body: str, key: str) -> None:
    try:
        rule = Rule(f"/coding:{path}", **{key: body})  # type: ignore[arg-type]
    except ConfigError:
        return  # a brace, say, which no path may have
    for framework in FRAMEWORKS:
        try:
            files = rule_files(rule, framework)
        except ValueError:
            continue
        for text in files.values():
            assert printable(text)
            if framework in PYTHON:
                ast.parse(text.encode())  # bytes: a comment may name no other encoding


@pytest.mark.parametrize(
    ("said", "meant"),
    [("golang", "go"), ("Node.js", "express"), ("spring", "spring-boot"), (".NET", "aspnet-core")],
)
def test_a_framework_is_known_by_what_people_call_it(said: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean `{meant}`"):
        status_snippet(202, said)
