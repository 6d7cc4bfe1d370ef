"""A CTFd seen from beside it, by a process that has nothing of it but the database.

``whale-ready worker`` is such a process. Where its database is that of a CTFd with the plugin, it
goes by the same accounts, challenges and solves as the plugin; only reading.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from engines.catalog import Catalog, ChallengeSpec, not_on_whale
from engines.ctfd.catalog import SiteCatalog
from engines.ctfd.challenge_table import BORN, TABLE
from engines.ctfd.fields import FIELDS
from engines.ctfd.owners import SiteOwners
from engines.ctfd.solves import SiteSolves
from engines.ctfd.whale_flags import WhaleFlags, note, readable
from engines.factory import NEW
from engines.hybrid import HybridBackend
from engines.owners import Key, Mark
from engines.settings import Settings
from engines.state.database import Database
from engines.state.given_flags import GivenFlags
from engines.state.instances import Instance

log = logging.getLogger(__name__)

SERVES_WHALES = "WHALE_READY_SERVES_WHALE"
"""``true``: challenges of ctfd-whale's own type, in this CTFd, are started through us too."""
_NEEDED: Mapping[str, frozenset[str]] = {
    "users": frozenset({"id", "type", "created"}),
    "teams": frozenset({"id", "created"}),
    "challenges": frozenset({"id", "name", "type", "state"}),
    "config": frozenset({"key", "value"}),
    "solves": frozenset({"challenge_id", "user_id", "team_id"}),
    TABLE: frozenset({"id", BORN, *(field.column for field in FIELDS)}),
}
"""What is read, by table; the last is the plugin's."""


def missing(database: Database) -> str:
    """What a database lacks for one of a CTFd with the plugin, in words; empty: it is one.

    Raises:
        SQLAlchemyError: it cannot be asked.
    """
    with database.read() as connection:
        inspector = sa.inspect(connection)
        there = set(inspector.get_table_names())
        for table, columns in _NEEDED.items():
            if table not in there:
                return f"the table {table}"
            lacking = columns - {column["name"] for column in inspector.get_columns(table)}
            if lacking:
                return f"the column {min(lacking)} of {table}"
    return ""


def asked_to_serve_whales(text: str) -> bool:
    """Whether that is what an organiser wrote into :data:`SERVES_WHALES`."""
    return text.strip().lower() in ("true", "1", "yes")


class SiteBeside:
    """The accounts, challenges and solves of the CTFd whose database this is.

    As long as it is none, accounts and challenges are not told from others with their numbers, and
    challenges are those of ``otherwise``. A CTFd may make its tables after we came up, so it is
    looked at again in each round until it is one.

    Args:
        settings: say whether there is a Whale.
        database: the engine's own.
        otherwise: the catalogue where the database is no CTFd's.
    """

    def __init__(self, settings: Settings, database: Database, otherwise: Catalog) -> None:
        self._settings = settings
        self._database = database
        self._otherwise = otherwise
        self._owners = SiteOwners(database, database.tables_differ)
        self._solves = SiteSolves(database)
        self._site: Catalog | None = None
        self._said = False
        theirs = settings.whale_ctfd_database_url
        self._theirs = None if theirs is None else Database(theirs)

    def marks(self, keys: Collection[Key]) -> Mapping[Key, Mark] | None:
        return None if self._look() is None else self._owners.marks(keys)

    def __call__(self, rows: Sequence[Instance]) -> frozenset[int]:
        """See :class:`engines.ctfd.solves.SiteSolves`."""
        return frozenset() if self._look() is None else self._solves(rows)

    def get(self, challenge_id: int) -> ChallengeSpec | None:
        return self._catalog().get(challenge_id)

    def all(self) -> Iterable[ChallengeSpec]:
        return self._catalog().all()

    def not_on_whale(self) -> frozenset[int]:
        return not_on_whale(self._catalog())

    def notice(self, backend: HybridBackend) -> None:
        """Have the backend's rounds note flags on Whale, where they can be read."""
        whale = self._database if self._theirs is None else self._theirs
        flags = readable(self._settings, WhaleFlags(self._database, whale.engine))
        if flags is not None:
            grace = timedelta(seconds=self._settings.flag_grace_seconds)
            given = GivenFlags(self._database, NEW, grace)
            backend.notice = partial(note, flags, given, self._database.clock)

    def close(self) -> None:
        """Close connections to Whale's database; the other one is its maker's."""
        if self._theirs is not None:
            self._theirs.close()

    def _catalog(self) -> Catalog:
        return self._look() or self._otherwise

    def _look(self) -> Catalog | None:
        if self._site is not None:
            return self._site
        lacking = missing(self._database)
        if not lacking:
            self._site = self._made()
        elif not self._said:
            self._said = True
            log.warning(
                "the database is not that of a CTFd with the plugin (%s is missing): what belongs "
                "to deleted users, teams and challenges is not ended by this worker",
                lacking,
            )
        return self._site

    def _made(self) -> Catalog:
        here: Any = sa.inspect(self._database.engine)
        whale: sa.engine.Engine | None = None
        if self._settings.whale_api_url is not None:
            if self._theirs is not None:
                whale = self._theirs.engine
            elif here.has_table("whale_container"):
                whale = self._database.engine
        serves = asked_to_serve_whales(os.environ.get(SERVES_WHALES, ""))
        whales_too = serves and here.has_table("dynamic_docker_challenge")
        return SiteCatalog(self._database, whales_too=whales_too, whale=whale)
