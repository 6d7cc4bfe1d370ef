"""``bench.json`` and ``bench.md``: what a run came to, with all that is needed to judge it.

``docs/benchmarks.md`` tells every key. Times are in milliseconds, an infinite one is null.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import rows, statistics
from benchmarks.bench_file import FORMAT, JSON, VERSION
from benchmarks.cells import (
    BenchCell,
    BenchRatio,
    LoadStep,
    cells_of,
    decisions_of,
    knee_of,
    ratios_of,
    steps_of,
)
from benchmarks.comparison import BenchPlan, Block
from benchmarks.decisions import QUANTILES, Margin, MarginDecision, together
from benchmarks.page import PAGE, page
from benchmarks.resources import Cost
from benchmarks.samples import RunPart, Sample
from benchmarks.scenarios import ReconnectStorm
from benchmarks.statistics import LEVEL, Interval
from conformance.report.results import BackendInfo
from conformance.spec.redaction import cleaned
from engines.printable import json_text, printable

SAMPLES, MARKDOWN = "samples.jsonl", "bench.md"
_PACKAGES = ("whale-ready", "numpy", "scipy", "SQLAlchemy", "requests", "docker", "Flask")


@dataclass(frozen=True)
class BenchRun:
    """A run that is over, or was cut short."""

    plan: BenchPlan
    margins: tuple[Margin, ...]
    backends: tuple[BackendInfo, ...]
    """The two that are compared, in this order; then the baseline, if there is one."""
    samples: Sequence[Sample]
    blocks: Sequence[Block]
    costs: Sequence[Cost]
    notes: tuple[str, ...]
    began: datetime
    ended: datetime
    interrupted: bool = False


@dataclass(frozen=True)
class Result:
    """What is made of it."""

    measured: BenchRun
    cells: list[BenchCell]
    ratios: list[BenchRatio]
    steps: dict[str, list[LoadStep]]
    verdict: MarginDecision

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is none better, the worst first; for a pass, what was held."""
        told = [ratio for ratio in self.ratios if ratio.margin is not None]
        chosen = [ratio for ratio in told if ratio.judged.decision is self.verdict]
        lines = [f"{ratio.call} {ratio.quantile}: {_judgement(ratio)}" for ratio in chosen]
        if self.measured.interrupted:
            lines.insert(0, "interrupted before the end")
        return lines or ["no call was made on both that a margin is set for"]


def result_of(measured: BenchRun) -> Result:
    """Cells, ratios with their decisions, and the verdict.

    A run that was interrupted can fail, but never pass.
    """
    cells = cells_of(measured.samples)
    names = [backend.name for backend in measured.backends]
    under, over = ([cell for cell in cells if cell.backend == name] for name in names[:2])
    ratios = ratios_of(over, under, measured.margins, measured.plan.seed)
    verdict = together(decisions_of(ratios))
    if measured.interrupted and verdict is MarginDecision.PASS:
        verdict = MarginDecision.INCONCLUSIVE
    seed = measured.plan.seed
    steps = {name: steps_of(measured.samples, measured.blocks, name, seed) for name in names}
    return Result(measured, cells, ratios, {k: v for k, v in steps.items() if v}, verdict)


def as_json(result: Result) -> dict[str, Any]:
    """The whole, as plain data."""
    measured = result.measured
    rng = np.random.default_rng(measured.plan.seed)
    names = [backend.name for backend in measured.backends]
    storm = measured.plan.scenario == ReconnectStorm.name  # no closed loop: Little's law is no help
    return {
        "format": FORMAT,
        "version": VERSION,
        "verdict": result.verdict.value,
        "exit_code": result.verdict.exit_code,
        "interrupted": measured.interrupted,
        "reasons": result.reasons,
        "began": measured.began.isoformat(),
        "ended": measured.ended.isoformat(),
        "plan": asdict(measured.plan),
        "loop": loop_of(measured.plan),
        "margins": [str(margin) for margin in measured.margins],
        "level": LEVEL,
        "environment": environment(),
        "backends": [
            {
                "name": info.name,
                "role": role,
                "kind": info.kind,
                "simulated": info.simulated,
                "versions": dict(info.versions),
            }
            for info, role in zip(measured.backends, ("A", "B", "baseline"), strict=False)
        ],
        "cells": [_cell(cell, rng) for cell in result.cells],
        "throughput": [_throughput(measured, name) for name in names],
        "ratios": [_ratio(ratio) for ratio in result.ratios],
        "sweep": [
            {
                "backend": name,
                "knee": None if storm else knee_of(steps),
                "steps": [_step(step) for step in steps],
            }
            for name, steps in result.steps.items()
        ],
        "resources": [asdict(cost) for cost in measured.costs],
        "blocks": [asdict(block) for block in measured.blocks],
        "notes": list(measured.notes),
    }


