"""A service that is instrumented with OpenTelemetry's own packages, in ASGI and WSGI: for test_telemetry.

What the SDK was told stands in memory, and `GET /told` shows it. Whoever wraps it is outermost, then comes
the tracing, then mockware, then the app.
"""

import json
from collections.abc import Iterable
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ASGITracing
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware as WSGITracing
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import mockware

SPANS = InMemorySpanExporter()
READER = InMemoryMetricReader()

tracing = TracerProvider()
tracing.add_span_processor(SimpleSpanProcessor(SPANS))
trace.set_tracer_provider(tracing)


def told() -> bytes:
    spans = [
        {"attributes": dict(span.attributes or {}), "events": [event.name for event in span.events]}
        for span in SPANS.get_finished_spans()
        if span.kind is trace.SpanKind.SERVER
    ]
    data: Any = READER.get_metrics_data()
    counts = [
        [dict(point.attributes), point.value]
        for of_resource in (data.resource_metrics if data else ())
        for scope in of_resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "mockware.mocks"
        for point in metric.data.data_points
    ]
    return json.dumps({"spans": spans, "counts": counts}, default=str).encode()


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            phase = (await receive())["type"]
            await send({"type": f"{phase}.complete"})
            if phase == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told(), "more_body": False})


def _wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = told()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


asgi = ASGITracing(mockware.wrap(_asgi))
wsgi = WSGITracing(mockware.wrap(_wsgi))

# Last: mockware was there before it, and what it measures by is the provider's from now on.
metrics.set_meter_provider(MeterProvider([READER]))
