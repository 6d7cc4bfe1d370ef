"""``bench.html`` as a browser shows it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from playwright.sync_api import sync_playwright

from benchmarks.page import page


def cell(backend: str, call: str, slower: float) -> dict[str, Any]:
    ecdf = [[slower * (1 + number), number / 100] for number in range(101)]
    return {"backend": backend, "call": call, "ecdf": ecdf}


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


def test_lines_are_told_apart_by_dashes_and_by_name_without_colour() -> None:
    _, times, sweep = charts(DATA)
    for chart in (times, sweep):
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


def test_what_is_missing_is_said() -> None:
    nothing = copy.deepcopy(DATA)
    nothing["ratios"], nothing["cells"], nothing["sweep"] = [], [], []
    assert "n too small for every ratio" in page(nothing)


@pytest.mark.parametrize("width", [1200, 360])
def test_a_browser_shows_it_without_a_word_on_the_console(
    width: int, chromium: str, tmp_path: Path
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
        shown.goto(path.as_uri())
        assert "whale:<fake>" in shown.inner_text("h1")
        wide = shown.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert said == [path.as_uri()], "it asks for nothing but itself"
    assert wide <= width
