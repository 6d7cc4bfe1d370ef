"""LIMIT: how often, how many of one challenge, and until when."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from conformance.harness import Hook, Options, Player
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    DETECTS_LOSS,
    ENDED_CHALLENGE,
    EXTENDS,
    LIMITED_CHALLENGE,
    ONE_AT_A_TIME,
    TEAMS,
    scenario,
)
from conformance.spec.steps import (
    SLACK_SECONDS,
    START_SLACK_SECONDS,
    beginning,
    demand,
    done,
    expiry,
    gone,
    let_expire,
    live,
    refused,
    same,
    started,
    untouched,
)
from engines.contract import Code, StartResult

STARTS, WINDOW = 2, 300
RATE = Options(start_limit=STARTS, start_window_seconds=WINDOW)
ENDS_IN = 1800
ENDING = Options(ends_in_seconds=ENDS_IN)
ONE_ENDING = Options(challenge_ends_in_seconds=ENDS_IN)


@scenario("LIMIT-001", Hook.START_RATE, options=RATE)
def test_too_many_starts_are_refused(world: ScenarioContext) -> None:
    _come_and_go(world, world.alice)
    _too_often(world.start(world.alice, world.first))
    gone(world, world.alice, world.first)


@scenario("LIMIT-002", Hook.START_RATE, Hook.ANOTHER_PROCESS, options=RATE)
def test_another_process_is_no_way_round(world: ScenarioContext) -> None:
    _come_and_go(world, world.alice)
    with world.another_process():
        _too_often(world.start(world.alice, world.first))


@scenario("LIMIT-003", Hook.START_RATE, Hook.CLOCK, options=RATE)
def test_who_waits_may_start_again(world: ScenarioContext) -> None:
    _come_and_go(world, world.alice)
    world.advance(WINDOW / 2)
    waits = [_too_often(world.start(world.alice, world.first)) for _ in range(STARTS)]
    world.advance(waits[0] + 1)  # a refusal is no start, however often it is asked for
    started(world, world.alice, world.first)


@scenario("LIMIT-004", Hook.START_RATE, options=RATE)
def test_one_account_keeps_no_other_from_starting(world: ScenarioContext) -> None:
    _come_and_go(world, world.alice)
    _too_often(world.start(world.alice, world.first))
    started(world, world.bob, world.first)


@scenario("LIMIT-005", Hook.START_RATE, TEAMS, options=RATE)
def test_mates_share_one_rate(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    _come_and_go(world, starter)
    _too_often(world.start(mate, world.first))


@scenario("LIMIT-006", LIMITED_CHALLENGE)
def test_one_challenge_may_be_full(world: ScenarioContext) -> None:
    limited = _offered(world.challenges.limited)
    instance = started(world, world.alice, limited)
    refused(world.start(world.bob, limited), Code.CAPACITY)
    gone(world, world.bob, limited)
    untouched(world, world.alice, limited, instance)
    started(world, world.bob, world.first)


@scenario("LIMIT-007", LIMITED_CHALLENGE)
def test_a_stop_frees_a_place_of_the_challenge(world: ScenarioContext) -> None:
    limited = _offered(world.challenges.limited)
    started(world, world.alice, limited)
    refused(world.start(world.bob, limited), Code.CAPACITY)
    done(world.stop(world.alice, limited))
    started(world, world.bob, limited)


@scenario("LIMIT-008", Hook.CONTEST_END, Hook.CLOCK, options=ENDING)
def test_nothing_lives_beyond_the_end(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    end = _end(beginning(instance))
    assert expiry(instance) <= end, "an instance ends after the contest"
    assert expiry(instance) >= end - timedelta(seconds=2 * START_SLACK_SECONDS), "it ends too early"
    world.advance(ENDS_IN + 2)
    gone(world, world.alice, world.first)


@scenario("LIMIT-009", Hook.CONTEST_END, EXTENDS, options=ENDING)
def test_an_extend_gains_what_is_left(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    result = world.extend(world.alice, world.first)
    after = live(world, world.alice, world.first)
    assert expiry(before) <= expiry(after) <= _end(beginning(before)), "an extend passes the end"
    if not result.ok:
        same(before, after)


@scenario("LIMIT-010", Hook.CONTEST_END, Hook.CLOCK, options=ENDING)
def test_nothing_starts_after_the_end(world: ScenarioContext) -> None:
    world.advance(ENDS_IN + 1)
    refused(world.start(world.alice, world.first), Code.CHALLENGE_UNAVAILABLE)
    gone(world, world.alice, world.first)


@scenario("LIMIT-011", ENDED_CHALLENGE)
def test_a_challenge_that_is_over_does_not_start(world: ScenarioContext) -> None:
    ended = _offered(world.challenges.ended)
    refused(world.start(world.alice, ended), Code.CHALLENGE_UNAVAILABLE)
    started(world, world.alice, world.first)


@scenario("LIMIT-012", Hook.CLOCK, LIMITED_CHALLENGE)
def test_the_expired_hold_no_place_of_their_challenge(world: ScenarioContext) -> None:
    limited = _offered(world.challenges.limited)
    let_expire(world, started(world, world.alice, limited))
    started(world, world.bob, limited)


@scenario("LIMIT-013", Hook.KILL_BEHIND, ONE_AT_A_TIME, DETECTS_LOSS)
def test_the_lost_do_not_count_for_their_account(world: ScenarioContext) -> None:
    world.kill_behind(started(world, world.alice, world.first)["container_id"])
    started(world, world.alice, world.second)
    refused(world.start(world.alice, world.first), Code.LIMIT_REACHED)


@scenario(
    "LIMIT-014",
    *(Hook.KILL_BEHIND, Hook.WORKER, Hook.CAPACITY, DETECTS_LOSS),
    options=Options(capacity=1),
)
def test_the_lost_hold_no_place(world: ScenarioContext) -> None:
    world.kill_behind(started(world, world.alice, world.first)["container_id"])
    world.run_worker()
    started(world, world.bob, world.first)
    refused(world.start(world.carol, world.first), Code.CAPACITY)


@scenario("LIMIT-015", Hook.KILL_BEHIND, Hook.WORKER, LIMITED_CHALLENGE, DETECTS_LOSS)
def test_the_lost_hold_no_place_of_their_challenge(world: ScenarioContext) -> None:
    limited = _offered(world.challenges.limited)
    world.kill_behind(started(world, world.alice, limited)["container_id"])
    world.run_worker()
    started(world, world.bob, limited)
    refused(world.start(world.carol, limited), Code.CAPACITY)


@scenario("LIMIT-016", Hook.CHALLENGE_END, Hook.CLOCK, EXTENDS, options=ONE_ENDING)
def test_nothing_lives_beyond_its_challenges_end(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    end = _end(beginning(instance))
    assert expiry(instance) <= end, "an instance ends after its challenge"
    world.extend(world.alice, world.first)
    after = live(world, world.alice, world.first)
    assert expiry(instance) <= expiry(after) <= end, "an extend passes the end of its challenge"
    world.advance(ENDS_IN + 2)
    gone(world, world.alice, world.first)
    refused(world.start(world.alice, world.first), Code.CHALLENGE_UNAVAILABLE)
    started(world, world.bob, world.second)


@scenario("LIMIT-018", Hook.START_RATE, Hook.CLOCK, options=RATE)
def test_nobody_waits_longer_than_the_oldest_start_counts(world: ScenarioContext) -> None:
    for moved_on in (WINDOW // 2, 0):
        started(world, world.alice, world.first)
        done(world.stop(world.alice, world.first))
        world.advance(moved_on)
    wait = _too_often(world.start(world.alice, world.first))
    longest = WINDOW // 2 + SLACK_SECONDS
    demand(wait <= longest, f"told to wait {wait:.0f} s where the oldest start counts for less")


@scenario("LIMIT-017", Hook.START_RATE, Hook.CAPACITY, options=replace(RATE, capacity=1))
def test_a_start_for_want_of_room_is_no_start(world: ScenarioContext) -> None:
    started(world, world.bob, world.first)
    for _ in range(STARTS + 1):
        refused(world.start(world.alice, world.first), Code.CAPACITY)
    done(world.stop(world.bob, world.first))
    started(world, world.alice, world.first)


def _come_and_go(world: ScenarioContext, player: Player) -> None:
    """Use the account's start rate up."""
    for _ in range(STARTS):
        started(world, player, world.first)
        done(world.stop(player, world.first))


def _too_often(result: StartResult) -> float:
    """The start must have been refused for the rate; returns when to try again."""
    refused(result, Code.RATE_LIMITED)
    when = result.retry_after
    if when is None or not 0 < when <= WINDOW:
        raise AssertionError(f"retry_after {when!r} lies outside of the window of {WINDOW} s")
    return when


def _end(began: datetime) -> datetime:
    """The end of the contest, when nothing but a start has taken time since the world was made."""
    return began + timedelta(seconds=ENDS_IN)


def _offered(challenge: int | None) -> int:
    demand(challenge is not None, "the scenario needs a challenge that is not offered")
    return challenge or 0
