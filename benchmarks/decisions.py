"""Pass, fail or inconclusive, against margins that were agreed before anything was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.statistics import LEVEL, MINIMUM_TURNS, Interval

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
DEFAULT_MARGINS = ("p95=1.2", "errors=0.05")
_ERRORS = "errors"


class MarginDecision(str, Enum):
    """What a margin, or a whole comparison, comes to."""

    PASS = "pass"  # noqa: S105 - a word, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOTHING = "nothing"
    """There is nothing to decide: the comparison has no such call."""

    @property
    def exit_code(self) -> int:
        """What a command ends with."""
        return {MarginDecision.PASS: 0, MarginDecision.FAIL: 1}.get(self, 2)


class MarginError(ValueError):
    """A ``--margin`` that cannot be understood; the message shows one that can."""


@dataclass(frozen=True)
class Margin:
    """What one system may be worse by.

    Args:
        name: ``p95`` and the like: the most that B's quantile may be of A's; ``errors``: the most
            that B's rate of failed calls may be above A's.
        call: of which call; None for every call.
    """

    name: str
    limit: float
    call: str | None = None

    @property
    def is_rate(self) -> bool:
        return self.name == _ERRORS

    def is_of(self, call: str) -> bool:
        return self.call in (None, call)

    def __str__(self) -> str:
        return f"{self.call + '.' if self.call else ''}{self.name}={self.limit:g}"


@dataclass(frozen=True)
class Judged:
    """One margin held against one interval."""

    decision: MarginDecision
    why: str


def margin_of(text: str) -> Margin:
    """The margin that ``p95=1.2``, ``start.p95=1.2`` or ``errors=0.05`` means.

    Raises:
        MarginError: it means none.
    """
    found = re.fullmatch(r"(?:(start|ready|status|extend|stop)\.)?(\w+)=(\d+(?:\.\d+)?)", text)
    names = (*QUANTILES, _ERRORS)
    if found is None or found[2] not in names:
        raise MarginError(
            f"{text}: write p95=1.2, start.p95=1.2 or errors=0.05; there are {', '.join(names)}"
        )
    margin = Margin(found[2], float(found[3]), found[1])
    if margin.is_rate and margin.limit >= 1:
        raise MarginError(f"{text}: a rate of errors is below 1, as in errors=0.05")
    if not margin.is_rate and margin.limit < 1:
        raise MarginError(f"{text}: below 1, B would have to be faster than A; write 1 or more")
    return margin


def level_for(decisions: int) -> float:
    """The level of each interval, so that all of them together are right with LEVEL (Bonferroni).

    Without it, ten calls of which each is judged wrongly once in twenty times would make two equal
    systems fail about every third time.
    """
    return 1 - (1 - LEVEL) / max(1, decisions)


def judged(margin: Margin, interval: Interval | None, turns: int) -> Judged:
    """Pass when all of the interval is within the margin, fail when none of it is.

    Args:
        interval: of the ratio or difference; None when too little was measured for one.
        turns: how many the interval is made of.
    """
    if interval is None:
        return Judged(MarginDecision.INCONCLUSIVE, "n too small")
    if turns < MINIMUM_TURNS:
        why = f"{turns} turns of each system; {MINIMUM_TURNS} are needed"
        return Judged(MarginDecision.INCONCLUSIVE, why)
    if interval.low > margin.limit:
        return Judged(MarginDecision.FAIL, "all of the interval is above the margin")
    if interval.high <= margin.limit:
        return Judged(MarginDecision.PASS, "all of the interval is within the margin")
    return Judged(MarginDecision.INCONCLUSIVE, "the margin is inside the interval; measure longer")


def together(decisions: Sequence[MarginDecision]) -> MarginDecision:
    """One fail fails, one inconclusive leaves it open, and of nothing nothing can be said."""
    told = [decision for decision in decisions if decision is not MarginDecision.NOTHING]
    for worst in (MarginDecision.FAIL, MarginDecision.INCONCLUSIVE):
        if worst in told:
            return worst
    return MarginDecision.PASS if told else MarginDecision.INCONCLUSIVE
