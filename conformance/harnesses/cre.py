"""ContainerRuntimeEngine under test: what its harnesses share, and ``cre:memory``.

The engine's clock is a virtual one also on Docker: time is moved, never waited for, while the
containers are real.
"""

from __future__ import annotations

import os
import secrets
import socket
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta

from conformance.harness import (
    LITTLE_DISK_MB,
    FaultKind,
    Hook,
    Limits,
    Options,
    Player,
    Worker,
    World,
)
from conformance.harnesses.cast import (
    COMPANION,
    DYING_COMPANION,
    ENGINE_CHALLENGES,
    FLAG_FILE,
    LITTLE_DISK,
    MATES,
    ONE_CONNECTION,
    PAIRED_PORTS,
    PLAYERS,
    SLOW_COMPANION,
    crowd,
)
from conformance.harnesses.faulty_runtime import FaultyRuntime
from conformance.harnesses.full_state import full
from conformance.harnesses.guessed_tables import replaced
from conformance.harnesses.moments import BetweenTransactions, Moments
from conformance.harnesses.mortal import MortalDatabase, MortalRuntime
from conformance.harnesses.skewed import AheadClock, on_the_clock_of
from conformance.harnesses.state import (
    ROUND_SECONDS,
    StatefulHarness,
    TemporaryState,
    as_another_process,
)
from conformance.spec.crash import Life
from engines.audit import ContainerEvent
from engines.catalog import (
    SAFE_ULIMITS,
    ChallengeSpec,
    Companion,
    Port,
    Readiness,
    StaticCatalog,
    Transport,
    Visibility,
)
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock, VirtualClock
from engines.contract import InstanceStatus, account_key
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.memory import MemoryRuntime
from engines.owners import Key, Mark
from engines.settings import Settings
from engines.state.database import Database
from engines.web.overview import DatabaseOverview, Overview

MISSING = "whale-ready-no-such-image:none"
EGRESS, READ_ONLY, CAPABLE = 21, 22, 23
EXITING = ("/bin/busybox", "false")
SLOW = ("/bin/busybox", "sh", "-c", "sleep 1; exec /bin/busybox httpd -f -p 80 -h /www")
"""What the challenge's image does by itself, a second later."""
_ANSWER = r"printf 'HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nonce'; /bin/busybox cat >/dev/null"
ONCE = (*("/bin/busybox", "nc", "-l", "-p", "80", "-e"), "/bin/busybox", "sh", "-c", _ANSWER)
"""Answers its first connection, reads that to its end, and ends."""

_NOT_OF_ALL = {
    Hook.MACHINES,
    Hook.INSIDE,
    Hook.OUTSIDE,
    Hook.RESTART,
    Hook.RESTART_LIVE,
    Hook.CRASH,
    Hook.DISK,
    Hook.REPLACE_BEHIND,
    Hook.RENEW_BEHIND,
    Hook.SHORTEN_BEHIND,
    Hook.ACCESS,
    Hook.LURE,
    Hook.MOMENTS,
}
HOOKS = frozenset(Hook) - _NOT_OF_ALL
PORTS = (Port(80), Port(8080), Port(53, Transport.UDP))
PAIR = (Port(80), Port(80, Transport.UDP))


