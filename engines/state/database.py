"""The one way into the database, for every table of ``engines``.

Runs on SQLAlchemy 1.4.54 (what CTFd 3.8 pins) and 2.x alike: Core tables and 2.0-style calls only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Connection, Engine, make_url

from engines.clock import Clock, SystemClock
from engines.errors import SettingsError
from engines.private_files import make_private_file, make_private_folder, open_to_others
from engines.state import schema

log = logging.getLogger(__name__)

metadata = sa.MetaData()

_T = TypeVar("_T")

_READ = "whale_ready_read"
DEADLOCK_TRIES = 5
SQLITE_BUSY_SECONDS = 30
"""How long a writer waits for another process's transaction on SQLite."""


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes with microseconds on every database; naive ones are refused."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime: every stored time is aware and in UTC")
        return value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: Any, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=timezone.utc)


_DEADLOCKS = frozenset({1213, "40001", "40P01"})
"""What MariaDB and PostgreSQL call a transaction that was given up for another's sake."""


def deadlocked(error: sa.exc.DBAPIError) -> bool:
    """Whether the transaction was rolled back in favour of another one, and may be tried again."""
    original: Any = error.orig
    codes = (getattr(original, "pgcode", None), *getattr(original, "args", ())[:1])
    return any(code in _DEADLOCKS for code in codes if isinstance(code, (int, str)))


BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A 64-bit id; SQLite counts up by itself only in a column called INTEGER, which holds 64 bits."""


_DRIVERS = {
    "mariadb": ("pymysql", "mysql"),
    "mysql": ("pymysql", "mysql"),
    "postgresql": ("psycopg2", "postgresql"),
}
"""The driver that is tested, and the extra that brings it, by the kind of database."""


VARIABLE = "CONTAINER_DATABASE_URL"
_NO_URL = f"{VARIABLE}: write an SQLAlchemy URL such as postgresql+psycopg2://USER@HOST/NAME"


def parsed_url(text: str) -> URL:
    """A database's URL in parts.

    Raises:
        SettingsError: it is none, or of no kind that is known; the message has none of it.
    """
    try:
        url = make_url(text)
        url.get_dialect()
    except (sa.exc.ArgumentError, ValueError):  # whose message repeats the URL, password and all
        raise SettingsError(_NO_URL) from None
    return url


_FULL = frozenset({1040, 1053, 1203, 1226})
"""MySQL's numbers of a server that refuses for now: full, or shutting down."""
_FOR_NOW = ("starting up", "shutting down", "in recovery", "too many", "connection slots")
"""The same in PostgreSQL's words; such an error has no code."""


