"""EXPIRY: an instance ends at its time, worker or no worker, and only once."""

from __future__ import annotations

import logging

import pytest

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, ONE_AT_A_TIME, scenario
from conformance.spec.steps import (
    demand,
    done,
    events_of,
    expiry,
    gone,
    let_expire,
    live,
    only_event,
    refused,
    started,
    untouched,
)
from engines.audit import Action
from engines.contract import Code

SOON_SECONDS = 5
"""Less than a round of the worker; enough for a slow machine."""


@scenario("EXPIRY-001", Hook.CLOCK)
def test_an_expired_instance_is_not_live(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    gone(world, world.alice, world.first)


@scenario("EXPIRY-002", Hook.CLOCK)
def test_an_instance_lives_to_its_end(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    # Ten seconds are for backends whose seconds go on while the clock is moved.
    world.advance(instance["remaining_seconds"] - 10)
    untouched(world, world.alice, world.first, instance)


@scenario("EXPIRY-020", Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_the_worker_ends_nothing_before_its_time(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] - SOON_SECONDS)
    world.run_worker()
    assert world.running() == {instance["container_id"]}, "the worker ended what has time left"
    untouched(world, world.alice, world.first, instance)


@scenario("EXPIRY-003", Hook.CLOCK)
def test_an_expired_instance_cannot_be_extended(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    gone(world, world.alice, world.first)


@scenario("EXPIRY-004", Hook.CLOCK)
def test_an_expired_instance_cannot_be_stopped(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    refused(world.stop(world.alice, world.first), Code.NOT_FOUND)


@scenario("EXPIRY-005", Hook.CLOCK)
def test_an_expired_instance_is_started_anew(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    let_expire(world, old)
    new = started(world, world.alice, world.first)
    assert new["container_id"] != old["container_id"], "the start returned the expired container"
    assert expiry(new) > expiry(old), "the new instance ends no later than the expired one"
    untouched(world, world.alice, world.first, new)


@scenario("EXPIRY-006", Hook.CLOCK, ONE_AT_A_TIME)
def test_an_expired_instance_does_not_use_up_the_limit(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    started(world, world.alice, world.second)


@scenario("EXPIRY-007", Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_the_worker_removes_the_container(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    world.run_worker()
    assert not world.running(), "an expired container still runs after the worker"


@scenario("EXPIRY-008", Hook.CLOCK, Hook.WORKER, Hook.AUDIT)
def test_an_expiry_is_audited_once(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    world.run_worker()
    world.run_worker()
    gone(world, world.alice, world.first)
    only_event(world, Action.EXPIRED)


@scenario("EXPIRY-009", Hook.CLOCK, Hook.WORKER)
def test_the_worker_leaves_live_instances_alone(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    world.run_worker()
    untouched(world, world.alice, world.first, instance)


@scenario("EXPIRY-010", Hook.CLOCK, Hook.WORKER, EXTENDS)
def test_an_extended_instance_outlives_its_old_expiry(world: ScenarioContext) -> None:
    seconds_left = _extended_in_mid_life(world)
    world.advance(seconds_left + 2)
    world.run_worker()
    live(world, world.alice, world.first)


@scenario("EXPIRY-011", Hook.CLOCK, Hook.WORKER, EXTENDS)
def test_an_extended_instance_ends_at_its_new_expiry(world: ScenarioContext) -> None:
    _extended_in_mid_life(world)
    let_expire(world, live(world, world.alice, world.first))
    gone(world, world.alice, world.first)
    world.run_worker()
    gone(world, world.alice, world.first)


@scenario("EXPIRY-012", Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH, Hook.STUBBORN)
def test_a_stubborn_container_holds_up_nobody(world: ScenarioContext) -> None:
    stubborn = started(world, world.alice, world.first)["container_id"]
    others = [started(world, player, world.first) for player in (world.bob, world.carol)]
    with world.stubborn(stubborn):
        let_expire(world, others[-1])
        world.run_worker()
        left = world.running()
    assert left <= {stubborn}, "one container that cannot be removed kept others running"


@scenario("EXPIRY-013", Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH, Hook.STUBBORN)
def test_a_stubborn_container_is_tried_again(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.stubborn(instance["container_id"]):
        let_expire(world, instance)
        world.run_worker()
        gone(world, world.alice, world.first)
    world.run_worker()
    assert not world.running(), "the worker gave up a container it could not remove once"


@scenario("EXPIRY-014", Hook.CLOCK, Hook.WORKER, Hook.FETCH)
def test_an_expired_address_falls_silent(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    assert world.answers(instance), "the address does not answer while the instance is live"
    let_expire(world, instance)
    world.run_worker()
    assert not world.answers(instance), "the address of an expired instance still answers"


@scenario("EXPIRY-015", Hook.CLOCK, Hook.AUDIT, Hook.WORKER_THREAD)
def test_a_stopped_worker_stays_stopped(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    worker = world.worker()
    worker.start()
    try:
        demand(worker.running, "the worker was started but does not run")
    finally:
        worker.stop()
    demand(not worker.running, "the worker was stopped but runs")
    let_expire(world, instance)
    demand(not worker.running, "the worker came back")
    assert not events_of(world, Action.EXPIRED), "a stopped worker removed something"


@scenario("EXPIRY-016", Hook.CLOCK, Hook.WORKER, Hook.CAPACITY, options=Options(capacity=1))
def test_the_worker_frees_the_places_of_the_expired(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    refused(world.start(world.bob, world.first), Code.CAPACITY)
    let_expire(world, instance)
    world.run_worker()
    started(world, world.bob, world.first)


@scenario("EXPIRY-017", Hook.CLOCK, Hook.WORKER, Hook.AUDIT)
def test_an_expiry_met_by_a_start_is_audited_once(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    started(world, world.alice, world.first)
    world.run_worker()
    only_event(world, Action.EXPIRED)
    assert len(events_of(world, Action.STARTED)) == 2, "two instances are two started events"


@scenario("EXPIRY-018", Hook.ANOTHER_SITE, Hook.WORKER, Hook.GROUND_TRUTH)
def test_the_worker_leaves_another_sites_instances_alone(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    with world.another_site():
        his = started(world, world.bob, world.first)
        world.run_worker()
        world.run_worker()
        untouched(world, world.bob, world.first, his)
    world.run_worker()
    untouched(world, world.alice, world.first, hers)
    left = {hers["container_id"], his["container_id"]} - world.running()
    assert not left, "a worker has removed what another site's database knows"


@scenario("EXPIRY-019", Hook.ANOTHER_SITE, Hook.WORKER)
def test_a_worker_tells_of_another_sites_instances(
    world: ScenarioContext, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        started(world, world.alice, world.first)
        world.run_worker()
        alone = set(caplog.messages)
        with world.another_site():
            gone(world, world.alice, world.first)
            world.run_worker()
    assert set(caplog.messages) - alone, "nobody is told that two sites bear one name"


def _extended_in_mid_life(world: ScenarioContext) -> int:
    """Start, let half of the life go by, extend; returns the seconds left before the extend."""
    instance = started(world, world.alice, world.first)
    half = instance["remaining_seconds"] // 2
    world.advance(half)
    before = live(world, world.alice, world.first)["remaining_seconds"]
    done(world.extend(world.alice, world.first))
    return before
