"""The adapter in front of a fake Whale on real sockets, with one virtual clock for both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.harness import Options
from conformance.harnesses.whale import FakeWhaleHarness, FakeWhaleWorld


@pytest.fixture(scope="session")
def whale_harness() -> Iterator[FakeWhaleHarness]:
    harness = FakeWhaleHarness()
    harness.open()
    yield harness
    harness.close()


@pytest.fixture
def world(whale_harness: FakeWhaleHarness) -> Iterator[FakeWhaleWorld]:
    """An empty Whale and a fresh adapter."""
    world = whale_harness.world(Options())
    assert isinstance(world, FakeWhaleWorld)
    yield world
    world.close()
