"""The printed code runs, in all eight frameworks, and answers as the mock does.

What is compared is what stands on the wire: the status, the body's bytes, and each field with its values in
their order. `ADDED` is all that a framework or its server may add, and `CHANGED` all that it may write
otherwise; neither may touch a field that tells of the response, but where no code could keep it from that.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.by_hand import Answer, Sent, Wire, events_of, run, scope_of
from tests.snippet_programs import Printed, ask, running
from tests.toolchains import Program

import mockware
from mockware.messages import HOP_BY_HOP
from mockware.paths import PATH_CHARS
from mockware.rules import Rule
from mockware.snippets import FRAMEWORKS, rule_files, status_files

STATUSES = (
    202,
    201,
    204,
    302,
    404,
    429,
    503,
    200,
    205,
    206,
    301,
    304,
    307,
    308,
    401,
    405,
    407,
    426,
    451,
    599,
)

# Every server's business, and the connection's.
EVERYWHERE = {"date", "server", "connection", "keep-alive"}
ADDED = {
    "django": {"x-content-type-options", "referrer-policy", "cross-origin-opener-policy", "x-frame-options"},
    "flask": set[str](),
    "fastapi": set[str](),
    "express": set[str](),
    "spring-boot": set[str](),
    "go": set[str](),
    "rails": {
        "x-frame-options",
        "x-xss-protection",
        "x-content-type-options",
        "x-download-options",
        "x-permitted-cross-domain-policies",
        "referrer-policy",
        "x-request-id",
        "x-runtime",
        # Rack::ETag gives both to what has none.
        "etag",
        "cache-control",
    },
    "aspnet-core": set[str](),
}
# RFC 9110 section 15.3.6: a 205 has no content, and so these servers leave out what is said of it.
MISSING = {
    ("spring-boot", 205, "content-type"),
    ("rails", 205, "content-type"),
    ("rails", 205, "content-length"),
}


class Case(NamedTuple):
    """A snippet to be, and requests that it answers as `rule` does; None: as the status trigger.

    `misses` are requests that are none of the rule's, and none of the code's.
    """

    status: int
    rule: Rule | None
    requests: tuple[tuple[str, str], ...]
    misses: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"status {self.status}" if self.rule is None else self.rule.match

    def printed(self, framework: str) -> Printed:
        return status_files(self.status, framework) if self.rule is None else rule_files(self.rule, framework)

    def mocked(self, method: str, target: str) -> Answer:
        """What mockware answers, without the marks of a mock."""
        rules = [] if self.rule is None else [self.rule]
        triggers = [("X-Mock-Status", str(self.status))] if self.rule is None else []
        app = mockware.wrap(_no_app, rules=rules, enabled=True, environ={})
        wire = Wire(events_of(Sent(method, target)))
        run(app(scope_of(Sent(method, target, headers=triggers)), wire.receive, wire.send))
        marks = {"x-mock-rule", "vary"} if self.rule is None else {"x-mock-rule"}
        if self.rule is None or not any(name.lower() == "cache-control" for name in self.rule.headers):
            marks.add("cache-control")
        start, *bodies = wire.sent
        fields = tuple((name.decode(), value.decode("latin-1")) for name, value in start["headers"])
        return Answer(start["status"], fields, b"".join(m["body"] for m in bodies)).without(marks)


async def _no_app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("the mock answers")


STATUS_CASES = [
    Case(code, None, tuple((method, f"/status/{code}") for method in ("GET", "HEAD"))) for code in STATUSES
]


# Rules of all kinds of trouble

# Single characters, and what has a meaning in some language or template.
TROUBLE = (
    *"\"'\\\n\r\0\x7f`$%#@~ \ta7",
    *"\u0085\u00e9\u2028\u2029\u202e\ufeff\U0001f600\U0010ffff",
    *("${x}", "$1", "#{1 + 1}", "#$0", "#@x", "%s", "%d%n", "{{ x }}", "{0}", "<%= 1 %>", "?>", "EOF"),
    *("</script>", "<!--", "-->", "*/", "/*", "//", '"""', "'''", "coding: latin-1"),
    *("\\u000a", "\\u0022", "\\x41", "\\0", "\\\\", "\r\n", "  ", "\u65e5\u672c", "e\u0301"),
)
texts = st.lists(st.sampled_from(TROUBLE) | st.text(max_size=8), max_size=12).map("".join)
values = (
    st.lists(
        st.sampled_from(tuple(piece for piece in TROUBLE if piece.isprintable() and ord(max(piece)) < 0x100))
        | st.text("abc;=,/ \xe4\xff", max_size=6),
        min_size=1,
        max_size=6,
    )
    .map(lambda pieces: " ".join("".join(pieces).split()))
    .filter(bool)
)
names = st.sampled_from(
    (
        "x-a",
        "X-Tenant",
        "link",
        "set-cookie",
        "retry-after",
        "etag",
        "cache-control",
        "vary",
        "x-!#$%&'*+.^_`|~",
    )
)
headers = st.dictionaries(names, values | st.lists(values, min_size=2, max_size=3), max_size=3)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
methods = st.sampled_from(
    (
        "",
        "GET",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "GET,POST",
        "POST,PUT,DELETE",
        "OPTIONS",
        "HEAD",
        "HEAD,POST",
    )
)
_WORDS = (
    "reports",
    "v1",
    "a.b",
    "x-y",
    "A_b",
    ".json",
    ":b",
    "\u65e5",
    *"~'\"$@!&,=+()*%[]|^` \u00e9\U0001f600",
)
literals = st.lists(st.sampled_from(_WORDS), min_size=1, max_size=3).map("".join)
SAMPLES = {
    "str": ("x", "a b", "it's", "\u00e9", "a.b"),
    "int": ("0", "42"),
    "float": ("1.5", "7"),
    "uuid": ("6f1c7b1e-2f5d-4c3a-9f5b-0a1b2c3d4e5f",),
    "path": ("a", "a/b.c"),
}