def _catalog(image: str, exiting: str, options: Options, now: datetime) -> StaticCatalog:
    first = ChallengeSpec(1, "First", image, readiness=Readiness.HTTP)
    own_end = _after(now, options.challenge_ends_in_seconds)
    inner = Companion(name="inner", image=image)
    slow = replace(inner, command=SLOW, readiness=Readiness.TCP, port=80)
    dying = replace(slow, command=EXITING)
    return StaticCatalog(
        [
            replace(first, ends_at=own_end),
            replace(first, id=2, name="Second"),
            replace(first, id=3, name="Hidden", visibility=Visibility.HIDDEN),
            replace(first, id=4, name="Missing image", image=MISSING),
            replace(first, id=5, name="Exits at once", image=exiting, command=EXITING),
            replace(first, id=EGRESS, name="Egress", egress=True),
            replace(first, id=READ_ONLY, name="Read-only", read_only=True),
            replace(first, id=CAPABLE, name="Capable", capabilities=("NET_BIND_SERVICE",)),
            replace(first, id=6, name="Limited", limit=1),
            replace(first, id=7, name="Ended", ends_at=now - timedelta(seconds=1)),
            replace(first, id=8, name="Several ports", ports=PORTS),
            replace(first, id=9, name="Warm", warm=options.warm, ends_at=own_end),
            replace(first, id=COMPANION, name="Companion", companions=(inner,)),
            replace(first, id=SLOW_COMPANION, name="Slow companion", companions=(slow,)),
            replace(first, id=DYING_COMPANION, name="Dying companion", companions=(dying,)),
            replace(first, id=PAIRED_PORTS, name="Paired ports", ports=PAIR),
            replace(first, id=FLAG_FILE, name="Flag in a file", flag_file="/www/flag.txt"),
            replace(
                first,
                id=ONE_CONNECTION,
                name="One connection",
                command=ONCE,
                readiness=Readiness.TCP,
            ),
            replace(first, id=LITTLE_DISK, name="Little disk", disk_mb=LITTLE_DISK_MB),
        ]
    )


