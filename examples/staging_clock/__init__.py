"""A plugin for the CTFd of a staging site: its clock is ahead by what a file says.

Copy this folder into ``CTFd/plugins``, ``pip install time-machine`` there, and name the file, which
holds ``+0``, with ``STAGING_CLOCK_FILE``. Never on a site that players use: sessions, tokens and
scores go by this clock too.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import time_machine

BEAT_SECONDS = 0.5


class Clock:
    """Real time, and a number of seconds more; monotonic clocks are left alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._ahead = 0.0
        self._travel = time_machine.travel(datetime.now(timezone.utc), tick=True)
        self._traveller = self._travel.start()

    def follow(self) -> None:
        """Go by the file's present content."""
        with self._lock:
            ahead = float(self._path.read_text(encoding="ascii"))
            self._traveller.shift(timedelta(seconds=ahead - self._ahead))
            self._ahead = ahead

    def keep_up(self) -> None:
        """Follow for ever: what CTFd does by itself, Whale's cleaner too, goes by this clock."""
        while True:
            self.follow()
            time.sleep(BEAT_SECONDS)

    def stop(self) -> None:
        """Back to real time, for good."""
        self._travel.stop()


def load(app: Any) -> None:
    """Called by CTFd in each of its processes."""
    clock = Clock(Path(os.environ["STAGING_CLOCK_FILE"]))
    app.before_request(clock.follow)
    Thread(target=clock.keep_up, daemon=True).start()
