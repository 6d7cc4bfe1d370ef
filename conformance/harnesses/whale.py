"""WhaleAPIManager under test: real HTTP to a fake Whale that answers for its instances too.

Adapter and fake share one virtual clock, moved by the scenario. The fake is reset before each; its
direct ports stand on a loopback address of their own, so that two runs never collide.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version

from conformance.harness import FaultKind, Hook, Lockout, Options, Player, Worker, World
from conformance.harnesses.cast import CHALLENGES, MATES, PLAYERS, TEAM_PLAYERS, crowd
from conformance.harnesses.cre import Numbers
from conformance.harnesses.fetch import http_get
from conformance.harnesses.full_state import full
from conformance.harnesses.guessed_tables import replaced
from conformance.harnesses.lure import luring
from conformance.harnesses.moments import Moments, NoMoments
from conformance.harnesses.mortal import MortalCredentials, MortalDatabase
from conformance.harnesses.skewed import AheadClock, on_the_clock_of
from conformance.harnesses.state import ROUND_SECONDS, StatefulHarness, as_another_process
from conformance.harnesses.whale_access import Access, Tokens
from conformance.spec.crash import Life
from engines.audit import ContainerEvent
from engines.cleanup_worker import CleanupWorker
from engines.clock import Clock
from engines.contract import InstanceStatus
from engines.settings import Settings
from engines.state.database import Database
from engines.web.overview import DatabaseOverview, Overview
from engines.whale import Credentials, WhaleAPIManager
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleAnswer, WhaleClient
from engines.whale.dialects import dialect_named
from engines.whale.wire import RunningContainer
from fake_whale import (
    FakeDialect,
    FakeWhale,
    InstanceOptions,
    User,
    UserMode,
    VirtualEpochClock,
    WhaleChallenge,
)
from fake_whale import Team as WhaleTeam
from fake_whale import WhaleWorld as WhaleWorld
from fake_whale.whale.flavours import FLAVOURS, NEWEST, Flavour, Window

OWN_PORT, EXITS_OWN_PORT = 6, 7
"""The challenges on a port of their own; the others have an http name each."""
RESOLVER_SECONDS = 0.25
"""For so long a direct port with nobody behind it is open, as frp's was measured to be."""


def _tokens(players: Iterable[Player]) -> dict[int, str]:
    """By user id: made up, in the form CTFd gives them."""
    return {player.user_id: f"ctfd_{player.user_id:064x}" for player in players}


TOKENS = _tokens((*PLAYERS, *MATES))

GOOD, CRASHING, MISSING = "chal:1", "crash:1", "no-such-image:1"
READY_SECONDS = 2.0
"""Longer than one hold of a silent direct connection; all others answer at once or never."""
LOOK_AGAIN_SECONDS = 0.01
"""As above: what a lost request did shows at once."""
LOOK_SECONDS, ANSWER_SECONDS = 1.0, 2.0
"""A fake that hangs is not worth the wait; one that does not answers within milliseconds."""
UNLIMITED = 100_000
SUFFIX = "127.0.0.1.nip.io"
CLEANER_SECONDS = 10.0

OUTAGE_SECONDS = 3600.0
"""More of real time than any scenario takes; the outage ends when the scenario says so."""
_WRITES = ("POST", "PATCH", "DELETE")
FAULTS: dict[FaultKind, list[dict[str, object]]] = {
    FaultKind.UNREACHABLE: [{"kind": "refuse", "seconds": OUTAGE_SECONDS}],
    FaultKind.REFUSES_WRITES: [
        {"kind": "docker_error"},
        {"kind": "redis_down", "method": "PATCH"},  # which never asks Docker
    ],
    FaultKind.LOST_ANSWER: [
        {"kind": "reset_before_headers", "method": method, "when": "after"} for method in _WRITES
    ],
    FaultKind.LOST_REQUEST: [
        {"kind": "reset_before_headers", "method": method, "when": "before"} for method in _WRITES
    ],
    FaultKind.GARBAGE: [{"kind": "html"}],
    FaultKind.HANGS: [{"kind": "hang", "when": "before"}],
    FaultKind.BAD_GATEWAY: [
        {"kind": "bad_gateway", "method": "POST", "when": "after"},
        {"kind": "bad_gateway", "method": "PATCH", "when": "after"},
        {"kind": "bad_gateway", "method": "DELETE", "when": "before"},
    ],
    FaultKind.GIVEN_UP: [
        {"kind": "late", "method": method, "when": "before"} for method in _WRITES
    ],
    FaultKind.FUZZED: [
        {"kind": "fuzzed", "when": "before", "probability": 0.5},
        {"kind": "fuzzed", "when": "after"},
    ],
}
"""How the fake Whale goes wrong (docs/fake-whale.md, "Faults")."""

