"""Section 2: ten thousand rules against one rule of the same kind, and against an exact path.

Law: the same request goes to both. For a passthrough the cost is what is added to the bare app, for a
match the whole call, and neither has the harness in it: the strictest reading of the goal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from . import rivals
from .report import Report
from .rule_sets import COUNT, RuleSet, awkward, mixed, same_path
from .rules_files import toml, wrapped
from .timing import Costs, Loop, measure
from .traffic import Message, asgi_loop, wsgi_loop

GOAL = 1.3
# A template walk may cost that much more than an exact path.
WALK_NS = 500

App = Callable[..., Any]
MakeLoop = Callable[[App, Message], Loop]
_COLUMNS = "request | few rules | 10,000 | more | range | ratio | goal | holds"


class Side(NamedTuple):
    name: str
    loop: MakeLoop
    bare: App
    nothing: App


SIDES = (
    Side("ASGI", asgi_loop, rivals.asgi_bare, rivals.asgi_nothing),
    Side("WSGI", wsgi_loop, rivals.wsgi_bare, rivals.wsgi_nothing),
)

_EXACT, _TEMPLATE = "/api/v1/res2500", "/api/v1/res2500/{id}"
# Same number of segments as the template, so that no index can tell by the length alone.
_PASSING = {
    "foreign path": "/shop/v2/cart/7",
    "short foreign path": "/healthz",
    "same prefix": "/api/v1/other/7",
    "same prefix, no more": "/api/v1/other",
}
_MATCHING = {"exact match": _EXACT, "template match": _EXACT + "/42"}


def run(report: Report, *, quick: bool) -> None:
    for side in SIDES:
        _mixed(report, side, quick)
    for side in SIDES[:1] if quick else SIDES:
        rows: list[list[str]] = []
        for rule_set in awkward():
            rows += _awkward(report, side, rule_set, quick)
        report.table(f"2. Awkward sets of 10,000, {side.name} (ns a call)", _COLUMNS, rows)
    _same_path(report, quick)


def _measure(loops: Callable[[], Mapping[str, Loop]], quick: bool) -> Costs:
    return measure(loops, rounds=3 if quick else 30, builds=1 if quick else 4)


def _mixed(report: Report, side: Side, quick: bool) -> None:
    apps = {
        "exact": wrapped(side.bare, toml([_EXACT])),
        "template": wrapped(side.bare, toml([_TEMPLATE])),
        "many": wrapped(side.bare, toml(mixed())),
    }
    paths = {**_PASSING, **_MATCHING}

    def loops() -> dict[str, Loop]:
        found = {"bare": side.loop(side.bare, Message("/healthz"))}
        found["nothing"] = side.loop(side.nothing, Message("/healthz"))
        for label, path in paths.items():
            for name, app in apps.items():
                found[f"{label}, {name}"] = side.loop(app, Message(path))
        return found

    costs = _measure(loops, quick)
    rows, walks = [], []
    for label in paths:
        base = "bare" if label in _PASSING else "nothing"
        many = f"{label}, many"
        for kind in ("exact", "template"):
            # One exact rule cannot match the template's path, nor the other way round.
            if label in _MATCHING and not label.startswith(kind):
                continue
            few = f"{label}, {kind}"
            if kind == "template" or label == "exact match":
                rows.append(_row(report, side, f"{label}, few = one {kind}", costs, base, few, many))
        walks.append(_walk_row(report, side, label, costs, base, many))
    title = f"2. 10,000 rules, half exact, half templates, {side.name} (ns a call)"
    report.table(title, _COLUMNS, rows)
    title = f"2. The same against 1.3 times one exact rule, {side.name} (ns a call)"
    report.table(title, "request | one exact | 10,000 | range | above 1.3 times | goal | holds", walks)
    _spread(report, side, apps["many"], quick)


def _row(
    report: Report, side: Side, label: str, costs: Costs, base: str, few: str, many: str, judged: bool = True
) -> list[str]:
    ratio = costs.of(lambda large, small, rest: (large - rest) / (small - rest), many, few, base)
    cells = [
        label,
        f"{costs.above(few, base):.0f}",
        f"{costs.above(many, base):.0f}",
        f"{costs.above(many, few):+.0f}",
        str(ratio),
    ]
    if not judged:
        return [*cells, f"{ratio.value:.3f}", "stated"]
    return [*cells, *report.judge(f"10,000 rules {side.name}: {label}", ratio.value, at_most=GOAL)]


def _walk_row(report: Report, side: Side, label: str, costs: Costs, base: str, many: str) -> list[str]:
    few = "exact match, exact" if base == "nothing" else f"{label}, exact"
    above = costs.of(lambda large, small, rest: large - rest - GOAL * (small - rest), many, few, base)
    cells = [label, f"{costs.above(few, base):.0f}", f"{costs.above(many, base):.0f}", str(above)]
    what = f"10,000 rules {side.name}, ns above an exact path: {label}"
    return [*cells, *report.judge(what, above.value, at_most=WALK_NS)]


def _spread(report: Report, side: Side, many: App, quick: bool) -> None:
    """Requests for every rule in turn, as nobody's caches like them. No goal; to be known."""
    every = [path.replace("{id}", "42") for path in mixed()]
    asked = {"exact": every[::2], "template": every[1::2]}

    def loops() -> dict[str, Loop]:
        found = {}
        for kind, paths in asked.items():
            spread = Message(paths[0], more_paths=tuple(paths[1:]))
            found[f"{kind}, nothing, one"] = side.loop(side.nothing, Message(paths[2500]))
            found[f"{kind}, nothing, all"] = side.loop(side.nothing, spread)
            found[f"{kind}, one"] = side.loop(many, Message(paths[2500]))
            found[f"{kind}, all"] = side.loop(many, spread)
        return found

    costs = _measure(loops, quick)
    rows = []
    for kind in asked:
        one, all_of_them = (costs.above(f"{kind}, {n}", f"{kind}, nothing, {n}") for n in ("one", "all"))
        cells = [one, all_of_them, all_of_them / one]
        rows.append([kind, *(f"{cell:.2f}" if cell < 100 else f"{cell:.0f}" for cell in cells)])
    columns = "match | one of them | all in turn | ratio"
    report.table(f"2. 10,000 rules, all of them asked for in turn, {side.name} (ns; stated)", columns, rows)


