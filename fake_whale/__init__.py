"""A Whale to test against: speaks the wire protocol of CTFd with ctfd-whale, quirks and all.

>>> from fake_whale import FakeWhale, VirtualClock, World
>>> fake = FakeWhale(World.from_file("whale-world.json"), clock=VirtualClock())  # doctest: +SKIP
>>> with fake.serve() as server:  # doctest: +SKIP
...     print(server.url)

Names are imported on first use: this package holds a pytest plugin, which every pytest on the
machine loads, with or without what the fake itself needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .fake import FakeWhale
    from .web.dialect import Dialect
    from .web.server import FakeServer
    from .whale.clock import Clock, SystemClock, VirtualClock
    from .whale.database import Dbms, Isolation
    from .whale.errors import FakeWhaleError
    from .whale.faults import Fault
    from .whale.flavours import FLAVOURS, Flavour
    from .whale.instances import InstanceOptions
    from .whale.runtimes import Runtime
    from .whale.world import Challenge, Team, User, UserMode, World

_MODULES = {
    "whale.clock": ("Clock", "SystemClock", "VirtualClock"),
    "whale.database": ("Dbms", "Isolation"),
    "web.dialect": ("Dialect",),
    "whale.errors": ("FakeWhaleError",),
    "fake": ("FakeWhale",),
    "whale.faults": ("Fault",),
    "whale.flavours": ("FLAVOURS", "Flavour"),
    "whale.instances": ("InstanceOptions",),
    "whale.runtimes": ("Runtime",),
    "web.server": ("FakeServer",),
    "whale.world": ("Challenge", "Team", "User", "UserMode", "World"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "FLAVOURS",
    "Challenge",
    "Clock",
    "Dbms",
    "Dialect",
    "FakeServer",
    "FakeWhale",
    "FakeWhaleError",
    "Fault",
    "Flavour",
    "InstanceOptions",
    "Isolation",
    "Runtime",
    "SystemClock",
    "Team",
    "User",
    "UserMode",
    "VirtualClock",
    "World",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
