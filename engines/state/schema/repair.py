"""Tables put right from what they are: what is missing is made, what was guessed is made anew.

An import into CTFd drops every table and makes those that had rows by guessing from the rows: no
keys, times as text (CTFd's ``import_ctf``). Such a table is made anew as it must be, with the rows
that can be read. A crash anywhere is made good by the next repair: the old table stays until all of
it is copied.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.engine import Connection

from engines.state.schema.comparison import NEW, OLD, TableFault, by_table, faults, left_of

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 500
TOLD = 3
"""Faults of a table that the log names."""
_WHOLE = ("sqlite", "postgresql")
"""Where all changes of an upgrade are one transaction."""

FIRST = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()
IDS_A_SECOND = 4
"""Ids that go on after an import are larger than any that were given since :data:`FIRST` at this
rate, and fit an INT until 2043: CTFd's import makes the column ``id`` of a plugin's table one, and
breaks off at a larger number, with CTFd's own tables in pieces."""

_Row = dict[str, Any]


def repair(op: Operations, wanted: sa.MetaData) -> list[TableFault]:
    """Make the tables what they must be; returns what was wrong.

    The caller keeps other processes out.
    """
    connection = op.get_bind()
    found = faults(connection, wanted)
    wrong = by_table(found)
    there = set(sa.inspect(connection).get_table_names())
    for table in wanted.sorted_tables:
        if table.name in wrong:
            _put_right(op, table, wrong[table.name], left_of(table.name) & there)
    return found


def count_on(connection: Connection, table: sa.Table) -> None:
    """Let the table's ids go on where none was before (:func:`engines.state.schema.count_on`)."""
    if not table.dialect_options["sqlite"]["autoincrement"]:
        return
    following = int((time.time() - FIRST) * IDS_A_SECOND)
    name, dialect = table.name, connection.dialect.name
    largest = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
    if largest >= following:
        return
    if dialect == "sqlite":
        counters = sa.table("sqlite_sequence", sa.column("name"), sa.column("seq"))
        connection.execute(counters.delete().where(counters.c.name == name))
        connection.execute(counters.insert().values(name=name, seq=following))
    elif dialect == "postgresql":
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :following)"),
            {"name": name, "following": following},
        )
    else:
        connection.execute(sa.text(f"ALTER TABLE {name} AUTO_INCREMENT = {following}"))


def nested(connection: Connection) -> AbstractContextManager[Any]:
    """Undo what fails within, where statements are one transaction; on MariaDB each is its own."""
    return connection.begin_nested() if connection.dialect.name in _WHOLE else nullcontext()


def _put_right(op: Operations, table: sa.Table, wrong: list[TableFault], left: set[str]) -> None:
    connection = op.get_bind()
    for name in left:
        op.drop_table(name)
    said = "; ".join(fault.what for fault in wrong[:TOLD])
    said += f" and {len(wrong) - TOLD} more" if len(wrong) > TOLD else ""
    if all(fault.addable for fault in wrong):
        create_missing(connection, table)
        count_on(connection, table)
        log.warning("table %s: %s; made", table.name, said)
        return
    whole = connection.dialect.name in _WHOLE
    kept, lost = _in_one_go(op, table) if whole else _beside(op, table)
    log.warning("table %s: %s; made anew with %d rows, %d were lost", table.name, said, kept, lost)


def create_missing(connection: Connection, table: sa.Table) -> None:
    """Create the table, or its indexes, where they are missing."""
    table.create(connection, checkfirst=True)
    for index in sorted(table.indexes, key=lambda each: str(each.name)):
        index.create(connection, checkfirst=True)


def _in_one_go(op: Operations, table: sa.Table) -> tuple[int, int]:
    """Where nobody sees anything of it before all is done."""
    connection, aside = op.get_bind(), f"{table.name}{OLD}"
    _set_aside(op, table, aside)
    create_missing(connection, table)
    done = _take_over(connection, aside, table)
    op.drop_table(aside)
    count_on(connection, table)
    return done


