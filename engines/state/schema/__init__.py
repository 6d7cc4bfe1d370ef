"""Versions of the tables, with Alembic.

``versions/`` holds the revisions, one file each, from the first version on; what a revision makes
is written down there once more and does not follow the code. A new revision is safe to repeat after
a crash in its middle, because MariaDB commits at every change of a table.

Alembic is loaded once a process, when it looks at the tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

HEAD = "0007"
"""The version this program works with: that of the newest revision."""

VERSION_TABLE = "whale_ready_schema"
"""Not Alembic's own name for it: CTFd's Alembic may keep its versions in the same database."""

_version_num = sa.table(VERSION_TABLE, sa.column("version_num", sa.String)).c.version_num


def version(engine: Engine) -> str | None:
    """The version of the database's tables; one small query.

    None: there is none, because the database is empty or was made before there were versions.
    """
    try:
        return _read(engine)
    except (sa.exc.OperationalError, sa.exc.ProgrammingError):
        if not sa.inspect(engine).has_table(VERSION_TABLE):
            return None
        return _read(engine)  # another process made the table in between


def upgrade(engine: Engine, to: str = HEAD) -> None:
    """Bring the database's tables to version ``to``; nothing is done where they are there.

    Tables are put right too that are not what their version says, as after an import into CTFd:
    what is missing is made, what was guessed is made anew with the rows that can be read.

    Any number of processes may do it at once: one does the work and the others wait for it.

    Args:
        engine: that of a :class:`engines.state.database.Database`.
        to: an older version than the newest is for tests of upgrades.

    Raises:
        SchemaError: the version found is not known to this program, or another process has been
            at work for too long. Nothing was changed.
    """
    from engines.state.schema.upgrader import upgrade_to

    upgrade_to(engine, to)


def pending(found: str | None) -> tuple[str, ...]:
    """The versions that :func:`upgrade` brings to a database of version ``found``, oldest first.

    Raises:
        SchemaError: ``found`` is not known to this program.
    """
    from engines.state.schema.upgrader import versions_after

    return versions_after(found)


def count_on(engine: Engine) -> None:
    """Let ids go on where none was before, whatever an import made of the rows.

    A container carries the id of the row it was made for, and of two the larger is the younger.
    """
    from engines.state.schema.upgrader import count_all_on

    count_all_on(engine)


def faults(engine: Engine) -> list[str]:
    """What is wrong with the tables of a database of this program's version, a sentence each.

    Looks at tables, columns, types, keys and indexes; what others keep beside is left alone.
    """
    from engines.state.schema.upgrader import look

    return look(engine)


def _read(engine: Engine) -> str | None:
    with engine.connect() as connection:
        found = connection.execute(sa.select(_version_num)).scalars().first()
    return None if found is None else str(found)
