"""Each row of the fault table of docs/whale-wire.md, from a plain client's side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from fake_whale import (
    FakeServer,
    FakeWhale,
    FakeWhaleError,
    InstanceOptions,
    VirtualEpochClock,
    WhaleWorld,
)
from fake_whale.testing import WhalePlayer, said

Players = Callable[[str], WhalePlayer]
CREATED = (200, "Container created")
DESTROYED = (200, "Container destroyed")
NOT_CREATED = (403, "Container creation failed")
NOT_DESTROYED = (403, "Failed when destroying instance, please contact admin!")
DIRECT_HOST = "127.31.7.2"


@pytest.fixture
def fake(world: WhaleWorld) -> Iterator[FakeWhale]:
    """A fake whose instances answer, so that reachability is part of every row."""
    options = InstanceOptions(direct_host=DIRECT_HOST)
    with FakeWhale(world, clock=VirtualEpochClock(), instances=options) as made:
        yield made


@pytest.fixture
def alice(player: Players) -> WhalePlayer:
    return player("alice")


def answers(fake: FakeWhale) -> bool:
    """Whether the newest instance can be reached."""
    uuid = fake.state()["services"][-1]["uuid"]
    assert fake.http_listener is not None
    host, port = fake.http_listener
    headers = {"Host": f"{uuid}.127.0.0.1.nip.io"}
    return requests.get(f"http://{host}:{port}/", headers=headers, timeout=5).status_code == 200


def took(fake: FakeWhale, call: Callable[[], requests.Response]) -> float:
    """Seconds of the fake's clock one call takes."""
    began = fake.clock.time()
    call()
    return fake.clock.time() - began


@pytest.mark.parametrize("kind", ["image_missing", "no_suitable_node"])
def test_an_instance_that_never_runs_looks_well(
    alice: WhalePlayer, fake: FakeWhale, kind: str
) -> None:
    fake.inject({"kind": kind})
    assert said(alice.post(1)) == CREATED
    assert "user_access" in alice.get(1).json()["data"]
    assert said(alice.patch(1)) == (200, "Container Renewed")
    assert not answers(fake)


def test_too_much_cpu_stays_pending(world: WhaleWorld) -> None:
    heavy = tuple(replace(c, cpu_limit=64.0) for c in world.challenges)
    made = FakeWhale(replace(world, challenges=heavy), clock=VirtualEpochClock())
    with made as fake, fake.serve() as server:
        assert said(WhalePlayer(server.url, world.users[1].token or "").post(1)) == CREATED
        assert fake.state()["services"][0]["task"] == "pending"


@pytest.mark.parametrize(
    "change", [{"image": "Bad Reference!"}, {"memory_limit": "lots"}, {"redirect_type": "weird"}]
)
def test_a_bad_challenge_creates_nothing(world: WhaleWorld, change: dict[str, Any]) -> None:
    broken = tuple(replace(c, **change) for c in world.challenges)
    made = FakeWhale(replace(world, challenges=broken), clock=VirtualEpochClock())
    with made as fake, fake.serve() as server:
        assert said(WhalePlayer(server.url, world.users[1].token or "").post(1)) == NOT_CREATED
        assert fake.state()["records"] == fake.state()["services"] == []


def test_a_bad_network_creates_nothing(alice: WhalePlayer, fake: FakeWhale) -> None:
    fake.patch_config({"docker_auto_connect_network": "nowhere"})
    assert said(alice.post(1)) == NOT_CREATED


@pytest.mark.parametrize("kind", ["docker_refused", "docker_error"])
def test_docker_failing(alice: WhalePlayer, player: Players, fake: FakeWhale, kind: str) -> None:
    alice.post(1)
    fake.inject({"kind": kind})
    assert said(player("bob").post(1)) == NOT_CREATED
    assert said(alice.delete(1)) == NOT_DESTROYED
    assert len(fake.state()["records"]) == 1
    assert "user_access" in alice.get(1).json()["data"]
    assert said(player("bob").post(1)) == (403, "Request Too Fast!")


