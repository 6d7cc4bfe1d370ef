"""What the micro-benchmarks share: options, the fixture ``pair``, and the table of ratios."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.pairs import Pair, PairRatio
from fake_whale.own_arguments import hide

RATIOS = pytest.StashKey[dict[str, tuple[PairRatio, Mapping[str, object]]]]()
"""By node id, with its notes."""
SAVED = pytest.StashKey[dict[str, Mapping[str, Any]]]()
"""What a saved run has in ``extra_info``, by node id."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("micro", "micro-benchmarks (whale-ready)")
    group.addoption(
        "--rounds",
        type=int,
        metavar="N",
        help="timed calls of each subject and each baseline, in the place of a benchmark's own "
        "number; below 30 a ratio has no interval",
    )
    group.addoption(
        "--database",
        action="append",
        default=[],
        metavar="URL",
        help="an empty database on MariaDB, MySQL or PostgreSQL for bench_store.py, as in "
        "mysql+pymysql://USER:PASSWORD@HOST/DATABASE (repeatable); SQLite is always measured",
    )


def pytest_configure(config: pytest.Config) -> None:
    hide()
    config.stash[RATIOS] = {}
    config.stash[SAVED] = {}


_CPU = ("arch", "brand_raw", "count")


@pytest.fixture
def pair(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Pair:
    """Times a subject and its baseline in turns."""

    def keep(name: str, ratio: PairRatio, notes: Mapping[str, object]) -> None:
        request.config.stash[RATIOS][name] = ratio, notes

    return Pair(benchmark, request.config.getoption("--rounds"), keep)


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """A saved run has no name of the machine in it, nor what changes by itself: its clock rate."""
    machine_info.pop("node", None)
    machine_info["cpu"] = {key: machine_info["cpu"].get(key) for key in _CPU}


def pytest_benchmark_compare_machine_info(
    benchmarksession: Any, compared_benchmark: Mapping[str, Any]
) -> None:
    """Called with each saved run that ``--benchmark-compare`` names; the last one counts."""
    saved = {
        benchmark["fullname"]: benchmark["extra_info"]
        for benchmark in compared_benchmark["benchmarks"]
    }
    benchmarksession.config.stash[SAVED].update(saved)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    ratios, saved = config.stash[RATIOS], config.stash[SAVED]
    if not ratios:
        return
    terminalreporter.section("ratios: subject over baseline, medians of calls in turns A B B A")
    rows = [_HEADINGS, *(_row(name, *ratios[name], saved.get(name)) for name in _sorted(ratios))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join(cells).rstrip())


def _sorted(names: Iterable[str]) -> list[str]:
    """By name, numbers in it as numbers."""
    return sorted(names, key=lambda name: [int(s) if s.isdecimal() else s for s in _split(name)])


def _split(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


_HEADINGS = ("", "subject ms", "baseline ms", "ratio", "interval", "n", "saved", "")


def _row(
    name: str, found: PairRatio, notes: Mapping[str, object], saved: Mapping[str, Any] | None
) -> tuple[str, ...]:
    interval = "n too small" if found.low is None else f"{found.low:.3f} … {found.high:.3f}"
    told = [f"{key} {value}" for key, value in notes.items()]
    was = ""
    if saved and "ratio" in saved:
        was = f"{saved['ratio']:.3f}"
        told = [*(["differs"] if found.differs(saved) else []), *told]
    return (
        name.rpartition("/")[2],
        f"{found.subject_ms:.3f}",
        f"{found.baseline_ms:.3f}",
        f"{found.ratio:.3f}",
        interval,
        str(found.n),
        was,
        ", ".join(told),
    )
