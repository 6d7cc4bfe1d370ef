"""What an admin's form does to the dial."""

from __future__ import annotations

import pytest

from engines.clock import VirtualClock
from engines.ctfd.rollout_changes import stays, turn
from engines.hybrid import DialStore, Position
from engines.state.database import Database

WHO = "admin ada"


@pytest.fixture
def store(database: Database) -> DialStore:
    return DialStore(database, VirtualClock())


def test_every_button(store: DialStore) -> None:
    told = turn(store, WHO, {"action": "set", "share": "10%"})
    assert told == "The rollout is at 10 % of challenges"
    turn(store, WHO, {"action": "accounts", "share": "5"})
    turn(store, WHO, {"action": "challenge", "challenge_id": "7", "flag": "on", "why": "a try"})
    dial = store.load()
    assert dial.position == Position(percent=1000, cohort=500, challenges={7: True})
    turn(store, WHO, {"action": "challenge", "challenge_id": "7", "flag": "clear"})
    assert store.load().position.challenges == {}
    assert turn(store, WHO, {"action": "pause"}).endswith("(paused)")
    turn(store, WHO, {"action": "resume"})
    turn(store, WHO, {"action": "shadow_on"})
    assert (store.load().paused, store.load().shadow) == (False, True)
    turn(store, WHO, {"action": "shadow_off"})
    turn(store, WHO, {"action": "back"})
    assert store.load().position.percent == 1000
    turn(store, WHO, {"action": "clear"})
    assert store.load().position == Position()
    assert {change.who for change in store.changes()} == {WHO}
    assert "a try" in [change.why for change in store.changes()]


def test_a_challenge_that_whale_does_not_have_stays_and_the_button_says_so() -> None:
    on = {"action": "challenge", "challenge_id": "7", "flag": "on"}
    assert "Whale does not have this challenge" in stays(on, frozenset({7}))
    assert stays(on, frozenset({8})) == ""
    assert stays({**on, "flag": "off"}, frozenset({7})) == ""
    assert stays({"action": "set", "share": "10%"}, frozenset({7})) == ""


def test_a_turn_that_changes_nothing_says_so(store: DialStore) -> None:
    turn(store, WHO, {"action": "set", "share": "10%"})
    assert turn(store, WHO, {"action": "set", "share": "10"}).startswith("Nothing to do")
    assert len(store.changes()) == 1


@pytest.mark.parametrize(
    ("form", "fix"),
    [
        ({}, "press one of the buttons"),
        ({"action": "explode"}, "press one of the buttons"),
        ({"action": "set", "share": "101%"}, "write a share"),
        ({"action": "challenge", "challenge_id": "x", "flag": "on"}, "number of a challenge"),
        ({"action": "challenge", "challenge_id": "7", "flag": "maybe"}, "choose on, off or clear"),
    ],
)
def test_what_cannot_be_read_changes_nothing(
    store: DialStore, form: dict[str, str], fix: str
) -> None:
    with pytest.raises(ValueError, match=fix):
        turn(store, WHO, form)
    assert store.changes() == []
