"""The matrix of a run: groups of rules by backends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.report.results import EXCUSED, Report, ScenarioResult, Status, Verdict
from conformance.spec.rules import GROUPS

_VERDICTS = {
    Verdict.PASSED: "PASSED: every executed scenario passed",
    Verdict.NO_WORSE: "NO WORSE THAN THE BASELINE: rules are broken, and were before",
    Verdict.FAILED: "FAILED: a backend broke a rule",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE: nothing failed, but too little was executed",
    Verdict.COULD_NOT_RUN: "COULD NOT RUN",
    Verdict.INTERRUPTED: "INTERRUPTED: what was measured until then is no verdict",
}


@dataclass(frozen=True)
class MatrixCell:
    """How the scenarios of one group ended on one backend."""

    passed: int = 0
    failed: int = 0
    errors: int = 0
    not_applicable: int = 0
    waived: int = 0
    known: int = 0
    """Known deviations."""

    @classmethod
    def of(cls, results: Iterable[ScenarioResult]) -> MatrixCell:
        counts = Counter(result.status for result in results)
        return cls(
            counts[Status.PASS],
            counts[Status.FAIL],
            counts[Status.ERROR],
            counts[Status.NOT_APPLICABLE],
            counts[Status.WAIVED],
            counts[Status.KNOWN_DEVIATION],
        )

    @property
    def total(self) -> int:
        return self.executed + self.not_applicable

    @property
    def executed(self) -> int:
        return self.passed + self.failed + self.errors + self.excused

    @property
    def excused(self) -> int:
        """Broken rules that do not make the run fail."""
        return self.known + self.waived

    def __str__(self) -> str:
        parts = [f"{self.passed} pass"] if self.passed else []
        parts += [f"{self.failed} FAIL"] if self.failed else []
        parts += [f"{self.errors} ERROR"] if self.errors else []
        parts += [known_deviations(self.known)] if self.known else []
        parts += [f"{self.waived} waived"] if self.waived else []
        parts += [f"{self.not_applicable} n.a."] if self.not_applicable else []
        return ", ".join(parts) or "–"


@dataclass(frozen=True)
class Matrix:
    """Cells by group and backend, and their totals."""

    columns: tuple[str, ...]
    """Names of the backends."""
    headings: tuple[str, ...]
    """The names as people must read them: a simulated backend says so."""
    rows: tuple[tuple[str, tuple[MatrixCell, ...]], ...]
    totals: tuple[MatrixCell, ...]

    @classmethod
    def of(cls, report: Report) -> Matrix:
        columns = tuple(backend.name for backend in report.backends)
        groups = [g for g in GROUPS if any(result.group == g for result in report.results)]
        return cls(
            columns=columns,
            headings=tuple(display_name(report, name) for name in columns),
            rows=tuple(
                (
                    group,
                    tuple(
                        MatrixCell.of(r for r in report.of(name) if r.group == group)
                        for name in columns
                    ),
                )
                for group in groups
            ),
            totals=tuple(MatrixCell.of(report.of(name)) for name in columns),
        )


def display_name(report: Report, name: str) -> str:
    """The backend's name, with a word of warning when nothing real stands behind it."""
    simulated = any(backend.name == name and backend.simulated for backend in report.backends)
    return f"{name} (simulated)" if simulated else name


def not_passed(report: Report) -> list[ScenarioResult]:
    """What failed or erred, failures first."""
    bad = [r for r in report.results if r.status in (Status.FAIL, Status.ERROR)]
    return sorted(bad, key=lambda result: result.status is not Status.FAIL)


def excused(report: Report, *statuses: Status) -> list[ScenarioResult]:
    """What failed and does not make the run fail: all of it, or that of some statuses."""
    return [result for result in report.results if result.status in (statuses or EXCUSED)]


def known_deviations(number: int) -> str:
    """A number of them, in words."""
    return f"{number} known deviation" if number == 1 else f"{number} known deviations"


def not_applicable(report: Report) -> dict[tuple[str, str], list[str]]:
    """Ids of scenarios that did not apply, by backend and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        if result.status is Status.NOT_APPLICABLE:
            found.setdefault((result.backend, result.message), []).append(result.scenario)
    return found


def spans(scenarios: Sequence[str]) -> str:
    """Ids as a person writes them: ``START-001 to START-003, START-007``."""
    runs: list[list[str]] = []
    for scenario in scenarios:
        if runs and _following(runs[-1][-1]) == scenario:
            runs[-1].append(scenario)
        else:
            runs.append([scenario])
    shown = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs]
    return ", ".join(shown)


def _following(scenario: str) -> str:
    group, _, number = scenario.rpartition("-")
    return f"{group}-{int(number) + 1:03}" if number.isdecimal() else ""


def verdict_words(report: Report) -> str:
    """The verdict as a sentence."""
    statuses = {result.status for result in report.results}
    if report.verdict is Verdict.FAILED and Status.FAIL not in statuses:
        return "FAILED: no rule is broken, but what was agreed does not hold"
    if report.verdict is Verdict.PASSED:
        known = len(excused(report, Status.KNOWN_DEVIATION))
        but = [known_deviations(known)] if known else []
        but += ["what is waived"] if Status.WAIVED in statuses else []
        if but:
            return f"PASSED: every executed scenario passed, except for {' and '.join(but)}"
    return _VERDICTS[report.verdict]


def verdict_line(report: Report) -> str:
    """The verdict in one line, with the counts per backend and what was simulated."""
    counts = [
        f"{display_name(report, backend.name)}: {MatrixCell.of(report.of(backend.name))}"
        for backend in report.backends
    ]
    parts = [verdict_words(report), *counts, *(_first_line(r) for r in report.reasons)]
    return f"{' · '.join(parts)} (exit code {report.exit_code})"


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else text
