"""Flask: one file, `app.py`.

Law: as in every file of this kind, what `Handler` says becomes code for a fresh project, in the manner of the
framework's own documentation, or is refused. Here stands what that framework does of its own accord and how
it is kept from that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product

from .handlers import Framework, Handler
from .literals import comments, python_string
from .python_code import TAKEN, arguments, imports_of_types, text_or_bytes

_KINDS = {"str": ("",), "int": ("int:",), "float": ("float:", "int:"), "uuid": ("uuid:",)}

# RFC 2616 section 7.1, but for what Werkzeug leaves there.
_ENTITY_FIELDS = frozenset(
    ("allow", "content-encoding", "content-language", "content-md5", "content-range", "last-modified")
)
_PLAIN_URL = re.compile("(?:https?://[a-z0-9.-]+)?/[A-Za-z0-9/._~?&=#-]*")


def _write(handler: Handler) -> Mapping[str, str]:
    handler = handler.for_wsgi().with_other_names((*TAKEN, "Exact"))
    if "<" in "".join(token for token in handler.tokens if isinstance(token, str)):
        raise ValueError("Flask has no route for a path with `<`")
    return {"app.py": _head(handler) + _exact(handler) + _routes(handler) + _view(handler)}


def _head(handler: Handler) -> str:
    first = "".join(token for token in handler.tokens[:1] if isinstance(token, str))
    # Flask's own route for `static` would come before one of ours with a parameter in that place.
    static = handler.parameters and (first == "/" or first.startswith("/static"))
    lines = f"app = Flask(__name__{', static_folder=None' if static else ''})\n"
    if "//" in handler.template:
        lines += "app.url_map.merge_slashes = False\n"
    return (
        comments("#", "app.py, for Flask 3. Run it with: flask run --port 8000", *handler.about)
        + "\n"
        + imports_of_types(handler, optional=_may_lack_one(handler))
        + f"from flask import Flask, Response\n\n{lines}\n\n"
    )


def _may_lack_one(handler: Handler) -> bool:
    return any(parameter.kind == "path" for parameter in handler.parameters)


def _routes(handler: Handler) -> str:
    methods = handler.listed_methods(get_has_head=True)
    paths = list(dict.fromkeys(_paths(handler)))
    if len(methods) == 1 and methods[0] in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        return "".join(f"@app.{methods[0].lower()}({python_string(path)})\n" for path in paths)
    listed = ", ".join(map(python_string, methods))
    return "".join(f"@app.route({python_string(path)}, methods=[{listed}])\n" for path in paths)


def _paths(handler: Handler) -> list[str]:
    """Werkzeug's `float` takes no whole numbers, and its `path` nothing that is empty."""
    choices: list[tuple[str, ...]] = []
    for token in handler.tokens:
        if isinstance(token, str):
            choices.append((token,))
        elif token.kind == "path":
            choices.append((f"<path:{token.name}>", ""))
        else:
            choices.append(tuple(f"<{kind}{token.name}>" for kind in _KINDS[token.kind]))
    return ["".join(choice) for choice in product(*choices)]


def _view(handler: Handler) -> str:
    kind = "Exact" if _altered(handler) else "Response"
    lines = [f"def mock({arguments(handler, optional=_may_lack_one(handler))}) -> Response:"]
    given = [f"        {text_or_bytes(handler)},"] if handler.body else []
    given.append(f"        status={handler.status},")
    if handler.fields:
        given.append("        headers=[")
        given += (
            f"            ({python_string(name)}, {python_string(value)})," for name, value in handler.fields
        )
        given.append("        ],")
    if handler.content_type is not None:
        return "\n".join([*lines, f"    return {kind}(", *given, "    )\n"])
    return "\n".join(
        [
            *lines,
            f"    response = {kind}(",
            *given,
            "    )",
            '    del response.headers["Content-Type"]  # there is no content, and Flask has a default',
            "    return response\n",
        ]
    )


def _altered(handler: Handler) -> list[str]:
    """The fields that Werkzeug would not send as they are: it encodes a location, and takes off a 304 what
    RFC 2616 called entity headers."""
    return sorted(
        {
            name.lower()
            for name, value in handler.fields
            if (name.lower() in ("location", "content-location") and not _PLAIN_URL.fullmatch(value))
            or (handler.status == 304 and name.lower() in _ENTITY_FIELDS)
        }
    )


def _exact(handler: Handler) -> str:
    if not (altered := _altered(handler)):
        return ""
    names = "".join(f"{python_string(name)}, " for name in altered)
    return (
        "class Exact(Response):\n"
        '    """Flask would send some of its fields otherwise, or not at all."""\n\n'
        "    def get_wsgi_headers(self, environ):\n"
        "        headers = super().get_wsgi_headers(environ)\n"
        f"        for name in ({names.rstrip(' ') if len(altered) == 1 else names.removesuffix(', ')}):\n"
        "            headers.setlist(name, self.headers.getlist(name))\n"
        "        return headers\n\n\n"
    )


FRAMEWORK = Framework("flask", "Flask", "python", "app.py", _write)
