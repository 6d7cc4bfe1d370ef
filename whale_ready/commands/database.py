"""``whale-ready database``: which version the state's tables are of, and their upgrade."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy.engine import URL

from engines.cre.owner import known_id, take_over
from engines.errors import SchemaError
from engines.settings import Settings
from engines.state import schema
from engines.state.database import Database, parsed_url
from whale_ready.command import Command, CommandGroup
from whale_ready.lines import echo

NOT_OURS = 1
"""Exit code: the tables are not what this program needs."""


def _id(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{12}", given):
        raise click.BadParameter("an ID is 12 characters, 0 to 9 and a to f, as the log has it")
    return given


@click.group(
    "database", cls=CommandGroup, short_help="Look at the state's tables, or upgrade them."
)
def database_group() -> None:
    """The tables of the database at CONTAINER_DATABASE_URL (docs/database.md).

    A backend and the worker upgrade them by themselves when they start. These commands are for
    looking first, and for a database whose everyday user may not create tables.
    """


@database_group.command(
    "status",
    cls=Command,
    short_help="Say which version the tables are of.",
    epilog="""\b
Exit codes:
  0    the tables are what this program needs
  1    they are not: older, newer, damaged or not there yet
  3    could not run: a bad option or setting, or the database cannot be asked
""",
)
def status_command() -> None:
    """Look at the tables themselves and say what an upgrade would do; changes nothing."""
    url = parsed_url(Settings.from_environ().state_url)
    found, wrong, owner = _seen(url)
    todo, code = _todo(found, wrong)
    echo(f"database: {_shown(url)}")
    echo(f"version: {found or 'none'}, this program's is {schema.HEAD}")
    if owner:
        echo(f"id: {owner}")
    for fault in wrong:
        echo(f"wrong: {fault}")
    echo(f"to do: {todo}")
    sys.exit(code)


@database_group.command(
    "upgrade",
    cls=Command,
    short_help="Bring the tables to this program's version.",
    epilog="""\b
Exit codes:
  0    the tables are what this program needs now
  1    they are not: theirs is newer, or another process kept changing them
  3    could not run: a bad option or setting, or the database cannot be asked
""",
)
def upgrade_command() -> None:
    """Create the tables, bring them to this program's version, and put right what is damaged.

    No row is lost that can be read. Safe while other processes start; make a copy of the database
    first.
    """
    url = parsed_url(Settings.from_environ().state_url)
    with _opened(url) as database:
        before = database.schema_version()
        wrong = database.schema_faults() if before == schema.HEAD else []
        with _refused_means_1():
            database.ensure_schema()
        left = database.schema_faults()
    for fault in left:
        echo(f"Error: {fault}, and it could not be put right", err=True)
    if left:
        sys.exit(NOT_OURS)
    for fault in wrong:
        echo(f"put right: {fault}")
    if before != schema.HEAD:
        echo(f"upgraded from {before or 'none'} to {schema.HEAD}: {_shown(url)}")
    elif not wrong:
        echo(f"nothing to do: the tables are of version {before}")


@database_group.command(
    "take-over",
    cls=Command,
    short_help="Count another database's containers as this one's.",
    epilog="""\b
Exit codes:
  0    the worker's next round removes what no row of this database knows
  1    the tables are not what this program needs: see `whale-ready database status`
  3    could not run: a bad option or setting, or the database cannot be asked
""",
)
@click.argument("database_id", metavar="ID", callback=_id)
def take_over_command(database_id: str) -> None:
    """Say that the database ID is gone for good, and this one has its place.

    Containers under one CRE_DEPLOYMENT that another database made are left alone; the log and
    `whale-ready doctor` name its ID. Never take over a database that is in use.
    """
    url = parsed_url(Settings.from_environ().state_url)
    with _opened(url) as database, _refused_means_1():
        database.ensure_schema()
        take_over(database, database_id)
    echo(f"what database {database_id} made is this one's now: {_shown(url)}")


def _todo(found: str | None, wrong: list[str]) -> tuple[str, int]:
    try:
        pending = schema.pending(found)
    except SchemaError:
        return "upgrade whale-ready: it does not know this version", NOT_OURS
    if pending:
        return f"whale-ready database upgrade brings {', '.join(pending)}", NOT_OURS
    if wrong:
        return "whale-ready database upgrade puts the tables right", NOT_OURS
    return "nothing", 0


def _seen(url: URL) -> tuple[str | None, list[str], str | None]:
    """The version found, what is wrong with its tables, and the database's id; makes no file."""
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return None, [], None
    with _opened(url) as database:
        found = database.schema_version()
        if found != schema.HEAD:
            return found, [], None
        wrong = database.schema_faults()
        return found, wrong, None if wrong else known_id(database)


@contextmanager
def _opened(url: URL) -> Iterator[Database]:
    database = Database(url.render_as_string(hide_password=False))
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _refused_means_1() -> Iterator[None]:
    try:
        yield
    except SchemaError as error:
        echo(f"Error: {error}", err=True)
        sys.exit(NOT_OURS)


def _shown(url: URL) -> str:
    """The URL without its password, and without its query, where one may stand too."""
    return url.set(query={}).render_as_string(hide_password=True)
