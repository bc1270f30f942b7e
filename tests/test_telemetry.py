"""What OpenTelemetry's own SDK and middlewares are told of mocks, and that nothing is where it is absent."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ASGITracing
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WSGITracing
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from tests.by_hand import (
    Sent,
    Wire,
    environ_of,
    events_of,
    handshake_of,
    over_asgi,
    over_wsgi,
    run,
    scope_of,
)
from tests.commands import Program, environ, free_port

import mockware
from mockware import Rule
from mockware.messages import Response
from mockware.replies import build_reply
from mockware.standalone import standalone_app
from mockware.telemetry import BOUNDS_S, Measurement, Telemetry, telemetry
from mockware.waiting import MAX_SLEEPERS, Place

TESTS = Path(__file__).parent

ON: dict[str, Any] = {"enabled": True, "environ": {}}

Counted = list[tuple[str, int, int]]  # the rule, the status, how often


@dataclass
class Told:
    """What the SDK was told since the start of a test."""

    tracing: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    _points: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def span(self) -> ReadableSpan:
        """The one span of a request."""
        spans = self.exporter.get_finished_spans()
        (span,) = (span for span in spans if span.kind is trace.SpanKind.SERVER)
        return span

    @property
    def rule(self) -> Any:
        return (self.span.attributes or {}).get("mockware.rule")

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Those of mockware in that span."""
        return [
            (event.name, dict(event.attributes or {}))
            for event in self.span.events
            if event.name.startswith("mockware")
        ]

    def collect(self) -> None:
        data: Any = self.reader.get_metrics_data()
        for of_resource in data.resource_metrics if data else ():
            for of_scope in of_resource.scope_metrics:
                if of_scope.scope.name == "mockware":
                    assert of_scope.scope.version == version("mockware")
                    for metric in of_scope.metrics:
                        self._points.setdefault(metric.name, []).extend(metric.data.data_points)

    @property
    def counted(self) -> Counted:
        self.collect()
        return sorted(
            (point.attributes["mockware.rule"], point.attributes["http.response.status_code"], point.value)
            for point in self._points.get("mockware.mocks", ())
        )

    @property
    def durations(self) -> list[Any]:
        self.collect()
        return self._points.get("mockware.mock.duration", [])


@pytest.fixture(scope="module")
def reader() -> InMemoryMetricReader:
    delta = AggregationTemporality.DELTA
    reader = InMemoryMetricReader({Counter: delta, Histogram: delta})
    telemetry()  # as where mockware is there before the SDK
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader


@pytest.fixture
def told(reader: InMemoryMetricReader) -> Iterator[Told]:
    exporter = InMemorySpanExporter()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(exporter))
    reader.get_metrics_data()
    yield Told(tracing, exporter, reader)
    reader.get_metrics_data()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"a":1}', "more_body": False})


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "7")])
    return [b'{"a":1}']


@dataclass(frozen=True)
class Side:
    name: str
    app: Any
    trace: Callable[..., Any]

    def inside(self, told: Told, **how: Any) -> Any:
        """mockware between the tracing and the app."""
        return self.trace(mockware.wrap(self.app, **(ON | how)), tracer_provider=told.tracing)

    def ask(self, app: Any, sent: Sent) -> Any:
        if self.name == "WSGI":
            # wsgiref.validate refuses what OpenTelemetry's own middleware does with an iterable.
            return over_wsgi(app, sent, validated=False)
        wire = Staying(events_of(sent))
        run(app(scope_of(sent), wire.receive, wire.send))
        return wire.answer


class Staying(Wire):
    """A client that waits for its answer."""

    async def receive(self) -> Any:
        if not self.events:
            await asyncio.Event().wait()
        return await super().receive()


SIDES = [
    Side("ASGI", asgi_app, ASGITracing),
    Side("WSGI", wsgi_app, WSGITracing),
]
both_sides = pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)

