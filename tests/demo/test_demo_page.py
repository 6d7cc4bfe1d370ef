"""The demo in a headless Chromium: the swap as a person sees it, at a desk and on a phone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import pytest
import requests
from demo.conftest import Served
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect
from support.shown_pages import CONTRAST, SIZE

from whale_ready.demo.cast import CHALLENGES, PLAYERS

COOKIE_JAR, WARM_UP = 1, 105
WIDE, NARROW = 1280, 375
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
REFUSALS = re.compile(
    r"Failed to load resource: the server responded with a status of (400|403|409)"
)
"""What Chromium writes for an answer that is a refusal; the page shows it."""


class Opened:
    """Pages of one browser; what their consoles say and where they ask is kept."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.said: list[str] = []
        self.asked: set[str] = set()
        self.page = context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(url)

    def check(self) -> None:
        """No error but refusals that were meant, and no server asked but the demo's own."""
        assert [text for text in self.said if not REFUSALS.match(text)] == []
        assert {each for each in self.asked if not each.startswith((f"{self.url}/", "data:"))} == (
            set()
        )


@contextmanager
def opened(browser: Browser, served: Served, **options: Any) -> Iterator[Page]:
    context = browser.new_context(**options)
    # Where Docker comes and goes on the machine its networks do, and Chromium breaks off whatever
    # is under way (ERR_NETWORK_CHANGED): requests are made for it, as it would make them.
    context.route("**/*", lambda route: route.fulfill(response=route.fetch()))
    try:
        found = Opened(context, served.url)
        yield found.page
        found.check()
    finally:
        context.unroute_all(behavior="ignoreErrors")
        context.close()


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    with opened(browser, served, viewport={"width": WIDE, "height": 900}) as made:
        yield made


def play(page: Page, user_id: int) -> None:
    player = PLAYERS[user_id]
    page.get_by_label("You play as").select_option(label=f"{player.name} ({player.team})")


def choose(page: Page, challenge_id: int) -> None:
    page.get_by_role("group", name="Challenge").get_by_role(
        "button", name=CHALLENGES[challenge_id].name
    ).click()


def start(page: Page, challenge_id: int) -> None:
    choose(page, challenge_id)
    page.get_by_role("button", name="Start container").click()
    expect(page.get_by_text("Your container is running.")).to_be_visible()


def live(page: Page, user_id: int) -> Locator:
    return page.locator("#live-rows tr").filter(has_text=PLAYERS[user_id].name)


def dial(page: Page, percent: str) -> None:
    page.get_by_role("button", name=f"{percent} %", exact=True).click()
    expect(page.locator("#told")).to_contain_text(f"The rollout is at {percent} %")


def fail(page: Page) -> None:
    page.get_by_role("button", name="Whale fails").click()
    expect(page.locator("#told")).to_have_text("Whale refuses every connection now")


def test_a_player_starts_extends_and_stops(page: Page) -> None:
    start(page, COOKIE_JAR)
    address = page.locator("#panel code").inner_text()
    link = page.get_by_role("link", name=f"Open {address} in a new tab")
    expect(link).to_have_attribute("href", f"http://{address}/")
    answer = requests.get(f"http://{address}/", timeout=5)
    assert answer.text == "This is Cookie jar, in a simulated container of CRE.\n"
    timer = page.get_by_role("timer")
    first = timer.inner_text()
    expect(timer).not_to_have_text(first)
    expect(page.get_by_text("You may extend it 5 more times.")).to_be_visible()
    page.get_by_role("button", name="Extend").click()
    expect(page.get_by_text("You may extend it 4 more times.")).to_be_visible()
    last = page.locator("#answer")
    expect(last).to_contain_text("POST /api/v1/container/extend → 200")
    expect(last).to_contain_text("Container extended by 2 minutes (extension 1/5)")
    expect(live(page, 1)).to_contain_text("extended 1×")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Your container is stopped.")).to_be_visible()
    expect(page.get_by_text("None. Start one")).to_be_visible()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{address}/", timeout=5)


def test_turning_the_dial_moves_new_starts_and_nothing_that_runs(
    page: Page, browser: Browser
) -> None:
    start(page, COOKIE_JAR)
    expect(live(page, 1)).to_contain_text("this challenge moves at 9 %; the rollout is at 0 %: CRE")
    dial(page, "100")
    play(page, 3)
    start(page, COOKIE_JAR)
    expect(live(page, 3)).to_contain_text("● Whale")
    expect(live(page, 3)).to_contain_text(
        "this challenge moves at 9 %; the rollout is at 100 %: Whale (percentage)"
    )
    expect(live(page, 1)).to_contain_text("■ CRE")
    # Whale's instances have names, which lead to this machine without a name server.
    address = page.locator("#panel code").inner_text()
    assert re.fullmatch(r"[0-9a-f-]{36}\.localhost:\d+", address)
    there = browser.new_page()
    there.goto(f"http://{address}/")
    expect(there.get_by_text("This is Cookie jar.")).to_be_visible()
    there.close()
    # Ana's team mate sees the same instance, and extends it where it runs.
    play(page, 2)
    page.get_by_role("button", name="Extend").click()
    expect(page.locator("#event-rows tr").first).to_contain_text("■ CRE")
    expect(page.locator("#event-rows tr").first).to_contain_text("extended")
    expect(page.locator("#event-rows tr").first).to_contain_text("Ben (Narwhals): Cookie jar")


