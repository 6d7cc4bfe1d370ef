"""``report.html``: a run for people, in one file that loads nothing.

The template escapes everything; what is written around it here are counts, words and anchors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2

from conformance.report.compatibility import CompatibilityCell as Found
from conformance.report.compatibility import CompatibilityFinding, PromiseRow, compatibility
from conformance.report.markdown import SYMBOLS
from conformance.report.matrix import (
    Matrix,
    MatrixCell,
    excused,
    not_applicable,
    not_passed,
    spans,
    verdict_words,
)
from conformance.report.pages import pages, part
from conformance.report.results import BackendInfo, Report, ScenarioResult, Status, Verdict
from conformance.spec.rules import BY_ID, RULES, Rule

LONGEST_MESSAGE = 8_000
"""Characters of a message or a line of the trace that are shown; report.json has all."""
LONGEST_TRACE = 400
"""Lines of a trace that are shown."""

WORDS = {
    Status.PASS: ("✓", "pass"),
    Status.FAIL: ("✗", "FAIL"),
    Status.ERROR: ("!", "ERROR"),
    Status.KNOWN_DEVIATION: ("≠", "KNOWN DEVIATION"),
    Status.WAIVED: ("~", "WAIVED"),
    Status.NOT_APPLICABLE: ("–", "n.a."),
}
VERDICT_SYMBOLS = {
    Verdict.PASSED: "✓",
    Verdict.NO_WORSE: "≈",
    Verdict.FAILED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.COULD_NOT_RUN: "!",
    Verdict.INTERRUPTED: "!",
}
_FINDING_KINDS = {
    CompatibilityFinding.KEPT: "pass",
    CompatibilityFinding.BROKEN: "fail",
    CompatibilityFinding.PARTLY: "partly",
    CompatibilityFinding.NOT_MEASURED: "unknown",
    CompatibilityFinding.NOT_OFFERED: "na",
}


@dataclass(frozen=True)
class ShownFailure:
    """One failure, error or excused failure, cut to what a page can hold."""

    result: ScenarioResult
    rule: Rule
    anchor: str
    message: str
    trace: tuple[str, ...]


@dataclass(frozen=True)
class RuleGroup:
    """The rules of one group, and how each ended on each backend."""

    name: str
    rules: tuple[tuple[Rule, tuple[ScenarioResult | None, ...]], ...]
    cells: tuple[MatrixCell, ...]

    @property
    def bad(self) -> int:
        return sum(cell.failed + cell.errors for cell in self.cells)


def to_html(report: Report) -> str:
    """The page as text."""
    environment = _environment()
    return environment.get_template("report.html.jinja").render(
        report=report,
        words=_verdict(report),
        spec_version=report.spec_version,
        style=part(environment, "base.css") + part(environment, "report.css"),
        script=part(environment, "report.js"),
        backends=[_backend(report, info, i) for i, info in enumerate(report.backends)],
        matrix=Matrix.of(report),
        groups=_groups(report),
        rows=compatibility(report),
        bad=[_evidence(report, result) for result in not_passed(report)],
        known=[_evidence(report, result) for result in excused(report, Status.KNOWN_DEVIATION)],
        waived=[_evidence(report, result) for result in excused(report, Status.WAIVED)],
        reasons=_reasons(report),
    )


def anchor(report: Report, rule: str, backend: str) -> str:
    """Id of a result on the page; a backend goes by its place, since its name may hold anything."""
    names = [info.name for info in report.backends]
    return f"{rule}-{names.index(backend) if backend in names else 'x'}"


def _verdict(report: Report) -> str:
    _, _, sentence = verdict_words(report).partition(": ")
    return sentence[:1].upper() + sentence[1:] or "What was asked for could not be measured"


def _backend(report: Report, backend: BackendInfo, place: int) -> dict[str, Any]:
    ledger = next(
        (
            container_ledger
            for container_ledger in report.ledgers
            if container_ledger.backend == backend.name
        ),
        None,
    )
    counts = MatrixCell.of(report.of(backend.name))
    return {
        "info": backend,
        "place": place,
        "counts": counts,
        "bar": bar(counts),
        "ledger": ledger,
    }


def bar(counts: MatrixCell) -> list[tuple[str, float, float]]:
    """Kind, start and width of each part of the bar, in parts of a hundred."""
    parts = (
        ("pass", counts.passed),
        ("fail", counts.failed),
        ("error", counts.errors),
        ("known_deviation", counts.known),
        ("waived", counts.waived),
        ("na", counts.not_applicable),
    )
    parted, start = [], 0.0
    for kind, number in parts:
        width = 100 * number / max(1, counts.total)
        if number:
            parted.append((kind, round(start, 3), round(width, 3)))
        start += width
    return parted


def _groups(report: Report) -> list[RuleGroup]:
    found = {(result.rule, result.backend): result for result in report.results}
    matrix = Matrix.of(report)
    return [
        RuleGroup(
            name,
            tuple(
                (rule, tuple(found.get((rule.id, backend)) for backend in matrix.columns))
                for rule in RULES
                if rule.group == name
                and any((rule.id, backend) in found for backend in matrix.columns)
            ),
            cells,
        )
        for name, cells in matrix.rows
    ]


def _evidence(report: Report, result: ScenarioResult) -> ShownFailure:
    trace = tuple(_short(line) for line in result.trace[:LONGEST_TRACE])
    more = len(result.trace) - len(trace)
    return ShownFailure(
        result,
        BY_ID[result.rule],
        anchor(report, result.rule, result.backend),
        _short(result.message),
        (*trace, f"… {more} more lines are in report.json") if more else trace,
    )


def _reasons(report: Report) -> dict[str, list[tuple[str, str]]]:
    """What did not apply, by backend: ids and the reason."""
    found: dict[str, list[tuple[str, str]]] = {}
    for (backend, reason), scenarios in not_applicable(report).items():
        found.setdefault(backend, []).append((spans(scenarios), _short(reason)))
    return found


def _short(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    more = len(text) - LONGEST_MESSAGE
    return f"{text[:LONGEST_MESSAGE]}\n… {more} more characters are in report.json"


def _linked(row: PromiseRow, found: Found) -> list[tuple[str, str]]:
    """Rules of a row with the word for how each ended; what was not asked is left out."""
    kinds = (
        (Status.FAIL, found.broken),
        (Status.KNOWN_DEVIATION, found.known),
        (Status.WAIVED, found.waived),
        (Status.PASS, found.kept),
    )
    ended = {rule: " ".join(WORDS[status]) for status, rules in kinds for rule in rules}
    ended |= dict.fromkeys(found.unmeasured, "? not measured")
    return [(rule, ended[rule]) for rule in row.rules if rule in ended]


def _value(value: object) -> str:
    """A declared capability, for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)


@cache
def _environment() -> jinja2.Environment:
    environment = pages("conformance.report")
    environment.filters |= {"declared": _value, "linked": _linked, "anchor": anchor}
    environment.globals |= {
        "symbols": {finding: SYMBOLS[finding] for finding in CompatibilityFinding},
        "kinds": _FINDING_KINDS,
        "status_words": WORDS,
        "verdict_symbols": VERDICT_SYMBOLS,
    }
    return environment
