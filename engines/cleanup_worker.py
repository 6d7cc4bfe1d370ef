"""The cleanup worker: a thread that removes what has expired, once a period.

A second one looks, every two seconds, at what cannot wait for a round: a round may be making
containers for a minute, and a disk is full within seconds. Both work for any backend that
implements :meth:`ContainerBackend.expire_due`.
"""

from __future__ import annotations

import logging
import threading
import time

from engines.contract import ContainerBackend
from engines.errors import BackendUnavailable
from engines.reasons import reason
from engines.state.database import Database
from engines.state.lease import Lease

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 300.0
"""Between rounds while they fail: the pause doubles up to this, unless the period is longer."""
OUTAGE_PAUSE_SECONDS = 30.0
"""The longest pause while the backend cannot be asked: what it left half-way waits for the end of
that, and a round that is refused costs next to nothing."""
LEASE_PERIODS = 3
"""A worker that was not heard of for so many periods is taken for dead."""


WATCH_SECONDS = 2.0
"""Between two looks at what cannot wait."""
GLANCE_SECONDS = 0.25
"""How often it is asked whether that is too long."""
WATCH_SHARE = 5
"""A look that took long is followed by a pause so many times as long: looking is work for the
engine."""
WATCH_AGAIN_SECONDS = 30.0
"""The longest pause after looks that failed."""


class CleanupWorker:
    """Calls the backend's ``expire_due()``, ``reconcile()``, ``watch()`` and ``fill_pool()`` every
    ``period`` seconds, and ``watch()`` in between.

    ``stop()`` waits for the round at work and stops it for good; ``start()`` begins anew. Use it
    as a context manager to have it stopped in any case.

    Args:
        database: where one of many workers for the same backend is chosen to do the rounds; None
            when there is one worker. Rounds of two would do no harm, only the same work twice.
    """

    def __init__(
        self,
        backend: ContainerBackend,
        period: float,
        *,
        database: Database | None = None,
    ) -> None:
        if period <= 0:
            raise ValueError("period must be above 0 seconds")
        self._backend = backend
        self._period = period
        self._database = database
        self._lease: Lease | None = None
        if database is not None:
            name, seconds = f"cleanup {backend.name}", LEASE_PERIODS * period
            self._lease = Lease(database, database.clock, name, seconds)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._leads = False

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the thread; does nothing when it runs already."""
        with self._lock:
            if self.running:
                return
            self._stopping = stopping = threading.Event()
            self._threads = [
                threading.Thread(target=work, args=(stopping,), name=name, daemon=True)
                for name, work in (("cleanup-worker", self._run), ("cleanup-watch", self._watch))
            ]
            for thread in self._threads:
                thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the thread after the round at work; returns when it has ended.

        ``timeout`` bounds the wait in seconds; None waits as long as the round takes.
        """
        with self._lock:
            threads, self._threads = self._threads, []
            self._stopping.set()
        for thread in threads:
            thread.join(timeout)

    def run_once(self) -> int:
        """One round in the caller's thread; returns how many expired instances were removed."""
        try:
            removed = self._backend.expire_due()
            self._backend.reconcile()
            self._backend.watch()
            self._backend.fill_pool()
        finally:
            self._backend.forget_old()  # also while the engine cannot be asked
        return removed

    def __enter__(self) -> CleanupWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, stopping: threading.Event) -> None:
        pause = self._period
        while not stopping.is_set():
            try:
                self._leads = self._lease is None or self._lease.acquire()
                if self._leads:
                    self.run_once()
                pause = self._period
            except Exception as error:  # noqa: BLE001 - the worker outlives a round that failed
                log.warning("cleanup round failed: %s", reason(error))
                outage = isinstance(error, BackendUnavailable)
                longest = OUTAGE_PAUSE_SECONDS if outage else LONGEST_PAUSE_SECONDS
                pause = max(self._period, min(2 * pause, longest))
                self._look_at_tables()
            stopping.wait(pause)
        self._let_go()

    def _watch(self, stopping: threading.Event) -> None:
        rest, pause = 0.0, WATCH_SECONDS
        while not stopping.wait(rest):
            try:
                self._glance(stopping, pause - rest)
                began = time.monotonic()
                if self._leads and not stopping.is_set():
                    self._backend.watch()
                rest = WATCH_SHARE * (time.monotonic() - began)
                pause = max(WATCH_SECONDS, rest)
            except Exception as error:  # noqa: BLE001 - it outlives a look that failed
                if pause < WATCH_AGAIN_SECONDS:  # once is enough: rounds say so too
                    log.warning("a look at the disk failed: %s", reason(error))
                rest = pause = WATCH_AGAIN_SECONDS

    def _glance(self, stopping: threading.Event, seconds: float) -> None:
        """Wait so long, unless it is to stop or something is alarming."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if stopping.wait(min(left, GLANCE_SECONDS)) or (
                self._leads and self._backend.alarmed()
            ):
                return

    def _look_at_tables(self) -> None:
        """A round that failed may have met tables that were replaced under our hands."""
        try:
            if self._database is not None:
                self._database.look_again()
        except Exception as error:  # noqa: BLE001 - it is tried again after the next round
            log.warning("the tables could not be looked at: %s", reason(error))

    def _let_go(self) -> None:
        try:
            if self._lease is not None:
                self._lease.release()
        except Exception as error:  # noqa: BLE001 - it ends by itself, only later
            log.warning("the worker's lease was not given up: %s", reason(error))