RULES = """
[trigger]
query = "mock"

[[rules]]
name = "looked-at"
match = "/looked-at"
status = 409
when = { headers = { x-a = "b" } }

[[rules]]
match = '/a "quoted" \\ é'
status = 418

[[rules]]
name = "late"
match = "/late"
status = 503
delay = "20ms"

[[rules]]
name = "dripping"
match = "/dripping"
text = "slowly"
drip = "50ms"

[[rules]]
name = "changed"
match = "/changed"
patch = { status = 203 }
delay = "1ms"

[[rules]]
name = "through"
match = "/through"
passthrough = true

[[rules]]
name = "slowed"
match = "/slowed"
passthrough = true
delay = "1ms"
delay_after = "1ms"

[[rules]]
name = "in-turn"
match = "/in-turn"
replies = [{ status = 503 }, { status = 202 }]

[[rules]]
name = "job"
match = "POST /jobs"
[rules.task]
"""
QUOTED = "/a%20%22quoted%22%20%5C%20%C3%A9"
CORS = '[cors]\norigins = ["https://app.test"]\n'
PREFLIGHT = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "GET")]


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "mocks.toml"
    path.write_text(RULES, "utf-8")
    return path


def mock(
    rule: str, status: int, delay_s: float = 0.0, more: Mapping[str, Any] = MappingProxyType({})
) -> list[tuple[str, dict[str, Any]]]:
    said = {"mockware.rule": rule, "http.response.status_code": status, "mockware.delay_s": delay_s}
    return [("mockware.mock", {**said, **more})]


# A mock


