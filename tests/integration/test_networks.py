"""Networks on a real engine, in a family of their own: those of other runs are left alone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network

import docker
import pytest

from engines.catalog import ChallengeSpec, Companion
from engines.child import run
from engines.cre.guard import INTERFACES, FirewallGuard
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, LABEL_INSTANCE, Cleared, Launch
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.cre.runtimes.subnets import own_subnets, shared_subnet
from engines.errors import BackendUnavailable, RuntimeFault, SettingsError

POOL = IPv4Network(f"10.{215 + secrets.randbelow(40)}.0.0/16")


@pytest.fixture
def family(docker_client: docker.DockerClient) -> Iterator[str]:
    name = secrets.token_hex(2)
    yield name
    for row in docker_client.api.networks(names=[f"whale-ready-{name}-"]):
        docker_client.api.remove_network(row["Id"])


def networks(client: docker.DockerClient, family: str, mode: str = "none") -> BridgeNetworks:
    return BridgeNetworks(lambda: client.api, POOL, FirewallGuard(mode), family=family)


def test_the_first_of_many_makes_a_shared_network(
    docker_client: docker.DockerClient, family: str
) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [
            threads.submit(networks(docker_client, family).shared, egress=False) for _ in "8" * 8
        ]
    assert {each.result() for each in made} == {f"whale-ready-{family}-closed-0"}
    (row,) = docker_client.api.networks(names=[f"whale-ready-{family}-"])
    assert row["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert row["Options"]["com.docker.network.bridge.name"] == f"wrc-{family}0"
    assert row["IPAM"]["Config"][0]["Subnet"] == str(shared_subnet(POOL, 0, egress=False))
    assert row["Labels"] == {"whale-ready.shared": "closed"}
    assert not row["EnableIPv6"]


def test_a_network_that_is_not_as_it_must_be_is_never_used(
    docker_client: docker.DockerClient, family: str
) -> None:
    name = f"whale-ready-{family}-open-0"
    docker_client.api.create_network(name, driver="bridge")
    with pytest.raises(RuntimeFault, match=f"icc.*docker network rm {name}"):
        networks(docker_client, family).shared(egress=True)


@pytest.fixture
def one_bridge(docker_client: docker.DockerClient, family: str) -> BridgeNetworks:
    return BridgeNetworks(
        lambda: docker_client.api, POOL, FirewallGuard("none"), family=family, bridges=1
    )


def test_a_shared_network_that_was_pruned_is_made_anew_by_the_start_that_misses_it(
    docker_client: docker.DockerClient, image: str, deployment: str, one_bridge: BridgeNetworks
) -> None:
    """coollabsio/coolify#1764, spotify/docker-gc#174: docker system prune while nobody plays."""
    runtime = DockerRuntime(docker_client, networks=one_bridge)
    docker_client.api.remove_network(one_bridge.shared(egress=False))
    launch = Launch(
        "wr-a", deployment, ChallengeSpec(id=1, name="A", image=image), "f", "127.0.0.1"
    )
    launched = runtime.launch(launch)
    assert runtime.is_running(launched.container_id)
    runtime.clear(deployment, "wr-a", 0)


class Looking(FirewallGuard):
    """As ``CRE_FIREWALL=engine`` looks for a bridge; its rules are another test's business."""

    def ensure(self, interface: str) -> None:
        self._check_place(interface)


@pytest.mark.parametrize("removal", ["the network", "its interface"])
def test_a_shared_bridge_that_is_gone_under_the_firewall_is_made_anew(
    docker_client: docker.DockerClient, family: str, removal: str
) -> None:
    """coollabsio/coolify#1764: a bridge that this process knew is not there any more."""
    found = BridgeNetworks(
        lambda: docker_client.api, POOL, Looking("engine"), family=family, bridges=1
    )
    name = found.shared(egress=False)
    if removal == "the network":
        docker_client.api.remove_network(name)
    else:
        run(["ip", "link", "delete", f"wrc-{family}0"], seconds=10)
    assert found.shared(egress=False) == name
    assert (INTERFACES / f"wrc-{family}0").exists()


def test_a_bridge_that_was_never_seen_is_left_alone(
    docker_client: docker.DockerClient, family: str
) -> None:
    """An engine in another network namespace: its networks are others' too."""
    networks(docker_client, family).shared(egress=False)
    (before,) = docker_client.api.networks(names=[f"whale-ready-{family}-"])
    run(["ip", "link", "delete", f"wrc-{family}0"], seconds=10)
    blind = BridgeNetworks(
        lambda: docker_client.api, POOL, Looking("engine"), family=family, bridges=1
    )
    with pytest.raises(BackendUnavailable, match="there is no interface"):
        blind.shared(egress=False)
    (after,) = docker_client.api.networks(names=[f"whale-ready-{family}-"])
    assert after["Id"] == before["Id"]


