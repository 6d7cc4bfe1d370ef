"""Parallel calls: what MariaDB's isolation lets through (docs/whale-wire.md, "Concurrency")."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest
import requests

from engines.probe import wait_until
from fake_whale import (
    FakeServer,
    FakeWhale,
    SystemEpochClock,
    TransactionIsolation,
    VirtualEpochClock,
    WhaleWorld,
)
from fake_whale.testing import PATH, WhalePlayer, tokens
from fake_whale.whale import company

READ_COMMITTED = TransactionIsolation.READ_COMMITTED
REPEATABLE_READ = TransactionIsolation.REPEATABLE_READ


def at_once(calls: list[Callable[[], requests.Response]]) -> list[int]:
    """Status codes of calls that are sent together."""
    gate = Barrier(len(calls))

    def run(call: Callable[[], requests.Response]) -> int:
        gate.wait()
        return call().status_code

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def meet(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Once called: who comes first waits for the others, however busy this machine is."""

    def patient() -> None:
        monkeypatch.setattr(company, "ALONE_SECONDS", 10.0)
        monkeypatch.setattr(company, "QUIET_SECONDS", 0.5)

    return patient


def players(server: FakeServer, world: WhaleWorld, count: int) -> list[WhalePlayer]:
    return [WhalePlayer(server.url, token) for token in list(tokens(world).values())[1 : count + 1]]


@pytest.mark.parametrize("virtual", [True, False], ids=["virtual", "real"])
@pytest.mark.parametrize("isolation", list(TransactionIsolation))
def test_twenty_posts_of_one_user(
    world: WhaleWorld, isolation: TransactionIsolation, virtual: bool
) -> None:
    clock = VirtualEpochClock() if virtual else SystemEpochClock()
    with FakeWhale(world, clock=clock, isolation=isolation) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        at_once([alice.post] * 20)
        services = fake.state()["services"]
    if isolation is READ_COMMITTED:
        assert len(services) == 1
    else:
        assert len(services) > 1


