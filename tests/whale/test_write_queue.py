"""One write at a time at Whale: what the queue promises, and what Whale does without it.

The queue itself is tried on every kind of database; the adapter in front of a fake whose frpc keeps
its token in a file, as a real one does.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from support.parallel import Ask, Player, Told, crew, dealt, make
from whale.rig import DIRECT, HTTP, adapter, fake_whale, settings

from engines.clock import Clock, VirtualClock
from engines.contract import Code
from engines.errors import WhaleFault
from engines.settings import Settings
from engines.state.database import Database
from engines.whale import WhaleAPIManager, write_queue
from engines.whale.write_queue import (
    CALL_MARGIN_SECONDS,
    LONGEST_PAUSE_SECONDS,
    PAUSE_SECONDS,
    WAITING_SECONDS,
    WriteQueue,
)
from fake_whale import FakeWhale, SystemEpochClock

CALL_SECONDS = 30.0
FOREVER = 60.0
"""To wait that long is to fail."""
MANY = [Player(f"USER{number}", 100 + number) for number in range(20)]
TIMEOUT, RENEWALS = 3600, 5


def queue(
    database: Database, clock: Clock, *, places: int = 1, wait: float = FOREVER
) -> WriteQueue:
    database.ensure_schema()
    return WriteQueue(database, clock, places=places, wait_seconds=wait, call_seconds=CALL_SECONDS)


def tickets(database: Database) -> list[tuple[int, int | None]]:
    """Id and place of every ticket, the oldest first."""
    table = write_queue.write_queue
    query = sa.select(table.c.id, table.c.place).order_by(table.c.id)
    with database.read() as connection:
        return [(row.id, row.place) for row in connection.execute(query)]


@contextmanager
def holding(held: WriteQueue) -> Iterator[None]:
    with held.place(held.patience()):
        yield


def until(met: Callable[[], bool]) -> None:
    end = time.monotonic() + FOREVER
    while not met():
        assert time.monotonic() < end
        time.sleep(0.002)


class Overtaken(WriteQueue):
    """Another takes the place between this one's look and its turn, once."""

    done = False

    def _look(self, connection: Connection, ticket: int) -> Any:
        seen = super()._look(connection, ticket)
        if not self.done:
            self.done = True
            taken = {"place": seen.place, "until": self._clock.now()}
            connection.execute(write_queue.write_queue.insert().values(taken))
        return seen


def test_who_is_overtaken_waits_on(any_database: Database) -> None:
    any_database.ensure_schema()
    mine = Overtaken(
        any_database, VirtualClock(), places=1, wait_seconds=FOREVER, call_seconds=CALL_SECONDS
    )
    with holding(mine):
        assert [place for _, place in tickets(any_database)] == [0]
    assert (mine.done, tickets(any_database)) == (True, [])


@pytest.mark.parametrize("places", [1, 3])
def test_no_more_than_so_many_hold_a_place(any_database: Database, places: int) -> None:
    inside, most, done = 0, 0, 0
    lock = threading.Lock()

    def write(shared: WriteQueue) -> None:
        nonlocal inside, most, done
        with holding(shared):
            with lock:
                inside += 1
                most = max(most, inside)
            until(lambda: inside == places or done > 12)  # so that others could come in
            with lock:
                inside -= 1
                done += 1

    processes = [queue(any_database, VirtualClock(), places=places) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, processes * 4))
    assert (most, done) == (places, 16)
    assert tickets(any_database) == []


def test_whoever_came_first_is_first(any_database: Database) -> None:
    order: list[int] = []

    def write(number: int) -> None:
        with holding(queue(any_database, VirtualClock())):
            order.append(number)

    def queued(number: int) -> bool:
        return len(tickets(any_database)) == number

    with ThreadPoolExecutor(5) as pool, holding(queue(any_database, VirtualClock())):
        for number in range(5):
            pool.submit(write, number)
            until(partial(queued, number + 2))
        assert order == []
    until(lambda: len(order) == 5)
    assert order == [0, 1, 2, 3, 4]


def test_one_who_waits_too_long_is_told_when_to_come_again(any_database: Database) -> None:
    clock = VirtualClock()
    with holding(queue(any_database, clock)):
        with pytest.raises(WhaleFault) as refused, holding(queue(any_database, clock, wait=0.05)):
            raise AssertionError("two are in")
        assert len(tickets(any_database)) == 1  # the one that waited has left none
    assert refused.value.code is Code.BUSY
    assert refused.value.definite
    assert refused.value.retry_after
    with holding(queue(any_database, clock, wait=0.05)):
        pass


@pytest.mark.parametrize(
    ("before", "pause"),
    [(1, PAUSE_SECONDS), (3, 3 * PAUSE_SECONDS), (50, LONGEST_PAUSE_SECONDS)],
)
def test_one_pauses_as_long_as_those_before_it_take(
    database: Database, monkeypatch: pytest.MonkeyPatch, before: int, pause: float
) -> None:
    shared = queue(database, VirtualClock())
    for _ in range(before):
        shared._step(None)
    pauses: list[float] = []

    def noted(seconds: float) -> None:
        pauses.append(seconds)
        raise InterruptedError

    monkeypatch.setattr("engines.whale.write_queue.time.sleep", noted)
    with pytest.raises(InterruptedError), holding(shared):
        raise AssertionError("others come first")
    assert pauses == [pytest.approx(pause)]


def test_the_place_of_a_dead_process_is_free_after_its_calls_deadline(
    any_database: Database,
) -> None:
    clock = VirtualClock()
    queue(any_database, clock)._step(None)  # and never given up
    clock.advance(CALL_SECONDS + CALL_MARGIN_SECONDS - 1)
    with pytest.raises(WhaleFault), holding(queue(any_database, clock, wait=0.05)):
        raise AssertionError("the dead one's call may still be at Whale")
    clock.advance(1)
    with holding(queue(any_database, clock)):
        assert len(tickets(any_database)) == 1  # the dead one's is swept


