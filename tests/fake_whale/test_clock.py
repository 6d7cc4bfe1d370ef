"""The virtual clock: timers run in order, each at its own moment."""

from __future__ import annotations

import threading

import pytest

from fake_whale import SystemEpochClock, VirtualEpochClock
from fake_whale.whale.clock import Cancelled


class Every:
    """A timer that notes when it ran."""

    def __init__(self, clock: VirtualEpochClock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.due = clock.time() + seconds
        self.ran: list[tuple[float, float]] = []

    def next_beat(self, until: float) -> float | None:
        return self.due if self.due <= until else None

    def beat(self, moment: float) -> None:
        self.ran.append((moment, self.clock.time()))
        self.due = moment + self.seconds


def test_every_beat_sees_its_own_time() -> None:
    clock = VirtualEpochClock(start=1000)
    slow, fast = Every(clock, 10), Every(clock, 4)
    clock.subscribe(slow)
    clock.subscribe(fast)
    clock.advance(20)
    assert slow.ran == [(1010, 1010), (1020, 1020)]
    assert fast.ran == [(moment, moment) for moment in (1004, 1008, 1012, 1016, 1020)]
    assert clock.time() == 1020


def test_an_unsubscribed_timer_is_left_alone() -> None:
    clock = VirtualEpochClock()
    timer = Every(clock, 1)
    clock.subscribe(timer)
    clock.unsubscribe(timer)
    clock.advance(5)
    assert timer.ran == []


def test_waiting_moves_a_virtual_clock() -> None:
    clock = VirtualEpochClock(start=0)
    clock.wait(1.95, threading.Event())
    assert clock.time() == 1.95


def test_a_wait_can_be_cancelled() -> None:
    cancel = threading.Event()
    cancel.set()
    for clock in (VirtualEpochClock(), SystemEpochClock()):
        with pytest.raises(Cancelled):
            clock.wait(600, cancel)


def test_what_cannot_be_done() -> None:
    with pytest.raises(ValueError, match=r"set_back\(\) moves the clock back"):
        VirtualEpochClock().advance(-1)
    with pytest.raises(RuntimeError, match="use a virtual clock"):
        SystemEpochClock().advance(1)
