"""How many, how often, until when: the engine's limits, on every database."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from math import ceil

import pytest
import sqlalchemy as sa
from support.cre_stage import Stage

from engines.catalog import ChallengeSpec, Companion, Port, Readiness, Transport
from engines.contract import (
    Addressing,
    Capabilities,
    Code,
    ExtendMode,
    Isolation,
    Scope,
    StartResult,
)
from engines.cre import container_launcher as launching
from engines.cre.owner import database_id
from engines.cre.reservations import Reservations, reservations
from engines.cre.runtimes.base import Launch, Launched
from engines.cre.runtimes.memory import MemoryRuntime
from engines.cre.start_rate import starts
from engines.errors import NoRoom, PortUnavailable
from engines.heartbeat import LAPSE_SECONDS
from engines.settings import Settings
from engines.state.database import Database

ONE = ChallengeSpec(1, "A", "a")
MANY_PORTS = replace(ONE, ports=(Port(80), Port(53, Transport.UDP), Port(443)))


def test_an_account_starts_so_often_in_a_window(any_database: Database) -> None:
    settings = Settings(cre_start_limit=2, cre_start_window_seconds=60)
    stage = Stage(any_database, ONE, settings=settings)
    for wait in (0, 20):
        stage.clock.advance(wait)
        assert stage.engine.start_instance(1, 1).ok
        assert stage.engine.start_instance(1, 1).code is Code.ALREADY_RUNNING  # no start
        assert stage.engine.stop_instance(1, 1).ok
    refused = stage.another_process().start_instance(1, 1)
    assert (refused.code, refused.retry_after) == (Code.RATE_LIMITED, 40.0)
    assert stage.engine.start_instance(2, 1).ok  # another account
    with any_database.read() as connection:
        assert len(connection.execute(sa.select(starts)).all()) == 3
    stage.clock.advance(39.9)
    assert stage.engine.start_instance(1, 1).code is Code.RATE_LIMITED
    stage.clock.advance(0.1)
    assert stage.engine.start_instance(1, 1).ok
    with any_database.read() as connection:  # what no window reaches any more is forgotten
        assert len(connection.execute(sa.select(starts)).all()) == 3


def test_a_clock_stepped_back_locks_nobody_out(any_database: Database) -> None:
    stage = Stage(any_database, ONE, settings=Settings(cre_start_limit=1))
    assert stage.engine.start_instance(1, 1).ok
    assert stage.engine.stop_instance(1, 1).ok
    stage.clock.advance(-7200)
    assert stage.engine.start_instance(1, 1).ok


def test_a_challenge_has_so_many_places(any_database: Database) -> None:
    stage = Stage(any_database, replace(ONE, limit=2), replace(ONE, id=2))
    assert [stage.engine.start_instance(user, 1).code for user in (1, 2, 3)] == [
        *(Code.OK, Code.OK),
        Code.CAPACITY,
    ]
    assert stage.engine.start_instance(3, 2).ok
    assert stage.engine.stop_instance(1, 1).ok
    assert stage.engine.start_instance(4, 1).ok


def test_a_challenge_has_its_own_time(any_database: Database) -> None:
    stage = Stage(any_database, replace(ONE, timeout_seconds=60))
    assert stage.engine.start_instance(1, 1).instance["remaining_seconds"] == 60


def test_the_capabilities_tell_the_settings_and_the_runtime(database: Database) -> None:
    class Swarm(MemoryRuntime):
        multi_node = True
        isolation = frozenset({Isolation.HOST})

    settings = Settings(
        cre_account_limit=11,
        cre_max_extensions=12,
        cre_timeout_seconds=13,
        cre_extension_seconds=14,
        flag_grace_seconds=15,
    )
    stage = Stage(database, ONE, runtime=Swarm(), settings=settings)
    assert stage.engine.capabilities == Capabilities(
        scope=Scope.PER_CHALLENGE,
        extend=ExtendMode.ADDITIVE,
        addressing=frozenset({Addressing.HOST_PORT}),
        ready_on_start=True,
        detects_loss=True,
        teams=True,
        multi_node=True,
        account_limit=11,
        max_extensions=12,
        timeout_seconds=13,
        extension_seconds=14,
        isolation=frozenset({Isolation.HOST}),
        flag_grace_seconds=15,
        lapse_seconds=ceil(LAPSE_SECONDS),
    )


@pytest.mark.parametrize("whose", ["challenge", "contest"])
def test_nothing_lives_beyond_the_fixed_end(any_database: Database, whose: str) -> None:
    stage = Stage(any_database, ONE)
    end = stage.clock.now() + timedelta(seconds=4000)
    if whose == "challenge":
        stage.specs[1] = replace(ONE, ends_at=end)
    else:
        stage.settings = replace(stage.settings, cre_ends_at=end)
    engine = stage.another_process()
    assert engine.start_instance(1, 1).instance["remaining_seconds"] == 3600
    shorter = engine.extend_instance(1, 1)
    assert (shorter.ok, shorter.message) == (
        True,
        "Container extended by 400 seconds (extension 1/5)",
    )
    refused = engine.extend_instance(1, 1)
    assert (refused.ok, refused.code) == (False, Code.EXTENSION_LIMIT)
    status = engine.get_instance_status(1, 1)
    assert status is not None
    assert (status["remaining_seconds"], status["extension_count"]) == (4000, 1)
    stage.clock.advance(3000)
    assert engine.start_instance(2, 1).instance["remaining_seconds"] == 1000
    stage.clock.advance(1000)
    assert engine.start_instance(3, 1).code is Code.CHALLENGE_UNAVAILABLE
    assert engine.expire_due() == 2


def test_ports_come_from_the_range_and_go_back_to_it(any_database: Database) -> None:
    settings = Settings(cre_port_range=range(30000, 30004))
    stage = Stage(any_database, MANY_PORTS, settings=settings)
    first = stage.engine.start_instance(1, 1).instance["ports"]
    assert len(first) == 3
    assert set(map(int, first)) <= set(settings.cre_port_range or ())
    assert first[0] != first[2]
    second = stage.engine.start_instance(2, 1).instance["ports"]
    assert not {first[0], first[2]} & {second[0], second[2]}
    full = stage.engine.start_instance(3, 1)
    assert (full.ok, full.code) == (False, Code.CAPACITY)
    assert stage.engine._parts.reservations.owners(before=stage.clock.now() + timedelta(1)) == {
        f"wr-stage-{database_id(stage.database)}-user-1-c1",
        f"wr-stage-{database_id(stage.database)}-user-2-c1",
    }
    assert stage.engine.stop_instance(1, 1).ok
    assert stage.engine.start_instance(3, 1).ok


PAIR = ChallengeSpec(4, "DNS", "d", ports=(Port(80), Port(53), Port(53, Transport.UDP)))


@pytest.mark.parametrize("among", [None, range(30000, 30008)])
def test_a_tcp_and_udp_pair_is_published_on_one_number(
    any_database: Database, among: range | None
) -> None:
    """A protocol that speaks both, as DNS, is asked by players on one number."""
    stage = Stage(any_database, PAIR, settings=Settings(cre_port_range=among))
    numbers = [stage.engine.start_instance(user, 4).instance["ports"] for user in (1, 2)]
    for web, tcp, udp in numbers:
        assert tcp == udp != web
    assert len({number for each in numbers for number in each}) == 4


def test_a_pair_passes_over_numbers_that_one_transport_has_in_use(any_database: Database) -> None:
    udp = ChallengeSpec(5, "U", "u", ports=(Port(9, Transport.UDP),), readiness=Readiness.NONE)
    pair = replace(PAIR, ports=(Port(53), Port(53, Transport.UDP)))
    stage = Stage(any_database, udp, pair, settings=Settings(cre_port_range=range(30000, 30002)))
    (taken,) = stage.engine.start_instance(1, 5).instance["ports"]
    (free,) = {"30000", "30001"} - {taken}
    assert stage.engine.start_instance(2, 4).instance["ports"] == [free, free]
    assert stage.engine.start_instance(3, 4).code is Code.CAPACITY
    with any_database.read() as connection:
        held = connection.execute(sa.select(reservations.c.kind, reservations.c.number))
        assert sorted(held.all()) == sorted(
            [("udp", int(taken)), ("tcp", int(free)), ("udp", int(free))]
        )


class Held(MemoryRuntime):
    """Another program of the host holds some ports."""

    held = frozenset({30000, 30001})

    def launch(self, launch: Launch) -> Launched:
        if self.held & set(launch.host_ports):
            raise PortUnavailable("taken")
        return super().launch(launch)


class HeldLater(Held):
    """It shows only when the container is started, once its companions serve."""

    def launch(self, launch: Launch) -> Launched:
        return MemoryRuntime.launch(self, launch)

    def wait_ready(self, launch: Launch, launched: Launched, seconds: float) -> None:
        if self.held & set(launch.host_ports):
            raise PortUnavailable("taken")
        super().wait_ready(launch, launched, seconds)


@pytest.mark.parametrize("runtime", [Held, HeldLater])
def test_a_port_that_a_program_holds_is_not_insisted_on(
    any_database: Database, runtime: type[Held]
) -> None:
    settings = Settings(cre_port_range=range(30000, 30003))
    stage = Stage(any_database, ONE, runtime=runtime(), settings=settings)
    assert stage.engine.start_instance(1, 1).instance["ports"] == ["30002"]
    with any_database.read() as connection:
        assert list(connection.execute(sa.select(reservations.c.number)).scalars()) == [30002]
    assert stage.engine.start_instance(2, 1).code is Code.CAPACITY
    assert stage.store.find("user:2", 1) is None
    assert len(stage.runtime.running()) == 1


class AllHeld(Held):
    """Whatever number is tried."""

    held = frozenset(range(1, 65536))


def test_a_start_ends_when_every_port_that_it_tries_is_held(any_database: Database) -> None:
    settings = Settings(cre_port_range=range(30000, 30100))
    stage = Stage(any_database, ONE, runtime=AllHeld(), settings=settings)
    refused = stage.engine.start_instance(1, 1)
    assert (refused.code, refused.definite) == (Code.PORT_UNAVAILABLE, True)
    assert stage.store.all() == []
    with any_database.read() as connection:
        assert connection.execute(sa.select(reservations)).all() == []


class Blocked(MemoryRuntime):
    """Makes nothing until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.let = threading.Event(), threading.Event()

    def launch(self, launch: Launch) -> Launched:
        self.entered.set()
        assert self.let.wait(60)
        return super().launch(launch)


