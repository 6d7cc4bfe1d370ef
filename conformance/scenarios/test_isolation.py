"""ISOLATION: what a program inside an instance can do, tried from inside."""

from __future__ import annotations

import re

from conformance.harness import LITTLE_DISK_MB, Hook, Limits, Outside, Player, Trial
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    CAPABLE_CHALLENGE,
    EGRESS_CHALLENGE,
    HOST,
    INTERNET,
    LIMITS,
    LITTLE_DISK,
    PRIVILEGES,
    READ_ONLY_CHALLENGE,
    RESOURCES,
    SIBLINGS,
    scenario,
)
from conformance.spec.steps import demand, done, gone, only_event, started, untouched
from engines.audit import Action
from engines.contract import InstanceStatus

NET_BIND_SERVICE = 1 << 10
"""The capability as a bit of the kernel's masks (capabilities(7))."""
BEYOND = 50
"""How many more than the limit are asked for."""


@scenario("ISOLATION-001", Hook.INSIDE, SIBLINGS, proves=SIBLINGS)
def test_siblings_cannot_be_reached(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.first)
    for one, other in ((hers, his), (his, hers)):
        reached = world.reached_from(one, world.inner_addresses(other))
        assert not reached, f"one account's program reached another's container at {reached}"


@scenario("ISOLATION-002", Hook.INSIDE, SIBLINGS, EGRESS_CHALLENGE, proves=SIBLINGS)
def test_egress_is_no_way_to_siblings(world: ScenarioContext) -> None:
    closed = started(world, world.alice, world.first)
    first = started(world, world.bob, _egress(world))
    second = started(world, world.carol, _egress(world))
    for one, others in ((closed, [first]), (first, [closed, second])):
        wanted = [address for other in others for address in world.inner_addresses(other)]
        reached = world.reached_from(one, wanted)
        assert not reached, f"a program reached another account's container at {reached}"


