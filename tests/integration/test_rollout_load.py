"""A whole rollout under load: dial 0 → 1 → 10 → 100 → 0 %, with Whale failing in the middle.

Fifty accounts play two hundred challenges over HTTP, on two processes' endpoints: on simulated
containers, and on real Docker with fewer calls. Each account makes one call after the other, so
that it knows what it has: nothing of that may be lost, or be there twice, at any quiet point. What
really runs is asked of Docker and of the fake Whale themselves.

What a player may be answered is written down in :func:`allowed`, exactly, and none of it is a
number from 500 on: what lives on a Whale that cannot be reached is shown as last known and is out
of reach, as is the one call that was under way when it broke off; every other start goes on.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import count
from random import Random

import pytest
from hybrid.stage import Ground, Site, served, simulated, site
from support.web_site import Reply, site_app, site_of
from support.web_site import Site as Endpoints

from engines.audit import Action, ContainerEvent
from engines.cre.runtimes.base import LABEL_DEPLOYMENT
from engines.cre.runtimes.docker import DockerRuntime
from engines.hybrid import Position
from engines.hybrid.routing import bucket
from engines.state.database import Database
from engines.web import Caller
from fake_whale import FakeWhale

CHALLENGES, ACCOUNTS, THREADS = 200, 50, 8
CALLS = {"memory": 4, "docker": 2}
"""Calls of an account between two quiet points: a few containers a second are all Docker makes."""
SEED = 20_261_125
FIRST_USER = 101
TOKENS = {user: f"ctfd_{user:064x}" for user in range(FIRST_USER, FIRST_USER + ACCOUNTS)}
SETTLE_SECONDS = 121
"""Until Whale cannot be at work any more on what was lost (WHALE_SETTLE_SECONDS)."""
WAIT_SECONDS = 60
CALLED = {
    **dict.fromkeys([Action.STARTED, Action.START_REPEATED, Action.START_FAILED], "start"),
    **dict.fromkeys([Action.EXTENDED, Action.EXTEND_FAILED], "extend"),
    **dict.fromkeys([Action.STOPPED, Action.STOP_FAILED], "stop"),
}
"""Which call leaves which event."""
REASONS = re.compile(
    r"whale answered unavailable|whale was not asked: it failed \d+ times in a row"
)


class Whale(Enum):
    """How it is, at the moment of a call."""

    UP = auto()
    BREAKING = auto()
    DOWN = auto()


class Weather:
    """Whether Whale can be reached."""

    def __init__(self, fake: FakeWhale) -> None:
        self._fake = fake
        self.now = Whale.UP

    def worsen(self) -> None:
        self.now = Whale.BREAKING
        self._fake.inject({"kind": "refuse", "seconds": 3600.0})
        self.now = Whale.DOWN

    def clear(self) -> None:
        self._fake.lift_faults()
        self.now = Whale.UP


Told = tuple[int, str]
"""HTTP's status and our code."""
LAST_KNOWN: Told = (200, "last_known")
OUT_OF_REACH: Told = (409, "out_of_reach")
AS_EVER: dict[str, set[Told]] = {
    "start": {(201, "ok")},
    "again": {(200, "already_running")},
    "other": {(409, "limit_reached")},
    "extend": {(200, "ok"), (409, "extension_limit")},
    "stop": {(200, "ok")},
    "status": {(200, "ok")},
}


def allowed(kind: str, owner: str | None, before: Whale, after: Whale) -> set[Told]:
    """What a player may be told, by where the instance lives and how Whale was meanwhile."""
    if owner == "cre" or (before is after is Whale.UP):
        return AS_EVER[kind]
    without_whale = {
        "other": AS_EVER["other"],  # for what is out of reach stands in the way
        "status": {LAST_KNOWN},
    }.get(kind, {OUT_OF_REACH})
    if before is after is Whale.DOWN:
        return without_whale if owner == "whale" else AS_EVER[kind]
    return AS_EVER[kind] | without_whale


