"""report.html in a headless Chromium: wide and narrow, light and dark, good and bad."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from support.made_report import made_report
from support.shown_pages import CONTRAST, SIZE

from conformance.report.results import Report
from conformance.report.writers import write_reports

WIDE, NARROW = 1280, 360


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a good run, and that of one with 20 failures by a backend that means harm."""
    made: dict[str, Report] = {
        "good": made_report(),
        "bad": made_report(20, waived=3, hostile=True),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, report in made.items():
        write_reports(report, folder / name)
    return {name: folder / name / "report.html" for name in made}


class Opened:
    """A page, and everything its console said."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.said.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Page:
        self.said.remove(self.page.url)  # the page itself; anything else is too much
        return self.page

    def __exit__(self, *_: object) -> None:
        self.context.close()
        assert self.said == []


def at_width(width: int) -> dict[str, Any]:
    return {"viewport": {"width": width, "height": 800}}


def open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["good", "bad"])
def test_nothing_overflows_and_all_can_be_read(
    browser: Browser,
    files: dict[str, Path],
    name: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    with Opened(browser, files[name], **at_width(width), color_scheme=scheme) as page:
        for prepare in (lambda _: None, open_all):
            prepare(page)
            scrolled, client = page.evaluate(SIZE)
            assert scrolled <= client
        assert page.evaluate(CONTRAST) == []
        assert page.title() == f"whale-ready: {'passed' if name == 'good' else 'failed'}"


def test_the_verdict_is_what_one_sees_first(browser: Browser, files: dict[str, Path]) -> None:
    with Opened(browser, files["bad"], **at_width(NARROW)) as page:
        expect(page.get_by_role("heading", level=1)).to_be_in_viewport()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Failed")
        expect(page.get_by_text("Exit code 1.")).to_be_in_viewport()
        expect(page.get_by_text("20 rules broken")).to_be_in_viewport()
        expect(page.locator("#failures ~ details.failure.is-fail")).to_have_count(20)
        expect(page.locator("details.failure.is-waived")).to_have_count(3)


def test_headings_are_in_order_and_tables_have_headers(
    browser: Browser, files: dict[str, Path]
) -> None:
    with Opened(browser, files["bad"]) as page:
        levels = page.evaluate(
            "[...document.querySelectorAll('h1,h2,h3,h4')].map((each) => Number(each.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in pairwise(levels))
        assert page.locator("th:not([scope])").count() == 0
        assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_keyboard_reaches_everything(
    browser: Browser, files: dict[str, Path], width: int
) -> None:
    with Opened(browser, files["bad"], **at_width(width)) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the report")).to_be_focused()
        met: list[str] = []
        outlines: set[str] = set()
        for _ in range(400):
            page.keyboard.press("Tab")
            at, outline = page.evaluate(
                "[document.activeElement.id || document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            if at == "BODY":
                break
            met.append(at)
            outlines.add(outline)
        else:
            pytest.fail(f"no end is reached: {met[-20:]}")
        assert [each for each in ("search", "status", "toggle") if each not in met] == []
        assert outlines == {"solid"}, "where the focus is can be seen"


def test_enter_opens_a_failure_and_skipping_skips(browser: Browser, files: dict[str, Path]) -> None:
    with Opened(browser, files["bad"]) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#main")).to_be_focused()
        failure = page.locator("details.failure").first
        failure.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(failure).to_have_attribute("open", "")
        expect(failure.locator("pre.trace")).to_contain_text("start_instance(1, 7, None)")
        page.keyboard.press("Enter")
        expect(failure).not_to_have_attribute("open", "")


def test_a_search_shows_what_fits(browser: Browser, files: dict[str, Path]) -> None:
    with Opened(browser, files["bad"]) as page:
        page.get_by_label("Search rules").fill("companion worker")
        expect(page.locator("#found")).to_have_text("1 rule shown")
        expect(page.locator("details.group:visible")).to_have_count(1)
        expect(page.get_by_text("COMPANION-003", exact=True)).to_be_visible()
        page.get_by_label("Search rules").fill("")
        page.get_by_label("Result").select_option("fail")
        expect(page.locator("#found")).to_have_text("20 rules shown")
        page.get_by_role("button", name="Open all").click()
        expect(page.locator("details:not([open])")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_a_cell_leads_to_its_evidence(
    browser: Browser, files: dict[str, Path], scripts: bool
) -> None:
    with Opened(browser, files["bad"], java_script_enabled=scripts) as page:
        cell = page.get_by_role("row").filter(has_text="A player gets one instance")
        cell.get_by_role("link", name="broken").click()
        evidence = page.locator("#row-start-1")
        expect(evidence).to_be_in_viewport()
        page.locator("#row-start-1 + ul").get_by_role("link", name="START-001").click()
        expect(page.locator("#START-001-1")).to_be_in_viewport()
        page.locator("#START-001-1 a").click()
        expect(page.locator("#START-001-1-evidence dl")).to_be_in_viewport()


def test_without_scripts_all_is_there_but_the_search(
    browser: Browser, files: dict[str, Path]
) -> None:
    with Opened(browser, files["bad"], java_script_enabled=False) as page:
        expect(page.locator("#tools")).to_be_hidden()
        page.locator("details.group summary").first.click()
        expect(page.get_by_role("cell", name="makes no second container.")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_print_shows_what_is_closed_on_the_screen(
    browser: Browser, files: dict[str, Path], scripts: bool, tmp_path: Path
) -> None:
    with Opened(browser, files["bad"], java_script_enabled=scripts) as page:
        pdf = page.pdf(path=tmp_path / "report.pdf")
        assert pdf.startswith(b"%PDF")
        page.emulate_media(media="print")
        for text in ("A second start makes no second container.", "\\u202egnp.exe"):
            expect(page.get_by_text(text).last).to_be_visible()
        expect(page.locator(".contents")).to_be_hidden()
