"""Ways to be held up by a machine that says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from conformance.harness import FaultKind, Options
from engines.audit import Action
from engines.contract import ActionResult, InstanceStatus, StartResult
from engines.errors import BackendUnavailable
from reference.backend import ReferenceBackend
from reference.machine import Container, Machine


@contextmanager
def _without_end(machine: Machine) -> Iterator[None]:
    """The machine is waited for until it goes on."""
    before, machine.patience = machine.patience, None
    try:
        yield
    finally:
        machine.patience = before


class LooksWithoutEnd(ReferenceBackend):
    """A status has no time-out."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        with _without_end(self.machine):
            return super().get_instance_status(user_id, challenge_id, team_id)


class ExtendsWithoutEnd(ReferenceBackend):
    """An extend has no time-out."""

    def extend(
        self, user_id: int, challenge_id: int, team_id: int | None, times: dict[str, str]
    ) -> ActionResult:
        with _without_end(self.machine):
            return super().extend(user_id, challenge_id, team_id, times)


class LaunchesWithoutEnd(ReferenceBackend):
    """A container is waited for, however long it takes to be made."""

    def launch(self, challenge_id: int | None) -> Container:
        with _without_end(self.machine):
            return super().launch(challenge_id)

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        with _without_end(self.machine):
            return super().start(user_id, challenge_id, team_id)


class StopsWithoutEnd(ReferenceBackend):
    """A removal is waited for, however long it takes."""

    def stop(self, user_id: int, challenge_id: int, team_id: int | None) -> ActionResult:
        with _without_end(self.machine):
            return super().stop(user_id, challenge_id, team_id)


class WorksWithoutEnd(ReferenceBackend):
    """The worker has no time-outs."""

    def expire_due(self) -> int:
        with _without_end(self.machine):
            return super().expire_due()


class OneAfterTheOther(ReferenceBackend):
    """Everybody waits until the one before has given up."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.machine.patience = 0.5


class SilenceIsNothing(ReferenceBackend):
    """What says nothing has nothing."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        try:
            return super().get_instance_status(user_id, challenge_id, team_id)
        except BackendUnavailable:
            if self.machine.fault is FaultKind.HANGS:
                return None
            raise


class LateIsForgotten(ReferenceBackend):
    """A start that was given up is taken for one of which nothing came."""

    def start(
        self, user_id: int, challenge_id: int, team_id: int | None
    ) -> tuple[StartResult, Action]:
        if self.machine.fault is FaultKind.HANGS:
            self.machine.run([])
        return super().start(user_id, challenge_id, team_id)


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    LooksWithoutEnd: ("FAULT-019", "FAULT-024"),
    ExtendsWithoutEnd: ("FAULT-020",),
    LaunchesWithoutEnd: ("FAULT-021",),
    StopsWithoutEnd: ("FAULT-022",),
    WorksWithoutEnd: ("FAULT-023",),
    OneAfterTheOther: ("FAULT-024",),
    SilenceIsNothing: ("FAULT-019",),
    LateIsForgotten: ("FAULT-021",),
}
"""Every breakage and the scenarios that must fail on it."""
