"""Every version of the tables becomes the newest, with its rows, on each kind of database.

``schema_0001/`` holds what the code of before there were versions made, as SQL. It never changes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support.servers import MariaDB

from conformance.harnesses.guessed_tables import export_and_import
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import SchemaError
from engines.state import schema
from engines.state.database import Database
from engines.state.schema import upgrader as upgrading
from engines.state.schema.tables import all_tables

SNAPSHOT = Path(__file__).parent / "schema_0001"
FIRST_TABLES = {
    "container_events",
    "cre_instances",
    "cre_meta",
    "instance_gates",
    "whale_instances",
    "worker_leases",
}
AUDIT_ONLY = {"container_events"}
WHALE_ONLY = {"container_events", "whale_instances", "instance_gates"}
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc).replace(tzinfo=None)
BOTH = ("cre", "whale")
VALUES = {str: "x", int: 7, datetime: MOMENT}

EIGHT_AT_ONCE = """
import multiprocessing, sys
from engines.state.database import Database
from engines.state.schema.upgrader import all_tables

all_tables()  # all is loaded once for all eight, so that they meet

def start(gate, url):
    gate.wait()
    Database(url).ensure_schema()

many = multiprocessing.get_context("fork")
gate = many.Barrier(8)
processes = [many.Process(target=start, args=(gate, sys.argv[1])) for _ in range(8)]
for each in processes:
    each.start()
for each in processes:
    each.join()
sys.exit(any(each.exitcode for each in processes))
"""


def url_of(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


@contextmanager
def next_process(database: Database) -> Iterator[Database]:
    """The same database as a process that starts now meets it."""
    again = Database(url_of(database))
    yield again
    again.close()


def kind(database: Database) -> str:
    name = str(database.engine.dialect.name)
    return "mariadb" if name == "mysql" else name


def execute(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def first_statements(database: Database, tables: set[str]) -> list[str]:
    """How the code of before there were versions made ``tables``."""
    text = (SNAPSHOT / f"{kind(database)}.sql").read_text(encoding="utf-8")
    statements = [part.rstrip(";\n") for part in text.split(";\n\n")]
    made_for = re.compile(r"CREATE (?:TABLE|INDEX \w+ ON) (\w+)")
    return [statement for statement in statements if made_for.match(statement)[1] in tables]  # type: ignore[index] # fails where it does not match


def reflected(database: Database) -> sa.MetaData:
    found = sa.MetaData()
    with database.read() as connection:
        # SQLAlchemy 1.4 shows SQLite's own tables too.
        found.reflect(connection, only=lambda name, _: not name.startswith("sqlite_"))
    return found


def fill(database: Database) -> dict[str, dict[str, Any]]:
    """A row in every table there is, with a value in every column."""
    rows = {
        name: {column.name: VALUES[column.type.python_type] for column in table.columns}
        for name, table in reflected(database).tables.items()
        if name != schema.VERSION_TABLE
    }
    with database.write() as connection:
        for name, table in reflected(database).tables.items():
            if name in rows:
                connection.execute(table.insert().values(**rows[name]))
    return rows


def assert_kept(database: Database, rows: dict[str, dict[str, Any]]) -> None:
    tables = reflected(database).tables
    with database.read() as connection:
        for name, before in rows.items():
            now = connection.execute(sa.select(tables[name])).mappings().all()
            assert [{key: row[key] for key in before} for row in now] == [before], name


def assert_newest(database: Database) -> None:
    assert database.schema_version() == schema.HEAD
    assert database.schema_faults() == []


def shape(database: Database) -> dict[str, Any]:
    """The tables in the database's own words, but that of versions."""
    questions = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name",
        "mariadb": "SELECT table_name, '' FROM information_schema.tables "
        "WHERE table_schema = DATABASE() ORDER BY table_name",
        "postgresql": "SELECT table_name || '.' || column_name, concat_ws(' ', data_type, "
        "character_maximum_length, datetime_precision, is_nullable, column_default) "
        "FROM information_schema.columns WHERE table_schema = 'public' "
        "UNION SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "UNION SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace",
    }
    with database.read() as connection:
        rows = connection.exec_driver_sql(questions[kind(database)].replace("%", "%%")).all()
        found = {str(name): " ".join(str(text).split()) for name, text in rows}
        if kind(database) == "mariadb":
            for name in found:
                found[name] = connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").all()[0][1]
    return {
        name: text
        for name, text in found.items()
        if schema.VERSION_TABLE not in name and not name.startswith("sqlite_")
    }


