"""``bench.html`` as a browser shows it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from shown_pages import Pages, assert_all_fits_and_can_be_read, assert_printed_in_black

from benchmarks.charts import DASHES
from benchmarks.page import page


def cell(backend: str, call: str, slower: float) -> dict[str, Any]:
    ecdf = [[slower * (1 + number), number / 100] for number in range(101)]
    p95 = {"value": 96 * slower, "low": 90 * slower, "high": 105 * slower}
    return {"backend": backend, "call": call, "ecdf": ecdf, "quantiles": {"p95": p95}}


NAMES = ("cre", "whale:<fake>", "raw docker")
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
        {"backend": name, "knee": 8, "steps": [
            {"concurrency": load, "per_second": min(10.0 * load, 80.0)} for load in (1, 4, 16)
        ]}
        for name in NAMES
    ],
}  # fmt: skip


def charts(data: dict[str, Any]) -> list[ElementTree.Element]:
    parts = [part.partition("</svg>")[0] for part in page(data).split("<svg ")[1:]]
    made = [f"<svg {part}</svg>" for part in parts]
    return [ElementTree.fromstring(each) for each in made]  # noqa: S314 - our own


def test_backends_are_told_apart_by_mark_dashes_and_name_without_colour() -> None:
    _ratios, quantiles, times, sweep = charts(DATA)
    for chart in (times, sweep):
        dashes = [e.get("stroke-dasharray") for e in chart.iter("path") if not e.get("class")]
        # a line and its key by each name, and no two backends with the same dashes
        assert dashes[:3] == dashes[3:]
        assert len(set(dashes)) == len(NAMES)
    for chart in (quantiles, times, sweep):
        assert set(NAMES) <= {each.text for each in chart.iter("text")}
        assert not any(each.get("stroke") or each.get("fill") for each in chart.iter())
    # a dot, a square and a cross, each where it is measured and in the key
    assert len(list(quantiles.iter("circle"))) == 2
    shapes = [
        e.get("d", "").split()[-1] for e in quantiles.iter("path") if e.get("class") == "mark"
    ]
    assert sorted(shapes) == ["-9", "-9", "z", "z"]
    intervals = [e for e in quantiles.iter("path") if e.get("class") == "interval"]
    assert [each.get("stroke-dasharray") for each in intervals] == list(DASHES)


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
    assert all("l5 5 l-5 5" in each for each in ends)
    said = [each.text for each in ratios.iter("text")]
    assert said.count("∞ fail") == 2, "the one whose interval begins somewhere, and the other"
    assert said.count("n too small") == 2
    assert {"∞ ms", "n too small (<72)"} <= {each.text for each in quantiles.iter("text")}


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
        assert "whale:<fake>" in shown.inner_text("h1")
        assert_all_fits_and_can_be_read(shown)


def test_print_has_every_chart_whole_and_in_black(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "bench.html"
    path.write_text(page(DATA), encoding="utf-8")
    # a page as wide as A4 between its margins; dark, as the reader's screen may be
    with pages.opened(path, width=718, color_scheme="dark", media="print") as shown:
        assert_all_fits_and_can_be_read(shown)
        assert_printed_in_black(shown)
        assert shown.pdf(format="A4").startswith(b"%PDF")