@both_sides
@pytest.mark.parametrize("kept", ["at once", "by condition", "with an eye on the query"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_mock_is_in_the_span_and_counted_and_timed(side: Side, kept: str, method: str, told: Told) -> None:
    rule: dict[str, Any] = {"when": {"headers": {"x-a": "b"}}} if kept == "by condition" else {}
    app = side.inside(told, rules=[Rule("/a", name="down", status=503, **rule)])
    body = [b"12", b"3"] if method == "POST" else []
    sent = Sent(method, "/a", query="q=secret", headers=[("X-A", "b")], body=body)
    assert side.ask(app, sent).status == 503
    assert told.rule == "down"
    assert told.events == mock("down", 503)
    assert told.counted == [("down", 503, 1)]
    (duration,) = told.durations
    assert duration.attributes == {"mockware.rule": "down", "http.response.status_code": 503}
    assert duration.count == 1
    assert 0 < duration.sum < 10
    assert duration.explicit_bounds == BOUNDS_S


@both_sides
@pytest.mark.parametrize(
    ("sent", "events"),
    [
        (Sent("GET", "/looked-at", headers=[("X-A", "b")]), mock("looked-at", 409)),
        (Sent("GET", QUOTED), mock('/a "quoted" \\ é', 418)),
        (Sent("GET", "/late"), mock("late", 503, 0.02)),
        (Sent("GET", "/late", headers=[("X-Mock-Delay", "1ms")]), mock("late", 503, 0.001)),
        (Sent("GET", "/dripping"), mock("dripping", 202, more={"mockware.drip_s": 0.05})),
        (Sent("HEAD", "/dripping"), mock("dripping", 202)),
        (Sent("GET", "/in-turn"), mock("in-turn", 503)),
        (Sent("POST", "/jobs"), mock("job", 202)),
        (Sent("GET", "/else", headers=[("X-Mock-Status", "202")]), mock("trigger", 202)),
        (Sent("GET", "/else", headers=[("X-Mock-Status", "20")]), mock("trigger", 400)),
        (Sent("GET", "/else", headers=[("X-Mock-Name", "late")]), mock("late", 503, 0.02)),
        (Sent("GET", "/else", query="mock=502"), mock("trigger", 502)),
    ],
    ids=lambda value: "" if isinstance(value, list) else f"{value.method} {value.target} {value.headers}",
)
def test_whatever_gives_a_mock_is_told_by_its_name(
    side: Side, sent: Sent, events: Any, rules: Path, told: Told
) -> None:
    answer = side.ask(side.inside(told, rules=rules), sent)
    ((_, said),) = events
    assert answer.status == said["http.response.status_code"]
    assert told.rule == said["mockware.rule"]
    assert told.events == events
    assert told.counted == [(said["mockware.rule"], answer.status, 1)]


@both_sides
def test_a_preflight_that_is_ours_counts_as_the_mock_that_it_is(side: Side, rules: Path, told: Told) -> None:
    rules.write_text(RULES + CORS)
    answer = side.ask(side.inside(told, rules=rules), Sent("OPTIONS", "/late", headers=PREFLIGHT))
    assert (answer.status, answer.one("x-mock-rule")) == (204, "cors")
    assert told.events == mock("cors", 204)
    assert told.counted == [("cors", 204, 1)]


@both_sides
def test_a_task_is_told_of_at_each_of_its_places(side: Side, rules: Path, told: Told) -> None:
    app = side.inside(told, rules=rules)
    monitor = side.ask(app, Sent("POST", "/jobs")).one("location")
    assert side.ask(app, Sent("GET", monitor)).status == 200
    assert told.counted == [("job", 200, 1), ("job", 202, 1)]


@both_sides
@pytest.mark.parametrize("target", ["/late", "/dripping"])
def test_the_time_has_the_delay_and_the_drip_in_it(side: Side, target: str, rules: Path, told: Told) -> None:
    side.ask(side.inside(told, rules=rules), Sent("GET", target))
    assert told.durations[0].sum >= (0.02 if target == "/late" else 0.04)


# What is no mock


@both_sides
@pytest.mark.parametrize("target", ["/else", "/through", "/slowed", "/looked-at"])
def test_what_passes_through_is_in_no_span_and_not_counted(
    side: Side, target: str, rules: Path, told: Told
) -> None:
    assert side.ask(side.inside(told, rules=rules), Sent("GET", target)).status == 200
    passed = Sent("GET", "/late", headers=[("X-Mock-Status", "passthrough")])
    assert side.ask(side.inside(told, rules=rules), passed).status == 200
    for span in told.exporter.get_finished_spans():
        assert not [key for key in span.attributes or {} if key.startswith("mockware")]
        assert not [event for event in span.events if event.name.startswith("mockware")]
    assert told.counted == told.durations == []


@both_sides
def test_a_patch_is_in_the_span_and_not_counted(side: Side, rules: Path, told: Told) -> None:
    assert side.ask(side.inside(told, rules=rules), Sent("GET", "/changed")).status == 203
    assert told.rule == "changed"
    assert told.events == [("mockware.patch", {"mockware.rule": "changed", "mockware.delay_s": 0.001})]
    assert told.counted == told.durations == []


@both_sides
def test_the_control_page_is_no_mock(side: Side, told: Told) -> None:
    how = {"MOCKWARE_CONTROL": "/__mockware__", "MOCKWARE_KEY": "a key of 16 characters"}
    app = side.inside(told, rules=[Rule("/a")], environ=how)
    assert side.ask(app, Sent("GET", "/__mockware__/api/rules")).status == 401
    assert told.counted == []
    assert told.events == []


@both_sides
def test_with_a_journal_each_mock_is_told_of_once(side: Side, told: Told) -> None:
    how = {"MOCKWARE_CONTROL": "/__mockware__", "MOCKWARE_KEY": "a key of 16 characters"}
    side.ask(side.inside(told, rules=[Rule("/a")], environ=how), Sent("GET", "/a"))
    assert told.counted == [("/a", 202, 1)]
    assert told.events == mock("/a", 202)


@both_sides
def test_a_mock_of_an_inner_layer_is_told_of_once(side: Side, told: Told) -> None:
    inner = mockware.wrap(side.app, rules=[Rule("/inner", name="inner")], **ON)
    app = side.trace(
        mockware.wrap(inner, rules=[Rule("/outer", name="outer")], **ON), tracer_provider=told.tracing
    )
    for target in ("/inner", "/outer"):
        side.ask(app, Sent("GET", target))
    assert told.counted == [("inner", 202, 1), ("outer", 202, 1)]


# What a request can do


@both_sides
def test_nothing_that_a_request_says_becomes_an_attribute(side: Side, told: Told) -> None:
    app = side.inside(told, rules=[Rule("/{rest:path}", name="all", template=False)])
    for i in range(50):
        fields = [("X-A", f"secret{i}"), ("User-Agent", f"secret{i}")]
        side.ask(app, Sent(f"M{i}", f"/secret{i}", query=f"secret{i}", headers=fields))
    assert told.counted == [("all", 202, 50)]
    assert len(told.durations) == 1


# How it goes wrong on the wire


@both_sides
@pytest.mark.parametrize("fault", ["cut", "empty"])
def test_a_fault_is_told_of(side: Side, fault: Literal["cut", "empty"], told: Told) -> None:
    app = side.inside(told, rules=[Rule("/a", name="broken", status=503, fault=fault)])
    if side.name == "ASGI":
        wire = Wire(events_of(Sent("GET", "/a")))
        run(app(scope_of(Sent("GET", "/a")), wire.receive, wire.send))
        assert wire.sent[-1].get("more_body")
    else:
        with pytest.raises(ConnectionResetError):
            list(app(environ_of(Sent("GET", "/a")), lambda *_: None))
    assert told.events == mock("broken", 503, more={"mockware.fault": fault})
    assert told.counted == [("broken", 503, 1)]


def test_a_body_that_nobody_reads_is_told_of_when_it_is_closed(told: Told) -> None:
    app = mockware.wrap(wsgi_app, rules=[Rule("/a", name="dripping", text="abc", drip="1s")], **ON)
    body: Any = app(environ_of(Sent("GET", "/a")), lambda *_: None)
    assert told.counted == []
    body.close()
    body.close()
    assert told.counted == [("dripping", 202, 1)]
    assert told.durations[0].count == 1


@both_sides
def test_without_room_to_sleep_the_refusal_is_what_is_told_of(side: Side, rules: Path, told: Told) -> None:
    places = [Place() for _ in range(MAX_SLEEPERS)]
    try:
        assert side.ask(side.inside(told, rules=rules), Sent("GET", "/slowed")).status == 503
        assert told.events == mock("slowed", 503)
        side.ask(side.inside(told, rules=rules), Sent("GET", "/late"))
    finally:
        for place in places:
            place.release()
    assert told.counted == [("late", 503, 1), ("slowed", 503, 1)]


@both_sides
def test_of_a_patch_that_there_is_no_room_to_wait_for_nothing_is_told(
    side: Side, rules: Path, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    places = [Place() for _ in range(MAX_SLEEPERS)]
    try:
        with caplog.at_level(logging.INFO, "mockware"):
            assert side.ask(side.inside(told, rules=rules), Sent("GET", "/changed")).status == 503
    finally:
        for place in places:
            place.release()
    assert told.events == mock("changed", 503)
    assert [line for line in caplog.messages if "changed" in line] == [
        "mocked 'GET' '/changed': 503 by rule 'changed'"
    ]


@pytest.mark.parametrize(
    ("rule", "counted"),
    [
        # It leaves before it is given anything, or while it is given it.
        (Rule("/a", name="a", delay="30s"), []),
        (Rule("/a", name="a", text="abc", drip="30s"), [("a", 202, 1)]),
        (Rule("/a", name="a", fault="stall"), [("a", 202, 1)]),
    ],
    ids=["late", "dripping", "stalled"],
)
def test_a_client_that_leaves_has_been_given_what_was_begun(rule: Rule, counted: Counted, told: Told) -> None:
    app = SIDES[0].inside(told, rules=[rule])
    wire = Wire(events_of(Sent("GET", "/a")))
    run(app(scope_of(Sent("GET", "/a")), wire.receive, wire.send))
    assert told.counted == counted
    assert [name for name, _ in told.events] == ["mockware.mock"] * len(counted)


def test_a_client_that_leaves_before_its_body_was_there_is_not_counted(told: Told) -> None:
    app = SIDES[0].inside(told, rules=[Rule("/a")])
    wire = Wire()
    run(app(scope_of(Sent("GET", "/a", body=[b"abc"])), wire.receive, wire.send))
    assert wire.sent == []
    assert told.counted == []


def test_a_websocket_that_is_refused_is_counted(told: Told) -> None:
    app = mockware.wrap(asgi_app, rules=[Rule("/a", name="down", status=503)], **ON)
    wire = Wire([{"type": "websocket.connect"}], last="websocket.disconnect")
    run(app(handshake_of(Sent("GET", "/a")), wire.receive, wire.send))
    assert wire.sent[0]["type"] == "websocket.close"
    assert told.counted == [("down", 503, 1)]


def test_statuses_that_are_served_without_rules_are_counted(told: Told) -> None:
    app = ASGITracing(standalone_app(), tracer_provider=told.tracing)
    assert over_asgi(app, Sent("GET", "/status/503")).status == 503
    assert over_asgi(app, Sent("POST", "/status/503", http_version="2")).status == 503
    assert over_asgi(app, Sent("GET", "/status-reference/503")).status == 200
    assert told.counted == [("trigger", 503, 2)]


# Where the span is


@both_sides
def test_around_the_tracing_there_is_no_span_to_tell(side: Side, told: Told) -> None:
    app = mockware.wrap(side.trace(side.app, tracer_provider=told.tracing), rules=[Rule("/a")], **ON)
    assert side.ask(app, Sent("GET", "/a")).status == 202
    assert told.exporter.get_finished_spans() == ()
    assert told.counted == [("/a", 202, 1)]


@both_sides
def test_a_trace_that_is_not_sampled_is_told_nothing(side: Side, told: Told) -> None:
    wrapped = mockware.wrap(side.app, rules=[Rule("/a")], **ON)
    app = side.trace(wrapped, tracer_provider=TracerProvider(sampler=ALWAYS_OFF))
    assert side.ask(app, Sent("GET", "/a")).status == 202
    assert told.counted == [("/a", 202, 1)]


def test_in_a_fastapi_app_it_stands_inside_of_the_instrumentation(told: Told) -> None:
    app = FastAPI()
    app.add_middleware(mockware.ASGIMockMiddleware, rules=[Rule("/a", name="down", status=503)], **ON)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=told.tracing)
    assert over_asgi(app, Sent("GET", "/a")).status == 503
    assert told.rule == "down"
    assert told.events == mock("down", 503)


def test_in_a_flask_app_it_needs_a_span_around_the_wsgi_app(told: Told) -> None:
    app = Flask("any")
    instrument: Any = FlaskInstrumentor().instrument_app
    instrument(app, tracer_provider=told.tracing)
    app.wsgi_app = mockware.WSGIMockMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, rules=[Rule("/a", name="down", status=503)], **ON
    )
    assert app.test_client().get("/a").status_code == 503
    # Flask's instrumentation begins its span within Flask, which a mocked request does not reach.
    assert told.exporter.get_finished_spans() == ()
    app.wsgi_app = WSGITracing(app.wsgi_app, tracer_provider=told.tracing)  # type: ignore[method-assign]
    assert app.test_client().get("/a").status_code == 503
    assert told.rule == "down"
    assert told.counted == [("down", 503, 2)]


# What fails


class BrokenSpan(trace.NonRecordingSpan):
    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: object) -> None:
        raise RuntimeError("no span today")


