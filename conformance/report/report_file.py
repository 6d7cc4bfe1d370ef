"""Reads a ``report.json`` back, strictly: it is a baseline only when all of it is understood."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from conformance.harness import KnownDeviation
from conformance.report.results import (
    BackendInfo,
    ContainerLedger,
    Report,
    ScenarioResult,
    Verdict,
)
from conformance.spec.rules import Profile, Rule
from engines.typed_input import Moment, from_json

AGAIN = "make a new one: whale-ready check --report DIR"
NO_VERDICT = frozenset({Verdict.INTERRUPTED, Verdict.COULD_NOT_RUN})


@dataclass(frozen=True)
class BackendRow:
    """A backend in the file, where its name is the key."""

    kind: str
    simulated: bool
    capabilities: Mapping[str, Any]
    versions: Mapping[str, str]
    known_deviations: tuple[KnownDeviation, ...]


@dataclass(frozen=True)
class ReportFile:
    """What the file holds: a finished run. docs/report.md explains every key."""

    spec_version: Annotated[int, Meta(ge=1)]
    tool_version: str
    started_at: Moment
    duration_s: Annotated[float, Meta(ge=0)]
    profile: Profile
    environment: Mapping[str, str]
    backends: Mapping[str, BackendRow]
    rules: tuple[Rule, ...]
    results: tuple[ScenarioResult, ...]
    ledgers: tuple[ContainerLedger, ...]
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    verdict: Verdict
    exit_code: Literal[0, 1, 2, 3, 130]


class ReportError(ValueError):
    """The file cannot be used; the message says what is wrong with it and what to do."""


def load_report(path: Path) -> Report:
    """The report in a file that :func:`conformance.report.writers.write_reports` has written.

    Raises:
        ReportError: it cannot be read, is no such report, or its run came to no verdict.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}; name a report.json I can read") from None
    except ValueError:
        raise ReportError(f"{path}: is no JSON; {AGAIN}") from None
    try:
        report = from_dict(content)
    except ValueError as error:
        raise ReportError(f"{path}: {error}; {AGAIN}") from None
    if report.verdict in NO_VERDICT:
        how = report.verdict.value.replace("_", " ")
        raise ReportError(f"{path}: its run ended as {how} and measured only a part; {AGAIN}")
    return report


def from_dict(content: object) -> Report:
    """The report that :meth:`Report.to_dict` has made such a dict of.

    Raises:
        ValueError: it is none; says what is wrong where.
    """
    data = from_json(content, ReportFile)
    backends = tuple(BackendInfo(name, **vars(row)) for name, row in data.backends.items())
    _check_results(data.results, set(data.backends), {rule.id for rule in data.rules})
    report = Report(
        tool_version=data.tool_version,
        started_at=data.started_at,
        duration_s=data.duration_s,
        profile=data.profile,
        environment=data.environment,
        backends=backends,
        results=data.results,
        verdict=data.verdict,
        reasons=data.reasons,
        notes=data.notes,
        ledgers=data.ledgers,
        spec_version=data.spec_version,
    )
    if data.exit_code != report.exit_code:
        raise ValueError(f"exit_code is {data.exit_code!r}, its verdict's is {report.exit_code}")
    return report


def _check_results(
    results: tuple[ScenarioResult, ...], backends: set[str], rules: set[str]
) -> None:
    seen: set[tuple[str, str]] = set()
    for result in results:
        if result.backend not in backends:
            raise ValueError(f"result {result.id} is of a backend that is not in the report")
        if result.rule not in rules:
            raise ValueError(f"result {result.id} is of a rule that is not in the report")
        if (result.backend, result.rule) in seen:
            raise ValueError(f"result {result.id} is there twice")
        seen.add((result.backend, result.rule))
