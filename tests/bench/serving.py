"""Real servers with one worker, each in processes of its own, and the CPU time that those take.

Law: a server is started with its defaults, its access log aside, on a free loopback port, and is
stopped by its own process id. What does not start says why.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.format(port=port) for word in command]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words, f"tests.bench.wire_apps:{app}_{side}_app"],
            cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _START_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{server} did not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield Server(port, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def cpu_ns(process: int) -> int:
    """CPU time of a process with all its threads, dead ones too, and of its children."""
    # How Linux numbers the CPU clock of a process (clock_getcpuclockid(3)).
    own = time.clock_gettime_ns((~process << 3) | 2)
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return own + sum(cpu_ns(int(child)) for child in children)
