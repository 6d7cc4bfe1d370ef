"""The interface of a container runtime.

Every method may raise :class:`engines.errors.BackendUnavailable` when the runtime cannot be asked.

An *instance* here is everything that was made under one name: a container, or a container with its
companions and the network they share. All of it carries the deployment's label and the instance's
name as labels, so that whatever a crash leaves can be found and told to whom it belongs. What the
engine calls it, which programs in other instances can look up, is another name that says nothing.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engines.catalog import ChallengeSpec, Companion, Readiness
from engines.contract import Isolation
from engines.cre.evidence import FailureEvidence, Redactor
from engines.errors import RuntimeFault

LABEL_DEPLOYMENT = "whale-ready.deployment"
"""Only what has this label with the deployment's own value is ever touched."""
LABEL_INSTANCE = "whale-ready.instance"
"""Name of the instance that a container, service or network belongs to."""
LABEL_OWNER = "whale-ready.database"
"""Id of the database that something was made for (:mod:`engines.cre.owner`)."""
LABEL_GROUP = "whale-ready.group"
"""On everything of an instance that is more than one container."""
LABEL_COMPANION = "whale-ready.companion"
"""On a companion: its name in the challenge."""
LABEL_FENCE = "whale-ready.fence"
"""Fencing token: id of the row that something was made for."""
LABEL_DISK = "whale-ready.disk-mb"
"""What a container may write; 0 for as much as there is."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Launch:
    """One instance to be made."""

    name: str
    """Derived from the row, so that a crash leaves something that can be found; only in labels."""
    deployment: str
    spec: ChallengeSpec
    flag: str = field(repr=False)
    bind_address: str
    host_ports: tuple[int, ...] = ()
    """The port to publish each of ``spec.ports`` on; empty: the runtime chooses."""
    subnet: str | None = None
    """For the network of a challenge with companions, as ``10.213.32.16/28``."""
    fence: int = 0
    """Id of the row it is made for. Of two rows of one name the younger has the larger, and
    nobody removes by name what was made for a row younger than his own: a start that was held up
    until others had cleared it away must not touch what came after it."""
    owner: str = ""
    """Id of the database that it is made for."""
    opaque: str = field(init=False, default_factory=lambda: f"wr-{secrets.token_hex(8)}")
    """What its containers, services and network are called: a random name, of this launch alone.
    The engine's resolver tells names to every program on a network that instances share."""

    def opaque_of(self, companion: Companion) -> str:
        """What a companion's container is called."""
        return f"{self.opaque}-{companion.name}"

    @property
    def labels(self) -> Mapping[str, str]:
        return {
            LABEL_DEPLOYMENT: self.deployment,
            LABEL_INSTANCE: self.name,
            LABEL_FENCE: str(self.fence),
            **({LABEL_OWNER: self.owner} if self.owner else {}),
            "whale-ready.challenge": str(self.spec.id),
            **({} if self.alone else {LABEL_GROUP: "yes"}),
        }

    @property
    def alone(self) -> bool:
        """Whether it is one container and nothing else."""
        return not self.spec.companions

    @property
    def redactor(self) -> Redactor:
        """Takes the instance's secrets out of what is said of it."""
        return Redactor.of(self.flag, self.spec)

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the challenge's own container."""
        return self.environment_of(self.spec)

    def environment_of(self, sandbox: ChallengeSpec | Companion) -> Mapping[str, str]:
        """Of one of its containers; the flag is in it unless a file has it."""
        gets_it = not isinstance(sandbox, Companion) or sandbox.flag
        flag = {"FLAG": self.flag} if gets_it and not sandbox.flag_file else {}
        return {**sandbox.environment, **flag}

    @property
    def in_steps(self) -> bool:
        """Whether a companion is waited for before others are started."""
        return any(companion.readiness is not Readiness.NONE for companion in self.spec.companions)

    @property
    def waits_for_companions(self) -> bool:
        """Whether the challenge's own container, should it end before it is ready, is started
        again: it may have missed a companion that takes its time. Its ports must be known for
        that, as Docker would choose others."""
        return not self.alone and len(self.host_ports) == len(self.spec.ports)


@dataclass(frozen=True)
class Launched:
    """An instance that was started."""

    container_id: str
    """Of the challenge's own container (on a swarm: of its service)."""
    ports: tuple[str, ...]
    """Published ports, in the order of ``spec.ports``."""
    host: str | None = None
    """The machine they are published on; None for the deployment's public host."""


