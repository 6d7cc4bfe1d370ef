"""TIME: clocks that are corrected, and machines in other time zones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from conformance.harness import FaultKind, Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, scenario
from conformance.spec.steps import (
    SETTLING_SECONDS,
    SLACK_SECONDS,
    START_SLACK_SECONDS,
    agree,
    beginning,
    demand,
    done,
    expiry,
    gone,
    latest_event,
    let_expire,
    live,
    repeated,
    same,
    settle,
    started,
    time_zone,
    until,
    untouched,
)
from engines.audit import Action
from engines.contract import InstanceStatus

HOUR = 3600
MINUTE = 60
AHEAD_SECONDS = 5 * MINUTE
"""How far the clock of one of two machines is ahead."""
TOKYO, HONOLULU, KIRITIMATI = "JST-9", "HST10", "<+14>-14"


@scenario("TIME-001", Hook.CLOCK, Hook.CLOCK_BACK)
def test_a_clock_stepped_back_leaves_instances_alone(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    for step in (-1, -HOUR, -24 * HOUR):
        world.advance(step)
        now = live(world, world.alice, world.first)
        same(instance, now)
        _within_its_life(now)


@scenario("TIME-002", Hook.CLOCK, Hook.CLOCK_BACK, EXTENDS)
def test_an_extend_never_shortens_by_the_clock(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    world.advance(-HOUR)
    done(world.extend(world.alice, world.first))
    after = live(world, world.alice, world.first)
    assert expiry(after) >= expiry(before), "an extend after a step back moved the expiry earlier"
    _within_its_life(after)


@scenario("TIME-003", Hook.CLOCK, Hook.CLOCK_BACK, Hook.WORKER)
def test_a_step_back_moves_no_expiry(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(-HOUR)
    world.run_worker()
    world.advance(HOUR + instance["remaining_seconds"] - 10)
    untouched(world, world.alice, world.first, instance)
    world.advance(12)
    gone(world, world.alice, world.first)


@scenario("TIME-004", Hook.CLOCK, Hook.CLOCK_BACK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_work_goes_on_after_a_step_back(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    world.advance(-HOUR)
    fresh = started(world, world.bob, world.first)
    assert _whole(world, fresh), "a start after a step back has not its whole life ahead of it"
    world.run_worker()
    untouched(world, world.alice, world.first, before)
    done(world.stop(world.alice, world.first))
    let_expire(world, fresh)
    world.run_worker()
    demand(not world.running(), "a container is left after its instance was stopped or expired")


@scenario(
    "TIME-005",
    *(FaultKind.LOST_ANSWER, Hook.CLOCK, Hook.CLOCK_BACK, Hook.WORKER, Hook.GROUND_TRUTH),
)
def test_what_broke_off_is_settled_all_the_same(world: ScenarioContext) -> None:
    with world.fault(FaultKind.LOST_ANSWER):
        world.start(world.alice, world.first)
    world.advance(-HOUR)
    world.try_worker()
    world.advance(HOUR)
    settle(world)
    agree(world, world.alice)
    result = world.start(world.alice, world.first)
    demand(result.ok, f"{SETTLING_SECONDS} s after the fault a start fails: {result.message}")


@scenario("TIME-006", Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_jump_ahead_ends_what_was_live(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    world.advance(24 * HOUR)
    gone(world, world.alice, world.first)
    world.run_worker()
    demand(not world.running(), "a container is left after its time is long over")
    new = started(world, world.alice, world.first)
    assert new["container_id"] != before["container_id"]
    assert _whole(world, new), "a start after a jump ahead has not its whole life ahead of it"


@scenario("TIME-007", Hook.CLOCK, Hook.WORKER, Hook.AUDIT)
def test_the_zone_of_the_machine_changes_nothing(world: ScenarioContext) -> None:
    for zone in (TOKYO, HONOLULU, KIRITIMATI):
        with time_zone(zone):
            instance = started(world, world.alice, world.first)
            event = latest_event(world, Action.STARTED)
            assert event.at.utcoffset() == timedelta(0), "an event is not in UTC"
            off = abs((event.at - beginning(instance)).total_seconds())
            assert off <= START_SLACK_SECONDS, f"start and event lie {off:.0f} s apart"
            _lives_to_its_end(world, instance)
            world.run_worker()


@scenario("TIME-008", Hook.CLOCK)
def test_clocks_put_forward(world: ScenarioContext) -> None:
    _lives_through_a_change(world, summer_begins=True)


@scenario("TIME-009", Hook.CLOCK)
def test_clocks_put_back(world: ScenarioContext) -> None:
    _lives_through_a_change(world, summer_begins=False)


@scenario("TIME-010", Hook.CLOCK_AHEAD, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_machine_ahead_ends_nothing_early(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] - AHEAD_SECONDS + MINUTE)
    with world.machine_ahead(AHEAD_SECONDS):
        world.run_worker()
        same(instance, repeated(world, world.alice, world.first))
        untouched(world, world.alice, world.first, instance)
    untouched(world, world.alice, world.first, instance)
    assert world.running() == {instance["container_id"]}
    world.advance(AHEAD_SECONDS)
    gone(world, world.alice, world.first)


@scenario("TIME-011", Hook.CLOCK_AHEAD, Hook.SLOW_START, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_machine_ahead_gives_up_no_start(world: ScenarioContext) -> None:
    with ThreadPoolExecutor(1) as threads:
        with world.slow_start() as waiting:
            slow = threads.submit(world.start, world.alice, world.first)
            until(lambda: slow.done() or waiting() >= 1)
            with world.machine_ahead(AHEAD_SECONDS):
                world.run_worker()
        answer = slow.result()
    demand(answer.ok, f"a start that was at work was given up: {answer.message}")
    assert agree(world, world.alice) == {answer.instance["container_id"]}


@scenario("TIME-012", Hook.CLOCK_AHEAD, Hook.CLOCK)
def test_what_a_machine_ahead_starts_ends_at_its_time(world: ScenarioContext) -> None:
    before = started(world, world.bob, world.first)
    with world.machine_ahead(AHEAD_SECONDS):
        instance = started(world, world.alice, world.first)
        apart = abs((beginning(instance) - beginning(before)).total_seconds())
    assert apart <= START_SLACK_SECONDS, "two starts of one moment begin at different times"
    _lives_to_its_end(world, instance)


def _lives_through_a_change(world: ScenarioContext, *, summer_begins: bool) -> None:
    """Live in a zone whose clocks are changed in the middle of the instance's life."""
    now = beginning(started(world, world.alice, world.first))
    done(world.stop(world.alice, world.first))
    with time_zone(_zone_with_a_change(now + timedelta(minutes=20), summer_begins=summer_begins)):
        instance = started(world, world.alice, world.first)
        assert _whole(world, instance), "the change of the clocks takes from an instance's life"
        _lives_to_its_end(world, instance)


