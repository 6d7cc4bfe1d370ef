"""What is left after a kill and a repair: rows, containers, networks and events compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import docker
import sqlalchemy as sa

from conformance.harnesses.fetch import http_get
from crash.operations import Fate
from engines.audit import Action, ContainerEvent
from engines.contract import account_key
from engines.cre import ContainerRuntimeEngine
from engines.cre.engine import cre_instances
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, LABEL_INSTANCE
from engines.database import Database
from engines.instances import Instance, State

HOLDERS: tuple[sa.Column[Any], ...] = (cre_instances.c.container_id,)
"""Columns that say which containers have an owner."""
WITHOUT_OWNER: Mapping[str, sa.sql.Select[Any]] = {}
"""Per kind of reservation, a query that finds those nobody holds."""

ENDINGS = (Action.STOPPED, Action.EXPIRED, Action.LOST)


class Kind(Enum):
    LEAK = "leak"
    """Something is there that belongs to nobody."""
    LOST = "lost"
    """Something that should live does not, or not as it was."""
    WRONG = "wrong"
    """Anything else: an event that is missing, a repair that does not settle."""


@dataclass(frozen=True)
class Finding:
    kind: Kind
    text: str

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.text}"


@dataclass(frozen=True)
class Sight:
    """All there is of a deployment at one moment."""

    rows: Mapping[str, Instance]
    """By account."""
    containers: Mapping[str, Any]
    networks: Mapping[str, Any]
    held: frozenset[str]
    """Containers that have an owner."""
    reservations: tuple[str, ...]
    """Those without one."""
    events: tuple[ContainerEvent, ...]

    @property
    def leaks(self) -> Iterator[str]:
        """What belongs to nobody."""
        known = {
            each["Labels"].get(LABEL_INSTANCE)
            for each in self.containers.values()
            if each["Id"] in self.held
        }
        for each in (*self.containers.values(), *self.networks.values()):
            if each["Labels"].get(LABEL_INSTANCE) not in known:
                yield f"{each.get('Names') or each.get('Name')} without a row"
        yield from self.reservations
        for row in self.rows.values():
            if row.state is not State.RUNNING:
                yield f"row of {row.account} is {row.state.value} for ever"


def look(engine: ContainerRuntimeEngine, database: Database, client: docker.DockerClient) -> Sight:
    """Look at everything."""
    label = f"{LABEL_DEPLOYMENT}={engine.deployment}"
    containers = client.api.containers(all=True)
    with database.read() as connection:
        held = {
            str(held)
            for column in HOLDERS
            for held in connection.execute(sa.select(column)).scalars()
            if held is not None
        }
        orphans = [
            f"{kind} {tuple(row)} without an owner"
            for kind, query in WITHOUT_OWNER.items()
            for row in connection.execute(query)
        ]
    return Sight(
        rows={row.account: row for row in engine._store.all()},
        containers={
            each["Id"]: each
            for each in containers
            if each["Labels"].get(LABEL_DEPLOYMENT) == engine.deployment
            or any(f"wr-{engine.deployment}-user-" in name for name in each["Names"])
        },
        networks={each["Id"]: each for each in client.api.networks(filters={"label": label})},
        held=frozenset(held),
        reservations=tuple(orphans),
        events=tuple(engine.audit.events()),
    )


def judge(
    before: Sight, killed: Sight, after: Sight, users: Iterable[int], fate: Fate
) -> list[Finding]:
    """What is wrong after the repair.

    Args:
        before: as it was when the operation began.
        killed: after the kill, before the repair.
        users: whose instances the operation was about.
    """
    objects = {account_key(user, None) for user in users}
    found = [Finding(Kind.LEAK, text) for text in after.leaks]
    for account, row in before.rows.items():
        if account not in objects and after.rows.get(account) != row:
            found.append(Finding(Kind.LOST, f"{account}, whom nothing concerned, changed"))
        elif account in objects and fate is Fate.KEPT:
            found += [Finding(Kind.LOST, text) for text in _not_kept(row, after.rows.get(account))]
    if fate is Fate.GONE:
        left = objects & after.rows.keys()
        found += [Finding(Kind.LEAK, f"{account} is still there") for account in left]
    for row in after.rows.values():
        found += [Finding(Kind.LOST, text) for text in _not_serving(row, after.containers)]
    found += [Finding(Kind.WRONG, text) for text in _not_told(killed, after, objects)]
    return found


def _not_kept(row: Instance, now: Instance | None) -> Iterator[str]:
    if now is None:
        yield f"{row.account} was live and is gone"
    elif (now.container_id, now.flag) != (row.container_id, row.flag):
        yield f"{row.account} has another container or another flag"


def _not_serving(row: Instance, containers: Mapping[str, Any]) -> Iterator[str]:
    container = containers.get(row.container_id or "")
    if container is None or container["State"] != "running":
        yield f"{row.account} has a row and no container that runs"
    elif http_get("127.0.0.1", int(row.ports[0]), "/cgi-bin/flag") != row.flag:
        yield f"{row.account} serves another flag than its row's"


def _not_told(killed: Sight, after: Sight, objects: set[str]) -> Iterator[str]:
    """Changes without their event, and events without their change."""
    for account in objects | after.rows.keys():
        row = after.rows.get(account)
        events = _events(after, account)
        count = Counter(event.action for event in events)
        repaired = [event for event in events if event.action is Action.REPAIRED]
        live = count[Action.STARTED] - sum(count[action] for action in ENDINGS)
        live -= sum(event.metadata["state"] != State.STARTING.value for event in repaired)
        if live != (row is not None):
            yield f"{account}: by its events {live} live, in truth {int(row is not None)}"
        ended = _ended(after, account) - _ended(killed, account)
        vanished = int(account in killed.rows and row is None)
        if ended != vanished:
            yield f"{account}: {vanished} rows were repaired away, {ended} events say so"
        if row is not None:
            yield from _life_not_told(row, events)


def _life_not_told(row: Instance, events: list[ContainerEvent]) -> Iterator[str]:
    own = [event for event in events if event.metadata.get("container_id") == row.container_id]
    started = [event for event in own if event.action is Action.STARTED]
    extended = [event for event in own if event.action is Action.EXTENDED]
    if len(started) != 1:
        yield f"{row.account}: {len(started)} events of its start"
    if len(extended) != row.extension_count:
        yield f"{row.account}: {row.extension_count} extensions, {len(extended)} events of them"
    told = [event.metadata["new_expiry"] for event in (*started, *extended)]
    if row.expires_at is not None and told[-1:] != [row.expires_at.isoformat()]:
        yield f"{row.account}: another expiry than its events'"


def _events(sight: Sight, account: str) -> list[ContainerEvent]:
    return [event for event in sight.events if account_key(event.user_id, event.team_id) == account]


def _ended(sight: Sight, account: str) -> int:
    ends = (*ENDINGS, Action.REPAIRED)
    return sum(event.action in ends for event in _events(sight, account))
