"""What a run looks like when it is over: one matrix, the failures, one verdict."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from conformance.report.matrix import (
    Matrix,
    MatrixCell,
    excused,
    not_applicable,
    not_passed,
    spans,
    verdict_line,
)
from conformance.report.results import Report, ScenarioResult, Status, Verdict
from conformance.run.plan import STARTS_PER_SCENARIO, CheckPlan
from conformance.spec.rules import BY_ID
from whale_ready.console import Console

_STYLES = {
    Verdict.PASSED: "bold green",
    Verdict.NO_WORSE: "bold yellow",
    Verdict.FAILED: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.COULD_NOT_RUN: "bold yellow",
    Verdict.INTERRUPTED: "bold yellow",
}


def print_report(report: Report, console: Console) -> None:
    """Print the matrix, each failure with its story, what did not apply, and the verdict."""
    if report.results:
        console.print()
        console.print(_table(Matrix.of(report)))
    for result in (*not_passed(report), *excused(report)):
        _print_failure(result, console)
    _print_not_applicable(report, console)
    for note in report.notes:
        console.say(f"Note: {note}", "yellow")
    for reason in report.reasons:
        console.say(reason)
    console.print()
    console.say(verdict_line(report), _STYLES[report.verdict])


def print_plan(plans: list[CheckPlan], console: Console) -> None:
    """Print what a run would do on each backend."""
    for plan in plans:
        console.print()
        console.say(f"{plan.name}: {plan.kind}", "bold")
        for name, text in plan.facts.items():
            console.say(f"  {name}: {text}")
        console.say(f"  would run {len(plan.run)}: {', '.join(plan.run) or 'nothing'}")
        if plan.tried:
            tried = ", ".join(plan.tried)
            console.say(f"  would try {len(plan.tried)} that it should not pass: {tried}")
        for reason, scenarios in plan.not_applicable.items():
            console.say(f"  n.a. {len(scenarios)}: {spans(scenarios)}: {reason}", "dim")
        if not plan.previewed:
            console.say("  more may be n.a. by capabilities it declares when it is opened", "dim")
        console.say(
            f"  starts: at most {STARTS_PER_SCENARIO} in a scenario, {plan.most_starts} in all; "
            "one scenario after the other, each stopped before the next",
        )
    console.print()
    console.say("Dry run: nothing was contacted, started or written.", "bold")


def _table(matrix: Matrix) -> Table:
    table = Table()
    table.add_column("scenarios")
    for heading in matrix.headings:
        table.add_column(Text(heading))
    for group, cells in matrix.rows:
        table.add_row(group, *(_cell(cell) for cell in cells))
    table.add_section()
    table.add_row("all", *(_cell(cell) for cell in matrix.totals))
    return table


def _cell(cell: MatrixCell) -> Text:
    if cell.failed:
        return Text(str(cell), style="bold red")
    if cell.errors or cell.excused:
        return Text(str(cell), style="bold yellow")
    return Text(str(cell), style="green" if cell.passed else "dim")


def _print_failure(result: ScenarioResult, console: Console) -> None:
    style = "bold red" if result.status is Status.FAIL else "bold yellow"
    console.print()
    console.say(f"{result.status.value.upper().replace('_', ' ')} {result.id}", style)
    console.say(f"  rule   {BY_ID[result.rule].title}")
    console.say(f"  story  {result.story}")
    if result.deviation:
        console.say(f"  known  {result.deviation}")
    if result.waiver:
        console.say(f"  waived {result.waiver}")
    for index, line in enumerate(result.message.splitlines()):
        console.say(f"  {'got    ' if index == 0 else '       '}{line}")
    for index, line in enumerate(result.trace):
        console.say(f"  {'trace  ' if index == 0 else '       '}{line}", "dim")


def _print_not_applicable(report: Report, console: Console) -> None:
    for (backend, reason), scenarios in not_applicable(report).items():
        console.say(f"n.a. on {backend}: {spans(scenarios)}: {reason}", "dim")
