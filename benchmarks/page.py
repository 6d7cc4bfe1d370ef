"""``bench.html``: the report as one file that needs nothing else, charts as inline SVG.

Systems are told apart by marks, dashes and names, never by colour alone (benchmarks/charts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from html import escape
from typing import Any

from benchmarks import charts, rows

PAGE = "bench.html"
_STYLE = """
:root { color-scheme: light dark }
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere;
}
table { border-collapse: collapse; font-size: 14px; white-space: nowrap } .wide { overflow-x: auto }
th, td { text-align: left; padding: 0.1rem 0.6rem 0.1rem 0; border-bottom: 1px solid #8886 }
.verdict { font-size: 1.5rem; font-weight: 700 }
@page { margin: 15mm }
@media print {
  body { margin: 0; padding: 0; max-width: none; font-size: 10pt; color: #000; background: #fff }
  .chart { max-width: 12cm; margin: 0.5rem 0 } .chart, li, tr { break-inside: avoid }
  table { font-size: 8px }
  h2 { break-after: avoid }
}
"""


def page(data: dict[str, Any]) -> str:
    """The page of what :func:`benchmarks.bench_report.as_json` gave."""
    a, b = (backend["name"] for backend in data["backends"][:2])
    names = [backend["name"] for backend in data["backends"]]
    title = f"{b} against {a}: {data['verdict']}"
    body = [
        f"<h1>{escape(b)} against {escape(a)}</h1>",
        f'<p class="verdict">{escape(data["verdict"].upper())}</p>',
        _list(data["reasons"]),
        *(["<h2>Read this first</h2>", _list(data["notes"])] if data["notes"] else []),
        _paragraph(data),
        "<h2>Ratios</h2>",
        charts.figure(
            "B over A with its interval; the thick upright stroke is the margin, the dotted line 1",
            charts.ratios(data["ratios"]),
        ),
        _table(rows.RATIO, map(rows.ratio, data["ratios"])),
        "<p>Of errors: B less A, as rates.</p>",
        "<h2>Times</h2>",
        charts.figure(
            "p95 of each call with its interval", charts.quantiles(data["cells"], names, "p95")
        ),
    ]
    for call in dict.fromkeys(cell["call"] for cell in data["cells"]):
        cells = [cell for cell in data["cells"] if cell["call"] == call and cell["ecdf"]]
        caption = f"{call}: part of the calls that took no longer than so many milliseconds"
        drawn = [(names.index(e["backend"]), e["backend"], e["ecdf"]) for e in cells]
        body.append(charts.figure(caption, charts.curves(drawn, "ms", lambda part: f"{part:.0%}")))
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
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{charts.STYLE}{_STYLE}</style></head>\n'
        f"<body>{chr(10).join(body)}</body></html>\n"
    )


def _sweep(data: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Throughput and p95 against workers, each system's knee marked."""
    if not data["sweep"]:
        return []
    through: list[charts.Curve] = []
    waits: list[charts.Curve] = []
    for each in data["sweep"]:
        place, name, steps = names.index(each["backend"]), each["backend"], each["steps"]
        p95 = [(s["concurrency"], s["p95"]["value"]) for s in steps if s["p95"]]
        through.append((place, name, [(s["concurrency"], s["per_second"]) for s in steps]))
        waits.append((place, name, [(load, value) for load, value in p95 if value is not None]))
    knees = {each["backend"]: each["knee"] for each in data["sweep"] if each["knee"]}
    body = ["<h2>Against workers</h2>"]
    for caption, unit, curves in (("calls a second", "/s", through), ("p95 in ms", " ms", waits)):
        top = max((value for _, _, points in curves for _, value in points), default=0.0) or 1.0
        chart = charts.curves(curves, "", partial(_in, unit), top, knees)
        body.append(charts.figure(f"{caption}; a ring marks the knee", chart))
    body.append(
        _list(
            f"{e['backend']}: knee at {e['knee'] or 'no load that was tried'}"
            for e in data["sweep"]
        )
    )
    for each in data["sweep"]:
        body.append(f"<h3>{escape(each['backend'])}</h3>")
        body.append(_table(rows.STEP, map(rows.step, each["steps"])))
    return body


def _paragraph(data: dict[str, Any]) -> str:
    plan = f"{data['plan']['scenario']}, {data['loop']}, {data['plan']['turns']} turns"
    return f"<p>{escape(plan)}; margins {escape(', '.join(data['margins']))}; {data['began']}</p>"


def _in(unit: str, value: float) -> str:
    return f"{value:.0f}{unit}"


def _table(headings: Sequence[str], lines: Iterable[rows.Row]) -> str:
    """A table that scrolls by itself where the page is too narrow for it."""

    def line(cells: Iterable[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    made = line(headings, "th") + "".join(line(each, "td") for each in lines)
    return f'<div class="wide" tabindex="0"><table>{made}</table></div>'


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
