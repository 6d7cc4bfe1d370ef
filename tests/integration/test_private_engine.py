"""An engine of our own for tests: it comes, restarts, and leaves nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docker
import pytest
from support.cluster import saved
from support.private_engine import PrivateEngine

from conformance.harnesses.fetch import http_get
from engines.probe import wait_until

ANSWER_SECONDS = 30.0


@pytest.fixture
def engine(own_engines: None) -> PrivateEngine:
    return PrivateEngine(live_restore=True)


def traces(engine: PrivateEngine) -> list[str]:
    """What of an engine can be seen from outside."""
    links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
    names = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout
    mounts = Path("/proc/mounts").read_text()
    groups = [*Path("/sys/fs/cgroup").glob(engine.folder.name)]
    groups += Path("/sys/fs/cgroup").glob(f"*/{engine.folder.name}")
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [
        *(line for line in (links + names).splitlines() if engine.switch.name in line),
        *(line for line in mounts.splitlines() if engine.folder.name in line),
        *(str(path) for path in groups),
        *(str(line) for line in commands if engine.folder.name.encode() in line),
        *([str(engine.folder)] if engine.folder.exists() else []),
    ]


def answers(engine: PrivateEngine) -> bool:
    """Whether the container does, once its web server is up."""
    return wait_until(
        lambda _timeout: http_get(engine.address, 8080, "/") is not None, ANSWER_SECONDS
    )


def test_a_container_outlives_its_restart_and_nothing_outlives_its_close(
    engine: PrivateEngine, docker_client: docker.DockerClient, image: str
) -> None:
    try:
        client = engine.client()
        client.images.load(saved(docker_client, image))
        container = client.containers.run(
            image, detach=True, ports={"80/tcp": (engine.address, 8080)}
        )
        assert answers(engine)
        engine.restart()
        assert client.containers.get(container.id).status == "running"
        assert answers(engine)
        assert traces(engine)
    finally:
        engine.close()
    assert traces(engine) == []
