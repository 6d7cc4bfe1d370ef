"""ContainerRuntimeEngine under test: what its harnesses share, and ``cre:memory``.

The engine's clock is a virtual one also on Docker: time is moved, never waited for, while the
containers are real.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager
from dataclasses import replace

from conformance.harness import FaultKind, Hook, Limits, Options, Player, Worker, World
from conformance.harnesses.cast import CHALLENGES, MATES, PLAYERS
from conformance.harnesses.faulty_runtime import FaultyRuntime
from conformance.harnesses.state import StatefulHarness
from engines.audit import ContainerEvent
from engines.catalog import SAFE_ULIMITS, ChallengeSpec, Readiness, StaticCatalog, Visibility
from engines.clock import VirtualClock
from engines.contract import InstanceStatus
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.memory import MemoryRuntime
from engines.database import Database
from engines.settings import Settings

MISSING = "whale-ready-no-such-image:none"
EGRESS, READ_ONLY, CAPABLE = 7, 8, 9
EXITING = ("/bin/busybox", "false")

HOOKS = frozenset(Hook) - {Hook.INSIDE, Hook.OUTSIDE}


def _catalog(image: str, exiting: str) -> StaticCatalog:
    first = ChallengeSpec(id=1, name="First", image=image, readiness=Readiness.HTTP)
    return StaticCatalog(
        [
            first,
            replace(first, id=2, name="Second"),
            replace(first, id=3, name="Hidden", visibility=Visibility.HIDDEN),
            replace(first, id=4, name="Missing image", image=MISSING),
            replace(first, id=5, name="Exits at once", image=exiting, command=EXITING),
            replace(first, id=EGRESS, name="Egress", egress=True),
            replace(first, id=READ_ONLY, name="Read-only", read_only=True),
            replace(first, id=CAPABLE, name="Capable", capabilities=("NET_BIND_SERVICE",)),
        ]
    )


class CreWorld(World):
    """An engine of its own with an empty database."""

    challenges = replace(
        CHALLENGES,
        own_port=CHALLENGES.first,
        egress=EGRESS,
        read_only=READ_ONLY,
        capable=CAPABLE,
        limits=Limits(memory_mb=128, processes=128, open_files=SAFE_ULIMITS["nofile"]),
    )
    players = PLAYERS
    mates = MATES
    faults = frozenset(FaultKind) - {FaultKind.GARBAGE}
    engine_class: type[ContainerRuntimeEngine] = ContainerRuntimeEngine
    """Replaced where a broken engine is to be shown failing."""

    def __init__(
        self,
        runtime: Runtime,
        options: Options,
        database: Database,
        *,
        deployment: str,
        image: str,
        exiting_image: str,
    ) -> None:
        self._clock = VirtualClock()
        self._faulty = FaultyRuntime(runtime)
        settings = Settings(
            cre_account_limit=options.account_limit,
            cre_capacity=options.capacity or 1000,
            cre_timeout_seconds=options.timeout_seconds,
            cre_max_extensions=options.max_extensions,
            cre_deployment=deployment,
            worker_seconds=0.01,
        )
        self.engine = self.engine_class(
            settings,
            runtime=self._faulty,
            catalog=_catalog(image, exiting_image),
            database=database,
            clock=self._clock,
        )
        self.backend = self.engine

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def run_worker(self) -> None:
        self.engine.cleanup_worker.run_once()

    def worker(self) -> Worker:
        return self.engine.cleanup_worker

    def events(self) -> list[ContainerEvent]:
        return self.engine.audit.events()

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        flag = self.engine.recorded_flag(player.user_id, challenge_id, player.team_id)
        if flag is None:
            raise LookupError(f"no flag is recorded for {player} and challenge {challenge_id}")
        return flag

    def fault(self, kind: FaultKind) -> AbstractContextManager[None]:
        return self.outage() if kind is FaultKind.UNREACHABLE else self._faulty.fault(kind)

    def close(self) -> None:
        try:
            self.remove_containers()
        finally:
            self.engine.close()

    @abstractmethod
    def remove_containers(self) -> None:
        """Remove every container of this world."""


class MemoryWorld(CreWorld):
    """Containers are records in this process."""

    def __init__(self, options: Options, database: Database) -> None:
        self._memory = MemoryRuntime(images={"good", "exiting"}, crashing={"exiting"})
        super().__init__(
            self._memory,
            options,
            database,
            deployment="memory",
            image="good",
            exiting_image="exiting",
        )

    def running(self) -> set[str]:
        return self._memory.running()

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        return self._memory.fetch(instance["ports"][0], path)

    def remove_behind(self, container_id: str) -> None:
        self._memory.discard(container_id)

    def kill_behind(self, container_id: str) -> None:
        self._memory.kill(container_id)

    def outage(self) -> AbstractContextManager[None]:
        return self._memory.outage()

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        return self._memory.stubborn(container_id)

    def remove_containers(self) -> None:
        pass  # they end with this object


class MemoryHarness(StatefulHarness):
    """``cre:memory``: the engine's own code on simulated containers."""

    kind = "ContainerRuntimeEngine on simulated containers"
    simulated = True
    hooks = HOOKS

    def versions(self) -> dict[str, str]:
        return {"runtime": "memory (simulated)", **super().versions()}

    def world(self, options: Options) -> World:
        return MemoryWorld(options, self.database())
