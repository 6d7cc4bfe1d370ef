"""Reads a ``report.json`` back, strictly: it is a baseline only when all of it is understood."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from conformance.results import BackendInfo, Ledger, Report, ScenarioResult, Status, Verdict
from conformance.rules import Profile

AGAIN = "make a new one: whale-ready check --report DIR"
NO_VERDICT = frozenset({Verdict.INTERRUPTED, Verdict.COULD_NOT_RUN})

_T = TypeVar("_T")
_KEYS = (
    *("spec_version", "tool_version", "started_at", "duration_s", "profile", "environment"),
    *("backends", "rules", "results", "ledgers", "notes", "reasons", "verdict", "exit_code"),
)
_TEXTS = (str,)
_NUMBERS = (int, float)


class ReportError(ValueError):
    """The file cannot be used; the message says what is wrong with it and what to do."""


def load_report(path: Path) -> Report:
    """The report in a file that :func:`conformance.reports.write_reports` has written.

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
    data = _object("the report", content)
    _exactly("the report", data, _KEYS)
    rules = [_rule_id(each) for each in _list(data, "rules")]
    backends = tuple(
        _backend(name, each) for name, each in _object("backends", data["backends"]).items()
    )
    results = tuple(_result(each) for each in _list(data, "results"))
    _check_results(results, {each.name for each in backends}, set(rules))
    report = Report(
        tool_version=_of(data, "tool_version", _TEXTS),
        started_at=_made("started_at", datetime.fromisoformat, data["started_at"]),
        duration_s=float(_of(data, "duration_s", _NUMBERS)),
        profile=_made("profile", Profile, data["profile"]),
        environment=_texts("environment", data["environment"]),
        backends=backends,
        results=results,
        verdict=_made("verdict", Verdict, data["verdict"]),
        reasons=_strings(data, "reasons"),
        notes=_strings(data, "notes"),
        ledgers=tuple(_ledger(each) for each in _list(data, "ledgers")),
        spec_version=_of(data, "spec_version", (int,)),
    )
    if data["exit_code"] != report.exit_code:
        raise ValueError(f"exit_code is {data['exit_code']!r}, its verdict's is {report.exit_code}")
    return report


def _result(content: object) -> ScenarioResult:
    data = _object("a result", content)
    _exactly("a result", data, [each.name for each in fields(ScenarioResult)])
    where = f"result {data['rule']}[{data['backend']}]"
    for name in ("rule", "scenario", "backend", "message", "story", "waiver"):
        _of(data, name, _TEXTS, where)
    _of(data, "duration_s", _NUMBERS, where)
    _made(f"{where}: status", Status, data["status"])
    return ScenarioResult.from_dict({**data, "trace": _strings(data, "trace")})


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
    data = _object(where, content)
    _exactly(where, data, ("kind", "simulated", "capabilities", "versions"))
    return BackendInfo(
        name=name,
        kind=_of(data, "kind", _TEXTS, where),
        simulated=_of(data, "simulated", (bool,), where),
        capabilities=_object(f"{where}: capabilities", data["capabilities"]),
        versions=_texts(f"{where}: versions", data["versions"]),
    )


def _ledger(content: object) -> Ledger:
    data = _object("a ledger", content)
    _exactly("a ledger", data, [each.name for each in fields(Ledger)])
    left = None if data["left"] is None else _strings(data, "left")
    return Ledger(**{**data, "left": left})


def _rule_id(content: object) -> str:
    return str(_of(_object("a rule", content), "id", _TEXTS, "a rule"))


def _exactly(where: str, data: Mapping[str, object], keys: Any) -> None:
    missing = [key for key in keys if key not in data]
    if missing:
        raise ValueError(f"{where} has no {', '.join(missing)}")
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}, which this version does not know")


def _object(where: str, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ValueError(f"{where} is no object")
    return content


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(data[key], list):
        raise ValueError(f"{key} is no list")
    return list(data[key])


def _strings(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = _list(data, key)
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"{key} holds what is no text")
    return tuple(found)


def _texts(where: str, content: object) -> dict[str, str]:
    data = _object(where, content)
    if not all(isinstance(each, str) for each in data.values()):
        raise ValueError(f"{where} holds what is no text")
    return data


def _of(
    data: Mapping[str, Any], key: str, types: tuple[type, ...], where: str = "the report"
) -> Any:
    found = data.get(key)
    if not isinstance(found, types) or (isinstance(found, bool) and bool not in types):
        raise ValueError(f"{where}: {key} is {type(found).__name__}")
    return found


def _made(where: str, make: Callable[[str], _T], content: object) -> _T:
    if isinstance(content, str):
        try:
            return make(content)
        except ValueError:
            pass
    raise ValueError(f"{where} is {content!r}")
