"""A whole rollout under load: dial 0 → 1 → 10 → 100 → 0 %, with Whale failing in the middle.

Fifty accounts play two hundred challenges. Each account makes one call after the other, so that it
knows what it has: nothing of that may be lost, or be there twice, at any quiet point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import pytest
from hybrid.stage import Site, served, site

from engines.audit import Action
from engines.contract import ActionResult, Code, StartResult
from engines.database import Database
from engines.errors import BackendUnavailable
from engines.hybrid import HybridBackend, Position

CHALLENGES, ACCOUNTS, THREADS = 200, 50, 8
CALLS = 4
"""Calls of an account between two quiet points."""
SEED = 20_261_125
FIRST_USER = 101
TOKENS = {user: f"ctfd_{user:064x}" for user in range(FIRST_USER, FIRST_USER + ACCOUNTS)}
SERVERS_FAULT = (Code.UNAVAILABLE, Code.INTERNAL)
"""What the endpoint answers with a number of 500 or more."""


@dataclass
class Account:
    """A player who remembers."""

    user: int
    random: Random
    challenge: int | None = None
    container: str | None = None
    owner: str | None = None
    told: Counter[tuple[str, Code]] = field(default_factory=Counter)

    def play(self, backend: HybridBackend) -> None:
        for _ in range(CALLS):
            self.call(backend)

    def call(self, backend: HybridBackend) -> None:
        if self.challenge is None:
            self.start(backend, self.random.randint(1, CHALLENGES))
            return
        kind = self.random.choice(["start", "extend", "stop", "status"])
        if kind == "start":
            self.start(backend, self.challenge)
        elif kind == "extend":
            self.note(kind, backend.extend_instance(self.user, self.challenge))
        elif kind == "stop":
            result = self.note(kind, backend.stop_instance(self.user, self.challenge))
            if result.ok:
                self.challenge = self.container = self.owner = None
        else:
            self.look(backend)

    def start(self, backend: HybridBackend, challenge: int) -> None:
        result = backend.start_instance(self.user, challenge)
        self.note("start", result)
        if result.ok:
            instance = result.instance
            assert self.container in (None, instance["container_id"]), "a live one was replaced"
            self.challenge, self.owner = challenge, instance["backend"]
            self.container = instance["container_id"]

    def look(self, backend: HybridBackend) -> None:
        assert self.challenge is not None
        try:
            status = backend.get_instance_status(self.user, self.challenge)
        except BackendUnavailable:
            assert self.owner == "whale"
            return
        assert status is not None, "a live instance was lost"
        assert status["container_id"] == self.container

    def note(self, kind: str, result: StartResult | ActionResult) -> StartResult | ActionResult:
        self.told[kind, result.code] += 1
        if result.code in SERVERS_FAULT:
            assert self.owner == "whale", f"{kind}: CRE could have taken over ({result.code})"
        return result


@pytest.fixture
def big(database: Database) -> Iterator[Site]:
    with (
        served(TOKENS, CHALLENGES) as (fake, server),
        site(
            fake,
            server.url,
            database,
            tokens=TOKENS,
            challenges=CHALLENGES,
            rollout_step_back=False,
        ) as made,
    ):
        yield made


def phase(here: Site, accounts: list[Account], backends: list[HybridBackend]) -> None:
    """All accounts at once, over two processes' backends."""
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [
            pool.submit(account.play, backends[number % len(backends)])
            for number, account in enumerate(accounts)
        ]:
            done.result()


def quiet(here: Site, accounts: list[Account]) -> None:
    """What runs is what the accounts have, each where it says."""
    for key, running in (("cre", here.on_cre()), ("whale", here.on_whale())):
        held = {account.container for account in accounts if account.owner == key}
        assert held == running, f"{key}: lost {held - running}, beyond {running - held}"
    for account in accounts:
        if account.challenge is not None:
            account.look(here.hybrid)


def test_a_rollout_under_load_loses_and_doubles_nothing(big: Site) -> None:
    accounts = [Account(user, Random(SEED + user)) for user in TOKENS]  # noqa: S311 - repeatable
    other = big.process()
    backends = [big.hybrid, other]
    shares: dict[int, int] = {}
    for percent in (0, 1, 10, 100):
        big.turn(Position(percent * 100))
        phase(big, accounts, backends)
        quiet(big, accounts)
        shares[percent] = len(big.on_whale())
    assert shares[0] == 0
    assert shares[100] > ACCOUNTS // 4

    big.fake.inject({"kind": "refuse", "seconds": 3600.0})
    phase(big, accounts, backends)
    big.fake.lift_faults()
    quiet(big, accounts)
    fallen = [e for e in big.events(Action.STARTED) if e.metadata["routed_by"] == "fallback"]
    assert fallen, "nobody fell back"
    assert {event.backend for event in fallen} == {"cre"}
    reasons = Counter(event.metadata["routed_because"] for event in fallen)
    print(len(fallen), "starts fell back:", dict(reasons))  # noqa: T201 - for -s
    assert all("whale" in reason for reason in reasons)

    big.advance(60)
    phase(big, accounts, backends)
    quiet(big, accounts)
    big.turn(Position(0))
    before = set(big.on_whale())
    phase(big, accounts, backends)
    quiet(big, accounts)
    assert big.on_whale() <= before, "something new started on Whale at 0 %"

    big.advance(3600 + 5 * 900 + 1)
    big.work()
    assert (big.on_cre(), big.on_whale()) == (set(), set())
    told = sum((account.told for account in accounts), Counter())
    assert {code for _, code in told} <= {
        *(Code.OK, Code.ALREADY_RUNNING, Code.EXTENSION_LIMIT),
        *SERVERS_FAULT[:1],
    }, told
    events = len([e for e in big.events() if e.action is not Action.EXPIRED])
    assert events == sum(told.values()), "one call, one event"
    other.close()