def _beside(op: Operations, table: sa.Table) -> tuple[int, int]:
    """Where each change is for good at once: the new table comes into its place with all its rows.

    A worker that saw it empty would remove every container.
    """
    connection, name = op.get_bind(), table.name
    filled = table.to_metadata(sa.MetaData(), name=f"{name}{NEW}")
    filled.indexes.clear()  # named after the copy
    for index in table.indexes:
        columns = [filled.c[column.name] for column in index.columns]
        sa.Index(str(index.name), *columns, unique=index.unique)
    create_missing(connection, filled)
    done = _take_over(connection, name, filled)
    count_on(connection, filled)
    swap = f"RENAME TABLE {name} TO {name}{OLD}, {name}{NEW} TO {name}"
    connection.execute(sa.text(swap))
    op.drop_table(f"{name}{OLD}")
    return done


def _set_aside(op: Operations, table: sa.Table, aside: str) -> None:
    op.rename_table(table.name, aside)
    connection = op.get_bind()  # where no two tables may have keys of one name
    inspector = sa.inspect(connection)
    if connection.dialect.name == "postgresql":
        for key in inspector.get_unique_constraints(aside):
            op.drop_constraint(str(key["name"]), aside, type_="unique")
        primary = inspector.get_pk_constraint(aside).get("name")
        if primary:
            op.drop_constraint(primary, aside, type_="primary")
    for index in sa.inspect(connection).get_indexes(aside):
        if not index.get("duplicates_constraint"):
            op.drop_index(str(index["name"]), aside)


def _take_over(connection: Connection, source: str, table: sa.Table) -> tuple[int, int]:
    """Copy the rows that can be read, the youngest first; returns how many, and how many not."""
    there = {
        reflected_column["name"] for reflected_column in sa.inspect(connection).get_columns(source)
    }
    columns = [column for column in table.columns if column.name in there]
    rows: Any = sa.table(source, *(sa.column(column.name) for column in columns))
    wanted = sa.select(*rows.columns)
    if "id" in {column.name for column in columns}:
        wanted = wanted.order_by(rows.c.id.desc())
    found = [dict(row) for row in connection.execute(wanted).mappings().all()]
    readable = [row for row in (_read(table, each) for each in found) if row is not None]
    kept = sum(_insert(connection, table, batch) for batch in _batches(readable))
    return kept, len(found) - kept


def _batches(rows: list[_Row]) -> Iterator[list[_Row]]:
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[begin : begin + ROWS_AT_ONCE]


def _insert(connection: Connection, table: sa.Table, rows: list[_Row]) -> int:
    """Insert them, without those that a key forbids; returns how many are there then."""
    try:
        with nested(connection):
            connection.execute(table.insert(), rows)
        return len(rows)
    except (sa.exc.IntegrityError, sa.exc.DataError):
        if len(rows) == 1:
            return 0
    return sum(_insert(connection, table, [row]) for row in rows)


def _read(table: sa.Table, row: _Row) -> _Row | None:
    """The row as the table takes it; None where it cannot be read."""
    try:
        read = {name: _value(table.c[name], value) for name, value in row.items()}
    except ValueError:
        return None
    missing = [
        column.name
        for column in table.columns
        if column.name not in read and not (column.nullable or column.server_default is not None)
    ]
    return None if missing else read


def _value(column: Any, value: Any) -> Any:
    """A value that a driver gave for a column of whatever type, as the column's own type takes it.

    Raises:
        ValueError: it cannot be read as that.
    """
    from engines.state.database import UtcDateTime

    if value is None:
        if not column.nullable:
            raise ValueError(f"{column} is empty")
        return None
    if isinstance(column.type, UtcDateTime):
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    if isinstance(column.type, sa.String):
        if column.type.length is not None and len(str(value)) > column.type.length:
            raise ValueError(f"{column} is too long")
        return str(value)
    return int(value)
