"""The worker's rounds over many: what hangs comes last, and for so long only."""

from __future__ import annotations

import threading

from engines.cre.rounds import ParallelRounds
from engines.deadline import wait
from engines.errors import BackendUnavailable

ANSWER_SECONDS = 0.05
NOTHING = threading.Event()


class Engine:
    """Does what it is asked, but with those that hang."""

    def __init__(self, *stuck: int) -> None:
        self.stuck = set(stuck)
        self.asked: list[int] = []

    def remove(self, number: int) -> bool:
        self.asked.append(number)
        if number in self.stuck:
            try:
                wait(NOTHING.wait)
            except TimeoutError:
                raise BackendUnavailable("no answer") from None
        return True


def test_what_hung_comes_last_in_the_next_round_and_is_not_waited_for_one_by_one() -> None:
    engine, rounds = Engine(1, 2, 3), ParallelRounds(ANSWER_SECONDS, 1)
    assert rounds.each(engine.remove, range(6), str) == 3
    assert engine.asked == [0, 1, 2, 3, 4, 5]
    engine.asked.clear()
    assert rounds.each(engine.remove, range(6), str) == 3
    assert engine.asked == [0, 4, 5, 1]  # the time for such as these is over with the first
    engine.asked.clear()
    engine.stuck.clear()
    assert rounds.each(engine.remove, range(6), str) == 6
    assert engine.asked == [0, 4, 5, 1, 2, 3]
    engine.asked.clear()
    assert rounds.each(engine.remove, range(6), str) == 6
    assert engine.asked == [0, 1, 2, 3, 4, 5]


def test_a_rounds_threads_say_in_a_dump_of_the_stacks_what_they_are() -> None:
    names: set[str] = set()

    def remove(_number: int) -> bool:
        names.add(threading.current_thread().name)
        return True

    assert ParallelRounds(ANSWER_SECONDS, 2).each(remove, range(4), str) == 4
    assert {name.rpartition("_")[0] for name in names} == {"cre-round"}


def test_one_that_cannot_be_asked_about_is_left_and_the_others_are_done() -> None:
    def remove(number: int) -> bool:
        if number == 1:
            raise BackendUnavailable("it cannot be removed")
        return True

    assert ParallelRounds(ANSWER_SECONDS, 2).each(remove, range(4), str) == 3
