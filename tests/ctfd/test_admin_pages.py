"""The admin's pages and forms in a real CTFd, in headless Chromium, on simulated containers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from ctfd.conftest import Window
from ctfd.site import Site
from ctfd.test_players_page import button, opened, shot

ADMIN = "/plugins/whale_ready/admin"


@pytest.fixture
def admin(
    teams_site: Site, browser: Browser, windows: list[Window], size: dict[str, int]
) -> Window:
    found = Window(browser, teams_site, size)
    windows.append(found)
    return found.log_in("admin")


@pytest.fixture
def running(teams_site: Site, size: dict[str, int]) -> Iterator[tuple[str, int]]:
    """A team's container: the name of who started it, and the challenge."""
    name = f"mate{size['width']}"
    users = {
        each["name"]: each["id"] for each in teams_site.admin.json("GET", "/api/v1/users")["data"]
    }
    if name not in users:
        teams_site.team(f"team{size['width']}", teams_site.player(name))
    number = teams_site.challenge(f"Seen {size['width']}", container_image="simulated")
    player = teams_site.visitor(name)
    answer = player.json("POST", "/api/v1/container/start", {"challenge_id": number})
    assert answer["success"], answer
    yield name, number
    player.json("POST", "/api/v1/container/stop", {"chal_id": number})


def test_what_runs_is_extended_and_stopped(
    admin: Window, running: tuple[str, int], size: dict[str, int]
) -> None:
    page = admin.open(f"{ADMIN}/instances")
    row = page.locator("tbody tr", has_text=f"Seen {size['width']}")
    expect(row).to_contain_text(running[0])
    expect(row).to_contain_text(f"team{size['width']}")
    assert not admin.overflows()
    shot(page, f"instances-{size['width']}")
    row.get_by_role("button", name="Extend").click()
    expect(page.get_by_role("status").first).to_be_visible()
    expect(row).to_contain_text("1 ×")
    row.get_by_role("button", name="Stop").click()
    expect(row).to_have_count(0)
    # Newest first: the admin's two, and the player's own start.
    done = admin.open(f"{ADMIN}/history?challenge_id={running[1]}").locator("tbody tr")
    expect(done).to_have_count(3)
    for each, action in zip(done.all(), ("stopped", "extended", "started"), strict=True):
        expect(each.get_by_role("cell", name=action, exact=True)).to_be_visible()
        by_admin = each.get_by_role("cell", name="admin admin", exact=True)
        expect(by_admin).to_have_count(int(action != "started"))
    assert not admin.overflows()


def test_history(admin: Window, running: tuple[str, int], size: dict[str, int]) -> None:
    page = admin.open(f"{ADMIN}/history")
    page.get_by_label("Challenge id").fill(str(running[1]))
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("started")
    assert not admin.overflows()
    shot(page, f"history-{size['width']}")
    page.get_by_label("Challenge id").fill("x")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("must be a whole number")


def test_settings_show_where_from_and_no_secret(admin: Window, size: dict[str, int]) -> None:
    page = admin.open(f"{ADMIN}/settings")
    row = page.locator("tr", has=page.get_by_text("CRE_DEPLOYMENT", exact=True))
    expect(row).to_contain_text("environment")
    database = page.locator("tr", has=page.get_by_text("CONTAINER_DATABASE_URL", exact=True))
    expect(database).to_contain_text("set, not shown")
    expect(database).to_contain_text("CTFd's database")
    expect(page.get_by_text("at work", exact=True)).to_be_visible()
    assert "ctfd.db" not in page.content()
    assert not admin.overflows()
    shot(page, f"settings-{size['width']}")


