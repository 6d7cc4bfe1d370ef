"""Shadow mode: every status is asked of the other backend too, and what differs is written down.

A player's instance is on one backend, so the other must say that there is none. The player sees
the owner's answer and waits for no other: the comparison is made in a thread of its own, one at a
time, and what comes meanwhile is not compared.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from sqlalchemy.exc import SQLAlchemyError

from engines.contract import ContainerBackend, InstanceStatus
from engines.errors import BackendUnavailable
from engines.front import Call
from engines.hybrid.dial_store import DialStore
from engines.hybrid.router import StartRouter
from engines.reasons import reason

log = logging.getLogger(__name__)

WHO = "shadow"
REMEMBERED = 10_000
"""Differences that are not written a second time."""


class Shadow:
    """Compares the answers of both backends while the dial says so."""

    def __init__(
        self, sides: Mapping[str, ContainerBackend], router: StartRouter, store: DialStore
    ) -> None:
        self._sides = sides
        self._router = router
        self._store = store
        self._told: set[tuple[str, int, str]] = set()
        self._one_at_a_time = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "shadow")

    def compare(self, call: Call, owner: str, status: InstanceStatus | None) -> Future[None] | None:
        """Have it compared, unless a comparison is under way; None when it is not."""
        others = [key for key in self._sides if key != owner]
        if not others or not self._router.dial.shadow:
            return None
        if not self._one_at_a_time.acquire(blocking=False):
            return None
        future = self._thread.submit(self._compare, call, owner, status, others[0])
        future.add_done_callback(lambda _: self._one_at_a_time.release())
        return future

    def close(self) -> None:
        """Wait for the comparison under way."""
        self._thread.shutdown()

    def _compare(self, call: Call, owner: str, status: InstanceStatus | None, other: str) -> None:
        try:
            there = self._sides[other].get_instance_status(
                call.user_id, call.challenge_id, call.team_id
            )
            here = "an instance" if status is not None else "none"
            if there is not None:
                self._write(call, owner, other, here, f"container {there['container_id']}")
        except BackendUnavailable:
            log.info("shadow: %s cannot be asked", other)
        except SQLAlchemyError as error:
            log.warning("shadow: not compared: %s", reason(error))

    def _write(self, call: Call, owner: str, other: str, here: str, there: str) -> None:
        key = (call.account, call.challenge_id, there)
        if key in self._told or len(self._told) >= REMEMBERED:
            return
        self._told.add(key)
        why = f"{call.account}, challenge {call.challenge_id}: {other} has one that is not its own"
        self._store.note(WHO, "difference", why, f"{owner}: {here}", f"{other}: {there}")
