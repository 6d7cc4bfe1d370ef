"""What becomes of the engine's rows when others take their place under its hands, as by an import.

Rows of this site's own export stand for its containers. Those of another site's export stand for
containers of that site: they are forgotten here, and nothing is removed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from engines.audit import Action
from engines.clock import Clock
from engines.contract import Code
from engines.cre.owner import keep_identity
from engines.cre.pool_store import pool
from engines.front import Call
from engines.state.database import Database
from engines.state.instance_store import InstanceStore

log = logging.getLogger(__name__)

BACKEND = "cre"


def settle_rows(
    database: Database, store: InstanceStore, clock: Clock, identity: Mapping[str, str]
) -> None:
    """Let the database be known as before (:func:`engines.cre.owner.identity`), whosever rows are
    in it now; forgets them, each with its event, where they are another database's."""
    if not keep_identity(database, identity):
        return
    rows = store.all()
    for row in rows:
        call = Call(BACKEND, clock, row.user_id, row.challenge_id, row.team_id)
        what = {"state": row.state.value, "reason": "imported from another site"}
        store.delete(row, call.event(Action.REPAIRED, Code.OK, **what))
    with database.write() as connection:
        connection.execute(pool.delete())
    log.warning("the rows here are another site's now: %d of its instances forgotten", len(rows))
