"""What a failed start leaves behind at Whale, and the second try where another was in its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.parallel import Player
from whale.rig import DIRECT, HTTP, FakesClock, credentials, fake_whale, settings, tokens

from engines.clock import VirtualClock as OurClock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.whale import WhaleAPIManager
from engines.whale.client import WhaleAnswer
from engines.whale.left_locks import LeftLocks
from fake_whale import FakeWhale, VirtualEpochClock
from fake_whale.testing import WhalePlayer as Visitor

ALICE, BOB = Player("ALICE", 11), Player("BOB", 12)
TIMEOUT, RENEWALS = 3600, 5
NOT_CREATED = "Container creation failed"


class Site:
    """An adapter in front of a fake, and what was asked of it."""

    def __init__(self, fake: FakeWhale, url: str, state: Path, pause: float) -> None:
        self.fake = fake
        self.url = url
        self.asked: list[str] = []
        self.after: Callable[[WhaleAnswer], None] = lambda answer: None
        shared = settings(url, state, timeout=TIMEOUT, renewals=RENEWALS)
        self.adapter = WhaleAPIManager(
            replace(shared, whale_start_again_seconds=pause),
            credentials=credentials([ALICE, BOB]),
            clock=FakesClock(fake),
            observer=self._observe,
        )

    def start(self, player: Player, challenge: int = HTTP) -> Code:
        return self.adapter.start_instance(player.user_id, challenge).code

    def writes(self) -> list[str]:
        return [each for each in self.asked if each != "GET"]

    def _observe(self, answer: WhaleAnswer) -> None:
        self.asked.append(answer.method)
        self.after(answer)


Sites = Callable[..., Site]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Sites]:
    """``site(pause=…, places=…)``."""
    with ExitStack() as stack:

        def opened(pause: float = 0, places: int = 100) -> Site:
            fake = fake_whale(
                [ALICE, BOB], VirtualEpochClock(), timeout=TIMEOUT, renewals=RENEWALS, places=places
            )
            server = stack.enter_context(stack.enter_context(fake).serve())
            made = Site(fake, server.url, tmp_path / "state.db", pause)
            stack.callback(made.adapter.close)
            return made

        yield opened


def ten_seconds_later(site: Site) -> Callable[[WhaleAnswer], None]:
    """The pause after a failure, on a clock that does not go by itself."""

    def after(answer: WhaleAnswer) -> None:
        if answer.method == "GET" and "POST" in site.asked:
            site.fake.clock.advance(11)

    return after


def test_a_start_that_met_a_reload_is_tried_again_and_succeeds(site: Sites) -> None:
    here = site(pause=0.01)
    here.after = ten_seconds_later(here)
    here.fake.inject({"kind": "frpc_error", "count": 1})
    assert here.start(ALICE) is Code.OK
    assert here.writes() == ["POST", "POST"]
    assert len(here.fake.state()["services"]) == 1


def test_it_is_tried_again_once_and_the_first_refusal_is_told(site: Sites) -> None:
    here = site(pause=0.01)
    here.after = ten_seconds_later(here)
    here.fake.inject({"kind": "frpc_error"})
    assert here.start(ALICE) is Code.START_FAILED
    assert here.writes() == ["POST", "POST"]
    here.fake.lift_faults()
    here.fake.clock.advance(11)
    assert here.start(ALICE) is Code.OK, "nothing is left of it"


def test_it_is_not_tried_again_where_something_runs_by_then(site: Sites) -> None:
    here = site(pause=0.01)
    whales_own = Visitor(here.url, tokens([ALICE])[ALICE.user_id])

    def on_whales_page(answer: WhaleAnswer) -> None:
        if answer.method == "POST":
            here.after = lambda _: None
            here.fake.lift_faults()
            here.fake.clock.advance(11)
            whales_own.post(HTTP)

    here.after = on_whales_page
    here.fake.inject({"kind": "frpc_error"})
    assert here.start(ALICE) is Code.START_FAILED
    assert here.writes() == ["POST"]
    assert len(here.fake.state()["services"]) == 1, "what the player started is left alone"


def test_it_is_not_tried_again_where_nobody_can_see_what_became_of_it(site: Sites) -> None:
    here = site(pause=0.01)

    def out(answer: WhaleAnswer) -> None:
        if answer.method == "POST":
            here.fake.lift_faults()
            here.fake.inject({"kind": "bad_gateway", "method": "GET"})

    here.after = out
    here.fake.inject({"kind": "frpc_error"})
    assert here.start(ALICE) is Code.START_FAILED
    assert here.writes() == ["POST"]


def test_it_is_not_tried_again_where_another_has_taken_it_over(site: Sites) -> None:
    here = site(pause=0.01)
    store, ledger = here.adapter._store, here.adapter._ledger

    def taken_over(answer: WhaleAnswer) -> None:
        if answer.method == "POST":
            (row,) = store.all()
            assert store.save(row.stopping(ledger.lease_end()))

    here.after = taken_over
    here.fake.inject({"kind": "frpc_error"})
    assert here.start(ALICE) is Code.START_FAILED
    assert here.writes() == ["POST"]


@pytest.mark.parametrize("pause", [0.01, 0])
def test_other_refusals_and_missing_images_are_not_tried_again(site: Sites, pause: float) -> None:
    here = site(pause=pause, places=1)
    assert here.start(BOB) is Code.OK
    assert here.start(ALICE) is Code.CAPACITY
    assert here.writes() == ["POST", "POST"]


def test_without_a_pause_nothing_is_tried_again(site: Sites) -> None:
    here = site(pause=0)
    here.fake.inject({"kind": "frpc_error", "count": 1})
    assert here.start(ALICE) is Code.START_FAILED
    assert here.writes() == ["POST"]


def test_what_meets_a_lock_that_was_left_is_refused_without_holding_others_up(site: Sites) -> None:
    here = site(places=1)
    assert here.start(BOB) is Code.OK
    assert here.start(ALICE) is Code.CAPACITY
    asked, now = list(here.writes()), here.fake.clock.time()
    again = here.adapter.start_instance(ALICE.user_id, DIRECT)
    assert again.code is Code.RATE_LIMITED
    assert again.definite
    assert again.retry_after == pytest.approx(10, abs=0.5)
    assert (here.writes(), here.fake.clock.time()) == (asked, now), "Whale waits two seconds"
    assert here.adapter.stop_instance(BOB.user_id, HTTP).ok, "the lock is hers alone"
    here.fake.clock.advance(8.2)  # for the rest Whale waits by itself
    assert here.start(ALICE) is Code.OK


def test_an_answer_of_something_in_front_of_whale_leaves_no_lock() -> None:
    locks = LeftLocks(OurClock())
    fault = WhaleFault(Code.UNAVAILABLE, "Bad gateway")
    locks.note(ALICE.user_id, WhaleAnswer("POST", "/", 502, "text/html", None, 1), fault)
    locks.check(ALICE.user_id)
    locks.note(ALICE.user_id, WhaleAnswer("POST", "/", 500, "text/html", None, 1), fault)
    with pytest.raises(WhaleFault):
        locks.check(ALICE.user_id)


def test_a_clean_up_of_what_is_just_starting_leaves_it(site: Sites) -> None:
    here = site()
    told: list[Code] = []

    def meanwhile(answer: WhaleAnswer) -> None:
        if answer.method == "POST":
            here.after = lambda _: None
            stopped = here.adapter.stop_instance(ALICE.user_id, HTTP, auto_cleanup=True)
            told.append(stopped.code)

    here.after = meanwhile
    assert here.start(ALICE) is Code.OK
    assert told == [Code.BUSY]
    assert len(here.fake.state()["services"]) == 1


def test_a_renewal_ends_no_earlier_where_whales_own_time_was_cut_meanwhile(site: Sites) -> None:
    here = site()
    assert here.start(ALICE) is Code.OK
    before = here.adapter.last_known(ALICE.user_id, HTTP)
    here.after = lambda _: here.fake.patch_config({"docker_timeout": str(TIMEOUT // 10)})
    here.fake.clock.advance(60)
    assert here.adapter.extend_instance(ALICE.user_id, HTTP).ok
    after = here.adapter.last_known(ALICE.user_id, HTTP)
    assert before is not None
    assert after is not None
    assert (after["expires_at"], after["extension_count"]) == (before["expires_at"], 1)


def test_what_goes_between_two_looks_of_a_start_is_left_to_the_next(tmp_path: Path) -> None:
    """One that was started on Whale's own page has not been asked yet whether it answers."""
    fake = fake_whale([ALICE], VirtualEpochClock(), timeout=TIMEOUT, renewals=RENEWALS)
    with fake, fake.serve() as server:
        looks: list[str] = []
        whales_own = Visitor(server.url, tokens([ALICE])[ALICE.user_id])

        def gone_after_the_first_look(answer: WhaleAnswer) -> None:
            looks.append(answer.method)
            if len(looks) == 1:
                whales_own.delete(HTTP)

        shared = settings(server.url, tmp_path / "state.db", timeout=TIMEOUT, renewals=RENEWALS)
        adapter = WhaleAPIManager(
            replace(shared, whale_probe=True),
            credentials=credentials([ALICE]),
            clock=FakesClock(fake),
            observer=gone_after_the_first_look,
        )
        whales_own.post(HTTP)
        looks.append("none counts yet")
        assert adapter.get_instance_status(ALICE.user_id, HTTP) is not None
        fake.clock.advance(11)
        looks.clear()
        assert adapter.start_instance(ALICE.user_id, HTTP).code is Code.ALREADY_RUNNING
        assert looks == ["GET", "GET"]
        adapter.close()


