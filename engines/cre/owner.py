"""Which database made a container: each has an id of its own, and all it makes carries that.

A label says which deployment something belongs to, and two sites may bear one name: a rehearsal
beside the contest, its ``.env`` copied. Their databases are two, and none removes what the other
has made. What carries no id was made before there were any.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from engines.cre.deployment import DEPLOYMENT_KEY, meta
from engines.state.database import Database

SHARED_LABEL = (
    "CRE_DEPLOYMENT={} is another site's too: of what carries it on this Docker, a part was made "
    "for another database ({}) and is left alone"
)
SHARED_FIX = (
    "give each site a CRE_DEPLOYMENT of its own; if that database is gone for good, `whale-ready "
    "database take-over ID` lets this one remove what it left"
)

_KEY = "database"
_ALSO = "also "


def database_id(database: Database) -> str:
    """The random id of this database, made on first use by whichever process is first."""
    database.ensure_schema()
    found = known_id(database)
    if found is None:
        _add(database, _KEY, secrets.token_hex(6))
        found = known_id(database)
    return str(found)


def known_id(database: Database) -> str | None:
    """The id, where the database has one."""
    return _read(database).get(_KEY)


def ids_of(database: Database) -> frozenset[str]:
    """The database's own id, and those of databases whose place it has taken."""
    found = _read(database)
    return frozenset(value for key, value in found.items() if key == _KEY or key.startswith(_ALSO))


def ids_at(url: str) -> frozenset[str]:
    """Those of the database at an address, which is not changed; none where there are no tables.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: it cannot be asked.
    """
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return frozenset()
    database = Database(url)
    try:
        return ids_of(database) if database.schema_version() else frozenset()
    finally:
        database.close()


def take_over(database: Database, other: str) -> None:
    """Count what the database of this id made as this one's: that one is gone."""
    _add(database, f"{_ALSO}{other}", other)


def identity_of(owner: str, deployment: str | None) -> dict[str, str]:
    """That of a database with this id, which keeps the deployment's name too unless it is None."""
    return {_KEY: owner, **({} if deployment is None else {DEPLOYMENT_KEY: deployment})}


def identity(database: Database) -> dict[str, str]:
    """All by which containers are known as this database's, for :func:`keep_identity`."""
    database_id(database)
    return _read(database)


def keep_identity(database: Database, before: Mapping[str, str]) -> bool:
    """Let the database be known as before its rows were replaced, as by an import.

    Returns whether the rows that are there now are another database's.
    """
    now = _read(database)
    with database.write() as connection:
        connection.execute(meta.delete())
        rows = [{"key": key, "value": value} for key, value in before.items()]
        connection.execute(meta.insert(), rows)
    return now.get(_KEY, before[_KEY]) != before[_KEY]


def _read(database: Database) -> dict[str, str]:
    with database.read() as connection:
        rows = connection.execute(sa.select(meta.c.key, meta.c.value)).all()
    return {str(key): str(value) for key, value in rows}


def _add(database: Database, key: str, value: str) -> None:
    try:
        with database.write() as connection:
            connection.execute(meta.insert().values(key=key, value=value))
    except sa.exc.IntegrityError:
        pass  # it is there: another process was first
