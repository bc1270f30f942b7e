"""Go's net/http: one file, `main.go`.

Law: as in `flask_code.py`. A pattern of ServeMux has whole segments only, and no types; what it cannot say is
asked of the path in the handler. It cleans paths with `//` and dots in them by a redirect, so that a rule
for such a path is asked without a ServeMux.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from .handlers import Framework, Handler, expression, segments
from .literals import comments, go_bytes, go_string, is_plain
from .paths import PATH_CHARS, Parameter


def _write(handler: Handler) -> Mapping[str, str]:
    cleaned = any(segment in ([], ["."], [".."]) for segment in list(segments(handler))[1:-1]) or list(
        segments(handler)
    )[-1] in (["."], [".."])
    checked = cleaned or not _is_simple(handler)
    title = "main.go, for Go 1.22 or later (go mod init demo). Run it with: go run ."
    return {
        "main.go": comments("//", title, *handler.about)
        + "\npackage main\n\n"
        + _imports(handler, checked)
        + (f"const body = {_body(handler)}\n\n" if handler.has_length else "")
        + (f"var path = regexp.MustCompile({_pattern(handler)})\n\n" if checked else "")
        + _mock(handler, checked, cleaned)
        + "\nfunc main() {\n"
        + _serve(handler, cleaned)
        + "}\n"
    }


def _imports(handler: Handler, checked: bool) -> str:
    names = ["log", "net/http"]
    if checked:
        names.append("regexp")
    if handler.has_length:
        names.append("strconv")
        if handler.has_content:
            names.append("io")
    return "import (\n" + "".join(f'\t"{name}"\n' for name in sorted(names)) + ")\n\n"


def _body(handler: Handler) -> str:
    text = handler.text
    return go_bytes(handler.body) if text is None else go_string(text)


def _pattern(handler: Handler) -> str:
    pattern = f"^{expression(handler, group='?P<{}>')}$"
    return f"`{pattern}`" if is_plain(pattern, "`") else go_string(pattern)


def _mock(handler: Handler, checked: bool, cleaned: bool) -> str:
    lines = ["func mock(w http.ResponseWriter, r *http.Request) {\n"]
    if checked:
        lines += ["\tif !path.MatchString(r.URL.Path) {\n", "\t\thttp.NotFound(w, r)\n\t\treturn\n\t}\n"]
    if cleaned and handler.methods:
        cases = ", ".join(go_string(name) for name in handler.listed_methods(get_has_head=False))
        lines += [f"\tswitch r.Method {{\n\tcase {cases}:\n\tdefault:\n"]
        lines += ["\t\tw.WriteHeader(http.StatusMethodNotAllowed)\n\t\treturn\n\t}\n"]
    seen: set[str] = set()
    for name, value in handler.fields:
        method = "Add" if name.lower() in seen else "Set"
        seen.add(name.lower())
        # A field's value is a string of bytes, and HTTP's are Latin-1.
        shown = go_string(value) if value.isascii() else go_bytes(value.encode("latin-1"))
        lines.append(f"\tw.Header().{method}({go_string(name)}, {shown})\n")
    if handler.has_length:
        lines.append('\tw.Header().Set("Content-Length", strconv.Itoa(len(body)))\n')
    lines.append(f"\tw.WriteHeader({handler.status})\n")
    if handler.has_length and handler.has_content:
        lines.append("\tio.WriteString(w, body)\n")
    return "".join([*lines, "}\n"])


def _serve(handler: Handler, cleaned: bool) -> str:
    if cleaned:
        return '\tlog.Fatal(http.ListenAndServe("127.0.0.1:8000", http.HandlerFunc(mock)))\n'
    methods = handler.listed_methods(get_has_head=True) if handler.methods else [""]
    patterns = [f"{method} {_path(handler)}".lstrip() for method in methods]
    return (
        "\tmux := http.NewServeMux()\n"
        + "".join(f"\tmux.HandleFunc({go_string(pattern)}, mock)\n" for pattern in patterns)
        + '\tlog.Fatal(http.ListenAndServe("127.0.0.1:8000", mux))\n'
    )


def _is_simple(handler: Handler) -> bool:
    """Whether each parameter is a whole segment of any text, or the rest of the path."""
    *first, last = segments(handler)
    if any(isinstance(token, Parameter) and token.kind == "path" for segment in first for token in segment):
        return False
    return all(
        len(segment) == 1 and token.kind in ("str", "path")
        for segment in (*first, last)
        for token in segment
        if isinstance(token, Parameter)
    )


def _path(handler: Handler) -> str:
    """The pattern: of the route, or of all that may be one where the handler asks again."""
    shown: list[str] = []
    for segment in segments(handler):
        parameters = [token for token in segment if isinstance(token, Parameter)]
        if any(token.kind == "path" for token in parameters):
            # Behind it, whatever comes is for the handler to see.
            shown.append(f"{{{parameters[0].name}...}}")
            break
        if parameters:
            shown.append(f"{{{parameters[0].name}}}")
        else:
            # Decoded by ServeMux, which has a meaning for braces and blanks alone.
            shown.append(quote("".join(map(str, segment)), safe=PATH_CHARS))
    path = "/".join(shown)
    # A slash at the end would stand for all that is below.
    return f"{path}{{$}}" if path.endswith("/") else path


FRAMEWORK = Framework("go", "Go net/http", "go", "main.go", _write)