def test_two_posts_both_succeed_and_delete_leaves_an_orphan(
    world: WhaleWorld, meet: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        meet()
        assert at_once([alice.post] * 2) == [200, 200]
        assert len(fake.state()["services"]) == len(fake.state()["records"]) == 2
        monkeypatch.undo()
        first = fake.state()["records"][0]["uuid"]
        assert first in alice.get().json()["data"]["lan_domain"]
        assert alice.delete().status_code == 200
        assert fake.state()["records"] == []
        (orphan,) = fake.state()["services"]
        assert orphan["uuid"] != first


def test_six_restarts_leave_five_orphans(world: WhaleWorld, meet: Callable[[], None]) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        alice.post()
        meet()
        assert at_once([alice.post] * 6) == [200] * 6
        assert sum(service["orphan"] for service in fake.state()["services"]) == 5


@pytest.mark.parametrize(("isolation", "admitted"), [(REPEATABLE_READ, 20), (READ_COMMITTED, 6)])
def test_twenty_users_at_a_limit_of_five(
    world: WhaleWorld, isolation: TransactionIsolation, admitted: int
) -> None:
    limited = replace(world, config={**world.config, "docker_max_container_count": "5"})
    with (
        FakeWhale(limited, clock=SystemEpochClock(), isolation=isolation) as fake,
        fake.serve() as server,
    ):
        codes = at_once([player.post for player in players(server, world, 20)])
        assert len(fake.state()["records"]) == admitted
    assert Counter(codes)[200] == admitted


def test_twenty_users_share_no_port(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        everybody = players(server, world, 20)
        codes = at_once([lambda p=each: p.post(2) for each in everybody])  # type: ignore[misc]  # mypy cannot infer a lambda's default
        assert codes == [200] * 20
        assert len({record["port"] for record in fake.state()["records"]}) == 20


def test_parallel_deletes_leave_stale_rules(world: WhaleWorld, meet: Callable[[], None]) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        everybody = players(server, world, 10)
        for each in everybody:
            each.post()
        meet()
        assert at_once([each.delete for each in everybody]) == [200] * 10
        assert fake.state()["services"] == []
        assert len(fake.state()["rules"]) == 9


def test_two_renewals_count_as_one(world: WhaleWorld, meet: Callable[[], None]) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        alice.post()
        meet()
        assert at_once([alice.patch] * 2) == [200, 200]
        assert fake.state()["records"][0]["renew_count"] == 1


class Meanwhile(VirtualEpochClock):
    """A virtual clock that lets something happen ten seconds into the first wait."""

    def __init__(self) -> None:
        super().__init__()
        self.happening: Callable[[], object] | None = None

    def wait(self, seconds: float, cancel: Event) -> None:
        happening, self.happening = self.happening, None
        if happening is not None:
            super().wait(10, cancel)
            happening()
            seconds -= 10
        super().wait(seconds, cancel)


def test_docker_slower_than_the_lock_lets_a_second_post_in(world: WhaleWorld) -> None:
    clock = Meanwhile()
    with FakeWhale(world, clock=clock) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        codes: list[int] = []
        clock.happening = lambda: codes.append(alice.post().status_code)
        fake.inject({"kind": "docker_slow", "seconds": 12})
        codes.append(alice.post().status_code)
        assert codes == [200, 200]
        assert len(fake.state()["services"]) == 2
        assert len(fake.state()["records"]) == 1


def test_a_post_is_finished_though_its_client_has_gone(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        fake.inject({"kind": "docker_slow", "seconds": 0.3, "method": "POST"})
        token = tokens(world)["alice"]
        with pytest.raises(requests.ReadTimeout):
            requests.post(
                server.url + PATH,
                params={"challenge_id": 1},
                headers={"Authorization": f"Token {token}", "Content-Type": "application/json"},
                timeout=0.1,
            )
        while not fake.state()["services"]:
            assert fake.state()["locks"], "the lock was given up before the work was done"


def test_a_reset_wakes_sleepers(world: WhaleWorld) -> None:
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        (alice,) = players(server, world, 1)
        fake.inject({"kind": "docker_hung"})
        with ThreadPoolExecutor(1) as pool:
            sleeper = pool.submit(alice.post)
            while not any(entry["kind"] == "fault" for entry in fake.journal()):
                pass
            fake.reset()
            assert sleeper.result(timeout=10).status_code == 503
        assert fake.state()["records"] == []


def test_sixty_four_slow_calls_do_not_queue(world: WhaleWorld) -> None:
    """All of them are in Docker at the same time; the reset lets them go."""
    with FakeWhale(world, clock=SystemEpochClock()) as fake, fake.serve() as server:
        fake.inject({"kind": "slow_first_byte", "seconds": 600})
        (alice,) = players(server, world, 1)
        with ThreadPoolExecutor(64) as pool:
            slow = [pool.submit(alice.get) for _ in range(64)]
            while len([e for e in fake.journal() if e["kind"] == "fault"]) < 64:
                pass
            assert not any(call.done() for call in slow)
            fake.reset()
            assert {call.result(timeout=20).status_code for call in slow} == {200}


def test_a_connection_that_was_just_answered_is_company(
    world: WhaleWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeWhale(world, clock=VirtualEpochClock()) as fake, fake.serve() as server:
        connection = http.client.HTTPConnection(server.host, server.port)
        connection.request("GET", "/_fake/health")
        connection.getresponse().read()
        monkeypatch.setattr("fake_whale.web.server.LATELY_SECONDS", 0.0)
        assert wait_until(lambda _timeout: server.connections == 0, 10)  # it is done with it
        monkeypatch.setattr("fake_whale.web.server.LATELY_SECONDS", 3600.0)
        assert server.connections == 1
        connection.close()
