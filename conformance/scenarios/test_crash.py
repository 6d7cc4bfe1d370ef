"""CRASH: the process dies in the middle of a call, at each boundary in turn; another goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar, cast

from conformance.harness import Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, LAPSES, scenario
from conformance.spec.steps import (
    STATE_SETTLING_SECONDS,
    agree,
    demand,
    done,
    expiry,
    gone,
    let_expire,
    live,
    same,
    settle,
    started,
    untouched,
)
from conformance.spec.trace import HarnessFault
from engines.audit import Action
from engines.contract import InstanceStatus

_T = TypeVar("_T")

SETTLES = (Hook.CRASH, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
LONGEST_LAPSE = 20
"""Seconds that a player waits at most for what a server has ended in the middle."""
MOST_BOUNDARIES = 60
"""More than any call has; beyond it something goes round in circles."""
BY_OTHERS = (Action.REPAIRED, Action.ADOPTED, Action.LOST)
"""How they tell of it who find what a dead process has done."""


@scenario("CRASH-001", *SETTLES)
def test_a_start_that_died_is_not_doubled(world: ScenarioContext) -> None:
    for _ in _deaths(world, _nothing, lambda: world.start(world.alice, world.first)):
        world.start(world.alice, world.first)
        count = len(world.running())
        demand(count <= 1, f"{count} containers run for a start that died and was repeated")
        _ended(world)


@scenario("CRASH-002", *SETTLES)
def test_a_start_that_died_leaks_nothing(world: ScenarioContext) -> None:
    for _ in _deaths(world, _nothing, lambda: world.start(world.alice, world.first)):
        settle(world, STATE_SETTLING_SECONDS)
        agree(world, world.alice)
        _ended(world)


@scenario("CRASH-003", *SETTLES)
def test_an_account_whose_start_died_can_start_again(world: ScenarioContext) -> None:
    for _ in _deaths(world, _nothing, lambda: world.start(world.alice, world.first)):
        world.advance(STATE_SETTLING_SECONDS)
        result = world.start(world.alice, world.first)
        demand(result.ok, f"refused for good: {result.message} ({result.code.value})")
        untouched(world, world.alice, world.first, cast(InstanceStatus, result.instance))
        done(world.stop(world.alice, world.first))
        _ended(world)


@scenario("CRASH-004", EXTENDS, *SETTLES)
def test_an_instance_outlives_the_death_of_its_extend(world: ScenarioContext) -> None:
    for before in _deaths(
        world, lambda: _half_way(world), lambda: world.extend(world.alice, world.first)
    ):
        settle(world, STATE_SETTLING_SECONDS)
        after = live(world, world.alice, world.first)
        same(before, after, ("container_id", "host", "ports", "started_at"))
        demand(expiry(after) >= expiry(before), "an extend that died took time away")
        moved = expiry(after) > expiry(before)
        demand(
            after["extension_count"] == int(moved),
            "an extend that died moved the expiry and did not count, or the other way round",
        )
        _ended(world)


@scenario("CRASH-005", *SETTLES)
def test_a_stop_that_died_is_wholly_done_or_not_at_all(world: ScenarioContext) -> None:
    for before in _deaths(
        world,
        lambda: started(world, world.alice, world.first),
        lambda: world.stop(world.alice, world.first),
    ):
        settle(world, STATE_SETTLING_SECONDS)
        if agree(world, world.alice):
            same(before, live(world, world.alice, world.first))
            done(world.stop(world.alice, world.first))
        _ended(world)


@scenario("CRASH-006", Hook.AUDIT, *SETTLES)
def test_a_round_of_the_worker_that_died_is_made_up_for(world: ScenarioContext) -> None:
    def one_expired_and_one_live() -> InstanceStatus:
        his = started(world, world.bob, world.first)
        world.advance(his["remaining_seconds"] // 2)
        hers = started(world, world.alice, world.first)
        let_expire(world, live(world, world.bob, world.first))
        return hers

    told = 0
    for hers in _deaths(world, one_expired_and_one_live, world.run_worker):
        settle(world, STATE_SETTLING_SECONDS)
        gone(world, world.bob, world.first)
        untouched(world, world.alice, world.first, hers)
        demand(world.running() == {hers["container_id"]}, "an expired instance runs for ever")
        count = sum(
            event.action is Action.EXPIRED and event.user_id == world.bob.user_id
            for event in world.events()
        )
        demand(count <= told + 1, "one expiry was told twice: by the dead worker and by the next")
        told = count
        _ended(world)


@scenario("CRASH-007", Hook.AUDIT, EXTENDS, *SETTLES)
def test_what_was_done_is_told_and_nothing_else(world: ScenarioContext) -> None:
    seen = 0

    def told(action: Action, *, was_done: bool) -> None:
        fresh = [event.action for event in world.events()[seen:]]
        times, others = fresh.count(action), sum(each in BY_OTHERS for each in fresh)
        demand(times <= int(was_done), f"{action.value} is told {times} times, once too often")
        demand(not was_done or bool(times + others), f"nobody tells that it was {action.value}")

    def ready(prepare: Callable[[], object]) -> Callable[[], None]:
        def prepared() -> None:
            nonlocal seen
            prepare()
            seen = len(world.events())

        return prepared

    for _ in _deaths(world, ready(_nothing), lambda: world.start(world.alice, world.first)):
        settle(world, STATE_SETTLING_SECONDS)
        runs = world.status(world.alice, world.first) is not None
        told(Action.STARTED, was_done=runs)
        _ended(world)
    _ended(world)
    half_way = ready(lambda: _half_way(world))
    for _ in _deaths(world, half_way, lambda: world.extend(world.alice, world.first)):
        settle(world, STATE_SETTLING_SECONDS)
        count = live(world, world.alice, world.first)["extension_count"]
        told(Action.EXTENDED, was_done=bool(count))
        _ended(world)
    _ended(world)
    running = ready(lambda: started(world, world.alice, world.first))
    for _ in _deaths(world, running, lambda: world.stop(world.alice, world.first)):
        settle(world, STATE_SETTLING_SECONDS)
        ended = world.status(world.alice, world.first) is None
        told(Action.STOPPED, was_done=ended)
        _ended(world)


@scenario("CRASH-008", *SETTLES)
def test_a_death_touches_nobody_else(world: ScenarioContext) -> None:
    def beside() -> InstanceStatus:
        return started(world, world.bob, world.first)

    for his in _deaths(world, beside, lambda: world.start(world.alice, world.first)):
        settle(world, STATE_SETTLING_SECONDS)
        untouched(world, world.bob, world.first, his)
        _ended(world)


@scenario("CRASH-009", LAPSES, *SETTLES)
def test_an_account_whose_start_died_is_not_kept_waiting(world: ScenarioContext) -> None:
    lapse = world.capabilities.lapse_seconds
    demand(lapse <= LONGEST_LAPSE, f"it declares {lapse} s, which is too long for a player")
    for _ in _deaths(world, _nothing, lambda: world.start(world.alice, world.first)):
        world.advance(lapse + 1)
        result = world.start(world.alice, world.first)
        demand(result.ok, f"still refused after {lapse} s: {result.message} ({result.code.value})")
        untouched(world, world.alice, world.first, cast(InstanceStatus, result.instance))
        _ended(world)


@scenario(
    "CRASH-010",
    *(*SETTLES, Hook.WARM_POOL, Hook.CAPACITY),
    options=Options(warm=1, capacity=2),
)
def test_the_dead_hold_no_place_of_the_pool(world: ScenarioContext) -> None:
    warm = world.challenges.warm
    assert warm is not None, "a harness with a warm pool names the challenge it is for"
    start = partial(world.start, world.alice, warm)
    for prepare, work in ((world.run_worker, start), (start, world.run_worker)):
        for _ in _deaths(world, prepare, work):
            settle(world, STATE_SETTLING_SECONDS)
            world.stop(world.alice, warm)
            for player in (world.alice, world.bob):
                result = world.start(player, warm)
                demand(result.ok, f"a place is lost by a death: {result.message}")
            demand(len(world.running()) <= 2, "more containers run than the system has places")
            _ended(world)


def _nothing() -> None:
    """The account has nothing before."""


def _half_way(world: ScenarioContext) -> InstanceStatus:
    """An instance of which half its life has gone by, so that any extend gives it time."""
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    return live(world, world.alice, world.first)


def _ended(world: ScenarioContext) -> None:
    """All that lives is over, and the worker has run."""
    world.advance(2 * world.capabilities.timeout_seconds)
    world.run_worker()


def _deaths(
    world: ScenarioContext, prepare: Callable[[], _T], work: Callable[[], object]
) -> Iterator[_T]:
    """Let a process die at the first boundary of its work, then at the second, and so on.

    Gives what ``prepare``, which goes before each, has returned; the caller sees to it that
    afterwards all is as it was. Ends with the work done and nobody dead.
    """
    for boundary in range(MOST_BOUNDARIES):
        prepared = prepare()
        if not world.dies(boundary, work):
            if not boundary:
                raise HarnessFault("nothing died: the work came to no boundary")
            return
        yield prepared
    raise HarnessFault(f"the work is not done after {MOST_BOUNDARIES} boundaries")
