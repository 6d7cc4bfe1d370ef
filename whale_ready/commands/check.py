"""``whale-ready check``: the conformance scenarios on some backends."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.registry.backends import BackendSpecError
from conformance.report.annotations import annotations_of, resumed, stopped
from conformance.report.report_file import AGAIN, ReportError, load_report
from conformance.report.results import MINIMUM_EXECUTED, Report
from conformance.report.waivers import NO_WAIVERS, Waivers, WaiversError, load_waivers
from conformance.spec.rules import SPEC_VERSION, Profile
from whale_ready.command import INTERRUPTED, Command, could_not_run, sigterm_interrupts
from whale_ready.console import Console
from whale_ready.database_option import chosen_url, database_options
from whale_ready.exit_codes import for_help
from whale_ready.lines import echo
from whale_ready.progress import progress_on
from whale_ready.summary import print_plan, print_report

if TYPE_CHECKING:
    from conformance.run.runner import CheckRequest

    NumberType = click.ParamType[int]
else:
    NumberType = click.ParamType  # generic to click's newest releases only


VARIABLE = "WHALE_READY_DATABASE"
"""Not the state's own: a check empties what it works on."""


class Jobs(NumberType):
    """A number of processes, or ``auto``."""

    name = "jobs"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if value == "auto":
            from conformance.run.worker_pool import usable_cores

            return usable_cores()
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value} is neither auto nor a number from 1", param, ctx)
        return int(value)


