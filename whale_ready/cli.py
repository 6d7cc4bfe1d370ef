"""The command ``whale-ready``."""

from __future__ import annotations

import click

from engines import __version__
from whale_ready.backends_command import backends_command
from whale_ready.bench_command import bench_group
from whale_ready.check_command import check_command
from whale_ready.command import Group
from whale_ready.compare_command import compare_command
from whale_ready.database_command import database_group
from whale_ready.demo_command import demo_command
from whale_ready.firewall_command import firewall_group
from whale_ready.harness_command import harness_group
from whale_ready.images_command import images
from whale_ready.metrics_command import metrics_command
from whale_ready.preflight_command import preflight_command
from whale_ready.readiness_command import readiness_command
from whale_ready.rollout_command import rollout_group
from whale_ready.story_command import story_command
from whale_ready.worker_command import worker_command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="whale-ready")
def main() -> None:
    """May this CTFd move its challenge containers from CRE to Whale?

    whale-ready answers with evidence: it runs the same scenarios on both and shows where they
    differ from the contract they share (docs/contract.md).
    """


for _command in (
    check_command,
    demo_command,
    compare_command,
    story_command,
    backends_command,
    harness_group,
    worker_command,
    firewall_group,
    images,
    database_group,
    metrics_command,
    rollout_group,
    bench_group,
    preflight_command,
    readiness_command,
):
    main.add_command(_command)
