"""FAULT: what the backend stands on goes wrong; it says so, forgets nothing and leaks nothing."""

from __future__ import annotations

import time
from typing import cast

from conformance.harness import FaultKind, Hook, Options
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    EXITS_AT_ONCE,
    EXTENDS,
    FEW_EXTENSIONS,
    READY_ON_START,
    scenario,
)
from conformance.spec.steps import (
    AGAIN_SECONDS,
    MOST_EXTENDS,
    OWN_START_CODES,
    WAITING_CODES,
    Outcome,
    agree,
    demand,
    done,
    events_of,
    expiry,
    gone,
    hanging,
    let_expire,
    live,
    only_event,
    refused,
    repeated,
    same,
    says_when,
    settle,
    started,
    told,
    untouched,
)
from engines.audit import Action
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable

FUZZED_ROUNDS, CALLS_PER_ROUND = 12, 3
LOOKS_AT_ONCE = 8
MOVED_SECONDS = 600
KINDS_OF_REDIRECT = 5
"""So that any extend moves the expiry."""
NOT_DONE = (FaultKind.UNREACHABLE, FaultKind.REFUSES_WRITES, FaultKind.LOST_REQUEST)
SETTLES = (Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)


@scenario("FAULT-001", FaultKind.UNREACHABLE)
def test_nothing_gets_through_and_every_call_says_so(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    results: list[StartResult | ActionResult] = []
    with world.fault(FaultKind.UNREACHABLE):
        results.append(world.start(world.bob, world.first))
        results.append(world.extend(world.alice, world.first))
        results.append(world.stop(world.alice, world.first))
    for result in results:
        refused(result, Code.UNAVAILABLE)
        says_when(result)


@scenario("FAULT-002", FaultKind.UNREACHABLE, *SETTLES)
def test_a_stop_that_did_not_get_through_forgets_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.UNREACHABLE):
        refused(world.stop(world.alice, world.first), Code.UNAVAILABLE)
    untouched(world, world.alice, world.first, instance)
    _settled_and_stopped(world, instance)


@scenario("FAULT-003", FaultKind.REFUSES_WRITES, *SETTLES)
def test_a_refused_start_leaves_nothing(world: ScenarioContext) -> None:
    with world.fault(FaultKind.REFUSES_WRITES):
        _failed_start(world)
    gone(world, world.alice, world.first)
    demand(not world.running(), "a container is left of a start that was refused")
    _settled_and_started(world, anew=True)


@scenario("FAULT-004", FaultKind.REFUSES_WRITES, EXTENDS, *SETTLES)
def test_a_refused_extend_counts_only_when_granted(world: ScenarioContext) -> None:
    instance = _half_way(world)
    with world.fault(FaultKind.REFUSES_WRITES):
        result = world.extend(world.alice, world.first)
    says_when(result)
    settle(world)
    after = live(world, world.alice, world.first)
    assert after["extension_count"] == int(result.ok), "an extend and its count disagree"
    if not result.ok:
        same(instance, after)


@scenario("FAULT-005", FaultKind.REFUSES_WRITES, *SETTLES)
def test_a_refused_stop_forgets_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.REFUSES_WRITES):
        _failed(world.stop(world.alice, world.first))
    untouched(world, world.alice, world.first, instance)
    _settled_and_stopped(world, instance)


@scenario("FAULT-006", FaultKind.REFUSES_WRITES)
def test_looking_works_while_writes_are_refused(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.REFUSES_WRITES):
        untouched(world, world.alice, world.first, instance)
        gone(world, world.bob, world.first)


@scenario("FAULT-007", FaultKind.LOST_ANSWER, *SETTLES)
def test_a_start_whose_answer_was_lost_is_not_doubled(world: ScenarioContext) -> None:
    with world.fault(FaultKind.LOST_ANSWER):
        _truly_started(world, world.start(world.alice, world.first))
    again = world.start(world.alice, world.first)
    says_when(again)
    running = world.running()
    demand(len(running) <= 1, f"{len(running)} containers run for one start that was repeated")
    _truly_started(world, again)
    _settled_and_started(world)


