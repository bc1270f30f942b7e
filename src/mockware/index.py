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
from typing import Generic, TypeVar

from .paths import Affix, PathTemplate

T = TypeVar("T")

_Key = Callable[[list[str]], object]


class _Group(Generic[T]):
    """Templates that differ in nothing but their parameters' names, and what stands behind them."""

    __slots__ = ("members", "template", "values")

    def __init__(self, template: PathTemplate) -> None:
        self.template = template
        self.members: list[tuple[int, T]] = []
        self.values: tuple[T, ...] = ()

    def add(self, number: int, value: T) -> None:
        self.members.append((number, value))
        self.values += (value,)


class _Bucket(Generic[T]):
    """The groups whose literal segments agree: told apart by edges, by inner literals, or not at all."""

    __slots__ = ("by_edges", "by_inner", "rest")

    def __init__(self) -> None:
        self.rest: list[_Group[T]] = []
        # Each kind of edges (positions and lengths) is a look-up of its own.
        self.by_edges: dict[object, tuple[_Key, dict[object, list[_Group[T]]]]] = {}
        # By length, then by text.
        self.by_inner: dict[int, dict[str, list[_Group[T]]]] = {}

    def add(self, group: _Group[T]) -> None:
        affixes, inner = group.template.affixes, group.template.inner
        if affixes:
            kind = tuple((position, len(prefix), len(suffix)) for position, prefix, suffix in affixes)
            _, table = self.by_edges.setdefault(kind, (_edges_key(affixes), {}))
            table.setdefault(_edges(affixes), []).append(group)
        elif inner:
            self.by_inner.setdefault(len(inner), {}).setdefault(inner, []).append(group)
        else:
            self.rest.append(group)

    def told_apart(self, path: str, segments: list[str]) -> list[_Group[T]]:
        """The groups beside `rest` whose edges or inner literals stand in `path`."""
        groups: list[_Group[T]] = []
        for key, table in self.by_edges.values():
            groups += table.get(key(segments), ())
        for length, by_text in self.by_inner.items():
            for text in {path[i : i + length] for i in range(len(path) - length + 1)} & by_text.keys():
                groups += by_text[text]
        return groups


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
        self._shapes = [
            [
                *closed.get(length, {}).values(),
                *(shape for least in range(length + 1) for shape in spanning.get(least, {}).values()),
            ]
            for length in range(longest + 1)
        ]
        self._longest = longest
        self._exact: dict[str, tuple[T, ...]] = {}
        self._exact = {
            path: _in_order([*members, *(member for group in self._groups(path) for member in group.members)])
            for path, members in exact.items()
        }
        self.find = self._find if groups else self._exact.get

    def _find(self, path: str) -> Sequence[T] | None:
        found = self._exact.get(path)
        if found is not None:
            return found
        groups = self._groups(path)
        if not groups:
            return None
        if len(groups) == 1:
            return groups[0].values
        return _in_order([member for group in groups for member in group.members])

    def _groups(self, path: str) -> list[_Group[T]]:
        segments = path.split("/")
        length = len(segments)
        groups: list[_Group[T]] = []
        if segments[0]:  # no path at all, such as the `*` of `OPTIONS *`
            return groups
        for key, buckets in self._shapes[min(self._longest, length)]:
            bucket = buckets.get(key(segments))
            if bucket is None:
                continue
            for group in bucket.rest:
                if group.template.accepts(path, segments):
                    groups.append(group)
            if bucket.by_edges or bucket.by_inner:
                for group in bucket.told_apart(path, segments):
                    if group.template.accepts(path, segments):
                        groups.append(group)
        return groups


def _in_order(members: list[tuple[int, T]]) -> tuple[T, ...]:
    return tuple(value for _, value in sorted(members, key=itemgetter(0)))


def _segments_key(positions: tuple[int, ...]) -> _Key:
    return itemgetter(*positions) if positions else _nothing


def _nothing(segments: list[str]) -> tuple[()]:
    return ()


def _edges(affixes: list[Affix]) -> object:
    position, prefix, suffix = affixes[0]
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
