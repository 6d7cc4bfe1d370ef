"""The front over two backends, and its breaker, broken in one way each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from conformance.harness import Harness
from conformance.harnesses.cre import MemoryHarness
from conformance.harnesses.hybrid import HybridHarness
from conformance.harnesses.whale import FakeWhaleHarness
from engines.audit import Action
from engines.contract import Capabilities, Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.hybrid import Breaker, HybridBackend, StartRouter
from engines.hybrid import intersection as meeting
from engines.hybrid.maintenance import BackendRounds
from engines.hybrid.routes import Route, RouteState
from mutants.patched import Change


def status_of_the_user(sound: Any, front: HybridBackend, call: Call) -> InstanceStatus | None:
    """A status is asked for the user alone, in a team or not."""
    call.team_id = None
    found: InstanceStatus | None = sound(front, call)
    return found


def last_known_of_the_user(sound: Any, front: HybridBackend, call: Call) -> InstanceStatus | None:
    """What was last known is asked for the user alone, in a team or not."""
    call.team_id = None
    found: InstanceStatus | None = sound(front, call)
    return found


def last_known_at_home(sound: Any, front: HybridBackend, call: Call) -> InstanceStatus | None:
    """What was last known is asked of the one that serves what nobody decided otherwise."""
    return front.home.last_known(call.user_id, call.challenge_id, call.team_id)


def flag_of_the_user(
    sound: Any, front: HybridBackend, user: int, challenge: int, team: int | None = None
) -> Any:
    """The flag is asked for the user alone, in a team or not."""
    return sound(front, user, challenge)


def never_opens(sound: Any, breaker: Breaker) -> None:
    """The breaker counts no failure."""


def never_lets_through(sound: Any, breaker: Breaker) -> bool:
    """A breaker that has opened stays open."""
    return not breaker.open


def lets_all_through(sound: Any, breaker: Breaker) -> bool:
    """After its pause an open breaker lets everybody through at once."""
    if not breaker.open:
        return True
    paused = breaker._paused_at
    let: bool = sound(breaker)
    breaker._paused_at = paused
    return let


def one_failure_is_enough(sound: Any, breaker: Breaker) -> None:
    """The breaker opens at the first failure."""
    for _ in range(breaker._circuit.fail_max):
        sound(breaker)


def closes_by_itself(sound: Any, breaker: Breaker) -> None:
    """The call that an open breaker has let through closes it, however it ends."""
    if breaker.open:
        breaker.succeeded()
    else:
        sound(breaker)


def refusals_are_failures(sound: Any, router: StartRouter, key: str, result: StartResult) -> None:
    """A backend that is full is taken for one that fails."""
    if key == router.keys.new and result.code in (Code.CAPACITY, Code.LIMIT_REACHED):
        router.breaker.failed()
    else:
        sound(router, key, result)


def full_goes_home(sound: Any, router: StartRouter, key: str, result: StartResult) -> bool:
    """A start that finds the new backend full goes home."""
    full = not result.ok and result.code is Code.CAPACITY and key == router.keys.new
    return full or bool(sound(router, key, result))


def limit_goes_home(sound: Any, router: StartRouter, key: str, result: StartResult) -> bool:
    """A start beyond the account's limit on the new backend goes home."""
    full = not result.ok and result.code is Code.LIMIT_REACHED and key == router.keys.new
    return full or bool(sound(router, key, result))


def one_extension_more(sound: Any, front: HybridBackend, call: Call) -> Any:
    """Where a backend allows more extensions than the front, it decides."""
    side = front._owner(front._routes.find(call.account, call.challenge_id))
    call.recorded = True
    return side.extend_instance(call.user_id, call.challenge_id, call.team_id)


def last_known_as_it_is(sound: Any, front: HybridBackend, call: Call) -> InstanceStatus | None:
    """What was last known is told with the backend's own number of extensions."""
    side = front._owner(front._routes.find(call.account, call.challenge_id))
    return side.last_known(call.user_id, call.challenge_id, call.team_id)


def promises_the_more(sound: Any, one: Capabilities, other: Capabilities) -> Capabilities:
    """The front promises the larger number of extensions."""
    most = max(one.max_extensions, other.max_extensions)
    return replace(sound(one, other), max_extensions=most)


