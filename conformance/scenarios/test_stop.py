"""STOP: ending an instance, the right one, for good."""

from __future__ import annotations

from conformance.harness import FaultKind, Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import TWO_AT_ONCE, scenario
from conformance.spec.steps import (
    demand,
    done,
    events_of,
    gone,
    live,
    only_event,
    refused,
    same,
    started,
    untouched,
)
from engines.audit import Action
from engines.contract import Code


@scenario("STOP-001")
def test_a_stopped_instance_is_gone(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    gone(world, world.alice, world.first)


@scenario("STOP-002", Hook.GROUND_TRUTH)
def test_a_stop_removes_the_container(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    assert len(world.running()) == 1, "one instance is one container"
    done(world.stop(world.alice, world.first))
    assert not world.running(), "the container still runs after the stop"


@scenario("STOP-003")
def test_a_start_after_a_stop_is_a_new_instance(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    new = started(world, world.alice, world.first)
    assert new["container_id"] != old["container_id"], "the stopped container came back"
    untouched(world, world.alice, world.first, new)


@scenario("STOP-004")
def test_nothing_live_cannot_be_stopped(world: ScenarioContext) -> None:
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)


@scenario("STOP-005")
def test_a_stop_of_a_challenge_that_is_not_live_is_refused(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    refused(world.stop(world.alice, world.second), Code.NOT_FOUND)


@scenario("STOP-006")
def test_a_stop_of_the_wrong_challenge_stops_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.stop(world.alice, world.second)
    world.stop(world.alice, world.challenges.unknown)
    untouched(world, world.alice, world.first, instance)


@scenario("STOP-007")
def test_a_second_stop_finds_nothing(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)


@scenario("STOP-008")
def test_cleaning_up_removes_the_instance(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.clean_up(world.alice, world.first))
    gone(world, world.alice, world.first)
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)


@scenario("STOP-009", Hook.AUDIT)
def test_cleaning_up_is_audited_as_expired(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.clean_up(world.alice, world.first))
    only_event(world, Action.EXPIRED)
    assert not events_of(world, Action.STOPPED), "the worker's removal is audited as a player's"


@scenario("STOP-010", Hook.AUDIT)
def test_cleaning_up_twice_is_harmless(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.clean_up(world.alice, world.first))
    again = world.clean_up(world.alice, world.first)
    assert again.code in (Code.OK, Code.NOT_FOUND), f"ended with {again.code.value}"
    only_event(world, Action.EXPIRED)


@scenario("STOP-011")
def test_cleaning_up_the_wrong_challenge_removes_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.clean_up(world.alice, world.second)
    untouched(world, world.alice, world.first, instance)


@scenario("STOP-012", Hook.OUTAGE)
def test_a_stop_in_an_outage_is_unavailable(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.outage():
        refused(world.stop(world.alice, world.first), Code.UNAVAILABLE)


@scenario("STOP-013", Hook.OUTAGE, Hook.GROUND_TRUTH)
def test_an_instance_is_not_forgotten_in_an_outage(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.outage():
        world.stop(world.alice, world.first)
    same(instance, live(world, world.alice, world.first))
    done(world.stop(world.alice, world.first))
    assert not world.running(), "the container still runs after the second, successful stop"


@scenario("STOP-014", Hook.ACCOUNT_LIMIT, TWO_AT_ONCE, options=Options(account_limit=2))
def test_a_stop_of_one_of_two_leaves_the_other(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    second = started(world, world.alice, world.second)
    done(world.stop(world.alice, world.first))
    gone(world, world.alice, world.first)
    untouched(world, world.alice, world.second, second)


@scenario("STOP-015")
def test_extend_and_stop_unpack_and_carry_their_codes(world: ScenarioContext) -> None:
    # The shapes are checked on every call; here both outcomes are met for certain.
    started(world, world.alice, world.first)
    extended = world.extend(world.alice, world.first)
    stopped = world.stop(world.alice, world.first)
    for result in (extended, stopped, world.extend(world.alice, world.first)):
        ok, message = result
        assert (ok, message) == (result[0], result[1])
    assert stopped.definite is True, "a stop that succeeded is a known outcome"
    assert stopped.code is Code.OK


@scenario("STOP-016", Hook.HELD_NETWORK, Hook.GROUND_TRUTH)
def test_what_others_hold_on_to_is_in_nobodys_way(world: ScenarioContext) -> None:
    for challenge in filter(None, (world.first, world.challenges.companion)):
        held = started(world, world.alice, challenge)
        with world.held_network(held["container_id"]):
            done(world.stop(world.alice, challenge))
            gone(world, world.alice, challenge)
            assert held["container_id"] not in world.running(), "it runs after its stop"
            started(world, world.alice, world.second)
            done(world.stop(world.alice, world.second))
            again = started(world, world.alice, challenge)
            assert again["container_id"] != held["container_id"], "the start made no new instance"
            untouched(world, world.alice, challenge, again)
        done(world.stop(world.alice, challenge))


@scenario("STOP-019", Hook.HELD_NETWORK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_what_is_left_behind_takes_nothing_with_it(world: ScenarioContext) -> None:
    for challenge in filter(None, (world.first, world.challenges.companion)):
        held = started(world, world.alice, challenge)
        with world.held_network(held["container_id"]):
            done(world.stop(world.alice, challenge))
            again = started(world, world.alice, challenge)
            world.run_worker()
            untouched(world, world.alice, challenge, again)
        for _ in range(2):
            world.run_worker()
            untouched(world, world.alice, challenge, again)
        assert again["container_id"] in world.running(), "the worker removed a live instance"
        done(world.stop(world.alice, challenge))


@scenario("STOP-020", Hook.HELD_NETWORK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_what_is_left_behind_goes_while_the_next_one_lives(world: ScenarioContext) -> None:
    for challenge in filter(None, (world.first, world.challenges.companion)):
        held = started(world, world.alice, challenge)
        one = len(world.networks())
        with world.held_network(held["container_id"]):
            done(world.stop(world.alice, challenge))
            again = started(world, world.alice, challenge)
        for _ in range(2):
            world.run_worker()
        there = len(world.networks())
        assert there <= one, f"{there} networks are kept for one instance, which needs {one}"
        untouched(world, world.alice, challenge, again)
        done(world.stop(world.alice, challenge))


@scenario("STOP-017", FaultKind.LOST_ANSWER, Hook.GROUND_TRUTH)
def test_a_stop_that_certainly_failed_has_ended_nothing(world: ScenarioContext) -> None:
    _ends_only_what_it_may(world, FaultKind.LOST_ANSWER)


@scenario("STOP-018", FaultKind.GIVEN_UP, Hook.GROUND_TRUTH)
def test_a_stop_that_is_carried_out_late_was_not_told_as_certain(world: ScenarioContext) -> None:
    _ends_only_what_it_may(world, FaultKind.GIVEN_UP)


def _ends_only_what_it_may(world: ScenarioContext, kind: FaultKind) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(kind):
        result = world.stop(world.alice, world.first)
    if not result.ok and result.definite:
        runs = instance["container_id"] in world.running()
        demand(runs, "a stop is told as certain to have failed, and the container is gone")
