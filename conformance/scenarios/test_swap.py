"""SWAP: the backend is swapped for another one, and back, while instances live."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from conformance.harness import Hook
from conformance.scenario import EXTENDS, ONE_AT_A_TIME, scenario
from conformance.stage import Stage
from conformance.steps import (
    IDENTITY,
    demand,
    done,
    expiry,
    gone,
    live,
    refused,
    repeated,
    same,
    started,
    together,
    untouched,
)
from conformance.swap import swap
from engines.contract import Code, StartResult
from engines.errors import BackendUnavailable

CALLS = 4
"""Starts at one moment, on either side of the swap."""


@scenario("SWAP-001")
def test_what_was_started_before_a_swap_is_found(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        untouched(world, world.alice, world.first, before)


@scenario("SWAP-002", EXTENDS)
def test_what_was_started_before_a_swap_is_extended(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        done(world.extend(world.alice, world.first))
        after = live(world, world.alice, world.first)
        same(before, after, IDENTITY)
        assert after["extension_count"] == 1, f"{after['extension_count']} extensions are counted"
        assert expiry(after) >= expiry(before), "the extend after the swap took time away"


@scenario("SWAP-003", Hook.GROUND_TRUTH)
def test_what_was_started_before_a_swap_is_stopped(world: Stage) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        swapped.away()
        done(world.stop(world.alice, world.first))
        gone(world, world.alice, world.first)
        assert not world.running(), "a container runs after its stop on the far side of a swap"


@scenario("SWAP-004", Hook.GROUND_TRUTH)
def test_a_second_start_after_a_swap_makes_no_second(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        same(before, repeated(world, world.alice, world.first))
        assert world.running() == {before["container_id"]}
        assert not swapped.running_elsewhere(), "a second instance was started elsewhere"


@scenario("SWAP-005", Hook.GROUND_TRUTH)
def test_a_new_start_after_a_swap_goes_elsewhere(world: Stage) -> None:
    with swap(world) as swapped:
        hers = started(world, world.alice, world.first)
        swapped.away()
        his = started(world, world.bob, world.first)
        untouched(world, world.bob, world.first, his)
        assert world.running() == {hers["container_id"]}, "a new start went to the old backend"
        assert swapped.running_elsewhere() == {his["container_id"]}


@scenario("SWAP-006", ONE_AT_A_TIME)
def test_the_limit_holds_across_a_swap(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        refused(world.start(world.alice, world.second), Code.LIMIT_REACHED)
        untouched(world, world.alice, world.first, before)
        assert not swapped.running_elsewhere(), "the limit was passed by way of a swap"


@scenario("SWAP-007")
def test_both_are_found_after_a_swap_and_back(world: Stage) -> None:
    with swap(world) as swapped:
        hers = started(world, world.alice, world.first)
        swapped.away()
        his = started(world, world.bob, world.first)
        swapped.back()
        untouched(world, world.alice, world.first, hers)
        untouched(world, world.bob, world.first, his)
        same(his, repeated(world, world.bob, world.first))
        started(world, world.carol, world.first)
        assert swapped.running_elsewhere() == {his["container_id"]}


@scenario("SWAP-008", Hook.GROUND_TRUTH)
def test_a_start_after_the_stop_goes_elsewhere(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        done(world.stop(world.alice, world.first))
        after = started(world, world.alice, world.first)
        assert after["container_id"] != before["container_id"]
        assert not world.running(), "the old backend still runs something"
        assert swapped.running_elsewhere() == {after["container_id"]}
        done(world.stop(world.alice, world.first))
        swapped.back()
        again = started(world, world.alice, world.first)
        assert world.running() == {again["container_id"]}
        assert not swapped.running_elsewhere()


@scenario("SWAP-009", Hook.GROUND_TRUTH)
def test_parallel_starts_at_a_swap_make_one(world: Stage) -> None:
    with swap(world) as swapped:
        start: Callable[[], StartResult | None] = partial(world.start, world.alice, world.first)
        at_the_swap = [*[start] * CALLS, swapped.away, *[start] * CALLS]
        told = [*together(at_the_swap), *together([start] * CALLS)]
        containers = set()
        for result in told:
            if result is not None and result.ok:
                containers.add(result.instance["container_id"])
            elif result is not None:
                refused(result, Code.BUSY)
        running = world.running() | swapped.running_elsewhere()
        demand(len(running) == 1, f"{len(running)} containers after starts at a swap")
        assert containers == running, "a start told of a container that is not there"
        assert running == {live(world, world.alice, world.first)["container_id"]}


@scenario("SWAP-010", Hook.OUTAGE)
def test_nothing_starts_elsewhere_while_the_owner_is_out_of_reach(world: Stage) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        with world.outage():
            refused(world.start(world.alice, world.first), Code.UNAVAILABLE)
            with world.backend.expects(BackendUnavailable, "SWAP-010"):
                world.status(world.alice, world.first)
        assert not swapped.running_elsewhere(), "an instance was doubled in an outage"
        untouched(world, world.alice, world.first, before)
