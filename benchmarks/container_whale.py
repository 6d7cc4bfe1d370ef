"""``whale:fake:docker``: the adapter in front of a fake Whale that really starts containers.

Time to ready and reachability are real, as is what Docker costs. What Whale itself costs is not:
the fake answers in the place of CTFd, and shares this process with the adapter.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from conformance.harness import CannotRun, Challenges, Hook, Options, Player, World
from conformance.harnesses.cast import PLAYERS, crowd
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import END_SECONDS
from conformance.harnesses.fetch import http_get
from conformance.harnesses.state import StatefulHarness
from engines.contract import InstanceStatus
from engines.probe import wait_until
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import StaticTokens, WhaleAPIManager
from fake_whale import (
    FakeWhale,
    InstanceOptions,
    SystemEpochClock,
    User,
    WhaleChallenge,
    WhaleRuntime,
)
from fake_whale import WhaleWorld as WhaleWorld
from fake_whale.whale.docker_engine import LABEL, DockerEngine

SPEC = "whale:fake:docker"
CHALLENGE, ANOTHER = 1, 2
DIALECT = "ctfd-whale"
UNLIMITED = 100_000


class ContainerWhaleWorld(World):
    """An adapter in front of the fake."""

    challenges = Challenges(first=CHALLENGE, second=ANOTHER, unknown=999_999)
    players = PLAYERS
    mates = ()

    def __init__(
        self,
        fake: FakeWhale,
        url: str,
        options: Options,
        database: Database,
        users: tuple[Player, ...],
    ) -> None:
        fake.patch_config(
            {
                "docker_max_container_count": str(UNLIMITED),
                "docker_max_renew_count": str(options.max_extensions),
                "docker_timeout": str(options.timeout_seconds),
            }
        )
        self._fake = fake
        self._users = users
        self._gateway = _gateway(fake)
        self._manager = WhaleAPIManager(
            Settings(
                whale_api_url=url,
                whale_dialect=DIALECT,
                whale_timeout_seconds=options.timeout_seconds,
                whale_max_extensions=options.max_extensions,
                whale_probe_gateway="http://{}:{}".format(*self._gateway),
            ),
            credentials=StaticTokens({user.user_id: _token(user) for user in users}),
            database=database,
        )
        self.backend = self._manager

    def crowd(self, number: int) -> tuple[Player, ...]:
        return self._users[:number]

    def running(self) -> set[str]:
        return {str(service["uuid"]) for service in self._fake.state()["services"]}

    def containers(self) -> set[str]:
        services = self._fake.state()["services"]
        return {f"{service['user_id']}-{service['uuid']}" for service in services}

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        header = f"{instance['host']}:{instance['ports'][0]}"
        return http_get(*self._gateway, path, host_header=header)

    def close(self) -> None:
        self._manager.close()


class ContainerWhaleHarness(StatefulHarness):
    """One fake for a whole run."""

    kind = f"WhaleAPIManager over HTTP to a fake Whale ({DIALECT}) that starts Docker containers"
    hooks = frozenset({Hook.FETCH, Hook.GROUND_TRUTH})

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._fake: FakeWhale | None = None
        self._server: Any = None
        self._users: tuple[Player, ...] = ()
        self._label = ""
        self._left: list[str] | None = None

    @property
    def label(self) -> str:
        """The label, ``NAME=VALUE``, that all its containers carry."""
        return self._label

    def open(self) -> None:
        try:
            self._client = docker.from_env(timeout=60)
            self._client.ping()
        except (DockerException, RequestException) as error:
            raise CannotRun(
                "no Docker engine can be reached; start one (as root: dockerd) or choose "
                "--backend whale:fake for simulated containers"
            ) from error
        super().open()
        self._users = (*crowd(self.accounts), *PLAYERS)
        self._fake = FakeWhale(
            _whale_world(ensure_image(self._client), self._users),
            clock=SystemEpochClock(),
            instances=InstanceOptions(reachable=True),
            runtime=WhaleRuntime.DOCKER,
        )
        self._server = self._fake.serve()
        engine = self._fake.machine.engine
        if isinstance(engine, DockerEngine):
            self._label = f"{LABEL}={engine.run}"

    def versions(self) -> dict[str, str]:
        if self._client is None:
            return {}
        return {
            "dialect": DIALECT,
            "docker": self._client.version()["Version"],
            "fake_whale": version("whale-ready"),
            **super().versions(),
        }

    def world(self, options: Options) -> World:
        if self._fake is None:
            raise RuntimeError("open() comes before world()")
        database = self.database()
        return ContainerWhaleWorld(self._fake, self._server.url, options, database, self._users)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()  # and the fake with all it has started
            self._server = self._fake = None
        if self._client is not None:
            if self._label:
                self._left = _swept(self._client.api, self._label)
            self._client.close()
            self._client = None
        super().close()

    def leftovers(self) -> list[str] | None:
        return self._left


def _swept(api: Any, label: str) -> list[str]:
    """Remove what the fake did not know of when it was closed: a start that was still under way.

    Returns the ids of what does not go.
    """
    left: list[str] = []

    def gone(_timeout: float) -> bool:
        for row in api.containers(all=True, filters={"label": label}):
            with suppress(APIError):  # gone, or going, already
                api.remove_container(row["Id"], force=True, v=True)
        left[:] = [row["Id"] for row in api.containers(all=True, filters={"label": label})]
        return not left

    wait_until(gone, END_SECONDS)
    return left


def _whale_world(image: str, users: tuple[Player, ...]) -> WhaleWorld:
    return WhaleWorld(
        users=[User(user.user_id, f"user{user.user_id}", token=_token(user)) for user in users],
        challenges=[
            WhaleChallenge(CHALLENGE, "First", image=image, redirect_port=80),
            WhaleChallenge(ANOTHER, "Second", image=image, redirect_port=80),
        ],
    )


def _token(player: Player) -> str:
    """Made up, in the form CTFd gives them."""
    return f"ctfd_{player.user_id:064x}"


def _gateway(fake: FakeWhale) -> tuple[str, int]:
    """Where instances answer, told apart by Host."""
    if fake.http_listener is None:
        raise RuntimeError("the fake was made without instances")
    return fake.http_listener
