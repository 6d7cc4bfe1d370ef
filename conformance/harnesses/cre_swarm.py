"""``cre:swarm``: ContainerRuntimeEngine under test on the Docker Swarm that the environment names.

``DOCKER_HOST`` is a manager of it, and ``CRE_CONSTRAINTS`` may say which nodes to use. The
challenge image is made on the manager; every node that is used must have it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import docker
from docker.errors import APIError, NotFound

from conformance.harness import CannotRun, Hook
from conformance.harnesses.cre_docker import DockerHarness, DockerWorld, belongs, left_behind
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.cre.runtimes.swarm import SwarmRuntime
from engines.cre.runtimes.swarm_tasks import ENDED, was_missing
from engines.probe import wait_until
from engines.settings import Settings

END_SECONDS = 60.0
"""How long a container may take to end that was told to."""


class SwarmWorld(DockerWorld):
    """Services, all with this world's label; an instance's id is that of its service."""

    # No manager puts a file into a container, or sees what nodes have written.
    challenges = replace(DockerWorld.challenges, flag_file=None, little_disk=None)

    def runtime(self, client: docker.DockerClient) -> SwarmRuntime:
        return SwarmRuntime(client, constraints=Settings.from_environ().cre_constraints)

    @property
    def slow_companion(self) -> int | None:
        return None

    @property
    def has_companions(self) -> bool:
        return True

    def running(self) -> set[str]:
        tasks = _tasks(self._client.real, f"{LABEL_DEPLOYMENT}={self._deployment}")
        return {task["ServiceID"] for task in tasks if task["Status"]["State"] == "running"}

    def machine_of(self, container_id: str) -> str | None:
        running = [t for t in self._left(container_id) if t["Status"]["State"] == "running"]
        return str(running[0]["NodeID"]) if running else None

    def remove_behind(self, container_id: str) -> None:
        _api(self._client.real).remove_service(container_id)
        self._await_end(container_id)

    def kill_behind(self, container_id: str) -> None:
        """Kill the container where it runs on this very engine; else have its node stop it."""
        api = _api(self._client.real)
        for task in self._left(container_id):
            try:
                api.kill(task["Status"]["ContainerStatus"]["ContainerID"])
            except NotFound:
                service = api.inspect_service(container_id)
                spec = {**service["Spec"], "Mode": {"Replicated": {"Replicas": 0}}}
                _update(api, service, spec)
        self._await_end(container_id)

    def remove_containers(self) -> None:
        sweep(self._client.real, self._deployment)

    def _left(self, service_id: str) -> list[Any]:
        return [
            task
            for task in _tasks(self._client.real, f"{LABEL_DEPLOYMENT}={self._deployment}")
            if task["ServiceID"] == service_id and task["Status"]["State"] not in ENDED
        ]

    def _await_end(self, service_id: str) -> None:
        if not wait_until(lambda _timeout: not self._left(service_id), END_SECONDS):
            raise TimeoutError(f"service {service_id} did not end")


class SwarmHarness(DockerHarness):
    """``cre:swarm``: services on the swarm whose manager the environment names."""

    kind = "ContainerRuntimeEngine on a Docker Swarm"
    needs = "a manager of a swarm (DOCKER_HOST)"
    parallel = False  # networks and nodes are the swarm's: one run after the other
    world_class = SwarmWorld

    def __init__(self) -> None:
        super().__init__()
        self.hooks -= {Hook.HELD_NETWORK}  # a swarm's networks are for services

    def open(self) -> None:
        super().open()
        if self._client is not None and not _manages(self._client):
            self.close()
            raise CannotRun(
                "the Docker engine is no swarm manager; run docker swarm init on it, or set "
                "DOCKER_HOST to a manager of a swarm"
            )

        if self._client is not None and len(_up(self._client)) > 1:
            self.hooks |= {Hook.MACHINES}

    def versions(self) -> dict[str, str]:
        nodes = [] if self._client is None else self._client.api.nodes()
        return {**super().versions(), "swarm-nodes": str(len(nodes))}

    def sweep_dead_runs(self, client: docker.DockerClient) -> None:
        if _manages(client):
            for label in {label for label, _ in _parts(client) if left_behind(label)}:
                sweep(client, label)

    def remaining(self, client: docker.DockerClient) -> list[str]:
        parts = _parts(client) if _manages(client) else []
        services = [part_id for label, (_, part_id) in parts if belongs(label, self._run)]
        return [*services, *super().remaining(client)]

    def sweep(self, client: docker.DockerClient) -> None:
        if not _manages(client):
            return
        sweep(client, self._run)

        def ended(_timeout: float) -> bool:
            labels = [
                task["Spec"]["ContainerSpec"]["Labels"][LABEL_DEPLOYMENT]
                for task in _tasks(client, LABEL_DEPLOYMENT)
            ]
            return not any(belongs(label, self._run) for label in labels)

        wait_until(ended, END_SECONDS)


def sweep(client: docker.DockerClient, prefix: str) -> int:
    """Remove services and networks whose deployment label is ``prefix`` or begins with it and a
    dash; their containers end soon after."""
    removals = [removal for label, removal in _parts(client) if belongs(label, prefix)]
    for remove, part_id in removals:
        _remove(partial(remove, part_id))
    return len(removals)


def _remove(removal: Callable[[], object]) -> None:
    """Remove a part; the tasks of a service that has just gone hold its network for a moment."""
    refusals: list[APIError] = []

    def gone(_timeout: float) -> bool:
        try:
            removal()
        except APIError as error:
            refusals.append(error)
            return was_missing(error)
        return True

    if not wait_until(gone, END_SECONDS):
        raise refusals[-1]


def _parts(client: docker.DockerClient) -> list[tuple[str, tuple[Any, str]]]:
    """Labels of all that deployments have on the swarm, services first, and how each goes."""
    api, wanted = _api(client), {"label": LABEL_DEPLOYMENT}
    services = [
        (row["Spec"]["Labels"], api.remove_service, row["ID"]) for row in api.services(wanted)
    ]
    networks = [
        (row["Labels"], api.remove_network, row["Id"])
        for row in api.networks(filters=wanted)
        if row["Driver"] == "overlay"
    ]
    return [
        (labels[LABEL_DEPLOYMENT], (remove, part_id))
        for labels, remove, part_id in services + networks
    ]


def _up(client: docker.DockerClient) -> list[Any]:
    """The nodes that containers can be given to now."""
    return [
        node
        for node in client.api.nodes()
        if node["Status"]["State"] == "ready" and node["Spec"]["Availability"] == "active"
    ]


def _tasks(client: docker.DockerClient, label: str) -> list[Any]:
    return list(_api(client).tasks(filters={"label": label}))


def _api(client: docker.DockerClient) -> Any:
    return client.api  # the stubs leave most of a swarm's calls untyped


def _update(api: Any, service: Any, spec: Any) -> None:
    api.update_service(
        service["ID"],
        service["Version"]["Index"],
        name=spec["Name"],
        labels=spec["Labels"],
        task_template=spec["TaskTemplate"],
        mode=spec["Mode"],
        endpoint_spec=spec["EndpointSpec"],
    )


def _manages(client: docker.DockerClient) -> bool:
    try:
        client.api.inspect_swarm()
    except APIError:
        return False
    return True
