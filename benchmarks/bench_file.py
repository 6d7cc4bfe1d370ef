"""What ``bench.json`` holds, and its JSON Schema; needs neither numpy nor scipy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from benchmarks.comparison import BenchPlan, Block
from benchmarks.resources import Cost
from engines.typed_input import Count, Moment, schema_of

FORMAT, VERSION = "whale-ready bench", 1
JSON = "bench.json"

Call = Literal["start", "ready", "status", "extend", "stop"]
Figure = Literal["p50", "p90", "p95", "p99", "errors"]
Decision = Literal["pass", "fail", "inconclusive", "nothing"]
Spread = Mapping[
    Literal["value", "low", "high", "n_too_small"], Annotated[float, Meta(ge=0)] | Count | None
]
"""An estimate in ms and its interval, null for infinite; or how many times it would need."""


@dataclass(frozen=True)
class BackendUnderLoad:
    name: str
    role: Literal["A", "B", "baseline"]
    kind: str
    simulated: bool
    versions: Mapping[str, str]


@dataclass(frozen=True)
class RateRow:
    count: Count
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class QuantilesRow:
    p50: Spread
    p90: Spread
    p95: Spread
    p99: Spread


@dataclass(frozen=True)
class CellRow:
    """One call on one backend."""

    backend: str
    call: Call
    n: Count
    turns: Count
    quantiles: QuantilesRow
    failed: RateRow
    unknown: RateRow
    dropped: Count
    late_ms: float | None
    ecdf: tuple[tuple[float | None, float], ...]


@dataclass(frozen=True)
class ThroughputRow:
    backend: str
    calls: Count
    seconds: float
    per_second: float | None
    cpu_ms_per_call: float | None


@dataclass(frozen=True)
class RatioFigure:
    """One figure of B over A's (of errors: less A's); None is infinite, or not known."""

    call: Call
    figure: Figure
    value: float | None
    low: float | None
    high: float | None
    margin: float | None
    decision: Decision
    why: str

    def __post_init__(self) -> None:
        if (self.decision == "nothing") is not (self.margin is None):
            raise ValueError(f"decision is {self.decision}, margin is {self.margin}")
        least = -1.0 if self.figure == "errors" else 0.0
        for name in ("value", "low", "high", "margin"):
            number = getattr(self, name)
            if number is not None and number < least:
                raise ValueError(f"{name} is {number}")

    def __str__(self) -> str:
        """Value and interval. Without any end it is infinite where it failed; else n is too small
        for it."""
        ends = (self.value, self.low, self.high)
        if self.value is None and self.low is None and self.decision != "fail":
            return "n too small"
        value, low, high = ("∞" if end is None else f"{end:.3g}" for end in ends)
        return f"{value} [{low}, {high}]"


@dataclass(frozen=True)
class StepRow:
    concurrency: Count
    per_second: float
    p95: Spread | None
    n: Count


@dataclass(frozen=True)
class SweepRow:
    """One backend against concurrency."""

    backend: str
    knee: int | None
    steps: tuple[StepRow, ...]


@dataclass(frozen=True)
class BenchDocument:
    """A comparison of two backends under the same load. Times are in milliseconds, an infinite one
    is null. docs/benchmarks.md explains every key."""

    format: Literal["whale-ready bench"]
    version: Literal[1]
    verdict: Literal["pass", "fail", "inconclusive"]
    exit_code: Literal[0, 1, 2]
    interrupted: bool
    reasons: Annotated[tuple[str, ...], Meta(min_length=1)]
    began: Moment
    ended: Moment
    plan: BenchPlan
    loop: str
    margins: tuple[str, ...]
    level: float
    environment: Mapping[str, str | int | tuple[float, ...]]
    backends: Annotated[tuple[BackendUnderLoad, ...], Meta(min_length=2, max_length=3)]
    cells: tuple[CellRow, ...]
    throughput: tuple[ThroughputRow, ...]
    ratios: tuple[RatioFigure, ...]
    sweep: tuple[SweepRow, ...]
    resources: tuple[Cost, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]


def bench_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of this version's ``bench.json``."""
    schema = schema_of(BenchDocument, "bench")
    schema["$defs"]["RatioFigure"] |= {
        "if": {"properties": {"margin": {"type": "null"}}},
        "then": {"properties": {"decision": {"const": "nothing"}}},
        "else": {"properties": {"decision": {"enum": ["pass", "fail", "inconclusive"]}}},
    }
    return schema
