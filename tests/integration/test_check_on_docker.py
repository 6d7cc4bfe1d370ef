"""The command itself on real Docker: the whole run, and a run that is interrupted."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from conformance.harness import Options
from conformance.harnesses import cre_docker
from conformance.harnesses.cre_docker import DockerHarness
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.probe import wait_until

MINIMUM = 40
README = Path(__file__).parents[2] / "README.md"


def labels_of_run(client: docker.DockerClient, pid: int) -> list[str]:
    """Of containers and networks; other tests make theirs on the same engine meanwhile."""
    wanted = {"label": LABEL_DEPLOYMENT}
    rows = [*client.api.containers(all=True, filters=wanted), *client.api.networks(filters=wanted)]
    labels = [row["Labels"][LABEL_DEPLOYMENT] for row in rows]
    return [label for label in labels if label.startswith(f"check-{platform.node()}-{pid}-")]


@pytest.mark.timeout(1500)
def test_the_default_check_passes_on_real_containers_and_leaves_nothing(
    docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    run = subprocess.Popen(
        [
            *(sys.executable, "-m", "whale_ready", "check"),
            *("--jobs", "2", "--report", str(tmp_path / "report")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(state),
        cwd=tmp_path,
    )
    output, _ = run.communicate()
    assert run.returncode == 0, output
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert {name: known["simulated"] for name, known in report["backends"].items()} == {
        "cre": False,
        "whale:fake": False,
    }
    for backend in report["backends"]:
        statuses = [
            result["status"] for result in report["results"] if result["backend"] == backend
        ]
        assert statuses.count("pass") >= MINIMUM
        assert set(statuses) <= {"pass", "not_applicable"}
    assert {ledger["backend"]: ledger["left"] for ledger in report["ledgers"]} == {
        "cre": [],
        "whale:fake": [],
    }
    assert all(ledger["made"] >= MINIMUM for ledger in report["ledgers"])
    assert matrix(output) in README.read_text(encoding="utf-8"), output
    assert labels_of_run(docker_client, run.pid) == []
    assert list(state.iterdir()) == []


def test_ctrl_c_in_the_middle_leaves_nothing(
    docker_client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "check", "--backend", "cre"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(state),
        cwd=tmp_path,
    )
    try:
        assert wait_until(lambda _: bool(labels_of_run(docker_client, run.pid)), 60)
        run.send_signal(signal.SIGINT)
        output, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 130, output
    assert labels_of_run(docker_client, run.pid) == []
    assert list(state.iterdir()) == []


def test_what_a_killed_run_left_is_swept_by_the_next_one(
    docker_client: docker.DockerClient, image: str, tmp_path: Path
) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "check", "--backend", "cre"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(tmp_path),
        cwd=tmp_path,
    )
    try:
        assert wait_until(lambda _: bool(labels_of_run(docker_client, run.pid)), 60)
    finally:
        run.kill()
        run.wait()
    assert labels_of_run(docker_client, run.pid)
    harness = DockerHarness()
    harness.open()
    harness.close()
    assert labels_of_run(docker_client, run.pid) == []


def test_a_container_that_is_not_swept_is_told_of(
    docker_client: docker.DockerClient, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[str] = []
    monkeypatch.setattr(DockerHarness, "sweep", lambda _self, _client: swept.append("nothing"))
    monkeypatch.setattr(cre_docker, "END_SECONDS", 0.5)
    harness = DockerHarness()
    harness.open()
    world = harness.world(Options())
    try:
        started = world.backend.start_instance(1, 1)
        assert started.ok, started
        harness.close()
        assert swept
        assert started.instance["container_id"] in (harness.leftovers() or [])
    finally:
        cre_docker.sweep(docker_client, harness.run)


def matrix(output: str) -> str:
    """The matrix as it was printed."""
    return output[output.index("┏") : output.index("┘") + 1]


def environment(state: Path) -> dict[str, str]:
    """This environment, with folders for state and temporary files that can be looked into."""
    return {**os.environ, "TMPDIR": str(state), "XDG_STATE_HOME": str(state), "COLUMNS": "120"}
