"""Pytest fixtures: a fake of one's own for every test that asks for it.

Nothing heavy is imported until a fixture is used, so that loading the plugin costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .fake import FakeWhale
    from .web.server import FakeServer
    from .whale.world import WhaleWorld


@pytest.fixture
def fake_whale_world() -> WhaleWorld:
    """The world :func:`fake_whale` begins with; override it to bring one's own."""
    from .demo import DEMO_WORLD

    return DEMO_WORLD


@pytest.fixture
def fake_whale(fake_whale_world: WhaleWorld) -> Iterator[FakeWhale]:
    """A fake on a virtual clock, with state of its own. Serve it with ``fake_whale_server``."""
    from .fake import FakeWhale
    from .whale.clock import VirtualEpochClock

    with FakeWhale(fake_whale_world, clock=VirtualEpochClock()) as fake:
        yield fake


@pytest.fixture
def fake_whale_server(fake_whale: FakeWhale) -> Iterator[FakeServer]:
    """:func:`fake_whale`, answering at ``.url``."""
    with fake_whale.serve() as server:
        yield server
