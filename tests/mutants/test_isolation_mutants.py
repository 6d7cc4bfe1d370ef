"""Every wall that is missing on real Docker is missed by the scenarios that are named for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from mutants.isolation import KILLED_BY

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("name", KILLED_BY)
def test_the_named_scenarios_miss_the_wall(docker_engine: str, tmp_path: Path, name: str) -> None:
    able = os.geteuid() == 0 and bool(shutil.which("iptables") and shutil.which("ip"))
    require("iptables", able, "run as root with iptables and iproute2 on Docker's host")
    selected = [part for rule in KILLED_BY[name] for part in ("--select", rule)]
    options = [
        "--backend",
        f"{name}=mutants.isolation:{name}",
        *selected,
        "--report",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", *options],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    statuses = {result["rule"]: result["status"] for result in report["results"]}
    assert statuses == dict.fromkeys(KILLED_BY[name], "fail"), done.stdout + done.stderr
