"""The Docker SDK, the engine, the firewall and the addresses for networks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from engines.cre.firewall import FIX as FIREWALL_FIX
from engines.cre.firewall import Firewall
from engines.cre.guard import docker_host, is_remote
from engines.cre.owner import SHARED_FIX, SHARED_LABEL, ids_at
from engines.cre.runtimes import sdk
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, LABEL_OWNER
from engines.cre.runtimes.disk_use import has_quotas, may_have_quotas, storage_of
from engines.cre.runtimes.subnets import LABEL_SHARED, SHARED, shared_name, shared_subnet
from engines.doctor.findings import DoctorFinding, FindingState, not_ok, ok, unknown
from engines.errors import BackendUnavailable, SettingsError
from engines.settings import Settings

DOCKER_SECONDS = 10.0
"""How long the engine may take over one request before it is called silent."""
ROUTES = Path("/proc/net/route")
_ISOLATED = "networks are the swarm's own"


def docker_findings(settings: Settings, seconds: float = DOCKER_SECONDS) -> list[DoctorFinding]:
    """What instances on this site's Docker stand on."""
    installed = sdk_finding()
    engine: DoctorFinding | None = None
    owner = unknown("deployment", "the Docker engine must be reached first")
    pool = unknown("network-pool", "the Docker engine must be reached first")
    disk = unknown("disk", "the Docker engine must be reached first")
    if installed.state is FindingState.NOT_OK:
        engine = unknown("docker", "the docker SDK must work first")
    else:
        try:
            with _asking(settings, seconds) as api:
                engine = _engine(settings, api)
                disk = disk_finding(settings, api)
                owner = deployment_finding(settings, api)
                pool = pool_finding(settings, api)
        except BackendUnavailable as error:
            engine = not_ok("docker", error.seen, error.fix + _context())
        except SettingsError as error:
            engine = not_ok("docker", str(error), "correct the setting (docs/settings.md)")
    return [installed, engine, disk, firewall_finding(settings), owner, pool]


def sdk_finding() -> DoctorFinding:
    """Whether the docker SDK can be used."""
    try:
        sdk.check_sdk()
    except SettingsError as error:
        return not_ok("docker-sdk", str(error).removesuffix(f": {sdk.FIX}"), sdk.FIX)
    version = sdk.sdk_version()
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    oldest = ".".join(map(str, sdk.OLDEST))
    if version and numbers < sdk.OLDEST:
        return not_ok("docker-sdk", f"docker {version} is older than {oldest}", sdk.FIX)
    return ok("docker-sdk", f"docker {version or 'of unknown version'}, and {oldest} is enough")


def firewall_finding(settings: Settings, firewall: Firewall | None = None) -> DoctorFinding:
    """Whether the rules that ``CRE_FIREWALL`` promises can be had."""
    if settings.cre_runtime == "swarm":
        return ok("firewall", f"not used: {_ISOLATED}")
    mode = settings.cre_firewall
    if mode == "none":
        return ok("firewall", "CRE_FIREWALL=none: instances reach Docker's host and the internet")
    if is_remote(docker_host(settings)):
        if mode == "engine":
            seen = "CRE_FIREWALL=engine, but the Docker engine is on another machine"
            return not_ok("firewall", seen, FIREWALL_FIX)
        return unknown(
            "firewall", "CRE_FIREWALL=operator, and Docker is on another machine", _CHECK
        )
    try:
        applied = (firewall or Firewall()).applied()
    except BackendUnavailable as error:
        why = str(error).removesuffix(f"; {FIREWALL_FIX}").removesuffix("; or")
        seen = f"CRE_FIREWALL={mode}, as uid {os.geteuid()}: {why}"
        if mode == "operator":
            return unknown("firewall", seen, _CHECK)
        return not_ok("firewall", seen, FIREWALL_FIX)
    if applied:
        return ok("firewall", f"CRE_FIREWALL={mode}: the rules are applied")
    if mode == "operator":
        seen = "CRE_FIREWALL=operator, but the rules are not applied"
        return not_ok("firewall", seen, "run `whale-ready firewall apply` as root on Docker's host")
    return ok(
        "firewall", "CRE_FIREWALL=engine: this process may set the rules; the first start does"
    )


