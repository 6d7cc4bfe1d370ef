"""The status page, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from fake_whale import FakeServer, FakeWhale
from fake_whale.testing import WhalePlayer

Players = Callable[[str], WhalePlayer]


@pytest.fixture(scope="module")
def browser_page(browser: Browser) -> Iterator[Page]:
    with browser.new_page() as page:
        yield page


@pytest.fixture
def page(browser_page: Page, server: FakeServer) -> Iterator[Page]:
    """The page, opened; any script error fails the test."""
    errors: list[str] = []

    def note(error: Error) -> None:
        errors.append(str(error))

    browser_page.on("pageerror", note)
    browser_page.goto(f"{server.url}/_fake/")
    yield browser_page
    browser_page.remove_listener("pageerror", note)
    browser_page.goto("about:blank")
    assert errors == []


def test_who_runs_what(page: Page, player: Players, fake: FakeWhale) -> None:
    player("alice").post(7)
    page.reload()
    row = page.locator("#records tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("alice")
    expect(row).to_contain_text('We"ird <b>&- name')
    expect(row).to_contain_text("3600 s")
    expect(page.locator("#orphans")).to_have_text("1 services, 0 orphans")


def test_the_clock_button_moves_the_clock(page: Page, player: Players, fake: FakeWhale) -> None:
    player("alice").post(1)
    began = fake.clock.time()
    page.get_by_role("button", name="+1 min").click()
    expect(page.locator("#records tr")).to_contain_text("3540 s")
    assert fake.clock.time() - began == 60


def test_a_fault_is_turned_on_and_off(page: Page, fake: FakeWhale) -> None:
    button = page.locator('[data-fault="docker_refused"]')
    button.click()
    expect(button).to_have_text("turn off")
    assert [fault["kind"] for fault in fake.machine.faults.listing()] == ["docker_refused"]
    button.click()
    expect(button).to_have_text("turn on")
    assert fake.machine.faults.empty


def test_the_journal_shows_calls(page: Page, player: Players) -> None:
    player("bob").patch(1)
    page.reload()
    first = page.locator("#journal tr").first
    expect(first).to_contain_text("bob")
    expect(first).to_contain_text("PATCH /api/v1/plugins/ctfd-whale/container")
    expect(first).to_contain_text("403")


def test_reset(page: Page, player: Players) -> None:
    player("alice").post(1)
    page.reload()
    expect(page.locator("#records tr")).to_have_count(1)
    page.get_by_role("button", name="reset").click()
    expect(page.locator("#records tr")).to_have_count(0)
