"""Looks after a rollout once in every round of the worker: turns the dial back, or a plan on."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from engines.clock import Clock
from engines.hybrid.dial import Dial, Position
from engines.hybrid.dial_store import DialReader, DialStore
from engines.hybrid.health import HealthLimits, measure
from engines.state.database import Database

log = logging.getLogger(__name__)

WHO = "whale-ready"
"""Who turned the dial, where nobody did by hand."""


class RolloutWatch:
    """Of many processes the one that has the worker's lease does it.

    Args:
        backend: the new backend, as its events name it.
        steps_back: whether the dial is turned back by itself.
    """

    def __init__(
        self,
        database: Database,
        store: DialStore,
        reader: DialReader,
        clock: Clock,
        limits: HealthLimits,
        *,
        backend: str,
        steps_back: bool,
    ) -> None:
        self._database = database
        self._store = store
        self._reader = reader
        self._clock = clock
        self._limits = limits
        self._backend = backend
        self._steps_back = steps_back

    def tend(self) -> None:
        """Turn the dial back when the new backend passes a limit; else a plan on when it is due.

        A dial that was never set, or that sends nothing to the new backend, is left alone.
        """
        dial = self._store.load()
        if dial.paused or dial.position == Position() or dial.position.nothing:
            return
        since = self._limits.since(self._clock.now(), dial.changed_at)
        complaint = self._limits.complaint(measure(self._database, self._backend, since))
        if complaint is None:
            self._advance(dial)
        elif self._steps_back:
            log.warning("the dial is turned back: %s", complaint)
            self._change(dial, "step_back", complaint, dial.stepped_back())

    def _advance(self, dial: Dial) -> None:
        """Go to the plan's next step when this one was held, and seen, for long enough."""
        if not dial.plan or dial.step + 1 >= len(dial.plan) or dial.changed_at is None:
            return
        here, following = dial.plan[dial.step], dial.plan[dial.step + 1]
        held = self._clock.now() - dial.changed_at
        if held < timedelta(seconds=here.hold_seconds):
            return
        health = measure(self._database, self._backend, dial.changed_at)
        if health.starts < here.starts:
            return
        why = f"step {dial.step + 1} was healthy for {held.total_seconds():.0f} s: {health}"
        after = replace(dial.turned(following.position), step=dial.step + 1)
        self._change(dial, "advance", why, after)

    def _change(self, seen: Dial, action: str, why: str, after: Dial) -> None:
        def turn(now: Dial) -> Dial:
            return after if now.version == seen.version else now  # somebody was faster

        self._store.change(WHO, action, why, turn)
        self._reader.forget()
