"""What CRE costs on top of the Docker SDK told to do the same, on real Docker.

A longer run with bars, bursts and the warm pool is ``python -m benchmarks.cre_speed``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.cre_bench import COLD, Bench, Counts, RawClient, live, started, stopped
from benchmarks.interrupts import DeferredInterrupts
from benchmarks.micro.pairs import Pair, Variant
from conformance.harness import CannotRun
from engines.cre import ContainerRuntimeEngine

pytestmark = pytest.mark.timeout(900)

USER = 1_000_000
ROUNDS = 30


class Raw:
    """One container by the SDK."""

    def __init__(self, raw: RawClient, bench: Bench) -> None:
        self._raw = raw
        self._bench = bench
        self._made = ""

    def start(self) -> None:
        self._made = self._raw.start()

    def status(self) -> None:
        self._bench.inspect(self._made)

    def stop(self) -> None:
        self._raw.remove(self._made)


class Cre:
    """One instance by the engine."""

    def __init__(self, engine: ContainerRuntimeEngine) -> None:
        self._engine = engine

    def start(self) -> None:
        started(self._engine, USER, COLD)

    def status(self) -> None:
        live(self._engine, USER, COLD)

    def stop(self) -> None:
        stopped(self._engine, USER, COLD)


@pytest.fixture(scope="module")
def interrupts() -> Iterator[DeferredInterrupts]:
    """Looked at between calls: what a call makes that is broken off would stay."""
    with DeferredInterrupts() as held:
        yield held


@pytest.fixture(scope="module")
def both(interrupts: DeferredInterrupts) -> Iterator[tuple[Cre, Raw]]:
    """The engine and the SDK, on the same network of one Docker engine."""
    bench = Bench(Counts(), interrupts)
    try:
        with bench:
            engine = bench.engine("micro")
            yield Cre(engine), Raw(bench.raw(engine), bench)
    except CannotRun as error:
        pytest.skip(str(error))
    if bench.left:
        pytest.fail(f"left behind: {', '.join(bench.left)}", pytrace=False)


def test_start(pair: Pair, both: tuple[Cre, Raw], interrupts: DeferredInterrupts) -> None:
    cre, raw = (Variant(each.start, interrupts.check, each.stop) for each in both)
    pair(cre, raw, ROUNDS)


def test_stop(pair: Pair, both: tuple[Cre, Raw], interrupts: DeferredInterrupts) -> None:
    cre, raw = (Variant(each.stop, each.start, interrupts.check) for each in both)
    pair(cre, raw, ROUNDS)


def test_status(pair: Pair, both: tuple[Cre, Raw], interrupts: DeferredInterrupts) -> None:
    """Held against a bare inspect, of which it needs one."""
    for each in both:
        each.start()
    cre, raw = (Variant(each.status, interrupts.check) for each in both)
    pair(cre, raw, 10 * ROUNDS)
    for each in both:
        each.stop()
