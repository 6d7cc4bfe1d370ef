"""A Docker engine that hangs: every call comes back while it does, and nothing is left of it.

Nothing here is timed: what is asked for must have been answered before the engine goes on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import docker
import pytest
from support.cluster import saved
from support.held_engine import HeldEngine
from support.private_engine import PrivateEngine

from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.clock import VirtualClock
from engines.contract import ActionResult, Code, StartResult
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.cre.runtimes.connection import connector
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.errors import BackendUnavailable
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database

LOOK_SECONDS, ANSWER_SECONDS = 1.0, 4.0
HANGS = 45.0
"""How long the engine hangs where somebody waits for it: many times what he may wait."""
ALICE, BOB, CAROL, DAVE = 1, 2, 3, 4
POOL = IPv4Network("10.231.0.0/16")
CAPACITY = 3

Before = Callable[[], None]


class Interrupted(DockerRuntime):
    """Does something just before one of its requests, once."""

    before_start: Before | None = None
    before_removal: Before | None = None

    def _start(self, container: str) -> None:
        before, self.before_start = self.before_start, None
        if before is not None:
            before()
        super()._start(container)

    def _remove_container(self, container_id: str) -> bool:
        before, self.before_removal = self.before_removal, None
        if before is not None:
            before()
        return super()._remove_container(container_id)


class Site:
    """A deployment on one engine, as one process has it."""

    def __init__(self, url: str, state: Path, image: str, deployment: str) -> None:
        self.clock = VirtualClock()
        settings = replace(
            Settings(),
            cre_docker_host=url,
            cre_deployment=deployment,
            cre_capacity=CAPACITY,
            cre_network_pool=POOL,
            look_seconds=LOOK_SECONDS,
            answer_seconds=ANSWER_SECONDS,
        )
        connect = connector(settings)
        self.looking = connect()
        """A client of the test's own."""
        self.database = Database(f"sqlite:///{state}")
        self.networks = BridgeNetworks(
            lambda: self.looking.api, POOL, FirewallGuard("none"), family="hung", bridges=1
        )
        self.runtime = Interrupted(
            connect=connect,
            networks=self.networks,
            look_seconds=LOOK_SECONDS,
            answer_seconds=ANSWER_SECONDS,
        )
        self.engine = ContainerRuntimeEngine(
            settings,
            runtime=self.runtime,
            catalog=StaticCatalog([ChallengeSpec(1, "A", image, readiness=Readiness.NONE)]),
            database=self.database,
            clock=self.clock,
        )

    def containers(self) -> set[str]:
        """Ids of all that the deployment has, running or not."""
        wanted = {"label": f"{LABEL_DEPLOYMENT}={self.engine.deployment}"}
        return {row["Id"] for row in self.looking.api.containers(all=True, filters=wanted)}

    def started(self, user_id: int) -> str:
        """A start that works as soon as the engine is known to answer again; the container."""
        results: list[StartResult] = []

        def start(_timeout: float) -> bool:
            results.append(self.engine.start_instance(user_id, 1))
            return results[-1].ok

        assert wait_until(start, HANGS), results[-1]
        return str(results[-1].instance["container_id"])

    def settled(self, *user_ids: int) -> None:
        """The worker runs until these users' instances are all there is."""

        def agreed(_timeout: float) -> bool:
            try:
                self.engine.cleanup_worker.run_once()
            except BackendUnavailable:
                return False
            rows = self.engine._store.all()
            known = {row.container_id for row in rows}
            return self.containers() == known and {row.user_id for row in rows} == set(user_ids)

        assert wait_until(agreed, HANGS), (self.containers(), self.engine._store.all())

    def close(self) -> None:
        self.engine.close()
        self.runtime.close()
        self.database.close()
        self.looking.close()


@pytest.fixture(scope="module")
def own(
    own_engines: None, docker_client: docker.DockerClient, image: str
) -> Iterator[PrivateEngine]:
    with closing(PrivateEngine()) as engine:
        engine.client().images.load(saved(docker_client, image))
        yield engine


