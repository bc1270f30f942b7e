"""Ten thousand rules, in the arrangements that are awkward for an index of paths.

Law: each set names one of its rules (or a few) as the small set of the same kind, and the requests
that are put to both: the same path, so that nothing differs but the number of rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

COUNT = 10_000
_I = 7777  # the rule that the requests ask for; any would do


class RuleSet(NamedTuple):
    """`hits` and `misses` are paths. `stated`: too awkward for a goal, but the cost is to be known."""

    title: str
    rules: list[str]
    few: list[str]
    hits: tuple[str, ...]
    misses: tuple[str, ...]
    stated: bool = False


def mixed() -> list[str]:
    """Half exact paths, half templates below them."""
    return [rule for i in range(COUNT // 2) for rule in (f"/api/v1/res{i}", f"/api/v1/res{i}/{{id}}")]


def awkward() -> list[RuleSet]:
    deep = "/org/eu/team/core/project/apollo/env/staging"
    return [
        _same("a parameter first", lambda i: f"/{{tenant}}/r{i}", "/acme/r7777", "/acme/rx"),
        _same("a path parameter first", lambda i: f"/{{rest:path}}/x{i}", "/a/b/c/x7777", "/a/b/c/y"),
        _same("shared deep prefix", lambda i: f"{deep}/s{i}/{{id}}", f"{deep}/s7777/1", f"{deep}/none/1"),
        _same("suffix", lambda i: f"/f/{{name}}-{i}.json", "/f/report-7777.json", "/f/report-x.json"),
        _same(
            "suffix and literal between",
            lambda i: f"/f/{{name}}-{i}-{{size}}.json",
            "/f/r-7777-big.json",
            "/f/r-x-big.json",
        ),
        _same(
            "a literal in common and one between",
            lambda i: f"/{{a}}-common-{{b}}-x{i}-{{c}}",
            "/q-common-w-x7777-e",
            "/q-common-w-y-e",
        ),
        _same("literal between", lambda i: f"/g/{{a}}-m{i}-{{b}}", "/g/x-m7777-y", "/g/x-n-y"),
        _same(
            "literal between, path of 300 characters",
            lambda i: f"/g/{{a}}-m{i}-{{b}}",
            f"/g/{'x' * 290}-m7777-y",
            f"/g/{'x' * 290}-n-y",
        ),
        RuleSet(
            "exact and template in file order",
            [rule for i in range(COUNT // 2) for rule in _in_turn(i)],
            [*_in_turn(2500), *_in_turn(2501)],
            ("/o/s2500/1", "/o/s2501/1", "/o/s2500/2"),
            ("/o/none/1",),
        ),
        _same(
            "two literals of a hundred each",
            lambda i: f"/a{i % 100}/x/{{id}}/b{i // 100}",
            "/a77/x/5/b77",
            "/a77/x/5/none",
        ),
        _same(
            "suffixes of 100 lengths",
            lambda i: f"/k/{{name}}-{i:0{4 + i % 100}d}",
            f"/k/report-{_I:0{4 + _I % 100}d}",
            f"/k/report-{'x' * 90}",
        )._replace(stated=True),
        _same("1024 shapes", _shape, "/" + "/".join(_literals(_I)), "/" + "/".join(["none"] * 10))._replace(
            stated=True
        ),
    ]


def same_path(count: int) -> str:
    """A rules file: so many rules on one path, told apart by a condition on a header."""
    return "".join(
        f'[[rules]]\nmatch = "/same"\nwhen = {{ headers = {{ x-forwarded-for = "{i}" }} }}\n'
        for i in range(count)
    )


def _same(title: str, rule: Callable[[int], str], hit: str, miss: str) -> RuleSet:
    return RuleSet(title, [rule(i) for i in range(COUNT)], [rule(_I)], (hit,), (miss,))


def _in_turn(i: int) -> list[str]:
    pair = [f"/o/s{i}/{{id}}", f"/o/s{i}/1"]
    return pair if i % 2 else pair[::-1]


def _literals(i: int) -> list[str]:
    return [f"l{position}x{i // 1024}" for position in range(10)]


def _shape(i: int) -> str:
    """Ten segments; the bits of `i` say which of them are parameters."""
    return "".join(
        f"/{{p{position}}}" if i >> position & 1 else f"/{literal}"
        for position, literal in enumerate(_literals(i))
    )
