"""Flask: one file, `app.py`.

Law: as in every file of this kind, what `Handler` says becomes code for a fresh project, in the manner of the
framework's own documentation, or is refused. Here stands what that framework does of its own accord and how
it is kept from that.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from .handlers import Framework, Handler
from .literals import comments, python_string
from .python_code import TAKEN, arguments, imports_of_types, text_or_bytes

_KINDS = {"str": ("",), "int": ("int:",), "float": ("float:", "int:"), "uuid": ("uuid:",)}


def _write(handler: Handler) -> Mapping[str, str]:
    handler = handler.for_wsgi().with_other_names(TAKEN)
    if "<" in "".join(token for token in handler.tokens if isinstance(token, str)):
        raise ValueError("Flask has no route for a path with `<`")
    return {"app.py": _head(handler) + _routes(handler) + _view(handler)}


def _head(handler: Handler) -> str:
    first = "".join(token for token in handler.tokens[:1] if isinstance(token, str))
    # Flask's own route for `static` would come before one of ours with a parameter in that place.
    static = handler.parameters and (first == "/" or first.startswith("/static"))
    return (
        comments("#", "app.py, for Flask 3. Run it with: flask run --port 8000", *handler.about)
        + "\n"
        + imports_of_types(handler, optional=_may_lack_one(handler))
        + "from flask import Flask, Response\n\n"
        + f"app = Flask(__name__{', static_folder=None' if static else ''})\n\n\n"
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
    lines = [f"def mock({arguments(handler, optional=_may_lack_one(handler))}) -> Response:"]
    given = [f"        {text_or_bytes(handler)},"] if handler.body else []
    given.append(f"        status={handler.status},")
    if handler.fields:
        given.append("        headers=[")
        given += (
            f"            ({python_string(name)}, {python_string(value)})," for name, value in handler.fields
        )
        given.append("        ],")
    if handler.content_type is None:
        return "\n".join(
            [
                *lines,
                "    response = Response(",
                *given,
                "    )",
                '    del response.headers["Content-Type"]  # there is no content, and Flask has a default',
                "    return response\n",
            ]
        )
    return "\n".join([*lines, "    return Response(", *given, "    )\n"])


FRAMEWORK = Framework("flask", "Flask", "python", "app.py", _write)