class BrokenCounter(metrics.NoOpCounter):
    def add(self, *arguments: Any, **named: Any) -> None:
        raise RuntimeError("no count today")


@both_sides
@pytest.mark.parametrize("target", ["/late", "/changed", QUOTED])
def test_a_span_that_fails_breaks_no_request(side: Side, target: str, rules: Path, told: Told) -> None:
    app = mockware.wrap(side.app, rules=rules, **ON)
    with trace.use_span(BrokenSpan(trace.INVALID_SPAN_CONTEXT)):
        assert side.ask(app, Sent("GET", target)).status in (203, 418, 503)


def test_what_fails_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def current_span() -> Any:
        return BrokenSpan(trace.INVALID_SPAN_CONTEXT)

    broken = Telemetry(current_span, BrokenCounter("a"), metrics.NoOpHistogram("b"))
    for _ in range(3):
        measurement = broken.begin()
        measurement.given(build_reply(503, rule="down"))
        measurement.over()
        broken.tell_patch("changed", 0.0)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("mockware", logging.WARNING)
    assert record.getMessage().startswith("OpenTelemetry failed, which is not said again")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no span today"


def test_a_response_of_no_rule_is_not_measured() -> None:
    raising = Telemetry(lambda: BrokenSpan(trace.INVALID_SPAN_CONTEXT), BrokenCounter("a"), None)  # type: ignore[arg-type]
    measurement = Measurement(raising)
    measurement.given(Response(200, "OK", (), b"", rule=""))
    measurement.over()
    assert not raising._has_failed


