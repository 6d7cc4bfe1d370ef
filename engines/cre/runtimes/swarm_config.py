"""What a swarm is told of an instance: its network and its services."""

from __future__ import annotations

import secrets
from typing import Any

from engines.catalog import ChallengeSpec, Companion, Readiness, Sandbox
from engines.cre.runtimes.base import LABEL_DISK, MIB, Launch
from engines.cre.runtimes.container_config import (
    LOG_LIMIT,
    NO_DNS,
    NO_SEARCH,
    SHORT_WAIT,
    ulimits_of,
)
from engines.cre.runtimes.networks import MTU, USUAL_MTU
from engines.errors import RuntimeFault

SCRATCH_BYTES = 64 * 1024 * 1024
SCRATCH_MODE = 0o1777
USUAL_SHM_MB = 64
NO_RESOLVER = {
    "Type": "bind",
    "Source": "/dev/null",
    "Target": "/etc/resolv.conf",
    "ReadOnly": True,
}
"""As on a single engine (:mod:`engines.cre.runtimes.container_config`)."""
NO_HEALTHCHECK = {"Test": ["NONE"]}
"""A swarm shows a container as running only once its image's check passes, and kills it when the
check fails later; both only where the challenge asks for that check."""


def check(spec: ChallengeSpec) -> None:
    """Whether a swarm can do all that a challenge asks for.

    Raises:
        RuntimeFault: it cannot; names the field and the fix.
    """
    if any(container.flag_file for container in spec.containers):
        raise RuntimeFault(
            "flag_file: a swarm cannot put a file into a container; leave it out, and the flag is "
            "in FLAG, or run the challenge with CRE_RUNTIME=docker"
        )
    for companion in spec.companions:
        if companion.readiness is Readiness.TCP:
            raise RuntimeFault(
                f"companion {companion.name}: a swarm does not show whether it listens; give its "
                'image a HEALTHCHECK and write readiness = "healthcheck"'
            )


def network_config(launch: Launch, mtu: int) -> dict[str, Any]:
    """The overlay network that the instance has to itself; containers started by hand on a node
    cannot join it.

    Args:
        mtu: of the network between the nodes; the overlay takes off what it needs itself.
    """
    pools = [{"Subnet": launch.subnet}] if launch.subnet else []
    return {
        # Never of the name that an earlier one had: others may keep that from being removed.
        "name": f"{launch.opaque}-{secrets.token_hex(4)}",
        "driver": "overlay",
        "labels": dict(launch.labels),
        "attachable": False,
        "options": {} if mtu == USUAL_MTU else {MTU: str(mtu)},
        "ipam": {"Driver": "default", "Config": pools},
    }


def challenge_service(
    launch: Launch, image: str, network: str, constraints: tuple[str, ...]
) -> dict[str, Any]:
    """The service of the challenge's own container, with its published ports."""
    spec = launch.spec
    chosen = launch.host_ports or (None,) * len(spec.ports)
    ports = [
        {
            "Protocol": port.transport.value,
            "TargetPort": port.number,
            "PublishMode": "host",
            **({"PublishedPort": number} if number else {}),
        }
        for port, number in zip(spec.ports, chosen, strict=True)
    ]
    return {
        "name": launch.opaque,
        "task_template": _task(
            launch, spec, image, dict(launch.environment), {"Target": network}, constraints
        ),
        **_one_replica(launch, ports),
    }


def companion_service(
    launch: Launch, companion: Companion, image: str, network: str, constraints: tuple[str, ...]
) -> dict[str, Any]:
    """The service of a companion: no port of it is published."""
    attached = {"Target": network, "Aliases": [companion.name]}
    environment = dict(launch.environment_of(companion))
    return {
        "name": launch.opaque_of(companion),
        "task_template": _task(launch, companion, image, environment, attached, constraints),
        **_one_replica(launch, []),
    }


def _one_replica(launch: Launch, ports: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "labels": dict(launch.labels),
        "mode": {"Replicated": {"Replicas": 1}},
        # Names lead to the containers themselves: no virtual address, no load balancer per node.
        "endpoint_spec": {"Mode": "dnsrr", "Ports": ports},
    }


def _task(
    launch: Launch,
    sandbox: ChallengeSpec | Companion,
    image: str,
    environment: dict[str, str],
    attached: dict[str, Any],
    constraints: tuple[str, ...],
) -> dict[str, Any]:
    return {
        "ContainerSpec": _container(launch, sandbox, image, environment),
        "Resources": {
            "Limits": {
                "MemoryBytes": sandbox.memory_mb * 1024 * 1024,
                "NanoCPUs": int(sandbox.cpus * 1e9),
                "Pids": sandbox.pids_limit,
            }
        },
        # A container that died is lost, as everywhere; the swarm must not put another in its place.
        "RestartPolicy": {"Condition": "none"},
        "Placement": {"Constraints": [*constraints, *launch.spec.nodes]},
        "Networks": [attached],
        "LogDriver": {"Name": "json-file", "Options": LOG_LIMIT},
    }


def _container(
    launch: Launch, sandbox: ChallengeSpec | Companion, image: str, environment: dict[str, str]
) -> dict[str, Any]:
    config: dict[str, Any] = {
        "Image": image,
        "Args": list(sandbox.command),
        "Env": [f"{name}={_literal(value)}" for name, value in environment.items()],
        "Labels": {**launch.labels, LABEL_DISK: str(sandbox.disk_mb)},
        "User": sandbox.user,
        "ReadOnly": sandbox.read_only,
        "CapabilityDrop": ["ALL"],
        "CapabilityAdd": list(sandbox.capabilities),
        "Init": sandbox.init,
        "Ulimits": [
            {"Name": name, "Soft": limit, "Hard": limit} for name, limit in ulimits_of(sandbox)
        ],
        # Taken from engine 25 (API 1.44) on.
        "Privileges": {"NoNewPrivileges": not sandbox.may_gain_privileges},
        "DNSConfig": _dns(launch),
        "Mounts": _mounts(launch, sandbox),
        "StopGracePeriod": 0,
    }
    if not _own_healthcheck(sandbox):
        config["Healthcheck"] = NO_HEALTHCHECK
    return config


def _dns(launch: Launch) -> dict[str, Any]:
    """Companions have no address before they run: they are found by the engine's own resolver."""
    if launch.spec.egress or launch.alone:
        return {"Search": NO_SEARCH}
    return {"Nameservers": NO_DNS, "Options": SHORT_WAIT, "Search": NO_SEARCH}


def _mounts(launch: Launch, sandbox: Sandbox) -> list[dict[str, Any]]:
    mounts = []
    if sandbox.read_only:
        mounts.append(_in_memory("/tmp", SCRATCH_BYTES))  # noqa: S108 - inside a container
    if sandbox.shm_mb != USUAL_SHM_MB:
        mounts.append(_in_memory("/dev/shm", sandbox.shm_mb * MIB))  # noqa: S108 - the same
    if launch.alone and not launch.spec.egress:
        mounts.append(NO_RESOLVER)
    return mounts


def _in_memory(path: str, size: int) -> dict[str, Any]:
    options = {"SizeBytes": size, "Mode": SCRATCH_MODE}
    return {"Type": "tmpfs", "Target": path, "TmpfsOptions": options}


def _own_healthcheck(sandbox: ChallengeSpec | Companion) -> bool:
    return sandbox.readiness is Readiness.HEALTHCHECK


def _literal(value: str) -> str:
    """``value`` as it is: a swarm expands what stands in double braces, as a Go template."""
    return value.replace("{{", '{{"{{"}}')
