"""The player's panel without a CTFd: its plain functions in a headless Chromium."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from engines.web.calls import NOTHING_RUNS

PANEL = Path(__file__).parents[2] / "engines" / "ctfd" / "plugin" / "assets" / "panel.js"
SOURCE = base64.b64encode(PANEL.read_bytes()).decode()


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page() as page:
        yield page


def run(page: Page, expression: str) -> Any:
    """An expression with the panel's module as ``panel``."""
    address = f"data:text/javascript;base64,{SOURCE}"
    return page.evaluate(f"import('{address}').then((panel) => {expression})")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (9, "0:09"), (60, "1:00"), (3599, "59:59"), (3725, "1:02:05")],
)
def test_the_clock(page: Page, seconds: int, shown: str) -> None:
    assert run(page, f"panel.clock({seconds})") == shown


@pytest.mark.parametrize(
    ("remaining", "since", "now", "left"),
    [(60, 1000, 1000, 60), (60, 1000, 1999, 60), (60, 1000, 2000, 59), (60, 0, 90000, 0)],
)
def test_what_is_left_comes_from_the_server(
    page: Page, remaining: int, since: int, now: int, left: int
) -> None:
    assert run(page, f"panel.left({remaining}, {since}, {now})") == left


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Infinity", 600, ""),
        (301, 300, "5 minutes left."),
        (300, 299, ""),
        (61, 60, "One minute left."),
        (400, 50, "One minute left."),
        (5, 0, ""),
    ],
)
def test_what_is_said_aloud(page: Page, before: object, after: int, said: str) -> None:
    assert run(page, f"panel.announcement({before}, {after})") == said


def test_addresses(page: Page) -> None:
    assert run(page, "panel.link('h.test', '80', true)") == {
        "shown": "h.test:80",
        "href": "http://h.test:80/",
    }
    assert run(page, "panel.link('::1', '22', false)") == {"shown": "[::1]:22", "href": None}


def test_a_strange_answer_is_an_error_in_words(page: Page) -> None:
    for answer in ("null", "'<html>'", "{}", "[]"):
        found = run(page, f"panel.understood({answer})")
        assert found["success"] is False
        assert "reload the page" in found["message"]


def test_challenges_are_called_by_their_names(page: Page) -> None:
    said = run(
        page, "panel.named('Stop challenge 5 and challenge 6', (n) => n === '5' ? 'Web' : '')"
    )
    assert said == "Stop Web and challenge 6"


def test_no_clock_of_the_browsers_is_read() -> None:
    assert "Date" not in PANEL.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ran_before", "message", "said"),
    [
        ("false", NOTHING_RUNS, ""),
        ("true", NOTHING_RUNS, "Your container has ended."),
        ("false", "It wrote too much", "It wrote too much."),
        ("true", "It wrote too much", "It wrote too much."),
    ],
)
def test_a_player_is_told_why_it_has_ended(
    page: Page, ran_before: str, message: str, said: str
) -> None:
    assert run(page, f"panel.ending({ran_before}, {message!r})") == said
