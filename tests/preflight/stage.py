"""A site that is set up right in every way, and a fake Whale for it; a test sets one thing wrong.

Everything goes by the fake's clock: a pause moves it.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import jsonschema
import sqlalchemy as sa

from engines.cre.runtimes.memory import MemoryRuntime
from engines.settings import Settings
from engines.state.database import Database
from fake_whale import (
    FakeDialect,
    FakeWhale,
    InstanceOptions,
    TransactionIsolation,
    User,
    VirtualEpochClock,
    WhaleChallenge,
)
from fake_whale import WhaleWorld as WhaleWorld
from fake_whale.testing import WhalePlayer
from fake_whale.web.server import THREADS
from whale_ready.preflight.checks import CHECKS, run
from whale_ready.preflight.items import Item, ItemState
from whale_ready.preflight.report import preflight_schema
from whale_ready.preflight.site import PreflightSite, Wishes

EVERY_ID = {check.id for check in CHECKS}
IN_DOCKER = {"frpc-token", "frpc-restart", "workers"}
"""What only the Docker engine behind Whale shows (test_machinery.py)."""
COUNTER = {"counter-proof", "resolver"}
"""What only a start without an image shows; it takes its time."""
UNSEEN = {"self-call", "isolation", *IN_DOCKER, *COUNTER}
"""What is not seen where no write really waits (``Setup.held``) and neither an engine is named nor
a challenge without an image."""
FROM_DATABASE = {
    *("version", "challenges-images", "challenges-ports", "challenges-limits"),
    *("time-out", "renewals", "capacity", "settings-page"),
}
"""What Whale's database tells, whatever its API says."""
OWN = {"audit", "fallback", "parallel-writes"}

ADMIN, ALICE, BOB, PROBE = 1, 11, 12, 13
TOKENS = {user: f"ctfd_{user:064x}" for user in (ADMIN, ALICE, BOB, PROBE)}
IMAGE, ANOTHER_IMAGE = "chal:1", "chal:2"
MISSING, MISSING_DIRECT = 8, 9
ALL_OK = WhaleWorld(
    users=[
        User(user, f"user{user}", token=token, type="admin" if user == ADMIN else "user")
        for user, token in TOKENS.items()
    ],
    challenges=[
        WhaleChallenge(1, "First"),
        WhaleChallenge(2, "Second"),
        WhaleChallenge(3, "Hidden", state="hidden"),
        WhaleChallenge(MISSING, "Missing image", image="no-such-image:1"),
        WhaleChallenge(MISSING_DIRECT, "Missing, direct", image="nope:1", redirect_type="direct"),
    ],
    images=frozenset({IMAGE, ANOTHER_IMAGE}),
    config={"docker_timeout": "3600", "docker_max_renew_count": "5"},
)
CATALOGUE = """
[[challenge]]
id = 1
name = "First"
image = "chal:1"

[[challenge]]
id = 2
name = "Second"
image = "chal:1"

[[challenge]]
id = 3
name = "Hidden"
image = "chal:1"
visibility = "hidden"
"""
ALL_WISHES = Wishes(expected_players=3, admin=ADMIN, probe_account=PROBE)
WITH_COUNTER = replace(ALL_WISHES, probe_missing=(MISSING, MISSING_DIRECT))
ENDS_IN_SECONDS = 5.0
"""What is left of Alice's instance when a preflight begins, so that Whale's cleaner can be seen."""
HEAD_START_SECONDS = 0.2
HELD_SECONDS = 1.2
"""How long a write really waits for its lock where that is to be seen; Whale's own is 1.95."""


class HeldClock(VirtualEpochClock):
    """A virtual clock with which waits take their time; of two at once the later one longer."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self._waiting = 0

    def wait(self, seconds: float, cancel: Event) -> None:
        self._waiting += 1
        cancel.wait(HELD_SECONDS * (1 + self._waiting) / 2)
        self._waiting -= 1
        super().wait(seconds, cancel)


class RepairedWhale(FakeWhale):
    """A Whale whose plugin can write its records as JSON, so that the admin's list works."""

    @property
    def app(self) -> Any:
        plain = super().app

        def answer(environ: Any, start_response: Any) -> Any:
            kept: list[Any] = []
            asked = (environ["REQUEST_METHOD"], environ["PATH_INFO"])
            body = b"".join(plain(environ, lambda *head: kept.extend(head)))
            admins = asked == ("GET", "/api/v1/plugins/ctfd-whale/admin/container")
            if admins and kept[0].startswith("500"):
                users = [record["user_id"] for record in self.state()["records"]]
                rows = [{"user_id": user} for user in users]
                data = {"containers": rows, "total": len(rows), "pages": 1, "page_start": 0}
                body = json.dumps({"success": True, "data": data}).encode()
                kept[:2] = ["200 OK", [("Content-Type", "application/json")]]
            start_response(kept[0], [each for each in kept[1] if each[0] != "Content-Length"])
            return [body]

        return answer


