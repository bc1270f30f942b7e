"""Ruby on Rails: a controller and its route.

Law: as in `flask_code.py`. The Content-Type is set as a field, since `render` adds a charset to it, and the
Content-Length, since otherwise a HEAD has none. Doubts: Rails takes a slash at the end of a path away before
it looks for a route, and its middleware gives responses an ETag and a Cache-Control that have none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile

from .handlers import EXPRESSIONS, METHODS, Framework, Handler, expression, segments
from .literals import comments, ruby_bytes, ruby_string
from .paths import Parameter

_CONTROLLER, _ROUTES = "app/controllers/mocks_controller.rb", "config/routes.rb"
# What a route may say as it is: to Rails, `:`, `*` and brackets mean something, and other letters than these
# are compared encoded.
_PLAIN = re.compile(r"[A-Za-z0-9_.~!$&',;=@+-]*")
_RESERVED = frozenset(("controller", "action", "format"))


def _write(handler: Handler) -> Mapping[str, str]:
    if unknown := sorted(set(handler.methods) - set(METHODS)):
        raise ValueError(f"Rails is not sure to know the method {', '.join(unknown)}")
    controller = f"{_CONTROLLER}, for Rails 7 or 8."
    routes = f"{_ROUTES}. Run it with: bin/rails server -p 8000"
    return {
        _CONTROLLER: comments("#", controller, *handler.about) + "\n" + _class(handler),
        _ROUTES: comments("#", routes, f"It calls the controller of {_CONTROLLER}.")
        + "\nRails.application.routes.draw do\n"
        + _route(handler)
        + "end\n",
    }


def _class(handler: Handler) -> str:
    lines = ["class MocksController < ActionController::API"]
    if handler.has_length:
        lines += [f"  BODY = {_body(handler)}.freeze", ""]
    lines.append("  def show")
    if handler.has_length and handler.has_content:
        lines.append(f"    render body: BODY, status: {handler.status}")
    else:
        lines.append(f"    head {handler.status}")
    fields: dict[str, list[str]] = {}
    for name, value in handler.fields:
        fields.setdefault(_field(name), []).append(_value(value))
    for name, values in fields.items():
        if name != "Cache-Control":
            lines.append(f"    response.headers[{ruby_string(name)}] = {_joined(values)}")
    if handler.has_length and handler.has_content and "Vary" not in fields:
        lines.append('    response.headers.delete("Vary") # which render adds')
    if handler.has_length:
        lines.append('    response.headers["Content-Length"] = BODY.bytesize.to_s')
    lines.append("  end")
    if "Cache-Control" in fields:
        lines += ["", "  # Rails writes a Cache-Control anew; here it has done so."]
        lines += ["  def to_a", "    status, headers, body = super"]
        lines += [f'    headers["Cache-Control"] = {_joined(fields["Cache-Control"])}']
        lines += ["    [status, headers, body]", "  end"]
    return "\n".join([*lines, "end\n"])


def _joined(values: list[str]) -> str:
    """A field with these values, one or several lines of it."""
    if len(values) == 1:
        return values[0]
    listed = ", ".join(values)
    return f'Rack.release < "3" ? [{listed}].join("\\n") : [{listed}]'


def _field(name: str) -> str:
    """As Rails spells it: with Rack 2, another spelling would be another field."""
    words = {"etag": "ETag", "www-authenticate": "WWW-Authenticate"}
    return words.get(name.lower()) or "-".join(map(str.capitalize, name.split("-")))


def _value(value: str) -> str:
    # A field's value is bytes, and HTTP's are Latin-1.
    return ruby_string(value) if value.isascii() else ruby_bytes(value.encode("latin-1"))


def _body(handler: Handler) -> str:
    text = handler.text
    return ruby_bytes(handler.body) if text is None else ruby_string(text)


def _route(handler: Handler) -> str:
    methods = [name.lower() for name in handler.listed_methods(get_has_head=True)]
    path, constraints = _path(handler)
    if len(methods) == 1 and methods[0] in ("get", "post", "put", "patch", "delete"):
        verb, via = methods[0], ""
    else:
        verb, via = "match", f", via: %i[{' '.join(methods)}]" if handler.methods else ", via: :all"
    return f'  {verb} {path}, to: "mocks#show"{via}, format: false{constraints}\n'


def _path(handler: Handler) -> tuple[str, str]:
    """The path of the route, and what it and its parameters must be."""
    shown: list[str] = []
    for segment in segments(handler):
        piece = _piece(segment)
        if piece is None:
            path = 'URI::DEFAULT_PARSER.unescape(request.path).force_encoding("UTF-8")'
            check = f"->(request) {{ {_regexp(expression(handler))}.match?({path}) }}"
            literal = takewhile(lambda piece: not piece.startswith((":", "*")), shown)
            return ruby_string("/".join(literal) + "(/*mock_path)"), f", constraints: {check}"
        shown.append(piece)
    # `*` takes one character or more, and the slash before it belongs to what may be left out.
    path = re.sub(r"/(\*\w+)$", r"(/\1)", "/".join(shown))
    typed = (f"{_name(p)}: /{_expression(p)}/" for p in handler.parameters if p.kind != "path")
    constraints = ", ".join(typed)
    return ruby_string(path), f", constraints: {{ {constraints} }}" if constraints else ""


def _piece(segment: list[str | Parameter]) -> str | None:
    """A segment of the route; None where there is none for it."""
    parameters = [token for token in segment if isinstance(token, Parameter)]
    if len(parameters) > 1 or (len(segment) > 1 and any(token.kind == "path" for token in parameters)):
        return None
    if not all(_PLAIN.fullmatch(token) for token in segment if isinstance(token, str)):
        return None
    return "".join(
        token if isinstance(token, str) else f"{'*' if token.kind == 'path' else ':'}{_name(token)}"
        for token in segment
    )


def _regexp(pattern: str) -> str:
    return f"Regexp.new({ruby_string(chr(92) + 'A' + pattern + chr(92) + 'z')})"


def _expression(parameter: Parameter) -> str:
    return EXPRESSIONS[parameter.kind].replace("/", r"\/")


def _name(parameter: Parameter) -> str:
    """Rails sets some parameters itself, and `:Name` would be a constant."""
    name = parameter.name
    return f"mock_{name}" if name in _RESERVED or not name[0].islower() else name


FRAMEWORK = Framework("rails", "Rails", "ruby", _CONTROLLER, _write)
