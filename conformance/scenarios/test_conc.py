"""CONC: calls that come at one moment, from many threads, on one backend object."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

from conformance.harness import Hook, Options, Player
from conformance.model.histories import HistoryRecorder, Programme, run_together
from conformance.model.orders import in_order
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import EXTENDS, ONE_AT_A_TIME, TEAMS, scenario
from conformance.spec.steps import (
    MOST_MOMENTS,
    agree,
    came_to_moments,
    demand,
    done,
    events_of,
    gone,
    let_expire,
    live,
    only_event,
    same,
    says_when,
    settle,
    started,
    together,
    until,
    untouched,
)
from engines.audit import Action
from engines.contract import ActionResult, Code, ContainerBackend, InstanceStatus, StartResult

CALLS = 8
"""Calls at one moment."""
SLOW_SECONDS = 100
"""How long a start may take: as long as a pull, and longer than many a lock lasts."""
GIVEN_UP_SECONDS = 1800
"""Longer than anybody holds a place for a start that says nothing."""
RACES = 8
"""How often one place is raced for: who counts first and takes later is not caught by each."""
LAST_SECONDS = 30
"""What is left of an instance when the calls meet its expiry."""
ROUNDS = 2
"""How often an instance comes and goes under the watchers' eyes."""


@scenario("CONC-001", Hook.GROUND_TRUTH)
def test_parallel_starts_make_one_container(world: ScenarioContext) -> None:
    _started_at_once(world, world.alice, world.first)
    running = world.running()
    assert len(running) == 1, f"{len(running)} containers run after parallel starts"
    assert running == {live(world, world.alice, world.first)["container_id"]}


@scenario("CONC-002")
def test_parallel_starts_return_one_instance(world: ScenarioContext) -> None:
    results = _started_at_once(world, world.alice, world.first)
    fresh = [result for result in results if result.code is Code.OK]
    assert len(fresh) == 1, f"{len(fresh)} parallel starts say they started it"
    containers = {result.instance["container_id"] for result in results if result.ok}
    assert containers == {live(world, world.alice, world.first)["container_id"]}


@scenario("CONC-003")
def test_a_refused_parallel_start_is_told_to_wait(world: ScenarioContext) -> None:
    for result in _started_at_once(world, world.alice, world.first):
        _is_one_of(result, Code.OK, Code.ALREADY_RUNNING, Code.BUSY)


@scenario("CONC-004")
def test_parallel_starts_by_different_accounts_share_nothing(world: ScenarioContext) -> None:
    challenge = world.challenges.own_port or world.first
    everybody = (world.alice, world.bob, world.carol)
    results = together([partial(world.start, each, challenge) for each in everybody])
    for result in results:
        _is_one_of(result, Code.OK)
    for key in ("container_id", "address"):
        values = {_value(result, key) for result in results}
        assert len(values) == len(everybody), f"accounts that start at once share a {key}"
    for player, result in zip(everybody, results, strict=True):
        assert live(world, player, challenge)["container_id"] == _value(result, "container_id")