def test_who_has_waited_too_long_for_a_turn_comes_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "PATIENCE_SECONDS", 0.05)
    runtime = Blocked()
    stage = Stage(database, ONE, runtime=runtime, settings=Settings(cre_parallel_starts=1))
    first: list[StartResult] = []
    thread = threading.Thread(target=lambda: first.append(stage.engine.start_instance(1, 1)))
    thread.start()
    assert runtime.entered.wait(60)
    crowded = stage.engine.start_instance(2, 1)
    assert (crowded.ok, crowded.code, crowded.retry_after) == (False, Code.BUSY, 5.0)
    assert stage.store.find("user:2", 1) is None
    runtime.let.set()
    thread.join()
    assert first[0].ok
    assert stage.engine.start_instance(2, 1).ok


def test_companions_get_a_subnet_and_give_it_back(any_database: Database) -> None:
    seen = []

    class Watched(MemoryRuntime):
        def launch(self, launch: Launch) -> Launched:
            seen.append(launch.subnet)
            assert len(launch.host_ports) == 1, "Docker would choose anew at a restart"
            return super().launch(launch)

    group = replace(ONE, companions=(Companion(name="db", image="db"),))
    stage = Stage(any_database, group, runtime=Watched())
    for user in (1, 2):
        assert stage.engine.start_instance(user, 1).ok
    assert len(set(seen)) == 2
    assert all(subnet.endswith("/28") for subnet in seen)
    assert stage.engine.stop_instance(1, 1).ok
    held = stage.engine._parts.reservations.owners(before=stage.clock.now() + timedelta(1))
    assert held == {f"wr-stage-{database_id(stage.database)}-user-2-c1"}