class BareCtfd(FakeWhale):
    """A CTFd without the plugin."""

    @property
    def app(self) -> Any:
        plain = super().app

        def answer(environ: Any, start_response: Any) -> Any:
            if "ctfd-whale" in environ["PATH_INFO"]:
                environ["PATH_INFO"] = "/no/such/page"
            return plain(environ, start_response)

        return answer


class OurClock:
    """Our machine's clock; ``behind`` Whale's by so many seconds."""

    def __init__(self, fake: FakeWhale, behind: float) -> None:
        self._fake = fake
        self._behind = behind

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._fake.clock.time() - self._behind, timezone.utc)


@dataclass(frozen=True)
class Setup:
    """How everything is set up; as it stands here, all is well."""

    whale: WhaleWorld = ALL_OK
    dialect: FakeDialect = FakeDialect.CTFD_WHALE
    isolation: TransactionIsolation = TransactionIsolation.READ_COMMITTED
    make: type[FakeWhale] = RepairedWhale
    redis: bool = True
    instances: Mapping[str, Any] = field(default_factory=dict)
    threads: int = THREADS
    held: bool = False
    """Whether writes really wait for a lock; without it two items see nothing."""
    ending: bool = True
    """Whether an instance of Alice's is about to end; without it the cleaner is not seen."""
    faults: Sequence[Mapping[str, object]] = ()
    behind: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)
    wishes: Wishes = ALL_WISHES
    tokens: Mapping[int, str] = field(default_factory=lambda: TOKENS)
    """In CTFd's own table of tokens."""
    runtime: MemoryRuntime = field(default_factory=lambda: MemoryRuntime({IMAGE}))

    def with_config(self, **config: str) -> Setup:
        """With other settings of Whale's."""
        return replace(self, whale=replace(self.whale, config={**self.whale.config, **config}))

    def with_user(self, user: User) -> Setup:
        """With one more user of Whale's."""
        return replace(self, whale=replace(self.whale, users=[*self.whale.users, user]))

    def with_challenge(self, number: int, **fields: Any) -> Setup:
        """With another challenge of this number on Whale."""
        changed = [
            replace(challenge, **fields) if challenge.id == number else challenge
            for challenge in self.whale.challenges
        ]
        return replace(self, whale=replace(self.whale, challenges=changed))


@dataclass(frozen=True)
class Stage:
    """A served fake and a site for it."""

    fake: FakeWhale
    url: str
    settings: Settings
    setup: Setup

    def items(self, **settings: Any) -> dict[str, Item]:
        """Make a preflight, with some settings of ours changed; the items by id."""
        site = self.site(**settings)
        try:
            return {item.id: item for item in run(site)}
        finally:
            site.close()

    def site(self, **settings: Any) -> PreflightSite:
        return PreflightSite(
            replace(self.settings, **settings),
            self.setup.wishes,
            clock=OurClock(self.fake, self.setup.behind),
            pause=self.fake.clock.advance,
            head_start=HEAD_START_SECONDS,
            runtime=lambda _settings: self.setup.runtime,
        )


@contextmanager
def staged(setup: Setup, folder: Path) -> Iterator[Stage]:
    """Serve a fake Whale, and make databases and catalogue."""
    host = str(ipaddress.IPv4Address("127.128.0.0") + secrets.randbelow(2**22))
    clock = HeldClock(time.time()) if setup.held else VirtualEpochClock(time.time())
    fake = setup.make(
        setup.whale,
        clock=clock,
        isolation=setup.isolation,
        redis=setup.redis,
        dialect=setup.dialect,
        instances=InstanceOptions(
            http_host=host, direct_host=host, reachable=True, **setup.instances
        ),
    )
    with fake.serve(threads=setup.threads) as server:
        if setup.ending and setup.make is not BareCtfd:
            begin(fake, server.url)
        for fault in setup.faults:
            fake.inject(fault)
        yield Stage(fake, server.url, _settings(setup, fake, server.url, folder), setup)


