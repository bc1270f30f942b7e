"""From a path to the rules that may match it, in file order.

Law: the time that a look-up takes does not grow with the number of distinct paths or templates. An
exact path is one look-up in a dict, whose entry already holds, in file order, the templates that match
it as well. For any other path each *shape* (which segments of the template are literal) costs one
look-up with those segments as the key; what is left is told apart by the literal edges of the segments
with a parameter, and last by the rarest literal between two parameters, for which the path is searched
once. Rules on one same path share an entry: trying them in order is their caller's, and does grow.

Doubt: shapes, and lengths of endings, cost a look-up each; nothing but the templates that people write (a
dozen of them, not thousands) bounds their number. Templates that differ in their converters only are tried
one after the other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from .paths import Affix, PathTemplate

T = TypeVar("T")

_Key = Callable[[list[str]], object]

# More segments than any path has that a server takes, and compared as fast as a small number.
_NO_DEPTH = 1 << 24


class _Group(Generic[T]):
    """Templates that differ in nothing but their parameters' names, and what stands behind them."""

    __slots__ = ("members", "template", "values")

    def __init__(self, template: PathTemplate) -> None:
        self.template = template
        # In file order, each with its number. What a look-up gives is the members while the index is built.
        self.members: list[tuple[int, T]] = []
        self.values: Sequence[Any] = self.members


# A template, reduced to the question whether its parameters fit: with None, whether the segment at the
# position is not empty, which is all that most of them ask.
_Candidate = tuple[int, Callable[[str, list[str]], object] | None, _Group[T]]


class _Leaf(Generic[T]):
    """Candidates that only a literal somewhere between two parameters tells apart, if anything does."""

    __slots__ = ("inner", "rest")

    def __init__(self, groups: Sequence[_Group[T]]) -> None:
        counts = Counter(text for group in groups for text in group.template.inner)
        by_text: dict[str, list[_Candidate[T]]] = {}
        self.rest: list[_Candidate[T]] = []
        for group in groups:
            # The rarest: one that all of them have says nothing.
            text = min(group.template.inner, key=lambda text: (counts[text], -len(text)), default=None)
            candidates = self.rest if text is None else by_text.setdefault(text, [])
            candidates.append(_candidate(group))
        self.inner = _Inner(by_text) if by_text else None


class _Inner(Generic[T]):
    """Candidates under a literal that stands somewhere in the path, found in one go through the path."""

    __slots__ = ("_by_head", "_first_letters", "_head_length")

    def __init__(self, by_text: Mapping[str, list[_Candidate[T]]]) -> None:
        self._first_letters = re.compile(f"[{re.escape(''.join({text[0] for text in by_text}))}]")
        self._head_length = min(map(len, by_text))
        # By as many letters as all of them have; then by length; then by text.
        self._by_head: dict[str, dict[int, dict[str, list[_Candidate[T]]]]] = {}
        for text, candidates in by_text.items():
            lengths = self._by_head.setdefault(text[: self._head_length], {})
            lengths.setdefault(len(text), {})[text] = candidates

    def find(self, path: str) -> list[_Candidate[T]]:
        found: dict[str, list[_Candidate[T]]] = {}
        for letter in self._first_letters.finditer(path):
            start = letter.start()
            lengths = self._by_head.get(path[start : start + self._head_length], {})
            for length, by_text in lengths.items():
                text = path[start : start + length]
                if text in by_text:
                    found[text] = by_text[text]
        return [candidate for candidates in found.values() for candidate in candidates]


