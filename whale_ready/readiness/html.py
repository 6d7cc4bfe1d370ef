"""``readiness.html``: the answer on one page that loads nothing, needs no script, and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from benchmarks import charts
from conformance.report.html import WORDS, bar
from conformance.report.matrix import Matrix
from conformance.report.pages import pages, part, plain
from whale_ready.preflight.items import ItemState
from whale_ready.readiness.answers import age
from whale_ready.readiness.decision import ReadinessVerdict
from whale_ready.readiness.evidence import BenchFile
from whale_ready.readiness.result import ReadinessReport

LONGEST = 2_000
"""Characters of one text of a file that are shown; the file has all."""
LOOKS = {
    ReadinessVerdict.GO: "passed",
    ReadinessVerdict.NO_GO: "failed",
    ReadinessVerdict.NOT_ENOUGH: "inconclusive",
}
SYMBOLS = {ReadinessVerdict.GO: "✓", ReadinessVerdict.NO_GO: "✗", ReadinessVerdict.NOT_ENOUGH: "?"}
STATES = {
    ItemState.OK: ("pass", "✓", "ok"),
    ItemState.NOT_OK: ("fail", "✗", "NOT OK"),
    ItemState.NOT_CHECKABLE: ("partly", "?", "not checkable"),
}


def to_html(result: ReadinessReport) -> str:
    """The page as text."""
    environment = _environment()
    bench = result.evidence.bench
    return environment.get_template("readiness.html.jinja").render(
        result=result,
        verdict=result.decision.verdict,
        evidence=result.evidence,
        matrix=Matrix.of(result.evidence.check.report) if result.evidence.check else None,
        charts=_charts(bench) if bench is not None else (),
        decided=[ratio for ratio in bench.ratios if ratio.margin is not None] if bench else (),
        style=charts.STYLE + part(environment, "base.css") + part(environment, "readiness.css"),
    )


def _charts(bench: BenchFile) -> Sequence[Markup]:
    names = [_shown(backend.name) for backend in bench.backends]
    cells = [{**cell, "backend": _shown(cell["backend"])} for cell in bench.cells]
    held: list[Mapping[str, Any]] = [
        vars(ratio) for ratio in bench.ratios if ratio.margin is not None
    ]
    a, b = names[:2]
    drawn = (
        charts.figure(
            "p95 of each call in ms, with the interval that holds it at 95 %",
            charts.quantiles(cells, names, "p95"),
        ),
        charts.figure(
            f"{b} over {a} with its interval; the thick upright stroke is the margin, the dotted "
            "line 1",
            charts.ratios(held),
        ),
    )
    return [Markup(each) for each in drawn]  # noqa: S704 - charts escape what they are given


def _shown(name: str) -> str:
    return str(plain(name))


def _finalized(value: object) -> object:
    """Plain, and no longer than a page can hold."""
    if isinstance(value, str) and not hasattr(value, "__html__") and len(value) > LONGEST:
        value = f"{value[:LONGEST]} … {len(value) - LONGEST} more characters are in its file"
    return plain(value)


@cache
def _environment() -> jinja2.Environment:
    environment = pages("whale_ready.readiness")
    environment.finalize = _finalized
    environment.filters |= {"bar": bar, "age": age}
    environment.globals |= {
        "status_words": WORDS,
        "looks": LOOKS,
        "symbols": SYMBOLS,
        "states": STATES,
    }
    return environment