@dataclass
class Account:
    """A player who remembers."""

    user: int
    pages: tuple[Endpoints, Endpoints]
    """Where the account plays, and where it looks at quiet points: another process."""
    weather: Weather
    random: Random
    challenge: int | None = None
    container: str | None = None
    owner: str | None = None
    unsure: bool = False
    """A start or stop was under way when Whale broke off: waits until that is over."""
    told: Counter[tuple[str, Told]] = field(default_factory=Counter)
    given: list[tuple[str, str]] = field(default_factory=list)
    """Backend and container of every fresh start."""

    def call(self) -> None:
        if self.unsure:
            assert self.challenge
            reply = self.send(self.pages[0], "status", self.challenge)
            told = (reply.status, reply.body["code"])
            self.told["status", told] += 1
            assert told in (LAST_KNOWN, OUT_OF_REACH)
            return
        if self.challenge is None:
            self.ask("start", self.random.randint(1, CHALLENGES))
            return
        kind = self.random.choice(["again", "other", "extend", "stop", "stop", "status"])
        elsewhere = self.challenge % CHALLENGES + 1
        self.ask(kind, elsewhere if kind == "other" else self.challenge)

    def ask(self, kind: str, challenge: int) -> None:
        before = self.weather.now
        reply = self.send(self.pages[0], kind, challenge)
        after = self.weather.now
        told = (reply.status, reply.body["code"])
        self.told[kind, told] += 1
        may = allowed(kind, self.owner, before, after)
        assert told in may, f"{kind} of one on {self.owner}, Whale {before}, {after}: {told}"
        cut_off = told in (LAST_KNOWN, OUT_OF_REACH)
        assert not cut_off or reply.body["retry_after"], "when to come back"
        if told == OUT_OF_REACH and before is not after and kind in ("start", "stop"):
            self.challenge, self.unsure = challenge, True
        elif kind == "start":
            self.remember(reply)
            assert self.owner
            assert self.container
            self.given.append((self.owner, self.container))
        elif kind == "stop" and reply.status == 200:
            self.challenge = self.container = self.owner = None
        elif reply.body["data"] is not None:
            assert reply.body["data"]["container_id"] == self.container, "a live one was replaced"

    def send(self, page: Endpoints, kind: str, challenge: int) -> Reply:
        if kind == "status":
            return page.get(str(self.user), f"status?challenge_id={challenge}")
        path = "start" if kind in ("again", "other") else kind
        return page.post(str(self.user), path, {"challenge_id": challenge})

    def remember(self, reply: Reply) -> None:
        live = reply.body["data"]
        self.challenge = live and live["challenge_id"]
        self.container = live and live["container_id"]
        self.owner = live and live["backend"]

    def look(self) -> None:
        """At a quiet point every answer is certain."""
        if self.challenge is None:
            return
        reply = self.send(self.pages[1], "status", self.challenge)
        assert reply.status == 200
        if self.unsure:
            self.unsure = False
            self.remember(reply)
        else:
            assert reply.body["data"], "a live instance was lost"
            assert reply.body["data"]["container_id"] == self.container


@dataclass
class Rollout:
    """The accounts at play on one site."""

    site: Site
    accounts: list[Account]
    weather: Weather
    calls: int

    def phase(
        self, percent: int, at_half: Callable[[], None] | None = None
    ) -> list[ContainerEvent]:
        """Everybody plays at this dial; returns the starts of it, by the audit log.

        Args:
            at_half: done while calls are under way, when half of them were made.
        """
        if self.site.dial().position.percent != percent * 100:
            self.site.turn(Position(percent * 100))
        mark = max((event.id or 0 for event in self.site.events()), default=0)
        calls = self.calls if mark else 1  # first of all everybody starts something
        made, half = count(1), threading.Event()

        def play(account: Account) -> None:
            for _ in range(calls):
                account.call()
                if next(made) == ACCOUNTS * calls // 2:
                    half.set()

        with ThreadPoolExecutor(THREADS) as pool:
            playing = [pool.submit(play, account) for account in self.accounts]
            if at_half is not None:
                assert half.wait(WAIT_SECONDS)
                at_half()
        for each in playing:
            each.result()
        starts = [e for e in self.site.events(Action.STARTED) if (e.id or 0) > mark]
        for event in starts:
            assert_went_where_the_dial_says(event, percent)
        return starts

    def quiet(self) -> None:
        """What runs is what the accounts have, each where it says, once."""
        for account in self.accounts:
            account.look()
        for key, running in (("cre", self.site.on_cre()), ("whale", self.site.on_whale())):
            held = [account.container for account in self.accounts if account.owner == key]
            assert len(held) == len(set(held)), f"{key}: two accounts have one container"
            lost, more = set(held) - running, running - set(held)
            assert not lost, f"{key}: lost {lost}"
            assert not more, f"{key}: beyond {more}"

    def given(self) -> Counter[tuple[str, str]]:
        return Counter(each for account in self.accounts for each in account.given)

    def told(self) -> Counter[tuple[str, Told]]:
        return sum((account.told for account in self.accounts), Counter())


