"""A Whale to test against: speaks the wire protocol of CTFd with ctfd-whale, quirks and all.

>>> from fake_whale import FakeWhale, VirtualEpochClock, WhaleWorld
>>> fake = FakeWhale(WhaleWorld.from_file("whale-world.json"), clock=VirtualEpochClock())  #
doctest: +SKIP >>> with fake.serve() as server:  # doctest: +SKIP
...     print(server.url)

Names are imported on first use: this package holds a pytest plugin, which every pytest on the
machine loads, with or without what the fake itself needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fake import FakeWhale
    from .web.dialect import FakeDialect
    from .web.server import FakeServer
    from .whale.clock import EpochClock, SystemEpochClock, VirtualEpochClock
    from .whale.database import Dbms, TransactionIsolation
    from .whale.errors import FakeWhaleError
    from .whale.faults import Fault
    from .whale.flavours import FLAVOURS, Flavour
    from .whale.instances import InstanceOptions
    from .whale.runtimes import WhaleRuntime
    from .whale.world import Team, User, UserMode, WhaleChallenge, WhaleWorld

_MODULES = {
    "whale.clock": ("EpochClock", "SystemEpochClock", "VirtualEpochClock"),
    "whale.database": ("Dbms", "TransactionIsolation"),
    "web.dialect": ("FakeDialect",),
    "whale.errors": ("FakeWhaleError",),
    "fake": ("FakeWhale",),
    "whale.faults": ("Fault",),
    "whale.flavours": ("FLAVOURS", "Flavour"),
    "whale.instances": ("InstanceOptions",),
    "whale.runtimes": ("WhaleRuntime",),
    "web.server": ("FakeServer",),
    "whale.world": ("WhaleChallenge", "Team", "User", "UserMode", "WhaleWorld"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "FLAVOURS",
    "Dbms",
    "EpochClock",
    "FakeDialect",
    "FakeServer",
    "FakeWhale",
    "FakeWhaleError",
    "Fault",
    "Flavour",
    "InstanceOptions",
    "SystemEpochClock",
    "Team",
    "TransactionIsolation",
    "User",
    "UserMode",
    "VirtualEpochClock",
    "WhaleChallenge",
    "WhaleRuntime",
    "WhaleWorld",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
