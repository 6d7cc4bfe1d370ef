"""``python -m benchmarks.cre_speed``: it measures everything and leaves nothing. No times here."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys

import docker
import pytest

from benchmarks.cre_speed import main
from engines.cre.runtimes.base import LABEL_DEPLOYMENT

KEYS = ["cold_start", "stop", "status", "status_rows", "warm_claim", "warm_speedup"]
KEYS += ["burst_errors", "burst", "notes"]


def cre_speed(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cre_speed", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def labels(client: docker.DockerClient) -> list[str]:
    rows = client.api.containers(all=True, filters={"label": LABEL_DEPLOYMENT})
    return [row["Labels"][LABEL_DEPLOYMENT] for row in rows]


def test_a_quick_run_measures_every_figure_and_sweeps_what_a_killed_one_left(
    docker_client: docker.DockerClient, image: str
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    killed = f"speed-{platform.node()}-{dead.pid}-abc"
    docker_client.api.create_container(image, labels={LABEL_DEPLOYMENT: f"{killed}-raw"})

    with cre_speed("--quick") as process:
        out, err = process.communicate(timeout=110)

    result = json.loads(out)
    assert list(result) == KEYS
    for name in ("cold_start", "stop", "status", "status_rows", "burst"):
        assert result[name]["value"] > 0, name
        assert name in err
    assert result["burst_errors"]["value"] == 0
    assert process.returncode in (0, 1)
    mine = (killed, f"speed-{platform.node()}-{process.pid}-")
    assert [label for label in labels(docker_client) if label.startswith(mine)] == []


def test_an_interrupted_run_keeps_what_was_measured(docker_client: docker.DockerClient) -> None:
    with cre_speed("--only", "cold", "--cold-rounds", "1000") as process:
        assert process.stderr is not None
        while (line := process.stderr.readline()) != "cold start 2/1000\n":
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

    result = json.loads(out)
    assert process.returncode == 130
    assert result["cold_start"]["n"] >= 2
    assert result["burst"]["value"] is None
    assert result["burst"]["ok"] is False
    assert "interrupted" in err
    mine = f"speed-{platform.node()}-{process.pid}-"
    assert [label for label in labels(docker_client) if label.startswith(mine)] == []


def test_a_bad_option_is_refused_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cre_speed", "--cold-rounds", "0"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "write a whole number from 1 to 100000" in capsys.readouterr().err