NODES = ("linux-1", "linux-2")
"""The swarm's machines, one of which Whale draws by lot for each instance."""

HOOKS = frozenset(Hook) - {
    Hook.KILL_BEHIND,
    Hook.STUBBORN,
    Hook.HELD_NETWORK,
    Hook.ACCOUNT_LIMIT,
    Hook.INSIDE,
    Hook.OUTSIDE,
    Hook.RESTART,
    Hook.SLOW_START,
    *(Hook.COUNTED_FLAGS, Hook.ANOTHER_SITE, Hook.DISK),
    # Of a clock stepped back Whale makes a remaining time below zero: it counts within a day.
    Hook.CLOCK_BACK,
    # Whale has none of these.
    *(
        Hook.START_RATE,
        Hook.CONTEST_END,
        Hook.CHALLENGE_END,
        Hook.PORT_RANGE,
        Hook.WARM_POOL,
        Hook.NEW_IMAGE,
    ),
}


def _whale_world(address: str, players: tuple[Player, ...], mode: UserMode) -> WhaleWorld:
    """What exists in the fake's CTFd; direct ports are on ``address``."""
    users = (*players, *MATES)
    teams = sorted({user.team_id for user in users if user.team_id is not None})

    def challenge(challenge_id: int, name: str, image: str = GOOD, **fields: str) -> WhaleChallenge:
        return WhaleChallenge(challenge_id, name, image=image, **fields)  # type: ignore[arg-type] # text fields

    return WhaleWorld(
        users=[
            User(player.user_id, f"user{player.user_id}", token=token, team_id=player.team_id)
            for player, token in zip(users, _tokens(users).values(), strict=True)
        ],
        teams=[WhaleTeam(team, f"team{team}") for team in teams],
        user_mode=mode,
        challenges=[
            challenge(1, "First"),
            challenge(2, "Second"),
            challenge(3, "Hidden", state="hidden"),
            challenge(4, "Missing image", MISSING),
            challenge(5, "Exits at once", CRASHING),
            challenge(OWN_PORT, "Own port", redirect_type="direct"),
            challenge(EXITS_OWN_PORT, "Exits on a port", CRASHING, redirect_type="direct"),
        ],
        images=frozenset({GOOD, CRASHING}),
        crashing_images=frozenset({CRASHING}),
        nodes=frozenset(NODES),
        config={
            "docker_swarm_nodes": ",".join(NODES),
            "frp_direct_ip_address": address,
            "frp_http_domain_suffix": SUFFIX,
        },
    )


class FakeWhaleServer:
    """One fake Whale and its server, for a whole run."""

    def __init__(
        self,
        dialect: str,
        players: tuple[Player, ...],
        mode: UserMode,
        further: tuple[Player, ...] = (),
        flavour: Flavour = NEWEST,
        frp: str | None = None,
    ) -> None:
        # 127.0.0.0/8 is all loopback: an address that no other fake of this machine listens on.
        address = str(ipaddress.IPv4Address("127.128.0.0") + secrets.randbelow(2**22))
        self.fake = FakeWhale(
            _whale_world(address, (*players, *further), mode),
            clock=VirtualEpochClock(),
            instances=InstanceOptions(direct_host=address, resolver_delay=RESOLVER_SECONDS),
            dialect=FakeDialect(dialect),
            flavour=flavour,
            frp=frp,
        )
        self.server = self.fake.serve()
        self.players = players
        self.further = further
        self.dialect = dialect

    @property
    def gateway(self) -> tuple[str, int]:
        """Where http instances answer, told apart by Host."""
        listener = self.fake.http_listener
        if listener is None:
            raise RuntimeError("the fake was made without instances")
        return listener

    def begin(self, options: Options) -> None:
        """Back to an empty Whale, set up as a scenario wants it."""
        self.fake.reset()
        self.fake.patch_config(
            {
                # Most admit one more than their limit says (docs/whale-wire.md).
                "docker_max_container_count": str(
                    (options.capacity or UNLIMITED) - self.fake.flavour.admits_one_more
                ),
                "docker_max_renew_count": str(options.max_extensions),
                "docker_timeout": str(options.timeout_seconds),
                "frp_http_port": str(self.gateway[1]),
            }
        )

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        """Whale, or the way to it, goes wrong; its instances keep running."""
        for fault in FAULTS[kind]:
            self.fake.inject(fault)
        try:
            yield
        finally:
            self.fake.lift_faults()

    def close(self) -> list[str]:
        """End the last scenario's services, then all; returns what services are left."""
        self.server.close()
        self.fake.reset()
        left = [str(service["uuid"]) for service in self.fake.state()["services"]]
        self.fake.close()
        return left


