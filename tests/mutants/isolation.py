"""ContainerRuntimeEngine on real Docker, with one wall missing each.

``KILLED_BY`` names, for every missing wall, the rules whose scenarios must fail. What is missing is
still declared: a backend that declares less would only be shown as not applicable. The factories
below are what ``--backend NAME=mutants.isolation:NAME`` takes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

from conformance.harness import Harness, Options, World
from conformance.harnesses.cre_docker import DockerHarness
from engines.contract import Isolation
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.base import LABEL_INSTANCE
from engines.cre.runtimes.networks import BridgeNetworks

POOL = IPv4Network("10.214.0.0/16")
"""Beside the default pool, whose networks may be there already as they should be."""


class SaysItKeeps(BridgeNetworks):
    """Declares what it does not hold."""

    @property
    def isolation(self) -> frozenset[Isolation]:
        return frozenset({Isolation.SIBLINGS, Isolation.HOST, Isolation.INTERNET})


class NoFirewall(SaysItKeeps):
    """Nobody sees to the firewall's rules, and the interfaces have names that none match."""

    def _shared(self, number: int, *, egress: bool) -> Any:
        wanted = super()._shared(number, egress=egress)
        object.__setattr__(wanted, "interface", f"x{wanted.interface}")
        return wanted


class Talkative(SaysItKeeps):
    """Docker lets containers on a shared network talk to one another."""

    def _shared(self, number: int, *, egress: bool) -> Any:
        wanted = super()._shared(number, egress=egress)
        object.__setattr__(wanted, "icc", True)
        return wanted


class GivesEgress(SaysItKeeps):
    """Every challenge gets the network of those that ask for egress."""

    def shared(self, *, egress: bool) -> str:
        return super().shared(egress=True)


class KeepsAllIn(SaysItKeeps):
    """No challenge gets egress, whatever it asks for."""

    def shared(self, *, egress: bool) -> str:
        return super().shared(egress=False)


NETWORKS: dict[str, tuple[type[BridgeNetworks], tuple[str, ...]]] = {
    "no_firewall": (
        NoFirewall,
        ("ISOLATION-003", "ISOLATION-004", "ISOLATION-006", "ISOLATION-007", "ISOLATION-009"),
    ),
    "talkative": (Talkative, ("ISOLATION-001", "ISOLATION-002")),
    "gives_egress": (GivesEgress, ("ISOLATION-006", "ISOLATION-007")),
    "keeps_all_in": (KeepsAllIn, ("ISOLATION-008",)),
}
FORGOTTEN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "privileged": (
        ("cap_drop", "security_opt", "read_only"),
        ("ISOLATION-010", "ISOLATION-011", "ISOLATION-012", "ISOLATION-013"),
    ),
    "unlimited": (
        ("mem_limit", "memswap_limit", "pids_limit", "ulimits"),
        ("ISOLATION-014", "ISOLATION-015", "ISOLATION-016"),
    ),
}
"""What the engine is not told of a container."""
SOCKET = "/var/run/docker.sock"
CALLED: dict[str, tuple[Callable[[dict[str, Any], str], str], tuple[str, ...]]] = {
    "telling_names": (lambda _config, name: name, ("ISOLATION-018",)),
    "same_names_again": (
        lambda _config, name: f"wr-{hashlib.sha256(name.encode()).hexdigest()[:16]}",
        ("ISOLATION-018",),
    ),
    "telling_host_name": (
        lambda config, name: str(config.update(Hostname=name[:63]) or secrets.token_hex(8)),
        ("ISOLATION-019",),
    ),
}
"""What a container is called by its configuration and its instance's name."""
KILLED_BY: dict[str, tuple[str, ...]] = {
    **{name: rules for name, (_, rules) in NETWORKS.items()},
    **{name: rules for name, (_, rules) in FORGOTTEN.items()},
    **{name: rules for name, (_, rules) in CALLED.items()},
    "engine_inside": ("ISOLATION-005",),
}


def _broken_networks(broken: type[BridgeNetworks]) -> Callable[[], Harness]:
    class BrokenHarness(DockerHarness):
        kind = f"broken on purpose: {broken.__doc__}"

        def open(self) -> None:
            super().open()
            assert self._client is not None
            assert self._bench is not None
            api = self._client.api
            guard = FirewallGuard("none" if broken is NoFirewall else "engine")
            family = secrets.token_hex(2)
            self._bench.networks = broken(lambda: api, POOL, guard, family=family, bridges=1)

    return BrokenHarness


def _broken_config(change: Callable[[dict[str, Any]], None]) -> Callable[[], Harness]:
    class BrokenHarness(DockerHarness):
        kind = "broken on purpose: what the engine is told of a container"

        def world(self, options: Options) -> World:
            world = super().world(options)
            assert self._client is not None
            real = self._client.api.create_host_config

            def host_config(**told: Any) -> Any:
                change(told)
                return real(**told)

            world._client.create_host_config = host_config  # type: ignore[attr-defined] # the bug
            return world

    return BrokenHarness


def _called(name_for: Callable[[dict[str, Any], str], str]) -> Callable[[], Harness]:
    class BrokenHarness(DockerHarness):
        kind = "broken on purpose: what containers are called"

        def world(self, options: Options) -> World:
            world = super().world(options)
            assert self._client is not None
            real = self._client.api.create_container_from_config

            def create(config: dict[str, Any], _name: str) -> Any:
                return real(config, name_for(config, config["Labels"][LABEL_INSTANCE]))

            world._client.create_container_from_config = create  # type: ignore[attr-defined] # the bug
            return world

    return BrokenHarness


def _forgets(names: tuple[str, ...]) -> Callable[[dict[str, Any]], None]:
    return lambda told: [told.pop(name) for name in names] and None


for _name, (_broken, _rules) in NETWORKS.items():
    globals()[_name] = _broken_networks(_broken)
for _name, (_options, _rules) in FORGOTTEN.items():
    globals()[_name] = _broken_config(_forgets(_options))
for _name, (_name_for, _rules) in CALLED.items():
    globals()[_name] = _called(_name_for)
engine_inside = _broken_config(lambda told: told.update(binds=[f"{SOCKET}:{SOCKET}"]))
