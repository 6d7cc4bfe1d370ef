"""AUDIT: one event per call that changes something or tries to, in one shape for all backends."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from conformance.harness import Hook
from conformance.spec.context import ScenarioContext
from conformance.spec.scenario import (
    DETECTS_LOSS,
    EXITS_AT_ONCE,
    EXTENDS,
    KNOWS_CHALLENGES,
    TEAMS,
    scenario,
)
from conformance.spec.steps import (
    MOST_EXTENDS,
    START_SLACK_SECONDS,
    beginning,
    demand,
    done,
    events_of,
    expiry,
    fill_with_extensions,
    let_expire,
    live,
    only_event,
    refused,
    repeated,
    started,
)
from conformance.spec.trace import HarnessFault
from engines.audit import Action, ContainerEvent
from engines.contract import LARGEST_ID, ActionResult, Code, StartResult

REPEATED = 4
"""Equal refused calls."""
HOUR = 3600
TOLD_TOGETHER_SECONDS = 600
OFTEN_SECONDS = 50
"""Less than the minute within which our engines put equal refusals together."""
SLOW_SECONDS = 0.03
"""What each request takes where it is seen whether durations are true."""


@scenario("AUDIT-001", Hook.AUDIT)
def test_a_start_is_one_event(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    event = only_event(world, Action.STARTED)
    assert event.user_id == world.alice.user_id
    assert event.team_id == world.alice.team_id, "the event names another team than the call"
    assert event.challenge_id == world.first
    assert event.code is Code.OK
    assert event.backend in world.backend.names
    assert len(world.events()) == 1, "one call wrote several events"


@scenario("AUDIT-002", Hook.AUDIT, EXTENDS)
def test_an_extend_is_one_event_with_both_expiries(world: ScenarioContext) -> None:
    before = started(world, world.alice, world.first)
    done(world.extend(world.alice, world.first))
    after = live(world, world.alice, world.first)
    event = only_event(world, Action.EXTENDED)
    assert event.code is Code.OK
    assert _time(event, "old_expiry") == expiry(before)
    assert _time(event, "new_expiry") == expiry(after)


@scenario("AUDIT-003", Hook.AUDIT)
def test_a_stop_is_one_event(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    event = only_event(world, Action.STOPPED)
    assert (event.code, event.user_id) == (Code.OK, world.alice.user_id)
    assert event.challenge_id == world.first
    assert len(world.events()) == 2, "two calls are two events"


@scenario("AUDIT-004", Hook.AUDIT)
def test_a_refused_start_is_one_event(world: ScenarioContext) -> None:
    result = world.start(world.alice, world.challenges.unknown)
    event = only_event(world, Action.START_FAILED)
    assert event.code is result.code is Code.CHALLENGE_UNAVAILABLE
    assert event.challenge_id == world.challenges.unknown
    assert not events_of(world, Action.STARTED), "a refused start is audited as started"


@scenario("AUDIT-005", Hook.AUDIT)
def test_a_refused_extend_is_one_event(world: ScenarioContext) -> None:
    result = world.extend(world.alice, world.first)
    event = only_event(world, Action.EXTEND_FAILED)
    assert event.code is result.code is Code.NOT_FOUND
    assert len(world.events()) == 1, "one call wrote several events"


@scenario("AUDIT-006", Hook.AUDIT)
def test_a_refused_stop_is_one_event(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    result = world.stop(world.alice, world.second)
    event = only_event(world, Action.STOP_FAILED)
    assert event.code is result.code is Code.NOT_FOUND
    assert event.challenge_id == world.second
    assert not events_of(world, Action.STOPPED), "a refused stop is audited as stopped"


@scenario("AUDIT-007", Hook.AUDIT)
def test_a_double_click_is_not_a_second_start(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    repeated(world, world.alice, world.first)
    only_event(world, Action.STARTED)
    event = only_event(world, Action.START_REPEATED)
    assert event.code is Code.ALREADY_RUNNING


@scenario("AUDIT-008", Hook.AUDIT)
def test_looking_is_not_audited(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    before = len(world.events())
    live(world, world.alice, world.first)
    world.status(world.alice, world.second)
    assert len(world.events()) == before, "a status wrote an event"


@scenario("AUDIT-009", Hook.AUDIT)
def test_invalid_arguments_are_not_audited(world: ScenarioContext) -> None:
    backend = world.backend
    with backend.expects(ValueError, "INPUT-001"):
        backend.start_instance(0, world.first)
    with backend.expects(ValueError, "INPUT-002"):
        backend.extend_instance(0, world.first)
    with backend.expects(ValueError, "INPUT-003"):
        backend.stop_instance(0, world.first)
    assert not world.events(), "a call that raised ValueError wrote an event"


@scenario("AUDIT-010", Hook.AUDIT)
def test_events_stand_in_the_order_of_the_calls(world: ScenarioContext) -> None:
    world.stop(world.alice, world.first)
    started(world, world.alice, world.first)
    repeated(world, world.alice, world.first)
    world.extend(world.alice, world.second)
    done(world.stop(world.alice, world.first))
    assert [event.action for event in world.events()] == [
        Action.STOP_FAILED,
        Action.STARTED,
        Action.START_REPEATED,
        Action.EXTEND_FAILED,
        Action.STOPPED,
    ]


@scenario("AUDIT-011", Hook.AUDIT)
def test_every_event_says_how_long_it_took(world: ScenarioContext) -> None:
    _whole_life(world)
    for event in world.events():
        assert type(event.duration_ms) is int, f"{event.action.value}: {event.duration_ms!r}"
        assert event.duration_ms >= 0, f"{event.action.value} took {event.duration_ms} ms"


@scenario("AUDIT-012", Hook.AUDIT)
def test_events_tell_the_backends_time_in_utc(world: ScenarioContext) -> None:
    instance = started(world, world.alice, world.first)
    done(world.stop(world.alice, world.first))
    for event in world.events():
        assert event.at.utcoffset() == timedelta(0), f"{event.at.isoformat()} is not UTC"
        off = abs((event.at - beginning(instance)).total_seconds())
        assert off <= START_SLACK_SECONDS, f"event and instance lie {off:.0f} s apart"
    times = [event.at for event in world.events()]
    assert times == sorted(times), "a later event has an earlier time"


@scenario("AUDIT-013", Hook.AUDIT)
def test_metadata_is_json(world: ScenarioContext) -> None:
    _whole_life(world)
    for event in world.events():
        try:
            back = json.loads(json.dumps(dict(event.metadata)))
        except (TypeError, ValueError) as error:
            raise AssertionError(f"{event.action.value}: metadata is no JSON: {error}") from error
        assert back == dict(event.metadata)


@scenario("AUDIT-014", Hook.AUDIT, TEAMS)
def test_events_name_the_team(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    done(world.stop(mate, world.first))
    who = [(event.user_id, event.team_id) for event in world.events()]
    assert who == [(player.user_id, player.team_id) for player in (starter, mate)]


@scenario("AUDIT-015", Hook.AUDIT, Hook.CLOCK, Hook.WORKER)
def test_the_event_of_an_expiry_names_the_starter(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    instance = started(world, world.bob, world.second)
    let_expire(world, instance)
    world.run_worker()
    expired = {(event.user_id, event.challenge_id) for event in events_of(world, Action.EXPIRED)}
    assert expired == {(world.alice.user_id, world.first), (world.bob.user_id, world.second)}


@scenario("AUDIT-016", Hook.AUDIT)
def test_what_is_written_stays(world: ScenarioContext) -> None:
    started(world, world.alice, world.first)
    world.extend(world.alice, world.second)
    before = world.events()
    world.extend(world.alice, world.first)
    done(world.stop(world.alice, world.first))
    assert world.events()[: len(before)] == before, "an event changed after it was written"


@scenario("AUDIT-017", Hook.AUDIT, Hook.OUTAGE)
def test_a_call_in_an_outage_is_audited_as_failed(world: ScenarioContext) -> None:
    with world.outage():
        refused(world.start(world.alice, world.first), Code.UNAVAILABLE)
    event = only_event(world, Action.START_FAILED)
    assert event.code is Code.UNAVAILABLE
    assert not events_of(world, Action.STARTED), "a start that failed is audited as started"


@scenario("AUDIT-018", Hook.AUDIT, EXITS_AT_ONCE)
def test_a_failed_start_says_why_to_organisers_alone(world: ScenarioContext) -> None:
    assert world.challenges.exits_at_once is not None
    result = world.start(world.alice, world.challenges.exits_at_once)
    demand(not result.ok, "a container that exits at once was started")
    reason = only_event(world, Action.START_FAILED).metadata.get("reason")
    assert isinstance(reason, str), "the event of a start that failed says no reason"
    demand(bool(reason.strip()), "the event of a start that failed has an empty reason")
    demand(reason not in result.message, "the answer to a player says why, in the event's words")


@scenario(
    "AUDIT-019",
    *(Hook.AUDIT, Hook.WORKER, Hook.KILL_BEHIND, Hook.REMOVE_BEHIND, DETECTS_LOSS),
)
def test_the_event_of_a_loss_says_why(world: ScenarioContext) -> None:
    died = started(world, world.alice, world.first)
    removed = started(world, world.bob, world.first)
    world.kill_behind(died["container_id"])
    world.remove_behind(removed["container_id"])
    world.run_worker()
    told = {event.user_id: event.metadata.get("reason") for event in events_of(world, Action.LOST)}
    assert set(told) == {world.alice.user_id, world.bob.user_id}, "not each loss has its event"
    for reason in told.values():
        assert isinstance(reason, str), "the event of a lost instance says no reason"
        demand(bool(reason.strip()), "the event of a lost instance has an empty reason")
    demand(
        told[world.alice.user_id] != told[world.bob.user_id],
        "the events say the same of a container that died and of one that was removed",
    )


@scenario("AUDIT-020", Hook.AUDIT)
def test_repeated_refusals_are_all_told(world: ScenarioContext) -> None:
    for _ in range(REPEATED):
        refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
    refused(world.extend(world.alice, world.first), Code.NOT_FOUND)
    refused(world.stop(world.alice, world.second), Code.NOT_FOUND)
    refused(world.stop(world.bob, world.first), Code.NOT_FOUND)
    alice, bob = world.alice.user_id, world.bob.user_id
    expected = {
        (Action.STOP_FAILED, alice, world.first, Code.NOT_FOUND): REPEATED,
        (Action.EXTEND_FAILED, alice, world.first, Code.NOT_FOUND): 1,
        (Action.STOP_FAILED, alice, world.second, Code.NOT_FOUND): 1,
        (Action.STOP_FAILED, bob, world.first, Code.NOT_FOUND): 1,
    }
    if 1 <= world.capabilities.max_extensions <= MOST_EXTENDS:  # else there is one reason only
        started(world, world.alice, world.first)
        fill_with_extensions(world, world.alice, world.first)
        refused(world.extend(world.alice, world.first), Code.EXTENSION_LIMIT)
        expected[Action.EXTEND_FAILED, alice, world.first, Code.EXTENSION_LIMIT] = 1
    told: Counter[tuple[Action, int, int, Code]] = Counter()
    for event in world.events():
        demand(
            (event.last_at or event.at) >= event.at and (event.times == 1 or bool(event.last_at)),
            f"{event.times} calls, the first at {event.at} and the last at {event.last_at}",
        )
        if event.action in (Action.STOP_FAILED, Action.EXTEND_FAILED):
            told[event.action, event.user_id, event.challenge_id, event.code] += event.times
    assert told == expected, "the audit log tells of other refusals than there were"


@scenario("AUDIT-021", Hook.AUDIT)
def test_a_change_is_told_alone(world: ScenarioContext) -> None:
    for _ in range(2):
        started(world, world.alice, world.first)
        done(world.stop(world.alice, world.first))
    told = [(event.action, event.times) for event in world.events()]
    assert told == [(Action.STARTED, 1), (Action.STOPPED, 1)] * 2


@scenario("AUDIT-022", Hook.AUDIT, Hook.CLOCK, Hook.WORKER, TEAMS, EXTENDS)
def test_events_name_who_called(world: ScenarioContext) -> None:
    starter, mate = world.mates[:2]
    started(world, starter, world.first)
    repeated(world, mate, world.first)
    done(world.extend(mate, world.first))
    refused(world.extend(mate, world.second), Code.NOT_FOUND)
    refused(world.stop(starter, world.second), Code.NOT_FOUND)
    refused(world.stop(mate, world.second), Code.NOT_FOUND)
    who = [(event.user_id, event.team_id) for event in world.events()]
    called = (starter, mate, mate, mate, starter, mate)
    assert who == [(player.user_id, player.team_id) for player in called]
    let_expire(world, live(world, starter, world.first))
    world.run_worker()
    event = only_event(world, Action.EXPIRED)
    assert (event.user_id, event.team_id) == (starter.user_id, starter.team_id)


@scenario("AUDIT-023", Hook.AUDIT, Hook.SLOW_ANSWERS)
def test_a_duration_is_what_the_call_took(world: ScenarioContext) -> None:
    calls: list[Callable[[], object]] = [
        partial(world.start, world.alice, world.first),
        partial(world.start, world.alice, world.first),
        partial(world.start, world.alice, world.second),
        partial(world.extend, world.alice, world.first),
        partial(world.stop, world.alice, world.first),
    ]
    waited, judged = 0, 0
    with world.slow_answers(SLOW_SECONDS) as requests:
        for call in calls:
            told, asked, began = len(world.events()), requests(), time.perf_counter()
            call()
            took = (time.perf_counter() - began) * 1000
            slow = requests() > asked
            waited += slow
            for event in world.events()[told:]:
                said = f"{event.action.value} says {event.duration_ms} ms"
                assert event.duration_ms <= math.ceil(took), f"{said}, the call took {took:.0f}"
                if slow:
                    judged += 1
                    least = SLOW_SECONDS * 1000 - 1
                    assert event.duration_ms >= least, f"{said}, it waited for {least:.0f} or more"
    if not waited:
        raise HarnessFault("no call waited for an answer that was slow")
    assert judged, f"{waited} calls waited for a slow answer, and none has an event"


@scenario("AUDIT-024", Hook.AUDIT, Hook.REPLACE_BEHIND, Hook.WORKER)
def test_what_was_lost_is_not_told_as_expired(world: ScenarioContext) -> None:
    world.replace_behind(world.alice, started(world, world.alice, world.first))
    world.start(world.alice, world.first)
    world.run_worker()
    assert not events_of(world, Action.EXPIRED), "what ended before its time is told as expired"


@scenario("AUDIT-025", Hook.AUDIT, Hook.CLOCK)
def test_refusals_of_different_hours_are_told_apart(world: ScenarioContext) -> None:
    for _ in range(2):
        refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
        world.advance(HOUR)
    told = events_of(world, Action.STOP_FAILED)
    assert [event.times for event in told] == [1, 1], "calls an hour apart are told as one"
    apart = (told[1].at - told[0].at).total_seconds()
    assert apart >= HOUR, f"calls an hour apart are told as {apart:.0f} s apart"


@scenario("AUDIT-028", Hook.AUDIT, Hook.CLOCK)
def test_refusals_without_an_end_are_told_in_time(world: ScenarioContext) -> None:
    for _ in range(TOLD_TOGETHER_SECONDS // OFTEN_SECONDS + 2):
        refused(world.stop(world.alice, world.first), Code.NOT_FOUND)
        world.advance(OFTEN_SECONDS)
    for event in events_of(world, Action.STOP_FAILED):
        spans = ((event.last_at or event.at) - event.at).total_seconds()
        told = f"one event tells of {event.times} calls within {spans:.0f} s"
        assert spans <= TOLD_TOGETHER_SECONDS, told


@scenario("AUDIT-026", Hook.AUDIT, Hook.CLOCK)
def test_refusals_are_told_together_at_any_time(world: ScenarioContext) -> None:
    stop = partial(world.stop, world.alice, world.first)
    first = _events_by(world, [stop] * REPEATED)
    for _ in range(2):
        world.advance(HOUR)
        later = _events_by(world, [stop] * REPEATED)
        said = f"{REPEATED} equal refusals were {first} events, and are {later} later"
        demand(first == REPEATED or later < REPEATED, said)


@scenario("AUDIT-027", Hook.AUDIT, KNOWS_CHALLENGES)
def test_made_up_ids_are_told_together(world: ScenarioContext) -> None:
    made_up = [LARGEST_ID - number for number in range(REPEATED)]
    calls = (world.start, world.extend, world.stop)
    for call in calls:
        of_one = _events_by(
            world, [partial(call, world.alice, world.challenges.unknown)] * REPEATED
        )
        of_many = _events_by(world, [partial(call, world.bob, each) for each in made_up])
        said = f"{REPEATED} refusals are {of_one} events, and {of_many} where the ids are made up"
        demand(of_one == REPEATED or of_many < REPEATED, said)
    told = sum(event.times for event in world.events() if event.user_id == world.bob.user_id)
    assert told == len(calls) * REPEATED, f"{told} calls with made-up ids are told of"


def _events_by(
    world: ScenarioContext, calls: Sequence[Callable[[], StartResult | ActionResult]]
) -> int:
    """How many events there are more after these calls, which are refused."""
    before = len(world.events())
    for call in calls:
        demand(not call()[0], "a call that must be refused was granted")
    return len(world.events()) - before


def _whole_life(world: ScenarioContext) -> None:
    """Every kind of call, granted and refused."""
    started(world, world.alice, world.first)
    world.start(world.alice, world.first)
    world.extend(world.alice, world.first)
    world.extend(world.alice, world.second)
    world.stop(world.alice, world.second)
    done(world.stop(world.alice, world.first))


def _time(event: ContainerEvent, key: str) -> datetime:
    text = event.metadata.get(key)
    assert isinstance(text, str), f"the event {event.action.value} has no {key}"
    return datetime.fromisoformat(text)
