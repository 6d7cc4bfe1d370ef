"""Ways to break a reference backend that tells equal refusals together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engines.audit import Action, ContainerEvent
from engines.contract import Code
from reference.backend import ReferenceBackend

REFUSALS = (Action.START_FAILED, Action.EXTEND_FAILED, Action.STOP_FAILED)


class TellsTogether(ReferenceBackend):
    """Equal refusals are told together."""

    def audit(
        self,
        action: Action,
        code: Code,
        user_id: int,
        challenge_id: int,
        team_id: int | None,
        **metadata: Any,
    ) -> None:
        known = len(self.events)
        super().audit(action, code, user_id, challenge_id, team_id, **metadata)
        event = self.events[-1]
        for place, before in enumerate(self.events[:known]):
            if action in REFUSALS and self.alike(before, event):
                both = replace(before, times=before.times + 1, last_at=event.at)
                self.events[place] = both
                self.events.pop()
                return

    def alike(self, before: ContainerEvent, event: ContainerEvent) -> bool:
        named = (before.action, before.code, before.user_id, before.challenge_id)
        return named == (event.action, event.code, event.user_id, event.challenge_id)


class TellsTogetherOnce(TellsTogether):
    """Equal refusals are told together in the first minute alone."""

    def alike(self, before: ContainerEvent, event: ContainerEvent) -> bool:
        soon = (event.at - self.events[0].at).total_seconds() < 60
        return soon and super().alike(before, event)


class TellsTogetherWhileTheyGoOn(TellsTogether):
    """Equal refusals are one event as long as none comes a minute after the one before."""

    def alike(self, before: ContainerEvent, event: ContainerEvent) -> bool:
        soon = (event.at - (before.last_at or before.at)).total_seconds() < 60
        return soon and super().alike(before, event)


class TellsMadeUpIdsAlone(TellsTogether):
    """A refusal is told together with those of the same id, whether or not any challenge has it."""


class TellsMadeUpIdsOnce(TellsTogether):
    """Of refusals with made-up ids the first alone is told."""

    def audit(
        self,
        action: Action,
        code: Code,
        user_id: int,
        challenge_id: int,
        team_id: int | None,
        **metadata: Any,
    ) -> None:
        told = any(event.user_id == user_id and event.action is action for event in self.events)
        if self.may_be_challenge(challenge_id) or not told:
            super().audit(action, code, user_id, challenge_id, team_id, **metadata)


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    TellsTogetherOnce: ("AUDIT-026",),
    TellsTogetherWhileTheyGoOn: ("AUDIT-028",),
    TellsMadeUpIdsAlone: ("AUDIT-027",),
    TellsMadeUpIdsOnce: ("AUDIT-027",),
}
