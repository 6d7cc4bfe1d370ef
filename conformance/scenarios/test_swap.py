"""SWAP: the backend is swapped for another one, and back, while instances live."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from conformance.harness import FaultKind, Hook, Lockout, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXITS_AT_ONCE, EXTENDS, FLAG_GRACE, ONE_AT_A_TIME, scenario
from conformance.spec.steps import (
    IDENTITY,
    OWN_START_CODES,
    STATE_SETTLING_SECONDS,
    demand,
    done,
    expiry,
    gone,
    live,
    refused,
    repeated,
    same,
    says_when,
    settle,
    started,
    together,
    untouched,
)
from conformance.spec.swap import Fallback, fallback, swap
from engines.contract import Code, StartResult
from engines.errors import BackendUnavailable

MOST_CHANGES = 6
"""More than a start needs until what it made is recorded."""
LONG = 3600.0
"""Seconds: longer than any start belongs to who began it."""
CALLS = 4
"""Starts at one moment, on either side of the swap."""


@scenario("SWAP-001")
def test_what_was_started_before_a_swap_is_found(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        untouched(world, world.alice, world.first, before)


@scenario("SWAP-002", EXTENDS)
def test_what_was_started_before_a_swap_is_extended(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        done(world.extend(world.alice, world.first))
        after = live(world, world.alice, world.first)
        same(before, after, IDENTITY)
        assert after["extension_count"] == 1, f"{after['extension_count']} extensions are counted"
        assert expiry(after) >= expiry(before), "the extend after the swap took time away"


@scenario("SWAP-003", Hook.GROUND_TRUTH)
def test_what_was_started_before_a_swap_is_stopped(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        swapped.away()
        done(world.stop(world.alice, world.first))
        gone(world, world.alice, world.first)
        assert not world.running(), "a container runs after its stop on the far side of a swap"


@scenario("SWAP-004", Hook.GROUND_TRUTH)
def test_a_second_start_after_a_swap_makes_no_second(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        same(before, repeated(world, world.alice, world.first))
        assert world.running() == {before["container_id"]}
        assert not swapped.running_elsewhere(), "a second instance was started elsewhere"


@scenario("SWAP-005", Hook.GROUND_TRUTH)
def test_a_new_start_after_a_swap_goes_elsewhere(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        hers = started(world, world.alice, world.first)
        swapped.away()
        his = started(world, world.bob, world.first)
        untouched(world, world.bob, world.first, his)
        assert world.running() == {hers["container_id"]}, "a new start went to the old backend"
        assert swapped.running_elsewhere() == {his["container_id"]}


@scenario("SWAP-006", ONE_AT_A_TIME)
def test_the_limit_holds_across_a_swap(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        refused(world.start(world.alice, world.second), Code.LIMIT_REACHED)
        untouched(world, world.alice, world.first, before)
        assert not swapped.running_elsewhere(), "the limit was passed by way of a swap"


@scenario("SWAP-007")
def test_both_are_found_after_a_swap_and_back(world: ScenarioContext) -> None:
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
def test_a_start_after_the_stop_goes_elsewhere(world: ScenarioContext) -> None:
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
def test_parallel_starts_at_a_swap_make_one(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        start: Callable[[], StartResult | None] = partial(world.start, world.alice, world.first)
        one_is_told = threading.Event()

        def before() -> StartResult | None:
            try:
                return start()
            finally:
                one_is_told.set()

        def away() -> None:
            one_is_told.wait()  # so that something was started before the swap
            swapped.away()

        at_the_swap = [*[before] * CALLS, away, *[start] * CALLS]
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
def test_nothing_starts_elsewhere_while_the_owner_is_out_of_reach(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        before = started(world, world.alice, world.first)
        swapped.away()
        with world.outage():
            refused(world.start(world.alice, world.first), Code.UNAVAILABLE)
            with world.backend.expects(BackendUnavailable, "SWAP-010"):
                world.status(world.alice, world.first)
        assert not swapped.running_elsewhere(), "an instance was doubled in an outage"
        untouched(world, world.alice, world.first, before)


@scenario("SWAP-011", Hook.OUTAGE, Hook.GROUND_TRUTH)
def test_while_the_new_one_is_down_starts_go_to_the_other(world: ScenarioContext) -> None:
    with fallback(world) as front:
        with world.outage():
            result = world.start(world.alice, world.first)
        if not result.ok:
            refused(result, Code.UNAVAILABLE)
            demand(not result.definite, "a start is refused that could have gone elsewhere")
            return
        told = {result.instance["container_id"]}
        assert front.running_elsewhere() == told, "a start told of another container"
        assert not world.running(), "a start went to a backend that was out of reach"
        same(repeated(world, world.alice, world.first), live(world, world.alice, world.first))
        assert front.running_elsewhere() == told
        done(world.stop(world.alice, world.first))
        started(world, world.alice, world.first)
        assert not front.running_elsewhere(), "the new backend is back, and nothing starts there"


@scenario("SWAP-012", Hook.CAPACITY, Hook.GROUND_TRUTH, options=Options(capacity=1))
def test_a_start_that_finds_no_room_goes_nowhere_else(world: ScenarioContext) -> None:
    with fallback(world) as front:
        hers = started(world, world.alice, world.first)
        refusals = [world.start(player, world.first) for player in (world.bob, world.carol)]
        demand(len(refusals) >= front.failures, "more refusals are needed to open a breaker")
        for result in refusals:
            refused(result, Code.CAPACITY)
        assert not front.running_elsewhere(), "a start that found no room went elsewhere"
        untouched(world, world.alice, world.first, hers)
        done(world.stop(world.alice, world.first))
        again = started(world, world.alice, world.first)
        assert world.running() == {again["container_id"]}, "what is full is taken for broken"


@scenario("SWAP-013", ONE_AT_A_TIME, Hook.GROUND_TRUTH)
def test_a_start_beyond_the_limit_goes_nowhere_else(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.second)  # past the front, which counts too
    with fallback(world) as front:
        refused(world.start(world.alice, world.first), Code.LIMIT_REACHED)
        assert not front.running_elsewhere(), "a start beyond the limit went elsewhere"
        assert world.running() == {before["container_id"]}


@scenario("SWAP-014", FaultKind.LOST_ANSWER, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_start_that_may_have_come_to_something_goes_nowhere_else(world: ScenarioContext) -> None:
    with fallback(world) as front:
        with world.fault(FaultKind.LOST_ANSWER):
            for _ in range(2):
                world.start(world.alice, world.first)
                if world.running():
                    elsewhere = front.running_elsewhere()
                    demand(not elsewhere, "a start of which something runs went elsewhere too")
        settle(world)
        front.time_goes_by(LONG)
        result = world.start(world.alice, world.first)
        demand(result.ok, f"no start works afterwards: {result.message} ({result.code.value})")
        running = world.running() | front.running_elsewhere()
        assert running == {result.instance["container_id"]}, "a start was done twice"
        assert running == {live(world, world.alice, world.first)["container_id"]}


@scenario("SWAP-015", Hook.OUTAGE, Hook.GROUND_TRUTH)
def test_what_fails_again_and_again_is_left_alone_for_a_while(world: ScenarioContext) -> None:
    with fallback(world) as front:
        front.time_goes_by(2 * front.seconds)
        with world.outage():
            demand(_asks(world, front), "it is left alone before it has failed at all")
        demand(_asks(world, front), "it has failed once, and is left alone")
        with world.outage():  # what it failed before it last answered does not count
            for _ in range(front.failures):
                demand(_asks(world, front), "it is left alone before it has failed so often")
            demand(not _asks(world, front), "it is asked on and on although it fails")
            front.time_goes_by(front.seconds + 1)
            beside: list[int] = []

            def another() -> None:
                before = front.asked
                world.start(world.bob, world.first)
                beside.append(front.asked - before)

            front.meanwhile = another
            demand(_asks(world, front), "after the pause nobody finds out whether it is back")
            demand(beside == [0], "more than one start at a time finds out whether it is back")
            demand(not _asks(world, front), "it was asked once, did not answer, and is asked on")
        front.time_goes_by(front.seconds + 1)
        for _ in range(2):
            demand(_asks(world, front), "it is back, and starts are not sent there")
        hers = started(world, world.alice, world.first)
        assert world.running() == {hers["container_id"]}


@scenario("SWAP-016")
def test_what_is_last_known_is_asked_of_who_has_it(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        hers = started(world, world.alice, world.first)
        known = world.last_known(world.alice, world.first)
        swapped.away()
        his = started(world, world.bob, world.first)
        told = world.last_known(world.bob, world.first)
        if told is None:
            raise AssertionError("what runs on the other backend is on record, and not told of")
        same(his, told)
        later = world.last_known(world.alice, world.first)
        demand((known is None) is (later is None), "a swap changes what is on record")
        if later is not None:
            same(hers, later)


@scenario("SWAP-017", Hook.STATE_FULL, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_start_that_may_have_come_to_something_stays_where_it_was(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        for room in range(MOST_CHANGES):
            with world.state_full(room):
                first = world.start(world.alice, world.first)
                swapped.away()
                world.start(world.alice, world.first)
                elsewhere = swapped.running_elsewhere()
                demand(
                    not (world.running() and elsewhere),
                    "a start of which it is not known what became is done elsewhere too",
                )
            settle(world, STATE_SETTLING_SECONDS)
            result = world.start(world.alice, world.first)
            demand(result.ok, f"no start works afterwards: {result.message} ({result.code.value})")
            running = world.running() | swapped.running_elsewhere()
            assert running == {result.instance["container_id"]}, "a start was done twice"
            done(world.stop(world.alice, world.first))
            swapped.back()
            if first.ok:
                return


@scenario("SWAP-018", Hook.START_RATE, options=Options(start_limit=1))
def test_a_start_beyond_the_rate_goes_nowhere_else(world: ScenarioContext) -> None:
    with fallback(world) as front:
        started(world, world.alice, world.first)
        done(world.stop(world.alice, world.first))
        refused(world.start(world.alice, world.first), Code.RATE_LIMITED)
        assert not front.running_elsewhere(), "a start beyond the rate went elsewhere"


@scenario("SWAP-019", EXITS_AT_ONCE)
def test_a_start_that_failed_by_itself_goes_nowhere_else(world: ScenarioContext) -> None:
    with fallback(world) as front:
        result = world.start(world.alice, world.challenges.exits_at_once or 0)
        elsewhere = front.running_elsewhere()
        demand(not elsewhere, "a start whose container failed was done once more elsewhere")
        demand(not result.ok, "a container that exits at once was started")
        code = result.code
        demand(code in OWN_START_CODES, f"a container that exits at once is {code.value}")


@scenario("SWAP-020", Hook.RECORDED_FLAG, FLAG_GRACE)
def test_a_flag_from_before_a_swap_counts_on(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        taken = world.recorded_flag(world.alice, world.first)
        done(world.stop(world.alice, world.first))
        before = taken in swapped.counted(world.alice, world.first)  # not where Whale keeps flags
        swapped.away()
        started(world, world.alice, world.first)
        after = taken in swapped.counted(world.alice, world.first)
        demand(after is before, "a swap has made a flag wrong whose grace time is not over")


@scenario("SWAP-021", Hook.OUTAGE)
def test_what_may_be_at_home_starts_nowhere_else(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)  # past the front, which has no route of it
    with swap(world) as swapped:
        swapped.away()
        with world.outage():
            refused(world.start(world.alice, world.first), Code.UNAVAILABLE)
            assert not swapped.running_elsewhere(), "an instance was doubled in an outage"
        same(before, repeated(world, world.alice, world.first))
        assert not swapped.running_elsewhere(), "an instance from before the front was doubled"


@scenario("SWAP-022", Hook.OUTAGE, ONE_AT_A_TIME)
def test_what_is_out_of_reach_counts_for_the_limit(world: ScenarioContext) -> None:
    with fallback(world) as front:
        before = started(world, world.alice, world.first)
        with world.outage():
            result = world.start(world.alice, world.second)
        demand(not result.ok, "an account has more than its limit by way of an outage")
        assert not front.running_elsewhere(), "the limit was passed by way of an outage"
        untouched(world, world.alice, world.first, before)


@scenario("SWAP-023")
def test_the_worker_goes_on_where_something_is_left(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        swapped.away()
        swapped.run_worker()
        assert swapped.rounds, "nothing is removed from the old backend any more"


@scenario("SWAP-024", Hook.OUTAGE)
def test_one_out_of_reach_keeps_no_other_from_its_round(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        swapped.away()
        swapped.kill_elsewhere(started(world, world.bob, world.first)["container_id"])
        with world.outage():
            swapped.run_worker()
        assert not swapped.holds_elsewhere(), "the other backend's round was left out"


@scenario("SWAP-025", FaultKind.GIVEN_UP, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_start_that_is_carried_out_late_is_done_nowhere_else(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        with world.fault(FaultKind.GIVEN_UP):
            world.start(world.alice, world.first)
            swapped.away()
            for _ in range(2):
                world.start(world.alice, world.first)
        demand(
            not (world.running() and swapped.running_elsewhere()),
            "a start that was carried out late was done elsewhere meanwhile",
        )
        settle(world)
        result = world.start(world.alice, world.first)
        demand(result.ok, f"no start works afterwards: {result.message} ({result.code.value})")


@scenario("SWAP-030", FaultKind.LOST_ANSWER, Hook.OUTAGE, Hook.GROUND_TRUTH)
def test_an_unknown_start_is_done_nowhere_else_however_often(world: ScenarioContext) -> None:
    with fallback(world) as front:
        with world.fault(FaultKind.LOST_ANSWER):
            world.start(world.alice, world.first)
        with world.outage():
            for _ in range(front.failures + 2):
                world.start(world.alice, world.first)
                demand(
                    not front.running_elsewhere(),
                    "a start of which it is not known what became was done elsewhere",
                )


@scenario("SWAP-031", Hook.OUTAGE, Hook.ACCESS)
def test_who_is_not_let_in_does_not_tell_that_it_is_back(world: ScenarioContext) -> None:
    with fallback(world) as front, world.outage():
        for _ in range(front.failures):
            demand(_asks(world, front), "it is left alone before it has failed so often")
        front.time_goes_by(front.seconds + 1)
        with world.locked_out(world.bob, Lockout.NO_ACCESS):
            demand(not world.start(world.bob, world.first).ok, "who is not let in has started")
        _asks(world, front)  # finds out that it is not back, if nobody has yet
        demand(not _asks(world, front), "it is asked on and on although it fails")


@scenario("SWAP-026", Hook.CAPACITY, Hook.GROUND_TRUTH, options=Options(capacity=1))
def test_what_is_full_is_back(world: ScenarioContext) -> None:
    hers = started(world, world.alice, world.first)  # past the front, which has no route of it
    players = (world.bob, world.carol)
    with fallback(world) as front:
        demand(len(players) >= front.failures, "more failures are needed to open a breaker")
        with front.cut_off():
            for player in players:
                demand(not world.start(player, world.first).ok, "a start without an answer is done")
        front.time_goes_by(front.seconds + 1)
        for player in players:
            before = front.asked
            refused(world.start(player, world.first), Code.CAPACITY)
            demand(front.asked > before, "it has answered, and starts are not sent there")
        assert not front.running_elsewhere(), "a start that found no room went elsewhere"
        assert world.running() == {hers["container_id"]}


@scenario("SWAP-027")
def test_the_recorded_flag_is_asked_of_who_has_the_instance(world: ScenarioContext) -> None:
    with swap(world) as swapped:
        started(world, world.alice, world.first)
        hers, _ = swapped.recorded(world.alice, world.first)
        swapped.away()
        started(world, world.bob, world.first)
        his, elsewhere = swapped.recorded(world.bob, world.first)
        demand(his is not None, "no flag is recorded for what runs on the other backend")
        demand(his == elsewhere, "another flag is compared with than the other backend's")
        for turn in (swapped.back, swapped.away):
            turn()
            later, _ = swapped.recorded(world.alice, world.first)
            demand(later == hers, "a swap has changed the flag that is compared with")
            later, _ = swapped.recorded(world.bob, world.first)
            demand(later == his, "a swap has changed the flag that is compared with")


@scenario("SWAP-028")
def test_what_cannot_be_asked_keeps_what_it_has(world: ScenarioContext) -> None:
    with fallback(world) as front:
        before = started(world, world.alice, world.first)
        with front.cut_off():
            for _ in range(2):
                refused(world.stop(world.alice, world.first), Code.UNAVAILABLE)
                with world.backend.expects(BackendUnavailable, "SWAP-028"):
                    world.status(world.alice, world.first)
            result = world.start(world.alice, world.first)
            demand(not result.ok, "a start is granted while nobody knows what runs")
        assert not front.running_elsewhere(), "an instance was doubled in an outage"
        untouched(world, world.alice, world.first, before)
        same(before, repeated(world, world.alice, world.first))
        done(world.stop(world.alice, world.first))
        gone(world, world.alice, world.first)


@scenario("SWAP-029", ONE_AT_A_TIME)
def test_what_is_not_known_is_not_told_as_running(world: ScenarioContext) -> None:
    with fallback(world) as front:
        with front.cut_off():
            result = world.start(world.alice, world.first)
            demand(not result.ok and not result.definite, "a start without an answer is certain")
            result = world.start(world.alice, world.second)
            refused(result, Code.BUSY)
            says_when(result)
            assert not front.running_elsewhere(), "the limit was passed by way of an outage"
        started(world, world.alice, world.second)


def _asks(world: ScenarioContext, front: Fallback) -> bool:
    """Whether a start asks the new backend; it must succeed on one of the two."""
    before = front.asked
    result = world.start(world.carol, world.first)
    demand(result.ok, f"a start found no backend: {result.message} ({result.code.value})")
    asked = front.asked - before
    done(world.stop(world.carol, world.first))
    return asked > 0