@scenario("CONC-005", Hook.GROUND_TRUTH, ONE_AT_A_TIME)
def test_the_limit_holds_against_parallel_starts(world: ScenarioContext) -> None:
    both = (world.first, world.second) * (CALLS // 2)
    results = together([partial(world.start, world.alice, each) for each in both])
    for result in results:
        _is_one_of(result, Code.OK, Code.ALREADY_RUNNING, Code.BUSY, Code.LIMIT_REACHED)
    containers = {result.instance["container_id"] for result in results if result.ok}
    assert len(containers) == 1, f"{len(containers)} containers at a limit of one"
    assert agree(world, world.alice) == containers


@scenario("CONC-006", Hook.GROUND_TRUTH)
def test_parallel_stops_stop_once(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    results = together([partial(world.stop, world.alice, world.first)] * CALLS)
    for result in results:
        _is_one_of(result, Code.OK, Code.NOT_FOUND, Code.BUSY)
    _exactly_one(results)
    gone(world, world.alice, world.first)
    assert not world.running(), "a container runs after parallel stops"


@scenario("CONC-007", EXTENDS)
def test_parallel_extends_are_counted(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    results = together([partial(world.extend, world.alice, world.first)] * CALLS)
    for result in results:
        _is_one_of(result, Code.OK, Code.BUSY, Code.EXTENSION_LIMIT)
    granted = sum(result.ok for result in results)
    demand(granted >= 1, "of parallel extends none was granted")
    after = live(world, world.alice, world.first)
    counted = after["extension_count"]
    assert counted == granted, f"{granted} extends were granted, {counted} were counted"
    same(before, after, ("container_id", "host", "ports", "started_at"))


@scenario("CONC-008", Hook.GROUND_TRUTH)
def test_starts_against_stops_leave_what_status_tells(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    start = partial(world.start, world.alice, world.first)
    stop = partial(world.stop, world.alice, world.first)
    calls: list[Callable[[], StartResult | ActionResult]] = [start, stop] * (CALLS // 2)
    for result in together(calls):
        _is_one_of(result, Code.OK, Code.ALREADY_RUNNING, Code.NOT_FOUND, Code.BUSY)
    assert len(agree(world, world.alice)) <= 1, "one account has two containers"


@scenario("CONC-009", Hook.GROUND_TRUTH, TEAMS)
def test_mates_who_start_at_once_share_one_container(world: ScenarioContext) -> None:
    mates = world.mates[:2] * (CALLS // 2)
    results = together([partial(world.start, player, world.first) for player in mates])
    for result in results:
        _is_one_of(result, Code.OK, Code.ALREADY_RUNNING, Code.BUSY)
    assert len(world.running()) == 1, "mates who started at once have not one container"
    for mate in world.mates[:2]:
        assert agree(world, mate) == world.running()


@scenario("CONC-010")
def test_looking_while_others_start_and_stop(world: ScenarioContext) -> None:
    his = started(world, world.bob, world.first)
    hers: set[str] = set()

    over = threading.Event()

    def come_and_go() -> set[str | None]:
        try:
            for _ in range(ROUNDS):
                hers.add(started(world, world.alice, world.first)["container_id"])
                done(world.stop(world.alice, world.first))
        finally:
            over.set()
        return set()

    def watch(player: Player) -> set[str | None]:
        seen = {_shown(world, player)}
        while not over.is_set():
            seen.add(_shown(world, player))
        return seen

    watchers = (world.alice, world.bob, world.carol)
    calls: list[Callable[[], set[str | None]]] = [partial(watch, watcher) for watcher in watchers]
    sights = together([*calls, come_and_go])
    for player, shown in zip(watchers, sights[:-1], strict=True):
        if player is world.alice:
            assert shown <= hers | {None}, "a player was shown what she never started"
        elif player is world.bob:
            assert shown == {his["container_id"]}, "a live instance was not shown as it is"
        else:
            assert shown == {None}, "a player without an instance was shown another's"


@scenario("CONC-011", Hook.CLOCK, Hook.WORKER, Hook.AUDIT, Hook.GROUND_TRUTH)
def test_workers_and_a_stop_end_an_expired_instance_once(world: ScenarioContext) -> None:
    let_expire(world, started(world, world.alice, world.first))
    stop = partial(world.stop, world.alice, world.first)
    calls: list[Callable[[], ActionResult | None]] = [world.run_worker, stop] * (CALLS // 2)
    for result in together(calls):
        if result is not None:
            _is_one_of(result, Code.NOT_FOUND, Code.BUSY)
    world.run_worker()  # an event of a round that lost against a stop would come now
    assert not world.running(), "an expired container still runs"
    only_event(world, Action.EXPIRED)
    assert not events_of(world, Action.STOPPED), "the end of an expired instance has two events"


@scenario("CONC-012", Hook.AUDIT, Hook.GROUND_TRUTH)
def test_stops_and_clean_ups_end_a_live_instance_once(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    stop = partial(world.stop, world.alice, world.first)
    clean_up = partial(world.clean_up, world.alice, world.first)
    for result in together([stop, clean_up] * (CALLS // 2)):
        _is_one_of(result, Code.OK, Code.NOT_FOUND, Code.BUSY)
    gone(world, world.alice, world.first)
    assert not world.running(), "a container runs after it was stopped and cleaned up"
    ends = events_of(world, Action.STOPPED, Action.EXPIRED)
    assert len(ends) == 1, f"one instance ended {len(ends)} times"


@scenario("CONC-013")
def test_calls_on_one_key_have_an_order(world: ScenarioContext) -> None:
    her, first = HistoryRecorder(world), world.first
    alice = partial(_of, her, world.alice, first)
    run_together(
        [
            alice("start stop status start stop status"),
            alice("start extend stop status"),
            alice("extend status extend status"),
            alice("status status status status"),
        ]
    )
    her.status(world.alice, first)
    in_order(her)


@scenario("CONC-014", TEAMS)
def test_calls_of_mates_have_an_order(world: ScenarioContext) -> None:
    they = HistoryRecorder(world)
    mate, other = (partial(_of, they, player, world.first) for player in world.mates[:2])
    run_together(
        [
            mate("start extend stop status"),
            other("start stop status start status"),
            mate("status status"),
            other("extend status"),
        ]
    )
    they.status(world.mates[1], world.first)
    in_order(they)


@scenario("CONC-015")
def test_calls_at_the_accounts_limit_have_an_order(world: ScenarioContext) -> None:
    her = HistoryRecorder(world)
    first = partial(_of, her, world.alice, world.first)
    second = partial(_of, her, world.alice, world.second)
    run_together(
        [
            first("start status extend"),
            second("start status stop"),
            first("status status"),
            second("status"),
        ]
    )
    her.start(world.alice, world.second)
    her.status(world.alice, world.first)
    her.status(world.alice, world.second)
    in_order(her)


@scenario("CONC-016")
def test_other_accounts_change_nothing_of_the_order(world: ScenarioContext) -> None:
    all_of_them = HistoryRecorder(world)
    everybody = (world.alice, world.bob, world.carol)
    calls = "start extend status stop status"
    run_together([_of(all_of_them, player, world.first, calls) for player in everybody])
    in_order(all_of_them)


@scenario("CONC-017", Hook.CLOCK)
def test_an_expiry_has_its_place_in_the_order(world: ScenarioContext) -> None:
    her = HistoryRecorder(world)
    seen = her.start(world.alice, world.first).seen
    demand(seen is not None, "a start was refused")
    her.advance((seen.remaining if seen else 0) - LAST_SECONDS)
    alice = partial(_of, her, world.alice, world.first)
    run_together(
        [
            [
                *alice("status"),
                partial(her.advance, LAST_SECONDS + 10),
                *alice("status stop start status"),
            ],
            alice("status start status status"),
            alice("status status status status"),
        ]
    )
    her.status(world.alice, world.first)
    in_order(her)


@scenario("CONC-018", Hook.WORKER)
def test_workers_and_clean_ups_have_their_place_in_the_order(world: ScenarioContext) -> None:
    her = HistoryRecorder(world)
    her.start(world.alice, world.first)
    alice = partial(_of, her, world.alice, world.first)
    run_together(
        [
            [her.worker, her.worker],
            alice("clean_up start status"),
            alice("extend status clean_up"),
            alice("status start status"),
        ]
    )
    her.status(world.alice, world.first)
    in_order(her)


@scenario("CONC-019", Hook.STRICT_CAPACITY, options=Options(capacity=1))
def test_calls_for_the_last_place_have_an_order(world: ScenarioContext) -> None:
    everybody = (world.alice, world.bob, world.carol)

    def race(calls: str) -> None:
        rivals = HistoryRecorder(world)
        run_together([_of(rivals, each, world.first, calls) for each in everybody])
        for player in everybody:
            rivals.status(player, world.first)
        in_order(rivals, capacity=1)

    for _ in range(RACES):
        race("start")
        for player in everybody:
            world.stop(player, world.first)
    race("start status stop start")


@scenario("CONC-020", Hook.SLOW_START, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_slow_start_is_not_doubled(world: ScenarioContext) -> None:
    _a_slow_start_and_another(world, SLOW_SECONDS)


@scenario("CONC-021", Hook.SLOW_START, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_start_that_was_given_up_comes_back(world: ScenarioContext) -> None:
    _a_slow_start_and_another(world, GIVEN_UP_SECONDS)


@scenario("CONC-022", Hook.MOMENTS, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_start_amid_a_round_is_left_alone(world: ScenarioContext) -> None:
    def start(other: ContainerBackend) -> None:
        alice = world.alice
        answers.append(other.start_instance(alice.user_id, world.first, alice.team_id))

    answers: list[StartResult] = []
    for moment in range(MOST_MOMENTS):
        let_expire(world, started(world, world.bob, world.first))
        if not world.interrupted(moment, world.run_worker, start):
            break
        _is_one_of(answers[-1], Code.OK, Code.BUSY)
        if answers[-1].ok:
            _stays(world, answers[-1])
        world.stop(world.alice, world.first)
    came_to_moments(answers)
    demand(
        any(answer.ok for answer in answers), "no start succeeded while the worker went its round"
    )


@scenario("CONC-023", Hook.MOMENTS, Hook.CLOCK, Hook.WORKER, Hook.GROUND_TRUTH)
def test_a_round_amid_a_start_leaves_it_alone(world: ScenarioContext) -> None:
    def start() -> None:
        answers.append(world.start(world.alice, world.first))

    answers: list[StartResult] = []
    for moment in range(MOST_MOMENTS):
        if not world.interrupted(moment, start, lambda _: world.run_worker()):
            break
        demand(answers[-1].ok, f"a round made a start fail: {answers[-1].message}")
        _stays(world, answers[-1])
        done(world.stop(world.alice, world.first))
    came_to_moments(answers[:-1])


def _stays(world: ScenarioContext, answer: StartResult) -> None:
    """What a start told of is live and all that runs, now and after the next round."""
    for _ in range(2):
        told = answer.instance["container_id"]
        runs = world.running()
        demand(told in runs, "what a start has made was removed by a round of the worker")
        demand(agree(world, world.alice) == {told}, "something else runs than was started")
        untouched(world, world.alice, world.first, cast(InstanceStatus, answer.instance))
        world.run_worker()


def _a_slow_start_and_another(world: ScenarioContext, seconds: int) -> None:
    """A second start meets one that has been at work for so long."""
    with ThreadPoolExecutor(2) as threads:
        with world.slow_start() as waiting:
            slow = threads.submit(world.start, world.alice, world.first)
            until(lambda: slow.done() or waiting() >= 1)
            world.advance(seconds)
            world.run_worker()
            second = threads.submit(world.start, world.alice, world.first)
            until(lambda: second.done() or waiting() >= 2)
            world.run_worker()
        answers = [slow.result(), second.result()]
    demand(any(answer.ok for answer in answers), "of a slow start and a second one none succeeded")
    settle(world)
    running = agree(world, world.alice)
    demand(len(running) <= 1, "a second start doubled a slow one")
    told = {answer.instance["container_id"] for answer in answers if answer.ok}
    assert told <= running, "a start that took long returned True, and its container does not run"
    demand(world.start(world.alice, world.first).ok, "after a slow start no start works")


def _of(recorder: HistoryRecorder, player: Player, challenge: int, calls: str) -> Programme:
    """What one thread does: the calls of these names, one after the other."""
    return [partial(getattr(recorder, call), player, challenge) for call in calls.split()]


def _started_at_once(world: ScenarioContext, player: Player, challenge: int) -> list[StartResult]:
    results = together([partial(world.start, player, challenge)] * CALLS)
    demand(any(result.ok for result in results), "of parallel starts none succeeded")
    return results


def _is_one_of(result: StartResult | ActionResult, *codes: Code) -> None:
    """What a call in company may say, and when to try again where it says so."""
    met = result.code in codes
    demand(met, f"a call in company ended with {result.code.value}: {result.message}")
    says_when(result)


def _exactly_one(results: list[ActionResult]) -> None:
    granted = sum(result.ok for result in results)
    demand(granted == 1, f"{granted} parallel calls returned True instead of one")


def _shown(world: ScenarioContext, player: Player) -> str | None:
    status = world.status(player, world.first)
    return None if status is None else status["container_id"]


def _value(result: StartResult, key: str) -> str:
    """The container's id, or its address as a player types it."""
    instance = result.instance
    return str(instance["container_id"]) if key == "container_id" else _address(instance)


def _address(instance: dict[str, object]) -> str:
    return f"{instance['host']}:{instance['ports']}"