@scenario("ISOLATION-003", Hook.INSIDE, HOST, proves=HOST)
def test_the_host_cannot_be_reached(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    _check_host(world, instance)


@scenario("ISOLATION-004", Hook.INSIDE, HOST, EGRESS_CHALLENGE, proves=HOST)
def test_egress_is_no_way_to_the_host(world: ScenarioContext) -> None:
    instance = started(world, world.alice, _egress(world))
    _check_host(world, instance)


@scenario("ISOLATION-005", Hook.INSIDE, HOST, proves=HOST)
def test_no_engine_is_inside(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    found = world.tried(instance, Trial.SOCKETS)
    assert found.pop("search") == "done"
    assert not found, f"sockets inside: {sorted(found)}"


@scenario("ISOLATION-006", Hook.INSIDE, Hook.OUTSIDE, INTERNET, proves=INTERNET)
def test_the_internet_cannot_be_reached(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.outside() as machine:
        reached = world.reached_from(instance, [machine.internet, machine.beside])
    assert not reached, f"a program without egress reached {reached}"


@scenario("ISOLATION-007", Hook.INSIDE, Hook.OUTSIDE, INTERNET, proves=INTERNET)
def test_names_of_the_internet_cannot_be_resolved(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.outside() as machine:
        said = _resolved(world, instance, machine)
    assert said == {"own": "silent", "server": "silent"}, "a name went out and an address came in"


@scenario("ISOLATION-008", Hook.INSIDE, Hook.OUTSIDE, INTERNET, EGRESS_CHALLENGE, proves=INTERNET)
def test_egress_is_a_way_to_the_internet(world: ScenarioContext) -> None:
    instance = started(world, world.alice, _egress(world))
    with world.outside() as machine:
        reached = world.reached_from(instance, [machine.internet])
        said = _resolved(world, instance, machine)
    assert reached, "a challenge that asks for egress has none"
    assert said["server"] == "resolved", "a challenge with egress cannot ask a name server"


@scenario("ISOLATION-009", Hook.INSIDE, Hook.OUTSIDE, HOST, EGRESS_CHALLENGE, proves=HOST)
def test_egress_is_no_way_to_private_networks(world: ScenarioContext) -> None:
    instance = started(world, world.alice, _egress(world))
    with world.outside() as machine:
        reached = world.reached_from(instance, [machine.beside])
    assert not reached, f"a challenge with egress reached {reached}, which is not the internet"


@scenario("ISOLATION-010", Hook.INSIDE, PRIVILEGES)
def test_there_are_no_capabilities(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    rights = _capabilities(world, instance)
    held = {name: hex(mask) for name, mask in rights.items() if mask}
    assert not held, f"capabilities nobody asked for: {held}"


@scenario("ISOLATION-011", Hook.INSIDE, PRIVILEGES, CAPABLE_CHALLENGE)
def test_a_capability_asked_for_is_the_only_one(world: ScenarioContext) -> None:
    challenge = world.challenges.capable
    assert challenge is not None
    rights = _capabilities(world, started(world, world.alice, challenge))
    assert rights["CapBnd"] == NET_BIND_SERVICE, f"may have {rights['CapBnd']:#x}"
    more = {name: hex(mask) for name, mask in rights.items() if mask & ~NET_BIND_SERVICE}
    assert not more, f"capabilities nobody asked for: {more}"


@scenario("ISOLATION-012", Hook.INSIDE, PRIVILEGES)
def test_privileges_cannot_be_gained(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    assert world.tried(instance, Trial.RIGHTS)["NoNewPrivs"] == "1", "no_new_privs is not set"


@scenario("ISOLATION-013", Hook.INSIDE, PRIVILEGES, READ_ONLY_CHALLENGE)
def test_a_read_only_root_is_read_only(world: ScenarioContext) -> None:
    challenge = world.challenges.read_only
    assert challenge is not None
    said = world.tried(started(world, world.alice, challenge), Trial.WRITE)
    assert said.pop("/tmp") == "written", "a read-only challenge has no place to write to"  # noqa: S108 - inside a container
    assert set(said.values()) == {"refused"}, f"written to a read-only root: {said}"


@scenario("ISOLATION-014", Hook.INSIDE, Hook.FETCH, RESOURCES, LIMITS)
def test_memory_ends_at_its_limit(world: ScenarioContext) -> None:
    limit = _limits(world).memory_mb
    _spend(world, "memory", limit, attempt=2 * limit)


@scenario("ISOLATION-015", Hook.INSIDE, Hook.FETCH, RESOURCES, LIMITS)
def test_processes_end_at_their_limit(world: ScenarioContext) -> None:
    limit = _limits(world).processes
    _spend(world, "processes", limit, attempt=limit + BEYOND)


@scenario("ISOLATION-016", Hook.INSIDE, Hook.FETCH, RESOURCES, LIMITS)
def test_open_files_end_at_their_limit(world: ScenarioContext) -> None:
    limit = _limits(world).open_files
    _spend(world, "files", limit, attempt=limit + BEYOND)


@scenario("ISOLATION-017", Hook.FETCH, SIBLINGS, HOST, EGRESS_CHALLENGE)
def test_players_reach_what_is_kept_apart(world: ScenarioContext) -> None:
    closed = started(world, world.alice, world.first)
    opened = started(world, world.bob, _egress(world))
    assert world.flag_inside(closed) != world.flag_inside(opened), "two addresses, one container"


@scenario("ISOLATION-018", Hook.INSIDE, SIBLINGS)
def test_names_say_nothing(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)
    his = started(world, world.bob, world.second)
    before = _named(world, hers, by=his)
    others = _named(world, his, by=hers)
    _check_words(world, before - others, world.alice, world.first)
    _check_words(world, others - before, world.bob, world.second)
    done(world.stop(world.alice, world.first))
    again = started(world, world.alice, world.first)
    kept = before & (_named(world, again, by=his) - others)
    assert not kept, f"a new instance has the name of the one before it: {sorted(kept)}"


@scenario("ISOLATION-019", Hook.INSIDE, SIBLINGS)
def test_nothing_inside_says_whose_it_is(world: ScenarioContext) -> None:
    hers = set(world.tried(started(world, world.alice, world.first), Trial.TRACES).values())
    his = set(world.tried(started(world, world.bob, world.second), Trial.TRACES).values())
    _check_words(world, hers - his, world.alice, world.first)
    _check_words(world, his - hers, world.bob, world.second)
    _check_deployment(world, hers | his)


@scenario("ISOLATION-020", *(Hook.DISK, Hook.WORKER, Hook.GROUND_TRUTH, Hook.AUDIT), LITTLE_DISK)
def test_who_fills_the_disk_is_ended(world: ScenarioContext) -> None:
    challenge = world.challenges.little_disk
    assert challenge is not None
    full = started(world, world.alice, challenge)
    other = started(world, world.bob, challenge)
    world.write_disk(other, LITTLE_DISK_MB // 2)
    written = world.write_disk(full, 2 * LITTLE_DISK_MB)
    world.run_worker()
    if written > LITTLE_DISK_MB or full["container_id"] not in world.running():
        gone(world, world.alice, challenge)
        demand(full["container_id"] not in world.running(), "it goes on to fill the disk")
        world.run_worker()
        event = only_event(world, Action.DISK_FULL)
        assert event.user_id == world.alice.user_id
    untouched(world, world.bob, challenge, other)


def _named(world: ScenarioContext, instance: InstanceStatus, *, by: InstanceStatus) -> set[str]:
    """The names that a sibling, and the instance itself, has for its addresses."""
    addresses = [address.rpartition(":")[0] for address in world.inner_addresses(instance)]
    found: set[str] = set()
    for who in (instance, by):
        said = world.tried(who, Trial.NAMES, *addresses).values()
        found |= {name for names in said for name in names.split(",") if name} - {"silent"}
    _check_deployment(world, found)
    return {label for name in found for label in name.split(".")}


def _check_words(world: ScenarioContext, words: set[str], player: Player, challenge: int) -> None:
    """What is one instance's alone may hold none of its numbers, bare or behind some letters."""
    numbers = {player.user_id, challenge, *([player.team_id] if player.team_id else [])}
    for word in sorted(words):
        parts = re.findall(r"(?<![0-9A-Za-z])[A-Za-z]*([0-9]+)(?![0-9A-Za-z])", word)
        told = {int(part) for part in parts} & numbers
        assert not told, f"{word} tells of {sorted(told)}, numbers of its user, team or challenge"


def _check_deployment(world: ScenarioContext, words: set[str]) -> None:
    told = sorted(word for word in words for name in world.known_as if name in word)
    assert not told, f"the deployment's name is inside: {told}"


def _egress(world: ScenarioContext) -> int:
    challenge = world.challenges.egress
    assert challenge is not None
    return challenge


def _check_host(world: ScenarioContext, instance: InstanceStatus) -> None:
    with world.host_port(instance) as addresses:
        reached = world.reached_from(instance, addresses)
    assert not reached, f"a program inside reached its host at {reached}"


def _resolved(world: ScenarioContext, instance: InstanceStatus, machine: Outside) -> dict[str, str]:
    return world.tried(instance, Trial.RESOLVE, machine.name, machine.name_server)


def _capabilities(world: ScenarioContext, instance: InstanceStatus) -> dict[str, int]:
    """The kernel's five masks of a process inside."""
    rights = world.tried(instance, Trial.RIGHTS)
    return {name: int(mask, 16) for name, mask in rights.items() if name.startswith("Cap")}


def _limits(world: ScenarioContext) -> Limits:
    limits = world.challenges.limits
    assert limits is not None
    return limits


def _spend(world: ScenarioContext, what: str, limit: int, *, attempt: int) -> None:
    """Try to have more than the limit inside; the instance answers afterwards."""
    instance = started(world, world.alice, world.first)
    had = int(world.tried(instance, Trial.SPEND, what, str(attempt))[what])
    assert had <= limit, f"{had} of {what} could be had, the limit is {limit}"
    assert world.answers(instance), f"the instance fell silent when it tried to have {what}"
