"""Which backend an instance belongs to, the dial of the rollout, and who turned it.

What runs when the table of routes is made belongs to the backend that started it: its route is
written down here. An account that has instances of one challenge on both keeps the engine's.
"""

from __future__ import annotations

import itertools

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.engine import Connection

from engines.state.schema.columns import BigId, Moment, create_missing

revision = "0003"
down_revision = "0002"

tables = sa.MetaData()

_routes = sa.Table(
    "hybrid_routes",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", Moment, nullable=False),
    sa.UniqueConstraint("account", "challenge_id", name="uq_hybrid_routes_account_challenge"),
    sa.UniqueConstraint("account", "slot", name="uq_hybrid_routes_account_slot"),
    sqlite_autoincrement=True,
)

sa.Table(
    "rollout_dial",
    tables,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
)

sa.Table(
    "rollout_changes",
    tables,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)


def upgrade(op: Operations) -> None:
    connection = op.get_bind()
    create_missing(connection, tables)
    for backend in ("cre", "whale"):
        _route_what_runs(connection, backend)


def _route_what_runs(connection: Connection, backend: str) -> None:
    names = ("account", "challenge_id", "user_id", "team_id", "state", "lease_until")
    instances = sa.table(
        f"{backend}_instances",
        *(sa.column(name, _routes.c[name].type) for name in names),
    )
    for row in connection.execute(sa.select(instances)).mappings().all():
        mine = sa.select(_routes.c.challenge_id, _routes.c.slot).where(
            _routes.c.account == row["account"]
        )
        there = connection.execute(mine).all()
        if row["challenge_id"] in [challenge for challenge, _ in there]:
            continue
        taken = {slot for _, slot in there}
        slot = next(number for number in itertools.count() if number not in taken)
        values = {
            **row,
            "slot": slot,
            "backend": backend,
            "version": 1,
            "state": "held" if row["state"] == "running" else "open",
        }
        connection.execute(_routes.insert().values(**values))
