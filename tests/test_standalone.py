"""The server without an app behind it: any status as httpbin has it, and the reference of each."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.httpbin_program import program
from tests.rawhttp import PATIENCE_S, Response, request
from tests.server_table import _RUN, Server
from tests.servers import Running
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import mockware
from mockware import messages
from mockware.configuration import Configuration
from mockware.cors import Cors
from mockware.engine import Snapshot
from mockware.reference import reference_for
from mockware.reference_page import content_security_policy
from mockware.snippets import FRAMEWORKS, status_files
from mockware.standalone import standalone_app
from mockware.statuses import CATALOGUE

APP = "mockware.standalone:standalone_app"
SERVERS = (
    Server("granian", "asgi", (*_RUN, "granian", "--port={port}", "--interface=asgi", "--factory", APP)),
    # Its usual implementation of websockets complains of denials (`server_table.py`).
    Server("uvicorn", "asgi", (*_RUN, "uvicorn", "--port={port}", "--ws=wsproto", "--factory", APP)),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "REPORT")
CANONICAL = b'{"status": "accepted", "task_id": "abc-123"}'
HTML = ("Accept", "text/html")


@pytest.fixture(scope="module", params=SERVERS, ids=str)
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param, "standalone")
    try:
        assert running.listens(), running.log.text
        yield running
        assert not re.search("Traceback|WARNING|ERROR|CRITICAL", running.log.text)
    finally:
        running.stop()


@pytest.fixture(scope="module")
def httpbin() -> Iterator[Running]:
    command = (
        program(),
        "-m",
        "gunicorn",
        "--worker-class=gthread",
        "--bind=127.0.0.1:{port}",
        "httpbin:app",
    )
    running = Running(Server("httpbin", "wsgi", command), "httpbin")
    try:
        assert running.listens(), running.log.text
        yield running
    finally:
        running.stop()


def ask(
    server: Running, method: str, target: str, *headers: tuple[str, str], body: bytes | None = None
) -> Response:
    with server.connect() as connection:
        return connection.ask(method, target, headers, body)


def problem(response: Response) -> str:
    assert response.one("content-type") == "application/problem+json"
    detail = json.loads(response.body)["detail"]
    assert isinstance(detail, str)
    return detail


# ---- /status/{codes}


def test_the_reference_pages_own_test_passes(server: Running) -> None:
    line = ["curl", "-i", "-sS", f"http://127.0.0.1:{server.port}/status/202"]
    done = subprocess.run(line, capture_output=True, timeout=PATIENCE_S, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 202 accepted"
    assert {"content-type: application/json", "content-length: 44"} <= set(lines)
    assert body == CANONICAL


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_the_status(server: Running, method: str) -> None:
    response = ask(server, method, "/status/202")
    assert (response.status, response.one("content-length")) == (202, "44")
    assert response.body == (b"" if method == "HEAD" else CANONICAL)


def test_every_status_is_the_one_that_its_reference_shows(server: Running) -> None:
    with server.connect() as connection:
        for code in [*CATALOGUE, 299, 599]:
            expected = reference_for(code).response
            response = connection.ask("GET", f"/status/{code}")
            assert (response.status, response.body) == (code, expected.body)
            for name, value in expected.headers:
                # What is about the connection is the server's to say as well.
                if name.lower() != "connection":
                    assert value in response.all(name.lower()), (code, name)
            assert not response.closes


@pytest.mark.parametrize(
    ("codes", "statuses"),
    [
        ("200,503", {200, 503}),
        ("200,201,202,404", {200, 201, 202, 404}),
        ("200:0.5,503:0.5", {200, 503}),
        ("404:1,200:0", {404}),
        ("204:3", {204}),
        ("503:0.1,200:0.9,", None),
        ("200%2C503", {200, 503}),
        (quote(" 200 , 503 "), {200, 503}),
    ],
)
def test_of_several_statuses_one_is_drawn(server: Running, codes: str, statuses: set[int] | None) -> None:
    with server.connect() as connection:
        found = {connection.ask("GET", f"/status/{codes}").status for _ in range(60 if statuses else 1)}
    assert found == (statuses or {400})  # one of four is missing once in ten million runs


@pytest.mark.parametrize(("chance", "status"), [(0.0, 200), (0.89, 200), (0.91, 503), (0.999, 503)], ids=str)
def test_the_weights_divide_the_chances(chance: float, status: int) -> None:
    response = asked(standalone_app(chance=lambda: chance), "GET", "/status/200:0.9,503:0.1")
    assert response.status_code == status


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ("2o2", "expected a status from 200 to 599"),
        ("99", "expected a status from 200 to 599"),
        ("100", "expected a status from 200 to 599"),
        ("600", "expected a status from 200 to 599"),
        ("+202", "expected a status from 200 to 599"),
        ("2_02", "expected a status from 200 to 599"),
        (quote("²⁰²"), "expected a status from 200 to 599"),
        ("200:x", "a weight is a number"),
        ("200:-1,503:2", "a weight is a number"),
        ("200:nan", "a weight is a number"),
        ("200:0,503:0", "the weights add up to nothing"),
        (",", "expected a status from 200 to 599"),
        ("200," * 1000, "longer than 1024 characters"),
        ("%3Cscript%3E", "'<script>'"),
        ("%0d%0aX:y", r"'\r\nX:y'"),
    ],
)
def test_what_is_no_list_of_statuses_is_refused_with_the_reason(
    server: Running, codes: str, reason: str
) -> None:
    response = ask(server, "GET", f"/status/{codes}")
    assert response.status == 400
    assert reason in problem(response)


def test_there_is_nothing_to_pass_to(server: Running) -> None:
    response = ask(server, "GET", "/status/passthrough")
    assert response.status == 404
    assert problem(response) == "There is no app behind this server to pass a request to."


def test_an_upload_is_read_to_its_end_before_the_answer(server: Running) -> None:
    with server.connect() as connection:
        for target in ("/status/202", "/status/202,202", "/", "/nowhere"):
            connection.ask("POST", target, (), b"x" * 1_000_000)
            assert connection.ask("GET", "/status/202").body == CANONICAL


@pytest.mark.parametrize("codes", ["413", "413,413"])
def test_a_client_that_waits_to_be_told_to_go_on_is_answered_at_once(server: Running, codes: str) -> None:
    with server.connect() as connection:
        head = request("POST", f"/status/{codes}", [("Expect", "100-continue"), ("Content-Length", "9")])
        connection.send(head)
        response = connection.response("POST")
        assert (response.status, response.interim, response.closes) == (413, (), True)


def test_on_http_2_nothing_is_said_of_the_connection(server: Running) -> None:
    if server.server.name != "granian":
        return  # uvicorn speaks HTTP/1.1 only
    with httpx.Client(http1=False, http2=True, base_url=f"http://127.0.0.1:{server.port}") as client:
        assert client.get("/status/202").content == CANONICAL
        response = client.get("/status/426")
        assert (response.status_code, response.http_version) == (426, "HTTP/2")
        assert not {"upgrade", "connection"} & response.headers.keys()
        assert client.get("/", headers={"accept": "text/html"}).text.startswith("<!doctype html>")


@pytest.mark.parametrize(("target", "status"), [("/status/503", 503), ("/status/2o2", 400), ("/x", 404)])
def test_a_websocket_is_denied_with_the_status(server: Running, target: str, status: int) -> None:
    with (
        pytest.raises(InvalidStatus) as denied,
        connect(f"ws://127.0.0.1:{server.port}{target}", open_timeout=PATIENCE_S),
    ):
        pass
    assert denied.value.response.status_code == status


# ---- httpbin, side by side

HTTPBINS_OWN = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE")
ALIKE = (
    *(str(code) for code in CATALOGUE),
    *("299", "599", "200,200", "503:1,503:9", "404:1,200:0", "200:0,404:1", "200:0.5,200:0.5"),
    *("2o2", "x", ",", "200,", "200:x,200", "200,:1", "", "a/b"),
)
# Where the two differ, and why: (method, codes): (httpbin's status, ours)
DELIBERATE = {
    # One status with a weight: httpbin looks for weights in lists only.
    ("GET", "200:0.5"): (400, 200),
    # What `int()` takes beside three digits.
    ("GET", "+202"): (202, 400),
    ("GET", "2_02"): (202, 400),
    # Not HTTP: RFC 9110 section 15 has no class beyond 5xx.
    ("GET", "600"): (600, 400),
    ("GET", "999"): (999, 400),
    # Weights that add up to nothing.
    ("GET", "200:0,200:0"): (500, 400),
    # A word of the triggers.
    ("GET", "passthrough"): (400, 404),
    # "Every method" is every method.
    ("OPTIONS", "503"): (200, 503),
    ("REPORT", "503"): (405, 503),
}


@pytest.mark.parametrize("codes", ALIKE)
def test_the_same_path_gets_the_same_status_as_from_httpbin(
    server: Running, httpbin: Running, codes: str
) -> None:
    for method in HTTPBINS_OWN:
        theirs, ours = (asked_for_status(one, method, f"/status/{codes}") for one in (httpbin, server))
        assert theirs == ours, method


@pytest.mark.parametrize(("method", "codes"), DELIBERATE)
def test_the_differences_to_httpbin_are_the_deliberate_ones(
    server: Running, httpbin: Running, method: str, codes: str
) -> None:
    theirs, ours = (asked_for_status(one, method, f"/status/{codes}") for one in (httpbin, server))
    assert (theirs, ours) == DELIBERATE[method, codes]


def asked_for_status(server: Running, method: str, target: str) -> int:
    """The status by a client that forgives: httpbin sends a 204 with a length."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, target)
        return connection.getresponse().status


