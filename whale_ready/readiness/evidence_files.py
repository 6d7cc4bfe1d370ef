"""Reads the three files an answer is made of, and refuses what is not understood.

All text of a file is cleaned of what looks like a secret before anything else sees it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks.bench_file import FORMAT, BenchDocument, CellRow
from benchmarks.bench_file import VERSION as BENCH_VERSION
from conformance.report.report_file import from_dict
from conformance.report.results import BackendInfo
from conformance.spec.redaction import cleaned
from conformance.spec.rules import SPEC_VERSION
from engines.setting_values import url as an_address
from engines.typed_input import Unfit, from_json
from whale_ready.preflight.items import ItemState
from whale_ready.preflight.report import KIND, SCHEMA_VERSION, PreflightDocument
from whale_ready.readiness.evidence import (
    BenchFile,
    CheckFile,
    PreflightFile,
    Source,
    same_place,
)

_NEWER = "it is of a newer whale-ready; use that one"


class EvidenceError(ValueError):
    """A file cannot be used; the message names file, field and fix."""


def read_check(path: Path) -> CheckFile:
    """A ``report.json`` of ``whale-ready check --report``, also of a run that was cut short.

    Raises:
        EvidenceError: it is none, or is not understood to the last key.
    """
    again = "make a new one: whale-ready check --report DIR"
    content, sha256 = _content(path, again)
    try:
        _known_form(path, content, "spec_version", SPEC_VERSION)
        report = from_dict(content)
    except EvidenceError:
        raise
    except ValueError as error:
        raise EvidenceError(f"{path}: is no report of a check: {error}; {again}") from None
    source = Source(path.name, sha256, report.started_at, report.tool_version)
    return CheckFile(source, report)


def read_bench(path: Path) -> BenchFile:
    """A ``bench.json`` of ``whale-ready bench --report``.

    Raises:
        EvidenceError: it is none, or what an answer needs is not understood.
    """
    again = "make a new one: whale-ready bench --report DIR"
    content, sha256 = _content(path, again)
    try:
        _kind(content, "format", FORMAT)
        _known_form(path, content, "version", BENCH_VERSION)
        return _bench(from_json(content, BenchDocument, more=True), path.name, sha256)
    except EvidenceError:
        raise
    except ValueError as error:
        raise EvidenceError(f"{path}: is no result of a bench: {error}; {again}") from None


def read_preflight(path: Path) -> PreflightFile:
    """A ``preflight.json`` of ``whale-ready preflight``.

    Raises:
        EvidenceError: it is none, or what an answer needs is not understood.
    """
    again = "make a new one: whale-ready preflight --whale URL --report FILE"
    content, sha256 = _content(path, again)
    try:
        _kind(content, "kind", KIND)
        _known_form(path, content, "schema_version", SCHEMA_VERSION)
        return _preflight(from_json(content, PreflightDocument, more=True), path.name, sha256)
    except EvidenceError:
        raise
    except ValueError as error:
        raise EvidenceError(f"{path}: is no result of a preflight: {error}; {again}") from None


def _content(path: Path, again: str) -> tuple[dict[str, Any], str]:
    """A file's JSON object without secrets, and the SHA-256 of the file as it is."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}; name a file I can read") from None
    try:
        content = json.loads(data, parse_constant=_finite, parse_float=_finite)
        found = from_json(cleaned(content), dict)
    except (ValueError, RecursionError):
        raise EvidenceError(f"{path}: is no JSON object; {again}") from None
    return found, hashlib.sha256(data).hexdigest()


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no JSON")
    return number


def _kind(content: dict[str, Any], key: str, kind: str) -> None:
    """That a file is what its option asks for."""
    if content.get(key) != kind:
        raise ValueError(f"{key} is not {kind!r}")


def _known_form(path: Path, content: dict[str, Any], key: str, newest: int) -> None:
    found = content.get(key)
    if type(found) is int and found > newest:
        raise EvidenceError(
            f"{path}: {key}: is {found}, and {newest} is the newest I know: {_NEWER}"
        )


def _bench(found: BenchDocument, file: str, sha256: str) -> BenchFile:
    roles = [backend.role for backend in found.backends]
    if roles not in (["A", "B"], ["A", "B", "baseline"]):
        raise ValueError(f"backends: their roles are {', '.join(roles)}")
    names = [backend.name for backend in found.backends]
    tool = found.environment.get("whale-ready")
    if not isinstance(tool, str):
        raise Unfit(("environment", "whale-ready"), "must be a text")
    return BenchFile(
        source=Source(file, sha256, found.began, tool),
        verdict=found.verdict,
        interrupted=found.interrupted,
        margins=found.margins,
        loop=found.loop,
        open_loop=found.plan.rate is not None or found.plan.scenario == "storm",
        backends=tuple(
            BackendInfo(backend.name, backend.kind, backend.simulated, versions=backend.versions)
            for backend in found.backends
        ),
        ratios=found.ratios,
        cells=tuple(_cell(number, row, names) for number, row in enumerate(found.cells)),
        environment={k: each for k, each in found.environment.items() if isinstance(each, str)},
        notes=found.notes,
    )


def _cell(number: int, cell: CellRow, names: Collection[str]) -> dict[str, Any]:
    if cell.backend not in names:
        raise Unfit(("cells", number), f"backend is {cell.backend!r}")
    p95 = dict(cell.quantiles.p95)
    if set(p95) not in ({"n_too_small"}, {"value", "low", "high"}):
        raise Unfit(("cells", number, "quantiles", "p95"), "must be value, low and high")
    return {"backend": cell.backend, "call": cell.call, "quantiles": {"p95": p95}}


def _preflight(found: PreflightDocument, file: str, sha256: str) -> PreflightFile:
    if not found.items:
        raise ValueError("items is empty: nothing was looked at")
    ((most, times),) = Counter(item.id for item in found.items).most_common(1)
    if times > 1:
        raise ValueError(f"items: {most} is there twice")
    for state in ItemState:
        number = sum(item.state is state for item in found.items)
        if getattr(found.counts, state.value) != number:
            told = getattr(found.counts, state.value)
            raise ValueError(f"counts: {state.value} is {told}, of {number} items")
    return PreflightFile(
        source=Source(file, sha256, found.made_at, found.whale_ready),
        url=_address(found.whale.url),
        dialect=found.whale.dialect or "",
        version=found.whale.version or "",
        items=found.items,
    )


def _address(text: str) -> str:
    try:
        found = an_address(text)
        same_place(found)  # its port is a number
    except ValueError as error:
        raise ValueError(f"whale: url: {error}") from None
    return found
