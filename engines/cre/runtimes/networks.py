"""The networks that instances are put on: bridges on which nobody meets anybody.

Instances of one container share a few bridges on which Docker lets nothing pass between containers;
an instance with companions has a bridge to itself. What leaves a bridge is the firewall's business
(:mod:`engines.cre.firewall`), which tells bridges with and without egress by their interface names.

Their addresses come from ``CRE_NETWORK_POOL`` (:mod:`engines.cre.runtimes.subnets`).
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from docker.errors import APIError
from docker.types import IPAMConfig, IPAMPool

from engines.contract import Isolation
from engines.cre.firewall import CLOSED, OPEN
from engines.cre.guard import FirewallGuard, docker_host
from engines.cre.runtimes.base import Launch
from engines.cre.runtimes.engine_api import answered
from engines.cre.runtimes.subnets import LABEL_SHARED, SHARED, shared_name, shared_subnet
from engines.deadline import held
from engines.errors import BackendUnavailable, RuntimeFault, SubnetTaken
from engines.probe import wait_until
from engines.pulse import Pulse
from engines.settings import Settings

log = logging.getLogger(__name__)

OTHERS_SECONDS = 5.0
"""How long another process may be at work on a shared network that we want too."""

USUAL_MTU = 1500
MTU = "com.docker.network.driver.mtu"
_ICC = "com.docker.network.bridge.enable_icc"
_INTERFACE = "com.docker.network.bridge.name"


@dataclass(frozen=True)
class _Wanted:
    """A network as it must be."""

    name: str
    interface: str
    subnet: IPv4Network | None
    labels: Mapping[str, str]
    icc: bool
    mtu: int

    @property
    def options(self) -> dict[str, str]:
        plain = {_ICC: str(self.icc).lower(), _INTERFACE: self.interface}
        return plain if self.mtu == USUAL_MTU else {**plain, MTU: str(self.mtu)}

    def mtu_differs(self, details: Any) -> bool:
        return mtu_of(details) != self.mtu

    def differences(self, details: Any) -> list[str]:
        """What of the network that the engine shows is otherwise, for a message."""
        subnets = [each.get("Subnet") for each in details["IPAM"]["Config"] or ()]
        options = details["Options"] or {}
        found = {
            "driver": (details["Driver"], "bridge"),
            "subnet": (subnets, [str(self.subnet)]),
            "icc": (options.get(_ICC), self.options[_ICC]),
            "interface": (options.get(_INTERFACE), self.interface),
            "ipv6": (details["EnableIPv6"], False),
            "label": ((details["Labels"] or {}).get(LABEL_SHARED), self.labels.get(LABEL_SHARED)),
        }
        return [
            f"{part} {is_now} in the place of {must_be}"
            for part, (is_now, must_be) in found.items()
            if is_now != must_be
        ]


class BridgeNetworks:
    """Bridge networks on one Docker engine.

    Args:
        api: gives the engine's low-level client; asked for on first use.
        pool: addresses for all networks.
        guard: sees to the firewall before a network is handed out.
        mtu: of all networks; 0 for what the engine's default bridge has.
        family: put into names of shared networks and their interfaces, at most 6 characters; for
            networks that have nothing to do with those of the host's deployments.
        bridges: shared networks of a kind to use.
    """

    def __init__(
        self,
        api: Callable[[], Any],
        pool: IPv4Network,
        guard: FirewallGuard,
        *,
        mtu: int = 0,
        family: str = "",
        bridges: int = SHARED,
    ) -> None:
        self._api = api
        self._pool = pool
        self._guard = guard
        self._mtu = mtu
        self._family = family
        self._bridges = bridges
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._made: set[str] = set()
        self._seen: set[str] = set()
        """Those whose interface was there once: where it is not, somebody removed it."""
        self._turns = itertools.count()
        self._pulse: Pulse | None = None

    def watch(self, pulse: Pulse) -> None:
        """Have requests watched over, with all others of the same engine."""
        self._pulse = pulse

    @property
    def isolation(self) -> frozenset[Isolation]:
        """What instances on these networks are kept from."""
        kept = {Isolation.SIBLINGS}
        if self._guard.keeps:
            kept |= {Isolation.HOST, Isolation.INTERNET}
        return frozenset(kept)

    def shared(self, *, egress: bool) -> str:
        """Name of a network on which instances of one container stand, each for itself.

        Raises:
            BackendUnavailable: engine or firewall cannot be had; no network was handed out.
            RuntimeFault: something else has that name; says what to do.
        """
        number = next(self._turns) % self._bridges
        try:
            return self._handed_out(number, egress=egress)
        except BackendUnavailable as error:
            # No container was asked for yet: nothing of the instance can be there.
            raise BackendUnavailable(error.seen, untouched=True, fix=error.fix) from error

    def _handed_out(self, number: int, *, egress: bool) -> str:
        wanted = self._shared(number, egress=egress)
        if wanted.name not in self._known:
            # One thread looks, the others find it known.
            with held(self._lock):
                if wanted.name not in self._known:
                    self._look_or_make(wanted)
                    self._known.add(wanted.name)
        try:
            self._guard.ensure(wanted.interface)
        except BackendUnavailable:
            if not self._vanished(wanted):
                raise
            self._renew(wanted)
            self._guard.ensure(wanted.interface)
        self._seen.add(wanted.name)
        return wanted.name

    def own(self, launch: Launch) -> str:
        """Make the network of an instance with companions, on which they meet; returns its name.

        Raises:
            SubnetTaken: another network of the host uses the addresses.
            BackendUnavailable: engine or firewall cannot be had; the network may have been made.
            RuntimeFault: the engine refused it.
        """
        # Never of the name that an earlier one had: others may keep that from being removed. By
        # its labels it is still found.
        own = secrets.token_hex(6)[:11]
        prefix = OPEN if launch.spec.egress else CLOSED
        subnet = IPv4Network(launch.subnet) if launch.subnet else None
        interface, mtu = f"{prefix}{own}", self._right_mtu()
        wanted = _Wanted(f"wr-{own}", interface, subnet, launch.labels, icc=True, mtu=mtu)
        try:
            self._make(wanted)
        except APIError as error:
            raise _refusal(error) from error
        try:
            self._guard.ensure(wanted.interface)
        except BackendUnavailable as error:
            raise BackendUnavailable(error.seen, fix=error.fix) from error  # the network is made
        return wanted.name

    def forget(self) -> None:
        """Look at the engine again: a network that was known is not found any more."""
        with self._lock:
            self._known.clear()

    def refresh(self) -> None:
        """Make sure of the firewall again; for every round of the worker.

        Raises:
            BackendUnavailable: the rules cannot be had; names the fix.
        """
        self._guard.refresh()

    def remove_unused(self) -> list[str]:
        """Remove the shared networks that this object made and on which nothing stands."""
        removed = [name for name in sorted(self._made) if self._remove(name)]
        self._made.clear()
        self.forget()
        return removed

    def _remove(self, name: str) -> bool:
        try:
            self._ask(lambda: self._api().remove_network(name))
        except APIError:  # it is not there, or in use
            return False
        return True

    def _vanished(self, wanted: _Wanted) -> bool:
        return wanted.name in self._seen and not self._guard.sees(wanted.interface)

    def _renew(self, wanted: _Wanted) -> None:
        """Make a shared network anew whose interface somebody removed, with it or without."""
        with self._lock:
            self._remove(wanted.name)
            self._look_or_make(wanted)

    def _shared(self, number: int, *, egress: bool) -> _Wanted:
        kind, prefix = ("open", OPEN) if egress else ("closed", CLOSED)
        return _Wanted(
            shared_name(number, egress=egress, family=self._family),
            f"{prefix}{self._family}{number}",
            shared_subnet(self._pool, number, egress=egress),
            {LABEL_SHARED: kind},
            icc=False,
            mtu=self._right_mtu(),
        )

    def _right_mtu(self) -> int:
        if not self._mtu:
            self._mtu = self._ask(lambda: engines_mtu(self._api()))
        return self._mtu

    def _look_or_make(self, wanted: _Wanted) -> None:
        """Find the network as it must be, or make it; others may do the same at this moment."""
        refusals: list[APIError] = []

        def there(_timeout: float) -> bool:
            details = self._find(wanted)
            if details is not None and not self._outdated(wanted, details):
                return True
            try:
                self._make(wanted)
                self._made.add(wanted.name)
            except APIError as error:
                # Somebody else was first with name, addresses or interface, but is not done yet.
                refusals.append(error)
                return False
            return True

        if not wait_until(there, OTHERS_SECONDS):
            raise _refusal(refusals[-1]) from refusals[-1]
        details = self._find(wanted)
        differences = wanted.differences(details) if details else ["somebody removes it"]
        if differences:
            raise RuntimeFault(
                f"network {wanted.name} is not the engine's own: {'; '.join(differences)}. Remove "
                f"it (docker network rm {wanted.name}) and it is made anew, or set "
                "CRE_NETWORK_POOL to the same addresses in every deployment on this host"
            )

    def _outdated(self, wanted: _Wanted, details: Any) -> bool:
        """Whether the network had another MTU and is gone: what runs on it keeps it."""
        if not wanted.mtu_differs(details):
            return False
        if self._remove(wanted.name):
            return True
        log.warning(
            "network %s has an MTU of %d, not %d, and is in use; it is made anew by the first "
            "process that begins when nothing runs on it",
            *(wanted.name, mtu_of(details), wanted.mtu),
        )
        return False

    def _find(self, wanted: _Wanted) -> Any | None:
        # By exact name: Docker's filter finds parts of names, and inspect takes ids too.
        rows = self._ask(lambda: self._api().networks(names=[wanted.name]))
        found = [row for row in rows if row["Name"] == wanted.name]
        if len(found) > 1:
            raise RuntimeFault(
                f"there are {len(found)} networks {wanted.name}; remove those without use"
            )
        return found[0] if found else None

    def _make(self, wanted: _Wanted) -> None:
        pools = [IPAMPool(subnet=str(wanted.subnet))] if wanted.subnet else None
        self._ask(
            lambda: self._api().create_network(
                wanted.name,
                driver="bridge",
                options=wanted.options,
                ipam=IPAMConfig(pool_configs=pools) if pools else None,
                check_duplicate=True,
                labels=dict(wanted.labels),
                enable_ipv6=False,
            )
        )

    def _ask(self, request: Callable[[], Any]) -> Any:
        with self._pulse.asking() if self._pulse is not None else nullcontext():
            return answered(request)


def mtu_of(details: Any) -> int:
    """The MTU of a network, as the engine shows it."""
    return int((details["Options"] or {}).get(MTU, USUAL_MTU))


def engines_mtu(api: Any) -> int:
    """The MTU that dockerd was told, which it gives to its default bridge alone."""
    rows = [row for row in api.networks(names=["bridge"]) if row["Name"] == "bridge"]
    return mtu_of(rows[0]) if rows else USUAL_MTU


def networks_from(settings: Settings, api: Callable[[], Any]) -> BridgeNetworks:
    """The networks that the settings describe, with the firewall they ask for."""
    guard = FirewallGuard(settings.cre_firewall, docker_host(settings))
    mtu = settings.cre_network_mtu
    return BridgeNetworks(api, settings.cre_network_pool, guard, mtu=mtu)


def _refusal(error: APIError) -> RuntimeFault:
    text = str(error.explanation or "").lower()
    if "overlaps with other" in text or "address space" in text:
        return SubnetTaken(
            "a network's addresses are in use by another one; CRE_NETWORK_POOL must be addresses "
            "that nothing else uses"
        )
    return RuntimeFault(f"the Docker engine refused a network ({error.status_code}): {text[:200]}")