@scenario("FAULT-008", FaultKind.LOST_ANSWER, *SETTLES)
def test_a_start_whose_answer_was_lost_leaks_nothing(world: ScenarioContext) -> None:
    with world.fault(FaultKind.LOST_ANSWER):
        world.start(world.alice, world.first)
    settle(world)
    agree(world, world.alice)
    _started_or_found(world)


@scenario("FAULT-009", FaultKind.LOST_ANSWER, EXTENDS, *SETTLES)
def test_an_extend_whose_answer_was_lost_takes_no_time(world: ScenarioContext) -> None:
    before = _half_way(world)
    with world.fault(FaultKind.LOST_ANSWER):
        result = world.extend(world.alice, world.first)
    says_when(result)
    settle(world)
    after = live(world, world.alice, world.first)
    assert expiry(after) >= expiry(before), "an extend took time away"
    same(before, after, ("container_id", "host", "ports", "started_at"))
    if result.ok:
        assert after["extension_count"] == 1, "an extend was granted, but not counted"
        assert expiry(after) > expiry(before), "an extend was granted, but gave no time"
        for _ in range(1, min(world.capabilities.max_extensions, MOST_EXTENDS)):
            done(world.extend(world.alice, world.first))


@scenario("FAULT-010", FaultKind.LOST_ANSWER, *SETTLES)
def test_a_stop_whose_answer_was_lost_leaves_what_status_tells(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.LOST_ANSWER):
        _truly_stopped(world, instance, world.stop(world.alice, world.first))
    _settled_and_started(world)


@scenario("FAULT-011", FaultKind.LOST_REQUEST, *SETTLES)
def test_a_start_whose_request_was_lost_leaves_nothing(world: ScenarioContext) -> None:
    with world.fault(FaultKind.LOST_REQUEST):
        _failed_start(world)
    gone(world, world.alice, world.first)
    demand(not world.running(), "a container is left of a start that was lost")
    _settled_and_started(world, anew=True)


@scenario("FAULT-012", FaultKind.LOST_REQUEST, *SETTLES)
def test_a_stop_whose_request_was_lost_forgets_nothing(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.LOST_REQUEST):
        _failed(world.stop(world.alice, world.first))
    untouched(world, world.alice, world.first, instance)
    _settled_and_stopped(world, instance)


@scenario("FAULT-013", FaultKind.GARBAGE, *SETTLES)
def test_a_start_answered_by_garbage_is_no_start(world: ScenarioContext) -> None:
    with world.fault(FaultKind.GARBAGE):
        _truly_started(world, world.start(world.alice, world.first))
    _settled_and_started(world)