def answered_calls(told: Counter[tuple[str, Told]]) -> Counter[tuple[str, str]]:
    """Calls that leave an event, by what was called and the code of the answer."""
    named = {"again": "start", "other": "start"}
    calls: Counter[tuple[str, str]] = Counter()
    for (kind, (_, code)), number in told.items():
        if kind != "status":
            logged_as = "unavailable" if code == OUT_OF_REACH[1] else code
            calls[named.get(kind, kind), logged_as] += number
    return calls


def logged(events: list[ContainerEvent]) -> Counter[tuple[str, str]]:
    """The same of the audit log."""
    told: Counter[tuple[str, str]] = Counter()
    for event in events:
        told[CALLED[event.action], event.code] += event.times
    return told


def assert_went_where_the_dial_says(event: ContainerEvent, percent: int) -> None:
    chosen = "whale" if bucket("challenge", str(event.challenge_id)) < percent * 100 else "cre"
    if event.metadata["routed_by"] == "fallback":
        assert (chosen, event.backend) == ("whale", "cre")
        assert REASONS.fullmatch(event.metadata["routed_because"])
    else:
        assert event.backend == chosen
        assert event.metadata["routed_by"] == "percentage"


@pytest.fixture(params=["memory", "docker"])
def ground(request: pytest.FixtureRequest) -> Ground:
    if request.param == "memory":
        return simulated()
    client = request.getfixturevalue("docker_client")
    image, deployment = map(request.getfixturevalue, ("image", "deployment"))
    label = {"label": f"{LABEL_DEPLOYMENT}={deployment}"}

    def containers() -> set[str]:
        return {row["Id"] for row in client.api.containers(all=True, filters=label)}

    return Ground(DockerRuntime(client), image, deployment, containers)


@pytest.fixture
def rollout(
    database: Database, ground: Ground, request: pytest.FixtureRequest
) -> Iterator[Rollout]:
    settings = {"rollout_step_back": False, "rollout_breaker_failures": 2}
    callers = {str(user): Caller(user) for user in TOKENS}
    with ExitStack() as stack:
        fake, server = stack.enter_context(served(TOKENS, CHALLENGES))
        here = stack.enter_context(
            site(
                *(fake, server.url, database),
                tokens=TOKENS,
                challenges=CHALLENGES,
                ground=ground,
                **settings,
            )
        )
        other = here.process()
        stack.callback(other.close)
        one, two = (
            stack.enter_context(site_of(site_app(lambda it=it: it, callers=callers)))
            for it in (here.hybrid, other)
        )
        weather = Weather(fake)
        accounts = [
            Account(user, (one, two) if user % 2 else (two, one), weather, Random(SEED + user))  # noqa: S311 - repeatable
            for user in TOKENS
        ]
        yield Rollout(here, accounts, weather, CALLS[request.node.callspec.params["ground"]])


def test_a_rollout_under_load_loses_and_doubles_nothing(rollout: Rollout) -> None:
    here = rollout.site
    for percent in (0, 1, 10, 100):
        rollout.phase(percent)
        rollout.quiet()
        assert percent or not here.on_whale()
    assert len(here.on_whale()) > ACCOUNTS // 4

    before = rollout.given()
    starts = rollout.phase(100, at_half=rollout.weather.worsen)
    rollout.weather.clear()
    here.advance(SETTLE_SECONDS)
    here.work()
    rollout.quiet()
    fallen = [event for event in starts if event.metadata["routed_by"] == "fallback"]
    seen = rollout.given() - before
    assert fallen, "nobody fell back"
    assert Counter(backend for backend, _ in seen)["cre"] == len(fallen)
    assert {("cre", event.metadata["container_id"]) for event in fallen} <= set(seen)
    reasons = Counter(event.metadata["routed_because"] for event in fallen)
    print(f"fallback rate {len(fallen)}/{len(starts)}: {dict(reasons)}")  # noqa: T201 - for -s

    starts = rollout.phase(100)
    rollout.quiet()
    assert any(event.backend == "whale" for event in starts), "Whale is back"
    # While the breaker tries it with one start, the others are not waiting.
    answered = [e for e in starts if "answered" in e.metadata["routed_because"]]
    assert not answered
    rollout.phase(0)
    rollout.quiet()

    here.advance(3600 + 5 * 900 + 1)
    here.work()
    assert (here.on_cre(), here.on_whale()) == (set(), set())
    told = rollout.told()
    print(dict(told))  # noqa: T201 - for -s
    assert {kind for kind, answer in told if answer == OUT_OF_REACH} > {"extend", "stop"}
    assert told["status", LAST_KNOWN]
    assert not [answer for answer in told if answer[1][0] >= 500], "a player saw a failure"
    assert not here.events(Action.LOST, Action.ADOPTED)
    assert logged(here.events(*CALLED)) == answered_calls(told), "one call, one event"
