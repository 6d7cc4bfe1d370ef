"""The dial in the database: who turned it and why, read by all within seconds, never torn."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import sqlalchemy as sa

from engines.clock import VirtualClock
from engines.hybrid import Dial, DialReader, DialStore, Position
from engines.state.database import Database


def test_a_change_is_written_with_who_and_why(any_database: Database) -> None:
    clock = VirtualClock()
    store = DialStore(any_database, clock)
    assert store.load() == Dial()
    store.change("ann", "set", "the first one", lambda dial: dial.turned(Position(1000)))
    clock.advance(60)
    store.change("bob", "pause", "", lambda dial: replace(dial, paused=True))
    dial = store.load()
    assert (dial.position, dial.paused, dial.version) == (Position(1000), True, 2)
    assert dial.changed_at == clock.now()
    latest, first = store.changes()
    assert (latest.who, latest.action, latest.at) == ("bob", "pause", clock.now())
    assert (latest.before, latest.after) == (first.after, "10 % of challenges; paused")
    assert (first.who, first.why) == ("ann", "the first one")
    assert (first.before, first.after) == ("as USE_WHALE says", "10 % of challenges")


def test_a_turn_that_changes_nothing_writes_nothing(any_database: Database) -> None:
    store = DialStore(any_database, VirtualClock())
    store.change("ann", "set", "", lambda dial: dial.turned(Position(1000)))
    store.change("bob", "set", "", lambda dial: dial.turned(Position(1000)))
    assert len(store.changes()) == 1


def test_turns_at_once_are_all_kept(any_database: Database) -> None:
    store = DialStore(any_database, VirtualClock())
    gate = threading.Barrier(6)

    def flag(number: int) -> None:
        gate.wait()
        store.change(
            "x", "challenge", "", lambda dial: dial.turned(dial.position.flagged(number, True))
        )

    threads = [threading.Thread(target=flag, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(store.load().position.challenges) == dict.fromkeys(range(1, 7), True)
    assert len(store.changes()) == 6


def test_others_see_a_change_within_seconds_and_ask_no_more_often(database: Database) -> None:
    clock = VirtualClock()
    store = DialStore(database, clock)
    reader = DialReader(store, clock, 2.0)
    asked: list[str] = []
    assert reader().position == Position()
    sa.event.listen(database.engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    store.change("ann", "set", "", lambda dial: dial.turned(Position(1000)))
    asked.clear()
    clock.advance(1.9)
    assert [reader().position for _ in range(3)] == [Position()] * 3
    assert asked == []
    clock.advance(0.2)
    assert [reader().position for _ in range(3)] == [Position(1000)] * 3
    assert len([each for each in asked if each.startswith("SELECT")]) == 1
    clock.advance(-3600)
    store.change("ann", "set", "", lambda dial: dial.turned(Position(2000)))
    assert reader().position == Position(2000), "a clock that was stepped back hides nothing"


def test_while_the_database_is_away_the_last_dial_holds(database: Database) -> None:
    clock = VirtualClock()
    store = DialStore(database, clock)
    store.change("ann", "set", "", lambda dial: dial.turned(Position(1000)))
    fresh, reader = DialReader(store, clock, 2.0), DialReader(store, clock, 2.0)
    assert reader().position == Position(1000)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE rollout_dial RENAME TO away")
    clock.advance(5)
    assert reader().position == Position(1000)
    with pytest.raises(sa.exc.OperationalError):
        fresh()
