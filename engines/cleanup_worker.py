"""The cleanup worker: a thread that removes what has expired, once a period.

It works for any backend that implements :meth:`ContainerBackend.expire_due`.
"""

from __future__ import annotations

import logging
import threading

from engines.contract import ContainerBackend

log = logging.getLogger(__name__)


class CleanupWorker:
    """Calls ``backend.expire_due()`` and ``backend.reconcile()`` every ``period`` seconds.

    ``stop()`` waits for the round at work and stops it for good; ``start()`` begins anew. Use it
    as a context manager to have it stopped in any case.
    """

    def __init__(self, backend: ContainerBackend, period: float) -> None:
        if period <= 0:
            raise ValueError("period must be above 0 seconds")
        self._backend = backend
        self._period = period
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
        return removed

    def __enter__(self) -> CleanupWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            try:
                self.run_once()
            except Exception as error:  # noqa: BLE001 - the worker outlives a round that failed
                log.warning("cleanup round failed: %s", type(error).__name__)
            stopping.wait(self._period)
