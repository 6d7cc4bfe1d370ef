"""The audit log: one event per call that changes something or tries to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engines.audit import Action, ContainerEvent
from engines.clock import Clock
from engines.contract import Code, account_key


@dataclass(frozen=True)
class Asked:
    """One call: who asks for what, and since when."""

    user_id: int
    challenge_id: int
    team_id: int | None
    began: float = field(default_factory=time.monotonic)

    @property
    def account(self) -> str:
        return account_key(self.user_id, self.team_id)


class Trail:
    """Events of one backend, oldest first."""

    def __init__(self, backend: str, clock: Clock) -> None:
        self.events: list[ContainerEvent] = []
        self._backend = backend
        self._clock = clock

    def write(
        self, asked: Asked, action: Action, code: Code, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.events.append(
            ContainerEvent(
                at=self._clock.now(),
                backend=self._backend,
                user_id=asked.user_id,
                team_id=asked.team_id,
                challenge_id=asked.challenge_id,
                action=action,
                code=code,
                duration_ms=round((time.monotonic() - asked.began) * 1000),
                metadata=metadata or {},
            )
        )

    def extended(self, asked: Asked, before: datetime, after: datetime) -> None:
        times = {"old_expiry": before.isoformat(), "new_expiry": after.isoformat()}
        self.write(asked, Action.EXTENDED, Code.OK, times)
