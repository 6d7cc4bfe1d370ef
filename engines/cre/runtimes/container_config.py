"""What the Docker engine is told of a container: only what its challenge asks for is open."""

from __future__ import annotations

from typing import Any

from docker.types import LogConfig, Ulimit

from engines.catalog import ChallengeSpec, Companion, Sandbox
from engines.cre.runtimes.base import Launch

CPU_PERIOD_MICROSECONDS = 100_000
LOG_LIMIT = {"max-size": "1m", "max-file": "1"}
"""What a container may write to its log: a loop that prints must not fill the host's disk."""
SCRATCH = {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"}  # noqa: S108 - inside a container
"""Where a container with a read-only root may write."""
NO_DNS = ["127.0.0.1"]
"""Resolver of a container without egress: names of the outside would be a way out."""


def challenge_config(api: Any, launch: Launch, network: str) -> Any:
    """The configuration of a challenge's own container."""
    spec = launch.spec
    chosen = launch.host_ports or (None,) * len(spec.ports)
    return _config(
        api,
        spec,
        spec.image,
        network,
        labels=dict(launch.labels),
        environment=dict(launch.environment),
        ports=[(port.number, port.transport.value) for port in spec.ports],
        aliases=None,
        host_config={
            "dns": None if spec.egress else NO_DNS,
            "port_bindings": {
                str(port): (launch.bind_address, number)
                for port, number in zip(spec.ports, chosen, strict=True)
            },
        },
    )


def companion_config(api: Any, launch: Launch, companion: Companion, network: str) -> Any:
    """The configuration of a companion: no port of it is published."""
    flag = {"FLAG": launch.flag} if companion.flag else {}
    return _config(
        api,
        companion,
        companion.image,
        network,
        labels=dict(launch.labels),
        environment={**companion.environment, **flag},
        ports=[],
        aliases=[companion.name],
        host_config={"dns": None if launch.spec.egress else NO_DNS},
    )


def companion_name(launch: Launch, companion: Companion) -> str:
    return f"{launch.name}.{companion.name}"


def _config(
    api: Any,
    sandbox: ChallengeSpec | Companion,
    image: str,
    network: str,
    *,
    labels: dict[str, str],
    environment: dict[str, str],
    ports: list[tuple[int, str]],
    aliases: list[str] | None,
    host_config: dict[str, Any],
) -> Any:
    endpoint = api.create_endpoint_config(aliases=aliases)
    return api.create_container_config(
        image,
        command=list(sandbox.command) or None,
        environment=environment,
        labels=labels,
        ports=ports,
        user=sandbox.user or None,
        networking_config=api.create_networking_config({network: endpoint}) if aliases else None,
        host_config=api.create_host_config(network_mode=network, **_limits(sandbox), **host_config),
    )


def _limits(sandbox: Sandbox) -> dict[str, Any]:
    memory = sandbox.memory_mb * 1024 * 1024
    return {
        "mem_limit": memory,
        "memswap_limit": memory,  # the sum of both: no swap
        "cpu_period": CPU_PERIOD_MICROSECONDS,
        "cpu_quota": int(sandbox.cpus * CPU_PERIOD_MICROSECONDS),
        "pids_limit": sandbox.pids_limit,
        "security_opt": ["no-new-privileges"],
        "cap_drop": ["ALL"],
        "cap_add": list(sandbox.capabilities) or None,
        "ulimits": [
            Ulimit(name=name, soft=limit, hard=limit) for name, limit in sandbox.ulimits.items()
        ],
        "read_only": sandbox.read_only,
        "tmpfs": SCRATCH if sandbox.read_only else None,
        "log_config": LogConfig(type=LogConfig.types.JSON, config=LOG_LIMIT),
    }
