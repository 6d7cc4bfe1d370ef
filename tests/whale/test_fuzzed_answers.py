"""Whatever Whale answers, only the contract comes out of the adapter, and no row is left behind.

20 000 answers of chance (:mod:`fake_whale.fuzz`) reach the adapter by sockets of this process; the
scenario of FAULT-018 sends some hundred more over TCP. An example that fails names its seed.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from support.parallel import Player
from whale.rig import HTTP, HTTP_TOO, FakesClock, credentials, fake_whale, settings
from whale.test_readiness import listening

from conformance.spec.shape import check_action, check_start, check_status
from engines import deadline
from engines.contract import Code
from engines.errors import BackendUnavailable, WhaleFault
from engines.probe import ProbedPage, fetch_page
from engines.whale import WhaleAPIManager
from engines.whale import client as whale_client
from engines.whale.api import WhaleAPI
from engines.whale.client import WhaleClient
from engines.whale.dialects import dialect_named
from engines.whale.login import Login, TokenMaker
from engines.whale.wire import Another, Nothing, RunningContainer
from fake_whale import FakeWhale, VirtualEpochClock
from fake_whale.fuzz import PAUSE_SECONDS, End, FuzzedAnswer, fuzzed

CALL_SECONDS = 0.05
"""A deadline that answers which never end are soon cut off by."""
SETTLE_SECONDS = 130.0
"""More than Whale may be at work on a lost request (``WHALE_SETTLE_SECONDS``)."""
API, ADAPTER, LOGIN = (25, 170), (12, 150), (10, 40)
"""Examples of a test, and how many answers each has at least."""
PARTS = 4
"""Tests that the adapter's examples are dealt out to, so that none is long."""
assert 3 * API[0] * API[1] + PARTS * ADAPTER[0] * ADAPTER[1] + LOGIN[0] * LOGIN[1] >= 20_000
WAITING = {Code.UNAVAILABLE, Code.BUSY, Code.RATE_LIMITED}
PLAYERS = [Player("alice", 2), Player("bob", 3)]
SEEDS = st.integers(0, 2**64)


