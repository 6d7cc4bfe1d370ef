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

from engines.contract import Scope
from engines.database import Database, metadata

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
UNKNOWN = "unknown"
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
        self._written: dict[str, str] = {}
        self._seen: Scope | None = None
        self._tells: bool | None = None

    @property
    def scope(self) -> Scope | None:
        """What an instance belongs to; None while that is not known."""
        return self._pinned or self._seen

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
        """Write down what is known, where others may read it."""
        self._write("scope", _WORDS[self.scope] if self.scope else UNKNOWN)
        self._write("scope_from", "setting" if self._pinned else "seen")
        self._write("get", UNKNOWN if self._tells is None else "all" if self._tells else "own")

    def _now(self, seen: Scope) -> None:
        if self._pinned not in (None, seen) and seen is not self._seen:
            log.warning(
                "WHALE_SCOPE=%s, and Whale was seen to hold instances per %s",
                _WORDS[self._pinned or seen],
                _WORDS[seen],
            )
        self._seen = seen
        self.publish()

    def _write(self, name: str, value: str) -> None:
        if self._database is None or self._written.get(name) == value:
            return
        self._written[name] = value
        mine = whale_traits.c.name == name
        with contextlib.suppress(sa.exc.SQLAlchemyError), self._database.write() as connection:
            found = connection.execute(sa.select(whale_traits.c.value).where(mine)).scalar()
            if found is None:
                connection.execute(whale_traits.insert().values(name=name, value=value))
            elif found != value:
                connection.execute(whale_traits.update().where(mine).values(value=value))
