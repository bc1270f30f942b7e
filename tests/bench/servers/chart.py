"""The picture of a run: a panel of bars for one stub, one for ten thousand, and one for the proxies.

Law: an SVG written by hand that needs nothing from elsewhere. It has a ground of its own, light or dark
as the reader's system is, since whoever shows it may not follow that. Every bar starts at zero and stands
beside its number; all panels of a unit have one scale; nothing says when or where it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from .judging import FEW, MANY, Results, figures
from .measuring import Case
from .table import SERVERS, UNIT

_WIDTH, _MARGIN, _LABELS, _GAP = 880, 24, 204, 28
_ROW, _BAR, _HEAD = 24, 14, 96
# What the number beside the longest bar needs.
_NUMBER = 52

_STYLE = """
  .ground { fill: #ffffff; stroke: #d0d7de; }
  text { font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .note { font-size: 12px; fill: #59636e; }
  .panel { font-size: 13px; font-weight: 600; }
  .label, .number { font-size: 12.5px; }
  .number, .none { paint-order: stroke; stroke: #ffffff; stroke-width: 5px; stroke-linejoin: round; }
  .none { font-size: 12px; fill: #59636e; }
  .number { font-variant-numeric: tabular-nums; }
  .ours { font-weight: 600; }
  rect.ours { fill: #0969da; }
  rect.other { fill: #afb8c1; }
  line { stroke: #d0d7de; }
  .unit { stroke: #59636e; stroke-dasharray: 3 3; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117; stroke: #3d444d; }
    text { fill: #f0f6fc; }
    .note, .none { fill: #9198a1; }
    .number, .none { stroke: #0d1117; }
    rect.ours { fill: #4493f8; }
    rect.other { fill: #656c76; }
    line { stroke: #3d444d; }
    .unit { stroke: #9198a1; }
  }
"""


_RATE_NOTE = (
    "A raw ASGI app on uvicorn is 1.00 (dashed); longer is better. "
    "One worker on one core, the CPU time of all its processes."
)
_COST_NOTE = "Microseconds of all its processes; shorter is better. One worker on one core before nginx."


class _Bar(NamedTuple):
    """`values`: one for each panel, None where there is none, which `without` explains."""

    label: str
    ours: bool
    values: Sequence[float | None]
    without: str = "not measured"


def draw(results: Results) -> str:
    """The picture; servers or proxies that were not measured are left out of it."""
    counts = [count for count in (FEW, MANY) if any(case.stubs == count for case in results)]
    servers = _servers(results, counts)
    proxies = _proxies(results)
    parts: list[str] = []
    y = 0
    if servers:
        y = _section(
            parts, y, "Requests per CPU second", _RATE_NOTE,
            [_panel(count) for count in counts], servers, marked=1.0,
        )  # fmt: skip
    if proxies:
        y = _section(
            parts, y, "Reverse proxies: CPU time for a request", _COST_NOTE,
            ["a request that no rule matches"], proxies, digits=1,
        )  # fmt: skip
    height = y + 8
    title = "mockware beside other mock servers, frameworks and proxies"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
            f'  width="{_WIDTH}" height="{height}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _servers(results: Results, counts: Sequence[int]) -> list[_Bar]:
    unit = results.get(Case(UNIT, 1))
    if unit is None:
        return []
    bars = []
    for name, server in SERVERS.items():
        if server.proxy:
            continue
        found = [results.get(Case(name, count)) for count in counts]
        values = [None if one is None else 1 / one.times(unit) for one in found]
        if any(value is not None for value in values):
            without = "not measured" if server.many else "\u2013"
            bars.append(_Bar(server.title, server.ours, values, without))
    return sorted(bars, key=lambda bar: -(bar.values[0] or 0))


def _panel(count: int) -> str:
    return f"{count:,} rule or stub" if count == 1 else f"{count:,} rules or stubs"


def _proxies(results: Results) -> list[_Bar]:
    bars = []
    for name, server in SERVERS.items():
        result = results.get(Case(name, FEW))
        if server.proxy and result is not None:
            bars.append(_Bar(server.title, server.ours, [result.cpu_us]))
    return sorted(bars, key=lambda bar: bar.values[0] or 0)


def _section(
    parts: list[str],
    top: int,
    title: str,
    note: str,
    panels: Sequence[str],
    bars: Sequence[_Bar],
    *,
    marked: float | None = None,
    digits: int = 2,
) -> int:
    """Adds a section that begins at `top`; where it ends."""
    room = (_WIDTH - 2 * _MARGIN - _LABELS - _GAP * (len(panels) - 1)) / len(panels)
    scale = (room - _NUMBER) / max(value or 0 for bar in bars for value in bar.values)
    first, last = top + _HEAD, top + _HEAD + _ROW * len(bars)
    parts.append(_text("title", _MARGIN, top + 36, title))
    parts.append(_text("note", _MARGIN, top + 56, note))
    lefts = [_MARGIN + _LABELS + number * (room + _GAP) for number in range(len(panels))]
    for left, panel in zip(lefts, panels, strict=True):
        parts.append(_text("panel", left, first - 12, panel))
        parts.append(_line("axis", left, first - 2, last))
        if marked is not None:
            parts.append(_line("unit", left + marked * scale, first - 2, last))
    for number, bar in enumerate(bars):
        y = first + number * _ROW
        base = y + _ROW / 2 + 4.5
        kind = "ours" if bar.ours else "other"
        parts.append(_text(f"label {kind}", _MARGIN + _LABELS - 10, base, bar.label, "end"))
        for left, value in zip(lefts, bar.values, strict=True):
            if value is None:
                parts.append(_text("none", left + 6, base, bar.without))
                continue
            parts.append(
                f'<rect class="{kind}" x="{left:.1f}" y="{y + (_ROW - _BAR) / 2:.1f}" '
                f'width="{max(value * scale, 1):.1f}" height="{_BAR}" rx="2"/>'
            )
            parts.append(_text(f"number {kind}", left + value * scale + 6, base, figures(value, digits)))
    return last + 16


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(kind: str, x: float, top: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>'
