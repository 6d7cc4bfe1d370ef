"""``bench.html`` as a browser shows it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from playwright.sync_api import sync_playwright

from benchmarks.page import page


def cell(backend: str, call: str, slower: float) -> dict[str, Any]:
    ecdf = [[slower * (1 + number), number / 100] for number in range(101)]
    told = {"value": slower, "low": slower - 0.5, "high": None}
    return {
        "backend": backend,
        "call": call,
        "n": 100,
        "ecdf": ecdf,
        "quantiles": {"p50": told, "p90": told, "p95": told, "p99": {"n_too_small": 368}},
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


def test_lines_are_told_apart_by_dashes_and_by_name_without_colour() -> None:
    _, times, sweep, waits = charts(DATA)
    for chart in (times, sweep, waits):
        dashes = [each.get("stroke-dasharray") for each in chart.iter("path")]
        # a line and its key by each name, and no two systems with the same dashes
        assert dashes[0::2] == dashes[1::2]
        assert len(set(dashes)) == len(NAMES)
        assert set(NAMES) <= {each.text for each in chart.iter("text")}
        assert not any(each.get("stroke") or each.get("fill") for each in chart.iter())


def test_a_ratio_stands_between_its_ends_and_beside_its_margin() -> None:
    ratios = charts(DATA)[0]
    (dot,) = ratios.iter("circle")
    _one, interval, margin = ratios.iter("line")
    ends = [float(interval.get(key, "")) for key in ("x1", "x2")]
    assert ends[0] < float(dot.get("cx", "")) < ends[1]
    assert float(margin.get("x1", "")) < ends[0], "the whole interval is above the margin"
    assert "1.90 fail" in {each.text for each in ratios.iter("text")}


def test_the_knee_is_marked_on_throughput_and_on_p95_where_there_is_one() -> None:
    _, times, sweep, waits = charts(DATA)
    assert len(list(times.iter("circle"))) == 0
    # of three systems one has none
    assert [len(list(chart.iter("circle"))) for chart in (sweep, waits)] == [2, 2]
    assert "raw docker: knee at no load that was tried" in page(DATA)


def test_tables_tell_intervals_errors_and_costs() -> None:
    shown = re.sub(r"</t[dh]><t[dh]>", " | ", page(DATA))
    # a quantile with its interval, one that is not bounded, n too small; failed, unknown, dropped
    row = "2 [1.5, ∞] | 2 [1.5, ∞] | 2 [1.5, ∞] | n too small (&lt; 368) | 3 | 2 | 1"
    assert f"whale:&lt;fake&gt;:docker | start | 100 | {row}" in shown
    assert "start | p95 | 1.9 | 1.5 to 2.3 | 1.2 | fail" in shown
    assert "stop | p99 | – | n too small | – | " in shown
    assert "cre | 12.5 | 3.25" in shown
    assert "cre: 2.50 MiB and 0.125 s of processor time per fresh instance (mean of 3)" in shown
    assert "raw docker: cost of an instance not read: Docker does not tell" in shown
    assert "4 | 40 | 40 [5, ∞] | 36" in shown
    assert "16 | 80 | n too small | 144" in shown


def test_what_is_missing_is_said() -> None:
    nothing = copy.deepcopy(DATA)
    nothing["ratios"], nothing["cells"], nothing["sweep"] = [], [], []
    assert "n too small for every ratio" in page(nothing)


CUT_OFF = """[...document.querySelectorAll("svg text")].filter(each =>
    each.getBoundingClientRect().right > each.closest("svg").getBoundingClientRect().right
).map(each => each.textContent)"""
"""The texts of charts that end outside of them."""


@pytest.mark.parametrize(("media", "width"), [("screen", 1200), ("screen", 360), ("print", 794)])
def test_a_browser_shows_it_without_a_word_on_the_console(
    media: Literal["screen", "print"], width: int, chromium: str, tmp_path: Path
) -> None:
    path = tmp_path / "bench.html"
    path.write_text(page(DATA), encoding="utf-8")
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": width, "height": 900})
        shown.on("console", lambda message: said.append(message.text))
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.on("request", lambda request: said.append(request.url))
        shown.emulate_media(media=media)
        shown.goto(path.as_uri())
        assert NAMES[1] in shown.inner_text("h1")
        wide = shown.evaluate("document.documentElement.scrollWidth")
        tables = "[...document.querySelectorAll('.wide')].map(e => e.scrollWidth - e.clientWidth)"
        hidden = shown.evaluate(tables)
        cut_off = shown.evaluate(CUT_OFF)
        browser.close()
    assert said == [path.as_uri()], "it asks for nothing but itself"
    assert wide <= width
    assert cut_off == []
    if media == "print":  # on paper nothing scrolls
        assert max(hidden) == 0
