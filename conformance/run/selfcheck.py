"""A look at a harness without running a scenario: what it offers, and what each gap costs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from conformance.harness import CannotRun, Options, World
from conformance.registry.backends import Subject
from conformance.report.waivers import wrong_declarations
from conformance.run.runner import CheckRequest, planned_scenarios
from conformance.spec.hooks import HookState, broken_promises, hook_states
from conformance.spec.scenario import Scenario


@dataclass(frozen=True)
class SelfCheck:
    """What was seen of one harness."""

    hooks: tuple[HookState, ...]
    run: tuple[str, ...]
    """Ids of the rules that would be executed."""
    rules: int
    """All there are."""
    problems: tuple[str, ...]
    """What would end a run before its first scenario."""


def self_check(subject: Subject) -> SelfCheck:
    """Open the harness, look at a world of it, and close both.

    Raises:
        RuntimeError: it cannot be opened, or the scenarios cannot be read; says why.
    """
    scenarios = planned_scenarios(subject, CheckRequest())
    with _world_of(subject) as world:
        return SelfCheck(
            tuple(hook_states(subject.harness, world, scenarios)),
            tuple(scenario.id for scenario in scenarios if _applies(scenario, subject, world)),
            len(scenarios),
            (
                *broken_promises(subject.harness, world),
                *wrong_declarations(subject.harness.known_deviations),
            ),
        )


def _applies(scenario: Scenario, subject: Subject, world: World) -> bool:
    missing = scenario.missing_hooks(subject.harness.hooks)
    return missing is None and scenario.unmet_needs(world) is None


@contextmanager
def _world_of(subject: Subject) -> Iterator[World]:
    harness = subject.harness
    try:
        try:
            harness.open()
            world = harness.world(Options())
        except CannotRun as error:
            raise RuntimeError(f"{subject.name}: {error}") from error
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise RuntimeError(f"{subject.name}: could not be opened: {said}") from error
        try:
            yield world
        finally:
            world.close()
    finally:
        harness.close()
