"""An import into CTFd, seen from beside it: our tables are put right before anybody needs them.

CTFd's import drops the whole database and makes it anew from the export, our tables by guessing.
The export may be this site's or another's; the containers that run here are this site's either way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from engines.cre.foreign_rows import settle_rows
from engines.cre.owner import identity
from engines.cre.tables import cre_instances
from engines.errors import EngineError
from engines.reasons import reason
from engines.state import schema
from engines.state.audit_log import AuditLog
from engines.state.database import Database
from engines.state.instance_store import InstanceStore

log = logging.getLogger(__name__)

DONE = "the import is over, and the containers' tables are right"
BROKE_OFF = "the import broke off, and the containers' tables are right; CTFd says why it did"


@contextmanager
def around_import(url: str) -> Iterator[None]:
    """CTFd's import, at work on the database at ``url``, whether it ends well or breaks off."""
    # What is noted with stays open: CTFd ends every connection that sleeps, and an import breaks
    # off where one that it has just listed hangs up by itself.
    database = Database(url)
    try:
        before = _identity(database)
        try:
            yield
        except BaseException:  # raised again
            _after_import(url, before, BROKE_OFF)
            raise
        _after_import(url, before, DONE)
    finally:
        database.close()


def _identity(database: Database) -> dict[str, str] | None:
    """How the database knows its containers; None where it cannot be asked."""
    try:
        return identity(database)
    except (EngineError, SQLAlchemyError) as error:
        log.warning("before the import nothing could be noted: %s", reason(error))
        return None


def _after_import(url: str, before: dict[str, str] | None, said: str) -> None:
    """Put right what an import left; what fails is logged, and the next start tries again.

    Rows of this site's own export are kept, and with them what runs; see
    :mod:`engines.cre.foreign_rows` for another's.
    """
    database = Database(url)
    try:
        database.ensure_schema()
        schema.count_on(database.engine)
        if before is not None:
            store = InstanceStore(database, AuditLog(database), cre_instances)
            settle_rows(database, store, database.clock, before)
        log.warning("%s", said)  # CTFd shows no less
    except (EngineError, SQLAlchemyError) as error:
        log.error("the tables are not right after the import: %s", reason(error))
    finally:
        database.close()
