"""Evidence files made for tests of readiness: a real Whale beside CRE, all green unless changed.

A test takes :func:`check`, :func:`bench` and :func:`preflight`, changes what it is about, and
writes them with :func:`written`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from conformance.report.results import BackendInfo, Report, ScenarioResult, Status, Verdict
from conformance.spec.rules import RULES, Profile
from engines import __version__

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=timezone.utc)
"""When the files are a day old."""
MADE = NOW - timedelta(days=1)
WHALE_URL = "https://whale.example.org"
CRE_VERSIONS = {"docker": "26.1.4", "image": "challenge:1", "database": "SQLite 3.40.1"}
WHALE_VERSIONS = {"dialect": "ctfd-whale", "url": WHALE_URL, "database": "SQLite 3.40.1"}
FAKE_VERSIONS = {"dialect": "ctfd-whale", "fake_whale": __version__}
CRE = BackendInfo("cre", "ContainerRuntimeEngine on Docker containers", False, {}, CRE_VERSIONS)
WHALE = BackendInfo(
    "whale", f"WhaleAPIManager on the live Whale at {WHALE_URL}", False, {}, WHALE_VERSIONS
)
CALLS = ("start", "ready", "status", "extend", "stop")
FIGURES = ("p50", "p90", "p95", "p99")
AGREED = {"p95": 1.2, "errors": 0.05}


def results(backend: str, **special: tuple[Status, str, str]) -> list[ScenarioResult]:
    """Every rule on a backend: kept, except for ``START_001=(status, message, waiver)``."""
    found = []
    for rule in RULES:
        status, message, waiver = special.get(rule.id.replace("-", "_"), (Status.PASS, "", ""))
        found.append(ScenarioResult(rule.id, rule.id, backend, status, 0.1, message, waiver=waiver))
    return found


def check(
    backends: Sequence[BackendInfo] = (CRE, WHALE),
    found: Sequence[ScenarioResult] | None = None,
    verdict: Verdict = Verdict.PASSED,
    reasons: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A report.json."""
    if found is None:
        found = [result for backend in backends for result in results(backend.name)]
    report = Report(
        tool_version=__version__,
        started_at=MADE,
        duration_s=240.0,
        profile=Profile.FULL,
        environment={"python": "3.11.2", "system": "Linux x86_64"},
        backends=tuple(backends),
        results=tuple(found),
        verdict=verdict,
        reasons=reasons,
    )
    made: dict[str, Any] = json.loads(json.dumps(report.to_dict()))
    return made


def bench(backends: Sequence[BackendInfo] = (CRE, WHALE)) -> dict[str, Any]:
    """A bench.json: B a tenth slower than A, which is within every margin."""
    names = [backend.name for backend in backends]
    return {
        "format": "whale-ready bench",
        "version": 1,
        "verdict": "pass",
        "exit_code": 0,
        "interrupted": False,
        "reasons": ["start p95: 1.1 [1.05, 1.15], margin p95=1.2: within"],
        "began": MADE.isoformat(),
        "ended": (MADE + timedelta(minutes=4)).isoformat(),
        "plan": {
            "scenario": "contest",
            "seconds": 240.0,
            "turns": 12,
            "concurrency": 8,
            "rate": 5.0,
            "seed": 0,
            "live": 8,
            "visits": 100000,
            "warm_up_seconds": 2.0,
            "sweep": [],
            "sweep_seconds": 3.0,
        },
        "loop": "open loop, 5 a second at random, at most 8 at a time",
        "margins": [f"{name}={limit}" for name, limit in AGREED.items()],
        "level": 0.95,
        "environment": {
            "python": "3.11.2",
            "system": "Linux x86_64",
            "kernel": "6.1.0",
            "processors": 2,
            "load_average": [0.5, 0.4, 0.3],
            "whale-ready": __version__,
        },
        "backends": [
            {
                "name": each.name,
                "role": role,
                "kind": each.kind,
                "simulated": each.simulated,
                "versions": dict(each.versions),
            }
            for each, role in zip(backends, ("A", "B", "baseline"), strict=False)
        ],
        "cells": [
            cell(name, call, (1 + 0.1 * place) * (1 + number))
            for place, name in enumerate(names)
            for number, call in enumerate(CALLS)
        ],
        "throughput": [
            {
                "backend": e,
                "calls": 900,
                "seconds": 120.0,
                "per_second": 7.5,
                "cpu_ms_per_call": 2.0,
            }
            for e in names
        ],
        "ratios": [
            ratio(call, figure)
            for call in CALLS
            for figure in (*FIGURES, *(() if call == "ready" else ("errors",)))
        ],
        "sweep": [],
        "resources": [],
        "blocks": [],
        "notes": [],
    }