def rate_goes_home(sound: Any, router: StartRouter, key: str, result: StartResult) -> bool:
    """A start beyond the account's rate on the new backend goes home."""
    often = result.code is Code.RATE_LIMITED and key == router.keys.new
    return often or bool(sound(router, key, result))


def failed_goes_home(sound: Any, router: StartRouter, key: str, result: StartResult) -> bool:
    """A start whose container failed on the new backend goes home."""
    failed = result.code is Code.START_FAILED and key == router.keys.new
    return failed or bool(sound(router, key, result))


def all_failures_count(sound: Any, breaker: Breaker) -> None:
    """The breaker counts failures that do not come in a row."""
    if breaker.open:
        sound(breaker)


def pauses_from_the_beginning(sound: Any, breaker: Breaker, how: Any) -> None:
    """The breaker's pause is counted from when the process began."""
    since = breaker._paused_at
    sound(breaker, how)
    breaker._paused_at = since


def flags_of_one(
    sound: Any, front: HybridBackend, user: int, challenge: int, team: int | None = None
) -> Any:
    """Which flags count is asked of the backend that has the instance now, and of no other."""
    side = front.sides[front.owner_of(user, challenge, team) or front.router.keys.home]
    return side.counting_flags(user, challenge, team)


def home_down_is_nothing_there(
    sound: Any, front: HybridBackend, call: Call, side: Any
) -> InstanceStatus | None:
    """While home cannot be asked, what may be there is taken for nothing."""
    try:
        found: InstanceStatus | None = sound(front, call, side)
        return found
    except BackendUnavailable:
        if side is front.home:
            return None
        raise


def out_of_reach_is_over(sound: Any, front: HybridBackend, route: Route) -> bool:
    """An instance that cannot be asked about makes room for another one."""
    ids = route.user_id, route.challenge_id, route.team_id
    try:
        front._owner(route).get_instance_status(*ids)
    except BackendUnavailable:
        return True
    return bool(sound(front, route))


def what_is_left_rests(sound: Any, rounds: BackendRounds, key: str) -> bool:
    """A backend that the dial sends nothing to has no rounds any more."""
    return rounds._router.chosen_by_dial(key)


def one_outage_ends_the_round(sound: Any, rounds: BackendRounds, work: Any) -> int:
    """A backend that cannot be asked ends the round for all."""
    return sum(work(side) for key, side in rounds._sides.items() if rounds.needed(key))


def unknown_goes_home(
    sound: Any, front: HybridBackend, call: Call, route: Route, *rest: Any, **named: Any
) -> StartResult:
    """A start of which nobody knows what became of it is done once more at home."""
    result: StartResult = sound(front, call, route, *rest, **named)
    if result.code is not Code.UNAVAILABLE or front._owner(route) is front.home:
        return result
    return front.home.start_instance(call.user_id, call.challenge_id, call.team_id)


def full_is_no_answer(sound: Any, router: StartRouter, key: str, result: StartResult) -> None:
    """A backend that says it is full has not answered."""
    if result.code is not Code.CAPACITY:
        sound(router, key, result)


def flag_is_homes(
    sound: Any, front: HybridBackend, user: int, challenge: int, team: int | None = None
) -> str | None:
    """The flag is asked of the one that serves what nobody decided otherwise."""
    return front.home.recorded_flag(user, challenge, team)


def not_asked_is_nothing(sound: Any, front: HybridBackend, route: Route) -> bool:
    """A backend that cannot be asked whether it has anything has nothing."""
    try:
        return front._owner(route).holds(route.user_id, route.challenge_id, route.team_id)
    except BackendUnavailable:
        return False


def unknown_is_running(sound: Any, front: HybridBackend, standing: tuple[Route, ...]) -> Any:
    """A start of which nobody knows what became of it is told as a running instance."""
    return sound(front, tuple(replace(each, state=RouteState.HELD) for each in standing))


def anything_may_be_nothing(sound: Any, front: HybridBackend, route: Route) -> bool:
    """Whether a backend that did not answer has anything is not asked."""
    return False