def test_the_dial(admin: Window, size: dict[str, int]) -> None:
    page = admin.open(f"{ADMIN}/rollout")
    page.get_by_label("Share of challenges").fill("10%")
    page.get_by_role("button", name="Set share of challenges").click()
    expect(heading(page)).to_contain_text("10 % of challenges")
    page.get_by_label("Share of accounts").fill("lots")
    page.get_by_role("button", name="Set share of accounts").click()
    expect(page.get_by_role("alert")).to_contain_text("write a share from 0% to 100%")
    page.get_by_label("Share of accounts").fill("5")
    page.get_by_role("button", name="Set share of accounts").click()
    expect(heading(page)).to_contain_text("5 % of accounts")
    page.get_by_label("On Whale").select_option("off")
    page.get_by_role("button", name="Set challenge").click()
    expect(heading(page)).to_contain_text("challenges off")
    page.get_by_label("Why").fill("they are slow")
    page.get_by_role("button", name="Pause").click()
    expect(heading(page)).to_contain_text("paused")
    expect(page.locator("tbody tr").first).to_contain_text("they are slow")
    expect(page.locator("tbody tr").first).to_contain_text("admin admin")
    assert not admin.overflows()
    shot(page, f"rollout-{size['width']}")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Shadow mode").click()
    expect(heading(page)).to_contain_text("shadow")
    page.get_by_role("button", name="End shadow mode").click()
    page.get_by_role("button", name="One step back").click()
    page.get_by_role("button", name="Let USE_WHALE decide").click()
    expect(heading(page)).to_contain_text("as USE_WHALE says")


def heading(page: Page) -> object:
    return page.get_by_role("heading", name="The rollout is at")


def test_a_challenge_is_made_and_changed_in_forms(
    teams_site: Site, admin: Window, size: dict[str, int]
) -> None:
    name = f"Made {size['width']}"
    page = admin.page
    # CTFd puts one form after the other in place; each is there when its script is.
    with page.expect_response("**/plugins/challenges/assets/create.js*"):
        admin.open("/admin/challenges/new")
    with page.expect_response("**/whale_ready/assets/create.js*"):
        page.get_by_text("whale_ready").first.click()
    form = page.locator("#create-chal-entry-div form")
    form.locator('[name="name"]').fill(name)
    form.locator('[name="category"]').fill("web")
    form.locator('[name="value"]').fill("50")
    form.get_by_label("Image", exact=True).fill("simulated")
    form.get_by_label("Memory", exact=True).fill("lots")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("Memory: write a whole number")).to_be_visible()
    page.get_by_role("button", name="OK").click()
    expect(page.get_by_text("Memory: write a whole number")).not_to_be_visible()
    form.get_by_label("Memory", exact=True).fill("64")
    form.get_by_label("No new privileges").select_option("no")
    expect(form).to_contain_text("a player who breaks a set-uid program is root")
    form.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("#challenge-create-options")).to_be_visible()
    shot(page, f"made-{size['width']}")
    rows = teams_site.admin.json("GET", "/api/v1/challenges?view=admin")["data"]
    number = next(row["id"] for row in rows if row["name"] == name)

    page = admin.open(f"/admin/challenges/{number}")
    update = page.locator("#challenge-update-container form")
    expect(update.get_by_label("Memory", exact=True)).to_have_value("64")
    expect(update.get_by_label("No new privileges")).to_have_value("no")
    expect(update.get_by_label("Init")).to_have_value("yes")
    update.get_by_label("Ports", exact=True).fill("80, 53/tpc")
    update.locator('[name="state"]').select_option("visible")
    update.get_by_role("button", name="Update").click()
    page.get_by_role("button", name="Yes").click()  # it has no flag of CTFd's
    expect(page.get_by_text("Ports: write ports with commas")).to_be_visible()
    shot(page, f"update-{size['width']}")


def test_a_team_shares_and_a_player_without_one_is_told(
    teams_site: Site, browser: Browser, windows: list[Window], size: dict[str, int]
) -> None:
    width = size["width"]
    number = teams_site.challenge(f"Shared {width}", container_image="simulated")
    first, second = (teams_site.player(f"{name}{width}") for name in ("anna", "bert"))
    teams_site.team(f"pair{width}", first, second)
    teams_site.player(f"lone{width}")

    window = Window(browser, teams_site, size)
    windows.append(window)
    panel = opened(window.log_in(f"anna{width}"), f"Shared {width}")
    button(panel, "Start").click()
    expect(panel.get_by_role("timer")).to_be_visible()
    mate = Window(browser, teams_site, size)
    windows.append(mate)
    panel = opened(mate.log_in(f"bert{width}"), f"Shared {width}")
    expect(panel.get_by_role("timer")).to_be_visible()
    button(panel, "Stop").click()
    expect(button(panel, "Start")).to_be_visible()

    lone = teams_site.visitor(f"lone{width}")
    answer = lone.ask("POST", "/api/v1/container/start", {"challenge_id": number})
    assert answer.status_code == 403
    assert answer.json()["message"] == "Join a team or create one first: containers are a team's"
