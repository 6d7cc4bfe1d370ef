"""What an engine is made from, by the parent that looks and by the child that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import docker

from engines.catalog import ChallengeSpec, Companion, Readiness, StaticCatalog
from engines.clock import Clock
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import Guard
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.database import Database
from engines.settings import Settings

SERVED, FAILING, GROUP, WARM = 1, 2, 3, 4
"""One that serves, one whose container ends at once, one of two containers, one kept ready."""
PORTS = range(23000, 24000)
TIMEOUT_SECONDS = 900
READY_SECONDS = 20.0
PAST_LEASES_SECONDS = 300.0
"""Longer than any lease of a row, shorter than an instance's life."""
LONG_SECONDS = 30 * 86400


@dataclass(frozen=True)
class Parts:
    """Everything but sockets and connections: it goes through a pipe."""

    url: str
    deployment: str
    image: str
    kind: type[ContainerRuntimeEngine] = ContainerRuntimeEngine
    port_range: range | None = None
    """Instances are published on these ports."""
    warm: int = 0
    """Containers that are kept ready for :data:`WARM`."""

    @contextmanager
    def engine(
        self, client: docker.DockerClient, clock: Clock, timeout_seconds: int = TIMEOUT_SECONDS
    ) -> Iterator[tuple[ContainerRuntimeEngine, Database]]:
        """A fresh engine, as after a restart, with its own connections to the database."""
        settings = Settings(
            cre_account_limit=3,
            cre_timeout_seconds=timeout_seconds,
            cre_ready_seconds=READY_SECONDS,
            cre_deployment=self.deployment,
            cre_start_limit=0,
            cre_port_range=self.port_range,
        )
        guard = Guard("none")
        networks = OwnNetworks(lambda: client.api, settings.cre_network_pool, guard)
        database = Database(self.url)
        engine = self.kind(
            settings,
            runtime=DockerRuntime(client, networks=networks),
            catalog=StaticCatalog(self._challenges()),
            database=database,
            clock=clock,
        )
        try:
            yield engine, database
        finally:
            engine.close()
            database.close()

    def _challenges(self) -> list[ChallengeSpec]:
        served = ChallengeSpec(id=SERVED, name="Served", image=self.image, readiness=Readiness.HTTP)
        companion = Companion(name="inner", image=self.image)
        return [
            served,
            replace(served, id=FAILING, name="Failing", command=("/bin/busybox", "false")),
            replace(served, id=GROUP, name="Group", companions=(companion,)),
            replace(served, id=WARM, name="Warm", warm=self.warm),
        ]


class OwnNetworks(BridgeNetworks):
    """A network for each instance of several containers, and the default bridge for the others:
    as much of networks as a crash can leave behind."""

    def shared(self, *, egress: bool) -> str:
        return "bridge"
