"""The pytest plugin: nothing until it is asked, and then a suite like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from conformance.spec.rules import RULES

TESTS = Path(__file__).parents[1]
HEAVY = (
    "conformance.run.session",
    "conformance.registry.backends",
    "docker",
    "sqlalchemy",
    "rich",
    "flask",
)


def python(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**environ, "PYTHONPATH": str(TESTS), **more},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def scenarios(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """By plugin name, without the other plugins of this environment, which take seconds to load."""
    options = ["-p", "whale_ready.pytest_plugin", "-p", "no:cacheprovider", "--pyargs"]
    return python(
        folder,
        *("-m", "pytest", *options, "conformance.scenarios", *arguments),
        PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
    )


def test_it_does_nothing_in_somebody_elses_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n"
        "def test_theirs(request):\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    assert not heavy, heavy\n"
        "    assert request.config.pluginmanager.hasplugin('whale_ready')\n"
        "    assert not request.config.pluginmanager.hasplugin('whale-ready-suite')\n",
        encoding="utf-8",
    )

    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_scenarios_with_stable_ids(tmp_path: Path) -> None:
    spec = "ref=reference.world:harness"
    done = scenarios(tmp_path, "--backend", spec, "--scenario", "START-00[12]", "-v")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "[START-001-ref] PASSED" in done.stdout
    assert "[START-002-ref] PASSED" in done.stdout
    assert "2 passed" in done.stdout


def test_it_runs_every_backend_that_is_given(tmp_path: Path) -> None:
    options = [f"--backend={name}=reference.world:harness" for name in ("one", "two")]
    done = scenarios(tmp_path, *options, "--scenario", "STOP-001", "-v")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("[STOP-001-one]") < done.stdout.index("[STOP-001-two]")


def test_a_broken_backend_fails_the_pytest_run(tmp_path: Path) -> None:
    spec = "ref=reference.breakages_harnesses:forgetful_stop"
    done = scenarios(tmp_path, "--backend", spec, "--scenario", "STOP-002")

    assert done.returncode == 1
    assert "the container still runs after the stop" in done.stdout


def test_a_bad_spec_is_a_usage_error(tmp_path: Path) -> None:
    done = scenarios(tmp_path, "--backend", "docker")

    assert done.returncode == 4
    assert "there is no such backend" in done.stderr


def test_a_backend_that_cannot_run_ends_the_pytest_run(tmp_path: Path) -> None:
    done = scenarios(tmp_path, "--backend", "ref=reference.faulty:NoServer")

    assert done.returncode == 3
    assert "no server answers on port 9" in done.stdout + done.stderr


def several(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same over two workers of pytest-xdist."""
    return scenarios(folder, "-p", "xdist", "-n", "2", *arguments)


def test_it_runs_under_xdist_with_a_backend_per_worker(tmp_path: Path) -> None:
    options = ["--backend", "cre:memory", "--backend", "whale:fake"]
    alone = scenarios(tmp_path, *options, "--scenario", "ST*-00*", "-rA")
    done = several(tmp_path, *options, "--scenario", "ST*-00*", "-rA")

    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(outcomes(done)) == sorted(outcomes(alone))
    assert len(outcomes(done)) == 2 * len([r for r in RULES if fnmatch(r.id, "ST*-00*")])


def outcomes(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith(("PASSED", "SKIPPED"))]


def test_a_broken_backend_fails_under_xdist(tmp_path: Path) -> None:
    spec = "ref=reference.breakages_harnesses:forgetful_stop"
    done = several(tmp_path, "--backend", spec, "--scenario", "STOP-002")

    assert done.returncode == 1
    assert "the container still runs after the stop" in done.stdout


def test_a_backend_that_cannot_run_ends_all_workers_once(tmp_path: Path) -> None:
    done = several(tmp_path, "--backend", "ref=reference.faulty:NoServer")

    assert done.returncode == 2
    assert "no server answers on port 9" in done.stdout
    assert "node down" not in done.stdout


def test_a_backend_of_which_there_may_be_one_is_refused_under_xdist(tmp_path: Path) -> None:
    done = several(tmp_path, "--backend", "ref=reference.world:bare")

    assert done.returncode == 4
    assert "let its harness declare parallel = True" in done.stderr


def test_a_third_party_backend_outside_of_the_repository(tmp_path: Path) -> None:
    package = tmp_path / "their_backend"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "suite.py").write_text(
        "from reference.backend import ResettingBackend\n"
        "from reference.world import ReferenceHarness\n"
        "def make():\n"
        "    return ReferenceHarness(ResettingBackend)\n",
        encoding="utf-8",
    )

    spec = "theirs=their_backend.suite:make"
    done = python(tmp_path, "-m", "whale_ready", "check", "--backend", spec)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"theirs (simulated): {len(RULES) - 1} pass, 1 n.a." in done.stdout


def test_the_surroundings_of_a_check_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --nonsense\npython_files = nothing.py\n", encoding="utf-8"
    )
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not mine')\n", encoding="utf-8")

    done = python(tmp_path, "-m", "whale_ready", "check", "--backend", "x=reference.world:harness")

    assert done.returncode == 0, done.stdout + done.stderr
