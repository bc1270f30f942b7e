"""From a path to the rules that may match it, in file order.

Law: the time that a look-up takes does not grow with the number of distinct paths or templates. An
exact path is one look-up in a dict, whose entry already holds, in file order, the templates that match
it as well. For any other path each *shape* (which segments of the template are literal) costs one
look-up with those segments as the key; what is left is told apart by the literal edges of the segments
with a parameter, and last by literals between two parameters. Rules on one same path share an entry:
trying them in order is their caller's, and does grow.

Doubt: the number of shapes is not bounded by more than the templates that people write (a dozen, not
thousands). Templates whose only difference is a literal between two parameters cost a look-up for each
position in the path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar

from .paths import Affix, PathTemplate

T = TypeVar("T")

_Key = Callable[[list[str]], object]


class _Group(Generic[T]):
    """Templates that differ in nothing but their parameters' names, and what stands behind them."""

    __slots__ = ("members", "template", "values")

    def __init__(self, template: PathTemplate) -> None:
        self.template = template
        self.members: list[tuple[int, T]] = []
        self.values: list[T] = []

    def add(self, number: int, value: T) -> None:
        self.members.append((number, value))
        self.values.append(value)


_Candidate = tuple[Callable[[str, list[str]], object], _Group[T]]


class _Bucket(Generic[T]):
    """The groups whose literal segments agree: told apart by edges, by inner literals, or not at all."""

    __slots__ = ("by_edges", "by_inner", "rest", "tells_apart")

    def __init__(self) -> None:
        self.rest: list[_Candidate[T]] = []
        # Each kind of edges (positions and lengths) is a look-up of its own.
        self.by_edges: dict[object, tuple[_Key, dict[object, list[_Candidate[T]]]]] = {}
        # By length, then by text.
        self.by_inner: dict[int, dict[str, list[_Candidate[T]]]] = {}

    def add(self, group: _Group[T]) -> None:
        affixes, inner = group.template.affixes, group.template.inner
        candidate = (group.template.accepts, group)
        if affixes:
            kind = tuple((position, len(prefix), len(suffix)) for position, prefix, suffix in affixes)
            _, table = self.by_edges.setdefault(kind, (_edges_key(affixes), {}))
            table.setdefault(_edges(affixes), []).append(candidate)
        elif inner:
            self.by_inner.setdefault(len(inner), {}).setdefault(inner, []).append(candidate)
        else:
            self.rest.append(candidate)
        self.tells_apart = bool(self.by_edges or self.by_inner)

    def told_apart(self, path: str, segments: list[str]) -> list[_Candidate[T]]:
        """The candidates beside `rest` whose edges or inner literals stand in `path`."""
        found: list[_Candidate[T]] = []
        for key, table in self.by_edges.values():
            found += table.get(key(segments), ())
        for length, by_text in self.by_inner.items():
            for text in {path[i : i + length] for i in range(len(path) - length + 1)} & by_text.keys():
                found += by_text[text]
        return found


_Find = Callable[[Any], T | None]
# For each choice of literal positions: what reads them from a path, and the buckets by their texts.
_Shapes = dict[tuple[int, ...], tuple[_Key, dict[object, _Bucket[T]]]]


