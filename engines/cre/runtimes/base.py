"""The interface of a container runtime.

Every method may raise :class:`engines.errors.BackendUnavailable` when the runtime cannot be asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from engines.catalog import ChallengeSpec

LABEL_DEPLOYMENT = "whale-ready.deployment"
"""Only containers with this label and the deployment's own value are ever touched."""


@dataclass(frozen=True)
class Launch:
    """One container to be made."""

    name: str
    """Derived from the row, so that a crash leaves something that can be found."""
    deployment: str
    spec: ChallengeSpec
    flag: str = field(repr=False)
    bind_address: str

    @property
    def labels(self) -> Mapping[str, str]:
        return {
            LABEL_DEPLOYMENT: self.deployment,
            "whale-ready.challenge": str(self.spec.id),
        }

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self.spec.environment, "FLAG": self.flag}


@dataclass(frozen=True)
class Launched:
    """A container that was started."""

    container_id: str
    ports: tuple[str, ...]
    """Published ports, the challenge's first."""


@dataclass(frozen=True)
class Found:
    """A container of this deployment, as the runtime lists it."""

    container_id: str
    name: str


class Runtime(ABC):
    """Runs containers."""

    name: str
    simulated: bool = False
    """True when no real container is made."""
    multi_node: bool = False

    @abstractmethod
    def launch(self, launch: Launch) -> Launched:
        """Create and start a container. On any failure nothing of it is left.

        Raises:
            RuntimeFault: it could not be made; ``code`` says why.
        """

    @abstractmethod
    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        """Return once the container answers as its challenge's readiness demands.

        Raises:
            ContainerExited: it ended first.
            NotReady: it did not answer within ``seconds`` of real time.
        """

    @abstractmethod
    def is_running(self, container_id: str) -> bool:
        """Whether this very container exists and its process runs."""

    @abstractmethod
    def remove(self, name_or_id: str) -> bool:
        """Remove a container at once, with its anonymous volumes; False when there was none."""

    @abstractmethod
    def find(self, deployment: str) -> list[Found]:
        """Every container of the deployment, running or not."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of what stands behind this runtime, for reports."""

    def close(self) -> None:  # noqa: B027 - closing is optional: some runtimes hold nothing open
        """Let go of connections."""
