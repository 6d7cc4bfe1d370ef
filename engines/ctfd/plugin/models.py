"""Our table beside CTFd's ``challenges``: one column per field of the form, as it was typed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from engines.ctfd.catalog import TYPE
from engines.ctfd.challenge_table import BORN_LENGTH, TABLE, new_born
from engines.ctfd.fields import FIELDS

from .platform import Challenges, db


class WhaleReadyChallenge(Challenges):  # type: ignore[misc]  # CTFd has no types
    """A challenge whose players get a container each."""

    __tablename__ = TABLE
    __mapper_args__ = {"polymorphic_identity": TYPE}  # noqa: RUF012 - SQLAlchemy's own name

    id = db.Column(db.Integer, db.ForeignKey("challenges.id", ondelete="CASCADE"), primary_key=True)
    container_born = db.Column(db.String(BORN_LENGTH), default=new_born)


for _field in FIELDS:
    setattr(WhaleReadyChallenge, _field.column, db.Column(db.Text, nullable=True))


def make_table(engine: Any) -> None:
    """Make the table where it is missing, whatever version CTFd has on record for it.

    Of several processes that do so at once, one does.
    """
    try:
        WhaleReadyChallenge.__table__.create(engine, checkfirst=True)
    except sa.exc.DBAPIError:
        if not sa.inspect(engine).has_table(TABLE):
            raise