@dataclass(frozen=True)
class ListedResource:
    """Something of this deployment that the runtime lists: a container, a service or a network."""

    id: str
    name: str
    """Name of the instance it belongs to."""
    running: bool = False
    """Whether it is a container that runs; False also where the list does not tell."""
    fence: int = 0
    owner: str = ""
    """Id of the database that it was made for; empty: from before there were ids."""


@dataclass(frozen=True)
class Overfull:
    """A container that has written more to the disk than it may."""

    name: str
    """Name of the instance it belongs to."""
    fence: int
    written_mb: int
    allowed_mb: int


@dataclass(frozen=True)
class Cleared:
    """What became of a removal: true where there was anything to remove.

    A container that cannot be removed is an error. A network that others hold on to is not: the
    instance is over without it, and the next rounds of the worker try again.
    """

    found: bool = False
    left: tuple[str, ...] = ()
    """What is still there and what keeps it, in words for admins."""

    def __bool__(self) -> bool:
        return self.found


def fence_of(labels: Mapping[str, str]) -> int:
    """The fencing token on something; what was made before there were any has the least."""
    return int(labels.get(LABEL_FENCE, 0))


def labels_of(deployment: str, name: str) -> list[str]:
    """What everything of an instance carries, as a filter for the engine."""
    return [f"{LABEL_DEPLOYMENT}={deployment}", f"{LABEL_INSTANCE}={name}"]


def is_leftover(launch: Launch, fences: Iterable[int]) -> bool:
    """Whether of what bears the instance's name, with these tokens, something has to go first.

    Raises:
        RuntimeFault: a younger start has made it; this one was given up meanwhile.
    """
    there = list(fences)
    if any(fence > launch.fence for fence in there):
        raise RuntimeFault("a younger start has made this instance")
    return bool(there)


class Runtime(ABC):
    """Runs instances."""

    name: str
    simulated: bool = False
    """True when no real container is made."""
    multi_node: bool = False

    @property
    def isolation(self) -> frozenset[Isolation]:
        """What it keeps its containers from, as it is set up."""
        return frozenset()

    @abstractmethod
    def launch(self, launch: Launch) -> Launched:
        """Create and start an instance. On any failure nothing of it is left.

        What an older row's owner left under its name is removed; what a younger one's has made is
        not touched.

        Raises:
            RuntimeFault: it could not be made; ``code`` says why.
        """

    def overfull(self, deployment: str) -> list[Overfull]:
        """The deployment's containers that have written more than they may, where that is seen."""
        return []

    def alarmed(self) -> bool:
        """Whether much was written since :meth:`overfull` was asked; asks nobody."""
        return False

    @abstractmethod
    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        """Return once the instance answers as its challenge's readiness demands.

        Starts what :meth:`launch` has left for later: containers that wait for a companion.

        Raises:
            ContainerExited: it ended first.
            NotReady: it did not answer within ``seconds`` of real time.
        """

    @abstractmethod
    def is_running(self, container_id: str) -> bool:
        """Whether this very container exists and its process runs."""

    @abstractmethod
    def why_ended(self, container_id: str, redactor: Redactor) -> FailureEvidence:
        """Why an instance that was running does not run any more, as far as can be seen."""

    @abstractmethod
    def remove(self, container_id: str) -> Cleared:
        """Remove at once the instance whose own container this is, with its anonymous volumes.

        Nothing is found when there is no such container; others of the instance may still be there.
        """

    @abstractmethod
    def clear(self, deployment: str, name: str, fence: int) -> Cleared:
        """Remove everything of an instance by its name, except for what has a larger fence."""

    @abstractmethod
    def find(self, deployment: str) -> list[ListedResource]:
        """Everything of the deployment's instances, running or not."""

    def refresh(self) -> None:  # noqa: B027 - not every runtime stands on what others may change
        """Put in order again what instances' isolation stands on; for every round of the worker."""

    @abstractmethod
    def image_id(self, image: str) -> str | None:
        """What tells this image from another one of the same name; None when it is not here."""

    @abstractmethod
    def versions(self) -> dict[str, str]:
        """Versions of what stands behind this runtime, for reports."""

    def close(self) -> None:  # noqa: B027 - closing is optional: some runtimes hold nothing open
        """Let go of connections."""
