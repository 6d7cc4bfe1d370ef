"""``whale-ready demo`` as a process: it serves, ends when it is told to, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
import requests
from click.testing import CliRunner
from demo.visitor import Visitor

from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from whale_ready.cli import main

COOKIE_JAR = 1


@contextmanager
def demo(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo with this folder for temporary files; gives the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "whale_ready", "demo", "--port", "0", *options],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.fullmatch(r"demo: (http://127\.0\.0\.1:\d+)/\n", process.stdout.readline())
        assert found is not None, process.communicate(timeout=30)
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def test_it_serves_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as (process, url):
        assert list(tmp_path.glob("whale-ready-demo-*/state.db"))
        visitor = Visitor(url)
        visitor.start(COOKIE_JAR)
        assert [instance["backend"] for instance in visitor.state()["instances"]] == ["cre"]
        visitor.close()
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 0
        assert said.endswith("stopped; nothing is left\n")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)


def test_on_docker_its_containers_are_real_and_go_with_it(
    docker_engine: str, tmp_path: Path
) -> None:
    client = docker.from_env()
    with demo(tmp_path, "--docker") as (process, url):
        visitor = Visitor(url)
        assert "CRE’s containers are real, on Docker" in visitor.front.text
        started = visitor.start(COOKIE_JAR)
        (live,) = visitor.state()["instances"]
        assert (live["backend"], live["simulated"]) == ("cre", False)
        label = client.containers.get(started["container_id"]).labels[LABEL_DEPLOYMENT]
        assert f"-{process.pid}-" in label
        address = f"http://{started['host']}:{started['ports'][0]}/"
        assert requests.get(address, timeout=10).status_code == 200
        visitor.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    mine = {"label": f"{LABEL_DEPLOYMENT}={label}"}
    assert client.containers.list(all=True, filters=mine) == []
    assert list(tmp_path.iterdir()) == []
    client.close()


def test_a_port_in_use_is_named_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["demo", "--port", str(port)])
    assert result.exit_code == 3
    assert f"--port {port}: Address already in use" in result.output
    assert "--port 0 for any free one" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "192.0.2.1"], "--host 192.0.2.1 --port 8070: Cannot assign"),
        (["--host", "no.such.name.invalid"], "--host no.such.name.invalid"),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_what_cannot_be_is_named(options: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["demo", *options])
    assert result.exit_code == 3
    assert said in result.output
    assert "Traceback" not in result.output


def test_without_docker_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    result = CliRunner().invoke(main, ["demo", "--docker", "--port", "0"])
    assert result.exit_code == 3
    assert "no Docker engine can be reached" in result.output
    assert "leave --docker out" in result.output
