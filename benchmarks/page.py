"""``bench.html``: the report as one file that needs nothing else, charts as inline SVG.

Systems are told apart by marks, dashes and names, never by colour alone (benchmarks/charts.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from benchmarks import charts

PAGE = "bench.html"
_STYLE = """
:root { color-scheme: light dark }
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  overflow-wrap: anywhere;
}
.verdict { font-size: 1.5rem; font-weight: 700 }
@page { margin: 15mm }
@media print {
  body { margin: 0; padding: 0; max-width: none; font-size: 10pt; color: #000; background: #fff }
  .chart { max-width: 12cm; margin: 0.5rem 0 } .chart, li { break-inside: avoid }
  h2 { break-after: avoid }
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
        charts.figure(
            "B over A with its interval; the thick upright stroke is the margin, the dotted line 1",
            charts.ratios(data["ratios"]),
        ),
        "<h2>Times</h2>",
        charts.figure(
            "p95 of each call with its interval", charts.quantiles(data["cells"], names, "p95")
        ),
    ]
    for call in dict.fromkeys(each["call"] for each in data["cells"]):
        cells = [each for each in data["cells"] if each["call"] == call and each["ecdf"]]
        caption = f"{call}: part of the calls that took no longer than so many milliseconds"
        drawn = [(names.index(e["backend"]), e["backend"], e["ecdf"]) for e in cells]
        body.append(charts.figure(caption, charts.curves(drawn, "ms", lambda part: f"{part:.0%}")))
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
        f'<link rel="icon" href="data:,"><style>{charts.STYLE}{_STYLE}</style></head>\n'
        f"<body>{chr(10).join(body)}</body></html>\n"
    )


def _sweep(data: dict[str, Any], names: Sequence[str]) -> list[str]:
    if not data["sweep"]:
        return []
    curves = [
        (
            names.index(each["backend"]),
            each["backend"],
            [(step["concurrency"], step["per_second"]) for step in each["steps"]],
        )
        for each in data["sweep"]
    ]
    top = max(value for _, _, points in curves for _, value in points) or 1.0
    knees = [
        f"{e['backend']}: knee at {e['knee'] or 'no load that was tried'}" for e in data["sweep"]
    ]
    chart = charts.curves(curves, "", lambda value: f"{value:.0f}/s", top)
    return [
        "<h2>Throughput against workers</h2>",
        charts.figure("calls a second", chart),
        _list(knees),
    ]


def _paragraph(data: dict[str, Any]) -> str:
    plan = f"{data['plan']['scenario']}, {data['loop']}, {data['plan']['turns']} turns"
    return f"<p>{escape(plan)}; margins {escape(', '.join(data['margins']))}; {data['began']}</p>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
