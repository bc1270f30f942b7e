"""What reaches a terminal: hostile text escaped, colour only where somebody looks."""

import io
import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest
from tests.commands import PATIENCE_S, environ

from mockware.terminal import Terminal, escaped


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 中", "plain, é, 中"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x9b2J", "\\x9b2J"),  # the one-byte form of ESC [
        ("\u202egnp.exe", "\\u202egnp.exe"),  # right-to-left override
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("", ""),
    ],
)
def test_what_could_steer_a_terminal_is_shown_by_its_escape(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_a_terminal_that_wants_it(environment: Mapping[str, str], coloured: bool) -> None:
    screen = Screen()
    Terminal(screen, environment).line(("red", "error:"), " no")
    assert screen.getvalue() == ("\x1b[31merror:\x1b[0m no\n" if coloured else "error: no\n")


def test_a_file_gets_no_colour() -> None:
    file = io.StringIO()
    Terminal(file, {}).line(("red", "error:"), " no")
    assert file.getvalue() == "error: no\n"


def test_styled_text_is_escaped_as_well() -> None:
    screen = Screen()
    Terminal(screen, {}).line(("bold", "\x1b[2J"))
    assert screen.getvalue() == "\x1b[1m\\x1b[2J\x1b[0m\n"


def test_a_block_keeps_its_lines_and_nothing_else_that_steers() -> None:
    file = io.StringIO()
    Terminal(file, {}).block("a\n\n\tb\x07", indent="  ")
    assert file.getvalue() == "  a\n\n      b\\x07\n"


def test_a_stream_that_lacks_a_character_gets_its_escape() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Terminal(file, {}).line("§ 中")
    file.flush()
    assert file.buffer.getvalue() == b"\\xa7 \\u4e2d\n"


def test_commands_are_coloured_on_a_real_terminal_only() -> None:
    def shown(**changed: str) -> bytes:
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen:
            program = subprocess.Popen(
                [sys.executable, "-m", "mockware", "nonsense"],
                env=environ(TERM="xterm", **changed),
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
            )
            os.close(theirs)
            text = b""
            try:
                while piece := screen.read(4096):
                    text += piece
            except OSError:  # how Linux says that the other side of a terminal is closed
                pass
            assert program.wait(PATIENCE_S) == 2
        return text

    assert shown().startswith(b"\x1b[31merror:\x1b[0m 'nonsense' is no command")
    assert shown(NO_COLOR="1").startswith(b"error: 'nonsense'")