# ---- the reference


@pytest.mark.parametrize("target", ["/", "/status-reference", "/status-reference/", "/status-reference/202"])
@pytest.mark.parametrize(
    ("accept", "is_html"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html;q=0.1,application/json;q=0.2", False),
        ("text/html;q=0.2,application/json;q=0.1", True),
        ("image/png", False),
    ],
)
def test_a_page_is_html_or_json_as_the_client_would_have_it(
    server: Running, target: str, accept: str | None, is_html: bool
) -> None:
    response = ask(server, "GET", target, *([("Accept", accept)] if accept else []))
    assert response.status == 200
    assert response.one("vary") == "Accept"
    assert response.one("x-content-type-options") == "nosniff"
    assert response.all("x-mock-rule") == []  # it is no mock
    if is_html:
        assert response.one("content-type") == "text/html; charset=utf-8"
        assert response.one("content-security-policy") == content_security_policy()
        assert response.body.startswith(b"<!doctype html>")
    else:
        assert response.one("content-type") == "application/json"
        json.loads(response.body)


def test_all_statuses_are_listed_and_each_leads_to_its_own(server: Running) -> None:
    listed = json.loads(ask(server, "GET", "/").body)["statuses"]
    assert [status["code"] for status in listed] == list(CATALOGUE)
    page = ask(server, "GET", "/", HTML).body.decode()
    for status in listed:
        assert status["reference"] == f"http://example.test/status-reference/{status['code']}"
        target = status["reference"].removeprefix("http://example.test")
        assert f'href="{target}"' in page
    first = json.loads(ask(server, "GET", target).body)
    assert {name: first[name] for name in status} == status


