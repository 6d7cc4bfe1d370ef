"""Challenges and where they come from: :class:`ChallengeSpec` and its catalogues.

Every field of a challenge that concerns what its containers may do has the safe value as its
default; an organiser opens up, challenge by challenge. ``engines/catalog_file.py`` reads a TOML
catalogue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Protocol, runtime_checkable

from msgspec import Meta

from engines.errors import CatalogError
from engines.typed_input import PortNumber, Text


class Visibility(str, Enum):
    """Whether players may start a challenge; the words are CTFd's."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    LOCKED = "locked"


class Readiness(str, Enum):
    """How a fresh container shows that it serves."""

    HTTP = "http"
    """Any HTTP answer on its first port."""
    TCP = "tcp"
    """A server listens on its first port. Seen from inside, so that a service of one connection
    keeps it; only where that cannot be seen is a connection made, which must stay open."""
    HEALTHCHECK = "healthcheck"
    """The image's own HEALTHCHECK says healthy."""
    NONE = "none"
    """As soon as the container runs."""


class Pull(str, Enum):
    """When a start has an image fetched from its registry."""

    NEVER = "never"
    """The image must be on the engine; ``whale-ready images pull`` puts it there beforehand."""
    MISSING = "missing"
    """When it is not on the engine."""
    ALWAYS = "always"
    """Once per process, also when it is: for tags that move."""


class Transport(str, Enum):
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True)
class Port:
    """A port inside the container."""

    number: PortNumber
    transport: Transport = Transport.TCP

    def __str__(self) -> str:
        return f"{self.number}/{self.transport.value}"


def paired(ports: Sequence[Port]) -> list[int]:
    """The port numbers that are there for both transports, which players get one number for."""
    numbers = [{p.number for p in ports if p.transport is transport} for transport in Transport]
    return sorted(set.intersection(*numbers))


COMPANIONS = 12
"""What an instance's own network has addresses for."""
SAFE_ULIMITS: Mapping[str, int] = {"nofile": 1024, "core": 0}


_NOT_MADE_FROM = frozenset(
    {
        "name",
        "visibility",
        "pull",
        "timeout_seconds",
        "ends_at",
        "limit",
        "warm",
        "whale",
        "ends_on_solve",
    }
)
"""Fields of a challenge that a running container does not show."""


Capabilities = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[A-Z][A-Z_]*[A-Z]\Z")], ...],
    Meta(description="written as NET_BIND_SERVICE, without CAP_"),
]
FlagFile = Annotated[
    str,
    Meta(
        pattern=r"^(/(?!\.\.?(/|\Z))[^/\0]+)+\Z",
        description="a path from the root, as /home/ctf/flag.txt",
    ),
]
FlagOwner = Annotated[
    str,
    Meta(pattern=r"^\d{1,9}(:\d{1,9})?\Z", description="written as numbers, as 1000 or 1000:1000"),
]
HostName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z",
        description="written as a host name such as db",
    ),
]
Host = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9.:_-]+\Z", description="written as a host name or address")
]
Nodes = Annotated[
    tuple[Annotated[str, Meta(pattern=r"^[\w.-]+\s*(==|!=)\s*\S+\Z")], ...],
    Meta(description="written as node.labels.ctf==true"),
]


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What one container runs, may do and may use; nothing of the host is ever mounted into it."""

    command: tuple[str, ...] = ()
    """Replaces the image's own command when not empty."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables; ``FLAG`` is the engine's."""
    memory_mb: Annotated[int, Meta(ge=6, le=1 << 20)] = 128
    """No swap beyond it."""
    cpus: Annotated[float, Meta(gt=0, le=256, description="a number above 0, such as 0.5")] = 0.5
    pids_limit: Annotated[int, Meta(ge=1, le=1 << 20)] = 128
    """Processes and threads in the container."""
    capabilities: Capabilities = ()
    """Linux capabilities it keeps, as ``NET_BIND_SERVICE``; all others are dropped."""
    ulimits: Annotated[
        Mapping[str, Annotated[int, Meta(ge=0, le=1 << 30)]],
        Meta(title="a table such as { nofile = 1024 }"),
    ] = field(default_factory=lambda: dict(SAFE_ULIMITS))
    """Soft and hard limit alike, by the names of ``ulimit``: ``nofile``, ``core`` …"""
    read_only: bool = False
    """The root file system cannot be written to; ``/tmp`` can, in memory."""
    user: Text = ""
    """User (or ``uid:gid``) the process runs as; empty for the image's own."""
    init: bool = True
    """A small init is process 1: it reaps orphans, which would fill ``pids_limit`` otherwise."""
    shm_mb: Annotated[int, Meta(ge=1, le=1 << 20)] = 64
    """Size of ``/dev/shm``; what is in it counts as memory."""
    no_new_privileges: bool | None = None
    """False: its set-uid programs work, as ``su`` must; see :attr:`may_gain_privileges`."""
    disk_mb: Annotated[int, Meta(ge=0, le=1 << 30)] = 256
    """What it may write to its file system and volumes; 0 for as much as there is."""
    flag_file: FlagFile = ""
    """Where it finds the flag, instead of in ``FLAG``: a file that only its owner can read."""
    flag_owner: FlagOwner = "0:0"
    """``uid`` or ``uid:gid`` that owns :attr:`flag_file`."""

    @property
    def may_gain_privileges(self) -> bool:
        """Whether its set-uid programs work.

        Unless the challenge says, they do where it keeps both of the capabilities that changing
        the user takes: it has asked for it, and nothing beyond its capabilities can be gained.
        """
        if self.no_new_privileges is None:
            return {"SETUID", "SETGID"} <= set(self.capabilities)
        return not self.no_new_privileges


