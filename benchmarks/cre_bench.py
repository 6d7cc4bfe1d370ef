"""What the speed of CRE is measured on: its engine on real Docker, and raw Docker beside it."""

from __future__ import annotations

import itertools
import os
import platform
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import sqlalchemy as sa
from docker.errors import DockerException
from requests.exceptions import RequestException

from benchmarks.figures import Times, in_turns
from benchmarks.interrupts import DeferredInterrupts
from conformance.harness import CannotRun
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import sweep_dead_runs, swept
from engines.catalog import ChallengeSpec, Readiness, StaticCatalog
from engines.cre import ContainerRuntimeEngine
from engines.cre.guard import FirewallGuard
from engines.cre.runtimes.base import Launch
from engines.cre.runtimes.connection import connect
from engines.cre.runtimes.container_config import challenge_config
from engines.cre.runtimes.docker import DockerRuntime
from engines.cre.runtimes.networks import BridgeNetworks
from engines.cre.tables import cre_instances
from engines.settings import Settings
from engines.state.database import Database

KIND = "speed"
"""First word of the label on everything that is made here."""
NETWORKS = IPv4Network("10.212.0.0/16")
"""Beside the usual CRE_NETWORK_POOL: the networks of this machine's deployments are left alone."""
COLD, WARM = 1, 2
"""Challenge ids: one without a warm pool, one with."""
FEW_ROWS, MANY_ROWS = 10, 10_000
STATUS_BLOCK = 5
"""Calls of one kind in a row."""
REMOVERS = 4
GATE_SECONDS = 30.0
TIME_IS_UP = "the time was up before everything was measured"


class StartFailed(Exception):
    """A start or stop failed where none may."""


@dataclass(frozen=True)
class Counts:
    """How much is done, and for how long at most."""

    cold_rounds: int = 10
    """Rounds of A B B A: two starts and two stops of each kind."""
    status_rounds: int = 60
    claims: int = 10
    """Warm claims in a row, and size of the pool."""
    claim_rounds: int = 3
    parallel: int = 32
    parallel_rounds: int = 1
    seconds: float = 600.0


QUICK = Counts(
    cold_rounds=1, status_rounds=1, claims=1, claim_rounds=1, parallel=2, parallel_rounds=1
)
"""Enough to see that it runs; its ratios mean nothing."""


class RawClient:
    """The SDK's low-level client told to do the same as the engine tells it, and no more."""

    def __init__(
        self, client: docker.DockerClient, spec: ChallengeSpec, deployment: str, network: str
    ) -> None:
        self._api: Any = client.api
        self._spec = spec
        self._deployment = deployment
        self._network = network

    def start(self) -> str:
        """Create, start, inspect; returns the container's id."""
        launch = Launch(
            name=f"wr-{self._deployment}-{secrets.token_hex(6)}",
            deployment=self._deployment,
            spec=self._spec,
            flag="flag{raw}",
            bind_address="127.0.0.1",
        )
        config = challenge_config(self._api, launch, self._network)
        container_id = str(self._api.create_container_from_config(config, launch.name)["Id"])
        self._api.start(container_id)
        self._api.inspect_container(container_id)
        return container_id

    def remove(self, container_id: str) -> None:
        self._api.remove_container(container_id, force=True, v=True)


