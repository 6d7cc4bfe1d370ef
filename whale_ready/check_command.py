"""``whale-ready check``: the conformance scenarios on some backends."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from conformance.registry import BackendSpecError
from conformance.reports import write_reports
from conformance.runner import CheckRequest, check, plan
from conformance.workers import usable_cores
from whale_ready.command import INTERRUPTED, Command, could_not_run
from whale_ready.progress import progress_on
from whale_ready.summary import print_plan, print_report


class Jobs(click.ParamType[int]):
    """A number of processes, or ``auto``."""

    name = "jobs"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if value == "auto":
            return usable_cores()
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value} is neither auto nor a number from 1", param, ctx)
        return int(value)


@click.command(
    "check",
    cls=Command,
    short_help="Run the conformance scenarios on some backends.",
    epilog="""\b
Exit codes:
  0    every executed scenario passed, and each backend executed at least 40
  1    a backend broke a rule
  2    inconclusive: nothing failed, but too little was executed
  3    could not run: a bad option, no backend, an error of a harness
  130  interrupted; what was measured is written, but is no verdict

\b
Examples:
  whale-ready check
  whale-ready check --backend cre:memory --select 'EXTEND-*'
  whale-ready check --backend mine=my_package.backend:make --report out/
  whale-ready check --backend whale=https://ctf.example.org --whale-world world.toml --dry-run
""",
)
@click.option(
    "--backend",
    "backends",
    metavar="SPEC",
    multiple=True,
    help="A backend to check; repeat for several. SPEC is cre (real Docker containers), cre:memory "
    "(the same engine, simulated containers), cre:swarm (on the swarm whose manager DOCKER_HOST "
    "names), cre:own-engine (as cre, on a Docker engine that the run starts and restarts; needs "
    "root), whale:fake[:DIALECT] (Whale's wire protocol spoken "
    "by a fake; the dialect is ctfd-whale), whale=https://HOST (a live Whale, see --whale-world), "
    "or NAME=package.module:factory for a backend of your own. Without this option: cre and "
    "whale:fake, with cre:memory in the place of cre where no Docker can be reached.",
)
@click.option(
    "--report",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.json, matrix.md and junit.xml into DIR.",
)
@click.option(
    "--select",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Run only scenarios whose id matches, as in 'START-*'; repeat for several.",
)
@click.option(
    "--whale-world",
    "whale_world",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The accounts and challenges of a live Whale that may be used, and nothing else is: TOML, "
    "mode 0600, as docs/how-to.md shows it. What a run starts there it stops, also after Ctrl-C.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Let the backends keep their state in this database instead of a temporary SQLite file: "
    "an SQLAlchemy URL. Tables are made there and dropped at the end; a database that holds any "
    "already is refused.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="List what would be done, and contact, start and write nothing.",
)
@click.option(
    "-n",
    "--jobs",
    metavar="N",
    type=Jobs(),
    default="1",
    help="Run scenarios in N processes, each with backends of its own; auto is one per core. A "
    "backend of which there may be one at a time (a live Whale, one on --database) is left to one "
    "of them.",
)
@click.option("-x", "--stop-at-first", is_flag=True, help="End at the first that does not pass.")
def check_command(
    backends: tuple[str, ...],
    folder: Path | None,
    globs: tuple[str, ...],
    whale_world: Path | None,
    database: str | None,
    dry_run: bool,
    jobs: int,
    stop_at_first: bool,
) -> None:
    """Run the conformance scenarios on some backends and print one matrix and one verdict.

    Every scenario shows one rule of the contract and runs on every backend. What a backend does
    not offer is shown as not applicable (n.a.) and never counts as a pass.
    """
    # Named, because sys.stdout is another one while pytest runs.
    console = Console(file=sys.stdout, highlight=False)
    request = CheckRequest(
        backends=backends,
        select=globs,
        stop_at_first=stop_at_first,
        whale_world=whale_world,
        database=database,
        jobs=jobs,
    )
    if dry_run:
        sys.exit(_dry_run(request, console))
    with _sigterm_interrupts():
        try:
            sys.exit(_check(request, folder, console))
        except KeyboardInterrupt:
            # Before the first scenario or after the last: there is nothing to report.
            console.print("interrupted", style="bold")
            sys.exit(INTERRUPTED)


def _check(request: CheckRequest, folder: Path | None, console: Console) -> int:
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with progress_on(console) as progress:
            report = check(request, progress)
    except BackendSpecError as error:
        return could_not_run(str(error))
    except OSError as error:
        return could_not_run(f"--report {folder}: {error.strerror}; name a folder I can write to")
    print_report(report, console)
    if folder is not None:
        try:
            write_reports(report, folder)
        except OSError as error:
            return could_not_run(f"--report {folder}: {error.strerror}; nothing was written")
        console.print(f"Written: report.json, matrix.md and junit.xml in {folder}", style="dim")
    return report.exit_code


def _dry_run(request: CheckRequest, console: Console) -> int:
    try:
        plans = plan(request)
    except (BackendSpecError, RuntimeError) as error:
        return could_not_run(str(error))
    print_plan(plans, console)
    return 0


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: cleaned up."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
