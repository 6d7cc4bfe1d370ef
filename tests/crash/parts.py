"""What an engine is made from, by the parent that looks and by the child that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from ipaddress import IPv4Network

import docker
from docker.errors import APIError

from engines.catalog import ChallengeSpec, Companion, Readiness, StaticCatalog
from engines.clock import Clock, SystemClock
from engines.contract import ContainerBackend
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.cre.runtimes.subnets import LABEL_SHARED
from engines.settings import Settings
from engines.state.database import Database

SERVED, FAILING, GROUP, WARM, OPEN = 1, 2, 3, 4, 5
"""One that serves, one whose container ends at once, one of two containers, one kept ready, one
with egress."""
PORTS = range(23000, 24000)
TIMEOUT_SECONDS = 900
READY_SECONDS = 20.0
PAST_LEASES_SECONDS = 300.0
"""Longer than any lease of a row, shorter than an instance's life."""
LONG_SECONDS = 30 * 86400
POOLS = {"crash": IPv4Network("10.210.0.0/16"), "many": IPv4Network("10.209.0.0/16")}
"""Addresses for the networks of each family."""


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
    family: str = "crash"
    """Of the shared networks: with others than those of the host's deployments and other tests."""

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
        guard = FirewallGuard("none")
        networks = BridgeNetworks(
            lambda: client.api, POOLS[self.family], guard, family=self.family, bridges=1
        )
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

    @contextmanager
    def opened(self, connections: int) -> Iterator[ContainerBackend]:
        """An engine with its own connections to everything, as a process has it."""
        client = docker.from_env(timeout=60, max_pool_size=connections)
        with self.engine(client, SystemClock()) as (made, _):
            yield made
        client.close()

    def _challenges(self) -> list[ChallengeSpec]:
        served = ChallengeSpec(id=SERVED, name="Served", image=self.image, readiness=Readiness.HTTP)
        companion = Companion(name="inner", image=self.image)
        return [
            served,
            replace(served, id=FAILING, name="Failing", command=("/bin/busybox", "false")),
            replace(served, id=GROUP, name="Group", companions=(companion,)),
            replace(served, id=WARM, name="Warm", warm=self.warm),
            replace(served, id=OPEN, name="Open", egress=True),
        ]


def forget_networks(client: docker.DockerClient, family: str, *kinds: str) -> None:
    """Remove the shared networks of a family (and of these kinds), on which nothing stands.

    One that Docker holds on to though it shows nothing on it stays: while many containers come and
    go at once, Docker 20.10 now and then miscounts a network's endpoints until it is restarted.
    """
    beginnings = tuple(f"whale-ready-{family}-{kind}" for kind in kinds or ("",))
    for network in client.networks.list(filters={"label": LABEL_SHARED}):
        if network.name.startswith(beginnings):
            try:
                network.remove()
            except APIError as error:
                network.reload()
                if error.status_code != HTTPStatus.FORBIDDEN or network.containers:
                    raise
