"""The example package, built, installed, checked and broken as a stranger would.

The environment is a fresh one without access to ours: whale-ready comes into it as a wheel of this
tree, all else from the package index. Only pip's cache is shared.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "whale-ready-backend-example"
EXECUTED = 140
"""The least it may execute: what a change to the suite takes away must be seen."""


class Stranger:
    """A folder with a virtual environment and a copy of the example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.example = folder / "example"
        shutil.copytree(EXAMPLE, self.example)
        self._bin = folder / "venv" / "bin"
        venv.create(folder / "venv", with_pip=True)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ours = ("PYTHON", "PYTEST_", "VIRTUAL_ENV", "COV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return subprocess.run(
            [str(self._bin / program), *arguments],
            env={**kept, "COLUMNS": "200"},
            cwd=self.example,
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *what: str) -> None:
        done = self.run("pip", "install", "--quiet", "--disable-pip-version-check", *what)
        assert done.returncode == 0, done.stdout + done.stderr

    def check(self) -> tuple[int, dict[str, Any], str]:
        done = self.run(
            *("whale-ready", "check", "--backend", "local-process", "--jobs", "auto"),
            *("--report", "out"),
        )
        report = json.loads((self.example / "out" / "report.json").read_text(encoding="utf-8"))
        return done.returncode, report, done.stdout + done.stderr


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Stranger:
    folder = tmp_path_factory.mktemp("stranger")
    wheels = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    built = subprocess.run([*wheels, str(ROOT)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("whale_ready-*.whl")
    made = Stranger(folder)
    # As a package from an index would be: its files, not a link to the folder.
    made.install(f"{wheel}[check]", f"{made.example}[test]")
    return made


def test_it_is_listed_and_passes_with_a_verdict(stranger: Stranger) -> None:
    listed = stranger.run("whale-ready", "backends")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "whale-ready-backend-example 0.1.0" in listed.stdout

    code, report, output = stranger.check()

    assert code == 0, output
    executed = [result for result in report["results"] if result["status"] == "pass"]
    assert len(executed) >= EXECUTED
    assert report["backends"]["local-process"]["kind"] == "processes on loopback"


def test_its_own_tests_and_the_scenarios_run_in_pytest(stranger: Stranger) -> None:
    own = stranger.run("pytest", "-q")
    assert own.returncode == 0, own.stdout + own.stderr

    some = stranger.run(
        *("pytest", "-q", "--backend", "local-process", "--scenario", "REACH-*"),
        *("--pyargs", "conformance.scenarios"),
    )
    assert some.returncode == 0, some.stdout + some.stderr
    assert "8 passed" in some.stdout


def test_the_change_its_readme_names_is_found(stranger: Stranger) -> None:
    backend = stranger.example / "src" / "local_process" / "backend.py"
    sound = backend.read_text(encoding="utf-8")
    broken = sound.replace(
        "instance.expires_at += STEP", "instance.expires_at = self._clock.now() + STEP"
    )
    assert broken != sound
    assert "self._clock.now() + STEP" in (stranger.example / "README.md").read_text()
    backend.write_text(broken, encoding="utf-8")
    stranger.install("--no-deps", "--force-reinstall", str(stranger.example))

    code, report, output = stranger.check()

    assert code == 1, output
    failed = {result["rule"] for result in report["results"] if result["status"] == "fail"}
    assert {"EXTEND-002", "EXTEND-004"} <= failed


def test_it_can_be_read_in_ten_minutes() -> None:
    package = EXAMPLE / "src" / "local_process"

    def lines(name: str) -> int:
        return len((package / name).read_text(encoding="utf-8").splitlines())

    assert lines("backend.py") <= 250
    assert lines("harness.py") <= 150
    assert sum(lines(path.name) for path in package.glob("*.py")) <= 550
