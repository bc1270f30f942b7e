"""Real servers with one worker, each in processes of its own, and the CPU time that those take.

Law: a server is started with its defaults, its access log aside, on a free loopback port, and is
stopped by its own process id. What does not start says why.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_START_S, _STOP_S = 60.0, 5.0

_GRANIAN = ("granian", "--host=127.0.0.1", "--workers=1", "--http=1", "--log-level=warning", "--port={port}")
SERVERS = {
    "uvicorn, httptools": ("asgi", ("uvicorn", "--http=httptools", "--no-access-log", "--port={port}")),
    "granian, ASGI": ("asgi", (*_GRANIAN, "--interface=asgi", "--no-ws")),
    "granian, WSGI": ("wsgi", (*_GRANIAN, "--interface=wsgi", "--blocking-threads=1")),
    "waitress": ("wsgi", ("waitress", "--listen=127.0.0.1:{port}", "--threads=1")),
}


class Server(NamedTuple):
    port: int
    process: int


@contextlib.contextmanager
def serve(server: str, app: str) -> Iterator[Server]:
    """This app on a running server; `app` is a name of `wire_apps` without its interface."""
    side, command = SERVERS[server]
    port = free_port()
    words = [word.format(port=port) for word in command]
    words = [sys.executable, "-m", *words, f"tests.bench.wire_apps:{app}_{side}_app"]
    with started(server, words, port, ready=lambda: listens(port)) as running:
        yield running


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def started(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    ready: Callable[[], bool],
    environ: Mapping[str, str] = MappingProxyType({}),
    folder: Path = ROOT,
    start_s: float = _START_S,
) -> Iterator[Server]:
    """A program that serves at this port, in this folder; `environ` is added to this process's."""
    whole = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environ}
    with TemporaryFile() as log:
        process = subprocess.Popen(
            command, cwd=folder, env=whole, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + start_s
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(
                        f"{name} did not start:\n{log.read().decode(errors='replace')[-2000:]}"
                    )
                time.sleep(0.05)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # its workers with it
                process.wait()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def cpu_ns(process: int) -> int:
    """CPU time of a process with all its threads, dead ones too, and of its children."""
    # How Linux numbers the CPU clock of a process (clock_getcpuclockid(3)).
    own = time.clock_gettime_ns((~process << 3) | 2)
    return own + sum(cpu_ns(child) for child in children(process))


def children(process: int) -> Iterator[int]:
    # A child belongs to the thread that started it, and threads come and go.
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, children.read_text().split())
