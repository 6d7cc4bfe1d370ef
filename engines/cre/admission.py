"""Whether there is room for one more instance, decided in the transaction that claims its row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from engines.catalog import ChallengeSpec
from engines.cre.pool_store import PoolStore, Warm
from engines.cre.start_rate import count_start, too_soon
from engines.cre.tables import cre_instances
from engines.settings import Settings
from engines.state.instance_store import InstanceStore
from engines.state.instances import ChallengeFull, Obstacle, SystemFull, TooOften


@dataclass
class Admission:
    """One start at the gate. A container that waits for it takes no further room.

    Called by :meth:`engines.state.instance_store.InstanceStore.claim`; when it lets the start in,
    :attr:`warm` is the container that the start has claimed, if one was ready.
    """

    settings: Settings
    store: InstanceStore
    pool: PoolStore
    spec: ChallengeSpec
    owner: str
    """Whose starts are counted: the account, told from others with its number."""
    name: str
    """Of the instance, as the runtime is to know it."""
    lease: timedelta
    warm: Warm | None = None

    def __call__(self, connection: Connection, now: datetime) -> Obstacle | None:
        self.warm = None
        obstacle = self._too_often(connection, now) or self._challenge_full(connection, now)
        if obstacle is not None:
            return obstacle
        self.warm = self.pool.take(
            connection, self.spec.id, self.spec.fingerprint, self.name, now + self.lease
        )
        if self.warm is None and not has_room(
            connection, self.store, self.pool, now, self.settings.cre_capacity
        ):
            return SystemFull()
        if self.settings.cre_start_limit:
            count_start(connection, self.owner, now, window=self._window)
        return None

    @property
    def _window(self) -> timedelta:
        return timedelta(seconds=self.settings.cre_start_window_seconds)

    def _too_often(self, connection: Connection, now: datetime) -> Obstacle | None:
        limit = self.settings.cre_start_limit
        if not limit:
            return None
        wait = too_soon(connection, self.owner, now, limit=limit, window=self._window)
        return None if wait is None else TooOften(wait)

    def _challenge_full(self, connection: Connection, now: datetime) -> Obstacle | None:
        limit = self.spec.limit
        if limit is None:
            return None
        of_it = cre_instances.c.challenge_id == self.spec.id
        return ChallengeFull() if self.store.occupied(connection, now, of_it) >= limit else None


def has_room(
    connection: Connection, store: InstanceStore, pool: PoolStore, now: datetime, capacity: int
) -> bool:
    """Whether one more container fits beside the instances and those that wait for a start."""
    return store.occupied(connection, now) + pool.count(connection) < capacity
