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
from crash.parts import PORTS
from engines.audit import Action, ContainerEvent
from engines.contract import account_key
from engines.cre import ContainerRuntimeEngine
from engines.cre.names import instance_name
from engines.cre.owner import database_id
from engines.cre.pool_store import PoolStore, Warm, WarmState
from engines.cre.reservations import reservations
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, LABEL_INSTANCE
from engines.cre.tables import cre_instances
from engines.state.database import Database
from engines.state.instance_store import InstanceStore
from engines.state.instances import Instance, InstanceState

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

    deployment: str
    database: str
    """Its id."""
    rows: Mapping[str, Instance]
    """By account."""
    waiting: tuple[Warm, ...]
    """The warm pool."""
    containers: Mapping[str, Any]
    """By id."""
    networks: tuple[Any, ...]
    reserved: Mapping[str, frozenset[int]]
    """Numbers by the name of who holds them."""
    events: tuple[ContainerEvent, ...]

    @property
    def holders(self) -> list[Instance | Warm]:
        """Every row that may have a container."""
        return [*self.rows.values(), *self.waiting]

    @property
    def instances(self) -> set[str]:
        """The names of all that Docker has, whether anybody knows it or not."""
        return {_name(each) for each in (*self.containers.values(), *self.networks)}

    @property
    def leaks(self) -> Iterator[str]:
        """What belongs to nobody, or to more than one."""
        held = Counter(holder.container_id for holder in self.holders if holder.container_id)
        yield from (f"container {each} is held twice" for each in held if held[each] > 1)
        known = {_name(self.containers[each]) for each in held if each in self.containers}
        for name in self.instances - known:
            yield f"Docker has {name}, which no row knows"
        owners = {self.owner(row) for row in self.rows.values()}
        for owner in self.reserved.keys() - owners - {each.name for each in self.waiting}:
            yield f"{sorted(self.reserved[owner])} are reserved for {owner}, which is not there"
        for row in self.rows.values():
            if row.state is not InstanceState.RUNNING:
                yield f"row of {row.account} is {row.state.value} for ever"
        for each in self.waiting:
            if each.state is not WarmState.READY:
                yield f"row {each.name} of the pool is {each.state.value} for ever"

    def owner(self, row: Instance) -> str:
        """The name under which numbers are reserved for a row."""
        return instance_name(self.deployment, self.database, row.account, row.challenge_id)


def look(engine: ContainerRuntimeEngine, database: Database, client: docker.DockerClient) -> Sight:
    """Look at everything."""
    deployment, made_for = engine.deployment, database_id(database)
    store = InstanceStore(database, engine.audit, cre_instances)
    reserved: dict[str, set[int]] = {}
    with database.read() as connection:
        for row in connection.execute(sa.select(reservations)):
            reserved.setdefault(row.owner, set()).add(row.number)
    found = {container["Id"]: container for container in client.api.containers(all=True)}
    return Sight(
        deployment=deployment,
        database=made_for,
        rows={row.account: row for row in store.all()},
        waiting=tuple(PoolStore(database).all()),
        # By name too: one that lost its label would be found by nobody else.
        containers={
            number: each
            for number, each in found.items()
            if each["Labels"].get(LABEL_DEPLOYMENT) == deployment
            or (LABEL_DEPLOYMENT not in each["Labels"] and _name(each).startswith("wr-"))
        },
        networks=tuple(client.api.networks(filters={"label": f"{LABEL_DEPLOYMENT}={deployment}"})),
        reserved={owner: frozenset(numbers) for owner, numbers in reserved.items()},
        events=tuple(engine.audit.events()),
    )


def _name(found: Any) -> str:
    """The instance that a container or a network belongs to."""
    named = found["Names"][0].lstrip("/") if "Names" in found else found["Name"]
    return str(found["Labels"].get(LABEL_INSTANCE, named))


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
    for holder in after.holders:
        found += [Finding(Kind.LOST, text) for text in _not_serving(holder, after)]
    found += [Finding(Kind.WRONG, text) for text in _not_told(killed, after, objects)]
    return found


def _not_kept(row: Instance, now: Instance | None) -> Iterator[str]:
    if now is None:
        yield f"{row.account} was live and is gone"
    elif (now.container_id, now.flag) != (row.container_id, row.flag):
        yield f"{row.account} has another container or another flag"


def _not_serving(row: Instance | Warm, sight: Sight) -> Iterator[str]:
    name = row.name if isinstance(row, Warm) else sight.owner(row)
    container = sight.containers.get(row.container_id or "")
    if container is None or container["State"] != "running":
        yield f"{name} has a row and no container that runs"
    elif http_get("127.0.0.1", int(row.ports[0]), "/cgi-bin/flag") != row.flag:
        yield f"{name} serves another flag than its row's"
    in_range = {int(port) for port in row.ports if int(port) in PORTS}
    if not in_range <= sight.reserved.get(name, frozenset()):
        yield f"{name} is published on a port that is not reserved for it"


def _not_told(killed: Sight, after: Sight, objects: set[str]) -> Iterator[str]:
    """Changes without their event, and events without their change."""
    for account in objects | after.rows.keys():
        row = after.rows.get(account)
        events = _events(after, account)
        count = Counter(event.action for event in events)
        repaired = [event for event in events if event.action is Action.REPAIRED]
        live = count[Action.STARTED] - sum(count[action] for action in ENDINGS)
        live -= sum(event.metadata["state"] != InstanceState.STARTING.value for event in repaired)
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
