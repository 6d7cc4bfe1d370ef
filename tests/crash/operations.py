"""The operations that are killed. One more is one entry of :data:`OPERATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import docker
import sqlalchemy as sa

from crash.parts import FAILING, GROUP, OPEN, PORTS, SERVED, TIMEOUT_SECONDS, WARM, forget_networks
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.pool_store import pool
from engines.cre.tables import cre_instances
from engines.state.audit_log import container_events
from engines.state.database import Database
from engines.state.instances import InstanceState

Users = Sequence[int]


class Fate(Enum):
    """What may have become of the operation's instances once all is repaired."""

    KEPT = "still live, as they were"
    EITHER = "wholly there or wholly gone"
    GONE = "wholly gone"


@dataclass(frozen=True)
class Scene:
    """What a preparation may use, in the parent."""

    engine: ContainerRuntimeEngine
    database: Database
    client: docker.DockerClient


@dataclass(frozen=True)
class Operation:
    """Something to be killed in the middle of."""

    act: Callable[[ContainerRuntimeEngine, Users, int], None]
    """In the child, for these users and this challenge. Raises when it did not do its work."""
    fate: Fate
    prepare: Callable[[Scene, Users, int], None] = lambda scene, users, challenge: None
    challenge: int = SERVED
    users: int = 1
    """How many it is about, each with an instance of its own."""
    waits: float = 0.0
    """Seconds between the preparation and the act."""
    port_range: range | None = None
    warm: int = 0


def expect(answer: Any, code: Code) -> None:
    if answer.code is not code:
        raise AssertionError(f"{answer!r} is not {code.value}")


def start(engine: ContainerRuntimeEngine, users: Users, challenge: int) -> None:
    for user in users:
        expect(engine.start_instance(user, challenge), Code.OK)


def repeat(engine: ContainerRuntimeEngine, users: Users, challenge: int) -> None:
    for user in users:
        expect(engine.start_instance(user, challenge), Code.ALREADY_RUNNING)


def fail(engine: ContainerRuntimeEngine, users: Users, challenge: int) -> None:
    for user in users:
        expect(engine.start_instance(user, challenge), Code.START_FAILED)


def extend(engine: ContainerRuntimeEngine, users: Users, challenge: int) -> None:
    for user in users:
        expect(engine.extend_instance(user, challenge), Code.OK)


def stop(engine: ContainerRuntimeEngine, users: Users, challenge: int) -> None:
    for user in users:
        expect(engine.stop_instance(user, challenge), Code.OK)


def expire(engine: ContainerRuntimeEngine, users: Users, _challenge: int) -> None:
    if (removed := engine.expire_due()) != len(users):
        raise AssertionError(f"{removed} of {len(users)} expired")


def reconcile(engine: ContainerRuntimeEngine, users: Users, _challenge: int) -> None:
    if (repaired := engine.reconcile()) != len(users):
        raise AssertionError(f"{repaired} of {len(users)} repaired")


def fill(engine: ContainerRuntimeEngine, _users: Users, _challenge: int) -> None:
    if not engine.fill_pool():
        raise AssertionError("nothing was made ready")


def started(scene: Scene, users: Users, challenge: int) -> None:
    start(scene.engine, users, challenge)


def filled(scene: Scene, _users: Users, _challenge: int) -> None:
    scene.engine.fill_pool()


def drained(scene: Scene, _users: Users, _challenge: int) -> None:
    while scene.engine._pool.give_way():
        pass


def without_network(scene: Scene, _users: Users, _challenge: int) -> None:
    """As on a host on which no instance with egress has run yet."""
    forget_networks(scene.client, "crash", "open")


def outdated(scene: Scene, users: Users, challenge: int) -> None:
    """The pool is full of what was made from another image."""
    filled(scene, users, challenge)
    with scene.database.write() as connection:
        connection.execute(pool.update().values(fingerprint="of another image"))


def in_disorder(scene: Scene, users: Users, challenge: int) -> None:
    """One abandoned half-way, one without its container, one container without its row."""
    start(scene.engine, users, challenge)
    abandoned, lost, stray = (f"user:{user}" for user in users)
    rows = cre_instances
    with scene.database.write() as connection:
        connection.execute(
            rows.update()
            .where(rows.c.account == abandoned)
            .values(state=InstanceState.STOPPING.value, lease_until=scene.engine.clock.now())
        )
        connection.execute(rows.delete().where(rows.c.account == stray))
        connection.execute(container_events.delete().where(container_events.c.user_id == users[2]))
        gone = connection.execute(
            sa.select(rows.c.container_id).where(rows.c.account == lost)
        ).scalar_one()
    scene.client.api.remove_container(gone, force=True)


OPERATIONS = {
    "start": Operation(start, Fate.EITHER),
    "start that repeats": Operation(repeat, Fate.KEPT, started),
    "start that fails": Operation(fail, Fate.GONE, challenge=FAILING, port_range=PORTS),
    "start over an expired one": Operation(start, Fate.EITHER, started, waits=TIMEOUT_SECONDS),
    "start on a reserved port": Operation(start, Fate.EITHER, port_range=PORTS),
    "start on a fresh host": Operation(start, Fate.EITHER, without_network, OPEN),
    "start with a companion": Operation(start, Fate.EITHER, challenge=GROUP),
    "start from the pool": Operation(start, Fate.EITHER, filled, WARM, port_range=PORTS, warm=1),
    "extend": Operation(extend, Fate.KEPT, started),
    "stop": Operation(stop, Fate.EITHER, started),
    "stop on a reserved port": Operation(stop, Fate.EITHER, started, port_range=PORTS),
    "stop with a companion": Operation(stop, Fate.EITHER, started, challenge=GROUP),
    "expiry": Operation(expire, Fate.EITHER, started, users=2, waits=TIMEOUT_SECONDS),
    "reconcile": Operation(reconcile, Fate.GONE, in_disorder, users=3, port_range=PORTS),
    "refill of the pool": Operation(
        fill, Fate.EITHER, drained, WARM, users=0, port_range=PORTS, warm=1
    ),
    "renewal of the pool": Operation(
        fill, Fate.EITHER, outdated, WARM, users=0, port_range=PORTS, warm=1
    ),
}
