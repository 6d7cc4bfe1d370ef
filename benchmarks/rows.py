"""Rows of a report's tables, from the plain data of ``bench.json``: for Markdown and the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.decisions import QUANTILES

RATIO = ("call", "figure", "B/A", "interval", "margin", "")
CELL = ("backend", "call", "n", *QUANTILES, "failed", "unknown", "dropped")
THROUGHPUT = ("backend", "calls/s", "CPU ms of this process per call")
STEP = ("workers", "calls/s", "p95 ms", "n")

Row = Sequence[object]


def ratio(each: dict[str, Any]) -> Row:
    """Of ``ratios``."""
    missing = each["low"] is None
    between = "n too small" if missing else f"{_shown(each['low'])} to {_shown(each['high'])}"
    value = "–" if missing else _shown(each["value"])
    margin = "–" if each["margin"] is None else f"{each['margin']:g}"
    decision = "" if each["margin"] is None else each["decision"]
    return each["call"], each["figure"], value, between, margin, decision


def cell(each: dict[str, Any]) -> Row:
    """Of ``cells``."""
    return (
        each["backend"],
        each["call"],
        each["n"],
        *(_spread(each["quantiles"][name]) for name in QUANTILES),
        each["failed"]["count"],
        each["unknown"]["count"],
        each["dropped"],
    )


def throughput(each: dict[str, Any]) -> Row:
    """Of ``throughput``."""
    return each["backend"], _shown(each["per_second"]), _shown(each["cpu_ms_per_call"])


def step(each: dict[str, Any]) -> Row:
    """Of a system's ``steps`` in the sweep."""
    return each["concurrency"], _shown(each["per_second"]), _spread(each["p95"]), each["n"]


def cost(each: dict[str, Any]) -> str:
    """Of ``resources``, as a sentence."""
    if each["memory_mib"] is None:
        return f"{each['backend']}: cost of an instance not read: {each['why']}"
    return (
        f"{each['backend']}: {each['memory_mib']:.2f} MiB and {each['cpu_seconds']:.3f} s of "
        f"processor time per fresh instance (mean of {each['instances']})"
    )


def _shown(value: float | None) -> str:
    return "∞" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _spread(found: dict[str, Any] | None) -> str:
    if found is None:
        return "n too small"
    if "n_too_small" in found:
        return f"n too small (< {found['n_too_small']})"
    return f"{_shown(found['value'])} [{_shown(found['low'])}, {_shown(found['high'])}]"
