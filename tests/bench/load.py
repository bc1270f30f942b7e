"""What puts load on a server: wrk where it is on PATH, or else `load_client` in a second process.

Law: the CPU time of the server is read when the connections are open and again when all answers are
there, so that neither connecting nor the client's own start is in it (wrk connects within its second).
"""

from __future__ import annotations

import contextlib
import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from .load_client import CONNECTIONS
from .serving import ROOT, Server, cpu_ns

_STOP_S = 5.0


class Sample(NamedTuple):
    """Of one burst: the server's CPU time for a request, and requests per second."""

    cpu_us: float
    per_s: float


class Load(NamedTuple):
    """`run` puts a request to a server so many times; `slow`: so often, or for a whole second."""

    run: Callable[[Server, bytes, int], Sample]
    slow: bool

    def rounds(self, wanted: int) -> int:
        return min(wanted, max(5, wanted // 8)) if self.slow else wanted


@contextlib.contextmanager
def load_generator() -> Iterator[Load]:
    if wrk := shutil.which("wrk"):
        yield Load(lambda server, request, count: _wrk(wrk, server, request), slow=True)
        return
    client = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.load_client"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    questions, answers = client.stdin, client.stdout
    if questions is None or answers is None:
        raise RuntimeError("the client has no pipes")

    def ask(question: object) -> str:
        questions.write(json.dumps(question) + "\n")
        questions.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError("the client has failed")
        return answer

    def run(server: Server, request: bytes, count: int) -> Sample:
        ask([server.port, request.decode("latin-1"), count])
        before = cpu_ns(server.process)
        took_s = float(ask("go"))
        return Sample((cpu_ns(server.process) - before) / count / 1000, count / took_s)

    try:
        yield Load(run, slow=False)
    finally:
        questions.close()
        client.wait(_STOP_S)


def _wrk(wrk: str, server: Server, request: bytes) -> Sample:
    first, *fields = request.decode("latin-1").split("\r\n")[:-2]
    headers = [word for field in fields for word in ("--header", field)]
    burst = run_wrk([wrk, *headers], server, first.split()[1], connections=CONNECTIONS, seconds=1)
    if burst.failed:
        raise RuntimeError(f"wrk says:\n{burst.said}")
    return burst.sample


class Burst(NamedTuple):
    """What wrk saw of a server; `failed`: answers of 400 and more, and connections that broke."""

    answered: int
    failed: int
    sample: Sample
    client_us: float
    said: str


def run_wrk(wrk: Sequence[str], server: Server, path: str, *, connections: int, seconds: int) -> Burst:
    command = [*wrk, "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    # Longer than any answer takes: one that is late is late, and not lost.
    command += ["--timeout=60s", f"http://127.0.0.1:{server.port}{path}"]
    client, before = _children_cpu_s(), cpu_ns(server.process)
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu, client = cpu_ns(server.process) - before, _children_cpu_s() - client
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", done)
    if found is None:
        raise RuntimeError(f"wrk says:\n{done}")
    count, took_s = int(found[1]), float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]]
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done)
    failed = int(wrong[1]) if wrong else 0
    failed += sum(map(int, broken.groups())) if broken else 0
    each = max(count, 1)
    return Burst(count, failed, Sample(cpu / each / 1000, count / took_s), client / each * 1e6, done)


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
