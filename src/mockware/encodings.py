"""How a body is encoded, and how JSON in it is changed: in the end it is encoded as it was.

Law: bytes in, bytes out, and never more of them read than was allowed: a few kilobytes of a coding can stand
for gigabytes. What is not wholly and exactly in its encoding is `NotReadable`, never a guess.
Source: RFC 9110 section 8.4.1 for the content codings, RFC 7932 for br; RFC 8259 and RFC 7396 for JSON.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

GZIP = 16 + zlib.MAX_WBITS
ZLIB = zlib.MAX_WBITS
RAW = -zlib.MAX_WBITS

# 11, brotli's own default, takes two seconds for a mebibyte, in which an event loop does nothing else; 5
# takes a fiftieth. Apache's mod_brotli has 5 too, nginx's module 6.
_BROTLI_QUALITY = 5

# A name that is not known goes into a field of the response, so that it has to be short and a name.
_LONGEST_NAME = 20


class NotReadable(ValueError):  # noqa: N818 - it says what the body is, and nobody is at fault
    """A body that nothing can be made of; its text is the reason, a few words for a header field."""


Encode = Callable[[bytes], bytes]


def coding_of(fields: Iterable[str]) -> str:
    """The one coding that a response's Content-Encoding fields name, or "" for none.

    Raises NotReadable for one that is not known here, and for several, one around the other.
    """
    names = [name.strip(" \t").lower() for field in fields for name in field.split(",")]
    # RFC 9110 section 8.4.1: `identity` "SHOULD NOT be included" in the field, and some do.
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return ""
    if len(names) > 1:
        raise NotReadable("several encodings")
    (name,) = names
    if name in ("gzip", "x-gzip", "deflate") or (name == "br" and _brotli() is not None):
        return name
    is_printable = len(name) <= _LONGEST_NAME and name.isascii() and name.replace("-", "").isalnum()
    raise NotReadable(f"encoding {name}" if is_printable else "unknown encoding")


def decoded(body: bytes, coding: str, max_bytes: int) -> tuple[bytes, Encode]:
    """What is in `body`, at most `max_bytes` of it, and how to put the same coding around it again.

    `coding` is what `coding_of` gave. Raises NotReadable for a body that is longer, cut off, corrupt, or
    followed by something else.
    """
    if coding == "":
        return _bounded(body, max_bytes), _as_it_is
    if coding == "br":
        return _from_brotli(body, max_bytes), _to_brotli
    if coding != "deflate":
        return _inflated(body, GZIP, max_bytes), _deflate_to(GZIP)
    # RFC 9110 section 8.4.1.2: "Some non-conformant implementations send the "deflate" compressed data
    # without the zlib wrapper." Clients that take only the one kind were sent that one, and get it again.
    kind = ZLIB if _has_zlib_header(body) else RAW
    return _inflated(body, kind, max_bytes), _deflate_to(kind)


def _bounded(content: bytes, max_bytes: int) -> bytes:
    if len(content) > max_bytes:
        raise NotReadable(longer_than(max_bytes))
    return content


def longer_than(max_bytes: int) -> str:
    return f"longer than {max_bytes // 1024**2} MiB" if max_bytes >= 1024**2 else f"longer than {max_bytes} B"


def _as_it_is(content: bytes) -> bytes:
    return content


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950 section 2.2: method 8, a window of at most 32 KiB, and 31 divides the first two bytes."""
    return len(body) >= 2 and body[0] & 0x8F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflated(body: bytes, kind: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(kind)
    try:
        content = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise NotReadable("not in its encoding") from None
    _bounded(content, max_bytes)
    if not inflater.eof:
        raise NotReadable("cut off")
    # A second member of a gzip file, too: RFC 1952 section 2.2 allows it, clients differ about it.
    if inflater.unused_data:
        raise NotReadable("not in its encoding")
    return content


def _deflate_to(kind: int) -> Encode:
    return lambda content: zlib.compress(content, wbits=kind)


@cache
def _brotli() -> Any:
    """The brotli package, or None where it is missing or too old to bound what it gives (before 1.2)."""
    try:
        brotli = import_module("brotli")
        brotli.Decompressor().process(b"", output_buffer_limit=1)
    except (ImportError, AttributeError, TypeError):
        return None
    return brotli


def _from_brotli(body: bytes, max_bytes: int) -> bytes:
    brotli = _brotli()
    stream = brotli.Decompressor()
    try:
        # It stops growing at the limit, having doubled: up to twice as much may come.
        content: bytes = stream.process(body, output_buffer_limit=max_bytes + 1)
    except brotli.error:
        raise NotReadable("not in its encoding") from None
    _bounded(content, max_bytes)
    if not stream.is_finished():
        raise NotReadable("cut off")
    return content


def _to_brotli(content: bytes) -> bytes:
    encoded: bytes = _brotli().compress(content, quality=_BROTLI_QUALITY)
    return encoded


# ---- merging JSON
#
# A document is changed in its text, and only where the patch reaches: what it leaves alone keeps its spelling
# (1.10, 1E400, 20 digits, \ud800), its blanks and the order of its members. All of it is read, nevertheless,
# so that nothing but JSON is ever changed.


class Change(NamedTuple):
    """A merge patch for one value: `text` is what takes the place of a value that is no object.

    `members` are the changes for an object; None: there is no such member afterwards.
    """

    text: str
    members: dict[str, Change | None] | None

    @classmethod
    def of(cls, patch: Any) -> Change:
        """Raises ValueError where JSON has no word for `patch`."""
        try:
            # A number as a key becomes a string, and a tuple a list, as everywhere in Python.
            return cls._of(json.loads(json.dumps(patch, allow_nan=False)))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"no JSON can be made of this: {error}") from None

    @classmethod
    def _of(cls, patch: Any) -> Change:
        if not isinstance(patch, dict):
            return cls(json.dumps(patch), None)
        members = {name: None if value is None else cls._of(value) for name, value in patch.items()}
        return cls("{" + ", ".join(_new_members(members)) + "}", members)


