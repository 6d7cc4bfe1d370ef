"""Container mode on a real engine; asked for where there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest
import requests

from fake_whale import (
    FakeWhale,
    InstanceOptions,
    SystemEpochClock,
    User,
    WhaleChallenge,
    WhaleRuntime,
    WhaleWorld,
)
from fake_whale.testing import WhalePlayer, said
from fake_whale.whale.docker_engine import LABEL

READY_SECONDS = 20.0


@pytest.fixture
def client(docker_engine: str) -> Iterator[docker.DockerClient]:
    found = docker.from_env()
    yield found
    found.close()


@pytest.fixture
def image(client: docker.DockerClient) -> str:
    """An image that serves HTTP on port 80 and shows its flag: the suite's own."""
    from conformance.harnesses.challenge_image import ensure_image  # builds it

    return ensure_image(client)


def until_answered(url: str, headers: dict[str, str]) -> str:
    """The first 200 answer's text; the container needs a moment, in real time."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        answer = requests.get(url, headers=headers, timeout=5)
        if answer.status_code == 200:
            return answer.text
        assert time.monotonic() < deadline, f"{url} never answered: {answer.status_code}"


def of_fake(client: docker.DockerClient, run: str) -> list[Any]:
    return list(client.containers.list(all=True, filters={"label": f"{LABEL}={run}"}))


def test_post_starts_a_container_that_answers(client: docker.DockerClient, image: str) -> None:
    world = WhaleWorld(
        users=(User(2, "alice", token="t-alice"),),
        challenges=(
            WhaleChallenge(1, "Real", image=image, redirect_port=80),
            WhaleChallenge(2, "Missing", image="nosuch/image:latest"),
        ),
    )
    fake = FakeWhale(
        world, clock=SystemEpochClock(), instances=InstanceOptions(), runtime=WhaleRuntime.DOCKER
    )
    with fake.serve() as server:
        run = fake.machine.engine.run  # type: ignore[attr-defined]  # the Docker engine's own
        alice = WhalePlayer(server.url, "t-alice")
        assert said(alice.post(1)) == (200, "Container created")
        (record,) = fake.state()["records"]
        assert fake.http_listener is not None
        host, port = fake.http_listener
        named = {"Host": f"{record['uuid']}.127.0.0.1.nip.io"}
        shown = until_answered(f"http://{host}:{port}/cgi-bin/flag", named)
        assert shown.strip() == record["flag"]
        assert said(alice.post(2)) == (200, "Container created")
        assert of_fake(client, run) == []
        assert said(alice.post(1)) == (200, "Container created")
        assert len(of_fake(client, run)) == 1
    assert of_fake(client, run) == []


@pytest.fixture
def swarm(client: docker.DockerClient) -> Iterator[docker.DockerClient]:
    """The engine as a Swarm manager; it leaves again if it was none before."""
    if client.info()["Swarm"].get("ControlAvailable"):
        yield client
        return
    before = {network.id for network in client.networks.list()}
    client.swarm.init(advertise_addr="127.0.0.1")
    try:
        yield client
    finally:
        client.swarm.leave(force=True)
        for network in client.networks.list():
            if network.id not in before:
                network.remove()


def test_swarm_mode_makes_a_service(swarm: docker.DockerClient, image: str) -> None:
    client = swarm
    world = WhaleWorld(
        users=(User(2, "alice", token="t-alice"),),
        challenges=(WhaleChallenge(1, "Real", image=image, redirect_port=80),),
    )
    fake = FakeWhale(
        world, clock=SystemEpochClock(), instances=InstanceOptions(), runtime=WhaleRuntime.SWARM
    )
    with fake.serve() as server:
        run = fake.machine.engine.run  # type: ignore[attr-defined]  # the Docker engine's own
        assert said(WhalePlayer(server.url, "t-alice").post(1)) == (200, "Container created")
        (record,) = fake.state()["records"]
        assert fake.http_listener is not None
        host, port = fake.http_listener
        named = {"Host": f"{record['uuid']}.127.0.0.1.nip.io"}
        shown = until_answered(f"http://{host}:{port}/cgi-bin/flag", named)
        assert shown.strip() == record["flag"]
        (service,) = client.services.list(filters={"label": f"{LABEL}={run}"})
        assert service.name == f"2-{record['uuid']}"
    assert client.services.list(filters={"label": f"{LABEL}={run}"}) == []
