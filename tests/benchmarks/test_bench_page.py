"""``bench.html`` as a browser shows it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from support.shown_pages import Pages, assert_all_fits_and_can_be_read, assert_printed_in_black

from benchmarks.charts import DASHES
from benchmarks.page import page


def cell(backend: str, call: str, slower: float) -> dict[str, Any]:
    ecdf = [[slower * (1 + number), number / 100] for number in range(101)]
    p95 = {"value": 96 * slower, "low": 90 * slower, "high": 105 * slower}
    told = {"value": slower, "low": slower - 0.5, "high": None}
    return {
        "backend": backend,
        "call": call,
        "n": 100,
        "ecdf": ecdf,
        "quantiles": {"p50": told, "p90": told, "p95": p95, "p99": {"n_too_small": 368}},
        "failed": {"count": 3},
        "unknown": {"count": 2},
        "dropped": 1,
    }


def step(load: int) -> dict[str, Any]:
    p95 = {"value": 10.0 * load, "low": 5.0, "high": None} if load < 16 else None
    return {"concurrency": load, "per_second": min(10.0 * load, 80.0), "p95": p95, "n": 9 * load}


NAMES = ("cre", "whale:<fake>:docker", "raw docker")
DATA: dict[str, Any] = {
    "verdict": "fail",
    "reasons": ["start p95: 1.9 [1.5, 2.3]"],
    "plan": {"scenario": "contest", "turns": 12},
    "loop": "open loop",
    "margins": ["p95=1.2"],
    "began": "2026-01-01T00:00:00+00:00",
    "environment": {"processors": 2},
    "backends": [
        {"name": name, "role": role, "kind": "a system"}
        for name, role in zip(NAMES, ("A", "B", "baseline"), strict=True)
    ],
    "notes": ["a fake answers"],
    "cells": [cell(name, "start", 1.0 + place) for place, name in enumerate(NAMES)],
    "ratios": [
        {"call": "start", "figure": "p95", "value": 1.9, "low": 1.5, "high": 2.3, "margin": 1.2,
         "decision": "fail"},
        {"call": "stop", "figure": "p99", "value": None, "low": None, "high": None, "margin": None,
         "decision": "nothing"},
    ],
    "sweep": [
        {"backend": name, "knee": knee, "steps": [step(load) for load in (1, 4, 16)]}
        for name, knee in zip(NAMES, (4, 4, None), strict=True)
    ],
    "throughput": [
        {"backend": name, "per_second": 12.5, "cpu_ms_per_call": 3.25} for name in NAMES
    ],
    "resources": [
        {"backend": "cre", "instances": 3, "memory_mib": 2.5, "cpu_seconds": 0.125, "why": ""},
        {"backend": "raw docker", "instances": 0, "memory_mib": None, "cpu_seconds": None,
         "why": "Docker does not tell"},
    ],
}  # fmt: skip


def charts(data: dict[str, Any]) -> list[ElementTree.Element]:
    parts = [part.partition("</svg>")[0] for part in page(data).split("<svg ")[1:]]
    made = [f"<svg {part}</svg>" for part in parts]
    return [ElementTree.fromstring(each) for each in made]  # noqa: S314 - our own


def test_backends_are_told_apart_by_mark_dashes_and_name_without_colour() -> None:
    _ratios, quantiles, times, sweep, waits = charts(DATA)
    for chart in (times, sweep, waits):
        dashes = [e.get("stroke-dasharray") for e in chart.iter("path") if not e.get("class")]
        # a line and its key by each name, and no two backends with the same dashes
        assert dashes[:3] == dashes[3:]
        assert len(set(dashes)) == len(NAMES)
    for chart in (quantiles, times, sweep, waits):
        assert set(NAMES) <= {each.text for each in chart.iter("text")}
        assert not any(each.get("stroke") or each.get("fill") for each in chart.iter())
    # a dot, a square and a cross, each where it is measured and in the key
    assert len(list(quantiles.iter("circle"))) == 2
    shapes = [
        e.get("d", "").split()[-1] for e in quantiles.iter("path") if e.get("class") == "mark"
    ]
    assert sorted(shapes) == ["-9", "-9", "z", "z"]
    intervals = [e for e in quantiles.iter("path") if e.get("class") == "interval"]
    assert [interval.get("stroke-dasharray") for interval in intervals] == list(DASHES)


def test_a_ratio_stands_between_its_ends_and_beside_its_margin() -> None:
    ratios = charts(DATA)[0]
    (dot,) = ratios.iter("circle")
    (interval,) = [each for each in ratios.iter("path") if each.get("class") == "interval"]
    (margin,) = [each for each in ratios.iter("line") if each.get("class") == "margin"]
    ends = [float(each) for each in re.findall(r"[MH]([\d.]+)", interval.get("d", ""))]
    assert ends[0] < float(dot.get("cx", "")) < ends[1]
    assert float(margin.get("x1", "")) < ends[0], "the whole interval is above the margin"
    said = {each.text for each in ratios.iter("text")}
    assert {"1.90 fail", "n too small"} <= said


def test_what_has_no_end_gets_an_arrow_and_is_said_to_be_infinite() -> None:
    data = copy.deepcopy(DATA)
    data["cells"][1]["quantiles"]["p95"]["high"] = None
    data["cells"][2]["quantiles"]["p95"] = {"value": None, "low": 90.0, "high": None}
    data["cells"][0]["quantiles"]["p95"] = {"n_too_small": 72}
    data["ratios"][0]["high"] = None
    worse = {**data["ratios"][0], "call": "ready", "value": None}
    none = {**worse, "call": "extend", "low": None}
    lacking = {**none, "call": "status", "decision": "inconclusive"}
    data["ratios"] += [worse, none, lacking]
    ratios, quantiles, *_ = charts(data)
    ends = [e.get("d", "") for e in (*ratios.iter("path"), *quantiles.iter("path"))
            if e.get("class") == "ends"]  # fmt: skip
    assert len(ends) == 3
    assert all("l5 5 l-5 5" in end for end in ends)
    said = [each.text for each in ratios.iter("text")]
    assert said.count("∞ fail") == 2, "the one whose interval begins somewhere, and the other"
    assert said.count("n too small") == 2
    assert {"∞ ms", "n too small (<72)"} <= {each.text for each in quantiles.iter("text")}


def test_the_knee_is_marked_on_throughput_and_on_p95_where_there_is_one() -> None:
    def knees(chart: ElementTree.Element) -> int:
        return len([each for each in chart.iter("circle") if each.get("class") == "knee"])

    *others, sweep, waits = charts(DATA)
    assert not any(map(knees, others))
    assert [knees(sweep), knees(waits)] == [2, 2], "of three systems one has none"
    assert "raw docker: knee at no load that was tried" in page(DATA)


def test_tables_tell_intervals_errors_and_costs() -> None:
    shown = re.sub(r"</t[dh]><t[dh]>", " | ", page(DATA))
    # a quantile with its interval, one that is not bounded, n too small; failed, unknown, dropped
    row = "2 [1.5, ∞] | 2 [1.5, ∞] | 192 [180, 210] | n too small (&lt; 368) | 3 | 2 | 1"
    assert f"whale:&lt;fake&gt;:docker | start | 100 | {row}" in shown
    assert "start | p95 | 1.9 | 1.5 to 2.3 | 1.2 | fail" in shown
    assert "stop | p99 | – | n too small | – | " in shown
    assert "cre | 12.5 | 3.25" in shown
    assert "cre: 2.50 MiB and 0.125 s of processor time per fresh instance (mean of 3)" in shown
    assert "raw docker: cost of an instance not read: Docker does not tell" in shown
    assert "4 | 40 | 40 [5, ∞] | 36" in shown
    assert "16 | 80 | n too small | 144" in shown


def test_what_a_reader_must_know_comes_before_the_figures() -> None:
    text = page(DATA)
    assert text.index("Read this first") < text.index("a fake answers") < text.index("Ratios")
    assert "Read this first" not in page({**DATA, "notes": []})


def test_what_is_missing_is_said() -> None:
    nothing = copy.deepcopy(DATA)
    nothing["ratios"], nothing["cells"], nothing["sweep"] = [], [], []
    shown = page(nothing)
    assert "no ratio has an interval" in shown
    assert "n too small for every p95" in shown


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_a_browser_shows_it_without_a_word_on_the_console(
    pages: Pages, width: int, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    path = tmp_path / "bench.html"
    path.write_text(page(DATA), encoding="utf-8")
    with pages.opened(path, width=width, color_scheme=scheme) as shown:
        assert NAMES[1] in shown.inner_text("h1")
        assert_all_fits_and_can_be_read(shown)


def test_print_has_every_chart_whole_and_in_black(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "bench.html"
    path.write_text(page(DATA), encoding="utf-8")
    # a page as wide as A4 between its margins; dark, as the reader's screen may be
    with pages.opened(path, width=718, color_scheme="dark", media="print") as shown:
        assert_all_fits_and_can_be_read(shown)
        assert_printed_in_black(shown)
        assert shown.pdf(format="A4").startswith(b"%PDF")
