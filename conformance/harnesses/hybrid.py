"""HybridBackend under test: the engine on simulated containers, and the adapter on a fake Whale.

``hybrid`` sends the first challenge to Whale and the second to the engine, so that every story of
two challenges goes over both; ``hybrid:cre`` and ``hybrid:whale`` send all to one of them while
the other stands beside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from dataclasses import replace

from conformance.harness import FaultKind, Hook, Lockout, Options, Player, Worker, World
from conformance.harnesses.cast import CHALLENGES
from conformance.harnesses.cre import HOOKS as CRE_HOOKS
from conformance.harnesses.cre import MemoryHarness, MemoryWorld
from conformance.harnesses.full_state import full
from conformance.harnesses.guessed_tables import replaced
from conformance.harnesses.moments import BetweenTransactions, Moments, NoMoments
from conformance.harnesses.mortal import MortalDatabase
from conformance.harnesses.skewed import AheadClock, on_the_clock_of
from conformance.harnesses.state import ROUND_SECONDS, as_another_process
from conformance.harnesses.whale import HOOKS as WHALE_HOOKS
from conformance.harnesses.whale import FakesClock, FakeWhaleHarness, FakeWhaleWorld
from conformance.spec.crash import Life
from engines.audit import ContainerEvent
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock
from engines.contract import ContainerBackend, InstanceStatus
from engines.hybrid import Breaker, Dial, HybridBackend, Keys, Position, StartRouter
from engines.hybrid.dial import ALL
from engines.settings import Settings
from engines.state.database import Database
from engines.upkeep import Upkeep
from engines.web.overview import DatabaseOverview, Overview

DIALS = {
    "": Position(ALL // 2, challenges={CHALLENGES.first: True, CHALLENGES.second: False}),
    "cre": Position(0),
    "whale": Position(ALL),
}
"""By what stands behind ``hybrid:``."""
_OF_A_SIDE = frozenset(
    {
        *(Hook.CAPACITY, Hook.STRICT_CAPACITY, Hook.RESTART),
        *(Hook.STUBBORN, Hook.HELD_NETWORK, Hook.KILL_BEHIND),
    }
)
_OF_NONE = frozenset({Hook.ANOTHER_SITE, Hook.LURE})
_OF_BOTH = frozenset({Hook.CRASH, Hook.MOMENTS, Hook.SLOW_ANSWERS, Hook.REPLACE_BEHIND})
BREAKER_FAILURES = 1000
"""Scenarios are about what each backend says; a breaker that opens would hide it."""


def hybrid(
    home: ContainerBackend,
    new: ContainerBackend,
    dial: Dial,
    database: Database,
    clock: Clock,
    *,
    falls_back: bool = True,
    upkeep: Upkeep | None = None,
) -> HybridBackend:
    """One over these two, with a dial that stands still."""
    router = StartRouter(
        Keys("cre", "whale"),
        lambda: dial,
        lambda: False,
        Breaker(clock, failures=BREAKER_FAILURES, seconds=30.0),
        falls_back=falls_back,
    )
    return HybridBackend(
        home,
        new,
        router,
        database=database,
        clock=clock,
        upkeep=upkeep,
    )


class HybridWorld(World):
    """Both worlds on one database, and a hybrid in front of them.

    Args:
        leads: the world whose challenges and players they are.
    """

    def __init__(
        self,
        cre: MemoryWorld,
        whale: FakeWhaleWorld,
        leads: World,
        position: Position,
        options: Options,
        database: Database,
        clock: Clock,
    ) -> None:
        self._cre = cre
        self._whale = whale
        self._leads = leads
        self._dial = Dial(position)
        calls = options.calls_per_minute or Settings().calls_per_minute
        settings = Settings(calls_per_minute=calls)
        self._upkeep = Upkeep(database, clock, settings)
        self._database = database
        self._clock = clock
        self.challenges = leads.challenges
        self.players = leads.players
        self.mates = leads.mates
        self.faults = cre.faults & whale.faults
        self._others: list[HybridBackend] = []
        self._databases: list[Database] = []
        """Of further processes."""
        self._hybrid = self._front(database)
        self.backend = self._hybrid

    def crowd(self, number: int) -> tuple[Player, ...]:
        return self._whale.crowd(number)

    def advance(self, seconds: float) -> None:
        self._cre.advance(seconds)
        self._whale.advance(max(0.0, seconds))

    def run_worker(self) -> None:
        self._hybrid.cleanup_worker.run_once()

    def worker(self) -> Worker:
        return CleanupWorker(self._hybrid, ROUND_SECONDS, database=self._database)

    def events(self) -> list[ContainerEvent]:
        return self._hybrid.audit.events()

    def running(self) -> set[str]:
        return self._cre.running() | self._whale.running()

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        asked = player.user_id, challenge_id, player.team_id
        if self._hybrid.owner_of(*asked) == "whale":  # which keeps its flags to itself
            return self._whale.recorded_flag(player, challenge_id)
        flag = self._hybrid.recorded_flag(*asked)
        if flag is None:
            raise LookupError(f"no flag is recorded for {player} and challenge {challenge_id}")
        return flag

    def overview(self) -> Overview:
        return DatabaseOverview(self._database, self._clock)

    def counted_flags(self, player: Player, challenge_id: int) -> frozenset[str]:
        ids = player.user_id, challenge_id, player.team_id
        return frozenset(self._hybrid.counting_flags(*ids))

    def write_disk(self, instance: InstanceStatus, megabytes: int) -> int:
        return self._cre.write_disk(instance, megabytes)

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        owner: World = self._whale if instance["backend"] == "whale" else self._cre
        return owner.fetch(instance, path)

    def remove_behind(self, container_id: str) -> None:
        owner: World = self._cre if container_id in self._cre.running() else self._whale
        owner.remove_behind(container_id)

    def machine_of(self, container_id: str) -> str | None:
        return self._leads.machine_of(container_id)

    def kill_behind(self, container_id: str) -> None:
        self._leads.kill_behind(container_id)

    def stubborn(self, container_id: str) -> AbstractContextManager[None]:
        return self._leads.stubborn(container_id)

    def held_network(self, container_id: str) -> AbstractContextManager[None]:
        return self._leads.held_network(container_id)

    def networks(self) -> set[str]:
        return self._leads.networks()

    def restart(self) -> AbstractContextManager[None]:
        return self._leads.restart()

    def restart_live(self) -> AbstractContextManager[None]:
        return _one_after_the_other(self._cre.restart_live(), self._whale.restart_live())

    def give_number_again(self, player: Player) -> None:
        self._cre.give_number_again(player)
        self._whale.give_number_again(player)

    def give_challenge_again(self, challenge_id: int) -> None:
        self._cre.give_challenge_again(challenge_id)
        self._whale.give_challenge_again(challenge_id)

    def machine_ahead(self, seconds: float) -> World:
        world = copy(self)
        world._hybrid = hybrid(
            self._cre.machine_ahead(seconds).backend,
            self._whale.machine_ahead(seconds).backend,
            self._dial,
            on_the_clock_of(self._clock, self._database),
            AheadClock(self._clock, seconds),
        )
        world.backend = world._hybrid
        self._others.append(world._hybrid)
        return world

    def outage(self) -> AbstractContextManager[None]:
        return _one_after_the_other(self._cre.outage(), self._whale.outage())

    def fault(self, kind: FaultKind) -> AbstractContextManager[None]:
        return _one_after_the_other(self._cre.fault(kind), self._whale.fault(kind))

    def state_full(self, after: int) -> AbstractContextManager[None]:
        return full(self._database, after)

    def replaced_tables(self, *, rows_kept: bool) -> AbstractContextManager[None]:
        return replaced(self._database, rows_kept=rows_kept)

    def slow_start(self) -> AbstractContextManager[Callable[[], int]]:
        return self._cre.slow_start()

    def another(self) -> ContainerBackend:
        database = as_another_process(self._database)
        other = hybrid(
            self._cre.another(), self._whale.another(), self._dial, database, self._clock
        )
        self._others.append(other)
        self._databases.append(database)
        return other

    def dying(self, boundary: int) -> AbstractContextManager[None]:
        life = Life(boundary)
        return self._living(
            life, self._cre.living(life, life), self._whale.living(life, life, life)
        )

    def amid(self, moment: int, work: Callable[[], object]) -> AbstractContextManager[None]:
        moments, none = Moments(moment, work), NoMoments()
        state = BetweenTransactions(moments)
        return self._living(
            state, self._cre.living(moments, state), self._whale.living(moments, none, none)
        )

    @contextmanager
    def _living(self, state: Life, *sides: AbstractContextManager[None]) -> Iterator[None]:
        """Inside the block both sides and the front are one process."""
        try:
            with _one_after_the_other(*sides):
                self._hybrid = self._front(MortalDatabase(self._database, state))
                self.backend = self._hybrid
                yield
        finally:
            self._hybrid = self._front(self._database)
            self.backend = self._hybrid

    def _front(self, database: Database) -> HybridBackend:
        front = hybrid(
            self._cre.backend,
            self._whale.backend,
            self._dial,
            database,
            self._clock,
            upkeep=self._upkeep,
        )
        self._others.append(front)
        return front

    @contextmanager
    def slow_answers(self, seconds: float) -> Iterator[Callable[[], int]]:
        with self._cre.slow_answers(seconds) as here, self._whale.slow_answers(seconds) as there:
            yield lambda: here() + there()

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        owner: World = self._whale if instance["backend"] == "whale" else self._cre
        return owner.replace_behind(player, instance)

    def renew_behind(self, player: Player, instance: InstanceStatus) -> None:
        self._whale.renew_behind(player, instance)

    def shorten_behind(self, seconds: int) -> None:
        self._whale.shorten_behind(seconds)

    def locked_out(self, player: Player, why: Lockout) -> AbstractContextManager[None]:
        return self._whale.locked_out(player, why)

    def port_range(self) -> range:
        return self._cre.port_range()

    def change_images(self) -> None:
        self._cre.change_images()

    def exchanges(self) -> list[str]:
        return self._whale.exchanges()

    def close(self) -> None:
        for other in self._others:
            other.close()
        for database in self._databases:
            database.close()
        self._whale.close()
        self._cre.close()


class HybridHarness(FakeWhaleHarness):
    """``hybrid``, ``hybrid:cre`` and ``hybrid:whale``.

    Args:
        routed: where everything goes; empty for one challenge to each.
    """

    simulated = True

    def __init__(self, routed: str = "") -> None:
        super().__init__()
        self._routed = routed
        self._position = DIALS[routed]
        whale = WHALE_HOOKS - _OF_A_SIDE - _OF_NONE
        engine = MemoryHarness.hooks - _OF_NONE
        self.hooks = {"": CRE_HOOKS & whale | _OF_BOTH, "cre": engine, "whale": whale}[routed]
        where = {"": "one challenge on each", "cre": "all on the engine", "whale": "all on Whale"}
        self.kind = f"HybridBackend over cre:memory and whale:fake ({where[routed]})"

    def world(self, options: Options) -> World:
        database = self.database()
        # Whale allows one extension more, so that the front has a smaller number to keep to.
        more = replace(options, max_extensions=options.max_extensions + 1)
        whale = self.whale_world(more, database)
        # The engine's own clock can be stepped back, which Whale's cannot.
        clock = None if self._routed == "cre" else FakesClock(whale.fake)
        cre = MemoryWorld(options, database, clock)
        leads: World = whale if self._routed == "whale" else cre
        world = HybridWorld(
            cre, whale, leads, self._position, options, database, clock or cre.clock
        )
        if not self._routed:
            ports = {"own_port": CHALLENGES.second, "subdomain": CHALLENGES.first}
            world.challenges = replace(CHALLENGES, **ports)  # type: ignore[arg-type] # both are ids
        return world


@contextmanager
def _one_after_the_other(*managers: AbstractContextManager[None]) -> Iterator[None]:
    with ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield
