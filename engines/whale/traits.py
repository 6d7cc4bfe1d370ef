"""Which ctfd-whale this is, as far as reading tells: docs/whale-wire.md, "Forks and generations".

Two things differ among them that a start must know. How much a user may have: one instance, or one
of each challenge. And whether GET tells of another challenge's instance, or of its own alone.

Nothing is ever written to find out. An answer that names another challenge's instance says both:
one per user, and it is told. Two that run at once say: one of each challenge. An instance that
another challenge's GET does not mention says only that GET keeps it to itself; whether a start
would replace it cannot be read, and ``WHALE_SCOPE`` has to say so. Until then the user has one.
"""

from __future__ import annotations

import contextlib
import logging

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.contract import Scope
from engines.state.database import Database, metadata

log = logging.getLogger(__name__)

whale_traits = sa.Table(
    "whale_traits",
    metadata,
    sa.Column("name", sa.String(16), primary_key=True),
    sa.Column("value", sa.String(16), nullable=False),
)
"""What a process of the deployment saw last, for people to read; no start goes by it."""

SCOPES = {"user": Scope.PER_ACCOUNT, "challenge": Scope.PER_CHALLENGE}
"""What ``WHALE_SCOPE`` may say besides ``auto``."""
_WORDS = {scope: word for word, scope in SCOPES.items()}


class Traits:
    """What one Whale was seen to do, by one process.

    Args:
        pinned: the value of ``WHALE_SCOPE``; ``auto`` to go by what is seen.
        database: where it is written down for others to read; None: nowhere.
    """

    def __init__(self, pinned: str = "auto", database: Database | None = None) -> None:
        self._pinned = SCOPES.get(pinned)
        self._database = database
        self._written: dict[str, str] | None = None
        self._seen: Scope | None = None
        self._tells: bool | None = None

    @property
    def scope(self) -> Scope | None:
        """What an instance belongs to; None while that is not known."""
        return self._pinned or self._seen

    @property
    def seen(self) -> Scope | None:
        """What an instance was seen to belong to, whatever ``WHALE_SCOPE`` says."""
        return self._seen

    @property
    def tells(self) -> bool | None:
        """Whether GET tells of another challenge's instance; None while that is not known."""
        return self._tells

    @property
    def per_challenge(self) -> bool:
        """Whether a start leaves the instances of other challenges alone; when in doubt, no."""
        return self.scope is Scope.PER_CHALLENGE

    @property
    def hides(self) -> bool:
        """Whether a start could replace an instance that one look does not show."""
        return not self.per_challenge and self._tells is not True

    def told_of_another(self) -> None:
        """GET told of another challenge's instance."""
        self._tells = True
        self._now(Scope.PER_ACCOUNT)

    def kept_to_itself(self) -> None:
        """An instance ran, and another challenge's GET said that there is none."""
        if self._tells is None and self.scope is None:
            log.warning(
                "Whale does not tell of one challenge's container when asked about another: every "
                "start looks at all challenges, and a user may have one container. If this Whale "
                "has one per user and challenge, set WHALE_SCOPE=challenge, else WHALE_SCOPE=user"
            )
        self._tells = False
        self.publish()

    def ran_at_once(self) -> None:
        """Instances of two challenges ran for one user."""
        self._tells = False
        self._now(Scope.PER_CHALLENGE)

    def forget(self) -> None:
        """Another Whale may have taken this one's place."""
        self._seen = self._tells = None

    def publish(self) -> None:
        """Write down what is known, where others may read it; what is not known says nothing."""
        known: dict[str, str] = {}
        if self.scope is not None:
            known["scope"] = _WORDS[self.scope]
            known["scope_from"] = "setting" if self._pinned else "seen"
        if self._tells is not None:
            known["get"] = "all" if self._tells else "own"
        if self._database is None or known == self._written:
            return
        self._written = known
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            _write(self._database, known)

    def _now(self, seen: Scope) -> None:
        if self._pinned not in (None, seen) and seen is not self._seen:
            log.warning(
                "WHALE_SCOPE=%s, and Whale was seen to hold instances per %s",
                _WORDS[self._pinned or seen],
                _WORDS[seen],
            )
        self._seen = seen
        self.publish()


def read_traits(connection: Connection) -> dict[str, str]:
    """What was written down: ``scope``, ``scope_from`` and ``get``, each where it is known."""
    rows = connection.execute(sa.select(whale_traits.c.name, whale_traits.c.value))
    return {row.name: row.value for row in rows}


def _write(database: Database, known: dict[str, str]) -> None:
    with database.read() as connection:
        before = read_traits(connection)
    after = {**before, **known}
    if "scope" not in known and before.get("scope_from") == "setting":
        del after["scope"], after["scope_from"]  # it is not set any more
    if after == before:
        return
    with database.write() as connection:
        connection.execute(whale_traits.delete())
        if after:
            rows = [{"name": name, "value": value} for name, value in after.items()]
            connection.execute(whale_traits.insert(), rows)
