"""Measured times, the figures made of them, and the bars they are held against."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

_T = TypeVar("_T")


@dataclass
class Times:
    """Milliseconds by what was measured; filled as a run goes on, so that an end loses nothing."""

    taken: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, kind: str, call: Callable[[], _T]) -> _T:
        """Do it, and note how long it took; what raises is not noted."""
        began = time.perf_counter()
        result = call()
        self.add(kind, (time.perf_counter() - began) * 1000)
        return result

    def add(self, kind: str, milliseconds: float) -> None:
        self.taken.setdefault(kind, []).append(milliseconds)

    def p50(self, kind: str) -> float | None:
        """The median; None when nothing of the kind was measured."""
        found = self.taken.get(kind)
        return statistics.median(found) if found else None

    def p99(self, kind: str) -> float | None:
        """The nearest rank: with fewer than a hundred times it is the longest."""
        found = sorted(self.taken.get(kind, ()))
        return found[math.ceil(0.99 * len(found)) - 1] if found else None

    def count(self, kind: str) -> int:
        return len(self.taken.get(kind, ()))


@dataclass(frozen=True)
class Bar:
    """What a figure may be at most, or must be at least."""

    limit: float
    at_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """One line of the result. ``value`` None: it was not measured, and that is not ok."""

    name: str
    unit: str
    value: float | None
    bar: Bar
    made_of: dict[str, float | int | None]
    """Rounded times and counts the value comes from."""

    @property
    def ok(self) -> bool:
        return self.value is not None and self.bar.holds(self.value)

    def as_json(self) -> dict[str, object]:
        return {
            "value": _rounded(self.value),
            "unit": self.unit,
            "bar": str(self.bar),
            "ok": self.ok,
            **{name: _rounded(value) for name, value in self.made_of.items()},
        }


def ratio(over: float | None, under: float | None) -> float | None:
    """``over / under``; None when one of them was not measured."""
    return None if over is None or not under else over / under


def in_turns(rounds: int, kinds: Sequence[str]) -> Iterator[str]:
    """A B B A, ``rounds`` times, so that all kinds see the same machine."""
    for _ in range(rounds):
        yield from (*kinds, *reversed(kinds))


def table(figures: Sequence[Figure]) -> str:
    """The figures with their bars, for a human."""
    rows = [("figure", "measured", "bar", "")]
    for figure in figures:
        shown = (
            "not measured" if figure.value is None else f"{figure.value:.3g} {figure.unit}".strip()
        )
        rows.append((figure.name, shown, str(figure.bar), "ok" if figure.ok else "NOT OK"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _rounded(value: float | None) -> float | None:
    return round(value, 3) if isinstance(value, float) else value
