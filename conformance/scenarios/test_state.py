"""STATE: the backend's own state has no room, or is replaced: nothing is lost, leaked or done by
halves."""

from __future__ import annotations

from collections.abc import Iterator

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, scenario
from conformance.spec.steps import (
    STATE_SETTLING_SECONDS,
    agree,
    demand,
    done,
    events_of,
    gone,
    let_expire,
    live,
    refused,
    repeated,
    same,
    says_when,
    settle,
    started,
    untouched,
)
from engines.audit import Action
from engines.contract import ActionResult, Code, StartResult

SETTLES = (Hook.STATE_FULL, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
MOST_CHANGES = 8
"""More changes than one call makes to the state."""


@scenario("STATE-001", *SETTLES)
def test_a_start_without_room_is_refused(world: ScenarioContext) -> None:
    with world.state_full():
        result = world.start(world.alice, world.first)
    refused(result, Code.UNAVAILABLE)
    says_when(result)
    gone(world, world.alice, world.first)
    settle(world, STATE_SETTLING_SECONDS)
    demand(not world.running(), "a start without room for its record left a container")


@scenario("STATE-002", *SETTLES)
def test_a_start_that_ran_out_of_room_leaks_nothing(world: ScenarioContext) -> None:
    for room in _rooms():
        with world.state_full(room):
            result = world.start(world.alice, world.first)
        if result.ok:
            told = live(world, world.alice, world.first)["container_id"]
            assert told == result.instance["container_id"], "the start told of another container"
        else:
            _may_be_tried_again(result)
            left = result.definite and world.running()
            demand(
                not left, "a start says for certain that it came to nothing, and left a container"
            )
        settle(world, STATE_SETTLING_SECONDS)
        agree(world, world.alice)
        again = world.start(world.alice, world.first)  # which may have been brought to its end
        demand(again.ok, f"a start is refused though there is room again: {again.message}")
        done(world.stop(world.alice, world.first))


@scenario("STATE-003", *SETTLES)
def test_a_stop_without_room_forgets_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.state_full():
        result = world.stop(world.alice, world.first)
    if not result.ok:
        _may_be_tried_again(result)
        untouched(world, world.alice, world.first, instance)
        done(world.stop(world.alice, world.first))
    gone(world, world.alice, world.first)
    demand(not world.running(), "a container runs after it was stopped")


@scenario("STATE-004", *SETTLES, EXTENDS)
def test_an_extend_without_room_changes_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    before = live(world, world.alice, world.first)
    with world.state_full():
        result = world.extend(world.alice, world.first)
    refused(result, Code.UNAVAILABLE)
    says_when(result)
    same(before, live(world, world.alice, world.first))
    done(world.extend(world.alice, world.first))


@scenario("STATE-005", Hook.STATE_FULL)
def test_looking_needs_no_room(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.state_full():
        untouched(world, world.alice, world.first, instance)
        gone(world, world.bob, world.first)


@scenario("STATE-006", *SETTLES)
def test_a_stop_that_ran_out_of_room_is_settled(world: ScenarioContext) -> None:
    for room in _rooms():
        started(world, world.alice, world.first)
        with world.state_full(room):
            result = world.stop(world.alice, world.first)
        if result.ok:
            gone(world, world.alice, world.first)
        else:
            _may_be_tried_again(result)
        settle(world, STATE_SETTLING_SECONDS)
        if agree(world, world.alice):
            done(world.stop(world.alice, world.first))


@scenario("STATE-007", *SETTLES, Hook.AUDIT, EXTENDS)
def test_changes_and_events_agree(world: ScenarioContext) -> None:
    starts = extends = stops = 0
    for room in _rooms():
        with world.state_full(room):
            starts += world.start(world.alice, world.first).code is Code.OK
        settle(world, STATE_SETTLING_SECONDS)
        if world.status(world.alice, world.first) is None:
            continue
        with world.state_full(room):
            world.extend(world.alice, world.first)
        settle(world, STATE_SETTLING_SECONDS)  # only now is it known whether it counted
        extends += live(world, world.alice, world.first)["extension_count"]
        done(world.stop(world.alice, world.first))
        stops += 1
    assert len(events_of(world, Action.STARTED)) == starts, "starts and their events disagree"
    assert len(events_of(world, Action.STOPPED)) == stops, "stops and their events disagree"
    told = len(events_of(world, Action.EXTENDED))
    settled = len(events_of(world, Action.REPAIRED))
    assert told <= extends <= told + settled, "extends and their events disagree"


@scenario("STATE-008", *SETTLES, Hook.AUDIT)
def test_the_worker_makes_up_for_what_had_no_room(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    for room in (0, 1):
        with world.state_full(room):
            world.try_worker()
    gone(world, world.alice, world.first)
    settle(world, STATE_SETTLING_SECONDS)
    world.run_worker()
    demand(not world.running(), "an expired container still runs after there was room again")
    ends = events_of(world, Action.EXPIRED, Action.REPAIRED)
    assert len(ends) == 1, f"one instance ended {len(ends)} times"
    demand(not events_of(world, Action.LOST), "an expired instance is audited as lost")


@scenario("STATE-009", Hook.REPLACED_TABLES, Hook.ANOTHER_PROCESS, Hook.WORKER)
def test_guessed_tables_are_put_right(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.replaced_tables(rows_kept=True):
        world.try_worker()
        with world.another_process():
            _serves(world)
            untouched(world, world.alice, world.first, instance)
            done(world.stop(world.alice, world.first))
            gone(world, world.alice, world.first)


@scenario("STATE-010", Hook.REPLACED_TABLES, Hook.ANOTHER_PROCESS, Hook.WORKER)
def test_dropped_tables_are_made_again(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.replaced_tables(rows_kept=False):
        world.try_worker()
        with world.another_process():
            _serves(world)


def _serves(world: ScenarioContext) -> None:
    """The life of an instance of another account's."""
    instance = started(world, world.bob, world.second)
    same(instance, repeated(world, world.bob, world.second))
    untouched(world, world.bob, world.second, instance)
    done(world.stop(world.bob, world.second))
    gone(world, world.bob, world.second)
    refused(world.stop(world.bob, world.second), Code.NOT_FOUND)


def _rooms() -> Iterator[int]:
    """Every moment of a call at which there may be no room."""
    yield from range(MOST_CHANGES)


def _may_be_tried_again(result: StartResult | ActionResult) -> None:
    met = result.code in (Code.UNAVAILABLE, Code.BUSY)
    demand(met, f"a call without room ended with {result.code.value}: {result.message}")
    says_when(result)