class Crash(Exception):
    """Stands for the end of a process."""


@contextmanager
def crash_before_change(number: int, database: Database) -> Iterator[None]:
    """End at the change of that number, from 1, unless there are fewer."""
    made = 0

    def count(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal made
        if statement.lstrip().startswith(("CREATE", "INSERT", "UPDATE", "ALTER", "DROP")):
            made += 1
            if made == number:
                raise Crash

    sa.event.listen(database.engine, "before_cursor_execute", count)
    yield
    sa.event.remove(database.engine, "before_cursor_execute", count)


def test_the_newest_version_is_the_last_of_one_line() -> None:
    assert schema.pending(None)[0] == "0001"
    assert schema.pending(None)[-1] == schema.HEAD
    assert upgrading.scripts().get_heads() == [schema.HEAD]


def test_an_empty_database_gets_the_newest_version(any_database: Database) -> None:
    assert any_database.schema_version() is None
    any_database.ensure_schema()
    assert_newest(any_database)


def test_a_difference_would_be_seen(any_database: Database) -> None:
    any_database.ensure_schema()
    drop = "DROP INDEX ix_cre_pool_challenge_state"
    execute(any_database, f"{drop} ON cre_pool" if kind(any_database) == "mariadb" else drop)
    execute(any_database, "ALTER TABLE cre_meta ADD COLUMN more INTEGER")
    seen = any_database.schema_faults()
    assert seen == ["cre_pool lacks the index ix_cre_pool_challenge_state"]


@pytest.mark.parametrize("version", schema.pending(None))
def test_every_version_becomes_the_newest_with_its_rows(
    any_database: Database, version: str
) -> None:
    schema.upgrade(any_database.engine, to=version)
    assert any_database.schema_version() == version
    rows = fill(any_database)
    assert len(rows) >= len(FIRST_TABLES)
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_kept(later, rows)
        assert_newest(later)


def test_what_runs_when_routes_come_belongs_to_who_started_it(any_database: Database) -> None:
    schema.upgrade(any_database.engine, to="0002")
    instances = {name: reflected(any_database).tables[f"{name}_instances"] for name in BOTH}
    wanted = [("cre", "user:1", 5), ("cre", "user:1", 6), ("whale", "user:1", 7)]
    with any_database.write() as connection:
        for backend, account, challenge in [*wanted, ("whale", "user:2", 5)]:
            table = instances[backend]
            row = {column.name: VALUES[column.type.python_type] for column in table.columns}
            row.update(account=account, challenge_id=challenge, slot=challenge, state="running")
            row.update(id=challenge, user_id=challenge if backend == "cre" else challenge + 10)
            if account == "user:2":
                row.update(id=99, state="start_open")
            connection.execute(table.insert().values(**row))
    for _ in range(2):  # a crash after it, on MariaDB: it is done once more
        any_database.ensure_schema()
        routes = reflected(any_database).tables["hybrid_routes"]
        columns = (routes.c.backend, routes.c.account, routes.c.challenge_id, routes.c.slot)
        with any_database.read() as connection:
            found = connection.execute(
                sa.select(*columns, routes.c.state).order_by(routes.c.account, routes.c.slot)
            ).all()
        assert [tuple(row) for row in found] == [
            *((*key, slot, "held") for slot, key in enumerate(wanted)),
            ("whale", "user:2", 5, 0, "open"),
        ]
        execute(any_database, "UPDATE whale_ready_schema SET version_num = '0002'")
        any_database._schema_is_ours = False


def test_the_first_version_is_what_it_was(
    request: pytest.FixtureRequest, any_database: Database, tmp_path: Path
) -> None:
    schema.upgrade(any_database.engine, to="0001")
    server = kind(any_database)
    url = f"sqlite:///{tmp_path / 'was.db'}"
    if server != "sqlite":
        url = request.getfixturevalue(server).create()
    was = Database(url)
    execute(was, *first_statements(was, FIRST_TABLES))
    assert len(shape(was)) >= len(FIRST_TABLES)
    assert shape(any_database) == shape(was)
    was.close()


@pytest.mark.parametrize(
    "tables", [FIRST_TABLES, AUDIT_ONLY, WHALE_ONLY], ids=["all", "audit_only", "whale_only"]
)
def test_a_database_of_before_versions_becomes_the_newest_with_its_rows(
    any_database: Database, tables: set[str]
) -> None:
    execute(any_database, *first_statements(any_database, tables))
    rows = fill(any_database)
    assert set(rows) == tables
    any_database.ensure_schema()
    assert_kept(any_database, rows)
    assert_newest(any_database)


def test_a_table_whose_maker_died_before_its_index_gets_it(any_database: Database) -> None:
    for statement in first_statements(any_database, FIRST_TABLES):
        if "INDEX" not in statement:
            execute(any_database, statement)
    any_database.ensure_schema()
    assert_newest(any_database)


def test_an_old_file_without_autoincrement_is_left_so(database: Database) -> None:
    made = first_statements(database, FIRST_TABLES)
    execute(database, *(each.replace("PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY") for each in made))
    rows, before = fill(database), shape(database)
    database.ensure_schema()
    assert_kept(database, rows)
    assert_newest(database)
    del before["whale_instances"]  # made anew for other keys, and with it
    after = shape(database)
    # They have got columns, and are left as they are otherwise.
    del before["cre_instances"], before["container_events"]
    assert "AUTOINCREMENT" not in after["cre_instances"]
    assert before.items() <= after.items()


def test_who_looks_while_another_makes_the_tables_sees_them(any_database: Database) -> None:
    with next_process(any_database) as other:
        # The table of versions was not there a moment ago.
        sa.event.listen(any_database.engine, "handle_error", lambda _: other.ensure_schema())
        assert any_database.schema_version() == schema.HEAD


@pytest.mark.parametrize("before", ["empty", "0001", "imported"])
def test_eight_processes_at_once_all_succeed(any_database: Database, before: str) -> None:
    rows: dict[str, dict[str, Any]] = {}
    if before == "0001":
        schema.upgrade(any_database.engine, to=before)
    elif before == "imported":
        any_database.ensure_schema()
        rows = fill(any_database)
        export_and_import(any_database)
    command = [sys.executable, "-c", EIGHT_AT_ONCE, url_of(any_database)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert_newest(any_database)
    assert_kept(any_database, rows)


@pytest.mark.timeout(1200)  # two upgrades per change of a table, and each version brings more
def test_a_crash_anywhere_is_made_good_by_the_next_on_mariadb(mariadb: MariaDB) -> None:
    """Every change of a table is for good at once there."""
    whole = Database(mariadb.create())
    whole.ensure_schema()
    number, crashed = 0, True
    while crashed:
        number += 1
        database = Database(mariadb.create())
        with crash_before_change(number, database):
            try:
                database.ensure_schema()
                crashed = False
            except Crash:
                pass
        with next_process(database) as later:
            later.ensure_schema()
            assert later.schema_version() == schema.HEAD, number
            assert shape(later) == shape(whole), number
        database.close()
    whole.close()
    assert number > 15


def test_a_crash_leaves_nothing_where_a_transaction_holds_tables(any_database: Database) -> None:
    if kind(any_database) == "mariadb":
        return  # the test before this one
    with crash_before_change(12, any_database), pytest.raises(Crash):
        any_database.ensure_schema()
    assert shape(any_database) == {}
    any_database.ensure_schema()
    assert_newest(any_database)


def test_a_newer_version_is_refused_and_left_alone(any_database: Database) -> None:
    any_database.ensure_schema()
    execute(any_database, "UPDATE whale_ready_schema SET version_num = '9999'")
    execute(any_database, "DROP TABLE cre_pool")
    before = shape(any_database)
    with next_process(any_database) as older:
        for _ in range(2):
            with pytest.raises(SchemaError, match=r"version 9999.* up to \d+: upgrade whale-ready"):
                ContainerRuntimeEngine(database=older, runtime=MemoryRuntime())
        assert older.schema_version() == "9999"
        assert shape(older) == before


def test_what_ctfd_keeps_beside_ours_is_left_alone(any_database: Database) -> None:
    execute(
        any_database,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('5c98d9253f56')",
        "CREATE TABLE users (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(128))",
        "CREATE INDEX ix_users_name ON users (name)",
    )
    before = shape(any_database)
    any_database.ensure_schema()
    assert before.items() <= shape(any_database).items()
    with any_database.read() as connection:
        kept = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalars().all()
    assert kept == ["5c98d9253f56"]
    assert_newest(any_database)  # and no difference because of users


def test_who_waits_too_long_for_another_is_told(
    any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind(any_database) == "sqlite":
        return  # waits for the write lock like every writer
    monkeypatch.setattr(upgrading, "LOCK_SECONDS", 1)
    with (
        upgrading._alone(any_database.engine),
        next_process(any_database) as second,
        pytest.raises(SchemaError, match="another process has been changing"),
    ):
        second.ensure_schema()
    any_database.ensure_schema()


def test_an_engine_on_an_up_to_date_database_looks_once_and_changes_nothing(
    database: Database,
) -> None:
    ContainerRuntimeEngine(database=database, runtime=MemoryRuntime()).close()
    asked: list[str] = []
    with next_process(database) as later:
        sa.event.listen(later.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
        ContainerRuntimeEngine(database=later, runtime=MemoryRuntime()).close()
    assert sum(f"FROM {schema.VERSION_TABLE}" in each for each in asked) == 1
    assert sum('table_xinfo("cre_instances")' in each for each in asked) <= 4, asked
    assert [each for each in asked if re.match("CREATE|ALTER|DROP|INSERT|UPDATE", each)] == []


# State that is not what its version says (CTFd/CTFd#861, #2421, #636: export and import).


def remade(database: Database, name: str, change: Callable[[sa.Table], None]) -> None:
    """One of the tables made anew, empty and otherwise than it must be."""
    tables = sa.MetaData()
    for each in all_tables().sorted_tables:
        each.to_metadata(tables)
    table = tables.tables[name]
    with database.write() as connection:
        table.drop(connection)
        change(table)
        table.create(connection)


def without_keys(table: sa.Table) -> None:
    table.constraints = {
        constraint
        for constraint in table.constraints
        if not isinstance(constraint, sa.UniqueConstraint)
    }


def without_indexes(table: sa.Table) -> None:
    table.indexes.clear()


def with_times_as_text(table: sa.Table) -> None:
    table.c.expires_at.type = sa.Text()
    table.indexes.clear()


def with_short_accounts(table: sa.Table) -> None:
    table.c.account.type = sa.String(8)


def with_empty_flags(table: sa.Table) -> None:
    table.c.flag.nullable = True


DAMAGES = {
    "has no unique key, and that is the lock": without_keys,
    "has no index": without_indexes,
    "has times as text": with_times_as_text,
    "has shorter texts": with_short_accounts,
    "lets a value be empty": with_empty_flags,
}


def test_the_tables_that_are_compared_are_all_there_are(any_database: Database) -> None:
    any_database.ensure_schema()
    assert set(reflected(any_database).tables) == {*all_tables().tables, schema.VERSION_TABLE}


def test_what_an_import_leaves_is_made_right_with_its_rows(any_database: Database) -> None:
    any_database.ensure_schema()
    rows = fill(any_database)
    export_and_import(any_database)
    assert any_database.schema_version() == schema.HEAD, "a number that says nothing"
    assert any_database.schema_faults() != []
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)
        assert_kept(later, rows)


def test_tables_without_rows_are_made_again_after_an_import(any_database: Database) -> None:
    any_database.ensure_schema()
    export_and_import(any_database)
    assert set(reflected(any_database).tables) == {schema.VERSION_TABLE}
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)


@pytest.mark.parametrize("version", ["0001", "0004"])
def test_an_export_of_an_older_version_is_made_right_too(
    any_database: Database, version: str
) -> None:
    schema.upgrade(any_database.engine, to=version)
    rows = fill(any_database)
    export_and_import(any_database)
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)
        assert_kept(later, rows)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_made_right_with_its_rows(any_database: Database, damage: str) -> None:
    any_database.ensure_schema()
    remade(any_database, "cre_instances", DAMAGES[damage])
    table = reflected(any_database).tables["cre_instances"]
    values = {column.name: VALUES[column.type.python_type] for column in table.columns}
    if isinstance(table.c.expires_at.type, sa.Text):
        values["expires_at"] = str(MOMENT)
    with any_database.write() as connection:
        connection.execute(table.insert().values(**values))
    assert any_database.schema_faults() != []
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)
        assert_kept(later, {"cre_instances": values | {"expires_at": MOMENT}})


