"""The tables of a CTFd with the plugin, as far as we read them, for tests without a CTFd."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import sqlalchemy as sa

from engines.ctfd.challenge_table import BORN, TABLE
from engines.ctfd.fields import FIELDS
from engines.state.database import Database

MADE_AT = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
site = sa.MetaData()
users = sa.Table(
    "users",
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("type", sa.String(80)),
    sa.Column("created", sa.DateTime),
)
teams = sa.Table(
    "teams",
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("created", sa.DateTime),
)
challenges = sa.Table(
    "challenges",
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(80)),
    sa.Column("type", sa.String(80)),
    sa.Column("state", sa.String(80)),
)
ours = sa.Table(
    TABLE,
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(BORN, sa.String(32)),
    *(sa.Column(field.column, sa.Text) for field in FIELDS),
)
config = sa.Table(
    "config",
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text),
    sa.Column("value", sa.Text),
)
sa.Table(
    "solves",
    site,
    sa.Column("id", sa.Integer, primary_key=True),
    *(sa.Column(name, sa.Integer) for name in ("challenge_id", "user_id", "team_id")),
)


def make_site(database: Database, *user_ids: int, image: str = "chal:1") -> None:
    """A CTFd in which users play, with these users and the challenge 1."""
    site.create_all(database.engine)
    with database.write() as connection:
        for number in user_ids:
            row = {"id": number, "type": "user", "created": MADE_AT}
            connection.execute(users.insert().values(row))
        row = {"id": 1, "name": "First", "type": "whale_ready", "state": "visible"}
        connection.execute(challenges.insert().values(row))
        born = {"id": 1, BORN: "first", "container_image": image, "container_warm": "1"}
        connection.execute(ours.insert().values(born))
        connection.execute(config.insert().values(key="user_mode", value="users"))


def another(database: Database, number: int) -> None:
    """The user is deleted, and somebody else has the number."""
    with database.write() as connection:
        connection.execute(users.delete().where(users.c.id == number))
        later = {"id": number, "type": "user", "created": MADE_AT + timedelta(days=1)}
        connection.execute(users.insert().values(later))
