"""Running the revisions: one process at a time, on a connection of ours, without Alembic's files.

Alembic's ``op`` and ``context`` of a whole process are left alone: CTFd may be using them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine

from engines.errors import SchemaError
from engines.reasons import reason
from engines.state.schema import HEAD, VERSION_TABLE
from engines.state.schema.comparison import faults, version_table
from engines.state.schema.repair import count_on, nested, repair
from engines.state.schema.tables import all_tables

log = logging.getLogger(__name__)

LOCK_SECONDS = 60
"""How long one process waits for another's upgrade."""

_LOCK_NAME = VERSION_TABLE
_LOCK_KEY = 0x77686C7264790001
"""PostgreSQL's advisory locks are numbers; this one is ours."""
_LOCK_NOT_AVAILABLE = "55P03"

_ISOLATION = {
    "mysql": "AUTOCOMMIT",  # a change of a table commits anyhow; no old snapshot may be looked at
    "mariadb": "AUTOCOMMIT",
    "postgresql": "READ COMMITTED",  # what was done while we waited for the lock must be seen
}


@cache
def scripts() -> ScriptDirectory:
    """The revisions."""
    found = ScriptDirectory(str(Path(__file__).parent))
    found.get_heads()  # reads the files, before another thread gets hold of it
    return found


def upgrade_to(engine: Engine, target: str) -> None:
    """What :func:`engines.state.schema.upgrade` does."""
    with _alone(engine) as connection:
        fresh = not _any_there(connection)
        if not fresh:
            repair(Operations(_context(connection)), version_table())
        context = _context(connection, fn=lambda found, _: scripts()._upgrade_revs(target, found))
        for found in context.get_current_heads():
            versions_after(found)  # or a refusal
        if fresh or target != HEAD:
            context.run_migrations(op=Operations(context))
            return
        try:
            with nested(connection):
                context.run_migrations(op=Operations(context))
        except (sa.exc.DBAPIError, ValueError) as error:  # the latter of a value that is no time
            if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
                raise
            # An old version's tables, and guessed ones: what can be read is taken over as it is.
            log.warning("the tables are no real ones of their version: %s", reason(error))
        repair(Operations(context), all_tables())
        _stamp(connection)
        for fault in faults(connection, all_tables()):
            log.error("the database's tables cannot be put right: %s", fault)


def count_all_on(engine: Engine) -> None:
    """What :func:`engines.state.schema.count_on` does."""
    with _alone(engine) as connection:
        for table in all_tables().sorted_tables:
            count_on(connection, table)


def _any_there(connection: Connection) -> bool:
    ours = {VERSION_TABLE, *all_tables().tables}
    return not ours.isdisjoint(sa.inspect(connection).get_table_names())


def _stamp(connection: Connection) -> None:
    """Say that the tables are of the newest version."""
    versions = version_table()
    versions.create_all(connection)
    table = versions.tables[VERSION_TABLE]
    if connection.execute(sa.select(table.c.version_num)).scalars().all() != [HEAD]:
        connection.execute(table.delete())
        connection.execute(table.insert().values(version_num=HEAD))


def versions_after(found: str | None) -> tuple[str, ...]:
    """What :func:`engines.state.schema.pending` does."""
    known = [script.revision for script in scripts().walk_revisions()][::-1]
    if found is None:
        return tuple(known)
    if found not in known:
        raise SchemaError(
            f"the database's tables are of version {found}, and this program knows versions up to "
            f"{HEAD}: upgrade whale-ready; nothing was changed"
        )
    return tuple(known[known.index(found) + 1 :])


def look(engine: Engine) -> list[str]:
    """What :func:`engines.state.schema.faults` does."""
    with engine.connect() as connection:
        return [str(fault) for fault in faults(connection, all_tables())]


def _context(connection: Connection, **more: Any) -> MigrationContext:
    return MigrationContext.configure(
        connection=connection, opts={"version_table": VERSION_TABLE, **more}
    )


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A connection that no other process upgrades beside; SQLite's has the write lock anyway."""
    isolation = _ISOLATION.get(engine.dialect.name)
    if isolation is not None:
        engine = engine.execution_options(isolation_level=isolation)
    with engine.begin() as connection:
        if isolation == "AUTOCOMMIT":
            _lock_mariadb(connection)
        elif isolation is not None:
            _lock_postgresql(connection)
        yield connection


def _lock_mariadb(connection: Connection) -> None:
    """Until the connection ends; it does not go back into the pool."""
    connection.detach()
    # Such a name is the whole server's.
    lock = sa.text("SELECT GET_LOCK(CONCAT(:name, '.', SHA1(DATABASE())), :seconds)")
    got = connection.execute(lock, {"name": _LOCK_NAME, "seconds": LOCK_SECONDS}).scalar()
    if got != 1:
        raise SchemaError(_waited())


def _lock_postgresql(connection: Connection) -> None:
    """Until the transaction ends."""
    connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
    try:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        raise SchemaError(_waited()) from error


def _waited() -> str:
    return (
        f"another process has been changing the database's tables for {LOCK_SECONDS} s: "
        "see what it does, then start again; nothing was changed"
    )
