"""The steps scenarios are told in; each one fails with a sentence about what it expected."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar, cast

from conformance.harness import FaultKind, Player
from conformance.spec.context import ScenarioContext
from conformance.spec.shape import moment
from conformance.spec.trace import HarnessFault
from engines.audit import Action, ContainerEvent
from engines.contract import ActionResult, Code, InstanceStatus, StartResult
from engines.errors import BackendUnavailable

_T = TypeVar("_T")

SLACK_SECONDS = 5
"""What a real clock may move on between two calls, and what whole seconds round away."""
START_SLACK_SECONDS = 60
"""How much of its life an instance may have used up while it became ready."""

AGAIN_SECONDS = 0.05
"""Between two looks whether a backend has noticed that it is answered again."""

IDENTITY = ("container_id", "host", "ports", "started_at")
"""What never changes while an instance is live."""
FIXED = (*IDENTITY, "expires_at", "extension_count")
"""What changes by an extend only."""

MOST_EXTENDS = 20
"""How many extends a scenario makes at most to use them up."""

MOST_MOMENTS = 150
"""More than any call or round has."""

LONGEST_WAIT_SECONDS = 15.0

SETTLING_SECONDS = 200
"""How long a backend may not know what became of a call that a fault hit."""
STATE_SETTLING_SECONDS = 600
"""How long it may not know what became of a call whose end it could not write down."""
WAITING_CODES = frozenset({Code.UNAVAILABLE, Code.BUSY, Code.RATE_LIMITED})
"""Codes of a call that may succeed later, so that the answer must say when."""

OWN_START_CODES = frozenset(
    {Code.IMAGE_MISSING, Code.START_FAILED, Code.NOT_READY, Code.PORT_UNAVAILABLE}
)
"""Codes that tell of a start that failed by itself, not for who asked."""


def demand(met: bool, sentence: str) -> None:
    """Fail with ``sentence`` unless ``met``; unlike ``assert`` also under ``python -O``."""
    if not met:
        raise AssertionError(sentence)


def started(world: ScenarioContext, player: Player, challenge: int) -> InstanceStatus:
    """Start an instance that was not live before."""
    result = world.start(player, challenge)
    code = result.code
    demand(result.ok, f"a start was refused: {result.message} ({code.value})")
    demand(code is Code.OK, f"a fresh start has code ok, not {code.value}")
    return cast(InstanceStatus, result.instance)


def repeated(world: ScenarioContext, player: Player, challenge: int) -> InstanceStatus:
    """Start an instance that is live already."""
    result = world.start(player, challenge)
    code = result.code
    demand(result.ok, f"a repeated start was refused: {result.message} ({code.value})")
    demand(
        code is Code.ALREADY_RUNNING, f"a repeated start has code already_running, not {code.value}"
    )
    return cast(InstanceStatus, result.instance)


def live(world: ScenarioContext, player: Player, challenge: int) -> InstanceStatus:
    """The status of an instance that must be live."""
    status = world.status(player, challenge)
    if status is None:
        raise AssertionError("status says None, but the instance must be live")
    return status


def gone(world: ScenarioContext, player: Player, challenge: int) -> None:
    """No instance of this challenge may be live for this player."""
    status = world.status(player, challenge)
    demand(status is None, "status tells of an instance that must not be live")


def done(result: ActionResult) -> None:
    """The call must have succeeded."""
    demand(result.ok, f"the call was refused: {result.message} ({result.code.value})")
    demand(result.code is Code.OK, f"success has code ok, not {result.code.value}")


def refused(result: StartResult | ActionResult, code: Code) -> None:
    """The call must have been refused for this reason."""
    demand(not result[0], f"the call returned True, but must be refused with {code.value}")
    demand(result.code is code, f"refused with {result.code.value} instead of {code.value}")


def same(before: InstanceStatus, after: InstanceStatus, keys: tuple[str, ...] = FIXED) -> None:
    """Two looks at one instance that nothing has changed in between."""
    old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
    changed = [f"{key} from {old[key]!r} to {new[key]!r}" for key in keys if old[key] != new[key]]
    demand(not changed, f"the instance was changed: {'; '.join(changed)}")


def untouched(
    world: ScenarioContext, player: Player, challenge: int, before: InstanceStatus
) -> None:
    """The player's instance must be live and as it was."""
    same(before, live(world, player, challenge))


def names(world: ScenarioContext, message: str, challenge: int) -> bool:
    """Whether a message names the challenge, by its number or by what players know it by."""
    name = world.name_of(challenge)
    numbered = re.search(rf"(?<!\d){challenge}(?!\d)", message) is not None
    return numbered or (name is not None and name in message)


def says_when(result: StartResult | ActionResult) -> None:
    """A refusal that will not last must say when to try again."""
    if result.code in WAITING_CODES:
        when = result.retry_after
        demand(when is not None and when > 0, f"{result.code.value} with retry_after {when!r}")


def agree(world: ScenarioContext, *players: Player) -> set[str]:
    """What runs must be exactly what status tells these players of; returns their containers."""
    shown: set[str] = set()
    for player in players:
        for challenge in (world.first, world.second):
            status = world.status(player, challenge)
            shown |= set() if status is None else {status["container_id"]}
    running = world.running()
    demand(running <= shown, f"runs, but no status tells of it: {sorted(running - shown)}")
    demand(shown <= running, f"status tells of what does not run: {sorted(shown - running)}")
    return running