# Where it is absent

WRAPS = """
import asyncio, logging, sys
{first}
import mockware, mockware.asgi_replies, mockware.wsgi_replies
assert "opentelemetry.trace" not in sys.modules
logging.basicConfig(format="%(levelname)s %(message)s")

async def asgi(scope, receive, send): ...
def wsgi(environ, start_response): ...

assert mockware.wrap(asgi, environ={{}}) is asgi
assert "opentelemetry.trace" not in sys.modules
on = {{"MOCKWARE": "on", "MOCKWARE_RULES": "/a 202; /b 503"}}
asgi, wsgi = mockware.wrap(asgi, environ=on), mockware.wrap(wsgi, environ=on)
path = "/a"
scope = {{"type": "http", "http_version": "1.1", "method": "GET", "path": path, "headers": []}}
said = []
async def send(event): said.append(event.get("status"))
asyncio.run(asgi(scope, None, send))
wsgi({{"PATH_INFO": path, "REQUEST_METHOD": "GET"}}, lambda status, headers: said.append(status))
print(said)
at_once = asgi._generation.reply_at_once is mockware.asgi_replies.reply_at_once
print(at_once, wsgi._generation.reply is mockware.wsgi_replies.reply)
print("opentelemetry.trace" in sys.modules)
"""


def wraps(first: str = "", **env: str) -> tuple[list[str], str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WRAPS.format(first=first)],
        env=environ(**env), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_where_it_is_absent_nothing_of_it_is_in_the_path_of_a_request() -> None:
    out, err = wraps('sys.modules["opentelemetry"] = None')
    assert out == ["[202, None, '202 Accepted']", "True True", "False"]
    assert "OpenTelemetry" not in err


