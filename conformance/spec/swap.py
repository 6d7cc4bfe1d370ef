"""A swap of backends under a player's hands, for the backend under test and one of the suite's own.

The other one is the engine on simulated containers, with a state of its own: it needs nothing of
the machine, and is taken for right, for the suite checks it as ``cre:memory``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from conformance.harness import Player
from conformance.spec.context import ScenarioContext
from conformance.spec.redaction import Flag
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import VirtualClock
from engines.contract import ActionResult, Capabilities, Code, ContainerBackend, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.errors import BackendUnavailable
from engines.hybrid import Breaker, Dial, HybridBackend, Keys, Position, StartRouter
from engines.hybrid.dial import ALL
from engines.settings import Settings
from engines.state.database import Database

HOME, OTHER = "tested", "other"
"""What the two are called in routes."""
_NO_ANSWER = "No answer has come"


class Swap:
    """The switch, and the other backend."""

    front: type[HybridBackend] = HybridBackend
    """Replaced where a broken one is to be shown failing."""

    def __init__(self, world: ScenarioContext) -> None:
        self._world = world
        failing = world.challenges.exits_at_once
        self._challenges = (world.first, world.second, *(() if failing is None else (failing,)))
        self._position = Position(0)
        self._runtime = MemoryRuntime(images={"good"})
        self._in_front: HybridBackend | None = None
        self._elsewhere: ContainerBackend | None = None
        self.asked = 0
        """How many starts the backend under test was asked for."""
        self.meanwhile: Callable[[], object] | None = None
        """Done once, while the backend under test is being asked for a start."""
        self.rounds = 0
        """How many rounds of the worker the backend under test was asked for."""
        self.is_cut_off = False
        """Whether the front gets no answer of the backend under test."""

    def away(self) -> None:
        """From now on the other backend takes new instances."""
        self._position = Position(ALL)
        self._world.note("the backends are swapped")

    def back(self) -> None:
        """From now on the backend under test takes them again."""
        self._position = Position(0)
        self._world.note("the backends are swapped back")

    def running_elsewhere(self) -> set[str]:
        """The containers that run on the other backend."""
        running = self._runtime.running()
        self._world.note(f"on the other backend: {sorted(running) or 'nothing'}")
        return running

    def counted(self, player: Player, challenge: int) -> frozenset[Flag]:
        """The flags that are right for a player, as the front says."""
        if self._in_front is None:
            return frozenset()
        return self._world.counted_by(self._in_front, player, challenge)

    def recorded(self, player: Player, challenge: int) -> tuple[Flag | None, Flag | None]:
        """The flag that a submission of a player is compared with, as the front says and as the
        other backend does."""
        front, elsewhere = (
            None if backend is None else self._world.recorded_by(backend, player, challenge)
            for backend in (self._in_front, self._elsewhere)
        )
        return front, elsewhere

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """Inside the block the front gets no answer of the backend under test, whose records cannot
        be read either; nothing of what it is asked for is done."""
        self.is_cut_off = True
        self._world.note("nothing comes through between the front and the backend under test")
        try:
            yield
        finally:
            self.is_cut_off = False
            self._world.note("all comes through again")

    def run_worker(self) -> None:
        """One round of the front's worker; that a backend cannot be asked is no matter."""
        with suppress(BackendUnavailable):
            if self._in_front is not None:
                self._in_front.cleanup_worker.run_once()
        self._world.note("the front's worker has run")

    def kill_elsewhere(self, container_id: str) -> None:
        """A container on the other backend dies."""
        self._runtime.kill(container_id)
        self._world.note(f"container {container_id} on the other backend dies")

    def holds_elsewhere(self) -> bool:
        """Whether the other backend has anything on record."""
        return self._elsewhere is not None and self._elsewhere.holds_any()

    @contextmanager
    def in_front(self) -> Iterator[None]:
        """The calls of this block go through a front that swaps."""
        with ExitStack() as stack:
            folder = tempfile.mkdtemp(prefix="whale-ready-swap-")
            stack.callback(shutil.rmtree, folder)
            database = Database(f"sqlite:///{Path(folder) / 'state.db'}")
            stack.callback(database.close)
            other = self._other(database, self._world.capabilities)
            stack.callback(other.close)
            self._elsewhere = other

            def made(tested: ContainerBackend) -> ContainerBackend:
                counted = cast(ContainerBackend, _Counted(tested, self))
                self._in_front = self._front(counted, other, database)
                return self._in_front

            stack.enter_context(self._world.behind(made))
            yield

    def _front(
        self, tested: ContainerBackend, other: ContainerBackend, database: Database
    ) -> HybridBackend:
        clock = VirtualClock()
        router = StartRouter(
            Keys(HOME, OTHER),
            lambda: Dial(self._position),
            lambda: False,
            Breaker(clock, failures=1000, seconds=1.0),
            falls_back=False,
        )
        return self.front(tested, other, router, database=database, clock=clock)

    def _other(self, database: Database, like: Capabilities) -> ContainerRuntimeEngine:
        specs = [
            ChallengeSpec(number, f"Challenge {number}", "good") for number in self._challenges
        ]
        return ContainerRuntimeEngine(
            Settings(
                cre_account_limit=like.account_limit,
                cre_max_extensions=like.max_extensions,
                cre_timeout_seconds=like.timeout_seconds,
                cre_deployment="swap",
                cre_start_limit=0,
            ),
            runtime=self._runtime,
            catalog=StaticCatalog(specs),
            database=database,
            clock=VirtualClock(),
        )


