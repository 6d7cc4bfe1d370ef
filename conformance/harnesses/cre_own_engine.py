"""``cre:own-engine``: as ``cre``, on an engine that may be restarted while instances live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import docker

from conformance.harness import FaultKind, Hook, Options
from conformance.harnesses.cre_docker import DockerHarness, DockerWorld, Switch
from conformance.harnesses.docker_inside import RunNetworks
from conformance.harnesses.own_engine import OwnEngine
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.docker import DockerRuntime


class OwnEngineWorld(DockerWorld):
    """Real containers on an engine of our own."""

    own: OwnEngine | None = None
    look_seconds, hang_seconds = 1.0, 4.0

    @property
    def _own(self) -> OwnEngine:
        if self.own is None:
            raise RuntimeError("the world has no engine")
        return self.own

    def runtime(self, client: docker.DockerClient) -> Runtime:
        return DockerRuntime(
            client,
            networks=self._networks,
            look_seconds=self.look_seconds,
            answer_seconds=self.hang_seconds,
        )

    def fault(self, kind: FaultKind) -> AbstractContextManager[None]:
        return self._own.hanging() if kind is FaultKind.HANGS else super().fault(kind)

    @contextmanager
    def restart(self) -> Iterator[None]:
        self._own.stop()
        try:
            yield
        finally:
            self._own.start()

    @contextmanager
    def restart_live(self) -> Iterator[None]:
        with self._own.live_restore(), self.restart():
            yield


class OwnEngineHarness(DockerHarness):
    """Real containers on a Docker engine that this run starts, restarts and ends."""

    kind = "ContainerRuntimeEngine on Docker containers, on an engine of its own"
    world_class = OwnEngineWorld
    needs = "root, dockerd and ip"
    parallel = False  # an engine per process is more than a small machine carries

    def __init__(self) -> None:
        super().__init__()
        self.hooks |= {Hook.RESTART, Hook.RESTART_LIVE}
        self._own: OwnEngine | None = None

    def connected(self) -> docker.DockerClient:
        self._own = OwnEngine()
        return self._own.client()

    def bench(self, client: docker.DockerClient) -> RunNetworks | None:
        return None  # its bridges would have the names of those of the machine's engine

    def new_world(
        self, client: Switch, options: Options, deployment: str, image: str
    ) -> DockerWorld:
        world = super().new_world(client, options, deployment, image)
        if isinstance(world, OwnEngineWorld):
            world.own = self._own
        return world

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._own is not None:
                self._own.close()
                self._own = None