def _lives_to_its_end(world: ScenarioContext, instance: InstanceStatus) -> None:
    _within_its_life(instance)
    assert _whole(world, instance), "an instance's life is not what is declared"
    world.advance(instance["remaining_seconds"] - 10)
    untouched(world, world.alice, world.first, instance)
    world.advance(12)
    gone(world, world.alice, world.first)


def _zone_with_a_change(moment: datetime, *, summer_begins: bool) -> str:
    """A zone, as POSIX writes it, whose summer begins or ends at a moment given in UTC.

    Julian days leave the 29th of February out, and the end is said in summer's own time.
    """
    other = moment + timedelta(days=120)
    first, second = (moment, other) if summer_begins else (other, moment)
    return f"STD0SUM-1,{_posix(first)},{_posix(second + timedelta(hours=1))}"


def _posix(local: datetime) -> str:
    leap_day = local.replace(day=28) if (local.month, local.day) == (2, 29) else local
    day = leap_day.replace(year=2025).timetuple().tm_yday
    return f"J{day}/{local:%H:%M:%S}"


def _whole(world: ScenarioContext, instance: InstanceStatus) -> bool:
    life = (expiry(instance) - beginning(instance)).total_seconds()
    return abs(life - world.capabilities.timeout_seconds) <= START_SLACK_SECONDS


def _within_its_life(instance: InstanceStatus) -> None:
    life = int((expiry(instance) - beginning(instance)).total_seconds())
    left = instance["remaining_seconds"]
    demand(
        0 <= left <= life + SLACK_SECONDS,
        f"{left} s remain of an instance whose full life is {life} s",
    )
