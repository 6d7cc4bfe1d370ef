"""Pages as a headless Chromium shows them: nothing overflows, all can be read, nothing is loaded.

Used by the fixture ``pages`` of the conftest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page

SIZE = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const dark = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
  const behind = (at) => {
    for (; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return dark ? [18, 18, 18] : [255, 255, 255];
  };
  const poor = new Set();
  for (const at of document.querySelectorAll("body *")) {
    const own = [...at.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !at.getClientRects().length) continue;
    const style = getComputedStyle(at);
    const ink = at instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(parse(ink)), light(behind(at))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.add(`${at.tagName}.${at.className} ${ratio.toFixed(2)}`);
  }
  return [...poor];
}
"""
"""Texts that stand out too little from what is behind them (WCAG: 4.5 to 1)."""
OUT_OF_CHART = """
() => [...document.querySelectorAll("svg[role=img]")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll("text")].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.left < frame.left - 1 || box.right > frame.right + 1
      || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
  }).map((each) => each.textContent);
})
"""
"""Texts of charts that are cut off at the edge."""
LETTERS = """
() => [...document.querySelectorAll("svg[role=img] text")].map(
  (each) => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a)
"""
"""How high the letters of charts are on the screen, in CSS pixels."""
INK = """
() => [...document.querySelectorAll("svg[role=img] :is(line, path, text, circle)")]
  .map((each) => getComputedStyle(each).color)
"""
SMALLEST_LETTERS = 10.0


class Pages:
    """Opens pages, each by itself."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextmanager
    def opened(
        self,
        path: Path,
        *,
        width: int = 1280,
        color_scheme: Literal["light", "dark"] = "light",
        media: Literal["screen", "print"] = "screen",
    ) -> Iterator[Page]:
        """A page; at the end, an assertion that it said and asked for nothing."""
        context = self._browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=color_scheme
        )
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.emulate_media(media=media, color_scheme=color_scheme)
        page.goto(path.as_uri())
        try:
            yield page
        finally:
            context.close()
        assert said == [path.as_uri()], "it asks for nothing but itself, and complains of nothing"


def assert_all_fits_and_can_be_read(page: Page) -> None:
    scrolled, client = page.evaluate(SIZE)
    assert scrolled <= client, "the page is wider than its window"
    assert page.evaluate(OUT_OF_CHART) == []
    assert page.evaluate(CONTRAST) == []
    assert min(page.evaluate(LETTERS), default=SMALLEST_LETTERS) >= SMALLEST_LETTERS


def assert_printed_in_black(page: Page) -> None:
    assert set(page.evaluate(INK)) == {"rgb(0, 0, 0)"}
