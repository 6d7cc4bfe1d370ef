"""Where a new instance goes: a pure function of the dial, the challenge and the account."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

from engines.hybrid.dial import ALL, Position, share


class RoutedBy(str, Enum):
    """What decided; stands in the audit log as ``routed_by``."""

    CHALLENGE_FLAG = "challenge_flag"
    PERCENTAGE = "percentage"
    COHORT = "cohort"
    SETTING = "setting"
    """``USE_WHALE``, where the dial was never set."""
    PAUSED = "paused"
    STICKY = "sticky"
    """It is live there already, or what became of an earlier start is not known yet."""
    FALLBACK = "fallback"
    CATALOGUE = "catalogue"
    """The catalogue says that the new backend does not have the challenge."""
    UNKNOWN_THERE = "unknown_there"
    """The new backend was asked, and answered that it does not have the challenge."""
    ONLY_BACKEND = "only_backend"


@dataclass(frozen=True)
class RoutingDecision:
    """A backend's key, and why."""

    backend: str
    why: RoutedBy
    because: str
    """For an organiser who reads the audit log."""

    def detail(self) -> dict[str, Any]:
        """What the events of the start say."""
        return {"routed_by": self.why.value, "routed_because": self.because}


@dataclass(frozen=True)
class Choice:
    """Whether the new backend is chosen, and why."""

    new: bool
    why: RoutedBy
    because: str


def choose(position: Position, use_new: bool, challenge_id: int, account: str) -> Choice:
    """Choose by the challenge's flag, then by the share of challenges, then by that of accounts.

    Raising the dial only ever adds: what goes to the new backend at one share goes there at every
    higher one.

    Args:
        use_new: what ``USE_WHALE`` says, for a dial that was never set.
    """
    flag = position.challenges.get(challenge_id)
    if flag is not None:
        return Choice(flag, RoutedBy.CHALLENGE_FLAG, f"the challenge is {'on' if flag else 'off'}")
    if position.percent is None and (use_new or not position.cohort):
        said = "true" if use_new else "false"
        return Choice(use_new, RoutedBy.SETTING, f"USE_WHALE is {said} and the dial was never set")
    percent = position.percent or 0
    place = bucket("challenge", str(challenge_id))
    if place < percent:
        because = _compared("challenge", place, percent, "Whale")
        return Choice(True, RoutedBy.PERCENTAGE, because)
    seat = bucket("account", account)
    if seat < position.cohort:
        because = _compared("account", seat, position.cohort, "Whale")
        return Choice(True, RoutedBy.COHORT, because)
    return Choice(False, RoutedBy.PERCENTAGE, _compared("challenge", place, percent, "CRE"))


def _compared(what: str, place: int, rollout: int, backend: str) -> str:
    return f"this {what} moves at {share(place)}; the rollout is at {share(rollout)}: {backend}"


def bucket(kind: str, key: str) -> int:
    """A place from 0 to 9999, always the same for the same key, spread evenly."""
    digest = hashlib.sha256(f"{kind} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % ALL
