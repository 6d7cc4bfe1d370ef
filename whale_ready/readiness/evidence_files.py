"""Reads the three files an answer is made of, and refuses what is not understood.

All text of a file is cleaned of what looks like a secret before anything else sees it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.bench_file import FORMAT
from benchmarks.bench_file import VERSION as BENCH_VERSION
from conformance.report.json_fields import (
    NUMBER,
    TEXT,
    WHOLE,
    a_list,
    an_object,
    at_least,
    made,
    strings,
    texts,
    typed,
)
from conformance.report.report_file import from_dict
from conformance.report.results import BackendInfo
from conformance.spec.redaction import cleaned
from conformance.spec.rules import SPEC_VERSION
from engines.setting_values import url as an_address
from whale_ready.preflight.items import Item, ItemState
from whale_ready.readiness.evidence import (
    BenchFile,
    CheckFile,
    PreflightFile,
    RatioFigure,
    Source,
    same_place,
)

PREFLIGHT, PREFLIGHT_VERSION = "whale-ready preflight", 1
FIGURES = ("p50", "p90", "p95", "p99", "errors")
DECISIONS = ("pass", "fail", "inconclusive", "nothing")
CALLS = ("start", "ready", "status", "extend", "stop")
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:+-")
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
        at_least("this", content, ("spec_version", "results"))
        if typed(content, "spec_version", WHOLE, "this") > SPEC_VERSION:
            raise EvidenceError(
                f"{path}: spec_version: is {content['spec_version']}, and {SPEC_VERSION} is the "
                f"newest I know: {_NEWER}"
            )
        report = from_dict(content)
        _with_zone("started_at", report.started_at)
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
        _kind(path, content, ("format", FORMAT), ("version", BENCH_VERSION))
        return _bench(content, path.name, sha256)
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
        _kind(path, content, ("kind", PREFLIGHT), ("schema_version", PREFLIGHT_VERSION))
        return _preflight(content, path.name, sha256)
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
        content = json.loads(data, parse_constant=_no_number)
        found = an_object("this", cleaned(content))
    except (ValueError, RecursionError):
        raise EvidenceError(f"{path}: is no JSON object; {again}") from None
    return found, hashlib.sha256(data).hexdigest()


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _kind(
    path: Path, content: dict[str, Any], kind: tuple[str, str], form: tuple[str, int]
) -> None:
    """That a file is what its option asks for, in a form that is known."""
    if content.get(kind[0]) != kind[1]:
        raise ValueError(f"{kind[0]} is not {kind[1]!r}")
    version = typed(content, form[0], WHOLE, "this")
    if version > form[1]:
        raise EvidenceError(
            f"{path}: {form[0]}: is {version}, and {form[1]} is the newest I know: {_NEWER}"
        )
    if version != form[1]:
        raise ValueError(f"{form[0]} is {version}")


def _bench(content: dict[str, Any], file: str, sha256: str) -> BenchFile:
    needed = ("verdict", "interrupted", "began", "plan", "loop", "margins", "environment")
    at_least("this", content, (*needed, "backends", "cells", "ratios", "notes"))
    backends = [_bench_backend(n, each) for n, each in enumerate(a_list(content, "backends"))]
    roles = [role for role, _ in backends]
    if roles not in (["A", "B"], ["A", "B", "baseline"]):
        raise ValueError(f"backends: their roles are {', '.join(roles)}")
    names = [each.name for _, each in backends]
    plan = an_object("plan", content["plan"])
    at_least("plan", plan, ("rate", "scenario"))
    environment = an_object("environment", content["environment"])
    source = Source(
        file,
        sha256,
        _moment("began", content["began"]),
        typed(environment, "whale-ready", TEXT, "environment"),
    )
    return BenchFile(
        source=source,
        verdict=_one_of(content, "verdict", DECISIONS, "this"),
        interrupted=typed(content, "interrupted", (bool,), "this"),
        margins=strings(content, "margins"),
        loop=typed(content, "loop", TEXT, "this"),
        open_loop=plan["rate"] is not None or plan["scenario"] == "storm",
        backends=tuple(each for _, each in backends),
        ratios=tuple(_ratio(n, each) for n, each in enumerate(a_list(content, "ratios"))),
        cells=tuple(_cell(n, each, names) for n, each in enumerate(a_list(content, "cells"))),
        environment={key: each for key, each in environment.items() if isinstance(each, str)},
        notes=strings(content, "notes"),
    )


def _bench_backend(number: int, content: object) -> tuple[str, BackendInfo]:
    where = f"backends[{number}]"
    data = an_object(where, content)
    at_least(where, data, ("name", "role", "kind", "simulated", "versions"))
    return typed(data, "role", TEXT, where), BackendInfo(
        name=typed(data, "name", TEXT, where),
        kind=typed(data, "kind", TEXT, where),
        simulated=typed(data, "simulated", (bool,), where),
        versions=texts(f"{where}: versions", data["versions"]),
    )


def _ratio(number: int, content: object) -> RatioFigure:
    where = f"ratios[{number}]"
    data = an_object(where, content)
    figure = _one_of(data, "figure", FIGURES, where)
    least = -1.0 if figure == "errors" else 0.0
    ends = {key: _finite(data, key, where, least) for key in ("value", "low", "high", "margin")}
    decision = _one_of(data, "decision", DECISIONS, where)
    if (decision == "nothing") is not (ends["margin"] is None):
        raise ValueError(f"{where}: decision is {decision}, margin is {ends['margin']}")
    return RatioFigure(
        call=_one_of(data, "call", CALLS, where),
        figure=figure,
        decision=decision,
        why=typed(data, "why", TEXT, where),
        **ends,
    )


def _cell(number: int, content: object, names: list[str]) -> Mapping[str, Any]:
    where = f"cells[{number}]"
    data = an_object(where, content)
    backend = _one_of(data, "backend", names, where)
    quantiles = an_object(f"{where}: quantiles", data.get("quantiles"))
    found = an_object(f"{where}: p95", quantiles.get("p95"))
    if "n_too_small" in found:
        p95: dict[str, Any] = {"n_too_small": typed(found, "n_too_small", WHOLE, where)}
    else:
        p95 = {key: _finite(found, key, where) for key in ("value", "low", "high")}
    call = _one_of(data, "call", CALLS, where)
    return {"backend": backend, "call": call, "quantiles": {"p95": p95}}


def _preflight(content: dict[str, Any], file: str, sha256: str) -> PreflightFile:
    at_least("this", content, ("made_at", "whale_ready", "whale", "items", "counts"))
    whale = an_object("whale", content["whale"])
    items = tuple(_item(n, each) for n, each in enumerate(a_list(content, "items")))
    ids = [each.id for each in items]
    if not ids:
        raise ValueError("items is empty: nothing was looked at")
    if len(set(ids)) < len(ids):
        raise ValueError(f"items: {max(ids, key=ids.count)} is there twice")
    counts = an_object("counts", content["counts"])
    for state in ItemState:
        number = sum(each.state is state for each in items)
        if counts.get(state.value, number) != number:
            raise ValueError(f"counts: {state.value} is {counts[state.value]}, of {number} items")
    source = Source(
        file,
        sha256,
        _moment("made_at", content["made_at"]),
        typed(content, "whale_ready", TEXT, "this"),
    )
    return PreflightFile(
        source=source,
        url=_address(typed(whale, "url", TEXT, "whale")),
        dialect=str(whale.get("dialect") or ""),
        version=str(whale.get("version") or ""),
        items=items,
    )


def _item(number: int, content: object) -> Item:
    where = f"items[{number}]"
    data = an_object(where, content)
    name = typed(data, "id", TEXT, where)
    if not name or not set(name) <= _ID_CHARACTERS:
        raise ValueError(f"{where}: id is not made of letters, digits and ._:+-")
    state = made(f"{where}: state", ItemState, data.get("state"))
    title, evidence, fix = (typed(data, key, TEXT, where) for key in ("title", "evidence", "fix"))
    needed = typed(data, "needed", (bool,), where)
    return Item(name, title, state, evidence, fix, needed)


def _address(text: str) -> str:
    try:
        found = an_address(text)
        same_place(found)  # its port is a number
    except ValueError as error:
        raise ValueError(f"whale: url: {error}") from None
    return found


def _moment(where: str, content: object) -> datetime:
    return _with_zone(where, made(where, datetime.fromisoformat, content))


def _with_zone(where: str, moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{where} has no offset from UTC")
    return moment


def _one_of(data: Mapping[str, Any], key: str, words: Any, where: str) -> str:
    found: str = typed(data, key, TEXT, where)
    if found not in words:
        raise ValueError(f"{where}: {key} is {found!r}")
    return found


def _finite(data: Mapping[str, Any], key: str, where: str, least: float = 0.0) -> float | None:
    if data.get(key) is None:
        return None
    found = float(typed(data, key, NUMBER, where))
    if not math.isfinite(found) or found < least:
        raise ValueError(f"{where}: {key} is {found}")
    return found
