"""Many printed snippets of one framework as one running program, so that each toolchain starts once.

What belongs here: how files that were printed for projects of their own come into one project. Only what
would collide is changed (a package, a class, the function `main`, the place where a server would start);
whatever answers a request is what was printed. What never does: expectations about the answers.

A request says by `X-Snippet` which of them is meant, where the framework needs that; the others tell by the
path, which is a different one for each.
"""

import contextlib
import http.client
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from tests.by_hand import Answer
from tests.toolchains import Program, project

Printed = Mapping[str, str]
PATIENCE_S = 60.0  # a failure bound: an answer takes milliseconds

_PYTHON = """\
import importlib
APPS = [importlib.import_module(f"s{number}.app").app for number in range(COUNT)]
"""

_WSGI = """
def app(environ, start_response):
    return APPS[int(environ["HTTP_X_SNIPPET"])](environ, start_response)
"""

_ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await APPS[int(dict(scope["headers"])[b"x-snippet"])](scope, receive, send)
"""

# What `django-admin startproject` writes, as far as it matters to a response.
_DJANGO = """\
import importlib
import sys
import types
from django.conf import settings
settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="urls",
    INSTALLED_APPS=["django.contrib.sessions"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
import django
django.setup()
urls = sys.modules["urls"] = types.ModuleType("urls")
urls.urlpatterns = [
    pattern for number in range(COUNT)
    for pattern in importlib.import_module(f"s{number}.urls").urlpatterns
]
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""

_EXPRESS = """\
import { createServer } from 'node:http';
import express from 'express';

const apps = [];
express.application.listen = function () {
  apps.push(this);
};
for (let number = 0; number < COUNT; number++) {
  await import(`./s${number}/app.mjs`);
}
createServer((request, response) => {
  apps[Number(request.headers['x-snippet'])](request, response);
}).listen(Number(process.env.PORT), '127.0.0.1');
"""

_GO_FRONT = """\
package front

import "net/http"

var Handlers = make(chan http.Handler)

func ListenAndServe(address string, handler http.Handler) error {
	Handlers <- handler
	select {}
}
"""


def _python(printed: Sequence[Printed], serve: str) -> dict[str, str]:
    files = {f"s{number}/app.py": snippet["app.py"] for number, snippet in enumerate(printed)}
    return {"main.py": (_PYTHON + serve).replace("COUNT", str(len(printed))), **files}


def _django(printed: Sequence[Printed]) -> dict[str, str]:
    files = {
        name.replace("demo/", f"s{number}/"): text
        for number, snippet in enumerate(printed)
        for name, text in snippet.items()
    }
    return {"main.py": _DJANGO.replace("COUNT", str(len(printed))), **files}


def _express(printed: Sequence[Printed]) -> dict[str, str]:
    files = {f"s{number}/app.mjs": snippet["app.mjs"] for number, snippet in enumerate(printed)}
    return {"server.js": _EXPRESS.replace("COUNT", str(len(printed))), **files}


def _spring(printed: Sequence[Printed]) -> dict[str, str]:
    folder = "src/main/java/example"
    return {
        f"{folder}/s{number}/Mock{number}Controller.java": _once(
            _once(text, "package demo;", f"package example.s{number};"),
            "class MockController {",
            f"class Mock{number}Controller {{",
        )
        for number, snippet in enumerate(printed)
        for text in snippet.values()
    }


def _go(printed: Sequence[Printed]) -> dict[str, str]:
    files = {"front/front.go": _GO_FRONT}
    for number, snippet in enumerate(printed):
        text = _once(snippet["main.go"], "package main\n", f"package s{number}\n")
        text = _once(text, "func main() {", "func Main() {")
        text = _once(text, "import (\n", 'import (\n\t"example/front"\n')
        files[f"s{number}/main.go"] = _once(text, "http.ListenAndServe(", "front.ListenAndServe(")
    numbers = range(len(printed))
    imports = "".join(f'\t"example/s{number}"\n' for number in numbers)
    starts = "".join(f"\tgo s{n}.Main()\n\thandlers = append(handlers, <-front.Handlers)\n" for n in numbers)
    files["main.go"] = (
        'package main\n\nimport (\n\t"example/front"\n\t"log"\n\t"net/http"\n\t"os"\n\t"strconv"\n'
        f"{imports})\n\nfunc main() {{\n\tvar handlers []http.Handler\n{starts}"
        '\tlog.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(\n'
        "\t\tfunc(w http.ResponseWriter, r *http.Request) {\n"
        '\t\t\tnumber, _ := strconv.Atoi(r.Header.Get("X-Snippet"))\n'
        "\t\t\thandlers[number].ServeHTTP(w, r)\n\t\t})))\n}\n"
    )
    return files


def _rails(printed: Sequence[Printed]) -> dict[str, str]:
    files, routes = {}, []
    for number, snippet in enumerate(printed):
        controller = snippet["app/controllers/mocks_controller.rb"]
        files[f"app/controllers/mocks{number}_controller.rb"] = _once(
            controller, "class MocksController", f"class Mocks{number}Controller"
        )
        found = re.search(r"routes\.draw do\n(.*)end\n$", snippet["config/routes.rb"], re.DOTALL)
        assert found
        routes.append(_once(found[1], '"mocks#show"', f'"mocks{number}#show"'))
    return {**files, "config/routes.rb": f"Rails.application.routes.draw do\n{''.join(routes)}end\n"}


def _aspnet(printed: Sequence[Printed]) -> dict[str, str]:
    """As one app with all the mappings: top-level statements cannot be in several files."""
    bodies = "".join(
        re.sub(
            r"(?m)(^var |= |WriteAsync\()body\b",
            rf"\g<1>body{n}",
            text.partition("var app = builder.Build();\n")[2].replace("\napp.Run();\n", ""),
        )
        for n, snippet in enumerate(printed)
        for text in snippet.values()
    )
    return {
        "Program.cs": "using System.Text;\n\nvar builder = WebApplication.CreateBuilder(args);\n"
        "builder.WebHost.ConfigureKestrel(\n"
        "    options => options.ResponseHeaderEncodingSelector = name => Encoding.Latin1);\n"
        'builder.WebHost.UseUrls("http://127.0.0.1:" + Environment.GetEnvironmentVariable("PORT"));\n'
        f"var app = builder.Build();\n{bodies}\napp.Run();\n"
    }


def _once(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{text.count(old)} times {old!r}"
    return text.replace(old, new)


_PROJECTS: Mapping[str, Callable[[Sequence[Printed]], dict[str, str]]] = {
    "django": _django,
    "flask": lambda printed: _python(printed, _WSGI),
    "fastapi": lambda printed: _python(printed, _ASGI),
    "express": _express,
    "spring-boot": _spring,
    "go": _go,
    "rails": _rails,
    "aspnet-core": _aspnet,
}


@contextlib.contextmanager
def running(framework: str, printed: Sequence[Printed]) -> Iterator[Program]:
    """All of the snippets, each under its number, in one program."""
    with project(framework, _PROJECTS[framework](printed)) as program:
        yield program


def ask(program: Program, number: int, method: str, target: str) -> Answer:
    """What snippet `number` answers; the fields as they stand on the wire, names in lower case."""
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request(method, target, headers={"X-Snippet": str(number)})
        response = connection.getresponse()
        body = response.read()
        fields = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, fields, body)