@pytest.fixture
def site(own: PrivateEngine, tmp_path: Path, image: str) -> Iterator[Site]:
    site = Site(own.url, tmp_path / "state.db", image, tmp_path.name)
    with closing(site):
        yield site
        for container in site.containers():
            site.looking.api.remove_container(container, force=True)
        site.networks.remove_unused()


def answered(*calls: Callable[[], object]) -> list[object]:
    """What calls made at one moment give, or raise, all of them while the engine hangs."""

    def outcome(future: Future[object]) -> object:
        try:
            return future.result(HANGS)
        except BackendUnavailable as error:
            return error

    pool = ThreadPoolExecutor(len(calls))
    try:
        return [outcome(future) for future in [pool.submit(call) for call in calls]]
    finally:
        pool.shutdown(wait=False)


def unavailable(result: object, *, definite: bool) -> None:
    assert isinstance(result, (StartResult, ActionResult)), result
    assert (result[0], result.code, result.definite) == (False, Code.UNAVAILABLE, definite), result
    assert result.retry_after is not None


def test_every_call_is_answered_while_the_engine_hangs(site: Site, own: PrivateEngine) -> None:
    engine = site.engine
    mine = site.started(ALICE)
    with own.hanging():
        status, again, extend, stop, start, worker = answered(
            lambda: engine.get_instance_status(ALICE, 1),
            lambda: engine.get_instance_status(ALICE, 1),
            lambda: engine.extend_instance(ALICE, 1),
            lambda: engine.stop_instance(ALICE, 1),
            lambda: engine.start_instance(BOB, 1),
            engine.cleanup_worker.run_once,
        )
        for look in (status, again, worker):
            assert isinstance(look, BackendUnavailable), look
        unavailable(extend, definite=True)
        unavailable(stop, definite=True)  # it was only looked for
        unavailable(start, definite=False)  # its container may yet be made
        assert engine.holds(BOB, 1)
        known = engine.last_known(ALICE, 1)
        assert known is not None
        assert (known["container_id"], known["extension_count"]) == (mine, 0)
        # What is known to hang is asked nothing more: no row, no doubt.
        (start,) = answered(lambda: engine.start_instance(CAROL, 1))
        unavailable(start, definite=True)
        assert not engine.holds(CAROL, 1)
    assert wait_until(lambda _timeout: status_of(engine, ALICE) == mine, HANGS)
    site.settled(ALICE)
    assert engine.extend_instance(ALICE, 1).ok
    assert {site.started(user) for user in (BOB, CAROL)} < site.containers()
    full = engine.start_instance(DAVE, 1)
    assert full.code is Code.CAPACITY
    assert engine.stop_instance(ALICE, 1).ok
    site.started(DAVE)
    site.settled(BOB, CAROL, DAVE)


def status_of(engine: ContainerRuntimeEngine, user_id: int) -> str | None:
    try:
        live = engine.get_instance_status(user_id, 1)
    except BackendUnavailable:
        return None
    return None if live is None else live["container_id"]


@pytest.mark.parametrize("moment", ["before_start", "before_removal"])
def test_an_engine_that_begins_to_hang_in_the_middle_leaves_nothing(
    site: Site, own: PrivateEngine, moment: str
) -> None:
    engine = site.engine
    site.started(ALICE)
    with ExitStack() as hanging:
        setattr(site.runtime, moment, lambda: hanging.enter_context(own.hanging()))
        if moment == "before_start":
            (result,) = answered(lambda: engine.start_instance(BOB, 1))
        else:
            (result,) = answered(lambda: engine.stop_instance(ALICE, 1))
        unavailable(result, definite=False)
    if moment == "before_start":
        site.settled(ALICE)
        site.started(BOB)
        site.settled(ALICE, BOB)
    else:
        site.settled()
        site.started(ALICE)
        site.settled(ALICE)


