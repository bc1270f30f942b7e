"""The competitors' versions, and their installation into a folder of the bench's own.

Law: what is pinned is pinned here and nowhere else. Each is installed once, by the ordinary client of its
registry, into a folder named after its version; nothing is installed on the system: what Debian packages
(wrk, nginx, Node.js, Java, Maven) has to be there, and is printed as it was found. Only the competitors
themselves are pinned, not what they depend on.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

NPM = {
    "@mockoon/cli": "9.9.0",
    "@stoplight/prism-cli": "5.16.0",
    "mountebank": "2.9.1",
    "json-server": "0.17.4",
    "express": "5.3.0",
    "http-proxy": "1.18.1",
}
# Group, artifact, version and what follows it: MockServer comes with all that it needs only as a classifier.
MAVEN = {
    "wiremock": ("org.wiremock", "wiremock-standalone", "3.13.2", ""),
    "mockserver": ("org.mock-server", "mockserver-netty", "7.6.0", ":jar:jar-with-dependencies"),
}
PYPI = {"httpbin": ["httpbin[mainapp]==0.10.2", "gunicorn==23.0.0"]}

# Where Debian has each program.
PROGRAMS = {
    "wrk": "wrk",
    "nginx": "nginx",
    "node": "nodejs",
    "npm": "npm",
    "java": "default-jre-headless",
    "mvn": "maven",
    "taskset": "util-linux",
}
# From this environment, at whatever version it has.
_OF_HERE = (
    "mockware",
    "uvicorn",
    "httptools",
    "uvloop",
    "granian",
    "fastapi",
    "flask",
    "gunicorn",
    "aiohttp",
)
_ASKED = {
    "wrk": ("wrk", "-v"),
    "nginx": ("nginx", "-v"),
    "node": ("node", "--version"),
    "java": ("java", "-version"),
}
_PATIENCE_S = 900.0


class NotInstalledError(Exception):
    """Says what is missing and how to get it."""


def default_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mockware-bench")


def program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found is None:
        raise NotInstalledError(f"there is no {name} on PATH: apt-get install {PROGRAMS[name]}")
    return found


def found() -> str:
    """What is compared, in lines for a person."""
    lines = [f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}"]
    here = []
    for name in _OF_HERE:
        with contextlib.suppress(PackageNotFoundError):
            here.append(f"{name} {version(name)}")
    lines.append(", ".join(here))
    pinned = [f"{name} {number}" for name, number in NPM.items()]
    pinned += [f"{artifact} {number}" for _, artifact, number, _ in MAVEN.values()]
    pinned += [spec.replace("==", " ") for specs in PYPI.values() for spec in specs]
    lines.append(", ".join(pinned))
    lines.append(", ".join(f"{name} {_said(*command)}" for name, command in _ASKED.items()))
    return "\n".join(lines)


def _said(name: str, option: str) -> str:
    try:
        done = subprocess.run([program(name), option], capture_output=True, text=True, check=False)
    except NotInstalledError:
        return "is not installed"
    number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return number[0] if number else "of an unknown version"


class Cache:
    """Installs what is asked for, unless a run before has done so."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def npm(self, name: str) -> Path:
        """The folder of an npm package's installation, which has `node_modules` in it."""
        spec = f"{name}@{NPM[name]}"

        def fill(folder: Path) -> None:
            (folder / "package.json").write_text(json.dumps({"private": True}))
            _run([program("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error", spec], folder)

        program("node")
        return self._once(spec, fill)

    def maven(self, name: str) -> Path:
        """The jar that has everything in it."""
        group, artifact, number, rest = MAVEN[name]

        def fill(folder: Path) -> None:
            goal = ["dependency:copy", f"-Dartifact={group}:{artifact}:{number}{rest}"]
            _run([program("mvn"), "-q", "-B", *goal, f"-DoutputDirectory={folder}"], folder)

        program("java")
        (jar,) = self._once(f"{artifact}@{number}", fill).glob("*.jar")
        return jar

    def pypi(self, name: str) -> Path:
        """The interpreter of an environment that has this package."""

        def fill(folder: Path) -> None:
            _run([sys.executable, "-m", "venv", "--copies", str(folder / "venv")], folder)
            _run([str(folder / "venv/bin/python"), "-m", "pip", "install", "-q", *PYPI[name]], folder)

        # An environment belongs to the Python that made it.
        spec = f"{PYPI[name][0]}-py{sys.version_info.major}.{sys.version_info.minor}"
        return self._once(spec, fill) / "venv/bin/python"

    def _once(self, spec: str, fill: Callable[[Path], None]) -> Path:
        folder = self._folder / spec.replace("/", "+")
        done = folder / "installed"
        if not done.exists():
            print(f"installing {spec} into {folder}", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            fill(folder)
            done.touch()
        return folder


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=_PATIENCE_S,
    )  # fmt: skip
    if done.returncode:
        raise NotInstalledError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