def environment() -> dict[str, Any]:
    """Where it was measured; no name of the machine or of who uses it."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def loop_of(plan: BenchPlan) -> str:
    """How load was made, for people."""
    if plan.scenario == ReconnectStorm.name:
        return f"all at once, {plan.concurrency} visitors"
    if plan.rate is None:
        return f"closed loop, {plan.concurrency} workers"
    return f"open loop, {plan.rate:g} a second at random, at most {plan.concurrency} at a time"


def write(result: Result, folder: Path) -> None:
    """Write ``bench.json``, ``bench.md`` and ``bench.html``; the samples are there already."""
    data = cleaned(as_json(result))
    text = json_text(data, allow_nan=False)
    (folder / JSON).write_text(text + "\n", encoding="utf-8")
    (folder / MARKDOWN).write_text(printable(markdown(data), keep="\n"), encoding="utf-8")
    (folder / PAGE).write_text(printable(page(data), keep="\n"), encoding="utf-8")


def markdown(data: dict[str, Any]) -> str:
    """The same for people, of what :func:`as_json` gave."""
    a, b = (backend["name"] for backend in data["backends"][:2])
    lines = [
        f"# {b} against {a}: {data['verdict']}",
        "",
        *(f"- {reason}" for reason in data["reasons"]),
        "",
        (
            f"{data['plan']['scenario']}, {data['loop']}, {data['plan']['turns']} turns, seed "
            f"{data['plan']['seed']}; margins {', '.join(data['margins'])}. Intervals hold "
            f"together at {data['level']:.0%}."
        ),
        "",
        "## Ratios (B over A; errors: B less A)",
        "",
        *_table(rows.RATIO, map(rows.ratio, data["ratios"])),
        "",
        "## Times in ms, with intervals",
        "",
        *_table(rows.CELL, map(rows.cell, data["cells"])),
        "",
        "## Throughput and cost",
        "",
        *_table(rows.THROUGHPUT, map(rows.throughput, data["throughput"])),
        "",
        *(f"- {rows.cost(resource)}" for resource in data["resources"]),
    ]
    for each in data["sweep"]:
        knee = each["knee"] or "not within what was tried"
        lines += ["", f"## {each['backend']} against concurrency; knee: {knee}", ""]
        lines += _table(rows.STEP, map(rows.step, each["steps"]))
    lines += ["", "## Where", ""]
    lines += [f"- {key}: {value}" for key, value in data["environment"].items()]
    for backend in data["backends"]:
        simulated = ", simulated" if backend["simulated"] else ""
        versions = ", ".join(f"{key} {value}" for key, value in backend["versions"].items())
        lines.append(
            f"- {backend['role']}: {backend['name']}, {backend['kind']}{simulated} ({versions})"
        )
    lines += [f"- Note: {note}" for note in data["notes"]]
    return "\n".join(lines) + "\n"


def _judgement(each: BenchRatio) -> str:
    if each.value is None:
        return f"{each.judged.why} (margin {each.margin})"
    value = f"{each.value.value:.3g} [{each.value.low:.3g}, {each.value.high:.3g}]"
    return f"{value}, margin {each.margin}: {each.judged.why}"


def _cell(cell: BenchCell, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "backend": cell.backend,
        "call": cell.call,
        "n": cell.series.count,
        "turns": cell.series.turn_count,
        "quantiles": {name: _quantile(cell, part, rng) for name, part in QUANTILES.items()},
        "failed": {"count": cell.failed, **_interval(statistics.wilson(cell.failed, cell.due))},
        "unknown": {"count": cell.unknown, **_interval(statistics.wilson(cell.unknown, cell.due))},
        "dropped": cell.dropped,
        "late_ms": _ms(cell.late_seconds),
        "ecdf": [[_ms(at), round(part, 4)] for at, part in _ecdf(cell)],
    }


def _ecdf(cell: BenchCell) -> list[tuple[float, float]]:
    return statistics.ecdf(cell.series.seconds) if cell.series.count else []


def _quantile(cell: BenchCell, part: float, rng: np.random.Generator) -> dict[str, Any]:
    found = statistics.quantile(cell.series, part, rng)
    if found is None:
        return {"n_too_small": statistics.needed(part)}
    return {key: _ms(value) for key, value in asdict(found).items()}


def _ratio(each: BenchRatio) -> dict[str, Any]:
    return {
        "call": each.call,
        "figure": each.quantile,
        **(_interval(each.value) if each.value else {"value": None, "low": None, "high": None}),
        "margin": each.margin.limit if each.margin else None,
        "decision": each.judged.decision.value,
        "why": each.judged.why,
    }


def _throughput(measured: BenchRun, name: str) -> dict[str, Any]:
    blocks = [b for b in measured.blocks if b.backend == name and b.part is RunPart.MAIN]
    calls = sum(s.backend == name and s.part is RunPart.MAIN and s.ok for s in measured.samples)
    seconds = sum(block.ended - block.began for block in blocks)
    cpu = sum(block.cpu_seconds for block in blocks)
    return {
        "backend": name,
        "calls": calls,
        "seconds": round(seconds, 3),
        "per_second": round(calls / seconds, 2) if seconds else None,
        "cpu_ms_per_call": round(1000 * cpu / calls, 3) if calls else None,
    }


def _step(each: LoadStep) -> dict[str, Any]:
    return {
        "concurrency": each.concurrency,
        "per_second": round(each.per_second, 2),
        "p95": {key: _ms(value) for key, value in asdict(each.p95).items()} if each.p95 else None,
        "n": each.count,
    }


def _interval(found: Interval) -> dict[str, float | None]:
    return {
        key: round(value, 4) if math.isfinite(value) else None
        for key, value in asdict(found).items()
    }


def _ms(seconds: float) -> float | None:
    return round(1000 * seconds, 3) if math.isfinite(seconds) else None


def _table(headings: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    made = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    return made + [f"| {' | '.join(map(str, line))} |" for line in lines]
