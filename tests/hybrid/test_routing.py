"""Where a start goes: the order of what decides, and that raising the dial only ever adds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.hybrid.dial import ALL, START, Dial, Position, RolloutStep, parse_share, share
from engines.hybrid.routing import RoutedBy, bucket, choose

SHARES = st.integers(0, ALL)
IDS = st.integers(1, 2**63 - 1)
FLAGS = st.dictionaries(st.integers(1, 5), st.booleans(), max_size=5)
POSITIONS = st.builds(Position, st.none() | SHARES, SHARES, FLAGS)
ACCOUNTS = st.builds("{}:{}".format, st.sampled_from(["user", "team"]), IDS)


def goes(position: Position, challenge: int, account: str) -> bool:
    return choose(position, False, challenge, account).new


@given(SHARES, SHARES, SHARES, SHARES, FLAGS, IDS, ACCOUNTS)
def test_raising_the_dial_only_ever_adds(
    percent: int, more: int, cohort: int, further: int, flags: dict[int, bool], id_: int, who: str
) -> None:
    low = Position(min(percent, more), min(cohort, further), flags)
    high = Position(max(percent, more), max(cohort, further), flags)
    assert low.within(high)
    assert goes(high, id_, who) or not goes(low, id_, who)


@given(POSITIONS, POSITIONS, st.integers(1, 6), ACCOUNTS)
def test_what_lies_within_sends_nothing_else(
    one: Position, other: Position, challenge: int, account: str
) -> None:
    if one.within(other):
        assert goes(other, challenge, account) or not goes(one, challenge, account)


def test_the_least_share_sends_something() -> None:
    assert Position(0).within(Position())
    assert not Position(1).within(Position(0))
    assert not Position(0, cohort=1).within(Position(0))
    assert not Position(1).nothing
    assert not Position(0, cohort=1).nothing
    assert not Position(0, challenges={1: True}).nothing
    assert Position(0, challenges={1: False}).nothing


def test_a_flag_is_within_only_what_has_it_too() -> None:
    fifth = Position(2000)
    assert not fifth.flagged(5, True).within(fifth)
    assert fifth.flagged(5, True).within(fifth.flagged(5, True))
    assert not fifth.within(fifth.flagged(5, False))
    assert fifth.flagged(5, False).within(fifth.flagged(5, False))


@given(POSITIONS, ACCOUNTS)
def test_a_flag_comes_before_everything(position: Position, account: str) -> None:
    for enabled in (True, False):
        choice = choose(position.flagged(3, enabled), not enabled, 3, account)
        assert (choice.new, choice.why) == (enabled, RoutedBy.CHALLENGE_FLAG)


def test_the_share_comes_before_the_cohort_and_the_setting_before_both() -> None:
    everything, nobody = Position(ALL, 0), Position(0, ALL)
    assert choose(everything, False, 7, "user:1").why is RoutedBy.PERCENTAGE
    assert choose(nobody, False, 7, "user:1").why is RoutedBy.COHORT
    for use_whale in (True, False):
        choice = choose(Position(), use_whale, 7, "user:1")
        assert (choice.new, choice.why) == (use_whale, RoutedBy.SETTING)
    assert choose(Position(0), True, 7, "user:1").new is False, "a dial that was set decides"


def test_a_place_is_the_same_in_every_process_and_release() -> None:
    """Whoever changes this moves live contests' challenges about."""
    assert {number: bucket("challenge", str(number)) for number in PLACES} == PLACES
    assert {account: bucket("account", account) for account in SEATS} == SEATS


PLACES = {1: 900, 2: 3756, 3: 5907, 4: 5120, 5: 5144, 10: 8326, 42: 6178, 2**63 - 1: 9433}
SEATS = {"user:1": 2233, "user:2": 9238, "team:1": 4508, "team:7": 4783}


@pytest.mark.parametrize("number", PLACES)
def test_a_challenge_goes_from_its_place_on(number: int) -> None:
    place = PLACES[number]
    assert goes(Position(place + 1), number, "user:1")
    assert not goes(Position(place), number, "user:1")


@pytest.mark.parametrize("account", SEATS)
def test_an_account_goes_from_its_place_on(account: str) -> None:
    seat = SEATS[account]
    assert goes(Position(0, seat + 1), 5, account)
    assert not goes(Position(0, seat), 5, account)


def test_one_percent_and_ten_percent_are_these_challenges() -> None:
    first = range(1, 51)
    assert [number for number in first if goes(Position(100), number, "user:1")] == []
    assert [number for number in first if goes(Position(1000), number, "user:1")] == [1, 48]


def test_places_are_spread_evenly() -> None:
    tenths = Counter(bucket("challenge", str(number)) * 10 // ALL for number in range(20_000))
    assert set(tenths) == set(range(10))
    assert all(1800 < count < 2200 for count in tenths.values()), tenths


def test_a_share_is_about_that_many_challenges() -> None:
    sent = sum(goes(Position(1000), number, "user:1") for number in range(1, 2001))
    assert 150 < sent < 250


@given(st.lists(POSITIONS, max_size=8))
def test_back_leads_to_what_sends_no_more(turns: list[Position]) -> None:
    dial = Dial()
    for turn in turns:
        dial = dial.turned(turn)
    while dial.earlier:
        before = dial
        dial = dial.stepped_back()
        assert dial.position.within(before.position)
        assert len(dial.earlier) == len(before.earlier) - 1
    assert dial.stepped_back().position.nothing


def test_back_is_to_what_was_before_what_it_was_turned_down_to() -> None:
    tenth, fifth, half = Position(1000), Position(2000), Position(5000)
    up = Dial(tenth).turned(fifth).turned(half)
    assert up.earlier == (tenth, fifth)
    down = up.turned(fifth)
    assert (down.position, down.earlier) == (fifth, (tenth,))


def test_a_step_back_ends_a_plan() -> None:
    tenth, half = Position(1000), Position(5000)
    under = Dial(half, (tenth,), plan=(RolloutStep(half, 60, 20),), step=0)
    assert under.stepped_back() == Dial(tenth)
    assert replace(under, earlier=()).stepped_back() == Dial(START)


@given(
    POSITIONS,
    st.lists(POSITIONS, max_size=3),
    st.booleans(),
    st.lists(st.builds(RolloutStep, POSITIONS, st.integers(0, 9), st.integers(0, 9)), max_size=3),
)
def test_a_dial_is_stored_as_it_is(
    position: Position, earlier: list[Position], paused: bool, plan: list[RolloutStep]
) -> None:
    dial = Dial(position, tuple(earlier), paused, plan=tuple(plan), step=0, version=4)
    assert Dial.from_json(dial.to_json(), 4) == dial


@pytest.mark.parametrize(
    ("text", "value"), [("10%", 1000), ("0.5 %", 50), ("100", ALL), ("0%", 0), ("12.34%", 1234)]
)
def test_shares_are_read_and_shown(text: str, value: int) -> None:
    assert parse_share(text) == value
    assert parse_share(share(value)) == value


@pytest.mark.parametrize("text", ["", "ten", "-1%", "101%", "nan", "1%%", "١٠%", "inf"])
def test_no_share_names_the_fix(text: str) -> None:
    with pytest.raises(ValueError, match="write a share from 0% to 100%"):
        parse_share(text)