class PathIndex(Generic[T]):
    """Values under path templates. `find(path)` gives those that match, in the order given, or None."""

    find: Callable[[str], Sequence[T] | None]

    def __init__(self, entries: Iterable[tuple[PathTemplate, T]]) -> None:
        exact: dict[str, list[tuple[int, T]]] = {}
        groups: dict[str, _Group[T]] = {}
        for number, (template, value) in enumerate(entries):
            if template.exact:
                exact.setdefault(template.text, []).append((number, value))
            else:
                if template.signature not in groups:
                    groups[template.signature] = _Group(template)
                groups[template.signature].add(number, value)

        closed: dict[int, _Shapes[T]] = {}
        spanning: dict[int, _Shapes[T]] = {}
        for group in groups.values():
            template = group.template
            shapes = (spanning if template.spans else closed).setdefault(template.length, {})
            # Every path starts with a slash, so the segment before it says nothing.
            positions = tuple(position for position in template.literals if position)
            _, buckets = shapes.setdefault(positions, (_segments_key(positions), {}))
            literals = [template.literals[position] for position in positions]
            text = literals[0] if len(literals) == 1 else tuple(literals)
            buckets.setdefault(text, _Bucket()).add(group)

        # One list of shapes for each number of segments; the last is for all higher numbers.
        longest = max((*closed, *spanning), default=0) + 1
        by_length: list[list[tuple[_Key, _Find[_Bucket[T]]]]] = [
            [
                (key, buckets.get)
                for of_length in (
                    closed.get(length, {}),
                    *(spanning.get(least, {}) for least in range(length + 1)),
                )
                for key, buckets in of_length.values()
            ]
            for length in range(longest + 1)
        ]
        walk = _walk(by_length)
        merged = {
            path: _in_order([*members, *(member for group in walk(path) for member in group.members)])
            for path, members in exact.items()
        }
        self.find = _find(merged.get, walk) if groups else merged.get


def _walk(by_length: list[list[tuple[_Key, _Find[_Bucket[T]]]]]) -> Callable[[str], Sequence[_Group[T]]]:
    """What finds the groups of templates that match a path. A closure reads its names fastest."""
    longest = len(by_length) - 1

    def walk(path: str) -> Sequence[_Group[T]]:
        segments = path.split("/")
        length = len(segments)
        groups: list[_Group[T]] = []
        for key, find in by_length[length if length < longest else longest]:
            bucket = find(key(segments))
            if bucket is not None:
                for accepts, group in bucket.rest:
                    if accepts(path, segments):
                        groups.append(group)
                if bucket.tells_apart:
                    groups += [
                        group
                        for accepts, group in bucket.told_apart(path, segments)
                        if accepts(path, segments)
                    ]
        # What does not start with a slash is no path, such as the `*` of `OPTIONS *`.
        return () if segments[0] else groups

    return walk


def _find(
    find_exact: _Find[tuple[T, ...]], walk: Callable[[str], Sequence[_Group[T]]]
) -> Callable[[str], Sequence[T] | None]:
    def find(path: str) -> Sequence[T] | None:
        found = find_exact(path)
        if found is not None:
            return found
        groups = walk(path)
        if not groups:
            return None
        if len(groups) == 1:
            return groups[0].values
        return _in_order([member for group in groups for member in group.members])

    return find


def _in_order(members: list[tuple[int, T]]) -> tuple[T, ...]:
    return tuple(value for _, value in sorted(members, key=itemgetter(0)))


def _segments_key(positions: tuple[int, ...]) -> _Key:
    return itemgetter(*positions) if positions else _nothing


def _nothing(segments: list[str]) -> tuple[()]:
    return ()


def _edges(affixes: list[Affix]) -> object:
    _, prefix, suffix = affixes[0]
    if len(affixes) == 1 and not (prefix and suffix):
        return prefix or suffix
    return tuple((prefix, suffix) for _, prefix, suffix in affixes)


def _edges_key(affixes: list[Affix]) -> _Key:
    """What reads from a path's segments the text that `_edges` reads from a template."""
    position, prefix, suffix = affixes[0]
    start, end = len(prefix), len(suffix)
    if len(affixes) == 1 and not prefix:
        return lambda segments: segments[position][-end:]
    if len(affixes) == 1 and not suffix:
        return lambda segments: segments[position][:start]
    cuts = [(position, len(prefix), len(suffix)) for position, prefix, suffix in affixes]
    return lambda segments: tuple(
        [(segments[at][:start], segments[at][-end:] if end else "") for at, start, end in cuts]
    )