def many(number: int) -> Callable[[Any], Any]:
    """So many examples of a test, however long one takes."""
    return examples(
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads are tried again at once, and what is odd is not logged a thousand times."""
    monkeypatch.setattr(whale_client, "BACK_OFF_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger("engines"), "disabled", True)
    for name in ("client", "ledger", "api"):
        monkeypatch.setattr(logging.getLogger(f"engines.whale.{name}"), "disabled", True)


def send(answer: FuzzedAnswer, peer: socket.socket) -> None:
    """To the end; the other side may have hung up long before."""
    with suppress(OSError):
        for number, piece in enumerate(answer.pieces):
            if number:
                time.sleep(PAUSE_SECONDS)
            peer.sendall(piece)
    if answer.end is not End.OPEN:
        peer.close()


@contextmanager
def answered_by_chance(client: WhaleClient, random: Random) -> Iterator[Callable[[], int]]:
    """Every request of this client, inside the block, is answered by chance; gives what tells how
    many were."""
    held: deque[socket.socket] = deque()
    threads: list[threading.Thread] = []

    class ByChance(deadline.BoundedConnection):
        def _new_conn(self) -> socket.socket:
            ours, peer = socket.socketpair()
            ours.settimeout(self.timeout)
            answer = fuzzed(random)
            held.append(peer)
            if len(answer.pieces) == 1 and len(answer.pieces[0]) < 50_000:  # fits the buffer
                send(answer, peer)
            else:
                threads.append(threading.Thread(target=send, args=(answer, peer), daemon=True))
                threads[-1].start()
            return ours

    class Pool(deadline._HTTPPool):
        ConnectionCls = ByChance

    manager: Any = client._adapter.poolmanager
    before = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {"http": Pool, "https": Pool}
    manager.clear()
    try:
        yield lambda: len(held)
    finally:
        manager.pool_classes_by_scheme = before
        manager.clear()
        for thread in threads:
            thread.join()
        for peer in held:
            peer.close()


@pytest.mark.parametrize("name", ["ctfd-whale", "documented", "legacy"])
@many(API[0])
@given(seed=SEEDS)
def test_an_answer_is_understood_or_is_a_fault(name: str, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    client = WhaleClient("http://whale.example.org", call_seconds=CALL_SECONDS)
    api = WhaleAPI(client, dialect_named(name), credentials(PLAYERS))
    with answered_by_chance(client, random) as sent:
        while sent() < API[1]:
            ask = random.choice((api.look, api.look, api.create, api.renew, api.destroy))
            with suppress(WhaleFault):
                assert isinstance(ask(2, 7), (RunningContainer, Nothing, Another, type(None)))
    client.close()


class Site:
    """A sane Whale, and the adapter of a process with little patience before it."""

    def __init__(self, folder: Path) -> None:
        self.fake: FakeWhale = fake_whale(PLAYERS, VirtualEpochClock(), timeout=3600, renewals=5)
        self.server = self.fake.serve()
        shared = settings(self.server.url, folder / "state.db", timeout=3600, renewals=5)
        self.patient = self._adapter(shared)
        self.hasty = self._adapter(replace(shared, whale_call_seconds=CALL_SECONDS))

    def _adapter(self, shared: Any) -> WhaleAPIManager:
        clock = FakesClock(self.fake)
        return WhaleAPIManager(shared, credentials=credentials(PLAYERS), clock=clock)

    def rows(self) -> list[Any]:
        return self.patient._store.all()

    def services(self) -> list[Any]:
        return list(self.fake.state()["services"])

    def close(self) -> None:
        self.hasty.close()
        self.patient.close()
        self.server.close()
        self.fake.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("fuzzed"))
    yield made
    made.close()


def call(site: Site, random: Random) -> None:
    """One call of the contract, or what the worker does, or some time that goes by."""
    adapter = site.hasty
    user, challenge = random.choice(PLAYERS).user_id, random.choice((HTTP, HTTP, HTTP_TOO))
    match random.randrange(7):
        case 0 | 1:
            check_start(adapter.start_instance(user, challenge))
        case 2:
            check_action(adapter.extend_instance(user, challenge))
        case 3:
            check_action(adapter.stop_instance(user, challenge))
        case 4:
            with suppress(BackendUnavailable):
                status = adapter.get_instance_status(user, challenge)
                if status is not None:
                    check_status(status)
        case 5:
            site.fake.clock.advance(random.choice((5, 60, SETTLE_SECONDS, 4000)))
        case _:
            adapter.cleanup_worker.run_once()


@pytest.mark.parametrize("part", range(PARTS))
@many(ADAPTER[0])
@given(seed=SEEDS)
def test_nothing_is_left_of_what_made_no_sense(site: Site, part: int, seed: int) -> None:
    random = Random(f"{part} {seed}")  # noqa: S311 - repeatable on purpose
    with answered_by_chance(site.hasty._api._client, random) as sent:
        while sent() < ADAPTER[1]:
            call(site, random)
    for player in PLAYERS:
        again = site.patient.start_instance(player.user_id, HTTP)
        check_start(again)
        if not again.ok:  # what was lost may still come, and the answer says when to ask
            assert again.code in WAITING
            assert again.retry_after
            site.fake.clock.advance(SETTLE_SECONDS)
            again = site.patient.start_instance(player.user_id, HTTP)
        assert again.ok, again.message
        assert site.patient.stop_instance(player.user_id, HTTP).ok
    assert site.rows() == []
    assert site.services() == []


@many(LOGIN[0])
@given(seed=SEEDS)
def test_a_login_ends_in_a_token_or_in_a_fault(seed: int) -> None:
    client = WhaleClient("http://whale.example.org", call_seconds=CALL_SECONDS)
    maker = TokenMaker(client, lambda: date(2026, 11, 30))
    with answered_by_chance(client, Random(seed)) as sent:  # noqa: S311 - as above
        while sent() < LOGIN[1]:
            with suppress(WhaleFault):
                maker.make(Login(2, "alice", "secret"))
            with suppress(WhaleFault):
                token = maker._token({"Cookie": "session=x"})
                assert re.fullmatch("[!-~]+", token), "it goes into a header as it is"
    client.close()


def test_a_page_is_one_or_none() -> None:
    """The probes, over TCP."""
    random = Random(7)  # noqa: S311 - as above

    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        send(replace(fuzzed(random), end=End.CLOSED), connection)

    with listening(serve) as port:
        for _ in range(200):
            page = fetch_page(f"http://127.0.0.1:{port}/", timeout=2.0)
            assert page is None or isinstance(page, ProbedPage)