def test_a_foreign_endpoint_keeps_a_network_and_neither_the_stop_nor_the_next_start(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str
) -> None:
    """moby/moby#17217, #42119: an organiser's debugging container on an instance's network."""
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    spec = ChallengeSpec(
        id=1, name="A", image=image, companions=(Companion(name="db", image=image),)
    )
    subnets = own_subnets(POOL)
    first, second = (
        Launch(
            "wr-a", deployment, spec, "f", "127.0.0.1", subnet=str(subnets[number]), fence=number
        )
        for number in (1, 2)
    )
    launched = runtime.launch(first)
    ((network, _),) = docker_client.api.inspect_container(launched.container_id)["NetworkSettings"][
        "Networks"
    ].items()
    stranger = docker_client.api.create_container(
        image,
        ["/bin/busybox", "sleep", "600"],
        name=f"stranger-{family}",
        host_config=docker_client.api.create_host_config(network_mode=network),
    )["Id"]
    docker_client.api.start(stranger)
    try:
        done = runtime.remove(launched.container_id)
        assert done
        (left,) = done.left
        assert network in left
        assert f"stranger-{family}" in left
        again = runtime.launch(second)
        assert runtime.is_running(again.container_id)
        assert [each.fence for each in runtime.find(deployment)].count(1) == 1, "not the network?"
    finally:
        docker_client.api.remove_container(stranger, force=True)
    assert runtime.clear(deployment, "wr-a", 1) == Cleared(True)
    assert runtime.is_running(again.container_id)
    assert runtime.remove(again.container_id) == Cleared(True)
    assert runtime.find(deployment) == []


def test_only_what_was_made_and_is_not_in_use_is_removed(
    docker_client: docker.DockerClient, family: str
) -> None:
    first, second = networks(docker_client, family), networks(docker_client, family)
    name = first.shared(egress=False)
    assert second.shared(egress=False) == name
    assert second.remove_unused() == []
    assert first.remove_unused() == [name]


def test_companions_meet_and_nobody_else_does(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str
) -> None:
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    spec = ChallengeSpec(
        id=1, name="A", image=image, companions=(Companion(name="db", image=image),)
    )
    ids = []
    for number in (0, 1):
        subnet = str(own_subnets(POOL)[number])
        name = f"wr-{family}-{number}"
        launch = Launch(name, deployment, spec, "f", "127.0.0.1", subnet=subnet)
        ids.append(runtime.launch(launch).container_id)
    stranger = docker_client.api.inspect_container(ids[1])["NetworkSettings"]["Networks"]
    (address,) = [each["IPAddress"] for each in stranger.values()]
    assert IPv4Network(f"{address}/28", strict=False) == own_subnets(POOL)[1]
    assert reaches(docker_client, ids[0], "db")
    assert not reaches(docker_client, ids[0], address)
    for number in (0, 1):
        assert runtime.clear(deployment, f"wr-{family}-{number}", 0)
    assert runtime.find(deployment) == []


def test_companions_of_a_younger_row_are_not_touched(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str
) -> None:
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    spec = ChallengeSpec(
        id=1, name="A", image=image, companions=(Companion(name="db", image=image),)
    )
    subnet = str(own_subnets(POOL)[0])
    old = Launch(f"wr-{family}", deployment, spec, "f", "127.0.0.1", subnet=subnet, fence=9)
    runtime.launch(old)
    running = runtime.launch(replace(old, fence=10)).container_id
    there = runtime.find(deployment)
    assert [found.fence for found in there] == [10] * 3  # two containers and their network
    with pytest.raises(RuntimeFault):
        runtime.launch(replace(old, subnet=str(own_subnets(POOL)[1])))
    assert runtime.find(deployment) == there
    assert runtime.remove(running)
    assert runtime.find(deployment) == []


@pytest.mark.parametrize("companions", [0, 1])
def test_what_an_older_version_has_named_is_found_and_ended(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str, companions: int
) -> None:
    """Containers used to be called what their instance's label still says."""
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    others = tuple(Companion(name=f"db{number}", image=image) for number in range(companions))
    spec = ChallengeSpec(id=1, name="A", image=image, companions=others)
    subnet = str(own_subnets(POOL)[0]) if companions else None
    name = f"wr-{deployment}-user-1-c1"
    old = Launch(name, deployment, spec, "f", "127.0.0.1", subnet=subnet, fence=3)
    object.__setattr__(old, "opaque", name)
    left = runtime.launch(old).container_id
    assert {found.name for found in runtime.find(deployment)} == {name}
    young = runtime.launch(replace(old, fence=4)).container_id
    assert not runtime.is_running(left), "the next start of the new version replaces it"
    again = replace(old, fence=5)
    object.__setattr__(again, "opaque", name)
    runtime.remove(young)
    ended = runtime.launch(again).container_id
    assert runtime.remove(ended)
    assert runtime.find(deployment) == []