@scenario("FAULT-014", FaultKind.GARBAGE, *SETTLES)
def test_garbage_is_neither_a_stop_nor_a_status(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.fault(FaultKind.GARBAGE):
        with world.backend.expects(BackendUnavailable, "STATUS-015"):
            world.status(world.alice, world.first)
        _truly_stopped(world, instance, world.stop(world.alice, world.first))
    _settled_and_started(world)


@scenario("FAULT-015", Hook.FAULTS, *SETTLES)
def test_a_fault_in_ones_calls_touches_nobody_else(world: ScenarioContext) -> None:
    his = started(world, world.bob, world.first)
    for kind in _that_answer(world):
        with world.fault(kind):
            world.start(world.alice, world.first)
            world.stop(world.alice, world.first)
        settle(world)
        untouched(world, world.bob, world.first, his)
    done(world.stop(world.bob, world.first))
    agree(world, world.alice, world.bob)


@scenario("FAULT-016", Hook.FAULTS)
def test_a_refusal_that_will_not_last_says_so(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    for kind in _that_answer(world):
        with world.fault(kind):
            says_when(world.start(world.bob, world.first))
            says_when(world.extend(world.alice, world.first))
            says_when(world.stop(world.alice, world.first))


@scenario("FAULT-017", FaultKind.REFUSES_WRITES, Hook.AUDIT, *SETTLES)
def test_the_worker_comes_back_to_what_it_could_not_remove(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    with world.fault(FaultKind.REFUSES_WRITES):
        world.run_worker()
        gone(world, world.alice, world.first)
        assert not events_of(world, Action.EXPIRED) or not world.running(), "told, but not done"
    settle(world)
    assert not world.running(), "the worker gave up a container that it could not remove once"
    only_event(world, Action.EXPIRED)


@scenario("FAULT-018", FaultKind.FUZZED, *SETTLES)
def test_no_answer_gets_through_that_makes_no_sense(world: ScenarioContext) -> None:
    for _ in range(FUZZED_ROUNDS):
        with world.fault(FaultKind.FUZZED):
            for _ in range(CALLS_PER_ROUND):
                says_when(world.start(world.alice, world.first))
                with world.backend.allows(BackendUnavailable):
                    world.status(world.alice, world.first)
                says_when(world.extend(world.alice, world.first))
                world.run_worker()
                says_when(world.stop(world.alice, world.first))
        says_when(world.start(world.alice, world.first))
        _settled_and_started(world)
        done(world.stop(world.alice, world.first))
        demand(not world.running(), "something runs after a stop that succeeded")


@scenario("FAULT-019", FaultKind.HANGS)
def test_a_status_comes_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with hanging(world, lambda: _told(world)) as in_time:
        (outcome,) = in_time(lambda: world.status(world.alice, world.first))
        demand(outcome is not None, "status says None of an instance that nobody could be asked of")
        if not isinstance(outcome, BackendUnavailable):
            same(instance, cast(InstanceStatus, outcome))
    untouched(world, world.alice, world.first, instance)


@scenario("FAULT-020", FaultKind.HANGS)
def test_an_extend_comes_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with hanging(world, lambda: _told(world)) as in_time:
        _unavailable(in_time(lambda: world.extend(world.alice, world.first)))
    untouched(world, world.alice, world.first, instance)


@scenario("FAULT-021", FaultKind.HANGS, *SETTLES)
def test_a_start_comes_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    with hanging(world, lambda: world.try_worker() and _told(world)) as in_time:
        _unavailable(in_time(lambda: world.start(world.alice, world.first)))
    _settled_in_time(world)
    _settled_and_started(world)


@scenario("FAULT-022", FaultKind.HANGS, *SETTLES)
def test_a_stop_comes_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    with hanging(world, lambda: world.try_worker() and _told(world)) as in_time:
        _unavailable(in_time(lambda: world.stop(world.alice, world.first)))
    _settled_in_time(world)
    _settled_and_started(world)


@scenario("FAULT-023", FaultKind.HANGS, Hook.AUDIT, *SETTLES)
def test_a_round_of_the_worker_comes_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    with hanging(world, lambda: world.try_worker() and _told(world)) as in_time:
        in_time(world.try_worker)
    _settled_in_time(world)
    demand(not world.running(), "the worker did not come back to what it could not remove")
    only_event(world, Action.EXPIRED)


@scenario("FAULT-024", FaultKind.HANGS)
def test_calls_at_one_moment_come_back_while_nothing_is_answered(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)

    def look() -> InstanceStatus | None:
        return world.status(world.alice, world.first)

    with hanging(world, lambda: _told(world)) as in_time:
        looks = in_time(*[look] * LOOKS_AT_ONCE)
        demand(None not in looks, "status says None of an instance that nobody could be asked of")
    untouched(world, world.alice, world.first, instance)


def _settled_in_time(world: ScenarioContext) -> None:
    """Rounds of the worker until nothing is left over, for as long as a call may take: of two
    backends behind one, one may notice later than the other that it is answered again."""
    until = time.monotonic() + world.answers_within
    settle(world)
    while _left_over(world) and time.monotonic() < until:
        time.sleep(AGAIN_SECONDS)
        settle(world)


def _left_over(world: ScenarioContext) -> bool:
    """Whether something runs that status does not tell of."""
    status = world.status(world.alice, world.first)
    return bool(world.running() - ({status["container_id"]} if status is not None else set()))


def _told(world: ScenarioContext) -> bool:
    return told(world, world.alice, world.first)


def _that_answer(world: ScenarioContext) -> list[FaultKind]:
    """The kinds in which a call comes back in any case."""
    return [kind for kind in world.faults if kind is not FaultKind.HANGS]


def _unavailable(outcomes: list[Outcome]) -> None:
    """The one call must have been refused, and say when to try again."""
    (result,) = outcomes
    demand(isinstance(result, (StartResult, ActionResult)), f"the call raised {result!r}")
    refused(cast(ActionResult, result), Code.UNAVAILABLE)
    says_when(cast(ActionResult, result))


@scenario("FAULT-025", Hook.FAULTS, FEW_EXTENSIONS, *SETTLES, options=Options(max_extensions=3))
def test_extensions_are_counted_through_a_fault(world: ScenarioContext) -> None:
    for kind in _that_answer(world):
        if kind is not FaultKind.FUZZED:  # which lies
            _counted_through(world, kind)


@scenario("FAULT-026", FaultKind.BAD_GATEWAY, *SETTLES)
def test_what_something_in_front_says_is_no_answer(world: ScenarioContext) -> None:
    with world.fault(FaultKind.BAD_GATEWAY):
        first = world.start(world.alice, world.first)
        _truly_started(world, first)
        if world.running() and not first.ok:
            demand(not first.definite, "a start is told as certain to have failed, and runs")
    _truly_started(world, world.start(world.alice, world.first))
    demand(len(world.running()) <= 1, "a start that something in front answered is doubled")
    _settled_and_started(world)
    instance = live(world, world.alice, world.first)
    with world.fault(FaultKind.BAD_GATEWAY):
        _truly_stopped(world, instance, world.stop(world.alice, world.first))
    _settled_and_started(world)
    done(world.stop(world.alice, world.first))
    demand(not world.running(), "the container still runs after a stop that succeeded")


@scenario("FAULT-027", Hook.LURE)
def test_a_redirect_is_not_followed(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    with world.lured() as came:
        results = [
            world.start(world.bob, world.first),
            world.extend(world.alice, world.first),
            world.stop(world.alice, world.first),
        ]
        for _kind in range(KINDS_OF_REDIRECT):
            with world.backend.allows(BackendUnavailable):
                demand(
                    world.status(world.alice, world.first) is not None,
                    "a redirect is told as nothing running",
                )
        requests = came()
    demand(not requests, f"{len(requests)} requests went where a redirect points")
    for result in results:
        demand(not result[0], "a call that was answered with a redirect returned True")
    untouched(world, world.alice, world.first, instance)
    gone(world, world.bob, world.first)


@scenario(
    "FAULT-029",
    *(FaultKind.LOST_ANSWER, Hook.CAPACITY, Hook.GROUND_TRUTH),
    options=Options(capacity=1),
)
def test_what_may_have_started_takes_its_place(world: ScenarioContext) -> None:
    with world.fault(FaultKind.LOST_ANSWER):
        world.start(world.alice, world.first)
    world.start(world.bob, world.first)  # which may find that nothing came of hers, or clear it
    running = world.running()
    demand(len(running) <= 1, f"{len(running)} containers run where there is one place")


@scenario("FAULT-028", FaultKind.LOST_REQUEST, Hook.REPLACE_BEHIND, *SETTLES)
def test_what_took_its_place_in_a_fault_is_not_it(world: ScenarioContext) -> None:
    old = started(world, world.alice, world.first)
    with world.fault(FaultKind.LOST_REQUEST):
        _failed(world.stop(world.alice, world.first))
    world.replace_behind(world.alice, old)
    for _ in range(2):
        status = world.status(world.alice, world.first)
        shown = None if status is None else status["container_id"]
        demand(shown != old["container_id"], "status tells of the container that is gone")
        settle(world)
    result = world.start(world.alice, world.first)
    demand(result.ok, f"a start after that is refused: {result.message} ({result.code.value})")
    agree(world, world.alice)


@scenario("FAULT-030", FaultKind.GIVEN_UP, *SETTLES)
def test_a_start_that_is_carried_out_late_was_not_told_as_certain(world: ScenarioContext) -> None:
    with world.fault(FaultKind.GIVEN_UP):
        result = world.start(world.alice, world.first)
        demand(not result.ok, "a start that something in front gave up on is told as done")
    if world.running():
        demand(not result.definite, "a start that is carried out later is told as certain to fail")
    _settled_and_started(world)


@scenario("FAULT-031", *NOT_DONE, EXTENDS, *SETTLES)
def test_an_extend_that_certainly_failed_is_over(world: ScenarioContext) -> None:
    before = _half_way(world)
    for kind in NOT_DONE:
        with world.fault(kind):
            result = world.extend(world.alice, world.first)
        says_when(result)
        if not result.ok and result.definite:
            again = world.extend(world.alice, world.first)
            still = f"an extend that certainly failed ({kind.value}) is still at work"
            demand(again.code is not Code.BUSY, still)
        settle(world)
        assert expiry(live(world, world.alice, world.first)) >= expiry(before)


@scenario("FAULT-032", FaultKind.BAD_GATEWAY, EXITS_AT_ONCE, READY_ON_START, *SETTLES)
def test_what_exits_at_once_in_a_fault_is_never_live(world: ScenarioContext) -> None:
    challenge = world.challenges.exits_at_once
    assert challenge is not None
    with world.fault(FaultKind.BAD_GATEWAY):
        demand(not world.start(world.alice, challenge).ok, "a container that exits was started")
        _never_live(world, challenge)
    _never_live(world, challenge)
    settle(world)
    gone(world, world.alice, challenge)
    assert not world.running(), "a container that exited at once is left"
    started(world, world.alice, world.first)


def _never_live(world: ScenarioContext, challenge: int) -> None:
    for _ in range(2):
        with world.backend.allows(BackendUnavailable):
            gone(world, world.alice, challenge)
    known = world.last_known(world.alice, challenge)
    demand(known is None, "what never answered is told as last known")


def _counted_through(world: ScenarioContext, kind: FaultKind) -> None:
    started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    world.advance(MOVED_SECONDS)
    with world.fault(kind):
        extended = world.extend(world.alice, world.first)
        world.stop(world.alice, world.first)
    settle(world)
    status = world.status(world.alice, world.first)
    if status is None:
        return  # the stop was carried out
    count = status["extension_count"]
    least = 1 + int(extended.ok)
    demand(least <= count <= 2, f"{count} extensions are counted after {kind.value}")
    for _ in range(world.capabilities.max_extensions - count):
        done(world.extend(world.alice, world.first))
    refused(world.extend(world.alice, world.first), Code.EXTENSION_LIMIT)
    done(world.stop(world.alice, world.first))


def _half_way(world: ScenarioContext) -> InstanceStatus:
    """An instance of which half its life has gone by, so that any extend gives it time."""
    instance = started(world, world.alice, world.first)
    world.advance(instance["remaining_seconds"] // 2)
    return live(world, world.alice, world.first)


def _failed(result: StartResult | ActionResult) -> None:
    """A call that a fault kept from being done must not say True, and say when to try again."""
    demand(not result[0], "the call returned True, but nothing was done")
    known = result.code in WAITING_CODES | OWN_START_CODES
    demand(known, f"the code tells nothing of the fault: {result.code.value}")
    says_when(result)


def _failed_start(world: ScenarioContext) -> None:
    _failed(world.start(world.alice, world.first))


def _truly_started(world: ScenarioContext, result: StartResult) -> None:
    """A start in a fault may say True of exactly what runs."""
    if result.ok:
        runs = world.running()
        demand(runs == {result.instance["container_id"]}, "started was said of what does not run")
    else:
        _failed(result)


def _truly_stopped(world: ScenarioContext, instance: InstanceStatus, result: ActionResult) -> None:
    """A stop in a fault may say True when nothing runs any more."""
    if result.ok:
        demand(instance["container_id"] not in world.running(), "stopped was said of what runs")
    else:
        _failed(result)


def _settled_and_started(world: ScenarioContext, *, anew: bool = False) -> None:
    """After all has settled, rows and containers agree and a start works."""
    settle(world)
    running = agree(world, world.alice)
    if anew:
        demand(not running, "what never was started runs")
    _started_or_found(world)


def _started_or_found(world: ScenarioContext) -> None:
    """A start must work, and what it returns be all that runs."""
    before = world.status(world.alice, world.first)
    if before is None:
        found = started(world, world.alice, world.first)
    else:
        found = repeated(world, world.alice, world.first)
        same(before, found)
    demand(world.running() == {found["container_id"]}, "something else runs than was started")


def _settled_and_stopped(world: ScenarioContext, instance: InstanceStatus) -> None:
    """After all has settled the instance is as it was, and a stop ends it."""
    settle(world)
    agree(world, world.alice)
    untouched(world, world.alice, world.first, instance)
    done(world.stop(world.alice, world.first))
    demand(not world.running(), "the container still runs after a stop that succeeded")
