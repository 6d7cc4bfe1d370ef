"""What an engine is made from, by the parent that looks and by the child that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import docker

from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.clock import Clock
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.docker import DockerRuntime
from engines.database import Database
from engines.settings import Settings

CHALLENGE, FAILING = 1, 2
"""One that serves, and one whose container ends at once."""
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
        )
        database = Database(self.url)
        engine = self.kind(
            settings,
            runtime=DockerRuntime(client),
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
        served = ChallengeSpec(
            id=CHALLENGE, name="Served", image=self.image, readiness=Readiness.HTTP
        )
        failing = ChallengeSpec(
            id=FAILING,
            name="Failing",
            image=self.image,
            readiness=Readiness.HTTP,
            command=("/bin/busybox", "false"),
        )
        return [served, failing]
