"""A fresh instance on a Docker engine becomes ready: its containers in order, each when it may."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engines.catalog import Companion, Readiness
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.engine_api import answers, unknown_name
from engines.errors import ContainerExited, NotReady
from engines.probe import wait_until

LONGEST_PAUSE_SECONDS = 2.0
"""Between two starts of a container that ends before its companions serve."""


class Containers(Protocol):
    """What is asked of the runtime. Both take an id or a name."""

    def start_container(self, launch: Launch, container: str) -> None:
        """Start one of the instance's; raises RuntimeFault or BackendUnavailable."""
        ...

    def running(self, container: str) -> Any | None:
        """What inspect shows of it while it runs."""
        ...

    def exit_code(self, container: str) -> int | None:
        """With what it ended; None while it runs or where it is not."""
        ...

    def listening(self, details: Any) -> frozenset[int] | None:
        """The ports that its programs listen on; None where that cannot be seen."""
        ...


class Steps:
    """The wait for one instance, within ``seconds``.

    Args:
        host: where its published ports are reached.
    """

    def __init__(
        self,
        containers: Containers,
        launch: Launch,
        launched: Launched,
        host: str,
        seconds: float,
    ) -> None:
        self._containers = containers
        self._launch = launch
        self._launched = launched
        self._host = host
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._again = _Again()

    def take(self) -> None:
        """Return once it is ready.

        Raises:
            ContainerExited: a container ended, and starting it again does not help.
            NotReady: not within the time; says which container.
        """
        if self._launch.in_steps:
            for companion in self._launch.spec.companions:
                self._bring_up(companion)
            self._containers.start_container(self._launch, self._launched.container_id)
        if self._launch.spec.readiness is Readiness.NONE or self._wait(self._ready):
            self._look_at_companions()
            return
        if self._again.count:
            raise ContainerExited(
                f"the container ended {self._again.count} times before it answered, the last time "
                f"with exit code {self._again.code}"
            )
        spec = self._launch.spec
        port = spec.ports[0] if spec.ports else None
        raise NotReady(
            f"no answer ({spec.readiness.value}, port {port}) within {self._seconds:g} s"
            f"{unknown_name(self._host, 'CRE_PROBE_HOST')}"
        )

    def _look_at_companions(self) -> None:
        """One that nobody waits for may be done by now, but not have failed."""
        for companion in self._launch.spec.companions:
            if companion.readiness is Readiness.NONE:
                code = self._containers.exit_code(self._launch.opaque_of(companion))
                if code:
                    raise ContainerExited(f"companion {companion.name} ended")

    def _wait(self, ready: Callable[[float], bool]) -> bool:
        return wait_until(ready, max(0.0, self._until - time.monotonic()))

    def _bring_up(self, companion: Companion) -> None:
        self._containers.start_container(self._launch, self._launch.opaque_of(companion))
        if companion.readiness is Readiness.NONE:
            return
        if not self._wait(lambda _timeout: self._serves(companion)):
            raise NotReady(
                f"companion {companion.name} was not ready ({companion.readiness.value}) within "
                f"{self._seconds:g} s; raise CRE_READY_SECONDS or change its readiness"
            )

    def _serves(self, companion: Companion) -> bool:
        details = self._running(companion)
        if companion.readiness is Readiness.HEALTHCHECK:
            return _healthy(details, f"companion {companion.name}: ")
        listening = self._containers.listening(details)
        if listening is None:
            self._running(companion)  # nothing is seen of one that has just ended, either
            raise NotReady(
                f"companion {companion.name}: nothing shows whether it listens, as its image has "
                'no cat; give it a HEALTHCHECK and write readiness = "healthcheck"'
            )
        return companion.port in listening if companion.port else bool(listening)

    def _running(self, companion: Companion) -> Any:
        details = self._containers.running(self._launch.opaque_of(companion))
        if details is None:
            raise ContainerExited(f"companion {companion.name} ended before it was ready")
        return details

    def _ready(self, timeout: float) -> bool:
        return self._answers_http(timeout) or self._shows(timeout)

    def _answers_http(self, timeout: float) -> bool:
        http = self._launch.spec.readiness is Readiness.HTTP
        return http and self._answers(timeout)

    def _answers(self, timeout: float) -> bool:
        port = int(self._launched.ports[0])
        return answers(self._launch.spec.readiness, self._host, port, timeout)

    def _shows(self, timeout: float) -> bool:
        """Whether the container itself shows that it is ready."""
        details = self._containers.running(self._launched.container_id)
        if details is None:
            if not self._launch.waits_for_companions:
                raise ContainerExited("the container ended before it answered")
            if self._again.due():
                self._again.code = self._containers.exit_code(self._launched.container_id)
                self._containers.start_container(self._launch, self._launched.container_id)
            return False
        readiness = self._launch.spec.readiness
        if readiness is Readiness.HEALTHCHECK:
            return _healthy(details)
        if readiness is Readiness.HTTP:
            return False
        listening = self._containers.listening(details)
        if listening is None:
            return self._answers(timeout)
        return self._launch.spec.ports[0].number in listening


@dataclass
class _Again:
    """When a container that has ended is started again: later each time."""

    count: int = 0
    at: float = 0.0
    code: int | None = None
    """With what it ended the last time."""

    def due(self) -> bool:
        now = time.monotonic()
        if now < self.at:
            return False
        self.count += 1
        self.at = now + min(0.25 * 2**self.count, LONGEST_PAUSE_SECONDS)
        return True


def _healthy(details: Any, whose: str = "") -> bool:
    health = details["State"].get("Health")
    if health is None:
        raise NotReady(f"{whose}the image has no HEALTHCHECK; choose another readiness")
    return bool(health["Status"] == "healthy")
