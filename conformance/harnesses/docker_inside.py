"""What the harness for Docker brings to scenarios that look at instances from inside."""

from __future__ import annotations

import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from os import geteuid
from typing import Any

from conformance.harness import Trial
from conformance.harnesses.fetch import http_get
from engines.contract import InstanceStatus
from engines.cre.firewall import CLOSED, OPEN, Firewall
from engines.cre.guard import INTERFACES, FirewallGuard, is_remote
from engines.cre.runtimes.networks import BridgeNetworks
from engines.errors import BackendUnavailable

CONNECT_SECONDS = 5.0
ELSEWHERE = ("192.0.2.1", 9)
"""Nothing is sent there; it only tells which address of this machine would be the sender's."""


class RunNetworks:
    """The networks of a run, and the firewall where this process may set it.

    Networks and rules that were not there before a run and that nobody uses after it are removed.
    """

    def __init__(self, api: Any, docker_host: str, pool: IPv4Network) -> None:
        self._firewall = Firewall()
        self._found_applied: bool | None = None
        if geteuid() == 0 and shutil.which("iptables") and not is_remote(docker_host):
            # Refused where this is not Docker's host: then nobody keeps instances from it.
            with suppress(BackendUnavailable):
                self._found_applied = self._firewall.applied()
        self.firewalled = self._found_applied is not None
        mode = "engine" if self.firewalled else "none"
        guard = FirewallGuard(mode, docker_host, self._firewall)
        # One bridge of a kind: that siblings do not meet is to be seen on one and the same.
        self.networks = BridgeNetworks(lambda: api, pool, guard, bridges=1)

    def close(self) -> None:
        self.networks.remove_unused()
        ours = [path for path in INTERFACES.iterdir() if path.name.startswith((CLOSED, OPEN))]
        if self._found_applied is False and not ours:
            self._firewall.remove()


def ask_inside(instance: InstanceStatus, trial: Trial, arguments: tuple[str, ...]) -> str:
    """What the program of the challenge image says."""
    path = f"/cgi-bin/{trial.value}?{','.join(arguments)}"
    said = http_get(instance["host"], int(instance["ports"][0]), path)
    if said is None:
        raise RuntimeError(f"{path} gave no answer")
    return said


def inner_addresses(api: Any, container_id: str, port: int) -> list[str]:
    """``HOST:PORT`` of a container on each of its networks; each answers from the host."""
    networks = api.inspect_container(container_id)["NetworkSettings"]["Networks"]
    addresses = [network["IPAddress"] for network in networks.values() if network["IPAddress"]]
    if not addresses:
        raise RuntimeError("the container has no address")
    for address in addresses:
        socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
    return [f"{address}:{port}" for address in addresses]


def host_addresses(api: Any, container_id: str) -> list[str]:
    """The addresses of this machine that a container could try: gateways, and its own outside."""
    details = api.inspect_container(container_id)["NetworkSettings"]["Networks"]
    gateways = {detail["Gateway"] for detail in details.values() if detail["Gateway"]}
    default = api.inspect_network("bridge")["IPAM"]["Config"] or ()
    gateways |= {each["Gateway"] for each in default if "Gateway" in each}
    return sorted(gateways | _own_address())


@contextmanager
def listening(addresses: list[str]) -> Iterator[list[str]]:
    """A port on all addresses of this machine that accepts connections, by each of them."""
    everywhere = ""
    with socketserver.ThreadingTCPServer(
        (everywhere, 0), socketserver.BaseRequestHandler
    ) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            port = server.server_address[1]
            for address in addresses:
                socket.create_connection((address, port), timeout=CONNECT_SECONDS).close()
            yield [f"{address}:{port}" for address in addresses]
        finally:
            server.shutdown()
            thread.join()


def _own_address() -> set[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:  # no route leads off this machine
            return set()
        return {probe.getsockname()[0]}
