"""POOL: ready containers that wait for a start, each handed out once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from conformance.harness import FaultKind, Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, scenario
from conformance.spec.steps import (
    MOST_MOMENTS,
    SLACK_SECONDS,
    came_to_moments,
    demand,
    done,
    expiry,
    gone,
    live,
    refused,
    settle,
    started,
    together,
)
from engines.contract import Code, ContainerBackend, InstanceStatus, StartResult

WARM = Options(warm=2)
ENDS_IN = 1800
POOL = (Hook.WARM_POOL, Hook.WORKER, Hook.GROUND_TRUTH)


@scenario("POOL-001", *POOL, options=WARM)
def test_a_start_takes_what_is_ready(world: ScenarioContext) -> None:
    ready = _filled(world)
    instance = started(world, world.alice, _warm(world))
    assert instance["container_id"] in ready, "a start made a container while others were ready"
    assert live(world, world.alice, _warm(world))["container_id"] == instance["container_id"]


@scenario("POOL-002", *POOL, Hook.RECORDED_FLAG, Hook.FETCH, options=WARM)
def test_each_has_a_flag_of_its_own(world: ScenarioContext) -> None:
    _filled(world)
    seen = []
    for player in (world.alice, world.bob, world.alice):
        instance = started(world, player, _warm(world))
        flag = world.recorded_flag(player, _warm(world))
        assert world.flag_inside(instance) == flag, "the flag inside is not the recorded one"
        assert flag not in seen, "a flag was handed out before"
        seen.append(flag)
        if player is world.alice:
            done(world.stop(player, _warm(world)))


@scenario("POOL-003", *POOL, options=WARM)
def test_one_container_is_never_handed_to_two(world: ScenarioContext) -> None:
    _filled(world)
    everybody = (world.alice, world.bob, world.carol)
    results = together([partial(world.start, player, _warm(world)) for player in everybody])
    for result in results:
        assert result.code is Code.OK, f"a start from the pool ended with {result.code.value}"
    got = {result.instance["container_id"] for result in results}
    assert len(got) == len(everybody), "two accounts were given one container"


@scenario("POOL-004", *POOL, options=WARM)
def test_the_worker_fills_it_again(world: ScenarioContext) -> None:
    ready = _filled(world)
    used = started(world, world.alice, _warm(world))["container_id"]
    world.run_worker()
    waiting = world.running() - {used}
    assert len(waiting) == WARM.warm, f"{len(waiting)} containers wait after the worker has run"
    assert waiting - ready, "no container was made in the place of the one that was taken"


@scenario("POOL-005", *POOL, options=WARM)
def test_an_empty_pool_keeps_nobody_waiting(world: ScenarioContext) -> None:
    first = started(world, world.alice, _warm(world))
    assert first["container_id"] in world.running()


@scenario("POOL-006", *POOL, Hook.CAPACITY, options=Options(warm=3, capacity=2))
def test_what_waits_takes_room(world: ScenarioContext) -> None:
    world.run_worker()
    assert len(world.running()) <= 2, "more containers wait than the system has places"
    started(world, world.alice, _warm(world))
    world.run_worker()
    assert len(world.running()) <= 2, "more containers run than the system has places"


@scenario("POOL-007", *POOL, Hook.NEW_IMAGE, options=WARM)
def test_what_was_made_before_is_not_handed_out(world: ScenarioContext) -> None:
    old = _filled(world)
    world.change_images()
    world.run_worker()
    instance = started(world, world.alice, _warm(world))
    assert instance["container_id"] not in old, "a start got a container of the old image"
    assert not world.running() & old, "containers of the old image are still kept"


@scenario("POOL-008", *POOL, Hook.KILL_BEHIND, options=WARM)
def test_one_that_died_waiting_is_replaced(world: ScenarioContext) -> None:
    dead, other = sorted(_filled(world))
    world.kill_behind(dead)
    world.run_worker()
    waiting = world.running()
    assert other in waiting, "the worker removed a container that was ready"
    assert len(waiting) == WARM.warm, "the worker left a dead container in the pool"
    for player in (world.alice, world.bob):
        got = started(world, player, _warm(world))["container_id"]
        assert got in waiting, "a start made a container while others were ready"


@scenario(
    "POOL-009",
    *(*POOL, Hook.MOMENTS, Hook.CAPACITY),
    options=Options(warm=1, capacity=2),
)
def test_one_that_is_handed_over_takes_one_place(world: ScenarioContext) -> None:
    def start(other: ContainerBackend) -> None:
        bob = world.bob
        answers.append(other.start_instance(bob.user_id, world.first, bob.team_id))

    def take() -> None:
        answers.append(world.start(world.alice, _warm(world)))

    answers: list[StartResult] = []
    for moment in range(MOST_MOMENTS):
        world.run_worker()
        if not world.interrupted(moment, take, start):
            break
        for answer in answers[-2:]:
            demand(answer.ok, f"two starts for two places: {answer.message}")
        done(world.stop(world.alice, _warm(world)))
        done(world.stop(world.bob, world.first))
    came_to_moments(answers[1::2])


@scenario("POOL-010", *POOL, Hook.CLOCK, FaultKind.UNREACHABLE, options=WARM)
def test_an_outage_uses_nothing_up(world: ScenarioContext) -> None:
    ready = _filled(world)
    with world.fault(FaultKind.UNREACHABLE):
        for player in (world.alice, world.bob):
            demand(not world.start(player, _warm(world)).ok, "a start in an outage succeeded")
    settle(world)
    for player in (world.alice, world.bob):
        got = started(world, player, _warm(world))["container_id"]
        assert got in ready, "a start made a container while others were ready"


@scenario(
    "POOL-011",
    *(*POOL, Hook.CONTEST_END, Hook.CLOCK),
    options=replace(WARM, ends_in_seconds=ENDS_IN),
)
def test_what_was_ready_lives_as_long_as_any_other(world: ScenarioContext) -> None:
    _ready, warm = _one_that_was_ready(world)
    other = started(world, world.bob, world.first)
    longer = (expiry(warm) - expiry(other)).total_seconds()
    assert abs(longer) <= SLACK_SECONDS, f"one that was ready lives {longer:+.0f} s longer"
    world.advance(ENDS_IN + 1)
    gone(world, world.alice, _warm(world))


@scenario(
    "POOL-015",
    *(*POOL, Hook.CHALLENGE_END, Hook.CLOCK, EXTENDS),
    options=replace(WARM, challenge_ends_in_seconds=ENDS_IN),
)
def test_what_was_ready_ends_with_its_challenge(world: ScenarioContext) -> None:
    ready, warm = _one_that_was_ready(world)
    other = started(world, world.bob, world.first)  # which ends at the same moment
    latest = expiry(other) + timedelta(seconds=SLACK_SECONDS)
    assert expiry(warm) <= latest, "one that was ready ends after its challenge"
    world.extend(world.alice, _warm(world))
    extended = live(world, world.alice, _warm(world))
    assert expiry(extended) <= latest, "an extend of one that was ready passes the end"
    world.advance(ENDS_IN + 1)
    gone(world, world.alice, _warm(world))
    world.run_worker()
    left = ready & world.running()
    assert not left, "containers of a challenge that is over are still kept ready"
    refused(world.start(world.alice, _warm(world)), Code.CHALLENGE_UNAVAILABLE)


@scenario(
    "POOL-012",
    *(*POOL, Hook.PORT_RANGE, Hook.KILL_BEHIND),
    options=Options(warm=1, port_count=2),
)
def test_what_is_replaced_gives_its_ports_back(world: ScenarioContext) -> None:
    world.run_worker()
    for _ in range(3):
        (waiting,) = world.running()
        world.kill_behind(waiting)
        world.run_worker()
        waits = len(world.running())
        assert waits == 1, f"{waits} containers wait once one that died has been replaced"
    started(world, world.alice, world.first)


@scenario("POOL-013", *POOL, Hook.MOMENTS, options=Options(warm=1))
def test_a_round_leaves_alone_what_a_start_takes(world: ScenarioContext) -> None:
    def take() -> None:
        answers.append(world.start(world.alice, _warm(world)))

    answers: list[StartResult] = []
    for moment in range(MOST_MOMENTS):
        world.run_worker()
        if not world.interrupted(moment, take, lambda _: world.run_worker()):
            break
        demand(answers[-1].ok, f"a round made a start fail: {answers[-1].message}")
        told = answers[-1].instance["container_id"]
        demand(told in world.running(), "a round removed what a start was taking")
        demand(
            live(world, world.alice, _warm(world))["container_id"] == told,
            "the live container is not the one that the start returned",
        )
        done(world.stop(world.alice, _warm(world)))
    came_to_moments(answers[:-1])


@scenario(
    "POOL-014",
    *(*POOL, Hook.MOMENTS, Hook.CAPACITY, Hook.NEW_IMAGE),
    options=Options(warm=1, capacity=2),
)
def test_one_that_is_being_made_takes_one_place(world: ScenarioContext) -> None:
    def start_two(other: ContainerBackend) -> None:
        for player, challenge in ((world.alice, world.first), (world.bob, world.second)):
            answers.append(other.start_instance(player.user_id, challenge, player.team_id))

    answers: list[StartResult] = []
    for moment in range(MOST_MOMENTS):
        if not world.interrupted(moment, world.run_worker, start_two):
            break
        demand(any(answer.ok for answer in answers[-2:]), "no start found the room that is left")
        demand(len(world.running()) <= 2, "more containers run than the system has places")
        for player, challenge in ((world.alice, world.first), (world.bob, world.second)):
            world.stop(player, challenge)
        world.change_images()  # so that the next round has one to make
    came_to_moments(answers[::2])


def _warm(world: ScenarioContext) -> int:
    challenge = world.challenges.warm
    assert challenge is not None, "a harness with a warm pool names the challenge it is for"
    return challenge


def _one_that_was_ready(world: ScenarioContext) -> tuple[set[str], InstanceStatus]:
    """Fill the pool and start from it; returns what was ready, and the instance."""
    ready = _filled(world)
    instance = started(world, world.alice, _warm(world))
    assert instance["container_id"] in ready, "a start made a container while others were ready"
    return ready, instance


def _filled(world: ScenarioContext) -> set[str]:
    """Have the pool filled; returns the containers that wait."""
    world.run_worker()
    ready = world.running()
    assert len(ready) == WARM.warm, f"{len(ready)} containers wait after the worker has run"
    return ready
