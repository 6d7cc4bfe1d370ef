"""``cre``: ContainerRuntimeEngine under test on real Docker containers.

Every container carries a label that begins with this run's own name; it is swept by that label
after each scenario and at the end, and what a run that died left behind is swept before.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from conformance.harness import CannotRun, Hook, Options, Outside, Trial, World
from conformance.harnesses.cast import COMPANION, DYING_COMPANION, ONE_CONNECTION, SLOW_COMPANION
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre import HOOKS, CreWorld
from conformance.harnesses.docker_inside import (
    RunNetworks,
    ask_inside,
    host_addresses,
    inner_addresses,
    listening,
)
from conformance.harnesses.fetch import http_get
from conformance.harnesses.outside import OutsideMachine, possible
from conformance.harnesses.state import StatefulHarness
from engines.contract import InstanceStatus
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, Runtime
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database

END_SECONDS = 10.0
"""How long a removed container may take to go away."""
IDLE = ["/bin/busybox", "sleep", "600"]
INNER_PORT = 80
"""What the challenge image listens on."""


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
        self._check(container)
        return self.real.api.remove_container(container, **options)

    def remove_service(self, service: str) -> Any:
        self._check(service)
        return self.real.api.remove_service(service)  # type: ignore[no-untyped-call] # the stubs'

    def _check(self, container_id: str) -> None:
        if container_id in self._stubborn:
            raise APIError(f"container {container_id} cannot be removed (injected)")

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
        self,
        client: Switch,
        options: Options,
        database: Database,
        *,
        deployment: str,
        image: str,
        networks: BridgeNetworks | None,
        machine: OutsideMachine,
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._image = image
        self.known_as = frozenset({deployment})
        self._machine = machine
        self._networks = networks
        if self.has_companions:
            self.challenges = replace(
                self.challenges,
                companion=COMPANION,
                slow_companion=self.slow_companion,
                dying_companion=self.slow_companion and DYING_COMPANION,
            )
        if self.slow_companion is not None:
            self.challenges = replace(self.challenges, one_connection=ONE_CONNECTION)
        super().__init__(
            self.runtime(cast(docker.DockerClient, client)),
            options,
            database,
            deployment=deployment,
            image=image,
            exiting_image=image,
        )

    @property
    def slow_companion(self) -> int | None:
        """The challenge that waits for its companion, where the runtime shows who listens."""
        return SLOW_COMPANION

    @property
    def has_companions(self) -> bool:
        """Whether instances may have networks of their own."""
        return self._networks is not None

    def runtime(self, client: docker.DockerClient) -> Runtime:
        return DockerRuntime(client, networks=self._networks)

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

    def inside(self, instance: InstanceStatus, trial: Trial, *arguments: str) -> str:
        return ask_inside(instance, trial, arguments)

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        said = self.inside(instance, Trial.SPEND, "disk", str(megabytes))
        return int(said.split()[1])

    def inner_addresses(self, instance: InstanceStatus) -> list[str]:
        return inner_addresses(self._client.real.api, instance["container_id"], INNER_PORT)

    def host_port(self, instance: InstanceStatus) -> AbstractContextManager[list[str]]:
        return listening(host_addresses(self._client.real.api, instance["container_id"]))

    def outside(self) -> AbstractContextManager[Outside]:
        return nullcontext(self._machine.facts())

    def outage(self) -> AbstractContextManager[None]:
        return self._client.outage()

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        return self._client.stubborn(container_id)

    @contextmanager
    def held_network(self, container_id: str) -> Iterator[None]:
        client = self._client.real
        details = client.api.inspect_container(container_id)
        labels = {LABEL_DEPLOYMENT: f"{self._deployment}-foreign"}  # swept, and not the engine's
        with ExitStack() as stack:
            for network in details["NetworkSettings"]["Networks"]:
                foreign = client.containers.run(
                    self._image, IDLE, detach=True, network=network, labels=labels
                )
                stack.callback(foreign.remove, force=True)
            yield

    def networks(self) -> set[str]:
        wanted = {"label": f"{LABEL_DEPLOYMENT}={self._deployment}"}
        return {row["Id"] for row in self._client.real.api.networks(filters=wanted)}

    def remove_containers(self) -> None:
        sweep(self._client.real, self._deployment)


class DockerHarness(StatefulHarness):
    """``cre``: real containers on the Docker engine that the environment names."""

    kind = "ContainerRuntimeEngine on Docker containers"
    needs = "a Docker engine (DOCKER_HOST, or the default socket)"
    parallel = True  # every label begins with this process's own name
    world_class: type[DockerWorld] = DockerWorld

    def __init__(self) -> None:
        more = {Hook.INSIDE, Hook.CRASH, Hook.DISK} | ({Hook.OUTSIDE} if possible() else set())
        self.hooks = HOOKS | more
        self._machine = OutsideMachine()
        self._bench: RunNetworks | None = None
        self._client: docker.DockerClient | None = None
        self._image = ""
        self._run = f"check-{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._worlds = 0
        self._left: list[str] | None = None

    @property
    def run(self) -> str:
        """What the label of everything this run makes begins with."""
        return self._run

    def open(self) -> None:
        self._client = self.connected()
        super().open()
        self.sweep_dead_runs(self._client)
        self._image = ensure_image(self._client)
        self._bench = self.bench(self._client)

    def bench(self, client: docker.DockerClient) -> RunNetworks | None:
        """The networks of this run, if it has some."""
        host = os.environ.get("DOCKER_HOST", "")
        return RunNetworks(client.api, host, Settings().cre_network_pool)

    def connected(self) -> docker.DockerClient:
        """A client of the engine to use, which answers.

        Raises:
            CannotRun: none can be reached.
        """
        return connected("choose --backend cre:memory for simulated containers")

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
        return self.world_class(
            client,
            options,
            self.database(),
            deployment=deployment,
            image=image,
            networks=self.networks(),
            machine=self._machine,
        )

    def networks(self) -> BridgeNetworks | None:
        """The networks of this run."""
        return None if self._bench is None else self._bench.networks

    def sweep_dead_runs(self, client: docker.DockerClient) -> None:
        """Remove what earlier runs of this machine left."""
        sweep_dead_runs(client)

    def sweep(self, client: docker.DockerClient) -> None:
        """Remove what this run made."""
        sweep(client, self._run)

    def close(self) -> None:
        self._machine.close()
        if self._client is not None:
            self.sweep(self._client)
            if self._bench is not None:
                self._bench.close()
                self._bench = None
            self._left = self._not_gone(self._client)
            self._client.close()
            self._client = None
        super().close()

    def leftovers(self) -> list[str] | None:
        return self._left

    def remaining(self, client: docker.DockerClient) -> list[str]:
        """Ids of containers and networks of this run."""
        return remaining(client, self._run)

    def _not_gone(self, client: docker.DockerClient) -> list[str]:
        """What remains, except for what is just going away."""
        left: list[str] = []

        def gone(_timeout: float) -> bool:
            left[:] = self.remaining(client)
            return not left

        wait_until(gone, END_SECONDS)
        return left


def connected(otherwise: str) -> docker.DockerClient:
    """A client of the engine that the environment names, which answers.

    Args:
        otherwise: what to do without one, for the message.

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
            "no Docker engine can be reached; start one (as root: dockerd), set DOCKER_HOST, or "
            f"{otherwise}"
        ) from error
    return client