@st.composite
def paths(draw: st.DrawFn) -> tuple[str, str]:
    """A template, and a path that it matches."""
    template, path = "", ""
    for number in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            literal = draw(literals).rstrip() or "x"  # blanks at the end of a match are none of its path
            template, path = f"{template}/{literal}", f"{path}/{literal}"
        else:
            kind = draw(st.sampled_from(tuple(kind for kind in SAMPLES if kind != "path")))
            name = draw(
                st.sampled_from(("id", "class", "request", "Response", "action", "format", "body"))
            ) + str(number or "")
            template = f"{template}/{{{name}:{kind}}}"
            path = f"{path}/{draw(st.sampled_from(SAMPLES[kind]))}"
    if draw(st.booleans()):
        template, path = f"{template}/{{rest:path}}", f"{path}/{draw(st.sampled_from(SAMPLES['path']))}"
    return template, path


@st.composite
def cases(draw: st.DrawFn) -> Case:
    template, path = draw(paths())
    listed = draw(methods)
    status = draw(
        st.sampled_from((200, 201, 202, 204, 299, 302, 304, 400, 404, 418, 422, 429, 500, 503, 599))
    )
    reply: dict[str, object] = {"status": status, "headers": draw(headers)}
    if status not in (204, 304) and (kind := draw(st.sampled_from(("json", "text", "")))):
        reply[kind] = draw(jsons if kind == "json" else texts)
    rule = Rule(f"{listed} /PREFIX{template}", **reply)  # type: ignore[arg-type]
    asked = listed.split(",") if listed else ["GET", "POST", "DELETE"]
    if "GET" in asked:
        asked.append("HEAD")
    return Case(status, rule, tuple((method, path) for method in asked))


COUNT = 60  # one build of all; each is three requests or so


def _drawn() -> list[Case]:
    found: list[Case] = []

    @settings(max_examples=COUNT, database=None, phases=[Phase.generate], deadline=None)
    @given(cases())
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def _on(match: str, paths: Sequence[str], misses: Sequence[str] = (), **reply: object) -> Case:
    """A rule for GET, and what it matches and does not."""
    rule = Rule(f"GET /PREFIX{match}", **reply)  # type: ignore[arg-type]
    asked = tuple((method, path) for path in paths for method in ("GET", "HEAD"))
    return Case(rule.status or 202, rule, asked, tuple(("GET", path) for path in misses))