class FakeWhaleWorld(World):
    """An empty Whale, and an adapter in front of it."""

    challenges = replace(
        CHALLENGES,
        subdomain=CHALLENGES.first,
        own_port=OWN_PORT,
        exits_own_port=EXITS_OWN_PORT,
    )
    mates = MATES
    faults = frozenset(FAULTS)
    answers_within = 20.0
    manager_class: type[WhaleAPIManager] = WhaleAPIManager
    """Replaced where a broken adapter is to be shown failing."""
    ready_seconds = READY_SECONDS

    def __init__(self, whale: FakeWhaleServer, options: Options, database: Database) -> None:
        whale.begin(options)
        self.players = whale.players
        self.database = database
        self._timeout = options.timeout_seconds
        """Whale's own setting."""
        self._whale = whale
        self._fake = whale.fake
        self._exchanges: list[str] = []
        self._options = options
        self._expected = self._fake.clock.time()
        self._others: list[WhaleAPIManager] = []
        self._databases: list[Database] = []
        """Of further processes."""
        self._numbers = Numbers()
        self._access = Access(whale.fake, whale.server.url)
        self._seconds = 0.0
        self.manager = self._manager()
        self.backend = self.manager

    @property
    def _credentials(self) -> Credentials:
        return Tokens({**TOKENS, **_tokens(self._whale.further)}, self._access)

    def _manager(self, url: str | None = None, database: Database | None = None) -> WhaleAPIManager:
        """The adapter as a process of its own has it, in front of this Whale unless of another."""
        return self._made(self._credentials, database or self.database, self._observe, url)

    def _made(
        self,
        credentials: Credentials,
        database: Database,
        observer: Callable[[WhaleAnswer], None],
        url: str | None = None,
        clock: Clock | None = None,
    ) -> WhaleAPIManager:
        whale, options = self._whale, self._options
        return self.manager_class(
            Settings(
                whale_api_url=url or whale.server.url,
                whale_dialect=whale.dialect,
                whale_scope="challenge" if whale.fake.flavour.per_challenge else "auto",
                whale_account_limit=options.account_limit,
                whale_timeout_seconds=options.timeout_seconds,
                whale_max_extensions=options.max_extensions,
                calls_per_minute=options.calls_per_minute or Settings().calls_per_minute,
                whale_probe_gateway="http://{}:{}".format(*whale.gateway),
                whale_ready_seconds=self.ready_seconds,
                whale_look_again_seconds=LOOK_AGAIN_SECONDS,
                look_seconds=LOOK_SECONDS,
                answer_seconds=ANSWER_SECONDS,
            ),
            credentials=credentials,
            database=database,
            clock=clock or FakesClock(self._fake),
            owners=self._numbers,
            observer=observer,
        )

    @property
    def fake(self) -> FakeWhale:
        return self._fake

    @property
    def url(self) -> str:
        """Where Whale's own API is reached."""
        return self._whale.server.url

    def crowd(self, number: int) -> tuple[Player, ...]:
        return self._whale.further[:number]

    def advance(self, seconds: float) -> None:
        self._expected += seconds
        self._fake.clock.advance(seconds)

    def drifted(self) -> float:
        return self._fake.clock.time() - self._expected

    def overview(self) -> Overview:
        return DatabaseOverview(self.database, FakesClock(self._fake))

    def restart_live(self) -> AbstractContextManager[None]:
        """Whale's CTFd is restarted; its swarm and frp are others and go on."""
        return self.fault(FaultKind.UNREACHABLE)

    def state_full(self, after: int) -> AbstractContextManager[None]:
        return full(self.database, after)

    def replaced_tables(self, *, rows_kept: bool) -> AbstractContextManager[None]:
        return replaced(self.database, rows_kept=rows_kept)

    def give_number_again(self, player: Player) -> None:
        self._numbers.give_again(player)

    def give_challenge_again(self, challenge_id: int) -> None:
        self._numbers.give_challenge_again(challenge_id)

    def machine_ahead(self, seconds: float) -> World:
        clock = FakesClock(self._fake)
        database = on_the_clock_of(clock, self.database)
        world = copy(self)
        ahead = AheadClock(clock, seconds)
        world.manager = self._made(self._credentials, database, self._observe, clock=ahead)
        world.backend = world.manager
        self._others.append(world.manager)
        return world

    def another(self) -> WhaleAPIManager:
        self._databases.append(as_another_process(self.database))
        manager = self._manager(database=self._databases[-1])
        self._others.append(manager)
        return manager

    def dying(self, boundary: int) -> AbstractContextManager[None]:
        life = Life(boundary)
        return self.living(life, life, life)

    def amid(self, moment: int, work: Callable[[], object]) -> AbstractContextManager[None]:
        # Before each request: later, a place in the queue of writes may be held.
        return self.living(Moments(moment, work), NoMoments(), NoMoments())

    def living(self, asking: Life, answered: Life, state: Life) -> AbstractContextManager[None]:
        """Inside the block the adapter is a process with these lives: of its requests, of their
        answers, and of what it does to its state."""

        def observe(answer: WhaleAnswer) -> None:
            self._observe(answer)
            answered.boundary()

        credentials = MortalCredentials(self._credentials, asking)
        return self._as(self._made(credentials, MortalDatabase(self.database, state), observe))

    @contextmanager
    def _as(self, manager: WhaleAPIManager) -> Iterator[None]:
        """Inside the block it is this one; after it, a fresh one."""
        self._others.append(self.manager)
        self.manager = self.backend = manager
        try:
            yield
        finally:
            self._others.append(self.manager)
            self.manager = self.backend = self._manager()

    def locked_out(self, player: Player, why: Lockout) -> AbstractContextManager[None]:
        return self._access.barred(player.user_id, why)

    @contextmanager
    def lured(self) -> Iterator[Callable[[], list[str]]]:
        with luring() as (url, came), self._as(self._manager(url)):
            yield came

    @contextmanager
    def slow_answers(self, seconds: float) -> Iterator[Callable[[], int]]:
        # The fake's own slowness goes by its clock, and a duration by the machine's.
        self._seconds, before = seconds, len(self._exchanges)
        try:
            yield lambda: len(self._exchanges) - before
        finally:
            self._seconds = 0.0

    @contextmanager
    def _own_page(self) -> Iterator[WhaleAPI]:
        """Whale as its own page has it, past the adapter."""
        client = WhaleClient(self.url, call_seconds=10.0)
        try:
            yield WhaleAPI(client, dialect_named(self._whale.dialect), self._credentials)
        finally:
            client.close()

    def renew_behind(self, player: Player, instance: InstanceStatus) -> None:
        with self._own_page() as page:
            page.renew(player.user_id, instance["challenge_id"])

    def shorten_behind(self, seconds: int) -> None:
        self._timeout -= seconds
        self._fake.patch_config({"docker_timeout": str(self._timeout)})

    def replace_behind(self, player: Player, instance: InstanceStatus) -> str:
        asked = player.user_id, instance["challenge_id"]
        with self._own_page() as page:
            page.destroy(*asked)
            page.create(*asked)
            found = page.look(*asked)
        if not isinstance(found, RunningContainer):
            raise RuntimeError("Whale has made no other container")
        return found.uuid

    def run_worker(self) -> None:
        self.manager.cleanup_worker.run_once()

    def worker(self) -> Worker:
        return CleanupWorker(self.manager, ROUND_SECONDS, database=self.database)

    def events(self) -> list[ContainerEvent]:
        return self.manager.audit.events()

    def exchanges(self) -> list[str]:
        return list(self._exchanges)

    def running(self) -> set[str]:
        return {service["uuid"] for service in self._fake.state()["services"]}

    def machine_of(self, container_id: str) -> str | None:
        services = {service["uuid"]: service["node"] for service in self._fake.state()["services"]}
        return services.get(container_id)

    def flags(self) -> list[str]:
        """Every flag that Whale has handed to a container."""
        return [str(service["flag"]) for service in self._fake.state()["services"]]

    def recorded_flag(self, player: Player, challenge_id: int) -> str:
        status = self.manager.get_instance_status(player.user_id, challenge_id, player.team_id)
        for record in self._fake.state()["records"]:
            if status is not None and record["uuid"] == status["container_id"]:
                return str(record["flag"])
        raise LookupError(f"Whale has no record for {player} and challenge {challenge_id}")

    def fetch(self, instance: InstanceStatus, path: str = "/") -> str | None:
        host, port = instance["host"], int(instance["ports"][0])
        if host.endswith(SUFFIX):  # a name players resolve to frps; here it is loopback
            return http_get(*self._whale.gateway, path, host_header=f"{host}:{port}")
        return http_get(host, port, path)

    def remove_behind(self, container_id: str) -> None:
        self._fake.remove_service(container_id)

    def outage(self) -> AbstractContextManager[None]:
        """Nobody listens on Whale's port."""
        return self.fault(FaultKind.UNREACHABLE)

    @contextmanager
    def fault(self, kind: FaultKind) -> Iterator[None]:
        self._exchanges.append(f"-- from here on: {kind.value}")
        with self._whale.fault(kind):
            yield
        self._exchanges.append(f"-- no longer: {kind.value}")

    def close(self) -> None:
        for manager in (self.manager, *self._others):
            manager.close()
        for database in self._databases:
            database.close()
        self._access.close()

    def _observe(self, answer: WhaleAnswer) -> None:
        time.sleep(self._seconds)
        if answer.method == "POST" and self._fake.flavour.routed_by_cleaner:
            # An instance answers from the cleaner's next beat on, which nobody here would wait for.
            self._fake.clock.advance(CLEANER_SECONDS)
        self._exchanges.append(
            f"{answer.method} {answer.path} -> {answer.status} {answer.content_type} {answer.body}"
        )


