"""What the commands write: escaped, and coloured only where somebody looks.

Law: every text may come from a hostile file, argument or app. A character that could move the cursor,
recolour the screen or turn the writing round is shown by its escape, so that nothing but this file's own
codes ever steers a terminal. Colour says nothing that the words do not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TextIO

Style = Literal["bold", "dim", "red", "green", "yellow"]

# ECMA-48 section 8.3.117, Select Graphic Rendition.
_CODES: dict[Style, int] = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}


def escaped(text: str) -> str:
    """`text` as one line: what is not printable (Unicode's controls, bidi marks, odd blanks) as `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


class Terminal:
    """A stream to write lines to. `environ` may forbid colour: NO_COLOR (no-color.org), TERM=dumb."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"

    def line(self, *parts: str | tuple[Style, str]) -> None:
        """One line, made of texts and styled texts."""
        self._stream.write("".join(map(self._shown, parts)) + "\n")

    def block(
        self, text: str, *, indent: str = "", style: Style | None = None, keep_tabs: bool = False
    ) -> None:
        """The lines of `text`, each escaped by itself; a tab is four blanks, or kept if it indents code."""
        for line in text.split("\n"):
            if keep_tabs and line.startswith("\t"):
                self._stream.write("\t" * (len(line) - len(line := line.lstrip("\t"))))
            shown = line.replace("\t", "    ")
            if not shown:
                self.line()
            elif style is None:
                self.line(indent, shown)
            else:
                self.line(indent, (style, shown))

    def _shown(self, part: str | tuple[Style, str]) -> str:
        style, text = (None, part) if isinstance(part, str) else part
        # A stream that knows few characters (LC_ALL=C, a pipe on Windows) shows the others escaped, too.
        encoding = self._stream.encoding or "ascii"
        shown = escaped(text).encode(encoding, "backslashreplace").decode(encoding)
        return f"\x1b[{_CODES[style]}m{shown}\x1b[0m" if style and self._coloured else shown
