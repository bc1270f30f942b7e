r"""Texts and bytes as string literals of the languages that code is printed in, and as comments.

Law: what is written here is printable ASCII, whatever the text: it survives every terminal, editor and
clipboard, and no character can end a literal, a comment or a line. Each language has its own traps, and each
is named at the line that avoids it. Where the plainest literal of a language can hold the text, it is that.

Doubt: a text in another script is unreadable as escapes; that it arrives unharmed counts for more.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping

_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")

# The width of a terminal that most have; comments are cut into lines of it.
_COMMENT_CHARS = 96


def is_plain(text: str, without: str = "") -> bool:
    """Whether `text` is one line of printable ASCII `without` certain characters."""
    return _PRINTABLE.fullmatch(text) is not None and not any(char in text for char in without)


def comments(mark: str, *sentences: str) -> str:
    """Line comments, each line behind `mark`, whatever the sentences are made of.

    Not with escapes: Java reads `\\u000a` in a comment as the end of it (JLS section 3.3). A backslash is
    written by its code point for the same reason.
    """
    lines: list[str] = []
    for sentence in sentences:
        shown = re.sub(r"[^\x20-\x5b\x5d-\x7e]", lambda found: f"<U+{ord(found[0]):04X}>", sentence)
        lines += _folded(shown)
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in lines)


def _folded(text: str) -> Iterator[str]:
    line = ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > _COMMENT_CHARS:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line


def _escaped(text: str, short: Mapping[str, str], other: Callable[[int], str]) -> str:
    """`text` with its `short` escapes, and the `other` way for what is not printable ASCII."""
    return "".join(short.get(char) or (char if " " <= char <= "~" else other(ord(char))) for char in text)


_LINES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_DOUBLE_QUOTED = {"\\": r"\\", '"': r"\"", **_LINES}
_SINGLE_QUOTED = {"\\": r"\\", "'": r"\'", **_LINES}


def _utf_16(code: int) -> Iterator[int]:
    """The code units of a code point."""
    if code > 0xFFFF:
        yield 0xD800 + (code - 0x10000 >> 10)
        yield 0xDC00 + (code & 0x3FF)
    else:
        yield code


# Python


def python_string(text: str) -> str:
    if text.count('"') > text.count("'"):
        return f"'{_escaped(text, _SINGLE_QUOTED, _python_escape)}'"
    return f'"{_escaped(text, _DOUBLE_QUOTED, _python_escape)}"'


def _python_escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def python_bytes(body: bytes) -> str:
    # Latin-1 gives each byte the character of its number.
    return "b" + python_string(body.decode("latin-1"))


# JavaScript


def javascript_string(text: str) -> str:
    # ECMA-262 section 12.9.4. `\0` is left alone: before a digit it would be octal. HTML standard, section
    # 4.12.1.3: within a page's script, `</script` would end it, and `<!--` turn the reading of it round.
    literal = f"'{_escaped(text, _SINGLE_QUOTED, _javascript_escape)}'"
    return literal.replace("</", r"<\/").replace("<!", r"<\!")


def _javascript_escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\u{{{code:x}}}"


# Java


def java_string(text: str, *, block: bool = True) -> str:
    """`block`: whether it may be a text block, over two lines."""
    # JLS section 3.10.6: a text block loses the blanks at the ends of its lines, and ends at three quotes.
    if block and '"' in text and is_plain(text, "\\") and text == text.strip(" ") and '""' not in f'{text}"':
        return f'"""\n            {text}"""'
    return f'"{_escaped(text, _DOUBLE_QUOTED, _java_escape)}"'


def _java_escape(code: int) -> str:
    # JLS section 3.3: `\u000a` becomes a line's end before strings are looked for, so that only what is no
    # ASCII may be written so; three octal digits cannot run into a digit that follows.
    return f"\\{code:03o}" if code < 0x80 else "".join(f"\\u{unit:04x}" for unit in _utf_16(code))


# Go


def go_string(text: str) -> str:
    if '"' in text and is_plain(text, "`"):
        return f"`{text}`"
    return f'"{_escaped(text, _DOUBLE_QUOTED, _go_escape)}"'


def _go_escape(code: int) -> str:
    # The Go specification, "String literals": `\x` is a byte, `\u` a character in UTF-8.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_bytes(body: bytes) -> str:
    """A string of these bytes, of which a Go string need not be UTF-8."""
    return f'"{_escaped(body.decode("latin-1"), _DOUBLE_QUOTED, _byte_escape)}"'


def _byte_escape(code: int) -> str:
    return f"\\x{code:02x}"


# Ruby


def ruby_string(text: str) -> str:
    if is_plain(text, "'\\"):
        return f"'{text}'" if '"' in text or "#" in text else f'"{text}"'
    return f'"{_ruby_quoted(text, _ruby_escape)}"'


def ruby_bytes(body: bytes) -> str:
    return f'"{_ruby_quoted(body.decode("latin-1"), _byte_escape)}".b'


def _ruby_escape(code: int) -> str:
    return f"\\u{{{code:x}}}"


def _ruby_quoted(text: str, escape: Callable[[int], str]) -> str:
    # `#{`, `#$` and `#@` stand for a value within double quotes; an escaped `#` is one.
    return _escaped(text, {**_DOUBLE_QUOTED, "#": r"\#"}, escape)


# C#


def csharp_string(text: str) -> str:
    if '"' in text and is_plain(text) and '"""' not in text and text[0] != '"' != text[-1]:
        return f'"""{text}"""'  # a raw string literal, which may not begin or end with its mark
    return f'"{_escaped(text, _DOUBLE_QUOTED, _csharp_escape)}"'


def _csharp_escape(code: int) -> str:
    # Not `\x`, which takes as many digits as it finds.
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def base64_text(body: bytes) -> str:
    """For the languages that have no literal for bytes."""
    return b64encode(body).decode("ascii")