class Numbers:
    """Accounts and challenges by their numbers, and how often each number was given again."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()
        self._challenges: Counter[int] = Counter()

    def give_again(self, player: Player) -> None:
        self._given[account_key(player.user_id, player.team_id)] += 1

    def give_challenge_again(self, challenge_id: int) -> None:
        self._challenges[challenge_id] += 1

    def marks(self, keys: Collection[Key]) -> Mapping[Key, Mark]:
        def mark(user_id: int, team_id: int | None, challenge_id: int) -> Mark:
            given = self._given[account_key(user_id, team_id)]
            edition = self._challenges[challenge_id]
            return Mark(f"owner {given}", f"challenge {challenge_id} {edition}")

        return {key: mark(*key) for key in keys}


class CreWorld(World):
    """An engine of its own with an empty database."""

    challenges = replace(
        ENGINE_CHALLENGES,
        egress=EGRESS,
        read_only=READ_ONLY,
        capable=CAPABLE,
        little_disk=LITTLE_DISK,
        paired_ports=PAIRED_PORTS,
        flag_file=FLAG_FILE,
        limits=Limits(memory_mb=128, processes=128, open_files=SAFE_ULIMITS["nofile"]),
    )
    players = PLAYERS
    mates = MATES
    faults = frozenset(FaultKind) - {
        FaultKind.GARBAGE,
        FaultKind.FUZZED,
        FaultKind.BAD_GATEWAY,
        FaultKind.GIVEN_UP,
    }
    engine_class: type[ContainerRuntimeEngine] = ContainerRuntimeEngine
    """Replaced where a broken engine is to be shown failing."""
    look_seconds, hang_seconds = 2.0, 4.0
    """How long a runtime that hangs is waited for, by who looks and by who works."""

    def __init__(
        self,
        runtime: Runtime,
        options: Options,
        database: Database,
        *,
        deployment: str,
        image: str,
        exiting_image: str,
        clock: Clock | None = None,
    ) -> None:
        self._own_clock = VirtualClock()
        self._clock: Clock = clock or self._own_clock
        self._faulty = FaultyRuntime(
            runtime, look_seconds=self.look_seconds, answer_seconds=self.hang_seconds
        )
        self._database = database
        now = self._clock.now()
        self._ports = _port_range(options.port_count)
        self._settings = Settings(
            cre_account_limit=options.account_limit,
            cre_capacity=options.capacity or 1000,
            cre_timeout_seconds=options.timeout_seconds,
            cre_max_extensions=options.max_extensions,
            cre_deployment=deployment,
            cre_start_limit=options.start_limit,
            cre_start_window_seconds=options.start_window_seconds,
            cre_ends_at=_after(now, options.ends_in_seconds),
            calls_per_minute=options.calls_per_minute or Settings().calls_per_minute,
            cre_port_range=self._ports,
            look_seconds=self.look_seconds,
        )
        self._catalog = _catalog(image, exiting_image, options, now)
        self._numbers = Numbers()
        self._engines: list[ContainerRuntimeEngine] = []
        self._databases: list[Database] = []
        """Of further processes."""
        self._sites: list[TemporaryState] = []
        self.engine = self._made(self._faulty, database)
        self.backend = self.engine

    @property
    def clock(self) -> Clock:
        """What the engine reads."""
        return self._clock

    def crowd(self, number: int) -> tuple[Player, ...]:
        return crowd(number)

    def advance(self, seconds: float) -> None:
        self._own_clock.advance(seconds)

    def run_worker(self) -> None:
        self.engine.cleanup_worker.run_once()

    def worker(self) -> Worker:
        return CleanupWorker(self.engine, ROUND_SECONDS, database=self._database)

    def events(self) -> list[ContainerEvent]:
        return self.engine.audit.events()

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        flag = self.engine.recorded_flag(player.user_id, challenge_id, player.team_id)
        if flag is None:
            raise LookupError(f"no flag is recorded for {player} and challenge {challenge_id}")
        return flag

    def overview(self) -> Overview:
        return DatabaseOverview(self._database, self._clock)

    def counted_flags(self, player: Player, challenge_id: int) -> frozenset[str]:
        ids = player.user_id, challenge_id, player.team_id
        return frozenset(self.engine.counting_flags(*ids))

    def give_number_again(self, player: Player) -> None:
        self._numbers.give_again(player)

    def give_challenge_again(self, challenge_id: int) -> None:
        self._numbers.give_challenge_again(challenge_id)

    def another_site(self) -> World:
        site = TemporaryState()
        self._sites.append(site)
        return self._elsewhere(site.emptied(), self._clock)

    def machine_ahead(self, seconds: float) -> World:
        database = on_the_clock_of(self._clock, self._database)
        return self._elsewhere(database, AheadClock(self._clock, seconds))

    def another(self) -> ContainerRuntimeEngine:
        self._databases.append(as_another_process(self._database))
        return self._made(self._faulty, self._databases[-1])

    def dying(self, boundary: int) -> AbstractContextManager[None]:
        life = Life(boundary)
        return self.living(life, life)

    def amid(self, moment: int, work: Callable[[], object]) -> AbstractContextManager[None]:
        moments = Moments(moment, work)
        return self.living(moments, BetweenTransactions(moments))

    @contextmanager
    def living(self, life: Life, state: Life) -> Iterator[None]:
        """Inside the block the engine is a process with this life, and what it does to its state
        has that one."""
        runtime = MortalRuntime(self._faulty, life)
        self.engine = self.backend = self._made(runtime, MortalDatabase(self._database, state))
        try:
            yield
        finally:
            self.engine = self.backend = self._made(self._faulty, self._database)

    def slow_answers(self, seconds: float) -> AbstractContextManager[Callable[[], int]]:
        return self._faulty.slow_answers(seconds)

    def port_range(self) -> range:
        return self._ports or range(0)

    def change_images(self) -> None:
        self._faulty.change_images()

    def state_full(self, after: int) -> AbstractContextManager[None]:
        return full(self._database, after)

    def replaced_tables(self, *, rows_kept: bool) -> AbstractContextManager[None]:
        return replaced(self._database, rows_kept=rows_kept)

    def slow_start(self) -> AbstractContextManager[Callable[[], int]]:
        return self._faulty.slow()

    def fault(self, kind: FaultKind) -> AbstractContextManager[None]:
        return self.outage() if kind is FaultKind.UNREACHABLE else self._faulty.fault(kind)

    def close(self) -> None:
        try:
            self.remove_containers()
        finally:
            for engine in self._engines:
                engine.close()
            for database in self._databases:
                database.close()
            for site in self._sites:
                site.close()
            self._faulty.end()

    def _elsewhere(self, database: Database, clock: Clock) -> CreWorld:
        """This world with another engine, which is closed with this one's."""
        world = copy(self)
        world._database = database
        world.engine = world.backend = self._made(self._faulty, database, clock)
        return world

    def _made(
        self, runtime: Runtime, database: Database, clock: Clock | None = None
    ) -> ContainerRuntimeEngine:
        engine = self.engine_class(
            self._settings,
            runtime=runtime,
            catalog=self._catalog,
            database=database,
            clock=clock or self._clock,
            owners=self._numbers,
        )
        self._engines.append(engine)
        return engine

    @abstractmethod
    def remove_containers(self) -> None:
        """Remove every container of this world."""


