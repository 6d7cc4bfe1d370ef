"""``whale-ready worker``: the cleanup worker as a process of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click
from sqlalchemy.exc import SQLAlchemyError

from engines.catalog_file import catalog_from
from engines.cre import ContainerRuntimeEngine
from engines.ctfd.beside import SiteBeside
from engines.doctor import SetupWatch, examine_docker
from engines.errors import BackendUnavailable
from engines.factory import Overrides, build
from engines.hybrid import HybridBackend
from engines.settings import Settings
from engines.state.database import Database, may_come
from engines.whale import WhaleAPIManager
from whale_ready.command import Command, could_not_run, database_fault, told_to_stop
from whale_ready.commands.metrics import Address, CannotServe, metrics_option, serving_metrics
from whale_ready.lines import echo

CleanedUp = ContainerRuntimeEngine | WhaleAPIManager | HybridBackend

RETRY_SECONDS = 2.0
TRIES_BETWEEN_NOTICES = 30
BACKENDS = ("cre", "whale", "hybrid")


@click.command(
    "worker",
    cls=Command,
    short_help="Remove expired containers, until told to stop.",
    epilog="""\b
Exit codes:
  0    stopped by SIGTERM or Ctrl-C, or --once is done
  1    --once: the backend cannot be asked
  3    could not run: a bad option or setting, or the database refuses; with --once also when it
       cannot be reached

Without --once a database that cannot be reached yet is waited for, with a line a minute.
""",
)
@click.option(
    "--backend",
    "name",
    type=click.Choice(BACKENDS),
    help="Whose containers; without it those of all that is set up.",
)
@click.option("--once", is_flag=True, help="Do one round and end.")
@metrics_option
def worker_command(name: str | None, once: bool, address: Address | None) -> None:
    """Remove expired containers and put right what a crash left, every CONTAINER_WORKER_SECONDS.

    Everything comes from the environment (docs/settings.md). On the database of a CTFd with the
    plugin it also ends what belongs to users, teams and challenges that were deleted. It watches a
    rollout and turns its dial back when Whale passes a limit (docs/rollout.md). Start as many as
    you like, on as many machines: one of them does the work, and another takes over when it dies.
    """
    if once and address is not None:
        sys.exit(could_not_run("--metrics serves while the worker runs: leave --once out"))
    settings = Settings.from_environ()
    if not once and not _database_came(settings):
        echo("stopped")
        return
    with _backend_named(name, settings) as backend:
        _clean_up(backend, settings, once=once, address=address, docker=name != "whale")


def _clean_up(
    backend: CleanedUp, settings: Settings, *, once: bool, address: Address | None, docker: bool
) -> None:
    try:
        if once:
            removed = backend.cleanup_worker.run_once()
            echo(f"{backend.name}: {removed} expired removed")
            return
        with serving_metrics(address, settings) as serving, told_to_stop() as told:
            if serving is not None:
                echo(f"metrics at http://{serving}/metrics")
            echo(f"cleaning up for {backend.name} every {settings.worker_seconds:g} s")
            if docker:
                SetupWatch(lambda: examine_docker(settings)).begin()
            with backend.cleanup_worker:  # whose round at work is brought to its end
                told.wait()
        echo("stopped")
    except CannotServe as error:
        sys.exit(could_not_run(str(error)))
    except BackendUnavailable as error:
        echo(f"Error: {error}", err=True)
        sys.exit(1)


@contextmanager
def _backend_named(name: str | None, settings: Settings) -> Iterator[CleanedUp]:
    """The backend to clean up for; None: whatever :func:`engines.factory.build` makes.

    Raises:
        SettingsError: a setting is missing or wrong.
    """
    with ExitStack() as stack:
        database = Database(settings.state_url)
        stack.callback(database.close)
        site = SiteBeside(settings, database, catalog_from(settings))
        stack.callback(site.close)
        backend: CleanedUp
        if name == "whale":
            backend = WhaleAPIManager(settings, database=database, owners=site)
        elif name == "cre":
            backend = ContainerRuntimeEngine(
                settings, catalog=site, database=database, solved=site, owners=site
            )
        else:
            given = Overrides(catalog=site, database=database, solved=site, owners=site)
            backend = hybrid = build(settings, given)
            site.notice(hybrid)
        stack.callback(backend.close)
        yield backend


def _database_came(settings: Settings) -> bool:
    """Wait for a database that is not there yet: services start together, in no order.

    One that answers and refuses (a wrong password, no such database) is not waited for.

    Returns whether it came before this process was told to stop.
    """
    database = Database(settings.state_url)
    try:
        with told_to_stop() as told:
            for tries in itertools.count():
                try:
                    database.ensure_schema()
                    return True
                except SQLAlchemyError as error:
                    if not may_come(error):
                        raise
                    if tries % TRIES_BETWEEN_NOTICES == 0:
                        echo(f"waiting: {database_fault(error)}", err=True)
                if told.wait(RETRY_SECONDS):
                    break
        return False
    finally:
        database.close()
