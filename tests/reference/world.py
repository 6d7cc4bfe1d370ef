"""The reference backend's world with every hook, its harness, and factories.

Specs may name it: ``--backend ref=reference.world:harness`` in the folder ``tests``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

from conformance.harness import (
    FaultKind,
    Harness,
    Hook,
    Lockout,
    Options,
    Outside,
    Player,
    Trial,
    Worker,
    World,
)
from conformance.spec.context import COMPANION_PATH, FLAG_FILE_PATH, FLAG_PATH
from engines.audit import ContainerEvent
from engines.contract import InstanceStatus, account_key
from engines.web.overview import Overview
from reference.backend import CHALLENGES, BareReference, ReferenceBackend, ResettingBackend
from reference.inside import DEPLOYMENT, HOST_PORT, OUTSIDE, SIBLING, answer
from reference.machine import Container, inner_of
from reference.overview import ReferenceOverview


class ReferenceWorker(Worker):
    """A worker with nothing in it but its state."""

    def __init__(self) -> None:
        self._running = False

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False

    @property
    def running(self) -> bool:
        return self._running


class ReferenceWorld(World):
    """A reference backend and every hook around it."""

    challenges = CHALLENGES
    faults = frozenset(FaultKind)
    known_as = frozenset({DEPLOYMENT})
    answers_within = 2.0
    players = (Player(1), Player(2), Player(3))
    mates = (Player(11, 5), Player(12, 5), Player(21, 6), Player(22, 6))

    def __init__(self, backend: ReferenceBackend) -> None:
        self.backend: ReferenceBackend = backend
        self.machine = backend.machine

    def advance(self, seconds: float) -> None:
        self.backend.clock.advance(seconds)

    def run_worker(self) -> None:
        backend = self.backend
        for part in (backend.expire_due, backend.reconcile, backend.watch, backend.refill):
            self.backend.pause()
            part()
            self.backend.pause()

    def another(self) -> ReferenceBackend:
        return self.backend.another()

    def another_site(self) -> ReferenceWorld:
        return ReferenceWorld(self.backend.another_site())

    def machine_ahead(self, seconds: float) -> ReferenceWorld:
        return ReferenceWorld(self.backend.on_machine_ahead(seconds))

    @contextmanager
    def dying(self, boundary: int) -> Iterator[None]:
        lives_on = self.backend.another()
        self.backend = self.backend.dying(boundary)
        try:
            yield
        finally:
            self.backend = lives_on

    def port_range(self) -> range:
        return self.backend.ports

    def change_images(self) -> None:
        self.machine.image += 1

    def worker(self) -> Worker:
        return ReferenceWorker()

    def events(self) -> list[ContainerEvent]:
        return list(self.backend.events)

    def running(self) -> set[str]:
        return {container.id for container in self.machine.containers.values() if container.alive}

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        flag = self.backend.recorded_flag(player.user_id, challenge_id, player.team_id)
        if flag is None:
            raise LookupError("no flag counts for this account")
        return flag

    def overview(self) -> Overview:
        return ReferenceOverview(self.backend)

    def counted_flags(self, player: Player, challenge_id: int) -> frozenset[str]:
        ids = player.user_id, challenge_id, player.team_id
        return frozenset(self.backend.counting_flags(*ids))

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        self.machine.containers[instance["container_id"]].written_mb += megabytes
        return megabytes

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        for container in self.machine.containers.values():
            address = (container.host, container.ports[:1])
            if container.alive and address == (instance["host"], instance["ports"][:1]):
                return self._page(container, path)
        return None

    def _page(self, container: Container, path: str) -> str | None:
        container.connections += 1
        if container.once and container.connections > 1:
            return None
        if path == FLAG_FILE_PATH:
            return container.flag if container.flag_in_file else None
        inner = self.machine.containers.get(inner_of(container.id))
        if path == COMPANION_PATH:
            reached = (
                inner is not None
                and inner.alive
                and inner.serves
                and inner.network == container.network
            )
            return "inner" if reached else ""
        if path == FLAG_PATH:
            return container.flag if container.flag_in_environment else ""
        return "hello"

    def machine_of(self, container_id: str) -> str | None:
        found = self.machine.containers.get(container_id)
        return found.node if found is not None and found.alive else None

    def remove_behind(self, container_id: str) -> None:
        del self.machine.containers[container_id]

    def give_number_again(self, player: Player) -> None:
        account = account_key(player.user_id, player.team_id)
        owners = self.backend.owners
        owners[account] = owners.get(account, 0) + 1

    def give_challenge_again(self, challenge_id: int) -> None:
        editions = self.backend.editions
        editions[challenge_id] = editions.get(challenge_id, 0) + 1

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        made = self.machine.replaced(instance["container_id"])
        self.backend.doubts.append(made)  # what somebody else has made is cleared away
        return made

    def renew_behind(self, player: Player, instance: InstanceStatus) -> None:
        account = account_key(player.user_id, player.team_id)
        self.backend.renewed(self.backend.records[account, instance["challenge_id"]])

    def shorten_behind(self, seconds: int) -> None:
        for record in self.backend.records.values():
            self.backend.shortened(record, timedelta(seconds=seconds))

    @contextmanager
    def locked_out(self, player: Player, why: Lockout) -> Iterator[None]:
        self.backend.barred.add(player.user_id)
        try:
            yield
        finally:
            self.backend.barred.discard(player.user_id)

    @contextmanager
    def lured(self) -> Iterator[Callable[[], list[str]]]:
        came = self.machine.elsewhere = []
        try:
            yield lambda: list(came)
        finally:
            self.machine.elsewhere = None

    @contextmanager
    def amid(self, moment: int, work: Callable[[], object]) -> Iterator[None]:
        left = moment

        def pause() -> None:
            nonlocal left
            left -= 1
            if left == -1:
                work()

        self.backend.pause = pause
        try:
            yield
        finally:
            self.backend.pause = lambda: None

    @contextmanager
    def slow_answers(self, seconds: float) -> Iterator[Callable[[], int]]:
        self.machine.seconds, before = seconds, self.machine.requests
        try:
            yield lambda: self.machine.requests - before
        finally:
            self.machine.seconds = 0.0

    def kill_behind(self, container_id: str) -> None:
        self.machine.containers[container_id].alive = False

    def outage(self) -> AbstractContextManager[None]:
        return self.fault(FaultKind.UNREACHABLE)

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        self.machine.goes_on.clear()
        self.machine.fault = kind
        try:
            yield
        finally:
            self.machine.go_on()

    @contextmanager
    def stubborn(self, container_id: str) -> Iterator[None]:
        self.machine.stubborn.add(container_id)
        try:
            yield
        finally:
            self.machine.stubborn.discard(container_id)

    @contextmanager
    def held_network(self, container_id: str) -> Iterator[None]:
        self.machine.held.add(container_id)
        try:
            yield
        finally:
            self.machine.held.discard(container_id)

    def networks(self) -> set[str]:
        return self.backend.networks()

    def inside(self, instance: InstanceStatus, trial: Trial, *arguments: str) -> str:
        missing = self.backend.missing_walls
        owner = self._owner(instance)
        return answer(missing, CHALLENGES, instance["challenge_id"], owner, trial, arguments)

    def inner_addresses(self, instance: InstanceStatus) -> list[str]:
        return [SIBLING.format(self._owner(instance), instance["container_id"])]

    def _owner(self, instance: InstanceStatus) -> int:
        records = self.backend.records.values()
        number = instance["container_id"]
        return next(record.user_id for record in records if record.container.id == number)

    def host_port(self, instance: InstanceStatus) -> AbstractContextManager[list[str]]:
        return nullcontext([HOST_PORT])

    def outside(self) -> AbstractContextManager[Outside]:
        return nullcontext(OUTSIDE)

    @contextmanager
    def restart(self) -> Iterator[None]:
        for container in self.machine.containers.values():
            container.alive = False
        with self.restart_live():
            yield

    @contextmanager
    def restart_live(self) -> Iterator[None]:
        with self.outage():
            yield
        self.machine.restarted()

    @contextmanager
    def state_full(self, after: int) -> Iterator[None]:
        self.backend.room = after
        try:
            yield
        finally:
            self.backend.room = None

    @contextmanager
    def replaced_tables(self, *, rows_kept: bool) -> Iterator[None]:
        self.backend.tables.replaced = True
        if not rows_kept:
            self.backend.records.clear()
            self.backend.doubts.append("what ran")
        yield
        self.backend.tables.replaced = False

    def slow_start(self) -> AbstractContextManager[Callable[[], int]]:
        return self.machine.turnstile.shut()

    def exchanges(self) -> list[str]:
        return ["Authorization: Token made-up-token-0123456789"]

    def close(self) -> None:
        self.machine.containers.clear()


class ReferenceHarness(Harness):
    """Counts what was opened and closed, for the tests of the suite."""

    kind = "a reference backend in plain dictionaries"
    simulated = True
    parallel = True
    hooks = frozenset(Hook)

    def __init__(self, backend: type[ReferenceBackend] = ReferenceBackend) -> None:
        self.backend = backend
        self.opened = 0
        self.closed = 0
        self.worlds = 0

    def open(self) -> None:
        self.opened += 1

    def versions(self) -> dict[str, str]:
        return {"python": "dictionaries"}

    def world(self, options: Options) -> World:
        self.worlds += 1
        return ReferenceWorld(self.backend(options))

    def close(self) -> None:
        self.closed += 1


def harness() -> ReferenceHarness:
    return ReferenceHarness()


def resetting() -> ReferenceHarness:
    return ReferenceHarness(ResettingBackend)


def bare() -> ReferenceBackend:
    return BareReference(Options())
