"""Many processes, each with an engine of its own, on one database and one Docker engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import docker
import pytest
from crash.parts import PORTS, SERVED, Parts, forget_networks
from mutants.claims import LooksThenClaims, SharesPorts
from support.parallel import (
    Ask,
    Player,
    Quiet,
    Round,
    Told,
    assert_adds_up,
    crew,
    dealt,
    draw,
    told,
)
from support.servers import MariaDB

from conformance.harnesses.cre_docker import sweep
from conformance.harnesses.fetch import http_get
from engines.contract import Code, ContainerBackend
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.state.database import Database

PROCESSES, THREADS = 4, 16
STARTS, ROUNDS = 50, 8
ACCOUNTS = 64
MIXED_ROUNDS = 4
SEED = 20_261_124


@dataclass(frozen=True)
class Scene:
    """The processes, an engine of our own to ask, and what Docker really has."""

    at_once: Round
    backend: ContainerBackend
    client: docker.DockerClient
    deployment: str

    def running(self) -> list[str]:
        """Containers of this deployment, in whatever state."""
        wanted = {"label": f"{LABEL_DEPLOYMENT}={self.deployment}"}
        return [row["Id"] for row in self.client.api.containers(all=True, filters=wanted)]

    def start_one(self, starts: int, rounds: int) -> Counter[Code]:
        """So many start the same at once, ``rounds`` times, for another account each time."""
        answered: Counter[Code] = Counter()
        for number in range(rounds):
            ask = Ask("start", Player(f"P{number}", 1000 + number), SERVED)
            answers = self.at_once(dealt([ask] * starts, PROCESSES))
            answered.update(answer.code for answer in answers)
            ids = {answer.container for answer in answers if answer.ok}
            assert {answer.code for answer in answers} <= {Code.OK, Code.ALREADY_RUNNING, Code.BUSY}
            assert len(told(answers, "start", Code.OK)) == 1
            assert self.running() == list(ids), f"round {number}: {answers}"
            assert self.backend.stop_instance(ask.player.user_id, SERVED).ok
        return answered

    def start_many(self, accounts: int) -> None:
        """Each account starts its own, all at once; then each stops it, all at once."""
        players = [Player(f"P{number}", 2000 + number) for number in range(accounts)]
        answers = self._all("start", players)
        assert {answer.code for answer in answers} == {Code.OK}, answers
        assert len({answer.container for answer in answers}) == accounts
        assert len({answer.ports for answer in answers}) == accounts, "a port is shared"
        assert {answer.container for answer in answers} == set(self.running())
        flags = {http_get("127.0.0.1", int(answer.ports[0]), "/cgi-bin/flag") for answer in answers}
        assert None not in flags
        assert len(flags) == accounts
        assert {each.code for each in self._all("stop", players)} == {Code.OK}
        assert self.running() == []

    def _all(self, kind: str, players: list[Player]) -> list[Told]:
        return self.at_once(dealt([Ask(kind, player, SERVED) for player in players], PROCESSES))


@contextmanager
def scene(parts: Parts, client: docker.DockerClient) -> Iterator[Scene]:
    opens = partial(parts.opened, THREADS)
    with opens() as backend, crew(opens, PROCESSES, THREADS) as at_once:
        try:
            yield Scene(at_once, backend, client, parts.deployment)
        finally:
            sweep(client, parts.deployment)
            forget_networks(client, parts.family)


@pytest.fixture
def parts(any_database: Database, deployment: str, image: str) -> Parts:
    url = any_database.engine.url.render_as_string(hide_password=False)
    return Parts(url, deployment, image, family="many")


def test_many_starts_of_one_make_one(parts: Parts, docker_client: docker.DockerClient) -> None:
    with scene(parts, docker_client) as made:
        answered = made.start_one(STARTS, ROUNDS)
    print(dict(answered))  # noqa: T201 - for -s
    assert answered[Code.OK] == ROUNDS
    assert answered[Code.BUSY], "nobody ever came in between"


def test_many_accounts_have_one_each(
    mariadb: MariaDB, deployment: str, image: str, docker_client: docker.DockerClient
) -> None:
    parts = Parts(mariadb.create(), deployment, image, family="many", port_range=PORTS)
    with scene(parts, docker_client) as made:
        made.start_many(ACCOUNTS)


def test_calls_of_all_kinds_add_up(parts: Parts, docker_client: docker.DockerClient) -> None:
    random = Random(SEED)  # noqa: S311 - repeatable on purpose
    print(f"seed {SEED}")  # noqa: T201 - shown when the test fails
    player = Player("ALICE", 11)
    seen: Counter[tuple[str, Code]] = Counter()
    with scene(parts, docker_client) as made:
        before = Quiet([], None)
        for _ in range(MIXED_ROUNDS):
            asks = [draw(random, [player], [SERVED]) for _ in range(2 * PROCESSES)]
            answers = made.at_once(dealt(asks, PROCESSES))
            after = Quiet(made.running(), made.backend.get_instance_status(11, SERVED))
            assert [after.shown["container_id"]] if after.shown else after.running == []
            assert_adds_up(before, answers, after)
            seen.update((answer.ask.kind, answer.code) for answer in answers)
            before = after
    assert seen["start", Code.OK]
    assert seen["stop", Code.OK]
    assert seen["extend", Code.OK]


@pytest.fixture
def sqlite_parts(database: Database, deployment: str, image: str) -> Parts:
    return Parts(str(database.engine.url), deployment, image, family="many")


def test_an_engine_that_looks_before_it_claims_is_caught(
    sqlite_parts: Parts, docker_client: docker.DockerClient
) -> None:
    with (
        scene(replace(sqlite_parts, kind=LooksThenClaims), docker_client) as made,
        pytest.raises(AssertionError),
    ):
        made.start_one(PROCESSES, 1)


def test_an_engine_that_shares_ports_is_caught(
    sqlite_parts: Parts, docker_client: docker.DockerClient
) -> None:
    with (
        scene(replace(sqlite_parts, kind=SharesPorts), docker_client) as made,
        pytest.raises(AssertionError, match="a port is shared"),
    ):
        made.start_many(PROCESSES)