class FakesClock:
    """The fake's clock, as the adapter reads it: Whale moves it too, where it would wait."""

    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._fake.clock.time(), timezone.utc)


class FakeWhaleHarness(StatefulHarness):
    """``whale:fake``: the adapter in front of a fake Whale, over real HTTP.

    Args:
        dialect: what Whale speaks.
        teams: whether its CTFd is in team mode; then every player is in a team.
        flavour: which ctfd-whale it is.
    """

    hooks = HOOKS
    parallel = True
    frp: str | None = None
    """The release whose manners the fake's frp has (docs/fake-whale.md, "frp")."""

    def __init__(
        self, dialect: str = "ctfd-whale", teams: bool = False, flavour: str = NEWEST.name
    ) -> None:
        self._dialect = dialect
        # A scenario's calls follow each other at once: what a fork limits accounts to is lifted.
        self._flavour = FLAVOURS[flavour]
        if self._flavour is not NEWEST:
            self._flavour = replace(
                self._flavour, window=Window.SESSION, too_many_of_user="", settings={}
            )
        if self._flavour.per_challenge:
            self.hooks = HOOKS | {Hook.ACCOUNT_LIMIT}
        self._players = TEAM_PLAYERS if teams else PLAYERS
        self._mode = UserMode.TEAMS if teams else UserMode.USERS
        self._whale: FakeWhaleServer | None = None
        self._left: list[str] | None = None
        spoken = f"{dialect}, in team mode" if teams else dialect
        if self._flavour is not NEWEST:
            spoken = spoken.replace(dialect, self._flavour.whale)
        self.kind = f"WhaleAPIManager over HTTP to a fake Whale ({spoken})"

    def open(self) -> None:
        super().open()
        further = crowd(self.accounts, teams=self._mode is UserMode.TEAMS)
        self._whale = FakeWhaleServer(
            self._dialect, self._players, self._mode, further, self._flavour, self.frp
        )

    def versions(self) -> dict[str, str]:
        return {
            "dialect": self._dialect,
            "whale": self._flavour.whale,
            "scope": "challenge" if self._flavour.per_challenge else "user",
            "user_mode": self._mode.value,
            "fake_whale": version("whale-ready"),
            **super().versions(),
        }

    def world(self, options: Options) -> World:
        return self.whale_world(options, self.database())

    def whale_world(self, options: Options, database: Database) -> FakeWhaleWorld:
        """An empty Whale, and an adapter that keeps its state there."""
        if self._whale is None:
            raise RuntimeError("open() comes before world()")
        return FakeWhaleWorld(self._whale, options, database)

    def close(self) -> None:
        if self._whale is not None:
            self._left = self._whale.close()
            self._whale = None
        super().close()

    def leftovers(self) -> list[str] | None:
        return self._left
