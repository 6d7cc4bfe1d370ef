"""Making a container, for a player or for the warm pool: in its turn, with numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import IPv4Network

from engines.catalog import ChallengeSpec, Transport
from engines.cre.parts import Parts
from engines.cre.reservations import SUBNET
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.networks import own_subnets
from engines.errors import BackendUnavailable, Crowded, PortUnavailable, RuntimeFault

PATIENCE_SECONDS = 60.0
"""How long a start waits for its turn before it is told to come again."""
RETRY_CROWDED_SECONDS = 5.0
PORT_TRIES = 5
"""How many ports of the range are tried when programs of the host hold them."""
LEASE_MARGIN_SECONDS = 120.0
"""How long, beyond the ready time-out, a row in a passing state belongs to who set it."""


class Launcher:
    """Makes containers, a bounded number at a time: Docker gets slower, not faster, with more.

    The others wait in the order they came.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns = ThreadPoolExecutor(parts.settings.cre_parallel_starts, "cre-start")

    @property
    def lease(self) -> timedelta:
        """How long whoever launches may take."""
        return timedelta(seconds=self._parts.settings.cre_ready_seconds + LEASE_MARGIN_SECONDS)

    def launch(self, name: str, spec: ChallengeSpec, flag: str) -> Launched:
        """Make an instance and wait until it answers; on failure nothing of it is left.

        What it has reserved is held by ``name``, and given back when that is forgotten.

        Raises:
            RuntimeFault: it could not be made; ``code`` says why.
            BackendUnavailable: it may be there; if it is, its name tells.
        """
        avoiding: set[int] = set()
        for _ in range(PORT_TRIES):
            launch = self._planned(name, spec, flag, avoiding)
            try:
                launched = self._in_turn(launch)
            except PortUnavailable:
                if not launch.host_ports:
                    raise
                # A program of the host has one of them: not this range's fault, try others.
                avoiding.update(launch.host_ports)
                self._parts.reservations.drop(name)
                continue
            self._await_ready(launch, launched)
            return launched
        raise PortUnavailable(f"{PORT_TRIES} times a port was held by another program")

    def close(self) -> None:
        """Let go of the threads."""
        self._turns.shutdown()

    def _planned(self, name: str, spec: ChallengeSpec, flag: str, avoiding: set[int]) -> Launch:
        return Launch(
            name=name,
            deployment=self._parts.deployment,
            spec=spec,
            flag=flag,
            bind_address=self._parts.settings.cre_bind_address,
            host_ports=self._ports(name, spec, avoiding),
            subnet=str(self._subnet(name)) if spec.companions else None,
        )

    def _ports(self, name: str, spec: ChallengeSpec, avoiding: set[int]) -> tuple[int, ...]:
        among: Sequence[int] | None = self._parts.settings.cre_port_range
        if among is None:
            return ()
        picked = {
            transport: iter(
                self._parts.reservations.reserve(transport.value, among, count, name, avoiding)
            )
            for transport in Transport
            if (count := sum(port.transport is transport for port in spec.ports))
        }
        return tuple(next(picked[port.transport]) for port in spec.ports)

    def _subnet(self, name: str) -> IPv4Network:
        subnets = own_subnets(self._parts.settings.cre_network_pool)
        (number,) = self._parts.reservations.reserve(SUBNET, range(len(subnets)), 1, name)
        return subnets[number]

    def _in_turn(self, launch: Launch) -> Launched:
        turn = self._turns.submit(self._parts.runtime.launch, launch)
        try:
            return turn.result(PATIENCE_SECONDS)
        except TimeoutError:
            if turn.cancel():
                raise Crowded(RETRY_CROWDED_SECONDS) from None
            return turn.result()

    def _await_ready(self, launch: Launch, launched: Launched) -> None:
        try:
            try:
                self._parts.runtime.wait_ready(
                    launch, launched, self._parts.settings.cre_ready_seconds
                )
            except RuntimeFault:
                self._parts.runtime.remove(launched.container_id)
                raise
        except BackendUnavailable as error:
            # Said anew: that one request did not arrive does not mean that nothing was made.
            raise BackendUnavailable("the runtime broke off a start") from error