def may_come(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether a server was not there, or not ready, rather than refusing who asks or what for."""
    if not isinstance(error, (sa.exc.OperationalError, sa.exc.InterfaceError)):
        return False
    code, text = next(iter(getattr(error.orig, "args", ())), None), str(error.orig)
    if isinstance(code, int):
        return code >= 2000 or code in _FULL  # below 2000 are the server's own
    if type(error.orig).__module__.startswith("sqlite3"):
        return False
    return "FATAL" not in text or any(words in text for words in _FOR_NOW)


CONNECT_SECONDS = 10
"""How long a server may take to be connected with, unless its URL says ``?connect_timeout=``."""
_BOUNDED = ("pymysql", "mysqldb", "psycopg2", "psycopg")
"""Drivers that take it; not all of them have a bound of their own."""


def connectable(url: str | URL, **options: Any) -> Engine:
    """SQLAlchemy's engine for a URL; a server that does not answer is given up in time.

    Raises:
        SettingsError: its driver is not installed; says which extra brings one.
        sqlalchemy.exc.ArgumentError: it is no URL of a database.
    """
    parsed = make_url(url)
    bounded = parsed.get_driver_name() in _BOUNDED and "connect_timeout" not in parsed.query
    if bounded:
        options.setdefault("connect_args", {})["connect_timeout"] = CONNECT_SECONDS
    try:
        return sa.create_engine(parsed, future=True, **options)
    except ImportError as error:
        raise SettingsError(_without_driver(parsed, error.name)) from None


def _without_driver(url: URL, missing: str | None) -> str:
    kind = url.get_backend_name()
    said = f"the driver {missing} of {url.drivername}:// is not installed"
    if kind not in _DRIVERS:
        return f"{said}: pip install {missing}"
    driver, extra = _DRIVERS[kind]
    spelt = "" if url.get_driver_name() == driver else f", and write {kind}+{driver}://"
    return f"{said}: pip install 'whale-ready[{extra}]'{spelt}"


_NOW = {
    "mysql": sa.text("SELECT UTC_TIMESTAMP(6)"),
    "mariadb": sa.text("SELECT UTC_TIMESTAMP(6)"),
    "postgresql": sa.text("SELECT clock_timestamp() AT TIME ZONE 'UTC'"),
}
"""What time a server has. All processes that share an SQLite file share the machine's clock."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
CLOCK_SECONDS = 30.0
"""How long a look at the server's clock holds; between two, this machine's monotonic one counts."""


def database_time(connection: Connection) -> datetime:
    """The time by the database's clock."""
    asked = _NOW.get(connection.dialect.name)
    if asked is None:
        return datetime.now(timezone.utc)
    found: datetime = connection.execute(asked).scalar_one()
    return found.replace(tzinfo=timezone.utc)


class DatabaseClock:
    """The database's clock: the one by which all machines on a database judge leases and expiries.

    It costs no call a query: a transaction that is made anyway looks at the server's clock when the
    last look is old, and this machine's own clock may say and do what it likes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asks = database.engine.dialect.name in _NOW
        self._ahead: float | None = None
        """By how many seconds the server's clock is ahead of our monotonic one."""
        self._looked = 0.0

    def now(self) -> datetime:
        """The time.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: it was never asked for and cannot be now.
        """
        if not self._asks:
            return datetime.now(timezone.utc)
        if self._ahead is None:
            with self._database.read():
                pass  # which looks
        return _EPOCH + timedelta(seconds=time.monotonic() + (self._ahead or 0.0))

    def look(self, connection: Connection) -> None:
        """Look at the server's clock, where the last look is old."""
        before = time.monotonic()
        if not self._asks or (self._ahead is not None and before - self._looked < CLOCK_SECONDS):
            return
        found = (database_time(connection) - _EPOCH).total_seconds()
        after = time.monotonic()
        # The server looked in between; what is known already is only moved as far as it must be.
        guess = found - (before + after) / 2 if self._ahead is None else self._ahead
        self._ahead = min(max(guess, found - after), found - before)
        self._looked = after


class Database:
    """Transactions on one database.

    Args:
        url: an SQLAlchemy URL. A SQLite file and its folder are made for their owner alone when
            they are missing; once in a process the log says where others may read them.

    Raises:
        SettingsError: it is no URL of a database that can be used; the message has none of it.

    On SQLite a writing transaction takes the write lock at once (``BEGIN IMMEDIATE``) and the file
    is in WAL mode, so that readers never wait and two processes never deadlock on an upgrade.
    """

    def __init__(self, url: str) -> None:
        options: dict[str, Any] = {}
        parsed = parsed_url(url)
        path = sqlite_file(parsed)
        if parsed.get_backend_name() == "sqlite":
            if parsed.database in (None, "", ":memory:"):
                raise SettingsError(
                    f"{VARIABLE}: an in-memory SQLite database is seen by one connection only; "
                    "name a file"
                )
            _make_folder(path)
            options["connect_args"] = {"timeout": SQLITE_BUSY_SECONDS}
        else:
            options["pool_pre_ping"] = True  # a server hangs up on connections that were idle
        self.engine: Engine = connectable(parsed, **options)
        self._reader: Any = self.engine.execution_options(**{_READ: True})
        self._schema_is_ours = False
        self.clock = DatabaseClock(self)
        self._faults_seen: list[str] = []
        if self.engine.dialect.name == "sqlite":
            if path is not None:
                sa.event.listen(self.engine, "do_connect", lambda *_: _keep_private(path))
            sa.event.listen(self.engine, "connect", _configure_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)

    def ensure_schema(self) -> None:
        """See that the tables are this program's, and bring them to that; once in a process.

        They are looked at themselves: an import into CTFd leaves a version that says nothing.

        Raises:
            SchemaError: they are of a version this program does not know; nothing was changed.
        """
        if self._schema_is_ours:
            return
        if self.schema_version() != schema.HEAD or self.tables_differ():
            schema.upgrade(self.engine)
        self._schema_is_ours = True

    def schema_version(self) -> str | None:
        """The version of the tables; None: they are not there, or from before versions."""
        return schema.version(self._reader)

    def schema_faults(self) -> list[str]:
        """What is wrong with tables that are said to be of this program's version."""
        return schema.faults(self._reader)

    def look_again(self) -> None:
        """Put right tables that somebody replaced while this process runs, as an import does.

        For who has met an error: what is wrong is put right once it was so at two looks, when an
        import of CTFd's, which makes one table after the other, has passed them.
        """
        if self.schema_version() != schema.HEAD:
            return
        found = self.schema_faults()
        if found and found == self._faults_seen:
            schema.upgrade(self.engine)
            found = []
        self._faults_seen = found

    def tables_differ(self) -> bool:
        """Whether the tables are not this program's now: guessed, missing, or being made.

        They are so from the first to the last moment of an import into CTFd on this database.
        """
        try:
            return bool(self.schema_faults())
        except (sa.exc.NoSuchTableError, sa.exc.DBAPIError):
            return True  # another process is at work on them: wait for it, and look again

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that changes something; committed when the block ends well."""
        with self.engine.begin() as connection:
            self.clock.look(connection)
            yield connection

    def transact(self, work: Callable[[Connection], _T]) -> _T:
        """Do ``work`` in one writing transaction, again where it was given up for another's sake.

        ``work`` begins anew then, so it changes nothing but the database.
        """
        for _ in range(DEADLOCK_TRIES - 1):
            try:
                with self.write() as connection:
                    return work(connection)
            except sa.exc.DBAPIError as error:
                if not deadlocked(error):
                    raise
        with self.write() as connection:
            return work(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads."""
        with self._reader.begin() as connection:
            self.clock.look(connection)
            yield connection

    def close(self) -> None:
        """Close pooled connections."""
        self.engine.dispose()


def one_clock(database: Database, given: Clock | None) -> Clock:
    """What all that is stored there is judged by: the database's clock, or a test's own.

    Machines' clocks differ, so none of them will do: the one that is five minutes ahead would end
    what others have just begun.
    """
    return database.clock if given is None or isinstance(given, SystemClock) else given


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None where there is none, or SQLite is to find it itself."""
    named = url.database or ""
    plain = url.get_backend_name() == "sqlite" and "uri" not in url.query
    return Path(named) if plain and named not in ("", ":memory:") else None


_looked_at: set[Path] = set()


def _make_folder(path: Path | None) -> None:
    if path is None:
        return
    try:
        make_private_folder(path.parent)
    except OSError as error:
        raise SettingsError(f"{VARIABLE}: {error.filename}: {error.strerror}") from None


def _keep_private(path: Path) -> None:
    with suppress(OSError):  # SQLite says itself that it cannot have the file
        make_private_file(path)
    if path not in _looked_at:
        _looked_at.add(path)
        for said in open_to_others(path):
            log.warning("other users of this machine may have the flags in the database: %s", said)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not by themselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(_READ)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
