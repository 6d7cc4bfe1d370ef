"""The addresses of ``CRE_NETWORK_POOL`` and what each part of it is for.

Docker's own address pools hold some thirty networks. Of ours the first /20 is for the shared
bridges without egress, the second for those with, the rest for instances with a network of their
own, a /28 each.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network
from typing import overload

from engines.errors import SettingsError

LABEL_SHARED = "whale-ready.shared"
"""``closed`` or ``open``: a shared network, of every deployment on the host."""
SHARED = 4
"""Shared networks of a kind. A Linux bridge takes 1023 ports, so one would not hold the default
capacity with room to spare; a /22 has 1021 addresses for containers, so that addresses run out,
which Docker tells, before ports do. Four hold 4084 instances, taken in turn."""
SHARED_PREFIX, OWN_PREFIX, BLOCK_PREFIX = 22, 28, 20


class OwnSubnets(Sequence[IPv4Network]):
    """The /28 networks of a pool for instances with companions, by number and never as a list."""

    def __init__(self, pool: IPv4Network) -> None:
        self._first = int(pool.network_address) + 2 * _size(BLOCK_PREFIX)
        self._count = (pool.num_addresses - 2 * _size(BLOCK_PREFIX)) // _size(OWN_PREFIX)

    def __len__(self) -> int:
        return max(0, self._count)

    @overload
    def __getitem__(self, index: int) -> IPv4Network: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[IPv4Network]: ...
    def __getitem__(self, index: int | slice) -> IPv4Network | Sequence[IPv4Network]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        return IPv4Network((self._first + number * _size(OWN_PREFIX), OWN_PREFIX))


def own_subnets(pool: IPv4Network) -> OwnSubnets:
    """The networks of ``pool`` that instances with companions may have, after the shared ones."""
    return OwnSubnets(pool)


def shared_name(number: int, *, egress: bool, family: str = "") -> str:
    """The name of a shared network; ``family`` as :class:`BridgeNetworks` has it."""
    kind = "open" if egress else "closed"
    return f"whale-ready{family and '-'}{family}-{kind}-{number}"


def shared_subnet(pool: IPv4Network, number: int, *, egress: bool) -> IPv4Network:
    """The subnet of a shared network.

    Raises:
        SettingsError: the pool is too small.
    """
    if pool.prefixlen > BLOCK_PREFIX - 1:
        raise SettingsError(
            f"CRE_NETWORK_POOL: {pool} has no room for the shared networks of both kinds; write a "
            "/19 (no challenge with companions), a /18 (512 of them at a time) or a larger one"
        )
    first = int(pool.network_address) + egress * _size(BLOCK_PREFIX)
    return IPv4Network((first + number * _size(SHARED_PREFIX), SHARED_PREFIX))


def _size(prefix: int) -> int:
    """Addresses of a network."""
    return 1 << (32 - prefix)
