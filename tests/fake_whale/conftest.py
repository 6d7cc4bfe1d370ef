"""Fixtures: the recorded world, a fake on a virtual clock, and players who call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_whale import FakeServer, FakeWhale, VirtualEpochClock, WhaleWorld
from fake_whale.testing import WhalePlayer, tokens

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def world() -> WhaleWorld:
    """The world the recordings were made in."""
    return WhaleWorld.from_file(DATA / "whale-world.json")


@pytest.fixture
def fake(world: WhaleWorld) -> Iterator[FakeWhale]:
    """A fake on a virtual clock, without instances."""
    with FakeWhale(world, clock=VirtualEpochClock()) as made:
        yield made


@pytest.fixture
def server(fake: FakeWhale) -> Iterator[FakeServer]:
    """``fake``, served."""
    with fake.serve() as made:
        yield made


@pytest.fixture
def player(server: FakeServer, world: WhaleWorld) -> Callable[[str], WhalePlayer]:
    """``player("alice")``"""
    known = tokens(world)
    return lambda name: WhalePlayer(server.url, known[name])