def test_the_reference_of_a_status_for_programs_says_all_that_there_is(server: Running) -> None:
    known = json.loads(ask(server, "GET", "/status-reference/202").body)
    assert (known["code"], known["phrase"], known["section"]) == (202, "Accepted", "RFC 9110 §15.3.3")
    assert known["link"] == "https://www.rfc-editor.org/rfc/rfc9110#section-15.3.3"
    assert known["curl"] == "curl -i http://example.test/status/202"
    assert known["trigger"] == "curl -i -H 'X-Mock-Status: 202' http://127.0.0.1:8000/"
    assert known["response"]["body"] == CANONICAL.decode()
    assert ["Content-Length", "44"] in known["response"]["headers"]
    assert known["response"]["raw"].startswith("HTTP/1.1 202 Accepted\n")
    assert {snippet["framework"]: snippet["files"] for snippet in known["snippets"]} == {
        slug: [{"path": path, "text": text} for path, text in status_files(202, slug).items()]
        for slug in FRAMEWORKS
    }


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_status_has_its_page(server: Running, code: int) -> None:
    page = ask(server, "GET", f"/status-reference/{code}", HTML)
    assert page.status == 200
    assert f">{code}</span>" in page.body.decode()


@pytest.mark.parametrize("word", ["not-found", "Not%20Found", "NOT_FOUND", "404"])
def test_a_status_is_found_by_its_phrase_too(server: Running, word: str) -> None:
    assert json.loads(ask(server, "GET", f"/status-reference/{word}").body)["code"] == 404


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nto-found", "did you mean `not-found`?"),
        ("4o4", "did you mean `404`?"),
        ("unused", "is the phrase of 306 and 418"),
        ("100", "allowed are 200 to 599"),
        ("202/", "is no status"),
        ("%3Cscript%3Ealert(1)%3C/script%3E", "'<script>alert(1)</script>' is no status"),
    ],
)
def test_an_unknown_status_is_told_the_nearest(server: Running, word: str, said: str) -> None:
    target = f"/status-reference/{word}"
    response = ask(server, "GET", target)
    assert (response.status, response.one("vary")) == (404, "Accept")
    assert said in problem(response)
    page = ask(server, "GET", target, HTML)
    assert (page.status, page.one("vary")) == (404, "Accept")
    assert page.one("content-security-policy") == content_security_policy()
    assert b"<script>alert" not in page.body


