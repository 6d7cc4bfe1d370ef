"""The command ``whale-ready``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from conformance.extras import advice
from engines import __version__
from whale_ready.command import CommandGroup, could_not_run, faults_could_not_run

COMMANDS = {
    "audit": "audit:audit_group",
    "backends": "backends:backends_command",
    "bench": "bench:bench_group",
    "check": "check:check_command",
    "compare": "compare:compare_command",
    "database": "database:database_group",
    "demo": "demo:demo_command",
    "doctor": "doctor:doctor_command",
    "firewall": "firewall:firewall_group",
    "harness": "harness:harness_group",
    "images": "images:images",
    "instances": "instances:instances_group",
    "metrics": "metrics:metrics_command",
    "preflight": "preflight:preflight_command",
    "readiness": "readiness:readiness_command",
    "rollout": "rollout:rollout_group",
    "story": "story:story_command",
    "worker": "worker:worker_command",
}
"""Where each is. Only what is asked for is imported: together they take a second.

Each can be imported, and so has its ``--help``, in a base install.
"""

EXTRAS = {
    "backends": "check",
    "bench": "bench",
    "check": "check",
    "demo": "check",
    "harness": "check",
    "readiness": "check",
    "story": "check",
}
"""The extra with all that a command needs besides a base install."""


class Commands(CommandGroup):
    """The group of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"whale_ready.commands.{module}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; where a package is missing, say which extra brings it, and where a
        setting or the database is at fault, what to do."""
        try:
            with faults_could_not_run():
                return super().invoke(ctx)
        except ImportError as error:
            name = ctx.invoked_subcommand or ""
            said = advice(f"whale-ready {name}", EXTRAS[name], error) if name in EXTRAS else None
            if said is None:
                raise
            sys.exit(could_not_run(said))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="whale-ready")
def main() -> None:
    """May this CTFd move its challenge containers from CRE to Whale?

    whale-ready answers with evidence: it runs the same scenarios on both and shows where they
    differ from the contract they share (docs/contract.md).
    """
