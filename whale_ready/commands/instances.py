"""``whale-ready instances``: what runs, and the end of many at once."""

from __future__ import annotations

import getpass
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from engines.audit import with_detail
from engines.bulk_stop import Chosen, InstanceSelection, end_all
from engines.contract import Code
from engines.factory import Overrides, build
from engines.hybrid import HybridBackend
from engines.settings import Settings
from engines.state.database import Database
from engines.web import DatabaseOverview
from whale_ready.command import Command, CommandGroup, could_not_run
from whale_ready.console import Console
from whale_ready.lines import echo

NOT_ALL = 1
"""Exit code: some could not be ended now."""


@click.group("instances", cls=CommandGroup, short_help="See what runs, or end many at once.")
def instances_group() -> None:
    """The instances on record in CONTAINER_DATABASE_URL, wherever they run.

    For a site with the CTFd plugin that is CTFd's own database, unless you set another.
    """


@instances_group.command(
    "list",
    cls=Command,
    short_help="Print what runs.",
    epilog="""\b
Exit codes:
  0    printed
  3    could not run: a bad setting, or the database cannot be asked
""",
)
def list_command() -> None:
    """Print every live instance: whose it is, where it runs and how long it has left."""
    with _set_up() as (_backend, overview):
        live = overview.live()
    for instance in live:
        team = f" of team {instance.team_id}" if instance.team_id is not None else ""
        left = f"{instance.remaining_seconds // 60} min {instance.remaining_seconds % 60} s left"
        where = ", ".join(f"{instance.host}:{port}" for port in instance.ports)
        echo(
            f"challenge {instance.challenge_id}  user {instance.user_id}{team}  "
            f"{instance.backend}  {where}  {instance.state}, {left}"
        )
    echo(f"{len(live)} live")


@instances_group.command(
    "stop",
    cls=Command,
    short_help="End all, or all of a challenge or an account.",
    epilog="""\b
Exit codes:
  0    all that were meant have ended
  1    some could not be ended now; the lines say which and why
  3    could not run: a bad option or setting, or the database cannot be asked
""",
)
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.option("--challenge", type=click.IntRange(1), help="All of this challenge.")
@click.option("--user", type=click.IntRange(1), help="All that this user started.")
@click.option("--team", type=click.IntRange(1), help="All of this team.")
@click.option("--why", default="", help="The reason, for the audit log.")
def stop_command(
    everything: bool, challenge: int | None, user: int | None, team: int | None, why: str
) -> None:
    """End instances now, some at a time. Players lose what they have running.

    With several options what fits them all. Run it again for what could not be ended.
    """
    selection = InstanceSelection(challenge, user, team)
    if everything is not (selection == InstanceSelection()):
        said = "say what to end: --all alone, or --challenge, --user, --team"
        sys.exit(could_not_run(said))
    with _set_up() as (backend, overview):
        meant = overview.chosen(selection)
        echo(f"{selection}: {len(meant)} on record")
        because = why or f"ended with {selection}"
        with _shown(len(meant)) as told, with_detail(command=getpass.getuser()):
            done = end_all(backend, meant, because, told=told)
        for failure in done.failed:
            which = failure.which
            echo(f"challenge {which.challenge_id} of user {which.user_id}: {failure.code.value}")
        echo(f"{done.ended} ended, {len(done.failed)} could not be ended now")
    sys.exit(NOT_ALL if done.failed else 0)


class _Lines:
    """A line every few, for logs."""

    STEP = 25

    def __init__(self, total: int) -> None:
        self._total = total
        self._codes: Counter[Code] = Counter()

    def __call__(self, _which: Chosen, code: Code) -> None:
        self._codes[code] += 1
        done = sum(self._codes.values())
        if done % self.STEP == 0 and done < self._total:
            echo(f"{done} of {self._total}")


@contextmanager
def _shown(total: int) -> Iterator[Callable[[Chosen, Code], None]]:
    """Progress: a bar on a terminal, lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield _Lines(total)
        return
    columns = (TextColumn("ending"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, total)


class _Bar:
    """A bar, on a terminal."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("ending", total=total)

    def __call__(self, _which: Chosen, _code: Code) -> None:
        self._bar.update(self._task, advance=1)


@contextmanager
def _set_up() -> Iterator[tuple[HybridBackend, DatabaseOverview]]:
    settings = Settings.from_environ()
    database = Database(settings.state_url)
    try:
        overview = DatabaseOverview(database)
        backend = build(settings, Overrides(database=database))
        try:
            yield backend, overview
        finally:
            backend.close()
    finally:
        database.close()