@pytest.mark.parametrize("target", ["/", "/status-reference/202", "/status-reference/nothing"])
@pytest.mark.parametrize("headers", [[], [HTML]])
def test_head_has_the_fields_of_get_and_no_content(
    server: Running, target: str, headers: list[tuple[str, str]]
) -> None:
    head, got = (ask(server, method, target, *headers) for method in ("HEAD", "GET"))
    assert head.body == b""
    assert head.status == got.status
    assert [field for field in head.headers if field[0] != "date"] == [
        field for field in got.headers if field[0] != "date"
    ]


@pytest.mark.parametrize("target", ["/", "/status-reference", "/status-reference/202"])
def test_a_page_says_which_methods_it_has(server: Running, target: str) -> None:
    options = ask(server, "OPTIONS", target)
    assert (options.status, options.one("allow"), options.body) == (204, "GET, HEAD, OPTIONS", b"")
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "REPORT"):
        refused = ask(server, method, target, body=b"{}")
        assert (refused.status, refused.one("allow")) == (405, "GET, HEAD, OPTIONS")
        assert method in problem(refused)


@pytest.mark.parametrize(
    "target",
    ["/x", "/status", "/status/", "/status/2/02", "/statuses", "/status-references/202", "//", "/%00"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_elsewhere_it_says_what_there_is(server: Running, target: str, method: str) -> None:
    response = ask(server, method, target)
    assert response.status == 404
    detail = problem(response)
    assert "`/status/CODES`" in detail
    assert "`/status-reference/CODE`" in detail


# ---- who we are


def asked_as(server: Running, host: str, accept: str = "text/html") -> Response:
    lines = (
        f"GET /status-reference/202 HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    )
    with server.connect() as connection:
        connection.send(lines.encode("latin-1"))
        return connection.response("GET")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("localhost:8080", "http://localhost:8080/status/202"),
        ("Mocks.Example.test", "http://Mocks.Example.test/status/202"),
        ("[::1]:8000", "'http://[::1]:8000/status/202'"),
    ],
)
def test_the_curl_line_asks_the_server_by_the_name_that_the_client_knows(
    server: Running, host: str, url: str
) -> None:
    assert json.loads(asked_as(server, host, "application/json").body)["curl"] == f"curl -i {url}"


@pytest.mark.parametrize(
    "host",
    [
        '"><script>alert(1)</script>',
        "</code></pre><img src=x onerror=alert(1)>",
        "x;rm -rf ~",
        "$(id)",
        "`id`",
        "a'b",
        "user:secret@evil.test",
        "evil.test/path?query#",
        "\xe9.test",
        "a" * 5000,
        "a:999999",
        "{{7*7}}",
    ],
)
def test_a_hostile_host_is_not_repeated(server: Running, host: str) -> None:
    for accept in ("text/html", "application/json"):
        response = asked_as(server, host, accept)
        # Some are refused by the server already.
        assert response.status in (200, 400)
        if response.status == 200:
            assert host.encode("latin-1") not in response.body
            assert b"onerror" not in response.body
            assert f"curl -i http://127.0.0.1:{server.port}/status/202".encode() in response.body


def asked(app: object, method: str, target: str, **headers: str) -> httpx.Response:
    async def ask_it() -> httpx.Response:
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://mocks.test") as client:
            return await client.request(
                method, target, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

    return asyncio.run(ask_it())


@pytest.mark.parametrize("server_address", [None, ("/run/mocks.sock", None), ("2001:db8::1", 80)])
def test_without_a_host_it_is_named_by_its_address(server_address: tuple[str, int | None] | None) -> None:
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: object) -> None:
        assert isinstance(event, dict)
        sent.append(event)

    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.0",
        "method": "GET",
        "path": "/status-reference/204",
        "headers": [],
        "server": server_address,
    }
    asyncio.run(standalone_app()(scope, receive, send))
    body = sent[1]["body"]
    assert isinstance(body, bytes)
    by_address = server_address is not None and server_address[1] is not None
    expected = "'http://[2001:db8::1]:80/status/204'" if by_address else "http://127.0.0.1:8000/status/204"
    assert json.loads(body)["curl"] == f"curl -i {expected}"


