"""Whale's cleaner: every 10 seconds it removes what has expired."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from .clock import Cancelled, EpochClock
from .control import Control
from .database import InstanceTable
from .errors import MechanismError
from .journal import CurrentRequest, Journal, working_on
from .routing import FrpRouter

PERIOD_SECONDS = 10.0

_log = logging.getLogger("fake_whale")


class Cleaner:
    """Runs on the clock's beats: its own thread with a real clock, a timer with a virtual one.

    Args:
        router: brought up to date at each beat; None where starts and stops do that themselves.
    """

    def __init__(
        self,
        database: InstanceTable,
        control: Control,
        clock: EpochClock,
        journal: Journal,
        cancel: threading.Event,
        changed: Callable[[], None],
        router: FrpRouter | None,
    ) -> None:
        self._router = router
        self._database = database
        self._control = control
        self._clock = clock
        self._journal = journal
        self._cancel = cancel
        self._changed = changed
        self._first = clock.time()
        self._last = self._first
        self._futile = False
        self._running = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; a real clock needs a thread."""
        self._clock.subscribe(self)
        if not self._clock.virtual:
            self._thread = threading.Thread(
                target=self._beat_for_real, name="fake-whale-cleaner", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Stop for good; the caller has set the cancel event."""
        self._clock.unsubscribe(self)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def next_beat(self, until: float) -> float | None:
        """The first beat by ``until`` at which something has expired; see ``clock.Timer``."""
        try:
            timeout = self._control.timeout()
        except MechanismError:
            return None
        rows = self._database.rows()
        last = min(self._last, self._clock.time())
        if self._router is not None and self._router.stale(self._database.begin()):
            beat = self._beat_after(last)
        elif not rows:
            return None
        else:
            expiry = min(row.start_time for row in rows) + timeout
            beat = self._beat_after(max(expiry, last))
        if self._futile:
            # Nothing came of the last beat, so nothing will of those in between.
            beat = max(beat, self._beat_after(until) - PERIOD_SECONDS)
        return beat if beat <= until else None

    def beat(self, moment: float) -> None:
        """Remove what has expired by now."""
        self._last = moment
        if not self._running.acquire(blocking=False):
            return
        try:
            before = self._work_left()
            self._clean()
            self._futile = self._work_left() == before
        finally:
            self._running.release()
            self._changed()

    def _work_left(self) -> tuple[object, ...]:
        stale = self._router is not None and self._router.stale(self._database.begin())
        return (stale, *self._database.rows())

    def _beat_after(self, moment: float) -> float:
        beats = math.floor((moment - self._first) / PERIOD_SECONDS) + 1
        return self._first + beats * PERIOD_SECONDS

    def _clean(self) -> None:
        transaction = self._database.begin()
        with working_on(CurrentRequest("CLEAN", "cleaner")):
            try:
                expired = transaction.expired(self._control.oldest_alive())
                for row in expired:
                    outcome = self._control.clean(transaction, row)
                    self._journal.note("cleaned", user_id=row.user_id, ok=outcome.ok)
                if self._router is not None:
                    self._router.reload(transaction)
            except MechanismError as error:
                _log.warning("the cleaner failed: %s", type(error).__name__)
            except Cancelled:
                return

    def _beat_for_real(self) -> None:
        while not self._cancel.wait(PERIOD_SECONDS):
            self.beat(self._clock.time())
