"""An import into CTFd, seen from beside it: our tables are put right before anybody needs them.

CTFd's import drops the whole database and makes it anew from the export, our tables by guessing.
The export may be this site's or another's; the containers that run here are this site's either way.
"""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from engines import schema
from engines.audit import AuditLog
from engines.cre.foreign_rows import settle_rows
from engines.cre.owner import identity
from engines.cre.tables import cre_instances
from engines.database import Database
from engines.errors import EngineError
from engines.instance_store import InstanceStore
from engines.reasons import reason

log = logging.getLogger(__name__)

DONE = "the import is over, and the containers' tables are right"


def before_import(url: str) -> dict[str, str] | None:
    """How the database at ``url`` knows its containers; None where it cannot be asked."""
    database = Database(url)
    try:
        return identity(database)
    except (EngineError, SQLAlchemyError) as error:
        log.warning("before the import nothing could be noted: %s", reason(error))
        return None
    finally:
        database.close()


def after_import(url: str, before: dict[str, str] | None) -> None:
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
        log.warning("%s", DONE)  # CTFd shows no less
    except (EngineError, SQLAlchemyError) as error:
        log.error("the tables are not right after the import: %s", reason(error))
    finally:
        database.close()