def test_a_look_leaves_the_row_of_a_stop_alone_where_the_expiry_has_moved(site: Sites) -> None:
    here = site()
    store, ledger = here.adapter._store, here.adapter._ledger
    assert here.start(ALICE) is Code.OK
    (row,) = store.all()
    assert store.save(row.stopping(ledger.lease_end()))
    here.fake.patch_config({"docker_timeout": str(2 * TIMEOUT)})
    before = store.all()
    assert here.adapter.get_instance_status(ALICE.user_id, HTTP) is not None
    assert store.all() == before


def test_a_hang_is_waited_for_as_long_as_the_setting_says(tmp_path: Path) -> None:
    shared = settings("http://127.0.0.1:1", tmp_path / "state.db", timeout=1, renewals=1)
    made = replace(shared, look_seconds=0.5, answer_seconds=3.5)
    adapter = WhaleAPIManager(made, credentials=credentials([ALICE]))
    pulse = adapter._api._client._pulse
    assert (pulse._look_seconds, pulse._answer_seconds) == (0.5, 3.5)
    adapter.close()


def test_a_time_that_was_cut_on_whale_is_followed(site: Sites) -> None:
    here = site()
    assert here.start(ALICE) is Code.OK
    here.fake.patch_config({"docker_timeout": str(TIMEOUT // 2)})
    for look in (here.adapter.get_instance_status, here.adapter.last_known):
        seen = look(ALICE.user_id, HTTP)
        assert seen is not None
        assert seen["remaining_seconds"] <= TIMEOUT // 2


def test_what_an_adapter_declares(site: Sites) -> None:
    declared = site().adapter.capabilities
    assert not declared.detects_loss, "Whale itself does not notice (docs/whale-wire.md)"
    assert (declared.teams, declared.multi_node) == (True, True)
    assert (declared.timeout_seconds, declared.max_extensions) == (TIMEOUT, RENEWALS)
