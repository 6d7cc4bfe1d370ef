"""RESTART: what the backend stands on goes down and comes back while instances live."""

from __future__ import annotations

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import DETECTS_LOSS, EXTENDS, scenario
from conformance.spec.steps import (
    agree,
    demand,
    done,
    events_of,
    gone,
    let_expire,
    live,
    only_event,
    refused,
    repeated,
    same,
    started,
    untouched,
)
from engines.audit import Action
from engines.contract import Code, InstanceStatus
from engines.errors import BackendUnavailable


@scenario("RESTART-001", Hook.RESTART_LIVE)
def test_every_call_says_that_it_is_down(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with world.restart_live():
        refused(world.start(world.bob, world.first), Code.UNAVAILABLE)
        refused(world.extend(world.alice, world.first), Code.UNAVAILABLE)
        refused(world.stop(world.alice, world.first), Code.UNAVAILABLE)
        with world.backend.expects(BackendUnavailable, "STATUS-015"):
            world.status(world.alice, world.first)


@scenario("RESTART-002", Hook.RESTART, DETECTS_LOSS)
def test_what_died_is_not_live(world: ScenarioContext) -> None:
    _restarted(world)
    gone(world, world.alice, world.first)


@scenario("RESTART-003", Hook.RESTART, Hook.FETCH, DETECTS_LOSS)
def test_what_died_can_be_started_anew(world: ScenarioContext) -> None:
    dead = _restarted(world)
    new = started(world, world.alice, world.first)
    assert new["container_id"] != dead["container_id"], "the start returned the dead container"
    untouched(world, world.alice, world.first, new)
    assert world.answers(new), "what was started after the restart does not answer"


@scenario("RESTART-004", Hook.RESTART, DETECTS_LOSS)
def test_what_died_can_be_neither_extended_nor_stopped(world: ScenarioContext) -> None:
    _restarted(world)
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)


@scenario(
    "RESTART-005",
    *(Hook.RESTART, Hook.WORKER, Hook.GROUND_TRUTH, Hook.CAPACITY, DETECTS_LOSS),
    options=Options(capacity=1),
)
def test_the_dead_hold_no_place(world: ScenarioContext) -> None:
    _restarted(world)
    world.run_worker()
    new = started(world, world.bob, world.second)
    assert agree(world, world.alice, world.bob) == {new["container_id"]}


@scenario("RESTART-006", Hook.RESTART, Hook.WORKER, Hook.AUDIT, DETECTS_LOSS)
def test_a_death_is_audited_once(world: ScenarioContext) -> None:
    _restarted(world)
    world.run_worker()
    gone(world, world.alice, world.first)
    world.run_worker()
    event = only_event(world, Action.LOST)
    assert event.user_id == world.alice.user_id, "the event does not name who had started it"


@scenario("RESTART-007", Hook.RESTART_LIVE, Hook.FETCH)
def test_what_outlived_it_is_as_it_was(world: ScenarioContext) -> None:
    instance = _outlived(world)
    untouched(world, world.alice, world.first, instance)
    assert world.answers(instance), "what outlived the restart does not answer"


@scenario("RESTART-008", Hook.RESTART_LIVE, Hook.GROUND_TRUTH)
def test_what_outlived_it_is_not_doubled(world: ScenarioContext) -> None:
    instance = _outlived(world)
    same(instance, repeated(world, world.alice, world.first))
    assert world.running() == {instance["container_id"]}


@scenario("RESTART-009", Hook.RESTART_LIVE, Hook.GROUND_TRUTH, EXTENDS)
def test_what_outlived_it_can_be_extended_and_stopped(world: ScenarioContext) -> None:
    _outlived(world)
    done(world.extend(world.alice, world.first))
    done(world.stop(world.alice, world.first))
    demand(not world.running(), "a container runs after it was stopped")


@scenario("RESTART-010", Hook.RESTART_LIVE, Hook.CLOCK, Hook.WORKER, Hook.AUDIT, Hook.GROUND_TRUTH)
def test_an_expiry_in_the_meantime_is_made_up_for(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.restart_live():
        let_expire(world, instance)
        world.try_worker()
    gone(world, world.alice, world.first)
    world.run_worker()
    world.run_worker()
    demand(not world.running(), "an instance that expired during a restart still runs")
    only_event(world, Action.EXPIRED)
    assert not events_of(world, Action.LOST), "an expired instance is audited as lost"


def _restarted(world: ScenarioContext) -> InstanceStatus:
    """Start an instance that does not outlive a restart."""
    instance = started(world, world.alice, world.first)
    with world.restart():
        pass
    return instance


def _outlived(world: ScenarioContext) -> InstanceStatus:
    """Start an instance, and restart what it stands on under it."""
    instance = started(world, world.alice, world.first)
    with world.restart_live():
        pass
    live(world, world.alice, world.first)
    return instance
