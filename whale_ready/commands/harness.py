"""``whale-ready harness``: help for those who write one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from rich.markup import escape
from rich.table import Table

from conformance.registry.backends import BackendSpecError, resolve
from conformance.report.matrix import spans
from conformance.spec.hooks import HookState
from whale_ready.command import Command, CommandGroup, could_not_run
from whale_ready.console import Console

if TYPE_CHECKING:
    from conformance.run.selfcheck import SelfCheck


@click.group("harness", cls=CommandGroup)
def harness_group() -> None:
    """Help for those who write a harness for a backend of their own."""


@harness_group.command("check", cls=Command, short_help="Show what a harness offers.")
@click.option(
    "--backend",
    "spec",
    metavar="SPEC",
    required=True,
    help="As of whale-ready check: an installed backend's name, or NAME=package.module:factory.",
)
def harness_check(spec: str) -> None:
    """Show which hooks a harness offers and which rules each missing one costs.

    The harness is opened, one world is made, and both are closed again; no scenario is run.

    Exit codes: 0, or 3 when the harness cannot be opened or declares what it does not have.
    """
    from conformance.run.selfcheck import self_check

    console = Console()
    try:
        found = self_check(resolve(spec))
    except (BackendSpecError, RuntimeError) as error:
        sys.exit(could_not_run(str(error)))
    console.print(_table(found))
    console.print(f"{len(found.run)} of {found.rules} rules would be executed.")
    for state in found.hooks:
        if state.forgotten:
            console.print(
                f"Hook.{state.hook.name} is not declared, but the world overrides its method",
                style="yellow",
            )
    for problem in found.problems:
        could_not_run(f"--backend {spec}: {problem}")
    sys.exit(3 if found.problems else 0)


def _table(found: SelfCheck) -> Table:
    table = Table("hook", "offered", "rules that ask for it")
    for state in found.hooks:
        table.add_row(state.hook.name, _offered(state), escape(spans(state.rules)))
    return table


def _offered(state: HookState) -> str:
    if state.broken:
        return "[bold red]declared, not there[/]"
    return "yes" if state.declared else "[dim]no[/]"
