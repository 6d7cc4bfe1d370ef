"""The command ``whale-ready``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from conformance.redact import Secrets
from conformance.registry import BackendSpecError
from conformance.reports import write_reports
from conformance.results import Verdict
from conformance.runner import CheckRequest, check, plan
from engines import __version__
from engines.errors import BackendUnavailable, EngineError
from engines.settings import Settings
from whale_ready.progress import progress_on
from whale_ready.summary import print_plan, print_report
from whale_ready.worker import BACKENDS, backend_named, work_until_told

COULD_NOT_RUN = Verdict.COULD_NOT_RUN.exit_code
INTERRUPTED = Verdict.INTERRUPTED.exit_code


class Command(click.Command):
    """A command whose bad options end with our exit code 3, not with click's 2."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: object,
    ) -> click.Context:
        with _usage_is_could_not_run():
            return super().make_context(info_name, args, parent, **extra)


class Group(Command, click.Group):
    """The same for unknown commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        with _usage_is_could_not_run():
            return super().resolve_command(ctx, args)


@contextmanager
def _usage_is_could_not_run() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.show()
        sys.exit(COULD_NOT_RUN)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="whale-ready")
def main() -> None:
    """May this CTFd move its challenge containers from CRE to Whale?

    whale-ready answers with evidence: it runs the same scenarios on both and shows where they
    differ from the contract they share (docs/contract.md).
    """


@main.command(
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
    "(the same engine, simulated containers), cre:own-engine (as cre, on a Docker engine that the "
    "run starts and restarts; needs root), whale:fake[:DIALECT] (Whale's wire protocol spoken "
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
@click.option("-x", "--stop-at-first", is_flag=True, help="End at the first that does not pass.")
def check_command(
    backends: tuple[str, ...],
    folder: Path | None,
    globs: tuple[str, ...],
    whale_world: Path | None,
    database: str | None,
    dry_run: bool,
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


@main.command(
    "worker",
    cls=Command,
    short_help="Remove expired containers, until told to stop.",
    epilog="""\b
Exit codes:
  0    stopped by SIGTERM or Ctrl-C, or --once is done
  1    --once: the backend cannot be asked
  3    could not run: a bad option or setting
""",
)
@click.option(
    "--backend",
    "name",
    type=click.Choice(BACKENDS),
    help="Whose containers; without it USE_WHALE decides.",
)
@click.option("--once", is_flag=True, help="Do one round and end.")
def worker_command(name: str | None, once: bool) -> None:
    """Remove expired containers and put right what a crash left, every CONTAINER_WORKER_SECONDS.

    Everything comes from the environment (docs/settings.md). Start as many as you like, on as many
    machines: one of them does the work, and another takes over when it dies.
    """
    try:
        settings = Settings.from_environ()
        backend = backend_named(name, settings)
    except EngineError as error:
        sys.exit(_could_not_run(str(error)))
    try:
        if once:
            removed = backend.cleanup_worker.run_once()
            click.echo(f"{backend.name}: {removed} expired removed")
        else:
            click.echo(f"cleaning up for {backend.name} every {settings.worker_seconds:g} s")
            work_until_told(backend)
            click.echo("stopped")
    except BackendUnavailable as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    finally:
        backend.close()


def _check(request: CheckRequest, folder: Path | None, console: Console) -> int:
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with progress_on(console) as progress:
            report = check(request, progress)
    except BackendSpecError as error:
        return _could_not_run(str(error))
    except OSError as error:
        return _could_not_run(f"--report {folder}: {error.strerror}; name a folder I can write to")
    print_report(report, console)
    if folder is not None:
        try:
            write_reports(report, folder)
        except OSError as error:
            return _could_not_run(f"--report {folder}: {error.strerror}; nothing was written")
        console.print(f"Written: report.json, matrix.md and junit.xml in {folder}", style="dim")
    return report.exit_code


def _dry_run(request: CheckRequest, console: Console) -> int:
    try:
        plans = plan(request)
    except (BackendSpecError, RuntimeError) as error:
        return _could_not_run(str(error))
    print_plan(plans, console)
    return 0


def _could_not_run(sentence: str) -> int:
    click.echo(f"Error: {Secrets().clean(sentence)}", err=True)
    return COULD_NOT_RUN


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
