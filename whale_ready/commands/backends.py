"""``whale-ready backends``: what ``check --backend`` may name here."""

from __future__ import annotations

import sys

import click
from rich.markup import escape
from rich.table import Column, Table

from conformance.registry.listing import listed
from whale_ready.command import Command, could_not_run
from whale_ready.console import Console


@click.command(
    "backends",
    cls=Command,
    short_help="List the backends that can be checked.",
    epilog="Exit codes: 0, or 3 when an installed package brings one that cannot be named.",
)
def backends_command() -> None:
    """List the backends that can be checked: built in, and from installed packages.

    A package brings one by an entry point in the group whale_ready.backends (docs/harness.md).
    Nothing is contacted or started.
    """
    console = Console()
    table = Table(Column("--backend", no_wrap=True), "what it is", "from", "needs")
    found = listed()
    for each in found:
        kind = "cannot be checked, see below" if each.problem else each.kind
        row = (each.spec, kind, each.origin, each.needs or "nothing")
        table.add_row(*(escape(text) for text in row), style="yellow" if each.problem else "")
    console.print(table)
    console.print("Any other: --backend NAME=package.module:factory", style="dim")
    problems = list(dict.fromkeys(each.problem for each in found if each.problem))
    if problems:
        sys.exit(max(could_not_run(problem) for problem in problems))
