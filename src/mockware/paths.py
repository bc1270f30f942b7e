"""Path templates: Starlette's route syntax, cut into the parts that an index can look up.

Law: what matches is defined by `starlette.routing.compile_path` and by nothing else. The usual
template (at most one parameter in a segment, of a built-in converter) is compared piece by piece,
which needs no regular expression of its own, so that ten thousand of them load at once; any other runs
Starlette's expression. A property test holds the two against each other.

Doubt: Starlette's expressions end in `$`, which lets a newline slip in at the end of a path; here the
whole path has to match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from starlette.convertors import (
    CONVERTOR_TYPES,
    Convertor,
    FloatConvertor,
    IntegerConvertor,
    PathConvertor,
    StringConvertor,
    UUIDConvertor,
)

from .exceptions import did_you_mean

_PARAMETER = re.compile(r"{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-zA-Z_][a-zA-Z0-9_]*))?}")

# What these accept never holds a slash, so a parameter of theirs stays within its segment. Of a
# custom converter that cannot be known: it counts as spanning segments.
_WITHIN_SEGMENT = frozenset((StringConvertor, IntegerConvertor, FloatConvertor, UUIDConvertor))

# Where parameters share a segment, or the segments that one of them spans, Starlette's expression tries every
# cut between them and reads on from each: at worst the length of the path to the power of the cuts and one.
# So many characters for so many cuts are 0.2 s (servers take lines of 4 to 64 KiB). A longer path matches no
# such template.
MAX_CHARS_BY_CUTS = {1: 4096, 2: 256}

PATH_CHARS = "/:@!$&'()*+,;=~-._"  # as they are in a path

_Fits = Callable[[str], object]
_Segment = list[str | Convertor[Any]]


class Parameter(NamedTuple):
    """`{name:kind}`; the kind is the name of a converter."""

    name: str
    kind: str


class Affix(NamedTuple):
    """Literal text at the edges of the segment at `position`, around its parameters."""

    position: int
    prefix: str
    suffix: str


class _Piece(NamedTuple):
    """A slice of the segment at `position` that `fits` must accept; None: it must not be empty."""

    position: int
    start: int
    stop: int | None
    fits: _Fits | None


class PathTemplate:
    """A path with parameters, such as `/users/{id:int}`, or without any (then `exact` is True).

    `length` is how many segments a matching path has, or has at least where a parameter `spans`
    segments. Positions of segments count from the start, and behind such a parameter from the end
    (negative). `literals` are the segments without a parameter, `affixes` the literal edges of the
    others, `inner` the literals that stand between two parameters of the path.
    Raises ValueError, with the reason, for what Starlette refuses and for what could never match.
    """

    __slots__ = (
        "__dict__",
        "_cuts",
        "_pieces",
        "affixes",
        "exact",
        "inner",
        "length",
        "literals",
        "signature",
        "spans",
        "text",
    )

    def __init__(self, text: str) -> None:
        self.text = text
        segments, self.signature = _parse(text)
        self.exact = all(isinstance(token, str) for segment in segments for token in segment)
        self.length = len(segments)
        spanning = [i for i, segment in enumerate(segments) if _spans(segment)]
        self.spans = bool(spanning)
        self.inner = () if self.exact else _inner_literals(segments)
        self.literals: dict[int, str] = {}
        self.affixes: list[Affix] = []
        self._pieces: list[_Piece] | None = []
        self._cuts = 0

        first, last = (spanning[0], spanning[-1]) if spanning else (self.length, self.length)
        for position in (*range(first), *range(last + 1 - self.length, 0)):
            self._add_segment(position, segments[position])
        if spanning:
            self._add_affix(first, _prefix(segments[first]), "")
            self._add_affix(last - self.length, "", _suffix(segments[last]))
            within = [token for segment in segments[first : last + 1] for token in segment]
            if [type(token) for token in within] != [PathConvertor]:
                self._pieces = None
            self._add_cuts(within)

    def _add_segment(self, position: int, segment: _Segment) -> None:
        parameters = [token for token in segment if not isinstance(token, str)]
        if not parameters:
            self.literals[position] = "".join(map(str, segment))
            return
        prefix, suffix = _prefix(segment), _suffix(segment)
        self._add_affix(position, prefix, suffix)
        self._add_cuts(segment)
        if len(parameters) > 1:
            self._pieces = None
        elif self._pieces is not None:
            regex = parameters[0].regex
            fits = None if type(parameters[0]) is StringConvertor else _fullmatch(regex)
            self._pieces.append(_Piece(position, len(prefix), -len(suffix) or None, fits))

    def _add_cuts(self, tokens: _Segment) -> None:
        self._cuts += max(sum(not isinstance(token, str) for token in tokens) - 1, 0)
        if self._cuts > max(MAX_CHARS_BY_CUTS):
            raise ValueError(
                "too many parameters share a segment, or the segments that a `path` parameter spans: three "
                "in one or two in two are allowed, because a hostile path could be cut in too many ways"
            )

    def _add_affix(self, position: int, prefix: str, suffix: str) -> None:
        if prefix or suffix:
            self.affixes.append(Affix(position, prefix, suffix))

    @cached_property
    def _fullmatch(self) -> _Fits:
        from starlette.routing import compile_path

        fullmatch = compile_path(self.text)[0].fullmatch
        if not self._cuts:
            return fullmatch
        longest = MAX_CHARS_BY_CUTS[self._cuts]
        return lambda path: None if len(path) > longest else fullmatch(path)

    @property
    def sole_position(self) -> int | None:
        """Where the only parameter is, if any segment fits that is not empty; None for other templates."""
        if self._pieces is None or self.spans or len(self._pieces) != 1:
            return None
        position, start, stop, fits = self._pieces[0]
        return position if (start, stop, fits) == (0, None, None) else None

    @property
    def accepts(self) -> Callable[[str, Sequence[str]], object]:
        """Whether the parameters fit a path that `length`, `literals` and `affixes` agree with.

        Called with the path and its segments (`path.split("/")`); what it returns is true or false.
        """
        if self._pieces is None:
            return lambda path, segments: self._fullmatch(path)
        if self.spans:
            # A newline is the one thing that Starlette's `path` converter, `.*`, does not accept.
            return lambda path, segments: (
                self._fullmatch(path) if "\n" in path else self._pieces_fit(segments)
            )
        return lambda path, segments: self._pieces_fit(segments)

    def _pieces_fit(self, segments: Sequence[str]) -> bool:
        for position, start, stop, fits in self._pieces or ():
            piece = segments[position][start:stop]
            if not (piece if fits is None else fits(piece)):
                return False
        return True

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters, in order."""
        return tuple(found[1] for found in _PARAMETER.finditer(self.text))

    @property
    def tokens(self) -> tuple[str | Parameter, ...]:
        """The template, cut into literal texts and parameters."""
        tokens: list[str | Parameter] = []
        end = 0
        for found in _PARAMETER.finditer(self.text):
            tokens += (self.text[end : found.start()], Parameter(found[1], found[2] or "str"))
            end = found.end()
        return tuple(filter(None, (*tokens, self.text[end:])))

    def texts(self, path: str) -> dict[str, str] | None:
        """The parameters' values as they stand in `path`; None where it does not match."""
        if self.exact:
            return {} if path == self.text else None
        found = self._fullmatch(path)
        return found.groupdict() if isinstance(found, re.Match) else None

    def filled(self, texts: Mapping[str, str]) -> str:
        """The path with these values in it, as it is written in a URL (RFC 3986 section 3.3)."""
        pieces = []
        end = 0
        for found in _PARAMETER.finditer(self.text):
            pieces.append(quote(self.text[end : found.start()], safe=PATH_CHARS))
            pieces.append(quote(texts[found[1]], safe=PATH_CHARS, errors="replace"))
            end = found.end()
        return "".join([*pieces, quote(self.text[end:], safe=PATH_CHARS)])

    def parameters(self, path: str) -> dict[str, int | float | str]:
        """The parameters' values in `path`, numbers as such; none where it does not match."""
        from starlette.routing import compile_path

        found = None if self.exact else self._fullmatch(path)
        if not isinstance(found, re.Match):
            return {}
        convertors = compile_path(self.text)[2]
        values: dict[str, int | float | str] = {}
        for name, text in found.groupdict().items():
            values[name] = text
            if type(convertors[name]) in (IntegerConvertor, FloatConvertor):
                with suppress(ValueError):  # more digits than Python takes for a number
                    values[name] = convertors[name].convert(text)
        return values

    def matches(self, path: str) -> bool:
        """Whether the template as a whole matches `path`."""
        return path == self.text if self.exact else self._fullmatch(path) is not None


