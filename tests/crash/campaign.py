"""Many kills, one operation after the other, and the table of what they found."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import docker
from support.servers import DatabaseServer, MariaDB, PostgreSQL

from conformance.harnesses.challenge_image import ensure_image
from conformance.harnesses.cre_docker import sweep
from crash.operations import OPERATIONS
from crash.parts import Parts, forget_networks
from crash.stage import Kill, staged
from crash.verdict import Kind
from engines.cre import ContainerRuntimeEngine
from engines.cre.runtimes.base import LABEL_DEPLOYMENT

DATABASES: dict[str, type[DatabaseServer] | None] = {
    "sqlite": None,
    "mariadb": MariaDB,
    "postgresql": PostgreSQL,
}

Choose = Callable[[list[str]], Sequence[int]]
"""Which of these boundaries to kill at."""


@dataclass
class Tally:
    """What the kills of one operation found."""

    operation: str
    boundaries: int = 0
    kills: int = 0
    bad: list[Kill] = field(default_factory=list)

    def note(self, kill: Kill) -> None:
        """Count a kill, or a run without one."""
        self.kills += kill.killed
        if kill.findings:
            self.bad.append(kill)

    def of(self, kind: Kind) -> int:
        """Kills that were followed by this kind of finding."""
        return sum(any(finding.kind is kind for finding in kill.findings) for kill in self.bad)


class Campaign:
    """Makes stages on one Docker engine and one kind of database. Made by :func:`campaign`."""

    def __init__(
        self, client: docker.DockerClient, image: str, new_database: Callable[[], str]
    ) -> None:
        self.deployment = f"crash-{secrets.token_hex(4)}"
        self._client = client
        self._image = image
        self._new_database = new_database
        self._stages = 0

    def play(
        self,
        operation: str,
        choose: Choose,
        kind: type[ContainerRuntimeEngine] = ContainerRuntimeEngine,
        report: Callable[[Kill], None] = lambda kill: None,
    ) -> Tally:
        """Kill one operation at the boundaries that ``choose`` names; ``report`` hears of each."""
        self._stages += 1
        deployment = f"{self.deployment}-{self._stages}"
        chosen = OPERATIONS[operation]
        url = self._new_database()
        parts = Parts(url, deployment, self._image, kind, chosen.port_range, chosen.warm)
        tally = Tally(operation)
        try:
            with staged(operation, parts, self._client) as stage:
                boundaries, whole = stage.run_through()
                tally.boundaries = len(boundaries)
                tally.note(whole)
                for number in choose(boundaries):
                    kill = stage.kill(number)
                    tally.note(kill)
                    report(kill)
        finally:
            self.sweep(deployment)
        return tally

    def sweep(self, prefix: str) -> None:
        """Remove the containers and networks of deployments whose name begins so."""
        sweep(self._client, prefix)
        for network in self._client.api.networks(filters={"label": LABEL_DEPLOYMENT}):
            if network["Labels"][LABEL_DEPLOYMENT].startswith(prefix):
                self._client.api.remove_network(network["Id"])


@contextmanager
def campaign(database: str) -> Iterator[Campaign]:
    """A campaign on a database of this kind; nothing of it is left at the end."""
    with ExitStack() as stack:
        client = docker.from_env(timeout=60)
        stack.callback(client.close)
        server = DATABASES[database]
        if server is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="whale-ready-crash-"))

            def new_database() -> str:
                return f"sqlite:///{Path(folder) / secrets.token_hex(4)}.db"
        else:
            own = server()
            stack.callback(own.close)
            new_database = own.create
        made = Campaign(client, ensure_image(client), new_database)
        stack.callback(forget_networks, client, "crash")
        stack.callback(made.sweep, made.deployment)
        yield made


def every(boundaries: list[str]) -> Sequence[int]:
    """Each boundary once, in order."""
    return range(len(boundaries))


def at(name: str) -> Choose:
    """The first boundary of this name."""
    return lambda boundaries: [boundaries.index(name)]


def some(count: int, random: Random) -> Choose:
    """``count`` boundaries: each as often as any other, but for the last round, which is drawn."""

    def choose(boundaries: list[str]) -> Sequence[int]:
        rounds, rest = divmod(count, len(boundaries))
        numbers = range(len(boundaries))
        chosen = [*(list(numbers) * rounds), *random.sample(numbers, rest)]
        random.shuffle(chosen)
        return chosen

    return choose