def until(met: Callable[[], bool]) -> None:
    """Wait until this is so of a start that is at work."""
    end = time.monotonic() + LONGEST_WAIT_SECONDS
    while not met():
        demand(time.monotonic() < end, "a start neither came to its container nor answered")
        time.sleep(0.005)  # a start that is still at work gives no sign


def settle(world: ScenarioContext, seconds: float = SETTLING_SECONDS) -> None:
    """Let the time go by after which nothing may be unknown any more, and the worker run."""
    world.advance(seconds)
    world.run_worker()


def together(calls: Sequence[Callable[[], _T]]) -> list[_T]:
    """Make the calls at one moment, each on a thread of its own; their answers in order.

    What a call raised is raised here once all have ended.
    """
    gate = threading.Barrier(len(calls))
    answers: list[Future[_T]] = [Future() for _ in calls]

    def make(call: Callable[[], _T], answer: Future[_T]) -> None:
        gate.wait()
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again on the scenario's own thread
            answer.set_exception(error)

    threads = [
        threading.Thread(target=make, args=pair, daemon=True)
        for pair in zip(calls, answers, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answer.result() for answer in answers]


Outcome = object
"""What a call gave, or the BackendUnavailable that it raised."""
InTime = Callable[..., list[Outcome]]
"""Makes calls at one moment, each on a thread of its own; their outcomes in order."""


@contextmanager
def hanging(world: ScenarioContext, again: Callable[[], bool]) -> Iterator[InTime]:
    """What the backend stands on hangs inside this block, and every call must come back in it.

    Ends when it is answered again and has noticed that, as ``again`` says: it need not do so at
    once.
    """
    threads: list[threading.Thread] = []
    limit = world.answers_within

    def make(call: Callable[[], object], outcomes: dict[int, Outcome], place: int) -> None:
        try:
            outcomes[place] = call()
        except BackendUnavailable as error:
            outcomes[place] = error
        except BaseException as error:  # noqa: BLE001 - raised again on the scenario's own thread
            raised.append(error)

    raised: list[BaseException] = []

    def in_time(*calls: Callable[[], object]) -> list[Outcome]:
        outcomes: dict[int, Outcome] = {}
        mine = [
            threading.Thread(target=make, args=(call, outcomes, place), daemon=True)
            for place, call in enumerate(calls)
        ]
        threads.extend(mine)
        until = time.monotonic() + limit
        with world.backend.allows(BackendUnavailable):
            for thread in mine:
                thread.start()
            for thread in mine:
                thread.join(max(0.0, until - time.monotonic()))
        if raised:
            raise raised[0]
        late = sum(thread.is_alive() for thread in mine)
        demand(not late, f"{late} of {len(mine)} calls did not come back within {limit:g} s")
        return [outcomes[place] for place in range(len(calls))]

    try:
        with world.fault(FaultKind.HANGS):
            yield in_time
    finally:
        for thread in threads:
            thread.join(limit)
    until = time.monotonic() + limit
    while not again():
        demand(time.monotonic() < until, f"nothing works {limit:g} s after all is answered again")
        time.sleep(AGAIN_SECONDS)


def told(world: ScenarioContext, player: Player, challenge: int) -> bool:
    """Whether a status can be asked."""
    found: list[object] = []
    with world.backend.allows(BackendUnavailable):
        found.append(world.status(player, challenge))
    return bool(found)


def expiry(instance: InstanceStatus) -> datetime:
    """When the instance ends."""
    return moment("expires_at", instance["expires_at"])


def beginning(instance: InstanceStatus) -> datetime:
    """When the instance began."""
    return moment("started_at", instance["started_at"])


def let_expire(world: ScenarioContext, instance: InstanceStatus) -> None:
    """Move the clock past the instance's expiry, by less than the suite would notice."""
    world.advance(instance["remaining_seconds"] + 2)


def fill_with_extensions(world: ScenarioContext, player: Player, challenge: int) -> InstanceStatus:
    """Use up every extension; returns the status afterwards."""
    for _ in range(world.capabilities.max_extensions):
        done(world.extend(player, challenge))
    return live(world, player, challenge)


def came_to_moments(answers: Sequence[StartResult]) -> None:
    """What was to be interrupted has moments, and an end; else the harness is at fault."""
    if not answers or len(answers) >= MOST_MOMENTS:
        raise HarnessFault(f"{len(answers)} moments: the work has none, or goes round in circles")


def events_of(world: ScenarioContext, *actions: Action) -> list[ContainerEvent]:
    """The events with one of these actions, oldest first."""
    return [event for event in world.events() if event.action in actions]


def only_event(world: ScenarioContext, action: Action) -> ContainerEvent:
    """The one event with this action."""
    found = events_of(world, action)
    demand(len(found) == 1, f"{len(found)} events {action.value} instead of one")
    return found[0]


def latest_event(world: ScenarioContext, action: Action) -> ContainerEvent:
    """The last event with this action; that there is none is the backend's failure."""
    found = events_of(world, action)
    demand(bool(found), f"no event {action.value} was written")
    return found[-1]


@contextmanager
def time_zone(rule: str) -> Iterator[None]:
    """This process lives in another time zone inside this block.

    ``rule`` is written as POSIX has it, which needs no database of zones: ``JST-9`` is Tokyo's.
    """
    before = os.environ.get("TZ")
    os.environ["TZ"] = rule
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
