"""Whale's own work: add, remove and renew a container, with all it leaves behind when a part fails.

The order of the steps is the point: what has been committed when a later step fails is what remains
(docs/whale-wire.md, "Faults").
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timezone
from random import Random
from typing import NamedTuple

from .clock import Clock
from .database import Record, Transaction
from .directory import Directory
from .engine import Engine, Order
from .errors import EngineError, MechanismError
from .redis import Redis
from .routing import Router
from .settings import Settings, Value
from .templating import SeededUuid, render

REMOVAL_TRIES = 3
FLAG_TEMPLATE = '{{ "flag{"+uuid.uuid4()|string+"}" }}'
"""Whale's own, where the setting is empty."""
GLOBAL_LOCK = "ctfd_whale_global_container_lock"
DESTROY_FAILED = "Failed when destroying instance, please contact admin!"


class Outcome(NamedTuple):
    """Whether it worked, and what Whale says about it."""

    ok: bool
    message: str


class Control:
    """Works on one user's containers, as the request's transaction sees them."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        redis: Redis,
        engine: Engine,
        clock: Clock,
        random: Random,
        router: Callable[[], Router],
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._redis = redis
        self._engine = engine
        self._clock = clock
        self._random = random
        self._router = router
        self._changed = changed

    def add(self, transaction: Transaction, user_id: int, challenge_id: str) -> Outcome:
        """Start a container; raises :class:`MechanismError` where the real one answers 500."""
        lock = self._redis.locks.acquire(GLOBAL_LOCK, hold_seconds=10, patience_seconds=5)
        if lock is None:
            return Outcome(False, "Server busy, please retry.")
        try:
            limit = self._settings.integer("docker_max_container_count", 1000)
            if len(transaction.alive(self.oldest_alive())) > limit:
                return Outcome(False, "Max container count exceed.")
            record = self._insert(transaction, user_id, challenge_id)
        finally:
            self._redis.locks.release(lock)
        refused = self._bring_up(transaction, record)
        if refused is None:
            return Outcome(True, "Container created")
        with contextlib.suppress(EngineError):  # Whale shrugs too: the service stays behind
            self._engine.remove(_whale_id(record))
        transaction.delete_of_user(user_id)
        self._changed()
        return Outcome(False, refused)

    def remove(
        self, transaction: Transaction, record: Record | None, *, asked_for: int | None = None
    ) -> Outcome:
        """Destroy what ``record`` stands for, and drop *all* records of its user.

        ``asked_for``: the user whose records are dropped instead, where an admin's text named
        one user to the look-up and another, or none, to the deletion.
        """
        if record is None:
            return Outcome(False, "No such container")
        for _ in range(REMOVAL_TRIES):
            try:
                refused = self._router().unregister(transaction, record)
                if refused is not None:
                    return Outcome(False, refused)
                self._engine.remove(_whale_id(record))
                transaction.delete_of_user(record.user_id if asked_for is None else asked_for)
            except MechanismError:
                continue
            finally:
                self._changed()
            return Outcome(True, "Container destroyed")
        return Outcome(False, DESTROY_FAILED)

    def renew(self, transaction: Transaction, record: Record | None) -> Outcome:
        """Set the time back to the full time-out, unless it has run out already."""
        if record is None:
            return Outcome(False, "No such container")
        now = self._clock.time()
        if record.start_time + self.timeout() <= now:
            return Outcome(False, "Invalid container")
        transaction.renew(record, now)
        return Outcome(True, "Container Renewed")

    def timeout(self) -> int:
        """``docker_timeout`` in seconds; raises :class:`~fake_whale.errors.BadSetting`."""
        return self._settings.integer("docker_timeout", 3600)

    def oldest_alive(self) -> float:
        """Start time, in epoch seconds, of a container whose time is over just now."""
        return self._settings.oldest_alive(self._clock.time())

    def remaining(self, record: Record) -> int:
        """Whale's ``remaining_time`` in seconds: wraps at 24 h, and goes below zero."""
        elapsed = int((self._clock.time() - record.start_time) // 1)
        return self.timeout() - elapsed % 86_400

    def subdomain(self, record: Record) -> str:
        """The http name's first part, from ``template_http_subdomain``."""
        template = self._settings.text("template_http_subdomain", "{{ container.uuid }}")
        return render(template, self._row(record))

    def host(self, record: Record) -> str:
        """The http name in full."""
        suffix = self._settings.text("frp_http_domain_suffix", "")
        return f"{self.subdomain(record)}.{suffix.lstrip('.')}"

    def access(self, record: Record) -> str:
        """Whale's ``user_access``."""
        return self._router().access(record)

    def _insert(self, transaction: Transaction, user_id: int, challenge_id: str) -> Record:
        uuids = SeededUuid(self._random)
        uuid = str(uuids.uuid4())
        flag = render(
            self._settings.text("template_chall_flag", FLAG_TEMPLATE),
            {"user_id": user_id, "challenge_id": challenge_id, "uuid": uuid, "renew_count": 0},
            uuid=uuids,
            random=self._random,
            get_config=self._get_config,
        )
        return transaction.insert(user_id, challenge_id, self._clock.time(), uuid, flag)

    def _get_config(self, key: str, default: Value = None) -> Value:
        """CTFd's ``get_config``, as far as Whale's own settings go."""
        return self._settings.get(key.removeprefix("whale:"), default)

    def _row(self, record: Record) -> dict[str, object]:
        """The record as templates see it, with its user and its challenge."""
        user = self._directory.user(record.user_id)
        challenge = self._directory.challenge(record.challenge_id)
        return {
            "id": record.id,
            "user_id": record.user_id,
            "challenge_id": record.challenge_id,
            "uuid": record.uuid,
            "port": record.port,
            "renew_count": record.renew_count,
            "status": 1,
            "flag": record.flag,
            "start_time": datetime.fromtimestamp(record.start_time, timezone.utc).replace(
                tzinfo=None
            ),
            "user": user and {"id": user.id, "name": user.name, "team_id": user.team_id},
            "challenge": challenge
            and {
                "id": challenge.id,
                "name": challenge.name,
                "category": challenge.category,
                "docker_image": challenge.image,
                "redirect_type": challenge.redirect_type,
                "redirect_port": challenge.redirect_port,
                "memory_limit": challenge.memory_limit,
                "cpu_limit": challenge.cpu_limit,
            },
        }

    def _bring_up(self, transaction: Transaction, record: Record) -> str | None:
        try:
            self._engine.create(self._order(record))
            return self._router().register(transaction, record)
        except MechanismError:
            return "Container creation failed"
        finally:
            self._changed()

    def _order(self, record: Record) -> Order:
        challenge = self._directory.challenge(record.challenge_id)
        if challenge is None or challenge.type != "dynamic_docker":
            raise EngineError("not a docker challenge")
        return Order(
            whale_id=_whale_id(record),
            user_id=record.user_id,
            challenge_id=record.challenge_id,
            uuid=record.uuid,
            image=challenge.image,
            flag=record.flag,
            memory_limit=challenge.memory_limit,
            cpu_limit=challenge.cpu_limit,
            port=challenge.redirect_port or 0,
            challenge_name=challenge.name,
            node=self._choose_node(challenge.image or ""),
        )

    def _choose_node(self, image: str) -> str:
        nodes = str(self._settings.get("docker_swarm_nodes", "")).split(",")
        windows = any(tag.startswith("windows") for tag in image.split(":")[1:2])
        fitting = [node for node in nodes if node.startswith("windows") == windows]
        if not fitting:
            raise EngineError("no suitable node")
        chosen = self._random.choice(fitting)
        if not chosen:
            raise EngineError("Docker refuses a constraint without a value")
        return chosen


def _whale_id(record: Record) -> str:
    return f"{record.user_id}-{record.uuid}"
