"""Making a container, for a player or for the warm pool: in its turn, with numbers of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from engines.catalog import ChallengeSpec, Port, Transport, paired
from engines.cre.context import EngineContext
from engines.cre.reservations import SUBNET
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.subnets import own_subnets
from engines.errors import (
    BackendUnavailable,
    Crowded,
    NoRoom,
    PortUnavailable,
    RuntimeFault,
    SubnetTaken,
)

PATIENCE_SECONDS = 30.0
"""How long a start waits for its turn before it is told to come again."""
RETRY_CROWDED_SECONDS = 5.0
TRIES = 5
"""How often other ports and subnets are tried when programs of the host hold them."""
LEASE_MARGIN_SECONDS = 120.0
"""How long, beyond the ready time-out, a row in a passing state belongs to who set it."""


CHOSEN_HERE = range(32768, 61000)
"""Where CRE_PORT_RANGE names none and Docker must not choose: what it would choose from."""

_Tried = dict[str, set[int]]
"""By kind, the numbers that one launch has had already."""


class ContainerLauncher:
    """Makes containers, a bounded number at a time: Docker gets slower, not faster, with more.

    The others wait in the order they came.
    """

    def __init__(self, parts: EngineContext) -> None:
        self._parts = parts
        self._turns = ThreadPoolExecutor(parts.settings.cre_parallel_starts, "cre-start")

    @property
    def lease(self) -> timedelta:
        """How long whoever launches may take."""
        return timedelta(seconds=self._parts.settings.cre_ready_seconds + LEASE_MARGIN_SECONDS)

    def launch(self, name: str, spec: ChallengeSpec, flag: str, fence: int) -> Launched:
        """Make an instance and wait until it answers; on failure nothing of it is left.

        What it has reserved is held by ``name``, and given back when that is forgotten.

        Raises:
            RuntimeFault: it could not be made; ``code`` says why.
            BackendUnavailable: it may be there; if it is, its name tells.
        """
        tried: _Tried = defaultdict(set)
        for _ in range(TRIES):
            launch = self._planned(name, spec, flag, fence, tried)
            try:
                launched = self._in_turn(launch)
                self._await_ready(launch, launched)
            except (PortUnavailable, SubnetTaken):
                if not (launch.host_ports or launch.subnet):
                    raise
                # A program or network that is not ours has one of them: try others.
                self._parts.reservations.give_back(name, tried)
                continue
            return launched
        raise PortUnavailable(f"{TRIES} times a port or subnet was held by another program")

    def close(self) -> None:
        """Let go of the threads."""
        self._turns.shutdown()

    def _planned(
        self, name: str, spec: ChallengeSpec, flag: str, fence: int, tried: _Tried
    ) -> Launch:
        return Launch(
            name=name,
            deployment=self._parts.deployment,
            spec=spec,
            flag=flag,
            bind_address=self._parts.settings.cre_bind_address,
            host_ports=self._ports(name, spec, tried),
            subnet=self._subnet(name, tried) if spec.companions else None,
            fence=fence,
            owner=self._parts.owner,
        )

    def _ports(self, name: str, spec: ChallengeSpec, tried: _Tried) -> tuple[int, ...]:
        """The ports to publish on; none where Docker may choose."""
        among: Sequence[int] | None = self._parts.settings.cre_port_range
        pairs = paired(spec.ports)
        if among is None:
            if not (pairs or spec.companions):
                return ()
            # Docker chooses for each port anew, at each start of a container.
            among = CHOSEN_HERE
        picked: dict[Port, int] = {}
        for number in pairs:
            chosen = self._pair(among, name, tried)
            picked |= {Port(number, transport): chosen for transport in Transport}
        for transport in Transport:
            alone = [p for p in spec.ports if p.transport is transport and p not in picked]
            if alone:
                numbers = self._numbers(transport.value, among, len(alone), name, tried)
                picked |= dict(zip(alone, numbers, strict=True))
        return tuple(picked[port] for port in spec.ports)

    def _pair(self, among: Sequence[int], name: str, tried: _Tried) -> int:
        """A number that is free for both transports: a protocol that speaks both, as DNS, is
        asked on one."""
        while True:
            (number,) = self._numbers(Transport.TCP.value, among, 1, name, tried)
            try:
                self._numbers(Transport.UDP.value, [number], 1, name, tried)
            except NoRoom:
                self._parts.reservations.give_back(name, {Transport.TCP.value: {number}})
            else:
                return number

    def _subnet(self, name: str, tried: _Tried) -> str:
        subnets = own_subnets(self._parts.settings.cre_network_pool)
        (number,) = self._numbers(SUBNET, range(len(subnets)), 1, name, tried)
        return str(subnets[number])

    def _numbers(
        self, kind: str, among: Sequence[int], count: int, name: str, tried: _Tried
    ) -> tuple[int, ...]:
        picked = self._parts.reservations.reserve(kind, among, count, name, tried[kind])
        tried[kind].update(picked)
        return picked

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