class _Bucket(Generic[T]):
    """The groups whose literal segments agree: told apart by the edges of the others, then as in a leaf."""

    __slots__ = ("by_edges", "by_suffix", "rest", "tells_apart", "without_edges")

    def __init__(self, groups: Iterable[_Group[T]]) -> None:
        plain: list[_Group[T]] = []
        by_suffix: dict[int, dict[object, list[_Group[T]]]] = {}
        by_edges: dict[object, tuple[_Key, dict[object, list[_Group[T]]]]] = {}
        for group in groups:
            affixes = group.template.affixes
            if not affixes:
                plain.append(group)
            elif len(affixes) == 1 and not affixes[0].prefix:
                position, _, suffix = affixes[0]
                by_suffix.setdefault(position, {}).setdefault(suffix, []).append(group)
            else:
                kind = tuple((position, len(prefix), len(suffix)) for position, prefix, suffix in affixes)
                _, table = by_edges.setdefault(kind, (_edges_key(affixes), {}))
                table.setdefault(_edges(affixes), []).append(group)
        # The usual edge is one ending, such as `.json`. Each length that one has is a look-up of its own.
        self.by_suffix = [
            (position, sorted({-len(str(suffix)) for suffix in table}), _leaves(table).get)
            for position, table in by_suffix.items()
        ]
        # So is each other kind of edges.
        self.by_edges = [(key, _leaves(table)) for key, table in by_edges.values()]
        self.without_edges = _Leaf(plain)
        self.rest = self.without_edges.rest
        self.tells_apart = bool(by_suffix or by_edges or self.without_edges.inner)

    def told_apart(self, path: str, segments: list[str]) -> list[_Candidate[T]]:
        """The candidates beside `rest` whose edges and inner literals stand in `path`."""
        found: list[_Candidate[T]] = []
        if self.without_edges.inner is not None:
            found += self.without_edges.inner.find(path)
        for position, starts, find_leaf in self.by_suffix:
            segment = segments[position]
            least = -len(segment)
            for start in starts:
                # A shorter segment would be found under its own length too.
                leaf = find_leaf(segment[start:]) if start >= least else None
                if leaf is not None:
                    found += leaf.rest
                    if leaf.inner is not None:
                        found += leaf.inner.find(path)
        for key, edges in self.by_edges:
            leaf = edges.get(key(segments))
            if leaf is not None:
                found += leaf.rest
                if leaf.inner is not None:
                    found += leaf.inner.find(path)
        return found


def _leaves(table: Mapping[object, Sequence[_Group[T]]]) -> dict[object, _Leaf[T]]:
    return {text: _Leaf(groups) for text, groups in table.items()}


def _candidate(group: _Group[T]) -> _Candidate[T]:
    position = group.template.sole_position
    return (0, group.template.accepts, group) if position is None else (position, None, group)


_Find = Callable[[Any], T | None]
# For each choice of literal positions: the groups by the texts there.
_Shapes = dict[tuple[int, ...], dict[object, list[_Group[T]]]]


class _Mount(NamedTuple):
    """A prefix without parameters, and all that is found at and below it.

    Foreign paths are told by as little as there is: the last segment of the prefix, of which the first is
    empty, or its first letter. To compare the whole prefix costs several times as much.
    """

    prefix: str
    values: Sequence[Any]

    @property
    def start(self) -> str:
        return f"{self.prefix}/"

    @property
    def depth(self) -> int:
        return self.prefix.count("/")

    @property
    def word(self) -> str:
        return self.prefix.rpartition("/")[2]

    @property
    def letter(self) -> str:
        return self.start[1]


class PathIndex(Generic[T]):
    """Values under path templates. `find(path)` gives those that match, in the order given, or None.

    `mount`: a prefix without parameters, and what alone is found at and below it.
    `only_ascii`: it never finds anything for a path that is not ASCII, in whatever form.
    """

    find: Callable[[str], Sequence[T] | None]
    only_ascii: bool

    def __init__(
        self, entries: Iterable[tuple[PathTemplate, T]], *, mount: tuple[str, T] | None = None
    ) -> None:
        mounted = None if mount is None else _Mount(mount[0], (mount[1],))
        exact: dict[str, list[tuple[int, T]]] = {}
        groups: dict[str, _Group[T]] = {}
        for number, (template, value) in enumerate(entries):
            if template.exact:
                exact.setdefault(template.text, []).append((number, value))
            else:
                if template.signature not in groups:
                    groups[template.signature] = _Group(template)
                groups[template.signature].members.append((number, value))

        closed: dict[int, _Shapes[T]] = {}
        spanning: dict[int, _Shapes[T]] = {}
        for group in groups.values():
            template = group.template
            shapes = (spanning if template.spans else closed).setdefault(template.length, {})
            # Every path starts with a slash, so the segment before it says nothing.
            positions = tuple(position for position in template.literals if position)
            literals = [template.literals[position] for position in positions]
            text = literals[0] if len(literals) == 1 else tuple(literals)
            shapes.setdefault(positions, {}).setdefault(text, []).append(group)

        # One list of shapes for each number of segments; the last is for all higher numbers.
        longest = max((*closed, *spanning), default=0) + 1
        by_length: list[list[tuple[_Key, _Find[_Bucket[T]]]]] = [[] for _ in range(longest + 1)]
        for length, shapes in closed.items():
            _add_shapes(shapes, by_length[length : length + 1])
        for least, shapes in spanning.items():
            _add_shapes(shapes, by_length[least:])

        # First all that templates give for the exact paths, with the numbers that put it into order.
        find_templates = _find(_nowhere, by_length, _sorted)
        merged = {
            path: tuple(_values([*members, *(find_templates(path) or ())])) for path, members in exact.items()
        }
        for group in groups.values():
            group.values = _values(group.members)
        if mounted is not None:
            merged[mounted.prefix] = tuple(mounted.values)
            for path in merged:
                if path.startswith(mounted.start):
                    merged[path] = tuple(mounted.values)
        if groups:
            self.find = _find(merged.get, by_length, _values, mounted)
        else:
            self.find = merged.get if mounted is None else _find_exact_or_below(merged, mounted)
        self.only_ascii = not groups and all(map(str.isascii, merged))


