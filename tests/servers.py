"""The harness of the server matrix: starts the servers of `tests/server_table.py`, watches and stops them.

What belongs here: real server programs, each in a process of its own on a free port, their output, and the
decorators that run a test on all of them. A program that is missing is a failure which names the line that
installs it, never a skip.
"""

import atexit
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable
from typing import IO, Any, Concatenate, ParamSpec, Self

import pytest
from tests import rawhttp
from tests.rawhttp import PATIENCE_S, Connection, Headers, Response
from tests.server_table import ROOT, TABLE, Deviation, Server

_INSTALL = "all servers of the matrix are installed by: pip install 'mockware[dev]'"
START_S = 30.0  # for a server to listen; a failure bound, most need half a second
STOP_S = 5.0  # for it to end after SIGTERM; then it is killed


class Log:
    """The output of a server, read by a thread as it comes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._text = ""
        self._grown = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 1 << 16):
                with self._grown:
                    self._text += data.decode(errors="backslashreplace")
                    self._grown.notify_all()

    @property
    def text(self) -> str:
        with self._grown:
            return self._text

    @property
    def mark(self) -> int:
        """The place where the output ends now, for `since`."""
        return len(self.text)

    def wait(self, pattern: str, *, since: int = 0, within_s: float = PATIENCE_S) -> re.Match[str] | None:
        """The first match of the pattern after the mark; None where the time passes without one."""
        with self._grown:
            return self._grown.wait_for(lambda: re.search(pattern, self._text[since:]), within_s)

    def finish(self) -> None:
        self._thread.join(STOP_S)


class Running:
    """A server program that was started."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.port = server, _free_port()
        places = {"port": str(self.port), "scripts": sysconfig.get_path("scripts")}
        command = [part.format(**places) for part in server.command]
        env = {name: value for name, value in os.environ.items() if not name.startswith("MOCKWARE")}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        env["MATRIX_APP"] = f"{server.kind}:{name}"
        if name == "mounted":
            command[-1:-1] = server.mount  # some read no options after the app
            env |= {"MATRIX_APP": f"{server.kind}:wrap", "MATRIX_MOUNT": server.dispatcher}
        if shutil.which(command[0]) is None:
            raise AssertionError(f"{command[0]} is missing; {_INSTALL}")
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,  # so that its workers can be ended with it
        )
        assert self._process.stdout is not None
        self.log = Log(self._process.stdout)

    def listens(self) -> bool:
        """Wait until it accepts connections; False where it ended before."""
        deadline = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return True
            # Nobody announces a listening socket; a line of output is the nearest there is to it.
            self.log.wait(r"\S", since=self.log.mark, within_s=0.05)
        return False

    def terminate(self) -> None:
        self._process.terminate()

    def stop(self) -> None:
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.log.finish()

    def connect(self, *, receive_buffer_bytes: int | None = None) -> Connection:
        return Connection(self.port, receive_buffer_bytes=receive_buffer_bytes)

    def talk(self) -> "Talk":
        return Talk(self)

    def deviates(self, deviation: Deviation) -> bool:
        return deviation in self.server.deviations


class Talk:
    """Requests one after the other, on one connection where the server keeps it open.

    Each answer must be right to the byte, and the talk ends with one more request to the app, so that
    stray bytes of any answer spoil the next one and are seen.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                last = self.ask("GET", "/hello")
                assert (last.status, last.body) == (200, b"hello\n"), last
        finally:
            self._hang_up()

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes | None = None) -> Response:
        return self.send(method, rawhttp.request(method, target, headers, body))

    def send(self, method: str, *pieces: bytes, last: bool = False) -> Response:
        """Send the pieces of one request; `last` says that the answer must end the connection."""
        if self._connection is None:
            self._connection = self._running.connect()
        self._connection.send(*pieces)
        response = self._connection.response(method)
        deviates = self._running.deviates
        ends = (
            last
            or deviates("one request per connection")
            or (deviates("closes without a length") and not response.all("content-length"))
            or (deviates("closes after 413") and response.status == 413)
        )
        assert response.closes == ends, f"should close: {ends}; {response.raw[:500]!r}"
        if response.closes:
            self._connection.at_end()
            self._hang_up()
        return response

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.leave()
            self._connection = None


class Fleet:
    """One server with each of its apps; one fleet is up at a time.

    What is needed together is started together, when it is first asked for.
    """

    _up: "Fleet | None" = None

    def __init__(self, server: Server) -> None:
        self.server = server
        self._running: dict[str, Running] = {}

    @property
    def wrapped(self) -> Running:
        """The app under `mockware.wrap`, which is what most tests are about."""
        return self._get("wrap", of=("wrap",))

    @property
    def bare(self) -> Running:
        """The app as it is."""
        return self._get("bare", of=("wrap", "bare"))

    @property
    def by_class(self) -> Running:
        """The app under the class for its interface."""
        return self._get("class", of=_WAYS)

    @property
    def wrong(self) -> Running:
        """An app of the other interface, under the class for that."""
        return self._get("wrong", of=_WAYS)

    @property
    def mounted(self) -> Running:
        """The wrapped app below /mount."""
        return self._get("mounted", of=_WAYS)

    @property
    def faulty(self) -> Running:
        """The app under `mockware.wrap` with rules that go wrong, and with short silences."""
        return self._get("faults", of=("faults",))

    @property
    def output(self) -> str:
        return "\n".join(
            f"---- output of {self.server}, {name}\n{this.log.text[-8000:]}"
            for name, this in self._running.items()
        )

    def _get(self, name: str, *, of: Iterable[str]) -> Running:
        if Fleet._up is not self:
            Fleet.stop()
            Fleet._up = self
        if name not in self._running:
            missing = [each for each in of if each not in self._running]
            self._running |= {each: Running(self.server, each) for each in missing}
            for each in missing:
                self._await(each)
        return self._running[name]

    def _await(self, name: str) -> None:
        for _ in range(3):  # another program may have taken the free port before the server did
            if self._running[name].listens() or name == "wrong":  # which may end a server at once
                return
            self._running[name].stop()
            self._running[name] = Running(self.server, name)
        raise AssertionError(f"{self.server} does not start; {_INSTALL}")

    @classmethod
    def stop(cls) -> None:
        """Stop whatever is up."""
        if cls._up is not None:
            running = cls._up._running
            for this in running.values():
                this.terminate()
            for this in running.values():
                this.stop()
            running.clear()
            cls._up = None


_WAYS = ("class", "wrong", "mounted")
atexit.register(Fleet.stop)

P = ParamSpec("P")
Test = Callable[Concatenate[Fleet, P], None]


def on(condition: Callable[[Server], bool]) -> Callable[[Test[P]], Any]:
    """Run a test on the servers of the table that meet the condition; a failure shows their output."""
    fleets = [fleet for fleet in _FLEETS if condition(fleet.server)]

    def decorate(test: Test[P]) -> Any:
        @functools.wraps(test)
        def shown(fleet: Fleet, *args: P.args, **kwargs: P.kwargs) -> None:
            try:
                test(fleet, *args, **kwargs)
            except BaseException as error:
                error.add_note(fleet.output)
                Fleet.stop()  # what failed one test shall not fail the next
                raise

        # The scope makes pytest run all tests of one server together.
        return pytest.mark.parametrize("fleet", fleets, ids=lambda f: f.server.name, scope="session")(shown)

    return decorate


_FLEETS = [Fleet(server) for server in TABLE]
on_every_server = on(lambda server: True)


def _free_port() -> int:
    """A port below the kernel's own range for clients (32768 on Linux), free at this moment."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            probe.bind(("127.0.0.1", port))
            return port
