"""The player's page in a real CTFd, in headless Chromium: every button, at two widths."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ctfd.conftest import DESKTOP, Window
from ctfd.site import Site

START_MS = 60_000
"""A container of real Docker may take its time."""


def shot(page: Page, name: str) -> None:
    """A picture for people to look at, where somebody asks for it."""
    folder = os.environ.get("WHALE_READY_SCREENSHOTS", "")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def opened(window: Window, name: str) -> Locator:
    """The panel of a challenge, after a click on it."""
    page = window.open("/challenges")
    page.locator("button.challenge-button", has_text=name).click()
    panel = page.locator("section.whale-ready")
    expect(panel).to_be_visible()
    return panel


def seconds(panel: Locator) -> int:
    """What the timer shows, as 59:30 or 1:14:30."""
    total = 0
    for part in panel.get_by_role("timer").inner_text().split(":"):
        total = 60 * total + int(part)
    return total


def button(panel: Locator, name: str) -> Locator:
    return panel.get_by_role("button", name=re.compile(f"^{name}"))


@pytest.fixture
def window(
    users_site: Site, browser: Browser, windows: list[Window], size: dict[str, int], image: str
) -> Window:
    """A new player's window, at a width."""
    name = f"player{len(users_site.admin.json('GET', '/api/v1/users')['data'])}x{size['width']}"
    users_site.player(name)
    found = Window(browser, users_site, size)
    windows.append(found)
    return found.log_in(name)


def test_every_button(window: Window, users_site: Site, image: str, size: dict[str, int]) -> None:
    width = size["width"]
    users_site.challenge(f"Every {width}", container_image=image, container_readiness="http")
    panel = opened(window, f"Every {width}")
    expect(button(panel, "Start")).to_be_enabled()
    shot(window.page, f"stopped-{width}")

    button(panel, "Start").click()
    expect(panel.get_by_role("status")).to_have_text("Your container is running.", timeout=START_MS)
    address = panel.locator("code").inner_text()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    link = panel.get_by_role("link", name=f"Open {address} in a new tab")
    expect(link).to_have_attribute("href", f"http://{address}/")
    before = seconds(panel)
    assert 3540 < before <= 3600
    expect(panel.get_by_role("timer")).not_to_have_text(panel.get_by_role("timer").inner_text())
    assert seconds(panel) < before
    expect(button(panel, "Extend")).to_be_focused()
    assert not window.overflows()
    shot(window.page, f"running-{width}")

    button(panel, "Extend").click()
    expect(panel.get_by_role("status")).to_have_text("You have more time now.")
    assert seconds(panel) > 3600 + 840
    for left in ("4 more times", "3 more times", "2 more times", "1 more time"):
        expect(panel).to_contain_text(f"You may extend it {left}.")
        button(panel, "Extend").click()
    expect(panel).to_contain_text("It cannot be extended any more.")
    expect(button(panel, "Extend")).to_be_disabled()

    button(panel, "Stop").click()
    expect(panel.get_by_role("status")).to_have_text("Your container is stopped.", timeout=START_MS)
    expect(button(panel, "Start")).to_be_focused()


def test_a_second_challenge_is_refused_readably(
    window: Window, users_site: Site, image: str, size: dict[str, int]
) -> None:
    width = size["width"]
    users_site.challenge(f"One {width}", container_image=image)
    users_site.challenge(f"Two {width}", container_image=image)
    panel = opened(window, f"One {width}")
    button(panel, "Start").click()
    expect(panel.get_by_role("timer")).to_be_visible(timeout=START_MS)

    panel = opened(window, f"Two {width}")
    button(panel, "Start").click()
    expect(panel.get_by_role("alert")).to_contain_text(f"“One {width}”", timeout=START_MS)
    expect(button(panel, "Start")).to_be_enabled()
    assert not window.overflows()
    shot(window.page, f"refused-{width}")

    panel = opened(window, f"One {width}")  # found again, as it was
    button(panel, "Stop").click()
    expect(button(panel, "Start")).to_be_visible(timeout=START_MS)


