"""The rollout sends to Whale only what Whale has, and never blames it for what it does not have."""

from __future__ import annotations

import pytest
from hybrid.stage import ALICE, BOB, IMAGE, Site

from engines.audit import Action
from engines.catalog import ChallengeSpec
from engines.contract import Code, StartResult
from engines.hybrid import Position, RoutedBy, RoutingDecision, StartRouter
from engines.hybrid.dial import ALL

EVERYTHING = Position(ALL)
MIN_STARTS = 4
WATCHED = {"rollout_min_starts": MIN_STARTS, "rollout_error_percent": 10}
UNKNOWN = 4
"""On CRE, and none of Whale's challenges."""


def asked(site: Site) -> int:
    """Requests that Whale has had."""
    return len(site.fake.journal())


def play_what_whale_has_not(site: Site) -> None:
    """As many starts as the watch judges by."""
    site.turn(EVERYTHING)
    for _ in range(MIN_STARTS):
        started = site.start(ALICE, UNKNOWN)
        assert (started.code, started.instance["backend"]) == (Code.OK, "cre")
        assert site.hybrid.stop_instance(ALICE, UNKNOWN).ok


def reason(site: Site) -> tuple[str, Code, object, object]:
    """Backend, code and reason of the last event."""
    event = site.events()[-1]
    detail = event.metadata
    return event.backend, event.code, detail.get("routed_by"), detail.get("routed_because")


@pytest.mark.settings(not_on_whale={2})
@pytest.mark.parametrize(
    "position", [EVERYTHING, Position(0, ALL), Position(0, challenges={2: True})]
)
def test_what_the_catalogue_keeps_from_whale_starts_on_cre(here: Site, position: Position) -> None:
    here.turn(position)
    before = asked(here)

    started = here.start(ALICE, 2)

    assert (started.code, started.instance["backend"]) == (Code.OK, "cre")
    because = "the catalogue says that whale does not have this challenge"
    assert reason(here) == ("cre", Code.OK, "catalogue", because)
    assert asked(here) == before
    here.turn(Position(0))
    assert here.start(BOB, 2).ok
    assert reason(here) != ("cre", Code.OK, "catalogue", because), "the dial keeps it already"
    assert here.hybrid.stop_instance(BOB, 2).ok
    here.turn(position)
    assert here.start(BOB, 3).instance["backend"] == ("cre" if position.challenges else "whale")


@pytest.mark.settings(not_on_whale={2}, use_whale=True)
def test_nor_does_use_whale_send_it_there(here: Site) -> None:
    assert here.start(ALICE, 2).instance["backend"] == "cre"
    assert here.start(BOB, 1).instance["backend"] == "whale"


@pytest.mark.settings(not_on_whale={2}, rollout_fallback=False, cre_account_limit=1)
def test_cre_stays_in_play_for_it(here: Site) -> None:
    """Its rounds go on, and what is promised holds there too."""
    here.turn(EVERYTHING)
    assert here.hybrid.router.chosen_by_dial("cre")
    assert set(here.hybrid.router.in_play()) == {"cre", "whale"}
    assert here.hybrid.router.kept_home() == {2}


@pytest.mark.settings(not_on_whale={2})
def test_its_warm_containers_are_kept_at_every_position(here: Site) -> None:
    here.specs[1] = ChallengeSpec(2, "C2", IMAGE, whale=False, warm=1)
    here.turn(EVERYTHING)
    process = here.process()
    try:
        process.cleanup_worker.run_once()
        assert len(here.on_cre()) == 1
    finally:
        process.close()


@pytest.mark.settings(challenges=UNKNOWN, **WATCHED)
def test_what_whale_turns_out_not_to_have_starts_on_cre(here: Site) -> None:
    play_what_whale_has_not(here)
    told = [(e.backend, e.metadata.get("routed_by")) for e in here.events(Action.STARTED)]
    assert told == [("cre", "unknown_there")] * MIN_STARTS, "one call is one event"
    assert not here.events(Action.START_FAILED)
    assert here.hybrid.router.breaker.failures == 0
    here.work()
    assert here.dial().position == EVERYTHING, "Whale is not to blame"
    assert here.on_whale() == set()


@pytest.mark.settings(challenges=UNKNOWN, **WATCHED)
def test_a_router_that_takes_it_for_an_outage_turns_the_dial_back(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outage(router: StartRouter, _result: StartResult) -> RoutingDecision:
        return RoutingDecision(
            router.keys.home, RoutedBy.FALLBACK, "whale answered challenge_unavailable"
        )

    monkeypatch.setattr(StartRouter, "fallback", outage)
    play_what_whale_has_not(here)
    here.work()
    assert here.dial().position.nothing, "the dial was turned back for no fault of Whale's"


@pytest.mark.settings(challenges=UNKNOWN, rollout_fallback=False, **WATCHED)
def test_without_a_fallback_it_is_refused_in_plain_words(here: Site) -> None:
    here.turn(EVERYTHING)
    for _ in range(MIN_STARTS):
        refused = here.start(ALICE, UNKNOWN)
        assert (refused.code, refused.definite) == (Code.CHALLENGE_UNAVAILABLE, True)
        assert refused.message == "This challenge is not available"
    assert here.on_cre() == set()
    assert here.hybrid.owner_of(ALICE, UNKNOWN) is None
    assert here.hybrid.router.breaker.failures == 0
    here.work()
    assert here.dial().position == EVERYTHING


@pytest.mark.settings(**WATCHED)
def test_what_neither_has_is_refused_once(here: Site) -> None:
    here.turn(EVERYTHING)
    assert here.start(ALICE, 99).code is Code.CHALLENGE_UNAVAILABLE
    because = "whale does not have this challenge"
    assert reason(here) == ("cre", Code.CHALLENGE_UNAVAILABLE, "unknown_there", because)
    assert len(here.events()) == 1
    assert here.hybrid.owner_of(ALICE, 99) is None
