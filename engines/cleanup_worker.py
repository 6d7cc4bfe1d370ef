"""The cleanup worker: a thread that removes what has expired, once a period.

It works for any backend that implements :meth:`ContainerBackend.expire_due`.
"""

from __future__ import annotations

import logging
import threading

from engines.contract import ContainerBackend
from engines.database import Database
from engines.lease import Lease
from engines.reasons import reason

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 300.0
"""Between rounds while they fail: the pause doubles up to this, unless the period is longer."""
LEASE_PERIODS = 3
"""A worker that was not heard of for so many periods is taken for dead."""


class CleanupWorker:
    """Calls the backend's ``expire_due()``, ``reconcile()`` and ``fill_pool()`` every ``period``
    seconds.

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
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether the thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; does nothing when it runs already."""
        with self._lock:
            if self.running:
                return
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopping,), name="cleanup-worker", daemon=True
            )
            self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the thread after the round at work; returns when it has ended.

        ``timeout`` bounds the wait in seconds; None waits as long as the round takes.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            self._stopping.set()
        if thread is not None:
            thread.join(timeout)

    def run_once(self) -> int:
        """One round in the caller's thread; returns how many expired instances were removed."""
        removed = self._backend.expire_due()
        self._backend.reconcile()
        self._backend.fill_pool()
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
                if self._lease is None or self._lease.acquire():
                    self.run_once()
                pause = self._period
            except Exception as error:  # noqa: BLE001 - the worker outlives a round that failed
                log.warning("cleanup round failed: %s", reason(error))
                pause = max(self._period, min(2 * pause, LONGEST_PAUSE_SECONDS))
                self._look_at_tables()
            stopping.wait(pause)
        self._let_go()

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