def a_second_start_goes_home(sound: Any, route: Route, now: Any) -> bool:
    """A second start does not look whether the first may have come to anything."""
    return False


def a_refusal_ends_what_was_unknown(
    sound: Any, front: HybridBackend, *args: Any, **named: Any
) -> Any:
    """A start that is certainly refused makes its route free, whatever an earlier one came to."""
    front._may_hold = lambda _route: False  # type: ignore[method-assign]
    try:
        return sound(front, *args, **named)
    finally:
        front.__dict__.pop("_may_hold", None)


def any_answer_closes(sound: Any, router: StartRouter, key: str, result: StartResult) -> None:
    """A refusal that never reached the new backend counts as its answer."""
    sound(router, key, result)
    if key == router.keys.new and result.definite and result.code is not Code.UNAVAILABLE:
        router.breaker.succeeded()


def never_goes_home(sound: Any, router: StartRouter, key: str, result: StartResult) -> bool:
    """While the new backend is down nobody starts anything."""
    return False


def goes_home_twice(
    sound: Any, front: HybridBackend, call: Call, route: Route, decision: Any
) -> StartResult | None:
    """A start that went home leaves its route where it was."""
    return front.home.start_instance(call.user_id, call.challenge_id, call.team_id)


def sweeps_what_starts(sound: Any, route: Route, now: Any) -> bool:
    """A start at work is nobody's."""
    return False


def forgets_the_route_first(sound: Any, front: HybridBackend, call: Call, action: Action) -> Any:
    """A stop drops the route, then asks the backend."""
    route = front._routes.find(call.account, call.challenge_id)
    side = front._owner(route)
    if route is not None:
        front._routes.delete(route)
    result = side.stop_instance(
        call.user_id, call.challenge_id, call.team_id, action is Action.EXPIRED
    )
    call.recorded = True
    return result


def forgets_what_broke_off(sound: Any, rounds: BackendRounds, route: Route, side: Any) -> bool:
    """A round drops a route that nobody is at work on, whatever is on its backend."""
    if route.state is RouteState.HELD:
        return bool(sound(rounds, route, side))
    return rounds._routes.delete(route)


def leaves_the_abandoned(sound: Any, route: Route, now: Any) -> bool:
    """A route that broke off is taken for somebody's work for ever."""
    return route.state is RouteState.STARTING


def _hybrid(routed: str = "") -> Callable[[], Harness]:
    return lambda: HybridHarness(routed)


