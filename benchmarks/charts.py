"""Charts as inline SVG, for pages that load nothing.

Backends are told apart by mark, dashes and name, never by colour: all is drawn in the colour of
the text around it. A chart is :data:`WIDTH` wide, so that a phone shows its letters nearly as large
as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

DASHES = ("none", "7 4", "2 3")
"""Of A, of B and of the baseline."""
WIDTH, HEIGHT, EDGE, ROW = 420, 190, 12, 24
STYLE = """
.chart { margin: 1rem 0; max-width: 36rem }
.chart svg { display: block; width: 100%; height: auto; font: 13px system-ui, sans-serif }
.chart svg text { fill: currentColor }
.chart svg line, .chart svg path { stroke: currentColor; fill: none }
.chart svg .knee { stroke: currentColor; stroke-width: 2; fill: none }
.chart svg .solid { fill: currentColor } .chart svg .grid { opacity: 0.3; stroke-dasharray: 1 2 }
.chart svg .margin { stroke-width: 3 }
.chart figcaption { font-size: 0.875rem }
"""
Row = Mapping[str, Any]
Curve = tuple[int, str, Sequence[tuple[float | None, float]]]
"""Place of its backend, name, points."""
_LABEL, _SAID = 84, 122
"""Room for what stands before and behind a row's interval."""
_LEAST = 0.01
"""A logarithmic axis has no zero."""


def ratios(rows: Sequence[Row]) -> str:
    """A row for each ratio: a dot, its interval as a line, its margin as an upright stroke."""
    rows = [row for row in rows if row["figure"] != "errors"]
    known = [row for row in rows if row["low"]]
    if not known:
        return _svg("Ratios", 40, _text(8, 24, "no ratio has an interval"))
    ends = [each[key] for each in known for key in ("value", "low", "high") if each[key]]
    ends += [row["margin"] for row in rows if row["margin"]] + [1.0]
    x = _log_scale(min(ends), max(ends), _LABEL, WIDTH - _SAID)
    bottom = ROW * len(rows) + EDGE
    parts = [_line(x(1), EDGE, x(1), bottom, "grid")]
    for number, each in enumerate(rows):
        y = ROW * number + 24
        parts.append(_text(4, y + 4, f"{each['call']} {each['figure']}"))
        if each in known:
            parts.append(_interval(x, each, y))
        if each in known and each["value"]:
            parts.append(_mark(0, x(each["value"]), y))
        if each["margin"]:
            parts.append(_line(x(each["margin"]), y - 9, x(each["margin"]), y + 9, "margin"))
        parts.append(_text(WIDTH - _SAID + 8, y + 4, _ratio_said(each)))
    parts.append(_axis(x, min(ends), max(ends), bottom + 18, ""))
    return _svg("Ratios B over A with intervals and margins", bottom + 26, "".join(parts))


def quantiles(cells: Sequence[Row], names: Sequence[str], figure: str) -> str:
    """One quantile with its interval: a row for each call and backend, in ms."""
    calls = dict.fromkeys(each["call"] for each in cells)
    rows = [
        (call, each, each["quantiles"][figure])
        for call in calls
        for each in sorted(cells, key=lambda cell: names.index(cell["backend"]))
        if each["call"] == call
    ]
    ends = [
        max(found[key], _LEAST)
        for _, _, found in rows
        for key in ("value", "low", "high")
        if found.get(key) is not None
    ]
    if not ends:
        return _svg(figure, 40, _text(8, 24, f"n too small for every {figure}"))
    x = _log_scale(min(ends), max(ends), _LABEL, WIDTH - _SAID)
    bottom = ROW * len(rows) + EDGE
    parts, before = [], None
    for number, (call, cell, found) in enumerate(rows):
        y, place = ROW * number + 24, names.index(cell["backend"])
        if call != before:
            parts.append(_line(0, y - ROW / 2, WIDTH, y - ROW / 2, "grid"))
            parts.append(_text(4, y + 4, call))
        before = call
        if found.get("value") is not None and found["low"] is not None:
            parts.append(_interval(x, found, y, DASHES[place]))
            parts.append(_mark(place, x(max(found["value"], _LEAST)), y))
        parts.append(_text(WIDTH - _SAID + 8, y + 4, _said(found)))
    parts.append(_axis(x, min(ends), max(ends), bottom + 18, "ms"))
    parts += _key(names, bottom + 44)
    height = bottom + 44 + ROW * len(names)
    return _svg(f"{figure} of each call with its interval", height, "".join(parts))