def test_below_a_mount_every_link_and_line_has_it() -> None:
    app = standalone_app()

    async def mounted(scope: dict[str, object], receive: object, send: object) -> None:
        await app({**scope, "root_path": "/mocks a"}, receive, send)  # type: ignore[arg-type]

    page = asked(mounted, "GET", "/mocks%20a/status-reference/202", accept="text/html").text
    assert "curl -i http://mocks.test/mocks%20a/status/202<" in page
    links = [link for link in re.findall('href="([^"]*)"', page) if not re.match("data:|https:", link)]
    assert links == [
        "/mocks%20a/",
        "/mocks%20a/status-reference/201",
        "/mocks%20a/status-reference/203",
    ]
    assert asked(mounted, "GET", "/mocks%20a/status/202").content == CANONICAL


# ---- with rules


def test_rules_and_triggers_come_first() -> None:
    rules = [mockware.Rule("POST /reports"), mockware.Rule("/status/202", status=503), mockware.Rule("GET /")]
    app = mockware.wrap(standalone_app(), rules=rules, enabled=True, environ={})
    statuses = {
        target: asked(app, method, target).status_code
        for method, target in [
            ("POST", "/reports"),
            ("GET", "/status/202"),
            ("GET", "/status/204"),
            ("GET", "/"),
            ("GET", "/status-reference"),
            ("GET", "/elsewhere"),
        ]
    }
    assert list(statuses.values()) == [202, 503, 204, 202, 200, 404]
    assert asked(app, "GET", "/elsewhere", x_mock_status="418").status_code == 418
    assert asked(app, "GET", "/status/202", x_mock_status="passthrough").status_code == 202


def test_a_patch_makes_no_success_of_what_is_not_there() -> None:
    rules = [mockware.Rule("/{rest:path}", patch={"status": 203})]
    app = mockware.wrap(standalone_app(), rules=rules, enabled=True, environ={})
    for headers in ({}, {"expect": "x"}):
        missing = asked(app, "GET", "/nowhere", **headers)
        assert missing.status_code == 404
        assert "x-mock-rule" not in missing.headers
    for target in ("/status/503", "/status-reference/202"):
        assert asked(app, "GET", target).status_code == 203


ORIGIN = "http://localhost:3000"
BESIDE = f"""
server_timing = true
[cors]
origins = ["{ORIGIN}"]
"""


def behind_rules(text: str, folder: Path, **environ: str) -> Any:
    file = folder / "mocks.toml"
    file.write_text(text)
    return mockware.wrap(standalone_app(), rules=file, enabled=True, environ=environ)


@pytest.mark.parametrize("codes", ["202", "299", "404,404", "2o2"])
def test_a_mock_of_a_status_says_what_every_mock_says(codes: str, tmp_path: Path) -> None:
    app = behind_rules(BESIDE, tmp_path)
    for method in ("GET", "HEAD", "GET"):
        response = asked(app, method, f"/status/{codes}", origin=ORIGIN)
        assert response.headers["x-mock-rule"] == "trigger"
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["timing-allow-origin"] == ORIGIN
        assert response.headers.get_list("server-timing") == ['mock;desc="trigger"']
        assert "Origin" in response.headers["vary"]
    other = asked(app, "GET", f"/status/{codes}", origin="http://evil.test")
    assert "access-control-allow-origin" not in other.headers
    assert other.headers.get_list("server-timing") == ['mock;desc="trigger"']


