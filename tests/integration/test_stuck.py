"""What organisers and other programs leave in the way on Docker keeps no player from starting."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from engines.audit import Action
from engines.catalog import ChallengeSpec, Companion, StaticCatalog
from engines.contract import Code
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.settings import Settings

POOL = IPv4Network(f"10.{150 + secrets.randbelow(29)}.0.0/16")
USER = 7


@pytest.fixture
def engine(
    docker_client: docker.DockerClient, deployment: str, image: str, tmp_path: Path
) -> Iterator[ContainerRuntimeEngine]:
    """Challenge 1 has a companion, 2 has none; an account has one place."""
    networks = BridgeNetworks(
        lambda: docker_client.api, POOL, FirewallGuard("none"), family=secrets.token_hex(2)
    )
    beside = (Companion(name="db", image=image),)
    engine = ContainerRuntimeEngine(
        replace(
            Settings(),
            cre_deployment=deployment,
            cre_network_pool=POOL,
            database_url=f"sqlite:///{tmp_path / 'state.db'}",
        ),
        runtime=DockerRuntime(docker_client, networks=networks),
        catalog=StaticCatalog(
            [
                ChallengeSpec(id=1, name="A", image=image, companions=beside),
                ChallengeSpec(id=2, name="B", image=image),
            ]
        ),
    )
    yield engine
    for row in engine._store.all():
        engine.stop_instance(row.user_id, row.challenge_id)
    engine.cleanup_worker.run_once()
    engine.close()
    networks.remove_unused()


Joins = Callable[[str], str]


@pytest.fixture
def stranger(docker_client: docker.DockerClient, image: str) -> Iterator[Joins]:
    """Puts an organiser's debugging container on an instance's network; gives its name."""
    made: list[str] = []

    def join(container_id: str) -> str:
        networks = docker_client.api.inspect_container(container_id)["NetworkSettings"]["Networks"]
        name = f"debug-{secrets.token_hex(4)}"
        docker_client.containers.run(
            image,
            ["/bin/busybox", "sleep", "600"],
            name=name,
            detach=True,
            network=next(iter(networks)),
        )
        made.append(name)
        return name

    yield join
    for name in made:
        with suppress(NotFound):  # the test has removed it
            docker_client.containers.get(name).remove(force=True)


def networks_of(docker_client: docker.DockerClient, deployment: str) -> int:
    return len(
        docker_client.api.networks(filters={"label": f"whale-ready.deployment={deployment}"})
    )


def test_a_foreign_endpoint_is_named_and_in_nobodys_way(
    engine: ContainerRuntimeEngine,
    docker_client: docker.DockerClient,
    deployment: str,
    stranger: Joins,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """moby/moby#17217, #42119: stop, then start again, while a container hangs on the network."""
    first = engine.start_instance(USER, 1)
    assert first.ok, first
    name = stranger(first.instance["container_id"])
    assert engine.stop_instance(USER, 1).ok
    event = engine.audit.events()[-1]
    assert event.action is Action.STOPPED
    (left,) = event.metadata["left"]
    assert name in left
    assert name in caplog.text
    assert engine.start_instance(USER, 2).ok
    assert engine.stop_instance(USER, 2).ok
    assert engine.start_instance(USER, 1).ok
    caplog.clear()
    for _ in range(3):
        engine.cleanup_worker.run_once()
    assert caplog.text.count(name) == 2, "once by each of its names, not in every round"
    assert engine.get_instance_status(USER, 1) is not None
    docker_client.containers.get(name).remove(force=True)
    engine.cleanup_worker.run_once()
    assert networks_of(docker_client, deployment) == 1, "the one that is in use"
    assert engine.stop_instance(USER, 1).ok
    assert networks_of(docker_client, deployment) == 0


@pytest.mark.parametrize("what", ["renamed", "paused"])
def test_a_container_that_an_organiser_renamed_or_paused_is_stopped_and_started_anew(
    engine: ContainerRuntimeEngine, docker_client: docker.DockerClient, what: str
) -> None:
    """moby/moby#15853, hashicorp/nomad#736."""
    for challenge in (1, 2):
        found = engine.start_instance(USER, challenge)
        assert found.ok, found
        container = docker_client.containers.get(found.instance["container_id"])
        if what == "renamed":
            container.rename(f"looked-at-{secrets.token_hex(4)}")
        else:
            container.pause()
        assert engine.get_instance_status(USER, challenge) is not None
        assert engine.stop_instance(USER, challenge).ok
        assert engine.start_instance(USER, challenge).ok
        assert engine.stop_instance(USER, challenge).ok


def test_an_image_removed_by_hand_is_named_and_its_return_is_enough(
    engine: ContainerRuntimeEngine, docker_client: docker.DockerClient, image: str
) -> None:
    tag = f"whale-ready-test:{secrets.token_hex(4)}"
    repository, _, version = tag.partition(":")
    docker_client.api.tag(image, repository, version)
    catalog = StaticCatalog([ChallengeSpec(id=1, name="A", image=tag)])
    engine._parts.catalog._specs |= catalog._specs  # type: ignore[attr-defined] # the test's own
    assert engine.start_instance(USER, 1).ok
    assert engine.stop_instance(USER, 1).ok
    docker_client.api.remove_image(tag)
    assert engine.start_instance(USER, 1).code is Code.IMAGE_MISSING
    assert tag in engine.audit.events()[-1].metadata["reason"]
    docker_client.api.tag(image, repository, version)
    assert engine.start_instance(USER, 1).ok
    docker_client.api.remove_image(tag, force=True)
