"""Many calls at once for one account, on a Whale that keeps none of them apart.

The fake stands at MariaDB's default isolation, where two POSTs of a user at once both succeed.
After each round of calls there is a quiet point: what runs, what Whale has on record and what the
adapter says must be one and the same, and the round's answers must add up to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any

import pytest
from support.parallel import Ask, Player, Quiet, Told, assert_adds_up, crew, draw, make
from whale.rig import DIRECT, HTTP, FakesClock, adapter, credentials, fake_whale, settings

from engines import replies
from engines.contract import Code, InstanceStatus, StartResult
from engines.front import Call
from engines.state.instances import Instance
from engines.whale import WhaleAPIManager
from fake_whale import FakeServer, FakeWhale, SystemEpochClock, VirtualEpochClock
from fake_whale.whale.clock import EpochClock
from fake_whale.whale.engine import ServiceOrder

ALICE = Player("ALICE", 11)
MATES = (Player("MATE", 21, 2), Player("OTHER_MATE", 22, 2))
ACCOUNTS = {"user": (ALICE,), "team": MATES}
CHALLENGES = (HTTP, DIRECT)
THREADS, PROCESSES = 32, 4
CALLS_EACH = 2
"""Calls a process makes in a round, one after the other; a thread makes one."""
ROUNDS = {"user": 250, "team": 50}
TIMEOUT, RENEWALS = 86_400, 100
SEED = 20_261_124


@dataclass
class Scene:
    """A fake, an adapter to ask at quiet points, and the tally of what was answered."""

    fake: FakeWhale
    manager: WhaleAPIManager
    players: Sequence[Player]
    created: set[str] = field(default_factory=set)
    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    rounds: int = 0

    def look(self) -> Quiet:
        """The quiet point: fake, records and adapter agree."""
        state = self.fake.state()
        services = [service["uuid"] for service in state["services"]]
        assert len(services) <= 1, f"{len(services)} services run for one account"
        assert not any(service["orphan"] for service in state["services"])
        assert [record["uuid"] for record in state["records"]] == services
        found = []
        for player in self.players:
            statuses = (self._status(player, challenge) for challenge in CHALLENGES)
            found.append([status for status in statuses if status is not None])
        assert all(each == found[0] for each in found), "mates are shown different instances"
        assert [status["container_id"] for status in found[0]] == services
        for service, status in zip(state["services"], found[0], strict=True):
            assert status["challenge_id"] == service["challenge_id"]
        return Quiet(services, found[0][0] if found[0] else None)

    def play(self, count: int, seed: int, at_once: Callable[[Random], list[Told]]) -> None:
        """Rounds of calls, each with its quiet point."""
        print(f"seed {seed}, {count} rounds")  # noqa: T201 - shown when the test fails
        random = Random(seed)  # noqa: S311 - repeatable on purpose
        before = self.look()
        for number in range(count):
            told = at_once(random)
            try:
                after = self.look()
                self._adds_up(before, told, after)
            except AssertionError as error:
                error.add_note(f"round {number} of seed {seed}: {told}")
                raise
            before = after
            self.rounds += 1
            self.answers.update((each.ask.kind, each.code.value) for each in told)

    def _adds_up(self, before: Quiet, told: list[Told], after: Quiet) -> None:
        for each in told:
            assert each.container is None or each.container in self.created, f"{each} never existed"
        assert_adds_up(before, told, after)

    def _status(self, player: Player, challenge: int) -> InstanceStatus | None:
        return self.manager.get_instance_status(player.user_id, challenge, player.team_id)


@contextmanager
def scene(
    players: Sequence[Player],
    folder: Path,
    clock: EpochClock,
    manager: type[WhaleAPIManager] = WhaleAPIManager,
    writes: int = 1,
) -> Iterator[tuple[Scene, FakeServer]]:
    """A fake Whale that notes every container it makes, and an adapter in front of it that has so
    many writes at Whale at once."""
    fake = fake_whale(players, clock, timeout=TIMEOUT, renewals=RENEWALS)
    with ExitStack() as stack:
        stack.enter_context(fake)
        server = stack.enter_context(fake.serve())
        shared = settings(server.url, folder / "state.db", timeout=TIMEOUT, renewals=RENEWALS)
        adapter = manager(
            replace(shared, whale_parallel_writes=writes),
            credentials=credentials(players),
            clock=FakesClock(fake),
        )
        stack.callback(adapter.close)
        made = Scene(fake, adapter, players)
        engine: Any = fake.machine.engine
        create = engine.create

        def noting(order: ServiceOrder) -> None:
            made.created.add(order.uuid)
            create(order)

        engine.create = noting
        yield made, server


@contextmanager
def thread_rounds(scene: Scene, threads: int) -> Iterator[Callable[[Random], list[Told]]]:
    """One call of each thread, sent together."""
    gate = Barrier(threads)

    def one(ask: Ask) -> Told:
        gate.wait()
        return make(scene.manager, ask)

    with ThreadPoolExecutor(threads) as pool:
        yield lambda random: list(
            pool.map(one, [draw(random, scene.players, CHALLENGES) for _ in range(threads)])
        )


@contextmanager
def process_rounds(
    scene: Scene, server: FakeServer, state: Path
) -> Iterator[Callable[[Random], list[Told]]]:
    """The calls of each process, begun together."""
    shared = settings(server.url, state, timeout=TIMEOUT, renewals=RENEWALS)
    with crew(partial(adapter, shared, scene.players), PROCESSES) as make_all:
        yield lambda random: make_all(
            [
                [draw(random, scene.players, CHALLENGES) for _ in range(CALLS_EACH)]
                for _ in range(PROCESSES)
            ]
        )


def assert_eventful(scene: Scene, rounds: int) -> None:
    """All that can happen did happen, in the rounds there should be."""
    print(scene.rounds, "rounds:", dict(sorted(scene.answers.items())))  # noqa: T201 - for -s
    assert scene.rounds == rounds
    for kind, code in [
        ("start", Code.OK),
        ("start", Code.ALREADY_RUNNING),
        ("start", Code.LIMIT_REACHED),
        ("start", Code.BUSY),
        ("stop", Code.OK),
        ("stop", Code.NOT_FOUND),
        ("stop", Code.BUSY),
        ("extend", Code.OK),
        ("extend", Code.NOT_FOUND),
        ("extend", Code.BUSY),
    ]:
        assert scene.answers[kind, code.value], f"{kind} never ended in {code.value}"


@pytest.mark.parametrize("account", ACCOUNTS)
def test_threads_leave_one_container_or_none(account: str, tmp_path: Path) -> None:
    with (
        scene(ACCOUNTS[account], tmp_path, VirtualEpochClock()) as (made, _),
        thread_rounds(made, THREADS) as at_once,
    ):
        made.play(ROUNDS[account], SEED, at_once)
        assert_eventful(made, ROUNDS[account])


@pytest.mark.parametrize("account", ACCOUNTS)
def test_processes_leave_one_container_or_none(account: str, tmp_path: Path) -> None:
    with (
        scene(ACCOUNTS[account], tmp_path, SystemEpochClock()) as (made, server),
        process_rounds(made, server, tmp_path / "state.db") as at_once,
    ):
        made.play(ROUNDS[account], SEED, at_once)
        assert_eventful(made, ROUNDS[account])


class PostsAtOnce(WhaleAPIManager):
    """Starts without a look and without a row of its own."""

    def _start(self, call: Call) -> StartResult:
        self._api.create(call.user_id, call.challenge_id)
        return replies.started(self._status(call) or {})  # type: ignore[arg-type] # the bug


class SavesAlways(WhaleAPIManager):
    """Believes every row to be its own, whoever changed it meanwhile."""

    def __init__(self, *args: Any, **parts: Any) -> None:
        super().__init__(*args, **parts)
        save = self._store.save

        def careless(after: Instance, event: Any = None) -> bool:
            save(after, event)
            return True

        self._store.save = careless  # type: ignore[method-assign] # the bug


@pytest.mark.parametrize(
    ("broken", "account"), [(PostsAtOnce, "user"), (PostsAtOnce, "team"), (SavesAlways, "user")]
)
def test_an_adapter_without_its_guards_is_caught(
    broken: type[WhaleAPIManager], account: str, tmp_path: Path
) -> None:
    # The queue in front of Whale hides that the rows are not kept apart: here it is open.
    with (
        scene(ACCOUNTS[account], tmp_path, VirtualEpochClock(), broken, writes=0) as (made, _),
        thread_rounds(made, 8) as at_once,
        pytest.raises(AssertionError),
    ):
        made.play(50, SEED, at_once)
