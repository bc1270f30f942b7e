"""Django, WSGI and ASGI from one file, with mockware around each of the two applications.

In a project of the usual shape the last lines belong to its `wsgi.py` and `asgi.py`; the rest is here so
that the example is one file. `django.test.Client` calls the request handler directly and never passes
through `wsgi.py` or `asgi.py`, so it sees no mocks: a test that should see them calls `application`.
Run it from the repository's root as WSGI or as ASGI:

    MOCKWARE=on gunicorn --bind 127.0.0.1:8000 examples.django_app:application
    MOCKWARE=on uvicorn examples.django_app:asgi_application --port 8000

and try it from another terminal:

    curl -i http://127.0.0.1:8000/hello
        -> 200 from the app
    curl -i -d 'third quarter' http://127.0.0.1:8000/reports
        -> 202 from the first rule of mocks.toml
    curl -i http://127.0.0.1:8000/payments/7
        -> 503 from a rule, for an endpoint that does not exist
    curl -i -H 'X-Mock-Status: 418' http://127.0.0.1:8000/hello
        -> 418 because the request asks for it
    curl -i -H 'X-Mock-Status: passthrough' -d 'third quarter' http://127.0.0.1:8000/reports
        -> 201 from the app, past the rule

Without `MOCKWARE=on` the app answers all of them, and both applications are Django's own objects.
"""
# mypy: disable-error-code="import-untyped,untyped-decorator"

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

import mockware

settings.configure(
    SECRET_KEY="only for this example",
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
)


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")


@require_GET
def hello(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"hello": "world"})


@require_POST
def create_report(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"created": len(request.body)}, status=201)


@require_GET
def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(5):
            if number:
                time.sleep(0.2)
            yield f"line {number}\n"

    async def async_lines() -> AsyncIterator[str]:
        for number in range(5):
            if number:
                await asyncio.sleep(0.2)
            yield f"line {number}\n"

    # Django streams either kind under either interface, but collects the wrong one in memory first.
    content = async_lines() if isinstance(request, ASGIRequest) else lines()
    return StreamingHttpResponse(content, content_type="text/plain")


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    received, digest = 0, hashlib.sha256()
    while piece := request.read(65536):
        received += len(piece)
        digest.update(piece)
    return JsonResponse({"received": received, "sha256": digest.hexdigest()})


urlpatterns = [
    path("healthz", healthz),
    path("hello", hello),
    path("reports", create_report),
    path("stream", stream),
    path("upload", upload),
]

RULES = Path(__file__).with_name("mocks.toml")
application = mockware.wrap(get_wsgi_application(), rules=RULES)
asgi_application = mockware.wrap(get_asgi_application(), rules=RULES)
