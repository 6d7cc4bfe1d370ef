"""Says of a step whether its outcome turns on a time limit that is close by.

Such a step may go either way on a real system: the recorder's clock is only so exact, and nobody
knows the phase of the real cleaner's beat. It is named and counted apart, never passed silently.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..whale.cleaner import PERIOD_SECONDS
from ..whale.errors import BadSetting
from ..whale.locks import LAST_TRY_BEFORE_END
from ..whale.machine import Machine
from ..whale.player import LOCK_PATIENCE_SECONDS, WINDOW_SECONDS
from .recording import Ask, Auth

CLOSE_SECONDS = 0.5
CLEANER = "expiry or the cleaner's beat"


class TimeLimits:
    """Watches one session; remembers when each user's container was to expire."""

    def __init__(self, machine: Machine, user_ids: Mapping[str, int]) -> None:
        self._machine = machine
        self._user_ids = user_ids
        self._expiries: dict[int, float] = {}
        self._windows: dict[tuple[str, Auth, int], float] = {}
        self._late: dict[str, float] = {}
        """By actor: how much later than with the fake the last write may have done its work."""

    def close_to(self, ask: Ask) -> str | None:
        """Which limit the step is within half a second of, or None; call just before sending it."""
        user_id = self._user_ids.get(ask.actor, 0)
        now = self._machine.clock.time()
        late = self._late.get(ask.actor, 0.0)
        self._note_expiries()
        if ask.method != "GET":
            if self._close_to_lock(user_id, late):
                return "10 s lock"
            if self._close_to_window(ask, now, late):
                return "60 s window"
        expiry = self._expiries.get(user_id)
        edge = PERIOD_SECONDS + CLOSE_SECONDS + late
        if expiry is not None and -CLOSE_SECONDS < now - expiry < edge:
            return CLEANER
        return None

    def note_answer(self, ask: Ask, message: str | None, late: float = 0.0) -> None:
        """Learn from the answer: which session's window is open since when, and what is gone.

        ``late``: seconds that the recorded answer took longer than the fake's, in which the real
        one may have done its work at any moment.
        """
        if ask.method != "GET":
            self._late[ask.actor] = late
        if message == "Container destroyed":
            self._expiries.pop(self._user_ids.get(ask.actor, 0), None)
        opens = ("Request Too Fast!", "challenge not visible")
        if ask.method != "GET" and message and not message.startswith(("Frequency", *opens)):
            self._windows[_key(ask)] = self._machine.clock.time()

    def _note_expiries(self) -> None:
        try:
            timeout = self._machine.control.timeout()
        except BadSetting:
            return
        for record in self._machine.database.rows():
            self._expiries[record.user_id] = record.start_time + timeout

    def _close_to_lock(self, user_id: int, late: float) -> bool:
        left = self._machine.redis.locks.left().get(f"ctfd_whale_lock-{user_id}")
        turns_at = LOCK_PATIENCE_SECONDS - LAST_TRY_BEFORE_END
        return left is not None and -CLOSE_SECONDS - late < left - turns_at < CLOSE_SECONDS

    def _close_to_window(self, ask: Ask, now: float, late: float) -> bool:
        opened = self._windows.get(_key(ask))
        # Whale counts in whole seconds, so the edge is a second wide by itself.
        edge = 0.5 + CLOSE_SECONDS
        return opened is not None and -edge < now - opened - WINDOW_SECONDS < edge + late


def _key(ask: Ask) -> tuple[str, Auth, int]:
    return ask.actor, ask.auth, ask.login