def test_when_whale_fails_the_next_start_falls_back_and_later_goes_there_again(page: Page) -> None:
    dial(page, "100")
    fail(page)
    expect(page.get_by_text("Starts that would go to it fall back to CRE")).to_be_visible()
    start(page, COOKIE_JAR)
    expect(live(page, 1)).to_contain_text("■ CRE")
    expect(live(page, 1)).to_contain_text("whale answered unavailable (fallback)")
    page.get_by_role("button", name="Whale is back").click()
    expect(page.locator("#whale-state")).to_have_text("✓ answers")
    play(page, 3)
    start(page, COOKIE_JAR)
    expect(live(page, 3)).to_contain_text("● Whale")
    expect(live(page, 1)).to_contain_text("■ CRE")


def test_what_lives_on_whale_cannot_be_asked_while_it_fails_and_the_wait_is_kept_to(
    browser: Browser, served: Served
) -> None:
    with opened(browser, served) as page:
        page.clock.install()
        page.reload()
        dial(page, "100")
        start(page, COOKIE_JAR)
        fail(page)
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # however slow the machine is
        page.get_by_role("button", name="Extend").click()
        last = page.locator("#answer")
        expect(last).to_contain_text("409")
        expect(last).to_contain_text("out_of_reach")
        seconds = int(last.locator("[data-retry]").inner_text().removesuffix(" s"))
        assert seconds >= 1
        extend = page.get_by_role("button", name=re.compile(r"Extend \(in \d+ s\)"))
        expect(extend).to_be_disabled()
        expect(live(page, 1)).to_contain_text("● Whale")
        page.clock.fast_forward(seconds * 1000)
        expect(page.get_by_role("button", name="Extend", exact=True)).to_be_enabled()
        panel = page.locator("section.whale-ready")
        page.clock.fast_forward(31_000)  # it looks by itself
        expect(panel).to_contain_text("This is what was last known")
        expect(panel.get_by_role("timer")).to_be_visible()
        page.get_by_role("button", name="Whale is back").click()
        page.clock.fast_forward(31_000)
        expect(panel).not_to_contain_text("This is what was last known")


def test_the_dial_turns_back_by_itself_when_too_many_starts_fail(
    page: Page, served: Served
) -> None:
    dial(page, "10")
    dial(page, "100")
    fail(page)
    for _ in range(served.demo.settings.rollout_min_starts):
        assert served.demo.hybrid.start_instance(1, COOKIE_JAR, 1).ok
        assert served.demo.hybrid.stop_instance(1, COOKIE_JAR, 1).ok
    turned = page.locator("#changes li").first
    expect(turned).to_contain_text("whale-ready: step back more than 50 % of the starts failed")
    expect(page.locator("#percent")).to_have_text("10 %")


def test_single_challenges_a_pause_a_number_and_a_step_back(page: Page, served: Served) -> None:
    row = page.get_by_role("row").filter(has_text="Warm-up")
    switch = page.get_by_label("Switch of Warm-up")
    switch.select_option("always Whale")
    expect(row).to_contain_text("● Whale")
    expect(row).to_contain_text("the challenge is on")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#paused")).to_be_visible()
    expect(row).to_contain_text("the rollout is paused")
    page.get_by_role("button", name="Resume").click()
    expect(row).to_contain_text("the challenge is on")
    switch.select_option("as the dial says")
    expect(row).to_contain_text("this challenge moves at 0.08 %; the rollout is at 0 %: CRE")
    page.get_by_label("or percent").fill("0.5")
    page.get_by_role("button", name="Set").click()
    expect(row).to_contain_text("this challenge moves at 0.08 %; the rollout is at 0.5 %: Whale")
    page.get_by_role("button", name="One step back").click()
    expect(page.locator("#percent")).to_have_text("0 %")
    page.get_by_label("or percent").fill("a lot")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#told.bad")).to_have_text("write a share from 0% to 100%, as 10%")
    assert served.demo.store.load().position.percent == 0


def test_a_refusal_calls_challenges_by_their_names_and_the_page_says_what_is_not_real(
    page: Page,
) -> None:
    expect(page.locator("header summary")).to_contain_text(
        "Whale is a fake, and all containers are simulated."
    )
    expect(page.locator(".player .tag")).to_have_text("simulated")
    start(page, COOKIE_JAR)
    expect(live(page, 1)).to_contain_text("simulated")
    choose(page, WARM_UP)
    page.get_by_role("button", name="Start container").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "You already have a running container: “Cookie jar”. Stop it first"
    )
    expect(page.locator("#answer")).to_contain_text("limit_reached")


