"""A real Docker is restarted while instances live, and stopped dead, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import require

from conformance.harnesses.own_engine import PROGRAMS
from conformance.spec.rules import RULES

HANGS = [f"FAULT-{number:03}" for number in range(19, 25)]
"""The rules about what hangs: here a daemon that SIGSTOP has stopped."""


@pytest.mark.timeout(400)
def test_instances_and_restarts_of_a_real_engine(tmp_path: Path) -> None:
    present = os.geteuid() == 0 and all(shutil.which(program) for program in PROGRAMS)
    require("own-engine", present, "as root, install docker.io and iproute2")
    report = tmp_path / "report"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "whale_ready", "check", "--backend", "cre:own-engine"),
            *("--select", "RESTART-*", "--report", str(report)),
            *(word for rule in HANGS for word in ("--select", rule)),
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr  # a part is never a verdict
    results = json.loads((report / "report.json").read_text(encoding="utf-8"))["results"]
    statuses = {result["rule"]: result["status"] for result in results}
    wanted = [rule.id for rule in RULES if rule.group == "RESTART"] + HANGS
    assert statuses == dict.fromkeys(wanted, "pass"), done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
