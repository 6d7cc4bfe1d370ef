"""The worker's rounds over many instances: one that hangs holds up no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from engines.deadline import deadline
from engines.errors import BackendUnavailable

log = logging.getLogger(__name__)

_T = TypeVar("_T")

PATIENCE = 2
"""How often ``answer_seconds`` one of many may take; the engine may go on with it all the same, and
the next round finds it done."""


class ParallelRounds:
    """Does the same with many, several at a time.

    What took too long is tried again in the next round, after all others, for as long as a round
    may wait for such as these.

    Args:
        answer_seconds: ``CONTAINER_ANSWER_SECONDS``.
        at_a_time: how many threads.
    """

    def __init__(self, answer_seconds: float, at_a_time: int) -> None:
        self._seconds = PATIENCE * answer_seconds
        self._at_a_time = at_a_time
        self._slow: frozenset[Hashable] = frozenset()

    def each(
        self, work: Callable[[_T], bool], those: Iterable[_T], key: Callable[[_T], Hashable]
    ) -> int:
        """Do this with each of them; returns how often it returned True.

        Whom the engine could not be asked about is left for the next round, with a warning.
        """
        slow, until = self._slow, time.monotonic() + self._seconds
        still_slow: set[Hashable] = set()

        def one(it: _T) -> bool:
            began = time.monotonic()
            if key(it) in slow and began >= until:
                still_slow.add(key(it))
                return False
            try:
                with deadline(self._seconds):
                    return work(it)
            except BackendUnavailable as error:
                log.warning("%s is left for the next round: %s", key(it), error)
                return False
            finally:
                if time.monotonic() - began >= self._seconds:
                    still_slow.add(key(it))

        in_order = sorted(those, key=lambda it: key(it) in slow)
        with ThreadPoolExecutor(self._at_a_time, thread_name_prefix="cre-round") as pool:
            done = sum(pool.map(one, in_order))
        seen = {key(it) for it in in_order}
        self._slow = frozenset((slow - seen) | still_slow)
        return done
