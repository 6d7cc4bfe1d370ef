"""``bench.html``: the report as one file that needs nothing else, charts as inline SVG.

Systems are told apart by dashes and by name at the line, never by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from types import MappingProxyType
from typing import Any

from benchmarks import rows

PAGE = "bench.html"
DASHES = ("none", "7 4", "2 3")
"""Of A, of B and of the baseline."""
WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM = 640, 220, 64, 190, 36
_TOP = 12
_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto; font-size: 13px } svg text { fill: currentColor }
svg line, svg path { stroke: currentColor; fill: none } svg circle { fill: currentColor }
table { border-collapse: collapse; font-size: 14px; white-space: nowrap } .wide { overflow-x: auto }
th, td { text-align: left; padding: .1rem .6rem .1rem 0; border-bottom: 1px solid #8886 }
.grid { opacity: .25 } figure { margin: 1rem 0; max-width: 46rem }
.verdict { font-size: 1.5rem; font-weight: 700 }
@media print {
  body { margin: 0; max-width: none } figure, tr { break-inside: avoid } table { font-size: 8px }
}
"""


def page(data: dict[str, Any]) -> str:
    """The page of what :func:`benchmarks.bench_report.as_json` gave."""
    a, b = (each["name"] for each in data["backends"][:2])
    names = [each["name"] for each in data["backends"]]
    title = f"{b} against {a}: {data['verdict']}"
    body = [
        f"<h1>{escape(b)} against {escape(a)}</h1>",
        f'<p class="verdict">{escape(data["verdict"].upper())}</p>',
        _list(data["reasons"]),
        _paragraph(data),
        "<h2>Ratios</h2>",
        _figure("B over A with its interval; the upright stroke is the margin", _forest(data)),
        _table(rows.RATIO, map(rows.ratio, data["ratios"])),
        "<p>Of errors: B less A, as rates.</p>",
        "<h2>Times</h2>",
    ]
    for call in dict.fromkeys(each["call"] for each in data["cells"]):
        cells = [each for each in data["cells"] if each["call"] == call and each["ecdf"]]
        curves = [(_dash(names, each["backend"]), each["backend"], each["ecdf"]) for each in cells]
        caption = f"{call}: part of the calls that took no longer than so many milliseconds"
        body.append(_figure(caption, _curves(curves, "ms", lambda part: f"{part:.0%}")))
    body += [
        "<p>In milliseconds, with intervals; an infinite one lies beyond all that was seen.</p>",
        _table(rows.CELL, map(rows.cell, data["cells"])),
        "<h2>Throughput and cost</h2>",
        _table(rows.THROUGHPUT, map(rows.throughput, data["throughput"])),
        _list(map(rows.cost, data["resources"])),
    ]
    body += _sweep(data, names)
    where = (f"{key}: {value}" for key, value in data["environment"].items())
    body += ["<h2>Where</h2>", _list(where)]
    body.append(_list(f"{e['role']}: {e['name']}, {e['kind']}" for e in data["backends"]))
    if data["notes"]:
        body += ["<h2>To be known first</h2>", _list(data["notes"])]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>\n'
        f"<body>{chr(10).join(body)}</body></html>\n"
    )


def _forest(data: dict[str, Any]) -> str:
    """A row for each ratio: a dot, its interval as a line, its margin as a stroke."""
    rows = [
        each
        for each in data["ratios"]
        if each["figure"] != "errors" and each["value"] and each["low"] and each["high"]
    ]
    if not rows:
        return _svg(40, '<text x="8" y="24">n too small for every ratio</text>')
    ends = [each[key] for each in rows for key in ("low", "high")]
    ends += [each["margin"] for each in rows if each["margin"]] + [1.0]
    x = _log_scale(min(ends), max(ends), LEFT + 60, WIDTH - RIGHT)
    height = 24 * len(rows) + 40
    parts = [_line(x(1), _TOP, x(1), height - 28, "grid")]
    for number, each in enumerate(rows):
        y = 24 * number + 24
        parts.append(_text(4, y + 4, f"{each['call']} {each['figure']}"))
        parts.append(_line(x(each["low"]), y, x(each["high"]), y))
        parts.append(f'<circle cx="{x(each["value"]):.1f}" cy="{y}" r="4"/>')
        said = f"{each['value']:.2f}"
        if each["margin"]:
            at = x(each["margin"])
            parts.append(_line(at, y - 9, at, y + 9))
            said += f" {each['decision']}"
        parts.append(_text(WIDTH - RIGHT + 10, y + 4, said))
    ticks = _ticks(min(ends), max(ends))
    parts += [_text(x(tick), height - 10, f"{tick:g}", "middle") for tick in ticks]
    return _svg(height, "".join(parts))


