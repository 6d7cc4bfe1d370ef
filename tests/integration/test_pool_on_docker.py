"""The warm pool on real containers: what a tag means may change under it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import docker
import pytest

from conformance.harnesses.fetch import http_get
from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.docker import DockerRuntime
from engines.settings import Settings
from engines.state.database import Database


@pytest.fixture
def moving_tag(docker_client: docker.DockerClient, image: str) -> Iterator[str]:
    """A tag of our own for the challenge image; :func:`moved` gives it to another one."""
    name = f"whale-ready-test:{secrets.token_hex(4)}"
    docker_client.images.get(image).tag(name)
    yield name
    docker_client.api.remove_image(name, force=True)


def moved(client: docker.DockerClient, image: str, tag: str) -> None:
    """Commit a container of the image, changed in nothing but a label, under the tag."""
    made = client.containers.create(image, labels={"whale-ready.test": tag})
    repository, _, version = tag.partition(":")
    made.commit(repository, version, changes='LABEL moved="yes"')
    made.remove()


def test_containers_made_from_the_image_of_before_are_drained(
    docker_client: docker.DockerClient,
    image: str,
    moving_tag: str,
    deployment: str,
    database: Database,
) -> None:
    spec = ChallengeSpec(1, "A", moving_tag, readiness=Readiness.HTTP, warm=2)
    engine = ContainerRuntimeEngine(
        Settings(cre_deployment=deployment),
        runtime=DockerRuntime(docker_client),
        catalog=StaticCatalog([spec]),
        database=database,
    )
    assert engine.fill_pool() == 2
    before = {found.id for found in engine._runtime.find(deployment)}
    instance = engine.start_instance(7, 1).instance
    assert instance["container_id"] in before
    moved(docker_client, image, moving_tag)
    assert engine.fill_pool() == 2
    now = {found.id for found in engine._runtime.find(deployment)}
    assert before & now == {instance["container_id"]}  # a player's own is left alone
    flag = engine.recorded_flag(7, 1)
    assert http_get(instance["host"], int(instance["ports"][0]), "/cgi-bin/flag") == flag
    fresh = engine.start_instance(8, 1).instance["container_id"]
    assert fresh in now - before
    assert engine.stop_instance(7, 1).ok
    assert engine.stop_instance(8, 1).ok
    engine.close()
