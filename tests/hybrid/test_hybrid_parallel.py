"""Four processes start, extend and stop one player's instance while the dial is flipped.

Both backends are Whales of their own, over HTTP, with a state of their own; what is shared is the
table of routes, once on every kind of database.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random

import pytest
from support.flipping import ALICE, RENEWALS, TIMEOUT, HasNoRoutes, Parts
from support.parallel import Ask, Quiet, Round, assert_adds_up, crew, dealt, draw
from whale.rig import HTTP, fake_whale

from engines.clock import SystemClock
from engines.contract import Code
from engines.hybrid import DialStore, HybridBackend, Position
from engines.hybrid.dial import ALL
from engines.state.database import Database
from fake_whale import FakeWhale
from fake_whale import SystemEpochClock as FakesClock

PROCESSES, THREADS, CALLS = 4, 2, 2
ROUNDS = 4
SEED = 20_261_125


@dataclass
class Scene:
    """The processes, one backend more to ask at quiet points, and what really runs."""

    at_once: Round
    backend: HybridBackend
    whales: tuple[FakeWhale, FakeWhale]
    store: DialStore

    def look(self) -> Quiet:
        services = [s["uuid"] for whale in self.whales for s in whale.state()["services"]]
        return Quiet(services, self.backend.get_instance_status(ALICE.user_id, HTTP))

    def flip(self, over: threading.Event) -> None:
        """Turn the dial to and fro, many times while a start is under way."""
        for percent in cycle((ALL, 0)):
            # It rests in both places; and a writer without a pause would starve others on SQLite.
            if over.wait(0.01):
                return
            self.turn(percent)

    def turn(self, percent: int) -> None:
        self.store.change("x", "set", "", lambda dial: replace(dial, position=Position(percent)))

    def play(self, asks: list[Ask]) -> list[Quiet]:
        """All calls at once while the dial is flipped; the quiet points before and after."""
        before, over = self.look(), threading.Event()
        flipping = threading.Thread(target=self.flip, args=(over,))
        flipping.start()
        try:
            answers = self.at_once(dealt(asks, PROCESSES))
        finally:
            over.set()
            flipping.join()
        after = self.look()
        assert len(after.running) <= 1, f"{len(after.running)} containers for one player"
        shown = [after.shown["container_id"]] if after.shown else []
        assert after.running == shown, "what runs is not what the player is shown"
        assert_adds_up(before, answers, after)
        self.seen.update((answer.ask.kind, answer.code) for answer in answers)
        return [before, after]

    def __post_init__(self) -> None:
        self.seen: Counter[tuple[str, Code]] = Counter()


@contextmanager
def scene(database: Database, folder: Path, kind: type[HybridBackend]) -> Iterator[Scene]:
    with ExitStack() as stack:
        whales = [
            stack.enter_context(
                fake_whale([ALICE], FakesClock(), timeout=TIMEOUT, renewals=RENEWALS)
            )
            for _ in range(2)
        ]
        one, two = (stack.enter_context(whale.serve()).url for whale in whales)
        url = database.engine.url.render_as_string(hide_password=False)
        parts = Parts(url, (one, two), folder, kind)
        backend = stack.enter_context(parts.opened())
        at_once = stack.enter_context(crew(partial(parts.opened), PROCESSES, THREADS))
        store = DialStore(database, SystemClock())
        yield Scene(at_once, backend, (whales[0], whales[1]), store)


def test_one_key_never_lives_on_both(any_database: Database, tmp_path: Path) -> None:
    random = Random(SEED)  # noqa: S311 - repeatable on purpose
    start, stop = Ask("start", ALICE, HTTP), Ask("stop", ALICE, HTTP)
    with scene(any_database, tmp_path, HybridBackend) as made:
        for number in range(ROUNDS):
            made.play([start] * PROCESSES * THREADS)
            asks = [draw(random, [ALICE], [HTTP]) for _ in range(PROCESSES * CALLS)]
            made.play(asks)
            made.play([stop] * PROCESSES)
            assert made.look().running == [], number
    print(dict(made.seen))  # noqa: T201 - for -s
    assert made.seen["start", Code.OK] >= ROUNDS
    assert made.seen["start", Code.BUSY]
    assert made.seen["stop", Code.OK] >= ROUNDS


def test_without_routes_it_would(database: Database, tmp_path: Path) -> None:
    start = Ask("start", ALICE, HTTP)

    def play(made: Scene) -> None:
        for number in range(10 * ROUNDS):
            made.turn(ALL if number % 2 else 0)
            made.play([start] * PROCESSES * THREADS)

    wrong = "containers for one player|what runs is not what the player is shown"
    caught = pytest.raises(AssertionError, match=wrong)
    with scene(database, tmp_path, HasNoRoutes) as made, caught:
        play(made)