@dataclass(frozen=True)
class Companion(Sandbox):
    """A further container of a challenge, on the instance's own network.

    Companions are started in their order; one with a readiness is waited for before the next.
    """

    name: HostName
    """The host name under which the others reach it."""
    image: Text
    flag: bool = False
    """Whether it gets the flag too."""
    readiness: Readiness = Readiness.NONE
    """When what comes after it is started: ``tcp`` (it listens), ``healthcheck`` or at once."""
    port: PortNumber | None = None
    """The TCP port that ``tcp`` looks for; None: any will do."""


@dataclass(frozen=True)
class ChallengeSpec(Sandbox):
    """What to run for a challenge."""

    id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    name: Text
    image: Text
    ports: Annotated[tuple[Port, ...], Meta(description='a list such as [8080, "53/udp"]')] = (
        Port(80),
    )
    """Published ports; the first is the one that readiness asks."""
    visibility: Visibility = Visibility.VISIBLE
    readiness: Readiness = Readiness.TCP
    flag_prefix: Text = "flag"
    """The flag is ``PREFIX{random}``."""
    companions: Annotated[
        tuple[Companion, ...], Meta(title="written as [[challenge.companions]] tables")
    ] = ()
    """Further containers, on a network that the instance has to itself."""
    egress: bool = False
    """Whether its containers may open connections to the internet."""
    host: Host = ""
    """Host name shown to players; empty for the engine's own."""
    pull: Pull = Pull.NEVER
    timeout_seconds: Annotated[int, Meta(ge=1, le=30 * 86400)] | None = None
    """Full life of a fresh instance; None for the engine's own."""
    ends_at: Annotated[datetime, Meta(tz=True)] | None = None
    """Nothing of this challenge lives beyond it."""
    limit: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Live instances of this challenge; None for as many as there is room."""
    warm: Annotated[int, Meta(ge=0, le=1000)] = 0
    """Ready containers kept waiting for a start."""
    ends_on_solve: bool | None = None
    """Whether an instance ends when its account has solved it; None: as the site's setting says."""
    nodes: Nodes = ()
    """Swarm only: placement constraints, as ``node.labels.ctf==true``."""
    whale: bool = True
    """False: Whale does not have it, and no start of it is sent there."""

    @property
    def startable(self) -> bool:
        return self.visibility is Visibility.VISIBLE

    @property
    def containers(self) -> tuple[ChallengeSpec | Companion, ...]:
        """Every container it is made of, its own first."""
        return (self, *self.companions)

    @property
    def images(self) -> tuple[str, ...]:
        """Every image it needs, its own first."""
        return tuple(container.image for container in self.containers)

    @property
    def fingerprint(self) -> str:
        """Differs as soon as anything differs that a running container was made from."""
        made_from = asdict(self)
        for key in _NOT_MADE_FROM:
            del made_from[key]
        text = json.dumps(made_from, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Catalog(Protocol):
    """Where challenges are looked up."""

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        """The challenge, or None when there is none of this id."""
        ...

    def all(self) -> Iterable[ChallengeSpec]:
        """Every challenge."""
        ...


@runtime_checkable
class KnowsWhale(Protocol):
    """What a catalogue may offer besides: which challenges Whale does not have.

    A catalogue without it says so challenge by challenge, by :attr:`ChallengeSpec.whale`.
    """

    def not_on_whale(self) -> frozenset[int]:
        """Ids of challenges that Whale certainly does not have."""
        ...


def not_on_whale(catalog: Catalog) -> frozenset[int]:
    """Ids of a catalogue's challenges that Whale certainly does not have."""
    if isinstance(catalog, KnowsWhale):
        return catalog.not_on_whale()
    return frozenset(spec.id for spec in catalog.all() if not spec.whale)


def may_be_on_whale(catalog: Catalog, challenge_id: int) -> bool:
    """Whether Whale has this challenge; True also where the catalogue does not know."""
    if isinstance(catalog, KnowsWhale):
        return challenge_id not in catalog.not_on_whale()
    spec = catalog.get(challenge_id)
    return spec is None or spec.whale


class StaticCatalog:
    """A fixed list of challenges."""

    def __init__(self, specs: Iterable[ChallengeSpec] = ()) -> None:
        self._specs: dict[int, ChallengeSpec] = {}
        for spec in specs:
            if spec.id in self._specs:
                raise CatalogError(f"challenge id {spec.id} is given twice; ids must be unique")
            self._specs[spec.id] = spec

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        return self._specs.get(challenge_id)

    def all(self) -> Iterable[ChallengeSpec]:
        return self._specs.values()
