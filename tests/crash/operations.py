"""The operations that are killed. One more is one entry of :data:`OPERATIONS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import docker
import sqlalchemy as sa

from crash.parts import CHALLENGE, FAILING, TIMEOUT_SECONDS
from engines.audit import container_events
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.engine import cre_instances
from engines.database import Database
from engines.instances import State

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

    act: Callable[[ContainerRuntimeEngine, Users], None]
    """In the child. Raises when it did not do what it should."""
    fate: Fate
    prepare: Callable[[Scene, Users], None] = lambda scene, users: None
    users: int = 1
    """How many it is about, each with an instance of its own."""
    waits: float = 0.0
    """Seconds between the preparation and the act."""


def expect(answer: Any, code: Code) -> None:
    if answer.code is not code:
        raise AssertionError(f"{answer!r} is not {code.value}")


def start(engine: ContainerRuntimeEngine, users: Users) -> None:
    for user in users:
        expect(engine.start_instance(user, CHALLENGE), Code.OK)


def repeat(engine: ContainerRuntimeEngine, users: Users) -> None:
    for user in users:
        expect(engine.start_instance(user, CHALLENGE), Code.ALREADY_RUNNING)


def fail(engine: ContainerRuntimeEngine, users: Users) -> None:
    for user in users:
        expect(engine.start_instance(user, FAILING), Code.START_FAILED)


def extend(engine: ContainerRuntimeEngine, users: Users) -> None:
    for user in users:
        expect(engine.extend_instance(user, CHALLENGE), Code.OK)


def stop(engine: ContainerRuntimeEngine, users: Users) -> None:
    for user in users:
        expect(engine.stop_instance(user, CHALLENGE), Code.OK)


def expire(engine: ContainerRuntimeEngine, users: Users) -> None:
    if (removed := engine.expire_due()) != len(users):
        raise AssertionError(f"{removed} of {len(users)} expired")


def reconcile(engine: ContainerRuntimeEngine, users: Users) -> None:
    if (repaired := engine.reconcile()) != len(users):
        raise AssertionError(f"{repaired} of {len(users)} repaired")


def started(scene: Scene, users: Users) -> None:
    start(scene.engine, users)


def in_disorder(scene: Scene, users: Users) -> None:
    """One abandoned half-way, one without its container, one container without its row."""
    start(scene.engine, users)
    abandoned, lost, stray = (f"user:{user}" for user in users)
    rows = cre_instances
    with scene.database.write() as connection:
        connection.execute(
            rows.update()
            .where(rows.c.account == abandoned)
            .values(state=State.STOPPING.value, lease_until=scene.engine.clock.now())
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
    "start that fails": Operation(fail, Fate.GONE),
    "start over an expired one": Operation(start, Fate.EITHER, started, waits=TIMEOUT_SECONDS),
    "extend": Operation(extend, Fate.KEPT, started),
    "stop": Operation(stop, Fate.EITHER, started),
    "expiry": Operation(expire, Fate.EITHER, started, users=2, waits=TIMEOUT_SECONDS),
    "reconcile": Operation(reconcile, Fate.GONE, in_disorder, users=3),
}