def _parse(text: str) -> tuple[list[_Segment], str]:
    """The segments of a template, and its text without the parameters' names."""
    if not text.startswith("/"):
        raise ValueError("a path starts with `/`")
    if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("half of a surrogate pair is no character")
    for mark in "?#":
        if mark in text:
            raise ValueError(f"a path has no `{mark}`; put the query into `when = {{ query = ... }}`")
    if unquote(text) != text:
        raise ValueError(f"paths are compared decoded; write `{unquote(text)}`")
    segments: list[_Segment] = [[]]
    signature: list[str] = []
    names: set[str] = set()
    end = 0
    for found in _PARAMETER.finditer(text):
        _add_literal(segments, text[end : found.start()])
        name, kind = found[1], found[2] or "str"
        if kind not in CONVERTOR_TYPES:
            raise ValueError(f"`{kind}` is no path converter{did_you_mean(kind, CONVERTOR_TYPES)}")
        if name in names:
            raise ValueError(f"the parameter `{name}` stands twice in one path")
        names.add(name)
        segments[-1].append(CONVERTOR_TYPES[kind])
        signature += (text[end : found.start()], f"{{:{kind}}}")
        end = found.end()
    _add_literal(segments, text[end:])
    signature.append(text[end:])
    return segments, "".join(signature)


def _add_literal(segments: list[_Segment], text: str) -> None:
    if "{" in text or "}" in text:
        raise ValueError("a brace without its partner, or around what is no `{name}` or `{name:converter}`")
    start, *rest = text.split("/")
    if start:
        segments[-1].append(start)
    segments.extend([part] if part else [] for part in rest)


def _spans(segment: _Segment) -> bool:
    return any(not isinstance(token, str) and type(token) not in _WITHIN_SEGMENT for token in segment)


def _prefix(segment: _Segment) -> str:
    return segment[0] if isinstance(segment[0], str) else ""


def _suffix(segment: _Segment) -> str:
    return segment[-1] if isinstance(segment[-1], str) else ""


def _inner_literals(segments: list[_Segment]) -> tuple[str, ...]:
    """The literals with a parameter before them and another behind; they may hold slashes."""
    tokens: list[str | Convertor[Any]] = []
    for i, segment in enumerate(segments):
        tokens += ["/", *segment] if i else segment
    runs = [""]
    seen_parameter = False
    for token in tokens:
        if isinstance(token, str):
            runs[-1] += token if seen_parameter else ""
        else:
            runs.append("")
            seen_parameter = True
    # A slash alone stands in every path.
    return tuple(run for run in runs[:-1] if run.strip("/"))


@lru_cache(maxsize=64)
def _fullmatch(regex: str) -> _Fits:
    return re.compile(regex).fullmatch
