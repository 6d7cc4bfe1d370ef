"""Ways to break the reference backend that show when it is swapped for another one."""

from __future__ import annotations

from conformance.harness import Options
from engines.contract import InstanceStatus, validate_ids
from reference.backend import Record, ReferenceBackend


class ForgetsUnlessAsked(ReferenceBackend):
    """Tells of an instance only right after its own start: what a front needs later is missing."""

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        validate_ids(user_id, challenge_id, team_id)
        return None


class AnotherAddressAtEachLook(ReferenceBackend):
    """Makes up the host name anew."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.looks = 0

    def describe(self, record: Record) -> InstanceStatus:
        self.looks += 1
        return {**super().describe(record), "host": f"look{self.looks}.ctf.example.com"}


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    ForgetsUnlessAsked: ("SWAP-004", "SWAP-006", "SWAP-007", "SWAP-009"),
    AnotherAddressAtEachLook: ("STATUS-007", "SWAP-001"),
}
