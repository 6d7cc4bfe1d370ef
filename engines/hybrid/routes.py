"""Which backend an instance belongs to: one row per account and challenge, and the row is the lock.

A route is written and committed before a backend is asked for anything. The unique keys (account,
challenge) and (account, slot) keep one key from living on two backends, and an account from having
more than its limit on all of them together, in any number of processes. Every later change is a
compare-and-set on ``version``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engines.state.database import BigId, Database, UtcDateTime, metadata

routes = sa.Table(
    "hybrid_routes",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(64), nullable=False),
    sa.Column("challenge_id", sa.BigInteger, nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("team_id", sa.BigInteger, nullable=True),
    sa.Column("backend", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("lease_until", UtcDateTime, nullable=False),
    sa.UniqueConstraint("account", "challenge_id", name="uq_hybrid_routes_account_challenge"),
    sa.UniqueConstraint("account", "slot", name="uq_hybrid_routes_account_slot"),
    # An id is never used twice: a stale copy of a deleted row must not match a younger one.
    sqlite_autoincrement=True,
)


class RouteState(str, Enum):
    STARTING = "starting"
    """Whoever holds the lease is asking backends for it; nobody else may."""
    HELD = "held"
    """The backend has started it. Once its status says None it is over."""
    OPEN = "open"
    """A start may have been carried out, now or later: the backend alone can tell."""


@dataclass(frozen=True)
class Route:
    """A row: whose instance of what is whose."""

    id: int
    account: str
    challenge_id: int
    slot: int
    user_id: int
    """Who started it, and for which team."""
    team_id: int | None
    backend: str
    state: RouteState
    version: int
    lease_until: datetime

    def at_work(self, now: datetime) -> bool:
        """Whether somebody is starting it."""
        return self.state is RouteState.STARTING and now < self.lease_until

    @property
    def uncertain(self) -> bool:
        """Whether it may come to live, although nobody is at work on it any more."""
        return self.state is not RouteState.HELD

    def taken(self, user_id: int, team_id: int | None, backend: str, until: datetime) -> Route:
        """The next version: whoever saved it may have it started until then."""
        return replace(
            self,
            user_id=user_id,
            team_id=team_id,
            backend=backend,
            state=RouteState.STARTING,
            version=self.version + 1,
            lease_until=until,
        )

    def found(self, backend: str) -> Route:
        """The next version: the instance is live already, there."""
        return replace(self, backend=backend, state=RouteState.HELD, version=self.version + 1)

    def settled(self, state: RouteState) -> Route:
        """The next version: nobody is at work on it any more."""
        return replace(self, state=state, version=self.version + 1)


@dataclass(frozen=True)
class Wanted:
    """A route to be claimed."""

    account: str
    challenge_id: int
    user_id: int
    team_id: int | None
    backend: str
    limit: int
    """Routes the account may have."""
    until: datetime


@dataclass(frozen=True)
class RouteClaimed:
    """The route is ours: its backend may be asked."""

    route: Route


@dataclass(frozen=True)
class RouteTaken:
    """There is a route of this account and challenge already."""

    route: Route


@dataclass(frozen=True)
class Full:
    """The account has as many routes as it may, for other challenges."""

    routes: tuple[Route, ...]


class RouteStore:
    """Routes in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.ensure_schema()
        self._by_key = sa.select(routes).where(
            routes.c.account == sa.bindparam("account"),
            routes.c.challenge_id == sa.bindparam("challenge_id"),
        )

    def find(self, account: str, challenge_id: int) -> Route | None:
        """The route of this account and challenge."""
        key = {"account": account, "challenge_id": challenge_id}
        with self._database.read() as connection:
            row = connection.execute(self._by_key, key).first()
        return None if row is None else _route(row)

    def all(self) -> list[Route]:
        """Every route, the oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(sa.select(routes).order_by(routes.c.id))
            return [_route(row) for row in rows]

    def claim(self, wanted: Wanted) -> RouteClaimed | RouteTaken | Full:
        """Insert the route, or say what stands in the way."""

        def enter(connection: Connection) -> RouteClaimed | RouteTaken | Full:
            mine = sa.select(routes).where(routes.c.account == wanted.account)
            rows = [_route(row) for row in connection.execute(mine.order_by(routes.c.id))]
            for row in rows:
                if row.challenge_id == wanted.challenge_id:
                    return RouteTaken(row)
            if len(rows) >= wanted.limit:
                return Full(tuple(rows))
            return RouteClaimed(self._insert(connection, wanted, {row.slot for row in rows}))

        while True:
            try:
                return self._database.transact(enter)
            except sa.exc.IntegrityError:
                continue  # another process took the key or the slot in between: look again

    def save(self, after: Route) -> bool:
        """Write a changed route; False when another was faster."""
        values = _columns(after)
        return self._changes(routes.update().values(**values), after.id, after.version - 1)

    def delete(self, route: Route) -> bool:
        """Remove the route; False when another was faster."""
        return self._changes(routes.delete(), route.id, route.version)

    def forget(self, backend: str, now: datetime) -> list[Route]:
        """Remove the routes to a backend, except for those somebody is at work on; returns them.

        What lives there is not found by its account any more, and does not count for it.
        """
        there = [
            route for route in self.all() if route.backend == backend and not route.at_work(now)
        ]
        return [route for route in there if self.delete(route)]

    def _changes(self, statement: Any, route_id: int, version: int) -> bool:
        mine = statement.where(routes.c.id == route_id, routes.c.version == version)
        changed: int = self._database.transact(lambda connection: connection.execute(mine).rowcount)
        return changed == 1

    def _insert(self, connection: Connection, wanted: Wanted, taken: set[int]) -> Route:
        # There are fewer routes than the limit, so one of so many slots is free.
        slot = next(slot for slot in range(wanted.limit) if slot not in taken)
        route = Route(
            id=0,
            account=wanted.account,
            challenge_id=wanted.challenge_id,
            slot=slot,
            user_id=wanted.user_id,
            team_id=wanted.team_id,
            backend=wanted.backend,
            state=RouteState.STARTING,
            version=1,
            lease_until=wanted.until,
        )
        done = connection.execute(routes.insert().values(**_columns(route)))
        key: Any = done.inserted_primary_key
        return replace(route, id=key[0])


def lease(now: datetime, seconds: float) -> datetime:
    """When a start that begins now must be over."""
    return now + timedelta(seconds=seconds)


def _columns(route: Route) -> dict[str, Any]:
    return {
        "account": route.account,
        "challenge_id": route.challenge_id,
        "slot": route.slot,
        "user_id": route.user_id,
        "team_id": route.team_id,
        "backend": route.backend,
        "state": route.state.value,
        "version": route.version,
        "lease_until": route.lease_until,
    }


def _route(row: Any) -> Route:
    values = dict(row._mapping)
    values["state"] = RouteState(values["state"])
    return Route(**values)