def curves(
    found: Sequence[Curve],
    unit: str,
    shown: Callable[[float], str],
    top: float = 1.0,
    marks: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Lines over a logarithmic axis, their names below, and a ring at each one's mark."""
    values = [max(at, _LEAST) for _, _, points in found for at, _ in points if at is not None]
    if not values:
        return _svg("Lines", 40, _text(8, 24, "nothing was measured"))
    left, below = 52, HEIGHT - 32
    x = _log_scale(min(values), max(values), left, WIDTH - EDGE)

    def y(value: float) -> float:
        return EDGE + (below - EDGE) * (1 - value / top)

    parts = []
    for part in (0.0, 0.5, 1.0):
        parts.append(_line(left, y(part * top), WIDTH - EDGE, y(part * top), "grid"))
        parts.append(_text(left - 6, y(part * top) + 4, shown(part * top), "end"))
    parts.append(_axis(x, min(values), max(values), below + 20, unit))
    for place, name, points in found:
        finite = [(at, value) for at, value in points if at is not None]
        way = " L".join(f"{x(max(at, _LEAST)):.1f} {y(value):.1f}" for at, value in finite)
        if way:
            parts.append(f'<path d="M{way}" stroke-width="2" stroke-dasharray="{DASHES[place]}"/>')
        parts += [
            f'<circle class="knee" cx="{x(at):.1f}" cy="{y(value):.1f}" r="6"/>'
            for at, value in finite
            if marks.get(name) == at
        ]
    for number, (place, name, _) in enumerate(found):
        parts += _key([name], HEIGHT + 8 + ROW * number, place)
    return _svg("Lines, each with its name", HEIGHT + ROW * len(found), "".join(parts))


def figure(caption: str, chart: str) -> str:
    """A chart with what it shows."""
    return f'<figure class="chart">{chart}<figcaption>{escape(caption)}</figcaption></figure>'


def number(value: float | None) -> str:
    """Three digits; None is infinite."""
    return "∞" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _ratio_said(each: Row) -> str:
    """Value and decision. Without any end the ratio is infinite where it failed; else n is too
    small for it."""
    if each["value"] is None and each["low"] is None and each["decision"] != "fail":
        return "n too small"
    value = "∞" if each["value"] is None else f"{each['value']:.2f}"
    return f"{value} {each['decision']}" if each["margin"] else value


def _said(found: Row) -> str:
    if "n_too_small" in found:
        return f"n too small (<{found['n_too_small']})"
    return f"{number(found['value'])} ms"


def _interval(x: Callable[[float], float], each: Row, y: float, dash: str = "none") -> str:
    """From its lower to its upper end; to the edge, with an arrow, where there is none."""
    low = x(max(each["low"], _LEAST))
    high = WIDTH - _SAID if each["high"] is None else x(max(each["high"], _LEAST))
    ends = f"M{low:.1f} {y - 5} v10 " + (
        f"M{high - 5:.1f} {y - 5} l5 5 l-5 5"
        if each["high"] is None
        else f"M{high:.1f} {y - 5} v10"
    )
    return (
        f'<path class="interval" d="M{low:.1f} {y} H{high:.1f}" stroke-width="2"'
        f' stroke-dasharray="{dash}"/><path class="ends" d="{ends}"/>'
    )


def _mark(place: int, x: float, y: float) -> str:
    """A dot for A, an open square for B, a cross for the baseline."""
    if place == 0:
        return f'<circle class="solid" cx="{x:.1f}" cy="{y}" r="4"/>'
    if place == 1:
        return f'<path class="mark" d="M{x - 4.5:.1f} {y - 4.5} h9 v9 h-9 z" stroke-width="2"/>'
    arms = f"M{x - 4.5:.1f} {y - 4.5} l9 9 M{x - 4.5:.1f} {y + 4.5} l9 -9"
    return f'<path class="mark" d="{arms}" stroke-width="2"/>'


def _key(names: Sequence[str], top: float, first: int = 0) -> list[str]:
    parts = []
    for place, name in enumerate(names, start=first):
        y = top + ROW * (place - first)
        dash = DASHES[place]
        parts.append(f'<path d="M8 {y} h40" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts += [_mark(place, 28, y), _text(58, y + 4, name)]
    return parts


def _axis(x: Callable[[float], float], low: float, high: float, y: float, unit: str) -> str:
    ticks = (_text(x(tick), y, f"{tick:g}", "middle") for tick in _ticks(low, high))
    return _text(4, y, unit) + "".join(ticks)


def _log_scale(low: float, high: float, left: float, right: float) -> Callable[[float], float]:
    first, last = math.log(low), math.log(max(high, low * 1.01))
    return lambda value: left + (right - left) * (math.log(value) - first) / (last - first)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, not more than about six; the lower end where there is none."""
    steps = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [
        step * 10.0**power
        for power in powers
        for step in steps
        if low <= step * 10.0**power <= high
    ]
    return found or [float(f"{low:.2g}")]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(name: str, height: float, inner: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(name)}">'
        f"{inner}</svg>"
    )
