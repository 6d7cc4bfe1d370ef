"""``whale-ready audit``: the audit log as a file, and what is too old or too much deleted now."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import sqlalchemy as sa

from engines.settings import Settings
from engines.state.audit_export import ExportBusy, line, private_file
from engines.state.audit_log import container_events
from engines.state.database import Database
from engines.upkeep import Upkeep
from whale_ready.command import Command, CommandGroup, could_not_run
from whale_ready.lines import echo

PAGE = 1000
"""Rows that are read at a time."""


@click.group("audit", cls=CommandGroup, short_help="Export the audit log, or delete what is old.")
def audit_group() -> None:
    """The audit log in CONTAINER_DATABASE_URL (docs/database.md)."""


@audit_group.command(
    "export",
    cls=Command,
    short_help="Write every row as a line of JSON.",
    epilog="""\b
Exit codes:
  0    written
  3    could not run: a bad option or setting, or database or file cannot be used
""",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def export_command(file: Path | None) -> None:
    """Write the rows that are there now, the oldest first, and delete none.

    FILE must be new; only its owner can read it, and it appears once it is complete. Without it the
    lines are printed.
    """
    with _set_up() as (database, _):
        if file is None:
            for told in _lines(database):
                sys.stdout.write(told.decode())
            return
        if file.exists():
            sys.exit(could_not_run(f"{file} is there already: name a new file"))
        written = _write(file, _lines(database))
    echo(f"{written} rows in {file}")


@audit_group.command(
    "prune",
    cls=Command,
    short_help="Delete what is too old or too much.",
    epilog="""\b
Exit codes:
  0    nothing of that is left
  3    could not run: a bad setting, or database or export cannot be used
""",
)
def prune_command() -> None:
    """Do what the worker does bit by bit, until nothing is left to do.

    Goes by CONTAINER_AUDIT_DAYS and CONTAINER_AUDIT_ROWS, and writes what it deletes to
    CONTAINER_AUDIT_EXPORT_FOLDER before, where that is set.
    """
    deleted = 0
    with _set_up() as (_, upkeep):
        while gone := upkeep.retention.step():
            deleted += gone
    echo(f"{deleted} rows deleted")


def _lines(database: Database) -> Iterator[bytes]:
    """Every row there is now as a line of JSON."""
    row = container_events.c
    with database.read() as connection:
        newest = connection.execute(sa.select(sa.func.max(row.id))).scalar() or 0
    reached = 0
    while True:
        page = sa.select(container_events).where(row.id > reached, row.id <= newest)
        with database.read() as connection:
            found = connection.execute(page.order_by(row.id).limit(PAGE)).mappings().all()
        if not found:
            return
        for each in found:
            yield line(dict(each))
        reached = found[-1]["id"]


def _write(file: Path, lines: Iterator[bytes]) -> int:
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}.part")
    written = 0
    try:
        with private_file(part) as open_file:
            for told in lines:
                open_file.write(told)
                written += 1
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)
    return written


@contextmanager
def _set_up() -> Iterator[tuple[Database, Upkeep]]:
    settings = Settings.from_environ()
    database = Database(settings.state_url)
    try:
        yield database, Upkeep(database, database.clock, settings)
    except ExportBusy:
        sys.exit(could_not_run("another process exports the audit log just now: try again"))
    except OSError as error:
        sys.exit(could_not_run(f"{error.filename}: {error.strerror}"))
    finally:
        database.close()
