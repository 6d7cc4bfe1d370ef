"""``whale-ready metrics`` and ``whale-ready worker --metrics``, as processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from engines.catalog import ChallengeSpec, StaticCatalog
from engines.clock import VirtualClock
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.memory import MemoryRuntime
from engines.settings import Settings
from engines.state.database import Database
from whale_ready.cli import main


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A database with one expired instance, and no Docker engine that could remove it."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database = Database(url)
    engine = ContainerRuntimeEngine(
        Settings(),
        runtime=MemoryRuntime(),
        catalog=StaticCatalog([ChallengeSpec(1, "Cookie jar", "i")]),
        database=database,
        clock=VirtualClock(),  # long ago
    )
    assert engine.start_instance(1, 1).ok
    database.close()
    return {**os.environ, "CONTAINER_DATABASE_URL": url, "DOCKER_HOST": "tcp://127.0.0.1:9"}


def whale_ready(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "whale_ready", *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def samples(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


EXPIRED = "whale_ready_instances[('backend', 'cre'), ('state', 'expired')]"
LAG = "whale_ready_worker_lag_seconds[('backend', 'cre')]"
ALIVE = "whale_ready_worker_alive[('backend', 'cre')]"


def test_a_worker_that_cannot_reach_docker_still_shows_its_lag(environ: dict[str, str]) -> None:
    with whale_ready(environ, "worker", "--backend", "cre", "--metrics", "0") as process:
        assert process.stdout is not None
        said = re.fullmatch(
            r"metrics at (http://127\.0\.0\.1:\d+/metrics)\n", process.stdout.readline()
        )
        assert said
        assert process.stdout.readline() == "cleaning up for cre every 10 s\n"
        shown: dict[str, float] = {}
        while shown.get(ALIVE) != 1:  # until the worker's first round
            with urllib.request.urlopen(said[1], timeout=30) as answer:
                shown = samples(answer.read().decode())
            assert process.poll() is None
        assert shown["whale_ready_up[]"] == 1
        assert shown[LAG] > 0
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "stopped\n"
        assert process.returncode == 0


def test_one_exposition_on_stdout(environ: dict[str, str]) -> None:
    with whale_ready(environ, "metrics") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    shown = samples(out)
    assert shown[EXPIRED] == 1
    assert shown[ALIVE] == 0


def test_a_database_that_is_down_is_shown_and_no_error(environ: dict[str, str]) -> None:
    down = {**environ, "CONTAINER_DATABASE_URL": "postgresql+psycopg2://u:hunter2@127.0.0.1:9/x"}
    with whale_ready(down, "metrics") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert samples(out) == {"whale_ready_up[]": 0}
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        (["--metrics", "70000"], "write host and port, as 127.0.0.1:9470"),
        (["--metrics", "::1:9470"], "write host and port, as 127.0.0.1:9470"),
        (["--metrics", "9470", "--once"], "leave --once out"),
    ],
)
def test_a_bad_address_is_refused_with_the_fix(options: list[str], fix: str) -> None:
    done = CliRunner().invoke(main, ["worker", *options])
    assert fix in done.output
    assert done.exit_code == 3


def test_a_port_that_is_taken_is_refused_with_the_fix(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with whale_ready(environ, "worker", "--backend", "cre", "--metrics", str(port)) as process:
            assert "a port that nobody listens on" in process.communicate(timeout=30)[1]
    assert process.returncode == 3


def test_without_prometheus_client_it_says_what_to_install(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError('hidden')")
    hidden = {**environ, "PYTHONPATH": str(tmp_path)}
    for arguments in (["metrics"], ["worker", "--backend", "cre", "--metrics", "0"]):
        with whale_ready(hidden, *arguments) as process:
            assert "pip install 'whale-ready[metrics]'" in process.communicate(timeout=30)[1]
        assert process.returncode == 3