def _add_shapes(shapes: _Shapes[T], by_length: Iterable[list[tuple[_Key, _Find[_Bucket[T]]]]]) -> None:
    for positions, groups_by_text in shapes.items():
        buckets = {text: _Bucket(groups) for text, groups in groups_by_text.items()}
        for of_length in by_length:
            of_length.append((_segments_key(positions), buckets.get))


def _find(
    find_exact: _Find[Sequence[Any]],
    by_length: Sequence[Sequence[tuple[_Key, _Find[_Bucket[T]]]]],
    in_order: Callable[[list[tuple[int, T]]], Sequence[Any]],
    mount: _Mount | None = None,
) -> Callable[[str], Sequence[Any] | None]:
    """What finds the values for a path: a closure, which reads its names fastest, and in one piece."""
    longest = len(by_length) - 1
    depth, word, start = (mount.depth, mount.word, mount.start) if mount else (_NO_DEPTH, "", "")
    below = mount.values if mount else ()

    def find(path: str) -> Sequence[Any] | None:
        found = find_exact(path)
        if found is not None:
            return found
        segments = path.split("/")
        length = len(segments)
        if length > depth and segments[depth] == word and path.startswith(start):
            return below
        first: _Group[T] | None = None
        others: list[_Group[T]] | None
        for key, find_bucket in by_length[length if length < longest else longest]:
            bucket = find_bucket(key(segments))
            if bucket is None:
                continue
            candidates = bucket.rest
            if bucket.tells_apart:
                candidates = candidates + bucket.told_apart(path, segments)
            for position, accepts, group in candidates:
                if segments[position] if accepts is None else accepts(path, segments):
                    if first is None:
                        first, others = group, None
                    elif others is None:
                        others = [group]
                    else:
                        others.append(group)
        # What does not start with a slash is no path, such as the `*` of `OPTIONS *`.
        if first is None or segments[0]:
            return None
        if others is None:
            return first.values
        return in_order([member for group in (first, *others) for member in group.members])

    return find


def _find_exact_or_below(
    exact: Mapping[str, Sequence[Any]], mount: _Mount
) -> Callable[[str], Sequence[Any] | None]:
    """As `_find`, where there are no templates."""
    # So that the path of every home page has its answer before the letter is looked for that it has not.
    table: dict[str, Sequence[Any] | None] = {"/": None, **exact}
    letter, start, below = mount.letter, mount.start, mount.values

    def find(path: str) -> Sequence[Any] | None:
        if path in table:
            return table[path]
        try:
            return below if path[1] == letter and path.startswith(start) else None
        except IndexError:  # the `*` of `OPTIONS *`
            return None

    return find


def _nowhere(path: str) -> None:
    """No exact path."""


def _sorted(members: list[tuple[int, T]]) -> list[tuple[int, T]]:
    return sorted(members, key=itemgetter(0))


def _values(members: list[tuple[int, T]]) -> list[T]:
    return [value for _, value in _sorted(members)]


def _segments_key(positions: tuple[int, ...]) -> _Key:
    return itemgetter(*positions) if positions else _nothing


def _nothing(segments: list[str]) -> tuple[()]:
    return ()


def _edges(affixes: list[Affix]) -> object:
    _, prefix, suffix = affixes[0]
    if len(affixes) == 1 and not suffix:
        return prefix
    return tuple((prefix, suffix) for _, prefix, suffix in affixes)


def _edges_key(affixes: list[Affix]) -> _Key:
    """What reads from a path's segments the text that `_edges` reads from a template."""
    position, prefix, suffix = affixes[0]
    start = len(prefix)
    if len(affixes) == 1 and not suffix:
        return lambda segments: segments[position][:start]
    cuts = [(position, len(prefix), len(suffix)) for position, prefix, suffix in affixes]
    return lambda segments: tuple(
        [(segments[at][:start], segments[at][-end:] if end else "") for at, start, end in cuts]
    )
