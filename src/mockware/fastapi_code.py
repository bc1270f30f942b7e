"""FastAPI: one file, `app.py`.

Law: as in `flask_code.py`. FastAPI has Starlette's routes, and so has a rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from .handlers import Framework, Handler
from .literals import comments, python_string
from .python_code import text_or_bytes

# What FastAPI serves by itself, before anything of ours.
_OWN_PATHS = ("/docs", "/redoc", "/openapi.json")


def _write(handler: Handler) -> Mapping[str, str]:
    title = "app.py, for FastAPI. Run it with: uvicorn app:app --port 8000"
    return {
        "app.py": comments("#", title, *handler.about)
        + "\nfrom fastapi import FastAPI, Response\n\n"
        + _app(handler)
        + _routes(handler)
        + _view(handler)
    }


def _app(handler: Handler) -> str:
    first = "".join(token for token in handler.tokens[:1] if isinstance(token, str))
    in_the_way = any(path.startswith(first) if handler.parameters else path == first for path in _OWN_PATHS)
    if not in_the_way and not first.startswith("/docs/"):
        return "app = FastAPI()\n\n\n"
    return "app = FastAPI(openapi_url=None)  # without the pages of its own, which would come first\n\n\n"


def _routes(handler: Handler) -> str:
    methods = handler.listed_methods(get_has_head=False)
    path = python_string(handler.template)
    if len(methods) <= 2 and set(methods) <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}:
        return "".join(f"@app.{method.lower()}({path})\n" for method in methods)
    return f"@app.api_route({path}, methods=[{', '.join(map(python_string, methods))}])\n"


def _view(handler: Handler) -> str:
    seen: set[str] = set()
    first = [
        (name, value)
        for name, value in handler.fields
        if name.lower() not in seen and not seen.add(name.lower())  # type: ignore[func-returns-value]
    ]
    others = list(handler.fields)
    for field in first:
        others.remove(field)
    given = [f"        {text_or_bytes(handler)},"] if handler.body else []
    given.append(f"        status_code={handler.status},")
    if first:
        given.append("        headers={")
        given += (f"            {python_string(name)}: {python_string(value)}," for name, value in first)
        given.append("        },")
    lines = ["async def mock() -> Response:"]
    if others:
        appended = (
            f"    response.headers.append({python_string(name)}, {python_string(value)})"
            for name, value in others
        )
        lines += ["    response = Response(", *given, "    )", *appended, "    return response\n"]
    else:
        lines += ["    return Response(", *given, "    )\n"]
    return "\n".join(lines)


FRAMEWORK = Framework("fastapi", "FastAPI", "python", "app.py", _write)
