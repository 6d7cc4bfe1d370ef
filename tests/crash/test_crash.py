"""The engine is killed at its boundaries, on real containers; the long run is ``python -m crash``.

Every boundary of start and stop, and a fixed sample of the others'.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from crash.broken import CAUGHT_AS
from crash.campaign import Campaign, at, campaign, every, some
from crash.operations import OPERATIONS
from engines.cre import ContainerRuntimeEngine

SEED = 20_261_124
SAMPLE = 1
"""Kills of an operation that is only sampled."""


@pytest.fixture(scope="module")
def kills(docker_engine: str) -> Iterator[Campaign]:
    with campaign("sqlite") as made:
        yield made


@pytest.mark.parametrize("operation", ["start", "stop"])
def test_a_kill_at_any_boundary_leaks_nothing_and_loses_nothing(
    operation: str, kills: Campaign
) -> None:
    tally = kills.play(operation, every)
    assert tally.bad == []
    assert tally.kills == tally.boundaries >= 10


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each not in ("start", "stop")]
)
def test_nor_does_one_in_the_middle_of_anything_else(operation: str, kills: Campaign) -> None:
    tally = kills.play(operation, some(SAMPLE, Random(SEED)))  # noqa: S311 - repeatable
    assert tally.bad == []
    assert tally.kills == SAMPLE


def test_a_run_with_fewer_boundaries_than_the_first_is_killed_too(kills: Campaign) -> None:
    tally = kills.play("extend", lambda boundaries: [len(boundaries)])
    assert tally.bad == []
    assert tally.kills == 1


@pytest.mark.parametrize("kind", CAUGHT_AS, ids=lambda kind: kind.__name__)
def test_an_engine_that_does_not_survive_a_kill_is_caught(
    kind: type[ContainerRuntimeEngine], kills: Campaign
) -> None:
    operation, boundary, finding = CAUGHT_AS[kind]
    tally = kills.play(operation, at(boundary), kind)
    assert tally.of(finding), f"{kind.__doc__} Found: {tally.bad}"