def _new_members(members: dict[str, Change | None]) -> Iterator[str]:
    # "Null values in the merge patch are given special meaning to indicate the removal of existing values in
    # the target" (RFC 7396 section 1), so that there is nothing to do where nothing exists.
    return (f"{json.dumps(name)}: {change.text}" for name, change in members.items() if change is not None)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


# Numbers are not computed: some have more digits than Python converts, and none is written again.
_read = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse).raw_decode
_BLANKS = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*")
_COMMA_OR_END = re.compile(r"([ \t\n\r]*)([,}])([ \t\n\r]*)")


def merged(content: bytes, change: Change) -> bytes:
    """RFC 7396 section 2, MergePatch(Target, Patch)."""
    try:
        # RFC 8259 section 8.1: UTF-8, and a byte order mark may be overlooked but must not be sent.
        text = content.decode("utf-8-sig")
        begin = _end_of(_BLANKS, text, 0)
        changed, end = _value(text, begin, change)
        if _end_of(_BLANKS, text, end) != len(text):
            raise NotReadable("not JSON")
        return "".join((text[:begin], changed, text[end:])).encode()
    except ValueError:
        raise NotReadable("not JSON") from None
    except RecursionError:
        raise NotReadable("nested too deeply") from None


def _value(text: str, at: int, change: Change) -> tuple[str, int]:
    """The value that begins at `at`, changed, and where it ends. This goes as deep as the patch does."""
    if change.members is None or text[at : at + 1] != "{":
        return change.text, _read(text, at)[1]
    kept: list[str] = []
    new = dict(change.members)
    begin = at + 1
    at = _end_of(_BLANKS, text, begin)
    margin = text[begin:at]
    if text[at : at + 1] == "}":
        blanks, at = margin, at + 1
        margin = ""
    else:
        mark = ","
        while mark == ",":
            name, at = _read(text, at)
            if not isinstance(name, str) or text[at - 1] != '"':
                raise NotReadable("not JSON")
            at = _end_of(_COLON, text, at)
            member = change.members.get(name, _KEPT)
            # A name that is there twice is changed twice: which one counts, parsers do not agree about.
            new.pop(name, None)
            if member is _KEPT:
                at = _read(text, at)[1]
                kept.append(text[begin:at])
            elif member is None:
                at = _read(text, at)[1]
            else:
                head = text[begin:at]
                changed, at = _value(text, at, member)
                kept.append(head + changed)
            found = _COMMA_OR_END.match(text, at)
            if found is None:
                raise NotReadable("not JSON")
            blanks, mark, next_margin = found.groups()
            begin, at = found.end(2), found.end()
            if mark == ",":
                margin = next_margin
        at = begin
    for member_text in _new_members(new):
        kept.append((margin or (" " if kept else "")) + member_text)
    return "".join(("{", ",".join(kept), blanks, "}")), at


_KEPT = Change("", None)


def _end_of(expression: re.Pattern[str], text: str, at: int) -> int:
    found = expression.match(text, at)
    if found is None:
        raise NotReadable("not JSON")
    return found.end()
