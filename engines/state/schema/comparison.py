"""Where the tables of a database are not as this program needs them, whatever their version says.

Alembic's autogenerate compares tables, columns, types, keys and indexes; primary keys and the
counting up of ids, which it leaves out, are looked at here. What somebody added and what does no
harm (a table, an index, a column that may be empty) is left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection

from engines.state.schema import VERSION_TABLE

MISSING = "is missing"
NEW, OLD = "_being_filled", "_taken_over"
"""Behind the name of a table that takes over rows, and of the one it takes them from
(:mod:`engines.state.schema.repair`)."""


@dataclass(frozen=True)
class TableFault:
    """One thing that is wrong with a table."""

    table: str
    what: str
    """As people read it, after the table's name."""
    addable: bool = False
    """Whether making what is missing is enough: no row has to be written anew."""

    def __str__(self) -> str:
        return f"{self.table} {self.what}"


def version_table() -> sa.MetaData:
    """The table of versions, as Alembic makes it."""
    made = sa.MetaData()
    number = sa.Column("version_num", sa.String(32), nullable=False)
    key = sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc")
    sa.Table(VERSION_TABLE, made, number, key)
    return made


def differences(connection: Connection, wanted: sa.MetaData) -> list[Any]:
    """What Alembic's autogenerate finds, of the tables that ``wanted`` knows."""

    def ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name in wanted.tables

    options = {"version_table": f"{VERSION_TABLE}_none", "include_name": ours, "compare_type": True}
    context = MigrationContext.configure(connection=connection, opts=options)
    return list(compare_metadata(context, wanted))


def faults(connection: Connection, wanted: sa.MetaData) -> list[TableFault]:
    """What has to be put right before this program can rely on the tables."""
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    found = [fault for difference in differences(connection, wanted) for fault in _read(difference)]
    found = [fault for fault in found if fault.table in there or fault.what == MISSING]
    for name, table in wanted.tables.items():
        if name in there:
            found += _of_primary_key(inspector, table)
        if left_of(name) & there:
            found.append(TableFault(name, "has a copy that a repair left behind", addable=True))
    return found


def left_of(name: str) -> set[str]:
    """Tables that a repair of this one leaves behind when it breaks off."""
    return {f"{name}{NEW}", f"{name}{OLD}"}


def by_table(found: list[TableFault]) -> Mapping[str, list[TableFault]]:
    """The faults of each table that has any."""
    sorted_out = defaultdict(list)
    for fault in found:
        sorted_out[fault.table].append(fault)
    return sorted_out


def _read(difference: Any) -> list[TableFault]:
    if isinstance(difference, list):  # what is wrong with one column
        return [fault for each in difference for fault in _read(each)]
    kind = difference[0]
    if kind == "add_table":
        return [TableFault(difference[1].name, MISSING, addable=True)]
    if kind in ("add_column", "remove_column"):
        return _of_column(kind, difference[2], difference[3])
    if kind in ("modify_type", "modify_nullable"):
        table, column, was, must = difference[2], difference[3], difference[5], difference[6]
        if kind == "modify_type":
            return [TableFault(table, f"has {column} as {was} in the place of {must}")]
        return [
            TableFault(table, f"lets {column} be empty" if was else f"wants {column} never empty")
        ]
    if kind.startswith(("add_", "remove_")):
        return _of_key(kind, difference[1])
    return []


def _of_column(kind: str, table: str, column: Any) -> list[TableFault]:
    if kind == "add_column":
        return [TableFault(table, f"lacks the column {column.name}")]
    given = column.nullable or column.server_default is not None
    return (
        [] if given else [TableFault(table, f"wants a value for {column.name}, which is not ours")]
    )


def _of_key(kind: str, key: Any) -> list[TableFault]:
    unique = isinstance(key, sa.UniqueConstraint) or bool(getattr(key, "unique", False))
    name = f"{'unique key' if unique else 'index'} {key.name}"
    if kind.startswith("add_"):
        return [TableFault(key.table.name, f"lacks the {name}", addable=not unique)]
    # Somebody's index does no harm; a key forbids rows that we write.
    return [TableFault(key.table.name, f"has the {name}, which is not ours")] if unique else []


def _of_primary_key(inspector: Any, table: sa.Table) -> list[TableFault]:
    wanted = [column.name for column in table.primary_key.columns]
    found = list(inspector.get_pk_constraint(table.name)["constrained_columns"])
    if sorted(found) != sorted(wanted):
        return [TableFault(table.name, f"has the primary key {found} in the place of {wanted}")]
    counting = [column.name for column in table.primary_key.columns if column.autoincrement is True]
    if inspector.bind.dialect.name == "sqlite":  # where each such key counts up
        return []
    columns = {each["name"]: each for each in inspector.get_columns(table.name)}
    still = [name for name in counting if not columns[name].get("autoincrement")]
    return [TableFault(table.name, f"does not count up {name}") for name in still]
