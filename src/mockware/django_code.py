"""Django: the view and its URL, for a project `demo` of `django-admin startproject`.

Law: as in `flask_code.py`. A Django project's own middleware adds fields of its own (`X-Frame-Options` and
the like) to whatever a view answers; they are the project's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from .handlers import Framework, Handler, expression
from .literals import comments, is_plain, python_bytes, python_string
from .python_code import TAKEN, arguments, imports_of_types

# Of the converters, those that accept what the mock's do.
_KINDS = {"str": "", "int": "int:", "uuid": "uuid:"}


def _write(handler: Handler) -> Mapping[str, str]:
    handler = handler.for_wsgi().with_other_names(TAKEN)
    views = "demo/views.py, for Django 5, beside the settings.py of a project of that name."
    urls = "demo/urls.py. Run it with: python manage.py runserver 8000"
    return {
        "demo/views.py": comments("#", views, *handler.about) + "\n" + _views(handler),
        "demo/urls.py": comments("#", urls, "It calls the view of demo/views.py.") + "\n" + _urls(handler),
    }


def _urls(handler: Handler) -> str:
    literal = "".join(token for token in handler.tokens if isinstance(token, str))
    if all(p.kind in _KINDS for p in handler.parameters) and not set("<>") & set(literal):
        function = "path"
        route = python_string(
            "".join(
                token if isinstance(token, str) else f"<{_KINDS[token.kind]}{token.name}>"
                for token in handler.tokens
            )[1:]
        )
    else:
        function = "re_path"
        route = _raw(f"^{expression(handler, group='?P<{}>')[1:]}\\Z")
    return (
        f"from django.urls import {function}\n\nfrom . import views\n\n"
        f"urlpatterns = [\n    {function}({route}, views.mock),\n]\n"
    )


def _raw(pattern: str) -> str:
    return f'r"{pattern}"' if is_plain(pattern, '"') else python_string(pattern)


def _views(handler: Handler) -> str:
    repeated = [
        name for name, count in Counter(name.lower() for name, _ in handler.fields).items() if count > 1
    ]
    kind = "HttpResponse" if handler.has_length else "StreamingHttpResponse"
    once = [(name, value) for name, value in handler.other_fields if name.lower() not in repeated]
    often = [(name, value) for name, value in handler.other_fields if name.lower() in repeated]
    methods = handler.listed_methods(get_has_head=False)
    unsafe = not set(methods) <= {"GET", "HEAD", "OPTIONS"}
    base = "Repeating" if often else kind
    return "".join(
        (
            imports_of_types(handler, "request: HttpRequest"),
            f"from django.http import HttpRequest, {kind}\n",
            "from django.views.decorators.csrf import csrf_exempt\n" if unsafe else "",
            "from django.views.decorators.http import require_http_methods\n",
            *_repeating(kind, often),
            "\n\n",
            "@csrf_exempt\n" if unsafe else "",
            f"@require_http_methods([{', '.join(map(python_string, methods))}])\n",
            f"def mock({arguments(handler, 'request: HttpRequest', optional=False)}) -> {kind}:\n",
            *_response(handler, base, once),
            "    return response\n",
        )
    )


def _repeating(kind: str, fields: list[tuple[str, str]]) -> list[str]:
    if not fields:
        return []
    return [
        f"\n\nclass Repeating({kind}):\n",
        '    """Django keeps one value for each field; this response has several of some."""\n\n',
        "    def items(self):\n        return [\n            *super().items(),\n",
        *(f"            ({python_string(name)}, {python_string(value)}),\n" for name, value in fields),
        "        ]\n",
    ]


def _response(handler: Handler, kind: str, fields: list[tuple[str, str]]) -> list[str]:
    lines = []
    if not handler.has_length:
        lines.append("    # Streamed: CommonMiddleware gives every other response a Content-Length, and\n")
        lines.append(f"    # a {handler.status} has none.\n")
        lines.append(f'    response = {kind}([b""], status={handler.status})\n')
    else:
        lines.append(f"    response = {kind}(\n")
        if handler.body:
            lines.append(f"        {python_bytes(handler.body)},\n")
        lines.append(f"        status={handler.status},\n")
        if handler.content_type is not None:
            lines.append(f"        content_type={python_string(handler.content_type)},\n")
        lines.append("    )\n")
    if handler.content_type is None:
        lines.append('    del response.headers["Content-Type"]\n')
    for name, value in fields:
        lines.append(f"    response.headers[{python_string(name)}] = {python_string(value)}\n")
    return lines


FRAMEWORK = Framework("django", "Django", "python", "demo/views.py", _write)
