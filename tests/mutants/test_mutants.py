"""Every broken backend is failed by the scenario that is named for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mutants.cre import KILLED_BY

TESTS = Path(__file__).parents[1]
_NAMED = {rule for _, rule in KILLED_BY.values()}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One check of all broken backends, next to the sound one."""
    folder = tmp_path_factory.mktemp("report")
    backends = ["cre:memory", *(f"{name}=mutants.cre:{name}" for name in KILLED_BY)]
    options = [part for spec in backends for part in ("--backend", spec)]
    # The rules that are named for a bug: all of them on all of these backends would take minutes.
    options += [part for rule in sorted(_NAMED) for part in ("--select", rule)]
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", *options, "--report", str(folder)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return loaded


def broken_rules(report: dict[str, Any], backend: str) -> list[str]:
    return [
        result["rule"]
        for result in report["results"]
        if result["backend"] == backend and result["status"] == "fail"
    ]


@pytest.mark.parametrize("name", KILLED_BY)
def test_the_named_scenario_fails_the_broken_backend(report: dict[str, Any], name: str) -> None:
    _, rule = KILLED_BY[name]
    failed = broken_rules(report, name)
    print(f"{name}: {rule} and {len(failed) - 1} more")  # noqa: T201 - the table, with pytest -rP
    assert rule in failed, f"{name} broke {failed}"


def test_the_sound_backend_beside_them_passes(report: dict[str, Any]) -> None:
    assert broken_rules(report, "cre:memory") == []


def test_no_broken_backend_makes_the_harness_fail(report: dict[str, Any]) -> None:
    errors = [result for result in report["results"] if result["status"] == "error"]
    assert errors == []