def test_it_is_imported_when_an_app_is_wrapped_and_the_sdk_is_not_needed() -> None:
    out, err = wraps('sys.modules["opentelemetry.sdk"] = None')
    assert out == ["[202, None, '202 Accepted']", "False False", "True"]
    assert "OpenTelemetry" not in err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('broken')", "cannot be imported, and is told nothing"),
        ("raise SyntaxError('broken')", "cannot be imported, and is told nothing"),
        (
            "class metrics: pass\nclass trace: get_current_span = None",
            "none that can be used (it needs 1.30)",
        ),
    ],
)
def test_an_api_that_cannot_be_used_stops_no_start(code: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text(code)
    out, err = wraps(f"sys.path.insert(0, {str(tmp_path)!r})")
    assert out[:2] == ["[202, None, '202 Accepted']", "True True"]
    assert err.count(said) == 1


# In real servers


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("uvicorn", ["--port={port}", "--app-dir={tests}", "traced_service:asgi"]),
        ("gunicorn", ["--bind=127.0.0.1:{port}", "--pythonpath={tests}", "traced_service:wsgi"]),
    ],
)
def test_it_is_told_in_a_real_server(module: str, arguments: list[str], tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "mocks.toml").write_text(RULES, "utf-8")
    env = environ(MOCKWARE="on", MOCKWARE_FILE="mocks.toml")
    filled = [argument.format(port=port, tests=TESTS) for argument in arguments]
    with Program(*filled, cwd=tmp_path, env=env, module=module) as program:
        program.listens_on(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            assert client.get("/late").status_code == 503
            assert client.post("/else", content=b"x", headers={"X-Mock-Status": "202"}).status_code == 202
            assert client.get("/dripping").text == "slowly"
            told = json.loads(client.get("/told").content)
    expected = [("late", 503), ("trigger", 202), ("dripping", 202)]
    assert [span["attributes"]["mockware.rule"] for span in told["spans"]] == [rule for rule, _ in expected]
    assert all("mockware.mock" in span["events"] for span in told["spans"])
    counts = {(by["mockware.rule"], by["http.response.status_code"]): count for by, count in told["counts"]}
    assert counts == dict.fromkeys(expected, 1)
