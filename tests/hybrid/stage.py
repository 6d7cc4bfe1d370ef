"""A site with both backends: the engine on simulated containers unless told otherwise, the adapter
on a fake Whale.

Both keep their state in one database and go by the fake's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from whale.rig import FakesClock

from engines.audit import Action, ContainerEvent
from engines.catalog import ChallengeSpec, StaticCatalog
from engines.contract import InstanceStatus, StartResult
from engines.cre.runtimes.base import Runtime
from engines.cre.runtimes.memory import MemoryRuntime
from engines.factory import Overrides, build
from engines.hybrid import Dial, DialStore, HybridBackend, Position
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import StaticTokens
from fake_whale import FakeServer, FakeWhale, User, WhaleChallenge, WhaleWorld
from fake_whale import VirtualEpochClock as FakeClock

ALICE, BOB = 11, 12
TIMEOUT, RENEWALS = 3600, 5
IMAGE = "chal:1"
TOKENS = {ALICE: f"ctfd_{ALICE:064x}", BOB: f"ctfd_{BOB:064x}"}
POLL_SECONDS = 2.0


def whale_world(users: dict[int, str], challenges: int) -> WhaleWorld:
    return WhaleWorld(
        users=[User(number, f"user{number}", token=token) for number, token in users.items()],
        challenges=[WhaleChallenge(number, f"C{number}") for number in range(1, challenges + 1)],
        images=frozenset({IMAGE}),
        config={
            "docker_timeout": str(TIMEOUT),
            "docker_max_renew_count": str(RENEWALS),
            "docker_max_container_count": "100000",
            "frp_http_domain_suffix": "127.0.0.1.nip.io",
            "frp_http_port": "8080",
        },
    )


@contextmanager
def served(users: dict[int, str], challenges: int) -> Iterator[tuple[FakeWhale, FakeServer]]:
    """A fake Whale that answers."""
    fake = FakeWhale(whale_world(users, challenges), clock=FakeClock())
    with fake.serve() as server:
        yield fake, server


@dataclass(frozen=True)
class Ground:
    """What the engine's containers run on.

    Args:
        containers: asks for the ids of what is there, past the engine.
    """

    runtime: Runtime
    image: str
    deployment: str
    containers: Callable[[], set[str]]


def simulated() -> Ground:
    """No containers at all."""
    runtime = MemoryRuntime()
    return Ground(runtime, IMAGE, "site", runtime.running)


@dataclass(frozen=True)
class Site:
    """One site: :attr:`hybrid` is its first process."""

    fake: FakeWhale
    url: str
    database: Database
    ground: Ground
    settings: Settings
    tokens: dict[int, str]
    specs: list[ChallengeSpec]
    hybrid: HybridBackend

    @property
    def store(self) -> DialStore:
        return DialStore(self.database, self.hybrid.clock)

    def turn(self, position: Position, **more: Any) -> None:
        """Turn the dial, and let every process see it."""
        self.store.change("test", "set", "", lambda dial: replace(dial.turned(position), **more))
        self.advance(POLL_SECONDS)

    def dial(self) -> Dial:
        return self.store.load()

    def advance(self, seconds: float) -> None:
        self.fake.clock.advance(seconds)

    def work(self) -> None:
        """One round of the worker."""
        self.hybrid.cleanup_worker.run_once()

    def start(self, user: int, challenge: int) -> StartResult:
        return self.hybrid.start_instance(user, challenge)

    def status(self, user: int, challenge: int) -> InstanceStatus | None:
        return self.hybrid.get_instance_status(user, challenge)

    def on_whale(self) -> set[str]:
        """Containers that really run on Whale."""
        return {service["uuid"] for service in self.fake.state()["services"]}

    def on_cre(self) -> set[str]:
        """Containers that really run on the engine."""
        return self.ground.containers()

    def events(self, *actions: Action) -> list[ContainerEvent]:
        """The audit log, of these actions; of all when none is named."""
        return [e for e in self.hybrid.audit.events() if not actions or e.action in actions]

    def process(self) -> HybridBackend:
        """The backend of a further process; the caller closes it."""
        return made(self.settings, self.database, self.ground, self.tokens, self.specs, self.fake)


def made(
    settings: Settings,
    database: Database,
    ground: Ground,
    tokens: dict[int, str],
    specs: list[ChallengeSpec],
    fake: FakeWhale,
) -> HybridBackend:
    ingredients = Overrides(
        catalog=StaticCatalog(specs),
        runtime=ground.runtime,
        credentials=StaticTokens(tokens),
        database=database,
        clock=FakesClock(fake),
    )
    return build(settings, ingredients)


@contextmanager
def site(
    fake: FakeWhale,
    url: str,
    database: Database,
    *,
    tokens: dict[int, str] | None = None,
    challenges: int = 3,
    not_on_whale: Collection[int] = (),
    ground: Ground | None = None,
    **settings: Any,
) -> Iterator[Site]:
    """A site in front of this Whale; ``settings`` by their names in :class:`Settings`.

    Args:
        challenges: how many the catalogue has.
        not_on_whale: those of which it says that Whale does not have them.
    """
    ground = ground or simulated()
    chosen = Settings(
        **{
            "whale_api_url": url,
            "whale_dialect": "ctfd-whale",
            "whale_timeout_seconds": TIMEOUT,
            "whale_max_extensions": RENEWALS,
            "whale_probe": False,
            "whale_look_again_seconds": 1e-9,
            "cre_deployment": ground.deployment,
            "cre_start_limit": 0,
            "cre_timeout_seconds": TIMEOUT,
            "rollout_poll_seconds": POLL_SECONDS,
            **settings,
        }
    )
    whose = TOKENS if tokens is None else tokens
    specs = [
        ChallengeSpec(number, f"C{number}", ground.image, whale=number not in not_on_whale)
        for number in range(1, challenges + 1)
    ]
    hybrid = made(chosen, database, ground, whose, specs, fake)
    try:
        yield Site(fake, url, database, ground, chosen, whose, specs, hybrid)
    finally:
        hybrid.close()