_CHECK = "run `whale-ready firewall check` as root on Docker's host"


@contextmanager
def _asking(settings: Settings, seconds: float) -> Iterator[Any]:
    """The engine's low-level client.

    Raises:
        SettingsError: a setting is wrong.
        BackendUnavailable: the engine cannot be asked.
    """
    from docker.errors import DockerException

    from engines.cre.runtimes.connection import connector

    client = connector(settings, seconds=seconds)()
    try:
        yield client.api
    except (DockerException, RequestException, OSError, LookupError, ValueError) as error:
        raise BackendUnavailable(
            f"the Docker engine does not answer as one ({type(error).__name__})",
            fix="look at dockerd's log",
        ) from error
    finally:
        client.close()


def _engine(settings: Settings, api: Any) -> DoctorFinding:
    from engines.cre.runtimes.connection import socket_owner

    version = api.version()
    place = socket_owner(settings)
    at = f"at {place}, asked as uid {os.geteuid()}" if place else "over the network"
    seen = f"Docker {version['Version']}, API {version['ApiVersion']}, {at}"
    if settings.cre_runtime == "swarm" and not api.info()["Swarm"].get("ControlAvailable"):
        fix = "name a manager in CRE_DOCKER_HOST, or `docker swarm init` (docs/cre-swarm.md)"
        return not_ok("docker", f"{seen}; it manages no swarm", fix)
    return ok("docker", seen)


def disk_finding(settings: Settings, api: Any) -> DoctorFinding:
    """What keeps instances from filling the disks that they are on."""
    info = api.info()
    storage = storage_of(info)
    if settings.cre_runtime == "swarm":
        if not info["Swarm"].get("ControlAvailable"):
            return unknown("disk", "the Docker engine must manage a swarm first")
        mine = info["Swarm"]["NodeID"]
        nodes = api.nodes()
        others = sorted(node["Description"]["Hostname"] for node in nodes if node["ID"] != mine)
        if others:
            seen = (
                f"instances on {len(others)} of the swarm's {len(nodes)} nodes "
                f"({', '.join(others[:5])}) may write what their disk takes: the worker can look "
                "at this manager's own node alone"
            )
            return unknown("disk", seen, _OTHER_NODES)
        return ok("disk", f"{storage}: the worker looks at what instances have written")
    if has_quotas(info):
        return ok("disk", f"{storage}: the engine's own quotas")
    if may_have_quotas(info):
        seen = f"{storage}: the engine's own quotas where it takes them (xfs: with pquota), and"
        return ok("disk", f"{seen} the worker looks at what instances have written")
    return ok("disk", f"{storage}, which has no quotas: the worker looks at what is written")


_OTHER_NODES = (
    "on those nodes mount Docker's folder on xfs with pquota and set overlay2.size in the engine's "
    "storage-opts, or keep their disks for Docker alone (docs/cre-swarm.md)"
)


def deployment_finding(settings: Settings, api: Any) -> DoctorFinding:
    """Whether what carries this deployment's name was made for this database, all of it."""
    name = settings.cre_deployment
    if name is None:
        return ok("deployment", "its name is kept in the database")
    label = {"label": f"{LABEL_DEPLOYMENT}={name}"}
    found = [
        row["Labels"] or {}
        for row in (*api.containers(all=True, filters=label), *api.networks(filters=label))
    ]
    if settings.cre_runtime == "swarm":
        found += [row["Spec"]["Labels"] or {} for row in api.services(filters=label)]
    try:
        ours = ids_at(settings.state_url)
    except (SQLAlchemyError, SettingsError, ValueError, OSError):
        return unknown("deployment", "the database must be reached first")
    others = {labels[LABEL_OWNER] for labels in found if LABEL_OWNER in labels} - ours
    if others:
        return not_ok(
            "deployment", SHARED_LABEL.format(name, ", ".join(sorted(others))), SHARED_FIX
        )
    return ok("deployment", f"no other database has made anything as {name}")