CHANGES: dict[str, tuple[Any, tuple[Change, ...]]] = {
    "hybrid_status_of_the_user": (
        _hybrid("whale"),
        (Change(HybridBackend, "_status", status_of_the_user),),
    ),
    "hybrid_last_known_of_the_user": (
        _hybrid("whale"),
        (Change(HybridBackend, "_last_known", last_known_of_the_user),),
    ),
    "hybrid_last_known_at_home": (
        MemoryHarness,
        (Change(HybridBackend, "_last_known", last_known_at_home),),
    ),
    "hybrid_flag_of_the_user": (
        _hybrid("cre"),
        (Change(HybridBackend, "recorded_flag", flag_of_the_user),),
    ),
    "breaker_never_opens": (MemoryHarness, (Change(Breaker, "failed", never_opens),)),
    "breaker_never_lets_through": (
        MemoryHarness,
        (Change(Breaker, "lets_through", never_lets_through),),
    ),
    "breaker_lets_all_through": (
        MemoryHarness,
        (Change(Breaker, "lets_through", lets_all_through),),
    ),
    "breaker_one_failure_is_enough": (
        MemoryHarness,
        (Change(Breaker, "failed", one_failure_is_enough),),
    ),
    "breaker_closes_by_itself": (MemoryHarness, (Change(Breaker, "failed", closes_by_itself),)),
    "breaker_refusals_are_failures": (
        MemoryHarness,
        (Change(StartRouter, "heard", refusals_are_failures),),
    ),
    "hybrid_full_goes_home": (
        MemoryHarness,
        (Change(StartRouter, "falls_back_from", full_goes_home),),
    ),
    "hybrid_limit_goes_home": (
        MemoryHarness,
        (Change(StartRouter, "falls_back_from", limit_goes_home),),
    ),
    "hybrid_one_extension_more": (
        _hybrid("whale"),
        (Change(HybridBackend, "_extend", one_extension_more),),
    ),
    "hybrid_last_known_as_it_is": (
        _hybrid("whale"),
        (Change(HybridBackend, "_last_known", last_known_as_it_is),),
    ),
    "hybrid_promises_the_more": (
        _hybrid(),
        (Change(meeting, "_both", promises_the_more),),
    ),
    "hybrid_rate_goes_home": (
        MemoryHarness,
        (Change(StartRouter, "falls_back_from", rate_goes_home),),
    ),
    "hybrid_failed_goes_home": (
        MemoryHarness,
        (Change(StartRouter, "falls_back_from", failed_goes_home),),
    ),
    "hybrid_flags_of_one": (
        MemoryHarness,
        (Change(HybridBackend, "counting_flags", flags_of_one),),
    ),
    "hybrid_home_down_is_nothing_there": (
        MemoryHarness,
        (Change(HybridBackend, "_shown", home_down_is_nothing_there),),
    ),
    "hybrid_out_of_reach_is_over": (
        MemoryHarness,
        (Change(HybridBackend, "_is_over", out_of_reach_is_over),),
    ),
    "hybrid_what_is_left_rests": (
        MemoryHarness,
        (Change(BackendRounds, "needed", what_is_left_rests),),
    ),
    "hybrid_one_outage_ends_the_round": (
        MemoryHarness,
        (Change(BackendRounds, "_on_each", one_outage_ends_the_round),),
    ),
    "breaker_all_failures_count": (
        MemoryHarness,
        (Change(Breaker, "succeeded", all_failures_count),),
    ),
    "breaker_pauses_from_the_beginning": (
        MemoryHarness,
        (Change(Breaker, "_ended", pauses_from_the_beginning),),
    ),
    "hybrid_unknown_goes_home": (
        MemoryHarness,
        (Change(HybridBackend, "_launch", unknown_goes_home),),
    ),
    "breaker_full_is_no_answer": (
        MemoryHarness,
        (Change(StartRouter, "heard", full_is_no_answer),),
    ),
    "hybrid_flag_is_homes": (
        MemoryHarness,
        (Change(HybridBackend, "recorded_flag", flag_is_homes),),
    ),
    "hybrid_not_asked_is_nothing": (
        MemoryHarness,
        (Change(HybridBackend, "_may_hold", not_asked_is_nothing),),
    ),
    "hybrid_unknown_is_running": (
        MemoryHarness,
        (Change(HybridBackend, "_at_the_limit", unknown_is_running),),
    ),
    "hybrid_anything_may_be_nothing": (
        _hybrid("whale"),
        (Change(HybridBackend, "_may_hold", anything_may_be_nothing),),
    ),
    "hybrid_a_second_start_goes_home": (
        MemoryHarness,
        (Change(Route, "uncertain", a_second_start_goes_home),),
    ),
    "hybrid_a_refusal_ends_what_was_unknown": (
        MemoryHarness,
        (Change(HybridBackend, "_launch", a_refusal_ends_what_was_unknown),),
    ),
    "hybrid_any_answer_closes": (
        FakeWhaleHarness,
        (Change(StartRouter, "heard", any_answer_closes),),
    ),
    "hybrid_never_goes_home": (
        MemoryHarness,
        (Change(StartRouter, "falls_back_from", never_goes_home),),
    ),
    "hybrid_goes_home_twice": (
        MemoryHarness,
        (Change(HybridBackend, "_at_home", goes_home_twice),),
    ),
    "hybrid_sweeps_what_starts": (
        _hybrid("cre"),
        (Change(Route, "at_work", sweeps_what_starts),),
    ),
    "hybrid_forgets_the_route_first": (
        _hybrid("whale"),
        (Change(HybridBackend, "_stop", forgets_the_route_first),),
    ),
    "hybrid_forgets_what_broke_off": (
        _hybrid("whale"),
        (Change(BackendRounds, "_settle", forgets_what_broke_off),),
    ),
    "hybrid_leaves_the_abandoned": (
        _hybrid("cre"),
        (Change(Route, "at_work", leaves_the_abandoned),),
    ),
}
