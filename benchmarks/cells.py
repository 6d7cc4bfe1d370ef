"""What the samples of a run come to: one cell per system and call, ratios, the knee."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks import statistics
from benchmarks.comparison import Block
from benchmarks.decisions import QUANTILES, Judged, Margin, MarginDecision, judged, level_for
from benchmarks.samples import DROPPED, Measure, RunPart, Sample
from benchmarks.statistics import LEVEL, Interval, Series

CALLS = ("start", "ready", "status", "extend", "stop")
"""As reports name them; ``ready`` is a start, timed until its address answered."""
READY = "ready"


@dataclass(frozen=True)
class BenchCell:
    """One kind of call on one system."""

    backend: str
    call: str
    series: Series
    """Of calls that did what was asked. A call that was dropped, or an address that never
    answered, is infinitely long: it must not make a quantile look better."""
    made: int
    failed: int
    """With those that were dropped."""
    unknown: int
    dropped: int
    late_seconds: float
    """By how much the generator came late at most: that much is not the system's."""

    @property
    def due(self) -> int:
        return self.made + self.dropped


@dataclass(frozen=True)
class BenchRatio:
    """B's figure over A's (of errors: less A's), held against a margin; None where none is set."""

    call: str
    quantile: str
    value: Interval | None
    margin: Margin | None
    judged: Judged


@dataclass(frozen=True)
class LoadStep:
    """One load of the sweep."""

    concurrency: int
    per_second: float
    p95: Interval | None
    count: int


def cells_of(samples: Iterable[Sample]) -> list[BenchCell]:
    """The cells of the comparison at one load: one call after the other, each of every system."""
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        if sample.part is RunPart.MAIN:
            grouped.setdefault((sample.backend, sample.call), []).append(sample)
    cells = []
    for (backend, call), found in grouped.items():
        cells.append(_cell(backend, call, found, Measure.ANSWER))
        if call == "start" and any(each.ready is not None for each in found):
            cells.append(_cell(backend, READY, found, Measure.READY))
    return sorted(cells, key=lambda cell: CALLS.index(cell.call))


def ratios_of(
    over: Sequence[BenchCell],
    under: Sequence[BenchCell],
    margins: Sequence[Margin],
    seed: int,
    *,
    same_run: bool = True,
) -> list[BenchRatio]:
    """B (``over``) against A: each quantile's ratio, and errors, of every call that both made.

    A call that was measured on one of them only has none, and leaves open every margin that is set
    for it.

    Args:
        same_run: whether turns of one number were measured one after the other.
    """
    rng = np.random.default_rng(seed)
    pairs = [
        (above, below)
        for call in CALLS
        for above in over
        for below in under
        if above.call == below.call == call
    ]
    level = level_for(sum(_applies(m, above.call) for m in margins for above, _ in pairs))
    made = statistics.ratio if same_run else statistics.ratio_of_runs
    found = []
    for above, below in pairs:
        turns = min(above.series.turn_count, below.series.turn_count)
        for name, quantile in QUANTILES.items():
            margin = _margin(margins, name, above.call)
            at = level if margin else LEVEL
            value = made(above.series, below.series, quantile, rng, at)
            found.append(BenchRatio(above.call, name, value, margin, _judged(margin, value, turns)))
        if above.call != READY:
            margin = _margin(margins, "errors", above.call)
            at = level if margin else LEVEL
            rates = [statistics.wilson(cell.failed, cell.due, at) for cell in (above, below)]
            value = statistics.difference(*rates)
            found.append(
                BenchRatio(above.call, "errors", value, margin, _judged(margin, value, turns))
            )
    return [*found, *_one_sided((*over, *under), {above.call for above, _ in pairs}, margins)]


def _one_sided(
    cells: Sequence[BenchCell], on_both: set[str], margins: Sequence[Margin]
) -> Iterator[BenchRatio]:
    for cell in cells:
        if cell.call in on_both:
            continue
        for name in (*QUANTILES, "errors"):
            margin = _margin(margins, name, cell.call)
            if margin is not None and _applies(margin, cell.call):
                judged = Judged(MarginDecision.INCONCLUSIVE, f"measured on {cell.backend} only")
                yield BenchRatio(cell.call, name, None, margin, judged)


def steps_of(
    samples: Iterable[Sample], blocks: Iterable[Block], backend: str, seed: int
) -> list[LoadStep]:
    """Throughput and p95 of the calls of a sweep, against concurrency; answers only."""
    rng = np.random.default_rng(seed)
    found = []
    mine = [
        sample for sample in samples if sample.part is RunPart.SWEEP and sample.backend == backend
    ]
    for block in blocks:
        if block.part is not RunPart.SWEEP or block.backend != backend:
            continue
        here = [sample for sample in mine if sample.block == block.block]
        times = [sample.seconds(Measure.ANSWER) for sample in here if sample.ok]
        seconds = np.array([value for value in times if value is not None], dtype=np.float64)
        # One block has no turns to resample: its calls are taken for independent.
        series = Series(seconds, np.arange(seconds.size, dtype=np.int64))
        p95 = statistics.quantile(series, 0.95, rng)
        lasted = max(block.ended - block.began, 1e-9)
        found.append(LoadStep(block.concurrency, seconds.size / lasted, p95, int(seconds.size)))
    return found


def knee_of(steps: Sequence[LoadStep]) -> int | None:
    """The concurrency at which throughput over mean response time is largest (Kleinrock's power).

    In a closed loop the mean response time is concurrency over throughput (Little), so what is
    compared is throughput squared over concurrency. As long as throughput grows with the load it
    grows; once throughput stands still it falls. None when the largest load has the most: the knee
    lies beyond it, or when fewer than three loads were tried.
    """
    if len(steps) < 3:
        return None
    power = [step.per_second**2 / step.concurrency for step in steps]
    best = max(range(len(steps)), key=lambda place: power[place])
    return None if best == len(steps) - 1 else steps[best].concurrency


def decisions_of(ratios: Iterable[BenchRatio]) -> list[MarginDecision]:
    """Those of ratios for which a margin was set."""
    return [ratio.judged.decision for ratio in ratios if ratio.margin is not None]


def _cell(backend: str, call: str, samples: Sequence[Sample], measure: Measure) -> BenchCell:
    timed = [sample for sample in samples if sample.ok or sample.code == DROPPED]
    seconds = [sample.seconds(measure) for sample in timed]
    series = Series(
        np.array([math.inf if second is None else second for second in seconds], dtype=np.float64),
        np.array([sample.block for sample in timed], dtype=np.int64),
    )
    dropped = sum(sample.code == DROPPED for sample in samples)
    return BenchCell(
        backend=backend,
        call=call,
        series=series,
        made=len(samples) - dropped,
        failed=sum(not sample.ok for sample in samples),
        unknown=sum(not sample.definite for sample in samples),
        dropped=dropped,
        late_seconds=max(
            (sample.began - sample.intended for sample in samples if sample.began), default=0
        ),
    )


def _applies(margin: Margin, call: str) -> bool:
    return margin.is_of(call) and not (margin.is_rate and call == READY)


def _margin(margins: Sequence[Margin], name: str, call: str) -> Margin | None:
    """The margin for this figure; one for the call itself goes before one for all."""
    fitting = [margin for margin in margins if margin.name == name and margin.is_of(call)]
    return max(fitting, key=lambda each: each.call is not None, default=None)


def _judged(margin: Margin | None, value: Interval | None, turns: int) -> Judged:
    if margin is None:
        return Judged(MarginDecision.NOTHING, "no margin was set")
    return judged(margin, value, turns)
