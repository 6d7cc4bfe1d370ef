"""COMPANION: further containers of a challenge."""

from __future__ import annotations

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import COMPANION_CHALLENGE, DYING_COMPANION, SLOW_COMPANION, scenario
from conformance.spec.steps import OWN_START_CODES, demand, done, gone, let_expire, started


@scenario("COMPANION-001", Hook.FETCH, COMPANION_CHALLENGE)
def test_a_companion_is_reached_by_name(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.challenges.companion or 0)
    assert world.companion_answers(instance), "the companion does not answer to its name"


@scenario("COMPANION-002", Hook.GROUND_TRUTH, COMPANION_CHALLENGE)
def test_companions_go_with_their_instance(world: ScenarioContext) -> None:
    challenge = world.challenges.companion or 0
    started(world, world.alice, challenge)
    assert len(world.running()) == 2, "an instance with one companion is two containers"
    done(world.stop(world.alice, challenge))
    demand(not world.running(), "a companion runs after the stop")


@scenario("COMPANION-003", Hook.GROUND_TRUTH, Hook.CLOCK, Hook.WORKER, COMPANION_CHALLENGE)
def test_companions_go_when_their_instance_expires(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.challenges.companion or 0))
    world.run_worker()
    assert not world.running(), "a companion runs after its instance has expired"


@scenario("COMPANION-004", Hook.FETCH, SLOW_COMPANION)
def test_a_companion_that_takes_its_time_is_waited_for(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.challenges.slow_companion or 0)
    assert world.companion_answers(instance), "the start is done, and the companion does not serve"


@scenario("COMPANION-005", Hook.GROUND_TRUTH, DYING_COMPANION)
def test_a_companion_that_ends_ends_the_start(world: ScenarioContext) -> None:
    challenge = world.challenges.dying_companion or 0
    result = world.start(world.alice, challenge)
    demand(not result.ok, "a start is done, and its companion does not run")
    assert result.code in OWN_START_CODES, f"refused with {result.code.value}"
    gone(world, world.alice, challenge)
    demand(not world.running(), "a start that failed has left a container")
