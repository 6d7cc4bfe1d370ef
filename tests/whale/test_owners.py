"""The ledger's rows belong to identities: users who are deleted, and whose numbers are given again.

Source: jonschipp/ISLET#69, on the side of Whale.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parallel import Player
from support.people import NEW, OLD, People
from whale.rig import DIRECT, HTTP, FakesClock, fake_whale, settings, tokens

from engines.audit import Action
from engines.contract import Code
from engines.whale import StaticTokens, WhaleAPIManager
from fake_whale import FakeWhale, VirtualEpochClock

ALICE = 7


class Site:
    """An adapter in front of a fake Whale, and who has the numbers."""

    def __init__(self, fake: FakeWhale, url: str, state: Path) -> None:
        self.fake = fake
        self.people = People()
        self.tokens = tokens([Player("ALICE", ALICE)])
        self.adapter = WhaleAPIManager(
            settings(url, state, timeout=3600, renewals=5),
            credentials=StaticTokens(self.tokens),
            clock=FakesClock(fake),
            owners=self.people,
        )

    def hide(self, challenge: int) -> None:
        self.fake.machine.directory.change_challenge(challenge, state="hidden")

    def running(self) -> set[str]:
        return {service["uuid"] for service in self.fake.state()["services"]}

    def last(self) -> tuple[Action, str, bool]:
        event = self.adapter.audit.events()[-1]
        told = event.metadata
        return event.action, str(told.get("reason", "")), bool(told.get("left_on_whale"))

    def without_access(self) -> WhaleAPIManager:
        """As the adapter is once Whale's user is deleted."""
        return WhaleAPIManager(
            self.adapter.settings,
            credentials=StaticTokens({}),
            clock=FakesClock(self.fake),
            owners=self.people,
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    fake = fake_whale([Player("ALICE", ALICE)], VirtualEpochClock(), timeout=3600, renewals=5)
    with fake, fake.serve() as server:
        found = Site(fake, server.url, tmp_path / "state.db")
        yield found
        found.adapter.close()


def test_the_next_round_destroys_what_is_orphaned(site: Site) -> None:
    assert site.adapter.start_instance(ALICE, HTTP).ok
    del site.people.users[ALICE]
    assert site.adapter.get_instance_status(ALICE, HTTP) is None
    site.adapter.cleanup_worker.run_once()
    assert site.running() == set()
    assert not site.adapter.holds_any()
    assert site.last() == (Action.ORPHANED, "its account is gone", False)


def test_a_user_whom_whale_knows_no_more_is_left_to_whale(site: Site) -> None:
    """The row goes all the same, and frees the account's place; Whale's time ends the container."""
    uuid = site.adapter.start_instance(ALICE, HTTP).instance["container_id"]
    site.people.users[ALICE] = NEW
    gone = site.without_access()
    gone.cleanup_worker.run_once()
    gone.close()
    assert not site.adapter.holds_any()
    assert site.running() == {uuid}
    why = "its account is gone, and another one has the number"
    assert site.last() == (Action.ORPHANED, why, True)
    # Its number's new owner has access again, and Whale shows them the old one's container.
    assert site.adapter.get_instance_status(ALICE, HTTP) is None
    assert site.adapter.stop_instance(ALICE, HTTP).code is Code.NOT_FOUND
    again = site.adapter.start_instance(ALICE, HTTP)
    assert again.code is Code.OK
    assert site.running() == {again.instance["container_id"]}
    assert uuid not in site.running()


def test_the_new_owner_starts_at_once(site: Site) -> None:
    old = site.adapter.start_instance(ALICE, HTTP).instance["container_id"]
    site.people.users[ALICE] = NEW
    assert site.adapter.last_known(ALICE, HTTP) is None
    assert site.adapter.extend_instance(ALICE, HTTP).code is Code.NOT_FOUND
    for challenge in (HTTP, DIRECT):
        started = site.adapter.start_instance(ALICE, challenge)
        assert started.code is Code.OK
        assert site.running() == {started.instance["container_id"]} != {old}
        site.people.users[ALICE] = f"{OLD} {challenge}"


def test_a_challenge_that_is_another_now(site: Site) -> None:
    assert site.adapter.start_instance(ALICE, HTTP).ok
    site.people.challenges[HTTP] = NEW
    site.adapter.cleanup_worker.run_once()
    assert site.running() == set()
    assert site.last()[1] == "its challenge is gone, and another one has the number"


def test_what_is_hidden_with_its_account_gone_is_left_to_whale(site: Site) -> None:
    uuid = site.adapter.start_instance(ALICE, HTTP).instance["container_id"]
    del site.people.users[ALICE]
    site.hide(HTTP)
    site.adapter.cleanup_worker.run_once()
    assert not site.adapter.holds_any()
    assert site.running() == {uuid}
    assert site.last() == (Action.ORPHANED, "its account is gone", True)


def test_what_runs_for_a_challenge_that_is_gone_and_hidden_is_destroyed(site: Site) -> None:
    assert site.adapter.start_instance(ALICE, HTTP).ok
    del site.people.challenges[HTTP]
    site.hide(HTTP)
    site.adapter.cleanup_worker.run_once()
    assert not site.adapter.holds_any()
    assert site.running() == set()


def test_what_is_orphaned_stays_recorded_until_it_can_be_destroyed(site: Site) -> None:
    uuid = site.adapter.start_instance(ALICE, HTTP).instance["container_id"]
    del site.people.users[ALICE]
    site.fake.inject({"kind": "docker_error"})
    site.adapter.cleanup_worker.run_once()
    assert site.adapter.holds_any()
    assert site.running() == {uuid}
    site.fake.lift_faults()
    site.fake.clock.advance(11)  # the failure left Whale's lock behind
    site.adapter.cleanup_worker.run_once()
    assert not site.adapter.holds_any()
    assert site.running() == set()


def test_while_nobody_can_be_asked_nothing_is_ended(site: Site) -> None:
    assert site.adapter.start_instance(ALICE, HTTP).ok
    site.people.down = True
    site.adapter.cleanup_worker.run_once()
    assert len(site.running()) == 1
    assert site.adapter.stop_instance(ALICE, HTTP).code is Code.UNAVAILABLE