@pytest.mark.parametrize("table", ["cre_instances", "instance_gates", "worker_leases"])
def test_a_table_dropped_by_hand_is_made_again(database: Database, table: str) -> None:
    database.ensure_schema()
    execute(database, f"DROP TABLE {table}")
    assert database.schema_faults() == [f"{table} is missing"]
    with next_process(database) as later:
        later.ensure_schema()
        assert_newest(later)


def test_of_rows_that_a_lost_key_let_in_twice_the_youngest_is_kept(any_database: Database) -> None:
    any_database.ensure_schema()
    remade(any_database, "cre_instances", without_keys)
    table = reflected(any_database).tables["cre_instances"]
    values = {column.name: VALUES[column.type.python_type] for column in table.columns}
    with any_database.write() as connection:
        connection.execute(table.insert(), [values | {"id": number} for number in (3, 4, 5)])
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_kept(later, {"cre_instances": values | {"id": 5}})


def test_a_row_that_cannot_be_read_does_not_keep_the_others(any_database: Database) -> None:
    any_database.ensure_schema()
    fill(any_database)
    export_and_import(any_database)
    execute(
        any_database,
        "INSERT INTO cre_instances (id, account, expires_at) VALUES (99, 'user:2', 'soon')",
    )
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)
        with later.read() as connection:
            assert connection.exec_driver_sql("SELECT id FROM cre_instances").scalars().all() == [7]