def test_what_docker_calls_them_says_nothing(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str
) -> None:
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    spec = ChallengeSpec(
        id=7, name="A", image=image, egress=True, companions=(Companion(name="db", image=image),)
    )
    subnet = str(own_subnets(POOL)[0])
    launch = Launch(
        f"wr-{deployment}-user-11-c7", deployment, spec, "f", "127.0.0.1", subnet=subnet
    )
    runtime.launch(launch)
    wanted = {"label": f"{LABEL_DEPLOYMENT}={deployment}"}
    rows = docker_client.api.containers(all=True, filters=wanted)
    names = [name for row in rows for name in row["Names"]]
    names += [row["Name"] for row in docker_client.api.networks(filters=wanted)]
    assert len(names) == 3
    for name in names:
        assert re.fullmatch(r"/?wr-([0-9a-f]{16}(-db)?|[0-9a-f]{11})", name), name
    for row in rows:
        details = docker_client.api.inspect_container(row["Id"])
        assert details["HostConfig"]["DnsSearch"] == ["."], "the host's domain is not told"
        assert details["Config"]["Hostname"] == row["Id"][:12]
        assert details["Config"]["Labels"][LABEL_INSTANCE] == launch.name, "for the operator"
    runtime.clear(deployment, launch.name, 0)


def test_shared_networks_do_not_meet(
    docker_client: docker.DockerClient, image: str, deployment: str, family: str
) -> None:
    runtime = DockerRuntime(docker_client, networks=networks(docker_client, family))
    spec = ChallengeSpec(id=1, name="A", image=image)
    ids = [
        runtime.launch(Launch(name, deployment, spec, "f", "127.0.0.1")).container_id
        for name in (f"wr-{family}-a", f"wr-{family}-b")
    ]
    seen = [docker_client.api.inspect_container(one)["NetworkSettings"]["Networks"] for one in ids]
    assert seen[0].keys() != seen[1].keys(), "they take turns"
    (address,) = [each["IPAddress"] for each in seen[1].values()]
    assert not reaches(docker_client, ids[0], address)
    for id_ in ids:
        runtime.remove(id_)


def test_no_rules_no_network(docker_client: docker.DockerClient, family: str) -> None:
    guard = FirewallGuard("engine", "tcp://elsewhere:2376")
    refusing = BridgeNetworks(lambda: docker_client.api, POOL, guard, family=family)
    with pytest.raises(BackendUnavailable, match="another machine") as refusal:
        refusing.shared(egress=False)
    assert refusal.value.untouched


def test_a_dead_engine_is_unavailable_and_untouched() -> None:
    client = docker.DockerClient(base_url="tcp://127.0.0.1:9", version="1.41", timeout=5)
    with pytest.raises(BackendUnavailable) as refusal:
        networks(client, "dead").shared(egress=False)
    assert refusal.value.untouched
    client.close()


def reaches(client: docker.DockerClient, container_id: str, host: str) -> bool:
    command = ["/bin/busybox", "sh", "-c", f"timeout 3 nc -w 1 {host} 80 </dev/null"]
    made = client.api.exec_create(container_id, command)
    client.api.exec_start(made["Id"])
    return bool(client.api.exec_inspect(made["Id"])["ExitCode"] == 0)


def test_a_pool_is_shared_out_without_overlap() -> None:
    pool = IPv4Network("10.213.0.0/17")
    shared = [shared_subnet(pool, n, egress=e) for e in (False, True) for n in range(4)]
    own = own_subnets(pool)
    assert shared[0].network_address == pool.network_address
    assert all(each.num_addresses - 3 < 1023 for each in shared), "a bridge takes 1023 ports"
    assert sum(each.num_addresses - 3 for each in shared[:4]) > 1000
    assert not any(a.overlaps(b) for a in shared for b in (*shared, own[0], own[-1]) if a != b)
    assert (own[0].prefixlen, len(own)) == (28, 1536)
    assert own[-1].broadcast_address == pool.broadcast_address
    assert len(own_subnets(IPv4Network("10.0.0.0/19"))) == 0
    with pytest.raises(IndexError):
        own[len(own)]


def test_a_pool_that_is_too_small_says_what_is_needed() -> None:
    with pytest.raises(SettingsError, match=r"CRE_NETWORK_POOL: .* write a /19"):
        shared_subnet(IPv4Network("10.0.0.0/20"), 0, egress=False)
