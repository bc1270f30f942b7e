"""The eight frameworks for real: each prepared by its own toolchain and started as a program of its own.

What belongs here: to install a toolchain that is missing, to build a project that is given as its files, to
start it on a free port of 127.0.0.1 and to end it. What never does: expectations about what it answers.
What cannot be had is a failure with the tool's own words, never a skip; only a .NET SDK, which few machines
have and no package here brings, may be missing, and that is said loudly.

A project takes what it does not bring itself from the example of its framework (`package.json`, `pom.xml`,
`go.mod`, Rails' configuration), so that each dependency is named in one place: in `examples`. Downloads stay
in each tool's own cache. Built projects stay in the user's cache folder, under a digest of their files, so
that a second run builds nothing; the folder may be deleted at any time.
"""

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.commands import environ, free_port
from tests.servers import STOP_S, Log

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
START_S = 120.0  # a failure bound: Spring Boot needs three seconds, and sixty on a machine with ten helpers
BUILD_S = 900.0  # a failure bound: a first build downloads its compiler's world
KEPT = 12  # built projects a framework; a jar of Spring Boot has 22 MB

Files = Mapping[str, str | bytes]


class Program:
    """A running project: its address, and what it has said so far."""

    def __init__(self, command: str, *, folder: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            cwd=folder,
            env=environ(PORT=str(self.port), PATH=_PATH, **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # so that its workers can be ended with it
        )
        assert self._process.stdout is not None
        self._log = Log(self._process.stdout)

    @property
    def output(self) -> str:
        return self._log.text

    def listens(self) -> bool:
        """Wait until it accepts connections; False where it ended before."""
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            # Nobody announces a listening socket; a line of output is the nearest there is to it.
            self._log.wait(r"\S", since=self._log.mark, within_s=0.05)
        return False

    def stop(self) -> None:
        # All of it: `npm start` is a parent only.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.finish()


@dataclass(frozen=True)
class Framework:
    """How a framework's projects are made ready and started, in the words of `examples/README.md`.

    Of the shell `commands`, which run in the project's folder, the last one starts it and those before it
    build it, with the settings in `env`, which only make them quicker or more quiet. `kit` names the files
    that a project takes from `examples/<name>` where it does not bring them. `version` prints what a built
    project may not outlive.
    """

    name: str
    commands: tuple[str, ...]
    kit: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    version: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name

    def files(self, own: Files) -> dict[str, bytes]:
        kit = {name: (EXAMPLES / self.name / name).read_bytes() for name in self.kit}
        return kit | {name: data.encode() if isinstance(data, str) else data for name, data in own.items()}


@contextlib.contextmanager
def project(framework: str, files: Files, **env: str) -> Iterator[Program]:
    """The project of these files, built and running; its output is added to whatever fails meanwhile.

    What must be in `files`, by the framework's name:

        django       main.py with the WSGI application `application`
        fastapi      main.py with `app`
        flask        main.py with `app`
        express      server.js, an ES module that listens on 127.0.0.1 and the port in PORT; `ws` is there too
        spring-boot  src/main/java/example/*.java, controllers of package `example`, for its Application.java
        go           main.go, package main, on 127.0.0.1 and the port in PORT
        rails        config/routes.rb and app/controllers/*.rb
        aspnet-core  Program.cs, on 127.0.0.1 and the port in PORT
    """
    kind = FRAMEWORKS[framework]
    _installed(framework)
    folder = _built(kind, kind.files(files))
    with _running(kind, folder, kind.commands[-1], env) as program:
        yield program


@contextlib.contextmanager
def example(framework: str, **env: str) -> Iterator[Program]:
    """The app in `examples`, running, without a mock in front of it."""
    if command := PYTHON_EXAMPLES.get(framework):
        with _running(FRAMEWORKS[framework], ROOT, command, env) as program:
            yield program
        return
    root = EXAMPLES / framework
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sources(framework)}
    with project(framework, files, **env) as program:
        yield program


def sources(framework: str) -> list[Path]:
    """The files of the app in `examples`, without what a user's own run leaves there."""
    root = EXAMPLES / framework
    left = {
        "node_modules",
        "target",
        "server",
        "bin",
        "obj",
        "log",
        "tmp",
        "package-lock.json",
        "Gemfile.lock",
    }
    found = sorted(path for path in root.rglob("*") if not left & set(path.relative_to(root).parts))
    return [path for path in found if path.is_file()]


@contextlib.contextmanager
def _running(kind: Framework, folder: Path, command: str, env: Mapping[str, str]) -> Iterator[Program]:
    for _ in range(3):  # another program may take the free port first
        program = Program(command, folder=folder, env={**kind.env, **env})
        try:
            if program.listens():
                break
        except BaseException:
            program.stop()
            raise
        program.stop()
        if not _TAKEN.search(program.output):
            raise AssertionError(_failure(kind, program))
    else:
        raise AssertionError(_failure(kind, program))
    try:
        yield program
    except BaseException as error:
        error.add_note(f"---- output of {kind}\n{program.output[-8000:]}")
        raise
    finally:
        program.stop()


