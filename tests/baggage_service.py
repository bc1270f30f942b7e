"""One service of the chain in test_baggage_chain, instrumented by OpenTelemetry's own packages.

It answers with what it received and, where `NEXT_SERVICE` names one, with what the next service answered.
The trace and the baggage travel by OpenTelemetry alone: nothing here copies a header.

`STANDS` says on which side of the tracing middleware mockware stands: a service that mocks may
or may not want its mocked requests in the trace.
"""

import os
from typing import Any

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import mockware

PATIENCE_S = 60

trace.set_tracer_provider(TracerProvider())
HTTPXClientInstrumentor().instrument()


async def work(request: Request) -> Response:
    answer: dict[str, Any] = {
        "service": os.environ["MOCKWARE_SERVICE"],
        "trace": f"{trace.get_current_span().get_span_context().trace_id:032x}",
        "baggage": request.headers.getlist("baggage"),
    }
    if address := os.environ.get("NEXT_SERVICE"):
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            response = await client.get(f"{address}/work")
        answer["next"] = {
            "status": response.status_code,
            "rule": response.headers.get("x-mock-rule"),
            "answer": response.json(),
        }
    return JSONResponse(answer)


service = Starlette(routes=[Route("/work", work)])

if os.environ["STANDS"] == "around the tracing":
    app = mockware.wrap(OpenTelemetryMiddleware(service))
else:
    app = OpenTelemetryMiddleware(mockware.wrap(service))
