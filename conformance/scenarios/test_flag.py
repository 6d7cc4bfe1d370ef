"""FLAG: the right one in every container, and nowhere else."""

from __future__ import annotations

import json
import logging

import pytest

from conformance.harness import Hook, Player
from conformance.spec.context import FLAG_FILE_PATH, ScenarioContext
from conformance.spec.redaction import Flag
from conformance.spec.scenario import DETECTS_LOSS, EXTENDS, FLAG_FILE, FLAG_GRACE, TEAMS, scenario
from conformance.spec.steps import SLACK_SECONDS, done, gone, let_expire, live, repeated, started


@scenario("FLAG-001", Hook.FETCH, Hook.RECORDED_FLAG)
def test_the_container_holds_the_recorded_flag(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    inside = world.flag_inside(instance)
    assert not inside.empty, "FLAG is empty"
    assert inside == world.recorded_flag(world.alice, world.first), (
        "a player who solves the challenge is told that the flag is wrong"
    )


@scenario("FLAG-002", Hook.RECORDED_FLAG)
def test_two_accounts_have_two_flags(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    started(world, world.bob, world.first)
    hers = world.recorded_flag(world.alice, world.first)
    his = world.recorded_flag(world.bob, world.first)
    assert hers != his, "two accounts share one flag"


@scenario("FLAG-003", Hook.RECORDED_FLAG)
def test_a_new_instance_has_a_new_flag(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    old = world.recorded_flag(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    started(world, world.alice, world.first)
    assert world.recorded_flag(world.alice, world.first) != old, "the flag was used before"


@scenario("FLAG-004", Hook.RECORDED_FLAG, EXTENDS)
def test_an_extend_keeps_the_flag(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    before = world.recorded_flag(world.alice, world.first)
    done(world.extend(world.alice, world.first))
    assert world.recorded_flag(world.alice, world.first) == before


@scenario("FLAG-005", Hook.FETCH, Hook.RECORDED_FLAG)
def test_a_double_click_keeps_the_flag(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    before = world.recorded_flag(world.alice, world.first)
    again = repeated(world, world.alice, world.first)
    assert world.recorded_flag(world.alice, world.first) == before
    assert world.flag_inside(again) == before, "the container's flag changed"


@scenario("FLAG-006", Hook.RECORDED_FLAG, TEAMS)
def test_mates_are_judged_by_one_flag(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    assert world.recorded_flag(starter, world.first) == world.recorded_flag(mate, world.first)


@scenario("FLAG-007", Hook.RECORDED_FLAG)
def test_no_answer_gives_the_flag_away(world: ScenarioContext) -> None:
    # Every answer is searched for the flags known by then; the first one is searched here.
    result = world.start(world.alice, world.first)
    flag = world.recorded_flag(world.alice, world.first)
    assert not flag.is_in(repr(tuple(result))), "the start's answer gives the flag away"
    live(world, world.alice, world.first)
    world.start(world.alice, world.first)
    world.start(world.alice, world.second)
    world.extend(world.alice, world.first)
    world.stop(world.alice, world.first)


@scenario("FLAG-008", Hook.AUDIT, Hook.RECORDED_FLAG)
def test_the_audit_log_does_not_hold_the_flag(world: ScenarioContext) -> None:
    flag = _whole_life(world)
    for event in world.events():
        metadata = json.dumps(dict(event.metadata), default=str)
        assert not flag.is_in(metadata), f"the event {event.action.value} gives the flag away"


@scenario("FLAG-009", Hook.RECORDED_FLAG)
def test_the_log_does_not_hold_the_flag(
    world: ScenarioContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        flag = _whole_life(world)
    for record in caplog.records:
        assert not flag.is_in(record.getMessage()), f"{record.name} logged the flag"


@scenario("FLAG-010", Hook.RECORDED_FLAG, FLAG_GRACE)
def test_a_flag_outlives_a_stop(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    assert world.still_counts(world.alice, world.first, taken), (
        "a player who has just stopped the container is told that its flag is wrong"
    )


@scenario("FLAG-011", Hook.KILL_BEHIND, Hook.RECORDED_FLAG, FLAG_GRACE, DETECTS_LOSS)
def test_a_flag_outlives_a_crash(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    world.kill_behind(instance["container_id"])
    gone(world, world.alice, world.first)
    assert world.still_counts(world.alice, world.first, taken), (
        "a player whose exploit ended the service is told that the flag is wrong"
    )


@scenario("FLAG-012", Hook.OWNERS, Hook.RECORDED_FLAG)
def test_a_deleted_accounts_flag_is_not_the_next_ones(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    world.give_number_again(world.alice)
    assert not world.still_counts(world.alice, world.first, taken), (
        "the number's new owner is credited with the old one's flag"
    )


@scenario("FLAG-013", Hook.NEW_CHALLENGE, Hook.RECORDED_FLAG)
def test_a_deleted_challenges_flag_is_not_the_next_ones(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    world.give_challenge_again(world.first)
    assert not world.still_counts(world.alice, world.first, taken), (
        "a player is credited for a challenge with the flag of the one that had its number"
    )


@scenario("FLAG-019", Hook.OWNERS, Hook.RECORDED_FLAG)
def test_an_ended_instances_flag_is_not_the_next_accounts(world: ScenarioContext) -> None:
    taken = _flag_of_what_has_ended(world)
    world.give_number_again(world.alice)
    assert not world.still_counts(world.alice, world.first, taken), (
        "the number's new owner is credited with the flag of what the old one had"
    )


@scenario("FLAG-020", Hook.NEW_CHALLENGE, Hook.RECORDED_FLAG)
def test_an_ended_instances_flag_is_not_the_next_challenges(world: ScenarioContext) -> None:
    taken = _flag_of_what_has_ended(world)
    world.give_challenge_again(world.first)
    assert not world.still_counts(world.alice, world.first, taken), (
        "a player is credited for a challenge with a flag of the one that had its number"
    )


@scenario("FLAG-014", Hook.CLOCK, Hook.RECORDED_FLAG, FLAG_GRACE)
def test_a_flag_counts_for_its_grace_time_and_no_longer(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    _counts_to_the_end_of_its_grace(world, world.alice, taken)


@scenario("FLAG-015", Hook.CLOCK, Hook.WORKER, Hook.RECORDED_FLAG, FLAG_GRACE)
def test_the_grace_time_begins_at_the_expiry(world: ScenarioContext) -> None:
    late = world.capabilities.flag_grace_seconds // 2
    for player, after in ((world.alice, None), (world.bob, 0), (world.carol, late)):
        instance = started(world, player, world.first)
        taken = world.recorded_flag(player, world.first)
        let_expire(world, instance)
        if after is not None:
            world.advance(after)
            world.run_worker()
        _counts_to_the_end_of_its_grace(world, player, taken, gone_by=after or 0)


@scenario("FLAG-016", Hook.CLOCK, Hook.RECORDED_FLAG, Hook.COUNTED_FLAGS, FLAG_GRACE)
def test_the_flag_before_counts_beside_the_new_one(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    old = world.recorded_flag(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    started(world, world.alice, world.first)
    new = world.recorded_flag(world.alice, world.first)
    assert world.counts(world.alice, world.first, old), "a restart has made the flag wrong"
    assert world.counts(world.alice, world.first, new)
    world.advance(world.capabilities.flag_grace_seconds + SLACK_SECONDS)
    assert not world.counts(world.alice, world.first, old), "a flag counts for longer than its time"
    assert world.counts(world.alice, world.first, new)


@scenario("FLAG-021", Hook.CLOCK, Hook.RECORDED_FLAG, FLAG_GRACE)
def test_the_flag_on_record_is_the_later_ones(world: ScenarioContext) -> None:
    for _ in range(2):
        started(world, world.alice, world.first)
        later = world.recorded_flag(world.alice, world.first)
        done(world.stop(world.alice, world.first))
        world.advance(SLACK_SECONDS)
    told = world.recorded_flag(world.alice, world.first)
    assert told == later, "the flag on record is not that of what ran last"


@scenario("FLAG-017", Hook.FETCH, Hook.RECORDED_FLAG, FLAG_FILE)
def test_a_flag_in_a_file_is_nowhere_else(world: ScenarioContext) -> None:
    challenge = world.challenges.flag_file or 0
    instance = started(world, world.alice, challenge)
    recorded = world.recorded_flag(world.alice, challenge)
    assert world.flag_inside(instance, FLAG_FILE_PATH) == recorded, "the file has another flag"
    assert world.flag_inside(instance).empty, "FLAG has it too, for all of the container to read"


def _flag_of_what_has_ended(world: ScenarioContext) -> Flag:
    started(world, world.alice, world.first)
    taken = world.recorded_flag(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    return taken


def _counts_to_the_end_of_its_grace(
    world: ScenarioContext, player: Player, taken: Flag, gone_by: float = 0
) -> None:
    """Of an instance that has ended so many seconds ago."""
    grace = world.capabilities.flag_grace_seconds
    world.advance(max(0, grace - gone_by - 2 * SLACK_SECONDS))
    assert world.still_counts(player, world.first, taken), "its grace time is cut short"
    world.advance(3 * SLACK_SECONDS)
    assert not world.still_counts(player, world.first, taken), (
        "a flag counts for longer than its grace time"
    )


@scenario("FLAG-018", Hook.FETCH, Hook.RECORDED_FLAG, TEAMS)
def test_a_teams_flag_is_the_teams(world: ScenarioContext) -> None:
    starter, mate, stranger = world.mates[:3]
    flag = world.flag_inside(started(world, starter, world.first))
    for player in (starter, mate):
        assert world.still_counts(player, world.first, flag), "one of the team is told it is wrong"
    for other in (stranger, starter.leaves(), mate.leaves(), world.alice):
        assert not world.still_counts(other, world.first, flag), (
            "who is not in the team is credited with its flag"
        )


def _whole_life(world: ScenarioContext) -> Flag:
    """Start, repeat, be refused, extend, stop; returns the flag of the instance."""
    started(world, world.alice, world.first)
    flag = world.recorded_flag(world.alice, world.first)
    world.start(world.alice, world.first)
    world.start(world.alice, world.second)
    world.extend(world.alice, world.first)
    world.stop(world.alice, world.first)
    return flag
