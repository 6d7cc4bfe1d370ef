"""The dial of a rollout, as data: where it stands, what it stood at before, and what to do next.

Shares are kept in hundredths of a percent, so that 0.5 % is a whole number too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from msgspec import json

ALL = 10_000
"""A share of 100 %."""
STEPS_KEPT = 50
"""How many earlier positions a dial can be turned back to."""

_NO_FLAGS: Mapping[int, bool] = MappingProxyType({})


@dataclass(frozen=True)
class Position:
    """Which instances go to the new backend."""

    percent: int | None = None
    """Share of the challenges; None: the setting ``USE_WHALE`` decides, all or none."""
    cohort: int = 0
    """Share of the accounts whose instances go there whatever the challenge."""
    challenges: Mapping[int, bool] = field(default_factory=lambda: _NO_FLAGS)
    """Challenges that always, or never, go there."""

    def within(self, other: Position) -> bool:
        """Whether all that goes to the new backend here does so in ``other`` too."""
        on = {number for number, enabled in self.challenges.items() if enabled}
        off = {number for number, enabled in other.challenges.items() if not enabled}
        return (
            (self.percent or 0) <= (other.percent or 0)
            and self.cohort <= other.cohort
            and all(other.challenges.get(number, False) for number in on)
            and all(self.challenges.get(number) is False for number in off)
        )

    @property
    def nothing(self) -> bool:
        """Whether it sends nothing to the new backend."""
        return self.percent == 0 and self.cohort == 0 and not any(self.challenges.values())

    def flagged(self, challenge_id: int, enabled: bool | None) -> Position:
        """The same with this challenge's flag set, or taken away."""
        flags = {key: value for key, value in self.challenges.items() if key != challenge_id}
        if enabled is not None:
            flags[challenge_id] = enabled
        return replace(self, challenges=flags)

    def __str__(self) -> str:
        where = (
            "as USE_WHALE says" if self.percent is None else f"{share(self.percent)} of challenges"
        )
        words = [where]
        if self.cohort:
            words.append(f"{share(self.cohort)} of accounts")
        for enabled in (True, False):
            numbers = sorted(key for key, value in self.challenges.items() if value is enabled)
            if numbers:
                listed = ", ".join(map(str, numbers))
                words.append(f"challenges {'on' if enabled else 'off'}: {listed}")
        return "; ".join(words)


START = Position(percent=0)
"""Nothing goes to the new backend."""


@dataclass(frozen=True)
class RolloutStep:
    """One step of a plan: a position, and what must be seen there before the next."""

    position: Position
    hold_seconds: int
    """How long to stay at least."""
    starts: int
    """How many starts on the new backend must have been seen there."""


@dataclass(frozen=True)
class Dial:
    """The whole dial, as it stands in the database."""

    position: Position = field(default_factory=Position)
    earlier: tuple[Position, ...] = ()
    """What it was turned up from, the latest last."""
    paused: bool = False
    """Nothing new goes to the new backend, and no plan advances, until it is resumed."""
    shadow: bool = False
    """A status is asked of both backends, and what differs is recorded."""
    plan: tuple[RolloutStep, ...] = ()
    step: int = -1
    """The plan's step it stands at; -1 before the first."""
    changed_at: datetime | None = None
    """When the position, or the pause, was changed last."""
    version: int = 0

    def turned(self, to: Position) -> Dial:
        """The dial at another position; a way back is kept when it was turned up."""
        if self.position.within(to):
            here = () if self.position == to else (self.position,)
            earlier = (*self.earlier, *here)[-STEPS_KEPT:]
        else:
            earlier = tuple(each for each in self.earlier if each.within(to) and each != to)
        return replace(self, position=to, earlier=earlier)

    def stepped_back(self) -> Dial:
        """One position back; to nothing at all where there is no earlier one. A plan ends."""
        if not self.earlier:
            return replace(self, position=START, plan=(), step=-1)
        *rest, before = self.earlier
        if before.percent is None:  # whatever USE_WHALE says, back is back
            before = replace(before, percent=0)
        return replace(self, position=before, earlier=tuple(rest), plan=(), step=-1)

    def to_json(self) -> str:
        """As it is stored."""
        return json.encode(self, enc_hook=dict).decode()  # a dict of the mapping without flags

    @classmethod
    def from_json(cls, text: str, version: int) -> Dial:
        """What :meth:`to_json` wrote; keys of a later version are left out."""
        return replace(json.decode(text, type=cls), version=version)


def share(hundredths: int) -> str:
    """A share as people write it: ``12.5 %``."""
    return f"{hundredths / 100:g} %"


def parse_share(text: str) -> int:
    """``10%``, ``10 %``, ``0.5`` as hundredths of a percent.

    Raises:
        ValueError: with the fix.
    """
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100 or not number.replace(".", "").isascii():
        raise ValueError("write a share from 0% to 100%, as 10%")
    return round(value * 100)
