"""A runtime without containers: the same engine code in milliseconds, on any machine.

Everything that uses it says *simulated*. Images are names in a set; a challenge whose image is in
``crashing`` exits at once. The methods below :meth:`MemoryRuntime.versions` play the operator.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from engines.catalog import Transport
from engines.cre.evidence import FailureEvidence, Redactor
from engines.cre.runtimes.base import (
    Cleared,
    Launch,
    Launched,
    ListedResource,
    Overfull,
    Runtime,
    is_leftover,
)
from engines.errors import (
    BackendUnavailable,
    ContainerExited,
    ImageMissing,
    PortUnavailable,
)

FIRST_PORT, LAST_PORT = 30000, 60000


@dataclass
class _Container:
    container_id: str
    launch: Launch
    ports: tuple[int, ...]
    running: bool = True
    written_mb: int = 0
    stubborn: bool = False

    @property
    def published(self) -> set[tuple[int, Transport]]:
        return _published(self.launch, self.ports)


class MemoryRuntime(Runtime):
    """Containers that are records in a dictionary.

    Args:
        images: the images that exist; None lets every image exist.
        crashing: images whose process ends at once.
    """

    name = "memory"
    simulated = True

    def __init__(self, images: Iterable[str] | None = None, crashing: Iterable[str] = ()) -> None:
        self._images = None if images is None else frozenset(images)
        self._crashing = frozenset(crashing)
        self._lock = threading.Lock()
        self._containers: dict[str, _Container] = {}
        self._networks: dict[str, Launch] = {}
        """Those that outlived their instances, by id."""
        self._held: set[str] = set()
        """Ids of networks that others hold on to."""
        self._down = False

    def launch(self, launch: Launch) -> Launched:
        with self._lock:
            self._check_up()
            if self._images is not None and launch.spec.image not in self._images:
                raise ImageMissing(f"image {launch.spec.image} does not exist")
            there = [each for each in self._containers.values() if each.launch.name == launch.name]
            is_leftover(launch, (each.launch.fence for each in there))
            for each in there:
                del self._containers[each.container_id]
            if launch.spec.image in self._crashing:
                raise ContainerExited(f"image {launch.spec.image} ended at once")
            container = _Container(secrets.token_hex(32), launch, self._ports_for(launch))
            self._containers[container.container_id] = container
            return Launched(container.container_id, tuple(map(str, container.ports)))

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        if not self.is_running(launched.container_id):
            raise ContainerExited("the container ended before it answered")

    def is_running(self, container_id: str) -> bool:
        with self._lock:
            self._check_up()
            container = self._containers.get(container_id)
            return container is not None and container.running

    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        with self._lock:
            if container_id in self._containers:
                return FailureEvidence("its container does not run: its process was ended")
            return FailureEvidence("its container is not there any more: somebody removed it")

    def remove(self, container_id: str) -> Cleared:
        with self._lock:
            self._check_up()
            return self._remove([container_id] if container_id in self._containers else [])

    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        with self._lock:
            self._check_up()

            def wanted(launch: Launch) -> bool:
                named = (launch.deployment, launch.name) == (deployment, name)
                return named and launch.fence <= fence

            left = [key for key, network in self._networks.items() if wanted(network)]
            return self._remove(
                [
                    container.container_id
                    for container in self._containers.values()
                    if wanted(container.launch)
                ],
                left,
            )

    def find(self, deployment: str) -> list[ListedResource]:
        with self._lock:
            self._check_up()
            found = [
                (container.container_id, container.running, container.launch)
                for container in self._containers.values()
            ]
            found += [(key, False, launch) for key, launch in self._networks.items()]
            return [
                ListedResource(each, launch.name, running, launch.fence, launch.owner)
                for each, running, launch in found
                if launch.deployment == deployment
            ]

    def overfull(self, deployment: str) -> list[Overfull]:
        with self._lock:
            self._check_up()
            found = [
                Overfull(
                    container.launch.name,
                    container.launch.fence,
                    container.written_mb,
                    container.launch.spec.disk_mb,
                )
                for container in self._containers.values()
                if container.launch.deployment == deployment and container.launch.spec.disk_mb
            ]
            return [each for each in found if each.written_mb >= each.allowed_mb]

    def image_id(self, image: str) -> str | None:
        return image if self._images is None or image in self._images else None

    def versions(self) -> dict[str, str]:
        return {"runtime": "memory (simulated)"}

    def running(self) -> set[str]:
        """Ids of the containers whose process runs, also while the runtime is down."""
        with self._lock:
            return {
                container.container_id
                for container in self._containers.values()
                if container.running
            }

    def networks(self) -> set[str]:
        """Ids of the networks that are there, each container's own and those left behind."""
        with self._lock:
            own = {_network_of(each.launch) for each in self._containers.values()}
            return own | set(self._networks)

    def fetch(self, port: str, path: str) -> str | None:
        """What a player would get from a port, or None when nobody answers."""
        with self._lock:
            for container in self._containers.values():
                if int(port) in container.ports and container.running:
                    if path == "/cgi-bin/flag":
                        return container.launch.environment.get("FLAG", "")
                    if container.launch.spec.flag_file == f"/www{path}":
                        return container.launch.flag
                    return f"challenge {container.launch.spec.id}"
            return None

    def kill(self, container_id: str) -> None:
        """The container's process dies."""
        with self._lock:
            self._containers[container_id].running = False

    def write(self, container_id: str, megabytes: int) -> None:
        """The container writes to its disk."""
        with self._lock:
            self._containers[container_id].written_mb += megabytes

    def discard(self, container_id: str) -> None:
        """Somebody removes the container by hand."""
        with self._lock:
            del self._containers[container_id]

    def replace(self, container_id: str) -> str:
        """Somebody makes another container in the place of this one; returns its id."""
        with self._lock:
            launch = self._containers[container_id].launch
        return self.launch(launch).container_id

    @contextmanager
    def outage(self) -> Iterator[None]:
        """The runtime refuses every request; containers keep running."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    @contextmanager
    def stubborn(self, container_id: str) -> Iterator[None]:
        """One container cannot be removed."""
        with self._lock:
            self._containers[container_id].stubborn = True
        try:
            yield
        finally:
            with self._lock:
                if container_id in self._containers:
                    self._containers[container_id].stubborn = False

    @contextmanager
    def held_network(self, container_id: str) -> Iterator[None]:
        """Something of somebody else's is on a container's network, which cannot be removed."""
        with self._lock:
            network = _network_of(self._containers[container_id].launch)
            self._held.add(network)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(network)

    def _check_up(self) -> None:
        if self._down:
            raise BackendUnavailable("the runtime is down", untouched=True)

    def _remove(self, container_ids: list[str], networks: Iterable[str] = ()) -> Cleared:
        tried = list(networks)
        for container_id in container_ids:
            if self._containers[container_id].stubborn:
                raise BackendUnavailable("the container cannot be removed")
            launch = self._containers.pop(container_id).launch
            network = _network_of(launch)
            self._networks[network] = launch
            tried.append(network)
        kept = [network for network in tried if network in self._held]
        for network in set(tried) - set(kept):
            del self._networks[network]
        said = tuple(f"{network} is kept by something foreign" for network in kept)
        return Cleared(bool(tried), said)

    def _ports_for(self, launch: Launch) -> tuple[int, ...]:
        taken = {each for known in self._containers.values() for each in known.published}
        if launch.host_ports:
            wanted = _published(launch, launch.host_ports)
            if taken & wanted:
                raise PortUnavailable("the port is taken")
            return launch.host_ports
        numbers = {number for number, _ in taken}
        free = (port for port in range(FIRST_PORT, LAST_PORT + 1) if port not in numbers)
        ports = tuple(islice(free, len(launch.spec.ports)))
        if len(ports) < len(launch.spec.ports):
            raise PortUnavailable("no port is free")
        return ports


def _network_of(launch: Launch) -> str:
    return f"network {launch.name}-{launch.fence}"


def _published(launch: Launch, numbers: tuple[int, ...]) -> set[tuple[int, Transport]]:
    transports = (port.transport for port in launch.spec.ports)
    return set(zip(numbers, transports, strict=True))
