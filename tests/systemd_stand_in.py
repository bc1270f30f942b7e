"""`systemctl` and `journalctl` for a reader of the guides where systemd is not process 1.

Law: the unit file that was installed is obeyed line by line, and a line that nobody obeys is an error. It is
read at `daemon-reload` and not before; the environment file at each start. A service of `Type=notify` has
started when it says so on its socket. What the real systemd thinks of the file, `systemd-analyze verify` says
in the guide.

Honest doubt: the user is this one, whatever DynamicUser says, and sandboxing is systemd's to test.
"""

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

HOME = Path(os.environ.get("STAND_IN_HOME", "."))
ROOT = HOME / "root"  # what is below / for the reader
_START_S = 90.0  # TimeoutStartSec's default
_FOLLOWED = {
    *("Type", "DynamicUser", "StateDirectory", "WorkingDirectory", "Environment", "EnvironmentFile"),
    *("ExecStart", "ExecReload", "KillMode", "TimeoutStopSec", "Restart"),
}


class Unit:
    """A unit as it was at the last `daemon-reload`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._settings: dict[str, list[str]] = {}
        section = ""
        for line in (HOME / "loaded" / f"{name}.service").read_text().splitlines():
            if heading := re.fullmatch(r"\[(\w+)\]", line):
                section = heading[1]
            elif section == "Service" and line:
                key, _, value = line.partition("=")
                assert key in _FOLLOWED, f"nobody follows {key}="
                self._settings.setdefault(key, []).append(value)
        assert self._one("Type") == "notify"
        assert self._one("KillMode") == "mixed"

    def _one(self, key: str) -> str:
        (value,) = self._settings[key]
        return value

    @property
    def log(self) -> Path:
        return HOME / f"{self.name}.journal"

    @property
    def _pid_file(self) -> Path:
        return HOME / f"{self.name}.pid"

    def _environment(self) -> dict[str, str]:
        # systemd gives a service nothing of whoever started it.
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LANG": "C.UTF-8"}
        for assignments in self._settings["Environment"]:
            env |= dict(word.split("=", 1) for word in shlex.split(assignments))
        for name in self._settings["EnvironmentFile"]:
            path = Path(name.removeprefix("-"))
            if path.exists() or not name.startswith("-"):
                assert path.stat().st_mode & 0o077 == 0, f"others may read the key in {path}"
                lines = path.read_text().splitlines()
                env |= dict(line.split("=", 1) for line in lines if line and line[0] not in "#;")
        return env

    def start(self) -> None:
        state = ROOT / "var/lib" / self._one("StateDirectory")
        state.mkdir(parents=True, exist_ok=True)
        notify = HOME / "notify"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, self.log.open("ab") as log:
            listener.bind(str(notify))
            listener.settimeout(_START_S)
            process = subprocess.Popen(
                shlex.split(self._one("ExecStart")),
                cwd=self._one("WorkingDirectory"),
                env={**self._environment(), "NOTIFY_SOCKET": str(notify), "STATE_DIRECTORY": str(state)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            self._pid_file.write_text(str(process.pid))
            while b"READY=1" not in listener.recv(4096):
                pass

    def stop(self) -> None:
        if not self._pid_file.exists():
            return
        pid = int(self._pid_file.read_text())
        self._pid_file.unlink()
        with contextlib.suppress(ProcessLookupError):
            ended = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)  # KillMode=mixed: the main process alone
            if not select.select([ended], [], [], float(self._one("TimeoutStopSec")))[0]:
                os.killpg(pid, signal.SIGKILL)
                raise AssertionError(f"{self.name} had to be killed")

    def reload(self) -> None:
        command = self._one("ExecReload").replace("$MAINPID", self._pid_file.read_text())
        subprocess.run(shlex.split(command), check=True)


def systemctl(words: list[str]) -> None:
    match words:
        case ["daemon-reload"]:
            (HOME / "loaded").mkdir(exist_ok=True)
            for path in (ROOT / "etc/systemd/system").glob("*.service"):
                (HOME / "loaded" / path.name).write_text(path.read_text())
        case ["enable", "--now", name]:
            assert "WantedBy=multi-user.target" in (HOME / "loaded" / f"{name}.service").read_text()
            Unit(name).start()
        case ["restart", name]:
            Unit(name).stop()
            Unit(name).start()
        case ["reload", name]:
            Unit(name).reload()
        case ["stop", name]:
            Unit(name).stop()
        case _:
            raise SystemExit(f"nobody follows systemctl {' '.join(words)}")


def journalctl(words: list[str]) -> None:
    match words:
        case ["-u", name, "-o", "cat", "-g", pattern]:
            lines = Unit(name).log.read_text().splitlines(keepends=True)
            sys.stdout.writelines(line for line in lines if re.search(pattern, line))
        case _:
            raise SystemExit(f"nobody follows journalctl {' '.join(words)}")


if __name__ == "__main__":
    {"systemctl": systemctl, "journalctl": journalctl}[sys.argv[1]](sys.argv[2:])
