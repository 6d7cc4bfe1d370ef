"""What a swarm is told, and what its answers mean; the swarm itself is in the integration tests."""

from __future__ import annotations

import re
from typing import Any

import pytest
from docker.errors import APIError

from engines.catalog import ChallengeSpec, Companion, Port, Readiness, Transport
from engines.cre.runtimes.base import Launch
from engines.cre.runtimes.swarm_config import (
    challenge_service,
    check,
    companion_service,
    network_config,
)
from engines.cre.runtimes.swarm_tasks import (
    digest_of,
    fault_of,
    own_address,
    published,
    was_missing,
)
from engines.errors import (
    ContainerExited,
    ImageMissing,
    NoRoom,
    PortUnavailable,
    RuntimeFault,
)


def task(state: str, error: str = "", *, desired: str = "running", **status: Any) -> dict[str, Any]:
    return {"DesiredState": desired, "Status": {"State": state, "Err": error, **status}}


@pytest.mark.parametrize(
    ("seen", "meaning"),
    [
        (task("new"), None),
        (task("pending"), None),
        (task("preparing"), None),
        (task("starting"), None),
        (task("running"), None),
        (task("running", desired="shutdown"), ContainerExited),
        (task("complete"), ContainerExited),
        (task("failed", "task: non-zero exit (1)"), ContainerExited),
        (task("failed", "task: non-zero exit (137): unhealthy container"), ContainerExited),
        (task("rejected", "No such image: sha256:0123"), ImageMissing),
        (task("failed", "Bind for 0.0.0.0:80 failed: port is already allocated"), PortUnavailable),
        (task("pending", "no suitable node (scheduling constraints not satisfied)"), NoRoom),
        (task("pending", "no suitable node (insufficient resources on 2 nodes)"), NoRoom),
        (task("pending", "no suitable node (host-mode port already in use)"), PortUnavailable),
    ],
)
def test_why_a_task_will_not_run(seen: Any, meaning: type[RuntimeFault] | None) -> None:
    assert type(fault_of(seen)) is (meaning or type(None))


def test_the_error_of_a_task_is_not_repeated_word_for_word() -> None:
    """It may hold what the container was started with."""
    seen = task("failed", 'exec: "flag{secret}": no such file', ContainerStatus={"ExitCode": 127})
    assert str(fault_of(seen)) == "failed, exit code 127"


def test_ports_come_in_the_order_of_the_challenge() -> None:
    def port(number: int, transport: str, outside: int) -> dict[str, Any]:
        return {"TargetPort": number, "Protocol": transport, "PublishedPort": outside}

    given = [port(53, "udp", 3), port(53, "tcp", 2), port(80, "tcp", 1), port(80, "tcp", 1)]
    seen = task("running", PortStatus={"Ports": given})
    wanted = (Port(80), Port(53), Port(53, Transport.UDP))
    assert published(seen, wanted) == ("1", "2", "3")
    with pytest.raises(PortUnavailable, match="port 81 "):
        published(seen, (Port(81),))


def test_names_are_those_a_swarm_takes_and_say_nothing() -> None:
    companion = Companion(name="d" * 32, image="web")
    spec = ChallengeSpec(id=7, name="A", image="web", companions=(companion,))
    launch = Launch("wr-site-user-11-c7", "site", spec, "flag{x}", "127.0.0.1")
    names = [
        challenge_service(launch, "web", "n", ())["name"],
        companion_service(launch, companion, "web", "n", ())["name"],
        network_config(launch, 1500)["name"],
    ]
    assert len(set(names)) == 3
    for name in names:
        assert re.fullmatch(r"wr-[0-9a-f]{16}(-d{32}|-[0-9a-f]{8})?", name)
        assert len(name) <= 63, "a service's name is a DNS label"


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("web", "web@sha256:1"),
        ("web:2", "web@sha256:1"),
        ("web@sha256:1", "web@sha256:1"),
        ("registry.example.org:5000/web:2", "registry.example.org:5000/web@sha256:2"),
        ("registry.example.org:5000/web", "registry.example.org:5000/web@sha256:2"),
        ("other/web", None),
    ],
)
def test_the_digest_of_an_image_is_that_of_its_own_registry(name: str, digest: str | None) -> None:
    known = ["registry.example.org:5000/web@sha256:2", "web@sha256:1"]
    assert digest_of({"RepoDigests": known}, name) == digest
    assert digest_of({"RepoDigests": None}, name) is None


def test_the_address_of_a_manager_that_does_not_know_its_own() -> None:
    assert own_address({"Status": {"Addr": "192.0.2.7"}}) == "192.0.2.7"
    manager = {"Status": {"Addr": "0.0.0.0"}, "ManagerStatus": {"Addr": "192.0.2.8:2377"}}  # noqa: S104 - nothing is bound
    assert own_address(manager) == "192.0.2.8"


def test_a_network_that_is_going_is_gone() -> None:
    assert was_missing(APIError("500", explanation="network abc not found"))
    assert not was_missing(APIError("403", explanation="network abc has active endpoints"))


@pytest.mark.parametrize("readiness", list(Readiness))
def test_the_images_own_check_counts_only_where_it_is_asked_for(readiness: Readiness) -> None:
    spec = ChallengeSpec(id=1, name="A", image="web", readiness=readiness)
    launch = Launch("wr-a", "d", spec, "flag{x}", "127.0.0.1")
    container = challenge_service(launch, "web", "n", ())["task_template"]["ContainerSpec"]
    assert ("Healthcheck" not in container) == (readiness is Readiness.HEALTHCHECK)


@pytest.mark.parametrize(
    ("spec", "fix"),
    [
        (
            ChallengeSpec(1, "A", "a", flag_file="/flag"),
            "flag_file: a swarm cannot .* leave it out",
        ),
        (
            ChallengeSpec(
                1, "A", "a", companions=(Companion(name="db", image="d", flag_file="/flag"),)
            ),
            "flag_file: a swarm cannot",
        ),
        (
            ChallengeSpec(
                1, "A", "a", companions=(Companion(name="db", image="d", readiness=Readiness.TCP),)
            ),
            "companion db: a swarm does not show whether it listens; give its image a HEALTHCHECK",
        ),
    ],
)
def test_what_a_swarm_cannot_do_is_refused(spec: ChallengeSpec, fix: str) -> None:
    with pytest.raises(RuntimeFault, match=fix):
        check(spec)
    check(ChallengeSpec(1, "A", "a", disk_mb=1, shm_mb=1, init=False, no_new_privileges=False))


def test_its_networks_have_the_mtu_of_what_is_between_the_nodes() -> None:
    launch = Launch("wr-a", "d", ChallengeSpec(1, "A", "a"), "f", "127.0.0.1")
    assert network_config(launch, 1500)["options"] == {}
    assert network_config(launch, 1400)["options"] == {"com.docker.network.driver.mtu": "1400"}
