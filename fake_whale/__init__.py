"""A Whale to test against: speaks the wire protocol of CTFd with ctfd-whale, quirks and all.

>>> from fake_whale import FakeWhale, VirtualClock, World
>>> fake = FakeWhale(World.from_file("whale-world.json"), clock=VirtualClock())  # doctest: +SKIP
>>> with fake.serve() as server:  # doctest: +SKIP
...     print(server.url)
"""

from .clock import Clock, SystemClock, VirtualClock
from .database import Isolation
from .errors import FakeWhaleError
from .fake import FakeWhale
from .instances import InstanceOptions
from .server import FakeServer
from .world import Challenge, Team, User, UserMode, World

__all__ = [
    "Challenge",
    "Clock",
    "FakeServer",
    "FakeWhale",
    "FakeWhaleError",
    "InstanceOptions",
    "Isolation",
    "SystemClock",
    "Team",
    "User",
    "UserMode",
    "VirtualClock",
    "World",
]
