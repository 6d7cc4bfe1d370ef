"""``whale-ready compare``: what lies between two runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from conformance.report.comparison import Comparison, RuleDifference, compare
from conformance.report.report_file import ReportError, load_report
from conformance.report.results import Report
from whale_ready.command import Command, could_not_run
from whale_ready.console import Console


@click.command(
    "compare",
    cls=Command,
    short_help="Show what lies between two reports.",
    epilog="""\b
Exit codes:
  0    B is as good as A, or better
  1    something is worse in B: a rule is, a new one is broken, or one was not run any more
  3    a report cannot be read, or its run came to no verdict
""",
)
@click.argument("before", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("after", metavar="B.json", type=click.Path(path_type=Path))
def compare_command(before: Path, after: Path) -> None:
    """Show what got worse, got better, is new or is gone from report A to report B.

    Both are a report.json of whale-ready check --report.
    """
    console = Console()
    try:
        old, new = load_report(before), load_report(after)
    except ReportError as error:
        sys.exit(could_not_run(str(error)))
    found = compare(old, new)
    table = _table(found)
    if table.row_count:
        console.print(table)
    for line in _unlike(old, new):
        console.say(line, "yellow")
    console.say(_sentence(found), "bold")
    sys.exit(1 if found.is_worse else 0)


def _table(found: Comparison) -> Table:
    table = Table()
    for heading in ("what", "backend", "rule", "A → B"):
        table.add_column(heading, no_wrap=True)
    _add(table, "worse", found.worse, "bold red")
    _add(table, "gone", found.gone, "bold red")
    _add(table, "new", found.new, "")
    _add(table, "better", found.better, "green")
    _add(table, "still broken", found.still_broken, "yellow")
    return table


def _add(table: Table, what: str, differences: Iterable[RuleDifference], style: str) -> None:
    for difference in differences:
        row = (what, difference.backend, difference.rule, difference.change)
        table.add_row(*(Text(cell, style=style) for cell in row))


def _unlike(old: Report, new: Report) -> Iterable[str]:
    """What makes the two reports hard to compare."""
    if (old.profile, old.spec_version) != (new.profile, new.spec_version):
        yield (
            f"A is of profile {old.profile.value}, contract version {old.spec_version}; B of "
            f"profile {new.profile.value}, version {new.spec_version}"
        )
    simulated = {backend.name: backend.simulated for backend in old.backends}
    for backend in new.backends:
        if simulated.get(backend.name, backend.simulated) is not backend.simulated:
            yield f"{backend.name} is simulated in only one of them"


def _sentence(found: Comparison) -> str:
    counts = [
        f"{len(differences)} {what}"
        for what, differences in (
            ("worse", found.worse),
            ("gone", found.gone),
            ("new", found.new),
            ("better", found.better),
            ("still broken", found.still_broken),
        )
        if differences
    ]
    return f"{'WORSE' if found.is_worse else 'NO WORSE'}: {', '.join(counts) or 'no difference'}"