_UUID = "6f1c7b1e-2f5d-4c3a-9f5b-0a1b2c3d4e5f"
_ENDS = ('"', "\\", " ", "`", "#", '""', '"""', "'", "$", "{", "\\u")
_VALUES = [piece for piece in TROUBLE if piece.isprintable() and piece.strip() and piece.isascii()]
_SEVERAL = {"link": ["<a>", "<b>"], "set-cookie": ["a=1; Path=/", 'b="2"']}
CHOSEN = [
    _on("/all", ["/all"], text="".join(TROUBLE)),
    _on("/json", ["/json"], json={piece: piece for piece in TROUBLE}),
    _on("/pairs", ["/pairs"], text="".join(a + b for a in TROUBLE[:14] for b in TROUBLE[:14])),
    *(_on(f"/end{i}", [f"/end{i}"], text='"a' + end) for i, end in enumerate(_ENDS)),
    *(_on(f"/start{i}", [f"/start{i}"], text=start + 'a"') for i, start in enumerate(_ENDS)),
    _on("/fields", ["/fields"], headers={"x-a": _VALUES, "x-latin": ["\xe4\xff", "\xa1"]}, json=1),
    _on("/several", ["/several"], headers=_SEVERAL),
    _on("/several204", ["/several204"], status=204, headers=_SEVERAL),
    _on(
        "/cached",
        ["/cached"],
        status=200,
        headers={"cache-control": ["max-age=60", "private"], "etag": '"1"'},
    ),
    _on("/type", ["/type"], headers={"content-type": "text/csv; header=present"}, text="a,b"),
    _on("/html", ["/html"], headers={"Content-Type": "text/html"}, text="<p>"),
    _on("/unknown-type", ["/unknown-type"], headers={"content-type": "application/x.y+z"}, text="\xe9"),
    _on("/moved", ["/moved"], status=302, headers={"location": "https://example.org/a%20b?c=[d]|e f#g"}),
    _on(
        "/not-modified",
        ["/not-modified"],
        status=304,
        headers={"etag": '"1"', "last-modified": "Thu, 26 Nov 2026 12:00:00 GMT", "allow": "GET"},
    ),
    _on("/empty", ["/empty"], text=""),
    _on("/long", ["/long"], text="0123456789\n" * 2900),
    _on("/i/{id:int}", ["/i/0", "/i/007"], ["/i/x", "/i/1.5", "/i/", "/i/1/2", "/i"]),
    _on("/f/{x:float}", ["/f/1", "/f/1.50"], ["/f/x", "/f/1.", "/f/.5"]),
    _on("/u/{id:uuid}/x", [f"/u/{_UUID}/x"], ["/u/1/x", f"/u/{_UUID}1/x"]),
    _on("/s/{name}", ["/s/a", "/s/a.json", "/s/a b"], ["/s/a/b", "/s/"]),
    _on("/p/{rest:path}", ["/p/a", "/p/a/b", "/p/"]),
    _on("/q/{rest:path}/end", ["/q/a/end", "/q/a/b/end"], ["/q/a", "/q/a/b"]),
    _on("/files/{name}.json", ["/files/a.json"], ["/files/a.txt", "/files/json"]),
    _on("/range/{start:int}-{end:int}", ["/range/1-2"], ["/range/1", "/range/a-b"]),
    _on("/v{version:int}/x", ["/v2/x"], ["/vx/x", "/v/x"]),
    _on("/{kind}/{id:int}/{more:path}", ["/a/1/b/c"], ["/a/b/c"]),
    _on("/double//slash", ["/double//slash"], ["/double/slash"]),
    _on("/slash/", ["/slash/"], ["/slash"]),
    _on("/no-slash", ["/no-slash"], ["/no-slash/"]),
    _on("/Upper", ["/Upper"], ["/upper"]),
    # In a comment, and in a route; whether servers let such a request through is their business.
    _on("/coding:utf-16", ["/coding:utf-16"]),
    _on("/a\\u000ab*/c\\", []),
    _on("/line\nend\u2028x\r-->", []),
]
BYTES = bytes(range(256))  # of a file, which is made when the tests run