def test_the_flag_of_the_own_container(
    users_site: Site, browser: Browser, windows: list[Window], image: str
) -> None:
    users_site.challenge("Flagged", container_image=image, container_readiness="http")
    users_site.player("solver")
    window = Window(browser, users_site, DESKTOP)
    windows.append(window)
    panel = opened(window.log_in("solver"), "Flagged")
    page = window.page

    page.fill("#challenge-input", "flag{guessed}")
    page.click("#challenge-submit")
    said = expect(page.locator(".notification-row"))
    said.to_contain_text("You have not started this challenge's container yet")

    button(panel, "Start").click()
    expect(panel.get_by_role("timer")).to_be_visible(timeout=START_MS)
    page.fill("#challenge-input", users_flag(users_site, "solver"))
    page.click("#challenge-submit")
    expect(page.locator(".notification-row")).to_contain_text("Correct")
    button(panel, "Stop").click()
    expect(button(panel, "Start")).to_be_visible(timeout=START_MS)


def users_flag(site: Site, name: str) -> str:
    """The flag that is recorded for a player's only instance."""
    import sqlalchemy as sa

    from engines.state.database import Database

    database = Database(site.environ["DATABASE_URL"])
    try:
        with database.read() as connection:
            query = sa.text(
                "SELECT flag FROM cre_instances JOIN users ON users.id = user_id WHERE name = :name"
            )
            return str(connection.execute(query, {"name": name}).scalar())
    finally:
        database.close()


def test_keyboard_alone(
    users_site: Site, browser: Browser, windows: list[Window], image: str
) -> None:
    users_site.challenge("Keys", container_image=image)
    users_site.player("keyboard")
    window = Window(browser, users_site, DESKTOP)
    windows.append(window)
    panel = opened(window.log_in("keyboard"), "Keys")
    button(panel, "Start").focus()
    window.page.keyboard.press("Enter")
    expect(button(panel, "Extend")).to_be_focused(timeout=START_MS)
    window.page.keyboard.press("Tab")
    expect(button(panel, "Stop")).to_be_focused()
    window.page.keyboard.press("Space")
    expect(button(panel, "Start")).to_be_focused(timeout=START_MS)


def test_an_admin_tries_a_hidden_challenge(
    users_site: Site, browser: Browser, windows: list[Window], image: str
) -> None:
    number = users_site.challenge("Hidden", container_image=image, state="hidden")
    window = Window(browser, users_site, DESKTOP)
    windows.append(window)
    page = window.log_in("admin").open(f"/admin/challenges/preview/{number}")
    panel = page.locator("section.whale-ready")
    button(panel, "Start").click()
    expect(panel.get_by_role("timer")).to_be_visible(timeout=START_MS)
    button(panel, "Stop").click()
    expect(button(panel, "Start")).to_be_visible(timeout=START_MS)


def test_a_wait_is_counted_down(
    users_site: Site, browser: Browser, windows: list[Window], image: str
) -> None:
    users_site.challenge("Waits", container_image=image)
    users_site.player("waiter")
    window = Window(browser, users_site, DESKTOP)
    windows.append(window)
    panel = opened(window.log_in("waiter"), "Waits")
    body = (
        '{"success": false, "message": "Please wait", "data": null, "code": "rate_limited", '
        '"retry_after": 2}'
    )
    window.page.route(
        "**/api/v1/container/start",
        lambda route: route.fulfill(status=429, content_type="application/json", body=body),
    )
    button(panel, "Start").click()
    expect(panel.get_by_role("alert")).to_have_text("Please wait")
    expect(button(panel, "Start")).to_have_text("Start container (in 2 s)")
    expect(button(panel, "Start")).to_be_disabled()
    expect(button(panel, "Start")).to_have_text("Start container")
    expect(button(panel, "Start")).to_be_enabled()

    window.page.unroute("**/api/v1/container/start")
    window.page.route("**/api/v1/container/start", lambda route: route.abort())
    button(panel, "Start").click()
    expect(panel.get_by_role("alert")).to_contain_text("cannot be reached")
