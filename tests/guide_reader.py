"""A reader of a guide who does all that it says, block by block, in a copy of the repository.

What belongs here: what a block's tag asks a reader to do, and that no block is left out. What never does:
what a guide is about. A tag stands behind the language, where pages show nothing of it:

    file=PATH   the block is the file below this folder, or a part of it
    run         in a shell, to its end, successfully; what a `console` block shows is what is printed, where
                a line of `...` stands for any lines, and a moment for any moment
    serve until WORDS
                in a shell, in the background, for as long as the guide lasts; these words, a regular
                expression, are waited for in what it says

The shell's folder and exported variables are kept from block to block. A guide says 8000 where a reader may
say another port, and /etc where this reader has a folder of his own: `instead` is put in their place, in the
commands and in the copied files alike, and taken back in what is printed.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.commands import environ
from tests.servers import Log

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ROOT / "examples" / "guides"
PATIENCE_S = 120.0  # a failure bound: a block may install packages on a busy machine
_STOP_S = 40.0  # a failure bound: the proxy drains for up to 30 s

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    tag: str
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks of a page. Raises AssertionError for code that is in no tagged block."""
    found = []
    for section in re.split(r"^(?=## )", page, flags=re.MULTILINE):
        title = section.partition("\n")[0].removeprefix("## ") if section.startswith("## ") else ""
        for fence in _FENCE.finditer(section):
            language, _, tag = fence["info"].partition(" ")
            followed = tag == "run" or tag.startswith(("serve until ", "file="))
            assert language, f"nobody follows a block without a language:\n{fence['text']}"
            assert followed, f"nobody follows the block ```{fence['info']}\n{fence['text']}"
            found.append(Block(title, language, tag, fence["text"]))
    assert page.count("```") == 2 * len(found), "a fence has no end, or no beginning of a line"
    indented = re.search(r"(?:^|\n)\n(?:    |\t)(?! *[-*\d])\S.*", _FENCE.sub("", page))
    assert indented is None, f"nobody follows what is indented: {indented and indented[0]}"
    return found


