"""Ways to break what is so on several machines only."""

from __future__ import annotations

from conformance.harness import Options
from reference.backend import ReferenceBackend
from reference.machine import NODES, Container


class OneMachineOnly(ReferenceBackend):
    """Whatever is started is started on the first machine."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.machine.node_of = lambda number: NODES[0]  # type: ignore[method-assign] # the bug


class AddressOfTheFirst(ReferenceBackend):
    """What runs on another machine than the one before is told with that one's address."""

    def launch(self, challenge_id: int | None) -> Container:
        made = super().launch(challenge_id)
        for other in self.machine.containers.values():
            if other.node != made.node:
                made.host, made.ports = other.host, other.ports
        return made


class LeavesTheFarOne(ReferenceBackend):
    """A stop asks the first machine only, whose answer is that there is no such container."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        remove = self.machine.remove

        def near_only(container_id: str) -> None:
            if self.machine.containers[container_id].node == NODES[0]:
                remove(container_id)

        self.machine.remove = near_only  # type: ignore[method-assign] # the bug


CAUGHT_BY: dict[type[ReferenceBackend], tuple[str, ...]] = {
    OneMachineOnly: ("NODE-001",),
    AddressOfTheFirst: ("NODE-002",),
    LeavesTheFarOne: ("NODE-003",),
}