Curve = tuple[str, str, Sequence[Sequence[float]]]
"""Its dashes, its name, its points."""


def _curves(
    curves: Sequence[Curve],
    unit: str,
    shown: Callable[[float], str],
    top: float = 1.0,
    marks: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Lines over a logarithmic axis, each with its name at its end, and a dot at its mark."""
    values = [max(at, 0.01) for _, _, points in curves for at, _ in points]
    if not values:
        return _svg(40, '<text x="8" y="24">nothing was measured</text>')
    x = _log_scale(min(values), max(values), LEFT, WIDTH - RIGHT)

    def y(value: float) -> float:
        return _TOP + (HEIGHT - BOTTOM - _TOP) * (1 - value / top)

    parts = []
    for part in (0.0, 0.5, 1.0):
        parts.append(_line(LEFT, y(part * top), WIDTH - RIGHT, y(part * top), "grid"))
        parts.append(_text(LEFT - 6, y(part * top) + 4, shown(part * top), "end"))
    ticks = _ticks(min(values), max(values))
    parts += [_text(x(tick), HEIGHT - 12, f"{tick:g} {unit}", "middle") for tick in ticks]
    for number, (dash, name, points) in enumerate(curves):
        way = " L".join(f"{x(max(at, 0.01)):.1f} {y(value):.1f}" for at, value in points)
        if not way:
            continue
        parts.append(f'<path d="M{way}" stroke-width="2" stroke-dasharray="{dash}"/>')
        for at, value in points:
            if marks.get(name) == at:
                parts.append(f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="5"/>')
        key, row = WIDTH - RIGHT + 8, _TOP + 12 + 22 * number
        parts.append(f'<path d="M{key} {row - 4} h26" stroke-width="2" stroke-dasharray="{dash}"/>')
        parts.append(_text(key + 32, row, name))
    return _svg(HEIGHT, "".join(parts))


def _sweep(data: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Throughput and p95 against workers, each system's knee marked."""
    if not data["sweep"]:
        return []
    through: list[Curve] = []
    waits: list[Curve] = []
    for each in data["sweep"]:
        dash, name, steps = _dash(names, each["backend"]), each["backend"], each["steps"]
        p95 = [(s["concurrency"], s["p95"]["value"]) for s in steps if s["p95"]]
        through.append((dash, name, [(s["concurrency"], s["per_second"]) for s in steps]))
        waits.append((dash, name, [(load, value) for load, value in p95 if value is not None]))
    knees = {each["backend"]: each["knee"] for each in data["sweep"] if each["knee"]}
    told = [
        f"{e['backend']}: knee at {e['knee'] or 'no load that was tried'}" for e in data["sweep"]
    ]
    body = ["<h2>Against workers</h2>"]
    for caption, unit, curves in (("calls a second", "/s", through), ("p95 in ms", " ms", waits)):
        top = max((value for _, _, points in curves for _, value in points), default=0.0) or 1.0
        chart = _curves(curves, "", partial(_in, unit), top, knees)
        body.append(_figure(f"{caption}; a dot marks the knee", chart))
    body.append(_list(told))
    for each in data["sweep"]:
        body += [
            f"<h3>{escape(each['backend'])}</h3>",
            _table(rows.STEP, map(rows.step, each["steps"])),
        ]
    return body


def _paragraph(data: dict[str, Any]) -> str:
    plan = f"{data['plan']['scenario']}, {data['loop']}, {data['plan']['turns']} turns"
    return f"<p>{escape(plan)}; margins {escape(', '.join(data['margins']))}; {data['began']}</p>"


def _in(unit: str, value: float) -> str:
    return f"{value:.0f}{unit}"


def _dash(names: Sequence[str], name: str) -> str:
    return DASHES[names.index(name)]


def _log_scale(low: float, high: float, left: float, right: float) -> Callable[[float], float]:
    first, last = math.log(low), math.log(max(high, low * 1.01))
    return lambda value: left + (right - left) * (math.log(value) - first) / (last - first)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between the two, not more than about six."""
    steps = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [
        step * 10.0**power
        for power in powers
        for step in steps
        if low <= step * 10.0**power <= high
    ]


def _line(x1: float, y1: float, x2: float, y2: float, kind: str = "") -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, inner: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img">{inner}</svg>'


def _table(headings: Sequence[str], lines: Iterable[rows.Row]) -> str:
    """A table that scrolls by itself where the page is too narrow for it."""

    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(each))}</{tag}>" for each in cells) + "</tr>"

    made = line(headings, "th") + "".join(line(each, "td") for each in lines)
    return f'<div class="wide"><table>{made}</table></div>'


def _figure(caption: str, chart: str) -> str:
    return f"<figure>{chart}<figcaption>{escape(caption)}</figcaption></figure>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
