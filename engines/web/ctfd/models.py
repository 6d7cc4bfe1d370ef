"""Our table beside CTFd's ``challenges``: one column per field of the form, as it was typed."""

from __future__ import annotations

import secrets

from engines.site.catalog import TABLE, TYPE
from engines.site.fields import FIELDS

from .platform import Challenges, db


class WhaleReadyChallenge(Challenges):  # type: ignore[misc]  # CTFd has no types
    """A challenge whose players get a container each."""

    __tablename__ = TABLE
    __mapper_args__ = {"polymorphic_identity": TYPE}  # noqa: RUF012 - SQLAlchemy's own name

    id = db.Column(db.Integer, db.ForeignKey("challenges.id", ondelete="CASCADE"), primary_key=True)
    container_born = db.Column(db.String(32), default=lambda: secrets.token_hex(8))
    """Tells it from others that had, or will have, its id; no field, and never changed."""


for _field in FIELDS:
    setattr(WhaleReadyChallenge, _field.column, db.Column(db.Text, nullable=True))
