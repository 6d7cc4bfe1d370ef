"""NODE: instances on several machines. Which machine runs a container is looked at, not asked."""

from __future__ import annotations

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import MULTI_NODE, scenario
from conformance.spec.steps import demand, done, started
from engines.contract import InstanceStatus

MOST_STARTS = 24
"""Of machines drawn by lot, one of two stays unused for so long once in 8 million times."""


@scenario("NODE-001", Hook.MACHINES, MULTI_NODE)
def test_more_than_one_machine_is_used(world: ScenarioContext) -> None:
    used = {_machine(world, instance) for instance in _on_other_machines(world)}
    demand(len(used) > 1, f"{MOST_STARTS} starts used one machine only")


@scenario("NODE-002", Hook.MACHINES, Hook.FETCH, Hook.RECORDED_FLAG, MULTI_NODE)
def test_an_instance_answers_wherever_it_runs(world: ScenarioContext) -> None:
    for player, instance in zip((world.alice, world.bob), _on_other_machines(world), strict=True):
        machine = _machine(world, instance)
        mine = world.flag_inside(instance) == world.recorded_flag(player, world.first)
        demand(mine, f"the address of the instance on {machine} leads to another one")


@scenario("NODE-003", Hook.MACHINES, Hook.GROUND_TRUTH, MULTI_NODE)
def test_a_stop_ends_the_instance_wherever_it_runs(world: ScenarioContext) -> None:
    for player, instance in zip((world.alice, world.bob), _on_other_machines(world), strict=True):
        machine = _machine(world, instance)
        done(world.stop(player, world.first))
        left = world.machine_of(instance["container_id"])
        demand(left is None, f"what ran on {machine} runs on {left} after its stop")
    demand(not world.running(), "something runs after every instance was stopped")


def _on_other_machines(world: ScenarioContext) -> list[InstanceStatus]:
    """An instance of the first player's, and one of the second's on another machine, if that can
    be had; where they run is for the backend to choose."""
    first = started(world, world.alice, world.first)
    second = started(world, world.bob, world.first)
    for _ in range(MOST_STARTS - 2):
        if _machine(world, second) != _machine(world, first):
            break
        done(world.stop(world.bob, world.first))
        second = started(world, world.bob, world.first)
    return [first, second]


def _machine(world: ScenarioContext, instance: InstanceStatus) -> str:
    machine = world.machine_of(instance["container_id"])
    demand(machine is not None, "a live instance runs on no machine")
    return str(machine)