class MemoryWorld(CreWorld):
    """Containers are records in this process."""

    look_seconds, hang_seconds = 0.2, 0.5
    answers_within = 10.0

    def __init__(self, options: Options, database: Database, clock: Clock | None = None) -> None:
        self._memory = MemoryRuntime(images={"good", "exiting"}, crashing={"exiting"})
        super().__init__(
            self._memory,
            options,
            database,
            deployment="memory",
            image="good",
            exiting_image="exiting",
            clock=clock,
        )

    @property
    def memory(self) -> MemoryRuntime:
        """Where its containers run, for what looks at them when the world is closed."""
        return self._memory

    def running(self) -> set[str]:
        return self._memory.running()

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        return self._memory.fetch(instance["ports"][0], path)

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        self._memory.write(instance["container_id"], megabytes)
        return megabytes

    def remove_behind(self, container_id: str) -> None:
        self._memory.discard(container_id)

    def kill_behind(self, container_id: str) -> None:
        self._memory.kill(container_id)

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        return self._memory.replace(instance["container_id"])

    def outage(self) -> AbstractContextManager[None]:
        return self._memory.outage()

    @contextmanager
    def restart(self) -> Iterator[None]:
        for container_id in self._memory.running():
            self._memory.kill(container_id)
        with self._memory.outage():
            yield

    def restart_live(self) -> AbstractContextManager[None]:
        return self._memory.outage()

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        return self._memory.stubborn(container_id)

    def held_network(self, container_id: str) -> AbstractContextManager[None]:
        return self._memory.held_network(container_id)

    def networks(self) -> set[str]:
        return self._memory.networks()

    def remove_containers(self) -> None:
        for container_id in self._memory.running():
            self._memory.discard(container_id)


class MemoryHarness(StatefulHarness):
    """``cre:memory``: the engine's own code on simulated containers."""

    kind = "ContainerRuntimeEngine on simulated containers"
    simulated = True
    parallel = True
    hooks = HOOKS | {
        *(Hook.RESTART, Hook.RESTART_LIVE, Hook.CRASH, Hook.DISK),
        *(Hook.REPLACE_BEHIND, Hook.MOMENTS),
    }

    def __init__(self) -> None:
        self._runtimes: list[MemoryRuntime] = []

    def versions(self) -> dict[str, str]:
        return {"runtime": "memory (simulated)", **super().versions()}

    def world(self, options: Options) -> World:
        world = MemoryWorld(options, self.database())
        self._runtimes.append(world.memory)
        return world

    def leftovers(self) -> list[str]:
        """What worlds that were not closed, or not well, still have running."""
        return sorted(each for runtime in self._runtimes for each in runtime.running())


def _after(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)


def _port_range(count: int | None) -> range | None:
    """So many ports in a row that nobody listens on now, and no process beside this one takes."""
    while count is not None:
        # Those of this process: of two that look at one time, both would find the same ones free.
        first = 20000 + os.getpid() % 90 * 100 + secrets.randbelow(101 - count)
        if all(_is_free(port) for port in range(first, first + count)):
            return range(first, first + count)
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as found:
        try:
            found.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
