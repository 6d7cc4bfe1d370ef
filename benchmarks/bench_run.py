"""``whale-ready bench`` without its command line: open the systems, measure, close them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.bench_report import BenchRun
from benchmarks.comparison import BenchPlan, Progress, Run, Side
from benchmarks.decisions import Margin
from benchmarks.interrupts import DeferredInterrupts
from benchmarks.resources import Cost, cost_of
from benchmarks.samples import Sample
from benchmarks.scenarios import scenario
from benchmarks.subjects import baseline, chosen
from benchmarks.time_source import RealTime
from conformance.harness import Hook, Options, World
from conformance.registry.backends import Subject
from conformance.report.results import BackendInfo
from conformance.run.observer import Observer
from conformance.run.setup import Backends

LONG_SECONDS, MANY_EXTENSIONS = 6 * 3600, 1000
"""No instance expires under load, and none runs out of extensions soon."""


class BenchError(Exception):
    """It could not be measured; the message says why."""


@dataclass(frozen=True)
class BenchRequest:
    """What the command was asked for."""

    plan: BenchPlan
    margins: tuple[Margin, ...]
    backends: tuple[str, ...] = ()
    with_baseline: bool = True
    whale_world: Path | None = None
    """What a live Whale may be used for: the file of ``--whale-world``."""


def bench(
    request: BenchRequest,
    keep: Callable[[Sequence[Sample]], None],
    progress: Progress,
    observer: Observer,
) -> BenchRun:
    """Measure; Ctrl-C ends it with what was measured until then.

    Raises:
        BackendSpecError: a backend cannot be loaded.
        BenchError: one cannot be opened, or left something behind.
        KeyboardInterrupt: before anything was measured.
    """
    plan = request.plan
    subjects = chosen(request.backends, plan.accounts, request.whale_world)
    raw = baseline(subjects, plan.accounts) if request.with_baseline else None
    backends = Backends([*subjects, *([raw] if raw else [])], observer)
    began = datetime.now(timezone.utc)
    with DeferredInterrupts() as interrupts:
        try:
            backends.open()
            if backends.problems:
                raise BenchError("; ".join(backends.problems))
            measured = _measured(request, backends, began, keep, progress, interrupts)
        finally:
            backends.close()
    if backends.problems:
        raise BenchError("; ".join(backends.problems))
    return measured


def _measured(
    request: BenchRequest,
    backends: Backends,
    began: datetime,
    keep: Callable[[Sequence[Sample]], None],
    progress: Progress,
    interrupts: DeferredInterrupts,
) -> BenchRun:
    def moved(done: int, total: int, name: str) -> None:
        interrupts.check()  # between blocks: the main thread calls then
        progress(done, total, name)

    interrupted = False
    costs: list[Cost] = []
    with ExitStack() as stack:
        worlds = [_world(subject, stack) for subject in backends.subjects]
        pairs = list(zip(backends.subjects, worlds, strict=True))
        live = _live(worlds, request.plan)
        sides = [_side(subject, world, request.plan, live) for subject, world in pairs]
        run = Run(request.plan, sides, RealTime(interrupts.check), keep, moved)
        try:
            run.measure()
            for subject, world in pairs:
                interrupts.check()
                costs.append(_cost(subject, world))
            interrupts.check()
        except KeyboardInterrupt:
            if not run.samples:
                raise
            interrupted = True
    infos = tuple(backends.infos)
    return BenchRun(
        plan=request.plan,
        margins=request.margins,
        backends=infos,
        samples=run.samples,
        blocks=run.blocks,
        costs=costs,
        notes=(*backends.notes, *_warnings(infos, worlds, request.plan)),
        began=began,
        ended=datetime.now(timezone.utc),
        interrupted=interrupted,
    )


def _world(subject: Subject, stack: ExitStack) -> World:
    options = Options(timeout_seconds=LONG_SECONDS, max_extensions=MANY_EXTENSIONS)
    world = subject.harness.world(options)
    stack.callback(world.close)
    return world


def _live(worlds: Sequence[World], plan: BenchPlan) -> int:
    """How many instances a contest holds: no more than leaves every worker an account everywhere,
    since a start that finds none would count as one that failed."""
    fewest = min(len(world.crowd(plan.accounts)) for world in worlds)
    return max(1, min(plan.live, fewest - plan.concurrency))


def _side(subject: Subject, world: World, plan: BenchPlan, live: int) -> Side:
    extends = world.backend.capabilities.max_extensions > 0
    visitors = scenario(
        plan.scenario, world.crowd(plan.accounts), plan.seed, live=live, extends=extends
    )
    fetch = world.fetch if Hook.FETCH in subject.harness.hooks else None
    return Side(subject.name, world.backend, world.challenges.first, fetch, visitors)


def _cost(subject: Subject, world: World) -> Cost:
    harness = subject.harness
    return cost_of(
        subject.name,
        world,
        world.players,
        simulated=harness.simulated or "docker" not in harness.versions(),
        hooks=harness.hooks,
    )


def _warnings(infos: Sequence[BackendInfo], worlds: Sequence[World], plan: BenchPlan) -> list[str]:
    """What a reader must know before believing a figure."""
    found = []
    for info, world in zip(infos, worlds, strict=True):
        if info.simulated or not {"docker", "url"} & set(info.versions):
            found.append(f"{info.name}: no real containers; its times are not those of a system")
        if "fake" in info.name or "fake_whale" in info.versions:
            found.append(f"{info.name}: a fake Whale answers; what Whale itself takes is not in it")
        there = len(world.crowd(plan.accounts))
        if there < plan.accounts:
            found.append(f"{info.name}: has {there} accounts for {plan.accounts} that are wanted")
    return found
