"""The Docker runtime on a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import docker
import pytest

from conformance.harnesses.fetch import http_get
from engines.catalog import ChallengeSpec, Readiness
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, Launch, ListedResource
from engines.cre.runtimes.connection import connector
from engines.cre.runtimes.docker import DockerRuntime
from engines.errors import (
    BackendUnavailable,
    ContainerExited,
    ImageMissing,
    NotReady,
    PortUnavailable,
    RuntimeFault,
)
from engines.settings import Settings

READY_SECONDS = 20.0


@pytest.fixture
def runtime(docker_client: docker.DockerClient) -> DockerRuntime:
    return DockerRuntime(docker_client)


@pytest.fixture
def dead_runtime() -> Iterator[DockerRuntime]:
    client = docker.DockerClient(base_url="tcp://127.0.0.1:9", version="1.41", timeout=5)
    yield DockerRuntime(client)
    client.close()


def launch_of(image: str, deployment: str, **fields: object) -> Launch:
    values = {"id": 1, "name": "A", "image": image, "readiness": Readiness.HTTP, **fields}
    spec = ChallengeSpec(**values)  # type: ignore[arg-type] # fields by name
    return Launch(f"wr-{deployment}", deployment, spec, "flag{runtime}", "127.0.0.1")


def test_a_container_lives_serves_its_flag_and_goes(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    launch = replace(launch_of(image, deployment), owner="0123456789ab")
    launched = runtime.launch(launch)
    runtime.wait_ready(launch, launched, READY_SECONDS)
    port = int(launched.ports[0])
    assert http_get("127.0.0.1", port, "/cgi-bin/flag") == "flag{runtime}"
    assert runtime.is_running(launched.container_id)
    assert runtime.find(deployment) == [
        ListedResource(launched.container_id, launch.name, running=True, owner="0123456789ab")
    ]
    assert runtime.remove(launched.container_id)
    assert not runtime.remove(launched.container_id)
    assert not runtime.is_running(launched.container_id)
    assert http_get("127.0.0.1", port, "/") is None


def test_what_the_catalogue_says_is_what_the_container_gets(
    runtime: DockerRuntime, docker_client: docker.DockerClient, image: str, deployment: str
) -> None:
    launch = launch_of(
        image, deployment, memory_mb=32, cpus=0.25, pids_limit=17, environment={"MODE": "hard"}
    )
    details = docker_client.api.inspect_container(runtime.launch(launch).container_id)
    host, config = details["HostConfig"], details["Config"]
    assert (host["Memory"], host["MemorySwap"]) == (32 * 2**20, 32 * 2**20)
    assert (host["CpuQuota"], host["CpuPeriod"]) == (25_000, 100_000)
    assert host["PidsLimit"] == 17
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["PortBindings"]["80/tcp"][0]["HostIp"] == "127.0.0.1"
    assert {"MODE=hard", "FLAG=flag{runtime}"} <= set(config["Env"])
    assert config["Labels"][LABEL_DEPLOYMENT] == deployment


@pytest.mark.parametrize("readiness", [Readiness.TCP, Readiness.NONE])
def test_the_other_kinds_of_readiness(
    runtime: DockerRuntime, image: str, deployment: str, readiness: Readiness
) -> None:
    launch = launch_of(image, deployment, readiness=readiness)
    launched = runtime.launch(launch)
    runtime.wait_ready(launch, launched, READY_SECONDS)
    assert runtime.is_running(launched.container_id)


def test_a_missing_image_leaves_nothing(runtime: DockerRuntime, deployment: str) -> None:
    with pytest.raises(ImageMissing):
        runtime.launch(launch_of("whale-ready-no-such-image:none", deployment))
    assert runtime.find(deployment) == []


def test_a_command_that_does_not_exist_leaves_nothing(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    with pytest.raises(RuntimeFault):
        runtime.launch(launch_of(image, deployment, command=("/no/such/program",), init=False))
    assert runtime.find(deployment) == []


def test_a_container_that_exits_is_told_apart_from_one_that_is_silent(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    exiting = launch_of(image, deployment, command=("/bin/busybox", "false"))
    with pytest.raises(ContainerExited):
        runtime.wait_ready(exiting, runtime.launch(exiting), READY_SECONDS)
    silent = launch_of(image, deployment, command=("/bin/busybox", "sleep", "60"))
    for readiness in (Readiness.HTTP, Readiness.TCP):
        with pytest.raises(NotReady):
            runtime.wait_ready(
                launch_of(image, deployment, readiness=readiness), runtime.launch(silent), 0.5
            )


def test_an_address_that_is_not_ours_cannot_be_published_on(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    launch = launch_of(image, deployment)
    elsewhere = Launch(launch.name, deployment, launch.spec, launch.flag, "192.0.2.1")
    with pytest.raises(RuntimeFault) as caught:
        runtime.launch(elsewhere)
    assert type(caught.value) in (RuntimeFault, PortUnavailable)
    assert runtime.find(deployment) == []


def test_a_leftover_of_the_same_name_is_replaced(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    launch = launch_of(image, deployment)
    left = runtime.launch(launch).container_id
    again = runtime.launch(launch).container_id
    assert again != left
    assert runtime.find(deployment) == [ListedResource(again, launch.name, running=True)]


def test_what_was_made_for_a_younger_row_is_not_touched(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    old = replace(launch_of(image, deployment), fence=9)
    runtime.launch(old)
    running = runtime.launch(replace(old, fence=10)).container_id
    there = [ListedResource(running, old.name, running=True, fence=10)]
    assert runtime.find(deployment) == there
    with pytest.raises(RuntimeFault):
        runtime.launch(old)  # it comes back, and fails
    assert not runtime.clear(deployment, old.name, old.fence)
    assert runtime.find(deployment) == there
    assert runtime.clear(deployment, old.name, 10)
    assert runtime.find(deployment) == []


def test_another_deployments_container_of_the_same_name_is_never_touched(
    runtime: DockerRuntime, image: str, deployment: str
) -> None:
    theirs = launch_of(image, deployment)
    container = runtime.launch(theirs).container_id
    ours = Launch(theirs.name, f"{deployment}-ours", theirs.spec, theirs.flag, "127.0.0.1", fence=9)
    made = runtime.launch(ours).container_id
    assert made != container
    assert runtime.clear(ours.deployment, ours.name, 9)
    assert not runtime.is_running(made)
    assert runtime.is_running(container)


def test_an_engine_that_is_down_is_unavailable_and_certainly_untouched(
    dead_runtime: DockerRuntime, deployment: str
) -> None:
    for ask in (
        lambda: dead_runtime.launch(launch_of("any", deployment)),
        lambda: dead_runtime.is_running("any"),
        lambda: dead_runtime.remove("any"),
        lambda: dead_runtime.find(deployment),
        dead_runtime.versions,
    ):
        with pytest.raises(BackendUnavailable) as caught:
            ask()
        assert caught.value.untouched


def test_an_engine_is_only_asked_for_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    runtime = DockerRuntime(connect=connector(Settings()))
    with pytest.raises(BackendUnavailable):
        runtime.is_running("any")
    runtime.close()
