"""Which instances' challenges their accounts have solved, as CTFd's own table says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from engines.state.database import Database
from engines.state.instances import Instance

_solves: Any = sa.table(
    "solves",
    sa.column("challenge_id", sa.Integer),
    sa.column("user_id", sa.Integer),
    sa.column("team_id", sa.Integer),
)


class SiteSolves:
    """Asks the database of a CTFd."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, rows: Sequence[Instance]) -> frozenset[int]:
        """Ids of those rows whose account has solved the challenge.

        Raises:
            SQLAlchemyError: the database cannot be asked.
        """
        challenges = {row.challenge_id for row in rows}
        found = sa.select(_solves).where(_solves.c.challenge_id.in_(challenges))
        with self._database.read() as connection:
            solved = connection.execute(found).all()
        users = {(each.challenge_id, each.user_id) for each in solved}
        teams = {(each.challenge_id, each.team_id) for each in solved}
        return frozenset(
            row.id
            for row in rows
            if (
                (row.challenge_id, row.user_id) in users
                if row.team_id is None
                else (row.challenge_id, row.team_id) in teams
            )
        )
