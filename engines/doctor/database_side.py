"""The database of the state, and whether a cleanup worker was heard of in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from engines.doctor.findings import DoctorFinding, not_ok, ok, unknown
from engines.errors import SchemaError, SettingsError
from engines.private_files import open_to_others
from engines.settings import Settings
from engines.state import schema
from engines.state.database import VARIABLE, connectable, database_time, sqlite_file
from engines.state.lease import leases


class _Cannot(Exception):
    """The database cannot be asked: what was seen and the fix."""

    def __init__(self, seen: str, fix: str) -> None:
        super().__init__(seen)
        self.finding = not_ok("database", seen, fix)


def database_findings(settings: Settings) -> list[DoctorFinding]:
    """Reachable, with which driver and version, its tables, and the worker. Changes nothing."""
    later = unknown("worker", "the database must be there first")
    try:
        url = _parsed(settings.state_url)
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
            return [ok("database", f"SQLite: {url.database} is made by the first start"), later]
        with _looking(url) as connection:
            found = schema.version(connection.engine)
            database = _database(connection, found)
            return [database, _worker(connection) if found else later]
    except _Cannot as error:
        return [error.finding, later]


def state_file_finding(settings: Settings) -> DoctorFinding:
    """Whether an SQLite database is its owner's alone.

    To be asked before the database: the last to leave it removes what SQLite keeps beside it.
    """
    try:
        path = sqlite_file(make_url(settings.state_url))
    except (ArgumentError, ValueError):
        path = None
    if path is None:
        return ok("state-file", "none: the database is a server's")
    found = open_to_others(path)
    if not found:
        return ok("state-file", f"{path} {'is' if path.exists() else 'will be'} its owner's alone")
    seen, fixes = zip(*(each.split(": ", 1) for each in found), strict=True)
    said = f"other users of this machine may have the flags in it: {'; '.join(seen)}"
    return not_ok("state-file", said, "; ".join(fixes))


def reason(error: SQLAlchemyError, url: URL) -> str:
    """What the driver says, without a password."""
    text = str(error.orig if isinstance(error, DBAPIError) else type(error).__name__).strip()
    if url.password:
        password = str(url.password)
        for form in (password, quote_plus(password), quote(password)):
            text = text.replace(form, "***")
    return text


def _parsed(text: str) -> URL:
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # whose message repeats the URL, password and all
        raise _Cannot(
            f"{VARIABLE} is no SQLAlchemy URL", "write one such as mysql+pymysql://USER@HOST/NAME"
        ) from None


@contextmanager
def _looking(url: URL) -> Iterator[Connection]:
    try:
        engine = connectable(url)
    except SettingsError as error:
        seen, fix = str(error).split(": ", 1)
        raise _Cannot(f"{VARIABLE}: {seen}", fix) from None
    except (ArgumentError, ValueError):
        raise _Cannot(
            f"{VARIABLE}: there is no such kind of database", f"correct {VARIABLE}"
        ) from None
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _Cannot(
            f"the database cannot be asked: {reason(error, url)}",
            f"see whether it runs and {VARIABLE} is right",
        ) from None
    finally:
        engine.dispose()


def _database(connection: Connection, found: str | None) -> DoctorFinding:
    dialect = connection.dialect
    number = ".".join(map(str, getattr(dialect, "server_version_info", None) or ()))
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    seen = f"{name} {number} through {dialect.driver}, tables of version {found or 'none'}"
    try:
        pending = schema.pending(found)
    except SchemaError:
        return not_ok(
            "database", f"{seen}, which this whale-ready does not know", "upgrade whale-ready"
        )
    if pending:
        return ok("database", f"{seen}; the next start makes {schema.HEAD} of it")
    wrong = schema.faults(connection.engine)
    if wrong:
        said = f"{seen}, which are damaged: {'; '.join(wrong)}"
        return not_ok("database", said, "run `whale-ready database upgrade`, or start CTFd again")
    return ok("database", seen)


def _worker(connection: Connection) -> DoctorFinding:
    # Another table's version would be another program's business: this one has stood since 0001.
    query = sa.select(leases.c.name).where(
        leases.c.name.like("cleanup %"), leases.c.until > database_time(connection)
    )
    names = sorted(str(name) for name in connection.execute(query).scalars())
    if names:
        return ok("worker", f"at work: {', '.join(names)}")
    return not_ok(
        "worker",
        "no cleanup worker was heard of lately: nothing that expires is removed",
        "start CTFd with the plugin, or run `whale-ready worker` as a service",
    )