class Bench:
    """Engines, raw Docker and the times; whatever is made is removed when it is left.

    Args:
        interrupts: looked at between calls, so that none is broken off.

    Raises on entering:
        CannotRun: no Docker engine, or no image.
    """

    def __init__(self, counts: Counts, interrupts: DeferredInterrupts) -> None:
        self.counts = counts
        self.times = Times()
        self.failed: dict[str, list[str]] = {}
        """What parallel starts that failed had to say, by kind."""
        self.notes: list[str] = []
        self.left: list[str] = []
        """Ids of what could not be removed."""
        self._interrupts = interrupts
        self._run = f"{KIND}-{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._until = time.monotonic() + counts.seconds
        self._users = itertools.count(1)
        self._stack = ExitStack()

    def __enter__(self) -> Bench:
        with ExitStack() as stack:
            self._client = _client()
            stack.callback(self._client.close)
            sweep_dead_runs(self._client, KIND)
            image = ensure_image(self._client)
            self._spec = ChallengeSpec(COLD, "Cold", image, readiness=Readiness.NONE)
            settings = Settings(cre_firewall="none")  # the machine's packet filter is left alone
            ours = stack.enter_context(closing(connect(settings)))
            networks = BridgeNetworks(
                lambda: ours.api, NETWORKS, FirewallGuard(settings.cre_firewall), family=KIND
            )
            stack.callback(networks.remove_unused)
            stack.callback(lambda: self.left.extend(swept(self._client, self._run)))
            self._runtime = DockerRuntime(ours, networks=networks)
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        say("removing what was made")
        self._stack.close()

    def cold(self) -> None:
        """One start and stop after another: ``cre start``, ``cre stop``, ``raw …``."""
        engine = self.engine("cold")
        raw = self.raw(engine)
        for times, kind in self._turns("cold start", self.counts.cold_rounds, ("raw", "cre")):
            if kind == "raw":
                made = times.measure("raw start", raw.start)
                times.measure("raw stop", partial(raw.remove, made))
            else:
                user = next(self._users)
                times.measure("cre start", partial(started, engine, user, COLD))
                times.measure("cre stop", partial(stopped, engine, user, COLD))

    def status(self) -> None:
        """Status of a live instance among few rows and among many: ``few rows``, ``many rows``;
        beside them a bare inspect, ``raw inspect``."""
        calls: dict[str, Callable[[], object]] = {}
        for kind, rows in (("few rows", FEW_ROWS), ("many rows", MANY_ROWS)):
            name = kind.replace(" ", "-")
            engine = self.engine(name)
            user = next(self._users)
            container_id = started(engine, user, COLD)
            self._copy_rows(name, rows - 1)
            calls[kind] = partial(live, engine, user, COLD)
            calls["raw inspect"] = partial(self.inspect, container_id)
        for times, kind in self._turns("status", self.counts.status_rounds, tuple(calls)):
            for _ in range(STATUS_BLOCK):
                times.measure(kind, calls[kind])

    def warm(self) -> None:
        """Starts that find a container waiting: ``warm claim``."""
        engine = self.engine("warm")
        fill: Callable[[], object] | None = getattr(engine, "fill_pool", None)
        if fill is None:
            self.notes.append("this engine has no warm pool: warm claims were not measured")
            return
        for number in range(self.counts.claim_rounds):
            if self._time_is_up():
                return
            say(f"warm claims {number + 1}/{self.counts.claim_rounds}")
            fill()
            users = [next(self._users) for _ in range(self.counts.claims)]
            for user in users:
                self.times.measure("warm claim", partial(started, engine, user, WARM))
            with ThreadPoolExecutor(REMOVERS) as pool:
                list(pool.map(lambda user: stopped(engine, user, WARM), users))

    def parallel(self) -> None:
        """Many starts at once: ``cre burst`` and ``raw burst``; failures are counted."""
        engine = self.engine("parallel")
        raw = self.raw(engine)

        def cre(user: int) -> Callable[[], object]:
            started(engine, user, COLD)
            return partial(stopped, engine, user, COLD)

        def plain(_user: int) -> Callable[[], object]:
            return partial(raw.remove, raw.start())

        for number, kind in enumerate(in_turns(self.counts.parallel_rounds, ("raw", "cre"))):
            if self._time_is_up():
                return
            say(f"{self.counts.parallel} at once {number + 1}/{4 * self.counts.parallel_rounds}")
            self._burst(f"{kind} burst", cre if kind == "cre" else plain)

    def _burst(self, kind: str, start: Callable[[int], Callable[[], object]]) -> None:
        """Start in as many threads as there are starts, all at one moment; then remove all."""
        gate = threading.Barrier(self.counts.parallel)

        def one(user: int) -> Callable[[], object] | None:
            gate.wait(GATE_SECONDS)
            try:
                return self.times.measure(kind, partial(start, user))
            except (StartFailed, DockerException, RequestException) as error:
                self.failed.setdefault(kind, []).append(str(error))
                return None

        users = [next(self._users) for _ in range(self.counts.parallel)]
        with ThreadPoolExecutor(self.counts.parallel) as pool:
            undo = [each for each in pool.map(one, users) if each is not None]
        with ThreadPoolExecutor(REMOVERS) as pool:
            list(pool.map(lambda each: each(), undo))

    def _turns(self, what: str, rounds: int, kinds: tuple[str, ...]) -> Iterator[tuple[Times, str]]:
        """A B B A until it is done or the time is up; the first round warms up and is not kept."""
        for number, kind in enumerate(in_turns(rounds + 1, kinds)):
            if self._time_is_up():
                return
            round_, position = divmod(number, 2 * len(kinds))
            if position == 0 and (round_ < 10 or round_ % 10 == 0):
                say(f"{what} {round_}/{rounds}" if round_ else f"{what}: warming up")
            yield (self.times if round_ else Times()), kind

    def _time_is_up(self) -> bool:
        self._interrupts.check()
        up = time.monotonic() > self._until
        if up and TIME_IS_UP not in self.notes:
            self.notes.append(TIME_IS_UP)
        return up

    def engine(self, name: str) -> ContainerRuntimeEngine:
        """An engine as a CTFd has it, with a database of its own."""
        engine = ContainerRuntimeEngine(
            Settings(
                database_url=self._url(name),
                cre_deployment=f"{self._run}-{name}",
                cre_capacity=2 * MANY_ROWS,
                cre_start_limit=0,
            ),
            runtime=self._runtime,
            catalog=StaticCatalog(
                [self._spec, replace(self._spec, id=WARM, name="Warm", warm=self.counts.claims)]
            ),
        )
        self._stack.callback(engine.close)
        return engine

    def _url(self, name: str) -> str:
        return f"sqlite:///{self._folder / name}.db"

    def raw(self, engine: ContainerRuntimeEngine) -> RawClient:
        """Raw Docker on the network that the engine puts its containers on."""
        user = next(self._users)
        details = self._client.api.inspect_container(started(engine, user, COLD))
        stopped(engine, user, COLD)
        network = str(details["HostConfig"]["NetworkMode"])
        return RawClient(self._client, self._spec, f"{self._run}-raw", network)

    def inspect(self, container_id: str) -> None:
        """Ask Docker about it, and nobody else."""
        self._client.api.inspect_container(container_id)

    def _copy_rows(self, name: str, number: int) -> None:
        """Copy the one row there is, for accounts that nobody asks for."""
        database = Database(self._url(name))
        with database.write() as connection:
            row = dict(connection.execute(sa.select(cre_instances)).mappings().one())
            del row["id"]
            copies = [
                {**row, "account": f"user:copy-{each}", "container_id": f"copy-{each}"}
                for each in range(number)
            ]
            connection.execute(cre_instances.insert(), copies)
        database.close()


def say(text: str) -> None:
    """Progress, which is no part of the result."""
    sys.stderr.write(f"{text}\n")


def started(engine: ContainerRuntimeEngine, user: int, challenge: int) -> str:
    """Start, and the container's id.

    Raises:
        StartFailed: it did not start.
    """
    result = engine.start_instance(user, challenge)
    if not result.ok:
        raise StartFailed(f"a start failed: {result.code.value}: {result.message}")
    return str(result.instance["container_id"])


def stopped(engine: ContainerRuntimeEngine, user: int, challenge: int) -> None:
    result = engine.stop_instance(user, challenge)
    if not result.ok:
        raise StartFailed(f"a stop failed: {result.code.value}: {result.message}")


def live(engine: ContainerRuntimeEngine, user: int, challenge: int) -> None:
    if engine.get_instance_status(user, challenge) is None:
        raise StartFailed("an instance that was started is not live")


def _client() -> docker.DockerClient:
    try:
        client = docker.from_env(timeout=60, max_pool_size=64)
        client.ping()
    except (DockerException, RequestException) as error:
        raise CannotRun(
            "no Docker engine can be reached; start one (as root: dockerd) or set DOCKER_HOST"
        ) from error
    return client
