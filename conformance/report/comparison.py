"""Two reports side by side: what got worse, what got better, what is new and what is gone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from conformance.report.matrix import spans
from conformance.report.results import EXCUSED, Broken, Report, ScenarioResult, Status

RANKS = {
    Status.PASS: 0,
    Status.NOT_APPLICABLE: 1,
    **dict.fromkeys(EXCUSED, 2),
    Status.FAIL: 3,
}
"""From good to bad. A rule that does not apply any more is evidence lost. An error measures
nothing: it is as if the rule had not been run."""
_BROKEN = (Status.FAIL, *EXCUSED)


@dataclass(frozen=True)
class RuleDifference:
    """How one rule ended on one backend, before and after; None where it was not run."""

    backend: str
    rule: str
    before: Status | None
    after: Status | None

    @property
    def change(self) -> str:
        return f"{_word(self.before)} → {_word(self.after)}"


@dataclass(frozen=True)
class Comparison:
    """What lies between two reports, each in the order of backends and rules."""

    worse: tuple[RuleDifference, ...] = ()
    better: tuple[RuleDifference, ...] = ()
    new: tuple[RuleDifference, ...] = ()
    """Measured after, and not before."""
    gone: tuple[RuleDifference, ...] = ()
    """Measured before, and not after."""
    still_broken: tuple[RuleDifference, ...] = ()
    """Failed or excused, before and after, and no better or worse for it."""

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse, is gone, or is new and fails."""
        return bool(self.worse or self.gone or any(_fails(each) for each in self.new))


def compare(before: Report, after: Report) -> Comparison:
    """What lies between two reports."""
    return _between(_statuses(before.results), _statuses(after.results))


def _between(old: Mapping[Broken, Status], new: Mapping[Broken, Status]) -> Comparison:
    all_of_them = [
        RuleDifference(backend, rule, old.get((backend, rule)), new.get((backend, rule)))
        for backend, rule in {**old, **new}
    ]

    def those(which: Callable[[RuleDifference], bool]) -> tuple[RuleDifference, ...]:
        return tuple(difference for difference in all_of_them if which(difference))

    return Comparison(
        worse=those(lambda each: _step(each) > 0),
        better=those(lambda each: _step(each) < 0),
        new=those(lambda each: not _measured(each.before) and _measured(each.after)),
        gone=those(lambda each: _measured(each.before) and not _measured(each.after)),
        still_broken=those(
            lambda each: _step(each) == 0 and each.before in _BROKEN and each.after in _BROKEN
        ),
    )


@dataclass(frozen=True)
class BaselineGate:
    """What a baseline means for the verdict on a run."""

    failures: tuple[str, ...] = ()
    """Why the run fails, beside the rules that are broken and were not before."""
    known: frozenset[Broken] = frozenset()
    """What was broken before; that alone is no failure."""
    notes: tuple[str, ...] = ()
    """What got better, and what is still broken."""


def gate(
    baseline: Report, results: Iterable[ScenarioResult], rules: Collection[str], *, whole: bool
) -> BaselineGate:
    """Hold what was measured against a baseline.

    Args:
        rules: ids of the rules that the run is about.
        whole: False for a run that broke off: nothing is gone that it did not come to.
    """
    before = _statuses(result for result in baseline.results if result.rule in rules)
    found = _between(before, _statuses(results))
    # An excuse that holds is for what got worse, too; a scenario that erred is told as such.
    worse = [difference for difference in found.worse if difference.after not in EXCUSED]
    excused = [difference for difference in found.worse if difference.after in EXCUSED]
    gone = [
        difference for difference in found.gone if whole and difference.after is not Status.ERROR
    ]
    failing = [difference for difference in found.new if _fails(difference)]
    return BaselineGate(
        failures=(
            *_told("worse than the baseline", worse),
            *_told("not in the baseline, and broken", failing),
            *_told("in the baseline, and not checked any more", gone),
        ),
        known=frozenset(
            (difference.backend, difference.rule)
            for difference in found.still_broken
            if difference.after is Status.FAIL
        ),
        notes=(
            *_told("better than the baseline", found.better),
            *_told("worse than the baseline, and excused", excused),
            *_told("broken as in the baseline", found.still_broken),
        ),
    )


def _told(what: str, differences: Iterable[RuleDifference]) -> Iterator[str]:
    """One sentence for each backend and kind of change."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for difference in differences:
        grouped.setdefault((difference.backend, difference.change), []).append(difference.rule)
    for (backend, change), rules in grouped.items():
        yield f"{what}: {backend}: {spans(rules)} ({change})"


def _statuses(results: Iterable[ScenarioResult]) -> dict[Broken, Status]:
    return {(result.backend, result.rule): result.status for result in results}


def _measured(status: Status | None) -> bool:
    return status is not None and status is not Status.ERROR


def _step(each: RuleDifference) -> int:
    """Above zero for worse, below for better."""
    if each.before not in RANKS or each.after not in RANKS:
        return 0
    return RANKS[each.after] - RANKS[each.before]


def _fails(each: RuleDifference) -> bool:
    return each.after is Status.FAIL


def _word(status: Status | None) -> str:
    return "not run" if status is None else status.value.replace("_", " ")
