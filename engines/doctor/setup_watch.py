"""Looks at a process's set-up beside its work: nothing waits for a Docker that hangs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from engines.doctor.findings import DoctorFinding, FindingState

log = logging.getLogger(__name__)

_SAID_OF = {
    "deployment": "containers are another site's",
    "state-file": "flags are open to others",
}
"""How a fault begins in the log that keeps no container from starting, by check."""
FRESH_SECONDS = 10.0
"""How old a look may be that a page shows."""


class SetupWatch:
    """What the last look has seen; each fault stands in the log once.

    Args:
        look: makes the findings; runs in a thread, one at a time.
    """

    def __init__(self, look: Callable[[], tuple[DoctorFinding, ...]]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._at_work: threading.Event | None = None
        self._seen: tuple[DoctorFinding, ...] = ()
        self._ended: float | None = None
        self._logged: set[DoctorFinding] = set()

    def begin(self) -> threading.Event:
        """Look, unless a look is at work; returns what is set when it has ended."""
        with self._lock:
            if self._at_work is None:
                self._at_work = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._at_work,), name="setup-watch", daemon=True
                ).start()
            return self._at_work

    def seen(self) -> tuple[DoctorFinding, ...]:
        """What the last look has seen; empty before the first has ended."""
        return self._seen

    def fresh(self, seconds: float) -> tuple[DoctorFinding, ...]:
        """What is so now, or what was seen last where that takes longer than ``seconds``."""
        if self._ended is None or time.monotonic() - self._ended > FRESH_SECONDS:
            self.begin().wait(seconds)
        return self._seen

    def _run(self, done: threading.Event) -> None:
        try:
            found = self._look()
            self._log(found)
            self._seen = found
        except Exception as error:  # noqa: BLE001 - a look must end nothing but itself
            log.warning("the set-up could not be looked at: %s", type(error).__name__)
        finally:
            with self._lock:
                self._at_work, self._ended = None, time.monotonic()
            done.set()

    def _log(self, found: tuple[DoctorFinding, ...]) -> None:
        wrong = {finding for finding in found if finding.state is FindingState.NOT_OK}
        for finding in found:
            if finding in wrong - self._logged:
                begin = _SAID_OF.get(finding.check, "containers cannot start")
                log.error("%s: %s", begin, finding.sentence)
        self._logged = wrong