def _rule_cases() -> list[Case]:
    """Each below a path of its own."""
    return [_below(f"/r{number}", case) for number, case in enumerate((*CHOSEN, *_drawn()))]


def _below(prefix: str, case: Case) -> Case:
    assert case.rule is not None
    rule = replace(case.rule, match=case.rule.match.replace("/PREFIX", prefix))
    requests, misses = (
        tuple((method, prefix + path) for method, path in asked) for asked in (case.requests, case.misses)
    )
    return Case(case.status, rule, requests, misses)


def _differences(framework: str, mocked: Answer, got: Answer) -> Iterator[str]:
    if got.status != mocked.status:
        yield f"status {got.status}, not {mocked.status}"
    if got.body != mocked.body:
        yield f"body {got.body!r}, not {mocked.body!r}"
    for name in sorted({name for name, _ in (*mocked.fields, *got.fields)}):
        expected, found = mocked.all(name), got.all(name)
        if not expected and name in EVERYWHERE | ADDED[framework]:
            continue
        if expected and not found and (framework, mocked.status, name) in MISSING:
            continue
        if framework in ("django", "flask") and name in HOP_BY_HOP:
            continue
        if name == "connection":  # the server has something to say of it, too
            found = [value for value in found if value in expected]
        if framework == "spring-boot" and name == "content-type":
            expected, found = ([v.replace("; ", ";") for v in values] for values in (expected, found))
        if found != expected:
            yield f"{name} {found}, not {expected}"


class Run(NamedTuple):
    """All snippets of a framework, running."""

    framework: str
    program: Program
    cases: Sequence[Case]
    refused: Sequence[str]

    def differences(self, *, about_statuses: bool) -> list[str]:
        found = []
        for number, case in enumerate(self.cases):
            if (case.rule is None) is about_statuses:
                for method, path in case.requests:
                    target = quote(path, safe=PATH_CHARS)
                    got = ask(self.program, number, method, target)
                    label = f"{method} {target} of {case}"
                    found += [
                        f"{label}: {difference}"
                        for difference in _differences(self.framework, case.mocked(method, target), got)
                    ]
                # Rails takes a slash at the end away before it looks for a route.
                for method, path in () if self.framework == "rails" and "slash" in str(case) else case.misses:
                    got = ask(self.program, number, method, quote(path, safe=PATH_CHARS))
                    if got.status not in (301, 307, 308, 404):
                        found.append(f"{method} {path} is none of {case}, but it answers {got.status}")
        return found


RULE_CASES = _rule_cases()


@pytest.fixture(scope="module", params=FRAMEWORKS)
def snippets(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    framework = request.param
    file = tmp_path_factory.mktemp("bytes") / "all.png"
    file.write_bytes(BYTES)
    binary = _below("/binary", _on("/all", ["/all"], file=file))
    cases = [*STATUS_CASES, *RULE_CASES, binary]
    printed: list[Printed] = []
    kept: list[Case] = []
    refused: list[str] = []
    for case in cases:
        try:
            printed.append(case.printed(framework))
            kept.append(case)
        except ValueError as error:
            refused.append(f"{case}: {error}")
    with running(framework, printed) as program:
        yield Run(framework, program, kept, refused)


def test_the_code_of_a_status_answers_as_its_mock(snippets: Run) -> None:
    assert "\n".join(snippets.differences(about_statuses=True)) == ""


def test_the_code_of_a_rule_answers_as_the_rule(snippets: Run) -> None:
    assert "\n".join(snippets.differences(about_statuses=False)) == ""


@pytest.mark.parametrize("snippets", ["go"], indirect=True)
def test_code_in_go_is_formatted(snippets: Run, tmp_path: Path) -> None:
    for number, case in enumerate(snippets.cases):
        (tmp_path / f"{number}.go").write_text(case.printed(snippets.framework)["main.go"])
    done = subprocess.run(["gofmt", "-l", str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


# A framework that cannot do what a rule asks for says so, and which: no more than a few rules in a hundred.
def test_few_rules_are_refused(snippets: Run) -> None:
    print("\n".join(snippets.refused))
    assert len(snippets.refused) <= len(RULE_CASES) // 20
