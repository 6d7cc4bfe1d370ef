"""Calls and answers as the model sees them: what matters for the contract, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from conformance.harness import Player
from engines.contract import ActionResult, Code, StartResult, account_key


class Act(str, Enum):
    """The calls of the contract; a clean-up is the worker's stop."""

    START = "start"
    EXTEND = "extend"
    STOP = "stop"
    CLEAN_UP = "clean_up"
    STATUS = "status"


LIVE, NONE, UNASKED = "live", "none", "unasked"
"""What a status may say besides codes: an instance, None, or BackendUnavailable."""

VERBS = {
    Act.START: "starts",
    Act.EXTEND: "extends",
    Act.STOP: "stops",
    Act.CLEAN_UP: "cleans up",
    Act.STATUS: "looks at",
}


@dataclass(frozen=True)
class ModelCall:
    """Who asks for what."""

    act: Act
    player: Player
    challenge: int
    outage: bool = False
    """Whether what the backend stands on was out of reach meanwhile."""

    @property
    def account(self) -> str:
        return account_key(self.player.user_id, self.player.team_id)


@dataclass(frozen=True)
class SeenInstance:
    """An instance as an answer shows it; moments in epoch seconds."""

    container: str
    address: str
    started_at: float
    expires_at: float
    remaining: int
    extensions: int

    @classmethod
    def of(cls, instance: Mapping[str, Any]) -> SeenInstance:
        return cls(
            container=instance["container_id"],
            address=f"{instance['host']}:{','.join(instance['ports'])}",
            started_at=datetime.fromisoformat(instance["started_at"]).timestamp(),
            expires_at=datetime.fromisoformat(instance["expires_at"]).timestamp(),
            remaining=instance["remaining_seconds"],
            extensions=instance["extension_count"],
        )


@dataclass(frozen=True)
class CallAnswer:
    """What became of a call."""

    word: str
    """The value of its code; of a status ``live``, ``none`` or ``unasked``."""
    seen: SeenInstance | None = None
    definite: bool = True

    @classmethod
    def of_start(cls, result: StartResult) -> CallAnswer:
        seen = SeenInstance.of(result.instance) if result.ok else None
        return cls(result.code.value, seen, result.definite)

    @classmethod
    def of_action(cls, result: ActionResult) -> CallAnswer:
        return cls(result.code.value, None, result.definite)

    @classmethod
    def of_status(cls, status: Mapping[str, Any] | None) -> CallAnswer:
        return cls(NONE) if status is None else cls(LIVE, SeenInstance.of(status))


NOTHING_DONE = frozenset({Code.BUSY.value, Code.RATE_LIMITED.value})
"""Words of calls that gave way to another one."""
EFFECTIVE = frozenset({Code.OK.value, Code.ALREADY_RUNNING.value, LIVE})
"""Words of calls that did, or found, what was asked for."""
PLACES = frozenset({Code.LIMIT_REACHED.value, Code.CAPACITY.value})
"""Words of starts that found no place."""