def test_nothing_overflows_and_all_can_be_read(page: Page) -> None:
    start(page, 7)  # on Whale: its address is the longest there is
    play(page, 3)
    start(page, COOKIE_JAR)
    fail(page)
    choose(page, WARM_UP)
    page.get_by_role("button", name="Start container").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
    expect(page.locator("#live-rows tr")).to_have_count(2)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            scrolled, client = page.evaluate(SIZE)
            assert scrolled <= client == width
            assert page.evaluate(CONTRAST) == [], f"{width}, {scheme}"


def test_by_keyboard_alone(page: Page) -> None:
    assert tab_to(page, "Cookie jar")[0] == "Skip to the dial"
    page.keyboard.press("Space")
    cookie_jar = page.get_by_role("button", name="Cookie jar")
    expect(cookie_jar).to_have_attribute("aria-pressed", "true")
    tab_to(page, "Start container")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your container is running.")).to_be_visible()
    # Where Start was there are Extend and Stop now: the focus is not lost.
    expect(page.get_by_role("button", name="Extend")).to_be_focused()
    tab_to(page, "100 %")
    page.keyboard.press("Enter")
    expect(page.locator("#percent")).to_have_text("100 %")
    expect(page.get_by_role("button", name="100 %")).to_be_focused()
    tab_to(page, "Whale fails")
    page.keyboard.press("Enter")
    expect(page.locator("#whale-state")).to_have_text("✗ fails")
    tab_to(page, "Switch of Warm-up")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#changes li").first).to_contain_text("challenge 105 on")


def tab_to(page: Page, name: str) -> list[str]:
    """Press Tab until this has the focus, which shows all the way; what was met."""
    met: list[str] = []
    while name not in met:
        page.keyboard.press("Tab")
        text, outline = page.evaluate(
            "[document.activeElement.getAttribute('aria-label')"
            " || document.activeElement.innerText.split('\\n')[0],"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline == "solid", f"the focus on {text!r} cannot be seen"
        met.append(text)
        assert len(met) < 60, f"{name} is never reached: {met}"
    return met


def test_whatever_can_be_used_has_a_name_and_what_changes_is_told(page: Page) -> None:
    start(page, COOKIE_JAR)
    roles = {"button", "link", "combobox", "textbox", "table", "timer", "DisclosureTriangle"}
    used = [(role, name) for role, name in read_aloud(page) if role in roles]
    assert {role for role, _ in used} == roles
    assert [role for role, name in used if not name.strip()] == []
    told = page.locator("[role=status], [role=alert], [aria-live]")
    assert told.count() == 3  # the panel's message and error, and what the dial says
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].map((each) => Number(each.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.locator("th:not([scope])").count() == 0


def test_tables_are_read_as_tables_on_a_phone_too(page: Page) -> None:
    start(page, COOKIE_JAR)
    expect(live(page, 1)).to_be_visible()
    expect(page.locator("#event-rows tr")).to_have_count(1)
    wide = Counter(role for role, _ in read_aloud(page) if role in ("table", "row", "cell"))
    page.set_viewport_size({"width": NARROW, "height": 800})
    narrow = Counter(role for role, _ in read_aloud(page))
    assert wide["table"] == 3
    assert {role: narrow[role] for role in wide} == dict(wide)
    # Other browsers take a table that is shown as blocks for none, unless it says what it is.
    without = "table:not([role=table]), tr:not([role=row]), td:not([role=cell])"
    assert page.locator(without).count() == 0


def read_aloud(page: Page) -> list[tuple[str, str]]:
    """Role and name of all that Chromium tells a screen reader."""
    session = page.context.new_cdp_session(page)
    return [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in session.send("Accessibility.getFullAXTree")["nodes"]
        if not node["ignored"]
    ]


def test_a_page_that_still_shows_another_player_cannot_act(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context()
    old, new = Opened(context, served.url).page, Opened(context, served.url).page
    expect(old.get_by_role("button", name="Start container")).to_be_visible()
    play(new, 3)
    old.get_by_role("button", name="Start container").click()
    expect(old.get_by_role("alert")).to_contain_text("reload the page")
    assert served.demo.overview.live() == []
    context.close()


def test_while_the_player_is_switched_nothing_of_the_other_one_can_be_pressed(page: Page) -> None:
    held: list[Route] = []
    page.route("**/demo/player", lambda route: held.append(route))
    expect(page.get_by_role("button", name="Start container")).to_be_visible()
    with page.expect_request("**/demo/player"):
        play(page, 3)
    choose(page, COOKIE_JAR)
    expect(page.locator("#panel button")).to_have_count(0)
    held[0].continue_()
    start(page, COOKIE_JAR)
    expect(live(page, 3)).to_be_visible()