class Reader:
    """Follows `page` in a copy below `home`; `tools` are programs that the reader has, by name."""

    def __init__(
        self, page: str, home: Path, *, instead: Mapping[str, str], tools: Mapping[str, str] | None = None
    ) -> None:
        self._left = blocks((GUIDES / page).read_text("utf-8"))
        self._instead = dict(instead)
        self._state = home / "shell"
        self._state.mkdir()
        self._last: list[str] = []
        self._serving: list[tuple[subprocess.Popen[bytes], Log]] = []
        self.folder = self._copied(home / "clone", page.removesuffix(".md"))
        programs = _programs(home / "bin", tools or {})
        path = os.pathsep.join([str(programs), sysconfig.get_path("scripts"), os.environ["PATH"]])
        self._env = environ(PATH=path, STAND_IN_HOME=str(home), PIP_DISABLE_PIP_VERSION_CHECK="1")
        self._env["PIP_NO_COMPILE"] = "1"  # half the time, for what is started a few times
        for name in ("NO_PROXY", "no_proxy"):
            self._env[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost"]))
        # What a guide installs, it shall find, and nothing else; and it need not be compiled at each start.
        del self._env["PYTHONPATH"], self._env["PYTHONDONTWRITEBYTECODE"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as ends:
            for process, log in self._serving:
                ends.callback(log.finish)
                ends.callback(_end, process)
            for script in self._last:
                ends.callback(self.run, script)
        if error is not None:
            error.add_note(f"---- what was served\n{self.log()[-8000:]}")
        else:
            assert not self._left, f"nobody has followed {self._left[0]}"

    def at_the_end(self, script: str) -> None:
        """Has this run when the guide has been followed, or has failed."""
        self._last.append(script)

    def ours(self, text: str) -> str:
        """What the guide says, as this reader says it."""
        words = sorted(self._instead, key=len, reverse=True)
        found = "|".join(rf"(?<![\w./]){re.escape(word)}(?!\w)" for word in words)
        return re.sub(found, lambda word: self._instead[word[0]], text) if words else text

    def follow(self, section: str) -> None:
        """Does all that the next section with blocks says, which has this title; the first has none."""
        assert self._left, "the guide has ended"
        assert self._left[0].section == section, f"the next section is {self._left[0].section!r}"
        while self._left and self._left[0].section == section:
            block = self._left.pop(0)
            if block.tag.startswith("file="):
                shown = (GUIDES / block.tag.removeprefix("file=")).read_text("utf-8")
                assert f"\n{block.text}" in f"\n{shown}", f"the file does not say:\n{block.text}"
            elif block.tag.startswith("serve"):
                self._serve(self.ours(block.text), self.ours(block.tag.removeprefix("serve until ")))
            elif block.language == "console":
                self._converse(block.text)
            else:
                self.run(self.ours(block.text))

    def run(self, script: str) -> str:
        """Runs a script in the reader's shell, and returns what it prints."""
        number = len(list(self._state.glob("*.out")))
        printed, said = self._state / f"{number}.out", self._state / f"{number}.err"
        with printed.open("w") as out, said.open("w") as err:
            process = subprocess.Popen(self._shell(script, keep=True), stdout=out, stderr=err, **self._how())
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                _end(process)
        told = f"{script}\nended with {process.returncode}:\n{printed.read_text()}{said.read_text()}"
        assert process.returncode == 0, told
        return printed.read_text()

    def log(self) -> str:
        """What the programs that are being served have said."""
        return "".join(log.text for _, log in self._serving)

    def _serve(self, script: str, words: str) -> None:
        process = subprocess.Popen(
            self._shell(script), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self._how()
        )
        assert process.stdout is not None
        log = Log(process.stdout)
        self._serving.append((process, log))
        assert log.wait(words, within_s=PATIENCE_S), f"{script}\ndoes not say {words!r}"

    def _converse(self, text: str) -> None:
        for exchange in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*(?:\\|\|)\n)*.*\n", exchange)
            assert command
            printed = self.run(self.ours(command[0]))
            for theirs, own in self._instead.items():
                printed = printed.replace(own, theirs)
            shown = exchange[command.end() :]
            assert is_shown(shown, printed), f"$ {command[0]}prints\n{printed}\nand not\n{shown}"

    def _shell(self, script: str, *, keep: bool = False) -> list[str]:
        kept = self._state / "kept"
        head = f'[ ! -e "{kept}" ] || . "{kept}"\nset -euo pipefail\n'
        if keep:
            head += f'trap \'export -p > "{kept}"; printf "cd %q" "$PWD" >> "{kept}"\' EXIT\n'
        return ["bash", "-c", head + script]

    def _how(self) -> dict[str, Any]:
        return {
            "cwd": self.folder,
            "env": self._env,
            "stdin": subprocess.DEVNULL,
            "bufsize": 0,
            "start_new_session": True,  # so that what it starts can be ended with it
        }

    def _copied(self, clone: Path, name: str) -> Path:
        clone.mkdir(parents=True)
        unwanted = shutil.ignore_patterns("__pycache__", "node_modules", "wheels", "*.key", "test-results")
        for part in ("src", "examples/guides"):
            shutil.copytree(ROOT / part, clone / part, ignore=unwanted)
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, clone / part)
        guides = clone / "examples" / "guides"
        for path in guides.rglob("*"):
            if path.is_file():
                path.write_text(self.ours(path.read_text("utf-8")))
        return guides / name if (guides / name).is_dir() else guides


def is_shown(shown: str, printed: str) -> bool:
    """Whether this is what is printed, as far as it can be told before."""
    # curl -i prints the ends of lines as HTTP has them; a body may end without one.
    printed = _MOMENT.sub("<moment>", printed).replace("\r\n", "\n").rstrip("\n") + "\n"
    lines = (_MOMENT.sub("<moment>", shown).rstrip("\n") + "\n").splitlines(keepends=True)
    pattern = "".join(r"(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in lines)
    return re.fullmatch(pattern, printed) is not None


def _programs(folder: Path, tools: Mapping[str, str]) -> Path:
    folder.mkdir()
    for name, command in tools.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
    return folder


def stand_in(name: str) -> str:
    """The command of a stand-in for a tool that cannot be had here."""
    return f'env PYTHONPATH="{ROOT}" "{sys.executable}" -m tests.{name}_stand_in'


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
