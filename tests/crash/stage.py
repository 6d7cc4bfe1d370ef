"""One operation, killed again and again beside instances that have nothing to do with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import docker
from docker.errors import NotFound

from crash.boundaries import Boundary
from crash.child import Died, run
from crash.operations import OPERATIONS, Fate, Operation, Scene
from crash.parts import LONG_SECONDS, PAST_LEASES_SECONDS, SERVED, Parts
from crash.verdict import Finding, Kind, judge, look
from engines.catalog import ChallengeSpec
from engines.clock import VirtualClock
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.base import Launch
from engines.cre.runtimes.docker import DockerRuntime
from engines.errors import BackendUnavailable
from engines.state.database import Database

BYSTANDER = 1
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Kill:
    """One kill and what was found after it."""

    operation: str
    boundary: str
    killed: bool
    """False when the operation was over before it came to this boundary."""
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return f"{self.operation}, killed at {self.boundary!r}: " + "; ".join(
            str(finding) for finding in self.findings
        )


class Stage:
    """A deployment with a database of its own, a bystander, and another deployment beside it.

    Made by :func:`staged`. The clock never goes back, so a stage is good for a thousand kills.
    """

    def __init__(self, name: str, parts: Parts, client: docker.DockerClient, beside: str) -> None:
        self.name = name
        self._operation: Operation = OPERATIONS[name]
        self._parts = parts
        self._client = client
        self._beside = beside
        self._clock = VirtualClock()
        self._users = count(1000)
        with parts.engine(client, self._clock, LONG_SECONDS) as (engine, _):
            started = engine.start_instance(BYSTANDER, SERVED)
        if not started.ok:
            raise AssertionError(f"the bystander did not start: {started!r}")

    def run_through(self) -> tuple[list[str], Kill]:
        """The operation without a kill: its boundaries in order, and what was found after it."""
        died, findings = self._play(None)
        names = [boundary.name for boundary in died.passed]
        return names, Kill(self.name, "no boundary", False, tuple(findings))

    def kill(self, number: int) -> Kill:
        """Kill the operation at its boundary ``number``, restart, repair, compare.

        How many boundaries there are differs by a look at Docker or a heartbeat: an operation that
        ended before it came to this one is killed in another run, counted round from its own last.
        """
        died, findings = self._play(number)
        if not died.killed:
            died, more = self._play(number % len(died.passed))
            findings += more
        return Kill(self.name, died.passed[-1].name, died.killed, tuple(findings))

    def _play(self, kill_at: int | None) -> tuple[Died, list[Finding]]:
        users = [next(self._users) for _ in range(self._operation.users)]
        with self._parts.engine(self._client, self._clock) as (engine, database):
            scene = Scene(engine, database, self._client)
            self._operation.prepare(scene, users, self._operation.challenge)
            before = look(engine, database, self._client)
        self._clock.advance(self._operation.waits)
        died = run(self._parts, self._clock.now(), self.name, users, kill_at)
        if died.killed:
            _settle(self._client, died.passed[-1])
        self._clock.advance(PAST_LEASES_SECONDS)
        with self._parts.engine(self._client, self._clock) as (engine, database):
            killed = look(engine, database, self._client)
            findings = list(_repair(engine))
            after = look(engine, database, self._client)
            findings += judge(before, killed, after, users, self._operation.fate)
            findings += self._afterwards(engine, database, users)
        return died, findings

    def _afterwards(
        self, engine: ContainerRuntimeEngine, database: Database, users: Sequence[int]
    ) -> Iterator[Finding]:
        """Life goes on: each starts again, has one instance, and stops; nothing is left."""
        challenge = SERVED if self._operation.fate is Fate.GONE else self._operation.challenge
        engine.fill_pool()
        for user in users:
            started = engine.start_instance(user, challenge)
            if not started.ok:
                yield Finding(Kind.LOST, f"user:{user} cannot start again: {started!r}")
        seen = look(engine, database, self._client)
        if len(seen.instances) != len(users) + 1 + len(seen.waiting):
            yield Finding(Kind.LEAK, f"after new starts there are {sorted(seen.instances)}")
        for user in users:
            stopped = engine.stop_instance(user, challenge)
            if stopped.code is not Code.OK:
                yield Finding(Kind.LOST, f"user:{user} cannot stop: {stopped!r}")
        seen = look(engine, database, self._client)
        if len(seen.instances) != 1 + len(seen.waiting) or len(seen.rows) != 1:
            yield Finding(Kind.LEAK, f"after the last stop there are {sorted(seen.instances)}")
        yield from (Finding(Kind.LEAK, f"after the last stop: {text}") for text in seen.leaks)
        if not DockerRuntime(self._client).is_running(self._beside):
            yield Finding(Kind.LOST, "another deployment's container does not run any more")


@contextmanager
def staged(name: str, parts: Parts, client: docker.DockerClient) -> Iterator[Stage]:
    """The stage of one operation. What it makes carries the label of ``parts``, or that and a dash
    and more; removing it is the caller's business."""
    spec = ChallengeSpec(id=SERVED, name="Beside", image=parts.image)
    beside = f"{parts.deployment}-beside"
    launched = DockerRuntime(client).launch(
        Launch(f"wr-{beside}", beside, spec, "flag{beside}", "127.0.0.1")
    )
    yield Stage(name, parts, client, launched.container_id)


def _repair(engine: ContainerRuntimeEngine) -> Iterator[Finding]:
    """Once, and once more, when there must be nothing left to do."""
    try:
        engine.reconcile()
        again = engine.reconcile()
    except BackendUnavailable as error:
        yield Finding(Kind.WRONG, f"reconcile failed: {error}")
        return
    if again:
        yield Finding(Kind.WRONG, f"a second reconcile put {again} right")


def _settle(client: docker.DockerClient, last: Boundary) -> None:
    """Wait until Docker has done what it was asked last: in life, a lease's time goes by."""
    if not last.address:
        return
    method, path, named = last.address.split(" ")
    kind, *rest = path.split("/")
    name = named if rest[-1] == "create" else rest[0]
    inspect = client.api.inspect_container if kind == "containers" else client.api.inspect_network
    until = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < until:
        try:
            seen = inspect(name)
        except NotFound:
            if method == "DELETE":
                return
        else:
            if rest[-1] == "create" or (rest[-1] == "start" and not _waiting(seen)):
                return
        time.sleep(0.02)  # Docker tells of its end to nobody but who asked


def _waiting(container: Any) -> bool:
    return bool(container["State"]["Status"] == "created")
