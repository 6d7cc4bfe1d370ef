"""REACH: an address that really answers, for as long as the instance is live."""

from __future__ import annotations

import ipaddress
import re

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    EXITS_OWN_PORT,
    EXTENDS,
    HOST_PORT,
    ONE_CONNECTION,
    PORT_CHALLENGE,
    READY_ON_START,
    SUBDOMAIN,
    SUBDOMAIN_CHALLENGE,
    scenario,
)
from conformance.spec.steps import OWN_START_CODES, demand, done, gone, started
from engines.contract import InstanceStatus

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")


@scenario("REACH-001", Hook.FETCH, READY_ON_START)
def test_the_address_answers_at_once(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    assert world.answers(instance), "start returned, but nobody answers"


@scenario("REACH-002")
def test_the_address_is_well_formed(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    assert _is_host(instance["host"]), f"{instance['host']!r} is no host"
    assert instance["ports"], "an instance without a port cannot be reached"
    for port in instance["ports"]:
        assert re.fullmatch(r"[1-9][0-9]{0,4}", port), f"{port!r} is no port"
        assert int(port) <= 65535, f"{port!r} is no port"


@scenario("REACH-003", Hook.FETCH)
def test_a_stopped_address_falls_silent(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    assert world.answers(instance), "the address does not answer while the instance is live"
    done(world.stop(world.alice, world.first))
    assert not world.answers(instance), "the address of a stopped instance still answers"


@scenario("REACH-004", Hook.FETCH)
def test_two_addresses_are_two_instances(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.first)
    assert _address(hers) != _address(his), "two accounts were given one address"
    assert world.flag_inside(hers) != world.flag_inside(his), "two addresses lead to one container"


@scenario("REACH-005", Hook.FETCH, EXTENDS)
def test_an_extended_address_answers(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    assert world.answers(instance), "the address fell silent after an extend"


@scenario("REACH-006", Hook.FETCH)
def test_a_strangers_stop_is_not_noticed(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.first)
    flag = world.flag_inside(hers)
    done(world.stop(world.bob, world.first))
    assert not world.answers(his)
    assert world.flag_inside(hers) == flag, "the address leads to something else now"


@scenario("REACH-007", Hook.FETCH)
def test_a_new_instance_answers_with_its_own_flag(world: ScenarioContext) -> None:
    old = world.flag_inside(started(world, world.alice, world.first))
    done(world.stop(world.alice, world.first))
    new = world.flag_inside(started(world, world.alice, world.first))
    assert new != old, "the new address leads to the old instance"


@scenario("REACH-008", Hook.FETCH, SUBDOMAIN, SUBDOMAIN_CHALLENGE, proves=SUBDOMAIN)
def test_a_host_name_of_its_own_answers(world: ScenarioContext) -> None:
    challenge = world.challenges.subdomain
    assert challenge is not None
    hers = started(world, world.alice, challenge)
    his = started(world, world.bob, challenge)
    assert hers["host"] != his["host"], "two instances share a host name"
    assert world.flag_inside(hers) != world.flag_inside(his), "two names lead to one container"


@scenario("REACH-009", Hook.FETCH, HOST_PORT, PORT_CHALLENGE, proves=HOST_PORT)
def test_a_port_of_its_own_answers(world: ScenarioContext) -> None:
    challenge = world.challenges.own_port
    assert challenge is not None
    hers = started(world, world.alice, challenge)
    his = started(world, world.bob, challenge)
    assert _address(hers) != _address(his), "two instances share an address"
    assert world.flag_inside(hers) != world.flag_inside(his), "two ports lead to one container"


@scenario("REACH-010", Hook.FETCH, READY_ON_START, ONE_CONNECTION)
def test_the_one_connection_is_the_players(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.challenges.one_connection or 0)
    assert world.answers(instance), "somebody else has used up the service's one connection"


@scenario("REACH-011", Hook.GROUND_TRUTH, READY_ON_START, EXITS_OWN_PORT)
def test_nobody_behind_a_port_is_not_ready(world: ScenarioContext) -> None:
    challenge = world.challenges.exits_own_port or 0
    result = world.start(world.alice, challenge)
    demand(not result.ok, "a start is done whose port has nobody behind it")
    code = result.code
    demand(code in OWN_START_CODES, f"a container that exits at once is {code.value}")
    gone(world, world.alice, challenge)
    assert not world.running(), "a start that failed has left a container"
    started(world, world.alice, world.first)


def _address(instance: InstanceStatus) -> tuple[str, ...]:
    ports = instance["ports"]
    demand(bool(ports), "an instance is told without any port")
    return instance["host"], ports[0]


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST_NAME.match(host) is not None
    return True
