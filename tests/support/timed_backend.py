"""Backends that take a time that is known, on a virtual clock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engines.contract import (
    ActionResult,
    Capabilities,
    Code,
    ContainerBackend,
    InstanceStatus,
    StartResult,
)
from engines.errors import BackendUnavailable
from support.virtual_time import VirtualTime

INSTANCE: InstanceStatus = {
    "active": True,
    "container_id": "c",
    "challenge_id": 1,
    "host": "h",
    "ports": ["1"],
    "started_at": "",
    "expires_at": "",
    "remaining_seconds": 60,
    "extension_count": 0,
    "max_extensions": 5,
    "backend": "timed",
}


class Timed(ContainerBackend):
    """Each call takes what ``takes`` says at the moment it comes; it keeps who has an instance.

    Args:
        fails: the code of a call, by how many were made before.
    """

    def __init__(
        self,
        time: VirtualTime,
        takes: Callable[[float], float],
        fails: Callable[[int], Code | None] = lambda _number: None,
    ) -> None:
        self._time = time
        self._takes = takes
        self._fails = fails
        self._lock = threading.Lock()
        self.calls = 0
        self.under_way = 0
        self.most = 0
        self.live: set[int] = set()
        self.twice: list[int] = []
        """Users who started while they had an instance, or stopped without one."""

    @property
    def name(self) -> str:
        return "timed"

    @property
    def capabilities(self) -> Capabilities:
        raise NotImplementedError

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        code = self._work()
        if code is not None:
            return StartResult(False, "no", code=code, definite=code is not Code.INTERNAL)
        if user_id in self.live:
            self.twice.append(user_id)
        self.live.add(user_id)
        return StartResult(True, "started", INSTANCE, code=Code.OK)

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        code = self._work()
        return ActionResult(code is None, "", code=code or Code.OK)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        self._work()
        if user_id not in self.live:
            return ActionResult(False, "none", code=Code.NOT_FOUND)
        self.live.remove(user_id)
        return ActionResult(True, "stopped", code=Code.OK)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        if self._work() is not None:
            raise BackendUnavailable("down")
        return INSTANCE if user_id in self.live else None

    def _work(self) -> Code | None:
        with self._lock:
            number, self.calls = self.calls, self.calls + 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        self._time.sleep(self._takes(self._time.now()))
        with self._lock:
            self.under_way -= 1
        return self._fails(number)
