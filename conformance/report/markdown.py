"""``matrix.md``: a run as a job summary shows it.

GitHub refuses a summary of more than 1 MiB, all of it. Messages and traces are cut to what fits,
and a line says how much is missing; ``report.json`` has all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from conformance.report.compatibility import CompatibilityCell as Found
from conformance.report.compatibility import CompatibilityFinding, PromiseRow, compatibility
from conformance.report.matrix import (
    Matrix,
    display_name,
    excused,
    not_applicable,
    not_passed,
    spans,
    verdict_line,
)
from conformance.report.results import ContainerLedger, Report, ScenarioResult, Status
from conformance.spec.rules import BY_ID
from engines.printable import printable

LIMIT_BYTES = 1_000_000
"""A little below GitHub's 1 MiB, for what else a job writes into its summary."""
_EVIDENCE_BYTES = 700_000
_LEAST_BYTES = 400
_LINE_CHARACTERS = 2_000

SYMBOLS = {
    CompatibilityFinding.KEPT: "✓",
    CompatibilityFinding.BROKEN: "✗",
    CompatibilityFinding.PARTLY: "◐",
    CompatibilityFinding.NOT_MEASURED: "?",
    CompatibilityFinding.NOT_OFFERED: "–",
}


def to_markdown(report: Report) -> str:
    """Verdict, matrices, failures with their evidence, what did not apply, the ledger."""
    text = printable("\n".join(_lines(report)) + "\n", keep="\n")
    return _cut(text, LIMIT_BYTES, "more of this summary is in report.html")


def _lines(report: Report) -> Iterator[str]:
    names = ", ".join(md(display_name(report, backend.name)) for backend in report.backends)
    yield (
        f"# {names or 'no backend'}: whale-ready {report.tool_version}, contract version "
        f"{report.spec_version}, profile {report.profile.value}"
    )
    yield ""
    yield f"**{md(verdict_line(report))}**"
    yield ""
    yield f"It took {report.duration_s:.0f} s."
    for text in (*report.reasons, *report.notes):
        yield f"\n> {md(text)}"
    yield from _matrix(report)
    yield from _compatibility(report)
    bad = not_passed(report)
    known, waived = excused(report, Status.KNOWN_DEVIATION), excused(report, Status.WAIVED)
    budget = max(_LEAST_BYTES, _EVIDENCE_BYTES // max(1, len(bad) + len(known) + len(waived)))
    yield from _evidence("What did not pass", bad, budget)
    yield from _evidence("Known deviations", known, budget)
    yield from _evidence("What is waived", waived, budget)
    reasons = not_applicable(report)
    if reasons:
        yield "\n## What did not apply\n"
    for (backend, reason), scenarios in reasons.items():
        yield f"- {md(backend)}: {spans(scenarios)}: {md(reason)}"
    yield from _ledgers(report.ledgers)


def _matrix(report: Report) -> Iterator[str]:
    matrix = Matrix.of(report)
    yield ""
    yield f"| group | {' | '.join(map(md, matrix.headings))} |"
    yield "|---" * (1 + len(matrix.columns)) + "|"
    for group, cells in matrix.rows:
        yield f"| {group} | {' | '.join(map(str, cells))} |"
    yield f"| **all** | {' | '.join(map(str, matrix.totals))} |"


def _compatibility(report: Report) -> Iterator[str]:
    if not report.backends:
        return
    headings = [md(display_name(report, backend.name)) for backend in report.backends]
    yield "\n## Compatibility, as measured\n"
    yield f"| | {' | '.join(headings)} |"
    yield "|---" * (1 + len(headings)) + "|"
    for row, cells in compatibility(report):
        yield f"| {row.title} | {' | '.join(_cell(row, cell) for cell in cells)} |"


def _cell(row: PromiseRow, cell: Found) -> str:
    words = f"{SYMBOLS[cell.finding]} {cell.finding.value}"
    if cell.finding in (CompatibilityFinding.KEPT, CompatibilityFinding.NOT_OFFERED):
        return words
    notes = [cell.evidence] if cell.kept or cell.broken or cell.waived or cell.known else []
    notes += [f"broken {spans(cell.broken)}"] if cell.broken else []
    notes += [f"known to be broken {spans(cell.known)}"] if cell.known else []
    notes += [f"waived {spans(cell.waived)}"] if cell.waived else []
    notes += [md(cell.note)] if cell.note else []
    return f"{words}: {'; '.join(notes)}" if notes else words


def _evidence(title: str, results: list[ScenarioResult], budget: int) -> Iterator[str]:
    if not results:
        return
    yield f"\n## {title}"
    for result in results:
        yield from _failure(result, budget)


def _failure(result: ScenarioResult, budget: int) -> Iterator[str]:
    rule = BY_ID[result.rule]
    yield f"\n### {md(result.id)}: {result.status.value.replace('_', ' ')}\n"
    yield f"Rule: {rule.title}\n"
    if result.deviation:
        yield f"Known: {md(result.deviation)}\n"
    if result.waiver:
        yield f"Waived: {md(result.waiver)}\n"
    fence = "`" * 4
    shown = [_line(each.replace(fence, "")) for each in (result.message, "", *result.trace)]
    yield f"{fence}text"
    yield _cut("\n".join(shown), budget, "the rest is in report.json")
    yield fence


def _ledgers(ledgers: Iterable[ContainerLedger]) -> Iterator[str]:
    rows = [
        [ledger.backend, ledger.made, ledger.ended, ledger.swept, ledger.untold, _left(ledger)]
        for ledger in ledgers
    ]
    if not rows:
        return
    yield "\n## Containers\n"
    yield "| backend | made | ended by the backend | swept | others swept | left |"
    yield "|---" * 6 + "|"
    for row in rows:
        yield f"| {' | '.join('cannot tell' if x is None else md(str(x)) for x in row)} |"


def _left(ledger: ContainerLedger) -> str | None:
    if ledger.left is None:
        return None
    return ", ".join(ledger.left) or "none"


def _line(text: str) -> str:
    """A line that a page can show; a message may have many."""
    return "\n".join(
        line
        if len(line) <= _LINE_CHARACTERS
        else f"{line[:_LINE_CHARACTERS]} … {len(line) - _LINE_CHARACTERS} characters more"
        for line in text.splitlines()
    )


def _cut(text: str, limit: int, where: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return text
    kept = data[:limit].decode("utf-8", "ignore")
    return f"{kept}\n… cut: {len(data) - len(kept.encode())} bytes more; {where}\n"


def md(text: str) -> str:
    """A text as Markdown shows it: on one line, and nothing in it is a mark."""
    plain = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", plain)
