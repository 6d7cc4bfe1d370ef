"""Readiness by an image's own HEALTHCHECK."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator

import docker
import pytest

from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.docker import DockerRuntime
from engines.settings import Settings
from engines.state.database import Database

HealthImage = Callable[[str], str]


@pytest.fixture
def health_image(
    docker_client: docker.DockerClient, image: str, deployment: str
) -> Iterator[HealthImage]:
    """Builds the challenge image, itself FROM scratch, with a HEALTHCHECK line."""
    built: list[str] = []

    def build(line: str) -> str:
        tag = f"whale-ready-health:{secrets.token_hex(4)}"
        dockerfile = io.BytesIO(f"FROM {image}\n{line}\n".encode())
        docker_client.images.build(fileobj=dockerfile, tag=tag, rm=True)
        built.append(tag)
        return tag

    yield build
    for row in docker_client.api.containers(
        all=True, filters={"label": f"whale-ready.deployment={deployment}"}
    ):
        docker_client.api.remove_container(row["Id"], force=True)
    for tag in built:
        docker_client.images.remove(tag, force=True)


@pytest.fixture
def start(
    docker_client: docker.DockerClient, deployment: str, database: Database
) -> Iterator[Callable[[str, float], ContainerRuntimeEngine]]:
    made: list[ContainerRuntimeEngine] = []

    def make(image: str, seconds: float) -> ContainerRuntimeEngine:
        spec = ChallengeSpec(id=1, name="A", image=image, readiness=Readiness.HEALTHCHECK)
        made.append(
            ContainerRuntimeEngine(
                Settings(cre_deployment=deployment, cre_ready_seconds=seconds),
                runtime=DockerRuntime(docker_client),
                catalog=StaticCatalog([spec]),
                database=database,
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


Start = Callable[[str, float], ContainerRuntimeEngine]
PROGRAM = 'HEALTHCHECK --interval=100ms CMD ["/bin/busybox", "{}"{}]'


def left(docker_client: docker.DockerClient, deployment: str) -> list[object]:
    wanted = {"label": f"whale-ready.deployment={deployment}"}
    return list(docker_client.api.containers(all=True, filters=wanted))


def test_a_container_is_ready_when_its_own_check_says_so(
    start: Start, health_image: HealthImage, docker_client: docker.DockerClient
) -> None:
    # Unhealthy at first: its second check makes it so.
    line = (
        'HEALTHCHECK --interval=100ms CMD ["/bin/busybox", "sh", "-c", '
        '"test -e /tmp/seen || { /bin/busybox mkdir -p /tmp/seen; exit 1; }"]'
    )
    ok, message, instance = start(health_image(line), 30.0).start_instance(7, 1)
    assert ok, message
    details = docker_client.api.inspect_container(instance["container_id"])
    assert details["State"]["Health"]["Status"] == "healthy"
    assert [row["ExitCode"] for row in details["State"]["Health"]["Log"]][:2] == [1, 0]


def test_one_that_never_is_healthy_is_removed(
    start: Start, health_image: HealthImage, docker_client: docker.DockerClient, deployment: str
) -> None:
    result = start(health_image(PROGRAM.format("false", "")), 1.0).start_instance(7, 1)
    assert result.code is Code.NOT_READY
    assert left(docker_client, deployment) == []


def test_one_that_ends_before_it_is_healthy_is_told_apart(
    start: Start, health_image: HealthImage, docker_client: docker.DockerClient, deployment: str
) -> None:
    line = PROGRAM.format("false", "") + '\nCMD ["/bin/busybox", "sleep", "0.5"]'
    result = start(health_image(line), 30.0).start_instance(7, 1)
    assert result.code is Code.START_FAILED
    assert left(docker_client, deployment) == []


def test_an_image_without_a_check_is_named_in_the_log(
    start: Start,
    image: str,
    docker_client: docker.DockerClient,
    deployment: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    result = start(image, 30.0).start_instance(7, 1)
    assert result.code is Code.NOT_READY
    assert "has no HEALTHCHECK; choose another readiness" in caplog.text
    assert left(docker_client, deployment) == []
