"""``whale-ready bench compare``: the same backend in two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench_file import FORMAT, JSON, VERSION
from benchmarks.bench_report import SAMPLES
from benchmarks.cells import BenchRatio, cells_of, decisions_of, ratios_of
from benchmarks.decisions import Margin, MarginDecision
from benchmarks.samples import SamplesError, read_samples

_ALIKE = ("scenario", "rate", "concurrency", "turns", "seconds", "live")


class CompareError(ValueError):
    """Two runs cannot be compared; the message names the file and the fix."""


@dataclass(frozen=True)
class Compared:
    """Ratios by backend, and what makes the two runs hard to compare."""

    ratios: Mapping[str, list[BenchRatio]]
    unlike: Sequence[str]

    @property
    def decisions(self) -> list[MarginDecision]:
        return [decision for ratios in self.ratios.values() for decision in decisions_of(ratios)]


def compare(before: Path, after: Path, margins: Sequence[Margin]) -> Compared:
    """The second run over the first, for each backend that is in both.

    Args:
        before: a folder that ``whale-ready bench --report`` wrote.

    Raises:
        CompareError: one cannot be read, or no backend is in both.
    """
    old, new = _report(before), _report(after)
    try:
        under, over = (cells_of(read_samples(folder / SAMPLES)) for folder in (before, after))
    except SamplesError as error:
        raise CompareError(str(error)) from None
    names = [n for n in dict.fromkeys(c.backend for c in under) if n in {c.backend for c in over}]
    if not names:
        raise CompareError(f"{after}: no backend of it is in {before} too")
    ratios = {
        name: ratios_of(
            [cell for cell in over if cell.backend == name],
            [cell for cell in under if cell.backend == name],
            margins,
            seed=0,
            same_run=False,
        )
        for name in names
    }
    return Compared(ratios, _unlike(old, new))


def _report(folder: Path) -> dict[str, Any]:
    path = folder / JSON
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CompareError(
            f"{path}: cannot be read ({type(error).__name__}); name a folder that "
            "whale-ready bench --report wrote"
        ) from None
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise CompareError(f"{path}: is no {FORMAT} of version {VERSION}; run the bench again")
    return data


def _unlike(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    lines = [
        f"{name}: {old['plan'][name]} in A, {new['plan'][name]} in B"
        for name in _ALIKE
        if old["plan"][name] != new["plan"][name]
    ]
    here, there = old["environment"], new["environment"]
    lines += [
        f"{name}: {here.get(name)} in A, {there.get(name)} in B"
        for name in sorted({*here, *there} - {"load_average"})
        if here.get(name) != there.get(name)
    ]
    return lines
