"""What a run would do, told without doing it: nothing is contacted, started or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from conformance.harness import World
from conformance.registry.backends import Subject
from conformance.spec.proofs import Proofs
from conformance.spec.scenario import Scenario

STARTS_PER_SCENARIO = 3
"""No scenario starts more instances than this."""


@runtime_checkable
class Previewing(Protocol):
    """A harness that can tell what it declares without contact to anything."""

    def preview(self) -> AbstractContextManager[World]:
        """A world whose capabilities, challenges and players can be read; no call is made."""
        ...

    def facts(self) -> Mapping[str, str]:
        """What else is known beforehand, by name; no secret."""
        ...


@dataclass(frozen=True)
class CheckPlan:
    """What a run would do on one backend."""

    name: str
    kind: str
    facts: Mapping[str, str]
    run: tuple[str, ...]
    """Ids of the scenarios that would run."""
    not_applicable: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids by the reason why they would not."""
    tried: tuple[str, ...] = ()
    """Ids of those that would run only to see that what the backend does not declare is not there;
    they do not apply unless it is."""
    previewed: bool = True
    """Whether the backend's capabilities are known; they may make more scenarios not apply."""

    @property
    def most_starts(self) -> int:
        return STARTS_PER_SCENARIO * (len(self.run) + len(self.tried))


def plan_for(subject: Subject, scenarios: Iterable[Scenario], proofs: Proofs) -> CheckPlan:
    """The plan for one backend, from its hooks and, where it can be previewed, its capabilities."""
    harness = subject.harness
    if not isinstance(harness, Previewing):
        return _plan(subject, scenarios, proofs, None, {})
    with harness.preview() as world:
        return _plan(subject, scenarios, proofs, world, harness.facts())


def _plan(
    subject: Subject,
    scenarios: Iterable[Scenario],
    proofs: Proofs,
    world: World | None,
    facts: Mapping[str, str],
) -> CheckPlan:
    run: list[str] = []
    tried: list[str] = []
    not_applicable: dict[str, tuple[str, ...]] = {}
    for scenario in scenarios:
        reason = scenario.missing_hooks(subject.harness.hooks)
        if reason is None and world is not None:
            reason = scenario.unmet_needs(world)
            if proofs.tried(scenario, world) is not None:
                tried.append(scenario.id)
        if reason is None:
            run.append(scenario.id)
        else:
            not_applicable[reason] = (*not_applicable.get(reason, ()), scenario.id)
    return CheckPlan(
        subject.name,
        subject.harness.kind,
        facts,
        tuple(run),
        not_applicable,
        tuple(tried),
        world is not None,
    )
