"""What the runtimes are told of an instance that is to be made, and what they make of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engines.catalog import ChallengeSpec, Companion, Port, Readiness
from engines.cre.runtimes.base import (
    LABEL_DEPLOYMENT,
    LABEL_FENCE,
    LABEL_INSTANCE,
    Launch,
    fence_of,
    is_leftover,
    labels_of,
)
from engines.errors import RuntimeFault

ALONE = ChallengeSpec(1, "Web", "web", ports=(Port(80), Port(22)))
QUICK = Companion(name="cache", image="cache", readiness=Readiness.NONE)
SLOW = Companion(name="db", image="db", readiness=Readiness.TCP)
LAUNCH = Launch("wr-1", "stage", ALONE, "flag{x}", "127.0.0.1", fence=7)


@pytest.mark.parametrize(
    ("companions", "ports", "waits"),
    [
        ((), (), False),
        ((), (30000, 30001), False),
        ((SLOW,), (), False),
        ((SLOW,), (30000, 30001), True),
    ],
)
def test_a_container_is_started_again_if_it_has_companions_and_keeps_its_ports(
    companions: tuple[Companion, ...], ports: tuple[int, ...], waits: bool
) -> None:
    spec = replace(ALONE, companions=companions)
    assert replace(LAUNCH, spec=spec, host_ports=ports).waits_for_companions is waits


@pytest.mark.parametrize(
    ("companions", "in_steps"), [((), False), ((QUICK,), False), ((QUICK, SLOW), True)]
)
def test_a_companion_that_is_waited_for_makes_steps(
    companions: tuple[Companion, ...], in_steps: bool
) -> None:
    assert replace(LAUNCH, spec=replace(ALONE, companions=companions)).in_steps is in_steps


@pytest.mark.parametrize(("fences", "goes_first"), [([], False), ([6], True), ([6, 7], True)])
def test_what_an_earlier_try_has_left_goes_first(fences: list[int], goes_first: bool) -> None:
    assert is_leftover(LAUNCH, fences) is goes_first


def test_what_a_younger_start_has_made_is_left_alone() -> None:
    with pytest.raises(RuntimeFault, match="younger"):
        is_leftover(LAUNCH, [6, 8])


def test_everything_of_an_instance_is_found_by_its_labels() -> None:
    assert labels_of("stage", "wr-1") == [
        f"{key}={LAUNCH.labels[key]}" for key in (LABEL_DEPLOYMENT, LABEL_INSTANCE)
    ]


@pytest.mark.parametrize(
    ("labels", "fence"), [(LAUNCH.labels, 7), ({}, 0), ({LABEL_FENCE: "0"}, 0)]
)
def test_what_was_made_before_there_were_fences_has_the_least(
    labels: dict[str, str], fence: int
) -> None:
    assert fence_of(labels) == fence