def test_docker_failing_then_restart_orphans_for_good(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(1)
    fake.inject({"kind": "docker_refused"})
    assert said(alice.post(1)) == NOT_CREATED
    fake.lift_faults()
    assert alice.get(1).json()["data"] == {}
    fake.clock.advance(4000)
    (service,) = fake.state()["services"]
    assert service["orphan"]


def test_docker_hung(alice: WhalePlayer, player: Players, fake: FakeWhale) -> None:
    alice.post(1)
    player("carol").post(1)
    fake.inject({"kind": "docker_hung"})
    assert took(fake, lambda: player("bob").post(1)) == 120
    assert took(fake, lambda: alice.delete(1)) == 180
    assert took(fake, lambda: player("carol").post(1)) == 300


@pytest.mark.parametrize("kind", ["frpc_down", "frpc_error"])
def test_frpc_failing(alice: WhalePlayer, player: Players, fake: FakeWhale, kind: str) -> None:
    alice.post(1)
    fake.inject({"kind": kind})
    assert said(player("bob").post(1)) == NOT_CREATED
    assert said(alice.delete(1)) == NOT_DESTROYED
    assert [s["user_id"] for s in fake.state()["services"]] == [2]


def test_frpc_slow(alice: WhalePlayer, player: Players, fake: FakeWhale) -> None:
    alice.post(1)
    player("carol").post(1)
    fake.inject({"kind": "frpc_slow", "seconds": 6})
    assert took(fake, lambda: player("bob").post(1)) == 5
    assert took(fake, lambda: alice.delete(1)) == 15
    assert took(fake, lambda: player("carol").post(1)) == 20


def test_a_failed_direct_post_leaks_a_port(alice: WhalePlayer, fake: FakeWhale) -> None:
    free = fake.state()["free_ports"]
    fake.inject({"kind": "frpc_down"})
    assert said(alice.post(2)) == NOT_CREATED
    assert fake.state()["free_ports"] == free - 1


def test_a_failed_direct_delete_gives_the_port_to_two(player: Players, fake: FakeWhale) -> None:
    fake.patch_config({"frp_direct_port_minimum": 21000, "frp_direct_port_maximum": 21000})
    player("alice").post(2)
    fake.inject({"kind": "frpc_down", "user": "alice"})
    assert said(player("alice").delete(2)) == NOT_DESTROYED
    assert said(player("bob").post(2)) == CREATED
    assert [r["port"] for r in fake.state()["records"]] == [21000, 21000]


def test_redis_down(alice: WhalePlayer, server: FakeServer, fake: FakeWhale) -> None:
    fake.inject({"kind": "redis_down"})
    for answer in (alice.get(1), requests.get(server.url + "/healthcheck", timeout=5)):
        assert answer.status_code == 500
        assert answer.headers["Content-Type"].startswith("text/html")
    fake.lift_faults()
    assert requests.get(server.url + "/healthcheck", timeout=5).text == "OK"


def test_redis_down_for_one_user(alice: WhalePlayer, player: Players, fake: FakeWhale) -> None:
    fake.inject({"kind": "redis_down", "user": "alice"})
    assert alice.get().status_code == 500
    assert player("bob").get().status_code == 200


def test_an_event_can_wait_for_a_call(alice: WhalePlayer, player: Players, fake: FakeWhale) -> None:
    alice.post()
    fake.inject({"kind": "service_removed", "user": "alice", "method": "PATCH", "count": 1})
    alice.get()
    assert len(fake.state()["services"]) == 1
    alice.patch()
    assert fake.state()["services"] == []
    player("bob").post()
    assert len(fake.state()["services"]) == 1


def test_redis_flushed(alice: WhalePlayer, player: Players, fake: FakeWhale) -> None:
    fake.inject({"kind": "redis_flushed"})
    assert said(alice.post(1)) == CREATED
    assert said(player("bob").post(2)) == NOT_CREATED
    settings = player("admin").call("GET", path="/plugins/ctfd-whale/admin/settings")
    assert settings.status_code == 200
    assert said(player("carol").post(2)) == CREATED


def test_a_service_removed_by_hand(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(1)
    fake.inject({"kind": "service_removed", "user": "alice"})
    assert fake.state()["services"] == []
    assert "user_access" in alice.get(1).json()["data"]
    assert said(alice.delete(1)) == DESTROYED


def test_the_cleaner_fails_with_docker_and_tries_again(alice: WhalePlayer, fake: FakeWhale) -> None:
    alice.post(1)
    fake.inject({"kind": "docker_refused"})
    fake.clock.advance(5000)
    assert len(fake.state()["records"]) == 1
    fake.lift_faults()
    fake.clock.advance(10)
    assert fake.state()["records"] == fake.state()["services"] == []


def test_faults_hit_whom_they_are_meant_for(player: Players, fake: FakeWhale) -> None:
    fake.inject({"kind": "docker_refused", "user": "alice", "method": "post", "count": 1})
    assert said(player("bob").post(1)) == CREATED
    assert said(player("alice").post(1)) != CREATED
    fake.clock.advance(11)
    assert said(player("alice").post(1)) == CREATED
    fired = [entry for entry in fake.journal() if entry["kind"] == "fault"]
    assert [(e["fault"], e["user"], e["method"]) for e in fired] == [
        ("docker_refused", "alice", "POST")
    ]


def test_probability_is_seeded(world: WhaleWorld) -> None:
    def run() -> list[int]:
        with FakeWhale(world, clock=VirtualEpochClock(), seed=7) as fake, fake.serve() as server:
            fake.inject({"kind": "docker_refused", "probability": 0.5})
            names = [u for u in world.users if u.token][2:14]
            return [WhalePlayer(server.url, u.token or "").post(1).status_code for u in names]

    first = run()
    assert set(first) == {200, 403}
    assert run() == first


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "docker_on_fire"}, "kind: 'docker_on_fire' is not one of"),
        ({"kind": "docker_hung", "probability": 2}, "probability: must be between 0 and 1"),
        ({"kind": "docker_hung", "count": 0}, "count: must be a whole number of 1 or more"),
        ({"kind": "docker_hung", "colour": "red"}, "colour: unknown"),
        ({"kind": "docker_hung", "path": 3}, "path: must be text"),
        ({"kind": "html", "when": "never"}, "when: 'never' is not one of"),
    ],
)
def test_a_bad_fault_is_named(fake: FakeWhale, fault: dict[str, Any], message: str) -> None:
    with pytest.raises(FakeWhaleError, match=message):
        fake.inject(fault)
