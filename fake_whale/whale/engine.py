"""The container engine below Whale: services apart from Whale's records.

That a service exists does not mean that it answers: an image may be missing, no node may suit, the
process may exit at once. Whale never finds out (docs/whale-wire.md, "Faults").
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from .clock import EpochClock
from .errors import ContainerEngineError
from .faults import Faults, WhaleFaultKind
from .settings import WhaleSettings
from .world import WhaleWorld

CLIENT_TIMEOUT_SECONDS = 60.0
"""The docker client's default; a hung engine costs a POST two of them and a DELETE three."""
RESTART_SECONDS = 3.0
"""After a restart of Docker the services answer again (docs/whale-wire.md, "frp")."""
CREATE_SECONDS = 0.015
REMOVE_SECONDS = 0.008
"""Real time a call to Docker takes (docs/whale-wire.md, "Latency"); none with a virtual clock."""

_REFERENCE = re.compile(
    r"(?:[A-Za-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
    r"(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_MEMORY = re.compile(r"\s*[+-]?[0-9]+\s*[kmg]?", re.IGNORECASE)


class Task(str, Enum):
    """How a service's task is doing."""

    RUNNING = "running"
    REJECTED = "rejected"
    PENDING = "pending"
    EXITED = "exited"


@dataclass(frozen=True)
class ServiceOrder:
    """What Whale asks the engine for."""

    whale_id: str
    user_id: int
    challenge_id: int
    uuid: str
    image: str | None
    flag: str = field(repr=False)
    memory_limit: str | None = "128m"
    cpu_limit: float | None = 0.5
    port: int = 80
    challenge_name: str = ""
    node: str = ""


@dataclass(frozen=True)
class Service:
    """A service that exists. ``ready_at``: epoch seconds from which it answers."""

    order: ServiceOrder
    task: Task
    created_at: float
    ready_at: float
    address: tuple[str, int] | None = None
    """Where a real container answers; None for a simulated one."""

    @property
    def whale_id(self) -> str:
        """The label Whale finds it by: ``{user_id}-{uuid}``."""
        return self.order.whale_id

    def answers(self, now: float) -> bool:
        """Whether its process serves requests at ``now`` (epoch seconds)."""
        return self.task is Task.RUNNING and self.ready_at <= now


class Engine(Protocol):
    """Creates and removes services; raises :class:`ContainerEngineError` when it fails."""

    @property
    def local(self) -> bool:
        """Whether looking at a service asks nobody outside this process."""

    def create(self, order: ServiceOrder) -> None: ...

    def remove(self, whale_id: str) -> None: ...

    def services(self) -> list[Service]: ...

    def find(self, whale_id: str) -> Service | None:
        """The service with that label as it is now, or None."""

    def discard(self, uuid: str) -> bool:
        """Removed by hand, behind Whale's back; False when there is no such service."""

    def restart(self) -> None:
        """Docker restarts: services are back after a while, by themselves."""

    def close(self) -> None: ...


class SimulatedEngine:
    """A one-node Swarm without containers."""

    local = True

    def __init__(
        self,
        world: WhaleWorld,
        settings: WhaleSettings,
        clock: EpochClock,
        faults: Faults,
        wait: Callable[[float], None],
        ready_delay_seconds: float,
    ) -> None:
        self._world = world
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._wait = wait
        self._ready_delay = ready_delay_seconds
        self._services: list[Service] = []
        self._lock = threading.Lock()

    def create(self, order: ServiceOrder) -> None:
        """Make the service; raises :class:`ContainerEngineError` when Docker would not take the
        order."""
        self._trouble()
        task = self._judge(order)
        self._work(CREATE_SECONDS)
        now = self._clock.time()
        with self._lock:
            self._services.append(Service(order, task, now, now + self._ready_delay))

    def remove(self, whale_id: str) -> None:
        """Remove every service with that label; none is no error."""
        # Listed first and removed after: what a slow engine creates meanwhile stays.
        found = {id(service) for service in self.services() if service.whale_id == whale_id}
        self._trouble()
        self._work(REMOVE_SECONDS)
        with self._lock:
            self._services = [s for s in self._services if id(s) not in found]

    def services(self) -> list[Service]:
        """All services, oldest first."""
        with self._lock:
            return list(self._services)

    def find(self, whale_id: str) -> Service | None:
        """See :meth:`Engine.find`."""
        return next((s for s in self.services() if s.whale_id == whale_id), None)

    def discard(self, uuid: str) -> bool:
        """See :meth:`Engine.discard`."""
        with self._lock:
            before = len(self._services)
            self._services = [s for s in self._services if s.order.uuid != uuid]
            return len(self._services) < before

    def restart(self) -> None:
        """See :meth:`Engine.restart`."""
        back_at = self._clock.time() + RESTART_SECONDS
        with self._lock:
            self._services = [replace(service, ready_at=back_at) for service in self._services]

    def close(self) -> None:
        """Forget all services."""
        with self._lock:
            self._services.clear()

    def _work(self, seconds: float) -> None:
        if not self._clock.virtual:
            self._wait(seconds)

    def _trouble(self) -> None:
        fault = self._faults.fire(
            WhaleFaultKind.DOCKER_REFUSED,
            WhaleFaultKind.DOCKER_ERROR,
            WhaleFaultKind.DOCKER_HUNG,
            WhaleFaultKind.DOCKER_SLOW,
        )
        apply_docker_fault(fault.kind if fault else None, fault.seconds if fault else 0, self._wait)

    def _judge(self, order: ServiceOrder) -> Task:
        check_order(order, self._settings, self._world.networks)
        images = _images_of(order.image or "")
        if (
            self._faults.fire(WhaleFaultKind.NO_SUITABLE_NODE)
            or order.node not in self._world.nodes
        ):
            return Task.PENDING
        if (order.cpu_limit or 0) > self._world.node_cpus:
            return Task.PENDING
        if self._faults.fire(WhaleFaultKind.IMAGE_MISSING):
            return Task.REJECTED
        if any(i not in self._world.images | self._world.crashing_images for i in images):
            return Task.REJECTED
        return Task.EXITED if images[0] in self._world.crashing_images else Task.RUNNING


def apply_docker_fault(
    kind: WhaleFaultKind | None, seconds: float, wait: Callable[[float], None]
) -> None:
    """What a fault does to one call to Docker; raises :class:`ContainerEngineError`."""
    if kind is WhaleFaultKind.DOCKER_REFUSED:
        raise ContainerEngineError("connection refused")
    if kind is WhaleFaultKind.DOCKER_ERROR:
        raise ContainerEngineError("500 Server Error")
    if kind is WhaleFaultKind.DOCKER_HUNG or (
        kind is WhaleFaultKind.DOCKER_SLOW and seconds >= CLIENT_TIMEOUT_SECONDS
    ):
        wait(CLIENT_TIMEOUT_SECONDS)
        raise ContainerEngineError("read timed out")
    if kind is WhaleFaultKind.DOCKER_SLOW:
        wait(seconds)


def check_order(order: ServiceOrder, settings: WhaleSettings, networks: frozenset[str]) -> None:
    """What Whale and Docker refuse outright; raises :class:`ContainerEngineError`."""
    if order.image is None or order.cpu_limit is None or order.memory_limit is None:
        raise ContainerEngineError("not a docker challenge")
    if not all(_REFERENCE.fullmatch(image) for image in _images_of(order.image)):
        raise ContainerEngineError("invalid reference format")
    if not _MEMORY.fullmatch(order.memory_limit):
        raise ContainerEngineError("memory limit is not a size")
    if not order.image.startswith("{"):
        network = settings.get("docker_auto_connect_network", "ctfd_frp-containers")
        if str(network) not in networks:
            raise ContainerEngineError(f"network {network} not found")


def _images_of(image: str) -> list[str]:
    """The images of a challenge; a JSON object names several, the first being the main one."""
    if not image.startswith("{"):
        return [image]
    try:
        parsed = json.loads(image)
    except ValueError as error:
        raise ContainerEngineError("image string is not JSON") from error
    images = [str(value) for value in parsed.values()]
    if not images:
        raise ContainerEngineError("image string names no image")
    return images
