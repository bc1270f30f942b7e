"""ASP.NET Core: a minimal API, one file, `Program.cs`.

Law: as in `flask_code.py`. Doubts: its routes compare letters without regard to case and take a slash at the
end for nothing; and where there is no SDK, nobody has run this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .handlers import EXPRESSIONS, Framework, Handler, segments
from .literals import base64_text, comments, csharp_string
from .paths import Parameter


def _write(handler: Handler) -> Mapping[str, str]:
    title = "Program.cs, for ASP.NET Core 8 or later (dotnet new web). Run it with:"
    run = "dotnet run --urls http://127.0.0.1:8000"
    return {
        "Program.cs": comments("//", title, run, *handler.about)
        + "\n"
        + (
            "using System.Text;\n\n"
            if (handler.text is not None and handler.has_length) or _is_latin(handler)
            else ""
        )
        + "var builder = WebApplication.CreateBuilder(args);\n"
        + (
            "builder.WebHost.ConfigureKestrel(\n"
            "    options => options.ResponseHeaderEncodingSelector = name => Encoding.Latin1);\n"
            if _is_latin(handler)
            else ""
        )
        + "var app = builder.Build();\n\n"
        + (f"var body = {_body(handler)};\n\n" if handler.has_length else "")
        + _mapping(handler)
        + "\napp.Run();\n"
    }


def _is_latin(handler: Handler) -> bool:
    return not all(value.isascii() for _, value in handler.fields)


def _body(handler: Handler) -> str:
    text = handler.text
    if text is None:
        return f"Convert.FromBase64String({csharp_string(base64_text(handler.body))})"
    return f"Encoding.UTF8.GetBytes({csharp_string(text)})"


def _mapping(handler: Handler) -> str:
    methods = handler.listed_methods(get_has_head=False)
    # MapMethods and no list at all for any method.
    start = f"app.Map({_path(handler)}, async (HttpResponse response) =>\n"
    if handler.methods:
        listed = ", ".join(map(csharp_string, methods))
        start = f"app.MapMethods({_path(handler)}, [{listed}], async (HttpResponse response) =>\n"
        if len(methods) == 1 and methods[0] in ("POST", "PUT", "PATCH", "DELETE"):
            start = f"app.Map{methods[0].capitalize()}({_path(handler)}, async (HttpResponse response) =>\n"
    lines = ["{", f"    response.StatusCode = {handler.status};"]
    if handler.content_type is not None:
        lines.append(f"    response.ContentType = {csharp_string(handler.content_type)};")
    lines += (
        f"    response.Headers.Append({csharp_string(name)}, {csharp_string(value)});"
        for name, value in handler.other_fields
    )
    if handler.has_length:
        lines.append("    response.ContentLength = body.Length;")
    if handler.has_length and handler.has_content:
        lines.append("    await response.Body.WriteAsync(body);")
    else:
        lines.append("    await response.CompleteAsync();")
    return start + "\n".join([*lines, "});\n"])


def _path(handler: Handler) -> str:
    *first, last = segments(handler)
    if [] in first[1:]:
        raise ValueError("ASP.NET Core has no route for a path with `//`")
    if any(isinstance(token, Parameter) and token.kind == "path" for segment in first for token in segment):
        raise ValueError("ASP.NET Core has no route in which a `path` parameter is not at the end")
    shown = []
    for segment in (*first, last):
        for before, token in zip([None, *segment], segment, strict=False):
            if isinstance(before, Parameter) and isinstance(token, Parameter):
                raise ValueError("ASP.NET Core has no route with two parameters side by side")
        shown.append("".join(_piece(token, len(segment)) for token in segment))
    return csharp_string("/".join(shown))


def _piece(token: str | Parameter, beside: int) -> str:
    if isinstance(token, str):
        return token.replace("{", "{{").replace("}", "}}")
    if token.kind == "path":
        if beside > 1:
            raise ValueError("ASP.NET Core has no route in which a `path` parameter is a part of a segment")
        return f"{{*{token.name}}}"
    if token.kind == "str":
        return f"{{{token.name}}}"
    # Braces are doubled within an expression, too.
    pattern = re.sub(r"[{}]", r"\g<0>\g<0>", f"^{EXPRESSIONS[token.kind]}$")
    return f"{{{token.name}:regex({pattern})}}"


FRAMEWORK = Framework("aspnet-core", "ASP.NET Core", "csharp", "Program.cs", _write)
