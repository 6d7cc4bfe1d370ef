"""Reads a ``report.json`` back, strictly: it is a baseline only when all of it is understood."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path

from conformance.harness import KnownDeviation
from conformance.report.json_fields import (
    NUMBER,
    TEXT,
    WHOLE,
    a_list,
    an_object,
    exactly,
    made,
    strings,
    texts,
    typed,
)
from conformance.report.results import (
    BackendInfo,
    ContainerLedger,
    Report,
    ScenarioResult,
    Status,
    Verdict,
)
from conformance.spec.rules import Profile

AGAIN = "make a new one: whale-ready check --report DIR"
NO_VERDICT = frozenset({Verdict.INTERRUPTED, Verdict.COULD_NOT_RUN})

_KEYS = (
    *("spec_version", "tool_version", "started_at", "duration_s", "profile", "environment"),
    *("backends", "rules", "results", "ledgers", "notes", "reasons", "verdict", "exit_code"),
)


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
    data = an_object("the report", content)
    exactly("the report", data, _KEYS)
    rules = [_rule_id(each) for each in a_list(data, "rules")]
    backends = tuple(
        _backend(name, each) for name, each in an_object("backends", data["backends"]).items()
    )
    results = tuple(_result(each) for each in a_list(data, "results"))
    _check_results(results, {each.name for each in backends}, set(rules))
    report = Report(
        tool_version=typed(data, "tool_version", TEXT),
        started_at=made("started_at", datetime.fromisoformat, data["started_at"]),
        duration_s=float(typed(data, "duration_s", NUMBER)),
        profile=made("profile", Profile, data["profile"]),
        environment=texts("environment", data["environment"]),
        backends=backends,
        results=results,
        verdict=made("verdict", Verdict, data["verdict"]),
        reasons=strings(data, "reasons"),
        notes=strings(data, "notes"),
        ledgers=tuple(_ledger(each) for each in a_list(data, "ledgers")),
        spec_version=typed(data, "spec_version", WHOLE),
    )
    if data["exit_code"] != report.exit_code:
        raise ValueError(f"exit_code is {data['exit_code']!r}, its verdict's is {report.exit_code}")
    return report


def _result(content: object) -> ScenarioResult:
    data = an_object("a result", content)
    exactly("a result", data, [each.name for each in fields(ScenarioResult)])
    where = f"result {data['rule']}[{data['backend']}]"
    for name in ("rule", "scenario", "backend", "message", "story", "waiver", "deviation"):
        typed(data, name, TEXT, where)
    typed(data, "duration_s", NUMBER, where)
    made(f"{where}: status", Status, data["status"])
    return ScenarioResult.from_dict({**data, "trace": strings(data, "trace")})


def _check_results(
    results: tuple[ScenarioResult, ...], backends: set[str], rules: set[str]
) -> None:
    seen: set[tuple[str, str]] = set()
    for each in results:
        if each.backend not in backends:
            raise ValueError(f"result {each.id} is of a backend that is not in the report")
        if each.rule not in rules:
            raise ValueError(f"result {each.id} is of a rule that is not in the report")
        if (each.backend, each.rule) in seen:
            raise ValueError(f"result {each.id} is there twice")
        seen.add((each.backend, each.rule))


def _backend(name: str, content: object) -> BackendInfo:
    where = f"backend {name}"
    data = an_object(where, content)
    exactly(where, data, ("kind", "simulated", "capabilities", "versions", "known_deviations"))
    return BackendInfo(
        name=name,
        kind=typed(data, "kind", TEXT, where),
        simulated=typed(data, "simulated", (bool,), where),
        capabilities=an_object(f"{where}: capabilities", data["capabilities"]),
        versions=texts(f"{where}: versions", data["versions"]),
        known_deviations=tuple(
            _known_deviation(where, each) for each in a_list(data, "known_deviations")
        ),
    )


def _known_deviation(where: str, content: object) -> KnownDeviation:
    where = f"{where}: a known deviation"
    data = an_object(where, content)
    exactly(where, data, [each.name for each in fields(KnownDeviation)])
    return KnownDeviation(
        rule=typed(data, "rule", TEXT, where),
        reason=typed(data, "reason", TEXT, where),
        source=typed(data, "source", TEXT, where),
        expires=made(f"{where}: expires", date.fromisoformat, data["expires"]),
        versions=texts(f"{where}: versions", data["versions"]),
    )


def _ledger(content: object) -> ContainerLedger:
    data = an_object("a ledger", content)
    exactly("a ledger", data, [each.name for each in fields(ContainerLedger)])
    left = None if data["left"] is None else strings(data, "left")
    return ContainerLedger(**{**data, "left": left})


def _rule_id(content: object) -> str:
    return str(typed(an_object("a rule", content), "id", TEXT, "a rule"))
