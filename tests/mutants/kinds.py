"""What a mutant is: one part of the program with one bug of a kind that real systems have had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from conformance.harness import Harness


class Part(Enum):
    """Which part is broken."""

    CRE = "CRE"
    ADAPTER = "the adapter"
    FAKE = "the fake"
    FRONT = "the front"
    ENDPOINTS = "the endpoints"


@dataclass(frozen=True)
class Mutant:
    """A bug, and what must find it."""

    name: str
    part: Part
    says: str
    """What it does, in a sentence."""
    bug: str
    """The class of bug."""
    source: str
    """Where that was seen in a real system; empty when nowhere in public."""
    killed_by: str
    """Id of the rule whose scenario must fail; of a recorded session where it is no rule."""
    harness: Callable[[], Harness]

    @property
    def by_session(self) -> bool:
        """Whether a recorded session with the real Whale finds it, and no scenario can."""
        return self.killed_by[0].islower()


WIRE = "docs/whale-wire.md"


def wire(section: str) -> str:
    """A fact that was measured on the real Whale."""
    return f"ctfd-whale ({WIRE}, “{section}”)"
