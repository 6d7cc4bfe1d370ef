"""The state database of one run, empty at the start of every scenario.

It is a temporary SQLite file, or the database that ``whale-ready check --database URL`` names. Of
that one exactly the tables that were made for the run are dropped again, and one that holds any of
them before is refused: a check empties what it works on.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import sqlalchemy as sa

import engines.cre
import engines.hybrid
import engines.whale  # noqa: F401 - they name the tables that are ours
from conformance.harness import CannotRun, Harness, Hook
from engines.errors import SettingsError
from engines.state.database import Database, metadata

ROUND_SECONDS = 0.01
"""Between two rounds of a worker that runs by itself: whether it stays stopped shows at once. All
other settings of a worker are those that users get."""
SCHEMA_TABLE = "whale_ready_schema"
"""Says which version the tables have; it goes with them and is never emptied."""


class TemporaryState:
    """A SQLite database in a temporary folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="whale-ready-"))
        self._database = Database(f"sqlite:///{self._folder / 'state.db'}")
        self._database.ensure_schema()

    def emptied(self) -> Database:
        """The database, without a row in any table.

        One database serves a whole run, because a new one for each scenario would have its tables
        made and its statements compiled each time.
        """
        return _emptied(self._database)

    def version(self) -> str:
        """Kind and version of the database."""
        return _version(self._database)

    def close(self) -> None:
        """Close the database and remove it."""
        self._database.close()
        shutil.rmtree(self._folder)


class ServerState:
    """The database at ``url``, shared by all backends of a run, which use it one after another.

    Raises:
        ValueError: it is no URL of a database.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.engine.make_url(url)
        except sa.exc.ArgumentError:  # its text quotes the URL, and that may hold a password
            raise ValueError(
                "write an SQLAlchemy URL such as mysql+pymysql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        self._url = url
        self._shown = parsed.render_as_string(hide_password=True)
        self._database: Database | None = None
        self._users = 0
        self._ours = False

    @property
    def is_sqlite(self) -> bool:
        return self._url.startswith("sqlite")

    def open(self) -> None:
        """Make the tables, for the first of several users.

        Raises:
            CannotRun: it cannot be reached, or it holds tables of ours already.
        """
        self._users += 1
        if self._database is not None:
            return
        self._database = self._connected()
        try:
            held = _ours_in(self._database)
            if held:
                raise CannotRun(
                    f"--database {self._shown} holds tables of whale-ready already "
                    f"({', '.join(sorted(held))}), and a check would empty them; name a database "
                    "without (or drop them, if a check that was killed has left them)"
                )
            self._ours = True  # before the first is made: a Ctrl-C in between drops it too
            self._database.ensure_schema()
        except sa.exc.SQLAlchemyError as error:
            raise self._unreachable(error) from None

    def emptied(self) -> Database:
        """The database, without a row in any table of ours."""
        if self._database is None:
            raise RuntimeError("open() comes before emptied()")
        return _emptied(self._database)

    def version(self) -> str:
        """Kind and version of the server."""
        return "" if self._database is None else _version(self._database)

    def close(self) -> None:
        """Drop what :meth:`open` made, when the last user is done."""
        self._users = max(0, self._users - 1)
        if self._users or self._database is None:
            return
        database, self._database = self._database, None
        try:
            if self._ours:
                _drop_tables(database)
                self._ours = False
        finally:
            database.close()

    def _connected(self) -> Database:
        try:
            return Database(self._url)
        except (SettingsError, sa.exc.NoSuchModuleError) as error:
            raise CannotRun(f"--database {self._shown}: {error}") from None

    def _unreachable(self, error: sa.exc.SQLAlchemyError) -> CannotRun:
        # The error's own text may quote what was sent; its type says enough.
        return CannotRun(
            f"--database {self._shown} cannot be used ({type(error).__name__}); it must exist, and "
            "its user must be allowed to make and drop tables"
        )


class StatefulHarness(Harness):
    """A harness whose worlds keep their state in :meth:`database`."""

    _state: TemporaryState | ServerState | None = None
    _server: ServerState | None = None

    def keep_state_in(self, server: ServerState) -> None:
        """Use this database instead of a temporary one; comes before :meth:`open`."""
        self._server = server
        self.parallel = False  # each world empties the one database
        if not server.is_sqlite:
            self.hooks = self.hooks - {Hook.STATE_FULL}  # servers are not made to run full

    def open(self) -> None:
        self._state = self._server or TemporaryState()
        if self._server is not None:
            self._server.open()

    def versions(self) -> dict[str, str]:
        return {} if self._state is None else {"database": self._state.version()}

    def database(self) -> Database:
        """An empty database for the next world."""
        if self._state is None:
            raise RuntimeError("open() comes before world()")
        return self._state.emptied()

    def close(self) -> None:
        if self._state is not None:
            state, self._state = self._state, None
            state.close()


def as_another_process(database: Database) -> Database:
    """The same database as a process has it that starts now."""
    return Database(database.engine.url.render_as_string(hide_password=False))


def _emptied(database: Database) -> Database:
    with database.write() as connection:
        for table in metadata.sorted_tables:
            if table.name != SCHEMA_TABLE:
                connection.execute(table.delete())
    return database


def _drop_tables(database: Database) -> None:
    held = _ours_in(database)
    schema = sa.Table(SCHEMA_TABLE, sa.MetaData())
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name in held:
                table.drop(connection)
        if SCHEMA_TABLE in held and SCHEMA_TABLE not in metadata.tables:
            schema.drop(connection)


def _ours_in(database: Database) -> set[str]:
    """Names of the tables that are there and are ours."""
    there = set(sa.inspect(database.engine).get_table_names())
    return there & {*metadata.tables, SCHEMA_TABLE}


def _version(database: Database) -> str:
    kind = database.engine.dialect.name
    asked = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}
    with database.read() as connection:
        text = str(connection.exec_driver_sql(asked.get(kind, "SELECT VERSION()")).scalar_one())
    if kind == "sqlite":
        return f"SQLite {text}"
    if kind == "postgresql":
        return f"PostgreSQL {text.split()[0]}"
    return f"{'MariaDB' if 'mariadb' in text.lower() else kind} {text.split('-')[0]}"
