"""Workers, databases and no redis: the table of that name in docs/whale-wire.md, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests

from fake_whale import (
    Dbms,
    FakeWhale,
    FakeWhaleError,
    SystemEpochClock,
    TransactionIsolation,
    User,
    VirtualEpochClock,
    WhaleChallenge,
    WhaleWorld,
)
from fake_whale.testing import WhalePlayer, said
from fake_whale.whale import company

USERS = range(2, 22)
WORLD = WhaleWorld(
    users=tuple(User(number, f"u{number}", "", f"t-{number}") for number in USERS),
    challenges=(WhaleChallenge(1, "Web one"), WhaleChallenge(2, "Pwn two", redirect_type="direct")),
    images=frozenset({"chal:1"}),
)
OF_FIVE = replace(WORLD, config={"docker_max_container_count": "5"})
CREATED = (200, "Container created")
MANY_ROUNDS = 200

Answer = requests.Response


class Site:
    def __init__(self, fake: FakeWhale, url: str) -> None:
        self.fake = fake
        self.players = [WhalePlayer(url, f"t-{number}") for number in USERS]

    def services(self) -> list[bool]:
        """Of each service, whether it is an orphan."""
        return [bool(service["orphan"]) for service in self.fake.state()["services"]]


@contextmanager
def site(
    world: WhaleWorld = WORLD,
    isolation: TransactionIsolation = TransactionIsolation.REPEATABLE_READ,
    database: Dbms = Dbms.MARIADB,
    *,
    redis: bool = True,
    workers: int = 1,
    virtual: bool = True,
) -> Iterator[Site]:
    fake = FakeWhale(
        world,
        clock=VirtualEpochClock() if virtual else SystemEpochClock(),
        isolation=isolation,
        database=database,
        redis=redis,
        workers=workers,
    )
    with fake, fake.serve() as server:
        yield Site(fake, server.url)


def at_once(calls: Sequence[Callable[[], Answer]]) -> list[tuple[int, str]]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [said(made.result()) for made in [pool.submit(call) for call in calls]]


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls at once meet however busy the machine is."""
    monkeypatch.setattr(company, "LONGEST_SECONDS", 10.0)
    monkeypatch.setattr(company, "ALONE_SECONDS", 10.0)
    monkeypatch.setattr(company, "QUIET_SECONDS", 0.5)


ROWS = {
    "repeatable-read": (TransactionIsolation.REPEATABLE_READ, Dbms.MARIADB, 2, 20),
    "read-committed": (TransactionIsolation.READ_COMMITTED, Dbms.MARIADB, 1, 6),
    "sqlite": (TransactionIsolation.REPEATABLE_READ, Dbms.SQLITE, 1, 6),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("row", list(ROWS))
@pytest.mark.usefixtures("meeting")
def test_a_double_click(row: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    isolation, database, services, _ = ROWS[row]
    with site(WORLD, isolation, database, workers=workers, virtual=False) as stage:
        ann = stage.players[0]
        assert at_once([ann.post, ann.post]) == [CREATED, CREATED]
        assert len(stage.services()) == services
        monkeypatch.undo()
        assert said(ann.delete()) == (200, "Container destroyed")
        assert stage.services() == [True] * (services - 1), "nothing, or an orphan, is left"


@pytest.mark.parametrize("row", list(ROWS))
@pytest.mark.usefixtures("meeting")
def test_twenty_at_a_limit_of_five(row: str) -> None:
    isolation, database, _, admitted = ROWS[row]
    with site(OF_FIVE, isolation, database, workers=2, virtual=False) as stage:
        answers = Counter(at_once([player.post for player in stage.players]))
        assert answers[CREATED] == admitted
        assert len(stage.services()) == admitted


def test_sqlite_takes_a_flag_of_any_length() -> None:
    long = replace(WORLD, config={"template_chall_flag": "x" * 129})
    with site(long, database=Dbms.SQLITE) as stage:
        assert said(stage.players[0].post()) == CREATED
    with site(long) as stage:
        assert stage.players[0].post().status_code == 500


def test_without_redis_a_failed_call_leaves_no_lock() -> None:
    with site(database=Dbms.SQLITE, redis=False) as stage:
        ann = stage.players[0]
        assert said(ann.delete()) == (403, "No such container")
        assert said(ann.post()) == CREATED
    with site(database=Dbms.SQLITE) as stage:
        ann = stage.players[0]
        assert said(ann.delete()) == (403, "No such container")
        assert said(ann.post()) == (403, "Request Too Fast!")


def test_without_redis_a_double_click_leaves_an_orphan() -> None:
    with site(database=Dbms.SQLITE, redis=False) as stage:
        ann = stage.players[0]
        for _ in range(MANY_ROUNDS):
            assert at_once([ann.post, ann.post]) == [CREATED, CREATED]
            if len(stage.services()) == 2:
                break
        else:
            pytest.fail("each double click made one service")
        while said(ann.delete()) == (200, "Container destroyed"):
            pass
        assert stage.services() == [True]


def test_without_redis_two_users_may_get_one_port() -> None:
    with site(database=Dbms.SQLITE, redis=False) as stage:
        eight = stage.players[:8]
        for _ in range(MANY_ROUNDS):
            at_once([lambda who=each: who.post(2) for each in eight])  # type: ignore[misc]  # mypy cannot infer a lambda's default
            ports = [record["port"] for record in stage.fake.state()["records"]]
            if len(set(ports)) < len(ports) == 8:
                return
    pytest.fail("every user had a port of their own")


def test_without_redis_ports_are_made_anew_and_their_end_is_told_in_words() -> None:
    two = replace(
        WORLD,
        config={"frp_direct_port_minimum": "10000", "frp_direct_port_maximum": "10001"},
    )
    with site(two, database=Dbms.SQLITE, redis=False) as stage:
        ann, ben, cat = stage.players[:3]
        stage.fake.inject({"kind": "frpc_down", "count": 1})
        assert said(ann.post(2)) == (403, "Container creation failed")
        assert said(ann.post(2)) == said(ben.post(2)) == CREATED, "and no port is leaked"
        assert sorted(r["port"] for r in stage.fake.state()["records"]) == [10000, 10001]
        refused = (403, "No available ports. Please wait for a few minutes.")
        assert said(cat.post(2)) == refused


def test_without_redis_its_faults_are_nothing() -> None:
    with site(redis=False) as stage:
        ann = stage.players[0]
        stage.fake.inject({"kind": "redis_down"})
        stage.fake.inject({"kind": "redis_flushed"})
        assert said(ann.post(2)) == CREATED


def test_the_set_up_is_told() -> None:
    with site(database=Dbms.SQLITE, redis=False, workers=2) as stage:
        health = stage.fake.app.test_client().get("/_fake/health").json
        told = {name: health[name] for name in ("database", "redis", "workers", "isolation")}
        assert told == {
            "database": "sqlite",
            "redis": False,
            "workers": 2,
            "isolation": "read-committed",
        }
    with pytest.raises(FakeWhaleError, match="workers: must be 1 or more, not 0"):
        FakeWhale(WORLD, workers=0)
