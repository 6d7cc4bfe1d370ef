"""A backend's state: one row per instance, and the row is the lock.

A row is inserted as ``starting`` and committed before a container is asked for; the unique keys
(account, challenge) and (account, slot) make a second instance of the same, and one more than the
account's limit, impossible in any number of processes. Every later change is a compare-and-set on
``version``. A row in a passing state is somebody's work until its lease ends; after that anyone may
repair it. A row in an open state is nobody's work: what became of a write is not known.

The engine and the Whale adapter each have a table of this shape (:func:`instance_table`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

import sqlalchemy as sa

from engines.state.database import BigId, UtcDateTime, metadata


class InstanceState(str, Enum):
    STARTING = "starting"
    RUNNING = "running"
    EXTENDING = "extending"
    STOPPING = "stopping"
    # Open: a request may have been carried out; by ``lease_until`` it has, or never will be.
    START_OPEN = "start_open"
    EXTEND_OPEN = "extend_open"
    STOP_OPEN = "stop_open"


_OPENED = {
    InstanceState.STARTING: InstanceState.START_OPEN,
    InstanceState.EXTENDING: InstanceState.EXTEND_OPEN,
    InstanceState.STOPPING: InstanceState.STOP_OPEN,
}


def instance_table(name: str, *, per_user: bool) -> sa.Table:
    """A table of instances.

    ``per_user``: what a user has started for other accounts takes up the account's room too, and of
    a challenge a user holds one, whatever account it is for.
    """
    keys = [
        sa.UniqueConstraint("account", "challenge_id", name=f"uq_{name}_account_challenge"),
        sa.UniqueConstraint("account", "slot", name=f"uq_{name}_account_slot"),
    ]
    if per_user:
        keys.append(
            sa.UniqueConstraint("user_id", "challenge_id", name=f"uq_{name}_user_challenge")
        )
        keys.append(sa.UniqueConstraint("user_id", "slot", name=f"uq_{name}_user_slot"))
    return sa.Table(
        name,
        metadata,
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("challenge_id", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("team_id", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease_until", UtcDateTime, nullable=False),
        sa.Column("flag", sa.String(255), nullable=False),
        sa.Column("container_id", sa.String(128), nullable=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("ports", sa.Text, nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=True),
        sa.Column("expires_at", UtcDateTime, nullable=True, index=True),
        sa.Column("extension_count", sa.Integer, nullable=False),
        sa.Column("mark", sa.String(64), nullable=True),
        *keys,
        info={"per_user": per_user},
        # An id is never used twice: a stale copy of a deleted row must not match a younger one.
        sqlite_autoincrement=True,
    )


@dataclass(frozen=True)
class Instance:
    """A row. Times are None while it is starting."""

    id: int
    account: str
    challenge_id: int
    slot: int
    user_id: int
    team_id: int | None
    state: InstanceState
    version: int
    lease_until: datetime
    flag: str = field(repr=False)
    container_id: str | None
    host: str
    ports: tuple[str, ...]
    started_at: datetime | None
    expires_at: datetime | None
    extension_count: int
    mark: str | None = None
    """What tells its owner from others with the same numbers; see :mod:`engines.owners`."""

    def live(self, now: datetime) -> bool:
        """Started and not expired, as far as the database knows; also while it is being stopped,
        for until that is done it may still fail."""
        return (
            self.container_id is not None and self.expires_at is not None and now < self.expires_at
        )

    @property
    def condemned(self) -> bool:
        """Its start failed and could not be undone yet: it never was live, and is to be removed."""
        return self.expires_at is not None and self.expires_at == self.started_at

    def abandoned(self, now: datetime) -> bool:
        """In a passing state whose lease is over: whoever worked on it died."""
        return self.state in _OPENED and self.lease_until <= now

    @property
    def open(self) -> bool:
        """What became of a write is not known."""
        return self.state in _OPENED.values()

    def activated(
        self,
        *,
        container_id: str,
        host: str,
        ports: tuple[str, ...],
        started_at: datetime,
        expires_at: datetime,
        flag: str | None = None,
    ) -> Instance:
        """The next version: the container runs. ``flag``: the one it has, if another."""
        return replace(
            self,
            version=self.version + 1,
            state=InstanceState.RUNNING,
            container_id=container_id,
            host=host,
            ports=ports,
            started_at=started_at,
            expires_at=expires_at,
            flag=self.flag if flag is None else flag,
        )

    def condemn(self) -> Instance:
        """The same version of a container that just came to run, which nobody is to be shown."""
        return replace(self, expires_at=self.started_at)

    def extended(self, expires_at: datetime) -> Instance:
        """The next version: a new expiry, one extension more."""
        return replace(
            self,
            version=self.version + 1,
            state=InstanceState.RUNNING,
            expires_at=expires_at,
            extension_count=self.extension_count + 1,
        )

    def rescheduled(self, expires_at: datetime) -> Instance:
        """The next version: another expiry, by nobody's call."""
        return replace(self, version=self.version + 1, expires_at=expires_at)

    def extending(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may extend the container until the lease ends."""
        return replace(
            self, version=self.version + 1, state=InstanceState.EXTENDING, lease_until=lease_until
        )

    def stopping(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may remove the container until the lease ends."""
        return replace(
            self, version=self.version + 1, state=InstanceState.STOPPING, lease_until=lease_until
        )

    def marked(self, mark: str) -> Instance:
        """The next version: whose it is, for one from before there were marks."""
        return replace(self, version=self.version + 1, mark=mark)

    def left_open(self, until: datetime) -> Instance:
        """The next version of a passing state: by ``until`` the write is done, or never will be."""
        return replace(self, version=self.version + 1, state=_OPENED[self.state], lease_until=until)

    def starting_again(self, lease_until: datetime) -> Instance:
        """The next version: whoever saved it may bring the start to its end."""
        return replace(
            self, version=self.version + 1, state=InstanceState.STARTING, lease_until=lease_until
        )

    def running_again(self) -> Instance:
        """The next version: what was begun did not happen; the container stays known."""
        return replace(self, version=self.version + 1, state=InstanceState.RUNNING)


@dataclass(frozen=True)
class InstanceRequest:
    """Who wants an instance of what, and within which limits."""

    account: str
    challenge_id: int
    user_id: int
    team_id: int | None
    flag: str = field(repr=False)
    account_limit: int
    capacity: int | None
    """Live instances in the whole system; None for no limit."""
    lease_seconds: float
    mark: str | None = None
    """See :class:`Instance`."""


@dataclass(frozen=True)
class Claimed:
    """The row is ours: the container may be made."""

    row: Instance


@dataclass(frozen=True)
class Taken:
    """There is a row of this account and challenge already."""

    row: Instance


@dataclass(frozen=True)
class AccountFull:
    """The account holds as many rows as it may, for other challenges."""

    rows: tuple[Instance, ...]


@dataclass(frozen=True)
class SystemFull:
    """The whole system holds as many live instances as it may."""


@dataclass(frozen=True)
class UserTaken:
    """The user holds a row for another account: of this challenge, or as many as a user may."""

    row: Instance


@dataclass(frozen=True)
class ChallengeFull:
    """The challenge has as many live instances as it may."""


@dataclass(frozen=True)
class TooOften:
    """The account has started as often as it may for now."""

    retry_after: float
    """Seconds until it may start again."""


Obstacle = Taken | AccountFull | SystemFull | UserTaken | ChallengeFull | TooOften


def columns(row: Instance) -> dict[str, Any]:
    """A row as the database takes it; its id is the database's own."""
    return {
        "account": row.account,
        "challenge_id": row.challenge_id,
        "slot": row.slot,
        "user_id": row.user_id,
        "team_id": row.team_id,
        "state": row.state.value,
        "version": row.version,
        "lease_until": row.lease_until,
        "flag": row.flag,
        "container_id": row.container_id,
        "host": row.host,
        "ports": json.dumps(row.ports),
        "started_at": row.started_at,
        "expires_at": row.expires_at,
        "extension_count": row.extension_count,
        "mark": row.mark,
    }


def from_row(row: Any) -> Instance:
    """A row as the database gives it."""
    values = dict(row._mapping)
    values["state"] = InstanceState(values["state"])
    values["ports"] = tuple(json.loads(values["ports"]))
    return Instance(**values)
