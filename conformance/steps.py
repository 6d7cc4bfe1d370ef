"""The steps scenarios are told in; each one fails with a sentence about what it expected."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from conformance.harness import Player
from conformance.shape import moment
from conformance.stage import Stage
from engines.audit import Action, ContainerEvent
from engines.contract import ActionResult, Code, InstanceStatus, StartResult

SLACK_SECONDS = 5
"""What a real clock may move on between two calls, and what whole seconds round away."""
START_SLACK_SECONDS = 60
"""How much of its life an instance may have used up while it became ready."""

IDENTITY = ("container_id", "host", "ports", "started_at")
"""What never changes while an instance is live."""
FIXED = (*IDENTITY, "expires_at", "extension_count")
"""What changes by an extend only."""

OWN_START_CODES = frozenset(
    {Code.IMAGE_MISSING, Code.START_FAILED, Code.NOT_READY, Code.PORT_UNAVAILABLE}
)
"""Codes that tell of a start that failed by itself, not for who asked."""


def demand(met: bool, sentence: str) -> None:
    """Fail with ``sentence`` unless ``met``; unlike ``assert`` also under ``python -O``."""
    if not met:
        raise AssertionError(sentence)


def started(world: Stage, player: Player, challenge: int) -> InstanceStatus:
    """Start an instance that was not live before."""
    result = world.start(player, challenge)
    code = result.code
    demand(result.ok, f"a start was refused: {result.message} ({code.value})")
    demand(code is Code.OK, f"a fresh start has code ok, not {code.value}")
    return cast(InstanceStatus, result.instance)


def repeated(world: Stage, player: Player, challenge: int) -> InstanceStatus:
    """Start an instance that is live already."""
    result = world.start(player, challenge)
    code = result.code
    demand(result.ok, f"a repeated start was refused: {result.message} ({code.value})")
    demand(
        code is Code.ALREADY_RUNNING, f"a repeated start has code already_running, not {code.value}"
    )
    return cast(InstanceStatus, result.instance)


def live(world: Stage, player: Player, challenge: int) -> InstanceStatus:
    """The status of an instance that must be live."""
    status = world.status(player, challenge)
    if status is None:
        raise AssertionError("status says None, but the instance must be live")
    return status


def gone(world: Stage, player: Player, challenge: int) -> None:
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


def untouched(world: Stage, player: Player, challenge: int, before: InstanceStatus) -> None:
    """The player's instance must be live and as it was."""
    same(before, live(world, player, challenge))


def expiry(instance: InstanceStatus) -> datetime:
    """When the instance ends."""
    return moment("expires_at", instance["expires_at"])


def beginning(instance: InstanceStatus) -> datetime:
    """When the instance began."""
    return moment("started_at", instance["started_at"])


def let_expire(world: Stage, instance: InstanceStatus) -> None:
    """Move the clock past the instance's expiry, by less than the suite would notice."""
    world.advance(instance["remaining_seconds"] + 2)


def fill_with_extensions(world: Stage, player: Player, challenge: int) -> InstanceStatus:
    """Use up every extension; returns the status afterwards."""
    for _ in range(world.capabilities.max_extensions):
        done(world.extend(player, challenge))
    return live(world, player, challenge)


def events_of(world: Stage, *actions: Action) -> list[ContainerEvent]:
    """The events with one of these actions, oldest first."""
    return [event for event in world.events() if event.action in actions]


def only_event(world: Stage, action: Action) -> ContainerEvent:
    """The one event with this action."""
    found = events_of(world, action)
    demand(len(found) == 1, f"{len(found)} events {action.value} instead of one")
    return found[0]
