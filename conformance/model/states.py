"""What the model holds to be so: instances, what has ended, and the time as far as it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """A moment that lies between two others, in epoch seconds."""

    lo: float
    hi: float

    @classmethod
    def at(cls, moment: float) -> Span:
        return cls(moment, moment)

    def holds(self, moment: float) -> bool:
        return self.lo <= moment <= self.hi

    def moved(self, seconds: float) -> Span:
        return Span(self.lo + seconds, self.hi + seconds)

    def widened(self, before: float, after: float) -> Span:
        return Span(self.lo - before, self.hi + after)

    def at_least(self, other: Span) -> Span:
        """The later of two moments."""
        return Span(max(self.lo, other.lo), max(self.hi, other.hi))

    def within(self, other: Span) -> Span | None:
        """Where both may be, or None."""
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        return Span(lo, hi) if lo <= hi else None


EVER = Span(-math.inf, math.inf)
"""A moment of which nothing is known."""


@dataclass(frozen=True)
class Held:
    """An instance that was started and neither stopped nor lost."""

    account: str
    challenge: int
    user_id: int
    """Who started it."""
    container: str
    """Empty until an answer has told it."""
    address: str
    started: Span
    expires: Span
    extensions: int
    lost: bool = False
    """Removed behind the back of a backend that need not notice."""

    def __str__(self) -> str:
        name = "a new container" if not self.container else self.container[:12]
        until = "" if math.isinf(self.expires.lo) else f", expiry {clock(self.expires)}"
        return f"{name} of challenge {self.challenge}, {self.extensions} extensions{until}"


@dataclass(frozen=True)
class ModelState:
    """Everything the model knows at one moment."""

    now: Span = EVER
    held: frozenset[Held] = frozenset()
    past: frozenset[str] = frozenset()
    """Containers that have ended; they never come back."""
    lingering: frozenset[str] = frozenset()
    """Those of them that expired and that the worker may not have removed yet."""

    def find(self, account: str, challenge: int) -> Held | None:
        found = (each for each in self.held if each.account == account)
        return next((each for each in found if each.challenge == challenge), None)

    def of(self, account: str) -> list[Held]:
        return [each for each in self.held if each.account == account]

    @property
    def places(self) -> int:
        """How many containers there may be, those of expired instances included."""
        return len(self.held) + len(self.lingering)

    def knows(self, container: str, address: str) -> bool:
        """Whether a container is not new, or its address belongs to a live one."""
        if container in self.past:
            return True
        return any(container == each.container or address == each.address for each in self.held)

    def having(self, held: Held) -> ModelState:
        return replace(self, held=self.held | {held})

    def without(self, held: Held, *, lingers: bool = False, ends: bool = True) -> ModelState:
        """The state after this instance has ended (or, not ``ends``, before it is put anew)."""
        left = self.held - {held}
        if not ends or not held.container:
            return replace(self, held=left)
        gone = frozenset({held.container})
        lingering = self.lingering | gone if lingers else self.lingering
        return replace(self, held=left, past=self.past | gone, lingering=lingering)

    def moved(self, seconds: float) -> ModelState:
        return replace(self, now=self.now.moved(seconds))

    def passed(self, seconds: float) -> ModelState:
        """The state after up to so many seconds."""
        return replace(self, now=self.now.widened(0, seconds))

    def cleared(self) -> ModelState:
        """The state after the worker has run."""
        return replace(self, lingering=frozenset())


def clock(span: Span) -> str:
    """A moment for people: seconds of its day, as both ends when they differ."""
    lo, hi = (int(each % 86_400) for each in (span.lo, span.hi))
    told = [f"{each // 3600:02}:{each // 60 % 60:02}:{each % 60:02}" for each in (lo, hi)]
    return told[0] if lo == hi else f"{told[0]} to {told[1]}"