def cell(backend: str, call: str, slower: float) -> dict[str, Any]:
    none = {"count": 0, "value": 0.0, "low": 0.0, "high": 0.01}
    spread = {
        name: {"value": at * slower, "low": 0.9 * at * slower, "high": 1.1 * at * slower}
        for name, at in zip(FIGURES, (40.0, 80.0, 100.0, 150.0), strict=True)
    }
    return {
        "backend": backend,
        "call": call,
        "n": 400,
        "turns": 12,
        "quantiles": spread,
        "failed": none,
        "unknown": none,
        "dropped": 0,
        "late_ms": 1.0,
        "ecdf": [[slower * (1 + number), number / 100] for number in range(101)],
    }


def ratio(call: str, figure: str) -> dict[str, Any]:
    value = (0.0, -0.01, 0.01) if figure == "errors" else (1.1, 1.05, 1.15)
    margin = AGREED.get(figure)
    decided = margin is not None
    return {
        "call": call,
        "figure": figure,
        **dict(zip(("value", "low", "high"), value, strict=True)),
        "margin": margin,
        "decision": "pass" if decided else "nothing",
        "why": "all of the interval is within the margin" if decided else "no margin was set",
    }


def decided(data: dict[str, Any], call: str, figure: str, decision: str, why: str) -> None:
    """Let one margin of a bench.json come to another decision, and the run with it."""
    (found,) = [e for e in data["ratios"] if (e["call"], e["figure"]) == (call, figure)]
    low, value, high = (1.3, 1.6, 2.0) if decision == "fail" else (0.9, 1.2, 1.6)
    found.update(decision=decision, why=why, low=low, value=value, high=high)
    data.update(verdict=decision, exit_code={"fail": 1}.get(decision, 2), reasons=[why])


def item(
    name: str = "reachable",
    state: str = "ok",
    evidence: str = "answered in 40 ms",
    fix: str = "",
    *,
    needed: bool = True,
) -> dict[str, Any]:
    return {
        "id": name,
        "title": f"Whale: {name}",
        "state": state,
        "evidence": evidence,
        "fix": fix,
        "needed": needed,
    }


def preflight(*items: dict[str, Any]) -> dict[str, Any]:
    """A preflight.json."""
    found = list(items) or [item(), item("tls"), item("clock-skew")]
    states = [each["state"] for each in found]
    return {
        "kind": "whale-ready preflight",
        "schema_version": 1,
        "made_at": MADE.isoformat(),
        "whale_ready": __version__,
        "whale": {"url": WHALE_URL, "dialect": "ctfd-whale", "version": "3.7.4"},
        "environment": {"python": "3.11.2", "system": "Linux x86_64"},
        "items": found,
        "counts": {each: states.count(each) for each in ("ok", "not_ok", "not_checkable")},
    }


def made_now(**files: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same files, made an hour before now; for the command, which asks a real clock."""
    moment = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    keys = {"check": "started_at", "bench": "began", "preflight": "made_at"}
    return {name: {**content, keys[name]: moment} for name, content in files.items()}


def written(folder: Path, **files: dict[str, Any]) -> list[str]:
    """Write ``check=…``, ``bench=…``, ``preflight=…``; returns the options that name them."""
    options = []
    for name, content in files.items():
        path = folder / f"{'report' if name == 'check' else name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        options += [f"--{name}", str(path)]
    return options