def test_what_nobody_owns_any_more_is_given_back(any_database: Database) -> None:
    stage = Stage(any_database, ONE)
    reservations = stage.engine._parts.reservations
    reservations.reserve("tcp", range(5), 2, "nobody")
    assert stage.engine.reconcile() == 0
    assert reservations.owners(before=stage.clock.now() + timedelta(1)) == {"nobody"}
    stage.past_all_leases()
    stage.engine.reconcile()
    assert reservations.owners(before=stage.clock.now() + timedelta(1)) == set()


def test_parallel_reservations_share_no_number(any_database: Database) -> None:
    reservations = Reservations(any_database, Stage(any_database).clock)
    got: list[int] = []

    def reserve(owner: int) -> None:
        got.extend(reservations.reserve("tcp", range(40), 5, str(owner)))

    threads = [threading.Thread(target=reserve, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(40))
    with pytest.raises(NoRoom):
        reservations.reserve("tcp", range(40), 1, "late")
    assert reservations.reserve("udp", range(40), 1, "late")


def test_who_gives_numbers_back_keeps_those_of_another_try(database: Database) -> None:
    held = Reservations(database, Stage(database).clock)
    first = held.reserve("tcp", range(5), 2, "same")
    second = held.reserve("tcp", range(5), 2, "same")
    held.give_back("same", {"tcp": set(second), "subnet": {first[0]}})
    with database.read() as connection:
        left = connection.execute(sa.select(reservations.c.number)).scalars()
        assert set(left) == set(first)
