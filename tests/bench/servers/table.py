"""Every server of the comparison: its name, what starts it, and which stubs it is asked for.

Law: one worker, bound to loopback, its log of requests off. What differs between servers is said here
and in `stubs`; how they are measured is the same for all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..serving import free_port
from . import stubs
from .apps import STUBS
from .versions import Cache, program

UNIT = "uvicorn"
# What the goals of the proxy are about.
PROXY_UNIT = "http-proxy"
UPSTREAM = "upstream"
UPSTREAM_PATH = "/upstream"


class Place(NamedTuple):
    """Where a server is to stand: a folder of its own, a port, how many stubs, and the proxies' upstream."""

    folder: Path
    port: int
    stubs: int
    upstream: int
    cache: Cache

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


class Start(NamedTuple):
    command: list[str]
    environ: Mapping[str, str] = {}


class Server(NamedTuple):
    """`title` is what people read. `many`: it can have a hundred and ten thousand stubs. `empty`: its answer
    has no body. `ours` is drawn as ours. `proxy`: it passes requests on to the upstream."""

    title: str
    start: Callable[[Place], Start]
    many: bool = True
    empty: bool = False
    ours: bool = False
    proxy: bool = False


def _python(*words: str, **environ: str) -> Start:
    return Start([sys.executable, "-m", *words], environ)


def _uvicorn(place: Place, app: str) -> list[str]:
    server = ("uvicorn", "--http=httptools", "--no-access-log", "--log-level=warning")
    return [*server, f"--port={place.port}", f"tests.bench.servers.apps:{app}"]


def _granian(place: Place, app: str) -> list[str]:
    server = ("granian", "--host=127.0.0.1", "--workers=1", "--http=1", "--log-level=warning")
    return [*server, "--interface=asgi", "--no-ws", f"--port={place.port}", f"tests.bench.servers.apps:{app}"]


_GTHREAD = ("gunicorn", "--worker-class=gthread", "--threads=4", "--workers=1", "--log-level=warning")


def _rules(place: Place) -> str:
    return place.write("mocks.toml", stubs.mockware(place.stubs))


def _on(place: Place) -> dict[str, str]:
    return {"MOCKWARE": "on", "MOCKWARE_FILE": _rules(place)}


def _mockware(place: Place, *words: str) -> Start:
    return _python("mockware", *words, "--port", str(place.port), "--log-level=warning")


def _java(*words: str) -> list[str]:
    # Bounded, as several stand beside each other; ten thousand stubs take half of it.
    return [program("java"), "-Xmx2g", *words]


def _wiremock(place: Place) -> Start:
    (place.folder / "mappings").mkdir()
    place.write("mappings/stubs.json", stubs.wiremock(place.stubs))
    where = ["--port", str(place.port), "--bind-address", "127.0.0.1", "--root-dir", str(place.folder)]
    jar = str(place.cache.maven("wiremock"))
    return Start(_java("-jar", jar, *where, "--no-request-journal", "--disable-banner"))


def _mockserver(place: Place) -> Start:
    settings = {
        "logLevel": "WARN",
        "initializationJsonPath": place.write("stubs.json", stubs.mockserver(place.stubs)),
        # It forgets the oldest beyond this.
        "maxExpectations": str(place.stubs + 1000),
        "localBoundIP": "127.0.0.1",
    }
    words = [f"-Dmockserver.{name}={value}" for name, value in settings.items()]
    jar = str(place.cache.maven("mockserver"))
    return Start(_java(*words, "-jar", jar, "-serverPort", str(place.port)))


def _mockoon(place: Place) -> Start:
    data = place.write("stubs.json", stubs.mockoon(place.stubs, place.port))
    command = [_bin(place, "@mockoon/cli", "mockoon-cli"), "start", f"--data={data}"]
    return Start([*command, "--disable-log-to-file", "--disable-admin-api", "--max-transaction-logs=1"])


def _prism(place: Place) -> Start:
    data = place.write("openapi.json", stubs.openapi(place.stubs))
    command = [_bin(place, "@stoplight/prism-cli", "prism"), "mock", "--host=127.0.0.1"]
    return Start([*command, f"--port={place.port}", "--verboseLevel=silent", data])


def _mountebank(place: Place) -> Start:
    data = place.write("imposters.json", stubs.mountebank(place.stubs, place.port))
    command = [_bin(place, "mountebank", "mb"), "start", "--configfile", data, "--port", str(free_port())]
    command += ["--host", "127.0.0.1", "--pidfile", str(place.folder / "mb.pid")]
    return Start([*command, "--nologfile", "--loglevel", "error"])


