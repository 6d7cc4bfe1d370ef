"""A database that takes its time is not told as an engine that does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from conformance.harness import Options
from conformance.harnesses.cre import MemoryHarness, MemoryWorld
from engines import deadline
from engines.contract import Code

LOST_ROUNDS = 2
"""Saves that another process was before, each after a minute."""


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    harness = MemoryHarness()
    harness.open()
    made = harness.world(Options())
    assert isinstance(made, MemoryWorld)
    yield made
    made.close()
    harness.close()


def test_an_extension_that_comes_again_looks_at_the_engine_afresh(
    world: MemoryWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed, rounds = 0.0, 0
    monkeypatch.setattr(
        deadline, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    )
    store = world.engine._store
    save = store.save

    def busy(*given: Any) -> bool:
        nonlocal passed, rounds
        passed, rounds = passed + 60, rounds + 1
        return rounds > LOST_ROUNDS and save(*given)

    player, challenge = world.players[0], world.challenges.first
    assert world.engine.start_instance(player.user_id, challenge, player.team_id).ok
    monkeypatch.setattr(store, "save", busy)

    result = world.engine.extend_instance(player.user_id, challenge, player.team_id)

    assert (result.ok, result.code) == (True, Code.OK), result.message
    assert rounds == LOST_ROUNDS + 1
