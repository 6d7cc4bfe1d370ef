"""The four calls of whale-ready's instance contract on processes of this machine.

Everything is kept in memory and under one lock, which is the simplest thing that is right: a
double click cannot start two processes, because the second call waits for the first. The price is
that starts come one after the other, and that a restart of the program forgets what runs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engines.audit import Action
from engines.clock import Clock, SystemClock
from engines.contract import (
    ActionResult,
    Addressing,
    Capabilities,
    Code,
    ContainerBackend,
    ExtendMode,
    InstanceStatus,
    Scope,
    StartResult,
    validate_ids,
)
from local_process.processes import Running, launch
from local_process.trail import Asked, Trail

STEP = timedelta(minutes=15)
"""What one extend adds."""


@dataclass
class Instance:
    """One process, and who started it for what."""

    owner: Asked
    running: Running
    started_at: datetime
    expires_at: datetime
    extensions: int = 0


class ProcessBackend(ContainerBackend):
    """Instances as processes; an account may hold one at a time.

    Args:
        challenges: names by id of what may be started.
        capacity: processes there may be at once; None for any number.
        deployment: stands in the command line of each process.
    """

    name = "local-process"

    def __init__(
        self,
        challenges: Mapping[int, str],
        *,
        timeout_seconds: int = 3600,
        max_extensions: int = 5,
        capacity: int | None = None,
        deployment: str = "default",
        clock: Clock | None = None,
    ) -> None:
        self._challenges = challenges
        self._timeout = timedelta(seconds=timeout_seconds)
        self._max_extensions = max_extensions
        self._capacity = capacity
        self._deployment = deployment
        self._clock = clock or SystemClock()
        self.trail = Trail(self.name, self._clock)
        self._lock = threading.Lock()
        self._instances: dict[str, Instance] = {}
        """By account."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            scope=Scope.PER_CHALLENGE,
            extend=ExtendMode.ADDITIVE,
            addressing=frozenset({Addressing.HOST_PORT}),
            ready_on_start=True,
            detects_loss=True,
            teams=True,
            multi_node=False,
            account_limit=1,
            max_extensions=self._max_extensions,
            timeout_seconds=int(self._timeout.total_seconds()),
            extension_seconds=int(STEP.total_seconds()),
        )

    def start_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> StartResult:
        with self._lock:
            asked = _asked(user_id, challenge_id, team_id)
            result = self._start(asked)
            action = Action.STARTED if result.ok else Action.START_FAILED
            if result.code is Code.ALREADY_RUNNING:
                action = Action.START_REPEATED
            self.trail.write(asked, action, result.code)
            return result

    def extend_instance(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> ActionResult:
        with self._lock:
            asked = _asked(user_id, challenge_id, team_id)
            instance = self._live(asked)
            if instance is None:
                return self._refused(asked, Action.EXTEND_FAILED, Code.NOT_FOUND)
            if instance.extensions >= self._max_extensions:
                return self._refused(asked, Action.EXTEND_FAILED, Code.EXTENSION_LIMIT)
            before = instance.expires_at
            instance.expires_at += STEP
            instance.extensions += 1
            self.trail.extended(asked, before, instance.expires_at)
            return ActionResult(True, "You have more time now", code=Code.OK)

    def stop_instance(
        self,
        user_id: int,
        challenge_id: int,
        team_id: int | None = None,
        auto_cleanup: bool = False,
    ) -> ActionResult:
        with self._lock:
            asked = _asked(user_id, challenge_id, team_id)
            instance = self._live(asked)
            if instance is None and auto_cleanup:
                return ActionResult(True, "Nothing is left to clean up", code=Code.OK)
            if instance is None:
                return self._refused(asked, Action.STOP_FAILED, Code.NOT_FOUND)
            self._end(instance)
            self.trail.write(asked, Action.EXPIRED if auto_cleanup else Action.STOPPED, Code.OK)
            return ActionResult(True, "The instance is stopped", code=Code.OK)

    def get_instance_status(
        self, user_id: int, challenge_id: int, team_id: int | None = None
    ) -> InstanceStatus | None:
        with self._lock:
            instance = self._live(_asked(user_id, challenge_id, team_id))
            return None if instance is None else self._described(instance)

    def recorded_flag(self, user_id: int, challenge_id: int, team_id: int | None) -> str | None:
        """What a submission is compared with; None when nothing is live."""
        with self._lock:
            instance = self._live(_asked(user_id, challenge_id, team_id))
            return None if instance is None else instance.running.flag

    def expire_due(self) -> int:
        """The worker's round: end whose time is over, once each."""
        with self._lock:
            before = len(self._instances)
            self._clear_expired()
            return before - len(self._instances)

    def close(self) -> None:
        """End all processes: without this object nobody knows of them."""
        with self._lock:
            for instance in list(self._instances.values()):
                self._end(instance)

    # All below are called with the lock held.

    def _start(self, asked: Asked) -> StartResult:
        if asked.challenge_id not in self._challenges:
            return _no(Code.CHALLENGE_UNAVAILABLE, "There is no such challenge")
        self._clear_expired()
        instance = self._found(asked.account)
        if instance is not None and instance.owner.challenge_id == asked.challenge_id:
            told = self._described(instance)
            return StartResult(True, "It is running already", told, code=Code.ALREADY_RUNNING)
        if instance is not None:
            name = self._challenges[instance.owner.challenge_id]
            return _no(Code.LIMIT_REACHED, f"Stop {name} first; you may have one at a time")
        if self._capacity is not None and len(self._instances) >= self._capacity:
            return _no(Code.CAPACITY, "All places are taken; try again in a while", 30.0)
        try:
            running = launch(self._deployment)
        except OSError:
            return _no(Code.START_FAILED, "The challenge did not start; tell an organiser")
        now = self._clock.now()
        instance = Instance(asked, running, now, now + self._timeout)
        self._instances[asked.account] = instance
        return StartResult(True, "Started", self._described(instance), code=Code.OK)

    def _live(self, asked: Asked) -> Instance | None:
        instance = self._found(asked.account)
        if instance is None or instance.owner.challenge_id != asked.challenge_id:
            return None
        return None if instance.expires_at <= self._clock.now() else instance

    def _found(self, account: str) -> Instance | None:
        """What the account has; a process that has died meanwhile is forgotten."""
        instance = self._instances.get(account)
        if instance is not None and not instance.running.alive:
            self._end(instance)
            self.trail.write(instance.owner, Action.LOST, Code.NOT_FOUND)
            return None
        return instance

    def _clear_expired(self) -> None:
        for instance in list(self._instances.values()):
            if instance.expires_at <= self._clock.now():
                self._end(instance)
                self.trail.write(instance.owner, Action.EXPIRED, Code.OK)

    def _end(self, instance: Instance) -> None:
        instance.running.end()
        del self._instances[instance.owner.account]

    def _described(self, instance: Instance) -> InstanceStatus:
        whole_life = self._timeout + instance.extensions * STEP
        left = min(instance.expires_at - self._clock.now(), whole_life)  # the clock may be set back
        return {
            "active": True,
            "container_id": instance.running.id,
            "challenge_id": instance.owner.challenge_id,
            "host": "127.0.0.1",
            "ports": [str(instance.running.port)],
            "started_at": instance.started_at.isoformat(),
            "expires_at": instance.expires_at.isoformat(),
            "remaining_seconds": max(0, int(left.total_seconds())),
            "extension_count": instance.extensions,
            "max_extensions": self._max_extensions,
            "backend": self.name,
        }

    def _refused(self, asked: Asked, action: Action, code: Code) -> ActionResult:
        self.trail.write(asked, action, code)
        texts = {Code.NOT_FOUND: "Nothing is running", Code.EXTENSION_LIMIT: "No extension is left"}
        return ActionResult(False, texts[code], code=code)


def _asked(user_id: int, challenge_id: int, team_id: int | None) -> Asked:
    """Invalid ids raise ValueError here, before anything has happened."""
    validate_ids(user_id, challenge_id, team_id)
    return Asked(user_id, challenge_id, team_id)


def _no(code: Code, message: str, retry_after: float | None = None) -> StartResult:
    return StartResult(False, message, code=code, retry_after=retry_after)
