"""Fixtures: the recorded world, a fake on a virtual clock, and players who call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_whale import FakeServer, FakeWhale, VirtualClock, World
from fake_whale.testing import Player, tokens

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def world() -> World:
    """The world the recordings were made in."""
    return World.from_file(DATA / "whale-world.json")


@pytest.fixture
def fake(world: World) -> Iterator[FakeWhale]:
    """A fake on a virtual clock, without instances."""
    with FakeWhale(world, clock=VirtualClock()) as made:
        yield made


@pytest.fixture
def server(fake: FakeWhale) -> Iterator[FakeServer]:
    """``fake``, served."""
    with fake.serve() as made:
        yield made


@pytest.fixture
def player(server: FakeServer, world: World) -> Callable[[str], Player]:
    """``player("alice")``"""
    known = tokens(world)
    return lambda name: Player(server.url, known[name])