def test_what_is_no_mock_says_nothing_of_the_rules(tmp_path: Path) -> None:
    app = behind_rules(BESIDE, tmp_path)
    for target in ("/", "/status-reference/202", "/status/passthrough", "/x", "/status/"):
        headers = asked(app, "GET", target, origin=ORIGIN).headers
        assert not {"access-control-allow-origin", "server-timing", "x-mock-rule"} & headers.keys()


def test_a_page_may_ask_for_a_status_with_any_method_and_field(tmp_path: Path) -> None:
    app = behind_rules(BESIDE, tmp_path)
    asks = {"access_control_request_method": "PUT", "access_control_request_headers": "content-type"}
    for codes in ("503", "299", "200,503"):
        allowed = asked(app, "OPTIONS", f"/status/{codes}", origin=ORIGIN, **asks)
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert allowed.headers["access-control-allow-methods"] == "PUT"
        assert allowed.headers["access-control-allow-headers"] == "content-type"
        assert allowed.headers["x-mock-rule"] == "cors"
    # Without a page that is listed, it is a request like any other.
    assert asked(app, "OPTIONS", "/status/503", origin="http://evil.test", **asks).status_code == 503
    assert asked(app, "OPTIONS", "/status/503").status_code == 503
    assert asked(app, "OPTIONS", "/status-reference/503", origin=ORIGIN, **asks).status_code == 204


def test_the_journal_has_the_mocks_of_statuses(tmp_path: Path) -> None:
    key = "open-sesame-to-me"
    app = behind_rules("", tmp_path, MOCKWARE_CONTROL="/__mockware__", MOCKWARE_KEY=key)
    for target in ("/status/503", "/status/299", "/status/418,418", "/status/503", "/", "/x"):
        asked(app, "GET", target)
    told = asked(app, "GET", "/__mockware__/api/journal", authorization=f"Bearer {key}").json()
    assert [(entry["path"], entry["status"], entry["rule"]) for entry in reversed(told["entries"])] == [
        ("/status/503", 503, "trigger"),
        ("/status/299", 299, "trigger"),
        ("/status/418,418", 418, "trigger"),
        ("/status/503", 503, "trigger"),
    ]


def test_what_mocks_say_changes_with_the_rules_and_the_rest_stays_ready() -> None:
    app = standalone_app()

    def ready_behind(**settings: Any) -> dict[str, messages.Response]:
        app.adopt(Snapshot(Configuration(**settings)))
        return app._at_once

    timed = ready_behind(server_timing=True)
    assert len(timed) == len(CATALOGUE)
    assert asked(app, "GET", "/status/202").headers["server-timing"] == 'mock;desc="trigger"'
    assert ready_behind(cors=Cors([ORIGIN])) == {}
    assert asked(app, "GET", "/status/299", origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    assert app._at_once == {}
    assert ready_behind()["/status/202"] is app._mock(202)
    assert "server-timing" not in asked(app, "GET", "/status/202").headers


def test_a_mock_of_a_status_is_logged_and_a_page_is_not(caplog: pytest.LogCaptureFixture) -> None:
    app = standalone_app()
    with caplog.at_level("INFO", logger="mockware"):
        for target in ("/status/202", "/status/202,202", "/", "/x"):
            asked(app, "GET", target)
    assert [record.getMessage() for record in caplog.records] == [
        "mocked 'GET' '/status/202': 202 by rule 'trigger'",
        "mocked 'GET' '/status/202,202': 202 by rule 'trigger'",
    ]


def test_replies_for_single_statuses_are_built_once() -> None:
    app = standalone_app()
    for code in (202, 202, 299, 299):
        assert asked(app, "GET", f"/status/{code}").status_code == code
    assert app._mock(299) is app._mock(299)
    assert app._at_once["/status/299"] is app._mock(299)
    for weight in range(1, 1000):
        assert app._mocked(f"202:{weight}").status == 202
    assert len(app._at_once) == len(CATALOGUE) + 1
