"""Container mode: POST really starts the challenge on the local engine.

Everything it starts carries the label ``whale-ready.fake`` with a value of this fake's own, and
only that is ever removed. Instances are reached by their own address on the engine's network,
through the fake's listeners, so time-to-ready and reachability are real.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

import docker
import docker.errors
import docker.types
import requests

from .clock import EpochClock
from .engine import Service, ServiceOrder, Task, apply_docker_fault, check_order
from .errors import ContainerEngineError, FakeWhaleError
from .faults import Faults, WhaleFaultKind
from .runtimes import WhaleRuntime
from .settings import WhaleSettings
from .world import WhaleWorld

LABEL = "whale-ready.fake"
_TROUBLE = (docker.errors.DockerException, requests.RequestException, OSError)


class DockerEngine:
    """Services as real containers (``docker``) or Swarm services (``swarm``)."""

    local = False

    def __init__(
        self,
        runtime: WhaleRuntime,
        world: WhaleWorld,
        settings: WhaleSettings,
        clock: EpochClock,
        faults: Faults,
        wait: Callable[[float], None],
    ) -> None:
        self._swarm = runtime is WhaleRuntime.SWARM
        self._world = world
        self._settings = settings
        self._clock = clock
        self._faults = faults
        self._wait = wait
        self._lock = threading.Lock()
        self._orders: dict[str, tuple[ServiceOrder, float]] = {}
        self.run = uuid.uuid4().hex[:12]
        try:
            self._client: Any = docker.from_env()
            self._client.ping()
        except _TROUBLE as error:
            raise FakeWhaleError(
                f"runtime: no Docker engine can be reached ({error}); start one or use 'simulated'"
            ) from error

    def create(self, order: ServiceOrder) -> None:
        """Start the challenge; raises :class:`ContainerEngineError` when Docker refuses.

        A plain container needs its image at once, so a missing one is noted as rejected, which is
        what Swarm shows.
        """
        self._trouble()
        check_order(order, self._settings, self._world.networks)
        self._start(order)
        with self._lock:
            self._orders[order.uuid] = order, self._clock.time()

    def remove(self, whale_id: str) -> None:
        """Remove what carries the label; raises :class:`ContainerEngineError`."""
        self._trouble()
        with self._lock:
            found = [key for key, (order, _) in self._orders.items() if order.whale_id == whale_id]
        for key in found:
            self.discard(key)

    def services(self) -> list[Service]:
        """What was started and not removed, with its real address once it has one."""
        with self._lock:
            known = list(self._orders.values())
        return [self._look_at(order, created) for order, created in known]

    def find(self, whale_id: str) -> Service | None:
        """See :meth:`fake_whale.whale.engine.Engine.find`."""
        with self._lock:
            known = [pair for pair in self._orders.values() if pair[0].whale_id == whale_id]
        return self._look_at(*known[0]) if known else None

    def discard(self, uuid: str) -> bool:
        """See :meth:`fake_whale.whale.engine.Engine.discard`."""
        with self._lock:
            known = self._orders.pop(uuid, None)
        if known is None:
            return False
        try:
            self._delete(known[0].whale_id)
        except docker.errors.NotFound:
            pass
        except _TROUBLE as error:
            with self._lock:
                self._orders[uuid] = known
            raise ContainerEngineError(str(error)) from error
        return True

    def restart(self) -> None:
        """Nothing: the engine is the machine's, and only it can say when it restarts."""

    def close(self) -> None:
        """Remove everything this fake has started."""
        with self._lock:
            left = list(self._orders)
        for key in left:
            with contextlib.suppress(ContainerEngineError):
                self.discard(key)
        self._client.close()

    def _start(self, order: ServiceOrder) -> None:
        labels = {LABEL: self.run, "whale_id": order.whale_id}
        memory = _size(order.memory_limit or "0")
        try:
            if self._swarm:
                self._client.services.create(
                    order.image,
                    name=order.whale_id,
                    env={"FLAG": order.flag},
                    labels=labels,
                    container_labels=labels,
                    resources=docker.types.Resources(
                        mem_limit=memory, cpu_limit=int((order.cpu_limit or 0) * 1e9)
                    ),
                )
            else:
                # Not run(): that would pull a missing image, which the imitated Swarm cannot have.
                container = self._client.containers.create(
                    order.image,
                    name=order.whale_id,
                    environment={"FLAG": order.flag},
                    labels=labels,
                    mem_limit=memory,
                    nano_cpus=int((order.cpu_limit or 0) * 1e9),
                )
                container.start()
        except docker.errors.ImageNotFound:
            return  # it never runs; Whale is none the wiser
        except _TROUBLE as error:
            with contextlib.suppress(*_TROUBLE):
                self._delete(order.whale_id)
            raise ContainerEngineError(str(error)) from error

    def _delete(self, name: str) -> None:
        if self._swarm:
            self._client.services.get(name).remove()
        else:
            self._client.containers.get(name).remove(force=True)

    def _look_at(self, order: ServiceOrder, created: float) -> Service:
        try:
            address = self._address(order)
        except _TROUBLE:
            address = None
        task = Task.RUNNING if address else Task.PENDING
        return Service(order, task, created, created, address)

    def _address(self, order: ServiceOrder) -> tuple[str, int] | None:
        filters = {"label": [f"{LABEL}={self.run}", f"whale_id={order.whale_id}"]}
        for container in self._client.containers.list(filters=filters):
            networks = container.attrs["NetworkSettings"]["Networks"]
            for network in networks.values():
                if network.get("IPAddress"):
                    return network["IPAddress"], order.port
        return None

    def _trouble(self) -> None:
        fault = self._faults.fire(
            WhaleFaultKind.DOCKER_REFUSED,
            WhaleFaultKind.DOCKER_ERROR,
            WhaleFaultKind.DOCKER_HUNG,
            WhaleFaultKind.DOCKER_SLOW,
        )
        apply_docker_fault(fault.kind if fault else None, fault.seconds if fault else 0, self._wait)


def _size(text: str) -> int:
    """Bytes of ``128m``."""
    factors = {"k": 1024, "m": 1024**2, "g": 1024**3}
    factor = factors.get(text[-1:].lower())
    return int(text[:-1]) * factor if factor else int(text)
