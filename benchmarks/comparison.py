"""One run: blocks of load on each system in turns, A B then B A, and what was measured in them."""

from __future__ import annotations

import random
import time as machine
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.load import LoadLimits, at_random, closed_loop, open_loop
from benchmarks.recorder import CallRecorder, Fetch, Heading
from benchmarks.samples import RunPart, Sample
from benchmarks.scenarios import BenchScenario
from benchmarks.time_source import Time
from engines.contract import ContainerBackend

SWEEP = (1, 2, 4, 8, 16, 32, 64, 128)
OUTSTANDING = 4
"""Calls that may be under way or waiting in an open loop, by worker."""


@dataclass(frozen=True)
class BenchPlan:
    """What is to be done, as it was agreed beforehand."""

    scenario: str
    seconds: float
    """Of all measured blocks together; the sweep and what lies between blocks is on top."""
    turns: int
    concurrency: int
    """Workers: the load of a closed loop, the most at one time of an open one."""
    rate: float | None = None
    """Visits a second of an open loop; None for a closed one."""
    seed: int = 0
    live: int = 8
    """Instances that a contest holds at most, beside those in use."""
    visits: int = 100_000
    """The most of one block."""
    warm_up_seconds: float = 2.0
    sweep: tuple[int, ...] = ()
    sweep_seconds: float = 3.0

    @property
    def accounts(self) -> int:
        """How many are needed so that none has to wait for one."""
        return max(self.concurrency, *self.sweep, 1) * 2 + self.live

    def block_seconds(self, systems: int) -> float:
        return self.seconds / (self.turns * systems)


@dataclass(frozen=True)
class Side:
    """One system, ready to be called."""

    name: str
    backend: ContainerBackend
    challenge: int
    fetch: Fetch | None
    scenario: BenchScenario


@dataclass(frozen=True)
class Block:
    """One system under load for a while; moments as in samples."""

    part: RunPart
    backend: str
    block: int
    concurrency: int
    began: float
    ended: float
    cpu_seconds: float
    """That this process used: generator, backend and, where it runs in here, the fake Whale."""


Progress = Callable[[int, int, str], None]
"""Told how many blocks are done, of how many, and which system is next."""


class Run:
    """Does what the plan says; what was measured stays when it is interrupted.

    Args:
        keep: given the samples of a block as soon as it is over.
    """

    def __init__(
        self,
        plan: BenchPlan,
        sides: Sequence[Side],
        time: Time,
        keep: Callable[[Sequence[Sample]], None],
        progress: Progress,
    ) -> None:
        self.blocks: list[Block] = []
        self.samples: list[Sample] = []
        self._plan = plan
        self._sides = sides
        self._time = time
        self._keep = keep
        self._progress = progress
        self._done = 0

    def measure(self) -> None:
        """Warm up, compare, sweep.

        Raises:
            KeyboardInterrupt: it was; samples of the block that was under way are kept too.
        """
        plan = self._plan
        seconds = plan.block_seconds(len(self._sides))
        for side in self._sides:
            warm_up = min(plan.warm_up_seconds, seconds)
            self._block(RunPart.MAIN, side, -1, plan.concurrency, warm_up, plan.rate)
        for turn in range(plan.turns):
            for side in self._in_order(turn):
                self._block(RunPart.MAIN, side, turn, plan.concurrency, seconds, plan.rate)
        for number, workers in enumerate(plan.sweep):
            for side in self._in_order(number):
                self._block(RunPart.SWEEP, side, number, workers, plan.sweep_seconds, None)

    @property
    def _total(self) -> int:
        return (1 + self._plan.turns + len(self._plan.sweep)) * len(self._sides)

    def _in_order(self, turn: int) -> Sequence[Side]:
        return self._sides if turn % 2 == 0 else list(reversed(self._sides))

    def _block(
        self, part: RunPart, side: Side, turn: int, workers: int, seconds: float, rate: float | None
    ) -> None:
        """Number -1 is the warm-up: nothing of it is kept."""
        self._progress(self._done, self._total, side.name)
        heading = Heading(part, side.name, side.scenario.name, turn, workers)
        recorder = CallRecorder(heading, side.backend, side.challenge, side.fetch, self._time)
        began, cpu = self._time.now(), machine.process_time()
        try:
            self._load(side.scenario, recorder, turn, workers, seconds, rate)
        finally:
            if turn >= 0:
                used = machine.process_time() - cpu
                ended = self._time.now()
                block = Block(part, side.name, turn, workers, began, ended, used)
                self.blocks.append(block)
                self.samples += recorder.samples
                self._keep(recorder.samples)
        side.scenario.settle(recorder)
        self._done += 1

    def _load(
        self,
        scenario: BenchScenario,
        recorder: CallRecorder,
        turn: int,
        workers: int,
        seconds: float,
        rate: float | None,
    ) -> None:
        def visit(intended: float) -> None:
            scenario.visit(recorder, intended)

        def dropped(moment: float) -> None:
            recorder.dropped(scenario.missed(), moment)

        if rate is None and not scenario.at_once:
            limits = LoadLimits(seconds, self._plan.visits)
            closed_loop(visit, workers, limits, self._time)
            return
        now = self._time.now()
        if scenario.at_once:
            moments = [now] * workers
        else:
            # Both systems of a turn get the same moments.
            rng = random.Random(f"{self._plan.seed}-{turn}")  # noqa: S311 - repeatable
            moments = [now + each for each in at_random(rate or 1.0, seconds, rng)]
        moments = moments[: self._plan.visits]
        open_loop(visit, moments, workers, OUTSTANDING * workers, dropped, self._time)
