"""What a run looks like when it is over: one matrix, the failures, one verdict."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.matrix import (
    Cell,
    Matrix,
    excused,
    not_applicable,
    not_passed,
    spans,
    verdict_line,
)
from conformance.plan import STARTS_PER_SCENARIO, Plan
from conformance.results import Report, ScenarioResult, Status, Verdict
from conformance.rules import BY_ID

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
        _say(console, f"Note: {note}", "yellow")
    for reason in report.reasons:
        _say(console, reason)
    console.print()
    _say(console, verdict_line(report), _STYLES[report.verdict])


def print_plan(plans: list[Plan], console: Console) -> None:
    """Print what a run would do on each backend."""
    for plan in plans:
        console.print()
        _say(console, f"{plan.name}: {plan.kind}", "bold")
        for name, text in plan.facts.items():
            _say(console, f"  {name}: {text}")
        _say(console, f"  would run {len(plan.run)}: {', '.join(plan.run) or 'nothing'}")
        if plan.tried:
            tried = ", ".join(plan.tried)
            _say(console, f"  would try {len(plan.tried)} that it should not pass: {tried}")
        for reason, scenarios in plan.not_applicable.items():
            _say(console, f"  n.a. {len(scenarios)}: {spans(scenarios)}: {reason}", "dim")
        if not plan.previewed:
            _say(console, "  more may be n.a. by capabilities it declares when it is opened", "dim")
        _say(
            console,
            f"  starts: at most {STARTS_PER_SCENARIO} in a scenario, {plan.most_starts} in all; "
            "one scenario after the other, each stopped before the next",
        )
    console.print()
    _say(console, "Dry run: nothing was contacted, started or written.", "bold")


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


def _cell(cell: Cell) -> Text:
    if cell.failed:
        return Text(str(cell), style="bold red")
    if cell.errors or cell.excused:
        return Text(str(cell), style="bold yellow")
    return Text(str(cell), style="green" if cell.passed else "dim")


def _print_failure(result: ScenarioResult, console: Console) -> None:
    style = "bold red" if result.status is Status.FAIL else "bold yellow"
    console.print()
    _say(console, f"{result.status.value.upper().replace('_', ' ')} {result.id}", style)
    _say(console, f"  rule   {BY_ID[result.rule].title}")
    _say(console, f"  story  {result.story}")
    if result.deviation:
        _say(console, f"  known  {result.deviation}")
    if result.waiver:
        _say(console, f"  waived {result.waiver}")
    for index, line in enumerate(result.message.splitlines()):
        _say(console, f"  {'got    ' if index == 0 else '       '}{line}")
    for index, line in enumerate(result.trace):
        _say(console, f"  {'trace  ' if index == 0 else '       '}{line}", "dim")


def _print_not_applicable(report: Report, console: Console) -> None:
    for (backend, reason), scenarios in not_applicable(report).items():
        _say(console, f"n.a. on {backend}: {spans(scenarios)}: {reason}", "dim")


def _say(console: Console, text: str, style: str = "") -> None:
    """Print text of unknown origin: never read as markup, never cut at the width of a log."""
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)