_TAKEN = re.compile("in use|EADDRINUSE")


def _failure(kind: Framework, program: Program) -> str:
    return f"{kind} does not start; it said:\n{program.output[-8000:]}"


# ---- building, once for the same files


def cache(*parts: str) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home.joinpath("mockware-tests", *parts)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    """One process at a time: several workers of pytest-xdist may come at once, and several test runs."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _built(kind: Framework, files: Mapping[str, bytes]) -> Path:
    recipe = [*kind.commands, _do(*kind.version) if kind.version else ""]
    digest = hashlib.sha256("\0".join(recipe).encode())
    for name, data in sorted(files.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    home = cache(kind.name)
    folder = home / digest.hexdigest()[:24]
    with alone(kind.name):
        if not folder.exists():
            scratch = Path(tempfile.mkdtemp(dir=home, prefix="new-"))
            try:
                for name, data in files.items():
                    path = scratch / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
                if kind.name == "express":
                    _npm(kind, scratch)
                else:
                    _build(kind, scratch)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        os.utime(folder)
        oldest_last = sorted(home.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for unused in oldest_last[KEPT:]:
            shutil.rmtree(unused, ignore_errors=True)
    return folder


def _build(kind: Framework, folder: Path) -> None:
    for command in kind.commands[:-1]:
        _do("sh", "-c", command, cwd=folder, **kind.env)


def _npm(kind: Framework, folder: Path) -> None:
    """The same dependencies are installed once, for all projects that name them."""
    wanted = (folder / "package.json").read_bytes()
    shared = cache("npm", hashlib.sha256(wanted).hexdigest()[:24])
    if not (shared / "complete").exists():
        (shared / "package.json").write_bytes(wanted)
        _build(kind, shared)
        (shared / "complete").touch()
    (folder / "node_modules").symlink_to(shared / "node_modules")


# ---- what a machine may lack


@functools.cache
def _installed(framework: str) -> None:
    """Every tool of the framework is here from now on."""
    if framework == "express":
        need("npm", "nodejs", "npm")
    elif framework == "spring-boot":
        need("javac", "default-jdk-headless")
        need("mvn", "maven")
    elif framework == "go":
        need("go", "golang-go")
    elif framework == "rails":
        need("puma", "ruby-rails", "puma")
    elif framework == "aspnet-core" and shutil.which("dotnet") is None:
        pytest.skip(
            "ASP.NET CORE IS NOT TESTED: there is no `dotnet` on this machine, and no package brings one"
        )


def need(program: str, *packages: str) -> None:
    with alone("apt"):
        if shutil.which(program) is not None:
            return
        if shutil.which("apt-get") is None:
            pytest.fail(
                f"`{program}` is missing. Please install it; where there is Debian, it is in {packages}"
            )
        apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600"]
        if os.geteuid():
            apt = ["sudo", "-n", *apt]
        _do(*apt, "update")
        _do(*apt, "install", "-y", "--no-install-recommends", *packages, DEBIAN_FRONTEND="noninteractive")


def _do(*command: str, cwd: Path | None = None, **env: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environ(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        timeout=BUILD_S,
        check=False,
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-8000:]}", pytrace=False
        )
    return done.stdout


# This Python's own programs, and this Python, are the first to be found.
_PATH = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
_UVICORN = "uvicorn --host 127.0.0.1 --port $PORT --no-access-log"
# Threads, because a worker without them keeps no connection alive.
_GUNICORN = "gunicorn --bind 127.0.0.1:$PORT --threads 8"
# Started in a moment, for a moment.
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx512m"

PYTHON_EXAMPLES = {
    # ASGI, since Django's WSGI side reads no chunked upload.
    "django": f"{_UVICORN} examples.django_app:asgi_application",
    "fastapi": f"{_UVICORN} examples.fastapi_app:app",
    "flask": f"{_GUNICORN} examples.flask_app:app",
}

FRAMEWORKS = {
    kind.name: kind
    for kind in [
        Framework("django", (f"{_GUNICORN} main:application",)),
        Framework("fastapi", (f"{_UVICORN} main:app",)),
        Framework("flask", (f"{_GUNICORN} main:app",)),
        Framework(
            "express",
            ("npm install", "npm start"),
            kit=("package.json",),
            env={
                "npm_config_package_lock": "false",
                "npm_config_audit": "false",
                "npm_config_fund": "false",
                "npm_config_update_notifier": "false",
            },
            version=("node", "--version"),
        ),
        Framework(
            "spring-boot",
            ("mvn -q package", "java -jar target/app.jar"),
            kit=(
                "pom.xml",
                "src/main/resources/application.properties",
                "src/main/java/example/Application.java",
            ),
            env={"JAVA_TOOL_OPTIONS": _JAVA},
            version=("java", "-version"),
        ),
        Framework(
            "go", ("go build -o server", "./server"), kit=("go.mod", "go.sum"), version=("go", "version")
        ),
        Framework("rails", ("puma",), kit=("config.ru", "config/application.rb", "config/puma.rb")),
        Framework("aspnet-core", ("dotnet run",), kit=("app.csproj",)),
    ]
}
