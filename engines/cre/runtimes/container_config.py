"""What the Docker engine is told of a container: only what its challenge asks for is open."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import PurePosixPath
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from engines.catalog import ChallengeSpec, Companion, Sandbox
from engines.cre.runtimes.base import LABEL_COMPANION, LABEL_DISK, MIB, Launch

CPU_PERIOD_MICROSECONDS = 100_000
LOG_LIMIT = {"max-size": "1m", "max-file": "1"}
"""What a container may write to its log: a loop that prints must not fill the host's disk."""
SCRATCH = {"/tmp": "rw,noexec,nosuid,nodev,size=64m,mode=1777"}  # noqa: S108 - inside a container
"""Where a container with a read-only root may write."""
NO_DNS, SHORT_WAIT = ["127.0.0.1"], ["timeout:1", "attempts:1"]
"""Resolver of a container without egress whose companions' addresses are not known beforehand."""
NO_SEARCH = ["."]
"""The domain that the host searches is no instance's business; this is how Docker is told."""
FLAG_MODE = 0o400


def challenge_config(api: Any, launch: Launch, network: str) -> Any:
    """The configuration of a challenge's own container."""
    spec = launch.spec
    chosen = launch.host_ports or (None,) * len(spec.ports)
    return _config(
        api,
        launch,
        spec,
        network,
        environment=dict(launch.environment),
        ports=[(port.number, port.transport.value) for port in spec.ports],
        name="",
        port_bindings={
            str(port): (launch.bind_address, number)
            for port, number in zip(spec.ports, chosen, strict=True)
        },
    )


def companion_config(api: Any, launch: Launch, companion: Companion, network: str) -> Any:
    """The configuration of a companion: no port of it is published."""
    environment = launch.environment_of(companion)
    return _config(
        api,
        launch,
        companion,
        network,
        environment=dict(environment),
        ports=[],
        name=companion.name,
        port_bindings={},
    )


def flag_archive(launch: Launch, sandbox: ChallengeSpec | Companion) -> tuple[str, bytes] | None:
    """The folder and the tar archive that put the flag's file there; None where none is wanted."""
    if not sandbox.flag_file:
        return None
    path = PurePosixPath(sandbox.flag_file)
    entry = tarfile.TarInfo(path.name)
    entry.mode = FLAG_MODE
    uid, _, gid = sandbox.flag_owner.partition(":")
    entry.uid, entry.gid = int(uid), int(gid or uid)
    content = f"{launch.flag}\n".encode()
    entry.size = len(content)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    return str(path.parent), buffer.getvalue()


def with_quota(config: Any, sandbox: Sandbox) -> Any:
    """The configuration for an engine whose storage knows quotas."""
    quota = {"StorageOpt": {"size": f"{sandbox.disk_mb}m"}}
    return {**config, "HostConfig": {**config["HostConfig"], **quota}}


def _config(
    api: Any,
    launch: Launch,
    sandbox: ChallengeSpec | Companion,
    network: str,
    *,
    environment: dict[str, str],
    ports: list[tuple[int, str]],
    name: str,
    port_bindings: dict[str, Any],
) -> Any:
    addresses = _addresses(launch)
    endpoint = api.create_endpoint_config(
        aliases=[name] if name else None, ipv4_address=addresses.get(name)
    )
    own = bool(name or addresses)
    return api.create_container_config(
        sandbox.image,
        command=list(sandbox.command) or None,
        environment=environment,
        labels={
            **launch.labels,
            LABEL_DISK: str(sandbox.disk_mb),
            **({LABEL_COMPANION: name} if name else {}),
        },
        ports=ports,
        user=sandbox.user or None,
        networking_config=api.create_networking_config({network: endpoint}) if own else None,
        host_config=api.create_host_config(
            network_mode=network,
            port_bindings=port_bindings,
            **_names(launch, addresses),
            **_limits(sandbox),
        ),
    )


def _addresses(launch: Launch) -> dict[str, str]:
    """By host name, where the containers of an instance's own network are; "" is the challenge's.

    Chosen here, so that each is told the others' in its hosts file before any of them runs.
    """
    if launch.alone or launch.subnet is None:
        return {}
    hosts = IPv4Network(launch.subnet).hosts()
    next(hosts)  # the gateway's
    names = ("", *(companion.name for companion in launch.spec.companions))
    return {name: str(address) for name, address in zip(names, hosts, strict=False)}


def _names(launch: Launch, addresses: Mapping[str, str]) -> dict[str, Any]:
    """How a container has names looked up.

    One without egress asks nobody: names of the outside would be a way out. Docker's own resolver
    leaves what it cannot pass on without an answer (seen with 20.10), and glibc waits ten seconds
    for it, for every player whose address a service looks up. With an empty ``resolv.conf`` the C
    library asks the container itself, where nobody listens, and is refused at once. Companions are
    found in the hosts file.
    """
    if launch.spec.egress:
        return {"dns_search": NO_SEARCH}
    if not launch.alone and not addresses:
        return {"dns": NO_DNS, "dns_opt": SHORT_WAIT}
    return {
        "mounts": [Mount("/etc/resolv.conf", "/dev/null", type="bind", read_only=True)],
        "extra_hosts": {name: address for name, address in addresses.items() if name} or None,
    }


def _limits(sandbox: Sandbox) -> dict[str, Any]:
    memory = sandbox.memory_mb * MIB
    return {
        "mem_limit": memory,
        "memswap_limit": memory,  # the sum of both: no swap
        "cpu_period": CPU_PERIOD_MICROSECONDS,
        "cpu_quota": int(sandbox.cpus * CPU_PERIOD_MICROSECONDS),
        "pids_limit": sandbox.pids_limit,
        "shm_size": sandbox.shm_mb * MIB,
        "init": sandbox.init,
        "security_opt": None if sandbox.may_gain_privileges else ["no-new-privileges"],
        "cap_drop": ["ALL"],
        "cap_add": list(sandbox.capabilities) or None,
        "ulimits": [
            Ulimit(name=name, soft=limit, hard=limit) for name, limit in ulimits_of(sandbox)
        ],
        "read_only": sandbox.read_only,
        "tmpfs": SCRATCH if sandbox.read_only else None,
        "log_config": LogConfig(type=LogConfig.types.JSON, config=LOG_LIMIT),
    }


def ulimits_of(sandbox: Sandbox) -> list[tuple[str, int]]:
    """Its ulimits, with that of a file's size: what one write can take before anybody looks."""
    largest = {"fsize": sandbox.disk_mb * MIB} if sandbox.disk_mb else {}
    return [*{**largest, **sandbox.ulimits}.items()]
