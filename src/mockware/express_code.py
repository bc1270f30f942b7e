"""Express: one file, `app.mjs`.

Law: as in `flask_code.py`. What Express's own `res.set` and `res.send` add (a charset, an ETag), Node's
`setHeader` and `end` do not; a path is compared as it is encoded in the URL, so that it is written so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from .handlers import METHODS, Framework, Handler, expression, segments
from .literals import base64_text, comments, javascript_string
from .paths import PATH_CHARS, Parameter

# What Node's parser reads besides (`http.METHODS` of Node 20); it refuses any other.
_OTHER_METHODS = frozenset(
    """
    ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND
    PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE
    """.split()  # noqa: SIM905 - a table of words
)

# path-to-regexp 8 has meanings for these; a backslash takes them away.
_MEANING = re.compile(r"[(){}\[\]+?!:*\\]")


def _write(handler: Handler) -> Mapping[str, str]:
    methods = handler.listed_methods(get_has_head=True) if handler.methods else []
    if unknown := sorted(set(methods) - set(METHODS) - _OTHER_METHODS):
        raise ValueError(f"Express has no method {', '.join(unknown)}: Node refuses the request")
    title = "app.mjs, for Express 5 (npm install express). Run it with: node app.mjs"
    return {
        "app.mjs": comments("//", title, *handler.about)
        + "\nimport express from 'express';\n\n"
        + "const app = express();\n"
        + "app.disable('x-powered-by');\n"
        + "app.enable('case sensitive routing');\n"
        + "app.enable('strict routing'); // a slash at the end matters\n\n"
        + _mock(handler)
        + _routes(handler, methods)
        + "\napp.listen(process.env.PORT ?? 8000);\n"
    }


def _mock(handler: Handler) -> str:
    lines = [f"const body = {_body(handler)};\n"] if handler.has_length else []
    lines += ["function mock(request, response) {", f"  response.status({handler.status});"]
    names: dict[str, list[str]] = {}
    for name, value in handler.fields:
        names.setdefault(name.lower(), [name]).append(value)
    for first, *values in names.values():
        shown = [javascript_string(value) for value in values]
        value = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        lines.append(f"  response.setHeader({javascript_string(first)}, {value});")
    if handler.has_length:
        lines += ["  response.setHeader('Content-Length', body.length);", "  response.end(body);"]
    else:
        lines.append("  response.end();")
    return "\n".join([*lines, "}\n\n"])


def _body(handler: Handler) -> str:
    text = handler.text
    if text is None:
        return f"Buffer.from({javascript_string(base64_text(handler.body))}, 'base64')"
    # Of a body that is a string, Node makes one text with the fields, and encodes both as UTF-8.
    return f"Buffer.from({javascript_string(text)})"


def _routes(handler: Handler, methods: list[str]) -> str:
    path = _path(handler)
    if not methods:
        return f"app.all({path}, mock);\n"
    return "".join(
        f"app.{name.lower()}({path}, mock);\n"
        if name.isalpha()
        else f"app[{name.lower()!r}]({path}, mock);\n"
        for name in methods
    )


def _path(handler: Handler) -> str:
    if _is_simple(handler):
        return javascript_string(
            "".join(
                _MEANING.sub(r"\\\g<0>", quote(token, safe=PATH_CHARS))
                if isinstance(token, str)
                else f"{{*{token.name}}}"
                if token.kind == "path"
                else f":{token.name}"
                for token in handler.tokens
            )
        )
    pattern = expression(handler, group="?<{}>", literal=lambda text: quote(text, safe=PATH_CHARS))
    return "/^" + pattern.replace("/", r"\/") + "$/"


def _is_simple(handler: Handler) -> bool:
    """Whether each parameter is a segment by itself that takes any text: the route syntax has no types."""
    return all(
        (len(segment) == 1 and token.kind in ("str", "path"))
        for segment in segments(handler)
        for token in segment
        if isinstance(token, Parameter)
    )


FRAMEWORK = Framework("express", "Express", "javascript", "app.mjs", _write)