def swept(client: docker.DockerClient, prefix: str) -> list[str]:
    """Sweep until nothing is left; returns the ids of what does not go within ``END_SECONDS``."""
    left: list[str] = []

    def gone(_timeout: float) -> bool:
        sweep(client, prefix)
        left[:] = remaining(client, prefix)
        return not left

    wait_until(gone, END_SECONDS)
    return left


def sweep(client: docker.DockerClient, prefix: str) -> int:
    """Remove containers, then networks, whose deployment label is ``prefix`` or begins with it and
    a dash; returns how many."""
    wanted = {"label": LABEL_DEPLOYMENT}
    api = client.api
    containers = [
        (row["Labels"], partial(api.remove_container, row["Id"], force=True, v=True))
        for row in api.containers(all=True, filters=wanted)
    ]
    networks = [
        (row["Labels"], partial(api.remove_network, row["Id"]))
        for row in api.networks(filters=wanted)
        if row["Driver"] == "bridge"
    ]
    mine = [
        remove
        for labels, remove in containers + networks
        if belongs(labels[LABEL_DEPLOYMENT], prefix)
    ]
    return sum(_removed(remove) for remove in mine)


def remaining(client: docker.DockerClient, prefix: str) -> list[str]:
    """Ids of what :func:`sweep` of the same prefix would remove."""
    wanted = {"label": LABEL_DEPLOYMENT}
    containers = client.api.containers(all=True, filters=wanted)
    networks = client.api.networks(filters=wanted)
    bridges = [row for row in networks if row["Driver"] == "bridge"]
    return [
        row["Id"]
        for row in [*containers, *bridges]
        if belongs(row["Labels"][LABEL_DEPLOYMENT], prefix)
    ]


def _removed(remove: Callable[[], object]) -> bool:
    try:
        remove()
    except APIError as error:
        if error.status_code not in (404, 409):
            raise
        return False  # gone, or going, already
    return True


def sweep_dead_runs(client: docker.DockerClient, kind: str = "check") -> int:
    """Remove what earlier runs of this machine left whose process does not exist any more.

    Args:
        kind: first word of the runs' labels.
    """
    rows = client.api.containers(all=True, filters={"label": LABEL_DEPLOYMENT})
    labels = {row["Labels"][LABEL_DEPLOYMENT] for row in rows}
    return sum(sweep(client, label) for label in labels if left_behind(label, kind))


def belongs(label: str, prefix: str) -> bool:
    """Whether a deployment label is ``prefix`` or begins with it and a dash."""
    return label == prefix or label.startswith(f"{prefix}-")


def left_behind(label: str, kind: str = "check") -> bool:
    """Whether a deployment label is of a run on this machine whose process does not exist."""
    mine = f"{kind}-{platform.node()}-"
    pid = label.removeprefix(mine).split("-")[0]
    return label.startswith(mine) and pid.isdecimal() and not Path(f"/proc/{pid}").exists()
