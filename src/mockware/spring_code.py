"""Spring Boot: a controller, `MockController.java`, for the package `demo`.

Law: as in `flask_code.py`. A body of bytes is written as it is; text would be encoded anew. Doubt: Tomcat
writes a media type's charset without the blank before it, whatever the controller says, and leaves out the
Content-Type of a 205.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .exceptions import quoted
from .handlers import EXPRESSIONS, METHODS, Framework, Handler, expression, segments
from .literals import base64_text, comments, java_string
from .messages import TOKEN
from .paths import Parameter

_FILE = "src/main/java/demo/MockController.java"
_ANNOTATIONS = "org.springframework.web.bind.annotation"
_MEDIA_TYPE = re.compile(f'{TOKEN}/{TOKEN}(?: *; *{TOKEN}=(?:{TOKEN}|"[^"\\\\]*"))*')
# In a pattern, these have a meaning that nothing takes away, but they may stand in an expression.
_MEANING = re.compile(r"\*|\$$")


def _write(handler: Handler) -> Mapping[str, str]:
    if unknown := sorted(set(handler.methods) - set(METHODS)):
        raise ValueError(f"Spring has no annotation for the method {', '.join(unknown)}")
    media_type = handler.content_type
    if media_type is not None and not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError(f"Spring sends no Content-Type that is no media type, such as {quoted(media_type)}")
    if any(";" in token for token in handler.tokens if isinstance(token, str)):
        raise ValueError("Spring takes what stands behind a `;` in a path for something else")
    title = f"{_FILE}, for Spring Boot 3."
    run = "Beside it is the application, with spring-boot-starter-web. Run it with: mvn spring-boot:run"
    path, is_exact = _path(handler)
    return {
        _FILE: comments("//", title, run, *handler.about)
        + "\npackage demo;\n\n"
        + _imports(handler, not is_exact)
        + "@RestController\npublic class MockController {\n\n"
        + _constants(handler, not is_exact)
        + _mapping(handler, path)
        + _method(handler, not is_exact)
        + "}\n"
    }


def _imports(handler: Handler, checked: bool) -> str:
    names = [f"{_ANNOTATIONS}.RestController"]
    if _is_direct(handler):
        names += ["jakarta.servlet.http.HttpServletResponse", "java.io.IOException"]
    else:
        names.append("org.springframework.http.ResponseEntity")
    if handler.has_length:
        names.append("java.util.Base64" if handler.text is None else "java.nio.charset.StandardCharsets")
    if checked:
        names += ["jakarta.servlet.http.HttpServletRequest", "java.util.regex.Pattern"]
    short = _short_mapping(handler)
    names.append(f"{_ANNOTATIONS}.{short or 'RequestMapping'}")
    if not short:
        names.append(f"{_ANNOTATIONS}.RequestMethod")
    java = sorted(name for name in names if name.startswith("java."))
    other = sorted(name for name in names if not name.startswith("java."))
    groups = ["".join(f"import {name};\n" for name in group) for group in (java, other) if group]
    return "\n".join(groups) + "\n"


def _short_mapping(handler: Handler) -> str:
    methods = handler.listed_methods(get_has_head=True)
    if len(methods) == 1 and methods[0] in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        return f"{methods[0].capitalize()}Mapping"
    return ""


def _constants(handler: Handler, checked: bool) -> str:
    lines = ""
    if handler.has_length:
        text = handler.text
        if text is None:
            value = f"Base64.getDecoder().decode({java_string(base64_text(handler.body))})"
        else:
            value = f"{java_string(text)}.getBytes(StandardCharsets.UTF_8)"
        lines += f"    private static final byte[] BODY = {value};\n\n"
    if checked:
        pattern = expression(handler)
        lines += f"    private static final Pattern PATH = Pattern.compile({java_string(pattern)});\n\n"
    return lines


def _mapping(handler: Handler, path: str) -> str:
    shown = java_string(path, block=False)
    if short := _short_mapping(handler):
        return f"    @{short}({shown})\n"
    methods = ", ".join(f"RequestMethod.{name}" for name in handler.listed_methods(get_has_head=True))
    return f"    @RequestMapping(path = {shown},\n            method = {{{methods}}})\n"


def _is_direct(handler: Handler) -> bool:
    """Whether Spring would add to a ResponseEntity: `Content-Disposition: inline;filename=f.txt` to all but
    redirects, on a path whose last segment has a dot in it, against reflected file downloads."""
    *_, last = segments(handler)
    has_dot = any(
        token.kind not in ("int", "uuid") if isinstance(token, Parameter) else "." in token for token in last
    )
    declared = any(name.lower() == "content-disposition" for name, _ in handler.fields)
    return has_dot and handler.status // 100 != 3 and handler.has_length and not declared


def _method(handler: Handler, checked: bool) -> str:
    if _is_direct(handler):
        return _direct_method(handler, checked)
    kind = "byte[]" if handler.has_length else "Void"
    lines = [f"    public ResponseEntity<{kind}> mock({'HttpServletRequest request' if checked else ''}) {{"]
    if checked:
        lines += [
            "        if (!PATH.matcher(request.getServletPath()).matches()) {",
            "            return ResponseEntity.notFound().build();",
            "        }",
        ]
    lines.append(f"        return ResponseEntity.status({handler.status})")
    lines += (f"                .header({_line(name)}, {_line(value)})" for name, value in handler.fields)
    lines.append(f"                .{'body(BODY)' if handler.has_length else 'build()'};")
    return "\n".join([*lines, "    }\n"])


def _direct_method(handler: Handler, checked: bool) -> str:
    given = "HttpServletRequest request, " if checked else ""
    lines = [
        "    // Not a ResponseEntity: where the path has a dot, Spring adds a Content-Disposition to that.",
        f"    public void mock({given}HttpServletResponse response)",
        "            throws IOException {",
    ]
    if checked:
        lines += [
            "        if (!PATH.matcher(request.getServletPath()).matches()) {",
            "            response.setStatus(404);",
            "            return;",
            "        }",
        ]
    lines.append(f"        response.setStatus({handler.status});")
    lines += (f"        response.addHeader({_line(name)}, {_line(value)});" for name, value in handler.fields)
    lines.append("        response.setContentLength(BODY.length);")
    if handler.has_content:
        lines.append("        response.getOutputStream().write(BODY);")
    return "\n".join([*lines, "    }\n"])


def _line(value: str) -> str:
    return java_string(value, block=False)


def _path(handler: Handler) -> tuple[str, bool]:
    """The pattern, and whether it is the whole truth: what it cannot say, the handler asks for itself."""
    shown: list[str] = []
    *first, last = segments(handler)
    for segment in (*first, last):
        piece = _piece(segment, is_last=segment is last)
        if piece is None:
            return "/".join([*shown, "**"]), False
        shown.append(piece)
    return "/".join(shown), True


def _piece(segment: list[str | Parameter], *, is_last: bool) -> str | None:
    """A segment of the pattern; None where there is none for it."""
    parameters = [token for token in segment if isinstance(token, Parameter)]
    if len(parameters) > 1:
        return None
    if any(token.kind == "path" for token in parameters) and not (is_last and len(segment) == 1):
        return None
    if any(isinstance(token, str) and _MEANING.search(token) for token in segment):
        return None
    return "".join(token if isinstance(token, str) else _parameter(token) for token in segment)


def _parameter(parameter: Parameter) -> str:
    if parameter.kind == "path":
        return f"{{*{parameter.name}}}"
    constraint = "" if parameter.kind == "str" else f":{EXPRESSIONS[parameter.kind]}"
    return f"{{{parameter.name}{constraint}}}"


FRAMEWORK = Framework("spring-boot", "Spring Boot", "java", _FILE, _write)
