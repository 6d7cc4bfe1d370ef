"""``readiness.html`` in a headless Chromium: wide, narrow, dark, printed; green, red and evil."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from playwright.sync_api import expect
from support.made_evidence import (
    CRE,
    WHALE,
    bench,
    check,
    decided,
    item,
    made_now,
    preflight,
    results,
    written,
)
from support.made_report import HOSTILE, LONG
from support.shown_pages import Pages, assert_all_fits_and_can_be_read, assert_printed_in_black

from conformance.report.results import BackendInfo, Status, Verdict
from whale_ready.cli import main

WAIVER = "until 2030-12-31 by infra@example.org: known (https://example.org/1)"
RAW = BackendInfo("raw docker", "Docker without anything", False)
NOT_APPLICABLE = {
    f"CRASH_00{number}": (Status.NOT_APPLICABLE, "the harness offers no crash", "")
    for number in range(1, 9)
}
FILL = "(each) => getComputedStyle(each).fill"
EXIT_CODES = {"go": 0, "no_go": 1, "none": 2}


def good() -> dict[str, dict[str, Any]]:
    waived = (Status.WAIVED, "a late renewal shortens the life", WAIVER)
    found = [*results("cre"), *results("whale", EXTEND_005=waived, **NOT_APPLICABLE)]
    frp = item("frp", "not_checkable", "the API does not show it", "look at its dashboard")
    return {
        "check": check(found=found),
        "bench": bench((CRE, WHALE, RAW)),
        "preflight": preflight(item(), item("tls"), frp),
    }


def bad() -> dict[str, dict[str, Any]]:
    """Everything speaks against it, in words that mean harm."""
    files = good()
    failed, erred = (Status.FAIL, HOSTILE, ""), (Status.ERROR, LONG, "")
    special = {"START_001": failed, "STOP_002": failed, "STATUS_001": erred}
    waived = (Status.WAIVED, HOSTILE, HOSTILE)
    found = [*results("cre", START_002=waived), *results("whale", **special, **NOT_APPLICABLE)]
    files["check"] = check(found=found, verdict=Verdict.FAILED, reasons=(HOSTILE,))
    files["check"]["notes"] = [HOSTILE, LONG]
    files["check"]["backends"]["whale"]["kind"] = HOSTILE
    decided(files["bench"], "start", "p95", "fail", "all of the interval is above the margin")
    decided(files["bench"], "stop", "p95", "inconclusive", HOSTILE)
    evil = "whale <b>\u202efekaf"
    files["bench"]["backends"][1]["name"] = evil
    for cell in files["bench"]["cells"]:
        if cell["backend"] == "whale":
            cell["backend"] = evil
    files["bench"]["cells"][0]["quantiles"]["p95"] = {"n_too_small": 72}
    files["bench"]["cells"][1]["quantiles"]["p95"]["high"] = None
    tls = item("tls", "not_ok", HOSTILE, HOSTILE)
    tls["title"] = HOSTILE
    files["preflight"] = preflight(item(), tls, item("frp", "not_checkable", LONG, LONG))
    return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of a GO, of a NO-GO and of no evidence at all."""
    made: dict[str, tuple[dict[str, dict[str, Any]], tuple[str, ...]]] = {
        "go": (good(), ("--accept", "frp=we look at its dashboard")),
        "no_go": (bad(), ()),
        "none": ({}, ()),
    }
    pages = {}
    for name, (evidence, options) in made.items():
        folder = tmp_path_factory.mktemp(name)
        arguments = [*written(folder, **made_now(**evidence)), *options, "--out", str(folder)]
        done = CliRunner().invoke(main, ["readiness", *arguments])
        assert done.exit_code == EXIT_CODES[name], done.output
        pages[name] = folder / "readiness.html"
    return pages


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("name", EXIT_CODES)
def test_nothing_overflows_and_all_can_be_read(
    pages: Pages,
    files: dict[str, Path],
    name: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    with pages.opened(files[name], width=width, color_scheme=scheme) as page:
        assert_all_fits_and_can_be_read(page)
        expect(page.get_by_role("heading", level=1)).to_be_in_viewport()


def test_print_is_black_on_white_and_shows_what_is_closed(
    pages: Pages, files: dict[str, Path]
) -> None:
    # a page as wide as A4 between its margins; dark, as the reader's screen may be
    for name in ("go", "no_go"):
        with pages.opened(files[name], width=680, color_scheme="dark", media="print") as page:
            assert_all_fits_and_can_be_read(page)
            assert_printed_in_black(page)
            expect(page.get_by_text("[[step]]").first).to_be_visible()
            assert page.pdf(format="A4").startswith(b"%PDF")


def test_the_one_who_signs_finds_answer_reasons_and_plan(
    pages: Pages, files: dict[str, Path]
) -> None:
    with pages.opened(files["no_go"], width=375) as page:
        expect(page.get_by_role("heading", level=1)).to_contain_text("NO-GO")
        reasons = page.locator(".reasons > li")
        expect(reasons.first).to_contain_text("whale breaks 2 rules of the contract")
        assert reasons.count() == page.get_by_text("What would change it:").count()
        expect(page.get_by_role("heading", name="once the answer is GO")).to_be_visible()
    with pages.opened(files["go"]) as page:
        expect(page.get_by_role("heading", level=1)).to_contain_text("GO")
        expect(page.locator(".reasons")).to_have_count(0)
        expect(page.get_by_text("EXTEND-005 on whale, until 2030-12-31")).to_be_visible()
        expect(page.get_by_text("not checkable: we look at its")).to_be_visible()
        expect(page.get_by_role("heading", name="The rollout plan", exact=True)).to_be_visible()
        for command in ("rollout challenge ID on", "rollout set 1%", "rollout back --why"):
            expect(page.get_by_text(command).first).to_be_visible()


def test_evil_words_stay_words(pages: Pages, files: dict[str, Path]) -> None:
    with pages.opened(files["no_go"]) as page:
        assert page.title() == "whale-ready: NO-GO"
        assert page.locator("img, script, main b").count() == 0
        assert "49" not in page.locator(".reasons").inner_text()
        assert "\u202e" not in page.content()
        expect(page.get_by_text("\\u202egnp.exe").first).to_be_visible()
        expect(page.locator("svg text", has_text="whale <b>\\u202efekaf")).to_be_visible()


def test_headings_are_in_order_and_charts_have_names(pages: Pages, files: dict[str, Path]) -> None:
    with pages.opened(files["no_go"]) as page:
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
        assert page.locator("th:not([scope])").count() == 0
        assert page.locator("svg:not([aria-hidden]):not([aria-label])").count() == 0


def test_bars_and_lines_are_told_apart_without_colour(pages: Pages, files: dict[str, Path]) -> None:
    with pages.opened(files["no_go"]) as page:
        fills = {
            kind: page.locator(f".parts .{kind}").first.evaluate(FILL)
            for kind in ("fail", "error", "waived", "na")
        }
        assert fills == {
            "fail": 'url("#broken")',
            "error": 'url("#erred")',
            "waived": 'url("#excused")',
            "na": "none",
        }
        for name in ("broken", "erred", "excused"):
            assert page.locator(f"pattern#{name} :is(path, circle)").count() == 1
        assert "rgb" in page.locator(".parts .pass").first.evaluate(FILL)
        charts = page.locator("svg[role=img]")
        (quantiles, _ratios) = (
            charts.nth(place).evaluate("(e) => e.outerHTML") for place in (0, 1)
        )
        drawn = ElementTree.fromstring(quantiles.replace(' xmlns="http://www.w3.org/2000/svg"', ""))  # noqa: S314 - our own
        # a dot, a square and a cross: as many forms as backends, and each has its dashes
        forms = {
            "circle" if each.tag == "circle" else each.get("d", "").split(" ", 2)[2]
            for each in drawn.iter()
            if each.tag == "circle" or each.get("class") == "mark"
        }
        assert len(forms) >= 3
        dashes = {e.get("stroke-dasharray") for e in drawn.iter("path") if not e.get("class")}
        assert len(dashes) == 3
        assert not any(each.get("stroke") or each.get("fill") for each in drawn.iter())


def test_markdown_has_it_all_and_no_mark_of_a_file_is_one(files: dict[str, Path]) -> None:
    text = files["no_go"].with_name("readiness.md").read_text(encoding="utf-8")
    assert text.startswith("# NO-GO: from CRE to Whale")
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "\u202e" not in text
    assert "## The rollout plan, once the answer is GO" in text
    for line in text.splitlines():
        assert line.count("````") <= 1, "a fence stands on a line of its own"
    empty = files["none"].with_name("readiness.md").read_text(encoding="utf-8")
    assert "There is no check: nothing shows that Whale keeps the contract" in empty
