"""A machine's clock that is not known for one, and so is gone by."""

from __future__ import annotations

from datetime import datetime

from engines.clock import Clock


class Unknown:
    """Tells what another clock tells; it is none of :class:`engines.clock.SystemClock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return self._clock.now()
