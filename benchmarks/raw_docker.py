"""Raw Docker beside the backends: the SDK told to do what a start needs, and no more.

It keeps no state, no limits and no audit log, and asks Docker for what the engine asks it for: it
is what a start costs on this machine in any case.
"""

from __future__ import annotations

import os
import platform
import secrets
from typing import Any

import docker
from docker.errors import DockerException, NotFound
from requests.exceptions import RequestException

from conformance.harness import CannotRun, Challenges, Harness, Hook, Options, Player, World
from conformance.harnesses.cast import PLAYERS, crowd
from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import remaining, sweep, sweep_dead_runs, swept
from conformance.harnesses.fetch import http_get
from engines.catalog import ChallengeSpec, Readiness
from engines.contract import (
    ActionResult,
    Addressing,
    Capabilities,
    Code,
    ContainerBackend,
    ExtendMode,
    InstanceStatus,
    Scope,
    StartResult,
    account_key,
)
from engines.cre.runtimes.base import LABEL_DEPLOYMENT, Launch
from engines.cre.runtimes.container_config import challenge_config

NAME = "raw docker"
KIND = "bench"
"""First word of the label on everything that is made here."""
CHALLENGE, ANOTHER = 1, 2
"""The same to Docker."""
HOURS = 3600


def possible() -> bool:
    """Whether a Docker engine answers."""
    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, RequestException):
        return False
    finally:
        client.close()


class RawDocker(ContainerBackend):
    """Create, start, inspect; inspect; forced removal."""

    def __init__(self, api: Any, image: str, deployment: str, network: str) -> None:
        self._api = api
        self._spec = ChallengeSpec(CHALLENGE, "First", image, readiness=Readiness.NONE)
        self._deployment = deployment
        self._network = network
        self._ids: dict[str, str] = {}

    @property
    def name(self) -> str:
        return NAME

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scope=Scope.PER_ACCOUNT,
            extend=ExtendMode.ADDITIVE,
            addressing=frozenset({Addressing.HOST_PORT}),
            ready_on_start=False,
            detects_loss=True,
            teams=True,
            multi_node=False,
            account_limit=1,
            max_extensions=0,
            timeout_seconds=HOURS,
            extension_seconds=HOURS,
        )

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        launch = Launch(
            name=f"wr-{self._deployment}-{secrets.token_hex(6)}",
            deployment=self._deployment,
            spec=self._spec,
            flag="flag{raw}",
            bind_address="127.0.0.1",
        )
        try:
            config = challenge_config(self._api, launch, self._network)
            made = str(self._api.create_container_from_config(config, launch.name)["Id"])
            self._ids[account_key(user_id, team_id)] = made
            self._api.start(made)
            details = self._api.inspect_container(made)
        except (DockerException, RequestException) as error:
            return StartResult(False, type(error).__name__, code=Code.START_FAILED, definite=False)
        return StartResult(True, "Started", _shown(details), code=Code.OK)

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        return ActionResult(False, "Docker knows no time", code=Code.EXTENSION_LIMIT)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        made = self._ids.pop(account_key(user_id, team_id), None)
        if made is None:
            return ActionResult(False, "Nothing runs", code=Code.NOT_FOUND)
        try:
            self._api.remove_container(made, force=True, v=True)
        except (DockerException, RequestException) as error:
            return ActionResult(False, type(error).__name__, code=Code.UNAVAILABLE, definite=False)
        return ActionResult(True, "Removed", code=Code.OK)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        made = self._ids.get(account_key(user_id, team_id))
        if made is None:
            return None
        try:
            return _shown(self._api.inspect_container(made))
        except NotFound:
            return None


class RawDockerWorld(World):
    """Containers of one label."""

    challenges = Challenges(first=CHALLENGE, second=ANOTHER, unknown=999_999)
    players = PLAYERS
    mates = ()

    def __init__(
        self, client: docker.DockerClient, image: str, deployment: str, network: str
    ) -> None:
        self._client = client
        self._deployment = deployment
        self.backend = RawDocker(client.api, image, deployment, network)

    def crowd(self, number: int) -> tuple[Player, ...]:
        return crowd(number)

    def running(self) -> set[str]:
        return set(remaining(self._client, self._deployment))

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        return http_get(instance["host"], int(instance["ports"][0]), path)

    def close(self) -> None:
        sweep(self._client, self._deployment)


class RawDockerHarness(Harness):
    """``raw docker``: the baseline beside the backends."""

    kind = "the Docker SDK alone: create, start, inspect, remove"
    hooks = frozenset({Hook.FETCH, Hook.GROUND_TRUTH})

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._image = ""
        self._worlds = 0
        self._run = f"{KIND}-{platform.node()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._left: list[str] | None = None

    def open(self) -> None:
        try:
            client = docker.from_env(timeout=60, max_pool_size=64)
            self._client = client
            client.ping()
        except (DockerException, RequestException) as error:
            raise CannotRun("no Docker engine can be reached for the baseline") from error
        sweep_dead_runs(client, KIND)
        self._image = ensure_image(client)
        # A bridge as the engine's, at addresses that Docker finds free; the sweep removes it.
        labels = {LABEL_DEPLOYMENT: self._run}
        client.networks.create(self._run, driver="bridge", labels=labels)

    def versions(self) -> dict[str, str]:
        if self._client is None:
            return {}
        return {"docker": self._client.version()["Version"], "image": self._image}

    def world(self, options: Options) -> World:
        if self._client is None:
            raise RuntimeError("open() comes before world()")
        self._worlds += 1
        deployment = f"{self._run}-{self._worlds}"
        return RawDockerWorld(self._client, self._image, deployment, self._run)

    def close(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        try:
            self._left = swept(client, self._run)
        finally:
            client.close()

    def leftovers(self) -> list[str] | None:
        return self._left


def _shown(details: Any) -> InstanceStatus:
    bound = details["NetworkSettings"]["Ports"].get("80/tcp") or []
    return InstanceStatus(
        active=bool(details["State"]["Running"]),
        container_id=str(details["Id"]),
        challenge_id=CHALLENGE,
        host="127.0.0.1",
        ports=[str(each["HostPort"]) for each in bound],
        started_at="",
        expires_at="",
        remaining_seconds=HOURS,
        extension_count=0,
        max_extensions=0,
        backend=NAME,
    )
