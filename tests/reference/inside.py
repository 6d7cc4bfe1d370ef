"""What a pretended program inside a pretended container says; a missing wall makes it say more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import Enum

from conformance.harness import Challenges, Limits, Outside, Trial

OUTSIDE = Outside("internet:1", "beside:1", "internet", "outside.example")
HOST_PORT = "host:1"
SIBLING = "sibling-{}-{}:1"
"""By the owner and the container's id."""
DEPLOYMENT = "reference-deployment"
LIMITS = Limits(memory_mb=64, processes=10, open_files=20)
NET_BIND_SERVICE = 1 << 10
MASKS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


class Wall(Enum):
    """What can be missing."""

    SIBLINGS = "siblings"
    HOST = "host"
    ENGINE = "engine"
    INTERNET = "internet"
    PRIVATE_NETWORKS = "private networks"
    WAY_OUT = "the way out of a challenge with egress"
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVILEGES = "no_new_privs"
    READ_ONLY = "read-only root"
    MEMORY = "memory"
    PROCESSES = "processes"
    FILES = "files"
    NAMES = "names that say nothing"
    FRESH_NAMES = "names of one instance alone"
    TRACES = "traces of the deployment"
    OWNER = "traces of the owner"


def answer(
    missing: frozenset[Wall],
    challenges: Challenges,
    challenge: int,
    owner: int,
    trial: Trial,
    arguments: tuple[str, ...],
) -> str:
    egress = challenge == challenges.egress
    outside = (egress and Wall.WAY_OUT not in missing) or Wall.INTERNET in missing
    match trial:
        case Trial.REACH:
            lines = _reach(missing, arguments, outside=outside, egress=egress)
        case Trial.RESOLVE:
            word = "resolved" if outside else "silent"
            lines = iter((f"own {word}", f"server {word}"))
        case Trial.RIGHTS:
            lines = _rights(missing, asked=challenge == challenges.capable)
        case Trial.SOCKETS:
            engine = ["/run/engine.sock socket"] if Wall.ENGINE in missing else []
            lines = iter([*engine, "search done"])
        case Trial.WRITE:
            writable = challenge != challenges.read_only or Wall.READ_ONLY in missing
            word = "written" if writable else "refused"
            lines = iter([f"/ {word}", f"/bin {word}", f"/www {word}", "/tmp written"])  # noqa: S108 - of a pretended container
        case Trial.NAMES:
            lines = _names(missing, arguments)
        case Trial.TRACES:
            lines = _traces(missing, owner)
        case Trial.SPEND:
            lines = _spend(missing, arguments[0], int(arguments[1]))
    return "\n".join(lines)


def _reach(
    missing: frozenset[Wall], targets: tuple[str, ...], *, outside: bool, egress: bool
) -> Iterator[str]:
    reached = {
        OUTSIDE.internet: outside,
        OUTSIDE.beside: egress and Wall.PRIVATE_NETWORKS in missing,
        HOST_PORT: Wall.HOST in missing,
    }
    for target in targets:
        opens = reached.get(target, Wall.SIBLINGS in missing)
        yield f"{target} {'reached' if opens else 'silent'}"


def _rights(missing: frozenset[Wall], *, asked: bool) -> Iterator[str]:
    mask = (NET_BIND_SERVICE if asked else 0) | (0xF if Wall.CAPABILITIES in missing else 0)
    yield from (f"{name}: {mask:016x}" for name in MASKS)
    yield f"NoNewPrivs: {int(Wall.NO_NEW_PRIVILEGES not in missing)}"


def _names(missing: frozenset[Wall], addresses: tuple[str, ...]) -> Iterator[str]:
    for address in addresses:
        _, owner, container = address.split("-", 2)
        known = owner if Wall.FRESH_NAMES in missing else container
        name = hashlib.sha256(known.encode()).hexdigest()[:16]
        if Wall.NAMES in missing:
            name = f"{name}-user-{owner}"
        yield f"{address} wr-{name}.closed-0"


def _traces(missing: frozenset[Wall], owner: int) -> Iterator[str]:
    yield f"hostname.1 {DEPLOYMENT if Wall.TRACES in missing else 'machine'}"
    yield f"environment.1 HOME=/home/u{owner if Wall.OWNER in missing else 'ser'}"


def _spend(missing: frozenset[Wall], what: str, wanted: int) -> Iterator[str]:
    limits = {
        "memory": LIMITS.memory_mb,
        "processes": LIMITS.processes,
        "files": LIMITS.open_files,
    }
    yield f"{what} {wanted if Wall(what) in missing else min(wanted, limits[what])}"
