"""A backend that lives outside this repository is checked like any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parents[1] / "reference"
OF_THE_REFERENCE = ("__init__", "backend", "world", "machine", "limits", "inside", "overview")
MINIMUM = 40


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with a package ``acme`` that nobody here knows of."""
    package = tmp_path / "acme"
    package.mkdir()
    for module in OF_THE_REFERENCE:
        text = (REFERENCE / f"{module}.py").read_text(encoding="utf-8")
        ours = text.replace("from reference.", "from acme.")
        (package / f"{module}.py").write_text(ours, encoding="utf-8")
    (package / "forgetful.py").write_text(
        "from acme.backend import ReferenceBackend\n"
        "from acme.world import ReferenceHarness\n"
        "\n"
        "ReferenceBackend.get_instance_status = lambda *_args, **_named: None\n"
        "make = ReferenceHarness\n",
        encoding="utf-8",
    )
    return tmp_path


def check(folder: Path, spec: str) -> tuple[int, dict[str, object], str]:
    """Run the command in the stranger's folder, with nothing of our tests on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "whale_ready", "check", "--backend", spec, "--report", "out"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads((folder / "out" / "report.json").read_text(encoding="utf-8"))
    return done.returncode, report, done.stdout


def test_a_sound_one_passes(stranger: Path) -> None:
    code, report, output = check(stranger, "acme=acme.world:ReferenceHarness")
    assert code == 0, output
    results = report["results"]
    assert isinstance(results, list)
    assert sum(result["status"] == "pass" for result in results) >= MINIMUM
    assert {result["backend"] for result in results} == {"acme"}


def test_a_broken_one_fails(stranger: Path) -> None:
    code, _, output = check(stranger, "acme=acme.forgetful:make")
    assert code == 1, output
    assert "STATUS-001[acme]" in output
