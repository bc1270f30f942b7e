"""The commands as users start them: programs of their own, whose output is read as it comes.

What belongs here: starting, watching and ending a program. What never does: expectations about one.
Nothing is waited for by sleeping; a wait ends with a line of output, with a connection, or as a failure.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self

import mockware

PATIENCE_S = 30.0  # a failure bound; most waits end within a second
SOURCE = str(Path(mockware.__file__).parents[1])


def environ(**changed: str) -> dict[str, str]:
    """This process's environment without anything of mockware's or granian's, and with `changed`."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MOCKWARE", "_MOCKWARE", "GRANIAN"))
    }
    path = os.pathsep.join(filter(None, [SOURCE, os.environ.get("PYTHONPATH")]))
    # Without cached bytecode, a module that changes twice within a second is always seen.
    return {**clean, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **changed}


def run(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `mockware` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mockware", *arguments],
        cwd=cwd,
        env=dict(env or environ()),
        input=text or "",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Program:
    """A running `mockware`, or another module, with stdout and stderr as one text."""

    def __init__(
        self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, module: str = "mockware"
    ) -> None:
        self._text = ""
        self._grown = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=cwd,
            env=dict(env or environ()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a Ctrl-C can be sent to all of it, as a terminal does
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while data := os.read(stream.fileno(), 1 << 16):
                with self._grown:
                    self._text += data.decode(errors="backslashreplace")
                    self._grown.notify_all()
        with self._grown:
            self._grown.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(PATIENCE_S)
        if error is not None:
            error.add_note(f"---- its output\n{self._text[-8000:]}")

    @property
    def text(self) -> str:
        with self._grown:
            return self._text

    def wait_for(self, pattern: str, *, since: int = 0, within_s: float = PATIENCE_S) -> re.Match[str]:
        """The first match of `pattern` in the output behind `since`."""
        with self._grown:
            found = self._grown.wait_for(
                lambda: re.search(pattern, self._text[since:], re.MULTILINE), within_s
            )
        assert found, f"no {pattern!r} within {within_s} s"
        return found

    def listens_on(self, port: int) -> None:
        """Wait until it accepts connections."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port)).close()
                return
            assert self._process.poll() is None, f"ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "does not listen"
            with self._grown:  # a line of output is the nearest there is to an announcement
                self._grown.wait(0.02)

    def terminate(self) -> None:
        """SIGTERM for it alone, as a supervisor sends it."""
        self._process.terminate()

    def interrupt(self) -> int:
        """Ctrl-C: SIGINT for the whole group, as a terminal sends it. Returns the exit code."""
        os.killpg(self._process.pid, signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end, and for that of all its output. Returns the exit code."""
        code = self._process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@contextlib.contextmanager
def serving(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, command: str = "run"
) -> Iterator[tuple[Program, str]]:
    """`mockware run`, or another command that serves, on a free port, once it listens, and its base URL."""
    port = free_port()
    with Program(command, *arguments, "--port", str(port), cwd=cwd, env=env) as program:
        program.listens_on(port)
        scheme = "https" if "--ssl-certificate" in arguments else "http"
        yield program, f"{scheme}://127.0.0.1:{port}"
