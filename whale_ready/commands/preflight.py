"""``whale-ready preflight``: the checklist before players are sent to Whale."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from engines.errors import EngineError
from engines.settings import Settings
from whale_ready.command import INTERRUPTED, Command, could_not_run, sigterm_interrupts
from whale_ready.console import Console
from whale_ready.database_option import chosen_url, database_options
from whale_ready.exit_codes import PREFLIGHT_EXIT_CODES, for_help
from whale_ready.lines import echo
from whale_ready.preflight.checks import CHECKS, run
from whale_ready.preflight.items import Check, ItemState
from whale_ready.preflight.report import Preflight, preflight_of
from whale_ready.preflight.site import PreflightSite, Wishes

_STYLES = {ItemState.OK: "green", ItemState.NOT_OK: "bold red", ItemState.NOT_CHECKABLE: "yellow"}

USER = click.IntRange(min=1)


@click.command(
    "preflight",
    cls=Command,
    short_help="Check a site and its Whale before players are sent there.",
    epilog=f"""\b
Exit codes:
{for_help(PREFLIGHT_EXIT_CODES)}

\b
Examples:
  whale-ready preflight --whale https://ctf.example.org --challenges challenges.toml
  whale-ready preflight --expected-players 200 --admin 1 --report preflight.json
  whale-ready preflight --probe-account 42     # starts and stops one instance as user 42
  whale-ready preflight --probe-account 42 --probe-missing 9 --whale-docker ssh://manager
""",
)
@click.option("--whale", "url", metavar="URL", help="Whale's CTFd; WHALE_API_URL unless given.")
@click.option(
    "--challenges",
    metavar="FILE",
    help="The catalogue of challenges; CONTAINER_CHALLENGES_FILE unless given.",
)
@database_options(
    "Where our state is kept, an SQLAlchemy URL; CONTAINER_DATABASE_URL unless given.",
    "that variable",
)
@click.option(
    "--expected-players",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many are expected to have an instance at once.",
)
@click.option(
    "--admin",
    metavar="USER_ID",
    type=USER,
    help="An admin of Whale's CTFd, with credentials as the players have: then Whale's settings "
    "and the admin's list can be read.",
)
@click.option(
    "--probe-account",
    metavar="USER_ID",
    type=USER,
    help="Start one instance as this user, renew it as often as Whale allows, and stop it: what "
    "only a start can show. About forty seconds. Without this option nothing is started.",
)
@click.option(
    "--probe-challenge",
    "probe_challenges",
    metavar="ID",
    type=USER,
    multiple=True,
    help="Which challenge that is; may be repeated, best with one of each redirect type. Without "
    "it one of each where Whale's database tells, else the catalogue's first visible one.",
)
@click.option(
    "--probe-missing",
    metavar="ID",
    type=USER,
    multiple=True,
    help="A challenge on Whale whose image does not exist: the counter-proof that what is not "
    "there is not taken to answer. May be repeated, best with one of each redirect type; each "
    "takes WHALE_READY_SECONDS.",
)
@click.option(
    "--whale-docker",
    "docker",
    metavar="URL",
    default="",
    help="The Docker engine that runs Whale's frpc and CTFd, as DOCKER_HOST names one: shows "
    "frpc's token, what becomes of frpc at a restart, and the number of workers. Only read.",
)
@click.option(
    "--report",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was found to this file, as JSON.",
)
def preflight_command(
    url: str | None,
    challenges: str | None,
    database: str | None,
    database_file: Path | None,
    expected_players: int | None,
    admin: int | None,
    probe_account: int | None,
    probe_challenges: tuple[int, ...],
    probe_missing: tuple[int, ...],
    docker: str,
    path: Path | None,
) -> None:
    """Check, item by item, what must be so before players are sent to Whale, and how to fix it.

    Everything else comes from the environment, as the product reads it (docs/settings.md).
    docs/preflight.md lists the items and what an ok of each rests on.
    """
    given = {
        "WHALE_API_URL": url,
        "CONTAINER_CHALLENGES_FILE": challenges,
        "CONTAINER_DATABASE_URL": chosen_url(database, database_file),
    }
    wishes = Wishes(expected_players, admin, probe_account, probe_challenges, probe_missing, docker)
    try:
        with sigterm_interrupts():
            sys.exit(_preflight({k: v for k, v in given.items() if v}, wishes, path))
    except KeyboardInterrupt:
        echo("interrupted; nothing is written", err=True)
        sys.exit(INTERRUPTED)


def _preflight(given: dict[str, str], wishes: Wishes, path: Path | None) -> int:
    if path is not None and not path.parent.is_dir():
        return could_not_run(f"--report {path}: there is no folder {path.parent}; make it first")
    try:
        settings = Settings.from_environ({**os.environ, **given})
        site = PreflightSite(settings, wishes, tell=lambda sentence: echo(sentence, err=True))
    except EngineError as error:
        return could_not_run(str(error))
    try:
        with _progress() as begins:
            found = preflight_of(site, run(site, begins))
    finally:
        site.close()
    console = Console()
    _print(found, console)
    if path is not None:
        try:
            path.write_text(found.as_json(), encoding="utf-8")
        except OSError as error:
            return could_not_run(f"--report {path}: {error.strerror}; name a file I can write")
        console.say(f"Written: {path}", "dim")
    return found.exit_code


def _print(found: Preflight, console: Console) -> None:
    table = Table("item", "state", "evidence", title=f"Preflight of {found.url}")
    for item in found.items:
        words = Text(item.state.words, style=_STYLES[item.state])
        table.add_row(Text(item.id), words, Text(f"{item.title}: {item.evidence}"))
    console.print(table)
    for state in (ItemState.NOT_OK, ItemState.NOT_CHECKABLE):
        for item in found.items:
            if item.state is state:
                console.say(f"{state.words}: {item.id}: {item.fix}")
    counted = ", ".join(f"{found.count(state)} {state.words}" for state in ItemState)
    console.say(f"{counted} (exit code {found.exit_code})", "bold")


@contextmanager
def _progress() -> Iterator[Callable[[Check], None]]:
    """Shows on stderr what is being checked: a bar on a terminal, lines elsewhere."""
    console = Console(sys.stderr)
    if not console.is_terminal:
        number = 0

        def line(check: Check) -> None:
            nonlocal number
            number += 1
            text = f"checking {number} of {len(CHECKS)}: {check.title}"
            console.say(text)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("preparing", total=len(CHECKS), completed=-1)

        def moved(check: Check) -> None:
            bar.update(task, advance=1, description=escape(check.title))

        yield moved
