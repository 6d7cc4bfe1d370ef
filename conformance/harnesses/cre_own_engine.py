"""``cre:own-engine``: as ``cre``, on an engine that may be restarted while instances live."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import docker

from conformance.harness import Hook, Options
from conformance.harnesses.cre_docker import DockerHarness, DockerWorld, Switch
from conformance.harnesses.own_engine import OwnEngine
from engines.database import Database


class OwnEngineWorld(DockerWorld):
    """Real containers on an engine of our own."""

    def __init__(
        self,
        engine: OwnEngine,
        client: Switch,
        options: Options,
        database: Database,
        deployment: str,
        image: str,
    ) -> None:
        super().__init__(client, options, database, deployment, image)
        self._own = engine

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
    hooks = DockerHarness.hooks | {Hook.RESTART, Hook.RESTART_LIVE}

    def __init__(self) -> None:
        super().__init__()
        self._own: OwnEngine | None = None

    def connected(self) -> docker.DockerClient:
        self._own = OwnEngine()
        return self._own.client()

    def new_world(
        self, client: Switch, options: Options, deployment: str, image: str
    ) -> OwnEngineWorld:
        if self._own is None:
            raise RuntimeError("open() comes before world()")
        return OwnEngineWorld(self._own, client, options, self.database(), deployment, image)

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._own is not None:
                self._own.close()
                self._own = None
