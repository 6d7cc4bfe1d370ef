"""The networks that instances are put on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from ipaddress import IPv4Network

from engines.cre.runtimes.base import Launch


class Networks(ABC):
    """Where an instance's containers meet, and whom they meet there."""

    @abstractmethod
    def shared(self, *, egress: bool) -> str:
        """Name of the network on which instances of one container stand, each for itself."""

    @abstractmethod
    def own(self, launch: Launch) -> str:
        """Make the network of one instance with companions; returns its name."""


def own_subnets(pool: IPv4Network) -> Sequence[IPv4Network]:
    """The subnets for networks of single instances: what the shared networks leave of the pool."""
    return list(pool.subnets(new_prefix=28))[512:]