def _context() -> str:
    """Where the docker command would go and we do not."""
    try:
        config = json.loads(Path("~/.docker/config.json").expanduser().read_text("utf-8"))
        name = str(config["currentContext"])
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return ""
    if name == "default":
        return ""
    return f". The docker command's context {name} is not followed: write its address instead"


def pool_finding(settings: Settings, api: Any) -> DoctorFinding:
    """Whether the addresses for networks are free, as ``api`` and this host's routes show."""
    if settings.cre_runtime == "swarm":
        return ok("network-pool", f"not used: {_ISOLATED}")
    pool = settings.cre_network_pool
    try:
        wanted = {
            shared_name(number, egress=egress): shared_subnet(pool, number, egress=egress)
            for egress in (False, True)
            for number in range(SHARED)
        }
    except SettingsError as error:
        return not_ok("network-pool", str(error), "write a larger network")
    networks = list(_networks(api))
    ours = list(wanted.values())
    routes = [] if is_remote(docker_host(settings)) else _routes()
    clashes = [
        f"network {name} ({subnet})"
        for name, subnet, is_ours in networks
        if not is_ours and any(subnet.overlaps(our) for our in ours)
    ]
    clashes += [
        f"a route of this host ({subnet} on {interface})"
        for interface, subnet in routes
        if any(subnet.subnet_of(our) for our in ours)
    ]
    if not clashes:
        for name, subnet, _ in networks:
            if wanted.get(name, subnet) != subnet:
                return not_ok(
                    "network-pool",
                    f"network {name} ({subnet}) was made with another CRE_NETWORK_POOL than {pool}",
                    "write the same pool in every deployment on this host, or remove the network "
                    f"(docker network rm {name}) and it is made anew",
                )
        return ok("network-pool", f"{pool}: no other network or route uses its addresses")
    used = [subnet for _, subnet, _ in networks] + [subnet for _, subnet in routes]
    return not_ok(
        "network-pool",
        f"{', '.join(clashes[:5])} uses addresses of CRE_NETWORK_POOL ({pool})",
        f"set CRE_NETWORK_POOL to addresses that nothing else uses{_free(pool, used)}",
    )


def _networks(api: Any) -> Iterator[tuple[str, IPv4Network, bool]]:
    """Each IPv4 subnet of the engine's networks: name, subnet, and whether it is ours."""
    for row in api.networks():
        labels = row.get("Labels") or {}
        is_ours = LABEL_SHARED in labels or LABEL_DEPLOYMENT in labels
        for config in (row.get("IPAM") or {}).get("Config") or ():
            try:
                subnet = IPv4Network(config.get("Subnet", ""), strict=False)
            except ValueError:  # IPv6
                continue
            yield str(row["Name"]), subnet, is_ours


def _routes() -> list[tuple[str, IPv4Network]]:
    """The host's routes but those of Docker's bridges, which are its networks', and the default."""
    try:
        lines = ROUTES.read_text("ascii").splitlines()[1:]
    except OSError:
        return []
    found = []
    for line in lines:
        interface, destination, _, _, _, _, _, mask = line.split()[:8]
        numbers = [int.from_bytes(bytes.fromhex(each), "little") for each in (destination, mask)]
        subnet = IPv4Network((numbers[0], bin(numbers[1]).count("1")))
        if subnet.prefixlen and not interface.startswith(("br-", "docker", "wrc-", "wro-")):
            found.append((interface, subnet))
    return found


def _free(pool: IPv4Network, used: list[IPv4Network]) -> str:
    """A pool of the same size that is free, as far as can be seen."""
    for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"):
        whole = IPv4Network(block)
        if whole.prefixlen <= pool.prefixlen:
            for network in reversed(list(whole.subnets(new_prefix=pool.prefixlen))):
                if not any(network.overlaps(subnet) for subnet in used):
                    return f", such as {network}"
    return ""