class Fallback(Swap):
    """The backend under test is the new one, and starts may fall back on the other."""

    failures = 2
    """As many in a row open the breaker."""
    seconds = 30.0

    def __init__(self, world: ScenarioContext) -> None:
        super().__init__(world)
        self._position = Position(ALL)
        self._clock = VirtualClock()

    def time_goes_by(self, seconds: float) -> None:
        """For the front, which has a clock of its own."""
        self._clock.advance(seconds)
        self._world.note(f"for the front {seconds:g} s go by")

    def _front(
        self, tested: ContainerBackend, other: ContainerBackend, database: Database
    ) -> HybridBackend:
        router = StartRouter(
            Keys(OTHER, HOME),
            lambda: Dial(self._position),
            lambda: False,
            Breaker(self._clock, failures=self.failures, seconds=self.seconds),
            falls_back=True,
        )
        return self.front(other, tested, router, database=database, clock=self._clock)


class _Silent:
    """A backend of which nothing comes through but what it declares."""

    def __init__(self, backend: ContainerBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def start_instance(self, *_ids: int | None) -> StartResult:
        return StartResult(False, _NO_ANSWER, code=Code.UNAVAILABLE, retry_after=1, definite=False)

    def stop_instance(self, *_ids: int | None) -> ActionResult:
        return ActionResult(False, _NO_ANSWER, code=Code.UNAVAILABLE, retry_after=1, definite=False)

    def _not_asked(self, *_ids: int | None) -> Any:
        raise BackendUnavailable(_NO_ANSWER)

    get_instance_status = last_known = holds = holds_any = _not_asked


class _Counted:
    """The backend under test, and how often it is asked for a start and for a round."""

    def __init__(self, tested: ContainerBackend, swap: Swap) -> None:
        self._tested = tested
        self._swap = swap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reached(), name)

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        self._swap.asked += 1
        meanwhile, self._swap.meanwhile = self._swap.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._reached().start_instance(user_id, challenge_id, team_id)

    def expire_due(self) -> int:
        self._swap.rounds += 1
        return self._reached().expire_due()

    def _reached(self) -> ContainerBackend:
        if self._swap.is_cut_off:
            return cast(ContainerBackend, _Silent(self._tested))
        return self._tested


@contextmanager
def fallback(world: ScenarioContext) -> Iterator[Fallback]:
    """The backend under test behind a front that may start on another one instead."""
    made = Fallback(world)
    with made.in_front():
        yield made


@contextmanager
def swap(world: ScenarioContext) -> Iterator[Swap]:
    """The backend under test behind a front that can be swapped to another one, and back."""
    made = Swap(world)
    with made.in_front():
        yield made
