"""CTFd's accounts and challenges, told apart from those that had their numbers before.

An account is told by the moment it was made, which CTFd never changes; a challenge of our type by a
random word in our table, which its deletion takes along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.ctfd.catalog import TYPE
from engines.ctfd.challenge_table import BORN, TABLE
from engines.errors import BackendUnavailable
from engines.owners import Key, Mark
from engines.state.database import Database

AT_A_TIME = 500
"""Numbers in one query: SQLite takes some thousands."""

_users: Any = sa.table(
    "users", sa.column("id"), sa.column("type"), sa.column("created", sa.DateTime)
)
_teams: Any = sa.table("teams", sa.column("id"), sa.column("created", sa.DateTime))
_challenges: Any = sa.table("challenges", sa.column("id"), sa.column("type"))
_ours: Any = sa.table(TABLE, sa.column("id"), sa.column(BORN))
_config: Any = sa.table("config", sa.column("key"), sa.column("value", sa.Text))


class SiteOwners:
    """Reads CTFd's own tables.

    Args:
        importing: whether an import is at work, so that accounts and challenges come and go.
    """

    def __init__(self, database: Database, importing: Callable[[], bool] = lambda: False) -> None:
        self._database = database
        self._importing = importing

    def marks(self, keys: Collection[Key]) -> Mapping[Key, Mark]:
        self._refuse_during_import()
        with self._database.read() as connection:
            mode = sa.select(_config.c.value).where(_config.c.key == "user_mode")
            teams_play = connection.execute(mode).scalar() == "teams"
            users = _accounts(connection, _users, {key[0] for key in keys if key[1] is None})
            teams = _accounts(connection, _teams, {key[1] for key in keys if key[1] is not None})
            challenges = _of_challenges(connection, {key[2] for key in keys})
        self._refuse_during_import()  # it may have begun in between
        if teams_play:  # an admin without a team may try a challenge
            users = {number: row for number, row in users.items() if row["type"] == "admin"}
        else:
            teams = {}
        return {
            key: Mark(
                _account(users.get(key[0]) if key[1] is None else teams.get(key[1])),
                challenges.get(key[2], ""),
            )
            for key in keys
        }

    def _refuse_during_import(self) -> None:
        if self._importing():
            raise BackendUnavailable("an import into CTFd is at work")


def _accounts(connection: Connection, table: Any, numbers: Iterable[int]) -> dict[int, Any]:
    return {
        row["id"]: row
        for some in _batches(numbers)
        for row in connection.execute(sa.select(table).where(table.c.id.in_(some))).mappings()
    }


def _of_challenges(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    of_all = sa.select(_challenges.c.id, _challenges.c.type, _ours.c[BORN]).select_from(
        _challenges.outerjoin(_ours, _ours.c.id == _challenges.c.id)
    )
    found = {}
    for some in _batches(numbers):
        for row in connection.execute(of_all.where(_challenges.c.id.in_(some))).mappings():
            # A row of ours that a deletion past CTFd has left says nothing of another type's.
            born = row[BORN] if row["type"] == TYPE else None
            found[row["id"]] = _short(f"{row['type']} {born}")
    return found


def _account(row: Any) -> str:
    return "" if row is None else _short(str(row["created"]))


def _short(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _batches(numbers: Iterable[int]) -> list[list[int]]:
    listed = sorted(numbers)
    return [listed[at : at + AT_A_TIME] for at in range(0, len(listed), AT_A_TIME)]