def _awkward(report: Report, side: Side, rule_set: RuleSet, quick: bool) -> Iterable[list[str]]:
    apps = {"few": wrapped(side.bare, toml(rule_set.few)), "many": wrapped(side.bare, toml(rule_set.rules))}

    def loops() -> dict[str, Loop]:
        found = {}
        for path in (*rule_set.hits, *rule_set.misses):
            found[f"{path}, bare"] = side.loop(side.bare, Message(path))
            found[f"{path}, nothing"] = side.loop(side.nothing, Message(path))
            for name, app in apps.items():
                found[f"{path}, {name}"] = side.loop(app, Message(path))
        return found

    costs = _measure(loops, quick)
    for path in (*rule_set.hits, *rule_set.misses):
        hit = path in rule_set.hits
        base = f"{path}, {'nothing' if hit else 'bare'}"
        label = f"{rule_set.title}: {'match' if hit else 'pass'} {path[:24]}"
        few, many = f"{path}, few", f"{path}, many"
        yield _row(report, side, label, costs, base, few, many, judged=not rule_set.stated)


def _same_path(report: Report, quick: bool) -> None:
    side, counts = SIDES[0], (1, 10, 100, 1000)
    apps = {str(count): wrapped(side.bare, same_path(count)) for count in counts}

    def loops() -> dict[str, Loop]:
        found = {"bare": side.loop(side.bare, Message("/same"))}
        return found | {name: side.loop(app, Message("/same")) for name, app in apps.items()}

    costs = _measure(loops, quick)
    rows = []
    for count in counts:
        added = costs.above(str(count), "bare")
        rows.append([str(count), f"{added:.0f}", f"{added / count:.0f}"])
    title = f"2. Rules on one same path, none of which matches, {side.name} (ns; stated)"
    report.table(title, "rules | added | for each", rows)


assert COUNT == 10_000, "the tables say so"