def _json_server(place: Place) -> Start:
    data = place.write("db.json", stubs.json_server(place.stubs))
    status = place.write("status.js", stubs.JSON_SERVER_STATUS)
    command = [_bin(place, "json-server", "json-server"), "--quiet", "--host", "127.0.0.1"]
    return Start([*command, "--port", str(place.port), "--middlewares", status, "--", data], _PRODUCTION)


_PRODUCTION = {"NODE_ENV": "production"}


def _script(place: Place, package: str, script: str) -> Start:
    """A script of our own that needs a package."""
    packages = str(place.cache.npm(package) / "node_modules")
    command = [program("node"), place.write("server.js", script)]
    return Start(command, {**_PRODUCTION, "NODE_PATH": packages})


def _bin(place: Place, package: str, name: str) -> str:
    return str(place.cache.npm(package) / "node_modules/.bin" / name)


def _httpbin(place: Place) -> Start:
    bind = f"--bind=127.0.0.1:{place.port}"
    return Start([str(place.cache.pypi("httpbin")), "-m", *_GTHREAD, bind, "httpbin:app"])


def _nginx(place: Place, locations: str) -> Start:
    configuration = place.write("nginx.conf", stubs.nginx(place.folder, place.port, locations))
    return Start([program("nginx"), "-e", "stderr", "-p", str(place.folder), "-c", configuration])


def _upstream(place: Place) -> Start:
    return _nginx(place, stubs.nginx_stubs([UPSTREAM_PATH]))


def _mockware_proxy(place: Place) -> Start:
    upstream = f"http://127.0.0.1:{place.upstream}"
    return _python(
        "mockware",
        "proxy",
        upstream,
        "--rules",
        _rules(place),
        "--port",
        str(place.port),
        "--log-level=warning",
    )


SERVERS: dict[str, Server] = {
    UNIT: Server("raw ASGI app, uvicorn", lambda p: _python(*_uvicorn(p, "raw")), many=False),
    "granian": Server("raw ASGI app, granian", lambda p: _python(*_granian(p, "raw")), many=False),
    "mockware-serve": Server(
        "mockware serve",
        lambda p: _mockware(p, "serve", "--rules", _rules(p)),
        ours=True,
    ),
    "mockware-status": Server(
        "mockware serve, /status/202",
        lambda p: _mockware(p, "serve"),
        many=False,
        ours=True,
    ),
    "mockware-granian": Server(
        "mockware.wrap(app), granian", lambda p: _python(*_granian(p, "wrapped"), **_on(p)), ours=True
    ),
    "mockware-uvicorn": Server(
        "mockware.wrap(app), uvicorn", lambda p: _python(*_uvicorn(p, "wrapped"), **_on(p)), ours=True
    ),
    "nginx": Server("nginx, return 202", lambda p: _nginx(p, stubs.nginx_stubs(stubs.paths(p.stubs)))),
    "fastapi": Server(
        "FastAPI, uvicorn", lambda p: _python(*_uvicorn(p, "fastapi_app"), **{STUBS: str(p.stubs)})
    ),
    "flask": Server(
        "Flask, gunicorn",
        lambda p: _python(
            *_GTHREAD,
            f"--bind=127.0.0.1:{p.port}",
            "tests.bench.servers.apps:flask_app",
            **{STUBS: str(p.stubs)},
        ),
    ),
    "express": Server("Express", lambda p: _script(p, "express", stubs.express(p.stubs, p.port))),
    "mockserver": Server("MockServer", _mockserver),
    "wiremock": Server("WireMock", _wiremock),
    "mountebank": Server("mountebank", _mountebank),
    "prism": Server("Prism", _prism),
    "json-server": Server("json-server", _json_server),
    "mockoon": Server("Mockoon", _mockoon),
    "httpbin": Server("httpbin, gunicorn", _httpbin, many=False, empty=True),
    UPSTREAM: Server("nginx, asked directly", _upstream, many=False, proxy=True),
    "nginx-proxy": Server(
        "nginx proxy", lambda p: _nginx(p, stubs.nginx_proxy(p.upstream)), many=False, proxy=True
    ),
    PROXY_UNIT: Server(
        "http-proxy (npm)",
        lambda p: _script(p, "http-proxy", stubs.http_proxy(p.upstream, p.port)),
        many=False,
        proxy=True,
    ),
    "mockware-proxy": Server("mockware proxy", _mockware_proxy, ours=True, proxy=True),
}


def path_for(name: str, count: int) -> str:
    """What a server is asked for; the proxies, for what the upstream has and no rule of theirs matches."""
    if name in ("httpbin", "mockware-status"):
        return f"/status/{stubs.STATUS}"
    if SERVERS[name].proxy:
        return UPSTREAM_PATH
    return stubs.asked(count)