def test_a_program_that_begins_while_the_engine_hangs_serves_from_its_records(
    site: Site, own: PrivateEngine, tmp_path: Path, image: str
) -> None:
    mine = site.started(ALICE)
    with closing(fresh(site)) as late, closing(fresh(site, answer_seconds=10 * HANGS)) as patient:
        with own.hanging():
            outcomes = answered(
                *[lambda: late.get_instance_status(ALICE, 1)] * 8,
                # Who only looks does not wait for what a start would wait for.
                lambda: patient.get_instance_status(ALICE, 1),
                lambda: patient.extend_instance(ALICE, 1),
                lambda: late.start_instance(BOB, 1),
            )
            *looks, extend, start = outcomes
            assert all(isinstance(look, BackendUnavailable) for look in looks), looks
            unavailable(extend, definite=True)
            unavailable(start, definite=True)  # nothing was asked but who is there
            assert late.last_known(ALICE, 1) is not None
        for each in (late, patient):
            assert wait_until(lambda _timeout, it=each: status_of(it, ALICE) == mine, HANGS)


def test_a_request_that_is_refused_does_not_unmake_what_those_before_it_made(site: Site) -> None:
    site.started(ALICE)
    mine = site.containers()

    def refuse() -> None:
        raise BackendUnavailable("it does not answer in time", untouched=True)

    site.runtime.before_start = refuse
    unavailable(site.engine.start_instance(BOB, 1), definite=False)
    assert site.containers() == mine
    site.settled(ALICE)
    site.started(BOB)


def fresh(site: Site, answer_seconds: float = ANSWER_SECONDS) -> ContainerRuntimeEngine:
    """Another process's engine, which has not met Docker yet."""
    return ContainerRuntimeEngine(
        replace(site.engine.settings, cre_firewall="none", answer_seconds=answer_seconds),
        catalog=site.engine.catalog,
        database=site.database,
        clock=site.clock,
    )


@contextmanager
def held(folder: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[HeldEngine, Before]]:
    """An engine that hangs with requests of one kind alone; and what ends that."""
    go_on = threading.Event()

    def hold(line: str) -> None:
        if wanted(line):
            go_on.wait(HANGS)

    with HeldEngine(folder, hold) as engine:
        try:
            yield engine, go_on.set
        finally:
            go_on.set()


def test_one_container_that_hangs_holds_up_no_other(
    docker_client: docker.DockerClient, image: str, deployment: str, tmp_path: Path
) -> None:
    stuck: list[str] = []

    def wanted(line: str) -> bool:
        return any(re.search(rf"/containers/{each}", line) for each in stuck)

    with ExitStack() as stack:
        held_engine, go_on = stack.enter_context(held(tmp_path, wanted))
        url = held_engine.environment["DOCKER_HOST"]
        site = stack.enter_context(closing(Site(url, tmp_path / "state.db", image, deployment)))
        stack.callback(site.networks.remove_unused)
        stuck.append(site.started(ALICE))
        site.started(DAVE)
        site.clock.advance(site.engine.settings.cre_timeout_seconds / 2)
        theirs = site.started(BOB)
        # A look, a stop and a removal by the worker meet what hangs, and such as do not.
        look, stop, worker = answered(
            lambda: site.engine.get_instance_status(ALICE, 1),
            lambda: site.engine.stop_instance(BOB, 1),
            site.engine.cleanup_worker.run_once,
        )
        assert isinstance(look, BackendUnavailable)
        assert isinstance(stop, ActionResult)
        assert stop.ok, stop
        assert worker == 0
        assert site.started(CAROL) != theirs
        site.clock.advance(site.engine.settings.cre_timeout_seconds / 2)
        (worker,) = answered(site.engine.cleanup_worker.run_once)
        assert worker == 1  # dave's; alice's hangs
        assert status_of(site.engine, CAROL)  # the engine itself is not taken to hang
        go_on()
        site.settled(CAROL)
        assert site.engine.stop_instance(CAROL, 1).ok
        site.settled()