PATHS = {
    FakeDialect.CTFD_WHALE: "/api/v1/plugins/ctfd-whale/container",
    FakeDialect.DOCUMENTED: "/ctfd-whale-user/container",
    FakeDialect.LEGACY: "/plugins/ctfd-whale/container",
}


def begin(fake: FakeWhale, url: str) -> None:
    """Let an instance of Alice's be about to end."""
    started = WhalePlayer(url, TOKENS[ALICE]).call("POST", 1, PATHS[fake.dialect])
    assert started.status_code == 200
    life = float(str(fake.machine.settings.get("docker_timeout")))
    fake.clock.advance(life - ENDS_IN_SECONDS)


def _settings(setup: Setup, fake: FakeWhale, url: str, folder: Path) -> Settings:
    (folder / "state.db").write_bytes(_empty_state())
    catalogue = folder / "challenges.toml"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    listener = fake.http_listener
    assert listener is not None
    settings = Settings(
        database_url=f"sqlite:///{folder / 'state.db'}",
        challenges_file=catalogue,
        whale_api_url=url,
        whale_ctfd_database_url=ctfd_database(setup, fake, folder),
        whale_probe_gateway="http://{}:{}".format(*listener),
        whale_ready_seconds=0.3,
        whale_call_seconds=5.0,
    )
    return replace(settings, **setup.settings)


@cache
def _empty_state() -> bytes:
    """A SQLite file with the product's tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        database = Database(f"sqlite:///{path}")
        database.ensure_schema()
        database.close()
        return path.read_bytes()


def ctfd_database(setup: Setup, fake: FakeWhale, folder: Path) -> str:
    """The tables of Whale's CTFd that are read, holding what the fake's world holds."""
    url = f"sqlite:///{folder / 'ctfd.db'}"
    engine = sa.create_engine(url, future=True)
    ends = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(days=20)
    with engine.begin() as connection:
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(sa.text(statement))
        for user, token in setup.tokens.items():
            connection.execute(
                sa.text("INSERT INTO tokens (user_id, value, expiration) VALUES (:u, :v, :e)"),
                {"u": user, "v": token, "e": f"{ends:%Y-%m-%d %H:%M:%S.%f}"},
            )
        stored = {"ctf_version": "3.8.7", **fake.machine.settings.stored()}
        for name, value in stored.items():
            key = name if name == "ctf_version" else f"whale:{name}"
            connection.execute(
                sa.text("INSERT INTO config VALUES (:k, :v)"), {"k": key, "v": value}
            )
        for challenge in setup.whale.challenges:
            row = {
                "id": challenge.id,
                "name": challenge.name,
                "type": challenge.type,
                "state": challenge.state,
                "image": challenge.image,
                "memory": challenge.memory_limit,
                "cpus": challenge.cpu_limit,
                "port": challenge.redirect_port,
                "redirect": challenge.redirect_type,
            }
            connection.execute(
                sa.text("INSERT INTO challenges VALUES (:id, :name, :type, :state)"), row
            )
            connection.execute(
                sa.text(
                    "INSERT INTO dynamic_docker_challenge VALUES (:id, :image, :memory, :cpus, "
                    ":port, :redirect)"
                ),
                row,
            )
    engine.dispose()
    return url


_TABLES = """
CREATE TABLE challenges (id INTEGER, name TEXT, type TEXT, state TEXT);
CREATE TABLE dynamic_docker_challenge (id INTEGER, docker_image TEXT, memory_limit TEXT,
    cpu_limit FLOAT, redirect_port INTEGER, redirect_type TEXT);
CREATE TABLE config (key TEXT, value TEXT);
CREATE TABLE users (id INTEGER PRIMARY KEY);
CREATE TABLE tokens (id INTEGER PRIMARY KEY, type TEXT, user_id INTEGER, created DATETIME,
    expiration DATETIME, description TEXT, value TEXT);
"""


def states(items: Mapping[str, Item], state: ItemState) -> set[str]:
    """The ids of the items that are so."""
    return {item.id for item in items.values() if item.state is state}


def validate(document: object) -> None:
    """Whether a file's content keeps the published schema."""
    jsonschema.Draft202012Validator(preflight_schema()).validate(document)
