"""``cre``: ContainerRuntimeEngine under test on real Docker containers.

Every container carries a label that begins with this run's own name; it is swept by that label
after each scenario and at the end, and what a run that died left behind is swept before.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from conformance.harness import CannotRun, Options, World
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre import HOOKS, CreWorld
from conformance.harnesses.fetch import http_get
from conformance.harnesses.state import StatefulHarness
from engines.contract import InstanceStatus
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.cre.runtimes.docker import DockerRuntime
from engines.database import Database


class Switch:
    """A docker client whose engine can be made to refuse connections, for real."""

    def __init__(self, real: docker.DockerClient) -> None:
        self.real = real
        self._dead: docker.DockerClient | None = None
        self._stubborn: set[str] = set()

    @property
    def api(self) -> Any:
        return self._dead.api if self._dead is not None else self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real.api, name)

    def remove_container(self, container: str, **options: Any) -> Any:
        if container in self._stubborn:
            raise APIError(f"container {container} cannot be removed (injected)")
        return self.real.api.remove_container(container, **options)

    @contextmanager
    def outage(self) -> Iterator[None]:
        version = self.real.api.api_version
        # Port 9 of loopback (discard) has no listener: connections are refused by the kernel.
        self._dead = docker.DockerClient(base_url="tcp://127.0.0.1:9", version=version, timeout=5)
        try:
            yield
        finally:
            self._dead.close()
            self._dead = None

    @contextmanager
    def stubborn(self, container_id: str) -> Iterator[None]:
        self._stubborn.add(container_id)
        try:
            yield
        finally:
            self._stubborn.discard(container_id)


class DockerWorld(CreWorld):
    """Real containers, all with this world's label."""

    def __init__(
        self, client: Switch, options: Options, database: Database, deployment: str, image: str
    ) -> None:
        self._client = client
        self._deployment = deployment
        runtime = DockerRuntime(cast(docker.DockerClient, client))
        super().__init__(
            runtime, options, database, deployment=deployment, image=image, exiting_image=image
        )

    def running(self) -> set[str]:
        wanted = {"label": f"{LABEL_DEPLOYMENT}={self._deployment}"}
        return {row["Id"] for row in self._client.real.api.containers(filters=wanted)}

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        return http_get(instance["host"], int(instance["ports"][0]), path)

    def remove_behind(self, container_id: str) -> None:
        self._client.real.api.remove_container(container_id, force=True)

    def kill_behind(self, container_id: str) -> None:
        self._client.real.api.kill(container_id)
        self._client.real.api.wait(container_id)

    def outage(self) -> AbstractContextManager[None]:
        return self._client.outage()

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        return self._client.stubborn(container_id)

    def remove_containers(self) -> None:
        sweep(self._client.real, self._deployment)


class DockerHarness(StatefulHarness):
    """``cre``: real containers on the Docker engine that the environment names."""

    kind = "ContainerRuntimeEngine on Docker containers"
    hooks = HOOKS

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._image = ""
        self._run = f"check-{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._worlds = 0

    def open(self) -> None:
        self._client = self.connected()
        super().open()
        sweep_dead_runs(self._client)
        self._image = ensure_image(self._client)

    def connected(self) -> docker.DockerClient:
        """A client of the engine to use, which answers.

        Raises:
            CannotRun: none can be reached.
        """
        client: docker.DockerClient | None = None
        try:
            client = docker.from_env(timeout=60)
            client.ping()
        except (DockerException, RequestException) as error:
            if client is not None:
                client.close()
            raise CannotRun(
                "no Docker engine can be reached; start one (as root: dockerd), set DOCKER_HOST, "
                "or choose --backend cre:memory for simulated containers"
            ) from error
        return client

    def versions(self) -> dict[str, str]:
        if self._client is None:
            return {}
        docker_version = self._client.version()["Version"]
        return {"docker": docker_version, "image": self._image, **super().versions()}

    def world(self, options: Options) -> World:
        if self._client is None:
            raise RuntimeError("open() comes before world()")
        self._worlds += 1
        deployment = f"{self._run}-{self._worlds}"
        return self.new_world(Switch(self._client), options, deployment, self._image)

    def new_world(
        self, client: Switch, options: Options, deployment: str, image: str
    ) -> DockerWorld:
        return DockerWorld(client, options, self.database(), deployment, image)

    def close(self) -> None:
        if self._client is not None:
            sweep(self._client, self._run)
            self._client.close()
            self._client = None
        super().close()


def sweep(client: docker.DockerClient, prefix: str) -> int:
    """Remove the containers whose deployment label is ``prefix`` or begins with it and a dash."""
    removed = 0
    for row in client.api.containers(all=True, filters={"label": LABEL_DEPLOYMENT}):
        label = row["Labels"][LABEL_DEPLOYMENT]
        if label == prefix or label.startswith(f"{prefix}-"):
            try:
                client.api.remove_container(row["Id"], force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise
                continue  # gone, or going, already
            removed += 1
    return removed


def sweep_dead_runs(client: docker.DockerClient) -> int:
    """Remove what earlier runs of this machine left whose process does not exist any more."""
    mine = f"check-{platform.node()}-"
    removed = 0
    for row in client.api.containers(all=True, filters={"label": LABEL_DEPLOYMENT}):
        label = row["Labels"][LABEL_DEPLOYMENT]
        pid = label.removeprefix(mine).split("-")[0]
        if label.startswith(mine) and pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            removed += sweep(client, label)
    return removed
