"""PORT: several ports, and a range of them."""

from __future__ import annotations

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    DETECTS_LOSS,
    EXITS_AT_ONCE,
    PAIRED_PORTS,
    SEVERAL_PORTS,
    scenario,
)
from conformance.spec.steps import demand, done, gone, let_expire, refused, started
from engines.contract import Code

ONE, TWO = Options(port_count=1), Options(port_count=2)
ROUNDS = 6
"""Ports may be picked at random: in two of three rounds a start meets the one that is held."""


@scenario("PORT-001", Hook.FETCH, SEVERAL_PORTS)
def test_every_port_is_told(world: ScenarioContext) -> None:
    challenge = world.challenges.several_ports
    demand(challenge is not None, "the scenario needs a challenge with several ports")
    instance = started(world, world.alice, challenge or 0)
    ports = instance["ports"]
    assert len(ports) == 3, f"{len(ports)} ports are told of three"
    assert ports[0] != ports[1], "two TCP ports share a number"
    assert all(1 <= port <= 65535 for port in _numbers(ports))
    assert world.answers(instance), "the first port does not answer"


@scenario("PORT-002", Hook.PORT_RANGE, options=TWO)
def test_ports_lie_in_the_range_and_are_not_shared(world: ScenarioContext) -> None:
    taken = []
    for player in (world.alice, world.bob):
        taken += _numbers(started(world, player, world.first)["ports"])
    assert len(set(taken)) == len(taken), "two instances share a port"
    outside = [port for port in taken if port not in world.port_range()]
    assert not outside, f"ports {outside} lie outside of the range"


@scenario("PORT-003", Hook.PORT_RANGE, Hook.GROUND_TRUTH, options=TWO)
def test_no_port_is_no_start(world: ScenarioContext) -> None:
    held = {
        started(world, player, world.first)["container_id"] for player in (world.alice, world.bob)
    }
    refused(world.start(world.carol, world.first), Code.CAPACITY)
    gone(world, world.carol, world.first)
    assert world.running() == held, "a start without a port left something behind"


@scenario("PORT-004", Hook.PORT_RANGE, options=TWO)
def test_a_stop_gives_ports_back(world: ScenarioContext) -> None:
    for player in (world.alice, world.bob):
        started(world, player, world.first)
    refused(world.start(world.carol, world.first), Code.CAPACITY)
    done(world.stop(world.bob, world.first))
    started(world, world.carol, world.first)


@scenario("PORT-005", Hook.PORT_RANGE, Hook.CLOCK, Hook.WORKER, options=TWO)
def test_the_worker_gives_ports_back(world: ScenarioContext) -> None:
    instances = [started(world, player, world.first) for player in (world.alice, world.bob)]
    let_expire(world, instances[-1])
    world.run_worker()
    for player in (world.carol, world.alice):
        started(world, player, world.first)


@scenario("PORT-006", Hook.FETCH, PAIRED_PORTS)
def test_a_pair_of_ports_is_one_number(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.challenges.paired_ports or 0)
    numbers = _numbers(instance["ports"])
    assert len(numbers) == 2, f"{len(numbers)} ports are told, the challenge has two"
    tcp, udp = numbers
    assert tcp == udp, f"a protocol that speaks both is on {tcp} and on {udp}"
    assert world.answers(instance), "the TCP port of the two does not answer"


@scenario("PORT-007", Hook.PORT_RANGE, Hook.KILL_BEHIND, Hook.WORKER, DETECTS_LOSS, options=TWO)
def test_the_lost_give_ports_back(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    world.kill_behind(started(world, world.bob, world.first)["container_id"])
    world.run_worker()
    started(world, world.carol, world.first)
    refused(world.start(world.bob, world.first), Code.CAPACITY)


@scenario("PORT-008", Hook.PORT_RANGE, EXITS_AT_ONCE, options=ONE)
def test_a_failed_start_gives_ports_back(world: ScenarioContext) -> None:
    result = world.start(world.alice, world.challenges.exits_at_once or 0)
    demand(not result.ok, "a container that exits at once was started")
    started(world, world.bob, world.first)
    refused(world.start(world.carol, world.first), Code.CAPACITY)


@scenario(
    "PORT-009",
    *(Hook.PORT_RANGE, Hook.WARM_POOL, Hook.WORKER),
    options=Options(port_count=1, warm=1),
)
def test_a_stop_of_what_was_warm_gives_ports_back(world: ScenarioContext) -> None:
    world.run_worker()
    warm = world.challenges.warm or 0
    started(world, world.alice, warm)
    refused(world.start(world.bob, world.first), Code.CAPACITY)
    done(world.stop(world.alice, warm))
    started(world, world.bob, world.first)


@scenario(
    "PORT-010",
    *(Hook.PORT_RANGE, Hook.ANOTHER_SITE, Hook.REMOVE_BEHIND),
    options=Options(port_count=3),
)
def test_a_start_keeps_no_port_that_others_hold(world: ScenarioContext) -> None:
    for _ in range(ROUNDS):
        with world.another_site():
            foreign = started(world, world.carol, world.first)
        taken = [started(world, player, world.first) for player in (world.alice, world.bob)]
        ports = _numbers([port for each in (foreign, *taken) for port in each["ports"]])
        assert len(set(ports)) == len(ports), "two instances share a port"
        world.remove_behind(foreign["container_id"])
        started(world, world.carol, world.first)
        for player in (world.alice, world.bob, world.carol):
            done(world.stop(player, world.first))


def _numbers(ports: list[str]) -> list[int]:
    for port in ports:
        demand(port.isascii() and port.isdecimal(), f"port {port!r} is no number")
    return [int(port) for port in ports]