def test_an_id_is_never_given_again_after_an_import(any_database: Database) -> None:
    """A container carries the id of its row, and the larger one is the younger."""
    any_database.ensure_schema()
    fill(any_database)
    execute(any_database, "UPDATE cre_instances SET id = 5000")
    export_and_import(any_database)
    execute(any_database, "DELETE FROM cre_instances")
    with next_process(any_database) as later:
        later.ensure_schema()
        table = reflected(later).tables["cre_instances"]
        values = {column.name: VALUES[column.type.python_type] for column in table.columns}
        del values["id"]
        with later.write() as connection:
            key = connection.execute(table.insert().values(**values)).inserted_primary_key
        assert key is not None
        assert key[0] > 5000
        # The next import makes the id an INT, and CTFd's whole import breaks off at a larger one.
        export_and_import(later)
    with next_process(any_database) as last:
        last.ensure_schema()
        assert_kept(last, {"cre_instances": {"id": key[0]}})


@pytest.mark.parametrize("number", ["gone", "empty"])
def test_tables_whose_version_was_lost_keep_their_rows(any_database: Database, number: str) -> None:
    any_database.ensure_schema()
    rows = fill(any_database)
    lose = "DROP TABLE" if number == "gone" else "DELETE FROM"
    execute(any_database, f"{lose} {schema.VERSION_TABLE}")
    with next_process(any_database) as later:
        later.ensure_schema()
        assert_newest(later)
        assert_kept(later, rows)


def test_a_crash_in_a_repair_loses_no_row_on_mariadb(mariadb: MariaDB) -> None:
    """Every change of a table is for good at once there."""
    number, crashed = 0, True
    while crashed:
        number += 1
        database = Database(mariadb.create())
        database.ensure_schema()
        rows = {"cre_instances": fill(database)["cre_instances"]}
        execute(database, "ALTER TABLE cre_instances DROP INDEX uq_cre_instances_account_challenge")
        with next_process(database) as dying, crash_before_change(number, dying):
            try:
                dying.ensure_schema()
                crashed = False
            except Crash:
                pass
        with next_process(database) as later:
            later.ensure_schema()
            assert_newest(later)
            assert_kept(later, rows)
        database.close()
    assert number > 4


def test_what_others_added_is_left_alone(any_database: Database) -> None:
    any_database.ensure_schema()
    rows = fill(any_database)
    execute(
        any_database,
        "CREATE INDEX somebodys ON cre_instances (user_id)",
        "ALTER TABLE cre_instances ADD COLUMN note VARCHAR(20)",
    )
    before = shape(any_database)
    with next_process(any_database) as later:
        later.ensure_schema()
        assert shape(later) == before
        assert_kept(later, rows)