@click.command(
    "check",
    cls=Command,
    short_help="Run the conformance scenarios on some backends.",
    epilog=f"""\b
Exit codes:
{for_help()}

\b
Examples:
  whale-ready check
  whale-ready check --backend cre:memory --select 'EXTEND-*'
  whale-ready check --backend mine=my_package.backend:make --report out/
  whale-ready check --backend mine=my_package.backend:make --waivers waivers.toml
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
    "root), whale:fake[:DIALECT] (Whale's wire protocol spoken by a fake; a generation or fork of "
    "ctfd-whale may stand there, too: see whale-ready backends), whale=https://HOST (a live "
    "Whale, see --whale-world), or NAME=package.module:factory for a backend of your own. Without "
    "this option: cre and whale:fake, with cre:memory in the place of cre where no Docker "
    "can be reached.",
)
@click.option(
    "--report",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write report.html, report.json, matrix.md, junit.xml and badge.svg into DIR.",
)
@click.option(
    "--select",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Run only scenarios whose id matches, as in 'START-*'; repeat for several.",
)
@click.option(
    "--profile",
    type=click.Choice([each.value for each in Profile]),
    default=Profile.FULL.value,
    show_default=True,
    help="core: what a call site can tell. full: all rules.",
)
@click.option(
    "--spec",
    metavar="N",
    type=int,
    default=SPEC_VERSION,
    show_default=True,
    help="Version of the contract to check against; rules that came later are not run.",
)
@click.option(
    "--minimum",
    metavar="N",
    type=int,
    help="How many scenarios each backend must pass for a verdict: more than the profile asks for.",
)
@click.option(
    "--waivers",
    "waivers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Failures that are known, by whom and until when: TOML, as docs/gating.md shows it.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Fail only on what is worse than in this report.json of an earlier run.",
)
@click.option(
    "--annotations",
    type=click.Choice(["github"]),
    help="Print each failure once more at the end, as a pipeline there shows it beside the run.",
)
@click.option(
    "--whale-world",
    "whale_world",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The accounts and challenges of a live Whale that may be used, and nothing else is: TOML, "
    "mode 0600, as docs/how-to.md shows it. What a run starts there it stops, also after Ctrl-C.",
)
@database_options(
    "Let the backends keep their state in this database instead of a temporary SQLite file: "
    "an SQLAlchemy URL. Tables are made there and dropped at the end; a database that holds any "
    "already is refused.",
    VARIABLE,
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
@click.option("-x", "--stop-at-first", is_flag=True, help="End at the first that fails or errs.")
def check_command(
    backends: tuple[str, ...],
    folder: Path | None,
    globs: tuple[str, ...],
    profile: str,
    spec: int,
    minimum: int | None,
    waivers: Path | None,
    baseline: Path | None,
    annotations: str | None,
    whale_world: Path | None,
    database: str | None,
    database_file: Path | None,
    dry_run: bool,
    jobs: int,
    stop_at_first: bool,
) -> None:
    """Run the conformance scenarios on some backends and print one matrix and one verdict.

    Every scenario shows one rule of the contract and runs on every backend. What a backend does
    not offer is shown as not applicable (n.a.) and never counts as a pass.
    """
    from conformance.run.runner import CheckRequest

    console = Console()
    database = chosen_url(database, database_file) or os.environ.get(VARIABLE) or None
    try:
        request = CheckRequest(
            backends=backends,
            select=globs,
            stop_at_first=stop_at_first,
            whale_world=whale_world,
            database=database,
            jobs=jobs,
            profile=Profile(profile),
            spec=spec,
            minimum=_at_least(minimum, Profile(profile)),
            waivers=NO_WAIVERS if waivers is None else _waivers(waivers),
            baseline=None if baseline is None else _baseline(baseline, Profile(profile), spec),
        )
        if baseline is not None and stop_at_first:
            raise ReportError("--stop-at-first leaves rules out; leave one of the two options out")
    except (WaiversError, ReportError, MinimumError) as error:
        sys.exit(could_not_run(f"{_OPTIONS[type(error)]}: {error}"))
    if dry_run:
        sys.exit(_dry_run(request, console))
    with sigterm_interrupts(), _annotated(annotations is not None) as annotate:
        try:
            sys.exit(_check(request, folder, console, annotate))
        except KeyboardInterrupt:
            # Before the first scenario or after the last: there is nothing to report.
            console.print("interrupted", style="bold")
            sys.exit(INTERRUPTED)


class MinimumError(ValueError):
    """``--minimum`` would make a verdict cheaper."""


_OPTIONS = {WaiversError: "--waivers", ReportError: "--baseline", MinimumError: "--minimum"}


def _at_least(minimum: int | None, profile: Profile) -> int:
    least = MINIMUM_EXECUTED[profile]
    if minimum is not None and minimum < least:
        raise MinimumError(
            f"{minimum} is less than the {least} of profile {profile.value}; it can only be raised"
        )
    return least if minimum is None else minimum


def _waivers(path: Path) -> Waivers:
    return load_waivers(path, datetime.now(timezone.utc).date())


def _baseline(path: Path, profile: Profile, spec: int) -> Report:
    report = load_report(path)
    if (report.profile, report.spec_version) != (profile, spec):
        raise ReportError(
            f"{path}: is of profile {report.profile.value}, contract version "
            f"{report.spec_version}; this run is of profile {profile.value}, version {spec}; "
            f"check with --profile {report.profile.value} --spec {report.spec_version}, or {AGAIN}"
        )
    return report


@contextmanager
def _annotated(wanted: bool) -> Iterator[Callable[[Report], None]]:
    """Gives what prints a report's annotations; nothing else that is printed is a command."""
    if not wanted:
        yield lambda _report: None
        return
    token = f"whale-ready-{secrets.token_hex(16)}"
    made: list[Report] = []
    echo(stopped(token))
    try:
        yield made.append
    finally:
        echo(resumed(token))
        for report in made:
            for line in annotations_of(report):
                echo(line)


def _check(
    request: CheckRequest,
    folder: Path | None,
    console: Console,
    annotate: Callable[[Report], None],
) -> int:
    from conformance.report.writers import FILES, write_reports
    from conformance.run.runner import check

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
    annotate(report)
    if folder is not None:
        try:
            write_reports(report, folder)
        except OSError as error:
            return could_not_run(f"--report {folder}: {error.strerror}; nothing was written")
        console.say(f"Written: {', '.join(FILES)} in {folder}", "dim")
    return report.exit_code


def _dry_run(request: CheckRequest, console: Console) -> int:
    from conformance.run.runner import plan

    try:
        plans = plan(request)
    except (BackendSpecError, RuntimeError) as error:
        return could_not_run(str(error))
    print_plan(plans, console)
    return 0
