"""The endpoints over the real engine on simulated containers, and over a fake Whale."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.web_site import Site, site_app, site_of

from conformance.harness import Harness, Options, World
from conformance.harnesses.cre import MemoryHarness, MemoryWorld
from conformance.harnesses.whale import FakeWhaleHarness
from engines.web import DatabaseOverview


@pytest.fixture(scope="session")
def memory() -> Iterator[MemoryHarness]:
    harness = MemoryHarness()
    harness.open()
    yield harness
    harness.close()


@pytest.fixture(scope="session")
def whale() -> Iterator[FakeWhaleHarness]:
    harness = FakeWhaleHarness()
    harness.open()
    yield harness
    harness.close()


@pytest.fixture
def cre_world(memory: MemoryHarness) -> Iterator[MemoryWorld]:
    """The engine with empty state."""
    world = memory.world(Options())
    assert isinstance(world, MemoryWorld)
    yield world
    world.close()


@pytest.fixture
def site(cre_world: MemoryWorld) -> Iterator[Site]:
    """The endpoints over the engine, with those of admins."""
    overview = DatabaseOverview(cre_world._database, cre_world.engine.clock)
    with site_of(site_app(lambda: cre_world.backend, overview=overview)) as served:
        yield served


@pytest.fixture(params=["memory", "whale"])
def any_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Either backend with empty state."""
    harness: Harness = request.getfixturevalue(request.param)
    world = harness.world(Options())
    yield world
    world.close()


@pytest.fixture
def any_site(any_world: World) -> Iterator[Site]:
    """The endpoints over either backend."""
    with site_of(site_app(lambda: any_world.backend)) as served:
        yield served