def test_a_dead_process_that_waited_holds_nobody_up_for_long(any_database: Database) -> None:
    clock = VirtualClock()
    with holding(queue(any_database, clock)):
        queue(any_database, clock)._step(None)  # waits, and dies
    clock.advance(WAITING_SECONDS)
    with holding(queue(any_database, clock)):
        pass


def test_a_clock_that_was_set_back_frees_the_places_of_the_dead(any_database: Database) -> None:
    clock = VirtualClock()
    queue(any_database, clock)._step(None)
    clock.advance(-86_400)
    with holding(queue(any_database, clock)):
        pass


def test_one_that_stood_still_until_its_ticket_lapsed_draws_another(
    any_database: Database,
) -> None:
    clock = VirtualClock()
    with ThreadPoolExecutor(1) as pool:
        with holding(queue(any_database, clock)):
            waiting = pool.submit(lambda: holding(queue(any_database, clock)).__enter__())
            until(lambda: len(tickets(any_database)) == 2)
            first = tickets(any_database)[-1][0]
            with any_database.write() as connection:
                table = write_queue.write_queue
                connection.execute(table.delete().where(table.c.id == first))
            until(lambda: tickets(any_database)[-1][0] > first)
        waiting.result(timeout=FOREVER)


def test_no_transaction_is_open_while_one_waits_or_holds(database: Database) -> None:
    clock = VirtualClock()
    with holding(queue(database, clock)), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: holding(queue(database, clock, wait=0.3)).__enter__())
        until(lambda: len(tickets(database)) == 2)
        written = 0
        while not waiting.done():
            with database.write():  # SQLite lets one writer in at a time
                written += 1
    assert written
    assert isinstance(waiting.exception(), WhaleFault)


def test_any_number_may_write_where_that_is_set(database: Database) -> None:
    unlimited = queue(database, VirtualClock(), places=0)
    with holding(unlimited), holding(unlimited):
        assert tickets(database) == []


# In front of Whale.


@contextmanager
def site(folder: Path, *, places: int = 100) -> Iterator[tuple[FakeWhale, Settings]]:
    """A Whale whose frpc is a real one's like, and the settings of adapters in front of it."""
    fake = fake_whale(
        MANY, SystemEpochClock(), timeout=TIMEOUT, renewals=RENEWALS, places=places, frpc_file=True
    )
    with fake, fake.serve() as server:
        shared = settings(server.url, folder / "state.db", timeout=TIMEOUT, renewals=RENEWALS)
        yield fake, shared


Calls = Callable[[Sequence[Ask]], list[Told]]
"""Makes all calls at one moment."""


@contextmanager
def threads(shared: Settings) -> Iterator[Calls]:
    """Twenty threads of four adapters, each with its own connections to the database."""
    gate = threading.Barrier(len(MANY))

    def one(manager: WhaleAPIManager, ask: Ask) -> Told:
        gate.wait()
        return make(manager, ask)

    with ExitStack() as stack:
        managers = [stack.enter_context(adapter(shared, MANY)) for _ in range(4)]
        pool = stack.enter_context(ThreadPoolExecutor(len(MANY)))
        yield lambda asks: list(pool.map(one, managers * 5, asks))


@contextmanager
def processes(shared: Settings) -> Iterator[Calls]:
    """Two processes of ten threads."""
    with crew(partial(adapter, shared, MANY), 2, threads=10) as make_all:
        yield lambda asks: make_all(dealt(asks, 2))


def hurt_nothing(at_once: Calls, fake: FakeWhale, places: int) -> None:
    """All start, then all stop; Whale and its frpc must be as if they had come one by one."""
    starts = [Ask("start", each, (HTTP, DIRECT)[each.user_id % 2]) for each in MANY]
    codes = Counter(each.code for each in at_once(starts))
    full = Counter({Code.OK: places, Code.CAPACITY: len(MANY) - places})
    assert codes == +full
    state = fake.state()
    users = [service["user_id"] for service in state["services"]]
    assert len(set(users)) == len(users) == places
    assert sorted(rule["to"] for rule in state["rules"]) == sorted(
        service["whale_id"] for service in state["services"]
    )
    assert state["frpc"] == {"connected": True, "token": True, "refused_reloads": 0}
    stops = [replace(start, kind="stop") for start in starts]
    gone = Counter(each.code for each in at_once(stops))
    assert gone == +Counter({Code.OK: places, Code.NOT_FOUND: len(MANY) - places})
    fake.inject({"kind": "frpc_restarted"})
    state = fake.state()
    assert (state["services"], state["records"], state["rules"]) == ([], [], [])
    assert state["frpc"] == {"connected": True, "token": True, "refused_reloads": 0}


@pytest.mark.parametrize(("way", "places"), [(threads, 20), (threads, 5), (processes, 20)])
def test_twenty_at_once_hurt_nothing(
    way: Callable[[Settings], AbstractContextManager[Calls]], places: int, tmp_path: Path
) -> None:
    with site(tmp_path, places=places) as (fake, shared), way(shared) as at_once:
        hurt_nothing(at_once, fake, places)


@pytest.mark.parametrize("places", [20, 5])
def test_any_number_of_writes_at_once_is_caught(places: int, tmp_path: Path) -> None:
    with site(tmp_path, places=places) as (fake, shared):
        unlimited = replace(shared, whale_parallel_writes=0)
        with threads(unlimited) as at_once, pytest.raises(AssertionError):
            hurt_nothing(at_once, fake, places)
