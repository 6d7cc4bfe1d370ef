"""What a backend can do though it does not declare it.

A scenario may prove a capability: ``@scenario("EXTEND-003", RESET, proves=RESET)``. Where that
capability is the one thing it lacks, it is tried nevertheless. A backend on which every scenario
that proves a capability passes has it, and must say so: the last of them fails. One that does not
pass shows that the backend was right, and does not apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.harness import Hook, World
from conformance.spec.scenario import Need, Scenario


@dataclass
class Proofs:
    """The proofs of one backend.

    Args:
        planned: the scenarios that are to run on it.
        every: all scenarios; a proof that lacks one of them is none, and nothing is tried for it.
    """

    planned: frozenset[str]
    every: Iterable[Scenario]
    hooks: frozenset[Hook]
    _missing: dict[str, set[str]] = field(default_factory=dict)
    """By capability, the scenarios that have not passed yet."""
    _refuted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for each in self.every:
            if each.proves is not None:
                self._missing.setdefault(each.proves.text, set()).add(each.id)
                if each.id not in self.planned or each.missing_hooks(self.hooks):
                    self._refuted.add(each.proves.text)

    def tried(self, scenario: Scenario, world: World) -> Need | None:
        """The undeclared capability for whose sake the scenario is run on this world, if any."""
        need = scenario.proves
        if need is None or need.text in self._refuted or not need.can_be_tried(world):
            return None
        return need if scenario.lacks_only(need, world) else None

    def passed(self, scenario: Scenario) -> bool:
        """Take note of a pass; whether it was the last one of a proof."""
        if scenario.proves is None:
            return False
        missing = self._missing[scenario.proves.text]
        missing.discard(scenario.id)
        return not missing

    def failed(self, scenario: Scenario) -> None:
        """Take note that the backend does not have what the scenario proves."""
        if scenario.proves is not None:
            self._refuted.add(scenario.proves.text)


def undeclared_but_working(need: Need) -> str:
    """What is said of a backend that has a capability it does not declare."""
    return f"works, though the backend declares no {need.text}; declare it"
