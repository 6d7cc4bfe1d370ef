"""The command ``whale-ready``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from conformance.extras import advice
from engines import __version__
from whale_ready.command import Group, could_not_run, faults_could_not_run

COMMANDS = {
    "audit": "audit_command:audit_group",
    "backends": "backends_command:backends_command",
    "bench": "bench_command:bench_group",
    "check": "check_command:check_command",
    "compare": "compare_command:compare_command",
    "database": "database_command:database_group",
    "demo": "demo_command:demo_command",
    "doctor": "doctor_command:doctor_command",
    "firewall": "firewall_command:firewall_group",
    "harness": "harness_command:harness_group",
    "images": "images_command:images",
    "instances": "instances_command:instances_group",
    "metrics": "metrics_command:metrics_command",
    "preflight": "preflight_command:preflight_command",
    "readiness": "readiness_command:readiness_command",
    "rollout": "rollout_command:rollout_group",
    "story": "story_command:story_command",
    "worker": "worker_command:worker_command",
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


class Commands(Group):
    """The group of :data:`COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"whale_ready.{module}"), name)
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
